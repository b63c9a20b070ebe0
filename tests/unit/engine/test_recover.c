/* test_recover.c: starts that crashes made difficult. Each case was found by tests/crash, and is
 * here in its shortest form. */
#include "engine/snapshot.h"
#include "engine_fixture.h"

#define DIM 4

static void create_sealing(struct fix *f, const char *name, uint32_t seal_rows)
{
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema s = fix_schema(&def, 1, 1);
    s.policy =
        (struct qv__segment_policy){.seal_rows = seal_rows, .index_rows = 16, .merge_fanin = 2};
    OK(qv__db_create_collection(f->db, qv__str_z(name), &s, &f->err));
}

static void create(struct fix *f, const char *name)
{
    create_sealing(f, name, 16);
}

static void upsert(struct fix *f, const char *name, uint64_t from, uint64_t n)
{
    struct qv__collection *c = fix_collection(f, name);
    for (uint64_t i = from; i < from + n; i++) {
        float v[DIM] = {(float)i, 1, 2, 3};
        struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = DIM};
        struct qv__point p = {.id = qv__id_u64(i), .vectors = &nv, .n_vectors = 1};
        fix_write(f, c, &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = &p, .n_points = 1},
                  1);
    }
    qv__collection_release(c);
}

static uint64_t count(struct fix *f, const char *name)
{
    struct qv__collection *c = fix_collection(f, name);
    struct qv__qctx ctx = fix_ctx(f);
    uint64_t n = 0;
    OK(qv__collection_count(c, NULL, &ctx, &n, &f->err));
    qv__collection_release(c);
    return n;
}

static void begin(struct fix *f)
{
    memset(f, 0, sizeof *f);
    f->mem = qv__mem_root("test", 0);
    OK(qv__io_sim_open(f->mem, &f->io, &f->err));
    f->options =
        (struct qv__db_options){.io = f->io, .threads = -1, .seed = 7, .log_file_bytes = 8192};
}

/* A collection that was made after the log had been trimmed needs no record of before. */
static void test_collection_younger_than_the_log(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    begin(f);
    OK(qv__db_open(&f->options, &f->db, &f->err));
    create(f, "old");
    upsert(f, "old", 0, 60); /* over several log files */
    OK(qv__db_checkpoint(f->db, &f->err));
    upsert(f, "old", 60, 60);
    OK(qv__db_checkpoint(f->db, &f->err));
    create(f, "young");
    upsert(f, "young", 0, 3); /* stays in the log */
    upsert(f, "old", 200, 1);
    struct qv__collection *c = fix_collection(f, "old");
    OK(qv__collection_optimize(c, 1, &f->err)); /* a manifest that names both */
    qv__collection_release(c);
    fix_crash(f, QV__CRASH_DROP_ALL, NULL);
    assert_int_equal(count(f, "old"), 121);
    assert_int_equal(count(f, "young"), 3);
    fix_crash(f, QV__CRASH_DROP_ALL, NULL); /* made by replay this time */
    assert_int_equal(count(f, "young"), 3);
    fix_close(f);
}

/* Segment files without a manifest and without a log that could say that they are garbage: they
 * stay as they are, and no new file gets the number of one. */
static void test_numbers_of_strangers_are_passed_over(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    char name[64];
    begin(f);
    OK(qv__io_mkdir(f->io, QV__DIR_BLOBS, &f->err));
    for (unsigned i = 1; i < 10; i++) {
        snprintf(name, sizeof name, QV__DIR_BLOBS "/seg-%016x", i);
        OK(qv__io_write_file(f->io, name, "stranger", 8, &f->err));
    }
    /* Counting from this one on would soon begin anew at none. */
    OK(qv__io_write_file(f->io, QV__DIR_BLOBS "/seg-fffffffffffffffd", "stranger", 8, &f->err));
    OK(qv__db_open(&f->options, &f->db, &f->err));
    assert_true(atomic_load(&f->db->next_file_id) < 1000);
    create(f, "c");
    upsert(f, "c", 0, 5);
    OK(qv__db_checkpoint(f->db, &f->err)); /* was "exists" */
    for (unsigned i = 1; i < 10; i++) {
        void *p;
        size_t n;
        snprintf(name, sizeof name, QV__DIR_BLOBS "/seg-%016x", i);
        OK(qv__io_read_file(f->io, name, 100, f->mem, &p, &n, &f->err));
        assert_string_equal(p, "stranger");
        qv__free(p);
    }
    fix_crash(f, QV__CRASH_DROP_ALL, NULL);
    assert_int_equal(count(f, "c"), 5);
    fix_close(f);
}

/* What a start replayed counts as new log until the next checkpoint, and not for ever. */
static void test_replayed_log_counts_once(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__log_stats stats;
    begin(f);
    OK(qv__db_open(&f->options, &f->db, &f->err));
    create_sealing(f, "c", 65536); /* nothing of it is in a file */
    upsert(f, "c", 0, 6000);
    fix_crash(f, QV__CRASH_KEEP_ALL, NULL);
    assert_true(f->db->replayed_bytes > 256 << 10);
    qv__checkpoint_shorten(f->db);
    while (qv__db_step(f->db)) {
    }
    qv__log_stats(f->db->log, &stats);
    uint64_t since = stats.bytes + f->db->replayed_bytes - f->db->checkpointer.start_bytes;
    assert_true(since < 4096);
    fix_close(f);
}

/* One run: a snapshot of three points is given back over five while the at-th change of a name
 * fails, and all after it. Returns the status. */
static qv_status restore_with_fault(uint64_t at)
{
    struct fix fx, *f = &fx;
    struct qv__snapshot_info info;
    begin(f);
    OK(qv__db_open(&f->options, &f->db, &f->err));
    create(f, "c");
    upsert(f, "c", 0, 3);
    OK(qv__db_snapshot_create(f->db, QV__STR("c"), &info, &f->err));
    upsert(f, "c", 3, 2);
    struct qv__snapshot_from from = {.id = info.id};
    qv__io_sim_fault(f->io, (struct qv__sim_fault){.call = QV__SIM_META, .at = at, .sticky = true});
    qv_status st = qv__db_snapshot_recover(f->db, QV__STR("c"), &from, &f->err);
    qv__io_sim_fault(f->io, (struct qv__sim_fault){0});
    uint64_t expected = st == QV_OK ? 3 : 5;
    assert_int_equal(count(f, "c"), expected);
    if (st == QV_EREADONLY) { /* a start finds the one or the other, so nothing may be added */
        struct qv__collection *c = fix_collection(f, "c");
        struct qv__id id = qv__id_u64(1);
        struct qv__write_result r;
        qv_status refused = qv__collection_write_sync(
            c, &(struct qv__mutation){.kind = QV__MUT_DELETE, .ids = &id, .n_ids = 1}, 1, &r,
            &f->err);
        assert_int_equal(refused, QV_EREADONLY);
        qv__collection_release(c);
    } else {
        upsert(f, "c", 100, 1);
        expected++;
    }
    fix_crash(f, QV__CRASH_KEEP_ALL, NULL);
    uint64_t found = count(f, "c");
    assert_true(found == expected || (st == QV_EREADONLY && found == 3));
    fix_close(f);
    return st;
}

static void test_restore_of_unknown_fate_stops_writes(void **state)
{
    (void)state;
    bool was_unknown = false;
    qv_status st = QV_EIO;
    for (uint64_t at = 1; st != QV_OK; at++) {
        st = restore_with_fault(at);
        was_unknown |= st == QV_EREADONLY;
        assert_true(st == QV_OK || st == QV_EIO || st == QV_EREADONLY);
    }
    assert_true(was_unknown);
}

/* No memory, at any place of a start: QV_ENOMEM, never "damaged", and all is given back. */
static void test_start_without_memory(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    begin(f);
    OK(qv__db_open(&f->options, &f->db, &f->err));
    create(f, "sealed");
    upsert(f, "sealed", 0, 20);
    OK(qv__db_close(f->db, &f->err));
    OK(qv__db_open(&f->options, &f->db, &f->err));
    create(f, "logged"); /* catalog and points are in the log */
    upsert(f, "logged", 0, 3);
    upsert(f, "sealed", 5, 3);
    fix_crash(f, QV__CRASH_DROP_ALL, NULL);
    struct qv__io *live = f->io;
    struct qv__mem *above = qv__mem_root("above", 0);
    bool struck = true;
    uint64_t at = 1;
    for (; struck; at++) {
        struct qv__db_options o = f->options;
        struct qv__db *db = NULL;
        OK(qv__io_sim_crash(live, QV__CRASH_KEEP_ALL, NULL, &o.io, &f->err));
        o.mem = above;
        uint64_t before = qv__mem_allocations(above);
        qv__mem_fail_at(above, at, at % 2);
        qv_status st = qv__db_open(&o, &db, &f->err);
        struck = qv__mem_allocations(above) - before >= at;
        qv__mem_fail_at(above, 0, false);
        assert_true(st == QV_ENOMEM || st == QV_OK); /* what is put off may fail unseen */
        assert_true(st == QV_OK || struck);
        (void)!qv__db_close(db, NULL);
        assert_int_equal(qv__mem_used(above), 0);
        qv__io_close(o.io);
    }
    assert_true(at > 100);
    qv__mem_close(above);
    fix_close(f);
}

static void count_one(void *arg, const struct qv__snapshot_info *info)
{
    (void)info;
    ++*(unsigned *)arg;
}

static unsigned snapshots(struct fix *f)
{
    unsigned n = 0;
    OK(qv__db_snapshots(f->db, count_one, &n, &f->err));
    return n;
}

/* A process was killed between renaming a snapshot away and syncing that: the next start finds it
 * gone, and gone it stays when the power fails then. */
static void test_snapshots_found_at_a_start_stay(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__snapshot_info info;
    begin(f);
    OK(qv__db_open(&f->options, &f->db, &f->err));
    create(f, "c");
    upsert(f, "c", 0, 3);
    OK(qv__db_snapshot_create(f->db, QV__STR("c"), &info, &f->err));
    qv__io_sim_fault(f->io, (struct qv__sim_fault){.call = QV__SIM_META, .at = 2, .sticky = true});
    /* Neither the sync nor taking the rename back: as a kill leaves it. */
    assert_int_equal(qv__db_snapshot_delete(f->db, info.id, &f->err), QV_EIO);
    qv__io_sim_fault(f->io, (struct qv__sim_fault){.at = 0});
    assert_int_equal(snapshots(f), 0);
    fix_crash(f, QV__CRASH_KEEP_ALL, NULL);
    unsigned found = snapshots(f);
    fix_crash(f, QV__CRASH_DROP_ALL, NULL);
    assert_int_equal(snapshots(f), found);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_collection_younger_than_the_log),
        cmocka_unit_test(test_snapshots_found_at_a_start_stay),
        cmocka_unit_test(test_restore_of_unknown_fate_stops_writes),
        cmocka_unit_test(test_start_without_memory),
        cmocka_unit_test(test_numbers_of_strangers_are_passed_over),
        cmocka_unit_test(test_replayed_log_counts_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
