/* bitset.c: whole-set operations on dense row sets.
 *
 * Plain loops over 64-bit words; the compiler widens them as far as the baseline processor goes.
 * The one exception is counting: without the POPCNT instruction, which the x86-64 baseline lacks, a
 * count is a library call per word, and planners count often; so there the processor is asked.
 *
 * Invariant: bits past n_bits are zero after every call, so that counts and searches need no mask.
 * Memory: one block per set. No locks; see the header for what may run together. */
#include "bitmap/bitset.h"

#define WORD_BITS 64

qv_status qv__bitset_init(struct qv__bitset *s, struct qv__mem *mem, size_t n_bits)
{
    *s = (struct qv__bitset){NULL, 0};
    if (n_bits > SIZE_MAX - (WORD_BITS - 1)) {
        return QV_ENOMEM; /* the number of words would wrap around */
    }
    uint64_t *words = qv__calloc(mem, qv__bitset_words(n_bits), sizeof(*words));
    if (words == NULL) {
        return QV_ENOMEM;
    }
    *s = (struct qv__bitset){words, n_bits};
    return QV_OK;
}

void qv__bitset_free(struct qv__bitset *s)
{
    if (s != NULL) {
        qv__free(s->words);
        *s = (struct qv__bitset){NULL, 0};
    }
}

void qv__bitset_fill(struct qv__bitset *s, size_t begin, size_t end)
{
    QV_ASSERT(begin <= end && end <= s->n_bits);
    if (begin == end) {
        return;
    }
    size_t first = begin / WORD_BITS, last = (end - 1) / WORD_BITS;
    uint64_t from = UINT64_MAX << (begin % WORD_BITS);
    uint64_t to = UINT64_MAX >> (WORD_BITS - 1 - (end - 1) % WORD_BITS);
    if (first == last) {
        s->words[first] |= from & to;
        return;
    }
    s->words[first] |= from;
    memset(s->words + first + 1, 0xff, (last - first - 1) * sizeof(*s->words));
    s->words[last] |= to;
}

void qv__bitset_and(struct qv__bitset *dst, const struct qv__bitset *src)
{
    QV_ASSERT(dst->n_bits == src->n_bits);
    size_t n = qv__bitset_words(dst->n_bits);
    for (size_t i = 0; i < n; i++) {
        dst->words[i] &= src->words[i];
    }
}

void qv__bitset_or(struct qv__bitset *dst, const struct qv__bitset *src)
{
    QV_ASSERT(dst->n_bits == src->n_bits);
    size_t n = qv__bitset_words(dst->n_bits);
    for (size_t i = 0; i < n; i++) {
        dst->words[i] |= src->words[i];
    }
}

void qv__bitset_andnot(struct qv__bitset *dst, const struct qv__bitset *src)
{
    QV_ASSERT(dst->n_bits == src->n_bits);
    size_t n = qv__bitset_words(dst->n_bits);
    for (size_t i = 0; i < n; i++) {
        dst->words[i] &= ~src->words[i];
    }
}

void qv__bitset_not(struct qv__bitset *s)
{
    size_t n = qv__bitset_words(s->n_bits);
    for (size_t i = 0; i < n; i++) {
        s->words[i] = ~s->words[i];
    }
    if (s->n_bits % WORD_BITS != 0) {
        s->words[n - 1] &= (UINT64_C(1) << (s->n_bits % WORD_BITS)) - 1;
    }
}

static inline __attribute__((always_inline)) size_t count_words(const uint64_t *words, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += (size_t)__builtin_popcountll(words[i]);
    }
    return count;
}

#if defined(__x86_64__)
__attribute__((target("popcnt"))) static size_t count_words_popcnt(const uint64_t *words, size_t n)
{
    return count_words(words, n);
}
#endif

size_t qv__bits_count(const uint64_t *words, size_t n_bits)
{
    size_t whole = n_bits / WORD_BITS;
    size_t count;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("popcnt")) {
        count = count_words_popcnt(words, whole);
    } else
#endif
    {
        count = count_words(words, whole);
    }
    if (n_bits % WORD_BITS != 0) { /* the words may be another's, with bits past n_bits */
        uint64_t mask = (UINT64_C(1) << (n_bits % WORD_BITS)) - 1;
        count += (size_t)__builtin_popcountll(words[whole] & mask);
    }
    return count;
}

size_t qv__bitset_count(const struct qv__bitset *s)
{
    return qv__bits_count(s->words, s->n_bits);
}

size_t qv__bitset_next(const struct qv__bitset *s, size_t from)
{
    if (from >= s->n_bits) {
        return s->n_bits;
    }
    size_t n = qv__bitset_words(s->n_bits);
    size_t i = from / WORD_BITS;
    uint64_t word = s->words[i] & (UINT64_MAX << (from % WORD_BITS));
    while (word == 0) {
        if (++i == n) {
            return s->n_bits;
        }
        word = s->words[i];
    }
    return i * WORD_BITS + (size_t)__builtin_ctzll(word);
}
