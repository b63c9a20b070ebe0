/* thread.c: mutexes with ranks, condition variables, threads, over pthreads.
 *
 * Ranks are checked in builds without NDEBUG: each thread keeps the ranks it holds in a
 * thread-local list, rising, with a count each. Taking a rank that is not above the highest one
 * held is a bug; only SHARD_WRITE may be taken several times, by callers that go in rising shard
 * order. trylock obeys the same rule, so that the order can be read off the code. The list is the
 * only state here and no thread sees another's. */
#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Not the lowest priority: who holds a lock that a search or a write waits for must come to run, on
 * a machine that others load as well. A step is a factor of 1.25 of the share of a CPU. */
#define BACKGROUND_STEPS 5
#define NICE_MAX         19
#define NS_PER_S         1000000000ull
#define NAME_BYTES       16 /* of pthread_setname_np, NUL included */

#ifndef NDEBUG
#define RANKS_MAX 32 /* more than there are ranks */
struct held {
    int rank;
    unsigned count;
};
static _Thread_local struct {
    struct held at[RANKS_MAX];
    unsigned n;
} held_ranks;

static void rank_check(int rank)
{
    if (held_ranks.n == 0) {
        return;
    }
    int top = held_ranks.at[held_ranks.n - 1].rank;
    bool is_rank_above = rank > top || (rank == top && rank == QV__RANK_SHARD_WRITE);
    QV_ASSERT(is_rank_above);
}

static void rank_push(int rank)
{
    unsigned n = held_ranks.n;
    if (n && held_ranks.at[n - 1].rank == rank) {
        held_ranks.at[n - 1].count++;
        return;
    }
    QV_ASSERT(n < RANKS_MAX);
    held_ranks.at[n] = (struct held){rank, 1};
    held_ranks.n = n + 1;
}

static void rank_pop(int rank)
{
    for (unsigned i = held_ranks.n; i-- > 0;) {
        if (held_ranks.at[i].rank != rank) {
            continue;
        }
        if (--held_ranks.at[i].count == 0) {
            held_ranks.n--;
            memmove(&held_ranks.at[i], &held_ranks.at[i + 1],
                    (held_ranks.n - i) * sizeof held_ranks.at[0]);
        }
        return;
    }
    bool is_mutex_held = false;
    QV_ASSERT(is_mutex_held);
}
#else
static void rank_check(int rank)
{
    (void)rank;
}
static void rank_push(int rank)
{
    (void)rank;
}
static void rank_pop(int rank)
{
    (void)rank;
}
#endif

void qv__mutex_init(struct qv__mutex *m, enum qv__rank rank)
{
    pthread_mutexattr_t attr;
    int rc = pthread_mutexattr_init(&attr);
#ifndef NDEBUG
    rc |= pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
#endif
    rc |= pthread_mutex_init(&m->m, &attr);
    rc |= pthread_mutexattr_destroy(&attr);
    QV_ASSERT(rc == 0); /* glibc fails only for attributes we do not set */
    m->rank = (int)rank;
}

void qv__mutex_destroy(struct qv__mutex *m)
{
    int rc = pthread_mutex_destroy(&m->m);
    QV_ASSERT(rc == 0);
}

void qv__mutex_lock(struct qv__mutex *m)
{
    rank_check(m->rank);
    int rc = pthread_mutex_lock(&m->m);
    QV_ASSERT(rc == 0);
    rank_push(m->rank);
}

bool qv__mutex_trylock(struct qv__mutex *m)
{
    rank_check(m->rank);
    int rc = pthread_mutex_trylock(&m->m);
    QV_ASSERT(rc == 0 || rc == EBUSY);
    if (rc == 0) {
        rank_push(m->rank);
    }
    return rc == 0;
}

void qv__mutex_unlock(struct qv__mutex *m)
{
    rank_pop(m->rank);
    int rc = pthread_mutex_unlock(&m->m);
    QV_ASSERT(rc == 0);
}

void qv__cond_init(struct qv__condvar *c)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);
    rc |= pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    rc |= pthread_cond_init(&c->c, &attr);
    rc |= pthread_condattr_destroy(&attr);
    QV_ASSERT(rc == 0);
}

void qv__cond_destroy(struct qv__condvar *c)
{
    int rc = pthread_cond_destroy(&c->c);
    QV_ASSERT(rc == 0);
}

void qv__cond_wait(struct qv__condvar *c, struct qv__mutex *m)
{
    int rc = pthread_cond_wait(&c->c, &m->m);
    QV_ASSERT(rc == 0);
}

bool qv__cond_timedwait(struct qv__condvar *c, struct qv__mutex *m, uint64_t timeout_ns)
{
    struct timespec until;
    int rc = clock_gettime(CLOCK_MONOTONIC, &until);
    QV_ASSERT(rc == 0);
    uint64_t ns = (uint64_t)until.tv_nsec + timeout_ns % NS_PER_S;
    until.tv_sec += (time_t)(timeout_ns / NS_PER_S + ns / NS_PER_S);
    until.tv_nsec = (long)(ns % NS_PER_S);
    rc = pthread_cond_timedwait(&c->c, &m->m, &until);
    QV_ASSERT(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}

void qv__nap_ns(uint64_t ns)
{
    struct qv__mutex lock;
    struct qv__condvar cond;
    qv__mutex_init(&lock, QV__RANK_LEAF);
    qv__cond_init(&cond);
    qv__mutex_lock(&lock);
    (void)qv__cond_timedwait(&cond, &lock, ns);
    qv__mutex_unlock(&lock);
    qv__cond_destroy(&cond);
    qv__mutex_destroy(&lock);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    int rc = clock_gettime(clock, &t);
    QV_ASSERT(rc == 0);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t qv__cond_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t qv__thread_cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

void qv__cond_signal(struct qv__condvar *c)
{
    int rc = pthread_cond_signal(&c->c);
    QV_ASSERT(rc == 0);
}

void qv__cond_broadcast(struct qv__condvar *c)
{
    int rc = pthread_cond_broadcast(&c->c);
    QV_ASSERT(rc == 0);
}

void qv__event_init(struct qv__event *e)
{
    int rc = sem_init(&e->s, 0, 0);
    QV_ASSERT(rc == 0);
}

void qv__event_destroy(struct qv__event *e)
{
    int rc = sem_destroy(&e->s);
    QV_ASSERT(rc == 0);
}

void qv__event_set(struct qv__event *e)
{
    int rc = sem_post(&e->s);
    QV_ASSERT(rc == 0);
}

void qv__event_wait(struct qv__event *e)
{
    int rc;
    do {
        rc = sem_wait(&e->s);
    } while (rc != 0 && errno == EINTR);
    QV_ASSERT(rc == 0);
}

/* Lives on the starter's stack until the new thread has copied it; so starting needs no memory. */
struct start {
    void (*fn)(void *);
    void *arg;
    char name[NAME_BYTES];
    struct qv__event taken;
};

static void *thread_main(void *p)
{
    struct start *s = p;
    void (*fn)(void *) = s->fn;
    void *arg = s->arg;
    (void)pthread_setname_np(pthread_self(), s->name); /* only a label */
    qv__event_set(&s->taken);
    fn(arg);
    return NULL;
}

/* Everything but the faults a thread brings upon itself: blocked, those would kill the process
 * without the handler of whoever installed one (a sanitizer, a guard around memory maps). */
void qv__thread_block_signals(sigset_t *before)
{
    sigset_t block;
    sigfillset(&block);
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    for (size_t i = 0; i < QV_ARRAY_LEN(faults); i++) {
        sigdelset(&block, faults[i]);
    }
    int rc = pthread_sigmask(SIG_BLOCK, &block, before);
    QV_ASSERT(rc == 0);
}

qv_status qv__thread_start(struct qv__thread *t, const char *name, void (*fn)(void *), void *arg,
                           struct qv_err *err)
{
    struct start s = {.fn = fn, .arg = arg};
    size_t n = strnlen(name, NAME_BYTES - 1);
    memcpy(s.name, name, n);
    s.name[n] = 0;
    qv__event_init(&s.taken);
    sigset_t before;
    qv__thread_block_signals(&before);
    int create_rc = pthread_create(&t->t, NULL, thread_main, &s);
    int rc = pthread_sigmask(SIG_SETMASK, &before, NULL);
    QV_ASSERT(rc == 0);
    if (create_rc == 0) {
        qv__event_wait(&s.taken);
    }
    qv__event_destroy(&s.taken);
    if (create_rc != 0) {
        return qv__fail_os(err, QV_EBUSY, create_rc, "thread '%s' cannot be started", s.name);
    }
    return QV_OK;
}

void qv__thread_join(struct qv__thread *t)
{
    int rc = pthread_join(t->t, NULL);
    QV_ASSERT(rc == 0);
}

void qv__thread_yield_to_others(void)
{
    /* Linux keeps a nice value per thread. It is relative to that of the process. */
    id_t self = (id_t)gettid();
    errno = 0;
    int nice = getpriority(PRIO_PROCESS, self);
    if (errno == 0) {
        (void)setpriority(PRIO_PROCESS, self, QV_MIN(nice + BACKGROUND_STEPS, NICE_MAX));
    }
}

/* struct sched_attr as the kernel first had it, 48 bytes; glibc 2.36 does not know it, and the
 * kernel's header clashes with <sched.h>. */
struct sched_attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t slice_ns; /* sched_runtime; of an ordinary thread since 6.12, 0 = the system's */
    uint64_t deadline, period;
};
_Static_assert(sizeof(struct sched_attributes) == 48, "SCHED_ATTR_SIZE_VER0");

void qv__thread_slices(enum qv__slices slices)
{
    static const uint64_t ns[] = {
        [QV__SLICES_DEFAULT] = 0,
        [QV__SLICES_SHORT] = 400000,    /* shorter than the default, 0.7 to 3 ms */
        [QV__SLICES_SHORTEST] = 100000, /* the least the kernel takes */
    };
    struct sched_attributes a = {.size = 0};
    if (syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) == 0 && a.policy == SCHED_OTHER) {
        a.slice_ns = ns[slices];
        (void)syscall(SYS_sched_setattr, 0, &a, 0);
    }
}

unsigned qv__cpu_count(void)
{
    /* 8,192 CPUs, the kernel's own maximum; the call refuses a mask smaller than the machine. */
    union {
        cpu_set_t first;
        unsigned char bytes[8192 / 8];
    } set;
    memset(&set, 0, sizeof set);
    if (sched_getaffinity(0, sizeof set, &set.first) == 0) {
        int n = CPU_COUNT_S(sizeof set, &set.first);
        return n > 0 ? (unsigned)n : 1;
    }
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (unsigned)n : 1;
}
