/* test_rng.c: the generators against their reference outputs and their moments. */
#include "base_test.h"

#include <math.h>

#include "base/rng.h"

/* splitmix64 and xoshiro256** of the authors' reference code, seed 1234567. */
static void matches_the_reference(void **state)
{
    (void)state;
    uint64_t x = 1234567;
    static const uint64_t splitmix[] = {6457827717110365317ull, 3203168211198807973ull,
                                        9817491932198370423ull, 4593380528125082431ull,
                                        16408922859458223821ull};
    for (size_t i = 0; i < QV_ARRAY_LEN(splitmix); i++) {
        assert_true(qv__mix64(x) == splitmix[i]);
        x += 0x9e3779b97f4a7c15ull;
    }
    struct qv__rng r;
    qv__rng_seed(&r, 1234567);
    for (size_t i = 0; i < 4; i++) {
        assert_true(r.s[i] == splitmix[i]);
    }
    /* State 1, 2, 3, 4 as in the test of rand_xoshiro, from the C original. */
    static const uint64_t xoshiro[] = {11520ull,
                                       0ull,
                                       1509978240ull,
                                       1215971899390074240ull,
                                       1216172134540287360ull,
                                       607988272756665600ull,
                                       16172922978634559625ull,
                                       8476171486693032832ull,
                                       10595114339597558777ull,
                                       2904607092377533576ull};
    r = (struct qv__rng){{1, 2, 3, 4}};
    for (size_t i = 0; i < QV_ARRAY_LEN(xoshiro); i++) {
        assert_true(qv__rng_u64(&r) == xoshiro[i]);
    }
}

static void equal_seeds_give_equal_streams(void **state)
{
    (void)state;
    struct qv__rng a, b, c;
    qv__rng_seed(&a, 5);
    qv__rng_seed(&b, 5);
    qv__rng_seed(&c, 6);
    size_t n_equal = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t v = qv__rng_u64(&a);
        assert_true(v == qv__rng_u64(&b));
        n_equal += v == qv__rng_u64(&c);
    }
    assert_int_equal(n_equal, 0);
}

static void below_stays_below_and_is_even(void **state)
{
    (void)state;
    struct qv__rng r;
    qv__rng_seed(&r, 11);
    static const uint64_t ns[] = {1, 2, 3, 10, 1ull << 32, (1ull << 63) + 1, UINT64_MAX};
    for (size_t i = 0; i < QV_ARRAY_LEN(ns); i++) {
        for (int k = 0; k < 1000; k++) {
            assert_true(qv__rng_below(&r, ns[i]) < ns[i]);
        }
    }
    unsigned bins[7] = {0};
    for (int i = 0; i < 70000; i++) {
        bins[qv__rng_below(&r, 7)]++;
    }
    for (size_t i = 0; i < 7; i++) {
        assert_in_range(bins[i], 9500, 10500); /* 5 standard deviations */
    }
    /* Without rejection the multiples of 3 would come up half of the time, not a third. */
    uint64_t n = 3ull << 62;
    int n_multiples = 0;
    for (int i = 0; i < 30000; i++) {
        n_multiples += qv__rng_below(&r, n) % 3 == 0;
    }
    assert_in_range(n_multiples, 9600, 10400);
}

static void reals_have_the_right_moments(void **state)
{
    (void)state;
    struct qv__rng r;
    qv__rng_seed(&r, 12);
    enum { N = 100000 };
    double sum = 0, min = 1, max = 0;
    for (int i = 0; i < N; i++) {
        double v = qv__rng_f64(&r);
        assert_true(v >= 0 && v < 1);
        sum += v;
        min = fmin(min, v);
        max = fmax(max, v);
    }
    assert_true(fabs(sum / N - 0.5) < 0.005 && min < 0.001 && max > 0.999);
    double s1 = 0, s2 = 0, s3 = 0, s4 = 0;
    for (int i = 0; i < N; i++) {
        double v = qv__rng_gauss(&r);
        assert_true(isfinite(v));
        s1 += v;
        s2 += v * v;
        s3 += v * v * v;
        s4 += v * v * v * v;
    }
    assert_true(fabs(s1 / N) < 0.02);
    assert_true(fabs(s2 / N - 1) < 0.03);
    assert_true(fabs(s3 / N) < 0.06);
    assert_true(fabs(s4 / N - 3) < 0.2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_the_reference),
        cmocka_unit_test(equal_seeds_give_equal_streams),
        cmocka_unit_test(below_stays_below_and_is_even),
        cmocka_unit_test(reals_have_the_right_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
