/* test_space.c: a disk without room, and a memory budget used up: what is refused, what goes on,
 * and what comes back by itself.
 *
 * The database runs stepped on the simulated disk with a limit of space; a file of "another
 * program" takes the rest of it. */
#include "engine/snapshot.h"
#include "engine_fixture.h"

#define DIM        16
#define BATCH      50u
#define DISK_BYTES ((uint64_t)24 << 20)

static uint64_t test_ns;

static uint64_t mono(void *ctx)
{
    (void)ctx;
    return test_ns;
}
static uint64_t wall(void *ctx)
{
    (void)ctx;
    return 1700000000000u;
}
static const struct qv__clock test_clock = {.mono_ns = mono, .wall_ms = wall};

struct disk {
    struct fix fix;
    struct qv__collection *c;
    uint64_t next; /* id */
};

/* Open with a disk of so many bytes (0 = no limit and no reserve), and a collection "c" of segments
 * of so many rows. */
static void setup(struct disk *d, uint64_t bytes, uint32_t seal_rows)
{
    struct fix *f = &d->fix;
    memset(d, 0, sizeof *d);
    test_ns = 1000;
    fix_open(f, -1);
    OK(qv__db_close(f->db, &f->err));
    qv__io_sim_space(f->io, bytes);
    f->options.clock = &test_clock;
    f->options.disk_reserve_bytes = bytes ? (uint64_t)64 << 20 : 0;
    OK(qv__db_open(&f->options, &f->db, &f->err));
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema s = fix_schema(&def, 1, 1);
    s.policy = (struct qv__segment_policy){.seal_rows = seal_rows, .index_rows = 1u << 30};
    OK(qv__db_create_collection(f->db, QV__STR("c"), &s, &f->err));
    d->c = fix_collection(f, "c");
}

static void done(struct disk *d)
{
    qv__collection_release(d->c);
    fix_close(&d->fix);
}

static qv_status add(struct disk *d)
{
    struct fix *f = &d->fix;
    float v[DIM] = {0};
    struct qv__arena a;
    qv__arena_init(&a, f->mem);
    struct qv__bytes payload = fix_payload(f, &a, "{\"text\":\"0123456789012345678901234567\"}");
    struct qv__point *p = qv__arena_calloc(&a, BATCH, sizeof *p);
    struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = DIM};
    for (uint64_t i = 0; i < BATCH; i++) {
        p[i] = (struct qv__point){
            .id = qv__id_u64(d->next + i), .vectors = &nv, .n_vectors = 1, .payload = payload};
    }
    struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = p, .n_points = BATCH};
    struct qv__write_result r;
    qv_status st = qv__collection_write_sync(d->c, &m, 1, &r, &f->err);
    qv__arena_free(&a);
    d->next += st == QV_OK ? BATCH : 0;
    return st;
}

static qv_status take_away(struct disk *d, uint64_t from, uint64_t to)
{
    struct fix *f = &d->fix;
    qv_status st = QV_OK;
    for (uint64_t at = from; st == QV_OK && at < to; at += BATCH) {
        struct qv__id ids[BATCH];
        for (uint64_t i = 0; i < BATCH; i++) {
            ids[i] = qv__id_u64(at + i);
        }
        struct qv__mutation m = {.kind = QV__MUT_DELETE, .ids = ids, .n_ids = BATCH};
        struct qv__write_result r;
        st = qv__collection_write_sync(d->c, &m, 1, &r, &f->err);
    }
    return st;
}

static uint64_t count(struct disk *d)
{
    struct fix *f = &d->fix;
    uint64_t n = 0;
    struct qv__qctx ctx = fix_ctx(f);
    OK(qv__collection_count(d->c, NULL, &ctx, &n, &f->err));
    return n;
}

/* Let time pass, look, and do what is due. */
static void pass(struct disk *d)
{
    for (int i = 0; i < 20; i++) {
        test_ns += UINT64_C(300) * 1000 * 1000;
        (void)qv__space_look(d->fix.db);
        while (qv__db_step(d->fix.db)) {
        }
    }
}

static uint64_t room(struct disk *d)
{
    struct fix *f = &d->fix;
    uint64_t bytes = 0;
    OK(qv__io_free_space(f->io, &bytes, NULL, &f->err));
    return bytes;
}

static void eat(struct disk *d)
{
    struct fix *f = &d->fix;
    struct qv__file *file = NULL;
    OK(qv__io_open(f->io, "foreign", QV__OPEN_CREATE, &file, &f->err));
    OK(qv__io_reserve(file, room(d), &f->err));
    OK(qv__io_file_close(file, &f->err));
    assert_int_equal(room(d), 0);
}

static struct qv__db_info info(struct disk *d)
{
    struct qv__db_info i;
    qv__db_info(d->fix.db, &i);
    return i;
}

/* Our own data fill the disk, down to what flushing them takes: reads go on, deletes are taken, and
 * what they free is written to again. */
static void test_full_of_ours(void **state)
{
    (void)state;
    struct disk disk, *d = &disk;
    struct fix *f = &d->fix;
    setup(d, DISK_BYTES, 2000);
    assert_int_equal(info(d).disk_reserve_bytes, DISK_BYTES / 16);
    int refused = 0;
    while (refused < 3) { /* what a checkpoint gives back is filled too */
        if (add(d) != QV_OK) {
            assert_int_equal(f->err.code, QV_ENOSPC);
            assert_non_null(strstr(f->err.message, "the disk is full"));
            refused++;
            pass(d);
        } else {
            refused = 0;
        }
    }
    uint64_t n = d->next;
    assert_true(n > 30000);
    assert_true(info(d).disk_short);
    assert_int_equal(qv__db_ready(f->db, &f->err), QV_ENOSPC);
    assert_int_equal(count(d), n);
    n = n / 2 / BATCH * BATCH;
    OK(take_away(d, 0, n));
    assert_int_equal(count(d), d->next - n);
    pass(d);
    assert_true(room(d) > DISK_BYTES / 4);
    assert_false(info(d).disk_short);
    assert_int_equal(info(d).disk_reserve_bytes, DISK_BYTES / 16);
    OK(add(d));
    assert_int_equal(count(d), d->next - n);
    qv__collection_release(d->c);
    fix_crash(f, QV__CRASH_DROP_ALL, NULL);
    d->c = fix_collection(f, "c");
    assert_int_equal(count(d), d->next - n);
    done(d);
}

/* Another program takes all of it, for as long as it likes. */
static void test_full_of_others(void **state)
{
    (void)state;
    struct disk disk, *d = &disk;
    struct fix *f = &d->fix;
    setup(d, DISK_BYTES, 2000);
    for (int i = 0; i < 40; i++) {
        OK(add(d));
    }
    eat(d);
    test_ns += UINT64_C(1000) * 1000 * 1000;
    assert_int_equal(add(d), QV_ENOSPC);
    OK(take_away(d, 0, 1000)); /* log that there is */
    pass(d);
    uint64_t n = 1000;
    while (info(d).disk_reserve_bytes == DISK_BYTES / 16) { /* then the reserve */
        OK(take_away(d, 0, BATCH));
        OK(take_away(d, n, n + BATCH));
        n += BATCH;
        pass(d);
        if (n == 1800) { /* sealing and compaction use it as well */
            break;
        }
    }
    assert_int_equal(add(d), QV_ENOSPC);
    assert_int_equal(count(d), d->next - n);
    OK(qv__io_unlink(f->io, "foreign", &f->err));
    pass(d);
    OK(add(d));
    assert_int_equal(info(d).disk_reserve_bytes, DISK_BYTES / 16);
    bool existed = false;
    eat(d);
    OK(qv__db_drop_collection(f->db, QV__STR("c"), &existed, &f->err));
    assert_true(existed);
    done(d);
}

struct files {
    uint32_t segments, tombstones;
};

static void see(void *arg, const char *name, bool is_dir)
{
    struct files *files = arg;
    files->segments += !is_dir && strncmp(name, "seg-", 4) == 0;
    files->tombstones += !is_dir && strncmp(name, "tomb-", 5) == 0;
}

/* Whatever call of a merge finds the disk full: in the end no file is left that no manifest names.
 */
static void test_no_file_is_left(void **state)
{
    (void)state;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct disk disk, *d = &disk;
        struct fix *f = &d->fix;
        struct qv__collection_info ci;
        setup(d, 0, 100);
        for (int i = 0; i < 7; i++) {
            OK(add(d));
        }
        pass(d);
        OK(qv__db_checkpoint(f->db, &f->err));
        qv__io_sim_fault(
            f->io, (struct qv__sim_fault){.call = QV__SIM_WRITE, .at = n, .status = QV_ENOSPC});
        failed = qv__collection_optimize(d->c, 1, &f->err) != QV_OK;
        qv__io_sim_fault(f->io, (struct qv__sim_fault){.at = 0});
        assert_true(!failed || f->err.code == QV_ENOSPC);
        pass(d);
        OK(add(d));
        OK(qv__collection_optimize(d->c, 1, &f->err));
        OK(qv__db_checkpoint(f->db, &f->err));
        OK(qv__collection_info(d->c, &ci, &f->err));
        struct files files = {0};
        OK(qv__io_list(f->io, QV__DIR_BLOBS, see, &files, &f->err));
        assert_int_equal(files.segments, ci.n_sealed);
        assert_int_equal(count(d), d->next);
        done(d);
    }
}

/* The same of files of tombstones, whatever call of a checkpoint, a flush or a removal fails: each
 * segment has one, without a restart. */
static void test_no_tombstones_are_left(void **state)
{
    (void)state;
    static const enum qv__sim_call calls[] = {QV__SIM_WRITE, QV__SIM_ANY};
    for (size_t k = 0; k < QV_ARRAY_LEN(calls); k++) {
        unsigned struck = 0;
        bool touched = true;
        for (uint64_t n = 1; touched; n++) {
            struct disk disk, *d = &disk;
            struct fix *f = &d->fix;
            setup(d, 0, 1000); /* one segment, whose tombstones grow */
            for (int i = 0; i < 6; i++) {
                OK(add(d));
            }
            pass(d);
            OK(qv__db_checkpoint(f->db, &f->err));
            OK(take_away(d, 0, BATCH));
            OK(qv__db_checkpoint(f->db, &f->err)); /* with tombstones, which others replace */
            OK(take_away(d, BATCH * 2, BATCH * 3));
            uint64_t before = qv__io_sim_calls(f->io, calls[k]);
            qv__io_sim_fault(
                f->io, (struct qv__sim_fault){.call = calls[k], .at = n, .status = QV_ENOSPC});
            struct qv_err ignored;
            if (n % 2) {
                (void)!qv__db_checkpoint(f->db, &ignored);
            } else {
                qv__mutex_lock(&d->c->shards[0].maintenance);
                (void)!qv__maintain_flush(&d->c->shards[0], true, NULL, &ignored);
                qv__mutex_unlock(&d->c->shards[0].maintenance);
            }
            touched = qv__io_sim_calls(f->io, calls[k]) - before >= n;
            qv__io_sim_fault(f->io, (struct qv__sim_fault){.at = 0});
            if (!info(d).read_only) {
                test_ns += UINT64_C(3) * 1000 * 1000 * 1000;
                OK(take_away(d, BATCH * 4, BATCH * 5));
                pass(d);
                OK(qv__db_checkpoint(f->db, &f->err));
                struct files files = {0};
                struct qv__collection_info ci;
                OK(qv__collection_info(d->c, &ci, &f->err));
                OK(qv__io_list(f->io, QV__DIR_BLOBS, see, &files, &f->err));
                assert_int_equal(files.segments, ci.n_sealed);
                assert_in_range(files.tombstones, 0, ci.n_sealed);
                assert_int_equal(count(d), d->next - 3 * BATCH);
                assert_false(qv__leftovers_any(&f->db->leftovers));
                struck++;
            }
            done(d);
        }
        assert_true(struck > 2);
    }
}

/* Memory is nearly used up: writes are refused before reads and flushes lack any, a checkpoint
 * gives it back, and they go on. */
static void test_budget(void **state)
{
    (void)state;
    struct disk disk, *d = &disk;
    struct fix *f = &d->fix;
    setup(d, 0, 1u << 20);
    qv__collection_release(d->c);
    OK(qv__db_close(f->db, &f->err));
    f->options.memory_bytes = (size_t)24 << 20;
    f->options.disk_reserve_bytes = 0;
    OK(qv__db_open(&f->options, &f->db, &f->err));
    d->c = fix_collection(f, "c");
    uint64_t n = 0;
    for (int i = 0; i < 3; i++) {
        qv_status st = QV_OK;
        while ((st = add(d)) == QV_OK && d->next < n + 100000) {
        }
        if (st != QV_OK) { /* stepped, so the checkpoint asked for may have come in time */
            assert_int_equal(st, QV_ENOMEM);
            assert_non_null(strstr(f->err.message, "memory budget"));
        }
        assert_true(d->next > n);
        n = d->next;
        assert_int_equal(count(d), i ? n - BATCH : n);
        OK(take_away(d, 0, BATCH)); /* deletes go on */
        pass(d);
    }
    assert_true(info(d).checkpoint_lsn > 0);
    assert_true(info(d).memory_peak <= f->options.memory_bytes);
    assert_int_equal(count(d), n - BATCH);
    done(d);
}

/* Who asks whether writes are taken is no write that was refused. */
static void test_asking_is_no_write(void **state)
{
    (void)state;
    struct disk disk, *d = &disk;
    struct fix *f = &d->fix;
    setup(d, DISK_BYTES, 1000000);
    eat(d);
    test_ns += UINT64_C(300) * 1000 * 1000;
    assert_int_equal(add(d), QV_ENOSPC);
    assert_int_equal(info(d).disk_refused, 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(qv__db_ready(f->db, &f->err), QV_ENOSPC);
    }
    assert_int_equal(info(d).disk_refused, 1);
    OK(qv__io_unlink(f->io, "foreign", &f->err));
    pass(d);
    OK(qv__db_ready(f->db, &f->err));
    done(d);
}

/* A snapshot is not recovered into the room that acknowledged rows are owed for their flush. */
static void test_recovery_leaves_what_is_owed(void **state)
{
    (void)state;
    const uint64_t large = (uint64_t)1 << 30;
    struct disk disk, *d = &disk;
    struct fix *f = &d->fix;
    struct qv__snapshot_info made;
    setup(d, 0, 1000000);
    OK(add(d));
    OK(qv__db_snapshot_create(f->db, QV__STR("c"), &made, &f->err));
    for (int i = 0; i < 100; i++) {
        OK(add(d));
    }
    qv__io_sim_space(f->io, large);
    uint64_t used = large - room(d), owed = info(d).disk_owed_bytes;
    assert_true(owed > 0);
    qv__io_sim_space(f->io, used + made.bytes + owed / 2);
    struct qv__snapshot_from from = {.id = made.id};
    uint64_t before = room(d);
    assert_int_equal(qv__db_snapshot_recover(f->db, QV__STR("d"), &from, &f->err), QV_ENOSPC);
    assert_int_equal(room(d), before);
    qv__io_sim_space(f->io, large);
    OK(qv__db_snapshot_recover(f->db, QV__STR("d"), &from, &f->err));
    done(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_of_ours),
        cmocka_unit_test(test_full_of_others),
        cmocka_unit_test(test_no_file_is_left),
        cmocka_unit_test(test_no_tombstones_are_left),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_asking_is_no_write),
        cmocka_unit_test(test_recovery_leaves_what_is_owed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
