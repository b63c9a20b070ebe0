/* test_fields.c: payload indexes of living collections: the same answers with and without, from
 * creation on, through growth, deletion, sealing, merging, restarts, crashes and damage. */
#include <pthread.h>

#include "engine/segment_fields.h"
#include "engine_fixture.h"

#define SEAL 10000u

struct pair {
    struct fix f;
    struct qv__collection *with, *without;
    struct qv__rng rng;
    struct qv__arena arena;
};

static const char *const filters[] = {
    "{\"must\":[{\"key\":\"color\",\"match\":{\"value\":\"c3\"}}]}",
    "{\"must\":[{\"key\":\"color\",\"match\":{\"any\":[\"c1\",\"c2\"]}},"
    "{\"key\":\"n\",\"range\":{\"gte\":100,\"lt\":600}}]}",
    "{\"must_not\":[{\"key\":\"color\",\"match\":{\"value\":\"c3\"}}],"
    "\"should\":[{\"key\":\"n\",\"range\":{\"lt\":10}},{\"key\":\"x\",\"range\":{\"gt\":0.75}}]}",
    "{\"must\":[{\"key\":\"n\",\"match\":{\"value\":7}},{\"key\":\"plain\",\"match\":{\"value\":1}}"
    "]}",
    "{\"must\":[{\"has_id\":[1,2,3,5000,77777]}],\"must_not\":[{\"key\":\"n\",\"match\":{\"value\":"
    "7}}]}",
    "{\"must\":[{\"key\":\"color\",\"match\":{\"prefix\":\"c\"}}],\"must_not\":[{\"has_id\":[1,2,3]"
    "}]}",
    "{\"must\":[{\"is_empty\":{\"key\":\"color\"}}]}",
    "{\"must\":[{\"nested\":{\"key\":\"list[]\",\"filter\":{\"must\":["
    "{\"key\":\"k\",\"match\":{\"value\":2}},{\"key\":\"z\",\"match\":{\"value\":true}}]}}}]}",
    "{\"must\":[{\"key\":\"when\",\"range\":{\"gte\":\"2024-01-03T00:00:00Z\"}}]}",
    "{\"must\":[{\"key\":\"color\",\"match\":{\"except\":[\"c1\",\"c2\"]}}]}",
    "{\"must\":[{\"has_vector\":\"a\"},{\"key\":\"color\",\"match\":{\"value\":\"c3\"}}]}",
    "{\"must\":[{\"key\":\"place\",\"geo_bounding_box\":{\"top_left\":{\"lon\":170,\"lat\":40},"
    "\"bottom_right\":{\"lon\":-150,\"lat\":-10}}}]}",
    "{\"must\":[{\"key\":\"n\",\"range\":{\"lt\":500}}],\"must_not\":[{\"key\":\"place\",\"geo_"
    "radius\":{"
    "\"center\":{\"lon\":-20,\"lat\":30},\"radius\":2500000}}]}",
    "{\"must_not\":[{\"has_vector\":\"a\"}],\"must\":[{\"key\":\"n\",\"range\":{\"lt\":200}}]}",
};

static const struct qv__payload_index_def defs[] = {
    {QV__STR("color"), QV__STR("keyword"), {"", 0}},
    {QV__STR("n"), QV__STR("integer"), {"", 0}},
    {QV__STR("x"), QV__STR("float"), {"", 0}},
    {QV__STR("list[].k"), QV__STR("integer"), {"", 0}},
    {QV__STR("when"), QV__STR("datetime"), {"", 0}},
    {QV__STR("list[].z"), QV__STR("bool"), {"", 0}},
    {QV__STR("place"), QV__STR("geo"), {"", 0}},
    {QV__STR("list[].s"), QV__STR("text"), {"", 0}},
};

static void start(struct pair *p, int threads)
{
    struct fix *f = &p->f;
    fix_open(f, threads);
    struct qv__vector_def def = {.name = QV__STR("a"), .metric = QV__L2, .dim = 2};
    struct qv__schema schema = fix_schema(&def, 1, 2);
    schema.policy = (struct qv__segment_policy){
        .seal_rows = SEAL, .merge_fanin = 2, .index_rows = 1000000}; /* no graphs: scans */
    OK(qv__db_create_collection(f->db, QV__STR("with"), &schema, &f->err));
    OK(qv__db_create_collection(f->db, QV__STR("without"), &schema, &f->err));
    p->with = fix_collection(f, "with");
    p->without = fix_collection(f, "without");
    qv__rng_seed(&p->rng, 99);
    qv__arena_init(&p->arena, f->mem);
}

static void find_again(struct pair *p)
{
    p->with = fix_collection(&p->f, "with");
    p->without = fix_collection(&p->f, "without");
}

static void let_go(struct pair *p)
{
    qv__collection_release(p->with);
    qv__collection_release(p->without);
}

static void stop(struct pair *p)
{
    let_go(p);
    qv__arena_free(&p->arena);
    fix_close(&p->f);
}

static struct qv__bytes payload(struct pair *p)
{
    char z[256];
    unsigned n = (unsigned)qv__rng_below(&p->rng, 1000);
    switch (qv__rng_below(&p->rng, 20)) {
    case 0:
        return fix_payload(&p->f, &p->arena, "{}");
    case 1:
        return fix_payload(&p->f, &p->arena, "{\"color\":[null,\"c3\",4],\"n\":\"7\",\"x\":[1,2]}");
    default:
        snprintf(z, sizeof z,
                 "{\"color\":\"c%u\",\"n\":%u,\"x\":0.%03u,\"plain\":%u,\"when\":\"2024-01-%02u\","
                 "\"place\":{\"lon\":%d,\"lat\":%d.25},"
                 "\"list\":[{\"k\":%u,\"z\":true},{\"k\":2,\"z\":%s}]}",
                 n % 11, n, n, n % 3, 1 + n % 28, (int)(n * 7 % 361) - 180, (int)n % 160 - 80,
                 n % 5, n % 7 ? "false" : "true");
        return fix_payload(&p->f, &p->arena, z);
    }
}

/* The same rows to both, ids [from, from + n). */
static void put(struct pair *p, uint64_t from, size_t n)
{
    struct qv__point *points = qv__arena_calloc(&p->arena, n, sizeof *points);
    struct qv__named_vector *named = qv__arena_calloc(&p->arena, n, sizeof *named);
    for (size_t i = 0; i < n; i++) {
        float *v = qv__arena_calloc(&p->arena, 2, sizeof *v);
        v[0] = (float)((from + i) % 1013);
        named[i] = (struct qv__named_vector){.name = QV__STR("a"), .values = v, .dim = 2};
        points[i] = (struct qv__point){.id = qv__id_u64(from + i),
                                       .vectors = &named[i],
                                       .n_vectors = (from + i) % 3 != 0,
                                       .payload = payload(p)};
    }
    struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = points, .n_points = n};
    fix_write(&p->f, p->with, &m, 1);
    fix_write(&p->f, p->without, &m, 1);
    qv__arena_reset(&p->arena);
}

static void settle(struct pair *p)
{
    struct fix *f = &p->f;
    OK(qv__collection_settle(p->with, 60000, &f->err));
    OK(qv__collection_settle(p->without, 60000, &f->err));
}

static uint64_t count(struct pair *p, struct qv__collection *c, const char *json, uint64_t *looked)
{
    struct fix *f = &p->f;
    struct qv__qctx ctx = fix_ctx(f);
    uint64_t n = 0;
    OK(qv__collection_count(c, fix_filter(f, &p->arena, json), &ctx, &n, &f->err));
    *looked = ctx.stats.rows_filtered;
    return n;
}

static void facet(struct pair *p, struct qv__collection *c, const char *key, const char *filter,
                  struct qv__facet_result *out)
{
    struct fix *f = &p->f;
    struct qv__qctx ctx = fix_ctx(f);
    struct qv__path path;
    OK(qv__path_parse(qv__str_z(key), &path, &f->err));
    OK(qv__collection_facet(c, &path, filter ? fix_filter(f, &p->arena, filter) : NULL, 1000, &ctx,
                            out, &f->err));
}

static void same_facets(struct pair *p, const char *filter)
{
    static const char *const keys[] = {"color", "n", "list[].k", "list[].z", "x", "plain", "none"};
    for (size_t i = 0; i < QV_ARRAY_LEN(keys); i++) {
        struct qv__facet_result x, y;
        facet(p, p->with, keys[i], filter, &x);
        facet(p, p->without, keys[i], filter, &y);
        assert_int_equal(x.n, y.n);
        for (size_t k = 0; k < x.n; k++) {
            const struct qv__match_value *a = &x.facets[k].value, *b = &y.facets[k].value;
            assert_int_equal(x.facets[k].count, y.facets[k].count);
            assert_int_equal(a->kind, b->kind);
            assert_true(a->kind == QV__MATCH_STR   ? qv__str_eq(a->s, b->s)
                        : a->kind == QV__MATCH_INT ? a->i == b->i
                                                   : a->b == b->b);
        }
        qv__arena_free(&x.arena);
        qv__arena_free(&y.arena);
    }
}

/* The nearest points under a filter. */
static void same_nearest(struct pair *p, const struct qv__filter *filter)
{
    struct fix *f = &p->f;
    struct qv__result_set x, y;
    struct qv__qctx ctx = fix_ctx(f);
    float v[2] = {(float)qv__rng_below(&p->rng, 1000), 0.5f};
    struct qv__query q = {.kind = QV__QUERY_NEAREST,
                          .using_vector = QV__STR("a"),
                          .target = {.values = v, .dim = 2},
                          .filter = filter,
                          .limit = 20};
    OK(qv__collection_query(p->with, &q, NULL, &ctx, &x, &f->err));
    OK(qv__collection_query(p->without, &q, NULL, &ctx, &y, &f->err));
    assert_int_equal(x.n, y.n);
    for (size_t i = 0; i < x.n; i++) {
        assert_true(qv__id_eq(&x.points[i].id, &y.points[i].id));
    }
    qv__result_free(&x);
    qv__result_free(&y);
}

/* What the indexes alone say of a number holds, and is had without a look at a row. */
static void bounded(struct pair *p, const char *json)
{
    struct fix *f = &p->f;
    struct qv__qctx ctx = fix_ctx(f);
    struct qv__collection *each[2] = {p->with, p->without};
    uint64_t looked, want = count(p, p->without, json, &looked);
    for (int i = 0; i < 2; i++) {
        uint64_t low, high;
        OK(qv__collection_count_bounds(each[i], fix_filter(f, &p->arena, json), &ctx, &low, &high,
                                       &f->err));
        assert_true(low <= want && want <= high);
    }
    assert_int_equal(ctx.stats.rows_filtered, 0);
}

static void same(struct pair *p)
{
    struct fix *f = &p->f;
    same_facets(p, NULL);
    same_facets(p, filters[2]);
    for (size_t i = 0; i < QV_ARRAY_LEN(filters); i++) {
        uint64_t a, b;
        bounded(p, filters[i]);
        uint64_t want = count(p, p->without, filters[i], &a);
        uint64_t got = count(p, p->with, filters[i], &b);
        if (want != got) {
            fail_msg("%s: %llu, should be %llu", filters[i], (unsigned long long)got,
                     (unsigned long long)want);
        }
        struct qv__result_set x, y;
        struct qv__qctx ctx = fix_ctx(f);
        const struct qv__filter *filter = fix_filter(f, &p->arena, filters[i]);
        OK(qv__collection_scroll(p->with, NULL, 20, filter, NULL, &ctx, &x, &f->err));
        OK(qv__collection_scroll(p->without, NULL, 20, filter, NULL, &ctx, &y, &f->err));
        assert_int_equal(x.n, y.n);
        assert_int_equal(x.n, want < 20 ? want : 20);
        for (size_t k = 0; k < x.n; k++) {
            assert_true(qv__id_eq(&x.points[k].id, &y.points[k].id));
        }
        qv__result_free(&x);
        qv__result_free(&y);
        same_nearest(p, filter);
    }
    qv__arena_reset(&p->arena);
}

static void create_all(struct pair *p)
{
    struct fix *f = &p->f;
    for (size_t i = 0; i < QV_ARRAY_LEN(defs); i++) {
        uint64_t lsn;
        OK(qv__db_put_payload_index(f->db, QV__STR("with"), &defs[i], &lsn, &f->err));
    }
}

static struct qv__field_info field(struct pair *p, size_t def)
{
    struct fix *f = &p->f;
    struct qv__field_info info;
    OK(qv__collection_field(p->with, &defs[def], &info, &f->err));
    return info;
}

static void test_life(void **state)
{
    (void)state;
    struct pair px, *p = &px;
    struct fix *f = &p->f;
    uint64_t looked, all;
    start(p, -1);
    put(p, 0, 26000); /* a sealed segment and a growing one per shard */
    settle(p);
    create_all(p);
    same(p); /* nothing is built yet */
    assert_int_equal(field(p, 0).indexed_rows, 0);
    settle(p);
    same(p);
    struct qv__field_info info = field(p, 0);
    assert_true(info.is_built && info.rows == 26000);
    assert_true(info.indexed_rows >= 2 * SEAL && info.indexed_rows < 26000);
    assert_true(info.memory_bytes > 0); /* growing */
    assert_int_equal(info.file_bytes, 0);

    /* Growing: blocks come with the rows; what is beyond is looked at. */
    put(p, 26000, 9000);
    same(p);
    settle(p);
    same(p);
    (void)count(p, p->with, filters[0], &looked);
    (void)count(p, p->without, filters[0], &all);
    assert_true(looked < all / 3);

    /* Newer versions, deletions by filter. */
    put(p, 5000, 3000);
    struct qv__mutation m = {
        .kind = QV__MUT_DELETE, .by_filter = true, .filter = fix_filter(f, &p->arena, filters[1])};
    fix_write(f, p->with, &m, 1);
    fix_write(f, p->without, &m, 1);
    same(p);

    /* All into files, then one file. */
    OK(qv__collection_optimize(p->with, 1, &f->err));
    OK(qv__collection_optimize(p->without, 1, &f->err));
    settle(p);
    same(p);
    info = field(p, 1);
    assert_int_equal(info.indexed_rows, info.rows);
    assert_int_equal(info.memory_bytes, 0);
    assert_true(info.file_bytes > 0);
    (void)count(p, p->with, filters[1], &looked);
    (void)count(p, p->without, filters[1], &all);
    assert_true(looked < all / 10); /* rows of other types only */

    let_go(p);
    fix_reopen(f);
    find_again(p);
    assert_int_equal(field(p, 1).file_bytes, info.file_bytes);
    same(p);
    stop(p);
}

/* Against counts by hand: one per point and value, whatever the types. */
static void test_facets(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"v\":\"a\"}",     "{\"v\":[\"a\",\"a\",\"b\"]}", "{\"v\":[1,\"b\",1,true,null,2.5]}",
        "{\"v\":[[\"a\"]]}", "{\"v\":{\"a\":1}}",           "{}",
        "{\"v\":\"b\"}"};
    struct pair px, *p = &px;
    struct fix *f = &p->f;
    start(p, -1);
    struct qv__payload_index_def def = {QV__STR("v"), QV__STR("keyword"), {"", 0}};
    struct qv__point points[QV_ARRAY_LEN(rows)];
    uint64_t lsn;
    for (size_t i = 0; i < QV_ARRAY_LEN(rows); i++) {
        points[i] =
            (struct qv__point){.id = qv__id_u64(i), .payload = fix_payload(f, &p->arena, rows[i])};
    }
    struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = points, .n_points = 7};
    fix_write(f, p->with, &m, 1);
    for (int indexed = 0; indexed < 2; indexed++) {
        struct qv__facet_result r;
        facet(p, p->with, "v", NULL, &r);
        assert_int_equal(r.n, 4);
        assert_int_equal(r.facets[0].count, 3);
        assert_true(qv__str_eq(r.facets[0].value.s, QV__STR("b")));
        assert_int_equal(r.facets[1].count, 2);
        assert_true(qv__str_eq(r.facets[1].value.s, QV__STR("a")));
        assert_int_equal(r.facets[2].value.i, 1);
        assert_int_equal(r.facets[2].count, 1);
        assert_true(r.facets[3].value.b && r.facets[3].count == 1);
        qv__arena_free(&r.arena);
        OK(qv__db_put_payload_index(f->db, QV__STR("with"), &def, &lsn, &f->err));
        OK(qv__collection_optimize(p->with, 1, &f->err));
        settle(p);
    }
    assert_int_equal(field(p, 0).indexed_rows, 0); /* that one is of "color" */
    stop(p);
}

static void test_dropped_and_made_again(void **state)
{
    (void)state;
    struct pair px, *p = &px;
    struct fix *f = &p->f;
    uint64_t lsn;
    start(p, -1);
    create_all(p);
    for (uint64_t at = 0; at < 25000; at += 2500) {
        put(p, at, 2500);
    }
    settle(p);
    struct qv__field_info before = field(p, 0);
    assert_true(before.file_bytes > 0); /* sealed with it */
    OK(qv__db_drop_payload_index(f->db, QV__STR("with"), QV__STR("color"), &lsn, &f->err));
    settle(p);
    assert_int_equal(field(p, 0).indexed_rows, 0);
    same(p);
    /* Another type under the same key: the file's blocks are not of it. */
    struct qv__payload_index_def other = {QV__STR("color"), QV__STR("bool"), {"", 0}};
    OK(qv__db_put_payload_index(f->db, QV__STR("with"), &other, &lsn, &f->err));
    settle(p);
    struct qv__field_info info;
    OK(qv__collection_field(p->with, &other, &info, &f->err));
    /* Over segments that were there: in their files by now, and after a start. */
    assert_true(info.file_bytes > 0 && info.memory_bytes == 0);
    uint64_t saved = info.file_bytes;
    let_go(p);
    fix_reopen(f);
    find_again(p);
    OK(qv__collection_field(p->with, &other, &info, &f->err));
    assert_true(info.file_bytes >= saved); /* what grew went into a file too */
    assert_int_equal(info.memory_bytes, 0);
    same(p);
    OK(qv__db_put_payload_index(f->db, QV__STR("with"), &defs[0], &lsn, &f->err));
    settle(p);
    assert_true(field(p, 0).file_bytes >= before.file_bytes); /* in the files again */
    same(p);
    /* A type of another version is recorded only. */
    struct qv__payload_index_def later = {QV__STR("sound"), QV__STR("audio"), {"", 0}};
    OK(qv__db_put_payload_index(f->db, QV__STR("with"), &later, &lsn, &f->err));
    settle(p);
    OK(qv__collection_field(p->with, &later, &info, &f->err));
    assert_false(info.is_built);
    same(p);
    stop(p);
}

static void test_crashes(void **state)
{
    (void)state;
    struct pair px, *p = &px;
    struct fix *f = &p->f;
    start(p, -1);
    put(p, 0, 12000);
    for (int i = 0; i < 6; i++) {
        if (i == 1) {
            create_all(p); /* acknowledged, nothing built */
        } else if (i == 3) {
            OK(qv__collection_optimize(p->with, 1, &f->err));
            put(p, 12000, 6000);
        }
        let_go(p);
        fix_crash(f, i % 2 ? QV__CRASH_DROP_ALL : QV__CRASH_RANDOM, &p->rng);
        find_again(p);
        same(p);
        if (i % 2) {
            settle(p);
            same(p);
        }
    }
    assert_int_equal(field(p, 0).is_built, true);
    assert_true(field(p, 0).indexed_rows > 0);
    stop(p);
}

static void test_without_memory(void **state)
{
    (void)state;
    struct pair px, *p = &px;
    struct fix *f = &p->f;
    start(p, -1);
    put(p, 0, 12000);
    settle(p);
    size_t failed = 0;
    for (uint64_t n = 1; n < 40; n++) {
        uint64_t lsn;
        const struct qv__payload_index_def *def = &defs[n % QV_ARRAY_LEN(defs)];
        OK(qv__db_put_payload_index(f->db, QV__STR("with"), def, &lsn, &f->err));
        qv__mem_fail_at(qv__db_mem(f->db), n, false);
        OK(qv__collection_settle(p->with, 0, &f->err));
        qv__mem_fail_at(qv__db_mem(f->db), 0, false);
        for (uint32_t i = 0; i < 2; i++) { /* do not wait before trying again */
            failed += atomic_exchange(&p->with->shards[i].retry_ns, 0) != 0;
        }
        if (n % 8 == 0) {
            same(p);
        }
        OK(qv__collection_settle(p->with, 0, &f->err));
        assert_true(field(p, n % QV_ARRAY_LEN(defs)).indexed_rows > 0);
        OK(qv__db_drop_payload_index(f->db, QV__STR("with"), def->key, &lsn, &f->err));
    }
    assert_true(failed > 5);
    same(p);
    stop(p);
}

/* As a catalog of an earlier version may have it: the index of words answers what words mean. */
static void test_two_of_one_path(void **state)
{
    enum { ROWS = 9000 };
    (void)state;
    struct fix f0, *f = &f0;
    const struct qv__payload_index_def both[2] = {{QV__STR("s"), QV__STR("keyword"), {"", 0}},
                                                  {QV__STR("\"s\""), QV__STR("text"), {"", 0}}};
    static const char *const asked[] = {"text", "text_any", "phrase"};
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = 1};
    struct qv__schema schema = fix_schema(&def, 1, 1);
    struct qv__arena a;
    fix_open(f, -1);
    schema.indexes = (struct qv__payload_index_def *)(uintptr_t)both;
    schema.n_indexes = 2;
    OK(qv__db_create_collection(f->db, QV__STR("c"), &schema, &f->err));
    struct qv__collection *c = fix_collection(f, "c");
    qv__arena_init(&a, f->mem);
    struct qv__point *p = calloc(ROWS, sizeof *p);
    struct qv__bytes cat = fix_payload(f, &a, "{\"s\":\"a cat\"}"),
                     cats = fix_payload(f, &a, "{\"s\":\"cats\"}");
    for (uint64_t i = 0; i < ROWS; i++) {
        p[i] = (struct qv__point){.id = qv__id_u64(i), .payload = i % 3 ? cats : cat};
    }
    fix_write(f, c, &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = p, .n_points = ROWS},
              1);
    OK(qv__collection_settle(c, 0, &f->err));
    for (size_t i = 0; i < QV_ARRAY_LEN(asked); i++) {
        char json[128];
        uint64_t n = 0;
        struct qv__qctx ctx = fix_ctx(f);
        snprintf(json, sizeof json, "{\"must\":[{\"key\":\"s\",\"match\":{\"%s\":\"cat\"}}]}",
                 asked[i]);
        OK(qv__collection_count(c, fix_filter(f, &a, json), &ctx, &n, &f->err));
        assert_int_equal(n, ROWS / 3);
        assert_true(ctx.stats.rows_filtered < ROWS); /* by the index */
    }
    free(p);
    qv__arena_free(&a);
    qv__collection_release(c);
    fix_close(f);
}

/* --- threads --- */

struct worker {
    struct fix f; /* its own, for errors */
    struct qv__collection *c;
    _Atomic bool *over;
    _Atomic uint64_t wrong;
};

/* Rows with and without "c3" under color add up to all rows at any moment of one view; here: two
 * conditions on one field never contradict each other. */
static void *ask(void *arg)
{
    struct worker *w = arg;
    struct fix *f = &w->f;
    struct qv__arena arena;
    qv__arena_init(&arena, f->mem);
    const struct qv__filter *none = fix_filter(
        f, &arena,
        "{\"must\":[{\"key\":\"n\",\"range\":{\"lt\":500}},{\"key\":\"n\",\"range\":{\"gte\":500}},"
        "{\"key\":\"plain\",\"match\":{\"any\":[0,1,2]}}]}");
    const struct qv__filter *all =
        fix_filter(f, &arena, "{\"must\":[{\"key\":\"color\",\"match\":{\"prefix\":\"c\"}}]}");
    uint64_t before = 0;
    while (!atomic_load(w->over)) {
        struct qv__qctx ctx = fix_ctx(f);
        uint64_t n = 0;
        OK(qv__collection_count(w->c, none, &ctx, &n, &f->err));
        w->wrong += n != 0;
        OK(qv__collection_count(w->c, all, &ctx, &n, &f->err));
        w->wrong += n < before; /* rows only come */
        before = n;
    }
    qv__arena_free(&arena);
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct pair px, *p = &px;
    struct fix *f = &p->f;
    _Atomic bool over = false;
    pthread_t t[2];
    struct worker w[2];
    start(p, 2);
    for (int i = 0; i < 2; i++) {
        w[i] = (struct worker){.f = *f, .c = p->with, .over = &over};
        assert_int_equal(pthread_create(&t[i], NULL, ask, &w[i]), 0);
    }
    for (int round = 0; round < 12; round++) {
        uint64_t lsn;
        size_t d = (size_t)round % QV_ARRAY_LEN(defs);
        put(p, (uint64_t)round * 2500, 2500);
        if (round % 3 == 2) {
            OK(qv__db_drop_payload_index(f->db, QV__STR("with"), QV__STR("color"), &lsn, &f->err));
        } else {
            OK(qv__db_put_payload_index(f->db, QV__STR("with"), &defs[d], &lsn, &f->err));
        }
        OK(qv__db_put_payload_index(f->db, QV__STR("with"), &defs[0], &lsn, &f->err));
    }
    settle(p);
    atomic_store(&over, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(t[i], NULL);
        assert_int_equal(w[i].wrong, 0);
    }
    same(p);
    stop(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),
        cmocka_unit_test(test_facets),
        cmocka_unit_test(test_dropped_and_made_again),
        cmocka_unit_test(test_crashes),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_two_of_one_path),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
