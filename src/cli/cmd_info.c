/* cmd_info.c: `quiver info`: what a database holds and what it takes.
 *
 * Collections come from the dialect's own routes, the numbers of the whole database from /metrics,
 * so that a directory and a server are asked alike. What a server does not tell is left out. */
#include <stdio.h>

#include "cli/target.h"

struct args {
    struct qv__target_args target;
    const char *collection;
    bool json;
};

static const struct qv__option options[] = {
    {"collection", "NAME", QV__OPT_TEXT, offsetof(struct args, collection), 0, 0,
     "only this collection"},
    QV__TARGET_OPTIONS(struct args),
    {"json", NULL, QV__OPT_FLAG, offsetof(struct args, json), 0, 0, "print the result as JSON"},
};

struct info {
    struct qv__cli *cli;
    struct qv__target target;
    struct qv__arena arena;
    struct qv__buf out;
    struct qv__jw w;
    struct qv__str metrics; /* text of /metrics, in the arena */
    bool json;
    uint32_t n_collections;
};

/* Of one collection. */
struct figures {
    const char *name;
    struct qv__str status;
    struct qv__str damage; /* why it is red; "" when it is not */
    qv__json vectors, indexes;
    qv__json jobs; /* under way; NULL when the server does not tell */
    uint64_t points, indexed, segments, sealed, growing, dead, disk_bytes, memory_bytes,
        reclaimable;
    bool has_segments;
};

/* --- numbers of /metrics
 * --------------------------------------------------------------------------- */

/* The value behind `name` (with its labels) at the start of a line. */
static bool metric(const struct info *in, const char *name, double *out)
{
    size_t n = strlen(name);
    const char *p = in->metrics.p, *end = p + in->metrics.n;
    while (in->metrics.n && p < end) {
        const char *feed = memchr(p, '\n', (size_t)(end - p));
        const char *line_end = feed ? feed : end;
        if ((size_t)(line_end - p) > n + 1 && memcmp(p, name, n) == 0 && p[n] == ' ') {
            struct qv__json_node v;
            return qv__json_number(p + n + 1, line_end, &v) > 0 && qv__json_f64(&v, out);
        }
        p = feed ? feed + 1 : end;
    }
    return false;
}

static uint64_t metric_u64(const struct info *in, const char *name)
{
    double v = 0;
    return metric(in, name, &v) && v >= 0 && v < 1e19 ? (uint64_t)v : 0;
}

static uint64_t metric_of(struct info *in, const char *metric_name, const char *collection)
{
    struct qv__buf b;
    uint64_t v = 0;
    qv__buf_init(&b, in->cli->mem);
    qv__buf_printf(&b, "%s{id=\"", metric_name);
    for (const char *p = collection; *p; p++) {
        if (*p == '\\' || *p == '"') {
            qv__buf_putc(&b, '\\');
        }
        qv__buf_putc(&b, *p);
    }
    qv__buf_put(&b, "\"}", 3); /* with its NUL */
    if (!b.failed) {
        v = metric_u64(in, (const char *)b.p);
    }
    qv__buf_free(&b);
    return v;
}

static qv_status fetch_metrics(struct info *in, struct qv_err *err)
{
    struct qv_err why = {.code = QV_OK};
    qv_status st = qv__target_get(&in->target, "/metrics", &why);
    if (st == QV_ENOTFOUND || st == QV_EUNAUTH || st == QV_EFORBIDDEN) {
        return QV_OK; /* not for us, or not there */
    }
    if (st != QV_OK) {
        *err = why;
        return st;
    }
    const struct qv__buf *b = &in->target.answer.body;
    char *text = qv__arena_strndup(&in->arena, b->n ? (const char *)b->p : "", b->n);
    if (!text) {
        return qv__fail(err, QV_ENOMEM, "no memory for the answer");
    }
    in->metrics = (struct qv__str){text, b->n};
    return QV_OK;
}

/* --- one collection
 * -------------------------------------------------------------------------------- */

static void add_segment(struct figures *f, qv__json s)
{
    uint64_t dead = 0, bytes = 0, reclaimable = 0;
    (void)qv__json_u64(qv__json_get(s, "dead"), &dead);
    (void)qv__json_u64(qv__json_get(s, "file_bytes"), &bytes);
    (void)qv__json_u64(qv__json_get(s, "reclaimable_bytes"), &reclaimable);
    f->dead += dead;
    f->reclaimable += reclaimable;
    f->disk_bytes += bytes;
    if (qv__json_str_is(qv__json_get(s, "kind"), "sealed")) {
        f->sealed++;
    } else {
        f->growing++;
    }
}

/* Servers of the same dialect may not have the route, or say nothing. */
static qv_status fetch_jobs(struct info *in, const char *name, struct figures *f,
                            struct qv_err *err)
{
    qv__json v = NULL;
    qv_status st =
        qv__target_call(&in->target, QV__GET, qv__target_path(&in->arena, name, "/optimizations"),
                        NULL, &in->arena, &v, err);
    if (st == QV_ENOTFOUND || st == QV_EUNSUPPORTED) {
        return QV_OK;
    }
    QV_TRY(st);
    v = qv__json_get(v, "running");
    f->jobs = qv__json_is(v, QV__JSON_ARR) ? v : NULL;
    return QV_OK;
}

static qv_status fetch(struct info *in, const char *name, struct figures *f, struct qv_err *err)
{
    qv__json v = NULL, list;
    *f = (struct figures){.name = name};
    QV_TRY(qv__target_call(&in->target, QV__GET, qv__target_path(&in->arena, name, ""), NULL,
                           &in->arena, &v, err));
    (void)qv__json_str(qv__json_get(v, "status"), &f->status);
    (void)qv__json_str(qv__json_get(qv__json_get(v, "optimizer_status"), "error"), &f->damage);
    (void)qv__json_u64(qv__json_get(v, "points_count"), &f->points);
    (void)qv__json_u64(qv__json_get(v, "indexed_vectors_count"), &f->indexed);
    (void)qv__json_u64(qv__json_get(v, "segments_count"), &f->segments);
    f->vectors = qv__json_get(qv__json_get(qv__json_get(v, "config"), "params"), "vectors");
    f->indexes = qv__json_get(v, "payload_schema");
    f->memory_bytes = metric_of(in, "quiver_collection_memory_bytes", name);
    qv_status st =
        qv__target_call(&in->target, QV__GET, qv__target_path(&in->arena, name, "/segments"), NULL,
                        &in->arena, &v, err);
    if (st == QV_ENOTFOUND) {
        return QV_OK; /* another server of the same dialect */
    }
    QV_TRY(st);
    f->has_segments = true;
    list = qv__json_get(v, "segments");
    qv__json s = qv__json_first(list);
    for (uint32_t i = 0; s && i < list->len; i++, s = qv__json_next(s)) {
        add_segment(f, s);
    }
    return fetch_jobs(in, name, f, err);
}

static void json_u64(struct qv__jw *w, const char *key, uint64_t v)
{
    qv__jw_key(w, key);
    qv__jw_u64(w, v);
}

static void show_json(struct info *in, const struct figures *f)
{
    struct qv__jw *w = &in->w;
    qv__jw_obj(w);
    qv__jw_key(w, "name");
    qv__jw_str(w, f->name);
    qv__jw_key(w, "status");
    qv__jw_str_n(w, f->status);
    if (f->damage.n) {
        qv__jw_key(w, "damage");
        qv__jw_str_n(w, f->damage);
    }
    json_u64(w, "points", f->points);
    json_u64(w, "indexed_vectors", f->indexed);
    json_u64(w, "segments", f->segments);
    if (f->has_segments) {
        json_u64(w, "sealed", f->sealed);
        json_u64(w, "growing", f->growing);
        json_u64(w, "dead_rows", f->dead);
        json_u64(w, "reclaimable_bytes", f->reclaimable);
        json_u64(w, "disk_bytes", f->disk_bytes);
        json_u64(w, "memory_bytes", f->memory_bytes);
    }
    qv__jw_key(w, "vectors");
    qv__jw_value(w, f->vectors);
    qv__jw_key(w, "payload_indexes");
    qv__jw_value(w, f->indexes);
    if (f->jobs) {
        qv__jw_key(w, "jobs");
        qv__jw_value(w, f->jobs);
    }
    qv__jw_obj_end(w);
}

static void row(struct info *in, const char *label)
{
    qv__buf_printf(&in->out, "  %s%-9s%s ", qv__term_style(&in->cli->out, QV__DIM), label,
                   qv__term_style(&in->cli->out, QV__PLAIN));
}

static void show_vector(struct info *in, struct qv__str name, qv__json v)
{
    uint64_t size = 0;
    struct qv__str metric_name = {"?", 1};
    (void)qv__json_u64(qv__json_get(v, "size"), &size);
    (void)qv__json_str(qv__json_get(v, "distance"), &metric_name);
    row(in, "vector");
    if (name.n) {
        qv__term_put(&in->out, name);
        qv__buf_putz(&in->out, ": ");
    }
    qv__buf_printf(&in->out, "%" PRIu64 " elements, ", size);
    qv__term_put(&in->out, metric_name);
    qv__buf_putc(&in->out, '\n');
}

static void show_vectors(struct info *in, qv__json vectors)
{
    if (qv__json_get(vectors, "size")) {
        show_vector(in, (struct qv__str){"", 0}, vectors);
        return;
    }
    qv__json key = qv__json_first(vectors);
    for (uint32_t i = 0; key && i < vectors->len; i++, key = qv__json_next(key + 1)) {
        show_vector(in, (struct qv__str){key->s, key->len}, key + 1);
    }
}

static void show_jobs(struct info *in, const struct figures *f)
{
    qv__json j = qv__json_first(f->jobs);
    for (uint32_t i = 0; f->jobs && i < f->jobs->len; i++, j = qv__json_next(j)) {
        struct qv__str kind = {"?", 1}, reason = {"", 0};
        qv__json progress = qv__json_get(j, "progress");
        uint64_t done = 0, total = 0;
        double eta_s = 0;
        char text[32];
        (void)qv__json_str(qv__json_get(j, "optimizer"), &kind);
        (void)qv__json_str(qv__json_get(j, "reason"), &reason);
        (void)qv__json_u64(qv__json_get(progress, "done"), &done);
        row(in, "job");
        qv__term_put(&in->out, kind);
        if (qv__json_u64(qv__json_get(progress, "total"), &total) && total) {
            qv__buf_printf(&in->out, ", %u %%", (unsigned)(100 * QV_MIN(done, total) / total));
        }
        if (qv__json_f64(qv__json_get(j, "eta_sec"), &eta_s)) {
            qv__buf_printf(&in->out, ", %s left", qv__human_seconds(eta_s, text));
        }
        if (reason.n) {
            qv__buf_putz(&in->out, ": ");
            qv__term_put(&in->out, reason);
        }
        qv__buf_putc(&in->out, '\n');
    }
}

static void show_text(struct info *in, const struct figures *f)
{
    char a[32], b[32], c[32];
    struct qv__buf *out = &in->out;
    qv__buf_printf(out, "\n%s", qv__term_style(&in->cli->out, QV__BOLD));
    qv__term_put(out, qv__str_z(f->name));
    qv__buf_printf(out, "%s\n", qv__term_style(&in->cli->out, QV__PLAIN));
    row(in, "points");
    qv__buf_printf(out, "%s, %s vectors in an index\n", qv__human_count(f->points, a),
                   qv__human_count(f->indexed, b));
    show_vectors(in, f->vectors);
    row(in, "segments");
    if (f->has_segments) {
        qv__buf_printf(out, "%s sealed, %s growing; %s dead rows\n", qv__human_count(f->sealed, a),
                       qv__human_count(f->growing, b), qv__human_count(f->dead, c));
        row(in, "memory");
        qv__buf_printf(out, "%s\n", qv__human_bytes(f->memory_bytes, a));
        row(in, "disk");
        qv__buf_printf(out, "%s\n", qv__human_bytes(f->disk_bytes, a));
        if (f->reclaimable) {
            row(in, "reclaim");
            qv__buf_printf(out, "%s of dead rows\n", qv__human_bytes(f->reclaimable, a));
        }
    } else {
        qv__buf_printf(out, "%s\n", qv__human_count(f->segments, a));
    }
    row(in, "status");
    qv__term_put(out, f->status);
    if (qv__str_eq(f->status, QV__STR("yellow"))) {
        qv__buf_putz(out, " (indexing goes on)");
    }
    qv__buf_putc(out, '\n');
    show_jobs(in, f);
    if (f->damage.n) {
        row(in, "damage");
        qv__term_put(out, f->damage);
        qv__buf_putc(out, '\n');
    }
}

/* --- all of them
 * ----------------------------------------------------------------------------------- */

static void show_head(struct info *in)
{
    char a[32], b[32], c[32];
    struct qv__buf *out = &in->out;
    double open_s = 0;
    qv__buf_printf(out, "%s", qv__term_style(&in->cli->out, QV__BOLD));
    qv__term_put(out, qv__str_z(qv__target_name(&in->target)));
    qv__buf_printf(out, "%s: %u collection%s", qv__term_style(&in->cli->out, QV__PLAIN),
                   in->n_collections, in->n_collections == 1 ? "" : "s");
    if (in->metrics.n) {
        qv__buf_printf(out, ", memory %s",
                       qv__human_bytes(metric_u64(in, "memory_allocated_bytes"), a));
        uint64_t limit = metric_u64(in, "quiver_memory_limit_bytes");
        if (limit) {
            qv__buf_printf(out, " of %s", qv__human_bytes(limit, a));
        }
        qv__buf_printf(out, ", log %s in %s file%s",
                       qv__human_bytes(metric_u64(in, "quiver_log_file_bytes"), b),
                       qv__human_count(metric_u64(in, "quiver_log_files"), c),
                       metric_u64(in, "quiver_log_files") == 1 ? "" : "s");
        if (metric(in, "quiver_open_seconds", &open_s)) {
            qv__buf_printf(out, ", opened in %s", qv__human_seconds(open_s, a));
        }
    }
    qv__buf_putc(out, '\n');
}

static void json_head(struct info *in)
{
    static const struct {
        const char *key, *metric;
    } rows[] = {{"memory_bytes", "memory_allocated_bytes"},
                {"memory_peak_bytes", "quiver_memory_peak_bytes"},
                {"memory_limit_bytes", "quiver_memory_limit_bytes"},
                {"log_files", "quiver_log_files"},
                {"log_bytes", "quiver_log_file_bytes"},
                {"published_lsn", "quiver_published_lsn"},
                {"checkpoint_lsn", "quiver_checkpoint_lsn"},
                {"replayed_records", "quiver_replayed_records"}};
    qv__jw_obj(&in->w);
    qv__jw_key(&in->w, in->target.url ? "url" : "data");
    qv__cli_json_text(&in->w, qv__target_name(&in->target));
    for (size_t i = 0; in->metrics.n && i < QV_ARRAY_LEN(rows); i++) {
        json_u64(&in->w, rows[i].key, metric_u64(in, rows[i].metric));
    }
    qv__jw_key(&in->w, "collections");
    qv__jw_arr(&in->w);
}

/* Names of all collections, or the one asked for, in the arena. */
static qv_status list(struct info *in, const char *only, const char ***names, struct qv_err *err)
{
    qv__json v = NULL;
    QV_TRY(qv__target_call(&in->target, QV__GET, "/collections", NULL, &in->arena, &v, err));
    qv__json all = qv__json_get(v, "collections"), c = qv__json_first(all);
    uint32_t n = all && all->kind == QV__JSON_ARR ? all->len : 0;
    const char **out = qv__arena_calloc(&in->arena, (size_t)n + 1, sizeof *out);
    if (!out) {
        return qv__fail(err, QV_ENOMEM, "no memory for the answer");
    }
    in->n_collections = n;
    *names = out;
    if (only) {
        out[0] = only;
        return QV_OK;
    }
    for (uint32_t i = 0; i < n; i++, c = qv__json_next(c)) {
        struct qv__str s = {"", 0};
        (void)qv__json_str(qv__json_get(c, "name"), &s);
        out[i] = qv__arena_strndup(&in->arena, s.n ? s.p : "", s.n);
        if (!out[i]) {
            return qv__fail(err, QV_ENOMEM, "no memory for the answer");
        }
    }
    return QV_OK;
}

static qv_status gather(struct info *in, const char *only, struct qv_err *err)
{
    const char **names = NULL;
    QV_TRY(list(in, only, &names, err));
    QV_TRY(fetch_metrics(in, err));
    qv__jw_init(&in->w, &in->out);
    if (in->json) {
        json_head(in);
    } else {
        show_head(in);
    }
    for (uint32_t i = 0; i < QV_MAX(in->n_collections, 1u) && names[i]; i++) {
        struct figures f;
        qv_status st = fetch(in, names[i], &f, err);
        if (st == QV_ENOTFOUND && !only) {
            continue; /* dropped meanwhile */
        }
        QV_TRY(st);
        if (in->json) {
            show_json(in, &f);
        } else {
            show_text(in, &f);
        }
        if (only) {
            break;
        }
    }
    if (in->json) {
        qv__jw_arr_end(&in->w);
        qv__jw_obj_end(&in->w);
        qv__buf_putc(&in->out, '\n');
    }
    return QV_OK;
}

static int run(struct qv__cli *cli, const struct qv__command *self, int argc, char **argv)
{
    struct args a = {.json = false};
    struct info in = {.cli = cli};
    struct qv_err err = {.code = QV_OK};
    int rc = qv__options_parse(cli, self, argc, argv, &a, NULL, 0, 0, NULL);
    if (rc != QV__OPTIONS_RUN) {
        return rc;
    }
    in.json = a.json;
    qv__arena_init(&in.arena, cli->mem);
    qv__buf_init(&in.out, cli->mem);
    rc = qv__target_open(&in.target, cli, &a.target, &(struct qv__target_needs){.write = false});
    if (rc == QV__EXIT_OK) {
        rc = gather(&in, a.collection, &err) == QV_OK
                 ? qv__cli_print(cli, &in.out)
                 : qv__cli_fail(cli, &err, qv__target_hint(&in.target, &err));
    }
    if (qv__target_close(&in.target, &err) != QV_OK && rc == QV__EXIT_OK) {
        rc = qv__cli_fail(cli, &err, qv__cli_hint(&err));
    }
    qv__buf_free(&in.out);
    qv__arena_free(&in.arena);
    return rc;
}

const struct qv__command qv__command_info = {
    .name = "info",
    .operands = "",
    .summary = "Show collections, segments, memory, disk and log.",
    .about = NULL,
    .examples = "  quiver info\n  quiver info --url http://127.0.0.1:6333 --json\n",
    .options = options,
    .n_options = QV_ARRAY_LEN(options),
    .run = run,
};
