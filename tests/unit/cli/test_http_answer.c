/* Answers of a server, good and bad, in pieces of every size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rng.h"
#include "cli/http_client.h"

struct feed {
    struct qv__http_source source;
    const char *p;
    size_t n, at, piece;
};

/* Where bodies go; NULL = to the answer. */
static qv_status (*sink)(void *ctx, const void *p, size_t n, uint64_t of, struct qv_err *err);
static void *sink_ctx;

static qv_status feed_read(struct qv__http_source *s, void *to, size_t n, size_t *got,
                           struct qv_err *err)
{
    struct feed *f = QV_CONTAINER_OF(s, struct feed, source);
    (void)err;
    *got = QV_MIN(QV_MIN(n, f->piece), f->n - f->at);
    memcpy(to, f->p + f->at, *got);
    f->at += *got;
    return QV_OK;
}

static qv_status answer(struct qv__mem *mem, const char *text, size_t n, size_t piece,
                        size_t body_max, struct qv__http_answer *a)
{
    static struct feed f;
    struct qv_err err = {.code = QV_OK};
    memset(&f, 0, sizeof f);
    f.source.read = feed_read;
    f.source.sink = sink;
    f.source.sink_ctx = sink_ctx;
    f.p = text;
    f.n = n;
    f.piece = piece;
    qv__buf_init(&a->body, mem);
    qv_status st = qv__http_read_answer(&f.source, body_max, a, &err);
    assert_true(st == QV_OK || err.message[0]);
    return st;
}

struct good {
    const char *text, *body;
    int status;
    bool close;
};

static const struct good goods[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", 200, false},
    {"HTTP/1.1 404 \r\ncontent-length:0\r\n\r\n", "", 404, false},
    {"HTTP/1.1 200\r\nContent-Length: 2 \r\nConnection: close\r\n\r\nok", "ok", 200, true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n",
     "hello!", 200, false},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0a\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
     "0123456789", 200, false},
    {"HTTP/1.0 200 OK\r\n\r\nto the end", "to the end", 200, true},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx", "x", 201,
     false},
    {"HTTP/1.1 204 No Content\r\n\r\n", "", 204, false},
    {"HTTP/1.1 200 OK\r\nconnection: keep-alive, close\r\n\r\n", "", 200, true},
};

static void test_good(void **state)
{
    struct qv__mem *mem = *state;
    for (size_t i = 0; i < QV_ARRAY_LEN(goods); i++) {
        size_t n = strlen(goods[i].text);
        for (size_t piece = 1; piece <= n; piece++) {
            struct qv__http_answer a = {.status = 0};
            assert_int_equal(answer(mem, goods[i].text, n, piece, 1000, &a), QV_OK);
            assert_int_equal(a.status, goods[i].status);
            assert_int_equal(a.close, goods[i].close);
            assert_int_equal(a.body.n, strlen(goods[i].body));
            assert_memory_equal(a.body.n ? (const char *)a.body.p : "", goods[i].body, a.body.n);
            qv__buf_free(&a.body);
        }
    }
}

struct taken {
    char text[64];
    size_t n;
    uint64_t of;
};

static qv_status take(void *ctx, const void *p, size_t n, uint64_t of, struct qv_err *err)
{
    struct taken *t = ctx;
    (void)err;
    assert_true(t->n + n <= sizeof t->text);
    memcpy(t->text + t->n, p, n);
    t->n += n;
    t->of = of;
    return QV_OK;
}

/* A sink gets the bodies of 200s, however their ends are told, and of any length. */
static void test_sink(void **state)
{
    struct qv__mem *mem = *state;
    for (size_t i = 0; i < QV_ARRAY_LEN(goods); i++) {
        size_t n = strlen(goods[i].text), n_body = strlen(goods[i].body);
        bool is_sunk = goods[i].status == 200;
        for (size_t piece = 1; piece <= n; piece++) {
            struct qv__http_answer a = {.status = 0};
            struct taken t = {.n = 0};
            sink = take;
            sink_ctx = &t;
            assert_int_equal(answer(mem, goods[i].text, n, piece, is_sunk ? 0 : 1000, &a), QV_OK);
            sink = NULL;
            assert_int_equal(a.body.n, is_sunk ? 0 : n_body);
            assert_int_equal(t.n, is_sunk ? n_body : 0);
            assert_memory_equal(t.text, goods[i].body, t.n);
            assert_int_equal(t.of, t.n && strstr(goods[i].text, "Length") ? n_body : 0);
            qv__buf_free(&a.body);
        }
    }
}

/* Whatever is missing at the end is an error, unless the answer lasts until the connection ends. */
static void test_cut(void **state)
{
    struct qv__mem *mem = *state;
    for (size_t i = 0; i < QV_ARRAY_LEN(goods); i++) {
        size_t head = (size_t)(strstr(goods[i].text, "\r\n\r\n") + 4 - goods[i].text);
        bool to_end = goods[i].close && !strstr(goods[i].text, "Length");
        for (size_t n = 0; n < strlen(goods[i].text); n++) {
            struct qv__http_answer a = {.status = 0};
            qv_status st = answer(mem, goods[i].text, n, 7, 1000, &a);
            assert_int_equal(st, to_end && n >= head ? QV_OK : QV_EIO);
            qv__buf_free(&a.body);
        }
    }
}

static void test_bad(void **state)
{
    struct qv__mem *mem = *state;
    static const char *const bad[] = {
        "",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n folded: x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nname : x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\001b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nwhere does it end",
        "HTTP/1.1 101 Switching\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ng\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1x\r\ny\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        struct qv__http_answer a = {.status = 0};
        qv_status st = answer(mem, bad[i], strlen(bad[i]), 100, 1000, &a);
        if (st != QV_EIO) {
            fail_msg("taken for good: %s", bad[i]);
        }
        qv__buf_free(&a.body);
    }
}

/* Sizes are held against the limit before anything is read or allocated by them. */
static void test_limits(void **state)
{
    struct qv__mem *mem = *state;
    static const char *const large[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n5\r\n67890\r\n",
        "HTTP/1.0 200 OK\r\n\r\n01234567890",
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(large); i++) {
        struct qv__http_answer a = {.status = 0};
        assert_int_equal(answer(mem, large[i], strlen(large[i]), 5, 10, &a), QV_ETOOBIG);
        assert_true(qv__mem_peak(mem) < 1 << 20);
        qv__buf_free(&a.body);
    }
    struct qv__buf b;
    qv__buf_init(&b, mem);
    qv__buf_putz(&b, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 1000; i++) {
        qv__buf_printf(&b, "x%d: y\r\n", i);
    }
    qv__buf_putz(&b, "Content-Length: 0\r\n\r\n");
    struct qv__http_answer a = {.status = 0};
    assert_int_equal(answer(mem, (const char *)b.p, b.n, 1000, 10, &a), QV_EIO);
    qv__buf_free(&a.body);
    qv__buf_reset(&b);
    qv__buf_putz(&b, "HTTP/1.1 200 OK\r\nx: ");
    for (int i = 0; i < 100000; i++) {
        qv__buf_putc(&b, 'y');
    }
    assert_int_equal(answer(mem, (const char *)b.p, b.n, 1000, 10, &a), QV_EIO);
    qv__buf_free(&a.body);
    qv__buf_free(&b);
}

/* Good answers with some bytes changed: a status, never a fault, and never more than the limit. */
static void test_mutations(void **state)
{
    struct qv__mem *mem = *state;
    const uint64_t seed = 20261121;
    struct qv__rng rng;
    qv__rng_seed(&rng, seed);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < 100000; i++) {
        char text[256];
        const char *good = goods[qv__rng_below(&rng, QV_ARRAY_LEN(goods))].text;
        size_t n = strlen(good);
        memcpy(text, good, n);
        for (uint64_t k = qv__rng_below(&rng, 3) + 1; k > 0; k--) {
            static const char likely[] = "\r\n :;0123456789abcdef,";
            size_t at = qv__rng_below(&rng, n);
            text[at] = qv__rng_below(&rng, 2) ? likely[qv__rng_below(&rng, sizeof likely)]
                                              : (char)qv__rng_u64(&rng);
        }
        struct qv__http_answer a = {.status = 0};
        if (answer(mem, text, n, 1 + qv__rng_below(&rng, n), 50, &a) == QV_OK) {
            assert_true(a.status >= 200 && a.status <= 599 && a.body.n <= 50);
        }
        qv__buf_free(&a.body);
    }
}

static void test_urls(void **state)
{
    (void)state;
    struct qv__url u;
    struct qv_err err;
    assert_int_equal(qv__url_parse("http://127.0.0.1:6333", &u, &err), QV_OK);
    assert_string_equal(u.host, "127.0.0.1");
    assert_int_equal(u.port, 6333);
    assert_string_equal(u.prefix, "");
    assert_true(qv__url_is_loopback(&u));
    assert_int_equal(qv__url_parse("http://[::1]:80/", &u, &err), QV_OK);
    assert_string_equal(u.host, "::1");
    assert_true(u.ipv6 && qv__url_is_loopback(&u));
    assert_int_equal(qv__url_parse("http://a.example/db/x/", &u, &err), QV_OK);
    assert_string_equal(u.prefix, "/db/x");
    assert_int_equal(u.port, 80);
    assert_false(qv__url_is_loopback(&u));
    assert_int_equal(qv__url_parse("https://a", &u, &err), QV_EUNSUPPORTED);
    static const char *const bad[] = {
        "",           "127.0.0.1:6333", "ftp://a",      "http://",
        "http://:80", "http://a:",      "http://a:0",   "http://a:65536",
        "http://a:x", "http://a:1x",    "http://u@a",   "http://a/?x",
        "http://a/#", "http://a b",     "http://[::1",  "http://[::1]x",
        "http://[]",  "http://a\r\nx",  "http:///path", "http://a:999999"};
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        if (qv__url_parse(bad[i], &u, &err) != QV_EINVAL) {
            fail_msg("taken for good: %s", bad[i]);
        }
    }
}

static void test_segments(void **state)
{
    struct qv__mem *mem = *state;
    struct qv__buf b;
    qv__buf_init(&b, mem);
    qv__url_put_segment(&b, qv__str_z("a b/\xc3\xa4?.x"));
    qv__buf_putc(&b, '|');
    qv__url_put_segment(&b, qv__str_z(".."));
    assert_int_equal(b.n, strlen("a%20b%2F%C3%A4%3F.x|%2E%2E"));
    assert_memory_equal(b.p, "a%20b%2F%C3%A4%3F.x|%2E%2E", b.n);
    qv__buf_free(&b);
}

static int setup(void **state)
{
    *state = qv__mem_root("test", 0);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    assert_int_equal(qv__mem_used(*state), 0);
    qv__mem_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sink, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mutations, setup, teardown),
        cmocka_unit_test(test_urls),
        cmocka_unit_test_setup_teardown(test_segments, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
