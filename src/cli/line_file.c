/* line_file.c: lines through one growing buffer; what was given is shifted out when more is read.
 */
#include "cli/line_file.h"

#include <errno.h>
#include <stdio.h>

#define READ_BYTES ((size_t)1 << 18)

qv_status qv__line_file_open(struct qv__line_file *f, struct qv__mem *mem, const char *path,
                             struct qv_err *err)
{
    *f = (struct qv__line_file){.path = path, .name = path};
    qv__buf_init(&f->buf, mem);
    if (strcmp(path, "-") == 0) {
        f->name = "standard input";
        f->standard_input = true;
        return QV_OK;
    }
    QV_TRY(qv__input_open(&f->input, mem, path, err));
    f->size = f->input.size;
    return QV_OK;
}

void qv__line_file_close(struct qv__line_file *f)
{
    qv__input_close(&f->input);
    if (f->buf.mem) {
        qv__buf_free(&f->buf);
    }
}

static qv_status read_some(struct qv__line_file *f, void *to, size_t max, size_t *got,
                           struct qv_err *err)
{
    if (f->standard_input) {
        *got = fread(to, 1, max, stdin);
        return ferror(stdin) ? qv__fail_os(err, QV_EIO, errno, "%s: cannot read", f->name) : QV_OK;
    }
    *got = (size_t)QV_MIN((uint64_t)max, f->size - f->bytes);
    return qv__input_read(&f->input, to, *got, f->bytes, err);
}

/* Read more behind what is in the buffer. */
static qv_status fill(struct qv__line_file *f, struct qv_err *err)
{
    if (f->at > 0) {
        memmove(f->buf.p, f->buf.p + f->at, f->buf.n - f->at);
        f->buf.n -= f->at;
        f->at = 0;
    }
    if (f->buf.n > QV__LINE_BYTES_MAX) {
        return qv__fail(err, QV_ETOOBIG, "%s line %" PRIu64 ": longer than %zu bytes", f->name,
                        f->line + 1, QV__LINE_BYTES_MAX);
    }
    uint8_t *to = qv__buf_reserve(&f->buf, READ_BYTES);
    if (!to) {
        return qv__buf_status(&f->buf, err);
    }
    size_t n = 0;
    QV_TRY(read_some(f, to, READ_BYTES, &n, err));
    f->buf.n += n;
    f->bytes += n;
    f->end = n == 0;
    return QV_OK;
}

/* The next line, blank or not. */
static qv_status any_line(struct qv__line_file *f, struct qv__str *line, bool *found,
                          struct qv_err *err)
{
    size_t looked = 0;
    for (;;) {
        size_t left = f->buf.n - f->at;
        const char *from = left ? (const char *)f->buf.p + f->at : NULL;
        const char *feed = left > looked ? memchr(from + looked, '\n', left - looked) : NULL;
        if (feed || (f->end && left > 0)) {
            *line = (struct qv__str){from, feed ? (size_t)(feed - from) : left};
            f->at += line->n + (feed != NULL);
            f->line++;
            *found = true;
            return QV_OK;
        }
        if (f->end) {
            *found = false;
            return QV_OK;
        }
        looked = left;
        QV_TRY(fill(f, err));
    }
}

static bool is_blank(struct qv__str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != ' ' && s.p[i] != '\t' && s.p[i] != '\r') {
            return false;
        }
    }
    return true;
}

qv_status qv__line_file_next(struct qv__line_file *f, struct qv__str *line, bool *found,
                             struct qv_err *err)
{
    do {
        QV_TRY(any_line(f, line, found, err));
        if (*found && f->line == 1 && line->n >= 3 && memcmp(line->p, "\xef\xbb\xbf", 3) == 0) {
            line->p += 3;
            line->n -= 3;
        }
    } while (*found && is_blank(*line));
    return QV_OK;
}

qv_status qv__line_file_count(struct qv__line_file *f, uint64_t *out, struct qv_err *err)
{
    struct qv__str line;
    bool found = true;
    *out = 0;
    for (;;) {
        QV_TRY(qv__line_file_next(f, &line, &found, err));
        if (!found) {
            break;
        }
        ++*out;
    }
    qv__buf_reset(&f->buf);
    f->at = 0;
    f->line = f->bytes = 0;
    f->end = false;
    return QV_OK;
}
