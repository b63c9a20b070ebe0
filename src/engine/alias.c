/* alias.c: second names of collections. Any number of actions is one record with the whole outcome,
 * so a switch from one collection to another has no moment in between. */
#include "engine/catalog.h"

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
    bool target = qv__catalog_find(db, a->collection) != NULL,
         taken = qv__catalog_find(db, a->alias) != NULL;
    qv__mutex_unlock(&db->catalog);
    if (!target) {
        return qv__fail(err, QV_ENOTFOUND, "Collection `%.*s` doesn't exist!", (int)a->collection.n,
                        a->collection.p);
    }
    if (taken) {
        return qv__fail(err, QV_EEXISTS, "Collection `%.*s` already exists!", (int)a->alias.n,
                        a->alias.p);
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
    qv__catalog_op(&w, json, "aliases");
    qv__jw_key(&w, "aliases");
    qv__jw_obj(&w);
    for (uint32_t i = 0; i < l->n; i++) {
        qv__jw_key(&w, l->items[i].name);
        qv__jw_str(&w, l->items[i].collection);
    }
    qv__jw_obj_end(&w);
    qv__jw_obj_end(&w);
}

/* A whole list in waiting: with it in hand and the room reserved, installing cannot fail. */
struct alias_set {
    struct qv__alias *items;
    uint32_t n;
};

static void set_free(struct alias_set *set)
{
    for (uint32_t i = 0; set->items && i < set->n; i++) {
        qv__free(set->items[i].name);
        qv__free(set->items[i].collection);
    }
    qv__free(set->items);
    *set = (struct alias_set){0};
}

/* Take all memory that a new list needs. Under ddl; takes catalog. */
static qv_status set_prepare(struct qv__db *db, qv__json map, struct alias_set *set,
                             struct qv_err *err)
{
    if (!qv__json_is(map, QV__JSON_OBJ)) {
        return qv__fail(err, QV_ECORRUPT, "catalog: malformed aliases");
    }
    qv__mutex_lock(&db->catalog);
    qv_status st = qv__catalog_reserve(db, 0, map->len, err);
    qv__mutex_unlock(&db->catalog);
    QV_TRY(st);
    set->items = qv__calloc(db->mem_catalog, map->len + 1u, sizeof *set->items);
    if (!set->items) {
        return qv__fail(err, QV_ENOMEM, "no memory for the catalog");
    }
    set->n = map->len;
    qv__json k = qv__json_first(map);
    for (uint32_t i = 0; i < set->n; i++, k = qv__json_next(k + 1)) {
        struct qv__str name, collection;
        if (!qv__json_str(k, &name) || !qv__json_str(k + 1, &collection)) {
            return qv__fail(err, QV_ECORRUPT, "catalog: malformed alias");
        }
        set->items[i].name = qv__strndup(db->mem_catalog, name.p, name.n);
        set->items[i].collection = qv__strndup(db->mem_catalog, collection.p, collection.n);
        if (!set->items[i].name || !set->items[i].collection) {
            return qv__fail(err, QV_ENOMEM, "no memory for the catalog");
        }
    }
    return QV_OK;
}

/* Put the prepared list in place of the one of now; the set is empty then. */
static void set_install(struct qv__db *db, struct alias_set *set)
{
    qv__mutex_lock(&db->catalog);
    while (db->n_aliases) {
        qv__catalog_alias_remove(db, db->n_aliases - 1);
    }
    for (uint32_t i = 0; i < set->n; i++) {
        qv__catalog_alias_put(db, set->items[i].name, set->items[i].collection);
    }
    qv__mutex_unlock(&db->catalog);
    set->n = 0;
}

/* Replace the whole list (of the record or the manifest). Under ddl. */
qv_status qv__alias_install(struct qv__db *db, qv__json map, struct qv_err *err)
{
    struct alias_set set = {0};
    qv_status st = set_prepare(db, map, &set, err);
    if (st == QV_OK) {
        set_install(db, &set);
    }
    set_free(&set);
    return st;
}

qv_status qv__db_update_aliases(struct qv__db *db, const struct qv__alias_action *actions, size_t n,
                                struct qv_err *err)
{
    QV_TRY(qv__catalog_writable(db, err));
    struct qv__arena arena;
    struct qv__buf json;
    struct alias_set set = {0};
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
    /* All memory first: what is in the log must come to be. */
    QV_GOTO(set_prepare(db, qv__json_get(doc, "aliases"), &set, err));
    QV_GOTO(qv__catalog_log(db, &json, NULL, err));
    set_install(db, &set);
out:
    qv__mutex_unlock(&db->ddl);
    set_free(&set);
    qv__buf_free(&json);
    qv__arena_free(&arena);
    return st;
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
