/* catalog.c: collections and aliases by name, and the records that change them.
 *
 * A change is one log record: JSON with the outcome ("op" create, drop, schema, aliases), appended
 * and made durable while `ddl` is held, applied to memory afterwards under `catalog`. Nobody can
 * name a collection before its record is durable. The whole catalog is one JSON document in each
 * manifest. */
#include "engine/collection.h"

#include <stdio.h>

/* --- sorted arrays --- */

static uint32_t collection_lower(const struct qv__db *db, struct qv__str name)
{
    uint32_t lo = 0, hi = db->n_collections;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (qv__str_cmp(qv__str_z(db->collections[mid]->name), name) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static struct qv__collection *collection_find(const struct qv__db *db, struct qv__str name)
{
    uint32_t i = collection_lower(db, name);
    return i < db->n_collections && qv__str_eq(qv__str_z(db->collections[i]->name), name)
               ? db->collections[i]
               : NULL;
}

static uint32_t alias_lower(const struct qv__db *db, struct qv__str alias)
{
    uint32_t lo = 0, hi = db->n_aliases;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (qv__str_cmp(qv__str_z(db->aliases[mid].name), alias) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static struct qv__alias *alias_find(const struct qv__db *db, struct qv__str alias)
{
    uint32_t i = alias_lower(db, alias);
    return i < db->n_aliases && qv__str_eq(qv__str_z(db->aliases[i].name), alias) ? &db->aliases[i]
                                                                                  : NULL;
}

/* Room for one more of each, so that inserting cannot fail after the record is durable. */
static qv_status catalog_reserve(struct qv__db *db, uint32_t collections, uint32_t aliases,
                                 struct qv_err *err)
{
    if (db->n_collections + collections > db->cap_collections) {
        uint32_t cap = QV_MAX(db->cap_collections * 2, db->n_collections + collections + 8);
        struct qv__collection **p =
            qv__realloc(db->mem_catalog, db->collections, cap * sizeof(struct qv__collection *));
        if (!p) {
            return qv__fail(err, QV_ENOMEM, "no memory for the catalog");
        }
        db->collections = p;
        db->cap_collections = cap;
    }
    if (db->n_aliases + aliases > db->cap_aliases) {
        uint32_t cap = QV_MAX(db->cap_aliases * 2, db->n_aliases + aliases + 8);
        struct qv__alias *p = qv__realloc(db->mem_catalog, db->aliases, cap * sizeof *p);
        if (!p) {
            return qv__fail(err, QV_ENOMEM, "no memory for the catalog");
        }
        db->aliases = p;
        db->cap_aliases = cap;
    }
    return QV_OK;
}

static void collection_insert(struct qv__db *db, struct qv__collection *c)
{
    uint32_t i = collection_lower(db, qv__str_z(c->name));
    memmove(&db->collections[i + 1], &db->collections[i],
            (db->n_collections - i) * sizeof db->collections[0]);
    db->collections[i] = c;
    db->n_collections++;
}

static void alias_remove_at(struct qv__db *db, uint32_t i)
{
    qv__free(db->aliases[i].name);
    qv__free(db->aliases[i].collection);
    memmove(&db->aliases[i], &db->aliases[i + 1], (db->n_aliases - i - 1) * sizeof db->aliases[0]);
    db->n_aliases--;
}

/* name and collection are consumed. Room was reserved. */
static void alias_put(struct qv__db *db, char *name, char *collection)
{
    struct qv__alias *a = alias_find(db, qv__str_z(name));
    if (a) {
        qv__free(name);
        qv__free(a->collection);
        a->collection = collection;
        return;
    }
    uint32_t i = alias_lower(db, qv__str_z(name));
    memmove(&db->aliases[i + 1], &db->aliases[i], (db->n_aliases - i) * sizeof db->aliases[0]);
    db->aliases[i] = (struct qv__alias){.name = name, .collection = collection};
    db->n_aliases++;
}

/* Take a collection out of the lists; the caller owns the catalog's reference. */
static void collection_remove(struct qv__db *db, struct qv__collection *c)
{
    uint32_t i = collection_lower(db, qv__str_z(c->name));
    memmove(&db->collections[i], &db->collections[i + 1],
            (db->n_collections - i - 1) * sizeof db->collections[0]);
    db->n_collections--;
    for (uint32_t a = db->n_aliases; a-- > 0;) {
        if (strcmp(db->aliases[a].collection, c->name) == 0) {
            alias_remove_at(db, a);
        }
    }
}

/* --- logging --- */

static qv_status log_change(struct qv__db *db, const struct qv__buf *json, uint64_t *lsn,
                            struct qv_err *err)
{
    QV_TRY(qv__buf_status(json, err));
    struct qv__inflight f;
    struct qv__bytes body = qv__buf_bytes(json);
    QV_TRY(qv__commit_begin(db->commit, QV__REC_CATALOG, &body, 1, &f, err));
    uint64_t at = f.lsn;
    qv__commit_applied(db->commit, &f);
    if (lsn) {
        *lsn = at;
    }
    return qv__commit_sync(db->commit, at, err);
}

static qv_status writable(const struct qv__db *db, struct qv_err *err)
{
    if (db->read_only) {
        return qv__fail(err, QV_EREADONLY, "the database is open read-only");
    }
    return QV_OK;
}

static void op_begin(struct qv__jw *w, struct qv__buf *b, const char *op)
{
    qv__jw_init(w, b);
    qv__jw_obj(w);
    qv__jw_key(w, "op");
    qv__jw_str(w, op);
}

static void key_u64(struct qv__jw *w, const char *key, uint64_t v)
{
    qv__jw_key(w, key);
    qv__jw_u64(w, v);
}

/* --- collections --- */

static qv_status create_locked(struct qv__db *db, struct qv__str name, struct qv__schema *schema,
                               struct qv_err *err)
{
    qv__mutex_lock(&db->catalog);
    qv_status st = QV_OK;
    if (collection_find(db, name) || alias_find(db, name)) {
        st = qv__fail(err, QV_EEXISTS, "Collection `%.*s` already exists!", (int)name.n, name.p);
    } else {
        st = catalog_reserve(db, 1, 0, err);
    }
    uint64_t id = db->next_collection_id;
    qv__mutex_unlock(&db->catalog);
    struct qv__collection *c = NULL;
    struct qv__buf json;
    qv__buf_init(&json, db->mem_catalog);
    QV_GOTO(st);
    QV_GOTO(qv__collection_create(db, id, name, schema, &c, err));
    struct qv__jw w;
    op_begin(&w, &json, "create");
    key_u64(&w, "id", id);
    qv__jw_key(&w, "name");
    qv__jw_str_n(&w, name);
    qv__jw_key(&w, "schema");
    qv__schema_to_json(&w, schema);
    qv__jw_obj_end(&w);
    QV_GOTO(log_change(db, &json, NULL, err));
    qv__mutex_lock(&db->catalog);
    db->next_collection_id = id + 1;
    collection_insert(db, c);
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
    QV_TRY(writable(db, err));
    QV_TRY(qv__collection_name_check(name, err));
    struct qv__schema from = *schema;
    const struct qv__segment_policy *d = &db->options.policy;
    struct qv__segment_policy *p = &from.policy;
    p->seal_rows = p->seal_rows ? p->seal_rows : d->seal_rows;
    p->seal_bytes = p->seal_bytes ? p->seal_bytes : d->seal_bytes;
    p->index_rows = p->index_rows ? p->index_rows : d->index_rows;
    p->merge_fanin = p->merge_fanin ? p->merge_fanin : d->merge_fanin;
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

qv_status qv__db_drop_collection(struct qv__db *db, struct qv__str name, bool *existed,
                                 struct qv_err *err)
{
    *existed = false;
    QV_TRY(writable(db, err));
    qv__mutex_lock(&db->ddl);
    qv__mutex_lock(&db->catalog);
    struct qv__collection *c = collection_find(db, name);
    if (c) {
        qv__collection_retain(c);
    }
    qv__mutex_unlock(&db->catalog);
    qv_status st = QV_OK;
    if (c) {
        struct qv__buf json;
        struct qv__jw w;
        qv__buf_init(&json, db->mem_catalog);
        op_begin(&w, &json, "drop");
        key_u64(&w, "id", c->id);
        qv__jw_obj_end(&w);
        st = log_change(db, &json, NULL, err);
        qv__buf_free(&json);
    }
    if (c && st == QV_OK) {
        *existed = true;
        qv__mutex_lock(&db->catalog);
        collection_remove(db, c);
        qv__mutex_unlock(&db->catalog);
    }
    qv__mutex_unlock(&db->ddl);
    if (*existed) {
        /* Files may go only when no manifest names them any more. If the manifest cannot be written
         * now they stay, unreferenced by the next one, and are removed at the next open. */
        struct qv_err ignored;
        if (qv__checkpoint_commit(db, &ignored) == QV_OK) {
            atomic_store(&c->dropped, true);
        } else {
            qv__log_line(db->logger, QV__LEVEL_WARN, "catalog",
                         "dropped `%s`, its files stay until restart: %s", c->name,
                         ignored.message);
        }
        qv__collection_release(c); /* the catalog's reference */
    }
    qv__collection_release(c);
    return st;
}

/* Log and install a changed schema; `changed` is consumed. Under ddl. */
static qv_status schema_change(struct qv__db *db, struct qv__collection *c,
                               struct qv__schema *changed, uint64_t *lsn, struct qv_err *err)
{
    struct qv__buf json;
    struct qv__jw w;
    qv__buf_init(&json, db->mem_catalog);
    op_begin(&w, &json, "schema");
    key_u64(&w, "id", c->id);
    qv__jw_key(&w, "schema");
    qv__schema_to_json(&w, changed);
    qv__jw_obj_end(&w);
    qv_status st = log_change(db, &json, lsn, err);
    qv__buf_free(&json);
    if (st == QV_OK) {
        qv__collection_set_schema(c, changed);
    } else {
        qv__schema_release(changed);
    }
    return st;
}

qv_status qv__db_update_config(struct qv__db *db, struct qv__str name,
                               const struct qv__segment_policy *policy, struct qv__str config_json,
                               struct qv_err *err)
{
    QV_TRY(writable(db, err));
    struct qv__collection *c = NULL;
    QV_TRY(qv__db_collection(db, name, &c, err));
    qv__mutex_lock(&db->ddl);
    struct qv__schema *old = qv__collection_schema(c), *changed = NULL;
    struct qv__schema from = *old;
    if (policy) {
        from.policy = *policy;
    }
    from.config_json = config_json;
    qv_status st = qv__schema_create(db->mem_catalog, &from, &changed, err);
    if (st == QV_OK) {
        st = schema_change(db, c, changed, NULL, err);
    }
    qv__mutex_unlock(&db->ddl);
    qv__schema_release(old);
    qv__collection_release(c);
    return st;
}

/* put: add or replace; else remove `def->key`. */
static qv_status change_index(struct qv__db *db, struct qv__str name,
                              const struct qv__payload_index_def *def, bool put, uint64_t *lsn,
                              struct qv_err *err)
{
    QV_TRY(writable(db, err));
    struct qv__collection *c = NULL;
    QV_TRY(qv__db_collection(db, name, &c, err));
    qv__mutex_lock(&db->ddl);
    struct qv__schema *old = qv__collection_schema(c), *changed = NULL;
    struct qv__schema from = *old;
    qv_status st = QV_OK;
    struct qv__payload_index_def *list =
        qv__calloc(db->mem_catalog, old->n_indexes + 1u, sizeof *list);
    if (!list) {
        st = qv__fail(err, QV_ENOMEM, "no memory for the catalog");
    } else {
        uint32_t n = 0;
        for (uint32_t i = 0; i < old->n_indexes; i++) {
            if (!qv__str_eq(old->indexes[i].key, def->key)) {
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
        st = schema_change(db, c, changed, lsn, err);
    }
    qv__mutex_unlock(&db->ddl);
    qv__free(list);
    qv__schema_release(old);
    qv__collection_release(c);
    return st;
}

qv_status qv__db_put_payload_index(struct qv__db *db, struct qv__str name,
                                   const struct qv__payload_index_def *def, uint64_t *operation_id,
                                   struct qv_err *err)
{
    return change_index(db, name, def, true, operation_id, err);
}

qv_status qv__db_drop_payload_index(struct qv__db *db, struct qv__str name, struct qv__str key,
                                    uint64_t *operation_id, struct qv_err *err)
{
    struct qv__payload_index_def def = {.key = key};
    return change_index(db, name, &def, false, operation_id, err);
}

/* --- aliases
 * ----------------------------------------------------------------------------------------------------
 */

/* Work on copies of the alias list, so that the outcome is known before it is logged. */
struct alias_list {
    struct qv__alias *items;
    uint32_t n;
};

static struct qv__alias *list_find(struct alias_list *l, struct qv__str name)
{
    for (uint32_t i = 0; i < l->n; i++) {
        if (qv__str_eq(qv__str_z(l->items[i].name), name)) {
            return &l->items[i];
        }
    }
    return NULL;
}

static qv_status alias_create(struct qv__db *db, struct alias_list *l, struct qv__arena *arena,
                              const struct qv__alias_action *a, struct qv_err *err)
{
    qv__mutex_lock(&db->catalog);
    bool target = collection_find(db, a->collection) != NULL,
         taken = collection_find(db, a->alias) != NULL;
    qv__mutex_unlock(&db->catalog);
    if (!target) {
        return qv__fail(err, QV_ENOTFOUND, "Collection `%.*s` doesn't exist!", (int)a->collection.n,
                        a->collection.p);
    }
    if (taken) {
        return qv__fail(err, QV_EEXISTS, "Collection with the same name `%.*s` already exists",
                        (int)a->alias.n, a->alias.p);
    }
    char *name = qv__arena_strndup(arena, a->alias.p, a->alias.n);
    char *collection = qv__arena_strndup(arena, a->collection.p, a->collection.n);
    if (!name || !collection) {
        return qv__fail(err, QV_ENOMEM, "no memory for an alias");
    }
    struct qv__alias *at = list_find(l, a->alias);
    if (at) {
        at->collection = collection;
    } else {
        l->items[l->n++] = (struct qv__alias){.name = name, .collection = collection};
    }
    return QV_OK;
}

static qv_status alias_action(struct qv__db *db, struct alias_list *l, struct qv__arena *arena,
                              const struct qv__alias_action *a, struct qv_err *err)
{
    if (a->kind == QV__ALIAS_CREATE) {
        QV_TRY(qv__collection_name_check(a->alias, err));
        return alias_create(db, l, arena, a, err);
    }
    struct qv__alias *at = list_find(l, a->alias);
    if (!at) {
        /* Removing what is not there is no error, as in the dialect; renaming it is. */
        return a->kind == QV__ALIAS_DELETE
                   ? QV_OK
                   : qv__fail(err, QV_ENOTFOUND, "Alias %.*s does not exists!", (int)a->alias.n,
                              a->alias.p);
    }
    struct qv__alias moved = *at;
    *at = l->items[--l->n];
    if (a->kind == QV__ALIAS_RENAME) {
        QV_TRY(qv__collection_name_check(a->new_alias, err));
        struct qv__alias_action create = {.kind = QV__ALIAS_CREATE,
                                          .alias = a->new_alias,
                                          .collection = qv__str_z(moved.collection)};
        return alias_create(db, l, arena, &create, err);
    }
    return QV_OK;
}

static void alias_json(struct qv__buf *json, const struct alias_list *l)
{
    struct qv__jw w;
    op_begin(&w, json, "aliases");
    qv__jw_key(&w, "aliases");
    qv__jw_obj(&w);
    for (uint32_t i = 0; i < l->n; i++) {
        qv__jw_key(&w, l->items[i].name);
        qv__jw_str(&w, l->items[i].collection);
    }
    qv__jw_obj_end(&w);
    qv__jw_obj_end(&w);
}

/* Replace the whole list (of the record or the manifest). Under ddl. */
static qv_status alias_install(struct qv__db *db, qv__json map, struct qv_err *err)
{
    if (!qv__json_is(map, QV__JSON_OBJ)) {
        return qv__fail(err, QV_ECORRUPT, "catalog: malformed aliases");
    }
    qv__mutex_lock(&db->catalog);
    qv_status st = catalog_reserve(db, 0, map->len, err);
    struct qv__alias *fresh =
        st == QV_OK ? qv__calloc(db->mem_catalog, map->len + 1u, sizeof *fresh) : NULL;
    if (st == QV_OK && !fresh) {
        st = qv__fail(err, QV_ENOMEM, "no memory for the catalog");
    }
    qv__json k = qv__json_first(map);
    for (uint32_t i = 0; st == QV_OK && i < map->len; i++) {
        struct qv__str name, collection;
        if (!qv__json_str(k, &name) || !qv__json_str(k + 1, &collection)) {
            st = qv__fail(err, QV_ECORRUPT, "catalog: malformed alias");
            break;
        }
        fresh[i].name = qv__strndup(db->mem_catalog, name.p, name.n);
        fresh[i].collection = qv__strndup(db->mem_catalog, collection.p, collection.n);
        if (!fresh[i].name || !fresh[i].collection) {
            st = qv__fail(err, QV_ENOMEM, "no memory for the catalog");
        }
        k = qv__json_next(k + 1);
    }
    if (st == QV_OK) {
        while (db->n_aliases) {
            alias_remove_at(db, db->n_aliases - 1);
        }
    }
    for (uint32_t i = 0; fresh && i < map->len; i++) {
        if (st == QV_OK) {
            alias_put(db, fresh[i].name, fresh[i].collection);
        } else {
            qv__free(fresh[i].name);
            qv__free(fresh[i].collection);
        }
    }
    qv__free(fresh);
    qv__mutex_unlock(&db->catalog);
    return st;
}

qv_status qv__db_update_aliases(struct qv__db *db, const struct qv__alias_action *actions, size_t n,
                                struct qv_err *err)
{
    QV_TRY(writable(db, err));
    struct qv__arena arena;
    struct qv__buf json;
    qv__arena_init(&arena, db->mem_catalog);
    qv__buf_init(&json, db->mem_catalog);
    qv__mutex_lock(&db->ddl);
    qv_status st = QV_OK;
    struct alias_list l = {.items =
                               qv__arena_calloc(&arena, db->n_aliases + n + 1, sizeof *l.items)};
    if (!l.items) {
        QV_GOTO(qv__fail(err, QV_ENOMEM, "no memory for aliases"));
    }
    /* Only ddl changes the list: reading it here needs no further lock. */
    for (; l.n < db->n_aliases; l.n++) {
        l.items[l.n] = db->aliases[l.n];
    }
    for (size_t i = 0; i < n; i++) {
        QV_GOTO(alias_action(db, &l, &arena, &actions[i], err));
    }
    alias_json(&json, &l);
    QV_GOTO(qv__buf_status(&json, err));
    qv__json doc = NULL;
    QV_GOTO(qv__json_parse(&arena, (const char *)json.p, json.n, NULL, &doc, err));
    QV_GOTO(log_change(db, &json, NULL, err));
    QV_GOTO(alias_install(db, qv__json_get(doc, "aliases"), err));
out:
    qv__mutex_unlock(&db->ddl);
    qv__buf_free(&json);
    qv__arena_free(&arena);
    return st;
}

/* --- looking up
 * -------------------------------------------------------------------------------------------------
 */

qv_status qv__db_collection(struct qv__db *db, struct qv__str name, struct qv__collection **out,
                            struct qv_err *err)
{
    qv__mutex_lock(&db->catalog);
    struct qv__collection *c = collection_find(db, name);
    if (!c) {
        struct qv__alias *a = alias_find(db, name);
        c = a ? collection_find(db, qv__str_z(a->collection)) : NULL;
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

qv_status qv__db_list_aliases(struct qv__db *db, struct qv__str collection,
                              void (*cb)(void *arg, struct qv__str alias,
                                         struct qv__str collection),
                              void *arg, struct qv_err *err)
{
    struct qv__arena arena;
    qv__arena_init(&arena, db->mem_catalog);
    qv__mutex_lock(&db->catalog);
    uint32_t n = db->n_aliases;
    struct qv__alias *copy = qv__arena_calloc(&arena, n + 1u, sizeof *copy);
    bool ok = copy != NULL;
    for (uint32_t i = 0; ok && i < n; i++) {
        copy[i].name = qv__arena_strndup(&arena, db->aliases[i].name, strlen(db->aliases[i].name));
        copy[i].collection =
            qv__arena_strndup(&arena, db->aliases[i].collection, strlen(db->aliases[i].collection));
        ok = copy[i].name && copy[i].collection;
    }
    qv__mutex_unlock(&db->catalog);
    for (uint32_t i = 0; ok && i < n; i++) {
        if (collection.n == 0 || qv__str_eq(collection, qv__str_z(copy[i].collection))) {
            cb(arg, qv__str_z(copy[i].name), qv__str_z(copy[i].collection));
        }
    }
    qv__arena_free(&arena);
    return ok ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory to list aliases");
}

/* --- stored form
 * ---------------------------------------------------------------------------------------------------
 */

static qv_status install_collection(struct qv__db *db, qv__json o, struct qv_err *err)
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
    qv__mutex_lock(&db->catalog);
    st = collection_find(db, name)
             ? qv__fail(err, QV_ECORRUPT, "catalog: collection `%s` occurs twice", c->name)
             : catalog_reserve(db, 1, 0, err);
    if (st == QV_OK) {
        collection_insert(db, c);
        db->next_collection_id = QV_MAX(db->next_collection_id, id + 1);
    }
    qv__mutex_unlock(&db->catalog);
    if (st != QV_OK) {
        qv__collection_release(c);
    }
    return st;
}

static qv_status apply_to_collection(struct qv__db *db, qv__json doc, bool drop, struct qv_err *err)
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
        collection_remove(db, c);
        qv__mutex_unlock(&db->catalog);
        qv__collection_release(c);
    } else {
        struct qv__schema *schema = NULL;
        st = qv__schema_from_json(db->mem_catalog, qv__json_get(doc, "schema"), &schema, err);
        if (st == QV_OK) {
            qv__collection_set_schema(c, schema);
        }
    }
    qv__collection_release(c);
    return st;
}

qv_status qv__catalog_apply(struct qv__db *db, struct qv__bytes body, struct qv_err *err)
{
    struct qv__arena arena;
    qv__arena_init(&arena, db->mem_catalog);
    qv__json doc = NULL;
    qv_status st = qv__json_parse(&arena, (const char *)body.p, body.n, NULL, &doc, err);
    qv__json op = st == QV_OK ? qv__json_get(doc, "op") : NULL;
    if (st != QV_OK) {
        st = qv__wrap(err, QV_ECORRUPT, "catalog record");
    } else if (qv__json_str_is(op, "create")) {
        st = install_collection(db, doc, err);
    } else if (qv__json_str_is(op, "drop") || qv__json_str_is(op, "schema")) {
        st = apply_to_collection(db, doc, qv__json_str_is(op, "drop"), err);
    } else if (qv__json_str_is(op, "aliases")) {
        st = alias_install(db, qv__json_get(doc, "aliases"), err);
    } else {
        st = qv__fail(err, QV_EVERSION, "catalog: a record of an unknown kind");
    }
    qv__arena_free(&arena);
    return st;
}

void qv__catalog_write(struct qv__db *db, struct qv__buf *out)
{
    struct qv__jw w;
    qv__mutex_lock(&db->catalog);
    qv__jw_init(&w, out);
    qv__jw_obj(&w);
    key_u64(&w, "format", 1);
    key_u64(&w, "next_collection_id", db->next_collection_id);
    qv__jw_key(&w, "collections");
    qv__jw_arr(&w);
    for (uint32_t i = 0; i < db->n_collections; i++) {
        struct qv__collection *c = db->collections[i];
        qv__jw_obj(&w);
        key_u64(&w, "id", c->id);
        qv__jw_key(&w, "name");
        qv__jw_str(&w, c->name);
        qv__jw_key(&w, "schema");
        struct qv__schema *s = qv__collection_schema(c);
        qv__schema_to_json(&w, s);
        qv__schema_release(s);
        qv__jw_obj_end(&w);
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
    if (qv__json_parse(&arena, (const char *)json.p, json.n, NULL, &doc, err) != QV_OK) {
        QV_GOTO(qv__wrap(err, QV_ECORRUPT, "catalog"));
    }
    if (!qv__json_u64(qv__json_get(doc, "format"), &format) || format != 1) {
        QV_GOTO(qv__fail(err, QV_EVERSION,
                         "catalog: format %" PRIu64 " is not known to this version", format));
    }
    qv__json list = qv__json_get(doc, "collections");
    qv__json o = qv__json_first(list);
    for (uint32_t i = 0; o && i < list->len; i++, o = qv__json_next(o)) {
        QV_GOTO(install_collection(db, o, err));
    }
    uint64_t next = 0;
    if (qv__json_u64(qv__json_get(doc, "next_collection_id"), &next)) {
        db->next_collection_id = QV_MAX(db->next_collection_id, next);
    }
    QV_GOTO(alias_install(db, qv__json_get(doc, "aliases"), err));
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
        alias_remove_at(db, db->n_aliases - 1);
    }
    qv__free(db->collections);
    qv__free(db->aliases);
    db->collections = NULL;
    db->aliases = NULL;
}
