/* test_server_db.c: a server over the real API and a database on the simulated file system. */
#include "server_test.h"

#include <semaphore.h>

static struct env env; /* its pool and fake handler stay unused */

static uint32_t sweep_ms = 20;

struct real {
    struct qv__db *db;
    struct qv__api *api;
};

/* With the settings of `o`. */
static void start_real(struct real *real, struct qv__server_options *o)
{
    assert_ok(qv__io_sim_open(env.mem, &env.io, &err));
    struct qv__db_options d = {.io = env.io, .threads = 2, .seed = 7};
    assert_ok(qv__db_open(&d, &real->db, &err));
    assert_ok(qv__api_create(real->db, NULL, &real->api, &err));
    struct qv__server_config config = o->config;
    qv__server_options_init(o, &config, real->db, real->api);
    o->sweep_ms = sweep_ms;
    env_start(&env, o);
}

/* Limits of bodies in memory and in files; 0 = the default. */
static void open_real_with(struct real *real, struct qv__server_options *o, uint64_t body_max,
                           uint64_t upload_max)
{
    env_init(&env, o);
    o->config.body_bytes_max = body_max ? body_max : o->config.body_bytes_max;
    o->config.upload_bytes_max = upload_max ? upload_max : o->config.upload_bytes_max;
    start_real(real, o);
}

static void open_real(struct real *real, struct qv__server_options *o)
{
    open_real_with(real, o, 0, 0);
}

static void close_real(struct real *real)
{
    qv__server_free(env.server);
    env.server = NULL;
    qv__api_free(real->api);
    assert_ok(qv__db_close(real->db, &err));
    env_fini(&env);
}

/* One request with a body; the status. The reply's body is left in *r. */
static int call(struct client *c, const char *line, const char *body, struct reply *r)
{
    char head[256];
    snprintf(head, sizeof head,
             "%s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n\r\n",
             line, strlen(body));
    assert_true(send_z(c, head) && send_z(c, body));
    assert_true(read_reply(c, r, false));
    return r->status;
}

static void expect(struct client *c, const char *line, const char *body, int status,
                   const char *text)
{
    struct reply r;
    int got = call(c, line, body, &r);
    if (got != status || !strstr(r.body, text)) {
        fail_msg("%s: got %d: %s", line, got, r.body);
    }
    reply_free(&r);
}

static sem_t go;

static void hold(struct qv__task *task)
{
    (void)task;
    while (sem_wait(&go) != 0) {
    }
}

/* A request whose time is up is answered although no worker is free for it. */
static void test_overdue(void **state)
{
    (void)state;
    struct real real;
    struct qv__server_options o;
    struct qv__task tasks[4];
    sweep_ms = 0; /* the watcher finds out by itself when to look */
    open_real(&real, &o);
    struct client c = client_open(&env);
    expect(&c, "PUT /collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", 200,
           "true");
    assert_int_equal(sem_init(&go, 0, 0), 0);
    for (size_t i = 0; i < QV_ARRAY_LEN(tasks); i++) {
        tasks[i] = (struct qv__task){.fn = hold};
        qv__pool_submit(qv__db_pool(real.db), QV__LANE_JOB, &tasks[i]);
    }
    uint64_t began = qv__mono_ns(qv__clock_system());
    expect(&c, "POST /collections/c/optimize?timeout=1", "", 408, "waited too long for a worker");
    assert_true(qv__mono_ns(qv__clock_system()) - began > UINT64_C(900000000));
    expect(&c, "POST /collections/c/optimize?wait=false", "", 200, "acknowledged");
    for (size_t i = 0; i < QV_ARRAY_LEN(tasks); i++) {
        sem_post(&go);
    }
    client_close(&c);
    close_real(&real);
    sem_destroy(&go);
    sweep_ms = 20;
}

static void test_points(void **state)
{
    (void)state;
    struct real real;
    struct qv__server_options o;
    open_real(&real, &o);
    struct client c = client_open(&env);
    expect(&c, "GET /healthz", "", 200, "passed");
    expect(&c, "GET /", "", 200, "version");
    expect(&c, "GET /collections/c", "", 404, "error");
    expect(&c, "PUT /collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", 200,
           "true");
    for (int i = 0; i < 50; i++) {
        char body[256];
        snprintf(body, sizeof body,
                 "{\"points\":[{\"id\":%d,\"vector\":[%d,1],\"payload\":{\"n\":%d}}]}", i, i, i);
        expect(&c, "PUT /collections/c/points?wait=true", body, 200, "completed");
    }
    struct reply r;
    assert_int_equal(call(&c, "POST /collections/c/points/search",
                          "{\"vector\":[1,0],\"limit\":3,\"with_payload\":true}", &r),
                     200);
    char *a = strstr(r.body, "\"id\":49"), *b = strstr(r.body, "\"id\":48");
    assert_true(a && b && a < b);
    assert_non_null(strstr(r.body, "\"n\":49"));
    reply_free(&r);
    expect(&c, "POST /collections/c/points/search", "{\"vector\":[1],\"limit\":3}", 400, "error");
    expect(&c, "POST /collections/c/points/search", "{\"vector\":[1,", 400, "error");
    expect(&c, "DELETE /collections/c", "", 200, "true");
    expect(&c, "DELETE /nothing", "", 404, "");
    client_close(&c);
    close_real(&real);
}

/* Writers on many connections at once; everything acknowledged is there. */
#define WRITERS 40

static void test_many_writers(void **state)
{
    (void)state;
    struct real real;
    struct qv__server_options o;
    open_real(&real, &o);
    struct client c[WRITERS];
    struct reply r;
    for (int i = 0; i < WRITERS; i++) {
        c[i] = client_open(&env);
    }
    expect(&c[0], "PUT /collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", 200, "");
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < WRITERS; i++) {
            char body[256], head[256];
            snprintf(body, sizeof body, "{\"points\":[{\"id\":%d,\"vector\":[%d,1]}]}",
                     round * WRITERS + i, i);
            snprintf(head, sizeof head,
                     "PUT /collections/c/points?wait=true HTTP/1.1\r\nHost: a\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     strlen(body));
            assert_true(send_z(&c[i], head) && send_z(&c[i], body));
        }
        for (int i = 0; i < WRITERS; i++) {
            assert_true(read_reply(&c[i], &r, false));
            assert_int_equal(r.status, 200);
            reply_free(&r);
        }
    }
    expect(&c[0], "POST /collections/c/points/count", "{\"exact\":true}", 200, "\"count\":200");
    for (int i = 0; i < WRITERS; i++) {
        client_close(&c[i]);
    }
    close_real(&real);
}

/* ---- snapshots over the wire ---- */

static void count_tmp(void *arg, const char *name, uint64_t size)
{
    (void)size;
    *(unsigned *)arg += strncmp(name, "tmp/", 4) == 0;
}

static unsigned files_in_tmp(void)
{
    unsigned n = 0;
    assert_ok(qv__io_sim_list(env.io, count_tmp, &n, &err));
    return n;
}

/* Send a form with one field that says so much of itself, in pieces; the status. */
static int upload_as(struct client *c, const char *line, const char *says, const void *bytes,
                     size_t n, struct reply *r)
{
    char head[512], before[256], after[] = "\r\n--b0undary--\r\n";
    int n_before = snprintf(before, sizeof before,
                            "--b0undary\r\nContent-Disposition: form-data%s\r\n\r\n", says);
    snprintf(head, sizeof head,
             "%s HTTP/1.1\r\nHost: a\r\n"
             "Content-Type: multipart/form-data; boundary=b0undary\r\nContent-Length: %zu\r\n\r\n",
             line, (size_t)n_before + n + strlen(after));
    if (!send_z(c, head) || !send_z(c, before) || !send_n(c, bytes, n) || !send_z(c, after)) {
        nap_ms(1); /* refused before all of it was sent */
    }
    return read_reply(c, r, false) ? r->status : 0;
}

static int upload(struct client *c, const char *line, const char *field, const void *bytes,
                  size_t n, struct reply *r)
{
    char says[128];
    snprintf(says, sizeof says, "; name=\"%s\"; filename=\"/etc/passwd\"", field);
    return upload_as(c, line, says, bytes, n, r);
}

/* Ways to name a field, and ways not to. */
static void test_names_of_fields(void **state)
{
    (void)state;
    static const struct {
        const char *says;
        bool is_named; /* "snapshot" */
    } forms[] = {{"; name=\"snapshot\"", true},
                 {"; NAME=snapshot", true},
                 {";name=snapshot;filename=x", true},
                 {"; filename=\"snapshot\"; name=\"snapshot\"", true},
                 {"; filename=\"a;b\\\"\"; name=\"snapshot\"", true},
                 {"; filename=\"; name=\\\"snapshot\\\"\"; name=\"other\"", false},
                 {"; filename=\"; name=snapshot\"", false},
                 {"; filename=\"snapshot\"", false},
                 {"; xname=\"snapshot\"", false},
                 {"; name=\"snapshot", true},
                 {"; name", false},
                 {"; name=", false},
                 {"", false}};
    struct real real;
    struct qv__server_options o;
    struct reply r;
    open_real(&real, &o);
    struct client c = client_open(&env);
    for (size_t i = 0; i < QV_ARRAY_LEN(forms); i++) {
        assert_int_equal(
            upload_as(&c, "POST /collections/d/snapshots/upload", forms[i].says, "x", 1, &r), 400);
        bool is_named = !strstr(r.body, "Field 'snapshot' is required");
        if (is_named != forms[i].is_named) {
            fail_msg("%s: %s", forms[i].says, r.body);
        }
        reply_free(&r);
    }
    client_close(&c);
    close_real(&real);
}

static void test_snapshots(void **state)
{
    (void)state;
    struct real real;
    struct qv__server_options o;
    struct reply r, saved;
    char line[512], name[256] = "";
    open_real_with(&real, &o, 4 << 10, 1 << 20);
    struct client c = client_open(&env);
    expect(&c, "PUT /collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", 200, "");
    for (int i = 0; i < 200; i++) {
        char body[128];
        snprintf(body, sizeof body, "{\"points\":[{\"id\":%d,\"vector\":[%d,1]}]}", i, i);
        expect(&c, "PUT /collections/c/points", body, 200, "");
    }
    assert_int_equal(call(&c, "POST /collections/c/snapshots", "", &r), 200);
    const char *p = strstr(r.body, "\"name\":\"");
    assert_non_null(p);
    memcpy(name, p + 8, strcspn(p + 8, "\""));
    reply_free(&r);

    /* Down, in more pieces than one, and up again, larger than other bodies may be. */
    snprintf(line, sizeof line, "GET /collections/c/snapshots/%s", name);
    assert_int_equal(call(&c, line, "", &saved), 200);
    assert_true(saved.n > (4 << 10));
    assert_memory_equal(saved.body, "QVSNP", 5);
    char v[512];
    assert_non_null(strstr(reply_header(&saved, "content-disposition", v), name));
    assert_int_equal(upload(&c, "POST /collections/d/snapshots/upload?wait=true", "snapshot",
                            saved.body, saved.n, &r),
                     200);
    reply_free(&r);
    expect(&c, "POST /collections/d/points/count", "{}", 200, "\"count\":200");
    assert_int_equal(files_in_tmp(), 0);

    /* What is no snapshot is the client's mistake, and changes nothing. */
    saved.body[saved.n / 2] ^= 1;
    assert_int_equal(
        upload(&c, "POST /collections/d/snapshots/upload", "snapshot", saved.body, saved.n, &r),
        400);
    assert_non_null(strstr(r.body, "Bad request: snapshot"));
    reply_free(&r);
    saved.body[saved.n / 2] ^= 1;
    assert_int_equal(
        upload(&c, "POST /collections/d/snapshots/upload", "other", saved.body, saved.n, &r), 400);
    assert_non_null(strstr(r.body, "Field 'snapshot' is required"));
    reply_free(&r);
    assert_int_equal(upload(&c, "POST /collections/e/snapshots/upload", "snapshot", "", 0, &r),
                     400);
    reply_free(&r);
    expect(&c, "POST /collections/d/points/count", "{}", 200, "\"count\":200");
    expect(&c, "GET /collections/e/exists", "", 200, "false");
    assert_int_equal(files_in_tmp(), 0);

    /* Too large for its route; for any; for the disk. */
    struct client other = client_open(&env);
    assert_int_equal(
        upload(&other, "POST /collections/d/points/scroll", "snapshot", saved.body, saved.n, &r),
        413);
    reply_free(&r);
    client_close(&other);
    static const char huge[] = "POST /collections/d/snapshots/upload HTTP/1.1\r\nHost: a\r\n"
                               "Content-Length: 1048577\r\n\r\n";
    other = client_open(&env);
    assert_true(send_z(&other, huge) && read_reply(&other, &r, false));
    assert_int_equal(r.status, 413);
    reply_free(&r);
    client_close(&other);
    qv__io_sim_space(env.io, 1);
    other = client_open(&env);
    assert_int_equal(
        upload(&other, "POST /collections/d/snapshots/upload", "snapshot", saved.body, saved.n, &r),
        507);
    assert_string_equal(reply_header(&r, "retry-after", line), "1");
    reply_free(&r);
    client_close(&other);
    qv__io_sim_space(env.io, 0);

    /* A client that goes in the middle leaves nothing. */
    static const char some[] = "POST /collections/d/snapshots/upload HTTP/1.1\r\nHost: a\r\n"
                               "Content-Length: 1000000\r\n\r\nhalf";
    other = client_open(&env);
    assert_true(send_z(&other, some));
    for (int i = 0; i < WAIT_MS && files_in_tmp() == 0; i++) {
        nap_ms(1);
    }
    assert_int_equal(files_in_tmp(), 1);
    client_close(&other);
    for (int i = 0; i < WAIT_MS && files_in_tmp() > 0; i++) {
        nap_ms(1);
    }
    assert_int_equal(files_in_tmp(), 0);
    expect(&c, "POST /collections/d/points/count", "{}", 200, "\"count\":200");
    reply_free(&saved);
    client_close(&c);
    close_real(&real);
}

/* A download that fails is an answer like others, no attachment. */
static void test_failed_download(void **state)
{
    (void)state;
    struct real real;
    struct qv__server_options o;
    struct reply r;
    char line[512], name[256] = "", v[512];
    open_real(&real, &o);
    struct client c = client_open(&env);
    expect(&c, "PUT /collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", 200, "");
    expect(&c, "PUT /collections/c/points", "{\"points\":[{\"id\":1,\"vector\":[1,1]}]}", 200, "");
    assert_int_equal(call(&c, "POST /collections/c/snapshots", "", &r), 200);
    const char *p = strstr(r.body, "\"name\":\"");
    assert_non_null(p);
    memcpy(name, p + 8, strcspn(p + 8, "\""));
    reply_free(&r);
    snprintf(line, sizeof line, "GET /collections/c/snapshots/%s HTTP/1.1\r\nHost: a\r\n\r\n",
             name);
    int failed = 0;
    bool begins = false; /* to be sent: what fails from there on breaks it off */
    for (uint64_t at = 1; at < 20 && !begins; at++) {
        struct client other = client_open(&env);
        qv__io_sim_fault(env.io, (struct qv__sim_fault){.call = QV__SIM_OPEN, .at = at});
        assert_true(send_z(&other, line));
        begins = !read_reply(&other, &r, false) || r.status == 200;
        if (!begins) {
            failed += r.status >= 500;
            if (reply_header(&r, "content-disposition", v)) {
                fail_msg("%d %s", r.status, r.body);
            }
        }
        reply_free(&r);
        client_close(&other);
    }
    qv__io_sim_fault(env.io, (struct qv__sim_fault){.at = 0});
    assert_true(begins && failed > 0);
    client_close(&c);
    close_real(&real);
}

/* Those who may only read are refused before a byte of an upload is on the disk: the body never
 * ends, and the answer comes, in the words of other refused writes. */
static void test_upload_of_a_reader(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "POST /collections/c/snapshots/upload HTTP/1.1\r\nHost: a\r\napi-key: read-key\r\n"
        "Content-Length: 1000000\r\n\r\nhalf",
        "POST /collections/c/snapshots HTTP/1.1\r\nHost: a\r\napi-key: read-key\r\n\r\n"};
    for (int i = 0; i < 4; i++) {
        struct real real;
        struct qv__server_options o;
        struct reply r;
        char v[512];
        env_init(&env, &o);
        memcpy(o.config.read_only_api_key, "read-key", sizeof "read-key");
        if (i >= 2) {
            o.config.read_only_api_key[0] = 0;
            o.config.read_only = true;
        }
        start_real(&real, &o);
        struct client c = client_open(&env);
        assert_true(send_z(&c, heads[i % 2]) && read_reply(&c, &r, false));
        assert_int_equal(r.status, 403);
        assert_non_null(strstr(r.body, "\"Forbidden: these credentials allow reading only\""));
        assert_int_equal(reply_header(&r, "connection", v) != NULL, i % 2 == 0);
        reply_free(&r);
        client_close(&c);
        assert_int_equal(files_in_tmp(), 0);
        close_real(&real);
    }
}

/* A page of another site writes nothing by a request that says GET, either. */
static void test_cross_site_snapshot(void **state)
{
    (void)state;
    struct real real;
    struct qv__server_options o;
    struct reply r;
    open_real(&real, &o);
    struct client c = client_open(&env);
    expect(&c, "PUT /collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", 200, "");
    static const char made[] = "GET /collections/c/shards/0/snapshot HTTP/1.1\r\nHost: a\r\n"
                               "Sec-Fetch-Site: cross-site\r\n\r\n";
    assert_true(send_z(&c, made) && read_reply(&c, &r, false));
    assert_int_equal(r.status, 403);
    assert_non_null(strstr(r.body, "allow reading only"));
    reply_free(&r);
    static const char seen[] = "GET /collections/c HTTP/1.1\r\nHost: a\r\n"
                               "Sec-Fetch-Site: cross-site\r\n\r\n";
    assert_true(send_z(&c, seen) && read_reply(&c, &r, false));
    assert_int_equal(r.status, 200);
    reply_free(&r);
    assert_int_equal(call(&c, "GET /collections/c/shards/0/snapshot", "", &r), 200);
    reply_free(&r);
    client_close(&c);
    close_real(&real);
}

/* From now on the disk has so much room left. */
static void leave_room(uint64_t bytes)
{
    const uint64_t large = UINT64_C(1) << 40;
    uint64_t left = 0;
    qv__io_sim_space(env.io, large);
    assert_ok(qv__io_free_space(env.io, &left, NULL, &err));
    qv__io_sim_space(env.io, large - left + bytes);
}

static void refused_for_room(struct client *c)
{
    struct reply r;
    assert_true(read_reply(c, &r, false));
    assert_int_equal(r.status, 507);
    assert_non_null(strstr(r.body, "no room for the upload"));
    reply_free(&r);
    client_close(c);
    for (int i = 0; i < WAIT_MS && files_in_tmp(); i++) {
        nap_ms(1);
    }
    assert_int_equal(files_in_tmp(), 0);
}

#define UPLOAD                                                                                     \
    "POST /collections/d/snapshots/upload HTTP/1.1\r\nHost: a\r\n"                                 \
    "Content-Type: multipart/form-data; boundary=b0undary\r\n"

/* Uploads get what is left beside what writes need, all of them together. */
static void test_room_of_uploads(void **state)
{
    (void)state;
    enum { MB = 1 << 20 };
    static char piece[64 << 10];
    struct real real;
    struct qv__server_options o;
    open_real(&real, &o);
    struct client c = client_open(&env), first, other;
    expect(&c, "PUT /collections/d", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", 200, "");
    /* Announced: before its first byte. */
    leave_room(3 * MB);
    other = client_open(&env);
    assert_true(send_z(&other, UPLOAD "Content-Length: 2900000\r\n\r\n"));
    refused_for_room(&other);
    /* What another one has announced is taken. */
    first = client_open(&env);
    assert_true(send_z(&first, UPLOAD "Content-Length: 1200000\r\n\r\n"));
    for (int i = 0; i < WAIT_MS && files_in_tmp() == 0; i++) {
        nap_ms(1);
    }
    assert_int_equal(files_in_tmp(), 1);
    other = client_open(&env);
    assert_true(send_z(&other, UPLOAD "Content-Length: 1200000\r\n\r\n"));
    struct reply r;
    assert_true(read_reply(&other, &r, false));
    assert_int_equal(r.status, 507);
    reply_free(&r);
    client_close(&other);
    client_close(&first);
    for (int i = 0; i < WAIT_MS && files_in_tmp(); i++) {
        nap_ms(1);
    }
    other = client_open(&env); /* and is free again */
    assert_true(send_z(&other, UPLOAD "Content-Length: 1200000\r\n\r\n"));
    for (int i = 0; i < WAIT_MS && files_in_tmp() == 0; i++) {
        nap_ms(1);
    }
    assert_int_equal(files_in_tmp(), 1);
    client_close(&other);
    for (int i = 0; i < WAIT_MS && files_in_tmp(); i++) {
        nap_ms(1);
    }
    /* In chunks: while it comes. */
    other = client_open(&env);
    assert_true(send_z(&other, UPLOAD "Transfer-Encoding: chunked\r\n\r\n"));
    for (int i = 0; i < 64; i++) { /* 4 MB, refused on the way */
        if (!send_z(&other, "10000\r\n") || !send_n(&other, piece, sizeof piece) ||
            !send_z(&other, "\r\n")) {
            break;
        }
    }
    refused_for_room(&other);
    expect(&c, "PUT /collections/d/points", "{\"points\":[{\"id\":1,\"vector\":[1,1]}]}", 200, "");
    qv__io_sim_space(env.io, 0);
    client_close(&c);
    close_real(&real);
}

/* A write that the disk has no room for may be tried again. */
static void test_no_room(void **state)
{
    (void)state;
    struct real real;
    struct qv__server_options o;
    struct reply r;
    char line[512];
    open_real(&real, &o);
    struct client c = client_open(&env);
    expect(&c, "PUT /collections/d", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", 200, "");
    qv__io_sim_space(env.io, 1);
    int status = 200; /* as soon as the room is looked at again */
    for (int i = 0; i < WAIT_MS && status == 200; i += 10) {
        nap_ms(10);
        status =
            call(&c, "PUT /collections/d/points", "{\"points\":[{\"id\":1,\"vector\":[1,1]}]}", &r);
        if (status != 200) {
            assert_string_equal(reply_header(&r, "retry-after", line), "1");
        }
        reply_free(&r);
    }
    assert_int_equal(status, 507);
    qv__io_sim_space(env.io, 0);
    client_close(&c);
    close_real(&real);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overdue),
        cmocka_unit_test(test_points),
        cmocka_unit_test(test_many_writers),
        cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_names_of_fields),
        cmocka_unit_test(test_failed_download),
        cmocka_unit_test(test_upload_of_a_reader),
        cmocka_unit_test(test_cross_site_snapshot),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_room_of_uploads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
