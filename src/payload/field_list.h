/* field_list.h: the sorted lists of a block of numbers, dates or places; inside this folder only.
 */
#ifndef QV_PAYLOAD_FIELD_LIST_H
#define QV_PAYLOAD_FIELD_LIST_H

#include "payload/field_impl.h"

/* Entries before mark k (1 to n_marks). */
static inline uint32_t qv__mark_at(uint32_t n_single, uint32_t n_marks, uint32_t k)
{
    return (uint32_t)((uint64_t)n_single * k / (n_marks + 1));
}

/* A sorted list: values and rows of the same length, in place. */
struct qv__list {
    const struct qv__field_block *b;
    const uint8_t *values, *rows;
    uint32_t n;
};

static inline struct qv__list qv__list_single(const struct qv__field_block *b)
{
    return (struct qv__list){b, b->part[QV__SINGLE_VALUES].p, b->part[QV__SINGLE_ROWS].p,
                             b->n_single};
}

static inline struct qv__list qv__list_multi(const struct qv__field_block *b)
{
    return (struct qv__list){b, b->part[QV__MULTI_VALUES].p, b->part[QV__MULTI_ROWS].p, b->n_multi};
}

static inline int64_t qv__list_key(const struct qv__list *l, uint32_t i)
{
    uint64_t v = 0;
    switch (l->b->width) {
    case 1:
        v = l->values[i];
        break;
    case 2:
        v = qv__load_u16(l->values + 2 * (size_t)i);
        break;
    case 4:
        v = qv__load_u32(l->values + 4 * (size_t)i);
        break;
    default:
        v = qv__load_u64(l->values + 8 * (size_t)i);
        break;
    }
    return (int64_t)(v + (uint64_t)l->b->base);
}

static inline uint32_t qv__list_row(const struct qv__list *l, uint32_t i)
{
    return qv__load_u16(l->rows + 2 * (size_t)i);
}

/* Set the rows of entries [from, to) in `words`. */
void qv__list_set_rows(const struct qv__list *l, uint32_t from, uint32_t to, uint64_t *words);
/* The same of single entries, by marks where the slice is long. */
void qv__list_set_slice(const struct qv__field_block *b, uint32_t from, uint32_t to,
                        uint64_t *words);

#endif
