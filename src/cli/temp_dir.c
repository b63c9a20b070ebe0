/* temp_dir.c: a directory for one run. Its name is random and it is made, never reused, so nobody
 * can have prepared it; symbolic links inside are removed, not followed. */
#include "cli/temp_dir.h"

#include <stdio.h>

#include "base/arena.h"

#define DEPTH_MAX 64u /* directories of one tree that are removed */
#define PASSES    5u  /* somebody may still be writing into it */

qv_status qv__temp_dir_make(struct qv__temp_dir *t, struct qv__mem *mem, const char *prefix,
                            struct qv_err *err)
{
    const char *from = getenv("TMPDIR");
    const char *parent = from && *from ? from : "/tmp";
    uint64_t random = 0;
    char name[sizeof t->name];
    memset(t, 0, sizeof *t);
    QV_TRY(qv__os_entropy(&random, sizeof random, err));
    (void)snprintf(name, sizeof name, "%.12s-%016" PRIx64, prefix, random);
    int n = snprintf(t->path, sizeof t->path, "%s/%s", parent, name);
    if (n < 0 || (size_t)n >= sizeof t->path) {
        return qv__fail(err, QV_EINVAL, "TMPDIR: the path is too long");
    }
    QV_TRY(qv__io_posix_open(mem, parent, false, &t->io, err));
    qv_status st = qv__io_mkdir(t->io, name, err);
    if (st != QV_OK) {
        qv__io_close(t->io);
        t->io = NULL;
        return st;
    }
    memcpy(t->name, name, sizeof name);
    return QV_OK;
}

struct tree {
    struct qv__arena arena;
    struct qv__io *io;
    const char *dirs[DEPTH_MAX]; /* parents before children */
    size_t n, at;
    struct file {
        const char *path;
        struct file *next;
    } * files;
};

static void visit(void *arg, const char *name, bool is_dir)
{
    struct tree *tree = arg;
    char path[QV__IO_NAME_MAX + 1];
    int n = snprintf(path, sizeof path, "%s/%s", tree->dirs[tree->at], name);
    if (n < 0 || (size_t)n >= sizeof path || (is_dir && tree->n == DEPTH_MAX)) {
        return;
    }
    const char *copy = qv__arena_strndup(&tree->arena, path, (size_t)n);
    struct file *f = is_dir ? NULL : qv__arena_alloc(&tree->arena, sizeof *f);
    if (copy && is_dir) {
        tree->dirs[tree->n++] = copy;
    } else if (copy && f) {
        *f = (struct file){copy, tree->files};
        tree->files = f;
    }
}

/* True when nothing is left. */
static bool remove_once(struct qv__temp_dir *t)
{
    struct tree tree = {.io = t->io, .dirs = {t->name}, .n = 1};
    bool gone = true;
    qv__arena_init(&tree.arena, t->io->mem);
    for (tree.at = 0; tree.at < tree.n; tree.at++) {
        (void)!qv__io_list(t->io, tree.dirs[tree.at], visit, &tree, NULL);
    }
    for (const struct file *f = tree.files; f; f = f->next) {
        (void)!qv__io_unlink(t->io, f->path, NULL);
    }
    for (size_t i = tree.n; i-- > 0;) {
        qv_status st = qv__io_rmdir(t->io, tree.dirs[i], NULL);
        gone &= st == QV_OK || st == QV_ENOTFOUND;
    }
    qv__arena_free(&tree.arena);
    return gone;
}

void qv__temp_dir_remove(struct qv__temp_dir *t)
{
    if (!t->io) {
        return;
    }
    for (unsigned i = 0; i < PASSES && !remove_once(t); i++) {
    }
    qv__io_close(t->io);
    t->io = NULL;
}
