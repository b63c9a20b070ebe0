/* cmd_import.c: `quiver import`: files into a collection.
 *
 * Points are upserted by id, so running the same command again is safe and goes on where it was
 * stopped. When a line is bad, everything before it is stored and the message says how much. */
#include "cli/import.h"
#include "cli/interrupt.h"
#include "cli/progress.h"

#define NO_METRIC    99u
#define NO_DATATYPE  99u
#define NO_FIRST_ID  UINT64_MAX
#define WRITE_MS     (UINT64_C(300) * 1000)
#define OPTIMIZE_MS  (UINT64_C(24) * 3600 * 1000)
#define SEGMENTS_ANY 100000u /* index each, merge none */

struct args {
    struct qv__target_args target;
    const char *collection, *id_field, *vector;
    unsigned metric, datatype;
    uint64_t batch, first_id;
    bool packed_bits, optimize, quiet, json;
};

static const struct qv__option options[] = {
    {"collection", "NAME", QV__OPT_TEXT, offsetof(struct args, collection), 0, 0,
     "collection to load into; it is made when there is none"},
    QV__TARGET_OPTIONS(struct args),
    {"metric", "cosine|l2|ip|l1|hamming", QV__OPT_CHOICE, offsetof(struct args, metric), 0, 0,
     "distance of a new collection (default: cosine; hamming for bits)"},
    {"datatype", "float32|float16|uint8|int8|bit", QV__OPT_CHOICE, offsetof(struct args, datatype),
     0, 0, "what a new collection stores of an element (default: float32)"},
    {"packed-bits", NULL, QV__OPT_FLAG, offsetof(struct args, packed_bits), 0, 0,
     "each byte of a file of uint8 vectors is eight bits, as of numpy.packbits"},
    {"vector", "NAME", QV__OPT_TEXT, offsetof(struct args, vector), 0, 0,
     "name of the vector to fill (default: the one without a name)"},
    {"id-field", "NAME", QV__OPT_TEXT, offsetof(struct args, id_field), 0, 0,
     "member of each document that holds its id (default: id)"},
    {"first-id", "N", QV__OPT_U64, offsetof(struct args, first_id), 0, UINT64_C(1) << 62,
     "count what has no id from here (default: 0, for files of vectors)"},
    {"batch", "N", QV__OPT_U64, offsetof(struct args, batch), 1, 100000,
     "points in one write (default: 256)"},
    {"optimize", NULL, QV__OPT_FLAG, offsetof(struct args, optimize), 0, 0,
     "afterwards merge everything into one indexed segment"},
    {"quiet", NULL, QV__OPT_FLAG, offsetof(struct args, quiet), 0, 0, "show no progress"},
    {"json", NULL, QV__OPT_FLAG, offsetof(struct args, json), 0, 0, "print the result as JSON"},
};

static const char *const metric_names[] = {"Cosine", "Euclid", "Dot", "Manhattan", "Hamming"};

struct import {
    struct qv__cli *cli;
    struct args args;
    struct qv__target target;
    struct qv__import_source source;
    struct qv__import_batch batch;
    struct qv__import_shape shape;
    struct qv__import_sink sink;
    struct qv__progress progress;
    struct qv__interrupt interrupt;
    double load_s, index_s;
};

/* The collection's vectors, from the collection or from the first batch. */
static qv_status settle_shape(struct import *im, struct qv_err *err)
{
    const char *name = im->args.collection;
    unsigned metric = im->args.metric, datatype = im->args.datatype;
    datatype = datatype == NO_DATATYPE ? QV__F32 : datatype;
    metric = metric != NO_METRIC ? metric : datatype == QV__BIT ? 4 : 0;
    const char *datatype_name = qv__datatype_name((uint8_t)datatype);
    if (!im->shape.exists) {
        QV_TRY(qv__import_shape_derive(&im->shape, &im->batch, err));
        return qv__import_shape_create(&im->shape, &im->target, name, metric_names[metric],
                                       datatype_name, err);
    }
    for (uint32_t i = 0; i < im->shape.n && im->args.datatype != NO_DATATYPE; i++) {
        if (strcmp(im->shape.vectors[i].datatype, datatype_name) != 0) {
            return qv__fail(err, QV_EINVAL,
                            "collection `%s` stores %s, not %s; leave --datatype out, or load into "
                            "another collection",
                            name, im->shape.vectors[i].datatype, datatype_name);
        }
    }
    for (uint32_t i = 0; i < im->shape.n && im->args.metric != NO_METRIC; i++) {
        if (strcmp(im->shape.vectors[i].metric, metric_names[metric]) != 0) {
            return qv__fail(err, QV_EINVAL,
                            "collection `%s` compares by %s, not by %s; leave --metric out, or "
                            "load into another collection",
                            name, im->shape.vectors[i].metric, metric_names[metric]);
        }
    }
    return QV_OK;
}

/* Store the batch as far as it fits the shape. */
static qv_status store(struct import *im, struct qv_err *err)
{
    uint32_t bad = 0;
    qv_status st = qv__import_shape_check(&im->shape, &im->source, &im->batch, &bad, err);
    struct qv__import_batch b = im->batch;
    if (st != QV_OK) {
        b.n = bad;
    }
    if (b.n > 0) {
        struct qv_err stored = {.code = QV_OK};
        if (qv__import_sink_put(&im->sink, &b, &stored) != QV_OK) {
            *err = stored;
            return stored.code;
        }
    }
    return st;
}

static qv_status load(struct import *im, struct qv_err *err)
{
    qv_status st = QV_OK;
    bool first = true;
    while (st == QV_OK && !qv__interrupted(&im->interrupt)) {
        st = qv__import_source_next(&im->source, &im->batch, err);
        if (im->batch.n == 0) {
            break;
        }
        struct qv_err detail = {.code = QV_OK};
        qv_status stored = QV_OK;
        if (first) {
            stored = settle_shape(im, &detail);
        }
        if (stored == QV_OK && first) {
            stored = qv__import_sink_open(&im->sink, &im->target, im->args.collection, &detail);
        }
        first = false;
        if (stored == QV_OK) {
            stored = store(im, &detail);
        }
        if (stored != QV_OK) { /* of an earlier line than a failure of the source */
            *err = detail;
            st = stored;
        }
        qv__progress_at(&im->progress, qv__import_sink_stored(&im->sink),
                        qv__import_source_share(&im->source));
    }
    struct qv_err flushed = {.code = QV_OK};
    if (!first && im->sink.target && qv__import_sink_flush(&im->sink, &flushed) != QV_OK &&
        st == QV_OK) {
        *err = flushed;
        st = flushed.code;
    }
    if (st == QV_OK && first && !qv__interrupted(&im->interrupt)) {
        return qv__fail(err, QV_EINVAL, "there is nothing to load");
    }
    return st;
}

/* Indexing on a thread of its own, so that this one can show that time goes by. */
struct indexing {
    struct qv__collection *collection;
    uint32_t max_segments;
    qv_status st;
    struct qv_err err;
    struct qv__mutex lock;
    struct qv__condvar cond;
    bool done; /* guarded by: lock */
};

static void index_thread(void *arg)
{
    struct indexing *x = arg;
    x->st = qv__collection_optimize(x->collection, x->max_segments, &x->err);
    qv__mutex_lock(&x->lock);
    x->done = true;
    qv__cond_signal(&x->cond);
    qv__mutex_unlock(&x->lock);
}

/* Seal and index what was loaded: only then is a search as fast as it will be. Nothing can be lost
 * any more, so Ctrl-C need not wait for it. */
static qv_status index_local(struct import *im, struct qv_err *err)
{
    struct indexing x = {.collection = im->sink.pinned,
                         .max_segments = im->args.optimize ? 1 : SEGMENTS_ANY};
    struct qv__thread thread;
    qv__mutex_init(&x.lock, QV__RANK_LEAF);
    qv__cond_init(&x.cond);
    atomic_store(&im->interrupt.at_once, true);
    qv_status st = qv__thread_start(&thread, "qv-index", index_thread, &x, err);
    if (st == QV_OK) {
        qv__mutex_lock(&x.lock);
        while (!x.done) {
            (void)qv__cond_timedwait(&x.cond, &x.lock, 100u * 1000u * 1000u);
            qv__progress_at(&im->progress, 0, -1);
        }
        qv__mutex_unlock(&x.lock);
        qv__thread_join(&thread);
        st = x.st;
        if (st != QV_OK) {
            *err = x.err;
        }
    }
    qv__cond_destroy(&x.cond);
    qv__mutex_destroy(&x.lock);
    return st;
}

static qv_status index_all(struct import *im, struct qv_err *err)
{
    qv_status st = QV_OK;
    qv__progress_clear(&im->progress);
    qv__progress_start(&im->progress, im->cli, "indexing", "points", im->args.quiet);
    if (im->sink.pinned) {
        st = index_local(im, err);
    } else if (im->args.optimize) {
        struct qv__arena arena;
        qv__arena_init(&arena, im->cli->mem);
        st = qv__target_call(&im->target, QV__POST,
                             qv__target_path(&arena, im->args.collection, "/optimize"), NULL,
                             &arena, NULL, err);
        qv__arena_free(&arena);
    }
    qv__progress_clear(&im->progress);
    im->index_s = qv__progress_seconds(&im->progress);
    return st;
}

static int print_result(struct import *im, uint64_t n)
{
    struct qv__buf b;
    char count[32], rate[32], took[32], indexed[32];
    double s = im->load_s > 0 ? im->load_s : 1e-9;
    qv__buf_init(&b, im->cli->mem);
    if (im->args.json) {
        struct qv__jw w;
        qv__jw_init(&w, &b);
        qv__jw_obj(&w);
        qv__jw_key(&w, "collection");
        qv__jw_str(&w, im->args.collection);
        qv__jw_key(&w, "created");
        qv__jw_bool(&w, !im->shape.exists);
        qv__jw_key(&w, "points");
        qv__jw_u64(&w, n);
        qv__jw_key(&w, "load_s");
        qv__jw_f64(&w, im->load_s);
        qv__jw_key(&w, "index_s");
        qv__jw_f64(&w, im->index_s);
        qv__jw_obj_end(&w);
        qv__buf_putc(&b, '\n');
    } else {
        qv__buf_printf(&b, "%s point%s loaded into ", qv__human_count(n, count), n == 1 ? "" : "s");
        qv__term_put(&b, qv__str_z(im->args.collection));
        qv__buf_printf(&b, "%s in %s (%s points/s)", im->shape.exists ? "" : " (new)",
                       qv__human_seconds(im->load_s, took),
                       qv__human_count((uint64_t)((double)n / s), rate));
        if (im->sink.pinned || im->args.optimize) {
            qv__buf_printf(&b, ", indexed in %s", qv__human_seconds(im->index_s, indexed));
        } else {
            qv__buf_putz(&b, "; the server indexes them in the background");
        }
        qv__buf_putc(&b, '\n');
    }
    int rc = qv__cli_print(im->cli, &b);
    qv__buf_free(&b);
    return rc;
}

/* A failure says what is stored all the same. */
static int failed(struct import *im, const struct qv_err *err, uint64_t n)
{
    char text[600], count[32];
    const char *hint = qv__target_hint(&im->target, err);
    if (err->code == QV_ETOOBIG && im->target.url) {
        hint = "the server takes smaller requests: try a smaller --batch";
    }
    if (n > 0) {
        snprintf(text, sizeof text,
                 "the %s point%s before %s stored; once mended, run the same command again",
                 qv__human_count(n, count), n == 1 ? "" : "s", n == 1 ? "is" : "are");
        hint = hint ? hint : text;
    }
    return qv__cli_fail(im->cli, err, hint);
}

static int work(struct import *im)
{
    struct qv_err err = {.code = QV_OK};
    qv__progress_start(&im->progress, im->cli, "loading", "points", im->args.quiet);
    qv_status st = load(im, &err);
    uint64_t n = im->sink.target ? qv__import_sink_stored(&im->sink) : 0;
    qv__progress_clear(&im->progress);
    im->load_s = qv__progress_seconds(&im->progress);
    if (st == QV_OK && !qv__interrupted(&im->interrupt)) {
        st = index_all(im, &err);
    }
    if (st != QV_OK) {
        return failed(im, &err, n);
    }
    if (qv__interrupted(&im->interrupt)) {
        char count[32];
        return qv__cli_failf(im->cli, "run the same command again to load the rest",
                             "stopped; points stored: %s", qv__human_count(n, count));
    }
    return print_result(im, n);
}

/* Where an unnamed vector goes when the collection has exactly one, which has a name. */
static void choose_vector(struct import *im)
{
    im->source.vector_name = im->args.vector ? im->args.vector : "";
    if (!im->args.vector && im->shape.exists && im->shape.n == 1) {
        im->source.vector_name = im->shape.vectors[0].name;
    }
}

static int run_import(struct import *im, const char *const *files, size_t n_files)
{
    struct qv_err err = {.code = QV_OK};
    struct qv__import_source *s = &im->source;
    qv_status opened = qv__import_source_open(s, im->cli->mem, files, n_files, &err);
    if (opened == QV_OK && im->args.packed_bits) {
        opened = s->has_vectors ? qv__vector_file_unpack(&s->vectors, &err)
                                : qv__fail(&err, QV_EINVAL,
                                           "--packed-bits is of use with a file of vectors only");
    }
    if (opened != QV_OK) {
        return qv__cli_fail(im->cli, &err, NULL);
    }
    s->id_field = im->args.id_field;
    s->numbered = im->args.first_id != NO_FIRST_ID;
    s->first_id = s->numbered ? im->args.first_id : 0;
    if (qv__import_batch_init(&im->batch, im->cli->mem, (uint32_t)im->args.batch, &err) != QV_OK) {
        return qv__cli_fail(im->cli, &err, qv__cli_hint(&err));
    }
    if (qv__interrupt_start(&im->interrupt, &err) != QV_OK) {
        qv__cli_warn(im->cli, "%s", err.message);
    }
    struct qv__target_needs needs = {
        .write = true, .create = true, .timeout_ms = im->args.optimize ? OPTIMIZE_MS : WRITE_MS};
    int rc = qv__target_open(&im->target, im->cli, &im->args.target, &needs);
    if (rc != QV__EXIT_OK) {
        return rc;
    }
    if (qv__import_shape_fetch(&im->shape, &im->target, im->args.collection, &err) != QV_OK) {
        return qv__cli_fail(im->cli, &err, qv__target_hint(&im->target, &err));
    }
    choose_vector(im);
    return work(im);
}

static int run(struct qv__cli *cli, const struct qv__command *self, int argc, char **argv)
{
    struct import im = {.cli = cli,
                        .args = {.batch = 256,
                                 .metric = NO_METRIC,
                                 .datatype = NO_DATATYPE,
                                 .id_field = "id",
                                 .first_id = NO_FIRST_ID}};
    const char *files[2];
    size_t n = 0;
    int rc = qv__options_parse(cli, self, argc, argv, &im.args, files, 1, 2, &n);
    if (rc != QV__OPTIONS_RUN) {
        return rc;
    }
    if (!im.args.collection) {
        return qv__cli_usage(cli, "--collection NAME is missing");
    }
    rc = run_import(&im, files, n);
    qv__import_sink_close(&im.sink);
    struct qv_err err = {.code = QV_OK};
    if (qv__target_close(&im.target, &err) != QV_OK && rc == QV__EXIT_OK) {
        rc = qv__cli_fail(cli, &err, qv__cli_hint(&err));
    }
    qv__interrupt_stop(&im.interrupt);
    qv__import_batch_free(&im.batch);
    qv__import_source_close(&im.source);
    return rc;
}

const struct qv__command qv__command_import = {
    .name = "import",
    .operands = "FILE [VECTORS]",
    .summary = "Load points from a file into a collection.",
    .about =
        "FILE holds documents, one JSON object a line (.jsonl, or - for standard input): "
        "{\"id\": 1, \"vector\": [0.1, 0.2], \"payload\": {\"word\": \"cobbler\"}}. The vectors "
        "may "
        "stand in a second file instead, row i for document i. Or FILE holds vectors alone: .npy, "
        ".fvecs or .bvecs. Points with an id that exists are replaced, so the same command may be "
        "run again.",
    .examples = "  quiver import docs.jsonl vectors.npy --collection words\n"
                "  quiver import base.fvecs --collection sift --metric l2 "
                "--url http://127.0.0.1:6333\n",
    .options = options,
    .n_options = QV_ARRAY_LEN(options),
    .run = run,
};
