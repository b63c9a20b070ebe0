/* test_waiting.c: requests that wait, for an index or for a worker: they take no worker away from
 * others, and are answered when their time is up. */
#include "api_fixture.h"

#include "api/api.h"

#include <errno.h>
#include <semaphore.h>
#include <time.h>

enum { THREADS = 2, BLOCKERS = 8 };

struct ask {
    struct qv__request r;
    struct qv__bytes body;
    sem_t done;
};

static void on_done(struct qv__request *r)
{
    sem_post(&((struct ask *)r->carrier)->done);
}

static void submit(struct fix *f, struct ask *a, enum qv__method method, const char *path,
                   const char *query, const char *body)
{
    struct qv__request *r = &a->r;
    memset(a, 0, sizeof *a);
    a->body = (struct qv__bytes){(const uint8_t *)body, strlen(body)};
    r->api = f->api;
    r->method = method;
    r->path = qv__str_z(path);
    r->query = qv__str_z(query);
    r->body = &a->body;
    r->n_body = 1;
    r->started_ns = qv__mono_ns(qv__db_clock(f->db));
    qv__arena_init(&r->arena, qv__db_mem(f->db));
    qv__buf_init(&r->response.body, qv__db_mem(f->db));
    r->done = on_done;
    r->carrier = a;
    assert_int_equal(sem_init(&a->done, 0, 0), 0);
    qv__api_submit(r);
}

static bool is_answered(struct ask *a, int seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    int rc;
    while ((rc = sem_timedwait(&a->done, &until)) != 0 && errno == EINTR) {
    }
    return rc == 0;
}

static void check_status(struct ask *a, int status, const char *has)
{
    assert_true(is_answered(a, 60));
    qv__buf_put(&a->r.response.body, "", 1);
    const char *text = (const char *)a->r.response.body.p;
    if (a->r.response.http_status != status || !strstr(text, has)) {
        fail_msg("%d %s", a->r.response.http_status, text);
    }
    sem_destroy(&a->done);
    qv__arena_free(&a->r.arena);
    qv__buf_free(&a->r.response.body);
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
    memset(f, 0, sizeof *f);
    f->mem = qv__mem_root("test", 0);
    OK(qv__io_sim_open(f->mem, &f->io, &f->err));
    f->options = (struct qv__db_options){.io = f->io,
                                         .clock = qv__clock_system(),
                                         .threads = THREADS,
                                         .seed = 7,
                                         .log_file_bytes = 1 << 20};
    OK(qv__db_open(&f->options, &f->db, &f->err));
    OK(qv__api_create(f->db, NULL, &f->api, &f->err));
    submit(f, &a, QV__PUT, "/collections/c", "", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}");
    check(&a, "true");
    submit(f, &a, QV__PUT, "/collections/c/points", "wait=true",
           "{\"points\":[{\"id\":1,\"vector\":[1,0],\"payload\":{\"a\":1}}]}");
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
    struct ask a, waiting[2 * THREADS];
    (void)state;
    open(f);
    hold(f, QV__LANE_BACKGROUND); /* nothing is built */
    for (int i = 0; i < 2 * THREADS; i++) {
        submit(f, &waiting[i], QV__PUT, "/collections/c/index", "wait=true",
               "{\"field_name\":\"a\",\"field_schema\":\"integer\"}");
    }
    assert_false(is_answered(&waiting[0], 1));
    submit(f, &a, QV__PUT, "/collections/c/points", "wait=true",
           "{\"points\":[{\"id\":2,\"vector\":[1,0],\"payload\":{\"a\":2}}]}");
    check(&a, "completed");
    let_go();
    for (int i = 0; i < 2 * THREADS; i++) {
        check(&waiting[i], "completed");
    }
    /* A deadline of its own ends the wait, and the index goes on. */
    submit(f, &a, QV__PUT, "/collections/c/index", "wait=true&timeout=1",
           "{\"field_name\":\"b\",\"field_schema\":\"integer\"}");
    check(&a, "status\":\"");
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
    submit(f, &a, QV__POST, "/collections/c/snapshots", "", "");
    check(&a, "checksum");
    submit(f, &a, QV__POST, "/snapshots", "", "");
    check(&a, "checksum");
    submit(f, &a, QV__POST, "/collections/c/optimize", "", "");
    check(&a, "completed");
    for (int i = 0; i < 3; i++) {
        submit(f, &a, QV__POST, "/collections/c/optimize", "wait=false", "");
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
    submit(f, &a, QV__POST, "/collections/c/optimize", "wait=false", "");
    check(&a, "acknowledged");
    submit(f, &a, QV__POST, "/collections/c/snapshots", "wait=false", "");
    check_status(&a, 202, "accepted");
    submit(f, &a, QV__POST, "/collections/c/optimize", "timeout=1", "");
    submit(f, &gone, QV__POST, "/collections/c/snapshots", "", "");
    assert_int_not_equal(qv__api_expire(f->api), UINT64_MAX);
    assert_false(is_answered(&a, 0));
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
        submit(f, &a[i], QV__PUT, "/collections/c/points", i == 1 ? "wait=true" : "timeout=1",
               "{\"points\":[{\"id\":3,\"vector\":[1,0]}]}");
    }
    qv__nap_ns(UINT64_C(1100000000));
    (void)qv__api_expire(f->api);
    check_status(&a[0], 408, "waited too long");
    check_status(&a[2], 408, "waited too long");
    assert_false(is_answered(&a[1], 0));
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
