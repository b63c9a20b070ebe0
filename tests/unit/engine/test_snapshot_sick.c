/* test_snapshot_sick.c: snapshots of which one cannot be read, and recoveries beside other work:
 * the other snapshots stay, and nothing goes on for nobody. */
#include "engine/job.h"
#include "snapshot_test.h"
#include "store/format.h"

/* Two snapshots of one collection. */
static void with_two(struct fix *f, struct qv__snapshot_info info[2])
{
    fix_open(f, -1);
    make_collection(f, "c", 1);
    struct qv__collection *c = fix_collection(f, "c");
    for (uint64_t i = 0; i < 2; i++) {
        OK(put(f, c, 0, 20, i));
        OK(qv__db_snapshot_create(f->db, QV__STR("c"), &info[i], &f->err));
    }
    qv__collection_release(c);
}

static void path_of(const struct qv__snapshot_info *info, const char *leaf, char out[96])
{
    char dir[64];
    qv__snapshot_dir(info->id, QV__SNAPSHOT_WHOLE, dir);
    snprintf(out, 96, "%s/%s", dir, leaf);
}

/* What a newer version writes: a longer head that is sound. */
static void write_newer(struct fix *f, const char *path)
{
    uint8_t head[1024] = {0};
    const struct qv__format newer = {
        .magic = "QVSNP\r\n\x1a", .noun = "snapshot", .major = 2, .head_bytes = sizeof head};
    struct qv__file *file = NULL;
    qv__format_begin(&newer, head);
    qv__format_seal(&newer, head);
    OK(qv__io_open(f->io, path, QV__OPEN_CREATE | QV__OPEN_TRUNC, &file, &f->err));
    OK(qv__io_pwrite(file, head, sizeof head, 0, &f->err));
    OK(qv__io_file_close(file, &f->err));
}

static void append_byte(struct fix *f, const char *path)
{
    struct qv__file *file = NULL;
    uint64_t n = file_bytes(f, f->io, path);
    OK(qv__io_open(f->io, path, QV__OPEN_WRITE, &file, &f->err));
    OK(qv__io_pwrite(file, "x", 1, n, &f->err));
    OK(qv__io_file_close(file, &f->err));
}

static qv_status open_it(struct fix *f, const struct qv__snapshot_info *info)
{
    struct qv__snapshot_stream *s = NULL;
    qv_status st = qv__snapshot_stream_open(f->db, info->id, &s, &f->err);
    qv__snapshot_stream_close(s);
    return st;
}

enum sickness { LONG_HEAD, LONG_SUM, NEWER, NO_HEAD, NO_TABLE, BAD_HEAD, SICKNESSES };

static void make_sick(struct fix *f, const struct qv__snapshot_info *info, enum sickness how)
{
    static const char *const leaf[SICKNESSES] = {"head", "sum", "head", "head", "table", "head"};
    char path[96];
    path_of(info, leaf[how], path);
    if (how == LONG_HEAD || how == LONG_SUM) {
        append_byte(f, path);
    } else if (how == NEWER) {
        write_newer(f, path);
    } else if (how == BAD_HEAD) {
        OK(qv__io_sim_flip(f->io, path, 40, 1));
    } else {
        OK(qv__io_unlink(f->io, path, &f->err));
    }
}

static void test_one_is_sick(void **state)
{
    (void)state;
    static const qv_status says[SICKNESSES] = {QV_ECORRUPT,  QV_ECORRUPT,  QV_EVERSION,
                                               QV_ENOTFOUND, QV_ENOTFOUND, QV_ECORRUPT};
    for (int how = 0; how < SICKNESSES; how++) {
        struct fix fx, *f = &fx;
        struct qv__snapshot_info info[2], got;
        char dir[64];
        with_two(f, info);
        make_sick(f, &info[0], (enum sickness)how);
        assert_int_equal(open_it(f, &info[0]), says[how]);
        assert_int_equal(n_snapshots(f), 1);
        OK(qv__db_snapshot_find(f->db, qv__str_z(info[1].name), NULL, false, &got, &f->err));
        assert_int_equal(got.id, info[1].id);
        assert_int_equal(
            qv__db_snapshot_find(f->db, qv__str_z(info[0].name), NULL, false, &got, &f->err),
            QV_ENOTFOUND);
        struct qv__snapshot_from from = {.id = info[1].id};
        OK(qv__db_snapshot_recover(f->db, QV__STR("c"), &from, &f->err));
        /* The sick one goes by the name of its directory, a sound one does not. */
        for (int i = 1; i >= 0; i--) {
            qv__snapshot_dir(info[i].id, QV__SNAPSHOT_WHOLE, dir);
            struct qv__str name = qv__str_z(strchr(dir, '/') + 1);
            assert_int_equal(qv__db_snapshot_find(f->db, name, NULL, true, &got, &f->err),
                             i ? QV_ENOTFOUND : QV_OK);
        }
        OK(qv__db_snapshot_delete(f->db, got.id, &f->err));
        assert_int_equal(qv__io_list(f->io, dir, NULL, NULL, &f->err), QV_ENOTFOUND);
        OK(qv__db_snapshot_delete(f->db, info[1].id, &f->err));
        assert_int_equal(n_snapshots(f), 0);
        fix_close(f);
    }
}

/* Any read that fails costs at most the snapshot that it was of. */
static void test_reads_fail(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__snapshot_info info[2];
    with_two(f, info);
    uint64_t from = qv__io_sim_calls(f->io, QV__SIM_READ);
    assert_int_equal(n_snapshots(f), 2);
    uint64_t reads = qv__io_sim_calls(f->io, QV__SIM_READ) - from;
    assert_true(reads > 2);
    for (uint64_t at = 1; at <= reads; at++) {
        unsigned n = 0;
        qv__io_sim_fault(f->io, (struct qv__sim_fault){.call = QV__SIM_READ, .at = at});
        qv_status st = qv__db_snapshots(f->db, count_one, &n, &f->err);
        qv__io_sim_fault(f->io, (struct qv__sim_fault){.at = 0});
        assert_int_equal(st, at == 1 ? QV_EIO : QV_OK); /* the first is that of the directory */
        assert_int_equal(n, at == 1 ? 0 : 1);
    }
    fix_close(f);
}

/* --- recoveries --- */

static void cancel_it(void *arg)
{
    struct fix *f = arg;
    struct qv__job_info j;
    if (qv__db_jobs(f->db, NULL, false, &j, 1) == 1 && j.kind == QV__JOB_RECOVER) {
        OK(qv__db_cancel_job(f->db, NULL, j.id, &f->err));
    }
}

/* When all files are copied, and what they hold is still to be compared. */
static void test_cancelled_late(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__snapshot_info info;
    fix_open(f, -1);
    make_collection(f, "c", 1);
    struct qv__collection *c = fix_collection(f, "c");
    OK(put(f, c, 0, 60, 1));
    OK(qv__collection_optimize(c, 1, &f->err)); /* one file, without tombstones */
    OK(qv__db_snapshot_create(f->db, QV__STR("c"), &info, &f->err));
    struct qv__collection_info ci;
    OK(qv__collection_info(c, &ci, &f->err));
    assert_int_equal(ci.n_sealed, 1);
    struct qv__snapshot_from from = {.id = info.id};
    qv__io_sim_watch(f->io, cancel_it, f); /* before it is synced all of it was read */
    assert_int_equal(qv__db_snapshot_recover(f->db, QV__STR("d"), &from, &f->err), QV_ECANCELLED);
    qv__io_sim_watch(f->io, NULL, NULL);
    assert_int_equal(n_leftovers(f), 0);
    qv__collection_release(c);
    assert_int_equal(qv__db_collection(f->db, QV__STR("d"), &c, &f->err), QV_ENOTFOUND);
    OK(qv__db_snapshot_recover(f->db, QV__STR("d"), &from, &f->err));
    fix_close(f);
}

/* Work on the collection that gave way ends; what it makes is for nobody. */
static void test_jobs_of_the_old_one_end(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__snapshot_info info[2];
    struct qv__job merge, other;
    with_two(f, info);
    make_collection(f, "other", 1);
    struct qv__collection *c = fix_collection(f, "c"), *o = fix_collection(f, "other");
    qv__job_open(&merge, f->db, &c->shards[0], QV__JOB_MERGE, 1, NULL, "test");
    qv__job_open(&other, f->db, &o->shards[0], QV__JOB_MERGE, 1, NULL, "test");
    struct qv__snapshot_from from = {.id = info[0].id};
    OK(qv__db_snapshot_recover(f->db, QV__STR("c"), &from, &f->err));
    assert_true(atomic_load(&merge.cancel));
    assert_false(atomic_load(&other.cancel));
    qv__job_close(&merge, QV_ECANCELLED);
    qv__job_close(&other, QV_OK);
    qv__collection_release(c);
    qv__collection_release(o);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_is_sick),
        cmocka_unit_test(test_reads_fail),
        cmocka_unit_test(test_cancelled_late),
        cmocka_unit_test(test_jobs_of_the_old_one_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
