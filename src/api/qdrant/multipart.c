/* multipart.c: where in an uploaded form one field's bytes lie.
 *
 * The form is in a file and may be larger than memory: it is read front to back in blocks, and a
 * block overlaps the next by what a delimiter may be cut at. RFC 7578 as far as clients use it:
 * parts between lines of two dashes and the boundary, each with headers, a blank line, bytes.
 * Nothing of a part is believed but its field name; a file name in it is not even looked at. */
#include "api/qdrant/snapshots.h"

#include <stdio.h>

#define BLOCK_BYTES  ((size_t)256 << 10)
#define BOUNDARY_MAX 70u /* RFC 2046 */
#define HEADERS_MAX  ((size_t)8 << 10)
#define PARTS_MAX    64u

struct form {
    struct qv__call *call;
    const char *file;
    uint64_t bytes;
    char delimiter[BOUNDARY_MAX + 4]; /* CR LF, two dashes, the boundary */
    size_t n_delimiter;
    uint8_t *block; /* BLOCK_BYTES */
};

static qv_status malformed(struct qv__call *c, const char *what)
{
    return qv__qd_fail(c, QV__QD_BAD_REQUEST, "multipart form: %s", what);
}

/* The boundary of "multipart/form-data; boundary=...", with or without quotes. */
static qv_status read_boundary(struct form *f)
{
    struct qv__call *c = f->call;
    struct qv__str type = {"", 0}, boundary = {NULL, 0};
    for (size_t i = 0; i < c->request->n_headers; i++) {
        if (qv__str_eq(c->request->headers[i].name, QV__STR("content-type"))) {
            type = c->request->headers[i].value;
        }
    }
    static const char want[] = "multipart/form-data";
    if (type.n < sizeof want - 1 || strncasecmp(type.p, want, sizeof want - 1) != 0) {
        return malformed(c, "the content type must be multipart/form-data");
    }
    for (size_t i = 0; i + 9 < type.n && !boundary.p; i++) {
        if (strncasecmp(type.p + i, "boundary=", 9) == 0) {
            boundary = (struct qv__str){type.p + i + 9, type.n - i - 9};
        }
    }
    if (boundary.n && boundary.p[0] == '"') {
        const char *end = memchr(boundary.p + 1, '"', boundary.n - 1);
        boundary = (struct qv__str){boundary.p + 1, end ? (size_t)(end - boundary.p - 1) : 0};
    } else if (boundary.n) {
        const char *end = memchr(boundary.p, ';', boundary.n);
        boundary.n = end ? (size_t)(end - boundary.p) : boundary.n;
    }
    if (boundary.n == 0 || boundary.n > BOUNDARY_MAX) {
        return malformed(c, "the content type names no boundary of 1 to 70 characters");
    }
    memcpy(f->delimiter, "\r\n--", 4);
    memcpy(f->delimiter + 4, boundary.p, boundary.n);
    f->n_delimiter = 4 + boundary.n;
    return QV_OK;
}

static qv_status read_at(struct form *f, uint64_t at, size_t *n)
{
    *n = (size_t)QV_MIN((uint64_t)BLOCK_BYTES, f->bytes - at);
    return *n ? qv__upload_read(f->call->db, f->file, at, f->block, *n, &f->call->err) : QV_OK;
}

/* A client that hung up, or a server that stops, ends it. The deadline does not: it is that of
 * short requests, and neither the upload before nor the recovery after this is held to it. */
static qv_status go_on(const struct form *f)
{
    struct qv__qctx ctx = f->call->ctx;
    ctx.deadline_ns = 0;
    qv_status st = qv__qctx_check(&ctx);
    return st == QV_OK ? st : qv__fail(&f->call->err, st, "multipart form: %s", qv_status_text(st));
}

/* Where the text next occurs at or after `at`; f->bytes if it does not. */
static qv_status find(struct form *f, uint64_t at, const char *text, size_t n_text, uint64_t *out)
{
    *out = f->bytes;
    while (at < f->bytes && f->bytes - at >= n_text) {
        size_t n;
        QV_TRY(go_on(f));
        QV_TRY(read_at(f, at, &n));
        const uint8_t *p = memmem(f->block, n, text, n_text);
        if (p) {
            *out = at + (uint64_t)(p - f->block);
            return QV_OK;
        }
        at += n - (n_text - 1);
    }
    return QV_OK;
}

/* The parameters behind the type of a disposition (RFC 7578, RFC 2183): tokens, or quoted. */
static bool has_name(struct qv__str s, const char *name)
{
    const char *p = s.p, *end = s.p + s.n;
    while ((p = memchr(p, ';', (size_t)(end - p))) != NULL) {
        do {
            p++;
        } while (p < end && (*p == ' ' || *p == '\t'));
        const char *key = p;
        while (p < end && *p != '=' && *p != ';') {
            p++;
        }
        size_t n_key = (size_t)(p - key);
        if (p == end || *p == ';') {
            continue;
        }
        bool is_quoted = ++p < end && *p == '"';
        const char *value = p + is_quoted;
        for (p = value; p < end && (is_quoted ? *p != '"' : *p != ';' && *p != ' '); p++) {
            p += is_quoted && *p == '\\' && p + 1 < end;
        }
        struct qv__str got = {value, (size_t)(p - value)};
        if (n_key == 4 && strncasecmp(key, "name", 4) == 0) {
            return qv__str_eq(got, qv__str_z(name));
        }
    }
    return false;
}

/* Whether the headers, in the block, say that the part is field `name`. */
static bool is_field(const char *headers, size_t n, const char *name)
{
    static const char disposition[] = "content-disposition:";
    for (const char *line = headers, *end = headers + n; line < end;) {
        const char *feed = memmem(line, (size_t)(end - line), "\r\n", 2);
        size_t len = feed ? (size_t)(feed - line) : (size_t)(end - line);
        if (len > sizeof disposition &&
            strncasecmp(line, disposition, sizeof disposition - 1) == 0) {
            size_t before = sizeof disposition - 1;
            return has_name((struct qv__str){line + before, len - before}, name);
        }
        line += len + 2;
    }
    return false;
}

/* One part: *at is behind its delimiter; afterwards behind that of the next. */
static qv_status next_part(struct form *f, uint64_t *at, const char *name, bool *last, bool *found,
                           uint64_t *offset, uint64_t *bytes)
{
    struct qv__call *c = f->call;
    size_t n;
    QV_TRY(read_at(f, *at, &n));
    if (n >= 2 && memcmp(f->block, "--", 2) == 0) {
        *last = true;
        return QV_OK;
    }
    size_t looked = QV_MIN(n, HEADERS_MAX);
    const uint8_t *blank =
        n >= 2 && memcmp(f->block, "\r\n", 2) == 0 ? memmem(f->block, looked, "\r\n\r\n", 4) : NULL;
    if (!blank) {
        return malformed(c, "a part has no headers, or too long ones");
    }
    size_t n_headers = (size_t)(blank - f->block);
    *found = n_headers > 2 && is_field((const char *)f->block + 2, n_headers - 2, name);
    uint64_t from = *at + n_headers + 4, to;
    QV_TRY(find(f, from, f->delimiter, f->n_delimiter, &to));
    if (to == f->bytes) {
        return malformed(c, "it ends inside a part");
    }
    *offset = from;
    *bytes = to - from;
    *at = to + f->n_delimiter;
    return QV_OK;
}

qv_status qv__qd_multipart_field(struct qv__call *c, const char *file, uint64_t bytes,
                                 const char *name, uint64_t *offset, uint64_t *n)
{
    struct form f = {.call = c, .file = file, .bytes = bytes};
    uint64_t at = 0;
    bool last = false, found = false;
    QV_TRY(read_boundary(&f));
    f.block = qv__arena_alloc(c->arena, BLOCK_BYTES);
    if (!f.block) {
        return qv__qd_no_memory(c);
    }
    /* The first delimiter may stand at the very beginning, without its line break. */
    size_t n_first = f.n_delimiter - 2, got;
    QV_TRY(read_at(&f, 0, &got));
    if (got >= n_first && memcmp(f.block, f.delimiter + 2, n_first) == 0) {
        at = n_first;
    } else {
        QV_TRY(find(&f, 0, f.delimiter, f.n_delimiter, &at));
        if (at == bytes) {
            return malformed(c, "its boundary does not occur");
        }
        at += f.n_delimiter;
    }
    for (unsigned i = 0; i < PARTS_MAX && !last && !found; i++) {
        QV_TRY(next_part(&f, &at, name, &last, &found, offset, n));
    }
    return found
               ? QV_OK
               : qv__qd_fail(c, QV__QD_BAD_REQUEST, "multipart form: Field '%s' is required", name);
}
