/* test_graph_kinds.c: graphs over every kind of codes: what they find, that they are saved and read
 * back as they are, and that a graph tells whether it is what is asked for. */
#include "index_fixture.h"

#define N 3000u
#define K 10u

/* Share of the k nearest that are found when so many times k are measured; 0 = own choice. */
static double recall_with(const struct qv__index *x, const struct data *d,
                          const struct data *queries, uint32_t ef, float oversample,
                          struct qv__mem *mem)
{
    struct qv_err err;
    struct qv__index_hit hits[K];
    unsigned good = 0;
    for (uint32_t i = 0; i < queries->n; i++) {
        struct qv__qctx ctx = ctx_make(mem);
        uint32_t n = 0;
        struct qv__index_query q = {.vector = data_row(queries, i),
                                    .k = K,
                                    .ef = ef,
                                    .oversample = oversample,
                                    .n = qv__index_count(x)};
        check_ok(x->ops->search(x, &q, &ctx, hits, &n, &err));
        assert_int_equal(n, K);
        check_hits(d, &q, hits, n);
        double kth = exact_kth(d, q.vector, d->n, K, NULL);
        for (uint32_t j = 0; j < n; j++) {
            good += hits[j].dist <= kth + slack(kth, d->dim);
        }
    }
    return good / (double)(K * queries->n);
}

static const struct {
    enum qv__index_codes codes;
    const char *name;
    double least; /* recall at ef 64 with 6 times k measured */
} kinds[] = {
    {QV__INDEX_CODES_NONE, "vectors", 0.95}, {QV__INDEX_CODES_INT8, "int8", 0.95},
    {QV__INDEX_CODES_BITS4, "4-bit", 0.94},  {QV__INDEX_CODES_BITS2, "2-bit", 0.90},
    {QV__INDEX_CODES_BITS1, "1-bit", 0.75},
};

static void test_kinds(void **state)
{
    (void)state;
    const enum qv__metric metrics[] = {QV__L2, QV__COSINE};
    const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_GRAPH);
    uint32_t n = SCALED(N);
    for (unsigned m = 0; m < QV_ARRAY_LEN(metrics); m++) {
        struct qv__mem *mem = qv__mem_root("test", 0);
        struct data d = data_make(n, 96, metrics[m], 31),
                    queries = data_make(60, 96, metrics[m], 31);
        fill_clustered(&d, 40, 0.6f, 3, 4, NULL);
        fill_clustered(&queries, 40, 0.6f, 3, 5, NULL);
        for (unsigned i = 0; i < QV_ARRAY_LEN(kinds); i++) {
            struct qv__index_params params = {.kind = QV__INDEX_GRAPH,
                                              .m = 12,
                                              .ef_construct = 80,
                                              .codes = kinds[i].codes,
                                              .seed = 9};
            struct qv__index_env env = env_make(mem, NULL, 1);
            struct qv__index *x = NULL, *read = NULL;
            struct qv__index_info info;
            struct qv_err err;
            struct saved saved, again;
            char why[64];
            check_ok(ops->build(&params, &env, &d.v, n, &x, &err));
            x->ops->describe(x, &info);
            assert_string_equal(info.codes, kinds[i].name);
            double recall = recall_with(x, &d, &queries, 64, 6, mem);
            print_message("%s %s: recall %.3f\n", m ? "cosine" : "l2", info.codes, recall);
            assert_true(recall >= kinds[i].least);
            /* More measured finds more, up to the beam and beyond. */
            assert_true(recall_with(x, &d, &queries, 64, 30, mem) >= recall);
            saved_take(&saved, x);
            struct qv__index_parts parts = saved_parts(&saved);
            check_ok(ops->open(&params, &env, &d.v, n, &parts, &read, &err));
            assert_true(recall_with(read, &d, &queries, 64, 6, mem) == recall);
            saved_take(&again, read);
            assert_true(saved_equal(&saved, &again));
            for (unsigned k = 0; k < QV_ARRAY_LEN(kinds); k++) {
                struct qv__index_params other = params;
                other.codes = kinds[k].codes;
                assert_int_equal(read->ops->differs(read, &other, why), k != i);
                assert_true(k == i || strstr(why, kinds[k].name));
            }
            /* Own choice: what it ever was in any version is good enough. */
            struct qv__index_params own = params;
            own.codes = QV__INDEX_CODES_AUTO;
            assert_int_equal(read->ops->differs(read, &own, why),
                             kinds[i].codes > QV__INDEX_CODES_INT8);
            params.m = 13;
            assert_true(read->ops->differs(read, &params, why));
            assert_string_equal(why, "m 12 -> 13");
            saved_free(&saved);
            saved_free(&again);
            ops->free(x);
            ops->free(read);
        }
        data_free(&d);
        data_free(&queries);
        qv__mem_close(mem);
    }
}

/* Time that passes by one nanosecond per look. */
static uint64_t ticking(void *ctx)
{
    return ++*(uint64_t *)ctx;
}

/* Measuring what a walk over codes found ends with the deadline, as the walk does, and is no less
 * right for keeping only the nearest in order. */
static void test_measuring_stops(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(12000, 96, QV__L2, 31);
    fill_uniform(&d, 1);
    struct qv__index_params params = {.kind = QV__INDEX_GRAPH,
                                      .m = 8,
                                      .ef_construct = 32,
                                      .codes = QV__INDEX_CODES_BITS1,
                                      .seed = 9};
    struct qv__index_env env = env_make(mem, NULL, 1);
    struct qv__index *x = NULL;
    check_ok(qv__index_ops_of(QV__INDEX_GRAPH)->build(&params, &env, &d.v, d.n, &x, &err));
    static const float oversamples[] = {1, 60, 0}; /* few, the whole beam, own choice */
    struct qv__index_hit hits[3][K];
    uint64_t looks_of_few = 0;
    for (unsigned i = 0; i < QV_ARRAY_LEN(oversamples); i++) {
        uint64_t now = 0;
        struct qv__clock clock = {ticking, ticking, &now};
        struct qv__qctx ctx = ctx_make(mem);
        uint32_t n_hits = 0;
        struct qv__index_query q = {
            .vector = data_row(&d, 7), .k = K, .ef = 600, .oversample = oversamples[i], .n = d.n};
        ctx.clock = &clock;
        ctx.deadline_ns = UINT64_MAX;
        check_ok(x->ops->search(x, &q, &ctx, hits[i], &n_hits, &err));
        assert_int_equal(n_hits, K);
        check_hits(&d, &q, hits[i], n_hits);
        uint64_t n_looks = now;
        looks_of_few = i ? looks_of_few : n_looks;
        assert_true(i == 0 || ctx.stats.reranked > 512);
        assert_true(n_looks >= looks_of_few + ctx.stats.reranked / 256);
        for (uint64_t deadline = 1; deadline < n_looks; deadline++) {
            struct qv__index_hit none[K];
            now = 0;
            ctx.deadline_ns = deadline;
            assert_int_equal(x->ops->search(x, &q, &ctx, none, &n_hits, &err), QV_ETIMEOUT);
            assert_int_equal(n_hits, 0);
        }
    }
    for (uint32_t j = 0; j < K; j++) {
        assert_int_equal(hits[1][j].ord, hits[2][j].ord);
    }
    x->ops->free(x);
    data_free(&d);
    qv__mem_close(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds),
                                       cmocka_unit_test(test_measuring_stops)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
