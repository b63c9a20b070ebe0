/* The datatypes float16, uint8, int8 and bit through REST: stored as given, found exactly, after a
 * restart too; what does not fit is refused. */
#include <math.h>

#include "test_rest.h"

enum { ROWS = 200, DIM = 12, K = 5 };

static const char *const metrics[] = {"Cosine", "Dot", "Euclid", "Manhattan", "Hamming"};
enum type { F16, U8, I8, BIT, TYPES };
static const char *const types[] = {"float16", "uint8", "int8", "bit"};

/* Eighths, which half floats hold exactly; whole bytes; bits. */
static double element(enum type type, unsigned row, unsigned i)
{
    unsigned h = (row * 2654435761u) ^ (i * 40503u + 977u);
    h = (h ^ h >> 13) * 2246822519u;
    unsigned v = (h ^ h >> 16) % 256;
    double is_signed = (double)v - 128.0;
    return type == U8 ? (double)v : type == I8 ? is_signed : type == BIT ? v % 2 : is_signed / 8.0;
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
    /* of bits L1 is the Hamming distance */
}

static void row_of(enum type type, unsigned row, double *out)
{
    for (unsigned i = 0; i < DIM; i++) {
        out[i] = element(type, row, i);
    }
}

static char *put_vector(char *at, enum type type, unsigned row)
{
    for (unsigned i = 0; i < DIM; i++) {
        at += sprintf(at, "%s%.3f", i ? "," : "[", element(type, row, i));
    }
    return at + sprintf(at, "]");
}

/* As hexadecimal digits, every other row of bits. */
static char *put_bits(char *at, unsigned row)
{
    at += sprintf(at, "{\"bits\":\"");
    for (unsigned i = 0; i < DIM; i += 4) {
        unsigned digit = 0;
        for (unsigned k = 0; k < 4; k++) {
            digit = digit * 2 + (unsigned)element(BIT, row, i + k);
        }
        at += sprintf(at, "%x", digit);
    }
    return at + sprintf(at, "\"}");
}

/* Members of the collection's body behind the vectors: "" or ",..." */
static const char *settings = "";

static void fill(struct rest *t, enum type type, unsigned metric)
{
    static char body[ROWS * (DIM * 12 + 40)];
    char config[400];
    sprintf(config, "{\"vectors\":{\"size\":%d,\"distance\":\"%s\",\"datatype\":\"%s\"}%s}", DIM,
            metrics[metric], types[type], settings);
    assert_int_equal(ask(t, "PUT", "/collections/c", config), 200);
    char *at = body + sprintf(body, "{\"points\":[");
    for (unsigned row = 0; row < ROWS; row++) {
        at += sprintf(at, "%s{\"id\":%u,\"vector\":", row ? "," : "", row);
        at = type == BIT && row % 2 ? put_bits(at, row) : put_vector(at, type, row);
        at += sprintf(at, "}");
    }
    sprintf(at, "]}");
    assert_int_equal(ask(t, "PUT", "/collections/c/points?wait=true", body), 200);
}

/* The scores of the best K, against those computed here; ids by their scores, for ties. */
static void check_search(struct rest *t, enum type type, unsigned metric, unsigned query,
                         bool exact)
{
    char body[400];
    double q[DIM], row[DIM], scores[ROWS];
    row_of(type, query, q);
    for (unsigned i = 0; i < ROWS; i++) {
        row_of(type, i, row);
        scores[i] = score_of(metric, q, row);
    }
    char *at =
        body + sprintf(body,
                       "{\"limit\":%d,\"params\":{\"exact\":%s,\"hnsw_ef\":300},\"query\":", K,
                       exact ? "true" : "false");
    at = put_vector(at, type, query);
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

static void check_all(struct rest *t, enum type type, unsigned metric)
{
    for (unsigned query = 0; query < ROWS + 10; query += 7) {
        check_search(t, type, metric, query, true);
        check_search(t, type, metric, query, false);
    }
}

static void found_exactly(void **state)
{
    struct rest *t = *state;
    for (enum type type = F16; type < TYPES; type++) {
        for (unsigned metric = type == BIT ? 4 : 0; metric < (type == BIT ? 5 : 4); metric++) {
            fill(t, type, metric);
            check_all(t, type, metric);
            rest_reopen(t);
            check_all(t, type, metric);
            assert_int_equal(ask(t, "POST", "/collections/c/optimize", NULL), 200);
            check_all(t, type, metric);
            rest_reopen(t);
            check_all(t, type, metric);
            assert_int_equal(ask(t, "DELETE", "/collections/c", NULL), 200);
        }
    }
}

/* What is given, and what comes back: bytes are cut towards zero. */
static void stored_as_given(void **state)
{
    static const struct {
        const char *create, *given, *stored;
    } cases[] = {
        {"\"size\":6,\"distance\":\"Euclid\",\"datatype\":\"uint8\"", "[0,255,1,2.9,254.5,7]",
         "[0.0,255.0,1.0,2.0,254.0,7.0]"},
        {"\"size\":6,\"distance\":\"Cosine\",\"datatype\":\"int8\"", "[-128,127,0,-2.9,1,7]",
         "[-128.0,127.0,0.0,-2.0,1.0,7.0]"},
        /* 0.1 in half precision is 0.0999755859375 */
        {"\"size\":2,\"distance\":\"Dot\",\"datatype\":\"float16\"", "[0.1,-65504]",
         "[0.099975586,-65504.0]"},
        {"\"size\":10,\"distance\":\"Hamming\",\"datatype\":\"bit\"", "[1,0,0,0,0,0,1,1,0,1.0]",
         "[1,0,0,0,0,0,1,1,0,1]"},
        {"\"size\":12,\"distance\":\"Hamming\",\"datatype\":\"bit\"", "{\"bits\":\"8Fc\"}",
         "[1,0,0,0,1,1,1,1,1,1,0,0]"},
    };
    struct rest *t = *state;
    char text[300];
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sprintf(text, "{\"vectors\":{%s}}", cases[i].create);
        assert_int_equal(ask(t, "PUT", "/collections/c", text), 200);
        sprintf(text, "{\"points\":[{\"id\":9,\"vector\":%s}]}", cases[i].given);
        assert_int_equal(ask(t, "PUT", "/collections/c/points?wait=true", text), 200);
        for (int round = 0; round < 3; round++) {
            sprintf(text, "[{\"id\":9,\"payload\":{},\"vector\":%s}]", cases[i].stored);
            good(t, "POST", "/collections/c/points", "{\"ids\":[9],\"with_vector\":true}", text);
            assert_int_equal(ask(t, "GET", "/collections/c", NULL), 200);
            assert_non_null(strstr(t->r.body, strrchr(cases[i].create, ':') + 1));
            if (round == 0) {
                rest_reopen(t);
            } else {
                assert_int_equal(ask(t, "POST", "/collections/c/optimize", NULL), 200);
            }
        }
        assert_int_equal(ask(t, "DELETE", "/collections/c", NULL), 200);
    }
}

static void refused(struct rest *t, const char *method, const char *path, const char *body,
                    int status, const char *why)
{
    int got = ask(t, method, path, body);
    if (got != status || !strstr(t->r.body, why)) {
        print_error("%s %s %s: %d %s\n", method, path, body, got, t->r.body);
        fail();
    }
}

static void upsert_refused(struct rest *t, const char *vector, const char *why)
{
    char body[300];
    sprintf(body, "{\"points\":[{\"id\":1,\"vector\":%s}]}", vector);
    refused(t, "PUT", "/collections/c/points?wait=true", body, 400, why);
}

static void create_refused(struct rest *t, const char *vectors, int status, const char *why)
{
    char body[300];
    sprintf(body, "{\"vectors\":%s}", vectors);
    refused(t, "PUT", "/collections/d", body, status, why);
}

static void what_does_not_fit_is_refused(void **state)
{
    struct rest *t = *state;
    fill(t, U8, 1);
    /* What is beyond the range of uint8 becomes its end. */
    good(t, "PUT", "/collections/u",
         "{\"vectors\":{\"m\":{\"size\":2,\"distance\":\"Dot\",\"datatype\":\"uint8\","
         "\"multivector_config\":{\"comparator\":\"max_sim\"}},\"d\":{\"size\":2,\"distance\":"
         "\"Dot\",\"datatype\":\"uint8\"}}}",
         "true");
    has(t, "PUT", "/collections/u/points?wait=true",
        "{\"points\":[{\"id\":1,\"vector\":{\"m\":[[256.19,1.81]],\"d\":[-1,300]}}]}", 200,
        "completed");
    good(t, "GET", "/collections/u/points/1", NULL,
         "{\"id\":1,\"payload\":{},\"vector\":{\"m\":[[255.0,1.0]],\"d\":[0.0,255.0]}}");
    assert_int_equal(ask(t, "DELETE", "/collections/u", NULL), 200);
    upsert_refused(t, "{\"bits\":\"fff\"}", "packed bits are for bit vectors, not for uint8");
    refused(t, "POST", "/collections/c/points/query", "{\"query\":{\"bits\":\"fff\"},\"limit\":3}",
            400, "packed bits are for bit vectors, not for uint8");
    /* A query may point beyond: its elements are cut to the range. */
    assert_int_equal(ask(t, "POST", "/collections/c/points/query",
                         "{\"query\":[-5,300,0,0,0,0,0,0,0,0,0,0],\"limit\":3}"),
                     200);
    /* 2 * positive - negative leaves the range as well. */
    assert_int_equal(
        ask(t, "POST", "/collections/c/points/query",
            "{\"query\":{\"recommend\":{\"positive\":[3,4],\"negative\":[5]}},\"limit\":3}"),
        200);
    assert_int_equal(ask(t, "DELETE", "/collections/c", NULL), 200);
    fill(t, I8, 0);
    upsert_refused(t, "[0,1,2,3,4,128,0,0,0,0,0,0]",
                   "element 5 is 128, outside the -128..127 of its datatype");
    assert_int_equal(ask(t, "DELETE", "/collections/c", NULL), 200);
}

static void bits_are_zeros_and_ones(void **state)
{
    struct rest *t = *state;
    static const char vector[] = "/collections/c/points/query";
    fill(t, BIT, 4);
    upsert_refused(t, "[0,1,1,1,1,2,0,0,0,0,0,0]", "element 5 is 2; a bit is 0 or 1");
    upsert_refused(t, "[0,1,1,1,1,0.5,0,0,0,0,0,0]", "element 5 is 0.5; a bit is 0 or 1");
    upsert_refused(t, "{\"bits\":\"ff\"}", "expected dim: 12, got 8");
    upsert_refused(t, "{\"bits\":\"fxf\"}",
                   "bits: expected hexadecimal digits; character 1 is none");
    upsert_refused(t, "\"fff\"", "expected a vector");
    refused(t, "POST", vector, "{\"query\":[0,1,1,1,1,3,0,0,0,0,0,0]}", 400,
            "element 5 is 3; a bit is 0 or 1");
    refused(t, "POST", vector, "{\"query\":{\"bits\":\"ffff\"}}", 400, "expected dim: 12, got 16");
    /* One digit for four elements, the first element its highest bit. */
    assert_int_equal(ask(t, "PUT", "/collections/c/points?wait=true",
                         "{\"points\":[{\"id\":900,\"vector\":{\"bits\":\"f0f\"}}]}"),
                     200);
    good(t, "POST", vector, "{\"query\":{\"nearest\":{\"bits\":\"f0e\"}},\"limit\":1}",
         "{\"points\":[{\"id\":900,\"version\":3,\"score\":1.0}]}");
    good(t, "POST", "/collections/c/points/search",
         "{\"vector\":[1,1,1,1,0,0,0,0,1,1,1,1],\"limit\":1}",
         "[{\"id\":900,\"version\":3,\"score\":0.0}]");
    good(t, "POST", "/collections/c/points/search",
         "{\"vector\":{\"bits\":\"f0f\"},\"limit\":1,\"score_threshold\":0.5}",
         "[{\"id\":900,\"version\":3,\"score\":0.0}]");
    /* Averages of bits become bits; the other kinds compare with stored ones. */
    static const char *const kinds[] = {
        "{\"query\":{\"recommend\":{\"positive\":[3,4,5],\"negative\":[6]}}}",
        ("{\"query\":{\"recommend\":{\"positive\":[3,4],\"negative\":[6],"
         "\"strategy\":\"best_score\"}}}"),
        "{\"query\":{\"recommend\":{\"positive\":[{\"bits\":\"abc\"}]}}}",
        "{\"query\":{\"discover\":{\"target\":3,\"context\":[{\"positive\":4,\"negative\":5}]}}}",
        "{\"query\":{\"nearest\":3,\"mmr\":{\"diversity\":0.5}}}",
    };
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        assert_int_equal(ask(t, "POST", vector, kinds[i]), 200);
        assert_non_null(strstr(t->r.body, "\"id\":"));
    }
}

static void metrics_and_codes_that_do_not_serve(void **state)
{
    struct rest *t = *state;
    create_refused(t, "{\"size\":8,\"distance\":\"Hamming\"}", 422,
                   "vectors.distance: value Hamming invalid for datatype float32, must be Cosine, "
                   "Dot, Euclid or Manhattan");
    create_refused(t, "{\"a\":{\"size\":8,\"distance\":\"Dot\",\"datatype\":\"bit\"}}", 422,
                   "vectors.a.distance: value Dot invalid for datatype bit, must be Hamming");
    create_refused(t, "{\"size\":8,\"distance\":\"Dot\",\"datatype\":\"int4\"}", 400,
                   "vectors.datatype: unknown variant `int4`");
    create_refused(t,
                   "{\"size\":8,\"distance\":\"Hamming\",\"datatype\":\"bit\","
                   "\"quantization_config\":{\"scalar\":{\"type\":\"int8\"}}}",
                   422, "vectors.quantization_config: bit vectors have no codes");
    static const char both[] =
        "{\"vectors\":{\"f\":{\"size\":128,\"distance\":\"Dot\"},"
        "\"b\":{\"size\":128,\"distance\":\"Hamming\",\"datatype\":\"bit\"}},"
        "\"quantization_config\":{\"scalar\":{\"type\":\"int8\"}}}";
    static const char bits[] =
        "{\"vectors\":{\"size\":8,\"distance\":\"Hamming\",\"datatype\":\"bit\"}"
        ",\"quantization_config\":{\"binary\":{}}}";
    assert_int_equal(ask(t, "PUT", "/collections/both", both), 200); /* of the one that can */
    refused(t, "PUT", "/collections/d", bits, 422,
            "quantization_config: bit vectors have no codes");
    refused(t, "PATCH", "/collections/both",
            "{\"vectors\":{\"b\":{\"quantization_config\":{\"binary\":{}}}}}", 422,
            "vectors.b.quantization_config: bit vectors have no codes");
    fill(t, BIT, 4);
    refused(t, "PATCH", "/collections/c", "{\"quantization_config\":{\"binary\":{}}}", 422,
            "quantization_config: bit vectors have no codes");
    refused(t, "PUT", "/collections/both/vectors/n",
            "{\"dense\":{\"size\":2,\"distance\":\"Hamming\"}}", 422, "value Hamming invalid");
}

/* Every kind of codes on every datatype, with everything a search may say about them. */
static void quantized(void **state)
{
    struct rest *t = *state;
    static const char *const kinds[] = {
        "{\"scalar\":{\"type\":\"int8\",\"always_ram\":true}}",
        "{\"binary\":{\"always_ram\":true}}",
        "{\"binary\":{\"encoding\":\"two_bits\"}}",
        "{\"turbo\":{}}",
    };
    static const char *const said[] = {
        "{}",
        "{\"ignore\":true}",
        "{\"rescore\":false}",
        "{\"rescore\":true,\"oversampling\":20.0}",
    };
    char config[300];
    for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        for (enum type type = F16; type < BIT; type++) {
            for (unsigned metric = 0; metric < 4; metric++) {
                if (k && metric != k % 3) { /* every metric with the first kind */
                    continue;
                }
                sprintf(
                    config,
                    ",\"quantization_config\":%s,\"optimizers_config\":{\"indexing_threshold\":1}",
                    kinds[k]);
                settings = config;
                fill(t, type, metric);
                settings = "";
                assert_int_equal(ask(t, "POST", "/collections/c/optimize", NULL), 200);
                assert_int_equal(ask(t, "GET", "/collections/c", NULL), 200);
                bool none = strstr(t->r.body, "no codes serve them") != NULL;
                bool bytes = strstr(t->r.body, "are bytes already") != NULL;
                assert_true(none == (metric == 3));
                assert_true(bytes == (k == 0 && type != F16 && metric != 3));
                for (unsigned s = 0; s < sizeof(said) / sizeof(said[0]); s++) {
                    char body[300], *at = body;
                    at += sprintf(at,
                                  "{\"limit\":%d,\"params\":{\"hnsw_ef\":200,\"quantization\":%s},"
                                  "\"query\":",
                                  K, said[s]);
                    at = put_vector(at, type, 5);
                    sprintf(at, "}");
                    assert_int_equal(ask(t, "POST", "/collections/c/points/query", body), 200);
                    /* Its own point comes first, with the score of the elements. */
                    if (metric != 1 && !(s == 2 && k > 0)) {
                        assert_non_null(strstr(t->r.body, "\"points\":[{\"id\":5,"));
                        assert_non_null(
                            strstr(t->r.body, metric == 0 ? "\"score\":1.0" : "\"score\":0.0"));
                    }
                }
                if (k == 0) {
                    check_all(t, type, metric); /* codes of a byte lose nothing here */
                }
                assert_int_equal(ask(t, "DELETE", "/collections/c", NULL), 200);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(found_exactly, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(stored_as_given, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_refused, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(bits_are_zeros_and_ones, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(quantized, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(metrics_and_codes_that_do_not_serve, rest_setup,
                                        rest_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
