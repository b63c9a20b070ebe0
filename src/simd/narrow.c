/* narrow.c: which kernels for half floats and bytes go with a table of simd.h. */
#include "simd/narrow_tables.h"

const struct qv__narrow *qv__narrow_of(const struct qv__simd *simd)
{
    switch (simd->isa) {
#if defined(__x86_64__)
    case QV__ISA_AVX2:
        return &qv__narrow_avx2;
    case QV__ISA_AVX512:
        return &qv__narrow_avx512;
#endif
#if defined(__aarch64__)
    case QV__ISA_NEON:
        return &qv__narrow_neon;
#endif
    default:
        return &qv__narrow_scalar;
    }
}

bool qv__elements_valid(uint8_t datatype, const void *elements, size_t n)
{
    if (datatype == QV__F32) {
        return qv__simd_finite(elements, n);
    }
    const uint8_t *p = elements;
    if (datatype == QV__BIT) {
        return n % 8 == 0 || (p[n / 8] & (255u >> n % 8)) == 0;
    }
    for (size_t i = 0; datatype == QV__F16 && i < n; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, sizeof h);
        if ((h & 0x7c00u) == 0x7c00u) {
            return false;
        }
    }
    return true; /* 65,536 squares of the largest half float are far below FLT_MAX */
}
