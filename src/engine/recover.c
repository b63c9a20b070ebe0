/* recover.c: from a data directory to a database: manifest, segments, log.
 *
 * Replay is a pure function of the log: records hold effects, and a shard skips those at or below
 * its flushed LSN. Leftover files of an interrupted seal or merge are recognised by not being in
 * the manifest and by our own name pattern; they are removed here, once manifest and log have
 * proved sound and before anything new is written.
 */
#include "base/plant.h"
#include "engine/quarantine.h"
#include "engine/snapshot_impl.h"

#include <stdio.h>

/* One segment into the list; damage quarantines the collection and leaves it out. */
static qv_status open_segment(struct qv__shard *s, const struct qv__manifest_segment *m,
                              struct qv__segment **list, uint32_t *n, struct qv_err *err)
{
    struct qv__collection *c = s->collection;
    qv_status st = qv__segment_open(&c->env, c->schema, m, &list[*n], err);
    if (st == QV_OK) {
        (*n)++;
        return QV_OK;
    }
    if (qv__quarantine_is_damage(st)) {
        qv__quarantine_enter(c, err, m->n_rows - m->n_dead);
        return QV_OK;
    }
    return qv__wrap(err, st, "collection `%s` shard %" PRIu32, c->name, s->number);
}

static qv_status open_segments(struct qv__shard *s, const struct qv__manifest_shard *m,
                               struct qv_err *err)
{
    struct qv__collection *c = s->collection;
    struct qv__segment **list =
        qv__calloc(c->mem, m->n_segments + 1u, sizeof(struct qv__segment *));
    struct qv_err why = {.code = QV_OK};
    qv_status st = list ? QV_OK : qv__fail(&why, QV_ENOMEM, "no memory to open segments");
    uint32_t n = 0;
    for (uint32_t i = 0; st == QV_OK && i < m->n_segments; i++) {
        st = open_segment(s, &m->segments[i], list, &n, &why);
    }
    if (st != QV_OK && err) {
        *err = why;
    }
    if (st == QV_OK && n < m->n_segments) {
        st = qv__quarantine_hold(s, m, err);
    }
    if (st == QV_OK) {
        st = qv__shard_fill(s, list, n, m->flushed_lsn, err);
    }
    for (uint32_t i = 0; list && i < n; i++) {
        qv__segment_release(list[i]);
    }
    qv__free(list);
    return st;
}

static qv_status open_shards(struct qv__db *db, const struct qv__manifest *m, struct qv_err *err)
{
    for (uint32_t i = 0; i < m->n_shards; i++) {
        const struct qv__manifest_shard *ms = &m->shards[i];
        struct qv__collection *c = qv__catalog_by_id(db, ms->collection_id);
        if (!c || ms->shard >= c->n_shards) {
            qv__collection_release(c);
            return qv__fail(err, QV_ECORRUPT,
                            "manifest %" PRIu64 ": shard %" PRIu32 " of collection %" PRIu64
                            " is not in its catalog",
                            m->generation, ms->shard, ms->collection_id);
        }
        struct qv__shard *s = &c->shards[ms->shard];
        if (s->view->n > 1) { /* it has segments already */
            qv__collection_release(c);
            return qv__fail(err, QV_ECORRUPT,
                            "manifest %" PRIu64 ": shard %" PRIu32 " of collection %" PRIu64
                            " occurs twice",
                            m->generation, ms->shard, ms->collection_id);
        }
        qv_status st = open_segments(s, ms, err);
        qv__collection_release(c);
        QV_TRY(st);
    }
    return QV_OK;
}

/* --- leftovers --- */

struct leftovers {
    struct qv__db *db;
    const struct qv__manifest *manifest;
    struct qv__buf names; /* NUL-separated */
};

static bool is_live(const struct qv__manifest *m, uint64_t id, bool tombstones, uint64_t gen)
{
    for (uint32_t i = 0; i < m->n_shards; i++) {
        for (uint32_t k = 0; k < m->shards[i].n_segments; k++) {
            const struct qv__manifest_segment *s = &m->shards[i].segments[k];
            if (s->segment_id == id && (!tombstones || s->tombstone_gen == gen)) {
                return true;
            }
        }
    }
    return false;
}

/* Numbers are never used twice, not even when a file that has one cannot be removed. One that
 * counting never reaches is somebody else's name. */
static void pass_number(struct qv__db *db, uint64_t number)
{
    if (number < QV__FILE_ID_MAX && number >= atomic_load(&db->next_file_id)) {
        atomic_store(&db->next_file_id, number + 1);
    }
}

static void leftover_cb(void *arg, const char *name)
{
    struct leftovers *l = arg;
    uint64_t id = 0, gen = 0;
    char expect[64] = "";
    if (sscanf(name, "seg-%16" SCNx64, &id) == 1) {
        qv__segment_blob_name(id, expect);
        if (strcmp(expect, name) != 0 || is_live(l->manifest, id, false, 0)) {
            return;
        }
    } else if (sscanf(name, "tomb-%16" SCNx64 "-%16" SCNx64, &id, &gen) == 2) {
        qv__tombstones_blob_name(id, gen, expect);
        if (strcmp(expect, name) != 0 || is_live(l->manifest, id, true, gen)) {
            return;
        }
    } else {
        return; /* not ours: left alone */
    }
    pass_number(l->db, QV_MAX(id, gen));
    qv__buf_put(&l->names, name, strlen(name) + 1);
}

/* Their numbers are passed over in any case. */
static void see_leftovers(struct qv__db *db, const struct qv__manifest *m, bool may_remove)
{
    struct leftovers l = {.db = db, .manifest = m};
    struct qv_err err;
    qv__buf_init(&l.names, db->mem);
    if (db->blobs->ops->list(db->blobs, leftover_cb, &l, &err) == QV_OK && !l.names.failed) {
        for (size_t at = 0; may_remove && at < l.names.n;
             at += strlen((const char *)l.names.p + at) + 1) {
            const char *name = (const char *)l.names.p + at;
            qv__log_line(db->logger, QV__LEVEL_INFO, "recover", "removing leftover file %s", name);
            if (db->blobs->ops->remove(db->blobs, name, &err) != QV_OK) {
                qv__log_line(db->logger, QV__LEVEL_WARN, "recover", "%s", err.message);
            }
        }
    }
    qv__buf_free(&l.names);
}

/* --- replay
 * --------------------------------------------------------------------------------------------------
 */

struct replay {
    struct qv__db *db;
    struct qv__arena arena;   /* of one record at a time; its memory serves all */
    struct qv__collection *c; /* of the last data record, retained; NULL = none */
};

/* The next record may be of another collection, or of none. */
static void forget_collection(struct replay *r)
{
    qv__collection_release(r->c);
    r->c = NULL;
}

/* A record that a quarantined collection will need when its files are whole: the log keeps it for
 * the shards it is for, and they keep no more of the log than that. */
static void note_kept(struct replay *r, struct qv__collection *c, const struct qv__log_record *rec)
{
    struct qv__record_part *parts = NULL;
    struct qv_err ignored;
    size_t n = 0;
    qv__arena_reset(&r->arena);
    bool known =
        qv__record_decode(rec->body, rec->lsn, c->schema, &r->arena, &parts, &n, &ignored) == QV_OK;
    for (size_t i = 0; i < (known ? n : c->n_shards); i++) {
        struct qv__shard *s = &c->shards[known ? parts[i].shard : i];
        qv__mutex_lock(&s->write);
        s->last_lsn = QV_MAX(s->last_lsn, rec->lsn);
        qv__mutex_unlock(&s->write);
    }
}

static qv_status replay_data(struct replay *r, const struct qv__log_record *rec, struct qv_err *err)
{
    uint64_t id = 0;
    QV_TRY(qv__record_collection(rec->body, &id, err));
    if (r->c && r->c->id != id) {
        forget_collection(r);
    }
    struct qv__collection *c = r->c ? r->c : qv__catalog_by_id(r->db, id);
    r->c = c;
    if (!c) {
        return QV_OK; /* dropped since */
    }
    if (atomic_load(&c->quarantined)) {
        note_kept(r, c, rec);
        return QV_OK;
    }
    struct qv__record_part *parts = NULL;
    size_t n = 0;
    qv__arena_reset(&r->arena);
    struct qv_err why = {.code = QV_OK};
    qv_status st = qv__record_decode(rec->body, rec->lsn, c->schema, &r->arena, &parts, &n, &why);
    if (st == QV_ECORRUPT || st == QV_EVERSION) {
        qv__wrap(&why, st, "log record %" PRIu64, rec->lsn);
        qv__quarantine_enter(c, &why, 0);
        note_kept(r, c, rec);
        st = QV_OK;
        n = 0;
    } else if (st != QV_OK && err) {
        *err = why;
    }
    for (size_t i = 0; st == QV_OK && i < n; i++) {
        struct qv__shard *s = &c->shards[parts[i].shard];
        uint64_t flushed = atomic_load(&s->flushed_lsn);
        if (rec->lsn <= flushed + QV_PLANT(replay_off_by_one)) {
            continue;
        }
        if (i > 0 && QV_PLANT(replay_first_part)) {
            break;
        }
        qv__mutex_lock(&s->write);
        st = qv__shard_reserve(s, c->schema, parts[i].effects, parts[i].n, err);
        if (st == QV_OK) {
            qv__shard_apply(s, parts[i].effects, parts[i].n, rec->lsn);
        }
        qv__mutex_unlock(&s->write);
    }
    return st;
}

static qv_status replay_one(void *arg, const struct qv__log_record *rec, struct qv_err *err)
{
    struct replay *r = arg;
    struct qv__db *db = r->db;
    db->replayed_records++;
    db->replayed_bytes += rec->body.n;
    qv_status st = QV_OK;
    if (rec->type == QV__REC_CATALOG) {
        forget_collection(r);
        st =
            rec->lsn > db->checkpoint_lsn ? qv__catalog_apply(db, rec->lsn, rec->body, err) : QV_OK;
    } else if (rec->type == QV__REC_DATA) {
        st = replay_data(r, rec, err);
    } else {
        st = qv__fail(err, QV_EVERSION, "a record of kind %" PRIu32 " is not known to this version",
                      rec->type);
    }
    return st == QV_OK ? QV_OK : qv__wrap(err, st, "log record %" PRIu64, rec->lsn);
}

qv_status qv__recover(struct qv__db *db, struct qv_err *err)
{
    struct qv__arena arena;
    struct qv__manifest m = {0};
    struct qv_err why;
    qv__arena_init(&arena, db->mem);
    atomic_store(&db->recovering, true);
    qv_status st = qv__manifest_read(db->io, &arena, &m, &why);
    bool fresh = st == QV_ENOTFOUND; /* which is no error to tell */
    if (fresh) {
        QV_GOTO(qv__restore_unfinished(db->io, err));
    } else {
        if (st != QV_OK && err) {
            *err = why;
        }
        QV_GOTO(st);
        db->manifest_generation = m.generation;
        db->checkpoint_lsn = m.checkpoint_lsn;
        atomic_store(&db->checkpoint_lsn_seen, m.checkpoint_lsn);
        if (m.next_file_id > QV__FILE_ID_MAX) {
            QV_GOTO(qv__fail(err, QV_ECORRUPT,
                             "manifest %" PRIu64 ": next file number %" PRIu64 " is impossible",
                             m.generation, m.next_file_id));
        }
        atomic_store(&db->next_file_id, QV_MAX(m.next_file_id, 1));
        memcpy(db->uuid, m.db_uuid, sizeof db->uuid);
    }
    if (fresh) {
        QV_GOTO(qv__os_entropy(db->uuid, sizeof db->uuid, err));
    }
    struct qv__log_local_options lo = {.first_file_bytes =
                                           QV_MIN(db->options.log_file_bytes, (uint64_t)1 << 20),
                                       .file_bytes_max = db->options.log_file_bytes,
                                       .next_lsn = m.checkpoint_lsn + 1,
                                       .must_exist = !fresh,
                                       .reach_lsn = m.checkpoint_lsn,
                                       .logger = db->logger,
                                       .room = qv__space_log_room,
                                       .room_ctx = db};
    QV_GOTO(qv__log_local_open(db->io, QV__DIR_LOG, db->mem_log, &lo, &db->log, err));
    if (!fresh) {
        db->catalog_bytes = m.catalog.n;
        QV_GOTO(qv__catalog_read(db, m.catalog, err));
        QV_GOTO(open_shards(db, &m, err));
    }
    uint64_t from = m.checkpoint_lsn;
    for (uint32_t i = 0; i < m.n_shards; i++) {
        from = QV_MIN(from, m.shards[i].flushed_lsn);
    }
    struct replay r = {.db = db};
    qv__arena_init(&r.arena, db->mem);
    st = qv__log_replay(db->log, from + 1, replay_one, &r, err);
    forget_collection(&r);
    qv__arena_free(&r.arena);
    QV_GOTO(st);
    /* Before the first manifest the log holds everything, and nothing at all is no proof of that.
     */
    if (!db->read_only) {
        see_leftovers(db, &m, !fresh || db->replayed_records > 0);
        QV_GOTO(qv__snapshots_clean(db, err));
    }
out:
    atomic_store(&db->recovering, false);
    qv__arena_free(&arena);
    return st;
}
