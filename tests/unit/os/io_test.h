/* io_test.h: what the tests of this folder share: a backend under test with its account, and
 * checks.
 *
 * What it is: a fixture. Every backend is opened over a fresh account; teardown closes it and
 * checks that no byte is left charged. POSIX backends live in a fresh directory that teardown
 * removes. */
#ifndef QV_TESTS_IO_TEST_H
#define QV_TESTS_IO_TEST_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/io_posix.h"
#include "os/io_sim.h"

enum backend { ON_POSIX, ON_POSIX_WALK, ON_SIM };

struct env {
    enum backend backend;
    struct qv__mem *mem;
    size_t used_bytes; /* of the account before the io was opened */
    struct qv__io *io;
    char path[256]; /* POSIX: the directory */
};

#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        qv_status st_ = (expr);                                                                    \
        if (st_ != QV_OK) {                                                                        \
            fail_msg("%s: %s: %s", #expr, qv_status_name(st_), e_ptr_message);                     \
        }                                                                                          \
    } while (0)
#define assert_status(expr, want)                                                                  \
    do {                                                                                           \
        qv_status st_ = (expr), want_ = (want);                                                    \
        if (st_ != want_) {                                                                        \
            fail_msg("%s: got %s, want %s", #expr, qv_status_name(st_), qv_status_name(want_));    \
        }                                                                                          \
    } while (0)

/* The error of the running check, so that a failure says why. */
static struct qv_err test_err;
#define e_ptr_message test_err.message
#define ERR           (&test_err)

static inline int remove_one(const char *path, const struct stat *sb, int kind, struct FTW *ftw)
{
    (void)sb, (void)kind, (void)ftw;
    return remove(path);
}

static inline void remove_tree(const char *path)
{
    assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void make_temp_dir(char *out, size_t n)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(out, n, "%s/qv-os-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(out));
}

static inline void env_open(struct env *e, enum backend backend)
{
    *e = (struct env){.backend = backend};
    test_err = (struct qv_err){0};
    e->mem = qv__mem_root("test", 0);
    assert_non_null(e->mem);
    e->used_bytes = qv__mem_used(e->mem);
    if (backend == ON_SIM) {
        assert_ok(qv__io_sim_open(e->mem, &e->io, ERR));
        return;
    }
    make_temp_dir(e->path, sizeof e->path);
    assert_ok(qv__io_posix_open(e->mem, e->path, false, &e->io, ERR));
    if (backend == ON_POSIX_WALK) {
        qv__io_posix_without_openat2(e->io);
    }
}

static inline void env_close(struct env *e)
{
    qv__io_close(e->io);
    assert_int_equal(qv__mem_used(e->mem), e->used_bytes);
    qv__mem_close(e->mem);
    if (*e->path) {
        remove_tree(e->path);
    }
}

/* --- short forms --- */

static inline struct qv__file *open_file(struct qv__io *io, const char *name, int flags)
{
    struct qv__file *f = NULL;
    assert_ok(qv__io_open(io, name, flags, &f, ERR));
    assert_non_null(f);
    return f;
}

static inline void close_file(struct qv__file *f)
{
    assert_ok(qv__io_file_close(f, ERR));
}

/* Create or replace a file, nothing synced. */
static inline void put(struct qv__io *io, const char *name, const char *text)
{
    struct qv__file *f = open_file(io, name, QV__OPEN_CREATE | QV__OPEN_TRUNC);
    assert_ok(qv__io_pwrite(f, text, strlen(text), 0, ERR));
    close_file(f);
}

static inline void sync_file(struct qv__io *io, const char *name)
{
    struct qv__file *f = open_file(io, name, QV__OPEN_WRITE);
    assert_ok(qv__io_sync(f, true, ERR));
    close_file(f);
}

static inline bool exists(struct qv__io *io, const char *name)
{
    struct qv__file *f = NULL;
    qv_status st = qv__io_open(io, name, QV__OPEN_READ, &f, NULL);
    qv__io_file_close(f, NULL);
    assert_true(st == QV_OK || st == QV_ENOTFOUND);
    return st == QV_OK;
}

/* True if the file holds exactly `text`; text NULL: if it does not exist. */
static inline bool holds(struct qv__io *io, const char *name, const char *text)
{
    void *p = NULL;
    size_t n = 0;
    qv_status st = qv__io_read_file(io, name, 1 << 20, io->mem, &p, &n, ERR);
    if (st == QV_ENOTFOUND) {
        return !text;
    }
    assert_ok(st);
    bool same = text && n == strlen(text) && memcmp(p, text, n) == 0;
    qv__free(p);
    return same;
}

struct listing {
    char text[4096]; /* "a b/ c " with a slash behind directories */
};
static inline void listing_add(void *arg, const char *name, bool is_dir)
{
    struct listing *l = arg;
    size_t n = strlen(l->text);
    snprintf(l->text + n, sizeof l->text - n, "%s%s ", name, is_dir ? "/" : "");
}
static inline void assert_listing(struct qv__io *io, const char *dir, const char *want)
{
    struct listing l = {{0}};
    assert_ok(qv__io_list(io, dir, listing_add, &l, ERR));
    assert_string_equal(l.text, want);
}

#endif
