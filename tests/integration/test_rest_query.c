/* test_rest_query.c: the universal query from end to end: trees of stages, the kinds that compare
 * with several vectors, fusion. Random queries are compared with another implementation in
 * tests/clients/diff_py.py; here are answers that can be read off. */
#include "test_rest.h"

#define WAIT  "?wait=true"
#define QUERY "/collections/c/points/query"

/* Points 1..6 at (i, 0), 7 at (0, 1) without the payload of the others. */
static void line(struct rest *t, const char *distance)
{
    char body[256];
    snprintf(body, sizeof body, "{\"vectors\":{\"size\":2,\"distance\":\"%s\"}}", distance);
    good(t, "PUT", "/collections/c", body, "true");
    for (int i = 1; i <= 6; i++) {
        snprintf(body, sizeof body,
                 "{\"points\":[{\"id\":%d,\"vector\":[%d,0],\"payload\":{\"n\":%d,\"odd\":%s}}]}",
                 i, i, i, i % 2 ? "true" : "false");
        has(t, "PUT", "/collections/c/points" WAIT, body, 200, "completed");
    }
    has(t, "PUT", "/collections/c/points" WAIT, "{\"points\":[{\"id\":7,\"vector\":[0,1]}]}", 200,
        "completed");
}

/* The ids of an answer and their scores, in order: "3 0.5, 1 0.25". */
static void ids_at(struct rest *t, const char *path, const char *body, const char *want, int line)
{
    char got[512] = "";
    if (ask(t, "POST", path, body) != 200) {
        fail_msg("line %d: %s\n%s", line, body, t->r.body);
    }
    size_t n = 0;
    for (const char *p = t->r.body; (p = strstr(p, "{\"id\":")) != NULL;) {
        long id = strtol(p += 6, NULL, 10);
        p = strstr(p, "\"score\":");
        assert_non_null(p);
        n += (size_t)snprintf(got + n, sizeof got - n, "%s%ld %g", n ? ", " : "", id,
                              strtod(p + 8, NULL));
    }
    if (strcmp(got, want) != 0) {
        fail_msg("line %d: %s\n%s\nwanted %s\n%s", line, body, got, want, t->r.body);
    }
}
#define ids(t, body, want) ids_at(t, QUERY, body, want, __LINE__)

static void test_fusion(void **state)
{
    struct rest *t = *state;
    line(t, "Dot");
    /* 1/2 for the first of a list, 1/3 for the second, 1/4 for the third */
    ids(t,
        "{\"prefetch\":[{\"query\":[1,0],\"limit\":3},{\"query\":[-1,0],\"limit\":2,\"filter\":{"
        "\"must"
        "\":[{\"key\":\"n\",\"range\":{\"gte\":5}}]}}],\"query\":{\"fusion\":\"rrf\"}}",
        "6 0.833333, 5 0.833333, 4 0.25");
    ids(t,
        "{\"prefetch\":[{\"query\":[1,0],\"limit\":2},{\"query\":[0,1],\"limit\":1}],\"query\":{"
        "\"rrf\":{\"k\":1,\"weights\":[1,3]}}}",
        "7 3, 6 1, 5 0.5");
    ids(t,
        "{\"prefetch\":[{\"query\":[1,0],\"limit\":2},{\"query\":[0,1],\"limit\":1}],\"query\":{"
        "\"rrf\":{\"weights\":[1,0]}},\"limit\":1,\"offset\":1,\"score_threshold\":0.3}",
        "5 0.333333");
    /* scores 6 and 4: mean 5, sigma sqrt(2); a lone one: 0.5 */
    ids(t,
        "{\"prefetch\":[{\"query\":[1,0],\"limit\":9,\"filter\":{\"must\":[{\"has_id\":[4,6]}]}},{"
        "\"query\":[0,1],\"limit\":1}],\"query\":{\"fusion\":\"dbsf\"}}",
        "6 0.617851, 7 0.5, 4 0.382149");
    ids(t, "{\"prefetch\":{\"limit\":2},\"query\":{\"fusion\":\"rrf\"}}", "1 0.5, 2 0.333333");
}

static void test_stages(void **state)
{
    struct rest *t = *state;
    line(t, "Dot");
    /* the second stage sees what the first found, and nothing else */
    ids(t, "{\"prefetch\":{\"query\":[1,0],\"limit\":3},\"query\":[-1,0]}", "4 -4, 5 -5, 6 -6");
    ids(t,
        "{\"prefetch\":{\"prefetch\":{\"query\":[1,0],\"limit\":4},\"query\":[-1,0],\"limit\":2},"
        "\"query\":[1,0],\"offset\":1,\"limit\":5}",
        "3 3");
    /* filters of the stages around reach the one that takes from the collection */
    ids(t,
        "{\"prefetch\":{\"query\":[1,0],\"limit\":2},\"query\":[-1,0],\"filter\":{\"must\":[{"
        "\"key\":"
        "\"odd\",\"match\":{\"value\":true}}]}}",
        "3 -3, 5 -5");
    /* ... and their should becomes one choice more */
    ids(t,
        "{\"prefetch\":{\"query\":[1,0],\"filter\":{\"should\":[{\"has_id\":[2]}]}},\"query\":[1,0]"
        ","
        "\"filter\":{\"should\":[{\"has_id\":[5]}]}}",
        "5 5, 2 2");
    /* thresholds of stages: better than, not equal */
    ids(t, "{\"prefetch\":{\"query\":[1,0],\"score_threshold\":4},\"query\":[-1,0]}", "5 -5, 6 -6");
    ids(t, "{\"query\":[1,0],\"score_threshold\":5}", "6 6");
    /* an example of any stage is no result */
    ids(t, "{\"prefetch\":{\"query\":6,\"limit\":2},\"query\":1}", "5 5, 4 4");
    /* equal scores in the order of ids */
    ids(t, "{\"prefetch\":[{\"limit\":1},{\"query\":[0,1],\"limit\":1}],\"query\":[1,1]}",
        "1 1, 7 1");
}

static void test_examples(void **state)
{
    struct rest *t = *state;
    line(t, "Dot");
    /* x / (1 + |x|), half of that and a half; the sign is that of the better example */
    ids(t,
        "{\"query\":{\"recommend\":{\"positive\":[[1,0]],\"negative\":[[0,2]],\"strategy\":\"best_"
        "score\"}},\"filter\":{\"must\":[{\"has_id\":[1,3,7]}]}}",
        "3 0.875, 1 0.75, 7 -0.833333");
    ids(t,
        "{\"query\":{\"recommend\":{\"positive\":[[1,0],[1,1]],\"negative\":[[0,3]],\"strategy\":"
        "\"sum_scores\"}},\"filter\":{\"must\":[{\"has_id\":[1,3,7]}]}}",
        "3 6, 1 2, 7 -2");
    /* pairs won less pairs lost, and the target below 1 */
    ids(t,
        "{\"query\":{\"discover\":{\"target\":[1,0],\"context\":[{\"positive\":[1,0],\"negative\":["
        "0,"
        "1]},{\"positive\":[1,0],\"negative\":[2,0]}]}},\"filter\":{\"must\":[{\"has_id\":[1,3,7]}]"
        "}}",
        "3 0.875, 1 0.75, 7 -0.5");
    ids(t,
        "{\"query\":{\"context\":{\"positive\":[0,1],\"negative\":[1,0]}},\"filter\":{\"must\":[{"
        "\"has_"
        "id\":[1,3,7]}]}}",
        "7 0, 1 -0.5, 3 -0.75");
    /* over what another stage found, and by id */
    ids(t,
        "{\"prefetch\":{\"query\":[1,0],\"limit\":3},\"query\":{\"recommend\":{\"positive\":[6],"
        "\"negative\":[1],\"strategy\":\"sum_scores\"}}}",
        "5 25, 4 20, 3 15");
}

static void test_distances(void **state)
{
    struct rest *t = *state;
    line(t, "Euclid");
    /* similarities are minus squared distances; nearest tells distances */
    ids(t,
        "{\"query\":{\"recommend\":{\"positive\":[[2,0]],\"strategy\":\"sum_scores\"}},\"limit\":"
        "3}",
        "2 0, 1 -1, 3 -1");
    ids(t, "{\"prefetch\":{\"query\":[6,0],\"limit\":3},\"query\":[3,0],\"score_threshold\":3}",
        "4 1, 5 2");
}

static void test_formula(void **state)
{
    struct rest *t = *state;
    line(t, "Dot");
#define OVER(formula)                                                                              \
    "{\"prefetch\":[{\"query\":[1,0],\"limit\":3},{\"query\":[0,1],\"limit\":1}],\"query\":{"      \
    "\"formula\":" formula ",\"defaults\":{\"n\":10,\"$score[1]\":-1}}}"
    ids(t, OVER("{\"sum\":[\"$score\",\"$score[1]\",\"n\"]}"), "6 11, 7 11, 5 9, 4 7");
    ids(t, OVER("{\"mult\":[\"$score\",{\"key\":\"odd\",\"match\":{\"value\":true}}]}"),
        "5 5, 6 0, 4 0, 7 0");
    ids(t, OVER("{\"pow\":{\"base\":{\"neg\":\"n\"},\"exponent\":2}}"), "7 100, 6 36, 5 25, 4 16");
    ids(t, OVER("{\"div\":{\"left\":1,\"right\":\"$score\",\"by_zero_default\":0.5}}"),
        "7 0.5, 4 0.25, 5 0.2, 6 0.166667");
    ids(t, OVER("{\"lin_decay\":{\"x\":\"n\",\"target\":4,\"scale\":4}}"),
        "4 1, 5 0.875, 6 0.75, 7 0.25");
    ids(t, OVER("{\"exp_decay\":{\"x\":\"n\",\"target\":4}}"), "4 1, 5 0.5, 6 0.25, 7 0.015625");
    ids(t, OVER("{\"gauss_decay\":{\"x\":\"n\",\"target\":4}}"),
        "4 1, 5 0.5, 6 0.0625, 7 1.45519e-11");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"points\":[{\"id\":8,\"vector\":[9,9],\"payload\":{\"at\":{\"lon\":0,\"lat\":1},"
        "\"when\":"
        "\"2026-01-01T00:01:00Z\",\"one\":[2],\"two\":[1,2]}}]}",
        200, "completed");
#define LAST(formula)                                                                              \
    "{\"prefetch\":{\"query\":[1,0],\"limit\":1},\"query\":{\"formula\":" formula "}}"
    ids(t,
        LAST("{\"div\":{\"left\":{\"geo_distance\":{\"origin\":{\"lon\":0,\"lat\":0},\"to\":\"at\"}"
             "},"
             "\"right\":1000}}"),
        "8 111.195");
    ids(t, LAST("{\"sum\":[{\"datetime_key\":\"when\"},{\"neg\":{\"datetime\":\"2026-01-01\"}}]}"),
        "8 60");
    ids(t, LAST("{\"log10\":{\"exp\":{\"ln\":{\"sqrt\":{\"abs\":-10000}}}}}"), "8 2");
    ids(t, LAST("\"one\""), "8 2");
    bad(t, "POST", QUERY, LAST("\"two\""), 400,
        "Wrong input: Expected number value for two in the payload and/or in the formula defaults. "
        "Error: Value is not a number");
    /* null is a value, but not one of an index */
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"points\":[{\"id\":8,\"vector\":[9,9],\"payload\":{\"none\":null,\"nones\":[null]}}]}",
        200, "completed");
#define NONE(key)                                                                                  \
    "{\"prefetch\":{\"query\":[1,0],\"limit\":1},\"query\":{\"formula\":\"" key                    \
    "\",\"defaults\":{\"" key "\":5}}}"
    bad(t, "POST", QUERY, NONE("none"), 400,
        "Wrong input: Expected number value for none in the payload and/or in the formula "
        "defaults. "
        "Error: Value is not a number");
    bad(t, "POST", QUERY, NONE("nones"), 400,
        "Wrong input: Expected number value for nones in the payload and/or in the formula "
        "defaults. Error: Value is not a number");
    ids(t, NONE("nothing"), "8 5");
    for (int i = 0; i < 2; i++) {
        has(t, "PUT", "/collections/c/index" WAIT,
            i ? "{\"field_name\":\"nones\",\"field_schema\":\"integer\"}"
              : "{\"field_name\":\"none\",\"field_schema\":\"float\"}",
            200, "completed");
    }
    ids(t, NONE("none"), "8 5");
    ids(t, NONE("nones"), "8 5");
}

static void test_choice(void **state)
{
    struct rest *t = *state;
    line(t, "Euclid");
    /* near to 3: then far from 3 (of equals the last), then far from both */
    ids(t,
        "{\"query\":{\"nearest\":[3,0],\"mmr\":{\"diversity\":1,\"candidates_limit\":5}},\"limit\":"
        "3}",
        "3 0, 1 2, 5 2");
    ids(t, "{\"query\":{\"nearest\":[3.25,0],\"mmr\":{\"diversity\":0}},\"limit\":3}",
        "3 0.25, 4 0.75, 2 1.25");
    ids(t,
        "{\"prefetch\":{\"limit\":4},\"query\":{\"nearest\":[2.25,0],\"mmr\":{\"diversity\":0.5,"
        "\"candidates_limit\":4}},\"offset\":1,\"limit\":1}",
        "4 1.75");
    /* two judged: drawn to the better */
    ids(t,
        "{\"query\":{\"relevance_feedback\":{\"target\":[3,0],\"feedback\":[{\"example\":[6,0],"
        "\"score\":"
        "1},{\"example\":1,\"score\":0.5}],\"strategy\":{\"naive\":{\"a\":1,\"b\":1,\"c\":1}}}},"
        "\"limit\":2}",
        "5 3.5, 6 3.5");
    /* a sample: other points each time, but as many as asked, and each once */
    bool seen[8] = {false};
    for (int i = 0; i < 64; i++) {
        assert_int_equal(
            ask(t, "POST", QUERY, "{\"query\":{\"sample\":\"random\"},\"limit\":2,\"offset\":1}"),
            200);
        const char *p = strstr(t->r.body, "{\"id\":");
        long a = strtol(p + 6, NULL, 10), b = strtol(strstr(p + 6, "{\"id\":") + 6, NULL, 10);
        assert_int_not_equal(a, b);
        seen[a] = seen[b] = true;
    }
    for (int i = 1; i <= 7; i++) {
        assert_true(seen[i]);
    }
    ids(t,
        "{\"prefetch\":{\"query\":[3,0],\"limit\":1},\"query\":{\"sample\":\"random\"},\"limit\":"
        "5}",
        "3 1");
}

/* Rows of a candidate look for their nearest of the one taken, not the other way round. */
static void test_choice_of_multivectors(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c",
         "{\"vectors\":{\"size\":2,\"distance\":\"Dot\",\"multivector_config\":{\"comparator\":"
         "\"max_sim\"}}}",
         "true");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"points\":[{\"id\":1,\"vector\":[[3,0]]},{\"id\":2,\"vector\":[[1,0],[1,0]]},"
        "{\"id\":3,\"vector\":[[1.5,0]]}]}",
        200, "completed");
    ids(t, "{\"query\":{\"nearest\":[[1,0]],\"mmr\":{\"diversity\":0.5}}}", "1 3, 3 1.5, 2 1");
}

/* Two groups of the payload's values; the point without a payload is in none. */
static void test_groups(void **state)
{
    struct rest *t = *state;
    line(t, "Dot");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"points\":[{\"id\":8,\"vector\":[2.5,0],\"payload\":{\"of\":[\"x\",\"y\",\"x\"]}},"
        "{\"id\":9,\"vector\":[1.5,0],\"payload\":{\"of\":[\"y\",true]}},"
        "{\"id\":10,\"vector\":[0.5,0],\"payload\":{\"of\":3}},"
        "{\"id\":11,\"vector\":[0.25,0],\"payload\":{\"of\":\"x\"}}]}",
        200, "completed");
    good(t, "POST", QUERY "/groups",
         "{\"query\":[1,0],\"group_by\":\"of\",\"group_size\":2,\"with_lookup\":\"c\"}",
         "{\"groups\":[{\"hits\":[{\"id\":8,\"version\":9,\"score\":2.5},{\"id\":11,\"version\":9,"
         "\"score\":0.25}],\"id\":\"x\"},{\"hits\":[{\"id\":8,\"version\":9,\"score\":2.5}],\"id\":"
         "\"y\"},"
         "{\"hits\":[{\"id\":10,\"version\":9,\"score\":0.5}],\"id\":3,\"lookup\":{\"id\":3,"
         "\"payload\":{"
         "\"n\":3,\"odd\":true}}}]}");
    good(t, "POST", "/collections/c/points/search/groups",
         "{\"vector\":[1,0],\"group_by\":\"n\",\"group_size\":1,\"limit\":2}",
         "{\"groups\":[{\"hits\":[{\"id\":6,\"version\":7,\"score\":6.0}],\"id\":6},{\"hits\":[{"
         "\"id\":5,"
         "\"version\":6,\"score\":5.0}],\"id\":5}]}");
    good(t, "POST", "/collections/c/points/recommend/groups",
         "{\"positive\":[6],\"group_by\":\"n\",\"group_size\":1,\"limit\":1,\"with_lookup\":{"
         "\"collection\":"
         "\"c\",\"with_payload\":false,\"with_vectors\":true}}",
         "{\"groups\":[{\"hits\":[{\"id\":5,\"version\":6,\"score\":30.0}],\"id\":5,\"lookup\":{"
         "\"id\":5,"
         "\"vector\":[5.0,0.0]}}]}");
    good(t, "POST", QUERY "/groups", "{\"query\":[1,0],\"group_by\":\"odd\"}", "{\"groups\":[]}");
    /* what is fused, however many points a group has */
    good(t, "POST", QUERY "/groups",
         "{\"prefetch\":{\"query\":[1,0],\"limit\":1},\"query\":{\"fusion\":\"rrf\"},\"group_by\":"
         "\"n\","
         "\"group_size\":2,\"limit\":2}",
         "{\"groups\":[{\"hits\":[{\"id\":6,\"version\":7,\"score\":0.5}],\"id\":6},{\"hits\":[{"
         "\"id\":5,"
         "\"version\":6,\"score\":0.33333334}],\"id\":5}]}");
}

/* Groups of integers that no condition can name are filled as well. */
static void test_groups_of_large_integers(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c", "{\"vectors\":{\"size\":1,\"distance\":\"Dot\"}}", "true");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"points\":[{\"id\":1,\"vector\":[9],\"payload\":{\"g\":\"x\"}},"
        "{\"id\":2,\"vector\":[8],\"payload\":{\"g\":9223372036854775808}},"
        "{\"id\":3,\"vector\":[7],\"payload\":{\"g\":\"full\"}},"
        "{\"id\":4,\"vector\":[6],\"payload\":{\"g\":\"full\"}},"
        "{\"id\":5,\"vector\":[2],\"payload\":{\"g\":\"x\"}},"
        "{\"id\":6,\"vector\":[1],\"payload\":{\"g\":9223372036854775808}}]}",
        200, "completed");
    good(t, "POST", QUERY "/groups",
         "{\"query\":[1],\"group_by\":\"g\",\"group_size\":2,\"limit\":2}",
         "{\"groups\":[{\"hits\":[{\"id\":1,\"version\":2,\"score\":9.0},"
         "{\"id\":5,\"version\":2,\"score\":2.0}],\"id\":\"x\"},"
         "{\"hits\":[{\"id\":2,\"version\":2,\"score\":8.0},"
         "{\"id\":6,\"version\":2,\"score\":1.0}],\"id\":9223372036854775808}]}");
}

/* One large group before all others: rounds go on behind it. */
static void test_group_rounds(void **state)
{
    struct rest *t = *state;
    char *body = malloc(1 << 16);
    size_t n = (size_t)sprintf(body, "{\"points\":[{\"id\":1,\"vector\":[0,1]}");
    good(t, "PUT", "/collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", "true");
    for (int i = 2; i <= 500; i++) {
        n += (size_t)sprintf(body + n, ",{\"id\":%d,\"vector\":[%d,0],\"payload\":{\"g\":%d}}", i,
                             i, i > 100 ? 7 : i);
    }
    strcpy(body + n, "]}");
    has(t, "PUT", "/collections/c/points" WAIT, body, 200, "completed");
    ids_at(t, QUERY "/groups", "{\"query\":[1,0],\"group_by\":\"g\",\"group_size\":2,\"limit\":3}",
           "500 500, 499 499, 100 100, 99 99", __LINE__);
    ids_at(t, QUERY "/groups", "{\"query\":[-1,0],\"group_by\":\"g\",\"group_size\":2,\"limit\":6}",
           "2 -2, 3 -3, 4 -4, 5 -5, 6 -6, 7 -7, 101 -101", __LINE__);
    /* ranks count: all anew with more of the stage */
    ids_at(
        t, QUERY "/groups",
        "{\"prefetch\":{\"query\":[1,0],\"limit\":100},\"query\":{\"fusion\":\"rrf\"},\"group_by\":"
        "\"g\",\"group_size\":2,\"limit\":3}",
        "500 0.5, 499 0.333333, 100 0.00248756, 99 0.00248139", __LINE__);
    free(body);
}

/* Points that the first round of a rescored query does not reach. */
static void test_group_rescored(void **state)
{
    struct rest *t = *state;
    char body[4096], request[300];
    size_t n = (size_t)sprintf(body, "{\"points\":[{\"id\":100,\"vector\":[0,0]}");
    static const struct {
        const char *by, *query;
        int limit, size;
        const char *want;
    } cases[] = {
        /* the second round finds the second group */
        {"half", "[1,0]", 2, 2, "20 20, 19 19, 10 10, 9 9"},
        /* ... and it is the better one */
        {"half", "[-1,0]", 2, 2, "7 -7, 8 -8, 17 -17, 18 -18"},
        /* ... and better points of groups that have some */
        {"odd", "[-1,0]", 1, 3, "15 -15, 17 -17, 19 -19, 16 -16, 18 -18, 20 -20"},
        {"odd", "{\"formula\":{\"mult\":[-2,\"$score\"]}}", 1, 3,
         "15 -30, 17 -34, 19 -38, 16 -32, 18 -36, 20 -40"},
        /* fewer than are wanted */
        {"half", "[-1,0]", 1, 12,
         "1 -1, 2 -2, 3 -3, 4 -4, 5 -5, 6 -6, 7 -7, 8 -8, 9 -9, 10 -10, "
         "11 -11, 12 -12, 13 -13, 14 -14, 15 -15, 16 -16, 17 -17, "
         "18 -18, 19 -19, 20 -20"},
    };
    good(t, "PUT", "/collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", "true");
    for (int i = 1; i <= 20; i++) {
        n += (size_t)sprintf(
            body + n, ",{\"id\":%d,\"vector\":[%d,0],\"payload\":{\"half\":\"%s\",\"odd\":%d}}", i,
            i, i > 10 ? "upper" : "lower", i % 2);
    }
    strcpy(body + n, "]}");
    has(t, "PUT", "/collections/c/points" WAIT, body, 200, "completed");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(request, sizeof request,
                 "{\"prefetch\":{\"query\":[1,0],\"limit\":%d},\"query\":%s,\"group_by\":\"%s\","
                 "\"group_size\":%d,\"limit\":2}",
                 cases[i].limit, cases[i].query, cases[i].by, cases[i].size);
        ids_at(t, QUERY "/groups", request, cases[i].want, __LINE__);
    }
    good(t, "POST", QUERY "/groups",
         "{\"prefetch\":{\"query\":[1,0],\"limit\":1},\"query\":[1,0],\"group_by\":\"none\"}",
         "{\"groups\":[]}");
}

static void test_matrix(void **state)
{
    struct rest *t = *state;
    line(t, "Euclid");
    good(t, "POST", "/collections/c/points/search/matrix/pairs",
         "{\"filter\":{\"must\":[{\"has_id\":[1,2,5]}]},\"limit\":1}",
         "{\"pairs\":[{\"a\":1,\"b\":2,\"score\":1.0},{\"a\":2,\"b\":1,\"score\":1.0},{\"a\":5,"
         "\"b\":2,"
         "\"score\":3.0}]}");
    good(t, "POST", "/collections/c/points/search/matrix/offsets",
         "{\"filter\":{\"must\":[{\"has_id\":[1,2,5]}]}}",
         "{\"offsets_row\":[0,0,1,1,2,2],\"offsets_col\":[1,2,0,2,1,0],\"scores\":[1.0,4.0,1.0,3.0,"
         "3.0,4.0],\"ids\":[1,2,5]}");
    good(t, "POST", "/collections/c/points/search/matrix/pairs",
         "{\"filter\":{\"must\":[{\"has_id\":[1]}]}}", "{\"pairs\":[]}");
    has(t, "POST", "/collections/c/points/search/matrix/offsets", "{\"sample\":3}", 200,
        "\"offsets_row\":[0,0,1,1,2,2]");
}

static void test_older(void **state)
{
    struct rest *t = *state;
    line(t, "Dot");
    ids_at(t, "/collections/c/points/discover",
           "{\"target\":[1,0],\"context\":[{\"positive\":[1,0],\"negative\":[0,1]}],\"limit\":2,"
           "\"offset\":5}",
           "1 1.75, 7 -0.5", __LINE__);
    ids_at(t, "/collections/c/points/discover",
           "{\"context\":[{\"positive\":7,\"negative\":1}],\"limit\":1}", "2 -0.666667", __LINE__);
    has(t, "POST", "/collections/c/points/discover/batch",
        "{\"searches\":[{\"target\":6,\"limit\":1},{\"target\":1,\"limit\":1}]}", 200,
        "{\"result\":[[{\"id\":5,");
    ids_at(t, "/collections/c/points/recommend",
           "{\"positive\":[[1,0]],\"strategy\":\"sum_scores\",\"limit\":1}", "6 6", __LINE__);
}

static void nest(char *body, int depth)
{
    for (int i = 0; i < depth; i++) {
        body += sprintf(body, "{\"query\":[1,0],\"prefetch\":");
    }
    body += sprintf(body, "{\"query\":[1,0]}");
    memset(body, '}', (size_t)depth);
    body[depth] = 0;
}

static void test_limits(void **state)
{
    struct rest *t = *state;
    char body[4096];
    line(t, "Dot");
    nest(body, 64);
    ids(t, body, "6 6, 5 5, 4 4, 3 3, 2 2, 1 1, 7 0");
    nest(body, 65);
    bad(t, "POST", QUERY, body, 400, "Wrong input: prefetches depth 65 exceeds max depth 64");
    char *many = malloc(8192);
    size_t n = (size_t)sprintf(many, "{\"query\":[1,0],\"prefetch\":[{}");
    for (int i = 1; i < 1024; i++) {
        n += (size_t)sprintf(many + n, ",{}");
    }
    strcpy(many + n, "]}");
    has(t, "POST", QUERY, many, 422, "prefetch: more than 1024 stages in one query");
    free(many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fusion, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_stages, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_examples, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_distances, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_formula, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_choice, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_choice_of_multivectors, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_groups, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_groups_of_large_integers, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_group_rounds, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_group_rescored, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_matrix, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_older, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_limits, rest_setup, rest_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
