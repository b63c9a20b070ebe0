/* keys.c: merging keys into a sorted array, and the choice of a form.
 *
 * The keys are put in order by counting for each those before it, looked up side by side, and the
 * array is moved apart once, from its end, none of it twice. */
#include "simd/keys_tables.h"

static void sort_by_rank(const uint64_t *keys, uint32_t n, uint64_t *out)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t key = keys[i];
        uint32_t rank = 0;
        for (uint32_t k = 0; k < i; k++) {
            rank += keys[k] <= key; /* of equal ones the first comes first */
        }
        for (uint32_t k = i + 1; k < n; k++) {
            rank += keys[k] < key;
        }
        out[rank] = key;
    }
}

/* keys[0..n) move up by `by` >= 1, from the end: a run of four never covers what is below it. */
static inline void move_up(uint64_t *keys, uint32_t n, uint32_t by)
{
    while (n >= 4) {
        uint64_t four[4];
        n -= 4;
        memcpy(four, keys + n, sizeof four);
        memcpy(keys + n + by, four, sizeof four);
    }
    while (n > 0) {
        n--;
        keys[n + by] = keys[n];
    }
}

static uint32_t merge(uint64_t *sorted, uint32_t n_sorted, const uint64_t *keys, uint32_t n)
{
    uint64_t in_order[QV__KEYS_MERGE_MAX];
    uint32_t at[QV__KEYS_MERGE_MAX], end = n_sorted;
    sort_by_rank(keys, n, in_order);
    qv__keys_find(sorted, n_sorted, in_order, n, at);
    for (uint32_t i = n; i-- > 0;) {
        move_up(sorted + at[i], end - at[i], i + 1);
        sorted[at[i] + i] = in_order[i];
        end = at[i];
    }
    return at[0];
}

qv__keys_merge_fn qv__keys_merge_of(const struct qv__simd *simd)
{
#if defined(__x86_64__)
    if (simd->isa == QV__ISA_AVX512) {
        return qv__keys_merge_avx512;
    }
#endif
    (void)simd;
    return merge;
}
