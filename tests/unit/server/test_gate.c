/* test_gate.c: the checks of a request's head, and who may ask, without a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/auth.h"

#define BODY_MAX 1000

/* A head from "METHOD TARGET VERSION" and "name: value" lines. */
struct text_head {
    char bytes[65536];
    struct qv__header headers[256];
    struct qv__head head;
};

static const struct qv__head *parse(struct text_head *t, const char *line, const char *headers)
{
    size_t n = strlen(line), h = strlen(headers);
    assert_true(n + h + 2 < sizeof t->bytes);
    memcpy(t->bytes, line, n + 1);
    char *more = t->bytes + n + 1;
    memcpy(more, headers, h + 1);
    char *sp1 = strchr(t->bytes, ' '), *sp2 = strrchr(t->bytes, ' ');
    t->head = (struct qv__head){
        .method = {t->bytes, (size_t)(sp1 - t->bytes)},
        .target = {sp1 + 1, (size_t)(sp2 - sp1 - 1)},
        .version = qv__str_z(sp2 + 1),
        .headers = t->headers,
    };
    while (*more) {
        char *colon = strchr(more, ':'), *end = strchr(more, '\n');
        assert_true(colon && end && t->head.n_headers < QV_ARRAY_LEN(t->headers));
        char *value = colon + 1 + (colon[1] == ' ');
        t->headers[t->head.n_headers++] =
            (struct qv__header){{more, (size_t)(colon - more)}, {value, (size_t)(end - value)}};
        more = end + 1;
    }
    return &t->head;
}

static struct text_head text; /* large; tests are one after the other */

static enum qv__refusal check(const char *line, const char *headers, struct qv__gate *gate)
{
    return qv__gate_check(parse(&text, line, headers), BODY_MAX, gate);
}

static void test_good(void **state)
{
    (void)state;
    static const struct {
        const char *line, *headers;
        enum qv__method method;
        const char *path, *query;
        uint64_t length;
        bool chunked, has_body, is_head;
    } cases[] = {
        {"GET / HTTP/1.1", "Host: a\n", QV__GET, "/", "", 0, false, false, false},
        {"GET /a?b=c&d HTTP/1.1", "host:a\n", QV__GET, "/a", "b=c&d", 0, false, false, false},
        {"GET /a? HTTP/1.0", "", QV__GET, "/a", "", 0, false, false, false},
        {"GET /a?b?c HTTP/1.0", "", QV__GET, "/a", "b?c", 0, false, false, false},
        {"HEAD /a HTTP/1.1", "Host: a\n", QV__GET, "/a", "", 0, false, false, true},
        {"PUT /%2e%2e/%00 HTTP/1.1", "Host: a\nContent-Length: 1000\n", QV__PUT, "/%2e%2e/%00", "",
         1000, false, true, false},
        {"POST /a HTTP/1.1", "Host: a\nTransfer-Encoding: CHUNKED\n", QV__POST, "/a", "", 0, true,
         true, false},
        {"PATCH /a HTTP/1.1", "Host: a\ncontent-length: 0\n", QV__PATCH, "/a", "", 0, false, false,
         false},
        {"POST /a HTTP/1.1", "Host: a\ncontent-length: 0000000000000000007\n", QV__POST, "/a", "",
         7, false, true, false},
        {"DELETE http://h:80/a?b HTTP/1.1", "Host: a\n", QV__DELETE, "/a", "b", 0, false, false,
         false},
        {"GET HTTPS://h HTTP/1.1", "Host: a\n", QV__GET, "/", "", 0, false, false, false},
        {"GET http://h?x=http://y/ HTTP/1.1", "Host: a\n", QV__GET, "/", "x=http://y/", 0, false,
         false, false},
        {"OPTIONS * HTTP/1.1", "Host: a\n", QV__OPTIONS, "*", "", 0, false, false, false},
        {"GET /\xc3\xa4 HTTP/1.1", "Host: [::1]:6333\nX: a\tb\xff\n", QV__GET, "/\xc3\xa4", "", 0,
         false, false, false},
        {"GET / HTTP/1.1", "Host:\nExpect: 100-Continue\nContent-Encoding: Identity\n", QV__GET,
         "/", "", 0, false, false, false},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        struct qv__gate g;
        enum qv__refusal got = check(cases[i].line, cases[i].headers, &g);
        if (got != QV__ACCEPTED) {
            fail_msg("%s: refused: %s", cases[i].line, qv__refusal_row(got)->body);
        }
        assert_int_equal(g.method, cases[i].method);
        assert_true(qv__str_eq(g.path, qv__str_z(cases[i].path)));
        assert_true(qv__str_eq(g.query, qv__str_z(cases[i].query)));
        assert_int_equal(g.content_length, cases[i].length);
        assert_int_equal(g.chunked, cases[i].chunked);
        assert_int_equal(g.has_body, cases[i].has_body);
        assert_int_equal(g.is_head, cases[i].is_head);
        assert_false(g.preflight);
    }
}

static const struct {
    const char *line, *headers;
    enum qv__refusal want;
} bad_heads[] = {
    /* versions */
    {"GET / HTTP/1.2", "Host: a\n", QV__REFUSE_VERSION},
    {"GET / HTTP/2.0", "Host: a\n", QV__REFUSE_VERSION},
    {"GET / HTTP/0.9", "", QV__REFUSE_VERSION},
    {"GET / http/1.1", "Host: a\n", QV__REFUSE_VERSION},
    /* names and values */
    {"GET / HTTP/1.1", "Host: a\nX Y: 1\n", QV__REFUSE_HEADER_NAME},
    {"GET / HTTP/1.1", "Host: a\nContent-Length : 5\n", QV__REFUSE_HEADER_NAME},
    {"GET / HTTP/1.1", "Host: a\n\tTransfer-Encoding: chunked\n", QV__REFUSE_HEADER_NAME},
    {"GET / HTTP/1.1", "Host: a\n: 5\n", QV__REFUSE_HEADER_NAME},
    {"GET / HTTP/1.1", "Host: a\nX\x80: 5\n", QV__REFUSE_HEADER_NAME},
    {"GET / HTTP/1.1", "Host: a\nX(: 5\n", QV__REFUSE_HEADER_NAME},
    {"GET / HTTP/1.1", "Host: a\nX: a\rb\n", QV__REFUSE_HEADER_VALUE},
    {"GET / HTTP/1.1", "Host: a\nX: \x01\n", QV__REFUSE_HEADER_VALUE},
    {"GET / HTTP/1.1", "Host: a\nX: \x7f\n", QV__REFUSE_HEADER_VALUE},
    /* host */
    {"GET / HTTP/1.1", "", QV__REFUSE_HOST},
    {"GET / HTTP/1.1", "Host: a\nhost: a\n", QV__REFUSE_HOST},
    {"GET / HTTP/1.1", "Host: a b\n", QV__REFUSE_HOST},
    {"GET / HTTP/1.1", "Host: a,b\n", QV__REFUSE_HOST},
    {"GET / HTTP/1.1", "Host: a/b\n", QV__REFUSE_HOST},
    {"GET / HTTP/1.1", "Host: u@a\n", QV__REFUSE_HOST},
    {"GET / HTTP/1.0", "Host: a\nHost: b\n", QV__REFUSE_HOST},
    /* lengths */
    {"PUT / HTTP/1.1", "Host: a\nContent-Length:\n", QV__REFUSE_LENGTH},
    {"PUT / HTTP/1.1", "Host: a\nContent-Length: +5\n", QV__REFUSE_LENGTH},
    {"PUT / HTTP/1.1", "Host: a\nContent-Length: -5\n", QV__REFUSE_LENGTH},
    {"PUT / HTTP/1.1", "Host: a\nContent-Length: 5,5\n", QV__REFUSE_LENGTH},
    {"PUT / HTTP/1.1", "Host: a\nContent-Length: 5 5\n", QV__REFUSE_LENGTH},
    {"PUT / HTTP/1.1", "Host: a\nContent-Length: 0x5\n", QV__REFUSE_LENGTH},
    {"PUT / HTTP/1.1", "Host: a\nContent-Length: 5.0\n", QV__REFUSE_LENGTH},
    {"PUT / HTTP/1.1", "Host: a\nContent-Length: 5\nContent-Length: 5\n", QV__REFUSE_LENGTH},
    {"PUT / HTTP/1.1", "Host: a\nContent-Length: 5\ncontent-length: 6\n", QV__REFUSE_LENGTH},
    {"PUT / HTTP/1.1", "Host: a\nContent-Length: 18446744073709551617\n", QV__REFUSE_LENGTH},
    {"PUT / HTTP/1.1", "Host: a\nContent-Length: 00000000000000000005\n", QV__REFUSE_LENGTH},
    {"PUT / HTTP/1.1", "Host: a\nContent-Length: 1001\n", QV__REFUSE_BODY_LARGE},
    {"PUT / HTTP/1.1", "Host: a\nContent-Length: 9223372036854775807\n", QV__REFUSE_BODY_LARGE},
    /* transfer codings */
    {"PUT / HTTP/1.1", "Host: a\nTransfer-Encoding: chunked\nContent-Length: 5\n",
     QV__REFUSE_ENCODING},
    {"PUT / HTTP/1.1", "Host: a\nContent-Length: 5\nTransfer-Encoding: identity\n",
     QV__REFUSE_ENCODING},
    {"PUT / HTTP/1.1", "Host: a\nTransfer-Encoding: gzip, chunked\n", QV__REFUSE_ENCODING},
    {"PUT / HTTP/1.1", "Host: a\nTransfer-Encoding: xchunked\n", QV__REFUSE_ENCODING},
    {"PUT / HTTP/1.1", "Host: a\nTransfer-Encoding: chunked,\n", QV__REFUSE_ENCODING},
    {"PUT / HTTP/1.1", "Host: a\nTransfer-Encoding: \"chunked\"\n", QV__REFUSE_ENCODING},
    {"PUT / HTTP/1.1", "Host: a\nTransfer-Encoding:\n", QV__REFUSE_ENCODING},
    {"PUT / HTTP/1.1", "Host: a\nTransfer-Encoding: chunked\ntransfer-encoding: chunked\n",
     QV__REFUSE_ENCODING},
    {"PUT / HTTP/1.0", "Transfer-Encoding: chunked\n", QV__REFUSE_ENCODING},
    /* targets */
    {"GET a HTTP/1.1", "Host: a\n", QV__REFUSE_TARGET},
    {"GET  HTTP/1.1", "Host: a\n", QV__REFUSE_TARGET},
    {"GET * HTTP/1.1", "Host: a\n", QV__REFUSE_TARGET},
    {"OPTIONS *? HTTP/1.1", "Host: a\n", QV__REFUSE_TARGET},
    {"GET /a#b HTTP/1.1", "Host: a\n", QV__REFUSE_TARGET},
    {"GET /a b HTTP/1.1", "Host: a\n", QV__REFUSE_TARGET},
    {"GET /a\tb HTTP/1.1", "Host: a\n", QV__REFUSE_TARGET},
    {"GET /a\x7f HTTP/1.1", "Host: a\n", QV__REFUSE_TARGET},
    {"GET http:///a HTTP/1.1", "Host: a\n", QV__REFUSE_TARGET},
    {"GET ftp://h/a HTTP/1.1", "Host: a\n", QV__REFUSE_TARGET},
    {"CONNECT h:80 HTTP/1.1", "Host: a\n", QV__REFUSE_TARGET},
    /* the rest */
    {"BREW / HTTP/1.1", "Host: a\n", QV__REFUSE_METHOD},
    {"get / HTTP/1.1", "Host: a\n", QV__REFUSE_METHOD},
    {"TRACE / HTTP/1.1", "Host: a\n", QV__REFUSE_METHOD},
    {"PUT / HTTP/1.1", "Host: a\nContent-Length: 5\nExpect: x\n", QV__REFUSE_EXPECT},
    {"PUT / HTTP/1.1", "Host: a\nExpect: 100-continue,x\n", QV__REFUSE_EXPECT},
    {"PUT / HTTP/1.1", "Host: a\nContent-Encoding: gzip\n", QV__REFUSE_CONTENT_ENCODING},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < QV_ARRAY_LEN(bad_heads); i++) {
        struct qv__gate g;
        enum qv__refusal got = check(bad_heads[i].line, bad_heads[i].headers, &g);
        if (got != bad_heads[i].want) {
            fail_msg("%s | %s: got %d (%s), want %d", bad_heads[i].line, bad_heads[i].headers, got,
                     qv__refusal_row(got)->body, bad_heads[i].want);
        }
        /* Whoever does not close the connection has known where the next request begins. */
        const struct qv__refusal_row *row = qv__refusal_row(got);
        assert_true(row->closes || got == QV__REFUSE_METHOD || got == QV__REFUSE_CONTENT_ENCODING);
        assert_in_range(row->http_status, 400, 599);
        assert_true(strlen(row->body) > 20 && strlen(row->body) < 300);
    }
    print_message("%zu malformed heads\n", QV_ARRAY_LEN(bad_heads));
}

static void test_sizes(void **state)
{
    (void)state;
    static char line[40000], headers[60000];
    struct qv__gate g;
    memset(line, 'a', sizeof line);
    memcpy(line, "GET /", 5);
    strcpy(line + 4 + QV__TARGET_BYTES_MAX, " HTTP/1.1");
    assert_int_equal(check(line, "Host: a\n", &g), QV__ACCEPTED);
    assert_int_equal(g.path.n, QV__TARGET_BYTES_MAX);
    memset(line + 4 + QV__TARGET_BYTES_MAX, 'a', 1);
    strcpy(line + 5 + QV__TARGET_BYTES_MAX, " HTTP/1.1");
    assert_int_equal(check(line, "Host: a\n", &g), QV__REFUSE_TARGET_LONG);

    size_t n = (size_t)sprintf(headers, "Host: a\n");
    for (unsigned i = 1; i < QV__HEADERS_MAX; i++) {
        n += (size_t)sprintf(headers + n, "x%u: y\n", i);
    }
    assert_int_equal(check("GET / HTTP/1.1", headers, &g), QV__ACCEPTED);
    sprintf(headers + n, "one: more\n");
    assert_int_equal(check("GET / HTTP/1.1", headers, &g), QV__REFUSE_HEAD_LARGE);

    n = (size_t)sprintf(headers, "Host: a\nx: ");
    memset(headers + n, 'v', QV__HEAD_BYTES_MAX);
    /* "GET / HTTP/1.1", and four bytes beside every name and value */
    size_t fits = QV__HEAD_BYTES_MAX - (3 + 1 + 8 + 4) - (4 + 1 + 4) - (1 + 4);
    strcpy(headers + n + fits, "\n");
    assert_int_equal(check("GET / HTTP/1.1", headers, &g), QV__ACCEPTED);
    headers[n + fits] = 'v';
    strcpy(headers + n + fits + 1, "\n");
    assert_int_equal(check("GET / HTTP/1.1", headers, &g), QV__REFUSE_HEAD_LARGE);
}

static void test_preflight(void **state)
{
    (void)state;
    struct qv__gate g;
    check("OPTIONS /a HTTP/1.1", "Host: a\nOrigin: o\nAccess-Control-Request-Method: PUT\n", &g);
    assert_true(g.preflight);
    check("GET /a HTTP/1.1", "Host: a\nOrigin: o\nAccess-Control-Request-Method: PUT\n", &g);
    assert_false(g.preflight);
    check("OPTIONS /a HTTP/1.1", "Host: a\nAccess-Control-Request-Method: PUT\n", &g);
    assert_false(g.preflight);
    check("OPTIONS /a HTTP/1.1", "Host: a\nOrigin: o\n", &g);
    assert_false(g.preflight);
}

/* ---- the layout of a head in the parser's buffer ---- */

/* Do to a head in place what the parser does, then ask. The parser's model: lines end at CRLF or
 * LF, which become NULs; a name ends at the colon; blanks before a value are skipped. */
static bool layout_of(char *bytes, size_t n)
{
    struct qv__head_layout l = {.head_bytes = n};
    bool good = true, first = true;
    for (char *at = bytes; at < bytes + n;) {
        char *line = at, *end = memchr(at, '\n', (size_t)(bytes + n - at));
        assert_non_null(end);
        *end = 0;
        if (end > line && end[-1] == '\r') {
            end[-1] = 0;
        }
        at = end + 1;
        if (first) {
            char *target = strchr(line, ' ');
            char *version = strrchr(line, ' ');
            *target = 0;
            for (target++; *target == ' '; target++) {
            }
            *version = 0;
            version++;
            l.method = line;
            l.method_bytes = strlen(line);
            l.target = target;
            l.target_bytes = strlen(target);
            l.version = version;
            l.version_bytes = strlen(version);
            good = qv__layout_begin(&l);
            first = false;
        } else if (*line) {
            char *value = strchr(line, ':');
            assert_non_null(value);
            *value = 0;
            for (value++; *value == ' ' || *value == '\t'; value++) {
            }
            good = good && qv__layout_header(&l, line, strlen(line), value, strlen(value));
        } else {
            break;
        }
    }
    return good && qv__layout_end(&l);
}

static void test_layout(void **state)
{
    (void)state;
#define H(literal, plain)                                                                          \
    {                                                                                              \
        literal, sizeof(literal) - 1, plain                                                        \
    }
    static const struct {
        const char *bytes;
        size_t n;
        bool plain;
    } cases[] = {
        H("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        H("GET / HTTP/1.0\r\n\r\n", true),
        H("GET /a?b HTTP/1.1\r\nHost:a\r\nX:\r\nY: \t \r\nZ: a b \r\n\r\n", true),
        H("GET / HTTP/1.1\nHost: a\r\n\r\n", false),
        H("GET / HTTP/1.1\r\nHost: a\n\r\n", false),
        H("GET / HTTP/1.1\r\nX: y\r\nHost: a\n\r\n", false),
        H("GET / HTTP/1.1\r\nX: y\nHost: a\r\n\r\n", false),
        H("GET / HTTP/1.1\r\nHost: a\r\n\n", false),
        H("GET / HTTP/1.0\r\n\n", false),
        H("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", false),
        H("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", false),
        H("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", false),
        H("GET / HTTP/1.1\r\nX: chunked\0\r\nHost: a\r\n\r\n", false),
        H("GET /\0a HTTP/1.1\r\nHost: a\r\n\r\n", false),
    };
#undef H
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        char bytes[256];
        memcpy(bytes, cases[i].bytes, cases[i].n);
        if (layout_of(bytes, cases[i].n) != cases[i].plain) {
            fail_msg("case %zu: %s", i, cases[i].bytes);
        }
    }
    /* A folded line's header lies elsewhere. */
    static const char elsewhere[] = "Transfer-Encoding";
    char bytes[] = "GET / HTTP/1.1\r\nTransfer-Encod: chunked\r\n ing\r\n\r\n";
    struct qv__head_layout l = {bytes, 3, bytes + 4, 1, bytes + 6, 8, sizeof bytes - 1, NULL};
    assert_true(qv__layout_begin(&l));
    assert_false(qv__layout_header(&l, elsewhere, 17, bytes + 32, 7));
    l.target = NULL;
    assert_false(qv__layout_begin(&l));
}

/* ---- who asks ---- */

struct keys {
    const char *full, *reader;
};

static struct qv__server_config with_keys(struct keys keys)
{
    struct qv__server_config c;
    qv__server_config_init(&c);
    if (keys.full) {
        assert_int_equal(qv__server_config_set(&c, "api_key", keys.full, QV__FROM_FLAG, NULL), 0);
    }
    if (keys.reader) {
        assert_int_equal(
            qv__server_config_set(&c, "read_only_api_key", keys.reader, QV__FROM_FLAG, NULL), 0);
    }
    return c;
}

static enum qv__refusal ask(struct keys keys, const char *line, const char *headers,
                            struct qv__principal *who)
{
    struct qv__server_config c = with_keys(keys);
    struct qv__gate g;
    char all[1024];
    snprintf(all, sizeof all, "Host: a\n%s", headers);
    assert_int_equal(check(line, all, &g), QV__ACCEPTED);
    return qv__auth_check(&c, &text.head, &g, who);
}

static void test_keys(void **state)
{
    (void)state;
    static const struct keys none = {NULL, NULL}, both = {"full-key", "read-key"},
                             full = {"full-key", NULL}, reader = {NULL, "read-key"};
    enum { FULL, READ, OPEN, NO, BAD, TWICE };
    static const struct {
        const struct keys *keys;
        const char *line, *headers;
        int want;
    } cases[] = {
        {&none, "PUT /c HTTP/1.1", "", FULL},
        {&none, "PUT /c HTTP/1.1", "api-key: whatever\n", FULL},
        {&both, "GET /c HTTP/1.1", "", NO},
        {&both, "GET /c HTTP/1.1", "api-key: full-key\n", FULL},
        {&both, "GET /c HTTP/1.1", "API-Key: full-key\n", FULL},
        {&both, "GET /c HTTP/1.1", "api-key: read-key\n", READ},
        {&both, "GET /c HTTP/1.1", "authorization: Bearer full-key\n", FULL},
        {&both, "GET /c HTTP/1.1", "authorization: bearer  read-key\n", READ},
        {&both, "GET /c HTTP/1.1", "api-key:\n", BAD},
        {&both, "GET /c HTTP/1.1", "api-key: Full-key\n", BAD},
        {&both, "GET /c HTTP/1.1", "api-key: full-ke\n", BAD},
        {&both, "GET /c HTTP/1.1", "api-key: full-keyy\n", BAD},
        {&both, "GET /c HTTP/1.1", "api-key: full-key,full-key\n", BAD},
        {&both, "GET /c HTTP/1.1", "api-key: Bearer full-key\n", BAD},
        {&both, "GET /c HTTP/1.1", "authorization: full-key\n", BAD},
        {&both, "GET /c HTTP/1.1", "authorization: Bearer\n", BAD},
        {&both, "GET /c HTTP/1.1", "authorization: Bearer \n", BAD},
        {&both, "GET /c HTTP/1.1", "authorization: Basic full-key\n", BAD},
        {&both, "GET /c HTTP/1.1", "authorization: Bearer full-key x\n", BAD},
        {&both, "GET /c HTTP/1.1", "api-key: no\nauthorization: Bearer full-key\n", BAD},
        {&both, "GET /c HTTP/1.1", "api-key: full-key\napi-key: full-key\n", TWICE},
        {&both, "GET /c HTTP/1.1", "authorization: Bearer full-key\nAuthorization: x\n", TWICE},
        {&both, "GET /c?api-key=full-key HTTP/1.1", "", NO},
        {&both, "GET /c HTTP/1.1", "x-api-key: full-key\n", NO},
        {&full, "GET /c HTTP/1.1", "api-key: read-key\n", BAD},
        {&full, "GET /c HTTP/1.1", "api-key:\n", BAD}, /* an unset key is not "" */
        {&full, "GET /c HTTP/1.1", "authorization: Bearer \n", BAD},
        {&reader, "GET /c HTTP/1.1", "api-key:\n", BAD},
        {&reader, "PUT /c HTTP/1.1", "", NO},
        {&reader, "PUT /c HTTP/1.1", "api-key: read-key\n", READ},
        {&both, "GET / HTTP/1.1", "", OPEN},
        {&both, "GET /?x HTTP/1.1", "", OPEN},
        {&both, "GET /healthz HTTP/1.1", "", OPEN},
        {&both, "HEAD /livez HTTP/1.1", "", OPEN},
        {&both, "GET /readyz HTTP/1.1", "api-key: wrong\n", OPEN},
        {&both, "GET /readyz HTTP/1.1", "api-key: full-key\n", OPEN},
        {&both, "POST /healthz HTTP/1.1", "", NO},
        {&both, "DELETE / HTTP/1.1", "", NO},
        {&both, "OPTIONS / HTTP/1.1", "", NO},
        {&both, "GET /healthz/ HTTP/1.1", "", NO},
        {&both, "GET //healthz HTTP/1.1", "", NO},
        {&both, "GET /%68ealthz HTTP/1.1", "", NO},
        {&both, "GET /HEALTHZ HTTP/1.1", "", NO},
        {&both, "GET /healthz/../c HTTP/1.1", "", NO},
        {&both, "GET /healthz;x HTTP/1.1", "", NO},
        {&both, "GET /metrics HTTP/1.1", "", NO},
        {&both, "GET /collections HTTP/1.1", "", NO},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        struct qv__principal who;
        enum qv__refusal got = ask(*cases[i].keys, cases[i].line, cases[i].headers, &who);
        static const enum qv__refusal want[] = {QV__ACCEPTED,       QV__ACCEPTED,
                                                QV__ACCEPTED,       QV__REFUSE_NO_KEY,
                                                QV__REFUSE_BAD_KEY, QV__REFUSE_CREDENTIALS_TWICE};
        if (got != want[cases[i].want]) {
            fail_msg("%s | %s: got %d", cases[i].line, cases[i].headers, got);
        }
        if (got == QV__ACCEPTED) {
            assert_int_equal(who.read_only, cases[i].want != FULL);
            assert_null(who.forced_filter);
            assert_true(who.subject.n > 0);
        }
    }
    print_message("%zu cases of keys\n", QV_ARRAY_LEN(cases));
    /* A server that only reads makes every principal one that only reads. */
    struct qv__server_config c = with_keys(both);
    struct qv__principal who;
    struct qv__gate g;
    c.read_only = true;
    check("GET /c HTTP/1.1", "Host: a\napi-key: full-key\n", &g);
    assert_int_equal(qv__auth_check(&c, &text.head, &g, &who), QV__ACCEPTED);
    assert_true(who.read_only);
}

static void test_key_equal(void **state)
{
    (void)state;
    char key[QV__CONFIG_KEY_MAX + 1] = {0}, given[QV__CONFIG_KEY_MAX + 2];
    for (size_t n = 1; n <= QV__CONFIG_KEY_MAX; n++) {
        memset(key, 0, sizeof key);
        memset(key, 'k', n);
        memset(given, 'k', sizeof given);
        for (size_t m = 0; m <= QV__CONFIG_KEY_MAX + 1; m++) {
            assert_int_equal(qv__key_equal(key, (struct qv__str){given, m}), m == n);
        }
        given[n - 1] = 'j';
        assert_false(qv__key_equal(key, (struct qv__str){given, n}));
    }
    memset(key, 0, sizeof key);
    memset(given, 0, sizeof given);
    for (size_t m = 0; m <= QV__CONFIG_KEY_MAX; m++) {
        assert_false(qv__key_equal(key, (struct qv__str){given, m})); /* no key, no match */
    }
    given[0] = 'x';
    assert_false(qv__key_equal(key, (struct qv__str){given, 1}));
    assert_false(qv__key_equal(key, (struct qv__str){given, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),      cmocka_unit_test(test_bad),
        cmocka_unit_test(test_sizes),     cmocka_unit_test(test_preflight),
        cmocka_unit_test(test_layout),    cmocka_unit_test(test_keys),
        cmocka_unit_test(test_key_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
