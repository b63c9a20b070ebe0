/* openapi.c: GET /openapi.json: what this server serves, in the form of OpenAPI 3.0.
 *
 * Made from the routes themselves: methods, paths, parameters and statuses follow from a route and
 * its flags. What they do not tell (a summary, the shapes of body and result) stands in the table
 * below, one row a route, and the shapes in openapi_schemas.json, which the build puts into the
 * binary. A route without a row and a row without a route fail a test. */
#include "api/qdrant/qdrant.h"

#include <stdio.h>

#include "quiver/version.h"

#define COLLECTION "/collections/{collection_name}"
#define POINTS     COLLECTION "/points"
#define SNAPSHOTS  COLLECTION "/snapshots"
#define SHARD      COLLECTION "/shards/{shard_id}"

extern const unsigned char qv__openapi_schemas[]; /* made by the build */
extern const size_t qv__openapi_schemas_n;

struct operation {
    enum qv__method method;
    const char *pattern, *tag, *summary;
    const char *body;   /* its schema; NULL = none described */
    const char *result; /* that of the member "result"; NULL = the route is not built */
    const char *more;   /* parameters that the handler reads itself, with spaces between */
};

/* Results that are no JSON envelope. */
static const char text[] = "text", file[] = "file", self[] = "self";

static const struct operation operations[] = {
    {QV__GET, "/", "service", "Title and version", NULL, "Root", NULL},
    {QV__GET, "/healthz", "service", "The process answers", NULL, text, NULL},
    {QV__GET, "/livez", "service", "The process answers", NULL, text, NULL},
    {QV__GET, "/readyz", "service", "Requests are served", NULL, text, NULL},
    {QV__GET, "/metrics", "service", "Metrics as Prometheus text", NULL, text, NULL},
    {QV__GET, "/telemetry", "service", "Counts of requests and collections", NULL, "Telemetry",
     NULL},
    {QV__GET, "/openapi.json", "service", "This document", NULL, self, NULL},
    {QV__GET, "/issues", "service", "Hints on slow use", NULL, "Issues", NULL},
    {QV__DELETE, "/issues", "service", "Forget the hints", NULL, "True", NULL},
    {QV__GET, "/cluster", "cluster", "State of the cluster", NULL, "Cluster", NULL},
    {QV__GET, "/cluster/telemetry", "cluster", "Only of a cluster", NULL, NULL, NULL},
    {QV__POST, "/cluster/recover", "cluster", "Only of a cluster", NULL, NULL, NULL},
    {QV__DELETE, "/cluster/peer/{peer_id}", "cluster", "Only of a cluster", NULL, NULL, NULL},
    {QV__GET, "/quotas", "service", "Not built", NULL, NULL, NULL},
    {QV__PUT, "/quotas", "service", "Not built", NULL, NULL, NULL},

    {QV__GET, "/collections", "collections", "Names of all collections", NULL, "Collections", NULL},
    {QV__GET, "/aliases", "aliases", "All aliases", NULL, "Aliases", NULL},
    {QV__POST, "/collections/aliases", "aliases", "Make, drop and rename aliases together",
     "ChangeAliases", "True", NULL},
    {QV__GET, COLLECTION, "collections", "State, size and settings", NULL, "CollectionInfo", NULL},
    {QV__PUT, COLLECTION, "collections", "Make a collection", "CreateCollection", "True", NULL},
    {QV__PATCH, COLLECTION, "collections", "Change settings", "UpdateCollection", "True", NULL},
    {QV__DELETE, COLLECTION, "collections", "Drop a collection", NULL, "True", NULL},
    {QV__GET, COLLECTION "/exists", "collections", "Is it there?", NULL, "Exists", NULL},
    {QV__GET, COLLECTION "/aliases", "aliases", "Aliases of a collection", NULL, "Aliases", NULL},
    {QV__GET, COLLECTION "/cluster", "cluster", "Its shards", NULL, "CollectionCluster", NULL},
    {QV__POST, COLLECTION "/cluster", "cluster", "Only of a cluster", NULL, NULL, NULL},
    {QV__GET, COLLECTION "/optimizations", "collections", "Background work", NULL, "Optimizations",
     "with completed_limit"},
    {QV__PUT, COLLECTION "/index", "indexes", "Make a payload index", "CreateIndex", "UpdateResult",
     NULL},
    {QV__DELETE, COLLECTION "/index/{field_name}", "indexes", "Drop a payload index", NULL,
     "UpdateResult", NULL},
    {QV__PUT, COLLECTION "/vectors/{vector_name}", "collections", "Add a named vector",
     "CreateVector", "UpdateResult", NULL},
    {QV__DELETE, COLLECTION "/vectors/{vector_name}", "collections", "Drop a named vector", NULL,
     "UpdateResult", NULL},
    {QV__GET, COLLECTION "/shards", "cluster", "Not built", NULL, NULL, NULL},
    {QV__PUT, COLLECTION "/shards", "cluster", "Only of a cluster", NULL, NULL, NULL},
    {QV__POST, COLLECTION "/shards/delete", "cluster", "Only of a cluster", NULL, NULL, NULL},
    {QV__POST, COLLECTION "/optimize", "collections", "Index and merge all (an addition)",
     "Optimize", "Optimized", "wait"},
    {QV__DELETE, COLLECTION "/optimizations/{id}", "collections",
     "End a piece of background work (an addition)", NULL, "True", NULL},
    {QV__GET, COLLECTION "/segments", "collections", "Segments (an addition)", NULL, "Segments",
     NULL},

    {QV__PUT, POINTS, "points", "Insert points or replace them", "Upsert", "UpdateResult", NULL},
    {QV__POST, POINTS "/delete", "points", "Delete points", "Selection", "UpdateResult", NULL},
    {QV__PUT, POINTS "/vectors", "points", "Replace vectors", "UpdateVectors", "UpdateResult",
     NULL},
    {QV__POST, POINTS "/vectors/delete", "points", "Delete vectors", "DeleteVectors",
     "UpdateResult", NULL},
    {QV__POST, POINTS "/payload", "points", "Set members of payloads", "SetPayload", "UpdateResult",
     NULL},
    {QV__PUT, POINTS "/payload", "points", "Replace payloads", "SetPayload", "UpdateResult", NULL},
    {QV__POST, POINTS "/payload/delete", "points", "Delete members of payloads", "DeletePayload",
     "UpdateResult", NULL},
    {QV__POST, POINTS "/payload/clear", "points", "Empty payloads", "Selection", "UpdateResult",
     NULL},
    {QV__POST, POINTS "/payload/modify", "points", "Count up, append, remove (an addition)",
     "ModifyPayload", "UpdateResult", NULL},
    {QV__POST, POINTS "/batch", "points", "Several writes, all or none", "UpdateBatch",
     "UpdateResults", NULL},

    {QV__POST, POINTS, "points", "Points by id", "GetRequest", "Records", NULL},
    {QV__GET, POINTS "/{id}", "points", "One point by id", NULL, "Record", NULL},
    {QV__POST, POINTS "/scroll", "points", "Points page by page", "ScrollRequest", "Scroll", NULL},
    {QV__POST, POINTS "/count", "points", "How many match", "CountRequest", "Count", NULL},
    {QV__POST, COLLECTION "/facet", "points", "Values of a payload member, counted", "FacetRequest",
     "Facet", NULL},
    {QV__POST, POINTS "/query", "search", "Query", "QueryRequest", "QueryResult", NULL},
    {QV__POST, POINTS "/query/batch", "search", "Queries together", "QueryBatch", "QueryResults",
     NULL},
    {QV__POST, POINTS "/query/groups", "search", "Query, in groups", "QueryGroups", "Groups", NULL},
    {QV__POST, POINTS "/search", "search", "Nearest points (older form)", "SearchRequest",
     "ScoredPoints", NULL},
    {QV__POST, POINTS "/search/batch", "search", "Searches together (older form)", "SearchBatch",
     "ScoredPointLists", NULL},
    {QV__POST, POINTS "/search/groups", "search", "Search, in groups (older form)", "SearchGroups",
     "Groups", NULL},
    {QV__POST, POINTS "/search/matrix/pairs", "search", "Distances within a sample, as pairs",
     "MatrixRequest", "MatrixPairs", NULL},
    {QV__POST, POINTS "/search/matrix/offsets", "search",
     "Distances within a sample, as a sparse matrix", "MatrixRequest", "MatrixOffsets", NULL},
    {QV__POST, POINTS "/recommend", "search", "By examples (older form)", "RecommendRequest",
     "ScoredPoints", NULL},
    {QV__POST, POINTS "/recommend/batch", "search", "By examples, together (older form)",
     "RecommendBatch", "ScoredPointLists", NULL},
    {QV__POST, POINTS "/recommend/groups", "search", "By examples, in groups (older form)",
     "RecommendGroups", "Groups", NULL},
    {QV__POST, POINTS "/discover", "search", "By target and context (older form)",
     "DiscoverRequest", "ScoredPoints", NULL},
    {QV__POST, POINTS "/discover/batch", "search", "By target and context, together (older form)",
     "DiscoverBatch", "ScoredPointLists", NULL},

    {QV__GET, "/snapshots", "snapshots", "Snapshots of the database", NULL, "Snapshots", NULL},
    {QV__POST, "/snapshots", "snapshots", "Make one of the database", NULL, "Snapshot", NULL},
    {QV__GET, "/snapshots/{snapshot_name}", "snapshots", "Download it", NULL, file, NULL},
    {QV__DELETE, "/snapshots/{snapshot_name}", "snapshots", "Delete it", NULL, "True", NULL},
    {QV__GET, SNAPSHOTS, "snapshots", "Snapshots of a collection", NULL, "Snapshots", NULL},
    {QV__POST, SNAPSHOTS, "snapshots", "Make one of a collection", NULL, "Snapshot", NULL},
    {QV__POST, SNAPSHOTS "/upload", "snapshots", "Recover from an upload", NULL, "True",
     "priority checksum"},
    {QV__PUT, SNAPSHOTS "/recover", "snapshots", "Recover from a snapshot here", "RecoverSnapshot",
     "True", NULL},
    {QV__GET, SNAPSHOTS "/{snapshot_name}", "snapshots", "Download it", NULL, file, NULL},
    {QV__DELETE, SNAPSHOTS "/{snapshot_name}", "snapshots", "Delete it", NULL, "True", NULL},
    {QV__GET, SHARD "/snapshot", "snapshots", "Make one of a shard and send it", NULL, file, NULL},
    {QV__GET, SHARD "/snapshots", "snapshots", "Snapshots of a shard", NULL, "Snapshots", NULL},
    {QV__POST, SHARD "/snapshots", "snapshots", "Make one of a shard", NULL, "Snapshot", NULL},
    {QV__POST, SHARD "/snapshots/upload", "snapshots", "Recover from an upload", NULL, "True",
     "priority checksum"},
    {QV__PUT, SHARD "/snapshots/recover", "snapshots", "Recover from a snapshot here",
     "RecoverSnapshot", "True", NULL},
    {QV__GET, SHARD "/snapshots/{snapshot_name}", "snapshots", "Download it", NULL, file, NULL},
    {QV__DELETE, SHARD "/snapshots/{snapshot_name}", "snapshots", "Delete it", NULL, "True", NULL},
};

static const struct operation *operation_of(const struct qv__route *r)
{
    for (size_t i = 0; i < QV_ARRAY_LEN(operations); i++) {
        if (operations[i].method == r->method && strcmp(operations[i].pattern, r->pattern) == 0) {
            return &operations[i];
        }
    }
    return NULL;
}

/* --- pieces of JSON --- */

static void key_str(struct qv__jw *w, const char *key, const char *v)
{
    qv__jw_key(w, key);
    qv__jw_str(w, v);
}

static void raw(struct qv__jw *w, const char *json)
{
    qv__jw_raw(w, json, strlen(json));
}

static void key_obj(struct qv__jw *w, const char *key)
{
    qv__jw_key(w, key);
    qv__jw_obj(w);
}

static void write_ref(struct qv__jw *w, const char *schema)
{
    char where[96];
    (void)snprintf(where, sizeof where, "#/components/schemas/%s", schema);
    qv__jw_obj(w);
    key_str(w, "$ref", where);
    qv__jw_obj_end(w);
}

/* {"<media type>": {"schema": ...}} with the schema left to be written, and its end. */
static void content(struct qv__jw *w, const char *media)
{
    key_obj(w, "content");
    key_obj(w, media);
    qv__jw_key(w, "schema");
}

static void content_end(struct qv__jw *w)
{
    qv__jw_obj_end(w);
    qv__jw_obj_end(w);
}

/* --- parameters --- */

static void parameter(struct qv__jw *w, const char *name, const char *in, const char *schema)
{
    qv__jw_obj(w);
    key_str(w, "name", name);
    key_str(w, "in", in);
    if (in[0] == 'p') {
        qv__jw_key(w, "required");
        qv__jw_bool(w, true);
    }
    qv__jw_key(w, "schema");
    raw(w, schema);
    qv__jw_obj_end(w);
}

static void path_parameters(struct qv__jw *w, const char *pattern)
{
    for (const char *p = strchr(pattern, '{'); p; p = strchr(p, '{')) {
        size_t n = strcspn(++p, "}");
        char name[64];
        (void)snprintf(name, sizeof name, "%.*s", (int)n, p);
        parameter(w, name, "path",
                  strcmp(name, "shard_id") == 0 || strcmp(name, "peer_id") == 0
                      ? "{\"type\":\"integer\",\"minimum\":0}"
                      : "{\"type\":\"string\",\"minLength\":1}");
    }
}

static void more_parameters(struct qv__jw *w, const char *names)
{
    while (names && *names) {
        size_t n = strcspn(names, " ");
        char name[64];
        (void)snprintf(name, sizeof name, "%.*s", (int)n, names);
        parameter(w, name, "query",
                  strcmp(name, "wait") == 0 ? "{\"type\":\"boolean\",\"default\":true}"
                  : strcmp(name, "completed_limit") == 0
                      ? "{\"type\":\"integer\",\"minimum\":0,\"default\":16}"
                      : "{\"type\":\"string\"}");
        names += n + (names[n] == ' ');
    }
}

static void query_parameters(struct qv__jw *w, uint32_t flags)
{
    if (flags & (QV__QD_UPDATE | QV__QD_WAIT)) {
        parameter(w, "wait", "query",
                  flags & QV__QD_WAIT ? "{\"type\":\"boolean\",\"default\":true}"
                                      : "{\"type\":\"boolean\",\"default\":false}");
    }
    if (flags & QV__QD_UPDATE) {
        parameter(w, "ordering", "query",
                  "{\"type\":\"string\",\"enum\":[\"weak\",\"medium\",\"strong\"]}");
        parameter(w, "durability", "query",
                  "{\"type\":\"string\",\"enum\":[\"fsync\",\"relaxed\"]}");
    }
    if (flags & QV__QD_READ) {
        parameter(w, "consistency", "query",
                  "{\"anyOf\":[{\"type\":\"integer\",\"minimum\":1},{\"type\":\"string\","
                  "\"enum\":[\"majority\",\"quorum\",\"all\"]}]}");
    }
    if (flags & (QV__QD_UPDATE | QV__QD_READ | QV__QD_TIMEOUT)) {
        parameter(w, "timeout", "query", "{\"type\":\"integer\",\"minimum\":1}");
    }
}

/* --- bodies and answers --- */

static void write_body(struct qv__jw *w, const struct qv__route *r, const struct operation *o)
{
    static const char form[] =
        "{\"type\":\"object\",\"required\":[\"snapshot\"],\"properties\":{\"snapshot\":"
        "{\"type\":\"string\",\"format\":\"binary\"}}}";
    if (!o->body && !(r->flags & QV__QD_FILE)) {
        return;
    }
    key_obj(w, "requestBody");
    qv__jw_key(w, "required");
    qv__jw_bool(w, !(r->flags & QV__QD_BODY_OPTIONAL));
    content(w, r->flags & QV__QD_FILE ? "multipart/form-data" : "application/json");
    if (r->flags & QV__QD_FILE) {
        raw(w, form);
    } else {
        write_ref(w, o->body);
    }
    content_end(w);
    qv__jw_obj_end(w);
}

static void write_envelope(struct qv__jw *w, const char *result)
{
    qv__jw_obj(w);
    key_str(w, "type", "object");
    qv__jw_key(w, "required");
    raw(w, "[\"result\",\"status\",\"time\"]");
    qv__jw_key(w, "properties");
    qv__jw_obj(w);
    qv__jw_key(w, "result");
    write_ref(w, result);
    qv__jw_key(w, "time");
    raw(w, "{\"type\":\"number\"}");
    qv__jw_key(w, "status");
    raw(w, "{\"type\":\"string\",\"enum\":[\"ok\"]}");
    qv__jw_obj_end(w);
    qv__jw_obj_end(w);
}

static void write_success(struct qv__jw *w, const struct operation *o)
{
    static const char binary[] = "{\"type\":\"string\",\"format\":\"binary\"}";
    key_obj(w, "200");
    key_str(w, "description", "done");
    if (o->result == text) {
        content(w, "text/plain");
        raw(w, "{\"type\":\"string\"}");
    } else if (o->result == file) {
        content(w, "application/octet-stream");
        raw(w, binary);
    } else if (o->result == self) {
        content(w, "application/json");
        raw(w, "{\"type\":\"object\"}");
    } else if (strcmp(o->result, "Root") == 0) {
        content(w, "application/json");
        write_ref(w, o->result);
    } else {
        content(w, "application/json");
        write_envelope(w, o->result);
    }
    content_end(w);
    qv__jw_obj_end(w);
}

static void write_answers(struct qv__jw *w, const struct qv__route *r, const struct operation *o)
{
    key_obj(w, "responses");
    if (o->result) {
        write_success(w, o);
    }
    if (r->flags & QV__QD_WAIT) {
        key_obj(w, "202");
        key_str(w, "description", "accepted; it will be done");
        qv__jw_obj_end(w);
    }
    key_obj(w, !o->result && r->run == qv__qd_standalone ? "405" : !o->result ? "501" : "default");
    key_str(w, "description", o->result ? "refused or failed" : "not served");
    content(w, "application/json");
    write_ref(w, "Error");
    content_end(w);
    qv__jw_obj_end(w);
    qv__jw_obj_end(w);
}

/* --- the document --- */

/* "points_query_batch": of the handler's path, with the method where that tells two apart. */
static void write_id(struct qv__jw *w, const struct qv__route *r)
{
    char id[128];
    size_t n = (size_t)snprintf(id, sizeof id, "%s", qv__method_name(r->method));
    for (size_t i = 0; i < n; i++) {
        id[i] = (char)(id[i] | 0x20);
    }
    for (const char *p = r->pattern; *p && n + 1 < sizeof id; p++) {
        if (*p == '/' || *p == '.') {
            id[n++] = '_';
        } else if (*p != '{' && *p != '}') {
            id[n++] = *p;
        }
    }
    id[n] = '\0';
    key_str(w, "operationId", id);
}

static void write_operation(struct qv__jw *w, const struct qv__route *r)
{
    static const struct operation none = {.tag = "undescribed", .summary = "", .result = self};
    const struct operation *o = operation_of(r);
    char method[16];
    size_t n = 0;
    for (const char *p = qv__method_name(r->method); *p && n + 1 < sizeof method; p++) {
        method[n++] = (char)(*p | 0x20);
    }
    method[n] = '\0';
    o = o ? o : &none;
    key_obj(w, method);
    qv__jw_key(w, "tags");
    qv__jw_arr(w);
    qv__jw_str(w, o->tag);
    qv__jw_arr_end(w);
    key_str(w, "summary", o->summary);
    write_id(w, r);
    qv__jw_key(w, "parameters");
    qv__jw_arr(w);
    path_parameters(w, r->pattern);
    query_parameters(w, r->flags);
    more_parameters(w, o->more);
    qv__jw_arr_end(w);
    write_body(w, r, o);
    write_answers(w, r, o);
    qv__jw_obj_end(w);
}

static bool is_first(const struct qv__dialect *d, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(d->routes[i].pattern, d->routes[at].pattern) == 0) {
            return false;
        }
    }
    return true;
}

static void write_paths(struct qv__jw *w, const struct qv__dialect *d)
{
    key_obj(w, "paths");
    for (size_t i = 0; i < d->n_routes; i++) {
        if (!is_first(d, i)) {
            continue;
        }
        key_obj(w, d->routes[i].pattern);
        for (size_t k = i; k < d->n_routes; k++) {
            if (strcmp(d->routes[k].pattern, d->routes[i].pattern) == 0) {
                write_operation(w, &d->routes[k]);
            }
        }
        qv__jw_obj_end(w);
    }
    qv__jw_obj_end(w);
}

static void write_info(struct qv__jw *w)
{
    static const char keys[] =
        "{\"api-key\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"api-key\"},"
        "\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\"}}";
    key_str(w, "openapi", "3.0.3");
    key_obj(w, "info");
    key_str(w, "title", "Quiver");
    key_str(w, "description", "A vector database. Speaks the REST dialect of Qdrant 1.19.");
    key_str(w, "version", QV_VERSION);
    key_obj(w, "license");
    key_str(w, "name", "Apache 2.0");
    qv__jw_obj_end(w);
    qv__jw_obj_end(w);
    qv__jw_key(w, "security"); /* each is enough; none is needed where the server has no key */
    raw(w, "[{\"api-key\":[]},{\"bearer\":[]},{}]");
    key_obj(w, "components");
    qv__jw_key(w, "securitySchemes");
    raw(w, keys);
    qv__jw_key(w, "schemas");
    qv__jw_raw(w, (const char *)qv__openapi_schemas, qv__openapi_schemas_n);
    qv__jw_obj_end(w);
}

qv_status qv__qd_openapi(struct qv__call *c)
{
    qv__qd_raw(c, "application/json");
    qv__jw_obj(&c->w);
    write_info(&c->w);
    write_paths(&c->w, &qv__qdrant_dialect);
    qv__jw_obj_end(&c->w);
    return QV_OK;
}

/* For the test: rows that belong to no route. */
size_t qv__qd_openapi_strays(void)
{
    size_t n = 0;
    for (size_t i = 0; i < QV_ARRAY_LEN(operations); i++) {
        bool found = false;
        for (size_t r = 0; r < qv__qdrant_dialect.n_routes; r++) {
            found = found || operation_of(&qv__qdrant_dialect.routes[r]) == &operations[i];
        }
        n += !found;
    }
    return n;
}
