/* test_server_life.c: a running server: who may ask, what comes back, overload, memory, stopping.
 */
#include "server_test.h"

static struct env env;

static int ask_with(const char *line, const char *headers, struct reply *r)
{
    char text[4096];
    snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: a\r\n%s\r\n", line, headers);
    return ask(&env, text, r);
}

static void set(struct qv__server_options *o, const char *name, const char *value)
{
    assert_ok(qv__server_config_set(&o->config, name, value, QV__FROM_FLAG, &err));
}

/* ---- who asks ---- */

static void test_keys(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    set(&o, "api_key", "full-key");
    set(&o, "read_only_api_key", "read-key");
    env_start(&env, &o);
    static const char *const lines[] = {"GET /now",     "PUT /now",     "DELETE /echo",
                                        "GET /metrics", "GET /nothing", "POST /"};
    static const struct {
        const char *header;
        int want;
        const char *subject;
    } keys[] = {
        {"", 401, NULL},
        {"api-key:\r\n", 401, NULL},
        {"api-key: wrong\r\n", 401, NULL},
        {"authorization: Bearer\r\n", 401, NULL},
        {"authorization: Bearer wrong\r\n", 401, NULL},
        {"authorization: Basic full-key\r\n", 401, NULL},
        {"api-key: full-key\r\napi-key: full-key\r\n", 400, NULL},
        {"api-key: read-key\r\n", 200, "subject=read_only_api_key\nread_only=1\n"},
        {"authorization: Bearer read-key\r\n", 200, "subject=read_only_api_key\nread_only=1\n"},
        {"api-key: full-key\r\n", 200, "subject=api_key\nread_only=0\n"},
        {"authorization: Bearer full-key\r\n", 200, "subject=api_key\nread_only=0\n"},
    };
    uint64_t submitted = 0;
    struct reply r;
    char v[512];
    for (size_t i = 0; i < QV_ARRAY_LEN(lines); i++) {
        for (size_t k = 0; k < QV_ARRAY_LEN(keys); k++) {
            int got = ask_with(lines[i], keys[k].header, &r);
            if (got != keys[k].want) {
                fail_msg("%s with %s: %d", lines[i], keys[k].header, got);
            }
            submitted += got == 200;
            assert_int_equal(atomic_load(&env.submitted), submitted); /* no side effect */
            assert_null(strstr(r.body, "full-key"));
            assert_null(strstr(r.body, "read-key"));
            if (got == 401) {
                assert_string_equal(reply_header(&r, "www-authenticate", v), "Bearer");
            } else if (got == 200) {
                assert_non_null(strstr(r.body, keys[k].subject));
                assert_null(strstr(r.body, "header api-key")); /* secrets go no further */
                assert_null(strstr(r.body, "header authorization"));
            }
            reply_free(&r);
        }
    }
    static const char *const open[] = {"GET /", "GET /healthz", "GET /livez", "GET /readyz"};
    for (size_t i = 0; i < QV_ARRAY_LEN(open); i++) {
        assert_int_equal(ask_with(open[i], "", &r), 200);
        assert_non_null(strstr(r.body, "subject=anonymous\nread_only=1\n"));
        reply_free(&r);
    }
    /* A body without a key is not read. */
    struct client c = client_open(&env);
    assert_true(send_z(&c, "PUT /now HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n"
                           "Expect: 100-continue\r\n\r\n"));
    assert_true(read_reply(&c, &r, false));
    assert_int_equal(r.status, 401);
    assert_non_null(strstr(r.head, "HTTP/1.1 401"));
    reply_free(&r);
    assert_true(reads_eof(&c));
    client_close(&c);
    /* Without a body the connection lives on, and the right key is heard on it. */
    c = client_open(&env);
    assert_true(send_z(&c, "GET /now HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(read_reply(&c, &r, false));
    assert_int_equal(r.status, 401);
    reply_free(&r);
    assert_true(send_z(&c, "GET /now HTTP/1.1\r\nHost: a\r\napi-key: full-key\r\n\r\n"));
    assert_true(read_reply(&c, &r, false));
    assert_int_equal(r.status, 200);
    reply_free(&r);
    assert_true(send_z(&c, "GET /now HTTP/1.1\r\nHost: a\r\n\r\n")); /* and forgotten */
    assert_true(read_reply(&c, &r, false));
    assert_int_equal(r.status, 401);
    reply_free(&r);
    client_close(&c);
    assert_false(env_logged(&env, "full-key"));
    env_fini(&env);
}

static void test_where_to_listen(void **state)
{
    (void)state;
    static const struct {
        const char *listen, *key, *open;
        qv_status want;
    } cases[] = {
        {"127.0.0.1:0", NULL, NULL, QV_OK},
        {"127.9.9.9:0", NULL, NULL, QV_OK},
        {"localhost:0", NULL, NULL, QV_OK},
        {"0.0.0.0:0", NULL, NULL, QV_EFORBIDDEN},
        {"0.0.0.0:0", "k", NULL, QV_OK},
        {"0.0.0.0:0", NULL, "true", QV_OK},
        {"203.0.113.7:0", "k", NULL, QV_EINVAL}, /* not an address of this machine */
        {"no.such.host.invalid:0", "k", NULL, QV_EINVAL},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        struct qv__server_options o;
        env_init(&env, &o);
        set(&o, "listen", cases[i].listen);
        if (cases[i].key) {
            set(&o, "api_key", cases[i].key);
        }
        if (cases[i].open) {
            set(&o, "allow_open", cases[i].open);
        }
        assert_ok(qv__server_create(&o, &env.server, &err));
        qv_status got = qv__server_start(env.server, &err);
        if (got != cases[i].want) {
            fail_msg("%s: %s: %s", cases[i].listen, qv_status_name(got), err.message);
        }
        if (got == QV_OK) {
            assert_int_not_equal(qv__server_start(env.server, NULL), QV_OK); /* once only */
            assert_int_equal(env_logged(&env, "without any key"), cases[i].open != NULL);
        } else {
            assert_non_null(strstr(err.message, "listen: "));
            assert_int_equal(qv__server_port(env.server), 0);
        }
        env_fini(&env);
    }
    /* IPv6, where the machine has it */
    struct qv__server_options o;
    env_init(&env, &o);
    set(&o, "listen", "[::1]:0");
    assert_ok(qv__server_create(&o, &env.server, &err));
    qv_status got = qv__server_start(env.server, &err);
    assert_true(got == QV_OK || got == QV_EINVAL);
    qv__server_free(env.server);
    env.server = NULL;
    set(&o, "listen", "[::]:0");
    assert_ok(qv__server_create(&o, &env.server, &err));
    got = qv__server_start(env.server, &err);
    assert_true(got == QV_EFORBIDDEN || got == QV_EINVAL);
    env_fini(&env);
    /* in use */
    env_init(&env, &o);
    env_start(&env, &o);
    struct qv__server *second;
    o.config.listen_port = qv__server_port(env.server);
    assert_ok(qv__server_create(&o, &second, &err));
    assert_int_equal(qv__server_start(second, &err), QV_ELOCKED);
    qv__server_free(second);
    /* and free again at once */
    qv__server_free(env.server);
    env_start(&env, &o);
    assert_int_equal(qv__server_port(env.server), o.config.listen_port);
    env_fini(&env);
}

/* ---- methods and browsers ---- */

static void test_methods(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    env_start(&env, &o);
    static const struct {
        const char *line;
        int status, method;
    } cases[] = {{"GET /now", 200, QV__GET},
                 {"PUT /now", 200, QV__PUT},
                 {"POST /now", 200, QV__POST},
                 {"PATCH /now", 200, QV__PATCH},
                 {"DELETE /now", 200, QV__DELETE},
                 {"OPTIONS /now", 204, -1},
                 {"OPTIONS *", 204, -1},
                 {"TRACE /now", 405, -1},
                 {"get /now", 405, -1},
                 {"PROPFIND /now", 405, -1}};
    struct reply r;
    char v[512], want[32];
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        assert_int_equal(ask_with(cases[i].line, "", &r), cases[i].status);
        if (cases[i].method >= 0) {
            snprintf(want, sizeof want, "method=%d\n", cases[i].method);
            assert_non_null(strstr(r.body, want));
        } else {
            assert_string_equal(reply_header(&r, "allow", v),
                                "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        }
        assert_null(reply_header(&r, "access-control-allow-origin", v));
        reply_free(&r);
    }
    /* HEAD: what GET would say, without its body; the connection stays in step. */
    struct client c = client_open(&env);
    for (int i = 0; i < 3; i++) {
        const char *path = i ? "/big/70000" : "/now";
        char text[128];
        snprintf(text, sizeof text, "HEAD %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
        assert_true(send_z(&c, text));
        assert_true(read_reply(&c, &r, true));
        assert_int_equal(r.status, 200);
        assert_true(strtoul(reply_header(&r, "content-length", v), NULL, 10) > 50);
        reply_free(&r);
    }
    assert_true(send_z(&c, "GET /now HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(read_reply(&c, &r, false));
    assert_int_equal(r.status, 200);
    reply_free(&r);
    client_close(&c);
    assert_int_equal(ask_with("PUT /now", "Content-Encoding: gzip\r\nContent-Length: 0\r\n", &r),
                     415);
    reply_free(&r);
    env_fini(&env);
}

static void test_cors(void **state)
{
    (void)state;
    static const struct {
        const char *list, *origin, *want; /* NULL: none */
        bool vary;
    } cases[] = {
        {"", "https://a.example", NULL, false},
        {"*", "https://a.example", "*", false},
        {"*", NULL, NULL, false},
        {"https://a.example", "https://a.example", "https://a.example", true},
        {"https://a.example, https://b.example ", "https://b.example", "https://b.example", true},
        {"https://a.example", "https://b.example", NULL, true},
        {"https://a.example", "https://a.example.evil", NULL, true},
        {"https://a.example", "https://a.exampl", NULL, true},
        {"https://a.example", NULL, NULL, true},
        {" , ", "", NULL, true},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        struct qv__server_options o;
        env_init(&env, &o);
        set(&o, "cors", cases[i].list);
        set(&o, "api_key", "k");
        env_start(&env, &o);
        struct reply r;
        char headers[512], v[512];
        snprintf(headers, sizeof headers, "api-key: k\r\n%s%s%s", cases[i].origin ? "Origin: " : "",
                 cases[i].origin ? cases[i].origin : "", cases[i].origin ? "\r\n" : "");
        assert_int_equal(ask_with("GET /now", headers, &r), 200);
        for (int pass = 0; pass < 2; pass++) {
            const char *got = reply_header(&r, "access-control-allow-origin", v);
            assert_int_equal(got != NULL, cases[i].want != NULL);
            if (got) {
                assert_string_equal(got, cases[i].want);
            }
            assert_int_equal(reply_header(&r, "vary", v) != NULL, cases[i].vary);
            reply_free(&r);
            if (pass == 0 && !cases[i].origin) {
                break;
            }
            if (pass == 0) { /* the preflight comes without a key */
                snprintf(headers, sizeof headers,
                         "Origin: %s\r\nAccess-Control-Request-Method: PUT\r\n"
                         "Access-Control-Request-Headers: api-key, x-odd\r\n",
                         cases[i].origin);
                assert_int_equal(ask_with("OPTIONS /now", headers, &r),
                                 cases[i].list[0] ? 204 : 401);
                const char *allowed = reply_header(&r, "access-control-allow-headers", v);
                assert_int_equal(allowed != NULL, cases[i].want != NULL);
                if (allowed) {
                    assert_string_equal(allowed, "api-key, x-odd");
                    assert_non_null(
                        strstr(reply_header(&r, "access-control-allow-methods", v), "PATCH"));
                }
            }
        }
        assert_int_equal(atomic_load(&env.submitted), 1);
        env_fini(&env);
    }
}

/* Pages of other sites may not write, unless cors lets them. */
static void test_cross_site(void **state)
{
    (void)state;
    static const struct {
        const char *cors, *line, *headers;
        int want;
    } cases[] = {
        {"", "PUT /now", "Sec-Fetch-Site: cross-site\r\nOrigin: https://evil.example\r\n", 403},
        {"", "POST /now", "Sec-Fetch-Site: Cross-Site\r\nOrigin: null\r\n", 403},
        {"", "DELETE /now", "Sec-Fetch-Site: cross-site\r\n", 403},
        {"", "GET /now", "Sec-Fetch-Site: cross-site\r\n", 200},
        {"", "POST /now", "Sec-Fetch-Site: same-origin\r\nOrigin: http://a\r\n", 200},
        {"", "POST /now", "Sec-Fetch-Site: none\r\n", 200},
        {"", "POST /now", "Origin: https://b.example\r\n", 200}, /* no browser */
        {"https://b.example", "POST /now",
         "Sec-Fetch-Site: cross-site\r\nOrigin: https://b.example\r\n", 200},
        {"https://b.example", "POST /now",
         "Sec-Fetch-Site: cross-site\r\nOrigin: https://evil.example\r\n", 403},
        {"*", "POST /now", "Sec-Fetch-Site: cross-site\r\nOrigin: https://b.example\r\n", 200},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        struct qv__server_options o;
        struct reply r;
        env_init(&env, &o);
        set(&o, "cors", cases[i].cors);
        env_start(&env, &o);
        assert_int_equal(ask_with(cases[i].line, cases[i].headers, &r), cases[i].want);
        assert_int_equal(atomic_load(&env.submitted), cases[i].want == 200);
        reply_free(&r);
        env_fini(&env);
    }
}

/* ---- responses ---- */

static void test_responses(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    env_start(&env, &o);
    static const struct {
        int given, want;
    } statuses[] = {{200, 200}, {201, 201}, {204, 204}, {304, 304}, {400, 400},
                    {404, 404}, {409, 409}, {422, 422}, {429, 429}, {499, 499},
                    {500, 500}, {507, 507}, {599, 599}, {0, 500},   {100, 500},
                    {101, 500}, {199, 500}, {600, 500}, {999, 500}};
    struct reply r;
    char text[128], v[512];
    struct client c = client_open(&env);
    for (size_t i = 0; i < QV_ARRAY_LEN(statuses); i++) {
        snprintf(text, sizeof text, "GET /status/%d HTTP/1.1\r\nHost: a\r\n\r\n",
                 statuses[i].given);
        assert_true(send_z(&c, text));
        bool bare = statuses[i].want == 204 || statuses[i].want == 304;
        assert_true(read_reply(&c, &r, bare));
        assert_int_equal(r.status, statuses[i].want);
        reply_free(&r);
    }
    client_close(&c);
    assert_int_equal(ask_with("GET /extra", "", &r), 200);
    assert_string_equal(reply_header(&r, "retry-after", v), "7");
    assert_string_equal(reply_header(&r, "x-other", v), "a b");
    reply_free(&r);
    /* A handler that breaks a rule does harm to nobody. */
    assert_int_equal(ask_with("GET /extra-bad", "", &r), 500);
    assert_null(reply_header(&r, "set-cookie", v));
    reply_free(&r);
    assert_int_equal(ask_with("GET /extra-many", "", &r), 500);
    reply_free(&r);
    assert_int_equal(ask_with("GET /broken", "", &r), 503);
    assert_string_equal(reply_header(&r, "retry-after", v), "1");
    reply_free(&r);
    assert_int_equal(ask_with("GET /big/0", "", &r), 200);
    assert_int_equal(r.n, 0);
    reply_free(&r);
    env_fini(&env);
}

/* Bodies that are made while they are sent. */
static void test_sources(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    env_start(&env, &o);
    struct reply r;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask_with("GET /file/1", "", &r), 200);
        assert_int_equal(r.n, 300000);
        for (size_t k = 0; k < r.n; k++) {
            assert_int_equal((uint8_t)r.body[k], (uint8_t)(k * 7 + k / 300));
        }
        reply_free(&r);
    }
    assert_int_equal(ask_with("GET /file/0", "", &r), 200);
    assert_int_equal(r.n, 0);
    reply_free(&r);
    /* What breaks off in the middle is seen to: the connection ends before the announced length. */
    static const char *const broken[] = {"GET /file/8 HTTP/1.1\r\nHost: a\r\n\r\n",
                                         "GET /file/9 HTTP/1.1\r\nHost: a\r\n\r\n"};
    for (size_t i = 0; i < QV_ARRAY_LEN(broken); i++) {
        struct client c = client_open(&env);
        assert_true(send_z(&c, broken[i]));
        assert_false(read_reply(&c, &r, false));
        client_close(&c);
    }
    assert_true(env_logged(&env, "a response being sent cannot be read: secret place"));
    /* abandoned half-way */
    struct client c = client_open(&env);
    assert_true(send_z(&c, "GET /file/1 HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_int_equal(receive(&c, WAIT_MS), 1);
    client_close(&c);
    env_fini(&env);
    assert_int_equal(atomic_load(&sources_open), 0);
}

/* ---- names of requests ---- */

static void test_ids_and_log(void **state)
{
    (void)state;
    struct qv__server_options o;
    env_init(&env, &o);
    env_start(&env, &o);
    struct reply r;
    char v[512], first[64], second[64];
    assert_int_equal(ask_with("GET /now/one?secret=1", "X-Request-Id: ab-1.2\r\n", &r), 200);
    assert_non_null(strstr(r.body, "trace=ab-1.2\n"));
    assert_string_equal(reply_header(&r, "x-request-id", v), "ab-1.2");
    reply_free(&r);
    assert_int_equal(
        ask_with("PUT /now",
                 "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
                 "Idempotency-Key: k/1\r\n",
                 &r),
        200);
    assert_non_null(strstr(r.body, "trace=0af7651916cd43dd8448eb211c80319c\nkey=k/1\n"));
    assert_null(reply_header(&r, "x-request-id", v));
    reply_free(&r);
    /* What cannot be repeated safely is replaced. */
    static const char *const odd[] = {
        "",
        "X-Request-Id: a b\r\n",
        "X-Request-Id: <script>\r\n",
        "X-Request-Id:\r\n",
        "traceparent: 00-xyz\r\n",
        "traceparent: 00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"};
    for (size_t i = 0; i < QV_ARRAY_LEN(odd); i++) {
        assert_int_equal(ask_with("GET /now", odd[i], &r), 200);
        const char *id = strstr(r.body, "trace=") + 6;
        assert_int_equal(strspn(id, "0123456789abcdef"), 16);
        assert_int_equal(id[16], '\n');
        snprintf(first, sizeof first, "%.16s", id);
        assert_string_not_equal(first, second);
        memcpy(second, first, sizeof first);
        reply_free(&r);
    }
    assert_int_equal(ask_with("GET /status/404", "X-Request-Id: lost\r\n", &r), 404);
    reply_free(&r);
    assert_int_equal(ask_with("BREW /x", "X-Request-Id: tea\r\n", &r), 405);
    assert_string_equal(reply_header(&r, "x-request-id", v), "tea");
    reply_free(&r);
    for (int i = 0; i < WAIT_MS && !env_logged(&env, "trace tea"); i++) {
        nap_ms(1);
    }
    assert_true(env_logged(&env, "info access: GET /now/one 200 "));
    assert_true(env_logged(&env, " us trace ab-1.2\n"));
    assert_true(env_logged(&env, "GET /status/404 404 10 B "));
    assert_true(env_logged(&env, "BREW /x 405 "));
    assert_false(env_logged(&env, "secret"));
    env_fini(&env);

    /* Without access_log only failures are worth a line. */
    env_init(&env, &o);
    o.config.access_log = false;
    env_start(&env, &o);
    assert_int_equal(ask_with("GET /now", "", &r), 200);
    reply_free(&r);
    assert_int_equal(ask_with("GET /status/507", "", &r), 507);
    reply_free(&r);
    for (int i = 0; i < WAIT_MS && !env_logged(&env, "507"); i++) {
        nap_ms(1);
    }
    assert_true(env_logged(&env, "GET /status/507 507"));
    assert_false(env_logged(&env, "GET /now"));
    env_fini(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),       cmocka_unit_test(test_where_to_listen),
        cmocka_unit_test(test_methods),    cmocka_unit_test(test_cors),
        cmocka_unit_test(test_cross_site), cmocka_unit_test(test_responses),
        cmocka_unit_test(test_sources),      cmocka_unit_test(test_ids_and_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
