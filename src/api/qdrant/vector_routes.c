/* vector_routes.c: adding a named vector to a collection that is in use, and dropping one. */
#include "api/qdrant/qdrant.h"

/* Kept settings are read, merged and written: as a PATCH, one at a time. */
struct change {
    struct qv__mutex *one;
    struct qv__schema *old;
    qv__json kept;
};

static qv_status begin(struct qv__call *c, struct change *x)
{
    x->one = qv__api_patch_lock(c->request->api);
    qv__mutex_lock(x->one);
    x->old = qv__collection_schema(c->collection);
    return qv__qd_config_read(c, x->old, &x->kept);
}

static qv_status end(struct qv__call *c, struct change *x, qv_status st, uint64_t operation_id)
{
    qv__schema_release(x->old);
    qv__mutex_unlock(x->one);
    if (st == QV_OK) {
        qv__qd_update_result(&c->w, operation_id, c->query.wait);
    }
    return st;
}

static qv_status add(struct qv__call *c, struct change *x, qv__json settings,
                     struct qv__vector_def *def, uint64_t *operation_id)
{
    struct qv__vector_def list[QV__VECTORS_MAX + 1];
    struct qv__schema after = qv__schema_parts(x->old);
    struct qv__qd_changes ch = {.vectors = settings, .vectors_of = &def->name};
    struct qv__str config;
    qv__json kept = NULL;
    memcpy(list, x->old->vectors, x->old->n_vectors * sizeof *list);
    list[after.n_vectors++] = *def;
    after.vectors = list;
    QV_TRY(qv__qd_config_keep(c, &after, x->kept, &ch, &config));
    after.config_json = config;
    QV_TRY(qv__qd_config_read(c, &after, &kept));
    qv__qd_vector_settings(kept, def);
    struct qv__alter alter = {.add = def, .config_json = &config};
    return qv__collection_alter(c->collection, &alter, operation_id, &c->err);
}

/* {"dense": {"size": ..., "distance": ...}} or {"sparse": {...}}; what a vector of a new collection
 * may have besides is taken too. */
qv_status qv__qd_vector_put(struct qv__call *c)
{
    struct qv__vector_def def = {.name = c->params[1]};
    qv__json dense = qv__json_get(c->body, "dense"), sparse = qv__json_get(c->body, "sparse");
    struct change x = {0};
    uint64_t operation_id = 0;
    if (qv__qd_given(dense) == qv__qd_given(sparse)) {
        return qv__qd_fail(c, QV__QD_FORMAT, "expected one of `dense` and `sparse`");
    }
    if (qv__qd_given(sparse)) {
        QV_TRY(qv__qd_sparse_parse(c, "sparse.", c->params[1], sparse, &def));
    } else {
        uint64_t size;
        if (qv__json_u64(qv__json_get(dense, "size"),
                         &size)) { /* 0 too is a matter of range here */
            QV_TRY(qv__qd_range(c, "dense.size", size, 1, QV__DIM_MAX));
        }
        QV_TRY(qv__qd_vector_parse(c, "dense.", c->params[1], dense, &def));
    }
    qv_status st = begin(c, &x);
    st = st == QV_OK ? add(c, &x, qv__qd_given(sparse) ? sparse : dense, &def, &operation_id) : st;
    return end(c, &x, st, operation_id);
}

static qv_status drop(struct qv__call *c, struct change *x, uint64_t *operation_id)
{
    struct qv__vector_def list[QV__VECTORS_MAX];
    struct qv__schema after = qv__schema_parts(x->old);
    struct qv__qd_changes ch = {0};
    struct qv__str config, name = c->params[1];
    after.vectors = list;
    after.n_vectors = 0;
    for (uint32_t i = 0; i < x->old->n_vectors; i++) {
        if (!qv__str_eq(x->old->vectors[i].name, name)) {
            list[after.n_vectors++] = x->old->vectors[i];
        }
    }
    QV_TRY(qv__qd_config_keep(c, &after, x->kept, &ch, &config));
    struct qv__alter alter = {.drop = &name, .config_json = &config};
    return qv__collection_alter(c->collection, &alter, operation_id, &c->err);
}

qv_status qv__qd_vector_delete(struct qv__call *c)
{
    struct change x = {0};
    uint64_t operation_id = 0;
    qv_status st = begin(c, &x);
    st = st == QV_OK ? drop(c, &x, &operation_id) : st;
    return end(c, &x, st, operation_id);
}
