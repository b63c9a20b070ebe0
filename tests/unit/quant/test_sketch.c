/* test_sketch.c: sketches: which codes have some, that their signs are those of the codes, and that
 * the nearest are among the few that sketches show to be near. */
#include "quant_fixture.h"

enum { K = 10, QUERIES = 30 };

static bool has_sketch(const struct qv__quant_params *p)
{
    return p->kind != QV__QUANT_BINARY && (p->bits == 4 || p->bits == 8);
}

/* Element i of a code of whole bytes or halves, by simd/codes.h. */
static unsigned element(const uint8_t *code, unsigned bits, size_t dims, size_t i)
{
    if (bits == 8) {
        return code[i];
    }
    size_t first = i / 128 * 128, run = first + 128 <= dims ? 64 : 32, at = i - first;
    return code[first / 2 + at % run] >> 4 * (at / run) & 15;
}

static void test_signs(void **state)
{
    static const uint32_t dims[] = {32, 39, 64, 100, 128, 192, 200, 320};
    (void)state;
    for (size_t p = 0; p < ALL_PARAMS; p++) {
        for (size_t d = 0; d < QV_ARRAY_LEN(dims); d++) {
            struct rows r;
            struct coded c;
            uint64_t sketch[8];
            rows_clustered(&r, 50, dims[d], QV__L2, 5);
            coded_make(&c, &all_params[p], &r, qv__simd_best(NULL));
            size_t bytes = qv__quant_sketch_bytes(c.z), padded = QV_ALIGN_UP(dims[d], 64u),
                   seen = QV_MIN(padded, (size_t)256);
            assert_int_equal(bytes, has_sketch(&all_params[p]) ? seen / 8 + 8 : 0);
            size_t n = all_params[p].kind == QV__QUANT_SCALAR ? dims[d] : padded;
            for (uint32_t i = 0; bytes && i < r.n; i++) {
                unsigned bits = all_params[p].bits;
                double size = 0, square = 0;
                float scale, of_code;
                qv__quant_sketch(c.z, code_at(&c, i), (uint8_t *)sketch);
                for (size_t e = 0; e < n; e++) {
                    double v = element(code_at(&c, i), bits, padded, e) - ((1 << bits) - 1) / 2.0;
                    if (e < seen) {
                        assert_int_equal(sketch[e / 64] >> e % 64 & 1, v > 0);
                        size += fabs(v);
                    }
                    square += v * v;
                }
                memcpy(&scale, (uint8_t *)sketch + seen / 8, sizeof scale);
                if (c.info.code_bytes == dims[d]) { /* tucked */
                    uint32_t low = 0;
                    for (unsigned k = 0; k < 32; k++) {
                        low |= (uint32_t)(code_at(&c, i)[k] & 1) << k;
                    }
                    memcpy(&of_code, &low, sizeof of_code);
                } else {
                    memcpy(&of_code, code_at(&c, i) + c.info.code_bytes - 12, sizeof of_code);
                }
                /* The length of a code is kept in eight bits, rounded up. */
                double want = (double)of_code * square / size;
                assert_true(fabs((double)scale - want) <= 0.02 * want + 1e-9);
            }
            coded_free(&c);
            rows_free(&r);
        }
    }
}

/* Part of the K nearest that is among the `keep` nearest by sketches. */
static double recall(const struct coded *c, const struct rows *r, const struct rows *queries,
                     uint32_t keep)
{
    size_t stride = qv__quant_sketch_bytes(c->z);
    uint8_t *sketches = calloc(r->n, stride);
    const uint8_t **at = calloc(r->n, sizeof *at);
    float *dists = calloc(r->n, sizeof *dists);
    struct hit *by_vector = calloc(r->n, sizeof *by_vector),
               *by_sketch = calloc(r->n, sizeof *by_sketch);
    uint32_t found = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        qv__quant_sketch(c->z, code_at(c, i), sketches + i * stride);
        at[i] = sketches + i * stride;
    }
    for (uint32_t q = 0; q < QUERIES; q++) {
        qv__quant_query_set(c->q, row(queries, q));
        qv__quant_sketch_gather(c->q, at, r->n, dists);
        for (uint32_t i = 0; i < r->n; i++) {
            by_vector[i] =
                (struct hit){exact(r->run.metric, row(queries, q), row(r, i), r->run.dim), i};
            by_sketch[i] = (struct hit){(double)dists[i], i};
        }
        qsort(by_vector, r->n, sizeof *by_vector, by_dist);
        qsort(by_sketch, r->n, sizeof *by_sketch, by_dist);
        for (uint32_t i = 0; i < K; i++) {
            for (uint32_t k = 0; k < keep; k++) {
                found += by_vector[i].ord == by_sketch[k].ord;
            }
        }
    }
    free(sketches);
    free(at);
    free(dists);
    free(by_vector);
    free(by_sketch);
    return (double)found / (K * QUERIES);
}

static void test_nearest_are_near(void **state)
{
    (void)state;
    for (size_t p = 0; p < ALL_PARAMS; p++) {
        for (size_t m = 0; m < sizeof all_metrics && has_sketch(&all_params[p]); m++) {
            struct rows r, queries;
            struct coded c;
            rows_sample(&r, "vectors.npy", 4000, all_metrics[m]);
            rows_sample(&queries, "queries.npy", QUERIES, all_metrics[m]);
            coded_make(&c, &all_params[p], &r, qv__simd_best(NULL));
            double found = recall(&c, &r, &queries, 128);
            print_message("kind %u, %u bits, %s: %.4f of the nearest among 128 of 4,000\n",
                          all_params[p].kind, all_params[p].bits, metric_names[m], found);
            assert_true(found >= 0.98);
            coded_free(&c);
            rows_free(&r);
            rows_free(&queries);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_signs),
                                       cmocka_unit_test(test_nearest_are_near)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
