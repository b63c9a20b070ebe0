/* test_graph_filter.c: filtered search keeps its recall and its count at every selectivity, whether
 * the filter is independent of the vectors, follows their clusters, or is the opposite of the
 * query's. */
#include "index_fixture.h"

#include "base/pool.h"

enum { N = SANITIZED ? 20000 : 100000, DIM = 32, CENTRES = 200 };

static struct {
    struct qv__mem *mem;
    struct qv__pool *pool;
    struct data d, queries;
    uint32_t *cluster_of, *cluster_of_query;
    struct qv__index *x;
} f;

static int setup(void **state)
{
    (void)state;
    struct qv_err err;
    f.mem = qv__mem_root("test", 0);
    check_ok(qv__pool_create(f.mem, 1, &f.pool, &err));
    f.d = data_make(N, DIM, QV__COSINE, 31);
    f.queries = data_make(100, DIM, QV__COSINE, 31);
    f.cluster_of = calloc(N, sizeof *f.cluster_of);
    f.cluster_of_query = calloc(f.queries.n, sizeof *f.cluster_of_query);
    fill_clustered(&f.d, CENTRES, 0.6f, 1, 2, f.cluster_of);
    fill_clustered(&f.queries, CENTRES, 0.6f, 1, 3, f.cluster_of_query);
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .codes = fixture_codes, .m = 16, .ef_construct = 100, .seed = 1};
    struct qv__index_env env = env_make(f.mem, f.pool, 2);
    check_ok(qv__index_ops_of(QV__INDEX_GRAPH)->build(&params, &env, &f.d.v, N, &f.x, &err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    f.x->ops->free(f.x);
    qv__pool_close(f.pool);
    free(f.cluster_of);
    free(f.cluster_of_query);
    data_free(&f.d);
    data_free(&f.queries);
    assert_int_equal(qv__mem_used(f.mem), 0);
    qv__mem_close(f.mem);
    return 0;
}

static const double shares[] = {0.999, 0.5, 0.1, 0.01, 0.001};

static void test_independent(void **state)
{
    (void)state;
    uint64_t *allow = allow_make(N);
    for (size_t s = 0; s < QV_ARRAY_LEN(shares); s++) {
        struct qv__rng r;
        qv__rng_seed(&r, 10 + s);
        memset(allow, 0, qv__bitset_words(N) * sizeof *allow);
        for (uint32_t i = 0; i < N; i++) {
            if (qv__rng_f64(&r) < shares[s]) {
                qv__bit_set(allow, i);
            }
        }
        for (uint32_t ef = 32; ef <= 128; ef *= 4) {
            double recall = recall_of(f.x, &f.d, &f.queries, 10, ef, allow, f.mem);
            print_message("independent %5.1f %%, ef %u: recall@10 %.4f\n", 100 * shares[s], ef,
                          recall);
            assert_true(recall >= (ef == 128 ? 0.95 : 0.9));
        }
    }
    free(allow);
}

/* Only whole clusters pass, the queries come from everywhere: most of them far from all that pass.
 */
static void test_follows_clusters(void **state)
{
    (void)state;
    uint64_t *allow = allow_make(N);
    for (size_t s = 1; s < QV_ARRAY_LEN(shares); s++) {
        uint32_t n_clusters = (uint32_t)(shares[s] * CENTRES);
        memset(allow, 0, qv__bitset_words(N) * sizeof *allow);
        for (uint32_t i = 0; i < N; i++) {
            /* under one cluster: a part of one */
            if (n_clusters ? f.cluster_of[i] < n_clusters
                           : f.cluster_of[i] == 0 && i < shares[s] * CENTRES * N) {
                qv__bit_set(allow, i);
            }
        }
        double recall = recall_of(f.x, &f.d, &f.queries, 10, 128, allow, f.mem);
        print_message("clusters %5.1f %%: recall@10 %.4f\n", 100 * shares[s], recall);
        assert_true(recall >= 0.95);
    }
    free(allow);
}

/* The half of the clusters passes that is farthest from the query, a different one for each. In a
 * graph of few links the way down often ends in a far cluster, where all seems to pass. */
static void test_far_half(void **state)
{
    (void)state;
    enum { FAR = 60, ROWS = 20000, CLUSTERS = 50 };
    struct qv_err err;
    static uint32_t cluster_of[ROWS];
    struct data d = data_make(ROWS, 64, QV__L2, 31), queries = data_make(FAR, 64, QV__L2, 31);
    fill_clustered(&d, CLUSTERS, 1.0f, 1, 2, cluster_of);
    fill_clustered(&queries, CLUSTERS, 1.0f, 1, 3, NULL);
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .m = 6, .ef_construct = 30, .seed = 1};
    struct qv__index_env env = env_make(f.mem, NULL, 1);
    struct qv__index *x = NULL;
    check_ok(qv__index_ops_of(QV__INDEX_GRAPH)->build(&params, &env, &d.v, ROWS, &x, &err));
    uint64_t *allow = allow_make(ROWS);
    double sum = 0;
    for (uint32_t i = 0; i < FAR; i++) {
        double dist[CLUSTERS];
        for (uint32_t row = 0; row < ROWS; row++) { /* some member stands for the cluster */
            dist[cluster_of[row]] = exact_distance(&d, data_row(&queries, i), row);
        }
        memset(allow, 0, qv__bitset_words(ROWS) * sizeof *allow);
        for (uint32_t row = 0; row < ROWS; row++) {
            uint32_t nearer = 0;
            for (uint32_t c = 0; c < CLUSTERS; c++) {
                nearer += dist[c] < dist[cluster_of[row]];
            }
            if (nearer > CLUSTERS / 2) {
                qv__bit_set(allow, row);
            }
        }
        struct data one = queries;
        one.n = 1;
        one.values = data_row(&queries, i);
        sum += recall_of(x, &d, &one, 10, 48, allow, f.mem);
    }
    print_message("the far half: recall@10 %.4f\n", sum / FAR);
    assert_true(sum / FAR >= 0.99); /* 0.955 where the share is read off where the way down ends */
    free(allow);
    x->ops->free(x);
    data_free(&d);
    data_free(&queries);
}

/* Exactly the query's own cluster passes, or everything but it. */
static void test_own_cluster(void **state)
{
    (void)state;
    struct qv_err err;
    uint64_t *allow = allow_make(N);
    for (int inverted = 0; inverted < 2; inverted++) {
        uint64_t n_good = 0, n_distances = 0;
        for (uint32_t i = 0; i < f.queries.n; i++) {
            memset(allow, 0, qv__bitset_words(N) * sizeof *allow);
            for (uint32_t o = 0; o < N; o++) {
                if ((f.cluster_of[o] == f.cluster_of_query[i]) != inverted) {
                    qv__bit_set(allow, o);
                }
            }
            struct qv__qctx ctx = ctx_make(f.mem);
            struct qv__index_query q = {.vector = data_row(&f.queries, i),
                                        .k = 10,
                                        .ef = 128,
                                        .allow = allow,
                                        .allow_count = qv__bits_count(allow, N),
                                        .n = N};
            struct qv__index_hit hits[10];
            uint32_t n_hits;
            check_ok(f.x->ops->search(f.x, &q, &ctx, hits, &n_hits, &err));
            assert_int_equal(n_hits, 10);
            check_hits(&f.d, &q, hits, n_hits);
            n_distances += ctx.stats.distances;
            double kth = exact_kth(&f.d, q.vector, N, 10, allow);
            for (uint32_t j = 0; j < n_hits; j++) {
                n_good += hits[j].dist <= kth + slack(kth, DIM);
            }
            /* A search never costs more than the walk's attempt and the scan: twice the scan. */
            assert_true(ctx.stats.distances <= 2 * q.allow_count + 2000);
        }
        print_message("%s cluster: recall@10 %.4f, %.0f distances\n",
                      inverted ? "all but the own" : "only the own",
                      (double)n_good / (10.0 * f.queries.n), (double)n_distances / f.queries.n);
        /* With a hole around the query the answer lies at its rim, where a beam of this width is
         * thin. */
        assert_true((double)n_good / (10.0 * f.queries.n) >= (inverted ? 0.9 : 0.95));
    }
    free(allow);
}

static void test_few_allowed(void **state)
{
    (void)state;
    uint64_t *allow = allow_make(N);
    assert_true(recall_of(f.x, &f.d, &f.queries, 10, 64, allow, f.mem) == 1.0); /* none */
    for (uint32_t n = 1; n <= 15; n++) {
        qv__bit_set(allow, (n * 7919u) % N);
        assert_true(recall_of(f.x, &f.d, &f.queries, 10, 64, allow, f.mem) == 1.0);
    }
    free(allow);
}

/* A count that is not the bitset's may cost time, but never gives a hit that is not allowed. */
static void test_wrong_count(void **state)
{
    (void)state;
    struct qv_err err;
    uint64_t *allow = allow_make(N);
    for (uint32_t i = 0; i < N; i += 3) {
        qv__bit_set(allow, i);
    }
    static const uint64_t counts[] = {1, 100, N, UINT64_MAX};
    for (size_t c = 0; c < QV_ARRAY_LEN(counts); c++) {
        struct qv__qctx ctx = ctx_make(f.mem);
        struct qv__index_query q = {.vector = data_row(&f.queries, 0),
                                    .k = 10,
                                    .ef = 30,
                                    .allow = allow,
                                    .allow_count = counts[c],
                                    .n = N};
        struct qv__index_hit hits[10];
        uint32_t n_hits;
        check_ok(f.x->ops->search(f.x, &q, &ctx, hits, &n_hits, &err));
        assert_int_equal(n_hits, 10);
        check_hits(&f.d, &q, hits, n_hits);
    }
    free(allow);
}

static void allow_share(uint64_t *allow, double share, uint64_t seed)
{
    struct qv__rng r;
    qv__rng_seed(&r, seed);
    memset(allow, 0, qv__bitset_words(N) * sizeof *allow);
    for (uint32_t i = 0; i < N; i++) {
        if (qv__rng_f64(&r) < share) {
            qv__bit_set(allow, i);
        }
    }
}

/* Whichever way is forced: exactly as many hits as there are, all of them allowed, nearest first.
 */
static void test_forced(void **state)
{
    (void)state;
    struct qv_err err;
    static const double few[] = {0.5, 0.05, 0.01, 0.0002};
    enum { K = 10, QUERIES = 20 };
    uint64_t *allow = allow_make(N);
    for (size_t s = 0; s < QV_ARRAY_LEN(few); s++) {
        allow_share(allow, few[s], 70 + s);
        uint64_t n_allowed = qv__bits_count(allow, N);
        for (uint32_t strategy = 0; strategy < QV__STRATEGIES; strategy++) {
            uint64_t n_good = 0, n_all = 0;
            for (uint32_t i = 0; i < QUERIES; i++) {
                struct qv__qctx ctx = ctx_make(f.mem);
                struct qv__index_query q = {.vector = data_row(&f.queries, i),
                                            .k = K,
                                            .ef = 128,
                                            .allow = allow,
                                            .allow_count = n_allowed,
                                            .n = N,
                                            .strategy = (enum qv__index_strategy)strategy};
                struct qv__index_hit hits[K];
                uint32_t n_hits;
                check_ok(f.x->ops->search(f.x, &q, &ctx, hits, &n_hits, &err));
                assert_int_equal(n_hits, QV_MIN((uint64_t)K, n_allowed));
                check_hits(&f.d, &q, hits, n_hits);
                double kth = exact_kth(&f.d, q.vector, N, n_hits, allow);
                for (uint32_t j = 0; j < n_hits; j++) {
                    n_good += hits[j].dist <= kth + slack(kth, DIM);
                }
                n_all += n_hits;
                /* Asked for the plan alone, it compares next to nothing and finds nothing. */
                q.plan_only = true;
                ctx = ctx_make(f.mem);
                check_ok(f.x->ops->search(f.x, &q, &ctx, hits, &n_hits, &err));
                assert_int_equal(n_hits, 0);
                assert_true(ctx.stats.distances < 1000);
            }
            print_message("%6.2f %%, strategy %u: recall@10 %.4f\n", 100 * few[s], strategy,
                          (double)n_good / (double)n_all);
            /* A walk over one in a hundred is not what the planner would choose. */
            bool is_thin = strategy == QV__STRATEGY_FILTERED && few[s] < 0.05;
            assert_true((double)n_good / (double)n_all >= (is_thin ? 0.8 : 0.95));
        }
    }
    free(allow);
}

struct last_step {
    struct qv__plan_sink sink;
    char what[64];
};

static void tell(struct qv__plan_sink *sink, const char *stage, const char *detail, double estimate,
                 double actual)
{
    struct last_step *l = QV_CONTAINER_OF(sink, struct last_step, sink);
    (void)estimate;
    (void)actual;
    if (strcmp(stage, "graph") == 0) {
        (void)snprintf(l->what, sizeof l->what, "%s", detail);
    }
}

/* At one in a hundred the allowed nodes have hardly a link among themselves; through the others
 * nearly all of them are reached. */
static void test_two_hops_connect(void **state)
{
    (void)state;
    struct qv_err err;
    uint64_t *allow = allow_make(N);
    struct qv__index_hit *hits = calloc(N, sizeof *hits);
    for (uint64_t seed = 0; seed < 3; seed++) {
        allow_share(allow, 0.01, 90 + seed);
        uint32_t n_allowed = (uint32_t)qv__bits_count(allow, N), n_hits;
        struct last_step last = {.sink = {.event = tell}};
        struct qv__qctx ctx = ctx_make(f.mem);
        ctx.plan = &last.sink;
        struct qv__index_query q = {.vector = data_row(&f.queries, (uint32_t)seed),
                                    .k = n_allowed * 97 / 100,
                                    .ef = n_allowed,
                                    .allow = allow,
                                    .allow_count = n_allowed,
                                    .n = N,
                                    .strategy = QV__STRATEGY_FILTERED};
        check_ok(f.x->ops->search(f.x, &q, &ctx, hits, &n_hits, &err));
        assert_int_equal(n_hits, q.k);
        check_hits(&f.d, &q, hits, n_hits);
        assert_string_equal(last.what, "filtered walk"); /* it had no need of the scan */
    }
    free(hits);
    free(allow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_independent), cmocka_unit_test(test_follows_clusters),
        cmocka_unit_test(test_own_cluster), cmocka_unit_test(test_few_allowed),
        cmocka_unit_test(test_far_half),    cmocka_unit_test(test_wrong_count),
        cmocka_unit_test(test_forced),      cmocka_unit_test(test_two_hops_connect),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
