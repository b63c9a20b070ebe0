/* codes_tables.h: what codes.c and the codes_*.c files share: the tables themselves.
 *
 * What it is: one table per instruction set this build has.
 * What it is not: safe to call without asking the processor first; that is codes.c's work. */
#ifndef QV_SIMD_CODES_TABLES_H
#define QV_SIMD_CODES_TABLES_H

#include "simd/codes.h"
#include "simd/tables.h"

extern const struct qv__codes qv__codes_scalar;
#if defined(__x86_64__)
extern const struct qv__codes qv__codes_avx2;
extern const struct qv__codes qv__codes_avx512;
#endif
#if defined(__aarch64__)
extern const struct qv__codes qv__codes_neon;
extern const struct qv__codes qv__codes_neondot;
#endif

/* Eight bytes at any address. */
QV__KERNEL uint64_t qv__load_bits64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* Lowest bits of 64 bytes by words: a multiplication gathers those of eight into its highest byte.
 */
QV__KERNEL uint64_t qv__low_bits_by_words(const uint8_t *p)
{
    uint64_t bits = 0;
    for (unsigned i = 0; i < 8; i++) {
        uint64_t low = qv__load_bits64(p + 8 * i) & UINT64_C(0x0101010101010101);
        bits |= (low * UINT64_C(0x0102040810204080) >> 56) << 8 * i;
    }
    return bits;
}

/* qv__code_near_fn, code by code. */
static inline uint32_t qv__near_by_code(const struct qv__code_worth *w, const uint16_t *sums,
                                        const float *add, const float *scale, float *dists)
{
    uint32_t mask = 0;
    for (uint32_t j = 0; j < QV__LOOKUP_CODES; j++) {
        float units = w->step * (float)((int32_t)sums[j] - w->middle);
        dists[j] = w->from + (add[j] - scale[j] * units);
        mask |= (uint32_t)(dists[j] <= w->most) << j;
    }
    return mask;
}

#endif
