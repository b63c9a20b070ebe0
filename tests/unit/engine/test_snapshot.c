/* test_snapshot.c: snapshots of a collection and of the database: what they hold, and getting it
 * back. */
#include "snapshot_test.h"

/* What a snapshot holds, by recovering it as another collection. */
static uint64_t digest_of_snapshot(struct fix *f, const struct qv__snapshot_info *info,
                                   uint64_t *count)
{
    struct qv__snapshot_from from = {.id = info->id, .sha256 = info->sha256};
    OK(qv__db_snapshot_recover(f->db, QV__STR("look"), &from, &f->err));
    return digest_of(f, "look", count);
}

static void test_one_collection(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__snapshot_info info, found;
    uint64_t n = 0;
    fix_open(f, -1);
    make_collection(f, "c", 3);
    struct qv__collection *c = fix_collection(f, "c");
    OK(put(f, c, 0, 100, 1));
    del(f, c, 10, 20);
    drain(f);
    OK(put(f, c, 50, 60, 2));
    uint64_t before = digest(f, c, &n);
    assert_int_equal(n, 90);

    OK(qv__db_snapshot_create(f->db, QV__STR("c"), &info, &f->err));
    assert_false(info.whole_database);
    assert_string_equal(info.collection, "c");
    assert_int_equal(strncmp(info.name, "c-", 2), 0);
    assert_non_null(strstr(info.name, ".snapshot"));
    assert_int_equal(strlen(info.created), 19);
    assert_int_equal(n_snapshots(f), 1);
    OK(qv__db_snapshot_find(f->db, qv__str_z(info.name), NULL, false, &found, &f->err));
    assert_memory_equal(found.sha256, info.sha256, sizeof info.sha256);
    assert_int_equal(found.bytes, info.bytes);
    assert_int_equal(qv__db_snapshot_find(f->db, qv__str_z(info.name), NULL, true, &found, &f->err),
                     QV_ENOTFOUND);
    assert_int_equal(qv__db_snapshot_find(f->db, qv__str_z(info.name), &QV__STR("other"), false,
                                          &found, &f->err),
                     QV_ENOTFOUND);

    /* What happens afterwards is not in it, and recovering brings back what was. */
    OK(put(f, c, 0, 200, 3));
    del(f, c, 60, 90);
    OK(qv__collection_optimize(c, 1, &f->err));
    assert_int_not_equal(digest(f, c, NULL), before);
    assert_int_equal(digest_of_snapshot(f, &info, &n), before);
    assert_int_equal(n, 90);
    struct qv__snapshot_from from = {.id = info.id};
    OK(qv__db_snapshot_recover(f->db, QV__STR("c"), &from, &f->err));
    assert_int_equal(digest_of(f, "c", NULL), before);
    /* Who still holds the old one is told so. */
    assert_int_equal(put(f, c, 0, 1, 9), QV_ENOTFOUND);
    qv__collection_release(c);

    /* The new one is a collection like any other. */
    c = fix_collection(f, "c");
    OK(put(f, c, 5, 15, 4));
    uint64_t after = digest(f, c, NULL);
    drain(f);
    OK(qv__collection_optimize(c, 1, &f->err));
    qv__collection_release(c);
    fix_crash(f, QV__CRASH_DROP_ALL, NULL);
    assert_int_equal(digest_of(f, "c", NULL), after);
    assert_int_equal(digest_of(f, "look", NULL), before);
    assert_int_equal(n_snapshots(f), 1);
    fix_reopen(f);
    assert_int_equal(digest_of(f, "c", NULL), after);

    OK(qv__db_snapshot_delete(f->db, info.id, &f->err));
    assert_int_equal(n_snapshots(f), 0);
    assert_int_equal(qv__db_snapshot_delete(f->db, info.id, &f->err), QV_ENOTFOUND);
    assert_int_equal(n_leftovers(f), 0);
    fix_close(f);
}

/* Every request writes one value to every shard; a cut in the middle of one would show two. */
static void test_cut_is_exact(void **state)
{
    (void)state;
    for (unsigned late = 0; late < 14; late++) {
        struct fix fx, *f = &fx;
        struct qv__snapshot_work *w = NULL;
        struct qv__snapshot_info info;
        bool done = false;
        unsigned steps = 0;
        uint64_t n = 0, value = 1;
        fix_open(f, -1);
        make_collection(f, "c", 3);
        struct qv__collection *c = fix_collection(f, "c");
        for (; value < 4; value++) {
            OK(put(f, c, 0, 30, value));
        }
        drain(f);
        uint64_t at_cut = digest(f, c, NULL);
        OK(qv__snapshot_begin(f->db, QV__STR("c"), &w, &f->err));
        while (!done) {
            if (steps++ % 14 == late || late > 10) { /* between any two steps, or all the time */
                OK(put(f, c, 0, 30, ++value));
                OK(put(f, c, 1000 + value * 10, 1005 + value * 10, value));
                del(f, c, 0, 3);
                OK(qv__collection_optimize(c, 1, &f->err));
            }
            OK(qv__snapshot_step(w, &done, &f->err));
        }
        qv__snapshot_end(w, &info);
        assert_int_equal(digest_of_snapshot(f, &info, &n), at_cut);
        assert_int_equal(n, 30);
        qv__collection_release(c);
        fix_close(f);
    }
}

struct writer {
    struct fix f; /* a copy: with its own place for errors */
    struct qv__collection *c;
    _Atomic bool stop;
    _Atomic unsigned rounds;
};

static void write_on(void *arg)
{
    struct writer *w = arg;
    for (uint64_t v = 1; !atomic_load(&w->stop) && v < 2000; v++) {
        if (put(&w->f, w->c, 0, 24, v) != QV_OK) {
            abort();
        }
        atomic_fetch_add(&w->rounds, 1);
    }
}

/* Snapshots while another thread writes: each holds one write, whole. */
static void test_while_writing(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__thread thread;
    fix_open(f, 2);
    make_collection(f, "c", 3);
    struct writer w = {.f = *f, .c = fix_collection(f, "c")};
    OK(put(f, w.c, 0, 24, 0));
    OK(qv__thread_start(&thread, "writer", write_on, &w, &f->err));
    for (int round = 0; round < 2 || atomic_load(&w.rounds) == 0; round++) {
        struct qv__snapshot_info info;
        struct qv__fetch fetch = {.payload = {.kind = QV__SELECT_ALL}};
        struct qv__qctx ctx = fix_ctx(f);
        struct qv__result_set rs;
        OK(qv__db_snapshot_create(f->db, QV__STR("c"), &info, &f->err));
        struct qv__snapshot_from from = {.id = info.id};
        OK(qv__db_snapshot_recover(f->db, QV__STR("look"), &from, &f->err));
        struct qv__collection *look = fix_collection(f, "look");
        OK(qv__collection_scroll(look, NULL, 1000, NULL, &fetch, &ctx, &rs, &f->err));
        assert_int_equal(rs.n, 24);
        for (size_t i = 1; i < rs.n; i++) {
            assert_int_equal(rs.points[i].payload.n, rs.points[0].payload.n);
            assert_memory_equal(rs.points[i].payload.p, rs.points[0].payload.p,
                                rs.points[0].payload.n);
        }
        qv__result_free(&rs);
        qv__collection_release(look);
        OK(qv__db_snapshot_delete(f->db, info.id, &f->err));
    }
    atomic_store(&w.stop, true);
    qv__thread_join(&thread);
    qv__collection_release(w.c);
    fix_close(f);
}

/* A container goes to another database, whose LSNs are not as far. */
static void test_container(void **state)
{
    (void)state;
    struct fix fx, *f = &fx, gx, *g = &gx;
    struct qv__snapshot_info info;
    uint8_t wrong[QV__SHA256_BYTES] = {1};
    fix_open(f, -1);
    fix_open(g, -1);
    make_collection(f, "c", 3);
    struct qv__collection *c = fix_collection(f, "c");
    for (uint64_t i = 0; i < 20; i++) {
        OK(put(f, c, i, i + 10, i));
    }
    del(f, c, 3, 6);
    uint64_t want = digest(f, c, NULL);
    qv__collection_release(c);
    OK(qv__db_snapshot_create(f->db, QV__STR("c"), &info, &f->err));
    save_container(f, info.id, g->io, "upload");
    assert_int_equal(file_bytes(f, g->io, "upload"), info.bytes);

    struct qv__snapshot_from from = {.file = "upload", .bytes = info.bytes, .sha256 = wrong};
    assert_int_equal(qv__db_snapshot_recover(g->db, QV__STR("d"), &from, &g->err), QV_ECONFLICT);
    from.sha256 = info.sha256;
    OK(qv__db_snapshot_recover(g->db, QV__STR("d"), &from, &g->err));
    assert_int_equal(digest_of(g, "d", NULL), want);
    c = fix_collection(g, "d");
    OK(put(g, c, 3, 5, 77));
    uint64_t after = digest(g, c, NULL);
    assert_int_not_equal(after, want);
    qv__collection_release(c);
    fix_crash(g, QV__CRASH_DROP_ALL, NULL);
    assert_int_equal(digest_of(g, "d", NULL), after);

    /* Names that cannot be a collection's. */
    save_container(f, info.id, g->io, "upload");
    assert_int_equal(qv__db_snapshot_recover(g->db, QV__STR("../d"), &from, &g->err),
                     QV_EVALIDATION);
    assert_int_equal(qv__db_snapshot_recover(g->db, QV__STR(""), &from, &g->err), QV_EVALIDATION);
    struct qv__alias_action a = {
        .kind = QV__ALIAS_CREATE, .alias = QV__STR("other"), .collection = QV__STR("d")};
    OK(qv__db_update_aliases(g->db, &a, 1, &g->err));
    assert_int_equal(qv__db_snapshot_recover(g->db, QV__STR("other"), &from, &g->err), QV_EINVAL);
    /* Aliases stay with the name. */
    OK(qv__db_snapshot_recover(g->db, QV__STR("d"), &from, &g->err));
    assert_int_equal(digest_of(g, "other", NULL), want);
    fix_close(f);
    fix_close(g);
}

/* The whole database, cut while it changes, in a fresh directory. */
static void test_database(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__snapshot_work *w = NULL;
    struct qv__snapshot_info info, got;
    struct qv__io *to = NULL;
    bool done = false;
    fix_open(f, -1);
    make_collection(f, "a", 1);
    make_collection(f, "b", 3);
    struct qv__collection *a = fix_collection(f, "a"), *b = fix_collection(f, "b");
    struct qv__alias_action alias = {
        .kind = QV__ALIAS_CREATE, .alias = QV__STR("second"), .collection = QV__STR("b")};
    OK(qv__db_update_aliases(f->db, &alias, 1, &f->err));
    OK(put(f, a, 0, 40, 1));
    OK(put(f, b, 0, 40, 2));
    uint64_t want_a = digest(f, a, NULL), want_b = digest(f, b, NULL);
    OK(qv__snapshot_begin(f->db, QV__STR(""), &w, &f->err));
    uint64_t value = 10;
    while (!done) { /* after the cut everything changes, catalog and all */
        OK(put(f, a, 0, 10, ++value));
        OK(put(f, b, 0, 10, value));
        if (value == 12) {
            make_collection(f, "late", 1);
            alias.kind = QV__ALIAS_DELETE;
            OK(qv__db_update_aliases(f->db, &alias, 1, &f->err));
        } else if (value == 13) {
            bool existed;
            OK(qv__db_drop_collection(f->db, QV__STR("late"), &existed, &f->err));
        }
        OK(qv__snapshot_step(w, &done, &f->err));
    }
    qv__snapshot_end(w, &info);
    assert_true(info.whole_database);
    assert_int_equal(strncmp(info.name, "full-snapshot-", 14), 0);
    qv__collection_release(a);
    qv__collection_release(b);

    struct qv__snapshot_from back = {.id = info.id};
    assert_int_equal(qv__db_snapshot_recover(f->db, QV__STR("a"), &back, &f->err), QV_EINVAL);

    for (int as_directory = 0; as_directory < 2; as_directory++) {
        char dir[64];
        OK(qv__io_sim_open(f->mem, &to, &f->err));
        qv__snapshot_dir(info.id, QV__SNAPSHOT_WHOLE, dir);
        save_container(f, info.id, f->io, "file");
        struct qv__restore_options o = {.from = f->io,
                                        .path = as_directory ? dir : "file",
                                        .is_directory = as_directory,
                                        .to = to,
                                        .mem = f->mem,
                                        .sha256 = info.sha256};
        OK(qv__db_restore(&o, &got, &f->err));
        assert_int_equal(got.lsn, info.lsn);
        /* Not into what is there. */
        assert_int_equal(qv__db_restore(&o, &got, &f->err), QV_EEXISTS);

        struct fix gx = *f, *g = &gx;
        g->io = g->options.io = to;
        OK(qv__db_open(&g->options, &g->db, &g->err));
        assert_int_equal(digest_of(g, "a", NULL), want_a);
        assert_int_equal(digest_of(g, "b", NULL), want_b);
        assert_int_equal(digest_of(g, "second", NULL), want_b);
        struct qv__collection *c = NULL;
        assert_int_equal(qv__db_collection(g->db, QV__STR("late"), &c, &g->err), QV_ENOTFOUND);
        /* LSNs go on where they were. */
        struct qv__db_info di;
        qv__db_info(g->db, &di);
        assert_int_equal(di.published_lsn, info.lsn);
        c = fix_collection(g, "a");
        OK(put(g, c, 100, 120, 5));
        uint64_t after = digest(g, c, NULL);
        qv__collection_release(c);
        fix_crash(g, QV__CRASH_DROP_ALL, NULL);
        assert_int_equal(digest_of(g, "a", NULL), after);
        OK(qv__db_close(g->db, &g->err));
        qv__io_close(g->io);
    }
    fix_close(f);
}

/* A collection's snapshot is a database of one collection, too. */
static void test_restore_one_collection(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__snapshot_info info;
    char dir[64];
    fix_open(f, -1);
    make_collection(f, "c", 2);
    struct qv__collection *c = fix_collection(f, "c");
    OK(put(f, c, 0, 50, 1));
    uint64_t want = digest(f, c, NULL);
    qv__collection_release(c);
    OK(qv__db_snapshot_create(f->db, QV__STR("c"), &info, &f->err));
    struct qv__io *to = NULL;
    OK(qv__io_sim_open(f->mem, &to, &f->err));
    qv__snapshot_dir(info.id, QV__SNAPSHOT_WHOLE, dir);
    struct qv__restore_options o = {
        .from = f->io, .path = dir, .is_directory = true, .to = to, .mem = f->mem};
    OK(qv__db_restore(&o, NULL, &f->err));
    struct fix gx = *f, *g = &gx;
    g->io = g->options.io = to;
    OK(qv__db_open(&g->options, &g->db, &g->err));
    assert_int_equal(digest_of(g, "c", NULL), want);
    OK(qv__db_close(g->db, &g->err));
    qv__io_close(g->io);
    fix_close(f);
}

/* Empty ones, and collections that go while they are cut. */
static void test_empty_and_dropped(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__snapshot_info info;
    struct qv__snapshot_work *w = NULL;
    bool existed = false, done = false;
    uint64_t n = 0;
    fix_open(f, -1);
    assert_int_equal(qv__db_snapshot_create(f->db, QV__STR("c"), &info, &f->err), QV_ENOTFOUND);
    OK(qv__db_snapshot_create(f->db, QV__STR(""), &info, &f->err));
    make_collection(f, "c", 3);
    OK(qv__db_snapshot_create(f->db, QV__STR("c"), &info, &f->err));
    (void)digest_of_snapshot(f, &info, &n);
    assert_int_equal(n, 0);
    struct qv__collection *c = fix_collection(f, "c");
    OK(put(f, c, 0, 64, 1));
    uint64_t want = digest(f, c, NULL);
    qv__collection_release(c);
    OK(qv__snapshot_begin(f->db, QV__STR("c"), &w, &f->err));
    OK(qv__snapshot_step(w, &done, &f->err));
    OK(qv__db_drop_collection(f->db, QV__STR("c"), &existed, &f->err));
    while (!done) {
        OK(qv__snapshot_step(w, &done, &f->err));
    }
    qv__snapshot_end(w, &info);
    assert_int_equal(digest_of_snapshot(f, &info, NULL), want);
    /* Its name is free, and its snapshot brings it back. */
    struct qv__snapshot_from from = {.id = info.id};
    OK(qv__db_snapshot_recover(f->db, QV__STR("c"), &from, &f->err));
    assert_int_equal(digest_of(f, "c", NULL), want);
    /* One that is given up leaves nothing. */
    OK(qv__snapshot_begin(f->db, QV__STR("c"), &w, &f->err));
    OK(qv__snapshot_step(w, &done, &f->err));
    unsigned before = n_snapshots(f);
    assert_true(n_leftovers(f) > 0);
    qv__snapshot_end(w, NULL);
    assert_int_equal(n_leftovers(f), 0);
    assert_int_equal(n_snapshots(f), before);
    fix_close(f);
}

/* One that is deleted while it is read is read to its end, and then gone. */
static void test_deleted_while_read(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__snapshot_info info;
    struct qv__snapshot_stream *s = NULL;
    struct qv__sha256 sum;
    uint8_t block[300], digest_now[QV__SHA256_BYTES];
    fix_open(f, -1);
    make_collection(f, "c", 2);
    struct qv__collection *c = fix_collection(f, "c");
    OK(put(f, c, 0, 60, 1));
    qv__collection_release(c);
    OK(qv__db_snapshot_create(f->db, QV__STR("c"), &info, &f->err));
    OK(qv__snapshot_stream_open(f->db, info.id, &s, &f->err));
    qv__sha256_init(&sum);
    for (uint64_t at = 0; at < info.bytes;) {
        size_t got = 0;
        if (at == 600) {
            OK(qv__db_snapshot_delete(f->db, info.id, &f->err));
            assert_int_equal(n_snapshots(f), 0);
        }
        size_t n = at < 600 ? (size_t)QV_MIN((uint64_t)sizeof block, 600 - at) : sizeof block;
        OK(qv__snapshot_stream_read(s, at, block, n, &got, &f->err));
        qv__sha256_add(&sum, block, got);
        at += got;
    }
    qv__sha256_end(&sum, digest_now);
    assert_memory_equal(digest_now, info.sha256, sizeof digest_now);
    assert_true(n_leftovers(f) > 0);
    qv__snapshot_stream_close(s);
    assert_int_equal(n_leftovers(f), 0);
    /* What a crash leaves of a deletion is cleared away. */
    OK(qv__db_snapshot_create(f->db, QV__STR("c"), &info, &f->err));
    OK(qv__snapshot_stream_open(f->db, info.id, &s, &f->err));
    OK(qv__db_snapshot_delete(f->db, info.id, &f->err));
    struct qv__io *after = NULL;
    OK(qv__io_sim_crash(f->io, QV__CRASH_DROP_ALL, NULL, &after, &f->err));
    qv__snapshot_stream_close(s);
    OK(qv__db_close(f->db, &f->err));
    qv__io_close(f->io);
    f->io = f->options.io = after;
    assert_true(n_leftovers(f) > 0);
    OK(qv__db_open(&f->options, &f->db, &f->err));
    assert_int_equal(n_leftovers(f), 0);
    assert_int_equal(n_snapshots(f), 0);
    fix_close(f);
}

/* The one job of a kind that is under way, or ended last. */
static struct qv__job_info job_of(struct fix *f, enum qv__job_kind kind, bool ended)
{
    struct qv__job_info jobs[4];
    size_t n = qv__db_jobs(f->db, NULL, ended, jobs, QV_ARRAY_LEN(jobs));
    for (size_t i = 0; i < n; i++) {
        if (jobs[i].kind == kind) {
            return jobs[i];
        }
    }
    fail_msg("no job of kind %s", qv__job_kind_name(kind));
    return jobs[0];
}

static void cancel_recovery(void *arg)
{
    struct fix *f = arg;
    struct qv__job_info j;
    if (qv__db_jobs(f->db, NULL, false, &j, 1) == 1 && j.kind == QV__JOB_RECOVER) {
        OK(qv__db_cancel_job(f->db, NULL, j.id, &f->err));
    }
}

/* Making one is a job: it says how far it is, and ends when told to, at any step, without a trace.
 */
static void test_jobs(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__snapshot_info info;
    fix_open(f, -1);
    make_collection(f, "c", 2);
    struct qv__collection *c = fix_collection(f, "c");
    OK(put(f, c, 0, 60, 1));
    bool done = false;
    for (unsigned steps = 0; !done; steps++) {
        struct qv__snapshot_work *w = NULL;
        OK(qv__snapshot_begin(f->db, QV__STR("c"), &w, &f->err));
        for (unsigned i = 0; i < steps && !done; i++) {
            OK(qv__snapshot_step(w, &done, &f->err));
        }
        struct qv__job_info j = job_of(f, QV__JOB_SNAPSHOT, false);
        assert_string_equal(j.collection, "c");
        assert_true(j.done <= j.total);
        if (!done) {
            bool ignored;
            OK(qv__db_cancel_job(f->db, c, j.id, &f->err));
            assert_int_equal(qv__snapshot_step(w, &ignored, &f->err), QV_ECANCELLED);
        }
        qv__snapshot_end(w, &info);
        j = job_of(f, QV__JOB_SNAPSHOT, true);
        assert_int_equal(j.status, done ? QV_OK : QV_ECANCELLED);
        assert_int_equal(n_snapshots(f), done);
        assert_int_equal(qv__db_jobs(f->db, c, false, &j, 1), 0);
    }
    struct qv__snapshot_from from = {.id = info.id};
    uint64_t before = digest(f, c, NULL);
    qv__io_sim_watch(f->io, cancel_recovery, f); /* when the first of its files is written */
    assert_int_equal(qv__db_snapshot_recover(f->db, QV__STR("c"), &from, &f->err), QV_ECANCELLED);
    qv__io_sim_watch(f->io, NULL, NULL);
    struct qv__job_info j = job_of(f, QV__JOB_RECOVER, true);
    assert_int_equal(j.status, QV_ECANCELLED);
    assert_int_equal(digest_of(f, "c", NULL), before);
    OK(put(f, c, 0, 1, 1)); /* still the same collection */
    OK(qv__db_snapshot_recover(f->db, QV__STR("c"), &from, &f->err));
    j = job_of(f, QV__JOB_RECOVER, true);
    assert_int_equal(j.status, QV_OK);
    assert_string_equal(j.collection, "c");
    qv__collection_release(c);
    fix_close(f);
}

struct creator {
    struct fix f;
    uint32_t n;
};

static void create_many(void *arg)
{
    struct creator *k = arg;
    char name[16];
    for (uint32_t i = 0; i < k->n; i++) {
        snprintf(name, sizeof name, "new%u", i);
        make_collection(&k->f, name, 1);
    }
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Collections that are made while others are recovered: each has an id of its own. */
static void test_ids_are_ones_own(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__thread thread;
    struct qv__snapshot_info info;
    fix_open(f, 2);
    make_collection(f, "c", 1);
    struct qv__collection *c = fix_collection(f, "c"), **all = NULL;
    OK(put(f, c, 0, 4, 0));
    qv__collection_release(c);
    OK(qv__db_snapshot_create(f->db, QV__STR("c"), &info, &f->err));
    struct creator k = {.f = *f, .n = 300};
    OK(qv__thread_start(&thread, "creator", create_many, &k, &f->err));
    for (uint32_t i = 0; i < 100; i++) {
        char name[16];
        struct qv__snapshot_from from = {.id = info.id};
        snprintf(name, sizeof name, "old%u", i);
        OK(qv__db_snapshot_recover(f->db, qv__str_z(name), &from, &f->err));
    }
    qv__thread_join(&thread);
    uint32_t n = 0;
    OK(qv__catalog_all(f->db, &all, &n, &f->err));
    assert_int_equal(n, 1 + 300 + 100);
    uint64_t ids[401];
    for (uint32_t i = 0; i < n; i++) {
        ids[i] = all[i]->id;
    }
    qv__catalog_all_free(all, n);
    qsort(ids, n, sizeof *ids, by_value);
    for (uint32_t i = 1; i < n; i++) {
        assert_true(ids[i - 1] < ids[i]);
    }
    fix_close(f);
}

/* What grows in a collection that is quarantined after the snapshot began is not flushed: that ends
 * the snapshot, and nothing else. */
static void test_quarantined_meanwhile(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__snapshot_work *w = NULL;
    bool done = false;
    fix_open(f, -1);
    make_collection(f, "c", 1);
    struct qv__collection *c = fix_collection(f, "c");
    OK(put(f, c, 0, 4, 0));
    OK(qv__snapshot_begin(f->db, QV__STR(""), &w, &f->err));
    atomic_store(&c->quarantined, true);
    assert_int_equal(qv__snapshot_step(w, &done, &f->err), QV_EQUARANTINED);
    qv__snapshot_end(w, NULL);
    assert_int_equal(n_snapshots(f), 0);
    atomic_store(&c->quarantined, false);
    qv__collection_release(c);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_collection),
        cmocka_unit_test(test_cut_is_exact),
        cmocka_unit_test(test_while_writing),
        cmocka_unit_test(test_container),
        cmocka_unit_test(test_database),
        cmocka_unit_test(test_restore_one_collection),
        cmocka_unit_test(test_empty_and_dropped),
        cmocka_unit_test(test_deleted_while_read),
        cmocka_unit_test(test_jobs),
        cmocka_unit_test(test_ids_are_ones_own),
        cmocka_unit_test(test_quarantined_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
