/* main.c: the `quiver` command: finds the command named first and runs it. */
#include <stdio.h>

#include "cli/cli.h"

static const struct qv__command *const commands[] = {
    &qv__command_serve,     &qv__command_import,     &qv__command_query,    &qv__command_info,
    &qv__command_check,     &qv__command_dump,       &qv__command_snapshot, &qv__command_restore,
    &qv__command_bench_ann, &qv__command_bench_http, &qv__command_version,
};

static void put_overview(struct qv__buf *out)
{
    qv__buf_putz(out, "usage: quiver COMMAND [options]\n\n"
                      "A vector database: serve it, load it, ask it.\n\ncommands:\n");
    for (size_t i = 0; i < QV_ARRAY_LEN(commands); i++) {
        qv__buf_printf(out, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
    }
    qv__buf_putz(out, "\nquiver COMMAND --help tells more. Exit codes: 0 done, 1 failed, 2 called "
                      "wrongly.\n");
}

/* How many of the words name this command; 0 = they do not. */
static int names(const struct qv__command *c, int argc, char **argv)
{
    int words = 0;
    for (const char *p = c->name; *p; words++) {
        size_t n = strcspn(p, " ");
        if (words == argc || strlen(argv[words]) != n || memcmp(argv[words], p, n) != 0) {
            return 0;
        }
        p += n + (p[n] == ' ');
    }
    return words;
}

static int unknown(struct qv__cli *cli, int argc, char **argv)
{
    const char *firsts[QV_ARRAY_LEN(commands)];
    for (size_t i = 0; i < QV_ARRAY_LEN(commands); i++) {
        firsts[i] = commands[i]->name;
    }
    if (strcmp(argv[0], "bench") == 0) {
        return qv__cli_usage(cli, "bench %s: there are bench ann and bench http",
                             argc > 1 ? argv[1] : "what?");
    }
    const char *near = qv__options_nearest(argv[0], firsts, QV_ARRAY_LEN(commands));
    return near ? qv__cli_usage(cli, "unknown command `%s`; did you mean %s?", argv[0], near)
                : qv__cli_usage(cli, "unknown command `%s`", argv[0]);
}

static int dispatch(struct qv__cli *cli, int argc, char **argv)
{
    bool help = argc > 0 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0 ||
                             strcmp(argv[0], "help") == 0);
    if (argc > 0 && strcmp(argv[0], "--version") == 0) {
        argv[0] = (char *)(uintptr_t)qv__command_version.name;
    }
    for (size_t i = 0; i < QV_ARRAY_LEN(commands) && !help && argc > 0; i++) {
        int words = names(commands[i], argc, argv);
        if (words > 0) {
            cli->command = commands[i];
            return commands[i]->run(cli, commands[i], argc - words, argv + words);
        }
    }
    if (argc > 0 && !help) {
        return unknown(cli, argc, argv);
    }
    struct qv__buf b;
    qv__buf_init(&b, cli->mem);
    put_overview(&b);
    int rc = QV__EXIT_USAGE;
    if (help) {
        rc = qv__cli_print(cli, &b);
    } else {
        fprintf(cli->err.f, "%.*s", (int)b.n, (const char *)b.p);
    }
    qv__buf_free(&b);
    return rc;
}

int main(int argc, char **argv)
{
    struct qv__cli cli = {.mem = qv__mem_root("command", 0)};
    qv__term_init(&cli.out, stdout);
    qv__term_init(&cli.err, stderr);
    if (!cli.mem) {
        fprintf(stderr, "quiver: no memory\n");
        return QV__EXIT_FAILURE;
    }
    int rc = dispatch(&cli, argc - 1, argv + 1);
    qv__mem_close(cli.mem);
    return rc;
}
