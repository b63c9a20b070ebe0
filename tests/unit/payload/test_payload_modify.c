/* test_payload_modify.c: arrays appended to and removed from, numbers counted up. */
#include "payload_test.h"

struct step {
    int kind;
    const char *path, *value;
};

static struct qv__payload_op op_of(struct fixture *f, const struct step *s)
{
    struct qv__payload_op op = {.kind = s->kind, .text = qv__str_z(s->path)};
    struct qv__buf b;
    assert_int_equal(qv__path_parse(op.text, &op.path, NULL), QV_OK);
    qv__buf_init(&b, f->mem);
    assert_int_equal(qv__value_from_json(&b, json(f, s->value), NULL), QV_OK);
    op.value = keep(f, &b);
    return op;
}

static qv_status apply(struct fixture *f, const char *doc, const struct step *s, size_t n,
                       const char **out, struct qv_err *err)
{
    struct qv__payload_op ops[8];
    struct qv__buf b;
    for (size_t i = 0; i < n; i++) {
        ops[i] = op_of(f, &s[i]);
    }
    qv__buf_init(&b, f->mem);
    qv__buf_put(&b, "old", 3);
    qv_status st = qv__payload_modify(&b, row(f, doc), ops, n, NULL, err);
    assert_memory_equal(b.p, "old", 3);
    if (st != QV_OK) {
        assert_int_equal(b.n, 3);
        qv__buf_free(&b);
        return st;
    }
    struct qv__bytes all = keep(f, &b), r = {all.p + 3, all.n - 3};
    assert_true(qv__payload_valid(r));
    *out = text_of(f, r);
    return QV_OK;
}

static void test_changes(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *doc;
        struct step step;
        const char *want;
    } cases[] = {
        {"{}", {QV__OP_APPEND, "a", "1"}, "{\"a\":[1]}"},
        {"{\"a\":null}", {QV__OP_APPEND, "a", "[1]"}, "{\"a\":[[1]]}"},
        {"{\"a\":[1,\"x\"],\"b\":2}",
         {QV__OP_APPEND, "a", "{\"k\":1}"},
         "{\"a\":[1,\"x\",{\"k\":1}],\"b\":2}"},
        {"{}", {QV__OP_APPEND, "a.b.c", "1"}, "{\"a\":{\"b\":{\"c\":[1]}}}"},
        {"{\"a\":[{\"b\":[1]},{\"b\":[2]}]}",
         {QV__OP_APPEND, "a[1].b", "3"},
         "{\"a\":[{\"b\":[1]},{\"b\":[2,3]}]}"},
        {"{\"a\":[1,2,1,\"1\",1.5]}", {QV__OP_REMOVE, "a", "1"}, "{\"a\":[2,\"1\",1.5]}"},
        {"{\"a\":[{\"x\":1},{\"x\":2}]}", {QV__OP_REMOVE, "a", "{\"x\":1}"}, "{\"a\":[{\"x\":2}]}"},
        {"{\"a\":[1]}", {QV__OP_REMOVE, "a", "2"}, "{\"a\":[1]}"},
        {"{}", {QV__OP_REMOVE, "a", "2"}, "{\"a\":[]}"},
        {"{}", {QV__OP_INCREMENT, "n", "5"}, "{\"n\":5}"},
        {"{\"n\":5}", {QV__OP_INCREMENT, "n", "-7"}, "{\"n\":-2}"},
        {"{\"n\":9007199254740993}", {QV__OP_INCREMENT, "n", "1"}, "{\"n\":9007199254740994}"},
        {"{\"n\":9223372036854775806}",
         {QV__OP_INCREMENT, "n", "1"},
         "{\"n\":9223372036854775807}"},
        {"{\"n\":1}", {QV__OP_INCREMENT, "n", "0.5"}, "{\"n\":1.5}"},
        {"{\"n\":1.5}", {QV__OP_INCREMENT, "n", "1"}, "{\"n\":2.5}"},
        {"{\"a\":[1,2]}", {QV__OP_INCREMENT, "a[0]", "4"}, "{\"a\":[5,2]}"},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        struct qv_err err = {.code = QV_OK};
        const char *got = NULL;
        if (apply(f, cases[i].doc, &cases[i].step, 1, &got, &err) != QV_OK) {
            fail_msg("%s: %s", cases[i].doc, err.message);
        }
        assert_string_equal(got, cases[i].want);
    }
}

static void test_one_after_another(void **state)
{
    struct fixture *f = *state;
    static const struct step steps[] = {{QV__OP_INCREMENT, "n", "1"},
                                        {QV__OP_INCREMENT, "n", "1"},
                                        {QV__OP_APPEND, "log", "\"a\""},
                                        {QV__OP_APPEND, "log", "\"b\""},
                                        {QV__OP_REMOVE, "log", "\"a\""}};
    const char *got = NULL;
    for (size_t n = 0; n <= QV_ARRAY_LEN(steps); n++) {
        assert_int_equal(apply(f, "{\"n\":1,\"z\":0}", steps, n, &got, NULL), QV_OK);
    }
    assert_string_equal(got, "{\"n\":3,\"z\":0,\"log\":[\"b\"]}");
}

static void test_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *doc;
        struct step step;
        const char *why;
    } cases[] = {
        {"{\"a\":1}",
         {QV__OP_APPEND, "a", "1"},
         "payload key `a`: expected an array, found a number"},
        {"{\"a\":{}}",
         {QV__OP_REMOVE, "a", "1"},
         "payload key `a`: expected an array, found an object"},
        {"{\"a\":\"1\"}",
         {QV__OP_INCREMENT, "a", "1"},
         "payload key `a`: expected a number, found a string"},
        {"{\"a\":[1]}",
         {QV__OP_INCREMENT, "a.b", "1"},
         "payload key `a.b`: expected an object on the way, found an array"},
        {"{\"a\":[1]}",
         {QV__OP_INCREMENT, "a[1]", "1"},
         "payload key `a[1]`: there is no element 1"},
        {"{}", {QV__OP_INCREMENT, "a[0]", "1"}, "payload key `a[0]`: there is no element 0"},
        {"{\"a\":[1]}",
         {QV__OP_INCREMENT, "a[]", "1"},
         "payload key `a[]`: must lead to one value, not to []"},
        {"{\"a\":1}",
         {QV__OP_INCREMENT, "a", "\"1\""},
         "payload key `a`: an increment must be a number that fits 64 bits"},
        {"{\"a\":1}",
         {QV__OP_INCREMENT, "a", "9223372036854775808"},
         "payload key `a`: an increment must be a number that fits 64 bits"},
        {"{\"a\":9223372036854775807}",
         {QV__OP_INCREMENT, "a", "1"},
         "payload key `a`: the sum does not fit 64 bits with a sign"},
        {"{\"a\":-9223372036854775808}",
         {QV__OP_INCREMENT, "a", "-1"},
         "payload key `a`: the sum does not fit 64 bits with a sign"},
        {"{\"a\":9223372036854775808}",
         {QV__OP_INCREMENT, "a", "-1"},
         "payload key `a`: the sum does not fit 64 bits with a sign"},
        {"{\"a\":1.7e308}",
         {QV__OP_INCREMENT, "a", "1.7e308"},
         "payload key `a`: the sum is not a finite number"},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        struct qv_err err = {.code = QV_OK};
        const char *got = NULL;
        assert_int_equal(apply(f, cases[i].doc, &cases[i].step, 1, &got, &err), QV_EINVAL);
        assert_string_equal(err.message, cases[i].why);
    }
}

/* A value of the greatest depth fits at the root and not below. */
static void test_depth(void **state)
{
    struct fixture *f = *state;
    char deep[2 * QV__VALUE_DEPTH_MAX + 1];
    unsigned n = QV__VALUE_DEPTH_MAX - 2; /* the row and the array are around it */
    memset(deep, '[', n);
    memset(deep + n, ']', n);
    deep[2 * n] = 0;
    const char *got = NULL;
    struct step ok = {QV__OP_APPEND, "a", deep}, no = {QV__OP_APPEND, "a.b", deep};
    assert_int_equal(apply(f, "{}", &ok, 1, &got, NULL), QV_OK);
    assert_int_equal(apply(f, "{}", &no, 1, &got, NULL), QV_ETOOBIG);
}

/* Each operation writes the row anew; where their time ends nothing is written. */
static void test_long_row(void **state)
{
    enum { NUMBERS = 100000, OPS = 100 };
    struct fixture *f = *state;
    struct step step = {QV__OP_INCREMENT, "n", "1"};
    struct qv__payload_op ops[OPS];
    struct qv__buf b;
    for (size_t i = 0; i < OPS; i++) {
        ops[i] = op_of(f, &step);
    }
    qv__buf_init(&b, f->mem);
    qv__buf_putz(&b, "{\"n\":0,\"a\":[1");
    for (int i = 1; i < NUMBERS; i++) {
        qv__buf_putz(&b, ",1");
    }
    qv__buf_putz(&b, "]}");
    struct qv__bytes old = row_of(f, json_n(f, (const char *)b.p, b.n));
    for (uint64_t deadline = 1; deadline <= OPS; deadline += 33) {
        uint64_t looks = 0;
        struct qv__clock clock = {.mono_ns = looks_ns, .ctx = &looks};
        struct qv__qctx ctx = {.clock = &clock, .deadline_ns = deadline};
        struct qv__steps steps = {.q = &ctx};
        qv__buf_reset(&b);
        qv_status want = deadline < OPS ? QV_ETIMEOUT : QV_OK;
        assert_int_equal(qv__payload_modify(&b, old, ops, OPS, &steps, NULL), want);
        assert_int_equal(looks, QV_MIN(deadline + 1, (uint64_t)OPS));
        assert_int_equal(b.n, want == QV_OK ? old.n : 0);
    }
    qv__buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_changes), TEST(test_one_after_another),
                                       TEST(test_refused), TEST(test_depth), TEST(test_long_row)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
