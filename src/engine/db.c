/* db.c: opening, closing and stepping a database. */
#include "engine/collection.h"
#include "engine/job.h"

#include <stdio.h>

static void options_fill(struct qv__db *db, const struct qv__db_options *o)
{
    db->options = *o;
    db->clock = o->clock ? o->clock : qv__clock_system();
    db->logger = o->logger;
    db->read_only = o->read_only;
    db->options.log_file_bytes = o->log_file_bytes ? o->log_file_bytes : (uint64_t)64 << 20;
    db->options.checkpoint_log_bytes =
        o->checkpoint_log_bytes ? o->checkpoint_log_bytes : (uint64_t)256 << 20;
    if (o->log_bytes_max == 0) {
        db->options.log_bytes_max = QV_MIN(db->options.checkpoint_log_bytes, UINT64_MAX / 4) * 4;
    }
    if (o->threads == 0) {
        db->options.threads = (int)QV_MAX(qv__cpu_count(), 2u);
    }
    if (o->merges_max == 0) {
        db->options.merges_max = (unsigned)QV_MAX(db->options.threads / 4, 1);
    }
}

static void db_free(struct qv__db *db)
{
    qv__checkpointer_stop(db);
    qv__alarm_stop(&db->alarm);
    if (db->io) {
        qv__space_close(db);
    }
    qv__commit_close(db->commit);
    qv__pool_close(db->pool);
    qv__checkpoint_forget(db);
    qv__catalog_clear(db);
    qv__leftovers_free(&db->leftovers);
    struct qv_err ignored;
    (void)!qv__log_close(db->log, &ignored);
    if (db->blobs) {
        db->blobs->ops->close(db->blobs);
    }
    qv__datadir_close(&db->datadir);
    if (db->owns_io) {
        qv__io_close(db->io);
    }
    qv__cond_destroy(&db->space.changed);
    qv__mutex_destroy(&db->space.lock);
    qv__cond_destroy(&db->checkpointer.changed);
    qv__mutex_destroy(&db->checkpointer.lock);
    qv__jobs_free(&db->registry);
    qv__cond_destroy(&db->alarm.changed);
    qv__mutex_destroy(&db->alarm.lock);
    qv__mutex_destroy(&db->ddl);
    qv__mutex_destroy(&db->catalog);
    qv__mutex_destroy(&db->snapshots);
    qv__mem_close(db->mem_log);
    qv__mem_close(db->mem_catalog);
    struct qv__mem *mem = db->mem;
    qv__free(db);
    qv__mem_close(mem);
}

static qv_status open_parts(struct qv__db *db, struct qv_err *err)
{
    const struct qv__db_options *o = &db->options;
    db->mem_log = qv__mem_child(db->mem, "log", 0);
    db->mem_catalog = qv__mem_child(db->mem, "catalog", 0);
    if (!db->mem_log || !db->mem_catalog) {
        return qv__fail(err, QV_ENOMEM, "no memory to open a database");
    }
    db->io = o->io;
    if (!db->io) {
        if (!o->path || !*o->path) {
            return qv__fail(err, QV_EINVAL, "path: a data directory is needed");
        }
        QV_TRY(qv__io_posix_open(db->mem, o->path, !o->read_only, &db->io, err));
        db->owns_io = true;
    }
    uint64_t seed = o->seed;
    if (seed == 0) {
        QV_TRY(qv__os_entropy(&seed, sizeof seed, err));
    }
    qv__rng_seed(&db->rng, seed);
    QV_TRY(qv__datadir_open(db->io, &db->datadir, err));
    QV_TRY(qv__blobs_local_open(db->io, QV__DIR_BLOBS, QV__DIR_TMP, db->mem, &db->blobs, err));
    QV_TRY(qv__pool_create(db->mem, o->threads < 0 ? 0 : (unsigned)o->threads, &db->pool, err));
    QV_TRY(qv__recover(db, err));
    QV_TRY(qv__commit_create(db->mem, db->log, db->pool, db->clock, qv__log_tail(db->log),
                             o->threads >= 0, &db->commit, err));
    return o->threads < 0 || o->read_only ? QV_OK : qv__checkpointer_start(db, err);
}

/* Queue what recovery left to do. */
static void look_at_all(struct qv__db *db)
{
    struct qv__collection **all = NULL;
    uint32_t n = 0;
    if (qv__catalog_all(db, &all, &n, NULL) == QV_OK) {
        for (uint32_t i = 0; i < n; i++) {
            for (uint32_t k = 0; k < all[i]->n_shards; k++) {
                qv__mutex_lock(&all[i]->shards[k].write);
                qv__maintain_look(&all[i]->shards[k]);
                qv__mutex_unlock(&all[i]->shards[k].write);
                qv__purge_open(&all[i]->shards[k]);
            }
        }
        qv__catalog_all_free(all, n);
    }
}

qv_status qv__db_open(const struct qv__db_options *o, struct qv__db **out, struct qv_err *err)
{
    struct qv__mem *mem = o->mem ? qv__mem_child(o->mem, "quiver", o->memory_bytes)
                                 : qv__mem_root("quiver", o->memory_bytes);
    struct qv__db *db = mem ? qv__zalloc(mem, sizeof *db) : NULL;
    if (!db) {
        qv__mem_close(mem);
        return qv__fail(err, QV_ENOMEM, "no memory to open a database");
    }
    db->mem = mem;
    options_fill(db, o);
    const char *refused = NULL;
    db->simd = qv__simd_best(&refused);
    if (refused) {
        qv__log_line(db->logger, QV__LEVEL_WARN, "simd",
                     "QUIVER_SIMD=%s is not available here, using %s", refused, db->simd->name);
    }
    atomic_init(&db->next_file_id, 1);
    db->next_collection_id = 1;
    qv__checkpointer_init(db);
    qv__alarm_init(&db->alarm);
    qv__space_init(&db->space);
    qv__leftovers_init(&db->leftovers, db->mem);
    qv__mutex_init(&db->snapshots, QV__RANK_SNAPSHOTS);
    qv__jobs_init(&db->registry);
    qv__mutex_init(&db->ddl, QV__RANK_DB);
    qv__mutex_init(&db->catalog, QV__RANK_CATALOG);
    uint64_t start = qv__mono_ns(db->clock);
    qv_status st = open_parts(db, err);
    if (st != QV_OK) {
        db_free(db);
        return st;
    }
    db->open_seconds = (double)(qv__mono_ns(db->clock) - start) / 1e9;
    qv__log_line(db->logger, QV__LEVEL_INFO, "db",
                 "open in %.3f s, %" PRIu64 " log records replayed, kernels: %s", db->open_seconds,
                 db->replayed_records, db->simd->name);
    if (!db->read_only) {
        qv__space_open(db);
    }
    look_at_all(db);
    qv__checkpoint_look(db);
    *out = db;
    return QV_OK;
}

/* Background tasks see `closing` and end soon; wait for them. */
static void wait_for_jobs(struct qv__db *db)
{
    struct qv__mutex lock;
    struct qv__condvar cond;
    qv__mutex_init(&lock, QV__RANK_LEAF);
    qv__cond_init(&cond);
    while (atomic_load(&db->jobs) > 0) {
        if (qv__pool_threads(db->pool) == 0) {
            if (!qv__db_step(db)) {
                break;
            }
            continue;
        }
        qv__mutex_lock(&lock);
        qv__cond_timedwait(&cond, &lock, 1000u * 1000u);
        qv__mutex_unlock(&lock);
    }
    qv__cond_destroy(&cond);
    qv__mutex_destroy(&lock);
}

qv_status qv__db_close(struct qv__db *db, struct qv_err *err)
{
    if (!db) {
        return QV_OK;
    }
    atomic_store(&db->closing, true);
    qv__jobs_cancel(db, 0);
    qv__alarm_stop(&db->alarm); /* first: what is due stays due, and a checkpoint may take long */
    qv__checkpointer_stop(db);
    qv__space_close(db); /* the last checkpoint has the room of the reserve */
    wait_for_jobs(db);
    qv_status st = QV_OK;
    if (!db->read_only) {
        if (qv__commit_poisoned(db->commit)) {
            st = qv__fail(err, QV_EREADONLY,
                          "the write-ahead log failed; the next open recovers from it");
        } else {
            st = qv__checkpoint_close(db, err);
        }
    }
    db_free(db);
    return st;
}

bool qv__db_step(struct qv__db *db)
{
    return qv__pool_step(db->pool) || qv__commit_step(db->commit) ||
           (qv__pool_threads(db->pool) == 0 && qv__purge_look(db));
}

qv_status qv__db_sync(struct qv__db *db, struct qv_err *err)
{
    return qv__commit_sync(db->commit, qv__commit_tail(db->commit), err);
}

struct qv__pool *qv__db_pool(struct qv__db *db)
{
    return db->pool;
}

struct qv__mem *qv__db_mem(struct qv__db *db)
{
    return db->mem;
}

const struct qv__clock *qv__db_clock(struct qv__db *db)
{
    return db->clock;
}

const struct qv__logger *qv__db_logger(struct qv__db *db)
{
    return db->logger;
}

struct qv__io *qv__db_io(struct qv__db *db)
{
    return db->io;
}

struct background {
    struct qv__task task;
    struct qv__db *db;
    void (*fn)(struct qv__db *db, void *arg);
    void *arg;
};

static void run_background(struct qv__task *task)
{
    struct background *b = QV_CONTAINER_OF(task, struct background, task);
    struct qv__db *db = b->db;
    b->fn(db, b->arg);
    qv__free(b);
    atomic_fetch_sub(&db->jobs, 1);
}

qv_status qv__db_run(struct qv__db *db, void (*fn)(struct qv__db *db, void *arg), void *arg,
                     struct qv_err *err)
{
    struct background *b = qv__alloc(db->mem, sizeof *b);
    if (!b) {
        return qv__fail(err, QV_ENOMEM, "no memory for background work");
    }
    *b = (struct background){.task = {.fn = run_background}, .db = db, .fn = fn, .arg = arg};
    atomic_fetch_add(&db->jobs, 1);
    if (atomic_load(&db->closing)) {
        atomic_fetch_sub(&db->jobs, 1);
        qv__free(b);
        return qv__fail(err, QV_ECLOSED, "the database is closing");
    }
    qv__pool_submit(db->pool, QV__LANE_JOB, &b->task);
    return QV_OK;
}

void qv__db_process(struct qv__process *out)
{
    qv__process_read(out);
}

void qv__db_info(struct qv__db *db, struct qv__db_info *out)
{
    struct qv__log_stats log;
    memset(out, 0, sizeof *out);
    qv__log_stats(db->log, &log);
    qv__mutex_lock(&db->catalog);
    out->n_collections = db->n_collections;
    for (uint32_t i = 0; i < db->n_collections; i++) {
        out->n_quarantined += atomic_load(&db->collections[i]->quarantined);
    }
    qv__mutex_unlock(&db->catalog);
    out->published_lsn = qv__commit_published(db->commit);
    out->durable_lsn = qv__log_durable(db->log);
    out->acknowledged = qv__commit_acknowledged(db->commit);
    out->log_flushes = log.flushes;
    out->log_syncs = log.syncs;
    out->log_bytes = log.bytes;
    out->log_files = log.files;
    out->log_file_bytes = log.file_bytes;
    out->memory_used = qv__mem_used(db->mem);
    out->memory_peak = qv__mem_peak(db->mem);
    out->memory_limit = qv__mem_limit(db->mem);
    out->searches = qv__counted(&db->searches);
    out->paced = qv__counted(&db->paced);
    out->checkpoint_lsn = atomic_load(&db->checkpoint_lsn_seen);
    out->checkpoint_failures = qv__counted(&db->checkpointer.failures);
    out->log_bytes_max = db->options.log_bytes_max;
    out->log_held_bytes = atomic_load(&db->log_bytes_held);
    out->disk_free_bytes = atomic_load(&db->space.free_bytes);
    out->disk_reserve_bytes = atomic_load(&db->space.reserve);
    out->disk_owed_bytes = atomic_load(&db->space.growing);
    out->disk_refused = qv__counted(&db->space.refused);
    out->disk_short = atomic_load(&db->space.is_short);
    out->replayed_records = db->replayed_records;
    out->replayed_bytes = db->replayed_bytes;
    out->open_seconds = db->open_seconds;
    out->log_failed = qv__commit_poisoned(db->commit);
    out->read_only = db->read_only || out->log_failed;
}

qv_status qv__db_ready(struct qv__db *db, struct qv_err *err)
{
    QV_TRY(qv__commit_check(db->commit, err));
    if (!db->read_only) {
        QV_TRY(qv__space_ready(db, err));
    }
    return qv__checkpoint_admit(db, err);
}
