/* dist_avx2.c: the kernels for x86-64 with AVX2 and FMA (Haswell, Excavator and later).
 *
 * The registers of dist_body.h are 8 floats; a partial vector is a masked load, which neither reads
 * nor faults on the lanes masked out. Compiled with its own -m flags, so nothing here may be called
 * before simd.c has asked the processor. */
#include "simd/tables.h"

#if defined(__x86_64__)
#if !defined(__AVX2__) || !defined(__FMA__)
#error "this file needs -mavx2 -mfma"
#endif

#include <immintrin.h>

typedef __m256 vec;
#define VEC_LANES 8
#define VEC_ISA   QV__ISA_AVX2
#define VEC_NAME  "avx2"
#define VEC_TABLE qv__simd_avx2

/* Eight lanes from index 8 - n on are the mask of n lanes. */
static const int32_t part_masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

QV__KERNEL vec vec_zero(void)
{
    return _mm256_setzero_ps();
}

QV__KERNEL vec vec_splat(float v)
{
    return _mm256_set1_ps(v);
}

QV__KERNEL vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

QV__KERNEL vec vec_load_part(const float *p, size_t n)
{
    const void *mask = part_masks + 8 - n;
    return _mm256_maskload_ps(p, _mm256_loadu_si256((const __m256i *)mask));
}

QV__KERNEL void vec_store(float *p, vec v)
{
    _mm256_storeu_ps(p, v);
}

QV__KERNEL vec vec_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}

QV__KERNEL vec vec_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}

QV__KERNEL vec vec_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}

QV__KERNEL vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

QV__KERNEL vec vec_abs(vec v)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
}

QV__KERNEL __m128 add_halves(vec v)
{
    return _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
}

/* Within each half (0+2)+(1+3), then the halves; vec_reduce4 does the same for four at once,
 * transposing as it goes. */
QV__KERNEL float vec_reduce(vec v)
{
    v = _mm256_add_ps(v, _mm256_permute_ps(v, _MM_SHUFFLE(1, 0, 3, 2)));
    v = _mm256_add_ps(v, _mm256_permute_ps(v, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtss_f32(add_halves(v));
}

QV__KERNEL void vec_reduce4(float *out, vec a, vec b, vec c, vec d)
{
    vec ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    vec cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    vec lo = _mm256_shuffle_ps(ab, cd, _MM_SHUFFLE(1, 0, 1, 0));
    vec hi = _mm256_shuffle_ps(ab, cd, _MM_SHUFFLE(3, 2, 3, 2));
    _mm_storeu_ps(out, add_halves(_mm256_add_ps(lo, hi)));
}

#include "simd/dist_body.h"

#endif
