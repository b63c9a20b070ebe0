/* cmd_version.c: `quiver version`. */
#include "cli/cli.h"
#include "quiver/version.h"

struct args {
    bool json;
};

static const struct qv__option options[] = {
    {"json", NULL, QV__OPT_FLAG, offsetof(struct args, json), 0, 0, "print the result as JSON"},
};

static int run(struct qv__cli *cli, const struct qv__command *self, int argc, char **argv)
{
    struct args a = {.json = false};
    struct qv__buf b;
    int rc = qv__options_parse(cli, self, argc, argv, &a, NULL, 0, 0, NULL);
    if (rc != QV__OPTIONS_RUN) {
        return rc;
    }
    qv__buf_init(&b, cli->mem);
    qv__buf_printf(&b, a.json ? "{\"version\":\"%s\"}\n" : "quiver %s\n", QV_VERSION);
    rc = qv__cli_print(cli, &b);
    qv__buf_free(&b);
    return rc;
}

const struct qv__command qv__command_version = {
    .name = "version",
    .operands = "",
    .summary = "Print the version of this program.",
    .options = options,
    .n_options = QV_ARRAY_LEN(options),
    .run = run,
};
