/* test_filter_ends.c: what looks at rows ends with its time, however few rows there are and
 * whatever each of them costs, by an index, in a formula and in edits too. */
#include "engine/query.h"
#include "engine/read.h"
#include "engine/stage.h"
#include "engine_fixture.h"

enum { ROWS = 3, WORDS = 40000 };

/* --- a clock that counts --- */

struct looks {
    const struct qv__clock *real;
    uint64_t n;
};

static uint64_t look(void *ctx)
{
    struct looks *l = ctx;
    l->n++;
    return qv__mono_ns(l->real);
}

static uint64_t wall(void *ctx)
{
    return qv__wall_ms(((struct looks *)ctx)->real);
}

/* A context whose clock counts the looks at it. */
static struct qv__qctx counting(struct fix *f, struct looks *l, struct qv__clock *clock)
{
    struct qv__qctx ctx = fix_ctx(f);
    *l = (struct looks){.real = ctx.clock};
    *clock = (struct qv__clock){look, wall, l};
    ctx.clock = clock;
    ctx.deadline_ns = UINT64_MAX;
    return ctx;
}

/* --- row by row --- */

/* A few points of long texts, of one word mostly. */
static struct qv__collection *filled(struct fix *f, const char *index)
{
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = 1};
    struct qv__schema s = fix_schema(&def, 1, 1);
    struct qv__payload_index_def text = {.key = QV__STR("s"), .type = qv__str_z(index)};
    struct qv__arena a;
    s.indexes = &text;
    s.n_indexes = 1;
    OK(qv__db_create_collection(f->db, QV__STR("c"), &s, &f->err));
    struct qv__collection *c = fix_collection(f, "c");
    qv__arena_init(&a, f->mem);
    char *json = malloc(3 * WORDS + 64);
    size_t n = (size_t)sprintf(json, "{\"s\":\"");
    for (int i = 0; i < WORDS; i++, n += 3) {
        memcpy(json + n, "ab ", 3);
    }
    strcpy(json + n, "\",\"k\":[1,2]}");
    for (uint64_t i = 0; i < ROWS; i++) {
        struct qv__point p = {.id = qv__id_u64(i), .payload = fix_payload(f, &a, json)};
        fix_write(f, c, &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = &p, .n_points = 1},
                  1);
    }
    free(json);
    qv__arena_free(&a);
    return c;
}

static qv_status count(struct qv__collection *c, const struct qv__filter *filter,
                       struct qv__qctx *ctx, struct qv_err *err)
{
    uint64_t n;
    return qv__collection_count(c, filter, ctx, &n, err);
}

static qv_status scroll(struct qv__collection *c, const struct qv__filter *filter,
                        struct qv__qctx *ctx, struct qv_err *err)
{
    struct qv__result_set rs;
    qv_status st = qv__collection_scroll(c, NULL, 10, filter, NULL, ctx, &rs, err);
    qv__result_free(&rs);
    return st;
}

static qv_status facet(struct qv__collection *c, const struct qv__filter *filter,
                       struct qv__qctx *ctx, struct qv_err *err)
{
    struct qv__facet_result r;
    struct qv__path path;
    assert_int_equal(qv__path_parse(QV__STR("k"), &path, err), QV_OK);
    qv_status st = qv__collection_facet(c, &path, filter, 10, ctx, &r, err);
    qv__arena_free(&r.arena);
    return st;
}

static qv_status apply(struct qv__collection *c, const struct qv__mutation *m, struct qv__qctx *ctx,
                       struct qv_err *err)
{
    struct qv__stage st;
    struct qv__arena a;
    struct qv__schema *schema = qv__collection_schema(c);
    ctx->now_ms = 1;
    qv__arena_init(&a, ctx->mem);
    qv__stage_init(&st, c, schema, &a, ctx);
    qv_status got = qv__stage_apply(&st, m, err);
    qv__stage_free(&st);
    qv__arena_free(&a);
    qv__schema_release(schema);
    return got;
}

static qv_status delete (struct qv__collection *c, const struct qv__filter *filter,
                         struct qv__qctx *ctx, struct qv_err *err)
{
    struct qv__mutation m = {.kind = QV__MUT_DELETE, .by_filter = true, .filter = filter};
    return apply(c, &m, ctx, err);
}

/* Replace them if they match: asked of the point as it is staged. */
static qv_status upsert_if(struct qv__collection *c, const struct qv__filter *filter,
                           struct qv__qctx *ctx, struct qv_err *err)
{
    struct qv__point p = {.id = qv__id_u64(1)};
    struct qv__mutation m = {
        .kind = QV__MUT_UPSERT, .condition = filter, .points = &p, .n_points = 1};
    return apply(c, &m, ctx, err);
}

static qv_status (*const calls[])(struct qv__collection *c, const struct qv__filter *filter,
                                  struct qv__qctx *ctx,
                                  struct qv_err *err) = {count, scroll, facet, delete, upsert_if};

static void ends(struct fix *f, struct qv__collection *c, const char *json)
{
    struct qv__arena a;
    _Atomic bool cancel = true;
    qv__arena_init(&a, f->mem);
    const struct qv__filter *filter = json ? fix_filter(f, &a, json) : NULL;
    for (size_t i = 0; i < QV_ARRAY_LEN(calls); i++) {
        struct qv__qctx gone = fix_ctx(f), ctx = fix_ctx(f);
        gone.cancel = &cancel;
        if (calls[i](c, filter, &gone, &f->err) != QV_ECANCELLED) {
            fail_msg("call %zu goes on: %s", i, json);
        }
        OK(calls[i](c, filter, &ctx, &f->err));
    }
    qv__arena_free(&a);
}

#define WORDS_NOT_THERE "zz yy xx ww vv uu tt ss rr qq pp oo nn mm ll kk jj ii hh gg ff ee dd cc"

static void test_long_texts(void **state)
{
    static const char *const indexes[] = {"keyword", "text"};
    struct fix f0, *f = &f0;
    (void)state;
    for (size_t i = 0; i < QV_ARRAY_LEN(indexes); i++) {
        fix_open(f, 0);
        struct qv__collection *c = filled(f, indexes[i]);
        ends(f, c, "{\"must\":[{\"key\":\"s\",\"match\":{\"text_any\":\"" WORDS_NOT_THERE "\"}}]}");
        ends(f, c,
             "{\"must_not\":[{\"key\":\"s\",\"match\":{\"text_any\":\"" WORDS_NOT_THERE "\"}}],"
             "\"must\":[{\"has_id\":[0,1]}]}");
        if (i == 1) {
            ends(f, c, "{\"must_not\":[{\"key\":\"s\",\"match\":{\"phrase\":\"ab ab ab c\"}}]}");
            ends(f, c, "{\"must\":[{\"key\":\"s\",\"match\":{\"text\":\"ab cd\"}}]}");
        }
        qv__collection_release(c);
        fix_close(f);
    }
}

/* Without a filter a facet looks at every row all the same. */
static void test_facet(void **state)
{
    struct fix f0, *f = &f0;
    _Atomic bool cancel = true;
    (void)state;
    fix_open(f, 0);
    struct qv__collection *c = filled(f, "keyword");
    struct qv__qctx ctx = fix_ctx(f);
    OK(facet(c, NULL, &ctx, &f->err));
    ctx.cancel = &cancel;
    assert_int_equal(facet(c, NULL, &ctx, &f->err), QV_ECANCELLED);
    qv__collection_release(c);
    fix_close(f);
}

/* --- by an index --- */

enum { TERMS = 1000, TERM = 400, ASKED = 200 };

/* Points of strings that are all different, in a sealed segment with an index of them. */
static struct qv__collection *indexed(struct fix *f)
{
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = 1};
    struct qv__schema s = fix_schema(&def, 1, 1);
    struct qv__payload_index_def index = {.key = QV__STR("s"), .type = QV__STR("keyword")};
    struct qv__arena a;
    s.indexes = &index;
    s.n_indexes = 1;
    s.policy.seal_rows = TERMS;
    OK(qv__db_create_collection(f->db, QV__STR("c"), &s, &f->err));
    struct qv__collection *c = fix_collection(f, "c");
    qv__arena_init(&a, f->mem);
    struct qv__point *points = qv__arena_calloc(&a, TERMS, sizeof *points);
    for (int i = 0; i < TERMS; i++) {
        char json[TERM + 64];
        int n = snprintf(json, sizeof json, "{\"s\":\"%d ", i);
        memset(json + n, 'a', TERM);
        strcpy(json + n + TERM, "\"}");
        points[i] =
            (struct qv__point){.id = qv__id_u64((uint64_t)i), .payload = fix_payload(f, &a, json)};
    }
    fix_write(f, c,
              &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = points, .n_points = TERMS},
              1);
    points[0] = (struct qv__point){.id = qv__id_u64(TERMS)}; /* of the next segment */
    fix_write(f, c, &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = points, .n_points = 1},
              1);
    qv__arena_free(&a);
    OK(qv__collection_settle(c, 60000, &f->err));
    return c;
}

/* All terms of a block are searched for all words: what takes that long looks at the clock. */
static void test_index(void **state)
{
    struct fix f0, *f = &f0;
    struct qv__arena a;
    (void)state;
    fix_open(f, 2);
    struct qv__collection *c = indexed(f);
    qv__arena_init(&a, f->mem);
    char json[ASKED * 8 + 128];
    size_t n = (size_t)sprintf(json, "{\"must\":[{\"key\":\"s\",\"match\":{\"text_any\":\"");
    for (int i = 0; i < ASKED; i++) {
        n += (size_t)sprintf(json + n, "z%d ", i);
    }
    strcpy(json + n, "\"}}]}");
    const struct qv__filter *filter = fix_filter(f, &a, json);
    for (size_t i = 0; i < 4; i++) { /* not of a point as it is staged */
        struct looks l;
        struct qv__clock clock;
        struct qv__qctx ctx = counting(f, &l, &clock);
        OK(calls[i](c, filter, &ctx, &f->err));
        assert_int_equal(ctx.stats.rows_filtered, 1);
        if (l.n < (uint64_t)TERMS * TERM * ASKED / 100000) {
            fail_msg("call %zu: the clock is looked at %llu times", i, (unsigned long long)l.n);
        }
    }
    qv__arena_free(&a);
    qv__collection_release(c);
    fix_close(f);
}

/* --- of one point --- */

enum { NUMBERS = 50000 };

/* One point of many numbers. */
static struct qv__collection *numbers(struct fix *f)
{
    static const float one = 1;
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = 1};
    struct qv__schema s = fix_schema(&def, 1, 1);
    struct qv__named_vector named = {.name = QV__STR(""), .values = &one, .dim = 1};
    struct qv__arena a;
    struct qv__buf text;
    OK(qv__db_create_collection(f->db, QV__STR("c"), &s, &f->err));
    struct qv__collection *c = fix_collection(f, "c");
    qv__arena_init(&a, f->mem);
    qv__buf_init(&text, f->mem);
    qv__buf_putz(&text, "{\"k\":[1");
    for (int i = 1; i < NUMBERS; i++) {
        qv__buf_putz(&text, ",1");
    }
    qv__buf_put(&text, "]}", 3);
    struct qv__point p = {.id = qv__id_u64(1),
                          .vectors = &named,
                          .n_vectors = 1,
                          .payload = fix_payload(f, &a, (const char *)text.p)};
    fix_write(f, c, &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = &p, .n_points = 1}, 1);
    qv__buf_free(&text);
    qv__arena_free(&a);
    return c;
}

/* Each variable looks through all of them. */
static void test_formula(void **state)
{
    enum { VARIABLES = 100 };
    static const char defaults[] = "{\"k[].b\":1}";
    static const float one = 1;
    struct fix f0, *f = &f0;
    struct qv__query stage = {
        .kind = QV__QUERY_NEAREST, .target = {.values = &one, .dim = 1}, .limit = 1};
    struct qv__query q = {
        .kind = QV__QUERY_FORMULA, .limit = 1, .prefetch = &stage, .n_prefetch = 1};
    struct qv__result_set rs;
    struct qv__arena a;
    char text[VARIABLES * 16];
    struct looks l;
    struct qv__clock clock;
    qv__json v, d;
    (void)state;
    fix_open(f, 0);
    struct qv__collection *c = numbers(f);
    qv__arena_init(&a, f->mem);
    size_t n = (size_t)sprintf(text, "{\"sum\":[1");
    for (int i = 0; i < VARIABLES; i++) {
        n += (size_t)sprintf(text + n, ",\"k[].b\"");
    }
    n += (size_t)sprintf(text + n, "]}");
    OK(qv__json_parse(&a, text, n, NULL, &v, &f->err));
    OK(qv__json_parse(&a, defaults, strlen(defaults), NULL, &d, &f->err));
    OK(qv__formula_parse(&a, v, d, &q.formula, &f->err));
    struct qv__qctx ctx = counting(f, &l, &clock);
    OK(qv__collection_query(c, &q, NULL, &ctx, &rs, &f->err));
    assert_int_equal(rs.n, 1);
    assert_true(l.n >= VARIABLES);
    qv__result_free(&rs);
    qv__arena_free(&a);
    qv__collection_release(c);
    fix_close(f);
}

/* Each of them is counted. */
static void test_facet_of_one(void **state)
{
    struct fix f0, *f = &f0;
    struct looks l;
    struct qv__clock clock;
    (void)state;
    fix_open(f, 0);
    struct qv__collection *c = numbers(f);
    struct qv__qctx ctx = counting(f, &l, &clock);
    OK(facet(c, NULL, &ctx, &f->err));
    assert_true(l.n >= NUMBERS / 2000);
    qv__collection_release(c);
    fix_close(f);
}

/* --- in an edit --- */

/* Edits look at the clock by what they write and compare, not by points. */
static void test_edits(void **state)
{
    enum { OPS = 100, PATHS = 20000 };
    struct fix f0, *f = &f0;
    static const struct qv__cond none = {.kind = QV__COND_HAS_ID};
    static const struct qv__filter all = {.must_not = {&none, 1}};
    static const uint8_t one[] = {QV__TAG_I64, 1, 0, 0, 0, 0, 0, 0, 0};
    struct qv__payload_op *ops = calloc(OPS, sizeof *ops);
    struct qv__path *paths = calloc(PATHS, sizeof *paths);
    (void)state;
    fix_open(f, 0);
    struct qv__collection *c = filled(f, "keyword");
    for (int i = 0; i < OPS; i++) {
        ops[i] = (struct qv__payload_op){
            .kind = QV__OP_INCREMENT, .text = QV__STR("n"), .value = {one, sizeof one}};
        OK(qv__path_parse(ops[i].text, &ops[i].path, &f->err));
    }
    for (int i = 0; i < PATHS; i++) {
        OK(qv__path_parse(QV__STR("other"), &paths[i], &f->err));
    }
    struct qv__mutation edits[] = {{.kind = QV__MUT_MODIFY_PAYLOAD,
                                    .by_filter = true,
                                    .filter = &all,
                                    .ops = ops,
                                    .n_ops = OPS},
                                   {.kind = QV__MUT_DELETE_PAYLOAD,
                                    .by_filter = true,
                                    .filter = &all,
                                    .paths = paths,
                                    .n_paths = PATHS}};
    for (size_t i = 0; i < QV_ARRAY_LEN(edits); i++) {
        struct looks l;
        struct qv__clock clock;
        struct qv__qctx ctx = counting(f, &l, &clock);
        OK(apply(c, &edits[i], &ctx, &f->err));
        uint64_t least = i ? 2 * ROWS : ROWS * OPS; /* of two members, and of operations */
        if (l.n < least) {
            fail_msg("edit %zu: the clock is looked at %llu times", i, (unsigned long long)l.n);
        }
    }
    free(ops);
    free(paths);
    qv__collection_release(c);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_texts),   cmocka_unit_test(test_facet),
        cmocka_unit_test(test_index),        cmocka_unit_test(test_formula),
        cmocka_unit_test(test_facet_of_one), cmocka_unit_test(test_edits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
