/* log_trim.c: giving back files whose records nobody needs.
 *
 * A file goes when the next one is begun (so all of it is durable and no handle is open) and begins
 * at or below the first record still needed. Oldest first, each removal made durable before the
 * next: after a crash the files that are left have no hole. One file is kept as the next file
 * (renamed, not zeroed: its old records cannot be read as records of the file it becomes) when none
 * is ready and its size is the one wanted; the rest are unlinked.
 *
 * The work is done without the lock by the holder of is_trimming; appends and flushes go on. */
#include "store/log_local.h"

/* Needs the lock: the oldest file if it can go, else NULL. */
static struct qv__log_file *removable(const struct qv__log_local *log, uint64_t upto_lsn)
{
    struct qv__log_file *f = log->oldest;
    bool is_old = f->next && f->next->is_begun && f->next->head.first_lsn - 1 <= upto_lsn;
    return is_old ? f : NULL;
}

/* The name goes from live to next, durably, before anybody may write into the file. */
static qv_status recycle(struct qv__log_local *log, struct qv__log_file *f, uint64_t serial,
                         bool *renamed, struct qv_err *err)
{
    char from[QV__LOG_PATH_BYTES], to[QV__LOG_PATH_BYTES];
    qv__log_path(log->dir, f->head.first_lsn, from);
    qv__log_next_path(log->dir, serial, to);
    QV_TRY(qv__io_open(log->io, from, QV__OPEN_WRITE, &f->handle, err));
    qv_status st = qv__io_rename(log->io, from, to, err);
    if (st == QV_OK) {
        *renamed = true;
        f->serial = serial;
        st = qv__io_sync_dir(log->io, log->dir, err);
    }
    return st;
}

static qv_status unlink_file(struct qv__log_local *log, const struct qv__log_file *f, bool *gone,
                             struct qv_err *err)
{
    char path[QV__LOG_PATH_BYTES];
    qv__log_path(log->dir, f->head.first_lsn, path);
    QV_TRY(qv__io_unlink(log->io, path, err));
    *gone = true;
    return qv__io_sync_dir(log->io, log->dir, err);
}

/* Needs the lock; keeps `f` if it is still wanted. */
static bool keep_as_next(struct qv__log_local *log, struct qv__log_file *f)
{
    if (log->spare || log->is_poisoned) {
        return false;
    }
    log->spare = f;
    return true;
}

/* Enters with the lock held, leaves with it held. The file leaves the list once its name did. */
static qv_status remove_oldest(struct qv__log_local *log, struct qv__log_file *f,
                               struct qv_err *err)
{
    bool gone = false, kept = false;
    bool reuse = !log->spare && !log->is_preparing && !log->is_poisoned &&
                 f->head.file_bytes >= qv__log_wanted_bytes(log) && qv__log_room(log) > 0 &&
                 f->head.file_bytes <= log->file_bytes_max;
    uint64_t serial = reuse ? log->next_serial++ : 0;
    qv__mutex_unlock(&log->lock);

    qv_status st = reuse ? recycle(log, f, serial, &gone, err) : unlink_file(log, f, &gone, err);

    qv__mutex_lock(&log->lock);
    if (gone) {
        log->oldest = f->next;
        f->next = NULL;
        kept = reuse && st == QV_OK && keep_as_next(log, f);
    }
    if (!gone && f->handle) {
        qv__io_file_close(f->handle, NULL); /* nothing was written through it */
        f->handle = NULL;
    }
    qv__mutex_unlock(&log->lock);
    if (gone && !kept) {
        if (reuse) {
            qv__log_discard_file(log, f);
        } else {
            qv__free(f);
        }
    }
    qv__mutex_lock(&log->lock);
    return st;
}

qv_status qv__log_local_trim(struct qv__log *l, uint64_t upto_lsn, struct qv_err *err)
{
    struct qv__log_local *log = qv__log_local_of(l);
    struct qv__log_file *f;
    qv_status st = QV_OK;
    qv__mutex_lock(&log->lock);
    while (log->is_trimming) {
        qv__cond_wait(&log->changed, &log->lock);
    }
    log->is_trimming = true;
    while (st == QV_OK && (f = removable(log, upto_lsn))) {
        st = remove_oldest(log, f, err);
    }
    log->is_trimming = false;
    qv__cond_broadcast(&log->changed);
    qv__mutex_unlock(&log->lock);
    return st;
}
