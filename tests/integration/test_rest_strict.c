/* test_rest_strict.c: strict mode: every limit of a collection, its text, and the request that just
 * passes. */
#include "test_rest.h"

#define POINTS  "/collections/c/points"
#define QUERY   POINTS "/query"
#define LEAF    "{\"query\":[1,0],\"using\":\"d\",\"limit\":4"
#define PROBLEM "Bad request: "

static void make(struct rest *t)
{
    good(t, "PUT", "/collections/c",
         "{\"vectors\":{\"d\":{\"size\":2,\"distance\":\"Dot\"},\"m\":{\"size\":2,\"distance\":"
         "\"Dot\",\"multivector_config\":{\"comparator\":\"max_sim\"}}},\"sparse_vectors\":{\"s\":"
         "{}}}",
         "true");
    has(t, "PUT", POINTS "?wait=true",
        "{\"points\":["
        "{\"id\":1,\"vector\":{\"d\":[1,0],\"m\":[[1,0],[0,1],[1,1]]},\"payload\":{\"city\":\"a\","
        "\"n\":1,\"list\":[{\"x\":1,\"y\":[2]}]}},"
        "{\"id\":2,\"vector\":{\"d\":[0,1]},\"payload\":{\"city\":\"b\",\"n\":2}},"
        "{\"id\":3,\"vector\":{\"d\":[1,1]}},{\"id\":4,\"vector\":{\"d\":[1,2]}}]}",
        200, "\"completed\"");
}

/* Of strict mode, what is switched on by these members. */
static void limit(struct rest *t, const char *members)
{
    char body[512];
    snprintf(body, sizeof body, "{\"strict_mode_config\":{%s}}", members);
    good(t, "PATCH", "/collections/c", body, "true");
}

static void index_field(struct rest *t, const char *name, const char *schema)
{
    char body[256];
    snprintf(body, sizeof body, "{\"field_name\":\"%s\",\"field_schema\":%s}", name, schema);
    has(t, "PUT", "/collections/c/index?wait=true", body, 200, "\"completed\"");
}

static void test_numbers(void **state)
{
    struct rest *t = *state;
    static const struct {
        const char *limit, *method, *path, *body;
        const char *error; /* NULL = passes */
    } cases[] = {
        {"\"max_query_limit\":4", "POST", QUERY, LEAF "}", NULL},
        {"\"max_query_limit\":3", "POST", QUERY, LEAF "}",
         "Limit exceeded 4 > 3 for \\\"limit\\\". Help: Reduce the \\\"limit\\\" parameter to or "
         "below 3."},
        {"\"max_query_limit\":5", "POST", QUERY,
         "{\"prefetch\":{\"query\":[1,0],\"using\":\"d\",\"limit\":6},\"query\":{\"fusion\":"
         "\"rrf\"},\"limit\":5}",
         "Limit exceeded 6 > 5 for \\\"limit\\\". Help: Reduce the \\\"limit\\\" parameter to or "
         "below 5."},
        {"\"max_query_limit\":11", "POST", QUERY "/groups",
         LEAF ",\"group_by\":\"city\",\"group_size\":3}",
         "Limit exceeded 12 > 11 for \\\"limit\\\". Help: Reduce the \\\"limit\\\" parameter to or "
         "below 11."},
        {"\"max_query_limit\":5", "POST", POINTS "/search/matrix/pairs",
         "{\"sample\":3,\"limit\":2,\"using\":\"d\"}",
         "Limit exceeded 6 > 5 for \\\"limit\\\". Help: Reduce the \\\"limit\\\" parameter to or "
         "below 5."},
        {"\"max_query_limit\":5", "POST", POINTS "/scroll", "{\"limit\":6}",
         "Limit exceeded 6 > 5 for \\\"limit\\\". Help: Reduce the \\\"limit\\\" parameter to or "
         "below 5."},
        {"\"max_timeout\":2", "POST", QUERY "?timeout=2", LEAF "}", NULL},
        {"\"max_timeout\":2", "POST", QUERY "?timeout=3", LEAF "}",
         "Limit exceeded 3 > 2 for \\\"timeout\\\". Help: Reduce the \\\"timeout\\\" parameter to "
         "or below 2."},
        {"\"search_max_hnsw_ef\":5", "POST", QUERY, LEAF ",\"params\":{\"hnsw_ef\":6}}",
         "Limit exceeded 6 > 5 for \\\"hnsw_ef\\\". Help: Reduce the \\\"hnsw_ef\\\" parameter to "
         "or below 5."},
        {"\"search_max_oversampling\":1.5", "POST", QUERY,
         LEAF ",\"params\":{\"quantization\":{\"oversampling\":2}}}",
         "Limit exceeded 2 > 1.5 for \\\"oversampling\\\". Help: Reduce the \\\"oversampling\\\" "
         "parameter to or below 1.5."},
        {"\"search_max_batchsize\":1", "POST", QUERY "/batch",
         "{\"searches\":[" LEAF "}," LEAF "}]}",
         "Limit exceeded 2 > 1 for \\\"search batch size\\\". Help: Reduce the \\\"search batch "
         "size\\\" parameter to or below 1."},
        {"\"upsert_max_batchsize\":1", "PUT", POINTS,
         "{\"points\":[{\"id\":1,\"vector\":{}},{\"id\":2,\"vector\":{}}]}",
         "Limit exceeded 2 > 1 for \\\"upsert limit\\\". Help: Reduce the \\\"upsert limit\\\" "
         "parameter to or below 1."},
        {"\"upsert_max_batchsize\":1", "PUT", POINTS "/vectors",
         "{\"points\":[{\"id\":1,\"vector\":{\"d\":[1,2]}},{\"id\":2,\"vector\":{\"d\":[1,2]}}]}",
         "Limit exceeded 2 > 1 for \\\"update limit\\\". Help: Reduce the \\\"update limit\\\" "
         "parameter to or below 1."},
        {"\"filter_max_conditions\":1", "POST", POINTS "/count",
         "{\"filter\":{\"must\":[{\"has_id\":[1]},{\"must_not\":[{\"has_id\":[2]}]}]}}",
         "Filter condition limit reached (2 > 1). Help: Reduce the amount of conditions of your "
         "filter."},
        {"\"condition_max_size\":2", "POST", POINTS "/count",
         "{\"filter\":{\"must\":{\"key\":\"n\",\"match\":{\"any\":[1,2,3]}}}}",
         "Condition size limit reached (3 > 2). Help: Reduce the size of your condition."},
        {"\"filter_max_conditions\":1", "PUT", POINTS,
         "{\"points\":[{\"id\":1,\"vector\":{}}],\"update_filter\":{\"must\":[{\"has_id\":[1]},"
         "{\"has_id\":[2]}]}}",
         "Filter condition limit reached (2 > 1). Help: Reduce the amount of conditions of your "
         "filter."},
        {"\"condition_max_size\":2", "PUT", POINTS "/vectors",
         "{\"points\":[{\"id\":1,\"vector\":{\"d\":[1,2]}}],\"update_filter\":{\"must\":{\"key\":"
         "\"n\","
         "\"match\":{\"any\":[1,2,3]}}}}",
         "Condition size limit reached (3 > 2). Help: Reduce the size of your condition."},
        {"\"max_points_count\":4", "PUT", POINTS, "{\"points\":[{\"id\":9,\"vector\":{}}]}",
         "Max points count limit of 4 reached!"},
        {"\"max_points_count\":5", "PUT", POINTS, "{\"points\":[{\"id\":4,\"vector\":{}}]}", NULL},
        {"\"max_collection_vector_size_bytes\":8", "PUT", POINTS,
         "{\"points\":[{\"id\":1,\"vector\":{}}]}",
         "Max vector storage size limit of 7.6293945e-06MB reached!"},
        {"\"max_collection_payload_size_bytes\":512", "POST", POINTS "/payload",
         "{\"payload\":{\"a\":1},\"points\":[1]}",
         "Max payload storage size limit of 0.00048828125MB reached!"},
        {"\"multivector_config\":{\"m\":{\"max_vectors\":2}}", "PUT", POINTS,
         "{\"batch\":{\"ids\":[1],\"vectors\":{\"m\":[[[1,0],[0,1],[1,1]]]}}}",
         "Multivector 'm' has a limit of 2 vectors, but 3 were provided!"},
        {"\"sparse_config\":{\"s\":{\"max_length\":1}}", "PUT", POINTS,
         "{\"points\":[{\"id\":1,\"vector\":{\"s\":{\"indices\":[1,2],\"values\":[1,2]}}}]}",
         "Sparse vector 's' has a limit of 1 indices, but 2 were provided!"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char members[256], error[512];
        make(t);
        /* Off: nothing is checked. */
        snprintf(members, sizeof members, "\"enabled\":false,%s", cases[i].limit);
        limit(t, members);
        assert_int_equal(ask(t, cases[i].method, cases[i].path, cases[i].body), 200);
        limit(t, "\"enabled\":true");
        snprintf(error, sizeof error, PROBLEM "%s", cases[i].error ? cases[i].error : "");
        if (cases[i].error) {
            bad(t, cases[i].method, cases[i].path, cases[i].body, 400, error);
        } else {
            has(t, cases[i].method, cases[i].path, cases[i].body, 200, "\"ok\"");
        }
        good(t, "DELETE", "/collections/c", NULL, "true");
    }
}

static void test_exact(void **state)
{
    struct rest *t = *state;
    make(t);
    limit(t, "\"enabled\":true,\"search_allow_exact\":false");
    bad(t, "POST", QUERY, LEAF ",\"params\":{\"exact\":true}}", 400,
        PROBLEM "Exact search disabled!. Help: Set exact=false.");
    bad(t, "POST", POINTS "/count", "{}", 400,
        PROBLEM "Exact search disabled!. Help: Set exact=false.");
    has(t, "POST", POINTS "/count", "{\"exact\":false}", 200, "\"count\":4");
    has(t, "POST", QUERY, LEAF "}", 200, "\"id\":1");
    /* Without a graph every search is exact, but for tenants that have graphs of their own. */
    good(t, "PATCH", "/collections/c", "{\"vectors\":{\"d\":{\"hnsw_config\":{\"m\":0}}}}", "true");
    bad(t, "POST", QUERY, LEAF "}", 400,
        PROBLEM "Request is forbidden on 'd' because global vector indexing is disabled "
                "(hnsw_config.m = 0). Help: Use tenant-specific filter, enable global vector "
                "indexing or enable strict mode `search_allow_exact` option");
    index_field(t, "city", "{\"type\":\"keyword\",\"is_tenant\":true}");
    bad(t, "POST", QUERY,
        LEAF ",\"filter\":{\"must\":{\"key\":\"city\",\"match\":{\"value\":\"a\"}}}}", 400,
        PROBLEM
        "Request is forbidden on 'd' because vector indexing is disabled (hnsw_config.m = 0 "
        "and hnsw_config.payload_m = 0). Help: Enable vector indexing, use a prefetch query "
        "with indexed vectors or enable strict mode `search_allow_exact` option");
    good(t, "PATCH", "/collections/c",
         "{\"vectors\":{\"d\":{\"hnsw_config\":{\"m\":0,\"payload_m\":8}}}}", "true");
    has(t, "POST", QUERY,
        LEAF ",\"filter\":{\"must\":{\"key\":\"city\",\"match\":{\"value\":\"a\"}}}}", 200,
        "\"id\":1");
    has(t, "POST", QUERY, "{\"query\":[1,0],\"using\":\"m\"}", 200, "\"id\":1");
}

static void test_fields(void **state)
{
    struct rest *t = *state;
    make(t);
    limit(t, "\"enabled\":true,\"unindexed_filtering_retrieve\":false,\"unindexed_filtering_"
             "update\":true");
    static const char match[] = "{\"filter\":{\"must\":{\"key\":\"n\",\"match\":{\"value\":1}}}}";
    bad(t, "POST", POINTS "/count", match, 400,
        PROBLEM "Index required but not found for \\\"n\\\" of one of the following types: "
                "[integer]. Help: Create an index for this key or use a different filter.");
    has(t, "POST", POINTS "/payload/delete?wait=true",
        "{\"keys\":[\"z\"],\"filter\":{\"must\":{\"key\":\"n\",\"match\":{\"value\":1}}}}", 200,
        "\"completed\"");
    index_field(t, "n", "{\"type\":\"integer\",\"lookup\":false,\"range\":true}");
    has(t, "POST", POINTS "/count", match, 400, "Index required but not found");
    has(t, "POST", POINTS "/count", "{\"filter\":{\"must\":{\"key\":\"n\",\"range\":{\"gt\":1}}}}",
        200, "\"count\":1");
    index_field(t, "n", "\"integer\"");
    has(t, "POST", POINTS "/count", match, 200, "\"count\":1");
    bad(t, "POST", POINTS "/count",
        "{\"filter\":{\"must\":{\"nested\":{\"key\":\"list\",\"filter\":{\"must\":[{\"key\":\"y\","
        "\"values_count\":{\"lt\":3}}]}}}}}",
        400,
        PROBLEM "Index required but not found for \\\"list[].y\\\" of one of the following types: "
                "[bool, datetime, float, geo, integer, keyword, keyword (with prefix: true), text, "
                "text (with phrase_matching: true), uuid]. Help: Create an index for this key or "
                "use a different filter.");
    index_field(t, "list[].y", "\"integer\"");
    has(t, "POST", POINTS "/count",
        "{\"filter\":{\"must\":{\"nested\":{\"key\":\"list\",\"filter\":{\"must\":[{\"key\":\"y\","
        "\"values_count\":{\"lt\":3}}]}}}}}",
        200, "\"count\":1");
    bad(t, "POST", QUERY,
        "{\"prefetch\":" LEAF "},\"query\":{\"formula\":{\"sum\":[\"$score\",\"price\"]},"
        "\"defaults\":{\"price\":1}}}",
        400,
        PROBLEM "Index required but not found for \\\"price\\\" of one of the following types: "
                "[float, integer]. Help: Create an index for this key or use a different formula "
                "expression.");
    bad(t, "POST", QUERY "/groups", LEAF ",\"group_by\":\"city\"}", 400,
        PROBLEM "Index required but not found for \\\"city\\\". Help: Create an index supporting "
                "`match` for this key.");
    index_field(t, "city", "\"geo\"");
    bad(t, "POST", QUERY "/groups", LEAF ",\"group_by\":\"city\"}", 400,
        PROBLEM
        "Index of type \\\"Geo\\\" found for \\\"city\\\". Help: Create an index supporting "
        "`match` for this key.");
    index_field(t, "city", "\"keyword\"");
    has(t, "POST", QUERY "/groups", LEAF ",\"group_by\":\"city\"}", 200, "\"id\":\"a\"");
    /* Updates have a switch of their own. */
    limit(t, "\"unindexed_filtering_update\":false");
    bad(t, "POST", POINTS "/delete",
        "{\"filter\":{\"must\":{\"key\":\"t\",\"match\":{\"phrase\":\"a b\"}}}}", 400,
        PROBLEM "Index required but not found for \\\"t\\\" of one of the following types: [text "
                "(with phrase_matching: true)]. Help: Create an index for this key or use a "
                "different filter.");
}

static void test_indexes(void **state)
{
    struct rest *t = *state;
    make(t);
    limit(t, "\"enabled\":true,\"max_payload_index_count\":1");
    index_field(t, "n", "\"integer\"");
    index_field(t, "n", "\"float\""); /* takes the other's place */
    bad(t, "PUT", "/collections/c/index", "{\"field_name\":\"a\",\"field_schema\":\"bool\"}", 400,
        PROBLEM "Collection already has the maximum number of payload indices (1). Help: Please "
                "delete an existing index before creating a new one.");
}

static void test_rates(void **state)
{
    struct rest *t = *state;
    make(t);
    limit(t, "\"enabled\":true,\"read_rate_limit\":4,\"write_rate_limit\":3");
    bad(t, "POST", POINTS, "{\"ids\":[1,2,3,4,5]}", 429,
        "Rate limiting exceeded: Read rate limit exceeded, request larger than rate limiter "
        "capacity, please try to split your request");
    has(t, "POST", POINTS, "{\"ids\":[1,2,3,4]}", 200, "\"id\":4");
    has(t, "POST", QUERY, "{\"query\":[[1,0],[0,1],[1,1]],\"using\":\"m\"}", 429,
        "Rate limiting exceeded: Read rate limit exceeded: Operation requires 3 tokens but only "
        "0.");
    has(t, "PUT", POINTS "?wait=true", "{\"points\":[{\"id\":1,\"vector\":{}}]}", 200, "completed");
    has(t, "POST", POINTS "/delete", "{\"filter\":{\"must\":{\"is_empty\":{\"key\":\"z\"}}}}", 200,
        "acknowledged"); /* about two points */
    has(t, "POST", POINTS "/delete", "{\"points\":[1,2]}", 429,
        "Write rate limit exceeded: Operation requires 2 tokens but only 0.");
    /* What is set again starts afresh; null leaves a limit as it is. */
    limit(t, "\"read_rate_limit\":4,\"write_rate_limit\":null");
    has(t, "GET", "/collections/c", NULL, 200, "\"write_rate_limit\":3");
    has(t, "POST", POINTS "/scroll", "{\"filter\":{\"must\":[{\"has_id\":[1]},{\"has_id\":[1]}]}}",
        200, "points");
    has(t, "POST", POINTS "/scroll", "{\"filter\":{\"must\":[{\"has_id\":[1]},{\"has_id\":[1]}]}}",
        429, "Operation requires 3 tokens but only 1.");
    limit(t, "\"enabled\":false");
    has(t, "POST", POINTS, "{\"ids\":[1,2,3,4,5]}", 200, "[");
}

static void test_kept(void **state)
{
    struct rest *t = *state;
    make(t);
    limit(t, "\"enabled\":true,\"max_query_limit\":3");
    rest_reopen(t);
    has(t, "POST", QUERY, LEAF "}", 400, "Limit exceeded 4 > 3");
    bad(t, "PATCH", "/collections/c",
        "{\"strict_mode_config\":{\"sparse_config\":{\"s\":{\"max_length\":0}}}}", 422,
        "Validation error in JSON body: [strict_mode_config.sparse_config.s.max_length: value 0 "
        "invalid, must be 1 or larger]");
    /* Metadata that reads like it switches nothing on. */
    good(t, "PUT", "/collections/x",
         "{\"metadata\":{\"strict_mode_config\":{\"enabled\":true,\"max_query_limit\":1}}}",
         "true");
    has(t, "POST", "/collections/x/points/scroll", "{\"limit\":5}", 200, "\"points\":[]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_numbers, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_exact, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_fields, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_indexes, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_rates, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_kept, rest_setup, rest_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
