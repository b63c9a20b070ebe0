/* report.c: how a command says that it failed, and how its results leave the program.
 *
 * An error is one line that names the thing, the value and the limit, and, where one is known, a
 * second line with the remedy. Both may hold words of a file or of a server, so they are made safe
 * for the terminal. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>

#include "api/text.h"

static void print_line(struct qv__cli *cli, enum qv__style style, const char *word,
                       const char *message)
{
    struct qv__buf b;
    qv__buf_init(&b, cli->mem);
    qv__term_put(&b, qv__str_z(message));
    FILE *f = cli->err.f;
    const char *on = qv__term_style(&cli->err, style), *off = qv__term_style(&cli->err, QV__PLAIN);
    fprintf(f, "%squiver: ", on);
    if (cli->command) {
        fprintf(f, "%s: ", cli->command->name);
    }
    /* Without memory the text goes out as it is: a message must not get lost. */
    fprintf(f, "%s%s%.*s\n", word, off, b.failed ? (int)strlen(message) : (int)b.n,
            b.failed || b.n == 0 ? message : (const char *)b.p);
    qv__buf_free(&b);
}

static void print_hint(struct qv__cli *cli, const char *hint)
{
    if (hint) {
        fprintf(cli->err.f, "  %shint:%s %s\n", qv__term_style(&cli->err, QV__BOLD),
                qv__term_style(&cli->err, QV__PLAIN), hint);
    }
}

int qv__cli_fail(struct qv__cli *cli, const struct qv_err *err, const char *hint)
{
    print_line(cli, QV__RED, "", err->message[0] ? err->message : qv_status_text(err->code));
    print_hint(cli, hint);
    return QV__EXIT_FAILURE;
}

int qv__cli_failf(struct qv__cli *cli, const char *hint, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    print_line(cli, QV__RED, "", text);
    print_hint(cli, hint);
    return QV__EXIT_FAILURE;
}

int qv__cli_usage(struct qv__cli *cli, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    print_line(cli, QV__RED, "", text);
    fprintf(cli->err.f, "  %shint:%s quiver %s%s--help shows how it is called\n",
            qv__term_style(&cli->err, QV__BOLD), qv__term_style(&cli->err, QV__PLAIN),
            cli->command ? cli->command->name : "", cli->command ? " " : "");
    return QV__EXIT_USAGE;
}

void qv__cli_warn(struct qv__cli *cli, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    print_line(cli, QV__YELLOW, "warning: ", text);
}

const char *qv__cli_hint(const struct qv_err *err)
{
    switch (err->code) {
    case QV_ELOCKED:
        return "another process has it open; stop that one, or ask the running server with "
               "--url http://127.0.0.1:6333";
    case QV_ECORRUPT:
    case QV_EQUARANTINED:
        return "quiver check DIR names every damaged file";
    case QV_EVERSION:
        return "the data was written by a newer quiver; use that version";
    case QV_ENOMEM:
        return "free memory on this machine and run the command again";
    case QV_ENOSPC:
        return "free space on that disk and run the command again; what was acknowledged is safe";
    case QV_EREADONLY:
        return "start the server or the command again; what was acknowledged is safe";
    case QV_EUNAUTH:
    case QV_EFORBIDDEN:
        return "give the server's API key: --api-key-file FILE, or the variable QUIVER_API_KEY";
    default:
        return NULL;
    }
}

void qv__cli_json_text(struct qv__jw *w, const char *text)
{
    struct qv__buf b;
    qv__buf_init(&b, w->b->mem);
    qv__text_repair(&b, qv__str_z(text));
    w->b->failed |= b.failed;
    qv__jw_str_n(w, (struct qv__str){b.n ? (const char *)b.p : "", b.n});
    qv__buf_free(&b);
}

int qv__cli_print(struct qv__cli *cli, const struct qv__buf *b)
{
    struct qv_err err = {.code = QV_OK};
    if (qv__buf_status(b, &err) != QV_OK) {
        return qv__cli_fail(cli, &err, qv__cli_hint(&err));
    }
    if (b->n > 0 && fwrite(b->p, 1, b->n, cli->out.f) != b->n) {
        return qv__cli_failf(cli, NULL, "cannot write the result: %s", strerror(errno));
    }
    if (fflush(cli->out.f) != 0) {
        return qv__cli_failf(cli, NULL, "cannot write the result: %s", strerror(errno));
    }
    return QV__EXIT_OK;
}
