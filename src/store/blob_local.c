/* blob_local.c: blobs as files of one directory.
 *
 * Publishing is a hard link into the directory: it fails when the name is taken, by whomever and at
 * whatever moment, and never replaces anything. The directory is synced before adopt returns; only
 * then does the staged name go. File systems without hard links get a look at the name and a rename
 * instead, which is as good, since one process owns the directory and names are not chosen twice.
 *
 * Nothing here is ever written after publication, so removal need not be durable: a blob that a
 * crash brings back is one that no manifest names. No locks; memory for the object alone. */
#include "base/plant.h"
#include "store/blob.h"

#include <stdio.h>

#define COPY_BYTES ((size_t)1 << 20)

struct blobs_local {
    struct qv__blobs base;
    struct qv__io *io; /* borrowed */
    struct qv__mem *mem;
    char *dir;
    char *staging_dir;
};

static struct blobs_local *local_of(struct qv__blobs *b)
{
    return QV_CONTAINER_OF(b, struct blobs_local, base);
}

static qv_status path_of(const struct blobs_local *b, const char *name,
                         char out[QV__IO_NAME_MAX + 1], struct qv_err *err)
{
    if (!*name || strchr(name, '/')) {
        return qv__fail(err, QV_EINVAL, "blob: not a plain name: \"%.64s\"", name);
    }
    int n = snprintf(out, QV__IO_NAME_MAX + 1, "%s%s%s", b->dir, *b->dir ? "/" : "", name);
    if (n < 0 || n > QV__IO_NAME_MAX) {
        return qv__fail(err, QV_EINVAL, "blob: the name is too long: %.64s...", name);
    }
    return QV_OK;
}

static qv_status size_of(struct qv__io *io, const char *path, uint64_t *size, struct qv_err *err)
{
    struct qv__file *f;
    QV_TRY(qv__io_open(io, path, QV__OPEN_READ, &f, err));
    qv_status st = qv__io_size(f, size, err);
    qv__io_file_close(f, NULL); /* nothing was written */
    return st;
}

/* For file systems that cannot link. */
static qv_status rename_if_absent(struct blobs_local *b, const char *staged, const char *path,
                                  struct qv_err *err)
{
    uint64_t size;
    qv_status st = size_of(b->io, path, &size, err);
    if (st == QV_OK) {
        return qv__fail(err, QV_EEXISTS, "blob %s exists", path);
    }
    return st == QV_ENOTFOUND ? qv__io_rename(b->io, staged, path, err) : st;
}

static qv_status local_adopt(struct qv__blobs *base, const char *staged, const char *name,
                             struct qv_err *err)
{
    struct blobs_local *b = local_of(base);
    char path[QV__IO_NAME_MAX + 1];
    QV_TRY(path_of(b, name, path, err));
    qv_status st = qv__io_link(b->io, staged, path, err);
    if (st == QV_EIO) {
        st = rename_if_absent(b, staged, path, err);
    }
    if (st != QV_OK) {
        return st;
    }
    st = QV_PLANT(skip_dir_sync) ? QV_OK : qv__io_sync_dir(b->io, b->dir, err);
    if (st != QV_OK) {
        /* It may or may not be durable; the caller will not name it, so it should not be there. */
        qv_status ignored = qv__io_unlink(b->io, path, NULL);
        (void)ignored;
        return st;
    }
    qv_status ignored = qv__io_unlink(b->io, staged, NULL); /* the other link, if there is one */
    (void)ignored;
    return QV_OK;
}

static qv_status local_map(struct qv__blobs *base, const char *name, struct qv__map_view *out,
                           struct qv_err *err)
{
    struct blobs_local *b = local_of(base);
    char path[QV__IO_NAME_MAX + 1];
    struct qv__file *f;
    uint64_t size;
    QV_TRY(path_of(b, name, path, err));
    QV_TRY(qv__io_open(b->io, path, QV__OPEN_READ, &f, err));
    qv_status st = qv__io_size(f, &size, err);
    if (st == QV_OK) {
        st = qv__io_map(f, 0, (size_t)size, out, err);
    }
    qv__io_file_close(f, NULL); /* the view outlives the file */
    return st;
}

static void local_unmap(struct qv__blobs *base, struct qv__map_view *v)
{
    qv__io_unmap(local_of(base)->io, v);
}

static qv_status local_head(struct qv__blobs *base, const char *name, uint64_t *size,
                            struct qv_err *err)
{
    struct blobs_local *b = local_of(base);
    char path[QV__IO_NAME_MAX + 1];
    QV_TRY(path_of(b, name, path, err));
    return size_of(b->io, path, size, err);
}

struct list_ctx {
    void (*cb)(void *, const char *);
    void *arg;
};

static void list_one(void *arg, const char *name, bool is_dir)
{
    const struct list_ctx *c = (const struct list_ctx *)arg;
    if (!is_dir) {
        c->cb(c->arg, name);
    }
}

static qv_status local_list(struct qv__blobs *base, void (*cb)(void *, const char *), void *arg,
                            struct qv_err *err)
{
    struct blobs_local *b = local_of(base);
    struct list_ctx c = {cb, arg};
    return qv__io_list(b->io, b->dir, list_one, &c, err);
}

static qv_status local_remove(struct qv__blobs *base, const char *name, struct qv_err *err)
{
    struct blobs_local *b = local_of(base);
    char path[QV__IO_NAME_MAX + 1];
    struct qv_err why;
    QV_TRY(path_of(b, name, path, err));
    qv_status st = qv__io_unlink(b->io, path, &why);
    if (st != QV_OK && st != QV_ENOTFOUND) {
        if (err) {
            *err = why;
        }
        return st;
    }
    return QV_OK;
}

/* For file systems that cannot link, and files that have as many links as they may. */
static qv_status copy_to(struct blobs_local *b, const char *from, const char *to,
                         struct qv_err *err)
{
    struct qv__file *in = NULL, *out = NULL;
    uint64_t size = 0;
    uint8_t *buf = NULL;
    QV_TRY(qv__io_open(b->io, from, QV__OPEN_READ, &in, err));
    qv_status st = qv__io_open(b->io, to, QV__OPEN_CREATE | QV__OPEN_EXCL, &out, err);
    QV_GOTO(st);
    buf = (uint8_t *)qv__alloc(b->mem, COPY_BYTES);
    if (!buf) {
        QV_GOTO(qv__fail(err, QV_ENOMEM, "blob: no memory to copy %s", from));
    }
    QV_GOTO(qv__io_size(in, &size, err));
    for (uint64_t at = 0; at < size; at += COPY_BYTES) {
        size_t n = (size_t)QV_MIN(size - at, (uint64_t)COPY_BYTES);
        QV_GOTO(qv__io_pread(in, buf, n, at, err));
        QV_GOTO(qv__io_pwrite(out, buf, n, at, err));
    }
    QV_GOTO(qv__io_sync(out, false, err));
out:
    qv__free(buf);
    qv__io_file_close(in, NULL);
    qv_status closed = qv__io_file_close(out, st == QV_OK ? err : NULL);
    if (out && (st != QV_OK || closed != QV_OK)) {
        qv_status ignored = qv__io_unlink(b->io, to, NULL);
        (void)ignored;
    }
    return st == QV_OK ? closed : st;
}

static qv_status local_lend(struct qv__blobs *base, const char *name, const char *path,
                            struct qv_err *err)
{
    struct blobs_local *b = local_of(base);
    char from[QV__IO_NAME_MAX + 1];
    QV_TRY(path_of(b, name, from, err));
    qv_status st = qv__io_link(b->io, from, path, err);
    return st == QV_EIO ? copy_to(b, from, path, err) : st;
}

static void local_close(struct qv__blobs *base)
{
    struct blobs_local *b = local_of(base);
    qv__free(b->dir);
    qv__free(b->staging_dir);
    qv__free(b);
}

static const struct qv__blobs_ops local_ops = {
    .adopt = local_adopt,
    .map = local_map,
    .unmap = local_unmap,
    .head = local_head,
    .list = local_list,
    .remove = local_remove,
    .lend = local_lend,
    .close = local_close,
};

qv_status qv__blobs_local_open(struct qv__io *io, const char *dir, const char *staging_dir,
                               struct qv__mem *mem, struct qv__blobs **out, struct qv_err *err)
{
    struct blobs_local *b = (struct blobs_local *)qv__zalloc(mem, sizeof *b);
    if (b) {
        b->dir = qv__strndup(mem, dir, strlen(dir));
        b->staging_dir = qv__strndup(mem, staging_dir, strlen(staging_dir));
    }
    if (!b || !b->dir || !b->staging_dir) {
        if (b) {
            local_close(&b->base);
        }
        return qv__fail(err, QV_ENOMEM, "blobs: no memory to open %s", dir);
    }
    b->base = (struct qv__blobs){&local_ops, io, b->staging_dir};
    b->io = io;
    b->mem = mem;
    *out = &b->base;
    return QV_OK;
}
