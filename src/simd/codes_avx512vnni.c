/* codes_avx512vnni.c: the kernels on codes for x86-64 with AVX-512 VNNI, BITALG and VPOPCNTDQ.
 *
 * VPDPBUSD multiplies unsigned by signed bytes and adds four products to each 32-bit sum, so a code
 * is widened to one byte an element, in registers, and multiplied with the query's bytes. One bit
 * needs no widening: it is the mask under which ones are loaded. */
#include "simd/codes_tables.h"
#include "simd/prefetch.h"

#if defined(__x86_64__)
#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512VNNI__) ||                 \
    !defined(__AVX512VPOPCNTDQ__)
#error "this file needs -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mavx512vpopcntdq"
#endif

#include <immintrin.h>

typedef __m512i ivec;
#define BIAS8       0
#define CODES_NAME  "avx512"
#define CODES_TABLE qv__codes_avx512

QV__KERNEL ivec ivec_zero(void)
{
    return _mm512_setzero_si512();
}

QV__KERNEL ivec ivec_add(ivec a, ivec b)
{
    return _mm512_add_epi32(a, b);
}

QV__KERNEL __m128i add_quarters(ivec v)
{
    __m256i h = _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
}

QV__KERNEL int32_t ivec_sum(ivec v)
{
    __m128i s = add_quarters(v);
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(1, 0, 3, 2)));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtsi128_si32(s);
}

QV__KERNEL void ivec_sum4(int32_t *out, ivec a, ivec b, ivec c, ivec d)
{
    ivec ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    ivec cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    ivec s = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    _mm_storeu_si128((__m128i *)(void *)out, add_quarters(s));
}

QV__KERNEL ivec query_at(const int8_t *q)
{
    return _mm512_loadu_si512(q);
}

QV__KERNEL ivec block8(ivec acc, const int8_t *q, const uint8_t *c)
{
    return _mm512_dpbusd_epi32(acc, _mm512_loadu_si512(c), query_at(q));
}

QV__KERNEL ivec part8(ivec acc, const int8_t *q, const uint8_t *c, size_t n)
{
    ivec part = _mm512_maskz_loadu_epi8(~UINT64_C(0) >> (64 - n), c);
    return _mm512_dpbusd_epi32(acc, part, query_at(q));
}

QV__KERNEL ivec block4(ivec acc, const int8_t *q, const uint8_t *c)
{
    ivec low = _mm512_set1_epi8(15), v = _mm512_loadu_si512(c);
    acc = _mm512_dpbusd_epi32(acc, _mm512_and_si512(v, low), query_at(q));
    v = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
    return _mm512_dpbusd_epi32(acc, v, query_at(q + 64));
}

QV__KERNEL ivec rest4(ivec acc, const int8_t *q, const uint8_t *c)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)c);
    ivec both = _mm512_inserti64x4(_mm512_castsi256_si512(v), _mm256_srli_epi16(v, 4), 1);
    both = _mm512_and_si512(both, _mm512_set1_epi8(15));
    return _mm512_dpbusd_epi32(acc, both, query_at(q));
}

QV__KERNEL ivec block2(ivec acc, const int8_t *q, const uint8_t *c)
{
    ivec low = _mm512_set1_epi8(3), v = _mm512_loadu_si512(c);
    acc = _mm512_dpbusd_epi32(acc, _mm512_and_si512(v, low), query_at(q));
    v = _mm512_srli_epi16(v, 2);
    acc = _mm512_dpbusd_epi32(acc, _mm512_and_si512(v, low), query_at(q + 64));
    v = _mm512_srli_epi16(v, 2);
    acc = _mm512_dpbusd_epi32(acc, _mm512_and_si512(v, low), query_at(q + 128));
    v = _mm512_srli_epi16(v, 2);
    return _mm512_dpbusd_epi32(acc, _mm512_and_si512(v, low), query_at(q + 192));
}

QV__KERNEL ivec rest2(ivec acc, const int8_t *q, const uint8_t *c)
{
    const ivec shifts = _mm512_set_epi64(6, 6, 4, 4, 2, 2, 0, 0);
    ivec v = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)c));
    v = _mm512_and_si512(_mm512_srlv_epi64(v, shifts), _mm512_set1_epi8(3));
    return _mm512_dpbusd_epi32(acc, v, query_at(q));
}

QV__KERNEL ivec rest1(ivec acc, const int8_t *q, const uint8_t *c)
{
    ivec ones = _mm512_maskz_mov_epi8(qv__load_bits64(c), _mm512_set1_epi8(1));
    return _mm512_dpbusd_epi32(acc, ones, query_at(q));
}

QV__KERNEL ivec block1(ivec acc, const int8_t *q, const uint8_t *c)
{
    acc = rest1(rest1(acc, q, c), q + 64, c + 8);
    acc = rest1(rest1(acc, q + 128, c + 16), q + 192, c + 24);
    acc = rest1(rest1(acc, q + 256, c + 32), q + 320, c + 40);
    return rest1(rest1(acc, q + 384, c + 48), q + 448, c + 56);
}

/* Of the next block, for every sixteen groups. */
enum { LOOKUP_FETCH = QV__LOOKUP_AHEAD * QV__CACHE_LINE_BYTES };

/* Four groups a register: the numbers of codes 0 to 15 in x, of the others in y. */
struct lookup_sums {
    ivec x, y;
};

QV__KERNEL struct lookup_sums lookup_four(const uint8_t *tables, const uint8_t *codes)
{
    ivec low = _mm512_set1_epi8(15), t = _mm512_loadu_si512(tables), c = _mm512_loadu_si512(codes);
    ivec upper = _mm512_and_si512(_mm512_srli_epi16(c, 4), low);
    return (struct lookup_sums){_mm512_shuffle_epi8(t, _mm512_and_si512(c, low)),
                                _mm512_shuffle_epi8(t, upper)};
}

QV__KERNEL __m128i add_words(ivec v)
{
    __m256i h = _mm256_add_epi16(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    return _mm_add_epi16(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
}

/* From sums of whole words (even byte + 256 * odd byte) and of odd bytes to those of sixteen codes.
 */
QV__KERNEL void lookup_store(uint16_t *out, ivec words, ivec odd)
{
    __m128i o = add_words(odd), e = _mm_sub_epi16(add_words(words), _mm_slli_epi16(o, 8));
    _mm_storeu_si128((__m128i *)(void *)out, _mm_unpacklo_epi16(e, o));
    _mm_storeu_si128((__m128i *)(void *)(out + 8), _mm_unpackhi_epi16(e, o));
}

static void lookup(const uint8_t *tables, const uint8_t *codes, size_t n_groups,
                   const uint8_t *next, uint16_t *out)
{
    ivec x = _mm512_setzero_si512(), y = x, odd_x = x, odd_y = x;
    for (size_t at = 0; at < 16 * n_groups; at += 256) { /* sixteen groups: four fit bytes */
        if (next != NULL) {
            qv__prefetch_span(next, LOOKUP_FETCH);
            next += LOOKUP_FETCH;
        }
        struct lookup_sums a = lookup_four(tables + at, codes + at);
        struct lookup_sums b = lookup_four(tables + at + 64, codes + at + 64);
        struct lookup_sums c = lookup_four(tables + at + 128, codes + at + 128);
        struct lookup_sums d = lookup_four(tables + at + 192, codes + at + 192);
        ivec sx = _mm512_add_epi8(_mm512_add_epi8(a.x, b.x), _mm512_add_epi8(c.x, d.x));
        ivec sy = _mm512_add_epi8(_mm512_add_epi8(a.y, b.y), _mm512_add_epi8(c.y, d.y));
        x = _mm512_add_epi16(x, sx);
        y = _mm512_add_epi16(y, sy);
        odd_x = _mm512_add_epi16(odd_x, _mm512_srli_epi16(sx, 8));
        odd_y = _mm512_add_epi16(odd_y, _mm512_srli_epi16(sy, 8));
    }
    lookup_store(out, x, odd_x);
    lookup_store(out + 16, y, odd_y);
}

static uint32_t near(const struct qv__code_worth *w, const uint16_t *sums, const float *add,
                     const float *scale, float *dists)
{
    __m512 step = _mm512_set1_ps(w->step), from = _mm512_set1_ps(w->from);
    __m512 most = _mm512_set1_ps(w->most);
    ivec middle = _mm512_set1_epi32(w->middle);
    uint32_t mask = 0;
    for (size_t i = 0; i < QV__LOOKUP_CODES; i += 16) {
        __m256i half = _mm256_loadu_si256((const __m256i *)(const void *)(sums + i));
        ivec s = _mm512_sub_epi32(_mm512_cvtepu16_epi32(half), middle);
        __m512 v = _mm512_mul_ps(step, _mm512_cvtepi32_ps(s));
        v = _mm512_sub_ps(_mm512_loadu_ps(add + i), _mm512_mul_ps(_mm512_loadu_ps(scale + i), v));
        v = _mm512_add_ps(from, v);
        _mm512_storeu_ps(dists + i, v);
        mask |= (uint32_t)_mm512_cmp_ps_mask(v, most, _CMP_LE_OQ) << i;
    }
    return mask;
}

QV__KERNEL uint64_t low_bits64(const uint8_t *c)
{
    return _mm512_test_epi8_mask(_mm512_loadu_si512(c), _mm512_set1_epi8(1));
}

#define bvec      __m512i
#define bits_zero _mm512_setzero_si512

QV__KERNEL bvec bits_line(bvec sum, const uint8_t *a, const uint8_t *b)
{
    bvec differ = _mm512_xor_si512(_mm512_loadu_si512(a), _mm512_loadu_si512(b));
    return _mm512_add_epi64(sum, _mm512_popcnt_epi64(differ));
}

QV__KERNEL bvec bits_part(bvec sum, const uint8_t *a, const uint8_t *b, size_t n)
{
    __mmask64 m = ~UINT64_C(0) >> (64 - n);
    bvec differ = _mm512_xor_si512(_mm512_maskz_loadu_epi8(m, a), _mm512_maskz_loadu_epi8(m, b));
    return _mm512_add_epi64(sum, _mm512_popcnt_epi64(differ));
}

QV__KERNEL uint32_t bits_total(bvec sum)
{
    return (uint32_t)_mm512_reduce_add_epi64(sum);
}

#include "simd/bits_body.h"

#include "simd/codes_body.h"

#endif
