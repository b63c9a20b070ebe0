/* segment_packs.h: room for what indexes make of kept sets of rows.
 *
 * What it is: an index packs a set that a filter gives again and again (index.h, struct
 * qv__index_packed); the packs of a set are kept with it. All packs of a segment take at most a
 * quarter of what its indexes take, and no new one more than a quarter of what memory is left. One
 * that is asked for gets the room of those that were asked for longest ago, if these are asked for
 * more seldom than it is. What it is not: the packs themselves.
 *
 * Threads: those of a set any; making room is under the segment's lock. */
#ifndef QV_ENGINE_SEGMENT_PACKS_H
#define QV_ENGINE_SEGMENT_PACKS_H

#include "index/index.h"

struct qv__segment;
struct qv__kept_rows;

struct qv__packs {
    _Atomic uint32_t refs;
    uint32_t n;                   /* columns */
    struct qv__index_packed of[]; /* by column of the segment */
};

/* With one reference; NULL: no memory. */
struct qv__packs *qv__packs_new(struct qv__mem *mem, uint32_t n_columns);
struct qv__packs *qv__packs_retain(struct qv__packs *p); /* NULL-safe */
void qv__packs_release(struct qv__packs *p);             /* NULL-safe */

/* Room for what is wanted of a set that was just looked up. Returns sets that were taken out of the
 * cache for it, a list by `next`, to be released without the lock. Under the segment's lock. */
struct qv__kept_rows *qv__packs_make_room(struct qv__segment *s, struct qv__kept_rows *k);

#endif
