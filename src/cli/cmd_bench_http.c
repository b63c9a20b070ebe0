/* cmd_bench_http.c: `quiver bench http`: what a running server does under load.
 *
 * upsert: durable writes; search: queries; mixed: writes at a fixed rate or as fast as they are
 * acknowledged, and beside them searches at a fixed rate, whose tail tells whether writing disturbs
 * reading. */
#include "cli/bench_http.h"
#include "cli/interrupt.h"
#include "cli/target.h"

#define CONNECTIONS_MAX 1024u

enum mode { MODE_UPSERT = 0, MODE_SEARCH, MODE_MIXED };

struct args {
    struct qv__target_args target;
    const char *collection, *vectors, *queries, *requests;
    unsigned mode, metric;
    uint64_t connections, search_connections, seconds, warmup, rate, write_rate, batch, dim, limit,
        ef, seed;
    bool keep, json;
};

static const struct qv__option options[] = {
    {"url", "URL", QV__OPT_TEXT, offsetof(struct args, target.url), 0, 0,
     "the server, such as http://127.0.0.1:6333"},
    {"api-key-file", "FILE", QV__OPT_TEXT, offsetof(struct args, target.api_key_file), 0, 0,
     "file with the server's API key (default: $QUIVER_API_KEY)"},
    {"mode", "upsert|search|mixed", QV__OPT_CHOICE, offsetof(struct args, mode), 0, 0,
     "what to send (default: upsert)"},
    {"collection", "NAME", QV__OPT_TEXT, offsetof(struct args, collection), 0, 0,
     "collection to use; for upserts it is made when there is none (default: bench)"},
    {"connections", "N", QV__OPT_U64, offsetof(struct args, connections), 1, CONNECTIONS_MAX,
     "connections that send requests (default: 16)"},
    {"seconds", "N", QV__OPT_U64, offsetof(struct args, seconds), 1, 86400,
     "how long to measure (default: 10)"},
    {"warmup", "N", QV__OPT_U64, offsetof(struct args, warmup), 0, 3600,
     "seconds before measuring begins (default: 1)"},
    {"rate", "N", QV__OPT_U64, offsetof(struct args, rate), 1, 10000000,
     "requests a second; in mode mixed, searches (default: as fast as answers come; mixed: 100)"},
    {"write-rate", "N", QV__OPT_U64, offsetof(struct args, write_rate), 1, 10000000,
     "upserts a second in mode mixed (default: as fast as answers come)"},
    {"search-connections", "N", QV__OPT_U64, offsetof(struct args, search_connections), 1,
     CONNECTIONS_MAX, "connections that search in mode mixed (default: 4)"},
    {"batch", "N", QV__OPT_U64, offsetof(struct args, batch), 1, 10000,
     "points in one upsert (default: 1)"},
    {"dim", "N", QV__OPT_U64, offsetof(struct args, dim), 1, 65536,
     "elements of a vector of a new collection (default: 128)"},
    {"metric", "cosine|l2|ip|l1", QV__OPT_CHOICE, offsetof(struct args, metric), 0, 0,
     "distance of a new collection (default: cosine)"},
    {"vectors", "FILE", QV__OPT_TEXT, offsetof(struct args, vectors), 0, 0,
     "upsert the rows of this file (default: random vectors)"},
    {"queries", "FILE", QV__OPT_TEXT, offsetof(struct args, queries), 0, 0,
     "search for rows of this file (default: random vectors)"},
    {"limit", "N", QV__OPT_U64, offsetof(struct args, limit), 1, 10000,
     "hits of a search (default: 10)"},
    {"ef", "N", QV__OPT_U64, offsetof(struct args, ef), 1, 65536,
     "beam width of a search (default: the server's)"},
    {"seed", "N", QV__OPT_U64, offsetof(struct args, seed), 1, UINT64_C(1) << 40,
     "seed of random vectors (default: 1)"},
    {"requests", "FILE", QV__OPT_TEXT, offsetof(struct args, requests), 0, 0,
     "write a line per request to this file: its kind, when it was due, its latency "
     "(microseconds)"},
    {"keep", NULL, QV__OPT_FLAG, offsetof(struct args, keep), 0, 0,
     "keep a collection that was made for the run"},
    {"json", NULL, QV__OPT_FLAG, offsetof(struct args, json), 0, 0,
     "print one line of JSON per kind of request"},
};

struct bench {
    struct qv__cli *cli;
    struct args args;
    struct qv__target target;
    struct qv__arena arena;
    struct qv__interrupt interrupt;
    char api_key[256];
    uint32_t dim;
    bool made; /* the collection is ours */
    _Atomic uint64_t next_id;
    struct qv__load loads[2];
    uint32_t n_loads;
    struct qv__load_worker *workers;
    uint32_t n_workers;
};

/* --- the collection
 * ------------------------------------------------------------------------------------ */

static qv_status create(struct bench *b, struct qv_err *err)
{
    static const char *const metrics[] = {"Cosine", "Euclid", "Dot", "Manhattan"};
    struct qv__buf body;
    uint64_t dim = b->args.dim;
    if (b->args.vectors && dim == 0) {
        struct qv__vector_file f = {.path = NULL};
        qv_status opened = qv__vector_file_open(&f, b->cli->mem, b->args.vectors, err);
        dim = f.dim;
        qv__vector_file_close(&f);
        QV_TRY(opened);
    }
    b->dim = dim ? (uint32_t)dim : 128;
    qv__buf_init(&body, b->cli->mem);
    qv__buf_printf(&body, "{\"vectors\":{\"size\":%u,\"distance\":\"%s\"}}", b->dim,
                   metrics[b->args.metric]);
    qv_status st =
        qv__target_call(&b->target, QV__PUT, qv__target_path(&b->arena, b->args.collection, ""),
                        &body, &b->arena, NULL, err);
    qv__buf_free(&body);
    b->made = st == QV_OK;
    return st;
}

static qv_status find_collection(struct bench *b, struct qv_err *err)
{
    qv__json info = NULL;
    uint64_t dim = 0, points = 0;
    qv_status st =
        qv__target_call(&b->target, QV__GET, qv__target_path(&b->arena, b->args.collection, ""),
                        NULL, &b->arena, &info, err);
    if (st == QV_ENOTFOUND && b->args.mode != MODE_SEARCH) {
        return create(b, err);
    }
    QV_TRY(st);
    qv__json params = qv__json_get(qv__json_get(info, "config"), "params");
    if (!qv__json_u64(qv__json_get(qv__json_get(params, "vectors"), "size"), &dim) || dim == 0 ||
        dim > QV__DIM_MAX) {
        return qv__fail(err, QV_EINVAL, "collection `%s` has no vector without a name",
                        b->args.collection);
    }
    (void)qv__json_u64(qv__json_get(info, "points_count"), &points);
    atomic_store(&b->next_id, points);
    b->dim = (uint32_t)dim;
    return QV_OK;
}

/* --- running
 * ------------------------------------------------------------------------------------------- */

static void plan(struct bench *b)
{
    const struct args *a = &b->args;
    struct qv__load common = {.url = a->target.url,
                              .api_key = b->api_key,
                              .dim = b->dim,
                              .batch = (uint32_t)a->batch,
                              .limit = a->limit,
                              .ef = a->ef,
                              .seed = a->seed,
                              .keeps_due = a->requests != NULL,
                              .next_id = &b->next_id,
                              .stop = &b->interrupt.stop};
    if (a->mode != MODE_SEARCH) {
        struct qv__load *l = &b->loads[b->n_loads++];
        *l = common;
        l->role = QV__LOAD_UPSERT;
        l->vectors = a->vectors;
        l->path = qv__target_path(&b->arena, a->collection, "/points?wait=true");
        l->connections = (uint32_t)a->connections;
        l->rate = (double)(a->mode == MODE_MIXED ? a->write_rate : a->rate);
    }
    if (a->mode != MODE_UPSERT) {
        struct qv__load *l = &b->loads[b->n_loads++];
        *l = common;
        l->role = QV__LOAD_SEARCH;
        l->vectors = a->queries;
        l->path = qv__target_path(&b->arena, a->collection, "/points/query");
        l->connections = (uint32_t)(a->mode == MODE_MIXED ? a->search_connections : a->connections);
        l->rate = a->mode == MODE_MIXED && a->rate == 0 ? 100 : (double)a->rate;
        l->seed += 7919;
    }
}

static qv_status make_workers(struct bench *b, struct qv_err *err)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n_loads; i++) {
        n += b->loads[i].connections;
        if (!b->loads[i].path) {
            return qv__fail(err, QV_ENOMEM, "no memory for a request");
        }
    }
    b->workers = qv__calloc(b->cli->mem, n, sizeof *b->workers);
    if (!b->workers) {
        return qv__fail(err, QV_ENOMEM, "no memory for %u connections", n);
    }
    b->n_workers = n;
    for (uint32_t i = 0, k = 0; i < b->n_loads; i++) {
        for (uint32_t j = 0; j < b->loads[i].connections; j++) {
            QV_TRY(qv__load_worker_init(&b->workers[k++], &b->loads[i], j, b->cli->mem, err));
        }
    }
    return QV_OK;
}

/* All threads from start to end; the first failure. */
static qv_status run_workers(struct bench *b, struct qv_err *err)
{
    const struct qv__clock *clock = qv__clock_system();
    uint64_t start = qv__mono_ns(clock) + b->args.warmup * 1000000000u;
    qv_status st = QV_OK;
    for (uint32_t i = 0; i < b->n_loads; i++) {
        b->loads[i].start_ns = start;
        b->loads[i].end_ns = start + b->args.seconds * 1000000000u;
    }
    for (uint32_t i = 0; i < b->n_workers && st == QV_OK; i++) {
        struct qv__load_worker *w = &b->workers[i];
        st = qv__thread_start(&w->thread, "qv-load", qv__load_worker_run, w, err);
        w->started = st == QV_OK;
    }
    if (st != QV_OK) {
        atomic_store(&b->interrupt.stop, true);
    }
    for (uint32_t i = 0; i < b->n_workers; i++) {
        struct qv__load_worker *w = &b->workers[i];
        if (w->started) {
            qv__thread_join(&w->thread);
        }
        if (st == QV_OK && w->st != QV_OK) {
            st = w->st;
            *err = w->err;
        }
    }
    return st;
}

/* --- figures
 * ------------------------------------------------------------------------------------------- */

static void put_json(struct bench *b, struct qv__buf *out, const struct qv__load *l,
                     const struct qv__percentiles *p, uint64_t refused, double seconds)
{
    static const char *const modes[] = {"upsert", "search", "mixed"};
    struct qv__jw w;
    qv__jw_init(&w, out);
    qv__jw_obj(&w);
    qv__jw_key(&w, "mode");
    qv__jw_str(&w, modes[b->args.mode]);
    qv__jw_key(&w, "request");
    qv__jw_str(&w, l->role == QV__LOAD_UPSERT ? "upsert" : "search");
    qv__bench_u64(&w, "connections", l->connections);
    qv__bench_u64(&w, "dim", l->dim);
    if (l->role == QV__LOAD_UPSERT) {
        qv__bench_u64(&w, "batch", l->batch);
    }
    qv__bench_f64(&w, "rate", l->rate, 1);
    qv__bench_f64(&w, "seconds", seconds, 3);
    qv__bench_u64(&w, "requests", p->n);
    double per_s = seconds > 0 ? (double)p->n / seconds : 0;
    qv__bench_f64(&w, "requests_per_s", per_s, 1);
    if (l->role == QV__LOAD_UPSERT) {
        qv__bench_f64(&w, "points_per_s", per_s * l->batch, 1);
    }
    qv__percentiles_json(&w, p);
    qv__bench_u64(&w, "refused", refused);
    qv__jw_obj_end(&w);
    qv__buf_putc(out, '\n');
}

static void put_text(struct qv__buf *out, const struct qv__load *l, const struct qv__percentiles *p,
                     uint64_t refused, double seconds)
{
    double per_s = seconds > 0 ? (double)p->n / seconds : 0;
    char a[32], c[32];
    qv__buf_printf(out, "%s on %u connection%s: %s requests, %s/s",
                   l->role == QV__LOAD_UPSERT ? "upsert" : "search", l->connections,
                   l->connections == 1 ? "" : "s", qv__human_count(p->n, a),
                   qv__human_count((uint64_t)per_s, c));
    if (l->role == QV__LOAD_UPSERT && l->batch > 1) {
        qv__buf_printf(out, " (%s points/s)", qv__human_count((uint64_t)(per_s * l->batch), a));
    }
    qv__buf_printf(out, "\n  p50 %.2f ms, p95 %.2f ms, p99 %.2f ms, max %.2f ms\n", p->p50_us / 1e3,
                   p->p95_us / 1e3, p->p99_us / 1e3, p->max_us / 1e3);
    if (refused) {
        qv__buf_printf(out, "  %s refused\n", qv__human_count(refused, a));
    }
}

static qv_status put_load(struct bench *b, struct qv__buf *out, const struct qv__load *l,
                          struct qv_err *err)
{
    struct qv__latencies **all = qv__calloc(b->cli->mem, l->connections, sizeof *all);
    struct qv__percentiles p;
    uint64_t refused = 0, until = l->start_ns;
    uint32_t n = 0;
    if (!all) {
        return qv__fail(err, QV_ENOMEM, "no memory for the latencies");
    }
    for (uint32_t i = 0; i < b->n_workers; i++) {
        if (b->workers[i].load == l) {
            all[n++] = &b->workers[i].latencies;
            refused += b->workers[i].refused;
            until = QV_MAX(until, b->workers[i].until_ns);
            if (b->workers[i].refused) {
                qv__cli_warn(b->cli, "the server answered with status %d",
                             b->workers[i].refused_status);
            }
        }
    }
    qv_status st = qv__latencies_sum(b->cli->mem, all, n, &p, err);
    qv__free(all);
    QV_TRY(st);
    /* Its own last answer: those of the other kind may take longer to come. */
    double seconds = (double)(until - l->start_ns) / 1e9;
    if (b->args.json) {
        put_json(b, out, l, &p, refused, seconds);
    } else {
        put_text(out, l, &p, refused, seconds);
    }
    return QV_OK;
}

static int print(struct bench *b)
{
    struct qv__buf out;
    struct qv_err err = {.code = QV_OK};
    qv_status st = QV_OK;
    qv__buf_init(&out, b->cli->mem);
    for (uint32_t i = 0; i < b->n_loads && st == QV_OK; i++) {
        st = put_load(b, &out, &b->loads[i], &err);
    }
    int rc =
        st == QV_OK ? qv__cli_print(b->cli, &out) : qv__cli_fail(b->cli, &err, qv__cli_hint(&err));
    qv__buf_free(&out);
    return rc;
}

/* --- the command
 * --------------------------------------------------------------------------------------- */

static int bench(struct bench *b)
{
    struct qv_err err = {.code = QV_OK}, ignored;
    int rc = qv__target_api_key(b->cli, b->args.target.api_key_file, b->api_key);
    if (rc != QV__EXIT_OK) {
        return rc;
    }
    rc = qv__target_open(&b->target, b->cli, &b->args.target,
                         &(struct qv__target_needs){.write = true});
    if (rc != QV__EXIT_OK) {
        return rc;
    }
    (void)!qv__interrupt_start(&b->interrupt, &ignored);
    qv_status st = find_collection(b, &err);
    if (st == QV_OK) {
        plan(b);
        st = make_workers(b, &err);
    }
    if (st == QV_OK) {
        st = run_workers(b, &err);
    }
    if (st == QV_OK && b->args.requests) {
        st = qv__load_requests_write(b->args.requests, b->workers, b->n_workers, b->cli->mem, &err);
    }
    return st == QV_OK ? print(b) : qv__cli_fail(b->cli, &err, qv__target_hint(&b->target, &err));
}

static int close_bench(struct bench *b, int rc)
{
    struct qv_err err = {.code = QV_OK};
    for (uint32_t i = 0; i < b->n_workers; i++) {
        qv__load_worker_free(&b->workers[i]);
    }
    qv__free(b->workers);
    if (b->made && !b->args.keep) {
        const char *path = qv__target_path(&b->arena, b->args.collection, "");
        if (qv__target_call(&b->target, QV__DELETE, path, NULL, &b->arena, NULL, &err) != QV_OK) {
            qv__cli_warn(b->cli, "the collection stays: %s", err.message);
        }
    }
    (void)!qv__target_close(&b->target, &err);
    qv__interrupt_stop(&b->interrupt);
    qv__arena_free(&b->arena);
    explicit_bzero(b->api_key, sizeof b->api_key);
    return rc;
}

static int run(struct qv__cli *cli, const struct qv__command *self, int argc, char **argv)
{
    struct bench b = {.cli = cli,
                      .args = {.collection = "bench",
                               .connections = 16,
                               .search_connections = 4,
                               .seconds = 10,
                               .warmup = 1,
                               .batch = 1,
                               .limit = 10,
                               .seed = 1}};
    int rc = qv__options_parse(cli, self, argc, argv, &b.args, NULL, 0, 0, NULL);
    if (rc != QV__OPTIONS_RUN) {
        return rc;
    }
    if (!b.args.target.url) {
        return qv__cli_usage(cli, "--url URL is missing");
    }
    atomic_init(&b.next_id, 0);
    atomic_init(&b.interrupt.stop, false);
    qv__arena_init(&b.arena, cli->mem);
    return close_bench(&b, bench(&b));
}

const struct qv__command qv__command_bench_http = {
    .name = "bench http",
    .operands = "",
    .summary = "Load a running server and measure its latencies.",
    .about = "Upserts wait until they are durable. With --rate, latency counts from the moment a "
             "request was due, so that a stall is charged to all that waited.",
    .examples = "  quiver bench http --url http://127.0.0.1:6333 --mode upsert --connections 16\n"
                "  quiver bench http --url http://127.0.0.1:6333 --mode mixed --rate 200 --json\n",
    .options = options,
    .n_options = QV_ARRAY_LEN(options),
    .run = run,
};
