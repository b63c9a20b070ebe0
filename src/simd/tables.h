/* tables.h: what simd.c and the dist_*.c files share: the tables themselves.
 *
 * What it is: one table per instruction set this build has.
 * What it is not: safe to call without asking the processor first; that is simd.c's work. */
#ifndef QV_SIMD_TABLES_H
#define QV_SIMD_TABLES_H

#include "simd/simd.h"

extern const struct qv__simd qv__simd_scalar;
#if defined(__x86_64__)
extern const struct qv__simd qv__simd_avx2;
extern const struct qv__simd qv__simd_avx512;
#endif
#if defined(__aarch64__)
extern const struct qv__simd qv__simd_neon;
#endif

/* Helpers of the kernels. Static, so that no copy compiled for a newer processor can be the one
 * the linker keeps for everybody. */
#define QV__KERNEL static inline __attribute__((always_inline))

/* Elements one at a time, at any address. */
QV__KERNEL float qv__load_f32(const float *p)
{
    float v;
    memcpy(&v, p, sizeof(v));
    return v;
}

QV__KERNEL void qv__store_f32(float *p, float v)
{
    memcpy(p, &v, sizeof(v));
}

#endif
