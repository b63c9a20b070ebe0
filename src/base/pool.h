/* pool.h: the worker pool: tasks in priority lanes, run by a fixed set of threads.
 *
 * What it is: intrusive FIFO queues, one per lane, and threads of each lane's own: n_threads for
 * reads, as many for writes, so that a search never waits for the end of a large write, and as many
 * (two at least) for jobs that somebody asked for, and for background work. The latter two have a
 * low priority of the operating system, and give way (below) while reads and writes want the CPUs.
 * With 0 threads nothing runs by itself: a test calls qv__pool_step and so decides the order, which
 * lets crash exploration replay a schedule.
 * What it is not: a place to block; a task that must wait for a sync registers a completion. */
#ifndef QV_BASE_POOL_H
#define QV_BASE_POOL_H

#include "base/alloc.h"
#include "base/thread.h"

/* A job takes as long as the data is large, like background work, but somebody asked for it: it
 * does not wait for the end of what the database does by itself. */
enum qv__lane { QV__LANE_READ = 0, QV__LANE_WRITE, QV__LANE_JOB, QV__LANE_BACKGROUND, QV__LANES };

/* Embedded in the caller's object, borrowed until fn has been called. fn may free it. */
struct qv__task {
    void (*fn)(struct qv__task *task);
    struct qv__task *next; /* guarded by: pool */
    /* For qv__pool_expire; read while the task is queued. */
    uint64_t deadline_ns;          /* 0 = none */
    const _Atomic bool *cancelled; /* NULL = never */
};

struct qv__pool;

qv_status qv__pool_create(struct qv__mem *mem, unsigned n_threads, struct qv__pool **out,
                          struct qv_err *err) QV_MUST_USE;
/* Runs everything queued, then joins the workers. NULL-safe. */
void qv__pool_close(struct qv__pool *p);
void qv__pool_submit(struct qv__pool *p, enum qv__lane lane, struct qv__task *task);
/* Run one task on the caller's thread; false if none is queued. */
bool qv__pool_step(struct qv__pool *p);
/* Take what is cancelled, or was to begin before now_ns, out of the queues and run it here: its fn
 * finds that, too, and ends it. Returns the first deadline of those that stay, UINT64_MAX without
 * one. Threads: any; one that no task waits for. */
uint64_t qv__pool_expire(struct qv__pool *p, uint64_t now_ns);
/* Called from jobs and background work between pieces of a fraction of a millisecond, with no lock
 * that a read or a write takes: wait while reads and writes, queued or running, and other
 * background threads want all CPUs; three times as long as was worked since the last wait at most,
 * and 10 ms. Returns at once on any other thread, and with p NULL. The parallel loop does it before
 * a block.
 */
void qv__pool_give_way(struct qv__pool *p);
/* A read on a thread that is not the pool's (a caller's of the C interface) begins and ends:
 * background work gives way to it as to a queued one. True if it counts, which is what leave is
 * told: on the pool's own threads, whose tasks count by themselves, nothing happens. */
bool qv__pool_enter(struct qv__pool *p);
void qv__pool_leave(struct qv__pool *p, bool entered);
/* The n_threads it was made with. */
unsigned qv__pool_threads(const struct qv__pool *p);
/* Queued, not yet running, per lane. */
size_t qv__pool_queued(const struct qv__pool *p, enum qv__lane lane);

/* Run fn over [0, n) on at most max_threads threads, the caller's among them, and return when all
 * is done. Work is handed out in blocks [begin, end) of `grain` items (the last may be shorter);
 * `worker` is below max(max_threads, 1) and no two threads have the same one, so it can index
 * scratch space. Serial, in order, as worker 0: with pool NULL, with 0 pool threads, or when memory
 * is out. Safe to call from a pool task (the caller works itself, so it cannot deadlock); helpers
 * are background work, whoever calls.
 * Locks: callers hold none of rank POOL or further in. */
void qv__parallel_for(struct qv__pool *pool, unsigned max_threads, size_t n, size_t grain,
                      void (*fn)(void *ctx, size_t begin, size_t end, unsigned worker), void *ctx);

#endif
