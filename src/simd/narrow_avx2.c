/* narrow_avx2.c: the kernels on half floats and bytes for x86-64 with AVX2, FMA and F16C.
 *
 * As narrow_avx512.c, in halves; a part of a register is copied before it is loaded. */
#include "simd/narrow_tables.h"

#if defined(__x86_64__)
#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "this file needs -mavx2 -mfma -mf16c"
#endif

#include <immintrin.h>

#define NARROW_NAME  "avx2"
#define NARROW_TABLE qv__narrow_avx2

QV__KERNEL __m256i zero_int(void)
{
    return _mm256_setzero_si256();
}

QV__KERNEL __m256i step_int(enum qv__narrow_op op, __m256i sum, __m256i a, __m256i b)
{
    if (op == QV__NARROW_IP) {
        return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
    }
    __m256i d = _mm256_sub_epi16(a, b);
    __m256i by = op == QV__NARROW_L2 ? d : _mm256_set1_epi16(1);
    d = op == QV__NARROW_L2 ? d : _mm256_abs_epi16(d);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(d, by));
}

QV__KERNEL uint32_t total_int(__m256i sum)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(1, 0, 3, 2)));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(2, 3, 0, 1)));
    return (uint32_t)_mm_cvtsi128_si32(s);
}

QV__KERNEL __m128i load_bytes16(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* The first n < 16 bytes, then zeros. */
QV__KERNEL __m128i load_bytes_part(const uint8_t *p, size_t n)
{
    uint8_t part[16] = {0};
    memcpy(part, p, n);
    return load_bytes16(part);
}

#define N(name)  name##_f16
#define N_BYTES  ((size_t)2)
#define N_LANES  ((size_t)8)
#define nvec     __m256
#define nsum     __m256
#define zero_f16 _mm256_setzero_ps
#define add_f16  _mm256_add_ps

QV__KERNEL float total_f16(enum qv__narrow_op op, __m256 sum)
{
    (void)op;
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

QV__KERNEL __m256 load_f16(const uint8_t *p)
{
    return _mm256_cvtph_ps(load_bytes16(p));
}

QV__KERNEL __m256 load_part_f16(const uint8_t *p, size_t n)
{
    return _mm256_cvtph_ps(load_bytes_part(p, 2 * n));
}

QV__KERNEL __m256 step_f16(enum qv__narrow_op op, __m256 sum, __m256 a, __m256 b)
{
    if (op == QV__NARROW_IP) {
        return _mm256_fmadd_ps(a, b, sum);
    }
    __m256 d = _mm256_sub_ps(a, b);
    return op == QV__NARROW_L2 ? _mm256_fmadd_ps(d, d, sum)
                               : _mm256_add_ps(sum, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), d));
}

#include "simd/narrow_body.h"

#define N(name)           name##_u8
#define N_BYTES           ((size_t)1)
#define N_LANES           ((size_t)16)
#define nvec              __m256i
#define nsum              __m256i
#define zero_u8           zero_int
#define add_u8            _mm256_add_epi32
#define step_u8           step_int
#define total_u8(op, sum) ((float)total_int(sum))

QV__KERNEL __m256i load_u8(const uint8_t *p)
{
    return _mm256_cvtepu8_epi16(load_bytes16(p));
}

QV__KERNEL __m256i load_part_u8(const uint8_t *p, size_t n)
{
    return _mm256_cvtepu8_epi16(load_bytes_part(p, n));
}

#include "simd/narrow_body.h"

#define N(name) name##_i8
#define N_BYTES ((size_t)1)
#define N_LANES ((size_t)16)
#define nvec    __m256i
#define nsum    __m256i
#define zero_i8 zero_int
#define add_i8  _mm256_add_epi32
#define step_i8 step_int
#define total_i8(op, sum)                                                                          \
    ((op) == QV__NARROW_IP ? (float)(int32_t)total_int(sum) : (float)total_int(sum))

QV__KERNEL __m256i load_i8(const uint8_t *p)
{
    return _mm256_cvtepi8_epi16(load_bytes16(p));
}

QV__KERNEL __m256i load_part_i8(const uint8_t *p, size_t n)
{
    return _mm256_cvtepi8_epi16(load_bytes_part(p, n));
}

#include "simd/narrow_body.h"

#define WIDEN_LANES        ((size_t)8)
#define WIDEN_STORE(to, v) _mm256_storeu_ps(to, v)
#include "simd/narrow_list.h"

#endif
