/* graph_insert.c: a graph that grows while it is searched.
 *
 * New ordinals are linked in batches of one clique (graph_link.c) in the order they came; after
 * each batch the new count is published with release, so a reader that loads it sees complete nodes
 * only, and readers that hold an older count skip what is above it. The quantizer is trained on the
 * first vectors that come; codes are of each vector's own scale, so later ones need not be alike.
 * Readers never wait: nothing they can reach is moved, freed or locked. Rows come in chunks, so
 * memory follows the number of nodes: an empty graph costs its chunk tables. */
#include "index/graph_link.h"

enum {
    TABLE_CHUNKS = 512,   /* at most: 4 KiB per table ... */
    CHUNK_SHIFT_MIN = 10, /* ... and chunks of no less than 1,024 rows */
};

qv_status qv__graph_create(const struct qv__index_params *params, const struct qv__index_env *env,
                           const struct qv__vectors *vectors, uint32_t n_max,
                           struct qv__index **out, struct qv_err *err)
{
    struct qv__graph *g;
    QV_TRY(qv__graph_alloc(params, env, vectors, n_max, &g, err));
    uint32_t shift = CHUNK_SHIFT_MIN;
    while (n_max >> shift >= TABLE_CHUNKS) {
        shift++;
    }
    uint32_t n_chunks = (n_max >> shift) + 1;
    uint32_t n_chunk_rows = UINT32_C(1) << shift;
    if (!qv__rows_init(g, &g->base, n_chunks, shift, n_chunk_rows, qv__graph_base_stride(g->m)) ||
        !qv__rows_init(g, &g->tree, n_chunks, shift, n_chunk_rows, sizeof(struct qv__graph_tree))) {
        qv__graph_free(&g->index);
        return qv__fail(err, QV_ENOMEM, "graph: out of memory");
    }
    *out = &g->index;
    return QV_OK;
}

qv_status qv__graph_insert(struct qv__index *x, const struct qv__index_env *env, uint32_t n,
                           struct qv_err *err)
{
    struct qv__graph *g = qv__graph_of(x);
    uint32_t n_first = qv__index_count(x);
    if (n > g->n_max) {
        return qv__fail(err, QV_EINVAL, "graph: %" PRIu32 " ordinals do not fit in %" PRIu32, n,
                        g->n_max);
    }
    if (n <= n_first) {
        return QV_OK;
    }
    if (!g->quant) { /* what there is now is the sample */
        QV_TRY(qv__graph_codes_make(g, n, false, err));
    }
    QV_TRY(qv__graph_encode(g, env, n_first, n, err));
    struct qv__graph_batch batch;
    QV_TRY(qv__batch_open(&batch, g, env, QV_MIN(n - n_first, (uint32_t)QV__GRAPH_CLIQUE), err));
    qv_status st = QV_OK;
    uint32_t ords[QV__GRAPH_CLIQUE];
    for (uint32_t done = n_first; st == QV_OK && done < n;) {
        uint32_t n_batch = QV_MIN(n - done, (uint32_t)QV__GRAPH_CLIQUE);
        for (uint32_t i = 0; i < n_batch; i++) {
            ords[i] = done + i;
        }
        if (qv__env_cancelled(env)) {
            st = qv__fail(err, QV_ECANCELLED, "graph: insert cancelled");
            break;
        }
        st = qv__batch_run(&batch, ords, n_batch, done + n_batch, err);
        if (st == QV_OK) {
            done += n_batch;
            atomic_store_explicit(&x->n_indexed, done, memory_order_release);
            if (env->progress) {
                env->progress(env->progress_ctx, done - n_first, n - n_first);
            }
        }
    }
    qv__batch_close(&batch);
    if (st == QV_OK) {
        qv__graph_tune(g, env, n);
    }
    return st;
}
