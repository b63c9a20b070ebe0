/* graph_scratch.c: memory of one walk, and the beam's two forms.
 *
 * Scratches hang off the graph in a list under a leaf lock that is held for two pointer moves, so
 * there is no thread-local or global state and an idle index keeps only as many as ever ran at
 * once. They only grow: a walk at full speed allocates nothing.
 *
 * Visited nodes are stamped with an 8-bit epoch: starting a walk costs an increment, and every
 * 255th walk clears the array. A byte a node, because stamps are read all over the array and should
 * stay in the cache. */
#include "index/graph_walk.h"

#include "bitmap/bitset.h"

enum {
    SORT_INSERT = 16, /* keys that are sorted by insertion */
    SORT_DEPTH = 40,  /* partitions of partitions: far more than any but bad luck takes */
};

struct qv__graph_scratch *qv__scratch_take(struct qv__graph *g)
{
    qv__mutex_lock(&g->lock);
    struct qv__graph_scratch *s = g->scratch;
    if (s) {
        g->scratch = s->next;
    }
    qv__mutex_unlock(&g->lock);
    if (!s && (s = qv__graph_mem(g, 0, sizeof *s))) {
        *s = (struct qv__graph_scratch){.merge = qv__keys_merge_of(g->index.simd)};
    }
    struct qv_err err; /* memory is all that can lack */
    bool is_ok = true;
    if (s && g->narrow.quant && !s->narrow) {
        is_ok = qv__quant_query_new(g->narrow.quant, g->index.mem, &s->narrow, &err) == QV_OK;
    } else if (s && g->quant && !g->narrow.quant && !s->pair) {
        is_ok = (s->to || qv__quant_query_new(g->quant, g->index.mem, &s->to, &err) == QV_OK) &&
                qv__quant_query_new(g->quant, g->index.mem, &s->pair, &err) == QV_OK;
    }
    if (is_ok && s && g->fused.block && !s->around) {
        is_ok = qv__around_query_new(g->fused.quant, g->index.mem, &s->around, &err) == QV_OK;
    }
    if (!is_ok) {
        qv__scratch_give(g, s);
        return NULL;
    }
    return s;
}

void qv__scratch_give(struct qv__graph *g, struct qv__graph_scratch *s)
{
    if (!s) {
        return;
    }
    qv__mutex_lock(&g->lock);
    s->next = g->scratch;
    g->scratch = s;
    qv__mutex_unlock(&g->lock);
}

void qv__scratch_drop(struct qv__graph *g)
{
    struct qv__graph_scratch *s;
    while ((s = g->scratch)) {
        g->scratch = s->next;
        qv__graph_mem_free(g, s->stamps, s->n_stamps * sizeof *s->stamps);
        qv__graph_mem_free(g, s->seen, s->n_seen * sizeof *s->seen);
        qv__graph_mem_free(g, s->best, s->cap_best * sizeof *s->best);
        qv__graph_mem_free(g, s->cand, s->cap_cand * sizeof *s->cand);
        qv__quant_query_free(s->to);
        qv__quant_query_free(s->pair);
        qv__quant_query_free(s->narrow);
        qv__around_query_free(s->around);
        qv__around_query_free(s->packed);
        qv__graph_mem_free(g, s, sizeof *s);
    }
}

/* Grow an array of keys to at least `n`, by half at least. The contents are kept. */
static bool keys_reserve(struct qv__graph *g, uint64_t **keys, uint32_t n_used, uint32_t *cap,
                         uint32_t n)
{
    if (n <= *cap) {
        return true;
    }
    uint32_t grown = QV_MAX(QV_MAX(n, *cap + *cap / 2), 256u);
    uint64_t *fresh = qv__graph_mem(g, QV__GRAPH_ALIGN, grown * sizeof *fresh);
    if (!fresh) {
        return false;
    }
    if (n_used) {
        memcpy(fresh, *keys, n_used * sizeof *fresh);
    }
    qv__graph_mem_free(g, *keys, *cap * sizeof *fresh);
    *keys = fresh;
    *cap = grown;
    return true;
}

/* A growing graph asks for a little more each time: grow by half, up to what it can ever hold. */
static bool stamps_reserve(struct qv__graph *g, struct qv__graph_scratch *s, uint32_t n)
{
    if (n <= s->n_stamps) {
        return true;
    }
    uint32_t grown = QV_MIN(QV_MAX(n, s->n_stamps + s->n_stamps / 2), QV_MAX(n, g->n_max));
    uint8_t *fresh = qv__graph_mem(g, QV__GRAPH_ALIGN, grown * sizeof *fresh);
    if (!fresh) {
        return false;
    }
    memset(fresh, 0, grown * sizeof *fresh);
    qv__graph_mem_free(g, s->stamps, s->n_stamps * sizeof *s->stamps);
    s->stamps = fresh;
    s->n_stamps = grown;
    s->epoch = 0;
    return true;
}

bool qv__scratch_unseen(struct qv__graph *g, struct qv__graph_scratch *s, uint32_t n_nodes)
{
    uint32_t n = (uint32_t)qv__bitset_words(n_nodes);
    if (n > s->n_seen) {
        uint32_t most = (uint32_t)qv__bitset_words(QV_MAX(g->n_max, n_nodes));
        uint32_t grown = QV_MIN(QV_MAX(n, s->n_seen + s->n_seen / 2), most);
        uint64_t *fresh = qv__graph_mem(g, QV__GRAPH_ALIGN, grown * sizeof *fresh);
        if (!fresh) {
            return false;
        }
        qv__graph_mem_free(g, s->seen, s->n_seen * sizeof *s->seen);
        s->seen = fresh;
        s->n_seen = grown;
    }
    memset(s->seen, 0, n * sizeof *s->seen);
    return true;
}

void qv__scratch_epoch(struct qv__graph_scratch *s)
{
    if (++s->epoch == 0) {
        memset(s->stamps, 0, s->n_stamps * sizeof *s->stamps);
        s->epoch = 1;
    }
}

bool qv__scratch_begin(struct qv__graph *g, struct qv__graph_scratch *s, uint32_t n_nodes,
                       uint32_t ef, uint32_t n_rest, bool is_linear)
{
    if (!stamps_reserve(g, s, n_nodes) ||
        !keys_reserve(g, &s->best, 0, &s->cap_best, ef + n_rest + QV__GRAPH_BLOCK) ||
        (!is_linear && !keys_reserve(g, &s->cand, 0, &s->cap_cand, ef))) {
        return false;
    }
    qv__scratch_epoch(s);
    s->is_linear = is_linear;
    s->ef = ef;
    s->n_best = 0;
    s->n_cand = 0;
    s->next_open = 0;
    return true;
}

bool qv__scratch_room(struct qv__graph *g, struct qv__graph_scratch *s, uint32_t n)
{
    return keys_reserve(g, &s->cand, s->n_cand, &s->cap_cand, s->n_cand + n);
}

/* Lomuto's partition without a branch that depends on a key, around the middle one of three, which
 * is put between what is smaller and the others. Returns where it is. */
static uint32_t keys_part(uint64_t *keys, uint32_t n)
{
    uint64_t a = keys[0], b = keys[n / 2], c = keys[n - 1];
    uint64_t pivot = QV_MAX(QV_MIN(a, b), QV_MIN(QV_MAX(a, b), c));
    uint32_t at = pivot == a ? 0 : pivot == b ? n / 2 : n - 1, n_smaller = 0;
    keys[at] = keys[n - 1];
    for (uint32_t i = 0; i < n - 1; i++) {
        uint64_t key = keys[i];
        keys[i] = keys[n_smaller];
        keys[n_smaller] = key;
        n_smaller += key < pivot;
    }
    keys[n - 1] = keys[n_smaller];
    keys[n_smaller] = pivot;
    return n_smaller;
}

void qv__keys_split(uint64_t *keys, uint32_t n, uint32_t n_first)
{
    while (n_first > 0 && n_first < n) {
        uint32_t at = keys_part(keys, n);
        if (n_first <= at) {
            n = at;
        } else { /* the pivot has its place */
            keys += at + 1;
            n -= at + 1;
            n_first -= at + 1;
        }
    }
}

uint32_t qv__beam_rest(struct qv__graph_scratch *s, uint32_t n)
{
    if (!s->is_linear) {
        return s->n_best;
    }
    n = QV_MIN(n, s->n_cand);
    if (n == 0) { /* there may be no room for candidates either */
        return s->n_best;
    }
    qv__keys_split(s->cand, s->n_cand, n);
    memcpy(s->best + s->n_best, s->cand, n * sizeof *s->best);
    qv__keys_sort(s->best + s->n_best, n);
    return s->n_best + n;
}

static void keys_sort_heap(uint64_t *keys, uint32_t n)
{
    for (uint32_t i = 1; i < n;) {
        qv__heap_push(keys, &i, keys[i]);
    }
    while (n > 1) {
        uint64_t largest = keys[0];
        qv__heap_pop(keys, &n);
        keys[n] = largest;
    }
}

/* Quicksort, down to runs that are inserted; heaps where its partitions are bad. */
static void keys_sort_to(uint64_t *keys, uint32_t n, unsigned depth)
{
    for (; n > SORT_INSERT; depth--) {
        if (depth == 0) {
            keys_sort_heap(keys, n);
            return;
        }
        uint32_t at = keys_part(keys, n);
        if (at < n / 2) {
            keys_sort_to(keys, at, depth - 1);
            keys += at + 1;
            n -= at + 1;
        } else {
            keys_sort_to(keys + at + 1, n - at - 1, depth - 1);
            n = at;
        }
    }
    for (uint32_t i = 1; i < n; i++) {
        uint64_t key = keys[i];
        uint32_t at = i;
        for (; at > 0 && keys[at - 1] > key; at--) {
            keys[at] = keys[at - 1];
        }
        keys[at] = key;
    }
}

void qv__keys_sort(uint64_t *keys, uint32_t n)
{
    keys_sort_to(keys, n, SORT_DEPTH);
}

void qv__heap_push(uint64_t *heap, uint32_t *n, uint64_t key)
{
    uint32_t at = (*n)++;
    while (at > 0 && heap[(at - 1) / 2] < key) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = key;
}

void qv__heap_replace(uint64_t *heap, uint32_t n, uint64_t key)
{
    uint32_t at = 0;
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        child += child + 1 < n && heap[child + 1] > heap[child];
        if (heap[child] <= key) {
            break;
        }
        heap[at] = heap[child];
    }
    heap[at] = key;
}

void qv__heap_pop(uint64_t *heap, uint32_t *n)
{
    uint64_t last = heap[--*n];
    if (*n) {
        qv__heap_replace(heap, *n, last);
    }
}

void qv__beam_sort(struct qv__graph_scratch *s)
{
    if (s->is_linear) {
        return;
    }
    uint32_t n = s->n_best;
    while (n > 1) {
        uint64_t worst = s->best[0];
        qv__heap_pop(s->best, &n);
        s->best[n] = worst;
    }
}
