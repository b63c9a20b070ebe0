/* segment_near.c: rows of a new file in an order in which near vectors lie side by side. */
#include "engine/segment_near.h"

#include "index/nearness.h"

/* The first column that graphs are made of; NULL = there is none. */
static const struct qv__vector_def *graph_column(const struct qv__schema *schema, uint32_t *column)
{
    for (uint32_t i = 0; i < schema->n_vectors; i++) {
        const struct qv__vector_def *def = &schema->vectors[i];
        if (!qv__vec_varies(def->kind) && def->index.kind == QV__INDEX_GRAPH) {
            *column = i;
            return def;
        }
    }
    return NULL;
}

/* A single source with a graph has the order that its graph was made in, or is small. */
static bool has_graph(const struct qv__segment *s, const struct qv__schema *schema, uint32_t column)
{
    uint32_t own = qv__segment_column(s, schema, column);
    return own != QV__NO_ROW && atomic_load(&s->columns[own].index);
}

/* Rows under way. */
struct ordering {
    const void **vectors; /* by place before */
    uint32_t *order;      /* places before, in the new order */
    struct qv__row_ref *old;
};

static qv_status ordering_run(const struct qv__segment_env *env, const struct qv__schema *schema,
                              uint32_t column, struct qv__segment *const *sources,
                              const struct qv__work *work, struct ordering *o, uint32_t n_rows,
                              struct qv_err *err)
{
    const struct qv__vector_def *def = &schema->vectors[column];
    struct qv__index_env index_env = {.mem = env->mem,
                                      .simd = env->simd,
                                      .pool = env->pool,
                                      .threads = schema->policy.build_threads,
                                      .cancel = qv__work_cancel(work)};
    struct qv__vectors kind = {.dim = def->dim, .datatype = def->datatype, .metric = def->metric};
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_rows; i++) {
        o->vectors[i] =
            qv__segment_row_vector(sources[o->old[i].source], schema, column, o->old[i].row);
        o->order[n] = i;
        n += o->vectors[i] != NULL;
    }
    for (uint32_t i = 0, at = n; i < n_rows; i++) {
        if (!o->vectors[i]) {
            o->order[at++] = i;
        }
    }
    return qv__nearness_order(&index_env, &kind, o->vectors, def->index.seed, o->order, n, err);
}

qv_status qv__near_order(const struct qv__segment_env *env, const struct qv__schema *schema,
                         struct qv__segment *const *sources, size_t n_sources,
                         const struct qv__work *work, struct qv__row_ref *rows, uint32_t n_rows,
                         bool *moved, struct qv_err *err)
{
    uint32_t column;
    *moved = false;
    if (n_rows < schema->policy.index_rows || !graph_column(schema, &column) ||
        (n_sources == 1 && has_graph(sources[0], schema, column))) {
        return QV_OK;
    }
    size_t n = (size_t)n_rows + 1;
    struct ordering o = {.vectors = qv__calloc(env->mem, n, sizeof *o.vectors),
                         .order = qv__calloc(env->mem, n, sizeof *o.order),
                         .old = qv__calloc(env->mem, n, sizeof *o.old)};
    qv_status st;
    if (o.vectors && o.order && o.old) {
        memcpy(o.old, rows, n_rows * sizeof *rows);
        st = ordering_run(env, schema, column, sources, work, &o, n_rows, err);
    } else {
        st = qv__fail(err, QV_ENOMEM, "no memory to order %" PRIu32 " rows", n_rows);
    }
    for (uint32_t i = 0; st == QV_OK && i < n_rows; i++) {
        rows[i] = o.old[o.order[i]];
        *moved |= o.order[i] != i;
    }
    qv__free(o.vectors);
    qv__free(o.order);
    qv__free(o.old);
    return st == QV_ENOMEM ? QV_OK
                           : st; /* an order is worth no merge: the rows stay as they were */
}
