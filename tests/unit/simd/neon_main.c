/* neon_main.c: the cases of *_cases.h without a test framework, for tools/check_neon.sh, which
 * builds this for another processor and runs it under an emulator. */
#include "codes_cases.h"
#include "narrow_cases.h"

int main(void)
{
    unsigned passed = 0, failed = 0;
    for (int isa = 0; isa < QV__ISAS; isa++) {
        const struct qv__simd *s = qv__simd_table((enum qv__isa)isa);
        if (s == NULL) {
            continue;
        }
        for (size_t i = 0; i < SIMD_CASES; i++) {
            bool ok = simd_case_run(i, s);
            printf("%s: %s, %s\n", ok ? "ok" : "FAILED", s->name, simd_cases[i].name);
            passed += ok;
            failed += !ok;
        }
    }
    for (int isa = 0; isa < QV__ISAS; isa++) {
        const struct qv__simd *s = qv__simd_table((enum qv__isa)isa);
        for (size_t i = 0; s != NULL && i < NARROW_CASES; i++) {
            bool ok = narrow_case_run(i, qv__narrow_of(s));
            printf("%s: %s, %s\n", ok ? "ok" : "FAILED", s->name, narrow_cases[i].name);
            passed += ok;
            failed += !ok;
        }
    }
    for (int isa = 0; isa < QV__CODES_ISAS; isa++) {
        const struct qv__codes *k = qv__codes_table((enum qv__codes_isa)isa);
        if (k == NULL) {
            continue;
        }
        for (size_t i = 0; i < CODE_CASES; i++) {
            bool ok = code_case_run(i, k);
            printf("%s: %s, %s\n", ok ? "ok" : "FAILED", k->name, code_cases[i].name);
            passed += ok;
            failed += !ok;
        }
    }
#if defined(__aarch64__)
    bool dot = qv__codes_table(QV__CODES_NEONDOT) != NULL;
    printf("%s: the emulator has a dot product\n", dot ? "ok" : "FAILED");
    passed += dot;
    failed += !dot;
    bool best = qv__simd_best(NULL)->isa == QV__ISA_NEON;
    printf("%s: neon is the best table here\n", best ? "ok" : "FAILED");
    passed += best;
    failed += !best;
#endif
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
