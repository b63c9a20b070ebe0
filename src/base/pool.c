/* pool.c: the worker pool and the parallel loop.
 *
 * Pool. One mutex (rank POOL) guards the FIFO lanes and each one's stack of idle threads.
 * Submitting takes a thread off its lane's stack and calls it by its own condition variable, so
 * that none is lost: a task that finds nobody idle is found by a thread of its lane after the task
 * it is at. No task runs under the lock, and submitting needs no memory. While the pool closes
 * every thread takes from every lane.
 *
 * Giving way. n_front counts reads and writes, queued or running, on whatever thread, and n_behind
 * the threads at jobs and background work; while they are more than the CPUs, a background thread
 * that calls qv__pool_give_way leaves n_behind and waits. The system's scheduler alone would give
 * it turns, of some milliseconds each, in the middle of searches. It waits no longer than
 * GIVE_WAY_MOST times what it has worked since it last did, so that requests without end leave it a
 * share.
 *
 * Parallel loop. Blocks are handed out by an atomic counter. The caller works like the helpers and
 * leaves when every block is done, so it needs no helper to come: only a block that a helper has
 * begun is waited for. The job lives on the heap and is counted by references, as a helper may be
 * scheduled long after the caller has left; it then finds no block and drops the last reference. If
 * there is no memory for the job the loop runs serially. Before each block a thread gives way; what
 * it does not take meanwhile, the others do. The pool that a thread works for, and its lane, are
 * the only thread-local state. */
#include "base/pool.h"

#include <stdatomic.h>
#include <stdio.h>

#define THREADS_MAX     4096
#define GIVE_WAY_MOST   3u        /* a quarter of a thread's time is left to it */
#define GIVE_WAY_NS_MAX 10000000u /* at once */

struct lane {
    struct qv__task *head, *tail;
    size_t n;
    struct worker *idle; /* stack */
};

struct worker {
    struct qv__thread thread;
    struct qv__pool *pool;
    enum qv__lane lane; /* what it runs */
    struct qv__condvar called;
    bool is_called;           /* guarded by: lock */
    struct worker *next_idle; /* guarded by: lock */
};

struct qv__pool {
    struct qv__mem *mem;
    struct qv__mutex lock;
    struct lane lanes[QV__LANES];  /* guarded by: lock */
    bool is_closing;               /* guarded by: lock */
    unsigned n_threads;            /* immutable after create */
    unsigned n_workers;            /* of all lanes; immutable after create */
    unsigned n_cpus;               /* immutable after create */
    _Atomic unsigned n_front;      /* reads and writes, queued or running */
    _Atomic unsigned n_behind;     /* threads at background work that do not give way */
    _Atomic unsigned n_giving_way; /* changes under the lock */
    struct qv__condvar way;        /* there may be a CPU for one of them */
    struct worker *workers;
};

static _Thread_local struct {
    const struct qv__pool *pool; /* whose task this thread is running */
    enum qv__lane lane;
    uint64_t since_cpu_ns; /* CPU time of this thread when it last gave way */
} current;

/* Of those that give way. */
static bool is_behind(enum qv__lane lane)
{
    return lane >= QV__LANE_JOB;
}

/* Under the lock. NULL if the lane (QV__LANES = any, the most urgent first) is empty. */
static struct qv__task *take_task(struct qv__pool *p, enum qv__lane from, enum qv__lane *lane_out)
{
    for (unsigned i = 0; i < QV__LANES; i++) {
        struct lane *lane = &p->lanes[i];
        if (!lane->head || (from != QV__LANES && from != i)) {
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

static void run_task(struct qv__pool *p, enum qv__lane lane, struct qv__task *t)
{
    /* Nested when a task steps the pool itself. */
    const struct qv__pool *outer_pool = current.pool;
    enum qv__lane outer_lane = current.lane;
    current.pool = p;
    current.lane = lane;
    atomic_fetch_add(&p->n_behind, is_behind(lane));
    t->fn(t);
    atomic_fetch_sub(is_behind(lane) ? &p->n_behind : &p->n_front, 1);
    current.pool = outer_pool;
    current.lane = outer_lane;
}

static unsigned n_at_work(struct qv__pool *p)
{
    return atomic_load_explicit(&p->n_front, memory_order_relaxed) +
           atomic_load_explicit(&p->n_behind, memory_order_relaxed);
}

void qv__pool_give_way(struct qv__pool *p)
{
    if (!p || p->n_threads == 0 || current.pool != p || !is_behind(current.lane) ||
        n_at_work(p) <= p->n_cpus) {
        return;
    }
    uint64_t left = (qv__thread_cpu_ns() - current.since_cpu_ns) * GIVE_WAY_MOST;
    left = QV_MIN(left, (uint64_t)GIVE_WAY_NS_MAX);
    qv__mutex_lock(&p->lock);
    atomic_fetch_sub(&p->n_behind, 1);
    p->n_giving_way++;
    for (uint64_t begin = qv__cond_now_ns(), now = begin;
         !p->is_closing && n_at_work(p) >= p->n_cpus && now - begin < left;
         now = qv__cond_now_ns()) {
        (void)qv__cond_timedwait(&p->way, &p->lock, left - (now - begin));
    }
    p->n_giving_way--;
    atomic_fetch_add(&p->n_behind, 1);
    qv__mutex_unlock(&p->lock);
    current.since_cpu_ns = qv__thread_cpu_ns();
}

/* Under the lock. */
static void offer_way(struct qv__pool *p)
{
    if (p->n_giving_way && n_at_work(p) < p->n_cpus) {
        qv__cond_signal(&p->way);
    }
}

bool qv__pool_enter(struct qv__pool *p)
{
    if (!p || p->n_threads == 0 || current.pool == p) {
        return false;
    }
    atomic_fetch_add(&p->n_front, 1);
    return true;
}

void qv__pool_leave(struct qv__pool *p, bool entered)
{
    if (!entered) {
        return;
    }
    atomic_fetch_sub(&p->n_front, 1);
    if (atomic_load(&p->n_giving_way)) {
        qv__mutex_lock(&p->lock);
        offer_way(p);
        qv__mutex_unlock(&p->lock);
    }
}

/* Under the lock. */
static void wait_for_call(struct qv__pool *p, struct worker *w)
{
    struct lane *l = &p->lanes[w->lane];
    w->is_called = false;
    w->next_idle = l->idle;
    l->idle = w;
    while (!w->is_called && !p->is_closing) {
        qv__cond_wait(&w->called, &p->lock);
    }
}

/* Under the lock. */
static void call_idle(struct lane *l)
{
    struct worker *w = l->idle;
    if (w) {
        l->idle = w->next_idle;
        w->is_called = true;
        qv__cond_signal(&w->called);
    }
}

static const enum qv__slices slices[] = {[QV__LANE_READ] = QV__SLICES_SHORTEST,
                                         [QV__LANE_WRITE] = QV__SLICES_SHORT,
                                         [QV__LANE_JOB] = QV__SLICES_DEFAULT,
                                         [QV__LANE_BACKGROUND] = QV__SLICES_DEFAULT};

static void worker_main(void *arg)
{
    struct worker *w = arg;
    struct qv__pool *p = w->pool;
    if (is_behind(w->lane)) {
        qv__thread_yield_to_others();
    }
    qv__thread_slices(slices[w->lane]);
    qv__mutex_lock(&p->lock);
    for (;;) {
        enum qv__lane lane = QV__LANE_READ;
        struct qv__task *t = take_task(p, p->is_closing ? QV__LANES : w->lane, &lane);
        if (t) {
            qv__mutex_unlock(&p->lock);
            run_task(p, lane, t);
            qv__mutex_lock(&p->lock);
            offer_way(p);
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

/* Let workers run everything queued, then join the first n. */
static void stop_workers(struct qv__pool *p, unsigned n)
{
    qv__mutex_lock(&p->lock);
    p->is_closing = true;
    for (unsigned i = 0; i < n; i++) {
        qv__cond_signal(&p->workers[i].called);
    }
    qv__cond_broadcast(&p->way);
    qv__mutex_unlock(&p->lock);
    for (unsigned i = 0; i < n; i++) {
        qv__thread_join(&p->workers[i].thread);
    }
}

static void pool_free(struct qv__pool *p)
{
    for (unsigned i = 0; i < p->n_workers; i++) {
        qv__cond_destroy(&p->workers[i].called);
    }
    qv__cond_destroy(&p->way);
    qv__mutex_destroy(&p->lock);
    qv__free(p->workers);
    qv__free(p);
}

/* Threads of a lane. */
static unsigned threads_of(unsigned n_threads, enum qv__lane lane)
{
    return n_threads && is_behind(lane) ? QV_MAX(n_threads, 2u) : n_threads;
}

static qv_status start_workers(struct qv__pool *p, unsigned *n_started, struct qv_err *err)
{
    static const char *const names[] = {[QV__LANE_READ] = "qv-reader",
                                        [QV__LANE_WRITE] = "qv-writer",
                                        [QV__LANE_JOB] = "qv-job",
                                        [QV__LANE_BACKGROUND] = "qv-backgr"};
    for (unsigned lane = 0; lane < QV__LANES; lane++) {
        for (unsigned i = 0; i < threads_of(p->n_threads, (enum qv__lane)lane); i++) {
            struct worker *w = &p->workers[*n_started];
            char name[24];
            (void)snprintf(name, sizeof name, "%s-%u", names[lane], i);
            w->lane = (enum qv__lane)lane;
            QV_TRY(qv__thread_start(&w->thread, name, worker_main, w, err));
            ++*n_started;
        }
    }
    return QV_OK;
}

qv_status qv__pool_create(struct qv__mem *mem, unsigned n_threads, struct qv__pool **out,
                          struct qv_err *err)
{
    if (n_threads > THREADS_MAX) {
        return qv__fail(err, QV_EINVAL, "worker threads: %u is over the limit of %d", n_threads,
                        THREADS_MAX);
    }
    struct qv__pool *p = qv__zalloc(mem, sizeof *p);
    unsigned n_workers = 2 * n_threads + 2 * threads_of(n_threads, QV__LANE_JOB);
    struct worker *workers = qv__calloc(mem, n_workers + 1, sizeof *workers);
    if (!p || !workers) {
        qv__free(workers);
        qv__free(p);
        return qv__fail(err, QV_ENOMEM, "worker pool: no memory for %u threads", n_threads);
    }
    p->mem = mem;
    p->workers = workers;
    p->n_threads = n_threads;
    p->n_workers = n_workers;
    p->n_cpus = qv__cpu_count();
    qv__mutex_init(&p->lock, QV__RANK_POOL);
    qv__cond_init(&p->way);
    for (unsigned i = 0; i < p->n_workers; i++) {
        workers[i].pool = p;
        qv__cond_init(&workers[i].called);
    }
    unsigned n_started = 0;
    qv_status st = start_workers(p, &n_started, err);
    if (st != QV_OK) {
        stop_workers(p, n_started);
        pool_free(p);
        return st;
    }
    *out = p;
    return QV_OK;
}

void qv__pool_close(struct qv__pool *p)
{
    if (!p) {
        return;
    }
    stop_workers(p, p->n_workers);
    while (qv__pool_step(p)) {
    }
    pool_free(p);
}

void qv__pool_submit(struct qv__pool *p, enum qv__lane lane, struct qv__task *task)
{
    QV_ASSERT((unsigned)lane < QV__LANES);
    task->next = NULL;
    atomic_fetch_add(&p->n_front, !is_behind(lane));
    qv__mutex_lock(&p->lock);
    struct lane *l = &p->lanes[lane];
    if (l->tail) {
        l->tail->next = task;
    } else {
        l->head = task;
    }
    l->tail = task;
    l->n++;
    call_idle(l); /* under the lock: afterwards the task may run, and end the pool's life */
    qv__mutex_unlock(&p->lock);
}

bool qv__pool_step(struct qv__pool *p)
{
    enum qv__lane lane = QV__LANE_READ;
    qv__mutex_lock(&p->lock);
    struct qv__task *t = take_task(p, QV__LANES, &lane);
    qv__mutex_unlock(&p->lock);
    if (!t) {
        return false;
    }
    run_task(p, lane, t);
    return true;
}

static bool is_over(const struct qv__task *t, uint64_t now_ns)
{
    return (t->deadline_ns && t->deadline_ns < now_ns) ||
           (t->cancelled && atomic_load_explicit(t->cancelled, memory_order_relaxed));
}

/* Under the lock: move those of the lane that are over into a list, in order. */
static void take_over(struct lane *l, uint64_t now_ns, uint64_t *next_ns, struct qv__task **list)
{
    struct qv__task **at = &l->head;
    l->tail = NULL;
    while (*at) {
        struct qv__task *t = *at;
        if (is_over(t, now_ns)) {
            *at = t->next;
            t->next = NULL;
            *list = t;
            list = &t->next;
            l->n--;
            continue;
        }
        *next_ns = t->deadline_ns ? QV_MIN(*next_ns, t->deadline_ns) : *next_ns;
        l->tail = t;
        at = &t->next;
    }
}

uint64_t qv__pool_expire(struct qv__pool *p, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;
    struct qv__task *over[QV__LANES] = {NULL};
    qv__mutex_lock(&p->lock);
    for (unsigned i = 0; i < QV__LANES; i++) {
        take_over(&p->lanes[i], now_ns, &next_ns, &over[i]);
    }
    qv__mutex_unlock(&p->lock);
    for (unsigned i = 0; i < QV__LANES; i++) {
        while (over[i]) {
            struct qv__task *t = over[i];
            over[i] = t->next;
            t->next = NULL;
            run_task(p, (enum qv__lane)i, t);
        }
    }
    return next_ns;
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
    struct qv__pool *pool;
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
    while (atomic_load_explicit(&j->next_block, memory_order_relaxed) < j->n_blocks) {
        qv__pool_give_way(j->pool);
        size_t block = atomic_fetch_add_explicit(&j->next_block, 1, memory_order_relaxed);
        if (block >= j->n_blocks) {
            break;
        }
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
    bool is_inside = pool && current.pool == pool && current.lane == QV__LANE_BACKGROUND;
    unsigned n_others = pool ? threads_of(pool->n_threads, QV__LANE_BACKGROUND) : 0;
    n_others -= n_others && is_inside;
    size_t n_helpers = QV_MIN((size_t)(max_threads ? max_threads - 1 : 0), (size_t)n_others);
    n_helpers = n_blocks ? QV_MIN(n_helpers, n_blocks - 1) : 0;
    struct job *j = n_helpers ? job_new(pool->mem, (unsigned)n_helpers) : NULL;
    if (!j) {
        loop_serial(n, grain, fn, ctx);
        return;
    }
    j->pool = pool;
    j->fn = fn;
    j->ctx = ctx;
    j->n = n;
    j->grain = grain;
    j->n_blocks = n_blocks;
    for (size_t i = 0; i < n_helpers; i++) {
        qv__pool_submit(pool, QV__LANE_BACKGROUND, &j->helpers[i].task);
    }
    job_work(j, true);
    job_release(j);
}
