/* codes_neon_body.h: the kernels on codes for 64-bit ARM, with and without its dot product.
 *
 * What it is: a body, included by codes_neon.c and codes_neondot.c alone, after they define
 * step16(acc, c, q): sums of 16 products of signed bytes added to four 32-bit sums; sum16(acc, v):
 * of 16 signed bytes; CODES_NAME and CODES_TABLE.
 * What it is not: a header of declarations.
 *
 * Only signed bytes can be multiplied, so codes of 8 bits are taken less 128 (BIAS8). */

#include "simd/prefetch.h"

#define BIAS8 128

QV__KERNEL ivec ivec_zero(void)
{
    return vdupq_n_s32(0);
}

QV__KERNEL ivec ivec_add(ivec a, ivec b)
{
    return vaddq_s32(a, b);
}

QV__KERNEL int32_t ivec_sum(ivec v)
{
    return vaddvq_s32(v);
}

QV__KERNEL void ivec_sum4(int32_t *out, ivec a, ivec b, ivec c, ivec d)
{
    vst1q_s32(out, vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)));
}

/* 16 elements of 8 bits. */
QV__KERNEL ivec step8(ivec acc, const int8_t *q, const uint8_t *c)
{
    uint8x16_t v = veorq_u8(vld1q_u8(c), vdupq_n_u8(0x80));
    return step16(acc, vreinterpretq_s8_u8(v), vld1q_s8(q));
}

QV__KERNEL ivec block8(ivec acc, const int8_t *q, const uint8_t *c)
{
    acc = step8(step8(acc, q, c), q + 16, c + 16);
    return step8(step8(acc, q + 32, c + 32), q + 48, c + 48);
}

QV__KERNEL ivec part8(ivec acc, const int8_t *q, const uint8_t *c, size_t n)
{
    for (; n >= 16; n -= 16, q += 16, c += 16) {
        acc = step8(acc, q, c);
    }
    if (n > 0) {
        uint8_t last[16] = {0};
        memcpy(last, c, n);
        acc = step8(acc, q, last);
    }
    return acc;
}

/* 32 elements of 16 bytes: lower halves of bytes at q, upper ones at q + apart. */
QV__KERNEL ivec step4(ivec acc, const int8_t *q, size_t apart, const uint8_t *c)
{
    uint8x16_t v = vld1q_u8(c);
    uint8x16_t low = vandq_u8(v, vdupq_n_u8(15)), high = vshrq_n_u8(v, 4);
    acc = step16(acc, vreinterpretq_s8_u8(low), vld1q_s8(q));
    return step16(acc, vreinterpretq_s8_u8(high), vld1q_s8(q + apart));
}

QV__KERNEL ivec block4(ivec acc, const int8_t *q, const uint8_t *c)
{
    acc = step4(step4(acc, q, 64, c), q + 16, 64, c + 16);
    return step4(step4(acc, q + 32, 64, c + 32), q + 48, 64, c + 48);
}

QV__KERNEL ivec rest4(ivec acc, const int8_t *q, const uint8_t *c)
{
    return step4(step4(acc, q, 32, c), q + 16, 32, c + 16);
}

/* 64 elements of 16 bytes: bits 2k.. at q + k * apart. */
QV__KERNEL ivec step2(ivec acc, const int8_t *q, size_t apart, const uint8_t *c)
{
    uint8x16_t low = vdupq_n_u8(3), v = vld1q_u8(c);
    acc = step16(acc, vreinterpretq_s8_u8(vandq_u8(v, low)), vld1q_s8(q));
    acc = step16(acc, vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(v, 2), low)), vld1q_s8(q + apart));
    acc =
        step16(acc, vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(v, 4), low)), vld1q_s8(q + 2 * apart));
    return step16(acc, vreinterpretq_s8_u8(vshrq_n_u8(v, 6)), vld1q_s8(q + 3 * apart));
}

QV__KERNEL ivec block2(ivec acc, const int8_t *q, const uint8_t *c)
{
    acc = step2(step2(acc, q, 64, c), q + 16, 64, c + 16);
    return step2(step2(acc, q + 32, 64, c + 32), q + 48, 64, c + 48);
}

QV__KERNEL ivec rest2(ivec acc, const int8_t *q, const uint8_t *c)
{
    return step2(acc, q, 16, c);
}

/* 16 elements of 2 bytes: each bit selects a byte of the query, or none. */
QV__KERNEL ivec step1(ivec acc, const int8_t *q, const uint8_t *c)
{
    static const uint8_t bit_of[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t v = vcombine_u8(vdup_n_u8(c[0]), vdup_n_u8(c[1]));
    int8x16_t chosen = vreinterpretq_s8_u8(vtstq_u8(v, vld1q_u8(bit_of)));
    return sum16(acc, vandq_s8(chosen, vld1q_s8(q)));
}

QV__KERNEL ivec rest1(ivec acc, const int8_t *q, const uint8_t *c)
{
    acc = step1(step1(acc, q, c), q + 16, c + 2);
    return step1(step1(acc, q + 32, c + 4), q + 48, c + 6);
}

QV__KERNEL ivec block1(ivec acc, const int8_t *q, const uint8_t *c)
{
    for (size_t i = 0; i < 8; i++) {
        acc = rest1(acc, q + 64 * i, c + 8 * i);
    }
    return acc;
}

/* Sixteen bytes of sums to words. */
QV__KERNEL void lookup_add(uint16x8_t *sums, uint8x16_t bytes)
{
    sums[0] = vaddw_u8(sums[0], vget_low_u8(bytes));
    sums[1] = vaddw_high_u8(sums[1], bytes);
}

static void lookup(const uint8_t *tables, const uint8_t *codes, size_t n_groups,
                   const uint8_t *next, uint16_t *out)
{
    uint16x8_t sums[4] = {vdupq_n_u16(0), vdupq_n_u16(0), vdupq_n_u16(0), vdupq_n_u16(0)};
    for (size_t at = 0; at < 16 * n_groups; at += 64) { /* four groups fit bytes */
        if (next != NULL && at % 256 == 0) {
            qv__prefetch_span(next, QV__LOOKUP_AHEAD * QV__CACHE_LINE_BYTES);
            next += QV__LOOKUP_AHEAD * QV__CACHE_LINE_BYTES;
        }
        uint8x16_t x = vdupq_n_u8(0), y = x;
        for (size_t g = 0; g < 64; g += 16) {
            uint8x16_t t = vld1q_u8(tables + at + g), c = vld1q_u8(codes + at + g);
            x = vaddq_u8(x, vqtbl1q_u8(t, vandq_u8(c, vdupq_n_u8(15))));
            y = vaddq_u8(y, vqtbl1q_u8(t, vshrq_n_u8(c, 4)));
        }
        lookup_add(sums, x);
        lookup_add(sums + 2, y);
    }
    for (size_t i = 0; i < 4; i++) {
        vst1q_u16(out + 8 * i, sums[i]);
    }
}

static uint32_t near(const struct qv__code_worth *w, const uint16_t *sums, const float *add,
                     const float *scale, float *dists)
{
    return qv__near_by_code(w, sums, add, scale, dists); /* compilers see the vectors in it */
}

#define low_bits64 qv__low_bits_by_words

#define bvec       uint32x4_t
#define bits_zero  zero_bits

QV__KERNEL bvec zero_bits(void)
{
    return vdupq_n_u32(0);
}

QV__KERNEL uint8x16_t bits_quarter(const uint8_t *a, const uint8_t *b)
{
    return vcntq_u8(veorq_u8(vld1q_u8(a), vld1q_u8(b)));
}

QV__KERNEL bvec bits_line(bvec sum, const uint8_t *a, const uint8_t *b)
{
    uint8x16_t x = vaddq_u8(bits_quarter(a, b), bits_quarter(a + 16, b + 16));
    uint8x16_t y = vaddq_u8(bits_quarter(a + 32, b + 32), bits_quarter(a + 48, b + 48));
    return vpadalq_u16(sum, vpaddlq_u8(vaddq_u8(x, y))); /* at most 32 a byte */
}

QV__KERNEL bvec bits_part(bvec sum, const uint8_t *a, const uint8_t *b, size_t n)
{
    for (; n >= 16; a += 16, b += 16, n -= 16) {
        sum = vpadalq_u16(sum, vpaddlq_u8(bits_quarter(a, b)));
    }
    if (n > 0) {
        uint8_t x[16] = {0}, y[16] = {0};
        memcpy(x, a, n);
        memcpy(y, b, n);
        sum = vpadalq_u16(sum, vpaddlq_u8(bits_quarter(x, y)));
    }
    return sum;
}

QV__KERNEL uint32_t bits_total(bvec sum)
{
    return vaddvq_u32(sum);
}

#include "simd/bits_body.h"

#include "simd/codes_body.h"
