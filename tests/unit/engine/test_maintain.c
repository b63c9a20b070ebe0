/* test_maintain.c: background work: what it gives back, how much of it runs at once, what is told
 * about it, and ending it early. Stepped, but for tests of what happens at the same
 * time. */
#include "engine/maintain.h"
#include "engine_fixture.h"

#include <pthread.h>

#define DIM 4

static struct qv__collection *make(struct fix *f, const char *name, uint32_t seal_rows)
{
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema schema = fix_schema(&def, 1, 1);
    schema.policy = (struct qv__segment_policy){
        .seal_rows = seal_rows, .index_rows = 16, .merge_fanin = 2, .vacuum_rows = 50};
    OK(qv__db_create_collection(f->db, qv__str_z(name), &schema, &f->err));
    return fix_collection(f, name);
}

static void run(struct fix *f)
{
    while (qv__db_step(f->db)) {
    }
}

static void put(struct fix *f, struct qv__collection *c, uint64_t from, uint64_t to)
{
    struct qv__point p[64];
    float v[64][DIM];
    struct qv__named_vector nv[64];
    for (uint64_t at = from; at < to;) {
        size_t n = 0;
        for (; n < 64 && at < to; n++, at++) {
            for (unsigned k = 0; k < DIM; k++) {
                v[n][k] = (float)((at * 37 + k * 11) % 101);
            }
            nv[n] = (struct qv__named_vector){.name = QV__STR(""), .values = v[n], .dim = DIM};
            p[n] = (struct qv__point){.id = qv__id_u64(at), .vectors = &nv[n], .n_vectors = 1};
        }
        fix_write(f, c, &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = p, .n_points = n},
                  1);
    }
}

static void delete (struct fix *f, struct qv__collection *c, uint64_t from, uint64_t to)
{
    struct qv__id ids[2048];
    size_t n = 0;
    for (uint64_t i = from; i < to; i++) {
        ids[n++] = qv__id_u64(i);
    }
    fix_write(f, c, &(struct qv__mutation){.kind = QV__MUT_DELETE, .ids = ids, .n_ids = n}, 1);
}

static struct qv__collection_info info_of(struct fix *f, struct qv__collection *c)
{
    struct qv__collection_info info;
    OK(qv__collection_info(c, &info, &f->err));
    return info;
}

static void stop(struct fix *f, struct qv__collection *c)
{
    qv__collection_release(c);
    fix_close(f);
}

/* One deletion of most points, and nothing after it: the files shrink by themselves. */
static void test_deletions_give_disk_back(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    fix_open(f, -1);
    struct qv__collection *c = make(f, "c", 512);
    put(f, c, 0, 1500);
    OK(qv__collection_optimize(c, 1, &f->err));
    run(f);
    struct qv__collection_info before = info_of(f, c);
    assert_int_equal(before.dead_rows, 0);
    delete (f, c, 0, 1400);
    struct qv__collection_info between = info_of(f, c);
    assert_true(between.reclaimable_bytes > before.disk_bytes / 2);
    run(f);
    struct qv__collection_info after = info_of(f, c);
    assert_int_equal(after.n_points, 100);
    assert_int_equal(after.dead_rows, 0);
    assert_int_equal(after.reclaimable_bytes, 0);
    assert_true(after.disk_bytes < before.disk_bytes / 4);
    /* Fewer than the threshold stay. */
    delete (f, c, 1400, 1415);
    run(f);
    assert_int_equal(info_of(f, c).dead_rows, 15);
    stop(f, c);
}

/* The same in memory: rows of a growing segment that are all dead, or mostly. */
static void test_deletions_give_memory_back(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    fix_open(f, -1);
    struct qv__collection *c = make(f, "c", 2048);
    uint64_t empty = info_of(f, c).memory_bytes;
    put(f, c, 0, 1000);
    run(f);
    assert_true(info_of(f, c).memory_bytes > empty + 1000 * DIM * sizeof(float));
    delete (f, c, 0, 1000);
    run(f);
    struct qv__collection_info info = info_of(f, c);
    assert_int_equal(info.dead_rows, 0);
    assert_int_equal(info.disk_bytes, 0);
    assert_true(info.memory_bytes < empty + 32768);
    put(f, c, 0, 1000);
    delete (f, c, 0, 900);
    run(f);
    info = info_of(f, c);
    assert_int_equal(info.n_points, 100);
    assert_int_equal(info.dead_rows, 0);
    stop(f, c);
}

static unsigned files(struct fix *f)
{
    uint64_t n = 0;
    struct qv__collection **all = NULL;
    uint32_t n_all = 0;
    OK(qv__catalog_all(f->db, &all, &n_all, &f->err));
    for (uint32_t i = 0; i < n_all; i++) {
        n += info_of(f, all[i]).n_sealed;
    }
    qv__catalog_all_free(all, n_all);
    return (unsigned)n;
}

static void test_drop_frees_at_once(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__db_info before, after;
    bool existed;
    fix_open(f, -1);
    run(f);
    qv__db_info(f->db, &before);
    struct qv__collection *c = make(f, "c", 256);
    put(f, c, 0, 2000);
    qv__collection_release(c);
    /* Work is queued and none of it was done yet. */
    OK(qv__db_drop_collection(f->db, QV__STR("c"), &existed, &f->err));
    assert_true(existed);
    run(f);
    assert_int_equal(atomic_load(&f->db->collections_open), 0);
    qv__db_info(f->db, &after);
    assert_true(after.memory_used < before.memory_used + 65536);
    assert_int_equal(files(f), 0);
    fix_close(f);
}

/* However many small flushes there are, segments stay few. */
static void test_segments_stay_few(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    fix_open(f, -1);
    struct qv__collection *c = make(f, "c", 1024);
    for (uint64_t i = 0; i < 60; i++) {
        put(f, c, i * 20, i * 20 + 20);
        OK(qv__db_checkpoint(f->db, &f->err));
        put(f, c, i * 20, i * 20 + 1);
        run(f);
        assert_in_range(info_of(f, c).n_sealed, 0, 9);
    }
    assert_int_equal(info_of(f, c).n_points, 1200);
    stop(f, c);
}

/* --- what is told --- */

static uint64_t ticks;

static uint64_t mono(void *ctx)
{
    (void)ctx;
    return ++ticks * 1000000u;
}

static uint64_t wall(void *ctx)
{
    (void)ctx;
    return 1700000000000u;
}

static void test_jobs_are_told(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__job_info jobs[QV__JOBS_ENDED];
    fix_open(f, -1);
    struct qv__collection *c = make(f, "c", 256);
    put(f, c, 0, 1000);
    run(f);
    OK(qv__collection_optimize(c, 1, &f->err));
    assert_int_equal(qv__db_jobs(f->db, c, false, jobs, QV_ARRAY_LEN(jobs)), 0);
    size_t n = qv__db_jobs(f->db, c, true, jobs, QV_ARRAY_LEN(jobs));
    unsigned seen[QV__JOB_KINDS] = {0};
    for (size_t i = 0; i < n; i++) {
        assert_true(jobs[i].has_ended);
        assert_int_equal(jobs[i].status, QV_OK);
        assert_int_equal(jobs[i].done, jobs[i].total);
        assert_string_equal(jobs[i].collection, "c");
        assert_true(jobs[i].reason[0] != 0);
        assert_true(i == 0 || jobs[i].id != jobs[i - 1].id);
        seen[jobs[i].kind]++;
    }
    assert_true(seen[QV__JOB_SEAL] > 0 && seen[QV__JOB_MERGE] > 0);
    struct qv__job_totals totals;
    qv__db_job_totals(f->db, &totals);
    assert_true(totals.ended[QV__JOB_INDEX] > 0 && totals.running[QV__JOB_MERGE] == 0);
    assert_int_equal(qv__db_cancel_job(f->db, NULL, 999999, &f->err), QV_ENOTFOUND);
    stop(f, c);
}

/* The deadline passes at many moments of an optimization in turn: it ends early, says so, and
 * leaves everything whole. */
static void test_deadline_ends_an_optimization(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__clock clock = {.mono_ns = mono, .wall_ms = wall};
    fix_open(f, -1);
    bool mid_work = false;
    qv_status st = QV_ETIMEOUT;
    for (unsigned after = 1; st != QV_OK; after += 1 + after / 2) {
        struct qv__job_info job;
        char name[16];
        snprintf(name, sizeof name, "c%u", after);
        struct qv__collection *c = make(f, name, 400);
        put(f, c, 0, 600);
        struct qv__qctx ctx = {.clock = &clock, .mem = f->mem};
        ctx.deadline_ns = (ticks + after) * 1000000u;
        st = qv__collection_optimize_until(c, 1, &ctx, &f->err);
        assert_true(st == QV_OK || st == QV_ETIMEOUT);
        if (qv__db_jobs(f->db, c, true, &job, 1) == 1 && job.status == QV_ECANCELLED) {
            mid_work = true;
            assert_true(job.done < job.total);
        }
        assert_int_equal(info_of(f, c).n_points, 600);
        OK(qv__collection_optimize(c, 1, &f->err));
        assert_int_equal(info_of(f, c).n_sealed, 1);
        assert_int_equal(info_of(f, c).n_points, 600);
        qv__collection_release(c);
    }
    assert_true(mid_work);
    fix_close(f);
}

static void test_later(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    fix_open(f, -1);
    struct qv__collection *c = make(f, "c", 4096);
    put(f, c, 0, 700);
    OK(qv__collection_optimize_later(c, 4, &f->err));
    size_t queued = qv__pool_queued(f->db->pool, QV__LANE_BACKGROUND);
    OK(qv__collection_optimize_later(c, 1, &f->err)); /* by the same task */
    assert_int_equal(qv__pool_queued(f->db->pool, QV__LANE_BACKGROUND), queued);
    assert_int_equal(info_of(f, c).n_sealed, 0);
    assert_true(info_of(f, c).jobs_running > 0);
    run(f);
    assert_int_equal(info_of(f, c).n_sealed, 1);
    assert_int_equal(info_of(f, c).jobs_running, 0);
    stop(f, c);
}

struct holder {
    struct qv__mutex *mutex;
    _Atomic bool has, lets_go;
};

static void *hold(void *arg)
{
    struct holder *h = arg;
    qv__mutex_lock(h->mutex);
    atomic_store(&h->has, true);
    while (!atomic_load(&h->lets_go)) {
        qv__nap_ns(1000000);
    }
    qv__mutex_unlock(h->mutex);
    return NULL;
}

/* Who waits for another's merge keeps to the time that was given. */
static void test_optimize_waits_in_time(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct holder h = {.has = false};
    pthread_t thread;
    fix_open(f, -1);
    struct qv__collection *c = make(f, "c", 4096);
    put(f, c, 0, 700);
    h.mutex = &c->shards[0].merging;
    assert_int_equal(pthread_create(&thread, NULL, hold, &h), 0);
    while (!atomic_load(&h.has)) {
        qv__nap_ns(1000000);
    }
    const struct qv__clock *clock = qv__clock_system();
    struct qv__qctx ctx = {.clock = clock, .deadline_ns = qv__mono_ns(clock) + 20000000};
    assert_int_equal(qv__collection_optimize_until(c, 1, &ctx, &f->err), QV_ETIMEOUT);
    assert_non_null(strstr(f->err.message, "ended early"));
    atomic_store(&h.lets_go, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    ctx.deadline_ns = 0;
    OK(qv__collection_optimize_until(c, 1, &ctx, &f->err));
    assert_int_equal(info_of(f, c).n_sealed, 1);
    stop(f, c);
}

/* --- how much at once --- */

#define COLLECTIONS 5

static void test_merges_at_once(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c[COLLECTIONS];
    struct qv__job_totals totals;
    fix_open(f, 4); /* a quarter of four: one at a time */
    assert_int_equal(f->db->options.merges_max, 1);
    for (unsigned i = 0; i < COLLECTIONS; i++) {
        char name[8];
        snprintf(name, sizeof name, "c%u", i);
        c[i] = make(f, name, 64);
    }
    for (unsigned round = 0; round < 12; round++) {
        for (unsigned i = 0; i < COLLECTIONS; i++) {
            put(f, c[i], round * 64, round * 64 + 64);
            qv__db_job_totals(f->db, &totals);
            assert_in_range(totals.running[QV__JOB_MERGE] + totals.running[QV__JOB_VACUUM], 0, 1);
        }
    }
    for (unsigned i = 0; i < COLLECTIONS; i++) {
        OK(qv__collection_settle(c[i], 0, &f->err));
    }
    for (unsigned i = 0; i < COLLECTIONS; i++) {
        /* Nobody was forgotten: whoever waited had its turn. */
        OK(qv__collection_settle(c[i], 0, &f->err));
        assert_int_equal(info_of(f, c[i]).n_points, 768);
        assert_in_range(info_of(f, c[i]).n_sealed, 1, 6);
        assert_false(atomic_load(&c[i]->shards[0].merge_waits));
        qv__collection_release(c[i]);
    }
    assert_int_equal(atomic_load(&f->db->merges_waiting), 0);
    fix_close(f);
}

/* While others merge, a merge waits for its turn, and nobody calls that settled. */
static void test_settling_waits_for_its_turn(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    fix_open(f, 4);
    assert_int_equal(atomic_exchange(&f->db->merges, 1), 0); /* another's */
    struct qv__collection *c = make(f, "c", 64);
    for (unsigned round = 0; round < 12; round++) {
        put(f, c, round * 64, round * 64 + 64);
    }
    assert_int_equal(qv__collection_settle(c, 300, &f->err), QV_ETIMEOUT);
    assert_true(atomic_load(&c->shards[0].merge_waits));
    /* The other one ends without a word, as without memory: the next look finds what waits. */
    atomic_store(&f->db->merges, 0);
    OK(qv__collection_settle(c, 60000, &f->err));
    assert_false(atomic_load(&c->shards[0].merge_waits));
    assert_in_range(info_of(f, c).n_sealed, 1, 6);
    qv__collection_release(c);
    fix_close(f);
}

/* A turn to merge goes on to the next one when whoever had it does not merge: as nothing is due any
 * more, as it rests, or as it is quarantined. */
static void test_turns_are_not_lost(void **state)
{
    (void)state;
    for (int why = 0; why < 3; why++) {
        struct fix fx, *f = &fx;
        fix_open(f, -1);
        f->options.merges_max = 1;
        fix_reopen(f);
        struct qv__collection *a = make(f, "a", 64), *b = make(f, "b", 64);
        atomic_store(&f->db->merges, 1); /* another's */
        for (unsigned round = 0; round < 12; round++) {
            put(f, a, round * 64, round * 64 + 64);
            put(f, b, round * 64, round * 64 + 64);
        }
        run(f);
        assert_true(atomic_load(&a->shards[0].merge_waits));
        assert_true(atomic_load(&b->shards[0].merge_waits));
        if (why == 0) {
            OK(qv__collection_optimize(a, 1, &f->err)); /* takes no turn */
            run(f);
        } else if (why == 1) {
            atomic_store(&a->shards[0].retry_ns,
                         qv__mono_ns(qv__db_clock(f->db)) + UINT64_C(60000000000));
        } else {
            atomic_store(&a->quarantined, true);
        }
        qv__merge_leave(f->db);
        run(f);
        assert_false(atomic_load(&b->shards[0].merge_waits));
        assert_in_range(info_of(f, b).n_sealed, 1, 6);
        assert_int_equal(atomic_load(&f->db->merges), 0);
        atomic_store(&a->quarantined, false);
        qv__collection_release(a);
        stop(f, b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deletions_give_disk_back),
        cmocka_unit_test(test_deletions_give_memory_back),
        cmocka_unit_test(test_drop_frees_at_once),
        cmocka_unit_test(test_segments_stay_few),
        cmocka_unit_test(test_jobs_are_told),
        cmocka_unit_test(test_deadline_ends_an_optimization),
        cmocka_unit_test(test_later),
        cmocka_unit_test(test_optimize_waits_in_time),
        cmocka_unit_test(test_merges_at_once),
        cmocka_unit_test(test_settling_waits_for_its_turn),
        cmocka_unit_test(test_turns_are_not_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
