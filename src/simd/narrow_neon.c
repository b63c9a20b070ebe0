/* narrow_neon.c: the kernels on half floats and bytes for 64-bit ARM.
 *
 * Conversion from half floats is part of every such processor, arithmetic on them is not needed. */
#include "simd/narrow_tables.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#define NARROW_NAME  "neon"
#define NARROW_TABLE qv__narrow_neon

QV__KERNEL int32x4_t zero_int(void)
{
    return vdupq_n_s32(0);
}

/* Differences and elements fit 16 bits signed, products do not. */
QV__KERNEL int32x4_t step_int(enum qv__narrow_op op, int32x4_t sum, int16x8_t a, int16x8_t b)
{
    if (op != QV__NARROW_IP) {
        a = vsubq_s16(a, b);
        if (op == QV__NARROW_L1) {
            return vpadalq_s16(sum, vabsq_s16(a));
        }
        b = a;
    }
    sum = vmlal_s16(sum, vget_low_s16(a), vget_low_s16(b));
    return vmlal_high_s16(sum, a, b);
}

QV__KERNEL uint32_t total_int(int32x4_t sum)
{
    return vaddvq_u32(vreinterpretq_u32_s32(sum));
}

QV__KERNEL uint8x8_t load_bytes_part(const uint8_t *p, size_t n)
{
    uint8_t part[8] = {0};
    memcpy(part, p, n);
    return vld1_u8(part);
}

#define N(name)            name##_f16
#define N_BYTES            ((size_t)2)
#define N_LANES            ((size_t)4)
#define nvec               float32x4_t
#define nsum               float32x4_t
#define zero_f16()         vdupq_n_f32(0.0f)
#define add_f16            vaddq_f32
#define total_f16(op, sum) vaddvq_f32(sum)

QV__KERNEL float32x4_t load_f16(const uint8_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

QV__KERNEL float32x4_t load_part_f16(const uint8_t *p, size_t n)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(load_bytes_part(p, 2 * n)));
}

QV__KERNEL float32x4_t step_f16(enum qv__narrow_op op, float32x4_t sum, float32x4_t a,
                                float32x4_t b)
{
    if (op == QV__NARROW_IP) {
        return vfmaq_f32(sum, a, b);
    }
    float32x4_t d = vsubq_f32(a, b);
    return op == QV__NARROW_L2 ? vfmaq_f32(sum, d, d) : vaddq_f32(sum, vabsq_f32(d));
}

#include "simd/narrow_body.h"

#define N(name)           name##_u8
#define N_BYTES           ((size_t)1)
#define N_LANES           ((size_t)8)
#define nvec              int16x8_t
#define nsum              int32x4_t
#define zero_u8           zero_int
#define add_u8            vaddq_s32
#define step_u8           step_int
#define total_u8(op, sum) ((float)total_int(sum))

QV__KERNEL int16x8_t load_u8(const uint8_t *p)
{
    return vreinterpretq_s16_u16(vmovl_u8(vld1_u8(p)));
}

QV__KERNEL int16x8_t load_part_u8(const uint8_t *p, size_t n)
{
    return vreinterpretq_s16_u16(vmovl_u8(load_bytes_part(p, n)));
}

#include "simd/narrow_body.h"

#define N(name) name##_i8
#define N_BYTES ((size_t)1)
#define N_LANES ((size_t)8)
#define nvec    int16x8_t
#define nsum    int32x4_t
#define zero_i8 zero_int
#define add_i8  vaddq_s32
#define step_i8 step_int
#define total_i8(op, sum)                                                                          \
    ((op) == QV__NARROW_IP ? (float)(int32_t)total_int(sum) : (float)total_int(sum))

QV__KERNEL int16x8_t load_i8(const uint8_t *p)
{
    return vmovl_s8(vreinterpret_s8_u8(vld1_u8(p)));
}

QV__KERNEL int16x8_t load_part_i8(const uint8_t *p, size_t n)
{
    return vmovl_s8(vreinterpret_s8_u8(load_bytes_part(p, n)));
}

#include "simd/narrow_body.h"

#define WIDEN_LANES        ((size_t)4)
#define WIDEN_STORE(to, v) vst1q_f32(to, v)
#include "simd/narrow_list.h"

#endif
