/* line_file.h: a text file line by line, with line numbers.
 *
 * What it is: lines without their line feed, from a file or from standard input ("-"); blank lines
 * are skipped but counted, a byte order mark at the start is dropped.
 * What it is not: an interpreter of the lines. Threads: one at a time per object. */
#ifndef QV_CLI_LINE_FILE_H
#define QV_CLI_LINE_FILE_H

#include "base/buf.h"
#include "cli/input.h"

#define QV__LINE_BYTES_MAX ((size_t)32 << 20) /* as large as a request's body */

struct qv__line_file {
    const char *path; /* borrowed; "-" is standard input */
    const char *name; /* for messages */
    struct qv__input input;
    bool standard_input;
    struct qv__buf buf;
    size_t at;      /* first unread byte of buf */
    uint64_t line;  /* number of the last line given, from 1 */
    uint64_t bytes; /* read so far */
    uint64_t size;  /* of the file; 0 = not known */
    bool end;
};

qv_status qv__line_file_open(struct qv__line_file *f, struct qv__mem *mem, const char *path,
                             struct qv_err *err) QV_MUST_USE;
void qv__line_file_close(struct qv__line_file *f); /* safe on a zeroed one, and twice */
/* *found false at the end. The line is borrowed until the next call. Errors: QV_ETOOBIG for a line
 * over QV__LINE_BYTES_MAX, QV_EIO, QV_ENOMEM, with file and line. */
qv_status qv__line_file_next(struct qv__line_file *f, struct qv__str *line, bool *found,
                             struct qv_err *err) QV_MUST_USE;
/* Lines that are not blank, from the start to the end; then stands at the start again. Only for
 * files that know their size. */
qv_status qv__line_file_count(struct qv__line_file *f, uint64_t *out,
                              struct qv_err *err) QV_MUST_USE;

#endif
