/* test_shapes.c: sets that have no middle: nothing, one point, all points equal, each point a
 * hundred times, vectors of zeros, one to three dimensions, 4,096 of them; for every metric,
 * datatype and kind of codes. Built, saved and opened, grown, and merged with a part of itself left
 * out.
 *
 * A search over so few points, with a beam as wide as they are many, finds all there is: so each
 * must answer as the exact scan does. Links are checked whole, so every point can be reached. */
#include "typed_fixture.h"

enum { K = 10, QUERIES = 4 };

struct shape {
    const char *name;
    uint32_t n, dim;
    uint32_t distinct; /* different points; the rest repeat them; 0 = all are different */
    bool zeros;        /* the first point is all zeros, where it is the only one all are */
    uint32_t ef;
    double least; /* of recall by distance; codes of few bits see no more than a direction */
};

static const struct shape shapes[] = {
    {"no point", 0, 8, 0, false, 16, 1.0},
    {"one point", 1, 64, 0, false, 16, 1.0},
    {"two points", 2, 5, 0, false, 16, 1.0},
    {"one zero", 1, 16, 0, true, 16, 1.0},
    {"zeros", 60, 16, 1, true, 64, 1.0},
    {"all equal", 100, 64, 1, false, 100, 1.0},
    {"each a hundred times", 300, 64, 3, false, 300, 1.0},
    {"twins", 120, 64, 60, true, 120, 1.0},
    {"1 dimension", 120, 1, 0, false, 120, 1.0},
    {"2 dimensions", 120, 2, 0, false, 120, 1.0},
    {"3 dimensions", 120, 3, 0, true, 120, 1.0},
    {"4096 dimensions", 24, 4096, 0, false, 24, 1.0},
};

static struct typed make(const struct shape *shape, uint8_t datatype, enum qv__metric metric)
{
    uint32_t distinct = shape->distinct ? shape->distinct : shape->n;
    struct typed few = typed_clustered(QV_MAX(distinct, 1u), shape->dim, datatype, metric, 3,
                                       metric == QV__DOT, 11);
    struct typed t = typed_make(shape->n, shape->dim, datatype, metric);
    size_t stride = t.v.stride_bytes;
    if (shape->zeros) {
        memset(few.bytes, 0, stride);
        memset(few.values, 0, shape->dim * sizeof(float));
    }
    for (uint32_t i = 0; i < shape->n; i++) {
        uint32_t from = i % distinct;
        memcpy(t.bytes + i * stride, few.bytes + from * stride, stride);
        memcpy(t.values + (size_t)i * t.dim, typed_row(&few, from), t.dim * sizeof(float));
    }
    typed_free(&few);
    return t;
}

/* What is asked of one graph, and the text of what it is. */
struct ask {
    const struct shape *shape;
    const struct typed *queries;
    struct qv__mem *mem;
    char what[160];
};

static void check(const struct ask *a, const struct qv__index *x, const struct typed *t,
                  const char *how)
{
    struct qv_err err = {0};
    qv_status st = x->ops->validate(x, &err);
    if (st != QV_OK) {
        print_error("%s, %s: %s\n", a->what, how, err.message);
        fail();
    }
    double recall = typed_recall(x, t, a->queries, K, a->shape->ef, NULL, NULL, a->mem);
    uint64_t *odd = allow_make(t->n + 1);
    for (uint32_t i = 1; i < t->n; i += 2) {
        qv__bit_set(odd, i);
    }
    double filtered = typed_recall(x, t, a->queries, K, a->shape->ef, odd, NULL, a->mem);
    free(odd);
    if (recall < a->shape->least || filtered < a->shape->least) {
        print_error("%s, %s: recall %.3f, filtered %.3f\n", a->what, how, recall, filtered);
        fail();
    }
}

static void run(struct ask *a, struct typed *t, const struct qv__index_params *params)
{
    struct qv_err err;
    const struct qv__index_ops *ops = qv__index_ops_of(params->kind);
    struct qv__index_env env = env_make(a->mem, NULL, 1);
    struct qv__index *x = NULL, *y = NULL;
    uint32_t n = t->n, kept = n - n / 3;
    check_ok(ops->build(params, &env, typed_run(t), n, &x, &err));
    check(a, x, t, "built");
    struct saved s;
    saved_take(&s, x);
    struct qv__index_parts parts = saved_parts(&s);
    check_ok(ops->open(params, &env, typed_run(t), n, &parts, &y, &err));
    check(a, y, t, "reopened");
    ops->free(y);
    /* Without the last third. */
    uint32_t *remap = calloc((size_t)n + 1, sizeof *remap);
    assert_non_null(remap);
    for (uint32_t i = 0; i < n; i++) {
        remap[i] = i < kept ? i : UINT32_MAX;
    }
    struct typed less = *t;
    less.n = kept;
    const uint32_t *const remaps[] = {remap};
    check_ok(ops->merge(params, &env, typed_run(&less), kept, &x, remaps, 1, &y, &err));
    check(a, y, &less, "merged");
    ops->free(y);
    ops->free(x);
    free(remap);
    saved_free(&s);
    check_ok(ops->create(params, &env, typed_run(t), n, &x, &err));
    check_ok(ops->insert(x, &env, n / 2, &err));
    check_ok(ops->insert(x, &env, n, &err));
    check(a, x, t, "grown");
    ops->free(x);
}

static bool has_codes(uint32_t codes, uint8_t datatype, enum qv__metric metric)
{
    bool bytes = datatype == QV__U8 || datatype == QV__I8;
    bool products = metric != QV__L1 && metric != QV__HAMMING;
    return codes == QV__INDEX_CODES_AUTO || codes == QV__INDEX_CODES_NONE ||
           (products && !(bytes && codes == QV__INDEX_CODES_INT8));
}

static void all_of_a_datatype(uint8_t datatype)
{
    struct ask a = {.mem = qv__mem_root("shapes", 0)};
    for (size_t i = 0; i < QV_ARRAY_LEN(shapes); i++) {
        for (size_t m = 0; m < QV_ARRAY_LEN(typed_metrics); m++) {
            if (!qv__metric_serves((uint8_t)typed_metrics[m], datatype)) {
                continue;
            }
            a.shape = &shapes[i];
            struct typed t = make(a.shape, datatype, typed_metrics[m]);
            struct typed queries = typed_clustered(QUERIES, t.dim, datatype, typed_metrics[m], 3,
                                                   typed_metrics[m] == QV__DOT, 12);
            a.queries = &queries;
            for (uint32_t codes = 0; codes < QV__INDEX_CODES_KINDS; codes++) {
                if (!has_codes(codes, datatype, typed_metrics[m])) {
                    continue;
                }
                struct qv__index_params params = {
                    .kind = QV__INDEX_GRAPH, .m = 8, .ef_construct = 40, .codes = codes, .seed = 5};
                snprintf(a.what, sizeof a.what, "%s, %s, %s, %s", a.shape->name,
                         qv__datatype_name(datatype), typed_metric_names[m],
                         typed_codes_names[codes]);
                run(&a, &t, &params);
            }
            struct qv__index_params flat = {.kind = QV__INDEX_FLAT};
            snprintf(a.what, sizeof a.what, "%s, %s, %s, exact", a.shape->name,
                     qv__datatype_name(datatype), typed_metric_names[m]);
            run(&a, &t, &flat);
            typed_free(&queries);
            typed_free(&t);
        }
    }
    check_no_leak(a.mem, 0);
    qv__mem_close(a.mem);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float32), cmocka_unit_test(float16), cmocka_unit_test(uint8),
        cmocka_unit_test(int8),    cmocka_unit_test(bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
