/* test_pool.c: lanes, closing, the parallel loop, and stress for the thread sanitizer. */
#include "base_test.h"

#include <stdatomic.h>
#include <sys/resource.h>

#include "base/rng.h"
#include "pool_note.h"

static struct qv__mem *root;

static int setup(void **state)
{
    (void)state;
    root = qv__mem_root("root", 0);
    return root ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    size_t used = qv__mem_used(root);
    qv__mem_close(root);
    return used == 0 ? 0 : -1;
}

static struct qv__pool *pool_of(unsigned n_threads)
{
    struct qv__pool *p = NULL;
    assert_int_equal(qv__pool_create(root, n_threads, &p, NULL), QV_OK);
    assert_int_equal(qv__pool_threads(p), n_threads);
    return p;
}

/* ---- order, in the manual mode ---- */

static void a_manual_pool_runs_lanes_in_order(void **state)
{
    (void)state;
    struct qv__pool *p = pool_of(0);
    char out[16] = "";
    static const struct {
        char mark;
        enum qv__lane lane;
    } plan[] = {{'x', QV__LANE_BACKGROUND}, {'m', QV__LANE_WRITE},      {'a', QV__LANE_READ},
                {'b', QV__LANE_READ},       {'y', QV__LANE_BACKGROUND}, {'n', QV__LANE_WRITE}};
    struct noted tasks[QV_ARRAY_LEN(plan)];
    for (size_t i = 0; i < QV_ARRAY_LEN(plan); i++) {
        tasks[i] = (struct noted){.task.fn = note, .mark = plan[i].mark, .out = out};
        qv__pool_submit(p, plan[i].lane, &tasks[i].task);
    }
    assert_string_equal(out, ""); /* nothing runs by itself */
    assert_int_equal(qv__pool_queued(p, QV__LANE_READ), 2);
    assert_int_equal(qv__pool_queued(p, QV__LANE_WRITE), 2);
    assert_int_equal(qv__pool_queued(p, QV__LANE_BACKGROUND), 2);
    for (int i = 0; i < 4; i++) {
        assert_true(qv__pool_step(p));
    }
    assert_string_equal(out, "abmn");
    assert_int_equal(qv__pool_queued(p, QV__LANE_READ), 0);
    /* A more urgent task overtakes. */
    qv__pool_submit(p, QV__LANE_READ, &tasks[2].task);
    assert_true(qv__pool_step(p));
    assert_true(qv__pool_step(p));
    assert_string_equal(out, "abmnax");
    qv__pool_close(p); /* runs the rest */
    assert_string_equal(out, "abmnaxy");
}

static void an_empty_pool_does_nothing(void **state)
{
    (void)state;
    struct qv__pool *p = pool_of(0);
    assert_false(qv__pool_step(p));
    qv__pool_close(p);
    qv__pool_close(pool_of(3));
    qv__pool_close(NULL);
}

/* ---- closing ---- */

struct chain {
    struct qv__task task;
    struct qv__pool *pool;
    _Atomic int *count;
    int left;
};

/* Submits its successor, then frees itself. */
static void run_chain(struct qv__task *task)
{
    struct chain *c = QV_CONTAINER_OF(task, struct chain, task);
    atomic_fetch_add(c->count, 1);
    if (c->left > 0) {
        struct chain *next = qv__alloc(root, sizeof *next);
        *next = *c;
        next->left--;
        qv__pool_submit(c->pool, (enum qv__lane)(next->left % QV__LANES), &next->task);
    }
    qv__free(c);
}

static void close_runs_what_is_queued_and_what_that_submits(void **state)
{
    (void)state;
    for (unsigned n_threads = 0; n_threads <= 4; n_threads++) {
        struct qv__pool *p = pool_of(n_threads);
        _Atomic int count = 0;
        for (int i = 0; i < 50; i++) {
            struct chain *c = qv__alloc(root, sizeof *c);
            *c = (struct chain){{.fn = run_chain}, p, &count, 20};
            qv__pool_submit(p, (enum qv__lane)(i % QV__LANES), &c->task);
        }
        qv__pool_close(p);
        assert_int_equal(atomic_load(&count), 50 * 21);
    }
}

/* ---- lanes with threads ---- */

struct gate {
    struct qv__mutex lock;
    struct qv__condvar cond;
    unsigned n_inside, n_inside_max, n_ran;
    bool is_open;
};

struct waiter {
    struct qv__task task;
    struct gate *gate;
};

static void wait_at_gate(struct qv__task *task)
{
    struct gate *g = QV_CONTAINER_OF(task, struct waiter, task)->gate;
    qv__mutex_lock(&g->lock);
    g->n_inside++;
    g->n_inside_max = QV_MAX(g->n_inside_max, g->n_inside);
    qv__cond_broadcast(&g->cond);
    while (!g->is_open) {
        qv__cond_wait(&g->cond, &g->lock);
    }
    g->n_inside--;
    g->n_ran++;
    qv__cond_broadcast(&g->cond);
    qv__mutex_unlock(&g->lock);
}

static void pass(struct qv__task *task)
{
    struct gate *g = QV_CONTAINER_OF(task, struct waiter, task)->gate;
    qv__mutex_lock(&g->lock);
    g->n_ran++;
    qv__cond_broadcast(&g->cond);
    qv__mutex_unlock(&g->lock);
}

static void gate_init(struct gate *g, bool is_open)
{
    *g = (struct gate){.is_open = is_open};
    qv__mutex_init(&g->lock, QV__RANK_LEAF);
    qv__cond_init(&g->cond);
}

static void gate_destroy(struct gate *g)
{
    qv__cond_destroy(&g->cond);
    qv__mutex_destroy(&g->lock);
}

/* Until n tasks stand at the gate. */
static void gate_await(struct gate *g, unsigned n)
{
    qv__mutex_lock(&g->lock);
    while (g->n_inside < n) {
        qv__cond_wait(&g->cond, &g->lock);
    }
    qv__mutex_unlock(&g->lock);
}

/* Until n tasks have passed it. */
static void gate_passed(struct gate *g, unsigned n)
{
    qv__mutex_lock(&g->lock);
    while (g->n_ran < n) {
        qv__cond_wait(&g->cond, &g->lock);
    }
    qv__mutex_unlock(&g->lock);
}

static void gate_open(struct gate *g)
{
    qv__mutex_lock(&g->lock);
    g->is_open = true;
    qv__cond_broadcast(&g->cond);
    qv__mutex_unlock(&g->lock);
}

static void submit_to(struct qv__pool *p, enum qv__lane lane, struct waiter *w, struct gate *g,
                      void (*fn)(struct qv__task *))
{
    *w = (struct waiter){{.fn = fn}, g};
    qv__pool_submit(p, lane, &w->task);
}

/* Every background thread hangs and more work waits: reads and writes get through. Then every
 * worker hangs in a write and more writes wait: reads still do. */
static void no_lane_stops_a_more_urgent_one(void **state)
{
    (void)state;
    enum { TASKS = 8 };
    for (unsigned n_threads = 1; n_threads <= 3; n_threads++) {
        struct qv__pool *p = pool_of(n_threads);
        struct gate slow, slow_writes, quick;
        struct waiter background[TASKS], writes[TASKS], urgent[TASKS], reads[TASKS];
        unsigned n_background = QV_MAX(n_threads, 2u);
        gate_init(&slow, false);
        gate_init(&slow_writes, false);
        gate_init(&quick, true);
        for (size_t i = 0; i < TASKS; i++) {
            submit_to(p, QV__LANE_BACKGROUND, &background[i], &slow, wait_at_gate);
        }
        gate_await(&slow, n_background);
        for (size_t i = 0; i < TASKS; i++) {
            submit_to(p, i % 2 ? QV__LANE_READ : QV__LANE_WRITE, &urgent[i], &quick, pass);
        }
        gate_passed(&quick, TASKS);
        for (size_t i = 0; i < TASKS; i++) {
            submit_to(p, QV__LANE_WRITE, &writes[i], &slow_writes, wait_at_gate);
        }
        gate_await(&slow_writes, n_threads);
        for (size_t i = 0; i < TASKS; i++) {
            submit_to(p, QV__LANE_READ, &reads[i], &quick, pass);
        }
        gate_passed(&quick, 2 * TASKS);
        assert_int_equal(qv__pool_queued(p, QV__LANE_BACKGROUND), TASKS - n_background);
        assert_int_equal(qv__pool_queued(p, QV__LANE_WRITE), TASKS - n_threads);
        gate_open(&slow);
        gate_open(&slow_writes);
        gate_passed(&slow, TASKS);
        gate_passed(&slow_writes, TASKS);
        qv__pool_close(p);
        assert_int_equal(slow.n_inside_max, n_background);
        assert_int_equal(slow_writes.n_inside_max, n_threads);
        gate_destroy(&slow);
        gate_destroy(&slow_writes);
        gate_destroy(&quick);
    }
}

struct nice_probe {
    struct qv__task task;
    struct gate *gate;
    int nice;
};

static void look_at_priority(struct qv__task *task)
{
    struct nice_probe *n = QV_CONTAINER_OF(task, struct nice_probe, task);
    n->nice = getpriority(PRIO_PROCESS, (id_t)gettid());
    struct waiter w = {.gate = n->gate};
    pass(&w.task);
}

static void background_threads_have_a_lower_priority(void **state)
{
    (void)state;
    struct qv__pool *p = pool_of(2);
    struct gate g;
    struct nice_probe probes[QV__LANES];
    int own = getpriority(PRIO_PROCESS, (id_t)gettid());
    gate_init(&g, true);
    for (unsigned i = 0; i < QV__LANES; i++) {
        probes[i] = (struct nice_probe){{.fn = look_at_priority}, &g, -100};
        qv__pool_submit(p, (enum qv__lane)i, &probes[i].task);
    }
    gate_passed(&g, QV__LANES);
    qv__pool_close(p);
    assert_int_equal(probes[QV__LANE_READ].nice, own);
    assert_int_equal(probes[QV__LANE_WRITE].nice, own);
    assert_int_equal(probes[QV__LANE_BACKGROUND].nice, QV_MIN(own + 5, 19));
    gate_destroy(&g);
}

static void a_single_worker_runs_background_work_too(void **state)
{
    (void)state;
    struct qv__pool *p = pool_of(1);
    struct gate g = {.is_open = true};
    qv__mutex_init(&g.lock, QV__RANK_LEAF);
    qv__cond_init(&g.cond);
    struct waiter w = {{.fn = pass}, &g};
    qv__pool_submit(p, QV__LANE_BACKGROUND, &w.task);
    qv__mutex_lock(&g.lock);
    while (g.n_ran < 1) {
        qv__cond_wait(&g.cond, &g.lock);
    }
    qv__mutex_unlock(&g.lock);
    qv__pool_close(p);
    qv__cond_destroy(&g.cond);
    qv__mutex_destroy(&g.lock);
}

struct name_probe {
    struct qv__task task;
    struct gate *gate;
    char name[16];
};

static void look_at_name(struct qv__task *task)
{
    struct name_probe *n = QV_CONTAINER_OF(task, struct name_probe, task);
    pthread_getname_np(pthread_self(), n->name, sizeof n->name);
    struct waiter w = {.gate = n->gate};
    pass(&w.task);
}

/* A thread that has just done a large write is behind others in the system's queue. */
static void reads_do_not_run_on_the_threads_of_writes(void **state)
{
    (void)state;
    struct qv__pool *p = pool_of(2);
    struct gate g;
    struct name_probe probes[40];
    gate_init(&g, true);
    for (unsigned i = 0; i < QV_ARRAY_LEN(probes); i++) {
        probes[i] = (struct name_probe){{.fn = look_at_name}, &g, ""};
        qv__pool_submit(p, i % 2 ? QV__LANE_WRITE : QV__LANE_READ, &probes[i].task);
    }
    gate_passed(&g, QV_ARRAY_LEN(probes));
    qv__pool_close(p);
    for (unsigned i = 0; i < QV_ARRAY_LEN(probes); i++) {
        assert_memory_equal(probes[i].name, i % 2 ? "qv-writer" : "qv-reader", 9);
    }
    gate_destroy(&g);
}

/* ---- giving way ---- */

struct way {
    struct qv__task task;
    struct qv__pool *pool;
    struct gate *gate;     /* of the reads */
    _Atomic bool is_going; /* the reads may go on */
    _Atomic unsigned n_read;
    unsigned n_reads;
    bool was_last;
};

struct way_read {
    struct qv__task task;
    struct way *way;
};

static void work_ns(uint64_t ns)
{
    for (uint64_t begin = qv__thread_cpu_ns(); qv__thread_cpu_ns() - begin < ns;) {
    }
}

static void read_when_told(struct qv__task *task)
{
    struct way *way = QV_CONTAINER_OF(task, struct way_read, task)->way;
    while (!atomic_load(&way->is_going)) {
        usleep(100);
    }
    work_ns(500 * 1000);
    atomic_fetch_add(&way->n_read, 1);
    struct waiter w = {.gate = way->gate};
    pass(&w.task);
}

static void work_and_give_way(struct qv__task *task)
{
    struct way *way = QV_CONTAINER_OF(task, struct way, task);
    work_ns(4 * 1000 * 1000);
    atomic_store(&way->is_going, true);
    qv__pool_give_way(way->pool);
    way->was_last = atomic_load(&way->n_read) == way->n_reads;
    struct waiter w = {.gate = way->gate};
    pass(&w.task);
}

/* As many reads as there are CPUs, which take half a millisecond from when the background task
 * gives way: it comes last, unless the machine kept the reads from running for 10 ms. */
static void background_work_gives_way_to_reads(void **state)
{
    (void)state;
    unsigned n = QV_MIN(qv__cpu_count(), 16u);
    if (n < qv__cpu_count()) {
        skip();
    }
    bool was_last = false;
    for (unsigned attempt = 0; attempt < 100 && !was_last; attempt++) {
        struct qv__pool *p = pool_of(n);
        struct gate g;
        struct way_read reads[16];
        gate_init(&g, true);
        struct way way = {{.fn = work_and_give_way}, p, &g, false, 0, n, false};
        for (unsigned i = 0; i < n; i++) {
            reads[i] = (struct way_read){{.fn = read_when_told}, &way};
            qv__pool_submit(p, QV__LANE_READ, &reads[i].task);
        }
        qv__pool_submit(p, QV__LANE_BACKGROUND, &way.task);
        gate_passed(&g, n + 1);
        qv__pool_close(p);
        was_last = way.was_last;
        gate_destroy(&g);
    }
    assert_true(was_last);
}

static void give_way_often(struct qv__task *task)
{
    struct way *way = QV_CONTAINER_OF(task, struct way, task);
    for (int i = 0; i < 20; i++) {
        work_ns(100 * 1000);
        qv__pool_give_way(way->pool);
    }
    atomic_store(&way->is_going, true);
    struct waiter w = {.gate = way->gate};
    pass(&w.task);
}

/* Reads that end only when the background work has ended. */
static void giving_way_has_an_end(void **state)
{
    (void)state;
    enum { READS = 40 };
    struct qv__pool *p = pool_of(3);
    struct gate g;
    struct way_read reads[READS];
    gate_init(&g, true);
    struct way way = {{.fn = give_way_often}, p, &g, false, 0, READS, false};
    for (unsigned i = 0; i < READS; i++) {
        reads[i] = (struct way_read){{.fn = read_when_told}, &way};
        qv__pool_submit(p, QV__LANE_READ, &reads[i].task);
    }
    qv__pool_submit(p, QV__LANE_BACKGROUND, &way.task);
    gate_passed(&g, READS + 1);
    qv__pool_close(p);
    gate_destroy(&g);
}

static void nobody_else_gives_way(void **state)
{
    (void)state;
    qv__pool_give_way(NULL);
    struct qv__pool *p = pool_of(1), *manual = pool_of(0);
    qv__pool_give_way(p);
    struct gate g;
    gate_init(&g, true);
    struct way way = {{.fn = give_way_often}, manual, &g, false, 0, 0, false};
    struct waiter reads[20];
    for (unsigned i = 0; i < QV_ARRAY_LEN(reads); i++) {
        submit_to(manual, QV__LANE_READ, &reads[i], &g, pass);
    }
    give_way_often(&way.task); /* of another pool, and nobody would end those reads */
    qv__pool_close(manual);
    qv__pool_close(p);
    assert_int_equal(g.n_ran, 21);
    gate_destroy(&g);
}

/* ---- the parallel loop ---- */

enum { WORKERS_MAX = 16 };

struct sum {
    size_t n, grain;
    _Atomic unsigned char *touched; /* one per item */
    _Atomic unsigned inside[WORKERS_MAX];
    unsigned n_workers;
    _Atomic bool is_wrong;
    _Atomic uint64_t total;
};

static void add_range(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct sum *s = ctx;
    bool is_ok = worker < s->n_workers && begin < end && end <= s->n && begin % s->grain == 0 &&
                 (end - begin == s->grain || end == s->n);
    /* Nobody else has this number now. */
    is_ok = is_ok && atomic_fetch_add(&s->inside[worker % WORKERS_MAX], 1) == 0;
    uint64_t total = 0;
    for (size_t i = begin; i < end && is_ok; i++) {
        is_ok = atomic_fetch_add(&s->touched[i], 1) == 0;
        total += i;
    }
    atomic_fetch_add(&s->total, total);
    atomic_fetch_sub(&s->inside[worker % WORKERS_MAX], 1);
    if (!is_ok) {
        atomic_store(&s->is_wrong, true);
    }
}

static bool loop_once(struct qv__pool *p, unsigned max_threads, size_t n, size_t grain)
{
    struct sum s = {
        .n = n, .grain = QV_MAX(grain, (size_t)1), .n_workers = QV_MAX(max_threads, 1u)};
    void *bytes = qv__calloc(root, n, 1);
    if (!bytes) {
        return false;
    }
    s.touched = bytes;
    qv__parallel_for(p, max_threads, n, grain, add_range, &s);
    bool is_ok =
        !atomic_load(&s.is_wrong) && atomic_load(&s.total) == (n ? (uint64_t)n * (n - 1) / 2 : 0);
    for (size_t i = 0; i < n; i++) {
        is_ok = is_ok && s.touched[i] == 1;
    }
    qv__free(bytes);
    return is_ok;
}

static void every_item_is_visited_once(void **state)
{
    (void)state;
    static const size_t ns[] = {0, 1, 2, 7, 64, 1000}, grains[] = {0, 1, 3, 64, 5000, SIZE_MAX};
    static const unsigned threads[] = {0, 1, 2, 3, 8};
    assert_true(loop_once(NULL, 4, 100, 7));
    for (unsigned n_threads = 0; n_threads <= 3; n_threads++) {
        struct qv__pool *p = pool_of(n_threads);
        for (size_t i = 0; i < QV_ARRAY_LEN(ns); i++) {
            for (size_t j = 0; j < QV_ARRAY_LEN(grains); j++) {
                for (size_t k = 0; k < QV_ARRAY_LEN(threads); k++) {
                    assert_true(loop_once(p, threads[k], ns[i], grains[j]));
                }
            }
        }
        qv__pool_close(p);
    }
}

static void without_memory_the_loop_is_serial(void **state)
{
    (void)state;
    struct qv__pool *p = pool_of(2);
    static _Atomic unsigned char touched[100];
    struct sum s = {.n = 100, .grain = 3, .n_workers = 1, .touched = touched};
    qv__mem_fail_at(root, 1, true);
    qv__parallel_for(p, 3, 100, 3, add_range, &s);
    qv__mem_fail_at(root, 0, false);
    assert_false(atomic_load(&s.is_wrong));
    assert_int_equal(atomic_load(&s.total), 4950);
    qv__pool_close(p);
}

struct nested {
    struct qv__task task;
    struct qv__pool *pool;
    _Atomic int *n_good;
    enum qv__lane lane;
};

static void loop_inside(void *ctx, size_t begin, size_t end, unsigned worker)
{
    (void)worker;
    struct nested *n = ctx;
    for (size_t i = begin; i < end; i++) {
        atomic_fetch_add(n->n_good, loop_once(n->pool, 4, 50 + i, 5));
    }
}

static void loop_in_a_loop(struct qv__task *task)
{
    struct nested *n = QV_CONTAINER_OF(task, struct nested, task);
    qv__parallel_for(n->pool, 4, 10, 1, loop_inside, n);
}

/* More tasks than workers, each with nested loops: helpers often never come, or come late. */
static void loops_inside_tasks_end_on_a_full_pool(void **state)
{
    (void)state;
    enum { TASKS = 30 };
    for (unsigned n_threads = 0; n_threads <= 4; n_threads++) {
        struct qv__pool *p = pool_of(n_threads);
        struct nested tasks[TASKS];
        _Atomic int n_good = 0;
        for (size_t i = 0; i < TASKS; i++) {
            enum qv__lane lane = (enum qv__lane)(i % QV__LANES);
            tasks[i] = (struct nested){{.fn = loop_in_a_loop}, p, &n_good, lane};
            qv__pool_submit(p, lane, &tasks[i].task);
        }
        qv__pool_close(p);
        assert_int_equal(atomic_load(&n_good), TASKS * 10);
    }
}

static void a_loop_ends_though_no_helper_comes(void **state)
{
    (void)state;
    struct qv__pool *p = pool_of(2);
    struct gate g = {.is_open = false};
    qv__mutex_init(&g.lock, QV__RANK_LEAF);
    qv__cond_init(&g.cond);
    struct waiter w[2];
    for (size_t i = 0; i < 2; i++) {
        w[i] = (struct waiter){{.fn = wait_at_gate}, &g};
        qv__pool_submit(p, QV__LANE_BACKGROUND, &w[i].task);
    }
    qv__mutex_lock(&g.lock);
    while (g.n_inside < 2) {
        qv__cond_wait(&g.cond, &g.lock);
    }
    qv__mutex_unlock(&g.lock);
    assert_true(loop_once(p, 3, 1000, 10));
    /* The helpers, now without work. */
    assert_int_equal(qv__pool_queued(p, QV__LANE_BACKGROUND), 2);
    qv__mutex_lock(&g.lock);
    g.is_open = true;
    qv__cond_broadcast(&g.cond);
    qv__mutex_unlock(&g.lock);
    qv__pool_close(p);
    qv__cond_destroy(&g.cond);
    qv__mutex_destroy(&g.lock);
}

struct meeting {
    struct qv__mutex lock;
    struct qv__condvar cond;
    unsigned n, n_ended;
};

/* Each block waits for the other: passes only if two threads work at once. */
static void meet(void *ctx, size_t begin, size_t end, unsigned worker)
{
    (void)begin;
    (void)end;
    (void)worker;
    struct meeting *m = ctx;
    qv__mutex_lock(&m->lock);
    m->n++;
    qv__cond_broadcast(&m->cond);
    while (m->n < 2) {
        qv__cond_wait(&m->cond, &m->lock);
    }
    qv__mutex_unlock(&m->lock);
}

static void helpers_do_help(void **state)
{
    (void)state;
    struct qv__pool *p = pool_of(1);
    struct meeting m = {.n = 0};
    qv__mutex_init(&m.lock, QV__RANK_LEAF);
    qv__cond_init(&m.cond);
    qv__parallel_for(p, 2, 2, 1, meet, &m);
    assert_int_equal(m.n, 2);
    qv__pool_close(p);
    qv__cond_destroy(&m.cond);
    qv__mutex_destroy(&m.lock);
}

/* The helper is slow with its block; the loop must not end before it. */
static void meet_then_linger(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct meeting *m = ctx;
    meet(m, begin, end, worker);
    if (worker != 0) {
        usleep(20000);
    }
    qv__mutex_lock(&m->lock);
    m->n_ended++;
    qv__mutex_unlock(&m->lock);
}

static void the_loop_waits_for_begun_blocks(void **state)
{
    (void)state;
    struct qv__pool *p = pool_of(1);
    for (int i = 0; i < 10; i++) {
        struct meeting m = {.n = 0};
        qv__mutex_init(&m.lock, QV__RANK_LEAF);
        qv__cond_init(&m.cond);
        qv__parallel_for(p, 2, 2, 1, meet_then_linger, &m);
        assert_int_equal(m.n_ended, 2);
        qv__cond_destroy(&m.cond);
        qv__mutex_destroy(&m.lock);
    }
    qv__pool_close(p);
}

/* ---- helpers stay in the lane of the task ---- */

struct lane_probe {
    struct qv__task task;
    struct qv__pool *pool;
    struct gate *gate;
};

static void hold_block(void *ctx, size_t begin, size_t end, unsigned worker)
{
    (void)begin;
    (void)end;
    (void)worker;
    struct lane_probe *l = ctx;
    struct waiter w = {.gate = l->gate};
    wait_at_gate(&w.task);
}

static void loop_in_background(struct qv__task *task)
{
    struct lane_probe *l = QV_CONTAINER_OF(task, struct lane_probe, task);
    qv__parallel_for(l->pool, 8, 8, 1, hold_block, l);
}

static void helpers_of_background_work_are_background_work(void **state)
{
    (void)state;
    struct qv__pool *p = pool_of(3);
    struct gate slow = {.is_open = false}, quick = {.is_open = true};
    qv__mutex_init(&slow.lock, QV__RANK_LEAF);
    qv__mutex_init(&quick.lock, QV__RANK_LEAF);
    qv__cond_init(&slow.cond);
    qv__cond_init(&quick.cond);
    struct lane_probe l = {{.fn = loop_in_background}, p, &slow};
    qv__pool_submit(p, QV__LANE_BACKGROUND, &l.task);
    qv__mutex_lock(&slow.lock);
    while (slow.n_inside < 3) {
        qv__cond_wait(&slow.cond, &slow.lock);
    }
    qv__mutex_unlock(&slow.lock);
    struct waiter read = {{.fn = pass}, &quick};
    qv__pool_submit(p, QV__LANE_READ, &read.task);
    qv__mutex_lock(&quick.lock);
    while (quick.n_ran < 1) {
        qv__cond_wait(&quick.cond, &quick.lock);
    }
    qv__mutex_unlock(&quick.lock);
    qv__mutex_lock(&slow.lock);
    assert_int_equal(slow.n_inside_max, 3);
    slow.is_open = true;
    qv__cond_broadcast(&slow.cond);
    qv__mutex_unlock(&slow.lock);
    qv__pool_close(p);
    assert_int_equal(slow.n_ran, 8);
    qv__cond_destroy(&slow.cond);
    qv__cond_destroy(&quick.cond);
    qv__mutex_destroy(&slow.lock);
    qv__mutex_destroy(&quick.lock);
}

/* ---- stress ---- */

struct submitter {
    struct qv__thread thread;
    struct qv__pool *pool;
    _Atomic int *count;
    uint64_t seed;
    _Atomic bool is_wrong;
};

static void submit_many(void *arg)
{
    struct submitter *s = arg;
    struct qv__rng rng;
    qv__rng_seed(&rng, s->seed);
    for (int i = 0; i < 400; i++) {
        struct chain *c = qv__alloc(root, sizeof *c);
        *c = (struct chain){{.fn = run_chain}, s->pool, s->count, (int)(i % 4)};
        qv__pool_submit(s->pool, (enum qv__lane)qv__rng_below(&rng, QV__LANES), &c->task);
        if (i % 16 == 0 && !loop_once(s->pool, 1 + (unsigned)qv__rng_below(&rng, 5),
                                      (size_t)qv__rng_below(&rng, 300), 7)) {
            atomic_store(&s->is_wrong, true);
        }
        if (i % 50 == 0) {
            qv__pool_step(s->pool);
        }
    }
}

static void many_submitters_lose_nothing(void **state)
{
    (void)state;
    for (unsigned n_threads = 1; n_threads <= 4; n_threads++) {
        struct qv__pool *p = pool_of(n_threads);
        _Atomic int count = 0;
        struct submitter s[3];
        memset(s, 0, sizeof s);
        for (size_t i = 0; i < 3; i++) {
            s[i].pool = p;
            s[i].count = &count;
            s[i].seed = 40 + i;
            print_message("seed %d\n", (int)s[i].seed);
            assert_int_equal(qv__thread_start(&s[i].thread, "submit", submit_many, &s[i], NULL),
                             QV_OK);
        }
        for (size_t i = 0; i < 3; i++) {
            qv__thread_join(&s[i].thread);
            assert_false(atomic_load(&s[i].is_wrong));
        }
        qv__pool_close(p);
        assert_int_equal(atomic_load(&count), 3 * 100 * (1 + 2 + 3 + 4));
    }
}

static void failed_creation_leaves_nothing(void **state)
{
    (void)state;
    struct qv_err err = {0};
    for (uint64_t n = 1;; n++) {
        struct qv__pool *p = NULL;
        qv__mem_fail_at(root, n, false);
        qv_status st = qv__pool_create(root, 2, &p, &err);
        qv__mem_fail_at(root, 0, false);
        if (st == QV_OK) {
            qv__pool_close(p);
            assert_int_equal(n, 3);
            break;
        }
        assert_int_equal(st, QV_ENOMEM);
        assert_int_equal(err.code, QV_ENOMEM);
        assert_null(p);
        assert_int_equal(qv__mem_used(root), 0);
    }
    struct qv__pool *p = NULL;
    assert_int_equal(qv__pool_create(root, 1000000, &p, &err), QV_EINVAL);
    assert_null(p);
}

static void a_pool_without_threads_to_have_is_refused(void **state)
{
    (void)state;
    pthread_attr_t old, huge;
    assert_int_equal(pthread_getattr_default_np(&old), 0);
    assert_int_equal(pthread_attr_init(&huge), 0);
    assert_int_equal(pthread_attr_setstacksize(&huge, (size_t)1 << 50), 0);
    assert_int_equal(pthread_setattr_default_np(&huge), 0);
    struct qv__pool *p = NULL;
    struct qv_err err = {0};
    qv_status st = qv__pool_create(root, 3, &p, &err);
    assert_int_equal(pthread_setattr_default_np(&old), 0);
    assert_true(st == QV_EBUSY || st == QV_ENOMEM);
    assert_int_equal(err.code, st);
    assert_null(p);
    pthread_attr_destroy(&old);
    pthread_attr_destroy(&huge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_do_not_run_on_the_threads_of_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(background_work_gives_way_to_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(giving_way_has_an_end, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_else_gives_way, setup, teardown),
        cmocka_unit_test_setup_teardown(a_manual_pool_runs_lanes_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_pool_does_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(close_runs_what_is_queued_and_what_that_submits, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(no_lane_stops_a_more_urgent_one, setup, teardown),
        cmocka_unit_test_setup_teardown(background_threads_have_a_lower_priority, setup, teardown),
        cmocka_unit_test_setup_teardown(a_single_worker_runs_background_work_too, setup, teardown),
        cmocka_unit_test_setup_teardown(every_item_is_visited_once, setup, teardown),
        cmocka_unit_test_setup_teardown(without_memory_the_loop_is_serial, setup, teardown),
        cmocka_unit_test_setup_teardown(loops_inside_tasks_end_on_a_full_pool, setup, teardown),
        cmocka_unit_test_setup_teardown(a_loop_ends_though_no_helper_comes, setup, teardown),
        cmocka_unit_test_setup_teardown(helpers_do_help, setup, teardown),
        cmocka_unit_test_setup_teardown(the_loop_waits_for_begun_blocks, setup, teardown),
        cmocka_unit_test_setup_teardown(helpers_of_background_work_are_background_work, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(many_submitters_lose_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_creation_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pool_without_threads_to_have_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
