/* check.c: offline verification of a data directory, layer by layer, without changing a byte.
 *
 * Every file that the manifest names is opened exactly as a start would open it (checksums,
 * offsets, orders, graph structure); the catalog is read as a start reads it; every log record is
 * read, and those that a start needs must be there and mean something (check_log.c); snapshots are
 * read as before a recovery from them (check_snapshots.c); files nobody names are listed as
 * surplus. What is damaged is reported with what it costs and what can still be done; the check
 * goes on to the next file. */
#include <stdio.h>

#include "engine/check_impl.h"
#include "engine/snapshot_impl.h"
#include "store/segfile_format.h"

static void tell(struct qv__check *c, struct qv__check_finding *f, const char *fmt, va_list ap)
    QV_PRINTF(3, 0);

/* Messages of the layers below begin with the file's name, which is told already. */
static const char *after_name(const char *text, const char *file)
{
    const char *slash = strrchr(file, '/');
    const char *name = slash ? slash + 1 : file;
    size_t n = strlen(name);
    return strncmp(text, name, n) == 0 && strncmp(text + n, ": ", 2) == 0 ? text + n + 2 : text;
}

static void tell(struct qv__check *c, struct qv__check_finding *f, const char *fmt, va_list ap)
{
    char text[800];
    vsnprintf(text, sizeof text, fmt, ap);
    f->message = after_name(text, f->file);
    f->collection = f->collection ? f->collection : "";
    f->remedy = f->remedy ? f->remedy : "";
    c->damaged |= f->damaged;
    if (c->cb) {
        c->cb(c->arg, f);
    }
}

void qv__check_report_full(struct qv__check *c, struct qv__check_finding f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    tell(c, &f, fmt, ap);
    va_end(ap);
}

void qv__check_report(struct qv__check *c, bool damaged, const char *file, const char *fmt, ...)
{
    struct qv__check_finding f = {
        .damaged = damaged, .file = file, .remedy = damaged ? QV__REMEDY_WHOLE : NULL};
    va_list ap;
    va_start(ap, fmt);
    tell(c, &f, fmt, ap);
    va_end(ap);
}

/* --- segments and catalog --- */

qv__json qv__check_collection(qv__json doc, uint64_t id)
{
    qv__json list = qv__json_get(doc, "collections"), o = qv__json_first(list);
    for (uint32_t i = 0; o && i < list->len; i++, o = qv__json_next(o)) {
        uint64_t n = 0;
        if (qv__json_u64(qv__json_get(o, "id"), &n) && n == id) {
            return o;
        }
    }
    return NULL;
}

/* Which parts of a segment file its damaged blocks touch. */
struct touched {
    bool any, graph, rest;
};

static void touch(void *arg, const struct qv__seg_entry *e)
{
    struct touched *t = arg;
    t->any = true;
    t->graph |= e && e->kind >= QV__SEC_INDEX_PART;
    t->rest |= !e || e->kind < QV__SEC_INDEX_PART;
}

/* True when nothing but a graph is damaged: what it was built from is whole. */
static bool only_the_graph(struct qv__check *c, const struct qv__manifest_segment *m,
                           const char *name, const struct qv_err *why)
{
    struct qv__segfile *f = NULL;
    struct touched t = {false};
    struct qv_err ignored;
    if (qv__segfile_open(c->blobs, name, c->mem, m->segment_id, m->file_bytes, false, &f,
                         &ignored) != QV_OK) {
        return false;
    }
    qv__segfile_damage(f, touch, &t);
    qv__segfile_close(f);
    return t.any ? t.graph && !t.rest : strstr(why->message, " index: ") != NULL;
}

static void damaged_segment(struct qv__check *c, const char *collection,
                            const struct qv__manifest_segment *m, const struct qv_err *err)
{
    char seg[64], tomb[64], file[96];
    qv__segment_blob_name(m->segment_id, seg);
    qv__tombstones_blob_name(m->segment_id, m->tombstone_gen, tomb);
    bool is_tomb = m->tombstone_gen && strstr(err->message, tomb) != NULL;
    snprintf(file, sizeof file, "%s/%s", QV__DIR_BLOBS, is_tomb ? tomb : seg);
    struct qv__check_finding f = {.damaged = true,
                                  .file = file,
                                  .collection = collection,
                                  .points = m->n_rows - m->n_dead,
                                  .min_lsn = m->min_lsn,
                                  .max_lsn = m->max_lsn,
                                  .remedy = QV__REMEDY_SEGMENT};
    const char *part =
        is_tomb ? "which rows of the segment are deleted is not known; its rows are whole"
        : only_the_graph(c, m, seg, err)
            ? "only the graph is damaged: ids, payloads and vectors are whole"
            : "ids, payloads or vectors are damaged";
    qv__check_report_full(c, f,
                          "%s; %s; costs up to %" PRIu64
                          " points of collection `%s`, written by records %" PRIu64 " to %" PRIu64,
                          err->message, part, f.points, collection, m->min_lsn, m->max_lsn);
}

static void check_segment(struct qv__check *c, struct qv__schema *schema, const char *collection,
                          const struct qv__manifest_segment *m)
{
    struct qv__segment_env env = {.mem = c->mem, .simd = qv__simd_best(NULL), .blobs = c->blobs};
    struct qv__segment *s = NULL;
    struct qv_err err = {.code = QV_OK};
    char name[64], file[96];
    qv_status st = qv__segment_open(&env, schema, m, &s, &err);
    if (st != QV_OK) {
        damaged_segment(c, collection, m, &err);
        return;
    }
    qv__segment_blob_name(m->segment_id, name);
    snprintf(file, sizeof file, "%s/%s", QV__DIR_BLOBS, name);
    qv__check_report_full(c, (struct qv__check_finding){.file = file, .collection = collection},
                          "%" PRIu32 " rows, %" PRIu32 " dead, %" PRIu64 " bytes, collection `%s`",
                          m->n_rows, m->n_dead, m->file_bytes, collection);
    if (m->tombstone_gen) {
        qv__tombstones_blob_name(m->segment_id, m->tombstone_gen, name);
        snprintf(file, sizeof file, "%s/%s", QV__DIR_BLOBS, name);
        qv__check_report_full(c, (struct qv__check_finding){.file = file, .collection = collection},
                              "%" PRIu32 " deletions, collection `%s`", m->n_dead, collection);
    }
    qv__segment_release(s);
}

static void check_shard(struct qv__check *c, qv__json doc, const struct qv__manifest_shard *sh)
{
    struct qv_err err = {.code = QV_OK};
    qv__json o = qv__check_collection(doc, sh->collection_id);
    struct qv__schema *schema = NULL;
    struct qv__str name = {"", 0};
    char text[QV__COLLECTION_NAME_MAX + 1];
    qv__json_str(qv__json_get(o, "name"), &name);
    snprintf(text, sizeof text, "%.*s", (int)name.n, name.p);
    if (!o || qv__schema_from_json(c->mem, qv__json_get(o, "schema"), &schema, &err) != QV_OK ||
        sh->shard >= schema->shard_number) {
        qv__check_report(c, true, c->manifest_file,
                         "shard %" PRIu32 " of collection %" PRIu64 " is not in its catalog",
                         sh->shard, sh->collection_id);
    }
    for (uint32_t k = 0; schema && k < sh->n_segments; k++) {
        check_segment(c, schema, text, &sh->segments[k]);
    }
    qv__schema_release(schema);
}

/* As a start reads it: every collection, also those without segments, and where the aliases lead.
 */
static qv_status check_catalog(struct qv__check *c, qv__json doc, struct qv_err *err)
{
    qv__json list = qv__json_get(doc, "collections"), o = qv__json_first(list);
    qv__json aliases = qv__json_get(doc, "aliases");
    uint32_t n = o ? list->len : 0;
    uint64_t format = 0;
    struct qv_err why = {.code = QV_OK};
    if (!qv__json_u64(qv__json_get(doc, "format"), &format) || format != 1) {
        qv__check_report(c, true, c->manifest_file,
                         "catalog: format %" PRIu64 " is not known to this version", format);
    }
    for (uint32_t i = 0; i < n; i++, o = qv__json_next(o)) {
        qv_status st = qv__check_learn(c, o, &why);
        if (st == QV_ENOMEM) {
            return qv__fail(err, st, "%s", why.message);
        }
        if (st != QV_OK) {
            qv__check_report(c, true, c->manifest_file, "catalog: entry %" PRIu32 ": %s", i,
                             why.message);
        }
    }
    if (qv__check_aliases(aliases, &why) != QV_OK) {
        qv__check_report(c, true, c->manifest_file, "%s", why.message);
    }
    qv__check_report(c, false, c->manifest_file,
                     "catalog: %" PRIu32 " collections, %" PRIu32 " aliases", n,
                     aliases ? aliases->len : 0);
    return QV_OK;
}

static qv_status check_segments(struct qv__check *c, struct qv_err *err)
{
    struct qv_err why = {.code = QV_OK};
    qv__json doc = NULL;
    const struct qv__manifest *m = &c->manifest;
    if (qv__json_parse(&c->arena, (const char *)m->catalog.p, m->catalog.n, NULL, &doc, &why) !=
        QV_OK) {
        qv__check_report(c, true, c->manifest_file, "the catalog is damaged: %s", why.message);
        return why.code == QV_ENOMEM ? qv__fail(err, QV_ENOMEM, "%s", why.message) : QV_OK;
    }
    c->catalog = doc;
    QV_TRY(check_catalog(c, doc, err));
    for (uint32_t i = 0; i < m->n_shards; i++) {
        const struct qv__manifest_shard *sh = &m->shards[i];
        check_shard(c, doc, sh);
        for (uint32_t k = 0; k < i; k++) {
            if (m->shards[k].collection_id == sh->collection_id &&
                m->shards[k].shard == sh->shard && m->shards[k].n_segments) {
                qv__check_report(c, true, c->manifest_file,
                                 "shard %" PRIu32 " of collection %" PRIu64 " occurs twice",
                                 sh->shard, sh->collection_id);
            }
        }
    }
    return QV_OK;
}

/* --- surplus --- */

static void tmp_cb(void *arg, const char *name, bool is_dir)
{
    char file[320];
    (void)is_dir;
    snprintf(file, sizeof file, "%s/%.255s", QV__DIR_TMP, name);
    qv__check_report(arg, false, file,
                     "surplus: of a file that was never finished, removed at the next open");
}

static void surplus_cb(void *arg, const char *name)
{
    struct qv__check *c = arg;
    const struct qv__manifest *m = &c->manifest;
    char file[320], live[64];
    const char *dash = strchr(name, '-');
    uint64_t id = 0; /* of no segment */
    (void)!(dash && sscanf(dash + 1, "%16" SCNx64, &id) == 1);
    for (uint32_t i = 0; id && i < m->n_shards; i++) {
        for (uint32_t k = 0; k < m->shards[i].n_segments; k++) {
            const struct qv__manifest_segment *s = &m->shards[i].segments[k];
            if (s->segment_id != id) {
                continue; /* seen before any name is made: there may be very many of both */
            }
            qv__segment_blob_name(s->segment_id, live);
            if (strcmp(live, name) == 0) {
                return;
            }
            qv__tombstones_blob_name(s->segment_id, s->tombstone_gen, live);
            if (s->tombstone_gen && strcmp(live, name) == 0) {
                return;
            }
        }
    }
    snprintf(file, sizeof file, "%s/%s", QV__DIR_BLOBS, name);
    qv__check_report(c, false, file,
                     "surplus: named by no manifest, removed at the next open if it is ours");
}

/* Refuse while another process writes; an absent lock file is a directory never opened. */
static qv_status check_lock(struct qv__check *c, struct qv__file **lock, struct qv_err *err)
{
    qv_status st = qv__io_open(c->io, "LOCK", QV__OPEN_WRITE, lock, err);
    if (st == QV_ENOTFOUND) {
        return QV_OK;
    }
    QV_TRY(st);
    return qv__io_lock(*lock, err);
}

/* There is no manifest: nothing was flushed yet, or a restore was not finished. */
static qv_status check_fresh(struct qv__check *c, struct qv_err *err)
{
    struct qv_err why = {.code = QV_OK};
    qv_status st = qv__restore_unfinished(c->io, &why);
    if (st == QV_OK) {
        c->is_fresh = true;
        qv__check_report(c, false, "CURRENT", "no checkpoint yet");
        return QV_OK;
    }
    if (st != QV_ECORRUPT) {
        return qv__fail(err, st, "%s", why.message);
    }
    struct qv__check_finding f = {.damaged = true,
                                  .file = QV__RESTORE_MARKER,
                                  .remedy = "restore into it again, from the same snapshot"};
    qv__check_report_full(c, f, "%s; a start is refused", why.message);
    return QV_OK;
}

qv_status qv__db_check(struct qv__io *io, struct qv__mem *mem,
                       void (*cb)(void *arg, const struct qv__check_finding *f), void *arg,
                       struct qv_err *err)
{
    struct qv__check c = {.io = io, .mem = mem, .cb = cb, .arg = arg};
    struct qv__file *lock = NULL;
    struct qv_err detail = {.code = QV_OK};
    qv__arena_init(&c.arena, mem);
    qv_status st = check_lock(&c, &lock, err);
    QV_GOTO(st);
    QV_GOTO(qv__blobs_local_open(io, QV__DIR_BLOBS, QV__DIR_TMP, mem, &c.blobs, err));
    st = qv__manifest_read(io, &c.arena, &c.manifest, &detail);
    if (st == QV_OK) {
        c.has_manifest = true;
        snprintf(c.manifest_file, sizeof c.manifest_file, "manifest-%016" PRIx64,
                 c.manifest.generation);
        qv__check_report(&c, false, "CURRENT",
                         "manifest %" PRIu64 ", checkpoint at LSN %" PRIu64 ", %" PRIu32 " shards",
                         c.manifest.generation, c.manifest.checkpoint_lsn, c.manifest.n_shards);
        QV_GOTO(check_segments(&c, err));
        struct qv_err ignored;
        (void)!c.blobs->ops->list(c.blobs, surplus_cb, &c, &ignored);
        (void)!qv__io_list(io, QV__DIR_TMP, tmp_cb, &c, &ignored);
    } else if (st == QV_ENOTFOUND) {
        QV_GOTO(check_fresh(&c, err));
    } else {
        bool is_current = strncmp(detail.message, "CURRENT", 7) == 0;
        snprintf(c.manifest_file, sizeof c.manifest_file, "%.25s",
                 is_current ? "CURRENT" : detail.message);
        c.manifest_file[strcspn(c.manifest_file, ":")] = 0;
        qv__check_report(
            &c, true, c.manifest_file,
            "%s; which files are live is not known: nothing but the log can be checked",
            detail.message);
    }
    QV_GOTO(qv__check_log(&c, err));
    QV_GOTO(qv__check_snapshots(&c, err));
    st = c.damaged ? qv__fail(err, QV_ECORRUPT, "damaged files were found") : QV_OK;
out:
    qv__check_forget_all(&c);
    if (c.blobs) {
        c.blobs->ops->close(c.blobs);
    }
    qv__io_file_close(lock, NULL);
    qv__arena_free(&c.arena);
    return st;
}
