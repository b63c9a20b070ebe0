/* test_alter.c: a collection that changes while it is in use: settings of its indexes, columns that
 * come and go and come back with another size. Stepped. */
#include <pthread.h>
#include <sched.h>

#include "alter_fixture.h"

/* Other graphs are made in the background; every answer meanwhile is right; the second column's
 * graph is not made again. */
static void test_index_settings(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    char reason[96] = "";
    size_t n = 0;
    uint64_t best = 0;
    fix_open(f, -1);
    struct qv__collection *c = make(f, 256);
    put(f, c, 0, 600, "ab", DIM);
    run(f);
    assert_int_equal(info_of(f, c).n_outdated, 0);
    assert_int_equal(last_reindex(f, reason), 0);
    set(f, "a", (struct qv__index_params){.m = 8, .ef_construct = 40}, false);
    assert_int_equal(info_of(f, c).n_outdated, 3); /* two files, and what grows has a graph */
    do {
        OK(search(f, c, "a", DIM, 17, &n, &best));
        assert_int_equal(n, 5);
        assert_int_equal(best, 17);
    } while (qv__db_step(f->db));
    assert_int_equal(info_of(f, c).n_outdated, 0);
    assert_true(last_reindex(f, reason) > 0);
    assert_string_equal(reason, "vector `a`: m 16 -> 8");
    assert_int_equal(having(f, c, "a"), 600);
    /* The same again is no change, and none is left by a restart. */
    uint64_t last = last_reindex(f, reason);
    set(f, "a", (struct qv__index_params){.m = 8, .ef_construct = 40}, false);
    run(f);
    assert_int_equal(last_reindex(f, reason), last);
    qv__collection_release(c);
    fix_reopen(f);
    c = fix_collection(f, "c");
    run(f);
    assert_int_equal(last_reindex(f, reason), 0);
    set(f, "a",
        (struct qv__index_params){.codes = QV__INDEX_CODES_INT8, .m = 8, .ef_construct = 40},
        false);
    run(f);
    assert_true(last_reindex(f, reason) > 0);
    assert_string_equal(reason, "vector `a`: walk over vectors -> int8");
    set(f, "a",
        (struct qv__index_params){.codes = QV__INDEX_CODES_NONE, .m = 8, .ef_construct = 40},
        false);
    run(f);
    (void)last_reindex(f, reason);
    assert_string_equal(reason, "vector `a`: walk over int8 -> vectors");
    uint64_t indexed = info_of(f, c).n_indexed;
    set(f, "a",
        (struct qv__index_params){
            .codes = QV__INDEX_CODES_NONE, .m = 8, .ef_construct = 40, .on_disk = true},
        false);
    run(f);
    (void)last_reindex(f, reason);
    assert_string_equal(reason, "vector `a`: graph memory -> disk");
    assert_int_equal(info_of(f, c).n_indexed, indexed);
    qv__collection_release(c);
    fix_reopen(f); /* files are opened as they shall lie */
    c = fix_collection(f, "c");
    run(f);
    assert_int_equal(last_reindex(f, reason), 0);
    assert_int_equal(info_of(f, c).n_outdated, 0);
    set(f, "a", (struct qv__index_params){.m = 8}, true);
    run(f);
    (void)last_reindex(f, reason);
    assert_string_equal(reason, "vector `a`: graph -> none");
    assert_int_equal(info_of(f, c).n_indexed, indexed / 2);
    OK(search(f, c, "a", DIM, 17, &n, &best));
    assert_int_equal(best, 17);
    set(f, "a", (struct qv__index_params){.m = 8}, false);
    run(f);
    (void)last_reindex(f, reason);
    assert_string_equal(reason, "vector `a`: no graph yet");
    assert_int_equal(info_of(f, c).n_indexed, indexed);
    stop(f, c);
}

/* Out of range, or of no vector: nothing changes. */
static void test_refused(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    fix_open(f, -1);
    struct qv__collection *c = make(f, 256);
    struct qv__vector_def def = {.name = QV__STR("a"), .index = {.m = 1}};
    struct qv__alter a = {.set = &def, .n_set = 1};
    assert_int_equal(qv__db_alter(f->db, QV__STR("c"), &a, NULL, &f->err), QV_EVALIDATION);
    def = (struct qv__vector_def){.name = QV__STR("x"), .index = {.m = 8}};
    assert_int_equal(qv__db_alter(f->db, QV__STR("c"), &a, NULL, &f->err), QV_EINVAL);
    assert_non_null(strstr(f->err.message, "Not existing vector name error: x"));
    assert_int_equal(qv__db_alter(f->db, QV__STR("d"), &a, NULL, &f->err), QV_ENOTFOUND);
    assert_int_equal(add(f, "a", 4), QV_EINVAL);
    assert_int_equal(add(f, "x", 0), QV_EVALIDATION);
    assert_int_equal(drop(f, "x"), QV_EINVAL);
    for (int i = 0; i < 14; i++) {
        char name[3] = {'n', (char)('a' + i), 0};
        OK(add(f, name, 2));
    }
    assert_int_equal(add(f, "one_too_many", 2), QV_EVALIDATION);
    stop(f, c);
}

/* An added column is absent in older points, searchable from the first write on; a dropped one is
 * gone at once, its bytes later. */
static void test_columns(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    char reason[96] = "";
    size_t n = 0;
    uint64_t best = 0;
    fix_open(f, -1);
    struct qv__collection *c = make(f, 128);
    put(f, c, 0, 300, "ab", DIM);
    run(f);
    OK(add(f, "x", DIM2));
    assert_int_equal(having(f, c, "x"), 0);
    OK(search(f, c, "x", DIM2, 1, &n, &best));
    assert_int_equal(n, 0);
    put(f, c, 300, 400, "x", DIM2);
    assert_int_equal(having(f, c, "x"), 100);
    OK(search(f, c, "x", DIM2, 333, &n, &best));
    assert_int_equal(n, 5);
    run(f);
    OK(drop(f, "a"));
    assert_int_equal(search(f, c, "a", DIM, 1, &n, &best), QV_EINVAL);
    uint64_t before = info_of(f, c).disk_bytes;
    run(f);
    assert_true(last_reindex(f, reason) > 0);
    assert_string_equal(reason, "vector `a` was dropped");
    assert_true(info_of(f, c).disk_bytes < before);
    assert_int_equal(info_of(f, c).n_outdated, 0);
    assert_int_equal(having(f, c, "b"), 300);
    assert_int_equal(having(f, c, "x"), 100);
    OK(qv__collection_optimize(c, 1, &f->err));
    assert_int_equal(having(f, c, "b"), 300);
    assert_int_equal(having(f, c, "x"), 100);
    stop(f, c);
}

/* A name that comes back is another column: nothing of the old one is seen through it, whether it
 * is in files, in memory, or in the log only, and whatever the sizes. */
static void test_name_comes_back(void **state)
{
    (void)state;
    static const unsigned dims[2] = {DIM2, DIM};
    for (unsigned k = 0; k < 8; k++) {
        struct fix fx, *f = &fx;
        struct qv__rng rng;
        qv__rng_seed(&rng, k);
        unsigned dim = dims[k & 1];
        fix_open(f, -1);
        struct qv__collection *c = make(f, 128);
        put(f, c, 0, 150, "ab", DIM);
        if (k & 2) {
            run(f);
        }
        put(f, c, 150, 160, "ab", DIM);
        OK(drop(f, "a"));
        put(f, c, 160, 170, "b", DIM);
        OK(add(f, "a", dim));
        assert_int_equal(having(f, c, "a"), 0);
        put(f, c, 400, 420, "a", dim);
        assert_int_equal(having(f, c, "a"), 20);
        if (k & 4) {
            /* The catalog is newer than the shard: replay meets records of the old column. */
            OK(qv__checkpoint_commit(f->db, &f->err));
        }
        for (int crash = 0; crash < 3; crash++) {
            qv__collection_release(c);
            fix_crash(f, crash == 1 ? QV__CRASH_KEEP_ALL : QV__CRASH_DROP_ALL, &rng);
            c = fix_collection(f, "c");
            assert_int_equal(having(f, c, "a"), 20);
            assert_int_equal(having(f, c, "b"), 170);
            run(f);
            assert_int_equal(having(f, c, "a"), 20);
        }
        OK(qv__collection_optimize(c, 1, &f->err));
        assert_int_equal(having(f, c, "a"), 20);
        assert_int_equal(having(f, c, "b"), 170);
        stop(f, c);
    }
}

/* A payload change carries the vectors of the row it replaces: those of the columns of now. */
static void test_payload_change(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__arena a;
    struct qv__rng rng;
    fix_open(f, -1);
    qv__rng_seed(&rng, 1);
    struct qv__collection *c = make(f, 128);
    put(f, c, 0, 100, "ab", DIM);
    OK(drop(f, "a"));
    OK(add(f, "a", DIM));
    qv__arena_init(&a, f->mem);
    struct qv__id ids[2] = {qv__id_u64(3), qv__id_u64(90)};
    fix_write(f, c,
              &(struct qv__mutation){.kind = QV__MUT_SET_PAYLOAD,
                                     .ids = ids,
                                     .n_ids = 2,
                                     .payload = fix_payload(f, &a, "{\"k\":1}")},
              1);
    qv__arena_free(&a);
    assert_int_equal(having(f, c, "a"), 0);
    assert_int_equal(having(f, c, "b"), 100);
    qv__collection_release(c);
    fix_crash(f, QV__CRASH_DROP_ALL, &rng);
    c = fix_collection(f, "c");
    assert_int_equal(having(f, c, "a"), 0);
    assert_int_equal(having(f, c, "b"), 100);
    stop(f, c);
}

/* What a reader of before the drop sees stays in the files until it has gone. */
static void test_old_reader(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    char reason[96];
    fix_open(f, -1);
    struct qv__collection *c = make(f, 128);
    put(f, c, 0, 128, "ab", DIM);
    OK(qv__collection_optimize(c, 1, &f->err));
    struct qv__reader_ticket ticket;
    qv__read_begin(f->db->commit, &ticket);
    struct qv__result_set rs;
    struct qv__qctx ctx = fix_ctx(f);
    struct qv__fetch fetch = {.vectors = QV__VECTORS_ALL};
    OK(qv__collection_scroll(c, NULL, 1000, NULL, &fetch, &ctx, &rs, &f->err));
    OK(drop(f, "a"));
    run(f);
    assert_int_equal(last_reindex(f, reason), 0);
    assert_int_equal(info_of(f, c).n_outdated, 1);
    qv__read_end(f->db->commit, &ticket);
    run(f);
    assert_int_equal(last_reindex(f, reason), 0); /* the results hold their view */
    assert_int_equal(rs.schema->n_vectors, 2);
    qv__result_free(&rs);
    run(f);
    assert_true(last_reindex(f, reason) > 0);
    assert_int_equal(info_of(f, c).n_outdated, 0);
    stop(f, c);
}

/* A snapshot that is being made keeps what its catalog names, whatever is dropped meanwhile; it
 * comes back with it, and what has the name by then does not mix with it. */
static void test_snapshot_meanwhile(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__snapshot_work *w = NULL;
    struct qv__snapshot_info info;
    bool done = false;
    fix_open(f, -1);
    struct qv__collection *c = make(f, 128);
    put(f, c, 0, 300, "ab", DIM);
    run(f);
    OK(qv__snapshot_begin(f->db, QV__STR("c"), &w, &f->err));
    OK(drop(f, "a"));
    OK(add(f, "a", DIM2));
    put(f, c, 300, 450, "a", DIM2);
    run(f);
    while (!done) {
        OK(qv__snapshot_step(w, &done, &f->err));
    }
    qv__snapshot_end(w, &info);
    run(f);
    assert_int_equal(info_of(f, c).n_outdated, 0); /* gone as soon as the snapshot let it */
    assert_int_equal(having(f, c, "a"), 150);
    struct qv__snapshot_from from = {.id = info.id};
    OK(qv__db_snapshot_recover(f->db, QV__STR("d"), &from, &f->err));
    for (int restarts = 0; restarts < 2; restarts++) {
        struct qv__collection *d = fix_collection(f, "d");
        assert_int_equal(having(f, d, "a"), 300);
        assert_int_equal(having(f, d, "b"), 300);
        qv__collection_release(d);
        run(f);
        qv__collection_release(c);
        fix_reopen(f);
        c = fix_collection(f, "c");
        assert_int_equal(having(f, c, "a"), 150);
    }
    stop(f, c);
}

/* --- threads --- */

struct crowd {
    struct fix *f;
    struct qv__collection *c;
    _Atomic bool stop;
    _Atomic unsigned writes, reads;
};

/* Points with b, and with x of whatever size there is by then. */
static void *write_on(void *arg)
{
    struct crowd *x = arg;
    float v[DIM];
    for (uint64_t id = 0; !atomic_load(&x->stop); id = (id + 1) % 500) {
        struct qv__schema *s = qv__collection_schema(x->c);
        int at = qv__schema_vector(s, QV__STR("x"));
        uint32_t dim = at < 0 ? 0 : s->vectors[at].dim;
        qv__schema_release(s);
        fill(v, id, DIM);
        struct qv__named_vector nv[2] = {{.name = QV__STR("b"), .values = v, .dim = DIM},
                                         {.name = QV__STR("x"), .values = v, .dim = dim}};
        struct qv__point p = {.id = qv__id_u64(id), .vectors = nv, .n_vectors = dim ? 2 : 1};
        struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = &p, .n_points = 1};
        struct qv_err err;
        qv_status st = qv__collection_write_sync(x->c, &m, 1, NULL, &err);
        /* The column may be another one by the time of the write. */
        if (st != QV_OK && st != QV_EINVAL) {
            fail_msg("write: %s", err.message);
        }
        atomic_fetch_add(&x->writes, 1);
    }
    return NULL;
}

/* Every vector that is seen is one that was written to a column of that size. */
static void *read_on(void *arg)
{
    struct crowd *x = arg;
    for (uint64_t i = 0; !atomic_load(&x->stop); i++) {
        struct qv__result_set rs;
        struct qv_err err;
        float q[DIM], want[DIM];
        struct qv__qctx ctx = fix_ctx(x->f);
        struct qv__fetch fetch = {.vectors = QV__VECTORS_ALL};
        fill(q, i % 500, DIM);
        struct qv__query query = {.kind = QV__QUERY_NEAREST,
                                  .using_vector = QV__STR("b"),
                                  .target = {.values = q, .dim = DIM},
                                  .limit = 5};
        if (qv__collection_query(x->c, &query, &fetch, &ctx, &rs, &err) != QV_OK) {
            fail_msg("search: %s", err.message);
        }
        int at = qv__schema_vector(rs.schema, QV__STR("x"));
        for (size_t k = 0; at >= 0 && k < rs.n; k++) {
            const float *v = rs.points[k].vectors[at];
            fill(want, rs.points[k].id.u, DIM);
            assert_true(!v || memcmp(v, want, rs.schema->vectors[at].dim * sizeof *v) == 0);
        }
        qv__result_free(&rs);
        atomic_fetch_add(&x->reads, 1);
    }
    return NULL;
}

static void test_crowd(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    pthread_t threads[4];
    fix_open(f, 2);
    struct qv__collection *c = make(f, 128);
    struct crowd x = {.f = f, .c = c};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, i < 2 ? write_on : read_on, &x), 0);
    }
    for (uint32_t i = 0; i < 24; i++) {
        unsigned writes = atomic_load(&x.writes), reads = atomic_load(&x.reads);
        OK(add(f, "x", 1 + i % DIM));
        set(f, "b", (struct qv__index_params){.m = 8 + i % 3}, false);
        while (atomic_load(&x.writes) < writes + 20 || atomic_load(&x.reads) < reads + 5) {
            sched_yield();
        }
        OK(drop(f, "x"));
    }
    atomic_store(&x.stop, true);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    OK(qv__collection_settle(c, 60000, &f->err));
    assert_int_equal(info_of(f, c).n_outdated, 0);
    stop(f, c);
}

/* Killed or cancelled half way: old or new, and the rest is done after a start. */
static void test_interrupted(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    struct qv__rng rng;
    char reason[96];
    size_t n = 0;
    uint64_t best = 0;
    fix_open(f, -1);
    qv__rng_seed(&rng, 5);
    struct qv__collection *c = make(f, 128);
    put(f, c, 0, 700, "ab", DIM);
    run(f);
    for (uint32_t m = 8; m < 14; m++) {
        set(f, "a", (struct qv__index_params){.m = m}, false);
        for (uint32_t steps = 0; steps + 8 < m && qv__db_step(f->db); steps++) {
        }
        qv__collection_release(c);
        fix_crash(f, m & 1 ? QV__CRASH_DROP_ALL : QV__CRASH_RANDOM, &rng);
        c = fix_collection(f, "c");
        OK(search(f, c, "a", DIM, 333, &n, &best));
        assert_int_equal(best, 333 % 101); /* vectors repeat */
        run(f);
        assert_int_equal(info_of(f, c).n_outdated, 0);
        assert_true(m > 8 || last_reindex(f, reason) > 0);
        assert_int_equal(having(f, c, "a"), 700);
    }
    stop(f, c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index_settings), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_columns),        cmocka_unit_test(test_name_comes_back),
        cmocka_unit_test(test_payload_change), cmocka_unit_test(test_old_reader),
        cmocka_unit_test(test_interrupted),    cmocka_unit_test(test_snapshot_meanwhile),
        cmocka_unit_test(test_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
