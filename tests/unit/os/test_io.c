/* test_io.c: one suite of conformance over every backend: POSIX with openat2, POSIX walking names
 * part by part, simulated. */
#include "io_test.h"

#include "base/thread.h"

#define SEED 20240611u

static int setup_posix(void **state)
{
    static struct env e;
    env_open(&e, ON_POSIX);
    *state = &e;
    return 0;
}
static int setup_walk(void **state)
{
    static struct env e;
    env_open(&e, ON_POSIX_WALK);
    *state = &e;
    return 0;
}
static int setup_sim(void **state)
{
    static struct env e;
    env_open(&e, ON_SIM);
    *state = &e;
    return 0;
}
static int teardown(void **state)
{
    env_close(*state);
    return 0;
}

static struct qv__io *io_of_state(void **state)
{
    return ((struct env *)*state)->io;
}

/* --- names and flags --- */

static void ignore_entry(void *arg, const char *name, bool is_dir)
{
    (void)arg, (void)name, (void)is_dir;
}

static void test_bad_names(void **state)
{
    struct qv__io *io = io_of_state(state);
    char longest[QV__IO_NAME_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[QV__IO_NAME_MAX + 1] = 0;
    const char *bad[] = {NULL,   "/",    "/a",     "a/",        "a//b",
                         ".",    "..",   "./a",    "a/.",       "a/./b",
                         "../a", "a/..", "a/../b", "a/../../b", "../../etc/passwd",
                         longest};
    put(io, "good", "x");
    assert_ok(qv__io_mkdir(io, "a", ERR));
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        struct qv__file *f = NULL;
        const char *n = bad[i];
        assert_status(qv__io_open(io, n, QV__OPEN_CREATE, &f, ERR), QV_EINVAL);
        assert_null(f);
        assert_int_equal(test_err.code, QV_EINVAL);
        assert_status(qv__io_rename(io, n, "to", ERR), QV_EINVAL);
        assert_status(qv__io_rename(io, "good", n, ERR), QV_EINVAL);
        assert_status(qv__io_link(io, n, "to", ERR), QV_EINVAL);
        assert_status(qv__io_link(io, "good", n, ERR), QV_EINVAL);
        assert_status(qv__io_unlink(io, n, ERR), QV_EINVAL);
        assert_status(qv__io_mkdir(io, n, ERR), QV_EINVAL);
        assert_status(qv__io_rmdir(io, n, ERR), QV_EINVAL);
        assert_status(qv__io_list(io, n, ignore_entry, NULL, ERR), QV_EINVAL);
        assert_status(qv__io_sync_dir(io, n, ERR), QV_EINVAL);
        assert_status(qv__io_write_file(io, n, "x", 1, ERR), QV_EINVAL);
    }
    struct qv__file *f = NULL;
    assert_status(qv__io_open(io, "", QV__OPEN_CREATE, &f, ERR), QV_EINVAL);
    assert_status(qv__io_unlink(io, "", ERR), QV_EINVAL);
    assert_status(qv__io_rmdir(io, "", ERR), QV_EINVAL);
    assert_listing(io, "", "a/ good ");
    assert_listing(io, "a", "");
}

static void test_good_names(void **state)
{
    struct qv__io *io = io_of_state(state);
    char longest[QV__IO_NAME_MAX + 1];
    memset(longest, 'x', sizeof longest);
    longest[QV__IO_NAME_MAX] = 0;
    const char *good[] = {longest, "...", "..a", "a..", ".hidden", "a b", "\xff\xfe", "a\nb"};
    for (size_t i = 0; i < QV_ARRAY_LEN(good); i++) {
        put(io, good[i], "text");
        assert_true(holds(io, good[i], "text"));
        assert_ok(qv__io_unlink(io, good[i], ERR));
    }
    assert_ok(qv__io_mkdir(io, "d", ERR));
    assert_ok(qv__io_mkdir(io, "d/...", ERR));
    put(io, "d/.../f", "deep");
    assert_true(holds(io, "d/.../f", "deep"));
}

static void test_open_flags(void **state)
{
    struct qv__io *io = io_of_state(state);
    struct qv__file *f = NULL;
    const int bad[] = {QV__OPEN_EXCL, QV__OPEN_TRUNC, QV__OPEN_WRITE | QV__OPEN_EXCL, 16, -1};
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        assert_status(qv__io_open(io, "f", bad[i], &f, ERR), QV_EINVAL);
    }
    assert_status(qv__io_open(io, "f", QV__OPEN_READ, &f, ERR), QV_ENOTFOUND);
    assert_non_null(strstr(test_err.message, "f"));
    assert_status(qv__io_open(io, "f", QV__OPEN_WRITE, &f, ERR), QV_ENOTFOUND);
    assert_status(qv__io_open(io, "no/f", QV__OPEN_CREATE, &f, ERR), QV_ENOTFOUND);
    assert_status(qv__io_open(io, "no/dir/f", QV__OPEN_CREATE, &f, ERR), QV_ENOTFOUND);
    assert_null(f);

    f = open_file(io, "f", QV__OPEN_CREATE | QV__OPEN_EXCL);
    assert_true(f->writable);
    assert_string_equal(f->name, "f");
    assert_ok(qv__io_pwrite(f, "hello", 5, 0, ERR));
    close_file(f);
    f = NULL;
    assert_status(qv__io_open(io, "f", QV__OPEN_CREATE | QV__OPEN_EXCL, &f, ERR), QV_EEXISTS);
    close_file(open_file(io, "f", QV__OPEN_CREATE));
    assert_true(holds(io, "f", "hello"));
    close_file(open_file(io, "f", QV__OPEN_WRITE | QV__OPEN_TRUNC));
    assert_true(holds(io, "f", ""));

    assert_status(qv__io_open(io, "f/x", QV__OPEN_READ, &f, ERR), QV_EIO);
    assert_status(qv__io_open(io, "f/x", QV__OPEN_CREATE, &f, ERR), QV_EIO);
    assert_ok(qv__io_mkdir(io, "d", ERR));
    assert_status(qv__io_open(io, "d", QV__OPEN_READ, &f, ERR), QV_EIO);
    assert_status(qv__io_open(io, "d", QV__OPEN_WRITE, &f, ERR), QV_EIO);
    assert_status(qv__io_open(io, "d", QV__OPEN_CREATE, &f, ERR), QV_EIO);
    assert_status(qv__io_open(io, "d", QV__OPEN_CREATE | QV__OPEN_EXCL, &f, ERR), QV_EEXISTS);
    assert_null(f);
    assert_ok(qv__io_file_close(NULL, ERR));
}

static void test_read_only(void **state)
{
    struct qv__io *io = io_of_state(state);
    put(io, "f", "hello");
    struct qv__file *f = open_file(io, "f", QV__OPEN_READ);
    assert_false(f->writable);
    assert_status(qv__io_pwrite(f, "x", 1, 0, ERR), QV_EINVAL);
    assert_status(qv__io_truncate(f, 0, ERR), QV_EINVAL);
    assert_status(qv__io_allocate(f, 100, ERR), QV_EINVAL);
    assert_ok(qv__io_sync(f, false, ERR));
    assert_ok(qv__io_lock(f, ERR));
    close_file(f);
    assert_true(holds(io, "f", "hello"));
}

/* --- bytes --- */

static void test_short_reads_and_ranges(void **state)
{
    struct qv__io *io = io_of_state(state);
    struct qv__file *f = open_file(io, "f", QV__OPEN_CREATE);
    char buf[16];
    assert_ok(qv__io_pread(f, buf, 0, 0, ERR));
    assert_ok(qv__io_pread(f, buf, 0, 77, ERR));
    assert_status(qv__io_pread(f, buf, 1, 0, ERR), QV_EIO);
    assert_non_null(strstr(test_err.message, "short read"));
    assert_ok(qv__io_pwrite(f, "hello", 5, 3, ERR));
    assert_ok(qv__io_pread(f, buf, 8, 0, ERR));
    assert_memory_equal(buf, "\0\0\0hello", 8);
    assert_status(qv__io_pread(f, buf, 9, 0, ERR), QV_EIO);
    assert_status(qv__io_pread(f, buf, 1, 8, ERR), QV_EIO);
    assert_status(qv__io_pread(f, buf, 1, 1 << 30, ERR), QV_EIO);
    assert_ok(qv__io_pwrite(f, buf, 0, 100, ERR)); /* nothing written, nothing grown */
    uint64_t size = 0;
    assert_ok(qv__io_size(f, &size, ERR));
    assert_int_equal(size, 8);

    assert_status(qv__io_pread(f, buf, 1, UINT64_MAX, ERR), QV_EINVAL);
    assert_status(qv__io_pread(f, buf, 1, INT64_MAX, ERR), QV_EINVAL);
    assert_status(qv__io_pwrite(f, buf, 1, INT64_MAX, ERR), QV_EINVAL);
    assert_status(qv__io_pwrite(f, buf, SIZE_MAX, 1, ERR), QV_EINVAL);
    assert_status(qv__io_truncate(f, (uint64_t)INT64_MAX + 1, ERR), QV_EINVAL);
    assert_status(qv__io_allocate(f, UINT64_MAX, ERR), QV_EINVAL);
    struct qv__map_view v;
    assert_status(qv__io_map(f, UINT64_MAX, 1, &v, ERR), QV_EINVAL);
    assert_ok(qv__io_size(f, &size, ERR));
    assert_int_equal(size, 8);
    close_file(f);
}

static void test_truncate(void **state)
{
    struct qv__io *io = io_of_state(state);
    struct qv__file *f = open_file(io, "f", QV__OPEN_CREATE);
    char buf[10000], want[10000] = {0};
    memset(buf, 'x', sizeof buf);
    assert_ok(qv__io_pwrite(f, buf, sizeof buf, 0, ERR));
    assert_ok(qv__io_truncate(f, 5000, ERR));
    assert_status(qv__io_pread(f, buf, 1, 5000, ERR), QV_EIO);
    assert_ok(qv__io_truncate(f, 10000, ERR)); /* what was cut comes back as zeros */
    memset(want, 'x', 5000);
    assert_ok(qv__io_pread(f, buf, sizeof buf, 0, ERR));
    assert_memory_equal(buf, want, sizeof buf);
    assert_ok(qv__io_truncate(f, 0, ERR));
    assert_ok(qv__io_truncate(f, 1 << 20, ERR));
    assert_ok(qv__io_pread(f, buf, 10000, (1 << 20) - 10000, ERR));
    memset(want, 0, sizeof want);
    assert_memory_equal(buf, want, sizeof buf);
    close_file(f);
}

static void test_allocate(void **state)
{
    struct qv__io *io = io_of_state(state);
    struct qv__file *f = open_file(io, "f", QV__OPEN_CREATE);
    /* Past several rounds of the writer of zeros, and not a multiple of anything. */
    static uint8_t buf[(5 << 19) + 123];
    uint64_t size = 0;
    assert_ok(qv__io_pwrite(f, "hello", 5, 0, ERR));
    assert_ok(qv__io_allocate(f, sizeof buf, ERR));
    assert_ok(qv__io_size(f, &size, ERR));
    assert_int_equal(size, sizeof buf);
    memset(buf, 0xee, sizeof buf);
    assert_ok(qv__io_pread(f, buf, sizeof buf, 0, ERR));
    assert_memory_equal(buf, "hello", 5);
    for (size_t i = 5; i < sizeof buf; i++) {
        assert_int_equal(buf[i], 0);
    }
    assert_ok(qv__io_allocate(f, 3, ERR)); /* never shrinks, never touches what is there */
    assert_ok(qv__io_allocate(f, sizeof buf, ERR));
    assert_ok(qv__io_size(f, &size, ERR));
    assert_int_equal(size, sizeof buf);
    assert_ok(qv__io_pread(f, buf, 5, 0, ERR));
    assert_memory_equal(buf, "hello", 5);
    assert_ok(qv__io_sync(f, false, ERR));
    close_file(f);
}

/* Random reads, writes and truncations against an array. */
static void test_random_bytes(void **state)
{
    enum { MAX = 40000 };
    static uint8_t model[MAX], buf[MAX];
    struct qv__io *io = io_of_state(state);
    struct qv__rng rng;
    size_t size = 0;
    qv__rng_seed(&rng, SEED);
    memset(model, 0, sizeof model);
    struct qv__file *f = open_file(io, "f", QV__OPEN_CREATE);
    for (int step = 0; step < 2000; step++) {
        size_t off = qv__rng_below(&rng, MAX), n = qv__rng_below(&rng, MAX - off);
        switch (qv__rng_below(&rng, 4)) {
        case 0:
            n = qv__rng_below(&rng, QV_MIN(n + 1, 5000u));
            for (size_t i = 0; i < n; i++) {
                buf[i] = (uint8_t)qv__rng_u64(&rng);
            }
            assert_ok(qv__io_pwrite(f, buf, n, off, ERR));
            memcpy(model + off, buf, n);
            size = n ? QV_MAX(size, off + n) : size;
            break;
        case 1:
            assert_ok(qv__io_truncate(f, off, ERR));
            if (off < size) {
                memset(model + off, 0, size - off);
            }
            size = off;
            break;
        case 2:
            assert_ok(qv__io_allocate(f, off, ERR));
            size = QV_MAX(size, off);
            break;
        default:
            if (n == 0 || off + n <= size) {
                assert_ok(qv__io_pread(f, buf, n, off, ERR));
                assert_memory_equal(buf, model + off, n);
            } else {
                assert_status(qv__io_pread(f, buf, n, off, ERR), QV_EIO);
            }
        }
        if (step % 50 == 0) {
            assert_ok(qv__io_sync(f, step % 100 == 0, ERR));
        }
    }
    uint64_t got = 0;
    assert_ok(qv__io_size(f, &got, ERR));
    assert_int_equal(got, size);
    assert_ok(qv__io_pread(f, buf, size, 0, ERR));
    assert_memory_equal(buf, model, size);
    close_file(f);
}

static void test_two_handles_see_the_same(void **state)
{
    struct qv__io *io = io_of_state(state);
    put(io, "f", "hello");
    struct qv__file *a = open_file(io, "f", QV__OPEN_WRITE);
    struct qv__file *b = open_file(io, "f", QV__OPEN_READ);
    char c = 0;
    assert_ok(qv__io_pwrite(a, "J", 1, 0, ERR));
    assert_ok(qv__io_pread(b, &c, 1, 0, ERR));
    assert_int_equal(c, 'J');
    close_file(a);
    close_file(b);
}

/* --- mappings --- */

static void test_map(void **state)
{
    static uint8_t bytes[20000];
    struct qv__io *io = io_of_state(state);
    struct qv__rng rng;
    qv__rng_seed(&rng, SEED);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)qv__rng_u64(&rng);
    }
    struct qv__file *f = open_file(io, "f", QV__OPEN_CREATE);
    assert_ok(qv__io_pwrite(f, bytes, sizeof bytes, 0, ERR));

    struct qv__map_view all = {0}, part = {0}, none = {.p = (const uint8_t *)"x", .n = 1};
    assert_ok(qv__io_map(f, 0, sizeof bytes, &all, ERR));
    assert_ok(qv__io_map(f, 4996, 5004, &part, ERR));
    assert_ok(qv__io_map(f, 0, 0, &none, ERR));
    assert_null(none.p);
    assert_int_equal(none.n, 0);
    assert_int_equal((uintptr_t)all.p % 4096, 0);
    assert_int_equal((uintptr_t)part.p % 4096, 4996 % 4096);

    struct qv__map_view v = {0};
    assert_status(qv__io_map(f, 0, sizeof bytes + 1, &v, ERR), QV_EIO);
    assert_status(qv__io_map(f, sizeof bytes, 1, &v, ERR), QV_EIO);
    assert_status(qv__io_map(f, 1 << 30, 1, &v, ERR), QV_EIO);
    assert_status(qv__io_map(f, 1, sizeof bytes, &v, ERR), QV_EIO);
    assert_null(v.impl);

    close_file(f); /* views outlive it */
    assert_ok(qv__io_unlink(io, "f", ERR));
    assert_int_equal(all.n, sizeof bytes);
    assert_memory_equal(all.p, bytes, sizeof bytes);
    assert_int_equal(part.n, 5004);
    assert_memory_equal(part.p, bytes + 4996, 5004);
    for (int a = QV__ADVISE_NORMAL; a <= QV__ADVISE_DONTNEED; a++) {
        qv__io_advise(io, &all, 0, all.n, (enum qv__advice)a);
        qv__io_advise(io, &part, 100, 200, (enum qv__advice)a);
        qv__io_advise(io, &part, part.n - 1, SIZE_MAX, (enum qv__advice)a);
        qv__io_advise(io, &part, part.n, 1, (enum qv__advice)a);
        qv__io_advise(io, &part, SIZE_MAX, SIZE_MAX, (enum qv__advice)a);
        qv__io_advise(io, &none, 0, 1, (enum qv__advice)a);
    }
    qv__io_advise(io, &all, 0, all.n, (enum qv__advice)99);
    assert_memory_equal(all.p, bytes, sizeof bytes); /* advice never changes bytes */
    assert_memory_equal(part.p, bytes + 4996, 5004);
    qv__io_unmap(io, &part);
    assert_null(part.p);
    qv__io_unmap(io, &part); /* no-op */
    qv__io_unmap(io, &none);
    assert_memory_equal(all.p, bytes, sizeof bytes);
    qv__io_unmap(io, &all);
}

/* --- names --- */

static void test_rename(void **state)
{
    struct qv__io *io = io_of_state(state);
    put(io, "a", "A");
    put(io, "b", "B");
    assert_ok(qv__io_rename(io, "a", "b", ERR)); /* replaces */
    assert_false(exists(io, "a"));
    assert_true(holds(io, "b", "A"));
    assert_status(qv__io_rename(io, "a", "c", ERR), QV_ENOTFOUND);
    assert_status(qv__io_rename(io, "no/a", "c", ERR), QV_ENOTFOUND);
    assert_status(qv__io_rename(io, "b", "no/c", ERR), QV_ENOTFOUND);
    assert_status(qv__io_rename(io, "b", "b/c", ERR), QV_EIO);
    assert_ok(qv__io_rename(io, "b", "b", ERR));
    assert_true(holds(io, "b", "A"));

    assert_ok(qv__io_link(io, "b", "b2", ERR));
    assert_ok(qv__io_rename(io, "b", "b2", ERR)); /* one inode: both stay */
    assert_listing(io, "", "b b2 ");

    assert_ok(qv__io_mkdir(io, "d", ERR));
    assert_ok(qv__io_mkdir(io, "e", ERR));
    assert_ok(qv__io_rename(io, "b2", "d/x", ERR));
    assert_true(holds(io, "d/x", "A"));
    assert_status(qv__io_rename(io, "b", "d", ERR), QV_EIO);
    assert_status(qv__io_rename(io, "d", "b", ERR), QV_EIO);
    assert_status(qv__io_rename(io, "e", "d", ERR), QV_EEXISTS); /* d is not empty */
    assert_status(qv__io_rename(io, "d", "d/y", ERR), QV_EIO);
    assert_ok(qv__io_mkdir(io, "d/deep", ERR));
    assert_status(qv__io_rename(io, "d", "d/deep/y", ERR), QV_EIO);
    assert_status(qv__io_rename(io, "d/deep", "d", ERR), QV_EEXISTS);
    assert_ok(qv__io_rename(io, "d", "e", ERR)); /* e was empty */
    assert_listing(io, "", "b e/ ");
    assert_listing(io, "e", "deep/ x ");
    assert_true(holds(io, "e/x", "A"));
    assert_ok(qv__io_rename(io, "e/deep", "top", ERR));
    assert_ok(qv__io_rename(io, "e", "top/e", ERR)); /* what was inside is now outside */
    assert_true(holds(io, "top/e/x", "A"));
}

static void test_link_and_unlink(void **state)
{
    struct qv__io *io = io_of_state(state);
    put(io, "a", "A");
    put(io, "b", "B");
    assert_ok(qv__io_mkdir(io, "d", ERR));
    assert_status(qv__io_link(io, "a", "b", ERR), QV_EEXISTS);
    assert_status(qv__io_link(io, "a", "d", ERR), QV_EEXISTS);
    assert_status(qv__io_link(io, "none", "c", ERR), QV_ENOTFOUND);
    assert_status(qv__io_link(io, "a", "no/c", ERR), QV_ENOTFOUND);
    assert_status(qv__io_link(io, "d", "c", ERR), QV_EIO);
    assert_ok(qv__io_link(io, "a", "d/a2", ERR));
    struct qv__file *f = open_file(io, "d/a2", QV__OPEN_WRITE);
    assert_ok(qv__io_pwrite(f, "X", 1, 0, ERR));
    assert_true(holds(io, "a", "X")); /* one file, two names */

    assert_ok(qv__io_unlink(io, "a", ERR));
    assert_status(qv__io_unlink(io, "a", ERR), QV_ENOTFOUND);
    assert_status(qv__io_unlink(io, "no/a", ERR), QV_ENOTFOUND);
    assert_status(qv__io_unlink(io, "d", ERR), QV_EIO);
    assert_true(holds(io, "d/a2", "X"));
    assert_ok(qv__io_unlink(io, "d/a2", ERR));

    char c = 0; /* open, though no name is left */
    assert_ok(qv__io_pread(f, &c, 1, 0, ERR));
    assert_int_equal(c, 'X');
    assert_ok(qv__io_pwrite(f, "YZ", 2, 0, ERR));
    assert_ok(qv__io_sync(f, true, ERR));
    put(io, "a", "new");
    assert_ok(qv__io_pread(f, &c, 1, 1, ERR));
    assert_int_equal(c, 'Z');
    close_file(f);
    assert_true(holds(io, "a", "new"));
}

static void test_replaced_while_open(void **state)
{
    struct qv__io *io = io_of_state(state);
    put(io, "f", "old");
    put(io, "g", "new");
    struct qv__file *f = open_file(io, "f", QV__OPEN_READ);
    assert_ok(qv__io_rename(io, "g", "f", ERR));
    char buf[3];
    assert_ok(qv__io_pread(f, buf, 3, 0, ERR));
    assert_memory_equal(buf, "old", 3);
    close_file(f);
    assert_true(holds(io, "f", "new"));
}

static void test_directories(void **state)
{
    struct qv__io *io = io_of_state(state);
    put(io, "f", "x");
    assert_ok(qv__io_mkdir(io, "d", ERR));
    assert_status(qv__io_mkdir(io, "d", ERR), QV_EEXISTS);
    assert_status(qv__io_mkdir(io, "f", ERR), QV_EEXISTS);
    assert_status(qv__io_mkdir(io, "no/d", ERR), QV_ENOTFOUND);
    assert_status(qv__io_mkdir(io, "f/d", ERR), QV_EIO);
    assert_status(qv__io_rmdir(io, "f", ERR), QV_EIO);
    assert_status(qv__io_rmdir(io, "none", ERR), QV_ENOTFOUND);
    put(io, "d/x", "x");
    assert_status(qv__io_rmdir(io, "d", ERR), QV_EEXISTS);
    assert_ok(qv__io_unlink(io, "d/x", ERR));
    assert_ok(qv__io_rmdir(io, "d", ERR));
    assert_listing(io, "", "f ");
    assert_status(qv__io_sync_dir(io, "d", ERR), QV_ENOTFOUND);
    assert_status(qv__io_sync_dir(io, "f", ERR), QV_EIO);
    assert_ok(qv__io_sync_dir(io, "", ERR));
    assert_ok(qv__io_mkdir(io, "d", ERR));
    assert_ok(qv__io_mkdir(io, "d/e", ERR));
    assert_ok(qv__io_sync_dir(io, "d/e", ERR));
    assert_ok(qv__io_sync_dir(io, "d", ERR));
}

struct eater {
    struct qv__io *io;
    int n;
};
static void eat(void *arg, const char *name, bool is_dir)
{
    struct eater *e = arg;
    assert_false(is_dir);
    assert_ok(qv__io_unlink(e->io, name, ERR)); /* a callback may call the io */
    e->n++;
}

static void test_list(void **state)
{
    struct qv__io *io = io_of_state(state);
    assert_listing(io, "", "");
    const char *names[] = {"zz", "b", "\x80", "\xff", "a", "ab", "Z", "a.b", "-"};
    for (size_t i = 0; i < QV_ARRAY_LEN(names); i++) {
        put(io, names[i], "x");
    }
    assert_listing(io, "", "- Z a a.b ab b zz \x80 \xff ");
    struct eater e = {io, 0};
    assert_ok(qv__io_list(io, "", eat, &e, ERR));
    assert_int_equal(e.n, QV_ARRAY_LEN(names));
    assert_listing(io, "", "");
    assert_ok(qv__io_mkdir(io, "d", ERR));
    put(io, "d/f", "x");
    assert_ok(qv__io_mkdir(io, "d/e", ERR));
    assert_listing(io, "d", "e/ f ");
    assert_listing(io, "d/e", "");
    assert_status(qv__io_list(io, "none", ignore_entry, NULL, ERR), QV_ENOTFOUND);
    assert_status(qv__io_list(io, "d/f", ignore_entry, NULL, ERR), QV_EIO);
}

static void count_entry(void *arg, const char *name, bool is_dir)
{
    (void)is_dir;
    int *n = arg, number = 0;
    assert_int_equal(sscanf(name, "%d", &number), 1);
    assert_int_equal(number, *n);
    (*n)++;
}

static void test_list_many(void **state)
{
    struct qv__io *io = io_of_state(state);
    char name[16];
    for (int i = 0; i < 700; i++) { /* made in another order than listed */
        snprintf(name, sizeof name, "%04d", (i * 373) % 700);
        close_file(open_file(io, name, QV__OPEN_CREATE | QV__OPEN_EXCL));
    }
    int n = 0;
    assert_ok(qv__io_list(io, "", count_entry, &n, ERR));
    assert_int_equal(n, 700);
}

/* --- locks, space --- */

static void test_lock(void **state)
{
    struct qv__io *io = io_of_state(state);
    put(io, "f", "x");
    put(io, "g", "x");
    struct qv__file *a = open_file(io, "f", QV__OPEN_WRITE);
    struct qv__file *b = open_file(io, "f", QV__OPEN_WRITE);
    struct qv__file *g = open_file(io, "g", QV__OPEN_WRITE);
    assert_ok(qv__io_lock(a, ERR));
    assert_ok(qv__io_lock(a, ERR)); /* it has it already */
    assert_status(qv__io_lock(b, ERR), QV_ELOCKED);
    assert_non_null(strstr(test_err.message, "f"));
    assert_ok(qv__io_lock(g, ERR));
    close_file(b); /* closing another descriptor of the file drops nothing */
    b = open_file(io, "f", QV__OPEN_READ);
    assert_status(qv__io_lock(b, ERR), QV_ELOCKED);
    assert_ok(qv__io_rename(io, "f", "h", ERR)); /* the lock is the file's, not the name's */
    assert_status(qv__io_lock(b, ERR), QV_ELOCKED);
    close_file(a);
    assert_ok(qv__io_lock(b, ERR));
    close_file(b);
    close_file(g);
}

static void test_free_space(void **state)
{
    uint64_t bytes = 0, total = 0;
    assert_ok(qv__io_free_space(io_of_state(state), &bytes, NULL, ERR));
    assert_true(bytes > 0);
    assert_ok(qv__io_free_space(io_of_state(state), &bytes, &total, ERR));
    assert_true(total >= bytes);
}

/* Room that is held counts as taken, and comes back. */
static void test_reserve(void **state)
{
    struct qv__io *io = io_of_state(state);
    struct qv__file *f = open_file(io, "f", QV__OPEN_CREATE);
    uint64_t size = 0;
    assert_ok(qv__io_reserve(f, 100000, ERR));
    assert_ok(qv__io_size(f, &size, ERR));
    assert_int_equal(size, 100000);
    assert_ok(qv__io_reserve(f, 4096, ERR)); /* never shorter */
    assert_ok(qv__io_size(f, &size, ERR));
    assert_int_equal(size, 100000);
    assert_status(qv__io_reserve(f, UINT64_C(1) << 55, ERR), QV_ENOSPC);
    assert_ok(qv__io_size(f, &size, ERR));
    assert_int_equal(size, 100000);
    assert_ok(qv__io_truncate(f, 0, ERR));
    close_file(f);
}

/* --- whole files --- */

static void test_read_file(void **state)
{
    struct qv__io *io = io_of_state(state);
    void *p = NULL;
    size_t n = 99;
    assert_status(qv__io_read_file(io, "f", 10, io->mem, &p, &n, ERR), QV_ENOTFOUND);
    put(io, "f", "hello");
    assert_status(qv__io_read_file(io, "f", 4, io->mem, &p, &n, ERR), QV_ETOOBIG);
    assert_null(p);
    assert_int_equal(n, 99);
    assert_ok(qv__io_read_file(io, "f", 5, io->mem, &p, &n, ERR));
    assert_int_equal(n, 5);
    assert_string_equal(p, "hello"); /* a NUL follows */
    qv__free(p);
    put(io, "empty", "");
    assert_ok(qv__io_read_file(io, "empty", 0, io->mem, &p, &n, ERR));
    assert_int_equal(n, 0);
    assert_string_equal(p, "");
    qv__free(p);
    assert_ok(qv__io_mkdir(io, "d", ERR));
    assert_status(qv__io_read_file(io, "d", 5, io->mem, &p, &n, ERR), QV_EIO);
}

static void test_write_file(void **state)
{
    struct qv__io *io = io_of_state(state);
    assert_ok(qv__io_write_file(io, "f", "one", 3, ERR));
    assert_true(holds(io, "f", "one"));
    put(io, "f.tmp", "left over, and longer than what comes");
    assert_ok(qv__io_write_file(io, "f", "two", 3, ERR));
    assert_true(holds(io, "f", "two"));
    assert_ok(qv__io_write_file(io, "f", NULL, 0, ERR));
    assert_true(holds(io, "f", ""));
    assert_ok(qv__io_mkdir(io, "d", ERR));
    assert_ok(qv__io_mkdir(io, "d/e", ERR));
    assert_ok(qv__io_write_file(io, "d/e/f", "deep", 4, ERR));
    assert_true(holds(io, "d/e/f", "deep"));
    assert_listing(io, "", "d/ f ");
    assert_listing(io, "d/e", "f ");

    assert_status(qv__io_write_file(io, "none/f", "x", 1, ERR), QV_ENOTFOUND);
    assert_status(qv__io_write_file(io, "d", "x", 1, ERR), QV_EIO); /* a directory is there */
    assert_listing(io, "", "d/ f ");                                /* and no temporary stays */
    char name[QV__IO_NAME_MAX + 1];
    memset(name, 'x', sizeof name);
    name[QV__IO_NAME_MAX - 3] = 0; /* 252: no room for .tmp */
    assert_status(qv__io_write_file(io, name, "x", 1, ERR), QV_EINVAL);
    name[QV__IO_NAME_MAX - 4] = 0;
    assert_ok(qv__io_write_file(io, name, "x", 1, ERR));
    assert_true(holds(io, name, "x"));
}

/* A crash between the two names of a rename leaves one file under both: what replaces it must not
 * be written into it. */
static void test_write_file_spares_a_second_name(void **state)
{
    struct qv__io *io = io_of_state(state);
    put(io, "f", "one");
    assert_ok(qv__io_link(io, "f", "f.tmp", ERR));
    assert_ok(qv__io_link(io, "f", "witness", ERR));
    assert_ok(qv__io_write_file(io, "f", "two", 3, ERR));
    assert_true(holds(io, "f", "two"));
    assert_true(holds(io, "witness", "one"));
    assert_listing(io, "", "f witness ");
}

/* --- threads --- */

struct worker {
    struct qv__io *io;
    struct qv__file *shared;
    unsigned id;
    bool failed;
};

static bool worker_step(struct worker *w, int step)
{
    enum { N = 600 };
    char name[32], mine[N], got[N];
    uint64_t off = (uint64_t)(step % 7 * 4 + (int)w->id) * N; /* a region of our own */
    memset(mine, (int)('a' + w->id) + step % 5, N);
    snprintf(name, sizeof name, "w%u-%d", w->id, step % 3);
    if (qv__io_pwrite(w->shared, mine, N, off, NULL) || qv__io_sync(w->shared, true, NULL) ||
        qv__io_pread(w->shared, got, N, off, NULL) || memcmp(mine, got, N) != 0) {
        return false;
    }
    struct qv__file *f = NULL;
    struct qv__map_view v;
    bool ok = qv__io_open(w->io, name, QV__OPEN_CREATE, &f, NULL) == QV_OK &&
              qv__io_pwrite(f, mine, N, 0, NULL) == QV_OK && qv__io_lock(f, NULL) == QV_OK &&
              qv__io_map(f, 0, N, &v, NULL) == QV_OK;
    if (ok) {
        ok = memcmp(v.p, mine, N) == 0;
        qv__io_unmap(w->io, &v);
    }
    ok = qv__io_file_close(f, NULL) == QV_OK && ok;
    ok = ok && qv__io_list(w->io, "", ignore_entry, NULL, NULL) == QV_OK;
    ok = ok && qv__io_write_file(w->io, name, mine, 5, NULL) == QV_OK;
    return ok && qv__io_unlink(w->io, name, NULL) == QV_OK &&
           qv__io_sync_dir(w->io, "", NULL) == QV_OK;
}

static void worker_run(void *arg)
{
    struct worker *w = arg;
    for (int step = 0; step < 40 && !w->failed; step++) {
        w->failed = !worker_step(w, step);
    }
}

static void test_threads(void **state)
{
    struct qv__io *io = io_of_state(state);
    struct qv__file *shared = open_file(io, "shared", QV__OPEN_CREATE);
    struct worker w[4];
    struct qv__thread t[4];
    for (unsigned i = 0; i < 4; i++) {
        w[i] = (struct worker){io, shared, i, false};
        assert_ok(qv__thread_start(&t[i], "io", worker_run, &w[i], ERR));
    }
    for (unsigned i = 0; i < 4; i++) {
        qv__thread_join(&t[i]);
        assert_false(w[i].failed);
    }
    close_file(shared);
    assert_listing(io, "", "shared ");
}

/* --- memory runs out --- */

static qv_status all_calls(struct qv__io *io)
{
    struct qv__file *f = NULL;
    struct qv__map_view v = {0};
    void *p = NULL;
    size_t n;
    qv_status st;
    QV_GOTO(qv__io_open(io, "d/new", QV__OPEN_CREATE, &f, ERR));
    QV_GOTO(qv__io_pwrite(f, "0123456789", 10, 5000, ERR));
    QV_GOTO(qv__io_pwrite(f, "abc", 3, 0, ERR));
    QV_GOTO(qv__io_truncate(f, 3, ERR));
    QV_GOTO(qv__io_allocate(f, 9000, ERR));
    QV_GOTO(qv__io_sync(f, true, ERR));
    QV_GOTO(qv__io_map(f, 0, 9000, &v, ERR));
    QV_GOTO(qv__io_list(io, "d", ignore_entry, NULL, ERR));
    QV_GOTO(qv__io_mkdir(io, "d/e", ERR));
    QV_GOTO(qv__io_rename(io, "d/new", "d/e/moved", ERR));
    QV_GOTO(qv__io_link(io, "d/e/moved", "d/link", ERR));
    QV_GOTO(qv__io_sync_dir(io, "d/e", ERR));
    QV_GOTO(qv__io_sync_dir(io, "d", ERR));
    QV_GOTO(qv__io_unlink(io, "d/e/moved", ERR));
    QV_GOTO(qv__io_rmdir(io, "d/e", ERR));
    QV_GOTO(qv__io_unlink(io, "d/link", ERR));
    QV_GOTO(qv__io_write_file(io, "d/small", "new", 3, ERR));
    QV_GOTO(qv__io_read_file(io, "d/small", 3, io->mem, &p, &n, ERR));
out:
    qv__free(p);
    qv__io_unmap(io, &v);
    qv__io_file_close(f, NULL);
    return st;
}

static void unlink_if_there(struct qv__io *io, const char *name)
{
    qv_status st = qv__io_unlink(io, name, NULL);
    assert_true(st == QV_OK || st == QV_ENOTFOUND);
}

static void test_out_of_memory(void **state)
{
    struct qv__io *io = io_of_state(state);
    assert_ok(qv__io_mkdir(io, "d", ERR));
    bool passed = false;
    uint64_t at = 1;
    for (; !passed; at++) {
        put(io, "d/small", "old");
        size_t used = qv__mem_used(io->mem);
        test_err = (struct qv_err){0};
        qv__mem_fail_at(io->mem, at, at % 2 == 0);
        qv_status st = all_calls(io);
        qv__mem_fail_at(io->mem, 0, false);
        passed = st == QV_OK;
        if (!passed) {
            assert_status(st, QV_ENOMEM);
            assert_int_equal(test_err.code, QV_ENOMEM);
            assert_true(holds(io, "d/small", "old") || holds(io, "d/small", "new"));
            unlink_if_there(io, "d/new");
            unlink_if_there(io, "d/link");
            qv_status dir = qv__io_list(io, "d/e", ignore_entry, NULL, NULL);
            if (dir == QV_OK) {
                unlink_if_there(io, "d/e/moved");
                assert_ok(qv__io_rmdir(io, "d/e", ERR));
            }
            unlink_if_there(io, "d/small.tmp");
            if (((struct env *)*state)->backend != ON_SIM) {
                assert_int_equal(qv__mem_used(io->mem), used); /* files hold no memory */
            }
        }
        assert_listing(io, "d", "small ");
        assert_true(at < 1000);
    }
    assert_true(at > 5); /* it did fail a few times */
}

/* One call that fails for lack of memory leaves everything as it was. */
static void test_out_of_memory_changes_nothing(void **state)
{
    struct qv__io *io = io_of_state(state);
    put(io, "a", "A");
    put(io, "b", "B");
    assert_ok(qv__io_mkdir(io, "d", ERR));
    for (int call = 0; call < 7; call++) {
        struct qv__file *f = open_file(io, "a", QV__OPEN_WRITE), *g = NULL;
        qv_status st = QV_ENOMEM;
        for (uint64_t at = 1; st != QV_OK; at++) {
            assert_true(holds(io, "a", "A"));
            assert_true(holds(io, "b", "B"));
            assert_listing(io, "", "a b d/ ");
            assert_listing(io, "d", "");
            qv__mem_fail_at(io->mem, at, false);
            switch (call) {
            case 0:
                st = qv__io_open(io, "new", QV__OPEN_CREATE, &g, ERR);
                break;
            case 1:
                st = qv__io_open(io, "a", QV__OPEN_CREATE | QV__OPEN_TRUNC, &g, ERR);
                break;
            case 2:
                st = qv__io_pwrite(f, "XX", 2, 0, ERR);
                break;
            case 3:
                st = qv__io_rename(io, "a", "d/a", ERR);
                break;
            case 4:
                st = qv__io_link(io, "a", "d/a", ERR);
                break;
            case 5:
                st = qv__io_unlink(io, "a", ERR);
                break;
            default:
                st = qv__io_mkdir(io, "d/e", ERR);
                break;
            }
            qv__mem_fail_at(io->mem, 0, false);
            assert_true(st == QV_OK || st == QV_ENOMEM);
        }
        close_file(f);
        qv__io_file_close(g, NULL);
        unlink_if_there(io, "new");
        unlink_if_there(io, "d/a");
        if (call == 6) {
            assert_ok(qv__io_rmdir(io, "d/e", ERR));
        }
        put(io, "a", "A");
    }
}

#define ON_ALL(f)                                                                                  \
    {#f " on posix", f, setup_posix, teardown, NULL},                                              \
        {#f " on posix without openat2", f, setup_walk, teardown, NULL},                           \
    {                                                                                              \
#f " on sim", f, setup_sim, teardown, NULL                                                 \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ALL(test_bad_names),
        ON_ALL(test_good_names),
        ON_ALL(test_open_flags),
        ON_ALL(test_read_only),
        ON_ALL(test_short_reads_and_ranges),
        ON_ALL(test_truncate),
        ON_ALL(test_allocate),
        ON_ALL(test_random_bytes),
        ON_ALL(test_two_handles_see_the_same),
        ON_ALL(test_map),
        ON_ALL(test_rename),
        ON_ALL(test_link_and_unlink),
        ON_ALL(test_replaced_while_open),
        ON_ALL(test_directories),
        ON_ALL(test_list),
        ON_ALL(test_list_many),
        ON_ALL(test_lock),
        ON_ALL(test_free_space),
        ON_ALL(test_reserve),
        ON_ALL(test_read_file),
        ON_ALL(test_write_file),
        ON_ALL(test_write_file_spares_a_second_name),
        ON_ALL(test_threads),
        ON_ALL(test_out_of_memory),
        /* Only here: the names and bytes of the others are the kernel's. */
        {"test_out_of_memory_changes_nothing on sim", test_out_of_memory_changes_nothing, setup_sim,
         teardown, NULL},
    };
    printf("seed %u\n", SEED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
