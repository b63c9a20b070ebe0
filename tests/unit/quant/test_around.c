/* test_around.c: estimates of what lies around a vector: how far they are off, that they are so in
 * both directions, and what has no near vector or no direction. */
#include "quant_fixture.h"

enum { CODES = QV__LOOKUP_CODES, N = 400, QUERIES = 20 };

struct around {
    struct rows rows;
    struct qv__quant *z;
    float *rotated, *mean, *row;
    uint8_t *block;
    size_t n_elements;
};

static void around_make(struct around *a, struct qv__mem *mem, uint32_t dim, uint8_t metric)
{
    struct qv_err err;
    struct qv__quant_params p = {.kind = QV__QUANT_RABITQ, .bits = 1, .seed = SEED};
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    rows_make(&a->rows, N, dim, metric);
    for (uint32_t i = 0; i < N; i++) {
        double norm2 = 0;
        for (uint32_t d = 0; d < dim; d++) {
            row(&a->rows, i)[d] = 0.5f + (d % 7 == 0 ? 3.0f : 1.0f) * qv__rng_gauss(&rng);
            norm2 += (double)row(&a->rows, i)[d] * (double)row(&a->rows, i)[d];
        }
        for (uint32_t d = 0; metric == QV__COSINE && d < dim; d++) {
            row(&a->rows, i)[d] /= (float)sqrt(norm2);
        }
    }
    check_ok(qv__quant_train(&p, &a->rows.run, N, mem, qv__simd_best(NULL), &a->z, &err));
    a->n_elements = qv__around_elements(a->z);
    a->rotated = calloc((size_t)N * a->n_elements, sizeof(float));
    a->mean = calloc(a->n_elements, sizeof(float));
    a->row = calloc(a->n_elements, sizeof(float));
    a->block = calloc(1, qv__around_bytes(a->z));
    assert_true(a->rotated && a->mean && a->row && a->block);
    qv__around_mean(a->z, a->mean);
    for (uint32_t i = 0; i < N; i++) {
        qv__around_center(a->z, QV__F32, row(&a->rows, i), a->row, a->rotated + i * a->n_elements);
    }
}

static void around_free(struct around *a)
{
    qv__quant_free(a->z);
    free(a->rotated);
    free(a->mean);
    free(a->row);
    free(a->block);
    rows_free(&a->rows);
}

static double distance(const struct around *a, const float *x, const float *y)
{
    double l2 = 0, dot = 0;
    for (uint32_t d = 0; d < a->rows.run.dim; d++) {
        l2 += ((double)x[d] - (double)y[d]) * ((double)x[d] - (double)y[d]);
        dot += (double)x[d] * (double)y[d];
    }
    return a->rows.run.metric == QV__L2 ? l2 : -dot;
}

/* The error is weight * |q - c| |r| / sqrt(dims) * a factor of about sqrt(pi / 2 - 1), whatever the
 * direction: its mean is near zero, its spread is that. */
static void check_errors(struct qv__mem *mem, uint32_t dim, uint8_t metric)
{
    struct qv_err err;
    struct around a;
    struct qv__around_query *q;
    double sum = 0, square = 0;
    uint32_t n = 0;
    around_make(&a, mem, dim, metric);
    check_ok(qv__around_query_new(a.z, mem, &q, &err));
    for (uint32_t i = 0; i < QUERIES; i++) {
        const float *query = row(&a.rows, N - 1 - i), *near[CODES];
        qv__around_query_set(q, QV__F32, query);
        for (uint32_t c = 0; c < 5; c++) {
            float dists[CODES];
            double own = distance(&a, query, row(&a.rows, c));
            for (uint32_t k = 0; k < CODES; k++) {
                near[k] = k == 30 ? NULL : a.rotated + (5 + c * CODES + k) * a.n_elements;
            }
            qv__around_encode(a.z, a.mean, a.rotated + c * a.n_elements, near, a.block);
            qv__around_estimate(q, a.block, NULL, dists);
            for (uint32_t k = 0; k < CODES; k++) {
                const float *v = row(&a.rows, 5 + c * CODES + k), *centre = row(&a.rows, c);
                double to_centre = 0, to_near = 0;
                for (uint32_t d = 0; d < dim; d++) {
                    to_centre += pow((double)query[d] - (double)centre[d], 2);
                    to_near += pow((double)v[d] - (double)centre[d], 2);
                }
                if (k == 30) {
                    assert_true(isinf(dists[k]) && dists[k] > 0);
                    continue;
                }
                double unit = (metric == QV__L2 ? 2 : 1) * sqrt(to_centre * to_near) /
                              sqrt((double)a.n_elements);
                double off = (own + (double)dists[k] - distance(&a, query, v)) / unit;
                sum += off;
                square += off * off;
                n++;
            }
        }
    }
    double mean = sum / n, spread = sqrt(square / n);
    print_message("%u elements, %s: %.3f, %.3f\n", dim, metric_names[metric], mean, spread);
    assert_true(fabs(mean) < 0.15);
    assert_true(spread > 0.5 && spread < 1.1);
    qv__around_query_free(q);
    around_free(&a);
}

static void test_errors(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    static const uint32_t dims[] = {64, 100, 384, 512};
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        for (size_t m = 0; m < sizeof all_metrics; m++) {
            check_errors(mem, dims[i], all_metrics[m]);
        }
    }
    qv__mem_close(mem);
}

/* A near vector that is the centre is as far as it, from any query. */
static void test_nothing_around(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct around a;
    struct qv__around_query *q;
    float dists[CODES];
    const float *near[CODES] = {NULL};
    around_make(&a, mem, 128, QV__L2);
    check_ok(qv__around_query_new(a.z, mem, &q, &err));
    near[3] = a.rotated;
    qv__around_encode(a.z, a.mean, a.rotated, near, a.block);
    qv__around_query_set(q, QV__F32, row(&a.rows, 9));
    qv__around_estimate(q, a.block, NULL, dists);
    assert_true(dists[3] == 0.0f && isinf(dists[2]));
    float zero[128] = {0};
    qv__around_query_set(q, QV__F32, zero);
    qv__around_estimate(q, a.block, NULL, dists);
    assert_true(dists[3] == 0.0f);
    qv__around_query_free(q);
    around_free(&a);
    qv__mem_close(mem);
}

/* The same estimates on every instruction set, but for the rotation's own rounding, of which there
 * is none: it has one order. */
static void test_tables_agree(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct around a;
    struct qv__around_query *q;
    float want[CODES], dists[CODES];
    const float *near[CODES];
    around_make(&a, mem, 320, QV__DOT);
    for (uint32_t k = 0; k < CODES; k++) {
        near[k] = a.rotated + (k + 1) * a.n_elements;
    }
    qv__around_encode(a.z, a.mean, a.rotated, near, a.block);
    for (int isa = 0, n = 0; isa < QV__ISAS; isa++) {
        const struct qv__simd *simd = qv__simd_table((enum qv__isa)isa);
        struct qv__quant_params p = {.kind = QV__QUANT_RABITQ, .bits = 1, .seed = SEED};
        struct qv__quant *z;
        if (simd == NULL) {
            continue;
        }
        check_ok(qv__quant_train(&p, &a.rows.run, N, mem, simd, &z, &err));
        check_ok(qv__around_query_new(z, mem, &q, &err));
        qv__around_query_set(q, QV__F32, row(&a.rows, 50));
        qv__around_estimate(q, a.block, a.block, n++ == 0 ? want : dists);
        assert_true(n == 1 || memcmp(want, dists, sizeof want) == 0);
        qv__around_query_free(q);
        qv__quant_free(z);
    }
    around_free(&a);
    qv__mem_close(mem);
}

/* What a code of `like` stands for, and back; blocks of it say what blocks of the vector do. */
static void check_decoded(struct qv__mem *mem, uint32_t dim, uint32_t bits, uint8_t metric)
{
    struct qv_err err;
    struct around a;
    struct qv__quant_params p = {.kind = QV__QUANT_SCALAR, .bits = bits, .seed = 1};
    struct qv__quant *like, *z;
    struct qv__quant_encoder *e;
    around_make(&a, mem, dim, metric);
    check_ok(qv__quant_train(&p, &a.rows.run, N, mem, qv__simd_best(NULL), &like, &err));
    assert_true(qv__around_decodes(like));
    check_ok(qv__around_like(like, SEED, mem, &z, &err));
    check_ok(qv__quant_encoder_new(like, mem, &e, &err));
    size_t n = qv__around_elements(z);
    float *v = calloc(n, sizeof *v), *again = calloc(n, sizeof *again);
    uint8_t *code = calloc(2, qv__quant_code_bytes(like)), *ints = calloc(1, n);
    assert_true(v && again && code && ints);
    double off = 0, size = 0, turned = 0;
    for (uint32_t i = 0; i < N; i++) {
        qv__quant_encode(e, row(&a.rows, i), code, NULL);
        qv__around_decode(like, code, ints, v);
        memcpy(again, v, n * sizeof *v);
        qv__around_rotate(z, again);
        for (size_t k = 0; k < n; k++) {
            double is = (double)a.rotated[i * a.n_elements + k];
            assert_true(k < dim || v[k] == 0.0f);
            off += ((double)again[k] - is) * ((double)again[k] - is);
            size += is * is;
        }
        memcpy(again, v, n * sizeof *v);
        qv__around_recode(e, again, code); /* changes `again`: the mean is added */
        qv__around_decode(like, code, ints, again);
        for (uint32_t k = 0; k < dim; k++) {
            turned += ((double)again[k] - (double)v[k]) * ((double)again[k] - (double)v[k]);
        }
    }
    print_message("%u elements, %u bits, %s: off by %.5f, again by %.5f\n", dim, bits,
                  metric_names[metric], sqrt(off / size), sqrt(turned / size));
    assert_true(sqrt(off / size) < (bits == 8 ? 0.02 : 0.2));
    assert_true(sqrt(turned / size) < (bits == 8 ? 0.02 : 0.2));
    free(v);
    free(again);
    free(code);
    free(ints);
    qv__quant_encoder_free(e);
    qv__quant_free(z);
    qv__quant_free(like);
    around_free(&a);
}

static void test_decoded(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct rows rows;
    struct qv__quant *z;
    for (size_t m = 0; m < sizeof all_metrics; m++) {
        check_decoded(mem, 128, 8, all_metrics[m]); /* tucked */
        check_decoded(mem, 100, 8, all_metrics[m]);
        check_decoded(mem, 320, 4, all_metrics[m]);
        check_decoded(mem, 100, 4, all_metrics[m]);
    }
    rows_make(&rows, N, 128, QV__L2);
    for (size_t i = 0; i < ALL_PARAMS; i++) {
        check_ok(qv__quant_train(&all_params[i], &rows.run, N, mem, qv__simd_best(NULL), &z, &err));
        assert_int_equal(qv__around_decodes(z),
                         all_params[i].kind == QV__QUANT_SCALAR && all_params[i].rest_bits == 0);
        qv__quant_free(z);
    }
    rows_free(&rows);
    assert_int_equal(qv__mem_used(mem), 0);
    qv__mem_close(mem);
}

/* Estimates from where the centre is, and which of them are near. */
static void test_near(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct around a;
    struct qv__around_query *q;
    float more[CODES], dists[CODES];
    const float *near[CODES];
    around_make(&a, mem, 128, QV__L2);
    check_ok(qv__around_query_new(a.z, mem, &q, &err));
    for (uint32_t k = 0; k < CODES; k++) {
        near[k] = k == 4 ? NULL : a.rotated + (k + 1) * a.n_elements;
    }
    qv__around_encode(a.z, a.mean, a.rotated, near, a.block);
    qv__around_query_set(q, QV__F32, row(&a.rows, 50));
    qv__around_estimate(q, a.block, NULL, more);
    float most = 100.0f + more[9];
    uint32_t mask = qv__around_near(q, a.block, a.block, 100.0f, most, dists);
    for (uint32_t k = 0; k < CODES; k++) {
        assert_int_equal(mask >> k & 1, dists[k] <= most);
        assert_true(k == 4 ? isinf(dists[k]) : fabsf(dists[k] - 100.0f - more[k]) < 1e-3f);
    }
    assert_int_equal(mask >> 4 & 1, 0);
    qv__around_query_free(q);
    around_free(&a);
    qv__mem_close(mem);
}

int main(void)
{
    print_message("seed %u\n", SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),       cmocka_unit_test(test_nothing_around),
        cmocka_unit_test(test_tables_agree), cmocka_unit_test(test_decoded),
        cmocka_unit_test(test_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
