/* catalog.c: collections by name, and the changes to them.
 *
 * A change is one log record: JSON with the outcome ("op" create, drop, schema, aliases), appended
 * and made durable while `ddl` is held, applied to memory afterwards under `catalog`. Nobody can
 * name a collection before its record is durable. */
#include "engine/catalog.h"
#include "engine/job.h"
#include "engine/quarantine.h"

/* Of the reserve, for the record of a drop. */
#define DROP_BYTES (UINT64_C(1) << 20)

static qv_status create_locked(struct qv__db *db, struct qv__str name, struct qv__schema *schema,
                               struct qv_err *err)
{
    qv__mutex_lock(&db->catalog);
    qv_status st = QV_OK;
    if (qv__catalog_alias(db, name)) {
        st = qv__fail(
            err, QV_EINVAL,
            "Can't create collection with name %.*s. Alias with the same name already exists",
            (int)name.n, name.p);
    } else if (qv__catalog_find(db, name)) {
        st = qv__fail(err, QV_EEXISTS, "Collection `%.*s` already exists!", (int)name.n, name.p);
    } else {
        st = qv__catalog_reserve(db, 1, 0, err);
    }
    uint64_t id = db->next_collection_id++, lsn = 0; /* a recovery may take the next meanwhile */
    qv__mutex_unlock(&db->catalog);
    struct qv__collection *c = NULL;
    struct qv__buf json;
    qv__buf_init(&json, db->mem_catalog);
    QV_GOTO(st);
    QV_GOTO(qv__collection_create(db, id, name, schema, &c, err));
    struct qv__jw w;
    qv__catalog_op(&w, &json, "create");
    qv__catalog_u64(&w, "id", id);
    qv__jw_key(&w, "name");
    qv__jw_str_n(&w, name);
    qv__jw_key(&w, "schema");
    qv__schema_to_json(&w, schema);
    qv__jw_obj_end(&w);
    QV_GOTO(qv__catalog_log(db, &json, &lsn, err));
    qv__collection_born(c, lsn);
    qv__mutex_lock(&db->catalog);
    qv__catalog_insert(db, c);
    qv__mutex_unlock(&db->catalog);
    c = NULL;
out:
    qv__collection_release(c);
    qv__buf_free(&json);
    return st;
}

qv_status qv__db_create_collection(struct qv__db *db, struct qv__str name,
                                   const struct qv__schema *schema, struct qv_err *err)
{
    QV_TRY(qv__catalog_writable(db, err));
    QV_TRY(qv__collection_name_check(name, err));
    QV_TRY(qv__space_admit(db, err));
    struct qv__schema from = qv__schema_parts(schema);
    const struct qv__segment_policy *d = &db->options.policy;
    struct qv__segment_policy *p = &from.policy;
    p->seal_rows = p->seal_rows ? p->seal_rows : d->seal_rows;
    p->seal_bytes = p->seal_bytes ? p->seal_bytes : d->seal_bytes;
    p->index_rows = p->index_rows ? p->index_rows : d->index_rows;
    p->merge_fanin = p->merge_fanin ? p->merge_fanin : d->merge_fanin;
    p->tail_bytes = p->tail_bytes ? p->tail_bytes : d->tail_bytes;
    p->build_threads = p->build_threads ? p->build_threads : d->build_threads;
    from.shard_number = from.shard_number ? from.shard_number : db->options.shard_number;
    struct qv__schema *s = NULL;
    QV_TRY(qv__schema_create(db->mem_catalog, &from, &s, err));
    qv__mutex_lock(&db->ddl);
    qv_status st = create_locked(db, name, s, err);
    qv__mutex_unlock(&db->ddl);
    qv__schema_release(s);
    return st;
}

/* True if a manifest may name files of it. Once no catalog has it no manifest comes to. */
static bool has_files(struct qv__collection *c)
{
    bool any = false;
    for (uint32_t i = 0; i < c->n_shards && !any; i++) {
        struct qv__view *v = qv__shard_view(&c->shards[i]);
        any = c->shards[i].n_held > 0 || v->n == 0;
        for (uint32_t k = 0; k < v->n; k++) {
            any |= qv__segment_sealed(v->segments[k]);
        }
        qv__view_release(v);
    }
    return any;
}

qv_status qv__db_drop_collection(struct qv__db *db, struct qv__str name, bool *existed,
                                 struct qv_err *err)
{
    *existed = false;
    QV_TRY(qv__catalog_writable(db, err));
    qv__mutex_lock(&db->ddl);
    qv__mutex_lock(&db->catalog);
    struct qv__collection *c = qv__catalog_find(db, name);
    if (c) {
        qv__collection_retain(c);
    }
    qv__mutex_unlock(&db->catalog);
    qv_status st = QV_OK;
    if (c) {
        struct qv__buf json;
        struct qv__jw w;
        qv__buf_init(&json, db->mem_catalog);
        qv__catalog_op(&w, &json, "drop");
        qv__catalog_u64(&w, "id", c->id);
        qv__jw_obj_end(&w);
        st = qv__catalog_log(db, &json, NULL, err);
        if (st == QV_ENOSPC && qv__space_give(db, DROP_BYTES)) {
            st = qv__catalog_log(db, &json, NULL, err); /* it will give more back */
        }
        qv__buf_free(&json);
    } else {
        /* Nothing to drop, unless a creation whose sync failed comes back with a restart. */
        st = qv__commit_check(db->commit, err);
    }
    if (c && st == QV_OK) {
        *existed = true;
        qv__mutex_lock(&db->catalog);
        qv__catalog_remove(db, c);
        qv__mutex_unlock(&db->catalog);
    }
    qv__mutex_unlock(&db->ddl);
    if (*existed) {
        /* Files may go only when no manifest names them any more: with the next one, should it not
         * be written now. */
        struct qv_err ignored;
        qv_status named = has_files(c) ? qv__checkpoint_commit(db, &ignored) : QV_OK;
        qv__checkpoint_outgoing(c, named, NULL, 0);
        if (named != QV_OK) {
            qv__log_line(db->logger, QV__LEVEL_WARN, "catalog",
                         "dropped `%s`, its files stay for now: %s", c->name, ignored.message);
        }
        qv__collection_release(c); /* the catalog's reference */
    }
    qv__collection_release(c);
    return st;
}

/* put: add or replace; else remove `def->key`. A path has one index, however it is written. */
static qv_status change_index(struct qv__collection *c, const struct qv__payload_index_def *def,
                              bool put, uint64_t *lsn, struct qv_err *err)
{
    struct qv__db *db = c->db;
    QV_TRY(qv__catalog_writable(db, err));
    qv__mutex_lock(&db->ddl);
    struct qv__schema *old = qv__collection_schema(c), *changed = NULL;
    struct qv__schema from = qv__schema_parts(old);
    qv_status st = qv__catalog_has(db, c, err);
    st = st == QV_OK ? qv__quarantine_check(c, err) : st;
    struct qv__payload_index_def *list =
        qv__calloc(db->mem_catalog, old->n_indexes + 1u, sizeof *list);
    if (st == QV_OK && !list) {
        st = qv__fail(err, QV_ENOMEM, "no memory for the catalog");
    }
    if (st == QV_OK) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < old->n_indexes; i++) {
            if (!qv__path_same(old->indexes[i].key, def->key)) {
                list[n++] = old->indexes[i];
            }
        }
        if (put) {
            list[n++] = *def;
        }
        from.indexes = list;
        from.n_indexes = n;
        st = qv__schema_create(db->mem_catalog, &from, &changed, err);
    }
    if (st == QV_OK) {
        st = qv__catalog_change_schema(db, c, changed, lsn, err);
    }
    qv__mutex_unlock(&db->ddl);
    qv__free(list);
    qv__schema_release(old);
    return st;
}

qv_status qv__collection_put_index(struct qv__collection *c,
                                   const struct qv__payload_index_def *def, uint64_t *operation_id,
                                   struct qv_err *err)
{
    return change_index(c, def, true, operation_id, err);
}

qv_status qv__collection_drop_index(struct qv__collection *c, struct qv__str key,
                                    uint64_t *operation_id, struct qv_err *err)
{
    struct qv__payload_index_def def = {.key = key};
    return change_index(c, &def, false, operation_id, err);
}

qv_status qv__db_put_payload_index(struct qv__db *db, struct qv__str name,
                                   const struct qv__payload_index_def *def, uint64_t *operation_id,
                                   struct qv_err *err)
{
    struct qv__collection *c = NULL;
    QV_TRY(qv__catalog_writable(db, err));
    QV_TRY(qv__db_collection(db, name, &c, err));
    qv_status st = qv__collection_put_index(c, def, operation_id, err);
    qv__collection_release(c);
    return st;
}

qv_status qv__db_drop_payload_index(struct qv__db *db, struct qv__str name, struct qv__str key,
                                    uint64_t *operation_id, struct qv_err *err)
{
    struct qv__collection *c = NULL;
    QV_TRY(qv__catalog_writable(db, err));
    QV_TRY(qv__db_collection(db, name, &c, err));
    qv_status st = qv__collection_drop_index(c, key, operation_id, err);
    qv__collection_release(c);
    return st;
}

/* --- looking up --- */

qv_status qv__db_collection(struct qv__db *db, struct qv__str name, struct qv__collection **out,
                            struct qv_err *err)
{
    qv__mutex_lock(&db->catalog);
    struct qv__collection *c = qv__catalog_find(db, name);
    if (!c) {
        struct qv__alias *a = qv__catalog_alias(db, name);
        c = a ? qv__catalog_find(db, qv__str_z(a->collection)) : NULL;
    }
    if (c) {
        qv__collection_retain(c);
    }
    qv__mutex_unlock(&db->catalog);
    if (!c) {
        return qv__fail(err, QV_ENOTFOUND, "Collection `%.*s` doesn't exist!",
                        (int)QV_MIN(name.n, (size_t)255), name.p);
    }
    *out = c;
    return QV_OK;
}

struct qv__collection *qv__catalog_by_id(struct qv__db *db, uint64_t id)
{
    struct qv__collection *c = NULL;
    qv__mutex_lock(&db->catalog);
    for (uint32_t i = 0; i < db->n_collections && !c; i++) {
        if (db->collections[i]->id == id) {
            c = qv__collection_retain(db->collections[i]);
        }
    }
    qv__mutex_unlock(&db->catalog);
    return c;
}

qv_status qv__catalog_all(struct qv__db *db, struct qv__collection ***out, uint32_t *n,
                          struct qv_err *err)
{
    qv__mutex_lock(&db->catalog);
    struct qv__collection **list =
        qv__calloc(db->mem_catalog, db->n_collections + 1u, sizeof(struct qv__collection *));
    *n = list ? db->n_collections : 0;
    for (uint32_t i = 0; i < *n; i++) {
        list[i] = qv__collection_retain(db->collections[i]);
    }
    qv__mutex_unlock(&db->catalog);
    *out = list;
    return list ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory to list collections");
}

void qv__catalog_all_free(struct qv__collection **all, uint32_t n)
{
    for (uint32_t i = 0; all && i < n; i++) {
        qv__collection_release(all[i]);
    }
    qv__free(all);
}

qv_status qv__db_list_collections(struct qv__db *db, void (*cb)(void *arg, struct qv__str name),
                                  void *arg, struct qv_err *err)
{
    struct qv__collection **all = NULL;
    uint32_t n = 0;
    QV_TRY(qv__catalog_all(db, &all, &n, err));
    for (uint32_t i = 0; i < n; i++) {
        cb(arg, qv__str_z(all[i]->name));
    }
    qv__catalog_all_free(all, n);
    return QV_OK;
}
