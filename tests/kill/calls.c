/* calls.c: see calls.h. Every __wrap_x stands for x in what is linked here; __real_x is x. */
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/openat2.h>

static struct calls_plan plan;
static uint64_t seen, failed, counts[CALLS_KINDS];

static const char *const names[CALLS_KINDS] = {"pwrite", "pwritev",   "fsync",    "fdatasync",
                                               "create", "rename",    "link",     "unlink",
                                               "mkdir",  "ftruncate", "fallocate"};

void calls_arm(const struct calls_plan *p)
{
    plan = *p;
    seen = failed = 0;
    for (unsigned i = 0; i < CALLS_KINDS; i++) {
        counts[i] = 0;
    }
}

uint64_t calls_seen(void)
{
    return seen;
}

uint64_t calls_failed(void)
{
    return failed;
}

uint64_t calls_of(unsigned index)
{
    return counts[index];
}

const char *calls_name(unsigned index)
{
    return names[index];
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;) {
        pause();
    }
}

/* What to do with this call: CALLS_COUNT = let it pass. */
static enum calls_deed meet(enum calls_kind kind)
{
    counts[__builtin_ctz((unsigned)kind)]++;
    if (!(plan.kinds & (unsigned)kind)) {
        return CALLS_COUNT;
    }
    seen++;
    if (plan.deed == CALLS_KILL && seen == plan.at) {
        die();
    }
    if (plan.deed == CALLS_TEAR && seen == plan.at) {
        return CALLS_TEAR;
    }
    uint64_t last = plan.at + (plan.lasting ? plan.lasting - 1 : 0);
    if (plan.deed == CALLS_FAIL && seen >= plan.at && seen <= last) {
        failed++;
        errno = plan.error;
        return CALLS_FAIL;
    }
    return CALLS_COUNT;
}

/* A call of `kind`: `half` is what remains of it when it is torn. */
#define PASS(kind, half, whole)                                                                    \
    do {                                                                                           \
        enum calls_deed deed = meet(kind);                                                         \
        if (deed == CALLS_FAIL) {                                                                  \
            return -1;                                                                             \
        }                                                                                          \
        if (deed == CALLS_TEAR) {                                                                  \
            (void)!(half);                                                                         \
            die();                                                                                 \
        }                                                                                          \
        return whole;                                                                              \
    } while (0)

ssize_t __real_pwrite(int fd, const void *p, size_t n, off_t off);
ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t off);
ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t off)
{
    PASS(CALLS_WRITE, __real_pwrite(fd, p, n / 2, off), __real_pwrite(fd, p, n, off));
}

ssize_t __real_pwritev(int fd, const struct iovec *iov, int n, off_t off);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t off);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
    PASS(CALLS_ZERO, __real_pwritev(fd, iov, n / 2, off), __real_pwritev(fd, iov, n, off));
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    PASS(CALLS_SYNC, __real_fsync(fd), __real_fsync(fd));
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    PASS(CALLS_DATASYNC, __real_fdatasync(fd), __real_fdatasync(fd));
}

int __real_renameat(int a, const char *from, int b, const char *to);
int __wrap_renameat(int a, const char *from, int b, const char *to);
int __wrap_renameat(int a, const char *from, int b, const char *to)
{
    PASS(CALLS_RENAME, __real_renameat(a, from, b, to), __real_renameat(a, from, b, to));
}

int __real_linkat(int a, const char *from, int b, const char *to, int flags);
int __wrap_linkat(int a, const char *from, int b, const char *to, int flags);
int __wrap_linkat(int a, const char *from, int b, const char *to, int flags)
{
    PASS(CALLS_LINK, __real_linkat(a, from, b, to, flags), __real_linkat(a, from, b, to, flags));
}

int __real_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags);
int __wrap_unlinkat(int dir, const char *name, int flags)
{
    PASS(CALLS_UNLINK, __real_unlinkat(dir, name, flags), __real_unlinkat(dir, name, flags));
}

int __real_mkdirat(int dir, const char *name, mode_t mode);
int __wrap_mkdirat(int dir, const char *name, mode_t mode);
int __wrap_mkdirat(int dir, const char *name, mode_t mode)
{
    PASS(CALLS_MKDIR, __real_mkdirat(dir, name, mode), __real_mkdirat(dir, name, mode));
}

int __real_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size)
{
    PASS(CALLS_TRUNCATE, __real_ftruncate(fd, size), __real_ftruncate(fd, size));
}

int __real_fallocate(int fd, int mode, off_t off, off_t n);
int __wrap_fallocate(int fd, int mode, off_t off, off_t n);
int __wrap_fallocate(int fd, int mode, off_t off, off_t n)
{
    PASS(CALLS_ALLOCATE, __real_fallocate(fd, mode, off, n), __real_fallocate(fd, mode, off, n));
}

/* Opening: only what may make a file is a change. */
int __real_openat(int dir, const char *name, int flags, ...);
int __wrap_openat(int dir, const char *name, int flags, ...);
int __wrap_openat(int dir, const char *name, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (!(flags & O_CREAT)) {
        return __real_openat(dir, name, flags);
    }
    PASS(CALLS_CREATE, __real_openat(dir, name, flags, mode),
         __real_openat(dir, name, flags, mode));
}

/* openat2 has no function of its own; other numbers pass through with all their arguments. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(args, long);
    }
    va_end(args);
    if (number == SYS_openat2 && ((const struct open_how *)a[2])->flags & O_CREAT) {
        PASS(CALLS_CREATE, __real_syscall(number, a[0], a[1], a[2], a[3]),
             __real_syscall(number, a[0], a[1], a[2], a[3]));
    }
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
