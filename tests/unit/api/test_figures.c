/* test_figures.c: what is told of responses while others are counted. */
#include "api_fixture.h"

#include "api/api.h"
#include "base/thread.h"

#define N_THREADS 3

static int setup(void **state)
{
    static struct fix f;
    fix_open(&f);
    fix_points(&f);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fix_close(*state);
    return 0;
}

/* Figures agree. *arg: how many responses of a status from 500 to 509 are told. */
static void check(void *arg, const struct qv__api_figures *f)
{
    uint64_t in_buckets = 0;
    for (unsigned b = 0; b < QV__API_BUCKETS; b++) {
        in_buckets += f->bucket[b];
    }
    assert_true(in_buckets <= f->n);
    assert_true(f->min_ns <= f->max_ns);
    *(uint64_t *)arg += f->http_status >= 500 && f->http_status < 510 ? f->n : 0;
}

/* Counting reads the clock, and then this reads what is counted. */
static uint64_t wall_ms(void *ctx)
{
    struct qv__api **counting = ctx;
    uint64_t n = 0;
    if (*counting) {
        qv__api_counts_each(*counting, check, &n);
        assert_int_equal(n, 0);
        *counting = NULL; /* it was here */
    }
    return UINT64_C(1700000000000);
}

static uint64_t mono_ns(void *ctx)
{
    (void)ctx;
    return 1;
}

/* A response is told when all of it is counted. */
static void test_half_counted(void **state)
{
    static struct fix own;
    struct fix *f = &own;
    struct qv__api *counting = NULL;
    struct qv__clock clock = {.mono_ns = mono_ns, .wall_ms = wall_ms, .ctx = &counting};
    uint64_t n = 0;
    (void)state;
    f->mem = qv__mem_root("test", 0);
    OK(qv__io_sim_open(f->mem, &f->io, &f->err));
    f->options = (struct qv__db_options){
        .io = f->io, .clock = &clock, .threads = -1, .seed = 7, .log_file_bytes = 1 << 20};
    OK(qv__db_open(&f->options, &f->db, &f->err));
    OK(qv__api_create(f->db, NULL, &f->api, &f->err));
    counting = f->api;
    qv__api_count(f->api, NULL, 500, 5);
    assert_null(counting);
    qv__api_counts_each(f->api, check, &n);
    assert_int_equal(n, 1);
    fix_close(f);
}

/* Three threads count, all in one cell, then each beginning ever new cells, while this one reads.
 */
#define N_ONE   100000u
#define N_ROUND 30u
#define SLOW_NS UINT64_C(40000000000) /* of the last bucket */
struct counting {
    struct fix *f;
    _Atomic unsigned *running;
};

static void count(void *arg)
{
    struct counting *c = arg;
    const struct qv__dialect *d = c->f->api->dialect;
    for (unsigned i = 0; i < N_ONE; i++) {
        qv__api_count(c->f->api, NULL, 500, SLOW_NS + i);
    }
    for (unsigned round = 0; round < N_ROUND; round++) {
        for (size_t r = 0; r < d->n_routes; r++) {
            qv__api_count(c->f->api, &d->routes[r], 500 + (int)(round % 10),
                          round * UINT64_C(40000));
        }
    }
    atomic_fetch_sub(c->running, 1);
}

static void test_read_while_counted(void **state)
{
    struct fix *f = *state;
    struct qv__thread threads[N_THREADS];
    struct counting of[N_THREADS];
    _Atomic unsigned running = N_THREADS;
    uint64_t n = 0;
    for (unsigned i = 0; i < N_THREADS; i++) {
        of[i] = (struct counting){.f = f, .running = &running};
        OK(qv__thread_start(&threads[i], "count", count, &of[i], &f->err));
    }
    while (atomic_load(&running)) {
        qv__api_counts_each(f->api, check, &n);
    }
    for (unsigned i = 0; i < N_THREADS; i++) {
        qv__thread_join(&threads[i]);
    }
    n = 0;
    qv__api_counts_each(f->api, check, &n);
    assert_int_equal(n, N_THREADS * (N_ONE + N_ROUND * f->api->dialect->n_routes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_counted),
        cmocka_unit_test_setup_teardown(test_read_while_counted, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
