/* store_test.h: what the tests of this folder share: accounts, a simulated disk, checks.
 *
 * The disk has an account of its own, so that injected failures of memory strike the code under
 * test and never the simulation. */
#ifndef QV_TESTS_STORE_TEST_H
#define QV_TESTS_STORE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rng.h"
#include "os/io_sim.h"

static struct qv_err test_err;
#define ERR (&test_err)

#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        qv_status st_ = (expr);                                                                    \
        if (st_ != QV_OK) {                                                                        \
            fail_msg("%s: %s: %s", #expr, qv_status_name(st_), test_err.message);                  \
        }                                                                                          \
    } while (0)
#define assert_status(expr, want)                                                                  \
    do {                                                                                           \
        qv_status st_ = (expr), want_ = (want);                                                    \
        if (st_ != want_) {                                                                        \
            fail_msg("%s: got %s (%s), want %s", #expr, qv_status_name(st_), test_err.message,     \
                     qv_status_name(want_));                                                       \
        }                                                                                          \
    } while (0)
#define assert_says(text)                                                                          \
    do {                                                                                           \
        if (!strstr(test_err.message, text)) {                                                     \
            fail_msg("\"%s\" does not contain \"%s\"", test_err.message, text);                    \
        }                                                                                          \
    } while (0)

struct env {
    struct qv__mem *mem;  /* of the code under test */
    struct qv__mem *disk; /* of the simulation */
    struct qv__io *io;
};

static inline void env_open(struct env *e)
{
    e->mem = qv__mem_root("test", 0);
    e->disk = qv__mem_root("disk", 0);
    assert_non_null(e->mem);
    assert_non_null(e->disk);
    assert_ok(qv__io_sim_open(e->disk, &e->io, ERR));
}

/* Nothing may be left charged. */
static inline void env_close(struct env *e)
{
    qv__io_close(e->io);
    qv__mem_close(e->disk);
    struct qv__mem *empty = qv__mem_root("empty", 0);
    assert_int_equal(qv__mem_used(e->mem), qv__mem_used(empty));
    qv__mem_close(empty);
    qv__mem_close(e->mem);
}

/* The machine goes down and comes up with what a crash of this kind leaves. */
static inline void env_crash(struct env *e, enum qv__sim_crash how, struct qv__rng *rng)
{
    struct qv__io *after;
    assert_ok(qv__io_sim_crash(e->io, how, rng, &after, ERR));
    qv__io_close(e->io);
    e->io = after;
}

static inline void no_fault(struct qv__io *io)
{
    qv__io_sim_fault(io, (struct qv__sim_fault){0});
}

/* Count of files, and the name of the last one, in a directory. */
struct dir_look {
    size_t n;
    char last[256];
};
static inline void dir_look_cb(void *arg, const char *name, bool is_dir)
{
    struct dir_look *l = arg;
    (void)is_dir;
    l->n++;
    snprintf(l->last, sizeof l->last, "%s", name);
}
static inline struct dir_look dir_look(struct qv__io *io, const char *dir)
{
    struct dir_look l = {0};
    assert_ok(qv__io_list(io, dir, dir_look_cb, &l, ERR));
    return l;
}

static inline void write_whole(struct qv__io *io, const char *name, const void *p, size_t n)
{
    struct qv__file *f;
    assert_ok(qv__io_open(io, name, QV__OPEN_CREATE | QV__OPEN_TRUNC, &f, ERR));
    assert_ok(qv__io_pwrite(f, p, n, 0, ERR));
    assert_ok(qv__io_sync(f, false, ERR));
    assert_ok(qv__io_file_close(f, ERR));
}

#endif
