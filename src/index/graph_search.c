/* graph_search.c: one query: choose between a walk and an exact scan, run it, hand out the hits.
 *
 * Costs are counted in distances of a scan. A walk with beam ef expands about ef nodes, and each
 * expansion meets about half of a node's links for the first time (measured: 0.3 to 0.6 of them,
 * the less the wider the beam), so it takes ef * degree / 2 distances of QV__WALK_COST each; an
 * exact scan costs one per vector. When the scan is not dearer it is taken, being exact. Searches
 * with a filter have more ways to go: graph_plan.c.
 *
 * A walk over codes finds candidates; the nearest of them are then measured by their vectors, so
 * hits are ordered by, and carry, exact distances.
 *
 * Completeness: a walk that ends with fewer hits than there are (a reader that skips newer nodes
 * may meet a gap; a filter may hide what a small beam needs) is followed by the scan, so that a
 * search always returns min(k, allowed) hits. */
#include "index/graph_entry.h"
#include "index/graph_filter.h"
#include "index/graph_fused.h"
#include "index/row_cache.h"

#include "simd/prefetch.h"

/* Of what a walk over codes found: measured beyond k at once, then at a time; and how many
 * deviations an estimate may be off. */
enum { MEASURE_OVER = 4, MEASURE_STEP = 8 };
enum { CHECK_EVERY = 256 }; /* measured between two looks at the deadline */
/* Vectors asked for before the kernel runs, and how much of each; it fetches ahead itself. */
enum { FETCH_ROWS = 4, FETCH_BYTES = 256 };
/* Of a beam that a walk shares with others, the part (one of so many) that it goes through anyway.
 */
enum { EF_LEAST = 2 };
#define DEVIATIONS 2.0

static qv_status scan(const struct qv__graph *g, const struct qv__index_query *q,
                      struct qv__qctx *ctx, struct qv__index_hit *hits, uint32_t *n_hits,
                      struct qv_err *err)
{
    return qv__scan(g->index.simd, &g->index.vectors, 0, q, ctx, hits, n_hits, err);
}

static void tell_plan(struct qv__qctx *ctx, const char *detail, double estimate, uint64_t before)
{
    if (ctx->plan) {
        ctx->plan->event(ctx->plan, "graph", detail, estimate,
                         (double)(ctx->stats.distances - before));
    }
}

uint32_t qv__graph_descend(struct qv__graph *g, const struct qv__graph_target *to, uint32_t n,
                           uint32_t last, uint64_t *distances)
{
    uint32_t layer = qv__graph_layers(g) - 1;
    uint32_t node = layer ? 0 : g->root;
    for (; layer > last; layer--) {
        node = qv__walk_greedy(g, to, layer, node, n, distances);
    }
    return qv__graph_ord(g, layer, node);
}

/* Over fused records; true if it found k nodes, or failed. Where one node is entered, the layer
 * above the base is left out on the way down: its nodes are as far apart as those that the first
 * expansions go to, and cost more. */
static bool walk_fused(struct qv__graph *g, struct qv__graph_scratch *s, struct qv__graph_walk *w,
                       uint32_t k, qv_status *st)
{
    if (!qv__fused_serves(g, w)) {
        return false;
    }
    if (g->entry_beam > 1) {
        struct qv__entry entry;
        *st = qv__entry_find(g, s, w, &entry);
        w->entry = *st == QV_OK ? entry.nodes[0] : 0;
    } else {
        w->entry = qv__graph_descend(g, &w->to, w->n, 1, &w->distances);
    }
    *st = *st == QV_OK ? qv__fused_walk(g, s, w) : *st;
    return *st != QV_OK || s->n_best >= k;
}

/* Down the upper layers to a good base node, then the beam. */
static qv_status walk(struct qv__graph *g, struct qv__graph_scratch *s, struct qv__graph_walk *w,
                      uint32_t k)
{
    qv_status st = QV_OK;
    struct qv__entry entry;
    if (!walk_fused(g, s, w, k, &st)) {
        st = qv__entry_find(g, s, w, &entry);
        if (st == QV_OK) {
            w->entry = entry.nodes[0];
            w->seeds = entry.nodes + 1;
            w->n_seeds = entry.n - 1;
            st = qv__walk_beam(g, s, w);
        }
        w->n_seeds = 0; /* they end here */
    }
    w->ctx->stats.distances += w->distances;
    w->ctx->stats.hops += w->hops;
    return st;
}

/* What measuring found of a walk's estimates. */
struct measured {
    uint32_t n;                  /* keys measured: they are in front */
    uint32_t check_at;           /* so many, and it is time for a look at the deadline */
    double square2;              /* sum of (estimate - distance)^2 */
    struct qv__row_cache *cache; /* may be NULL */
};

/* The cache of a saved graph's vectors, made by the first search. NULL: there is none, or no memory
 * for it. */
static struct qv__row_cache *cache_of(const struct qv__graph *g)
{
    struct qv__graph *own = (struct qv__graph *)(uintptr_t)g; /* as the scratches: searches' own */
    struct qv__row_cache *c = atomic_load_explicit(&own->row_cache, memory_order_acquire), *made;
    if (c || !g->is_view) {
        return c;
    }
    made = qv__row_cache_new(g->index.mem, g->n_max, g->index.vectors.stride_bytes);
    if (made && !atomic_compare_exchange_strong_explicit(
                    &own->row_cache, &c, made, memory_order_acq_rel, memory_order_acquire)) {
        qv__row_cache_free(made); /* another search was first */
        return c;
    }
    return made;
}

/* By the vectors themselves, from copies where there are some. */
static void measure_rows(const struct qv__graph *g, struct qv__row_cache *cache, const void *query,
                         const uint32_t *nodes, uint32_t n, float *dists)
{
    const void *rows[QV__GRAPH_BLOCK];
    uint32_t slots[QV__GRAPH_BLOCK];
    size_t head = QV_MIN((size_t)g->index.vectors.stride_bytes, (size_t)FETCH_BYTES);
    for (uint32_t i = 0; i < n; i++) {
        slots[i] = QV__ROW_CACHE_NONE;
        rows[i] = cache ? qv__row_cache_pin(cache, nodes[i], &slots[i]) : NULL;
        rows[i] = rows[i] ? rows[i] : qv__graph_vector(g, nodes[i]);
        if (i < FETCH_ROWS) {
            qv__prefetch_span(rows[i], head);
        }
    }
    g->kernels.gather(query, rows, n, g->index.vectors.dim, dists);
    for (uint32_t i = 0; i < n; i++) {
        dists[i] = qv__kernels_dist(g->kernels.is_similarity, dists[i]);
        if (slots[i] != QV__ROW_CACHE_NONE) {
            qv__row_cache_unpin(cache, slots[i]);
        } else if (cache) {
            qv__row_cache_offer(cache, nodes[i], rows[i]);
        }
    }
}

/* Errors as qv__qctx_check. */
static qv_status measure_more(const struct qv__graph *g, const void *query,
                              const struct qv__qctx *ctx, uint64_t *keys, uint32_t n,
                              struct measured *m)
{
    uint32_t nodes[QV__GRAPH_BLOCK];
    float dists[QV__GRAPH_BLOCK];
    while (m->n < n) {
        uint32_t n_block = QV_MIN(n - m->n, (uint32_t)QV__GRAPH_BLOCK);
        uint64_t *at = keys + m->n;
        if (m->n + n_block > m->check_at) {
            QV_TRY(qv__qctx_check(ctx));
            m->check_at = m->n + CHECK_EVERY;
        }
        for (uint32_t j = 0; j < n_block; j++) {
            nodes[j] = qv__key_node(at[j]);
        }
        measure_rows(g, m->cache, query, nodes, n_block, dists);
        for (uint32_t j = 0; j < n_block; j++) {
            double off = (double)qv__key_dist(at[j]) - (double)dists[j];
            m->square2 += off * off;
            at[j] = qv__key(dists[j], nodes[j]);
        }
        m->n += n_block;
    }
    return QV_OK;
}

/* A heap with the largest on top of what is in order: that turned around is one. */
static void sorted_to_heap(uint64_t *keys, uint32_t n)
{
    for (uint32_t i = 0; i < n / 2; i++) {
        uint64_t key = keys[i];
        keys[i] = keys[n - 1 - i];
        keys[n - 1 - i] = key;
    }
}

/* The rest of rerank. Of what is measured only the k nearest are kept in order, as a heap: a beam
 * may hold all nodes, and sorting it again with every few of them would take the square of that. */
static qv_status measure_doubtful(const struct qv__graph *g, const struct qv__index_query *q,
                                  const struct qv__qctx *ctx, uint64_t *keys, uint32_t n_keys,
                                  struct measured *m)
{
    sorted_to_heap(keys, q->k);
    while (m->n < n_keys) {
        double reach = DEVIATIONS * __builtin_sqrt(m->square2 / m->n);
        double limit = (double)qv__key_dist(keys[0]) + reach;
        uint32_t old = m->n, n = old;
        while (n < n_keys && n < old + MEASURE_STEP && (double)qv__key_dist(keys[n]) <= limit) {
            n++;
        }
        if (n == old) {
            break;
        }
        QV_TRY(measure_more(g, q->vector, ctx, keys, n, m));
        for (uint32_t i = old; i < n; i++) {
            uint64_t key = keys[i];
            if (key < keys[0]) {
                keys[i] = keys[0];
                qv__heap_replace(keys, q->k, key);
            }
        }
    }
    qv__keys_sort(keys, q->k);
    return QV_OK;
}

/* Put the k nearest of n_keys estimates in front, by their true distances, and count what was
 * measured. Asked to oversample, it is that many; else a few more than k, which also show how far
 * off estimates are here, and then whatever could be nearer than the k-th if it is off by some of
 * these deviations. So it is few where codes are fine, and the whole beam where they are coarse
 * (vectors far from what the quantizer was trained on, say). */
static qv_status rerank(const struct qv__graph *g, const struct qv__index_query *q,
                        struct qv__qctx *ctx, uint64_t *keys, uint32_t n_keys)
{
    struct measured m = {.cache = cache_of(g), .check_at = CHECK_EVERY};
    bool is_told = q->oversample >= 1.0f;
    double n_first = is_told ? (double)q->k * (double)q->oversample : (double)q->k + MEASURE_OVER;
    qv_status st =
        measure_more(g, q->vector, ctx, keys, (uint32_t)QV_MIN(n_first, (double)n_keys), &m);
    if (st == QV_OK) {
        qv__keys_sort(keys, m.n);
    }
    if (st == QV_OK && !is_told && m.n < n_keys) {
        st = measure_doubtful(g, q, ctx, keys, n_keys, &m);
    }
    ctx->stats.reranked += m.n;
    return st;
}

/* Let later walks of the query know what this one found. */
static void beam_tell(struct qv__index_beam *beam, const struct qv__graph_scratch *s)
{
    uint32_t old = beam->n, more = s->n_best, at = old + more;
    beam->n = QV_MIN(at, beam->cap);
    while (more) { /* from the back, in place */
        float dist = qv__key_dist(s->best[more - 1]);
        bool is_old = old && beam->dists[old - 1] > dist;
        dist = is_old ? beam->dists[old - 1] : dist;
        at--;
        if (at < beam->cap) {
            beam->dists[at] = dist;
        }
        old -= is_old;
        more -= !is_old;
    }
}

qv_status qv__graph_take_hits(const struct qv__graph *g, struct qv__graph_scratch *s,
                              const struct qv__graph_walk *w, const struct qv__index_query *q,
                              struct qv__index_hit *hits, uint32_t *n_hits)
{
    *n_hits = 0;
    qv__beam_sort(s);
    if (q->beam) {
        beam_tell(q->beam, s);
    }
    if (w->to.codes) {
        QV_TRY(rerank(g, q, w->ctx, s->best, s->n_best));
    }
    uint32_t n = QV_MIN(q->k, s->n_best);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t key = s->best[i];
        hits[i] = (struct qv__index_hit){qv__key_node(key), qv__key_dist(key), 0.0f};
    }
    *n_hits = n;
    return QV_OK;
}

/* Give the walk of a search patience. These shares find at least what a beam of ef finds when all
 * of it is expanded, and at equal recall compare a twentieth to a fifth less
 * (docs/internals/INDEX.md). */
static void take_patience(struct qv__graph_walk *w, uint32_t k)
{
    if (w->ef > QV__BEAM_LINEAR_MAX) {
        return;
    }
    w->width = QV_MIN(w->ef + w->ef / 2, (uint32_t)QV__BEAM_LINEAR_MAX);
    w->patience = QV_MAX(w->ef / 2, 1U);
    w->n_top = QV_MIN(k + k / 2, w->ef);
}

qv_status qv__graph_walk_hits(struct qv__graph *g, struct qv__graph_scratch *s,
                              struct qv__graph_walk *w, const struct qv__index_query *q,
                              struct qv__index_hit *hits, uint32_t *n_hits)
{
    *n_hits = 0;
    w->to = qv__target_set(g, s, q->vector, !q->no_codes);
    take_patience(w, q->k);
    QV_TRY(walk(g, s, w, q->k));
    return qv__graph_take_hits(g, s, w, q, hits, n_hits);
}

/* The beam: as asked for, or what the recall asked for takes, or the one of the build. */
static uint32_t beam_of(const struct qv__graph *g, const struct qv__index_query *q,
                        const struct qv__qctx *ctx, uint32_t n)
{
    uint32_t ef = q->ef;
    if (ef == 0) {
        ef = ctx->recall_target > 0.0f ? qv__graph_ef_for(g, ctx->recall_target, q->k)
                                       : g->index.params.ef_construct;
    }
    if (g->quant && !q->no_codes && q->oversample > 1.0f) { /* so many are to be found first */
        ef = (uint32_t)QV_MAX((double)ef, QV_MIN((double)q->k * (double)q->oversample, (double)n));
    }
    return QV_MIN(QV_MAX(ef, q->k), n);
}

qv_status qv__graph_search(const struct qv__index *x, const struct qv__index_query *q,
                           struct qv__qctx *ctx, struct qv__index_hit *hits, uint32_t *n_hits,
                           struct qv_err *err)
{
    /* Searching changes the list of idle scratches only, under its lock. */
    struct qv__graph *g = (struct qv__graph *)(uintptr_t)x;
    *n_hits = 0;
    struct qv__index_query now = *q;
    now.n = QV_MIN(q->n, qv__index_count(x));
    uint32_t n_targets = q->allow ? (uint32_t)QV_MIN(q->allow_count, (uint64_t)now.n) : now.n;
    if (n_targets == 0 || q->k == 0) {
        return QV_OK;
    }
    qv_status st = qv__qctx_check(ctx);
    if (st != QV_OK) {
        return qv__fail(err, st, "graph search: %s", qv_status_text(st));
    }
    uint64_t before = ctx->stats.distances;
    uint32_t ef = beam_of(g, q, ctx, now.n);
    if (q->allow) {
        return qv__graph_search_allowed(g, &now, ef, n_targets, ctx, hits, n_hits, err);
    }
    double per_hop = (double)atomic_load_explicit(&g->n_links, memory_order_relaxed) /
                     (double)qv__index_count(x) / 2.0;
    double estimate = g->walk_cost * (double)ef * per_hop;
    const char *what = estimate >= (double)n_targets ? "exact scan" : "walk";
    if (q->plan_only) {
        tell_plan(ctx, what, QV_MIN(estimate, (double)n_targets), before);
        return QV_OK;
    }
    if (estimate >= (double)n_targets) {
        st = scan(g, &now, ctx, hits, n_hits, err);
        tell_plan(ctx, what, (double)n_targets, before);
        return st;
    }
    struct qv__graph_walk w = {.ef = ef, .n = now.n, .ctx = ctx};
    if (q->beam) {
        w.beam = q->beam;
        w.ef_least = QV_MAX(q->k, ef / EF_LEAST);
    }
    struct qv__graph_scratch *s = qv__scratch_take(g);
    st = s ? qv__graph_walk_hits(g, s, &w, q, hits, n_hits) : QV_ENOMEM;
    qv__scratch_give(g, s);
    if (st != QV_OK) {
        return qv__fail(err, st, "graph search: %s after %" PRIu64 " distances", qv_status_text(st),
                        w.distances);
    }
    if (*n_hits < QV_MIN(q->k, n_targets)) {
        st = scan(g, &now, ctx, hits, n_hits, err);
        what = "walk, then exact scan";
    }
    tell_plan(ctx, what, estimate, before);
    return st;
}
