/* cmd_snapshot.c: `quiver snapshot`: snapshots of a collection or of the whole database.
 *
 * Making, listing and deleting are requests of the dialect, so a directory and a server are asked
 * alike. Downloads and uploads are streams between a file and a server and are never in memory as a
 * whole; a download gets its name when all of it is on the disk and its SHA-256 is right. */
#include <stdio.h>

#include "base/sha256.h"
#include "cli/input.h"
#include "cli/progress.h"
#include "cli/target.h"

#define LONG_WAIT_MS ((uint64_t)24 * 3600 * 1000) /* as long as the data is large */

struct args {
    struct qv__target_args target;
    const char *collection, *to;
    bool json, quiet;
};

static const struct qv__option options[] = {
    {"collection", "NAME", QV__OPT_TEXT, offsetof(struct args, collection), 0, 0,
     "of this collection (default: of the whole database)"},
    {"to", "FILE", QV__OPT_TEXT, offsetof(struct args, to), 0, 0,
     "where a download goes (default: the snapshot's name)"},
    QV__TARGET_OPTIONS(struct args),
    {"quiet", NULL, QV__OPT_FLAG, offsetof(struct args, quiet), 0, 0, "show no progress"},
    {"json", NULL, QV__OPT_FLAG, offsetof(struct args, json), 0, 0, "print the result as JSON"},
};

struct snapshot {
    struct qv__cli *cli;
    struct args args;
    const char *name; /* operand: a snapshot or a file */
    struct qv__target target;
    struct qv__arena arena;
    struct qv__buf out;
};

/* "/collections/C/snapshots" or "/snapshots", and maybe "/NAME"; NULL when memory is out. */
static const char *path_of(struct snapshot *s, const char *name, const char *rest)
{
    struct qv__buf b;
    qv__buf_init(&b, s->cli->mem);
    if (s->args.collection) {
        qv__buf_putz(&b, "/collections/");
        qv__url_put_segment(&b, qv__str_z(s->args.collection));
    }
    qv__buf_putz(&b, "/snapshots");
    if (name) {
        qv__buf_putc(&b, '/');
        qv__url_put_segment(&b, qv__str_z(name));
    }
    qv__buf_putz(&b, rest);
    char *out = b.failed ? NULL : qv__arena_strndup(&s->arena, (const char *)b.p, b.n);
    qv__buf_free(&b);
    return out;
}

static struct qv__str text_of(qv__json o, const char *key)
{
    struct qv__str v = {"", 0};
    (void)qv__json_str(qv__json_get(o, key), &v);
    return v;
}

static void put_one(struct snapshot *s, qv__json o)
{
    uint64_t size = 0;
    char bytes[32];
    (void)qv__json_u64(qv__json_get(o, "size"), &size);
    qv__term_put(&s->out, text_of(o, "name"));
    qv__buf_printf(&s->out, "\n  made    ");
    qv__term_put(&s->out, text_of(o, "creation_time"));
    qv__buf_printf(&s->out, "\n  size    %s\n  sha256  ", qv__human_bytes(size, bytes));
    qv__term_put(&s->out, text_of(o, "checksum"));
    qv__buf_putc(&s->out, '\n');
}

/* The result as it came, on one line. */
static void put_json(struct snapshot *s, qv__json result)
{
    struct qv__jw w;
    qv__jw_init(&w, &s->out);
    qv__jw_value(&w, result);
    qv__buf_putc(&s->out, '\n');
}

/* The list of snapshots. */
static qv_status list_get(struct snapshot *s, qv__json *all, struct qv_err *err)
{
    QV_TRY(qv__target_call(&s->target, QV__GET, path_of(s, NULL, ""), NULL, &s->arena, all, err));
    return (*all)->kind == QV__JSON_ARR
               ? QV_OK
               : qv__fail(err, QV_EIO, "%s answered with no list of snapshots",
                          qv__target_name(&s->target));
}

static qv_status create(struct snapshot *s, struct qv_err *err)
{
    qv__json made = NULL;
    QV_TRY(qv__target_call(&s->target, QV__POST, path_of(s, NULL, "?wait=true"), NULL, &s->arena,
                           &made, err));
    if (s->args.json) {
        put_json(s, made);
    } else {
        put_one(s, made);
    }
    return QV_OK;
}

static qv_status list(struct snapshot *s, struct qv_err *err)
{
    qv__json all = NULL;
    QV_TRY(list_get(s, &all, err));
    if (s->args.json) {
        put_json(s, all);
        return QV_OK;
    }
    qv__json o = qv__json_first(all);
    for (uint32_t i = 0; i < all->len; i++, o = qv__json_next(o)) {
        put_one(s, o);
    }
    if (all->len == 0) {
        qv__buf_putz(&s->out, "no snapshots\n");
    }
    return QV_OK;
}

static qv_status drop(struct snapshot *s, struct qv_err *err)
{
    qv__json done = NULL;
    QV_TRY(qv__target_call(&s->target, QV__DELETE, path_of(s, s->name, "?wait=true"), NULL,
                           &s->arena, &done, err));
    if (s->args.json) {
        put_json(s, done);
    } else {
        qv__buf_putz(&s->out, "deleted ");
        qv__term_put(&s->out, qv__str_z(s->name));
        qv__buf_putc(&s->out, '\n');
    }
    return QV_OK;
}

/* --- down --- */

struct download {
    struct qv__progress progress;
    struct qv__sha256 sum;
    struct qv__io *io; /* the directory it goes to */
    struct qv__file *file;
    const char *leaf;
    char part[QV__IO_NAME_MAX + 1]; /* its name until it is whole */
    uint64_t bytes;
};

static qv_status keep(void *ctx, const void *p, size_t n, uint64_t of, struct qv_err *err)
{
    struct download *d = ctx;
    qv__sha256_add(&d->sum, p, n);
    QV_TRY(qv__io_pwrite(d->file, p, n, d->bytes, err));
    d->bytes += n;
    qv__progress_at(&d->progress, d->bytes, of ? (double)d->bytes / (double)of : -1);
    return QV_OK;
}

/* The SHA-256 that the server told; "" if it did not. */
static qv_status expected(struct snapshot *s, struct qv__str *out, struct qv_err *err)
{
    qv__json all = NULL;
    QV_TRY(list_get(s, &all, err));
    qv__json o = qv__json_first(all);
    for (uint32_t i = 0; i < all->len; i++, o = qv__json_next(o)) {
        if (qv__str_eq(text_of(o, "name"), qv__str_z(s->name))) {
            *out = text_of(o, "checksum");
            return QV_OK;
        }
    }
    return qv__fail(err, QV_ENOTFOUND, "there is no snapshot %s", s->name);
}

static qv_status fetch(struct snapshot *s, struct download *d, struct qv__str want,
                       struct qv_err *err)
{
    uint8_t digest[QV__SHA256_BYTES];
    char hex[QV__SHA256_HEX + 1];
    const char *path = path_of(s, s->name, "");
    if (!path) {
        return qv__fail(err, QV_ENOMEM, "no memory for a request");
    }
    qv__sha256_init(&d->sum);
    QV_TRY(qv__http_fetch(s->target.http, path, keep, d, &s->target.answer, err));
    if (s->target.answer.status != 200) {
        return qv__fail(err, QV_EIO, "the download failed with status %d", s->target.answer.status);
    }
    qv__sha256_end(&d->sum, digest);
    qv__sha256_hex(digest, hex);
    if (!qv__str_eq(want, qv__str_z(hex))) {
        return qv__fail(err, QV_ECORRUPT, "what arrived has the SHA-256 %s, not %.*s", hex,
                        (int)want.n, want.p);
    }
    return QV_OK;
}

/* Open the directory that `to` is in, and make the file that will be renamed. */
static qv_status open_download(struct snapshot *s, struct download *d, const char *to,
                               struct qv_err *err)
{
    const char *slash = strrchr(to, '/');
    struct qv__file *there = NULL;
    struct qv_err why;
    char dir[4200];
    int n = slash ? snprintf(dir, sizeof dir, "%.*s", (int)(slash - to + 1), to)
                  : snprintf(dir, sizeof dir, ".");
    d->leaf = slash ? slash + 1 : to;
    if (n < 0 || (size_t)n >= sizeof dir || strlen(d->leaf) + 5 > QV__IO_NAME_MAX) {
        return qv__fail(err, QV_EINVAL, "%.64s...: the name is too long", to);
    }
    snprintf(d->part, sizeof d->part, "%s.part", d->leaf);
    QV_TRY(qv__io_posix_open(s->cli->mem, dir, false, &d->io, err));
    qv_status st = qv__io_open(d->io, d->leaf, QV__OPEN_READ, &there, &why);
    qv__io_file_close(there, NULL);
    if (st != QV_ENOTFOUND) {
        return qv__fail(err, QV_EEXISTS, "%s is there already", to);
    }
    return qv__io_open(d->io, d->part, QV__OPEN_CREATE | QV__OPEN_TRUNC, &d->file, err);
}

/* The bytes, then the name. */
static qv_status finish_download(struct download *d, struct qv_err *err)
{
    QV_TRY(qv__io_sync(d->file, false, err));
    qv_status st = qv__io_file_close(d->file, err);
    d->file = NULL;
    QV_TRY(st);
    QV_TRY(qv__io_rename(d->io, d->part, d->leaf, err));
    return qv__io_sync_dir(d->io, "", err);
}

static void put_download(struct snapshot *s, const struct download *d, const char *to,
                         struct qv__str sum)
{
    char bytes[32];
    if (!s->args.json) {
        qv__term_put(&s->out, qv__str_z(to));
        qv__buf_printf(&s->out, ": %s, SHA-256 as announced\n", qv__human_bytes(d->bytes, bytes));
        return;
    }
    struct qv__jw w;
    qv__jw_init(&w, &s->out);
    qv__jw_obj(&w);
    qv__jw_key(&w, "file");
    qv__cli_json_text(&w, to);
    qv__jw_key(&w, "size");
    qv__jw_u64(&w, d->bytes);
    qv__jw_key(&w, "checksum");
    qv__jw_str_n(&w, sum);
    qv__jw_obj_end(&w);
    qv__buf_putc(&s->out, '\n');
}

static qv_status download(struct snapshot *s, struct qv_err *err)
{
    struct download d = {.bytes = 0};
    struct qv__str want = {"", 0};
    struct qv_err ignored;
    const char *to = s->args.to ? s->args.to : s->name;
    if (!s->args.to && strchr(s->name, '/')) {
        return qv__fail(err, QV_EINVAL, "`%s` is no file name: say where it goes with --to",
                        s->name);
    }
    QV_TRY(expected(s, &want, err));
    qv_status st = open_download(s, &d, to, err);
    if (st == QV_OK) {
        bool quiet = s->args.quiet || s->args.json;
        qv__progress_start(&d.progress, s->cli, "downloading", "bytes", quiet);
        st = fetch(s, &d, want, err);
        qv__progress_clear(&d.progress);
        st = st == QV_OK ? finish_download(&d, err) : st;
        qv__io_file_close(d.file, NULL);
        if (st != QV_OK) {
            (void)!qv__io_unlink(d.io, d.part, &ignored);
        }
    }
    qv__io_close(d.io);
    if (st == QV_OK) {
        put_download(s, &d, to, want);
    }
    return st;
}

/* --- up --- */

struct upload {
    struct qv__progress progress;
    struct qv__input in;
    struct qv__buf before, after; /* of the form, around the file's bytes */
    uint64_t at, total;
};

static qv_status give(void *ctx, void *to, size_t max, size_t *got, struct qv_err *err)
{
    struct upload *u = ctx;
    uint64_t file_end = u->before.n + u->in.size;
    *got = (size_t)QV_MIN((uint64_t)max, u->total - u->at);
    if (u->at < u->before.n) {
        *got = QV_MIN(*got, (size_t)(u->before.n - u->at));
        memcpy(to, u->before.p + u->at, *got);
    } else if (u->at < file_end) {
        *got = (size_t)QV_MIN((uint64_t)*got, file_end - u->at);
        QV_TRY(qv__input_read(&u->in, to, *got, u->at - u->before.n, err));
    } else {
        memcpy(to, u->after.p + (u->at - file_end), *got);
    }
    u->at += *got;
    qv__progress_at(&u->progress, u->at, u->total ? (double)u->at / (double)u->total : -1);
    return QV_OK;
}

static qv_status send_form(struct snapshot *s, struct upload *u, struct qv_err *err)
{
    char boundary[40], type[96];
    uint64_t random[2];
    const char *path = path_of(s, NULL, "/upload?wait=true&priority=snapshot");
    QV_TRY(qv__os_entropy(random, sizeof random, err));
    snprintf(boundary, sizeof boundary, "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
    snprintf(type, sizeof type, "multipart/form-data; boundary=%s", boundary);
    qv__buf_printf(&u->before,
                   "--%s\r\nContent-Disposition: form-data; name=\"snapshot\"; "
                   "filename=\"snapshot\"\r\nContent-Type: application/octet-stream\r\n\r\n",
                   boundary);
    qv__buf_printf(&u->after, "\r\n--%s--\r\n", boundary);
    QV_TRY(qv__buf_status(&u->before, err));
    QV_TRY(qv__buf_status(&u->after, err));
    if (!path) {
        return qv__fail(err, QV_ENOMEM, "no memory for a request");
    }
    u->total = u->before.n + u->in.size + u->after.n;
    struct qv__http_upload up = {.type = type, .bytes = u->total, .read = give, .ctx = u};
    QV_TRY(qv__http_send(s->target.http, "POST", path, &up, &s->target.answer, err));
    return qv__target_check(&s->target, &s->arena, err);
}

static qv_status upload(struct snapshot *s, struct qv_err *err)
{
    struct upload u = {.at = 0};
    qv__buf_init(&u.before, s->cli->mem);
    qv__buf_init(&u.after, s->cli->mem);
    qv_status st = qv__input_open(&u.in, s->cli->mem, s->name, err);
    if (st == QV_OK) {
        qv__progress_start(&u.progress, s->cli, "uploading", "bytes",
                           s->args.quiet || s->args.json);
        st = send_form(s, &u, err);
        qv__progress_clear(&u.progress);
    }
    qv__input_close(&u.in);
    qv__buf_free(&u.before);
    qv__buf_free(&u.after);
    QV_TRY(st);
    if (s->args.json) {
        qv__buf_putz(&s->out, "true\n");
    } else {
        qv__buf_printf(&s->out, "recovered ");
        qv__term_put(&s->out, qv__str_z(s->args.collection));
        qv__buf_putc(&s->out, '\n');
    }
    return QV_OK;
}

/* --- the command --- */

static const struct action {
    const char *name;
    qv_status (*run)(struct snapshot *s, struct qv_err *err);
    bool write, named, url;
} actions[] = {
    {"create", create, true, false, false}, {"list", list, false, false, false},
    {"delete", drop, true, true, false},    {"download", download, false, true, true},
    {"upload", upload, true, true, true},
};

static const struct action *find_action(const char *word)
{
    for (size_t i = 0; i < QV_ARRAY_LEN(actions); i++) {
        if (strcmp(actions[i].name, word) == 0) {
            return &actions[i];
        }
    }
    return NULL;
}

/* What is wrong with the command line; NULL if nothing is. */
static const char *complaint(const struct snapshot *s, const struct action *a, size_t n)
{
    if (a->named != (n == 2)) {
        return a->named ? "one more word is needed: the snapshot's name, or the file to upload"
                        : "there is a word too many";
    }
    if (a->url && !s->args.target.url) {
        return "it takes a running server: --url";
    }
    if (a->run == upload && !s->args.collection) {
        return "--collection is needed; a whole database is restored by quiver restore";
    }
    return s->args.to && a->run != download ? "--to is of use with download only" : NULL;
}

static int run_action(struct snapshot *s, const struct action *a)
{
    struct qv_err err = {.code = QV_OK}, closing = {.code = QV_OK};
    struct qv__target_needs needs = {.write = a->write, .timeout_ms = LONG_WAIT_MS};
    qv__arena_init(&s->arena, s->cli->mem);
    qv__buf_init(&s->out, s->cli->mem);
    int rc = qv__target_open(&s->target, s->cli, &s->args.target, &needs);
    if (rc == QV__EXIT_OK) {
        qv_status st = a->run(s, &err);
        rc = st == QV_OK ? QV__EXIT_OK
                         : qv__cli_fail(s->cli, &err, qv__target_hint(&s->target, &err));
    }
    if (qv__target_close(&s->target, &closing) != QV_OK && rc == QV__EXIT_OK) {
        rc = qv__cli_fail(s->cli, &closing, NULL);
    }
    if (rc == QV__EXIT_OK) {
        rc = qv__cli_print(s->cli, &s->out);
    }
    qv__buf_free(&s->out);
    qv__arena_free(&s->arena);
    return rc;
}

static int run(struct qv__cli *cli, const struct qv__command *self, int argc, char **argv)
{
    struct snapshot s = {.cli = cli};
    const char *words[2] = {NULL, NULL};
    size_t n = 0;
    int rc = qv__options_parse(cli, self, argc, argv, &s.args, words, 1, 2, &n);
    if (rc != QV__OPTIONS_RUN) {
        return rc;
    }
    const struct action *a = find_action(words[0]);
    if (!a) {
        return qv__cli_usage(cli, "`%s` is none of create, list, delete, download, upload",
                             words[0]);
    }
    s.name = words[1];
    const char *wrong = complaint(&s, a, n);
    return wrong ? qv__cli_usage(cli, "%s: %s", a->name, wrong) : run_action(&s, a);
}

const struct qv__command qv__command_snapshot = {
    .name = "snapshot",
    .operands = "ACTION [NAME]",
    .summary = "Make, list, delete, download or upload snapshots.",
    .about = "ACTION is create, list, delete NAME, download NAME or upload FILE. A snapshot is the "
             "state of a collection, or of the whole database, at one instant; reads and writes go "
             "on. An upload takes the place of the collection.",
    .examples = "  quiver snapshot create --url http://127.0.0.1:6333\n"
                "  quiver snapshot download NAME --url http://127.0.0.1:6333 --to backup.snapshot\n"
                "  quiver restore backup.snapshot --data new-directory\n",
    .options = options,
    .n_options = QV_ARRAY_LEN(options),
    .run = run,
};
