/* test_filter_cache.c: sets of rows that are kept: found again, right after deletions, growth, a
 * seal and expiry, and gone with their segment's memory. */
#include <unistd.h>

#include "engine_fixture.h"

enum { ROWS = 6000, LIMIT = 10000 };

struct test {
    struct fix f;
    struct qv__collection *c;
    struct qv__arena arena;
    bool gone[2 * ROWS];
    uint32_t n;
    char told[64];
    struct qv__plan_sink sink;
};

static void tell(struct qv__plan_sink *sink, const char *stage, const char *detail, double estimate,
                 double actual)
{
    struct test *t = QV_CONTAINER_OF(sink, struct test, sink);
    (void)estimate;
    (void)actual;
    if (strcmp(stage, "filter") == 0 && strncmp(t->told, "kept from before", 16) != 0) {
        (void)snprintf(t->told, sizeof t->told, "%s", detail);
    }
}

static void add(struct test *t, uint32_t n)
{
    struct fix *f = &t->f;
    struct qv__point *points = calloc(n, sizeof *points);
    struct qv__named_vector *named = calloc(n, sizeof *named);
    float *values = calloc(2 * (size_t)n, sizeof *values);
    for (uint32_t i = 0; i < n; i++) {
        char z[40];
        (void)snprintf(z, sizeof z, "{\"n\":%u}", (t->n + i) % 10);
        values[2 * i] = (float)(t->n + i);
        named[i] =
            (struct qv__named_vector){.name = QV__STR(""), .values = values + 2 * i, .dim = 2};
        points[i] = (struct qv__point){.id = qv__id_u64(t->n + i),
                                       .vectors = &named[i],
                                       .n_vectors = 1,
                                       .payload = fix_payload(f, &t->arena, z)};
    }
    struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = points, .n_points = n};
    fix_write(f, t->c, &m, 1);
    t->n += n;
    free(points);
    free(named);
    free(values);
    qv__arena_reset(&t->arena);
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

/* All points with n 3, each once; what was told of the filter. */
static const char *check(struct test *t)
{
    struct fix *f = &t->f;
    float zero[2] = {0, 0};
    struct qv__qctx ctx = fix_ctx(f);
    struct qv__query q = {
        .kind = QV__QUERY_NEAREST,
        .using_vector = QV__STR(""),
        .target = {.values = zero, .dim = 2},
        .filter = fix_filter(f, &t->arena, "{\"must\":[{\"key\":\"n\",\"match\":{\"value\":3}}]}"),
        .limit = LIMIT};
    struct qv__result_set rs;
    t->told[0] = 0;
    ctx.plan = &t->sink;
    OK(qv__collection_query(t->c, &q, NULL, &ctx, &rs, &f->err));
    size_t at = 0;
    for (uint32_t i = 3; i < t->n; i += 10) {
        if (!t->gone[i]) {
            assert_true(at < rs.n);
            assert_int_equal(rs.points[at++].id.u, i);
        }
    }
    assert_int_equal(at, rs.n);
    qv__result_free(&rs);
    qv__arena_reset(&t->arena);
    return t->told;
}

/* Sooner or later the set is found again: while a deletion waits for readers that might be older, a
 * set is laid over and not replaced. */
static void check_kept(struct test *t)
{
    for (int i = 0; i < 1000; i++) {
        if (strncmp(check(t), "kept from before", 16) == 0) {
            return;
        }
        (void)usleep(1000);
    }
    fail_msg("not kept: %s", t->told);
}

static void start(struct test *t)
{
    struct fix *f = &t->f;
    memset(t, 0, sizeof *t);
    fix_open(f, 2);
    t->sink.event = tell;
    qv__arena_init(&t->arena, f->mem);
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = 2};
    struct qv__schema schema = fix_schema(&def, 1, 1);
    OK(qv__db_create_collection(f->db, QV__STR("c"), &schema, &f->err));
    t->c = fix_collection(f, "c");
}

static void finish(struct test *t)
{
    qv__collection_release(t->c);
    qv__arena_free(&t->arena);
    fix_close(&t->f);
}

static void test_kept(void **state)
{
    static struct test t;
    (void)state;
    start(&t);
    add(&t, ROWS);
    assert_string_equal(check(&t), "row by row");
    assert_string_equal(check(&t), "kept from before");
    drop(&t, 0, 100); /* a set from before them must not bring them back */
    check_kept(&t);
    add(&t, 1000); /* more rows: another set */
    check_kept(&t);
    drop(&t, 500, 2500);
    check_kept(&t);
    check_kept(&t);
    finish(&t);
}

static void test_sealed(void **state)
{
    static struct test t;
    struct fix *f = &t.f;
    (void)state;
    start(&t);
    add(&t, ROWS);
    drop(&t, 10, 20);
    OK(qv__collection_optimize(t.c, 1, &f->err));
    check_kept(&t);
    for (uint32_t at = 100; at < 400; at += 50) {
        drop(&t, at, at + 30);
        check_kept(&t);
        check_kept(&t);
    }
    finish(&t);
}

/* More filters than are kept: each answers right, and memory stays within the bound. */
static void test_bound(void **state)
{
    static struct test t;
    struct fix *f = &t.f;
    (void)state;
    start(&t);
    add(&t, ROWS);
    OK(qv__collection_optimize(t.c, 1, &f->err));
    (void)check(&t);
    size_t before = qv__mem_used(f->mem);
    for (int i = 0; i < 1000; i++) {
        char z[80];
        uint64_t n = 0;
        float zero[2] = {0, 0};
        struct qv__qctx ctx = fix_ctx(f);
        (void)snprintf(z, sizeof z, "{\"must\":[{\"key\":\"n\",\"range\":{\"lt\":%d}}]}", i);
        struct qv__query q = {.kind = QV__QUERY_NEAREST,
                              .using_vector = QV__STR(""),
                              .target = {.values = zero, .dim = 2},
                              .filter = fix_filter(f, &t.arena, z),
                              .limit = LIMIT};
        struct qv__result_set rs;
        OK(qv__collection_query(t.c, &q, NULL, &ctx, &rs, &f->err));
        n = (uint64_t)QV_MIN(i, 10) * ROWS / 10;
        assert_int_equal(rs.n, n);
        qv__result_free(&rs);
        qv__arena_reset(&t.arena);
    }
    assert_true(qv__mem_used(f->mem) <= before + 20u * ROWS);
    check_kept(&t);
    finish(&t);
}

/* Points that match a condition on text. */
static size_t count_text(struct test *t, const char *filter)
{
    struct fix *f = &t->f;
    float zero[2] = {0, 0};
    struct qv__qctx ctx = fix_ctx(f);
    struct qv__query q = {.kind = QV__QUERY_NEAREST,
                          .using_vector = QV__STR(""),
                          .target = {.values = zero, .dim = 2},
                          .filter = fix_filter(f, &t->arena, filter),
                          .limit = LIMIT};
    struct qv__result_set rs;
    t->told[0] = 0;
    ctx.plan = &t->sink;
    OK(qv__collection_query(t->c, &q, NULL, &ctx, &rs, &f->err));
    size_t n = rs.n;
    qv__result_free(&rs);
    qv__arena_reset(&t->arena);
    return n;
}

/* What words are is said by the index of the day: another index is another answer, at once. */
static void test_text(void **state)
{
    static struct test t;
    struct fix *f = &t.f;
    static const char ask[] = "{\"must\":[{\"key\":\"s\",\"match\":{\"text\":\"Red\"}}]}";
    static const struct qv__payload_index_def defs[] = {
        {QV__STR("s"), QV__STR("text"), QV__STR("{\"type\":\"text\",\"tokenizer\":\"word\"}")},
        {QV__STR("s"), QV__STR("text"),
         QV__STR("{\"type\":\"text\",\"tokenizer\":\"word\",\"lowercase\":false}")},
        {QV__STR("s"), QV__STR("text"), QV__STR("{\"type\":\"text\",\"tokenizer\":\"prefix\"}")}};
    static const size_t want[] = {ROWS, ROWS / 2, ROWS}; /* "Red." and "red." in turn */
    uint64_t lsn;
    (void)state;
    start(&t);
    add(&t, ROWS);
    for (uint32_t i = 0; i < ROWS; i++) {
        struct qv__named_vector named = {
            .name = QV__STR(""), .values = (float[2]){(float)i, 0}, .dim = 2};
        struct qv__point point = {
            .id = qv__id_u64(i),
            .vectors = &named,
            .n_vectors = 1,
            .payload = fix_payload(f, &t.arena, i % 2 ? "{\"s\":\"red.\"}" : "{\"s\":\"Red.\"}")};
        struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = &point, .n_points = 1};
        fix_write(f, t.c, &m, 1);
        qv__arena_reset(&t.arena);
    }
    for (int sealed = 0; sealed < 2; sealed++) {
        for (size_t i = 0; i < QV_ARRAY_LEN(defs); i++) {
            OK(qv__db_put_payload_index(f->db, QV__STR("c"), &defs[i], &lsn, &f->err));
            for (int again = 0; again < 3; again++) {
                assert_int_equal(count_text(&t, ask), want[i]);
                assert_string_not_equal(t.told, "kept from before");
            }
        }
        OK(qv__collection_optimize(t.c, 1, &f->err));
    }
    finish(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kept), cmocka_unit_test(test_sealed),
                                       cmocka_unit_test(test_bound), cmocka_unit_test(test_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
