/* test_server_stop.c: stopping a running server, at rest and in the middle of things. */
#include "server_test.h"

static struct env env;

/* ---- stopping ---- */

struct stopping {
    uint32_t grace_ms;
    _Atomic bool stopped;
    pthread_t thread;
};

static void *stop_main(void *arg)
{
    struct stopping *s = arg;
    qv__server_stop(env.server, s->grace_ms);
    atomic_store(&s->stopped, true);
    return NULL;
}

static void test_stop_lets_finish(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    env_start(&env, &o);
    struct client c[20], idle = client_open(&env), half = client_open(&env);
    struct reply r;
    assert_true(send_z(&idle, "GET /now HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(read_reply(&idle, &r, false));
    reply_free(&r);
    assert_true(send_z(&half, "GET /now HTTP/1.1\r\nHost"));
    for (size_t i = 0; i < QV_ARRAY_LEN(c); i++) {
        c[i] = client_open(&env);
        assert_true(send_z(&c[i], "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    wait_held(&env, QV_ARRAY_LEN(c));
    struct stopping s = {.grace_ms = 60000};
    uint16_t port = qv__server_port(env.server);
    assert_int_equal(pthread_create(&s.thread, NULL, stop_main, &s), 0);
    int fd = 0;
    for (int i = 0; i < WAIT_MS && (fd = try_connect(port)) >= 0; i++) {
        close(fd);
        nap_ms(1);
    }
    assert_true(fd < 0); /* nobody is let in any more */
    assert_true(send_z(&idle, "GET /now HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(read_reply(&idle, &r, false));
    assert_int_equal(r.status, 503);
    reply_free(&r);
    assert_true(reads_eof(&idle));
    assert_true(send_z(&half, ": a\r\n\r\n"));
    assert_true(read_reply(&half, &r, false));
    assert_int_equal(r.status, 503);
    reply_free(&r);
    assert_false(atomic_load(&s.stopped));
    assert_int_equal(held(&env), QV_ARRAY_LEN(c));
    release_all(&env);
    for (size_t i = 0; i < QV_ARRAY_LEN(c); i++) {
        char v[512];
        assert_true(read_reply(&c[i], &r, false));
        assert_int_equal(r.status, 200);
        assert_string_equal(reply_header(&r, "connection", v), "close");
        reply_free(&r);
        assert_true(reads_eof(&c[i]));
        client_close(&c[i]);
    }
    pthread_join(s.thread, NULL);
    assert_int_equal(atomic_load(&env.saw_cancel), 0);
    qv__server_stop(env.server, 0); /* again: nothing */
    client_close(&idle);
    client_close(&half);
    env_fini(&env);
}

static void test_stop_cancels(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    env_start(&env, &o);
    struct client c[12], half = client_open(&env);
    for (size_t i = 0; i < QV_ARRAY_LEN(c); i++) {
        c[i] = client_open(&env);
        assert_true(send_z(&c[i], i < 2 ? "GET /cancel HTTP/1.1\r\nHost: a\r\n\r\n"
                                        : "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    assert_true(send_z(&half, "PUT /now HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"));
    wait_held(&env, 10);
    struct stopping s = {.grace_ms = 30};
    assert_int_equal(pthread_create(&s.thread, NULL, stop_main, &s), 0);
    for (int i = 0; i < WAIT_MS && atomic_load(&env.finished) < 2; i++) {
        nap_ms(1);
    }
    assert_int_equal(atomic_load(&env.saw_cancel), 2);
    for (size_t i = 0; i < 2; i++) { /* the handler says 499, but no client has gone */
        struct reply r;
        assert_true(read_reply(&c[i], &r, false));
        assert_int_equal(r.status, 503);
        assert_non_null(strstr(r.body, "shutting down"));
        reply_free(&r);
    }
    nap_ms(50);
    assert_false(atomic_load(&s.stopped)); /* the memory of the held ones is still theirs */
    release_all(&env);
    pthread_join(s.thread, NULL);
    assert_int_equal(atomic_load(&env.saw_cancel), 12);
    for (size_t i = 0; i < QV_ARRAY_LEN(c); i++) {
        client_close(&c[i]);
    }
    client_close(&half);
    env_fini(&env);
}

/* Stopping at any moment of a busy server. */
static _Atomic bool busy;

static void *busy_main(void *arg)
{
    uint16_t port = *(uint16_t *)arg;
    while (atomic_load(&busy)) {
        struct client c = {try_connect(port), NULL, 0, 0};
        struct reply r;
        while (c.fd >= 0 &&
               send_z(&c, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: "
                          "3\r\n\r\nabc") &&
               read_reply(&c, &r, false)) {
            assert_true(r.status == 200 || r.status == 503);
            reply_free(&r);
        }
        client_close(&c);
    }
    return NULL;
}

static void test_stop_while_busy(void **state)
{
    (void)state;
    for (int round = 0; round < 15; round++) {
        struct qv__server_options o;
        env_init(&env, &o);
        o.config.http_threads = 1 + (uint32_t)round % 3;
        env_start(&env, &o);
        uint16_t port = qv__server_port(env.server);
        pthread_t t[4];
        atomic_store(&busy, true);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(pthread_create(&t[i], NULL, busy_main, &port), 0);
        }
        nap_ms(1 + round * 2);
        qv__server_stop(env.server, round % 2 ? 1000 : 0);
        atomic_store(&busy, false);
        for (int i = 0; i < 4; i++) {
            pthread_join(t[i], NULL);
        }
        env_fini(&env);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop_lets_finish),
        cmocka_unit_test(test_stop_cancels),
        cmocka_unit_test(test_stop_while_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
