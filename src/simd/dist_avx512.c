/* dist_avx512.c: the kernels for x86-64 with AVX-512 F, BW, VL and DQ.
 *
 * The registers of dist_body.h are 16 floats; a partial vector is a masked load, which neither
 * reads nor faults on the lanes masked out. Compiled with its own -m flags, so nothing here may be
 * called before simd.c has asked the processor. */
#include "simd/tables.h"

#if defined(__x86_64__)
#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512VL__) ||                   \
    !defined(__AVX512DQ__)
#error "this file needs -mavx512f -mavx512bw -mavx512vl -mavx512dq"
#endif

#include <immintrin.h>

typedef __m512 vec;
#define VEC_LANES 16
#define VEC_ISA   QV__ISA_AVX512
#define VEC_NAME  "avx512"
#define VEC_TABLE qv__simd_avx512

QV__KERNEL vec vec_zero(void)
{
    return _mm512_setzero_ps();
}

QV__KERNEL vec vec_splat(float v)
{
    return _mm512_set1_ps(v);
}

QV__KERNEL vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

QV__KERNEL vec vec_load_part(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
}

QV__KERNEL void vec_store(float *p, vec v)
{
    _mm512_storeu_ps(p, v);
}

QV__KERNEL vec vec_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}

QV__KERNEL vec vec_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}

QV__KERNEL vec vec_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}

QV__KERNEL vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

QV__KERNEL vec vec_abs(vec v)
{
    return _mm512_abs_ps(v);
}

/* The four 128-bit quarters, added as (0+2)+(1+3). */
QV__KERNEL __m128 add_quarters(vec v)
{
    __m256 h = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    return _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
}

/* Within each quarter (0+2)+(1+3), then the quarters; vec_reduce4 does the same for four at once,
 * transposing as it goes. */
QV__KERNEL float vec_reduce(vec v)
{
    v = _mm512_add_ps(v, _mm512_permute_ps(v, _MM_SHUFFLE(1, 0, 3, 2)));
    v = _mm512_add_ps(v, _mm512_permute_ps(v, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtss_f32(add_quarters(v));
}

QV__KERNEL void vec_reduce4(float *out, vec a, vec b, vec c, vec d)
{
    vec ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    vec cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    vec lo = _mm512_shuffle_ps(ab, cd, _MM_SHUFFLE(1, 0, 1, 0));
    vec hi = _mm512_shuffle_ps(ab, cd, _MM_SHUFFLE(3, 2, 3, 2));
    _mm_storeu_ps(out, add_quarters(_mm512_add_ps(lo, hi)));
}

#include "simd/dist_body.h"

#endif
