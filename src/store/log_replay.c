/* log_replay.c: handing out the records of the log again.
 *
 * Walks the files from the one that holds the first wanted record; each must end exactly where the
 * next begins, and the last where recovery found the tail. Every checksum is looked at again.
 * Bodies are borrowed from the scan's window, which grows to the largest record. No locks are held
 * while the callback runs; nothing else may use the log meanwhile. */
#include "store/log_local.h"
#include "store/log_scan.h"

/* Walk one file; `end_lsn` is what must come after its last record. */
static qv_status replay_file(struct qv__log_local *log, uint64_t first_lsn, uint64_t end_lsn,
                             uint64_t from_lsn, qv__log_replay_fn fn, void *arg, struct qv_err *err)
{
    struct qv__logscan s;
    struct qv__log_record rec;
    bool got = true;
    QV_TRY(qv__logscan_open(log->io, log->dir, first_lsn, true, log->mem, &s, err));
    qv_status st = QV_OK;
    while (st == QV_OK && s.lsn < end_lsn) {
        st = qv__logscan_next(&s, &rec, &got, err);
        if (st != QV_OK || !got) {
            break;
        }
        if (rec.lsn >= from_lsn) {
            st = fn(arg, &rec, err);
        }
    }
    if (st == QV_OK && !got) {
        st = qv__fail(err, QV_ECORRUPT,
                      "%s: offset %" PRIu64 ": record %" PRIu64
                      " is damaged (%s), and later ones exist",
                      s.name, s.off, s.lsn, s.stop);
    }
    qv__logscan_close(&s);
    return st;
}

qv_status qv__log_local_replay(struct qv__log *l, uint64_t from_lsn, qv__log_replay_fn fn,
                               void *arg, struct qv_err *err)
{
    struct qv__log_local *log = qv__log_local_of(l);
    const struct qv__log_file *f = log->oldest;
    if (log->is_replayed) {
        return qv__fail(err, QV_EINVAL, "log: replay is called once, before the first append");
    }
    from_lsn = from_lsn ? from_lsn : f->head.first_lsn;
    if (from_lsn < f->head.first_lsn) {
        return qv__fail(err, QV_ECORRUPT,
                        "log: records from %" PRIu64
                        " are needed, but the oldest file begins at %" PRIu64,
                        from_lsn, f->head.first_lsn);
    }
    if (from_lsn > log->lsn + 1) {
        return qv__fail(err, QV_ECORRUPT,
                        "log: records up to %" PRIu64
                        " were durable once, but the last one is %" PRIu64,
                        from_lsn - 1, log->lsn);
    }
    while (f->next && f->next->head.first_lsn <= from_lsn) {
        f = f->next;
    }
    for (; f; f = f->next) {
        uint64_t end_lsn = f->next ? f->next->head.first_lsn : log->lsn + 1;
        QV_TRY(replay_file(log, f->head.first_lsn, end_lsn, from_lsn, fn, arg, err));
    }
    qv__mutex_lock(&log->lock);
    log->is_replayed = true;
    qv__mutex_unlock(&log->lock);
    return QV_OK;
}
