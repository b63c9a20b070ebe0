/* catalog_store.c: stored forms of the catalog: one JSON document in each manifest, one per record.
 */
#include "engine/catalog.h"

/* What it means that a stored document cannot be parsed: lack of memory is no damage. */
static qv_status unreadable(qv_status st)
{
    return st == QV_ENOMEM ? st : QV_ECORRUPT;
}

/* Nothing below `lsn` concerns a collection that its own record made: its shards are flushed up to
 * there. One of a manifest says so itself. */
static qv_status install_collection(struct qv__db *db, uint64_t lsn, qv__json o, struct qv_err *err)
{
    uint64_t id = 0;
    struct qv__str name;
    if (!qv__json_u64(qv__json_get(o, "id"), &id) ||
        !qv__json_str(qv__json_get(o, "name"), &name)) {
        return qv__fail(err, QV_ECORRUPT, "catalog: malformed collection");
    }
    QV_TRY(qv__collection_name_check(name, err));
    struct qv__schema *schema = NULL;
    QV_TRY(qv__schema_from_json(db->mem_catalog, qv__json_get(o, "schema"), &schema, err));
    struct qv__collection *c = NULL;
    qv_status st = qv__collection_create(db, id, name, schema, &c, err);
    qv__schema_release(schema);
    QV_TRY(st);
    qv__collection_born(c, lsn);
    struct qv__collection *same = qv__catalog_by_id(db, id);
    qv__mutex_lock(&db->catalog);
    if (qv__catalog_find(db, name)) {
        st = qv__fail(err, QV_ECORRUPT, "catalog: collection `%s` occurs twice", c->name);
    } else if (same) {
        st = qv__fail(err, QV_ECORRUPT, "catalog: collections `%s` and `%s` have one id %" PRIu64,
                      same->name, c->name, id);
    } else {
        st = qv__catalog_reserve(db, 1, 0, err);
    }
    if (st == QV_OK) {
        qv__catalog_insert(db, c);
        db->next_collection_id = QV_MAX(db->next_collection_id, id + 1);
    }
    qv__mutex_unlock(&db->catalog);
    qv__collection_release(same);
    if (st != QV_OK) {
        qv__collection_release(c);
    }
    return st;
}

static qv_status apply_to_collection(struct qv__db *db, uint64_t lsn, qv__json doc, bool drop,
                                     struct qv_err *err)
{
    uint64_t id = 0;
    if (!qv__json_u64(qv__json_get(doc, "id"), &id)) {
        return qv__fail(err, QV_ECORRUPT, "catalog: a record names no collection");
    }
    struct qv__collection *c = qv__catalog_by_id(db, id);
    if (!c) {
        return QV_OK; /* dropped later; its record is older than the manifest's catalog */
    }
    qv_status st = QV_OK;
    if (drop) {
        qv__mutex_lock(&db->catalog);
        qv__catalog_remove(db, c);
        qv__mutex_unlock(&db->catalog);
        qv__collection_release(c);
    } else {
        struct qv__schema *schema = NULL;
        st = qv__schema_from_json(db->mem_catalog, qv__json_get(doc, "schema"), &schema, err);
        if (st == QV_OK) {
            qv__schema_born(schema, lsn);
            qv__collection_set_schema(c, schema);
        }
    }
    qv__collection_release(c);
    return st;
}

qv_status qv__catalog_apply(struct qv__db *db, uint64_t lsn, struct qv__bytes body,
                            struct qv_err *err)
{
    struct qv__arena arena;
    qv__arena_init(&arena, db->mem_catalog);
    qv__json doc = NULL;
    qv_status st = qv__json_parse(&arena, (const char *)body.p, body.n, NULL, &doc, err);
    qv__json op = st == QV_OK ? qv__json_get(doc, "op") : NULL;
    if (st != QV_OK) {
        st = qv__wrap(err, unreadable(st), "catalog record");
    } else if (qv__json_str_is(op, "create")) {
        st = install_collection(db, lsn, doc, err);
    } else if (qv__json_str_is(op, "drop") || qv__json_str_is(op, "schema")) {
        st = apply_to_collection(db, lsn, doc, qv__json_str_is(op, "drop"), err);
    } else if (qv__json_str_is(op, "aliases")) {
        st = qv__alias_install(db, qv__json_get(doc, "aliases"), err);
    } else {
        st = qv__fail(err, QV_EVERSION, "catalog: a record of an unknown kind");
    }
    qv__arena_free(&arena);
    return st;
}

static void write_collection(struct qv__jw *w, struct qv__collection *c)
{
    qv__jw_obj(w);
    qv__catalog_u64(w, "id", c->id);
    qv__jw_key(w, "name");
    qv__jw_str(w, c->name);
    qv__jw_key(w, "schema");
    struct qv__schema *s = qv__collection_schema(c);
    qv__schema_to_json(w, s);
    qv__schema_release(s);
    qv__jw_obj_end(w);
}

/* Up to the list of collections. */
static void write_head(struct qv__jw *w, uint64_t next_collection_id, struct qv__buf *out)
{
    qv__jw_init(w, out);
    qv__jw_obj(w);
    qv__catalog_u64(w, "format", 1);
    qv__catalog_u64(w, "next_collection_id", next_collection_id);
    qv__jw_key(w, "collections");
    qv__jw_arr(w);
}

void qv__catalog_write_one(struct qv__collection *c, struct qv__buf *out)
{
    struct qv__jw w;
    write_head(&w, c->id + 1, out);
    write_collection(&w, c);
    qv__jw_arr_end(&w);
    qv__jw_key(&w, "aliases");
    qv__jw_obj(&w);
    qv__jw_obj_end(&w);
    qv__jw_obj_end(&w);
}

void qv__catalog_write(struct qv__db *db, const struct qv__swap *swap, struct qv__buf *out)
{
    struct qv__jw w;
    qv__mutex_lock(&db->catalog);
    write_head(&w, db->next_collection_id, out);
    for (uint32_t i = 0; i < db->n_collections; i++) {
        if (!swap || db->collections[i] != swap->out) {
            write_collection(&w, db->collections[i]);
        }
    }
    if (swap) {
        write_collection(&w, swap->in);
    }
    qv__jw_arr_end(&w);
    qv__jw_key(&w, "aliases");
    qv__jw_obj(&w);
    for (uint32_t i = 0; i < db->n_aliases; i++) {
        qv__jw_key(&w, db->aliases[i].name);
        qv__jw_str(&w, db->aliases[i].collection);
    }
    qv__jw_obj_end(&w);
    qv__jw_obj_end(&w);
    qv__mutex_unlock(&db->catalog);
}

qv_status qv__catalog_read(struct qv__db *db, struct qv__bytes json, struct qv_err *err)
{
    struct qv__arena arena;
    qv__arena_init(&arena, db->mem_catalog);
    qv__json doc = NULL;
    uint64_t format = 0;
    qv_status st = QV_OK;
    st = qv__json_parse(&arena, (const char *)json.p, json.n, NULL, &doc, err);
    if (st != QV_OK) {
        QV_GOTO(qv__wrap(err, unreadable(st), "catalog"));
    }
    if (!qv__json_u64(qv__json_get(doc, "format"), &format) || format != 1) {
        QV_GOTO(qv__fail(err, QV_EVERSION,
                         "catalog: format %" PRIu64 " is not known to this version", format));
    }
    qv__json list = qv__json_get(doc, "collections");
    qv__json o = qv__json_first(list);
    for (uint32_t i = 0; o && i < list->len; i++, o = qv__json_next(o)) {
        QV_GOTO(install_collection(db, 0, o, err));
    }
    uint64_t next = 0;
    if (qv__json_u64(qv__json_get(doc, "next_collection_id"), &next)) {
        db->next_collection_id = QV_MAX(db->next_collection_id, next);
    }
    QV_GOTO(qv__alias_install(db, qv__json_get(doc, "aliases"), err));
out:
    qv__arena_free(&arena);
    return st;
}

void qv__catalog_clear(struct qv__db *db)
{
    for (uint32_t i = 0; i < db->n_collections; i++) {
        qv__collection_release(db->collections[i]);
    }
    db->n_collections = 0;
    while (db->n_aliases) {
        qv__catalog_alias_remove(db, db->n_aliases - 1);
    }
    qv__free(db->collections);
    qv__free(db->aliases);
    db->collections = NULL;
    db->aliases = NULL;
}
