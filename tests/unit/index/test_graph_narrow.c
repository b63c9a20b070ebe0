/* test_graph_narrow.c: the codes of 4 bits that a complete graph of long vectors is searched over:
 * when there are some, what searches find, their saved form, and what of it is refused. */
#include "base/pool.h"
#include "index_fixture.h"

enum {
    PAST_LAST = 20, /* failures that were not met: there is none left */
    DIM = 256,
    N = 2000,
    K = 10,
    EF = 48,
    QUERIES = 40,
    PART_QUANT = 4,
    PART_NARROW = 6
};

static struct qv__index *build_with(struct qv__mem *mem, const struct data *d, uint32_t codes,
                                    struct qv__pool *pool, unsigned threads)
{
    struct qv_err err;
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .codes = codes, .m = 8, .ef_construct = 48, .seed = 3};
    struct qv__index_env env = env_make(mem, pool, threads);
    struct qv__index *x = NULL;
    check_ok(qv__index_ops_of(QV__INDEX_GRAPH)->build(&params, &env, &d->v, d->n, &x, &err));
    return x;
}

static qv_status open_parts(struct qv__mem *mem, const struct data *d,
                            const struct qv__index_parts *parts, struct qv__index **out,
                            struct qv_err *err)
{
    struct qv__index_params params = {.kind = QV__INDEX_GRAPH, .m = 8, .ef_construct = 48};
    struct qv__index_env env = env_make(mem, NULL, 1);
    return qv__index_ops_of(QV__INDEX_GRAPH)->open(&params, &env, &d->v, d->n, parts, out, err);
}

static struct data clustered(uint32_t n, uint32_t dim, enum qv__metric metric, uint64_t seed)
{
    struct data d = data_make(n, dim, metric, 31);
    fill_clustered(&d, 40, 0.7f, 11, seed, NULL);
    return d;
}

static void check_codes(const struct qv__index *x, const char *codes, uint32_t code_bytes)
{
    struct qv__index_info info;
    x->ops->describe(x, &info);
    assert_string_equal(info.codes, codes);
    assert_int_equal(info.code_bytes, code_bytes);
}

static void test_when(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    static const struct {
        uint32_t dim, codes;
        const char *want;
        uint32_t bytes;
    } cases[] = {
        {256, QV__INDEX_CODES_AUTO, "int4", 128 + 12},
        {300, QV__INDEX_CODES_AUTO, "int4", 160 + 12},
        {255, QV__INDEX_CODES_AUTO, "int8", 255},
        {256, QV__INDEX_CODES_INT8, "int8", 256},
        {256, QV__INDEX_CODES_NONE, "vectors", 1024},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        struct data d = clustered(100, cases[i].dim, QV__L2, 5);
        struct qv__index *x = build_with(mem, &d, cases[i].codes, NULL, 1);
        check_codes(x, cases[i].want, cases[i].bytes);
        x->ops->free(x);
        data_free(&d);
    }
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

static void test_recall_and_round_trip(void **state)
{
    (void)state;
    static const enum qv__metric metrics[] = {QV__L2, QV__DOT, QV__COSINE};
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    for (size_t m = 0; m < QV_ARRAY_LEN(metrics); m++) {
        struct data d = clustered(SCALED(N), DIM, metrics[m], 5);
        struct data queries = clustered(QUERIES, DIM, metrics[m], 6);
        struct qv__index *x = build_with(mem, &d, QV__INDEX_CODES_AUTO, NULL, 1), *y = NULL;
        assert_true(recall_of(x, &d, &queries, K, EF, NULL, mem) >= 0.95);
        struct saved s, again;
        saved_take(&s, x);
        struct qv__index_parts parts = saved_parts(&s);
        check_ok(open_parts(mem, &d, &parts, &y, &err));
        check_ok(y->ops->validate(y, &err));
        check_codes(y, "int4", DIM / 2 + 12);
        assert_true(recall_of(y, &d, &queries, K, EF, NULL, mem) >= 0.95);
        saved_take(&again, y);
        assert_true(saved_equal(&s, &again));
        saved_free(&again);
        saved_free(&s);
        y->ops->free(y);
        x->ops->free(x);
        data_free(&queries);
        data_free(&d);
    }
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

/* What grew point by point is searched over codes of a byte, and gets narrow ones where it is
 * saved. */
static void test_grown(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = clustered(SCALED(N), DIM, QV__L2, 5),
                queries = clustered(QUERIES, DIM, QV__L2, 6);
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .m = 8, .ef_construct = 48, .seed = 3};
    struct qv__index_env env = env_make(mem, NULL, 1);
    const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_GRAPH);
    struct qv__index *x = NULL, *y = NULL;
    check_ok(ops->create(&params, &env, &d.v, d.n, &x, &err));
    check_ok(ops->insert(x, &env, d.n / 2, &err));
    check_ok(ops->insert(x, &env, d.n, &err));
    check_codes(x, "int8", DIM);
    struct saved s;
    saved_take(&s, x);
    check_codes(x, "int8", DIM);
    struct qv__index_parts parts = saved_parts(&s);
    check_ok(open_parts(mem, &d, &parts, &y, &err));
    check_codes(y, "int4", DIM / 2 + 12);
    assert_true(recall_of(y, &d, &queries, K, EF, NULL, mem) >= 0.95);
    saved_free(&s);
    y->ops->free(y);
    x->ops->free(x);
    data_free(&queries);
    data_free(&d);
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

/* The recall of queries that are no nodes, where one is asked for in place of a beam. */
static double recall_asked_for(const struct qv__index *x, const struct data *d,
                               const struct data *queries, float wanted, struct qv__mem *mem)
{
    struct qv_err err;
    uint64_t good = 0;
    for (uint32_t i = 0; i < queries->n; i++) {
        struct qv__index_hit hits[K];
        uint32_t n = 0;
        struct qv__qctx ctx = ctx_make(mem);
        ctx.recall_target = wanted;
        struct qv__index_query q = {.vector = data_row(queries, i), .k = K, .n = d->n};
        check_ok(x->ops->search(x, &q, &ctx, hits, &n, &err));
        double kth = exact_kth(d, q.vector, d->n, K, NULL);
        for (uint32_t j = 0; j < n; j++) {
            good += hits[j].dist <= kth + slack(kth, d->dim);
        }
    }
    return (double)good / ((double)K * queries->n);
}

/* Beams are measured over the codes that searches compare: those of 4 bits, also of a graph that
 * grew over codes of a byte and gets narrow ones where it is saved. */
static void test_recall_asked_for(void **state)
{
    (void)state;
    enum { N_ASKED = 3000 };
    static const float wanted[] = {0.8f, 0.9f, 0.95f, 0.98f};
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(N_ASKED, DIM, QV__L2, 31), queries = data_make(100, DIM, QV__L2, 31);
    fill_uniform(&d, 1);
    fill_uniform(&queries, 2);
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .m = 8, .ef_construct = 48, .seed = 3};
    struct qv__index_env env = env_make(mem, NULL, 1);
    const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_GRAPH);
    for (int is_grown = 0; is_grown < 2; is_grown++) {
        struct qv__index *x = NULL, *y = NULL;
        if (is_grown) {
            check_ok(ops->create(&params, &env, &d.v, d.n, &x, &err));
            check_ok(ops->insert(x, &env, d.n * 3 / 5, &err)); /* measured here, and not again */
            check_ok(ops->insert(x, &env, d.n, &err));
        } else {
            x = build_with(mem, &d, QV__INDEX_CODES_AUTO, NULL, 1);
        }
        struct saved s;
        saved_take(&s, x);
        struct qv__index_parts parts = saved_parts(&s);
        check_ok(open_parts(mem, &d, &parts, &y, &err));
        check_codes(y, "int4", DIM / 2 + 12);
        for (size_t w = 0; w < QV_ARRAY_LEN(wanted); w++) {
            double recall = recall_asked_for(y, &d, &queries, wanted[w], mem);
            print_message("%s, recall %.2f asked for: %.4f\n", is_grown ? "grown" : "built",
                          wanted[w], recall);
            assert_true(recall >= wanted[w] - 0.03);
        }
        saved_free(&s);
        y->ops->free(y);
        x->ops->free(x);
    }
    data_free(&queries);
    data_free(&d);
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

/* Graphs with narrow codes merge by their codes of a byte into one with narrow codes. */
static void test_merged(void **state)
{
    (void)state;
    enum { HALF = SCALED(N) / 2 };
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = clustered(2 * HALF, DIM, QV__L2, 5);
    struct data queries = clustered(QUERIES, DIM, QV__L2, 6);
    struct data part[2];
    struct saved s[2];
    struct qv__index *source[2] = {NULL, NULL}, *x = NULL;
    uint32_t remap[2][HALF];
    const uint32_t *remaps[2] = {remap[0], remap[1]};
    for (uint32_t i = 0; i < 2; i++) {
        part[i] = data_make(HALF, DIM, QV__L2, 31);
        memcpy(part[i].values, data_row(&d, i * HALF), sizeof(float) * HALF * DIM);
        struct qv__index *built = build_with(mem, &part[i], QV__INDEX_CODES_AUTO, NULL, 1);
        saved_take(&s[i], built);
        built->ops->free(built);
        struct qv__index_parts parts = saved_parts(&s[i]);
        check_ok(open_parts(mem, &part[i], &parts, &source[i], &err));
        for (uint32_t ord = 0; ord < HALF; ord++) {
            remap[i][ord] = i * HALF + ord;
        }
    }
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .m = 8, .ef_construct = 48, .seed = 3};
    struct qv__index_env env = env_make(mem, NULL, 1);
    check_ok(source[0]->ops->merge(&params, &env, &d.v, d.n, source, remaps, 2, &x, &err));
    check_codes(x, "int4", DIM / 2 + 12);
    check_ok(x->ops->validate(x, &err));
    assert_true(recall_of(x, &d, &queries, K, EF, NULL, mem) >= 0.95);
    x->ops->free(x);
    for (uint32_t i = 0; i < 2; i++) {
        source[i]->ops->free(source[i]);
        saved_free(&s[i]);
        data_free(&part[i]);
    }
    data_free(&queries);
    data_free(&d);
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

static void test_threads_make_no_difference(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = clustered(SCALED(N), DIM, QV__L2, 5);
    struct qv__pool *pool = NULL;
    check_ok(qv__pool_create(mem, 2, &pool, &err));
    struct qv__index *x = build_with(mem, &d, QV__INDEX_CODES_AUTO, NULL, 1);
    struct qv__index *y = build_with(mem, &d, QV__INDEX_CODES_AUTO, pool, 3);
    struct saved a, b;
    saved_take(&a, x);
    saved_take(&b, y);
    assert_true(saved_equal(&a, &b));
    saved_free(&a);
    saved_free(&b);
    x->ops->free(x);
    y->ops->free(y);
    qv__pool_close(pool);
    data_free(&d);
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

/* A file without narrow codes opens as it did; one with some of their parts missing, cut, or of
 * another quantizer is refused. */
static void test_files(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = clustered(300, DIM, QV__L2, 5);
    struct qv__index *x = build_with(mem, &d, QV__INDEX_CODES_AUTO, NULL, 1), *y = NULL;
    struct saved s;
    saved_take(&s, x);
    struct qv__index_parts parts = saved_parts(&s);
    for (uint32_t p = PART_NARROW; p <= PART_NARROW + 1; p++) {
        parts.part[p] = (struct qv__bytes){NULL, 0};
        assert_int_equal(open_parts(mem, &d, &parts, &y, &err), QV_ECORRUPT);
        parts = saved_parts(&s);
        parts.part[p].n--;
        assert_int_equal(open_parts(mem, &d, &parts, &y, &err), QV_ECORRUPT);
        parts = saved_parts(&s);
    }
    parts.part[PART_NARROW + 1] = parts.part[PART_QUANT]; /* 8 bits for 4, and 4 for 8 */
    assert_int_equal(open_parts(mem, &d, &parts, &y, &err), QV_ECORRUPT);
    assert_non_null(strstr(err.message, "8 bits"));
    parts = saved_parts(&s);
    parts.part[PART_QUANT] = parts.part[PART_NARROW + 1];
    assert_int_equal(open_parts(mem, &d, &parts, &y, &err), QV_ECORRUPT);
    parts = saved_parts(&s);
    s.bytes[0][52] = 4; /* narrow codes alone */
    assert_int_equal(open_parts(mem, &d, &parts, &y, &err), QV_ECORRUPT);
    s.bytes[0][52] = 1; /* what was written before there were narrow codes */
    check_ok(open_parts(mem, &d, &parts, &y, &err));
    check_codes(y, "int8", DIM);
    y->ops->free(y);
    saved_free(&s);
    x->ops->free(x);
    data_free(&d);
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

/* Distances of hits, and their ordinals, of all queries, `rounds` times over. */
static void check_same_hits(const struct qv__index *x, const struct qv__index *y,
                            const struct data *queries, uint32_t rounds, struct qv__mem *mem)
{
    struct qv_err err;
    for (uint32_t i = 0; i < rounds * queries->n; i++) {
        struct qv__index_hit hits[2][K];
        uint32_t n_hits[2];
        for (uint32_t j = 0; j < 2; j++) {
            const struct qv__index *at = j ? y : x;
            struct qv__qctx ctx = ctx_make(mem);
            struct qv__index_query q = {
                .vector = data_row(queries, i % queries->n), .k = K, .ef = EF, .n = at->n_indexed};
            check_ok(at->ops->search(at, &q, &ctx, hits[j], &n_hits[j], &err));
        }
        assert_int_equal(n_hits[0], n_hits[1]);
        for (uint32_t j = 0; j < n_hits[0]; j++) {
            assert_int_equal(hits[0][j].ord, hits[1][j].ord);
            assert_true(hits[0][j].dist == hits[1][j].dist);
        }
    }
}

/* A large opened graph keeps its codes closer together than its file does, and copies of vectors
 * that are measured again: it finds the same, saves the same bytes, and merges. */
static void packed_with(uint32_t dim, uint32_t codes, uint32_t code_bytes)
{
    enum { N_PACKED = 2000 }; /* more than 4 MiB of codes in the file */
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = clustered(N_PACKED, dim, QV__L2, 5), queries = clustered(10, dim, QV__L2, 6);
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .codes = codes, .m = 4, .ef_construct = 8, .seed = 3};
    struct qv__index_env env = env_make(mem, NULL, 1);
    const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_GRAPH);
    struct qv__index *x = NULL, *y = NULL, *z = NULL;
    struct qv__index_info opened, searched;
    struct saved s, again;
    check_ok(ops->build(&params, &env, &d.v, d.n, &x, &err));
    saved_take(&s, x);
    struct qv__index_parts parts = saved_parts(&s);
    check_ok(open_parts(mem, &d, &parts, &y, &err));
    y->ops->describe(y, &opened);
    assert_int_equal(opened.code_bytes, code_bytes);
    assert_true(opened.memory_bytes < (uint64_t)N_PACKED * (code_bytes + 16));
    check_same_hits(x, y, &queries, 3, mem);
    y->ops->describe(y, &searched);
    assert_true(searched.memory_bytes > opened.memory_bytes);
    saved_take(&again, y);
    assert_true(saved_equal(&s, &again));
    uint32_t remap[N_PACKED];
    const uint32_t *remaps[] = {remap};
    for (uint32_t i = 0; i < N_PACKED; i++) {
        remap[i] = i;
    }
    check_ok(ops->merge(&params, &env, &d.v, d.n, &y, remaps, 1, &z, &err));
    check_ok(z->ops->validate(z, &err));
    assert_true(recall_of(z, &d, &queries, K, EF, NULL, mem) >=
                recall_of(y, &d, &queries, K, EF, NULL, mem) - 0.1);
    saved_free(&again);
    saved_free(&s);
    z->ops->free(z);
    y->ops->free(y);
    x->ops->free(x);
    data_free(&queries);
    data_free(&d);
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

static void test_packed(void **state)
{
    (void)state;
    packed_with(4096, QV__INDEX_CODES_AUTO, 4096 / 2 + 12);
    packed_with(2052, QV__INDEX_CODES_INT8, 2052 + 12);
}

/* Whatever allocation fails: an error that leaves nothing, or a graph that can be searched. */
static void test_failing_allocations(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = clustered(120, DIM, QV__L2, 5), queries = clustered(3, DIM, QV__L2, 6);
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .m = 4, .ef_construct = 16, .seed = 3};
    struct qv__index_env env = env_make(mem, NULL, 1);
    uint32_t n_wide = 0, n_narrow = 0;
    for (uint64_t nth = 1; n_narrow < PAST_LAST; nth++) {
        struct qv__index *x = NULL;
        qv__mem_fail_at(mem, nth, false);
        qv_status st = qv__index_ops_of(QV__INDEX_GRAPH)->build(&params, &env, &d.v, d.n, &x, &err);
        qv__mem_fail_at(mem, 0, false);
        if (st == QV_OK) {
            struct qv__index_info info;
            x->ops->describe(x, &info);
            bool is_wide = strcmp(info.codes, "int8") == 0;
            n_wide += is_wide;
            n_narrow = is_wide ? 0 : n_narrow + 1; /* the end: no failure was met */
            (void)recall_of(x, &d, &queries, 5, 16, NULL, mem);
            x->ops->free(x);
        } else {
            assert_int_equal(st, QV_ENOMEM);
        }
        check_no_leak(mem, 0);
    }
    assert_true(n_wide > 0);
    data_free(&queries);
    data_free(&d);
    qv__mem_close(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_when),
        cmocka_unit_test(test_recall_and_round_trip),
        cmocka_unit_test(test_grown),
        cmocka_unit_test(test_recall_asked_for),
        cmocka_unit_test(test_merged),
        cmocka_unit_test(test_threads_make_no_difference),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
