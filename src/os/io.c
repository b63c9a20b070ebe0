/* io.c: what both backends share: name checks, argument checks, whole-file reads and writes.
 *
 * The vtable is called only from here, so a backend may rely on: names that passed check_name,
 * files that are writable where they must be, ranges that do not pass INT64_MAX, flags that make
 * sense. No state, no locks; memory only for the block that qv__io_read_file returns. */
#include "os/io.h"
#include "base/plant.h"

#define TMP_SUFFIX ".tmp"

/* Every part of a name is non-empty and neither "." nor "..": no name can leave the root. */
static bool parts_are_plain(const char *name, size_t n)
{
    size_t start = 0;
    for (size_t i = 0; i <= n; i++) {
        if (i < n && name[i] != '/') {
            continue;
        }
        size_t len = i - start;
        const char *part = name + start;
        if (len == 0 || (len == 1 && part[0] == '.') ||
            (len == 2 && part[0] == '.' && part[1] == '.')) {
            return false;
        }
        start = i + 1;
    }
    return true;
}

static qv_status check_name(const char *name, bool is_dir, struct qv_err *err)
{
    if (!name) {
        return qv__fail(err, QV_EINVAL, "file name: missing");
    }
    size_t n = strnlen(name, QV__IO_NAME_MAX + 1);
    if (n > QV__IO_NAME_MAX) {
        return qv__fail(err, QV_EINVAL, "file name: longer than %d bytes: %.64s...",
                        QV__IO_NAME_MAX, name);
    }
    if (n == 0 && is_dir) {
        return QV_OK; /* the root */
    }
    if (!parts_are_plain(name, n)) {
        return qv__fail(err, QV_EINVAL, "file name: not a plain relative path: \"%s\"", name);
    }
    return QV_OK;
}

static qv_status check_range(const struct qv__file *f, uint64_t off, uint64_t n, struct qv_err *err)
{
    if (off > INT64_MAX || n > (uint64_t)INT64_MAX - off) {
        return qv__fail(err, QV_EINVAL,
                        "%s: offset %" PRIu64 " with length %" PRIu64 " is out of range", f->name,
                        off, n);
    }
    return QV_OK;
}

static qv_status check_writable(const struct qv__file *f, struct qv_err *err)
{
    if (!f->writable) {
        return qv__fail(err, QV_EINVAL, "%s: open for reading only", f->name);
    }
    return QV_OK;
}

void qv__io_close(struct qv__io *io)
{
    if (io) {
        io->ops->close_io(io);
    }
}

qv_status qv__io_open(struct qv__io *io, const char *name, int flags, struct qv__file **out,
                      struct qv_err *err)
{
    const int known = QV__OPEN_WRITE | QV__OPEN_CREATE | QV__OPEN_EXCL | QV__OPEN_TRUNC;
    QV_TRY(check_name(name, false, err));
    if (flags & QV__OPEN_CREATE) {
        flags |= QV__OPEN_WRITE;
    }
    if ((flags & ~known) || ((flags & QV__OPEN_EXCL) && !(flags & QV__OPEN_CREATE)) ||
        ((flags & QV__OPEN_TRUNC) && !(flags & QV__OPEN_WRITE))) {
        return qv__fail(err, QV_EINVAL, "open %s: flags %#x make no sense", name, (unsigned)flags);
    }
    return io->ops->open(io, name, flags, out, err);
}

qv_status qv__io_file_close(struct qv__file *f, struct qv_err *err)
{
    return f ? f->io->ops->close(f, err) : QV_OK;
}

qv_status qv__io_pread(struct qv__file *f, void *buf, size_t n, uint64_t off, struct qv_err *err)
{
    QV_TRY(check_range(f, off, n, err));
    return f->io->ops->pread(f, buf, n, off, err);
}

qv_status qv__io_pwrite(struct qv__file *f, const void *buf, size_t n, uint64_t off,
                        struct qv_err *err)
{
    QV_TRY(check_writable(f, err));
    QV_TRY(check_range(f, off, n, err));
    return f->io->ops->pwrite(f, buf, n, off, err);
}

qv_status qv__io_size(struct qv__file *f, uint64_t *out, struct qv_err *err)
{
    return f->io->ops->size(f, out, err);
}

qv_status qv__io_truncate(struct qv__file *f, uint64_t size, struct qv_err *err)
{
    QV_TRY(check_writable(f, err));
    QV_TRY(check_range(f, size, 0, err));
    return f->io->ops->truncate(f, size, err);
}

qv_status qv__io_allocate(struct qv__file *f, uint64_t size, struct qv_err *err)
{
    QV_TRY(check_writable(f, err));
    QV_TRY(check_range(f, size, 0, err));
    return f->io->ops->allocate(f, size, err);
}

qv_status qv__io_reserve(struct qv__file *f, uint64_t size, struct qv_err *err)
{
    QV_TRY(check_writable(f, err));
    QV_TRY(check_range(f, size, 0, err));
    return f->io->ops->reserve(f, size, err);
}

qv_status qv__io_sync(struct qv__file *f, bool data_only, struct qv_err *err)
{
    return f->io->ops->sync(f, data_only, err);
}

qv_status qv__io_map(struct qv__file *f, uint64_t off, size_t n, struct qv__map_view *out,
                     struct qv_err *err)
{
    QV_TRY(check_range(f, off, n, err));
    if (n == 0) {
        *out = (struct qv__map_view){0}; /* no system maps nothing */
        return QV_OK;
    }
    return f->io->ops->map(f, off, n, out, err);
}

void qv__io_unmap(struct qv__io *io, struct qv__map_view *v)
{
    if (v->impl) {
        io->ops->unmap(io, v);
    }
    *v = (struct qv__map_view){0};
}

bool qv__map_failed(const struct qv__map_view *v)
{
    /* What was read before is ordered before the look: see map_guard.c. */
    atomic_thread_fence(memory_order_acquire);
    return v->failed && atomic_load_explicit(v->failed, memory_order_relaxed);
}

void qv__io_advise(struct qv__io *io, const struct qv__map_view *v, size_t off, size_t n,
                   enum qv__advice a)
{
    if (!v->impl || off >= v->n) {
        return;
    }
    n = QV_MIN(n, v->n - off);
    if (n > 0) {
        io->ops->advise(io, v, off, n, a);
    }
}

qv_status qv__io_rename(struct qv__io *io, const char *from, const char *to, struct qv_err *err)
{
    QV_TRY(check_name(from, false, err));
    QV_TRY(check_name(to, false, err));
    return io->ops->rename(io, from, to, err);
}

qv_status qv__io_link(struct qv__io *io, const char *from, const char *to, struct qv_err *err)
{
    QV_TRY(check_name(from, false, err));
    QV_TRY(check_name(to, false, err));
    return io->ops->link(io, from, to, err);
}

qv_status qv__io_unlink(struct qv__io *io, const char *name, struct qv_err *err)
{
    QV_TRY(check_name(name, false, err));
    return io->ops->unlink(io, name, err);
}

qv_status qv__io_mkdir(struct qv__io *io, const char *name, struct qv_err *err)
{
    QV_TRY(check_name(name, false, err));
    return io->ops->mkdir(io, name, err);
}

qv_status qv__io_rmdir(struct qv__io *io, const char *name, struct qv_err *err)
{
    QV_TRY(check_name(name, false, err));
    return io->ops->rmdir(io, name, err);
}

qv_status qv__io_list(struct qv__io *io, const char *dir,
                      void (*cb)(void *, const char *name, bool is_dir), void *arg,
                      struct qv_err *err)
{
    QV_TRY(check_name(dir, true, err));
    return io->ops->list(io, dir, cb, arg, err);
}

qv_status qv__io_sync_dir(struct qv__io *io, const char *dir, struct qv_err *err)
{
    QV_TRY(check_name(dir, true, err));
    return io->ops->sync_dir(io, dir, err);
}

qv_status qv__io_lock(struct qv__file *f, struct qv_err *err)
{
    return f->io->ops->lock(f, err);
}

qv_status qv__io_free_space(struct qv__io *io, uint64_t *bytes, uint64_t *total, struct qv_err *err)
{
    uint64_t ignored;
    return io->ops->free_space(io, bytes, total ? total : &ignored, err);
}

qv_status qv__io_read_file(struct qv__io *io, const char *name, size_t limit, struct qv__mem *mem,
                           void **out, size_t *n, struct qv_err *err)
{
    struct qv__file *f = NULL;
    uint8_t *block = NULL;
    uint64_t size = 0;
    qv_status st;
    QV_GOTO(qv__io_open(io, name, QV__OPEN_READ, &f, err));
    QV_GOTO(qv__io_size(f, &size, err));
    if (size > limit || size >= SIZE_MAX) {
        st = qv__fail(err, QV_ETOOBIG, "%s: %" PRIu64 " bytes are over the limit of %zu", name,
                      size, limit);
        goto out;
    }
    block = (uint8_t *)qv__alloc(mem, (size_t)size + 1);
    if (!block) {
        st = qv__fail(err, QV_ENOMEM, "%s: no memory for %" PRIu64 " bytes", name, size);
        goto out;
    }
    QV_GOTO(qv__io_pread(f, block, (size_t)size, 0, err));
    block[size] = 0;
    *out = block;
    *n = (size_t)size;
    block = NULL;
out:
    qv__free(block);
    qv__io_file_close(f, NULL); /* nothing was written: nothing can be lost */
    return st;
}

/* A new file of that name, and never the bytes of an old one: after a crash in the middle of a
 * rename a left-over temporary may be a second name of the very file that it was to replace. */
static qv_status create_afresh(struct qv__io *io, const char *tmp, struct qv__file **f,
                               struct qv_err *err)
{
    struct qv_err why;
    qv_status st = qv__io_open(io, tmp, QV__OPEN_CREATE | QV__OPEN_EXCL, f, &why);
    if (st == QV_EEXISTS) {
        QV_TRY(qv__io_unlink(io, tmp, err));
        return qv__io_open(io, tmp, QV__OPEN_CREATE | QV__OPEN_EXCL, f, err);
    }
    if (st != QV_OK && err) {
        *err = why;
    }
    return st;
}

/* Create `tmp`, fill it and make its bytes durable; its name is not yet. */
static qv_status write_synced(struct qv__io *io, const char *tmp, const void *p, size_t n,
                              struct qv_err *err)
{
    struct qv__file *f = NULL;
    QV_TRY(create_afresh(io, tmp, &f, err));
    qv_status st = n ? qv__io_pwrite(f, p, n, 0, err) : QV_OK;
    if (st == QV_OK && !QV_PLANT(rename_before_sync)) {
        st = qv__io_sync(f, false, err);
    }
    qv_status closed = qv__io_file_close(f, st == QV_OK ? err : NULL);
    return st == QV_OK ? closed : st;
}

qv_status qv__io_write_file(struct qv__io *io, const char *name, const void *p, size_t n,
                            struct qv_err *err)
{
    char path[QV__IO_NAME_MAX + 1];
    QV_TRY(check_name(name, false, err));
    size_t len = strlen(name);
    if (len + sizeof TMP_SUFFIX > sizeof path) {
        return qv__fail(err, QV_EINVAL, "file name: no room for " TMP_SUFFIX " after %s", name);
    }
    memcpy(path, name, len);
    memcpy(path + len, TMP_SUFFIX, sizeof TMP_SUFFIX);

    qv_status st = write_synced(io, path, p, n, err);
    if (st == QV_OK) {
        st = qv__io_rename(io, path, name, err);
    }
    if (st != QV_OK) {
        /* The first error is the one to tell; a temporary that stays is harmless. */
        qv_status ignored = qv__io_unlink(io, path, NULL);
        (void)ignored;
        return st;
    }
    const char *slash = strrchr(name, '/');
    path[slash ? slash - name : 0] = 0; /* now the directory of `name` */
    return qv__io_sync_dir(io, path, err);
}
