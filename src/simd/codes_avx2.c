/* codes_avx2.c: the kernels on codes for x86-64 with AVX2.
 *
 * VPMADDUBSW multiplies unsigned by signed bytes but keeps pairs of products in 16 bits: enough for
 * elements of 4, 2 and 1 bits, several pairs of which still fit; elements of 8 bits are widened to
 * 16 first.
 *
 * Single bits have no mask registers to go to here. They become bytes of 0 or 1 by a shift and a
 * mask, all bits j of sixteen bytes at once, for which each call first arranges the query in that
 * order: some fifty cycles for 512 elements, against four instructions instead of seven for every
 * 32 of every code. */
#include "simd/codes_tables.h"
#include "simd/prefetch.h"

#if defined(__x86_64__)
#ifndef __AVX2__
#error "this file needs -mavx2"
#endif

#include <immintrin.h>

typedef __m256i ivec;
#define BIAS8       0
#define CODES_NAME  "avx2"
#define CODES_TABLE qv__codes_avx2

QV__KERNEL ivec ivec_zero(void)
{
    return _mm256_setzero_si256();
}

QV__KERNEL ivec ivec_add(ivec a, ivec b)
{
    return _mm256_add_epi32(a, b);
}

QV__KERNEL __m128i add_halves(ivec v)
{
    return _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

QV__KERNEL int32_t ivec_sum(ivec v)
{
    __m128i s = add_halves(v);
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(1, 0, 3, 2)));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtsi128_si32(s);
}

QV__KERNEL void ivec_sum4(int32_t *out, ivec a, ivec b, ivec c, ivec d)
{
    ivec s = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    _mm_storeu_si128((__m128i *)(void *)out, add_halves(s));
}

QV__KERNEL ivec load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

/* Pairs of 16-bit sums to 32 bits. */
QV__KERNEL ivec add_pairs(ivec acc, ivec sums16)
{
    return _mm256_add_epi32(acc, _mm256_madd_epi16(sums16, _mm256_set1_epi16(1)));
}

QV__KERNEL ivec step8(ivec acc, const int8_t *q, const uint8_t *c)
{
    ivec x = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)c));
    ivec y = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)q));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(x, y));
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

/* Sums of pairs of element * query, in 16 bits; elements below 16. */
QV__KERNEL ivec pairs(ivec elements, const int8_t *q)
{
    return _mm256_maddubs_epi16(elements, load(q));
}

QV__KERNEL ivec block4(ivec acc, const int8_t *q, const uint8_t *c)
{
    ivec low = _mm256_set1_epi8(15), v = load(c), w = load(c + 32);
    ivec s = pairs(_mm256_and_si256(v, low), q);
    s = _mm256_add_epi16(s, pairs(_mm256_and_si256(w, low), q + 32));
    v = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
    w = _mm256_and_si256(_mm256_srli_epi16(w, 4), low);
    s = _mm256_add_epi16(s, pairs(v, q + 64));
    s = _mm256_add_epi16(s, pairs(w, q + 96)); /* at most 4 * 2 * 15 * 127 */
    return add_pairs(acc, s);
}

QV__KERNEL ivec rest4(ivec acc, const int8_t *q, const uint8_t *c)
{
    ivec low = _mm256_set1_epi8(15), v = load(c);
    ivec s = pairs(_mm256_and_si256(v, low), q);
    s = _mm256_add_epi16(s, pairs(_mm256_and_si256(_mm256_srli_epi16(v, 4), low), q + 32));
    return add_pairs(acc, s);
}

/* 32 bytes of code: 128 elements, those of bits 2k.. at q + k * run. */
QV__KERNEL ivec half2(const int8_t *q, const uint8_t *c)
{
    ivec low = _mm256_set1_epi8(3), v = load(c);
    ivec s = pairs(_mm256_and_si256(v, low), q);
    s = _mm256_add_epi16(s, pairs(_mm256_and_si256(_mm256_srli_epi16(v, 2), low), q + 64));
    s = _mm256_add_epi16(s, pairs(_mm256_and_si256(_mm256_srli_epi16(v, 4), low), q + 128));
    return _mm256_add_epi16(s, pairs(_mm256_and_si256(_mm256_srli_epi16(v, 6), low), q + 192));
}

QV__KERNEL ivec block2(ivec acc, const int8_t *q, const uint8_t *c)
{
    return add_pairs(acc, _mm256_add_epi16(half2(q, c), half2(q + 32, c + 32)));
}

QV__KERNEL ivec rest2(ivec acc, const int8_t *q, const uint8_t *c)
{
    const ivec shifts01 = _mm256_set_epi64x(2, 2, 0, 0), shifts23 = _mm256_set_epi64x(6, 6, 4, 4);
    ivec low = _mm256_set1_epi8(3);
    ivec v = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)c));
    ivec s = pairs(_mm256_and_si256(_mm256_srlv_epi64(v, shifts01), low), q);
    s = _mm256_add_epi16(s, pairs(_mm256_and_si256(_mm256_srlv_epi64(v, shifts23), low), q + 32));
    return add_pairs(acc, s);
}

/* 32 elements of 4 bytes: each bit to a byte of all ones or none, which selects the query's. */
QV__KERNEL ivec pairs1(const int8_t *q, const uint8_t *c)
{
    const ivec spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2,
                                         2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const ivec bits = _mm256_set1_epi64x((long long)0x8040201008040201ull);
    int32_t four;
    memcpy(&four, c, sizeof four);
    ivec v = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(four), spread), bits);
    ivec chosen = _mm256_and_si256(_mm256_cmpeq_epi8(v, bits), load(q));
    return _mm256_maddubs_epi16(_mm256_set1_epi8(1), chosen);
}

/* 64 elements, in their own order. */
QV__KERNEL ivec rest1(ivec acc, const int8_t *q, const uint8_t *c)
{
    return add_pairs(acc, _mm256_add_epi16(pairs1(q, c), pairs1(q + 32, c + 4)));
}

/* 16 bytes: 128 elements, with the query arranged by bits (below): bit 2k of each byte in the lower
 * half and bit 2k + 1 in the upper one are shifted to where they are 0 or 1. */
QV__KERNEL ivec unit1(ivec sums16, const int8_t *q, const uint8_t *c)
{
    const ivec one = _mm256_set1_epi8(1);
    ivec v = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)c));
    for (int k = 0; k < 4; k++) {
        ivec shift = _mm256_set_epi64x(2 * k + 1, 2 * k + 1, 2 * k, 2 * k);
        ivec bits = _mm256_and_si256(_mm256_srlv_epi64(v, shift), one);
        sums16 = _mm256_add_epi16(sums16, pairs(bits, q + 32 * k));
    }
    return sums16;
}

QV__KERNEL ivec block1(ivec acc, const int8_t *q, const uint8_t *c)
{
    ivec s = unit1(unit1(_mm256_setzero_si256(), q, c), q + 128, c + 16);
    s = unit1(unit1(s, q + 256, c + 32), q + 384, c + 48); /* at most 16 * 2 * 127 */
    return add_pairs(acc, s);
}

QV__KERNEL ivec part1(ivec acc, const int8_t *q, const uint8_t *c)
{
    return add_pairs(acc, unit1(_mm256_setzero_si256(), q, c));
}

/* Pairs of bytes of two rows of eight, side by side. */
QV__KERNEL __m128i row_pairs(const int8_t *q)
{
    const __m128i order = _mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)q), order);
}

/* Elements 8 b + j of 128 to 16 j + b: eight rows of sixteen out of sixteen rows of eight. */
QV__KERNEL void arrange1(int8_t *to, const int8_t *q)
{
    __m128i a[8], b[8];
    for (int i = 0; i < 8; i++) {
        a[i] = row_pairs(q + 16 * i);
    }
    for (int i = 0; i < 4; i++) {
        b[i] = _mm_unpacklo_epi16(a[2 * i], a[2 * i + 1]);
        b[i + 4] = _mm_unpackhi_epi16(a[2 * i], a[2 * i + 1]);
    }
    for (int half = 0; half < 2; half++) { /* bits 0..3, bits 4..7 */
        const __m128i *r = b + 4 * half;
        __m128i low01 = _mm_unpacklo_epi32(r[0], r[1]), low23 = _mm_unpacklo_epi32(r[2], r[3]);
        __m128i high01 = _mm_unpackhi_epi32(r[0], r[1]), high23 = _mm_unpackhi_epi32(r[2], r[3]);
        __m128i *out = (__m128i *)(void *)(to + 64 * half);
        _mm_storeu_si128(out, _mm_unpacklo_epi64(low01, low23));
        _mm_storeu_si128(out + 1, _mm_unpackhi_epi64(low01, low23));
        _mm_storeu_si128(out + 2, _mm_unpacklo_epi64(high01, high23));
        _mm_storeu_si128(out + 3, _mm_unpackhi_epi64(high01, high23));
    }
}
#define HAS_ARRANGE1 1

/* Of the next block, for every eight groups. */
enum { LOOKUP_FETCH = QV__LOOKUP_AHEAD / 2 * QV__CACHE_LINE_BYTES };

/* Two groups a register, a half each: the numbers of codes 0 to 15 in x, of the others in y. */
struct lookup_sums {
    ivec x, y;
};

QV__KERNEL struct lookup_sums lookup_pair(const uint8_t *tables, const uint8_t *codes)
{
    ivec low = _mm256_set1_epi8(15), t = load(tables), c = load(codes);
    ivec upper = _mm256_and_si256(_mm256_srli_epi16(c, 4), low);
    return (struct lookup_sums){_mm256_shuffle_epi8(t, _mm256_and_si256(c, low)),
                                _mm256_shuffle_epi8(t, upper)};
}

/* Eight groups: four pairs still fit bytes. */
QV__KERNEL struct lookup_sums lookup_four(const uint8_t *tables, const uint8_t *codes)
{
    struct lookup_sums a = lookup_pair(tables, codes), b = lookup_pair(tables + 32, codes + 32);
    struct lookup_sums c = lookup_pair(tables + 64, codes + 64);
    struct lookup_sums d = lookup_pair(tables + 96, codes + 96);
    return (struct lookup_sums){
        _mm256_add_epi8(_mm256_add_epi8(a.x, b.x), _mm256_add_epi8(c.x, d.x)),
        _mm256_add_epi8(_mm256_add_epi8(a.y, b.y), _mm256_add_epi8(c.y, d.y))};
}

/* From sums of whole words (even byte + 256 * odd byte) and of odd bytes to those of sixteen codes.
 */
QV__KERNEL void lookup_store(uint16_t *out, ivec words, ivec odd)
{
    ivec even = _mm256_sub_epi16(words, _mm256_slli_epi16(odd, 8));
    __m128i e = _mm_add_epi16(_mm256_castsi256_si128(even), _mm256_extracti128_si256(even, 1));
    __m128i o = _mm_add_epi16(_mm256_castsi256_si128(odd), _mm256_extracti128_si256(odd, 1));
    __m128i *to = (__m128i *)(void *)out;
    _mm_storeu_si128(to, _mm_unpacklo_epi16(e, o));
    _mm_storeu_si128(to + 1, _mm_unpackhi_epi16(e, o));
}

static void lookup(const uint8_t *tables, const uint8_t *codes, size_t n_groups,
                   const uint8_t *next, uint16_t *out)
{
    ivec x = _mm256_setzero_si256(), y = x, odd_x = x, odd_y = x;
    for (size_t at = 0; at < 16 * n_groups; at += 128) {
        if (next != NULL) {
            qv__prefetch_span(next, LOOKUP_FETCH);
            next += LOOKUP_FETCH;
        }
        struct lookup_sums s = lookup_four(tables + at, codes + at);
        x = _mm256_add_epi16(x, s.x);
        y = _mm256_add_epi16(y, s.y);
        odd_x = _mm256_add_epi16(odd_x, _mm256_srli_epi16(s.x, 8));
        odd_y = _mm256_add_epi16(odd_y, _mm256_srli_epi16(s.y, 8));
    }
    lookup_store(out, x, odd_x);
    lookup_store(out + 16, y, odd_y);
}

static uint32_t near(const struct qv__code_worth *w, const uint16_t *sums, const float *add,
                     const float *scale, float *dists)
{
    __m256 step = _mm256_set1_ps(w->step), from = _mm256_set1_ps(w->from);
    __m256 most = _mm256_set1_ps(w->most);
    ivec middle = _mm256_set1_epi32(w->middle);
    uint32_t mask = 0;
    for (size_t i = 0; i < QV__LOOKUP_CODES; i += 8) {
        ivec s = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(sums + i)));
        __m256 v = _mm256_mul_ps(step, _mm256_cvtepi32_ps(_mm256_sub_epi32(s, middle)));
        v = _mm256_sub_ps(_mm256_loadu_ps(add + i), _mm256_mul_ps(_mm256_loadu_ps(scale + i), v));
        v = _mm256_add_ps(from, v);
        _mm256_storeu_ps(dists + i, v);
        mask |= (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(v, most, _CMP_LE_OQ)) << i;
    }
    return mask;
}

/* Bits of each byte, by its halves; sums of eight bytes by VPSADBW. */
QV__KERNEL ivec count_bits(ivec v)
{
    const ivec counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2,
                                         1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    ivec low = _mm256_set1_epi8(15);
    ivec s = _mm256_shuffle_epi8(counts, _mm256_and_si256(v, low));
    s = _mm256_add_epi8(
        s, _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(v, 4), low)));
    return _mm256_sad_epu8(s, _mm256_setzero_si256());
}

QV__KERNEL uint64_t low_bits64(const uint8_t *c)
{
    __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)c);
    __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(c + 32));
    uint32_t low = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(a, 7));
    uint32_t high = (uint32_t)_mm256_movemask_epi8(_mm256_slli_epi16(b, 7));
    return (uint64_t)high << 32 | low;
}

#define bvec      __m256i
#define bits_zero _mm256_setzero_si256

QV__KERNEL bvec bits_half(bvec sum, const uint8_t *a, const uint8_t *b)
{
    return _mm256_add_epi64(sum, count_bits(_mm256_xor_si256(load(a), load(b))));
}

QV__KERNEL bvec bits_line(bvec sum, const uint8_t *a, const uint8_t *b)
{
    return bits_half(bits_half(sum, a, b), a + 32, b + 32);
}

QV__KERNEL bvec bits_part(bvec sum, const uint8_t *a, const uint8_t *b, size_t n)
{
    if (n >= 32) {
        sum = bits_half(sum, a, b);
        a += 32;
        b += 32;
        n -= 32;
    }
    if (n > 0) {
        uint8_t x[32] = {0}, y[32] = {0};
        memcpy(x, a, n);
        memcpy(y, b, n);
        sum = bits_half(sum, x, y);
    }
    return sum;
}

QV__KERNEL uint32_t bits_total(bvec sum)
{
    return (uint32_t)ivec_sum(sum); /* the upper halves of the 64-bit sums are zero */
}

#include "simd/bits_body.h"

#include "simd/codes_body.h"

#endif
