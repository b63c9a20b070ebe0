/* topk.c: a binary max-heap by (distance, key), and its in-place heap sort.
 *
 * Order is total (distance, then key), so which candidates stay does not depend on when they came.
 * A NaN would break the order; it is refused. Nothing allocates. */
#include "base/topk.h"

static void sift_down(struct qv__hit *heap, size_t n, struct qv__hit h)
{
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= n) {
            break;
        }
        if (child + 1 < n && qv__hit_less(heap[child], heap[child + 1])) {
            child++;
        }
        if (!qv__hit_less(h, heap[child])) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = h;
}

static void sift_up(struct qv__hit *heap, size_t at, struct qv__hit h)
{
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (!qv__hit_less(heap[parent], h)) {
            break;
        }
        heap[at] = heap[parent];
        at = parent;
    }
    heap[at] = h;
}

bool qv__topk_push(struct qv__topk *t, float dist, uint64_t key)
{
    struct qv__hit h = {.dist = dist, .key = key};
    bool is_nan = __builtin_isnan(dist);
    QV_DEBUG_ASSERT(!is_nan);
    if (is_nan) {
        return false;
    }
    if (t->n < t->k) {
        sift_up(t->heap, t->n++, h);
        return true;
    }
    if (t->k == 0 || !qv__hit_less(h, t->heap[0])) {
        return false;
    }
    sift_down(t->heap, t->n, h);
    return true;
}

size_t qv__topk_sort(struct qv__topk *t)
{
    for (size_t n = t->n; n > 1; n--) {
        struct qv__hit last = t->heap[n - 1];
        t->heap[n - 1] = t->heap[0];
        sift_down(t->heap, n - 1, last);
    }
    return t->n;
}
