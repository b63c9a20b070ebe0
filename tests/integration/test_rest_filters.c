/* test_rest_filters.c: filters at their edges: fields that are missing, types mixed under one key,
 * long and deep trees, empty lists, numbers, shapes and dates out of range. Each is asked without
 * an index and with one of every type: the answer is the same, or the same error. */
#include "test_rest.h"

#define WAIT  "?wait=true"
#define COUNT "/collections/c/points/count"

static const char *const payloads[] = {
    "{}",
    "{\"v\":5,\"a\":[{\"b\":1,\"c\":[1,2]},{\"b\":2}]}",
    "{\"v\":\"5\",\"a\":[{\"b\":1},{\"b\":1}]}",
    "{\"v\":5.0,\"a\":{\"b\":1}}",
    "{\"v\":true,\"a\":[]}",
    "{\"v\":null,\"a\":null}",
    "{\"v\":[5,\"5\"],\"a\":[{\"b\":[1,3]}]}",
    "{\"v\":[]}",
    "{\"v\":\"2024-05-01T00:00:00Z\"}",
    "{\"v\":{\"lon\":10,\"lat\":20}}",
    "{\"v\":[{\"lon\":-179,\"lat\":-89},{\"lon\":179,\"lat\":89}]}",
    "{\"v\":[null,1]}",
    "{\"v\":18446744073709551615}",
};
enum { N = sizeof payloads / sizeof *payloads };

struct asked {
    const char *filter;
    int count;
};

static const struct asked all[] = {
    /* missing fields */
    {"{\"must\":{\"key\":\"none\",\"match\":{\"value\":1}}}", 0},
    {"{\"must\":{\"key\":\"none\",\"match\":{\"except\":[1]}}}", 0},
    {"{\"must_not\":{\"key\":\"none\",\"range\":{\"gt\":1}}}", N},
    {"{\"must\":{\"is_empty\":{\"key\":\"none\"}}}", N},
    {"{\"must\":{\"is_null\":{\"key\":\"none\"}}}", 0},
    {"{\"must\":{\"key\":\"none\",\"values_count\":{\"lt\":1}}}", N},
    {"{\"must\":{\"key\":\"v.deep[].down\",\"match\":{\"any\":[\"x\"]}}}", 0},
    /* mixed types */
    {"{\"must\":{\"key\":\"v\",\"match\":{\"value\":5}}}", 2},
    {"{\"must\":{\"key\":\"v\",\"match\":{\"value\":\"5\"}}}", 2},
    {"{\"must\":{\"key\":\"v\",\"match\":{\"value\":true}}}", 1},
    {"{\"must\":{\"key\":\"v\",\"range\":{\"gte\":5,\"lte\":5}}}", 3},
    {"{\"must\":{\"key\":\"v\",\"range\":{\"gt\":1e19}}}", 1},
    {"{\"must\":{\"key\":\"v\",\"range\":{\"gte\":\"2024-01-01\"}}}", 1},
    {"{\"must\":{\"key\":\"v\",\"match\":{\"prefix\":\"2024\"}}}", 1},
    {"{\"must\":{\"is_null\":{\"key\":\"v\"}}}", 1},
    {"{\"must\":{\"key\":\"v\",\"is_null\":true}}", 2},
    {"{\"must\":{\"is_empty\":{\"key\":\"v\"}}}", 3},
    {"{\"must\":{\"key\":\"v\",\"values_count\":{\"gte\":2}}}", 3},
    {"{\"must\":{\"key\":\"v\",\"values_count\":{\"lt\":1}}}", 3},
    /* ranges without a bound, with none to meet, with all */
    {"{\"must\":{\"key\":\"v\",\"range\":{}}}", 5},
    {"{\"must\":{\"key\":\"v\",\"range\":{\"gt\":6,\"lt\":5}}}", 0},
    {"{\"must\":{\"key\":\"v\",\"range\":{\"gte\":null,\"lt\":6}}}", 4},
    /* empty lists and clauses */
    {"{}", N},
    {"{\"must\":[],\"should\":[],\"must_not\":[]}", N},
    {"{\"must\":{\"key\":\"v\",\"match\":{\"any\":[]}}}", 0},
    {"{\"must\":{\"key\":\"v\",\"match\":{\"except\":[]}}}", 10},
    {"{\"must\":{\"has_id\":[]}}", 0},
    {"{\"must_not\":{\"has_id\":[]}}", N},
    /* elements of arrays, one object at a time */
    {"{\"must\":{\"key\":\"a[].b\",\"match\":{\"value\":1}}}", 3},
    {"{\"must\":{\"key\":\"a.b\",\"match\":{\"value\":1}}}", 1},
    {"{\"must\":{\"key\":\"a[1].b\",\"match\":{\"value\":1}}}", 1},
    {"{\"must\":{\"nested\":{\"key\":\"a\",\"filter\":{\"must\":[{\"key\":\"b\",\"match\":{"
     "\"value\":1}},"
     "{\"key\":\"c\",\"values_count\":{\"gte\":2}}]}}}}",
     1},
    {"{\"must\":{\"nested\":{\"key\":\"a[]\",\"filter\":{\"must_not\":{\"key\":\"b\",\"match\":{"
     "\"value\":1}}}}}}",
     1},
    {"{\"min_should\":{\"min_count\":2,\"conditions\":[{\"key\":\"v\",\"match\":{\"value\":5}},{"
     "\"key\":\"v\","
     "\"match\":{\"value\":\"5\"}},{\"key\":\"a[].b\",\"match\":{\"value\":3}}]}}",
     1},
    /* places; edges are outside */
    {"{\"must\":{\"key\":\"v\",\"geo_bounding_box\":{\"top_left\":{\"lon\":9,\"lat\":21},\"bottom_"
     "right\":{\"lon\":"
     "11,\"lat\":19}}}}",
     1},
    {"{\"must\":{\"key\":\"v\",\"geo_bounding_box\":{\"top_left\":{\"lon\":10,\"lat\":20},\"bottom_"
     "right\":{\"lon\":"
     "10,\"lat\":20}}}}",
     0},
    {"{\"must\":{\"key\":\"v\",\"geo_bounding_box\":{\"top_left\":{\"lon\":178,\"lat\":90},"
     "\"bottom_right\":{\"lon\":"
     "-178,\"lat\":80}}}}",
     1},
    {"{\"must\":{\"key\":\"v\",\"geo_radius\":{\"center\":{\"lon\":0,\"lat\":90},\"radius\":120000}"
     "}}",
     1},
    {"{\"must\":{\"key\":\"v\",\"geo_radius\":{\"center\":{\"lon\":10,\"lat\":20},\"radius\":0}}}",
     0},
    {"{\"must\":{\"key\":\"v\",\"geo_radius\":{\"center\":{\"lon\":10,\"lat\":20},\"radius\":-1}}}",
     0},
    {"{\"must\":{\"key\":\"v\",\"geo_polygon\":{\"exterior\":{\"points\":[{\"lon\":10,\"lat\":20},{"
     "\"lon\":10,\"lat\":"
     "20},{\"lon\":10,\"lat\":20},{\"lon\":10,\"lat\":20}]}}}}",
     0},
    {"{\"must\":{\"key\":\"v\",\"geo_polygon\":{\"exterior\":{\"points\":[{\"lon\":0,\"lat\":0},{"
     "\"lon\":40,\"lat\":0}"
     ",{\"lon\":10,\"lat\":60},{\"lon\":0,\"lat\":0}]}}}}",
     1},
};

/* 400 or 422 with a message that names the place. */
static const struct {
    const char *filter, *place;
} wrong[] = {
    {"{\"must\":{\"key\":\"v\",\"range\":{\"gt\":NaN}}}", ""},
    {"{\"must\":{\"key\":\"v\",\"range\":{\"gt\":1e999}}}", ""},
    {"{\"must\":{\"key\":\"v\",\"range\":{\"gt\":\"NaN\"}}}", "filter.must.range.gt"},
    {"{\"must\":{\"key\":\"v\",\"range\":{\"gt\":\"2024-02-30\"}}}", "filter.must.range.gt"},
    {"{\"must\":{\"key\":\"v\",\"range\":{\"gt\":\"999999-01-01T00:00:00Z\"}}}",
     "filter.must.range.gt"},
    {"{\"must\":{\"key\":\"v\",\"range\":{\"gt\":1,\"lt\":\"2024-01-01\"}}}",
     "filter.must.range.gt"},
    {"{\"must\":{\"key\":\"v\",\"values_count\":{\"gt\":-1}}}", "filter.must.values_count.gt"},
    {"{\"must\":{\"key\":\"v\",\"match\":{\"value\":1.5}}}", "filter.must.match.value"},
    {"{\"must\":{\"key\":\"v\",\"match\":{\"any\":[1,\"a\"]}}}", "filter.must.match.any[1]"},
    {"{\"must\":{\"key\":\"v\",\"match\":{}}}", "filter.must.match"},
    {"{\"must\":{\"key\":\"v\"}}", "filter.must"},
    {"{\"must\":{\"key\":\"\",\"match\":{\"value\":1}}}", "filter.must.key"},
    {"{\"must\":{\"key\":\"a[\",\"match\":{\"value\":1}}}", "filter.must.key"},
    {"{\"must\":{\"slice\":{\"total\":2,\"index\":2}}}", "filter.must.slice"},
    {"{\"min_should\":{\"min_count\":0,\"conditions\":[]}}", "filter.min_should"},
    {"{\"must\":{\"key\":\"v\",\"geo_radius\":{\"center\":{\"lon\":181,\"lat\":0},\"radius\":1}}}",
     "filter.must.geo_radius.center"},
    {"{\"must\":{\"key\":\"v\",\"geo_polygon\":{\"exterior\":{\"points\":[{\"lon\":0,\"lat\":0},{"
     "\"lon\":1,\"lat\":0},"
     "{\"lon\":0,\"lat\":0}]}}}}",
     "filter.must.geo_polygon.exterior.points"},
    {"{\"must\":{\"key\":\"v\",\"geo_polygon\":{\"exterior\":{\"points\":[{\"lon\":0,\"lat\":0},{"
     "\"lon\":1,\"lat\":0},"
     "{\"lon\":1,\"lat\":1},{\"lon\":0,\"lat\":1}]}}}}",
     "filter.must.geo_polygon.exterior.points"},
};

static void ask_all(struct rest *t, const char *index)
{
    static char body[4096];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char want[32];
        snprintf(body, sizeof body, "{\"filter\":%s}", all[i].filter);
        snprintf(want, sizeof want, "{\"result\":{\"count\":%d}", all[i].count);
        if (ask(t, "POST", COUNT, body) != 200 || strncmp(t->r.body, want, strlen(want)) != 0) {
            fail_msg("index %s: %s\n%s\nwanted %d", index, all[i].filter, t->r.body, all[i].count);
        }
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(body, sizeof body, "{\"filter\":%s}", wrong[i].filter);
        int status = ask(t, "POST", COUNT, body);
        if ((status != 400 && status != 422) || !strstr(t->r.body, wrong[i].place)) {
            fail_msg("index %s: %s: %d\n%s\nwanted %s", index, wrong[i].filter, status, t->r.body,
                     wrong[i].place);
        }
    }
}

static void test_edges(void **state)
{
    static const char *const types[] = {"keyword",  "integer", "float", "bool",
                                        "datetime", "uuid",    "geo"};
    static const char *const keys[] = {"v", "a[].b", "none"};
    struct rest *t = *state;
    char body[512];
    good(t, "PUT", "/collections/c", "{\"vectors\":{\"size\":1,\"distance\":\"Dot\"}}", "true");
    for (int i = 0; i < N; i++) {
        snprintf(body, sizeof body, "{\"points\":[{\"id\":%d,\"vector\":[1],\"payload\":%s}]}", i,
                 payloads[i]);
        has(t, "PUT", "/collections/c/points" WAIT, body, 200, "completed");
    }
    ask_all(t, "none");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
            snprintf(body, sizeof body, "{\"field_name\":\"%s\",\"field_schema\":\"%s\"}", keys[k],
                     types[i]);
            has(t, "PUT", "/collections/c/index" WAIT, body, 200, "completed");
        }
        rest_reopen(t); /* rows are in a file then, with blocks */
        has(t, "PUT", "/collections/c/index" WAIT, body, 200, "completed");
        ask_all(t, types[i]);
    }
}

static void test_long_and_deep(void **state)
{
    struct rest *t = *state;
    static char body[256 << 10];
    good(t, "PUT", "/collections/c", "{\"vectors\":{\"size\":1,\"distance\":\"Dot\"}}", "true");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"points\":[{\"id\":1,\"vector\":[1],\"payload\":{\"v\":1999}}]}", 200, "completed");
    int n = sprintf(body, "{\"filter\":{\"should\":[");
    for (int i = 0; i < 2000; i++) {
        n += sprintf(body + n, "%s{\"key\":\"v\",\"match\":{\"value\":%d}}", i ? "," : "", i);
    }
    sprintf(body + n, "]}}");
    good(t, "POST", COUNT, body, "{\"count\":1}");
    for (int depth = 19; depth <= 22; depth++) {
        n = sprintf(body, "{\"filter\":");
        for (int i = 0; i < depth; i++) {
            n += sprintf(body + n, "{\"must\":[");
        }
        n += sprintf(body + n, "{\"has_id\":[1]}");
        for (int i = 0; i < depth; i++) {
            n += sprintf(body + n, "]}");
        }
        sprintf(body + n, "}");
        int status = ask(t, "POST", COUNT, body);
        assert_int_equal(status, depth <= 20 ? 200 : 413);
    }
}

/* Not exact: bounds, and what is between. */
static void test_about(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c", "{\"vectors\":{\"size\":1,\"distance\":\"Dot\"}}", "true");
    for (int i = 1; i <= 9; i++) {
        char body[128];
        snprintf(body, sizeof body,
                 "{\"points\":[{\"id\":%d,\"vector\":[1],\"payload\":{\"v\":%d}}]}", i, i);
        has(t, "PUT", "/collections/c/points" WAIT, body, 200, "completed");
    }
    good(t, "POST", COUNT, "{\"exact\":false}", "{\"count\":9,\"at_least\":9,\"at_most\":9}");
    good(t, "POST", COUNT,
         "{\"exact\":false,\"filter\":{\"must\":{\"key\":\"v\",\"range\":{\"lt\":3}}}}",
         "{\"count\":5,\"at_least\":0,\"at_most\":9}");
    good(t, "POST", COUNT,
         "{\"exact\":true,\"filter\":{\"must\":{\"key\":\"v\",\"range\":{\"lt\":3}}}}",
         "{\"count\":2}");
    has(t, "PUT", "/collections/c/index" WAIT,
        "{\"field_name\":\"v\",\"field_schema\":\"integer\"}", 200, "completed");
    rest_reopen(t); /* flushed with it */
    good(t, "POST", COUNT,
         "{\"exact\":false,\"filter\":{\"must\":{\"key\":\"v\",\"range\":{\"lt\":3}}}}",
         "{\"count\":2,\"at_least\":2,\"at_most\":2}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_edges, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_long_and_deep, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_about, rest_setup, rest_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
