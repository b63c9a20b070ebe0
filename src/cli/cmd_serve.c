/* cmd_serve.c: `quiver serve`: a database behind HTTP until it is told to stop.
 *
 * The options are the server's own table of settings (server/config.h), so that flags, environment,
 * file and --help cannot differ. Signals are blocked before the first thread starts and waited for
 * here: the first SIGTERM, SIGINT or SIGHUP lets running requests finish, writes a checkpoint and
 * ends with 0; a second one ends the process at once, which loses nothing that was acknowledged. */
#include <signal.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/interrupt.h"
#include "engine/schema.h"
#include "quiver/version.h"
#include "server/logsink.h"
#include "server/server.h"

#define SHOWN_MAX 8u /* collections named at the start */

extern char **environ;

struct serve {
    struct qv__cli *cli;
    struct qv__server_config config;
    const char *config_file;
    struct qv__logsink sink;
    struct qv__logger logger;
    struct qv__db *db;
    struct qv__api *api;
    struct qv__server *server;
};

/* --- options
 * --------------------------------------------------------------------------------------- */

struct table {
    struct qv__arena arena;
    struct qv__option *options; /* [QV__CONFIG_FIELDS_MAX + 1] */
    size_t n;
    bool failed;
};

static const char *keep(struct table *t, const char *text)
{
    char *copy = qv__arena_strndup(&t->arena, text, strlen(text));
    t->failed |= !copy;
    return copy;
}

static void add_option(void *arg, const struct qv__config_field *f)
{
    struct table *t = arg;
    char help[512];
    snprintf(help, sizeof help, "%s%s%s%s", f->help,
             f->argument && *f->default_value ? " (default: " : "",
             f->argument ? f->default_value : "", f->argument && *f->default_value ? ")" : "");
    t->options[t->n++] = (struct qv__option){.name = keep(t, f->flag + 2),
                                             .arg = f->argument ? keep(t, f->argument) : NULL,
                                             .kind = QV__OPT_CUSTOM,
                                             .help = keep(t, help)};
}

static bool make_table(struct table *t, struct qv__cli *cli, const struct qv__server_config *c)
{
    qv__arena_init(&t->arena, cli->mem);
    t->options = qv__arena_calloc(&t->arena, QV__CONFIG_FIELDS_MAX + 1, sizeof *t->options);
    if (!t->options) {
        return false;
    }
    t->options[t->n++] = (struct qv__option){"config",
                                             "FILE",
                                             QV__OPT_TEXT,
                                             offsetof(struct serve, config_file),
                                             0,
                                             0,
                                             "file of settings, one `name = value` a line"};
    qv__server_config_each(c, add_option, t);
    return !t->failed;
}

static qv_status set_option(void *into, const struct qv__option *o, const char *value,
                            struct qv_err *err)
{
    struct serve *s = into;
    return qv__server_config_set(&s->config, o->name, value ? value : "true", QV__FROM_FLAG, err);
}

static bool given_as_flag(int argc, char **argv, const char *name)
{
    size_t n = strlen(name);
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], name, n) == 0 && (argv[i][n] == '\0' || argv[i][n] == '=')) {
            return true;
        }
    }
    return false;
}

static int read_settings(struct serve *s, const struct qv__command *self, int argc, char **argv)
{
    struct table t = {.n = 0};
    struct qv_err err = {.code = QV_OK};
    qv__server_config_init(&s->config);
    if (!make_table(&t, s->cli, &s->config)) {
        qv__arena_free(&t.arena);
        return qv__cli_failf(s->cli, NULL, "no memory");
    }
    struct qv__command command = *self;
    command.options = t.options;
    command.n_options = t.n;
    int rc = qv__options_parse(s->cli, &command, argc, argv, s, NULL, 0, 0, NULL);
    if (rc == QV__OPTIONS_RUN && (given_as_flag(argc, argv, "--api-key") ||
                                  given_as_flag(argc, argv, "--read-only-api-key"))) {
        qv__cli_warn(s->cli, "a key on the command line is seen by every user of this machine; "
                             "better in QUIVER_API_KEY or in a --config file");
    }
    qv__arena_free(&t.arena);
    if (rc != QV__OPTIONS_RUN) {
        return rc;
    }
    if ((s->config_file &&
         qv__server_config_load_file(&s->config, s->cli->mem, s->config_file, &err) != QV_OK) ||
        qv__server_config_load_env(&s->config, (const char *const *)environ, &err) != QV_OK ||
        qv__server_config_check(&s->config, &err) != QV_OK) {
        return qv__cli_usage(s->cli, "%s", err.message);
    }
    return QV__OPTIONS_RUN;
}

/* --- start
 * ----------------------------------------------------------------------------------------- */

static const char *start_hint(const struct qv_err *err)
{
    switch (err->code) {
    case QV_EFORBIDDEN:
        return "set a key (QUIVER_API_KEY), or say --allow-open if the network is yours alone";
    case QV_ELOCKED:
        return "stop the other one, or choose another --listen or --data";
    case QV_ENOMEM:
        return "free memory on this machine, or give a larger --memory";
    default:
        return qv__cli_hint(err);
    }
}

static int open_all(struct serve *s)
{
    struct qv_err err = {.code = QV_OK};
    const struct qv__server_config *c = &s->config;
    s->sink = (struct qv__logsink){
        .fd = STDERR_FILENO, .format = c->log_format, .clock = qv__clock_system()};
    s->logger = qv__logsink_logger(&s->sink, c->log_level);
    struct qv__db_options o = {.path = c->data,
                               .logger = &s->logger,
                               .memory_bytes = (size_t)c->memory_bytes,
                               .disk_reserve_bytes = c->disk_reserve_bytes,
                               .idle_ms = c->idle_merge_s * 1000,
                               .threads = (int)c->threads,
                               .read_only = c->read_only};
    if (qv__db_open(&o, &s->db, &err) != QV_OK) {
        qv_status code = err.code;
        (void)qv__wrap(&err, code, "cannot open %s", c->data);
        return qv__cli_fail(s->cli, &err, start_hint(&err));
    }
    struct qv__server_options so;
    struct qv__api_options api = {.body_bytes_max = (size_t)c->body_bytes_max};
    qv_status st = qv__api_create(s->db, &api, &s->api, &err);
    if (st == QV_OK) {
        qv__server_options_init(&so, c, s->db, s->api);
        st = qv__os_entropy(&so.seed, sizeof so.seed, &err);
    }
    if (st == QV_OK) {
        st = qv__server_create(&so, &s->server, &err);
        explicit_bzero(&so, sizeof so);
    }
    if (st == QV_OK) {
        st = qv__server_start(s->server, &err);
    }
    return st == QV_OK ? QV__EXIT_OK : qv__cli_fail(s->cli, &err, start_hint(&err));
}

struct names {
    struct serve *s;
    struct qv__buf text;
    uint32_t n;
};

static void add_name(void *arg, struct qv__str name)
{
    struct names *names = arg;
    if (names->n++ >= SHOWN_MAX) {
        return;
    }
    struct qv__collection *c = NULL;
    struct qv__collection_info info;
    char count[32];
    qv__buf_putz(&names->text, names->n > 1 ? ", " : "");
    qv__buf_put(&names->text, name.p, name.n);
    if (qv__db_collection(names->s->db, name, &c, NULL) == QV_OK &&
        qv__collection_info(c, &info, NULL) == QV_OK) {
        qv__buf_printf(&names->text, " (%s points)", qv__human_count(info.n_points, count));
    }
    qv__collection_release(c);
}

static void row(struct qv__buf *b, const struct qv__term *t, const char *label, const char *text)
{
    qv__buf_printf(b, "  %s%-12s%s ", qv__term_style(t, QV__DIM), label,
                   qv__term_style(t, QV__PLAIN));
    qv__term_wrap(b, qv__str_z(text), 15, t->columns);
    qv__buf_putc(b, '\n');
}

static void put_collections(struct serve *s, struct qv__buf *b)
{
    char text[4096];
    struct names names = {.s = s};
    struct qv_err err = {.code = QV_OK};
    qv__buf_init(&names.text, s->cli->mem);
    if (qv__db_list_collections(s->db, add_name, &names, &err) == QV_OK) {
        snprintf(text, sizeof text, "%u%s%.*s%s", names.n, names.n ? ": " : "", (int)names.text.n,
                 names.text.n ? (const char *)names.text.p : "",
                 names.n > SHOWN_MAX ? " and others" : "");
        row(b, &s->cli->out, "collections", text);
    }
    qv__buf_free(&names.text);
}

/* The one block that says all a person wants to know at the start. */
static int print_start(struct serve *s)
{
    struct qv__buf b;
    char url[320], text[512], bytes[32];
    const struct qv__term *t = &s->cli->out;
    const struct qv__server_config *c = &s->config;
    bool ipv6 = strchr(c->listen_host, ':') != NULL;
    snprintf(url, sizeof url, "http://%s%s%s:%u", ipv6 ? "[" : "", c->listen_host, ipv6 ? "]" : "",
             qv__server_port(s->server));
    qv__buf_init(&b, s->cli->mem);
    qv__buf_printf(&b, "%squiver %s%s\n\n", qv__term_style(t, QV__BOLD), QV_VERSION,
                   qv__term_style(t, QV__PLAIN));
    row(&b, t, "serving", url);
    row(&b, t, "data", c->data);
    put_collections(s, &b);
    row(&b, t, "memory",
        c->memory_bytes ? qv__human_bytes(c->memory_bytes, bytes)
                        : "no budget; --memory SIZE sets one");
    snprintf(text, sizeof text, "%s, %u threads", qv__simd_best(NULL)->name,
             qv__pool_threads(qv__db_pool(s->db)));
    row(&b, t, "kernels", text);
    row(&b, t, "access",
        c->api_key[0] || c->read_only_api_key[0] ? "with an API key"
        : c->allow_open                          ? "OPEN to whoever reaches the address"
                                                 : "this machine only, without a key");
    qv__buf_printf(&b,
                   "\n  next: curl %s/collections\n"
                   "        quiver import FILE --collection NAME --url %s\n"
                   "  stop: Ctrl-C, or SIGTERM\n\n",
                   url, url);
    int rc = c->log_format == QV__LOG_JSON ? QV__EXIT_OK : qv__cli_print(s->cli, &b);
    qv__buf_free(&b);
    return rc;
}

/* --- stop
 * ------------------------------------------------------------------------------------------ */

static void wait_for_signal(struct serve *s, const sigset_t *set)
{
    int signo = 0;
    while (sigwait(set, &signo) != 0) {
    }
    qv__log_line(
        &s->logger, QV__LEVEL_INFO, "serve",
        "signal %d: finishing requests and writing a checkpoint; once more to leave at once",
        signo);
    qv__interrupt_release();
}

static int close_all(struct serve *s)
{
    struct qv_err err = {.code = QV_OK};
    if (s->server) {
        qv__server_stop(s->server, s->config.stop_grace_ms);
    }
    qv__server_free(s->server);
    qv__api_free(s->api);
    if (qv__db_close(s->db, &err) != QV_OK) {
        return qv__cli_fail(s->cli, &err, qv__cli_hint(&err));
    }
    return QV__EXIT_OK;
}

static int run(struct qv__cli *cli, const struct qv__command *self, int argc, char **argv)
{
    struct serve s = {.cli = cli};
    sigset_t set;
    int rc = read_settings(&s, self, argc, argv);
    if (rc == QV__OPTIONS_RUN) {
        qv__interrupt_block(&set);
        signal(SIGPIPE, SIG_IGN);
        if (s.config.memory_bytes) {
            qv__mem_tune_process(); /* a budget counts what malloc was asked for: let it be true */
        }
        rc = open_all(&s);
        if (rc == QV__EXIT_OK) {
            rc = print_start(&s);
        }
        if (rc == QV__EXIT_OK) {
            wait_for_signal(&s, &set);
        }
        int closed = close_all(&s);
        rc = rc == QV__EXIT_OK ? closed : rc;
        if (rc == QV__EXIT_OK) {
            qv__log_line(&s.logger, QV__LEVEL_INFO, "serve", "stopped");
        }
    }
    explicit_bzero(&s.config, sizeof s.config);
    return rc;
}

const struct qv__command qv__command_serve = {
    .name = "serve",
    .operands = "",
    .summary = "Serve a data directory over HTTP.",
    .about =
        "Every setting may also be given in the environment (QUIVER_BODY_MAX for --body-max) or "
        "in a file (body_max = 64MiB); a flag beats the environment, which beats the file.",
    .examples = "  quiver serve --data quiver-data --memory 4GiB\n"
                "  QUIVER_API_KEY=secret quiver serve --listen 0.0.0.0:6333\n",
    .options = NULL,
    .n_options = 0,
    .set = set_option,
    .run = run,
};
