/* test_payload_select.c: with_payload: what is written of a row. */
#include "payload_test.h"

static const char *select_text(struct fixture *f, struct qv__bytes r,
                               const struct qv__payload_selector *sel)
{
    struct qv__buf b;
    struct qv__jw w;
    qv__buf_init(&b, f->mem);
    qv__jw_init(&w, &b);
    qv__payload_select_json(&w, r, sel, NULL);
    assert_false(b.failed);
    return (const char *)keep(f, &b).p;
}

static const char doc[] =
    "{\"a\":{\"b\":[{\"c\":1},{\"c\":2,\"x\":9},{\"d\":{\"e\":3}},7]},\"f\":3,"
    "\"g\":[\"g0\",\"g1\"],\"h i\":{\"j\":{}}}";

static void cases(void **state)
{
    struct fixture *f = *state;
    static const struct {
        bool include;
        const char *paths[3];
        const char *want;
    } list[] = {
        {true, {NULL}, "{}"},
        {true, {"f"}, "{\"f\":3}"},
        {true, {"nothing"}, "{}"},
        {true, {"g", "f"}, "{\"f\":3,\"g\":[\"g0\",\"g1\"]}"},
        {true, {"g[]"}, "{\"g\":[\"g0\",\"g1\"]}"},
        {true, {"g[0]"}, "{\"g\":[]}"}, /* only [] names elements */
        {true, {"a"}, "{\"a\":{\"b\":[{\"c\":1},{\"c\":2,\"x\":9},{\"d\":{\"e\":3}},7]}}"},
        {true, {"a.b"}, "{\"a\":{\"b\":[{\"c\":1},{\"c\":2,\"x\":9},{\"d\":{\"e\":3}},7]}}"},
        {true, {"a.b[]"}, "{\"a\":{\"b\":[{\"c\":1},{\"c\":2,\"x\":9},{\"d\":{\"e\":3}},7]}}"},
        {true, {"a.b[].c"}, "{\"a\":{\"b\":[{\"c\":1},{\"c\":2},{},7]}}"},
        {true, {"a.b[].d.e"}, "{\"a\":{\"b\":[{},{},{\"d\":{\"e\":3}},7]}}"},
        {true, {"a.b.c"}, "{\"a\":{\"b\":[]}}"},
        {true, {"a.q"}, "{\"a\":{}}"},
        {true, {"f.q"}, "{\"f\":3}"}, /* a scalar on the way stays */
        {true, {"\"h i\".j"}, "{\"h i\":{\"j\":{}}}"},
        {true,
         {"a.b[].c", "a.b[].x", "f"},
         "{\"a\":{\"b\":[{\"c\":1},{\"c\":2,\"x\":9},{},7]},\"f\":3}"},
        {false, {NULL}, doc},
        {false, {"nothing"}, doc},
        {false, {"f.q"}, doc},
        {false, {"g[0]"}, doc},
        {false, {"a.b.c"}, doc},
        {false, {"a", "g"}, "{\"f\":3,\"h i\":{\"j\":{}}}"},
        {false, {"a.b"}, "{\"a\":{},\"f\":3,\"g\":[\"g0\",\"g1\"],\"h i\":{\"j\":{}}}"},
        {false, {"a.b[]", "g[]"}, "{\"a\":{\"b\":[]},\"f\":3,\"g\":[],\"h i\":{\"j\":{}}}"},
        {false,
         {"a.b[].c", "\"h i\"", "g"},
         "{\"a\":{\"b\":[{},{\"x\":9},{\"d\":{\"e\":3}},7]},\"f\":3}"},
        {false,
         {"a.b[].d.e", "f", "g"},
         "{\"a\":{\"b\":[{\"c\":1},{\"c\":2,\"x\":9},{\"d\":{}},7]},\"h i\":{\"j\":{}}}"},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(list); i++) {
        struct qv__path paths[3];
        struct qv__payload_selector sel = {
            .kind = list[i].include ? QV__SELECT_INCLUDE : QV__SELECT_EXCLUDE,
            .paths = paths,
        };
        while (sel.n_paths < 3 && list[i].paths[sel.n_paths]) {
            paths[sel.n_paths] = path(list[i].paths[sel.n_paths]);
            sel.n_paths++;
        }
        const char *got = select_text(f, row(f, doc), &sel);
        if (strcmp(got, list[i].want) != 0) {
            fail_msg("%s %s: got %s, want %s", list[i].include ? "include" : "exclude",
                     list[i].paths[0] ? list[i].paths[0] : "-", got, list[i].want);
        }
    }
    struct qv__payload_selector sel = {.kind = QV__SELECT_ALL};
    assert_string_equal(select_text(f, row(f, doc), &sel), doc);
    sel.kind = QV__SELECT_NONE;
    assert_string_equal(select_text(f, row(f, doc), &sel), "null");
    struct qv__bytes nothing = {NULL, 0};
    sel.kind = QV__SELECT_ALL;
    assert_string_equal(select_text(f, nothing, &sel), "{}");
    sel.kind = QV__SELECT_INCLUDE;
    assert_string_equal(select_text(f, nothing, &sel), "{}");
}

/* Rows far deeper than any path. */
static void deep_rows(void **state)
{
    struct fixture *f = *state;
    char text[1024];
    char *p = text;
    for (int i = 0; i < 60; i++) {
        p += sprintf(p, "{\"a\":");
    }
    p += sprintf(p, "1");
    for (int i = 0; i < 60; i++) {
        *p++ = '}';
    }
    *p = 0;
    struct qv__path sixteen = path("a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a");
    struct qv__payload_selector sel = {QV__SELECT_INCLUDE, &sixteen, 1};
    assert_string_equal(select_text(f, row(f, text), &sel), text);
    sel.kind = QV__SELECT_EXCLUDE;
    assert_string_equal(
        select_text(f, row(f, text), &sel),
        "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":"
        "{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}}}}}}}}}}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(cases), TEST(deep_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
