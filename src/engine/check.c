/* check.c: offline verification of a data directory, layer by layer, without changing a byte.
 *
 * Every file that the manifest names is opened exactly as a start would open it (checksums,
 * offsets, orders, graph structure); every log record is read; files nobody names are listed as
 * surplus. What is damaged is reported with what it costs; the check goes on to the next file. */
#include "engine/collection.h"

#include <stdio.h>

struct check {
    struct qv__io *io;
    struct qv__mem *mem;
    struct qv__blobs *blobs;
    struct qv__manifest manifest;
    struct qv__arena arena;
    bool damaged;
    void (*cb)(void *arg, const struct qv__check_finding *f);
    void *arg;
};

static void report(struct check *c, bool damaged, const char *file, const char *fmt, ...)
    QV_PRINTF(4, 5);

static void report(struct check *c, bool damaged, const char *file, const char *fmt, ...)
{
    char text[640];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->damaged |= damaged;
    if (c->cb) {
        c->cb(c->arg,
              &(struct qv__check_finding){.damaged = damaged, .file = file, .message = text});
    }
}

static void log_cb(void *arg, const struct qv__log_file_report *r)
{
    struct check *c = arg;
    char file[96];
    snprintf(file, sizeof file, "%s/%s", QV__DIR_LOG, r->name);
    if (r->status == QV_OK) {
        report(c, false, file,
               "%" PRIu64 " records, LSN %" PRIu64 " to %" PRIu64 ", %" PRIu64 " of %" PRIu64
               " bytes used",
               r->records, r->first_lsn, r->last_lsn, r->valid_bytes, r->file_bytes);
    } else {
        report(c, true, file, "%s; every write after LSN %" PRIu64 " in this file is at risk",
               r->message, r->last_lsn);
    }
}

static qv__json collection_json(qv__json doc, uint64_t id)
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

static void check_segment(struct check *c, struct qv__schema *schema, const char *collection,
                          const struct qv__manifest_segment *m)
{
    struct qv__segment_env env = {.mem = c->mem, .simd = qv__simd_best(NULL), .blobs = c->blobs};
    struct qv__segment *s = NULL;
    struct qv_err err = {.code = QV_OK};
    char name[64], file[96];
    qv__segment_blob_name(m->segment_id, name);
    snprintf(file, sizeof file, "%s/%s", QV__DIR_BLOBS, name);
    qv_status st = qv__segment_open(&env, schema, m, &s, &err);
    if (st != QV_OK) {
        report(c, true, file, "%s; costs up to %" PRIu32 " points of collection `%s`", err.message,
               m->n_rows - m->n_dead, collection);
    } else {
        report(c, false, file,
               "%" PRIu32 " rows, %" PRIu32 " dead, %" PRIu64 " bytes, collection `%s`", m->n_rows,
               m->n_dead, m->file_bytes, collection);
    }
    qv__segment_release(s);
}

static void check_segments(struct check *c)
{
    struct qv_err err = {.code = QV_OK};
    qv__json doc = NULL;
    const struct qv__manifest *m = &c->manifest;
    if (qv__json_parse(&c->arena, (const char *)m->catalog.p, m->catalog.n, NULL, &doc, &err) !=
        QV_OK) {
        report(c, true, "CURRENT", "the catalog in manifest %" PRIu64 " is damaged: %s",
               m->generation, err.message);
        return;
    }
    for (uint32_t i = 0; i < m->n_shards; i++) {
        const struct qv__manifest_shard *sh = &m->shards[i];
        qv__json o = collection_json(doc, sh->collection_id);
        struct qv__schema *schema = NULL;
        struct qv__str name = {"", 0};
        qv__json_str(qv__json_get(o, "name"), &name);
        char text[QV__COLLECTION_NAME_MAX + 1];
        snprintf(text, sizeof text, "%.*s", (int)name.n, name.p);
        if (!o || qv__schema_from_json(c->mem, qv__json_get(o, "schema"), &schema, &err) != QV_OK) {
            report(c, true, "CURRENT",
                   "collection %" PRIu64 " of manifest %" PRIu64 " has no valid schema",
                   sh->collection_id, m->generation);
            continue;
        }
        for (uint32_t k = 0; k < sh->n_segments; k++) {
            check_segment(c, schema, text, &sh->segments[k]);
        }
        qv__schema_release(schema);
    }
}

static void surplus_cb(void *arg, const char *name)
{
    struct check *c = arg;
    const struct qv__manifest *m = &c->manifest;
    char file[320], live[64];
    for (uint32_t i = 0; i < m->n_shards; i++) {
        for (uint32_t k = 0; k < m->shards[i].n_segments; k++) {
            const struct qv__manifest_segment *s = &m->shards[i].segments[k];
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
    report(c, false, file, "surplus: named by no manifest, removed at the next open if it is ours");
}

/* Refuse while another process writes; an absent lock file is a directory never opened. */
static qv_status check_lock(struct check *c, struct qv__file **lock, struct qv_err *err)
{
    qv_status st = qv__io_open(c->io, "LOCK", QV__OPEN_WRITE, lock, err);
    if (st == QV_ENOTFOUND) {
        return QV_OK;
    }
    QV_TRY(st);
    return qv__io_lock(*lock, err);
}

qv_status qv__db_check(struct qv__io *io, struct qv__mem *mem,
                       void (*cb)(void *arg, const struct qv__check_finding *f), void *arg,
                       struct qv_err *err)
{
    struct check c = {.io = io, .mem = mem, .cb = cb, .arg = arg};
    struct qv__file *lock = NULL;
    struct qv_err detail = {.code = QV_OK};
    qv__arena_init(&c.arena, mem);
    qv_status st = check_lock(&c, &lock, err);
    QV_GOTO(st);
    QV_GOTO(qv__blobs_local_open(io, QV__DIR_BLOBS, QV__DIR_TMP, mem, &c.blobs, err));
    st = qv__manifest_read(io, &c.arena, &c.manifest, &detail);
    if (st == QV_OK) {
        report(&c, false, "CURRENT",
               "manifest %" PRIu64 ", checkpoint at LSN %" PRIu64 ", %" PRIu32 " shards",
               c.manifest.generation, c.manifest.checkpoint_lsn, c.manifest.n_shards);
        check_segments(&c);
        struct qv_err ignored;
        (void)!c.blobs->ops->list(c.blobs, surplus_cb, &c, &ignored);
    } else if (st == QV_ENOTFOUND) {
        report(&c, false, "CURRENT", "no checkpoint yet");
    } else {
        report(&c, true, "CURRENT", "%s; nothing but the log can be read", detail.message);
    }
    QV_GOTO(qv__log_local_check(io, QV__DIR_LOG, mem, log_cb, &c, err));
    st = c.damaged ? qv__fail(err, QV_ECORRUPT, "damaged files were found") : QV_OK;
out:
    if (c.blobs) {
        c.blobs->ops->close(c.blobs);
    }
    qv__io_file_close(lock, NULL);
    qv__arena_free(&c.arena);
    return st;
}
