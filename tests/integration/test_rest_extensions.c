/* test_rest_extensions.c: what the REST dialect has beyond the peer's: expiry, conditional writes,
 * payload operations; and the same through the C interface. */
#include "test_rest.h"

#define WAIT "?wait=true"

static void test_expiry(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c",
         "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"},\"ttl\":86400}", "true");
    has(t, "GET", "/collections/c", NULL, 200, "\"ttl\":86400");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"points\":[{\"id\":1,\"vector\":[1,0],\"expires_at\":\"2099-12-31T23:59:59.5Z\"},"
        "{\"id\":2,\"vector\":[1,0],\"expires_at\":4102444800000},"
        "{\"id\":3,\"vector\":[1,0],\"expires_at\":\"never\"},"
        "{\"id\":4,\"vector\":[1,0],\"expires_at\":\"2001-01-01\"},"
        "{\"id\":5,\"vector\":[1,0],\"ttl\":3600},{\"id\":6,\"vector\":[1,0]}]}",
        200, "completed");
    good(t, "POST", "/collections/c/points/count", "{}", "{\"count\":5}");
    good(t, "POST", "/collections/c/points", "{\"ids\":[1,2,3,4],\"with_payload\":false}",
         "[{\"id\":1,\"expires_at\":\"2099-12-31T23:59:59.500Z\"},"
         "{\"id\":2,\"expires_at\":\"2100-01-01T00:00:00.000Z\"},{\"id\":3}]");
    has(t, "POST", "/collections/c/points", "{\"ids\":[5]}", 200, "\"expires_at\":\"20");
    has(t, "POST", "/collections/c/points", "{\"ids\":[6]}", 200, "\"expires_at\":\"20");
    has(t, "POST", "/collections/c/points/payload" WAIT,
        "{\"payload\":{\"a\":1},\"points\":[1],\"expires_at\":\"never\"}", 200, "completed");
    good(t, "POST", "/collections/c/points", "{\"ids\":[1]}", "[{\"id\":1,\"payload\":{\"a\":1}}]");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"batch\":{\"ids\":[7,8],\"vectors\":[[1,0],[0,1]]},\"expires_at\":4102444800000}", 200,
        "completed");
    has(t, "POST", "/collections/c/points", "{\"ids\":[8]}", 200, "2100-01-01T00:00:00.000Z");
    good(t, "PATCH", "/collections/c", "{\"params\":{\"ttl\":0}}", "true");
    has(t, "PUT", "/collections/c/points" WAIT, "{\"points\":[{\"id\":9,\"vector\":[1,0]}]}", 200,
        "completed");
    good(t, "POST", "/collections/c/points", "{\"ids\":[9],\"with_payload\":false}",
         "[{\"id\":9}]");
    bad(t, "PUT", "/collections/c/points", "{\"points\":[{\"id\":1,\"vector\":[1,0],\"ttl\":0}]}",
        422,
        "Validation error in JSON body: [points[0].ttl: value 0 invalid, must be seconds above 0 "
        "and "
        "at most 3155760000]");
    bad(t, "PUT", "/collections/c/points",
        "{\"points\":[{\"id\":1,\"vector\":[1,0],\"ttl\":1,\"expires_at\":5}]}", 422,
        "Validation error in JSON body: [points[0].ttl: not together with expires_at]");
    has(t, "PUT", "/collections/c/points",
        "{\"points\":[{\"id\":1,\"vector\":[1,0],\"expires_at\":\"tomorrow\"}]}", 400,
        "points[0].expires_at: expected an RFC 3339 date-time, Unix milliseconds, or "
        "\\\"never\\\", not `tomorrow`");
}

static void test_conditions(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", "true");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"points\":[{\"id\":1,\"vector\":[1,0],\"if_version\":0}]}", 200, "completed");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"points\":[{\"id\":1,\"vector\":[1,0]}],\"if_version\":0}", 409,
        "expected version 0 (no such point)");
    has(t, "POST", "/collections/c/points/delete" WAIT, "{\"points\":[1],\"if_version\":999}", 409,
        "point 1 has version ");
    has(t, "POST", "/collections/c/points/payload" WAIT,
        "{\"payload\":{\"a\":1},\"points\":[1],\"if_version\":999}", 409, "expected version 999");
    /* the peer's own modes skip instead */
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"points\":[{\"id\":1,\"vector\":[5,5],\"payload\":{\"x\":1}}],"
        "\"update_mode\":\"insert_only\"}",
        200, "completed");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"points\":[{\"id\":2,\"vector\":[5,5]}],\"update_mode\":\"update_only\"}", 200,
        "completed");
    good(t, "POST", "/collections/c/points/scroll", "{}",
         "{\"points\":[{\"id\":1,\"payload\":{}}],\"next_page_offset\":null}");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"points\":[{\"id\":1,\"vector\":[5,5],\"payload\":{\"x\":2}}],"
        "\"update_filter\":{\"must\":[{\"key\":\"x\",\"match\":{\"value\":1}}]}}",
        200, "completed");
    good(t, "POST", "/collections/c/points", "{\"ids\":[1]}", "[{\"id\":1,\"payload\":{}}]");
}

static void test_payload_operations(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", "true");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"points\":[{\"id\":1,\"vector\":[1,0],\"payload\":{\"tags\":[\"a\"],\"k\":1}},"
        "{\"id\":2,\"vector\":[1,0]}]}",
        200, "completed");
    has(t, "POST", "/collections/c/points/payload/modify" WAIT,
        "{\"points\":[1,2],\"ops\":[{\"op\":\"append\",\"key\":\"tags\",\"value\":\"b\"},"
        "{\"op\":\"increment\",\"key\":\"stats.n\",\"value\":3}]}",
        200, "completed");
    good(t, "POST", "/collections/c/points", "{\"ids\":[1,2]}",
         "[{\"id\":1,\"payload\":{\"tags\":[\"a\",\"b\"],\"k\":1,\"stats\":{\"n\":3}}},"
         "{\"id\":2,\"payload\":{\"tags\":[\"b\"],\"stats\":{\"n\":3}}}]");
    has(t, "POST", "/collections/c/points/batch" WAIT,
        "{\"operations\":[{\"modify_payload\":{\"filter\":{\"must\":[{\"key\":\"k\",\"match\":"
        "{\"value\":1}}]},\"ops\":[{\"op\":\"remove\",\"key\":\"tags\",\"value\":\"a\"}]}},"
        "{\"modify_payload\":{\"points\":[1],\"ops\":[{\"op\":\"increment\",\"key\":\"stats.n\","
        "\"value\":-1}]}}]}",
        200, "completed");
    good(t, "POST", "/collections/c/points", "{\"ids\":[1]}",
         "[{\"id\":1,\"payload\":{\"tags\":[\"b\"],\"k\":1,\"stats\":{\"n\":2}}}]");
    has(t, "POST", "/collections/c/points/payload/modify" WAIT,
        "{\"points\":[2,1],\"ops\":[{\"op\":\"append\",\"key\":\"k\",\"value\":\"b\"}]}", 400,
        "point 1: payload key `k`: expected an array, found a number");
    has(t, "POST", "/collections/c/points", "{\"ids\":[2]}", 200,
        "{\"tags\":[\"b\"],\"stats\":{\"n\":3}}");
    has(t, "POST", "/collections/c/points/payload/modify" WAIT,
        "{\"points\":[3],\"ops\":[{\"op\":\"append\",\"key\":\"k\",\"value\":\"b\"}]}", 404,
        "No point with id 3 found");
    has(t, "POST", "/collections/c/points/payload/modify" WAIT,
        "{\"points\":[1],\"ops\":[{\"op\":\"double\",\"key\":\"k\",\"value\":1}]}", 400,
        "ops[0].op: expected one of `append`, `remove`, `increment`");
    has(t, "POST", "/collections/c/points/payload/modify" WAIT,
        "{\"points\":[1],\"ops\":[{\"op\":\"append\",\"key\":\"k\",\"value\":1},"
        "{\"op\":\"append\",\"value\":1}]}",
        400, "missing field `ops[1].key`");
    has(t, "POST", "/collections/c/points/payload/modify" WAIT, "{\"points\":[1],\"ops\":[7]}", 400,
        "ops[0]: expected an object with op, key and value, not an integer");
    has(t, "POST", "/collections/c/points/payload/modify" WAIT, "{\"points\":[1],\"ops\":[]}", 422,
        "ops: 0 steps, must be from 1 to ");
}

static void test_typed(void **state)
{
    struct rest *t = *state;
    struct qv_err err = {.code = QV_OK};
    struct qv_vector_config vector = {.size = 2, .metric = QV_DOT};
    struct qv_collection_config config = {
        .vectors = &vector, .n_vectors = 1, .ttl_ms = 3600 * 1000};
    assert_int_equal(qv_create_collection(t->db, "c", &config, &err), QV_OK);
    has(t, "GET", "/collections/c", NULL, 200, "\"ttl\":3600");
    float v[2] = {1, 0};
    struct qv_vector vec = {.values = v, .size = 2};
    struct qv_point p[3] = {
        {.id = qv_id_u64(1), .vectors = &vec, .n_vectors = 1, .payload = "{\"n\":1}"},
        {.id = qv_id_u64(2), .vectors = &vec, .n_vectors = 1, .expires_at_ms = QV_NEVER},
        {.id = qv_id_u64(3), .vectors = &vec, .n_vectors = 1, .expires_at_ms = 1000}};
    assert_int_equal(qv_upsert(t->db, "c", p, 3, &err), QV_OK);
    struct qv_id ids[3] = {qv_id_u64(1), qv_id_u64(2), qv_id_u64(3)};
    struct qv_payload_op ops[2] = {{QV_INCREMENT, "n", "41"}, {QV_APPEND, "log", "\"x\""}};
    assert_int_equal(qv_modify_payload(t->db, "c", ids, 2, ops, 2, &err), QV_OK);
    qv_result *r = NULL;
    assert_int_equal(qv_get(t->db, "c", ids, 3, true, false, &r, &err), QV_OK);
    assert_int_equal(qv_result_count(r), 2);
    assert_string_equal(qv_result_hit(r, 0)->payload, "{\"n\":42,\"log\":[\"x\"]}");
    assert_true(qv_result_hit(r, 0)->expires_at_ms > 1600000000000);
    assert_true(qv_result_hit(r, 1)->expires_at_ms == QV_NEVER);
    p[0].has_if_version = true;
    p[0].if_version = qv_result_hit(r, 0)->version;
    qv_result_free(r);
    assert_int_equal(qv_upsert(t->db, "c", p, 1, &err), QV_OK);
    assert_int_equal(qv_upsert(t->db, "c", p, 1, &err), QV_ECONFLICT);
    ops[0].value = "\"x\"";
    assert_int_equal(qv_modify_payload(t->db, "c", ids, 1, ops, 1, &err), QV_EINVAL);
    ops[0].value = "1,";
    assert_int_equal(qv_modify_payload(t->db, "c", ids, 1, ops, 1, &err), QV_EINVAL);
    static const char *const no_text[] = {"\xff", "n.\xc3", "a.\"\xed\xa0\x80\"", "n\xc0\xaf[0]"};
    for (size_t i = 0; i < sizeof no_text / sizeof *no_text; i++) {
        struct qv_payload_op op = {QV_INCREMENT, no_text[i], "1"};
        assert_int_equal(qv_modify_payload(t->db, "c", ids, 1, &op, 1, &err), QV_EINVAL);
        assert_string_equal(err.message, "ops[0].path: not UTF-8");
    }
    struct qv_payload_op fine = {QV_INCREMENT, "\xc3\xa9.\"\xf0\x9f\x98\x80\"", "1"};
    assert_int_equal(qv_modify_payload(t->db, "c", ids, 1, &fine, 1, &err), QV_OK);
    has(t, "POST", "/collections/c/points", "{\"ids\":[1]}", 200,
        "\"\xc3\xa9\":{\"\xf0\x9f\x98\x80\":1}");
    ops[0].path = NULL;
    assert_int_equal(qv_modify_payload(t->db, "c", ids, 1, ops, 1, &err), QV_EINVAL);
    assert_string_equal(err.message, "ops[0].path: must not be NULL");
    p[0].expires_at_ms = -1;
    assert_int_equal(qv_upsert(t->db, "c", p, 1, &err), QV_EINVAL);
}

static void test_background_work(void **state)
{
    struct rest *t = *state;
    char body[64 * 64], *at = body;
    good(t, "PUT", "/collections/c",
         "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"},\"optimizers_config\":"
         "{\"deleted_threshold\":0.5,\"vacuum_min_vector_number\":100}}",
         "true");
    at += sprintf(at, "{\"points\":[");
    for (int i = 0; i < 50; i++) {
        at += sprintf(at, "%s{\"id\":%d,\"vector\":[%d,1]}", i ? "," : "", i, i);
    }
    sprintf(at, "]}");
    has(t, "PUT", "/collections/c/points" WAIT, body, 200, "completed");
    has(t, "POST", "/collections/c/optimize", NULL, 200, "{\"status\":\"completed\",");
    has(t, "POST", "/collections/c/optimize?wait=false", NULL, 200,
        "{\"status\":\"acknowledged\",");
    has(t, "POST", "/collections/c/optimize?timeout=60", NULL, 200, "\"status\":\"completed\"");
    has(t, "GET", "/collections/c/optimizations", NULL, 200,
        "{\"summary\":{\"queued_optimizations\":");
    has(t, "GET", "/collections/c/optimizations?with=completed,queued,idle_segments", NULL, 200,
        "\"optimizer\":\"seal\",\"status\":\"done\",\"segments\":[{\"uuid\":\"00000000-0000-4000-"
        "8000-");
    has(t, "GET", "/collections/c/optimizations?with=completed", NULL, 200,
        "\"reason\":\"flush of what grows\"");
    has(t, "GET", "/collections/c/optimizations?with=nothing", NULL, 400,
        "with: unknown variant `nothing`");
    has(t, "GET", "/collections/c/optimizations?completed_limit=x", NULL, 400, "completed_limit");
    has(t, "GET", "/collections/c/optimizations?completed_limit=", NULL, 400, "completed_limit");
    has(t, "DELETE", "/collections/c/optimizations/4711", NULL, 404,
        "there is no background job 4711 under way");
    has(t, "DELETE", "/collections/c/optimizations/x", NULL, 400, "the number of a job is needed");
    has(t, "GET", "/collections/c/segments", NULL, 200, "\"reclaimable_bytes\":");
    has(t, "GET", "/metrics", NULL, 200, "quiver_jobs_total{kind=\"seal\"} ");
    has(t, "GET", "/metrics", NULL, 200, "quiver_collection_reclaimable_bytes{id=\"c\"} 0\n");
}

static void test_tail_bytes(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c",
         "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"},\"optimizers_config\":"
         "{\"tail_bytes\":4096}}",
         "true");
    has(t, "GET", "/collections/c", NULL, 200, "\"tail_bytes\":4096");
    good(t, "PATCH", "/collections/c", "{\"optimizers_config\":{\"tail_bytes\":65536}}", "true");
    has(t, "GET", "/collections/c", NULL, 200, "\"tail_bytes\":65536");
    bad(t, "PATCH", "/collections/c", "{\"optimizers_config\":{\"tail_bytes\":0}}", 422,
        "Validation error in JSON body: [optimizers_config.tail_bytes: value 0 invalid, must be 1 "
        "or larger]");
    bad(t, "PATCH", "/collections/c", "{\"optimizers_config\":{\"tail_bytes\":\"1\"}}", 400,
        "Format error in JSON body: optimizers_config.tail_bytes: expected an unsigned integer, "
        "not a "
        "string");
}

static void test_packing(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c",
         "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"},\"hnsw_config\":{\"packing\":\"fused\"}}",
         "true");
    has(t, "GET", "/collections/c", NULL, 200, "\"packing\":\"fused\"");
    good(t, "PUT", "/collections/c/points?wait=true",
         "{\"points\":[{\"id\":1,\"vector\":[1,0]},{\"id\":2,\"vector\":[0,1]}]}",
         "{\"operation_id\":2,\"status\":\"completed\"}");
    has(t, "POST", "/collections/c/optimize", "{}", 200, "\"status\":\"completed\"");
    has(t, "POST", "/collections/c/points/search", "{\"vector\":[1,0.5],\"limit\":1}", 200,
        "\"id\":1,");
    good(t, "PATCH", "/collections/c", "{\"hnsw_config\":{\"packing\":\"compact\"}}", "true");
    has(t, "GET", "/collections/c", NULL, 200, "\"packing\":\"compact\"");
    bad(t, "PATCH", "/collections/c", "{\"hnsw_config\":{\"packing\":\"loose\"}}", 400,
        "Format error in JSON body: hnsw_config.packing: unknown variant `loose`, expected for "
        "example `compact`");
}

#define T(f) cmocka_unit_test_setup_teardown(f, rest_setup, rest_teardown)

static void test_profile(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", "true");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"points\":[{\"id\":1,\"vector\":[1,0],\"payload\":{\"a\":1}},"
        "{\"id\":2,\"vector\":[0,1]}]}",
        200, "completed");
    static const char ask[] = "{\"vector\":[1,0],\"limit\":2,\"profile\":true,\"filter\":{\"must\":"
                              "{\"key\":\"a\",\"match\":{\"value\":1}}}}";
    has(t, "POST", "/collections/c/points/search", ask, 200, "\"profile\":{\"segments\":");
    has(t, "POST", "/collections/c/points/search", ask, 200,
        "\"rows_looked_at\":2,\"rows_matched\":1");
    has(t, "POST", "/collections/c/points/search", ask, 200,
        "{\"stage\":\"segment\",\"detail\":\"growing ");
    has(t, "POST", "/collections/c/points/search", ask, 200,
        "{\"stage\":\"filter\",\"detail\":\"row by row\",\"estimated\":");
    has(t, "POST", "/collections/c/points/search", ask, 200, "\"stage\":\"scan\"");
    has(t, "POST", "/collections/c/points/count",
        "{\"profile\":true,\"filter\":{\"must\":{\"has_id\":[2]}}}", 200, "{\"count\":1}");
    has(t, "POST", "/collections/c/points/count", "{\"profile\":true}", 200, "\"steps\":[]");
    bad(t, "POST", "/collections/c/points/count", "{\"profile\":1}", 400,
        "Format error in JSON body: profile: expected a boolean, not an integer");
    good(t, "POST", "/collections/c/points/count", "{\"profile\":false}", "{\"count\":2}");
}

/* The plan alone: nothing found, nothing looked at; a strategy is one of a table. */
static void test_explain(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", "true");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"points\":[{\"id\":1,\"vector\":[1,0],\"payload\":{\"a\":1}},"
        "{\"id\":2,\"vector\":[0,1]}]}",
        200, "completed");
    static const char ask[] = "{\"query\":[1,0],\"explain\":true,\"filter\":{\"must\":"
                              "{\"key\":\"a\",\"match\":{\"value\":1}}}}";
    has(t, "POST", "/collections/c/points/query", ask, 200, "\"points\":[]");
    has(t, "POST", "/collections/c/points/query", ask, 200, "\"explain\":{\"steps_total\":");
    has(t, "POST", "/collections/c/points/query", ask, 200,
        "{\"stage\":\"stage\",\"detail\":\"nearest\",\"estimated\":10");
    has(t, "POST", "/collections/c/points/query", ask, 200,
        "{\"stage\":\"filter at most\",\"detail\":\"no index\",\"estimated\":2");
    has(t, "POST", "/collections/c/points/query",
        "{\"explain\":true,\"prefetch\":[{\"query\":[1,0]},{\"query\":[0,1]}],\"query\":"
        "{\"fusion\":\"rrf\"}}",
        200, "\"detail\":\"fusion by rank\"");
    has(t, "POST", "/collections/c/points/query", "{\"explain\":true}", 200,
        "\"detail\":\"in id order\"");
    bad(t, "POST", "/collections/c/points/count", "{\"explain\":true}", 422,
        "Validation error in JSON body: [explain: only queries, searches, recommendations and "
        "discoveries have a plan]");
    bad(t, "POST", "/collections/c/points/query",
        "{\"query\":[1,0],\"explain\":true,\"profile\":true}", 422,
        "Validation error in JSON body: [explain: not together with profile, which runs the "
        "request]");
    static const char *const strategies[] = {"auto", "scan", "filtered", "post_filter", "packed"};
    for (size_t i = 0; i < sizeof strategies / sizeof *strategies; i++) {
        char body[200];
        (void)snprintf(body, sizeof body,
                       "{\"query\":[1,0],\"params\":{\"strategy\":\"%s\"},\"filter\":{\"must\":"
                       "{\"key\":\"a\",\"match\":{\"value\":1}}}}",
                       strategies[i]);
        has(t, "POST", "/collections/c/points/query", body, 200, "\"points\":[{\"id\":1,");
    }
    bad(t, "POST", "/collections/c/points/query",
        "{\"query\":[1,0],\"params\":{\"strategy\":\"fast\"}}", 422,
        "Validation error in JSON body: [internal.params.strategy: value `fast` invalid, must be "
        "one of "
        "auto, scan, filtered, post_filter, packed]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_expiry),     T(test_conditions),      T(test_payload_operations),
        T(test_typed),      T(test_background_work), T(test_profile),
        T(test_tail_bytes), T(test_explain),         T(test_packing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
