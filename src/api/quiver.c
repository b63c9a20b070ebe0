/* quiver.c: the typed C interface: opening, closing, collections, writes.
 *
 * Each call checks its arguments, translates them into an arena of its own, calls the engine and
 * waits where the engine completes later. The arena is gone before the call returns. Locks: none.
 */
#include "api/handle.h"

#define THREADS_MAX 4096

const char *qv_version(void)
{
    return QV_VERSION;
}

qv_status qv__handle_missing(struct qv_err *err, const char *name)
{
    return qv__fail(err, QV_EINVAL, "%s: must not be NULL", name);
}

/* --- open and close
 * ------------------------------------------------------------------------------------ */

static void log_line(void *ctx, enum qv__level level, const char *component, const char *message)
{
    const qv_db *h = ctx;
    h->log(h->log_ctx, (int)level, component, message);
}

/* A default of collections: what none could have is refused here, where it is given. */
static qv_status check_default(const char *name, uint32_t value, uint32_t min, uint32_t max,
                               struct qv_err *err)
{
    return value == 0 || (value >= min && value <= max)
               ? QV_OK
               : qv__fail(err, QV_EINVAL,
                          "options.%s: %" PRIu32 " is not 0 or from %" PRIu32 " to %" PRIu32, name,
                          value, min, max);
}

static qv_status check_options(const struct qv_options *o, struct qv_err *err)
{
    if (o->size != sizeof *o) {
        return qv__fail(err, QV_EINVAL, "options.size: %zu is not %zu; start from QV_OPTIONS_INIT",
                        o->size, sizeof *o);
    }
    if (o->threads < 0 || o->threads > THREADS_MAX) {
        return qv__fail(err, QV_EINVAL, "options.threads: %d is not from 0 to %d", o->threads,
                        THREADS_MAX);
    }
    if (o->memory_bytes > SIZE_MAX) {
        return qv__fail(err, QV_EINVAL,
                        "options.memory_bytes: %" PRIu64 " does not fit this machine",
                        o->memory_bytes);
    }
    if (o->disk_reserve_bytes > (UINT64_C(1) << 40)) {
        return qv__fail(err, QV_EINVAL, "options.disk_reserve_bytes: %" PRIu64 " is over %" PRIu64,
                        o->disk_reserve_bytes, UINT64_C(1) << 40);
    }
    QV_TRY(check_default("shards", o->shards, 1, QV__SHARDS_MAX, err));
    QV_TRY(check_default("seal_rows", o->seal_rows, QV__SEAL_ROWS_MIN, QV__SEAL_ROWS_MAX, err));
    return check_default("merge_fanin", o->merge_fanin, QV__MERGE_FANIN_MIN, QV__MERGE_FANIN_MAX,
                         err);
}

static void handle_free(qv_db *h)
{
    struct qv__mem *mem = h->mem;
    qv__free(h);
    qv__mem_close(mem);
}

qv_status qv_open(const char *path, const struct qv_options *options, qv_db **db,
                  struct qv_err *err)
{
    struct qv_options defaults = QV_OPTIONS_INIT;
    const struct qv_options *o = options ? options : &defaults;
    if (!path || !db) {
        return qv__handle_missing(err, path ? "db" : "path");
    }
    if (!*path) {
        return qv__fail(err, QV_EINVAL, "path: must not be empty");
    }
    QV_TRY(check_options(o, err));
    struct qv__mem *mem = qv__mem_root("handle", 0);
    qv_db *h = mem ? qv__zalloc(mem, sizeof *h) : NULL;
    if (!h) {
        qv__mem_close(mem);
        return qv__fail(err, QV_ENOMEM, "no memory to open a database");
    }
    h->mem = mem;
    h->log = o->log;
    h->log_ctx = o->log_ctx;
    h->logger = (struct qv__logger){.sink = log_line, .ctx = h};
    struct qv__db_options to = {
        .path = path,
        .shard_number = o->shards,
        .policy = {.seal_rows = o->seal_rows, .merge_fanin = o->merge_fanin},
        .logger = o->log ? &h->logger : NULL,
        .memory_bytes = (size_t)o->memory_bytes,
        .disk_reserve_bytes = o->disk_reserve_bytes,
        .idle_ms = o->idle_merge_ms,
        .threads = o->threads,
        .read_only = o->read_only};
    qv_status st = qv__db_open(&to, &h->db, err);
    if (st == QV_OK) {
        st = qv__api_create(h->db, NULL, &h->api, err);
    }
    if (st != QV_OK) {
        struct qv_err ignored;
        (void)qv__db_close(h->db, &ignored); /* the first error is the one that matters */
        handle_free(h);
        return st;
    }
    *db = h;
    return QV_OK;
}

qv_status qv_close(qv_db *db, struct qv_err *err)
{
    if (!db) {
        return QV_OK;
    }
    qv__api_free(db->api);
    qv_status st = qv__db_close(db->db, err);
    handle_free(db);
    return st;
}

/* --- collections
 * ------------------------------------------------------------------------------------------ */

qv_status qv__handle_collection(qv_db *db, const char *name, struct qv__collection **out,
                                struct qv_err *err)
{
    if (!db || !name) {
        return qv__handle_missing(err, db ? "collection" : "db");
    }
    return qv__db_collection(db->db, qv__str_z(name), out, err);
}

static qv_status to_def(const struct qv_vector_config *v, size_t i, struct qv__vector_def *out,
                        struct qv_err *err)
{
    if ((unsigned)v->metric > QV_HAMMING) {
        return qv__fail(err, QV_EINVAL, "config.vectors[%zu].metric: %d is none", i,
                        (int)v->metric);
    }
    if ((unsigned)v->datatype > QV_BIT) {
        return qv__fail(err, QV_EINVAL, "config.vectors[%zu].datatype: %d is none", i,
                        (int)v->datatype);
    }
    out->name = v->name ? qv__str_z(v->name) : QV__STR("");
    out->dim = v->size;
    out->metric = (uint8_t)v->metric; /* same numbers: see the assertions below */
    out->datatype = (uint8_t)v->datatype;
    out->index.kind = QV__INDEX_GRAPH;
    out->index.m = v->m;
    out->index.ef_construct = v->ef_construct;
    return QV_OK;
}
_Static_assert((int)QV_COSINE == QV__COSINE && (int)QV_DOT == QV__DOT && (int)QV_EUCLID == QV__L2 &&
                   (int)QV_MANHATTAN == QV__L1 && (int)QV_HAMMING == QV__HAMMING,
               "metrics are numbered alike");

qv_status qv_create_collection(qv_db *db, const char *name,
                               const struct qv_collection_config *config, struct qv_err *err)
{
    struct qv__vector_def defs[QV__VECTORS_MAX];
    struct qv__schema schema;
    if (!db || !name || !config) {
        return qv__handle_missing(err, !db ? "db" : name ? "config" : "name");
    }
    if (config->n_vectors && !config->vectors) {
        return qv__handle_missing(err, "config.vectors");
    }
    if (config->n_vectors > QV__VECTORS_MAX) {
        return qv__fail(err, QV_EVALIDATION, "config.n_vectors: %zu is not from 0 to %u",
                        config->n_vectors, QV__VECTORS_MAX);
    }
    memset(defs, 0, sizeof defs);
    memset(&schema, 0, sizeof schema);
    for (size_t i = 0; i < config->n_vectors; i++) {
        QV_TRY(to_def(&config->vectors[i], i, &defs[i], err));
    }
    schema.vectors = defs;
    schema.n_vectors = (uint32_t)config->n_vectors;
    schema.shard_number = config->shards;
    schema.policy.seal_rows = config->seal_rows;
    schema.policy.index_at_seal_only = config->bulk;
    if ((unsigned)config->durability > QV_RELAXED) {
        return qv__fail(err, QV_EINVAL, "config.durability: %d is none", (int)config->durability);
    }
    schema.durability.mode = (enum qv__durability)config->durability;
    schema.durability.window_ms = config->window_ms;
    schema.policy.ttl_ms = config->ttl_ms;
    return qv__db_create_collection(db->db, qv__str_z(name), &schema, err);
}

qv_status qv_drop_collection(qv_db *db, const char *name, struct qv_err *err)
{
    bool existed = false;
    if (!db || !name) {
        return qv__handle_missing(err, db ? "name" : "db");
    }
    QV_TRY(qv__db_drop_collection(db->db, qv__str_z(name), &existed, err));
    return existed ? QV_OK
                   : qv__fail(err, QV_ENOTFOUND, "Collection `%.255s` doesn't exist!", name);
}

qv_status qv_count(qv_db *db, const char *collection, const char *filter_json, uint64_t *count,
                   struct qv_err *err)
{
    struct qv__collection *c = NULL;
    const struct qv__filter *filter = NULL;
    if (!count) {
        return qv__handle_missing(err, "count");
    }
    QV_TRY(qv__handle_collection(db, collection, &c, err));
    struct qv__arena arena;
    qv__arena_init(&arena, qv__db_mem(db->db));
    struct qv__qctx ctx = {.clock = qv__db_clock(db->db), .mem = arena.mem};
    qv_status st = qv__handle_filter(&arena, filter_json, &filter, err);
    if (st == QV_OK) {
        st = qv__collection_count(c, filter, &ctx, count, err);
    }
    qv__arena_free(&arena);
    qv__collection_release(c);
    return st;
}

qv_status qv_optimize(qv_db *db, const char *collection, struct qv_err *err)
{
    struct qv__collection *c = NULL;
    QV_TRY(qv__handle_collection(db, collection, &c, err));
    qv_status st = qv__collection_optimize(c, 1, err);
    qv__collection_release(c);
    return st;
}

/* --- writes
 * --------------------------------------------------------------------------------------------------
 */

_Static_assert((int)QV_FSYNC == QV__DURABILITY_FSYNC && (int)QV_RELAXED == QV__DURABILITY_RELAXED,
               "durabilities are numbered alike");

qv_status qv_upsert_as(qv_db *db, const char *collection, const struct qv_point *points, size_t n,
                       enum qv_durability durability, struct qv_err *err)
{
    if ((unsigned)durability > QV_RELAXED) {
        return qv__fail(err, QV_EINVAL, "durability: %d is none", (int)durability);
    }
    struct qv__collection *c = NULL;
    struct qv__point *converted = NULL;
    if (n && !points) {
        return qv__handle_missing(err, "points");
    }
    QV_TRY(qv__handle_collection(db, collection, &c, err));
    struct qv__arena arena;
    qv__arena_init(&arena, qv__db_mem(db->db));
    qv_status st = qv__handle_points(&arena, points, n, &converted, err);
    if (st == QV_OK) {
        struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = converted, .n_points = n};
        st = qv__collection_write_sync_as(c, &m, 1, (enum qv__durability)durability, NULL, err);
    }
    qv__arena_free(&arena);
    qv__collection_release(c);
    return st;
}

qv_status qv_upsert(qv_db *db, const char *collection, const struct qv_point *points, size_t n,
                    struct qv_err *err)
{
    return qv_upsert_as(db, collection, points, n, QV_DURABILITY_DEFAULT, err);
}

qv_status qv_sync(qv_db *db, struct qv_err *err)
{
    return db ? qv__db_sync(db->db, err) : qv__handle_missing(err, "db");
}

qv_status qv_delete(qv_db *db, const char *collection, const struct qv_id *ids, size_t n,
                    struct qv_err *err)
{
    struct qv__collection *c = NULL;
    struct qv__id *converted = NULL;
    if (n && !ids) {
        return qv__handle_missing(err, "ids");
    }
    QV_TRY(qv__handle_collection(db, collection, &c, err));
    struct qv__arena arena;
    qv__arena_init(&arena, qv__db_mem(db->db));
    qv_status st = qv__handle_ids(&arena, ids, n, &converted, err);
    if (st == QV_OK) {
        struct qv__mutation m = {.kind = QV__MUT_DELETE, .ids = converted, .n_ids = n};
        st = qv__collection_write_sync(c, &m, 1, NULL, err);
    }
    qv__arena_free(&arena);
    qv__collection_release(c);
    return st;
}

qv_status qv_delete_where(qv_db *db, const char *collection, const char *filter_json,
                          uint64_t *n_deleted, struct qv_err *err)
{
    struct qv__collection *c = NULL;
    const struct qv__filter *filter = NULL;
    struct qv__write_result result;
    if (!filter_json) {
        return qv__handle_missing(err, "filter_json");
    }
    QV_TRY(qv__handle_collection(db, collection, &c, err));
    struct qv__arena arena;
    qv__arena_init(&arena, qv__db_mem(db->db));
    qv_status st = qv__handle_filter(&arena, filter_json, &filter, err);
    if (st == QV_OK) {
        struct qv__mutation m = {.kind = QV__MUT_DELETE, .filter = filter, .by_filter = true};
        st = qv__collection_write_sync(c, &m, 1, &result, err);
    }
    if (st == QV_OK && n_deleted) {
        *n_deleted = result.n_affected;
    }
    qv__arena_free(&arena);
    qv__collection_release(c);
    return st;
}

qv_status qv_modify_payload(qv_db *db, const char *collection, const struct qv_id *ids, size_t n,
                            const struct qv_payload_op *ops, size_t n_ops, struct qv_err *err)
{
    struct qv__collection *c = NULL;
    struct qv__id *to_ids = NULL;
    struct qv__payload_op *to_ops = NULL;
    if ((n && !ids) || (n_ops && !ops)) {
        return qv__handle_missing(err, n && !ids ? "ids" : "ops");
    }
    QV_TRY(qv__handle_collection(db, collection, &c, err));
    struct qv__arena arena;
    qv__arena_init(&arena, qv__db_mem(db->db));
    qv_status st = qv__handle_ids(&arena, ids, n, &to_ids, err);
    if (st == QV_OK) {
        st = qv__handle_ops(&arena, ops, n_ops, &to_ops, err);
    }
    if (st == QV_OK) {
        struct qv__mutation m = {.kind = QV__MUT_MODIFY_PAYLOAD,
                                 .ids = to_ids,
                                 .n_ids = n,
                                 .ops = to_ops,
                                 .n_ops = n_ops};
        st = qv__collection_write_sync(c, &m, 1, NULL, err);
    }
    qv__arena_free(&arena);
    qv__collection_release(c);
    return st;
}
