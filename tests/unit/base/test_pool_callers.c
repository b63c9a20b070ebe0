/* test_pool_callers.c: threads that are not the pool's: background work gives way to their reads as
 * to its own, and they take out of its queues what is over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "pool_note.h"

struct work {
    struct qv__task task;
    struct qv__pool *pool;
    _Atomic bool is_going, has_read, is_over;
    bool result;
};

static void work_ns(uint64_t ns)
{
    for (uint64_t begin = qv__thread_cpu_ns(); qv__thread_cpu_ns() - begin < ns;) {
    }
}

static void wait_for(_Atomic bool *flag)
{
    while (!atomic_load(flag)) {
        usleep(100);
    }
}

static struct qv__pool *pool_of(struct qv__mem *mem, unsigned n)
{
    struct qv_err err;
    struct qv__pool *p = NULL;
    assert_int_equal(qv__pool_create(mem, n, &p, &err), QV_OK);
    return p;
}

static void work_and_give_way(struct qv__task *task)
{
    struct work *w = QV_CONTAINER_OF(task, struct work, task);
    work_ns(4 * 1000 * 1000);
    atomic_store(&w->is_going, true);
    qv__pool_give_way(w->pool);
    w->result = atomic_load(&w->has_read);
    atomic_store(&w->is_over, true);
}

/* As many reads as there are CPUs, which end half a millisecond after the background task gives
 * way: it comes last, unless the machine kept this thread from running for 10 ms. */
static void background_work_gives_way_to_callers(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    bool was_last = false;
    for (unsigned attempt = 0; attempt < 100 && !was_last; attempt++) {
        unsigned n = qv__cpu_count();
        struct work w = {.task = {.fn = work_and_give_way}, .pool = pool_of(mem, 1)};
        for (unsigned i = 0; i < n; i++) {
            assert_true(qv__pool_enter(w.pool));
        }
        qv__pool_submit(w.pool, QV__LANE_BACKGROUND, &w.task);
        wait_for(&w.is_going);
        work_ns(500 * 1000);
        atomic_store(&w.has_read, true);
        for (unsigned i = 0; i < n; i++) {
            qv__pool_leave(w.pool, true);
        }
        wait_for(&w.is_over);
        qv__pool_close(w.pool);
        was_last = w.result;
    }
    assert_true(was_last);
    qv__mem_close(mem);
}

static void enter_inside(struct qv__task *task)
{
    struct work *w = QV_CONTAINER_OF(task, struct work, task);
    w->result = qv__pool_enter(w->pool);
    atomic_store(&w->is_over, true);
}

/* A task of the pool counts already. */
static void tasks_are_counted_once(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv__pool *manual = pool_of(mem, 0);
    struct work w = {.task = {.fn = enter_inside}, .pool = pool_of(mem, 1), .result = true};
    qv__pool_submit(w.pool, QV__LANE_READ, &w.task);
    wait_for(&w.is_over);
    assert_false(w.result);
    assert_false(qv__pool_enter(manual));
    assert_false(qv__pool_enter(NULL));
    qv__pool_leave(NULL, false);
    qv__pool_close(manual);
    qv__pool_close(w.pool);
    qv__mem_close(mem);
}

static void what_is_over_leaves_the_queue(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv__pool *p = pool_of(mem, 0);
    char out[16] = "";
    _Atomic bool gone = false;
    static const uint64_t deadlines[] = {0, 100, 300, 100, 0, 200};
    struct noted tasks[QV_ARRAY_LEN(deadlines)];
    for (size_t i = 0; i < QV_ARRAY_LEN(deadlines); i++) {
        tasks[i] = (struct noted){
            .task = {.fn = note, .deadline_ns = deadlines[i]}, .mark = (char)('a' + i), .out = out};
        tasks[i].task.cancelled = i == 4 ? &gone : NULL;
        qv__pool_submit(p, QV__LANE_JOB, &tasks[i].task);
    }
    assert_true(qv__pool_expire(p, 100) == 100); /* by now is in time */
    assert_true(qv__pool_expire(p, 101) == 200);
    assert_string_equal(out, "bd");
    atomic_store(&gone, true);
    assert_true(qv__pool_expire(p, 300) == 300);
    assert_string_equal(out, "bdef");
    assert_int_equal(qv__pool_queued(p, QV__LANE_JOB), 2);
    qv__pool_submit(p, QV__LANE_JOB, &tasks[1].task); /* behind the others */
    assert_true(qv__pool_step(p));
    assert_true(qv__pool_expire(p, 1000) == UINT64_MAX);
    assert_string_equal(out, "bdefacb");
    assert_false(qv__pool_step(p));
    qv__pool_close(p);
    qv__mem_close(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(background_work_gives_way_to_callers),
                                       cmocka_unit_test(tasks_are_counted_once),
                                       cmocka_unit_test(what_is_over_leaves_the_queue)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
