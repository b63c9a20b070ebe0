/* test_tenants.c: many tenants in one collection: what a query of one of them touches. */
#include "engine_fixture.h"

enum { TENANTS = 3000, EACH = 7 };

static void put_all(struct fix *f, struct qv__collection *c)
{
    struct qv__arena a;
    qv__arena_init(&a, f->mem);
    for (uint64_t round = 0; round < EACH; round++) { /* a tenant's rows lie far apart */
        struct qv__point *points = qv__arena_calloc(&a, TENANTS, sizeof *points);
        struct qv__named_vector *named = qv__arena_calloc(&a, TENANTS, sizeof *named);
        for (uint64_t i = 0; i < TENANTS; i++) {
            char json[64];
            float *v = qv__arena_calloc(&a, 2, sizeof *v);
            v[0] = (float)(round + 1);
            v[1] = (float)(i % 17);
            named[i] = (struct qv__named_vector){.name = QV__STR(""), .values = v, .dim = 2};
            snprintf(json, sizeof json, "{\"tenant\":\"t%u\",\"n\":%u}", (unsigned)i,
                     (unsigned)round);
            points[i] = (struct qv__point){.id = qv__id_u64(round * TENANTS + i),
                                           .vectors = &named[i],
                                           .n_vectors = 1,
                                           .payload = fix_payload(f, &a, json)};
        }
        struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = points, .n_points = TENANTS};
        fix_write(f, c, &m, 1);
        qv__arena_reset(&a);
    }
    qv__arena_free(&a);
}

static void test_touches_its_rows_only(void **state)
{
    struct fix f0, *f = &f0;
    struct qv__arena a;
    struct qv__vector_def def = {
        .name = QV__STR(""), .dim = 2, .metric = QV__L2, .datatype = QV__F32};
    struct qv__payload_index_def index = {QV__STR("tenant"), QV__STR("keyword"),
                                          QV__STR("{\"type\":\"keyword\",\"is_tenant\":true}")};
    (void)state;
    fix_open(f, -1);
    struct qv__schema s = fix_schema(&def, 1, 2);
    s.indexes = &index;
    s.n_indexes = 1;
    OK(qv__db_create_collection(f->db, QV__STR("c"), &s, &f->err));
    struct qv__collection *c = fix_collection(f, "c");
    put_all(f, c);
    OK(qv__collection_optimize(c, 1, &f->err));
    OK(qv__collection_settle(c, 60000, &f->err));
    qv__arena_init(&a, f->mem);
    for (unsigned t = 0; t < TENANTS; t += 211) {
        char json[96];
        struct qv__result_set rs;
        struct qv__qctx ctx = fix_ctx(f);
        float v[2] = {0, 3};
        uint64_t n = 0;
        snprintf(json, sizeof json,
                 "{\"must\":[{\"key\":\"tenant\",\"match\":{\"value\":\"t%u\"}}]}", t);
        struct qv__query q = {.kind = QV__QUERY_NEAREST,
                              .target = {.values = v, .dim = 2},
                              .filter = fix_filter(f, &a, json),
                              .limit = 100};
        OK(qv__collection_query(c, &q, NULL, &ctx, &rs, &f->err));
        assert_int_equal(rs.n, EACH);
        for (size_t i = 0; i < rs.n; i++) { /* nearest first, and all of this tenant */
            assert_int_equal(rs.points[i].id.u % TENANTS, t);
            assert_int_equal(rs.points[i].id.u / TENANTS, i);
        }
        qv__result_free(&rs);
        /* No row is read to know which they are, and only theirs are compared. */
        assert_int_equal(ctx.stats.rows_filtered, 0);
        assert_true(ctx.stats.distances <= 2 * EACH);
        OK(qv__collection_count(c, q.filter, &ctx, &n, &f->err));
        assert_int_equal(n, EACH);
        assert_int_equal(ctx.stats.rows_filtered, 0);
    }
    qv__arena_free(&a);
    qv__collection_release(c);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_touches_its_rows_only)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
