/* test_params.c: the query string: values, defaults, doubles, what each route looks at. */
#include "api_fixture.h"

#include "api/qdrant/qdrant.h"

struct ctx {
    struct qv__mem *mem;
    struct qv__arena arena;
    struct qv__request request;
    struct qv__route route;
    struct qv__call call;
};

static qv_status parse(struct ctx *c, uint32_t flags, const char *query)
{
    memset(&c->call, 0, sizeof c->call);
    c->route.flags = flags;
    c->request.query = qv__str_z(query);
    c->call.request = &c->request;
    c->call.route = &c->route;
    c->call.arena = &c->arena;
    return qv__qd_params(&c->call);
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

static void test_good(void **state)
{
    struct ctx *c = *state;
    assert_int_equal(parse(c, QV__QD_UPDATE, ""), QV_OK);
    assert_false(c->call.query.wait);
    assert_int_equal(c->call.query.durability, QV__DURABILITY_DEFAULT);
    assert_int_equal(c->call.query.timeout_s, 0);
    assert_int_equal(parse(c, QV__QD_UPDATE, "wait=true&timeout=7&ordering=strong"), QV_OK);
    assert_true(c->call.query.wait);
    assert_int_equal(c->call.query.timeout_s, 7);
    assert_int_equal(parse(c, QV__QD_UPDATE, "&&wait=false&&ordering=weak&"), QV_OK);
    assert_false(c->call.query.wait);
    assert_int_equal(parse(c, QV__QD_UPDATE, "%77ait=%74rue&unknown=1&unknown=2"), QV_OK);
    assert_true(c->call.query.wait);
    assert_int_equal(parse(c, QV__QD_UPDATE, "durability=relaxed"), QV_OK);
    assert_int_equal(c->call.query.durability, QV__DURABILITY_RELAXED);
    assert_int_equal(parse(c, QV__QD_UPDATE, "durability=fsync"), QV_OK);
    assert_int_equal(c->call.query.durability, QV__DURABILITY_FSYNC);
    assert_int_equal(parse(c, QV__QD_UPDATE, "timeout=18446744073709551615"), QV_OK);
    static const char *const consistencies[] = {"", "all", "majority", "quorum", "1", "42"};
    for (size_t i = 0; i < QV_ARRAY_LEN(consistencies); i++) {
        char q[64];
        snprintf(q, sizeof q, "consistency=%s", consistencies[i]);
        assert_int_equal(parse(c, QV__QD_READ, q), QV_OK);
    }
    /* A route without the parameter does not look at it. */
    assert_int_equal(parse(c, 0, "timeout=0&wait=maybe&consistency=x"), QV_OK);
    assert_int_equal(parse(c, QV__QD_TIMEOUT, "wait=maybe&consistency=x"), QV_OK);
}

static void test_bad(void **state)
{
    struct ctx *c = *state;
    static const struct {
        uint32_t flags;
        const char *query;
        enum qv__qd_kind kind;
        const char *text;
    } cases[] = {
        {QV__QD_UPDATE, "wait=yes", QV__QD_QUERY_FORMAT, "was not `true` or `false`"},
        {QV__QD_UPDATE, "wait=", QV__QD_QUERY_FORMAT, "was not `true` or `false`"},
        {QV__QD_UPDATE, "wait", QV__QD_QUERY_FORMAT, "was not `true` or `false`"},
        {QV__QD_UPDATE, "wait=TRUE", QV__QD_QUERY_FORMAT, "was not `true` or `false`"},
        {QV__QD_UPDATE, "wait=true&wait=true", QV__QD_QUERY_FORMAT, "duplicate field `wait`"},
        {QV__QD_UPDATE, "ordering=fast", QV__QD_QUERY_FORMAT,
         "unknown variant `fast`, expected one of `weak`, `medium`, `strong`"},
        {QV__QD_UPDATE, "durability=none", QV__QD_QUERY_FORMAT,
         "unknown variant `none`, expected one of `fsync`, `relaxed`"},
        {QV__QD_UPDATE, "timeout=0", QV__QD_QUERY_INVALID,
         "timeout: value 0 invalid, must be 1 or larger"},
        {QV__QD_TIMEOUT, "timeout=0", QV__QD_QUERY_INVALID,
         "timeout: value 0 invalid, must be 1 or larger"},
        {QV__QD_READ, "timeout=-1", QV__QD_QUERY_FORMAT, "no number of seconds"},
        {QV__QD_READ, "timeout=1.5", QV__QD_QUERY_FORMAT, "no number of seconds"},
        {QV__QD_READ, "timeout=", QV__QD_QUERY_FORMAT, "no number of seconds"},
        {QV__QD_READ, "timeout=18446744073709551616", QV__QD_QUERY_FORMAT, "no number of seconds"},
        {QV__QD_READ, "consistency=0", QV__QD_QUERY_FORMAT, "query parameter value '0'"},
        {QV__QD_READ, "consistency=most", QV__QD_QUERY_FORMAT, "query parameter value 'most'"},
        {QV__QD_READ, "consistency=-1", QV__QD_QUERY_FORMAT, "query parameter value '-1'"},
        {QV__QD_READ, "consistency=%zz", QV__QD_QUERY_FORMAT, "percent-encoding"},
        {QV__QD_READ, "%ff=1", QV__QD_QUERY_FORMAT, "not UTF-8"},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        qv_status st = parse(c, cases[i].flags, cases[i].query);
        if (st == QV_OK || c->call.kind != cases[i].kind ||
            !strstr(c->call.err.message, cases[i].text)) {
            fail_msg("%s: %s, %s", cases[i].query, qv_status_name(st), c->call.err.message);
        }
    }
}

static void test_ids_sorted(void **state)
{
    struct ctx *c = *state;
    (void)c;
    uint64_t x = 88172645463325252u;
    struct qv__id
        ids[200]; /* gcc 12 with -O1 gives one inside the loop the place of another local */
    for (size_t n = 0; n < 200; n++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < n; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            ids[i] = qv__id_u64(x % (n + 1));
            sum |= UINT64_C(1) << (ids[i].u % 64);
        }
        size_t kept = qv__qd_ids_sort(ids, n);
        assert_true(kept <= n && (n == 0) == (kept == 0));
        for (size_t i = 0; i < kept; i++) {
            assert_true(i == 0 || ids[i - 1].u < ids[i].u);
            sum &= ~(UINT64_C(1) << (ids[i].u % 64));
        }
        assert_int_equal(sum, 0);
    }
}

static void test_id_text(void **state)
{
    struct ctx *c = *state;
    struct qv__id id;
    assert_int_equal(parse(c, 0, ""), QV_OK);
    assert_int_equal(qv__qd_id_text(&c->call, QV__STR("0"), &id), QV_OK);
    assert_int_equal(id.u, 0);
    assert_int_equal(qv__qd_id_text(&c->call, QV__STR("007"), &id), QV_OK);
    assert_int_equal(id.u, 7);
    assert_int_equal(qv__qd_id_text(&c->call, QV__STR("18446744073709551615"), &id), QV_OK);
    assert_true(id.u == UINT64_MAX);
    assert_int_equal(qv__qd_id_text(&c->call, QV__STR("550E8400-e29b-41d4-a716-446655440000"), &id),
                     QV_OK);
    assert_int_equal(id.kind, QV__ID_UUID);
    assert_int_equal(qv__qd_id_text(&c->call, QV__STR("00000000000000000000000000000001"), &id),
                     QV_OK);
    static const char *const bad[] = {"",
                                      "-1",
                                      "1.0",
                                      "1e3",
                                      "18446744073709551616",
                                      "abc",
                                      " 1",
                                      "0x1",
                                      "550e8400-e29b-41d4-a716-44665544000",
                                      "550e8400-e29b-41d4-a716-44665544000g"};
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        if (qv__qd_id_text(&c->call, qv__str_z(bad[i]), &id) != QV_EINVAL) {
            fail_msg("\"%s\" is taken for an id", bad[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ids_sorted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_id_text, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
