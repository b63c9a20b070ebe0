/* test_faults.c: the n-th allocation and the n-th I/O call fail, for every n until nothing fails
 * any more.
 *
 * After a failed request nothing of it may be seen; after a crash that follows, everything
 * acknowledged must be there. The database runs stepped, so that every run makes the same calls. */
#include "engine_fixture.h"

#define DIM  4
#define BASE 40u

static void make(struct fix *f)
{
    fix_open(f, -1);
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema s = fix_schema(&def, 1, 2);
    s.policy = (struct qv__segment_policy){.seal_rows = 16, .index_rows = 16, .merge_fanin = 2};
    OK(qv__db_create_collection(f->db, QV__STR("c"), &s, &f->err));
}

static qv_status upsert(struct fix *f, struct qv__collection *c, uint64_t from, uint64_t to,
                        const char *json)
{
    struct qv__arena a;
    float v[DIM] = {0};
    struct qv__mem *mem = f->mem;
    qv__arena_init(&a, mem);
    struct qv__bytes payload = fix_payload(f, &a, json);
    struct qv__point *p = qv__arena_calloc(&a, (size_t)(to - from), sizeof *p);
    struct qv__named_vector nv = {.name = QV__STR(""), .values = v, .dim = DIM};
    for (uint64_t i = from; i < to; i++) {
        p[i - from] = (struct qv__point){
            .id = qv__id_u64(i), .vectors = &nv, .n_vectors = 1, .payload = payload};
    }
    struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = p, .n_points = (size_t)(to - from)};
    struct qv__write_result r;
    qv_status st = qv__collection_write_sync(c, &m, 1, &r, &f->err);
    qv__arena_free(&a);
    return st;
}

static uint64_t count(struct fix *f, struct qv__collection *c, const char *filter)
{
    struct qv__arena a;
    uint64_t n = 0;
    qv__arena_init(&a, f->mem);
    struct qv__qctx ctx = {.clock = qv__clock_system(), .mem = f->mem};
    OK(qv__collection_count(c, filter ? fix_filter(f, &a, filter) : NULL, &ctx, &n, &f->err));
    qv__arena_free(&a);
    return n;
}

#define OLD "{\"must\":[{\"key\":\"v\",\"match\":{\"value\":\"old\"}}]}"
#define NEW "{\"must\":[{\"key\":\"v\",\"match\":{\"value\":\"new\"}}]}"

/* 40 old points; the request under test replaces 10 of them and adds 10. */
static void check_old_or_new(struct fix *f, struct qv__collection *c, bool may_be_old,
                             bool may_be_new)
{
    uint64_t o = count(f, c, OLD), n = count(f, c, NEW), all = count(f, c, NULL);
    bool is_old = o == BASE && n == 0 && all == BASE,
         is_new = o == BASE - 10 && n == 20 && all == BASE + 10;
    if (!((is_old && may_be_old) || (is_new && may_be_new))) {
        fail_msg("neither old nor new: %llu old, %llu new, %llu in all", (unsigned long long)o,
                 (unsigned long long)n, (unsigned long long)all);
    }
}

static void drain(struct fix *f)
{
    while (qv__db_step(f->db)) {
    }
}

static void test_allocation_fails(void **state)
{
    (void)state;
    for (int sticky = 0; sticky < 2; sticky++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
            struct fix fx, *f = &fx;
            make(f);
            struct qv__collection *c = fix_collection(f, "c");
            OK(upsert(f, c, 0, BASE, "{\"v\":\"old\"}"));
            drain(f);
            qv__mem_fail_at(qv__db_mem(f->db), n, sticky);
            qv_status st = upsert(f, c, BASE - 10, BASE + 10, "{\"v\":\"new\"}");
            qv__mem_fail_at(qv__db_mem(f->db), 0, false);
            failed = st != QV_OK;
            if (failed) {
                assert_int_equal(st, QV_ENOMEM);
            }
            check_old_or_new(f, c, failed, !failed);
            drain(f);
            check_old_or_new(f, c, failed, !failed);
            /* And it goes on. */
            OK(upsert(f, c, BASE - 10, BASE + 10, "{\"v\":\"new\"}"));
            check_old_or_new(f, c, false, true);
            qv__collection_release(c);
            struct qv__rng rng;
            qv__rng_seed(&rng, n);
            fix_crash(f, QV__CRASH_DROP_ALL, &rng);
            c = fix_collection(f, "c");
            check_old_or_new(f, c, false, true);
            qv__collection_release(c);
            fix_close(f);
        }
    }
}

/* Background work and reads under failing allocations: errors, no crash, no change. */
static void test_allocation_fails_behind(void **state)
{
    (void)state;
    for (uint64_t n = 1; n < 400; n++) {
        struct fix fx, *f = &fx;
        make(f);
        struct qv__collection *c = fix_collection(f, "c");
        OK(upsert(f, c, 0, BASE, "{\"v\":\"old\"}"));
        qv__mem_fail_at(qv__db_mem(f->db), n, n % 2);
        drain(f);
        (void)!qv__collection_optimize(c, 1, &f->err);
        struct qv__qctx ctx = fix_ctx(f);
        struct qv__result_set rs;
        float q[DIM] = {1, 2, 3, 4};
        struct qv__query query = {
            .kind = QV__QUERY_NEAREST, .target = {.values = q, .dim = DIM}, .limit = 100};
        qv_status st = qv__collection_query(c, &query, NULL, &ctx, &rs, &f->err);
        assert_true(st == QV_OK || st == QV_ENOMEM);
        if (st == QV_OK) {
            assert_int_equal(rs.n, BASE);
        }
        qv__result_free(&rs);
        qv__mem_fail_at(qv__db_mem(f->db), 0, false);
        assert_int_equal(count(f, c, OLD), BASE);
        qv__collection_release(c);
        fix_close(f);
    }
}

static void io_run(uint64_t n, bool sticky, qv_status status, bool *touched)
{
    struct fix fx, *f = &fx;
    struct qv__rng rng;
    qv__rng_seed(&rng, n);
    make(f);
    struct qv__collection *c = fix_collection(f, "c");
    OK(upsert(f, c, 0, BASE, "{\"v\":\"old\"}"));
    uint64_t before = qv__io_sim_calls(f->io, QV__SIM_ANY);
    qv__io_sim_fault(
        f->io,
        (struct qv__sim_fault){
            .call = QV__SIM_ANY, .at = n, .sticky = sticky, .status = status, .partial = n % 2});
    drain(f);
    qv_status st = upsert(f, c, BASE - 10, BASE + 10, "{\"v\":\"new\"}");
    drain(f);
    qv_status opt = qv__collection_optimize(c, 1, &f->err);
    (void)opt;
    *touched = qv__io_sim_calls(f->io, QV__SIM_ANY) - before >= n;
    qv__io_sim_fault(f->io, (struct qv__sim_fault){0});
    if (st == QV_OK) {
        check_old_or_new(f, c, false, true);
    }
    qv__collection_release(c);
    fix_crash(f, QV__CRASH_DROP_ALL, &rng);
    c = fix_collection(f, "c");
    /* A request that failed at the sync has an unknown fate: whole or not at all. */
    check_old_or_new(f, c, st != QV_OK, true);
    qv__collection_release(c);
    fix_close(f);
}

static void test_io_fails(void **state)
{
    (void)state;
    static const qv_status kinds[] = {QV_EIO, QV_ENOSPC};
    for (size_t k = 0; k < QV_ARRAY_LEN(kinds); k++) {
        for (int sticky = 0; sticky < 2; sticky++) {
            bool touched = true;
            uint64_t n = 1;
            for (; touched; n++) {
                io_run(n, sticky, kinds[k], &touched);
            }
            print_message("%s %s: %llu calls\n", qv_status_name(kinds[k]),
                          sticky ? "for ever" : "once", (unsigned long long)n);
            assert_true(n > 20);
        }
    }
}

/* A full disk refuses writes and nothing else; with space back writes go on without a restart. */
static void test_disk_full(void **state)
{
    (void)state;
    struct fix fx, *f = &fx;
    make(f);
    struct qv__collection *c = fix_collection(f, "c");
    OK(upsert(f, c, 0, BASE, "{\"v\":\"old\"}"));
    qv__io_sim_space(f->io, 1);
    qv_status st = QV_OK;
    uint64_t done = 0;
    for (uint64_t i = 0; st == QV_OK && i < 100000; i++) {
        st = upsert(f, c, 1000 + i * 50, 1050 + i * 50,
                    "{\"v\":\"more\",\"fill\":"
                    "\"0123456789012345678901234567890123456789012345678901234567890123456789\"}");
        done += st == QV_OK;
    }
    assert_int_equal(st, QV_ENOSPC);
    assert_int_equal(count(f, c, NULL), BASE + done * 50);
    assert_int_equal(count(f, c, OLD), BASE);
    qv__io_sim_space(f->io, 0);
    OK(upsert(f, c, BASE - 10, BASE + 10, "{\"v\":\"new\"}"));
    qv__collection_release(c);
    struct qv__rng rng;
    qv__rng_seed(&rng, 1);
    fix_crash(f, QV__CRASH_DROP_ALL, &rng);
    c = fix_collection(f, "c");
    assert_int_equal(count(f, c, NULL), BASE + 10 + done * 50);
    assert_int_equal(count(f, c, NEW), 20);
    qv__collection_release(c);
    fix_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocation_fails),
        cmocka_unit_test(test_allocation_fails_behind),
        cmocka_unit_test(test_io_fails),
        cmocka_unit_test(test_disk_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
