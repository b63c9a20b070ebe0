/* graph_build.c: a complete graph over a known number of vectors.
 *
 * Points are linked batch by batch (graph_link.c) in an order shuffled by the seed, so that data
 * sorted by cluster or by time gives as good a graph as any other. The first of that order is the
 * root. All rows are one block with the saved form's header in front, so saving the base copies
 * nothing; the spanning tree is dropped at the end, since a built graph takes no more nodes. A
 * merge (graph_merge.c) goes the same way for what it adds to the graph that it takes over. */
#include "index/graph_link.h"

#include "base/rng.h"

bool qv__build_base(struct qv__graph *g, uint32_t n)
{
    uint32_t stride = qv__graph_base_stride(g->m);
    g->base_block = qv__rows_block(g, &g->base, n, stride);
    if (!g->base_block) {
        return false;
    }
    memset(g->base_block, 0xff, QV__GRAPH_PART_HEADER_BYTES + (size_t)n * stride);
    return true;
}

bool qv__build_layers(struct qv__graph *g, const uint32_t *order, uint32_t n, uint32_t *n_at)
{
    uint32_t n_drawn[QV__GRAPH_LAYERS_MAX] = {0};
    for (uint32_t i = 0; i < n; i++) {
        n_drawn[order[i] == g->root ? 0 : qv__graph_level(g, order[i])]++;
    }
    for (uint32_t layer = QV__GRAPH_LAYERS_MAX - 1; layer > 1; layer--) {
        n_drawn[layer - 1] += n_drawn[layer];
    }
    for (uint32_t layer = 1; layer < QV__GRAPH_LAYERS_MAX; layer++) {
        n_at[layer] += n_drawn[layer];
        if (n_at[layer] && !qv__graph_layer_add(g, layer, n_at[layer] + 1)) {
            return false;
        }
    }
    return true;
}

void qv__build_shuffle(uint32_t *order, uint32_t n, uint64_t seed)
{
    struct qv__rng rng;
    qv__rng_seed(&rng, seed);
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = (uint32_t)qv__rng_below(&rng, i);
        uint32_t swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
}

uint32_t qv__build_batch(uint32_t n_linked, uint32_t n_left)
{
    uint32_t n = QV_MAX(n_linked / QV__GRAPH_BATCH_SHARE, (uint32_t)QV__GRAPH_CLIQUE);
    return QV_MIN(QV_MIN(n, (uint32_t)QV__GRAPH_BATCH_MAX), n_left);
}

qv_status qv__build_link(struct qv__graph_batch *b, const uint32_t *order, uint32_t n,
                         uint32_t n_linked, struct qv_err *err)
{
    struct qv__graph *g = b->g;
    const struct qv__index_env *env = b->env;
    qv_status st = QV_OK;
    for (uint32_t done = 0; st == QV_OK && done < n;) {
        uint32_t n_batch = qv__build_batch(n_linked + done, n - done);
        st = qv__env_cancelled(env) ? qv__fail(err, QV_ECANCELLED, "graph: build cancelled")
                                    : qv__batch_run(b, order + done, n_batch, g->n_max, err);
        done += n_batch;
        if (st == QV_OK && env->progress) {
            env->progress(env->progress_ctx, n_linked + done, g->n_max);
        }
    }
    return st;
}

static qv_status link_all(struct qv__graph *g, const struct qv__index_env *env,
                          const uint32_t *order, uint32_t n, struct qv_err *err)
{
    struct qv__graph_batch batch;
    uint32_t n_at[QV__GRAPH_LAYERS_MAX] = {0};
    QV_TRY(qv__batch_open(&batch, g, env, qv__build_batch(n, n), err));
    /* The root alone first: the layers hang on it. */
    qv_status st = qv__batch_run(&batch, order, 1, n, err);
    if (st == QV_OK && !qv__build_layers(g, order, n, n_at)) {
        st = qv__fail(err, QV_ENOMEM, "graph: no memory for the upper layers");
    }
    if (st == QV_OK) {
        st = qv__build_link(&batch, order + 1, n - 1, 1, err);
    }
    qv__batch_close(&batch);
    return st;
}

void qv__build_finish(struct qv__graph *g, const struct qv__index_env *env)
{
    uint32_t n = g->n_max;
    struct qv__graph_narrow narrow;
    qv__rows_free(g, &g->tree);
    if (qv__graph_narrow_make(g, env, n, &narrow)) {
        qv__graph_narrow_set(g, &narrow);
    }
    qv__graph_tune(g, env, n);
    qv__scratch_drop(g);
    atomic_store_explicit(&g->index.n_indexed, n, memory_order_release);
}

qv_status qv__graph_build(const struct qv__index_params *params, const struct qv__index_env *env,
                          const struct qv__vectors *vectors, uint32_t n, struct qv__index **out,
                          struct qv_err *err)
{
    struct qv__graph *g;
    QV_TRY(qv__graph_alloc(params, env, vectors, n, &g, err));
    uint32_t *order = NULL;
    qv_status st = QV_OK;
    if (!qv__build_base(g, n) ||
        !qv__rows_init(g, &g->tree, 1, 31, n, sizeof(struct qv__graph_tree)) ||
        !(order = qv__calloc(env->mem, n, sizeof *order))) {
        st = qv__fail(err, QV_ENOMEM, "graph: no memory to build over %" PRIu32 " vectors", n);
    } else if (n) {
        for (uint32_t i = 0; i < n; i++) {
            order[i] = i;
        }
        qv__build_shuffle(order, n, params->seed);
        st = qv__graph_codes_make(g, n, true, err);
        st = st == QV_OK ? qv__graph_encode(g, env, 0, n, err) : st;
        st = st == QV_OK ? link_all(g, env, order, n, err) : st;
    }
    qv__free(order);
    if (st != QV_OK) {
        qv__graph_free(&g->index);
        return st;
    }
    qv__build_finish(g, env);
    *out = &g->index;
    return QV_OK;
}
