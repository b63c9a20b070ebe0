/* test_embedded_alter.c: changing a collection in use through the typed interface, and that the
 * REST dialect tells the same. */
#include <pthread.h>
#include <time.h>

#include "test_embedded.h"

#define POINTS      300
#define CHANGES     100  /* of each thread */
#define IDLE_POINTS 4096 /* the fewest that are merged */

static void fill(struct rest *t, const char *collection, const char *first, const char *second)
{
    for (uint64_t i = 0; i < POINTS; i += 50) {
        struct qv_point p[50];
        struct qv_vector v[100];
        float values[200];
        for (size_t k = 0; k < 50; k++) {
            float *at = values + 4 * k;
            at[0] = (float)(i + k);
            at[1] = 1;
            at[2] = 1;
            at[3] = (float)(i + k);
            v[2 * k] = (struct qv_vector){.name = first, .values = at, .size = 2};
            v[2 * k + 1] = (struct qv_vector){.name = second, .values = at + 2, .size = 2};
            p[k] = (struct qv_point){
                .id = qv_id_u64(i + k), .vectors = &v[2 * k], .n_vectors = second ? 2 : 1};
        }
        OK(qv_upsert(t->db, collection, p, 50, e_));
    }
}

static uint64_t best(struct rest *t, const char *collection, const char *name, bool exact)
{
    const float q[2] = {1, 0};
    struct qv_search s = {
        .using_vector = name, .vector = q, .size = 2, .limit = 1, .exact = exact, .ef = POINTS};
    qv_result *r = NULL;
    OK(qv_search(t->db, collection, &s, &r, e_));
    assert_int_equal(qv_result_count(r), 1);
    uint64_t id = qv_result_hit(r, 0)->id.as.u64;
    qv_result_free(r);
    return id;
}

static void shows(struct rest *t, const char *text)
{
    assert_int_equal(ask(t, "GET", "/collections/c", NULL), 200);
    if (!strstr(t->r.body, text)) {
        fail_msg("%s is not in %s", text, t->r.body);
    }
}

static void test_settings(void **state)
{
    struct rest *t = *state;
    OK(qv_create_collection(t->db, "c", &plain, e_));
    fill(t, "c", NULL, NULL);
    OK(qv_optimize(t->db, "c", e_));
    shows(t, "\"ef_construct\":128");
    struct qv_vector_change v = {.m = 8, .quantization = QV_QUANTIZATION_NONE};
    struct qv_collection_change ch = {.vectors = &v, .n_vectors = 1};
    OK(qv_alter_collection(t->db, "c", &ch, e_));
    shows(t, "\"m\":8");
    shows(t, "\"ef_construct\":128"); /* what was not changed is as the collection was made */
    assert_int_equal(best(t, "c", NULL, false), POINTS - 1);
    OK(qv_optimize(t->db, "c", e_));
    assert_int_equal(best(t, "c", NULL, false), POINTS - 1);
    static const enum qv_quantization codes[] = {QV_QUANTIZATION_INT8, QV_QUANTIZATION_BITS1,
                                                 QV_QUANTIZATION_BITS2, QV_QUANTIZATION_BITS4};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        v = (struct qv_vector_change){.quantization = codes[i], .ef_construct = 40};
        OK(qv_alter_collection(t->db, "c", &ch, e_));
        OK(qv_optimize(t->db, "c", e_));
        assert_int_equal(best(t, "c", NULL, true), POINTS - 1);
        shows(t, "\"m\":8");
        shows(t, codes[i] == QV_QUANTIZATION_INT8 ? "\"scalar\":{" : "\"turbo\":{");
    }
    v = (struct qv_vector_change){.no_graph = true, .graph = QV_ON_DISK, .stored = QV_ON_DISK};
    ch.payload = QV_IN_MEMORY;
    ch.durability = QV_RELAXED;
    ch.window_ms = 500;
    ch.has_ttl = true;
    ch.ttl_ms = 5000000;
    OK(qv_alter_collection(t->db, "c", &ch, e_));
    shows(t, "\"m\":0");
    shows(t, "\"memory\":\"cold\"");
    shows(t, "\"memory\":\"cached\"");
    shows(t, "\"ttl\":5000");
    shows(t, "\"mode\":\"relaxed\",\"window_ms\":500");
    OK(qv_optimize(t->db, "c", e_));
    assert_int_equal(best(t, "c", NULL, false), POINTS - 1);
    v = (struct qv_vector_change){0}; /* no change at all leaves it */
    OK(qv_alter_collection(t->db, "c", &(struct qv_collection_change){0}, e_));
    shows(t, "\"m\":0");
    shows(t, "\"ttl\":5000");
    rest_reopen(t);
    shows(t, "\"m\":0");
    assert_int_equal(best(t, "c", NULL, false), POINTS - 1);
}

static void test_vectors(void **state)
{
    struct rest *t = *state;
    const struct qv_vector_config a = {.name = "a", .size = 2, .metric = QV_DOT};
    OK(qv_create_collection(t->db, "c",
                            &(struct qv_collection_config){.vectors = &a, .n_vectors = 1}, e_));
    fill(t, "c", "a", NULL);
    const struct qv_vector_config b = {.name = "b/%", .size = 2, .metric = QV_DOT, .m = 4};
    OK(qv_add_vector(t->db, "c", &b, e_));
    REFUSED(QV_EINVAL, "already exists", qv_add_vector(t->db, "c", &b, e_));
    fill(t, "c", "a", "b/%");
    qv_result *r = NULL;
    const struct qv_id id = qv_id_u64(9);
    OK(qv_get(t->db, "c", &id, 1, false, true, &r, e_));
    assert_int_equal(qv_result_hit(r, 0)->n_vectors, 2);
    qv_result_free(r);
    OK(qv_optimize(t->db, "c", e_));
    shows(
        t,
        "\"b/%\":{\"size\":2,\"distance\":\"Dot\",\"hnsw_config\":{\"m\":4,\"ef_construct\":128}");
    OK(qv_drop_vector(t->db, "c", "b/%", e_));
    REFUSED(QV_EINVAL, "Not existing vector name", qv_drop_vector(t->db, "c", "b/%", e_));
    assert_int_equal(best(t, "c", "a", false), POINTS - 1);
    OK(qv_create_collection(t->db, "d", &plain, e_)); /* beside one without a name */
    OK(qv_add_vector(t->db, "d", &b, e_));
    OK(qv_drop_vector(t->db, "d", "b/%", e_));
}

/* A vector that comes stores what it says, as one of a new collection. */
static void test_datatypes(void **state)
{
    struct rest *t = *state;
    struct qv_vector_config x = {
        .name = "bytes", .size = 2, .metric = QV_DOT, .datatype = QV_UINT8};
    OK(qv_create_collection(t->db, "c", &(struct qv_collection_config){0}, e_));
    OK(qv_add_vector(t->db, "c", &x, e_));
    shows(t, "\"bytes\":{\"size\":2,\"distance\":\"Dot\",\"hnsw_config\":{\"m\":16,"
             "\"ef_construct\":128},\"datatype\":\"uint8\"}");
    x = (struct qv_vector_config){
        .name = "bits", .size = 12, .metric = QV_HAMMING, .datatype = QV_BIT};
    OK(qv_add_vector(t->db, "c", &x, e_));
    const uint8_t bits[2][2] = {{0xF0, 0x10}, {0x0F, 0x00}}, bytes[2] = {255, 7};
    const float off[2] = {1, 300};
    for (uint64_t i = 0; i < 2; i++) {
        const struct qv_vector v[2] = {
            {.name = "bits", .elements = bits[i], .datatype = QV_BIT, .size = 12},
            {.name = "bytes", .elements = bytes, .datatype = QV_UINT8, .size = 2}};
        const struct qv_point p = {.id = qv_id_u64(i), .vectors = v, .n_vectors = 2};
        OK(qv_upsert(t->db, "c", &p, 1, e_));
    }
    const struct qv_vector v = {.name = "bytes", .values = off, .size = 2};
    const struct qv_point p = {.id = qv_id_u64(3), .vectors = &v, .n_vectors = 1};
    REFUSED(QV_EINVAL, "300", qv_upsert(t->db, "c", &p, 1, e_));
    OK(qv_optimize(t->db, "c", e_));
    rest_reopen(t);
    const struct qv_search s = {.using_vector = "bits",
                                .elements = bits[0],
                                .datatype = QV_BIT,
                                .size = 12,
                                .limit = 2,
                                .with_vectors = true};
    qv_result *r = NULL;
    OK(qv_search(t->db, "c", &s, &r, e_));
    assert_int_equal(qv_result_count(r), 2);
    assert_true(qv_result_hit(r, 0)->score == 0 && qv_result_hit(r, 1)->score == 9);
    for (size_t i = 0; i < 2; i++) {
        const struct qv_vector *stored = &qv_result_hit(r, 0)->vectors[i];
        bool are_bits = strcmp(stored->name, "bits") == 0;
        assert_int_equal(stored->datatype, are_bits ? QV_BIT : QV_UINT8);
        assert_memory_equal(stored->elements, are_bits ? bits[0] : bytes, 2);
    }
    qv_result_free(r);
    x.name = "wrong";
    x.metric = QV_DOT;
    REFUSED(QV_EVALIDATION, "must be Hamming", qv_add_vector(t->db, "c", &x, e_));
    x.datatype = QV_UINT8;
    x.metric = QV_HAMMING;
    REFUSED(QV_EVALIDATION, "Hamming is of bit vectors", qv_add_vector(t->db, "c", &x, e_));
    x.metric = (enum qv_metric)5;
    REFUSED(QV_EINVAL, "vector.metric: 5 is none", qv_add_vector(t->db, "c", &x, e_));
    x.metric = QV_DOT;
    x.datatype = (enum qv_datatype)77;
    REFUSED(QV_EINVAL, "vector.datatype: 77 is none", qv_add_vector(t->db, "c", &x, e_));
}

/* Sparse vectors have no graph to change, and are in the way of no other change. */
static void test_beside_sparse(void **state)
{
    struct rest *t = *state;
    struct qv_vector_change v = {.name = "d", .m = 8};
    struct qv_collection_change ch = {.vectors = &v, .n_vectors = 1};
    assert_int_equal(ask(t, "PUT", "/collections/c",
                         "{\"vectors\":{\"d\":{\"size\":2,\"distance\":\"Dot\"}},\"sparse_"
                         "vectors\":{\"s\":{}}}"),
                     200);
    OK(qv_alter_collection(t->db, "c", &ch, e_));
    shows(t, "\"m\":8");
    shows(t, "\"sparse_vectors\":{\"s\":{");
    ch = (struct qv_collection_change){.has_ttl = true, .ttl_ms = 5000000};
    OK(qv_alter_collection(t->db, "c", &ch, e_));
    shows(t, "\"ttl\":5000");
    const struct qv_vector_change wrong[] = {
        {.name = "s", .m = 8},
        {.name = "s", .ef_construct = 40},
        {.name = "s", .no_graph = true},
        {.name = "s", .quantization = QV_QUANTIZATION_INT8},
        {.name = "s", .graph = QV_ON_DISK},
        {.name = "s", .stored = QV_ON_DISK},
    };
    ch = (struct qv_collection_change){.vectors = &v, .n_vectors = 1};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        v = wrong[i];
        REFUSED(QV_EINVAL, "change.vectors[0].name: \"s\" is a sparse vector",
                qv_alter_collection(t->db, "c", &ch, e_));
    }
    v = (struct qv_vector_change){.name = "s"};
    OK(qv_alter_collection(t->db, "c", &ch, e_));
    /* And where there is no other vector. */
    assert_int_equal(ask(t, "PUT", "/collections/only", "{\"sparse_vectors\":{\"s\":{}}}"), 200);
    ch = (struct qv_collection_change){.durability = QV_RELAXED};
    OK(qv_alter_collection(t->db, "only", &ch, e_));
    OK(qv_alter_collection(t->db, "only", &(struct qv_collection_change){0}, e_));
}

static void test_refused(void **state)
{
    struct rest *t = *state;
    OK(qv_create_collection(t->db, "c", &plain, e_));
    struct qv_vector_change v = {0};
    struct qv_collection_change ch = {.vectors = &v, .n_vectors = 1};
    REFUSED(QV_ENOTFOUND, "nothing", qv_alter_collection(t->db, "nothing", &ch, e_));
    REFUSED(QV_EINVAL, "change: must not be NULL", qv_alter_collection(t->db, "c", NULL, e_));
    v.name = "x";
    REFUSED(QV_EINVAL, "change.vectors[0].name: there is no vector \"x\"",
            qv_alter_collection(t->db, "c", &ch, e_));
    v = (struct qv_vector_change){.m = 513};
    REFUSED(QV_EVALIDATION, "513", qv_alter_collection(t->db, "c", &ch, e_));
    v = (struct qv_vector_change){.ef_construct = 70000};
    REFUSED(QV_EVALIDATION, "70000", qv_alter_collection(t->db, "c", &ch, e_));
    v = (struct qv_vector_change){.m = 8, .no_graph = true};
    REFUSED(QV_EINVAL, "no_graph", qv_alter_collection(t->db, "c", &ch, e_));
    v = (struct qv_vector_change){.quantization = (enum qv_quantization)77};
    REFUSED(QV_EINVAL, "quantization: 77 is none", qv_alter_collection(t->db, "c", &ch, e_));
    v = (struct qv_vector_change){.graph = (enum qv_placement)3};
    REFUSED(QV_EINVAL, "change.vectors[0].graph: 3", qv_alter_collection(t->db, "c", &ch, e_));
    const struct qv_vector_change twice[] = {{.m = 33}, {.name = "", .ef_construct = 200}};
    ch = (struct qv_collection_change){.vectors = twice, .n_vectors = 2};
    REFUSED(QV_EINVAL, "change.vectors[1].name: the vector \"\" is changed twice",
            qv_alter_collection(t->db, "c", &ch, e_));
    v = (struct qv_vector_change){0};
    ch = (struct qv_collection_change){.vectors = &v, .n_vectors = 1};
    ch.window_ms = 60001;
    REFUSED(QV_EVALIDATION, "60001", qv_alter_collection(t->db, "c", &ch, e_));
    ch.window_ms = 0;
    ch.has_ttl = true;
    ch.ttl_ms = 1500;
    REFUSED(QV_EINVAL, "change.ttl_ms: 1500", qv_alter_collection(t->db, "c", &ch, e_));
    struct qv_vector_config b = {.name = "", .size = 2};
    REFUSED(QV_EINVAL, "must have a name", qv_add_vector(t->db, "c", &b, e_));
    b.name = "b";
    b.size = 0;
    REFUSED(QV_EVALIDATION, "size", qv_add_vector(t->db, "c", &b, e_));
    REFUSED(QV_EINVAL, "must have a name", qv_drop_vector(t->db, "c", NULL, e_));
    REFUSED(QV_ENOTFOUND, "nothing", qv_drop_vector(t->db, "nothing", "b", e_));
    b.size = 2;
    REFUSED(QV_ENOTFOUND, "nothing", qv_add_vector(t->db, "nothing", &b, e_));
    static const char *const no_collection[] = {"", ".", "..", "c/vectors", "\xff"};
    for (size_t i = 0; i < sizeof no_collection / sizeof *no_collection; i++) {
        REFUSED(QV_ENOTFOUND, "exist", qv_add_vector(t->db, no_collection[i], &b, e_));
        REFUSED(QV_ENOTFOUND, "exist", qv_drop_vector(t->db, no_collection[i], "b", e_));
    }
    b.name = "\xff";
    REFUSED(QV_EINVAL, "UTF-8", qv_add_vector(t->db, "c", &b, e_));
    REFUSED(QV_EINVAL, "UTF-8", qv_drop_vector(t->db, "c", "\xff", e_));
}

/* What is shown of a vector. */
static bool tells_m(struct rest *t, const char *name, uint32_t m)
{
    struct qv_response r;
    char head[32], want[32];
    snprintf(head, sizeof head, "\"%s\":{\"size\"", name);
    snprintf(want, sizeof want, "\"m\":%u,", (unsigned)m);
    bool tells = false;
    if (qv_request(t->db, "GET", "/collections/c", NULL, 0, &r, NULL) == QV_OK) {
        const char *at = strstr(r.body, head);
        at = at ? strstr(at, "\"m\":") : NULL;
        tells = at && strncmp(at, want, strlen(want)) == 0;
    }
    qv_response_free(&r);
    return tells;
}

struct changer {
    struct rest *t;
    const char *name;
    uint32_t first;
    int refused, lost;
};

static void *change_m(void *arg)
{
    struct changer *x = arg;
    for (uint32_t i = 0; i < CHANGES; i++) {
        struct qv_vector_change v = {.name = x->name, .m = x->first + i};
        struct qv_collection_change ch = {.vectors = &v, .n_vectors = 1};
        x->refused += qv_alter_collection(x->t->db, "c", &ch, NULL) != QV_OK;
        x->lost += !tells_m(x->t, x->name, v.m);
    }
    return NULL;
}

static void *change_window(void *arg)
{
    struct changer *x = arg;
    for (uint32_t i = 0; i < CHANGES; i++) {
        struct qv_collection_change ch = {.window_ms = 1 + i};
        x->refused += qv_alter_collection(x->t->db, "c", &ch, NULL) != QV_OK;
    }
    return NULL;
}

static void *come_and_go(void *arg)
{
    struct changer *x = arg;
    const struct qv_vector_config v = {.name = x->name, .size = 2, .metric = QV_DOT};
    for (uint32_t i = 0; i < CHANGES; i++) {
        x->refused += qv_add_vector(x->t->db, "c", &v, NULL) != QV_OK;
        x->refused += qv_drop_vector(x->t->db, "c", x->name, NULL) != QV_OK;
    }
    return NULL;
}

/* A change says nothing of what it does not change, so that none takes another one's back, nor is
 * in the way of a vector that goes. */
static void test_threads(void **state)
{
    struct rest *t = *state;
    static void *(*const work[])(void *) = {change_m, change_m, change_window, come_and_go};
    const struct qv_vector_config both[2] = {{.name = "a", .size = 2, .metric = QV_DOT},
                                             {.name = "b", .size = 2, .metric = QV_DOT}};
    struct changer x[4] = {
        {t, "a", 10, 0, 0}, {t, "b", 200, 0, 0}, {t, NULL, 0, 0, 0}, {t, "x", 0, 0, 0}};
    pthread_t threads[4];
    OK(qv_create_collection(t->db, "c",
                            &(struct qv_collection_config){.vectors = both, .n_vectors = 2}, e_));
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work[i], &x[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(x[i].refused, 0);
        assert_int_equal(x[i].lost, 0);
    }
    rest_reopen(t);
    assert_true(tells_m(t, "a", 10 + CHANGES - 1) && tells_m(t, "b", 200 + CHANGES - 1));
    shows(t, "\"window_ms\":100}");
}

/* One member after the other, of a collection that keeps no settings yet and then of one that
 * does: what a change does not name stays. */
static void test_parts(void **state)
{
    struct rest *t = *state;
    const struct qv_vector_config a = {
        .size = 2, .metric = QV_DOT, .m = 24, .ef_construct = 72, .datatype = QV_FLOAT16};
    const struct qv_vector_change steps[] = {{.ef_construct = 80},
                                             {.stored = QV_ON_DISK},
                                             {.graph = QV_ON_DISK},
                                             {.quantization = QV_QUANTIZATION_INT8},
                                             {.m = 20},
                                             {.no_graph = true},
                                             {.ef_construct = 90},
                                             {.m = 12}};
    static const char *const shown[] = {
        "\"hnsw_config\":{\"m\":24,\"ef_construct\":80},\"datatype\":\"float16\"}",
        "\"hnsw_config\":{\"m\":24,\"ef_construct\":80},\"memory\":\"cold\",",
        "\"hnsw_config\":{\"m\":24,\"ef_construct\":80,\"memory\":\"cold\"},\"memory\":\"cold\",",
        "\"ef_construct\":80,\"memory\":\"cold\"},\"quantization_config\":{\"scalar\":{",
        "\"hnsw_config\":{\"m\":20,\"ef_construct\":80,\"memory\":\"cold\"},",
        "\"hnsw_config\":{\"m\":0,\"ef_construct\":80,\"memory\":\"cold\"},",
        "\"hnsw_config\":{\"m\":0,\"ef_construct\":90,\"memory\":\"cold\"},",
        "\"hnsw_config\":{\"m\":12,\"ef_construct\":90,\"memory\":\"cold\"},"};
    OK(qv_create_collection(t->db, "c",
                            &(struct qv_collection_config){.vectors = &a, .n_vectors = 1}, e_));
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct qv_collection_change ch = {.vectors = &steps[i], .n_vectors = 1};
        OK(qv_alter_collection(t->db, "c", &ch, e_));
        shows(t, shown[i]);
        ch =
            (struct qv_collection_change){.vectors = &(struct qv_vector_change){0}, .n_vectors = 1};
        OK(qv_alter_collection(t->db, "c", &ch, e_)); /* nothing takes nothing back */
        shows(t, shown[i]);
    }
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void lives_ms(struct rest *t, int64_t ttl_ms)
{
    const struct qv_point p = {.id = qv_id_u64(1)};
    qv_result *r = NULL;
    int64_t before = now_ms();
    OK(qv_upsert(t->db, "c", &p, 1, e_));
    int64_t after = now_ms();
    OK(qv_get(t->db, "c", &p.id, 1, false, false, &r, e_));
    assert_int_equal(qv_result_count(r), 1);
    int64_t at = qv_result_hit(r, 0)->expires_at_ms;
    assert_true(ttl_ms ? before + ttl_ms <= at && at <= after + ttl_ms : at == QV_NEVER);
    qv_result_free(r);
}

/* To the millisecond, until somebody changes it. */
static void test_ttl_stays(void **state)
{
    struct rest *t = *state;
    struct qv_collection_change ch = {.window_ms = 7};
    const struct qv_vector_config x = {.name = "x", .size = 2, .metric = QV_DOT};
    OK(qv_create_collection(
        t->db, "c",
        &(struct qv_collection_config){.vectors = &two, .n_vectors = 1, .ttl_ms = 900900}, e_));
    lives_ms(t, 900900);
    shows(t, "\"ttl\":900.9}");
    OK(qv_alter_collection(t->db, "c", &ch, e_));
    lives_ms(t, 900900);
    good(t, "PATCH", "/collections/c", "{\"params\":{\"replication_factor\":1}}", "true");
    OK(qv_add_vector(t->db, "c", &x, e_));
    rest_reopen(t);
    lives_ms(t, 900900);
    shows(t, "\"ttl\":900.9}");
    ch = (struct qv_collection_change){.has_ttl = true, .ttl_ms = 700000};
    OK(qv_alter_collection(t->db, "c", &ch, e_));
    lives_ms(t, 700000);
    shows(t, "\"ttl\":700}");
    ch = (struct qv_collection_change){.has_ttl = true};
    OK(qv_alter_collection(t->db, "c", &ch, e_));
    lives_ms(t, 0);
    assert_int_equal(ask(t, "GET", "/collections/c", NULL), 200);
    assert_null(strstr(t->r.body, "\"ttl\""));
}

/* The reserve is there, and what it may be has a limit. */
static void test_disk_reserve(void **state)
{
    struct rest *t = *state;
    qv_response_free(&t->r);
    OK(qv_close(t->db, e_));
    struct qv_options o = qvt_options();
    o.disk_reserve_bytes = 1 << 20;
    OK(qv_open(t->dir, &o, &t->db, e_));
    assert_int_equal(ask(t, "GET", "/metrics", NULL), 200);
    assert_non_null(strstr(t->r.body, "\nquiver_disk_reserve_bytes 1048576\n"));
    o.disk_reserve_bytes = UINT64_C(1) << 41;
    qv_db *other = NULL;
    REFUSED(QV_EINVAL, "options.disk_reserve_bytes", qv_open(t->dir, &o, &other, e_));
}

/* What a load left growing is a file soon after its last write. */
static void test_idle_merge(void **state)
{
    struct rest *t = *state;
    qv_response_free(&t->r);
    OK(qv_close(t->db, e_));
    struct qv_options o = QV_OPTIONS_INIT; /* one shard, in which all of them grow */
    o.idle_merge_ms = 50;
    OK(qv_open(t->dir, &o, &t->db, e_));
    assert_int_equal(
        ask(t, "PUT", "/collections/idle", "{\"vectors\":{\"size\":1,\"distance\":\"Euclid\"}}"),
        200);
    static struct qv_point p[IDLE_POINTS];
    static struct qv_vector v[IDLE_POINTS];
    static float values[IDLE_POINTS];
    for (uint64_t i = 0; i < IDLE_POINTS; i++) {
        values[i] = (float)(i % 97);
        v[i] = (struct qv_vector){.values = &values[i], .size = 1};
        p[i] = (struct qv_point){.id = qv_id_u64(i), .vectors = &v[i], .n_vectors = 1};
    }
    OK(qv_upsert(t->db, "idle", p, IDLE_POINTS, e_));
    bool is_sealed = false;
    for (int i = 0; i < 3000 && !is_sealed; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        assert_int_equal(ask(t, "GET", "/collections/idle", NULL), 200);
        is_sealed = strstr(t->r.body, "\"segments_count\":2") != NULL; /* and one that grows */
    }
    assert_true(is_sealed);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rest_setup, rest_teardown)
    const struct CMUnitTest tests[] = {
        T(test_settings),  T(test_vectors),   T(test_beside_sparse), T(test_refused),
        T(test_threads),   T(test_parts),     T(test_disk_reserve),  T(test_idle_merge),
        T(test_ttl_stays), T(test_datatypes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
