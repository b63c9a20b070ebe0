/* test_packs.c: packed sets of rows: made for a filter that comes again, right while points go and
 * the segment changes, and room for them taken from those that are asked for more seldom. */
#include <math.h>
#include <unistd.h>

#include "engine/segment_impl.h"
#include "engine_fixture.h"

/* --- through queries --- */

enum { ROWS = 24000, DIM = 32, LIMIT = 10, SEARCHES_MOST = 20000 };

struct test {
    struct fix f;
    struct qv__collection *c;
    struct qv__arena arena;
    struct qv__rng rng;
    float *rows;
    bool gone[ROWS];
    char plan[64];
    struct qv__plan_sink sink;
};

static void tell(struct qv__plan_sink *sink, const char *stage, const char *detail, double estimate,
                 double actual)
{
    struct test *t = QV_CONTAINER_OF(sink, struct test, sink);
    (void)estimate;
    (void)actual;
    if (strcmp(stage, "graph") == 0) {
        (void)snprintf(t->plan, sizeof t->plan, "%s", detail);
    }
}

static void load(struct test *t)
{
    struct fix *f = &t->f;
    enum { BATCH = 1000 };
    for (uint32_t at = 0; at < ROWS; at += BATCH) {
        struct qv__point points[BATCH];
        struct qv__named_vector named[BATCH];
        for (uint32_t i = 0; i < BATCH; i++) {
            char z[40];
            (void)snprintf(z, sizeof z, "{\"n\":%u}", (at + i) % 4);
            named[i] = (struct qv__named_vector){
                .name = QV__STR(""), .values = t->rows + (size_t)(at + i) * DIM, .dim = DIM};
            points[i] = (struct qv__point){.id = qv__id_u64(at + i),
                                           .vectors = &named[i],
                                           .n_vectors = 1,
                                           .payload = fix_payload(f, &t->arena, z)};
        }
        struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = points, .n_points = BATCH};
        fix_write(f, t->c, &m, 1);
        qv__arena_reset(&t->arena);
    }
    OK(qv__collection_optimize(t->c, 1, &f->err));
    OK(qv__collection_settle(t->c, 0, &f->err));
}

static float distance(const struct test *t, uint32_t i, const float *q)
{
    float sum = 0;
    for (uint32_t k = 0; k < DIM; k++) {
        float d = t->rows[(size_t)i * DIM + k] - q[k];
        sum += d * d;
    }
    return sum;
}

/* One search for the nearest with n 1; how many of them it found. */
static uint32_t search(struct test *t, uint32_t strategy)
{
    struct fix *f = &t->f;
    float q[DIM], nearest[LIMIT + 1];
    uint32_t n = 0, good = 0;
    for (uint32_t k = 0; k < DIM; k++) {
        q[k] = qv__rng_gauss(&t->rng);
    }
    for (uint32_t i = 1; i < ROWS; i += 4) {
        float d = t->gone[i] ? INFINITY : distance(t, i, q);
        uint32_t at = n;
        for (; at > 0 && nearest[at - 1] > d; at--) {
            nearest[at] = nearest[at - 1];
        }
        nearest[at] = d;
        n = QV_MIN(n + 1, (uint32_t)LIMIT);
    }
    struct qv__qctx ctx = fix_ctx(f);
    ctx.clock = qv__clock_system();
    ctx.plan = &t->sink;
    struct qv__query query = {
        .kind = QV__QUERY_NEAREST,
        .using_vector = QV__STR(""),
        .target = {.values = q, .dim = DIM},
        .filter = fix_filter(f, &t->arena, "{\"must\":[{\"key\":\"n\",\"match\":{\"value\":1}}]}"),
        .params = {.ef = 64, .strategy = strategy},
        .limit = LIMIT};
    struct qv__result_set rs;
    OK(qv__collection_query(t->c, &query, NULL, &ctx, &rs, &f->err));
    assert_int_equal(rs.n, LIMIT);
    for (size_t i = 0; i < rs.n; i++) {
        uint32_t id = (uint32_t)rs.points[i].id.u;
        assert_true(id % 4 == 1 && !t->gone[id]);
        good += distance(t, id, q) <= nearest[LIMIT - 1] * 1.0001f;
    }
    qv__result_free(&rs);
    qv__arena_reset(&t->arena);
    return good;
}

static void check_recall(struct test *t)
{
    uint32_t good = 0;
    for (uint32_t i = 0; i < 100; i++) {
        good += search(t, QV__STRATEGY_PACKED);
        assert_string_equal(t->plan, "packed scan");
    }
    print_message("recall %.3f\n", good / (100.0 * LIMIT));
    assert_true(good >= 950);
}

static void drop(struct test *t, uint32_t from, uint32_t to)
{
    struct qv__id ids[ROWS];
    for (uint32_t i = from; i < to; i++) {
        ids[i - from] = qv__id_u64(i);
        t->gone[i] = true;
    }
    struct qv__mutation m = {.kind = QV__MUT_DELETE, .ids = ids, .n_ids = to - from};
    fix_write(&t->f, t->c, &m, 1);
}

static void test_comes_with_the_filter(void **state)
{
    static struct test t;
    struct fix *f = &t.f;
    (void)state;
    memset(&t, 0, sizeof t);
    fix_open(f, 2);
    t.sink.event = tell;
    qv__rng_seed(&t.rng, 7);
    qv__arena_init(&t.arena, f->mem);
    t.rows = calloc((size_t)ROWS * DIM, sizeof *t.rows);
    for (size_t i = 0; i < (size_t)ROWS * DIM; i++) {
        t.rows[i] = qv__rng_gauss(&t.rng);
    }
    struct qv__vector_def def = {.name = QV__STR(""),
                                 .metric = QV__L2,
                                 .dim = DIM,
                                 .index = {.kind = QV__INDEX_GRAPH, .m = 8, .ef_construct = 40}};
    struct qv__schema schema = fix_schema(&def, 1, 1);
    OK(qv__db_create_collection(f->db, QV__STR("c"), &schema, &f->err));
    t.c = fix_collection(f, "c");
    load(&t);
    uint32_t n = 0;
    do { /* scans, as long as they take to pay for it */
        (void)search(&t, QV__STRATEGY_AUTO);
        (void)search(&t, QV__STRATEGY_PACKED);
    } while (strcmp(t.plan, "packed scan") != 0 && ++n < SEARCHES_MOST);
    print_message("packed after %u searches\n", n);
    assert_string_equal(t.plan, "packed scan");
    check_recall(&t);
    drop(&t, 0, 4000); /* laid over the set, then taken from it; the pack stays */
    check_recall(&t);
    (void)usleep(100000);
    check_recall(&t);
    check_recall(&t);
    qv__collection_release(t.c);
    qv__arena_free(&t.arena);
    free(t.rows);
    fix_close(f);
}

/* --- room --- */

static void describe(const struct qv__index *x, struct qv__index_info *info)
{
    (void)x;
    info->memory_bytes = 4000; /* room for 1,000 */
}

struct room {
    struct qv__mem *mem;
    struct qv__index_ops ops;
    struct qv__index index;
    struct qv__segment *s;
    struct qv__kept_rows *sets[4];
    struct qv__kept_rows *cached[4];
};

static void room_make(struct room *r, size_t limit)
{
    memset(r, 0, sizeof *r);
    r->mem = qv__mem_root("test", limit);
    r->s = calloc(1, sizeof *r->s);
    r->s->columns = calloc(1, sizeof *r->s->columns);
    assert_true(r->s && r->s->columns);
    r->s->mem = r->mem;
    r->s->sealed = true;
    r->s->n_columns = 1;
    r->ops.describe = describe;
    r->index.ops = &r->ops;
    atomic_store(&r->s->columns[0].index, &r->index);
    for (uint32_t i = 0; i < 4; i++) {
        struct qv__kept_rows *k = qv__zalloc(r->mem, sizeof *k);
        atomic_init(&k->refs, 2); /* the cache's, and the test's */
        k->packs = qv__packs_new(r->mem, 1);
        k->used = 10 * (i + 1);
        k->before = k->used - 5;
        r->sets[i] = r->cached[i] = k;
    }
    r->s->cache = (struct qv__filter_cache){.sets = r->cached, .n = 4, .cap = 4};
}

static bool is_granted(const struct room *r, uint32_t i)
{
    return atomic_load(&r->sets[i]->packs->of[0].is_granted);
}

/* Asks for room; how many sets went for it. */
static uint32_t ask(struct room *r, uint32_t i, uint64_t bytes)
{
    uint32_t n = 0;
    struct qv__index_packed *p = &r->sets[i]->packs->of[0];
    atomic_store(&p->n_wanted, bytes);
    struct qv__kept_rows *out = qv__packs_make_room(r->s, r->sets[i]), *next;
    for (; out; out = next, n++) {
        next = out->next;
        qv__kept_release(out);
    }
    return n;
}

static void room_free(struct room *r)
{
    for (uint32_t i = 0; i < r->s->cache.n; i++) {
        qv__kept_release(r->s->cache.sets[i]);
    }
    for (uint32_t i = 0; i < 4; i++) {
        qv__kept_release(r->sets[i]);
    }
    free(r->s->columns);
    free(r->s);
    assert_int_equal(qv__mem_used(r->mem), 0);
    qv__mem_close(r->mem);
}

static void test_room(void **state)
{
    (void)state;
    struct room r;
    room_make(&r, 0);
    assert_int_equal(ask(&r, 0, 1001), 0);
    assert_false(is_granted(&r, 0)); /* more than there is for all */
    assert_int_equal(atomic_load(&r.sets[0]->packs->of[0].n_wanted), 0); /* to be earned again */
    assert_int_equal(ask(&r, 0, 600), 0);
    assert_true(is_granted(&r, 0));
    assert_int_equal(ask(&r, 1, 400), 0);
    assert_true(is_granted(&r, 1)); /* all is taken now */
    /* Set 0 was asked for at 10, and 2 not since 25: set 0 goes. */
    assert_int_equal(ask(&r, 2, 500), 1);
    assert_true(is_granted(&r, 2));
    assert_int_equal(r.s->cache.n, 3);
    /* Set 1 was asked for at 20; 3 the last time before at 15: nothing goes. */
    r.sets[3]->before = 15;
    assert_int_equal(ask(&r, 3, 500), 0);
    assert_false(is_granted(&r, 3));
    assert_int_equal(r.s->cache.n, 3);
    r.sets[3]->before = 39;
    assert_int_equal(ask(&r, 3, 900), 2);
    assert_true(is_granted(&r, 3));
    assert_int_equal(r.s->cache.n, 1);
    assert_int_equal(ask(&r, 3, 900), 0); /* it has room already */
    room_free(&r);
}

/* Not the last of the memory. */
static void test_room_in_memory(void **state)
{
    (void)state;
    struct room r;
    room_make(&r, 4096);
    size_t left = qv__mem_room(r.mem);
    assert_true(left > 400 && left < 4000);
    assert_int_equal(ask(&r, 0, left / 4 + 1), 0);
    assert_false(is_granted(&r, 0));
    assert_int_equal(ask(&r, 0, left / 4), 0);
    assert_true(is_granted(&r, 0));
    room_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_comes_with_the_filter),
                                       cmocka_unit_test(test_room),
                                       cmocka_unit_test(test_room_in_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
