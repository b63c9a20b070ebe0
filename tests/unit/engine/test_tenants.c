/* test_tenants.c: many tenants in one collection: what a query of one of them touches, and where
 * their rows lie. */
#include "engine_fixture.h"

#include "engine/segment_impl.h"

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

/* --- where rows lie, and that answers do not depend on it --- */

enum { POINTS = 900, NAMES = 12 };

struct model_point {
    bool exists;
    int name[2]; /* of tenants; -1 = none */
    unsigned n;
    float v[2];
};

struct model {
    struct fix f;
    struct qv__collection *c;
    struct qv__rng rng;
    struct model_point p[POINTS];
};

static struct qv__payload_index_def tenant_index = {
    QV__STR("tenant"), QV__STR("keyword"), QV__STR("{\"type\":\"keyword\",\"is_tenant\":true}")};

/* One tenant mostly; else two, a number in its place, or none. */
static void payload_of(const struct model_point *p, unsigned i, char *out)
{
    if (p->name[1] >= 0) {
        sprintf(out, "{\"tenant\":[\"t%d\",\"t%d\"],\"n\":%u}", p->name[0], p->name[1], p->n);
    } else if (p->name[0] >= 0) {
        sprintf(out, "{\"tenant\":\"t%d\",\"n\":%u}", p->name[0], p->n);
    } else {
        sprintf(out, i % 2 ? "{\"n\":%u}" : "{\"tenant\":7,\"n\":%u}", p->n);
    }
}

static void put_some(struct model *m, unsigned n)
{
    struct qv__arena a;
    qv__arena_init(&a, m->f.mem);
    for (unsigned k = 0; k < n; k++) {
        unsigned i = (unsigned)qv__rng_below(&m->rng, POINTS);
        struct model_point *p = &m->p[i];
        uint64_t kind = qv__rng_below(&m->rng, 20);
        char json[80];
        *p = (struct model_point){.exists = true,
                                  .name = {(int)qv__rng_below(&m->rng, NAMES), -1},
                                  .n = (unsigned)qv__rng_below(&m->rng, 100),
                                  .v = {qv__rng_gauss(&m->rng), qv__rng_gauss(&m->rng)}};
        p->name[1] = kind == 0 ? (int)qv__rng_below(&m->rng, NAMES) : -1;
        p->name[0] = kind == 1 ? -1 : p->name[0];
        payload_of(p, i, json);
        struct qv__named_vector v = {.name = QV__STR(""), .values = p->v, .dim = 2};
        struct qv__point pt = {.id = qv__id_u64(i),
                               .vectors = &v,
                               .n_vectors = 1,
                               .payload = fix_payload(&m->f, &a, json)};
        struct qv__id gone = qv__id_u64(qv__rng_below(&m->rng, POINTS));
        struct qv__mutation put = {.kind = QV__MUT_UPSERT, .points = &pt, .n_points = 1},
                            drop = {.kind = QV__MUT_DELETE, .ids = &gone, .n_ids = 1};
        fix_write(&m->f, m->c, &put, 1);
        if (qv__rng_below(&m->rng, 6) == 0) {
            fix_write(&m->f, m->c, &drop, 1);
            m->p[gone.u].exists = false;
        }
        qv__arena_reset(&a);
    }
    qv__arena_free(&a);
}

/* What the plan tells of tenants: rows of runs that were compared. */
struct told {
    struct qv__plan_sink sink;
    unsigned n_segments;
    double rows;
};

static void tell(struct qv__plan_sink *sink, const char *stage, const char *detail, double estimate,
                 double actual)
{
    struct told *t = QV_CONTAINER_OF(sink, struct told, sink);
    (void)actual;
    if (strcmp(stage, "scan") == 0 && strcmp(detail, "rows of tenants") == 0) {
        t->n_segments++;
        t->rows += estimate;
    }
}

static bool has(const struct model_point *p, int name)
{
    return p->exists && (p->name[0] == name || p->name[1] == name);
}

/* Everything a filter lets pass is found, and nothing else; returns how many segments were searched
 * by their runs. */
static unsigned check_filter(struct model *m, const char *json, int a, int b, unsigned below)
{
    struct fix *f = &m->f;
    struct qv__arena arena;
    struct qv__result_set rs;
    struct told told = {.sink = {.event = tell}};
    struct qv__qctx ctx = fix_ctx(f);
    float v[2] = {0, 0};
    uint64_t n = 0, want = 0;
    bool seen[POINTS] = {false};
    qv__arena_init(&arena, f->mem);
    ctx.plan = &told.sink;
    struct qv__query q = {.kind = QV__QUERY_NEAREST,
                          .target = {.values = v, .dim = 2},
                          .filter = fix_filter(f, &arena, json),
                          .limit = POINTS};
    for (unsigned i = 0; i < POINTS; i++) {
        want += (has(&m->p[i], a) || has(&m->p[i], b)) && m->p[i].n < below;
    }
    OK(qv__collection_query(m->c, &q, NULL, &ctx, &rs, &f->err));
    assert_int_equal(rs.n, want);
    for (size_t i = 0; i < rs.n; i++) {
        const struct model_point *p = &m->p[rs.points[i].id.u];
        assert_true((has(p, a) || has(p, b)) && p->n < below);
        assert_false(seen[rs.points[i].id.u]);
        seen[rs.points[i].id.u] = true;
        assert_true(i == 0 || rs.points[i - 1].score <= rs.points[i].score);
    }
    qv__result_free(&rs);
    OK(qv__collection_count(m->c, q.filter, &ctx, &n, &f->err));
    assert_int_equal(n, want);
    qv__arena_free(&arena);
    return told.n_segments;
}

static unsigned check_answers(struct model *m)
{
    unsigned n = 0;
    for (int t = 0; t < NAMES + 1; t++) { /* one that nobody is */
        char json[200];
        snprintf(json, sizeof json,
                 "{\"must\":[{\"key\":\"tenant\",\"match\":{\"value\":\"t%d\"}}]}", t);
        n += check_filter(m, json, t, t, 100);
        snprintf(json, sizeof json,
                 "{\"must\":[{\"key\":\"tenant\",\"match\":{\"value\":\"t%d\"}},"
                 "{\"key\":\"n\",\"range\":{\"lt\":40}}]}",
                 t);
        n += check_filter(m, json, t, t, 40);
        snprintf(json, sizeof json,
                 "{\"must\":[{\"key\":\"tenant\",\"match\":{\"any\":[\"t%d\",\"t0\",\"t0\"]}}]}",
                 t);
        n += check_filter(m, json, t, 0, 100);
    }
    return n;
}

struct name {
    char text[8];
    unsigned n; /* strings of the row */
};

static void meet(void *ctx, const struct qv__match_value *v, uint32_t count)
{
    struct name *x = ctx;
    (void)count;
    if (v->kind == QV__MATCH_STR) {
        snprintf(x->text, sizeof x->text, "%.*s", (int)v->s.n, v->s.p);
        x->n++;
    }
}

/* In a file the rows of each tenant are neighbours, then come those of several, then the others.
 * Returns how many files there are. */
static unsigned check_runs(struct qv__collection *c)
{
    unsigned n_files = 0;
    for (uint32_t i = 0; i < c->n_shards; i++) {
        struct qv__view *v = qv__shard_view(&c->shards[i]);
        for (uint32_t k = 0; k < v->n; k++) {
            const struct qv__segment *s = v->segments[k];
            struct name last = {.n = 1};
            bool met[NAMES] = {false};
            if (!qv__segment_sealed(s)) {
                continue;
            }
            n_files++;
            for (uint32_t row = 0; row < qv__segment_rows(s); row++) {
                struct name now = {.n = 0};
                qv__row_facets(qv__segment_row_payload(s, row), &s->tenants.path, meet, &now);
                assert_true(now.n == last.n || (now.n > 1 && last.n == 1) || now.n == 0);
                if (now.n == 1 && strcmp(now.text, last.text) != 0) {
                    int name = atoi(now.text + 1);
                    assert_false(met[name]);
                    met[name] = true;
                }
                last = now;
            }
        }
        qv__view_release(v);
    }
    return n_files;
}

static struct model *model_open(bool has_index, uint32_t shards, uint64_t seed)
{
    struct model *m = test_calloc(1, sizeof *m);
    struct fix *f = &m->f;
    struct qv__vector_def def = {
        .name = QV__STR(""), .dim = 2, .metric = QV__L2, .datatype = QV__F32};
    fix_open(f, -1);
    qv__rng_seed(&m->rng, seed);
    struct qv__schema s = fix_schema(&def, 1, shards);
    s.policy = (struct qv__segment_policy){.seal_rows = 256, .index_rows = 100, .merge_fanin = 3};
    s.indexes = &tenant_index;
    s.n_indexes = has_index;
    OK(qv__db_create_collection(f->db, QV__STR("c"), &s, &f->err));
    m->c = fix_collection(f, "c");
    return m;
}

static void model_close(struct model *m)
{
    qv__collection_release(m->c);
    fix_close(&m->f);
    test_free(m);
}

static void reopen(struct model *m)
{
    qv__collection_release(m->c);
    fix_reopen(&m->f);
    m->c = fix_collection(&m->f, "c");
}

static void test_rows_of_a_tenant_are_neighbours(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct model *m = model_open(true, seed == 3 ? 3 : 1, seed);
        struct fix *f = &m->f;
        for (int round = 0; round < 6; round++) {
            put_some(m, 300); /* seals and merges on the way */
            (void)check_answers(m);
            OK(qv__collection_settle(m->c, 60000, &f->err));
            unsigned n = check_runs(m->c);
            assert_true(check_answers(m) >= n);
            reopen(m);
            (void)check_answers(m);
            assert_int_equal(check_runs(m->c) > 0, true);
        }
        OK(qv__collection_optimize(m->c, 1, &f->err));
        assert_int_equal(check_runs(m->c), seed == 3 ? 3 : 1);
        assert_true(check_answers(m) > 0);
        model_close(m);
    }
}

/* An index that comes later: files are rewritten in the background, and rows have moved then. */
static void test_index_of_tenants_that_comes_later(void **state)
{
    struct model *m = model_open(false, 1, 9);
    struct fix *f = &m->f;
    uint64_t lsn;
    (void)state;
    put_some(m, 1500);
    OK(qv__collection_optimize(m->c, 1, &f->err));
    assert_int_equal(check_answers(m), 0);
    OK(qv__db_put_payload_index(f->db, QV__STR("c"), &tenant_index, &lsn, &f->err));
    (void)check_answers(m);
    OK(qv__collection_settle(m->c, 60000, &f->err));
    assert_int_equal(check_runs(m->c), 1);
    assert_true(check_answers(m) > 0);
    put_some(m, 50);
    (void)check_answers(m);
    reopen(m);
    assert_true(check_answers(m) > 0);
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_touches_its_rows_only),
        cmocka_unit_test(test_rows_of_a_tenant_are_neighbours),
        cmocka_unit_test(test_index_of_tenants_that_comes_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
