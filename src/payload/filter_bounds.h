/* filter_bounds.h: a filter over one block of rows, by field indexes.
 *
 * What it is: for a whole filter tree, the rows that certainly match and those that possibly do.
 * A condition without an index says nothing, so what it concerns stays possible; the caller looks
 * at those rows one by one (qv__filter_match) and has the exact answer. Where every condition is
 * served both sets are the same and no row is looked at. Their sizes bound the number of matches.
 * What it is not: the planner's choice among ways to search; that is the engine's. */
#ifndef QV_PAYLOAD_FILTER_BOUNDS_H
#define QV_PAYLOAD_FILTER_BOUNDS_H

#include "payload/field.h"

/* An index, and its block over the rows asked about; NULL: it has none, and says nothing. */
struct qv__field_at {
    const struct qv__path *path;
    const struct qv__field_block *block;
    bool is_text;
};
struct qv__filter_block {
    const struct qv__field_at *fields;
    size_t n_fields;
    uint32_t n_rows; /* of the block; those of an index's block may be more */
    /* What else can be told without rows: exact rows of a HAS_ID or HAS_VECTOR condition into words
     * that are zero. False: it cannot. NULL = never. */
    bool (*known)(void *ctx, const struct qv__cond *c, uint64_t *words);
    void *ctx;
    struct qv__steps *steps; /* what the walk may take; NULL = as much as it takes */
};

/* Memory for walks over one filter; `filter` is borrowed. Free with qv__free. NULL without memory.
 */
struct qv__filter_walk *qv__filter_walk_create(const struct qv__filter *f, struct qv__mem *mem);
/* Bounds of the filter over a block; the sets lie in the walk until its next use, QV__BLOCK_WORDS
 * words each, nothing at or beyond n_rows. `lo` is within `up`. Once the steps have ended the sets
 * mean nothing. */
struct qv__filter_bounds {
    const uint64_t *lo, *up;
};
struct qv__filter_bounds qv__filter_walk_block(struct qv__filter_walk *w,
                                               const struct qv__filter_block *b);
#endif
