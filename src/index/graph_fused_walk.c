/* graph_fused_walk.c: best-first walks over fused records.
 *
 * A beam holds estimates, and is wider than asked for, by half: that finds what a walk over codes
 * finds at the width that was. A node may be in it more than once, as others see it; it is
 * expanded once. So a neighbour's stamp is read only where its estimate is good enough, and an
 * estimate that is too large does not hide a node that another one sees better.
 *
 * As in graph_walk.c the walk is one expansion ahead of itself: the record of the next node is
 * asked for before the one at hand is read. */
#include "index/graph_fused.h"

#include "simd/prefetch.h"

enum {
    CHECK_EVERY = 256, /* estimates between two looks at the deadline, less a record's */
    WIDTH_MAX = 2048,
    WIDER_LEAST = 8,
};

static uint32_t width_of(const struct qv__graph_walk *w)
{
    return w->ef + QV_MAX(w->ef / 2, (uint32_t)WIDER_LEAST);
}

bool qv__fused_serves(const struct qv__graph *g, const struct qv__graph_walk *w)
{
    return g->fused.block && w->to.codes && w->layer == 0 && w->n == g->n_max && !w->has_hidden &&
           w->n_seeds == 0 && w->n_rest == 0 && width_of(w) <= WIDTH_MAX;
}

static void fetch(const struct qv__graph *g, uint32_t node)
{
    qv__prefetch_span(qv__fused_at(g, node), g->fused.rows.stride_bytes);
}

/* Take the nearest open node that was not expanded yet. False when there is none. */
static bool take_next(struct qv__graph_scratch *s, const struct qv__graph_walk *w, uint32_t *node)
{
    while (s->next_open < s->n_best) {
        uint64_t key = s->best[s->next_open];
        if (qv__walk_is_beaten(w, s->n_cand, key)) {
            return false;
        }
        s->best[s->next_open++] |= 1;
        while (s->next_open < s->n_best && s->best[s->next_open] & 1) {
            s->next_open++;
        }
        *node = qv__key_node(key);
        if (s->stamps[*node] != s->epoch) {
            s->stamps[*node] = s->epoch;
            return true;
        }
    }
    return false;
}

/* Measure a node and keep it as a result; offer what lies around it. `next` is the record that is
 * read after it, or NULL. */
static void expand(const struct qv__graph *g, struct qv__graph_scratch *s, struct qv__graph_walk *w,
                   uint32_t node, const uint8_t *next)
{
    const struct qv__graph_fused *f = &g->fused;
    const uint8_t *record = qv__fused_at(g, node);
    const uint32_t *near = (const uint32_t *)(const void *)record;
    const uint8_t *block = record + (size_t)4 * f->n_slots;
    size_t block_bytes = qv__around_bytes(f->quant);
    float own = 0.0f, dists[QV__LOOKUP_CODES];
    for (uint32_t i = 0; i < f->n_slots; i += QV__LOOKUP_CODES) {
        qv__around_estimate(s->around, block, next, dists);
        if (i == 0) { /* its own code comes last, and is waited for last */
            own = qv__quant_dist(w->to.codes, record + f->own_at);
            s->cand[s->n_cand++] = qv__key(own, node);
        }
        float worst = s->n_best < s->ef ? __builtin_inff() : qv__key_dist(s->best[s->n_best - 1]);
        uint32_t good[QV__LOOKUP_CODES], n = 0, n_keys = 0;
        uint64_t keys[QV__LOOKUP_CODES], bound = qv__beam_bound(s);
        for (uint32_t k = 0; k < QV__LOOKUP_CODES; k++) { /* without a branch that is a guess */
            good[n] = k;
            dists[k] += own;
            n += dists[k] < worst;
        }
        for (uint32_t k = 0; k < n; k++) {
            uint32_t to = near[i + good[k]];
            keys[n_keys] = qv__key(dists[good[k]], to);
            n_keys += s->stamps[to] != s->epoch && keys[n_keys] < bound;
        }
        qv__beam_offer_block(s, keys, n_keys);
        s->n_best = QV_MIN(s->n_best, s->ef);
        block += block_bytes;
        next += next ? block_bytes : 0;
    }
    w->hops++;
    w->distances += f->n_slots;
}

/* The results, as many as the beam is wide, become the beam. */
static void settle(struct qv__graph_scratch *s)
{
    uint32_t n = QV_MIN(s->n_cand, s->ef);
    qv__keys_split(s->cand, s->n_cand, n);
    memcpy(s->best, s->cand, n * sizeof *s->best);
    s->n_best = n;
    qv__keys_sort(s->best, n);
}

qv_status qv__fused_walk(struct qv__graph *g, struct qv__graph_scratch *s, struct qv__graph_walk *w)
{
    uint32_t now, next, since_check = 0;
    if (!qv__scratch_begin(g, s, w->n, width_of(w), 0, true)) {
        return QV_ENOMEM;
    }
    fetch(g, w->entry);
    qv__around_query_set(s->around, g->index.vectors.datatype, w->to.vector);
    float own = qv__quant_dist(w->to.codes, qv__fused_at(g, w->entry) + g->fused.own_at);
    qv__beam_offer_linear(s, qv__key(own, w->entry));
    for (bool is_there = take_next(s, w, &now); is_there;) {
        bool has_next = take_next(s, w, &next);
        if (!qv__scratch_room(g, s, 1)) {
            return QV_ENOMEM;
        }
        expand(g, s, w, now, has_next ? qv__fused_at(g, next) : NULL);
        is_there = has_next || take_next(s, w, &next);
        if (!has_next && is_there) {
            fetch(g, next);
        }
        now = next;
        since_check += g->fused.n_slots;
        if (w->ctx && since_check + g->fused.n_slots > CHECK_EVERY) {
            since_check = 0;
            QV_TRY(qv__qctx_check(w->ctx));
        }
    }
    settle(s);
    return QV_OK;
}
