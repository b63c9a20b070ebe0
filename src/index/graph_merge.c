/* graph_merge.c: one graph over the union of several, ordinals being those of the new run.
 *
 * The largest source is taken over with its links (graph_adopt.c). Other sources that lost nothing
 * are joined to it with theirs (graph_stitch.c). The rest is linked into it batch by batch, as a
 * build links. A point that was linked in a source of its own starts its walk at
 * those of its neighbours there that are linked already, and so needs neither a way down nor a wide
 * beam (the join set of Lucene, apache/lucene#14331: a point without such neighbours, or on an
 * upper layer, is one of the few that are searched for from the root). Linking in random order
 * gives nearly every point such neighbours after the first tenth. Where the largest source lost
 * nodes the walks start from the root as in a build: merges upon merges of what was deleted and
 * written again, each begun at the neighbours of before, cost recall
 * (tests/unit/engine/test_churn.c).
 *
 * It is a build instead where that is as good or better: no source's settings fit, or too little of
 * the largest is left to be worth mending. Deterministic like a build. */
#include "index/graph_link.h"

enum {
    CANDIDATES = 16,      /* records whose links a mending looks at, at most */
    DROPPED_PERCENT = 30, /* of a source; more, and it is built anew ... */
    KEPT_SHARE = 4,       /* ... as when fewer than one in so many of its nodes keep a place */
    EF_LEAST = 32,        /* beam of a walk that starts at neighbours ... */
    EF_EIGHTHS = 3,       /* ... and its part of the candidates */
};

struct merge {
    struct qv__graph *g;
    struct qv__graph_batch batch;
    struct qv__graph_donor donor;
    struct qv__graph_seeds seeds;
    const struct qv__graph **graphs;
    struct qv__graph_origin *origins; /* by new ordinal */
    uint32_t *order;                  /* to link; then who is linked */
    uint32_t *linked;
    uint32_t *queue;
    uint8_t *marks; /* who is linked: graph_stitch.c */
    uint32_t n_order;
};

/* Whether the links of a source are what a build with these settings would be content with. */
static bool fits(const struct qv__index *x, const struct qv__index_params *params,
                 const struct qv__vectors *v)
{
    return x->ops == &qv__graph_ops && qv__index_count(x) > 0 && x->vectors.dim == v->dim &&
           x->vectors.metric == v->metric && x->vectors.datatype == v->datatype &&
           !x->ops->differs(x, params, NULL);
}

static uint32_t kept_count(const uint32_t *remap, uint32_t n)
{
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        n_kept += remap[i] != UINT32_MAX;
    }
    return n_kept;
}

/* The source that is worth taking over, the one with the most ordinals left; false if none is. */
static bool donor_choose(const struct qv__index_params *params, const struct qv__vectors *vectors,
                         struct qv__index *const *sources, const uint32_t *const *remaps,
                         size_t n_sources, struct qv__graph_donor *out)
{
    uint32_t n_most = 0;
    for (size_t i = 0; i < n_sources; i++) {
        if (!sources[i] || !fits(sources[i], params, vectors)) {
            continue;
        }
        uint32_t n = qv__index_count(sources[i]), n_kept = kept_count(remaps[i], n);
        if (n_kept > n_most && (uint64_t)(n - n_kept) * 100 <= (uint64_t)n * DROPPED_PERCENT) {
            n_most = n_kept;
            *out = (struct qv__graph_donor){
                .g = qv__graph_of_const(sources[i]), .remap = remaps[i], .n = n};
        }
    }
    return n_most > 0;
}

/* The donor's quantizer and codes if they serve the new run too, else new ones. */
static qv_status codes_take(struct merge *m, const struct qv__index_env *env, struct qv_err *err)
{
    struct qv__graph *g = m->g;
    const struct qv__graph *from = m->donor.g;
    uint32_t n = g->n_max;
    if (!from->quant || !qv__quant_fits(from->quant, &g->index.vectors, n, env->mem)) {
        QV_TRY(qv__graph_codes_make(g, n, true, err));
        return qv__graph_encode(g, env, 0, n, err);
    }
    memset(m->queue, 0xff, n * sizeof *m->queue);
    for (uint32_t ord = 0; ord < m->donor.n; ord++) {
        if (m->donor.remap[ord] != UINT32_MAX) {
            m->queue[m->donor.remap[ord]] = ord;
        }
    }
    return qv__graph_codes_from(g, env, from, m->queue, err);
}

/* Fill in where each ordinal comes from, who has a place and who is to be linked. */
static void order_make(struct merge *m, struct qv__index *const *sources,
                       const uint32_t *const *remaps, size_t n_sources)
{
    uint32_t n = m->g->n_max, n_linked = 0;
    memset(m->origins, 0xff, n * sizeof *m->origins);
    for (size_t i = 0; i < n_sources; i++) {
        bool has_links = sources[i] && sources[i]->ops == &qv__graph_ops;
        for (uint32_t o = 0; has_links && o < qv__index_count(sources[i]); o++) {
            if (remaps[i][o] != UINT32_MAX) {
                m->origins[remaps[i][o]] = (struct qv__graph_origin){(uint32_t)i, o};
            }
        }
        m->graphs[i] = has_links ? qv__graph_of_const(sources[i]) : NULL;
    }
    memset(m->queue, 0, n * sizeof *m->queue);
    for (uint32_t o = 0; o < m->donor.n; o++) {
        if (m->donor.to[o] != UINT32_MAX) {
            m->queue[m->donor.to[o]] = 1;
            m->linked[n_linked++] = m->donor.to[o];
        }
    }
    m->n_order = 0;
    for (uint32_t o = 0; o < n; o++) {
        if (!m->queue[o]) {
            m->order[m->n_order++] = o;
        }
    }
    qv__build_shuffle(m->order, m->n_order, m->g->index.params.seed);
    m->seeds = (struct qv__graph_seeds){
        .graphs = m->graphs,
        .remaps = remaps,
        .origins = m->origins,
        .ef = QV_MIN(QV_MAX(m->g->index.params.ef_construct / 8 * EF_EIGHTHS, (uint32_t)EF_LEAST),
                     m->g->index.params.ef_construct)};
}

static bool merge_alloc(struct merge *m, struct qv__mem *mem, uint32_t n, size_t n_sources)
{
    m->donor.to = qv__calloc(mem, m->donor.n, sizeof *m->donor.to);
    m->graphs = qv__calloc(mem, n_sources, sizeof(struct qv__graph *));
    m->origins = qv__calloc(mem, n, sizeof *m->origins);
    m->order = qv__calloc(mem, n, sizeof *m->order);
    m->linked = qv__calloc(mem, n, sizeof *m->linked);
    m->queue = qv__calloc(mem, n, sizeof *m->queue);
    m->marks = qv__calloc(mem, n, sizeof *m->marks);
    return m->donor.to && m->graphs && m->origins && m->order && m->linked && m->queue &&
           m->marks && qv__build_base(m->g, n) &&
           qv__rows_init(m->g, &m->g->tree, 1, 31, n, sizeof(struct qv__graph_tree));
}

static void merge_free(struct merge *m)
{
    qv__batch_close(&m->batch);
    qv__free(m->donor.to);
    qv__free((void *)m->graphs);
    qv__free(m->origins);
    qv__free(m->order);
    qv__free(m->linked);
    qv__free(m->queue);
    qv__free(m->marks);
}

/* Join the other graphs that lost nothing, one by one. */
static qv_status stitch_all(struct merge *m, struct qv__index *const *sources,
                            const uint32_t *const *remaps, size_t n_sources, uint32_t *n_linked,
                            struct qv_err *err)
{
    struct qv__graph *g = m->g;
    uint32_t *upper = m->queue;
    for (uint32_t i = 0; i < m->donor.n; i++) {
        m->marks[m->donor.to[i]] = QV__STITCH_LINKED;
    }
    *n_linked = m->donor.n;
    for (size_t i = 0; i < n_sources; i++) {
        uint32_t n = m->graphs[i] ? qv__index_count(sources[i]) : 0, n_upper = 0;
        if (!n || m->graphs[i] == m->donor.g ||
            !fits(sources[i], &g->index.params, &g->index.vectors) ||
            kept_count(remaps[i], n) != n) {
            continue;
        }
        for (uint32_t o = 0; o < n; o++) {
            if (qv__graph_level(g, remaps[i][o]) > 0) {
                upper[n_upper++] = remaps[i][o];
            }
        }
        qv__build_shuffle(upper, n_upper, g->index.params.seed);
        QV_TRY(qv__build_link(&m->batch, upper, n_upper, *n_linked, err));
        for (uint32_t u = 0; u < n_upper; u++) {
            m->marks[upper[u]] = QV__STITCH_LINKED;
        }
        QV_TRY(qv__stitch(&m->batch, m->graphs[i], remaps[i], m->marks, m->queue, *n_linked, err));
        *n_linked += n;
    }
    return QV_OK;
}

/* Who is not linked yet, in the order of before; and the tree of the others. */
static qv_status stitched_finish(struct merge *m, struct qv_err *err)
{
    struct qv__graph *g = m->g;
    uint32_t n_linked = 0, n_left = 0;
    memset(m->queue, 0, g->n_max * sizeof *m->queue);
    for (uint32_t o = 0; o < g->n_max; o++) {
        if (m->marks[o]) {
            m->linked[n_linked++] = o;
            *qv__graph_tree_at(g, o) = (struct qv__graph_tree){.parent = QV__GRAPH_EMPTY};
        }
    }
    qv__graph_tree_at(g, g->root)->parent = g->root;
    for (uint32_t i = 0; i < m->n_order; i++) {
        m->order[n_left] = m->order[i];
        n_left += !m->marks[m->order[i]];
    }
    m->n_order = n_left;
    return qv__batch_span(&m->batch, m->linked, n_linked, m->queue, err);
}

static qv_status merge_run(struct merge *m, const struct qv__index_env *env,
                           struct qv__index *const *sources, const uint32_t *const *remaps,
                           size_t n_sources, bool *is_better_built, struct qv_err *err)
{
    struct qv__graph *g = m->g;
    uint32_t n = g->n_max;
    uint32_t n_points = QV_MAX(qv__build_batch(n, n), CANDIDATES * g->cap_base);
    n_points = QV_MAX(n_points, QV_MIN(n, (uint32_t)QV__GRAPH_BACK_MAX));
    qv__adopt_plan(&m->donor, env);
    if (m->donor.n_kept < m->donor.n / KEPT_SHARE + 1) {
        *is_better_built = true;
        return QV_OK;
    }
    QV_TRY(codes_take(m, env, err));
    QV_TRY(qv__batch_open(&m->batch, g, env, n_points, err));
    order_make(m, sources, remaps, n_sources);
    QV_TRY(qv__adopt(&m->donor, &m->batch, m->order, m->n_order, err));
    QV_TRY(qv__batch_span(&m->batch, m->linked, m->donor.n_kept, m->queue, err));
    if (env->progress) {
        env->progress(env->progress_ctx, m->donor.n_kept, n);
    }
    uint32_t n_linked = m->donor.n_kept;
    bool is_whole = kept_count(m->donor.remap, m->donor.n) == m->donor.n;
    if (is_whole) {
        QV_TRY(stitch_all(m, sources, remaps, n_sources, &n_linked, err));
        QV_TRY(stitched_finish(m, err));
        m->batch.seeds = &m->seeds;
    }
    return qv__build_link(&m->batch, m->order, m->n_order, n_linked, err);
}

qv_status qv__graph_merge(const struct qv__index_params *params, const struct qv__index_env *env,
                          const struct qv__vectors *vectors, uint32_t n,
                          struct qv__index *const *sources, const uint32_t *const *remaps,
                          size_t n_sources, struct qv__index **out, struct qv_err *err)
{
    struct merge m = {0};
    bool is_better_built = false;
    if (!donor_choose(params, vectors, sources, remaps, n_sources, &m.donor)) {
        return qv__graph_build(params, env, vectors, n, out, err);
    }
    QV_TRY(qv__graph_alloc(params, env, vectors, n, &m.g, err));
    qv_status st =
        merge_alloc(&m, env->mem, n, n_sources)
            ? merge_run(&m, env, sources, remaps, n_sources, &is_better_built, err)
            : qv__fail(err, QV_ENOMEM, "graph: no memory to merge %" PRIu32 " vectors", n);
    merge_free(&m);
    if (st != QV_OK || is_better_built) {
        qv__graph_free(&m.g->index);
        return st != QV_OK ? st : qv__graph_build(params, env, vectors, n, out, err);
    }
    qv__build_finish(m.g, env);
    *out = &m.g->index;
    return QV_OK;
}
