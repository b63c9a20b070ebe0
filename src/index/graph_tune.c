/* graph_tune.c: which beam a share of the true neighbours takes, measured on the graph itself.
 *
 * A sample of its own nodes are the queries. Each is hidden from its own search (no walk enters
 * it), which makes it the query that the graph was not built for; its true neighbours come from an
 * exact scan. The recall at each of a ladder of beams is kept and saved with the graph, and a
 * search that asks for a recall gets the beam by interpolation.
 *
 * What it is not: exact. Queries that lie elsewhere than the vectors are harder than these.
 *
 * The points are words of beam and recall, each stored at once, so that a growing graph can be
 * measured again while searches read them. */
#include "index/graph_walk.h"

#include "base/rng.h"

enum {
    K = 10,
    QUERIES = 100,
    N_LEAST = 1000,              /* fewer are scanned, or walked in no time */
    COMPARED_MAX = 50 * 1000000, /* by the exact scans: some seconds at most */
    QUERIES_LEAST = 20,
};

static const uint32_t ladder[QV__GRAPH_TUNED_MAX] = {10, 16,  24,  32,  48,  64,
                                                     96, 128, 192, 256, 384, 512};

static uint64_t point_pack(uint32_t ef, float recall)
{
    uint32_t bits;
    memcpy(&bits, &recall, sizeof bits);
    return (uint64_t)ef << 32 | bits;
}

bool qv__graph_tuned_at(const struct qv__graph *g, uint32_t i, uint32_t *ef, float *recall)
{
    uint64_t word =
        atomic_load_explicit(&((struct qv__graph *)(uintptr_t)g)->tuned[i], memory_order_relaxed);
    uint32_t bits = (uint32_t)word;
    *ef = (uint32_t)(word >> 32);
    memcpy(recall, &bits, sizeof bits);
    return *ef != 0;
}

void qv__graph_tuned_set(struct qv__graph *g, uint32_t i, uint32_t ef, float recall)
{
    atomic_store_explicit(&g->tuned[i], point_pack(ef, recall), memory_order_relaxed);
}

/* Without points: what text embeddings take, and more. */
static double guess(double recall)
{
    return QV_MIN(QV_MAX(3.0 / (1.0 - recall), 32.0), 4096.0);
}

uint32_t qv__graph_ef_for(const struct qv__graph *g, float recall, uint32_t k)
{
    double want = QV_MIN((double)recall, 0.9999), ef = 0, before_ef = 0, before_recall = 0;
    for (uint32_t i = 0; i < QV__GRAPH_TUNED_MAX; i++) {
        uint32_t at_ef;
        float at;
        if (!qv__graph_tuned_at(g, i, &at_ef, &at)) {
            break;
        }
        double at_recall = (double)at;
        ef = (double)at_ef;
        if (at_recall >= want) {
            double share = i && at_recall > before_recall
                               ? (want - before_recall) / (at_recall - before_recall)
                               : 1.0;
            ef = before_ef + (ef - before_ef) * QV_MAX(share, 0.0);
            before_recall = want;
            break;
        }
        before_ef = ef;
        before_recall = QV_MAX(before_recall, at_recall);
    }
    if (ef == 0) {
        ef = guess(want);
    } else if (before_recall < want) { /* above what was measured */
        ef = QV_MAX(ef * (1.0 - before_recall) / (1.0 - want), ef);
    }
    ef *= k > K ? (double)k / K : 1.0;
    return (uint32_t)QV_MIN(ef + 1.0, (double)QV__GRAPH_EF_MAX);
}

/* A query of the sample: a node, and how far its K-th neighbour is. */
struct sample {
    uint32_t ord;
    float kth;
};

static qv_status sample_take(struct qv__graph *g, struct qv__qctx *ctx, uint32_t n, uint32_t ord,
                             struct sample *out)
{
    struct qv__index_hit hits[K + 1];
    uint32_t n_hits;
    struct qv_err err;
    struct qv__index_query q = {.vector = qv__graph_vector(g, ord), .k = K + 1, .n = n};
    QV_TRY(qv__scan(g->index.simd, &g->index.vectors, 0, &q, ctx, hits, &n_hits, &err));
    /* Among equal vectors the node itself may be none of the hits; the distance is the same. */
    *out = (struct sample){.ord = ord, .kth = hits[K].dist};
    return QV_OK;
}

/* The share of the samples' true neighbours that walks of this beam find. */
static qv_status recall_at(struct qv__graph *g, struct qv__graph_scratch *s, struct qv__qctx *ctx,
                           uint32_t n, const struct sample *samples, uint32_t n_samples,
                           uint32_t ef, double *out)
{
    uint64_t n_good = 0, n_all = 0;
    for (uint32_t i = 0; i < n_samples; i++) {
        struct qv__index_hit hits[K];
        uint32_t n_hits;
        struct qv__index_query q = {
            .vector = qv__graph_vector(g, samples[i].ord), .k = K, .ef = ef, .n = n};
        struct qv__graph_walk w = {
            .ef = ef, .n = n, .ctx = ctx, .hidden = samples[i].ord, .has_hidden = true};
        QV_TRY(qv__graph_walk_hits(g, s, &w, &q, hits, &n_hits));
        if (w.entry == samples[i].ord) { /* the way down ends in it: it cannot be hidden */
            continue;
        }
        for (uint32_t j = 0; j < n_hits; j++) {
            n_good += hits[j].dist <= samples[i].kth;
        }
        n_all += K;
    }
    *out = n_all ? (double)n_good / (double)n_all : 0.0;
    return QV_OK;
}

static qv_status tune(struct qv__graph *g, struct qv__graph_scratch *s, struct qv__qctx *ctx,
                      uint32_t n, struct sample *samples, uint32_t n_samples)
{
    struct qv__rng rng;
    qv__rng_seed(&rng, g->index.params.seed ^ UINT64_C(0x74756e65));
    for (uint32_t i = 0; i < n_samples; i++) {
        uint32_t ord = (uint32_t)qv__rng_below(&rng, n);
        QV_TRY(sample_take(g, ctx, n, ord, &samples[i]));
    }
    for (uint32_t i = 0; i < QV__GRAPH_TUNED_MAX; i++) {
        double recall;
        QV_TRY(recall_at(g, s, ctx, n, samples, n_samples, ladder[i], &recall));
        qv__graph_tuned_set(g, i, ladder[i], (float)recall);
    }
    g->n_tuned = n;
    return QV_OK;
}

/* Never fails: a graph that could not be measured is used all the same. */
void qv__graph_tune(struct qv__graph *g, const struct qv__index_env *env, uint32_t n)
{
    if (n < N_LEAST || n < 2 * g->n_tuned) {
        return;
    }
    uint32_t n_samples =
        QV_MIN(QV_MAX((uint32_t)COMPARED_MAX / n, (uint32_t)QUERIES_LEAST), (uint32_t)QUERIES);
    struct qv__qctx ctx = {.cancel = env->cancel, .mem = g->index.mem};
    struct sample *samples = qv__calloc(g->index.mem, n_samples, sizeof *samples);
    struct qv__graph_scratch *s = samples ? qv__scratch_take(g) : NULL;
    if (s) {
        (void)tune(g, s, &ctx, n, samples, n_samples);
    }
    qv__scratch_give(g, s);
    qv__free(samples);
}
