/* bitset.h: dense row sets: one bit per row in 64-bit words.
 *
 * What it is: the only form of a set that index walks, filters and liveness read: membership is one
 * load and one shift.
 * What it is not: compressed; sets that live in payload indexes are.
 * Threads: readers and one writer may run together through the _atomic calls; the rest one at a
 * time. */
#ifndef QV_BITMAP_BITSET_H
#define QV_BITMAP_BITSET_H

#include <stdatomic.h>

#include "base/alloc.h"

struct qv__bitset {
    uint64_t *words; /* owned; (n_bits + 63) / 64 words, bits past n_bits are zero */
    size_t n_bits;
};

static inline size_t qv__bitset_words(size_t n_bits)
{
    return (n_bits + 63) / 64;
}
/* The first word from `at` on that is not zero; n_words if there is none. Where some in a row are
 * zeros, most are: then by eights. */
static inline size_t qv__bits_skip(const uint64_t *words, size_t at, size_t n_words)
{
    for (size_t end = QV_MIN(n_words, at + 4); at < end; at++) {
        if (words[at]) {
            return at;
        }
    }
    while (at + 8 <= n_words &&
           ((words[at] | words[at + 1] | words[at + 2] | words[at + 3]) |
            (words[at + 4] | words[at + 5] | words[at + 6] | words[at + 7])) == 0) {
        at += 8;
    }
    while (at < n_words && !words[at]) {
        at++;
    }
    return at;
}
static inline bool qv__bit_test(const uint64_t *words, size_t i)
{
    return (words[i >> 6] >> (i & 63)) & 1u;
}
static inline void qv__bit_set(uint64_t *words, size_t i)
{
    words[i >> 6] |= UINT64_C(1) << (i & 63);
}
static inline void qv__bit_clear(uint64_t *words, size_t i)
{
    words[i >> 6] &= ~(UINT64_C(1) << (i & 63));
}

/* All bits clear. Owner: caller, with qv__bitset_free. Errors: QV_ENOMEM; *s is then empty, and
 * safe to free. */
qv_status qv__bitset_init(struct qv__bitset *s, struct qv__mem *mem, size_t n_bits) QV_MUST_USE;
void qv__bitset_free(struct qv__bitset *s); /* NULL-safe, leaves *s empty */
void qv__bitset_fill(struct qv__bitset *s, size_t begin, size_t end);      /* [begin, end) */
void qv__bitset_and(struct qv__bitset *dst, const struct qv__bitset *src); /* equal sizes */
void qv__bitset_or(struct qv__bitset *dst, const struct qv__bitset *src);
void qv__bitset_andnot(struct qv__bitset *dst, const struct qv__bitset *src);
void qv__bitset_not(struct qv__bitset *s);
size_t qv__bitset_count(const struct qv__bitset *s);
/* The same for words without a set; bits past n_bits do not count. */
size_t qv__bits_count(const uint64_t *words, size_t n_bits);
/* Smallest set bit >= from, or n_bits. */
size_t qv__bitset_next(const struct qv__bitset *s, size_t from);

/* For sets read while they change. */
static inline bool qv__bit_test_atomic(const uint64_t *words, size_t i)
{
    return (__atomic_load_n(&words[i >> 6], __ATOMIC_RELAXED) >> (i & 63)) & 1u;
}
static inline void qv__bit_set_atomic(uint64_t *words, size_t i)
{
    __atomic_fetch_or(&words[i >> 6], UINT64_C(1) << (i & 63), __ATOMIC_RELAXED);
}
static inline void qv__bit_clear_atomic(uint64_t *words, size_t i)
{
    __atomic_fetch_and(&words[i >> 6], ~(UINT64_C(1) << (i & 63)), __ATOMIC_RELAXED);
}

#endif
