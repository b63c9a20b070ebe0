/* catalog_list.c: the sorted lists of collections and aliases, and how a change is logged. */
#include "engine/catalog.h"

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

struct qv__collection *qv__catalog_find(const struct qv__db *db, struct qv__str name)
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

struct qv__alias *qv__catalog_alias(const struct qv__db *db, struct qv__str alias)
{
    uint32_t i = alias_lower(db, alias);
    return i < db->n_aliases && qv__str_eq(qv__str_z(db->aliases[i].name), alias) ? &db->aliases[i]
                                                                                  : NULL;
}

/* Room for one more of each, so that inserting cannot fail after the record is durable. */
qv_status qv__catalog_reserve(struct qv__db *db, uint32_t collections, uint32_t aliases,
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

void qv__catalog_insert(struct qv__db *db, struct qv__collection *c)
{
    uint32_t i = collection_lower(db, qv__str_z(c->name));
    memmove(&db->collections[i + 1], &db->collections[i],
            (db->n_collections - i) * sizeof db->collections[0]);
    db->collections[i] = c;
    db->n_collections++;
}

void qv__catalog_replace(struct qv__db *db, const struct qv__collection *out,
                         struct qv__collection *in)
{
    uint32_t i = collection_lower(db, qv__str_z(out->name));
    QV_ASSERT(i < db->n_collections && db->collections[i] == out);
    db->collections[i] = in;
}

void qv__catalog_alias_remove(struct qv__db *db, uint32_t i)
{
    qv__free(db->aliases[i].name);
    qv__free(db->aliases[i].collection);
    memmove(&db->aliases[i], &db->aliases[i + 1], (db->n_aliases - i - 1) * sizeof db->aliases[0]);
    db->n_aliases--;
}

/* name and collection are consumed. Room was reserved. */
void qv__catalog_alias_put(struct qv__db *db, char *name, char *collection)
{
    struct qv__alias *a = qv__catalog_alias(db, qv__str_z(name));
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
void qv__catalog_remove(struct qv__db *db, struct qv__collection *c)
{
    uint32_t i = collection_lower(db, qv__str_z(c->name));
    memmove(&db->collections[i], &db->collections[i + 1],
            (db->n_collections - i - 1) * sizeof db->collections[0]);
    db->n_collections--;
    for (uint32_t a = db->n_aliases; a-- > 0;) {
        if (strcmp(db->aliases[a].collection, c->name) == 0) {
            qv__catalog_alias_remove(db, a);
        }
    }
}

qv_status qv__catalog_has(struct qv__db *db, const struct qv__collection *c, struct qv_err *err)
{
    qv__mutex_lock(&db->catalog);
    bool has = qv__catalog_find(db, qv__str_z(c->name)) == c;
    qv__mutex_unlock(&db->catalog);
    return has ? QV_OK : qv__fail(err, QV_ENOTFOUND, "Collection `%s` doesn't exist!", c->name);
}

/* --- logging --- */

qv_status qv__catalog_admit(struct qv__db *db, const struct qv__buf *json, struct qv_err *err)
{
    QV_TRY(qv__buf_status(json, err));
    QV_TRY(qv__checkpoint_admit(db, err));
    /* The whole catalog is one document of each manifest: it must stay one that can be read back.
     */
    if (json->n > 4096 && db->catalog_bytes + json->n > QV__CATALOG_BYTES_MAX) {
        return qv__fail(err, QV_ETOOBIG,
                        "the catalog would be larger than %zu bytes: drop collections or metadata",
                        QV__CATALOG_BYTES_MAX);
    }
    return QV_OK;
}

qv_status qv__catalog_append(struct qv__db *db, const struct qv__buf *json, uint64_t *lsn,
                             struct qv_err *err)
{
    struct qv__inflight f;
    struct qv__bytes body = qv__buf_bytes(json);
    QV_TRY(qv__commit_begin(db->commit, QV__REC_CATALOG, &body, 1, 0, &f, err));
    *lsn = f.lsn;
    db->catalog_bytes += json->n;
    qv__commit_applied(db->commit, &f);
    return QV_OK;
}

qv_status qv__catalog_log(struct qv__db *db, const struct qv__buf *json, uint64_t *lsn,
                          struct qv_err *err)
{
    uint64_t at = 0;
    QV_TRY(qv__catalog_admit(db, json, err));
    QV_TRY(qv__catalog_append(db, json, &at, err));
    if (lsn) {
        *lsn = at;
    }
    return qv__commit_sync(db->commit, at, err);
}

qv_status qv__catalog_writable(const struct qv__db *db, struct qv_err *err)
{
    if (db->read_only) {
        return qv__fail(err, QV_EREADONLY, "the database is open read-only");
    }
    return QV_OK;
}

void qv__catalog_op(struct qv__jw *w, struct qv__buf *b, const char *op)
{
    qv__jw_init(w, b);
    qv__jw_obj(w);
    qv__jw_key(w, "op");
    qv__jw_str(w, op);
}

void qv__catalog_u64(struct qv__jw *w, const char *key, uint64_t v)
{
    qv__jw_key(w, key);
    qv__jw_u64(w, v);
}
