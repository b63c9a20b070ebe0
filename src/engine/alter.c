/* alter.c: changing what a collection is while it is read and written.
 *
 * A change is one catalog record with the whole new schema. Its place in the log is fixed under the
 * write order of all shards: data records before it were made by the old schema, those after it by
 * the new one, and replay sees the same. Readers go by the new schema once the record is durable,
 * since what a crash can take back must not be seen. Segments keep the schema they were made with;
 * where its columns differ from a reader's they are matched by name and uid, so an added column is
 * absent in them and a dropped one is not looked at. Bringing them up to date is maintenance
 * (maintain_merge.c). */
#include "engine/catalog.h"
#include "engine/quarantine.h"

static void lock_all(struct qv__collection *c)
{
    for (uint32_t i = 0; i < c->n_shards; i++) {
        qv__mutex_lock(&c->shards[i].write);
    }
}

static void unlock_all(struct qv__collection *c)
{
    for (uint32_t i = c->n_shards; i-- > 0;) {
        qv__mutex_unlock(&c->shards[i].write);
    }
}

static bool drops_column(const struct qv__schema *old, const struct qv__schema *changed)
{
    bool drops = false;
    for (uint32_t i = 0; i < old->n_vectors; i++) {
        int at = qv__schema_vector(changed, old->vectors[i].name);
        drops |= at < 0 || changed->vectors[at].uid != old->vectors[i].uid;
    }
    return drops;
}

/* Hints, followed at once: no file changes for them. */
static void place_all(struct qv__collection *c, const struct qv__schema *changed,
                      const struct qv__schema *old)
{
    for (uint32_t i = 0; i < c->n_shards; i++) {
        struct qv__view *v = qv__shard_view(&c->shards[i]);
        for (uint32_t k = 0; k < v->n; k++) {
            qv__segment_place(v->segments[k], changed, old);
        }
        qv__view_release(v);
    }
}

qv_status qv__catalog_change_schema(struct qv__db *db, struct qv__collection *c,
                                    struct qv__schema *changed, uint64_t *lsn, struct qv_err *err)
{
    struct qv__buf json;
    struct qv__jw w;
    uint64_t at = 0;
    qv__buf_init(&json, db->mem_catalog);
    qv__catalog_op(&w, &json, "schema");
    qv__catalog_u64(&w, "id", c->id);
    qv__jw_key(&w, "schema");
    qv__schema_to_json(&w, changed);
    qv__jw_obj_end(&w);
    qv_status st = qv__catalog_admit(db, &json, err);
    QV_GOTO(st);
    lock_all(c);
    st = qv__catalog_append(db, &json, &at, err);
    if (st == QV_OK) {
        qv__schema_born(changed, at);
        qv__collection_set_write_schema(c, qv__schema_retain(changed));
    }
    unlock_all(c);
    QV_GOTO(st);
    QV_GOTO(qv__commit_sync(db->commit, at, err));
    struct qv__schema *old = qv__collection_schema(c);
    if (drops_column(old, changed)) {
        atomic_store(&c->columns_lsn, at);
    }
    qv__collection_set_schema(c, qv__schema_retain(changed));
    place_all(c, changed, old);
    qv__schema_release(old);
    qv__maintain_call(c);
    if (lsn) {
        *lsn = at;
    }
out:
    qv__schema_release(changed);
    qv__buf_free(&json);
    return st;
}

static qv_status no_such(struct qv__str name, struct qv_err *err)
{
    return qv__fail(err, QV_EINVAL, "Not existing vector name error: %.*s",
                    (int)QV_MIN(name.n, (size_t)64), name.p);
}

/* Nobody had it before, here or in another database whose files may come here. Under ddl. */
static uint64_t fresh_uid(struct qv__db *db)
{
    uint64_t place, uid;
    memcpy(&place, db->uuid, sizeof place);
    qv__mutex_lock(&db->catalog);
    uid = qv__rng_u64(&db->rng);
    qv__mutex_unlock(&db->catalog);
    uid ^= qv__mix64(place ^ qv__mix64(qv__commit_tail(db->commit)));
    return uid ? uid : 1;
}

/* The columns of `old` after the change, in `list`, which has room for one more. */
static qv_status alter_columns(struct qv__db *db, const struct qv__schema *old,
                               const struct qv__alter *a, struct qv__vector_def *list, uint32_t *n,
                               struct qv_err *err)
{
    *n = 0;
    if (a->drop && qv__schema_vector(old, *a->drop) < 0) {
        return no_such(*a->drop, err);
    }
    for (uint32_t i = 0; i < old->n_vectors; i++) {
        if (!a->drop || !qv__str_eq(old->vectors[i].name, *a->drop)) {
            list[(*n)++] = old->vectors[i];
        }
    }
    for (uint32_t k = 0; k < a->n_set; k++) {
        uint32_t i = 0;
        while (i < *n && !qv__str_eq(list[i].name, a->set[k].name)) {
            i++;
        }
        if (i == *n) {
            return no_such(a->set[k].name, err);
        }
        list[i].index = a->set[k].index;
        list[i].no_graph = a->set[k].no_graph;
        list[i].on_disk = a->set[k].on_disk;
        list[i].idf = a->set[k].idf;
    }
    if (a->add && qv__schema_vector(old, a->add->name) >= 0) {
        return qv__fail(err, QV_EINVAL, "Vector with name `%.*s` already exists",
                        (int)QV_MIN(a->add->name.n, (size_t)64), a->add->name.p);
    }
    if (a->add) {
        list[*n] = *a->add;
        list[*n].uid = fresh_uid(db);
        list[(*n)++].born_lsn = 0;
    }
    return QV_OK;
}

static qv_status alter_locked(struct qv__db *db, struct qv__collection *c,
                              const struct qv__alter *a, uint64_t *lsn, struct qv_err *err)
{
    struct qv__vector_def list[QV__VECTORS_MAX + 1];
    struct qv__schema *old = qv__collection_schema(c), *changed = NULL;
    struct qv__schema from = qv__schema_parts(old);
    qv_status st = qv__quarantine_check(c, err);
    QV_GOTO(st);
    QV_GOTO(qv__commit_check(db->commit, err));
    QV_GOTO(alter_columns(db, old, a, list, &from.n_vectors, err));
    from.vectors = list;
    from.policy = a->policy ? *a->policy : old->policy;
    from.durability = a->durability ? *a->durability : old->durability;
    from.config_json = a->config_json ? *a->config_json : old->config_json;
    QV_GOTO(qv__schema_create(db->mem_catalog, &from, &changed, err));
    st = qv__catalog_change_schema(db, c, changed, lsn, err);
out:
    qv__schema_release(old);
    return st;
}

qv_status qv__collection_alter(struct qv__collection *c, const struct qv__alter *a,
                               uint64_t *operation_id, struct qv_err *err)
{
    struct qv__db *db = c->db;
    QV_TRY(qv__catalog_writable(db, err));
    qv__mutex_lock(&db->ddl);
    qv_status st = qv__catalog_has(db, c, err);
    st = st == QV_OK ? alter_locked(db, c, a, operation_id, err) : st;
    qv__mutex_unlock(&db->ddl);
    return st;
}

qv_status qv__db_alter(struct qv__db *db, struct qv__str name, const struct qv__alter *a,
                       uint64_t *operation_id, struct qv_err *err)
{
    struct qv__collection *c = NULL;
    QV_TRY(qv__catalog_writable(db, err));
    QV_TRY(qv__db_collection(db, name, &c, err));
    qv_status st = qv__collection_alter(c, a, operation_id, err);
    qv__collection_release(c);
    return st;
}
