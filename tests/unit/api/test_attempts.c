/* test_attempts.c: short reads on the thread that submits them; what takes longer is begun anew by
 * a worker, and answered as if it had not been tried. The database has workers; its clock stands,
 * but for leaps of two milliseconds at each reading of it by the thread of the test while it is
 * told to. */
#include "ask_fixture.h"

static struct {
    struct qv__clock clock;
    pthread_t thread;
    _Atomic uint64_t now_ns;
    _Atomic bool leaps;
} now;

static uint64_t mono_ns(void *ctx)
{
    (void)ctx;
    if (atomic_load(&now.leaps) && pthread_equal(pthread_self(), now.thread)) {
        return atomic_fetch_add(&now.now_ns, 2000000) + 2000000;
    }
    return atomic_load(&now.now_ns);
}

static uint64_t wall_ms(void *ctx)
{
    (void)ctx;
    return UINT64_C(1700000000000);
}

static void ask(struct fix *f, struct ask *a, enum qv__method method, const char *path,
                const char *body, bool may_run_here)
{
    ask_submit(f, a, method, path, body, may_run_here);
    assert_true(ask_is_answered(a, 60));
}

/* It was this thread that answered, before submit returned. */
static bool is_here(const struct ask *a)
{
    return pthread_equal(a->by, pthread_self());
}

static void write_ok(struct fix *f, enum qv__method method, const char *path, const char *body)
{
    struct ask a;
    ask(f, &a, method, path, body, true);
    assert_false(is_here(&a));
    if (a.r.response.http_status != 200) {
        fail_msg("%s: %d %s", path, a.r.response.http_status, ask_text(&a));
    }
    ask_forget(&a);
}

static void open_with_points(struct fix *f)
{
    now.clock = (struct qv__clock){.mono_ns = mono_ns, .wall_ms = wall_ms};
    now.thread = pthread_self();
    atomic_store(&now.now_ns, UINT64_C(1000000000));
    atomic_store(&now.leaps, false);
    ask_open(f, &now.clock);
    write_ok(f, QV__PUT, "/collections/c",
             "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"},"
             "\"strict_mode_config\":{\"enabled\":true,\"read_rate_limit\":10}}");
    write_ok(f, QV__PUT, "/collections/c/points",
             "{\"points\":[{\"id\":1,\"vector\":[1,0]},{\"id\":2,\"vector\":[0,1]}]}");
}

#define QUERY "/collections/c/points/query"
#define NEAR  "{\"query\":[1,0.5],\"limit\":2}"

static void is_right(const struct ask *a)
{
    if (a->r.response.http_status != 200 || !strstr(ask_text(a), "\"id\":1") ||
        !strstr(ask_text(a), "\"id\":2") || strstr(ask_text(a), "error")) {
        fail_msg("%d %s", a->r.response.http_status, ask_text(a));
    }
    assert_string_equal(a->r.response.content_type, "application/json");
    assert_int_equal(a->r.response.n_extra, 0);
}

static void test_short_reads_run_here(void **state)
{
    struct fix fix, *f = &fix;
    struct ask a;
    (void)state;
    open_with_points(f);
    ask(f, &a, QV__POST, QUERY, NEAR, true);
    is_right(&a);
    assert_true(is_here(&a));
    ask_forget(&a);
    ask(f, &a, QV__POST, QUERY, NEAR, false);
    is_right(&a);
    assert_false(is_here(&a));
    ask_forget(&a);
    ask(f, &a, QV__POST, QUERY, "{\"query\":[1]}", true); /* errors are answers */
    assert_int_equal(a.r.response.http_status, 400);
    assert_true(is_here(&a));
    ask_forget(&a);
    fix_close(f);
}

static void test_long_reads_move(void **state)
{
    struct fix fix, *f = &fix;
    struct ask a;
    (void)state;
    open_with_points(f);
    atomic_store(&now.leaps, true);
    ask(f, &a, QV__POST, QUERY, NEAR, true);
    atomic_store(&now.leaps, false);
    is_right(&a);
    assert_false(is_here(&a));
    ask_forget(&a);
    /* The next ones are not tried, and later ones are again. */
    unsigned moved = 0;
    for (unsigned i = 0; i < 200; i++) {
        atomic_fetch_add(&now.now_ns, UINT64_C(60000000000)); /* tokens of the rate limit */
        ask(f, &a, QV__POST, QUERY, NEAR, true);
        is_right(&a);
        moved += !is_here(&a);
        ask_forget(&a);
    }
    assert_int_equal(moved, 64);
    fix_close(f);
}

/* A read that is begun anew takes its tokens once: of ten, each query takes one. */
static void test_moved_reads_pay_once(void **state)
{
    struct fix fix, *f = &fix;
    struct ask a;
    (void)state;
    open_with_points(f);
    for (unsigned i = 0; i < 10; i++) {
        f->api->no_attempts = 0;
        atomic_store(&now.leaps, true);
        ask(f, &a, QV__POST, QUERY, NEAR, true);
        atomic_store(&now.leaps, false);
        is_right(&a);
        assert_false(is_here(&a));
        ask_forget(&a);
    }
    fix_close(f);
}

/* The client's own deadline is told as before. */
static void test_deadlines_are_the_clients(void **state)
{
    struct fix fix, *f = &fix;
    struct ask a;
    (void)state;
    open_with_points(f);
    f->deadline_ns = atomic_load(&now.now_ns) + 3000000;
    atomic_store(&now.leaps, true);
    ask(f, &a, QV__POST, QUERY, NEAR, true);
    atomic_store(&now.leaps, false);
    assert_int_equal(a.r.response.http_status, qv_status_http(QV_ETIMEOUT));
    assert_non_null(strstr(ask_text(&a), "Timeout"));
    ask_forget(&a);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_reads_run_here),
        cmocka_unit_test(test_long_reads_move),
        cmocka_unit_test(test_moved_reads_pay_once),
        cmocka_unit_test(test_deadlines_are_the_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
