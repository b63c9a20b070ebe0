/* test_datadir.c: the data directory: one holder, its sub-directories, leftovers that never block.
 */
#include "store/manifest.h"
#include "store_test.h"

static void one_holder(void **state)
{
    (void)state;
    struct env e;
    struct qv__datadir d, other;
    env_open(&e);
    assert_ok(qv__datadir_open(e.io, &d, ERR));
    char holder[64];
    snprintf(holder, sizeof holder, "process %" PRIu64 " has", qv__os_process());
    assert_status(qv__datadir_open(e.io, &other, ERR), QV_ELOCKED);
    assert_non_null(strstr(ERR->message, holder));
    /* What stands in the file only names the holder: rubbish neither blocks nor admits. */
    static const char *const rubbish[] = {"", "no number", "0", "99999999999999999999999999999999"};
    for (size_t i = 0; i < QV_ARRAY_LEN(rubbish); i++) {
        write_whole(e.io, "LOCK", rubbish[i], strlen(rubbish[i]));
        assert_status(qv__datadir_open(e.io, &other, ERR), QV_ELOCKED);
        assert_non_null(strstr(ERR->message, "another process has"));
    }
    qv__datadir_close(&d);
    qv__datadir_close(&d);
    assert_ok(qv__datadir_open(e.io, &d, ERR));
    qv__datadir_close(&d);
    env_crash(&e, QV__CRASH_DROP_ALL, NULL);
    assert_int_equal(dir_look(e.io, "").n, 5); /* durable */
    assert_ok(qv__datadir_open(e.io, &d, ERR));
    qv__datadir_close(&d);
    env_close(&e);
}

static void make_leftovers(struct env *e)
{
    char name[64];
    assert_ok(qv__io_mkdir(e->io, "tmp", ERR));
    for (unsigned i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "tmp/left-%u", i);
        write_whole(e->io, name, "x", 1);
    }
    assert_ok(qv__io_mkdir(e->io, "tmp/a", ERR));
    assert_ok(qv__io_mkdir(e->io, "tmp/a/b", ERR));
    assert_ok(qv__io_mkdir(e->io, "tmp/a/b/c", ERR));
    assert_ok(qv__io_mkdir(e->io, "tmp/d", ERR));
    for (unsigned i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "tmp/a/b/left-%u", i);
        write_whole(e->io, name, "x", 1);
    }
}

static void leftovers_go_and_strangers_stay(void **state)
{
    (void)state;
    struct env e;
    struct qv__datadir d;
    env_open(&e);
    make_leftovers(&e);
    assert_ok(qv__io_mkdir(e.io, "blobs", ERR));
    write_whole(e.io, "readme", "x", 1);
    write_whole(e.io, "blobs/stranger", "x", 1);
    assert_ok(qv__datadir_open(e.io, &d, ERR));
    assert_int_equal(dir_look(e.io, "tmp").n, 0);
    assert_int_equal(dir_look(e.io, "blobs").n, 1);
    assert_int_equal(dir_look(e.io, "").n, 6);
    qv__datadir_close(&d);
    env_close(&e);
}

/* A leftover that cannot be removed does not block; anything else that fails leaves no lock. */
static void every_io_failure(void **state)
{
    (void)state;
    unsigned blocked = 0, opened = 0;
    for (unsigned sticky = 0; sticky < 2; sticky++) {
        bool done = false;
        for (uint64_t at = 1; !done; at++) {
            struct env e;
            struct qv__datadir d, again;
            env_open(&e);
            make_leftovers(&e);
            uint64_t before = qv__io_sim_calls(e.io, QV__SIM_ANY);
            qv__io_sim_fault(e.io, (struct qv__sim_fault){.at = at, .sticky = sticky});
            qv_status st = qv__datadir_open(e.io, &d, ERR);
            done = qv__io_sim_calls(e.io, QV__SIM_ANY) - before < at;
            no_fault(e.io);
            if (st == QV_OK) {
                opened++;
                assert_status(qv__datadir_open(e.io, &again, ERR), QV_ELOCKED);
                qv__datadir_close(&d);
            } else {
                blocked++;
            }
            assert_ok(qv__datadir_open(e.io, &again, ERR));
            assert_int_equal(dir_look(e.io, "tmp").n, 0);
            qv__datadir_close(&again);
            env_close(&e);
        }
    }
    assert_true(blocked >= 2 * 6); /* open, lock, three directories, sync */
    assert_true(opened > 50);
}

static void file_in_the_way(void **state)
{
    (void)state;
    struct env e;
    struct qv__datadir d;
    env_open(&e);
    write_whole(e.io, "log", "a file", 6);
    assert_status(qv__datadir_open(e.io, &d, ERR), QV_EIO);
    assert_says("log");
    env_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_holder),
        cmocka_unit_test(leftovers_go_and_strangers_stay),
        cmocka_unit_test(every_io_failure),
        cmocka_unit_test(file_in_the_way),
    };
    return cmocka_run_group_tests_name("data directory", tests, NULL, NULL);
}
