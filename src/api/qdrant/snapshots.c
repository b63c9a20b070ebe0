/* snapshots.c: making, listing, downloading and deleting snapshots.
 *
 * A client names a snapshot by the text it was told; that text is compared with those of the list
 * and never becomes a path. Snapshots outlive their collection: they are what brings it back. */
#include "api/qdrant/snapshots.h"

#include <stdio.h>

/* --- which collection --- */

static bool is_shard_route(const struct qv__call *c)
{
    return strstr(c->route->pattern, "/{shard_id}/") != NULL;
}

/* The snapshot's name in the path. */
static struct qv__str name_of(const struct qv__call *c, bool whole)
{
    return c->params[whole ? 0 : is_shard_route(c) ? 2 : 1];
}

/* A shard's snapshot is its collection's, where it is the only one. */
static qv_status check_shard(struct qv__call *c)
{
    struct qv__str text = c->params[1];
    uint64_t shard = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || i > 8) {
            return qv__qd_fail(c, QV__QD_PATH_INVALID, "shard_id: `%.*s` is no shard number",
                               (int)QV_MIN(text.n, (size_t)64), text.p);
        }
        shard = shard * 10 + (uint64_t)(text.p[i] - '0');
    }
    struct qv__schema *s = qv__collection_schema(c->collection);
    uint32_t n = s->shard_number;
    qv__schema_release(s);
    if (text.n == 0 || shard >= n) {
        return qv__fail(&c->err, QV_ENOTFOUND, "Shard %" PRIu64 " of collection not found", shard);
    }
    return n == 1 ? QV_OK
                  : qv__fail(&c->err, QV_EUNSUPPORTED,
                             "a snapshot of one of %" PRIu32
                             " shards; a snapshot of the collection holds them all at one instant",
                             n);
}

static void note_any(void *arg, const struct qv__snapshot_info *info)
{
    struct qv__snapshot_info *seen = arg;
    if (strcmp(seen->collection, info->collection) == 0 && !info->whole_database) {
        seen->id = info->id;
    }
}

qv_status qv__qd_snapshot_collection(struct qv__call *c, bool must_exist, struct qv__str *out)
{
    struct qv__snapshot_info seen = {.id = 0};
    *out = c->params[0];
    qv_status st = qv__db_collection(c->db, c->params[0], &c->collection, &c->err);
    if (st == QV_OK) {
        *out = qv__collection_name(c->collection);
        return is_shard_route(c) ? check_shard(c) : QV_OK;
    }
    if (st != QV_ENOTFOUND || must_exist || is_shard_route(c)) {
        return st;
    }
    struct qv_err why = {.code = QV_OK};
    memcpy(seen.collection, out->p, QV_MIN(out->n, sizeof seen.collection - 1));
    if (qv__db_snapshots(c->db, note_any, &seen, &why) == QV_OK && seen.id) {
        return QV_OK; /* dropped, but not forgotten */
    }
    return st;
}

/* --- jobs --- */

static qv_status run(struct qv__db *db, const struct qv__qd_job *job,
                     struct qv__snapshot_info *made, struct qv_err *err)
{
    struct qv__snapshot_from from = {.id = job->id,
                                     .file = job->file,
                                     .offset = job->offset,
                                     .bytes = job->bytes,
                                     .sha256 = job->has_sha256 ? job->sha256 : NULL};
    qv_status st = QV_OK;
    switch (job->kind) {
    case QV__QD_CREATE:
        return qv__db_snapshot_create(db, qv__str_z(job->collection), made, err);
    case QV__QD_DELETE:
        return qv__db_snapshot_delete(db, job->id, err);
    case QV__QD_RECOVER:
        st = qv__db_snapshot_recover(db, qv__str_z(job->collection), &from, err);
        if (!job->id) {
            qv__upload_remove(db, job->file);
        }
    }
    return st;
}

static void run_behind(struct qv__db *db, void *arg)
{
    static const char *const verbs[] = {"making one", "deleting one", "recovering"};
    struct qv__qd_job *job = arg;
    struct qv__snapshot_info made;
    struct qv_err err = {.code = QV_OK};
    if (run(db, job, &made, &err) != QV_OK) {
        qv__log_line(qv__db_logger(db), QV__LEVEL_ERROR, "snapshot", "%s of `%s` failed: %s",
                     verbs[job->kind], job->collection, err.message);
    }
    qv__free(job);
}

/* What a client sent, or asked for, is its own mistake and not ours. */
static qv_status blame(struct qv__call *c, const struct qv__qd_job *job, qv_status st)
{
    if (st == QV_ECONFLICT) {
        c->kind = QV__QD_CHECKSUM;
    } else if (job->kind == QV__QD_RECOVER && !job->id &&
               (st == QV_ECORRUPT || st == QV_EVERSION)) {
        c->kind = QV__QD_BAD_REQUEST;
    }
    return st;
}

/* The job will not run. */
static qv_status give_up(struct qv__call *c, const struct qv__qd_job *job, qv_status st)
{
    if (job->kind == QV__QD_RECOVER && !job->id) {
        qv__upload_remove(c->db, job->file);
    }
    return st;
}

static qv_status run_later(struct qv__call *c, const struct qv__qd_job *job)
{
    struct qv__qd_job *own = qv__alloc(qv__db_mem(c->db), sizeof *own);
    qv_status st = own ? QV_OK : qv__qd_no_memory(c);
    if (st == QV_OK) {
        *own = *job;
        st = qv__db_run(c->db, run_behind, own, &c->err);
    }
    if (st != QV_OK) {
        qv__free(own);
        return give_up(c, job, st);
    }
    qv__qd_accepted(c);
    return QV_OK;
}

static qv_status run_waited_for(struct qv__call *c)
{
    const struct qv__qd_job *job = c->rest_arg;
    struct qv__snapshot_info made;
    qv_status st = run(c->db, job, &made, &c->err);
    if (st != QV_OK) {
        return blame(c, job, st);
    }
    if (job->kind == QV__QD_CREATE) {
        qv__qd_snapshot_write(&c->w, &made);
    } else {
        qv__jw_bool(&c->w, true);
    }
    return QV_OK;
}

qv_status qv__qd_job_run(struct qv__call *c, const struct qv__qd_job *job)
{
    if (!c->query.wait) {
        return run_later(c, job);
    }
    struct qv__qd_job *kept = qv__arena_alloc(c->arena, sizeof *kept);
    if (!kept) {
        return give_up(c, job, qv__qd_no_memory(c));
    }
    *kept = *job;
    c->rest_arg = kept;
    if (c->route->lane == QV__LANE_JOB || job->kind == QV__QD_DELETE) {
        return run_waited_for(c);
    }
    c->rest = run_waited_for;
    return QV_OK;
}

/* --- making and deleting --- */

static qv_status create(struct qv__call *c, struct qv__str collection)
{
    struct qv__qd_job job = {.kind = QV__QD_CREATE};
    memcpy(job.collection, collection.p, collection.n);
    return qv__qd_job_run(c, &job);
}

static qv_status drop(struct qv__call *c, const struct qv__str *collection)
{
    struct qv__qd_job job = {.kind = QV__QD_DELETE};
    struct qv__snapshot_info info;
    QV_TRY(qv__db_snapshot_find(c->db, name_of(c, !collection), collection, !collection, &info,
                                &c->err));
    job.id = info.id;
    return qv__qd_job_run(c, &job);
}

qv_status qv__qd_snapshot_create(struct qv__call *c)
{
    struct qv__str name;
    QV_TRY(qv__qd_snapshot_collection(c, true, &name));
    return create(c, name);
}

qv_status qv__qd_snapshot_delete(struct qv__call *c)
{
    struct qv__str name;
    QV_TRY(qv__qd_snapshot_collection(c, false, &name));
    return drop(c, &name);
}

qv_status qv__qd_full_snapshot_create(struct qv__call *c)
{
    return create(c, QV__STR(""));
}

qv_status qv__qd_full_snapshot_delete(struct qv__call *c)
{
    return drop(c, NULL);
}

/* --- listing --- */

void qv__qd_snapshot_write(struct qv__jw *w, const struct qv__snapshot_info *info)
{
    char sum[QV__SHA256_HEX + 1];
    qv__sha256_hex(info->sha256, sum);
    qv__jw_obj(w);
    qv__jw_key(w, "name");
    qv__jw_str(w, info->name);
    qv__jw_key(w, "creation_time");
    qv__jw_str(w, info->created);
    qv__qd_key_u64(w, "size", info->bytes);
    qv__jw_key(w, "checksum");
    qv__jw_str(w, sum);
    qv__jw_obj_end(w);
}

struct listing {
    struct qv__jw *w;
    const struct qv__str *collection; /* NULL = of the database */
};

static void list_one(void *arg, const struct qv__snapshot_info *info)
{
    struct listing *l = arg;
    bool fits = l->collection ? !info->whole_database &&
                                    qv__str_eq(*l->collection, qv__str_z(info->collection))
                              : info->whole_database;
    if (fits) {
        qv__qd_snapshot_write(l->w, info);
    }
}

static qv_status list(struct qv__call *c, const struct qv__str *collection)
{
    struct listing l = {&c->w, collection};
    qv__jw_arr(&c->w);
    QV_TRY(qv__db_snapshots(c->db, list_one, &l, &c->err));
    qv__jw_arr_end(&c->w);
    return QV_OK;
}

qv_status qv__qd_snapshots_list(struct qv__call *c)
{
    struct qv__str name;
    QV_TRY(qv__qd_snapshot_collection(c, false, &name));
    return list(c, &name);
}

qv_status qv__qd_full_snapshots_list(struct qv__call *c)
{
    return list(c, NULL);
}

/* --- downloading --- */

struct download {
    struct qv__source source;
    struct qv__snapshot_stream *stream;
};

static qv_status read_download(struct qv__source *s, uint64_t at, void *buf, size_t n, size_t *got,
                               struct qv_err *err)
{
    struct download *d = QV_CONTAINER_OF(s, struct download, source);
    return qv__snapshot_stream_read(d->stream, at, buf, n, got, err);
}

static void close_download(struct qv__source *s)
{
    struct download *d = QV_CONTAINER_OF(s, struct download, source);
    qv__snapshot_stream_close(d->stream);
    qv__free(d);
}

/* Names of collections may hold what a header may not. */
static qv_status add_file_name(struct qv__call *c, const char *name)
{
    struct qv__response *r = &c->request->response;
    char text[512];
    int n = snprintf(text, sizeof text, "attachment; filename=\"%s\"", name);
    char *kept = n > 0 ? qv__arena_strndup(c->arena, text, (size_t)n) : NULL;
    if (!kept) {
        return qv__qd_no_memory(c);
    }
    for (char *p = kept + strlen("attachment; filename=\""); *p; p++) {
        bool plain = *p > 0x20 && *p < 0x7f && *p != '\\' && (*p != '"' || !p[1]);
        *p = plain ? *p : '_';
    }
    r->extra[r->n_extra++] = (struct qv__header){QV__STR("content-disposition"), qv__str_z(kept)};
    return QV_OK;
}

static qv_status send(struct qv__call *c, const struct qv__snapshot_info *info)
{
    struct download *d = qv__zalloc(qv__db_mem(c->db), sizeof *d);
    if (!d) {
        return qv__qd_no_memory(c);
    }
    qv_status st = qv__snapshot_stream_open(c->db, info->id, &d->stream, &c->err);
    if (st != QV_OK) {
        qv__free(d);
        return st;
    }
    st = add_file_name(c, info->name); /* not of an error */
    if (st != QV_OK) {
        qv__snapshot_stream_close(d->stream);
        qv__free(d);
        return st;
    }
    d->source = (struct qv__source){.bytes = qv__snapshot_stream_bytes(d->stream),
                                    .read = read_download,
                                    .close = close_download};
    qv__qd_raw(c, "application/octet-stream");
    c->request->response.source = &d->source;
    return QV_OK;
}

static qv_status download(struct qv__call *c, const struct qv__str *collection)
{
    struct qv__snapshot_info info;
    QV_TRY(qv__db_snapshot_find(c->db, name_of(c, !collection), collection, !collection, &info,
                                &c->err));
    return send(c, &info);
}

qv_status qv__qd_snapshot_download(struct qv__call *c)
{
    struct qv__str name;
    QV_TRY(qv__qd_snapshot_collection(c, false, &name));
    return download(c, &name);
}

qv_status qv__qd_full_snapshot_download(struct qv__call *c)
{
    return download(c, NULL);
}

/* Make one, send it, keep it no longer than that. */
qv_status qv__qd_shard_stream(struct qv__call *c)
{
    struct qv__str name;
    struct qv__snapshot_info info;
    struct qv_err ignored;
    QV_TRY(qv__qd_snapshot_collection(c, true, &name));
    QV_TRY(qv__db_snapshot_create(c->db, name, &info, &c->err));
    qv_status st = send(c, &info);
    (void)!qv__db_snapshot_delete(c->db, info.id, &ignored);
    return st;
}
