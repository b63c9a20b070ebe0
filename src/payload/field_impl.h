/* field_impl.h: the parts of a block of a field index; inside this folder only. */
#ifndef QV_PAYLOAD_FIELD_IMPL_H
#define QV_PAYLOAD_FIELD_IMPL_H

#include "bitmap/bitset.h"
#include "payload/field.h"

/* Parts are stored in this order: never renumbered. The first ones are row sets. */
enum qv__field_part {
    QV__SET_REACHED = 0, /* the path leads somewhere */
    QV__SET_FILLED,      /* to some value that is neither null nor [] */
    QV__SET_EMPTY,       /* to some null or [] */
    QV__SET_NULL,        /* to some null */
    QV__SET_HOLDS_NULL,  /* to some null or array with a null in it */
    QV__SET_LACKS_NULL,  /* to some value that is not so */
    QV__SET_SCALAR,      /* to one value, which is no array and not null */
    QV__SET_TYPED,       /* some element is of the index's type */
    QV__SET_OTHER,       /* some element is neither of it nor null */
    QV__SET_MULTI,       /* several elements are not null */
    QV__SET_LOOSE,       /* some element of the type is not held (too long, too many) */
    QV__FIELD_SETS,
    /* terms */
    QV__TERM_ENDS = QV__FIELD_SETS, /* u32 each: where its text ends */
    QV__TERM_TEXT,
    QV__POSTING_ENDS, /* u32 each */
    QV__POSTINGS,
    /* numbers */
    QV__SINGLE_VALUES = QV__FIELD_SETS, /* rising; of rows with one value of the type */
    QV__SINGLE_ROWS,                    /* u16 each */
    QV__MARKS,        /* dense sets: rows of the first k / (n_marks + 1) of them */
    QV__MULTI_VALUES, /* rising; of the other rows */
    QV__MULTI_ROWS
};
_Static_assert(QV__MULTI_ROWS + 1 == QV__FIELD_PARTS, "parts of a block");

/* 104 bytes in front of the parts. */
struct qv__field_head {
    uint32_t n_rows, type, n_terms, n_single, n_multi, width, n_marks, zero;
    int64_t base;
    uint32_t end[QV__FIELD_PARTS]; /* of each part, from the end of the head */
};
_Static_assert(sizeof(struct qv__field_head) == 104, "head of a block");

/* One value of one row while a block is built. */
struct qv__field_entry {
    int64_t key;   /* numbers: orders as the value does; terms: the first eight bytes */
    const char *p; /* terms */
    uint32_t n;    /* terms */
    uint16_t row;
    bool several; /* the row has more of them */
};

/* Kept as a dictionary: strings, words, and truth values, which are terms of one byte, 0 or 1. */
static inline bool qv__field_is_terms(enum qv__field_type t)
{
    return t == QV__FIELD_KEYWORD || t == QV__FIELD_UUID || t == QV__FIELD_BOOL ||
           t == QV__FIELD_TEXT;
}
/* ... of whole strings. */
static inline bool qv__field_is_strings(enum qv__field_type t)
{
    return t == QV__FIELD_KEYWORD || t == QV__FIELD_UUID;
}
static inline void qv__words_or(uint64_t *dst, const uint64_t *src)
{
    for (uint32_t i = 0; i < QV__BLOCK_WORDS; i++) {
        dst[i] |= src[i];
    }
}

/* A double as an integer of the same order; -0 is 0. */
int64_t qv__field_key_of(double v);
/* A cell of geo_cell.h likewise. */
int64_t qv__field_key_of_cell(uint64_t cell);
/* The element as an entry; false if it is not of the type. */
bool qv__field_entry_of(enum qv__field_type type, const struct qv__value *v,
                        struct qv__field_entry *e);

/* Append parts to `out` and their ends, from `origin`, to the head. Entries are sorted in place. */
void qv__terms_write(struct qv__field_entry *e, size_t n, size_t origin, struct qv__field_head *h,
                     struct qv__buf *out);
void qv__numbers_write(struct qv__field_entry *e, size_t n, size_t origin, struct qv__field_head *h,
                       struct qv__buf *out);
void qv__field_part_end(struct qv__field_head *h, enum qv__field_part part, size_t origin,
                        const struct qv__buf *out);

/* Lengths fit the counts; with `verify` the content is sorted and in range. */
bool qv__terms_open(const struct qv__field_block *b, bool verify);
bool qv__numbers_open(const struct qv__field_block *b, bool verify);

/* The rows of a term, if there is one. */
bool qv__terms_find(const struct qv__field_block *b, struct qv__str s, struct qv__bytes *rows);
/* Add to `words` the rows that have an element of the type for which it holds (MATCH_EXCEPT: that
 * is in the set). False: nothing can be said. Once steps have ended, here and below, rows are
 * missing. */
bool qv__terms_match(const struct qv__field_block *b, const struct qv__cond *c, uint64_t *words,
                     struct qv__steps *steps);
bool qv__numbers_match(const struct qv__field_block *b, const struct qv__cond *c, uint64_t *words,
                       struct qv__steps *steps);

/* Rows with a place that certainly lies inside (lo), and with one that may (up). */
void qv__geo_match(const struct qv__field_block *b, const struct qv__cond *c, uint64_t *lo,
                   uint64_t *up, struct qv__steps *steps);
/* Values of the rows of `words`, in order; words is scratch. */
void qv__numbers_order(const struct qv__field_block *b, const struct qv__order *o, uint64_t *words,
                       qv__order_cb cb, void *ctx);
bool qv__numbers_started(const struct qv__order *o, int64_t key);

void qv__terms_facets(const struct qv__field_block *b, const uint64_t *words, qv__facet_cb cb,
                      void *ctx);
void qv__numbers_facets(const struct qv__field_block *b, const uint64_t *words, qv__facet_cb cb,
                        void *ctx);

#endif
