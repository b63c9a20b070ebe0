/* input.h: a file the user named: opened, its size known, read at any place.
 *
 * What it is: a regular file through os/io.h; its path may lead through symbolic links, unlike a
 * path inside a data directory. What is not a regular file is refused; pipes come in by standard
 * input. Files are read, never mapped: one that becomes shorter meanwhile is an error and not a
 * fault. Threads: one at a time per object. */
#ifndef QV_CLI_INPUT_H
#define QV_CLI_INPUT_H

#include "os/io.h"

struct qv__input {
    const char *path; /* borrowed; for messages */
    struct qv__io *io;
    struct qv__file *file;
    uint64_t size;
};

/* Errors: QV_ENOTFOUND, QV_EIO, QV_ENOMEM, with the path. */
qv_status qv__input_open(struct qv__input *in, struct qv__mem *mem, const char *path,
                         struct qv_err *err) QV_MUST_USE;
void qv__input_close(struct qv__input *in); /* safe on a zeroed one, and twice */
/* All n bytes at `at`, or an error. */
qv_status qv__input_read(const struct qv__input *in, void *to, size_t n, uint64_t at,
                         struct qv_err *err) QV_MUST_USE;

#endif
