/* cmd_query.c: `quiver query`: the nearest points, for people or as JSON.
 *
 * The question is one request of the REST dialect, whether a directory or a server answers it. */
#include <stdio.h>

#include "cli/target.h"
#include "cli/vector_file.h"

#define NO_ROW UINT64_MAX

struct args {
    struct qv__target_args target;
    const char *collection, *id, *vector, *vectors, *using_vector, *filter, *payload, *strategy;
    uint64_t row, limit, ef;
    bool exact, json, explain, profile;
};

static const struct qv__option options[] = {
    {"collection", "NAME", QV__OPT_TEXT, offsetof(struct args, collection), 0, 0,
     "collection, or alias, to search"},
    QV__TARGET_OPTIONS(struct args),
    {"id", "ID", QV__OPT_TEXT, offsetof(struct args, id), 0, 0,
     "more like this point: its id, a number or a UUID"},
    {"vector", "JSON", QV__OPT_TEXT, offsetof(struct args, vector), 0, 0,
     "near this vector, such as '[0.1, 0.2]'"},
    {"vectors", "FILE", QV__OPT_TEXT, offsetof(struct args, vectors), 0, 0,
     "near a row of this .npy, .fvecs or .bvecs file; see --row"},
    {"row", "N", QV__OPT_U64, offsetof(struct args, row), 0, UINT64_MAX - 1,
     "the row of --vectors, counted from 0"},
    {"using", "NAME", QV__OPT_TEXT, offsetof(struct args, using_vector), 0, 0,
     "name of the vector to compare (default: the one without a name)"},
    {"filter", "JSON", QV__OPT_TEXT, offsetof(struct args, filter), 0, 0,
     "only points that match, such as '{\"must\": [{\"key\": \"pos\", \"match\": {\"value\": "
     "\"noun\"}}]}'"},
    {"limit", "N", QV__OPT_U64, offsetof(struct args, limit), 1, 1000000,
     "how many points (default: 10)"},
    {"exact", NULL, QV__OPT_FLAG, offsetof(struct args, exact), 0, 0,
     "compare with every vector instead of asking the index"},
    {"ef", "N", QV__OPT_U64, offsetof(struct args, ef), 1, 65536,
     "beam width of the search: more is slower and finds more"},
    {"strategy", "NAME", QV__OPT_TEXT, offsetof(struct args, strategy), 0, 0,
     "search graphs under a filter by: auto, scan, filtered, post_filter, packed (default: auto)"},
    {"explain", NULL, QV__OPT_FLAG, offsetof(struct args, explain), 0, 0,
     "print the plan and what it is expected to cost, and do not run it"},
    {"profile", NULL, QV__OPT_FLAG, offsetof(struct args, profile), 0, 0,
     "print what was done as well, with counts and times"},
    {"payload", "FIELDS", QV__OPT_TEXT, offsetof(struct args, payload), 0, 0,
     "all, none, or some fields such as word,gloss (default: all)"},
    {"json", NULL, QV__OPT_FLAG, offsetof(struct args, json), 0, 0, "print the result as JSON"},
};

/* --- the question
 * ---------------------------------------------------------------------------------- */

static qv_status put_id(struct qv__jw *w, const char *text, struct qv_err *err)
{
    struct qv__json_node number;
    struct qv__id id;
    char uuid[37];
    size_t n = strlen(text);
    if (n > 0 && qv__json_number(text, text + n, &number) == n && number.kind != QV__JSON_F64 &&
        text[0] != '-') {
        qv__jw_raw(w, text, n);
        return QV_OK;
    }
    if (qv__id_parse_uuid(qv__str_z(text), &id)) {
        qv__id_uuid_text(&id, uuid);
        qv__jw_str(w, uuid);
        return QV_OK;
    }
    return qv__fail(err, QV_EINVAL, "--id: `%.100s` is neither a whole number nor a UUID", text);
}

static qv_status put_vector(struct qv__jw *w, struct qv__arena *arena, const char *text,
                            struct qv_err *err)
{
    qv__json v = NULL;
    qv_status st = qv__json_parse(arena, text, strlen(text), NULL, &v, err);
    if (st != QV_OK) {
        return qv__wrap(err, st, "--vector");
    }
    if (!qv__json_is(v, QV__JSON_ARR) || v->len == 0) {
        return qv__fail(err, QV_EINVAL, "--vector: not an array of numbers such as [0.1, 0.2]");
    }
    qv__jw_value(w, v);
    return QV_OK;
}

static qv_status put_row(struct qv__jw *w, struct qv__arena *arena, const struct args *a,
                         struct qv_err *err)
{
    struct qv__vector_file f = {.path = NULL};
    float *row = NULL;
    qv_status st = qv__vector_file_open(&f, arena->mem, a->vectors, err);
    if (st == QV_OK) {
        row = qv__arena_calloc(arena, f.dim, sizeof *row);
        st = row ? qv__vector_file_row(&f, a->row, row, err)
                 : qv__fail(err, QV_ENOMEM, "no memory for a vector");
    }
    if (st == QV_OK) {
        qv__jw_floats(w, row, f.dim);
    }
    qv__vector_file_close(&f);
    return st;
}

static void put_payload(struct qv__jw *w, const char *fields)
{
    qv__jw_key(w, "with_payload");
    if (!fields || strcmp(fields, "all") == 0 || strcmp(fields, "none") == 0) {
        qv__jw_bool(w, !fields || strcmp(fields, "all") == 0);
        return;
    }
    qv__jw_arr(w);
    for (const char *p = fields; *p;) {
        size_t n = strcspn(p, ",");
        if (n > 0) {
            qv__jw_str_n(w, (struct qv__str){p, n});
        }
        p += n + (p[n] == ',');
    }
    qv__jw_arr_end(w);
}

static qv_status build_body(struct qv__buf *body, struct qv__arena *arena, const struct args *a,
                            struct qv_err *err)
{
    struct qv__jw w;
    qv__jw_init(&w, body);
    qv__jw_obj(&w);
    qv__jw_key(&w, "query");
    QV_TRY(a->id       ? put_id(&w, a->id, err)
           : a->vector ? put_vector(&w, arena, a->vector, err)
                       : put_row(&w, arena, a, err));
    if (a->using_vector) {
        qv__jw_key(&w, "using");
        qv__jw_str(&w, a->using_vector);
    }
    if (a->filter) {
        qv__json filter = NULL;
        qv_status st = qv__json_parse(arena, a->filter, strlen(a->filter), NULL, &filter, err);
        if (st != QV_OK) {
            return qv__wrap(err, st, "--filter");
        }
        qv__jw_key(&w, "filter");
        qv__jw_value(&w, filter);
    }
    qv__jw_key(&w, "limit");
    qv__jw_u64(&w, a->limit);
    if (a->exact || a->ef || a->strategy) {
        qv__jw_key(&w, "params");
        qv__jw_obj(&w);
        if (a->exact) {
            qv__jw_key(&w, "exact");
            qv__jw_bool(&w, true);
        }
        if (a->ef) {
            qv__jw_key(&w, "hnsw_ef");
            qv__jw_u64(&w, a->ef);
        }
        if (a->strategy) {
            qv__jw_key(&w, "strategy");
            qv__jw_str(&w, a->strategy);
        }
        qv__jw_obj_end(&w);
    }
    put_payload(&w, a->payload);
    if (a->explain || a->profile) {
        qv__jw_key(&w, a->explain ? "explain" : "profile");
        qv__jw_bool(&w, true);
    }
    qv__jw_obj_end(&w);
    return qv__buf_status(body, err);
}

/* --- the answer
 * ------------------------------------------------------------------------------------ */

/* A value of a payload as one line of text: strings bare, lists of scalars separated by commas. */
static void put_value(struct qv__buf *out, qv__json v)
{
    struct qv__str s;
    struct qv__jw w;
    if (qv__json_str(v, &s)) {
        qv__buf_put(out, s.p, s.n);
        return;
    }
    bool flat = qv__json_is(v, QV__JSON_ARR);
    qv__json e = qv__json_first(v);
    for (uint32_t i = 0; flat && i < v->len; i++, e = qv__json_next(e)) {
        flat = e->kind != QV__JSON_ARR && e->kind != QV__JSON_OBJ;
    }
    if (!flat) {
        qv__jw_init(&w, out);
        qv__jw_value(&w, v);
        return;
    }
    e = qv__json_first(v);
    for (uint32_t i = 0; i < v->len; i++, e = qv__json_next(e)) {
        qv__buf_putz(out, i ? ", " : "");
        if (qv__json_str(e, &s)) {
            qv__buf_put(out, s.p, s.n);
        } else {
            qv__jw_init(&w, out);
            qv__jw_value(&w, e);
        }
    }
}

static void put_member(struct qv__buf *out, struct qv__cli *cli, unsigned indent, unsigned width,
                       qv__json key, qv__json value)
{
    struct qv__buf text;
    struct qv__str name = {key->s, key->len};
    size_t columns = qv__term_width(name);
    qv__buf_init(&text, cli->mem);
    put_value(&text, value);
    qv__buf_printf(out, "%*s%s", (int)indent, "", qv__term_style(&cli->out, QV__DIM));
    qv__term_put(out, name);
    qv__buf_putz(out, qv__term_style(&cli->out, QV__PLAIN));
    qv__buf_printf(out, "%*s", (int)(columns < width ? width - columns + 2 : 2), "");
    qv__term_wrap(out, (struct qv__str){(const char *)text.p, text.n}, indent + width + 2,
                  QV_MIN(cli->out.columns, 120u));
    qv__buf_putc(out, '\n');
    out->failed |= text.failed;
    qv__buf_free(&text);
}

/* Members that hold nothing are left out. */
static bool is_empty(qv__json v)
{
    return v->kind == QV__JSON_NULL ||
           ((v->kind == QV__JSON_ARR || v->kind == QV__JSON_OBJ || v->kind == QV__JSON_STR) &&
            v->len == 0);
}

static void put_hit(struct qv__buf *out, struct qv__cli *cli, uint32_t rank, qv__json hit)
{
    struct qv__buf id;
    double score = 0;
    qv__json payload = qv__json_get(hit, "payload"), key = qv__json_first(payload);
    unsigned width = 0;
    qv__buf_init(&id, cli->mem);
    put_value(&id, qv__json_get(hit, "id"));
    (void)qv__json_f64(qv__json_get(hit, "score"), &score);
    qv__buf_printf(out, "%s%3u%s  score %s%-9.6g%s  id ", qv__term_style(&cli->out, QV__BOLD), rank,
                   qv__term_style(&cli->out, QV__PLAIN), qv__term_style(&cli->out, QV__GREEN),
                   score, qv__term_style(&cli->out, QV__PLAIN));
    qv__term_put(out, (struct qv__str){(const char *)id.p, id.n});
    qv__buf_putc(out, '\n');
    qv__buf_free(&id);
    for (uint32_t i = 0; key && i < payload->len; i++, key = qv__json_next(key + 1)) {
        size_t w = qv__term_width((struct qv__str){key->s, key->len});
        width = is_empty(key + 1) ? width : (unsigned)QV_MAX(width, QV_MIN(w, (size_t)24));
    }
    key = qv__json_first(payload);
    for (uint32_t i = 0; key && i < payload->len; i++, key = qv__json_next(key + 1)) {
        if (!is_empty(key + 1)) {
            put_member(out, cli, 5, width, key, key + 1);
        }
    }
}

/* A server's text and blanks, `width` columns if it is no longer. */
static void put_column(struct qv__buf *out, struct qv__str text, size_t width)
{
    size_t before = out->n;
    qv__term_put(out, text);
    struct qv__str put = {(const char *)out->p + before, out->n - before};
    for (size_t w = put.n ? qv__term_width(put) : 0; w < width; w++) {
        qv__buf_putc(out, ' ');
    }
}

/* The steps of a plan, or of a query that ran, one a line. */
static void put_steps(struct qv__buf *out, struct qv__cli *cli, qv__json told, bool is_plan)
{
    qv__json steps = qv__json_get(told, "steps"), step = qv__json_first(steps);
    qv__buf_printf(out, "%s%-16s %-36s %12s%s%s\n", qv__term_style(&cli->out, QV__BOLD), "stage",
                   "detail", "estimated", is_plan ? "" : "       actual           us",
                   qv__term_style(&cli->out, QV__PLAIN));
    for (uint32_t i = 0; step && i < steps->len; i++, step = qv__json_next(step)) {
        struct qv__str stage = {"", 0}, detail = {"", 0};
        double estimated = 0, actual = 0, us = 0;
        (void)qv__json_str(qv__json_get(step, "stage"), &stage);
        (void)qv__json_str(qv__json_get(step, "detail"), &detail);
        (void)qv__json_f64(qv__json_get(step, "estimated"), &estimated);
        (void)qv__json_f64(qv__json_get(step, "actual"), &actual);
        (void)qv__json_f64(qv__json_get(step, "us"), &us);
        put_column(out, stage, 16);
        qv__buf_putc(out, ' ');
        put_column(out, detail, 36);
        qv__buf_printf(out, " %12.6g", estimated);
        if (!is_plan) {
            qv__buf_printf(out, " %12.6g %12.6g", actual, us);
        }
        qv__buf_putc(out, '\n');
    }
}

static int print_hits(struct qv__cli *cli, const struct args *a, qv__json result, qv__json told,
                      double seconds)
{
    struct qv__buf b;
    char took[32];
    qv__json points = qv__json_get(result, "points"), hit = qv__json_first(points);
    uint32_t n = points && points->kind == QV__JSON_ARR ? points->len : 0;
    qv__buf_init(&b, cli->mem);
    if (a->json) {
        struct qv__jw w;
        qv__jw_init(&w, &b);
        qv__jw_obj(&w);
        qv__jw_key(&w, "points");
        qv__jw_value(&w, points);
        if (told) {
            qv__jw_key(&w, a->explain ? "explain" : "profile");
            qv__jw_value(&w, told);
        }
        qv__jw_key(&w, "seconds");
        qv__jw_f64(&w, seconds);
        qv__jw_obj_end(&w);
        qv__buf_putc(&b, '\n');
    } else {
        for (uint32_t i = 0; i < n; i++, hit = qv__json_next(hit)) {
            put_hit(&b, cli, i + 1, hit);
        }
        if (told) {
            put_steps(&b, cli, told, a->explain);
        }
    }
    if (!a->json && !a->explain) {
        qv__buf_printf(&b, "%s%u point%s in %s%s\n", qv__term_style(&cli->out, QV__DIM), n,
                       n == 1 ? "" : "s", qv__human_seconds(seconds, took),
                       qv__term_style(&cli->out, QV__PLAIN));
    }
    int rc = qv__cli_print(cli, &b);
    qv__buf_free(&b);
    return rc;
}

static int ask(struct qv__target *t, const struct args *a, const struct qv__buf *body,
               struct qv__arena *arena)
{
    struct qv_err err = {.code = QV_OK};
    qv__json result = NULL;
    uint64_t start = qv__mono_ns(qv__clock_system());
    const char *path = qv__target_path(arena, a->collection, "/points/query");
    if (qv__target_call(t, QV__POST, path, body, arena, &result, &err) != QV_OK) {
        const char *hint = qv__target_hint(t, &err);
        if (!hint && err.code == QV_ENOTFOUND && strstr(err.message, "ollection")) {
            hint = "quiver info lists the collections";
        }
        return qv__cli_fail(t->cli, &err, hint);
    }
    double seconds = (double)(qv__mono_ns(qv__clock_system()) - start) / 1e9;
    return print_hits(t->cli, a, result, t->told, seconds);
}

static int check_args(struct qv__cli *cli, const struct args *a)
{
    if (!a->collection) {
        return qv__cli_usage(cli, "--collection NAME is missing");
    }
    if ((a->id != NULL) + (a->vector != NULL) + (a->vectors != NULL) != 1) {
        return qv__cli_usage(cli, "give one of --id, --vector and --vectors");
    }
    if ((a->vectors != NULL) != (a->row != NO_ROW)) {
        return qv__cli_usage(cli, "--vectors and --row belong together");
    }
    if (a->explain && a->profile) {
        return qv__cli_usage(cli, "give one of --explain and --profile");
    }
    return QV__EXIT_OK;
}

static int run(struct qv__cli *cli, const struct qv__command *self, int argc, char **argv)
{
    struct args a = {.row = NO_ROW, .limit = 10};
    struct qv__target t = {.cli = NULL};
    struct qv__arena arena;
    struct qv__buf body;
    struct qv_err err = {.code = QV_OK};
    int rc = qv__options_parse(cli, self, argc, argv, &a, NULL, 0, 0, NULL);
    if (rc != QV__OPTIONS_RUN) {
        return rc;
    }
    rc = check_args(cli, &a);
    if (rc != QV__EXIT_OK) {
        return rc;
    }
    qv__arena_init(&arena, cli->mem);
    qv__buf_init(&body, cli->mem);
    if (build_body(&body, &arena, &a, &err) != QV_OK) {
        rc = qv__cli_fail(cli, &err, qv__cli_hint(&err));
    } else {
        rc = qv__target_open(&t, cli, &a.target, &(struct qv__target_needs){.write = false});
    }
    if (rc == QV__EXIT_OK) {
        rc = ask(&t, &a, &body, &arena);
    }
    if (qv__target_close(&t, &err) != QV_OK && rc == QV__EXIT_OK) {
        rc = qv__cli_fail(cli, &err, qv__cli_hint(&err));
    }
    qv__buf_free(&body);
    qv__arena_free(&arena);
    return rc;
}

const struct qv__command qv__command_query = {
    .name = "query",
    .operands = "",
    .summary = "Find the points nearest to a vector or to another point.",
    .about = NULL,
    .examples =
        "  quiver query --collection words --vectors queries.npy --row 2 --payload word,gloss\n"
        "  quiver query --collection words --id 559 --limit 3 --json\n",
    .options = options,
    .n_options = QV_ARRAY_LEN(options),
    .run = run,
};
