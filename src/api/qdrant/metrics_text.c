/* metrics_text.c: /metrics as Prometheus text, and /telemetry.
 *
 * Names that the peer has too are the peer's, so that its dashboards fit; what only this engine
 * knows (log, memory accounts, recovery) begins with quiver_. */
#include "api/qdrant/qdrant.h"

#include <stdio.h>

#include "quiver/version.h"

/* --- collections
 * ------------------------------------------------------------------------------------------ */

struct figures {
    struct qv__str name;
    struct qv__collection_info info;
    struct qv__str *vectors; /* their names */
    uint32_t n_vectors;
    bool is_known; /* dropped meanwhile: false */
};
struct names {
    struct qv__arena *arena;
    struct figures *list;
    size_t n, cap;
    bool failed;
};

static void add_name(void *arg, struct qv__str name)
{
    struct names *names = arg;
    if (names->n == names->cap && !names->failed) {
        size_t cap = names->cap ? names->cap * 2 : 16;
        struct figures *grown = qv__arena_calloc(names->arena, cap, sizeof *grown);
        names->failed = !grown;
        if (grown) {
            if (names->n) {
                memcpy(grown, names->list, names->n * sizeof *grown);
            }
            names->list = grown;
            names->cap = cap;
        }
    }
    char *copy = names->failed ? NULL : qv__arena_strndup(names->arena, name.p, name.n);
    names->failed = names->failed || !copy;
    if (!names->failed) {
        names->list[names->n++].name = (struct qv__str){copy, name.n};
    }
}

static qv_status vector_names(struct qv__call *c, struct qv__collection *one, struct figures *f)
{
    struct qv__schema *s = qv__collection_schema(one);
    f->vectors = qv__arena_calloc(c->arena, s->n_vectors + 1u, sizeof *f->vectors);
    bool ok = f->vectors;
    for (uint32_t i = 0; ok && i < s->n_vectors; i++) {
        struct qv__str name = s->vectors[i].name;
        const char *copy = qv__arena_strndup(c->arena, name.p, name.n);
        f->vectors[f->n_vectors++] = (struct qv__str){copy, name.n};
        ok = copy;
    }
    qv__schema_release(s);
    return ok ? QV_OK : qv__qd_no_memory(c);
}

static qv_status collect(struct qv__call *c, struct names *names)
{
    names->arena = c->arena;
    QV_TRY(qv__db_list_collections(c->db, add_name, names, &c->err));
    if (names->failed) {
        return qv__qd_no_memory(c);
    }
    for (size_t i = 0; i < names->n; i++) {
        struct qv__collection *one = NULL;
        qv_status st = qv__db_collection(c->db, names->list[i].name, &one, &c->err);
        if (st == QV_ENOTFOUND) {
            continue;
        }
        QV_TRY(st);
        st = qv__collection_info(one, &names->list[i].info, &c->err);
        if (st == QV_OK) {
            st = vector_names(c, one, &names->list[i]);
        }
        qv__collection_release(one);
        QV_TRY(st);
        names->list[i].is_known = true;
    }
    return QV_OK;
}

/* --- Prometheus text
 * ---------------------------------------------------------------------------------------- */

static void head(struct qv__buf *b, const char *name, const char *help, const char *type)
{
    qv__buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void number(struct qv__buf *b, const char *name, const char *help, const char *type,
                   uint64_t v)
{
    head(b, name, help, type);
    qv__buf_printf(b, "%s %" PRIu64 "\n", name, v);
}

static void per_collection(struct qv__buf *b, const struct names *names)
{
    static const struct {
        const char *name, *help;
        size_t offset;
        bool is_u32;
    } rows[] = {
        {"collection_points", "points in the collection",
         offsetof(struct qv__collection_info, n_points), false},
        {"collection_running_optimizations", "background jobs running or due",
         offsetof(struct qv__collection_info, jobs_running), true},
        {"quiver_collection_indexed_vectors", "vectors covered by a graph",
         offsetof(struct qv__collection_info, n_indexed), false},
        {"quiver_collection_unindexed_rows", "rows due for a graph that every search scans",
         offsetof(struct qv__collection_info, unindexed_rows), false},
        {"quiver_collection_segments", "segments", offsetof(struct qv__collection_info, n_segments),
         true},
        {"quiver_collection_memory_bytes", "memory charged to the collection",
         offsetof(struct qv__collection_info, memory_bytes), false},
        {"quiver_collection_disk_bytes", "its segment files",
         offsetof(struct qv__collection_info, disk_bytes), false},
        {"quiver_collection_dead_rows", "rows deleted and not yet merged away",
         offsetof(struct qv__collection_info, dead_rows), false},
        {"quiver_collection_reclaimable_bytes", "what dead rows take, about",
         offsetof(struct qv__collection_info, reclaimable_bytes), false},
        {"quiver_collection_quarantined", "1 when stored data are damaged and it is not served",
         offsetof(struct qv__collection_info, quarantined), true},
    };
    for (size_t r = 0; r < QV_ARRAY_LEN(rows); r++) {
        head(b, rows[r].name, rows[r].help, "gauge");
        for (size_t i = 0; i < names->n; i++) {
            const uint8_t *at = (const uint8_t *)&names->list[i].info + rows[r].offset;
            if (names->list[i].is_known) {
                qv__buf_printf(b, "%s{id=\"", rows[r].name);
                qv__api_label(b, names->list[i].name);
                qv__buf_printf(b, "\"} %" PRIu64 "\n",
                               rows[r].is_u32 ? qv__load_u32(at) : qv__load_u64(at));
            }
        }
    }
}

/* What the peer tells of each vector; points that lack one are counted as if they had it. */
static void per_vector(struct qv__buf *b, const struct names *names)
{
    static const char *const rows[][3] = {
        {"collection_vectors", "amount of vectors grouped by vector name", "collection"},
        {"collection_indexed_only_excluded_points",
         "amount of points excluded in indexed_only requests", "id"},
    };
    for (size_t r = 0; r < QV_ARRAY_LEN(rows); r++) {
        head(b, rows[r][0], rows[r][1], "gauge");
        for (size_t i = 0; i < names->n; i++) {
            const struct figures *f = &names->list[i];
            uint64_t n = r ? f->info.unindexed_rows : f->info.n_points;
            for (uint32_t v = 0; f->is_known && v < f->n_vectors; v++) {
                qv__buf_printf(b, "%s{%s=\"", rows[r][0], rows[r][2]);
                qv__api_label(b, f->name);
                qv__buf_putz(b, "\",vector=\"");
                qv__api_label(b, f->vectors[v]);
                qv__buf_printf(b, "\"} %" PRIu64 "\n", n);
            }
        }
    }
}

/* One copy of the data, no queue of updates: figures of the peer that say so. */
static void fixed(struct qv__buf *b, const struct names *names)
{
    static const char *const rows[][2] = {
        {"collection_shard_transfer_incoming", "incoming shard transfers currently running"},
        {"collection_shard_transfer_outgoing", "outgoing shard transfers currently running"},
        {"collection_update_queue_length",
         "number of pending operations in update queues per collection"},
        {"collection_update_queue_deferred_points",
         "number of points currently hidden during read operations as they're not yet optimized"},
    };
    uint64_t known = 0, dead = 0;
    for (size_t i = 0; i < names->n; i++) {
        known += names->list[i].is_known;
        dead += names->list[i].is_known && names->list[i].info.quarantined;
    }
    number(b, "collection_active_replicas_min",
           "minimum number of active replicas across all shards", "gauge", known > 0 && dead == 0);
    number(b, "collection_active_replicas_max",
           "maximum number of active replicas across all shards", "gauge", known > dead);
    number(b, "collection_dead_replicas", "total amount of shard replicas in non-active state",
           "gauge", dead);
    for (size_t r = 0; r < QV_ARRAY_LEN(rows); r++) {
        head(b, rows[r][0], rows[r][1], "gauge");
        for (size_t i = 0; i < names->n; i++) {
            if (names->list[i].is_known) {
                qv__buf_printf(b, "%s{id=\"", rows[r][0]);
                qv__api_label(b, names->list[i].name);
                qv__buf_putz(b, "\"} 0\n");
            }
        }
    }
}

enum { JOBS_MAX = 256 }; /* background jobs that run at once and are looked at */

static qv_status snapshots(struct qv__call *c, struct qv__buf *b, const struct names *names)
{
    static const struct {
        const char *name, *help, *type;
        enum qv__job_kind kind;
    } rows[] = {
        {"snapshot_creation_running", "amount of snapshot creations that are currently running",
         "gauge", QV__JOB_SNAPSHOT},
        {"snapshot_recovery_running", "amount of snapshot recovery operations currently running",
         "gauge", QV__JOB_RECOVER},
        {"snapshot_created_total", "total amount of snapshots created", "counter", 0},
    };
    struct qv__job_info *list = qv__arena_calloc(c->arena, JOBS_MAX, sizeof *list);
    if (!list) {
        return qv__qd_no_memory(c);
    }
    size_t n = qv__db_jobs(c->db, NULL, false, list, JOBS_MAX);
    for (size_t r = 0; r < QV_ARRAY_LEN(rows); r++) {
        head(b, rows[r].name, rows[r].help, rows[r].type);
        for (size_t i = 0; i < names->n; i++) {
            const struct figures *f = &names->list[i];
            uint64_t v = rows[r].kind ? 0 : f->info.snapshots;
            for (size_t k = 0; rows[r].kind && k < QV_MIN(n, (size_t)JOBS_MAX); k++) {
                v += list[k].kind == rows[r].kind &&
                     qv__str_eq(qv__str_z(list[k].collection), f->name);
            }
            if (f->is_known) {
                qv__buf_printf(b, "%s{id=\"", rows[r].name);
                qv__api_label(b, f->name);
                qv__buf_printf(b, "\"} %" PRIu64 "\n", v);
            }
        }
    }
    return QV_OK;
}

static void process(struct qv__buf *b)
{
    struct qv__process p;
    qv__db_process(&p);
    number(b, "memory_resident_bytes",
           "Maximum number of bytes in physically resident data pages mapped", "gauge",
           p.resident_bytes);
    number(b, "memory_retained_bytes", "Total number of bytes in virtual memory mappings", "gauge",
           p.virtual_bytes);
    number(b, "process_threads", "count of active threads", "gauge", p.threads);
    number(b, "process_open_mmaps", "count of open mmaps", "gauge", p.maps);
    number(b, "system_max_mmaps", "system wide limit of open mmaps", "gauge", p.maps_max);
    number(b, "process_open_fds", "count of currently open file descriptors", "gauge", p.fds);
    number(b, "process_max_fds", "limit for open file descriptors", "gauge", p.fds_max);
    number(b, "process_minor_page_faults_total",
           "count of minor page faults which didn't cause a disk access", "counter",
           p.minor_faults);
    number(b, "process_major_page_faults_total",
           "count of disk accesses caused by a mmap page fault", "counter", p.major_faults);
}

static void jobs(struct qv__buf *b, struct qv__db *db)
{
    static const struct {
        const char *name, *help, *type;
        size_t offset;
    } rows[] = {
        {"quiver_jobs_running", "background jobs under way", "gauge",
         offsetof(struct qv__job_totals, running)},
        {"quiver_jobs_total", "background jobs that ended", "counter",
         offsetof(struct qv__job_totals, ended)},
        {"quiver_jobs_failed_total", "background jobs that failed", "counter",
         offsetof(struct qv__job_totals, failed)},
    };
    struct qv__job_totals totals;
    qv__db_job_totals(db, &totals);
    for (size_t r = 0; r < QV_ARRAY_LEN(rows); r++) {
        head(b, rows[r].name, rows[r].help, rows[r].type);
        for (unsigned k = 0; k < QV__JOB_KINDS; k++) {
            const uint8_t *at = (const uint8_t *)&totals + rows[r].offset + k * sizeof(uint64_t);
            qv__buf_printf(b, "%s{kind=\"%s\"} %" PRIu64 "\n", rows[r].name,
                           qv__job_kind_name((enum qv__job_kind)k), qv__load_u64(at));
        }
    }
}

static void database(struct qv__buf *b, const struct qv__db_info *db)
{
    number(b, "memory_allocated_bytes", "memory charged to the process's account", "gauge",
           db->memory_used);
    number(b, "quiver_memory_peak_bytes", "most memory charged since the start", "gauge",
           db->memory_peak);
    number(b, "quiver_memory_limit_bytes", "memory budget, 0 = none", "gauge", db->memory_limit);
    number(b, "quiver_searches_total", "queries executed", "counter", db->searches);
    number(b, "quiver_paced_writes_total", "write requests held back until the graph caught up",
           "counter", db->paced);
    number(b, "quiver_writes_acknowledged_total", "write requests acknowledged", "counter",
           db->acknowledged);
    number(b, "quiver_published_lsn", "last log record visible to reads", "gauge",
           db->published_lsn);
    number(b, "quiver_durable_lsn", "last log record on disk", "gauge", db->durable_lsn);
    number(b, "quiver_checkpoint_lsn", "log records up to here are in segment files", "gauge",
           db->checkpoint_lsn);
    number(b, "quiver_log_flushes_total", "group commits", "counter", db->log_flushes);
    number(b, "quiver_log_syncs_total", "syncs of the write-ahead log", "counter", db->log_syncs);
    number(b, "quiver_log_bytes_total", "bytes appended to the write-ahead log", "counter",
           db->log_bytes);
    number(b, "quiver_log_files", "files of the write-ahead log", "gauge", db->log_files);
    number(b, "quiver_log_file_bytes", "size of the write-ahead log on disk", "gauge",
           db->log_file_bytes);
    number(b, "quiver_log_bytes_max", "size of the log above which writes are refused", "gauge",
           db->log_bytes_max);
    number(b, "quiver_log_held_bytes",
           "log kept for quarantined collections, which bounds do not count", "gauge",
           db->log_held_bytes);
    number(b, "quiver_checkpoint_failures_total", "checkpoints that failed", "counter",
           db->checkpoint_failures);
    number(b, "quiver_disk_free_bytes", "free space of the disk when last looked at", "gauge",
           db->disk_free_bytes);
    number(b, "quiver_disk_owed_bytes", "what flushing the rows in memory will take, about",
           "gauge", db->disk_owed_bytes);
    number(b, "quiver_disk_reserve_bytes", "room held for deletes and compaction", "gauge",
           db->disk_reserve_bytes);
    number(b, "quiver_disk_short", "1 when writes that add data are refused for lack of room",
           "gauge", db->disk_short);
    number(b, "quiver_disk_refused_total", "writes refused for lack of room", "counter",
           db->disk_refused);
    number(b, "quiver_replayed_records", "log records replayed at the start", "gauge",
           db->replayed_records);
    number(b, "quiver_quarantined_collections", "collections not served because of damage", "gauge",
           db->n_quarantined);
    number(b, "quiver_read_only", "1 when writes are refused", "gauge", db->read_only);
    number(b, "quiver_log_failed", "1 when a sync of the log failed; a restart recovers", "gauge",
           db->log_failed);
    head(b, "quiver_open_seconds", "time the database took to open", "gauge");
    qv__buf_printf(b, "quiver_open_seconds %.6f\n", db->open_seconds);
}

qv_status qv__qd_metrics(struct qv__call *c)
{
    struct names names = {0};
    struct qv__db_info info;
    struct qv__buf *b = &c->request->response.body;
    const struct qv__api_figures *by_collection = NULL;
    size_t n_by_collection = 0;
    uint64_t vectors = 0;
    bool each = false;
    QV_TRY(qv__qd_param_bool(c, "per_collection", &each));
    if (each && qv__api_counts_by_collection(c->request->api, c->arena, &by_collection,
                                             &n_by_collection) != QV_OK) {
        return qv__qd_no_memory(c);
    }
    QV_TRY(collect(c, &names));
    qv__db_info(c->db, &info);
    for (size_t i = 0; i < names.n; i++) {
        vectors += names.list[i].info.n_vectors;
    }
    qv__qd_raw(c, "text/plain; charset=utf-8");
    head(b, "app_info", "information about qdrant server", "gauge");
    qv__buf_printf(b, "app_info{name=\"qdrant\",version=\"%s\"} 1\n", QV__QDRANT_VERSION);
    head(b, "quiver_info", "information about this server", "gauge");
    qv__buf_printf(b, "quiver_info{version=\"%s\"} 1\n", QV_VERSION);
    number(b, "app_status_recovery_mode", "features enabled in qdrant server", "gauge", 0);
    number(b, "cluster_enabled", "is cluster support enabled", "gauge", 0);
    number(b, "collections_total", "number of collections", "gauge", names.n);
    number(b, "collections_vector_total", "total number of vectors in all collections", "gauge",
           vectors);
    per_collection(b, &names);
    per_vector(b, &names);
    fixed(b, &names);
    QV_TRY(snapshots(c, b, &names));
    database(b, &info);
    process(b);
    jobs(b, c->db);
    qv__api_metrics(c->request->api, by_collection, n_by_collection, b);
    return QV_OK;
}

/* --- telemetry
 * ------------------------------------------------------------------------------------------------
 */

/* Days since 1970-01-01 to a date (Howard Hinnant's civil_from_days, for years from 1970 on). */
void qv__qd_write_date(struct qv__jw *w, uint64_t wall_ms)
{
    char text[40];
    uint64_t days = wall_ms / 86400000u, ms = wall_ms % 86400000u;
    uint64_t z = days + 719468u, era = z / 146097u, doe = z % 146097u;
    uint64_t yoe = (doe - doe / 1460u + doe / 36524u - doe / 146096u) / 365u;
    uint64_t doy = doe - (365u * yoe + yoe / 4u - yoe / 100u), mp = (5u * doy + 2u) / 153u;
    uint64_t day = doy - (153u * mp + 2u) / 5u + 1u, month = mp < 10 ? mp + 3u : mp - 9u;
    uint64_t year = yoe + era * 400u + (month <= 2);
    (void)snprintf(text, sizeof text, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
                   (unsigned)(year % 10000u), (unsigned)month, (unsigned)day,
                   (unsigned)(ms / 3600000u), (unsigned)(ms / 60000u % 60u),
                   (unsigned)(ms / 1000u % 60u), (unsigned)(ms % 1000u));
    qv__jw_str(w, text);
}

struct responses {
    struct qv__jw *w;
    const char *method, *endpoint; /* whose object is open */
    struct qv__str collection;
};

static void write_response(void *arg, const struct qv__api_figures *f)
{
    struct responses *r = arg;
    char key[128];
    if (r->endpoint != f->endpoint || r->method != f->method) {
        if (r->endpoint) {
            qv__jw_obj_end(r->w);
        }
        (void)snprintf(key, sizeof key, "%s %s", f->method, f->endpoint);
        qv__jw_key(r->w, key);
        qv__jw_obj(r->w);
        r->method = f->method;
        r->endpoint = f->endpoint;
    }
    (void)snprintf(key, sizeof key, "%d", f->http_status);
    qv__jw_key(r->w, key);
    qv__jw_obj(r->w);
    qv__qd_key_u64(r->w, "count", f->n);
    qv__jw_key(r->w, "avg_duration_micros");
    qv__jw_f64(r->w, (double)(f->sum_ns / f->n) / 1e3);
    qv__jw_key(r->w, "min_duration_micros");
    qv__jw_f64(r->w, (double)f->min_ns / 1e3);
    qv__jw_key(r->w, "max_duration_micros");
    qv__jw_f64(r->w, (double)f->max_ns / 1e3);
    qv__qd_key_u64(r->w, "total_duration_micros", f->sum_ns / 1000u);
    qv__jw_key(r->w, "last_responded");
    qv__qd_write_date(r->w, f->last_ms);
    qv__jw_obj_end(r->w);
}

/* Figures sorted by collection. */
static void write_by_collection(struct qv__jw *w, const struct qv__api_figures *list, size_t n)
{
    struct responses open = {.w = w};
    qv__jw_key(w, "per_collection_responses");
    qv__jw_obj(w);
    for (size_t i = 0; i < n; i++) {
        if (!list[i].collection.n) { /* the rest: `responses` has it */
            continue;
        }
        if (!open.endpoint || !qv__str_eq(open.collection, list[i].collection)) {
            if (open.endpoint) {
                qv__jw_obj_end(w);
                qv__jw_obj_end(w);
            }
            open = (struct responses){.w = w, .collection = list[i].collection};
            qv__jw_key_n(w, list[i].collection);
            qv__jw_obj(w);
        }
        write_response(&open, &list[i]);
    }
    if (open.endpoint) {
        qv__jw_obj_end(w);
        qv__jw_obj_end(w);
    }
    qv__jw_obj_end(w);
}

static void write_app(struct qv__call *c)
{
    static const char *const features[] = {
        "debug", "service_debug_feature", "recovery_mode", "gpu", "rocksdb", "staging"};
    struct qv__jw *w = &c->w;
    qv__jw_key(w, "app");
    qv__jw_obj(w);
    qv__jw_key(w, "name");
    qv__jw_str(w, "qdrant");
    qv__jw_key(w, "version");
    qv__jw_str(w, QV__QDRANT_VERSION);
    qv__jw_key(w, "features");
    qv__jw_obj(w);
    for (size_t i = 0; i < QV_ARRAY_LEN(features); i++) {
        qv__jw_key(w, features[i]);
        qv__jw_bool(w, false);
    }
    qv__jw_obj_end(w);
    qv__jw_key(w, "startup");
    qv__qd_write_date(w, qv__api_started_ms(c->request->api));
    qv__jw_obj_end(w);
}

qv_status qv__qd_telemetry(struct qv__call *c)
{
    struct qv__jw *w = &c->w;
    struct responses rest = {.w = w};
    struct qv__db_info info;
    const struct qv__api_figures *by_collection = NULL;
    size_t n_by_collection = 0;
    bool each = false;
    QV_TRY(qv__qd_param_bool(c, "per_collection", &each));
    if (each && qv__api_counts_by_collection(c->request->api, c->arena, &by_collection,
                                             &n_by_collection) != QV_OK) {
        return qv__qd_no_memory(c);
    }
    qv__db_info(c->db, &info);
    qv__jw_obj(w);
    qv__jw_key(w, "id");
    qv__jw_str(w, "quiver");
    write_app(c);
    qv__jw_key(w, "collections");
    qv__jw_obj(w);
    qv__qd_key_u64(w, "number_of_collections", info.n_collections);
    qv__jw_obj_end(w);
    qv__jw_key(w, "cluster");
    qv__jw_obj(w);
    qv__jw_key(w, "enabled");
    qv__jw_bool(w, false);
    qv__jw_obj_end(w);
    qv__jw_key(w, "requests");
    qv__jw_obj(w);
    qv__jw_key(w, "rest");
    qv__jw_obj(w);
    qv__jw_key(w, "responses");
    qv__jw_obj(w);
    qv__api_counts_each(c->request->api, write_response, &rest);
    if (rest.endpoint) {
        qv__jw_obj_end(w);
    }
    qv__jw_obj_end(w);
    if (each) {
        write_by_collection(w, by_collection, n_by_collection);
    }
    qv__jw_obj_end(w);
    qv__jw_key(w, "grpc");
    qv__jw_obj(w);
    qv__jw_key(w, "responses");
    qv__jw_obj(w);
    qv__jw_obj_end(w);
    qv__jw_obj_end(w);
    qv__jw_obj_end(w);
    qv__jw_key(w, "quota");
    qv__jw_obj(w);
    qv__jw_key(w, "config");
    qv__jw_obj(w);
    qv__jw_key(w, "enabled");
    qv__jw_bool(w, false);
    qv__jw_obj_end(w);
    qv__jw_key(w, "exceeded");
    qv__jw_obj(w);
    qv__jw_obj_end(w);
    qv__jw_obj_end(w);
    qv__jw_obj_end(w);
    return QV_OK;
}
