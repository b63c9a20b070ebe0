/* elements.c: conversions between the datatypes of vectors. */
#include "base/elements.h"

#include <float.h>

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
    case QV__BIT:
        return (struct qv__element_range){0.0f, 1.0f};
    default:
        return (struct qv__element_range){-FLT_MAX, FLT_MAX};
    }
}

static void bits_to_floats(const uint8_t *p, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (float)(p[i / 8] >> (7 - i % 8) & 1);
    }
}

void qv__elements_to_floats(uint8_t datatype, const void *elements, size_t n, float *out)
{
    const uint8_t *p = elements;
    switch (datatype) {
    case QV__F16:
        for (size_t i = 0; i < n; i++) {
            uint16_t h;
            memcpy(&h, p + 2 * i, sizeof h);
            out[i] = qv__half_to_float(h);
        }
        break;
    case QV__U8:
        for (size_t i = 0; i < n; i++) {
            out[i] = (float)p[i];
        }
        break;
    case QV__I8:
        for (size_t i = 0; i < n; i++) {
            out[i] = (float)(int8_t)p[i];
        }
        break;
    case QV__BIT:
        bits_to_floats(p, n, out);
        break;
    default:
        memcpy(out, p, n * sizeof *out);
        break;
    }
}

static void bits_of_floats(const float *v, size_t n, uint8_t *p)
{
    memset(p, 0, (n + 7) / 8);
    for (size_t i = 0; i < n; i++) {
        p[i / 8] = (uint8_t)(p[i / 8] | (v[i] >= 0.5f) << (7 - i % 8));
    }
}

void qv__elements_of_floats(uint8_t datatype, const float *v, size_t n, void *out)
{
    struct qv__element_range range = qv__element_range(datatype);
    uint8_t *p = out;
    if (datatype == QV__BIT) {
        bits_of_floats(v, n, p);
        return;
    }
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
