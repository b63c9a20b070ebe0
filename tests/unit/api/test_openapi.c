/* test_openapi.c: the document at /openapi.json says of every route what it is, and of nothing
 * else; all that it refers to is there, and all that is there is referred to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/qdrant/qdrant.h"
#include "quiver/quiver.h"
#include "qvt.h"

struct document {
    struct qv_db *db;
    struct qv_response answer;
    struct qv__mem *mem;
    struct qv__arena arena;
    qv__json root;
    char dir[64];
};

static int setup(void **state)
{
    struct document *d = calloc(1, sizeof *d);
    struct qv_err err = {0};
    struct qv_options o = qvt_options();
    strcpy(d->dir, "/tmp/quiver-openapi-XXXXXX");
    assert_non_null(mkdtemp(d->dir));
    assert_int_equal(qv_open(d->dir, &o, &d->db, &err), QV_OK);
    assert_int_equal(qv_request(d->db, "GET", "/openapi.json", NULL, 0, &d->answer, &err), QV_OK);
    assert_int_equal(d->answer.status, 200);
    assert_string_equal(d->answer.content_type, "application/json");
    d->mem = qv__mem_root("test", 0);
    qv__arena_init(&d->arena, d->mem);
    if (qv__json_parse(&d->arena, d->answer.body, d->answer.length, NULL, &d->root, &err) !=
        QV_OK) {
        fail_msg("no JSON: %s", err.message);
    }
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    struct document *d = *state;
    struct qv_err err;
    char command[128];
    qv__arena_free(&d->arena);
    qv__mem_close(d->mem);
    qv_response_free(&d->answer);
    assert_int_equal(qv_close(d->db, &err), QV_OK);
    snprintf(command, sizeof command, "rm -rf '%s'", d->dir);
    assert_int_equal(system(command), 0);
    free(d);
    return 0;
}

static void lower(const char *text, char *out)
{
    size_t n = strlen(text);
    for (size_t i = 0; i <= n; i++) {
        out[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
    }
}

static void test_every_route_is_described(void **state)
{
    struct document *d = *state;
    const struct qv__dialect *q = &qv__qdrant_dialect;
    qv__json paths = qv__json_get(d->root, "paths");
    assert_true(qv__json_str_is(qv__json_get(d->root, "openapi"), "3.0.3"));
    for (size_t i = 0; i < q->n_routes; i++) {
        char method[16];
        struct qv__str summary = {NULL, 0};
        lower(qv__method_name(q->routes[i].method), method);
        qv__json o = qv__json_get(qv__json_get(paths, q->routes[i].pattern), method);
        if (!o || !qv__json_str(qv__json_get(o, "summary"), &summary) || !summary.n) {
            fail_msg("%s %s has no row in openapi.c", method, q->routes[i].pattern);
        }
        /* Every parameter of the path is declared, and a body where one must come. */
        size_t n_path = 0, n_declared = 0;
        for (const char *p = strchr(q->routes[i].pattern, '{'); p; p = strchr(p + 1, '{')) {
            n_path++;
        }
        qv__json list = qv__json_get(o, "parameters"), e = qv__json_first(list);
        for (uint32_t k = 0; k < list->len; k++, e = qv__json_next(e)) {
            n_declared += qv__json_str_is(qv__json_get(e, "in"), "path");
        }
        assert_int_equal(n_path, n_declared);
        bool takes_body = (q->routes[i].flags & (QV__QD_BODY | QV__QD_FILE)) != 0;
        bool declares = qv__json_get(o, "requestBody") != NULL;
        if (takes_body && !declares) {
            fail_msg("%s %s takes a body and does not say so", method, q->routes[i].pattern);
        }
    }
}

static void test_nothing_else_is_described(void **state)
{
    struct document *d = *state;
    const struct qv__dialect *q = &qv__qdrant_dialect;
    qv__json paths = qv__json_get(d->root, "paths"), key = qv__json_first(paths);
    size_t n = 0;
    for (uint32_t i = 0; i < paths->len; i++) {
        qv__json value = qv__json_next(key);
        n += value->len;
        key = qv__json_next(value);
    }
    assert_int_equal(n, q->n_routes);
    assert_int_equal(qv__qd_openapi_strays(), 0);
}

/* Call back with the name of each schema that is referred to. */
static size_t count_refs(const char *text, const char *name)
{
    char ref[128];
    size_t n = 0, len = (size_t)snprintf(ref, sizeof ref, "\"#/components/schemas/%s\"", name);
    for (const char *p = strstr(text, ref); p; p = strstr(p + len, ref)) {
        n++;
    }
    return n;
}

static void test_references_lead_somewhere(void **state)
{
    struct document *d = *state;
    static const char head[] = "\"#/components/schemas/";
    qv__json schemas = qv__json_get(qv__json_get(d->root, "components"), "schemas");
    size_t n = 0;
    for (const char *p = strstr(d->answer.body, head); p; p = strstr(p + 1, head)) {
        const char *name = p + strlen(head);
        if (!qv__json_get_n(schemas, name, strcspn(name, "\""))) {
            fail_msg("there is no schema %.40s", name);
        }
        n++;
    }
    assert_true(n > 100);
    qv__json key = qv__json_first(schemas);
    for (uint32_t i = 0; i < schemas->len; i++) {
        struct qv__str name = {NULL, 0};
        char text[64];
        assert_true(qv__json_str(key, &name) && name.n < sizeof text);
        snprintf(text, sizeof text, "%.*s", (int)name.n, name.p);
        if (!count_refs(d->answer.body, text)) {
            fail_msg("nothing refers to the schema %s", text);
        }
        key = qv__json_next(qv__json_next(key));
    }
}

static void test_what_is_not_built_says_so(void **state)
{
    struct document *d = *state;
    qv__json paths = qv__json_get(d->root, "paths");
    qv__json quotas = qv__json_get(qv__json_get(paths, "/quotas"), "get");
    qv__json recover = qv__json_get(qv__json_get(paths, "/cluster/recover"), "post");
    assert_non_null(qv__json_get(qv__json_get(quotas, "responses"), "501"));
    assert_null(qv__json_get(qv__json_get(quotas, "responses"), "200"));
    assert_non_null(qv__json_get(qv__json_get(recover, "responses"), "405"));
    qv__json upsert =
        qv__json_get(qv__json_get(paths, "/collections/{collection_name}/points"), "put");
    assert_non_null(qv__json_get(qv__json_get(upsert, "responses"), "200"));
    assert_non_null(qv__json_get(qv__json_get(upsert, "responses"), "default"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_route_is_described, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_else_is_described, setup, teardown),
        cmocka_unit_test_setup_teardown(test_references_lead_somewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_built_says_so, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
