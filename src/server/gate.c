/* gate.c: the checks of a request's head (see gate.h).
 *
 * The rules follow RFC 9112, read strictly: one framing header, decimal content-length, transfer
 * coding exactly "chunked" and only in HTTP/1.1, token names, no control characters, one host, an
 * origin-form target (absolute-form is cut to it) without raw blanks, controls or a fragment. */
#include "server/gate.h"

bool qv__str_is_nocase(struct qv__str s, const char *z)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] - 'A' + 'a') : s.p[i];
        if (z[i] == 0 || c != z[i]) {
            return false;
        }
    }
    return z[s.n] == 0;
}

const struct qv__header *qv__head_find(const struct qv__header *headers, size_t n, const char *name,
                                       size_t *n_found)
{
    const struct qv__header *first = NULL;
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        if (qv__str_is_nocase(headers[i].name, name)) {
            first = first ? first : &headers[i];
            found++;
        }
    }
    if (n_found) {
        *n_found = found;
    }
    return first;
}

static bool is_token_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct qv__str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_token_char((uint8_t)s.p[i])) {
            return false;
        }
    }
    return s.n > 0;
}

static bool is_field_value(struct qv__str s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static enum qv__refusal check_headers(const struct qv__head *head)
{
    size_t bytes = head->method.n + head->target.n + head->version.n + 4;
    for (size_t i = 0; i < head->n_headers; i++) {
        bytes += head->headers[i].name.n + head->headers[i].value.n + 4;
    }
    if (head->n_headers > QV__HEADERS_MAX || bytes > QV__HEAD_BYTES_MAX) {
        return QV__REFUSE_HEAD_LARGE;
    }
    for (size_t i = 0; i < head->n_headers; i++) {
        if (!is_token(head->headers[i].name)) {
            return QV__REFUSE_HEADER_NAME;
        }
        if (!is_field_value(head->headers[i].value)) {
            return QV__REFUSE_HEADER_VALUE;
        }
    }
    return QV__ACCEPTED;
}

static enum qv__refusal check_host(const struct qv__head *head, bool required)
{
    size_t n;
    const struct qv__header *host = qv__head_find(head->headers, head->n_headers, "host", &n);
    if (n > 1 || (n == 0 && required)) {
        return QV__REFUSE_HOST;
    }
    for (size_t i = 0; host && i < host->value.n; i++) {
        uint8_t c = (uint8_t)host->value.p[i];
        if (c <= 0x20 || c >= 0x7f || strchr("/?#@\\,", c)) {
            return QV__REFUSE_HOST;
        }
    }
    return QV__ACCEPTED;
}

#define LENGTH_DIGITS_MAX 19 /* more could overflow 64 bits */

static bool parse_length(struct qv__str s, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    *out = v;
    return s.n > 0 && s.n <= LENGTH_DIGITS_MAX;
}

static enum qv__refusal check_framing(const struct qv__head *head, bool http_1_0,
                                      uint64_t body_bytes_max, struct qv__gate *out)
{
    size_t n_length, n_coding;
    const struct qv__header *length =
        qv__head_find(head->headers, head->n_headers, "content-length", &n_length);
    const struct qv__header *coding =
        qv__head_find(head->headers, head->n_headers, "transfer-encoding", &n_coding);
    if (n_coding) {
        out->chunked = true;
        if (n_coding > 1 || n_length || http_1_0 || !qv__str_is_nocase(coding->value, "chunked")) {
            return QV__REFUSE_ENCODING;
        }
        return QV__ACCEPTED;
    }
    if (n_length > 1 || (length && !parse_length(length->value, &out->content_length))) {
        return QV__REFUSE_LENGTH;
    }
    out->has_body = out->content_length > 0;
    return out->content_length > body_bytes_max ? QV__REFUSE_BODY_LARGE : QV__ACCEPTED;
}

/* "http://host/path" to "/path". */
static struct qv__str origin_form(struct qv__str t)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < QV_ARRAY_LEN(schemes); i++) {
        size_t n = strlen(schemes[i]);
        if (t.n > n && qv__str_is_nocase((struct qv__str){t.p, n}, schemes[i])) {
            size_t at = n;
            while (at < t.n && t.p[at] != '/' && t.p[at] != '?') {
                at++;
            }
            if (at == n) {
                return (struct qv__str){NULL, 0}; /* no authority */
            }
            return (struct qv__str){t.p + at, t.n - at};
        }
    }
    return t;
}

static enum qv__refusal check_target(struct qv__str t, bool options, struct qv__gate *out)
{
    for (size_t i = 0; i < t.n; i++) {
        uint8_t c = (uint8_t)t.p[i];
        if (c <= 0x20 || c == 0x7f || c == '#') {
            return QV__REFUSE_TARGET;
        }
    }
    struct qv__str rest = origin_form(t);
    bool absolute = rest.n != t.n;
    if (absolute && rest.p && (rest.n == 0 || rest.p[0] == '?')) {
        out->path = QV__STR("/"); /* an authority alone names the root */
        out->query = rest.n ? (struct qv__str){rest.p + 1, rest.n - 1} : QV__STR("");
        return QV__ACCEPTED;
    }
    if (options && qv__str_eq(t, QV__STR("*"))) {
        out->path = t;
        out->query = QV__STR("");
        return QV__ACCEPTED;
    }
    if (rest.n == 0 || rest.p[0] != '/') {
        return QV__REFUSE_TARGET;
    }
    const char *mark = memchr(rest.p, '?', rest.n);
    size_t path_n = mark ? (size_t)(mark - rest.p) : rest.n;
    out->path = (struct qv__str){rest.p, path_n};
    out->query = mark ? (struct qv__str){mark + 1, rest.n - path_n - 1} : QV__STR("");
    return QV__ACCEPTED;
}

static bool find_method(struct qv__str s, struct qv__gate *out)
{
    static const struct {
        const char *name;
        enum qv__method method;
    } known[] = {{"GET", QV__GET},        {"POST", QV__POST},     {"PUT", QV__PUT},
                 {"PATCH", QV__PATCH},    {"DELETE", QV__DELETE}, {"HEAD", QV__GET},
                 {"OPTIONS", QV__OPTIONS}};
    for (size_t i = 0; i < QV_ARRAY_LEN(known); i++) {
        if (qv__str_eq(s, qv__str_z(known[i].name))) {
            out->method = known[i].method;
            out->is_head = s.p[0] == 'H';
            return true;
        }
    }
    return false;
}

static enum qv__refusal check_rest(const struct qv__head *head, struct qv__gate *out)
{
    const struct qv__header *expect = qv__head_find(head->headers, head->n_headers, "expect", NULL);
    if (expect && !qv__str_is_nocase(expect->value, "100-continue")) {
        return QV__REFUSE_EXPECT;
    }
    const struct qv__header *coding =
        qv__head_find(head->headers, head->n_headers, "content-encoding", NULL);
    if (coding && coding->value.n && !qv__str_is_nocase(coding->value, "identity")) {
        return QV__REFUSE_CONTENT_ENCODING;
    }
    out->preflight =
        out->method == QV__OPTIONS &&
        qv__head_find(head->headers, head->n_headers, "origin", NULL) &&
        qv__head_find(head->headers, head->n_headers, "access-control-request-method", NULL);
    return QV__ACCEPTED;
}

enum qv__refusal qv__gate_check(const struct qv__head *head, uint64_t body_bytes_max,
                                struct qv__gate *out)
{
    memset(out, 0, sizeof *out);
    out->has_body = true; /* until the framing is known */
    bool http_1_0 = qv__str_eq(head->version, QV__STR("HTTP/1.0"));
    if (!http_1_0 && !qv__str_eq(head->version, QV__STR("HTTP/1.1"))) {
        return QV__REFUSE_VERSION;
    }
    if (head->target.n > QV__TARGET_BYTES_MAX) {
        return QV__REFUSE_TARGET_LONG;
    }
    enum qv__refusal no = check_headers(head);
    if (no != QV__ACCEPTED) {
        return no;
    }
    no = check_host(head, !http_1_0);
    if (no != QV__ACCEPTED) {
        return no;
    }
    no = check_framing(head, http_1_0, body_bytes_max, out);
    if (no != QV__ACCEPTED) {
        return no;
    }
    bool known = find_method(head->method, out);
    no = check_target(head->target, known && out->method == QV__OPTIONS, out);
    if (no != QV__ACCEPTED) {
        return no;
    }
    return known ? check_rest(head, out) : QV__REFUSE_METHOD;
}

/* ---- the layout of a plain head ---- */

/* Addresses, because the pieces need not lie in one object when the head is not plain. */
static uintptr_t end_of(const char *p, size_t n)
{
    return (uintptr_t)p + n;
}

#define CRLF 2u

bool qv__layout_begin(struct qv__head_layout *l)
{
    if (!l->method || !l->target || !l->version) {
        return false;
    }
    l->at = l->version + l->version_bytes + CRLF;
    return end_of(l->method, l->method_bytes + 1) == (uintptr_t)l->target &&
           end_of(l->target, l->target_bytes + 1) == (uintptr_t)l->version;
}

bool qv__layout_header(struct qv__head_layout *l, const char *name, size_t name_bytes,
                       const char *value, size_t value_bytes)
{
    uintptr_t after_colon = end_of(name, name_bytes + 1);
    if (name != l->at || !value || (uintptr_t)value < after_colon ||
        (uintptr_t)value - after_colon > QV__HEAD_BYTES_MAX) {
        return false;
    }
    for (const char *p = name + name_bytes + 1; p < value; p++) {
        if (*p != ' ' && *p != '\t') {
            return false;
        }
    }
    l->at = value + value_bytes + CRLF;
    return true;
}

bool qv__layout_end(const struct qv__head_layout *l)
{
    return (uintptr_t)l->at + CRLF == end_of(l->method, l->head_bytes);
}
