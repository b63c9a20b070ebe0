/* codes_neondot.c: the kernels on codes for 64-bit ARM with SDOT (most since 2018): four products
 * of bytes added to each 32-bit sum by one instruction. */
#include "simd/codes_tables.h"

#if defined(__aarch64__)
#ifndef __ARM_FEATURE_DOTPROD
#error "this file needs -march=armv8.2-a+dotprod"
#endif

#include <arm_neon.h>

typedef int32x4_t ivec;
#define CODES_NAME  "neondot"
#define CODES_TABLE qv__codes_neondot

QV__KERNEL ivec step16(ivec acc, int8x16_t c, int8x16_t q)
{
    return vdotq_s32(acc, c, q);
}

QV__KERNEL ivec sum16(ivec acc, int8x16_t v)
{
    return vdotq_s32(acc, v, vdupq_n_s8(1));
}

#include "simd/codes_neon_body.h"

#endif
