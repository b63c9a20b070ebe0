/* pool.c: the worker pool and the parallel loop.
 *
 * Pool. One mutex (rank POOL) guards three FIFO lanes; workers sleep on one condition variable. A
 * worker takes the first task of the most urgent lane that may run; background tasks may run while
 * fewer than n_threads - 1 of them do. A worker always looks again after a task, so a task that was
 * refused because of that bound is found by the worker whose end lifts it; no wake-up is lost. No
 * task runs under the lock, and submitting needs no memory.
 *
 * Parallel loop. Blocks are handed out by an atomic counter. The caller works like the helpers and
 * leaves when every block is done, so it needs no helper to come: only a block that a helper has
 * begun is waited for. The job lives on the heap and is counted by references, as a helper may be
 * scheduled long after the caller has left; it then finds no block and drops the last reference. If
 * there is no memory for the job the loop runs serially. Helpers go to the lane of the task that
 * called, so that a background build stays background work; this and the pool a thread works for
 * are the only thread-local state. */
#include "base/pool.h"

#include <stdatomic.h>
#include <stdio.h>

#define THREADS_MAX 4096

struct lane {
    struct qv__task *head, *tail;
    size_t n;
};

struct qv__pool {
    struct qv__mem *mem;
    struct qv__mutex lock;
    struct qv__condvar work;
    struct lane lanes[QV__LANES];  /* guarded by: lock */
    unsigned n_background_running; /* guarded by: lock */
    bool is_closing;               /* guarded by: lock */
    unsigned n_threads;            /* immutable after create */
    struct qv__thread *threads;
};

static _Thread_local struct {
    const struct qv__pool *pool; /* whose task this thread is running */
    enum qv__lane lane;
} current;

/* Under the lock. NULL if nothing may run now. */
static struct qv__task *take_task(struct qv__pool *p, bool is_background_allowed,
                                  enum qv__lane *lane_out)
{
    for (unsigned i = 0; i < QV__LANES; i++) {
        struct lane *lane = &p->lanes[i];
        if (!lane->head || (i == QV__LANE_BACKGROUND && !is_background_allowed)) {
            continue;
        }
        struct qv__task *t = lane->head;
        lane->head = t->next;
        if (!lane->head) {
            lane->tail = NULL;
        }
        lane->n--;
        t->next = NULL;
        *lane_out = (enum qv__lane)i;
        return t;
    }
    return NULL;
}

static void run_task(const struct qv__pool *p, enum qv__lane lane, struct qv__task *t)
{
    /* Nested when a task steps the pool itself. */
    const struct qv__pool *outer_pool = current.pool;
    enum qv__lane outer_lane = current.lane;
    current.pool = p;
    current.lane = lane;
    t->fn(t);
    current.pool = outer_pool;
    current.lane = outer_lane;
}

static bool may_run_background(const struct qv__pool *p)
{
    return p->is_closing || p->n_threads < 2 || p->n_background_running < p->n_threads - 1;
}

static void worker_main(void *arg)
{
    struct qv__pool *p = arg;
    qv__mutex_lock(&p->lock);
    for (;;) {
        enum qv__lane lane = QV__LANE_READ;
        struct qv__task *t = take_task(p, may_run_background(p), &lane);
        if (t) {
            bool is_background = lane == QV__LANE_BACKGROUND;
            p->n_background_running += is_background;
            qv__mutex_unlock(&p->lock);
            run_task(p, lane, t);
            qv__mutex_lock(&p->lock);
            p->n_background_running -= is_background;
            continue;
        }
        /* Tasks still running may submit more; their own workers look again and run those. */
        if (p->is_closing) {
            break;
        }
        qv__cond_wait(&p->work, &p->lock);
    }
    qv__mutex_unlock(&p->lock);
}

/* Let workers run everything queued, then join the first n. */
static void stop_workers(struct qv__pool *p, unsigned n)
{
    qv__mutex_lock(&p->lock);
    p->is_closing = true;
    qv__cond_broadcast(&p->work);
    qv__mutex_unlock(&p->lock);
    for (unsigned i = 0; i < n; i++) {
        qv__thread_join(&p->threads[i]);
    }
}

static void pool_free(struct qv__pool *p)
{
    qv__cond_destroy(&p->work);
    qv__mutex_destroy(&p->lock);
    qv__free(p->threads);
    qv__free(p);
}

qv_status qv__pool_create(struct qv__mem *mem, unsigned n_threads, struct qv__pool **out,
                          struct qv_err *err)
{
    if (n_threads > THREADS_MAX) {
        return qv__fail(err, QV_EINVAL, "worker threads: %u is over the limit of %d", n_threads,
                        THREADS_MAX);
    }
    struct qv__pool *p = qv__zalloc(mem, sizeof *p);
    struct qv__thread *threads = qv__calloc(mem, n_threads, sizeof *threads);
    if (!p || !threads) {
        qv__free(threads);
        qv__free(p);
        return qv__fail(err, QV_ENOMEM, "worker pool: no memory for %u threads", n_threads);
    }
    p->mem = mem;
    p->threads = threads;
    p->n_threads = n_threads;
    qv__mutex_init(&p->lock, QV__RANK_POOL);
    qv__cond_init(&p->work);
    for (unsigned i = 0; i < n_threads; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "qv-worker-%u", i);
        qv_status st = qv__thread_start(&threads[i], name, worker_main, p, err);
        if (st != QV_OK) {
            stop_workers(p, i);
            pool_free(p);
            return st;
        }
    }
    *out = p;
    return QV_OK;
}

void qv__pool_close(struct qv__pool *p)
{
    if (!p) {
        return;
    }
    stop_workers(p, p->n_threads);
    while (qv__pool_step(p)) {
    }
    pool_free(p);
}

void qv__pool_submit(struct qv__pool *p, enum qv__lane lane, struct qv__task *task)
{
    QV_ASSERT((unsigned)lane < QV__LANES);
    task->next = NULL;
    qv__mutex_lock(&p->lock);
    struct lane *l = &p->lanes[lane];
    if (l->tail) {
        l->tail->next = task;
    } else {
        l->head = task;
    }
    l->tail = task;
    l->n++;
    /* Under the lock: afterwards the task may run, and end the pool's life. */
    qv__cond_signal(&p->work);
    qv__mutex_unlock(&p->lock);
}

bool qv__pool_step(struct qv__pool *p)
{
    enum qv__lane lane = QV__LANE_READ;
    qv__mutex_lock(&p->lock);
    struct qv__task *t = take_task(p, true, &lane);
    qv__mutex_unlock(&p->lock);
    if (!t) {
        return false;
    }
    run_task(p, lane, t);
    return true;
}

unsigned qv__pool_threads(const struct qv__pool *p)
{
    return p->n_threads;
}

size_t qv__pool_queued(const struct qv__pool *p, enum qv__lane lane)
{
    QV_ASSERT((unsigned)lane < QV__LANES);
    struct qv__pool *locked = (struct qv__pool *)(uintptr_t)p;
    qv__mutex_lock(&locked->lock);
    size_t n = p->lanes[lane].n;
    qv__mutex_unlock(&locked->lock);
    return n;
}

/* ---- the parallel loop ---- */

typedef void (*loop_fn)(void *ctx, size_t begin, size_t end, unsigned worker);

struct job;
struct helper {
    struct qv__task task;
    struct job *job;
};

struct job {
    loop_fn fn;
    void *ctx;
    size_t n, grain, n_blocks; /* immutable */
    _Atomic size_t next_block;
    _Atomic unsigned next_worker;
    _Atomic unsigned refs; /* the caller and every helper that has not left */
    struct qv__mutex lock;
    struct qv__condvar all_done;
    size_t n_done; /* blocks; guarded by: lock */
    struct helper helpers[];
};

static void run_block(struct job *j, size_t block, unsigned worker)
{
    size_t begin = block * j->grain;
    j->fn(j->ctx, begin, begin + QV_MIN(j->grain, j->n - begin), worker);
}

static void job_release(struct job *j)
{
    if (atomic_fetch_sub_explicit(&j->refs, 1, memory_order_acq_rel) == 1) {
        qv__cond_destroy(&j->all_done);
        qv__mutex_destroy(&j->lock);
        qv__free(j);
    }
}

/* Work until no block is left, and book what was done. */
static void job_work(struct job *j, bool is_caller)
{
    size_t done = 0;
    unsigned worker = 0; /* the caller's number */
    size_t block;
    while ((block = atomic_fetch_add_explicit(&j->next_block, 1, memory_order_relaxed)) <
           j->n_blocks) {
        if (!is_caller && done == 0) {
            worker = atomic_fetch_add_explicit(&j->next_worker, 1, memory_order_relaxed);
        }
        run_block(j, block, worker);
        done++;
    }
    qv__mutex_lock(&j->lock);
    j->n_done += done;
    if (j->n_done == j->n_blocks) {
        qv__cond_broadcast(&j->all_done);
    }
    while (is_caller && j->n_done < j->n_blocks) {
        qv__cond_wait(&j->all_done, &j->lock);
    }
    qv__mutex_unlock(&j->lock);
}

static void helper_main(struct qv__task *task)
{
    struct job *j = QV_CONTAINER_OF(task, struct helper, task)->job;
    job_work(j, false);
    job_release(j);
}

static void loop_serial(size_t n, size_t grain, loop_fn fn, void *ctx)
{
    for (size_t begin = 0; begin < n;) {
        size_t end = begin + QV_MIN(grain, n - begin);
        fn(ctx, begin, end, 0);
        begin = end;
    }
}

static struct job *job_new(struct qv__mem *mem, unsigned n_helpers)
{
    struct job *j = qv__zalloc(mem, sizeof *j + n_helpers * sizeof(struct helper));
    if (!j) {
        return NULL;
    }
    for (unsigned i = 0; i < n_helpers; i++) {
        j->helpers[i] = (struct helper){.task = {.fn = helper_main}, .job = j};
    }
    atomic_init(&j->next_block, 0);
    atomic_init(&j->next_worker, 1);
    atomic_init(&j->refs, n_helpers + 1);
    qv__mutex_init(&j->lock, QV__RANK_LEAF);
    qv__cond_init(&j->all_done);
    return j;
}

void qv__parallel_for(struct qv__pool *pool, unsigned max_threads, size_t n, size_t grain,
                      loop_fn fn, void *ctx)
{
    grain = grain ? grain : 1;
    size_t n_blocks = n / grain + (n % grain != 0);
    /* A pool's own worker is one of its threads already. */
    bool is_inside = pool && current.pool == pool;
    unsigned n_others = pool && pool->n_threads ? pool->n_threads - is_inside : 0;
    size_t n_helpers = QV_MIN((size_t)(max_threads ? max_threads - 1 : 0), (size_t)n_others);
    n_helpers = n_blocks ? QV_MIN(n_helpers, n_blocks - 1) : 0;
    struct job *j = n_helpers ? job_new(pool->mem, (unsigned)n_helpers) : NULL;
    if (!j) {
        loop_serial(n, grain, fn, ctx);
        return;
    }
    j->fn = fn;
    j->ctx = ctx;
    j->n = n;
    j->grain = grain;
    j->n_blocks = n_blocks;
    enum qv__lane lane = is_inside ? current.lane : QV__LANE_READ;
    for (size_t i = 0; i < n_helpers; i++) {
        qv__pool_submit(pool, lane, &j->helpers[i].task);
    }
    job_work(j, true);
    job_release(j);
}
