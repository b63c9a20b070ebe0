/* test_thread.c: threads, mutexes, conditions, the rank check. */
#include "base_test.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"

struct probe {
    char name[16];
    bool is_sigterm_blocked, is_sigsegv_blocked;
    int ran;
};

static void look_around(void *arg)
{
    struct probe *p = arg;
    pthread_getname_np(pthread_self(), p->name, sizeof p->name);
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    p->is_sigterm_blocked = sigismember(&set, SIGTERM) == 1 && sigismember(&set, SIGINT) == 1 &&
                            sigismember(&set, SIGUSR1) == 1;
    p->is_sigsegv_blocked = sigismember(&set, SIGSEGV) == 1 || sigismember(&set, SIGBUS) == 1;
    p->ran++;
}

static void a_thread_runs_named_with_signals_blocked(void **state)
{
    (void)state;
    struct probe p = {.ran = 0};
    struct qv__thread t;
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(qv__thread_start(&t, "a-name-of-many-bytes", look_around, &p, NULL), QV_OK);
    qv__thread_join(&t);
    assert_int_equal(p.ran, 1);
    assert_string_equal(p.name, "a-name-of-many-");
    assert_true(p.is_sigterm_blocked);
    assert_false(p.is_sigsegv_blocked);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_int_equal(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
}

static void a_thread_that_cannot_start_is_reported(void **state)
{
    (void)state;
    pthread_attr_t old, huge;
    assert_int_equal(pthread_getattr_default_np(&old), 0);
    assert_int_equal(pthread_attr_init(&huge), 0);
    assert_int_equal(pthread_attr_setstacksize(&huge, (size_t)1 << 50), 0);
    assert_int_equal(pthread_setattr_default_np(&huge), 0);
    struct probe p = {.ran = 0};
    struct qv__thread t;
    struct qv_err err = {0};
    qv_status st = qv__thread_start(&t, "never", look_around, &p, &err);
    assert_int_equal(pthread_setattr_default_np(&old), 0);
    assert_true(st == QV_EBUSY || st == QV_ENOMEM);
    assert_int_equal(err.code, st);
    assert_true(err.os_errno != 0);
    assert_non_null(strstr(err.message, "'never'"));
    assert_int_equal(p.ran, 0);
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    assert_int_equal(sigismember(&set, SIGTERM), 0);
    pthread_attr_destroy(&old);
    pthread_attr_destroy(&huge);
}

struct shared {
    struct qv__mutex lock;
    struct qv__condvar cond;
    uint64_t value;
    int turn;
};

static void add_many(void *arg)
{
    struct shared *s = arg;
    for (int i = 0; i < 20000; i++) {
        qv__mutex_lock(&s->lock);
        s->value++;
        qv__mutex_unlock(&s->lock);
    }
}

static void a_mutex_excludes(void **state)
{
    (void)state;
    struct shared s = {.value = 0};
    qv__mutex_init(&s.lock, QV__RANK_LOG);
    struct qv__thread t[4];
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(qv__thread_start(&t[i], "adder", add_many, &s, NULL), QV_OK);
    }
    for (size_t i = 0; i < 4; i++) {
        qv__thread_join(&t[i]);
    }
    assert_int_equal(s.value, 80000);
    qv__mutex_destroy(&s.lock);
}

static void pong(void *arg)
{
    struct shared *s = arg;
    for (int i = 0; i < 500; i++) {
        qv__mutex_lock(&s->lock);
        while (s->turn != 1) {
            qv__cond_wait(&s->cond, &s->lock);
        }
        s->value++;
        s->turn = 0;
        qv__cond_signal(&s->cond);
        qv__mutex_unlock(&s->lock);
    }
}

static void threads_take_turns(void **state)
{
    (void)state;
    struct shared s = {.turn = 0};
    qv__mutex_init(&s.lock, QV__RANK_JOBS);
    qv__cond_init(&s.cond);
    struct qv__thread t;
    assert_int_equal(qv__thread_start(&t, "pong", pong, &s, NULL), QV_OK);
    for (int i = 0; i < 500; i++) {
        qv__mutex_lock(&s.lock);
        assert_int_equal(s.value, i);
        s.turn = 1;
        qv__cond_broadcast(&s.cond);
        while (s.turn != 0) {
            /* Far longer than the test may take: only the signal ends it. */
            qv__cond_timedwait(&s.cond, &s.lock, UINT64_MAX);
        }
        qv__mutex_unlock(&s.lock);
    }
    qv__thread_join(&t);
    assert_int_equal(s.value, 500);
    qv__cond_destroy(&s.cond);
    qv__mutex_destroy(&s.lock);
}

static uint64_t mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void a_timed_wait_ends_not_before_its_time(void **state)
{
    (void)state;
    struct shared s;
    qv__mutex_init(&s.lock, QV__RANK_JOBS);
    qv__cond_init(&s.cond);
    qv__mutex_lock(&s.lock);
    static const uint64_t waits[] = {0, 1, 3000000, 20000000};
    for (size_t i = 0; i < QV_ARRAY_LEN(waits); i++) {
        uint64_t start = mono_ns();
        while (qv__cond_timedwait(&s.cond, &s.lock, waits[i])) {
            start = mono_ns();
        }
        assert_true(mono_ns() - start >= waits[i]);
    }
    qv__mutex_unlock(&s.lock);
    qv__cond_destroy(&s.cond);
    qv__mutex_destroy(&s.lock);
}

static void try_it(void *arg)
{
    struct shared *s = arg;
    s->turn = qv__mutex_trylock(&s->lock);
    if (s->turn) {
        qv__mutex_unlock(&s->lock);
    }
}

static void trylock_does_not_wait(void **state)
{
    (void)state;
    struct shared s = {.turn = -1};
    qv__mutex_init(&s.lock, QV__RANK_LOG);
    struct qv__thread t;
    qv__mutex_lock(&s.lock);
    assert_int_equal(qv__thread_start(&t, "try", try_it, &s, NULL), QV_OK);
    qv__thread_join(&t);
    assert_int_equal(s.turn, 0);
    qv__mutex_unlock(&s.lock);
    assert_int_equal(qv__thread_start(&t, "try", try_it, &s, NULL), QV_OK);
    qv__thread_join(&t);
    assert_int_equal(s.turn, 1);
    qv__mutex_destroy(&s.lock);
}

/* Locks mutexes of the given ranks in order (0 ends); a negative one unlocks that rank. */
static void follow(void *arg)
{
    const int *step = arg;
    static struct qv__mutex pool[16];
    size_t n = 0;
    for (; *step; step++) {
        if (*step > 0) {
            qv__mutex_init(&pool[n], (enum qv__rank) * step);
            qv__mutex_lock(&pool[n++]);
            continue;
        }
        for (size_t i = 0; i < n; i++) {
            if (pool[i].rank == -*step) {
                qv__mutex_unlock(&pool[i]);
                pool[i].rank = 0;
                break;
            }
        }
    }
}

static void ranks_rise_or_the_program_ends(void **state)
{
    (void)state;
#ifndef NDEBUG
    static int good[][8] = {
        {QV__RANK_DB, QV__RANK_CATALOG, QV__RANK_POOL, QV__RANK_LEAF, 0},
        {QV__RANK_SHARD_WRITE, QV__RANK_SHARD_WRITE, QV__RANK_SHARD_WRITE, QV__RANK_LOG, 0},
        {QV__RANK_POOL, -QV__RANK_POOL, QV__RANK_DB, 0},
        {QV__RANK_DB, QV__RANK_POOL, -QV__RANK_DB, -QV__RANK_POOL, QV__RANK_DB, 0},
        {QV__RANK_DB, QV__RANK_POOL, -QV__RANK_POOL, QV__RANK_CATALOG, 0},
    };
    static int bad[][8] = {
        {QV__RANK_CATALOG, QV__RANK_DB, 0},
        {QV__RANK_POOL, QV__RANK_POOL, 0},
        {QV__RANK_LEAF, QV__RANK_LEAF, 0},
        {QV__RANK_SHARD_WRITE, QV__RANK_LOG, QV__RANK_SHARD_WRITE, 0},
        {QV__RANK_DB, QV__RANK_POOL, -QV__RANK_DB, QV__RANK_CATALOG, 0},
        {QV__RANK_SHARD_WRITE, QV__RANK_SHARD_WRITE, -QV__RANK_SHARD_WRITE, QV__RANK_CATALOG, 0},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(good); i++) {
        assert_false(aborts(follow, good[i]));
    }
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        assert_true(aborts(follow, bad[i]));
    }
#else
    (void)follow;
    skip();
#endif
}

static void unlock_unheld(void *arg)
{
    (void)arg;
    struct qv__mutex m;
    qv__mutex_init(&m, QV__RANK_LOG);
    qv__mutex_unlock(&m);
}

static void unlocking_what_is_not_held_is_seen(void **state)
{
    (void)state;
#ifndef NDEBUG
    assert_true(aborts(unlock_unheld, NULL));
#else
    (void)unlock_unheld;
    skip();
#endif
}

/* The time slice of the calling thread; 0 where the kernel does not tell (before Linux 6.12). */
static uint64_t slice_ns(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } a = {.size = 0};
    return syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) == 0 ? a.runtime : 0;
}

struct slices {
    uint64_t own, middle, prompt, inherited, after;
    int nice_before, nice_after;
};

static void look_at_slice(void *arg)
{
    struct slices *s = arg;
    s->inherited = slice_ns();
}

static void change_slices(void *arg)
{
    struct slices *s = arg;
    struct qv__thread t;
    qv__thread_yield_to_others();
    s->nice_before = getpriority(PRIO_PROCESS, (id_t)gettid());
    s->own = slice_ns();
    qv__thread_slices(QV__SLICES_SHORT);
    s->middle = slice_ns();
    qv__thread_slices(QV__SLICES_SHORTEST);
    s->prompt = slice_ns();
    assert_int_equal(qv__thread_start(&t, "slice", look_at_slice, s, NULL), QV_OK);
    qv__thread_join(&t);
    qv__thread_slices(QV__SLICES_DEFAULT);
    s->after = slice_ns();
    s->nice_after = getpriority(PRIO_PROCESS, (id_t)gettid());
}

static void a_prompt_thread_has_a_short_slice(void **state)
{
    (void)state;
    struct slices s = {.own = 0};
    struct qv__thread t;
    assert_int_equal(qv__thread_start(&t, "slices", change_slices, &s, NULL), QV_OK);
    qv__thread_join(&t);
    assert_int_equal(s.nice_before, s.nice_after);
    if (s.own == 0) {
        skip();
    }
    assert_true(s.prompt < s.middle && s.middle < s.own);
    assert_int_equal(s.inherited, s.prompt);
    assert_int_equal(s.after, s.own);
}

static void cpu_count_follows_affinity(void **state)
{
    (void)state;
    cpu_set_t old;
    if (sched_getaffinity(0, sizeof old, &old) != 0) {
        skip(); /* more CPUs than this test's mask holds */
    }
    assert_int_equal(qv__cpu_count(), CPU_COUNT(&old));
    size_t first = 0;
    while (!CPU_ISSET(first, &old)) {
        first++;
    }
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    if (sched_setaffinity(0, sizeof one, &one) == 0) {
        assert_int_equal(qv__cpu_count(), 1);
        sched_setaffinity(0, sizeof old, &old);
    }
}

struct turn {
    struct qv__event mine, *theirs;
    int n, *shared;
};

static void pass_on(void *arg)
{
    struct turn *t = arg;
    for (int i = 0; i < t->n; i++) {
        qv__event_wait(&t->mine);
        (*t->shared)++; /* nothing but the events keeps these apart */
        qv__event_set(t->theirs);
    }
}

static void events_pass_a_turn_on(void **state)
{
    (void)state;
    int shared = 0;
    struct turn a = {.n = 1000, .shared = &shared}, b = {.n = 1000, .shared = &shared};
    a.theirs = &b.mine;
    b.theirs = &a.mine;
    qv__event_init(&a.mine);
    qv__event_init(&b.mine);
    struct qv__thread ta, tb;
    assert_int_equal(qv__thread_start(&ta, "a", pass_on, &a, NULL), QV_OK);
    assert_int_equal(qv__thread_start(&tb, "b", pass_on, &b, NULL), QV_OK);
    qv__event_set(&a.mine);
    qv__thread_join(&ta);
    qv__thread_join(&tb);
    assert_int_equal(shared, 2000);
    qv__event_destroy(&a.mine);
    qv__event_destroy(&b.mine);
}

static void short_slices_break_nothing(void *arg)
{
    qv__thread_slices(QV__SLICES_SHORTEST);
    qv__thread_yield_to_others();
    qv__thread_slices(QV__SLICES_SHORTEST);
    *(int *)arg = sched_getscheduler(0);
}

static void slices_leave_the_scheduler_alone(void **state)
{
    (void)state;
    int policy = -1;
    struct qv__thread t;
    assert_int_equal(qv__thread_start(&t, "short", short_slices_break_nothing, &policy, NULL),
                     QV_OK);
    qv__thread_join(&t);
    assert_int_equal(policy, sched_getscheduler(0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_runs_named_with_signals_blocked),
        cmocka_unit_test(a_thread_that_cannot_start_is_reported),
        cmocka_unit_test(a_mutex_excludes),
        cmocka_unit_test(threads_take_turns),
        cmocka_unit_test(a_timed_wait_ends_not_before_its_time),
        cmocka_unit_test(trylock_does_not_wait),
        cmocka_unit_test(ranks_rise_or_the_program_ends),
        cmocka_unit_test(unlocking_what_is_not_held_is_seen),
        cmocka_unit_test(a_prompt_thread_has_a_short_slice),
        cmocka_unit_test(cpu_count_follows_affinity),
        cmocka_unit_test(events_pass_a_turn_on),
        cmocka_unit_test(slices_leave_the_scheduler_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
