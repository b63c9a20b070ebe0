/* test_conditional.c: writes with a condition on versions, update modes, and edits that read before
 * they write: exact among threads and after a crash. */
#include <pthread.h>
#include <stdatomic.h>

#include "engine_fixture.h"

#define DIM 2

static struct qv__collection *start(struct fix *f, int threads, uint32_t shards)
{
    fix_open(f, threads);
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema schema = fix_schema(&def, 1, shards);
    schema.policy =
        (struct qv__segment_policy){.seal_rows = 64, .index_rows = 32, .merge_fanin = 2};
    OK(qv__db_create_collection(f->db, QV__STR("c"), &schema, &f->err));
    return fix_collection(f, "c");
}

static uint64_t version(struct fix *f, struct qv__collection *c, uint64_t id)
{
    struct qv__id ids[1] = {qv__id_u64(id)};
    struct qv__qctx ctx = fix_ctx(f);
    struct qv__result_set rs;
    OK(qv__collection_get(c, ids, 1, NULL, &ctx, &rs, &f->err));
    uint64_t v = rs.n ? rs.points[0].version : 0;
    qv__result_free(&rs);
    return v;
}

static qv_status upsert_if(struct fix *f, struct qv__collection *c, uint64_t id, bool given,
                           uint64_t want, enum qv__update_mode mode, uint64_t *affected)
{
    struct qv__write_result r;
    float v[DIM] = {1, 2};
    struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = DIM};
    struct qv__point p = {.id = qv__id_u64(id),
                          .vectors = &nv,
                          .n_vectors = 1,
                          .expected = {.given = given, .version = want}};
    struct qv__mutation m = {.kind = QV__MUT_UPSERT, .mode = mode, .points = &p, .n_points = 1};
    qv_status st = qv__collection_write_sync(c, &m, 1, &r, &f->err);
    *affected = r.n_affected;
    return st;
}

static void test_versions(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    uint64_t n;
    struct qv__collection *c = start(f, -1, 3);
    assert_int_equal(upsert_if(f, c, 1, true, 7, 0, &n), QV_ECONFLICT);
    assert_string_equal(f->err.message, "point 1 does not exist, expected version 7");
    OK(upsert_if(f, c, 1, true, 0, 0, &n));
    uint64_t v1 = version(f, c, 1);
    assert_int_equal(upsert_if(f, c, 1, true, 0, 0, &n), QV_ECONFLICT);
    OK(upsert_if(f, c, 1, true, v1, 0, &n));
    assert_int_equal(upsert_if(f, c, 1, true, v1, 0, &n), QV_ECONFLICT);
    char said[sizeof f->err.message], want[120];
    memcpy(said, f->err.message, sizeof said);
    uint64_t v2 = version(f, c, 1);
    assert_true(v2 > v1);
    snprintf(want, sizeof want, "point 1 has version %llu, expected version %llu",
             (unsigned long long)v2, (unsigned long long)v1);
    assert_string_equal(said, want);

    /* One that fails fails all: nothing of the request is there. */
    struct qv__point p[2] = {{.id = qv__id_u64(10)},
                             {.id = qv__id_u64(1), .expected = {.given = true, .version = v1}}};
    struct qv__mutation m[2] = {{.kind = QV__MUT_UPSERT, .points = p, .n_points = 2},
                                {.kind = QV__MUT_DELETE}};
    struct qv__write_result r;
    assert_int_equal(qv__collection_write_sync(c, m, 1, &r, &f->err), QV_ECONFLICT);
    assert_int_equal(version(f, c, 10), 0);

    /* The condition is on the state before the request, also for its later mutations. */
    struct qv__id id = qv__id_u64(1);
    m[0] = (struct qv__mutation){.kind = QV__MUT_CLEAR_PAYLOAD, .ids = &id, .n_ids = 1};
    m[1] = (struct qv__mutation){
        .kind = QV__MUT_DELETE, .ids = &id, .n_ids = 1, .expected = {.given = true, .version = v2}};
    OK(qv__collection_write_sync(c, m, 2, &r, &f->err));
    assert_int_equal(version(f, c, 1), 0);
    qv__collection_release(c);
    fix_close(f);
}

static void test_modes(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    uint64_t n;
    struct qv__collection *c = start(f, -1, 1);
    OK(upsert_if(f, c, 1, false, 0, QV__UPDATE_UPDATE_ONLY, &n));
    assert_int_equal(version(f, c, 1), 0);
    OK(upsert_if(f, c, 1, false, 0, QV__UPDATE_INSERT_ONLY, &n));
    uint64_t v = version(f, c, 1);
    assert_true(v > 0);
    OK(upsert_if(f, c, 1, false, 0, QV__UPDATE_INSERT_ONLY, &n));
    assert_int_equal(n, 0);
    assert_int_equal(version(f, c, 1), v);
    OK(upsert_if(f, c, 1, false, 0, QV__UPDATE_UPDATE_ONLY, &n));
    assert_int_equal(n, 1);
    qv__collection_release(c);
    fix_close(f);
}

/* --- counters --- */

#define THREADS 8
#define POINTS  5
#if defined(__SANITIZE_THREAD__)
#define COUNTS 60
#else
#define COUNTS 250
#endif

static const uint8_t one[9] = {QV__TAG_I64, 1, 0, 0, 0, 0, 0, 0, 0};

static qv_status count_up(struct qv__collection *c, const struct qv__id *ids, size_t n)
{
    struct qv__payload_op op = {
        .kind = QV__OP_INCREMENT, .text = QV__STR("n"), .value = {one, sizeof one}};
    struct qv__write_result r;
    QV_TRY(qv__path_parse(op.text, &op.path, NULL));
    struct qv__mutation m = {
        .kind = QV__MUT_MODIFY_PAYLOAD, .ids = ids, .n_ids = n, .ops = &op, .n_ops = 1};
    return qv__collection_write_sync(c, &m, 1, &r, NULL);
}

struct counter {
    struct qv__collection *c;
    _Atomic unsigned *errors;
    pthread_t t;
};

static void *counting(void *arg)
{
    struct counter *w = arg;
    struct qv__id ids[POINTS];
    for (unsigned k = 0; k < POINTS; k++) {
        ids[k] = qv__id_u64(k);
    }
    for (unsigned i = 0; i < COUNTS; i++) {
        if (count_up(w->c, ids, POINTS) != QV_OK) {
            atomic_fetch_add(w->errors, 1);
        }
    }
    return NULL;
}

static void counts_are(struct fix *f, struct qv__collection *c, int64_t want)
{
    struct qv__id ids[POINTS];
    for (unsigned k = 0; k < POINTS; k++) {
        ids[k] = qv__id_u64(k);
    }
    struct qv__qctx ctx = fix_ctx(f);
    struct qv__result_set rs;
    struct qv__fetch fetch = {.payload = {.kind = QV__SELECT_ALL}};
    OK(qv__collection_get(c, ids, POINTS, &fetch, &ctx, &rs, &f->err));
    assert_int_equal(rs.n, POINTS);
    for (unsigned k = 0; k < POINTS; k++) {
        struct qv__buf b;
        struct qv__jw w;
        char text[48];
        snprintf(text, sizeof text, "{\"n\":%lld}", (long long)want);
        qv__buf_init(&b, f->mem);
        qv__jw_init(&w, &b);
        qv__payload_to_json(&w, rs.points[k].payload);
        qv__buf_putc(&b, 0);
        assert_string_equal((char *)b.p, text);
        qv__buf_free(&b);
    }
    qv__result_free(&rs);
}

/* Every increment of every thread counts once, over seals, merges, a crash and a replay. */
static void test_counters_add_up(void **state)
{
    (void)state;
    for (uint32_t shards = 1; shards <= 3; shards += 2) {
        struct fix fx, *f = &fx;
        struct qv__collection *c = start(f, 2, shards);
        struct counter w[THREADS];
        _Atomic unsigned errors = 0;
        struct qv__point p[POINTS];
        struct qv__rng rng;
        qv__rng_seed(&rng, shards);
        for (unsigned k = 0; k < POINTS; k++) {
            p[k] = (struct qv__point){.id = qv__id_u64(k)};
        }
        fix_write(f, c,
                  &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = p, .n_points = POINTS},
                  1);
        for (unsigned i = 0; i < THREADS; i++) {
            w[i] = (struct counter){.c = c, .errors = &errors};
            assert_int_equal(pthread_create(&w[i].t, NULL, counting, &w[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            pthread_join(w[i].t, NULL);
        }
        assert_int_equal(errors, 0);
        counts_are(f, c, THREADS * COUNTS);
        qv__collection_release(c);
        fix_crash(f, QV__CRASH_DROP_ALL, &rng);
        c = fix_collection(f, "c");
        counts_are(f, c, THREADS * COUNTS);
        qv__collection_release(c);
        fix_close(f);
    }
}

/* Of many that try the same version, exactly one succeeds. */
struct racer {
    struct qv__collection *c;
    uint64_t version;
    qv_status st;
    pthread_t t;
};

static void *racing(void *arg)
{
    struct racer *r = arg;
    struct qv__write_result result;
    struct qv__point p = {.id = qv__id_u64(1), .expected = {.given = true, .version = r->version}};
    struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = &p, .n_points = 1};
    r->st = qv__collection_write_sync(r->c, &m, 1, &result, NULL);
    return NULL;
}

static void test_one_wins(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = start(f, 2, 1);
    for (unsigned round = 0; round < 30; round++) {
        struct racer r[4];
        unsigned won = 0;
        uint64_t v = version(f, c, 1);
        for (unsigned i = 0; i < QV_ARRAY_LEN(r); i++) {
            r[i] = (struct racer){.c = c, .version = v};
            assert_int_equal(pthread_create(&r[i].t, NULL, racing, &r[i]), 0);
        }
        for (unsigned i = 0; i < QV_ARRAY_LEN(r); i++) {
            pthread_join(r[i].t, NULL);
            assert_true(r[i].st == QV_OK || r[i].st == QV_ECONFLICT);
            won += r[i].st == QV_OK;
        }
        assert_int_equal(won, 1);
    }
    qv__collection_release(c);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_counters_add_up),
        cmocka_unit_test(test_one_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
