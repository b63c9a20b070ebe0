/* options.c: one table of options per command: parsing it, and its help.
 *
 * Own choices: --name VALUE and --name=VALUE; `--` ends options; an option may stand anywhere among
 * the operands; giving one twice is an error, since the reader of a script cannot know which
 * counts; names are not abbreviated, since a new option would change what a script means. */
#include "cli/cli.h"

#include <errno.h>

#define WORD_MAX 40u /* letters compared when a slip of the pen is looked for */

static const struct qv__option help_option = {"help", NULL, QV__OPT_FLAG,    0,
                                              0,      0,    "show this text"};

/* Number of letters to insert, delete, change or swap with the neighbour. */
static unsigned distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    unsigned row[3][WORD_MAX + 1];
    if (n > WORD_MAX || m > WORD_MAX) {
        return WORD_MAX;
    }
    for (unsigned j = 0; j <= m; j++) {
        row[0][j] = j;
        row[2][j] = 0;
    }
    for (size_t i = 1; i <= n; i++) {
        unsigned *now = row[i % 3];
        const unsigned *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned change = last[j - 1] + (a[i - 1] != b[j - 1]);
            unsigned best = QV_MIN(change, QV_MIN(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = QV_MIN(best, before[j - 2] + 1);
            }
            now[j] = best;
        }
    }
    return row[n % 3][m];
}

const char *qv__options_nearest(const char *word, const char *const *candidates, size_t n)
{
    const char *best = NULL;
    unsigned least = WORD_MAX;
    for (size_t i = 0; i < n; i++) {
        unsigned d = distance(word, candidates[i]);
        if (d < least) {
            least = d;
            best = candidates[i];
        }
    }
    return best && least <= 2 && least < strlen(word) ? best : NULL;
}

static const struct qv__option *find(const struct qv__command *c, const char *name, size_t n)
{
    for (size_t i = 0; i <= c->n_options; i++) {
        const struct qv__option *o = i < c->n_options ? &c->options[i] : &help_option;
        if (strlen(o->name) == n && memcmp(o->name, name, n) == 0) {
            return o;
        }
    }
    return NULL;
}

static int unknown(struct qv__cli *cli, const struct qv__command *c, const char *word, size_t n)
{
    const char *best = NULL;
    char name[WORD_MAX + 1];
    unsigned least = 3;
    snprintf(name, sizeof name, "%.*s", (int)QV_MIN(n, (size_t)WORD_MAX), word);
    for (size_t i = 0; i < c->n_options; i++) {
        unsigned d = distance(name, c->options[i].name);
        if (d < least && d < n) {
            least = d;
            best = c->options[i].name;
        }
    }
    if (best) {
        return qv__cli_usage(cli, "unknown option --%.*s; did you mean --%s?", (int)n, word, best);
    }
    return qv__cli_usage(cli, "unknown option --%.*s", (int)n, word);
}

static qv_status read_u64(const struct qv__option *o, const char *text, uint64_t *out,
                          struct qv_err *err)
{
    char *end = NULL;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0') {
        return qv__fail(err, QV_EINVAL, "--%s: `%s` is not a whole number", o->name, text);
    }
    if (errno == ERANGE || v < o->min || v > o->max) {
        return qv__fail(err, QV_EINVAL, "--%s: %s is not from %" PRIu64 " to %" PRIu64, o->name,
                        text, o->min, o->max);
    }
    *out = v;
    return QV_OK;
}

static qv_status read_choice(const struct qv__option *o, const char *text, unsigned *out,
                             struct qv_err *err)
{
    size_t n = strlen(text);
    const char *p = o->arg;
    for (unsigned i = 0; *p; i++) {
        size_t len = strcspn(p, "|");
        if (len == n && memcmp(p, text, n) == 0) {
            *out = i;
            return QV_OK;
        }
        p += len + (p[len] == '|');
    }
    return qv__fail(err, QV_EINVAL, "--%s: `%s` is none of %s", o->name, text, o->arg);
}

static qv_status store(const struct qv__command *c, const struct qv__option *o, const char *value,
                       void *into, struct qv_err *err)
{
    void *field = (char *)into + o->at;
    switch (o->kind) {
    case QV__OPT_FLAG:
        memcpy(field, &(bool){true}, sizeof(bool));
        return QV_OK;
    case QV__OPT_TEXT:
        memcpy(field, &value, sizeof value);
        return QV_OK;
    case QV__OPT_U64: {
        uint64_t v = 0;
        QV_TRY(read_u64(o, value, &v, err));
        memcpy(field, &v, sizeof v);
        return QV_OK;
    }
    case QV__OPT_CHOICE: {
        unsigned v = 0;
        QV_TRY(read_choice(o, value, &v, err));
        memcpy(field, &v, sizeof v);
        return QV_OK;
    }
    case QV__OPT_CUSTOM:
    default:
        return c->set(into, o, value, err);
    }
}

/* The option `word` at argv[*i]; moves *i over its value. */
static int take(struct qv__cli *cli, const struct qv__command *c, const char *word, int argc,
                char **argv, int *i, void *into, bool *seen)
{
    const char *equals = strchr(word, '=');
    size_t n = equals ? (size_t)(equals - word) : strlen(word);
    const struct qv__option *o = find(c, word, n);
    if (!o) {
        return unknown(cli, c, word, n);
    }
    if (o == &help_option) {
        struct qv__buf b;
        qv__buf_init(&b, cli->mem);
        qv__options_help(c, cli->out.columns, &b);
        int rc = qv__cli_print(cli, &b);
        qv__buf_free(&b);
        return rc;
    }
    if (seen[o - c->options]) {
        return qv__cli_usage(cli, "--%s is given twice", o->name);
    }
    seen[o - c->options] = true;
    const char *value = equals ? equals + 1 : NULL;
    if (!o->arg && value && o->kind != QV__OPT_CUSTOM) {
        return qv__cli_usage(cli, "--%s takes no value", o->name);
    }
    if (o->arg && !value) {
        if (*i + 1 >= argc) {
            return qv__cli_usage(cli, "--%s needs a value: %s", o->name, o->arg);
        }
        value = argv[++*i];
    }
    struct qv_err err = {.code = QV_OK};
    if (store(c, o, value, into, &err) != QV_OK) {
        return qv__cli_usage(cli, "%s", err.message);
    }
    return QV__OPTIONS_RUN;
}

static int parse(struct qv__cli *cli, const struct qv__command *c, int argc, char **argv,
                 void *into, const char **operands, size_t operands_max, size_t *n_operands,
                 bool *seen)
{
    bool only_operands = false;
    for (int i = 0; i < argc; i++) {
        const char *a = argv[i];
        if (!only_operands && strcmp(a, "--") == 0) {
            only_operands = true;
            continue;
        }
        if (!only_operands && a[0] == '-' && (a[1] == '-' || strcmp(a, "-h") == 0)) {
            int rc = take(cli, c, a[1] == '-' ? a + 2 : "help", argc, argv, &i, into, seen);
            if (rc != QV__OPTIONS_RUN) {
                return rc;
            }
            continue;
        }
        if (!only_operands && a[0] == '-' && a[1] != '\0') {
            return qv__cli_usage(cli, "unknown option %s", a);
        }
        if (*n_operands == operands_max) {
            return qv__cli_usage(cli, "one argument too many: %s", a);
        }
        operands[(*n_operands)++] = a;
    }
    return QV__OPTIONS_RUN;
}

int qv__options_parse(struct qv__cli *cli, const struct qv__command *command, int argc, char **argv,
                      void *into, const char **operands, size_t operands_min, size_t operands_max,
                      size_t *n_operands)
{
    size_t n = 0;
    bool *seen = qv__calloc(cli->mem, command->n_options + 1, sizeof *seen);
    if (!seen) {
        return qv__cli_failf(cli, NULL, "no memory");
    }
    int rc = parse(cli, command, argc, argv, into, operands, operands_max, &n, seen);
    qv__free(seen);
    if (rc == QV__OPTIONS_RUN && n < operands_min) {
        rc = qv__cli_usage(cli, "missing argument: %s", command->operands);
    }
    if (n_operands) {
        *n_operands = n;
    }
    return rc;
}

qv_status qv__options_u32_list(const char *text, uint32_t min, uint32_t max_value, uint32_t *out,
                               size_t max, size_t *n, struct qv_err *err)
{
    const char *p = text;
    *n = 0;
    for (;;) {
        char *end = NULL;
        errno = 0;
        unsigned long long v = strtoull(p, &end, 10);
        if (*p < '0' || *p > '9' || (*end != ',' && *end != '\0')) {
            return qv__fail(err, QV_EINVAL, "`%s` is not a list of whole numbers such as 16,32,64",
                            text);
        }
        if (errno == ERANGE || v < min || v > max_value) {
            return qv__fail(err, QV_EINVAL, "`%s`: each number must be from %u to %u", text, min,
                            max_value);
        }
        if (*n == max) {
            return qv__fail(err, QV_EINVAL, "`%s`: at most %zu numbers", text, max);
        }
        out[(*n)++] = (uint32_t)v;
        if (*end == '\0') {
            return QV_OK;
        }
        p = end + 1;
    }
}

/* --- help ----------------------------------------------------------------------------------------
 */

static size_t option_width(const struct qv__option *o)
{
    return 2 + strlen(o->name) + (o->arg ? 1 + strlen(o->arg) : 0);
}

static void help_row(struct qv__buf *out, const struct qv__option *o, size_t left, unsigned columns)
{
    size_t width = option_width(o);
    qv__buf_printf(out, "  --%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
    if (width > left) {
        qv__buf_putc(out, '\n');
        width = 0;
        qv__buf_printf(out, "  ");
    }
    for (size_t i = width; i < left + 2; i++) {
        qv__buf_putc(out, ' ');
    }
    qv__term_wrap(out, qv__str_z(o->help), (unsigned)left + 4, columns);
    qv__buf_putc(out, '\n');
}

void qv__options_help(const struct qv__command *command, unsigned columns, struct qv__buf *out)
{
    columns = QV_MIN(columns, 100u);
    qv__buf_printf(out, "usage: quiver %s%s%s [options]\n\n", command->name,
                   *command->operands ? " " : "", command->operands);
    qv__term_wrap(out, qv__str_z(command->summary), 0, columns);
    qv__buf_putz(out, "\n\n");
    if (command->about) {
        qv__term_wrap(out, qv__str_z(command->about), 0, columns);
        qv__buf_putz(out, "\n\n");
    }
    size_t left = option_width(&help_option);
    for (size_t i = 0; i < command->n_options; i++) {
        size_t w = option_width(&command->options[i]);
        left = w > left && w <= 30 ? w : left;
    }
    qv__buf_putz(out, "options:\n");
    for (size_t i = 0; i < command->n_options; i++) {
        help_row(out, &command->options[i], left, columns);
    }
    help_row(out, &help_option, left, columns);
    if (command->examples) {
        qv__buf_printf(out, "\nexamples:\n%s", command->examples);
    }
}
