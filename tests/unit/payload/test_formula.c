/* test_formula.c: what a formula takes for what is missing. The functions are tested from end to
 * end (tests/integration/test_rest_query.c), their answers against another implementation
 * (tests/clients/diff_py.py). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "payload/formula.h"
#include "payload_test.h"

static qv_status parse(struct qv__arena *a, const char *formula, const char *defaults,
                       const struct qv__formula **out, struct qv_err *err)
{
    qv__json f, d;
    assert_int_equal(qv__json_parse(a, formula, strlen(formula), NULL, &f, NULL), QV_OK);
    assert_int_equal(qv__json_parse(a, defaults, strlen(defaults), NULL, &d, NULL), QV_OK);
    return qv__formula_parse(a, f, d, out, err);
}

/* Of a point that two stages may have found, the second did not. */
static void value_at(const char *formula, const char *defaults, float want, int line)
{
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv__arena a;
    struct qv_err err = {.code = QV_OK};
    const struct qv__formula *f = NULL;
    const float scores[2] = {0.25f, NAN};
    struct qv__formula_row row = {.scores = scores, .n_scores = 2};
    float got = 0;
    qv__arena_init(&a, mem);
    if (parse(&a, formula, defaults, &f, &err) != QV_OK ||
        qv__formula_eval(f, &row, &got, &err) != QV_OK || got != want) {
        fail_msg("line %d: %s: %g, wanted %g; %s", line, formula, (double)got, (double)want,
                 err.message);
    }
    qv__arena_free(&a);
    qv__mem_close(mem);
}
#define value(formula, defaults, want) value_at(formula, defaults, want, __LINE__)

static void test_defaults(void **state)
{
    (void)state;
    value("\"$score\"", "{\"$score\":3}", 0.25f);
    value("\"$score[1]\"", "{}", 0);
    value("\"$score[1]\"", "null", 0);
    value("\"$score[1]\"", "{\"$score\":3,\"$score[1]\":4}", 4);
    value("\"$score[1]\"", "{\"$score[1]\":\"no number\"}", 0);
    value("\"$score[4095]\"", "{\"$score[4095]\":5}", 5);
    value("\"$score[4095]\"", "{\"$score[4096]\":5}", 0);
    value("{\"sum\":[\"n\",\"m.k\",\"$score\"]}", "{\"m.k\":2,\"n\":1,\"$score\":7}", 3.25f);
}

/* A row of a hundred thousand numbers is looked through for every variable. */
static void test_long_row(void **state)
{
    enum { NUMBERS = 100000, VARIABLES = 100 };
    struct fixture *x = *state;
    struct qv__buf text;
    struct qv_err err = {.code = QV_OK};
    const struct qv__formula *f = NULL;
    float got;
    qv__buf_init(&text, x->mem);
    qv__buf_putz(&text, "{\"a\":[1");
    for (int i = 1; i < NUMBERS; i++) {
        qv__buf_putz(&text, ",1");
    }
    qv__buf_putz(&text, "]}");
    struct qv__formula_row r = {.payload = row_of(x, json_n(x, (const char *)text.p, text.n))};
    qv__buf_reset(&text);
    qv__buf_putz(&text, "{\"sum\":[1");
    for (int i = 0; i < VARIABLES; i++) {
        qv__buf_putz(&text, ",\"a[].b\"");
    }
    qv__buf_putz(&text, "]}");
    qv__buf_putc(&text, '\0');
    assert_int_equal(parse(&x->arena, (const char *)text.p, "{\"a[].b\":1}", &f, &err), QV_OK);
    qv__buf_free(&text);
    for (uint64_t deadline = 1; deadline <= VARIABLES; deadline += 33) {
        uint64_t looks = 0;
        struct qv__clock clock = {.mono_ns = looks_ns, .ctx = &looks};
        struct qv__qctx ctx = {.clock = &clock, .deadline_ns = deadline};
        struct qv__steps steps = {.q = &ctx};
        r.steps = &steps;
        qv_status want = deadline < VARIABLES ? QV_ETIMEOUT : QV_OK;
        assert_int_equal(qv__formula_eval(f, &r, &got, &err), want);
        assert_int_equal(looks, QV_MIN(deadline + 1, (uint64_t)VARIABLES));
    }
}

static void test_many_defaults(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv__arena a;
    struct qv_err err = {.code = QV_OK};
    const struct qv__formula *f = NULL;
    const size_t room = (size_t)QV__FORMULA_DEFAULTS_MAX * 16;
    char *text = malloc(room);
    qv__arena_init(&a, mem);
    for (uint32_t more = 0; more < 2; more++) {
        size_t n = (size_t)snprintf(text, room, "{\"n\":2");
        for (uint32_t i = 1; i < QV__FORMULA_DEFAULTS_MAX + more; i++) {
            n += (size_t)snprintf(text + n, room - n, ",\"k%u\":1", i);
        }
        memcpy(text + n, "}", 2);
        assert_int_equal(parse(&a, "\"n\"", text, &f, &err), more ? QV_ETOOBIG : QV_OK);
    }
    assert_string_equal(err.message, "defaults: 4097 defaults, at most 4096 in one formula");
    free(text);
    qv__arena_free(&a);
    qv__mem_close(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_many_defaults),
        TEST(test_long_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
