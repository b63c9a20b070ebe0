/* dist_neon.c: the kernels for 64-bit ARM, where Advanced SIMD is part of every processor.
 *
 * The registers of dist_body.h are 4 floats; a partial vector is loaded lane by lane. */
#include "simd/tables.h"

#if defined(__aarch64__)

#include <arm_neon.h>

typedef float32x4_t vec;
#define VEC_LANES 4
#define VEC_ISA   QV__ISA_NEON
#define VEC_NAME  "neon"
#define VEC_TABLE qv__simd_neon

QV__KERNEL vec vec_zero(void)
{
    return vdupq_n_f32(0.0f);
}

QV__KERNEL vec vec_splat(float v)
{
    return vdupq_n_f32(v);
}

QV__KERNEL vec vec_load(const float *p)
{
    return vld1q_f32(p);
}

QV__KERNEL vec vec_load_part(const float *p, size_t n)
{
    vec v = vld1q_lane_f32(p, vec_zero(), 0);
    if (n > 1) {
        v = vld1q_lane_f32(p + 1, v, 1);
    }
    if (n > 2) {
        v = vld1q_lane_f32(p + 2, v, 2);
    }
    return v;
}

QV__KERNEL void vec_store(float *p, vec v)
{
    vst1q_f32(p, v);
}

QV__KERNEL vec vec_add(vec a, vec b)
{
    return vaddq_f32(a, b);
}

QV__KERNEL vec vec_sub(vec a, vec b)
{
    return vsubq_f32(a, b);
}

QV__KERNEL vec vec_mul(vec a, vec b)
{
    return vmulq_f32(a, b);
}

QV__KERNEL vec vec_fma(vec a, vec b, vec c)
{
    return vfmaq_f32(c, a, b);
}

QV__KERNEL vec vec_abs(vec v)
{
    return vabsq_f32(v);
}

/* (0+1)+(2+3), like the two rounds of pairwise sums in vec_reduce4. */
QV__KERNEL float vec_reduce(vec v)
{
    v = vpaddq_f32(v, v);
    return vgetq_lane_f32(vpaddq_f32(v, v), 0);
}

QV__KERNEL void vec_reduce4(float *out, vec a, vec b, vec c, vec d)
{
    vst1q_f32(out, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
}

#include "simd/dist_body.h"

#endif
