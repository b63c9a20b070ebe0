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

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rest_setup, rest_teardown)
    const struct CMUnitTest tests[] = {
        T(test_err_is_untouched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
