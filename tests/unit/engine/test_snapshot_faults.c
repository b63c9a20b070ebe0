/* test_snapshot_faults.c: making a snapshot, recovering from one, deleting one and restoring a
 * database, with the n-th call failing, once and for ever, for every n; then a crash. What is found
 * is the old or the new, and whole. */
#include "snapshot_test.h"

enum what { MAKE, RECOVER, DELETE };

struct run {
    struct fix fx;
    uint64_t old_digest; /* of collection c before the run */
    uint64_t snap_digest;
    struct qv__snapshot_info info; /* of a snapshot that was made before */
};

/* Collection c in two shards, a snapshot of an older state of it, and the state after. */
static void prepare(struct run *t)
{
    struct fix *f = &t->fx;
    fix_open(f, -1);
    make_collection(f, "c", 2);
    struct qv__collection *c = fix_collection(f, "c");
    OK(put(f, c, 0, 24, 1));
    del(f, c, 3, 5);
    t->snap_digest = digest(f, c, NULL);
    OK(qv__db_snapshot_create(f->db, QV__STR("c"), &t->info, &f->err));
    OK(put(f, c, 0, 10, 2));
    drain(f);
    t->old_digest = digest(f, c, NULL);
    qv__collection_release(c);
}

static qv_status act(struct run *t, enum what what)
{
    struct fix *f = &t->fx;
    struct qv__snapshot_from from = {.id = t->info.id};
    if (what == DELETE) {
        return qv__db_snapshot_delete(f->db, t->info.id, &f->err);
    }
    return what == MAKE ? qv__db_snapshot_create(f->db, QV__STR("c"), NULL, &f->err)
                        : qv__db_snapshot_recover(f->db, QV__STR("c"), &from, &f->err);
}

struct last {
    struct qv__snapshot_info info;
};

static void keep_last(void *arg, const struct qv__snapshot_info *info)
{
    ((struct last *)arg)->info = *info;
}

/* Old or new, and what is new is whole. */
static void check(struct run *t, enum what what, bool may_be_old, bool may_be_new)
{
    struct fix *f = &t->fx;
    uint64_t now = digest_of(f, "c", NULL);
    unsigned n = n_snapshots(f);
    if (what == RECOVER) {
        assert_true((may_be_old && now == t->old_digest) || (may_be_new && now == t->snap_digest));
        assert_int_equal(n, 1);
        return;
    }
    assert_int_equal(now, t->old_digest);
    if (what == DELETE && n == 0) {
        assert_true(may_be_new);
        return;
    }
    assert_true((may_be_old && n == 1) || (what == MAKE && may_be_new && n == 2));
    struct last last;
    OK(qv__db_snapshots(f->db, keep_last, &last, &f->err));
    struct qv__snapshot_from from = {.id = last.info.id, .sha256 = last.info.sha256};
    OK(qv__db_snapshot_recover(f->db, QV__STR("look"), &from, &f->err));
    assert_int_equal(digest_of(f, "look", NULL), n == 2 ? t->old_digest : t->snap_digest);
}

/* What the disk holds that neither manifest nor snapshot names is gone after an open. */
static void check_no_surplus(struct fix *f)
{
    assert_int_equal(n_leftovers(f), 0);
}

static void io_run(enum what what, uint64_t n, bool sticky, qv_status status,
                   enum qv__sim_crash how, bool *touched)
{
    struct run run, *t = &run;
    struct fix *f = &t->fx;
    struct qv__rng rng;
    bool deleted = false;
    qv__rng_seed(&rng, n * 7 + sticky);
    prepare(t);
    uint64_t before = qv__io_sim_calls(f->io, QV__SIM_ANY);
    qv__io_sim_fault(
        f->io,
        (struct qv__sim_fault){
            .call = QV__SIM_ANY, .at = n, .sticky = sticky, .status = status, .partial = n % 2});
    qv_status st = act(t, what);
    *touched = qv__io_sim_calls(f->io, QV__SIM_ANY) - before >= n;
    if (sticky) { /* as the moment of a crash finds it */
        fix_crash(f, how, &rng);
        check_no_surplus(f);
        check(t, what, st != QV_OK, true);
        check_no_surplus(f);
    } else {
        qv__io_sim_fault(f->io, (struct qv__sim_fault){0});
        struct qv__db_info di;
        qv__db_info(f->db, &di);
        if (!di.read_only) {
            /* A deletion that failed once is taken back. */
            check(t, what, st != QV_OK, what != DELETE || st == QV_OK);
            if (what != DELETE || st != QV_OK) {
                OK(act(t, what)); /* and it goes on */
            }
            deleted = what == DELETE;
        }
        fix_crash(f, how, &rng);
        check_no_surplus(f);
        assert_true(!deleted || n_snapshots(f) == 0);
    }
    fix_close(f);
}

static void every_call(enum what what)
{
    static const qv_status kinds[] = {QV_EIO, QV_ENOSPC};
    static const enum qv__sim_crash crashes[] = {QV__CRASH_DROP_ALL, QV__CRASH_KEEP_ALL,
                                                 QV__CRASH_RANDOM};
    for (int sticky = 0; sticky < 2; sticky++) {
        for (size_t k = 0; k < QV_ARRAY_LEN(crashes); k++) {
            if (!sticky && k == QV_ARRAY_LEN(kinds)) {
                continue;
            }
            bool touched = true;
            uint64_t n = 1;
            for (; touched; n++) {
                io_run(what, n, sticky, kinds[k % 2], crashes[k], &touched);
            }
            assert_true(n > (what == DELETE ? 6 : 20));
        }
    }
}

static void test_making(void **state)
{
    (void)state;
    every_call(MAKE);
}

static void test_recovering(void **state)
{
    (void)state;
    every_call(RECOVER);
}

static void test_deleting(void **state)
{
    (void)state;
    every_call(DELETE);
}

static void every_allocation(enum what what)
{
    for (int sticky = 0; sticky < 2; sticky++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
            struct run run, *t = &run;
            struct fix *f = &t->fx;
            prepare(t);
            qv__mem_fail_at(qv__db_mem(f->db), n, sticky);
            qv_status st = act(t, what);
            qv__mem_fail_at(qv__db_mem(f->db), 0, false);
            failed = st != QV_OK;
            if (failed) {
                assert_int_equal(st, QV_ENOMEM);
            }
            check(t, what, failed, !failed);
            OK(act(t, what));
            fix_crash(f, QV__CRASH_DROP_ALL, NULL);
            fix_close(f);
        }
    }
}

static void test_making_without_memory(void **state)
{
    (void)state;
    every_allocation(MAKE);
}

static void test_recovering_without_memory(void **state)
{
    (void)state;
    every_allocation(RECOVER);
}

/* --- restoring a database --- */

static qv_status restore(struct run *t, struct qv__io *to)
{
    struct fix *f = &t->fx;
    char dir[64];
    qv__snapshot_dir(t->info.id, QV__SNAPSHOT_WHOLE, dir);
    struct qv__restore_options o = {
        .from = f->io, .path = dir, .is_directory = true, .to = to, .mem = f->mem};
    return qv__db_restore(&o, NULL, &f->err);
}

/* Whatever is there: refused, or the whole; and restoring once more helps. */
static void check_restored(struct run *t, struct qv__io *to, bool done)
{
    struct fix gx = t->fx, *g = &gx, *f = &gx;
    for (int again = 0; again < 2; again++) {
        g->io = g->options.io = to;
        qv_status st = qv__db_open(&g->options, &g->db, &g->err);
        if (st == QV_OK) {
            struct qv__collection *c = NULL;
            bool is_new = qv__db_collection(g->db, QV__STR("c"), &c, &g->err) == QV_OK;
            qv__collection_release(c);
            assert_true(is_new || !(done || again));
            if (is_new) {
                assert_int_equal(digest_of(g, "c", NULL), t->snap_digest);
                OK(qv__db_close(g->db, &g->err));
                return;
            }
            fail_msg("an empty database where a restore was cut short");
        }
        assert_false(done || again);
        assert_int_equal(st, QV_ECORRUPT);
        OK(restore(t, to));
    }
}

static void restore_run(struct run *t, uint64_t n, bool sticky, enum qv__sim_crash how,
                        bool *touched)
{
    struct fix *f = &t->fx;
    struct qv__io *to = NULL, *after = NULL;
    struct qv__rng rng;
    qv__rng_seed(&rng, n);
    OK(qv__io_sim_open(f->mem, &to, &f->err));
    qv__io_sim_fault(
        to,
        (struct qv__sim_fault){
            .call = QV__SIM_ANY, .at = n, .sticky = sticky, .status = QV_ENOSPC, .partial = n % 2});
    qv_status st = restore(t, to);
    *touched = qv__io_sim_calls(to, QV__SIM_ANY) >= n;
    if (sticky) {
        OK(qv__io_sim_crash(to, how, &rng, &after, &f->err));
        qv__io_close(to);
        to = after;
    } else {
        qv__io_sim_fault(to, (struct qv__sim_fault){0});
    }
    /* Before the marker is there, and after all was cleared away, the directory is an empty one. */
    struct qv__file *marker = NULL;
    struct qv_err why;
    bool marked = qv__io_open(to, "RESTORING", QV__OPEN_READ, &marker, &why) == QV_OK;
    qv__io_file_close(marker, NULL);
    if (st != QV_OK && !marked) {
        struct qv__manifest m;
        struct qv__arena a;
        qv__arena_init(&a, f->mem);
        if (qv__manifest_read(to, &a, &m, &why) == QV_ENOTFOUND) {
            OK(restore(t, to));
            st = QV_OK;
        }
        qv__arena_free(&a);
    }
    check_restored(t, to, st == QV_OK);
    qv__io_close(to);
}

static void test_restoring(void **state)
{
    (void)state;
    static const enum qv__sim_crash crashes[] = {QV__CRASH_DROP_ALL, QV__CRASH_KEEP_ALL,
                                                 QV__CRASH_RANDOM};
    struct run run, *t = &run;
    prepare(t);
    for (int sticky = 0; sticky < 2; sticky++) {
        for (size_t k = 0; k < (sticky ? QV_ARRAY_LEN(crashes) : 1); k++) {
            bool touched = true;
            uint64_t n = 1;
            for (; touched; n++) {
                restore_run(t, n, sticky, crashes[k], &touched);
            }
            assert_true(n > 20);
        }
    }
    fix_close(&t->fx);
}

static void test_restoring_without_memory(void **state)
{
    (void)state;
    struct run run, *t = &run;
    struct fix *f = &t->fx;
    prepare(t);
    for (int sticky = 0; sticky < 2; sticky++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
            struct qv__io *to = NULL;
            struct qv__mem *mem = qv__mem_root("restore", 0);
            OK(qv__io_sim_open(f->mem, &to, &f->err));
            char dir[64];
            qv__snapshot_dir(t->info.id, QV__SNAPSHOT_WHOLE, dir);
            struct qv__restore_options o = {
                .from = f->io, .path = dir, .is_directory = true, .to = to, .mem = mem};
            qv__mem_fail_at(mem, n, sticky);
            qv_status st = qv__db_restore(&o, NULL, &f->err);
            qv__mem_fail_at(mem, 0, false);
            failed = st != QV_OK;
            if (failed) {
                assert_int_equal(st, QV_ENOMEM);
                OK(qv__db_restore(&o, NULL, &f->err));
            }
            check_restored(t, to, true);
            qv__io_close(to);
            qv__mem_close(mem);
        }
    }
    fix_close(f);
}

/* --- a full disk --- */

static void add_bytes(void *arg, const char *name, uint64_t size)
{
    (void)name;
    *(uint64_t *)arg += size;
}

/* Bytes that are taken: hard links are listed twice, which only leaves more room. */
static uint64_t used_bytes(struct fix *f)
{
    uint64_t n = 0;
    OK(qv__io_sim_list(f->io, add_bytes, &n, &f->err));
    return n;
}

static void test_disk_full(void **state)
{
    (void)state;
    struct run run, *t = &run;
    struct fix *f = &t->fx;
    prepare(t);
    unsigned failures = 0;
    for (uint64_t room = 0; room < 400000; room += 4000) {
        for (int what = MAKE; what <= RECOVER; what++) {
            qv__io_sim_space(f->io, QV_MAX(used_bytes(f) / 2 + room, (uint64_t)1));
            qv_status st = act(t, (enum what)what);
            qv__io_sim_space(f->io, 0);
            if (st != QV_OK) {
                assert_int_equal(st, QV_ENOSPC);
                failures++;
                assert_int_equal(n_snapshots(f), 1);
                assert_int_equal(digest_of(f, "c", NULL), t->old_digest);
                assert_int_equal(n_leftovers(f), 0);
            } else {
                room = UINT64_MAX / 2; /* enough for this one: end the loop */
                t->old_digest = digest_of(f, "c", NULL);
                break;
            }
        }
    }
    assert_true(failures > 2);
    struct qv__collection *c = fix_collection(f, "c");
    OK(put(f, c, 100, 110, 9));
    qv__collection_release(c);
    OK(act(t, RECOVER));
    assert_int_equal(digest_of(f, "c", NULL), t->snap_digest);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_making),
        cmocka_unit_test(test_recovering),
        cmocka_unit_test(test_deleting),
        cmocka_unit_test(test_making_without_memory),
        cmocka_unit_test(test_recovering_without_memory),
        cmocka_unit_test(test_restoring),
        cmocka_unit_test(test_restoring_without_memory),
        cmocka_unit_test(test_disk_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
