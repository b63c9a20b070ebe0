/* test_graph.c: the built graph: recall against exact search, edge cases, determinism, limits. */
#include "index_fixture.h"

#include "base/pool.h"
#include "index/graph_walk.h"

enum { BIG_N = SCALED(SANITIZED ? 10000 : 40000) };

static struct qv__index *graph_build_with(struct qv__mem *mem, const struct data *d, uint32_t m,
                                          uint32_t ef_construct, struct qv__pool *pool,
                                          unsigned threads)
{
    struct qv_err err;
    struct qv__index_params params = {.kind = QV__INDEX_GRAPH,
                                      .codes = fixture_codes,
                                      .m = m,
                                      .ef_construct = ef_construct,
                                      .seed = 42};
    struct qv__index_env env = env_make(mem, pool, threads);
    struct qv__index *x = NULL;
    check_ok(qv__index_ops_of(QV__INDEX_GRAPH)->build(&params, &env, &d->v, d->n, &x, &err));
    check_ok(x->ops->validate(x, &err));
    assert_int_equal(qv__index_count(x), d->n);
    return x;
}

static struct qv__index *graph_build(struct qv__mem *mem, const struct data *d, uint32_t m,
                                     uint32_t ef_construct)
{
    return graph_build_with(mem, d, m, ef_construct, NULL, 1);
}

static void test_recall_clustered(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv__pool *pool;
    struct qv_err err;
    check_ok(qv__pool_create(mem, 1, &pool, &err));
    /* The large run is over what is the default; codes cost no recall there. */
    const uint32_t n = fixture_codes == QV__INDEX_CODES_NONE ? BIG_N / 5 : BIG_N;
    struct data d = data_make(n, 128, QV__L2, 31);
    struct data queries = data_make(100, 128, QV__L2, 31);
    fill_clustered(&d, n / 100, 0.5f, 1, 2, NULL);
    fill_clustered(&queries, n / 100, 0.5f, 1, 3, NULL);
    struct qv__index *x = graph_build_with(mem, &d, 16, 128, pool, 2);
    double recall = recall_of(x, &d, &queries, 10, 128, NULL, mem);
    struct qv__index_info info;
    x->ops->describe(x, &info);
    print_message("clustered: recall@10 %.4f, degree %.1f, %u layers\n", recall, info.degree_avg,
                  info.levels);
    assert_true(recall >= 0.98);
    assert_true(info.levels >= 3 && info.levels <= 8);
    assert_true(info.degree_avg > 8 && info.degree_avg <= 32);
    assert_int_equal(info.mapped_bytes, 0);
    /* Links of 128 bytes a node, a code of 140 in 192, upper layers, and nothing of the build left.
     */
    assert_true(info.memory_bytes <
                (uint64_t)n * (fixture_codes == QV__INDEX_CODES_NONE ? 150 : 342) + 10000000);
    x->ops->free(x);
    qv__pool_close(pool);
    assert_int_equal(qv__mem_used(mem), 0);
    data_free(&d);
    data_free(&queries);
    qv__mem_close(mem);
}

/* Every metric, chunked vectors, both forms of the beam; data without structure is the hard kind.
 */
static void test_recall_metrics(void **state)
{
    (void)state;
    static const enum qv__metric metrics[] = {QV__COSINE, QV__DOT, QV__L2, QV__L1};
    struct qv__mem *mem = qv__mem_root("test", 0);
    for (size_t m = 0; m < QV_ARRAY_LEN(metrics); m++) {
        struct data d = data_make(SCALED(8000), 24, metrics[m], 9);
        struct data queries = data_make(100, 24, metrics[m], 31);
        fill_uniform(&d, 5);
        fill_uniform(&queries, 6);
        struct qv__index *x = graph_build(mem, &d, 16, 128);
        double narrow = recall_of(x, &d, &queries, 10, 80, NULL, mem);
        double wide = recall_of(x, &d, &queries, 10, 600, NULL, mem);
        print_message("uniform, metric %d: recall@10 %.4f, with ef 600 %.4f\n", (int)metrics[m],
                      narrow, wide);
        assert_true(narrow >= 0.93);
        assert_true(wide >= 0.99);
        x->ops->free(x);
        data_free(&d);
        data_free(&queries);
    }
    qv__mem_close(mem);
}

/* Sorted by cluster: the order a time series or an import by topic comes in. */
static void test_recall_sorted_input(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct data d = data_make(6000, 24, QV__L2, 31);
    struct data queries = data_make(100, 24, QV__L2, 31);
    struct qv__rng r;
    qv__rng_seed(&r, 4);
    for (uint32_t i = 0; i < d.n; i++) {
        for (uint32_t j = 0; j < d.dim; j++) {
            data_row(&d, i)[j] = (float)(i / 300) * (j % 2 ? 3.0f : -3.0f) + qv__rng_gauss(&r);
        }
    }
    for (uint32_t i = 0; i < queries.n; i++) {
        memcpy(data_row(&queries, i), data_row(&d, i * 60), d.dim * sizeof(float));
        data_row(&queries, i)[0] += 0.01f;
    }
    struct qv__index *x = graph_build(mem, &d, 8, 64);
    assert_true(recall_of(x, &d, &queries, 10, 100, NULL, mem) >= 0.98);
    x->ops->free(x);
    data_free(&d);
    data_free(&queries);
    qv__mem_close(mem);
}

static void test_small(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    static const uint32_t counts[] = {0, 1, 2, 3, 5, 33, 130, 300};
    for (size_t i = 0; i < QV_ARRAY_LEN(counts); i++) {
        for (uint32_t m = 2; m <= 32; m += 15) {
            struct data d = data_make(counts[i], 1, QV__L2, 31);
            struct data queries = data_make(5, 1, QV__L2, 31);
            fill_uniform(&d, 1);
            fill_uniform(&queries, 2);
            struct qv__index *x = graph_build(mem, &d, m, 16);
            struct qv__index_info info;
            x->ops->describe(x, &info);
            assert_int_equal(info.levels > 0, counts[i] > 0);
            /* min(k, n) hits, whatever k and ef are; exact when the walk sees everything */
            recall_of(x, &d, &queries, 1, 1, NULL, mem);
            recall_of(x, &d, &queries, 10, 2, NULL, mem);
            assert_true(recall_of(x, &d, &queries, 400, 0, NULL, mem) == 1.0);
            x->ops->free(x);
            data_free(&d);
            data_free(&queries);
        }
    }
    assert_int_equal(qv__mem_used(mem), 0);
    qv__mem_close(mem);
}

/* The least degree there is, on a line: the tree alone must keep everything together. */
static void test_low_degree(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct data d = data_make(5000, 2, QV__L2, 31);
    fill_clustered(&d, 50, 0.001f, 1, 2, NULL);
    struct qv__index *x = graph_build(mem, &d, 2, 8);
    struct data queries = data_make(50, 2, QV__L2, 31);
    fill_clustered(&queries, 50, 0.001f, 1, 3, NULL);
    recall_of(x, &d, &queries, 10, 4, NULL, mem); /* any recall, always 10 hits */
    x->ops->free(x);
    data_free(&d);
    data_free(&queries);
    qv__mem_close(mem);
}

/* Records longer than one block of neighbours. */
static void test_high_degree(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct data d = data_make(3000, 48, QV__L2, 31);
    struct data queries = data_make(50, 48, QV__L2, 31);
    fill_uniform(&d, 1);
    fill_uniform(&queries, 2);
    struct qv__index *x = graph_build(mem, &d, 100, 150);
    struct qv__index_info info;
    x->ops->describe(x, &info);
    print_message("m 100: degree %.1f\n", info.degree_avg);
    assert_true(info.degree_avg > 32);
    assert_true(recall_of(x, &d, &queries, 10, 20, NULL, mem) >= 0.85);
    x->ops->free(x);
    data_free(&d);
    data_free(&queries);
    qv__mem_close(mem);
}

static void test_equal_vectors(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    static const enum qv__metric metrics[] = {QV__L2, QV__COSINE};
    for (size_t m = 0; m < 2; m++) {
        for (int zero = 0; zero < 2; zero++) {
            struct data d = data_make(SCALED(10000), 12, metrics[m], 31);
            for (size_t i = 0; !zero && i < (size_t)d.n * d.dim; i++) {
                d.values[i] = sqrtf(1.0f / 12);
            }
            struct qv__index *x = graph_build(mem, &d, 8, 32);
            struct data queries = data_make(3, 12, metrics[m], 31);
            fill_uniform(&queries, 4);
            assert_true(recall_of(x, &d, &queries, 10, 64, NULL, mem) == 1.0);
            assert_true(recall_of(x, &d, &queries, 700, 700, NULL, mem) == 1.0);
            x->ops->free(x);
            data_free(&d);
            data_free(&queries);
        }
    }
    qv__mem_close(mem);
}

/* 100 copies of each of 60 points and 3,000 single ones: the copies must not become islands. */
static void test_many_duplicates(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct data d = data_make(9000, 10, QV__L2, 31);
    fill_uniform(&d, 21);
    for (uint32_t i = 0; i < d.n; i++) {
        if (i % 3) {
            memcpy(data_row(&d, i), data_row(&d, i % 180 / 3 * 3), d.dim * sizeof(float));
        }
    }
    struct data queries = data_make(100, 10, QV__L2, 31);
    fill_uniform(&queries, 22);
    struct qv__index *x = graph_build(mem, &d, 12, 100);
    double recall = recall_of(x, &d, &queries, 10, 128, NULL, mem);
    print_message("duplicates: recall@10 %.4f\n", recall);
    assert_true(recall >= 0.97);
    x->ops->free(x);
    data_free(&d);
    data_free(&queries);
    qv__mem_close(mem);
}

static void test_deterministic(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(SCALED(8000), 20, QV__L2, 10);
    fill_clustered(&d, 100, 0.3f, 1, 2, NULL);
    struct saved first;
    for (unsigned threads = 1; threads <= 4; threads *= 2) {
        struct qv__pool *pool = NULL;
        if (threads > 1) {
            check_ok(qv__pool_create(mem, threads - 1, &pool, &err));
        }
        struct qv__index *x = graph_build_with(mem, &d, 10, 40, pool, threads == 4 ? 0 : threads);
        struct saved s;
        saved_take(&s, x);
        if (threads == 1) {
            first = s;
        } else {
            assert_true(saved_equal(&first, &s));
            saved_free(&s);
        }
        x->ops->free(x);
        qv__pool_close(pool);
    }
    /* And another seed gives another graph: the comparison above can fail. */
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .codes = fixture_codes, .m = 10, .ef_construct = 40, .seed = 43};
    struct qv__index_env env = env_make(mem, NULL, 1);
    struct qv__index *x;
    check_ok(qv__index_ops_of(QV__INDEX_GRAPH)->build(&params, &env, &d.v, d.n, &x, &err));
    struct saved other;
    saved_take(&other, x);
    assert_false(saved_equal(&first, &other));
    saved_free(&other);
    saved_free(&first);
    x->ops->free(x);
    data_free(&d);
    qv__mem_close(mem);
}

/* Time that passes by one nanosecond per look, so a deadline falls in the middle of a walk. */
static uint64_t ticking(void *ctx)
{
    return ++*(uint64_t *)ctx;
}

static void test_search_stops(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(12000, 8, QV__L2, 31);
    fill_uniform(&d, 1);
    struct qv__index *x = graph_build(mem, &d, 8, 32);
    struct qv__index_hit hits[10];
    uint64_t *allow = allow_make(d.n);
    for (uint32_t i = 0; i < d.n; i++) {
        if (i % 3) {
            qv__bit_set(allow, i);
        }
    }
    _Atomic bool cancel = true;
    for (uint32_t ef = 300; ef <= 600; ef += 300) { /* sorted array, and heaps */
        for (int filtered = 0; filtered < 2; filtered++) {
            uint32_t n_hits = 3;
            uint64_t now = 0;
            struct qv__clock clock = {ticking, ticking, &now};
            struct qv__qctx ctx = ctx_make(mem);
            struct qv__index_query q = {.vector = data_row(&d, 7),
                                        .k = 10,
                                        .ef = ef,
                                        .allow = filtered ? allow : NULL,
                                        .allow_count = qv__bits_count(allow, d.n),
                                        .strategy =
                                            filtered ? QV__STRATEGY_FILTERED : QV__STRATEGY_AUTO,
                                        .n = d.n};
            ctx.clock = &clock;
            ctx.deadline_ns = UINT64_MAX;
            /* Once before: the first search with a filter reads the clock to learn what it costs.
             */
            check_ok(x->ops->search(x, &q, &ctx, hits, &n_hits, &err));
            now = 0;
            ctx.stats = (struct qv__qstats){0};
            check_ok(x->ops->search(x, &q, &ctx, hits, &n_hits, &err));
            /* At least one look per 256 distances. */
            assert_true(now >= ctx.stats.distances / 256);
            assert_true(ctx.stats.hops > 0);
            uint64_t n_looks = now;
            for (uint64_t deadline = 1; deadline < n_looks; deadline++) {
                now = 0;
                ctx = ctx_make(mem);
                ctx.clock = &clock;
                ctx.deadline_ns = deadline;
                assert_int_equal(x->ops->search(x, &q, &ctx, hits, &n_hits, &err), QV_ETIMEOUT);
                assert_int_equal(n_hits, 0);
                assert_true(ctx.stats.distances <= (deadline + 1) * 256);
            }
            ctx = ctx_make(mem);
            ctx.cancel = &cancel;
            assert_int_equal(x->ops->search(x, &q, &ctx, hits, &n_hits, &err), QV_ECANCELLED);
        }
    }
    free(allow);
    x->ops->free(x);
    data_free(&d);
    qv__mem_close(mem);
}

struct stopper {
    _Atomic bool cancel;
    uint64_t stop_at, done, total;
};

static void stop_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct stopper *s = ctx;
    assert_true(done > s->done && done <= total);
    s->done = done;
    s->total = total;
    if (done >= s->stop_at) {
        s->cancel = true;
    }
}

static void test_build_cancelled(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(5000, 8, QV__L2, 31);
    fill_uniform(&d, 1);
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .codes = fixture_codes, .m = 8, .ef_construct = 32};
    const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_GRAPH);
    static const uint64_t stops[] = {0, 100, 2000, 4900};
    for (size_t i = 0; i < QV_ARRAY_LEN(stops); i++) {
        struct stopper s = {.cancel = stops[i] == 0, .stop_at = stops[i]};
        struct qv__index_env env = env_make(mem, NULL, 1);
        env.cancel = &s.cancel;
        env.progress = stop_progress;
        env.progress_ctx = &s;
        struct qv__index *x = NULL;
        assert_int_equal(ops->build(&params, &env, &d.v, d.n, &x, &err), QV_ECANCELLED);
        assert_null(x);
        assert_true(s.done < stops[i] + 200);
        assert_int_equal(qv__mem_used(mem), 0);
    }
    struct stopper s = {.stop_at = UINT64_MAX};
    struct qv__index_env env = env_make(mem, NULL, 1);
    env.cancel = &s.cancel;
    env.progress = stop_progress;
    env.progress_ctx = &s;
    struct qv__index *x = NULL;
    check_ok(ops->build(&params, &env, &d.v, d.n, &x, &err));
    assert_int_equal(s.done, d.n);
    assert_int_equal(s.total, d.n);
    ops->free(x);
    data_free(&d);
    qv__mem_close(mem);
}

/* A walk over codes: what it compares, that hits are measured by their vectors, and that a query
 * may choose how many are, or have the walk over the vectors after all. */
static void test_codes_and_vectors(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(5000, 64, QV__L2, 31);
    fill_clustered(&d, 50, 0.7f, 1, 2, NULL);
    struct qv__index *x = graph_build(mem, &d, 12, 60);
    struct qv__index_info info;
    x->ops->describe(x, &info);
    bool codes = fixture_codes == QV__INDEX_CODES_INT8;
    assert_int_equal(info.code_bytes, codes ? 64 : 64 * sizeof(float));
    struct qv__index_hit hits[10], others[10];
    uint32_t n_hits, n_others, n_equal = 0;
    static const float oversamples[] = {0.0f, 1.0f, 3.0f};
    for (uint32_t i = 0; i < 60; i++) {
        struct qv__index_query q = {.vector = data_row(&d, i * 80),
                                    .k = 10,
                                    .ef = 40,
                                    .n = d.n,
                                    .oversample = oversamples[i % 3]};
        struct qv__qctx ctx = ctx_make(mem);
        check_ok(x->ops->search(x, &q, &ctx, hits, &n_hits, &err));
        check_hits(&d, &q, hits, n_hits);
        uint64_t least[] = {14, 10, 30}, most[] = {40, 10, 30};
        assert_true(ctx.stats.reranked >= (codes ? least[i % 3] : 0));
        assert_true(ctx.stats.reranked <= (codes ? most[i % 3] : 0));
        q.no_codes = true;
        ctx = ctx_make(mem);
        check_ok(x->ops->search(x, &q, &ctx, others, &n_others, &err));
        check_hits(&d, &q, others, n_others);
        assert_int_equal(ctx.stats.reranked, 0);
        n_equal += n_hits == n_others && hits[9].ord == others[9].ord;
    }
    assert_true(n_equal >= 50);
    x->ops->free(x);
    data_free(&d);
    qv__mem_close(mem);
}

/* A recall asked for in place of a beam is met by queries that are no nodes, takes more work the
 * more is asked for, and is found again in the saved graph. */
static void test_recall_asked_for(void **state)
{
    (void)state;
    static const float wanted[] = {0.8f, 0.9f, 0.95f, 0.99f};
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(6000, 48, QV__L2, 31);
    struct data queries = data_make(100, 48, QV__L2, 31);
    fill_uniform(&d, 1);
    fill_uniform(&queries, 2);
    struct qv__index *x = graph_build(mem, &d, 8, 60);
    struct saved s;
    saved_take(&s, x);
    struct qv__index_parts parts = saved_parts(&s);
    struct qv__index_env env = env_make(mem, NULL, 1);
    struct qv__index *y = NULL;
    check_ok(x->ops->open(&x->params, &env, &d.v, d.n, &parts, &y, &err));
    uint64_t before = 0;
    for (size_t w = 0; w < QV_ARRAY_LEN(wanted); w++) {
        uint64_t work = 0, good = 0;
        for (uint32_t i = 0; i < queries.n; i++) {
            struct qv__index_hit hits[2][10];
            uint32_t n[2];
            struct qv__index_query q = {.vector = data_row(&queries, i), .k = 10, .n = d.n};
            for (int saved = 0; saved < 2; saved++) {
                struct qv__qctx ctx = ctx_make(mem);
                ctx.recall_target = wanted[w];
                struct qv__index *from = saved ? y : x;
                check_ok(from->ops->search(from, &q, &ctx, hits[saved], &n[saved], &err));
                work += ctx.stats.distances;
            }
            assert_memory_equal(hits[0], hits[1], sizeof hits[0]);
            double kth = exact_kth(&d, q.vector, d.n, 10, NULL);
            for (uint32_t j = 0; j < n[0]; j++) {
                good += hits[0][j].dist <= kth + slack(kth, d.dim);
            }
        }
        double recall = (double)good / (10.0 * queries.n);
        print_message("recall %.2f asked for: %.4f\n", wanted[w], recall);
        assert_true(recall >= wanted[w] - 0.03);
        assert_true(work > before);
        before = work;
    }
    y->ops->free(y);
    x->ops->free(x);
    saved_free(&s);
    data_free(&d);
    data_free(&queries);
    qv__mem_close(mem);
}

struct told {
    struct qv__plan_sink sink;
    int n_events;
    double actual;
    char detail[64];
};

static void told_event(struct qv__plan_sink *s, const char *stage, const char *detail,
                       double estimate, double actual)
{
    struct told *t = (struct told *)s;
    assert_string_equal(stage, "graph");
    assert_true(estimate > 0);
    t->n_events++;
    t->actual = actual;
    snprintf(t->detail, sizeof t->detail, "%s", detail);
}

/* The plan and the counters tell the truth; a small graph is scanned. */
static void test_plan_told(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(8000, 8, QV__L2, 31);
    fill_uniform(&d, 1);
    struct qv__index *x = graph_build(mem, &d, 8, 32);
    struct told told = {.sink.event = told_event};
    struct qv__index_hit hits[10];
    uint32_t n_hits;
    static const struct {
        uint32_t ef;
        const char *detail;
    } cases[] = {{20, "walk"}, {5000, "exact scan"}};
    for (size_t i = 0; i < 2; i++) {
        struct qv__qctx ctx = ctx_make(mem);
        ctx.plan = &told.sink;
        struct qv__index_query q = {
            .vector = data_row(&d, 0), .k = 10, .ef = cases[i].ef, .n = d.n};
        check_ok(x->ops->search(x, &q, &ctx, hits, &n_hits, &err));
        assert_string_equal(told.detail, cases[i].detail);
        assert_true(told.actual == (double)ctx.stats.distances);
        assert_int_equal(hits[0].ord, 0);
    }
    assert_int_equal(told.n_events, 2);
    x->ops->free(x);
    data_free(&d);
    qv__mem_close(mem);
}

/* Vectors damaged behind the engine's back must not break a walk. */
static void test_not_a_number(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(3000, 8, QV__DOT, 31);
    fill_uniform(&d, 1);
    for (uint32_t i = 0; i < d.n; i += 7) {
        data_row(&d, i)[i % 8] = i % 2 ? NAN : (i % 4 ? INFINITY : -INFINITY);
    }
    struct qv__index *x = graph_build(mem, &d, 8, 32);
    struct qv__index_hit hits[10];
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t n_hits;
        struct qv__qctx ctx = ctx_make(mem);
        struct qv__index_query q = {.vector = data_row(&d, i), .k = 10, .ef = 20, .n = d.n};
        check_ok(x->ops->search(x, &q, &ctx, hits, &n_hits, &err));
        assert_int_equal(n_hits, 10);
        for (uint32_t j = 0; j < n_hits; j++) {
            assert_false(isnan(hits[j].dist));
        }
    }
    x->ops->free(x);
    data_free(&d);
    qv__mem_close(mem);
}

static int keys_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Sorting and splitting of keys: random, ascending, descending, many equal, all equal. */
static void test_keys(void **state)
{
    (void)state;
    enum { N = 2000 };
    static uint64_t keys[N], sorted[N], split[N];
    static const uint32_t sizes[] = {0, 1, 2, 3, 16, 17, 33, 100, 257, N};
    for (uint32_t kind = 0; kind < 5; kind++) {
        for (size_t i = 0; i < QV_ARRAY_LEN(sizes); i++) {
            uint32_t n = sizes[i];
            for (uint32_t j = 0; j < n; j++) {
                uint64_t random = qv__mix64(j + ((uint64_t)kind << 32));
                keys[j] = kind == 0   ? random
                          : kind == 1 ? j
                          : kind == 2 ? n - j
                          : kind == 3 ? random % 7
                                      : 42;
            }
            memcpy(sorted, keys, sizeof sorted);
            qsort(sorted, n, sizeof *sorted, keys_compare);
            for (uint32_t n_first = 0; n_first <= n; n_first += n / 5 + 1) {
                memcpy(split, keys, sizeof split);
                qv__keys_split(split, n, n_first);
                qsort(split, n_first, sizeof *split, keys_compare);
                qsort(split + n_first, n - n_first, sizeof *split, keys_compare);
                assert_memory_equal(split, sorted, n * sizeof *split);
            }
            qv__keys_sort(keys, n);
            assert_memory_equal(keys, sorted, n * sizeof *keys);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recall_clustered),    cmocka_unit_test(test_recall_metrics),
        cmocka_unit_test(test_recall_sorted_input), cmocka_unit_test(test_small),
        cmocka_unit_test(test_low_degree),          cmocka_unit_test(test_high_degree),
        cmocka_unit_test(test_equal_vectors),       cmocka_unit_test(test_many_duplicates),
        cmocka_unit_test(test_deterministic),       cmocka_unit_test(test_search_stops),
        cmocka_unit_test(test_build_cancelled),     cmocka_unit_test(test_plan_told),
        cmocka_unit_test(test_not_a_number),        cmocka_unit_test(test_codes_and_vectors),
        cmocka_unit_test(test_recall_asked_for),    cmocka_unit_test(test_keys),
    };
    return run_with_and_without_codes("graph", tests, QV_ARRAY_LEN(tests));
}
