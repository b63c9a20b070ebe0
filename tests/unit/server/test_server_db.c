/* test_server_db.c: a server over the real API and a database on the simulated file system. */
#include "server_test.h"

static struct env env; /* its pool and fake handler stay unused */

struct real {
    struct qv__db *db;
    struct qv__api *api;
};

static void open_real(struct real *real, struct qv__server_options *o)
{
    env_init(&env, o);
    assert_ok(qv__io_sim_open(env.mem, &env.io, &err));
    struct qv__db_options d = {.io = env.io, .threads = 2, .seed = 7};
    assert_ok(qv__db_open(&d, &real->db, &err));
    assert_ok(qv__api_create(real->db, NULL, &real->api, &err));
    struct qv__server_config config = o->config;
    qv__server_options_init(o, &config, real->db, real->api, env.io);
    o->sweep_ms = 20;
    env_start(&env, o);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_points),
        cmocka_unit_test(test_many_writers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
