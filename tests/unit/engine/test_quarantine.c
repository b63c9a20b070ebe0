/* test_quarantine.c: damage in one collection takes that collection out of service and nothing
 * else; its files and its part of the log are kept as they are until it is whole again or dropped.
 */
#include "engine_fixture.h"

#define DIM  4u
#define ROWS 40u

static void create(struct fix *f, const char *name)
{
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema s = fix_schema(&def, 1, 2);
    s.policy = (struct qv__segment_policy){.seal_rows = 1000, .index_rows = 16, .merge_fanin = 8};
    OK(qv__db_create_collection(f->db, qv__str_z(name), &s, &f->err));
}

static qv_status put(struct fix *f, const char *name, uint64_t from, uint64_t to)
{
    struct qv__collection *c = fix_collection(f, name);
    struct qv__write_result r;
    qv_status st = QV_OK;
    for (uint64_t i = from; st == QV_OK && i < to; i++) {
        float v[DIM] = {(float)i, 1, 2, 3};
        struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = DIM};
        struct qv__point p = {.id = qv__id_u64(i), .vectors = &nv, .n_vectors = 1};
        struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = &p, .n_points = 1};
        st = qv__collection_write_sync(c, &m, 1, &r, &f->err);
    }
    qv__collection_release(c);
    return st;
}

static void drop_points(struct fix *f, const char *name, uint64_t from, uint64_t to)
{
    struct qv__collection *c = fix_collection(f, name);
    for (uint64_t i = from; i < to; i++) {
        struct qv__id id = qv__id_u64(i);
        fix_write(f, c, &(struct qv__mutation){.kind = QV__MUT_DELETE, .ids = &id, .n_ids = 1}, 1);
    }
    qv__collection_release(c);
}

static qv_status count(struct fix *f, const char *name, uint64_t *n)
{
    struct qv__collection *c = fix_collection(f, name);
    struct qv__qctx ctx = fix_ctx(f);
    qv_status st = qv__collection_count(c, NULL, &ctx, n, &f->err);
    qv__collection_release(c);
    return st;
}

static void expect_points(struct fix *f, const char *name, uint64_t want)
{
    uint64_t n = 0;
    OK(count(f, name, &n));
    assert_int_equal(n, want);
}

/* Every kind of request of a quarantined collection is refused by the same code. */
static void expect_quarantined(struct fix *f, const char *name, const char *file)
{
    struct qv__collection *c = fix_collection(f, name);
    struct qv__qctx ctx = fix_ctx(f);
    struct qv__result_set rs;
    struct qv__collection_info info;
    struct qv__db_info db;
    struct qv__id id = qv__id_u64(1);
    float q[DIM] = {0};
    uint64_t n = 0;
    struct qv__query query = {
        .kind = QV__QUERY_NEAREST, .target = {.values = q, .dim = DIM}, .limit = 3};
    assert_int_equal(qv__collection_count(c, NULL, &ctx, &n, &f->err), QV_EQUARANTINED);
    assert_non_null(strstr(f->err.message, file));
    assert_non_null(strstr(f->err.message, name));
    assert_int_equal(qv__collection_query(c, &query, NULL, &ctx, &rs, &f->err), QV_EQUARANTINED);
    assert_int_equal(qv__collection_get(c, &id, 1, NULL, &ctx, &rs, &f->err), QV_EQUARANTINED);
    assert_int_equal(qv__collection_scroll(c, NULL, 5, NULL, NULL, &ctx, &rs, &f->err),
                     QV_EQUARANTINED);
    assert_int_equal(put(f, name, 0, 1), QV_EQUARANTINED);
    assert_int_equal(qv__collection_optimize(c, 1, &f->err), QV_EQUARANTINED);
    assert_int_equal(qv__db_alter(f->db, qv__str_z(name), &(struct qv__alter){0}, NULL, &f->err),
                     QV_EQUARANTINED);
    OK(qv__collection_info(c, &info, &f->err));
    assert_int_equal(info.quarantined, 1);
    assert_non_null(strstr(info.damage, file));
    qv__db_info(f->db, &db);
    assert_int_equal(db.n_quarantined, 1);
    qv__collection_release(c);
}

struct one_file {
    const char *prefix;
    bool last; /* the last of them by name, not the first */
    char name[80];
};

static void find_file(void *arg, const char *name, uint64_t size)
{
    struct one_file *o = arg;
    (void)size;
    if ((o->last || !o->name[0]) && strncmp(name, o->prefix, strlen(o->prefix)) == 0) {
        snprintf(o->name, sizeof o->name, "%s", name);
    }
}

/* Two collections with sealed segments, tombstones, and unflushed writes; closed by a kill. */
static void make(struct fix *f)
{
    struct qv__rng rng;
    qv__rng_seed(&rng, 3);
    fix_open(f, -1);
    create(f, "a");
    OK(put(f, "a", 0, ROWS));
    OK(qv__db_checkpoint(f->db, &f->err));
    drop_points(f, "a", 0, 5);
    create(f, "b");
    OK(put(f, "b", 0, ROWS));
    OK(qv__db_checkpoint(f->db, &f->err));
    OK(put(f, "a", 100, 110));
    drop_points(f, "a", 5, 8);
    OK(put(f, "b", 100, 110));
    fix_crash(f, QV__CRASH_KEEP_ALL, &rng);
    expect_points(f, "a", ROWS + 10 - 8);
    expect_points(f, "b", ROWS + 10);
    fix_crash(f, QV__CRASH_KEEP_ALL, &rng);
}

static struct one_file first(struct fix *f, const char *prefix)
{
    struct one_file o = {.prefix = prefix};
    OK(qv__io_sim_list(f->io, find_file, &o, &f->err));
    assert_true(o.name[0] != 0);
    return o;
}

static void damage_and_repair(const char *prefix, uint64_t byte)
{
    struct fix fx, *f = &fx;
    make(f);
    struct one_file bad = first(f, prefix); /* the lowest id: of collection a */
    OK(qv__io_sim_flip(f->io, bad.name, byte, 3));
    fix_crash(f, QV__CRASH_KEEP_ALL, NULL);
    expect_quarantined(f, "a", strchr(bad.name, '/') + 1);
    expect_points(f, "b", ROWS + 10);
    /* The rest lives on: writes, checkpoints, seals, restarts, and nothing of `a` moves. */
    for (unsigned round = 0; round < 3; round++) {
        OK(put(f, "b", 200 + 100 * round, 240 + 100 * round));
        OK(qv__db_checkpoint(f->db, &f->err));
        struct qv__db_info info;
        qv__db_info(f->db, &info);
        assert_true(info.log_held_bytes > 0); /* told, since no bound counts it */
        fix_reopen(f);
        expect_quarantined(f, "a", strchr(bad.name, '/') + 1);
        expect_points(f, "b", ROWS + 10 + 40 * (round + 1));
    }
    OK(qv__db_close(f->db, &f->err));
    OK(qv__io_sim_flip(f->io, bad.name, byte, 3));
    OK(qv__db_open(&f->options, &f->db, &f->err));
    expect_points(f, "a", ROWS + 10 - 8); /* with what was only in the log */
    expect_points(f, "b", ROWS + 10 + 120);
    OK(put(f, "a", 300, 301));
    fix_reopen(f);
    expect_points(f, "a", ROWS + 10 - 8 + 1);
    fix_close(f);
}

static void test_segment(void **state)
{
    (void)state;
    damage_and_repair("blobs/seg-", 5000);
    damage_and_repair("blobs/seg-", 100);
}

static void test_tombstones(void **state)
{
    (void)state;
    damage_and_repair("blobs/tomb-", 64);
}

/* A quarantined collection that had flushed all its writes keeps no log. */
static void test_log_goes_on(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    make(f);
    f->options.log_file_bytes = 64 << 10; /* from the next open on */
    OK(qv__db_checkpoint(f->db, &f->err)); /* nothing of `a` is in the log alone */
    struct one_file bad = first(f, "blobs/seg-");
    OK(qv__io_sim_flip(f->io, bad.name, 5000, 3));
    fix_crash(f, QV__CRASH_KEEP_ALL, NULL);
    expect_quarantined(f, "a", strchr(bad.name, '/') + 1);
    uint64_t first_lsn = 0;
    for (unsigned round = 0; round < 4; round++) {
        struct qv__db_info info;
        struct qv__log_stats stats;
        for (unsigned i = 0; i < 40; i++) { /* some files of log */
            OK(put(f, "b", 1000, 1200));
        }
        OK(qv__db_checkpoint(f->db, &f->err));
        qv__db_info(f->db, &info);
        assert_int_equal(info.log_held_bytes, 0);
        qv__log_stats(f->db->log, &stats);
        assert_true(round == 0 || stats.first_lsn > first_lsn);
        first_lsn = stats.first_lsn;
        fix_reopen(f);
        expect_quarantined(f, "a", strchr(bad.name, '/') + 1);
    }
    OK(qv__db_close(f->db, &f->err));
    OK(qv__io_sim_flip(f->io, bad.name, 5000, 3));
    OK(qv__db_open(&f->options, &f->db, &f->err));
    expect_points(f, "a", ROWS + 10 - 8);
    OK(put(f, "a", 300, 301));
    fix_reopen(f);
    expect_points(f, "a", ROWS + 10 - 8 + 1);
    fix_close(f);
}

static bool is_there(struct fix *f, const char *name)
{
    struct one_file o = {.prefix = name};
    OK(qv__io_sim_list(f->io, find_file, &o, &f->err));
    return o.name[0] != 0;
}

/* A missing file is damage too; the collection can be dropped, and its files go with it. */
static void test_missing_and_dropped(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    bool existed = false;
    struct qv__log_stats stats;
    make(f);
    struct one_file bad = first(f, "blobs/seg-"), tomb = first(f, "blobs/tomb-");
    OK(qv__io_unlink(f->io, bad.name, &f->err));
    fix_crash(f, QV__CRASH_KEEP_ALL, NULL);
    expect_quarantined(f, "a", strchr(bad.name, '/') + 1);
    OK(qv__db_drop_collection(f->db, QV__STR("a"), &existed, &f->err));
    assert_true(existed);
    struct qv__db_info info;
    qv__db_info(f->db, &info);
    assert_int_equal(info.n_quarantined, 0);
    assert_false(is_there(f, tomb.name));
    create(f, "a");
    OK(put(f, "a", 0, 3));
    for (unsigned i = 0; i < 4; i++) { /* the log is no longer held back */
        OK(put(f, "b", 1000 + i, 1001 + i));
        OK(qv__db_checkpoint(f->db, &f->err));
    }
    qv__log_stats(f->db->log, &stats);
    assert_true(stats.first_lsn > 0);
    qv__db_info(f->db, &info);
    assert_int_equal(info.log_held_bytes, 0);
    fix_reopen(f);
    expect_points(f, "a", 3);
    expect_points(f, "b", ROWS + 10 + 4);
    fix_close(f);
}

/* Damage in a file of the whole database refuses the start. */
static void test_whole_database(void **state)
{
    (void)state;
    static const char *const files[] = {"CURRENT", "manifest-", "log/log-"};
    for (size_t i = 0; i < QV_ARRAY_LEN(files); i++) {
        struct fix fx, *f = &fx;
        struct qv__io *after = NULL;
        make(f);
        OK(qv__io_sim_crash(f->io, QV__CRASH_KEEP_ALL, NULL, &after, &f->err));
        struct qv__db_options o = f->options;
        struct qv__db *db = NULL;
        o.io = after;
        struct one_file bad = {.prefix = files[i], .last = true};
        OK(qv__io_sim_list(after, find_file, &bad, &f->err));
        OK(qv__io_sim_flip(after, bad.name, i == 2 ? 4096 + 60 : 20, 1));
        assert_int_equal(qv__db_open(&o, &db, &f->err), QV_ECORRUPT);
        assert_non_null(strstr(f->err.message, files[i] + (i == 2 ? 4 : 0)));
        qv__io_close(after);
        fix_close(f);
    }
}

/* A manifest that was written between the creation of a collection and its first flush must not ask
 * for log records that were trimmed before the collection was. */
static void test_young_collection(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__log_stats stats = {0};
    fix_open(f, -1);
    OK(qv__db_close(f->db, &f->err));
    qv__io_close(f->io);
    OK(qv__io_sim_open(f->mem, &f->io, &f->err)); /* anew, with short log files */
    f->options.io = f->io;
    f->options.log_file_bytes = 64 << 10;
    OK(qv__db_open(&f->options, &f->db, &f->err));
    create(f, "old");
    for (unsigned i = 0; stats.first_lsn <= 1 && i < 8; i++) {
        OK(put(f, "old", 500 * i, 500 * i + 500));
        OK(qv__db_checkpoint(f->db, &f->err));
        qv__log_stats(f->db->log, &stats);
    }
    assert_true(stats.first_lsn > 1);
    create(f, "young");
    OK(put(f, "young", 0, 3));
    OK(qv__checkpoint_commit(f->db, &f->err)); /* as a seal of another collection does */
    fix_crash(f, QV__CRASH_KEEP_ALL, NULL);
    expect_points(f, "young", 3);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segment),        cmocka_unit_test(test_tombstones),
        cmocka_unit_test(test_log_goes_on),    cmocka_unit_test(test_missing_and_dropped),
        cmocka_unit_test(test_whole_database), cmocka_unit_test(test_young_collection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
