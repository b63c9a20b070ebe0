/* test_figures.c: responses counted by collection, and what is told while others count. */
#include "api_fixture.h"

#include "api/api.h"
#include "base/thread.h"

#define N_THREADS 3
#define EXISTS    "/collections/{collection_name}/exists"
#define SCROLL    "/collections/{collection_name}/points/scroll"

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

/* Responses of a collection, or of "", for an endpoint and a status (0 = all). */
static uint64_t told(struct fix *f, const char *collection, const char *endpoint, int http_status)
{
    const struct qv__api_figures *list;
    struct qv__arena arena;
    uint64_t sum = 0;
    size_t n;
    qv__arena_init(&arena, f->mem);
    assert_int_equal(qv__api_counts_by_collection(f->api, &arena, &list, &n), QV_OK);
    for (size_t i = 0; i < n; i++) {
        uint64_t in_buckets = 0;
        for (unsigned b = 0; b < QV__API_BUCKETS; b++) {
            in_buckets += list[i].bucket[b];
        }
        assert_true(list[i].n && in_buckets <= list[i].n && list[i].min_ns <= list[i].max_ns);
        if (qv__str_eq(list[i].collection, qv__str_z(collection)) &&
            !strcmp(list[i].endpoint, endpoint) &&
            (!http_status || list[i].http_status == http_status)) {
            sum += list[i].n;
        }
    }
    qv__arena_free(&arena);
    return sum;
}

static const struct qv__route *route_of(struct fix *f, const char *pattern)
{
    const struct qv__route *r = f->api->dialect->routes;
    while (strcmp(r->pattern, pattern) != 0) {
        r++;
    }
    return r;
}

static void test_errors_and_aliases(void **state)
{
    struct fix *f = *state;
    /* the first response of a route and a status may be an error */
    ANSWER(QV__POST, "/collections/c/points/scroll", "{", 400, "error");
    ANSWER(QV__POST, "/collections/nobody/points/scroll", "{}", 404, "nobody");
    ANSWER(QV__POST, "/collections/aliases",
           "{\"actions\":[{\"create_alias\":{\"collection_name\":\"c\",\"alias_name\":\"a\"}}]}",
           200, "true");
    for (int i = 0; i < 2; i++) {
        ANSWER(QV__POST, "/collections/a/points/scroll", "{}", 200, "points");
        ANSWER(QV__POST, "/collections/a/points/scroll", "{", 400, "error");
    }
    assert_int_equal(told(f, "c", SCROLL, 400), 3);
    assert_int_equal(told(f, "c", SCROLL, 200), 2);
    assert_int_equal(told(f, "c", SCROLL, 0), 5);
    assert_int_equal(told(f, "a", SCROLL, 0), 0);
    assert_int_equal(told(f, "nobody", SCROLL, 0), 0);
    assert_int_equal(told(f, "", SCROLL, 404), 1);
    assert_int_equal(told(f, "", SCROLL, 0), 1);
    /* what was counted for it goes to the rest with it */
    ANSWER(QV__DELETE, "/collections/c", NULL, 200, "true");
    assert_int_equal(told(f, "c", SCROLL, 0), 0);
    assert_int_equal(told(f, "", SCROLL, 0), 6);
    ANSWER(QV__POST, "/collections/c/points/scroll", "{}", 404, "`c`");
    assert_int_equal(told(f, "", SCROLL, 404), 2);
}

/* Names that nobody made take no places, whatever is answered. */
static void test_names_of_nothing(void **state)
{
    struct fix *f = *state;
    const struct qv__route *exists = route_of(f, EXISTS);
    size_t before = f->api->by_collection.n;
    char name[32];
    ANSWER(QV__GET, "/collections/nobody/exists", NULL, 200, "false");
    ANSWER(QV__DELETE, "/collections/nobody", NULL, 200, "false");
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "nobody %u", i);
        qv__api_count_named(f->api, qv__str_z(name), exists, 200, i);
    }
    assert_int_equal(f->api->by_collection.n, before + 2); /* of the two routes */
    ANSWER(QV__GET, "/collections/c/exists", NULL, 200, "true");
    assert_int_equal(told(f, "c", EXISTS, 200), 1);
    assert_int_equal(told(f, "", EXISTS, 200), 5001);
}

/* Full of a collection that is there: the next one is counted in the rest. Once the first is gone
 * it has its own place, though nobody asked for figures meanwhile. */
static void test_full(void **state)
{
    struct fix *f = *state;
    const struct qv__route *exists = route_of(f, EXISTS);
    struct qv__api_by_collection *b = &f->api->by_collection;
    ANSWER(QV__PUT, "/collections/d", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", 200,
           "true");
    for (int status = 1000; b->n_named < QV__API_NAMED_MAX; status++) {
        qv__api_count_named(f->api, QV__STR("c"), exists, status, 1);
    }
    qv__api_count_named(f->api, QV__STR("d"), exists, 200, 1);
    assert_int_equal(b->n_named, QV__API_NAMED_MAX);
    assert_int_equal(told(f, "", EXISTS, 200), 1);
    ANSWER(QV__DELETE, "/collections/c", NULL, 200, "true");
    for (unsigned i = 0; i < QV__API_NAMED_LOOK; i++) {
        qv__api_count_named(f->api, QV__STR("d"), exists, 200, 1);
    }
    assert_true(b->n_named < 100);
    uint64_t named = told(f, "d", EXISTS, 200);
    assert_true(named > 0);
    assert_int_equal(named + told(f, "", EXISTS, 200), 1 + QV__API_NAMED_LOOK);
    assert_int_equal(qv__counted(&f->api->lost), 0);
}

/* --- while others count
 * ----------------------------------------------------------------------------------- */

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
        cmocka_unit_test_setup_teardown(test_errors_and_aliases, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_of_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test(test_half_counted),
        cmocka_unit_test_setup_teardown(test_read_while_counted, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
