/* Indexes over half floats and bytes: the exact scan against truths of the stored elements, the
 * graph against the exact scan, built, grown and merged. */
#include "index_fixture.h"
#include "simd/narrow.h"

enum { N = 1500, DIM = 40, QUERIES = 30, K = 10 };

static const struct {
    const char *name;
    uint8_t datatype;
} types[] = {{"float16", QV__F16}, {"uint8", QV__U8}, {"int8", QV__I8}, {"bit", QV__BIT}};
static const enum qv__metric metrics[] = {QV__COSINE, QV__DOT, QV__L2, QV__L1, QV__HAMMING};

/* Clustered rows as stored: `values` is what the elements stand for. */
struct typed {
    struct data d;
    uint8_t *bytes;
    struct qv__vectors v;
};

static struct typed typed_make(uint32_t n, uint8_t datatype, enum qv__metric metric, uint64_t seed)
{
    struct typed t = {.d = data_make(n, DIM, metric, 31)};
    uint32_t bytes = qv__vector_bytes(datatype, DIM);
    t.bytes = calloc(n, bytes);
    assert_non_null(t.bytes);
    fill_clustered(&t.d, 20, 0.5f, 3, seed, NULL);
    for (size_t i = 0; i < (size_t)n * DIM && datatype != QV__F16; i++) {
        bool cosine = metric == QV__COSINE; /* the fixture has normalised these */
        t.d.values[i] =
            t.d.values[i] * (cosine ? 150.0f : 30.0f) + (datatype == QV__U8 ? 128.0f : 0);
    } /* of bits the sign */
    qv__elements_of_floats(datatype, t.d.values, (size_t)n * DIM, t.bytes);
    qv__elements_to_floats(datatype, t.bytes, (size_t)n * DIM, t.d.values);
    t.d.chunks[0] = t.bytes;
    t.v = (struct qv__vectors){t.d.chunks, 31, bytes, DIM, datatype, (uint8_t)metric};
    return t;
}

static void typed_free(struct typed *t)
{
    data_free(&t->d);
    free(t->bytes);
}

static double truth(const struct typed *t, const float *q, uint32_t ord)
{
    const float *row = data_row(&t->d, ord);
    double aa = 0, bb = 0, differ = 0;
    for (uint32_t i = 0; t->v.metric == QV__HAMMING && i < DIM; i++) {
        differ += q[i] != row[i];
    }
    if (t->v.metric == QV__HAMMING) {
        return differ;
    }
    double dist = exact_distance(&t->d, q, ord);
    if (t->v.metric != QV__COSINE || t->v.datatype == QV__F16) {
        return dist;
    }
    for (uint32_t i = 0; i < DIM; i++) {
        aa += (double)q[i] * (double)q[i];
        bb += (double)row[i] * (double)row[i];
    }
    return aa > 0 && bb > 0 ? dist / sqrt(aa * bb) : 0.0;
}

/* The k-th nearest distance in truth. */
static double truth_kth(const struct typed *t, const float *q)
{
    static double all[N];
    for (uint32_t i = 0; i < N; i++) {
        all[i] = truth(t, q, i);
    }
    for (uint32_t k = 0; k < K; k++) {
        for (uint32_t i = k + 1; i < N; i++) {
            if (all[i] < all[k]) {
                double swap = all[i];
                all[i] = all[k];
                all[k] = swap;
            }
        }
    }
    return all[K - 1];
}

static double near_enough(double dist)
{
    return 2e-5 * (fabs(dist) + 1.0);
}

/* Share of the true K that a search finds; distances must be those of the elements. */
static double recall(const struct qv__index *x, const struct typed *t, const struct typed *queries)
{
    uint32_t found = 0;
    struct qv__mem *mem = qv__mem_root("query", 0);
    for (uint32_t j = 0; j < QUERIES; j++) {
        struct qv__qctx ctx = {.mem = mem, .clock = &fixture_clock};
        struct qv__index_hit hits[K];
        struct qv_err err = {0};
        uint32_t n_hits = 0;
        struct qv__index_query q = {
            .vector = qv__vectors_at(&queries->v, j), .k = K, .ef = 64, .n = N};
        check_ok(x->ops->search(x, &q, &ctx, hits, &n_hits, &err));
        assert_int_equal(n_hits, K);
        const float *as_floats = data_row(&queries->d, j);
        double kth = truth_kth(t, as_floats);
        for (uint32_t i = 0; i < n_hits; i++) {
            double want = truth(t, as_floats, hits[i].ord);
            assert_true(fabs((double)hits[i].dist - want) <= near_enough(want));
            found += want <= kth + near_enough(kth);
        }
    }
    qv__mem_close(mem);
    return (double)found / (QUERIES * K);
}

/* Of a graph made of two: one over 1,000 rows and 400 others that are dropped, and one over the
 * rest. */
static double recall_merged(const struct qv__index_params *params, const struct qv__index_env *env,
                            const struct typed *t, const struct typed *queries)
{
    enum { FIRST = 1000, EXTRA = 400 };
    struct qv_err err = {0};
    const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_GRAPH);
    struct typed more = typed_make(EXTRA, t->v.datatype, (enum qv__metric)t->v.metric, 9);
    static const uint8_t *rows[2][FIRST + EXTRA];
    static uint32_t remaps[2][FIRST + EXTRA];
    struct qv__vectors runs[2] = {t->v, t->v};
    struct qv__index *sources[2], *merged = NULL;
    for (uint32_t i = 0; i < FIRST + EXTRA; i++) {
        bool is_left = i % 7 >= 2; /* 1,000 of 1,400 */
        uint32_t before = i / 7 * 5 + (is_left ? i % 7 - 2 : 0);
        rows[0][i] =
            qv__vectors_at(is_left ? &t->v : &more.v, is_left ? before : i / 7 * 2 + i % 7);
        remaps[0][i] = is_left ? before : UINT32_MAX;
        rows[1][i] = i < N - FIRST ? qv__vectors_at(&t->v, FIRST + i) : NULL;
        remaps[1][i] = FIRST + i;
    }
    for (int i = 0; i < 2; i++) {
        runs[i].chunks = rows[i];
        runs[i].chunk_shift = 0;
        check_ok(
            ops->build(params, env, &runs[i], i ? N - FIRST : FIRST + EXTRA, &sources[i], &err));
    }
    const uint32_t *const both[] = {remaps[0], remaps[1]};
    check_ok(ops->merge(params, env, &t->v, N, sources, both, 2, &merged, &err));
    check_ok(ops->validate(merged, &err));
    double of_merged = recall(merged, t, queries);
    ops->free(merged);
    ops->free(sources[0]);
    ops->free(sources[1]);
    typed_free(&more);
    return of_merged;
}

static void every_type_and_metric(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv__index_env env = env_make(mem, NULL, 1);
    struct qv__index_params params = {.m = 12, .ef_construct = 64, .seed = 5};
    for (size_t i = 0; i < QV_ARRAY_LEN(types); i++) {
        for (size_t m = 0; m < QV_ARRAY_LEN(metrics); m++) {
            if (!qv__metric_serves((uint8_t)metrics[m], types[i].datatype)) {
                continue;
            }
            struct typed t = typed_make(N, types[i].datatype, metrics[m], 7);
            struct typed queries = typed_make(QUERIES, types[i].datatype, metrics[m], 8);
            struct qv_err err = {0};
            struct qv__index *flat = NULL, *built = NULL, *grown = NULL;
            params.kind = QV__INDEX_FLAT;
            check_ok(qv__index_ops_of(QV__INDEX_FLAT)->build(&params, &env, &t.v, N, &flat, &err));
            assert_true(recall(flat, &t, &queries) == 1.0);
            params.kind = QV__INDEX_GRAPH;
            const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_GRAPH);
            check_ok(ops->build(&params, &env, &t.v, N, &built, &err));
            check_ok(ops->create(&params, &env, &t.v, N, &grown, &err));
            check_ok(ops->insert(grown, &env, N / 3, &err));
            check_ok(ops->insert(grown, &env, N, &err));
            check_ok(ops->validate(built, &err));
            double of_built = recall(built, &t, &queries), of_grown = recall(grown, &t, &queries);
            double of_merged = recall_merged(&params, &env, &t, &queries);
            if (of_built < 0.9 || of_grown < 0.9 || of_merged < 0.9) {
                print_error("%s, metric %d: %.3f %.3f %.3f\n", types[i].name, (int)metrics[m],
                            of_built, of_grown, of_merged);
                fail();
            }
            flat->ops->free(flat);
            ops->free(built);
            ops->free(grown);
            typed_free(&t);
            typed_free(&queries);
        }
    }
    qv__mem_close(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_type_and_metric)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
