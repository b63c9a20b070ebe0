/* test_durable.c: when writes are answered over the request interface, and what is answered when
 * the log has failed. */
#include "api_fixture.h"

static int setup(void **state)
{
    struct fix *f = malloc(sizeof *f);
    fix_open(f);
    fix_points(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fix_close(*state);
    free(*state);
    return 0;
}

static uint64_t syncs(struct fix *f)
{
    struct qv__db_info info;
    qv__db_info(f->db, &info);
    return info.log_syncs;
}

#define POINT "{\"points\":[{\"id\":9,\"vector\":[1,0]}]}"

/* The request's word counts before the collection's. */
static void test_whose_word_counts(void **state)
{
    struct fix *f = *state;
    uint64_t n = syncs(f);
    ANSWER(QV__PUT, "/collections/c/points?wait=true", POINT, 200, "completed");
    assert_int_equal(syncs(f), ++n);
    ANSWER(QV__PUT, "/collections/c/points?durability=relaxed", POINT, 200, "acknowledged");
    assert_int_equal(syncs(f), n);
    /* Longer than a slow machine takes for this test. */
    ANSWER(QV__PATCH, "/collections/c",
           "{\"durability\":{\"mode\":\"relaxed\",\"window_ms\":60000}}", 200, "true");
    n = syncs(f);
    ANSWER(QV__PUT, "/collections/c/points?wait=true", POINT, 200, "completed");
    ANSWER(QV__POST, "/collections/c/points/delete?durability=relaxed", "{\"points\":[1]}", 200,
           "acknowledged");
    ANSWER(QV__POST, "/collections/c/points/count", "{}", 200, "\"count\":4");
    assert_int_equal(syncs(f), n);
    ANSWER(QV__PUT, "/collections/c/points?wait=true&durability=fsync", POINT, 200, "completed");
    assert_int_equal(syncs(f), n + 1);
    ANSWER(QV__PUT, "/collections/c/points?durability=none", POINT, 400,
           "durability: unknown variant `none`, expected one of `fsync`, `relaxed`");
}

/* The disk fails a sync: writes are refused and say why, reads go on, and whoever watches sees it.
 */
static void test_failed_log(void **state)
{
    struct fix *f = *state;
    ANSWER(QV__GET, "/readyz", NULL, 200, "all shards are ready");
    ANSWER(QV__GET, "/metrics", NULL, 200, "\nquiver_log_failed 0\n");
    qv__io_sim_fault(f->io, (struct qv__sim_fault){.call = QV__SIM_SYNC, .at = 1});
    ANSWER(QV__PUT, "/collections/c/points?wait=true", POINT, 503,
           "Service unavailable: the write-ahead log failed, writes are stopped until restart");
    ANSWER(QV__PUT, "/collections/c/points?durability=relaxed", POINT, 503, "until restart");
    ANSWER(QV__PUT, "/collections/d", "{}", 503, "until restart");
    ANSWER(QV__POST, "/collections/c/points/count", "{}", 200, "\"count\":4");
    ANSWER(QV__POST, "/collections/c/points/query", "{\"query\":[1,0],\"limit\":1}", 200,
           "\"id\":1");
    ANSWER(QV__GET, "/healthz", NULL, 200, "healthz check passed");
    ANSWER(QV__GET, "/readyz", NULL, 503, "writes are stopped until restart");
    ANSWER(QV__GET, "/metrics", NULL, 200, "\nquiver_log_failed 1\n");
    assert_non_null(strstr(f->text, "\nquiver_read_only 1\n"));
    /* A restart recovers; the write whose fate was unknown is there or not, as a whole. */
    qv__api_free(f->api);
    assert_int_equal(qv__db_close(f->db, &f->err), QV_EREADONLY);
    OK(qv__db_open(&f->options, &f->db, &f->err));
    OK(qv__api_create(f->db, NULL, &f->api, &f->err));
    ANSWER(QV__GET, "/readyz", NULL, 200, "all shards are ready");
    ANSWER(QV__PUT, "/collections/c/points?wait=true", POINT, 200, "completed");
    ANSWER(QV__POST, "/collections/c/points/count", "{}", 200, "\"count\":5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whose_word_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_log, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
