/* test_check.c: what the offline check says of snapshots and of what log records mean; that it says
 * the same as a start, and changes nothing. */
#include "snapshot_test.h"

struct found {
    unsigned n, damaged;
    char file[96], message[512], collection[256]; /* of the last damaged one */
    uint64_t lsn;
    bool surplus; /* some snapshot is told to be one */
    bool sound;   /* some snapshot is told to be whole */
};

static void found(void *arg, const struct qv__check_finding *f)
{
    struct found *all = arg;
    bool is_snapshot = strncmp(f->file, "snapshots/", 10) == 0;
    all->n++;
    all->surplus |= is_snapshot && !f->damaged && strncmp(f->message, "surplus", 7) == 0;
    all->sound |= is_snapshot && !f->damaged && strncmp(f->message, "snapshot ", 9) == 0;
    if (f->damaged) {
        all->damaged++;
        all->lsn = f->min_lsn;
        assert_true(*f->remedy != 0);
        snprintf(all->file, sizeof all->file, "%s", f->file);
        snprintf(all->message, sizeof all->message, "%s", f->message);
        snprintf(all->collection, sizeof all->collection, "%s", f->collection);
    }
}

static struct found check(struct fix *f, qv_status want)
{
    struct found all = {0};
    qv_status st = qv__db_check(f->io, f->mem, found, &all, &f->err);
    if (st != want) {
        fail_msg("%s instead of %s: %s: %s", qv_status_name(st), qv_status_name(want), all.file,
                 all.message);
    }
    return all;
}

/* --- snapshots --- */

struct file {
    const char *prefix;
    char name[96];
    uint64_t bytes;
};

static void find_file(void *arg, const char *name, uint64_t bytes)
{
    struct file *o = arg;
    if (!o->name[0] && strncmp(name, o->prefix, strlen(o->prefix)) == 0) {
        snprintf(o->name, sizeof o->name, "%s", name);
        o->bytes = bytes;
    }
}

static struct file first(struct fix *f, const char *prefix)
{
    struct file o = {.prefix = prefix};
    OK(qv__io_sim_list(f->io, find_file, &o, &f->err));
    assert_true(o.name[0] != 0);
    return o;
}

/* One snapshot of a collection with sealed rows and deletions; the database is closed. */
static void with_snapshot(struct fix *f, struct qv__snapshot_info *info)
{
    fix_open(f, -1);
    make_collection(f, "c", 2);
    struct qv__collection *c = fix_collection(f, "c");
    OK(put(f, c, 0, 60, 1));
    OK(qv__collection_optimize(c, 1, &f->err));
    del(f, c, 3, 9);
    OK(qv__db_snapshot_create(f->db, QV__STR("c"), info, &f->err));
    qv__collection_release(c);
    OK(qv__db_close(f->db, &f->err));
}

static void finish(struct fix *f)
{
    qv__io_close(f->io);
    qv__mem_close(f->mem);
}

/* Every file of it, at its first bytes, in the middle and at its end. */
static void test_damaged_snapshot(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__snapshot_info info;
    char dir[64];
    with_snapshot(f, &info);
    qv__snapshot_dir(info.id, QV__SNAPSHOT_WHOLE, dir);
    assert_true(check(f, QV_OK).sound);
    static const char *const names[] = {"head", "table", "sum", "manifest", "seg-", "tomb-"};
    for (size_t i = 0; i < QV_ARRAY_LEN(names); i++) {
        char prefix[96];
        snprintf(prefix, sizeof prefix, "%s/%s", dir, names[i]);
        struct file bad = first(f, prefix);
        const uint64_t at[] = {9, bad.bytes / 2, bad.bytes - 1};
        for (size_t k = 0; k < QV_ARRAY_LEN(at); k++) {
            OK(qv__io_sim_flip(f->io, bad.name, at[k], 3));
            struct found all = check(f, QV_ECORRUPT);
            /* A segment is the same file in blobs/: the collection has lost it, too. */
            assert_int_equal(all.damaged, strcmp(names[i], "seg-") == 0 ? 2 : 1);
            assert_string_equal(all.file, dir);
            OK(qv__io_sim_flip(f->io, bad.name, at[k], 3));
        }
    }
    check(f, QV_OK);
    OK(qv__io_unlink(f->io, first(f, dir).name, &f->err));
    assert_string_equal(check(f, QV_ECORRUPT).file, dir);
    OK(qv__db_open(&f->options, &f->db, &f->err)); /* which needs no snapshot */
    fix_close(f);
}

/* Names of other states are surplus; a name that is none of ours is no damage. */
static void test_leftover_snapshot(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__snapshot_info info;
    char from[64], to[64];
    with_snapshot(f, &info);
    qv__snapshot_dir(info.id, QV__SNAPSHOT_WHOLE, from);
    for (int s = QV__SNAPSHOT_NEW; s <= QV__SNAPSHOT_GONE; s++) {
        qv__snapshot_dir(info.id, (enum qv__snapshot_state)s, to);
        OK(qv__io_rename(f->io, from, to, &f->err));
        struct found all = check(f, QV_OK);
        assert_true(all.surplus && !all.sound);
        OK(qv__io_rename(f->io, to, from, &f->err));
    }
    qv__snapshot_dir(info.id + 1, QV__SNAPSHOT_WHOLE, to);
    OK(qv__io_rename(f->io, from, to, &f->err));
    assert_non_null(strstr(check(f, QV_ECORRUPT).message, "is snapshot"));
    OK(qv__io_rename(f->io, to, "snapshots/mine", &f->err));
    check(f, QV_OK);
    finish(f);
}

/* --- records --- */

/* A sound record with this body, as the next of the log; gives its LSN. */
static uint64_t append(struct fix *f, uint32_t type, const void *p, size_t n)
{
    struct qv__bytes part = {p, n};
    uint64_t lsn = 0, durable = 0;
    OK(qv__log_append(f->db->log, type, &part, 1, &lsn, &f->err));
    OK(qv__log_flush(f->db->log, &durable, &f->err));
    return lsn;
}

/* The directory that a kill leaves, not opened again. */
static void kill_it(struct fix *f)
{
    struct qv__io *after = NULL;
    OK(qv__io_sim_crash(f->io, QV__CRASH_KEEP_ALL, NULL, &after, &f->err));
    qv__db_close(f->db, NULL);
    qv__io_close(f->io);
    f->io = after;
    f->options.io = after;
}

static void start(struct fix *f)
{
    fix_open(f, -1);
    make_collection(f, "c", 2);
    OK(qv__db_checkpoint(f->db, &f->err));
    make_collection(f, "d", 1); /* known by its record alone */
    struct qv__collection *c = fix_collection(f, "d");
    OK(put(f, c, 0, 5, 1));
    qv__collection_release(c);
}

/* Bodies that no writer makes; a start quarantines the collection, the check names the record. */
static void test_malformed_data(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 5; kind++) {
        struct fix fx, *f = &fx;
        struct qv__buf b;
        struct qv__db_info info;
        struct qv__effect e = {.kind = QV__EFFECT_DELETE, .id = qv__id_u64(7)};
        start(f);
        struct qv__collection *c = fix_collection(f, kind == 4 ? "d" : "c");
        struct qv__schema *s = qv__collection_schema(c);
        qv__buf_init(&b, f->mem);
        qv__record_begin(&b, c->id, kind == 1 ? 2 : 1);   /* 1: a part is missing */
        qv__record_part(&b, kind == 2 ? 9 : 0, s, &e, 1); /* 2: no such shard */
        if (kind == 0) {
            qv__buf_u8(&b, 1); /* surplus */
        } else if (kind >= 3) {
            b.p[10 + 1] = 77; /* no such effect */
        }
        uint64_t lsn = append(f, QV__REC_DATA, b.p, b.n);
        qv__schema_release(s);
        qv__collection_release(c);
        qv__buf_free(&b);
        kill_it(f);
        struct found all = check(f, QV_ECORRUPT);
        assert_int_equal(all.damaged, 1);
        assert_int_equal(all.lsn, lsn);
        assert_memory_equal(all.file, "log/log-", 8);
        assert_string_equal(all.collection, kind == 4 ? "d" : "c");
        OK(qv__db_open(&f->options, &f->db, &f->err));
        qv__db_info(f->db, &info);
        assert_int_equal(info.n_quarantined, 1);
        fix_close(f);
    }
}

/* Catalog records that say nothing a start could do: it is refused, and the check says why. */
static void test_malformed_catalog(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"op\":\"create\",\"id\":9,\"name\":\"x\"}",
        "{\"op\":\"create\",\"id\":9,\"name\":\"d\",\"schema\":{}}",
        "{\"op\":\"drop\"}",
        "{\"op\":\"schema\",\"id\":2,\"schema\":[]}",
        "{\"op\":\"aliases\",\"aliases\":{\"a\":1}}",
        "{\"op\":\"aliases\"}",
        "{\"op\":\"dance\"}",
        "{\"op\":",
    };
    for (size_t i = 0; i <= QV_ARRAY_LEN(bodies); i++) {
        struct fix fx, *f = &fx;
        bool other = i == QV_ARRAY_LEN(bodies); /* a record of no kind we know */
        const char *body = other ? "?" : bodies[i];
        start(f);
        uint64_t lsn = append(f, other ? 9 : QV__REC_CATALOG, body, strlen(body));
        kill_it(f);
        struct found all = check(f, QV_ECORRUPT);
        assert_int_equal(all.damaged, 1);
        assert_int_equal(all.lsn, lsn);
        assert_non_null(strstr(all.message, "a start is refused"));
        struct qv__db *db = NULL;
        assert_int_not_equal(qv__db_open(&f->options, &db, &f->err), QV_OK);
        finish(f);
    }
}

/* Records of collections that are gone, or of schemas that changed since, are no damage. */
static void test_sound_history(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    bool existed = false;
    uint64_t op = 0;
    struct qv__payload_index_def def = {
        .key = QV__STR("v"), .type = QV__STR("integer"), .params_json = QV__STR("")};
    start(f);
    struct qv__collection *c = fix_collection(f, "c");
    OK(put(f, c, 0, 5, 1));
    OK(qv__db_put_payload_index(f->db, QV__STR("c"), &def, &op, &f->err));
    OK(put(f, c, 5, 9, 2));
    qv__collection_release(c);
    OK(qv__db_drop_collection(f->db, QV__STR("d"), &existed, &f->err));
    make_collection(f, "d", 3);
    c = fix_collection(f, "d");
    OK(put(f, c, 0, 9, 3));
    qv__collection_release(c);
    kill_it(f);
    assert_true(check(f, QV_OK).n > 2);
    OK(qv__db_open(&f->options, &f->db, &f->err));
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_snapshot), cmocka_unit_test(test_leftover_snapshot),
        cmocka_unit_test(test_malformed_data),   cmocka_unit_test(test_malformed_catalog),
        cmocka_unit_test(test_sound_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
