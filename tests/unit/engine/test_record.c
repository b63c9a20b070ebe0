/* test_record.c: data records and schemas survive the round trip, and damaged ones are refused
 * whole. */
#include "engine_fixture.h"

static struct qv__schema *make_schema(struct qv__mem *mem)
{
    struct qv__vector_def defs[4] = {
        {.name = QV__STR(""), .metric = QV__COSINE, .dim = 3},
        {.name = QV__STR("b"), .metric = QV__L1, .dim = 2, .on_disk = true},
        {.name = QV__STR("i"), .metric = QV__DOT, .datatype = QV__I8, .dim = 3},
        {.name = QV__STR("h"), .metric = QV__HAMMING, .datatype = QV__BIT, .dim = 10}};
    struct qv__payload_index_def index = {
        .key = QV__STR("a.b"), .type = QV__STR("keyword"), .params_json = QV__STR("{\"x\":1}")};
    struct qv__schema from = {.vectors = defs,
                              .n_vectors = 4,
                              .indexes = &index,
                              .n_indexes = 1,
                              .shard_number = 2,
                              .config_json = QV__STR("{\"c\":[1,2]}")};
    struct qv__schema *s = NULL;
    assert_int_equal(qv__schema_create(mem, &from, &s, NULL), QV_OK);
    return s;
}

static void encode(struct qv__buf *b, const struct qv__schema *s)
{
    static const float v3[3] = {1, 2, 3}, v2[2] = {4, 5};
    static const int8_t i3[3] = {-128, 0, 127};
    static const uint8_t h10[2] = {0xA5, 0x40};
    static const uint8_t payload[3] = {QV__TAG_OBJ, 1, 0};
    const void *both[4] = {v3, v2, i3, h10}, *one[4] = {NULL, v2, NULL, NULL};
    struct qv__id str = {.kind = QV__ID_STR, .len = 3, .s = "abc"};
    struct qv__effect e[4] = {
        {.kind = QV__EFFECT_PUT,
         .id = qv__id_u64(7),
         .vectors = both,
         .payload = {payload, 3},
         .expires_ms = INT64_MAX},
        {.kind = QV__EFFECT_PUT,
         .id = str,
         .vectors = one,
         .payload = {payload, 3},
         .expires_ms = 12345},
        {.kind = QV__EFFECT_PAYLOAD,
         .id = qv__id_u64(8),
         .payload = {payload, 3},
         .expires_ms = INT64_MAX},
        {.kind = QV__EFFECT_DELETE, .id = qv__id_u64(9), .expires_ms = INT64_MAX}};
    qv__record_begin(b, 42, 2);
    qv__record_part(b, 0, s, e, 3);
    qv__record_part(b, 1, s, e + 3, 1);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv__schema *s = make_schema(mem);
    struct qv__buf b;
    struct qv__arena a;
    struct qv__record_part *parts = NULL;
    size_t n = 0;
    uint64_t id = 0;
    struct qv_err err;
    qv__buf_init(&b, mem);
    qv__arena_init(&a, mem);
    encode(&b, s);
    assert_int_equal(qv__record_collection(qv__buf_bytes(&b), &id, &err), QV_OK);
    assert_int_equal(id, 42);
    assert_int_equal(qv__record_decode(qv__buf_bytes(&b), 9, s, &a, &parts, &n, &err), QV_OK);
    assert_int_equal(n, 2);
    assert_int_equal(parts[0].n, 3);
    assert_int_equal(parts[1].shard, 1);
    const struct qv__effect *e = parts[0].effects;
    assert_int_equal(e[0].kind, QV__EFFECT_PUT);
    assert_int_equal(e[0].id.u, 7);
    const float *v0 = e[0].vectors[0], *v1 = e[0].vectors[1];
    assert_true(v0[2] == 3.0f && v1[1] == 5.0f);
    assert_memory_equal(e[0].vectors[2], "\x80\x00\x7f", 3);
    assert_memory_equal(e[0].vectors[3], "\xa5\x40", 2);
    assert_null(e[1].vectors[0]);
    assert_int_equal(e[1].expires_ms, 12345);
    assert_memory_equal(e[1].id.s, "abc", 3);
    assert_int_equal(e[2].kind, QV__EFFECT_PAYLOAD);
    assert_int_equal(parts[1].effects[0].kind, QV__EFFECT_DELETE);
    qv__arena_free(&a);
    qv__buf_free(&b);
    qv__schema_release(s);
    qv__mem_close(mem);
}

/* Every truncation is refused; every flipped bit is refused or decodes to something well-formed. */
static void test_damage(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv__schema *s = make_schema(mem);
    struct qv__buf b;
    qv__buf_init(&b, mem);
    encode(&b, s);
    for (size_t cut = 0; cut < b.n; cut++) {
        struct qv__arena a;
        struct qv__record_part *parts = NULL;
        size_t n = 0;
        uint8_t *copy = qv__alloc(mem, cut + 1);
        memcpy(copy, b.p, cut);
        qv__arena_init(&a, mem);
        assert_int_not_equal(
            qv__record_decode((struct qv__bytes){copy, cut}, 9, s, &a, &parts, &n, NULL), QV_OK);
        qv__arena_free(&a);
        qv__free(copy);
    }
    for (size_t bit = 0; bit < b.n * 8; bit++) {
        struct qv__arena a;
        struct qv__record_part *parts = NULL;
        size_t n = 0;
        b.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        qv__arena_init(&a, mem);
        if (qv__record_decode(qv__buf_bytes(&b), 9, s, &a, &parts, &n, NULL) == QV_OK) {
            for (size_t i = 0; i < n; i++) {
                assert_true(parts[i].shard < 2);
            }
        }
        qv__arena_free(&a);
        b.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    qv__buf_free(&b);
    qv__schema_release(s);
    qv__mem_close(mem);
}

/* Bits behind the last element are zero, or the record is damaged. */
static void test_bits_behind_the_end(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv__schema *s = make_schema(mem);
    struct qv__buf b;
    struct qv__arena a;
    struct qv__record_part *parts = NULL;
    struct qv_err err;
    size_t n = 0;
    qv__buf_init(&b, mem);
    qv__arena_init(&a, mem);
    encode(&b, s);
    uint8_t *bits = memmem(b.p, b.n, "\xa5\x40", 2);
    assert_non_null(bits);
    bits[1] |= 0x20;
    assert_int_equal(qv__record_decode(qv__buf_bytes(&b), 9, s, &a, &parts, &n, &err), QV_ECORRUPT);
    assert_non_null(strstr(err.message, "`h`"));
    qv__arena_free(&a);
    qv__buf_free(&b);
    qv__schema_release(s);
    qv__mem_close(mem);
}

static void test_schema_json(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv__schema *s = make_schema(mem), *again = NULL;
    struct qv__buf one, two;
    struct qv__jw w;
    struct qv__arena a;
    qv__json doc = NULL;
    struct qv_err err;
    qv__buf_init(&one, mem);
    qv__buf_init(&two, mem);
    qv__arena_init(&a, mem);
    qv__jw_init(&w, &one);
    qv__schema_to_json(&w, s);
    assert_int_equal(qv__json_parse(&a, (char *)one.p, one.n, NULL, &doc, &err), QV_OK);
    assert_int_equal(qv__schema_from_json(mem, doc, &again, &err), QV_OK);
    qv__jw_init(&w, &two);
    qv__schema_to_json(&w, again);
    assert_int_equal(one.n, two.n);
    assert_memory_equal(one.p, two.p, one.n);
    assert_int_equal(qv__schema_vector(again, QV__STR("b")), 1);
    assert_int_equal(qv__schema_vector(again, QV__STR("c")), -1);
    qv__schema_release(s);
    qv__schema_release(again);
    qv__buf_free(&one);
    qv__buf_free(&two);
    qv__arena_free(&a);
    qv__mem_close(mem);
}

static void expect_refused(struct qv__mem *mem, struct qv__schema from, qv_status want,
                           const char *field)
{
    struct qv__schema *s = NULL;
    struct qv_err err = {.code = QV_OK};
    assert_int_equal(qv__schema_create(mem, &from, &s, &err), want);
    if (!strstr(err.message, field)) {
        fail_msg("`%s` does not name %s", err.message, field);
    }
}

static void test_schema_limits(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv__vector_def d[17];
    memset(d, 0, sizeof d);
    for (unsigned i = 0; i < 17; i++) {
        d[i] = (struct qv__vector_def){.name = {&"abcdefghijklmnopq"[i], 1}, .dim = 4};
    }
    expect_refused(mem, (struct qv__schema){.vectors = d, .n_vectors = 17}, QV_EVALIDATION,
                   "vectors");
    d[0].dim = 0;
    expect_refused(mem, (struct qv__schema){.vectors = d, .n_vectors = 1}, QV_EVALIDATION, "size");
    d[0].dim = 65537;
    expect_refused(mem, (struct qv__schema){.vectors = d, .n_vectors = 1}, QV_EVALIDATION, "65537");
    d[0].dim = 4;
    d[0].kind = QV__VEC_SPARSE;
    expect_refused(mem, (struct qv__schema){.vectors = d, .n_vectors = 1}, QV_EVALIDATION,
                   "sparse");
    d[0].kind = QV__VEC_MULTI + 1;
    expect_refused(mem, (struct qv__schema){.vectors = d, .n_vectors = 1}, QV_EUNSUPPORTED, "kind");
    d[0].kind = QV__VEC_DENSE;
    d[0].datatype = QV__BIT + 1;
    expect_refused(mem, (struct qv__schema){.vectors = d, .n_vectors = 1}, QV_EUNSUPPORTED,
                   "datatype");
    d[0].datatype = QV__BIT;
    expect_refused(mem, (struct qv__schema){.vectors = d, .n_vectors = 1}, QV_EVALIDATION,
                   "distance");
    d[0].datatype = QV__F32;
    d[0].metric = QV__HAMMING;
    expect_refused(mem, (struct qv__schema){.vectors = d, .n_vectors = 1}, QV_EVALIDATION,
                   "distance");
    d[0].metric = QV__HAMMING + 1;
    expect_refused(mem, (struct qv__schema){.vectors = d, .n_vectors = 1}, QV_EUNSUPPORTED,
                   "distance");
    d[0].metric = QV__COSINE;
    d[0].index.m = 1;
    expect_refused(mem, (struct qv__schema){.vectors = d, .n_vectors = 1}, QV_EVALIDATION, "m");
    d[0].index.m = 16;
    d[1].name = d[0].name;
    expect_refused(mem, (struct qv__schema){.vectors = d, .n_vectors = 2}, QV_EINVAL, "twice");
    expect_refused(mem, (struct qv__schema){.shard_number = 257}, QV_EVALIDATION, "shard_number");
    expect_refused(mem, (struct qv__schema){.policy = {.seal_rows = 3}}, QV_EVALIDATION,
                   "seal_rows");
    qv__mem_close(mem);
}

static void test_names(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    ".",   "..",   "a/b",      "a\\b",         "a\nb",
                                      "a:b", "a*b", "\xff", "\xc0\x80", "\xed\xa0\x80", "a\x7f"};
    static const char *const good[] = {"a", "A-b_c.d", "\xc3\xa4", "日本", "a b", "..."};
    char longest[300];
    memset(longest, 'x', sizeof longest);
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        assert_int_equal(qv__collection_name_check(qv__str_z(bad[i]), NULL), QV_EVALIDATION);
    }
    for (size_t i = 0; i < QV_ARRAY_LEN(good); i++) {
        assert_int_equal(qv__collection_name_check(qv__str_z(good[i]), NULL), QV_OK);
    }
    assert_int_equal(qv__collection_name_check((struct qv__str){longest, 255}, NULL), QV_OK);
    assert_int_equal(qv__collection_name_check((struct qv__str){longest, 256}, NULL),
                     QV_EVALIDATION);
    assert_int_equal(qv__collection_name_check((struct qv__str){"a\0b", 3}, NULL), QV_EVALIDATION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),          cmocka_unit_test(test_damage),
        cmocka_unit_test(test_bits_behind_the_end), cmocka_unit_test(test_schema_json),
        cmocka_unit_test(test_schema_limits),       cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
