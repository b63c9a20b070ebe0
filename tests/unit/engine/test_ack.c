/* test_ack.c: what an acknowledgement promises when requests overlap, and what a failure leaves
 * behind: nothing that stands in the way of the next try. */
#include "engine/snapshot.h"
#include "engine_fixture.h"

#define DIM  4
#define BASE 40u

static struct qv__collection *make(struct fix *f)
{
    fix_open(f, -1);
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema s = fix_schema(&def, 1, 2);
    s.policy = (struct qv__segment_policy){.seal_rows = 16, .index_rows = 16, .merge_fanin = 2};
    OK(qv__db_create_collection(f->db, QV__STR("c"), &s, &f->err));
    return fix_collection(f, "c");
}

static qv_status try_upsert(struct fix *f, struct qv__collection *c, uint64_t from, uint64_t to)
{
    static const float v[DIM] = {1, 2, 3, 4};
    struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = DIM};
    struct qv__point p[BASE];
    assert_in_range(to - from, 1, BASE);
    for (uint64_t i = from; i < to; i++) {
        p[i - from] = (struct qv__point){.id = qv__id_u64(i), .vectors = &nv, .n_vectors = 1};
    }
    struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = p, .n_points = (size_t)(to - from)};
    return qv__collection_write_sync(c, &m, 1, NULL, &f->err);
}

static void upsert(struct fix *f, struct qv__collection *c, uint64_t from, uint64_t to)
{
    OK(try_upsert(f, c, from, to));
}

static uint64_t count(struct fix *f, struct qv__collection *c)
{
    struct qv__qctx ctx = fix_ctx(f);
    uint64_t n = 0;
    OK(qv__collection_count(c, NULL, &ctx, &n, &f->err));
    return n;
}

static void drain(struct fix *f)
{
    while (qv__db_step(f->db)) {
    }
}

/* --- overlapping requests --- */

static void note_done(struct qv__write *w)
{
    *(bool *)w->arg = true;
}

/* Begin to delete point 7; the answer comes when the database is stepped. */
static void begin_delete(struct qv__collection *c, enum qv__durability durability,
                         struct qv__write *w, bool *done)
{
    struct qv__id id = qv__id_u64(7);
    struct qv__mutation m = {.kind = QV__MUT_DELETE, .ids = &id, .n_ids = 1};
    *done = false;
    *w = (struct qv__write){.done = note_done, .arg = done, .durability = durability};
    qv__collection_write(c, &m, 1, w);
}

/* A deletion that finds nothing left to delete relies on the one before it, which may still be
 * lost. */
static void test_no_change_waits(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = make(f);
    struct qv__write first, second;
    bool first_done, second_done;
    upsert(f, c, 0, BASE);
    drain(f);
    begin_delete(c, QV__DURABILITY_FSYNC, &first, &first_done);
    begin_delete(c, QV__DURABILITY_FSYNC, &second, &second_done);
    assert_false(first_done);
    assert_false(second_done);
    drain(f);
    assert_true(first_done && second_done);
    assert_int_equal(first.result.status, QV_OK);
    assert_int_equal(second.result.status, QV_OK);
    assert_int_equal(count(f, c), BASE - 1);

    /* With nothing under way there is nothing to wait for. */
    begin_delete(c, QV__DURABILITY_FSYNC, &second, &second_done);
    assert_true(second_done);
    assert_int_equal(second.result.status, QV_OK);
    qv__collection_release(c);
    fix_close(f);
}

/* The same when the first one was relaxed: answered and seen, but on no disk. */
static void test_no_change_after_relaxed(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = make(f);
    struct qv__write first, second;
    bool first_done, second_done;
    struct qv__rng rng;
    upsert(f, c, 0, BASE);
    drain(f);
    begin_delete(c, QV__DURABILITY_RELAXED, &first, &first_done);
    assert_true(first_done);
    assert_int_equal(count(f, c), BASE - 1);
    begin_delete(c, QV__DURABILITY_FSYNC, &second, &second_done);
    assert_false(second_done);
    drain(f);
    assert_true(second_done);
    assert_int_equal(second.result.status, QV_OK);
    qv__collection_release(c);
    qv__rng_seed(&rng, 1);
    fix_crash(f, QV__CRASH_DROP_ALL, &rng);
    c = fix_collection(f, "c");
    assert_int_equal(count(f, c), BASE - 1);
    qv__collection_release(c);
    fix_close(f);
}

/* When the sync fails nobody knows whether the point is gone: no one may be told so. */
static void test_no_change_fails(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__collection *c = make(f);
    struct qv__write w[3];
    bool done[3];
    struct qv__rng rng;
    upsert(f, c, 0, BASE);
    drain(f);
    qv__io_sim_fault(f->io, (struct qv__sim_fault){
                                .call = QV__SIM_ANY, .at = 1, .sticky = true, .status = QV_EIO});
    begin_delete(c, QV__DURABILITY_FSYNC, &w[0], &done[0]);
    begin_delete(c, QV__DURABILITY_FSYNC, &w[1], &done[1]);
    drain(f);
    begin_delete(c, QV__DURABILITY_FSYNC, &w[2], &done[2]);
    drain(f);
    for (size_t i = 0; i < QV_ARRAY_LEN(w); i++) {
        assert_true(done[i]);
        assert_int_equal(w[i].result.status, QV_EREADONLY);
    }
    qv__io_sim_fault(f->io, (struct qv__sim_fault){0});
    qv__collection_release(c);
    qv__rng_seed(&rng, 1);
    fix_crash(f, QV__CRASH_DROP_ALL, &rng);
    c = fix_collection(f, "c");
    assert_int_equal(count(f, c), BASE);
    qv__collection_release(c);
    fix_close(f);
}

/* --- after a failure --- */

static void fail_from(struct fix *f, uint64_t n)
{
    qv__io_sim_fault(f->io, (struct qv__sim_fault){
                                .call = QV__SIM_ANY, .at = n, .sticky = true, .status = QV_EIO});
}

/* The process dies anywhere in the first checkpoint; the next one succeeds, although the files that
 * the first one left have the numbers that come next. */
static void test_first_checkpoint_dies(void **state)
{
    (void)state;
    qv_status st = QV_EIO;
    uint64_t n = 1;
    for (; st != QV_OK; n++) {
        struct fix fx, *f = &fx;
        struct qv__rng rng;
        struct qv__collection *c = make(f);
        upsert(f, c, 0, 10);
        fail_from(f, n);
        st = qv__db_checkpoint(f->db, &f->err);
        qv__io_sim_fault(f->io, (struct qv__sim_fault){0});
        qv__collection_release(c);
        qv__rng_seed(&rng, n);
        fix_crash(f, QV__CRASH_KEEP_ALL, &rng);
        OK(qv__db_checkpoint(f->db, &f->err));
        c = fix_collection(f, "c");
        assert_int_equal(count(f, c), 10);
        qv__collection_release(c);
        fix_close(f);
    }
    assert_true(n > 20);
}

/* The disk fails anywhere in a checkpoint, and is well again: so is the next checkpoint. */
static void test_checkpoint_recovers(void **state)
{
    (void)state;
    qv_status st = QV_EIO;
    uint64_t n = 1;
    for (; st != QV_OK; n++) {
        struct fix fx, *f = &fx;
        struct qv__collection *c = make(f);
        upsert(f, c, 0, 10);
        OK(qv__db_checkpoint(f->db, &f->err));
        upsert(f, c, 5, 15);
        fail_from(f, n);
        st = qv__db_checkpoint(f->db, &f->err);
        qv__io_sim_fault(f->io, (struct qv__sim_fault){0});
        OK(qv__db_checkpoint(f->db, &f->err));
        qv__collection_release(c);
        fix_reopen(f);
        c = fix_collection(f, "c");
        assert_int_equal(count(f, c), 15);
        qv__collection_release(c);
        fix_close(f);
    }
    assert_true(n > 20);
}

/* The disk fails anywhere while a snapshot takes the collection's place, and is well again. What is
 * acknowledged afterwards must be in whichever collection a restart finds. */
static void test_recover_leaves_no_doubt(void **state)
{
    (void)state;
    qv_status st = QV_EIO;
    uint64_t n = 1;
    unsigned stopped = 0;
    for (; st != QV_OK; n++) {
        struct fix fx, *f = &fx;
        struct qv__snapshot_info info;
        struct qv__rng rng;
        struct qv__collection *c = make(f);
        upsert(f, c, 0, 5); /* so few that nothing is sealed meanwhile */
        OK(qv__db_snapshot_create(f->db, QV__STR("c"), &info, &f->err));
        upsert(f, c, 5, 10);
        qv__collection_release(c);
        fail_from(f, n);
        struct qv__snapshot_from from = {.id = info.id};
        st = qv__db_snapshot_recover(f->db, QV__STR("c"), &from, &f->err);
        qv__io_sim_fault(f->io, (struct qv__sim_fault){0});
        c = fix_collection(f, "c");
        assert_int_equal(count(f, c), st == QV_OK ? 5 : 10);
        bool acked = try_upsert(f, c, 30, 31) == QV_OK;
        stopped += !acked;
        qv__collection_release(c);
        qv__rng_seed(&rng, n);
        fix_crash(f, QV__CRASH_KEEP_ALL, &rng);
        c = fix_collection(f, "c");
        if (acked) {
            assert_int_equal(count(f, c), (st == QV_OK ? 5 : 10) + 1);
        }
        upsert(f, c, 40, 41);
        qv__collection_release(c);
        fix_close(f);
    }
    assert_true(n > 20);
    assert_true(stopped > 0);
}

/* A collection whose creation may come back with a restart cannot be acknowledged as dropped. */
static void test_drop_of_unknown_fate(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    bool existed = true;
    struct qv__collection *c = make(f);
    struct qv__schema s = {.n_vectors = 0};
    qv__io_sim_fault(f->io, (struct qv__sim_fault){.call = QV__SIM_SYNC, .at = 1});
    assert_int_equal(qv__db_create_collection(f->db, QV__STR("d"), &s, &f->err), QV_EREADONLY);
    assert_int_equal(qv__db_drop_collection(f->db, QV__STR("d"), &existed, &f->err), QV_EREADONLY);
    assert_false(existed);
    qv__collection_release(c);
    fix_crash(f, QV__CRASH_KEEP_ALL, NULL);
    OK(qv__db_drop_collection(f->db, QV__STR("d"), &existed, &f->err));
    OK(qv__db_drop_collection(f->db, QV__STR("d"), &existed, &f->err));
    assert_false(existed);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_change_waits),     cmocka_unit_test(test_no_change_after_relaxed),
        cmocka_unit_test(test_no_change_fails),     cmocka_unit_test(test_first_checkpoint_dies),
        cmocka_unit_test(test_checkpoint_recovers), cmocka_unit_test(test_recover_leaves_no_doubt),
        cmocka_unit_test(test_drop_of_unknown_fate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
