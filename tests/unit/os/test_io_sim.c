/* test_io_sim.c: what a test turns on the simulated file system: faults, space, delay, damage,
 * lists. */
#include "io_test.h"

#include "base/thread.h"

static int setup(void **state)
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

static void ignore_entry(void *arg, const char *name, bool is_dir)
{
    (void)arg, (void)name, (void)is_dir;
}

static void fault(struct qv__io *io, enum qv__sim_call call, uint64_t at, bool sticky)
{
    qv__io_sim_fault(io, (struct qv__sim_fault){call, at, sticky, QV_EIO, false});
}

/* What a crash of this kind leaves; the old file system goes on. */
static struct qv__io *crash(struct qv__io *io, enum qv__sim_crash how)
{
    struct qv__io *out = NULL;
    assert_ok(qv__io_sim_crash(io, how, NULL, &out, ERR));
    return out;
}

/* --- faults --- */

/* One call of every kind there is, by number; f is "f", open for writing, of ten bytes. */
enum { N_CALLS = 17 };
static const enum qv__sim_call kinds[N_CALLS] = {
    QV__SIM_OPEN, QV__SIM_OPEN,  QV__SIM_READ, QV__SIM_READ, QV__SIM_READ, QV__SIM_READ,
    QV__SIM_READ, QV__SIM_WRITE, QV__SIM_SYNC, QV__SIM_META, QV__SIM_META, QV__SIM_META,
    QV__SIM_META, QV__SIM_META,  QV__SIM_META, QV__SIM_META, QV__SIM_META};

static qv_status one_call(struct qv__io *io, struct qv__file *f, int which)
{
    struct qv__file *g = NULL;
    struct qv__map_view v = {0};
    uint64_t n;
    char buf[4];
    qv_status st;
    switch (which) {
    case 0:
        st = qv__io_open(io, "f", QV__OPEN_READ, &g, ERR);
        qv__io_file_close(g, NULL); /* reading only: not counted */
        return st;
    case 1:
        return qv__io_lock(f, ERR);
    case 2:
        return qv__io_pread(f, buf, 4, 0, ERR);
    case 3:
        st = qv__io_map(f, 0, 4, &v, ERR);
        qv__io_unmap(io, &v);
        return st;
    case 4:
        return qv__io_size(f, &n, ERR);
    case 5:
        return qv__io_list(io, "", ignore_entry, NULL, ERR);
    case 6:
        return qv__io_free_space(io, &n, NULL, ERR);
    case 7:
        return qv__io_pwrite(f, "xxxx", 4, 0, ERR);
    case 8:
        return qv__io_sync(f, true, ERR);
    case 9:
        return qv__io_truncate(f, 9, ERR);
    case 10:
        return qv__io_allocate(f, 11, ERR);
    case 11:
        return qv__io_mkdir(io, "d", ERR);
    case 12:
        return qv__io_rmdir(io, "d", ERR);
    case 13:
        return qv__io_link(io, "f", "g", ERR);
    case 14:
        return qv__io_rename(io, "g", "h", ERR);
    case 15:
        return qv__io_unlink(io, "h", ERR);
    default:
        return qv__io_sync_dir(io, "", ERR);
    }
}

static void test_counters(void **state)
{
    struct qv__io *io = io_of_state(state);
    put(io, "f", "0123456789");
    struct qv__file *f = open_file(io, "f", QV__OPEN_WRITE);
    for (int i = 0; i < N_CALLS; i++) {
        uint64_t before[QV__SIM_META + 1];
        for (int k = 0; k <= QV__SIM_META; k++) {
            before[k] = qv__io_sim_calls(io, (enum qv__sim_call)k);
        }
        assert_ok(one_call(io, f, i));
        for (int k = 0; k <= QV__SIM_META; k++) {
            uint64_t more = k == QV__SIM_ANY || k == (int)kinds[i];
            assert_int_equal(qv__io_sim_calls(io, (enum qv__sim_call)k), before[k] + more);
        }
    }
    uint64_t meta = qv__io_sim_calls(io, QV__SIM_META);
    close_file(f); /* open for writing: its close counts */
    assert_int_equal(qv__io_sim_calls(io, QV__SIM_META), meta + 1);
}

static void test_every_call_can_fail(void **state)
{
    struct qv__io *io = io_of_state(state);
    put(io, "f", "0123456789");
    struct qv__file *f = open_file(io, "f", QV__OPEN_WRITE);
    for (int i = 0; i < N_CALLS; i++) {
        for (int k = 0; k <= QV__SIM_META; k++) {
            bool strikes = k == QV__SIM_ANY || k == (int)kinds[i];
            if (!strikes) {
                continue;
            }
            fault(io, (enum qv__sim_call)k, 1, false);
            assert_status(one_call(io, f, i), QV_EIO);
            assert_non_null(strstr(test_err.message, "injected"));
        }
        for (int k = 1; k <= QV__SIM_META; k++) { /* a fault of another kind does not strike */
            if (k != (int)kinds[i]) {
                fault(io, (enum qv__sim_call)k, 1, true);
                uint64_t n = qv__io_sim_calls(io, kinds[i]);
                qv_status st = one_call(io, f, i);
                assert_true(st == QV_OK || st == QV_EEXISTS || st == QV_ENOTFOUND);
                assert_true(qv__io_sim_calls(io, kinds[i]) == n + 1);
            }
        }
        fault(io, QV__SIM_ANY, 0, false);
        if (i == 11 || i == 13 || i == 14) {
            continue; /* what they made is what the next ones need */
        }
        qv_status st = one_call(io, f, i);
        assert_true(st == QV_OK || st == QV_ENOTFOUND);
    }
    fault(io, QV__SIM_META, 1, false);
    assert_status(qv__io_file_close(f, ERR), QV_EIO); /* f is gone all the same */
}

static void test_failed_calls_change_nothing(void **state)
{
    struct qv__io *io = io_of_state(state);
    struct qv__file *g = NULL;
    put(io, "f", "0123456789");
    assert_ok(qv__io_mkdir(io, "d", ERR));
    struct qv__file *f = open_file(io, "f", QV__OPEN_WRITE);
    fault(io, QV__SIM_ANY, 1, true);
    for (int i = 0; i < N_CALLS; i++) {
        assert_status(one_call(io, f, i), QV_EIO);
    }
    assert_status(qv__io_open(io, "new", QV__OPEN_CREATE, &g, ERR), QV_EIO);
    assert_status(qv__io_open(io, "f", QV__OPEN_WRITE | QV__OPEN_TRUNC, &g, ERR), QV_EIO);
    assert_null(g);
    fault(io, QV__SIM_ANY, 0, false);
    assert_listing(io, "", "d/ f ");
    assert_true(holds(io, "f", "0123456789"));
    struct qv__file *h = open_file(io, "f", QV__OPEN_WRITE);
    assert_ok(qv__io_lock(h, ERR)); /* the failed lock took nothing */
    close_file(h);
    close_file(f);
}

static void test_nth_and_sticky(void **state)
{
    struct qv__io *io = io_of_state(state);
    struct qv__file *f = open_file(io, "f", QV__OPEN_CREATE);
    qv__io_sim_fault(io, (struct qv__sim_fault){QV__SIM_WRITE, 3, false, QV_ENOSPC, false});
    for (int i = 1; i <= 6; i++) {
        assert_ok(qv__io_sync(f, true, ERR)); /* not counted */
        assert_status(qv__io_pwrite(f, "x", 1, 0, ERR), i == 3 ? QV_ENOSPC : QV_OK);
    }
    qv__io_sim_fault(io, (struct qv__sim_fault){QV__SIM_WRITE, 3, true, QV_OK, false});
    for (int i = 1; i <= 6; i++) {
        assert_status(qv__io_pwrite(f, "x", 1, 0, ERR), i >= 3 ? QV_EIO : QV_OK);
    }
    qv__io_sim_fault(io, (struct qv__sim_fault){0});
    assert_ok(qv__io_pwrite(f, "x", 1, 0, ERR));
    close_file(f);
}

static void test_partial_write(void **state)
{
    struct qv__io *io = io_of_state(state);
    struct qv__file *f = open_file(io, "f", QV__OPEN_CREATE);
    struct qv__sim_fault half = {QV__SIM_WRITE, 1, false, QV_ENOSPC, true};
    qv__io_sim_fault(io, half);
    assert_status(qv__io_pwrite(f, "01234567", 8, 0, ERR), QV_ENOSPC);
    assert_true(holds(io, "f", "0123"));
    qv__io_sim_fault(io, half);
    assert_status(qv__io_pwrite(f, "abc", 3, 2, ERR), QV_ENOSPC);
    assert_true(holds(io, "f", "01a3"));
    qv__io_sim_fault(io, half);
    assert_status(qv__io_pwrite(f, "Z", 1, 0, ERR), QV_ENOSPC);
    assert_true(holds(io, "f", "01a3"));
    qv__mem_fail_at(io->mem, 1, false); /* not even half */
    qv__io_sim_fault(io, half);
    assert_status(qv__io_pwrite(f, "ZZ", 2, 0, ERR), QV_ENOSPC);
    qv__mem_fail_at(io->mem, 0, false);
    assert_true(holds(io, "f", "01a3"));
    close_file(f);
}

/* Every single call of write_file fails, once and for ever: the file is old or new, never a mix,
 * and what an error leaves behind does not disturb the next attempt. */
static void test_write_file_at_every_fault(void **state)
{
    struct qv__io *io = io_of_state(state);
    unsigned n_old = 0, n_new = 0;
    for (int sticky = 0; sticky < 2; sticky++) {
        bool passed = false;
        for (uint64_t at = 1; !passed; at++) {
            assert_ok(qv__io_write_file(io, "f", "old bytes", 9, ERR));
            qv__io_sim_fault(io, (struct qv__sim_fault){QV__SIM_ANY, at, sticky, QV_EIO, true});
            qv_status st = qv__io_write_file(io, "f", "new", 3, ERR);
            qv__io_sim_fault(io, (struct qv__sim_fault){0});
            passed = st == QV_OK;
            bool is_new = holds(io, "f", "new");
            assert_true(is_new || holds(io, "f", "old bytes"));
            assert_true(is_new || !passed);
            n_old += !is_new;
            n_new += is_new;
            struct qv__io *after = crash(io, QV__CRASH_DROP_ALL);
            assert_true(holds(after, "f", "new") || holds(after, "f", "old bytes"));
            assert_true(!passed || holds(after, "f", "new"));
            qv__io_close(after);
            assert_true(at < 50);
        }
    }
    assert_true(n_old >= 8 && n_new >= 3);
}

static void test_failed_sync_dooms(void **state)
{
    struct qv__io *io = io_of_state(state);
    struct qv__file *f = open_file(io, "f", QV__OPEN_CREATE);
    assert_ok(qv__io_sync_dir(io, "", ERR));
    assert_ok(qv__io_pwrite(f, "aaaa", 4, 0, ERR));
    assert_ok(qv__io_sync(f, true, ERR));
    assert_ok(qv__io_pwrite(f, "BB", 2, 0, ERR));
    fault(io, QV__SIM_SYNC, 1, false);
    assert_status(qv__io_sync(f, true, ERR), QV_EIO);
    assert_ok(qv__io_pwrite(f, "CC", 2, 3, ERR));
    assert_ok(qv__io_sync(f, true, ERR)); /* "all is well", says the kernel, but BB is not saved */
    assert_true(holds(io, "f", "BBaCC"));
    struct qv__io *after = crash(io, QV__CRASH_DROP_ALL);
    assert_true(holds(after, "f", "aaaCC"));
    qv__io_close(after);
    after = crash(io, QV__CRASH_KEEP_ALL);
    assert_true(holds(after, "f", "BBaCC"));
    qv__io_close(after);
    close_file(f);
}

/* --- space --- */

static void test_space(void **state)
{
    struct qv__io *io = io_of_state(state);
    uint64_t bytes = 0;
    qv__io_sim_space(io, 100);
    assert_ok(qv__io_free_space(io, &bytes, NULL, ERR));
    assert_int_equal(bytes, 100);
    struct qv__file *f = open_file(io, "f", QV__OPEN_CREATE);
    char buf[200];
    memset(buf, 'x', sizeof buf);
    assert_ok(qv__io_pwrite(f, buf, 60, 0, ERR));
    assert_ok(qv__io_link(io, "f", "g", ERR)); /* one file, counted once */
    assert_ok(qv__io_free_space(io, &bytes, NULL, ERR));
    assert_int_equal(bytes, 40);
    assert_status(qv__io_pwrite(f, buf, 80, 50, ERR), QV_ENOSPC);
    assert_ok(qv__io_size(f, &bytes, ERR));
    assert_int_equal(bytes, 100);                 /* what fitted is there */
    assert_ok(qv__io_pwrite(f, "y", 1, 99, ERR)); /* inside */
    assert_status(qv__io_pwrite(f, "y", 1, 100, ERR), QV_ENOSPC);
    assert_status(qv__io_allocate(f, 101, ERR), QV_ENOSPC);
    assert_status(qv__io_truncate(f, 101, ERR), QV_ENOSPC);
    assert_ok(qv__io_size(f, &bytes, ERR));
    assert_int_equal(bytes, 100);
    struct qv__file *h = open_file(io, "h", QV__OPEN_CREATE); /* a name costs nothing */
    assert_status(qv__io_pwrite(h, "z", 1, 0, ERR), QV_ENOSPC);
    assert_ok(qv__io_truncate(f, 90, ERR));
    assert_ok(qv__io_pwrite(h, "0123456789", 10, 0, ERR)); /* writes resume */

    assert_ok(qv__io_unlink(io, "f", ERR));
    assert_ok(qv__io_unlink(io, "g", ERR));
    assert_ok(qv__io_free_space(io, &bytes, NULL, ERR));
    assert_int_equal(bytes, 0); /* still open */
    close_file(f);
    assert_ok(qv__io_free_space(io, &bytes, NULL, ERR));
    assert_int_equal(bytes, 90);
    qv__io_sim_space(io, 5); /* less than is used */
    assert_ok(qv__io_free_space(io, &bytes, NULL, ERR));
    assert_int_equal(bytes, 0);
    assert_ok(qv__io_pwrite(h, "x", 1, 9, ERR));
    assert_status(qv__io_pwrite(h, "x", 1, 10, ERR), QV_ENOSPC);
    put(io, "i", "");
    assert_ok(qv__io_rename(io, "i", "h", ERR)); /* replaced, but open */
    assert_ok(qv__io_free_space(io, &bytes, NULL, ERR));
    assert_int_equal(bytes, 0);
    close_file(h);
    assert_ok(qv__io_free_space(io, &bytes, NULL, ERR));
    assert_int_equal(bytes, 5);
    struct qv__io *after = crash(io, QV__CRASH_KEEP_ALL); /* the disk stays as small */
    assert_ok(qv__io_free_space(after, &bytes, NULL, ERR));
    assert_int_equal(bytes, 5);
    qv__io_close(after);
    qv__io_sim_space(io, 0);
    put(io, "h", "a long text again");
}

static void test_space_after_crash(void **state)
{
    struct qv__io *io = io_of_state(state);
    uint64_t bytes = 0;
    put(io, "f", "0123456789");
    sync_file(io, "f");
    assert_ok(qv__io_link(io, "f", "g", ERR));
    assert_ok(qv__io_sync_dir(io, "", ERR));
    put(io, "lost", "01234567890123456789");
    qv__io_sim_space(io, 100);
    struct qv__io *after = crash(io, QV__CRASH_DROP_ALL);
    assert_ok(qv__io_free_space(after, &bytes, NULL, ERR));
    assert_int_equal(bytes, 90);
    qv__io_close(after);
}

/* --- delay --- */

struct syncer {
    struct qv__file *f;
    qv_status st;
};
static void run_sync(void *arg)
{
    struct syncer *s = arg;
    s->st = qv__io_sync(s->f, true, NULL);
}

/* A sync that takes its time covers what was written before it began, and nothing of what came
 * while it slept. */
static void test_delayed_sync(void **state)
{
    struct qv__io *io = io_of_state(state);
    struct qv__file *f = open_file(io, "f", QV__OPEN_CREATE);
    assert_ok(qv__io_sync_dir(io, "", ERR));
    qv__io_sim_sync_delay(io, 30 * 1000 * 1000);
    assert_ok(qv__io_pwrite(f, "before", 6, 0, ERR));
    struct syncer s = {f, QV_EINTERNAL};
    struct qv__thread t;
    const struct qv__clock *clock = qv__clock_system();
    uint64_t start = qv__mono_ns(clock);
    assert_ok(qv__thread_start(&t, "sync", run_sync, &s, ERR));
    while (qv__io_sim_calls(io, QV__SIM_SYNC) == 0) {
    }
    assert_ok(qv__io_pwrite(f, "during", 6, 6, ERR));
    qv__thread_join(&t);
    assert_true(qv__mono_ns(clock) - start >= 30u * 1000 * 1000); /* it did sleep */
    assert_status(s.st, QV_OK);
    struct qv__io *after = crash(io, QV__CRASH_DROP_ALL);
    assert_true(holds(after, "f", "before"));
    qv__io_close(after);
    qv__io_sim_sync_delay(io, 0);
    assert_ok(qv__io_sync(f, true, ERR));
    after = crash(io, QV__CRASH_DROP_ALL);
    assert_true(holds(after, "f", "beforeduring"));
    qv__io_close(after);
    close_file(f);
}

/* --- damage, lists, copies --- */

static void test_flip(void **state)
{
    struct qv__io *io = io_of_state(state);
    struct qv__file *f = open_file(io, "f", QV__OPEN_CREATE);
    assert_ok(qv__io_sync_dir(io, "", ERR));
    assert_ok(qv__io_pwrite(f, "aaaa", 4, 0, ERR));
    assert_ok(qv__io_sync(f, true, ERR));
    assert_ok(qv__io_pwrite(f, "aaaa", 4, 4, ERR));
    for (unsigned bit = 0; bit < 8; bit++) {
        assert_ok(qv__io_sim_flip(io, "f", 1, bit));
        uint8_t byte = 0;
        assert_ok(qv__io_pread(f, &byte, 1, 1, ERR));
        assert_int_equal(byte, 'a' ^ (1u << bit));
        assert_ok(qv__io_sim_flip(io, "f", 1, bit));
    }
    assert_ok(qv__io_sim_flip(io, "f", 1, 0)); /* synced: 'a' ^ 1 is '`' */
    assert_ok(qv__io_sim_flip(io, "f", 6, 0)); /* unsynced */
    assert_true(holds(io, "f", "a`aaaa`a"));
    struct qv__io *after = crash(io, QV__CRASH_DROP_ALL);
    assert_true(holds(after, "f", "a`aa"));
    qv__io_close(after);
    assert_ok(qv__io_sync(f, true, ERR)); /* the damage of the unsynced bytes is synced with them */
    after = crash(io, QV__CRASH_DROP_ALL);
    assert_true(holds(after, "f", "a`aaaa`a"));
    qv__io_close(after);

    assert_ok(qv__io_allocate(f, 100000, ERR)); /* zeros that take no memory can be damaged too */
    assert_ok(qv__io_sim_flip(io, "f", 99999, 3));
    uint8_t last[2];
    assert_ok(qv__io_pread(f, last, 2, 99998, ERR));
    assert_int_equal(last[0], 0);
    assert_int_equal(last[1], 8);
    close_file(f);

    assert_ok(qv__io_mkdir(io, "d", ERR));
    assert_status(qv__io_sim_flip(io, "f", 100000, 0), QV_EINVAL);
    assert_status(qv__io_sim_flip(io, "f", UINT64_MAX, 0), QV_EINVAL);
    assert_status(qv__io_sim_flip(io, "f", 0, 8), QV_EINVAL);
    assert_status(qv__io_sim_flip(io, "d", 0, 0), QV_EINVAL);
    assert_status(qv__io_sim_flip(io, "none", 0, 0), QV_ENOTFOUND);
    assert_status(qv__io_sim_flip(io, "no/f", 0, 0), QV_ENOTFOUND);
}

static void test_flip_out_of_memory(void **state)
{
    struct qv__io *io = io_of_state(state);
    struct qv__file *f = open_file(io, "f", QV__OPEN_CREATE);
    assert_ok(qv__io_truncate(f, 100, ERR));
    assert_ok(qv__io_sync(f, true, ERR));
    uint8_t byte = 0;
    qv_status st = QV_ENOMEM;
    for (uint64_t at = 1; st != QV_OK; at++) {
        assert_ok(qv__io_pread(f, &byte, 1, 5, ERR));
        assert_int_equal(byte, 0);
        qv__mem_fail_at(io->mem, at, false);
        st = qv__io_sim_flip(io, "f", 5, 0);
        qv__mem_fail_at(io->mem, 0, false);
        assert_true(st == QV_OK || st == QV_ENOMEM);
    }
    assert_ok(qv__io_pread(f, &byte, 1, 5, ERR));
    assert_int_equal(byte, 1);
    close_file(f);
}

static void add_file(void *arg, const char *name, uint64_t size)
{
    struct listing *l = arg;
    size_t n = strlen(l->text);
    snprintf(l->text + n, sizeof l->text - n, "%s=%" PRIu64 " ", name, size);
}

static void test_list_all(void **state)
{
    struct qv__io *io = io_of_state(state);
    struct listing l = {{0}};
    assert_ok(qv__io_sim_list(io, add_file, &l, ERR));
    assert_string_equal(l.text, "");
    assert_ok(qv__io_mkdir(io, "d", ERR));
    assert_ok(qv__io_mkdir(io, "d/e", ERR));
    assert_ok(qv__io_mkdir(io, "c", ERR));
    put(io, "z", "1");
    put(io, "d/e/f", "1234");
    put(io, "d/y", "");
    put(io, "c/x", "12");
    assert_ok(qv__io_sim_list(io, add_file, &l, ERR));
    assert_string_equal(l.text, "z=1 c/x=2 d/y=0 d/e/f=4 ");
    qv_status st = QV_ENOMEM;
    for (uint64_t at = 1; st != QV_OK; at++) {
        l = (struct listing){{0}};
        qv__mem_fail_at(io->mem, at, false);
        st = qv__io_sim_list(io, add_file, &l, ERR);
        qv__mem_fail_at(io->mem, 0, false);
        assert_true(st == QV_OK || (st == QV_ENOMEM && !*l.text));
    }
}

static void test_map_is_a_copy(void **state)
{
    struct qv__io *io = io_of_state(state);
    put(io, "f", "0123456789");
    struct qv__file *f = open_file(io, "f", QV__OPEN_WRITE);
    struct qv__map_view v;
    assert_ok(qv__io_map(f, 2, 5, &v, ERR));
    assert_ok(qv__io_pwrite(f, "xxxxxxxxxx", 10, 0, ERR));
    assert_ok(qv__io_truncate(f, 0, ERR));
    assert_memory_equal(v.p, "23456", 5);
    close_file(f);
    qv__io_unmap(io, &v);
}

/* A large preallocated file costs next to nothing until it is written. */
static void test_zeros_take_no_memory(void **state)
{
    struct qv__io *io = io_of_state(state);
    struct qv__file *f = open_file(io, "f", QV__OPEN_CREATE);
    size_t before = qv__mem_used(io->mem);
    assert_ok(qv__io_allocate(f, (uint64_t)8 << 30, ERR));
    assert_ok(qv__io_sync(f, false, ERR));
    assert_ok(qv__io_pwrite(f, "x", 1, 1 << 20, ERR));
    assert_true(qv__mem_used(io->mem) - before < 64 << 10);
    uint8_t tail[4096];
    assert_ok(qv__io_pread(f, tail, sizeof tail, ((uint64_t)8 << 30) - sizeof tail, ERR));
    for (size_t i = 0; i < sizeof tail; i++) {
        assert_int_equal(tail[i], 0);
    }
    uint64_t size = 0; /* but there is an end, far from what a page table could hold */
    assert_status(qv__io_truncate(f, INT64_MAX, ERR), QV_ENOSPC);
    assert_status(qv__io_allocate(f, INT64_MAX, ERR), QV_ENOSPC);
    assert_status(qv__io_pwrite(f, "x", 1, INT64_MAX - 1, ERR), QV_ENOSPC);
    assert_ok(qv__io_size(f, &size, ERR));
    assert_int_equal(size, (uint64_t)8 << 30);
    close_file(f);
}

/* What is gone for good, now and on the disk, is freed: rounds of making and removing do not add
 * up, whichever of the directories was synced when. */
static void test_removed_things_are_freed(void **state)
{
    struct qv__io *io = io_of_state(state);
    size_t used[4] = {0};
    for (int round = 0; round < 80; round++) {
        assert_ok(qv__io_mkdir(io, "d", ERR));
        assert_ok(qv__io_mkdir(io, "d/e", ERR));
        put(io, "d/e/f", "text");
        put(io, "d/g", "text");
        sync_file(io, "d/g");
        if (round & 1) {
            assert_ok(qv__io_sync_dir(io, "d/e", ERR));
            assert_ok(qv__io_sync_dir(io, "d", ERR));
            assert_ok(qv__io_sync_dir(io, "", ERR));
        }
        assert_ok(qv__io_rename(io, "d/g", "d/e/f", ERR));
        assert_ok(qv__io_unlink(io, "d/e/f", ERR));
        assert_ok(qv__io_rmdir(io, "d/e", ERR));
        if (round & 2) {
            assert_ok(qv__io_sync_dir(io, "d", ERR));
        }
        assert_ok(qv__io_rmdir(io, "d", ERR));
        assert_ok(qv__io_sync_dir(io, "", ERR));
        if (round < 8) {
            used[round % 4] = qv__mem_used(io->mem);
        }
        assert_int_equal(qv__mem_used(io->mem), used[round % 4]);
    }
}

/* A budget too small for the bytes refuses a write and keeps what was there. */
static void test_budget(void **state)
{
    struct env *e = *state;
    struct qv__mem *small = qv__mem_child(e->mem, "small", 100 << 10);
    struct qv__io *io = NULL;
    assert_non_null(small);
    assert_ok(qv__io_sim_open(small, &io, ERR));
    struct qv__file *f = open_file(io, "f", QV__OPEN_CREATE);
    static char bytes[20000];
    qv_status st = QV_OK;
    uint64_t n = 0, size = 0;
    for (; st == QV_OK; n += st == QV_OK) {
        memset(bytes, (int)n, sizeof bytes);
        st = qv__io_pwrite(f, bytes, sizeof bytes, n * sizeof bytes, ERR);
    }
    assert_status(st, QV_ENOMEM);
    assert_true(n >= 1);
    assert_ok(qv__io_size(f, &size, ERR));
    assert_int_equal(size, n * sizeof bytes);
    assert_ok(qv__io_sync(f, true, ERR)); /* needs no memory, and frees some */
    close_file(f);
    qv__io_close(io);
    qv__mem_close(small);
}

static void test_open_out_of_memory(void **state)
{
    struct env *e = *state;
    struct qv__io *io = NULL;
    qv_status st = QV_ENOMEM;
    for (uint64_t at = 1; st != QV_OK; at++) {
        qv__mem_fail_at(e->mem, at, false);
        st = qv__io_sim_open(e->mem, &io, ERR);
        qv__mem_fail_at(e->mem, 0, false);
        assert_true(st == QV_OK || (st == QV_ENOMEM && !io));
    }
    qv__io_close(io);
    qv__io_close(NULL);
}

#define ON_SIM_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_SIM_TEST(test_counters),
        ON_SIM_TEST(test_every_call_can_fail),
        ON_SIM_TEST(test_failed_calls_change_nothing),
        ON_SIM_TEST(test_nth_and_sticky),
        ON_SIM_TEST(test_partial_write),
        ON_SIM_TEST(test_write_file_at_every_fault),
        ON_SIM_TEST(test_failed_sync_dooms),
        ON_SIM_TEST(test_space),
        ON_SIM_TEST(test_space_after_crash),
        ON_SIM_TEST(test_delayed_sync),
        ON_SIM_TEST(test_flip),
        ON_SIM_TEST(test_flip_out_of_memory),
        ON_SIM_TEST(test_list_all),
        ON_SIM_TEST(test_map_is_a_copy),
        ON_SIM_TEST(test_zeros_take_no_memory),
        ON_SIM_TEST(test_removed_things_are_freed),
        ON_SIM_TEST(test_budget),
        ON_SIM_TEST(test_open_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
