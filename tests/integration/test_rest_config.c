/* test_rest_config.c: settings of collections: what is shown, kept, changed, warned of; payload
 * indexes. */
#include "test_rest.h"

#define HNSW                                                                                       \
    "\"hnsw_config\":{\"m\":16,\"ef_construct\":100,\"full_scan_threshold\":10000,\"max_indexing_" \
    "threads\":0,\"on_disk\":false}"
#define OPTIMIZER                                                                                  \
    "\"optimizer_config\":{\"deleted_threshold\":0.2,\"vacuum_min_vector_number\":1000,\"default_" \
    "segment_number\":0,"                                                                          \
    "\"max_segment_size\":null,\"memmap_threshold\":null,\"indexing_threshold\":10000,\"flush_"    \
    "interval_sec\":5,"                                                                            \
    "\"max_optimization_threads\":null}"
#define WAL                                                                                        \
    "\"wal_config\":{\"wal_capacity_mb\":32,\"wal_segments_ahead\":0,\"wal_retain_closed\":1}"
#define PARAMS                                                                                     \
    "\"shard_number\":1,\"replication_factor\":1,\"write_consistency_factor\":1,\"on_disk_"        \
    "payload\":true"
#define NUMBERS(points, segments)                                                                  \
    "\"indexed_vectors_count\":0,\"points_count\":" points ",\"segments_count\":" segments
#define OK_STATUS "\"status\":\"green\",\"optimizer_status\":\"ok\""

static void test_defaults(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c", "{\"vectors\":{\"size\":4,\"distance\":\"Cosine\"}}", "true");
    has(t, "GET", "/collections/c", NULL, 200,
        "\"config\":{\"params\":{\"vectors\":{\"size\":4,\"distance\":\"Cosine\"}," PARAMS "}," HNSW
        "," OPTIMIZER "," WAL ",\"quantization_config\":null},\"payload_schema\":{},\"update_"
        "queue\":{\"length\":0,\"deferred_points\":0}},\"status\":\"ok\",");
    has(t, "GET", "/collections/c", NULL, 200,
        "{\"result\":{" OK_STATUS
        ",\"indexed_vectors_count\":0,\"points_count\":0,\"segments_count\":");
    good(t, "PUT", "/collections/none", "{}", "true");
    has(t, "GET", "/collections/none", NULL, 200, "{\"params\":{\"vectors\":{}," PARAMS "}");
    good(t, "PUT", "/collections/named",
         "{\"vectors\":{\"b\":{\"size\":1,\"distance\":\"Dot\"},\"a\":{\"size\":2,\"distance\":"
         "\"Euclid\"}}}",
         "true");
    has(t, "GET", "/collections/named", NULL, 200,
        "\"vectors\":{\"b\":{\"size\":1,\"distance\":\"Dot\"},\"a\":{\"size\":2,\"distance\":"
        "\"Euclid\"}},");
    good(t, "PUT", "/collections/empty-name",
         "{\"vectors\":{\"\":{\"size\":1,\"distance\":\"Dot\"}}}", "true");
    has(t, "GET", "/collections/empty-name", NULL, 200,
        "\"vectors\":{\"\":{\"size\":1,\"distance\":\"Dot\"}},");
}

#define FULL                                                                                       \
    "{\"vectors\":{\"size\":4,\"distance\":\"Manhattan\",\"on_disk\":true,\"memory\":\"cold\","    \
    "\"datatype\":\"float32\","                                                                    \
    "\"hnsw_config\":{\"m\":24},\"quantization_config\":{\"scalar\":{\"type\":\"int8\",\"always_"  \
    "ram\":true}}},"                                                                               \
    "\"shard_number\":2,\"replication_factor\":2,\"write_consistency_factor\":1,\"on_disk_"        \
    "payload\":false,"                                                                             \
    "\"payload\":{\"memory\":\"cached\"},\"hnsw_config\":{\"m\":32,\"ef_construct\":200,"          \
    "\"payload_m\":8,\"unknown\":1},"                                                              \
    "\"optimizers_config\":{\"indexing_threshold_kb\":20000,\"max_optimization_threads\":"         \
    "\"auto\",\"deleted_threshold\":0.5},"                                                         \
    "\"wal_config\":{\"wal_capacity_mb\":1},\"quantization_config\":{\"binary\":{\"encoding\":"    \
    "\"two_bits\"}},"                                                                              \
    "\"strict_mode_config\":{\"enabled\":true,\"max_query_limit\":10},\"metadata\":{\"owner\":"    \
    "\"me\",\"deep\":{\"n\":[1,null]}},"                                                           \
    "\"sparse_vectors\":{},\"anything\":[1,2,3]}"

#define FULL_SHOWN                                                                                 \
    "\"config\":{\"params\":{\"vectors\":{\"size\":4,\"distance\":\"Manhattan\",\"hnsw_config\":{" \
    "\"m\":24},"                                                                                   \
    "\"quantization_config\":{\"scalar\":{\"type\":\"int8\",\"always_ram\":true}},\"on_disk\":"    \
    "true,\"memory\":\"cold\","                                                                    \
    "\"datatype\":\"float32\"},\"shard_number\":2,\"replication_factor\":2,\"write_consistency_"   \
    "factor\":1,"                                                                                  \
    "\"on_disk_payload\":false,\"payload\":{\"memory\":\"cached\"}},"                              \
    "\"hnsw_config\":{\"m\":32,\"ef_construct\":200,\"full_scan_threshold\":10000,\"max_indexing_" \
    "threads\":0,"                                                                                 \
    "\"on_disk\":false,\"payload_m\":8},"                                                          \
    "\"optimizer_config\":{\"deleted_threshold\":0.5,\"vacuum_min_vector_number\":1000,\"default_" \
    "segment_number\":0,"                                                                          \
    "\"max_segment_size\":null,\"memmap_threshold\":null,\"indexing_threshold\":20000,\"flush_"    \
    "interval_sec\":5,"                                                                            \
    "\"max_optimization_threads\":null},"                                                          \
    "\"wal_config\":{\"wal_capacity_mb\":1,\"wal_segments_ahead\":0,\"wal_retain_closed\":1},"     \
    "\"quantization_config\":{\"binary\":{\"encoding\":\"two_bits\"}},"                            \
    "\"strict_mode_config\":{\"enabled\":true,\"max_query_limit\":10},"                            \
    "\"metadata\":{\"owner\":\"me\",\"deep\":{\"n\":[1,null]}}}"

static void test_everything_given(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c", FULL, "true");
    has(t, "GET", "/collections/c", NULL, 200, FULL_SHOWN);
    has(t, "GET", "/collections/c", NULL, 200,
        "\"unapplied_settings\":[{\"message\":\"quantization_config: Manhattan distances are taken "
        "of "
        "the vectors, no codes serve them\"}],");
    rest_reopen(t);
    has(t, "GET", "/collections/c", NULL, 200, FULL_SHOWN);
}

static void test_patch(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c", FULL, "true");
    good(t, "PATCH", "/collections/c", "{}", "true");
    has(t, "GET", "/collections/c", NULL, 200, FULL_SHOWN);
    good(t, "PATCH", "/collections/c?timeout=3",
         "{\"vectors\":{\"\":{\"hnsw_config\":{\"ef_construct\":77},\"quantization_config\":"
         "\"Disabled\",\"on_disk\":false}},"
         "\"optimizers_config\":{\"indexing_threshold\":0,\"max_optimization_threads\":3},"
         "\"params\":{\"replication_factor\":5,\"read_fan_out_factor\":2},"
         "\"hnsw_config\":{\"m\":8},\"quantization_config\":\"Disabled\",\"strict_mode_config\":{"
         "\"enabled\":false},"
         "\"metadata\":{\"owner\":null,\"new\":1}}",
         "true");
    static const char shown[] =
        "\"config\":{\"params\":{\"vectors\":{\"size\":4,\"distance\":\"Manhattan\",\"hnsw_"
        "config\":{\"m\":24,\"ef_construct\":77},"
        "\"on_disk\":false,\"memory\":\"cold\",\"datatype\":\"float32\"},\"shard_number\":2,"
        "\"replication_factor\":5,\"write_consistency_factor\":1,"
        "\"read_fan_out_factor\":2,\"on_disk_payload\":false,\"payload\":{\"memory\":\"cached\"}},"
        "\"hnsw_config\":{\"m\":8,\"ef_construct\":200,\"full_scan_threshold\":10000,\"max_"
        "indexing_threads\":0,\"on_disk\":false,\"payload_m\":8},"
        "\"optimizer_config\":{\"deleted_threshold\":0.5,\"vacuum_min_vector_number\":1000,"
        "\"default_segment_number\":0,\"max_segment_size\":null,"
        "\"memmap_threshold\":null,\"indexing_threshold\":0,\"flush_interval_sec\":5,\"max_"
        "optimization_threads\":3},"
        "\"wal_config\":{\"wal_capacity_mb\":1,\"wal_segments_ahead\":0,\"wal_retain_closed\":1},"
        "\"quantization_config\":null,"
        "\"strict_mode_config\":{\"enabled\":false,\"max_query_limit\":10},\"metadata\":{\"deep\":{"
        "\"n\":[1,null]},\"new\":1}}";
    has(t, "GET", "/collections/c", NULL, 200, shown);
    assert_null(strstr(t->r.body, "unapplied_settings"));
    rest_reopen(t);
    has(t, "GET", "/collections/c", NULL, 200, shown);
    /* an empty object takes a vector's own settings back */
    good(t, "PATCH", "/collections/c",
         "{\"vectors\":{\"\":{\"hnsw_config\":{}}},\"hnsw_config\":{\"m\":24}}", "true");
    has(t, "GET", "/collections/c", NULL, 200,
        "{\"size\":4,\"distance\":\"Manhattan\",\"on_disk\":false,");
    assert_null(strstr(t->r.body, "unapplied_settings"));
}

/* A collection of the typed interface has no kept configuration: it is shown as it is, and can be
 * patched. */
static void test_foreign(void **state)
{
    struct rest *t = *state;
    struct qv_err err;
    const struct qv_vector_config v = {.size = 3, .metric = QV_EUCLID, .m = 20};
    const struct qv_collection_config config = {.vectors = &v, .n_vectors = 1};
    assert_int_equal(qv_create_collection(t->db, "c", &config, &err), QV_OK);
    has(t, "GET", "/collections/c", NULL, 200,
        "\"vectors\":{\"size\":3,\"distance\":\"Euclid\",\"hnsw_config\":{\"m\":20,\"ef_"
        "construct\":128}}," PARAMS "}," HNSW);
    assert_null(strstr(t->r.body, "unapplied_settings"));
    good(t, "PATCH", "/collections/c", "{\"metadata\":{\"a\":1}}", "true");
    has(t, "GET", "/collections/c", NULL, 200,
        "\"vectors\":{\"size\":3,\"distance\":\"Euclid\",\"hnsw_config\":{\"m\":20,\"ef_"
        "construct\":128}}," PARAMS "}," HNSW);
    assert_null(strstr(t->r.body, "unapplied_settings"));
    assert_non_null(strstr(t->r.body, "\"metadata\":{\"a\":1}"));
}

static void test_inline_storage(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c",
         "{\"vectors\":{\"a\":{\"size\":2,\"distance\":\"Dot\",\"hnsw_config\":{\"inline_storage\":"
         "true}},"
         "\"b\":{\"size\":2,\"distance\":\"Dot\"}}}",
         "true");
    has(t, "GET", "/collections/c", NULL, 200,
        "\"warnings\":[{\"message\":\"hnsw_config.inline_storage requires quantization to be "
        "enabled. This option "
        "will be ignored.\"}],\"indexed");
}

/* An extension: settings of durability are the collection's own, shown where they are not the
 * default. */
static void test_durability(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c",
         "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"},\"durability\":{\"mode\":\"relaxed\"}}",
         "true");
    has(t, "GET", "/collections/c", NULL, 200,
        "\"durability\":{\"mode\":\"relaxed\",\"window_ms\":200}");
    good(t, "PATCH", "/collections/c", "{\"durability\":{\"window_ms\":50}}", "true");
    has(t, "GET", "/collections/c", NULL, 200,
        "\"durability\":{\"mode\":\"relaxed\",\"window_ms\":50}");
    good(t, "PATCH", "/collections/c", "{\"metadata\":{\"a\":1}}", "true");
    has(t, "GET", "/collections/c", NULL, 200, "\"window_ms\":50");
    good(t, "PATCH", "/collections/c", "{\"durability\":{\"mode\":\"fsync\",\"window_ms\":200}}",
         "true");
    has(t, "GET", "/collections/c", NULL, 200, "\"config\":");
    assert_null(strstr(t->r.body, "durability"));
    bad(t, "PATCH", "/collections/c", "{\"durability\":{\"window_ms\":0}}", 422,
        "Validation error in JSON body: [durability.window_ms: value 0 invalid, must be from 1 to "
        "60000]");
    bad(t, "PATCH", "/collections/c", "{\"durability\":{\"mode\":\"never\"}}", 400,
        "Format error in JSON body: durability.mode: unknown variant `never`, expected for example "
        "`fsync`");
    bad(t, "PUT", "/collections/d", "{\"durability\":1}", 400,
        "Format error in JSON body: durability: expected an object, not an integer");
}

static void test_no_graph(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c",
         "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"},\"hnsw_config\":{\"m\":0}}", "true");
    has(t, "PUT", "/collections/c/points?wait=true",
        "{\"points\":[{\"id\":1,\"vector\":[1,2]},{\"id\":2,\"vector\":[2,1]}]}", 200, "completed");
    has(t, "POST", "/collections/c/optimize", NULL, 200, "completed");
    has(t, "GET", "/collections/c/segments", NULL, 200, "\"index\":\"flat\"");
    has(t, "POST", "/collections/c/points/query", "{\"query\":[0,1],\"limit\":1}", 200, "\"id\":1");
}

static void test_payload_indexes(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", "/collections/c", "{}", "true");
    has(t, "PUT", "/collections/c/points?wait=true",
        "{\"points\":[{\"id\":1,\"vector\":{},\"payload\":{\"city\":\"Oslo\",\"deep\":[{\"n\":1},{"
        "\"n\":2}]}},"
        "{\"id\":2,\"vector\":{},\"payload\":{\"city\":null}},{\"id\":3,\"vector\":{},\"payload\":{"
        "\"city\":[\"a\"],\"deep\":[]}}]}",
        200, "completed");
    has(t, "PUT", "/collections/c/index?wait=true",
        "{\"field_name\":\"city\",\"field_schema\":\"keyword\"}", 200, "\"status\":\"completed\"}");
    has(t, "PUT", "/collections/c/index",
        "{\"field_name\":\"deep[].n\",\"field_schema\":{\"type\":\"integer\",\"lookup\":true,"
        "\"range\":false,\"other\":1}}",
        200, "\"status\":\"acknowledged\"}");
    has(t, "PUT", "/collections/c/index",
        "{\"field_name\":\"text\",\"field_type\":{\"type\":\"text\",\"min_token_len\":2,"
        "\"lowercase\":false}}",
        200, "operation_id");
    /* What is built of them is told beside. */
    static const char *const shown[] = {
        "\"payload_schema\":{\"city\":{\"data_type\":\"keyword\",\"points\":2,\"index\":{\"rows\":"
        "3,"
        "\"indexed_rows\":",
        "\"deep[].n\":{\"data_type\":\"integer\",\"params\":{\"type\":\"integer\",\"lookup\":true,"
        "\"range\":false},\"points\":1,\"index\":{\"rows\":3,",
        "\"text\":{\"data_type\":\"text\",\"params\":{\"type\":\"text\",\"tokenizer\":\"word\","
        "\"min_token_len\":2,\"lowercase\":false},\"points\":0,\"index\":{\"rows\":3,"};
    for (int i = 0; i < 6; i++) {
        has(t, "GET", "/collections/c", NULL, 200, shown[i % 3]);
        if (i == 2) {
            rest_reopen(t);
        }
    }
    has(t, "PUT", "/collections/c/index", "{\"field_name\":\"city\",\"field_schema\":\"text\"}",
        200, "operation_id");
    has(t, "DELETE", "/collections/c/index/deep%5B%5D.n?wait=true", NULL, 200, "completed");
    has(t, "DELETE", "/collections/c/index/nothing", NULL, 200, "acknowledged");
    has(t, "DELETE", "/collections/c/index/text", NULL, 200, "operation_id");
    has(t, "GET", "/collections/c", NULL, 200,
        "\"payload_schema\":{\"city\":{\"data_type\":\"text\",\"points\":2,\"index\":{\"rows\":3,");
}

/* The peer's route; the values of a field, with an index and without. */
static void test_facets(void **state)
{
    struct rest *t = *state;
    has(t, "PUT", "/collections/f", "{\"vectors\":{}}", 200, "true");
    has(t, "PUT", "/collections/f/points?wait=true",
        "{\"points\":[{\"id\":1,\"vector\":{},\"payload\":{\"k\":\"x\",\"n\":1}},"
        "{\"id\":2,\"vector\":{},\"payload\":{\"k\":[\"x\",\"y\"],\"n\":2}},"
        "{\"id\":3,\"vector\":{},\"payload\":{\"k\":true,\"n\":-2}}]}",
        200, "completed");
    for (int i = 0; i < 2; i++) {
        has(t, "POST", "/collections/f/facet", "{\"key\":\"k\"}", 200,
            "{\"hits\":[{\"value\":\"x\",\"count\":2},{\"value\":true,\"count\":1},"
            "{\"value\":\"y\",\"count\":1}]}");
        has(t, "POST", "/collections/f/facet", "{\"key\":\"n\",\"limit\":2,\"exact\":true}", 200,
            "{\"hits\":[{\"value\":-2,\"count\":1},{\"value\":1,\"count\":1}]}");
        has(t, "POST", "/collections/f/facet",
            "{\"key\":\"k\",\"filter\":{\"must\":{\"key\":\"n\",\"range\":{\"gt\":1}}}}", 200,
            "{\"hits\":[{\"value\":\"x\",\"count\":1},{\"value\":\"y\",\"count\":1}]}");
        has(t, "POST", "/collections/f/facet", "{\"key\":\"none\"}", 200, "{\"hits\":[]}");
        has(t, "PUT", "/collections/f/index?wait=true",
            "{\"field_name\":\"k\",\"field_schema\":\"keyword\"}", 200, "completed");
        rest_reopen(t);
    }
    has(t, "POST", "/collections/f/facet", "{}", 400, "missing field `key`");
    has(t, "POST", "/collections/f/facet", "{\"key\":\"a[\"}", 400, "key: ");
    has(t, "POST", "/collections/f/facet", "{\"key\":\"k\",\"limit\":0}", 422, "limit: value 0");
}

/* Under an index of UUIDs all texts of one are one value, counted once a point; before, none is. */
static void test_facets_uuid(void **state)
{
    struct rest *t = *state;
#define PLAIN  "550e8400-e29b-41d4-a716-446655440000"
#define PACKED "550E8400E29B41D4A716446655440000"
    has(t, "PUT", "/collections/f", "{\"vectors\":{}}", 200, "true");
    has(t, "PUT", "/collections/f/points?wait=true",
        "{\"points\":[{\"id\":1,\"vector\":{},\"payload\":{\"k\":\"" PLAIN "\"}},"
        "{\"id\":2,\"vector\":{},\"payload\":{\"k\":[\"" PACKED "\",\"" PLAIN "\"]}},"
        "{\"id\":3,\"vector\":{},\"payload\":{\"k\":\"other\"}}]}",
        200, "completed");
    has(t, "POST", "/collections/f/facet", "{\"key\":\"k\"}", 200,
        "{\"hits\":[{\"value\":\"" PLAIN "\",\"count\":2},{\"value\":\"" PACKED "\",\"count\":1},"
        "{\"value\":\"other\",\"count\":1}]}");
    has(t, "PUT", "/collections/f/index?wait=true",
        "{\"field_name\":\"k\",\"field_schema\":\"uuid\"}", 200, "completed");
    for (int i = 0; i < 2; i++) {
        has(t, "POST", "/collections/f/facet", "{\"key\":\"k\"}", 200,
            "{\"hits\":[{\"value\":\"" PLAIN "\",\"count\":2},{\"value\":\"other\",\"count\":1}]}");
        rest_reopen(t);
    }
#undef PLAIN
#undef PACKED
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rest_setup, rest_teardown)
    const struct CMUnitTest tests[] = {
        T(test_defaults),        T(test_everything_given), T(test_patch),
        T(test_foreign),         T(test_inline_storage),   T(test_durability),
        T(test_payload_indexes), T(test_inline_storage),   T(test_no_graph),
        T(test_payload_indexes), T(test_facets),           T(test_facets_uuid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
