/* test_server_limits.c: a running server that gets too much: requests, connections, descriptors,
 * memory; and one that gets nothing. */
#include "server_test.h"

#include <dirent.h>
#include <sys/resource.h>

static struct env env;

static int ask_with(const char *line, const char *headers, struct reply *r)
{
    char text[4096];
    snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: a\r\n%s\r\n", line, headers);
    return ask(&env, text, r);
}

/* ---- too much ---- */

static void test_overload(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    o.config.max_requests = 3;
    env_start(&env, &o);
    struct client c[3];
    struct reply r;
    char v[512];
    for (int i = 0; i < 3; i++) {
        c[i] = client_open(&env);
        assert_true(send_z(&c[i], "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    wait_held(&env, 3);
    struct client over = client_open(&env);
    for (int i = 0; i < 3; i++) { /* a connection that is turned away may try again */
        assert_true(send_z(&over, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_true(read_reply(&over, &r, false));
        assert_int_equal(r.status, 503);
        assert_string_equal(reply_header(&r, "retry-after", v), "1");
        reply_free(&r);
    }
    assert_int_equal(atomic_load(&env.submitted), 3);
    release_all(&env);
    for (int i = 0; i < 3; i++) {
        assert_true(read_reply(&c[i], &r, false));
        assert_int_equal(r.status, 200);
        reply_free(&r);
        client_close(&c[i]);
    }
    for (int i = 0; i < WAIT_MS && env_stats(&env).requests_in_flight; i++) {
        nap_ms(1);
    }
    assert_true(send_z(&over, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(read_reply(&over, &r, false));
    assert_int_equal(r.status, 200);
    reply_free(&r);
    client_close(&over);
    assert_int_equal(env_stats(&env).requests_refused, 3);
    env_fini(&env);
}

static void test_connection_limits(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    o.config.max_connections = 5;
    env_start(&env, &o);
    struct client c[5];
    struct reply r;
    for (int i = 0; i < 5; i++) {
        c[i] = client_open(&env);
        assert_true(send_z(&c[i], "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_true(read_reply(&c[i], &r, false));
        assert_int_equal(r.status, 200);
        reply_free(&r);
    }
    for (int i = 0; i < 3; i++) {
        struct client over = client_open(&env);
        assert_true(read_reply(&over, &r, false)); /* without even asking */
        assert_int_equal(r.status, 503);
        reply_free(&r);
        assert_true(reads_eof(&over));
        client_close(&over);
    }
    assert_int_equal(env_stats(&env).connections_refused, 3);
    client_close(&c[0]);
    for (int i = 0; i < WAIT_MS && env_stats(&env).connections == 5; i++) {
        nap_ms(1);
    }
    assert_int_equal(ask_with("GET /echo", "", &r), 200);
    reply_free(&r);
    for (int i = 1; i < 5; i++) {
        client_close(&c[i]);
    }
    env_fini(&env);

    env_init(&env, &o);
    o.config.max_connections_per_address = 2;
    env_start(&env, &o);
    c[0] = client_open(&env);
    c[1] = client_open(&env);
    assert_true(send_z(&c[0], "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(send_z(&c[1], "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(read_reply(&c[0], &r, false));
    reply_free(&r);
    assert_true(read_reply(&c[1], &r, false));
    reply_free(&r);
    c[2] = client_open(&env);
    assert_true(reads_eof(&c[2]));
    for (int i = 0; i < 3; i++) {
        client_close(&c[i]);
    }
    env_fini(&env);
}

static void test_out_of_descriptors(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    o.config.max_connections = 10;
    env_start(&env, &o);
    struct client waiting = client_open(&env), asking;
    struct reply r;
    assert_true(send_z(&waiting, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(read_reply(&waiting, &r, false));
    reply_free(&r);
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    asking = (struct client){socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), NULL, 0, 0};
    none = (struct rlimit){3, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(qv__server_port(env.server))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(asking.fd, (struct sockaddr *)&a, sizeof a), 0); /* the backlog's */
    assert_true(send_z(&asking, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"));
    for (int i = 0; i < WAIT_MS && !env_logged(&env, "cannot be accepted for now"); i++) {
        nap_ms(1);
    }
    /* Those that are connected are served; the others later. */
    assert_true(send_z(&waiting, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(read_reply(&waiting, &r, false));
    reply_free(&r);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(read_reply(&asking, &r, false));
    assert_int_equal(r.status, 200);
    reply_free(&r);
    client_close(&waiting);
    client_close(&asking);
    env_fini(&env);
}

/* ---- memory ---- */

static void test_memory_budget(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    struct qv__mem *all = env.mem;
    o.mem = qv__mem_child(all, "budget", 1000000); /* the workers have their own */
    assert_non_null(o.mem);
    o.config.max_connections = 50;
    o.config.body_bytes_max = 100000000;
    env_start(&env, &o);
    struct reply r;
    /* a body that is too much for the budget, announced or not */
    char *p = malloc(8000000);
    memset(p, 'b', 8000000);
    for (int chunked = 0; chunked < 2; chunked++) {
        struct client c = client_open(&env);
        send_z(&c, chunked ? "PUT /now HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "7a1200\r\n"
                           : "PUT /now HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n");
        send_n(&c, p, 8000000);
        assert_true(read_reply(&c, &r, false));
        assert_int_equal(r.status, 503);
        char v[512];
        assert_string_equal(reply_header(&r, "retry-after", v), "1");
        assert_non_null(strstr(r.body, "no memory"));
        reply_free(&r);
        client_close(&c);
    }
    free(p);
    /* a response that is */
    assert_int_equal(ask_with("GET /big/5000000", "", &r), 503);
    reply_free(&r);
    /* more connections than fit: those without memory are told so */
    struct client c[50];
    int served = 0, refused = 0;
    for (int i = 0; i < WAIT_MS && env_stats(&env).connections; i++) {
        nap_ms(1);
    }
    for (size_t i = 0; i < QV_ARRAY_LEN(c); i++) { /* each is held or answered before the next */
        size_t n = held(&env);
        c[i] = client_open(&env);
        assert_true(send_z(&c[i], "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"));
        for (int k = 0; k < WAIT_MS && held(&env) == n && receive(&c[i], 1) < 0; k++) {
        }
    }
    release_all(&env);
    for (size_t i = 0; i < QV_ARRAY_LEN(c); i++) {
        assert_true(read_reply(&c[i], &r, false));
        served += r.status == 200;
        refused += r.status == 503;
        reply_free(&r);
        client_close(&c[i]);
    }
    assert_int_equal(served + refused, QV_ARRAY_LEN(c));
    assert_true(served > 10 && refused > 10);
    for (int i = 0; i < WAIT_MS && env_stats(&env).connections; i++) {
        nap_ms(1);
    }
    assert_int_equal(ask_with("GET /now", "", &r), 200);
    reply_free(&r);
    qv__server_free(env.server);
    env.server = NULL;
    qv__mem_close(o.mem);
    env_fini(&env);
}

/* Every allocation of a request fails once: the client is told or disconnected, nothing is lost. */
static void test_allocations_fail(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    o.config.http_threads = 1;
    /* creation */
    unsigned n = 0;
    for (;; n++) {
        qv__mem_fail_at(env.mem, n + 1, false);
        qv_status st = qv__server_create(&o, &env.server, &err);
        qv__mem_fail_at(env.mem, 0, false);
        if (st == QV_OK) {
            break;
        }
        assert_int_equal(st, QV_ENOMEM);
    }
    assert_int_equal(n, 4);
    assert_ok(qv__server_start(env.server, &err));
    int statuses[3] = {0};
    for (unsigned at = 1, in_a_row = 0; in_a_row < 3; at++) {
        struct reply r;
        uint64_t before = qv__mem_allocations(env.mem);
        qv__mem_fail_at(env.mem, at, false);
        struct client c = client_open(&env);
        send_z(&c, "PUT /echo/1?a=b HTTP/1.1\r\nHost: a\r\nX-Request-Id: 1\r\n"
                   "Content-Length: 20\r\n\r\n01234567890123456789");
        bool got = read_reply(&c, &r, false);
        bool untouched = qv__mem_allocations(env.mem) - before < at;
        qv__mem_fail_at(env.mem, 0, false);
        if (got) {
            assert_true(r.status == 200 || r.status == 503);
            statuses[r.status == 200 ? 0 : 1]++;
            if (r.status == 200) {
                assert_non_null(strstr(r.body, "body=01234567890123456789"));
            }
            reply_free(&r);
        } else {
            statuses[2]++;
        }
        client_close(&c);
        for (int i = 0; i < WAIT_MS && env_stats(&env).connections; i++) {
            nap_ms(1);
        }
        in_a_row = untouched ? in_a_row + 1 : 0;
        assert_true(at < 200);
    }
    print_message("served %d, refused %d, closed %d\n", statuses[0], statuses[1], statuses[2]);
    assert_int_equal(statuses[1] + statuses[2], 4); /* a larger buffer is tried again, smaller */
    env_fini(&env);
}

/* ---- nothing ---- */

/* How often the threads of that name went to sleep. */
static unsigned long sleeps(const char *thread)
{
    unsigned long total = 0;
    char path[64 + 256], line[256];
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *d; (d = readdir(tasks));) {
        bool wanted = false;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", d->d_name);
        FILE *f = d->d_name[0] != '.' ? fopen(path, "r") : NULL;
        while (f && fgets(line, sizeof line, f)) {
            char name[64];
            unsigned long n;
            wanted |= sscanf(line, "Name: %63s", name) == 1 && strcmp(name, thread) == 0;
            if (wanted && sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1) {
                total += n;
            }
        }
        if (f) {
            fclose(f);
        }
    }
    closedir(tasks);
    return total;
}

/* Until the watcher sleeps for more than a second: at once, or when a busy machine let it do what
 * was due. */
static void wait_quiet(void)
{
    unsigned long before = 0, now = sleeps("qv-accept");
    for (int tries = 0; tries < 10 && (before != now || now == 0); tries++) {
        before = now;
        nap_ms(1200);
        now = sleeps("qv-accept");
    }
    assert_int_not_equal(now, 0);
    assert_int_equal(now, before);
}

/* Without connections, and with one that waits, the watcher sleeps; it wakes for who is late. */
static void test_quiet(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    o.sweep_ms = 0;
    o.config.header_timeout_s = 2;
    env_start(&env, &o);
    wait_quiet();
    struct client waiting = client_open(&env), late = client_open(&env);
    struct reply r;
    assert_true(send_z(&waiting, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(read_reply(&waiting, &r, false));
    reply_free(&r);
    assert_true(send_z(&late, "GET /echo HTTP/1.1\r\nHost:"));
    uint64_t began = qv__mono_ns(qv__clock_system());
    assert_true(reads_eof(&late));
    assert_true(qv__mono_ns(qv__clock_system()) - began > UINT64_C(1900000000));
    assert_int_equal(env_stats(&env).timeouts, 1);
    client_close(&late);
    wait_quiet(); /* once it has looked whether that connection has gone */
    assert_true(send_z(&waiting, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(read_reply(&waiting, &r, false));
    assert_int_equal(r.status, 200);
    reply_free(&r);
    client_close(&waiting);
    env_fini(&env);
}

/* The process stands still for longer than any timeout (a stopped container, a machine that slept):
 * clients get time to go on. */
static void test_stall(void **state)
{
    (void)state;
    struct qv__server_options o;
    struct reply r;
    env_init(&env, &o);
    o.sweep_ms = 0;
    o.config.header_timeout_s = 1;
    env_start(&env, &o);
    struct client c = client_open(&env);
    assert_true(send_z(&c, "GET /echo HTTP/1.1\r\nHost:"));
    nap_ms(200);
    atomic_fetch_add(&env.clock_ahead_ns, UINT64_C(100000000000));
    nap_ms(1300); /* the watcher has looked */
    assert_true(send_z(&c, " a\r\n\r\n"));
    assert_true(read_reply(&c, &r, false));
    assert_int_equal(r.status, 200);
    reply_free(&r);
    client_close(&c);
    env_fini(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quiet),
        cmocka_unit_test(test_stall),
        cmocka_unit_test(test_overload),
        cmocka_unit_test(test_connection_limits),
        cmocka_unit_test(test_out_of_descriptors),
        cmocka_unit_test(test_memory_budget),
        cmocka_unit_test(test_allocations_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
