/* commit.c: group commit and publication.
 *
 * One mutex (rank COMMIT) guards the list of in-flight writes, the queue of acknowledgements and
 * the published LSN; another the list of readers, so that searches never meet a committer that is
 * busy. LSNs are given out under the commit mutex, therefore the in-flight list is in LSN order and
 * its head bounds what is applied. The flush itself runs without the mutex: writers append to the
 * next group meanwhile, which is what makes a group.
 *
 * Publication order: published_lsn is stored (release) before acknowledgements go out, so a client
 * that got its answer finds its write.
 *
 * Strict and relaxed: while the last strict LSN is not durable, nothing past the durable LSN is
 * published; else all that is applied is. That holds a relaxed write back behind a strict one which
 * came later but was appended before it was applied: harmless, since that sync is under way. The
 * committer sleeps without a timer unless relaxed writes are waiting for their sync. */
#include "engine/commit.h"
#include "base/plant.h"

#include <stdatomic.h>
#include <stdio.h>

/* Writers wait outside all locks while more than this is buffered. */
#define QV__PENDING_BYTES_MAX ((size_t)64 << 20)
/* So much in relaxed writes is synced without waiting for their window. */
#define QV__RELAXED_BYTES_MAX ((size_t)4 << 20)
#define QV__NEVER             UINT64_MAX

struct qv__commit {
    struct qv__mem *mem;
    struct qv__log *log;           /* borrowed */
    struct qv__pool *pool;         /* borrowed */
    const struct qv__clock *clock; /* borrowed */

    struct qv__mutex lock;
    struct qv__condvar due;            /* something to flush, or stopping */
    struct qv__condvar done;           /* published moved, poisoned, or room in the log buffer */
    struct qv__inflight inflight;      /* ring; head.next is the oldest; guarded by: lock */
    struct qv__ack *acks, **acks_tail; /* by LSN; guarded by: lock */
    uint64_t appended;                 /* last LSN given out; guarded by: lock */
    uint64_t durable;                  /* guarded by: lock */
    uint64_t strict;                   /* last LSN of a strict write; guarded by: lock */
    uint64_t wanted;                   /* somebody waits for it to be durable; guarded by: lock */
    /* Of the relaxed writes that no flush has taken yet: begin their sync at, have it done by; and
     * the latter of those which a flush is writing. Monotonic, QV__NEVER = none; guarded by: lock
     */
    uint64_t sync_at, done_by, flushing_done_by;
    bool stopping;              /* guarded by: lock */
    bool poisoned;              /* guarded by: lock */
    struct qv_err poison_err;   /* guarded by: lock, set once */
    _Atomic uint64_t published; /* release in publish(), acquire in readers */
    struct qv__counter acknowledged;

    struct qv__mutex readers_lock;
    struct qv__reader_ticket readers; /* ring in LSN order; guarded by: readers_lock */

    bool own_thread;
    struct qv__thread thread;
};

/* A flush must begin now. Called under lock. */
static bool flush_due(const struct qv__commit *c)
{
    if (c->poisoned || c->durable >= c->appended) {
        return false;
    }
    return c->stopping || c->durable < QV_MAX(c->strict, c->wanted) ||
           (c->sync_at != QV__NEVER && qv__mono_ns(c->clock) >= c->sync_at);
}

static bool work_due(const struct qv__commit *c)
{
    if (c->poisoned) {
        return c->acks != NULL;
    }
    return flush_due(c) ||
           (c->acks && c->acks->lsn <= atomic_load_explicit(&c->published, memory_order_relaxed));
}

/* Advance `published` as far as durability and application allow. Called under lock. */
static bool publish(struct qv__commit *c)
{
    bool only_durable = c->poisoned || c->strict > c->durable;
    if (QV_PLANT(ack_before_sync) || QV_PLANT(publish_before_sync)) {
        only_durable = false;
    }
    uint64_t to = only_durable ? c->durable : c->appended;
    if (c->inflight.next != &c->inflight && c->inflight.next->lsn <= to) {
        to = c->inflight.next->lsn - 1;
    }
    if (to <= atomic_load_explicit(&c->published, memory_order_relaxed)) {
        return false;
    }
    atomic_store_explicit(&c->published, to, memory_order_release);
    return true;
}

/* Called under lock. */
static uint64_t settled(struct qv__commit *c)
{
    return QV_MIN(c->durable, atomic_load_explicit(&c->published, memory_order_relaxed));
}

/* Take the acknowledgements that are due off the queue. Called under lock. */
static struct qv__ack *take_due(struct qv__commit *c)
{
    uint64_t upto = atomic_load_explicit(&c->published, memory_order_relaxed);
    if (QV_PLANT(publish_before_sync)) {
        upto = QV_MIN(upto, c->durable);
    }
    struct qv__ack *first = c->acks;
    struct qv__ack **at = &c->acks;
    while (*at && (c->poisoned || (*at)->lsn <= upto)) {
        if ((*at)->lsn > upto) {
            (*at)->status = QV_EREADONLY;
            (*at)->err = c->poison_err;
        }
        at = &(*at)->next;
    }
    struct qv__ack *rest = *at;
    if (first == rest) {
        return NULL;
    }
    *at = NULL;
    c->acks = rest;
    if (!rest) {
        c->acks_tail = &c->acks;
    }
    return first;
}

/* Two wake the rest: a tree, so that the last is not woken late. */
void qv__commit_woken(struct qv__ack *followers)
{
    struct qv__ack *halves[2] = {NULL, NULL};
    for (size_t i = 0; followers; i++) {
        struct qv__ack *next = followers->next;
        followers->next = halves[i % 2];
        halves[i % 2] = followers;
        followers = next;
    }
    for (size_t i = 0; i < 2; i++) {
        if (halves[i]) {
            halves[i]->wake(halves[i], halves[i]->next);
        }
    }
}

static void send_acks(struct qv__commit *c, struct qv__ack *list)
{
    struct qv__ack *waiters = NULL, **end = &waiters;
    while (list) {
        struct qv__ack *next = list->next;
        if (list->status == QV_OK) {
            qv__count(&c->acknowledged, 1);
        }
        if (list->wake) {
            list->next = NULL;
            *end = list;
            end = &list->next;
        } else {
            qv__pool_submit(c->pool, QV__LANE_WRITE, &list->task);
        }
        list = next;
    }
    if (waiters) {
        waiters->wake(waiters, waiters->next);
    }
}

/* The first reason is kept. Called under lock. */
static void poison(struct qv__commit *c, const struct qv_err *why, const char *what)
{
    if (!c->poisoned) {
        c->poisoned = true;
        c->poison_err = *why;
        c->poison_err.code = QV_EREADONLY;
        qv__wrap(&c->poison_err, QV_EREADONLY, "%s", what);
    }
}

/* Write and sync what was appended. Enters and leaves with the lock held. */
static void flush(struct qv__commit *c)
{
    struct qv_err err = {.code = QV_OK};
    uint64_t durable = 0;
    c->flushing_done_by = c->done_by;
    c->sync_at = c->done_by = QV__NEVER;
    qv__mutex_unlock(&c->lock);
    qv_status st = qv__log_flush(c->log, &durable, &err);
    qv__mutex_lock(&c->lock);
    if (st != QV_OK) {
        poison(c, &err, "the write-ahead log failed, writes are stopped until restart");
        return;
    }
    c->durable = QV_MAX(c->durable, durable);
    c->flushing_done_by = QV__NEVER;
    if (c->durable >= c->appended) {
        c->sync_at = c->done_by = QV__NEVER; /* came after the lock was left, and were taken too */
    }
}

bool qv__commit_step(struct qv__commit *c)
{
    qv__mutex_lock(&c->lock);
    if (!work_due(c)) {
        qv__mutex_unlock(&c->lock);
        return false;
    }
    if (flush_due(c)) {
        flush(c);
    }
    publish(c);
    struct qv__ack *list = take_due(c);
    qv__cond_broadcast(&c->done);
    qv__mutex_unlock(&c->lock);
    send_acks(c, list);
    return true;
}

/* Until something is due, or the time comes for relaxed writes. Called under lock. */
static void wait_for_work(struct qv__commit *c)
{
    while (!c->stopping && !work_due(c)) {
        uint64_t now = c->sync_at == QV__NEVER ? 0 : qv__mono_ns(c->clock);
        if (c->sync_at == QV__NEVER) {
            qv__cond_wait(&c->due, &c->lock);
        } else if (now < c->sync_at) {
            qv__cond_timedwait(&c->due, &c->lock, c->sync_at - now);
        }
    }
}

static void committer(void *arg)
{
    struct qv__commit *c = arg;
    qv__thread_slices(QV__SLICES_SHORTEST); /* a sync that ended should be noticed */
    for (;;) {
        qv__mutex_lock(&c->lock);
        wait_for_work(c);
        bool stop = c->stopping && !work_due(c);
        qv__mutex_unlock(&c->lock);
        if (stop) {
            return;
        }
        qv__commit_step(c);
    }
}

qv_status qv__commit_create(struct qv__mem *mem, struct qv__log *log, struct qv__pool *pool,
                            const struct qv__clock *clock, uint64_t published, bool own_thread,
                            struct qv__commit **out, struct qv_err *err)
{
    struct qv__commit *c = qv__zalloc(mem, sizeof *c);
    if (!c) {
        return qv__fail(err, QV_ENOMEM, "no memory for the committer");
    }
    c->mem = mem;
    c->log = log;
    c->pool = pool;
    c->clock = clock;
    c->own_thread = own_thread;
    c->appended = c->durable = c->strict = c->wanted = published;
    c->sync_at = c->done_by = c->flushing_done_by = QV__NEVER;
    atomic_init(&c->published, published);
    c->inflight.prev = c->inflight.next = &c->inflight;
    c->readers.prev = c->readers.next = &c->readers;
    c->acks_tail = &c->acks;
    qv__mutex_init(&c->lock, QV__RANK_COMMIT);
    qv__mutex_init(&c->readers_lock, QV__RANK_LEAF);
    qv__cond_init(&c->due);
    qv__cond_init(&c->done);
    if (own_thread) {
        qv_status st = qv__thread_start(&c->thread, "qv-commit", committer, c, err);
        if (st != QV_OK) {
            c->own_thread = false;
            qv__commit_close(c);
            return st;
        }
    }
    *out = c;
    return QV_OK;
}

void qv__commit_close(struct qv__commit *c)
{
    if (!c) {
        return;
    }
    qv__mutex_lock(&c->lock);
    c->stopping = true;
    qv__cond_broadcast(&c->due);
    qv__mutex_unlock(&c->lock);
    if (c->own_thread) {
        qv__thread_join(&c->thread);
    } else {
        while (qv__commit_step(c)) {
        }
    }
    QV_DEBUG_ASSERT(c->inflight.next == &c->inflight);
    QV_DEBUG_ASSERT(c->readers.next == &c->readers);
    qv__cond_destroy(&c->due);
    qv__cond_destroy(&c->done);
    qv__mutex_destroy(&c->lock);
    qv__mutex_destroy(&c->readers_lock);
    qv__free(c);
}

void qv__commit_admit(struct qv__commit *c)
{
    while (qv__log_pending_bytes(c->log) > QV__PENDING_BYTES_MAX) {
        if (!c->own_thread) {
            if (!qv__commit_step(c)) {
                return;
            }
            continue;
        }
        qv__mutex_lock(&c->lock);
        if (c->poisoned) {
            qv__mutex_unlock(&c->lock);
            return;
        }
        qv__cond_timedwait(&c->done, &c->lock, 10u * 1000u * 1000u);
        qv__mutex_unlock(&c->lock);
    }
}

/* Book when the record must be on disk; true when the committer should look now. Called under
 * lock, after the append. */
static bool book(struct qv__commit *c, uint64_t lsn, uint64_t window_ns)
{
    if (window_ns == 0) {
        c->strict = lsn;
        return true;
    }
    uint64_t now = qv__mono_ns(c->clock), at = now + window_ns / 2;
    bool is_sooner = at < c->sync_at;
    if (now > QV_MIN(c->done_by, c->flushing_done_by)) {
        c->strict = lsn; /* the disk does not keep up: no more promises until it has */
        is_sooner = true;
    } else if (qv__log_pending_bytes(c->log) > QV__RELAXED_BYTES_MAX) {
        c->wanted = lsn;
        is_sooner = true;
    }
    c->sync_at = QV_MIN(c->sync_at, at);
    c->done_by = QV_MIN(c->done_by, now + window_ns);
    return is_sooner;
}

qv_status qv__commit_begin(struct qv__commit *c, uint32_t type, const struct qv__bytes *parts,
                           size_t n_parts, uint64_t window_ns, struct qv__inflight *f,
                           struct qv_err *err)
{
    bool look = false;
    qv__mutex_lock(&c->lock);
    qv_status st;
    if (c->poisoned) {
        st = qv__fail(err, QV_EREADONLY, "%s", c->poison_err.message);
    } else if (c->stopping) {
        st = qv__fail(err, QV_ECLOSED, "the database is closing");
    } else {
        st = qv__log_append(c->log, type, parts, n_parts, &f->lsn, err);
    }
    if (st == QV_OK) {
        QV_DEBUG_ASSERT(f->lsn > c->appended);
        c->appended = f->lsn;
        look = book(c, f->lsn, window_ns);
        f->next = &c->inflight;
        f->prev = c->inflight.prev;
        f->prev->next = f;
        c->inflight.prev = f;
    }
    qv__mutex_unlock(&c->lock);
    if (look) {
        qv__cond_signal(&c->due); /* after the lock, which the committer takes at once */
    }
    return st;
}

void qv__commit_applied(struct qv__commit *c, struct qv__inflight *f)
{
    qv__mutex_lock(&c->lock);
    f->prev->next = f->next;
    f->next->prev = f->prev;
    f->prev = f->next = NULL;
    /* When the flush was faster than the application, this is what publishes. */
    struct qv__ack *list = NULL;
    if (publish(c)) {
        list = take_due(c);
        qv__cond_broadcast(&c->done);
    }
    qv__mutex_unlock(&c->lock);
    send_acks(c, list);
}

bool qv__commit_wait(struct qv__commit *c, struct qv__ack *ack)
{
    ack->status = QV_OK;
    ack->next = NULL;
    qv__mutex_lock(&c->lock);
    bool published = ack->lsn <= atomic_load_explicit(&c->published, memory_order_relaxed);
    if (QV_PLANT(publish_before_sync)) {
        published = ack->lsn <= c->durable;
    }
    if (published || c->poisoned) {
        if (published) {
            qv__count(&c->acknowledged, 1);
        } else {
            ack->status = QV_EREADONLY;
            ack->err = c->poison_err;
        }
        qv__mutex_unlock(&c->lock);
        return false;
    }
    /* Mostly appended at the end; a writer that was overtaken between begin and wait goes before.
     */
    struct qv__ack **at = c->acks_tail;
    if (c->acks) {
        struct qv__ack *last = QV_CONTAINER_OF(c->acks_tail, struct qv__ack, next);
        if (last->lsn > ack->lsn) {
            at = &c->acks;
            while ((*at)->lsn <= ack->lsn) {
                at = &(*at)->next;
            }
        }
    }
    ack->next = *at;
    *at = ack;
    if (!ack->next) {
        c->acks_tail = &ack->next;
    }
    qv__mutex_unlock(&c->lock);
    return true;
}

qv_status qv__commit_sync(struct qv__commit *c, uint64_t lsn, struct qv_err *err)
{
    qv_status st = QV_OK;
    qv__mutex_lock(&c->lock);
    c->wanted = QV_MAX(c->wanted, QV_MIN(lsn, c->appended));
    while (settled(c) < lsn && !c->poisoned) {
        if (c->own_thread) {
            qv__cond_signal(&c->due);
            qv__cond_wait(&c->done, &c->lock);
        } else {
            qv__mutex_unlock(&c->lock);
            bool did = qv__commit_step(c);
            qv__mutex_lock(&c->lock);
            if (!did) {
                break;
            }
        }
    }
    if (settled(c) < lsn) {
        st = c->poisoned
                 ? qv__fail(err, QV_EREADONLY, "%s", c->poison_err.message)
                 : qv__fail(err, QV_EBUSY, "write %" PRIu64 " cannot be published yet", lsn);
    }
    qv__mutex_unlock(&c->lock);
    return st;
}

uint64_t qv__commit_settled(struct qv__commit *c)
{
    qv__mutex_lock(&c->lock);
    uint64_t lsn = settled(c);
    qv__mutex_unlock(&c->lock);
    return lsn;
}

uint64_t qv__commit_tail(struct qv__commit *c)
{
    qv__mutex_lock(&c->lock);
    uint64_t lsn = c->appended;
    qv__mutex_unlock(&c->lock);
    return lsn;
}

uint64_t qv__commit_published(struct qv__commit *c)
{
    return atomic_load_explicit(&c->published, memory_order_acquire);
}

uint64_t qv__commit_acknowledged(struct qv__commit *c)
{
    return qv__counted(&c->acknowledged);
}

void qv__commit_stop(struct qv__commit *c, const struct qv_err *why)
{
    qv__mutex_lock(&c->lock);
    poison(c, why, "writes are stopped until restart");
    qv__cond_broadcast(&c->done);
    qv__mutex_unlock(&c->lock);
    qv__cond_signal(&c->due); /* who waits is answered */
}

bool qv__commit_poisoned(struct qv__commit *c)
{
    qv__mutex_lock(&c->lock);
    bool p = c->poisoned;
    qv__mutex_unlock(&c->lock);
    return p;
}

qv_status qv__commit_check(struct qv__commit *c, struct qv_err *err)
{
    qv__mutex_lock(&c->lock);
    qv_status st = c->poisoned ? qv__fail(err, QV_EREADONLY, "%s", c->poison_err.message) : QV_OK;
    qv__mutex_unlock(&c->lock);
    return st;
}

void qv__read_begin(struct qv__commit *c, struct qv__reader_ticket *t)
{
    qv__mutex_lock(&c->readers_lock);
    t->lsn = atomic_load_explicit(&c->published, memory_order_acquire);
    t->next = &c->readers;
    t->prev = c->readers.prev;
    t->prev->next = t;
    c->readers.prev = t;
    qv__mutex_unlock(&c->readers_lock);
}

void qv__read_end(struct qv__commit *c, struct qv__reader_ticket *t)
{
    qv__mutex_lock(&c->readers_lock);
    t->prev->next = t->next;
    t->next->prev = t->prev;
    t->prev = t->next = NULL;
    qv__mutex_unlock(&c->readers_lock);
}

uint64_t qv__read_horizon(struct qv__commit *c)
{
    qv__mutex_lock(&c->readers_lock);
    uint64_t h = c->readers.next != &c->readers
                     ? c->readers.next->lsn
                     : atomic_load_explicit(&c->published, memory_order_acquire);
    qv__mutex_unlock(&c->readers_lock);
    return h;
}
