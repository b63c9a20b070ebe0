/* test_idle.c: idle shards: sealed and merged once nobody writes, where that is worth it. The
 * clock is the test's own, the database is stepped. */
#include "engine_fixture.h"

#define DIM     4
#define IDLE_MS 10000

static int64_t now_ms;

static uint64_t mono(void *ctx)
{
    (void)ctx;
    return (uint64_t)now_ms * 1000000u;
}

static uint64_t wall(void *ctx)
{
    (void)ctx;
    return (uint64_t)now_ms;
}

static const struct qv__clock test_clock = {.mono_ns = mono, .wall_ms = wall};

static struct qv__collection *begin(struct fix *f, uint32_t idle_ms)
{
    memset(f, 0, sizeof *f);
    now_ms = 1700000000000;
    f->mem = qv__mem_root("test", 0);
    OK(qv__io_sim_open(f->mem, &f->io, &f->err));
    f->options = (struct qv__db_options){.io = f->io,
                                         .threads = -1,
                                         .seed = 7,
                                         .log_file_bytes = 1 << 20,
                                         .clock = &test_clock,
                                         .idle_ms = idle_ms};
    OK(qv__db_open(&f->options, &f->db, &f->err));
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema schema = fix_schema(&def, 1, 1);
    schema.policy = (struct qv__segment_policy){.seal_rows = 8000, .index_rows = 1024};
    OK(qv__db_create_collection(f->db, QV__STR("c"), &schema, &f->err));
    return fix_collection(f, "c");
}

static void put(struct fix *f, struct qv__collection *c, uint64_t from, uint64_t to)
{
    struct qv__point p[500];
    float v[500][DIM];
    struct qv__named_vector nv[500];
    while (from < to) {
        size_t n = 0;
        for (; n < 500 && from < to; n++, from++) {
            for (unsigned k = 0; k < DIM; k++) {
                v[n][k] = (float)((from * 37 + k * 11) % 1009);
            }
            nv[n] = (struct qv__named_vector){.name = QV__STR(""), .values = v[n], .dim = DIM};
            p[n] = (struct qv__point){.id = qv__id_u64(from), .vectors = &nv[n], .n_vectors = 1};
        }
        fix_write(f, c, &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = p, .n_points = n},
                  1);
    }
}

static void wait_ms(struct fix *f, int64_t ms)
{
    while (qv__db_step(f->db)) {
    }
    now_ms += ms;
    while (qv__db_step(f->db)) {
    }
}

/* The rows of the sealed segment, 0 = there is none; and all points. */
static void assert_sealed(struct fix *f, struct qv__collection *c, uint32_t n_rows,
                          uint64_t n_points)
{
    struct qv__collection_info info;
    OK(qv__collection_info(c, &info, &f->err));
    assert_int_equal(info.n_sealed, n_rows > 0);
    assert_int_equal(info.n_points, n_points);
    assert_int_equal(info.jobs_running, 0);
    struct qv__view *v = qv__shard_view(&c->shards[0]);
    if (n_rows) {
        assert_int_equal(qv__segment_rows(v->segments[0]), n_rows);
    }
    qv__view_release(v);
}

static void end(struct fix *f, struct qv__collection *c)
{
    qv__collection_release(c);
    fix_close(f);
}

static void test_what_grows_is_sealed(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = begin(f, IDLE_MS);
    put(f, c, 0, 4096);
    wait_ms(f, IDLE_MS - 1);
    assert_sealed(f, c, 0, 4096);
    put(f, c, 0, 1); /* a write: not idle */
    wait_ms(f, IDLE_MS - 1);
    assert_sealed(f, c, 0, 4096);
    wait_ms(f, 1);
    assert_sealed(f, c, 4097, 4096); /* the row that was written anew is still there */
    end(f, c);
}

static void test_segments_become_one(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = begin(f, IDLE_MS);
    put(f, c, 0, 8000 + 5000); /* one is full */
    wait_ms(f, 0);
    assert_sealed(f, c, 8000, 13000);
    wait_ms(f, IDLE_MS);
    assert_sealed(f, c, 13000, 13000);
    /* Few more than that are left as they are, */
    put(f, c, 13000, 13000 + 4095);
    wait_ms(f, IDLE_MS);
    assert_sealed(f, c, 13000, 17095);
    /* ... until there are enough. */
    put(f, c, 17095, 17096);
    wait_ms(f, IDLE_MS);
    assert_sealed(f, c, 17096, 17096);
    end(f, c);
}

/* A small part of a large shard is not worth writing all of it anew. */
static void test_small_shares_are_left(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = begin(f, IDLE_MS);
    put(f, c, 0, 48000);
    OK(qv__collection_optimize(c, 1, &f->err));
    put(f, c, 48000, 48000 + 5999);
    wait_ms(f, IDLE_MS);
    assert_sealed(f, c, 48000, 53999);
    put(f, c, 53999, 54000);
    wait_ms(f, IDLE_MS);
    assert_sealed(f, c, 54000, 54000);
    end(f, c);
}

static void test_others_go_first(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = begin(f, IDLE_MS);
    put(f, c, 0, 5000);
    atomic_store(&f->db->merges, f->db->options.merges_max); /* others' */
    wait_ms(f, IDLE_MS);
    assert_sealed(f, c, 0, 5000);
    atomic_store(&f->db->merges, 0);
    wait_ms(f, 2000);
    assert_sealed(f, c, 5000, 5000);
    end(f, c);
}

static void test_after_a_restart(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = begin(f, 0); /* never */
    put(f, c, 0, 5000);
    wait_ms(f, 10 * IDLE_MS);
    assert_sealed(f, c, 0, 5000);
    qv__collection_release(c);
    f->options.idle_ms = IDLE_MS;
    fix_reopen(f);
    c = fix_collection(f, "c");
    wait_ms(f, IDLE_MS);
    assert_sealed(f, c, 5000, 5000);
    end(f, c);
}

/* Writes that come between the time that is due and the worker that has time for it. */
static void test_writes_come_first(void **state)
{
    (void)state;
    for (int busy = 0; busy < 2; busy++) { /* with all merges that may run, too */
        struct fix fx, *f = &fx;
        struct qv__collection *c = begin(f, IDLE_MS);
        put(f, c, 0, 5000);
        wait_ms(f, 0);
        now_ms += IDLE_MS;
        assert_true(qv__purge_look(f->db)); /* queued */
        put(f, c, 0, 1);
        atomic_store(&f->db->merges, busy ? f->db->options.merges_max : 0);
        wait_ms(f, 0);
        atomic_store(&f->db->merges, 0);
        wait_ms(f, IDLE_MS - 1);
        assert_sealed(f, c, 0, 5000);
        wait_ms(f, 1);
        assert_sealed(f, c, 5001, 5000);
        end(f, c);
    }
}

/* After somebody cancelled a merge its shard rests, idle or not. */
static void test_rests_when_told_to(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = begin(f, IDLE_MS);
    put(f, c, 0, 13000);
    wait_ms(f, 0);
    assert_sealed(f, c, 8000, 13000);
    atomic_store(&c->shards[0].retry_ns, mono(NULL) + UINT64_C(60000000000));
    wait_ms(f, IDLE_MS);
    assert_sealed(f, c, 8000, 13000);
    wait_ms(f, 60001 - IDLE_MS);
    assert_sealed(f, c, 13000, 13000);
    end(f, c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_grows_is_sealed),  cmocka_unit_test(test_segments_become_one),
        cmocka_unit_test(test_small_shares_are_left), cmocka_unit_test(test_others_go_first),
        cmocka_unit_test(test_after_a_restart),       cmocka_unit_test(test_writes_come_first),
        cmocka_unit_test(test_rests_when_told_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
