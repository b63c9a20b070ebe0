/* checkpoint.c: the manifest of what is live, and giving log space back.
 *
 * Each shard's list of sealed segments and its flushed LSN are read together under its write order,
 * where sealing changes them together. Segments of a quarantined shard are written as they were. A
 * shard with nothing unflushed may claim the LSN up to which all is durable and applied as flushed:
 * none of those records was for this shard since its last flush. Files are named by the manifest
 * before they are removed, and removed only when no manifest that could be live names them.
 *
 * The log is bounded: a checkpoint begins by itself when the log's files reach a size, flushes
 * every shard, however little a shard holds, so that none holds back the LSN from which the log is
 * needed, and is tried again a while after a failure. While checkpoints fail and the files have
 * reached a second, larger size, writes are refused. What a quarantined collection needs of the log
 * counts for neither size. */
#include <stdio.h>

#include "base/plant.h"
#include "engine/catalog.h"
#include "engine/job.h"
#include "engine/quarantine.h"

/* What waits for the next manifest: see qv__checkpoint_outgoing. */
struct qv__outgoing {
    struct qv__outgoing *next;
    struct qv__collection *collection; /* retained: whose segments these are … */
    bool is_dropped;                   /* … or which goes itself */
    size_t n;
    struct qv__segment *segments[]; /* retained */
};

/* At a close, with more collections than MANY, shards that hold little stay in a short log: a file
 * each, with its syncs, would take minutes, and the next start reads such a log in no time. */
#define MANY             256u
#define LITTLE_BYTES     (UINT64_C(64) << 10)
#define LITTLE_LOG_BYTES (UINT64_C(64) << 20)
/* On a short disk a checkpoint is worth it for this much new log. */
#define SHORTEN_BYTES    (UINT64_C(256) << 10)
/* After a failed checkpoint the next one waits this long. */
#define RETRY_NS         (UINT64_C(1000) * 1000 * 1000)

static qv_status gather_shard(struct qv__shard *s, uint64_t settled, struct qv__arena *arena,
                              struct qv__manifest_shard *out, struct qv_err *err)
{
    qv_status st = QV_OK;
    qv__mutex_lock(&s->write);
    uint64_t flushed = atomic_load(&s->flushed_lsn);
    if (s->last_lsn <= flushed && flushed < settled) {
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

/* Put `in` where `out` is in a list with room for one more. */
static void swap_in(const struct qv__swap *swap, struct qv__collection **all, uint32_t *n)
{
    uint32_t i = 0;
    while (i < *n && all[i] != swap->out) {
        i++;
    }
    if (i < *n) {
        qv__collection_release(all[i]);
    } else {
        (*n)++;
    }
    all[i] = qv__collection_retain(swap->in);
}

static qv_status gather(struct qv__db *db, const struct qv__swap *swap, struct qv__arena *arena,
                        struct qv__manifest *m, struct qv_err *err)
{
    struct qv__collection **all = NULL;
    uint32_t n = 0, shards = 0;
    QV_TRY(qv__catalog_all(db, &all, &n, err));
    if (swap) {
        swap_in(swap, all, &n);
    }
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

static bool needs_log(const struct qv__collection *c, uint64_t settled)
{
    bool needs = false;
    for (uint32_t i = 0; i < c->n_shards && atomic_load(&c->quarantined); i++) {
        needs |= atomic_load(&c->shards[i].flushed_lsn) < settled;
    }
    return needs;
}

/* How much log quarantined collections keep from being trimmed; 0 when none needs any. Told each
 * time that it has doubled. Under ddl. */
static void note_held_log(struct qv__db *db, uint64_t settled)
{
    struct qv__log_stats stats;
    char name[64] = "";
    qv__mutex_lock(&db->catalog);
    for (uint32_t i = 0; i < db->n_collections && !name[0]; i++) {
        if (needs_log(db->collections[i], settled)) {
            snprintf(name, sizeof name, "%.63s", db->collections[i]->name);
        }
    }
    qv__mutex_unlock(&db->catalog);
    qv__log_stats(db->log, &stats);
    uint64_t held = name[0] ? stats.file_bytes : 0;
    atomic_store(&db->log_bytes_held, held);
    db->log_held_told = held ? db->log_held_told : 0;
    if (held >= QV_MAX(2 * db->log_held_told, db->options.checkpoint_log_bytes)) {
        db->log_held_told = held;
        qv__log_line(db->logger, QV__LEVEL_WARN, "checkpoint",
                     "quarantined collection `%s` keeps %" PRIu64
                     " bytes of log, and more with every write to the others, until its files are "
                     "whole or it is dropped",
                     name, held);
    }
}

static qv_status commit_locked(struct qv__db *db, const struct qv__swap *swap, struct qv_err *err)
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
    qv_status st = gather(db, swap, &arena, &m, err);
    QV_GOTO(st);
    qv__catalog_write(db, swap, &catalog);
    QV_GOTO(qv__buf_status(&catalog, err));
    if (swap && catalog.n > QV__CATALOG_BYTES_MAX) {
        QV_GOTO(qv__fail(err, QV_ETOOBIG, "the catalog would be larger than %zu bytes",
                         QV__CATALOG_BYTES_MAX));
    }
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
    uint64_t upto = QV_PLANT(trim_too_early) ? m.checkpoint_lsn : needed_from(&m);
    if (qv__log_trim(db->log, upto, &ignored) != QV_OK ||
        qv__manifest_clean(db->io, m.generation, &ignored) != QV_OK) {
        qv__log_line(db->logger, QV__LEVEL_WARN, "checkpoint", "old files stay for now: %s",
                     ignored.message);
    }
    note_held_log(db, m.checkpoint_lsn);
out:
    qv__buf_free(&catalog);
    qv__arena_free(&arena);
    return st;
}

/* --- what goes --- */

/* Without segments the collection itself. */
static void doom(struct qv__collection *c, struct qv__segment *const *segments, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        qv__segment_doom(segments[i]);
    }
    if (!segments) {
        atomic_store(&c->dropped, true);
        qv__jobs_cancel(c->db, c->id); /* they hold its memory and files */
    }
}

/* Let go of what waits; `gone`: a manifest without it is live. Under ddl. */
static void outgoing_end(struct qv__db *db, bool gone)
{
    struct qv__outgoing *o = db->outgoing;
    db->outgoing = NULL;
    while (o) {
        struct qv__outgoing *next = o->next;
        if (gone) {
            doom(o->collection, o->is_dropped ? NULL : o->segments, o->n);
        }
        for (size_t i = 0; i < o->n; i++) {
            qv__segment_release(o->segments[i]);
        }
        qv__collection_release(o->collection);
        qv__free(o);
        o = next;
    }
}

void qv__checkpoint_outgoing(struct qv__collection *c, qv_status st,
                             struct qv__segment *const *segments, size_t n)
{
    struct qv__db *db = c->db;
    if (st == QV_OK) {
        doom(c, segments, n);
        return;
    }
    struct qv__outgoing *o = NULL;
    if (st != QV_EREADONLY) {
        o = qv__zalloc(db->mem_catalog, sizeof *o + n * sizeof(struct qv__segment *));
    }
    if (!o) { /* else at the next open */
        qv__log_line(db->logger, QV__LEVEL_WARN, "checkpoint", "old files stay until restart");
        return;
    }
    o->collection = qv__collection_retain(c);
    o->is_dropped = !segments;
    for (size_t i = 0; i < n; i++) {
        o->segments[o->n++] = qv__segment_retain(segments[i]);
    }
    qv__mutex_lock(&db->ddl);
    o->next = db->outgoing;
    db->outgoing = o;
    qv__mutex_unlock(&db->ddl);
}

void qv__checkpoint_forget(struct qv__db *db)
{
    outgoing_end(db, false);
}

/* --- the manifest, once more with the reserve --- */

/* Under ddl. */
static qv_status commit(struct qv__db *db, const struct qv__swap *swap, struct qv_err *err)
{
    qv_status st = commit_locked(db, swap, err);
    if (st == QV_ENOSPC && qv__space_give(db, UINT64_MAX)) {
        st = commit_locked(db, swap, err);
    }
    if (st == QV_OK) {
        outgoing_end(db, true);
        qv__leftovers_retry(&db->leftovers, db->blobs);
    }
    return st;
}

qv_status qv__checkpoint_commit(struct qv__db *db, struct qv_err *err)
{
    qv__mutex_lock(&db->ddl);
    qv_status st = commit(db, NULL, err);
    qv__mutex_unlock(&db->ddl);
    return st;
}

qv_status qv__checkpoint_swap(struct qv__db *db, const struct qv__swap *swap, struct qv_err *err)
{
    return commit(db, swap, err);
}

/* True if reading the shard's records again costs less than a file for them. */
static bool holds_little(struct qv__shard *s)
{
    qv__mutex_lock(&s->write);
    bool little = qv__segment_need(s->active) <= LITTLE_BYTES &&
                  (s->view->n < 2 || qv__segment_sealed(s->view->segments[s->view->n - 2]));
    qv__mutex_unlock(&s->write);
    return little;
}

/* A shard that cannot be flushed holds back the log from its flushed LSN on, but not the others:
 * the manifest is written all the same. */
static qv_status checkpoint(struct qv__db *db, bool leave_little, struct qv_err *err)
{
    if (db->read_only) {
        return qv__fail(err, QV_EREADONLY, "the database is open read-only");
    }
    struct qv__collection **all = NULL;
    uint32_t n = 0;
    QV_TRY(qv__catalog_all(db, &all, &n, err));
    struct qv_err why = {.code = QV_OK};
    struct qv__job job;
    struct qv__buf later; /* one manifest for all: with many collections it is the larger part */
    qv_status first = QV_OK;
    qv__buf_init(&later, db->mem_catalog);
    qv__job_open(&job, db, NULL, QV__JOB_CHECKPOINT, n, NULL, "flush all, commit, trim the log");
    for (uint32_t i = 0; i < n; i++) {
        job.work.progress(job.work.ctx, i, n);
        for (uint32_t k = 0; k < all[i]->n_shards; k++) {
            struct qv__shard *s = &all[i]->shards[k];
            if (leave_little && n > MANY && holds_little(s)) {
                continue;
            }
            qv__mutex_lock(&s->maintenance);
            qv_status st = qv__maintain_flush(s, true, &later, first == QV_OK ? &why : NULL);
            qv__mutex_unlock(&s->maintenance);
            if (atomic_load(&all[i]->quarantined)) {
                st = QV_OK; /* whatever it said: its part of the manifest stays as it is */
            } else if (st != QV_OK && first == QV_OK) {
                first = qv__wrap(&why, st, "collection `%s` shard %" PRIu32, all[i]->name, k);
            }
        }
    }
    qv__catalog_all_free(all, n);
    qv_status st = qv__checkpoint_commit(db, first == QV_OK ? &why : NULL);
    qv__maintain_clear(db, st, &later);
    if (!atomic_load(&db->closing)) {
        qv__mem_trim(); /* rows that were in memory are in files now */
    }
    first = first == QV_OK ? st : first;
    qv__job_close(&job, first);
    if (first != QV_OK && err) {
        *err = why;
    }
    return first;
}

qv_status qv__db_checkpoint(struct qv__db *db, struct qv_err *err)
{
    return checkpoint(db, false, err);
}

qv_status qv__checkpoint_close(struct qv__db *db, struct qv_err *err)
{
    struct qv__log_stats stats;
    qv__log_stats(db->log, &stats);
    return checkpoint(db, stats.file_bytes <= LITTLE_LOG_BYTES, err);
}

/* --- by itself --- */

/* One that is due; books its outcome. */
static void run_due(struct qv__db *db)
{
    struct qv__checkpointer *x = &db->checkpointer;
    struct qv__log_stats before;
    struct qv_err err = {.code = QV_OK};
    qv__log_stats(db->log, &before);
    qv_status st = qv__db_checkpoint(db, &err);
    if (st != QV_OK) {
        qv__count(&x->failures, 1);
        atomic_store(&x->retry_ns, qv__mono_ns(db->clock) + RETRY_NS);
        if (st != QV_ENOSPC || qv__space_ran_out(db)) {
            qv__log_line(db->logger, QV__LEVEL_ERROR, "checkpoint", "failed: %s", err.message);
        }
    }
    qv__mutex_lock(&x->lock);
    x->failure = err;
    x->failure.code = st;
    if (st == QV_OK) {
        x->start_bytes = before.bytes + db->replayed_bytes; /* as begin_after counts */
    }
    x->is_due = false;
    qv__mutex_unlock(&x->lock);
    qv__log_stats(db->log, &before);
    atomic_store(&x->log_bytes, before.file_bytes);
}

static void checkpointer_main(void *arg)
{
    struct qv__db *db = arg;
    struct qv__checkpointer *x = &db->checkpointer;
    qv__mutex_lock(&x->lock);
    while (!x->is_stopping) {
        if (!x->is_due) {
            qv__cond_wait(&x->changed, &x->lock);
            continue;
        }
        qv__mutex_unlock(&x->lock);
        run_due(db);
        qv__mutex_lock(&x->lock);
    }
    qv__mutex_unlock(&x->lock);
}

struct checkpoint_task {
    struct qv__task task;
    struct qv__db *db;
};

static void checkpoint_task(struct qv__task *task)
{
    struct checkpoint_task *t = QV_CONTAINER_OF(task, struct checkpoint_task, task);
    struct qv__db *db = t->db;
    if (!atomic_load(&db->closing)) {
        run_due(db);
    }
    qv__free(t);
    atomic_fetch_sub(&db->jobs, 1);
}

/* Without a thread of its own. */
static void submit(struct qv__db *db)
{
    struct checkpoint_task *t = qv__alloc(db->mem, sizeof *t);
    if (!t) {
        qv__mutex_lock(&db->checkpointer.lock);
        db->checkpointer.is_due = false; /* the next write looks again */
        qv__mutex_unlock(&db->checkpointer.lock);
        return;
    }
    t->task = (struct qv__task){.fn = checkpoint_task};
    t->db = db;
    atomic_fetch_add(&db->jobs, 1);
    qv__pool_submit(db->pool, QV__LANE_BACKGROUND, &t->task);
}

/* Begin one if the log got so many bytes since the last good one began. */
static void begin_after(struct qv__db *db, const struct qv__log_stats *stats, uint64_t bytes)
{
    struct qv__checkpointer *x = &db->checkpointer;
    uint64_t retry_ns = atomic_load(&x->retry_ns);
    if (db->read_only || atomic_load(&db->closing) ||
        (retry_ns && qv__mono_ns(db->clock) < retry_ns)) {
        return;
    }
    qv__mutex_lock(&x->lock);
    uint64_t since = stats->bytes + db->replayed_bytes - x->start_bytes;
    bool begin = !x->is_due && !x->is_stopping && (x->failure.code != QV_OK || since >= bytes);
    x->is_due |= begin;
    qv__mutex_unlock(&x->lock);
    if (begin && x->has_thread) {
        qv__cond_signal(&x->changed);
    } else if (begin) {
        submit(db);
    }
}

void qv__checkpoint_look(struct qv__db *db)
{
    struct qv__log_stats stats;
    uint64_t limit = db->options.checkpoint_log_bytes + atomic_load(&db->log_bytes_held);
    qv__log_stats(db->log, &stats);
    atomic_store(&db->checkpointer.log_bytes, stats.file_bytes);
    if (stats.file_bytes >= limit) {
        /* Files are kept whole: right after a checkpoint a short limit may be passed still. */
        begin_after(db, &stats, db->options.checkpoint_log_bytes / 2);
    }
}

void qv__checkpoint_shorten(struct qv__db *db)
{
    struct qv__log_stats stats;
    qv__log_stats(db->log, &stats);
    begin_after(db, &stats, qv__leftovers_any(&db->leftovers) ? 0 : SHORTEN_BYTES);
}

qv_status qv__checkpoint_admit(struct qv__db *db, struct qv_err *err)
{
    struct qv__checkpointer *x = &db->checkpointer;
    uint64_t limit = db->options.log_bytes_max + atomic_load(&db->log_bytes_held);
    if (QV_LIKELY(atomic_load_explicit(&x->log_bytes, memory_order_relaxed) < limit)) {
        return QV_OK;
    }
    qv__checkpoint_look(db);
    uint64_t now = atomic_load(&x->log_bytes);
    if (now < limit) {
        return QV_OK;
    }
    qv__mutex_lock(&x->lock);
    bool failed = x->failure.code != QV_OK;
    qv_status st =
        qv__fail(err, QV_EBUSY,
                 "the write-ahead log has %" PRIu64 " bytes of at most %" PRIu64
                 ", no write is taken before it is shorter: %s%s",
                 now, limit, failed ? "the last checkpoint failed: " : "a checkpoint is under way",
                 failed ? x->failure.message : "");
    qv__mutex_unlock(&x->lock);
    return st;
}

void qv__checkpointer_init(struct qv__db *db)
{
    qv__mutex_init(&db->checkpointer.lock, QV__RANK_LEAF);
    qv__cond_init(&db->checkpointer.changed);
}

qv_status qv__checkpointer_start(struct qv__db *db, struct qv_err *err)
{
    struct qv__checkpointer *x = &db->checkpointer;
    qv_status st = qv__thread_start(&x->thread, "qv-checkpoint", checkpointer_main, db, err);
    x->has_thread = st == QV_OK;
    return st;
}

void qv__checkpointer_stop(struct qv__db *db)
{
    struct qv__checkpointer *x = &db->checkpointer;
    qv__mutex_lock(&x->lock);
    x->is_stopping = true;
    qv__cond_broadcast(&x->changed);
    qv__mutex_unlock(&x->lock);
    if (x->has_thread) {
        qv__thread_join(&x->thread);
        x->has_thread = false;
    }
}
