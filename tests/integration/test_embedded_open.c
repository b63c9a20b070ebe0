/* test_embedded_open.c: opening and closing through the typed interface. */
#include "test_embedded.h"

/* What is told of a success is nothing. */
static void test_err_is_untouched(void **state)
{
    struct rest *t = *state;
    struct qv_err err, untouched;
    struct qv_options o = qvt_options();
    char dir[80];
    qv_db *db = NULL;
    memset(&untouched, 0xAA, sizeof untouched);
    err = untouched;
    snprintf(dir, sizeof dir, "%s/new", t->dir);
    for (int i = 0; i < 3; i++) { /* new, empty, with a collection */
        assert_int_equal(qv_open(dir, &o, &db, &err), QV_OK);
        if (i == 1) {
            assert_int_equal(qv_create_collection(db, "c", &plain, &err), QV_OK);
        }
        assert_int_equal(qv_close(db, &err), QV_OK);
        assert_memory_equal(&err, &untouched, sizeof err);
    }
}

/* What no collection could have is refused where it is given. */
static void test_defaults(void **state)
{
    struct rest *t = *state;
    char dir[80];
    qv_db *db = NULL;
    static const struct {
        uint32_t shards, seal_rows, merge_fanin;
        const char *why; /* NULL = it is fine */
    } cases[] = {
        {257, 0, 0, "options.shards: 257 is not 0 or from 1 to 256"},
        {0, 1, 0, "options.seal_rows: 1 is not 0 or from 16 to 4194304"},
        {0, 4194305, 0, "options.seal_rows: 4194305"},
        {0, 0, 1, "options.merge_fanin: 1 is not 0 or from 2 to 64"},
        {0, 0, 65, "options.merge_fanin: 65"},
        {1, 16, 2, NULL},
        {256, 4194304, 64, NULL},
    };
    snprintf(dir, sizeof dir, "%s/new", t->dir);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct qv_options o = QV_OPTIONS_INIT;
        o.threads = 2;
        o.shards = cases[i].shards;
        o.seal_rows = cases[i].seal_rows;
        o.merge_fanin = cases[i].merge_fanin;
        if (cases[i].why) {
            REFUSED(QV_EINVAL, cases[i].why, qv_open(dir, &o, &db, e_));
            continue;
        }
        OK(qv_open(dir, &o, &db, e_));
        OK(qv_create_collection(db, "c", &plain, e_));
        OK(qv_drop_collection(db, "c", e_));
        OK(qv_close(db, e_));
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rest_setup, rest_teardown)
    const struct CMUnitTest tests[] = {
        T(test_err_is_untouched),
        T(test_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
