/* test_rest_order.c: points in the order of a field's values: scrolls, queries, pages, the C call;
 * random fields against an order made here. */
#include <math.h>

#include "test_rest.h"

#define WAIT   "?wait=true"
#define SCROLL "/collections/c/points/scroll"
#define QUERY  "/collections/c/points/query"

static void index_field(struct rest *t, const char *name, const char *schema)
{
    char body[256];
    snprintf(body, sizeof body, "{\"field_name\":\"%s\",\"field_schema\":%s}", name, schema);
    has(t, "PUT", "/collections/c/index" WAIT, body, 200, "\"status\":\"completed\"");
}

static void upsert(struct rest *t, int id, const char *payload)
{
    char body[512];
    snprintf(body, sizeof body, "{\"points\":[{\"id\":%d,\"vector\":[%d,1],\"payload\":%s}]}", id,
             id, payload);
    has(t, "PUT", "/collections/c/points" WAIT, body, 200, "completed");
}

static void made(struct rest *t)
{
    good(t, "PUT", "/collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", "true");
}

static void test_shapes(void **state)
{
    struct rest *t = *state;
    made(t);
    upsert(t, 3, "{\"n\":1,\"f\":2.5,\"d\":\"2024-01-02\"}");
    upsert(t, 1, "{\"n\":2,\"f\":-1,\"d\":\"2023-05-01T10:00:00.000001Z\"}");
    upsert(t, 2, "{\"n\":1,\"f\":7,\"d\":\"no date\"}");
    upsert(t, 4, "{\"n\":[5,0,5,\"x\",1.5]}");
    upsert(t, 5, "{\"m\":1}");
    index_field(t, "n", "\"integer\"");
    index_field(t, "f", "\"float\"");
    index_field(t, "d", "\"datetime\"");
    good(t, "POST", SCROLL, "{\"order_by\":\"n\",\"with_payload\":false}",
         "{\"points\":[{\"id\":4,\"order_value\":0},{\"id\":2,\"order_value\":1},{\"id\":3,\"order_"
         "value\":1},{\"id\":1,\"order_value\":2},{\"id\":4,\"order_value\":5}],\"next_page_"
         "offset\":null}");
    /* equal values in the order of ids in this direction too */
    good(t, "POST", SCROLL,
         "{\"order_by\":{\"key\":\"n\",\"direction\":\"desc\"},\"limit\":4,\"with_payload\":false}",
         "{\"points\":[{\"id\":4,\"order_value\":5},{\"id\":1,\"order_value\":2},{\"id\":2,\"order_"
         "value\":1},{\"id\":3,\"order_value\":1}],\"next_page_offset\":null}");
    good(
        t, "POST", SCROLL,
        "{\"order_by\":{\"key\":\"n\",\"start_from\":1.5},\"with_payload\":[\"m\"]}",
        "{\"points\":[{\"id\":1,\"payload\":{},\"order_value\":2},{\"id\":4,\"payload\":{},\"order_"
        "value\":5}],\"next_page_offset\":null}");
    good(t, "POST", SCROLL,
         "{\"order_by\":{\"key\":\"n\",\"start_from\":1,\"direction\":\"desc\"},\"limit\":2,\"with_"
         "payload\":false,\"filter\":{\"must_not\":[{\"has_id\":[2]}]}}",
         "{\"points\":[{\"id\":3,\"order_value\":1},{\"id\":4,\"order_value\":0}],\"next_page_"
         "offset\":null}");
    good(t, "POST", SCROLL,
         "{\"order_by\":{\"key\":\"f\",\"start_from\":null},\"with_payload\":false}",
         "{\"points\":[{\"id\":1,\"order_value\":-1.0},{\"id\":3,\"order_value\":2.5},{\"id\":2,"
         "\"order_value\":7.0}],\"next_page_offset\":null}");
    good(t, "POST", SCROLL,
         "{\"order_by\":{\"key\":\"d\",\"start_from\":\"2023-05-01T10:00:00.000001Z\"},\"with_"
         "payload\":false}",
         "{\"points\":[{\"id\":1,\"order_value\":1682935200000001},{\"id\":3,\"order_value\":"
         "1704153600000000}],\"next_page_offset\":null}");
    /* a query: every score is 1 */
    good(t, "POST", QUERY, "{\"query\":{\"order_by\":\"n\"},\"offset\":1,\"limit\":2}",
         "{\"points\":[{\"id\":2,\"version\":4,\"score\":1.0,\"order_value\":1},{\"id\":3,"
         "\"version\""
         ":2,\"score\":1.0,\"order_value\":1}]}");
    /* over candidates, where there is no value there is no place */
    good(t, "POST", QUERY,
         "{\"prefetch\":{\"query\":[1,0],\"limit\":3},\"query\":{\"order_by\":{\"key\":\"n\","
         "\"direction\":\"desc\"}}}",
         "{\"points\":[{\"id\":4,\"version\":5,\"score\":1.0,\"order_value\":5},{\"id\":3,"
         "\"version\":2,\"score\":1.0,\"order_value\":1},{\"id\":4,\"version\":5,\"score\":1.0,"
         "\"order_value\":0}]}");
    /* as a stage before another each point counts once */
    good(
        t, "POST", QUERY,
        "{\"prefetch\":[{\"query\":{\"order_by\":{\"key\":\"n\",\"direction\":\"desc\"}},\"limit\":"
        "2}],\"query\":{\"fusion\":\"rrf\"}}",
        "{\"points\":[{\"id\":4,\"version\":5,\"score\":0.5},{\"id\":1,\"version\":3,\"score\":0."
        "33333334}]}");
    has(t, "POST", QUERY "/groups",
        "{\"query\":{\"order_by\":\"n\"},\"group_by\":\"f\",\"limit\":9}", 200,
        "\"groups\":[{\"hits\":[{\"id\":2,\"version\":4,\"score\":1.0}],\"id\":7},{\"hits\":[{"
        "\"id\":1,"
        "\"version\":3,\"score\":1.0}],\"id\":-1}]");
    has(t, "POST", QUERY "/groups",
        "{\"query\":{\"order_by\":{\"key\":\"n\",\"direction\":\"desc\"}},\"group_by\":\"m\","
        "\"group_size\":2}",
        200, "\"groups\":[]");
}

static void test_needs_an_index(void **state)
{
    struct rest *t = *state;
    made(t);
    upsert(t, 1, "{\"n\":1}");
    has(t, "POST", SCROLL, "{\"order_by\":\"n\"}", 400, "No range index for `order_by` key: `n`");
    index_field(t, "n", "\"keyword\"");
    has(t, "POST", SCROLL, "{\"order_by\":\"n\"}", 400, "No range index for `order_by` key: `n`");
    index_field(t, "n", "{\"type\":\"integer\",\"lookup\":true,\"range\":false}");
    has(t, "POST", SCROLL, "{\"order_by\":\"n\"}", 400, "No range index for `order_by` key: `n`");
    index_field(t, "n", "{\"type\":\"integer\",\"lookup\":false,\"range\":true}");
    has(t, "POST", SCROLL, "{\"order_by\":\"n\"}", 200, "\"order_value\":1");
    has(t, "DELETE", "/collections/c/index/n" WAIT, NULL, 200, "completed");
    has(t, "POST", QUERY, "{\"query\":{\"order_by\":\"n\"}}", 400, "No range index");
}

/* --- at random --- */

enum { POINTS = 5000, VALUES = 3, GONE = 7 };

struct entry {
    long long value;
    int id;
};

static struct entry all[POINTS * VALUES];
static int n_all;

static int rising(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->value != y->value ? (x->value < y->value ? -1 : 1) : x->id - y->id;
}

static int falling(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->value != y->value ? (x->value > y->value ? -1 : 1) : x->id - y->id;
}

static unsigned roll(unsigned *seed, unsigned n)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % n;
}

/* Payload of a point: none, one or several values, few different ones, repeated and of other types
 * in between. */
static int payload_of(unsigned *seed, int id, bool keep, char *out)
{
    int n = (int)roll(seed, VALUES + 1), at = 0;
    long long had[VALUES];
    if (n == 0) {
        return sprintf(out, "{\"even\":%s,\"v\":%s}", id % 2 ? "false" : "true",
                       roll(seed, 2) ? "null" : "[]");
    }
    at += sprintf(out, "{\"even\":%s,\"v\":%s", id % 2 ? "false" : "true", n > 1 ? "[" : "");
    for (int i = 0; i < n; i++) {
        had[i] = (long long)roll(seed, 400) - 200;
        bool again = false;
        for (int k = 0; k < i; k++) {
            again |= had[k] == had[i];
        }
        if (keep && !again) {
            all[n_all++] = (struct entry){had[i], id};
        }
        at += sprintf(out + at, "%s%lld%s", i ? "," : "", had[i],
                      i && roll(seed, 5) == 0 ? ",\"s\"" : "");
    }
    return at + sprintf(out + at, "%s}", n > 1 ? "]" : "");
}

static void fill(struct rest *t)
{
    static char body[64 << 10];
    unsigned seed = 7;
    n_all = 0;
    for (int first = 1; first <= POINTS; first += 250) {
        int n = sprintf(body, "{\"points\":[");
        for (int id = first; id < first + 250; id++) {
            n += sprintf(body + n,
                         "%s{\"id\":%d,\"vector\":[1,0],\"payload\":", id > first ? "," : "", id);
            n += payload_of(&seed, id, id % GONE != 0, body + n);
            n += sprintf(body + n, "}");
        }
        sprintf(body + n, "]}");
        has(t, "PUT", "/collections/c/points" WAIT, body, 200, "completed");
    }
    for (int id = GONE; id <= POINTS;
         id += GONE) { /* deleted ones are in the blocks all the same */
        char one[64];
        sprintf(one, "{\"points\":[%d]}", id);
        has(t, "POST", "/collections/c/points/delete" WAIT, one, 200, "completed");
    }
}

/* The answer's (id, order_value) are these. */
static void same(struct rest *t, const char *body, const struct entry *want, int n)
{
    assert_int_equal(ask(t, "POST", SCROLL, body), 200);
    const char *p = t->r.body;
    for (int i = 0; i < n; i++) {
        p = strstr(p, "{\"id\":");
        if (!p) {
            fail_msg("%s: %d of %d", body, i, n);
        }
        long id = strtol(p + 6, NULL, 10);
        p = strstr(p, "\"order_value\":");
        assert_non_null(p);
        double v = strtod(p + 14, NULL);
        if (id != want[i].id || v != (double)want[i].value) {
            fail_msg("%s: at %d %ld %g, wanted %d %lld", body, i, id, v, want[i].id, want[i].value);
        }
    }
    assert_null(strstr(p, "{\"id\":"));
}

static void compare(struct rest *t, unsigned *seed, bool even)
{
    static struct entry want[POINTS * VALUES];
    char body[512];
    bool down = roll(seed, 2), from = roll(seed, 2);
    int start = (int)roll(seed, 440) - 220, limit = 1 + (int)roll(seed, roll(seed, 3) ? 30 : 9000);
    int n = 0;
    for (int i = 0; i < n_all; i++) {
        bool in = !from || (down ? all[i].value <= start : all[i].value >= start);
        if (in && (!even || all[i].id % 2 == 0)) {
            want[n++] = all[i];
        }
    }
    qsort(want, (size_t)n, sizeof *want, down ? falling : rising);
    char first[48] = "";
    if (from) {
        snprintf(first, sizeof first, ",\"start_from\":%d", start);
    }
    snprintf(body, sizeof body,
             "{\"order_by\":{\"key\":\"v\",\"direction\":\"%s\"%s},\"limit\":%d,\"with_payload\":"
             "false%s}",
             down ? "desc" : "asc", first, limit,
             even ? ",\"filter\":{\"must\":[{\"key\":\"even\",\"match\":{\"value\":true}}]}" : "");
    same(t, body, want, n < limit ? n : limit);
}

static void test_random(void **state)
{
    struct rest *t = *state;
    unsigned seed = 3;
    made(t);
    index_field(t, "v", "\"integer\""); /* before the points: blocks come as they do */
    fill(t);
    for (int i = 0; i < 20; i++) {
        compare(t, &seed, i % 3 == 0);
    }
    index_field(t, "v", "\"float\""); /* another type, over segments that are there */
    for (int i = 0; i < 20; i++) {
        compare(t, &seed, i % 3 == 0);
    }
    rest_reopen(t);
    for (int i = 0; i < 20; i++) {
        compare(t, &seed, i % 3 == 0);
    }
}

/* Pages as a client makes them: from the last value on, without the ids that had it. */
static void pages(struct rest *t, bool down)
{
    struct qv_err err;
    static struct entry got[POINTS * VALUES];
    static char filter[256 << 10];
    int n = 0, n_pages = 0;
    struct qv_scroll page = {.limit = 600, .order_by = "v", .descending = down};
    for (;; n_pages++) {
        qv_result *r = NULL;
        if (qv_scroll(t->db, "c", &page, &r, &err) != QV_OK) {
            fail_msg("%s", err.message);
        }
        size_t had = qv_result_count(r);
        for (size_t i = 0; i < had; i++) {
            const struct qv_hit *h = qv_result_hit(r, i);
            assert_int_equal(h->order_kind, QV_ORDER_INTEGER);
            got[n++] = (struct entry){h->order_integer, (int)h->id.as.u64};
        }
        assert_null(qv_result_next(r));
        qv_result_free(r);
        if (had < page.limit) {
            break;
        }
        int at = sprintf(filter, "{\"must_not\":[{\"has_id\":[0");
        for (int i = n; i-- > 0 && got[i].value == got[n - 1].value;) {
            at += sprintf(filter + at, ",%d", got[i].id);
        }
        sprintf(filter + at, "]}]}");
        page.filter_json = filter;
        page.start_kind = QV_ORDER_INTEGER;
        page.start_integer = got[n - 1].value;
    }
    /* What is left out by id is left out with its later values too, as in the peer; so each value
     * that comes is right and in order, and each point comes. */
    static bool seen[POINTS + 1];
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < n; i++) {
        seen[got[i].id] = true;
        assert_true(i == 0 || (down ? falling : rising)(&got[i - 1], &got[i]) < 0);
    }
    for (int i = 0; i < n_all; i++) {
        assert_true(seen[all[i].id]);
    }
    assert_true(n_pages > 3);
}

static void test_pages(void **state)
{
    struct rest *t = *state;
    struct qv_err err;
    qv_result *r = NULL;
    made(t);
    fill(t);
    index_field(t, "v", "\"integer\"");
    pages(t, false);
    pages(t, true);
    /* the C call in the order of ids */
    struct qv_scroll page = {.limit = 2, .with_payload = true};
    assert_int_equal(qv_scroll(t->db, "c", &page, &r, &err), QV_OK);
    assert_int_equal(qv_result_count(r), 2);
    assert_int_equal(qv_result_hit(r, 1)->id.as.u64, 2);
    assert_int_equal(qv_result_hit(r, 1)->order_kind, QV_ORDER_NONE);
    assert_non_null(strstr(qv_result_hit(r, 1)->payload, "\"even\":true"));
    struct qv_id next = *qv_result_next(r);
    assert_int_equal(next.as.u64, 3);
    qv_result_free(r);
    page.from = &next;
    assert_int_equal(qv_scroll(t->db, "c", &page, &r, &err), QV_OK);
    assert_int_equal(qv_result_hit(r, 0)->id.as.u64, 3);
    qv_result_free(r);
    page.order_by = "v";
    assert_int_equal(qv_scroll(t->db, "c", &page, &r, &err), QV_EINVAL);
    page.from = NULL;
    page.order_by = NULL;
    page.start_kind = (enum qv_order_kind)55;
    assert_int_equal(qv_scroll(t->db, "c", &page, &r, &err), QV_EINVAL);
    assert_string_equal(err.message, "page.start_kind: is of order_by, which is not given");
    page.start_kind = QV_ORDER_NONE;
    page.descending = true;
    assert_int_equal(qv_scroll(t->db, "c", &page, &r, &err), QV_EINVAL);
    assert_string_equal(err.message, "page.descending: is of order_by, which is not given");
    page.descending = false;
    page.order_by = "a..b";
    assert_int_equal(qv_scroll(t->db, "c", &page, &r, &err), QV_EINVAL);
    page.order_by = "\xff";
    assert_int_equal(qv_scroll(t->db, "c", &page, &r, &err), QV_EINVAL);
    assert_string_equal(err.message, "page.order_by: not UTF-8");
    page.order_by = "w";
    assert_int_equal(qv_scroll(t->db, "c", &page, &r, &err), QV_EINVAL);
    page.order_by = "v";
    page.start_kind = QV_ORDER_NUMBER;
    page.start_number = (double)NAN;
    assert_int_equal(qv_scroll(t->db, "c", &page, &r, &err), QV_EINVAL);
    page.limit = 0;
    assert_int_equal(qv_scroll(t->db, "c", &page, &r, &err), QV_EVALIDATION);
    assert_int_equal(qv_scroll(t->db, "c", NULL, &r, &err), QV_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_shapes, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_needs_an_index, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_random, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_pages, rest_setup, rest_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
