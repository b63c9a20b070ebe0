/* log_flush.c: one group commit.
 *
 * Order is everything. Within a group that spans files, the records of one file are written and
 * synced before the next file is begun; a group is written only after the one before it was synced.
 * Therefore whatever is found on the disk has all of the earlier files and groups before it, and
 * what an unfinished group leaves is a set of records that all say so: their synced_lsn is below
 * them. That is what recovery builds on.
 *
 * After a group is durable and nothing else waits, a mark is written at the tail, unsynced: it
 * costs no time on the disk, the next group overwrites it, and as long as it stands it says that
 * the last group was durable too, so that damage in it is not taken for a torn write. The mark of a
 * file that another one followed says that too, so that the other one is missed when it is gone.
 *
 * Any failure before the group's last sync poisons the log: what reached the disk is unknown, and a
 * sync is never tried again on data whose first sync failed. */
#include "base/plant.h"
#include "store/log_local.h"

/* A group's buffer above this is given back in halves while less than a quarter of it is used. */
#define GROUP_KEEP_BYTES  ((size_t)1 << 20)
/* Zeros prepared per flush: at least this, and more than the flush itself wrote. */
#define PREPARE_BYTES_MIN ((uint64_t)1 << 20)
#define PREPARE_FACTOR    4u

/* Finish the heads of an extent's records: what is durable before them is known now. */
static void seal_records(const struct qv__log_extent *x, uint8_t *p, size_t n, uint64_t synced_lsn)
{
    uint64_t off = x->off;
    while (n > 0) {
        struct qv__logrec_head h;
        bool ok = qv__logrec_head_read(p, x->file->seed, off, &h);
        QV_ASSERT(ok); /* our own bytes, written by append */
        h.synced_lsn = synced_lsn;
        qv__logrec_head_write(&h, x->file->seed, off, p);
        size_t bytes = (size_t)qv__logrec_bytes(h.body_bytes);
        off += bytes;
        p += bytes;
        n -= bytes;
    }
}

static qv_status write_extent(struct qv__log_local *log, const struct qv__log_extent *x, uint8_t *p,
                              size_t n, struct qv_err *err)
{
    if (!x->file->is_begun) { /* only this thread changes it */
        QV_TRY(qv__log_begin_file(log, x->file, err));
    }
    seal_records(x, p, n, x->first_lsn - 1); /* all before this extent is synced by now */
    QV_TRY(qv__io_pwrite(x->file->handle, p, n, x->off, err));
    qv_status st = qv__io_sync(x->file->handle, true, err);
    return st != QV_OK && QV_PLANT(retry_sync) ? qv__io_sync(x->file->handle, true, err) : st;
}

static qv_status write_group(struct qv__log_local *log, const struct qv__log_group *g,
                             struct qv_err *err)
{
    for (size_t i = 0; i < g->n_extents; i++) {
        const struct qv__log_extent *x = &g->extents[i];
        size_t end = i + 1 < g->n_extents ? x[1].at : g->n;
        QV_TRY(write_extent(log, x, g->p + x->at, end - x->at, err));
    }
    return QV_OK;
}

void qv__log_write_mark(struct qv__log_local *log, const struct qv__log_file *f, uint64_t off,
                        uint64_t epoch, uint64_t durable_lsn, bool closes)
{
    uint8_t bytes[QV__LOGREC_HEAD_BYTES];
    if (f->head.file_bytes - off < sizeof bytes) {
        return; /* the head of the next file will say the same */
    }
    struct qv__logrec_head h = {
        .type = QV__LOGREC_MARK,
        .epoch = epoch,
        .lsn = durable_lsn + 1,
        .synced_lsn = durable_lsn,
        .body_crc = closes ? QV__LOGREC_CLOSES : 0,
    };
    struct qv_err err;
    qv__logrec_head_write(&h, f->seed, off, bytes);
    /* Not needed for durability, and the next group writes the same place again: if the disk is
     * really failing, that write or its sync tells. */
    if (qv__io_pwrite(f->handle, bytes, sizeof bytes, off, &err) != QV_OK) {
        qv__log_line(qv__log_logger(log), QV__LEVEL_WARN, "log", "no mark at the tail: %s",
                     err.message);
    }
}

/* Forget what was written; keep the memory, but not for ever. */
static void empty_group(struct qv__log_local *log, struct qv__log_group *g)
{
    if (g->cap > GROUP_KEEP_BYTES && g->n < g->cap / 4) {
        size_t cap = QV_MAX(g->cap / 2, GROUP_KEEP_BYTES);
        uint8_t *p = (uint8_t *)qv__realloc(log->mem, g->p, cap);
        if (p) {
            g->p = p;
            g->cap = cap;
        }
    }
    g->n = 0;
    g->n_extents = 0;
}

/* Write the active group. Enters with the lock held and is_flushing taken, leaves with neither. */
static qv_status flush_active(struct qv__log_local *log, uint64_t *durable_lsn, struct qv_err *err)
{
    struct qv_err why = {.code = QV_OK};
    struct qv__log_group *g = &log->groups[log->active];
    const struct qv__log_file *file = log->current;
    uint64_t last_lsn = log->lsn, end_off = file->used_bytes, epoch = log->epoch;
    size_t bytes = g->n;
    log->flushing_bytes = bytes;
    log->active ^= 1u;
    qv__mutex_unlock(&log->lock);

    qv_status st = write_group(log, g, &why);

    qv__mutex_lock(&log->lock);
    bool is_idle = log->groups[log->active].n == 0;
    if (st == QV_OK) {
        log->durable_lsn = last_lsn;
        log->stats.flushes++;
        log->stats.syncs += g->n_extents;
    } else {
        qv__log_poison(log, &why);
    }
    qv__mutex_unlock(&log->lock);

    if (st == QV_OK && is_idle) {
        qv__log_write_mark(log, file, end_off, epoch, last_lsn, false);
    }
    empty_group(log, g); /* nobody else looks at it while is_flushing is taken */

    qv__mutex_lock(&log->lock);
    log->flushing_bytes = 0;
    log->is_flushing = false;
    *durable_lsn = log->durable_lsn;
    qv__cond_broadcast(&log->changed);
    qv__mutex_unlock(&log->lock);
    if (st != QV_OK) {
        if (err) {
            *err = why;
        }
        return st;
    }
    qv__log_prepare(log, QV_MAX(PREPARE_BYTES_MIN, PREPARE_FACTOR * (uint64_t)bytes));
    return QV_OK;
}

qv_status qv__log_local_flush(struct qv__log *l, uint64_t *durable_lsn, struct qv_err *err)
{
    struct qv__log_local *log = qv__log_local_of(l);
    qv__mutex_lock(&log->lock);
    uint64_t target = log->lsn;
    while (log->is_flushing && !log->is_poisoned && log->durable_lsn < target) {
        qv__cond_wait(&log->changed, &log->lock);
    }
    qv_status st = qv__log_check_poison(log, err);
    if (st != QV_OK || log->durable_lsn >= target) {
        *durable_lsn = log->durable_lsn;
        qv__mutex_unlock(&log->lock);
        return st;
    }
    log->is_flushing = true;
    return flush_active(log, durable_lsn, err);
}
