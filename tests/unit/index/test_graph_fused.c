/* test_graph_fused.c: searches over fused records: that they find what walks over codes find, where
 * there are none, and that nothing of them is saved. */
#include "base/pool.h"
#include "index_fixture.h"

#include "index/graph_fused.h"

enum {
    PAST_LAST = 20, /* failures that were not met: there is none left */
    N = 2000,
    K = 10,
    EF = 48,
    QUERIES = 40,
};

static struct qv__index *build(struct qv__mem *mem, const struct data *d, uint32_t m,
                               uint32_t codes)
{
    struct qv_err err;
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .codes = codes, .m = m, .ef_construct = 64, .seed = 3};
    struct qv__index_env env = env_make(mem, NULL, 1);
    struct qv__index *x = NULL;
    check_ok(qv__index_ops_of(QV__INDEX_GRAPH)->build(&params, &env, &d->v, d->n, &x, &err));
    return x;
}

static struct qv__index *open_as(struct qv__mem *mem, const struct data *d, const struct saved *s,
                                 uint32_t packing, struct qv__pool *pool)
{
    struct qv_err err;
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .m = 8, .ef_construct = 48, .packing = packing};
    struct qv__index_env env = env_make(mem, pool, pool ? 3 : 1);
    struct qv__index_parts parts = saved_parts(s);
    struct qv__index *x = NULL;
    check_ok(qv__index_ops_of(QV__INDEX_GRAPH)->open(&params, &env, &d->v, d->n, &parts, &x, &err));
    return x;
}

static struct data clustered(uint32_t n, uint32_t dim, enum qv__metric metric, uint64_t seed)
{
    struct data d = data_make(n, dim, metric, 31);
    fill_clustered(&d, 40, 0.7f, 11, seed, NULL);
    return d;
}

static bool is_fused(const struct qv__index *x)
{
    return qv__graph_of_const(x)->fused.block != NULL;
}

static uint64_t memory_of(const struct qv__index *x)
{
    struct qv__index_info info;
    x->ops->describe(x, &info);
    return info.memory_bytes;
}

static void test_recall(void **state)
{
    (void)state;
    static const struct {
        enum qv__metric metric;
        uint32_t dim, m, codes;
    } cases[] = {
        {QV__L2, 256, 16, QV__INDEX_CODES_AUTO},    {QV__DOT, 256, 16, QV__INDEX_CODES_AUTO},
        {QV__COSINE, 300, 8, QV__INDEX_CODES_AUTO}, {QV__L2, 100, 20, QV__INDEX_CODES_AUTO},
        {QV__DOT, 130, 16, QV__INDEX_CODES_INT8},   {QV__COSINE, 256, 33, QV__INDEX_CODES_BITS4},
    };
    struct qv__mem *mem = qv__mem_root("test", 0);
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        struct data d = clustered(SCALED(N), cases[i].dim, cases[i].metric, 5);
        struct data queries = clustered(QUERIES, cases[i].dim, cases[i].metric, 6);
        struct qv__index *x = build(mem, &d, cases[i].m, cases[i].codes);
        struct saved s, again;
        saved_take(&s, x);
        struct qv__index *y = open_as(mem, &d, &s, QV__INDEX_PACKING_FUSED, NULL);
        struct qv__index *z = open_as(mem, &d, &s, QV__INDEX_PACKING_COMPACT, NULL);
        assert_true(is_fused(y) && !is_fused(x) && !is_fused(z));
        double fused = recall_of(y, &d, &queries, K, EF, NULL, mem);
        double compact = recall_of(z, &d, &queries, K, EF, NULL, mem);
        print_message("%u elements, m %u: %.4f, %.4f\n", cases[i].dim, cases[i].m, fused, compact);
        assert_true(fused >= compact - 0.02);
        assert_true(memory_of(y) >= memory_of(z) + (uint64_t)d.n * cases[i].dim / 8 * 32);
        saved_take(&again, y);
        assert_true(saved_equal(&s, &again));
        saved_free(&again);
        saved_free(&s);
        x->ops->free(x);
        y->ops->free(y);
        z->ops->free(z);
        data_free(&queries);
        data_free(&d);
    }
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

/* Records hold every link of their node, then others that are near, once each. */
static void test_records(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = clustered(600, 128, QV__L2, 5);
    struct qv__index *x = build(mem, &d, 16, QV__INDEX_CODES_AUTO);
    struct saved s;
    struct qv__pool *pool = NULL;
    check_ok(qv__pool_create(mem, 2, &pool, &err));
    saved_take(&s, x);
    struct qv__index *y = open_as(mem, &d, &s, QV__INDEX_PACKING_FUSED, NULL);
    struct qv__index *z = open_as(mem, &d, &s, QV__INDEX_PACKING_FUSED, pool);
    const struct qv__graph *g = qv__graph_of_const(y);
    for (uint32_t node = 0; node < d.n; node++) {
        const uint32_t *links = qv__graph_base_links(g, node);
        const uint32_t *near = (const uint32_t *)(const void *)qv__fused_at(g, node);
        assert_memory_equal(qv__fused_at(g, node), qv__fused_at(qv__graph_of_const(z), node),
                            g->fused.rows.stride_bytes);
        bool ended = false;
        for (uint32_t i = 0; i < g->fused.n_slots; i++) {
            ended |= i >= g->cap_base || links[i] == QV__GRAPH_EMPTY;
            assert_true(ended || near[i] == links[i]);
            assert_true(near[i] != node);
            for (uint32_t k = 0; k < i && near[i] != QV__GRAPH_EMPTY; k++) {
                assert_true(near[i] != near[k]);
            }
        }
    }
    y->ops->free(y);
    z->ops->free(z);
    saved_free(&s);
    x->ops->free(x);
    qv__pool_close(pool);
    data_free(&d);
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

/* Filters, readers of older numbers of points, and walks over vectors go the ordinary way. */
static void test_other_walks(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = clustered(SCALED(N), 256, QV__L2, 5);
    struct data queries = clustered(QUERIES, 256, QV__L2, 6);
    struct qv__index *x = build(mem, &d, 16, QV__INDEX_CODES_AUTO);
    struct saved s;
    saved_take(&s, x);
    struct qv__index *y = open_as(mem, &d, &s, QV__INDEX_PACKING_FUSED, NULL);
    uint64_t *allow = allow_make(d.n);
    for (uint32_t i = 0; i < d.n; i += 2) {
        qv__bit_set(allow, i);
    }
    assert_true(recall_of(y, &d, &queries, K, EF, allow, mem) >= 0.95);
    assert_true(recall_of(y, &d, &queries, K, 3000, NULL, mem) >= 0.99);
    for (uint32_t i = 0; i < queries.n; i++) {
        struct qv__index_hit hits[K];
        struct qv__index_query q[] = {
            {.vector = data_row(&queries, i), .k = K, .ef = 16, .n = d.n - 100},
            {.vector = data_row(&queries, i), .k = K, .ef = 16, .n = d.n, .no_codes = true}};
        for (size_t k = 0; k < QV_ARRAY_LEN(q); k++) {
            struct qv__qctx ctx = ctx_make(mem);
            uint32_t n_hits = 0;
            check_ok(y->ops->search(y, &q[k], &ctx, hits, &n_hits, &err));
            assert_int_equal(n_hits, K);
            check_hits(&d, &q[k], hits, n_hits);
        }
    }
    free(allow);
    saved_free(&s);
    x->ops->free(x);
    y->ops->free(y);
    data_free(&queries);
    data_free(&d);
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

/* Graphs over vectors have none, nor have the longest; another packing is a difference. */
static void test_when(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    static const struct {
        uint32_t dim, codes;
        bool want;
    } cases[] = {{64, QV__INDEX_CODES_AUTO, true},
                 {64, QV__INDEX_CODES_NONE, false},
                 {4096, QV__INDEX_CODES_AUTO, true},
                 {4097, QV__INDEX_CODES_AUTO, false}};
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        struct data d = clustered(60, cases[i].dim, QV__L2, 5);
        struct qv__index *x = build(mem, &d, 8, cases[i].codes);
        struct saved s;
        saved_take(&s, x);
        struct qv__index *y = open_as(mem, &d, &s, QV__INDEX_PACKING_FUSED, NULL);
        assert_int_equal(is_fused(y), cases[i].want);
        struct qv__index_params want = {.kind = QV__INDEX_GRAPH,
                                        .codes = cases[i].codes,
                                        .m = 8,
                                        .ef_construct = 64,
                                        .packing = QV__INDEX_PACKING_FUSED};
        char why[64];
        assert_false(y->ops->differs(y, &want, why));
        want.packing = QV__INDEX_PACKING_COMPACT;
        assert_true(y->ops->differs(y, &want, why));
        assert_string_equal(why, "packing fused -> compact");
        saved_free(&s);
        y->ops->free(y);
        x->ops->free(x);
        data_free(&d);
    }
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

/* Where memory is short a graph opens without records, or not at all, and nothing leaks. */
static void test_memory(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct data d = clustered(300, 128, QV__L2, 5);
    struct data queries = clustered(QUERIES, 128, QV__L2, 6);
    struct qv__index *x = build(mem, &d, 8, QV__INDEX_CODES_AUTO);
    struct saved s;
    saved_take(&s, x);
    x->ops->free(x);
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .m = 8, .ef_construct = 48, .packing = QV__INDEX_PACKING_FUSED};
    struct qv__index_parts parts = saved_parts(&s);
    uint32_t n_without = 0, n_in_a_row = 0;
    for (uint64_t i = 1; n_in_a_row < PAST_LAST; i++) {
        struct qv_err err;
        struct qv__index_env env = env_make(mem, NULL, 1);
        struct qv__index *y = NULL;
        qv__mem_fail_at(mem, i, false);
        qv_status st =
            qv__index_ops_of(QV__INDEX_GRAPH)->open(&params, &env, &d.v, d.n, &parts, &y, &err);
        qv__mem_fail_at(mem, 0, false);
        assert_true(st == QV_OK || st == QV_ENOMEM);
        if (st == QV_OK) {
            n_without += !is_fused(y);
            n_in_a_row = is_fused(y) ? n_in_a_row + 1 : 0;
            assert_true(recall_of(y, &d, &queries, K, EF, NULL, mem) >= 0.9);
            y->ops->free(y);
        }
        check_no_leak(mem, 0);
    }
    assert_true(n_without > 0);
    saved_free(&s);
    data_free(&queries);
    data_free(&d);
    qv__mem_close(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recall),      cmocka_unit_test(test_records),
        cmocka_unit_test(test_other_walks), cmocka_unit_test(test_when),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
