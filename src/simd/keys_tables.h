/* keys_tables.h: what keys.c and the keys_*.c files share.
 *
 * What it is: the forms of the merge, and the look-up that they have in common.
 * What it is not: safe to call without asking the processor first. */
#ifndef QV_SIMD_KEYS_TABLES_H
#define QV_SIMD_KEYS_TABLES_H

#include "simd/keys.h"
#include "simd/tables.h"

#if defined(__x86_64__)
uint32_t qv__keys_merge_avx512(uint64_t *sorted, uint32_t n_sorted, const uint64_t *keys,
                               uint32_t n);
#endif

/* at[i]: how many of sorted[0..n_sorted) are below keys[i]. All searches take each step together,
 * so that none waits for itself alone. */
QV__KERNEL void qv__keys_find(const uint64_t *sorted, uint32_t n_sorted, const uint64_t *keys,
                              uint32_t n, uint32_t *at)
{
    memset(at, 0, n * sizeof *at);
    if (n_sorted == 0) {
        return;
    }
    for (uint32_t left = n_sorted, half; left > 1; left -= half) {
        half = left / 2;
        for (uint32_t i = 0; i < n; i++) {
            at[i] += half & -(uint32_t)(sorted[at[i] + half - 1] < keys[i]);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        at[i] += sorted[at[i]] < keys[i];
    }
}

#endif
