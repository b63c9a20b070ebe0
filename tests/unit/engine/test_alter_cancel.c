/* test_alter_cancel.c: somebody ends the rewriting of a segment in its middle. The old segment
 * stays, nothing is left of the new one, the shard rests for a while, and later it is done. */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "alter_fixture.h"

#define POINTS 3000

static _Atomic uint64_t ahead_ns;

static uint64_t mono(void *ctx)
{
    (void)ctx;
    return qv__mono_ns(qv__clock_system()) + atomic_load(&ahead_ns);
}
static uint64_t wall(void *ctx)
{
    (void)ctx;
    return qv__wall_ms(qv__clock_system());
}
static const struct qv__clock test_clock = {.mono_ns = mono, .wall_ms = wall};

static void open_with_clock(struct fix *f)
{
    atomic_store(&ahead_ns, 0);
    fix_open(f, -1);
    f->options.clock = &test_clock;
    fix_reopen(f);
}

struct canceller {
    struct fix *f;
    _Atomic bool over;
    uint64_t done, total; /* when it was ended; total 0 = it never was */
};

/* End the first reindexing that has got somewhere. */
static void *cancel_midway(void *arg)
{
    struct canceller *x = arg;
    while (!atomic_load(&x->over) && !x->total) {
        struct qv__job_info jobs[8];
        struct qv_err err;
        size_t n = qv__db_jobs(x->f->db, NULL, false, jobs, QV_ARRAY_LEN(jobs));
        for (size_t i = 0; i < n; i++) {
            bool midway = jobs[i].done > 0 && jobs[i].done < jobs[i].total;
            if (jobs[i].kind == QV__JOB_REINDEX && midway &&
                qv__db_cancel_job(x->f->db, NULL, jobs[i].id, &err) == QV_OK) {
                x->done = jobs[i].done;
                x->total = jobs[i].total;
            }
        }
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    }
    return NULL;
}

struct outcome {
    qv_status last; /* of the reindexing that ended last */
    uint64_t id;
};

static struct outcome outcome_of(struct fix *f)
{
    struct qv__job_info jobs[QV__JOBS_ENDED];
    size_t n = qv__db_jobs(f->db, NULL, true, jobs, QV__JOBS_ENDED);
    for (size_t i = 0; i < n; i++) {
        if (jobs[i].kind == QV__JOB_REINDEX) {
            return (struct outcome){jobs[i].status, jobs[i].id};
        }
    }
    return (struct outcome){QV_OK, 0};
}

static void count_segments(void *arg, const char *name, bool is_dir)
{
    *(uint32_t *)arg += !is_dir && strncmp(name, "seg-", 4) == 0;
}

/* What is asked for is still owed, what is there answers, and no file is over. */
static void check_old(struct fix *f, struct qv__collection *c)
{
    size_t n = 0;
    uint64_t best = 0;
    uint32_t files = 0;
    struct qv__collection_info info = info_of(f, c);
    assert_int_equal(info.n_outdated, 1);
    OK(search(f, c, "a", DIM, 333, &n, &best));
    assert_int_equal(best % 101, 333 % 101); /* vectors repeat */
    assert_int_equal(having(f, c, "a"), POINTS);
    OK(qv__io_list(f->io, QV__DIR_BLOBS, count_segments, &files, &f->err));
    assert_int_equal(files, info.n_sealed);
}

static void test_cancelled(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    open_with_clock(f);
    struct qv__collection *c = make(f, POINTS);
    put(f, c, 0, POINTS, "ab", DIM);
    run(f);
    OK(qv__db_checkpoint(f->db, &f->err));
    run(f);
    assert_int_equal(info_of(f, c).n_outdated, 0);
    /* A machine that is busy may let one through; then it is tried with another setting. */
    struct canceller x = {.f = f};
    uint32_t m = 24;
    for (int tries = 0; tries < 20 && outcome_of(f).last != QV_ECANCELLED; tries++) {
        pthread_t t;
        x = (struct canceller){.f = f};
        assert_int_equal(pthread_create(&t, NULL, cancel_midway, &x), 0);
        set(f, "a", (struct qv__index_params){.m = ++m, .ef_construct = 200}, false);
        run(f);
        atomic_store(&x.over, true);
        pthread_join(t, NULL);
    }
    struct outcome ended = outcome_of(f);
    assert_int_equal(ended.last, QV_ECANCELLED);
    assert_in_range(x.done, 1, x.total - 1);
    check_old(f, c);
    /* It rests, whatever is written meanwhile. */
    put(f, c, POINTS - 1, POINTS, "ab", DIM);
    run(f);
    assert_int_equal(outcome_of(f).id, ended.id);
    /* Then, or after a crash, it is done. */
    struct qv__rng rng;
    qv__rng_seed(&rng, 3);
    qv__collection_release(c);
    fix_crash(f, QV__CRASH_RANDOM, &rng);
    c = fix_collection(f, "c");
    assert_int_equal(having(f, c, "a"), POINTS);
    run(f);
    assert_int_equal(info_of(f, c).n_outdated, 0);
    assert_int_equal(outcome_of(f).last, QV_OK);
    stop(f, c);
}

/* The rest after a cancel ends by itself. */
static void test_goes_on(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    open_with_clock(f);
    struct qv__collection *c = make(f, 400);
    put(f, c, 0, 400, "ab", DIM);
    run(f);
    OK(qv__db_checkpoint(f->db, &f->err));
    set(f, "a", (struct qv__index_params){.m = 8}, false);
    atomic_store(&c->shards[0].retry_ns, mono(NULL) + UINT64_C(60000000000)); /* as a cancel does */
    put(f, c, 0, 1, "ab", DIM);
    run(f);
    uint64_t before = outcome_of(f).id;
    atomic_store(&ahead_ns, UINT64_C(61000000000));
    put(f, c, 0, 1, "ab", DIM);
    run(f);
    assert_true(outcome_of(f).id > before || info_of(f, c).n_outdated == 0);
    assert_int_equal(info_of(f, c).n_outdated, 0);
    stop(f, c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
