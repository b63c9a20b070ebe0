/* narrow_avx512.c: the kernels on half floats and bytes for x86-64 with AVX-512 F, BW, VL and DQ.
 *
 * Half floats are widened to f32 (native half arithmetic would sum in 11 bits and overflow at
 * 65504), bytes to 16 bits, whose products VPMADDWD adds in pairs to 32. Sums of squares reach
 * 65536
 * * 255^2 and fill 32 bits unsigned. */
#include "simd/narrow_tables.h"

#if defined(__x86_64__)
#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512VL__)
#error "this file needs -mavx512f -mavx512bw -mavx512vl -mavx512dq"
#endif

#include <immintrin.h>

#define NARROW_NAME  "avx512"
#define NARROW_TABLE qv__narrow_avx512

QV__KERNEL uint32_t lanes_below(size_t n)
{
    return ~UINT32_C(0) >> (32 - n); /* n: 1..31 */
}

QV__KERNEL __m512i zero_int(void)
{
    return _mm512_setzero_si512();
}

QV__KERNEL __m512i step_int(enum qv__narrow_op op, __m512i sum, __m512i a, __m512i b)
{
    if (op == QV__NARROW_IP) {
        return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
    }
    __m512i d = _mm512_sub_epi16(a, b);
    __m512i by = op == QV__NARROW_L2 ? d : _mm512_set1_epi16(1);
    d = op == QV__NARROW_L2 ? d : _mm512_abs_epi16(d);
    return _mm512_add_epi32(sum, _mm512_madd_epi16(d, by));
}

/* Not by _mm512_reduce_add_epi32, which adds signed integers: these sums may need all 32 bits. */
QV__KERNEL uint32_t total_int(__m512i sum)
{
    __m256i h = _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(1, 0, 3, 2)));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(2, 3, 0, 1)));
    return (uint32_t)_mm_cvtsi128_si32(s);
}

#define N(name)            name##_f16
#define N_BYTES            ((size_t)2)
#define N_LANES            ((size_t)16)
#define nvec               __m512
#define nsum               __m512
#define zero_f16           _mm512_setzero_ps
#define add_f16            _mm512_add_ps
#define total_f16(op, sum) _mm512_reduce_add_ps(sum)

QV__KERNEL __m512 load_f16(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

QV__KERNEL __m512 load_part_f16(const uint8_t *p, size_t n)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16((__mmask16)lanes_below(n), p));
}

QV__KERNEL __m512 step_f16(enum qv__narrow_op op, __m512 sum, __m512 a, __m512 b)
{
    if (op == QV__NARROW_IP) {
        return _mm512_fmadd_ps(a, b, sum);
    }
    __m512 d = _mm512_sub_ps(a, b);
    return op == QV__NARROW_L2 ? _mm512_fmadd_ps(d, d, sum) : _mm512_add_ps(sum, _mm512_abs_ps(d));
}

#include "simd/narrow_body.h"

#define N(name)           name##_u8
#define N_BYTES           ((size_t)1)
#define N_LANES           ((size_t)32)
#define nvec              __m512i
#define nsum              __m512i
#define zero_u8           zero_int
#define add_u8            _mm512_add_epi32
#define step_u8           step_int
#define total_u8(op, sum) ((float)total_int(sum))

QV__KERNEL __m512i load_u8(const uint8_t *p)
{
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

QV__KERNEL __m512i load_part_u8(const uint8_t *p, size_t n)
{
    return _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(lanes_below(n), p));
}

#include "simd/narrow_body.h"

#define N(name) name##_i8
#define N_BYTES ((size_t)1)
#define N_LANES ((size_t)32)
#define nvec    __m512i
#define nsum    __m512i
#define zero_i8 zero_int
#define add_i8  _mm512_add_epi32
#define step_i8 step_int
#define total_i8(op, sum)                                                                          \
    ((op) == QV__NARROW_IP ? (float)(int32_t)total_int(sum) : (float)total_int(sum))

QV__KERNEL __m512i load_i8(const uint8_t *p)
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

QV__KERNEL __m512i load_part_i8(const uint8_t *p, size_t n)
{
    return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(lanes_below(n), p));
}

#include "simd/narrow_body.h"

#define WIDEN_LANES        ((size_t)16)
#define WIDEN_STORE(to, v) _mm512_storeu_ps(to, v)
#include "simd/narrow_list.h"

#endif
