/* test_server.c: a running server, from outside: framing, limits, life of connections. */
#include "server_test.h"

static struct env env;

static void start(struct qv__server_options *o)
{
    env_start(&env, o);
}

static void test_keep_alive(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    start(&o);
    struct client c = client_open(&env);
    struct reply r;
    char v[512];
    assert_true(send_z(&c, "GET /echo/%41%2f?a=%20b&c HTTP/1.1\r\nHost: a\r\nX-One:  two \t\r\n"
                           "X-Empty:\r\n\r\n"));
    assert_true(read_reply(&c, &r, false));
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(r.body, "method=0\npath=/echo/%41%2f\nquery=a=%20b&c\n"));
    assert_non_null(strstr(r.body, "\nheader host=a\nheader x-one=two\nheader x-empty=\nbody="));
    assert_non_null(strstr(r.body, "subject=anonymous\nread_only=0\n"));
    assert_non_null(strstr(r.body, "deadline=1\n"));
    assert_string_equal(reply_header(&r, "content-type", v), "text/plain");
    assert_null(reply_header(&r, "connection", v));
    reply_free(&r);
    /* The next requests see nothing of the one before. */
    for (int i = 0; i < 50; i++) {
        const char *path = i % 2 ? "/now/x" : "/echo/x";
        char text[256];
        snprintf(text, sizeof text, "PUT %s HTTP/1.1\r\nHost: b\r\nContent-Length: %d\r\n\r\n%.*s",
                 path, i, i, "0123456789012345678901234567890123456789012345678901234567890");
        assert_true(send_z(&c, text));
        assert_true(read_reply(&c, &r, false));
        assert_int_equal(r.status, 200);
        char *body = strstr(r.body, "body=") + 5;
        assert_int_equal(strlen(body), i);
        assert_null(strstr(r.body, "x-one"));
        assert_non_null(strstr(r.body, "query=\n"));
        reply_free(&r);
    }
    assert_true(send_z(&c, "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    assert_true(read_reply(&c, &r, false));
    assert_non_null(reply_header(&r, "connection", v));
    reply_free(&r);
    assert_true(reads_eof(&c));
    client_close(&c);
    /* HTTP/1.0 closes by itself. */
    c = client_open(&env);
    assert_true(send_z(&c, "GET /echo HTTP/1.0\r\n\r\n"));
    assert_true(read_reply(&c, &r, false));
    assert_int_equal(r.status, 200);
    reply_free(&r);
    assert_true(reads_eof(&c));
    client_close(&c);
    assert_int_equal(env_stats(&env).requests_total, 53);
    assert_int_equal(env_stats(&env).connections_total, 2);
    env_fini(&env);
}

static void test_pipelining(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    start(&o);
    struct client c = client_open(&env);
    struct reply r;
    assert_true(send_z(&c, "GET /echo/1 HTTP/1.1\r\nHost: a\r\n\r\n"
                           "PUT /now/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                           "PUT /echo/3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "2\r\nde\r\n0\r\n\r\n"
                           "GET /echo/4 HTTP/1.1\r\nHost: a\r\n\r\n"));
    static const char *const want[] = {"path=/echo/1\n", "path=/now/2\n", "path=/echo/3\n",
                                       "path=/echo/4\n"};
    static const char *const body[] = {"body=", "body=abc", "body=de", "body="};
    for (int i = 0; i < 4; i++) {
        assert_true(read_reply(&c, &r, false));
        assert_int_equal(r.status, 200);
        assert_non_null(strstr(r.body, want[i]));
        assert_string_equal(strstr(r.body, "body="), body[i]);
        reply_free(&r);
    }
    client_close(&c);
    env_fini(&env);
}

/* One byte at a time, everything is the same. */
static void test_drip(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    start(&o);
    struct client c = client_open(&env);
    struct reply r;
    static const char text[] = "PUT /echo/1?q HTTP/1.1\r\nHost: a\r\nX-Y: z\r\nContent-Length: "
                               "10\r\n\r\n0123456789PUT /echo/2 HTTP/1.1\r\nHost: b\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n"
                               "3;x=y\r\nabc\r\n00a\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n";
    for (size_t i = 0; text[i]; i++) {
        assert_true(send_n(&c, text + i, 1));
        if (i % 7 == 0) {
            nap_ms(1);
        }
    }
    assert_true(read_reply(&c, &r, false));
    assert_non_null(strstr(r.body, "header x-y=z\n"));
    assert_string_equal(strstr(r.body, "body="), "body=0123456789");
    reply_free(&r);
    assert_true(read_reply(&c, &r, false));
    assert_string_equal(strstr(r.body, "body="), "body=abc0123456789");
    assert_null(strstr(r.body, "trailer"));
    reply_free(&r);
    client_close(&c);
    env_fini(&env);
}

/* ---- bodies ---- */

static char *pattern(size_t n)
{
    char *p = malloc(n + 1);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        p[i] = (char)('a' + i % 26 + (i / 1000) % 3);
    }
    p[n] = 0;
    return p;
}

static void send_chunked(struct client *c, const char *p, size_t n, size_t chunk)
{
    char line[32];
    for (size_t at = 0; at < n; at += chunk) {
        size_t now = QV_MIN(chunk, n - at);
        snprintf(line, sizeof line, "%zx\r\n", now);
        if (!send_z(c, line) || !send_n(c, p + at, now) || !send_z(c, "\r\n")) {
            return;
        }
    }
    send_z(c, "0\r\n\r\n");
}

static void test_bodies(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    o.config.body_bytes_max = 3000000;
    start(&o);
    static const size_t sizes[] = {1, 100, 16000, 33000, 65536, 1000001, 3000000};
    static const size_t chunks[] = {1, 17, 1000, 16384, 70000, 5000000};
    struct reply r;
    char head[256];
    struct client c = client_open(&env);
    for (size_t i = 0; i < QV_ARRAY_LEN(sizes); i++) {
        char *p = pattern(sizes[i]);
        snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                 sizes[i]);
        assert_true(send_z(&c, head) && send_n(&c, p, sizes[i]));
        assert_true(read_reply(&c, &r, false));
        assert_int_equal(r.status, 200);
        assert_string_equal(strstr(r.body, "body=") + 5, p);
        reply_free(&r);
        for (size_t k = 0; k < QV_ARRAY_LEN(chunks); k++) {
            if (sizes[i] / chunks[k] > 20000) {
                continue;
            }
            assert_true(send_z(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                                   "chunked\r\n\r\n"));
            send_chunked(&c, p, sizes[i], chunks[k]);
            assert_true(read_reply(&c, &r, false));
            assert_int_equal(r.status, 200);
            assert_string_equal(strstr(r.body, "body=") + 5, p);
            reply_free(&r);
        }
        free(p);
    }
    client_close(&c);
    env_fini(&env);
}

static void test_body_limit(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    o.config.body_bytes_max = 100000;
    start(&o);
    struct reply r;
    char *p = pattern(2000000), head[256], v[512];
    /* Announced: refused before a byte of it was sent, and without its 100 Continue. */
    struct client c = client_open(&env);
    assert_true(send_z(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n"
                           "Expect: 100-continue\r\n\r\n"));
    assert_true(read_reply(&c, &r, false));
    assert_int_equal(r.status, 413);
    assert_non_null(strstr(r.head, " 413 "));
    assert_non_null(strstr(r.body, "larger than this server allows: body_max is "));
    assert_string_equal(reply_header(&r, "content-type", v), "application/json");
    reply_free(&r);
    assert_true(reads_eof(&c));
    client_close(&c);
    /* Announced and sent at once. */
    static const size_t sizes[] = {100001, 150000, 2000000};
    for (size_t i = 0; i < QV_ARRAY_LEN(sizes); i++) {
        c = client_open(&env);
        snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
                 sizes[i]);
        send_z(&c, head);
        send_n(&c, p, sizes[i]);
        assert_true(read_reply(&c, &r, false));
        assert_int_equal(r.status, 413);
        reply_free(&r);
        client_close(&c);
    }
    /* Not announced: refused as soon as the limit is passed. */
    static const size_t chunks[] = {10, 1000, 99999, 100001, 2000000};
    for (size_t i = 0; i < QV_ARRAY_LEN(chunks); i++) {
        c = client_open(&env);
        send_z(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        send_chunked(&c, p, 130000, chunks[i]);
        assert_true(read_reply(&c, &r, false));
        assert_int_equal(r.status, 413);
        assert_string_equal(reply_header(&r, "connection", v), "close");
        assert_non_null(strstr(r.body, "larger than this server allows: body_max is "));
        reply_free(&r);
        client_close(&c);
    }
    assert_int_equal(atomic_load(&env.submitted), 0);
    /* Exactly the limit is fine. */
    c = client_open(&env);
    send_z(&c, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    send_chunked(&c, p, 100000, 9999);
    assert_true(read_reply(&c, &r, false));
    assert_int_equal(r.status, 200);
    reply_free(&r);
    client_close(&c);
    free(p);
    assert_int_equal(env_stats(&env).requests_refused, 9);
    env_fini(&env);
}

/* What is announced costs nothing until it comes. */
static void test_announced_is_not_taken(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    o.config.body_bytes_max = 1 << 30;
    start(&o);
    struct client c[20];
    size_t before = qv__mem_used(env.mem);
    for (size_t i = 0; i < QV_ARRAY_LEN(c); i++) {
        c[i] = client_open(&env);
        assert_true(send_z(&c[i], "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n"
                                  "Expect: 100-continue\r\n\r\nabc"));
        assert_int_equal(receive(&c[i], WAIT_MS), 1);
        assert_string_equal(c[i].p, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    assert_true(qv__mem_used(env.mem) - before < 20 * 80000);
    for (size_t i = 0; i < QV_ARRAY_LEN(c); i++) {
        client_close(&c[i]);
    }
    env_fini(&env);
}

/* ---- what must not get through ---- */

#define C(want, literal)                                                                           \
    {                                                                                              \
        want, literal, sizeof(literal) - 1                                                         \
    }
static const struct {
    int want; /* 0: a plain close will do */
    const char *p;
    size_t n;
} malformed[] = {
    C(0, "\r\n\r\n\x16\x03\x01\x02\r\n\r\n"),
    C(0, "GET\r\n\r\n"),
    C(0, "GET /echo\r\n\r\n"),
    C(400, "GET /echo HTTP/1.1\r\n\r\n"),
    C(505, "GET /echo HTTP/2.0\r\nHost: a\r\n\r\n"),
    C(505, "GET /echo HTTP/1.2\r\nHost: a\r\n\r\n"),
    C(400, "GET /echo HTTP/1.10\r\nHost: a\r\n\r\n"),
    C(400, "GET /echo http/1.1\r\nHost: a\r\n\r\n"),
    C(400, "GET  /echo HTTP/1.1\r\nHost: a\r\n\r\n"),
    C(0, "GET /echo  HTTP/1.1\r\nHost: a\r\n\r\n"),
    C(0, "GET /echo x HTTP/1.1\r\nHost: a\r\n\r\n"),
    C(400, "GET /echo HTTP/1.1 \r\nHost: a\r\n\r\n"),
    C(400, "GET /echo\tx HTTP/1.1\r\nHost: a\r\n\r\n"),
    C(400, "GET /echo#x HTTP/1.1\r\nHost: a\r\n\r\n"),
    C(400, "GET echo HTTP/1.1\r\nHost: a\r\n\r\n"),
    C(400, "GET /e\0cho HTTP/1.1\r\nHost: a\r\n\r\n"),
    C(405, "BREW /echo HTTP/1.1\r\nHost: a\r\n\r\n"),
    /* line ends */
    C(400, "GET /echo HTTP/1.1\nHost: a\n\n"),
    C(400, "GET /echo HTTP/1.1\nHost: a\r\n\r\n"),
    C(400, "GET /echo HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"),
    C(400, "GET /echo HTTP/1.1\r\nHost: a\r\nX: y\n\r\n"),
    C(400, "GET /echo HTTP/1.1\r\nHost: a\r\n\n"),
    C(400, "GET /echo HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n"),
    /* header lines */
    C(400, "GET /echo HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n"),
    C(400, "GET /echo HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n"),
    C(400, "GET /echo HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n"),
    C(400, "GET /echo HTTP/1.1\r\n Host: a\r\n\r\n"),
    C(400, "GET /echo HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n"),
    C(400, "GET /echo HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n"),
    C(400, "GET /echo HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n"),
    C(400, "GET /echo HTTP/1.1\r\nHost: a\r\nX: y\r\n\tfolded\r\nZ: z\r\n\r\n"),
    C(400, "GET /echo HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n"),
    C(400, "GET /echo HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    C(400, "GET /echo HTTP/1.1\r\nHost: a b\r\n\r\n"),
    /* smuggling */
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
           "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 0\r\n\r\n"
           "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"
           "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4,4\r\n\r\nabcd"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\nabcd"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -4\r\n\r\nabcd"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4 4\r\n\r\nabcd"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nabcd"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\n"
           "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length\t: 4\r\n\r\n"
           "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nX: y\r\n Content-Length: 4\r\n\r\n"
           "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"),
    C(413, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\na"),
    C(413, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\na"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\x0b\r\n\r\n0\r\n\r\n"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encod: chunked\r\n ing\r\n\r\n"
           "0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
           "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
    C(400, "PUT /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    C(417, "PUT /echo HTTP/1.1\r\nHost: a\r\nExpect: miracle\r\nContent-Length: 1\r\n\r\na"),
    /* chunks */
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n"),
    C(400, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n;\r\nabc\r\n"),
    C(413, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
           "fffffffffffffffff\r\nabc\r\n"),
};
#undef C

static void test_malformed(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    start(&o);
    for (size_t i = 0; i < QV_ARRAY_LEN(malformed); i++) {
        struct reply r;
        bool closed = false;
        int got = ask_once(&env, malformed[i].p, malformed[i].n, &r, &closed);
        if (malformed[i].want && got != malformed[i].want) {
            fail_msg("case %zu: got %d, want %d: %s", i, got, malformed[i].want, malformed[i].p);
        }
        if (got != 0 && (got < 400 || got > 599)) {
            fail_msg("case %zu: got %d: %s", i, got, malformed[i].p);
        }
        if (!closed && got != 405) {
            fail_msg("case %zu: the connection stays open: %s", i, malformed[i].p);
        }
        if (got) {
            reply_free(&r);
        }
    }
    print_message("%zu malformed requests\n", QV_ARRAY_LEN(malformed));
    /* None of them, and nothing that was hidden in one, was run. */
    assert_int_equal(atomic_load(&env.submitted), 1); /* "/now/again" after the 405 */
    struct reply r;
    assert_int_equal(ask(&env, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", &r), 200);
    reply_free(&r);
    env_fini(&env);
}

/* Requests with random damage: whatever comes back, the server lives and the next request is
 * served. */
static void test_damaged(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    env_start(&env, &o);
    static const char *const good[] = {
        "GET /now?a=b HTTP/1.1\r\nHost: a\r\nX-Y: z\r\n\r\n",
        "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
        "PUT /now HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    };
    static const char odd[] = "\r\n\0 \t:;,%?#/0159\xff\x7f";
    uint64_t x = 424242;
    print_message("seed %llu\n", (unsigned long long)x);
    unsigned answers = 0;
    for (unsigned i = 0; i < 1500; i++) {
        char text[512];
        size_t n = strlen(good[i % 3]);
        memcpy(text, good[i % 3], n);
        for (unsigned k = 0; k <= i % 4; k++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            size_t at = (size_t)(x >> 33) % n;
            char c = odd[(x >> 20) % (sizeof odd - 1)];
            unsigned how = (unsigned)(x >> 60) % 3;
            if (how == 0) {
                text[at] = c;
            } else if (how == 1) {
                memmove(text + at + 1, text + at, n - at);
                text[at] = c;
                n++;
            } else if (n > 1) {
                memmove(text + at, text + at + 1, n - at - 1);
                n--;
            }
        }
        struct client c = client_open(&env);
        send_n(&c, text, n);
        shutdown(c.fd, SHUT_WR); /* whatever it waits for will not come */
        int got;
        while ((got = receive(&c, WAIT_MS)) == 1) {
        }
        assert_int_equal(got, 0);
        answers += c.n > 0;
        client_close(&c);
    }
    assert_true(answers > 500);
    struct reply r;
    assert_int_equal(ask(&env, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", &r), 200);
    reply_free(&r);
    env_fini(&env);
}

static void test_large_heads(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    start(&o);
    static char text[300000];
    struct reply r;
    bool closed;
    /* a header */
    static const struct {
        size_t n;
        int want;
    } sizes[] = {{15000, 200}, {16400, 431}, {40000, 431}, {200000, 431}};
    for (size_t i = 0; i < QV_ARRAY_LEN(sizes); i++) {
        size_t n = (size_t)sprintf(text, "GET /now HTTP/1.1\r\nHost: a\r\nX: ");
        memset(text + n, 'x', sizes[i].n);
        n += sizes[i].n;
        n += (size_t)sprintf(text + n, "\r\n\r\n");
        int got = ask_once(&env, text, n, &r, &closed);
        assert_true(got == sizes[i].want || (got == 0 && sizes[i].n > 100000));
        assert_int_equal(closed, got != 200);
        if (got) {
            reply_free(&r);
        }
    }
    /* many headers */
    for (int count = 99; count <= 1000; count += count == 99 ? 1 : 300) {
        size_t n = (size_t)sprintf(text, "GET /now HTTP/1.1\r\nHost: a\r\n");
        for (int i = 0; i < count; i++) {
            n += (size_t)sprintf(text + n, "x%d: y\r\n", i);
        }
        n += (size_t)sprintf(text + n, "\r\n");
        int got = ask_once(&env, text, n, &r, &closed);
        assert_int_equal(got, count == 99 ? 200 : 431);
        assert_int_equal(closed, got != 200);
        reply_free(&r);
    }
    /* a target */
    static const struct {
        size_t n;
        int want;
    } targets[] = {{8192, 200}, {8193, 414}, {20000, 414}, {100000, 414}};
    for (size_t i = 0; i < QV_ARRAY_LEN(targets); i++) {
        size_t n = (size_t)sprintf(text, "GET /now/");
        memset(text + n, 't', targets[i].n - 5);
        n += targets[i].n - 5;
        n += (size_t)sprintf(text + n, " HTTP/1.1\r\nHost: a\r\n\r\n");
        int got = ask_once(&env, text, n, &r, &closed);
        assert_true(got == targets[i].want || (got == 0 && targets[i].n > 50000));
        if (got) {
            reply_free(&r);
        }
    }
    /* arguments and cookies, which the library takes apart although nobody asks */
    size_t n = (size_t)sprintf(text, "GET /echo?");
    for (int i = 0; i < 2000; i++) {
        n += (size_t)sprintf(text + n, "a&");
    }
    n += (size_t)sprintf(text + n, "z=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(ask_once(&env, text, n, &r, &closed), 200);
    assert_non_null(strstr(r.body, "a&a&a&z=1\n"));
    assert_false(closed);
    reply_free(&r);
    n = (size_t)sprintf(text, "GET /now HTTP/1.1\r\nHost: a\r\nCookie: ");
    for (int i = 0; i < 2000; i++) {
        n += (size_t)sprintf(text + n, "a=b; ");
    }
    n += (size_t)sprintf(text + n, "\r\n\r\n");
    int got = ask_once(&env, text, n, &r, &closed);
    assert_true(got == 200 || got == 431 || got == 0);
    if (got) {
        reply_free(&r);
    }
    env_fini(&env);
}

/* ---- time ---- */

static void ahead(uint64_t s)
{
    atomic_fetch_add(&env.clock_ahead_ns, s * 1000000000);
}

/* Closed at once, or, when the server had seen its bytes only after the last jump, after another.
 */
static bool closes_by(struct client *c, uint64_t jump_s)
{
    int got = -1;
    for (int i = 0; i < 4 && got < 0; i++) {
        got = receive(c, 3000);
        if (got < 0) {
            ahead(jump_s);
        }
    }
    return got == 0;
}

static bool closes(struct client *c)
{
    return closes_by(c, 11);
}

static void test_slow_clients(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    start(&o);
    struct reply r;
    struct client silent = client_open(&env), line = client_open(&env), head = client_open(&env),
                  body = client_open(&env), quick = client_open(&env), idle = client_open(&env);
    assert_true(send_z(&line, "GET /ech"));
    assert_true(send_z(&head, "GET /echo HTTP/1.1\r\nHost: a\r\nX:"));
    assert_true(send_z(&body, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nab"));
    char *p = pattern(20000);
    assert_true(send_z(&quick, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 20001\r\n\r\n"));
    assert_true(send_n(&quick, p, 20000)); /* earns it 19 seconds more */
    assert_true(send_z(&idle, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(read_reply(&idle, &r, false));
    reply_free(&r);
    for (int i = 0; i < WAIT_MS && env_stats(&env).requests_total < 3; i++) {
        nap_ms(1);
    }
    nap_ms(100); /* let the server see all of it */
    ahead(9);
    nap_ms(100);
    assert_int_equal(receive(&head, 0), -1);
    assert_int_equal(receive(&body, 0), -1);
    ahead(2);
    nap_ms(100);
    assert_int_equal(receive(&quick, 0), -1);
    assert_true(send_z(&quick, "!"));
    assert_true(read_reply(&quick, &r, false));
    assert_int_equal(r.status, 200);
    reply_free(&r);
    assert_true(closes(&silent));
    assert_true(closes(&line));
    assert_true(closes(&head));
    assert_true(closes(&body));
    assert_int_equal(receive(&idle, 0), -1);
    assert_int_equal(env_stats(&env).timeouts, 4);
    /* Requests that run are not timed here; idle connections are, in the end. */
    struct client running = client_open(&env);
    assert_true(send_z(&running, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"));
    wait_held(&env, 1);
    ahead(100);
    assert_true(closes_by(&idle, 100));
    assert_true(closes_by(&quick, 100));
    release_all(&env);
    assert_true(read_reply(&running, &r, false));
    assert_int_equal(r.status, 200);
    reply_free(&r);
    free(p);
    client_close(&silent);
    client_close(&line);
    client_close(&head);
    client_close(&body);
    client_close(&quick);
    client_close(&idle);
    client_close(&running);
    env_fini(&env);
}

/* A client that does not take its response. */
static void test_slow_reader(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    start(&o);
    struct client c = client_open(&env);
    struct reply r;
    assert_true(send_z(&c, "GET /big/30000000 HTTP/1.1\r\nHost: a\r\n\r\n"));
    struct pollfd first = {c.fd, POLLIN, 0};
    assert_int_equal(poll(&first, 1, WAIT_MS), 1); /* it is being sent */
    nap_ms(300);
    assert_int_equal(env_stats(&env).requests_in_flight, 1);
    ahead(30 + 30000000 / 1024 + 2);
    for (int i = 0; i < WAIT_MS && env_stats(&env).requests_in_flight; i++) {
        nap_ms(1);
    }
    assert_int_equal(env_stats(&env).requests_in_flight, 0);
    assert_int_equal(env_stats(&env).timeouts, 1);
    assert_false(read_reply(&c, &r, false));
    client_close(&c);
    assert_true(env_logged(&env, "(not delivered)"));
    /* One that takes it gets every byte. */
    c = client_open(&env);
    assert_true(send_z(&c, "GET /big/5000000 HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(read_reply(&c, &r, false));
    assert_int_equal(r.n, 5000000);
    for (size_t i = 0; i < r.n; i++) {
        assert_int_equal((uint8_t)r.body[i], (uint8_t)(i * 31 + i / 251));
    }
    reply_free(&r);
    client_close(&c);
    env_fini(&env);
}

/* ---- clients that go away ---- */

static void test_disconnect(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    start(&o);
    struct client c[30];
    /* while a handler works: it is told */
    for (size_t i = 0; i < 3; i++) {
        c[i] = client_open(&env);
        assert_true(send_z(&c[i], "GET /cancel HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    for (int i = 0; i < WAIT_MS && atomic_load(&env.submitted) < 3; i++) {
        nap_ms(1);
    }
    for (size_t i = 0; i < 3; i++) {
        client_close(&c[i]);
    }
    for (int i = 0; i < WAIT_MS && atomic_load(&env.finished) < 3; i++) {
        nap_ms(1);
    }
    assert_int_equal(atomic_load(&env.saw_cancel), 3);
    assert_int_equal(env_stats(&env).disconnects, 3);
    /* at any byte of a request */
    static const char text[] = "PUT /now HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n01234567";
    for (size_t n = 0; n < sizeof text - 1; n++) {
        struct client one = client_open(&env);
        assert_true(send_n(&one, text, n));
        if (n % 3 == 0) {
            nap_ms(1);
        }
        if (n % 2) { /* reset instead of an orderly end */
            struct linger hard = {1, 0};
            setsockopt(one.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        }
        client_close(&one);
    }
    assert_int_equal(atomic_load(&env.submitted), 3);
    /* while held, finished later: the response has nowhere to go */
    for (size_t i = 0; i < QV_ARRAY_LEN(c); i++) {
        c[i] = client_open(&env);
        assert_true(send_z(&c[i], "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    wait_held(&env, QV_ARRAY_LEN(c));
    for (size_t i = 0; i < QV_ARRAY_LEN(c); i++) {
        client_close(&c[i]);
    }
    for (int i = 0; i < WAIT_MS && env_stats(&env).disconnects < 3 + QV_ARRAY_LEN(c); i++) {
        nap_ms(1);
    }
    assert_int_equal(env_stats(&env).disconnects, 3 + QV_ARRAY_LEN(c));
    release_all(&env);
    for (int i = 0; i < WAIT_MS && env_stats(&env).connections; i++) {
        nap_ms(1);
    }
    assert_int_equal(env_stats(&env).connections, 0);
    assert_int_equal(env_stats(&env).requests_in_flight, 0);
    env_fini(&env);
}

/* ---- many ---- */

#define CONNECTIONS 200

static void test_many_connections(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    start(&o);
    static struct client c[CONNECTIONS];
    struct reply r;
    for (size_t i = 0; i < CONNECTIONS; i++) {
        c[i] = client_open(&env);
    }
    for (unsigned round = 0; round < 10; round++) {
        for (size_t i = 0; i < CONNECTIONS; i++) {
            char text[256];
            snprintf(text, sizeof text,
                     "PUT %s/%zu HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%u-%zu",
                     round == 5 ? "/hold"
                     : i % 3    ? "/echo"
                                : "/now",
                     i, snprintf(NULL, 0, "%u-%zu", round, i), round, i);
            assert_true(send_z(&c[i], text));
        }
        if (round == 5) { /* all at once, in the reverse order */
            wait_held(&env, CONNECTIONS);
            assert_int_equal(env_stats(&env).requests_in_flight, CONNECTIONS);
            release_all(&env);
        }
        for (size_t i = 0; i < CONNECTIONS; i++) {
            char want[64], path[64];
            snprintf(want, sizeof want, "body=%u-%zu", round, i);
            snprintf(path, sizeof path, "/%zu\n", i);
            assert_true(read_reply(&c[i], &r, false));
            assert_int_equal(r.status, 200);
            assert_string_equal(strstr(r.body, "body="), want);
            assert_non_null(strstr(r.body, path));
            reply_free(&r);
        }
    }
    assert_int_equal(env_stats(&env).connections, CONNECTIONS);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        client_close(&c[i]);
    }
    env_fini(&env);
}

/* Several client threads that open, ask, abandon and close at random. */
struct storm {
    unsigned id;
    _Atomic unsigned answered;
};

static void *storm_main(void *arg)
{
    struct storm *s = arg;
    uint64_t x = 7919 * (s->id + 1);
    for (unsigned i = 0; i < 60; i++) {
        int fd = try_connect(qv__server_port(env.server));
        struct client c = {fd, NULL, 0, 0};
        unsigned n = 1 + (unsigned)(x >> 33) % 5;
        for (unsigned k = 0; fd >= 0 && k < n; k++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            unsigned what = (unsigned)(x >> 40) % 10;
            bool quit = what == 9;
            send_z(&c, what < 4   ? "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"
                       : what < 6 ? "PUT /now HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"
                       : what < 8 ? "GET /big/200000 HTTP/1.1\r\nHost: a\r\n\r\n"
                                  : "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na");
            if (what >= 8 && !quit) {
                send_z(&c, "b");
            }
            if (quit) {
                break;
            }
            struct reply r;
            if (!read_reply(&c, &r, false)) {
                break;
            }
            atomic_fetch_add(&s->answered, r.status == 200);
            reply_free(&r);
        }
        client_close(&c);
    }
    return NULL;
}

static void test_storm(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    start(&o);
    struct storm s[8];
    pthread_t t[8];
    for (unsigned i = 0; i < 8; i++) {
        s[i].id = i;
        atomic_init(&s[i].answered, 0);
        assert_int_equal(pthread_create(&t[i], NULL, storm_main, &s[i]), 0);
    }
    unsigned answered = 0;
    for (unsigned i = 0; i < 8; i++) {
        pthread_join(t[i], NULL);
        answered += atomic_load(&s[i].answered);
    }
    assert_true(answered > 500);
    env_fini(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_pipelining),
        cmocka_unit_test(test_drip),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_body_limit),
        cmocka_unit_test(test_announced_is_not_taken),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_large_heads),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_slow_clients),
        cmocka_unit_test(test_slow_reader),
        cmocka_unit_test(test_disconnect),
        cmocka_unit_test(test_many_connections),
        cmocka_unit_test(test_storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
