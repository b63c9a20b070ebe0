/* test_flat.c: the exact index and the scan against brute force in double precision, on every
 * metric, chunked and contiguous; checks of parameters; the saved form. */
#include "index_fixture.h"

static const enum qv__metric metrics[] = {QV__COSINE, QV__DOT, QV__L2, QV__L1};

static struct qv__index *flat_build(struct qv__mem *mem, const struct data *d)
{
    struct qv_err err;
    struct qv__index_params params = {.kind = QV__INDEX_FLAT};
    struct qv__index_env env = env_make(mem, NULL, 1);
    struct qv__index *x = NULL;
    check_ok(qv__index_ops_of(QV__INDEX_FLAT)->build(&params, &env, &d->v, d->n, &x, &err));
    return x;
}

static void test_equals_brute_force(void **state)
{
    (void)state;
    static const uint32_t dims[] = {1, 7, 64, 129};
    struct qv__mem *mem = qv__mem_root("test", 0);
    for (size_t m = 0; m < QV_ARRAY_LEN(metrics); m++) {
        for (size_t i = 0; i < QV_ARRAY_LEN(dims); i++) {
            struct data d = data_make(700, dims[i], metrics[m], i % 2 ? 6 : 31);
            struct data queries = data_make(10, dims[i], metrics[m], 31);
            fill_uniform(&d, 1 + i);
            fill_uniform(&queries, 100 + i);
            uint64_t *allow = allow_make(d.n);
            for (uint32_t o = 0; o < d.n; o += 1 + o % 5) {
                qv__bit_set(allow, o);
            }
            struct qv__index *x = flat_build(mem, &d);
            assert_true(recall_of(x, &d, &queries, 10, 0, NULL, mem) == 1.0);
            assert_true(recall_of(x, &d, &queries, 300, 0, NULL, mem) == 1.0);
            assert_true(recall_of(x, &d, &queries, 1, 0, allow, mem) == 1.0);
            assert_true(recall_of(x, &d, &queries, 900, 0, allow, mem) == 1.0);
            x->ops->free(x);
            free(allow);
            data_free(&d);
            data_free(&queries);
        }
    }
    qv__mem_close(mem);
}

static void test_ties_by_ordinal(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct data d = data_make(1000, 5, QV__DOT, 4);
    float zero[5] = {0};
    struct qv_err err;
    struct qv__index_hit hits[20];
    uint32_t n_hits;
    struct qv__qctx ctx = ctx_make(mem);
    struct qv__index_query q = {.vector = zero, .k = 20, .n = 1000};
    check_ok(qv__scan(qv__simd_best(NULL), &d.v, 0, &q, &ctx, hits, &n_hits, &err));
    assert_int_equal(n_hits, 20);
    for (uint32_t i = 0; i < n_hits; i++) {
        assert_int_equal(hits[i].ord, i);
        assert_true(hits[i].dist == 0.0f && !signbit(hits[i].dist));
    }
    data_free(&d);
    qv__mem_close(mem);
}

/* Any window and any bits: what a scan of [from, n) finds is what is there. */
static void test_scan_windows(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct data d = data_make(600, 3, QV__L2, 5);
    fill_uniform(&d, 7);
    struct qv__rng r;
    qv__rng_seed(&r, 8);
    uint64_t *allow = allow_make(d.n);
    struct qv__index_hit hits[600];
    struct qv_err err;
    for (int round = 0; round < 300; round++) {
        uint32_t from = (uint32_t)qv__rng_below(&r, 602);
        uint32_t n = (uint32_t)qv__rng_below(&r, 601);
        for (uint32_t w = 0; w < qv__bitset_words(d.n); w++) {
            allow[w] = qv__rng_u64(&r) & qv__rng_u64(&r); /* also above n: must be ignored */
        }
        uint32_t n_want = 0;
        for (uint32_t o = from; o < n; o++) {
            n_want += qv__bit_test(allow, o);
        }
        struct qv__qctx ctx = ctx_make(mem);
        struct qv__index_query q = {
            .vector = data_row(&d, 0), .k = 600, .allow = allow, .allow_count = n_want, .n = n};
        uint32_t n_hits = 77;
        check_ok(qv__scan(qv__simd_best(NULL), &d.v, from, &q, &ctx, hits, &n_hits, &err));
        assert_int_equal(n_hits, n_want);
        assert_int_equal(ctx.stats.distances, n_want);
        check_hits(&d, &q, hits, n_hits);
        for (uint32_t i = 0; i < n_hits; i++) {
            assert_true(hits[i].ord >= from);
        }
        q.allow = NULL;
        check_ok(qv__scan(qv__simd_best(NULL), &d.v, from, &q, &ctx, hits, &n_hits, &err));
        assert_int_equal(n_hits, from < n ? n - from : 0);
    }
    free(allow);
    data_free(&d);
    qv__mem_close(mem);
}

static void test_scan_stops(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct data d = data_make(5000, 8, QV__L2, 31);
    fill_uniform(&d, 9);
    uint64_t *allow = allow_make(d.n);
    memset(allow, 0xff, qv__bitset_words(d.n) * sizeof *allow);
    struct qv__index_hit hits[10];
    struct qv_err err;
    _Atomic bool cancel = true;
    for (int filtered = 0; filtered < 2; filtered++) {
        struct qv__index_query q = {.vector = data_row(&d, 0),
                                    .k = 10,
                                    .allow = filtered ? allow : NULL,
                                    .allow_count = d.n,
                                    .n = d.n};
        uint32_t n_hits = 5;
        struct qv__qctx ctx = ctx_make(mem);
        ctx.deadline_ns = 1;
        assert_int_equal(qv__scan(qv__simd_best(NULL), &d.v, 0, &q, &ctx, hits, &n_hits, &err),
                         QV_ETIMEOUT);
        assert_int_equal(n_hits, 0);
        assert_true(ctx.stats.distances <= 256);
        ctx.deadline_ns = 0;
        ctx.cancel = &cancel;
        assert_int_equal(qv__scan(qv__simd_best(NULL), &d.v, 0, &q, &ctx, hits, &n_hits, &err),
                         QV_ECANCELLED);
        /* More hits than the stack holds need memory. */
        static struct qv__index_hit many[1000];
        ctx.cancel = NULL;
        q.k = 1000;
        size_t used = qv__mem_used(mem);
        qv__mem_fail_at(mem, 1, false);
        assert_int_equal(qv__scan(qv__simd_best(NULL), &d.v, 0, &q, &ctx, many, &n_hits, &err),
                         QV_ENOMEM);
        qv__mem_fail_at(mem, 0, false);
        check_ok(qv__scan(qv__simd_best(NULL), &d.v, 0, &q, &ctx, many, &n_hits, &err));
        assert_int_equal(n_hits, 1000);
        check_no_leak(mem, used);
    }
    free(allow);
    data_free(&d);
    qv__mem_close(mem);
}

static void test_params(void **state)
{
    (void)state;
    struct qv_err err;
    struct qv__index_params p = {.kind = QV__INDEX_GRAPH, .m = 16, .ef_construct = 100};
    check_ok(qv__index_params_check(&p, &err));
    p.m = 1;
    assert_int_equal(qv__index_params_check(&p, &err), QV_EVALIDATION);
    assert_non_null(strstr(err.message, "m: 1 is outside 2..512"));
    p.m = 513;
    assert_int_equal(qv__index_params_check(&p, &err), QV_EVALIDATION);
    p.m = 512;
    p.ef_construct = 65536;
    check_ok(qv__index_params_check(&p, &err));
    p.ef_construct = 65537;
    assert_int_equal(qv__index_params_check(&p, &err), QV_EVALIDATION);
    assert_non_null(strstr(err.message, "ef_construct: 65537 is outside 4..65536"));
    p.ef_construct = 3;
    assert_int_equal(qv__index_params_check(&p, &err), QV_EVALIDATION);
    p.kind = 9;
    assert_int_equal(qv__index_params_check(&p, &err), QV_EVALIDATION);
    p.kind = QV__INDEX_FLAT;
    check_ok(qv__index_params_check(&p, &err));
    assert_null(qv__index_ops_of(9));
    assert_string_equal(qv__index_ops_of(QV__INDEX_FLAT)->name, "flat");
    assert_string_equal(qv__index_ops_of(QV__INDEX_GRAPH)->name, "graph");
}

static void test_unsupported(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct data d = data_make(10, 4, QV__L2, 31);
    struct qv__index_env env = env_make(mem, NULL, 1);
    static const struct {
        uint8_t datatype, metric;
        uint32_t dim, stride_bytes;
        qv_status want;
        const char *says;
    } cases[] = {
        {QV__BIT, QV__L2, 4, 16, QV_EUNSUPPORTED, "bit"},
        {77, QV__L2, 4, 16, QV_EUNSUPPORTED, "datatype"},
        {QV__F32, QV__HAMMING, 4, 16, QV_EUNSUPPORTED, "float32"},
        {QV__F32, 99, 4, 16, QV_EUNSUPPORTED, "metric"},
        {QV__F32, QV__L2, 0, 16, QV_EINVAL, "dim"},
        {QV__F32, QV__L2, QV__DIM_MAX + 1, 16, QV_EINVAL, "dim"},
        {QV__F32, QV__L2, 4, 12, QV_EINVAL, "stride"},
        {QV__F32, QV__L2, 4, 18, QV_EINVAL, "stride"},
        {QV__F16, QV__L2, 4, 6, QV_EINVAL, "stride"},
        {QV__F16, QV__L2, 4, 9, QV_EINVAL, "stride"},
        {QV__U8, QV__L2, 4, 3, QV_EINVAL, "stride"},
        {QV__I8, QV__L2, 4, 3, QV_EINVAL, "stride"},
        {QV__BIT, QV__HAMMING, 9, 1, QV_EINVAL, "stride"},
    };
    for (uint32_t kind = 0; kind < 2; kind++) {
        const struct qv__index_ops *ops = qv__index_ops_of(kind);
        struct qv__index_params params = {.kind = kind, .m = 8, .ef_construct = 16};
        for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
            struct qv_err err = {0};
            struct qv__index *x = NULL;
            struct qv__vectors v = d.v;
            v.datatype = cases[i].datatype;
            v.metric = cases[i].metric;
            v.dim = cases[i].dim;
            v.stride_bytes = cases[i].stride_bytes;
            assert_int_equal(ops->build(&params, &env, &v, 10, &x, &err), cases[i].want);
            assert_non_null(strstr(err.message, cases[i].says));
            assert_int_equal(ops->create(&params, &env, &v, 10, &x, &err), cases[i].want);
            assert_null(x);
        }
        ops->free(NULL);
    }
    data_free(&d);
    qv__mem_close(mem);
}

static void test_flat_life(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct data d = data_make(50, 4, QV__L2, 31);
    fill_uniform(&d, 3);
    struct qv_err err;
    const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_FLAT);
    struct qv__index_params params = {.kind = QV__INDEX_FLAT};
    struct qv__index_env env = env_make(mem, NULL, 1);
    struct qv__index *x = NULL, *y = NULL;
    check_ok(ops->create(&params, &env, &d.v, 50, &x, &err));
    assert_true(recall_of(x, &d, &d, 3, 0, NULL, mem) == 1.0); /* no hits at all yet */
    check_ok(ops->insert(x, &env, 20, &err));
    check_ok(ops->insert(x, &env, 10, &err)); /* never shrinks */
    assert_int_equal(qv__index_count(x), 20);
    assert_int_equal(ops->insert(x, &env, 51, &err), QV_EINVAL);
    check_ok(ops->insert(x, &env, 50, &err));
    assert_true(recall_of(x, &d, &d, 3, 0, NULL, mem) == 1.0);
    check_ok(ops->validate(x, &err));
    struct qv__index_info info;
    ops->describe(x, &info);
    assert_string_equal(info.kind, "flat");
    assert_int_equal(info.n, 50);

    struct saved s;
    saved_take(&s, x);
    struct qv__index_parts parts = saved_parts(&s);
    check_ok(ops->open(&params, &env, &d.v, 50, &parts, &y, &err));
    assert_true(recall_of(y, &d, &d, 3, 0, NULL, mem) == 1.0);
    ops->free(y);
    assert_int_equal(ops->open(&params, &env, &d.v, 49, &parts, &y, &err), QV_ECORRUPT);
    for (size_t n = 0; n < s.n[0]; n++) {
        parts.part[0].n = n;
        assert_int_equal(ops->open(&params, &env, &d.v, 50, &parts, &y, &err), QV_ECORRUPT);
    }
    parts.part[0] = (struct qv__bytes){NULL, 0};
    assert_int_equal(ops->open(&params, &env, &d.v, 50, &parts, &y, &err), QV_ECORRUPT);
    parts = saved_parts(&s);
    s.bytes[0][4] = 2;
    assert_int_equal(ops->open(&params, &env, &d.v, 50, &parts, &y, &err), QV_EVERSION);
    saved_free(&s);
    ops->free(x);
    data_free(&d);
    qv__mem_close(mem);
}

static void test_distance(void **state)
{
    (void)state;
    for (size_t m = 0; m < QV_ARRAY_LEN(metrics); m++) {
        struct data d = data_make(20, 33, metrics[m], 2);
        fill_uniform(&d, 11);
        for (uint32_t i = 0; i < d.n; i++) {
            double exact = exact_distance(&d, data_row(&d, 3), i);
            float dist = qv__distance(qv__simd_best(NULL), &d.v, data_row(&d, 3), i);
            assert_true(fabs(exact - dist) <= slack(exact, d.dim));
        }
        data_free(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_brute_force),
        cmocka_unit_test(test_ties_by_ordinal),
        cmocka_unit_test(test_scan_windows),
        cmocka_unit_test(test_scan_stops),
        cmocka_unit_test(test_params),
        cmocka_unit_test(test_unsupported),
        cmocka_unit_test(test_flat_life),
        cmocka_unit_test(test_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
