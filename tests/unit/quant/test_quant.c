/* Every quantizer: its distances, bounds and forms, degenerate input, determinism, settings. */
#include "quant_fixture.h"

static void settings_are_checked(void **state)
{
    (void)state;
    static const struct qv__quant_params bad[] = {
        {0, 8, 0, 0},
        {4, 8, 0, 0},
        {QV__QUANT_SCALAR, 0, 0, 0},
        {QV__QUANT_SCALAR, 7, 0, 0},
        {QV__QUANT_SCALAR, 8, 4, 0},
        {QV__QUANT_SCALAR, 4, 3, 0},
        {QV__QUANT_RABITQ, 0, 0, 0},
        {QV__QUANT_RABITQ, 9, 0, 0},
        {QV__QUANT_RABITQ, 3, 4, 0},
        {QV__QUANT_BINARY, 2, 0, 0},
        {QV__QUANT_BINARY, 1, 4, 0},
    };
    struct qv_err err = {0};
    struct rows r;
    struct qv__quant *z;
    struct qv__mem *mem = qv__mem_root("test", 0);
    const struct qv__simd *simd = qv__simd_best(NULL);
    rows_make(&r, 1, 4, QV__L2);
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        assert_int_equal(qv__quant_params_check(&bad[i], &err), QV_EVALIDATION);
        assert_int_equal(qv__quant_train(&bad[i], &r.run, 1, mem, simd, &z, &err), QV_EVALIDATION);
        assert_non_null(strstr(err.message, "quantizer"));
    }
    static const uint8_t metrics[] = {QV__L1, QV__HAMMING, 99};
    for (size_t i = 0; i < QV_ARRAY_LEN(metrics); i++) {
        r.run.metric = metrics[i];
        assert_int_equal(qv__quant_train(&all_params[0], &r.run, 1, mem, simd, &z, &err),
                         QV_EUNSUPPORTED);
        assert_non_null(strstr(err.message, "metric"));
    }
    r.run.metric = QV__L2;
    r.run.datatype = QV__BIT;
    assert_int_equal(qv__quant_train(&all_params[0], &r.run, 1, mem, simd, &z, &err),
                     QV_EUNSUPPORTED);
    r.run.datatype = QV__F32;
    r.run.dim = 0;
    assert_int_equal(qv__quant_train(&all_params[0], &r.run, 0, mem, simd, &z, &err),
                     QV_EVALIDATION);
    rows_free(&r);
    qv__mem_close(mem);
}

static void codes_have_the_size_they_say(void **state)
{
    (void)state;
    static const struct {
        uint32_t which, dim, code, rest;
    } want[] = {
        {0, 200, 200 + 12, 0}, {0, 100, 100 + 12, 0},   {1, 384, 192 + 12, 0}, {0, 384, 384, 0},
        {0, 128, 128, 0},      {0, 117, 117, 0},        {0, 116, 116 + 12, 0}, {0, 64, 64, 0},
        {0, 63, 63 + 12, 0},   {2, 384, 204, 192 + 12}, {3, 384, 48 + 12, 0},  {5, 100, 48 + 12, 0},
        {9, 64, 56 + 12, 0},   {12, 384, 48, 0},        {12, 1, 8, 0},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(want); i++) {
        struct rows r;
        struct coded c;
        rows_clustered(&r, 3, want[i].dim, QV__L2, 1);
        coded_make(&c, &all_params[want[i].which], &r, qv__simd_best(NULL));
        assert_int_equal(c.info.code_bytes, want[i].code);
        assert_int_equal(c.info.rest_bytes, want[i].rest);
        assert_int_equal(qv__quant_code_bytes(c.z), want[i].code);
        assert_int_equal(qv__quant_rest_bytes(c.z), want[i].rest);
        assert_int_equal(c.info.bits, all_params[want[i].which].bits);
        assert_true(c.info.memory_bytes >= want[i].dim * sizeof(float));
        coded_free(&c);
        rows_free(&r);
    }
}

struct tally {
    uint64_t checked, within, within_refined;
    double off2, refined_off2; /* sums of squared errors */
};

static void compare(const struct coded *c, const uint8_t *code, const uint8_t *rest, double want,
                    struct tally *t)
{
    float dist, bound, refined_bound;
    c->q->gather(c->q, &code, 1, &dist, &bound);
    float refined = c->q->refine(c->q, code, rest, &refined_bound);
    assert_true(isfinite(dist) && isfinite(refined));
    if (!c->info.has_bound) {
        assert_true(isinf(bound) && isinf(refined_bound));
        return;
    }
    double off = fabs((double)dist - want), refined_off = fabs((double)refined - want);
    t->checked++;
    t->within += off <= (double)bound;
    t->within_refined += refined_off <= (double)refined_bound;
    t->off2 += off * off;
    t->refined_off2 += refined_off * refined_off;
}

/* Bounds as promised and rests that refine, on one set; adds to *all. A bound of a rotation holds
 * for a share of rotations, and the rows of one set share its luck, those of few dimensions most.
 */
static void check_distances(const struct coded *c, const struct rows *r, const struct rows *queries,
                            struct tally *all)
{
    uint32_t dim = r->run.dim;
    struct tally t = {0};
    for (uint32_t j = 0; j < queries->n; j++) {
        qv__quant_query_set(c->q, row(queries, j));
        for (uint32_t i = 0; i < r->n; i++) {
            compare(c, code_at(c, i), c->rests + i * (size_t)c->info.rest_bytes,
                    exact(r->run.metric, row(queries, j), row(r, i), dim), &t);
        }
    }
    double least = c->info.confidence < 1.0f ? 0.95 : 1.0;
    assert_true((double)t.within >= least * (double)t.checked);
    assert_true((double)t.within_refined >= least * (double)t.checked);
    assert_true(c->info.rest_bytes == 0 || t.refined_off2 < t.off2 / 8 || dim < 64);
    all->checked += t.checked;
    all->within += t.within;
    all->within_refined += t.within_refined;
}

static void distances_keep_their_bounds(void **state)
{
    (void)state;
    static const uint32_t dims[] = {1, 2, 3, 7, 63, 64, 65, 100, 128, 200, 384, 1000, 4096};
    static struct tally all[ALL_PARAMS];
    for (size_t d = 0; d < QV_ARRAY_LEN(dims); d++) {
        for (size_t m = 0; m < QV_ARRAY_LEN(all_metrics); m++) {
            struct rows r, queries;
            rows_clustered(&r, dims[d] > 1000 ? 40 : 150, dims[d], all_metrics[m], 7);
            rows_clustered(&queries, 5, dims[d], all_metrics[m], 8);
            for (size_t i = 0; i < ALL_PARAMS; i++) {
                struct coded c;
                coded_make(&c, &all_params[i], &r, qv__simd_best(NULL));
                check_distances(&c, &r, &queries, &all[i]);
                assert_true(d > 0 || m > 0 || c.info.has_bound == (all[i].checked > 0));
                coded_free(&c);
            }
            rows_free(&r);
            rows_free(&queries);
        }
    }
    for (size_t i = 0; i < ALL_PARAMS; i++) {
        assert_true((double)all[i].within >= 0.99 * (double)all[i].checked);
        assert_true((double)all[i].within_refined >= 0.99 * (double)all[i].checked);
    }
}

static bool same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

/* Alone, in a run, by address and by ordinal: the same to the last bit, for every instruction set.
 */
static void forms_agree(void **state)
{
    (void)state;
    enum { N = 77 };
    static const uint32_t dims[] = {1, 17, 64, 65, 117, 128, 130, 384, 700};
    for (size_t d = 0; d < QV_ARRAY_LEN(dims); d++) {
        struct rows r;
        rows_clustered(&r, N, dims[d], all_metrics[d % 3], 3);
        for (size_t i = 0; i < ALL_PARAMS; i++) {
            float first[N];
            bool has_first = false;
            for (int isa = 0; isa < QV__ISAS; isa++) {
                const struct qv__simd *simd = qv__simd_table((enum qv__isa)isa);
                if (simd == NULL) {
                    continue;
                }
                struct coded c;
                const uint8_t *at[N];
                uint32_t ords[N];
                float gathered[N], run[N], by_ord[N], b1[N], b2[N], b3[N];
                coded_make(&c, &all_params[i], &r, simd);
                for (uint32_t k = 0; k < N; k++) {
                    ords[k] = (k * 31) % N;
                    at[k] = code_at(&c, ords[k]);
                }
                qv__quant_query_set_code(c.q, code_at(&c, 0)); /* no rounding of its own */
                c.q->gather(c.q, at, N, gathered, b1);
                c.q->run(c.q, c.codes, c.stride, N, run, b2);
                qv__quant_gather_ords(c.q, c.codes, c.stride, ords, N, by_ord, b3);
                for (uint32_t k = 0; k < N; k++) {
                    float one = qv__quant_dist(c.q, at[k]);
                    assert_true(same_bits(gathered[k], one) && same_bits(by_ord[k], one));
                    assert_true(same_bits(run[ords[k]], one));
                    assert_true(same_bits(b1[k], b3[k]) && same_bits(b2[ords[k]], b1[k]));
                    assert_true(!has_first || same_bits(first[k], one));
                    first[k] = one;
                }
                has_first = true;
                coded_free(&c);
            }
        }
        rows_free(&r);
    }
}

/* Distances between codes: near those of a query with the vector itself, and the same both ways. */
static void codes_compare_with_codes(void **state)
{
    (void)state;
    enum { N = 60, DIM = 200 };
    for (size_t m = 0; m < QV_ARRAY_LEN(all_metrics); m++) {
        struct rows r;
        rows_clustered(&r, N, DIM, all_metrics[m], 5);
        for (size_t i = 0; i < ALL_PARAMS; i++) {
            struct coded c;
            coded_make(&c, &all_params[i], &r, qv__simd_best(NULL));
            static float dist[N][N], bound[N][N];
            uint64_t within = 0;
            for (uint32_t a = 0; a < N; a++) {
                qv__quant_query_set_code(c.q, code_at(&c, a));
                c.q->run(c.q, c.codes, c.stride, N, dist[a], bound[a]);
                for (uint32_t b = 0; b < N; b++) {
                    double want = exact(all_metrics[m], row(&r, a), row(&r, b), DIM);
                    within += a != b && fabs((double)dist[a][b] - want) <= (double)bound[a][b];
                }
            }
            assert_true((double)within >= (double)c.info.confidence * N * (N - 1));
            for (uint32_t a = 0; a < N && all_params[i].bits < 8; a++) {
                for (uint32_t b = 0; b < a; b++) {
                    float size = fabsf(dist[a][b]) + fabsf(dist[a][a]) + fabsf(dist[b][b]);
                    assert_true(fabsf(dist[a][b] - dist[b][a]) <= 1e-5f * (size + 1.0f) * 10.0f);
                }
            }
            coded_free(&c);
        }
        rows_free(&r);
    }
}

static void check_finite_all(const struct rows *r, const float *query)
{
    for (size_t i = 0; i < ALL_PARAMS; i++) {
        struct coded c;
        coded_make(&c, &all_params[i], r, qv__simd_best(NULL));
        qv__quant_query_set(c.q, query);
        for (uint32_t k = 0; k < r->n; k++) {
            float bound = 0.0f, dist = qv__quant_dist(c.q, code_at(&c, k));
            float refined =
                c.q->refine(c.q, code_at(&c, k), c.rests + k * (size_t)c.info.rest_bytes, &bound);
            assert_false(isnan(dist) || isnan(refined) || isnan(bound));
            assert_true(same_bits(dist, qv__quant_dist(c.q, code_at(&c, 0))));
        }
        qv__quant_query_set_code(c.q, r->n > 0 ? code_at(&c, 0) : c.codes);
        float self = qv__quant_dist(c.q, c.codes);
        assert_false(isnan(self));
        coded_free(&c);
    }
}

/* All vectors equal (then every centred vector is zero, or rounding), all zero, one, none. */
static void degenerate_sets(void **state)
{
    (void)state;
    static const uint32_t dims[] = {1, 5, 64, 300, 4096};
    static const float values[] = {0.0f, 1.0f, -3.5f, 1e-38f, 1e-42f, 1e15f};
    for (size_t d = 0; d < QV_ARRAY_LEN(dims); d++) {
        for (size_t m = 0; m < QV_ARRAY_LEN(all_metrics); m++) {
            for (uint32_t n = 0; n <= 4; n += n == 0 ? 1 : 3) {
                for (size_t v = 0; v < QV_ARRAY_LEN(values); v++) {
                    struct rows r;
                    rows_make(&r, n, dims[d], all_metrics[m]);
                    for (size_t i = 0; i < (size_t)n * dims[d]; i++) {
                        r.v[i] = values[v];
                    }
                    rows_normalize(&r);
                    float *query = calloc(dims[d], sizeof *query);
                    check_finite_all(&r, query);
                    query[0] = 1.0f;
                    check_finite_all(&r, query);
                    free(query);
                    rows_free(&r);
                }
            }
        }
    }
}

/* A code of an equal vector is at distance about zero (L2), of a zero vector at zero (cosine). */
static void equal_vectors_are_near(void **state)
{
    (void)state;
    struct rows r;
    rows_clustered(&r, 50, 96, QV__L2, 9);
    memset(row(&r, 7), 0, 96 * sizeof(float));
    struct coded c;
    coded_make(&c, &all_params[0], &r, qv__simd_best(NULL));
    for (uint32_t i = 0; i < r.n; i++) {
        qv__quant_query_set(c.q, row(&r, i));
        double size = exact(QV__L2, row(&r, i), row(&r, (i + 1) % 50), 96);
        assert_true(fabs((double)qv__quant_dist(c.q, code_at(&c, i))) < 0.01 * size);
    }
    coded_free(&c);
    r.run.metric = QV__COSINE;
    rows_normalize(&r);
    coded_make(&c, &all_params[0], &r, qv__simd_best(NULL));
    qv__quant_query_set(c.q, row(&r, 1));
    assert_true(fabsf(qv__quant_dist(c.q, code_at(&c, 7))) < 0.02f);
    assert_true(fabsf(qv__quant_dist(c.q, code_at(&c, 1)) + 1.0f) < 0.02f);
    coded_free(&c);
    rows_free(&r);
}

/* Lengths at the ends of what a column takes. */
static void extreme_lengths(void **state)
{
    (void)state;
    static const float sizes[] = {1e-30f, 1e-20f, 1e10f, 1e17f};
    for (size_t s = 0; s < QV_ARRAY_LEN(sizes); s++) {
        for (size_t m = 0; m < QV_ARRAY_LEN(all_metrics); m++) {
            struct rows r;
            rows_clustered(&r, 30, 100, all_metrics[m], 11);
            for (size_t i = 0; i < (size_t)r.n * 100 && all_metrics[m] != QV__COSINE; i++) {
                r.v[i] *= sizes[s];
            }
            for (size_t i = 0; i < ALL_PARAMS; i++) {
                struct coded c;
                coded_make(&c, &all_params[i], &r, qv__simd_best(NULL));
                for (uint32_t k = 0; k < r.n; k++) {
                    float dist, bound;
                    const uint8_t *code = code_at(&c, k);
                    qv__quant_query_set(c.q, row(&r, (k + 1) % r.n));
                    c.q->gather(c.q, &code, 1, &dist, &bound);
                    assert_false(isnan(dist) || isnan(bound));
                }
                coded_free(&c);
            }
            rows_free(&r);
        }
    }
}

static void training_is_deterministic(void **state)
{
    (void)state;
    struct rows r;
    rows_clustered(&r, 300, 100, QV__L2, 13);
    for (size_t i = 0; i < ALL_PARAMS; i++) {
        struct coded a, b, other;
        struct qv__quant_params p = all_params[i];
        coded_make(&a, &p, &r, qv__simd_best(NULL));
        coded_make(&b, &p, &r, qv__simd_table(QV__ISA_SCALAR));
        p.seed++;
        coded_make(&other, &p, &r, qv__simd_best(NULL));
        assert_memory_equal(a.codes, b.codes, r.n * a.stride);
        assert_memory_equal(a.rests, b.rests, (size_t)r.n * a.info.rest_bytes);
        if (p.kind == QV__QUANT_RABITQ) {
            assert_true(memcmp(a.codes, other.codes, r.n * a.stride) != 0);
        }
        coded_free(&a);
        coded_free(&b);
        coded_free(&other);
    }
    rows_free(&r);
}

/* Whatever allocation fails, the answer is QV_ENOMEM and nothing is left behind. */
static void memory_runs_out(void **state)
{
    (void)state;
    struct rows r;
    rows_clustered(&r, 20, 70, QV__DOT, 15);
    for (size_t i = 0; i < ALL_PARAMS; i++) {
        for (uint64_t nth = 1;; nth++) {
            struct qv_err err = {0};
            struct qv__mem *mem = qv__mem_root("test", 0);
            struct qv__quant *z = NULL;
            struct qv__quant_encoder *e = NULL;
            struct qv__quant_query *q = NULL;
            struct qv__buf b;
            qv__buf_init(&b, mem);
            qv__mem_fail_at(mem, nth, false);
            qv_status st =
                qv__quant_train(&all_params[i], &r.run, r.n, mem, qv__simd_best(NULL), &z, &err);
            st = st ? st : qv__quant_encoder_new(z, mem, &e, &err);
            st = st ? st : qv__quant_query_new(z, mem, &q, &err);
            st = st ? st : qv__quant_save(z, &b, &err);
            qv__quant_query_free(q);
            qv__quant_encoder_free(e);
            qv__quant_free(z);
            qv__buf_free(&b);
            qv__mem_close(mem);
            assert_true(st == QV_OK || st == QV_ENOMEM);
            if (st == QV_OK) {
                assert_true(nth > 5);
                break;
            }
        }
    }
    rows_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(codes_have_the_size_they_say),
        cmocka_unit_test(distances_keep_their_bounds),
        cmocka_unit_test(forms_agree),
        cmocka_unit_test(codes_compare_with_codes),
        cmocka_unit_test(degenerate_sets),
        cmocka_unit_test(equal_vectors_are_near),
        cmocka_unit_test(extreme_lengths),
        cmocka_unit_test(training_is_deterministic),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
