/* idmap.h: ids of a sealed segment's rows, both ways.
 *
 * What it is: encoded ids addressed by row, and the rows in id order: a lookup is a binary search, an
 * ordered scan a walk. Built once at seal, then three sections read in place.
 * What it is not: the map of a growing segment (the engine keeps a hash table there).
 * Threads: readers any. */
#ifndef QV_STORE_IDMAP_H
#define QV_STORE_IDMAP_H

#include "base/id.h"
#include "store/segfile.h"

struct qv__idmap {
    uint32_t n;
    struct qv__bytes offsets; /* u32 per row + 1, into data; empty when every id is a u64 (8 bytes each) */
    struct qv__bytes data;
    const uint32_t *order;    /* rows by id */
};

/* Write the three sections. get(ctx, row) gives each row's id (borrowed until the next call).
 * Several rows may hold one id (an old version and its successor): they are neighbours in `order`, by row. */
qv_status qv__idmap_write(struct qv__segw *w, struct qv__mem *mem, uint32_t n,
                          struct qv__id (*get)(void *ctx, uint32_t row), void *ctx, struct qv_err *err) QV_MUST_USE;
/* Open over a segment's sections; all offsets and the permutation are validated. */
qv_status qv__idmap_open(const struct qv__segfile *f, uint32_t n, struct qv__mem *mem, struct qv__idmap *out,
                         struct qv_err *err) QV_MUST_USE;
/* Id of a row (a string is borrowed from the mapping). row < n. */
struct qv__id qv__idmap_get(const struct qv__idmap *m, uint32_t row);
/* Position in `order` of the first id >= key; n if none. */
uint32_t qv__idmap_lower_bound(const struct qv__idmap *m, const struct qv__id *key);
/* Row of the LAST (highest row) entry with this id; false if absent. */
bool qv__idmap_find(const struct qv__idmap *m, const struct qv__id *key, uint32_t *row);

#endif
