/* pool.c: the worker pool and the parallel loop.
 *
 * Pool. One mutex (rank POOL) guards three FIFO lanes and, per kind of thread, a stack of the idle
 * ones. Submitting takes a thread off a stack and calls it by its own condition variable, so that
 * no call goes to a thread that may not run the task and none is lost: a task that finds nobody
 * idle is found by a thread of its lane after the task it is at. No task runs under the lock, and
 * submitting needs no memory. While the pool closes every thread takes from every lane.
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

/* What a thread runs: reads only, reads and writes, background work only. */
enum kind { KIND_READER = 0, KIND_WORKER, KIND_BACKGROUND, KINDS };

struct worker {
    struct qv__thread thread;
    struct qv__pool *pool;
    enum kind kind;
    struct qv__condvar called;
    bool is_called;           /* guarded by: lock */
    struct worker *next_idle; /* guarded by: lock */
};

struct qv__pool {
    struct qv__mem *mem;
    struct qv__mutex lock;
    struct lane lanes[QV__LANES]; /* guarded by: lock */
    struct worker *idle[KINDS];   /* guarded by: lock */
    bool is_closing;              /* guarded by: lock */
    unsigned n_threads;           /* immutable after create */
    unsigned n_background;        /* immutable after create */
    struct worker *workers;
};

static _Thread_local struct {
    const struct qv__pool *pool; /* whose task this thread is running */
    enum qv__lane lane;
} current;

static bool may_run(enum kind kind, enum qv__lane lane)
{
    switch (lane) {
    case QV__LANE_READ:
        return kind != KIND_BACKGROUND;
    case QV__LANE_WRITE:
        return kind == KIND_WORKER;
    case QV__LANE_BACKGROUND:
    case QV__LANES:
    default:
        return kind == KIND_BACKGROUND;
    }
}

/* Under the lock. NULL if nothing is there for this kind of thread; KINDS = any. */
static struct qv__task *take_task(struct qv__pool *p, enum kind kind, enum qv__lane *lane_out)
{
    for (unsigned i = 0; i < QV__LANES; i++) {
        struct lane *lane = &p->lanes[i];
        if (!lane->head || (kind != KINDS && !may_run(kind, (enum qv__lane)i))) {
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

/* Under the lock. */
static void wait_for_call(struct qv__pool *p, struct worker *w)
{
    w->is_called = false;
    w->next_idle = p->idle[w->kind];
    p->idle[w->kind] = w;
    while (!w->is_called && !p->is_closing) {
        qv__cond_wait(&w->called, &p->lock);
    }
}

/* Under the lock. False if no thread of this kind is idle. */
static bool call_idle(struct qv__pool *p, enum kind kind)
{
    struct worker *w = p->idle[kind];
    if (w) {
        p->idle[kind] = w->next_idle;
        w->is_called = true;
        qv__cond_signal(&w->called);
    }
    return w != NULL;
}

static void worker_main(void *arg)
{
    struct worker *w = arg;
    struct qv__pool *p = w->pool;
    if (w->kind == KIND_BACKGROUND) {
        qv__thread_yield_to_others();
    }
    qv__thread_short_slices(w->kind != KIND_BACKGROUND);
    qv__mutex_lock(&p->lock);
    for (;;) {
        enum qv__lane lane = QV__LANE_READ;
        struct qv__task *t = take_task(p, p->is_closing ? KINDS : w->kind, &lane);
        if (t) {
            qv__mutex_unlock(&p->lock);
            run_task(p, lane, t);
            qv__mutex_lock(&p->lock);
            continue;
        }
        /* Tasks still running may submit more; their own workers look again and run those. */
        if (p->is_closing) {
            break;
        }
        wait_for_call(p, w);
    }
    qv__mutex_unlock(&p->lock);
}

static unsigned n_workers(const struct qv__pool *p)
{
    return p->n_threads ? p->n_threads + 1 + p->n_background : 0;
}

/* Let workers run everything queued, then join the first n. */
static void stop_workers(struct qv__pool *p, unsigned n)
{
    qv__mutex_lock(&p->lock);
    p->is_closing = true;
    for (unsigned i = 0; i < n; i++) {
        qv__cond_signal(&p->workers[i].called);
    }
    qv__mutex_unlock(&p->lock);
    for (unsigned i = 0; i < n; i++) {
        qv__thread_join(&p->workers[i].thread);
    }
}

static void pool_free(struct qv__pool *p)
{
    for (unsigned i = 0; i < n_workers(p); i++) {
        qv__cond_destroy(&p->workers[i].called);
    }
    qv__mutex_destroy(&p->lock);
    qv__free(p->workers);
    qv__free(p);
}

/* Number i: first the workers, then the reader, then the background threads. */
static qv_status start_worker(struct qv__pool *p, unsigned i, struct qv_err *err)
{
    struct worker *w = &p->workers[i];
    char name[24] = "qv-reader";
    w->kind = KIND_READER;
    if (i < p->n_threads) {
        w->kind = KIND_WORKER;
        (void)snprintf(name, sizeof name, "qv-worker-%u", i);
    } else if (i > p->n_threads) {
        w->kind = KIND_BACKGROUND;
        (void)snprintf(name, sizeof name, "qv-backgr-%u", i - p->n_threads - 1);
    }
    return qv__thread_start(&w->thread, name, worker_main, w, err);
}

qv_status qv__pool_create(struct qv__mem *mem, unsigned n_threads, struct qv__pool **out,
                          struct qv_err *err)
{
    if (n_threads > THREADS_MAX) {
        return qv__fail(err, QV_EINVAL, "worker threads: %u is over the limit of %d", n_threads,
                        THREADS_MAX);
    }
    struct qv__pool *p = qv__zalloc(mem, sizeof *p);
    unsigned n_background = QV_MAX(n_threads, 2u);
    struct worker *workers = qv__calloc(mem, n_threads + 1 + n_background, sizeof *workers);
    if (!p || !workers) {
        qv__free(workers);
        qv__free(p);
        return qv__fail(err, QV_ENOMEM, "worker pool: no memory for %u threads", n_threads);
    }
    p->mem = mem;
    p->workers = workers;
    p->n_threads = n_threads;
    p->n_background = n_background;
    qv__mutex_init(&p->lock, QV__RANK_POOL);
    for (unsigned i = 0; i < n_workers(p); i++) {
        workers[i].pool = p;
        qv__cond_init(&workers[i].called);
    }
    for (unsigned i = 0; i < n_workers(p); i++) {
        qv_status st = start_worker(p, i, err);
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
    stop_workers(p, n_workers(p));
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
    switch (lane) {
    case QV__LANE_READ: /* its own thread first: workers are for writes too */
        (void)(call_idle(p, KIND_READER) || call_idle(p, KIND_WORKER));
        break;
    case QV__LANE_WRITE:
        (void)call_idle(p, KIND_WORKER);
        break;
    case QV__LANE_BACKGROUND:
    case QV__LANES:
    default:
        (void)call_idle(p, KIND_BACKGROUND);
    }
    qv__mutex_unlock(&p->lock);
}

bool qv__pool_step(struct qv__pool *p)
{
    enum qv__lane lane = QV__LANE_READ;
    qv__mutex_lock(&p->lock);
    struct qv__task *t = take_task(p, KINDS, &lane);
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
    enum qv__lane lane = is_inside ? current.lane : QV__LANE_READ;
    unsigned n_others = 0;
    if (pool && pool->n_threads) {
        n_others = lane == QV__LANE_BACKGROUND ? pool->n_background : pool->n_threads;
        n_others -= is_inside;
    }
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
    for (size_t i = 0; i < n_helpers; i++) {
        qv__pool_submit(pool, lane, &j->helpers[i].task);
    }
    job_work(j, true);
    job_release(j);
}
