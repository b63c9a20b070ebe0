/* segment_cache.h: which rows matched a filter, kept per segment.
 *
 * What it is: the sets that recent filters gave, found again by the filter's bytes. Rows never
 * change, so what matched stays right for the rows there were; deletions are taken from a kept set
 * before it is used again. A segment keeps at most QV__CACHE_BYTES_PER_ROW for each of its rows,
 * in its own memory account; the set used longest ago goes first. When memory is short nothing is
 * kept. What it is not: shared between segments; told of indexes (an answer does not depend on
 * them).
 *
 * Threads: any. A set that is handed out is immutable and lives until it is released. */
#ifndef QV_ENGINE_SEGMENT_CACHE_H
#define QV_ENGINE_SEGMENT_CACHE_H

#include "bitmap/bitset.h"
#include "engine/segment.h"
#include "engine/segment_packs.h"

#define QV__CACHE_BYTES_PER_ROW 16u
#define QV__CACHE_ROWS_LEAST    4096u /* filters over fewer rows cost next to nothing */

/* A set of rows, immutable. */
struct qv__kept_rows {
    _Atomic uint32_t refs;
    struct qv__bitset rows; /* over [0, n_rows) */
    uint64_t count;
    struct qv__packs *packs; /* of this set, or one that it was left of; NULL = no memory */
    uint64_t hash;
    uint64_t used, before; /* numbers of the last look-ups that asked; guarded by: lock */
    uint64_t n_dead;       /* deletions that are taken from the set */
    uint32_t n_rows;
    struct qv__kept_rows *next; /* of a list of sets that were taken out */
    uint32_t key_n;
    uint8_t key[];
};

struct qv__filter_cache {
    struct qv__kept_rows **sets; /* guarded by: the segment's lock */
    uint32_t n, cap;
    uint64_t bytes, look_ups;
};

void qv__kept_release(struct qv__kept_rows *k); /* NULL-safe */
void qv__filter_cache_free(struct qv__filter_cache *c);
/* Set i, with the cache's reference to it. Under the segment's lock. */
struct qv__kept_rows *qv__filter_cache_take(struct qv__filter_cache *c, uint32_t i);
/* As qv__segment_match, from what is kept if it is there, and kept when it was not. The rows are
 * *out's, or those of *kept; *words points to them. *kept, if it is not NULL, has them all, and is
 * to be released. */
qv_status qv__segment_match_kept(const struct qv__segment *s, const struct qv__schema *schema,
                                 const struct qv__visible *v, const struct qv__filter *f,
                                 struct qv__qctx *ctx, struct qv__bitset *out,
                                 struct qv__kept_rows **kept, const uint64_t **words,
                                 uint64_t *count, struct qv_err *err) QV_MUST_USE;

#endif
