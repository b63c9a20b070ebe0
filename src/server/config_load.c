/* config_load.c: settings from a file and from the environment.
 *
 * Both only cut their input into names and values and hand these to qv__server_config_set, which
 * knows the table. A file is read whole through os/io.h (at most 64 KiB) after its path has been
 * resolved, since mounted configuration is often a symbolic link, which that door would refuse. */
#include "server/config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "os/io.h"

#define FILE_BYTES_MAX ((size_t)64 << 10)
#define LINE_BYTES_MAX ((size_t)8 << 10)
#define PREFIX         "QUIVER_"
#define NAME_BYTES_MAX 64

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct qv__str trim(struct qv__str s)
{
    while (s.n && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n && is_space(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

/* Which line first set a name of this file; names compare with '-' as '_'. */
struct seen {
    struct {
        char name[NAME_BYTES_MAX];
        unsigned line;
    } of[QV__CONFIG_FIELDS_MAX];
    size_t n;
};

static unsigned seen_before(struct seen *s, const char *name, unsigned line)
{
    char plain[NAME_BYTES_MAX];
    snprintf(plain, sizeof plain, "%s", name);
    for (char *p = plain; *p; p++) {
        *p = *p == '-' ? '_' : *p;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->of[i].name, plain) == 0) {
            return s->of[i].line;
        }
    }
    if (s->n < QV_ARRAY_LEN(s->of)) {
        memcpy(s->of[s->n].name, plain, sizeof plain);
        s->of[s->n++].line = line;
    }
    return 0;
}

static qv_status apply_line(struct qv__server_config *c, struct qv__str line, unsigned number,
                            struct seen *seen, struct qv_err *err)
{
    line = trim(line);
    if (line.n == 0 || line.p[0] == '#') {
        return QV_OK;
    }
    if (memchr(line.p, 0, line.n)) {
        return qv__fail(err, QV_EINVAL, "the line holds a NUL byte");
    }
    const char *equals = memchr(line.p, '=', line.n);
    if (!equals) {
        return qv__fail(err, QV_EINVAL, "`%.*s` is not `name = value`", (int)QV_MIN(line.n, 64u),
                        line.p);
    }
    struct qv__str name = trim((struct qv__str){line.p, (size_t)(equals - line.p)});
    struct qv__str value =
        trim((struct qv__str){equals + 1, line.n - (size_t)(equals - line.p) - 1});
    char name_z[NAME_BYTES_MAX], value_z[LINE_BYTES_MAX];
    if (name.n == 0 || name.n >= sizeof name_z) {
        return qv__fail(err, QV_EINVAL, "there is no setting `%.*s`", (int)QV_MIN(name.n, 64u),
                        name.p);
    }
    memcpy(name_z, name.p, name.n);
    name_z[name.n] = 0;
    if (value.n >= sizeof value_z) {
        return qv__fail(err, QV_EINVAL, "%s: %zu bytes are over the limit of %zu", name_z, value.n,
                        sizeof value_z - 1);
    }
    memcpy(value_z, value.p, value.n);
    value_z[value.n] = 0;
    unsigned before = seen_before(seen, name_z, number);
    if (before) {
        return qv__fail(err, QV_EINVAL, "%s: set before, on line %u", name_z, before);
    }
    return qv__server_config_set(c, name_z, value_z, QV__FROM_FILE, err);
}

qv_status qv__server_config_load_text(struct qv__server_config *c, const char *name,
                                      const char *text, size_t n, struct qv_err *err)
{
    struct seen seen = {0};
    unsigned number = 0;
    for (size_t at = 0; at < n;) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t line_n = end ? (size_t)(end - (text + at)) : n - at;
        number++;
        qv_status st = apply_line(c, (struct qv__str){text + at, line_n}, number, &seen, err);
        if (st != QV_OK) {
            return qv__wrap(err, st, "%.200s line %u", name, number);
        }
        at += line_n + 1;
    }
    return QV_OK;
}

qv_status qv__server_config_load_file(struct qv__server_config *c, struct qv__mem *mem,
                                      const char *path, struct qv_err *err)
{
    char real[PATH_MAX];
    if (!realpath(path, real)) {
        return qv__fail_os(err, errno == ENOENT ? QV_ENOTFOUND : QV_EIO, errno, "%.200s", path);
    }
    char *slash = strrchr(real, '/');
    QV_ASSERT(slash != NULL); /* realpath gives absolute paths */
    *slash = 0;
    struct qv__io *io = NULL;
    void *text = NULL;
    size_t n = 0;
    qv_status st = qv__io_posix_open(mem, real[0] ? real : "/", false, &io, err);
    if (st == QV_OK) {
        st = qv__io_read_file(io, slash + 1, FILE_BYTES_MAX, mem, &text, &n, err);
    }
    if (st == QV_OK) {
        st = qv__server_config_load_text(c, path, text, n, err);
    } else {
        st = qv__wrap(err, st, "%.200s", path);
    }
    qv__free(text);
    qv__io_close(io);
    return st;
}

/* The setting that a variable names; name "" = none. */
struct match {
    const char *env; /* without the value */
    size_t n;
    char name[NAME_BYTES_MAX];
};

static void match_field(void *arg, const struct qv__config_field *f)
{
    struct match *m = arg;
    if (strlen(f->env) == m->n && memcmp(f->env, m->env, m->n) == 0) {
        snprintf(m->name, sizeof m->name, "%s", f->name);
    }
}

qv_status qv__server_config_load_env(struct qv__server_config *c, const char *const *environment,
                                     struct qv_err *err)
{
    for (size_t i = 0; environment[i]; i++) {
        const char *entry = environment[i];
        const char *equals = strchr(entry, '=');
        if (!equals || strncmp(entry, PREFIX, sizeof PREFIX - 1) != 0) {
            continue;
        }
        struct match m = {.env = entry, .n = (size_t)(equals - entry)};
        qv__server_config_each(c, match_field, &m);
        if (m.name[0]) {
            QV_TRY(qv__server_config_set(c, m.name, equals + 1, QV__FROM_ENV, err));
        }
    }
    return QV_OK;
}
