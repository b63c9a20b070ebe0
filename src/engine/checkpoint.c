/* checkpoint.c: the manifest of what is live, and giving log space back.
 *
 * Each shard's list of sealed segments and its flushed LSN are read together under its write order,
 * where sealing changes them together. A quarantined shard is written as it was. A shard with
 * nothing unflushed may claim the LSN up to which all is durable and applied as flushed: none of
 * those records was for this shard since its last flush. Files are named by the manifest before
 * they are removed, and removed only when no manifest that could be live names them. */
#include "engine/quarantine.h"

static qv_status gather_shard(struct qv__shard *s, uint64_t settled, struct qv__arena *arena,
                              struct qv__manifest_shard *out, struct qv_err *err)
{
    qv_status st = QV_OK;
    qv__mutex_lock(&s->write);
    uint64_t flushed = atomic_load(&s->flushed_lsn);
    bool quarantined = atomic_load(&s->collection->quarantined);
    if (!quarantined && s->last_lsn <= flushed && flushed < settled) {
        flushed = settled;
        atomic_store(&s->flushed_lsn, flushed);
    }
    *out = (struct qv__manifest_shard){
        .collection_id = s->collection->id, .shard = s->number, .flushed_lsn = flushed};
    out->segments =
        qv__arena_calloc(arena, QV_MAX(s->view->n, s->n_held) + 1u, sizeof *out->segments);
    if (!out->segments) {
        st = qv__fail(err, QV_ENOMEM, "no memory for a manifest");
    } else if (s->held) {
        out->n_segments = s->n_held;
        memcpy(out->segments, s->held, s->n_held * sizeof *s->held);
    }
    for (uint32_t i = 0; st == QV_OK && !s->held && i < s->view->n; i++) {
        if (qv__segment_sealed(s->view->segments[i])) {
            qv__segment_manifest(s->view->segments[i], &out->segments[out->n_segments++]);
        }
    }
    qv__mutex_unlock(&s->write);
    return st;
}

static qv_status gather(struct qv__db *db, struct qv__arena *arena, struct qv__manifest *m,
                        struct qv_err *err)
{
    struct qv__collection **all = NULL;
    uint32_t n = 0, shards = 0;
    QV_TRY(qv__catalog_all(db, &all, &n, err));
    for (uint32_t i = 0; i < n; i++) {
        shards += all[i]->n_shards;
    }
    m->shards = qv__arena_calloc(arena, shards + 1u, sizeof *m->shards);
    qv_status st = m->shards ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory for a manifest");
    for (uint32_t i = 0; st == QV_OK && i < n; i++) {
        for (uint32_t k = 0; st == QV_OK && k < all[i]->n_shards; k++) {
            st = gather_shard(&all[i]->shards[k], m->checkpoint_lsn, arena,
                              &m->shards[m->n_shards++], err);
        }
    }
    qv__catalog_all_free(all, n);
    return st;
}

static uint64_t needed_from(const struct qv__manifest *m)
{
    uint64_t upto = m->checkpoint_lsn;
    for (uint32_t i = 0; i < m->n_shards; i++) {
        upto = QV_MIN(upto, m->shards[i].flushed_lsn);
    }
    return upto;
}

/* How much log a quarantined collection keeps from being trimmed; 0 when there is none. */
static void note_held_log(struct qv__db *db)
{
    struct qv__log_stats stats;
    bool any = false;
    qv__mutex_lock(&db->catalog);
    for (uint32_t i = 0; i < db->n_collections; i++) {
        any |= atomic_load(&db->collections[i]->quarantined);
    }
    qv__mutex_unlock(&db->catalog);
    qv__log_stats(db->log, &stats);
    atomic_store(&db->log_bytes_held, any ? stats.file_bytes : 0);
}

static qv_status commit_locked(struct qv__db *db, struct qv_err *err)
{
    struct qv__arena arena;
    struct qv__buf catalog;
    qv__arena_init(&arena, db->mem_catalog);
    qv__buf_init(&catalog, db->mem_catalog);
    /* With ddl held no catalog record is between log and memory, so the catalog is as of this LSN.
     * Relaxed writes may be published beyond it: a manifest must not claim what a crash can take
     * back. */
    struct qv__manifest m = {.generation = db->manifest_generation + 1,
                             .checkpoint_lsn = qv__commit_settled(db->commit)};
    memcpy(m.db_uuid, db->uuid, sizeof m.db_uuid);
    qv_status st = gather(db, &arena, &m, err);
    QV_GOTO(st);
    qv__catalog_write(db, &catalog);
    QV_GOTO(qv__buf_status(&catalog, err));
    m.catalog = qv__buf_bytes(&catalog);
    m.next_file_id = atomic_load(&db->next_file_id);
    st = qv__manifest_write(db->io, db->mem_catalog, &m, err);
    if (st == QV_EREADONLY) {
        /* A restart may find this generation or the one before, and both are whole: nothing they
         * name was removed. The next one has to follow either. */
        db->manifest_generation = m.generation;
    }
    QV_GOTO(st);
    db->manifest_generation = m.generation;
    db->catalog_bytes = catalog.n;
    db->checkpoint_lsn = m.checkpoint_lsn;
    atomic_store(&db->checkpoint_lsn_seen, m.checkpoint_lsn);
    /* From here on failures cost space, not data. */
    struct qv_err ignored;
    if (qv__log_trim(db->log, needed_from(&m), &ignored) != QV_OK ||
        qv__manifest_clean(db->io, m.generation, &ignored) != QV_OK) {
        qv__log_line(db->logger, QV__LEVEL_WARN, "checkpoint", "old files stay for now: %s",
                     ignored.message);
    }
    note_held_log(db);
out:
    qv__buf_free(&catalog);
    qv__arena_free(&arena);
    return st;
}

qv_status qv__checkpoint_commit(struct qv__db *db, struct qv_err *err)
{
    qv__mutex_lock(&db->ddl);
    qv_status st = commit_locked(db, err);
    qv__mutex_unlock(&db->ddl);
    return st;
}

qv_status qv__db_checkpoint(struct qv__db *db, struct qv_err *err)
{
    if (db->read_only) {
        return qv__fail(err, QV_EREADONLY, "the database is open read-only");
    }
    struct qv__collection **all = NULL;
    uint32_t n = 0;
    QV_TRY(qv__catalog_all(db, &all, &n, err));
    qv_status st = QV_OK;
    for (uint32_t i = 0; st == QV_OK && i < n; i++) {
        for (uint32_t k = 0; st == QV_OK && k < all[i]->n_shards; k++) {
            struct qv__shard *s = &all[i]->shards[k];
            qv__mutex_lock(&s->maintenance);
            st = qv__maintain_flush(s, true, false, err);
            qv__mutex_unlock(&s->maintenance);
            if (atomic_load(&all[i]->quarantined)) {
                st = QV_OK; /* whatever it said: its part of the manifest stays as it is */
            }
        }
    }
    qv__catalog_all_free(all, n);
    return st == QV_OK ? qv__checkpoint_commit(db, err) : st;
}

struct checkpoint_task {
    struct qv__task task;
    struct qv__db *db;
};

static void checkpoint_task(struct qv__task *task)
{
    struct checkpoint_task *t = QV_CONTAINER_OF(task, struct checkpoint_task, task);
    struct qv__db *db = t->db;
    struct qv_err err;
    qv_status st = atomic_load(&db->closing) ? QV_OK : qv__db_checkpoint(db, &err);
    if (st != QV_OK) {
        qv__log_line(db->logger, QV__LEVEL_ERROR, "checkpoint", "failed: %s", err.message);
    }
    qv__free(t);
    atomic_store(&db->checkpoint_due, false);
    atomic_fetch_sub(&db->jobs, 1);
}

void qv__checkpoint_look(struct qv__db *db)
{
    struct qv__log_stats stats;
    qv__log_stats(db->log, &stats);
    /* What a quarantined collection holds back no checkpoint can trim. */
    uint64_t limit = db->options.checkpoint_log_bytes + atomic_load(&db->log_bytes_held);
    if (stats.file_bytes < limit || atomic_load(&db->closing) ||
        atomic_exchange(&db->checkpoint_due, true)) {
        return;
    }
    struct checkpoint_task *t = qv__alloc(db->mem, sizeof *t);
    if (!t) {
        atomic_store(&db->checkpoint_due, false);
        return;
    }
    t->task.fn = checkpoint_task;
    t->db = db;
    atomic_fetch_add(&db->jobs, 1);
    qv__pool_submit(db->pool, QV__LANE_BACKGROUND, &t->task);
}
