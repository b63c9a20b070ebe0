/* test_filter_plans.c: whichever way the graphs of a collection are searched under a filter, forced
 * or chosen: min(limit, matches) hits, each once, all of them matching, the best first; and by a
 * scan the nearest ones. */
#include "engine_fixture.h"

#include "index/index.h"

enum { ROWS = 6000, DIM = 8, VALUES = 200, ROUNDS = 60 };

struct test {
    struct fix f;
    struct qv__collection *c;
    struct qv__arena arena;
    struct qv__rng rng;
    float *rows;
    bool gone[ROWS];
    uint32_t n_graphs; /* told of */
    struct qv__plan_sink sink;
};

static void tell(struct qv__plan_sink *sink, const char *stage, const char *detail, double estimate,
                 double actual)
{
    struct test *t = QV_CONTAINER_OF(sink, struct test, sink);
    (void)detail;
    (void)estimate;
    (void)actual;
    t->n_graphs += strcmp(stage, "graph") == 0;
}

static float coordinate(struct test *t)
{
    return (float)qv__rng_below(&t->rng, 1000) / 100;
}

static void start(struct test *t)
{
    struct fix *f = &t->f;
    memset(t, 0, sizeof *t);
    fix_open(f, 2);
    t->sink.event = tell;
    qv__arena_init(&t->arena, f->mem);
    qv__rng_seed(&t->rng, 5);
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema schema = fix_schema(&def, 1, 1);
    schema.policy = (struct qv__segment_policy){.seal_rows = ROWS / 2, .index_rows = 500};
    OK(qv__db_create_collection(f->db, QV__STR("c"), &schema, &f->err));
    t->c = fix_collection(f, "c");
    t->rows = calloc((size_t)ROWS * DIM, sizeof *t->rows);
    for (uint32_t i = 0; i < ROWS; i++) {
        char z[40];
        /* The number goes with the first element in half of the rows: filters are correlated. */
        float *v = t->rows + (size_t)i * DIM;
        for (uint32_t k = 0; k < DIM; k++) {
            v[k] = coordinate(t);
        }
        (void)snprintf(z, sizeof z, "{\"n\":%u}",
                       i % 2 ? (unsigned)(v[0] * VALUES / 10) : i / 2 % VALUES);
        struct qv__named_vector named = {.name = QV__STR(""), .values = v, .dim = DIM};
        struct qv__point point = {.id = qv__id_u64(i),
                                  .vectors = &named,
                                  .n_vectors = 1,
                                  .payload = fix_payload(f, &t->arena, z)};
        struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = &point, .n_points = 1};
        fix_write(f, t->c, &m, 1);
        qv__arena_reset(&t->arena);
    }
    OK(qv__collection_settle(t->c, 0, &f->err));
    for (uint32_t i = 0; i < ROWS; i += 97) {
        struct qv__id id = qv__id_u64(i);
        struct qv__mutation m = {.kind = QV__MUT_DELETE, .ids = &id, .n_ids = 1};
        fix_write(f, t->c, &m, 1);
        t->gone[i] = true;
    }
}

static void finish(struct test *t)
{
    free(t->rows);
    qv__collection_release(t->c);
    qv__arena_free(&t->arena);
    fix_close(&t->f);
}

static uint32_t number(const struct test *t, uint32_t i)
{
    return i % 2 ? (uint32_t)(t->rows[(size_t)i * DIM] * VALUES / 10) : i / 2 % VALUES;
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

/* Rows that match and are nearer than a distance, or match at all. */
static uint32_t count(const struct test *t, const float *q, uint32_t low, uint32_t high, float than)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        uint32_t of = number(t, i);
        n += !t->gone[i] && of >= low && of < high && distance(t, i, q) < than;
    }
    return n;
}

static void check(struct test *t, uint32_t low, uint32_t high, uint32_t limit, uint32_t ef)
{
    struct fix *f = &t->f;
    char z[120];
    float q[DIM];
    static bool found[ROWS];
    for (uint32_t k = 0; k < DIM; k++) {
        q[k] = coordinate(t);
    }
    (void)snprintf(z, sizeof z, "{\"must\":[{\"key\":\"n\",\"range\":{\"gte\":%u,\"lt\":%u}}]}",
                   low, high);
    uint32_t matches = count(t, q, low, high, INFINITY), wanted = QV_MIN(limit, matches);
    for (uint32_t strategy = 0; strategy < QV__STRATEGIES; strategy++) {
        struct qv__qctx ctx = fix_ctx(f);
        struct qv__query query = {.kind = QV__QUERY_NEAREST,
                                  .using_vector = QV__STR(""),
                                  .target = {.values = q, .dim = DIM},
                                  .filter = fix_filter(f, &t->arena, z),
                                  .params = {.ef = ef, .strategy = strategy},
                                  .limit = limit};
        struct qv__result_set rs;
        float last = 0;
        ctx.plan = &t->sink;
        OK(qv__collection_query(t->c, &query, NULL, &ctx, &rs, &f->err));
        assert_int_equal(rs.n, wanted);
        memset(found, 0, sizeof found);
        for (size_t i = 0; i < rs.n; i++) {
            uint32_t id = (uint32_t)rs.points[i].id.u, of = number(t, id);
            assert_true(!t->gone[id] && !found[id] && of >= low && of < high);
            float dist = distance(t, id, q);
            assert_true(dist >= last - 1e-3f);
            last = dist;
            found[id] = true;
        }
        if (strategy == QV__STRATEGY_SCAN && wanted) {
            assert_true(count(t, q, low, high, last - 1e-3f) < wanted);
        }
        qv__result_free(&rs);
    }
    qv__arena_reset(&t->arena);
}

static void test_every_way(void **state)
{
    static struct test t;
    (void)state;
    start(&t);
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t low = (uint32_t)qv__rng_below(&t.rng, VALUES);
        uint32_t width = (uint32_t)qv__rng_below(&t.rng, i % 3 ? VALUES : 3);
        uint32_t limit = 1 + (uint32_t)qv__rng_below(&t.rng, i % 4 ? 20 : 300);
        check(&t, low, low + width, limit, (uint32_t)qv__rng_below(&t.rng, 100));
    }
    assert_true(t.n_graphs > ROUNDS); /* graphs were searched */
    finish(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_way)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
