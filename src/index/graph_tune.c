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
 * measured again while searches read them. A graph that gets narrow codes where it is saved is
 * measured over those for its file: what walks over codes of a byte found says too much. */
#include "index/graph_walk.h"

#include "base/rng.h"
#include "base/topk.h"

enum {
    K = 10,
    QUERIES = 100,
    N_LEAST = 1000,              /* fewer are scanned, or walked in no time */
    COMPARED_MAX = 50 * 1000000, /* by the exact scans: some seconds at most */
    QUERIES_LEAST = 20,
    GROUP = 10, /* samples of one task */
    BLOCK = 64, /* vectors compared with a whole group at a time */
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

/* A query of the sample: a node, how far its K-th neighbour is, and what walks found. */
struct sample {
    uint32_t ord;
    float kth;
    bool is_used;
    uint8_t n_good[QV__GRAPH_TUNED_MAX]; /* of K, per beam */
};

struct tuning {
    struct qv__graph *g;
    const struct qv__index_env *env;
    uint32_t n;
    struct sample *samples;
    uint32_t n_samples;
    _Atomic int status;
};

static struct qv__qctx ctx_of(const struct tuning *t)
{
    return (struct qv__qctx){.cancel = t->env->cancel, .mem = t->g->index.mem};
}

/* Exact neighbours of a group of samples, by blocks of vectors that stay in the cache for all of
 * them. The node itself is one of K + 1; among equal vectors it may be none, at the same distance.
 */
static void scan_task(void *arg, size_t begin, size_t end, unsigned worker)
{
    struct tuning *t = arg;
    const struct qv__graph *g = t->g;
    struct qv__hit hits[GROUP][K + 1];
    struct qv__topk best[GROUP];
    const void *rows[BLOCK];
    float dists[BLOCK];
    struct qv__qctx ctx = ctx_of(t);
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        qv__topk_init(&best[i - begin], hits[i - begin], K + 1);
    }
    for (uint32_t first = 0; first < t->n; first += BLOCK) {
        uint32_t n = QV_MIN(t->n - first, (uint32_t)BLOCK);
        qv__pool_give_way(t->env->pool);
        if (qv__qctx_check(&ctx) != QV_OK) {
            atomic_store_explicit(&t->status, QV_ECANCELLED, memory_order_relaxed);
            return;
        }
        for (uint32_t j = 0; j < n; j++) {
            rows[j] = qv__graph_vector(g, first + j);
        }
        for (size_t i = begin; i < end; i++) {
            g->kernels.gather(qv__graph_vector(g, t->samples[i].ord), rows, n, g->index.vectors.dim,
                              dists);
            for (uint32_t j = 0; j < n; j++) {
                float dist = qv__kernels_dist(g->kernels.is_similarity, dists[j]);
                if (dist <= qv__topk_bound(&best[i - begin])) {
                    qv__topk_push(&best[i - begin], dist, first + j);
                }
            }
        }
    }
    for (size_t i = begin; i < end; i++) {
        qv__topk_sort(&best[i - begin]);
        t->samples[i].kth = hits[i - begin][K].dist;
    }
}

/* What walks with each beam find of a sample's true neighbours. */
static qv_status sample_walk(const struct tuning *t, struct qv__graph_scratch *s,
                             struct sample *sample)
{
    struct qv__qctx ctx = ctx_of(t);
    for (uint32_t i = 0; i < QV__GRAPH_TUNED_MAX; i++) {
        struct qv__index_hit hits[K];
        uint32_t n_hits;
        qv__pool_give_way(t->env->pool);
        struct qv__index_query q = {
            .vector = qv__graph_vector(t->g, sample->ord), .k = K, .ef = ladder[i], .n = t->n};
        struct qv__graph_walk w = {
            .ef = ladder[i], .n = t->n, .ctx = &ctx, .hidden = sample->ord, .has_hidden = true};
        QV_TRY(qv__graph_walk_hits(t->g, s, &w, &q, hits, &n_hits));
        if (w.entry == sample->ord) { /* the way down ends in it: it cannot be hidden */
            return QV_OK;
        }
        for (uint32_t j = 0; j < n_hits; j++) {
            sample->n_good[i] = (uint8_t)(sample->n_good[i] + (hits[j].dist <= sample->kth));
        }
    }
    sample->is_used = true;
    return QV_OK;
}

static void walk_task(void *arg, size_t begin, size_t end, unsigned worker)
{
    struct tuning *t = arg;
    struct qv__graph_scratch *s = qv__scratch_take(t->g);
    qv_status st = s ? QV_OK : QV_ENOMEM;
    (void)worker;
    for (size_t i = begin; i < end && st == QV_OK; i++) {
        st = sample_walk(t, s, &t->samples[i]);
    }
    qv__scratch_give(t->g, s);
    if (st != QV_OK) {
        atomic_store_explicit(&t->status, (int)st, memory_order_relaxed);
    }
}

static void tune(struct tuning *t)
{
    struct qv__graph *g = t->g;
    struct qv__rng rng;
    qv__rng_seed(&rng, g->index.params.seed ^ UINT64_C(0x74756e65));
    for (uint32_t i = 0; i < t->n_samples; i++) {
        t->samples[i] = (struct sample){.ord = (uint32_t)qv__rng_below(&rng, t->n)};
    }
    unsigned threads = qv__env_threads(t->env);
    qv__parallel_for(t->env->pool, threads, t->n_samples, GROUP, scan_task, t);
    if (atomic_load(&t->status) == QV_OK) {
        qv__parallel_for(t->env->pool, threads, t->n_samples, GROUP, walk_task, t);
    }
    if (atomic_load(&t->status) != QV_OK) {
        return;
    }
    for (uint32_t i = 0; i < QV__GRAPH_TUNED_MAX; i++) {
        uint64_t n_good = 0, n_all = 0;
        for (uint32_t j = 0; j < t->n_samples; j++) {
            n_good += t->samples[j].is_used ? t->samples[j].n_good[i] : 0;
            n_all += t->samples[j].is_used ? K : 0;
        }
        qv__graph_tuned_set(g, i, ladder[i], n_all ? (float)n_good / (float)n_all : 0.0f);
    }
    g->n_tuned = t->n;
}

/* Never fails: a graph that could not be measured is used all the same. */
void qv__graph_tune(struct qv__graph *g, const struct qv__index_env *env, uint32_t n)
{
    if (n < N_LEAST || n < 2 * g->n_tuned) {
        return;
    }
    struct tuning t = {.g = g, .env = env, .n = n};
    t.n_samples =
        QV_MIN(QV_MAX((uint32_t)COMPARED_MAX / n, (uint32_t)QUERIES_LEAST), (uint32_t)QUERIES);
    t.samples = qv__calloc(g->index.mem, t.n_samples, sizeof *t.samples);
    if (t.samples) {
        tune(&t);
    }
    qv__free(t.samples);
}

/* Only what walks and measuring read is there; everything but its scratches is g's. */
struct qv__graph *qv__graph_tune_narrow(const struct qv__graph *g, const struct qv__index_env *env,
                                        uint32_t n, const struct qv__graph_narrow *narrow)
{
    struct qv__graph *as = n >= N_LEAST ? qv__zalloc(g->index.mem, sizeof *as) : NULL;
    if (!as) {
        return NULL;
    }
    as->index.ops = g->index.ops;
    as->index.mem = g->index.mem;
    as->index.simd = g->index.simd;
    as->index.vectors = g->index.vectors;
    as->index.params = g->index.params;
    atomic_init(&as->index.n_indexed, n);
    as->kernels = g->kernels;
    as->n_max = g->n_max;
    as->cap_base = g->cap_base;
    as->m = g->m;
    as->root = g->root;
    as->quant = g->quant;
    as->codes = g->codes;
    as->base = g->base;
    memcpy(as->upper, g->upper, sizeof as->upper);
    atomic_init(&as->n_layers, qv__graph_layers(g));
    qv__mutex_init(&as->lock, QV__RANK_LEAF);
    qv__graph_narrow_set(as, narrow);
    qv__graph_tune(as, env, n);
    qv__scratch_drop(as);
    return as;
}

void qv__graph_tune_narrow_free(struct qv__graph *as)
{
    if (as) {
        qv__mutex_destroy(&as->lock);
        qv__free(as);
    }
}
