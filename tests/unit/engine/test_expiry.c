/* test_expiry.c: points that expire: when they vanish from every read, what keeps and what changes
 * their time, and that the purge deletes exactly them.
 *
 * The clock is the test's own, the database is stepped: nothing here depends on real time but the
 * last test, which waits for the alarm's own thread. */
#include "engine/snapshot.h"
#include "engine_fixture.h"

#define DIM 2
#define T0  INT64_C(1700000000000)

static int64_t wall_now = T0;

static uint64_t mono(void *ctx)
{
    (void)ctx;
    return (uint64_t)wall_now * 1000000u;
}

static uint64_t wall(void *ctx)
{
    (void)ctx;
    return (uint64_t)wall_now;
}

static const struct qv__clock test_clock = {.mono_ns = mono, .wall_ms = wall};

static void run(struct fix *f)
{
    while (qv__db_step(f->db)) {
    }
}

static void at(struct fix *f, int64_t ms)
{
    wall_now = T0 + ms;
    (void)f;
}

static struct qv__collection *start(struct fix *f, uint32_t shards, uint64_t ttl_ms)
{
    wall_now = T0;
    memset(f, 0, sizeof *f);
    f->mem = qv__mem_root("test", 0);
    OK(qv__io_sim_open(f->mem, &f->io, &f->err));
    f->options = (struct qv__db_options){
        .io = f->io, .threads = -1, .seed = 7, .log_file_bytes = 1 << 20, .clock = &test_clock};
    OK(qv__db_open(&f->options, &f->db, &f->err));
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema schema = fix_schema(&def, 1, shards);
    schema.policy = (struct qv__segment_policy){
        .seal_rows = 64, .index_rows = 16, .merge_fanin = 2, .ttl_ms = ttl_ms};
    OK(qv__db_create_collection(f->db, QV__STR("c"), &schema, &f->err));
    return fix_collection(f, "c");
}

static void stop(struct fix *f, struct qv__collection *c)
{
    qv__collection_release(c);
    fix_close(f);
}

/* Points [from, to) with the same expiry: Unix ms, 0 = the default, INT64_MAX = never. */
static void put(struct fix *f, struct qv__collection *c, uint64_t from, uint64_t to,
                int64_t expires)
{
    struct qv__arena a;
    qv__arena_init(&a, f->mem);
    struct qv__bytes payload = fix_payload(f, &a, "{\"k\":1}");
    for (uint64_t i = from; i < to; i++) {
        float v[DIM] = {(float)i, 1};
        struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = DIM};
        struct qv__point p = {.id = qv__id_u64(i),
                              .vectors = &nv,
                              .n_vectors = 1,
                              .payload = payload,
                              .expires_ms = expires};
        fix_write(f, c, &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = &p, .n_points = 1},
                  1);
    }
    qv__arena_free(&a);
}

static uint64_t count(struct fix *f, struct qv__collection *c, const struct qv__filter *filter)
{
    struct qv__qctx ctx = fix_ctx(f);
    uint64_t n = 0;
    OK(qv__collection_count(c, filter, &ctx, &n, &f->err));
    return n;
}

/* Every way to read agrees that exactly n points are there. */
static void there(struct fix *f, struct qv__collection *c, uint64_t n)
{
    struct qv__arena a;
    qv__arena_init(&a, f->mem);
    const struct qv__filter *filter =
        fix_filter(f, &a, "{\"must\":[{\"key\":\"k\",\"match\":{\"value\":1}}]}");
    assert_int_equal(count(f, c, NULL), n);
    assert_int_equal(count(f, c, filter), n);
    for (int exact = 0; exact < 2; exact++) {
        for (int filtered = 0; filtered < 2; filtered++) {
            struct qv__qctx ctx = fix_ctx(f);
            struct qv__result_set rs;
            float q[DIM] = {0, 0};
            struct qv__query query = {.kind = QV__QUERY_NEAREST,
                                      .target = {.values = q, .dim = DIM},
                                      .limit = 1000,
                                      .filter = filtered ? filter : NULL,
                                      .params = {.exact = exact, .ef = 1000}};
            OK(qv__collection_query(c, &query, NULL, &ctx, &rs, &f->err));
            assert_int_equal(rs.n, n);
            qv__result_free(&rs);
            OK(qv__collection_scroll(c, NULL, 1000, filtered ? filter : NULL, NULL, &ctx, &rs,
                                     &f->err));
            assert_int_equal(rs.n, n);
            qv__result_free(&rs);
        }
    }
    struct qv__collection_info info;
    OK(qv__collection_info(c, &info, &f->err));
    assert_int_equal(info.n_points, n);
    qv__arena_free(&a);
}

/* The expiry of a point; 0 = it is not there. */
static int64_t expiry(struct fix *f, struct qv__collection *c, uint64_t id)
{
    struct qv__id ids[1] = {qv__id_u64(id)};
    struct qv__qctx ctx = fix_ctx(f);
    struct qv__result_set rs;
    OK(qv__collection_get(c, ids, 1, NULL, &ctx, &rs, &f->err));
    int64_t ms = rs.n ? rs.points[0].expires_ms : 0;
    qv__result_free(&rs);
    return ms;
}

static uint64_t rows_alive(struct fix *f, struct qv__collection *c)
{
    uint64_t n = 0;
    for (uint32_t s = 0; s < c->n_shards; s++) {
        struct qv__view *v = qv__shard_view(&c->shards[s]);
        for (uint32_t i = 0; i < v->n; i++) {
            n += qv__segment_rows(v->segments[i]) - qv__segment_dead(v->segments[i]);
        }
        qv__view_release(v);
    }
    (void)f;
    return n;
}

/* --- reads --- */

static void test_hidden_on_time(void **state)
{
    (void)state;
    for (uint32_t shards = 1; shards <= 3; shards += 2) {
        struct fix fx, *f = &fx;
        struct qv__collection *c = start(f, shards, 0);
        put(f, c, 0, 30, T0 + 1000);
        put(f, c, 30, 60, T0 + 2000);
        put(f, c, 60, 100, INT64_MAX);
        there(f, c, 100);
        at(f, 999);
        there(f, c, 100);
        at(f, 1000); /* to the millisecond, before any purge ran */
        there(f, c, 70);
        assert_int_equal(expiry(f, c, 3), 0);
        assert_int_equal(expiry(f, c, 33), T0 + 2000);
        assert_true(expiry(f, c, 66) == INT64_MAX);
        OK(qv__collection_optimize(c, 1, &f->err)); /* sealed form */
        there(f, c, 70);
        at(f, 2000);
        there(f, c, 40);
        run(f);
        there(f, c, 40);
        assert_int_equal(rows_alive(f, c), 40);
        stop(f, c);
    }
}

static void test_expired_is_absent_to_writes(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = start(f, 1, 0);
    struct qv__arena a;
    qv__arena_init(&a, f->mem);
    put(f, c, 1, 3, T0 + 1000);
    at(f, 1000);
    struct qv__id id = qv__id_u64(1);
    struct qv__write_result r;
    struct qv__mutation set = {.kind = QV__MUT_SET_PAYLOAD,
                               .ids = &id,
                               .n_ids = 1,
                               .payload = fix_payload(f, &a, "{\"x\":1}")};
    assert_int_equal(qv__collection_write_sync(c, &set, 1, &r, &f->err), QV_ENOTFOUND);
    struct qv__mutation del = {
        .kind = QV__MUT_DELETE, .by_filter = true, .filter = fix_filter(f, &a, "{}")};
    OK(qv__collection_write_sync(c, &del, 1, &r, &f->err));
    assert_int_equal(r.n_affected, 0);
    /* insert_only finds room */
    float v[DIM] = {9, 9};
    struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = DIM};
    struct qv__point p = {.id = id, .vectors = &nv, .n_vectors = 1};
    struct qv__mutation ins = {
        .kind = QV__MUT_UPSERT, .mode = QV__UPDATE_INSERT_ONLY, .points = &p, .n_points = 1};
    fix_write(f, c, &ins, 1);
    assert_true(expiry(f, c, 1) == INT64_MAX);
    run(f); /* the purge of 2 leaves the new 1 alone */
    assert_int_equal(count(f, c, NULL), 1);
    assert_int_equal(rows_alive(f, c), 1);
    qv__arena_free(&a);
    stop(f, c);
}

static void test_expired_example(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = start(f, 1, 0);
    put(f, c, 1, 2, T0 + 1000);
    put(f, c, 2, 9, INT64_MAX);
    struct qv__qctx ctx = fix_ctx(f);
    struct qv__result_set rs;
    struct qv__vector_input in = {.by_id = true, .id = qv__id_u64(1)};
    struct qv__query q = {
        .kind = QV__QUERY_RECOMMEND, .positive = &in, .n_positive = 1, .limit = 3};
    OK(qv__collection_query(c, &q, NULL, &ctx, &rs, &f->err));
    qv__result_free(&rs);
    at(f, 1000);
    /* The request began before: its instant holds for all it reads. */
    OK(qv__collection_query(c, &q, NULL, &ctx, &rs, &f->err));
    qv__result_free(&rs);
    ctx = fix_ctx(f);
    assert_int_equal(qv__collection_query(c, &q, NULL, &ctx, &rs, &f->err), QV_ENOTFOUND);
    stop(f, c);
}

/* --- what sets it --- */

static void test_defaults_and_edits(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = start(f, 1, 5000);
    struct qv__arena a;
    qv__arena_init(&a, f->mem);
    put(f, c, 1, 2, 0);
    put(f, c, 2, 3, T0 + 100);
    put(f, c, 3, 4, INT64_MAX);
    assert_int_equal(expiry(f, c, 1), T0 + 5000);
    assert_int_equal(expiry(f, c, 2), T0 + 100);
    assert_true(expiry(f, c, 3) == INT64_MAX);
    at(f, 50);
    struct qv__id id = qv__id_u64(2);
    struct qv__mutation set = {.kind = QV__MUT_SET_PAYLOAD,
                               .ids = &id,
                               .n_ids = 1,
                               .payload = fix_payload(f, &a, "{\"x\":1}")};
    fix_write(f, c, &set, 1);
    assert_int_equal(expiry(f, c, 2), T0 + 100); /* kept */
    float v[DIM] = {9, 9};
    struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = DIM};
    struct qv__point p = {.id = id, .vectors = &nv, .n_vectors = 1};
    fix_write(f, c,
              &(struct qv__mutation){.kind = QV__MUT_UPDATE_VECTORS, .points = &p, .n_points = 1},
              1);
    assert_int_equal(expiry(f, c, 2), T0 + 100); /* kept */
    set.expires_ms = T0 + 200;
    fix_write(f, c, &set, 1);
    assert_int_equal(expiry(f, c, 2), T0 + 200);
    put(f, c, 2, 3, 0); /* replaced as a whole: the default again */
    assert_int_equal(expiry(f, c, 2), T0 + 5050);
    /* All of it is in the log: a crash brings the same back, whatever the clock says. */
    struct qv__rng rng;
    qv__rng_seed(&rng, 1);
    set.expires_ms = 0;
    fix_write(f, c, &set, 1); /* a PAYLOAD record behind the PUT */
    qv__collection_release(c);
    at(f, 60);
    fix_crash(f, QV__CRASH_DROP_ALL, &rng);
    c = fix_collection(f, "c");
    assert_int_equal(expiry(f, c, 1), T0 + 5000);
    assert_int_equal(expiry(f, c, 2), T0 + 5050);
    assert_true(expiry(f, c, 3) == INT64_MAX);
    qv__arena_free(&a);
    stop(f, c);
}

/* --- the purge --- */

static void test_purge_through_restarts(void **state)
{
    (void)state;
    struct qv__rng rng;
    qv__rng_seed(&rng, 3);
    for (int how = 0; how < 3; how++) {
        struct fix fx, *f = &fx;
        struct qv__collection *c = start(f, 3, 0);
        put(f, c, 0, 50, T0 + 1000);
        if (how == 1) {
            OK(qv__collection_optimize(c, 1, &f->err));
        }
        put(f, c, 50, 150, T0 + 60000);
        put(f, c, 150, 200, INT64_MAX);
        qv__collection_release(c);
        at(f, 1500);
        if (how == 2) {
            fix_crash(f, QV__CRASH_DROP_ALL, &rng);
        } else {
            fix_reopen(f);
        }
        c = fix_collection(f, "c");
        there(f, c, 150);
        run(f); /* known again from the files and the log */
        assert_int_equal(rows_alive(f, c), 150);
        qv__collection_release(c);
        at(f, 0); /* purged is deleted: a clock that is set back brings nothing back */
        fix_crash(f, QV__CRASH_DROP_ALL, &rng);
        c = fix_collection(f, "c");
        there(f, c, 150);
        at(f, 61000);
        run(f);
        there(f, c, 50);
        assert_int_equal(rows_alive(f, c), 50);
        stop(f, c);
    }
}

/* A collection that comes back from a snapshot knows when its points expire, as after a start. */
static void test_purge_after_a_recovery(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__snapshot_info info;
    struct qv__collection *c = start(f, 3, 0);
    put(f, c, 0, 60, T0 + 1000);
    put(f, c, 60, 100, INT64_MAX);
    OK(qv__db_snapshot_create(f->db, QV__STR("c"), &info, &f->err));
    struct qv__snapshot_from from = {.id = info.id};
    OK(qv__db_snapshot_recover(f->db, QV__STR("back"), &from, &f->err));
    struct qv__collection *back = fix_collection(f, "back");
    assert_int_equal(rows_alive(f, back), 100);
    at(f, 1000);
    run(f);
    assert_int_equal(count(f, back, NULL), 40);
    assert_int_equal(rows_alive(f, back), 40);
    qv__collection_release(back);
    stop(f, c);
}

/* A point that is refreshed between the gathering of a purge and its write stays. */
static void test_refresh_wins(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = start(f, 1, 0);
    put(f, c, 1, 3, T0 + 1000);
    at(f, 1000);
    put(f, c, 1, 2, T0 + 9000);
    struct qv__id ids[2] = {qv__id_u64(1), qv__id_u64(2)};
    struct qv__write_result r;
    struct qv__mutation m = {
        .kind = QV__MUT_EXPIRE, .ids = ids, .n_ids = 2, .expires_ms = T0 + 1000};
    OK(qv__collection_write_sync(c, &m, 1, &r, &f->err));
    assert_int_equal(r.n_affected, 1);
    assert_int_equal(expiry(f, c, 1), T0 + 9000);
    assert_int_equal(rows_alive(f, c), 1);
    stop(f, c);
}

/* Readers of an older instant and LSN keep what they saw while the purge goes by. */
static void test_reader_across_purge(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = start(f, 1, 0);
    put(f, c, 0, 40, T0 + 1000);
    put(f, c, 40, 50, INT64_MAX);
    struct qv__read_view *before = NULL, *after = NULL;
    OK(qv__read_view_open(c, NULL, &before, &f->err));
    at(f, 1000);
    OK(qv__read_view_open(c, NULL, &after, &f->err)); /* same LSN, later clock */
    run(f);
    assert_int_equal(rows_alive(f, c), 10);
    for (int i = 0; i < 2; i++) {
        struct qv__read_view *v = i ? after : before;
        uint64_t n = 0;
        for (uint32_t k = 0; k < v->views[0]->n; k++) {
            struct qv__visible vis;
            OK(qv__segment_visible(v->views[0]->segments[k], v->ticket.lsn, v->now_ms, f->mem, &vis,
                                   &f->err));
            n += vis.count;
            qv__visible_free(&vis);
        }
        assert_int_equal(n, i ? 10 : 50);
    }
    qv__read_view_close(before);
    qv__read_view_close(after);
    stop(f, c);
}

/* Many batches; no step is left when nothing expires; the heap empties. */
static void test_large_purge_then_silence(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = start(f, 1, 0);
    struct qv__point p[500];
    for (uint64_t i = 0; i < 6; i++) {
        for (uint64_t k = 0; k < 500; k++) {
            p[k] = (struct qv__point){.id = qv__id_u64(i * 500 + k),
                                      .expires_ms = T0 + 1000 + (int64_t)k % 7};
        }
        fix_write(f, c,
                  &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = p, .n_points = 500}, 1);
    }
    run(f);
    assert_false(qv__db_step(f->db)); /* nothing is due: nothing is done */
    at(f, 1010);
    run(f);
    assert_int_equal(rows_alive(f, c), 0);
    at(f, 1000000);
    assert_false(qv__db_step(f->db));
    put(f, c, 1, 2, INT64_MAX); /* a write drains the deletions */
    run(f);
    OK(qv__collection_optimize(c, 1, &f->err));
    struct qv__view *v = qv__shard_view(&c->shards[0]);
    for (uint32_t i = 0; i < v->n; i++) {
        assert_true(qv__segment_next_expiry(v->segments[i]) == INT64_MAX);
    }
    qv__view_release(v);
    there(f, c, 1);
    stop(f, c);
}

/* With threads the alarm's own thread does it, on the system's clock. */
static void test_alarm_thread(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    fix_open(f, 2);
    struct qv__schema schema = fix_schema(NULL, 0, 2);
    OK(qv__db_create_collection(f->db, QV__STR("c"), &schema, &f->err));
    struct qv__collection *c = fix_collection(f, "c");
    assert_false(f->db->alarm.is_started); /* no thread without an expiry */
    put(f, c, 0, 0, 0);
    int64_t soon = (int64_t)qv__wall_ms(qv__db_clock(f->db)) + 1;
    for (uint64_t i = 0; i < 20; i++) {
        struct qv__point p = {.id = qv__id_u64(i), .expires_ms = soon};
        fix_write(f, c, &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = &p, .n_points = 1},
                  1);
    }
    struct qv__mutex lock;
    struct qv__condvar cond;
    qv__mutex_init(&lock, QV__RANK_LEAF);
    qv__cond_init(&cond);
    for (int i = 0; i < 60000 && rows_alive(f, c) > 0; i++) {
        qv__mutex_lock(&lock);
        qv__cond_timedwait(&cond, &lock, 1000000);
        qv__mutex_unlock(&lock);
    }
    qv__cond_destroy(&cond);
    qv__mutex_destroy(&lock);
    assert_int_equal(rows_alive(f, c), 0);
    stop(f, c);
}

static struct qv__db *closing; /* whose end looks at the time */
static _Atomic unsigned looks;

/* It stands still, and what is due becomes so when the close begins. */
static uint64_t wall_of_close(void *ctx)
{
    (void)ctx;
    bool now = closing && atomic_load(&closing->closing);
    atomic_fetch_add(&looks, now);
    return (uint64_t)(now ? T0 + 1000 : T0);
}

static uint64_t mono_of_close(void *ctx)
{
    (void)ctx;
    return qv__mono_ns(qv__clock_system());
}

/* A close that waits for a checkpoint does not look at what is due again and again. */
static void test_alarm_rests_in_a_close(void **state)
{
    (void)state;
    static const struct qv__clock clock = {.mono_ns = mono_of_close, .wall_ms = wall_of_close};
    struct fix fx, *f = &fx;
    bool runs = false;
    fix_open(f, 2);
    OK(qv__db_close(f->db, &f->err));
    f->options.clock = &clock;
    f->options.checkpoint_log_bytes = 1;
    f->options.log_bytes_max = 1 << 30;
    OK(qv__db_open(&f->options, &f->db, &f->err));
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema schema = fix_schema(&def, 1, 1);
    OK(qv__db_create_collection(f->db, QV__STR("c"), &schema, &f->err));
    struct qv__collection *c = fix_collection(f, "c");
    closing = f->db;
    qv__io_sim_sync_delay(f->io, 50000000);
    put(f, c, 0, 1, T0 + 10); /* the alarm looks every 10 ms */
    for (int i = 0; i < 1000 && !runs; i++) {
        struct qv__job_info j;
        put(f, c, 1, 2, INT64_MAX);
        runs = qv__db_jobs(f->db, NULL, false, &j, 1) == 1 && j.kind == QV__JOB_CHECKPOINT;
    }
    assert_true(runs);
    qv__collection_release(c);
    fix_close(f);
    closing = NULL;
    assert_true(atomic_load(&looks) < 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hidden_on_time),
        cmocka_unit_test(test_expired_is_absent_to_writes),
        cmocka_unit_test(test_expired_example),
        cmocka_unit_test(test_defaults_and_edits),
        cmocka_unit_test(test_purge_through_restarts),
        cmocka_unit_test(test_purge_after_a_recovery),
        cmocka_unit_test(test_refresh_wins),
        cmocka_unit_test(test_reader_across_purge),
        cmocka_unit_test(test_large_purge_then_silence),
        cmocka_unit_test(test_alarm_thread),
        cmocka_unit_test(test_alarm_rests_in_a_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
