/* io_posix_path.h: from names to file descriptors, without ever leaving the root.
 *
 * What it is: the part of the POSIX backend that resolves names. All functions return -1 with errno
 * set on failure, as the system calls they wrap do; all descriptors are close-on-exec and >= 3, so
 * that a stray write to standard output or error can never land in a data file.
 * Threads: any. Memory: none. */
#ifndef QV_OS_IO_POSIX_PATH_H
#define QV_OS_IO_POSIX_PATH_H

#include <sys/types.h>

#include "os/io.h"

struct qv__posix_root {
    int fd;
    bool has_openat2; /* immutable after open */
};

/* Directory and last part of a name, for the calls that know no RESOLVE flags. */
struct qv__posix_at {
    int fd;
    const char *leaf; /* borrowed from the name */
    bool is_owned;    /* fd is not the root's */
};

/* Open the root directory; with `create`, make it and its parents and sync the parents of what was
 * made. *failed_path_n: how much of `path` was understood when a call failed, for the message. */
int qv__posix_root_open(const char *path, bool create, struct qv__posix_root *out,
                        size_t *failed_path_n);

/* open(2) below the root; "" is the root itself. Follows no symbolic link. */
int qv__posix_open(const struct qv__posix_root *root, const char *name, int flags, mode_t mode);

int qv__posix_at_open(const struct qv__posix_root *root, const char *name,
                      struct qv__posix_at *out);
/* Keeps errno. */
void qv__posix_at_close(struct qv__posix_at *at);

/* close(2) that keeps errno, for descriptors through which nothing was written. */
void qv__posix_close(int fd);
int qv__posix_fsync(int fd);

#endif
