/* test_path.c: the text of paths and the values they lead to. */
#include "payload_test.h"

static void parse_good(void **state)
{
    (void)state;
    struct qv__path p = path("foo[1][50].bar-baz[].\"qux[.]quux\"");
    assert_int_equal(p.n, 6);
    assert_true(p.step[0].kind == QV__STEP_KEY && qv__str_eq(p.step[0].key, QV__STR("foo")));
    assert_true(p.step[1].kind == QV__STEP_INDEX && p.step[1].index == 1);
    assert_true(p.step[2].kind == QV__STEP_INDEX && p.step[2].index == 50);
    assert_true(p.step[3].kind == QV__STEP_KEY && qv__str_eq(p.step[3].key, QV__STR("bar-baz")));
    assert_true(p.step[4].kind == QV__STEP_ALL);
    assert_true(p.step[5].kind == QV__STEP_KEY && qv__str_eq(p.step[5].key, QV__STR("qux[.]quux")));

    static const struct {
        const char *text;
        unsigned steps;
    } good[] = {
        {"a", 1},
        {"_", 1},
        {"-", 1},
        {"0", 1},
        {"a_b-c9", 1},
        {"\"\"", 1},
        {"\"a b\"", 1},
        {"a.\"\"", 2},
        {"a[][]", 3},
        {"\"a.b\"[].c", 3},
        {"a[007]", 2},
        {"a.\"x\"[]", 3},
        {"\xd0\xb8\xd0\xbc\xd1\x8f.b", 2},
        {"a[4294967296]", 2},
        {"a[18446744073709551615]", 2},
        {"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", 16},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(good); i++) {
        p = path(good[i].text);
        assert_int_equal(p.n, good[i].steps);
    }
    p = path("a[18446744073709551615]");
    assert_int_equal(p.step[1].index, UINT32_MAX);
    p = path("a[4294967296]");
    assert_int_equal(p.step[1].index, UINT32_MAX);
    p = path("a[4294967294]");
    assert_int_equal(p.step[1].index, 4294967294u);
    p = path("a[007]");
    assert_int_equal(p.step[1].index, 7);
}

static void parse_bad(void **state)
{
    (void)state;
    static const char *const odd = "expected a key of letters, digits, '_' and '-'; quote others";
    const struct {
        const char *text;
        size_t at;
        const char *reason;
    } bad[] = {
        {"", 0, "a key is missing"},
        {".a", 0, odd},
        {"[0]", 0, odd},
        {"[]", 0, odd},
        {" a", 0, odd},
        {"a b", 1, "expected '.' or '['"},
        {"a ", 1, "expected '.' or '['"},
        {"a\"b\"", 1, "expected '.' or '['"},
        {"\"a\"b", 3, "expected '.' or '['"},
        {"a[]b", 3, "expected '.' or '['"},
        {"a]", 1, "expected '.' or '['"},
        {"a.", 2, "a key is missing"},
        {"a..b", 2, odd},
        {"a.[0]", 2, odd},
        {"a.[]", 2, odd},
        {"a[", 2, "expected an index or ']'"},
        {"a[x]", 2, "expected an index or ']'"},
        {"a[-1]", 2, "expected an index or ']'"},
        {"a[ 1]", 2, "expected an index or ']'"},
        {"a[1", 3, "expected ']'"},
        {"a[1 ]", 3, "expected ']'"},
        {"a[18446744073709551616]", 21, "the index is too large"},
        {"\"a", 2, "the quote is not closed"},
        {"\"", 1, "the quote is not closed"},
        {"\"a\\\"b\"", 2, "a quoted key cannot hold a backslash"},
        {"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q", 31, "more than 16 steps"},
        {"a[][][][][][][][][][][][][][][][]", 31, "more than 16 steps"},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        struct qv__path p = {.n = 77};
        struct qv_err err;
        char want[160];
        snprintf(want, sizeof want, "invalid path at byte %zu: %s", bad[i].at, bad[i].reason);
        assert_int_equal(qv__path_parse(qv__str_z(bad[i].text), &p, &err), QV_EINVAL);
        assert_string_equal(err.message, want);
        assert_int_equal(p.n, 77);
        assert_int_equal(qv__path_parse(qv__str_z(bad[i].text), &p, NULL), QV_EINVAL);
    }
}

struct collect {
    struct qv__jw w;
    size_t stop_after, n;
};

static bool collect_value(void *ctx, const struct qv__value *v)
{
    struct collect *c = ctx;
    qv__value_to_json(&c->w, v);
    return ++c->n != c->stop_after;
}

static void check_each(struct fixture *f, const char *doc, const char *text, const char *want)
{
    struct qv__buf b;
    struct collect c = {.n = 0};
    struct qv__path p = path(text);
    qv__buf_init(&b, f->mem);
    qv__jw_init(&c.w, &b);
    qv__jw_arr(&c.w);
    size_t n = qv__path_each(row(f, doc), &p, collect_value, &c);
    qv__jw_arr_end(&c.w);
    assert_int_equal(n, c.n);
    const char *got = (const char *)keep(f, &b).p;
    if (strcmp(got, want) != 0) {
        fail_msg("%s of %s: got %s, want %s", text, doc, got, want);
    }
}

static void values(void **state)
{
    struct fixture *f = *state;
    static const char nulls[] = "{\"a\":null,\"b\":[null,null],\"c\":[]}";
    static const char list[] = "{\"arr\":[{\"a\":[1,2,3]},{\"a\":4},{\"b\":5},6,[{\"a\":7}]]}";
    static const char deep[] =
        "{\"arr1\":[{\"arr2\":[{\"a\":1,\"b\":2}]},"
        "{\"arr2\":[{\"a\":3,\"b\":4},{\"a\":5,\"b\":6}]},{\"arr2\":{\"a\":9}}]}";
    static const char quoted[] = "{\"a.b\":1,\"a\":{\"b\":2,\"\":3,\"c d\":[4]},\"\":{\"x\":5}}";
    const char *cases[][3] = {
        {nulls, "a", "[null]"},
        {nulls, "a[]", "[]"},
        {nulls, "b", "[[null,null]]"},
        {nulls, "b[]", "[null,null]"},
        {nulls, "c", "[[]]"},
        {nulls, "c[]", "[]"},
        {nulls, "d", "[]"},
        {nulls, "d[]", "[]"},
        {nulls, "a.b", "[]"},
        {list, "arr[].a", "[[1,2,3],4]"},
        {list, "arr[].a[]", "[1,2,3]"},
        {list, "arr.a", "[]"}, /* a key step does not enter an array */
        {list, "arr[0].a[2]", "[3]"},
        {list, "arr[0].a[3]", "[]"},
        {list, "arr[3]", "[6]"},
        {list, "arr[4][0].a", "[7]"},
        {list, "arr[][].a", "[7]"},
        {list, "arr[4][].a", "[7]"},
        {list, "arr[9]", "[]"},
        {list, "arr[4294967295]", "[]"},
        {list, "arr[]", "[{\"a\":[1,2,3]},{\"a\":4},{\"b\":5},6,[{\"a\":7}]]"},
        {deep, "arr1[].arr2[].a", "[1,3,5]"},
        {deep, "arr1[1].arr2[].b", "[4,6]"},
        {deep, "arr1[].arr2[1].b", "[6]"},
        {deep, "arr1[].arr2.a", "[9]"},
        {quoted, "a.b", "[2]"},
        {quoted, "\"a.b\"", "[1]"},
        {quoted, "a.\"\"", "[3]"},
        {quoted, "\"\".x", "[5]"},
        {quoted, "a.\"c d\"[0]", "[4]"},
        {quoted, "\"a\"", "[{\"b\":2,\"\":3,\"c d\":[4]}]"},
        {"{\"s\":\"text\"}", "s.x", "[]"},
        {"{\"s\":\"text\"}", "s[0]", "[]"},
        {"{\"s\":\"text\"}", "s[]", "[]"},
        {"{\"s\":{\"0\":1}}", "s[0]", "[]"},
        {"{\"s\":{\"0\":1}}", "s.0", "[1]"},
        {"{}", "s", "[]"},
        {"{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{"
         "\"a\":"
         "{\"a\":{\"a\":{\"a\":8}}}}}}}}}}}}}}}}",
         "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a", "[8]"},
        {"{\"a\":[[[[[[[[[[[[[[[1,2],[3]]]]]]]]]]]]]]]}", "a[][][][][][][][][][][][][][][]",
         "[1,2,3]"},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        check_each(f, cases[i][0], cases[i][1], cases[i][2]);
    }
}

static void stop_early(void **state)
{
    struct fixture *f = *state;
    struct qv__path p = path("a[].b[]");
    struct qv__bytes r = row(f, "{\"a\":[{\"b\":[1,2]},{\"b\":[3,4]}]}");
    for (size_t stop = 1; stop <= 5; stop++) {
        struct qv__buf b;
        struct collect c = {.stop_after = stop};
        qv__buf_init(&b, f->mem);
        qv__jw_init(&c.w, &b);
        qv__jw_arr(&c.w);
        assert_int_equal(qv__path_each(r, &p, collect_value, &c), QV_MIN(stop, 4u));
        qv__buf_free(&b);
    }
    struct collect c = {.n = 0};
    assert_int_equal(qv__path_each((struct qv__bytes){NULL, 0}, &p, collect_value, &c), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_good),
        cmocka_unit_test(parse_bad),
        TEST(values),
        TEST(stop_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
