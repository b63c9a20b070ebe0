/* test_rest_vectors.c: sparse vectors and multivectors over the routes: settings, shapes, queries
 * of every kind, changes, a restart. The scores can be worked out by hand. */
#include "test_rest.h"

#define C                "/collections/c"
#define Q                C "/points/query"
#define FIRST(id, score) "{\"points\":[{\"id\":" #id ",\"version\":2,\"score\":" #score "}"

static void fill(struct rest *t)
{
    assert_int_equal(
        ask(t, "PUT", C,
            "{\"vectors\":{\"d\":{\"size\":2,\"distance\":\"Dot\"},\"m\":{\"size\":2,\"distance\":"
            "\"Cosine\",\"multivector_config\":{\"comparator\":\"max_sim\"}}},\"sparse_vectors\":{"
            "\"s\":{},\"i\":{\"modifier\":\"idf\",\"index\":{\"full_scan_threshold\":9}}}}"),
        200);
    has(t, "PUT", C "/points?wait=true",
        "{\"points\":["
        "{\"id\":1,\"vector\":{\"d\":[1,0],\"m\":[[3,0],[0,2]],\"s\":{\"indices\":[7,2],\"values\":"
        "[1,2]},\"i\":{\"indices\":[7,2],\"values\":[1,1]}}},"
        "{\"id\":2,\"vector\":{\"s\":{\"indices\":[7],\"values\":[-3]},\"i\":{\"indices\":[7],"
        "\"values\":[1]},\"m\":[1,1]},\"payload\":{\"a\":1}},"
        "{\"id\":3,\"vector\":{\"d\":[0,1],\"s\":{\"indices\":[],\"values\":[]}}}]}",
        200, "completed");
}

static void look(struct rest *t)
{
    has(t, "GET", C, NULL, 200,
        "\"m\":{\"size\":2,\"distance\":\"Cosine\",\"multivector_config\":{\"comparator\":\"max_"
        "sim\"}"
        "}},\"sparse_vectors\":{\"s\":{},\"i\":{\"index\":{\"full_scan_threshold\":9},\"modifier\":"
        "\"idf\"}}");
    has(t, "GET", C "/points/1", NULL, 200,
        "\"vector\":{\"d\":[1.0,0.0],\"m\":[[1.0,0.0],[0.0,1.0]],\"s\":{\"indices\":[2,7],"
        "\"values\":"
        "[2.0,1.0]},\"i\":{\"indices\":[2,7],\"values\":[1.0,1.0]}}");
    has(t, "POST", C "/points/scroll", "{\"with_vector\":[\"s\"],\"with_payload\":false}", 200,
        "{\"id\":3,\"vector\":{\"s\":{\"indices\":[],\"values\":[]}}}");
    /* no common index is no result, a negative score is one */
    has(t, "POST", Q, "{\"query\":{\"indices\":[7,9],\"values\":[2,1]},\"using\":\"s\"}", 200,
        FIRST(1, 2.0) ",{\"id\":2,\"version\":2,\"score\":-6.0}]}");
    has(t, "POST", Q, "{\"query\":{\"indices\":[2],\"values\":[2]},\"using\":\"s\"}", 200,
        FIRST(1, 4.0) "]}");
    has(t, "POST", Q, "{\"query\":1,\"using\":\"s\"}", 200, FIRST(2, -3.0) "]}");
    has(t, "POST", Q,
        "{\"query\":{\"indices\":[7],\"values\":[1]},\"using\":\"s\",\"filter\":{\"must\":[{"
        "\"key\":"
        "\"a\",\"match\":{\"value\":1}}]}}",
        200, FIRST(2, -3.0) "]}");
    /* ln((2 - 1 + 0.5) / (1 + 0.5) + 1): of two points with such a vector (a third has none), one
     * has the index; and both have it */
    has(t, "POST", Q, "{\"query\":{\"indices\":[2],\"values\":[1]},\"using\":\"i\"}", 200,
        "\"score\":0.6931472}]}");
    has(t, "POST", Q, "{\"query\":{\"indices\":[7],\"values\":[1]},\"using\":\"i\"}", 200,
        "\"score\":0.18232156");
    has(t, "POST", Q, "{\"query\":[[1,0],[0,1]],\"using\":\"m\"}", 200,
        FIRST(1, 2.0) ",{\"id\":2,\"version\":2,\"score\":1.4142135}]}");
    has(t, "POST", Q, "{\"query\":[0,1],\"using\":\"m\",\"limit\":1}", 200, FIRST(1, 1.0) "]}");
    has(t, "POST", Q,
        "{\"query\":{\"recommend\":{\"positive\":[{\"indices\":[7],\"values\":[1]},{\"indices\":[2]"
        ","
        "\"values\":[2]}],\"negative\":[{\"indices\":[7],\"values\":[1]}]}},\"using\":\"s\"}",
        200, FIRST(1, 4.0) ",{\"id\":2,\"version\":2,\"score\":0.0}]}");
    has(t, "POST", Q,
        "{\"query\":{\"recommend\":{\"positive\":[[[1,0]]],\"strategy\":\"best_score\"}},\"using\":"
        "\"m\"}",
        200, FIRST(1, 0.75) ",");
    has(t, "POST", Q,
        "{\"prefetch\":[{\"query\":{\"indices\":[2],\"values\":[1]},\"using\":\"s\"},{\"query\":[["
        "1,1"
        "]],\"using\":\"m\"},{\"query\":[0,1],\"using\":\"d\",\"limit\":1}],\"query\":{\"fusion\":"
        "\"rrf\"},\"limit\":5}",
        200, "\"id\":1,");
    /* a stage over candidates drops those that have no common index, as a search would */
    has(t, "POST", Q,
        "{\"prefetch\":{},\"query\":{\"indices\":[2],\"values\":[1]},\"using\":\"s\"}", 200,
        FIRST(1, 2.0) "]}");
    has(t, "POST", C "/points/count", "{\"filter\":{\"must\":[{\"has_vector\":\"s\"}]}}", 200,
        "{\"count\":3}");
}

static void shapes(void **state)
{
    struct rest *t = *state;
    fill(t);
    look(t);
    rest_reopen(t);
    look(t);
    assert_int_equal(ask(t, "POST", C "/optimize", NULL), 200);
    look(t);
    rest_reopen(t);
    look(t);
}

static void changes(void **state)
{
    struct rest *t = *state;
    fill(t);
    has(t, "POST", C "/points/vectors/delete?wait=true",
        "{\"points\":[1],\"vector\":[\"s\",\"m\"]}", 200, "completed");
    has(t, "GET", C "/points/1", NULL, 200,
        "\"vector\":{\"d\":[1.0,0.0],\"i\":{\"indices\":[2,7],\"values\":[1.0,1.0]}}");
    has(t, "PUT", C "/points/vectors?wait=true",
        "{\"points\":[{\"id\":1,\"vector\":{\"s\":{\"indices\":[4294967295,0],\"values\":[1,2]},"
        "\"m\":"
        "[[0,5]]}}]}",
        200, "completed");
    has(t, "GET", C "/points/1", NULL, 200,
        "\"m\":[[0.0,1.0]],\"s\":{\"indices\":[0,4294967295],\"values\":[2.0,1.0]}");
    has(t, "PUT", C "/points?wait=true",
        "{\"batch\":{\"ids\":[8,9],\"vectors\":{\"s\":[{\"indices\":[1],\"values\":[1]},{"
        "\"indices\":"
        "[2],\"values\":[1]}],\"m\":[[[1,0],[1,0]],[[0,1]]]}}}",
        200, "completed");
    has(t, "GET", C "/points/8", NULL, 200,
        "\"vector\":{\"m\":[[1.0,0.0],[1.0,0.0]],\"s\":{\"indices\":[1],\"values\":[1.0]}}");
    has(t, "PATCH", C, "{\"sparse_vectors\":{\"s\":{\"modifier\":\"idf\"}}}", 200, "true");
    has(t, "GET", C, NULL, 200, "\"sparse_vectors\":{\"s\":{\"modifier\":\"idf\"},");
    has(t, "POST", Q, "{\"query\":{\"indices\":[1],\"values\":[1]},\"using\":\"s\"}", 200,
        "\"score\":1.3862944"); /* ln((5 - 1 + 0.5) / 1.5 + 1) */
    has(t, "PATCH", C, "{\"sparse_vectors\":{\"m\":{}}}", 400, "Not existing vector name error: m");
    has(t, "DELETE", C "/vectors/s?wait=true", NULL, 200, "completed");
    has(t, "GET", C "/points/8", NULL, 200, "\"vector\":{\"m\":[[1.0,0.0],[1.0,0.0]]}");
}

static void snapshots(void **state)
{
    struct rest *t = *state;
    fill(t);
    assert_int_equal(ask(t, "POST", C "/snapshots", NULL), 200);
    char name[200], body[300];
    const char *at = strstr(t->r.body, "\"name\":\"");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "\"name\":\"%199[^\"]\"", name), 1);
    assert_int_equal(ask(t, "POST", C "/points/delete?wait=true", "{\"points\":[1,2,3]}"), 200);
    sprintf(body, "{\"location\":\"%s\"}", name);
    assert_int_equal(ask(t, "PUT", C "/snapshots/recover", body), 200);
    look(t);
}

/* Numbers at the end of floats: answers tell numbers, and what rarity makes longer is refused. */
static void huge(void **state)
{
    struct rest *t = *state;
    static char body[8192];
    good(t, "PUT", C,
         "{\"vectors\":{\"e\":{\"size\":2,\"distance\":\"Euclid\"},\"x\":{\"size\":1,\"distance\":"
         "\"Dot\",\"multivector_config\":{\"comparator\":\"max_sim\"}}},"
         "\"sparse_vectors\":{\"i\":{\"modifier\":\"idf\"}}}",
         "true");
    int n =
        sprintf(body, "{\"points\":["
                      "{\"id\":1,\"vector\":{\"i\":{\"indices\":[1,2],\"values\":[1.3e19,-1.3e19]},"
                      "\"e\":[1.2e19,1.2e19],\"x\":[[1.8e19]]}},"
                      "{\"id\":2,\"vector\":{\"i\":{\"indices\":[1,3],\"values\":[1.3e19,1]}}}");
    for (int i = 3; i < 60; i++) {
        n += sprintf(body + n, ",{\"id\":%d,\"vector\":{\"i\":{\"indices\":[9],\"values\":[1]}}}",
                     i);
    }
    sprintf(body + n, "]}");
    has(t, "PUT", C "/points?wait=true", body, 200, "completed");
    for (int round = 0; round < 2; round++) {
        bad(t, "POST", Q,
            "{\"query\":{\"indices\":[1,2],\"values\":[1.3e19,1.3e19]},\"using\":\"i\"}", 400,
            "Wrong input: query vector: weighed by how rare its indices are, its squared length "
            "must be a finite number");
        has(t, "POST", Q, "{\"query\":{\"indices\":[1,2],\"values\":[3e18,3e18]},\"using\":\"i\"}",
            200, "\"id\":1,");
        has(t, "POST", Q, "{\"query\":[-1.2e19,-1.2e19],\"using\":\"e\"}", 200,
            "\"score\":3.4028235e38");
        has(t, "POST", Q, "{\"query\":[[1.8e19],[1.8e19]],\"using\":\"x\"}", 200,
            "\"score\":3.4028235e38");
        has(t, "POST", Q, "{\"query\":[[-1.8e19],[-1.8e19]],\"using\":\"x\"}", 200,
            "\"score\":-3.4028235e38");
        has(t, "POST", C "/optimize", "{}", 200, "completed");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(shapes, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(changes, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(snapshots, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(huge, rest_setup, rest_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
