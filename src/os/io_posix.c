/* io_posix.c: io.h over the files of this machine.
 *
 * Names are resolved in io_posix_path.c; here are the calls on what was opened. Every loop ends
 * with all bytes or an error: reads and writes that are cut short or interrupted go on where they
 * stopped. sync is fsync or fdatasync, once: after an error the kernel may have dropped the dirty
 * pages and says "ok" the next time, so a second try would lie.
 *
 * allocate reserves with fallocate (one extent, and a full disk is told before anything changes)
 * and then writes zeros over the reservation. Without the zeros the extents stay marked
 * "unwritten", and the first write to each would have to change metadata, which makes every later
 * fdatasync commit the journal as well. Where fallocate is not supported the zeros alone do it.
 *
 * lock is flock: it belongs to the open file description, so a second open is refused in this
 * process as in others, and, unlike fcntl's record locks, closing some other descriptor of the file
 * does not drop it.
 *
 * Memory: one block per io, per open file and per mapping. Locks: none; the only shared state is an
 * atomic count of open files and views, there to catch a leak when the io is closed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h> /* renameat */
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "os/io_names.h"
#include "os/io_posix.h"
#include "os/io_posix_path.h"
#include "os/map_guard.h"

_Static_assert(sizeof(off_t) == 8, "build with 64-bit file offsets");

#define FILE_MODE  0600
#define DIR_MODE   0700
/* Zeros of one pwritev: 256 times one page. */
#define ZERO_BYTES 4096
#define ZERO_IOVS  256

struct posix_io {
    struct qv__io base;
    struct qv__posix_root root; /* immutable after open */
    atomic_size_t n_handles;    /* open files and views */
    char path[];                /* for messages */
};

/* One mapping; `map_guard.h` watches it. */
struct posix_view {
    struct qv__map_region region;
};

struct posix_file {
    struct qv__file base;
    int fd;
    char name[];
};

static struct posix_io *io_of(struct qv__io *io)
{
    return QV_CONTAINER_OF(io, struct posix_io, base);
}

static struct posix_file *file_of(struct qv__file *f)
{
    return QV_CONTAINER_OF(f, struct posix_file, base);
}

static qv_status code_of(int os_errno)
{
    switch (os_errno) {
    case ENOENT:
        return QV_ENOTFOUND;
    case EEXIST:
    case ENOTEMPTY:
        return QV_EEXISTS;
    case EMFILE:
    case ENFILE:
        return QV_EBUSY;
    default:
        return QV_EIO; /* qv__fail_os knows ENOSPC, EDQUOT, EFBIG and ENOMEM */
    }
}

static qv_status fail(struct qv__io *io, struct qv_err *err, const char *verb, const char *name)
{
    int saved = errno;
    return qv__fail_os(err, code_of(saved), saved, "%s %s%s%s", verb, io_of(io)->path,
                       *name ? "/" : "", name);
}

static qv_status fail_two(struct qv__io *io, struct qv_err *err, const char *verb, const char *from,
                          const char *to)
{
    int saved = errno;
    return qv__fail_os(err, code_of(saved), saved, "%s %s/%s to %s", verb, io_of(io)->path, from,
                       to);
}

/* --- files --- */

static int open_regular(const struct posix_io *io, const char *name, int flags)
{
    /* O_NONBLOCK: a FIFO that lies in our directory is refused below instead of waited for. */
    int oflags = O_NONBLOCK | O_NOCTTY | (flags & QV__OPEN_WRITE ? O_RDWR : O_RDONLY);
    oflags |= flags & QV__OPEN_CREATE ? O_CREAT : 0;
    oflags |= flags & QV__OPEN_EXCL ? O_EXCL : 0;
    oflags |= flags & QV__OPEN_TRUNC ? O_TRUNC : 0;
    int fd = qv__posix_open(&io->root, name, oflags, FILE_MODE);
    if (fd < 0) {
        return -1;
    }
    struct stat sb;
    int rc = fstat(fd, &sb);
    if (rc == 0 && !S_ISREG(sb.st_mode)) {
        errno = S_ISDIR(sb.st_mode) ? EISDIR : EINVAL;
        rc = -1;
    }
    if (rc < 0) {
        qv__posix_close(fd);
        return -1;
    }
    return fd;
}

static qv_status posix_open(struct qv__io *base, const char *name, int flags, struct qv__file **out,
                            struct qv_err *err)
{
    struct posix_io *io = io_of(base);
    size_t n = strlen(name) + 1;
    struct posix_file *f = (struct posix_file *)qv__alloc(base->mem, sizeof *f + n);
    if (!f) {
        return qv__fail(err, QV_ENOMEM, "open %s/%s: no memory", io->path, name);
    }
    f->fd = open_regular(io, name, flags);
    if (f->fd < 0) {
        qv_status st = fail(base, err, "open", name);
        qv__free(f);
        return st;
    }
    memcpy(f->name, name, n);
    f->base = (struct qv__file){base, f->name, (flags & QV__OPEN_WRITE) != 0};
    atomic_fetch_add_explicit(&io->n_handles, 1, memory_order_relaxed);
    *out = &f->base;
    return QV_OK;
}

static qv_status posix_close(struct qv__file *base, struct qv_err *err)
{
    struct posix_file *f = file_of(base);
    qv_status st = QV_OK;
    if (close(f->fd) < 0 && errno != EINTR) { /* closed all the same */
        st = fail(base->io, err, "close", f->name);
    }
    atomic_fetch_sub_explicit(&io_of(base->io)->n_handles, 1, memory_order_relaxed);
    qv__free(f);
    return st;
}

static qv_status posix_pread(struct qv__file *base, void *buf, size_t n, uint64_t off,
                             struct qv_err *err)
{
    struct posix_file *f = file_of(base);
    uint8_t *p = (uint8_t *)buf;
    while (n > 0) {
        ssize_t got = pread(f->fd, p, n, (off_t)off);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return fail(base->io, err, "read", f->name);
        }
        if (got == 0) {
            return qv__fail(err, QV_EIO, "read %s/%s: short read: %zu bytes missing at %" PRIu64,
                            io_of(base->io)->path, f->name, n, off);
        }
        p += got;
        n -= (size_t)got;
        off += (uint64_t)got;
    }
    return QV_OK;
}

static qv_status posix_pwrite(struct qv__file *base, const void *buf, size_t n, uint64_t off,
                              struct qv_err *err)
{
    struct posix_file *f = file_of(base);
    const uint8_t *p = (const uint8_t *)buf;
    while (n > 0) {
        ssize_t put = pwrite(f->fd, p, n, (off_t)off);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            errno = put < 0 ? errno : EIO;
            return fail(base->io, err, "write", f->name);
        }
        p += put;
        n -= (size_t)put;
        off += (uint64_t)put;
    }
    return QV_OK;
}

static qv_status posix_size(struct qv__file *base, uint64_t *out, struct qv_err *err)
{
    struct stat sb;
    if (fstat(file_of(base)->fd, &sb) < 0) {
        return fail(base->io, err, "stat", base->name);
    }
    *out = (uint64_t)sb.st_size;
    return QV_OK;
}

static int set_size(int fd, uint64_t size)
{
    int rc;
    do {
        rc = ftruncate(fd, (off_t)size);
    } while (rc < 0 && errno == EINTR);
    return rc;
}

static qv_status posix_truncate(struct qv__file *base, uint64_t size, struct qv_err *err)
{
    if (set_size(file_of(base)->fd, size) < 0) {
        return fail(base->io, err, "truncate", base->name);
    }
    return QV_OK;
}

static int write_zeros(int fd, uint64_t from, uint64_t to)
{
    static const uint8_t zeros[ZERO_BYTES];
    struct iovec iov[ZERO_IOVS];
    while (from < to) {
        uint64_t left = QV_MIN(to - from, (uint64_t)ZERO_BYTES * ZERO_IOVS);
        int n = 0;
        while (left > 0) {
            size_t len = (size_t)QV_MIN(left, (uint64_t)ZERO_BYTES);
            /* pwritev only reads; the cast drops a const that struct iovec cannot express. */
            iov[n++] = (struct iovec){(void *)(uintptr_t)zeros, len};
            left -= len;
        }
        ssize_t put = pwritev(fd, iov, n, (off_t)from);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            errno = put < 0 ? errno : EIO;
            return -1;
        }
        from += (uint64_t)put;
    }
    return 0;
}

/* *missing: the file system does not know how. */
static int reserve(int fd, int mode, uint64_t from, uint64_t to, bool *missing)
{
    int rc;
    do {
        rc = fallocate(fd, mode, (off_t)from, (off_t)(to - from));
    } while (rc < 0 && errno == EINTR);
    *missing = rc < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL);
    return *missing ? 0 : rc;
}

static qv_status posix_allocate(struct qv__file *base, uint64_t size, struct qv_err *err)
{
    int fd = file_of(base)->fd;
    uint64_t old;
    QV_TRY(posix_size(base, &old, err));
    if (size <= old) {
        return QV_OK;
    }
    bool missing;
    if (reserve(fd, FALLOC_FL_KEEP_SIZE, old, size, &missing) < 0 ||
        write_zeros(fd, old, size) < 0) {
        qv_status st = fail(base->io, err, "allocate", base->name);
        /* Also gives back what was reserved past the end. It frees space, so it does not fail for
         * lack of it; should it fail all the same, the zeros stay and the first error is told. */
        (void)!set_size(fd, old);
        return st;
    }
    return QV_OK;
}

static qv_status posix_reserve(struct qv__file *base, uint64_t size, struct qv_err *err)
{
    int fd = file_of(base)->fd;
    uint64_t old;
    bool missing;
    QV_TRY(posix_size(base, &old, err));
    if (size <= old) {
        return QV_OK;
    }
    if (reserve(fd, 0, old, size, &missing) < 0) {
        qv_status st = fail(base->io, err, "reserve", base->name);
        (void)!set_size(fd, old);
        return st;
    }
    return missing ? posix_allocate(base, size, err) : QV_OK;
}

static qv_status posix_sync(struct qv__file *base, bool data_only, struct qv_err *err)
{
    int fd = file_of(base)->fd, rc;
    if (data_only) {
        do {
            rc = fdatasync(fd);
        } while (rc < 0 && errno == EINTR);
    } else {
        rc = qv__posix_fsync(fd);
    }
    return rc < 0 ? fail(base->io, err, "sync", base->name) : QV_OK;
}

static qv_status posix_lock(struct qv__file *base, struct qv_err *err)
{
    int rc;
    do {
        rc = flock(file_of(base)->fd, LOCK_EX | LOCK_NB);
    } while (rc < 0 && errno == EINTR);
    if (rc < 0 && errno == EWOULDBLOCK) {
        return qv__fail(err, QV_ELOCKED, "lock %s/%s: another holds it", io_of(base->io)->path,
                        base->name);
    }
    return rc < 0 ? fail(base->io, err, "lock", base->name) : QV_OK;
}

/* --- mappings --- */

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static qv_status posix_map(struct qv__file *base, uint64_t off, size_t n, struct qv__map_view *out,
                           struct qv_err *err)
{
    uint64_t size;
    QV_TRY(posix_size(base, &size, err));
    if (off > size || n > size - off) { /* touching it would raise SIGBUS */
        return qv__fail(err, QV_EIO, "map %s/%s: %zu bytes at %" PRIu64 " pass the end at %" PRIu64,
                        io_of(base->io)->path, base->name, n, off, size);
    }
    size_t skip = (size_t)(off % page_bytes());
    size_t len;
    if (!qv__add_ok(n, skip, &len)) {
        return qv__fail(err, QV_ENOMEM, "map %s: %zu bytes", base->name, n);
    }
    struct posix_view *view = (struct posix_view *)qv__zalloc(base->io->mem, sizeof *view);
    if (!view) {
        return qv__fail(err, QV_ENOMEM, "map %s: no memory", base->name);
    }
    void *p = mmap(NULL, len, PROT_READ, MAP_SHARED, file_of(base)->fd, (off_t)(off - skip));
    if (p == MAP_FAILED) {
        qv_status st = fail(base->io, err, "map", base->name);
        qv__free(view);
        return st;
    }
    qv__map_guard_add(&view->region, p, len);
    *out = (struct qv__map_view){(const uint8_t *)p + skip, n, view, &view->region.failed};
    atomic_fetch_add_explicit(&io_of(base->io)->n_handles, 1, memory_order_relaxed);
    return QV_OK;
}

static void posix_unmap(struct qv__io *base, struct qv__map_view *v)
{
    struct posix_view *view = (struct posix_view *)v->impl;
    qv__map_guard_remove(&view->region);
    int rc = munmap(view->region.base, view->region.n);
    QV_ASSERT(rc == 0); /* fails only for a range that never was a mapping */
    qv__free(view);
    atomic_fetch_sub_explicit(&io_of(base)->n_handles, 1, memory_order_relaxed);
}

static void posix_advise(struct qv__io *base, const struct qv__map_view *v, size_t off, size_t n,
                         enum qv__advice a)
{
    static const int advice[] = {
        [QV__ADVISE_NORMAL] = MADV_NORMAL,         [QV__ADVISE_RANDOM] = MADV_RANDOM,
        [QV__ADVISE_SEQUENTIAL] = MADV_SEQUENTIAL, [QV__ADVISE_WILLNEED] = MADV_WILLNEED,
        [QV__ADVISE_DONTNEED] = MADV_DONTNEED,
    };
    (void)base;
    if ((size_t)a >= QV_ARRAY_LEN(advice)) {
        return;
    }
    /* The kernel wants whole pages from the start of the mapping's. */
    uint8_t *map = ((struct posix_view *)v->impl)->region.base;
    size_t from = (size_t)(v->p - map) + off;
    size_t skip = from % page_bytes();
    (void)madvise(map + from - skip, n + skip, advice[a]); /* a hint: its failure changes nothing */
}

/* --- names --- */

static qv_status posix_two_names(struct qv__io *base, const char *from, const char *to,
                                 bool is_link, struct qv_err *err)
{
    const struct qv__posix_root *root = &io_of(base)->root;
    struct qv__posix_at a = {0}, b = {0};
    int rc = qv__posix_at_open(root, from, &a);
    if (rc == 0) {
        rc = qv__posix_at_open(root, to, &b);
    }
    if (rc == 0) {
        rc = is_link ? linkat(a.fd, a.leaf, b.fd, b.leaf, 0) : renameat(a.fd, a.leaf, b.fd, b.leaf);
    }
    qv__posix_at_close(&a);
    qv__posix_at_close(&b);
    return rc < 0 ? fail_two(base, err, is_link ? "link" : "rename", from, to) : QV_OK;
}

static qv_status posix_rename(struct qv__io *base, const char *from, const char *to,
                              struct qv_err *err)
{
    return posix_two_names(base, from, to, false, err);
}

static qv_status posix_link(struct qv__io *base, const char *from, const char *to,
                            struct qv_err *err)
{
    return posix_two_names(base, from, to, true, err);
}

static qv_status posix_unlink(struct qv__io *base, const char *name, struct qv_err *err)
{
    struct qv__posix_at at = {0};
    int rc = qv__posix_at_open(&io_of(base)->root, name, &at);
    if (rc == 0) {
        rc = unlinkat(at.fd, at.leaf, 0);
    }
    qv__posix_at_close(&at);
    return rc < 0 ? fail(base, err, "unlink", name) : QV_OK;
}

static qv_status posix_mkdir(struct qv__io *base, const char *name, struct qv_err *err)
{
    struct qv__posix_at at = {0};
    int rc = qv__posix_at_open(&io_of(base)->root, name, &at);
    if (rc == 0) {
        rc = mkdirat(at.fd, at.leaf, DIR_MODE);
    }
    qv__posix_at_close(&at);
    return rc < 0 ? fail(base, err, "mkdir", name) : QV_OK;
}

static qv_status posix_rmdir(struct qv__io *base, const char *name, struct qv_err *err)
{
    struct qv__posix_at at = {0};
    int rc = qv__posix_at_open(&io_of(base)->root, name, &at);
    if (rc == 0) {
        rc = unlinkat(at.fd, at.leaf, AT_REMOVEDIR);
    }
    qv__posix_at_close(&at);
    return rc < 0 ? fail(base, err, "rmdir", name) : QV_OK;
}

/* Some file systems do not tell the kind of an entry with its name. */
static bool entry_is_dir(DIR *dir, const struct dirent *e)
{
    if (e->d_type != DT_UNKNOWN) {
        return e->d_type == DT_DIR;
    }
    struct stat sb;
    return fstatat(dirfd(dir), e->d_name, &sb, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(sb.st_mode);
}

static qv_status read_names(struct qv__io *base, DIR *dir, const char *name,
                            struct qv__io_names *names, struct qv_err *err)
{
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(dir); /* this stream is ours alone */
        if (!e) {
            return errno ? fail(base, err, "list", name) : QV_OK;
        }
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            QV_TRY(qv__io_names_add(names, e->d_name, strlen(e->d_name), entry_is_dir(dir, e), 0,
                                    err));
        }
    }
}

static qv_status posix_list(struct qv__io *base, const char *name,
                            void (*cb)(void *, const char *, bool), void *arg, struct qv_err *err)
{
    int fd = qv__posix_open(&io_of(base)->root, name, O_RDONLY | O_DIRECTORY, 0);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        qv_status st = fail(base, err, "list", name);
        if (fd >= 0) {
            qv__posix_close(fd);
        }
        return st;
    }
    struct qv__io_names names;
    qv__io_names_init(&names, base->mem);
    qv_status st = read_names(base, dir, name, &names, err);
    (void)closedir(dir);
    if (st == QV_OK) {
        qv__io_names_sort(&names);
        for (size_t i = 0; i < names.n; i++) {
            cb(arg, names.v[i].name, names.v[i].is_dir);
        }
    }
    qv__io_names_free(&names);
    return st;
}

static qv_status posix_sync_dir(struct qv__io *base, const char *name, struct qv_err *err)
{
    int fd = qv__posix_open(&io_of(base)->root, name, O_RDONLY | O_DIRECTORY, 0);
    int rc = fd < 0 ? -1 : qv__posix_fsync(fd);
    qv_status st = rc < 0 ? fail(base, err, "sync directory", name) : QV_OK;
    if (fd >= 0) {
        qv__posix_close(fd);
    }
    return st;
}

static qv_status posix_free_space(struct qv__io *base, uint64_t *bytes, uint64_t *total,
                                  struct qv_err *err)
{
    struct statvfs sb;
    int rc;
    do {
        rc = fstatvfs(io_of(base)->root.fd, &sb);
    } while (rc < 0 && errno == EINTR);
    if (rc < 0) {
        return fail(base, err, "free space of", "");
    }
    if (__builtin_mul_overflow((uint64_t)sb.f_bavail, (uint64_t)sb.f_frsize, bytes)) {
        *bytes = UINT64_MAX;
    }
    if (__builtin_mul_overflow((uint64_t)sb.f_blocks, (uint64_t)sb.f_frsize, total)) {
        *total = UINT64_MAX;
    }
    return QV_OK;
}

static void posix_close_io(struct qv__io *base)
{
    struct posix_io *io = io_of(base);
    QV_DEBUG_ASSERT(atomic_load(&io->n_handles) == 0);
    qv__posix_close(io->root.fd);
    qv__free(io);
}

static const struct qv__io_ops posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .pread = posix_pread,
    .pwrite = posix_pwrite,
    .size = posix_size,
    .truncate = posix_truncate,
    .allocate = posix_allocate,
    .reserve = posix_reserve,
    .sync = posix_sync,
    .map = posix_map,
    .unmap = posix_unmap,
    .advise = posix_advise,
    .rename = posix_rename,
    .link = posix_link,
    .unlink = posix_unlink,
    .mkdir = posix_mkdir,
    .rmdir = posix_rmdir,
    .list = posix_list,
    .sync_dir = posix_sync_dir,
    .lock = posix_lock,
    .free_space = posix_free_space,
    .close_io = posix_close_io,
};

qv_status qv__io_posix_open(struct qv__mem *mem, const char *path, bool create, struct qv__io **out,
                            struct qv_err *err)
{
    if (!path || !*path) {
        return qv__fail(err, QV_EINVAL, "data directory: the path is empty");
    }
    size_t n = strlen(path), understood;
    struct posix_io *io = (struct posix_io *)qv__alloc(mem, sizeof *io + n + 1);
    if (!io) {
        return qv__fail(err, QV_ENOMEM, "open %s: no memory", path);
    }
    if (qv__posix_root_open(path, create, &io->root, &understood) < 0) {
        int saved = errno;
        qv__free(io);
        return qv__fail_os(err, code_of(saved), saved, "open directory %s%s%.*s", path,
                           understood < n ? ", at " : "",
                           understood < n ? (int)QV_MIN(understood, (size_t)4096) : 0, path);
    }
    io->base = (struct qv__io){&posix_ops, mem};
    atomic_init(&io->n_handles, 0);
    memcpy(io->path, path, n + 1);
    *out = &io->base;
    return QV_OK;
}

void qv__io_posix_without_openat2(struct qv__io *io)
{
    QV_ASSERT(io->ops == &posix_ops);
    io_of(io)->root.has_openat2 = false;
}
