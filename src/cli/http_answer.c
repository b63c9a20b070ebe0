/* http_answer.c: reading an HTTP/1.1 answer, strictly (RFC 9112).
 *
 * Own choices where the RFC leaves one: no folded header lines, no bare CR or LF as a line end, at
 * most 64 KiB and 128 lines of head, Content-Length and Transfer-Encoding never together, the only
 * transfer coding is "chunked", equal repeated Content-Length fields are refused like unequal ones,
 * an answer without either length ends with the connection only if it says "close". At most eight
 * interim (1xx) answers are skipped; 101 was never asked for. */
#include "cli/http_client.h"

#define HEAD_BYTES_MAX 65536u
#define HEAD_LINES_MAX 128u
#define CHUNK_LINE_MAX 256u
#define INTERIM_MAX    8u

static qv_status malformed(struct qv_err *err, const char *what)
{
    return qv__fail(err, QV_EIO, "malformed answer of the server: %s", what);
}

static qv_status refill(struct qv__http_source *s, struct qv_err *err)
{
    size_t got = 0;
    QV_TRY(s->read(s, s->block, sizeof s->block, &got, err));
    if (got == 0) {
        return qv__fail(err, QV_EIO, "the server closed the connection %s",
                        s->began ? "in the middle of an answer" : "without an answer");
    }
    s->began = true;
    s->at = 0;
    s->n = got;
    return QV_OK;
}

/* A line up to CR LF into line[max + 1], without it. */
static qv_status read_line(struct qv__http_source *s, char *line, size_t max, size_t *n,
                           struct qv_err *err)
{
    size_t len = 0;
    for (;;) {
        if (s->at == s->n) {
            QV_TRY(refill(s, err));
        }
        char c = (char)s->block[s->at++];
        if (c == '\n') {
            if (len == 0 || line[len - 1] != '\r') {
                return malformed(err, "a line does not end in CR LF");
            }
            line[--len] = '\0';
            *n = len;
            return QV_OK;
        }
        if (len > 0 && line[len - 1] == '\r') {
            return malformed(err, "a CR stands alone");
        }
        if (((uint8_t)c < 0x20 && c != '\t' && c != '\r') || c == 0x7f) {
            return malformed(err, "a control character in its head");
        }
        if (len == max) {
            return malformed(err, "a line is too long");
        }
        line[len++] = c;
    }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_token(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool equals_ignoring_case(struct qv__str a, const char *b)
{
    if (a.n != strlen(b)) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        char c = a.p[i] >= 'A' && a.p[i] <= 'Z' ? (char)(a.p[i] + 32) : a.p[i];
        if (c != b[i]) {
            return false;
        }
    }
    return true;
}

struct head {
    int status;
    bool has_length, chunked, close;
    uint64_t length;
};

static qv_status read_status(const char *line, size_t n, struct head *h, struct qv_err *err)
{
    if (n < 12 || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') ||
        line[8] != ' ' || !is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11]) ||
        (n > 12 && line[12] != ' ')) {
        return malformed(err, "no HTTP/1.1 status line; is this the port of a Quiver server?");
    }
    h->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    h->close = line[7] == '0';
    if (h->status < 100 || h->status > 599) {
        return malformed(err, "a status out of range");
    }
    return QV_OK;
}

static qv_status read_length(struct qv__str v, struct head *h, struct qv_err *err)
{
    uint64_t n = 0;
    if (h->has_length) {
        return malformed(err, "Content-Length comes twice");
    }
    if (v.n == 0 || v.n > 18) {
        return malformed(err, "Content-Length is no number");
    }
    for (size_t i = 0; i < v.n; i++) {
        if (!is_digit(v.p[i])) {
            return malformed(err, "Content-Length is no number");
        }
        n = n * 10 + (uint64_t)(v.p[i] - '0');
    }
    h->has_length = true;
    h->length = n;
    return QV_OK;
}

/* True if a comma-separated list has the word. */
static bool list_has(struct qv__str v, const char *word)
{
    while (v.n > 0) {
        size_t n = 0;
        while (n < v.n && v.p[n] != ',') {
            n++;
        }
        struct qv__str item = {v.p, n};
        while (item.n && (item.p[0] == ' ' || item.p[0] == '\t')) {
            item.p++;
            item.n--;
        }
        while (item.n && (item.p[item.n - 1] == ' ' || item.p[item.n - 1] == '\t')) {
            item.n--;
        }
        if (equals_ignoring_case(item, word)) {
            return true;
        }
        n += n < v.n;
        v.p += n;
        v.n -= n;
    }
    return false;
}

static qv_status read_field(const char *line, size_t n, struct head *h, struct qv_err *err)
{
    size_t name_n = 0;
    while (name_n < n && is_token(line[name_n])) {
        name_n++;
    }
    if (name_n == 0 || name_n == n || line[name_n] != ':') {
        return malformed(err, "a header line is no `name: value`");
    }
    struct qv__str name = {line, name_n}, v = {line + name_n + 1, n - name_n - 1};
    while (v.n && (v.p[0] == ' ' || v.p[0] == '\t')) {
        v.p++;
        v.n--;
    }
    while (v.n && (v.p[v.n - 1] == ' ' || v.p[v.n - 1] == '\t')) {
        v.n--;
    }
    if (equals_ignoring_case(name, "content-length")) {
        return read_length(v, h, err);
    }
    if (equals_ignoring_case(name, "transfer-encoding")) {
        if (h->chunked || !equals_ignoring_case(v, "chunked")) {
            return malformed(err, "a Transfer-Encoding other than chunked");
        }
        h->chunked = true;
    } else if (equals_ignoring_case(name, "connection")) {
        h->close |= list_has(v, "close");
    } else if (equals_ignoring_case(name, "content-encoding") &&
               !equals_ignoring_case(v, "identity")) {
        return malformed(err, "a Content-Encoding that was not asked for");
    }
    return QV_OK;
}

static qv_status read_head(struct qv__http_source *s, struct head *h, struct qv_err *err)
{
    char line[8192];
    size_t n = 0, total = 0;
    *h = (struct head){0};
    QV_TRY(read_line(s, line, sizeof line - 1, &n, err));
    QV_TRY(read_status(line, n, h, err));
    for (unsigned lines = 0;; lines++) {
        total += n + 2;
        QV_TRY(read_line(s, line, sizeof line - 1, &n, err));
        if (n == 0) {
            break;
        }
        if (lines == HEAD_LINES_MAX || total > HEAD_BYTES_MAX) {
            return malformed(err, "its head is too large");
        }
        QV_TRY(read_field(line, n, h, err));
    }
    if (h->chunked && h->has_length) {
        return malformed(err, "both Content-Length and Transfer-Encoding");
    }
    return QV_OK;
}

static qv_status read_bytes(struct qv__http_source *s, struct qv__buf *out, uint64_t n,
                            struct qv_err *err)
{
    while (n > 0) {
        if (s->at == s->n) {
            QV_TRY(refill(s, err));
        }
        size_t take = (size_t)QV_MIN((uint64_t)(s->n - s->at), n);
        qv__buf_put(out, s->block + s->at, take);
        s->at += take;
        n -= take;
    }
    return qv__buf_status(out, err);
}

/* n bytes of a body of `of` in all; 0 = it is not told how many. */
static qv_status sink_bytes(struct qv__http_source *s, uint64_t n, uint64_t of, struct qv_err *err)
{
    while (n > 0) {
        if (s->at == s->n) {
            QV_TRY(refill(s, err));
        }
        size_t take = (size_t)QV_MIN((uint64_t)(s->n - s->at), n);
        QV_TRY(s->sink(s->sink_ctx, s->block + s->at, take, of, err));
        s->at += take;
        n -= take;
    }
    return QV_OK;
}

static qv_status too_large(size_t body_max, struct qv_err *err)
{
    return qv__fail(err, QV_ETOOBIG, "the server's answer is over the limit of %zu bytes",
                    body_max);
}

/* The size in front of a chunk: 1 to 8 hex digits and, maybe, extensions. */
static qv_status chunk_size(const char *line, size_t n, uint64_t *out, struct qv_err *err)
{
    uint64_t v = 0;
    size_t i = 0;
    for (; i < n && i < 9; i++) {
        char c = line[i];
        unsigned digit = is_digit(c)              ? (unsigned)(c - '0')
                         : (c >= 'a' && c <= 'f') ? (unsigned)(c - 'a') + 10
                         : (c >= 'A' && c <= 'F') ? (unsigned)(c - 'A') + 10
                                                  : 16;
        if (digit == 16) {
            break;
        }
        v = v << 4 | digit;
    }
    if (i == 0 || i == 9 || (i < n && line[i] != ';' && line[i] != ' ' && line[i] != '\t')) {
        return malformed(err, "a chunk's size is no hexadecimal number");
    }
    *out = v;
    return QV_OK;
}

/* `out` NULL: to the sink. */
static qv_status read_chunks(struct qv__http_source *s, size_t body_max, struct qv__buf *out,
                             struct qv_err *err)
{
    char line[CHUNK_LINE_MAX + 1];
    size_t n = 0;
    for (;;) {
        uint64_t size = 0;
        QV_TRY(read_line(s, line, CHUNK_LINE_MAX, &n, err));
        QV_TRY(chunk_size(line, n, &size, err));
        if (size == 0) {
            break;
        }
        if (out && size > body_max - out->n) {
            return too_large(body_max, err);
        }
        QV_TRY(out ? read_bytes(s, out, size, err) : sink_bytes(s, size, 0, err));
        QV_TRY(read_line(s, line, CHUNK_LINE_MAX, &n, err));
        if (n != 0) {
            return malformed(err, "a chunk is longer than its size");
        }
    }
    for (unsigned lines = 0; lines <= HEAD_LINES_MAX; lines++) { /* trailer fields: skipped */
        QV_TRY(read_line(s, line, CHUNK_LINE_MAX, &n, err));
        if (n == 0) {
            return QV_OK;
        }
    }
    return malformed(err, "its trailer is too large");
}

/* `out` NULL: to the sink. */
static qv_status read_to_end(struct qv__http_source *s, size_t body_max, struct qv__buf *out,
                             struct qv_err *err)
{
    for (;;) {
        if (out && s->n - s->at > body_max - out->n) {
            return too_large(body_max, err);
        }
        QV_TRY(out ? read_bytes(s, out, s->n - s->at, err) : sink_bytes(s, s->n - s->at, 0, err));
        s->at = s->n = 0;
        size_t got = 0;
        QV_TRY(s->read(s, s->block, sizeof s->block, &got, err));
        if (got == 0) {
            return QV_OK;
        }
        s->n = got;
    }
}

qv_status qv__http_read_answer(struct qv__http_source *s, size_t body_max,
                               struct qv__http_answer *a, struct qv_err *err)
{
    struct head h;
    unsigned interim = 0;
    s->began = s->at < s->n;
    for (;;) {
        QV_TRY(read_head(s, &h, err));
        if (h.status >= 200) {
            break;
        }
        if (h.status == 101 || ++interim > INTERIM_MAX) {
            return malformed(err, "an interim answer that was not asked for");
        }
    }
    a->status = h.status;
    a->close = h.close;
    qv__buf_reset(&a->body);
    if (h.status == 204 || h.status == 304) {
        return QV_OK;
    }
    struct qv__buf *out = s->sink && h.status == 200 ? NULL : &a->body;
    if (h.chunked) {
        return read_chunks(s, body_max, out, err);
    }
    if (h.has_length && !out) {
        return sink_bytes(s, h.length, h.length, err);
    }
    if (h.has_length) {
        return h.length > body_max ? too_large(body_max, err)
                                   : read_bytes(s, &a->body, h.length, err);
    }
    if (!h.close) {
        return malformed(err, "it says nothing about its length");
    }
    return read_to_end(s, body_max, out, err);
}
