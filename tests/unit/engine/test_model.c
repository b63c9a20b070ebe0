/* test_model.c: random operations on a database against a plain model of it.
 *
 * The model is an array of points; the database runs with tiny segments, so that every few writes
 * seal and merge, with 1 and 3 shards, with restarts and crashes in between. After every batch of
 * operations the whole of it is compared: points by id, id order, counts with filters, exact and
 * approximate search. */
#include "engine_fixture.h"

#define IDS   160
#define DIM_A 8
#define DIM_B 5

struct model_point {
    bool exists;
    bool has_a, has_b;
    float a[DIM_A], b[DIM_B];
    int n;   /* payload.n */
    int tag; /* payload.tag "t0".."t4", -1 = missing */
};

struct model {
    struct fix f;
    struct qv__collection *c;
    struct qv__rng rng;
    struct model_point p[IDS];
    uint64_t ops;
};

static struct qv__id model_id(unsigned i)
{
    struct qv__id id = qv__id_u64(i);
    if (i % 3 == 1) {
        id.kind = QV__ID_UUID;
        memset(id.uuid, 0, 16);
        id.uuid[3] = (uint8_t)(i * 37);
        id.uuid[15] = (uint8_t)i;
    } else if (i % 7 == 2) {
        static char text[IDS][8];
        snprintf(text[i], sizeof text[i], "s%03u", (i * 91) % 1000);
        id.kind = QV__ID_STR;
        id.len = (uint8_t)strlen(text[i]);
        id.s = text[i];
    }
    return id;
}

static void random_vector(struct model *m, float *v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        v[i] = qv__rng_gauss(&m->rng);
    }
}

static struct qv__bytes payload_of(struct model *m, struct qv__arena *a,
                                   const struct model_point *p)
{
    char json[96];
    if (p->tag < 0) {
        snprintf(json, sizeof json, "{\"n\":%d}", p->n);
    } else {
        snprintf(json, sizeof json, "{\"n\":%d,\"tag\":\"t%d\"}", p->n, p->tag);
    }
    return fix_payload(&m->f, a, json);
}

/* --- operations --- */

static void op_upsert(struct model *m, struct qv__arena *a)
{
    struct qv__point points[12];
    struct qv__named_vector vectors[12][2];
    size_t n = 1 + qv__rng_below(&m->rng, 12);
    for (size_t i = 0; i < n; i++) {
        unsigned k = (unsigned)qv__rng_below(&m->rng, IDS);
        struct model_point *p = &m->p[k];
        p->exists = true;
        p->has_a = qv__rng_below(&m->rng, 5) != 0;
        p->has_b = qv__rng_below(&m->rng, 3) != 0;
        p->n = (int)qv__rng_below(&m->rng, 100);
        p->tag = (int)qv__rng_below(&m->rng, 6) - 1;
        random_vector(m, p->a, DIM_A);
        random_vector(m, p->b, DIM_B);
        uint32_t nv = 0;
        /* Copies: a later point of the same batch may carry the same id. */
        float *va = qv__arena_alloc(a, sizeof p->a), *vb = qv__arena_alloc(a, sizeof p->b);
        memcpy(va, p->a, sizeof p->a);
        memcpy(vb, p->b, sizeof p->b);
        if (p->has_a) {
            vectors[i][nv++] =
                (struct qv__named_vector){.name = QV__STR("a"), .values = va, .dim = DIM_A};
        }
        if (p->has_b) {
            vectors[i][nv++] =
                (struct qv__named_vector){.name = QV__STR("b"), .values = vb, .dim = DIM_B};
        }
        points[i] = (struct qv__point){.id = model_id(k),
                                       .vectors = vectors[i],
                                       .n_vectors = nv,
                                       .payload = payload_of(m, a, p)};
    }
    fix_write(&m->f, m->c,
              &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = points, .n_points = n}, 1);
}

static void op_delete(struct model *m)
{
    struct qv__id ids[4];
    size_t n = 1 + qv__rng_below(&m->rng, 4);
    for (size_t i = 0; i < n; i++) {
        unsigned k = (unsigned)qv__rng_below(&m->rng, IDS);
        ids[i] = model_id(k);
        m->p[k].exists = false;
    }
    fix_write(&m->f, m->c, &(struct qv__mutation){.kind = QV__MUT_DELETE, .ids = ids, .n_ids = n},
              1);
}

static void op_delete_where(struct model *m, struct qv__arena *a)
{
    int lo = (int)qv__rng_below(&m->rng, 95);
    char json[128];
    snprintf(json, sizeof json, "{\"must\":[{\"key\":\"n\",\"range\":{\"gte\":%d,\"lt\":%d}}]}", lo,
             lo + 6);
    for (unsigned k = 0; k < IDS; k++) {
        if (m->p[k].exists && m->p[k].n >= lo && m->p[k].n < lo + 6) {
            m->p[k].exists = false;
        }
    }
    fix_write(&m->f, m->c,
              &(struct qv__mutation){
                  .kind = QV__MUT_DELETE, .by_filter = true, .filter = fix_filter(&m->f, a, json)},
              1);
}

static void op_payload(struct model *m, struct qv__arena *a)
{
    int tag = (int)qv__rng_below(&m->rng, 5), to = (int)qv__rng_below(&m->rng, 100);
    char where[96], what[64];
    snprintf(where, sizeof where, "{\"must\":[{\"key\":\"tag\",\"match\":{\"value\":\"t%d\"}}]}",
             tag);
    snprintf(what, sizeof what, "{\"n\":%d}", to);
    struct qv__mutation mut = {.kind = QV__MUT_SET_PAYLOAD,
                               .by_filter = true,
                               .filter = fix_filter(&m->f, a, where),
                               .payload = fix_payload(&m->f, a, what)};
    fix_write(&m->f, m->c, &mut, 1);
    for (unsigned k = 0; k < IDS; k++) {
        if (m->p[k].exists && m->p[k].tag == tag) {
            m->p[k].n = to;
        }
    }
}

/* Several mutations as one request, on the same point. */
static void op_batch(struct model *m, struct qv__arena *a)
{
    unsigned k = (unsigned)qv__rng_below(&m->rng, IDS);
    struct qv__id id = model_id(k);
    struct model_point *p = &m->p[k];
    *p = (struct model_point){.exists = true, .has_a = true, .n = 7, .tag = -1};
    random_vector(m, p->a, DIM_A);
    struct qv__named_vector v = {.name = QV__STR("a"), .values = p->a, .dim = DIM_A};
    struct qv__point pt = {.id = id,
                           .vectors = &v,
                           .n_vectors = 1,
                           .payload = fix_payload(&m->f, a, "{\"n\":1,\"tag\":\"t1\"}")};
    struct qv__path path;
    assert_int_equal(qv__path_parse(QV__STR("tag"), &path, NULL), QV_OK);
    struct qv__mutation muts[4] = {
        {.kind = QV__MUT_DELETE, .ids = &id, .n_ids = 1},
        {.kind = QV__MUT_UPSERT, .points = &pt, .n_points = 1},
        {.kind = QV__MUT_SET_PAYLOAD,
         .ids = &id,
         .n_ids = 1,
         .payload = fix_payload(&m->f, a, "{\"n\":7}")},
        {.kind = QV__MUT_DELETE_PAYLOAD, .ids = &id, .n_ids = 1, .paths = &path, .n_paths = 1}};
    fix_write(&m->f, m->c, muts, 4);
}

static void op_vectors(struct model *m)
{
    unsigned k = (unsigned)qv__rng_below(&m->rng, IDS);
    struct model_point *p = &m->p[k];
    if (!p->exists) {
        return;
    }
    struct qv__id id = model_id(k);
    if (qv__rng_below(&m->rng, 2)) {
        random_vector(m, p->b, DIM_B);
        p->has_b = true;
        struct qv__named_vector v = {.name = QV__STR("b"), .values = p->b, .dim = DIM_B};
        struct qv__point pt = {.id = id, .vectors = &v, .n_vectors = 1};
        fix_write(
            &m->f, m->c,
            &(struct qv__mutation){.kind = QV__MUT_UPDATE_VECTORS, .points = &pt, .n_points = 1},
            1);
    } else {
        struct qv__str name = QV__STR("a");
        p->has_a = false;
        fix_write(&m->f, m->c,
                  &(struct qv__mutation){.kind = QV__MUT_DELETE_VECTORS,
                                         .ids = &id,
                                         .n_ids = 1,
                                         .vector_names = &name,
                                         .n_vector_names = 1},
                  1);
    }
}

/* --- comparison --- */

static void unit(const float *v, unsigned n, float *out)
{
    double s = 0;
    for (unsigned i = 0; i < n; i++) {
        s += (double)v[i] * v[i];
    }
    for (unsigned i = 0; i < n; i++) {
        out[i] = (float)(v[i] / sqrt(s));
    }
}

static void check_points(struct model *m)
{
    struct fix *f = &m->f;
    struct qv__result_set rs;
    struct qv__id ids[IDS];
    struct qv__fetch fetch = {.payload = {.kind = QV__SELECT_ALL}, .vectors = QV__VECTORS_ALL};
    struct qv__qctx ctx = fix_ctx(f);
    size_t expected = 0;
    for (unsigned k = 0; k < IDS; k++) {
        ids[k] = model_id(k);
        expected += m->p[k].exists;
    }
    OK(qv__collection_get(m->c, ids, IDS, &fetch, &ctx, &rs, &f->err));
    assert_int_equal(rs.n, expected);
    size_t at = 0;
    for (unsigned k = 0; k < IDS; k++) {
        const struct model_point *p = &m->p[k];
        if (!p->exists) {
            continue;
        }
        const struct qv__result_point *r = &rs.points[at++];
        assert_true(qv__id_eq(&r->id, &ids[k]));
        struct qv__buf json;
        struct qv__jw w;
        char want[96];
        qv__buf_init(&json, m->f.mem);
        qv__jw_init(&w, &json);
        qv__payload_to_json(&w, r->payload);
        qv__buf_putc(&json, 0);
        if (p->tag < 0) {
            snprintf(want, sizeof want, "{\"n\":%d}", p->n);
        } else {
            snprintf(want, sizeof want, "{\"n\":%d,\"tag\":\"t%d\"}", p->n, p->tag);
        }
        assert_string_equal((char *)json.p, want);
        qv__buf_free(&json);
        assert_int_equal(r->vectors[0] != NULL, p->has_a);
        assert_int_equal(r->vectors[1] != NULL, p->has_b);
        if (p->has_a) {
            float u[DIM_A];
            unit(p->a, DIM_A, u);
            for (unsigned i = 0; i < DIM_A; i++) {
                assert_true(fabsf(u[i] - r->vectors[0][i]) < 1e-5f);
            }
        }
        if (p->has_b) {
            assert_memory_equal(p->b, r->vectors[1], sizeof p->b);
        }
    }
    qv__result_free(&rs);
}

static void check_scroll(struct model *m, struct qv__arena *a)
{
    struct fix *f = &m->f;
    struct qv__qctx ctx = fix_ctx(f);
    const struct qv__filter *filter =
        fix_filter(f, a, "{\"must\":[{\"key\":\"n\",\"range\":{\"lt\":50}}]}");
    for (int filtered = 0; filtered < 2; filtered++) {
        size_t expected = 0, got = 0;
        for (unsigned k = 0; k < IDS; k++) {
            expected += m->p[k].exists && (!filtered || m->p[k].n < 50);
        }
        struct qv__id from = {0}, last = {0};
        bool more = true, first = true;
        char text[300];
        while (more) {
            struct qv__result_set rs;
            OK(qv__collection_scroll(m->c, first ? NULL : &from, 1 + qv__rng_below(&m->rng, 9),
                                     filtered ? filter : NULL, NULL, &ctx, &rs, &f->err));
            for (size_t i = 0; i < rs.n; i++) {
                if (got + i > 0 && i > 0) {
                    assert_true(qv__id_cmp(&rs.points[i - 1].id, &rs.points[i].id) < 0);
                }
            }
            got += rs.n;
            more = rs.has_next;
            first = false;
            if (more) {
                from = rs.next_offset;
                OK(qv__id_own(a, &from));
                if (rs.n) {
                    last = rs.points[rs.n - 1].id;
                    if (qv__id_cmp(&last, &from) >= 0) {
                        fail_msg("scroll order: %s", qv__id_text(&from, text, sizeof text));
                    }
                }
            }
            qv__result_free(&rs);
        }
        assert_int_equal(got, expected);
        uint64_t n = 0;
        OK(qv__collection_count(m->c, filtered ? filter : NULL, &ctx, &n, &f->err));
        assert_int_equal(n, expected);
    }
}

static int by_score(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static void check_search(struct model *m, struct qv__arena *a, bool exact)
{
    struct fix *f = &m->f;
    struct qv__qctx ctx = fix_ctx(f);
    float q[DIM_B];
    double want[IDS];
    size_t n = 0;
    bool filtered = qv__rng_below(&m->rng, 2);
    random_vector(m, q, DIM_B);
    for (unsigned k = 0; k < IDS; k++) {
        const struct model_point *p = &m->p[k];
        if (!p->exists || !p->has_b || (filtered && p->tag != 2)) {
            continue;
        }
        double s = 0;
        for (unsigned i = 0; i < DIM_B; i++) {
            s += ((double)q[i] - p->b[i]) * ((double)q[i] - p->b[i]);
        }
        want[n++] = sqrt(s);
    }
    qsort(want, n, sizeof *want, by_score);
    struct qv__query query = {.kind = QV__QUERY_NEAREST,
                              .using_vector = QV__STR("b"),
                              .target = {.values = q, .dim = DIM_B},
                              .limit = 10,
                              .params = {.exact = exact, .ef = 128}};
    if (filtered) {
        query.filter =
            fix_filter(f, a, "{\"must\":[{\"key\":\"tag\",\"match\":{\"value\":\"t2\"}}]}");
    }
    struct qv__result_set rs;
    OK(qv__collection_query(m->c, &query, NULL, &ctx, &rs, &f->err));
    assert_int_equal(rs.n, QV_MIN(n, (size_t)10));
    for (size_t i = 0; i < rs.n; i++) {
        /* With ef of 128 over so few points the walk is exact too. */
        assert_true(fabs(rs.points[i].score - want[i]) < 1e-4);
    }
    qv__result_free(&rs);
}

static void check_all(struct model *m)
{
    struct qv__arena a;
    qv__arena_init(&a, m->f.mem);
    check_points(m);
    check_scroll(m, &a);
    check_search(m, &a, true);
    check_search(m, &a, false);
    qv__arena_free(&a);
}

/* --- runs
 * -----------------------------------------------------------------------------------------------------
 */

static void create(struct model *m, uint32_t shards)
{
    struct fix *f = &m->f;
    struct qv__vector_def defs[2] = {{.name = QV__STR("a"), .metric = QV__COSINE, .dim = DIM_A},
                                     {.name = QV__STR("b"), .metric = QV__L2, .dim = DIM_B}};
    struct qv__schema s = fix_schema(defs, 2, shards);
    s.policy = (struct qv__segment_policy){.seal_rows = 64, .index_rows = 24, .merge_fanin = 2};
    OK(qv__db_create_collection(f->db, QV__STR("m"), &s, &f->err));
    m->c = fix_collection(f, "m");
}

static void restart(struct model *m, int how)
{
    qv__collection_release(m->c);
    if (how == 0) {
        fix_reopen(&m->f);
    } else {
        /* Every write so far was acknowledged: nothing of it may be missing, whatever is dropped.
         */
        fix_crash(&m->f,
                  how == 1   ? QV__CRASH_KEEP_ALL
                  : how == 2 ? QV__CRASH_DROP_ALL
                             : QV__CRASH_RANDOM,
                  &m->rng);
    }
    m->c = fix_collection(&m->f, "m");
}

static void run(uint64_t seed, uint32_t shards, int threads, unsigned steps)
{
    struct model *m = test_calloc(1, sizeof *m);
    fix_open(&m->f, threads);
    qv__rng_seed(&m->rng, seed);
    create(m, shards);
    if (getenv("MODEL_SEED")) {
        seed = strtoull(getenv("MODEL_SEED"), NULL, 10);
        qv__rng_seed(&m->rng, seed);
    }
    print_message("model: seed %llu, %u shards, threads %d, %u steps\n", (unsigned long long)seed,
                  shards, threads, steps);
    for (unsigned i = 0; i < steps; i++) {
        struct qv__arena a;
        qv__arena_init(&a, m->f.mem);
        switch (qv__rng_below(&m->rng, 12)) {
        case 0:
            op_delete(m);
            break;
        case 1:
            if (qv__rng_below(&m->rng, 4) == 0) {
                op_delete_where(m, &a);
            }
            break;
        case 2:
            op_payload(m, &a);
            break;
        case 3:
            op_batch(m, &a);
            break;
        case 4:
        case 5:
            op_vectors(m);
            break;
        default:
            op_upsert(m, &a);
        }
        qv__arena_free(&a);
        if (i % 20 == 19) {
            check_all(m);
        }
        if (i % 50 == 49) {
            restart(m, (int)qv__rng_below(&m->rng, 4));
            check_all(m);
        }
    }
    struct fix *f = &m->f;
    OK(qv__collection_optimize(m->c, 1, &f->err));
    check_all(m);
    struct qv__collection_info info;
    OK(qv__collection_info(m->c, &info, &f->err));
    assert_in_range(info.n_sealed, 0, shards);
    qv__collection_release(m->c);
    fix_close(f);
    test_free(m);
}

/* MODEL_STEPS=N makes every run N steps long: the long mode. */
static unsigned steps_of(unsigned steps)
{
    const char *more = getenv("MODEL_STEPS");
    return more ? (unsigned)strtoul(more, NULL, 10) : steps;
}

static void test_model_one_shard(void **state)
{
    (void)state;
    run(1, 1, 2, steps_of(400));
}

static void test_model_three_shards(void **state)
{
    (void)state;
    run(2, 3, 2, steps_of(400));
}

static void test_model_stepped(void **state)
{
    (void)state;
    run(3, 1, -1, steps_of(300));
    run(4, 3, -1, steps_of(300));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_one_shard),
        cmocka_unit_test(test_model_three_shards),
        cmocka_unit_test(test_model_stepped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
