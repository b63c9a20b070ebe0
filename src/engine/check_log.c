/* check_log.c: the log as a start would replay it, for the offline check.
 *
 * Files and records first: every checksum, and whether the records a start needs are there. Then
 * what the records say: each that a start would replay is decoded against the schema that its
 * collection has at that record, beginning with the manifest's catalog and following the catalog
 * records. A sound record with a malformed body is damage that no checksum shows. After a damaged
 * file nothing is decoded any more: which collections there are is then not known. */
#include <stdio.h>

#include "engine/check_impl.h"

#define REMEDY_RECORD "restore the whole directory from a backup, or delete the collection"

/* Where a replay begins: the least flushed shard. */
static uint64_t flushed(const struct qv__manifest *m)
{
    uint64_t from = m->checkpoint_lsn;
    for (uint32_t i = 0; i < m->n_shards; i++) {
        from = QV_MIN(from, m->shards[i].flushed_lsn);
    }
    return from;
}

/* --- files --- */

static void log_cb(void *arg, const struct qv__log_file_report *r)
{
    struct qv__check *c = arg;
    char file[96];
    snprintf(file, sizeof file, "%s/%s", QV__DIR_LOG, r->name);
    c->n_log_files++;
    c->log_first = c->log_first ? c->log_first : r->first_lsn;
    c->log_end = QV_MAX(c->log_end, r->records ? r->last_lsn : r->first_lsn - 1);
    c->log_is_damaged |= r->status != QV_OK;
    c->log_is_broken |= r->status != QV_OK;
    if (r->status == QV_OK && r->records == 0) {
        qv__check_report(c, false, file, "no records yet, LSN %" PRIu64 " is the next",
                         r->first_lsn);
    } else if (r->status == QV_OK) {
        qv__check_report(c, false, file,
                         "%" PRIu64 " records, LSN %" PRIu64 " to %" PRIu64 ", %" PRIu64
                         " of %" PRIu64 " bytes used",
                         r->records, r->first_lsn, r->last_lsn, r->valid_bytes, r->file_bytes);
    } else {
        qv__check_report_full(
            c,
            (struct qv__check_finding){.damaged = true,
                                       .file = file,
                                       .min_lsn = QV_MAX(r->last_lsn + 1, r->first_lsn),
                                       .max_lsn = UINT64_MAX,
                                       .remedy = QV__REMEDY_WHOLE},
            "%s; the writes after LSN %" PRIu64 " cannot be read", r->message,
            QV_MAX(r->last_lsn, r->first_lsn - 1));
    }
}

/* The log must begin where the least flushed shard ends, and reach as far as was durable. */
static void check_reach(struct qv__check *c)
{
    const struct qv__manifest *m = &c->manifest;
    uint64_t from = c->flushed_lsn;
    struct qv__check_finding f = {.damaged = true, .file = QV__DIR_LOG, .remedy = QV__REMEDY_WHOLE};
    if (!c->has_manifest) {
        return;
    }
    if (c->n_log_files == 0) {
        f.min_lsn = from + 1;
        f.max_lsn = UINT64_MAX;
        qv__check_report_full(
            c, f, "all log files are missing: the writes after LSN %" PRIu64 " are lost", from);
    } else if (c->log_first > from + 1) {
        f.min_lsn = from + 1;
        f.max_lsn = c->log_first - 1;
        qv__check_report_full(c, f,
                              "records from LSN %" PRIu64 " are needed, the log begins at %" PRIu64,
                              from + 1, c->log_first);
    } else if (c->log_end < m->checkpoint_lsn && !c->log_is_damaged) {
        f.min_lsn = c->log_end + 1;
        f.max_lsn = m->checkpoint_lsn;
        qv__check_report_full(
            c, f, "records up to LSN %" PRIu64 " were durable once, the last one is %" PRIu64,
            m->checkpoint_lsn, c->log_end);
    }
}

/* --- what is known at a record --- */

static struct qv__check_known **place_of(struct qv__check *c, uint64_t id)
{
    struct qv__check_known **at = &c->known;
    while (*at && (*at)->id != id) {
        at = &(*at)->next;
    }
    return at;
}

/* Records come in runs of one collection, and there may be very many of both. */
static const struct qv__check_known *find(struct qv__check *c, uint64_t id)
{
    if (!c->last || c->last->id != id) {
        c->last = *place_of(c, id);
    }
    return c->last;
}

static void forget(struct qv__check *c, struct qv__check_known **at)
{
    struct qv__check_known *k = *at;
    c->last = c->last == k ? NULL : c->last;
    *at = k->next;
    qv__schema_release(k->schema);
    qv__free(k);
}

qv_status qv__check_learn(struct qv__check *c, qv__json o, struct qv_err *err)
{
    uint64_t id = 0;
    struct qv__str name;
    if (!qv__json_u64(qv__json_get(o, "id"), &id) ||
        !qv__json_str(qv__json_get(o, "name"), &name)) {
        return qv__fail(err, QV_ECORRUPT, "catalog: malformed collection");
    }
    QV_TRY(qv__collection_name_check(name, err));
    for (struct qv__check_known *k = c->known; k; k = k->next) {
        if (qv__str_eq(name, qv__str_z(k->name))) {
            return qv__fail(err, QV_ECORRUPT, "catalog: collection `%s` occurs twice", k->name);
        }
        if (k->id == id) {
            return qv__fail(err, QV_ECORRUPT,
                            "catalog: collections `%s` and `%.*s` have one id %" PRIu64, k->name,
                            (int)name.n, name.p, id);
        }
    }
    struct qv__schema *schema = NULL;
    QV_TRY(qv__schema_from_json(c->mem, qv__json_get(o, "schema"), &schema, err));
    struct qv__check_known *k = qv__zalloc(c->mem, sizeof *k);
    if (!k) {
        qv__schema_release(schema);
        return qv__fail(err, QV_ENOMEM, "no memory to check the log");
    }
    k->id = id;
    k->schema = schema;
    snprintf(k->name, sizeof k->name, "%.*s", (int)name.n, name.p);
    k->next = c->known;
    c->known = k;
    return QV_OK;
}

static qv_status change_one(struct qv__check *c, uint64_t lsn, qv__json doc, bool drop,
                            struct qv_err *err)
{
    uint64_t id = 0;
    struct qv__schema *schema = NULL;
    if (!qv__json_u64(qv__json_get(doc, "id"), &id)) {
        return qv__fail(err, QV_ECORRUPT, "catalog: a record names no collection");
    }
    struct qv__check_known **at = place_of(c, id);
    if (!*at) {
        return QV_OK; /* as replay: dropped later */
    }
    if (drop) {
        forget(c, at);
        return QV_OK;
    }
    QV_TRY(qv__schema_from_json(c->mem, qv__json_get(doc, "schema"), &schema, err));
    qv__schema_born(schema, lsn);
    qv__schema_release((*at)->schema);
    (*at)->schema = schema;
    return QV_OK;
}

qv_status qv__check_aliases(qv__json map, struct qv_err *err)
{
    struct qv__str s;
    if (!qv__json_is(map, QV__JSON_OBJ)) {
        return qv__fail(err, QV_ECORRUPT, "catalog: malformed aliases");
    }
    qv__json k = qv__json_first(map);
    for (uint32_t i = 0; i < map->len; i++, k = qv__json_next(k + 1)) {
        if (!qv__json_str(k + 1, &s)) {
            return qv__fail(err, QV_ECORRUPT, "catalog: malformed alias");
        }
    }
    return QV_OK;
}

void qv__check_forget_all(struct qv__check *c)
{
    while (c->known) {
        forget(c, &c->known);
    }
}

/* As qv__catalog_apply, on what is known. */
static qv_status apply_catalog(struct qv__check *c, struct qv__arena *arena, uint64_t lsn,
                               struct qv__bytes body, struct qv_err *err)
{
    qv__json doc = NULL;
    qv_status st = qv__json_parse(arena, (const char *)body.p, body.n, NULL, &doc, err);
    if (st != QV_OK) {
        return qv__wrap(err, st == QV_ENOMEM ? st : QV_ECORRUPT, "catalog record");
    }
    qv__json op = qv__json_get(doc, "op");
    if (qv__json_str_is(op, "create")) {
        return qv__check_learn(c, doc, err);
    }
    if (qv__json_str_is(op, "drop") || qv__json_str_is(op, "schema")) {
        return change_one(c, lsn, doc, qv__json_str_is(op, "drop"), err);
    }
    return qv__json_str_is(op, "aliases")
               ? qv__check_aliases(qv__json_get(doc, "aliases"), err)
               : qv__fail(err, QV_EVERSION, "catalog: a record of an unknown kind");
}

/* --- records --- */

static qv_status decode_data(struct qv__check *c, struct qv__arena *arena, uint64_t lsn,
                             struct qv__bytes body, const char **collection, struct qv_err *err)
{
    uint64_t id = 0;
    size_t n = 0;
    struct qv__record_part *parts = NULL;
    QV_TRY(qv__record_collection(body, &id, err));
    const struct qv__check_known *k = find(c, id);
    if (!k) {
        return QV_OK; /* as replay: dropped since */
    }
    *collection = k->name;
    return qv__record_decode(body, lsn, k->schema, arena, &parts, &n, err);
}

/* What a start makes of one record. */
static qv_status decode(struct qv__check *c, const struct qv__log_record *rec,
                        const char **collection, struct qv_err *err)
{
    struct qv__arena arena;
    qv_status st = QV_OK;
    qv__arena_init(&arena, c->mem);
    if (rec->type == QV__REC_DATA) {
        st = decode_data(c, &arena, rec->lsn, rec->body, collection, err);
    } else if (rec->type != QV__REC_CATALOG) {
        st = qv__fail(err, QV_EVERSION, "a record of kind %" PRIu32 " is not known to this version",
                      rec->type);
    } else if (rec->lsn > c->manifest.checkpoint_lsn) {
        st = apply_catalog(c, &arena, rec->lsn, rec->body, err);
    }
    qv__arena_free(&arena);
    return st;
}

static qv_status record_cb(void *arg, const struct qv__log_file_report *r,
                           const struct qv__log_record *rec, struct qv_err *err)
{
    struct qv__check *c = arg;
    struct qv_err why = {.code = QV_OK};
    const char *collection = "";
    char file[96];
    if (c->log_is_broken || rec->lsn <= c->flushed_lsn) {
        return QV_OK;
    }
    qv_status st = decode(c, rec, &collection, &why);
    if (st == QV_OK) {
        return QV_OK;
    }
    if (st == QV_ENOMEM) {
        if (err) {
            *err = why;
        }
        return st;
    }
    snprintf(file, sizeof file, "%s/%s", QV__DIR_LOG, r->name);
    struct qv__check_finding f = {.damaged = true,
                                  .file = file,
                                  .collection = collection,
                                  .min_lsn = rec->lsn,
                                  .max_lsn = rec->lsn,
                                  .remedy = *collection ? REMEDY_RECORD : QV__REMEDY_WHOLE};
    qv__check_report_full(
        c, f, "offset %" PRIu64 ": record %" PRIu64 " is sound, its body is malformed: %s; %s%s%s",
        r->valid_bytes, rec->lsn, why.message,
        *collection ? "a start quarantines collection `" : "a start is refused", collection,
        *collection ? "`" : "");
    /* A catalog that did not change as it was to change says nothing of what follows. */
    c->log_is_broken |= rec->type == QV__REC_CATALOG;
    return QV_OK;
}

qv_status qv__check_log(struct qv__check *c, struct qv_err *err)
{
    bool is_known = c->is_fresh || c->catalog;
    c->flushed_lsn = flushed(&c->manifest);
    struct qv_err why = {.code = QV_OK};
    qv_status st = qv__log_local_check(c->io, QV__DIR_LOG, c->mem, log_cb,
                                       is_known ? record_cb : NULL, c, &why);
    bool has_none = st == QV_ENOTFOUND && c->n_log_files == 0; /* nor its directory */
    if (st != QV_OK && !has_none) {
        return qv__fail(err, st, "%s", why.message);
    }
    check_reach(c);
    return QV_OK;
}
