/* test_embedded.c: the typed interface through the public header alone: what it does, what it
 * refuses. */
#include <math.h>
#include <pthread.h>

#include "test_embedded.h"

static struct qv_id id_string(const char *z)
{
    struct qv_id id = {.kind = QV_ID_STRING};
    id.as.string.text = z;
    id.as.string.length = strlen(z);
    return id;
}

static struct qv_id id_i64(int64_t n)
{
    struct qv_id id = {.kind = QV_ID_I64};
    id.as.i64 = n;
    return id;
}

static void test_version(void **state)
{
    (void)state;
    assert_string_equal(qv_version(), QV_VERSION);
}

/* Relaxed writes are seen at once, and a sync makes them last. */
static void test_durability(void **state)
{
    struct rest *t = *state;
    uint64_t n = 0;
    struct qv_collection_config relaxed = plain;
    relaxed.durability = QV_RELAXED;
    relaxed.window_ms = 1000;
    OK(qv_create_collection(t->db, "r", &relaxed, e_));
    const struct qv_point p[3] = {{.id = qv_id_u64(1)}, {.id = qv_id_u64(2)}, {.id = qv_id_u64(3)}};
    OK(qv_upsert(t->db, "r", &p[0], 1, e_));
    OK(qv_upsert_as(t->db, "r", &p[1], 1, QV_FSYNC, e_));
    OK(qv_upsert_as(t->db, "r", &p[2], 1, QV_RELAXED, e_));
    OK(qv_count(t->db, "r", NULL, &n, e_));
    assert_int_equal(n, 3);
    OK(qv_sync(t->db, e_));
    REFUSED(QV_EINVAL, "durability: 3 is none",
            qv_upsert_as(t->db, "r", p, 1, (enum qv_durability)3, e_));
    REFUSED(QV_EINVAL, "db", qv_sync(NULL, e_));
    relaxed.window_ms = 60001;
    REFUSED(QV_EVALIDATION, "window_ms: value 60001 invalid, must be from 1 to 60000",
            qv_create_collection(t->db, "s", &relaxed, e_));
}

static void test_life(void **state)
{
    struct rest *t = *state;
    OK(qv_create_collection(t->db, "c", &plain, e_));
    const float a[2] = {1, 0}, b[2] = {0, 1};
    struct qv_id uuid = {.kind = QV_ID_UUID};
    memset(uuid.as.uuid, 0xAB, 16);
    struct qv_vector va = {.values = a, .size = 2}, vb = {.values = b, .size = 2};
    struct qv_point points[5] = {
        {.id = qv_id_u64(7), .vectors = &va, .n_vectors = 1, .payload = "{\"n\": 1, \"s\": \"x\"}"},
        {.id = id_i64(-7), .vectors = &vb, .n_vectors = 1, .payload = "{\"n\": 2}"},
        {.id = uuid, .vectors = &va, .n_vectors = 1},
        {.id = id_string("key \xC3\xA9"), .vectors = &vb, .n_vectors = 1, .payload = "{}"},
        {.id = id_i64(7)},
    };
    OK(qv_upsert(t->db, "c", points, 5, e_));
    OK(qv_upsert(t->db, "c", NULL, 0, e_));
    uint64_t n = 0;
    OK(qv_count(t->db, "c", NULL, &n, e_));
    assert_int_equal(n, 5);
    for (int round = 0; round < 2; round++) {
        qv_result *r = NULL;
        struct qv_id ids[4] = {id_string("key \xC3\xA9"), qv_id_u64(1), id_i64(-7), id_i64(7)};
        OK(qv_get(t->db, "c", ids, 4, true, true, &r, e_));
        assert_int_equal(qv_result_count(r), 3);
        const struct qv_hit *h = qv_result_hit(r, 0);
        assert_int_equal(h->id.kind, QV_ID_STRING);
        assert_int_equal(h->id.as.string.length, 6);
        assert_memory_equal(h->id.as.string.text, "key \xC3\xA9", 6);
        assert_string_equal(h->payload, "{}");
        assert_int_equal(h->n_vectors, 1);
        assert_string_equal(h->vectors[0].name, "");
        assert_int_equal(h->vectors[0].size, 2);
        assert_true(h->vectors[0].values[1] == 1.0f);
        assert_true(h->version > 0);
        h = qv_result_hit(r, 1);
        assert_true(h->id.kind == QV_ID_I64 && h->id.as.i64 == -7);
        assert_string_equal(h->payload, "{\"n\":2}");
        h = qv_result_hit(r, 2);
        assert_true(h->id.kind == QV_ID_I64 && h->id.as.i64 == 7);
        assert_int_equal(h->n_vectors, 0);
        assert_null(qv_result_hit(r, 3));
        qv_result_free(r);
        OK(qv_get(t->db, "c", ids, 1, false, false, &r, e_));
        h = qv_result_hit(r, 0);
        assert_null(h->payload);
        assert_null(h->vectors);
        qv_result_free(r);
        const struct qv_id again[4] = {ids[2], ids[0], ids[2], ids[0]};
        OK(qv_get(t->db, "c", again, 4, false, false, &r, e_));
        assert_int_equal(qv_result_count(r), 2);
        assert_int_equal(qv_result_hit(r, 1)->id.kind, ids[0].kind);
        qv_result_free(r);
        OK(qv_get(t->db, "c", NULL, 0, false, false, &r, e_));
        assert_int_equal(qv_result_count(r), 0);
        qv_result_free(r);
        rest_reopen(t);
    }
    struct qv_id gone[2] = {qv_id_u64(7), qv_id_u64(8)};
    OK(qv_delete(t->db, "c", gone, 2, e_));
    OK(qv_delete_where(t->db, "c", "{\"must\":[{\"key\":\"n\",\"match\":{\"value\":2}}]}", &n, e_));
    assert_int_equal(n, 1);
    OK(qv_delete_where(t->db, "c", "{\"must\":[{\"key\":\"n\",\"match\":{\"value\":2}}]}", NULL,
                       e_));
    OK(qv_count(t->db, "c", "{\"must_not\":[{\"is_empty\":{\"key\":\"n\"}}]}", &n, e_));
    assert_int_equal(n, 0);
    OK(qv_count(t->db, "c", "{}", &n, e_));
    assert_int_equal(n, 3);
    OK(qv_drop_collection(t->db, "c", e_));
    REFUSED(QV_ENOTFOUND, "Collection `c` doesn't exist!", qv_drop_collection(t->db, "c", e_));
}

static void test_search(void **state)
{
    struct rest *t = *state;
    enum { N = 3000, DIM = 8 };
    const struct qv_vector_config vectors[2] = {
        {.name = "a", .size = DIM, .metric = QV_EUCLID, .m = 8, .ef_construct = 64},
        {.name = "b", .size = 1, .metric = QV_MANHATTAN}};
    const struct qv_collection_config config = {
        .vectors = vectors, .n_vectors = 2, .shards = 3, .seal_rows = 512};
    OK(qv_create_collection(t->db, "c", &config, e_));
    static float values[N][DIM];
    static struct qv_vector v[N];
    static struct qv_point points[N];
    uint64_t x = 1234567; /* the seed */
    for (unsigned i = 0; i < N; i++) {
        for (unsigned k = 0; k < DIM; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            values[i][k] = (float)(x % 1000) / 1000.0f;
        }
        v[i] = (struct qv_vector){.name = "a", .values = values[i], .size = DIM};
        points[i] = (struct qv_point){.id = qv_id_u64(i),
                                      .vectors = &v[i],
                                      .n_vectors = 1,
                                      .payload = i % 2 ? "{\"odd\":true}" : "{\"odd\":false}"};
    }
    OK(qv_upsert(t->db, "c", points, N, e_));
    for (int round = 0; round < 2; round++) {
        for (unsigned q = 0; q < 20; q++) {
            struct qv_search s = {.using_vector = "a",
                                  .vector = values[q * 100],
                                  .size = DIM,
                                  .limit = 5,
                                  .offset = 2,
                                  .exact = true,
                                  .filter_json =
                                      "{\"must\":[{\"key\":\"odd\",\"match\":{\"value\":false}}]}",
                                  .with_payload = true,
                                  .timeout_ms = 60000};
            qv_result *r = NULL;
            OK(qv_search(t->db, "c", &s, &r, e_));
            assert_int_equal(qv_result_count(r), 5);
            /* against the obvious way */
            unsigned nearer[5] = {0};
            for (size_t k = 0; k < 5; k++) {
                const struct qv_hit *h = qv_result_hit(r, k);
                assert_int_equal(h->id.as.u64 % 2, 0);
                assert_string_equal(h->payload, "{\"odd\":false}");
                double d = 0;
                for (unsigned j = 0; j < DIM; j++) {
                    d += pow(values[h->id.as.u64][j] - s.vector[j], 2);
                }
                assert_true(fabs(sqrt(d) - (double)h->score) < 1e-4);
                for (unsigned i = 0; i < N; i += 2) {
                    double e = 0;
                    for (unsigned j = 0; j < DIM; j++) {
                        e += pow(values[i][j] - s.vector[j], 2);
                    }
                    nearer[k] += sqrt(e) < sqrt(d) - 1e-6;
                }
                assert_in_range(nearer[k], k, k + 2);
            }
            qv_result_free(r);
            s.exact = false;
            s.filter_json = NULL;
            s.offset = 0;
            s.limit = 1;
            s.ef = 200;
            s.with_vectors = true;
            OK(qv_search(t->db, "c", &s, &r, e_));
            const struct qv_hit *h = qv_result_hit(r, 0);
            assert_int_equal(h->id.as.u64, q * 100);
            assert_true(h->score == 0.0f && !signbit(h->score));
            assert_string_equal(h->vectors[0].name, "a");
            assert_memory_equal(h->vectors[0].values, s.vector, sizeof values[0]);
            qv_result_free(r);
        }
        OK(qv_optimize(t->db, "c", e_));
    }
}

static void test_open_refused(void **state)
{
    struct rest *t = *state;
    qv_db *db = NULL;
    struct qv_options o = qvt_options();
    REFUSED(QV_ELOCKED, "", qv_open(t->dir, NULL, &db, e_));
    REFUSED(QV_EINVAL, "path: must not be NULL", qv_open(NULL, NULL, &db, e_));
    REFUSED(QV_EINVAL, "path: must not be empty", qv_open("", NULL, &db, e_));
    REFUSED(QV_EINVAL, "db: must not be NULL", qv_open(t->dir, NULL, NULL, e_));
    o.threads = -1;
    REFUSED(QV_EINVAL, "options.threads: -1", qv_open(t->dir, &o, &db, e_));
    o.threads = 5000;
    REFUSED(QV_EINVAL, "options.threads: 5000", qv_open(t->dir, &o, &db, e_));
    o = (struct qv_options){.size = 4};
    REFUSED(QV_EINVAL, "options.size: 4", qv_open(t->dir, &o, &db, e_));
    o = (struct qv_options)QV_OPTIONS_INIT;
    o.memory_bytes = 100;
    REFUSED(QV_ENOMEM, "", qv_open(t->dir, &o, &db, e_));
    assert_null(db);
    assert_int_equal(qv_close(NULL, NULL), QV_OK);
}

static void count_lines(void *ctx, int level, const char *component, const char *message)
{
    assert_in_range(level, 0, 3);
    assert_non_null(component);
    assert_non_null(message);
    __atomic_fetch_add((int *)ctx, 1, __ATOMIC_RELAXED);
}

static void test_read_only_and_log(void **state)
{
    struct rest *t = *state;
    struct qv_err err;
    int lines = 0;
    OK(qv_create_collection(t->db, "c", &plain, e_));
    OK(qv_upsert(t->db, "c", &(struct qv_point){.id = qv_id_u64(1)}, 1, e_));
    assert_int_equal(qv_close(t->db, &err), QV_OK);
    struct qv_options o = qvt_options();
    o.read_only = true;
    o.log = count_lines;
    o.log_ctx = &lines;
    assert_int_equal(qv_open(t->dir, &o, &t->db, &err), QV_OK);
    assert_true(lines > 0);
    REFUSED(QV_EREADONLY, "", qv_upsert(t->db, "c", &(struct qv_point){.id = qv_id_u64(2)}, 1, e_));
    REFUSED(QV_EREADONLY, "", qv_delete(t->db, "c", &(struct qv_id){.kind = QV_ID_U64}, 1, e_));
    REFUSED(QV_EREADONLY, "", qv_create_collection(t->db, "d", &plain, e_));
    REFUSED(QV_EREADONLY, "", qv_drop_collection(t->db, "c", e_));
    bad(t, "PUT", "/collections/c/points", "{\"points\":[{\"id\":3,\"vector\":[1,2]}]}", 503,
        "Service unavailable: the database is open read-only");
    uint64_t n = 0;
    OK(qv_count(t->db, "c", NULL, &n, e_));
    assert_int_equal(n, 1);
}

static void test_collections_refused(void **state)
{
    struct rest *t = *state;
    qv_db *none = NULL;
    struct qv_vector_config v = two;
    struct qv_collection_config c = {.vectors = &v, .n_vectors = 1};
    OK(qv_create_collection(t->db, "c", &plain, e_));
    REFUSED(QV_EEXISTS, "already exists", qv_create_collection(t->db, "c", &plain, e_));
    REFUSED(QV_EINVAL, "db: must not be NULL", qv_create_collection(none, "d", &plain, e_));
    REFUSED(QV_EINVAL, "name: must not be NULL", qv_create_collection(t->db, NULL, &plain, e_));
    REFUSED(QV_EINVAL, "config: must not be NULL", qv_create_collection(t->db, "d", NULL, e_));
    REFUSED(QV_EVALIDATION, "must not be empty", qv_create_collection(t->db, "", &plain, e_));
    REFUSED(QV_EVALIDATION, "character `/`", qv_create_collection(t->db, "a/b", &plain, e_));
    REFUSED(QV_EVALIDATION, "not UTF-8", qv_create_collection(t->db, "\xff", &plain, e_));
    v.size = 0;
    REFUSED(QV_EVALIDATION, "size", qv_create_collection(t->db, "d", &c, e_));
    v.size = 65537;
    REFUSED(QV_EVALIDATION, "65537", qv_create_collection(t->db, "d", &c, e_));
    v = two;
    v.metric = (enum qv_metric)9;
    REFUSED(QV_EINVAL, "config.vectors[0].metric: 9", qv_create_collection(t->db, "d", &c, e_));
    v = two;
    v.m = 1;
    REFUSED(QV_EVALIDATION, "m", qv_create_collection(t->db, "d", &c, e_));
    v = two;
    v.ef_construct = 70000;
    REFUSED(QV_EVALIDATION, "70000", qv_create_collection(t->db, "d", &c, e_));
    v = two;
    c.vectors = NULL;
    REFUSED(QV_EINVAL, "config.vectors: must not be NULL",
            qv_create_collection(t->db, "d", &c, e_));
    c = (struct qv_collection_config){.vectors = &v, .n_vectors = 17};
    REFUSED(QV_EVALIDATION, "config.n_vectors: 17", qv_create_collection(t->db, "d", &c, e_));
    const struct qv_vector_config same[2] = {two, two};
    c = (struct qv_collection_config){.vectors = same, .n_vectors = 2};
    REFUSED(QV_EINVAL, "given twice", qv_create_collection(t->db, "d", &c, e_));
    c = (struct qv_collection_config){.shards = 257};
    REFUSED(QV_EVALIDATION, "257", qv_create_collection(t->db, "d", &c, e_));
    c = (struct qv_collection_config){.seal_rows = 3};
    REFUSED(QV_EVALIDATION, "seal_rows", qv_create_collection(t->db, "d", &c, e_));
    REFUSED(QV_EINVAL, "name: must not be NULL", qv_drop_collection(t->db, NULL, e_));
    REFUSED(QV_EINVAL, "collection: must not be NULL", qv_optimize(t->db, NULL, e_));
    REFUSED(QV_ENOTFOUND, "`x`", qv_optimize(t->db, "x", e_));
    good(t, "GET", "/collections", NULL, "{\"collections\":[{\"name\":\"c\"}]}");
}

static void test_writes_refused(void **state)
{
    struct rest *t = *state;
    const float values[3] = {1, 2, 3};
    float wrong[2] = {1, NAN};
    char long_id[256];
    memset(long_id, 'a', sizeof long_id);
    OK(qv_create_collection(t->db, "c", &plain, e_));
    struct qv_vector v[2] = {{.values = values, .size = 2}, {.values = values, .size = 2}};
    struct qv_point p[2] = {{.id = qv_id_u64(1), .vectors = v, .n_vectors = 1},
                            {.id = qv_id_u64(2), .vectors = v, .n_vectors = 1}};
#define UPSERT(code, text) REFUSED(code, text, qv_upsert(t->db, "c", p, 2, e_))
    REFUSED(QV_EINVAL, "points: must not be NULL", qv_upsert(t->db, "c", NULL, 2, e_));
    REFUSED(QV_EINVAL, "collection: must not be NULL", qv_upsert(t->db, NULL, p, 2, e_));
    REFUSED(QV_EINVAL, "db: must not be NULL", qv_upsert(NULL, "c", p, 2, e_));
    REFUSED(QV_ENOTFOUND, "`x`", qv_upsert(t->db, "x", p, 2, e_));
    p[1].vectors = NULL;
    UPSERT(QV_EINVAL, "points[1].vectors: must not be NULL");
    p[1].vectors = v;
    p[1].n_vectors = 17;
    UPSERT(QV_EINVAL, "points[1].n_vectors: 17");
    p[1].n_vectors = 2;
    UPSERT(QV_EINVAL, "points[1]");
    p[1].n_vectors = 1;
    p[1].vectors = &(struct qv_vector){.values = values, .size = 3};
    UPSERT(QV_EINVAL, "expected dim: 2, got 3 (points[1]");
    p[1].vectors = &(struct qv_vector){.values = NULL, .size = 2};
    UPSERT(QV_EINVAL, "points[1].vectors[0].values: must not be NULL");
    p[1].vectors = &(struct qv_vector){.name = "none", .values = values, .size = 2};
    UPSERT(QV_EINVAL, "Not existing vector name error: none (points[1])");
    p[1].vectors = &(struct qv_vector){.values = wrong, .size = 2};
    UPSERT(QV_EINVAL, "points[1]");
    wrong[1] = INFINITY;
    UPSERT(QV_EINVAL, "points[1]");
    wrong[1] = 3e38f; /* finite, but its square is not */
    UPSERT(QV_EINVAL, "points[1]");
    p[1].vectors = v;
    static const char *const payloads[] = {
        "", "[]", "null", "{", "{\"a\":}", "{\"a\":NaN}", "{\"a\":\"\xff\"}", "{}x", "7"};
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        p[1].payload = payloads[i];
        UPSERT(QV_EINVAL, "points[1].payload: ");
    }
    p[1].payload = NULL;
    p[1].id.kind = (enum qv_id_kind)4;
    UPSERT(QV_EINVAL, "points[1].id.kind: 4");
    p[1].id = id_string("");
    UPSERT(QV_EINVAL, "points[1].id.as.string.length: 0");
    p[1].id = id_string("x");
    p[1].id.as.string.text = NULL;
    UPSERT(QV_EINVAL, "points[1].id.as.string.text: must not be NULL");
    p[1].id.as.string.text = long_id;
    p[1].id.as.string.length = 256;
    UPSERT(QV_EINVAL, "points[1].id.as.string.length: 256");
    p[1].id = id_string("\xff");
    UPSERT(QV_EINVAL, "points[1].id.as.string.text: not UTF-8");
    REFUSED(QV_EINVAL, "ids: must not be NULL", qv_delete(t->db, "c", NULL, 1, e_));
    REFUSED(QV_EINVAL, "ids[0].id.kind",
            qv_delete(t->db, "c", &(struct qv_id){.kind = (enum qv_id_kind)7}, 1, e_));
    uint64_t n = 99;
    REFUSED(QV_EINVAL, "filter_json: must not be NULL", qv_delete_where(t->db, "c", NULL, &n, e_));
    REFUSED(QV_EINVAL, "filter_json: must be an object",
            qv_delete_where(t->db, "c", "null", &n, e_));
    REFUSED(QV_EINVAL, "filter_json: line 1", qv_delete_where(t->db, "c", "{", &n, e_));
    REFUSED(QV_EINVAL, "unknown key \"musst\"",
            qv_delete_where(t->db, "c", "{\"musst\":[]}", &n, e_));
    assert_int_equal(n, 99);
    OK(qv_count(t->db, "c", NULL, &n, e_));
    assert_int_equal(n, 0); /* nothing of any of them */
    p[1].id = id_string("x");
    OK(qv_upsert(t->db, "c", p, 2, e_));
}

static void test_reads_refused(void **state)
{
    struct rest *t = *state;
    const float values[2] = {1, 2};
    qv_result *r = NULL;
    uint64_t n = 0;
    OK(qv_create_collection(t->db, "c", &plain, e_));
    struct qv_search s = {.vector = values, .size = 2, .limit = 1};
#define SEARCH(code, text) REFUSED(code, text, qv_search(t->db, "c", &s, &r, e_))
    REFUSED(QV_EINVAL, "query: must not be NULL", qv_search(t->db, "c", NULL, &r, e_));
    REFUSED(QV_EINVAL, "result: must not be NULL", qv_search(t->db, "c", &s, NULL, e_));
    REFUSED(QV_EINVAL, "db: must not be NULL", qv_search(NULL, "c", &s, &r, e_));
    REFUSED(QV_EINVAL, "collection: must not be NULL", qv_search(t->db, NULL, &s, &r, e_));
    REFUSED(QV_ENOTFOUND, "`x`", qv_search(t->db, "x", &s, &r, e_));
    s.vector = NULL;
    SEARCH(QV_EINVAL, "query.vector: must not be NULL");
    s.vector = values;
    s.size = 0;
    SEARCH(QV_EINVAL, "query.size: 0");
    s.size = 70000;
    SEARCH(QV_EINVAL, "query.size: 70000");
    s.size = 1;
    SEARCH(QV_EINVAL, "expected dim: 2, got 1");
    s.size = 2;
    s.limit = 0;
    SEARCH(QV_EVALIDATION, "query.limit: 0");
    s.limit = 1000001;
    SEARCH(QV_EVALIDATION, "query.limit: 1000001");
    s.limit = 10;
    s.offset = 999991;
    SEARCH(QV_EVALIDATION, "query.offset: 999991");
    s.offset = UINT64_MAX;
    SEARCH(QV_EVALIDATION, "query.offset: 18446744073709551615");
    s.offset = 0;
    s.using_vector = "none";
    SEARCH(QV_EINVAL, "Not existing vector name error: none");
    s.using_vector = NULL;
    s.filter_json = "[]";
    SEARCH(QV_EINVAL, "filter_json: must be an object");
    s.filter_json = "{\"must\":{\"key\":\"a\",\"match\":{}}}";
    SEARCH(QV_EINVAL, "filter.must");
    const float nan[2] = {NAN, 0};
    s.filter_json = NULL;
    s.vector = nan;
    SEARCH(QV_EINVAL, "finite");
    s.vector = values;
    s.ef = 2000000;
    SEARCH(QV_EVALIDATION, "2000000");
    assert_null(r);
    REFUSED(QV_EINVAL, "ids: must not be NULL", qv_get(t->db, "c", NULL, 1, false, false, &r, e_));
    REFUSED(QV_EINVAL, "result: must not be NULL",
            qv_get(t->db, "c", NULL, 0, false, false, NULL, e_));
    REFUSED(QV_EINVAL, "count: must not be NULL", qv_count(t->db, "c", NULL, NULL, e_));
    REFUSED(QV_EINVAL, "filter_json", qv_count(t->db, "c", "", &n, e_));
    assert_int_equal(qv_result_count(NULL), 0);
    assert_null(qv_result_hit(NULL, 0));
    qv_result_free(NULL);
}

static void test_request_refused(void **state)
{
    struct rest *t = *state;
    struct qv_response r;
    memset(&r, 0, sizeof r);
    REFUSED(QV_EINVAL, "db: must not be NULL", qv_request(NULL, "GET", "/", NULL, 0, &r, e_));
    REFUSED(QV_EINVAL, "method: must not be NULL", qv_request(t->db, NULL, "/", NULL, 0, &r, e_));
    REFUSED(QV_EINVAL, "path: must not be NULL", qv_request(t->db, "GET", NULL, NULL, 0, &r, e_));
    REFUSED(QV_EINVAL, "body: must not be NULL", qv_request(t->db, "GET", "/", NULL, 1, &r, e_));
    REFUSED(QV_EINVAL, "response: must not be NULL",
            qv_request(t->db, "GET", "/", NULL, 0, NULL, e_));
    REFUSED(QV_EINVAL, "method: \"get\"", qv_request(t->db, "get", "/", NULL, 0, &r, e_));
    REFUSED(QV_EINVAL, "method: \"OPTIONS\"", qv_request(t->db, "OPTIONS", "/", NULL, 0, &r, e_));
    REFUSED(QV_EINVAL, "path: must begin with /",
            qv_request(t->db, "GET", "collections", NULL, 0, &r, e_));
    REFUSED(QV_EINVAL, "path: must begin with /", qv_request(t->db, "GET", "", NULL, 0, &r, e_));
    qv_response_free(&r);
    OK(qv_request(t->db, "GET", "/collections", NULL, 0, &r, e_));
    qv_response_free(&r);
    qv_response_free(&r);
    qv_response_free(NULL);
}

struct seen {
    unsigned n;
    char name[400], collection[300];
    uint64_t bytes;
};

static void see(void *arg, const struct qv_snapshot *s)
{
    struct seen *seen = arg;
    seen->n++;
    snprintf(seen->name, sizeof seen->name, "%s", s->name);
    snprintf(seen->collection, sizeof seen->collection, "%s", s->collection);
    seen->bytes = s->bytes;
}

static uint64_t count_of(struct rest *t, const char *collection)
{
    uint64_t n = UINT64_MAX;
    OK(qv_count(t->db, collection, NULL, &n, e_));
    return n;
}

/* Made, listed, saved, given back in place and from a file, restored into a directory, deleted. */
static void test_snapshots(void **state)
{
    struct rest *t = *state;
    struct seen made = {0}, whole = {0}, all = {0};
    char file[200], dir[200], text[600];
    static const float v[2] = {1, 2};
    const struct qv_vector nv = {.values = v, .size = 2};
    struct qv_point p[2] = {{.id = id_i64(1), .vectors = &nv, .n_vectors = 1},
                            {.id = id_i64(2), .vectors = &nv, .n_vectors = 1}};
    snprintf(file, sizeof file, "%s/../%s.snapshot", t->dir, strrchr(t->dir, '/') + 1);
    snprintf(dir, sizeof dir, "%s-restored", t->dir);
    OK(qv_create_collection(t->db, "c", &plain, e_));
    OK(qv_upsert(t->db, "c", p, 2, e_));
    OK(qv_snapshot_create(t->db, "c", see, &made, e_));
    assert_int_equal(made.n, 1);
    assert_string_equal(made.collection, "c");
    OK(qv_snapshot_create(t->db, NULL, see, &whole, e_));
    assert_string_equal(whole.collection, "");
    OK(qv_snapshot_list(t->db, see, &all, e_));
    assert_int_equal(all.n, 2);
    OK(qv_delete(t->db, "c", &p[0].id, 1, e_));
    OK(qv_snapshot_recover(t->db, "c", made.name, e_));
    assert_int_equal(count_of(t, "c"), 2);
    OK(qv_snapshot_save(t->db, made.name, file, e_));
    REFUSED(QV_EEXISTS, "", qv_snapshot_save(t->db, made.name, file, e_));
    OK(qv_snapshot_recover_file(t->db, "d", file, e_));
    assert_int_equal(count_of(t, "d"), 2);
    OK(qv_restore(file, dir, e_));
    REFUSED(QV_EEXISTS, "", qv_restore(file, dir, e_));
    qv_db *other = NULL;
    OK(qv_open(dir, NULL, &other, e_));
    uint64_t n = 0;
    OK(qv_count(other, "c", NULL, &n, e_));
    assert_int_equal(n, 2);
    OK(qv_close(other, e_));
    REFUSED(QV_EINVAL, "whole database", qv_snapshot_recover(t->db, "c", whole.name, e_));
    OK(qv_snapshot_delete(t->db, whole.name, e_));
    REFUSED(QV_ENOTFOUND, "", qv_snapshot_delete(t->db, whole.name, e_));
    REFUSED(QV_ENOTFOUND, "", qv_snapshot_create(t->db, "none", NULL, NULL, e_));
    REFUSED(QV_EINVAL, "collection", qv_snapshot_create(t->db, "", NULL, NULL, e_));
    REFUSED(QV_ENOTFOUND, "", qv_snapshot_recover_file(t->db, "d", "/nowhere/x", e_));
    REFUSED(QV_EINVAL, "each", qv_snapshot_list(t->db, NULL, NULL, e_));
    REFUSED(QV_EINVAL, "path", qv_snapshot_save(t->db, made.name, NULL, e_));
    REFUSED(QV_EINVAL, "not that of a file", qv_snapshot_save(t->db, made.name, "/tmp/", e_));
    snprintf(text, sizeof text, "rm -rf '%s' '%s'", file, dir);
    assert_int_equal(system(text), 0);
}

/* Many threads on one handle: typed calls and requests, reads and writes. */
struct worker {
    struct rest *t;
    unsigned number;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    char path[64], body[128];
    for (unsigned i = 0; i < 60; i++) {
        struct qv_err err;
        struct qv_response r;
        uint64_t id = w->number * 1000u + i;
        const float values[2] = {(float)w->number, (float)i};
        const struct qv_vector v = {.values = values, .size = 2};
        const struct qv_point p = {.id = qv_id_u64(id), .vectors = &v, .n_vectors = 1};
        if (i % 2) {
            assert_int_equal(qv_upsert(w->t->db, "c", &p, 1, &err), QV_OK);
        } else {
            snprintf(body, sizeof body, "{\"points\":[{\"id\":%llu,\"vector\":[%u,%u]}]}",
                     (unsigned long long)id, w->number, i);
            assert_int_equal(qv_request(w->t->db, "PUT", "/collections/c/points?wait=true", body,
                                        strlen(body), &r, &err),
                             QV_OK);
            assert_int_equal(r.status, 200);
            qv_response_free(&r);
        }
        /* what was acknowledged is there at once */
        snprintf(path, sizeof path, "/collections/c/points/%llu", (unsigned long long)id);
        assert_int_equal(qv_request(w->t->db, "GET", path, NULL, 0, &r, &err), QV_OK);
        assert_int_equal(r.status, 200);
        qv_response_free(&r);
        struct qv_search s = {.vector = values, .size = 2, .limit = 3};
        qv_result *found = NULL;
        assert_int_equal(qv_search(w->t->db, "c", &s, &found, &err), QV_OK);
        assert_true(qv_result_count(found) > 0);
        qv_result_free(found);
        if (i % 20 == 0) {
            snprintf(body, sizeof body, "{\"metadata\":{\"%u-%u\":true}}", w->number, i);
            assert_int_equal(
                qv_request(w->t->db, "PATCH", "/collections/c", body, strlen(body), &r, &err),
                QV_OK);
            assert_int_equal(r.status, 200);
            qv_response_free(&r);
        }
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct rest *t = *state;
    enum { WORKERS = 6 };
    pthread_t threads[WORKERS];
    struct worker workers[WORKERS];
    OK(qv_create_collection(t->db, "c", &plain, e_));
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){t, i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    good(t, "POST", "/collections/c/points/count", "{}", "{\"count\":360}");
    /* no change of the settings was lost to another */
    assert_int_equal(ask(t, "GET", "/collections/c", NULL), 200);
    for (unsigned w = 1; w <= WORKERS; w++) {
        for (unsigned i = 0; i < 60; i += 20) {
            char key[32];
            snprintf(key, sizeof key, "\"%u-%u\":true", w, i);
            assert_non_null(strstr(t->r.body, key));
        }
    }
}

/* One vector of each datatype, given and returned as its own elements. */
static void test_datatypes(void **state)
{
    struct rest *t = *state;
    static const float f32[] = {1.0f, -2.0f, 3.0f};
    static const uint16_t f16[] = {0x3c00, 0xc000, 0x3555}; /* 1, -2, 0.333251953125 */
    static const uint8_t u8[] = {0, 200, 255}, bits[] = {0xa5, 0x40}, loose[] = {0xa5, 0x41};
    static const int8_t i8[] = {-128, 0, 127};
    static const struct {
        struct qv_vector_config config;
        const void *elements;
        size_t bytes;
        float numbers[3]; /* its first ones */
    } cases[] = {
        {{.size = 3, .metric = QV_DOT}, f32, 12, {1, -2, 3}},
        {{.size = 3, .metric = QV_EUCLID, .datatype = QV_FLOAT16}, f16, 6, {1, -2, 0.33325195f}},
        {{.size = 3, .metric = QV_COSINE, .datatype = QV_UINT8}, u8, 3, {0, 200, 255}},
        {{.size = 3, .metric = QV_MANHATTAN, .datatype = QV_INT8}, i8, 3, {-128, 0, 127}},
        {{.size = 10, .metric = QV_HAMMING, .datatype = QV_BIT}, bits, 2, {1, 0, 1}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct qv_vector_config *v = &cases[i].config;
        struct qv_collection_config config = {.vectors = v, .n_vectors = 1};
        struct qv_vector vector = {
            .elements = cases[i].elements, .datatype = v->datatype, .size = v->size};
        struct qv_point point = {.id = qv_id_u64(7), .vectors = &vector, .n_vectors = 1};
        struct qv_search s = {.elements = cases[i].elements,
                              .datatype = v->datatype,
                              .size = v->size,
                              .limit = 3,
                              .with_vectors = true};
        qv_result *found = NULL;
        OK(qv_create_collection(t->db, "c", &config, e_));
        OK(qv_upsert(t->db, "c", &point, 1, e_));
        rest_reopen(t);
        struct seen made = {0}; /* and out of a snapshot, sealed */
        OK(qv_snapshot_create(t->db, "c", see, &made, e_));
        OK(qv_delete(t->db, "c", &point.id, 1, e_));
        OK(qv_snapshot_recover(t->db, "c", made.name, e_));
        OK(qv_snapshot_delete(t->db, made.name, e_));
        OK(qv_search(t->db, "c", &s, &found, e_));
        assert_int_equal(qv_result_count(found), 1);
        const struct qv_vector *got = qv_result_hit(found, 0)->vectors;
        assert_int_equal(got->datatype, v->datatype);
        assert_int_equal(got->size, v->size);
        assert_memory_equal(got->elements, cases[i].elements, cases[i].bytes);
        assert_memory_equal(got->values, cases[i].numbers, sizeof cases[i].numbers);
        qv_result_free(found);
        /* As numbers it is the same vector. */
        float numbers[10] = {1, 0, 1, 0, 0, 1, 0, 1, 0, 1};
        if (v->datatype != QV_BIT) {
            memcpy(numbers, cases[i].numbers, sizeof cases[i].numbers);
        }
        s.elements = NULL;
        s.vector = numbers;
        OK(qv_search(t->db, "c", &s, &found, e_));
        float want = v->metric == QV_DOT ? 14.0f : v->metric == QV_COSINE ? 1.0f : 0.0f;
        assert_float_equal(qv_result_hit(found, 0)->score, want, 1e-6);
        qv_result_free(found);
        assert_int_equal(ask(t, "GET", "/collections/c", NULL), 200);
        static const char *const names[] = {"", "float16", "uint8", "int8", "bit"};
        assert_non_null(strstr(t->r.body, names[v->datatype]));
        if (v->datatype == QV_FLOAT16) { /* bits are for bits alone */
            struct qv_vector of_bits = {.elements = bits, .datatype = QV_BIT, .size = 3};
            point.vectors = &of_bits;
            REFUSED(QV_EINVAL, "points[0].vectors[0].elements: bits behind the last one, 2",
                    qv_upsert(t->db, "c", &point, 1, e_));
            static const uint8_t three[] = {0xa0};
            of_bits.elements = three;
            REFUSED(QV_EINVAL, "packed bits are for bit vectors, not for float16",
                    qv_upsert(t->db, "c", &point, 1, e_));
            of_bits.datatype = QV_INT8; /* whole numbers fit */
            of_bits.elements = i8;
            OK(qv_upsert(t->db, "c", &point, 1, e_));
        }
        if (v->datatype == QV_BIT) {
            vector.elements = loose;
            REFUSED(QV_EINVAL, "elements: bits behind the last one, 9, must be zero",
                    qv_upsert(t->db, "c", &point, 1, e_));
            vector.datatype = (enum qv_datatype)5;
            REFUSED(QV_EINVAL, "points[0].vectors[0].datatype: 5 is none",
                    qv_upsert(t->db, "c", &point, 1, e_));
            vector.values = numbers;
            REFUSED(QV_EINVAL, "numbers are given beside them",
                    qv_upsert(t->db, "c", &point, 1, e_));
            s.vector = NULL;
            s.elements = loose;
            s.datatype = QV_BIT;
            REFUSED(QV_EINVAL, "query.elements: bits behind",
                    qv_search(t->db, "c", &s, &found, e_));
            s.elements = NULL;
            REFUSED(QV_EINVAL, "query.vector", qv_search(t->db, "c", &s, &found, e_));
        }
        OK(qv_drop_collection(t->db, "c", e_));
    }
    struct qv_vector_config wrong = {.size = 8, .metric = QV_DOT, .datatype = QV_BIT};
    struct qv_collection_config config = {.vectors = &wrong, .n_vectors = 1};
    REFUSED(QV_EVALIDATION, "value Dot invalid for datatype bit, must be Hamming",
            qv_create_collection(t->db, "c", &config, e_));
    wrong.datatype = (enum qv_datatype)9;
    REFUSED(QV_EINVAL, "config.vectors[0].datatype: 9 is none",
            qv_create_collection(t->db, "c", &config, e_));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rest_setup, rest_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version),
        T(test_life),
        T(test_durability),
        T(test_search),
        T(test_open_refused),
        T(test_read_only_and_log),
        T(test_collections_refused),
        T(test_writes_refused),
        T(test_reads_refused),
        T(test_request_refused),
        T(test_snapshots),
        T(test_datatypes),
        T(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
