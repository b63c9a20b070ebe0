/* test_near.c: rows of a merged file lie beside rows whose vectors are near, and every answer is as
 * it was: by id, by vector, by filter, of points without the vector that orders them, and under
 * later writes. */
#include "engine_fixture.h"

#include "engine/segment_impl.h"

enum { POINTS = 6000, DIM = 8, CLUSTERS = 40 };

static float centre(unsigned cluster, unsigned k)
{
    return (float)(qv__mix64(cluster * DIM + k + 1) % 1000) / 10.0f;
}

/* Point i is of cluster i % CLUSTERS: in the order of writing none is beside its like. */
static void values_of(unsigned i, float v[DIM])
{
    for (unsigned k = 0; k < DIM; k++) {
        v[k] = centre(i % CLUSTERS, k) + (float)(qv__mix64(i * 31 + k) % 100) / 100.0f;
    }
}

static bool has_vector(unsigned i)
{
    return i % 50 != 7;
}

static void put(struct fix *f, struct qv__collection *c, unsigned from, unsigned to)
{
    struct qv__arena a;
    qv__arena_init(&a, f->mem);
    unsigned n = to - from;
    struct qv__point *points = qv__arena_calloc(&a, n, sizeof *points);
    struct qv__named_vector *named = qv__arena_calloc(&a, n, 2 * sizeof *named);
    for (unsigned i = from; i < to; i++) {
        struct qv__named_vector *vectors = named + 2 * (i - from);
        float *v = qv__arena_calloc(&a, DIM + 1, sizeof *v);
        char json[64];
        unsigned n_vectors = 1;
        v[DIM] = (float)i;
        vectors[0] = (struct qv__named_vector){.name = QV__STR("b"), .values = v + DIM, .dim = 1};
        if (has_vector(i)) {
            values_of(i, v);
            vectors[n_vectors++] =
                (struct qv__named_vector){.name = QV__STR("a"), .values = v, .dim = DIM};
        }
        snprintf(json, sizeof json, "{\"n\":%u}", i);
        points[i - from] = (struct qv__point){.id = qv__id_u64(i),
                                              .vectors = vectors,
                                              .n_vectors = n_vectors,
                                              .payload = fix_payload(f, &a, json)};
    }
    struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = points, .n_points = n};
    fix_write(f, c, &m, 1);
    qv__arena_free(&a);
}

static void check_nearest(struct fix *f, struct qv__collection *c, unsigned i)
{
    float v[DIM], one = (float)i;
    struct qv__result_set rs;
    struct qv__qctx ctx = fix_ctx(f);
    values_of(i, v);
    struct qv__query q = {.kind = QV__QUERY_NEAREST,
                          .target = {.values = v, .dim = DIM},
                          .using_vector = QV__STR("a"),
                          .limit = 3};
    OK(qv__collection_query(c, &q, NULL, &ctx, &rs, &f->err));
    assert_int_equal(rs.n, 3);
    assert_true(!has_vector(i) || rs.points[0].id.u == i);
    for (size_t k = 0; k < rs.n; k++) {
        assert_int_equal(rs.points[k].id.u % CLUSTERS, i % CLUSTERS);
    }
    qv__result_free(&rs);
    q.target = (struct qv__vector_input){.values = &one, .dim = 1};
    q.using_vector = QV__STR("b");
    OK(qv__collection_query(c, &q, NULL, &ctx, &rs, &f->err));
    assert_int_equal(rs.points[0].id.u, i);
    qv__result_free(&rs);
}

static void test_rows_and_answers(void **state)
{
    (void)state;
    struct fix f0, *f = &f0;
    struct qv__vector_def defs[2] = {
        {.name = QV__STR("a"), .dim = DIM, .metric = QV__L2, .datatype = QV__F32},
        {.name = QV__STR("b"), .dim = 1, .metric = QV__L2, .datatype = QV__F32}};
    for (size_t i = 0; i < 2; i++) {
        defs[i].index = (struct qv__index_params){
            .kind = QV__INDEX_GRAPH, .m = 8, .ef_construct = 64, .seed = 1};
    }
    fix_open(f, -1);
    struct qv__schema s = fix_schema(defs, 2, 1);
    OK(qv__db_create_collection(f->db, QV__STR("c"), &s, &f->err));
    struct qv__collection *c = fix_collection(f, "c");
    for (unsigned i = 0; i < POINTS; i += POINTS / 3) {
        put(f, c, i, i + POINTS / 3);
        OK(qv__collection_optimize(c, 8, &f->err));
    }
    OK(qv__collection_optimize(c, 1, &f->err));
    OK(qv__collection_settle(c, 60000, &f->err));
    /* Where the rows are. */
    struct qv__shard *shard = &c->shards[0];
    struct qv__view *view = qv__shard_view(shard);
    unsigned n_rows = 0, n_beside = 0, n_without = 0;
    for (uint32_t i = 0; i < view->n; i++) {
        struct qv__segment *segment = view->segments[i];
        uint64_t before = UINT64_MAX;
        for (uint32_t row = 0; row < qv__segment_rows(segment); row++) {
            uint64_t id = qv__segment_row_id(segment, row).u;
            n_rows++;
            if (!has_vector((unsigned)id)) {
                n_without++;
                assert_true(row + POINTS / 50 >= qv__segment_rows(segment)); /* they come last */
                continue;
            }
            n_beside += before != UINT64_MAX && before % CLUSTERS == id % CLUSTERS;
            before = id;
        }
    }
    qv__view_release(view);
    assert_int_equal(n_rows, POINTS);
    assert_int_equal(n_without, POINTS / 50);
    assert_true(n_beside >= POINTS * 9 / 10);
    for (unsigned i = 0; i < POINTS; i += 97) {
        check_nearest(f, c, i);
    }
    put(f, c, 0, 500); /* over rows that moved */
    for (unsigned i = 0; i < 600; i += 13) {
        check_nearest(f, c, i);
    }
    qv__collection_release(c);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_and_answers),
    };
    return cmocka_run_group_tests_name("near", tests, NULL, NULL);
}
