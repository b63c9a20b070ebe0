/* log.h: the durable, ordered record log: seam between the engine and whatever keeps its writes.
 *
 * What it is: append (gives a log sequence number), flush (one group commit), replay, trim, lead.
 * Two kinds of implementation are foreseen: local files (log_local.c: one log for the whole
 * database) and a log on object storage; the engine sees only this table.
 * What it is not: aware of what records mean.
 *
 * Contract of every implementation:
 *  (1) LSNs are dense: 1, 2, 3, …; the order of records is the order of append.
 *  (2) A record is durable only after a flush that covers it returned QV_OK.
 *  (3) append takes a record only when space for it is already reserved, so that a full disk refuses
 *      the append (QV_ENOSPC, nothing changed) and never a flush.
 *  (4) A failed flush poisons the log: its records' fate is unknown; every later append and flush
 *      gives QV_EREADONLY until the log is opened again. A failed sync is never retried.
 *  (5) Replay yields a prefix: a torn tail is cut; a damaged record that was durable (what was written
 *      after it says so) is QV_ECORRUPT with file and offset, never skipped.
 * Threads: append from any thread; flush from any thread (serialised inside; appends go on meanwhile
 * into the next group); replay before the first append, one thread. */
#ifndef QV_STORE_LOG_H
#define QV_STORE_LOG_H

#include "base/buf.h"
#include "base/counters.h"
#include "base/logger.h"
#include "os/io.h"

#define QV__LOG_BODY_MAX ((size_t)1 << 30) /* of one record */

struct qv__log_record {
    uint64_t lsn;
    uint64_t epoch;
    uint32_t type;          /* the engine's; >= 1 */
    struct qv__bytes body;  /* borrowed until the callback returns */
};

struct qv__log_stats {
    uint64_t appended;      /* records */
    uint64_t flushes;       /* group commits that wrote something */
    uint64_t syncs;         /* syncs of files done for them */
    uint64_t bytes;         /* record bytes appended */
    uint64_t files;         /* live log files */
    uint64_t file_bytes;    /* their size on disk */
    uint64_t first_lsn;     /* oldest replayable; 0 = empty */
};

/* Decides on each replayed record; a failure ends the replay and is returned. */
typedef qv_status (*qv__log_replay_fn)(void *arg, const struct qv__log_record *rec, struct qv_err *err);

struct qv__log;
struct qv__log_ops {
    qv_status (*append)(struct qv__log *, uint32_t type, const struct qv__bytes *parts, size_t n_parts, uint64_t *lsn, struct qv_err *);
    qv_status (*flush)(struct qv__log *, uint64_t *durable_lsn, struct qv_err *);
    qv_status (*replay)(struct qv__log *, uint64_t from_lsn, qv__log_replay_fn fn, void *arg, struct qv_err *);
    qv_status (*trim)(struct qv__log *, uint64_t upto_lsn, struct qv_err *);
    qv_status (*lead)(struct qv__log *, uint64_t epoch, struct qv_err *);
    uint64_t (*tail)(struct qv__log *);
    uint64_t (*durable)(struct qv__log *);
    size_t (*pending_bytes)(struct qv__log *);
    void (*stats)(struct qv__log *, struct qv__log_stats *);
    qv_status (*close)(struct qv__log *, struct qv_err *);
};
/* First member of every implementation's object. */
struct qv__log {
    const struct qv__log_ops *ops;
};

/* Copy one record (the parts in sequence are its body) into the current group.
 * Errors: QV_ENOSPC, QV_ENOMEM (unchanged), QV_ETOOBIG (body > 1 GiB), QV_EREADONLY (poisoned). */
static inline qv_status qv__log_append(struct qv__log *l, uint32_t type, const struct qv__bytes *parts,
                                       size_t n_parts, uint64_t *lsn, struct qv_err *err)
{
    return l->ops->append(l, type, parts, n_parts, lsn, err);
}
/* Make durable everything appended before the call; *durable_lsn = the highest durable LSN. Also
 * prepares the next file ahead of need. QV_OK and no sync when nothing is pending. */
static inline qv_status qv__log_flush(struct qv__log *l, uint64_t *durable_lsn, struct qv_err *err)
{
    return l->ops->flush(l, durable_lsn, err);
}
/* Hand every record with lsn >= from_lsn to fn, in order; must be called once after open, before the
 * first append (which is refused with QV_EINVAL until then). from_lsn 0 = from the oldest there is; else
 * records missing between from_lsn and the oldest, or up to from_lsn - 1, are QV_ECORRUPT. What was
 * handed out is durable: a record that was written but not synced before a crash is made so at open. */
static inline qv_status qv__log_replay(struct qv__log *l, uint64_t from_lsn, qv__log_replay_fn fn,
                                       void *arg, struct qv_err *err)
{
    return l->ops->replay(l, from_lsn, fn, arg, err);
}
/* Records <= upto_lsn are no longer needed; space may be given back or reused. */
static inline qv_status qv__log_trim(struct qv__log *l, uint64_t upto_lsn, struct qv_err *err)
{
    return l->ops->trim(l, upto_lsn, err);
}
/* Claim the log for a leader of this epoch; a lower epoch than the log's is refused (QV_ECONFLICT). */
static inline qv_status qv__log_lead(struct qv__log *l, uint64_t epoch, struct qv_err *err)
{
    return l->ops->lead(l, epoch, err);
}
static inline uint64_t qv__log_tail(struct qv__log *l) { return l->ops->tail(l); }       /* last LSN given out */
static inline uint64_t qv__log_durable(struct qv__log *l) { return l->ops->durable(l); } /* last durable LSN */
static inline size_t qv__log_pending_bytes(struct qv__log *l) { return l->ops->pending_bytes(l); }
static inline void qv__log_stats(struct qv__log *l, struct qv__log_stats *s) { l->ops->stats(l, s); }
static inline qv_status qv__log_close(struct qv__log *l, struct qv_err *err)
{
    return l ? l->ops->close(l, err) : QV_OK;
}

struct qv__log_local_options {
    uint64_t first_file_bytes; /* 0 = 1 MiB: a small database stays small and opens in milliseconds */
    uint64_t file_bytes_max;   /* files double up to this; 0 = 64 MiB */
    uint64_t next_lsn;         /* for an empty log: the first LSN to give (checkpoint LSN + 1); 0 = 1 */
    bool must_exist;           /* no file at all is damage (QV_ECORRUPT): there was a log here */
    uint64_t reach_lsn;        /* a checkpoint knows this record to be durable: a log that ends before it is damage */
    const struct qv__logger *logger;
    /* Bytes of the disk that the log may take ahead of need; called under the log's lock. NULL = all
     * there is. What a record needs is taken from whatever the disk has. */
    uint64_t (*room)(void *ctx);
    void *room_ctx;
};
/* Open (or create) the log kept in directory `dir` of `io`. Format: docs/internals/LOG.md. */
qv_status qv__log_local_open(struct qv__io *io, const char *dir, struct qv__mem *mem,
                             const struct qv__log_local_options *options, struct qv__log **out,
                             struct qv_err *err) QV_MUST_USE;

/* Report on every file of a closed log, damaged ones included (`quiver check`). Never changes a byte.
 * QV_OK when all could be looked at: damage is in the reports (a torn tail is no damage). */
struct qv__log_file_report {
    char name[64];
    uint64_t file_bytes, first_lsn, last_lsn, records, valid_bytes;
    qv_status status; /* QV_OK, or QV_ECORRUPT */
    char message[160];
};
/* What every sound record is handed to, in order, before the report on its file: `file` has name and
 * first_lsn, and valid_bytes is where the record begins. An error ends the check. */
typedef qv_status (*qv__log_check_fn)(void *arg, const struct qv__log_file_report *file,
                                      const struct qv__log_record *rec, struct qv_err *err);
/* record: NULL = nobody */
qv_status qv__log_local_check(struct qv__io *io, const char *dir, struct qv__mem *mem,
                              void (*cb)(void *arg, const struct qv__log_file_report *r),
                              qv__log_check_fn record, void *arg, struct qv_err *err) QV_MUST_USE;

#endif
