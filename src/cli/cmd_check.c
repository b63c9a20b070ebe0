/* cmd_check.c: `quiver check`: is every file of a data directory whole?
 *
 * It opens nothing as a database and changes nothing, so it may look at a directory that no longer
 * opens. Damage is the exit code 1. */
#include <sys/stat.h>

#include "cli/cli.h"
#include "engine/db.h"

struct args {
    bool json;
};

static const struct qv__option options[] = {
    {"json", NULL, QV__OPT_FLAG, offsetof(struct args, json), 0, 0, "print the result as JSON"},
};

struct check {
    struct qv__cli *cli;
    struct qv__buf out;
    struct qv__jw w;
    bool json;
    uint64_t n, n_damaged;
};

static void put_cost(struct qv__jw *w, const struct qv__check_finding *f)
{
    if (f->points) {
        qv__jw_key(w, "points");
        qv__jw_u64(w, f->points);
    }
    if (f->min_lsn) {
        qv__jw_key(w, "from_lsn");
        qv__jw_u64(w, f->min_lsn);
    }
    if (f->max_lsn && f->max_lsn != UINT64_MAX) {
        qv__jw_key(w, "to_lsn");
        qv__jw_u64(w, f->max_lsn);
    }
    qv__jw_key(w, "remedy");
    qv__cli_json_text(w, f->remedy);
}

static void finding(void *arg, const struct qv__check_finding *f)
{
    struct check *c = arg;
    c->n++;
    c->n_damaged += f->damaged;
    if (c->json) {
        qv__jw_obj(&c->w);
        qv__jw_key(&c->w, "file");
        qv__cli_json_text(&c->w, f->file);
        qv__jw_key(&c->w, "damaged");
        qv__jw_bool(&c->w, f->damaged);
        qv__jw_key(&c->w, "message");
        qv__cli_json_text(&c->w, f->message);
        if (*f->collection) {
            qv__jw_key(&c->w, "collection");
            qv__cli_json_text(&c->w, f->collection);
        }
        if (f->damaged) {
            put_cost(&c->w, f);
        }
        qv__jw_obj_end(&c->w);
        return;
    }
    const struct qv__term *t = &c->cli->out;
    qv__buf_printf(&c->out, "%s%s%s  ", qv__term_style(t, f->damaged ? QV__RED : QV__GREEN),
                   f->damaged ? "DAMAGED" : "ok     ", qv__term_style(t, QV__PLAIN));
    qv__term_put(&c->out, qv__str_z(f->file));
    qv__buf_putz(&c->out, ": ");
    qv__term_put(&c->out, qv__str_z(f->message));
    if (*f->remedy) {
        qv__buf_putz(&c->out, ". What can be done: ");
        qv__term_put(&c->out, qv__str_z(f->remedy));
    }
    qv__buf_putc(&c->out, '\n');
}

/* Anything that a start or a restore leaves first; the rest may be lost. */
static bool has_database(const char *dir)
{
    static const char *const names[] = {"log", "CURRENT", "RESTORING"};
    bool found = false;
    for (size_t i = 0; i < QV_ARRAY_LEN(names) && !found; i++) {
        struct stat s;
        char path[4200];
        int n = snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        found = n > 0 && (size_t)n < sizeof path && stat(path, &s) == 0;
    }
    return found;
}

static qv_status check(struct check *c, const char *dir, struct qv_err *err)
{
    struct qv__io *io = NULL;
    QV_TRY(qv__io_posix_open(c->cli->mem, dir, false, &io, err));
    qv_status st = QV_OK;
    if (!has_database(dir)) {
        st = qv__fail(err, QV_ENOTFOUND, "there is no database in %s", dir);
    } else {
        st = qv__db_check(io, c->cli->mem, finding, c, err);
    }
    qv__io_close(io);
    return st;
}

static int print(struct check *c, const char *dir, bool damaged)
{
    if (c->json) {
        qv__jw_arr_end(&c->w);
        qv__jw_key(&c->w, "damaged");
        qv__jw_bool(&c->w, damaged);
        qv__jw_obj_end(&c->w);
        qv__buf_putc(&c->out, '\n');
    } else {
        char files[32];
        qv__term_put(&c->out, qv__str_z(dir));
        qv__buf_printf(&c->out, ": %s finding%s, %s\n", qv__human_count(c->n, files),
                       c->n == 1 ? "" : "s", damaged ? "DAMAGED" : "whole");
    }
    int rc = qv__cli_print(c->cli, &c->out);
    return rc == QV__EXIT_OK && damaged ? QV__EXIT_FAILURE : rc;
}

static int run(struct qv__cli *cli, const struct qv__command *self, int argc, char **argv)
{
    struct args a = {.json = false};
    struct check c = {.cli = cli};
    struct qv_err err = {.code = QV_OK};
    const char *dir = NULL;
    int rc = qv__options_parse(cli, self, argc, argv, &a, &dir, 1, 1, NULL);
    if (rc != QV__OPTIONS_RUN) {
        return rc;
    }
    c.json = a.json;
    qv__buf_init(&c.out, cli->mem);
    qv__jw_init(&c.w, &c.out);
    if (c.json) {
        qv__jw_obj(&c.w);
        qv__jw_key(&c.w, "directory");
        qv__cli_json_text(&c.w, dir);
        qv__jw_key(&c.w, "findings");
        qv__jw_arr(&c.w);
    }
    qv_status st = check(&c, dir, &err);
    if (st == QV_OK || c.n_damaged > 0) {
        rc = print(&c, dir, st != QV_OK);
        if (st != QV_OK && rc == QV__EXIT_FAILURE && st != QV_ECORRUPT) {
            (void)qv__cli_fail(cli, &err, NULL);
        }
    } else {
        rc = qv__cli_fail(
            cli, &err, st == QV_ELOCKED ? "stop the server or the command that has it open" : NULL);
    }
    qv__buf_free(&c.out);
    return rc;
}

const struct qv__command qv__command_check = {
    .name = "check",
    .operands = "DIR",
    .summary = "Verify every file of a data directory without changing it.",
    .about = "Prints one line per file, and one per snapshot. The exit code is 1 when "
             "something is damaged. The directory must not be in use.",
    .examples = "  quiver check quiver-data\n",
    .options = options,
    .n_options = QV_ARRAY_LEN(options),
    .run = run,
};
