/* test_rest_core.c: the primary dialect from end to end: collections, points, payloads, queries,
 * aliases. */
#include "test_rest.h"

#define WAIT "?wait=true"

static void four_points(struct rest *t)
{
    good(t, "PUT", "/collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", "true");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"points\":[{\"id\":1,\"vector\":[1,0],\"payload\":{\"city\":\"Oslo\",\"n\":1,\"tags\":["
        "\"a\",\"b\"]}},"
        "{\"id\":2,\"vector\":[0,1],\"payload\":{\"city\":\"Rome\",\"n\":2}},"
        "{\"id\":\"550E8400-E29B-41D4-A716-446655440000\",\"vector\":[0.5,0.5],\"payload\":{"
        "\"city\":\"Rome\",\"n\":3}},"
        "{\"id\":9007199254740993,\"vector\":[-1,0]}]}",
        200, "\"status\":\"completed\"}");
}

#define UUID "\"550e8400-e29b-41d4-a716-446655440000\""

static void test_service(void **state)
{
    struct rest *t = *state;
    assert_int_equal(ask(t, "GET", "/", NULL), 200);
    assert_string_equal(t->r.body,
                        "{\"title\":\"qdrant - vector search engine\",\"version\":\"1.19.0\","
                        "\"commit\":\"0000000000000000000000000000000000000000\"}");
    assert_int_equal(ask(t, "GET", "/healthz", NULL), 200);
    assert_string_equal(t->r.body, "healthz check passed");
    assert_string_equal(t->r.content_type, "text/plain; charset=utf-8");
    assert_int_equal(ask(t, "GET", "/livez", NULL), 200);
    assert_int_equal(ask(t, "GET", "/readyz", NULL), 200);
    assert_string_equal(t->r.body, "all shards are ready");
    good(t, "GET", "/issues", NULL, "{\"issues\":[]}");
    good(t, "DELETE", "/issues", NULL, "true");
    good(t, "GET", "/cluster", NULL, "{\"status\":\"disabled\"}");
    has(t, "GET", "/metrics", NULL, 200, "collections_total 0\n");
    has(t, "GET", "/telemetry", NULL, 200, "\"collections\":{\"number_of_collections\":0}");
    bad(t, "POST", "/cluster/recover", "{}", 405, "Qdrant is running in standalone mode");
    bad(t, "GET", "/quotas", NULL, 501,
        "Not supported: GET /quotas is not supported by this version");
}

static void lacks(struct rest *t, const char *path, const char *text)
{
    assert_int_equal(ask(t, "GET", path, NULL), 200);
    assert_null(strstr(t->r.body, text));
}

/* The peer's names, and responses told apart by collection where that is asked for. */
static void test_figures(void **state)
{
#define EACH "?per_collection=true"
#define SCROLL                                                                                     \
    "rest_responses_total{method=\"POST\",endpoint=\"/collections/{collection_name}/points/"       \
    "scroll\""
    struct rest *t = *state;
    static const char *const names[] = {
        "collection_vectors{collection=\"a b\",vector=\"x\"} 1\n",
        "collection_indexed_only_excluded_points{id=\"c\",vector=\"\"} 0\n",
        "collection_active_replicas_min 1\n",
        "collection_active_replicas_max 1\n",
        "collection_dead_replicas 0\n",
        "collection_shard_transfer_incoming{id=\"c\"} 0\n",
        "collection_shard_transfer_outgoing{id=\"c\"} 0\n",
        "collection_update_queue_length{id=\"c\"} 0\n",
        "collection_update_queue_deferred_points{id=\"c\"} 0\n",
        "snapshot_creation_running{id=\"c\"} 0\n",
        "snapshot_recovery_running{id=\"c\"} 0\n",
        "snapshot_created_total{id=\"c\"} 1\n",
        "snapshot_created_total{id=\"a b\"} 0\n",
    };
    static const char *const of_process[] = {
        "\nmemory_resident_bytes ", "\nmemory_retained_bytes ",
        "\nprocess_threads ",       "\nprocess_open_mmaps ",
        "\nsystem_max_mmaps ",      "\nprocess_open_fds ",
        "\nprocess_max_fds ",       "\nprocess_minor_page_faults_total ",
    };
    good(t, "PUT", "/collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", "true");
    good(t, "PUT", "/collections/a%20b", "{\"vectors\":{\"x\":{\"size\":1,\"distance\":\"Dot\"}}}",
         "true");
    has(t, "PUT", "/collections/a%20b/points?wait=true",
        "{\"points\":[{\"id\":1,\"vector\":{\"x\":[1]}}]}", 200, "completed");
    has(t, "POST", "/collections/c/snapshots?wait=true", "{}", 200, "c-");
    for (int i = 0; i < 2; i++) {
        has(t, "POST", "/collections/c/points/scroll", "{}", 200, "[]");
        has(t, "POST", "/collections/a%20b/points/scroll", "{}", 200, "1");
        has(t, "POST", "/collections/nobody/points/scroll", "{}", 404, "nobody");
        has(t, "POST", "/collections/c/points/scroll", "{", 400, "error");
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        has(t, "GET", "/metrics", NULL, 200, names[i]);
    }
    for (size_t i = 0; i < sizeof of_process / sizeof *of_process; i++) {
        const char *at;
        has(t, "GET", "/metrics", NULL, 200, of_process[i]);
        at = strstr(t->r.body, of_process[i]);
        assert_true(strtoull(at + strlen(of_process[i]), NULL, 10) > 0);
    }
    has(t, "GET", "/collections/c", NULL, 200,
        "\"update_queue\":{\"length\":0,\"deferred_points\":0}");
    lacks(t, "/metrics", ",collection=");
    has(t, "GET", "/metrics", NULL, 200, SCROLL ",status=\"200\"} 4\n");
    has(t, "GET", "/metrics" EACH, NULL, 200, SCROLL ",status=\"200\",collection=\"c\"} 2\n");
    has(t, "GET", "/metrics" EACH, NULL, 200, SCROLL ",status=\"200\",collection=\"a b\"} 2\n");
    has(t, "GET", "/metrics" EACH, NULL, 200, SCROLL ",status=\"400\",collection=\"c\"} 2\n");
    has(t, "GET", "/metrics" EACH, NULL, 200, SCROLL ",status=\"404\"} 2\n");
    lacks(t, "/metrics" EACH, SCROLL ",status=\"200\"}");
    lacks(t, "/metrics" EACH, "nobody");
    lacks(t, "/telemetry", "per_collection_responses");
    has(t, "GET", "/telemetry" EACH, NULL, 200, "\"per_collection_responses\":{\"a b\":{");
    has(t, "GET", "/telemetry" EACH, NULL, 200,
        "\"POST /collections/{collection_name}/points/scroll\":{\"200\":{\"count\":2,");
    assert_non_null(strstr(strstr(t->r.body, "\"per_collection_responses\""), "\"400\":"));
    assert_null(strstr(strstr(t->r.body, "\"per_collection_responses\""), "\"404\":"));
    bad(t, "GET", "/metrics?per_collection=maybe", NULL, 400,
        "Deserialize error in query parameters: per_collection: provided string `maybe` was not "
        "`true` or `false`");
    /* a new collection of the name begins anew */
    good(t, "DELETE", "/collections/c", NULL, "true");
    lacks(t, "/metrics" EACH, "collection=\"c\"");
    has(t, "GET", "/metrics" EACH, NULL, 200, SCROLL ",status=\"200\"} 2\n");
    good(t, "PUT", "/collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", "true");
    has(t, "POST", "/collections/c/points/scroll", "{}", 200, "[]");
    has(t, "GET", "/metrics" EACH, NULL, 200, SCROLL ",status=\"200\",collection=\"c\"} 1\n");
}

static void test_collections(void **state)
{
    struct rest *t = *state;
    good(t, "GET", "/collections", NULL, "{\"collections\":[]}");
    good(t, "DELETE", "/collections/c", NULL, "false");
    good(t, "GET", "/collections/c/exists", NULL, "{\"exists\":false}");
    good(t, "PUT", "/collections/c?timeout=5", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}",
         "true");
    good(t, "PUT", "/collections/a%20b",
         "{\"vectors\":{\"x\":{\"size\":3,\"distance\":\"Euclid\"}},\"shard_number\":3}", "true");
    good(t, "PUT", "/collections/none", "{}", "true");
    good(t, "GET", "/collections", NULL,
         "{\"collections\":[{\"name\":\"a b\"},{\"name\":\"c\"},{\"name\":\"none\"}]}");
    good(t, "GET", "/collections/c/exists", NULL, "{\"exists\":true}");
    rest_reopen(t);
    good(t, "GET", "/collections", NULL,
         "{\"collections\":[{\"name\":\"a b\"},{\"name\":\"c\"},{\"name\":\"none\"}]}");
    good(t, "GET", "/collections/a%20b/cluster", NULL,
         "{\"peer_id\":0,\"shard_count\":3,\"local_shards\":[{\"shard_id\":0,\"points_count\":0,"
         "\"state\":\"Active\"},"
         "{\"shard_id\":1,\"points_count\":0,\"state\":\"Active\"},{\"shard_id\":2,\"points_"
         "count\":0,\"state\":\"Active\"}],"
         "\"remote_shards\":[],\"shard_transfers\":[]}");
    good(t, "DELETE", "/collections/a%20b", NULL, "true");
    good(t, "DELETE", "/collections/a%20b", NULL, "false");
    bad(t, "GET", "/collections/a%20b", NULL, 404, "Not found: Collection `a b` doesn't exist!");
}

static void test_points(void **state)
{
    struct rest *t = *state;
    four_points(t);
    good(t, "GET", "/collections/c/points/1", NULL,
         "{\"id\":1,\"payload\":{\"city\":\"Oslo\",\"n\":1,\"tags\":[\"a\",\"b\"]},\"vector\":[1.0,"
         "0.0]}");
    good(t, "GET", "/collections/c/points/9007199254740993", NULL,
         "{\"id\":9007199254740993,\"payload\":{},\"vector\":[-1.0,0.0]}");
    good(t, "GET", "/collections/c/points/550e8400e29b41d4a716446655440000", NULL,
         "{\"id\":" UUID ",\"payload\":{\"city\":\"Rome\",\"n\":3},\"vector\":[0.5,0.5]}");
    bad(t, "GET", "/collections/c/points/5", NULL, 404,
        "Not found: Point with id 5 does not exists!");
    good(t, "POST", "/collections/c/points",
         "{\"ids\":[2,77,1],\"with_payload\":[\"city\"],\"with_vector\":true}",
         "[{\"id\":2,\"payload\":{\"city\":\"Rome\"},\"vector\":[0.0,1.0]},{\"id\":1,\"payload\":{"
         "\"city\":\"Oslo\"},\"vector\":[1.0,0.0]}]");
    good(t, "POST", "/collections/c/points",
         "{\"ids\":[1],\"with_payload\":{\"exclude\":[\"n\",\"tags\"]}}",
         "[{\"id\":1,\"payload\":{\"city\":\"Oslo\"}}]");
    good(t, "POST", "/collections/c/points",
         "{\"ids\":[1],\"with_payload\":{\"include\":[\"tags\"]}}",
         "[{\"id\":1,\"payload\":{\"tags\":[\"a\",\"b\"]}}]");
    good(t, "POST", "/collections/c/points", "{\"ids\":[],\"with_payload\":false}", "[]");
    /* replaced whole, columns, several spellings of names */
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"batch\":{\"ids\":[1,5],\"vectors\":[[2,2],[3,3]],\"payloads\":[null,{\"x\":1.5}]}}",
        200, "completed");
    good(t, "POST", "/collections/c/points", "{\"ids\":[1,5],\"with_vectors\":[\"\"]}",
         "[{\"id\":1,\"payload\":{},\"vector\":[2.0,2.0]},{\"id\":5,\"payload\":{\"x\":1.5},"
         "\"vector\":[3.0,3.0]}]");
    has(t, "PUT", "/collections/c/points", "{\"points\":[{\"id\":6,\"vectors\":{\"\":[4,4]}}]}",
        200, "\"status\":\"acknowledged\"}");
    good(t, "GET", "/collections/c/points/6", NULL,
         "{\"id\":6,\"payload\":{},\"vector\":[4.0,4.0]}");
    /* deleted */
    has(t, "POST", "/collections/c/points/delete" WAIT, "{\"points\":[5,6,4711]}", 200,
        "completed");
    has(t, "POST", "/collections/c/points/delete" WAIT,
        "{\"filter\":{\"must\":[{\"key\":\"n\",\"range\":{\"gte\":3}}]}}", 200, "completed");
    good(t, "POST", "/collections/c/points/count", "{\"exact\":true}", "{\"count\":3}");
    good(t, "POST", "/collections/c/points/count",
         "{\"filter\":{\"must\":[{\"key\":\"city\",\"match\":{\"value\":\"Rome\"}}]}}",
         "{\"count\":1}");
    rest_reopen(t);
    good(
        t, "POST", "/collections/c/points/scroll", "{\"with_payload\":false}",
        "{\"points\":[{\"id\":1},{\"id\":2},{\"id\":9007199254740993}],\"next_page_offset\":null}");
}

static void test_scroll(void **state)
{
    struct rest *t = *state;
    four_points(t);
    good(t, "POST", "/collections/c/points/scroll", "{\"limit\":2,\"with_payload\":false}",
         "{\"points\":[{\"id\":1},{\"id\":2}],\"next_page_offset\":9007199254740993}");
    good(t, "POST", "/collections/c/points/scroll",
         "{\"limit\":1,\"offset\":9007199254740993,\"with_payload\":false}",
         "{\"points\":[{\"id\":9007199254740993}],\"next_page_offset\":" UUID "}");
    good(t, "POST", "/collections/c/points/scroll", "{\"offset\":" UUID ",\"with_payload\":false}",
         "{\"points\":[{\"id\":" UUID "}],\"next_page_offset\":null}");
    good(t, "POST", "/collections/c/points/scroll",
         "{\"filter\":{\"must\":[{\"key\":\"tags\",\"match\":{\"value\":\"b\"}}]}}",
         "{\"points\":[{\"id\":1,\"payload\":{\"city\":\"Oslo\",\"n\":1,\"tags\":[\"a\",\"b\"]}}],"
         "\"next_page_offset\":null}");
}

static void test_query(void **state)
{
    struct rest *t = *state;
    four_points(t);
    has(t, "POST", "/collections/c/points/query",
        "{\"query\":[1,0.25],\"limit\":2,\"with_payload\":[\"n\"]}", 200,
        "{\"result\":{\"points\":[{\"id\":1,\"version\":2,\"score\":1.0,\"payload\":{\"n\":1}},"
        "{\"id\":" UUID ",\"version\":2,\"score\":0.625,\"payload\":{\"n\":3}}]},");
    has(t, "POST", "/collections/c/points/query",
        "{\"query\":{\"nearest\":[1,0]},\"limit\":9,\"offset\":1,\"score_threshold\":0.25}", 200,
        "{\"points\":[{\"id\":" UUID ",\"version\":2,\"score\":0.5}]}");
    has(t, "POST", "/collections/c/points/query",
        "{\"query\":[1,0],\"filter\":{\"must\":[{\"key\":\"city\",\"match\":{\"any\":[\"Rome\"]}}]}"
        ","
        "\"params\":{\"exact\":true,\"hnsw_ef\":64,\"indexed_only\":false,\"quantization\":{"
        "\"ignore\":true,\"rescore\":true,\"oversampling\":2.0}},"
        "\"with_vector\":true}",
        200,
        "[{\"id\":" UUID ",\"version\":2,\"score\":0.5,\"vector\":[0.5,0.5]},{\"id\":2,\"version\":"
        "2,\"score\":0.0,\"vector\":[0.0,1.0]}]");
    has(t, "POST", "/collections/c/points/query",
        "{\"query\":[1,0],\"limit\":1,\"params\":{\"recall\":0.95,\"quantization\":{\"rescore\":"
        "false}}}",
        200, "[{\"id\":1,\"version\":2,\"score\":1.0}]");
    /* by id: the example is not a result */
    has(t, "POST", "/collections/c/points/query", "{\"query\":1,\"limit\":1}", 200,
        "[{\"id\":" UUID ",\"version\":2,\"score\":0.5}]");
    has(t, "POST", "/collections/c/points/query", "{\"query\":" UUID ",\"limit\":1}", 200,
        "[{\"id\":1,\"version\":2,\"score\":0.5}]");
    has(t, "POST", "/collections/c/points/query",
        "{\"query\":{\"recommend\":{\"positive\":[1],\"negative\":[[0,1]],\"strategy\":\"average_"
        "vector\"}},\"limit\":1}",
        200, "[{\"id\":" UUID ",\"version\":2,\"score\":0.5}]");
    /* without a query: in id order, scored 1 */
    has(t, "POST", "/collections/c/points/query", "{\"limit\":2,\"offset\":1}", 200,
        "{\"points\":[{\"id\":2,\"version\":2,\"score\":1.0},{\"id\":9007199254740993,\"version\":"
        "2,\"score\":1.0}]}");
    has(t, "POST", "/collections/c/points/query/batch",
        "{\"searches\":[{\"query\":[1,0],\"limit\":1},{\"query\":[0,1],\"limit\":1,\"using\":\"\"},"
        "{\"query\":[0,0],\"limit\":1,\"filter\":{\"must\":[{\"has_id\":[]}]}}]}",
        200,
        "{\"result\":[{\"points\":[{\"id\":1,\"version\":2,\"score\":1.0}]},{\"points\":[{\"id\":2,"
        "\"version\":2,\"score\":1.0}]},{\"points\":[]}],");
    good(t, "POST", "/collections/c/points/query/batch", "{\"searches\":[]}", "[]");
}

static void test_legacy(void **state)
{
    struct rest *t = *state;
    four_points(t);
    good(t, "POST", "/collections/c/points/search", "{\"vector\":[1,0],\"limit\":1}",
         "[{\"id\":1,\"version\":2,\"score\":1.0}]");
    good(t, "POST", "/collections/c/points/search",
         "{\"vector\":{\"name\":\"\",\"vector\":[0,1]},\"top\":1,\"with_payload\":[\"n\"]}",
         "[{\"id\":2,\"version\":2,\"score\":1.0,\"payload\":{\"n\":2}}]");
    good(t, "POST", "/collections/c/points/search/batch",
         "{\"searches\":[{\"vector\":[1,0],\"limit\":1},{\"vector\":[0,1],\"limit\":1}]}",
         "[[{\"id\":1,\"version\":2,\"score\":1.0}],[{\"id\":2,\"version\":2,\"score\":1.0}]]");
    good(t, "POST", "/collections/c/points/recommend", "{\"positive\":[1],\"limit\":1}",
         "[{\"id\":" UUID ",\"version\":2,\"score\":0.5}]");
    good(t, "POST", "/collections/c/points/recommend/batch",
         "{\"searches\":[{\"positive\":[1],\"negative\":[2],\"limit\":1}]}",
         "[[{\"id\":" UUID ",\"version\":2,\"score\":0.5}]]");
}

static void test_named_vectors(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c",
         "{\"vectors\":{\"text\":{\"size\":2,\"distance\":\"Cosine\"},\"image\":{\"size\":3,"
         "\"distance\":\"Manhattan\"}}}",
         "true");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"points\":[{\"id\":1,\"vector\":{\"text\":[3,4],\"image\":[1,2,3]}},{\"id\":2,"
        "\"vector\":{\"image\":[0,0,0]}},{\"id\":3,\"vector\":{}}]}",
        200, "completed");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"batch\":{\"ids\":[4,5],\"vectors\":{\"text\":[[1,0],[0,1]],\"image\":[[1,1,1],[2,2,2]]}"
        "}}",
        200, "completed");
    good(t, "POST", "/collections/c/points",
         "{\"ids\":[1,2,3],\"with_payload\":false,\"with_vector\":true}",
         "[{\"id\":1,\"vector\":{\"text\":[0.6,0.8],\"image\":[1.0,2.0,3.0]}},{\"id\":2,\"vector\":"
         "{\"image\":[0.0,0.0,0.0]}},{\"id\":3,\"vector\":{}}]");
    good(t, "POST", "/collections/c/points",
         "{\"ids\":[1,2],\"with_payload\":false,\"with_vector\":[\"text\"]}",
         "[{\"id\":1,\"vector\":{\"text\":[0.6,0.8]}},{\"id\":2,\"vector\":{}}]");
    has(t, "POST", "/collections/c/points/query",
        "{\"query\":[1,1,1],\"using\":\"image\",\"limit\":2}", 200,
        "[{\"id\":4,\"version\":3,\"score\":0.0},{\"id\":1,\"version\":2,\"score\":3.0}]");
    good(t, "POST", "/collections/c/points/count",
         "{\"filter\":{\"must\":[{\"has_vector\":\"text\"}]}}", "{\"count\":3}");
    /* another collection's vectors as examples */
    good(t, "PUT", "/collections/other", "{\"vectors\":{\"size\":3,\"distance\":\"Dot\"}}", "true");
    has(t, "PUT", "/collections/other/points" WAIT, "{\"points\":[{\"id\":8,\"vector\":[2,2,2]}]}",
        200, "completed");
    has(t, "POST", "/collections/c/points/query",
        "{\"query\":8,\"using\":\"image\",\"limit\":1,\"lookup_from\":{\"collection\":\"other\","
        "\"vector\":"
        "\"\"}}",
        200, "[{\"id\":5,");
    bad(t, "POST", "/collections/c/points/query",
        "{\"query\":8,\"using\":\"image\",\"limit\":1,\"lookup_from\":{\"collection\":\"other\"}}",
        400, "Wrong input: Not existing vector name error: image");
    /* vectors alone */
    has(t, "PUT", "/collections/c/points/vectors" WAIT,
        "{\"points\":[{\"id\":3,\"vector\":{\"image\":[9,9,9]}}]}", 200, "completed");
    has(t, "POST", "/collections/c/points/vectors/delete" WAIT,
        "{\"points\":[1],\"vector\":[\"image\"]}", 200, "completed");
    has(t, "POST", "/collections/c/points/vectors/delete" WAIT,
        "{\"points\":[2],\"filter\":{\"must\":[{\"has_id\":[4]}]},\"vectors\":[\"image\"]}", 200,
        "completed");
    good(t, "POST", "/collections/c/points",
         "{\"ids\":[1,2,3,4],\"with_payload\":false,\"with_vector\":true}",
         "[{\"id\":1,\"vector\":{\"text\":[0.6,0.8]}},{\"id\":2,\"vector\":{}},{\"id\":3,"
         "\"vector\":{\"image\":[9.0,9.0,9.0]}},"
         "{\"id\":4,\"vector\":{\"text\":[1.0,0.0]}}]");
}

static void test_payload(void **state)
{
    struct rest *t = *state;
    four_points(t);
    has(t, "POST", "/collections/c/points/payload" WAIT,
        "{\"payload\":{\"n\":10,\"deep\":{\"a\":1}},\"points\":[1]}", 200, "completed");
    has(t, "POST", "/collections/c/points/payload" WAIT,
        "{\"payload\":{\"b\":2},\"key\":\"deep\",\"points\":[1]}", 200, "completed");
    good(t, "POST", "/collections/c/points", "{\"ids\":[1]}",
         "[{\"id\":1,\"payload\":{\"city\":\"Oslo\",\"n\":10,\"tags\":[\"a\",\"b\"],\"deep\":{"
         "\"a\":1,\"b\":2}}}]");
    has(t, "POST", "/collections/c/points/payload/delete" WAIT,
        "{\"keys\":[\"tags\",\"deep.a\",\"none\"],\"points\":[1]}", 200, "completed");
    good(t, "POST", "/collections/c/points", "{\"ids\":[1]}",
         "[{\"id\":1,\"payload\":{\"city\":\"Oslo\",\"n\":10,\"deep\":{\"b\":2}}}]");
    has(t, "PUT", "/collections/c/points/payload" WAIT,
        "{\"payload\":{\"only\":null},\"filter\":{\"must\":[{\"key\":\"city\",\"match\":{\"value\":"
        "\"Rome\"}}]}}",
        200, "completed");
    good(t, "POST", "/collections/c/points", "{\"ids\":[2]}",
         "[{\"id\":2,\"payload\":{\"only\":null}}]");
    has(t, "POST", "/collections/c/points/payload/clear" WAIT, "{\"points\":[1]}", 200,
        "completed");
    has(t, "POST", "/collections/c/points/payload/clear" WAIT,
        "{\"filter\":{\"must\":[{\"is_null\":{\"key\":\"only\"}}]}}", 200, "completed");
    good(t, "POST", "/collections/c/points", "{\"ids\":[1,2]}",
         "[{\"id\":1,\"payload\":{}},{\"id\":2,\"payload\":{}}]");
    /* numbers keep what they are */
    has(t, "POST", "/collections/c/points/payload" WAIT,
        "{\"points\":[1],\"payload\":{\"u\":18446744073709551615,\"i\":-9223372036854775808,\"f\":"
        "1.5e300,\"one\":1.0,\"z\":\"\\u00e9\\u0000\\n\"}}",
        200, "completed");
    good(t, "POST", "/collections/c/points", "{\"ids\":[1]}",
         "[{\"id\":1,\"payload\":{\"u\":18446744073709551615,\"i\":-9223372036854775808,\"f\":1."
         "5e300,\"one\":1.0,\"z\":\"\xC3\xA9\\u0000\\n\"}}]");
}

static void test_batch(void **state)
{
    struct rest *t = *state;
    four_points(t);
    has(t, "POST", "/collections/c/points/batch" WAIT,
        "{\"operations\":["
        "{\"upsert\":{\"points\":[{\"id\":7,\"vector\":[7,7],\"payload\":{\"a\":1,\"b\":2}}]}},"
        "{\"set_payload\":{\"payload\":{\"c\":3},\"points\":[7]}},"
        "{\"delete_payload\":{\"keys\":[\"a\"],\"points\":[7]}},"
        "{\"update_vectors\":{\"points\":[{\"id\":7,\"vector\":[8,8]}]}},"
        "{\"delete\":{\"points\":[1]}},"
        "{\"overwrite_payload\":{\"payload\":{\"new\":true},\"filter\":{\"must\":[{\"has_id\":[2]}]"
        "}}},"
        "{\"clear_payload\":{\"points\":[" UUID "]}},"
        "{\"delete_vectors\":{\"points\":[9007199254740993],\"vector\":[\"\"]}}]}",
        200, "{\"result\":[{\"operation_id\":");
    good(t, "POST", "/collections/c/points/scroll", "{\"with_vector\":true}",
         "{\"points\":[{\"id\":2,\"payload\":{\"new\":true},\"vector\":[0.0,1.0]},{\"id\":7,"
         "\"payload\":{\"b\":2,\"c\":3},\"vector\":[8.0,8.0]},"
         "{\"id\":9007199254740993,\"payload\":{},\"vector\":{}},{\"id\":" UUID
         ",\"payload\":{},\"vector\":[0.5,0.5]}],\"next_page_offset\":null}");
    good(t, "POST", "/collections/c/points/batch", "{\"operations\":[]}", "[]");
    /* all or nothing */
    bad(t, "POST", "/collections/c/points/batch" WAIT,
        "{\"operations\":[{\"delete\":{\"points\":[2]}},{\"upsert\":{\"points\":[{\"id\":8,"
        "\"vector\":[1,2,3]}]}}]}",
        400, "Wrong input: Vector dimension error: expected dim: 2, got 3 (points[0], vector ``)");
    bad(t, "POST", "/collections/c/points/batch" WAIT,
        "{\"operations\":[{\"delete\":{\"points\":[2]}},{\"set_payload\":{\"payload\":{},"
        "\"points\":[4711]}}]}",
        404, "Not found: No point with id 4711 found");
    good(t, "POST", "/collections/c/points/count", "{}", "{\"count\":4}");
}

static void test_update_modes(void **state)
{
    struct rest *t = *state;
    four_points(t);
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"update_mode\":\"insert_only\",\"points\":[{\"id\":1,\"vector\":[9,9]},{\"id\":11,"
        "\"vector\":[9,9]}]}",
        200, "completed");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"update_mode\":\"update_only\",\"points\":[{\"id\":2,\"vector\":[8,8]},{\"id\":12,"
        "\"vector\":[8,8]}]}",
        200, "completed");
    has(t, "PUT", "/collections/c/points" WAIT,
        "{\"update_filter\":{\"must\":[{\"key\":\"n\",\"match\":{\"value\":3}}]},\"points\":[{"
        "\"id\":1,\"vector\":[7,7]},{\"id\":" UUID
        ",\"vector\":[7,7]},{\"id\":13,\"vector\":[7,7]}]}",
        200, "completed");
    good(t, "POST", "/collections/c/points",
         "{\"ids\":[1,2,11,12,13," UUID "],\"with_payload\":false,\"with_vector\":true}",
         "[{\"id\":1,\"vector\":[1.0,0.0]},{\"id\":2,\"vector\":[8.0,8.0]},{\"id\":11,\"vector\":["
         "9.0,9.0]},{\"id\":13,\"vector\":[7.0,7.0]},"
         "{\"id\":" UUID ",\"vector\":[7.0,7.0]}]");
}

static void test_aliases(void **state)
{
    struct rest *t = *state;
    four_points(t);
    good(t, "PUT", "/collections/d", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", "true");
    good(t, "POST", "/collections/aliases",
         "{\"actions\":[{\"create_alias\":{\"collection_name\":\"c\",\"alias_name\":\"x\"}},{"
         "\"create_alias\":{\"collection_name\":\"d\",\"alias_name\":\"y\"}}]}",
         "true");
    good(t, "GET", "/aliases", NULL,
         "{\"aliases\":[{\"alias_name\":\"x\",\"collection_name\":\"c\"},{\"alias_name\":\"y\","
         "\"collection_name\":\"d\"}]}");
    good(t, "GET", "/collections/c/aliases", NULL,
         "{\"aliases\":[{\"alias_name\":\"x\",\"collection_name\":\"c\"}]}");
    good(t, "GET", "/collections/x/aliases", NULL,
         "{\"aliases\":[{\"alias_name\":\"x\",\"collection_name\":\"c\"}]}");
    good(t, "POST", "/collections/x/points/count", "{}", "{\"count\":4}");
    good(t, "GET", "/collections/x/exists", NULL, "{\"exists\":true}");
    /* a switch in one step */
    good(t, "POST", "/collections/aliases",
         "{\"actions\":[{\"delete_alias\":{\"alias_name\":\"x\"}},{\"create_alias\":{\"collection_"
         "name\":\"d\",\"alias_name\":\"x\"}},"
         "{\"rename_alias\":{\"old_alias_name\":\"y\",\"new_alias_name\":\"z\"}}]}",
         "true");
    good(t, "GET", "/aliases", NULL,
         "{\"aliases\":[{\"alias_name\":\"x\",\"collection_name\":\"d\"},{\"alias_name\":\"z\","
         "\"collection_name\":\"d\"}]}");
    /* all or nothing */
    bad(t, "POST", "/collections/aliases",
        "{\"actions\":[{\"delete_alias\":{\"alias_name\":\"x\"}},{\"create_alias\":{\"collection_"
        "name\":\"none\",\"alias_name\":\"x\"}}]}",
        404, "Not found: Collection `none` doesn't exist!");
    good(t, "POST", "/collections/x/points/count", "{}", "{\"count\":0}");
    good(t, "DELETE", "/collections/d", NULL, "true");
    good(t, "GET", "/aliases", NULL, "{\"aliases\":[]}");
}

static void test_optimize(void **state)
{
    struct rest *t = *state;
    four_points(t);
    has(t, "GET", "/collections/c/segments", NULL, 200, "\"kind\":\"growing\",\"index\":\"");
    has(t, "POST", "/collections/c/optimize", NULL, 200,
        "{\"result\":{\"status\":\"completed\",\"segments_count\":");
    has(t, "GET", "/collections/c/segments", NULL, 200, "\"kind\":\"sealed\"");
    has(t, "POST", "/collections/c/optimize", "{\"max_segments\":2}", 200, "completed");
    has(t, "POST", "/collections/c/points/query", "{\"query\":[1,0],\"limit\":1}", 200,
        "[{\"id\":1,");
    rest_reopen(t);
    has(t, "POST", "/collections/c/points/query", "{\"query\":[1,0],\"limit\":1}", 200,
        "[{\"id\":1,");
    good(t, "POST", "/collections/c/points/count", "{}", "{\"count\":4}");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rest_setup, rest_teardown)
    const struct CMUnitTest tests[] = {
        T(test_service),  T(test_figures), T(test_collections),  T(test_points),
        T(test_scroll),   T(test_query),   T(test_legacy),       T(test_named_vectors),
        T(test_payload),  T(test_batch),   T(test_update_modes), T(test_aliases),
        T(test_optimize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
