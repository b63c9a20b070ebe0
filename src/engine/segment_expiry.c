/* segment_expiry.c: which rows of a segment expire, and when.
 *
 * The rows with an expiry stand in a binary heap, the earliest on top. `next` repeats the top's
 * instant for readers: while it lies ahead nothing has expired, and a read costs one comparison per
 * segment. Otherwise the expired rows are exactly a connected part of the heap around its top, so
 * that finding them costs their number and not the segment's.
 *
 * A row leaves only from the top, and only once its live bit is cleared: until no reader is older
 * than its deletion, some reader still has to be told that it expired. A row that was replaced or
 * deleted early waits in the heap for its time; it hides nothing that is not hidden anyway. */
#include "engine/segment_impl.h"

void qv__expiry_free(struct qv__expiry *x)
{
    qv__free(x->heap);
    *x = (struct qv__expiry){.next = INT64_MAX};
}

qv_status qv__expiry_reserve(struct qv__segment *s, size_t n)
{
    struct qv__expiry *x = &s->expiry;
    qv_status st = QV_OK;
    if (n == 0) {
        return QV_OK;
    }
    qv__mutex_lock(&s->lock);
    if (x->n + n > x->cap) {
        size_t cap = QV_MAX(x->cap * 2, QV_MAX(x->n + n, (size_t)64));
        uint32_t *grown = qv__realloc(s->mem, x->heap, cap * sizeof *grown);
        if (grown) {
            x->heap = grown;
            x->cap = cap;
        } else {
            st = QV_ENOMEM;
        }
    }
    qv__mutex_unlock(&s->lock);
    return st;
}

static int64_t at(const struct qv__segment *s, size_t i)
{
    return qv__segment_row_expires(s, s->expiry.heap[i]);
}

static void publish(struct qv__segment *s)
{
    atomic_store(&s->expiry.next, s->expiry.n ? at(s, 0) : INT64_MAX);
}

static void swap(struct qv__expiry *x, size_t i, size_t j)
{
    uint32_t row = x->heap[i];
    x->heap[i] = x->heap[j];
    x->heap[j] = row;
}

static void sift_down(struct qv__segment *s, size_t i)
{
    struct qv__expiry *x = &s->expiry;
    for (;;) {
        size_t least = i, left = 2 * i + 1;
        for (size_t k = left; k < x->n && k <= left + 1; k++) {
            least = at(s, k) < at(s, least) ? k : least;
        }
        if (least == i) {
            return;
        }
        swap(x, i, least);
        i = least;
    }
}

void qv__expiry_push(struct qv__segment *s, uint32_t row)
{
    struct qv__expiry *x = &s->expiry;
    QV_ASSERT(x->n < x->cap);
    size_t i = x->n++;
    x->heap[i] = row;
    while (i > 0 && at(s, i) < at(s, (i - 1) / 2)) {
        swap(x, i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
    publish(s);
}

qv_status qv__expiry_open(struct qv__segment *s)
{
    uint32_t n_rows = qv__segment_rows(s), n = 0;
    for (uint32_t row = 0; s->expires && row < n_rows; row++) {
        n += s->expires[row] != INT64_MAX;
    }
    QV_TRY(qv__expiry_reserve(s, n));
    struct qv__expiry *x = &s->expiry;
    for (uint32_t row = 0; n && row < n_rows; row++) {
        if (s->expires[row] != INT64_MAX) {
            x->heap[x->n++] = row;
        }
    }
    for (size_t i = x->n / 2; i-- > 0;) {
        sift_down(s, i);
    }
    publish(s);
    return QV_OK;
}

void qv__expiry_drain(struct qv__segment *s)
{
    struct qv__expiry *x = &s->expiry;
    bool popped = false;
    while (x->n && !qv__bit_test_atomic(s->dead.live, x->heap[0])) {
        x->heap[0] = x->heap[--x->n];
        sift_down(s, 0);
        popped = true;
    }
    if (popped) {
        publish(s);
    }
}

void qv__expiry_mark(const struct qv__segment *s, size_t i, int64_t now_ms, uint32_t n_rows,
                     uint64_t *words)
{
    const struct qv__expiry *x = &s->expiry;
    if (i >= x->n || at(s, i) > now_ms) {
        return;
    }
    if (x->heap[i] < n_rows) {
        qv__bit_clear(words, x->heap[i]);
    }
    qv__expiry_mark(s, 2 * i + 1, now_ms, n_rows, words);
    qv__expiry_mark(s, 2 * i + 2, now_ms, n_rows, words);
}

int64_t qv__segment_next_expiry(const struct qv__segment *s)
{
    return atomic_load(&((struct qv__segment *)(uintptr_t)s)->expiry.next);
}

/* --- what is to be purged --- */

struct gather {
    struct qv__segment *s;
    int64_t now_ms, next_ms;
    uint32_t *rows;
    size_t n, max;
};

static void gather(struct gather *g, size_t i)
{
    struct qv__expiry *x = &g->s->expiry;
    if (i >= x->n || g->n == g->max) {
        return;
    }
    if (at(g->s, i) > g->now_ms) {
        g->next_ms = QV_MIN(g->next_ms, at(g->s, i)); /* what lies below is later */
        return;
    }
    if (qv__dead_alive(&g->s->dead, x->heap[i], QV__LSN_MAX)) {
        g->rows[g->n++] = x->heap[i];
    }
    gather(g, 2 * i + 1);
    gather(g, 2 * i + 2);
}

size_t qv__segment_expired(const struct qv__segment *cs, int64_t now_ms, uint32_t *rows, size_t max,
                           int64_t *next_ms)
{
    struct qv__segment *s = (struct qv__segment *)(uintptr_t)cs;
    struct gather g = {.s = s, .now_ms = now_ms, .next_ms = INT64_MAX, .rows = rows, .max = max};
    if (qv__segment_next_expiry(s) == INT64_MAX) {
        *next_ms = INT64_MAX;
        return 0;
    }
    qv__mutex_lock(&s->lock);
    gather(&g, 0);
    qv__mutex_unlock(&s->lock);
    *next_ms = g.next_ms;
    return g.n;
}
