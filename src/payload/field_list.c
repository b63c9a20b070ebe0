/* field_list.c: slices of the sorted lists of a block. */
#include "payload/field_list.h"

void qv__list_set_rows(const struct qv__list *l, uint32_t from, uint32_t to, uint64_t *words)
{
    for (uint32_t i = from; i < to; i++) {
        qv__bit_set(words, qv__list_row(l, i));
    }
}

/* words |= mark `hi`, without the rows of mark `lo`. */
static void add_marks(const struct qv__field_block *b, uint32_t lo, uint32_t hi, uint64_t *words)
{
    size_t n = qv__bitset_words(b->n_rows);
    const uint8_t *top = b->part[QV__MARKS].p + (size_t)(hi - 1) * n * 8;
    const uint8_t *bottom = lo ? b->part[QV__MARKS].p + (size_t)(lo - 1) * n * 8 : NULL;
    for (size_t w = 0; w < n; w++) {
        uint64_t without = bottom ? qv__load_u64(bottom + 8 * w) : 0;
        words[w] |= qv__load_u64(top + 8 * w) & ~without;
    }
}

void qv__list_set_slice(const struct qv__field_block *b, uint32_t from, uint32_t to,
                        uint64_t *words)
{
    struct qv__list l = qv__list_single(b);
    uint32_t lo = 0, hi = b->n_marks;
    while (lo < hi && qv__mark_at(b->n_single, b->n_marks, lo) < from) {
        lo++;
    }
    while (hi > lo && qv__mark_at(b->n_single, b->n_marks, hi) > to) {
        hi--;
    }
    if (hi <= lo) {
        qv__list_set_rows(&l, from, to, words);
        return;
    }
    add_marks(b, lo, hi, words);
    qv__list_set_rows(&l, from, qv__mark_at(b->n_single, b->n_marks, lo), words);
    qv__list_set_rows(&l, qv__mark_at(b->n_single, b->n_marks, hi), to, words);
}
