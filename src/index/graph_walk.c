/* graph_walk.c: greedy and best-first walks over one layer (algorithms 2 and 5 of Malkov and
 * Yashunin, 2016, "Efficient and robust approximate nearest neighbor search using HNSW").
 *
 * What is ours:
 * (1) Neighbours are first reduced to those not visited yet, without a branch that depends on it;
 *     then their vectors are asked for; then one call computes all distances. So cache misses
 *     overlap each other, not arithmetic and bookkeeping in turns.
 * (2) A walk over the base is one expansion ahead of itself: the neighbours of the second nearest
 *     node are collected and asked for before those of the nearest one are compared, so that their
 *     lines arrive meanwhile. Now and then the second would not have been second had the walk
 *     waited; nearly all of a beam gets expanded anyway, so that costs 1 to 3 % more distances.
 *     Records of the nodes that will probably be expanded next are asked for, too.
 * (3) What a block's comparison found goes into the beam at once (simd/keys.h), not one by one.
 * (4) A walk with patience ends before its beam is expanded, once its nearest nodes have not
 *     changed for a while: easy queries end early, hard ones have a wider beam. (Cf. "patience" in
 *     Teofili and Lin, 2025, "Patience in proximity".)
 * Searches with a filter that rank allowed nodes only have a walk of their own: graph_filter.c.
 *
 * A reader may run beside one writer: see graph.h. No locks, no allocation once the scratch fits.
 */
#include "index/graph_walk.h"

#include "simd/prefetch.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    /* Distances between two looks at the deadline; with a block more it stays under 256. */
    CHECK_EVERY = 256 - QV__GRAPH_BLOCK,
    /* Rows asked for before the kernel runs; it fetches ahead itself from then on. */
    FETCH_ROWS = 4,
    FETCH_BYTES = 256,
    FETCH_AHEAD = 2, /* records of nodes that may be expanded next, */
    LOOK_AHEAD = 8,  /* among so many entries of the beam */
};

/* Neighbours under comparison. */
struct block {
    uint32_t n;
    bool is_last; /* the record ended here */
    uint32_t nodes[QV__GRAPH_BLOCK];
    float dists[QV__GRAPH_BLOCK];
    const uint8_t *codes[QV__GRAPH_BLOCK]; /* of a walk over codes, once they are asked for */
};

INLINE uint32_t visit(struct qv__graph_scratch *s, uint32_t node)
{
    uint32_t is_new = s->stamps[node] != s->epoch;
    s->stamps[node] = s->epoch;
    return is_new;
}

/* Load up to a block of links into nodes[]; those at or past n are left out. */
INLINE void block_load(const struct qv__graph *g, const uint32_t *links, uint32_t n_links,
                       uint32_t layer, uint32_t n, struct qv__graph_scratch *s, struct block *b)
{
    uint32_t fill = 0;
    b->is_last = false;
    for (uint32_t i = 0; i < n_links; i++) {
        uint32_t node = layer ? qv__graph_link_acquire(links + i) : qv__graph_link_load(links + i);
        /* One comparison for both where a node is its ordinal: no ordinal is EMPTY. */
        if (layer ? QV_UNLIKELY(node == QV__GRAPH_EMPTY) : QV_UNLIKELY(node >= n)) {
            if (node == QV__GRAPH_EMPTY) {
                b->is_last = true;
                break;
            }
            continue;
        }
        if (layer && QV_UNLIKELY(qv__graph_upper_at(g, layer, node)->ord >= n)) {
            continue;
        }
        b->nodes[fill] = node;
        fill += s ? visit(s, node) : 1;
    }
    b->n = fill;
}

INLINE void measure_vectors(const struct qv__graph *g, const void *query, uint32_t layer,
                            const uint32_t *nodes, uint32_t n, float *dists)
{
    const void *rows[QV__GRAPH_BLOCK];
    size_t head = QV_MIN((size_t)g->index.vectors.stride_bytes, (size_t)FETCH_BYTES);
    for (uint32_t i = 0; i < n; i++) {
        rows[i] = qv__graph_vector(g, qv__graph_ord(g, layer, nodes[i]));
        if (i < FETCH_ROWS) {
            qv__prefetch_span(rows[i], head);
        }
    }
    g->kernels.gather(query, rows, n, g->index.vectors.dim, dists);
    for (uint32_t i = 0; i < n; i++) {
        dists[i] = qv__kernels_dist(g->kernels.is_similarity, dists[i]);
    }
}

INLINE const uint8_t *code_at(const struct qv__graph *g, const struct qv__graph_target *to,
                              uint32_t layer, uint32_t node)
{
    const struct qv__rows *rows = to->is_narrow ? &g->narrow.codes : &g->codes;
    return qv__rows_at(rows, qv__graph_ord(g, layer, node));
}

INLINE void measure_codes(const struct qv__graph *g, const struct qv__graph_target *to,
                          uint32_t layer, const uint32_t *nodes, uint32_t n, float *dists)
{
    const uint8_t *codes[QV__GRAPH_BLOCK];
    for (uint32_t i = 0; i < n; i++) {
        codes[i] = code_at(g, to, layer, nodes[i]);
        if (i < FETCH_ROWS) {
            qv__prefetch_span(codes[i], to->codes->code_bytes);
        } else { /* the rest of it is asked for when its turn is next */
            qv__prefetch(codes[i]);
        }
    }
    to->codes->gather(to->codes, codes, n, dists, NULL);
}

INLINE void measure(const struct qv__graph *g, const struct qv__graph_target *to, uint32_t layer,
                    const uint32_t *nodes, uint32_t n, float *dists)
{
    if (n == 0) {
        return;
    }
    if (to->codes) {
        measure_codes(g, to, layer, nodes, n, dists);
    } else {
        measure_vectors(g, to->vector, layer, nodes, n, dists);
    }
}

void qv__walk_measure(const struct qv__graph *g, const struct qv__graph_target *to, uint32_t layer,
                      const uint32_t *nodes, uint32_t n, float *dists)
{
    measure(g, to, layer, nodes, n, dists);
}

/* Of neighbours whose codes have been asked for, at least one. */
INLINE void measure_block(const struct qv__graph *g, const struct qv__graph_target *to,
                          uint32_t layer, struct block *b)
{
    if (to->codes) {
        to->codes->gather(to->codes, b->codes, b->n, b->dists, NULL);
    } else {
        measure_vectors(g, to->vector, layer, b->nodes, b->n, b->dists);
    }
}

INLINE uint64_t block_key(const struct block *b, uint32_t i)
{
    return qv__key(b->dists[i], b->nodes[i]);
}

static uint64_t entry_key(const struct qv__graph *g, const struct qv__graph_target *to,
                          uint32_t layer, uint32_t node)
{
    float dist;
    measure(g, to, layer, &node, 1, &dist);
    return qv__key(dist, node);
}

uint32_t qv__walk_greedy(const struct qv__graph *g, const struct qv__graph_target *to,
                         uint32_t layer, uint32_t node, uint32_t n, uint64_t *distances)
{
    struct block b;
    uint64_t at = entry_key(g, to, layer, node);
    uint64_t done = 1;
    for (bool moved = true; moved;) {
        moved = false;
        const uint32_t *links = qv__graph_upper_at(g, layer, qv__key_node(at))->links;
        b.is_last = false;
        for (uint32_t i = 0; i < g->m && !b.is_last; i += QV__GRAPH_BLOCK) {
            block_load(g, links + i, QV_MIN(g->m - i, (uint32_t)QV__GRAPH_BLOCK), layer, n, NULL,
                       &b);
            measure(g, to, layer, b.nodes, b.n, b.dists);
            done += b.n;
            for (uint32_t j = 0; j < b.n; j++) {
                uint64_t key = block_key(&b, j);
                if (key < at) {
                    at = key;
                    moved = true;
                }
            }
        }
    }
    *distances += done;
    return qv__graph_upper_at(g, layer, qv__key_node(at))->down;
}

INLINE void fetch_links(const struct qv__graph *g, uint32_t layer, uint32_t node)
{
    const uint8_t *record = layer ? (const uint8_t *)qv__graph_upper_at(g, layer, node)
                                  : (const uint8_t *)qv__graph_base_links(g, node);
    qv__prefetch(record);
    qv__prefetch(record + QV__GRAPH_ALIGN);
}

/* Where the sorted-array walk is in the links of the node it expands. */
struct reading {
    const uint32_t *links;
    uint32_t at; /* the next link; as many as a record holds: it is read */
};

/* Collect neighbours not met before, of the nearest node that is open, or of the next ones if it
 * has none, and ask for their codes. False when there are none: nothing is open. */
INLINE bool block_next(const struct qv__graph *g, struct qv__graph_scratch *s,
                       struct qv__graph_walk *w, uint32_t layer, struct reading *r, struct block *b)
{
    uint32_t cap = qv__graph_cap(g, layer);
    do {
        if (r->at >= cap) {
            if (s->next_open >= s->n_best ||
                qv__walk_is_beaten(w, s->next_open, s->best[s->next_open])) {
                b->n = 0;
                return false;
            }
            uint32_t node = qv__key_node(s->best[s->next_open]);
            s->best[s->next_open] |= 1;
            while (++s->next_open < s->n_best && s->best[s->next_open] & 1) {
            }
            w->hops++;
            *r = (struct reading){.links = qv__graph_links(g, layer, node)};
        }
        uint32_t n = QV_MIN(cap - r->at, (uint32_t)QV__GRAPH_BLOCK);
        block_load(g, r->links + r->at, n, layer, w->n, s, b);
        r->at = b->is_last ? cap : r->at + n;
    } while (b->n == 0);
    for (uint32_t i = 0; w->to.codes && i < b->n; i++) {
        b->codes[i] = code_at(g, &w->to, layer, b->nodes[i]);
        qv__prefetch_span(b->codes[i], w->to.codes->code_bytes);
    }
    return true;
}

/* Ask for the records of the first open nodes. */
INLINE void fetch_ahead(const struct qv__graph *g, const struct qv__graph_scratch *s,
                        uint32_t layer)
{
    uint32_t end = QV_MIN(s->n_best, s->next_open + LOOK_AHEAD), n = 0;
    for (uint32_t i = s->next_open; i < end && n < FETCH_AHEAD; i++) {
        if (!(s->best[i] & 1)) {
            fetch_links(g, layer, qv__key_node(s->best[i]));
            n++;
        }
    }
}

/* Put what was compared into the beam, and what that leaves out into the rest if there is to be
 * one. is_changed: one of the n_top nearest is new, or there are not ef yet. False when memory is
 * out. */
INLINE bool block_offer(struct qv__graph *g, struct qv__graph_scratch *s, const struct block *b,
                        bool has_rest, uint32_t n_top, uint32_t ef, bool *is_changed)
{
    uint64_t keys[QV__GRAPH_BLOCK], bound = qv__beam_bound(s);
    uint32_t n = 0;
    if (has_rest && !qv__scratch_room(g, s, b->n + 1)) {
        return false;
    }
    uint64_t top = n_top && s->n_best >= ef ? s->best[n_top - 1] : UINT64_MAX;
    bool new_top = false;
    for (uint32_t j = 0; j < b->n; j++) {
        uint64_t key = block_key(b, j);
        keys[n] = key;
        n += key < bound;
        new_top |= key < top;
        if (has_rest) {
            s->cand[s->n_cand] = key;
            s->n_cand += key >= bound;
        }
    }
    *is_changed = new_top;
    qv__beam_offer_block(s, keys, n);
    for (uint32_t i = s->ef; has_rest && i < s->n_best; i++) {
        s->cand[s->n_cand++] = s->best[i] & ~UINT64_C(1);
    }
    s->n_best = QV_MIN(s->n_best, s->ef);
    return true;
}

/* The sorted-array walk. `layer` is a constant 0 in the copies that matter, has_rest always one. */
INLINE qv_status walk_linear(struct qv__graph *g, struct qv__graph_scratch *s,
                             struct qv__graph_walk *w, uint32_t layer, bool has_rest)
{
    struct block blocks[2];
    struct reading r = {.at = qv__graph_cap(g, layer)};
    uint32_t since_check = 0, now = 0;
    bool is_changed = false;
    uint64_t changed = 0; /* hops when the n_top nearest last changed */
    bool is_there = block_next(g, s, w, layer, &r, &blocks[0]);
    while (is_there || block_next(g, s, w, layer, &r, &blocks[now])) {
        struct block *b = &blocks[now];
        now ^= 1;
        is_there = block_next(g, s, w, layer, &r, &blocks[now]);
        measure_block(g, &w->to, layer, b);
        w->distances += b->n;
        if (!block_offer(g, s, b, has_rest, w->patience ? w->n_top : 0, w->ef, &is_changed)) {
            return QV_ENOMEM;
        }
        changed = is_changed ? w->hops : changed;
        if (!has_rest && w->patience && w->hops - changed >= w->patience) {
            break;
        }
        fetch_ahead(g, s, layer);
        since_check += b->n;
        if (w->ctx && since_check >= CHECK_EVERY) {
            since_check = 0;
            QV_TRY(qv__qctx_check(w->ctx));
        }
    }
    return QV_OK;
}

/* Likewise for what is no sorted array: nearer than the open node are at least those expanded. */
INLINE bool is_beaten_heap(const struct qv__graph_scratch *s, const struct qv__graph_walk *w,
                           uint64_t key)
{
    return w->beam && w->beam->n >= w->ef && s->n_best >= w->ef_least && w->hops >= w->ef_least &&
           w->beam->dists[w->ef - 1] < qv__key_dist(key);
}

/* The two-heap walk: a beam too wide for the sorted array. */
static qv_status walk_heaps(struct qv__graph *g, struct qv__graph_scratch *s,
                            struct qv__graph_walk *w, uint32_t layer)
{
    struct block b;
    uint32_t cap = qv__graph_cap(g, layer);
    uint32_t since_check = 0;
    while (s->n_cand) {
        uint64_t key = ~s->cand[0];
        if (key > qv__beam_bound(s) || is_beaten_heap(s, w, key)) {
            break;
        }
        qv__heap_pop(s->cand, &s->n_cand);
        if (s->n_cand) {
            fetch_links(g, layer, qv__key_node(~s->cand[0]));
        }
        w->hops++;
        const uint32_t *links = qv__graph_links(g, layer, qv__key_node(key));
        b.is_last = false;
        for (uint32_t i = 0; i < cap && !b.is_last; i += QV__GRAPH_BLOCK) {
            block_load(g, links + i, QV_MIN(cap - i, (uint32_t)QV__GRAPH_BLOCK), layer, w->n, s,
                       &b);
            measure(g, &w->to, layer, b.nodes, b.n, b.dists);
            w->distances += b.n;
            if (!qv__scratch_room(g, s, b.n)) {
                return QV_ENOMEM;
            }
            for (uint32_t j = 0; j < b.n; j++) {
                key = block_key(&b, j);
                if (key < qv__beam_bound(s)) {
                    qv__heap_push(s->cand, &s->n_cand, ~key);
                    qv__beam_offer(s, key);
                }
            }
            since_check += b.n;
            if (w->ctx && since_check >= CHECK_EVERY) {
                since_check = 0;
                QV_TRY(qv__qctx_check(w->ctx));
            }
        }
    }
    return QV_OK;
}

/* Put the seeds into the beam, beside the entry, where they wait to be expanded. */
static bool begin_with(struct qv__graph *g, struct qv__graph_scratch *s, struct qv__graph_walk *w)
{
    float dists[QV__GRAPH_BLOCK];
    measure(g, &w->to, w->layer, w->seeds, w->n_seeds, dists);
    if ((!s->is_linear || w->n_rest) && !qv__scratch_room(g, s, w->n_seeds)) {
        return false;
    }
    for (uint32_t i = 0; i < w->n_seeds; i++) {
        uint64_t key = qv__key(dists[i], w->seeds[i]);
        w->distances++;
        if (!visit(s, w->seeds[i])) {
            continue;
        }
        if (s->is_linear && w->n_rest) {
            qv__beam_offer_rest(s, key);
        } else if (key < qv__beam_bound(s)) {
            qv__beam_offer(s, key);
            if (!s->is_linear) {
                qv__heap_push(s->cand, &s->n_cand, ~key);
            }
        }
    }
    return true;
}

qv_status qv__walk_beam(struct qv__graph *g, struct qv__graph_scratch *s, struct qv__graph_walk *w)
{
    bool is_linear = w->ef <= QV__BEAM_LINEAR_MAX;
    uint32_t width = w->patience ? w->width : w->ef;
    QV_ASSERT(!w->patience || (is_linear && w->width >= w->ef && w->n_top - 1 < w->ef &&
                               w->width <= QV__BEAM_LINEAR_MAX && !w->n_rest));
    if (!qv__scratch_begin(g, s, w->n, width, w->n_rest, is_linear)) {
        return QV_ENOMEM;
    }
    uint64_t key = entry_key(g, &w->to, w->layer, w->entry);
    visit(s, w->entry);
    if (w->has_hidden) {
        visit(s, w->hidden);
    }
    w->distances++;
    qv__beam_offer(s, key);
    if (w->n_seeds && !begin_with(g, s, w)) {
        return QV_ENOMEM;
    }
    if (is_linear) {
        if (w->n_rest) {
            return w->layer ? walk_linear(g, s, w, w->layer, true) : walk_linear(g, s, w, 0, true);
        }
        return w->layer ? walk_linear(g, s, w, w->layer, false) : walk_linear(g, s, w, 0, false);
    }
    qv__heap_push(s->cand, &s->n_cand, ~key);
    return walk_heaps(g, s, w, w->layer);
}
