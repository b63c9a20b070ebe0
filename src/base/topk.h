/* topk.h: the k best (smallest distance) of a stream.
 *
 * What it is: a bounded max-heap of (distance, key): the root is the worst of the best, so a new
 * candidate is compared with one value. Ties are broken by the smaller key, so results do not
 * depend on the order of arrival. Distances are never NaN (asserted in debug builds).
 *
 * Threads: one at a time per object. */
#ifndef QV_BASE_TOPK_H
#define QV_BASE_TOPK_H

#include "base/base.h"

struct qv__hit {
    float dist; /* smaller is nearer */
    uint64_t key;
};

struct qv__topk {
    struct qv__hit *heap; /* borrowed from the caller: room for k */
    size_t k, n;
};

static inline bool qv__hit_less(struct qv__hit a, struct qv__hit b)
{
    return a.dist < b.dist || (a.dist == b.dist && a.key < b.key);
}

/* `storage` borrowed until the object dies: k entries. k may be 0. */
static inline void qv__topk_init(struct qv__topk *t, struct qv__hit *storage, size_t k)
{
    t->heap = storage;
    t->k = k;
    t->n = 0;
}
/* The distance a candidate must beat; +inf while not full. */
static inline float qv__topk_bound(const struct qv__topk *t)
{
    return t->n < t->k ? __builtin_inff() : (t->k ? t->heap[0].dist : -__builtin_inff());
}
/* Offer a candidate; true if it was kept. */
bool qv__topk_push(struct qv__topk *t, float dist, uint64_t key);
/* Sort in place, best first; the heap property is gone afterwards. Returns the count. */
size_t qv__topk_sort(struct qv__topk *t);

#endif
