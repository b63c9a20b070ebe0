/* test_varying.c: sparse vectors and multivectors through the life of a collection.
 *
 * A brute-force picture of the points is kept beside the database: random upserts, updates and
 * deletions of vectors and points, while segments grow past several runs of an inverted index, are
 * sealed, merged, closed and opened again. After each step nearest queries, exact and not, with
 * and without a filter, give what comparing every point gives. */
#include "base/varvec.h"
#include "engine_fixture.h"

enum { DIM = 4, POINTS = 6000, TERMS = 400, NNZ = 12, ROWS = 4 };

struct picture {
    bool exists, has_sparse, has_multi;
    uint32_t n, rows;
    uint32_t index[NNZ];
    float value[NNZ], row[ROWS * DIM];
};

static struct picture *all;
static struct qv__rng rng;

static float weight(void)
{
    return (float)((int)qv__rng_below(&rng, 41) - 12) / 8.0f;
}

static void draw_sparse(struct picture *p)
{
    p->has_sparse = true;
    p->n = 0;
    for (uint32_t k = 0; k < qv__rng_below(&rng, NNZ + 1); k++) {
        uint32_t t = (uint32_t)qv__rng_below(&rng, 1 + qv__rng_below(&rng, TERMS)), i = 0;
        while (i < p->n && p->index[i] != t) {
            i++;
        }
        if (i == p->n) {
            p->index[p->n] = t;
            p->value[p->n++] = weight();
        }
    }
}

static void draw_multi(struct picture *p)
{
    p->has_multi = true;
    p->rows = 1 + (uint32_t)qv__rng_below(&rng, ROWS);
    for (uint32_t i = 0; i < p->rows * DIM; i++) {
        p->row[i] = weight();
    }
}

static uint32_t vectors_of(const struct picture *p, struct qv__named_vector out[2])
{
    uint32_t n = 0;
    if (p->has_sparse) {
        out[n++] = (struct qv__named_vector){.name = QV__STR("s"),
                                             .kind = QV__VEC_SPARSE,
                                             .values = p->value,
                                             .indices = p->index,
                                             .dim = p->n};
    }
    if (p->has_multi) {
        out[n++] = (struct qv__named_vector){.name = QV__STR("m"),
                                             .kind = QV__VEC_MULTI,
                                             .values = p->row,
                                             .dim = DIM,
                                             .n_rows = p->rows};
    }
    return n;
}

static struct qv__collection *create(struct fix *f, uint32_t shards)
{
    struct qv__vector_def defs[2] = {
        {.name = QV__STR("s"), .kind = QV__VEC_SPARSE, .metric = QV__DOT},
        {.name = QV__STR("m"), .kind = QV__VEC_MULTI, .metric = QV__L2, .dim = DIM}};
    struct qv__schema s = fix_schema(defs, 2, shards);
    OK(qv__db_create_collection(f->db, QV__STR("c"), &s, &f->err));
    return fix_collection(f, "c");
}

static void put(struct fix *f, struct qv__collection *c, uint32_t from, uint32_t to)
{
    enum { BATCH = 500 };
    static struct qv__point points[BATCH];
    static struct qv__named_vector vectors[BATCH][2];
    static uint8_t even[64], odd[64];
    struct qv__arena a;
    qv__arena_init(&a, f->mem);
    struct qv__bytes pe = fix_payload(f, &a, "{\"even\":true}"),
                     po = fix_payload(f, &a, "{\"even\":false}");
    memcpy(even, pe.p, pe.n);
    memcpy(odd, po.p, po.n);
    for (uint32_t at = from; at < to; at += BATCH) {
        uint32_t n = QV_MIN(to - at, (uint32_t)BATCH);
        for (uint32_t i = 0; i < n; i++) {
            struct picture *p = &all[at + i];
            p->exists = true;
            p->has_sparse = p->has_multi = false;
            if (qv__rng_below(&rng, 20)) {
                draw_sparse(p);
            }
            if (qv__rng_below(&rng, 4) == 0) {
                draw_multi(p);
            }
            bool is_even = (at + i) % 2 == 0;
            points[i] =
                (struct qv__point){.id = qv__id_u64(at + i),
                                   .vectors = vectors[i],
                                   .n_vectors = vectors_of(p, vectors[i]),
                                   .payload = {is_even ? even : odd, is_even ? pe.n : po.n}};
        }
        struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = points, .n_points = n};
        fix_write(f, c, &m, 1);
    }
    qv__arena_free(&a);
}

static void change(struct fix *f, struct qv__collection *c, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t id = (uint32_t)qv__rng_below(&rng, POINTS);
        struct picture *p = &all[id];
        struct qv__id qid = qv__id_u64(id);
        struct qv__str name = QV__STR("s");
        struct qv__named_vector v[2];
        struct qv__point point = {.id = qid, .vectors = v};
        struct qv__mutation m = {.ids = &qid, .n_ids = 1};
        if (!p->exists) {
            continue;
        }
        switch (qv__rng_below(&rng, 3)) {
        case 0:
            m.kind = QV__MUT_DELETE;
            p->exists = false;
            break;
        case 1:
            m.kind = QV__MUT_DELETE_VECTORS;
            m.vector_names = &name;
            m.n_vector_names = 1;
            p->has_sparse = false;
            break;
        default:
            m = (struct qv__mutation){
                .kind = QV__MUT_UPDATE_VECTORS, .points = &point, .n_points = 1};
            draw_sparse(p);
            draw_multi(p);
            point.n_vectors = vectors_of(p, v);
            break;
        }
        fix_write(f, c, &m, 1);
    }
}

/* --- what is expected --- */

static bool score_of(const struct picture *p, bool sparse, const struct picture *q, float *score)
{
    bool overlap = false;
    *score = 0;
    if (!p->exists || !(sparse ? p->has_sparse : p->has_multi)) {
        return false;
    }
    for (uint32_t i = 0; sparse && i < q->n; i++) {
        for (uint32_t k = 0; k < p->n; k++) {
            if (q->index[i] == p->index[k]) {
                *score += q->value[i] * p->value[k];
                overlap = true;
            }
        }
    }
    for (uint32_t i = 0; !sparse && i < q->rows; i++) {
        float best = INFINITY;
        for (uint32_t k = 0; k < p->rows; k++) {
            float sum = 0;
            for (uint32_t d = 0; d < DIM; d++) {
                float x = q->row[i * DIM + d] - p->row[k * DIM + d];
                sum += x * x;
            }
            best = QV_MIN(best, sum);
        }
        *score += best;
    }
    *score = sparse ? *score : sqrtf(*score);
    return !sparse || overlap;
}

static int larger_first(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x > y ? -1 : x < y;
}

static void compare(struct fix *f, struct qv__collection *c, bool sparse, bool exact,
                    const struct qv__filter *even)
{
    static float want[POINTS];
    struct picture q = {0};
    struct qv__qctx ctx = fix_ctx(f);
    struct qv__result_set rs = {0};
    size_t n = 0;
    draw_sparse(&q);
    draw_multi(&q);
    struct qv__query query = {.kind = QV__QUERY_NEAREST,
                              .using_vector = sparse ? QV__STR("s") : QV__STR("m"),
                              .limit = 1 + qv__rng_below(&rng, 40),
                              .filter = even,
                              .params = {.exact = exact}};
    query.target = sparse
                       ? (struct qv__vector_input){.kind = QV__VEC_SPARSE,
                                                   .values = q.value,
                                                   .indices = q.index,
                                                   .dim = q.n}
                       : (struct qv__vector_input){
                             .kind = QV__VEC_MULTI, .values = q.row, .dim = DIM, .n_rows = q.rows};
    for (uint32_t id = 0; id < POINTS; id++) {
        float score;
        if ((!even || id % 2 == 0) && score_of(&all[id], sparse, &q, &score)) {
            want[n++] = sparse ? score : -score;
        }
    }
    qsort(want, n, sizeof *want, larger_first);
    OK(qv__collection_query(c, &query, NULL, &ctx, &rs, &f->err));
    assert_int_equal(rs.n, QV_MIN(n, (size_t)query.limit));
    for (size_t i = 0; i < rs.n; i++) {
        float own, score = rs.points[i].score;
        assert_true(score_of(&all[rs.points[i].id.u], sparse, &q, &own));
        assert_float_equal(own, score, 1e-3);
        assert_float_equal(want[i], sparse ? score : -score, 1e-3);
    }
    qv__result_free(&rs);
}

/* Stored vectors come back as they were given, sparse ones in the order of their indices. */
static void read_back(struct fix *f, struct qv__collection *c)
{
    struct qv__fetch fetch = {.vectors = QV__VECTORS_ALL};
    struct qv__qctx ctx = fix_ctx(f);
    for (uint32_t k = 0; k < 50; k++) {
        struct qv__result_set rs = {0};
        struct qv__id id = qv__id_u64(qv__rng_below(&rng, POINTS));
        const struct picture *p = &all[id.u];
        OK(qv__collection_get(c, &id, 1, &fetch, &ctx, &rs, &f->err));
        assert_int_equal(rs.n, p->exists);
        if (rs.n) {
            const void *s = rs.points[0].vectors[0], *m = rs.points[0].vectors[1];
            assert_int_equal(s != NULL, p->has_sparse);
            assert_int_equal(m != NULL, p->has_multi);
            if (m) {
                assert_int_equal(qv__varvec_count(m), p->rows);
                assert_memory_equal(qv__multi_rows(m), p->row, p->rows * DIM * sizeof(float));
            }
            if (s) {
                assert_int_equal(qv__varvec_count(s), p->n);
                assert_true(qv__sparse_valid(s, qv__sparse_bytes(p->n)));
            }
        }
        qv__result_free(&rs);
    }
}

static void compare_all(struct fix *f, struct qv__collection *c)
{
    struct qv__arena a;
    qv__arena_init(&a, f->mem);
    const struct qv__filter *even =
        fix_filter(f, &a, "{\"must\":[{\"key\":\"even\",\"match\":{\"value\":true}}]}");
    for (unsigned i = 0; i < 16; i++) {
        compare(f, c, i % 4 != 3, i % 8 > 5, i % 2 ? even : NULL);
    }
    qv__arena_free(&a);
    read_back(f, c);
}

static void lived(int threads, uint32_t shards)
{
    struct fix fix, *f = &fix;
    qv__rng_seed(&rng, 3 + shards);
    all = calloc(POINTS, sizeof *all);
    fix_open(f, threads);
    struct qv__collection *c = create(f, shards);
    compare_all(f, c);
    put(f, c, 0, 100);
    compare_all(f, c);
    put(f, c, 100, POINTS - 500); /* past a run of the inverted index */
    OK(qv__collection_settle(c, 0, &f->err));
    compare_all(f, c);
    change(f, c, 300);
    compare_all(f, c);
    OK(qv__collection_optimize(c, 8, &f->err));
    compare_all(f, c);
    put(f, c, POINTS - 500, POINTS);
    change(f, c, 300);
    compare_all(f, c);
    qv__collection_release(c);
    fix_reopen(f); /* from the log and a file */
    c = fix_collection(f, "c");
    compare_all(f, c);
    OK(qv__collection_optimize(c, 1, &f->err)); /* merge: what is dead goes */
    compare_all(f, c);
    change(f, c, 50);
    qv__collection_release(c);
    fix_crash(f, QV__CRASH_DROP_ALL, &rng);
    c = fix_collection(f, "c");
    compare_all(f, c);
    qv__collection_release(c);
    fix_close(f);
    free(all);
}

static void one_shard(void **state)
{
    (void)state;
    lived(0, 1);
}

static void three_shards_and_threads(void **state)
{
    (void)state;
    lived(2, 3);
}

static void refused(void **state)
{
    static const float v[8] = {1, 2, 3, 4, 5, 6, 7, NAN};
    static const uint32_t index[8] = {7, 6, 5, 4, 3, 2, 1, 0};
    struct fix fix, *f = &fix;
    (void)state;
    fix_open(f, 0);
    struct qv__collection *c = create(f, 1);
    const struct {
        struct qv__named_vector v;
        const char *text;
    } bad[] = {
        {{.name = QV__STR("s"), .values = v, .dim = 4}, "is a sparse vector, not a dense vector"},
        {{.name = QV__STR("m"), .kind = QV__VEC_SPARSE, .values = v, .indices = index, .dim = 2},
         "is a multivector, not a sparse vector"},
        {{.name = QV__STR("s"), .kind = QV__VEC_SPARSE, .values = v, .indices = index, .dim = 8},
         "finite"},
        {{.name = QV__STR("m"), .kind = QV__VEC_MULTI, .values = v, .dim = 3, .n_rows = 2},
         "expected dim: 4, got 3"},
        {{.name = QV__STR("m"), .kind = QV__VEC_MULTI, .values = v, .dim = 4, .n_rows = 2},
         "finite"},
        {{.name = QV__STR("m"), .kind = QV__VEC_MULTI, .values = v, .dim = 4, .n_rows = 0},
         "must not be empty"},
        {{.name = QV__STR("s"),
          .kind = QV__VEC_SPARSE,
          .values = v,
          .indices = index,
          .dim = QV__SPARSE_MAX + 1},
         "elements are more than"},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        struct qv__point p = {.id = qv__id_u64(1), .vectors = &bad[i].v, .n_vectors = 1};
        struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = &p, .n_points = 1};
        struct qv__write_result r;
        assert_int_equal(qv__collection_write_sync(c, &m, 1, &r, &f->err), QV_EINVAL);
        assert_non_null(strstr(f->err.message, bad[i].text));
    }
    qv__collection_release(c);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_shard),
                                       cmocka_unit_test(three_shards_and_threads),
                                       cmocka_unit_test(refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
