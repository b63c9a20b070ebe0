/* test_query.c: query trees when something is short: memory at every allocation, time, patience.
 * What they answer is tested in tests/integration/test_rest_query.c. */
#include "engine/query_group.h"
#include "engine_fixture.h"

enum { DIM = 2, N = 40 };

static struct qv__collection *filled(struct fix *f)
{
    struct qv__vector_def def = {
        .name = QV__STR(""), .dim = DIM, .metric = QV__DOT, .datatype = QV__F32};
    struct qv__schema s = fix_schema(&def, 1, 3);
    struct qv__payload_index_def index = {.key = QV__STR("n"), .type = QV__STR("integer")};
    s.indexes = &index;
    s.n_indexes = 1;
    struct qv__arena a;
    OK(qv__db_create_collection(f->db, QV__STR("c"), &s, &f->err));
    struct qv__collection *c = fix_collection(f, "c");
    qv__arena_init(&a, f->mem);
    for (uint64_t i = 1; i <= N; i++) {
        char json[64];
        float v[DIM] = {(float)i, 1};
        struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = DIM};
        snprintf(json, sizeof json, "{\"g\":\"group %d\",\"n\":%d}", (int)(i % 5), (int)i);
        struct qv__point p = {.id = qv__id_u64(i),
                              .vectors = &nv,
                              .n_vectors = 1,
                              .payload = fix_payload(f, &a, json)};
        fix_write(f, c, &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = &p, .n_points = 1},
                  1);
    }
    qv__arena_free(&a);
    return c;
}

static const float forward[DIM] = {1, 0}, upward[DIM] = {0, 1};
static const struct qv__vector_input there = {.values = forward, .dim = DIM};
static const struct qv__vector_input up[2] = {{.values = upward, .dim = DIM},
                                              {.by_id = true, .id = {.kind = QV__ID_U64, .u = 7}}};

static struct qv__order_by by_n = {.key = QV__STR("n")};

/* One stage of every kind that needs no other: the leaves of the trees here. */
#define LEAVES 8
static void leaves(struct qv__query *q)
{
    static const float judged[2] = {1, 0.5f};
    assert_int_equal(qv__path_parse(by_n.key, &by_n.path, NULL), QV_OK);
    memset(q, 0, LEAVES * sizeof *q);
    for (int i = 0; i < LEAVES; i++) {
        q[i].limit = 10;
        q[i].target = there;
        q[i].positive = q[i].negative = up;
        q[i].n_positive = q[i].n_negative = 2;
    }
    q[0].kind = QV__QUERY_NEAREST;
    q[1].kind = QV__QUERY_NEAREST;
    q[1].mmr = (struct qv__mmr){.on = true, .diversity = 0.5f, .candidates = 20};
    q[2].kind = QV__QUERY_RECOMMEND_BEST;
    q[3].kind = QV__QUERY_DISCOVER;
    q[4].kind = QV__QUERY_FEEDBACK;
    q[4].n_negative = 0;
    q[4].feedback = (struct qv__feedback){.scores = judged, .a = 1, .b = 1, .c = 1};
    q[5].kind = QV__QUERY_SAMPLE;
    q[6].kind = QV__QUERY_IDS;
    q[7].kind = QV__QUERY_ORDER_BY;
    q[7].order_by = &by_n;
}

/* A formula over both fusions of all of them. */
struct tree {
    struct qv__query root, fusions[2], leaves[LEAVES];
    struct qv__arena arena;
};

static void plant(struct fix *f, struct tree *t)
{
    static const char text[] = "{\"sum\":[\"$score\",\"$score[1]\",\"n\"]}";
    qv__json v = NULL;
    memset(t, 0, sizeof *t);
    qv__arena_init(&t->arena, f->mem);
    leaves(t->leaves);
    t->root = (struct qv__query){
        .kind = QV__QUERY_FORMULA, .limit = 20, .prefetch = t->fusions, .n_prefetch = 2};
    OK(qv__json_parse(&t->arena, text, strlen(text), NULL, &v, &f->err));
    OK(qv__formula_parse(&t->arena, v, NULL, &t->root.formula, &f->err));
    for (int i = 0; i < 2; i++) {
        t->fusions[i] = (struct qv__query){.kind = i ? QV__QUERY_DBSF : QV__QUERY_RRF,
                                           .limit = 30,
                                           .rrf = {.k = QV__RRF_K},
                                           .prefetch = t->leaves,
                                           .n_prefetch = LEAVES};
    }
}

static qv_status run(struct fix *f, struct qv__collection *c, const struct qv__query *q,
                     struct qv__qctx *ctx, size_t *n)
{
    struct qv__result_set rs = {0};
    qv_status st = qv__collection_query(c, q, NULL, ctx, &rs, &f->err);
    *n = rs.n;
    qv__result_free(&rs);
    return st;
}

/* Kinds of rounds: of an index, of stages, of what is fused. */
static qv_status run_groups(struct fix *f, struct qv__collection *c, int how, struct qv__qctx *ctx,
                            size_t *n)
{
    struct qv__query q = {.kind = QV__QUERY_NEAREST, .target = there, .limit = 1};
    struct qv__query stage = q;
    if (how > 0) {
        q.prefetch = &stage;
        q.n_prefetch = 1;
    }
    if (how == 2) {
        q.kind = QV__QUERY_RRF;
        q.rrf.k = QV__RRF_K;
    }
    struct qv__group_by by = {.key = QV__STR("g"), .size = 3, .groups = 4};
    struct qv__group_set set;
    OK(qv__path_parse(by.key, &by.path, &f->err));
    qv_status st = qv__collection_query_groups(c, &q, &by, NULL, ctx, &set, &f->err);
    *n = set.points.n;
    qv__result_free(&set.points);
    return st;
}

/* The size of a group is a client's number: memory goes by what was found. */
static void test_large_groups(void **state)
{
    struct fix f0, *f = &f0;
    struct qv__group_by by = {.key = QV__STR("n"), .size = 1000000, .groups = 1};
    struct qv__query q = {.kind = QV__QUERY_NEAREST, .target = there, .limit = 1};
    struct qv__group_set set;
    (void)state;
    fix_open(f, 0);
    struct qv__collection *c = filled(f);
    struct qv__qctx ctx = fix_ctx(f);
    OK(qv__path_parse(by.key, &by.path, &f->err));
    OK(qv__collection_query_groups(c, &q, &by, NULL, &ctx, &set, &f->err));
    assert_int_equal(set.n, 1);
    assert_int_equal(set.points.n, 1);
    assert_true(set.points.arena.used_bytes < 1 << 20);
    qv__result_free(&set.points);
    qv__collection_release(c);
    fix_close(f);
}

/* A stage of a number that there is not found nothing: no room is taken for its scores. */
static void test_score_of_no_stage(void **state)
{
    static const char text[] = "{\"sum\":[\"$score\",\"$score[4095]\"]}",
                      defaults[] = "{\"$score[4095]\":0.5}";
    struct fix f0, *f = &f0;
    struct qv__query stage = {.kind = QV__QUERY_NEAREST, .target = there, .limit = N},
                     q = {.kind = QV__QUERY_FORMULA, .limit = 1};
    struct qv__result_set rs = {0};
    struct qv__arena a;
    qv__json v = NULL, d = NULL;
    (void)state;
    fix_open(f, 0);
    struct qv__collection *c = filled(f);
    struct qv__qctx ctx = fix_ctx(f);
    qv__arena_init(&a, f->mem);
    OK(qv__json_parse(&a, text, strlen(text), NULL, &v, &f->err));
    OK(qv__json_parse(&a, defaults, strlen(defaults), NULL, &d, &f->err));
    OK(qv__formula_parse(&a, v, d, &q.formula, &f->err));
    q.prefetch = &stage;
    q.n_prefetch = 1;
    OK(qv__collection_query(c, &q, NULL, &ctx, &rs, &f->err));
    assert_int_equal(rs.n, 1);
    assert_float_equal(rs.points[0].score, N + 0.5, 0);
    assert_true(rs.arena.used_bytes < N * 4096);
    qv__result_free(&rs);
    qv__arena_free(&a);
    qv__collection_release(c);
    fix_close(f);
}

/* An average takes one vector at a time, and examples have an end. */
static void test_many_examples(void **state)
{
    enum { MANY = QV__EXAMPLES_MAX };
    struct fix f0, *f = &f0;
    struct qv__query q = {.kind = QV__QUERY_RECOMMEND, .limit = 1};
    struct qv__result_set rs = {0};
    _Atomic bool cancel = false;
    size_t n;
    (void)state;
    fix_open(f, 0);
    struct qv__collection *c = filled(f);
    struct qv__qctx ctx = fix_ctx(f);
    struct qv__vector_input *in = calloc(MANY + 1, sizeof *in);
    for (size_t i = 0; i <= MANY; i++) {
        in[i] = up[1];
    }
    q.positive = in;
    q.n_positive = MANY - 1;
    q.negative = up;
    q.n_negative = 1;
    OK(qv__collection_query(c, &q, NULL, &ctx, &rs, &f->err));
    assert_int_equal(rs.n, 1);
    /* their ids, to be left out, and no vectors */
    assert_true(rs.arena.used_bytes < MANY * (sizeof(struct qv__id) + 4));
    qv__result_free(&rs);
    ctx.cancel = &cancel;
    for (int best = 0; best < 2; best++) {
        q.kind = best ? QV__QUERY_RECOMMEND_BEST : QV__QUERY_RECOMMEND;
        q.n_positive = MANY - 1;
        cancel = true;
        assert_int_equal(run(f, c, &q, &ctx, &n), QV_ECANCELLED);
        assert_string_equal(f->err.message, "query: cancelled after 255 examples");
        cancel = false;
        q.n_positive = MANY;
        assert_int_equal(run(f, c, &q, &ctx, &n), QV_EVALIDATION);
        assert_string_equal(f->err.message,
                            "query.recommend: 65537 examples, must be at most 65536");
    }
    free(in);
    qv__collection_release(c);
    fix_close(f);
}

static qv_status run_matrix(struct fix *f, struct qv__collection *c, struct qv__qctx *ctx,
                            size_t *n)
{
    struct qv__matrix_request m = {.using_vector = QV__STR(""), .sample = 9, .limit = 2};
    struct qv__matrix matrix;
    qv_status st = qv__collection_matrix(c, &m, ctx, &matrix, &f->err);
    *n = st == QV_OK ? matrix.n : 0;
    qv__result_free(&matrix.points);
    return st;
}

static void test_no_memory(void **state)
{
    struct fix f0, *f = &f0;
    struct tree t;
    (void)state;
    fix_open(f, 0);
    struct qv__collection *c = filled(f);
    plant(f, &t);
    for (int what = 0; what < 5; what++) {
        size_t n = 0;
        qv_status st = QV_ENOMEM;
        for (uint64_t k = 1; st == QV_ENOMEM; k++) {
            struct qv__qctx ctx = fix_ctx(f);
            qv__mem_fail_at(qv__db_mem(f->db), k, k % 2);
            st = what == 0   ? run(f, c, &t.root, &ctx, &n)
                 : what == 1 ? run_matrix(f, c, &ctx, &n)
                             : run_groups(f, c, what - 2, &ctx, &n);
            qv__mem_fail_at(qv__db_mem(f->db), 0, false);
            assert_true(st == QV_OK || st == QV_ENOMEM);
            assert_true(k < 10000);
        }
        assert_int_equal(n, what == 0 ? 20 : what == 1 ? 18 : 12);
    }
    qv__arena_free(&t.arena);
    qv__collection_release(c);
    fix_close(f);
}

static void test_no_time(void **state)
{
    struct fix f0, *f = &f0;
    struct tree t;
    size_t n;
    _Atomic bool cancel = true;
    (void)state;
    fix_open(f, 0);
    struct qv__collection *c = filled(f);
    plant(f, &t);
    for (int i = 0; i < LEAVES; i++) {
        if (t.leaves[i].kind != QV__QUERY_IDS) { /* a few rows in id order are had at once */
            struct qv__qctx late = fix_ctx(f), gone = fix_ctx(f);
            late.deadline_ns = 1;
            gone.cancel = &cancel;
            assert_int_equal(run(f, c, &t.leaves[i], &late, &n), QV_ETIMEOUT);
            assert_int_equal(run(f, c, &t.leaves[i], &gone, &n), QV_ECANCELLED);
        }
    }
    struct qv__qctx late = fix_ctx(f);
    late.deadline_ns = 1;
    assert_int_equal(run(f, c, &t.root, &late, &n), QV_ETIMEOUT);
    for (int how = 0; how < 3; how++) {
        assert_int_equal(run_groups(f, c, how, &late, &n), QV_ETIMEOUT);
    }
    assert_int_equal(run_matrix(f, c, &late, &n), QV_ETIMEOUT);
    qv__arena_free(&t.arena);
    qv__collection_release(c);
    fix_close(f);
}

/* What a C caller can ask and a dialect would not. */
static void test_refused(void **state)
{
    struct fix f0, *f = &f0;
    size_t n;
    (void)state;
    fix_open(f, 0);
    struct qv__collection *c = filled(f);
    struct qv__qctx ctx = fix_ctx(f);
    struct qv__query leaf = {.kind = QV__QUERY_IDS, .limit = 1};
    struct qv__query q = {.kind = QV__QUERY_ORDER_BY, .limit = 1};
    assert_int_equal(run(f, c, &q, &ctx, &n), QV_EINVAL);
    assert_non_null(strstr(f->err.message, "order_by"));
    q.kind = QV__QUERY_TEXT;
    assert_int_equal(run(f, c, &q, &ctx, &n), QV_EUNSUPPORTED);
    assert_non_null(strstr(f->err.message, "text"));
    q = (struct qv__query){.kind = QV__QUERY_FORMULA, .limit = 1};
    assert_int_equal(run(f, c, &q, &ctx, &n), QV_EINVAL);
    q = (struct qv__query){.kind = QV__QUERY_IDS, .limit = 1, .prefetch = &leaf, .n_prefetch = 1};
    assert_int_equal(run(f, c, &q, &ctx, &n), QV_EINVAL);
    q.kind = QV__QUERY_RRF; /* k 0 */
    assert_int_equal(run(f, c, &q, &ctx, &n), QV_EVALIDATION);
    leaf.limit = 0;
    q.rrf.k = 1;
    assert_int_equal(run(f, c, &q, &ctx, &n), QV_EVALIDATION);
    q = (struct qv__query){.kind = QV__QUERY_DISCOVER, .limit = 1, .n_positive = 1};
    assert_int_equal(run(f, c, &q, &ctx, &n), QV_EINVAL);
    qv__collection_release(c);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_memory),         cmocka_unit_test(test_no_time),
        cmocka_unit_test(test_refused),           cmocka_unit_test(test_large_groups),
        cmocka_unit_test(test_score_of_no_stage), cmocka_unit_test(test_many_examples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
