/* test_value_json.c: JSON to payload values and back. */
#include "payload_test.h"

#include <math.h>

static void round_trip(void **state)
{
    struct fixture *f = *state;
    static const char *const same[] = {
        "{}",
        "{\"a\":null,\"b\":true,\"c\":false}",
        "{\"i\":[0,1,-1,9007199254740993,9223372036854775807,-9223372036854775808]}",
        "{\"u\":[9223372036854775808,18446744073709551615]}",
        "{\"f\":[0.5,-0.25,1.0,0.1,1e300,1.7976931348623157e308,5e-324,-0.0]}",
        "{\"s\":[\"\",\"a\",\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\",\"q\\\"b\\\\n\\n\"]}",
        "{\"\":\"empty key\",\"a.b\":1,\"z\":{\"y\":{\"x\":[]}},\"k\":[[],{},[{}]]}",
        "{\"z\":1,\"a\":2,\"m\":3}", /* order is kept */
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(same); i++) {
        assert_string_equal(text_of(f, row(f, same[i])), same[i]);
    }
}

static void other_kinds(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *json, *message;
    } cases[] = {
        {"5", "payload: expected an object or null, not a number"},
        {"18446744073709551615", "payload: expected an object or null, not a number"},
        {"0.5", "payload: expected an object or null, not a number"},
        {"true", "payload: expected an object or null, not a boolean"},
        {"\"x\"", "payload: expected an object or null, not a string"},
        {"[]", "payload: expected an object or null, not an array"},
    };
    struct qv__buf b;
    struct qv_err err;
    qv__buf_init(&b, f->mem);
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        assert_int_equal(qv__payload_from_json(&b, json(f, cases[i].json), &err), QV_EINVAL);
        assert_string_equal(err.message, cases[i].message);
        assert_int_equal(qv__payload_from_json(&b, json(f, cases[i].json), NULL), QV_EINVAL);
        assert_int_equal(b.n, 0);
    }
    assert_int_equal(qv__payload_from_json(&b, NULL, &err), QV_OK);
    assert_int_equal(b.n, 3);
    assert_int_equal(qv__value_from_json(&b, NULL, &err), QV_EINVAL);
    assert_int_equal(b.n, 3);
    /* Any value may be written, behind what is there. */
    assert_int_equal(qv__value_from_json(&b, json(f, "[1,\"x\"]"), &err), QV_OK);
    struct qv__value v;
    assert_true(qv__value_read(b.p + 3, b.p + b.n, &v));
    assert_true(v.tag == QV__TAG_ARR && v.count == 2 && v.end == b.p + b.n);
    qv__buf_free(&b);
}

static void repeated_keys(void **state)
{
    struct fixture *f = *state;
    static const char *const cases[][2] = {
        {"{\"a\":1,\"a\":2}", "{\"a\":2}"},
        {"{\"a\":1,\"b\":5,\"a\":[2,{\"x\":1,\"x\":3}]}", "{\"a\":[2,{\"x\":3}],\"b\":5}"},
        {"{\"a\":{\"b\":1,\"c\":2,\"b\":3,\"c\":4,\"b\":null}}", "{\"a\":{\"b\":null,\"c\":4}}"},
        {"{\"\":1,\"\":2,\"b\":3}", "{\"\":2,\"b\":3}"},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        assert_string_equal(text_of(f, row(f, cases[i][0])), cases[i][1]);
    }
    /* Around the size where hashing takes over; every key twice, then only the last. */
    for (unsigned n = 30; n < 300; n += n < 36 ? 1 : 71) {
        for (unsigned mode = 0; mode < 3; mode++) {
            struct qv__buf in, want;
            qv__buf_init(&in, f->mem);
            qv__buf_init(&want, f->mem);
            for (unsigned i = 0; i < n; i++) {
                qv__buf_printf(&in, "%s\"k%u\":%u", i ? "," : "{", i, i);
            }
            for (unsigned i = 0; i < n && mode; i++) {
                if (mode == 1 || i == n - 1) {
                    qv__buf_printf(&in, ",\"k%u\":[%u]", i, i);
                }
            }
            for (unsigned i = 0; i < n; i++) {
                bool twice = mode == 1 || (mode == 2 && i == n - 1);
                qv__buf_printf(&want, twice ? "%s\"k%u\":[%u]" : "%s\"k%u\":%u", i ? "," : "{", i,
                               i);
            }
            qv__buf_putz(&in, "}");
            qv__buf_putz(&want, "}");
            qv__buf_u8(&want, 0);
            struct qv__bytes r = row_of(f, json_n(f, (const char *)in.p, in.n));
            assert_string_equal(text_of(f, r), (const char *)want.p);
            qv__buf_free(&in);
            qv__buf_free(&want);
        }
    }
}

static void numbers_survive(void **state)
{
    struct fixture *f = *state;
    struct qv__bytes r = row(f, "{\"a\":[5,5.0,9007199254740993,1e2,-0]}");
    struct qv__path p = path("a[]");
    struct qv__value root, arr, v;
    struct qv__value_iter it;
    (void)p;
    assert_true(qv__value_read(r.p, r.p + r.n, &root));
    qv__value_iter_init(&it, &root);
    assert_true(qv__value_iter_next(&it, NULL, &arr));
    qv__value_iter_init(&it, &arr);
    assert_true(qv__value_iter_next(&it, NULL, &v) && v.tag == QV__TAG_I64 && v.i == 5);
    assert_true(qv__value_iter_next(&it, NULL, &v) && v.tag == QV__TAG_F64 && v.f == 5.0);
    assert_true(qv__value_iter_next(&it, NULL, &v) && v.tag == QV__TAG_I64 &&
                v.i == INT64_C(9007199254740993));
    assert_true(qv__value_iter_next(&it, NULL, &v) && v.tag == QV__TAG_F64 && v.f == 100.0);
}

static void out_of_memory(void **state)
{
    struct fixture *f = *state;
    qv__json v =
        json(f, "{\"a\":[1,2,{\"b\":\"cccccccccccccccccccccccccccccccccccccccccccccccccc\","
                "\"b\":{\"x\":1,\"y\":2,\"x\":3}}],\"a\":5,\"d\":[[1],[2],[3,[4]]],"
                "\"e\":\"eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee\"}");
    size_t before = qv__mem_used(f->mem);
    bool done = false;
    unsigned failures = 0;
    for (uint64_t n = 1; !done; n++) {
        struct qv__buf b;
        struct qv_err err = {.code = QV_OK};
        qv__buf_init(&b, f->mem);
        qv__buf_put(&b, "old", 3);
        qv__mem_fail_at(f->mem, n, true);
        qv_status st = qv__payload_from_json(&b, v, &err);
        done = st == QV_OK;
        qv__mem_fail_at(f->mem, 0, false);
        if (!done) {
            assert_int_equal(st, QV_ENOMEM);
            assert_int_equal(err.code, QV_ENOMEM);
            assert_true(err.message[0] != 0);
            assert_int_equal(b.n, 3);
            failures++;
        }
        assert_memory_equal(b.p, "old", 3);
        qv__buf_free(&b);
        assert_int_equal(qv__mem_used(f->mem), before);
    }
    assert_true(failures >= 4);

    /* A limit of the buffer is another error. */
    struct qv__buf b;
    struct qv_err err;
    qv__buf_init(&b, f->mem);
    b.limit = 20;
    assert_int_equal(qv__payload_from_json(&b, v, &err), QV_ETOOBIG);
    assert_int_equal(b.n, 0);
    qv__buf_free(&b);
    qv__buf_init(&b, f->mem);
    b.limit = 2;
    assert_int_equal(qv__payload_from_json(&b, NULL, &err), QV_ETOOBIG);
    assert_int_equal(b.n, 0);
    qv__buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(round_trip),      TEST(other_kinds),   TEST(repeated_keys),
        TEST(numbers_survive), TEST(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
