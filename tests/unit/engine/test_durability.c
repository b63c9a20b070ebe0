/* test_durability.c: what fsync and relaxed writes promise, on a disk that drops everything
 * unsynced.
 *
 * The database runs stepped under a clock of the test, so that "within the window" is exact. Point
 * i is written by the i-th write: what a crash leaves must be points 1 to k, and k at least what
 * was promised. */
#include "engine_fixture.h"

#define DIM       2
#define WINDOW_MS 100u
#define MS        UINT64_C(1000000)

struct time {
    uint64_t mono_ns, wall_ms;
};

static uint64_t mono_of(void *ctx)
{
    return ((struct time *)ctx)->mono_ns;
}
static uint64_t wall_of(void *ctx)
{
    return ((struct time *)ctx)->wall_ms;
}

struct run {
    struct fix fix;
    struct time time;
    struct qv__clock clock;
    struct qv__collection *c;
    uint64_t n; /* writes so far */
};

static void run_open(struct run *r, enum qv__durability mode)
{
    struct fix *f = &r->fix;
    memset(r, 0, sizeof *r);
    fix_open(f, -1);
    OK(qv__db_close(f->db, &f->err));
    r->time = (struct time){.mono_ns = 5000 * MS, .wall_ms = 1700000000000u};
    r->clock = (struct qv__clock){mono_of, wall_of, &r->time};
    f->options.clock = &r->clock;
    OK(qv__db_open(&f->options, &f->db, &f->err));
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema s = fix_schema(&def, 1, 2);
    s.policy = (struct qv__segment_policy){.seal_rows = 16, .index_rows = 16, .merge_fanin = 2};
    s.durability = (struct qv__durability_policy){.mode = mode, .window_ms = WINDOW_MS};
    OK(qv__db_create_collection(f->db, QV__STR("c"), &s, &f->err));
    r->c = fix_collection(f, "c");
}

static void run_close(struct run *r)
{
    qv__collection_release(r->c);
    fix_close(&r->fix);
}

static void drain(struct run *r)
{
    while (qv__db_step(r->fix.db)) {
    }
}

static void mark_done(struct qv__write *w)
{
    *(bool *)w->arg = true;
}

/* Begin the next write; *done tells when it was acknowledged. */
static void begin(struct run *r, struct qv__write *w, enum qv__durability d, bool *done)
{
    float v[DIM] = {1, 2};
    struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = DIM};
    struct qv__point p = {.id = qv__id_u64(++r->n), .vectors = &nv, .n_vectors = 1};
    struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = &p, .n_points = 1};
    *w = (struct qv__write){.done = mark_done, .arg = done, .durability = d};
    *done = false;
    qv__collection_write(r->c, &m, 1, w);
}

/* The same, which must be acknowledged without a step. */
static void relaxed(struct run *r)
{
    struct qv__write w;
    bool done;
    begin(r, &w, QV__DURABILITY_RELAXED, &done);
    assert_true(done);
    assert_int_equal(w.result.status, QV_OK);
}

static void strict(struct run *r)
{
    struct qv__write w;
    bool done;
    begin(r, &w, QV__DURABILITY_FSYNC, &done);
    assert_false(done);
    drain(r);
    assert_true(done);
    assert_int_equal(w.result.status, QV_OK);
}

static uint64_t count(struct run *r)
{
    struct fix *f = &r->fix;
    struct qv__qctx ctx = fix_ctx(f);
    uint64_t n = 0;
    OK(qv__collection_count(r->c, NULL, &ctx, &n, &f->err));
    return n;
}

static uint64_t syncs(struct run *r)
{
    struct qv__db_info info;
    qv__db_info(r->fix.db, &info);
    return info.log_syncs;
}

/* Power off; returns k, having checked that points 1 to k are there and no other. */
static uint64_t crash(struct run *r, enum qv__sim_crash how, uint64_t seed)
{
    struct fix *f = &r->fix;
    struct qv__rng rng;
    qv__rng_seed(&rng, seed);
    qv__collection_release(r->c);
    fix_crash(f, how, &rng);
    r->c = fix_collection(f, "c");
    uint64_t k = count(r);
    for (uint64_t i = 1; i <= k; i++) {
        struct qv__id id = qv__id_u64(i);
        struct qv__result_set rs;
        struct qv__qctx ctx = fix_ctx(f);
        OK(qv__collection_get(r->c, &id, 1, NULL, &ctx, &rs, &f->err));
        if (rs.n != 1) {
            fail_msg("%llu points, but not point %llu: no prefix", (unsigned long long)k,
                     (unsigned long long)i);
        }
        qv__result_free(&rs);
    }
    r->n = k;
    return k;
}

/* A relaxed write is answered and seen before any sync, and can be lost until there was one. */
static void relaxed_comes_before_the_sync(void **state)
{
    (void)state;
    struct run r;
    run_open(&r, QV__DURABILITY_RELAXED);
    strict(&r);
    uint64_t before = syncs(&r);
    for (int i = 0; i < 5; i++) {
        relaxed(&r);
        assert_int_equal(count(&r), r.n);
    }
    drain(&r);
    assert_int_equal(syncs(&r), before);
    assert_int_equal(crash(&r, QV__CRASH_DROP_ALL, 1), 1);
    run_close(&r);
}

/* The sync begins within half of the window, counted from the first write that waits for it. */
static void window_is_kept(void **state)
{
    (void)state;
    struct run r;
    run_open(&r, QV__DURABILITY_RELAXED);
    relaxed(&r);
    uint64_t before = syncs(&r);
    r.time.mono_ns += WINDOW_MS / 2 * MS - 1;
    relaxed(&r);
    drain(&r);
    assert_int_equal(syncs(&r), before);
    r.time.mono_ns += 1;
    drain(&r);
    assert_int_equal(syncs(&r), before + 1);
    assert_int_equal(crash(&r, QV__CRASH_DROP_ALL, 1), 2);
    /* Nothing waits: no further sync, whatever the time. */
    before = syncs(&r);
    r.time.mono_ns += 100000 * MS;
    drain(&r);
    assert_int_equal(syncs(&r), before);
    run_close(&r);
}

/* An fsync write takes everything before it along. */
static void strict_covers_what_came_before(void **state)
{
    (void)state;
    struct run r;
    run_open(&r, QV__DURABILITY_RELAXED);
    relaxed(&r);
    relaxed(&r);
    strict(&r);
    relaxed(&r);
    assert_int_equal(crash(&r, QV__CRASH_DROP_ALL, 1), 3);
    run_close(&r);
}

/* A relaxed write that comes behind an fsync one is neither seen nor answered before that is
 * durable: else the fsync write would be seen while a crash can take it back. */
static void relaxed_waits_for_strict_before_it(void **state)
{
    (void)state;
    struct run r;
    struct qv__write w[2];
    bool done[2];
    run_open(&r, QV__DURABILITY_FSYNC);
    begin(&r, &w[0], QV__DURABILITY_DEFAULT, &done[0]);
    begin(&r, &w[1], QV__DURABILITY_RELAXED, &done[1]);
    assert_false(done[0] || done[1]);
    assert_int_equal(count(&r), 0);
    drain(&r);
    assert_true(done[0] && done[1]);
    assert_int_equal(count(&r), 2);
    assert_int_equal(crash(&r, QV__CRASH_DROP_ALL, 1), 2);
    run_close(&r);
}

/* A disk that does not keep the window: no more relaxed answers until it has caught up. */
static void overdue_writes_stop_relaxed_answers(void **state)
{
    (void)state;
    struct run r;
    struct qv__write w;
    bool done;
    run_open(&r, QV__DURABILITY_RELAXED);
    relaxed(&r);
    r.time.mono_ns += WINDOW_MS * MS;
    relaxed(&r); /* just within */
    r.time.mono_ns += 1;
    begin(&r, &w, QV__DURABILITY_DEFAULT, &done);
    assert_false(done);
    drain(&r);
    assert_true(done);
    assert_int_equal(crash(&r, QV__CRASH_DROP_ALL, 1), 3);
    relaxed(&r);
    run_close(&r);
}

static void sync_makes_all_durable(void **state)
{
    (void)state;
    struct run r;
    struct fix *f = &r.fix;
    run_open(&r, QV__DURABILITY_RELAXED);
    relaxed(&r);
    relaxed(&r);
    OK(qv__db_sync(f->db, &f->err));
    relaxed(&r);
    assert_int_equal(crash(&r, QV__CRASH_DROP_ALL, 1), 2);
    run_close(&r);
}

/* A manifest names nothing that a crash can take back. */
static void checkpoint_claims_only_what_is_durable(void **state)
{
    (void)state;
    struct run r;
    struct fix *f = &r.fix;
    run_open(&r, QV__DURABILITY_RELAXED);
    for (int i = 0; i < 40; i++) {
        relaxed(&r);
    }
    /* Only the manifest: the shards hold relaxed rows that are published and not durable. */
    OK(qv__checkpoint_commit(f->db, &f->err));
    assert_int_equal(crash(&r, QV__CRASH_DROP_ALL, 1), 0);
    for (int i = 0; i < 40; i++) {
        relaxed(&r);
    }
    OK(qv__db_checkpoint(f->db, &f->err));
    relaxed(&r);
    assert_int_equal(crash(&r, QV__CRASH_DROP_ALL, 2), 40);
    run_close(&r);
}

/* The sync of relaxed writes fails: they stay visible, nothing more is taken, and what the next
 * start finds is a prefix. */
static void failed_sync_after_relaxed(void **state)
{
    (void)state;
    struct run r;
    struct qv__write w;
    bool done;
    run_open(&r, QV__DURABILITY_RELAXED);
    strict(&r);
    relaxed(&r);
    qv__io_sim_fault(r.fix.io, (struct qv__sim_fault){.call = QV__SIM_SYNC, .at = 1});
    r.time.mono_ns += WINDOW_MS * MS;
    drain(&r);
    begin(&r, &w, QV__DURABILITY_DEFAULT, &done);
    assert_true(done);
    assert_int_equal(w.result.status, QV_EREADONLY);
    assert_non_null(strstr(w.result.err.message, "until restart"));
    assert_int_equal(count(&r), 2);
    assert_int_equal(qv__db_sync(r.fix.db, &r.fix.err), QV_EREADONLY);
    struct qv__db_info info;
    qv__db_info(r.fix.db, &info);
    assert_true(info.read_only);
    assert_int_equal(crash(&r, QV__CRASH_DROP_ALL, 1), 1);
    strict(&r);
    run_close(&r);
}

static void settings_are_kept(void **state)
{
    (void)state;
    struct run r;
    struct fix *f = &r.fix;
    run_open(&r, QV__DURABILITY_RELAXED);
    qv__collection_release(r.c);
    fix_reopen(f);
    r.c = fix_collection(f, "c");
    struct qv__schema *s = qv__collection_schema(r.c);
    assert_int_equal(s->durability.mode, QV__DURABILITY_RELAXED);
    assert_int_equal(s->durability.window_ms, WINDOW_MS);
    qv__schema_release(s);
    struct qv__durability_policy d = {.window_ms = QV__WINDOW_MS_MAX + 1};
    assert_int_equal(
        qv__db_alter(f->db, QV__STR("c"), &(struct qv__alter){.durability = &d}, NULL, &f->err),
        QV_EVALIDATION);
    d = (struct qv__durability_policy){0};
    OK(qv__db_alter(f->db, QV__STR("c"), &(struct qv__alter){.durability = &d}, NULL, &f->err));
    s = qv__collection_schema(r.c);
    assert_int_equal(s->durability.mode, QV__DURABILITY_FSYNC);
    assert_int_equal(s->durability.window_ms, QV__WINDOW_MS_DEFAULT);
    qv__schema_release(s);
    run_close(&r);
}

/* --- at random --- */

/* What was promised so far: writes up to `strict` for good, others from their time on. */
struct promises {
    uint64_t strict;
    uint64_t due_ns[4096]; /* of relaxed write i: durable from then on */
};

static uint64_t promised(const struct run *r, const struct promises *p)
{
    uint64_t k = p->strict;
    for (uint64_t i = k + 1; i <= r->n; i++) {
        k = p->due_ns[i] && r->time.mono_ns >= p->due_ns[i] ? i : k;
    }
    return k;
}

static void random_step(struct run *r, struct promises *p, struct qv__rng *rng)
{
    struct fix *f = &r->fix;
    struct qv__write w;
    bool done;
    uint64_t what = qv__rng_u64(rng) % 100;
    /* Wall time goes anywhere: nothing may depend on it. */
    r->time.wall_ms = qv__rng_u64(rng) % 4000000000000u;
    if (what < 60) {
        begin(r, &w, QV__DURABILITY_DEFAULT, &done);
        drain(r);
        assert_true(done);
        p->due_ns[r->n] = r->time.mono_ns + WINDOW_MS * MS;
    } else if (what < 75) {
        strict(r);
        p->strict = r->n;
    } else if (what < 95) {
        r->time.mono_ns += qv__rng_u64(rng) % (WINDOW_MS * MS);
        drain(r);
    } else if (what < 98) {
        OK(qv__db_checkpoint(f->db, &f->err));
        p->strict = r->n;
    } else {
        OK(qv__checkpoint_commit(f->db, &f->err));
    }
    assert_int_equal(count(r), r->n);
}

static void random_histories(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct run r;
        struct promises p = {0};
        struct qv__rng rng;
        qv__rng_seed(&rng, seed);
        run_open(&r, QV__DURABILITY_RELAXED);
        for (unsigned life = 0; life < 6; life++) {
            for (unsigned i = 0, n = (unsigned)(qv__rng_u64(&rng) % 60); i < n; i++) {
                random_step(&r, &p, &rng);
            }
            uint64_t least = promised(&r, &p), sent = r.n;
            enum qv__sim_crash how = life % 2 ? QV__CRASH_RANDOM : QV__CRASH_DROP_ALL;
            uint64_t k = crash(&r, how, seed * 100 + life);
            if (k < least || k > sent) {
                fail_msg("seed %llu: %llu writes survived of %llu, %llu were promised",
                         (unsigned long long)seed, (unsigned long long)k, (unsigned long long)sent,
                         (unsigned long long)least);
            }
            p.strict = k;
            memset(p.due_ns, 0, sizeof p.due_ns);
        }
        run_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relaxed_comes_before_the_sync),
        cmocka_unit_test(window_is_kept),
        cmocka_unit_test(strict_covers_what_came_before),
        cmocka_unit_test(relaxed_waits_for_strict_before_it),
        cmocka_unit_test(overdue_writes_stop_relaxed_answers),
        cmocka_unit_test(sync_makes_all_durable),
        cmocka_unit_test(checkpoint_claims_only_what_is_durable),
        cmocka_unit_test(failed_sync_after_relaxed),
        cmocka_unit_test(settings_are_kept),
        cmocka_unit_test(random_histories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
