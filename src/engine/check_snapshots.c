/* check_snapshots.c: the snapshots of a data directory, for the offline check.
 *
 * Each is read as before a recovery from it: head, table and sum; every file with its length, block
 * checksums and SHA-256; manifest and catalog against the table. Then each segment is opened with
 * all checks of a start. The database needs none of them, so damage here costs a backup. */
#include <stdio.h>

#include "engine/check_impl.h"
#include "engine/snapshot_impl.h"

#define REMEDY_SNAPSHOT "make a new snapshot and delete this one: the database does not need it"

static qv_status open_segments(struct qv__restore *r, struct qv__blobs *blobs,
                               const struct qv__manifest_shard *sh, struct qv_err *err)
{
    struct qv__segment_env env = {.mem = r->arena.mem, .simd = qv__simd_best(NULL), .blobs = blobs};
    struct qv__schema *schema = NULL;
    qv__json o = qv__check_collection(r->catalog, sh->collection_id);
    qv_status st = qv__schema_from_json(env.mem, qv__json_get(o, "schema"), &schema, err);
    if (st == QV_OK && sh->shard >= schema->shard_number) {
        st = qv__fail(err, QV_ECORRUPT, "shard %" PRIu32 " is not one of its collection's",
                      sh->shard);
    }
    for (uint32_t k = 0; st == QV_OK && k < sh->n_segments; k++) {
        struct qv__segment *s = NULL;
        st = qv__segment_open(&env, schema, &sh->segments[k], &s, err);
        qv__segment_release(s);
    }
    qv__schema_release(schema);
    return st;
}

static qv_status check_content(struct qv__check *c, struct qv__snap_reader *reader, const char *dir,
                               struct qv_err *err)
{
    struct qv__restore r = {.from = NULL};
    struct qv__blobs *blobs = NULL;
    qv_status st = qv__restore_open(&r, reader, NULL, err);
    if (st == QV_OK) {
        st = qv__blobs_local_open(c->io, dir, QV__DIR_TMP, c->mem, &blobs, err);
    }
    for (uint32_t i = 0; st == QV_OK && i < r.manifest.n_shards; i++) {
        st = open_segments(&r, blobs, &r.manifest.shards[i], err);
    }
    if (blobs) {
        blobs->ops->close(blobs);
    }
    qv__restore_free(&r);
    return st;
}

/* What a file says, or lacks, as against what this machine cannot do now. */
static bool is_damage(qv_status st)
{
    return st != QV_ENOMEM && st != QV_EIO && st != QV_ECANCELLED;
}

static qv_status check_one(struct qv__check *c, uint64_t id, struct qv_err *err)
{
    struct qv__snap_reader reader;
    struct qv__snapshot_info info = {.id = id};
    struct qv_err why = {.code = QV_OK};
    char dir[64];
    qv__snapshot_dir(id, QV__SNAPSHOT_WHOLE, dir);
    qv_status st = qv__snap_open_dir(c->io, dir, c->mem, &reader, &why);
    if (st == QV_OK && reader.snap.id != id) {
        st = qv__fail(&why, QV_ECORRUPT, "is snapshot %" PRIu64, reader.snap.id);
    }
    if (st == QV_OK) {
        qv__snapshot_describe(&reader.snap, reader.sum, &info);
        st = check_content(c, &reader, dir, &why);
    }
    if (st == QV_OK) {
        struct qv__check_finding f = {.file = dir, .collection = info.collection};
        qv__check_report_full(c, f, "snapshot %s, %" PRIu64 " bytes, LSN %" PRIu64, info.name,
                              info.bytes, info.lsn);
    } else if (is_damage(st)) {
        struct qv__check_finding f = {
            .damaged = true, .file = dir, .collection = info.collection, .remedy = REMEDY_SNAPSHOT};
        qv__check_report_full(c, f, "%s; nothing can be recovered from this snapshot", why.message);
        st = QV_OK;
    } else if (err) {
        *err = why;
    }
    qv__snap_close(&reader);
    return st;
}

qv_status qv__check_snapshots(struct qv__check *c, struct qv_err *err)
{
    struct qv__buf names;
    struct qv_err why = {.code = QV_OK};
    qv_status st = qv__snapshot_names(c->io, c->mem, &names, &why);
    if (st == QV_ENOTFOUND) {
        return QV_OK; /* written before there were snapshots, or never opened */
    }
    if (st != QV_OK) {
        if (err) {
            *err = why;
        }
        return st;
    }
    for (size_t at = 0; st == QV_OK && at < names.n; at += strlen((const char *)names.p + at) + 1) {
        const char *name = (const char *)names.p + at;
        enum qv__snapshot_state state;
        uint64_t id;
        char dir[320];
        snprintf(dir, sizeof dir, "%s/%.255s", QV__DIR_SNAPSHOTS, name);
        if (!qv__snapshot_dir_read(name, &id, &state)) {
            qv__check_report(c, false, dir, "no snapshot of ours: left alone");
        } else if (state != QV__SNAPSHOT_WHOLE) {
            qv__check_report(c, false, dir,
                             "surplus: of a snapshot that was %s, removed at the next open",
                             state == QV__SNAPSHOT_NEW ? "never finished" : "deleted");
        } else {
            st = check_one(c, id, err);
        }
    }
    qv__buf_free(&names);
    return st;
}
