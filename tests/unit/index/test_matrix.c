/* test_matrix.c: every metric with every datatype and every kind of codes: built by one thread and
 * by several, saved and opened, grown, merged of two, after half of the points were deleted. Each
 * is held against the truth of the stored elements, each graph's links are checked whole (every
 * point is reachable), and builds with one seed are compared byte by byte.
 *
 * QVT_MATRIX_POINTS=20000 makes the sets larger, QVT_MATRIX_TABLE=1 prints what was found. */
#include "base/pool.h"
#include "typed_fixture.h"

enum { K = 10, QUERIES = 25, CENTRES = 5, M = 12, EF_CONSTRUCT = 48, THREADS = 4 };
enum { META_FEATURES = 52, FEATURE_WIDENED = 8 }; /* docs/internals/GRAPH.md */

/* Of one metric and datatype. */
struct set {
    struct qv__mem *mem;
    struct qv__pool *pool;
    struct typed all, left, queries; /* left: without every other one */
    uint64_t *odd;                   /* what is left, among all */
    double kth_all[QUERIES], kth_left[QUERIES];
    struct qv__index_params params;
    uint32_t ef;              /* of searches */
    double least;             /* recall that is asked for */
    const char *what, *codes; /* which walks compare */
};

static uint32_t n_points(void)
{
    const char *text = getenv("QVT_MATRIX_POINTS");
    uint32_t n = text ? (uint32_t)strtoul(text, NULL, 10) : SCALED(480u);
    return QV_MAX(n, 100u) / 2 * 2;
}

static void set_open(struct set *s, uint32_t n, uint32_t dim, uint8_t datatype,
                     enum qv__metric metric)
{
    /* Lengths that differ are what inner products are hard with. */
    bool uneven = metric == QV__DOT;
    *s = (struct set){.mem = qv__mem_root("matrix", 0)};
    assert_int_equal(qv__pool_create(s->mem, THREADS, &s->pool, NULL), QV_OK);
    s->all = typed_clustered(n, dim, datatype, metric, CENTRES, uneven, 7);
    s->queries = typed_clustered(QUERIES, dim, datatype, metric, CENTRES, uneven, 8);
    s->left = typed_make(n / 2, dim, datatype, metric);
    s->odd = allow_make(n);
    for (uint32_t i = 1; i < n; i += 2) {
        size_t stride = s->all.v.stride_bytes;
        qv__bit_set(s->odd, i);
        memcpy(s->left.bytes + i / 2 * stride, s->all.bytes + i * stride, stride);
        memcpy(s->left.values + (size_t)(i / 2) * dim, typed_row(&s->all, i), dim * sizeof(float));
    }
    for (uint32_t j = 0; j < QUERIES; j++) {
        s->kth_all[j] = typed_kth(&s->all, typed_row(&s->queries, j), K, NULL);
        s->kth_left[j] = typed_kth(&s->left, typed_row(&s->queries, j), K, NULL);
    }
}

static void set_close(struct set *s)
{
    typed_free(&s->all);
    typed_free(&s->left);
    typed_free(&s->queries);
    free(s->odd);
    qv__pool_close(s->pool);
    check_no_leak(s->mem, 0);
    qv__mem_close(s->mem);
}

static void expect(const struct set *s, const char *how, const struct qv__index *x, bool of_left,
                   bool through_filter)
{
    struct qv_err err;
    const struct typed *t = of_left && !through_filter ? &s->left : &s->all;
    check_ok(x->ops->validate(x, &err));
    double got = typed_recall(x, t, &s->queries, K, s->ef, through_filter ? s->odd : NULL,
                              of_left ? s->kth_left : s->kth_all, s->mem);
    if (getenv("QVT_MATRIX_TABLE")) {
        print_message("%s, %s: %.3f\n", s->what, how, got);
    }
    if (got < s->least) {
        print_error("%s, %s: recall %.3f is below %.3f\n", s->what, how, got, s->least);
        fail();
    }
}

static struct qv__index *build(struct set *s, struct typed *t, unsigned threads)
{
    struct qv_err err;
    struct qv__index *x = NULL;
    struct qv__index_env env = env_make(s->mem, threads > 1 ? s->pool : NULL, threads);
    const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_GRAPH);
    check_ok(ops->build(&s->params, &env, typed_run(t), t->n, &x, &err));
    return x;
}

/* Serially, again, and by threads: the same bytes. Then saved, opened and saved. */
static void built_and_reopened(struct set *s)
{
    struct qv_err err;
    struct qv__index *one = build(s, &s->all, 1), *again = build(s, &s->all, 1),
                     *many = build(s, &s->all, THREADS), *opened = NULL;
    struct saved a, b, c, d;
    struct qv__index_env env = env_make(s->mem, NULL, 1);
    struct qv__index_info info;
    one->ops->describe(one, &info);
    assert_string_equal(info.codes, s->codes);
    expect(s, "built by one thread", one, false, false);
    expect(s, "built by threads", many, false, false);
    expect(s, "half deleted", one, true, true);
    saved_take(&a, one);
    saved_take(&b, many);
    saved_take(&c, again);
    assert_true(saved_equal(&a, &b));
    assert_true(saved_equal(&a, &c));
    struct qv__index_parts parts = saved_parts(&a);
    check_ok(one->ops->open(&s->params, &env, typed_run(&s->all), s->all.n, &parts, &opened, &err));
    expect(s, "reopened", opened, false, false);
    saved_take(&d, opened);
    assert_true(saved_equal(&a, &d));
    assert_false(opened->ops->differs(opened, &s->params, NULL));
    opened->ops->free(opened);
    /* Whether codes are of floats is said, so that no reader widens what is none. */
    a.bytes[0][META_FEATURES] ^= FEATURE_WIDENED;
    assert_int_equal(
        one->ops->open(&s->params, &env, typed_run(&s->all), s->all.n, &parts, &opened, &err),
        QV_ECORRUPT);
    one->ops->free(one);
    again->ops->free(again);
    many->ops->free(many);
    saved_free(&a);
    saved_free(&b);
    saved_free(&c);
    saved_free(&d);
}

static void grown(struct set *s)
{
    struct qv_err err;
    struct qv__index *x = NULL;
    struct qv__index_env env = env_make(s->mem, NULL, 1);
    const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_GRAPH);
    check_ok(ops->create(&s->params, &env, typed_run(&s->all), s->all.n, &x, &err));
    for (uint32_t n = s->all.n / 8; n <= s->all.n; n += QV_MAX(s->all.n / 8, 1u)) {
        check_ok(ops->insert(x, &env, n, &err));
    }
    check_ok(ops->insert(x, &env, s->all.n, &err));
    expect(s, "grown", x, false, false);
    ops->free(x);
}

/* Of two parts, three fifths and the rest; and of all without every other one. */
static void merged(struct set *s)
{
    struct qv_err err;
    const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_GRAPH);
    struct qv__index_env env = env_make(s->mem, s->pool, 2);
    uint32_t n = s->all.n, first = n / 5 * 3;
    uint32_t *remap = calloc(2 * (size_t)n, sizeof *remap);
    assert_non_null(remap);
    struct typed parts[2] = {s->all, s->all};
    parts[0].n = first;
    parts[1].n = n - first;
    parts[1].chunk = s->all.bytes + (size_t)first * s->all.v.stride_bytes;
    struct qv__index *sources[2], *x = NULL;
    for (uint32_t i = 0; i < n; i++) {
        remap[i < first ? i : n + i - first] = i;
    }
    const uint32_t *const remaps[] = {remap, remap + n};
    for (int i = 0; i < 2; i++) {
        sources[i] = build(s, &parts[i], 1);
    }
    check_ok(ops->merge(&s->params, &env, typed_run(&s->all), n, sources, remaps, 2, &x, &err));
    expect(s, "merged of two", x, false, false);
    ops->free(x);
    ops->free(sources[0]);
    ops->free(sources[1]);
    for (uint32_t i = 0; i < n; i++) {
        remap[i] = i % 2 ? i / 2 : UINT32_MAX;
    }
    sources[0] = build(s, &s->all, 1);
    check_ok(
        ops->merge(&s->params, &env, typed_run(&s->left), n / 2, sources, remaps, 1, &x, &err));
    expect(s, "without every other one", x, true, false);
    ops->free(x);
    ops->free(sources[0]);
    free(remap);
}

/* Whether these codes are made of such vectors; those that are not are searched as they are, and
 * need no second round. */
static bool has_codes(uint32_t codes, uint8_t datatype, enum qv__metric metric)
{
    bool floats = datatype == QV__F32 || datatype == QV__F16;
    bool products = metric != QV__L1 && metric != QV__HAMMING;
    return codes == QV__INDEX_CODES_NONE ||
           (products && datatype != QV__BIT &&
            (floats || (codes != QV__INDEX_CODES_INT8 && codes != QV__INDEX_CODES_AUTO)));
}

/* Beams that leave something to find, and a little less than what was found. */
static const struct {
    uint32_t ef;
    double least;
} asked[QV__INDEX_CODES_KINDS] = {
    [QV__INDEX_CODES_AUTO] = {16, 0.95},  [QV__INDEX_CODES_NONE] = {16, 0.95},
    [QV__INDEX_CODES_INT8] = {16, 0.95},  [QV__INDEX_CODES_BITS1] = {96, 0.90},
    [QV__INDEX_CODES_BITS2] = {32, 0.90}, [QV__INDEX_CODES_BITS4] = {16, 0.87},
};

/* Larger sets take wider beams, and are harder still. */
static double least(uint32_t codes, uint32_t n)
{
    return asked[codes].least - (n > 1000 ? 0.05 : 0.0);
}

static uint32_t beam(uint32_t codes, uint32_t n)
{
    return (uint32_t)(asked[codes].ef * QV_MAX(sqrt(n / 480.0), 1.0));
}

static void all_of_a_datatype(uint8_t datatype)
{
    for (size_t m = 0; m < QV_ARRAY_LEN(typed_metrics); m++) {
        enum qv__metric metric = typed_metrics[m];
        if (!qv__metric_serves((uint8_t)metric, datatype)) {
            continue;
        }
        struct set s;
        struct qv_err err;
        set_open(&s, n_points(), 64, datatype, metric);
        struct qv__index *flat = NULL;
        struct qv__index_env env = env_make(s.mem, NULL, 1);
        const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_FLAT);
        s.params = (struct qv__index_params){.kind = QV__INDEX_FLAT};
        check_ok(ops->build(&s.params, &env, typed_run(&s.all), s.all.n, &flat, &err));
        s.least = 1.0;
        s.what = "exact scan";
        expect(&s, "all", flat, false, false);
        expect(&s, "half", flat, true, true);
        ops->free(flat);
        for (uint32_t codes = QV__INDEX_CODES_NONE; codes < QV__INDEX_CODES_KINDS; codes++) {
            if (!has_codes(codes, datatype, metric)) {
                continue;
            }
            char what[100];
            snprintf(what, sizeof what, "%s, %s, %s", qv__datatype_name(datatype),
                     typed_metric_names[metric], typed_codes_names[codes]);
            s.what = what;
            s.codes = codes == QV__INDEX_CODES_NONE ? "vectors" : typed_codes_names[codes];
            s.least = least(codes, s.all.n);
            s.ef = beam(codes, s.all.n);
            s.params = (struct qv__index_params){.kind = QV__INDEX_GRAPH,
                                                 .m = M,
                                                 .ef_construct = EF_CONSTRUCT,
                                                 .codes = codes,
                                                 .seed = 5};
            built_and_reopened(&s);
            grown(&s);
            merged(&s);
        }
        set_close(&s);
    }
}

static void float32(void **state)
{
    (void)state;
    all_of_a_datatype(QV__F32);
}

static void float16(void **state)
{
    (void)state;
    all_of_a_datatype(QV__F16);
}

static void uint8(void **state)
{
    (void)state;
    all_of_a_datatype(QV__U8);
}

static void int8(void **state)
{
    (void)state;
    all_of_a_datatype(QV__I8);
}

static void bit(void **state)
{
    (void)state;
    all_of_a_datatype(QV__BIT);
}

/* Long vectors of floats, whose complete graphs get narrow codes by themselves. */
static void narrow(void **state)
{
    (void)state;
    static const uint8_t datatypes[] = {QV__F32, QV__F16};
    for (size_t d = 0; d < QV_ARRAY_LEN(datatypes); d++) {
        struct set s;
        set_open(&s, QV_MIN(n_points(), 2000u), 256, datatypes[d], QV__DOT);
        char what[40];
        snprintf(what, sizeof what, "%s, narrow", qv__datatype_name(datatypes[d]));
        s.what = what;
        s.least = least(QV__INDEX_CODES_AUTO, s.all.n);
        s.ef = beam(QV__INDEX_CODES_AUTO, s.all.n);
        s.params = (struct qv__index_params){
            .kind = QV__INDEX_GRAPH, .m = M, .ef_construct = EF_CONSTRUCT, .seed = 5};
        s.codes = "int4";
        built_and_reopened(&s);
        merged(&s);
        set_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float32), cmocka_unit_test(float16), cmocka_unit_test(uint8),
        cmocka_unit_test(int8),    cmocka_unit_test(bit),     cmocka_unit_test(narrow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
