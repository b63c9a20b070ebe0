/* test_rest_snapshots.c: the snapshot routes of the REST dialect, without a socket. */
#include "test_rest.h"

static void fill(struct rest *t, const char *name, int points)
{
    char path[128], body[256];
    snprintf(path, sizeof path, "/collections/%s", name);
    has(t, "PUT", path, "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"},\"shard_number\":1}", 200,
        "true");
    snprintf(path, sizeof path, "/collections/%s/points?wait=true", name);
    for (int i = 0; i < points; i++) {
        snprintf(body, sizeof body,
                 "{\"points\":[{\"id\":%d,\"vector\":[%d,1],\"payload\":{\"n\":%d}}]}", i, i, i);
        has(t, "PUT", path, body, 200, "completed");
    }
}

static void count_is(struct rest *t, const char *name, int n)
{
    char path[128], want[64];
    snprintf(path, sizeof path, "/collections/%s/points/count", name);
    snprintf(want, sizeof want, "{\"count\":%d}", n);
    good(t, "POST", path, "{}", want);
}

/* A string member of the last answer. */
static void member(struct rest *t, const char *key, char *out, size_t max)
{
    char want[64];
    snprintf(want, sizeof want, "\"%s\":\"", key);
    const char *p = strstr(t->r.body, want);
    assert_non_null(p);
    p += strlen(want);
    size_t n = strcspn(p, "\"");
    assert_true(n < max);
    memcpy(out, p, n);
    out[n] = '\0';
}

static void make(struct rest *t, const char *path, char name[256], char sum[80])
{
    has(t, "POST", path, NULL, 200, "\"result\":{\"name\":\"");
    member(t, "name", name, 256);
    member(t, "checksum", sum, 80);
    assert_int_equal(strlen(sum), 64);
    assert_non_null(strstr(t->r.body, "\"creation_time\":\"2"));
    assert_non_null(strstr(t->r.body, "\"size\":"));
}

static void test_of_a_collection(void **state)
{
    struct rest *t = *state;
    char name[256], sum[80], path[512], body[700];
    bad(t, "GET", "/collections/c/snapshots", NULL, 404,
        "Not found: Collection `c` doesn't exist!");
    bad(t, "POST", "/collections/c/snapshots", NULL, 404,
        "Not found: Collection `c` doesn't exist!");
    fill(t, "c", 20);
    good(t, "GET", "/collections/c/snapshots", NULL, "[]");
    make(t, "/collections/c/snapshots?wait=true", name, sum);
    has(t, "GET", "/collections/c/snapshots", NULL, 200, name);
    has(t, "GET", "/collections/c/snapshots", NULL, 200, sum);

    /* back to where it was, by name and by URL */
    good(t, "POST", "/collections/c/points/count", "{}", "{\"count\":20}");
    has(t, "POST", "/collections/c/points/delete?wait=true", "{\"points\":[1,2,3]}", 200, "");
    count_is(t, "c", 17);
    snprintf(body, sizeof body, "{\"location\":\"%s\",\"priority\":\"snapshot\"}", name);
    good(t, "PUT", "/collections/c/snapshots/recover", body, "true");
    count_is(t, "c", 20);
    snprintf(body, sizeof body,
             "{\"location\":\"file:///data/snapshots/c/%s\",\"checksum\":\"%s\"}", name, sum);
    good(t, "PUT", "/collections/other/snapshots/recover?wait=true", body, "true");
    count_is(t, "other", 20);
    snprintf(body, sizeof body,
             "{\"location\":\"file://localhost/data/snapshots/%s\",\"checksum\":"
             "\"%064d\"}",
             name, 0);
    char want[300];
    snprintf(want, sizeof want, "Checksum mismatch: expected: %064d, actual: %s", 0, sum);
    bad(t, "PUT", "/collections/other/snapshots/recover", body, 400, want);

    /* It outlives its collection. */
    good(t, "DELETE", "/collections/c", NULL, "true");
    has(t, "GET", "/collections/c/snapshots", NULL, 200, name);
    snprintf(body, sizeof body, "{\"location\":\"%s\"}", name);
    good(t, "PUT", "/collections/c/snapshots/recover", body, "true");
    rest_reopen(t);
    count_is(t, "c", 20);

    snprintf(path, sizeof path, "/collections/other/snapshots/%s", name);
    snprintf(want, sizeof want, "Not found: Snapshot %s not found", name);
    bad(t, "DELETE", path, NULL, 404, want);
    bad(t, "GET", path, NULL, 404, want);
    snprintf(path, sizeof path, "/snapshots/%s", name);
    bad(t, "GET", path, NULL, 404, want);
    snprintf(path, sizeof path, "/collections/c/snapshots/%s", name);
    good(t, "DELETE", path, NULL, "true");
    bad(t, "DELETE", path, NULL, 404, want);
    good(t, "GET", "/collections/c/snapshots", NULL, "[]");
    bad(t, "GET", "/collections/c/snapshots/..%2F..%2Fetc%2Fpasswd", NULL, 404,
        "Not found: Snapshot ../../etc/passwd not found");
}

static void test_locations(void **state)
{
    struct rest *t = *state;
    static const struct {
        const char *location, *error;
    } bads[] = {
        {"http://example.org/x.snapshot", "Bad request: Snapshots are not fetched from a URL"},
        {"HTTPS://127.0.0.1/x.snapshot", "Bad request: Snapshots are not fetched from a URL"},
        {"file://whatever.snapshot",
         "Bad request: Invalid snapshot URI, file path must be absolute or on localhost"},
        {"file://./etc/passwd",
         "Bad request: Invalid snapshot URI, file path must be absolute or on localhost"},
        {"file:///whatever.snapshot",
         "Bad request: Snapshot file \\\"/whatever.snapshot\\\" does not exist"},
        {"file:///x/snapshots/../../etc/passwd", "Bad request: Snapshot file "},
        {"file:///x/snapshots/%00", "Bad request: "},
        {"ftp://x/y", "Bad request: URL ftp://x/y has a scheme that is not supported"},
        {"nothing", "Bad request: Snapshot file \\\"nothing\\\" does not exist"},
        {"", "Bad request: Snapshot file \\\"\\\" does not exist"},
    };
    for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
        char body[256];
        snprintf(body, sizeof body, "{\"location\":\"%s\"}", bads[i].location);
        has(t, "PUT", "/collections/none/snapshots/recover", body, 400, bads[i].error);
    }
    has(t, "PUT", "/collections/none/snapshots/recover", "{\"location\":\"file:///etc/passwd\"}",
        403, "Forbidden: Snapshot file path must be inside the snapshots directory");
    has(t, "PUT", "/collections/none/snapshots/recover", "{}", 400, "location");
    has(t, "PUT", "/collections/none/snapshots/recover", "{\"location\":7}", 400, "location");
    has(t, "PUT", "/collections/none/snapshots/recover", "{\"location\":\"x\",\"priority\":\"y\"}",
        400, "priority");
    has(t, "PUT", "/collections/none/snapshots/recover", "{\"location\":\"x\",\"checksum\":\"y\"}",
        422, "checksum");
    has(t, "GET", "/collections/none/exists", NULL, 200, "false");
}

/* The bytes of a download, as a form. */
static size_t make_form(char *form, size_t max, const void *bytes, size_t n)
{
    static const char head[] =
        "--xyz\r\nContent-Disposition: form-data; name=\"note\"; filename=\"name=\\\"snapshot\\\"\""
        "\r\n\r\nignored\r\n--xyz\r\nContent-Disposition: form-data; name=\"snapshot\"; "
        "filename=\"../../x\"\r\nContent-Type: application/octet-stream\r\n\r\n",
                      tail[] = "\r\n--xyz--\r\n";
    assert_true(n + sizeof head + sizeof tail < max);
    memcpy(form, head, sizeof head - 1);
    memcpy(form + sizeof head - 1, bytes, n);
    memcpy(form + sizeof head - 1 + n, tail, sizeof tail - 1);
    return n + sizeof head + sizeof tail - 2;
}

/* Without a socket there are no headers, so a form cannot say its boundary; the container's bytes
 * can still be looked at. */
static void test_download(void **state)
{
    struct rest *t = *state;
    struct qv_err err;
    char name[256], sum[80], path[512];
    static char form[1 << 20];
    fill(t, "c", 20);
    make(t, "/collections/c/snapshots", name, sum);
    snprintf(path, sizeof path, "/collections/c/snapshots/%s", name);
    qv_response_free(&t->r);
    assert_int_equal(qv_request(t->db, "GET", path, NULL, 0, &t->r, &err), QV_OK);
    assert_int_equal(t->r.status, 200);
    assert_string_equal(t->r.content_type, "application/octet-stream");
    assert_true(t->r.length > 4096);
    assert_memory_equal(t->r.body, "QVSNP\r\n\x1a", 8);
    size_t n = make_form(form, sizeof form, t->r.body, t->r.length);
    assert_int_equal(ask_n(t, "POST", "/collections/d/snapshots/upload", form, n), 400);
    assert_non_null(strstr(t->r.body, "multipart form: the content type must be"));
    has(t, "POST", "/collections/d/snapshots/upload?checksum=12", "x", 422, "checksum");
    has(t, "POST", "/collections/d/snapshots/upload?priority=12", "x", 400, "priority");
    has(t, "GET", "/collections/d/exists", NULL, 200, "false");
}

static void test_of_the_database(void **state)
{
    struct rest *t = *state;
    char name[256], sum[80], path[512], body[700];
    good(t, "GET", "/snapshots", NULL, "[]");
    fill(t, "a", 3);
    make(t, "/snapshots", name, sum);
    assert_int_equal(strncmp(name, "full-snapshot-", 14), 0);
    has(t, "GET", "/snapshots", NULL, 200, name);
    good(t, "GET", "/collections/a/snapshots", NULL, "[]");
    snprintf(body, sizeof body, "{\"location\":\"%s\"}", name);
    has(t, "PUT", "/collections/a/snapshots/recover", body, 400, "does not exist");
    snprintf(path, sizeof path, "/snapshots/%s", name);
    good(t, "DELETE", path, NULL, "true");
    good(t, "GET", "/snapshots", NULL, "[]");
    has(t, "DELETE", "/snapshots/x", NULL, 404, "Not found: Snapshot x not found");
}

/* wait=false: accepted, and then it happens. */
static void test_behind(void **state)
{
    struct rest *t = *state;
    char path[512], name[256];
    fill(t, "c", 5);
    has(t, "POST", "/collections/c/snapshots?wait=false", NULL, 202, "{\"status\":\"accepted\",");
    rest_reopen(t); /* closing waits for it, or takes it back */
    if (ask(t, "GET", "/collections/c/snapshots", NULL) == 200 &&
        strstr(t->r.body, "\"name\"") == NULL) {
        make(t, "/collections/c/snapshots", name, path);
    }
    has(t, "GET", "/collections/c/snapshots", NULL, 200, "\"name\"");
    member(t, "name", name, sizeof name);
    snprintf(path, sizeof path, "/collections/c/snapshots/%s?wait=false", name);
    has(t, "DELETE", path, NULL, 202, "accepted");
    rest_reopen(t);
    good(t, "GET", "/collections/c/snapshots", NULL, "[]");
    has(t, "POST", "/collections/c/snapshots?wait=maybe", NULL, 400, "wait");
}

static void test_of_a_shard(void **state)
{
    struct rest *t = *state;
    char name[256], sum[80], path[512];
    struct qv_err err;
    fill(t, "c", 7);
    make(t, "/collections/c/shards/0/snapshots", name, sum);
    has(t, "GET", "/collections/c/shards/0/snapshots", NULL, 200, name);
    has(t, "GET", "/collections/c/shards/1/snapshots", NULL, 404, "Shard 1");
    has(t, "GET", "/collections/c/shards/x/snapshots", NULL, 422, "shard_id");
    snprintf(path, sizeof path, "/collections/c/shards/0/snapshots/%s", name);
    good(t, "DELETE", path, NULL, "true");
    qv_response_free(&t->r);
    assert_int_equal(
        qv_request(t->db, "GET", "/collections/c/shards/0/snapshot", NULL, 0, &t->r, &err), QV_OK);
    assert_int_equal(t->r.status, 200);
    assert_memory_equal(t->r.body, "QVSNP", 5);
    good(t, "GET", "/collections/c/snapshots", NULL, "[]");
    has(t, "PUT", "/collections/m",
        "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"},\"shard_number\":2}", 200, "true");
    has(t, "POST", "/collections/m/shards/1/snapshots", NULL, 501, "shards");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_of_a_collection, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_locations, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_download, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_of_the_database, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_behind, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_of_a_shard, rest_setup, rest_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
