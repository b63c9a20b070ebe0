/* test_graph_sketch.c: scans by sketches: they come when scans have paid for them, find what scans
 * of codes find, and are done without where memory is short or the search is cancelled. */
#include "base/pool.h"
#include "index_fixture.h"

enum { N = 12000, DIM = 64, K = 10, QUERIES = 20 };

static struct {
    struct qv__mem *mem;
    struct data d, queries;
    struct qv__index *built;
    struct saved saved;
} f;

static int setup(void **state)
{
    (void)state;
    struct qv_err err;
    f.mem = qv__mem_root("test", 0);
    f.d = data_make(N, DIM, QV__L2, 31);
    f.queries = data_make(QUERIES, DIM, QV__L2, 31);
    fill_clustered(&f.d, 100, 0.7f, 1, 2, NULL);
    fill_clustered(&f.queries, 100, 0.7f, 1, 3, NULL);
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .m = 8, .ef_construct = 40, .seed = 1};
    struct qv__index_env env = env_make(f.mem, NULL, 1);
    check_ok(qv__index_ops_of(QV__INDEX_GRAPH)->build(&params, &env, &f.d.v, N, &f.built, &err));
    saved_take(&f.saved, f.built);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    f.built->ops->free(f.built);
    saved_free(&f.saved);
    data_free(&f.d);
    data_free(&f.queries);
    assert_int_equal(qv__mem_used(f.mem), 0);
    qv__mem_close(f.mem);
    return 0;
}

static struct qv__index *reopen(struct qv__mem *mem, bool on_disk)
{
    struct qv_err err;
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .m = 8, .ef_construct = 40, .on_disk = on_disk};
    struct qv__index_env env = env_make(mem, NULL, 1);
    struct qv__index_parts parts = saved_parts(&f.saved);
    struct qv__index *x = NULL;
    check_ok(qv__index_ops_of(QV__INDEX_GRAPH)->open(&params, &env, &f.d.v, N, &parts, &x, &err));
    return x;
}

static uint64_t memory_of(const struct qv__index *x)
{
    struct qv__index_info info;
    x->ops->describe(x, &info);
    return info.memory_bytes;
}

/* One in so many nodes. */
static uint64_t *allow_some(uint32_t step, uint64_t *n)
{
    uint64_t *allow = allow_make(N);
    memset(allow, 0, qv__bitset_words(N) * sizeof *allow);
    for (uint32_t i = 0; i < N; i += step) {
        qv__bit_set(allow, i);
    }
    *n = qv__bits_count(allow, N);
    return allow;
}

static qv_status scan(const struct qv__index *x, uint32_t i, const uint64_t *allow, uint64_t n,
                      struct qv__qctx *ctx, struct qv__index_hit *hits, uint32_t *n_hits)
{
    struct qv__index_query q = {.vector = data_row(&f.queries, i % QUERIES),
                                .k = K,
                                .ef = 32,
                                .allow = allow,
                                .allow_count = n,
                                .n = N,
                                .strategy = QV__STRATEGY_SCAN};
    qv_status st = x->ops->search(x, &q, ctx, hits, n_hits, NULL);
    if (st == QV_OK) {
        assert_int_equal(*n_hits, QV_MIN((uint64_t)K, n));
        check_hits(&f.d, &q, hits, *n_hits);
    }
    return st;
}

/* Recall of QUERIES scans, and what they compared. */
static double recall_of_scans(const struct qv__index *x, const uint64_t *allow, uint64_t n,
                              struct qv__mem *mem, uint64_t *distances)
{
    uint32_t good = 0;
    *distances = 0;
    for (uint32_t i = 0; i < QUERIES; i++) {
        struct qv__qctx ctx = ctx_make(mem);
        struct qv__index_hit hits[K];
        uint32_t n_hits;
        assert_int_equal(scan(x, i, allow, n, &ctx, hits, &n_hits), QV_OK);
        double kth = exact_kth(&f.d, data_row(&f.queries, i), N, K, allow);
        for (uint32_t j = 0; j < n_hits; j++) {
            good += hits[j].dist <= kth + slack(kth, DIM);
        }
        *distances += ctx.stats.distances;
    }
    return (double)good / (K * QUERIES);
}

static void test_come_when_paid_for(void **state)
{
    (void)state;
    uint64_t n, compared, before, after;
    uint64_t *allow = allow_some(4, &n); /* 3,000: four scans are as many as there are codes */
    struct qv__index *x = reopen(f.mem, false);
    before = memory_of(x);
    struct qv__qctx ctx = ctx_make(f.mem);
    struct qv__index_hit hits[K];
    uint32_t n_hits;
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(scan(x, i, allow, n, &ctx, hits, &n_hits), QV_OK);
    }
    assert_int_equal(memory_of(x) > before + N * (DIM / 8 + 8), 0);
    assert_int_equal(scan(x, 4, allow, n, &ctx, hits, &n_hits), QV_OK);
    after = memory_of(x);
    assert_true(after >= before + N * (DIM / 8 + 8));
    double recall = recall_of_scans(x, allow, n, f.mem, &compared);
    print_message("recall %.4f, %.0f distances\n", recall, (double)compared / QUERIES);
    assert_true(recall >= 0.995);
    assert_true(compared < QUERIES * n * 3 / 4); /* a look counts half */
    /* Few are compared by their codes at once. */
    free(allow);
    allow = allow_some(40, &n);
    (void)recall_of_scans(x, allow, n, f.mem, &compared);
    assert_true(compared >= QUERIES * n);
    free(allow);
    x->ops->free(x);
}

/* Neither a graph that is being built, nor one whose codes are not to be in memory. */
static void test_not_everywhere(void **state)
{
    (void)state;
    uint64_t n, compared;
    uint64_t *allow = allow_some(4, &n);
    struct qv__index *cold = reopen(f.mem, true);
    (void)recall_of_scans(cold, allow, n, f.mem, &compared);
    assert_true(compared >= QUERIES * n);
    (void)recall_of_scans(f.built, allow, n, f.mem, &compared);
    assert_true(compared >= QUERIES * n);
    cold->ops->free(cold);
    free(allow);
}

static void test_without_memory(void **state)
{
    (void)state;
    uint64_t n, compared, used = 0;
    uint64_t *allow = allow_some(4, &n);
    for (int is_short = 0; is_short < 2; is_short++) {
        /* Enough for what a scan takes, and for less than the sketches. */
        struct qv__mem *mem = qv__mem_root("index", is_short ? used + N : 0);
        struct qv__index *x = reopen(mem, false);
        struct qv__qctx ctx = ctx_make(f.mem);
        struct qv__index_hit hits[K];
        uint32_t n_hits;
        assert_int_equal(scan(x, 0, allow, n, &ctx, hits, &n_hits), QV_OK);
        used = qv__mem_used(mem);
        assert_true(recall_of_scans(x, allow, n, f.mem, &compared) >= 0.995);
        assert_int_equal(compared >= QUERIES * n, is_short);
        x->ops->free(x);
        assert_int_equal(qv__mem_used(mem), 0);
        qv__mem_close(mem);
    }
    free(allow);
}

static void test_cancelled(void **state)
{
    (void)state;
    uint64_t n, compared;
    uint64_t *allow = allow_some(4, &n), before;
    struct qv__index *x = reopen(f.mem, false);
    _Atomic bool cancel = true;
    struct qv__qctx ctx = ctx_make(f.mem);
    struct qv__index_hit hits[K];
    uint32_t n_hits;
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(scan(x, i, allow, n, &ctx, hits, &n_hits), QV_OK);
    }
    before = memory_of(x);
    ctx.cancel = &cancel;
    assert_int_equal(scan(x, 4, allow, n, &ctx, hits, &n_hits), QV_ECANCELLED);
    assert_true(memory_of(x) < before + N * (DIM / 8 + 8));
    assert_true(recall_of_scans(x, allow, n, f.mem, &compared) >= 0.995);
    x->ops->free(x);
    free(allow);
}

/* An attempt leaves to others what is made once. */
static void test_not_by_an_attempt(void **state)
{
    (void)state;
    uint64_t n, compared, before;
    uint64_t *allow = allow_some(4, &n);
    struct qv__index *x = reopen(f.mem, false);
    struct qv__qctx ctx = ctx_make(f.mem);
    struct qv__index_hit hits[K];
    uint32_t n_hits;
    before = memory_of(x);
    ctx.is_attempt = true;
    assert_int_equal(scan(x, 0, allow, n, &ctx, hits, &n_hits), QV_ETIMEOUT); /* costs */
    ctx.is_attempt = false;
    assert_int_equal(scan(x, 0, allow, n, &ctx, hits, &n_hits), QV_OK);
    ctx.is_attempt = true;
    for (uint32_t i = 1; i < 4; i++) {
        assert_int_equal(scan(x, i, allow, n, &ctx, hits, &n_hits), QV_OK);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(scan(x, i, allow, n, &ctx, hits, &n_hits), QV_ETIMEOUT);
    }
    assert_true(memory_of(x) < before + N * (DIM / 8 + 8));
    ctx.is_attempt = false;
    assert_int_equal(scan(x, 0, allow, n, &ctx, hits, &n_hits), QV_OK);
    assert_true(memory_of(x) >= before + N * (DIM / 8 + 8));
    ctx.is_attempt = true;
    assert_int_equal(scan(x, 0, allow, n, &ctx, hits, &n_hits), QV_OK);
    assert_true(recall_of_scans(x, allow, n, f.mem, &compared) >= 0.995);
    x->ops->free(x);
    free(allow);
}

/* Where the first 256 elements say nothing, scans go on by codes. */
static void test_not_where_they_are_blind(void **state)
{
    (void)state;
    enum { LONG = 300, BLIND = 256 };
    struct qv_err err;
    struct data d = data_make(N, LONG, QV__L2, 5);
    fill_uniform(&d, 6);
    for (uint32_t i = 0; i < N; i++) {
        memset(data_row(&d, i), 0, BLIND * sizeof(float));
    }
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .m = 4, .ef_construct = 16, .seed = 1};
    struct qv__index_env env = env_make(f.mem, NULL, 1);
    struct qv__index *x = NULL;
    struct saved saved;
    check_ok(qv__index_ops_of(QV__INDEX_GRAPH)->build(&params, &env, &d.v, N, &x, &err));
    saved_take(&saved, x);
    x->ops->free(x);
    struct qv__index_parts parts = saved_parts(&saved);
    check_ok(qv__index_ops_of(QV__INDEX_GRAPH)->open(&params, &env, &d.v, N, &parts, &x, &err));
    uint64_t n, compared = 0;
    uint64_t *allow = allow_some(4, &n);
    uint32_t good = 0;
    for (uint32_t i = 0; i < 3 * QUERIES; i++) {
        struct qv__qctx ctx = ctx_make(f.mem);
        struct qv__index_hit hits[K];
        uint32_t n_hits = 0;
        struct qv__index_query q = {.vector = data_row(&d, i * 101 + 1),
                                    .k = K,
                                    .ef = 32,
                                    .allow = allow,
                                    .allow_count = n,
                                    .n = N,
                                    .strategy = QV__STRATEGY_SCAN};
        check_ok(x->ops->search(x, &q, &ctx, hits, &n_hits, &err));
        compared += ctx.stats.distances;
        double kth = exact_kth(&d, q.vector, N, K, allow);
        for (uint32_t j = 0; j < n_hits; j++) {
            good += hits[j].dist <= kth + slack(kth, LONG);
        }
    }
    print_message("recall %.4f\n", (double)good / (3 * K * QUERIES));
    assert_true(good >= 0.99 * 3 * K * QUERIES);
    assert_true(compared >= 3 * QUERIES * n); /* a look at a sketch counts half */
    free(allow);
    x->ops->free(x);
    saved_free(&saved);
    data_free(&d);
}

struct asked {
    struct qv__index *x;
    const uint64_t *allow;
    uint64_t n;
    _Atomic uint32_t failed;
};

static void ask_task(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct asked *a = ctx;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        struct qv__qctx own = ctx_make(f.mem);
        struct qv__index_hit hits[K];
        struct qv__index_query q = {.vector = data_row(&f.queries, (uint32_t)i % QUERIES),
                                    .k = K,
                                    .ef = 32,
                                    .allow = a->allow,
                                    .allow_count = a->n,
                                    .n = N,
                                    .strategy = QV__STRATEGY_SCAN};
        uint32_t n_hits = 0;
        qv_status st = a->x->ops->search(a->x, &q, &own, hits, &n_hits, NULL);
        atomic_fetch_add(&a->failed, st != QV_OK || n_hits != K);
    }
}

/* One of several searches makes them, the others go on beside it. */
static void test_beside_others(void **state)
{
    (void)state;
    struct qv_err err;
    struct qv__pool *pool = NULL;
    struct asked a = {.x = reopen(f.mem, false)};
    uint64_t *allow = allow_some(4, &a.n), compared, before = memory_of(a.x);
    a.allow = allow;
    check_ok(qv__pool_create(f.mem, 3, &pool, &err));
    qv__parallel_for(pool, 4, 64, 1, ask_task, &a);
    assert_int_equal(atomic_load(&a.failed), 0);
    assert_true(memory_of(a.x) >= before + N * (DIM / 8 + 8));
    assert_true(recall_of_scans(a.x, allow, a.n, f.mem, &compared) >= 0.995);
    assert_true(compared < QUERIES * a.n * 3 / 4);
    qv__pool_close(pool);
    a.x->ops->free(a.x);
    free(allow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_come_when_paid_for), cmocka_unit_test(test_not_everywhere),
        cmocka_unit_test(test_without_memory), cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_not_by_an_attempt),
        cmocka_unit_test(test_not_where_they_are_blind),
        cmocka_unit_test(test_beside_others)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
