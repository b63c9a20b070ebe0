/* narrow.c: which kernels for half floats and bytes go with a table of simd.h, and half floats. */
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

enum { EXPONENT_BIAS = 127 - 15 };

float qv__half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 31u, m = h & 0x3ffu;
    uint32_t bits;
    float f;
    if (exponent == 0) { /* zero or subnormal: m units of 2^-24, exact in a float */
        f = (float)m * 0x1p-24f;
        memcpy(&bits, &f, sizeof bits);
        bits |= sign;
    } else {
        exponent = exponent == 31 ? 255 : exponent + EXPONENT_BIAS;
        bits = sign | exponent << 23 | m << 13;
    }
    memcpy(&f, &bits, sizeof f);
    return f;
}

uint16_t qv__half_of_float(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    uint32_t abs = bits & 0x7fffffffu;
    if (abs >= 0x7f800000u) { /* infinity, or a NaN that stays one */
        return (uint16_t)(sign | 0x7c00u | (abs > 0x7f800000u ? 0x200u | (abs >> 13 & 0x3ffu) : 0));
    }
    if (abs >= 0x477ff000u) { /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    }
    uint32_t drop = 13, m = abs & 0x7fffffu, exponent = abs >> 23, base;
    if (exponent > EXPONENT_BIAS) {
        base = (exponent - EXPONENT_BIAS) << 10;
    } else { /* subnormal, in units of 2^-24 */
        drop = 13 + (EXPONENT_BIAS + 1 - exponent);
        if (exponent == 0 || drop > 24) {
            return sign;
        }
        m |= 0x800000u;
        base = 0;
    }
    uint32_t half = 1u << (drop - 1), rest = m & ((1u << drop) - 1u), kept = base + (m >> drop);
    kept += rest > half || (rest == half && (kept & 1u)); /* may carry into the exponent */
    return (uint16_t)(sign | kept);
}
