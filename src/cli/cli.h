/* cli.h: what every command of `quiver` shares: its context, its option table, its way to fail.
 *
 * What it is: one struct per run of the program, one table of options per command from which
 * parsing and --help are made, and the functions that print errors.
 * What it is not: known to any other folder; nothing includes cli/.
 *
 * Results go to standard output, everything else (errors, progress) to standard error. Exit codes:
 * 0 done, 1 failed, 2 called wrongly. Threads: the main thread, unless a line says otherwise. */
#ifndef QV_CLI_CLI_H
#define QV_CLI_CLI_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "cli/terminal.h"

enum { QV__EXIT_OK = 0, QV__EXIT_FAILURE = 1, QV__EXIT_USAGE = 2 };

struct qv__command;

struct qv__cli {
    struct qv__mem *mem;               /* account of the command itself */
    const struct qv__command *command; /* for messages; NULL before one is known */
    struct qv__term out, err;
};

enum qv__option_kind {
    QV__OPT_FLAG,   /* bool: takes no value */
    QV__OPT_TEXT,   /* const char *: borrowed from argv */
    QV__OPT_U64,    /* uint64_t from min to max */
    QV__OPT_CHOICE, /* unsigned: position in `arg`, "a|b|c" */
    QV__OPT_CUSTOM  /* the command's set() takes it */
};

/* One option: --name [arg]. */
struct qv__option {
    const char *name; /* without the dashes */
    const char *arg;  /* "DIR"; NULL for a flag */
    enum qv__option_kind kind;
    size_t at;         /* offset of the field in the command's struct */
    uint64_t min, max; /* U64 */
    const char *help;  /* without a full stop */
};

struct qv__command {
    const char *name;     /* "import", "bench ann" */
    const char *operands; /* "FILE [VECTORS]"; "" = none */
    const char *summary;  /* one line */
    const char *about;    /* what else --help says; NULL = nothing */
    const char *examples; /* lines; NULL = none */
    const struct qv__option *options;
    size_t n_options;
    /* CUSTOM options; value NULL for a flag given alone. */
    qv_status (*set)(void *into, const struct qv__option *o, const char *value, struct qv_err *err);
    /* argv[0] is the first word after the command's name. Returns an exit code. */
    int (*run)(struct qv__cli *cli, const struct qv__command *self, int argc, char **argv);
};

extern const struct qv__command qv__command_bench_ann;
extern const struct qv__command qv__command_bench_http;
extern const struct qv__command qv__command_check;
extern const struct qv__command qv__command_dump;
extern const struct qv__command qv__command_import;
extern const struct qv__command qv__command_info;
extern const struct qv__command qv__command_query;
extern const struct qv__command qv__command_restore;
extern const struct qv__command qv__command_serve;
extern const struct qv__command qv__command_snapshot;
extern const struct qv__command qv__command_version;

/* --- options.c ----------------------------------------------------------------------------------
 */

/* Returned by qv__options_parse when the command shall run. */
#define QV__OPTIONS_RUN (-1)

/* Read the command line into `into` (the command's struct, holding the defaults) and its operands,
 * at least `operands_min` and at most `operands_max` of them. Prints what is wrong, or the help.
 * Returns QV__OPTIONS_RUN, or the exit code to leave with. */
int qv__options_parse(struct qv__cli *cli, const struct qv__command *command, int argc, char **argv,
                      void *into, const char **operands, size_t operands_min, size_t operands_max,
                      size_t *n_operands);
/* The text of --help. */
void qv__options_help(const struct qv__command *command, unsigned columns, struct qv__buf *out);
/* The candidate that `word` is most likely a slip of; NULL if none is near. */
const char *qv__options_nearest(const char *word, const char *const *candidates, size_t n);
/* "3,5,8" into out[max]: numbers from min to max_value. QV_EINVAL names what is wrong. */
qv_status qv__options_u32_list(const char *text, uint32_t min, uint32_t max_value, uint32_t *out,
                               size_t max, size_t *n, struct qv_err *err) QV_MUST_USE;

/* --- report.c ------------------------------------------------------------------------------------
 */

/* "quiver import: MESSAGE" and, when there is one, a line "hint: HINT" on standard error. */
int qv__cli_fail(struct qv__cli *cli, const struct qv_err *err, const char *hint);
int qv__cli_failf(struct qv__cli *cli, const char *hint, const char *fmt, ...) QV_PRINTF(3, 4);
int qv__cli_usage(struct qv__cli *cli, const char *fmt, ...) QV_PRINTF(2, 3);
void qv__cli_warn(struct qv__cli *cli, const char *fmt, ...) QV_PRINTF(2, 3);
/* What usually helps against an error of that kind; NULL if nothing does. */
const char *qv__cli_hint(const struct qv_err *err);
/* A JSON string of text that may be no UTF-8, such as a path: what is malformed is replaced. */
void qv__cli_json_text(struct qv__jw *w, const char *text);
/* Write a buffer to standard output. Returns an exit code: a full disk or a lack of memory while
 * the buffer was filled are failures. */
int qv__cli_print(struct qv__cli *cli, const struct qv__buf *b);

#endif
