/* row_cache.h: copies of those vectors that searches measure again and again.
 *
 * What it is: a bounded cache, vector by vector, in front of a run that lies in a mapped file. The
 * system keeps such a file in pages of 4 KiB, but a search wants a few vectors from anywhere: of 10
 * vectors of 100 dimensions in a page, or of two of 512, it wants one. So where memory is short,
 * pages hold much that nobody asks for, and a copy of what is asked for takes a half to a tenth of
 * them. A vector is copied when it is measured for the second time; a full cache gives up what was
 * not hit lately (a clock), and then copies only now and then, so that searches that never ask
 * again do not pay for it.
 * What it is not: needed for anything; a miss is read where it lies, and lack of memory only means
 * fewer copies. The vectors never change while it lives.
 *
 * Threads: any. Nobody waits: a pin and an unpin are an atomic addition each; who finds another one
 * copying does not copy. */
#ifndef QV_INDEX_ROW_CACHE_H
#define QV_INDEX_ROW_CACHE_H

#include "base/alloc.h"

struct qv__row_cache;

enum { QV__ROW_CACHE_SHARE = 6 }; /* it holds at most one of so many vectors */
#define QV__ROW_CACHE_NONE UINT32_MAX

/* For ordinals [0, n) of row_bytes each. NULL when memory is out. Owner: caller. */
struct qv__row_cache *qv__row_cache_new(struct qv__mem *mem, uint32_t n, uint32_t row_bytes);
/* NULL-safe. Nothing is pinned. */
void qv__row_cache_free(struct qv__row_cache *c);

/* The copy of a vector, which stays while it is pinned, or NULL; *slot is for the unpin, and
 * QV__ROW_CACHE_NONE with NULL. */
const void *qv__row_cache_pin(struct qv__row_cache *c, uint32_t ord, uint32_t *slot);
void qv__row_cache_unpin(struct qv__row_cache *c, uint32_t slot);
/* A vector was measured where it lies: copy it if that seems worth it. */
void qv__row_cache_offer(struct qv__row_cache *c, uint32_t ord, const void *row);

/* Bytes taken, and vectors held. */
size_t qv__row_cache_bytes(const struct qv__row_cache *c);
uint32_t qv__row_cache_count(const struct qv__row_cache *c);

#endif
