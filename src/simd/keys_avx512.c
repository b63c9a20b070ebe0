/* keys_avx512.c: merging keys into a sorted array with AVX-512 F.
 *
 * As keys.c, but ranks are counted for eight keys at a time, and the array is rebuilt from its end
 * by eights: a mask says which of them are new, and both old ones and new ones are expanded from
 * where they lie. How long the pieces between new keys are is then no branch, which would be
 * foretold wrongly nearly each time. */
#include "simd/keys_tables.h"

#if defined(__x86_64__)
#if !defined(__AVX512F__)
#error "this file needs -mavx512f"
#endif

#include <immintrin.h>

enum { LANES = 8 };

/* Lanes of keys[first..first + 8) that come after key k of all, given which are larger and which
 * are not smaller: of equal keys the later ones. */
QV__KERNEL __mmask8 after(__mmask8 larger, __mmask8 not_smaller, uint32_t first, uint32_t k)
{
    uint32_t later = k < first ? 0xffu : k - first < LANES ? 0xfeu << (k - first) : 0;
    return (__mmask8)(larger | (not_smaller & later));
}

QV__KERNEL void sort_by_rank(const uint64_t *keys, uint32_t n, uint64_t *out)
{
    uint64_t ranks[LANES];
    for (uint32_t first = 0; first < n; first += LANES) {
        uint32_t n_here = QV_MIN(n - first, (uint32_t)LANES);
        __m512i mine = _mm512_maskz_loadu_epi64((__mmask8)((1u << n_here) - 1u), keys + first);
        __m512i rank = _mm512_setzero_si512(), one = _mm512_set1_epi64(1);
        for (uint32_t k = 0; k < n; k++) {
            __m512i key = _mm512_set1_epi64((long long)keys[k]);
            __mmask8 larger = _mm512_cmpgt_epu64_mask(mine, key);
            __mmask8 not_smaller = _mm512_cmpge_epu64_mask(mine, key);
            rank = _mm512_mask_add_epi64(rank, after(larger, not_smaller, first, k), rank, one);
        }
        _mm512_storeu_si512(ranks, rank);
        for (uint32_t i = 0; i < n_here; i++) {
            out[ranks[i]] = keys[first + i];
        }
    }
}

uint32_t qv__keys_merge_avx512(uint64_t *sorted, uint32_t n_sorted, const uint64_t *keys,
                               uint32_t n)
{
    uint64_t in_order[QV__KEYS_MERGE_MAX], marks[QV__KEYS_SORTED_MAX / 64];
    uint32_t at[QV__KEYS_MERGE_MAX], total = n_sorted + n, left = n;
    at[0] = 0;
    sort_by_rank(keys, n, in_order);
    qv__keys_find(sorted, n_sorted, in_order, n, at);
    /* Which places of the new array are those of new keys. */
    for (uint32_t w = at[0] / 64; w <= (total - 1) / 64; w++) {
        marks[w] = 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t place = at[i] + i;
        marks[place / 64] |= UINT64_C(1) << place % 64;
    }
    /* By eights, from the last; `left` new keys are below them once their own are taken off. */
    for (uint32_t v = (total - 1) / LANES + 1; v-- > at[0] / LANES;) {
        uint32_t first = v * LANES, n_here = QV_MIN(total - first, (uint32_t)LANES);
        uint32_t is_there = (1u << n_here) - 1u;
        uint32_t is_new = (uint32_t)(marks[first / 64] >> first % 64) & is_there;
        left -= (uint32_t)__builtin_popcount(is_new);
        __m512i fresh = _mm512_maskz_expandloadu_epi64((__mmask8)is_new, in_order + left);
        __m512i all = _mm512_mask_expandloadu_epi64(fresh, (__mmask8)(is_there & ~is_new),
                                                    sorted + (first - left));
        _mm512_mask_storeu_epi64(sorted + first, (__mmask8)is_there, all);
    }
    return at[0];
}

#endif
