/* test_rest_online.c: changing a collection in use over the routes: graphs, codes, named vectors.
 */
#include "test_rest.h"

#define OPTIMIZATIONS "/collections/c/optimizations?with=completed,queued,idle_segments"

/* Points 1 to n, each with a vector a, and one b when asked; by hundreds. */
static void load(struct rest *t, unsigned n, bool with_b)
{
    char *body = malloc(65536);
    assert_non_null(body);
    for (unsigned at = 1; at <= n;) {
        char *to = body + sprintf(body, "{\"points\":[");
        for (unsigned i = 0; i < 100 && at <= n; i++, at++) {
            to += sprintf(to, "%s{\"id\":%u,\"vector\":{\"a\":[%u,%u,1,2]", i ? "," : "", at,
                          at % 97, at % 31);
            to += with_b ? sprintf(to, ",\"b\":[%u,1]", at % 53) : 0;
            to += sprintf(to, "}}");
        }
        sprintf(to, "]}");
        has(t, "PUT", "/collections/c/points?wait=true", body, 200, "\"completed\"");
    }
    free(body);
}

/* Until nothing waits or runs, half a minute at most. */
static void settle(struct rest *t)
{
    bool busy = true;
    for (unsigned i = 0; busy && i < 3000; i++) {
        assert_int_equal(ask(t, "GET", "/collections/c", NULL), 200);
        busy = !strstr(t->r.body, "\"status\":\"green\"");
        if (busy) {
            usleep(10000);
        }
    }
    assert_false(busy);
}

static void test_settings(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c",
         "{\"vectors\":{\"a\":{\"size\":4,\"distance\":\"Euclid\"},\"b\":{\"size\":2,\"distance\":"
         "\"Dot\"}},\"optimizers_config\":{\"indexing_threshold\":1}}",
         "true");
    load(t, 600, true);
    has(t, "POST", "/collections/c/optimize", "{}", 200, "\"indexed_vectors_count\":1200");
    good(t, "PATCH", "/collections/c", "{\"hnsw_config\":{\"m\":8}}", "true");
    has(t, "POST", "/collections/c/points/query",
        "{\"query\":[5,5,1,2],\"using\":\"a\",\"limit\":1,\"params\":{\"hnsw_ef\":200}}", 200,
        "\"id\":5,");
    settle(t);
    has(t, "GET", OPTIMIZATIONS, NULL, 200, "\"optimizer\":\"reindex\",\"status\":\"done\"");
    has(t, "GET", OPTIMIZATIONS, NULL, 200, "\"reason\":\"vector `a`: m 16 -> 8\"");
    has(t, "GET", OPTIMIZATIONS, NULL, 200, "\"queued_segments\":0");
    has(t, "GET", "/metrics", NULL, 200, "kind=\"reindex\"");
    good(t, "PATCH", "/collections/c",
         "{\"vectors\":{\"a\":{\"quantization_config\":{\"scalar\":{\"type\":\"int8\"}}}}}",
         "true");
    settle(t);
    has(t, "GET", OPTIMIZATIONS, NULL, 200, "\"reason\":\"vector `a`: walk over vectors -> int8\"");
    good(t, "PATCH", "/collections/c",
         "{\"vectors\":{\"a\":{\"quantization_config\":\"Disabled\"}}}", "true");
    settle(t);
    has(t, "GET", OPTIMIZATIONS, NULL, 200, "\"reason\":\"vector `a`: walk over int8 -> vectors\"");
    assert_int_equal(ask(t, "GET", "/collections/c", NULL), 200);
    assert_null(strstr(t->r.body, "Disabled"));
    good(t, "PATCH", "/collections/c",
         "{\"vectors\":{\"a\":{\"on_disk\":true,\"hnsw_config\":{\"memory\":\"cold\"}}},\"params\":"
         "{\"on_disk_payload\":false}}",
         "true");
    settle(t);
    has(t, "GET", OPTIMIZATIONS, NULL, 200, "\"reason\":\"vector `a`: graph memory -> disk\"");
    has(t, "GET", "/collections/c", NULL, 200, "\"indexed_vectors_count\":1200");
    good(t, "PATCH", "/collections/c", "{\"quantization_config\":{\"binary\":{}}}", "true");
    settle(t);
    has(t, "GET", OPTIMIZATIONS, NULL, 200,
        "\"reason\":\"vector `b`: walk over vectors -> 1-bit\"");
    has(t, "PATCH", "/collections/c",
        "{\"quantization_config\":{\"product\":{\"compression\":\"x16\"}}}", 200, "true");
    has(t, "GET", "/collections/c", NULL, 200,
        "\"unapplied_settings\":[{\"message\":\"quantization_config: this version has no product "
        "codes, it searches int8\"}]");
    rest_reopen(t);
    settle(t);
    has(t, "GET", "/collections/c", NULL, 200, "\"indexed_vectors_count\":1200");
    /* 0 links: no graph */
    good(t, "PATCH", "/collections/c", "{\"vectors\":{\"b\":{\"hnsw_config\":{\"m\":0}}}}", "true");
    settle(t);
    has(t, "GET", "/collections/c", NULL, 200, "\"indexed_vectors_count\":600");
    has(t, "PATCH", "/collections/c", "{\"hnsw_config\":{\"m\":1}}", 422, "m: 1 is outside 2..512");
    has(t, "GET", "/collections/c", NULL, 200, "\"hnsw_config\":{\"m\":8,");
}

static void test_vectors(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c", "{\"vectors\":{\"a\":{\"size\":4,\"distance\":\"Euclid\"}}}",
         "true");
    load(t, 200, false);
    bad(t, "PUT", "/collections/c/vectors/b", "{}", 400,
        "Format error in JSON body: expected one of `dense` and `sparse`");
    has(t, "PUT", "/collections/c/vectors/s?wait=true", "{\"sparse\":{\"modifier\":\"idf\"}}", 200,
        "completed");
    has(t, "GET", "/collections/c", NULL, 200, "\"sparse_vectors\":{\"s\":{\"modifier\":\"idf\"}}");
    has(t, "DELETE", "/collections/c/vectors/s?wait=true", NULL, 200, "completed");
    has(t, "PUT", "/collections/c/vectors/b", "{\"dense\":{\"size\":2}}", 400,
        "missing field `dense.distance`");
    has(t, "PUT", "/collections/c/vectors/a", "{\"dense\":{\"size\":2,\"distance\":\"Dot\"}}", 400,
        "Vector with name `a` already exists");
    has(t, "DELETE", "/collections/c/vectors/b", NULL, 400, "Not existing vector name error: b");
    has(t, "PUT", "/collections/none/vectors/b", "{\"dense\":{\"size\":2,\"distance\":\"Dot\"}}",
        404, "Collection `none` doesn't exist!");
    has(t, "PUT", "/collections/c/vectors/b?wait=true",
        "{\"dense\":{\"size\":2,\"distance\":\"Dot\",\"hnsw_config\":{\"m\":5}}}", 200,
        "\"status\":\"completed\"");
    has(t, "GET", "/collections/c", NULL, 200,
        "\"b\":{\"size\":2,\"distance\":\"Dot\",\"hnsw_config\":{\"m\":5}}");
    has(t, "PUT", "/collections/c/points/vectors?wait=true",
        "{\"points\":[{\"id\":7,\"vector\":{\"b\":[3,4]}}]}", 200, "completed");
    has(t, "POST", "/collections/c/points/query", "{\"query\":[1,1],\"using\":\"b\"}", 200,
        "\"points\":[{\"id\":7,\"version\":");
    has(t, "POST", "/collections/c/points/count",
        "{\"filter\":{\"must\":[{\"has_vector\":\"b\"}]}}", 200, "{\"count\":1}");
    has(t, "GET", "/collections/c/points/7", NULL, 200,
        "\"vector\":{\"a\":[7.0,7.0,1.0,2.0],\"b\":[3.0,4.0]}");
    has(t, "GET", "/collections/c/points/8", NULL, 200, "\"vector\":{\"a\":[8.0,8.0,1.0,2.0]}");
    rest_reopen(t);
    has(t, "DELETE", "/collections/c/vectors/b?wait=true", NULL, 200, "\"status\":\"completed\"");
    has(t, "GET", "/collections/c/points/7", NULL, 200, "\"vector\":{\"a\":[7.0,7.0,1.0,2.0]}");
    has(t, "POST", "/collections/c/points/query", "{\"query\":[1,1],\"using\":\"b\"}", 400,
        "Not existing vector name error: b");
    has(t, "POST", "/collections/c/points/count",
        "{\"filter\":{\"must\":[{\"has_vector\":\"b\"}]}}", 200, "{\"count\":0}");
    assert_int_equal(ask(t, "GET", "/collections/c", NULL), 200);
    assert_null(strstr(t->r.body, "\"b\":"));
    has(t, "PUT", "/collections/c/vectors/b", "{\"dense\":{\"size\":3,\"distance\":\"Dot\"}}", 200,
        "\"status\":\"acknowledged\"");
    has(t, "GET", "/collections/c/points/7", NULL, 200, "\"vector\":{\"a\":[7.0,7.0,1.0,2.0]}");
    rest_reopen(t);
    has(t, "GET", "/collections/c/points/7", NULL, 200, "\"vector\":{\"a\":[7.0,7.0,1.0,2.0]}");
    /* beside a vector without a name */
    good(t, "PUT", "/collections/d", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", "true");
    has(t, "PUT", "/collections/d/vectors/b", "{\"dense\":{\"size\":3,\"distance\":\"Dot\"}}", 200,
        "acknowledged");
    has(t, "GET", "/collections/d", NULL, 200,
        "\"vectors\":{\"\":{\"size\":2,\"distance\":\"Dot\"},\"b\":{\"size\":3,\"distance\":"
        "\"Dot\"}}");
    has(t, "PUT", "/collections/d/points?wait=true",
        "{\"points\":[{\"id\":1,\"vector\":[1,2]},{\"id\":2,\"vector\":{\"\":[3,4],\"b\":[5,6,7]}}]"
        "}",
        200, "completed");
    has(t, "GET", "/collections/d/points/1", NULL, 200, "\"vector\":[1.0,2.0]");
    has(t, "GET", "/collections/d/points/2", NULL, 200,
        "\"vector\":{\"\":[3.0,4.0],\"b\":[5.0,6.0,7.0]}");
    has(t, "DELETE", "/collections/d/vectors/b?wait=true", NULL, 200, "completed");
    has(t, "GET", "/collections/d", NULL, 200, "\"vectors\":{\"size\":2,\"distance\":\"Dot\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_settings, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_vectors, rest_setup, rest_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
