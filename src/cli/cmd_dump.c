/* cmd_dump.c: `quiver dump`: what the files of a data directory say.
 *
 * It reads a directory that is in use as well as one that no longer opens, and changes nothing. */
#include <sys/stat.h>

#include "cli/cli.h"
#include "engine/dump.h"

struct args {
    bool log, manifest, json;
    uint64_t segment, from, limit;
};

static const struct qv__option options[] = {
    {"log", NULL, QV__OPT_FLAG, offsetof(struct args, log), 0, 0, "the records of the log"},
    {"manifest", NULL, QV__OPT_FLAG, offsetof(struct args, manifest), 0, 0,
     "CURRENT, the manifests and the catalog"},
    {"segment", "ID", QV__OPT_U64, offsetof(struct args, segment), 1, UINT64_MAX,
     "this segment's head, sections and columns"},
    {"from", "LSN", QV__OPT_U64, offsetof(struct args, from), 0, UINT64_MAX,
     "records from this LSN on"},
    {"limit", "N", QV__OPT_U64, offsetof(struct args, limit), 1, UINT64_MAX,
     "at most so many records"},
    {"json", NULL, QV__OPT_FLAG, offsetof(struct args, json), 0, 0, "print one JSON object a line"},
};

struct dump {
    struct qv__cli *cli;
    struct qv__buf out;
    bool json, damaged;
    int rc;
};

/* "record  file log/…  lsn 7  …": members in order, what is nested as JSON. */
static void put_members(struct dump *d, qv__json o)
{
    struct qv__jw w;
    struct qv__buf nested;
    qv__json key = qv__json_first(o);
    qv__buf_init(&nested, d->cli->mem);
    for (uint32_t i = 0; key && i < o->len; i++, key = qv__json_next(key + 1)) {
        qv__json v = key + 1;
        struct qv__str s;
        if (i > 0) {
            qv__buf_printf(&d->out, "  %s", qv__term_style(&d->cli->out, QV__DIM));
            qv__term_put(&d->out, (struct qv__str){key->s, key->len});
            qv__buf_printf(&d->out, "%s ", qv__term_style(&d->cli->out, QV__PLAIN));
        }
        if (qv__json_str(v, &s)) {
            qv__term_put(&d->out, s);
            continue;
        }
        qv__buf_reset(&nested);
        qv__jw_init(&w, &nested);
        qv__jw_value(&w, v);
        qv__term_put(&d->out, (struct qv__str){(const char *)nested.p, nested.n});
    }
    qv__buf_free(&nested);
    qv__buf_putc(&d->out, '\n');
}

static void item(void *arg, struct qv__str json)
{
    struct dump *d = arg;
    struct qv__arena arena;
    struct qv_err err;
    qv__json o = NULL;
    static const char damage[] = "{\"item\":\"damage\"";
    d->damaged |= json.n > sizeof damage && memcmp(json.p, damage, sizeof damage - 1) == 0;
    qv__buf_reset(&d->out);
    qv__arena_init(&arena, d->cli->mem);
    if (d->json) {
        qv__buf_put(&d->out, json.p, json.n);
        qv__buf_putc(&d->out, '\n');
    } else if (qv__json_parse(&arena, json.p, json.n, NULL, &o, &err) == QV_OK) {
        put_members(d, o);
    }
    qv__arena_free(&arena);
    if (d->rc == QV__EXIT_OK) {
        d->rc = qv__cli_print(d->cli, &d->out);
    }
}

static qv_status dump(struct dump *d, const char *dir, const struct args *a, struct qv_err *err)
{
    struct qv__dump_options o = {.log = a->log,
                                 .manifest = a->manifest,
                                 .segments = a->segment != 0,
                                 .segment_id = a->segment,
                                 .from_lsn = a->from,
                                 .limit = a->limit};
    struct qv__io *io = NULL;
    struct stat s;
    char log[4200];
    int n = snprintf(log, sizeof log, "%s/log", dir);
    QV_TRY(qv__io_posix_open(d->cli->mem, dir, false, &io, err));
    qv_status st = QV_OK;
    if (n < 0 || (size_t)n >= sizeof log || stat(log, &s) != 0) {
        st = qv__fail(err, QV_ENOTFOUND, "there is no database in %s", dir);
    } else {
        st = qv__db_dump(io, d->cli->mem, &o, item, d, err);
    }
    qv__io_close(io);
    return st;
}

static int run(struct qv__cli *cli, const struct qv__command *self, int argc, char **argv)
{
    struct args a = {.json = false};
    struct dump d = {.cli = cli, .rc = QV__EXIT_OK};
    struct qv_err err = {.code = QV_OK};
    const char *dir = NULL;
    int rc = qv__options_parse(cli, self, argc, argv, &a, &dir, 1, 1, NULL);
    if (rc != QV__OPTIONS_RUN) {
        return rc;
    }
    d.json = a.json;
    qv__buf_init(&d.out, cli->mem);
    qv_status st = dump(&d, dir, &a, &err);
    qv__buf_free(&d.out);
    if (st != QV_OK) {
        return qv__cli_fail(cli, &err, qv__cli_hint(&err));
    }
    return d.rc == QV__EXIT_OK && d.damaged ? QV__EXIT_FAILURE : d.rc;
}

const struct qv__command qv__command_dump = {
    .name = "dump",
    .operands = "DIR",
    .summary = "Show what the files of a data directory say.",
    .about =
        "Prints CURRENT, manifests, catalog, segments and log records, or what is asked for, one "
        "item a line, damaged files as far as they can be read. Nothing is changed, and the "
        "directory may be in use; then nothing is called missing. The exit code is 1 when "
        "something is damaged or missing.",
    .examples = "  quiver dump --manifest quiver-data\n"
                "  quiver dump --log --from 1000 --limit 20 --json quiver-data\n",
    .options = options,
    .n_options = QV_ARRAY_LEN(options),
    .run = run,
};
