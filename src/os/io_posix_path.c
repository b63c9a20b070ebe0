/* io_posix_path.c: resolving names against a directory descriptor.
 *
 * A name that passed io.c's check holds no "..", so only a symbolic link could lead out of the
 * root. openat2 with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS refuses those in one call; where the
 * kernel lacks it (before 5.6, or forbidden by a sandbox), names are walked part by part with
 * O_NOFOLLOW, which refuses the same. renameat, linkat, unlinkat and mkdirat know no such flags:
 * for them the parent directory is opened first, and they never follow a link in the last part.
 *
 * The path of the root itself is the administrator's choice and may hold links and "..". */
#include "os/io_posix_path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DIR_MODE 0700
/* A component of the root's path: the kernel's own limit for one name. */
#define PART_MAX 255

void qv__posix_close(int fd)
{
    int saved = errno;
    (void)close(fd); /* on Linux the descriptor is gone even after EINTR */
    errno = saved;
}

int qv__posix_fsync(int fd)
{
    int rc;
    do {
        rc = fsync(fd); /* EINTR: it did not run; any other error is never tried again */
    } while (rc < 0 && errno == EINTR);
    return rc;
}

/* Take ownership of fd and give back the same file under a number >= 3. */
static int lift(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO) {
        return fd;
    }
    int high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    qv__posix_close(fd);
    return high;
}

static int open_at(int dir, const char *part, int flags, mode_t mode)
{
    int fd;
    do {
        fd = openat(dir, part, flags | O_CLOEXEC, mode);
    } while (fd < 0 && errno == EINTR);
    return lift(fd);
}

static int open_beneath(int dir, const char *name, int flags, mode_t mode)
{
#ifdef SYS_openat2
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .mode = flags & O_CREAT ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    long fd;
    do {
        fd = syscall(SYS_openat2, dir, name, &how, sizeof how);
    } while (fd < 0 && (errno == EINTR || errno == EAGAIN)); /* EAGAIN: raced with a rename */
    return lift((int)fd);
#else
    (void)dir, (void)name, (void)flags, (void)mode;
    errno = ENOSYS;
    return -1;
#endif
}

/* Length of the first part of `path` and where the next one starts; 0 at the end. */
static size_t next_part(const char *path, const char **rest)
{
    size_t n = strcspn(path, "/");
    *rest = path + n + strspn(path + n, "/");
    return n;
}

/* Copy one part into a NUL-terminated buffer of PART_MAX + 1 bytes. */
static int copy_part(char *to, const char *part, size_t n)
{
    if (n > PART_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(to, part, n);
    to[n] = 0;
    return 0;
}

static int open_by_walk(int root, const char *name, int flags, mode_t mode)
{
    char part[PART_MAX + 1];
    int dir = root;
    for (;;) {
        const char *rest;
        size_t n = next_part(name, &rest);
        int fd = copy_part(part, name, n);
        if (fd == 0 && *rest) {
            fd = open_at(dir, part, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
        } else if (fd == 0) {
            fd = open_at(dir, part, flags | O_NOFOLLOW, mode);
        }
        if (dir != root) {
            qv__posix_close(dir);
        }
        if (fd < 0 || !*rest) {
            return fd;
        }
        dir = fd;
        name = rest;
    }
}

int qv__posix_open(const struct qv__posix_root *root, const char *name, int flags, mode_t mode)
{
    if (!*name) {
        name = ".";
    }
    return root->has_openat2 ? open_beneath(root->fd, name, flags | O_NOFOLLOW, mode)
                             : open_by_walk(root->fd, name, flags, mode);
}

int qv__posix_at_open(const struct qv__posix_root *root, const char *name, struct qv__posix_at *out)
{
    char dir[QV__IO_NAME_MAX + 1];
    const char *slash = strrchr(name, '/');
    if (!slash) {
        *out = (struct qv__posix_at){root->fd, name, false};
        return 0;
    }
    size_t n = (size_t)(slash - name);
    QV_ASSERT(n < sizeof dir); /* names were checked */
    memcpy(dir, name, n);
    dir[n] = 0;
    int fd = qv__posix_open(root, dir, O_PATH | O_DIRECTORY, 0);
    *out = (struct qv__posix_at){fd, slash + 1, true};
    return fd < 0 ? -1 : 0;
}

void qv__posix_at_close(struct qv__posix_at *at)
{
    if (at->is_owned && at->fd >= 0) {
        qv__posix_close(at->fd);
    }
}

/* Make the directory `part` durable as an entry of `dir` (a descriptor that may be O_PATH). */
static int sync_parent(int dir)
{
    int fd = open_at(dir, ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) {
        return -1;
    }
    int rc = qv__posix_fsync(fd);
    qv__posix_close(fd);
    return rc;
}

/* Open the directory `part` of `dir`, made if it is absent. The parent must be synced when the
 * entry is new. It is also synced when the last part of the path was there already, since whoever
 * made it may have died before the sync; a parent that cannot be synced (unreadable, another file
 * system that is read-only) is then no error. */
static int enter_or_make(int dir, const char *part, bool is_last)
{
    int fd = open_at(dir, part, O_PATH | O_DIRECTORY, 0);
    bool is_new = fd < 0 && errno == ENOENT;
    if (is_new) {
        if (mkdirat(dir, part, DIR_MODE) < 0 && errno != EEXIST) {
            return -1;
        }
        fd = open_at(dir, part, O_PATH | O_DIRECTORY, 0);
    }
    if (fd < 0 || !(is_new || is_last)) {
        return fd;
    }
    if (sync_parent(dir) < 0 && is_new) {
        qv__posix_close(fd);
        return -1;
    }
    return fd;
}

static int make_path(const char *path, size_t *failed_path_n)
{
    char part[PART_MAX + 1];
    const char *at = path + strspn(path, "/");
    int dir = open_at(AT_FDCWD, *path == '/' ? "/" : ".", O_PATH | O_DIRECTORY, 0);
    while (dir >= 0 && *at) {
        const char *rest;
        size_t n = next_part(at, &rest);
        *failed_path_n = (size_t)(at - path) + n;
        int fd = copy_part(part, at, n);
        if (fd == 0) {
            fd = enter_or_make(dir, part, !*rest);
        }
        qv__posix_close(dir);
        dir = fd;
        at = rest;
    }
    return dir;
}

/* Any error means "do not use it": ENOSYS on old kernels, EPERM in some sandboxes. */
static bool probe_openat2(int root)
{
    int fd = open_beneath(root, ".", O_PATH | O_DIRECTORY, 0);
    if (fd < 0) {
        return false;
    }
    qv__posix_close(fd);
    return true;
}

int qv__posix_root_open(const char *path, bool create, struct qv__posix_root *out,
                        size_t *failed_path_n)
{
    *failed_path_n = strlen(path);
    int dir = AT_FDCWD;
    if (create) {
        dir = make_path(path, failed_path_n);
        if (dir < 0) {
            return -1;
        }
    }
    int fd = open_at(dir, create ? "." : path, O_RDONLY | O_DIRECTORY, 0);
    if (create) {
        qv__posix_close(dir);
    }
    if (fd < 0) {
        return -1;
    }
    *out = (struct qv__posix_root){fd, probe_openat2(fd)};
    return 0;
}
