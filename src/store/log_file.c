/* log_file.c: the life of a log file before its first record.
 *
 * made      `log-next-<serial>.qvl`, empty
 * prepared  zero-filled and synced, in steps, so that no flush pays for all of it
 * taken     by an append that had no room in the current file; from here on its space is spoken for
 * begun     by the flush that is about to write its first record: head, sync, rename to
 *           `log-<first lsn>.qvl`, sync of the directory
 *
 * The rename may replace a file that has no records yet: when the first record is larger than it,
 * both begin at the same LSN.
 *
 * So a file with its final name has a sound head and its full length, durably, and every record
 * before its first LSN is durable too: recovery need not tell a torn creation from damage. A file
 * under its first name is never needed and is removed at open, whatever it holds.
 *
 * The next size is twice the current one, up to the largest, and at most a quarter of the room that
 * the log may take. When the disk has no room for it, a smaller file is tried, down to what the
 * record needs: a nearly full disk still takes deletes. */
#include "base/plant.h"
#include "store/log_local.h"

#define PAGE_BYTES      ((uint64_t)4096)
/* On a full disk a file is at least this, or what its first record needs. */
#define FILE_BYTES_FULL ((uint64_t)64 << 10)

uint64_t qv__log_room(const struct qv__log_local *log)
{
    return log->room ? log->room(log->room_ctx) : UINT64_MAX;
}

uint64_t qv__log_wanted_bytes(const struct qv__log_local *log)
{
    if (!log->current) {
        return log->first_file_bytes;
    }
    uint64_t now = QV_MIN(log->current->head.file_bytes, log->file_bytes_max);
    uint64_t twice = QV_MAX(now * 2, log->first_file_bytes);
    return QV_MIN(twice, log->file_bytes_max);
}

static qv_status make_file(struct qv__log_local *log, uint64_t serial, struct qv__log_file **out,
                           struct qv_err *err)
{
    char path[QV__LOG_PATH_BYTES];
    struct qv__log_file *f = (struct qv__log_file *)qv__zalloc(log->mem, sizeof *f);
    if (!f) {
        return qv__fail(err, QV_ENOMEM, "log: no memory for a new file");
    }
    f->serial = serial;
    qv__log_next_path(log->dir, serial, path);
    qv_status st = qv__io_open(log->io, path, QV__OPEN_CREATE | QV__OPEN_EXCL, &f->handle, err);
    if (st != QV_OK) {
        qv__free(f);
        return st;
    }
    *out = f;
    return QV_OK;
}

void qv__log_discard_file(struct qv__log_local *log, struct qv__log_file *f)
{
    char path[QV__LOG_PATH_BYTES];
    if (!f) {
        return;
    }
    /* Nothing of it is needed, so nothing can be lost; what stays is removed at the next open. */
    qv__io_file_close(f->handle, NULL);
    qv__log_next_path(log->dir, f->serial, path);
    qv_status ignored = qv__io_unlink(log->io, path, NULL);
    (void)ignored;
    qv__free(f);
}

/* Zero-fill up to `bytes`; no-op when it is as long. Unchanged on an error. */
static qv_status extend(struct qv__log_file *f, uint64_t bytes, struct qv_err *err)
{
    if (f->head.file_bytes >= bytes) {
        return QV_OK;
    }
    QV_TRY(qv__io_allocate(f->handle, bytes, err));
    f->head.file_bytes = bytes;
    return QV_OK;
}

/* Extend to `wanted`, or to less while the disk refuses, but to `least`. */
static qv_status extend_as_may_be(struct qv__log_file *f, uint64_t wanted, uint64_t least,
                                  struct qv_err *err)
{
    qv_status st = extend(f, wanted, err);
    while (st == QV_ENOSPC && wanted > least) {
        wanted = QV_MAX(wanted / 2 & ~(PAGE_BYTES - 1), least);
        st = extend(f, wanted, err);
    }
    return st;
}

qv_status qv__log_take_file(struct qv__log_local *log, uint64_t bytes, struct qv__log_file **out,
                            struct qv_err *err)
{
    uint64_t fits = (QV__LOGFILE_HEAD_BYTES + bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    uint64_t least = QV_MAX(fits, QV_MIN(log->first_file_bytes, FILE_BYTES_FULL));
    uint64_t ahead = qv__log_room(log) / 4 & ~(PAGE_BYTES - 1);
    uint64_t wanted = QV_MAX(least, QV_MIN(qv__log_wanted_bytes(log), ahead));
    struct qv__log_file *f = log->spare;
    if (!f) {
        QV_TRY(make_file(log, log->next_serial, &f, err));
        log->next_serial++;
    } else if (f->head.file_bytes >= least) {
        wanted = least; /* as far as it was prepared: better than to wait for the rest */
    }
    qv_status st = extend_as_may_be(f, wanted, least, err);
    if (st != QV_OK) {
        if (!log->spare && !QV_PLANT(leak_on_full_disk)) {
            qv__log_discard_file(log, f);
        }
        return st;
    }
    log->spare = NULL;
    *out = f;
    return QV_OK;
}

qv_status qv__log_begin_file(struct qv__log_local *log, struct qv__log_file *f, struct qv_err *err)
{
    char from[QV__LOG_PATH_BYTES], to[QV__LOG_PATH_BYTES];
    uint8_t head[QV__LOGFILE_HEAD_BYTES];
    qv__log_next_path(log->dir, f->serial, from);
    qv__log_path(log->dir, f->head.first_lsn, to);
    qv__logfile_head_write(&f->head, head);
    QV_TRY(qv__io_pwrite(f->handle, head, sizeof head, 0, err));
    QV_TRY(qv__io_sync(f->handle, false, err)); /* the head, the zeros and the length */
    QV_TRY(qv__io_rename(log->io, from, to, err));
    QV_TRY(qv__io_sync_dir(log->io, log->dir, err));

    qv__mutex_lock(&log->lock);
    struct qv__log_file *before = log->begun;
    uint64_t end_off = before ? before->used_bytes : 0;
    qv__mutex_unlock(&log->lock);
    if (before && !before->is_replaced && before->handle) { /* the name of this one is durable */
        qv__log_write_mark(log, before, end_off, f->head.epoch, f->head.first_lsn - 1, true);
    }

    qv__mutex_lock(&log->lock);
    log->begun = f;
    f->is_begun = true;
    log->stats.syncs++;
    struct qv__file *done = before ? before->handle : NULL;
    if (before) {
        before->handle = NULL; /* all of it is synced; trim may remove it from now on */
    }
    if (before && before->is_replaced) {
        qv__free(before);
    }
    qv__mutex_unlock(&log->lock);
    return qv__io_file_close(done, err);
}

/* Without the lock, by the holder of is_preparing: one step on *f, which is made when NULL. */
static qv_status prepare_step(struct qv__log_local *log, uint64_t serial, uint64_t wanted,
                              uint64_t step_bytes, struct qv__log_file **f, struct qv_err *err)
{
    if (!*f) {
        QV_TRY(make_file(log, serial, f, err));
    }
    uint64_t have = (*f)->head.file_bytes;
    QV_TRY(extend(*f, wanted - have > step_bytes ? have + step_bytes : wanted, err));
    qv_status st = qv__io_sync((*f)->handle, false, err);
    if (st != QV_OK) {
        /* What of it reached the disk is unknown, and a sync is not tried twice: another file. */
        qv__log_discard_file(log, *f);
        *f = NULL;
    }
    return st;
}

void qv__log_prepare(struct qv__log_local *log, uint64_t step_bytes)
{
    qv__mutex_lock(&log->lock);
    uint64_t wanted = qv__log_wanted_bytes(log);
    struct qv__log_file *f = log->spare;
    bool due = !log->is_preparing && !log->is_poisoned &&
               log->current->used_bytes > log->current->head.file_bytes / 2 &&
               (!f || f->head.file_bytes < wanted);
    if (due) { /* on a nearly full disk a smaller one, or none */
        wanted = QV_MIN(wanted, qv__log_room(log) / 4 & ~(PAGE_BYTES - 1));
    }
    if (!due || wanted < log->first_file_bytes || (f && f->head.file_bytes >= wanted)) {
        qv__mutex_unlock(&log->lock);
        return;
    }
    log->is_preparing = true;
    log->spare = NULL;
    uint64_t serial = log->next_serial++;
    qv__mutex_unlock(&log->lock);

    struct qv_err err = {.code = QV_OK};
    qv_status st =
        prepare_step(log, serial, wanted, (step_bytes + PAGE_BYTES) & ~(PAGE_BYTES - 1), &f, &err);
    qv__mutex_lock(&log->lock);
    struct qv__log_file *extra = NULL;
    bool is_news = st != QV_OK && !log->prepare_fails;
    log->prepare_fails = st != QV_OK;
    if (log->spare) {
        extra = f; /* trim recycled one meanwhile */
    } else {
        log->spare = f;
    }
    log->is_preparing = false;
    qv__cond_broadcast(&log->changed);
    qv__mutex_unlock(&log->lock);
    if (is_news) { /* every flush tries again: a full disk must not fill the log output as well */
        qv__log_line(qv__log_logger(log), QV__LEVEL_WARN, "log",
                     "the next file is not ready yet: %s", err.message);
    }
    qv__log_discard_file(log, extra);
}
