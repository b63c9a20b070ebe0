/* Every kernel of every table this machine has, the choice of the table, and the finite check. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "simd/prefetch.h"
#include "simd_cases.h"

static void run_on_all_tables(void **state)
{
    size_t which = (size_t)(uintptr_t)*state;
    for (int isa = 0; isa < QV__ISAS; isa++) {
        const struct qv__simd *s = qv__simd_table((enum qv__isa)isa);
        if (s != NULL) {
            assert_true(simd_case_run(which, s));
        }
    }
}

static void tables_are_whole(void **state)
{
    (void)state;
    static const char *const names[QV__ISAS] = {"scalar", "avx2", "avx512", "neon"};
    unsigned found = 0;
    for (int isa = 0; isa < QV__ISAS; isa++) {
        const struct qv__simd *s = qv__simd_table((enum qv__isa)isa);
        if (s == NULL) {
            print_message("this machine has no %s\n", names[isa]);
            continue;
        }
        found++;
        assert_int_equal(s->isa, isa);
        assert_string_equal(s->name, names[isa]);
        assert_true(s->l2 && s->ip && s->l1 && s->l2_many && s->ip_many && s->l1_many);
        assert_true(s->l2_gather && s->ip_gather && s->l1_gather && s->norm2 && s->scale);
    }
    assert_true(found >= 1);
    assert_non_null(qv__simd_table(QV__ISA_SCALAR));
    assert_null(qv__simd_table(QV__ISAS));
    assert_null(qv__simd_table((enum qv__isa)99));
#if defined(__x86_64__)
    assert_null(qv__simd_table(QV__ISA_NEON));
    if (qv__simd_table(QV__ISA_AVX512) != NULL) {
        assert_non_null(qv__simd_table(QV__ISA_AVX2));
    }
#endif
}

/* Equal vectors in one query agree over instruction sets up to rounding. */
static void tables_agree(void **state)
{
    (void)state;
    static float a[DIM_MAX], b[DIM_MAX];
    const struct qv__simd *ref = qv__simd_table(QV__ISA_SCALAR);
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    for (unsigned round = 0; round < 200; round++) {
        size_t dim = 1 + qv__rng_below(&rng, DIM_MAX);
        fill_gauss(&rng, a, dim);
        fill_gauss(&rng, b, dim);
        float norms = sqrtf(ref->norm2(a, dim) * ref->norm2(b, dim));
        for (int isa = 0; isa < QV__ISAS; isa++) {
            const struct qv__simd *s = qv__simd_table((enum qv__isa)isa);
            if (s == NULL) {
                continue;
            }
            assert_true(fabsf(s->l2(a, b, dim) / ref->l2(a, b, dim) - 1.0f) < 2e-6f);
            assert_true(fabsf(s->l1(a, b, dim) / ref->l1(a, b, dim) - 1.0f) < 2e-6f);
            assert_true(fabsf(s->ip(a, b, dim) - ref->ip(a, b, dim)) < 2e-6f * norms);
        }
    }
}

static void environment_forces_a_table(void **state)
{
    (void)state;
    static const char *const names[QV__ISAS] = {"scalar", "avx2", "avx512", "neon"};
    const char *refused = "untouched";

    unsetenv("QUIVER_SIMD");
    const struct qv__simd *best = qv__simd_best(&refused);
    assert_non_null(best);
    assert_null(refused);
    assert_ptr_equal(best, qv__simd_best(NULL));
    for (int isa = 0; isa < QV__ISAS; isa++) {
        const struct qv__simd *s = qv__simd_table((enum qv__isa)isa);
        assert_int_equal(setenv("QUIVER_SIMD", names[isa], 1), 0);
        refused = "untouched";
        if (s != NULL) {
            assert_ptr_equal(qv__simd_best(&refused), s);
            assert_null(refused);
        } else {
            assert_ptr_equal(qv__simd_best(&refused), best);
            assert_string_equal(refused, names[isa]);
        }
    }
    static const char *const unknown[] = {"sse9", "AVX2", "avx", "scalar ", " ", "avx5122"};
    for (size_t i = 0; i < QV_ARRAY_LEN(unknown); i++) {
        assert_int_equal(setenv("QUIVER_SIMD", unknown[i], 1), 0);
        assert_ptr_equal(qv__simd_best(&refused), best);
        assert_string_equal(refused, unknown[i]);
        assert_ptr_equal(qv__simd_best(NULL), best);
    }
    assert_int_equal(setenv("QUIVER_SIMD", "", 1), 0); /* set but empty: nothing was asked for */
    assert_ptr_equal(qv__simd_best(&refused), best);
    assert_null(refused);
    unsetenv("QUIVER_SIMD");
#if defined(__x86_64__)
    enum qv__isa want = qv__simd_table(QV__ISA_AVX512) ? QV__ISA_AVX512
                        : qv__simd_table(QV__ISA_AVX2) ? QV__ISA_AVX2
                                                       : QV__ISA_SCALAR;
    assert_int_equal(best->isa, want);
#endif
}

static void finite_sees_every_element(void **state)
{
    (void)state;
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, FLT_MAX, 1.9e19f, -1.9e19f};
    float v[70] = {0};
    for (size_t dim = 0; dim <= QV_ARRAY_LEN(v); dim++) {
        for (size_t i = 0; i < dim; i++) {
            v[i] = (float)i - 30.0f;
        }
        assert_true(qv__simd_finite(v, dim));
        for (size_t at = 0; at < dim; at++) {
            float was = v[at];
            for (size_t k = 0; k < QV_ARRAY_LEN(bad); k++) {
                v[at] = bad[k];
                assert_false(qv__simd_finite(v, dim));
            }
            v[at] = was;
        }
    }
}

/* What passes has a finite norm with every table, whatever the order of its sums; the limit is
 * just below the largest float and not far below it. */
static void finite_bounds_the_norm(void **state)
{
    (void)state;
    enum { LONG = 4096 };
    static float v[LONG];
    static const size_t dims[] = {1, 2, 3, 5, 17, 100, 768, LONG};
    for (size_t d = 0; d < QV_ARRAY_LEN(dims); d++) {
        size_t dim = dims[d];
        double limit = sqrt((double)FLT_MAX / (double)dim);
        for (int k = -40; k <= 40; k++) {
            float x = (float)(limit * (1.0 + k * 1e-4));
            for (size_t i = 0; i < dim; i++) {
                v[i] = (i & 1) ? x : -x;
            }
            bool finite = qv__simd_finite(v, dim);
            assert_true(k > -10 || finite);
            assert_true(k < 1 || !finite);
            for (int isa = 0; finite && isa < QV__ISAS; isa++) {
                const struct qv__simd *s = qv__simd_table((enum qv__isa)isa);
                assert_true(s == NULL || isfinite(s->norm2(v, dim)));
            }
        }
    }
    v[0] = FLT_TRUE_MIN;
    v[1] = -0.0f;
    assert_true(qv__simd_finite(v, 2));
    assert_true(qv__simd_finite(NULL, 0));
}

static void prefetch_takes_any_address(void **state)
{
    (void)state;
    static const char c[200];
    volatile uintptr_t nowhere[] = {0, 1, UINTPTR_MAX, UINTPTR_MAX / 2};
    for (size_t i = 0; i < QV_ARRAY_LEN(nowhere); i++) {
        qv__prefetch((const void *)nowhere[i]);
    }
    qv__prefetch_span(NULL, 0);
    qv__prefetch_span(c, 1);
    qv__prefetch_span(c + 63, sizeof(c) - 63);
}

int main(void)
{
    print_message("seed %u\n", SEED);
    struct CMUnitTest tests[SIMD_CASES + 6] = {
        cmocka_unit_test(tables_are_whole),           cmocka_unit_test(tables_agree),
        cmocka_unit_test(environment_forces_a_table), cmocka_unit_test(finite_sees_every_element),
        cmocka_unit_test(finite_bounds_the_norm),     cmocka_unit_test(prefetch_takes_any_address),
    };
    for (size_t i = 0; i < SIMD_CASES; i++) {
        tests[6 + i] = (struct CMUnitTest){.name = simd_cases[i].name,
                                           .test_func = run_on_all_tables,
                                           .initial_state = (void *)(uintptr_t)i};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
