/* test_rest_errors.c: everything that is wrong about a request: status, exact text, and nothing
 * half applied. */
#include "test_rest.h"

#define C        "/collections/c"
#define P        "/collections/c/points"
#define BAD_JSON "Format error in JSON body: "
#define NO_ORDER(key)                                                                              \
    "No range index for `order_by` key: `" key                                                     \
    "`. Please create one to use `order_by`. An index of type integer, float or datetime has one"
#define INVALID "Validation error in JSON body: "
#define KINDS   "valid values are either an unsigned integer or a UUID"

struct wrong {
    const char *method, *path, *body;
    int status;
    const char *error;
};

static const struct wrong paths[] = {
    {"GET", "/nothing", NULL, 404, "Not found: there is nothing at this path"},
    {"GET", "/collections/c/points/1/2", NULL, 404, "Not found: there is nothing at this path"},
    {"DELETE", "/collections", NULL, 405, "Method not allowed: DELETE; this path takes GET"},
    {"PATCH", P, "{}", 405, "Method not allowed: PATCH; this path takes POST, PUT"},
    {"GET", "/collections/none", NULL, 404, "Not found: Collection `none` doesn't exist!"},
    {"GET", "/collections/none/points/1", NULL, 404, "Not found: Collection `none` doesn't exist!"},
    {"POST", "/collections/none/points/query", "{\"query\":[1,2]}", 404,
     "Not found: Collection `none` doesn't exist!"},
    {"PUT", "/collections/none/points", "{\"points\":[]}", 404,
     "Not found: Collection `none` doesn't exist!"},
    {"GET", "/collections/..", NULL, 404, "Not found: Collection `..` doesn't exist!"},
    {"GET", "/collections/%2e%2e%2fetc%2fpasswd", NULL, 422,
     "Validation error in path parameters: [collection_name: collection name cannot contain "
     "\\\"/\\\" char]"},
    {"DELETE", "/collections/%2e%2e%2f", NULL, 422,
     "Validation error in path parameters: [collection_name: collection name cannot contain "
     "\\\"/\\\" char]"},
    {"PUT", "/collections/%2e%2e", "{}", 422,
     "Validation error in path parameters: [collection_name: `..` is not allowed]"},
    {"PUT", "/collections/%2e", "{}", 422,
     "Validation error in path parameters: [collection_name: `.` is not allowed]"},
    {"PUT", "/collections/a%00b", "{}", 422,
     "Validation error in path parameters: [collection_name: collection name cannot contain "
     "\\\"\\\\0\\\" char]"},
    {"GET", "/collections/%00", NULL, 422,
     "Validation error in path parameters: [collection_name: collection name cannot contain "
     "\\\"\\\\0\\\" char]"},
    {"PUT", "/collections/a%0Ab", "{}", 422,
     "Validation error in path parameters: [collection_name: control character 0x0a is not "
     "allowed]"},
    {"PUT", "/collections/a%7f", "{}", 422,
     "Validation error in path parameters: [collection_name: control character 0x7f is not "
     "allowed]"},
    {"PUT", "/collections/a%3Ab", "{}", 422,
     "Validation error in path parameters: [collection_name: character `:` is not allowed]"},
    {"PUT", "/collections/a%5cb", "{}", 422,
     "Validation error in path parameters: [collection_name: character `\\\\` is not allowed]"},
    {"GET", "/collections/%ff", NULL, 400,
     "Deserialize error in path parameters: text that is not UTF-8"},
    {"GET", "/collections/%c0%af", NULL, 400,
     "Deserialize error in path parameters: text that is not UTF-8"},
    {"GET", "/collections/a%", NULL, 400,
     "Deserialize error in path parameters: malformed percent-encoding at byte 1"},
    {"GET", P "/abc", NULL, 400, "Wrong input: Can not recognize \\\"abc\\\" as point id"},
    {"GET", P "/-1", NULL, 400, "Wrong input: Can not recognize \\\"-1\\\" as point id"},
    {"GET", P "/18446744073709551616", NULL, 400,
     "Wrong input: Can not recognize \\\"18446744073709551616\\\" as point id"},
    {"GET", P "/%22", NULL, 400, "Wrong input: Can not recognize \\\"\\\"\\\" as point id"},
    {"GET", P "/9", NULL, 404, "Not found: Point with id 9 does not exists!"},
};

static const struct wrong params[] = {
    {"PUT", P "?wait=maybe", "{\"points\":[{\"id\":9,\"vector\":[1,2]}]}", 400,
     "Deserialize error in query parameters: wait: provided string `maybe` was not `true` or "
     "`false`"},
    {"PUT", P "?wait=true&wait=false", "{\"points\":[{\"id\":9,\"vector\":[1,2]}]}", 400,
     "Deserialize error in query parameters: duplicate field `wait`"},
    {"PUT", P "?ordering=loose", "{\"points\":[{\"id\":9,\"vector\":[1,2]}]}", 400,
     "Deserialize error in query parameters: ordering: unknown variant `loose`, expected one of "
     "`weak`, `medium`, `strong`"},
    {"PUT", P "?timeout=0", "{\"points\":[{\"id\":9,\"vector\":[1,2]}]}", 422,
     "Validation error in query parameters: [timeout: value 0 invalid, must be 1 or larger]"},
    {"PUT", "/collections/d?timeout=0", "{}", 422,
     "Validation error in query parameters: [timeout: value 0 invalid, must be 1 or larger]"},
    {"POST", P "/scroll?timeout=x", "{}", 400,
     "Deserialize error in query parameters: timeout: `x` is no number of seconds"},
    {"POST", P "/scroll?consistency=0", "{}", 400,
     "Deserialize error in query parameters: failed to deserialize read consistency query "
     "parameter value '0'"},
};

static const struct wrong bodies[] = {
    {"POST", P "/scroll", "", 400, BAD_JSON "EOF while parsing a value at line 1 column 0"},
    {"POST", P "/scroll", "[]", 400, BAD_JSON "expected an object, not an array"},
    {"POST", P "/scroll", "null", 400, BAD_JSON "expected an object, not null"},
    {"POST", P "/scroll", "\"text\"", 400, BAD_JSON "expected an object, not a string"},
    {"POST", P "/scroll", "{\"limit\":0}", 422,
     INVALID "[scroll_request.limit: value 0 invalid, must be 1 or larger]"},
    {"POST", P "/scroll", "{\"limit\":-1}", 400,
     BAD_JSON "limit: expected an unsigned integer, not a negative integer"},
    {"POST", P "/scroll", "{\"limit\":1.5}", 400,
     BAD_JSON "limit: expected an unsigned integer, not a number"},
    {"POST", P "/scroll", "{\"limit\":\"1\"}", 400,
     BAD_JSON "limit: expected an unsigned integer, not a string"},
    {"POST", P "/scroll", "{\"limit\":18446744073709551616}", 400,
     BAD_JSON "limit: expected an unsigned integer, not a number"},
    {"POST", P "/scroll", "{\"offset\":\"no\"}", 400,
     BAD_JSON "offset: value \\\"no\\\" is not a valid point ID, " KINDS},
    {"POST", P "/scroll", "{\"offset\":-5}", 400,
     BAD_JSON "offset: value -5 is not a valid point ID, " KINDS},
    {"POST", P "/scroll", "{\"order_by\":\"n\"}", 400, "Wrong input: " NO_ORDER("n")},
    {"POST", P "/scroll", "{\"order_by\":1}", 400,
     BAD_JSON "order_by: Expected a string, or an object with a key, direction and/or start_from"},
    {"POST", P "/scroll", "{\"order_by\":{\"direction\":\"asc\"}}", 400,
     BAD_JSON "order_by: Expected a string, or an object with a key, direction and/or start_from"},
    {"POST", P "/scroll", "{\"order_by\":\"a..b\"}", 400, NULL},
    {"POST", P "/scroll", "{\"order_by\":{\"key\":\"n\",\"direction\":\"up\"}}", 400,
     BAD_JSON "order_by.direction: unknown variant `up`, expected `asc` or `desc`"},
    {"POST", P "/scroll", "{\"order_by\":{\"key\":\"n\",\"start_from\":true}}", 400,
     BAD_JSON "order_by.start_from: expected a number or a date (RFC 3339), not a boolean"},
    {"POST", P "/scroll", "{\"order_by\":{\"key\":\"n\",\"start_from\":\"soon\"}}", 400,
     BAD_JSON "order_by.start_from: expected a number or a date (RFC 3339), not another string"},
    {"POST", P "/scroll", "{\"order_by\":\"n\",\"offset\":1}", 400,
     "Wrong input: Cannot use an `offset` when using `order_by`. The alternative for paging is to "
     "use `order_by.start_from` and a filter to exclude the IDs that you've already seen for the "
     "`order_by.start_from` value"},
    {"POST", P "/scroll", "{\"with_payload\":1}", 400,
     BAD_JSON "with_payload: expected a boolean, an array of strings, or an object with an "
              "include/exclude field, not an integer"},
    {"POST", P "/scroll", "{\"with_payload\":{\"include\":[\"a\"],\"other\":1}}", 400,
     BAD_JSON "with_payload: expected a boolean, an array of strings, or an object with an "
              "include/exclude field, not an object"},
    {"POST", P "/scroll", "{\"with_vector\":[\"none\"]}", 400,
     "Wrong input: Not existing vector name error: none"},
    {"POST", P "/scroll", "{\"with_vector\":true,\"with_vectors\":true}", 400,
     BAD_JSON "duplicate field `with_vector`"},
    {"POST", P "/scroll", "{\"filter\":{\"musst\":[]}}", 400,
     BAD_JSON
     "filter: unknown key \\\"musst\\\"; expected one of must, should, must_not, min_should"},
    {"POST", P "/scroll", "{\"shard_key\":\"a\"}", 501,
     "Not supported: shard_key (custom sharding): not supported by this version"},
    {"POST", P, "{}", 400, BAD_JSON "missing field `ids`"},
    {"POST", P, "{\"ids\":7}", 400, BAD_JSON "ids: expected an array of point IDs, not an integer"},
    {"POST", P, "{\"ids\":[1,\"xyz\"]}", 400,
     BAD_JSON "ids: value \\\"xyz\\\" is not a valid point ID, " KINDS},
    {"POST", P, "{\"ids\":[1.0]}", 400, BAD_JSON "ids: a number is not a valid point ID, " KINDS},
    {"POST", P, "{\"ids\":[\"550e8400-e29b-41d4-a716-44665544\"]}", 400,
     BAD_JSON
     "ids: value \\\"550e8400-e29b-41d4-a716-44665544\\\" is not a valid point ID, " KINDS},
    {"POST", P "/count", "{\"exact\":\"yes\"}", 400,
     BAD_JSON "exact: expected a boolean, not a string"},
};

static const struct wrong queries[] = {
    {"POST", P "/query", "{\"query\":[1,2,3]}", 400,
     "Wrong input: Vector dimension error: expected dim: 2, got 3"},
    {"POST", P "/query", "{\"query\":[]}", 400,
     "Wrong input: Vector dimension error: expected dim: 2, got 0"},
    {"POST", P "/query", "{\"query\":[1,null]}", 400,
     BAD_JSON "internal.query: every element must be a number that a 32-bit float can hold"},
    {"POST", P "/query", "{\"query\":[1e39,1]}", 400,
     BAD_JSON "internal.query: every element must be a number that a 32-bit float can hold"},
    {"POST", P "/query", "{\"query\":[1,2],\"using\":\"none\"}", 400,
     "Wrong input: Not existing vector name error: none"},
    {"POST", P "/query", "{\"query\":4711}", 404, "Not found: No point with id 4711 found"},
    {"POST", P "/query", "{\"query\":\"nothing\"}", 400,
     BAD_JSON "internal.query: value \\\"nothing\\\" is not a valid point ID, " KINDS},
    {"POST", P "/query", "{\"query\":{}}", 400,
     BAD_JSON "internal.query: Expected some form of vector, id, or a type of query"},
    {"POST", P "/query", "{\"query\":true}", 400,
     BAD_JSON "internal.query: expected a vector (an array of numbers), not a boolean"},
    {"POST", P "/query", "{\"query\":[1,2],\"limit\":0}", 422,
     INVALID "[internal.limit: value 0 invalid, must be 1 or larger]"},
    {"POST", P "/query", "{\"query\":[1,2],\"offset\":1000000}", 422,
     INVALID "[internal.offset: value 1000000 invalid, must be from 0 to 999990]"},
    {"POST", P "/query", "{\"query\":[1,2],\"params\":{\"hnsw_ef\":0}}", 422,
     INVALID "[internal.params.hnsw_ef: value 0 invalid, must be 1 or larger]"},
    {"POST", P "/query", "{\"query\":[1,2],\"params\":{\"quantization\":{\"oversampling\":0.5}}}",
     422,
     INVALID
     "[internal.params.quantization.oversampling: value 0.5 invalid, must be 1.0 or larger]"},
    {"POST", P "/query", "{\"query\":[1,2],\"params\":{\"recall\":1}}", 422,
     INVALID "[internal.params.recall: value 1 invalid, must be above 0.0 and below 1.0]"},
    {"POST", P "/query", "{\"query\":[1,2],\"params\":{\"recall\":\"high\"}}", 400,
     BAD_JSON "internal.params.recall: expected a number, not a string"},
    {"POST", P "/query", "{\"query\":[1,2],\"params\":{\"quantization\":{\"ignore\":1}}}", 400,
     BAD_JSON "internal.params.quantization.ignore: expected a boolean, not an integer"},
    {"POST", P "/query", "{\"query\":[1,2],\"params\":{\"acorn\":[]}}", 400,
     BAD_JSON "internal.params.acorn: expected an object, not an array"},
    {"POST", P "/query", "{\"query\":[1,2],\"score_threshold\":1e300}", 400,
     BAD_JSON "internal.score_threshold: out of the range of a 32-bit float"},
    {"POST", P "/query", "{\"score_threshold\":1}", 400,
     "Bad request: A query is needed to use the score_threshold. Can't have score_threshold "
     "without defining a query."},
    {"POST", P "/query", "{\"prefetch\":[{\"query\":[1,2]}]}", 400,
     "Bad request: A query is needed to merge the prefetches. Can't have prefetches without "
     "defining a query."},
    {"POST", P "/query", "{\"query\":[1,2],\"prefetch\":1}", 400,
     BAD_JSON "internal.prefetch: expected an object or an array of objects, not an integer"},
    {"POST", P "/query", "{\"query\":[1,2],\"prefetch\":[{\"query\":[1,2]},1]}", 400,
     BAD_JSON "internal.prefetch[1]: expected an object, not an integer"},
    {"POST", P "/query", "{\"query\":[1,2],\"prefetch\":{\"query\":[1,2],\"limit\":0}}", 422,
     INVALID "[internal.prefetch.limit: value 0 invalid, must be 1 or larger]"},
    {"POST", P "/query",
     "{\"query\":[1,2],\"prefetch\":[{\"query\":[1,2],\"prefetch\":[{},{\"query\":[1,2],\"params\":"
     "{"
     "\"hnsw_ef\":0}}]}]}",
     422,
     INVALID
     "[internal.prefetch[0].prefetch[1].params.hnsw_ef: value 0 invalid, must be 1 or larger]"},
    {"POST", P "/query", "{\"query\":[1,2],\"prefetch\":{\"query\":[1]}}", 400,
     "Wrong input: Vector dimension error: expected dim: 2, got 1"},
    {"POST", P "/query", "{\"query\":[1,2],\"prefetch\":{\"query\":4711}}", 404,
     "Not found: No point with id 4711 found"},
    {"POST", P "/query",
     "{\"query\":[1,2],\"prefetch\":{\"query\":1,\"lookup_from\":{\"collection\":\"none\"}}}", 404,
     "Not found: Collection none not found"},
    {"POST", P "/query", "{\"query\":{\"fusion\":\"rrf\"}}", 400,
     "Wrong input: cannot apply Fusion without prefetches"},
    {"POST", P "/query", "{\"query\":{\"fusion\":\"sum\"},\"prefetch\":{}}", 400,
     BAD_JSON "internal.query.fusion: unknown variant `sum`, expected `rrf` or `dbsf`"},
    {"POST", P "/query", "{\"query\":{\"fusion\":\"rrf\"},\"prefetch\":{},\"using\":\"a\"}", 400,
     "Bad request: Fusion queries cannot be combined with the 'using' field."},
    {"POST", P "/query",
     "{\"query\":{\"fusion\":\"rrf\"},\"using\":\"a\",\"prefetch\":{\"query\":1,\"lookup_from\":{"
     "\"collection\":\"none\"}}}",
     404, "Not found: Collection none not found"}, /* comes first */
    {"POST", P "/query",
     "{\"query\":{\"fusion\":\"rrf\"},\"using\":\"a\",\"prefetch\":{\"query\":[1,2],\"lookup_"
     "from\":{"
     "\"collection\":\"c\",\"vector\":\"z\"}}}",
     400, "Wrong input: Not existing vector name error: z"},
    {"POST", P "/query", "{\"query\":{\"rrf\":{\"k\":0}},\"prefetch\":{}}", 422,
     INVALID "[internal.query.rrf.k: value 0 invalid, must be 1 or larger]"},
    {"POST", P "/query", "{\"query\":{\"rrf\":{\"weights\":[1,2]}},\"prefetch\":{}}", 400,
     "Wrong input: RRF weights length (2) does not match number of prefetches (1)"},
    {"POST", P "/query", "{\"query\":{\"rrf\":1},\"prefetch\":{}}", 400,
     BAD_JSON "internal.query.rrf: expected an object, not an integer"},
    {"POST", P "/query", "{\"query\":{\"discover\":{\"target\":1,\"context\":[{\"positive\":1}]}}}",
     400, BAD_JSON "missing field `internal.context.negative`"},
    {"POST", P "/query", "{\"query\":{\"context\":[1]}}", 400,
     BAD_JSON "internal.context: expected an object or an array of objects, not an integer"},
    {"POST", P "/query", "{\"query\":{\"sample\":\"first\"}}", 400,
     BAD_JSON "internal.query.sample: expected the string \\\"random\\\", not a string"},
    {"POST", P "/query", "{\"query\":{\"formula\":1}}", 400,
     "Wrong input: cannot apply Formula without prefetches"},
    {"POST", P "/query", "{\"prefetch\":{\"query\":[1,2]},\"query\":{\"formula\":[1]}}", 400,
     BAD_JSON "formula: expected an expression (a number, a variable or an object), not an array"},
    {"POST", P "/query",
     "{\"prefetch\":{\"query\":[1,2]},\"query\":{\"formula\":{\"sum\":[1,{\"div\":{\"left\":1}}]}}"
     "}",
     400, NULL},
    {"POST", P "/query", "{\"prefetch\":{\"query\":[1,2]},\"query\":{\"formula\":{\"sum\":1}}}",
     400, BAD_JSON "formula.sum: expected an array of expressions, not an integer"},
    {"POST", P "/query", "{\"prefetch\":{\"query\":[1,2]},\"query\":{\"formula\":{\"what\":1}}}",
     400, NULL},
    {"POST", P "/query", "{\"prefetch\":{\"query\":[1,2]},\"query\":{\"formula\":\"$rank\"}}", 400,
     "Wrong input: formula: failed to parse variable ID $rank: Invalid reserved variable: $rank"},
    {"POST", P "/query", "{\"prefetch\":{\"query\":[1,2]},\"query\":{\"formula\":\"a[\"}}", 400,
     NULL},
    {"POST", P "/query",
     "{\"prefetch\":{\"query\":[1,2]},\"query\":{\"formula\":{\"exp_decay\":{\"x\":1,\"midpoint\":"
     "1}}}}",
     400,
     "Wrong input: formula.exp_decay: Decay midpoint should be in the range (0.0, 1.0), got 1."},
    {"POST", P "/query",
     "{\"prefetch\":{\"query\":[1,2]},\"query\":{\"formula\":{\"lin_decay\":{\"x\":1,\"scale\":0}}}"
     "}",
     400, "Wrong input: formula.lin_decay: Decay scale should be non-zero positive, got 0."},
    {"POST", P "/query",
     "{\"prefetch\":{\"query\":[1,2]},\"query\":{\"formula\":{\"datetime\":\"yesterday\"}}}", 400,
     "Wrong input: formula.datetime: failed to parse date-time yesterday"},
    {"POST", P "/query",
     "{\"prefetch\":{\"query\":[1,2]},\"query\":{\"formula\":{\"div\":{\"left\":1,\"right\":0}}}}",
     400, "Wrong input: The expression 1/0 = inf produced a non-finite number"},
    {"POST", P "/query", "{\"prefetch\":{\"query\":[1,2]},\"query\":{\"formula\":{\"ln\":0}}}", 400,
     "Wrong input: The expression ln(0) = -inf produced a non-finite number"},
    {"POST", P "/query", "{\"prefetch\":{\"query\":[1,2]},\"query\":{\"formula\":\"no.such\"}}",
     400,
     "Wrong input: Expected number value for no.such in the payload and/or in the formula "
     "defaults. Error: No value found in a payload nor defaults"},
    {"POST", P "/query",
     "{\"prefetch\":{\"query\":[1,2]},\"query\":{\"formula\":\"no.such\",\"defaults\":{\"no.such\":"
     "\"a\"}}}",
     400,
     "Wrong input: Expected number value for no.such in the payload and/or in the formula "
     "defaults. Error: Value is not a number"},
    {"POST", P "/query", "{\"query\":{\"order_by\":\"n\"}}", 400, "Wrong input: " NO_ORDER("n")},
    {"POST", P "/query", "{\"query\":{\"order_by\":{\"key\":2}}}", 400,
     BAD_JSON
     "internal.query.order_by: Expected a string, or an object with a key, direction and/or "
     "start_from"},
    {"POST", P "/query", "{\"query\":{\"order_by\":\"n\"},\"score_threshold\":1}", 400,
     "Bad request: Can't use score_threshold with an order_by query."},
    {"POST", P "/query", "{\"query\":{\"nearest\":[1,2],\"mmr\":{\"diversity\":2}}}", 422,
     INVALID "[internal.query.mmr.diversity: value 2 invalid, must be from 0.0 to 1.0]"},
    {"POST", P "/query", "{\"query\":{\"nearest\":[1,2],\"mmr\":{\"candidates_limit\":16385}}}",
     422,
     INVALID "[internal.query.mmr.candidates_limit: value 16385 invalid, must be from 0 to 16384]"},
    {"POST", P "/query",
     "{\"query\":{\"relevance_feedback\":{\"target\":[1,2],\"feedback\":[{\"example\":[1,2]}],"
     "\"strategy\":{\"naive\":{\"a\":1,\"b\":1,\"c\":1}}}}}",
     400, NULL},
    {"POST", P "/query",
     "{\"query\":{\"relevance_feedback\":{\"target\":[1,2],\"feedback\":[],\"strategy\":{\"naive\":"
     "{"
     "\"a\":1,\"b\":-1,\"c\":1}}}}}",
     422, NULL},
    {"POST", P "/query", "{\"query\":{\"indices\":[1],\"values\":[1]}}", 400,
     "Wrong input: Conversion between sparse and regular vectors failed: vector `` is "
     "a dense vector, not a sparse vector"},
    {"POST", P "/query", "{\"query\":[[1,2]]}", 400,
     "Wrong input: Conversion between sparse and regular vectors failed: vector `` is "
     "a dense vector, not a multivector"},
    {"POST", P "/query", "{\"query\":{\"text\":\"a\",\"model\":\"b\"}}", 501,
     "Not supported: inference (text, image or object to embed): not supported by this version"},
    {"POST", P "/query", "{\"query\":{\"recommend\":{}}}", 422,
     INVALID "[internal.query.recommend.positives, negatives: Validation error: At least one "
             "positive or negative vector/id must be provided [{}]]"},
    {"POST", P "/query", "{\"query\":{\"recommend\":{\"negative\":[1]}}}", 400,
     "Wrong input: At least one positive vector ID required with this strategy"},
    {"POST", P "/query", "{\"query\":1,\"lookup_from\":{\"collection\":\"none\"}}", 404,
     "Not found: Collection none not found"},
    {"POST", P "/query", "{\"query\":1,\"lookup_from\":{\"collection\":\"c\",\"vector\":\"no\"}}",
     400, "Wrong input: Not existing vector name error: no"},
    {"POST", P "/query",
     "{\"query\":4711,\"lookup_from\":{\"collection\":\"c\",\"vector\":\"no\"}}", 404,
     "Not found: No point with id 4711 found"},
    {"POST", P "/query", "{\"query\":{\"recommend\":{\"strategy\":\"best_score\"}}}", 422, NULL},
    {"POST", P "/query", "{\"query\":{\"recommend\":{\"positive\":[1],\"strategy\":\"x\"}}}", 400,
     BAD_JSON "internal.strategy: unknown variant `x`, expected one of `average_vector`, "
              "`best_score`, `sum_scores`"},
    {"POST", P "/query", "{\"query\":1,\"lookup_from\":{}}", 400,
     BAD_JSON "missing field `internal.lookup_from.collection`"},
    {"POST", P "/query/batch", "{\"searches\":[{\"query\":[1,2]},{\"query\":[1,2],\"limit\":0}]}",
     422, INVALID "[searches[1].internal.limit: value 0 invalid, must be 1 or larger]"},
    {"POST", P "/query/batch", "{\"searches\":[[]]}", 400,
     BAD_JSON "searches[0]: expected an object, not an array"},
    {"POST", P "/query/batch", "{}", 400, BAD_JSON "missing field `searches`"},
    {"POST", P "/query/groups", "{}", 400, BAD_JSON "missing field `internal.group_by`"},
    {"POST", P "/query/groups", "{\"group_by\":\"a[\"}", 400, NULL},
    {"POST", P "/query/groups", "{\"group_by\":\"a\",\"group_size\":0}", 422,
     INVALID "[internal.group_size: value 0 invalid, must be 1 or larger]"},
    {"POST", P "/query/groups", "{\"group_by\":\"a\",\"group_size\":1000,\"limit\":10000}", 422,
     INVALID "[internal.group_size: value 1000 invalid, must be from 1 to 100]"},
    {"POST", P "/query/groups", "{\"group_by\":\"a\",\"with_lookup\":\"none\"}", 404,
     "Not found: Collection none not found"},
    {"POST", P "/query/groups", "{\"group_by\":\"a\",\"with_lookup\":1}", 400,
     BAD_JSON "internal.with_lookup: expected a collection's name or an object, not an integer"},
    {"POST", P "/search/groups", "{\"vector\":[1,2],\"group_by\":\"a\",\"limit\":1}", 400,
     BAD_JSON "missing field `search_group_request.group_size`"},
    {"POST", P "/search/matrix/pairs", "{\"sample\":1}", 422,
     INVALID "[search_request.sample: value 1 invalid, must be 2 or larger]"},
    {"POST", P "/search/matrix/offsets", "{\"limit\":0}", 422,
     INVALID "[search_request.limit: value 0 invalid, must be 1 or larger]"},
    {"POST", P "/search/matrix/offsets", "{\"sample\":20000}", 422,
     INVALID "[search_request.sample: value 20000 invalid, must be from 2 to 10000]"},
    {"POST", P "/search/matrix/pairs", "{\"using\":\"no\"}", 400,
     "Wrong input: Not existing vector name error: no"},
    {"POST", P "/discover", "{\"limit\":1}", 400, "Bad request: No target or context given"},
    {"POST", P "/discover", "{\"target\":[1,2]}", 400,
     BAD_JSON "missing field `discover_request.limit`"},
    {"POST", P "/search", "{\"vector\":[1,2]}", 400,
     BAD_JSON "missing field `search_request.limit`"},
    {"POST", P "/search", "{\"vector\":[1,2],\"limit\":0}", 422,
     INVALID "[search_request.limit: value 0 invalid, must be 1 or larger]"},
    {"POST", P "/search", "{\"limit\":1}", 400, BAD_JSON "missing field `search_request.vector`"},
    {"POST", P "/search", "{\"vector\":{\"vector\":[1,2]},\"limit\":1}", 400,
     BAD_JSON "missing field `search_request.vector.name`"},
    {"POST", P "/recommend", "{\"limit\":1}", 422,
     INVALID "[recommend_request.positives, negatives: Validation error: At least one positive or "
             "negative vector/id must be provided [{}]]"},
};

static const struct wrong writes[] = {
    {"PUT", P, "{}", 400, BAD_JSON "Invalid PointInsertOperations format"},
    {"PUT", P, "{\"points\":[]}", 400, "Bad request: Empty update request"},
    {"PUT", P, "{\"points\":{}}", 400,
     BAD_JSON "points: expected an array of points, not an object"},
    {"PUT", P, "{\"points\":[7]}", 400,
     BAD_JSON "points[0]: expected a point (an object), not an integer"},
    {"PUT", P, "{\"points\":[{\"vector\":[1,2]}]}", 400, BAD_JSON "missing field `points[0].id`"},
    {"PUT", P, "{\"points\":[{\"id\":9}]}", 400, BAD_JSON "missing field `points[0].vector`"},
    {"PUT", P, "{\"points\":[{\"id\":9,\"vector\":null}]}", 400,
     BAD_JSON "points[0].vector: expected a vector (an array of numbers), not null"},
    {"PUT", P, "{\"points\":[{\"id\":9,\"vector\":[1,2],\"vectors\":[1,2]}]}", 400,
     BAD_JSON "duplicate field `points[0].vector`"},
    {"PUT", P, "{\"points\":[{\"id\":9,\"vector\":[]}]}", 422,
     INVALID "[points[0].vector.vector: dense vector must not be empty]"},
    {"PUT", P, "{\"points\":[{\"id\":8,\"vector\":[1,2]},{\"id\":9,\"vector\":[1,2,3]}]}", 400,
     "Wrong input: Vector dimension error: expected dim: 2, got 3 (points[1], vector ``)"},
    {"PUT", P, "{\"points\":[{\"id\":8,\"vector\":[1,2]},{\"id\":9,\"vector\":{\"none\":[1,2]}}]}",
     400, "Wrong input: Not existing vector name error: none (points[1])"},
    {"PUT", P, "{\"points\":[{\"id\":9,\"vector\":[1,1e39]}]}", 400,
     BAD_JSON "points[0].vector: every element must be a number that a 32-bit float can hold"},
    {"PUT", P, "{\"points\":[{\"id\":9,\"vector\":[1,\"2\"]}]}", 400,
     BAD_JSON "points[0].vector: every element must be a number that a 32-bit float can hold"},
    {"PUT", P, "{\"points\":[{\"id\":9,\"vector\":\"12\"}]}", 400,
     BAD_JSON "points[0].vector: expected a vector (an array of numbers), not a string"},
    {"PUT", P, "{\"points\":[{\"id\":9,\"vector\":[[1,2]]}]}", 400,
     "Wrong input: Conversion between sparse and regular vectors failed: vector `` is a dense "
     "vector, not a multivector (points[0], vector ``)"},
    {"PUT", P, "{\"points\":[{\"id\":9,\"vector\":[[1,2],[]]}]}", 422,
     INVALID "[points[0].vector.data: all vectors must be non-empty]"},
    {"PUT", P, "{\"points\":[{\"id\":9,\"vector\":[[1,2],[1]]}]}", 422,
     INVALID "[points[0].vector.data: all vectors must have the same dimension, found vector with "
             "dimension 1]"},
    {"PUT", P, "{\"points\":[{\"id\":9,\"vector\":{\"s\":{\"indices\":[1],\"values\":[1]}}}]}", 400,
     "Wrong input: Not existing vector name error: s (points[0])"},
    {"PUT", P, "{\"points\":[{\"id\":9,\"vector\":{\"s\":{\"indices\":[1],\"values\":[]}}}]}", 422,
     INVALID "[points[0].vector.?.values: Validation error: must be the same length as indices "
             "[{}]]"},
    {"PUT", P,
     "{\"points\":[{\"id\":9,\"vector\":{\"s\":{\"indices\":[2,1,2],\"values\":[1,1,1]}}}]}", 422,
     INVALID "[points[0].vector.?.indices: Validation error: must be unique [{}]]"},
    {"PUT", P, "{\"points\":[{\"id\":9,\"vector\":{\"s\":{\"indices\":[-1],\"values\":[1]}}}]}",
     400, BAD_JSON "points[0].vector.indices: expected integers from 0 to 4294967295"},
    {"PUT", P, "{\"points\":[{\"id\":9,\"vector\":{\"text\":\"a\",\"model\":\"m\"}}]}", 501,
     "Not supported: inference (text, image or object to embed): not supported by this version"},
    {"PUT", P, "{\"points\":[{\"id\":9,\"vector\":[1,2],\"payload\":[]}]}", 400,
     BAD_JSON "points[0].payload: expected an object, not an array"},
    {"PUT", P, "{\"points\":[{\"id\":-9,\"vector\":[1,2]}]}", 400,
     BAD_JSON "points[0].id: value -9 is not a valid point ID, " KINDS},
    {"PUT", P, "{\"points\":[{\"id\":\"9\",\"vector\":[1,2]}]}", 400,
     BAD_JSON "points[0].id: value \\\"9\\\" is not a valid point ID, " KINDS},
    {"PUT", P, "{\"points\":[{\"id\":18446744073709551616,\"vector\":[1,2]}]}", 400,
     BAD_JSON "points[0].id: a number is not a valid point ID, " KINDS},
    {"PUT", P, "{\"points\":[{\"id\":9,\"vector\":[1,2]}],\"update_mode\":\"merge\"}", 400,
     BAD_JSON "update_mode: unknown variant `merge`, expected one of `upsert`, `insert_only`, "
              "`update_only`"},
    {"PUT", P, "{\"points\":[{\"id\":9,\"vector\":[1,2]}],\"shard_key\":[\"a\"]}", 501,
     "Not supported: shard_key (custom sharding): not supported by this version"},
    {"PUT", P, "{\"batch\":{\"ids\":[8,9],\"vectors\":[[1,2]]}}", 422,
     INVALID "[batch.batch: number of ids and vectors must be equal (2 != 1)]"},
    {"PUT", P, "{\"batch\":{\"ids\":[8],\"vectors\":[[1,2]],\"payloads\":[{},{}]}}", 422,
     INVALID "[batch.batch: number of ids and payloads must be equal (1 != 2)]"},
    {"PUT", P, "{\"batch\":{\"ids\":[8],\"vectors\":{\"\":[[1,2],[3,4]]}}}", 422,
     INVALID "[batch.batch: number of ids and vectors must be equal (1 != 2)]"},
    {"PUT", P, "{\"batch\":{\"ids\":[8],\"vectors\":[[]]}}", 422,
     INVALID "[batch.vectors.vector: dense vector must not be empty]"},
    {"PUT", P, "{\"batch\":{\"ids\":[8,9],\"vectors\":[[1,2],[1,2,3]]}}", 400,
     "Wrong input: Vector dimension error: expected dim: 2, got 3 (points[1], vector ``)"},
    {"PUT", P, "{\"batch\":{\"ids\":[8]}}", 400, BAD_JSON "missing field `batch.vectors`"},
    {"POST", P "/delete", "{}", 400,
     BAD_JSON "Either list of point ids or filter must be provided"},
    {"POST", P "/delete", "{\"points\":[]}", 400, "Bad request: Empty update request"},
    {"POST", P "/delete", "{\"points\":[1,\"b\"]}", 400,
     BAD_JSON "points: value \\\"b\\\" is not a valid point ID, " KINDS},
    {"POST", P "/delete", "{\"filter\":{\"must\":[{\"key\":\"a\"}]}}", 422, NULL},
    {"POST", P "/delete", "{\"filter\":5}", 400,
     BAD_JSON "filter: expected an object, not an integer"},
    {"PUT", P "/vectors", "{\"points\":[]}", 422,
     INVALID "[points: must specify points to update]"},
    {"PUT", P "/vectors", "{\"points\":[{\"id\":1,\"vector\":{}}]}", 422,
     INVALID "[points[0].vector: must specify vectors to update for point]"},
    {"PUT", P "/vectors",
     "{\"points\":[{\"id\":1,\"vector\":[5,5]},{\"id\":4711,\"vector\":[1,2]}]}", 404,
     "Not found: No point with id 4711 found"},
    {"POST", P "/vectors/delete", "{\"points\":[1],\"vector\":[]}", 422,
     INVALID "[vector: must specify vector names to delete]"},
    {"POST", P "/vectors/delete", "{\"points\":[1],\"vector\":[\"none\"]}", 400,
     "Wrong input: Not existing vector name error: none"},
    {"POST", P "/vectors/delete", "{\"vector\":[\"\"]}", 400,
     "Bad request: No filter or points provided"},
    {"POST", P "/payload", "{\"points\":[1]}", 400, BAD_JSON "missing field `payload`"},
    {"POST", P "/payload", "{\"payload\":{}}", 400,
     BAD_JSON "Either list of point ids or filter must be provided"},
    {"POST", P "/payload", "{\"payload\":[],\"points\":[1]}", 400,
     BAD_JSON "payload: expected an object, not an array"},
    {"POST", P "/payload", "{\"payload\":{\"x\":1},\"points\":[1,4711]}", 404,
     "Not found: No point with id 4711 found"},
    {"POST", P "/payload", "{\"payload\":{\"x\":1},\"points\":[1],\"key\":\"a[\"}", 400, NULL},
    {"POST", P "/payload/delete", "{\"points\":[1]}", 400, BAD_JSON "missing field `keys`"},
    {"POST", P "/payload/delete", "{\"points\":[1],\"keys\":[5]}", 400,
     BAD_JSON "keys: expected a string, not an integer"},
    {"POST", P "/batch", "{}", 400, BAD_JSON "missing field `operations`"},
    {"POST", P "/batch", "{\"operations\":[{\"explode\":{}}]}", 400,
     BAD_JSON "operations[0]: data did not match any variant of untagged enum UpdateOperation"},
    {"POST", P "/batch",
     "{\"operations\":[{\"delete\":{\"points\":[1]}},{\"upsert\":{\"points\":[{\"id\":1,\"vector\":"
     "[]}]}}]}",
     422, INVALID "[operations[1].upsert.points[0].vector.vector: dense vector must not be empty]"},
    {"POST", P "/batch", "{\"operations\":[{\"delete\":[]}]}", 400,
     BAD_JSON "operations[0].delete: expected an object, not an array"},
};

static const struct wrong collections[] = {
    {"PUT", C, "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", 409,
     "Wrong input: Collection `c` already exists!"},
    {"PUT", "/collections/alias", "{}", 400,
     "Wrong input: Can't create collection with name alias. Alias with the same name already "
     "exists"},
    {"PUT", "/collections/d", "{\"vectors\":{\"size\":0,\"distance\":\"Dot\"}}", 400,
     BAD_JSON "vectors.size: expected an integer from 1 to 65536, not 0"},
    {"PUT", "/collections/d", "{\"vectors\":{\"size\":65537,\"distance\":\"Dot\"}}", 422,
     INVALID "[vectors.size: value 65537 invalid, must be from 1 to 65536]"},
    {"PUT", "/collections/d", "{\"vectors\":{\"size\":-1,\"distance\":\"Dot\"}}", 400,
     BAD_JSON "vectors.size: expected an integer from 1 to 65536, not a negative integer"},
    {"PUT", "/collections/d", "{\"vectors\":{\"size\":1e300,\"distance\":\"Dot\"}}", 400,
     BAD_JSON "vectors.size: expected an integer from 1 to 65536, not a number"},
    {"PUT", "/collections/d", "{\"vectors\":{\"size\":2}}", 400,
     BAD_JSON "missing field `vectors.distance`"},
    {"PUT", "/collections/d", "{\"vectors\":{\"size\":2,\"distance\":\"dot\"}}", 400,
     BAD_JSON "vectors.distance: unknown variant `dot`, expected one of `Cosine`, `Euclid`, `Dot`, "
              "`Manhattan`, `Hamming`"},
    {"PUT", "/collections/d", "{\"vectors\":[]}", 400,
     BAD_JSON "vectors: expected an object, not an array"},
    {"PUT", "/collections/d",
     "{\"vectors\":{\"a\":{\"size\":2,\"distance\":\"Dot\"},\"b\":{\"size\":2}}}", 400,
     BAD_JSON "missing field `vectors.b.distance`"},
    {"PUT", "/collections/d", "{\"vectors\":{\"a\":5}}", 400,
     BAD_JSON "vectors.a: expected an object, not an integer"},
    {"PUT", "/collections/d",
     "{\"vectors\":{\"size\":2,\"distance\":\"Dot\",\"hnsw_config\":{\"ef_construct\":3}}}", 422,
     INVALID "[vectors.hnsw_config.ef_construct: value 3 invalid, must be 4 or larger]"},
    {"PUT", "/collections/d",
     "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"},\"hnsw_config\":{\"ef_construct\":0}}", 422,
     INVALID "[hnsw_config.ef_construct: value 0 invalid, must be 4 or larger]"},
    {"PUT", "/collections/d", "{\"hnsw_config\":{\"m\":\"many\"}}", 400,
     BAD_JSON "hnsw_config.m: expected an unsigned integer, not a string"},
    {"PUT", "/collections/d",
     "{\"vectors\":{\"size\":2,\"distance\":\"Dot\",\"memory\":\"pinned\"}}", 422,
     INVALID "[vectors.memory: `pinned` memory placement is not supported here]"},
    {"PUT", "/collections/d",
     "{\"vectors\":{\"size\":2,\"distance\":\"Dot\",\"datatype\":\"turbo4\"}}", 501,
     "Not supported: the vector datatype turbo4: not supported by this version"},
    {"PUT", "/collections/d",
     "{\"vectors\":{\"size\":2,\"distance\":\"Dot\",\"multivector_config\":{\"comparator\":\"min_"
     "sim\"}}}",
     400,
     BAD_JSON "vectors.multivector_config.comparator: unknown variant `min_sim`, expected for "
              "example `max_sim`"},
    {"PUT", "/collections/d", "{\"sparse_vectors\":{\"s\":{\"modifier\":\"bm25\"}}}", 400,
     BAD_JSON "sparse_vectors.s.modifier: unknown variant `bm25`, expected for example `none`"},
    {"PUT", "/collections/d",
     "{\"sparse_vectors\":{\"s\":{},\"s\":{},\"s\":{},\"s\":{},\"s\":{},\"s\":{},\"s\":{},\"s\":{},"
     "\"s\":{},\"s\":{},\"s\":{},\"s\":{},\"s\":{},\"s\":{},\"s\":{},\"s\":{},\"s\":{}}}",
     422, INVALID "[vectors: value 17 invalid, must be from 0 to 16]"},
    {"PUT", "/collections/d", "{\"sparse_vectors\":{\"\":{}}}", 400,
     "Wrong input: Sparse vector name cannot be empty"},
    {"PUT", "/collections/d", "{\"sparse_vectors\":{\"s\":{\"index\":{\"datatype\":\"turbo4\"}}}}",
     422, INVALID "[sparse_vectors.s.index.datatype: sparse vectors do not support turbo4]"},
    {"PUT", "/collections/d", "{\"shard_number\":0}", 422,
     INVALID "[shard_number: value 0 invalid, must be 1 or larger]"},
    {"PUT", "/collections/d", "{\"shard_number\":257}", 422,
     INVALID "[shard_number: value 257 invalid, must be from 1 to 256]"},
    {"PUT", "/collections/d", "{\"shard_number\":-1}", 400,
     BAD_JSON "shard_number: expected an unsigned integer, not a negative integer"},
    {"PUT", "/collections/d", "{\"replication_factor\":0}", 422,
     INVALID "[replication_factor: value 0 invalid, must be from 1 to 4294967295]"},
    {"PUT", "/collections/d", "{\"write_consistency_factor\":-1}", 400,
     BAD_JSON "write_consistency_factor: expected an unsigned integer, not a negative integer"},
    {"PUT", "/collections/d", "{\"sharding_method\":\"custom\"}", 501,
     "Not supported: sharding_method custom: not supported by this version"},
    {"PUT", "/collections/d", "{\"optimizers_config\":{\"deleted_threshold\":1.5}}", 422,
     INVALID "[optimizers_config.deleted_threshold: value 1.5 invalid, must be from 0.0 to 1.0]"},
    {"PUT", "/collections/d", "{\"wal_config\":{\"wal_capacity_mb\":0}}", 422,
     INVALID "[wal_config.wal_capacity_mb: value 0 invalid, must be 1 or larger]"},
    {"PUT", "/collections/d", "{\"wal_config\":7}", 400,
     BAD_JSON "wal_config: expected an object, not an integer"},
    {"PUT", "/collections/d", "{\"quantization_config\":{\"scalar\":{\"type\":\"int4\"}}}", 400,
     BAD_JSON
     "quantization_config.scalar.type: unknown variant `int4`, expected for example `int8`"},
    {"PUT", "/collections/d",
     "{\"quantization_config\":{\"scalar\":{\"type\":\"int8\",\"quantile\":0.1}}}", 422,
     INVALID "[quantization_config.scalar.quantile: value 0.1 invalid, must be from 0.5 to 1.0]"},
    {"PUT", "/collections/d", "{\"quantization_config\":{\"product\":{}}}", 400,
     BAD_JSON "missing field `quantization_config.product.compression`"},
    {"PUT", "/collections/d", "{\"quantization_config\":\"Disabled\"}", 400,
     BAD_JSON "quantization_config: expected an object with one of scalar, product, binary, turbo"},
    {"PUT", "/collections/d", "{\"metadata\":[]}", 400,
     BAD_JSON "metadata: expected an object, not an array"},
    {"PUT", "/collections/d",
     "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"},\"hnsw_config\":{\"m\":1}}", 422, NULL},
    {"PATCH", C, "{\"vectors\":{\"none\":{\"on_disk\":true}}}", 400,
     "Wrong input: Not existing vector name error: none"},
    {"PATCH", C, "{\"optimizers_config\":{\"vacuum_min_vector_number\":5}}", 422,
     INVALID
     "[optimizers_config.vacuum_min_vector_number: value 5 invalid, must be 100 or larger]"},
    {"PATCH", C, "{\"params\":{\"replication_factor\":0}}", 422,
     INVALID "[params.replication_factor: value 0 invalid, must be from 1 to 4294967295]"},
    {"PATCH", "/collections/none", "{}", 404, "Not found: Collection `none` doesn't exist!"},
    {"PUT", C "/index", "{}", 400, BAD_JSON "missing field `field_name`"},
    {"PUT", C "/index", "{\"field_name\":\"a\"}", 400,
     "Bad request: Can't auto-detect field type, please specify `field_schema` in the request"},
    {"PUT", C "/index", "{\"field_name\":\"a\",\"field_schema\":\"blob\"}", 400,
     BAD_JSON "field_schema: data did not match any variant of untagged enum PayloadFieldSchema"},
    {"PUT", C "/index",
     "{\"field_name\":\"a\",\"field_schema\":{\"type\":\"integer\",\"lookup\":false,\"range\":"
     "false}}",
     422,
     INVALID "[field_schema.lookup: Validation error: the 'lookup' and 'range' capabilities can't "
             "be both disabled [{}]]"},
    {"PUT", C "/index",
     "{\"field_name\":\"a\",\"field_schema\":{\"type\":\"text\",\"tokenizer\":\"magic\"}}", 400,
     BAD_JSON "field_schema.tokenizer: unknown variant `magic`, expected for example `prefix`"},
    {"PUT", C "/index", "{\"field_name\":\"a[\",\"field_schema\":\"keyword\"}", 400, NULL},
    {"POST", "/collections/aliases", "{}", 400, BAD_JSON "missing field `actions`"},
    {"POST", "/collections/aliases", "{\"actions\":[{}]}", 400,
     BAD_JSON "actions[0]: data did not match any variant of untagged enum AliasOperations"},
    {"POST", "/collections/aliases",
     "{\"actions\":[{\"create_alias\":{\"collection_name\":\"c\"}}]}", 400,
     BAD_JSON "missing field `actions[0].create_alias.alias_name`"},
    {"POST", "/collections/aliases",
     "{\"actions\":[{\"create_alias\":{\"collection_name\":\"c\",\"alias_name\":\"a/b\"}}]}", 422,
     NULL},
    {"POST", "/collections/aliases",
     "{\"actions\":[{\"create_alias\":{\"collection_name\":\"none\",\"alias_name\":\"x\"}}]}", 404,
     "Not found: Collection `none` doesn't exist!"},
    {"POST", "/collections/aliases",
     "{\"actions\":[{\"rename_alias\":{\"old_alias_name\":\"no\",\"new_alias_name\":\"x\"}}]}", 404,
     "Not found: Alias no does not exists!"},
    {"POST", C "/optimize", "{\"max_segments\":0}", 422,
     INVALID "[max_segments: value 0 invalid, must be 1 or larger]"},
};

static char *state_text(struct rest *t)
{
    char *all = calloc(1, 1 << 16);
    static const char *const asks[][3] = {
        {"GET", "/collections", NULL},
        {"GET", "/aliases", NULL},
        {"GET", C, NULL},
        {"POST", P "/scroll", "{\"limit\":1000,\"with_vector\":true}"}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(ask(t, asks[i][0], asks[i][1], asks[i][2]), 200);
        *strstr(t->r.body, ",\"status\":\"ok\",\"time\"") = 0;
        strcat(all, t->r.body);
    }
    return all;
}

static void run(struct rest *t, const struct wrong *cases, size_t n)
{
    good(t, "PUT", C, "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", "true");
    good(t, "POST", "/collections/aliases",
         "{\"actions\":[{\"create_alias\":{\"collection_name\":\"c\",\"alias_name\":\"alias\"}}]}",
         "true");
    has(t, "PUT", P "?wait=true",
        "{\"points\":[{\"id\":1,\"vector\":[1,0],\"payload\":{\"n\":1}},{\"id\":2,\"vector\":[0,1]}"
        "]}",
        200, "completed");
    char *before = state_text(t);
    int failures = 0;
    for (size_t i = 0; i < n; i++) {
        char want[1024];
        int status = ask(t, cases[i].method, cases[i].path, cases[i].body);
        snprintf(want, sizeof want, "{\"status\":{\"error\":\"%s%s",
                 cases[i].error ? cases[i].error : "", cases[i].error ? "\"},\"time\":" : "");
        if (status != cases[i].status || strncmp(t->r.body, want, strlen(want)) != 0) {
            print_error("%s %s %s\n   is     %d %s\n   wanted %d %s\n", cases[i].method,
                        cases[i].path, cases[i].body ? cases[i].body : "", status, t->r.body,
                        cases[i].status, want);
            failures++;
        }
    }
    assert_int_equal(failures, 0);
    char *after = state_text(t);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

#define TABLE(name)                                                                                \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        run(*state, name, sizeof name / sizeof name[0]);                                           \
    }
TABLE(paths)
TABLE(params)
TABLE(bodies)
TABLE(queries)
TABLE(writes)
TABLE(collections)

/* --- what does not fit a table
 * --------------------------------------------------------------------------------- */

static void test_long_names(void **state)
{
    struct rest *t = *state;
    char path[1024], name[301];
    memset(name, 'n', sizeof name);
    name[300] = 0;
    snprintf(path, sizeof path, "/collections/%s", name);
    bad(t, "GET", path, NULL, 422,
        "Validation error in path parameters: [collection_name: value of 300 bytes invalid, must "
        "be from 1 to 255 characters]");
    bad(t, "PUT", path, "{}", 422,
        "Validation error in path parameters: [collection_name: value of 300 bytes invalid, must "
        "be from 1 to 255 characters]");
    name[255] = 0;
    snprintf(path, sizeof path, "/collections/%s", name);
    good(t, "PUT", path, "{}", "true");
    good(t, "DELETE", path, NULL, "true");
    char body[1024];
    memset(name, 'v', sizeof name);
    name[200] = 0;
    snprintf(body, sizeof body, "{\"vectors\":{\"%s\":{\"size\":2,\"distance\":\"Dot\"}}}", name);
    good(t, "PUT", "/collections/long", body, "true");
    name[200] = 'v';
    name[201] = 0;
    snprintf(body, sizeof body, "{\"vectors\":{\"%s\":{\"size\":2,\"distance\":\"Dot\"}}}", name);
    bad(t, "PUT", "/collections/longer", body, 422,
        INVALID "[vector name: 201 bytes are more than 200]");
}

static void test_malformed_json(void **state)
{
    struct rest *t = *state;
    static const char *const texts[] = {
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":+1}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":-Infinity}",
        "{\"a\":1e400}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\xff\"}",
        "{\"a\":'b'}",
        "{} {}",
        "{}x",
        "{\"a\":tru}",
        "{\"a\":\"\n\"}",
        "\xef\xbb\xbf{}",
        "{\"limit\":1e999}",
        "{/**/}",
        "{\"query\":[NaN,1]}",
        "{\"query\":[Infinity,1]}",
        "{\"points\":[{\"id\":1,\"vector\":[nan]}]}",
    };
    good(t, "PUT", C, "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", "true");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (ask(t, "POST", P "/scroll", texts[i]) != 400 ||
            !strstr(t->r.body, "\"error\":\"" BAD_JSON)) {
            fail_msg("%s: %d %s", texts[i], t->r.status, t->r.body);
        }
    }
    has(t, "POST", P "/scroll", "{\"a\":\n  nope}", 400, "line 2 column");
    assert_int_equal(ask_n(t, "POST", P "/scroll", "{}\0", 3), 400);
    assert_int_equal(ask_n(t, "POST", P "/scroll", "{\"a\0\":1}", 8), 400);
}

/* Depth is limited for bodies, filters and payloads; nothing recurses into the ground. */
static void test_deep(void **state)
{
    struct rest *t = *state;
    size_t n = 200000;
    char *text = malloc(2 * n + 256);
    good(t, "PUT", C, "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", "true");
    memset(text, '[', n);
    text[n] = 0;
    has(t, "POST", P "/scroll", text, 400, BAD_JSON);
    size_t at = 0;
    for (size_t i = 0; i < 20000; i++) {
        at += (size_t)sprintf(text + at, "{\"a\":");
    }
    has(t, "POST", P "/scroll", text, 400, BAD_JSON);
    /* 30 nested filters: within the body's depth, beyond the filter's */
    at = (size_t)sprintf(text, "{\"filter\":");
    for (int i = 0; i < 30; i++) {
        at += (size_t)sprintf(text + at, "{\"must\":[");
    }
    for (int i = 0; i < 30; i++) {
        at += (size_t)sprintf(text + at, "]}");
    }
    sprintf(text + at, "}");
    has(t, "POST", P "/scroll", text, 413, "filters nested deeper than 20");
    /* a payload of 70 levels: within the body's depth, beyond the payload's */
    at = (size_t)sprintf(text, "{\"points\":[{\"id\":1,\"vector\":[1,2],\"payload\":{\"a\":");
    for (int i = 0; i < 70; i++) {
        at += (size_t)sprintf(text + at, "[");
    }
    for (int i = 0; i < 70; i++) {
        at += (size_t)sprintf(text + at, "]");
    }
    sprintf(text + at, "}}]}");
    has(t, "PUT", P, text, 413, "points[0].payload");
    good(t, "POST", P "/count", "{}", "{\"count\":0}");
    free(text);
}

/* Numbers of things a client chooses are bounded before memory is taken for them. */
static void test_many(void **state)
{
    struct rest *t = *state;
    size_t n = 1 << 21;
    char *text = malloc(n + 4096);
    good(t, "PUT", C, "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", "true");
    size_t at = (size_t)sprintf(text, "{\"batch\":{\"ids\":[1");
    while (at < n) {
        at += (size_t)sprintf(text + at, ",1");
    }
    sprintf(text + at, "],\"vectors\":{\"a\":[],\"b\":[]}}}");
    has(t, "PUT", P, text, 422, "number of ids and vectors must be equal (");
    sprintf(text + at, "],\"vectors\":{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,"
                       "\"h\":1,\"i\":1,\"j\":1,\"k\":1,\"l\":1,"
                       "\"m\":1,\"n\":1,\"o\":1,\"p\":1,\"q\":1}}}");
    has(t, "PUT", P, text, 422, "17 named vectors invalid, must be at most 16");
    at = (size_t)sprintf(text, "{\"points\":[1],\"keys\":[\"a\"");
    while (at < n / 4) {
        at += (size_t)sprintf(text + at, ",\"a\"");
    }
    sprintf(text + at, "]}");
    has(t, "POST", P "/payload/delete", text, 422, "more than 100000 payload paths in one request");
    at = (size_t)sprintf(text, "{\"searches\":[{}");
    for (int i = 0; i < 10000; i++) {
        at += (size_t)sprintf(text + at, ",{}");
    }
    sprintf(text + at, "]}");
    has(t, "POST", P "/query/batch", text, 422, "10001 searches invalid, must be at most 10000");
    at = (size_t)sprintf(text, "{\"query\":[1");
    for (int i = 0; i < 70000; i++) {
        at += (size_t)sprintf(text + at, ",1");
    }
    sprintf(text + at, "]}");
    has(t, "POST", P "/query", text, 400, "expected dim: 2, got 70001");
    at = (size_t)sprintf(text, "{\"metadata\":{\"0\":1");
    for (int i = 1; i < 5000; i++) {
        at += (size_t)sprintf(text + at, ",\"%d\":1", i);
    }
    sprintf(text + at, "}}");
    has(t, "PUT", "/collections/d", text, 422,
        "metadata: 5000 members invalid, must be at most 4096");
    at = (size_t)sprintf(text, "{\"metadata\":{\"a\":\"");
    memset(text + at, 'x', n - 100);
    sprintf(text + at + n - 100, "\"}}");
    has(t, "PUT", "/collections/d", text, 413,
        "the configuration of a collection may have 1048576 bytes");
    free(text);
}

/* Error texts quote a client's bytes: whatever they are, the answer is well-formed. */
static void test_quoting(void **state)
{
    struct rest *t = *state;
    good(t, "PUT", C, "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", "true");
    bad(t, "GET", "/collections/%22%0a%7b", NULL, 404,
        "Not found: Collection `\\\"\\n{` doesn't exist!");
    char name[256], body[1024];
    for (size_t cut = 60; cut < 68;
         cut++) { /* the engine cuts names at 64 bytes, maybe inside a character */
        memset(name, 'a', cut);
        strcpy(name + cut, "\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC");
        snprintf(body, sizeof body, "{\"query\":[1,2],\"using\":\"%s\"}", name);
        has(t, "POST", P "/query", body, 400, "Wrong input: Not existing vector name error: aaa");
        for (const unsigned char *p = (const unsigned char *)t->r.body; *p; p++) {
            assert_true(*p >= 0x20); /* and no stray byte: the bytes of characters come whole */
            if (*p >= 0xE0) {
                assert_true((p[1] & 0xC0) == 0x80 && (p[2] & 0xC0) == 0x80);
                p += 2;
            } else {
                assert_true(*p < 0x80);
            }
        }
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rest_setup, rest_teardown)
    const struct CMUnitTest tests[] = {
        T(test_paths),  T(test_params),      T(test_bodies),     T(test_queries),
        T(test_writes), T(test_collections), T(test_long_names), T(test_malformed_json),
        T(test_deep),   T(test_many),        T(test_quoting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
