/* commit.h: from appended to acknowledged: group commit, publication, and who may still be reading.
 *
 * What it is: the one place that orders LSNs. A write begins (gets its LSN by appending to the
 * log), applies itself in memory stamped with that LSN, says so, and waits; the committer flushes
 * the log and publishes. Only published writes are visible and acknowledged, and published is one
 * LSN: what is seen is always a prefix of the log.
 *
 * A strict write is published when it is durable, so nobody ever sees one that a crash could take
 * back. A relaxed write names a window instead: it is published as soon as it is applied and every
 * strict write before it is durable, and the sync that makes it durable begins within half of the
 * window, so that the other half is left for the sync itself. While the disk is so slow that an
 * acknowledged write is older than its window and not durable, further relaxed writes are taken as
 * strict ones: what a crash can take back is bounded by the window even then.
 *
 * Readers register at the published LSN, which tells maintenance what no reader can see any more.
 * What it is not: aware of segments or of what records mean.
 *
 * Threads: any, but commit_step one at a time (the committer's thread, or a test). */
#ifndef QV_ENGINE_COMMIT_H
#define QV_ENGINE_COMMIT_H

#include "base/counters.h"
#include "base/pool.h"
#include "store/log.h"

/* One write between begin and applied. Embedded in the caller's object. */
struct qv__inflight {
    uint64_t lsn;
    struct qv__inflight *prev, *next; /* guarded by: commit */
};

/* One acknowledgement due at an LSN. When it is, `task` is submitted to the pool; or, where a
 * thread waits to run it itself, `wake` is called instead. Waiters of one group commit wake each
 * other: the committer wakes the first alone and is at the next group already. On few processors it
 * would else be put aside at each waking, by those it woke. */
struct qv__ack {
    uint64_t lsn;
    qv_status status; /* QV_OK, or why the record's fate is unknown */
    struct qv_err err;
    struct qv__task task;
    /* Wake the waiter and have it call qv__commit_woken(followers), then run the task. It must not
     * touch the ack after the waking. NULL: nobody waits. */
    void (*wake)(struct qv__ack *ack, struct qv__ack *followers);
    struct qv__ack *next; /* guarded by: commit */
};

/* One reader. Embedded in the caller's object. */
struct qv__reader_ticket {
    uint64_t lsn;
    struct qv__reader_ticket *prev, *next; /* guarded by: commit readers */
};

struct qv__commit;

/* The log is borrowed until close. `published` is where recovery ended. With own_thread the
 * committer runs by itself, else qv__commit_step does its work. */
qv_status qv__commit_create(struct qv__mem *mem, struct qv__log *log, struct qv__pool *pool,
                            const struct qv__clock *clock, uint64_t published, bool own_thread,
                            struct qv__commit **out, struct qv_err *err) QV_MUST_USE;
/* Flush what is pending, acknowledge, stop the committer. NULL-safe. */
void qv__commit_close(struct qv__commit *c);

/* Block while the log's buffer is too full to take more; call before taking any lock. */
void qv__commit_admit(struct qv__commit *c);
/* Append a record and enter it as in flight. window_ns: 0 = strict; else the relaxed write may be
 * lost by a crash until this long after now. On an error nothing was entered. */
qv_status qv__commit_begin(struct qv__commit *c, uint32_t type, const struct qv__bytes *parts,
                           size_t n_parts, uint64_t window_ns, struct qv__inflight *f,
                           struct qv_err *err) QV_MUST_USE;
/* The record's effects are in memory. */
void qv__commit_applied(struct qv__commit *c, struct qv__inflight *f);
/* Acknowledge when ack->lsn is published: ack->task is submitted then. False when it is already, or
 * never will be: ack->status is filled in, the task is not submitted, the caller goes on itself. */
bool qv__commit_wait(struct qv__commit *c, struct qv__ack *ack) QV_MUST_USE;
/* Wake the followers that `wake` handed over; NULL for none. */
void qv__commit_woken(struct qv__ack *followers);
/* Block until lsn is durable and published, or the log is poisoned. Not from inside the committer.
 * With a manual committer this steps it. */
qv_status qv__commit_sync(struct qv__commit *c, uint64_t lsn, struct qv_err *err) QV_MUST_USE;
/* The last LSN given out. */
uint64_t qv__commit_tail(struct qv__commit *c);
/* Do one group commit if one is due; true if anything was done. */
bool qv__commit_step(struct qv__commit *c);

uint64_t qv__commit_published(struct qv__commit *c);
/* Up to here everything is both durable and applied: what a checkpoint may claim. */
uint64_t qv__commit_settled(struct qv__commit *c);
uint64_t qv__commit_acknowledged(struct qv__commit *c);
/* Stop writing until a restart, for this reason: as if the log had failed. */
void qv__commit_stop(struct qv__commit *c, const struct qv_err *why);
bool qv__commit_poisoned(struct qv__commit *c);
/* QV_EREADONLY, saying why, when the log failed. */
qv_status qv__commit_check(struct qv__commit *c, struct qv_err *err) QV_MUST_USE;

/* Register at the published LSN. */
void qv__read_begin(struct qv__commit *c, struct qv__reader_ticket *t);
void qv__read_end(struct qv__commit *c, struct qv__reader_ticket *t);
/* No present or future reader reads below this LSN. */
uint64_t qv__read_horizon(struct qv__commit *c);

#endif
