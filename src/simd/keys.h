/* keys.h: sorted arrays of 64-bit keys.
 *
 * What it is: one operation, many keys into a sorted array at once, in the forms that instruction
 * sets have for it. One by one, a key costs a binary search whose steps wait for each other, a move
 * of all that is behind it, and branches that nobody can foretell.
 * What it is not: aware of what keys mean. Every form gives the same array. Threads: any. */
#ifndef QV_SIMD_KEYS_H
#define QV_SIMD_KEYS_H

#include "simd/simd.h"

enum { QV__KEYS_MERGE_MAX = 64, QV__KEYS_SORTED_MAX = 4096 };

/* Merge keys[0..n), in any order, into sorted[0..n_sorted), ascending, which has room for them.
 * 1 <= n <= QV__KEYS_MERGE_MAX; n_sorted + n <= QV__KEYS_SORTED_MAX. Returns where the smallest of
 * them is. */
typedef uint32_t (*qv__keys_merge_fn)(uint64_t *sorted, uint32_t n_sorted, const uint64_t *keys,
                                      uint32_t n);

/* The form for the processors that `simd` is for. */
qv__keys_merge_fn qv__keys_merge_of(const struct qv__simd *simd);

#endif
