/* cmd_restore.c: `quiver restore`: a database from a snapshot, in an empty directory.
 *
 * Everything is verified before anything is written, and the directory counts as a database only
 * when all of it is there; so it can be stopped at any time and run again. */
#include <stdio.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/interrupt.h"
#include "engine/snapshot.h"

struct args {
    const char *data, *checksum;
    bool json;
};

static const struct qv__option options[] = {
    {"data", "DIR", QV__OPT_TEXT, offsetof(struct args, data), 0, 0,
     "directory to restore into; must be empty or not be there"},
    {"checksum", "HEX", QV__OPT_TEXT, offsetof(struct args, checksum), 0, 0,
     "SHA-256 that the snapshot must have"},
    {"json", NULL, QV__OPT_FLAG, offsetof(struct args, json), 0, 0, "print the result as JSON"},
};

/* Split a path into the directory to open and the name inside it. */
static qv_status split(const char *path, bool is_directory, char dir[4200], const char **leaf,
                       struct qv_err *err)
{
    const char *slash = strrchr(path, '/');
    int n = is_directory ? snprintf(dir, 4200, "%s", path)
            : slash      ? snprintf(dir, 4200, "%.*s", (int)(slash - path + 1), path)
                         : snprintf(dir, 4200, ".");
    *leaf = is_directory ? "" : slash ? slash + 1 : path;
    return n > 0 && n < 4200 ? QV_OK : qv__fail(err, QV_EINVAL, "%.64s...: too long", path);
}

/* Take back a directory that was made for nothing; what a restore has begun in it stays. */
static void remove_empty(struct qv__cli *cli, const char *path)
{
    struct qv__io *parent = NULL;
    struct qv_err ignored;
    char copy[4200], dir[4200];
    const char *leaf;
    int n = snprintf(copy, sizeof copy, "%s", path);
    while (n > 1 && n < (int)sizeof copy && copy[n - 1] == '/') {
        copy[--n] = 0;
    }
    if (split(copy, false, dir, &leaf, &ignored) == QV_OK &&
        qv__io_posix_open(cli->mem, dir, false, &parent, &ignored) == QV_OK) {
        (void)!qv__io_rmdir(parent, leaf, &ignored);
    }
    qv__io_close(parent);
}

static qv_status restore(struct qv__cli *cli, const char *from, const char *to,
                         const uint8_t *sha256, const _Atomic bool *stop,
                         struct qv__snapshot_info *info, struct qv_err *err)
{
    struct qv__io *source = NULL, *target = NULL;
    struct stat s, before;
    char dir[4200];
    const char *leaf;
    if (stat(from, &s) != 0) {
        return qv__fail(err, QV_ENOTFOUND, "there is no such snapshot");
    }
    QV_TRY(split(from, S_ISDIR(s.st_mode), dir, &leaf, err));
    QV_TRY(qv__io_posix_open(cli->mem, dir, false, &source, err));
    bool is_new = stat(to, &before) != 0;
    qv_status st = qv__io_posix_open(cli->mem, to, true, &target, err);
    if (st == QV_OK) {
        struct qv__restore_options o = {.from = source,
                                        .path = leaf,
                                        .is_directory = S_ISDIR(s.st_mode),
                                        .to = target,
                                        .mem = cli->mem,
                                        .sha256 = sha256,
                                        .cancel = stop};
        st = qv__db_restore(&o, info, err);
        if (st == QV_ENOTFOUND && o.is_directory) {
            st = qv__fail(err, QV_ENOTFOUND, "the directory holds no snapshot");
        }
    }
    qv__io_close(target);
    if (st != QV_OK && is_new) {
        remove_empty(cli, to);
    }
    qv__io_close(source);
    return st;
}

static int fail(struct qv__cli *cli, struct qv_err *err, const char *from, const char *to)
{
    const char *hint = NULL;
    qv_status st = err->code;
    if (st == QV_EEXISTS) {
        hint = "name a directory that is empty or not there";
    } else if (st == QV_ENOTFOUND) {
        hint = "name a downloaded file, or a directory below snapshots/ of a data directory";
    }
    (void)qv__wrap(err, st, "%s%s", st == QV_EEXISTS ? to : from,
                   st == QV_ECONFLICT ? ": its SHA-256 is another" : "");
    return qv__cli_fail(cli, err, hint);
}

static int print(struct qv__cli *cli, const struct args *a, const struct qv__snapshot_info *info)
{
    struct qv__buf out;
    char bytes[32];
    qv__buf_init(&out, cli->mem);
    if (a->json) {
        struct qv__jw w;
        qv__jw_init(&w, &out);
        qv__jw_obj(&w);
        qv__jw_key(&w, "directory");
        qv__cli_json_text(&w, a->data);
        qv__jw_key(&w, "snapshot");
        qv__cli_json_text(&w, info->name);
        qv__jw_key(&w, "lsn");
        qv__jw_u64(&w, info->lsn);
        qv__jw_key(&w, "size");
        qv__jw_u64(&w, info->bytes);
        qv__jw_obj_end(&w);
        qv__buf_putc(&out, '\n');
    } else {
        qv__term_put(&out, qv__str_z(a->data));
        qv__buf_putz(&out, ": restored from ");
        qv__term_put(&out, qv__str_z(info->name));
        qv__buf_printf(&out, ", %s, LSN %" PRIu64 "\n", qv__human_bytes(info->bytes, bytes),
                       info->lsn);
    }
    int rc = qv__cli_print(cli, &out);
    qv__buf_free(&out);
    return rc;
}

static int run(struct qv__cli *cli, const struct qv__command *self, int argc, char **argv)
{
    struct args a = {.data = NULL};
    struct qv_err err = {.code = QV_OK}, ignored;
    struct qv__snapshot_info info;
    struct qv__interrupt stop = {.stop = false};
    const char *from = NULL;
    uint8_t sha256[QV__SHA256_BYTES];
    int rc = qv__options_parse(cli, self, argc, argv, &a, &from, 1, 1, NULL);
    if (rc != QV__OPTIONS_RUN) {
        return rc;
    }
    if (!a.data) {
        return qv__cli_usage(cli, "--data is needed: the directory to restore into");
    }
    if (a.checksum && !qv__sha256_parse(qv__str_z(a.checksum), sha256)) {
        return qv__cli_usage(cli, "--checksum: `%.80s` is no SHA-256 of 64 hex digits", a.checksum);
    }
    (void)!qv__interrupt_start(&stop, &ignored);
    qv_status st = restore(cli, from, a.data, a.checksum ? sha256 : NULL, &stop.stop, &info, &err);
    qv__interrupt_stop(&stop);
    if (st != QV_OK) {
        return fail(cli, &err, from, a.data);
    }
    return print(cli, &a, &info);
}

const struct qv__command qv__command_restore = {
    .name = "restore",
    .operands = "SNAPSHOT",
    .summary = "Make a database from a snapshot.",
    .about =
        "SNAPSHOT is a downloaded file or a directory below snapshots/ of a data directory. All "
        "of it is verified first. A run that was interrupted is repeated by running it again.",
    .examples = "  quiver restore backup.snapshot --data quiver-data\n",
    .options = options,
    .n_options = QV_ARRAY_LEN(options),
    .run = run,
};
