/* The datatypes float16 and uint8 through REST: stored as given, found exactly, after a restart
 * too; what does not fit is refused. */
#include <math.h>

#include "test_rest.h"

enum { ROWS = 200, DIM = 6, K = 5 };

static const char *const metrics[] = {"Cosine", "Dot", "Euclid", "Manhattan"};

/* Small integers for bytes; eighths, which half floats hold exactly. */
static double element(bool bytes, unsigned row, unsigned i)
{
    unsigned h = (row * 2654435761u) ^ (i * 40503u + 977u);
    h = (h ^ h >> 13) * 2246822519u;
    unsigned v = (h ^ h >> 16) % 256;
    return bytes ? (double)v : ((double)v - 128.0) / 8.0;
}

static double score_of(unsigned metric, const double *a, const double *b)
{
    double ip = 0, aa = 0, bb = 0, l2 = 0, l1 = 0;
    for (unsigned i = 0; i < DIM; i++) {
        ip += a[i] * b[i];
        aa += a[i] * a[i];
        bb += b[i] * b[i];
        l2 += (a[i] - b[i]) * (a[i] - b[i]);
        l1 += fabs(a[i] - b[i]);
    }
    return metric == 0 ? ip / sqrt(aa * bb) : metric == 1 ? ip : metric == 2 ? sqrt(l2) : l1;
}

static void row_of(bool bytes, unsigned row, double *out)
{
    for (unsigned i = 0; i < DIM; i++) {
        out[i] = element(bytes, row, i);
    }
}

static char *put_vector(char *at, bool bytes, unsigned row)
{
    for (unsigned i = 0; i < DIM; i++) {
        at += sprintf(at, "%s%.3f", i ? "," : "[", element(bytes, row, i));
    }
    return at + sprintf(at, "]");
}

static void fill(struct rest *t, const char *datatype, unsigned metric)
{
    static char body[ROWS * (DIM * 12 + 40)];
    char config[200];
    bool bytes = strcmp(datatype, "uint8") == 0;
    sprintf(config, "{\"vectors\":{\"size\":%d,\"distance\":\"%s\",\"datatype\":\"%s\"}}", DIM,
            metrics[metric], datatype);
    assert_int_equal(ask(t, "PUT", "/collections/c", config), 200);
    char *at = body + sprintf(body, "{\"points\":[");
    for (unsigned row = 0; row < ROWS; row++) {
        at += sprintf(at, "%s{\"id\":%u,\"vector\":", row ? "," : "", row);
        at = put_vector(at, bytes, row);
        at += sprintf(at, "}");
    }
    sprintf(at, "]}");
    assert_int_equal(ask(t, "PUT", "/collections/c/points?wait=true", body), 200);
}

/* The scores of the best K, against those computed here; ids by their scores, for ties. */
static void check_search(struct rest *t, bool bytes, unsigned metric, unsigned query, bool exact)
{
    char body[400];
    double q[DIM], row[DIM], scores[ROWS];
    row_of(bytes, query, q);
    for (unsigned i = 0; i < ROWS; i++) {
        row_of(bytes, i, row);
        scores[i] = score_of(metric, q, row);
    }
    char *at =
        body + sprintf(body,
                       "{\"limit\":%d,\"params\":{\"exact\":%s,\"hnsw_ef\":300},\"query\":", K,
                       exact ? "true" : "false");
    at = put_vector(at, bytes, query);
    sprintf(at, "}");
    assert_int_equal(ask(t, "POST", "/collections/c/points/query", body), 200);
    const char *p = t->r.body;
    double last = 0;
    for (unsigned k = 0; k < K; k++) {
        unsigned id, better = 0;
        double score;
        p = strstr(p, "{\"id\":");
        assert_non_null(p);
        assert_int_equal(sscanf(p, "{\"id\":%u", &id), 1);
        p = strstr(p, "\"score\":");
        assert_int_equal(sscanf(p, "\"score\":%lf", &score), 1);
        double size = fabs(scores[id]) + 1.0;
        assert_true(fabs(score - scores[id]) < 2e-3 * size);
        for (unsigned i = 0; i < ROWS; i++) {
            bool is_better = metric < 2 ? scores[i] > scores[id] : scores[i] < scores[id];
            better += is_better && fabs(scores[i] - scores[id]) > 4e-3 * size;
        }
        assert_true(better <= k);
        assert_true(k == 0 || (metric < 2 ? score <= last : score >= last));
        last = score;
    }
}

static void check_all(struct rest *t, bool bytes, unsigned metric)
{
    for (unsigned query = 0; query < ROWS + 10; query += 7) {
        check_search(t, bytes, metric, query, true);
        check_search(t, bytes, metric, query, false);
    }
}

static void found_exactly(void **state)
{
    struct rest *t = *state;
    static const char *const datatypes[] = {"float16", "uint8"};
    for (unsigned d = 0; d < 2; d++) {
        for (unsigned metric = 0; metric < 4; metric++) {
            fill(t, datatypes[d], metric);
            check_all(t, d == 1, metric);
            rest_reopen(t);
            check_all(t, d == 1, metric);
            assert_int_equal(ask(t, "DELETE", "/collections/c", NULL), 200);
        }
    }
}

static void stored_as_given(void **state)
{
    struct rest *t = *state;
    for (int round = 0; round < 2; round++) {
        if (round == 0) {
            fill(t, "uint8", 2);
            assert_int_equal(ask(t, "PUT", "/collections/c/points?wait=true",
                                 "{\"points\":[{\"id\":900,\"vector\":[0,255,1,2.9,254.5,7]}]}"),
                             200);
        }
        good(t, "POST", "/collections/c/points", "{\"ids\":[900],\"with_vector\":true}",
             "[{\"id\":900,\"payload\":{},\"vector\":[0.0,255.0,1.0,2.0,254.0,7.0]}]");
        rest_reopen(t);
    }
    assert_int_equal(ask(t, "GET", "/collections/c", NULL), 200);
    assert_non_null(strstr(t->r.body, "\"datatype\":\"uint8\""));
    /* 0.1 in half precision is 0.0999755859375 */
    assert_int_equal(
        ask(t, "PUT", "/collections/h",
            "{\"vectors\":{\"size\":2,\"distance\":\"Dot\",\"datatype\":\"float16\"}}"),
        200);
    assert_int_equal(ask(t, "PUT", "/collections/h/points?wait=true",
                         "{\"points\":[{\"id\":1,\"vector\":[0.1,-65504]}]}"),
                     200);
    good(t, "POST", "/collections/h/points", "{\"ids\":[1],\"with_vector\":true}",
         "[{\"id\":1,\"payload\":{},\"vector\":[0.099975586,-65504.0]}]");
}

static void what_does_not_fit_is_refused(void **state)
{
    struct rest *t = *state;
    fill(t, "uint8", 1);
    int status = ask(t, "PUT", "/collections/c/points?wait=true",
                     "{\"points\":[{\"id\":1,\"vector\":[0,1,2,3,4,256]}]}");
    assert_int_equal(status, 400);
    assert_non_null(strstr(t->r.body, "element 5 is 256, outside the 0..255 of its datatype"));
    status = ask(t, "PUT", "/collections/c/points?wait=true",
                 "{\"points\":[{\"id\":1,\"vector\":[-1,1,2,3,4,5]}]}");
    assert_int_equal(status, 400);
    /* A query may point beyond: its elements are cut to the range. */
    assert_int_equal(
        ask(t, "POST", "/collections/c/points/query", "{\"query\":[-5,300,0,0,0,0],\"limit\":3}"),
        200);
    /* 2 * positive - negative leaves the range as well. */
    assert_int_equal(
        ask(t, "POST", "/collections/c/points/query",
            "{\"query\":{\"recommend\":{\"positive\":[3,4],\"negative\":[5]}},\"limit\":3}"),
        200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(found_exactly, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(stored_as_given, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_refused, rest_setup, rest_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
