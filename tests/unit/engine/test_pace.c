/* test_pace.c: writers wait for the graph when too many fresh rows have none, and for nothing else.
 * Stepped by hand, with a clock of the test's own. */
#include "engine/maintain.h"
#include "engine_fixture.h"

#define DIM       4
#define TAIL_ROWS 64u

static _Atomic uint64_t clock_ns;

/* What happens when indexing looks at the clock next, on its own thread. */
static _Atomic(void (*)(void)) meanwhile;

static uint64_t mono(void *ctx)
{
    (void)ctx;
    void (*now)(void) = atomic_exchange(&meanwhile, NULL);
    if (now) {
        now();
    }
    return atomic_load(&clock_ns);
}

static uint64_t wall(void *ctx)
{
    (void)ctx;
    return 1700000000000u;
}

static const struct qv__clock test_clock = {.mono_ns = mono, .wall_ms = wall};

static struct qv__collection *make(struct fix *f, bool bulk)
{
    fix_open(f, -1);
    OK(qv__db_close(f->db, &f->err));
    atomic_store(&clock_ns, 1);
    f->options.clock = &test_clock;
    OK(qv__db_open(&f->options, &f->db, &f->err));
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema s = fix_schema(&def, 1, 1);
    s.policy = (struct qv__segment_policy){.seal_rows = 4096,
                                           .index_rows = 16,
                                           .tail_bytes = TAIL_ROWS * DIM * sizeof(float),
                                           .index_at_seal_only = bulk};
    OK(qv__db_create_collection(f->db, QV__STR("c"), &s, &f->err));
    return fix_collection(f, "c");
}

static void stop(struct fix *f, struct qv__collection *c)
{
    qv__collection_release(c);
    fix_close(f);
}

static void run(struct fix *f)
{
    while (qv__db_step(f->db)) {
    }
}

static void note_done(struct qv__write *w)
{
    assert_int_equal(w->result.status, QV_OK);
    *(bool *)w->arg = true;
}

/* A write on its way. */
struct sent {
    struct qv__write write;
    bool done;
};

/* Write it, make it durable, and see what becomes of its acknowledgement. */
static void send(struct fix *f, struct qv__collection *c, struct sent *s,
                 const struct qv__mutation *m)
{
    *s = (struct sent){.write = {.done = note_done}};
    s->write.arg = &s->done;
    qv__collection_write(c, m, 1, &s->write);
    assert_true(qv__commit_step(f->db->commit));
    assert_true(qv__db_step(f->db)); /* the write lane comes before the graph */
}

static void send_points(struct fix *f, struct qv__collection *c, struct sent *s, uint64_t from,
                        uint64_t to)
{
    static struct qv__point p[1024];
    static float v[1024][DIM];
    static struct qv__named_vector nv[1024];
    for (uint64_t i = 0; i < to - from; i++) {
        for (unsigned k = 0; k < DIM; k++) {
            v[i][k] = (float)(((from + i) * 37 + k * 11) % 1009);
        }
        nv[i] = (struct qv__named_vector){.name = QV__STR(""), .values = v[i], .dim = DIM};
        p[i] = (struct qv__point){.id = qv__id_u64(from + i), .vectors = &nv[i], .n_vectors = 1};
    }
    send(f, c, s,
         &(struct qv__mutation){
             .kind = QV__MUT_UPSERT, .points = p, .n_points = (size_t)(to - from)});
}

static uint64_t count(struct fix *f, struct qv__collection *c)
{
    struct qv__qctx ctx = fix_ctx(f);
    uint64_t n = 0;
    OK(qv__collection_count(c, NULL, &ctx, &n, &f->err));
    return n;
}

static uint64_t paced(struct fix *f)
{
    struct qv__db_info info;
    qv__db_info(f->db, &info);
    return info.paced;
}

static void test_few_fresh_rows_hold_nobody(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = make(f, false);
    struct sent a;
    send_points(f, c, &a, 0, TAIL_ROWS);
    assert_true(a.done);
    run(f);
    assert_int_equal(qv__pace_tail_bytes(c), 0);
    assert_int_equal(paced(f), 0);
    stop(f, c);
}

static void test_many_fresh_rows_hold_their_writers(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = make(f, false);
    struct sent a, b, del;
    send_points(f, c, &a, 0, 300);
    send_points(f, c, &b, 300, 600);
    assert_false(a.done || b.done);
    assert_int_equal(paced(f), 2);
    assert_int_equal(count(f, c), 600); /* visible all the same */
    assert_int_equal(qv__pace_tail_bytes(c), 600 * DIM * sizeof(float));
    /* What adds no rows waits for nothing. */
    struct qv__id id = qv__id_u64(7);
    send(f, c, &del, &(struct qv__mutation){.kind = QV__MUT_DELETE, .ids = &id, .n_ids = 1});
    assert_true(del.done);
    /* Twice what one wrote, in the order they came. */
    struct qv__shard *s = &c->shards[0];
    qv__pace_progress(s, 599);
    assert_int_equal(qv__pool_queued(f->db->pool, QV__LANE_WRITE), 0);
    qv__pace_progress(s, 1);
    assert_int_equal(qv__pool_queued(f->db->pool, QV__LANE_WRITE), 1);
    assert_true(qv__db_step(f->db));
    assert_true(a.done && !b.done);
    qv__pace_progress(s, 600);
    assert_true(qv__db_step(f->db));
    assert_true(b.done);
    run(f);
    assert_int_equal(qv__pace_tail_bytes(c), 0);
    stop(f, c);
}

static void test_the_graph_lets_writers_go(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = make(f, false);
    struct sent a;
    send_points(f, c, &a, 0, 1000);
    assert_false(a.done);
    run(f);
    assert_true(a.done);
    assert_int_equal(paced(f), 1);
    stop(f, c);
}

/* Within the bound they go on as there is room, not all at once: one that is larger than the room
 * goes alone, two that both fit go together, and the third waits for the next step. */
static void test_writers_go_on_as_there_is_room(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = make(f, false);
    struct sent a, b[3];
    uint64_t n = 2 * TAIL_ROWS;
    send_points(f, c, &a, 0, n);
    for (int i = 0; i < 3; i++, n += TAIL_ROWS / 2) {
        send_points(f, c, &b[i], n, n + TAIL_ROWS / 2);
        assert_false(b[i].done);
    }
    assert_int_equal(paced(f), 4);
    struct qv__view *v = qv__shard_view(&c->shards[0]);
    OK(qv__segment_index(v->segments[v->n - 1], (uint32_t)n, NULL, &f->err));
    qv__view_release(v);
    assert_int_equal(qv__pace_tail_bytes(c), 0);
    static const size_t gone[] = {1, 3, 4};
    for (size_t i = 0; i < QV_ARRAY_LEN(gone); i++) {
        qv__pace_progress(&c->shards[0], 1);
        assert_int_equal(qv__pool_queued(f->db->pool, QV__LANE_WRITE), gone[i]);
    }
    run(f);
    assert_true(a.done && b[0].done && b[1].done && b[2].done);
    stop(f, c);
}

/* While a graph takes in 600 vectors a writer adds 600: no fewer are left, and yet it got on. One
 * task takes in all of them; were it to end in between, everybody would be let go at once. */
static struct {
    struct fix *f;
    struct qv__collection *c;
    struct sent sent;
} other;

static void send_more(void *arg)
{
    (void)arg;
    send_points(other.f, other.c, &other.sent, 600, 1200);
}

/* On a thread of its own: indexing holds a lock that comes after a writer's. */
static void send_more_meanwhile(void)
{
    struct qv__thread t;
    struct qv_err err;
    assert_int_equal(qv__thread_start(&t, "writer", send_more, NULL, &err), QV_OK);
    qv__thread_join(&t);
}

static void test_indexing_goes_on_beside_a_writer_as_fast(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = make(f, false);
    struct sent a;
    other.f = f;
    other.c = c;
    send_points(f, c, &a, 0, 600);
    assert_false(a.done);
    atomic_store(&meanwhile, send_more_meanwhile);
    assert_true(qv__db_step(f->db));
    assert_null(atomic_load(&meanwhile));
    assert_int_equal(qv__pace_tail_bytes(c), 0);
    run(f);
    assert_true(a.done && other.sent.done);
    stop(f, c);
}

/* A task has looked for the last time and not said yet that it ends: what is published now finds it
 * running. */
static void test_rows_published_while_indexing_ends_are_indexed(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = make(f, false);
    struct qv__shard *s = &c->shards[0];
    struct sent a;
    atomic_store(&s->index_due, true);
    send_points(f, c, &a, 0, TAIL_ROWS);
    assert_int_equal(qv__pool_queued(f->db->pool, QV__LANE_BACKGROUND), 0);
    qv__maintain_index_end(s);
    assert_int_equal(qv__pool_queued(f->db->pool, QV__LANE_BACKGROUND), 1);
    run(f);
    assert_int_equal(qv__pace_tail_bytes(c), 0);
    /* And none without need. */
    qv__maintain_index_end(s);
    assert_int_equal(qv__pool_queued(f->db->pool, QV__LANE_BACKGROUND), 0);
    stop(f, c);
}

static void test_nobody_waits_long(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = make(f, false);
    struct sent a;
    send_points(f, c, &a, 0, 1000);
    atomic_fetch_add(&clock_ns, QV__PACE_NS_MAX - 1);
    qv__pace_progress(&c->shards[0], 1);
    assert_int_equal(qv__pool_queued(f->db->pool, QV__LANE_WRITE), 0);
    atomic_fetch_add(&clock_ns, 1);
    qv__pace_progress(&c->shards[0], 1);
    assert_true(qv__db_step(f->db));
    assert_true(a.done);
    stop(f, c);
}

/* The work that would let them go ends early, or never begins. */
static void test_an_end_lets_all_go(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = make(f, false);
    struct sent a, b;
    bool existed = false;
    send_points(f, c, &a, 0, 300);
    send_points(f, c, &b, 300, 600);
    assert_false(a.done || b.done);
    OK(qv__db_drop_collection(f->db, QV__STR("c"), &existed, &f->err));
    run(f);
    assert_true(a.done && b.done);
    stop(f, c);
}

static void test_bulk_mode_holds_nobody(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = make(f, true);
    struct sent a;
    send_points(f, c, &a, 0, 1000);
    assert_true(a.done);
    assert_int_equal(paced(f), 0);
    stop(f, c);
}

static void test_the_bound_survives_a_restart(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = make(f, false);
    qv__collection_release(c);
    fix_reopen(f);
    c = fix_collection(f, "c");
    struct qv__schema *s = qv__collection_schema(c);
    assert_int_equal(s->policy.tail_bytes, TAIL_ROWS * DIM * sizeof(float));
    qv__schema_release(s);
    stop(f, c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few_fresh_rows_hold_nobody),
        cmocka_unit_test(test_many_fresh_rows_hold_their_writers),
        cmocka_unit_test(test_the_graph_lets_writers_go),
        cmocka_unit_test(test_writers_go_on_as_there_is_room),
        cmocka_unit_test(test_indexing_goes_on_beside_a_writer_as_fast),
        cmocka_unit_test(test_rows_published_while_indexing_ends_are_indexed),
        cmocka_unit_test(test_nobody_waits_long),
        cmocka_unit_test(test_an_end_lets_all_go),
        cmocka_unit_test(test_bulk_mode_holds_nobody),
        cmocka_unit_test(test_the_bound_survives_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
