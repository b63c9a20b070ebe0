/* field.h: the index of one payload field over one block of rows.
 *
 * What it is: for up to QV__BLOCK_ROWS rows, which of them hold which value at a path, as bytes
 * that are built once and read in place, from memory or a mapped file. Asked about a condition on
 * the same path it gives bounds: rows that certainly match and rows that possibly do; mostly both
 * are the same set. What a row holds besides values of the index's type is remembered as such, so
 * the answers are those of filter_match.c, whatever types are mixed under a key. What it is not:
 * incremental. Rows never change; more rows are more blocks (engine/segment_fields.c). The bytes:
 * docs/internals/INDEXES.md.
 *
 * Threads: an open block is immutable. */
#ifndef QV_PAYLOAD_FIELD_H
#define QV_PAYLOAD_FIELD_H

#include "bitmap/rowset.h"
#include "payload/filter.h"

/* Values are stored: never renumbered. */
enum qv__field_type {
    QV__FIELD_KEYWORD = 1, /* strings */
    QV__FIELD_INTEGER = 2, /* whole numbers of 64 bits with a sign */
    QV__FIELD_FLOAT = 3,   /* all numbers, as doubles */
    QV__FIELD_BOOL = 4,
    QV__FIELD_DATETIME = 5, /* strings that are dates, in microseconds */
    QV__FIELD_UUID = 6,     /* strings; as they are written */
    QV__FIELD_GEO = 7,      /* objects with numbers lon and lat */
    QV__FIELD_TEXT = 8      /* words of strings */
};
/* "keyword", "integer", …; false for a type that no index is built of. */
bool qv__field_type_parse(struct qv__str name, enum qv__field_type *out);

/* Longer strings, and rows with more values, are not held: such rows are looked at one by one. */
#define QV__FIELD_TERM_MAX       512u
#define QV__FIELD_ROW_VALUES_MAX 1024u

/* Append the block of rows [0, n_rows) behind what is in `out`. row() gives a row's payload, which
 * must stay where it is during the call. QV_ENOMEM; QV_ECANCELLED soon after
 * *cancel (may be NULL) is set. */
struct qv__field_source {
    struct qv__bytes (*row)(void *ctx, uint32_t i);
    void *ctx;
    uint32_t n_rows; /* 1 to QV__BLOCK_ROWS */
    const _Atomic bool *cancel;
    const struct qv__tokenizer *tokenizer; /* TEXT */
};
qv_status qv__field_build(enum qv__field_type type, const struct qv__path *path,
                          const struct qv__field_source *src, struct qv__mem *mem,
                          struct qv__buf *out, struct qv_err *err) QV_MUST_USE;

#define QV__FIELD_PARTS 16u
struct qv__field_block {
    enum qv__field_type type;
    uint32_t n_rows;
    struct qv__bytes part[QV__FIELD_PARTS]; /* borrowed */
    uint32_t n_terms;                       /* KEYWORD, UUID, BOOL */
    uint32_t n_single, n_multi;             /* the others: values of rows with one, with several */
    uint32_t width, n_marks;                /* of a stored value, in bytes; see field_numbers.c */
    int64_t base;                           /* TEXT: the signature of the tokenizer */
    const struct qv__tokenizer *tokenizer;  /* TEXT; to be set once it is open, borrowed */
};
/* Open in place; `bytes` must live as long. With `verify` all content is proved, else what is
 * needed to read safely. False: malformed, or not of this type and so many rows. */
bool qv__field_block_open(struct qv__bytes bytes, enum qv__field_type type, uint32_t n_rows,
                          bool verify, struct qv__field_block *out);

/* Values that rows hold at a path, for counting: strings, whole numbers and truth values; an
 * element that is anything else is none. A row that holds one twice counts once. */
typedef void (*qv__facet_cb)(void *ctx, const struct qv__match_value *v, uint32_t count);
static inline bool qv__field_has_facets(enum qv__field_type t)
{
    return t == QV__FIELD_KEYWORD || t == QV__FIELD_UUID || t == QV__FIELD_BOOL ||
           t == QV__FIELD_INTEGER;
}
/* Each value with the number of rows of words[QV__BLOCK_WORDS] that hold it. What the index cannot
 * tell of is left to `rest`: rows to be asked one by one instead (none of their values is
 * counted here). False: the index is of a type without such values, and nothing was called. */
bool qv__field_facets(const struct qv__field_block *b, const uint64_t *words, uint64_t *rest,
                      qv__facet_cb cb, void *ctx);
/* The values of one row; called with count 1, more than once for a value that is there twice. */
void qv__row_facets(struct qv__bytes row, const struct qv__path *path, qv__facet_cb cb, void *ctx);

/* An order by the values of an index of whole numbers, floats or dates. */
struct qv__order {
    enum qv__field_type type; /* of the index */
    bool descending;
    bool
        each_value; /* a row counts once for each of its values, else once, for the first of them */
    /* values before this are left out; of an index of dates an integer is microseconds */
    enum { QV__START_NONE = 0, QV__START_INT, QV__START_FLOAT } start;
    int64_t start_int;
    double start_float;
};
static inline bool qv__field_has_order(enum qv__field_type t)
{
    return t == QV__FIELD_INTEGER || t == QV__FIELD_FLOAT || t == QV__FIELD_DATETIME;
}
/* `key` orders as the value does; see qv__order_value. False: later keys of this list (no less, or
 * no greater, than this one) are not wanted. */
typedef bool (*qv__order_cb)(void *ctx, int64_t key, uint32_t row);
/* Values of the rows of words[QV__BLOCK_WORDS], in two lists, each in order; a value that a row
 * holds twice is one. What the index cannot tell of is left to `rest`: rows to be asked one by one,
 * none of their values comes here. */
void qv__field_order(const struct qv__field_block *b, const struct qv__order *o,
                     const uint64_t *words, uint64_t *rest, qv__order_cb cb, void *ctx);
/* The same of one row without an index. A row of very many values takes memory of the query's, and
 * `steps`: once they have ended values may be left out. */
void qv__row_order(struct qv__bytes row, const struct qv__path *path, const struct qv__order *o,
                   qv__order_cb cb, void *ctx, struct qv__steps *steps);
/* The double of a key of a float index; keys of the other types are the values themselves. */
double qv__field_key_double(int64_t key);

/* Rows of the block for which the condition holds for certain (lo) and possibly (up), as
 * words[QV__BLOCK_WORDS] each; `up` includes `lo`. The condition's path is the index's. Once
 * `steps` (NULL = as many as it takes) have ended the sets mean nothing. */
void qv__field_bounds(const struct qv__field_block *b, const struct qv__cond *c, uint64_t *lo,
                      uint64_t *up, struct qv__steps *steps);

#endif
