/* job.h: background work as seen from outside: what runs, why, how far it is, ending it early.
 *
 * What it is: a record on the worker's own stack, listed while it lives, and the outcomes of the
 * last ones. The work itself reports vectors or rows done through `work`, which the segment and
 * index layers call. What it is not: a queue or a scheduler; see maintain.c.
 *
 * Threads: any. A record is written by its worker, read by whoever lists; `cancel` may be set from
 * anywhere and is obeyed soon, leaving everything whole. */
#ifndef QV_ENGINE_JOB_H
#define QV_ENGINE_JOB_H

#include "engine/collection.h"

struct qv__job {
    struct qv__db *db;
    struct qv__job_info info;     /* immutable after open, but for what is atomic below */
    uint64_t started_ns;          /* immutable */
    const struct qv__qctx *asked; /* who waits for it: its deadline ends the job; NULL = nobody */
    _Atomic uint64_t done, total;
    bool outlives_collection; /* guarded by: registry lock */
    _Atomic bool cancel;
    _Atomic bool by_hand; /* cancelled through qv__db_cancel_job */
    struct qv__work work;
    struct qv__job *prev, *next; /* guarded by: registry lock */
};

void qv__jobs_init(struct qv__jobs *r);
void qv__jobs_free(struct qv__jobs *r);

/* Enter it. `s` NULL = of the database. total: units it will take, 0 = not known. The reason is
 * cut to fit. */
void qv__job_open(struct qv__job *j, struct qv__db *db, const struct qv__shard *s,
                  enum qv__job_kind kind, uint64_t total, const struct qv__qctx *asked,
                  const char *reason, ...) QV_PRINTF(7, 8);
/* It is of this collection, which need not be there yet (id 0), and not of one of its shards. Its
 * end is not that of the collection: dropping one does not cancel it. */
void qv__job_of(struct qv__job *j, uint64_t collection_id, struct qv__str name);
/* What it works on. */
void qv__job_segments(struct qv__job *j, struct qv__segment *const *segments, size_t n);
/* Leave the list; `st` is remembered as the outcome. */
void qv__job_close(struct qv__job *j, qv_status st);
/* Ask all jobs of a collection (0 = of the database) to end. */
void qv__jobs_cancel(struct qv__db *db, uint64_t collection_id);

#endif
