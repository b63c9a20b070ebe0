/* test_check.c: what the offline check says of snapshots and of what log records mean; that it says
 * the same as a start, and changes nothing. */
#include "engine/dump.h"
#include "snapshot_test.h"
#include "store/log_local.h"

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

/* --- the end of the log --- */

static void find_segment(void *arg, const char *name, uint64_t bytes)
{
    struct file *o = arg;
    if (strncmp(name, "blobs/seg-", 10) == 0) {
        snprintf(o->name, sizeof o->name, "%s", name);
        o->bytes = bytes;
    }
}

/* Overwrite a part of a file; NULL = zeros. */
static void overwrite(struct fix *f, const char *name, const void *p, size_t n, uint64_t at)
{
    struct qv__file *file = NULL;
    void *zeros = qv__zalloc(f->mem, n);
    OK(qv__io_open(f->io, name, QV__OPEN_WRITE, &file, &f->err));
    OK(qv__io_pwrite(file, p ? p : zeros, n, at, &f->err));
    OK(qv__io_file_close(file, &f->err));
    qv__free(zeros);
}

/* A database that was closed, whose log has records; all are in its segments. */
static void closed(struct fix *f)
{
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema schema = fix_schema(&def, 1, 1);
    fix_open(f, -1);
    OK(qv__db_create_collection(f->db, QV__STR("c"), &schema, &f->err));
    struct qv__collection *c = fix_collection(f, "c");
    for (uint64_t i = 0; i < 50; i++) {
        OK(put(f, c, i, i + 1, 1));
    }
    qv__collection_release(c);
    OK(qv__db_close(f->db, &f->err));
}

static void refused(struct fix *f, qv_status want)
{
    struct qv__db *db = NULL;
    assert_int_equal(qv__db_open(&f->options, &db, &f->err), want);
}

/* A log without a record that is left, beside other damage or alone. */
static void test_emptied_log(void **state)
{
    (void)state;
    for (int both = 0; both < 2; both++) {
        struct fix fx, *f = &fx;
        closed(f);
        check(f, QV_OK);
        struct file log = first(f, "log/"), seg = {.name = ""};
        overwrite(f, log.name, NULL, (size_t)log.bytes - 4096, 4096);
        OK(qv__io_sim_list(f->io, find_segment, &seg, &f->err));
        if (both) {
            OK(qv__io_sim_flip(f->io, seg.name, seg.bytes / 2, 1));
        }
        struct found all = check(f, QV_ECORRUPT);
        assert_int_equal(all.damaged, both + 1);
        assert_string_equal(all.file, "log");
        assert_non_null(strstr(all.message, "were durable once"));
        refused(f, QV_ECORRUPT);
        finish(f);
    }
}

static void keep_report(void *arg, const struct qv__log_file_report *r)
{
    *(struct qv__log_file_report *)arg = *r;
}

static void look_for_damage(void *arg, struct qv__str json)
{
    static const char says[] = "is damaged: end of what was flushed";
    *(bool *)arg |= memmem(json.p, json.n, says, sizeof says - 1) != NULL;
}

/* A page keeps what it had when the database was closed before, with the mark of that time: what
 * was written over it is lost, and records behind it say that it was durable. */
static void test_write_lost_over_a_mark(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__log_file_report r;
    struct qv__file *file = NULL;
    struct qv__dump_options log_only = {.log = true};
    uint8_t page[4096];
    bool told = false;
    closed(f);
    OK(qv__log_local_check(f->io, QV__DIR_LOG, f->mem, keep_report, NULL, &r, &f->err));
    struct file log = first(f, "log/");
    uint64_t at = r.valid_bytes & ~(uint64_t)4095;
    OK(qv__io_open(f->io, log.name, QV__OPEN_READ, &file, &f->err));
    OK(qv__io_pread(file, page, sizeof page, at, &f->err));
    qv__io_file_close(file, NULL);
    OK(qv__db_open(&f->options, &f->db, &f->err));
    struct qv__collection *c = fix_collection(f, "c");
    for (uint64_t i = 0; i < 150; i++) {
        OK(put(f, c, 1000 + i, 1001 + i, 2)); /* nothing to reclaim: no checkpoint */
    }
    qv__collection_release(c);
    kill_it(f);
    check(f, QV_OK);
    overwrite(f, log.name, page, sizeof page, at);
    struct found all = check(f, QV_ECORRUPT);
    assert_int_equal(all.damaged, 1);
    assert_string_equal(all.file, log.name);
    assert_int_equal(all.lsn, r.last_lsn + 1);
    OK(qv__db_dump(f->io, f->mem, &log_only, look_for_damage, &told, &f->err));
    assert_true(told);
    refused(f, QV_ECORRUPT);
    finish(f);
}

static void gather(void *arg, const char *name, uint64_t bytes)
{
    struct qv__buf *b = arg;
    (void)bytes;
    qv__buf_put(b, name, strlen(name) + 1);
}

/* Remove all files whose names begin so. */
static void remove_all(struct fix *f, const char *prefix)
{
    struct qv__buf names;
    qv__buf_init(&names, f->mem);
    OK(qv__io_sim_list(f->io, gather, &names, &f->err));
    for (size_t at = 0; at < names.n; at += strlen((const char *)names.p + at) + 1) {
        const char *name = (const char *)names.p + at;
        if (strncmp(name, prefix, strlen(prefix)) == 0) {
            OK(qv__io_unlink(f->io, name, &f->err));
        }
    }
    qv__buf_free(&names);
}

static void test_no_log(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    closed(f);
    remove_all(f, "log/");
    for (int gone = 0; gone < 2; gone++) { /* its directory, too */
        struct found all = check(f, QV_ECORRUPT);
        assert_int_equal(all.damaged, 1);
        assert_non_null(strstr(all.message, "all log files are missing"));
        refused(f, QV_ECORRUPT);
        (void)!qv__io_rmdir(f->io, QV__DIR_LOG, &f->err);
    }
    finish(f);
}

/* What a restore leaves that was interrupted is refused by every start. */
static void test_unfinished_restore(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    closed(f);
    remove_all(f, "log/");
    remove_all(f, "manifest-");
    remove_all(f, "CURRENT");
    assert_int_equal(check(f, QV_OK).damaged, 0);
    OK(qv__io_write_file(f->io, "RESTORING", "", 0, &f->err));
    struct found all = check(f, QV_ECORRUPT);
    assert_int_equal(all.damaged, 1);
    assert_string_equal(all.file, "RESTORING");
    refused(f, QV_ECORRUPT);
    finish(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_snapshot),
        cmocka_unit_test(test_leftover_snapshot),
        cmocka_unit_test(test_malformed_data),
        cmocka_unit_test(test_malformed_catalog),
        cmocka_unit_test(test_sound_history),
        cmocka_unit_test(test_emptied_log),
        cmocka_unit_test(test_no_log),
        cmocka_unit_test(test_write_lost_over_a_mark),
        cmocka_unit_test(test_unfinished_restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
