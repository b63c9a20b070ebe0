/* Every kernel on half floats and bytes of every table this machine has, and the conversion of half
 * floats, whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "narrow_cases.h"

static void run_on_all_tables(void **state)
{
    size_t which = (size_t)(uintptr_t)*state;
    for (int isa = 0; isa < QV__ISAS; isa++) {
        const struct qv__simd *s = qv__simd_table((enum qv__isa)isa);
        if (s != NULL) {
            assert_string_equal(qv__narrow_of(s)->name, s->name);
            assert_true(narrow_case_run(which, qv__narrow_of(s)));
        }
    }
}

/* Each half float against its definition. */
static void half_floats_mean_what_they_say(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        int exponent = (int)(h >> 10 & 31), m = (int)(h & 1023);
        double sign = h & 0x8000 ? -1.0 : 1.0;
        float got = qv__half_to_float((uint16_t)h);
        if (exponent == 31) {
            assert_true(m ? isnan(got) : isinf(got) && (got > 0) == (sign > 0));
        } else {
            double want = exponent ? ldexp(1024 + m, exponent - 25) : ldexp(m, -24);
            assert_true((double)got == sign * want && (bool)signbit(got) == (sign < 0));
        }
        uint16_t back = qv__half_of_float(got);
        assert_true(isnan(got) ? isnan(qv__half_to_float(back)) : back == h);
    }
}

/* Between two neighbours the nearer, and the even one in the middle. */
static void rounding_is_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7bff; h++) {
        float low = qv__half_to_float((uint16_t)h), high = qv__half_to_float((uint16_t)(h + 1));
        float middle = 0.5f * (low + high); /* exact: one bit more */
        uint16_t even = (uint16_t)(h % 2 ? h + 1 : h);
        assert_int_equal(qv__half_of_float(middle), even);
        assert_int_equal(qv__half_of_float(-middle), even | 0x8000);
        assert_int_equal(qv__half_of_float(nextafterf(middle, 0.0f)), h);
        assert_int_equal(qv__half_of_float(nextafterf(middle, 1e9f)), h + 1);
    }
    assert_int_equal(qv__half_of_float(65519.0f), 0x7bff);
    assert_int_equal(qv__half_of_float(65520.0f), 0x7c00);
    assert_int_equal(qv__half_of_float(-FLT_MAX), 0xfc00);
    assert_int_equal(qv__half_of_float(FLT_TRUE_MIN), 0);
    assert_int_equal(qv__half_of_float(-1e-30f), 0x8000);
}

int main(void)
{
    print_message("seed %u\n", SEED);
    struct CMUnitTest tests[NARROW_CASES + 2] = {
        cmocka_unit_test(half_floats_mean_what_they_say),
        cmocka_unit_test(rounding_is_to_nearest_even),
    };
    for (size_t i = 0; i < NARROW_CASES; i++) {
        tests[2 + i] = (struct CMUnitTest){.name = narrow_cases[i].name,
                                           .test_func = run_on_all_tables,
                                           .initial_state = (void *)(uintptr_t)i};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
