/* test_rest_peer.c: small answers in which the peer's own tests want us to be alike. */
#include "test_rest.h"

#define POINTS "/collections/c/points"
#define QUERY  POINTS "/query"

static void make(struct rest *t)
{
    good(t, "PUT", "/collections/c",
         "{\"vectors\":{\"d\":{\"size\":2,\"distance\":\"Dot\"}},\"sparse_vectors\":{\"s\":{"
         "\"modifier\":\"idf\"}}}",
         "true");
    has(t, "PUT", POINTS "?wait=true",
        "{\"points\":["
        "{\"id\":0,\"vector\":{\"d\":[1,0],\"s\":{\"indices\":[0,1],\"values\":[1,1]}},\"payload\":"
        "{\"t\":\"a\",\"price\":2}},"
        "{\"id\":1,\"vector\":{\"d\":[1,1],\"s\":{\"indices\":[0],\"values\":[1]}},\"payload\":{"
        "\"t\":\"a\",\"price\":null}},"
        "{\"id\":2,\"vector\":{\"d\":[0,1],\"s\":{\"indices\":[0,1,2],\"values\":[1,1,1]}},"
        "\"payload\":{\"t\":\"b\",\"price\":[]}},"
        "{\"id\":3,\"vector\":{\"d\":[0,2],\"s\":{\"indices\":[1],\"values\":[1]}},\"payload\":{"
        "\"t\":\"b\",\"price\":[3]}}]}",
        200, "\"completed\"");
}

/* An index holds no null: with one a formula takes the default. */
static void test_formula_null(void **state)
{
    struct rest *t = *state;
    make(t);
    has(t, "PUT", "/collections/c/index?wait=true",
        "{\"field_name\":\"price\",\"field_schema\":\"float\"}", 200, "completed");
    static const char body[] = "{\"prefetch\":{\"query\":[1,1],\"using\":\"d\"},\"query\":{"
                               "\"formula\":{\"sum\":[\"price\","
                               "0]},\"defaults\":{\"price\":1}}}";
    assert_int_equal(ask(t, "POST", QUERY, body), 200);
    static const char *const scores[] = {"\"id\":3,",      "\"score\":3.0}", "\"id\":0,",
                                         "\"score\":2.0}", "\"id\":1,",      "\"score\":1.0}",
                                         "\"id\":2,",      "\"score\":1.0}"};
    const char *at = t->r.body;
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) {
        at = strstr(at, scores[i]);
        if (!at) {
            fail_msg("%s is not in its place: %s", scores[i], t->r.body);
        }
    }
    has(t, "POST", QUERY,
        "{\"prefetch\":{\"query\":[1,1],\"using\":\"d\"},\"query\":{\"formula\":\"price\"}}", 400,
        "No value found in a payload nor defaults");
}

/* ln((N - n + 0.5) / (n + 0.5) + 1) of the corpus: tenant a has N 2, n 2 for index 0, 1 for 1. */
static void test_idf_corpus(void **state)
{
    struct rest *t = *state;
    make(t);
#define BY "{\"query\":{\"indices\":[0,1],\"values\":[1,1]},\"using\":\"s\""
    has(t, "POST", QUERY, BY ",\"filter\":{\"must\":{\"has_id\":[1]}}}", 200,
        "\"score\":0.35667494}"); /* of all: N 4, n 3 */
    has(t, "POST", QUERY,
        BY ",\"filter\":{\"must\":{\"has_id\":[1]}},\"params\":{\"idf\":\"global\"}}", 200,
        "\"score\":0.35667494}");
    has(t, "POST", QUERY,
        BY ",\"filter\":{\"must\":{\"has_id\":[3]}},\"params\":{\"idf\":{\"corpus\":{\"must\":{"
           "\"key\":\"t\",\"match\":{\"value\":\"a\"}}}}}}",
        200, "\"score\":0.6931472}"); /* ln 2 */
    /* A corpus of nothing is not that of all. */
    has(t, "POST", QUERY,
        BY ",\"filter\":{\"must\":{\"has_id\":[0]}},\"params\":{\"idf\":{\"corpus\":{\"must\":{"
           "\"key\":\"t\",\"match\":{\"value\":\"z\"}}}}}}",
        200, "\"score\":1.3862944}"); /* 2 ln 2 */
    bad(t, "POST", QUERY, "{\"query\":[1,0],\"using\":\"d\",\"params\":{\"idf\":\"global\"}}", 400,
        "Wrong input: search param `idf` requires a sparse vector with the `idf` modifier, which "
        "vector \\\"d\\\" is not");
    bad(t, "POST", QUERY, BY ",\"params\":{\"idf\":\"local\"}}", 400,
        "Format error in JSON body: internal.params.idf: expected `global` or an object with a "
        "corpus, not a string");
    /* Strict mode looks at the corpus as at any filter. */
    good(t, "PATCH", "/collections/c",
         "{\"strict_mode_config\":{\"enabled\":true,\"unindexed_filtering_retrieve\":false}}",
         "true");
    has(t, "POST", QUERY,
        BY ",\"params\":{\"idf\":{\"corpus\":{\"must\":{\"key\":\"t\",\"match\":{\"value\":\"a\"}}}"
           "}}}",
        400, "Index required but not found for \\\"t\\\"");
}

/* More than there are is as good as all. */
static void test_limits(void **state)
{
    struct rest *t = *state;
    make(t);
    has(t, "POST", QUERY, "{\"query\":[0,1],\"using\":\"d\",\"limit\":18446744073709551615}", 200,
        "\"id\":0,");
    has(t, "POST", QUERY, "{\"query\":[0,1],\"using\":\"d\",\"limit\":1000001,\"offset\":3}", 200,
        "\"id\":0,");
    has(t, "POST", POINTS "/scroll", "{\"limit\":1000001}", 200, "\"id\":3,");
}

static void test_small(void **state)
{
    struct rest *t = *state;
    make(t);
    bad(t, "PUT", "/collections/c/vectors/z", "{\"dense\":{\"size\":0,\"distance\":\"Dot\"}}", 422,
        "Validation error in JSON body: [dense.size: value 0 invalid, must be from 1 to 65536]");
    has(t, "GET", "/collections/c/optimizations?with=queued%20,%20%20completed%20,%20idle_segments",
        NULL, 200, "\"idle_segments\":");
    has(t, "GET", "/collections/c/optimizations?with=queued,%20,completed", NULL, 400,
        "unknown variant ``");
    bad(t, "POST", QUERY,
        "{\"query\":{\"relevance_feedback\":{\"target\":[1,0],\"feedback\":[],\"strategy\":{"
        "\"naive\":"
        "{\"a\":1,\"b\":1,\"c\":1}}}},\"using\":\"d\"}",
        422,
        "Validation error in JSON body: [internal.query.relevance_feedback.feedback: feedback "
        "elements must be non-empty]");
    has(t, "POST", QUERY,
        "{\"query\":{\"relevance_feedback\":{\"target\":[1,0],\"feedback\":[{\"example\":1,"
        "\"score\":1}],"
        "\"strategy\":{\"naive\":{\"a\":1,\"b\":-1,\"c\":1}}}},\"using\":\"d\"}",
        422, "naive.b: value -1.0 invalid, must be 0.0 or larger");
    has(t, "POST", "/collections/c/snapshots/upload?checksum=abc", "x", 422, "invalid_sha256_hash");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_formula_null, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_idf_corpus, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_limits, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_small, rest_setup, rest_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
