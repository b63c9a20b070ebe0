/* test_request.c: from submission to `done`: refusals, bodies in chunks, deadlines, rights,
 * numbers. */
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

static void test_refusals(void **state)
{
    struct fix *f = *state;
    ANSWER(QV__GET, "/nothing/here", NULL, 404, "\"status\":{\"error\":\"Not found: ");
    ANSWER(QV__GET, "/collections/%zz", NULL, 400, "Deserialize error in path parameters");
    ANSWER(QV__GET, "/collections/%C3%28", NULL, 400, "not UTF-8");
    ANSWER(QV__DELETE, "/collections/c/points", NULL, 405,
           "Method not allowed: DELETE; this path takes POST, PUT");
    assert_string_equal(f->extra, "allow: POST, PUT\n");
    ANSWER(QV__OPTIONS, "/collections", NULL, 405, "this path takes GET");
    ANSWER(QV__HEAD, "/collections/c", NULL, 200, "\"points_count\":4");
    ANSWER(QV__GET, "//collections//c//", NULL, 200, "\"points_count\":4");
    assert_string_equal(f->type, "application/json");
}

static void test_body_chunks(void **state)
{
    struct fix *f = *state;
    static const char body[] =
        "{\"filter\":{\"must\":[{\"key\":\"group\",\"match\":{\"value\":\"a\"}}]}}";
    for (size_t n = 1; n <= 64; n++) {
        assert_int_equal(
            fix_ask_chunks(f, QV__POST, "/collections/c/points/count", body, sizeof body - 1, n),
            200);
        assert_non_null(strstr(f->text, "\"count\":2"));
    }
    /* Without a body, and with empty chunks around one. */
    ANSWER(QV__POST, "/collections/c/points/count", NULL, 400,
           "Format error in JSON body: EOF while parsing a value");
    ANSWER(QV__POST, "/collections/c/points/count", "", 400,
           "Format error in JSON body: EOF while parsing a value");
}

static void test_body_limit(void **state)
{
    struct fix *f = *state;
    struct qv__api_options o = {.body_bytes_max = 100};
    qv__api_free(f->api);
    OK(qv__api_create(f->db, &o, &f->api, &f->err));
    char body[102];
    memset(body, ' ', sizeof body);
    body[0] = '{';
    body[1] = '}';
    assert_int_equal(fix_ask_chunks(f, QV__POST, "/collections/c/points/count", body, 100, 3), 200);
    assert_int_equal(fix_ask_chunks(f, QV__POST, "/collections/c/points/count", body, 101, 3), 413);
    assert_non_null(strstr(f->text, "may have 100 bytes"));
    size_t n = 70000;
    char *path = malloc(n);
    memset(path, 'a', n);
    memcpy(path, "/collections/c/exists?", 22);
    path[n - 1] = 0;
    ANSWER(QV__GET, path, NULL, 414, "too long");
    free(path);
}

/* A clock that, at one of its looks, has the client of a request hang up. */
struct hanging_up {
    struct fix *f;
    uint32_t at, looks;
};

static uint64_t hang_up_ns(void *ctx)
{
    struct hanging_up *h = ctx;
    if (++h->looks == h->at) {
        atomic_store(&h->f->request->cancelled, true);
    }
    return 1000000000u + h->looks;
}

static uint64_t some_time_ms(void *ctx)
{
    (void)ctx;
    return 1700000000000u;
}

/* Looking for the end of an upload, which may be long, is given up when its client has gone. */
static void test_cancelled_upload(void **state)
{
    struct fix *f = *state;
    struct hanging_up h = {.f = f};
    const struct qv__clock clock = {hang_up_ns, some_time_ms, &h};
    static const char path[] = "/collections/c/snapshots/upload";
    static const char form[] = "there is no such boundary in it";
    f->header = (struct qv__header){QV__STR("content-type"),
                                    QV__STR("multipart/form-data; boundary=b0undary")};
    f->options.clock = &clock;
    fix_reopen(f);
    f->deadline_ns = UINT64_MAX; /* so that it is looked at */
    unsigned n_given_up = 0;
    do {
        h.at++;
        h.looks = 0;
        fix_ask(f, QV__POST, path, form);
        n_given_up += f->status == 499 && strstr(f->text, "multipart form: cancelled");
    } while (f->status == 499);
    assert_int_equal(f->status, 400);
    assert_non_null(strstr(f->text, "boundary does not occur"));
    assert_true(n_given_up > 0);
    f->deadline_ns = 0;
    f->options.clock = NULL;
    fix_reopen(f);
}

static void test_deadline_and_cancel(void **state)
{
    struct fix *f = *state;
    f->deadline_ns = 1;
    ANSWER(QV__POST, "/collections/c/points/count", "{}", 408, "Timeout: ");
    ANSWER(QV__PUT, "/collections/c/points", "{\"points\":[{\"id\":9,\"vector\":[1,0]}]}", 408,
           "Timeout: ");
    f->deadline_ns = 0;
    f->cancelled = true;
    ANSWER(QV__PUT, "/collections/c/points", "{\"points\":[{\"id\":9,\"vector\":[1,0]}]}", 499,
           "cancelled");
    f->cancelled = false;
    ANSWER(QV__POST, "/collections/c/points/count", "{}", 200, "\"count\":4");
    ANSWER(QV__POST, "/collections/c/points/count?timeout=18446744073709551615", "{}", 200,
           "\"count\":4");
}

static void test_read_only_principal(void **state)
{
    struct fix *f = *state;
    static const struct {
        enum qv__method method;
        const char *path, *body;
    } writes[] = {
        {QV__PUT, "/collections/d", "{}"},
        {QV__PATCH, "/collections/c", "{}"},
        {QV__DELETE, "/collections/c", NULL},
        {QV__POST, "/collections/aliases", "{\"actions\":[]}"},
        {QV__PUT, "/collections/c/index", "{\"field_name\":\"a\",\"field_schema\":\"keyword\"}"},
        {QV__DELETE, "/collections/c/index/a", NULL},
        {QV__POST, "/collections/c/optimize", NULL},
        {QV__PUT, "/collections/c/points", "{\"points\":[]}"},
        {QV__POST, "/collections/c/points/delete", "{\"points\":[1]}"},
        {QV__PUT, "/collections/c/points/vectors", "{}"},
        {QV__POST, "/collections/c/points/vectors/delete", "{}"},
        {QV__POST, "/collections/c/points/payload", "{}"},
        {QV__PUT, "/collections/c/points/payload", "{}"},
        {QV__POST, "/collections/c/points/payload/delete", "{}"},
        {QV__POST, "/collections/c/points/payload/clear", "{\"points\":[1]}"},
        {QV__POST, "/collections/c/points/batch", "{\"operations\":[]}"},
        {QV__DELETE, "/issues", NULL},
        {QV__POST, "/snapshots", NULL},
        {QV__PUT, "/collections/c/snapshots/recover", "{}"},
    };
    f->principal.read_only = true;
    for (size_t i = 0; i < QV_ARRAY_LEN(writes); i++) {
        ANSWER(writes[i].method, writes[i].path, writes[i].body, 403, "Forbidden: ");
    }
    ANSWER(QV__POST, "/collections/c/points/scroll", "{}", 200, "\"id\":4");
    f->principal.read_only = false;
    ANSWER(QV__POST, "/collections/c/points/count", "{}", 200, "\"count\":4");
}

/* A principal that sees group a only: what it names outside of it is not there, for reads and for
 * writes. */
static void test_forced_filter(void **state)
{
    struct fix *f = *state;
    struct qv__arena arena;
    qv__json v = NULL;
    const struct qv__filter *filter = NULL;
    static const char text[] = "{\"must\":[{\"key\":\"group\",\"match\":{\"value\":\"a\"}}]}";
    qv__arena_init(&arena, f->mem);
    OK(qv__json_parse(&arena, text, sizeof text - 1, NULL, &v, &f->err));
    OK(qv__filter_parse(&arena, v, &filter, &f->err));
    f->principal.forced_filter = filter;
#define ALL_IDS "\"points\":[1,2,3,4]"
    /* reads */
    ANSWER(QV__POST, "/collections/c/points/count", "{}", 200, "\"count\":2");
    ANSWER(QV__POST, "/collections/c/points/count",
           "{\"filter\":{\"must_not\":[{\"has_id\":[1]}]}}", 200, "\"count\":1");
    ANSWER(QV__POST, "/collections/c/points/count",
           "{\"filter\":{\"should\":[{\"key\":\"group\",\"match\":{\"value\":\"b\"}}]}}", 200,
           "\"count\":0");
    ANSWER(QV__GET, "/collections/c/points/1", NULL, 200, "\"id\":1");
    ANSWER(QV__GET, "/collections/c/points/3", NULL, 404,
           "Not found: Point with id 3 does not exists!");
    ANSWER(QV__POST, "/collections/c/points", "{\"ids\":[3,2,4,1],\"with_payload\":false}", 200,
           "\"result\":[{\"id\":2},{\"id\":1}]");
    ANSWER(QV__POST, "/collections/c/points/scroll", "{\"with_payload\":false}", 200,
           "{\"points\":[{\"id\":1},{\"id\":2}],\"next_page_offset\":null}");
    ANSWER(QV__POST, "/collections/c/points/query", "{\"query\":[1,1]}", 200, "\"id\":1");
    assert_null(strstr(f->text, "\"id\":3"));
    ANSWER(QV__POST, "/collections/c/points/query", "{}", 200, "\"id\":2");
    assert_null(strstr(f->text, "\"id\":3"));
    ANSWER(QV__POST, "/collections/c/points/query", "{\"query\":2}", 200, "\"id\":1");
    ANSWER(QV__POST, "/collections/c/points/query", "{\"query\":3}", 404,
           "Not found: No point with id 3 found");
    ANSWER(QV__POST, "/collections/c/points/query",
           "{\"query\":{\"recommend\":{\"positive\":[1],\"negative\":[3]}}}", 404,
           "No point with id 3 found");
    ANSWER(QV__POST, "/collections/c/points/query",
           "{\"query\":[1,1],\"prefetch\":[{\"query\":{\"discover\":{\"target\":1,\"context\":{"
           "\"positive\":2,\"negative\":3}}}}]}",
           404, "No point with id 3 found");
    ANSWER(QV__POST, "/collections/c/points/query",
           "{\"query\":[1,1],\"prefetch\":[{\"query\":[1,1],\"filter\":{\"should\":[{\"has_id\":[1,"
           "3]}]}},"
           "{}],\"filter\":{\"should\":[{\"has_id\":[3]}]}}",
           200, "\"id\":1");
    assert_null(strstr(f->text, "\"id\":3"));
    ANSWER(QV__POST, "/collections/c/points/recommend", "{\"positive\":[3],\"limit\":1}", 404,
           "No point with id 3 found");
    ANSWER(QV__POST, "/collections/c/points/search/batch",
           "{\"searches\":[{\"vector\":[1,1],\"limit\":9}]}", 200, "\"id\":1");
    assert_null(strstr(f->text, "\"id\":3"));
    /* ... nor does a forced filter of another form become one choice among others */
    static const char choice[] = "{\"should\":[{\"key\":\"group\",\"match\":{\"value\":\"a\"}}]}";
    OK(qv__json_parse(&arena, choice, sizeof choice - 1, NULL, &v, &f->err));
    OK(qv__filter_parse(&arena, v, &f->principal.forced_filter, &f->err));
    ANSWER(QV__POST, "/collections/c/points/query",
           "{\"query\":[1,1],\"prefetch\":{\"filter\":{\"should\":[{\"has_id\":[1,3]}]}}}", 200,
           "\"id\":1");
    assert_null(strstr(f->text, "\"id\":3"));
    f->principal.forced_filter = filter;
    /* writes */
    ANSWER(QV__POST, "/collections/c/points/payload?wait=true",
           "{" ALL_IDS ",\"payload\":{\"seen\":true}}", 200, "completed");
    ANSWER(QV__PUT, "/collections/c/points/payload?wait=true", "{\"points\":[3],\"payload\":{}}",
           200, "completed");
    ANSWER(QV__POST, "/collections/c/points/payload/delete?wait=true",
           "{" ALL_IDS ",\"keys\":[\"n\"]}", 200, "completed");
    ANSWER(QV__PUT, "/collections/c/points/vectors?wait=true",
           "{\"points\":[{\"id\":3,\"vector\":[9,9]}]}", 200, "completed");
    ANSWER(QV__POST, "/collections/c/points/vectors/delete?wait=true",
           "{\"points\":[3],\"vector\":[\"\"]}", 200, "completed");
    ANSWER(QV__POST, "/collections/c/points/payload/clear?wait=true", "{\"points\":[4]}", 200,
           "completed");
    ANSWER(QV__PUT, "/collections/c/points?wait=true", "{\"points\":[{\"id\":3,\"vector\":[9,9]}]}",
           200, "completed");
    ANSWER(QV__POST, "/collections/c/points/delete?wait=true",
           "{\"filter\":{\"must\":[{\"has_id\":[2,3,4]}]}}", 200, "completed");
    ANSWER(QV__POST, "/collections/c/points/delete?wait=true", "{\"points\":[3,4]}", 200,
           "completed");
    ANSWER(QV__POST, "/collections/c/points/batch?wait=true",
           "{\"operations\":[{\"delete\":{\"points\":[4]}}]}", 200, "completed");
    /* administration */
    ANSWER(QV__DELETE, "/collections/c", NULL, 403, "Forbidden: ");
    ANSWER(QV__PATCH, "/collections/c", "{}", 403, "Forbidden: ");
    f->principal.forced_filter = NULL;
    ANSWER(
        QV__POST, "/collections/c/points/scroll", "{\"with_vector\":true}", 200,
        "{\"points\":[{\"id\":1,\"payload\":{\"group\":\"a\",\"seen\":true},\"vector\":[1.0,0.0]},"
        "{\"id\":3,\"payload\":{\"group\":\"b\",\"n\":3},\"vector\":[1.0,1.0]},"
        "{\"id\":4,\"payload\":{\"group\":\"b\"},\"vector\":{}}],\"next_page_offset\":null}");
    qv__arena_free(&arena);
}

static void test_numbers(void **state)
{
    struct fix *f = *state;
    struct qv__buf b;
    ANSWER(QV__GET, "/collections/x", NULL, 404, "");
    ANSWER(QV__GET, "/collections/y", NULL, 404, "");
    ANSWER(QV__GET, "/collections/c", NULL, 200, "");
    ANSWER(QV__GET, "/elsewhere", NULL, 404, "");
    qv__buf_init(&b, f->mem);
    qv__api_metrics(f->api, NULL, 0, &b);
    qv__buf_putc(&b, 0);
    static const char *const lines[] = {
        "\nrest_responses_total{method=\"GET\",endpoint=\"/collections/"
        "{collection_name}\",status=\"404\"} 2\n",
        "\nrest_responses_total{method=\"GET\",endpoint=\"/collections/"
        "{collection_name}\",status=\"200\"} 1\n",
        "\nrest_responses_total{method=\"ANY\",endpoint=\"unknown\",status=\"404\"} 1\n",
        "rest_responses_duration_seconds_bucket{method=\"PUT\",endpoint=\"/collections/"
        "{collection_name}\",status=\"200\",le=\"+Inf\"} 1\n",
        "rest_responses_duration_seconds_count{method=\"PUT\",endpoint=\"/collections/"
        "{collection_name}\",status=\"200\"} 1\n",
        "\nquiver_responses_uncounted_total 0\n",
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(lines); i++) {
        if (!strstr((char *)b.p, lines[i])) {
            fail_msg("no %s in %s", lines[i], (char *)b.p);
        }
    }
    qv__buf_free(&b);
    ANSWER(QV__GET, "/metrics", NULL, 200, "\napp_info{name=\"qdrant\",version=\"1.19.0\"} 1\n");
    assert_string_equal(f->type, "text/plain; charset=utf-8");
    assert_non_null(strstr(f->text, "\ncollections_total 1\n"));
    assert_non_null(strstr(f->text, "\ncollection_points{id=\"c\"} 4\n"));
    ANSWER(QV__GET, "/telemetry", NULL, 200, "\"app\":{\"name\":\"qdrant\",\"version\":\"1.19.0\"");
    assert_non_null(
        strstr(f->text, "\"PUT /collections/{collection_name}/points\":{\"200\":{\"count\":1,"));
}

/* Fields that slow queries filter by and no index serves, until one does or the collection is gone.
 */
static void test_issues(void **state)
{
    struct fix *f = *state;
    struct qv__api_options o = {.slow_query_ns = 1};
#define FILTER(field, match) "{\"must\":[{\"key\":\"" field "\",\"match\":" match "}]}"
    static const char ask_group[] =
        "{\"query\":[1,0],\"filter\":" FILTER("group", "{\"value\":\"a\"}") "}";
    static const char ask_more[] = "{\"prefetch\":{\"query\":[1,0],\"filter\":" FILTER(
        "x.y", "{\"text\":\"a\"}") "},\"query\":[1,0],"
                                   "\"filter\":{\"must\":[{\"key\":\"n\",\"range\":{\"gt\":1}}]},"
                                   "\"group_by\":\"group\"}";
    ANSWER(QV__POST, "/collections/c/points/query", ask_group, 200, "");
    ANSWER(QV__GET, "/issues", NULL, 200, "{\"issues\":[]}"); /* it was not slow */
    qv__api_free(f->api);
    OK(qv__api_create(f->db, &o, &f->api, &f->err));
    for (int i = 0; i < 2; i++) {
        ANSWER(QV__POST, "/collections/c/points/query", ask_group, 200, "");
    }
    ANSWER(QV__GET, "/issues", NULL, 200,
           "{\"issues\":[{\"id\":\"UNINDEXED_FIELD/c/group\",\"description\":\"Queries of 'c' were "
           "slow, and no "
           "index serves their filter on "
           "'group'\",\"solution\":{\"immediate\":{\"message\":\"Create an index of "
           "type keyword on the field 'group' of "
           "'c'\",\"action\":{\"method\":\"PUT\",\"uri\":\"/collections/c/"
           "index\",\"headers\":{\"content-type\":\"application/"
           "json\"},\"body\":{\"field_name\":\"group\","
           "\"field_schema\":\"keyword\"}}}},\"timestamp\":\"");
    assert_non_null(strstr(f->text, "Z\",\"related_collection\":\"c\"}]}"));
    ANSWER(QV__POST, "/collections/c/points/query/groups", ask_more, 200, "");
    ANSWER(QV__GET, "/issues", NULL, 200, "UNINDEXED_FIELD/c/n\"");
    assert_non_null(
        strstr(f->text, "\"immediate_choice\":[{\"message\":\"Create an index of type integer"));
    assert_non_null(strstr(f->text, "UNINDEXED_FIELD/c/x.y\""));
    assert_non_null(strstr(f->text, "\"field_schema\":\"text\""));
    ANSWER(QV__PUT, "/collections/c/index?wait=true",
           "{\"field_name\":\"group\",\"field_schema\":\"keyword\"}", 200, "");
    ANSWER(QV__POST, "/collections/c/points/query", ask_group, 200, "");
    ANSWER(QV__GET, "/issues", NULL, 200, "{\"issues\":[{\"id\":\"UNINDEXED_FIELD/c/n\"");
    assert_null(strstr(f->text, "c/group"));
    ANSWER(QV__DELETE, "/issues", NULL, 200, "true");
    ANSWER(QV__GET, "/issues", NULL, 200, "{\"issues\":[]}");
    ANSWER(QV__POST, "/collections/c/points/query/groups", ask_more, 200, "");
    ANSWER(QV__GET, "/issues", NULL, 200, "UNINDEXED_FIELD/c/n\"");
    ANSWER(QV__DELETE, "/collections/c", NULL, 200, "true");
    ANSWER(QV__GET, "/issues", NULL, 200, "{\"issues\":[]}");
}

/* A request whose n-th allocation fails answers 503, is done once, and changes nothing; another
 * then works. */
static void sweep_as(struct fix *f, bool sticky, enum qv__method method, const char *path,
                     const char *body, const char *state_path)
{
    char before[4096];
    struct qv__mem *mem = qv__db_mem(f->db);
    uint64_t n = 1, failed = 0;
    for (;; n++) {
        assert_int_equal(fix_ask(f, QV__POST, state_path, "{}"), 200);
        snprintf(before, sizeof before, "%.*s", (int)(strstr(f->text, "\"status\"") - f->text),
                 f->text);
        uint64_t made = qv__mem_allocations(mem);
        qv__mem_fail_at(mem, n, sticky);
        int status = fix_ask(f, method, path, body);
        qv__mem_fail_at(mem, 0, false);
        if (qv__mem_allocations(mem) - made < n) {
            assert_int_equal(status, 200);
            break;
        }
        if (status == 200) {
            continue; /* what failed was not needed: counting the response, say */
        }
        failed++;
        if (status != 503) {
            fail_msg("%s: allocation %llu fails: %d %s", path, (unsigned long long)n, status,
                     f->text);
        }
        assert_int_equal(fix_ask(f, QV__POST, state_path, "{}"), 200);
        if (strncmp(before, f->text, strlen(before)) != 0) {
            fail_msg("%s: allocation %llu fails, and yet: %s", path, (unsigned long long)n,
                     f->text);
        }
    }
    printf("  %s: %llu allocations, %llu of them needed\n", path, (unsigned long long)n - 1,
           (unsigned long long)failed);
    assert_true(failed > 0);
}

/* Only the n-th allocation, and the n-th with all after it (a full budget). */
static void sweep(struct fix *f, enum qv__method method, const char *path, const char *body,
                  const char *state_path)
{
    sweep_as(f, false, method, path, body, state_path);
    sweep_as(f, true, method, path, body, state_path);
}

static void test_memory_sweep(void **state)
{
    struct fix *f = *state;
    static const char scroll[] = "/collections/c/points/scroll";
    sweep(f, QV__POST, "/collections/c/points/query",
          "{\"query\":[1,1],\"with_payload\":true,\"with_vector\":true}", scroll);
    sweep(f, QV__POST, "/collections/c/points/query",
          "{\"query\":{\"recommend\":{\"positive\":[1,[0,1]],\"negative\":[2]}},\"with_payload\":["
          "\"n\"]}",
          scroll);
    sweep(f, QV__GET, "/collections/c/points/1", NULL, scroll);
    sweep(f, QV__GET, "/collections/c", NULL, scroll);
    sweep(f, QV__GET, "/telemetry", NULL, scroll);
    sweep(f, QV__GET, "/issues", NULL, scroll);
    sweep(f, QV__GET, "/metrics", NULL, scroll);
    sweep(f, QV__GET, "/metrics?per_collection=true", NULL, scroll);
    sweep(f, QV__GET, "/collections", NULL, scroll);
    sweep(f, QV__PUT, "/collections/c/points?wait=true",
          "{\"batch\":{\"ids\":[7,8],\"vectors\":[[1,2],[3,4]],\"payloads\":[{\"a\":[1,2]},null]}}",
          scroll);
    sweep(f, QV__POST, "/collections/c/points/batch?wait=true",
          "{\"operations\":[{\"upsert\":{\"points\":[{\"id\":9,\"vector\":{\"\":[1,2]}}]}},"
          "{\"set_payload\":{\"points\":[9,1],\"payload\":{\"x\":1},\"key\":\"a.b\"}},{\"delete\":{"
          "\"filter\":{\"must\":[{\"has_id\":[8]}]}}},"
          "{\"delete_payload\":{\"points\":[1],\"keys\":[\"n\"]}}]}",
          scroll);
}

/* 503 means that nothing was written, also when it is the answer for which there is no memory. */
static void test_no_memory_for_the_answer(void **state)
{
    struct fix *f = *state;
    struct qv__mem *mem = qv__db_mem(f->db);
    for (int sticky = 0; sticky < 2; sticky++) {
        bool done = false;
        for (unsigned n = 1; !done; n++) {
            char body[128], path[64];
            snprintf(body, sizeof body, "{\"points\":[{\"id\":%u,\"vector\":[1,0]}]}",
                     1000u * (1 + (unsigned)sticky) + n);
            snprintf(path, sizeof path, "/collections/c/points/%u",
                     1000u * (1 + (unsigned)sticky) + n);
            uint64_t made = qv__mem_allocations(mem);
            qv__mem_fail_at(mem, n, sticky);
            int status = fix_ask(f, QV__PUT, "/collections/c/points?wait=true", body);
            qv__mem_fail_at(mem, 0, false);
            done = qv__mem_allocations(mem) - made < n;
            assert_true(status == 200 || status == 503);
            assert_int_equal(fix_ask(f, QV__GET, path, NULL), status == 200 ? 200 : 404);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_body_chunks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_body_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline_and_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled_upload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_only_principal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forced_filter, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_issues, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_sweep, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_memory_for_the_answer, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
