/* codes.c: which kernels on codes this processor can run.
 *
 * Asked anew at each call, as in simd.c, and without state. The tables are finer than those of
 * simd.h (byte products came later than AVX-512 and later than NEON), so a table of simd.h stands
 * for a class of them: forcing "avx2" there forces it here. */
#include "simd/codes_tables.h"

#if defined(__x86_64__)
static bool has_avx512_bytes(void)
{
    return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bitalg") &&
           __builtin_cpu_supports("avx512vpopcntdq");
}
#endif

#if defined(__aarch64__)
#include <sys/auxv.h>

static bool has_dot_product(void)
{
    const unsigned long asimd_dp = 1ul << 20; /* HWCAP_ASIMDDP, which older headers lack */
    return (getauxval(AT_HWCAP) & asimd_dp) != 0;
}
#endif

const struct qv__codes *qv__codes_table(enum qv__codes_isa isa)
{
    switch (isa) {
    case QV__CODES_SCALAR:
        return &qv__codes_scalar;
#if defined(__x86_64__)
    case QV__CODES_AVX2:
        return qv__simd_table(QV__ISA_AVX2) != NULL ? &qv__codes_avx2 : NULL;
    case QV__CODES_AVX512:
        return qv__simd_table(QV__ISA_AVX512) != NULL && has_avx512_bytes() ? &qv__codes_avx512
                                                                            : NULL;
    case QV__CODES_NEON:
    case QV__CODES_NEONDOT:
        return NULL;
#elif defined(__aarch64__)
    case QV__CODES_NEON:
        return &qv__codes_neon;
    case QV__CODES_NEONDOT:
        return has_dot_product() ? &qv__codes_neondot : NULL;
    case QV__CODES_AVX2:
    case QV__CODES_AVX512:
        return NULL;
#else
    case QV__CODES_AVX2:
    case QV__CODES_AVX512:
    case QV__CODES_NEON:
    case QV__CODES_NEONDOT:
        return NULL;
#endif
    case QV__CODES_ISAS:
        break;
    }
    return NULL;
}

const struct qv__codes *qv__codes_best(const struct qv__simd *simd)
{
    static const struct {
        enum qv__codes_isa codes;
        enum qv__isa simd;
    } best_first[] = {
        {QV__CODES_AVX512, QV__ISA_AVX512}, {QV__CODES_AVX2, QV__ISA_AVX512},
        {QV__CODES_AVX2, QV__ISA_AVX2},     {QV__CODES_NEONDOT, QV__ISA_NEON},
        {QV__CODES_NEON, QV__ISA_NEON},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(best_first); i++) {
        const struct qv__codes *c =
            best_first[i].simd == simd->isa ? qv__codes_table(best_first[i].codes) : NULL;
        if (c != NULL) {
            return c;
        }
    }
    return &qv__codes_scalar;
}
