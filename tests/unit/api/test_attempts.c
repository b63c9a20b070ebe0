/* test_attempts.c: short reads on the thread that submits them; what takes longer is begun anew by
 * a worker, and answered as if it had not been tried. The database has workers; its clock stands,
 * but for leaps of two milliseconds at each reading of it by the thread of the test while it is
 * told to. */
#include "api_fixture.h"

#include "api/api.h"

#include <pthread.h>
#include <semaphore.h>

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

/* One request and its answer. */
struct ask {
    struct fix *f;
    struct qv__request r;
    struct qv__bytes body;
    pthread_t by; /* who called done */
    sem_t done;
    bool here; /* it was this thread, before submit returned */
};

static void on_done(struct qv__request *r)
{
    struct ask *a = r->carrier;
    a->by = pthread_self();
    sem_post(&a->done);
}

static void ask(struct fix *f, struct ask *a, enum qv__method method, const char *path,
                const char *body, bool may_run_here)
{
    struct qv__request *r = &a->r;
    memset(a, 0, sizeof *a);
    a->body = (struct qv__bytes){(const uint8_t *)body, strlen(body)};
    r->api = f->api;
    r->method = method;
    r->path = qv__str_z(path);
    r->body = &a->body;
    r->n_body = 1;
    r->may_run_here = may_run_here;
    r->deadline_ns = f->deadline_ns;
    r->started_ns = atomic_load(&now.now_ns);
    qv__arena_init(&r->arena, qv__db_mem(f->db));
    qv__buf_init(&r->response.body, qv__db_mem(f->db));
    r->done = on_done;
    r->carrier = a;
    assert_int_equal(sem_init(&a->done, 0, 0), 0);
    qv__api_submit(r);
    while (sem_wait(&a->done) != 0) {
    }
    a->here = pthread_equal(a->by, pthread_self());
    qv__buf_put(&r->response.body, "", 1);
}

static const char *text(const struct ask *a)
{
    return (const char *)a->r.response.body.p;
}

static void forget(struct ask *a)
{
    sem_destroy(&a->done);
    qv__arena_free(&a->r.arena);
    qv__buf_free(&a->r.response.body);
}

static void write_ok(struct fix *f, enum qv__method method, const char *path, const char *body)
{
    struct ask a;
    ask(f, &a, method, path, body, true);
    assert_false(a.here);
    if (a.r.response.http_status != 200) {
        fail_msg("%s: %d %s", path, a.r.response.http_status, text(&a));
    }
    forget(&a);
}

static void open_with_points(struct fix *f)
{
    memset(f, 0, sizeof *f);
    now.clock = (struct qv__clock){.mono_ns = mono_ns, .wall_ms = wall_ms};
    now.thread = pthread_self();
    atomic_store(&now.now_ns, UINT64_C(1000000000));
    atomic_store(&now.leaps, false);
    f->mem = qv__mem_root("test", 0);
    OK(qv__io_sim_open(f->mem, &f->io, &f->err));
    f->options = (struct qv__db_options){
        .io = f->io, .clock = &now.clock, .threads = 2, .seed = 7, .log_file_bytes = 1 << 20};
    OK(qv__db_open(&f->options, &f->db, &f->err));
    OK(qv__api_create(f->db, NULL, &f->api, &f->err));
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
    if (a->r.response.http_status != 200 || !strstr(text(a), "\"id\":1") ||
        !strstr(text(a), "\"id\":2") || strstr(text(a), "error")) {
        fail_msg("%d %s", a->r.response.http_status, text(a));
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
    assert_true(a.here);
    forget(&a);
    ask(f, &a, QV__POST, QUERY, NEAR, false);
    is_right(&a);
    assert_false(a.here);
    forget(&a);
    ask(f, &a, QV__POST, QUERY, "{\"query\":[1]}", true); /* errors are answers */
    assert_int_equal(a.r.response.http_status, 400);
    assert_true(a.here);
    forget(&a);
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
    assert_false(a.here);
    forget(&a);
    /* The next ones are not tried, and later ones are again. */
    unsigned moved = 0;
    for (unsigned i = 0; i < 200; i++) {
        atomic_fetch_add(&now.now_ns, UINT64_C(60000000000)); /* tokens of the rate limit */
        ask(f, &a, QV__POST, QUERY, NEAR, true);
        is_right(&a);
        moved += !a.here;
        forget(&a);
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
        assert_false(a.here);
        forget(&a);
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
    assert_non_null(strstr(text(&a), "Timeout"));
    forget(&a);
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
