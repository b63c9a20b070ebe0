/* test_filter_key.c: equal filters have equal bytes, others have others, and what cannot be kept
 * has none. */
#include "payload_test.h"

#include "payload/filter_key.h"

static bool key_of(struct fixture *f, const char *text, struct qv__buf *out)
{
    struct qv_err err;
    const struct qv__filter *filter = NULL;
    assert_int_equal(qv__filter_parse(&f->arena, json(f, text), &filter, &err), QV_OK);
    qv__buf_init(out, f->arena.mem);
    return qv__filter_key(filter, out);
}

#define MUST(c)  "{\"must\":[" c "]}"
#define KEYED(c) MUST("{\"key\":\"a\"," c "}")

static const char *const different[] = {
    "{}",
    MUST("{\"must\":[]}"),
    KEYED("\"match\":{\"value\":1}"),
    KEYED("\"match\":{\"value\":2}"),
    KEYED("\"match\":{\"value\":\"1\"}"),
    KEYED("\"match\":{\"value\":true}"),
    KEYED("\"match\":{\"any\":[1,2]}"),
    KEYED("\"match\":{\"any\":[\"ab\",\"c\"]}"),
    KEYED("\"match\":{\"any\":[\"a\",\"bc\"]}"),
    KEYED("\"match\":{\"except\":[1]}"),
    KEYED("\"match\":{\"prefix\":\"1\"}"),
    KEYED("\"range\":{\"lt\":1}"),
    KEYED("\"range\":{\"lte\":1}"),
    KEYED("\"range\":{\"gt\":1}"),
    KEYED("\"range\":{\"gte\":1}"),
    KEYED("\"range\":{\"gte\":1,\"lt\":2}"),
    KEYED("\"range\":{\"lt\":\"2020-01-01\"}"),
    KEYED("\"values_count\":{\"lt\":1}"),
    KEYED("\"is_empty\":true"),
    KEYED("\"is_empty\":false"),
    KEYED("\"is_null\":true"),
    KEYED("\"geo_radius\":{\"center\":{\"lon\":1,\"lat\":2},\"radius\":3}"),
    KEYED("\"geo_radius\":{\"center\":{\"lon\":1,\"lat\":2},\"radius\":4}"),
    KEYED("\"geo_bounding_box\":{\"top_left\":{\"lon\":1,\"lat\":2},\"bottom_right\":{\"lon\":2,"
          "\"lat\":1}}"),
    KEYED("\"geo_polygon\":{\"exterior\":{\"points\":[{\"lon\":0,\"lat\":0},{\"lon\":1,\"lat\":0},"
          "{\"lon\":1,\"lat\":1},{\"lon\":0,\"lat\":0}]}}"),
    MUST("{\"key\":\"b\",\"match\":{\"value\":1}}"),
    MUST("{\"key\":\"a.b\",\"match\":{\"value\":1}}"),
    MUST("{\"key\":\"a[].b\",\"match\":{\"value\":1}}"),
    MUST("{\"key\":\"a[0].b\",\"match\":{\"value\":1}}"),
    MUST("{\"key\":\"a[1].b\",\"match\":{\"value\":1}}"),
    MUST("{\"is_empty\":{\"key\":\"a\"}}"),
    MUST("{\"is_null\":{\"key\":\"a\"}}"),
    MUST("{\"slice\":{\"total\":4,\"index\":1}}"),
    MUST("{\"slice\":{\"total\":4,\"index\":2}}"),
    MUST("{\"nested\":{\"key\":\"a\",\"filter\":{\"must\":[{\"key\":\"b\",\"match\":{\"value\":1}}"
         "]}}}"),
    MUST("{\"must_not\":[{\"key\":\"a\",\"match\":{\"value\":1}}]}"),
    "{\"should\":[{\"key\":\"a\",\"match\":{\"value\":1}}]}",
    "{\"must_not\":[{\"key\":\"a\",\"match\":{\"value\":1}}]}",
    "{\"min_should\":{\"conditions\":[{\"key\":\"a\",\"match\":{\"value\":1}}],\"min_count\":1}}",
    "{\"min_should\":{\"conditions\":[{\"key\":\"a\",\"match\":{\"value\":1}}],\"min_count\":2}}",
};

static void test_bytes(void **state)
{
    struct fixture *f = *state;
    enum { N = QV_ARRAY_LEN(different) };
    struct qv__buf keys[N];
    for (size_t i = 0; i < N; i++) {
        struct qv__buf again;
        assert_true(key_of(f, different[i], &keys[i]));
        assert_true(key_of(f, different[i], &again));
        assert_int_equal(keys[i].n, again.n);
        assert_memory_equal(keys[i].p, again.p, again.n);
        qv__buf_free(&again);
        for (size_t j = 0; j < i; j++) {
            bool same = keys[i].n == keys[j].n && memcmp(keys[i].p, keys[j].p, keys[i].n) == 0;
            if (same) {
                fail_msg("%s and %s share their bytes", different[i], different[j]);
            }
        }
    }
    for (size_t i = 0; i < N; i++) {
        qv__buf_free(&keys[i]);
    }
}

static void test_none(void **state)
{
    struct fixture *f = *state;
    struct qv__buf key, text;
    static const char *const none[] = {
        MUST("{\"has_vector\":\"v\"}"),        MUST("{\"has_id\":[1,2]}"),
        KEYED("\"match\":{\"text\":\"1\"}"),   KEYED("\"match\":{\"text_any\":\"1\"}"),
        KEYED("\"match\":{\"phrase\":\"1\"}"), "{\"must_not\":[{\"must\":[{\"has_id\":[1]}]}]}",
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(none); i++) {
        assert_false(key_of(f, none[i], &key));
        qv__buf_free(&key);
    }
    qv__buf_init(&text, f->arena.mem); /* too long to be worth it */
    qv__buf_putz(&text, "{\"must\":[{\"key\":\"a\",\"match\":{\"any\":[1");
    for (int i = 2; i < 1000; i++) {
        char z[16];
        (void)snprintf(z, sizeof z, ",%d", i);
        qv__buf_putz(&text, z);
    }
    qv__buf_putz(&text, "]}}]}");
    qv__buf_put(&text, "", 1);
    assert_false(key_of(f, (const char *)text.p, &key));
    qv__buf_free(&key);
    qv__buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bytes, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_none, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
