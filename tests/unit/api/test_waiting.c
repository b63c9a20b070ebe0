/* test_waiting.c: requests that wait, for an index or for a worker: they take no worker away from
 * others, and are answered when their time is up. */
#include "ask_fixture.h"

enum { WAITING = 4, BLOCKERS = 8 };

static void check_status(struct ask *a, int status, const char *has)
{
    assert_true(ask_is_answered(a, 60));
    if (a->r.response.http_status != status || !strstr(ask_text(a), has)) {
        fail_msg("%d %s", a->r.response.http_status, ask_text(a));
    }
    ask_forget(a);
}

static void check(struct ask *a, const char *has)
{
    check_status(a, 200, has);
}

static sem_t go;

static void block(struct qv__task *task)
{
    (void)task;
    while (sem_wait(&go) != 0) {
    }
}

static struct qv__task blockers[BLOCKERS];

/* Hold all threads of a lane. */
static void hold(struct fix *f, enum qv__lane lane)
{
    assert_int_equal(sem_init(&go, 0, 0), 0);
    for (int i = 0; i < BLOCKERS; i++) {
        blockers[i] = (struct qv__task){.fn = block};
        qv__pool_submit(qv__db_pool(f->db), lane, &blockers[i]);
    }
}

static void let_go(void)
{
    for (int i = 0; i < BLOCKERS; i++) {
        sem_post(&go);
    }
}

/* A collection `c` of one point. */
static void open(struct fix *f)
{
    struct ask a;
    ask_open(f, NULL);
    ask_submit(f, &a, QV__PUT, "/collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}",
               false);
    check(&a, "true");
    ask_submit(f, &a, QV__PUT, "/collections/c/points?wait=true",
               "{\"points\":[{\"id\":1,\"vector\":[1,0],\"payload\":{\"a\":1}}]}", false);
    check(&a, "completed");
}

static void close_all(struct fix *f)
{
    fix_close(f);
    sem_destroy(&go);
}

static void test_writes_go_on(void **state)
{
    struct fix fix, *f = &fix;
    struct ask a, waiting[WAITING];
    (void)state;
    open(f);
    hold(f, QV__LANE_BACKGROUND); /* nothing is built */
    for (int i = 0; i < WAITING; i++) {
        ask_submit(f, &waiting[i], QV__PUT, "/collections/c/index?wait=true",
                   "{\"field_name\":\"a\",\"field_schema\":\"integer\"}", false);
    }
    assert_false(ask_is_answered(&waiting[0], 1));
    ask_submit(f, &a, QV__PUT, "/collections/c/points?wait=true",
               "{\"points\":[{\"id\":2,\"vector\":[1,0],\"payload\":{\"a\":2}}]}", false);
    check(&a, "completed");
    /* A deadline of its own ends the wait, and the index goes on. */
    ask_submit(f, &a, QV__PUT, "/collections/c/index?wait=true&timeout=1",
               "{\"field_name\":\"b\",\"field_schema\":\"integer\"}", false);
    check(&a, "acknowledged");
    let_go();
    for (int i = 0; i < WAITING; i++) {
        check(&waiting[i], "completed");
    }
    close_all(f);
}

/* What the database does by itself holds nobody up who asks for something. */
static void test_jobs_beside_background_work(void **state)
{
    struct fix fix, *f = &fix;
    struct ask a;
    (void)state;
    open(f);
    hold(f, QV__LANE_BACKGROUND);
    ask_submit(f, &a, QV__POST, "/collections/c/snapshots", "", false);
    check(&a, "checksum");
    ask_submit(f, &a, QV__POST, "/snapshots", "", false);
    check(&a, "checksum");
    ask_submit(f, &a, QV__POST, "/collections/c/optimize", "", false);
    check(&a, "completed");
    for (int i = 0; i < 3; i++) {
        ask_submit(f, &a, QV__POST, "/collections/c/optimize?wait=false", "", false);
        check(&a, "acknowledged");
    }
    let_go();
    close_all(f);
}

/* While jobs run for long others are answered in time: at once if they do not wait for theirs. */
static void test_answers_in_time(void **state)
{
    struct fix fix, *f = &fix;
    struct ask a, gone;
    (void)state;
    open(f);
    hold(f, QV__LANE_JOB);
    ask_submit(f, &a, QV__POST, "/collections/c/optimize?wait=false", "", false);
    check(&a, "acknowledged");
    ask_submit(f, &a, QV__POST, "/collections/c/snapshots?wait=false", "", false);
    check_status(&a, 202, "accepted");
    ask_submit(f, &a, QV__POST, "/collections/c/optimize?timeout=1", "", false);
    ask_submit(f, &gone, QV__POST, "/collections/c/snapshots", "", false);
    assert_int_not_equal(qv__api_expire(f->api), UINT64_MAX);
    assert_false(ask_is_answered(&a, 0));
    atomic_store(&gone.r.cancelled, true);
    (void)qv__api_expire(f->api);
    check_status(&gone, 499, "the client is gone");
    qv__nap_ns(UINT64_C(1100000000));
    assert_true(qv__api_expire(f->api) == UINT64_MAX);
    check_status(&a, 408, "Timeout: the request waited too long for a worker");
    let_go();
    close_all(f);
}

/* The same of what has not begun at all. */
static void test_expires_unbegun(void **state)
{
    struct fix fix, *f = &fix;
    struct ask a[3];
    (void)state;
    open(f);
    hold(f, QV__LANE_WRITE);
    for (int i = 0; i < 3; i++) {
        ask_submit(f, &a[i], QV__PUT,
                   i == 1 ? "/collections/c/points?wait=true" : "/collections/c/points?timeout=1",
                   "{\"points\":[{\"id\":3,\"vector\":[1,0]}]}", false);
    }
    qv__nap_ns(UINT64_C(1100000000));
    (void)qv__api_expire(f->api);
    check_status(&a[0], 408, "waited too long");
    check_status(&a[2], 408, "waited too long");
    assert_false(ask_is_answered(&a[1], 0));
    let_go();
    check(&a[1], "completed");
    close_all(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_go_on),
        cmocka_unit_test(test_jobs_beside_background_work),
        cmocka_unit_test(test_answers_in_time),
        cmocka_unit_test(test_expires_unbegun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
