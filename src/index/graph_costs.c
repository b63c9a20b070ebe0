/* graph_costs.c: what searches with a filter cost on this graph, on this machine.
 *
 * How many nodes an expansion compares and how many bridges it reads depends on the graph and on
 * the share of nodes that are allowed; how long a comparison takes, on the machine, the length of
 * codes and what fits its caches. Both are measured: some of the graph's own vectors are searched
 * for under random filters of falling shares, and a random set is scanned. That takes a few
 * milliseconds, once, in the first search that has to choose.
 *
 * Without a clock that runs (simulations), and for small graphs, what was measured elsewhere is
 * used; then plans depend on nothing but the data. Costs are nanoseconds, but only their ratios
 * matter. */
#include "index/graph_filter.h"
#include "index/graph_sketch.h"

#include <math.h>

#include "base/rng.h"
#include "bitmap/bitset.h"

enum {
    N_LEAST = 8192, /* smaller graphs are not measured */
    QUERIES = 5,    /* of one share; the median counts */
    BEAM = 48,
    SCAN_ROWS = 4096, /* compared by a measured scan, about */
    SKETCH_ROWS = 8192,
    SCANS = 3,
    HITS = 10,             /* of a walk, looked for among those of a scan */
    LEVEL_LEAST = 3,       /* shares of 2^-3 on are scanned for that, */
    SCANNED_MOST = 131072, /* where no more are allowed, and so many in all scans of a share */
};

#define MISSED_LEAST 0.05 /* less is noise: five queries are asked */
#define WIDER_MOST   16.0

static void defaults(const struct qv__graph *g, struct qv__graph_costs *c)
{
    static const float compared[QV__GRAPH_SHARES] = {14, 15, 17, 19, 19, 17, 12, 8};
    static const float bridges[QV__GRAPH_SHARES] = {0, 1, 4, 8, 15, 23, 27, 29};
    static const float wider[QV__GRAPH_SHARES] = {1, 1, 1, 1, 1, 1.5f, 4, 8};
    size_t bytes = g->quant ? qv__quant_code_bytes(g->narrow.quant ? g->narrow.quant : g->quant)
                            : g->index.vectors.stride_bytes;
    float scale = (float)g->cap_base / 32.0f; /* measured at 32 links */
    c->scan_row = 3.0f + (float)bytes / 20.0f;
    c->scan_word = 0.4f;
    c->distance = 2.0f * c->scan_row;
    c->record = 25.0f * scale;
    for (uint32_t i = 0; i < QV__GRAPH_SHARES; i++) {
        c->compared[i] = compared[i] * scale;
        c->bridges[i] = bridges[i] * scale;
        c->wider[i] = wider[i];
    }
    c->expansion = c->distance * c->compared[0] + c->record;
}

/* A share of 2^-level of all nodes; returns how many. */
static uint64_t random_set(struct qv__rng *rng, uint32_t n, uint32_t level, uint64_t *words)
{
    uint32_t n_words = (uint32_t)qv__bitset_words(n);
    for (uint32_t w = 0; w < n_words; w++) {
        words[w] = UINT64_MAX;
        for (uint32_t i = 0; i < level; i++) {
            words[w] &= qv__rng_u64(rng);
        }
    }
    if (n % 64) {
        words[n_words - 1] &= UINT64_MAX >> (64 - n % 64);
    }
    return qv__bits_count(words, n);
}

/* One share: compared and read per expansion, how long one takes, and the part of the nearest HITS
 * that walks did not find; negative: not known. */
struct measured {
    double compared, bridges, ns, missed;
};

struct measuring {
    struct qv__graph *g;
    struct qv__graph_scratch *s;
    struct qv__qctx *ctx;
    struct qv__rng rng;
    uint32_t n;
    uint64_t *words;
};

static uint64_t now(const struct measuring *m)
{
    return qv__mono_ns(m->ctx->clock);
}

static void sort_doubles(double *v, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        for (uint32_t k = i; k > 0 && v[k] < v[k - 1]; k--) {
            double t = v[k];
            v[k] = v[k - 1];
            v[k - 1] = t;
        }
    }
}

/* How many of the nearest HITS are not in the beam of the walk that just ended. False: no memory.
 */
static bool count_missed(struct measuring *m, const struct qv__filtered *f, uint32_t *missed)
{
    struct qv__graph_scratch *s = m->s;
    uint64_t found[BEAM], distances = 0;
    uint32_t n_found = s->n_best;
    struct qv__qctx ctx = {.clock = m->ctx->clock, .mem = m->ctx->mem};
    memcpy(found, s->best, n_found * sizeof *found);
    if (qv__scan_codes(m->g, s, &f->to, m->words, m->n, HITS, &ctx, &distances) != QV_OK) {
        return false;
    }
    for (uint32_t i = 0; i < s->n_best; i++) {
        uint32_t k = 0;
        while (k < n_found && qv__key_node(found[k]) != qv__key_node(s->best[i])) {
            k++;
        }
        *missed += k == n_found;
    }
    return true;
}

static bool measure_walks(struct measuring *m, uint32_t level, struct measured *out)
{
    struct qv__graph *g = m->g;
    uint64_t n_allowed = random_set(&m->rng, m->n, level, m->words);
    double ns[QUERIES], hops = 0, compared = 0, bridges = 0;
    uint32_t missed = 0, scans = 0;
    for (uint32_t i = 0; i < QUERIES; i++) {
        uint32_t ord = (uint32_t)qv__rng_below(&m->rng, m->n);
        struct qv__qctx ctx = {.clock = m->ctx->clock, .mem = m->ctx->mem};
        struct qv__filtered f = {.to = qv__target_set(g, m->s, qv__graph_vector(g, ord), true),
                                 .allow = m->words,
                                 .n = m->n,
                                 .n_allowed = (uint32_t)n_allowed,
                                 .ef = BEAM,
                                 .budget = INFINITY,
                                 .ctx = &ctx};
        f.entry = qv__graph_descend(g, &f.to, m->n, 0, &f.distances);
        f.distances = 0;
        uint64_t from = now(m);
        if (n_allowed <= 2 * BEAM || qv__filtered_walk(g, m->s, &f) != QV_OK || f.hops == 0) {
            return false;
        }
        ns[i] = (double)(now(m) - from) / (double)f.hops;
        hops += (double)f.hops;
        compared += (double)f.distances;
        bridges += (double)f.records;
        if (level >= LEVEL_LEAST && g->quant && (i + 1) * n_allowed <= SCANNED_MOST) {
            if (!count_missed(m, &f, &missed)) {
                return false;
            }
            scans++;
        }
    }
    sort_doubles(ns, QUERIES);
    *out = (struct measured){.compared = compared / hops,
                             .bridges = bridges / hops,
                             .ns = ns[QUERIES / 2],
                             .missed = scans ? (double)missed / (scans * HITS) : -1};
    return true;
}

/* Nanoseconds an expansion of a walk without a filter, which has less to look at in each link, and
 * asks for codes further ahead. */
static bool measure_plain(struct measuring *m, float *expansion)
{
    struct qv__graph *g = m->g;
    double ns[QUERIES];
    for (uint32_t i = 0; i < QUERIES; i++) {
        uint32_t ord = (uint32_t)qv__rng_below(&m->rng, m->n);
        struct qv__qctx ctx = {.clock = m->ctx->clock, .mem = m->ctx->mem};
        struct qv__graph_walk w = {.to = qv__target_set(g, m->s, qv__graph_vector(g, ord), true),
                                   .ef = BEAM,
                                   .n = m->n,
                                   .ctx = &ctx};
        w.entry = qv__graph_descend(g, &w.to, m->n, 0, &w.distances);
        uint64_t from = now(m);
        if (qv__walk_beam(g, m->s, &w) != QV_OK || w.hops == 0) {
            return false;
        }
        ns[i] = (double)(now(m) - from) / (double)w.hops;
    }
    sort_doubles(ns, QUERIES);
    *expansion = (float)ns[QUERIES / 2];
    return *expansion > 0;
}

/* Nanoseconds a row; the words between the rows cost what they always do. k NULL: by codes. */
static bool measure_scan(struct measuring *m, const struct qv__graph_sketches *k, float scan_word,
                         float *row)
{
    struct qv__graph *g = m->g;
    uint32_t level = 0, keep = qv__sketches_kept(SCAN_ROWS, BEAM);
    while (((uint64_t)m->n >> level) > (k ? SKETCH_ROWS : SCAN_ROWS)) {
        level++;
    }
    double best = INFINITY;
    for (uint32_t i = 0; i < SCANS; i++) {
        uint64_t n_allowed = random_set(&m->rng, m->n, level, m->words), distances = 0;
        uint32_t ord = (uint32_t)qv__rng_below(&m->rng, m->n);
        struct qv__graph_target to = qv__target_set(g, m->s, qv__graph_vector(g, ord), true);
        uint64_t from = now(m);
        qv_status st =
            n_allowed == 0 ? QV_EINVAL
            : k ? qv__scan_sketches(g, m->s, &to, k, m->words, m->n, keep, BEAM, m->ctx, &distances)
                : qv__scan_codes(g, m->s, &to, m->words, m->n, BEAM, m->ctx, &distances);
        if (st != QV_OK) {
            return false;
        }
        double ns = (double)(now(m) - from) - (double)scan_word * m->n / 64;
        best = QV_MIN(best, ns / (double)n_allowed);
    }
    *row = (float)best;
    return best > 0;
}

/* Least squares of ns = distance * compared + record * (1 + bridges) over the shares. */
static bool solve(const struct measured *m, uint32_t n, struct qv__graph_costs *c)
{
    double xx = 0, xy = 0, yy = 0, xt = 0, yt = 0;
    for (uint32_t i = 0; i < n; i++) {
        double x = m[i].compared, y = 1 + m[i].bridges;
        xx += x * x;
        xy += x * y;
        yy += y * y;
        xt += x * m[i].ns;
        yt += y * m[i].ns;
    }
    double det = xx * yy - xy * xy;
    if (!(det > 1e-9 * xx * yy)) {
        return false;
    }
    double distance = (xt * yy - yt * xy) / det, record = (yt * xx - xt * xy) / det;
    if (!(distance > 0) || !(record > 0)) {
        return false;
    }
    c->distance = (float)distance;
    c->record = (float)record;
    return true;
}

/* What a beam misses falls about as it gets wider; what it misses anyway is no fault of the share.
 */
static void widen(const struct measured *m, uint32_t n, struct qv__graph_costs *c)
{
    double anyway = MISSED_LEAST;
    bool is_first = true;
    for (uint32_t i = 0; i < QV__GRAPH_SHARES; i++) {
        double missed = m[QV_MIN(i, n - 1)].missed;
        if (missed >= 0 && is_first) {
            anyway = QV_MAX(anyway, missed);
            is_first = false;
        }
        c->wider[i] = (float)QV_MIN(QV_MAX(missed / anyway, 1.0), WIDER_MOST);
    }
}

static bool measure(struct measuring *m, struct qv__graph_costs *c)
{
    struct measured of[QV__GRAPH_SHARES];
    uint32_t n = 0;
    while (n < QV__GRAPH_SHARES && measure_walks(m, n, &of[n])) {
        n++;
    }
    if (n < 4 || of[0].ns <= 0 || !solve(of, n, c) || !measure_plain(m, &c->expansion) ||
        (m->g->quant && !measure_scan(m, NULL, c->scan_word, &c->scan_row))) {
        return false;
    }
    for (uint32_t i = 0; i < QV__GRAPH_SHARES; i++) {
        c->compared[i] = (float)of[QV_MIN(i, n - 1)].compared;
        c->bridges[i] = (float)of[QV_MIN(i, n - 1)].bridges;
    }
    widen(of, n, c);
    return true;
}

/* Never fails: without a measurement it stays at the defaults. */
static void refresh(struct qv__graph *g, struct qv__qctx *ctx, uint32_t n)
{
    struct measuring m = {.g = g, .ctx = ctx, .n = n};
    struct qv__graph_costs c;
    struct qv__qctx own = {.clock = ctx->clock, .mem = ctx->mem};
    m.ctx = &own;
    defaults(g, &c);
    qv__rng_seed(&m.rng, g->index.params.seed ^ UINT64_C(0x636f7374));
    m.s = qv__scratch_take(g);
    m.words = qv__alloc(ctx->mem, qv__bitset_words(n) * sizeof *m.words);
    bool is_new = m.s && m.words && measure(&m, &c);
    qv__free(m.words);
    qv__scratch_give(g, m.s);
    qv__mutex_lock(&g->lock);
    if (is_new) {
        g->costs = c;
    }
    qv__mutex_unlock(&g->lock);
}

qv_status qv__graph_costs_get(struct qv__graph *g, struct qv__qctx *ctx, uint32_t n,
                              struct qv__graph_costs *out)
{
    bool is_due = false;
    if (ctx->clock && n >= N_LEAST) {
        qv__mutex_lock(&g->lock);
        is_due = n >= 2 * g->costs_n; /* never, or the graph has doubled since */
        if (is_due && !ctx->is_attempt) {
            g->costs_n = n;
        }
        qv__mutex_unlock(&g->lock);
    }
    if (is_due && ctx->is_attempt) {
        return QV_ETIMEOUT;
    }
    if (is_due) {
        refresh(g, ctx, n);
    }
    qv__mutex_lock(&g->lock);
    *out = g->costs;
    float sketch_row = g->sketch_row;
    qv__mutex_unlock(&g->lock);
    if (out->distance <= 0) {
        defaults(g, out);
    }
    if (sketch_row > 0) {
        out->scan_row = sketch_row;
    }
    return QV_OK;
}

void qv__graph_costs_sketched(struct qv__graph *g, struct qv__qctx *ctx,
                              const struct qv__graph_sketches *k)
{
    struct qv__qctx own = {.clock = ctx->clock, .mem = ctx->mem};
    struct measuring m = {.g = g, .ctx = &own, .n = k->n};
    struct qv__graph_costs c;
    float row = 0;
    if (!ctx->clock || k->n < N_LEAST) {
        return;
    }
    defaults(g, &c);
    qv__rng_seed(&m.rng, g->index.params.seed ^ UINT64_C(0x736b6574));
    m.s = qv__scratch_take(g);
    m.words = qv__alloc(ctx->mem, qv__bitset_words(k->n) * sizeof *m.words);
    bool is_known = m.s && m.words && measure_scan(&m, k, c.scan_word, &row);
    qv__free(m.words);
    qv__scratch_give(g, m.s);
    qv__mutex_lock(&g->lock);
    if (is_known) {
        g->sketch_row = row;
    }
    qv__mutex_unlock(&g->lock);
}

/* --- what they say --- */

static double hops_of(double ef)
{
    return 1.05 * ef + 4;
}

/* Of an array by shares, at one between them. */
static double at_share(const float *of, double share)
{
    double level = share < 1 ? -log2(QV_MAX(share, 1e-9)) : 0;
    level = QV_MIN(level, (double)QV__GRAPH_SHARES - 1);
    uint32_t i = QV_MIN((uint32_t)level, QV__GRAPH_SHARES - 2u);
    double part = level - i;
    return (1 - part) * (double)of[i] + part * (double)of[i + 1];
}

double qv__graph_cost_filtered(const struct qv__graph_costs *c, double ef, double share)
{
    return hops_of(ef) * ((double)c->distance * at_share(c->compared, share) +
                          (double)c->record * (1 + at_share(c->bridges, share)));
}

double qv__graph_wider(const struct qv__graph_costs *c, double share)
{
    return at_share(c->wider, share);
}

double qv__graph_cost_walk(const struct qv__graph_costs *c, double ef)
{
    return hops_of(ef) * (double)c->expansion;
}

double qv__graph_cost_scan(const struct qv__graph_costs *c, double n_allowed, double n)
{
    return n_allowed * (double)c->scan_row + n / 64 * (double)c->scan_word;
}
