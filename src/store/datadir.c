/* datadir.c: the data directory of one database: its lock and its sub-directories.
 *
 * The lock is one of the operating system, held by an open file, so it cannot outlive its process.
 * The file holds the number of the process that has the lock, only to name it to whoever is
 * refused: nothing is decided by it. What is left in tmp is from files that were never adopted: it
 * is removed, and what cannot be removed is left; neither that nor an unknown file ever blocks a
 * start. Memory: none. Locks: none.
 */
#include "store/manifest.h"

#include <stdio.h>

#define LOCK_NAME   "LOCK"
#define OWNER_BYTES 24 /* a number of 64 bits and a newline */

/* --- emptying tmp --- */

#define BATCH       16

/* Some entries of a directory: sub-directories go first, one at a time. */
struct look {
    char files[BATCH][QV__IO_NAME_MAX + 1];
    size_t n_files;
    char subdir[QV__IO_NAME_MAX + 1];
    bool has_subdir;
};

static void look_at(void *arg, const char *name, bool is_dir)
{
    struct look *l = (struct look *)arg;
    if (strlen(name) > QV__IO_NAME_MAX) {
        return;
    }
    if (is_dir && !l->has_subdir) {
        l->has_subdir = true;
        memcpy(l->subdir, name, strlen(name) + 1);
    } else if (!is_dir && l->n_files < BATCH) {
        memcpy(l->files[l->n_files++], name, strlen(name) + 1);
    }
}

static bool join(char path[QV__IO_NAME_MAX + 1], const char *leaf)
{
    size_t n = strlen(path), m = strlen(leaf);
    if (n + 1 + m > QV__IO_NAME_MAX) {
        return false;
    }
    path[n] = '/';
    memcpy(path + n + 1, leaf, m + 1);
    return true;
}

/* Unlink what was seen; false when something stays. */
static bool unlink_files(struct qv__io *io, const char *dir, const struct look *l)
{
    for (size_t i = 0; i < l->n_files; i++) {
        char path[QV__IO_NAME_MAX + 1];
        memcpy(path, dir, strlen(dir) + 1);
        if (!join(path, l->files[i]) || qv__io_unlink(io, path, NULL) != QV_OK) {
            return false;
        }
    }
    return true;
}

/* Depth first with the path as the only stack: go down while there is a sub-directory, remove what
 * has none, begin again at the top. Gives up at the first thing that cannot be removed. */
static void empty_tmp(struct qv__io *io)
{
    for (;;) {
        char path[QV__IO_NAME_MAX + 1] = QV__DIR_TMP;
        struct look l;
        for (;;) {
            l.n_files = 0;
            l.has_subdir = false;
            if (qv__io_list(io, path, look_at, &l, NULL) != QV_OK) {
                return;
            }
            if (!l.has_subdir) {
                break;
            }
            if (!join(path, l.subdir)) {
                return;
            }
        }
        if (!unlink_files(io, path, &l)) {
            return;
        }
        if (l.n_files == BATCH) {
            continue; /* there may be more */
        }
        if (strcmp(path, QV__DIR_TMP) == 0 || qv__io_rmdir(io, path, NULL) != QV_OK) {
            return;
        }
    }
}

/* --- open --- */

static void ignore_entry(void *arg, const char *name, bool is_dir)
{
    (void)arg, (void)name, (void)is_dir;
}

static qv_status make_dir(struct qv__io *io, const char *name, struct qv_err *err)
{
    struct qv_err why;
    qv_status st = qv__io_mkdir(io, name, &why);
    if (st == QV_EEXISTS) {
        return qv__io_list(io, name, ignore_entry, NULL, err); /* fails when it is a file */
    }
    if (st != QV_OK && err) {
        *err = why;
    }
    return st;
}

/* The refusal, with the number that the holder left, if there is one to read. */
static qv_status locked(struct qv__file *lock, struct qv_err *err)
{
    char text[OWNER_BYTES];
    uint64_t size = 0, pid = 0;
    if (qv__io_size(lock, &size, NULL) == QV_OK && size > 0 && size <= sizeof text &&
        qv__io_pread(lock, text, (size_t)size, 0, NULL) == QV_OK) {
        for (size_t i = 0; i < size && text[i] >= '0' && text[i] <= '9'; i++) {
            pid = pid * 10 + (uint64_t)(text[i] - '0');
        }
    }
    if (pid == 0) {
        return qv__fail(err, QV_ELOCKED,
                        LOCK_NAME ": another process has this data directory open");
    }
    return qv__fail(err, QV_ELOCKED, LOCK_NAME ": process %" PRIu64 " has this data directory open",
                    pid);
}

/* A courtesy: a disk that is full must not keep a database from opening. */
static void leave_owner(struct qv__file *lock)
{
    char text[OWNER_BYTES];
    int n = snprintf(text, sizeof text, "%" PRIu64 "\n", qv__os_process());
    if (qv__io_truncate(lock, 0, NULL) == QV_OK) {
        (void)!qv__io_pwrite(lock, text, (size_t)n, 0, NULL);
    }
}

qv_status qv__datadir_open(struct qv__io *io, struct qv__datadir *out, struct qv_err *err)
{
    static const char *const dirs[] = {QV__DIR_LOG, QV__DIR_BLOBS, QV__DIR_TMP, QV__DIR_SNAPSHOTS};
    struct qv__datadir d = {.io = io};
    QV_TRY(qv__io_open(io, LOCK_NAME, QV__OPEN_CREATE, &d.lock, err));
    qv_status st = qv__io_lock(d.lock, err);
    if (st == QV_ELOCKED) {
        st = locked(d.lock, err);
    } else if (st == QV_OK) {
        leave_owner(d.lock);
    }
    for (size_t i = 0; st == QV_OK && i < QV_ARRAY_LEN(dirs); i++) {
        st = make_dir(io, dirs[i], err);
    }
    if (st == QV_OK) {
        st = qv__io_sync_dir(io, "", err);
    }
    if (st != QV_OK) {
        qv__datadir_close(&d);
        return st;
    }
    empty_tmp(io);
    *out = d;
    return QV_OK;
}

void qv__datadir_close(struct qv__datadir *d)
{
    qv__io_file_close(d->lock, NULL); /* nothing in it is needed */
    d->lock = NULL;
}
