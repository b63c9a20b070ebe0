/* narrow.c: which kernels for half floats and bytes go with a table of simd.h, and conversions. */
#include "simd/narrow_tables.h"

#include <float.h>

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

struct qv__element_range qv__element_range(uint8_t datatype)
{
    switch (datatype) {
    case QV__F16:
        return (struct qv__element_range){-65504.0f, 65504.0f};
    case QV__U8:
        return (struct qv__element_range){0.0f, 255.0f};
    case QV__I8:
        return (struct qv__element_range){-128.0f, 127.0f};
    default:
        return (struct qv__element_range){-FLT_MAX, FLT_MAX};
    }
}

void qv__elements_to_floats(uint8_t datatype, const void *elements, size_t n, float *out)
{
    const uint8_t *p = elements;
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        switch (datatype) {
        case QV__F16:
            memcpy(&h, p + 2 * i, sizeof h);
            out[i] = qv__half_to_float(h);
            break;
        case QV__U8:
            out[i] = (float)p[i];
            break;
        case QV__I8:
            out[i] = (float)(int8_t)p[i];
            break;
        default:
            memcpy(out + i, p + i * sizeof *out, sizeof *out);
            break;
        }
    }
}

void qv__elements_of_floats(uint8_t datatype, const float *v, size_t n, void *out)
{
    struct qv__element_range range = qv__element_range(datatype);
    uint8_t *p = out;
    for (size_t i = 0; i < n; i++) {
        float x = QV_MIN(QV_MAX(v[i], range.min), range.max);
        uint16_t h;
        switch (datatype) {
        case QV__F16:
            h = qv__half_of_float(x);
            memcpy(p + 2 * i, &h, sizeof h);
            break;
        case QV__U8:
            p[i] = (uint8_t)x;
            break;
        case QV__I8:
            p[i] = (uint8_t)(int8_t)x;
            break;
        default:
            memcpy(p + i * sizeof x, &x, sizeof x);
            break;
        }
    }
}

bool qv__elements_finite(uint8_t datatype, const void *elements, size_t n)
{
    if (datatype == QV__F32) {
        return qv__simd_finite(elements, n);
    }
    const uint8_t *p = elements;
    for (size_t i = 0; datatype == QV__F16 && i < n; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, sizeof h);
        if ((h & 0x7c00u) == 0x7c00u) {
            return false;
        }
    }
    return true; /* 65,536 squares of the largest half float are far below FLT_MAX */
}
