/* test_io_posix.c: what only real files have: symbolic links, descriptors 0 to 2, other processes,
 * full disks, system calls that stop half way or fail.
 *
 * This file defines pread, pwrite, pwritev, fsync, fdatasync, fallocate and madvise itself; the
 * linker takes these in place of libc's, so that the backend under test meets calls that are cut
 * short, interrupted or refused. Each one passes on to the kernel unless a test said otherwise. */
#include "io_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "os/io_posix_path.h"

/* --- system calls as a test wants them --- */

static struct {
    size_t short_to; /* longest transfer of one call; 0 = no limit */
    bool interrupts; /* every other call fails with EINTR */
    unsigned n_calls;
    int sync_errno; /* fsync and fdatasync fail with this */
    unsigned n_fsync, n_fdatasync;
    ino_t synced[16]; /* by fsync, in order */
    int fallocate_errno;
    unsigned n_fallocate;
    unsigned n_madvise;
    bool madvise_unaligned;
    int write_errno; /* pwritev fails with this once `write_after` calls are through */
    unsigned write_after;
} sys;

static bool interrupted(void)
{
    if (sys.interrupts && sys.n_calls++ % 2 == 0) {
        errno = EINTR;
        return true;
    }
    return false;
}

static size_t cut(size_t n)
{
    return sys.short_to && n > sys.short_to ? sys.short_to : n;
}

ssize_t pread(int fd, void *buf, size_t n, off_t off)
{
    return interrupted() ? -1 : syscall(SYS_pread64, fd, buf, cut(n), off);
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t off)
{
    return interrupted() ? -1 : syscall(SYS_pwrite64, fd, buf, cut(n), off);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n_iov, off_t off)
{
    if (interrupted()) {
        return -1;
    }
    if (sys.write_errno && sys.write_after-- == 0) {
        errno = sys.write_errno;
        return -1;
    }
    if (sys.short_to) { /* ends inside the first piece */
        return syscall(SYS_pwrite64, fd, iov[0].iov_base, cut(iov[0].iov_len), off);
    }
    return syscall(SYS_pwritev, fd, iov, (long)n_iov, (long)off, 0l);
}

int fsync(int fd)
{
    struct stat sb;
    if (interrupted()) {
        return -1;
    }
    if (fstat(fd, &sb) == 0 && sys.n_fsync < QV_ARRAY_LEN(sys.synced)) {
        sys.synced[sys.n_fsync] = sb.st_ino;
    }
    sys.n_fsync++;
    if (sys.sync_errno) {
        errno = sys.sync_errno;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    if (interrupted()) {
        return -1;
    }
    sys.n_fdatasync++;
    if (sys.sync_errno) {
        errno = sys.sync_errno;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

int fallocate(int fd, int mode, off_t off, off_t n)
{
    if (interrupted()) {
        return -1;
    }
    sys.n_fallocate++;
    if (sys.fallocate_errno) {
        errno = sys.fallocate_errno;
        return -1;
    }
    return (int)syscall(SYS_fallocate, fd, mode, off, n);
}

int madvise(void *p, size_t n, int advice)
{
    sys.n_madvise++;
    int rc = (int)syscall(SYS_madvise, p, n, (long)advice);
    sys.madvise_unaligned |= rc < 0 && errno == EINVAL;
    return rc;
}

static int setup(void **state)
{
    static struct env e;
    memset(&sys, 0, sizeof sys);
    env_open(&e, ON_POSIX);
    *state = &e;
    return 0;
}
static int setup_walk(void **state)
{
    static struct env e;
    memset(&sys, 0, sizeof sys);
    env_open(&e, ON_POSIX_WALK);
    *state = &e;
    return 0;
}
static int teardown(void **state)
{
    memset(&sys, 0, sizeof sys);
    env_close(*state);
    return 0;
}

/* The path of `name` below the root under test, in one of two buffers. */
static const char *full(const struct env *e, const char *name)
{
    static char path[2][1024];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", e->path, name);
    return path[turn];
}

/* --- calls that stop half way --- */

static void test_short_and_interrupted_calls(void **state)
{
    struct env *e = *state;
    uint8_t bytes[1000], got[1000];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 7);
    }
    sys.short_to = 3;
    sys.interrupts = true;
    struct qv__file *f = open_file(e->io, "f", QV__OPEN_CREATE);
    assert_ok(qv__io_pwrite(f, bytes, sizeof bytes, 5, ERR));
    assert_ok(qv__io_pread(f, got, sizeof got, 5, ERR));
    assert_memory_equal(got, bytes, sizeof bytes);
    assert_true(sys.n_calls > 1000);
    assert_status(qv__io_pread(f, got, sizeof got, 6, ERR), QV_EIO); /* one byte too many */
    assert_ok(qv__io_allocate(f, 2000, ERR));
    assert_ok(qv__io_sync(f, true, ERR));
    assert_ok(qv__io_sync(f, false, ERR));
    assert_ok(qv__io_sync_dir(e->io, "", ERR));
    memset(&sys, 0, sizeof sys);
    assert_ok(qv__io_pread(f, got, sizeof got, 5, ERR));
    assert_memory_equal(got, bytes, sizeof bytes);
    memset(bytes, 0, sizeof bytes);
    assert_ok(qv__io_pread(f, got, 995, 1005, ERR));
    assert_memory_equal(got, bytes, 995);
    close_file(f);
}

static void test_failed_sync(void **state)
{
    struct env *e = *state;
    struct qv__file *f = open_file(e->io, "f", QV__OPEN_CREATE);
    sys.sync_errno = EIO;
    assert_status(qv__io_sync(f, true, ERR), QV_EIO);
    assert_int_equal(test_err.os_errno, EIO);
    assert_non_null(strstr(test_err.message, full(e, "f")));
    assert_int_equal(sys.n_fdatasync, 1); /* not tried again */
    assert_status(qv__io_sync(f, false, ERR), QV_EIO);
    assert_int_equal(sys.n_fsync, 1);
    assert_status(qv__io_sync_dir(e->io, "", ERR), QV_EIO);
    assert_int_equal(sys.n_fsync, 2);
    sys.sync_errno = EDQUOT;
    assert_status(qv__io_sync(f, true, ERR), QV_ENOSPC);
    close_file(f);
    assert_ok(qv__io_unlink(e->io, "f", ERR));
    put(e->io, "g", "old");
    assert_status(qv__io_write_file(e->io, "g", "new", 3, ERR), QV_ENOSPC);
    assert_listing(e->io, "", "g ");
    assert_true(holds(e->io, "g", "old"));
}

static void test_which_sync(void **state)
{
    struct env *e = *state;
    struct stat root, dir;
    assert_ok(qv__io_mkdir(e->io, "d", ERR));
    assert_int_equal(stat(e->path, &root), 0);
    assert_int_equal(stat(full(e, "d"), &dir), 0);
    struct qv__file *f = open_file(e->io, "f", QV__OPEN_CREATE);
    assert_ok(qv__io_sync(f, true, ERR));
    assert_int_equal(sys.n_fdatasync, 1);
    assert_int_equal(sys.n_fsync, 0);
    close_file(f);
    assert_ok(qv__io_write_file(e->io, "d/f", "x", 1, ERR)); /* the file, then its directory */
    assert_int_equal(sys.n_fsync, 2);
    assert_int_equal(sys.synced[1], dir.st_ino);
    assert_ok(qv__io_write_file(e->io, "f", "x", 1, ERR));
    assert_int_equal(sys.n_fsync, 4);
    assert_int_equal(sys.synced[3], root.st_ino);
}

static void test_advice_reaches_the_kernel(void **state)
{
    struct env *e = *state;
    struct qv__map_view v;
    struct qv__file *f = open_file(e->io, "f", QV__OPEN_CREATE);
    assert_ok(qv__io_allocate(f, 50000, ERR));
    assert_ok(qv__io_map(f, 5000, 40000, &v, ERR));
    for (int a = QV__ADVISE_NORMAL; a <= QV__ADVISE_DONTNEED; a++) {
        unsigned before = sys.n_madvise;
        qv__io_advise(e->io, &v, 0, v.n, (enum qv__advice)a);
        qv__io_advise(e->io, &v, 10001, 20000, (enum qv__advice)a);
        assert_true(sys.n_madvise >= before + 2);
        assert_false(sys.madvise_unaligned); /* it would be refused, unseen */
    }
    qv__io_unmap(e->io, &v);
    close_file(f);
}

/* --- full disks --- */

static void test_allocate_fails(void **state)
{
    struct env *e = *state;
    static const int no_fallocate[] = {EOPNOTSUPP, ENOSYS, EINVAL};
    struct qv__file *f = open_file(e->io, "f", QV__OPEN_CREATE);
    uint64_t size = 0;
    assert_ok(qv__io_pwrite(f, "hello", 5, 0, ERR));
    sys.fallocate_errno = ENOSPC;
    assert_status(qv__io_allocate(f, 1 << 20, ERR), QV_ENOSPC);
    assert_ok(qv__io_size(f, &size, ERR));
    assert_int_equal(size, 5);

    sys.fallocate_errno = 0; /* reserved, but the third megabyte of zeros fails */
    sys.write_errno = EIO;
    sys.write_after = 2;
    assert_status(qv__io_allocate(f, 4 << 20, ERR), QV_EIO);
    assert_ok(qv__io_size(f, &size, ERR));
    assert_int_equal(size, 5);
    struct stat sb; /* and the reservation is given back */
    assert_int_equal(stat(full(e, "f"), &sb), 0);
    assert_true(sb.st_blocks * 512 <= 64 << 10);

    sys.write_errno = 0;
    for (size_t i = 0; i < QV_ARRAY_LEN(no_fallocate); i++) { /* zeros alone will do */
        sys.fallocate_errno = no_fallocate[i];
        assert_ok(qv__io_truncate(f, 5, ERR));
        assert_ok(qv__io_allocate(f, 100000, ERR));
        assert_ok(qv__io_size(f, &size, ERR));
        assert_int_equal(size, 100000);
    }
    assert_int_equal(sys.n_fallocate, 5);
    assert_int_equal(stat(full(e, "f"), &sb), 0);
    assert_true(sb.st_blocks * 512 >= 100000); /* no holes */
    close_file(f);
}

/* The limit on file sizes is a real ENOSPC that needs no file system of its own. */
static void test_file_size_limit(void **state)
{
    struct env *e = *state;
    struct rlimit old, low;
    char buf[300];
    memset(buf, 'x', sizeof buf);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct qv__file *f = open_file(e->io, "f", QV__OPEN_CREATE);
    signal(SIGXFSZ, SIG_IGN);
    low = (struct rlimit){1000, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    qv_status write = qv__io_pwrite(f, buf, sizeof buf, 900, ERR);
    qv_status allocate = qv__io_allocate(f, 5000, NULL);
    qv_status truncate = qv__io_truncate(f, 5000, NULL);
    qv_status inside = qv__io_pwrite(f, buf, 10, 0, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_status(write, QV_ENOSPC);
    assert_int_equal(test_err.os_errno, EFBIG);
    assert_status(allocate, QV_ENOSPC);
    assert_status(truncate, QV_ENOSPC);
    assert_status(inside, QV_OK);
    uint64_t size = 0; /* what fitted was written */
    assert_ok(qv__io_size(f, &size, ERR));
    assert_int_equal(size, 1000);
    assert_ok(qv__io_pwrite(f, buf, sizeof buf, 900, ERR)); /* and later all of it */
    close_file(f);
}

static void test_out_of_descriptors(void **state)
{
    struct env *e = *state;
    struct rlimit old, low;
    struct qv__file *f[64] = {0};
    size_t n = 0;
    assert_ok(qv__io_mkdir(e->io, "d", ERR));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = (struct rlimit){40, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    qv_status st = QV_OK;
    while (n < QV_ARRAY_LEN(f)) {
        st = qv__io_open(e->io, "f", QV__OPEN_CREATE, &f[n], ERR);
        if (st != QV_OK) {
            break;
        }
        n++;
    }
    qv_status list = qv__io_list(e->io, "", listing_add, &(struct listing){{0}}, NULL);
    qv_status mkdir = qv__io_mkdir(e->io, "d/e", NULL);
    qv_status write = qv__io_write_file(e->io, "g", "x", 1, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_status(st, QV_EBUSY);
    assert_status(list, QV_EBUSY);
    assert_status(mkdir, QV_EBUSY);
    assert_status(write, QV_EBUSY);
    assert_true(n > 5);
    while (n > 0) {
        close_file(f[--n]);
    }
    assert_ok(qv__io_write_file(e->io, "g", "x", 1, ERR));
}

/* --- nothing leads out of the root --- */

static void test_symbolic_links(void **state)
{
    struct env *e = *state;
    struct qv__io *io = e->io;
    struct qv__file *f = NULL;
    char outside[256];
    make_temp_dir(outside, sizeof outside);
    put(io, "inside", "in");
    assert_ok(qv__io_mkdir(io, "d", ERR));
    char target[300];
    snprintf(target, sizeof target, "%s/secret", outside);
    FILE *secret = fopen(target, "w");
    assert_non_null(secret);
    fputs("secret", secret);
    fclose(secret);
    assert_int_equal(symlink(target, full(e, "leaf")), 0);
    assert_int_equal(symlink(outside, full(e, "dir")), 0);
    assert_int_equal(symlink(outside, full(e, "d/dir")), 0);
    assert_int_equal(symlink("inside", full(e, "harmless")), 0);
    put(io, "d/x", "x");
    assert_int_equal(symlink("d", full(e, "harmless_dir")), 0);
    snprintf(target, sizeof target, "%s/new", outside);
    assert_int_equal(symlink(target, full(e, "dangling")), 0);

    const char *bad[] = {"leaf", "dir/secret", "d/dir/secret",  "harmless",
                         "dir",  "dangling",   "harmless_dir/x"};
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        assert_status(qv__io_open(io, bad[i], QV__OPEN_READ, &f, ERR), QV_EIO);
        assert_status(qv__io_open(io, bad[i], QV__OPEN_WRITE, &f, ERR), QV_EIO);
        assert_status(qv__io_open(io, bad[i], QV__OPEN_CREATE | QV__OPEN_TRUNC, &f, ERR), QV_EIO);
    }
    assert_null(f);
    assert_status(qv__io_open(io, "dir/new", QV__OPEN_CREATE, &f, ERR), QV_EIO);
    assert_status(qv__io_mkdir(io, "dir/new", ERR), QV_EIO);
    assert_status(qv__io_rename(io, "inside", "dir/new", ERR), QV_EIO);
    assert_status(qv__io_link(io, "inside", "dir/new", ERR), QV_EIO);
    assert_status(qv__io_rename(io, "dir/secret", "got", ERR), QV_EIO);
    assert_status(qv__io_link(io, "dir/secret", "got", ERR), QV_EIO);
    assert_status(qv__io_unlink(io, "dir/secret", ERR), QV_EIO);
    assert_status(qv__io_rmdir(io, "dir/sub", ERR), QV_EIO);
    assert_status(qv__io_list(io, "dir", listing_add, &(struct listing){{0}}, ERR), QV_EIO);
    assert_status(qv__io_sync_dir(io, "dir", ERR), QV_EIO);
    /* write_file replaces a link instead of writing through it. */
    assert_ok(qv__io_write_file(io, "leaf", "mine", 4, ERR));
    assert_true(holds(io, "leaf", "mine"));
    assert_listing(io, "", "d/ dangling dir harmless harmless_dir inside leaf ");

    struct stat sb;
    snprintf(target, sizeof target, "%s/secret", outside);
    assert_int_equal(stat(target, &sb), 0);
    assert_int_equal(sb.st_size, 6);
    snprintf(target, sizeof target, "%s/new", outside);
    assert_int_equal(stat(target, &sb), -1);
    remove_tree(outside);
}

static void test_not_a_regular_file(void **state)
{
    struct env *e = *state;
    struct qv__file *f = NULL;
    assert_int_equal(mkfifo(full(e, "fifo"), 0600), 0);
    assert_status(qv__io_open(e->io, "fifo", QV__OPEN_READ, &f, ERR),
                  QV_EIO); /* and does not hang */
    assert_status(qv__io_open(e->io, "fifo", QV__OPEN_WRITE, &f, ERR), QV_EIO);
    assert_status(qv__io_open(e->io, "fifo", QV__OPEN_CREATE, &f, ERR), QV_EIO);
    assert_null(f);
}

/* --- descriptors --- */

static int in_child(int (*fn)(struct env *), struct env *e)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(fn(e));
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int last_fd(void)
{
    int last = 2;
    for (int fd = 3; fd < 256; fd++) {
        last = fcntl(fd, F_GETFD) != -1 ? fd : last;
    }
    return last;
}

/* In a process without standard descriptors no data file may get their numbers. */
static int child_without_stdio(struct env *e)
{
    struct qv__io *io = NULL;
    struct qv__file *f[3] = {0};
    int bad = 0;
    const int old_last = last_fd();
    close(0);
    close(1);
    close(2);
    bad |= qv__io_posix_open(e->mem, e->path, true, &io, NULL) != QV_OK;
    for (int i = 0; i < 3 && !bad; i++) {
        bad |= qv__io_open(io, i == 1 ? "d/f" : "f", QV__OPEN_CREATE, &f[i], NULL) != QV_OK;
        for (int fd = 0; fd < 3; fd++) {
            bad |= fcntl(fd, F_GETFD) != -1;
        }
        for (int fd = 3; fd < 64; fd++) { /* lifted, and still close-on-exec */
            int flags = fcntl(fd, F_GETFD);
            bad |= flags != -1 && fd > old_last && !(flags & FD_CLOEXEC);
        }
        bad |= bad ? 0 : qv__io_pwrite(f[i], "data", 4, 0, NULL) != QV_OK;
    }
    return bad;
}

static void test_standard_descriptors(void **state)
{
    struct env *e = *state;
    assert_ok(qv__io_mkdir(e->io, "d", ERR));
    assert_int_equal(in_child(child_without_stdio, e), 0);
    assert_true(holds(e->io, "f", "data"));
    assert_true(holds(e->io, "d/f", "data"));
}

/* All that is open above the standard three is close-on-exec. */
static void test_close_on_exec(void **state)
{
    struct env *e = *state;
    bool was_open[256];
    for (int fd = 0; fd < 256; fd++) {
        was_open[fd] = fcntl(fd, F_GETFD) != -1;
    }
    struct qv__io *io = NULL;
    assert_ok(qv__io_posix_open(e->mem, e->path, true, &io, ERR));
    struct qv__file *f = open_file(io, "f", QV__OPEN_CREATE);
    int n = 0;
    for (int fd = 0; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (!was_open[fd] && flags != -1) {
            assert_true(flags & FD_CLOEXEC);
            n++;
        }
    }
    assert_int_equal(n, 2); /* the root and the file; nothing else stays open */
    close_file(f);
    qv__io_close(io);
    for (int fd = 0; fd < 256; fd++) {
        assert_int_equal(fcntl(fd, F_GETFD) != -1, was_open[fd]);
    }
}

static int count_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++) {
        n += fcntl(fd, F_GETFD) != -1;
    }
    return n;
}

/* No call keeps a descriptor, be it well or not. */
static void test_no_descriptor_stays(void **state)
{
    struct env *e = *state;
    struct qv__io *io = e->io;
    struct qv__file *f = NULL;
    int before = count_fds();
    for (int i = 0; i < 2; i++) {
        const char *file = i ? "d/e/none/f" : "d/e/f", *to = i ? "d/none/g" : "d/g";
        qv_status want = i ? QV_ENOTFOUND : QV_OK;
        if (i == 0) {
            assert_ok(qv__io_mkdir(io, "d", ERR));
            assert_ok(qv__io_mkdir(io, "d/e", ERR));
        }
        assert_status(qv__io_write_file(io, file, "x", 1, ERR), want);
        assert_status(qv__io_link(io, file, to, ERR), want);
        assert_status(qv__io_unlink(io, to, ERR), want);
        assert_status(qv__io_rename(io, file, to, ERR), want);
        assert_status(qv__io_open(io, to, QV__OPEN_READ, &f, ERR), want);
        if (i == 0) {
            close_file(f);
        }
        assert_status(qv__io_unlink(io, to, ERR), want);
        assert_status(qv__io_mkdir(io, i ? "d/none/h" : "d/e/h", ERR), want);
        assert_status(qv__io_sync_dir(io, i ? "d/none/h" : "d/e/h", ERR), want);
        assert_status(qv__io_rmdir(io, i ? "d/none/h" : "d/e/h", ERR), want);
        assert_status(
            qv__io_list(io, i ? "d/none" : "d/e", listing_add, &(struct listing){{0}}, ERR), want);
        assert_int_equal(count_fds(), before);
    }
    assert_status(qv__io_open(io, "d/e", QV__OPEN_READ, &f, ERR), QV_EIO);
    assert_status(qv__io_rename(io, "d", "d/none/x", ERR), QV_ENOTFOUND);
    struct qv__io *root = NULL;
    assert_status(qv__io_posix_open(e->mem, full(e, "no/d"), false, &root, ERR), QV_ENOTFOUND);
    put(io, "file", "x");
    assert_status(qv__io_posix_open(e->mem, full(e, "d/../file/x"), true, &root, ERR), QV_EIO);
    assert_null(root);
    assert_int_equal(count_fds(), before);
}

static int child_lock(struct env *e)
{
    struct qv__file *f = NULL;
    if (qv__io_open(e->io, "lock", QV__OPEN_WRITE, &f, NULL) != QV_OK) {
        return 100;
    }
    return (int)qv__io_lock(f, NULL);
}

static void test_lock_across_processes(void **state)
{
    struct env *e = *state;
    struct qv__file *f = open_file(e->io, "lock", QV__OPEN_CREATE);
    assert_int_equal(in_child(child_lock, e), QV_OK); /* and its end releases it */
    assert_ok(qv__io_lock(f, ERR));
    assert_int_equal(in_child(child_lock, e), QV_ELOCKED);
    close_file(f);
    assert_int_equal(in_child(child_lock, e), QV_OK);
}

/* --- the root --- */

static bool was_synced(const char *path)
{
    struct stat sb;
    assert_int_equal(stat(path, &sb), 0);
    for (unsigned i = 0; i < QV_MIN(sys.n_fsync, (unsigned)QV_ARRAY_LEN(sys.synced)); i++) {
        if (sys.synced[i] == sb.st_ino) {
            return true;
        }
    }
    return false;
}

static void test_create_root(void **state)
{
    struct env *e = *state;
    struct qv__io *io = NULL;
    char path[1024];
    snprintf(path, sizeof path, "%s", full(e, "x//y/./z/"));
    assert_status(qv__io_posix_open(e->mem, path, false, &io, ERR), QV_ENOTFOUND);
    assert_null(io);
    assert_ok(qv__io_posix_open(e->mem, path, true, &io, ERR));
    put(io, "f", "text");
    assert_true(holds(e->io, "x/y/z/f", "text"));
    qv__io_close(io);
    assert_true(was_synced(e->path)); /* the parents of all that was made */
    assert_true(was_synced(full(e, "x")));
    assert_true(was_synced(full(e, "x/y")));
    struct stat sb;
    assert_int_equal(stat(full(e, "x/y/z"), &sb), 0);
    assert_int_equal(sb.st_mode & 077, 0); /* ours alone */
    assert_int_equal(stat(full(e, "x/y/z/f"), &sb), 0);
    assert_int_equal(sb.st_mode & 077, 0);

    memset(&sys, 0, sizeof sys); /* it is there: open it, either way */
    assert_ok(qv__io_posix_open(e->mem, path, true, &io, ERR));
    assert_true(holds(io, "f", "text"));
    qv__io_close(io);
    assert_true(was_synced(full(e, "x/y"))); /* its maker may have died before the sync */
    assert_false(was_synced(e->path));
    assert_ok(qv__io_posix_open(e->mem, path, false, &io, ERR));
    qv__io_close(io);
    sys.sync_errno = EROFS; /* for what was made by others, that is no error */
    assert_ok(qv__io_posix_open(e->mem, path, true, &io, ERR));
    qv__io_close(io);
    io = NULL;
    assert_status(qv__io_posix_open(e->mem, full(e, "x/new"), true, &io, ERR), QV_EIO);
    assert_null(io);
}

static void test_odd_roots(void **state)
{
    struct env *e = *state;
    struct qv__io *io = NULL;
    char here[512], longest[300];
    put(e->io, "f", "x");
    assert_status(qv__io_posix_open(e->mem, "", true, &io, ERR), QV_EINVAL);
    assert_status(qv__io_posix_open(e->mem, NULL, true, &io, ERR), QV_EINVAL);
    assert_status(qv__io_posix_open(e->mem, full(e, "f"), true, &io, ERR), QV_EIO);
    assert_status(qv__io_posix_open(e->mem, full(e, "f"), false, &io, ERR), QV_EIO);
    assert_status(qv__io_posix_open(e->mem, full(e, "f/x"), true, &io, ERR), QV_EIO);
    assert_non_null(strstr(test_err.message, "/f/x"));
    memset(longest, 'x', sizeof longest);
    longest[256] = 0;
    assert_status(qv__io_posix_open(e->mem, full(e, longest), true, &io, ERR), QV_EIO);
    assert_null(io);

    /* The administrator may use links and "..". */
    assert_ok(qv__io_mkdir(e->io, "real", ERR));
    assert_int_equal(symlink("real", full(e, "link")), 0);
    assert_ok(qv__io_posix_open(e->mem, full(e, "link/../link/sub"), true, &io, ERR));
    put(io, "f", "through");
    qv__io_close(io);
    assert_true(holds(e->io, "real/sub/f", "through"));

    assert_non_null(
        getcwd(here, sizeof here)); /* a relative path, used after a change of directory */
    assert_int_equal(chdir(e->path), 0);
    assert_ok(qv__io_posix_open(e->mem, "relative/dir", true, &io, ERR));
    assert_int_equal(chdir(here), 0);
    put(io, "f", "text");
    qv__io_close(io);
    assert_true(holds(e->io, "relative/dir/f", "text"));

    assert_ok(qv__io_posix_open(e->mem, "/", true, &io, ERR));
    qv__io_close(io);
}

static void test_root_out_of_memory(void **state)
{
    struct env *e = *state;
    struct qv__io *io = NULL;
    qv__mem_fail_at(e->mem, 1, false);
    assert_status(qv__io_posix_open(e->mem, full(e, "new"), true, &io, ERR), QV_ENOMEM);
    assert_null(io);
    assert_listing(e->io, "", "");
}

#define ON_BOTH(f)                                                                                 \
    {#f, f, setup, teardown, NULL},                                                                \
    {                                                                                              \
#f " without openat2", f, setup_walk, teardown, NULL                                       \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(test_short_and_interrupted_calls),
        ON_BOTH(test_failed_sync),
        ON_BOTH(test_which_sync),
        ON_BOTH(test_advice_reaches_the_kernel),
        ON_BOTH(test_no_descriptor_stays),
        ON_BOTH(test_allocate_fails),
        ON_BOTH(test_file_size_limit),
        ON_BOTH(test_out_of_descriptors),
        ON_BOTH(test_symbolic_links),
        ON_BOTH(test_not_a_regular_file),
        ON_BOTH(test_standard_descriptors),
        ON_BOTH(test_close_on_exec),
        ON_BOTH(test_lock_across_processes),
        ON_BOTH(test_create_root),
        ON_BOTH(test_odd_roots),
        ON_BOTH(test_root_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
