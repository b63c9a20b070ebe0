/* cmd_bench_ann.c: `quiver bench ann`: recall against speed of the index, through the engine.
 *
 * The base vectors are loaded into a collection of a data directory, sealed and indexed as one
 * segment, and searched; row numbers are the ids. One line of JSON for the build and one per beam
 * width, so that figures of peers can be set beside them. */
#include "cli/bench_ann.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/temp_dir.h"
#include "cli/vector_file.h"
#include "quiver/version.h"

#define COLLECTION  "bench"
#define NO_METRIC   99u
#define BATCH_ROWS  1000u
#define EF_MAX      64u
#define QUERIES_MAX 10000000u
#define SEAL_MAX    (1u << 22)

struct args {
    const char *base, *queries, *truth, *data, *ef;
    unsigned metric, datatype, codes, placement, packing;
    uint64_t k, m, ef_construct, threads, build_threads, seconds, seed, oversampling;
    bool packed_bits, reuse, json;
};

static const struct qv__option options[] = {
    {"base", "FILE", QV__OPT_TEXT, offsetof(struct args, base), 0, 0,
     "vectors to index: .fvecs, .bvecs or .npy"},
    {"queries", "FILE", QV__OPT_TEXT, offsetof(struct args, queries), 0, 0,
     "vectors to search for"},
    {"truth", "FILE", QV__OPT_TEXT, offsetof(struct args, truth), 0, 0,
     "row numbers of the exact answers, nearest first: .ivecs, or .npy of int32 (default: "
     "computed)"},
    {"metric", "cosine|l2|ip|l1|hamming", QV__OPT_CHOICE, offsetof(struct args, metric), 0, 0,
     "distance (default: cosine; hamming for bits)"},
    {"datatype", "float32|float16|uint8|int8|bit", QV__OPT_CHOICE, offsetof(struct args, datatype),
     0, 0, "what is stored of an element (default: float32)"},
    {"packed-bits", NULL, QV__OPT_FLAG, offsetof(struct args, packed_bits), 0, 0,
     "each byte of --base and --queries is eight bits, as of numpy.packbits"},
    {"codes", "auto|none|int8|1-bit|2-bit|4-bit", QV__OPT_CHOICE, offsetof(struct args, codes), 0,
     0, "what walks of the graph compare in place of vectors (default: auto)"},
    {"placement", "memory|mapped|disk", QV__OPT_CHOICE, offsetof(struct args, placement), 0, 0,
     "links and codes in memory, or read in the mapped file, or so and vectors without reading "
     "ahead (default: memory)"},
    {"packing", "compact|fused", QV__OPT_CHOICE, offsetof(struct args, packing), 0, 0,
     "fused: several times the memory for faster searches (default: compact)"},
    {"oversampling", "N", QV__OPT_U64, offsetof(struct args, oversampling), 1, 1000,
     "so many times k of what a walk over codes found are measured (default: by the codes)"},
    {"k", "N", QV__OPT_U64, offsetof(struct args, k), 1, 10000,
     "hits per search, of which recall is counted (default: 10)"},
    {"ef", "LIST", QV__OPT_TEXT, offsetof(struct args, ef), 0, 0,
     "beam widths to measure (default: 16,32,64,128,256)"},
    {"m", "N", QV__OPT_U64, offsetof(struct args, m), 2, 512,
     "links per node of the graph (default: 16)"},
    {"ef-construct", "N", QV__OPT_U64, offsetof(struct args, ef_construct), 4, 65536,
     "beam width while building (default: 200)"},
    {"threads", "N", QV__OPT_U64, offsetof(struct args, threads), 1, 1024,
     "searching threads (default: 1)"},
    {"build-threads", "N", QV__OPT_U64, offsetof(struct args, build_threads), 1, 1024,
     "threads that build the index (default: one per CPU)"},
    {"seconds", "N", QV__OPT_U64, offsetof(struct args, seconds), 1, 3600,
     "least time of each measurement (default: 1)"},
    {"seed", "N", QV__OPT_U64, offsetof(struct args, seed), 1, UINT64_MAX,
     "seed of whatever is random (default: 1)"},
    {"data", "DIR", QV__OPT_TEXT, offsetof(struct args, data), 0, 0,
     "build in this directory and keep it (default: a temporary one)"},
    {"reuse", NULL, QV__OPT_FLAG, offsetof(struct args, reuse), 0, 0,
     "search what an earlier run left in --data instead of building"},
    {"json", NULL, QV__OPT_FLAG, offsetof(struct args, json), 0, 0,
     "print one line of JSON for the build and one per beam width"},
};

/* In the order of enum qv__index_packing, and of enum qv__index_codes. */
static const char *const packing_names[] = {"compact", "fused"};
static const char *const engine_names[] = {"quiver", "quiver-fused"}; /* for tables */
_Static_assert(QV_ARRAY_LEN(packing_names) == QV__INDEX_PACKINGS, "one name each");
_Static_assert(QV_ARRAY_LEN(engine_names) == QV__INDEX_PACKINGS, "one name each");
static const char *const codes_names[] = {"auto", "none", "int8", "1-bit", "2-bit", "4-bit"};
_Static_assert(QV_ARRAY_LEN(codes_names) == QV__INDEX_CODES_KINDS, "one name each");

enum placement { IN_MEMORY, MAPPED, ON_DISK };
static const char *const placement_names[] = {"memory", "mapped", "disk"};

struct bench {
    struct qv__cli *cli;
    struct args args;
    uint32_t ef[EF_MAX];
    size_t n_ef;
    struct qv__vector_file base, queries, truth;
    struct qv__temp_dir temp;
    struct qv__interrupt interrupt;
    struct qv__logger logger;
    struct qv__db *db;
    struct qv__collection *collection;
    float *query_vectors;
    uint32_t *truth_rows;
    uint32_t n_queries;
    double load_s, index_s;
    struct qv__buf out;
};

/* --- input
 * ----------------------------------------------------------------------------------------- */

static qv_status open_inputs(struct bench *b, struct qv_err *err)
{
    struct qv__mem *mem = b->cli->mem;
    QV_TRY(qv__vector_file_open(&b->base, mem, b->args.base, err));
    QV_TRY(qv__vector_file_open(&b->queries, mem, b->args.queries, err));
    if (b->args.truth) {
        QV_TRY(qv__vector_file_open(&b->truth, mem, b->args.truth, err));
    }
    if (b->base.rows == 0 || b->base.rows >= UINT32_MAX) {
        return qv__fail(err, QV_EINVAL, "%s: %" PRIu64 " rows; from 1 to %u can be measured",
                        b->args.base, b->base.rows, UINT32_MAX - 1);
    }
    if (b->queries.rows == 0 || b->queries.rows > QUERIES_MAX) {
        return qv__fail(err, QV_EINVAL, "%s: %" PRIu64 " rows; from 1 to %u can be measured",
                        b->args.queries, b->queries.rows, QUERIES_MAX);
    }
    if (b->args.packed_bits) {
        QV_TRY(qv__vector_file_unpack(&b->base, err));
        QV_TRY(qv__vector_file_unpack(&b->queries, err));
    }
    if (b->queries.dim != b->base.dim) {
        return qv__fail(err, QV_EINVAL, "%s has %u elements a row, %s has %u", b->args.queries,
                        b->queries.dim, b->args.base, b->base.dim);
    }
    if (b->args.k > b->base.rows) {
        return qv__fail(err, QV_EINVAL, "--k: %" PRIu64 " is more than the %" PRIu64 " rows of %s",
                        b->args.k, b->base.rows, b->args.base);
    }
    if (b->args.truth && (b->truth.rows != b->queries.rows || b->truth.dim < b->args.k)) {
        return qv__fail(err, QV_EINVAL,
                        "%s: %" PRIu64 " rows of %u; --queries has %" PRIu64
                        " rows and --k is %" PRIu64,
                        b->args.truth, b->truth.rows, b->truth.dim, b->queries.rows, b->args.k);
    }
    return QV_OK;
}

static qv_status read_truth(struct bench *b, struct qv_err *err)
{
    uint32_t k = (uint32_t)b->args.k;
    uint32_t *row = qv__calloc(b->cli->mem, b->truth.dim, sizeof *row);
    qv_status st = row ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory for the truth");
    for (uint32_t i = 0; i < b->n_queries && st == QV_OK; i++) {
        st = qv__vector_file_numbers(&b->truth, i, row, err);
        for (uint32_t j = 0; j < k && st == QV_OK; j++) {
            b->truth_rows[(size_t)i * k + j] = row[j];
            if (row[j] >= b->base.rows) {
                st = qv__fail(err, QV_EINVAL, "%s row %u: there is no row %u in %s", b->args.truth,
                              i, row[j], b->args.base);
            }
        }
    }
    qv__free(row);
    return st;
}

static qv_status read_queries(struct bench *b, struct qv_err *err)
{
    b->n_queries = (uint32_t)b->queries.rows;
    size_t n = 0;
    if (!qv__mul_ok(b->n_queries, b->queries.dim, &n)) {
        return qv__fail(err, QV_ETOOBIG, "%s: too large", b->args.queries);
    }
    b->query_vectors = qv__calloc(b->cli->mem, n, sizeof *b->query_vectors);
    b->truth_rows =
        qv__calloc(b->cli->mem, (size_t)b->n_queries * b->args.k, sizeof *b->truth_rows);
    if (!b->query_vectors || !b->truth_rows) {
        return qv__fail(err, QV_ENOMEM, "no memory for the queries");
    }
    for (uint32_t i = 0; i < b->n_queries; i++) {
        QV_TRY(qv__vector_file_row(&b->queries, i, b->query_vectors + (size_t)i * b->queries.dim,
                                   err));
    }
    return b->args.truth ? read_truth(b, err) : QV_OK;
}

/* --- build
 * ------------------------------------------------------------------------------------------ */

static qv_status create(struct bench *b, struct qv_err *err)
{
    static const uint8_t metrics[] = {QV__COSINE, QV__L2, QV__DOT, QV__L1, QV__HAMMING};
    struct qv__vector_def vector = {.name = QV__STR(""),
                                    .kind = QV__VEC_DENSE,
                                    .datatype = (uint8_t)b->args.datatype,
                                    .metric = metrics[b->args.metric],
                                    .dim = b->base.dim,
                                    .on_disk = b->args.placement == ON_DISK,
                                    .index = {.kind = QV__INDEX_GRAPH,
                                              .m = (uint32_t)b->args.m,
                                              .ef_construct = (uint32_t)b->args.ef_construct,
                                              .codes = b->args.codes,
                                              .on_disk = b->args.placement != IN_MEMORY,
                                              .packing = b->args.packing,
                                              .seed = b->args.seed}};
    /* One segment holds everything if it can, and nothing is indexed before it is complete. */
    uint64_t seal = QV_MIN(QV_MAX(b->base.rows + 1, (uint64_t)1024), (uint64_t)SEAL_MAX);
    struct qv__schema schema;
    memset(&schema, 0, sizeof schema);
    schema.vectors = &vector;
    schema.n_vectors = 1;
    schema.shard_number = 1;
    schema.policy = (struct qv__segment_policy){.seal_rows = (uint32_t)seal,
                                                .seal_bytes = UINT64_C(1) << 40,
                                                .build_threads = (uint32_t)b->args.build_threads,
                                                .index_at_seal_only = true};
    qv_status st = qv__db_create_collection(b->db, QV__STR(COLLECTION), &schema, err);
    if (st == QV_EEXISTS) {
        return qv__fail(err, st,
                        "%s holds the collection `%s` already; search it with --reuse, or choose "
                        "another --data",
                        b->args.data, COLLECTION);
    }
    return st;
}

static qv_status load(struct bench *b, struct qv__progress *progress, struct qv_err *err)
{
    uint32_t dim = b->base.dim;
    struct qv__point *points = qv__calloc(b->cli->mem, BATCH_ROWS, sizeof *points);
    struct qv__named_vector *vectors = qv__calloc(b->cli->mem, BATCH_ROWS, sizeof *vectors);
    float *values = qv__calloc(b->cli->mem, (size_t)BATCH_ROWS * dim, sizeof *values);
    qv_status st = QV_OK;
    if (!points || !vectors || !values) {
        st = qv__fail(err, QV_ENOMEM, "no memory for a batch");
    }
    for (uint64_t row = 0; row < b->base.rows && st == QV_OK;) {
        uint32_t n = (uint32_t)QV_MIN((uint64_t)BATCH_ROWS, b->base.rows - row);
        for (uint32_t i = 0; i < n && st == QV_OK; i++) {
            float *v = values + (size_t)i * dim;
            st = qv__vector_file_row(&b->base, row + i, v, err);
            vectors[i] = (struct qv__named_vector){.values = v, .dim = dim};
            points[i] = (struct qv__point){
                .id = qv__id_u64(row + i), .vectors = &vectors[i], .n_vectors = 1};
        }
        struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = points, .n_points = n};
        struct qv__write_result result;
        if (st == QV_OK) {
            st = qv__collection_write_sync(b->collection, &m, 1, &result, err);
        }
        row += n;
        qv__progress_at(progress, row, (double)row / (double)b->base.rows);
    }
    qv__free(points);
    qv__free(vectors);
    qv__free(values);
    return st;
}

static qv_status build(struct bench *b, struct qv_err *err)
{
    struct qv__progress progress;
    QV_TRY(create(b, err));
    QV_TRY(qv__db_collection(b->db, QV__STR(COLLECTION), &b->collection, err));
    qv__progress_start(&progress, b->cli, "loading", "points", false);
    qv_status st = load(b, &progress, err);
    qv__progress_clear(&progress);
    b->load_s = qv__progress_seconds(&progress);
    QV_TRY(st);
    qv__progress_start(&progress, b->cli, "indexing", "points", false);
    if (b->cli->err.color) {
        fprintf(b->cli->err.f, "indexing …");
        progress.drawn = true;
    }
    st = qv__collection_optimize(b->collection, 1, err);
    qv__progress_clear(&progress);
    b->index_s = qv__progress_seconds(&progress);
    return st;
}

/* What an earlier run left must be what this one would have built from. */
static qv_status reuse(struct bench *b, struct qv_err *err)
{
    struct qv__collection_info info;
    qv_status st = qv__db_collection(b->db, QV__STR(COLLECTION), &b->collection, err);
    if (st == QV_ENOTFOUND) {
        return qv__fail(err, st, "--reuse: %s holds no collection `%s`; leave --reuse out first",
                        b->args.data, COLLECTION);
    }
    QV_TRY(st);
    QV_TRY(qv__collection_info(b->collection, &info, err));
    struct qv__schema *s = qv__collection_schema(b->collection);
    uint32_t dim = s->n_vectors == 1 ? s->vectors[0].dim : 0;
    if (s->n_vectors) { /* what is told of the build is what it was */
        b->args.datatype = s->vectors[0].datatype;
        b->args.codes = s->vectors[0].index.codes;
        b->args.placement = s->vectors[0].on_disk         ? ON_DISK
                            : s->vectors[0].index.on_disk ? MAPPED
                                                          : IN_MEMORY;
        b->args.packing = s->vectors[0].index.packing;
    }
    b->args.m = s->n_vectors ? s->vectors[0].index.m : 0;
    b->args.ef_construct = s->n_vectors ? s->vectors[0].index.ef_construct : 0;
    qv__schema_release(s);
    if (dim != b->base.dim || info.n_points != b->base.rows) {
        return qv__fail(err, QV_EINVAL,
                        "--reuse: %s holds %" PRIu64 " points of %u elements, %s has %" PRIu64
                        " of %u",
                        b->args.data, info.n_points, dim, b->args.base, b->base.rows, b->base.dim);
    }
    return QV_OK;
}

/* --- output
 * ------------------------------------------------------------------------------------------ */

static int emit(struct bench *b)
{
    int rc = qv__cli_print(b->cli, &b->out);
    qv__buf_reset(&b->out);
    return rc;
}

static void add_file_bytes(void *arg, const struct qv__segment_info *s)
{
    *(uint64_t *)arg += s->sealed ? s->file_bytes : s->memory_bytes;
}

static int print_build(struct bench *b, struct qv_err *err)
{
    static const char *const metrics[] = {"cosine", "l2", "ip", "l1", "hamming"};
    const char *datatype = qv__datatype_name((uint8_t)b->args.datatype);
    uint64_t bytes = 0;
    struct qv__collection_info info;
    struct qv__process_memory memory;
    char a[32], c[32], d[32], e[32], f[32];
    qv__process_memory(b->cli->mem, &memory);
    if (qv__collection_segments(b->collection, add_file_bytes, &bytes, err) != QV_OK ||
        qv__collection_info(b->collection, &info, err) != QV_OK) {
        return qv__cli_fail(b->cli, err, qv__cli_hint(err));
    }
    unsigned threads = (unsigned)b->args.build_threads;
    threads = threads ? threads : qv__pool_threads(qv__db_pool(b->db));
    if (!b->args.json) {
        qv__buf_printf(&b->out, "%s x %u %s, %s, m %" PRIu64 ", ef_construct %" PRIu64 "\n",
                       qv__human_count(b->base.rows, a), b->base.dim, datatype,
                       metrics[b->args.metric], b->args.m, b->args.ef_construct);
        qv__buf_printf(
            &b->out, "loaded in %s, indexed in %s on %u threads; index %s on disk, process %s\n\n",
            qv__human_seconds(b->load_s, c), qv__human_seconds(b->index_s, d), threads,
            qv__human_bytes(bytes, e), qv__human_bytes(memory.rss_bytes, f));
        qv__buf_printf(&b->out, "%8s %10s %12s %10s %10s %10s\n", "ef", "recall", "searches/s",
                       "p50 us", "p95 us", "p99 us");
        return emit(b);
    }
    struct qv__jw w;
    qv__jw_init(&w, &b->out);
    qv__jw_obj(&w);
    qv__jw_key(&w, "engine");
    qv__jw_str(&w, engine_names[b->args.packing]);
    qv__jw_key(&w, "version");
    qv__jw_str(&w, QV_VERSION);
    qv__bench_u64(&w, "points", b->base.rows);
    qv__bench_u64(&w, "dim", b->base.dim);
    qv__jw_key(&w, "metric");
    qv__jw_str(&w, metrics[b->args.metric]);
    qv__jw_key(&w, "datatype");
    qv__jw_str(&w, datatype);
    qv__jw_key(&w, "codes");
    qv__jw_str(&w, codes_names[b->args.codes]);
    qv__jw_key(&w, "placement");
    qv__jw_str(&w, placement_names[b->args.placement]);
    qv__jw_key(&w, "packing");
    qv__jw_str(&w, packing_names[b->args.packing]);
    qv__bench_u64(&w, "m", b->args.m);
    qv__bench_u64(&w, "ef_construct", b->args.ef_construct);
    qv__jw_key(&w, "kernels");
    qv__jw_str(&w, qv__simd_best(NULL)->name);
    qv__jw_key(&w, "reused");
    qv__jw_bool(&w, b->args.reuse);
    qv__bench_f64(&w, "build_s", b->load_s + b->index_s, 3);
    qv__bench_f64(&w, "load_s", b->load_s, 3);
    qv__bench_f64(&w, "index_s", b->index_s, 3);
    qv__bench_u64(&w, "build_threads", threads);
    qv__bench_u64(&w, "segments", info.n_segments);
    qv__bench_u64(&w, "indexed", info.n_indexed);
    qv__bench_u64(&w, "index_bytes", bytes);
    qv__bench_u64(&w, "memory_bytes", info.memory_bytes);
    qv__bench_u64(&w, "rss_bytes", memory.rss_bytes);
    qv__bench_u64(&w, "rss_file_bytes", memory.rss_file_bytes);
    qv__bench_u64(&w, "rss_peak_bytes", memory.peak_bytes);
    qv__jw_obj_end(&w);
    qv__buf_putc(&b->out, '\n');
    return emit(b);
}

static int print_search(struct bench *b, uint32_t ef, const struct qv__ann_figures *f)
{
    char qps[32];
    if (!b->args.json) {
        qv__buf_printf(&b->out, "%8u %10.4f %12s %10.1f %10.1f %10.1f\n", ef, f->recall,
                       qv__human_count((uint64_t)f->qps, qps), f->latency.p50_us, f->latency.p95_us,
                       f->latency.p99_us);
        return emit(b);
    }
    struct qv__jw w;
    struct qv__process_memory memory;
    qv__process_memory(b->cli->mem, &memory);
    qv__jw_init(&w, &b->out);
    qv__jw_obj(&w);
    qv__jw_key(&w, "engine");
    qv__jw_str(&w, engine_names[b->args.packing]);
    qv__bench_u64(&w, "ef", ef);
    qv__bench_u64(&w, "k", b->args.k);
    qv__bench_f64(&w, "recall", f->recall, 5);
    qv__bench_f64(&w, "qps", f->qps, 1);
    qv__percentiles_json(&w, &f->latency);
    qv__bench_f64(&w, "cpu_us", f->cpu_us, 2);
    qv__bench_f64(&w, "distances", f->distances, 1);
    qv__bench_f64(&w, "hops", f->hops, 1);
    qv__bench_f64(&w, "reranked", f->reranked, 1);
    qv__bench_u64(&w, "threads", b->args.threads);
    qv__bench_u64(&w, "queries", f->latency.n);
    qv__bench_u64(&w, "passes", f->passes);
    qv__bench_f64(&w, "seconds", f->seconds, 3);
    qv__bench_u64(&w, "rss_bytes", memory.rss_bytes);
    qv__jw_obj_end(&w);
    qv__buf_putc(&b->out, '\n');
    return emit(b);
}

/* --- the run
 * ------------------------------------------------------------------------------------------ */

static void log_sink(void *ctx, enum qv__level level, const char *component, const char *message)
{
    (void)level;
    qv__cli_warn(ctx, "%s: %s", component, message);
}

static void cleanup(void *arg)
{
    qv__temp_dir_remove(arg);
}

static qv_status open_database(struct bench *b, struct qv_err *err)
{
    const char *path = b->args.data;
    if (!path) {
        QV_TRY(qv__temp_dir_make(&b->temp, b->cli->mem, "quiver", err));
        path = b->temp.path;
        b->interrupt.cleanup = cleanup;
        b->interrupt.arg = &b->temp;
    }
    b->interrupt.at_once = true;
    struct qv_err ignored;
    (void)!qv__interrupt_start(&b->interrupt, &ignored);
    b->logger = (struct qv__logger){.sink = log_sink, .ctx = b->cli, .min_level = QV__LEVEL_WARN};
    struct qv__db_options o = {.path = path,
                               .logger = &b->logger,
                               .threads = (int)b->args.build_threads,
                               .seed = b->args.seed};
    QV_TRY(qv__db_open(&o, &b->db, err));
    return b->args.reuse ? reuse(b, err) : build(b, err);
}

static int search(struct bench *b, struct qv_err *err)
{
    struct qv__ann_queries q = {.vectors = b->query_vectors,
                                .truth = b->truth_rows,
                                .n = b->n_queries,
                                .dim = b->queries.dim,
                                .k = (uint32_t)b->args.k,
                                .threads = (uint32_t)b->args.threads,
                                .seconds = (double)b->args.seconds,
                                .oversample = (float)b->args.oversampling};
    if (!b->args.truth &&
        qv__ann_exact(b->collection, b->cli->mem, &q, b->truth_rows, err) != QV_OK) {
        return qv__cli_fail(b->cli, err, qv__cli_hint(err));
    }
    for (size_t i = 0; i < b->n_ef; i++) {
        struct qv__ann_figures f;
        if (qv__ann_measure(b->collection, b->cli->mem, &q, b->ef[i], &f, err) != QV_OK) {
            return qv__cli_fail(b->cli, err, qv__cli_hint(err));
        }
        int rc = print_search(b, b->ef[i], &f);
        if (rc != QV__EXIT_OK) {
            return rc;
        }
    }
    return QV__EXIT_OK;
}

static int bench(struct bench *b)
{
    struct qv_err err = {.code = QV_OK};
    if (open_inputs(b, &err) != QV_OK || read_queries(b, &err) != QV_OK) {
        return qv__cli_fail(b->cli, &err, NULL);
    }
    if (open_database(b, &err) != QV_OK) {
        return qv__cli_fail(b->cli, &err, qv__cli_hint(&err));
    }
    int rc = print_build(b, &err);
    return rc == QV__EXIT_OK ? search(b, &err) : rc;
}

static int close_bench(struct bench *b, int rc)
{
    struct qv_err err = {.code = QV_OK};
    qv__collection_release(b->collection);
    if (qv__db_close(b->db, &err) != QV_OK && rc == QV__EXIT_OK) {
        rc = qv__cli_fail(b->cli, &err, qv__cli_hint(&err));
    }
    qv__interrupt_stop(&b->interrupt);
    qv__temp_dir_remove(&b->temp);
    qv__free(b->query_vectors);
    qv__free(b->truth_rows);
    qv__vector_file_close(&b->base);
    qv__vector_file_close(&b->queries);
    qv__vector_file_close(&b->truth);
    qv__buf_free(&b->out);
    return rc;
}

static int run(struct qv__cli *cli, const struct qv__command *self, int argc, char **argv)
{
    struct bench b = {.cli = cli,
                      .args = {.ef = "16,32,64,128,256",
                               .metric = NO_METRIC,
                               .k = 10,
                               .m = 16,
                               .ef_construct = 200,
                               .threads = 1,
                               .seconds = 1,
                               .seed = 1}};
    struct qv_err err = {.code = QV_OK};
    int rc = qv__options_parse(cli, self, argc, argv, &b.args, NULL, 0, 0, NULL);
    if (rc != QV__OPTIONS_RUN) {
        return rc;
    }
    if (!b.args.base || !b.args.queries) {
        return qv__cli_usage(cli, "--base FILE and --queries FILE are needed");
    }
    if (b.args.metric == NO_METRIC) {
        b.args.metric = b.args.datatype == QV__BIT ? 4 : 0;
    }
    if (b.args.reuse && !b.args.data) {
        return qv__cli_usage(cli, "--reuse is of use with --data only");
    }
    if (qv__options_u32_list(b.args.ef, 1, 65536, b.ef, EF_MAX, &b.n_ef, &err) != QV_OK) {
        return qv__cli_usage(cli, "--ef: %s", err.message);
    }
    qv__buf_init(&b.out, cli->mem);
    return close_bench(&b, bench(&b));
}

const struct qv__command qv__command_bench_ann = {
    .name = "bench ann",
    .operands = "",
    .summary = "Measure recall and speed of the vector index.",
    .about =
        "Builds an index of --base, searches it for --queries with each beam width, and prints "
        "recall, searches per second and latencies. A warm-up pass comes first.",
    .examples = "  quiver bench ann --base base.fvecs --queries queries.fvecs --truth truth.ivecs "
                "--metric l2 --json\n",
    .options = options,
    .n_options = QV_ARRAY_LEN(options),
    .run = run,
};
