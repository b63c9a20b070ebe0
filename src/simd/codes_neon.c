/* codes_neon.c: the kernels on codes for every 64-bit ARM processor. */
#include "simd/codes_tables.h"

#if defined(__aarch64__)

#include <arm_neon.h>

typedef int32x4_t ivec;
#define CODES_NAME  "neon"
#define CODES_TABLE qv__codes_neon

QV__KERNEL ivec step16(ivec acc, int8x16_t c, int8x16_t q)
{
    acc = vpadalq_s16(acc, vmull_s8(vget_low_s8(c), vget_low_s8(q)));
    return vpadalq_s16(acc, vmull_high_s8(c, q));
}

QV__KERNEL ivec sum16(ivec acc, int8x16_t v)
{
    return vpadalq_s16(acc, vpaddlq_s8(v));
}

#include "simd/codes_neon_body.h"

#endif
