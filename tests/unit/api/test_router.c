/* test_router.c: paths to routes: literals and parameters, slashes, encodings, methods. */
#include "api_fixture.h"

#include "api/dialect.h"

static const struct qv__route table[] = {
    {.method = QV__GET, .pattern = "/"},
    {.method = QV__GET, .pattern = "/list"},
    {.method = QV__POST, .pattern = "/list/special"},
    {.method = QV__GET, .pattern = "/list/{name}"},
    {.method = QV__PUT, .pattern = "/list/{name}"},
    {.method = QV__POST, .pattern = "/list/{name}/points/query"},
    {.method = QV__GET, .pattern = "/list/{name}/points/{id}"},
};

struct ctx {
    struct qv__mem *mem;
    struct qv__arena arena;
    struct qv__route_match m;
    struct qv_err err;
};

static enum qv__routed find(struct ctx *c, enum qv__method method, const char *path)
{
    return qv__route_find(table, QV_ARRAY_LEN(table), method, qv__str_z(path), &c->arena, &c->m,
                          &c->err);
}

static int setup(void **state)
{
    struct ctx *c = calloc(1, sizeof *c);
    c->mem = qv__mem_root("test", 0);
    qv__arena_init(&c->arena, c->mem);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct ctx *c = *state;
    qv__arena_free(&c->arena);
    qv__mem_close(c->mem);
    free(c);
    return 0;
}

static void expect(struct ctx *c, enum qv__method method, const char *path, size_t route,
                   const char *p0, const char *p1)
{
    if (find(c, method, path) != QV__ROUTED || c->m.route != &table[route]) {
        fail_msg("%s: not route %zu", path, route);
    }
    assert_true(qv__str_eq(c->m.params[0], qv__str_z(p0)));
    assert_true(qv__str_eq(c->m.params[1], qv__str_z(p1)));
}

static void test_matching(void **state)
{
    struct ctx *c = *state;
    expect(c, QV__GET, "/", 0, "", "");
    expect(c, QV__GET, "//", 0, "", "");
    expect(c, QV__GET, "", 0, "", "");
    expect(c, QV__GET, "/list", 1, "", "");
    expect(c, QV__POST, "/list/special", 2, "", "");
    expect(c, QV__GET, "/list/special", 3, "special", "");
    expect(c, QV__GET, "/list/a", 3, "a", "");
    expect(c, QV__PUT, "/list/a", 4, "a", "");
    expect(c, QV__POST, "/list/a/points/query", 5, "a", "");
    expect(c, QV__GET, "/list/a/points/7", 6, "a", "7");
    expect(c, QV__GET, "/list/a/points/query", 6, "a", "query");
    expect(c, QV__HEAD, "/list/a", 3, "a", "");
}

static void test_slashes_and_encodings(void **state)
{
    struct ctx *c = *state;
    expect(c, QV__GET, "/list/", 1, "", "");
    expect(c, QV__GET, "//list//", 1, "", "");
    expect(c, QV__GET, "//list//a//", 3, "a", "");
    expect(c, QV__GET, "/list/a/points//7/", 6, "a", "7");
    expect(c, QV__GET, "/%6cist", 1, "", "");
    expect(c, QV__GET, "/list/a%20b", 3, "a b", "");
    expect(c, QV__GET, "/list/%2e%2e%2fetc", 3, "../etc", "");
    expect(c, QV__GET, "/list/..", 3, "..", "");
    expect(c, QV__GET, "/list/.", 3, ".", "");
    expect(c, QV__GET, "/list/..%2fx/points/..", 6, "../x", "..");
    assert_int_equal(find(c, QV__GET, "/list/%00x"), QV__ROUTED);
    assert_int_equal(c->m.params[0].n, 2);
}

static void test_unknown(void **state)
{
    struct ctx *c = *state;
    static const char *const none[] = {"/other",
                                       "/list/a/b",
                                       "/list/a/points",
                                       "/list/a/points/7/8",
                                       "/lis",
                                       "/listx",
                                       "/a/b/c/d/e/f/g/h/i/j/k/l/m"};
    for (size_t i = 0; i < QV_ARRAY_LEN(none); i++) {
        assert_int_equal(find(c, QV__GET, none[i]), QV__ROUTE_UNKNOWN);
    }
    assert_int_equal(find(c, QV__DELETE, "/list/a"), QV__ROUTE_METHOD);
    assert_int_equal(c->m.allowed, 1u << QV__GET | 1u << QV__PUT);
    assert_int_equal(find(c, QV__OPTIONS, "/list"), QV__ROUTE_METHOD);
    assert_int_equal(find(c, QV__GET, "/list/%zz"), QV__ROUTE_MALFORMED);
    assert_int_equal(find(c, QV__GET, "/list/%ff"), QV__ROUTE_MALFORMED);
    qv__arena_free(&c->arena); /* so that the next one needs a chunk */
    qv__mem_fail_at(c->mem, 1, false);
    assert_int_equal(find(c, QV__GET, "/list/%41"), QV__ROUTE_NO_MEMORY);
}

/* Every pattern of the real table is found by its own text, and no route hides another. */
static void test_dialect_table(void **state)
{
    struct ctx *c = *state;
    const struct qv__dialect *d = &qv__qdrant_dialect;
    assert_true(d->n_routes > 60);
    for (size_t i = 0; i < d->n_routes; i++) {
        assert_true(d->routes[i].run != NULL);
        assert_true((unsigned)d->routes[i].lane < QV__LANES);
        enum qv__routed r =
            qv__route_find(d->routes, d->n_routes, d->routes[i].method,
                           qv__str_z(d->routes[i].pattern), &c->arena, &c->m, &c->err);
        if (r != QV__ROUTED || c->m.route != &d->routes[i]) {
            fail_msg("%s %s is not found", qv__method_name(d->routes[i].method),
                     d->routes[i].pattern);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_matching, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slashes_and_encodings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dialect_table, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
