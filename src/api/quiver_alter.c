/* quiver_alter.c: changing a collection in use: settings, vectors that come and go.
 *
 * What was checked becomes a request of the REST dialect, which merges it with the settings that it
 * keeps and shows, one change at a time. So both interfaces always tell the same of a collection.
 */
#include <stdio.h>

#include "api/handle.h"
#include "api/text.h"
#include "base/json.h"

/* "/collections/NAME" and more, percent-encoded. */
static void put_path(struct qv__buf *b, const char *collection, const char *vector)
{
    const char *const parts[] = {collection, vector};
    qv__buf_putz(b, "/collections");
    for (size_t i = 0; i < QV_ARRAY_LEN(parts) && parts[i]; i++) {
        qv__buf_putz(b, i ? "/vectors/" : "/");
        for (const char *at = parts[i]; *at; at++) {
            bool plain = (*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') ||
                         (*at >= 'A' && *at <= 'Z') || *at == '-' || *at == '_';
            if (plain) {
                qv__buf_putc(b, *at);
            } else {
                qv__buf_printf(b, "%%%02X", (unsigned)(unsigned char)*at);
            }
        }
    }
}

struct change {
    struct qv__buf path, body;
    struct qv__jw w;
};

static void change_begin(struct change *x, qv_db *db, const char *collection, const char *vector)
{
    struct qv__mem *mem = qv__db_mem(db->db);
    qv__buf_init(&x->path, mem);
    qv__buf_init(&x->body, mem);
    qv__jw_init(&x->w, &x->body);
    put_path(&x->path, collection, vector);
}

/* Send it, unless `st` says that it is wrong, and let go of it. */
static qv_status change_end(struct change *x, qv_db *db, enum qv__method method, qv_status st,
                            struct qv_err *err)
{
    st = st == QV_OK ? qv__buf_status(&x->path, err) : st;
    st = st == QV_OK ? qv__buf_status(&x->body, err) : st;
    if (st == QV_OK) {
        st = qv__handle_request(db, method, (struct qv__str){(const char *)x->path.p, x->path.n},
                                qv__buf_bytes(&x->body), err);
    }
    qv__buf_free(&x->path);
    qv__buf_free(&x->body);
    return st;
}

/* --- settings --- */

static qv_status check_place(enum qv_placement p, const char *field, struct qv_err *err)
{
    return (unsigned)p <= QV_ON_DISK
               ? QV_OK
               : qv__fail(err, QV_EINVAL, "change.%s: %d is no placement", field, (int)p);
}

static void put_place(struct qv__jw *w, enum qv_placement p)
{
    if (p != QV_PLACEMENT_KEEP) {
        qv__jw_key(w, "memory");
        qv__jw_str(w, p == QV_ON_DISK ? "cold" : "cached");
    }
}

static void put_codes(struct qv__jw *w, enum qv_quantization q)
{
    static const char *const turbo[] = {[QV_QUANTIZATION_BITS1] = "bits1",
                                        [QV_QUANTIZATION_BITS2] = "bits2",
                                        [QV_QUANTIZATION_BITS4] = "bits4"};
    if (q == QV_QUANTIZATION_KEEP) {
        return;
    }
    qv__jw_key(w, "quantization_config");
    if (q == QV_QUANTIZATION_NONE) {
        qv__jw_str(w, "Disabled");
        return;
    }
    qv__jw_obj(w);
    qv__jw_key(w, q == QV_QUANTIZATION_INT8 ? "scalar" : "turbo");
    qv__jw_obj(w);
    qv__jw_key(w, q == QV_QUANTIZATION_INT8 ? "type" : "bits");
    qv__jw_str(w, q == QV_QUANTIZATION_INT8 ? "int8" : turbo[q]);
    qv__jw_obj_end(w);
    qv__jw_obj_end(w);
}

static bool is_change(const struct qv_vector_change *v)
{
    return v->m || v->ef_construct || v->no_graph || v->quantization != QV_QUANTIZATION_KEEP ||
           v->graph != QV_PLACEMENT_KEEP || v->stored != QV_PLACEMENT_KEEP;
}

/* Only what changes: the dialect keeps the rest, under the lock under which it reads what is kept.
 * An object without members would take back what is kept. */
static void put_graph(struct qv__jw *w, const struct qv_vector_change *v)
{
    if (!v->m && !v->no_graph && !v->ef_construct && v->graph == QV_PLACEMENT_KEEP) {
        return;
    }
    qv__jw_key(w, "hnsw_config");
    qv__jw_obj(w);
    if (v->m || v->no_graph) {
        qv__jw_key(w, "m");
        qv__jw_u64(w, v->no_graph ? 0 : v->m);
    }
    if (v->ef_construct) {
        qv__jw_key(w, "ef_construct");
        qv__jw_u64(w, v->ef_construct);
    }
    put_place(w, v->graph);
    qv__jw_obj_end(w);
}

static void put_vectors(struct qv__jw *w, const struct qv_collection_change *c)
{
    qv__jw_key(w, "vectors");
    qv__jw_obj(w);
    for (size_t i = 0; i < c->n_vectors; i++) {
        const struct qv_vector_change *v = &c->vectors[i];
        if (is_change(v)) {
            qv__jw_key(w, v->name ? v->name : "");
            qv__jw_obj(w);
            put_graph(w, v);
            put_codes(w, v->quantization);
            put_place(w, v->stored);
            qv__jw_obj_end(w);
        }
    }
    qv__jw_obj_end(w);
}

static qv_status check_change(const struct qv__schema *s, const struct qv_collection_change *c,
                              struct qv_err *err)
{
    bool seen[QV__VECTORS_MAX] = {false};
    for (size_t i = 0; i < c->n_vectors; i++) {
        const struct qv_vector_change *v = &c->vectors[i];
        const char *name = v->name ? v->name : "";
        char field[64];
        int at = qv__schema_vector(s, qv__str_z(name));
        if (at < 0) {
            return qv__fail(err, QV_EINVAL,
                            "change.vectors[%zu].name: there is no vector \"%.64s\"", i, name);
        }
        if (seen[at]) {
            return qv__fail(err, QV_EINVAL,
                            "change.vectors[%zu].name: the vector \"%.64s\" is changed twice", i,
                            name);
        }
        seen[at] = true;
        if (s->vectors[at].kind == QV__VEC_SPARSE && is_change(v)) {
            return qv__fail(err, QV_EINVAL,
                            "change.vectors[%zu].name: \"%.64s\" is a sparse vector, which has no "
                            "graph, codes or placement",
                            i, name);
        }
        if (v->no_graph && v->m) {
            return qv__fail(err, QV_EINVAL,
                            "change.vectors[%zu].m: %" PRIu32 " links beside no_graph", i, v->m);
        }
        if ((unsigned)v->quantization > QV_QUANTIZATION_BITS4) {
            return qv__fail(err, QV_EINVAL, "change.vectors[%zu].quantization: %d is none", i,
                            (int)v->quantization);
        }
        (void)snprintf(field, sizeof field, "vectors[%zu].graph", i);
        QV_TRY(check_place(v->graph, field, err));
        (void)snprintf(field, sizeof field, "vectors[%zu].stored", i);
        QV_TRY(check_place(v->stored, field, err));
    }
    if ((unsigned)c->durability > QV_RELAXED) {
        return qv__fail(err, QV_EINVAL, "change.durability: %d is none", (int)c->durability);
    }
    if (c->has_ttl && c->ttl_ms % 1000) {
        return qv__fail(err, QV_EINVAL, "change.ttl_ms: %" PRIu64 " is not in whole seconds",
                        c->ttl_ms);
    }
    return check_place(c->payload, "payload", err);
}

static void put_change(struct qv__jw *w, const struct qv_collection_change *c)
{
    qv__jw_obj(w);
    put_vectors(w, c);
    if (c->has_ttl || c->payload != QV_PLACEMENT_KEEP) {
        qv__jw_key(w, "params");
        qv__jw_obj(w);
        if (c->has_ttl) {
            qv__jw_key(w, "ttl");
            qv__jw_u64(w, c->ttl_ms / 1000);
        }
        if (c->payload != QV_PLACEMENT_KEEP) {
            qv__jw_key(w, "payload");
            qv__jw_obj(w);
            put_place(w, c->payload);
            qv__jw_obj_end(w);
        }
        qv__jw_obj_end(w);
    }
    if (c->durability != QV_DURABILITY_DEFAULT || c->window_ms) {
        qv__jw_key(w, "durability");
        qv__jw_obj(w);
        if (c->durability != QV_DURABILITY_DEFAULT) {
            qv__jw_key(w, "mode");
            qv__jw_str(w, c->durability == QV_RELAXED ? "relaxed" : "fsync");
        }
        if (c->window_ms) {
            qv__jw_key(w, "window_ms");
            qv__jw_u64(w, c->window_ms);
        }
        qv__jw_obj_end(w);
    }
    qv__jw_obj_end(w);
}

qv_status qv_alter_collection(qv_db *db, const char *collection,
                              const struct qv_collection_change *change, struct qv_err *err)
{
    struct qv__collection *c = NULL;
    struct change x;
    if (!change) {
        return qv__handle_missing(err, "change");
    }
    if (change->n_vectors && !change->vectors) {
        return qv__handle_missing(err, "change.vectors");
    }
    QV_TRY(qv__handle_collection(db, collection, &c, err));
    struct qv__schema *s = qv__collection_schema(c);
    change_begin(&x, db, collection, NULL);
    qv_status st = check_change(s, change, err);
    if (st == QV_OK) {
        put_change(&x.w, change);
    }
    qv__schema_release(s);
    qv__collection_release(c);
    return change_end(&x, db, QV__PATCH, st, err);
}

/* --- vectors --- */

/* Both names are part of a path: an empty one would lead elsewhere, and one that is not UTF-8
 * nowhere. */
static qv_status check_names(qv_db *db, const char *collection, const char *name,
                             struct qv_err *err)
{
    struct qv__collection *c = NULL;
    if (!name || !*name) {
        return qv__fail(err, QV_EINVAL, "vector: a vector that comes or goes must have a name");
    }
    if (!qv__text_is_utf8(qv__str_z(name))) {
        return qv__fail(err, QV_EINVAL, "vector: the name is not UTF-8");
    }
    QV_TRY(qv__handle_collection(db, collection, &c, err));
    qv__collection_release(c);
    return QV_OK;
}

qv_status qv_add_vector(qv_db *db, const char *collection, const struct qv_vector_config *vector,
                        struct qv_err *err)
{
    struct change x;
    if (!db || !collection || !vector) {
        return qv__handle_missing(err, !db ? "db" : collection ? "vector" : "collection");
    }
    QV_TRY(check_names(db, collection, vector->name, err));
    if ((unsigned)vector->metric > QV_HAMMING) {
        return qv__fail(err, QV_EINVAL, "vector.metric: %d is none", (int)vector->metric);
    }
    if ((unsigned)vector->datatype > QV_BIT) {
        return qv__fail(err, QV_EINVAL, "vector.datatype: %d is none", (int)vector->datatype);
    }
    change_begin(&x, db, collection, vector->name);
    struct qv__jw *w = &x.w;
    qv__jw_obj(w);
    qv__jw_key(w, "dense");
    qv__jw_obj(w);
    qv__jw_key(w, "size");
    qv__jw_u64(w, vector->size);
    qv__jw_key(w, "distance");
    qv__jw_str(w, qv__metric_name((enum qv__metric)vector->metric));
    if (vector->datatype != QV_FLOAT32) {
        qv__jw_key(w, "datatype");
        qv__jw_str(w, qv__datatype_name((uint8_t)vector->datatype));
    }
    qv__jw_key(w, "hnsw_config");
    qv__jw_obj(w);
    qv__jw_key(w, "m");
    qv__jw_u64(w, vector->m ? vector->m : M_DEFAULT);
    qv__jw_key(w, "ef_construct");
    qv__jw_u64(w, vector->ef_construct ? vector->ef_construct : EF_CONSTRUCT_DEFAULT);
    qv__jw_obj_end(w);
    qv__jw_obj_end(w);
    qv__jw_obj_end(w);
    return change_end(&x, db, QV__PUT, QV_OK, err);
}

qv_status qv_drop_vector(qv_db *db, const char *collection, const char *name, struct qv_err *err)
{
    struct change x;
    if (!db || !collection) {
        return qv__handle_missing(err, db ? "collection" : "db");
    }
    QV_TRY(check_names(db, collection, name, err));
    change_begin(&x, db, collection, name);
    return change_end(&x, db, QV__DELETE, QV_OK, err);
}
