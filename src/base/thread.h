/* thread.h: mutexes with ranks, condition variables, threads.
 *
 * What it is: thin wrappers over pthreads. Each mutex has a rank from one list, numbered from the
 * outside in; debug builds assert that a thread takes ranks in rising order only, which makes a
 * deadlock between modules impossible to write unnoticed.
 * What it is not: a scheduler; see pool.h. Cond waits use the monotonic clock. */
#ifndef QV_BASE_THREAD_H
#define QV_BASE_THREAD_H

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#include "base/base.h"

enum qv__rank {
    QV__RANK_MERGE = 2,        /* one merge of a shard at a time */
    QV__RANK_SNAPSHOTS = 4,    /* names in snapshots/ */
    QV__RANK_MAINTAIN = 5,     /* one flush or switch of a shard at a time */
    QV__RANK_DB = 10,          /* catalog changes and manifest commits */
    QV__RANK_CATALOG = 20,     /* names -> collections */
    QV__RANK_SHARD_WRITE = 40, /* the write order of a shard */
    QV__RANK_INDEX = 50,       /* building of a growing segment's index */
    QV__RANK_SHARD_VIEW = 60,  /* current view and its readers */
    QV__RANK_SEGMENT = 65,     /* ids and deletions of a segment */
    QV__RANK_COLLECTION = 68,  /* schema pointer of a collection */
    QV__RANK_COMMIT = 70,      /* in-flight LSNs and waiters */
    QV__RANK_LOG = 80,         /* buffer of the write-ahead log */
    QV__RANK_SPACE = 85,       /* the reserve on the disk */
    QV__RANK_JOBS = 90,
    QV__RANK_POOL = 100, /* worker pool queues */
    QV__RANK_IO = 110,   /* simulated file system */
    QV__RANK_MEM = 120,  /* account tree */
    QV__RANK_LEAF = 200  /* takes nothing further */
};

struct qv__mutex {
    pthread_mutex_t m;
    int rank;
};
struct qv__condvar {
    pthread_cond_t c;
};

void qv__mutex_init(struct qv__mutex *m, enum qv__rank rank);
void qv__mutex_destroy(struct qv__mutex *m);
/* Debug builds assert the rank: above all held ones; SHARD_WRITE may be held several times (callers
 * take shards in rising order). trylock obeys the same rule. */
void qv__mutex_lock(struct qv__mutex *m);
bool qv__mutex_trylock(struct qv__mutex *m);
void qv__mutex_unlock(struct qv__mutex *m);

void qv__cond_init(struct qv__condvar *c);
void qv__cond_destroy(struct qv__condvar *c);
void qv__cond_wait(struct qv__condvar *c, struct qv__mutex *m);
/* False when timeout_ns passed first. Both waits may end for no reason: loop on the condition. */
bool qv__cond_timedwait(struct qv__condvar *c, struct qv__mutex *m, uint64_t timeout_ns);
/* Sleep so long, or less: for who waits for what tells nobody. */
void qv__nap_ns(uint64_t ns);
/* The clock of timed waits. */
uint64_t qv__cond_now_ns(void);
void qv__cond_signal(struct qv__condvar *c);
void qv__cond_broadcast(struct qv__condvar *c);

/* One thread waits for what another has done. Cheaper than a mutex with a condition, and the waiter
 * may destroy it as soon as its wait ended. Each set ends one wait. */
struct qv__event {
    sem_t s;
};
void qv__event_init(struct qv__event *e);
void qv__event_destroy(struct qv__event *e);
void qv__event_set(struct qv__event *e);
void qv__event_wait(struct qv__event *e);

struct qv__thread {
    pthread_t t;
};
/* All signals are blocked in the new thread, save the faults a thread causes itself (SIGSEGV,
 * SIGBUS …). name: at most 15 bytes are kept. Errors: QV_EBUSY when the system has no thread left,
 * QV_ENOMEM. */
qv_status qv__thread_start(struct qv__thread *t, const char *name, void (*fn)(void *), void *arg,
                           struct qv_err *err) QV_MUST_USE;
void qv__thread_join(struct qv__thread *t);
/* Block the same in the calling thread, for a library that starts threads of its own; *before is
 * what was blocked, for pthread_sigmask afterwards. */
void qv__thread_block_signals(sigset_t *before);
/* Lower the priority of the calling thread for good: it still runs, with a third of the share of a
 * thread that did not, when more threads want to run than there are CPUs. Where the system refuses,
 * nothing changes. */
void qv__thread_yield_to_others(void);
/* How soon the calling thread runs once it is woken: in front of a thread that has longer slices
 * and has been at work for a while. Its share of the CPUs stays the same; threads that it starts
 * inherit it. Linux from 6.12 on; elsewhere nothing changes. */
enum qv__slices { QV__SLICES_DEFAULT = 0, QV__SLICES_SHORT, QV__SLICES_SHORTEST };
void qv__thread_slices(enum qv__slices slices);

/* CPU time that the calling thread has used: tells more than a clock on a machine that others use
 * too. */
uint64_t qv__thread_cpu_ns(void);

/* Usable CPUs of this process (affinity respected), at least 1. */
unsigned qv__cpu_count(void);

#endif
