/* graph_plan.c: a search with a filter: which way, then going it.
 *
 * What the ways cost is known (graph_costs.c) but for one number: the share of nodes that are
 * allowed *around the query*, which a filter related to the vectors makes larger or smaller than
 * the share of all. It is read off the links around the node where a walk would enter the base. So
 * a filter is judged by what it lets pass here, and no threshold of selectivity exists:
 *
 *   scan          costs what the allowed cost; taken at once when even a walk that met no filter
 *                 would be dearer
 *   filtered walk costs an expansion per place of the beam, dearer ones the fewer are allowed
 *   post-filter   costs a walk with a beam wider by the inverse of the share
 *
 * What is chosen may disappoint: a filtered walk stops once finishing it would be dearer than the
 * scan, a post-filter that kept too few goes on as a filtered walk. A search always returns
 * min(k, allowed) hits: a walk that falls short is followed by the scan. */
#include "index/graph_pack.h"
#include "index/graph_sketch.h"

#include <math.h>

#include "bitmap/bitset.h"

enum {
    POOL_LEAST = 64,  /* places for what a scan over codes finds; so few are all measured */
    PRIOR_LINKS = 32, /* what the share of all weighs against links looked at */
    /* A filter that passes less around the query than elsewhere leaves answers scattered at the rim
     * of what it passes: the beam of the walk is wider by the square of that, at most so many
     * times. */
    WIDER = 5,
    LOOK = 8,      /* beam of the walk that looks for the query's surroundings, */
    BROAD = 24,    /* where the beam is as wide as pays for it */
    AGAIN = 32,    /* searches that pass over a pack, and then one that does not */
    BIAS_MOST = 4, /* times more, or less, than costs say */
};

#define RISK 1.3f /* a walk may cost so many times what is expected of it */

static const char *const names[] = {
    [QV__STRATEGY_AUTO] = "walk",
    [QV__STRATEGY_SCAN] = "exact scan",
    [QV__STRATEGY_FILTERED] = "filtered walk",
    [QV__STRATEGY_POSTFILTER] = "post-filter walk",
    [QV__STRATEGY_PACKED] = "packed scan",
};

struct plan {
    enum qv__index_strategy chosen;
    const char *what;            /* what came of it */
    double cost[QV__STRATEGIES]; /* estimated; infinity = not considered */
    double share;                /* around the query; 0 = not looked at */
    uint32_t entry;
    bool has_entry, is_opposed;
    bool is_less; /* allowed around the query than elsewhere */
    uint32_t ef;  /* of a filtered walk */
};

/* One search under way. */
struct search {
    struct qv__graph *g;
    struct qv__graph_scratch *s;
    const struct qv__index_query *q;
    struct qv__qctx *ctx;
    struct qv__graph_costs costs;
    struct qv__graph_target to;
    struct qv__index_pack *pack; /* of the set; NULL = there is none */
    uint32_t ef, n_allowed;
    uint32_t looked; /* links, for the share around the query */
    struct plan plan;
};

/* --- the ways --- */

static qv_status take(struct search *x, struct qv__index_hit *hits, uint32_t *n_hits)
{
    struct qv__graph_walk w = {.to = x->to, .ctx = x->ctx};
    return qv__graph_take_hits(x->g, x->s, &w, x->q, hits, n_hits);
}

static qv_status by_scan(struct search *x, struct qv__index_hit *hits, uint32_t *n_hits,
                         struct qv_err *err)
{
    struct qv__graph *g = x->g;
    uint32_t pool =
        QV_MAX(QV_MAX(x->ef, 2 * QV_MIN(x->q->k, UINT32_MAX / 4)), (uint32_t)POOL_LEAST);
    if (!x->to.codes || x->n_allowed <= pool) {
        return qv__scan(g->index.simd, &g->index.vectors, 0, x->q, x->ctx, hits, n_hits, err);
    }
    uint64_t distances = 0;
    uint32_t keep = qv__sketches_kept(x->n_allowed, pool);
    const struct qv__graph_sketches *k = NULL;
    if (keep < x->n_allowed / 2) {
        QV_TRY(qv__graph_sketches(g, &x->to, x->n_allowed, x->ctx, &k));
    }
    qv_status st = k && k->n >= x->q->n ? qv__scan_sketches(g, x->s, &x->to, k, x->q->allow,
                                                            x->q->n, keep, pool, x->ctx, &distances)
                                        : qv__scan_codes(g, x->s, &x->to, x->q->allow, x->q->n,
                                                         pool, x->ctx, &distances);
    x->ctx->stats.distances += distances;
    return st == QV_OK ? take(x, hits, n_hits) : st;
}

/* *gave_up: it found too few: of what a pack has, most may have left the set since. */
static qv_status by_pack(struct search *x, struct qv__index_hit *hits, uint32_t *n_hits,
                         bool *gave_up)
{
    struct qv__pack_search p = {.to = x->to,
                                .allow = x->q->allow,
                                .n = x->q->n,
                                .n_allowed = x->n_allowed,
                                .ef = x->ef,
                                .k = QV_MIN(x->q->k, x->n_allowed),
                                .ctx = x->ctx};
    qv_status st = qv__pack_search(x->g, x->s, x->pack, &p);
    x->ctx->stats.distances += p.distances;
    *gave_up = st == QV_OK && x->s->n_best < p.k;
    return st == QV_OK && !*gave_up ? take(x, hits, n_hits) : st;
}

static qv_status by_filtered_walk(struct search *x, double budget, struct qv__index_hit *hits,
                                  uint32_t *n_hits, bool *gave_up)
{
    struct qv__filtered f = {.to = x->to,
                             .allow = x->q->allow,
                             .n = x->q->n,
                             .n_allowed = x->n_allowed,
                             .ef = x->plan.ef,
                             .entry = x->plan.entry,
                             .budget = budget,
                             .costs = x->costs,
                             .ctx = x->ctx,
                             .seed = x->g->index.params.seed};
    qv_status st = qv__filtered_walk(x->g, x->s, &f);
    x->ctx->stats.distances += f.distances;
    x->ctx->stats.hops += f.hops;
    *gave_up = f.gave_up || x->s->n_best < QV_MIN(x->q->k, x->n_allowed);
    /* What is told of hits is told once. */
    return st == QV_OK && !*gave_up ? take(x, hits, n_hits) : st;
}

/* How many of a walk's results are allowed; they are moved to the front. */
static uint32_t keep_allowed(struct search *x)
{
    struct qv__graph_scratch *s = x->s;
    uint32_t n = 0;
    qv__beam_sort(s);
    s->is_linear = true; /* sorted is what a heap is not */
    for (uint32_t i = 0; i < s->n_best; i++) {
        if (qv__bit_test(x->q->allow, qv__key_node(s->best[i]))) {
            s->best[n++] = s->best[i];
        }
    }
    s->n_best = n;
    return n;
}

/* *kept: how many allowed nodes the walk found, and left in the beam. */
static qv_status by_post_filter(struct search *x, double beam, uint32_t *kept)
{
    struct qv__graph_walk w = {.to = x->to,
                               .entry = x->plan.entry,
                               .ef = (uint32_t)QV_MIN(QV_MAX(beam, 1.0), (double)x->q->n),
                               .n = x->q->n,
                               .ctx = x->ctx};
    qv_status st = qv__walk_beam(x->g, x->s, &w);
    x->ctx->stats.distances += w.distances;
    x->ctx->stats.hops += w.hops;
    if (st == QV_OK) {
        *kept = keep_allowed(x);
    }
    return st;
}

/* --- the choice --- */

static double beam_over(const struct search *x, double share)
{
    return (double)x->ef / QV_MAX(share, 1e-9) + 1;
}

/* The share of allowed nodes around the query. */
static double share_here(struct search *x, double share_of_all)
{
    uint32_t allowed = qv__filtered_around(x->g, x->q->allow, x->q->n, x->plan.entry, &x->looked);
    return ((double)allowed + PRIOR_LINKS * share_of_all) / ((double)x->looked + PRIOR_LINKS);
}

static void enter(struct search *x)
{
    if (!x->plan.has_entry) {
        uint64_t distances = 0;
        x->plan.entry = qv__graph_descend(x->g, &x->to, x->q->n, 0, &distances);
        x->plan.has_entry = true;
        x->ctx->stats.distances += distances;
    }
}

/* Costs were measured under filters that have nothing to do with the vectors. What a filter lets
 * pass at the rim of clusters only lies together: a walk goes through fewer bridges. */
static double walk_bias(struct qv__graph *g)
{
    double bias = (double)atomic_load_explicit(&g->walk_bias, memory_order_relaxed);
    return bias > 0 ? bias : 1;
}

static void walk_took(struct qv__graph *g, double expected_ns, double ns)
{
    double old = walk_bias(g);
    double is = QV_MIN(QV_MAX(ns / expected_ns * old, 1.0 / BIAS_MOST), (double)BIAS_MOST);
    atomic_store_explicit(&g->walk_bias, (float)(old + (is - old) / 16), memory_order_relaxed);
}

/* The way down may end beside the query's surroundings, and a filter that passes nothing of these
 * may pass what is there: a narrow walk that knows of no filter finds them. */
static qv_status look_again(struct search *x, double share)
{
    struct qv__graph_walk w = {
        .to = x->to, .entry = x->plan.entry, .ef = LOOK, .n = x->q->n, .ctx = x->ctx};
    qv_status st = qv__walk_beam(x->g, x->s, &w);
    x->ctx->stats.distances += w.distances;
    x->ctx->stats.hops += w.hops;
    if (st == QV_OK && x->s->n_best) {
        qv__beam_sort(x->s);
        x->s->is_linear = true; /* sorted is what a heap is not */
        x->plan.entry = qv__key_node(x->s->best[0]);
        x->plan.share = share_here(x, share);
    }
    return st;
}

static qv_status choose(struct search *x)
{
    struct plan *p = &x->plan;
    double share = (double)x->n_allowed / (double)x->q->n;
    for (uint32_t i = 0; i < QV__STRATEGIES; i++) {
        p->cost[i] = INFINITY;
    }
    p->cost[QV__STRATEGY_SCAN] = qv__graph_cost_scan(&x->costs, x->n_allowed, x->q->n);
    p->chosen = QV__STRATEGY_SCAN;
    p->ef = x->ef;
    if (x->n_allowed <= x->ef) {
        return QV_OK;
    }
    if (x->pack) { /* what they took is known, too */
        p->cost[QV__STRATEGY_PACKED] = qv__pack_ns(x->pack, x->ef);
        if (p->cost[QV__STRATEGY_PACKED] < p->cost[QV__STRATEGY_SCAN]) {
            p->chosen = QV__STRATEGY_PACKED;
        }
    }
    if (p->cost[p->chosen] <= qv__graph_cost_walk(&x->costs, x->ef)) {
        return QV_OK;
    }
    enter(x);
    p->share = share_here(x, share);
    bool may_walk = x->q->strategy == QV__STRATEGY_AUTO || x->q->strategy == QV__STRATEGY_FILTERED;
    if (x->ef >= BROAD && may_walk && 4 * p->share >= share) {
        QV_TRY(look_again(x, share));
    }
    /* Opposed to the query: the walk goes on where more is allowed. */
    p->is_opposed = 4 * p->share < share;
    double wider = p->is_opposed ? 1 : qv__graph_wider(&x->costs, p->share);
    double less = share / p->share;
    bool is_less = share - p->share > 2 * sqrt(share / (x->looked + 1.0)); /* no chance */
    if (is_less) {
        wider = QV_MAX(wider, QV_MIN(less * less, (double)WIDER));
    }
    p->ef = (uint32_t)QV_MIN(wider * (double)x->ef, (double)x->n_allowed);
    p->cost[QV__STRATEGY_FILTERED] =
        qv__graph_cost_filtered(&x->costs, p->ef, p->is_opposed ? share : p->share);
    p->is_less = is_less || p->is_opposed;
    if (p->is_less) {
        p->cost[QV__STRATEGY_FILTERED] *= walk_bias(x->g);
    }
    if (!is_less && !p->is_opposed) {
        p->cost[QV__STRATEGY_POSTFILTER] = qv__graph_cost_walk(&x->costs, beam_over(x, p->share));
    }
    /* What a scan costs is known, what a walk will is not: in doubt the one that is exact. */
    for (uint32_t i = 0; i < QV__STRATEGIES; i++) {
        double risk =
            p->chosen == QV__STRATEGY_SCAN || p->chosen == QV__STRATEGY_PACKED ? (double)RISK : 1;
        if (p->cost[i] * risk < p->cost[p->chosen]) {
            p->chosen = (enum qv__index_strategy)i;
        }
    }
    return QV_OK;
}

/* What is never tried stays as dear as it once was: now and then a pack is taken that is passed
 * over for less than half of what it should take. */
static void try_again(struct search *x)
{
    struct plan *p = &x->plan;
    if (x->pack && p->chosen != QV__STRATEGY_PACKED &&
        p->cost[QV__STRATEGY_PACKED] < 2 * p->cost[p->chosen] &&
        atomic_fetch_add_explicit(&x->pack->n_passed_over, 1, memory_order_relaxed) % AGAIN ==
            AGAIN - 1) {
        p->chosen = QV__STRATEGY_PACKED;
    }
}

static void tell(const struct search *x, uint64_t before)
{
    struct qv__plan_sink *sink = x->ctx->plan;
    if (!sink) {
        return;
    }
    for (uint32_t i = QV__STRATEGY_SCAN; i < QV__STRATEGIES; i++) {
        if (isfinite(x->plan.cost[i])) {
            sink->event(sink, "cost us", names[i], x->plan.cost[i] / 1e3, 0);
        }
    }
    sink->event(sink, "graph", x->plan.what, x->plan.cost[x->plan.chosen] / 1e3,
                (double)(x->ctx->stats.distances - before));
}

static bool is_packed_cheaper(const struct plan *p)
{
    return p->cost[QV__STRATEGY_PACKED] < p->cost[QV__STRATEGY_SCAN];
}

/* Without a walk: by the pack if that is chosen, or cheaper, or the scan. `before` says what came
 * to nothing before; NULL = nothing. */
static qv_status run_scan(struct search *x, const char *const before[2], struct qv__index_hit *hits,
                          uint32_t *n_hits, struct qv_err *err)
{
    struct plan *p = &x->plan;
    bool gave_up = false;
    p->what = before ? before[0] : names[QV__STRATEGY_SCAN];
    if (x->pack && (before ? is_packed_cheaper(p) : p->chosen == QV__STRATEGY_PACKED)) {
        QV_TRY(by_pack(x, hits, n_hits, &gave_up));
        p->what = gave_up  ? "packed scan, then exact scan"
                  : before ? before[1]
                           : names[QV__STRATEGY_PACKED];
        if (!gave_up) {
            return QV_OK;
        }
    }
    return by_scan(x, hits, n_hits, err);
}

/* Whatever a walk left undone. */
static qv_status run(struct search *x, struct qv__index_hit *hits, uint32_t *n_hits,
                     struct qv_err *err)
{
    static const char *const after_one[] = {"filtered walk, then exact scan",
                                            "filtered walk, then packed scan"};
    static const char *const after_two[] = {"walks, then exact scan", "walks, then packed scan"};
    struct plan *p = &x->plan;
    bool is_forced = x->q->strategy != QV__STRATEGY_AUTO, gave_up = false;
    double scan = QV_MIN(p->cost[QV__STRATEGY_SCAN], p->cost[QV__STRATEGY_PACKED]);
    double budget = is_forced ? INFINITY : scan;
    uint32_t wanted = QV_MIN(x->q->k, x->n_allowed), kept = 0;
    p->what = names[p->chosen];
    if (p->chosen == QV__STRATEGY_SCAN || p->chosen == QV__STRATEGY_PACKED) {
        return run_scan(x, NULL, hits, n_hits, err);
    }
    if (p->chosen == QV__STRATEGY_POSTFILTER) {
        double share = p->share > 0 ? p->share : (double)x->n_allowed / (double)x->q->n;
        double beam = beam_over(x, share);
        QV_TRY(by_post_filter(x, beam, &kept));
        while (is_forced && kept < QV_MIN(x->ef, x->n_allowed) && beam < x->q->n) {
            beam *= 2;
            QV_TRY(by_post_filter(x, beam, &kept));
        }
        if (kept >= wanted && (2 * kept >= x->ef || kept == x->n_allowed || is_forced)) {
            return take(x, hits, n_hits);
        }
        p->what = "post-filter walk, then filtered walk";
    }
    enter(x);
    QV_TRY(by_filtered_walk(x, budget, hits, n_hits, &gave_up));
    return gave_up ? run_scan(x, p->chosen == QV__STRATEGY_FILTERED ? after_one : after_two, hits,
                              n_hits, err)
                   : QV_OK;
}

/* What it took tells what a pack takes, or would have saved. */
static void learn(const struct search *x, uint64_t ns)
{
    const struct plan *p = &x->plan;
    if (p->is_less && p->what == names[QV__STRATEGY_FILTERED] && ns > 0) {
        walk_took(x->g, p->cost[QV__STRATEGY_FILTERED], (double)ns);
    }
    if (x->pack && p->what == names[QV__STRATEGY_PACKED]) {
        qv__pack_took(x->pack, x->ef, ns);
    } else if (!x->pack && x->q->strategy == QV__STRATEGY_AUTO) {
        qv__graph_pack_missed(x->g, x->q->packed, x->n_allowed, ns);
    }
}

qv_status qv__graph_search_allowed(struct qv__graph *g, const struct qv__index_query *q,
                                   uint32_t ef, uint32_t n_allowed, struct qv__qctx *ctx,
                                   struct qv__index_hit *hits, uint32_t *n_hits, struct qv_err *err)
{
    struct search x = {
        .g = g, .q = q, .ctx = ctx, .ef = QV_MIN(ef, n_allowed), .n_allowed = n_allowed};
    uint64_t before = ctx->stats.distances;
    qv_status st = qv__graph_costs_get(g, ctx, q->n, &x.costs);
    if (st != QV_OK) {
        return qv__fail(err, st, "graph search: costs are to be measured first");
    }
    x.s = qv__scratch_take(g);
    if (!x.s) {
        return qv__fail(err, QV_ENOMEM, "graph search: %s", qv_status_text(QV_ENOMEM));
    }
    x.to = qv__target_set(g, x.s, q->vector, !q->no_codes);
    st = qv__graph_pack(g, q, n_allowed, ctx, &x.pack);
    if (st != QV_OK) {
        qv__scratch_give(g, x.s);
        return qv__fail(err, st, "graph search: a set is to be packed first");
    }
    bool learns = q->packed && ctx->clock;
    uint64_t from = learns ? qv__mono_ns(ctx->clock) : 0;
    st = choose(&x);
    try_again(&x);
    if (q->strategy != QV__STRATEGY_AUTO) {
        x.plan.chosen = q->strategy;
        if (q->strategy == QV__STRATEGY_FILTERED || q->strategy == QV__STRATEGY_POSTFILTER) {
            enter(&x);
        }
    }
    x.plan.what = names[x.plan.chosen];
    if (st == QV_OK && !q->plan_only) {
        st = run(&x, hits, n_hits, err);
        if (st == QV_OK && learns) {
            learn(&x, qv__mono_ns(ctx->clock) - from);
        }
    }
    qv__scratch_give(g, x.s);
    if (st != QV_OK) {
        return qv__fail(err, st, "graph search: %s after %" PRIu64 " distances", qv_status_text(st),
                        ctx->stats.distances - before);
    }
    tell(&x, before);
    return QV_OK;
}
