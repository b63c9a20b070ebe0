/* Every kernel on codes of every table this machine has, and the choice of the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codes_cases.h"

static void run_on_all_tables(void **state)
{
    size_t which = (size_t)(uintptr_t)*state;
    for (int isa = 0; isa < QV__CODES_ISAS; isa++) {
        const struct qv__codes *k = qv__codes_table((enum qv__codes_isa)isa);
        if (k != NULL) {
            assert_true(code_case_run(which, k));
        }
    }
}

static void tables_are_whole(void **state)
{
    (void)state;
    static const char *const names[QV__CODES_ISAS] = {"scalar", "avx2", "avx512", "neon",
                                                      "neondot"};
    for (int isa = 0; isa < QV__CODES_ISAS; isa++) {
        const struct qv__codes *k = qv__codes_table((enum qv__codes_isa)isa);
        if (k == NULL) {
            print_message("this machine has no %s\n", names[isa]);
            continue;
        }
        assert_string_equal(k->name, names[isa]);
        assert_true(k->hamming && k->lookup && k->near && k->low_bits);
        for (int w = 0; w < QV__WIDTHS; w++) {
            assert_true(k->many[w] && k->gather[w]);
        }
    }
    assert_non_null(qv__codes_table(QV__CODES_SCALAR));
    assert_null(qv__codes_table(QV__CODES_ISAS));
    assert_null(qv__codes_table((enum qv__codes_isa)99));
}

/* A table never stands for more than the one of distances it is chosen for. */
static void the_best_is_of_the_same_class(void **state)
{
    (void)state;
    const struct qv__simd *scalar = qv__simd_table(QV__ISA_SCALAR);
    const struct qv__simd *avx2 = qv__simd_table(QV__ISA_AVX2);
    const struct qv__simd *avx512 = qv__simd_table(QV__ISA_AVX512);
    assert_ptr_equal(qv__codes_best(scalar), qv__codes_table(QV__CODES_SCALAR));
    if (avx2 != NULL) {
        assert_ptr_equal(qv__codes_best(avx2), qv__codes_table(QV__CODES_AVX2));
    }
    if (avx512 != NULL) {
        const struct qv__codes *bytes = qv__codes_table(QV__CODES_AVX512);
        assert_ptr_equal(qv__codes_best(avx512),
                         bytes != NULL ? bytes : qv__codes_table(QV__CODES_AVX2));
    }
}

int main(void)
{
    print_message("seed %u\n", SEED);
    struct CMUnitTest tests[CODE_CASES + 2] = {
        cmocka_unit_test(tables_are_whole),
        cmocka_unit_test(the_best_is_of_the_same_class),
    };
    for (size_t i = 0; i < CODE_CASES; i++) {
        tests[2 + i] = (struct CMUnitTest){.name = code_cases[i].name,
                                           .test_func = run_on_all_tables,
                                           .initial_state = (void *)(uintptr_t)i};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
