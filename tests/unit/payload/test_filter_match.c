/* test_filter_match.c: the meaning of every condition: (payload, filter, does it match). */
#include "payload_test.h"

struct given {
    const char *payload, *filter;
    bool want;
};

static bool has_vector(const struct qv__filter_row *r, struct qv__str name)
{
    return qv__str_eq(name, qv__str_z(r->has_vector_ctx));
}

static const struct qv__filter *filter_of(struct fixture *f, const char *text)
{
    const struct qv__filter *filter = NULL;
    struct qv_err err = {.code = QV_OK};
    if (qv__filter_parse(&f->arena, json(f, text), &filter, &err) != QV_OK) {
        fail_msg("%s: %s", text, err.message);
    }
    return filter;
}

static bool match(struct fixture *f, const char *payload, const char *filter, struct qv__id id)
{
    struct qv__filter_row r = {
        .id = &id,
        .payload = row(f, payload),
        .has_vector = has_vector,
        .has_vector_ctx = "image",
    };
    return qv__filter_match(filter_of(f, filter), &r);
}

static void run(struct fixture *f, const struct given *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (match(f, cases[i].payload, cases[i].filter, qv__id_u64(5)) != cases[i].want) {
            fail_msg("case %zu: %s on %s should be %s", i, cases[i].filter, cases[i].payload,
                     cases[i].want ? "true" : "false");
        }
    }
}
#define RUN(cases)    run(*state, cases, QV_ARRAY_LEN(cases))

/* One condition as the whole filter. */
#define ONE(cond)     "{\"must\":" cond "}"
#define MATCH(key, m) ONE("{\"key\":\"" key "\",\"match\":{" m "}}")

static void match_value(void **state)
{
    static const struct given cases[] = {
        {"{\"c\":\"red\"}", MATCH("c", "\"value\":\"red\""), true},
        {"{\"c\":\"red\"}", MATCH("c", "\"value\":\"Red\""), false},
        {"{\"c\":\"red\"}", MATCH("c", "\"value\":\"re\""), false},
        {"{\"c\":\"re\"}", MATCH("c", "\"value\":\"red\""), false},
        {"{\"c\":\"\"}", MATCH("c", "\"value\":\"\""), true},
        {"{\"c\":\"\xc3\xa9\"}", MATCH("c", "\"value\":\"\\u00e9\""), true},
        {"{}", MATCH("c", "\"value\":\"red\""), false},
        {"{\"c\":null}", MATCH("c", "\"value\":\"red\""), false},
        {"{\"c\":[]}", MATCH("c", "\"value\":\"red\""), false},
        {"{\"c\":[\"blue\",\"red\"]}", MATCH("c", "\"value\":\"red\""), true},
        {"{\"c\":[\"blue\",\"green\"]}", MATCH("c", "\"value\":\"red\""), false},
        {"{\"c\":[[\"red\"]]}", MATCH("c", "\"value\":\"red\""), false}, /* one level */
        {"{\"c\":{\"red\":1}}", MATCH("c", "\"value\":\"red\""), false},
        {"{\"n\":5}", MATCH("n", "\"value\":5"), true},
        {"{\"n\":5}", MATCH("n", "\"value\":6"), false},
        {"{\"n\":5.0}", MATCH("n", "\"value\":5"), false}, /* a fraction is no integer */
        {"{\"n\":\"5\"}", MATCH("n", "\"value\":5"), false},
        {"{\"n\":5}", MATCH("n", "\"value\":\"5\""), false},
        {"{\"n\":-5}", MATCH("n", "\"value\":-5"), true},
        {"{\"n\":9007199254740993}", MATCH("n", "\"value\":9007199254740993"), true},
        {"{\"n\":9007199254740992}", MATCH("n", "\"value\":9007199254740993"), false},
        {"{\"n\":9223372036854775807}", MATCH("n", "\"value\":9223372036854775807"), true},
        {"{\"n\":9223372036854775808}", MATCH("n", "\"value\":9223372036854775807"), false},
        {"{\"n\":18446744073709551615}", MATCH("n", "\"value\":-1"), false},
        {"{\"n\":[1,5]}", MATCH("n", "\"value\":5"), true},
        {"{\"n\":[1,\"x\",null,{},5]}", MATCH("n", "\"value\":5"), true},
        {"{\"b\":true}", MATCH("b", "\"value\":true"), true},
        {"{\"b\":true}", MATCH("b", "\"value\":false"), false},
        {"{\"b\":false}", MATCH("b", "\"value\":false"), true},
        {"{\"b\":1}", MATCH("b", "\"value\":true"), false},
        {"{\"b\":true}", MATCH("b", "\"value\":1"), false},
        {"{\"b\":[false,true]}", MATCH("b", "\"value\":true"), true},
        {"{\"b\":null}", MATCH("b", "\"value\":false"), false},
    };
    RUN(cases);
}

static void match_sets(void **state)
{
#define MANY      "\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\",\"j\",\"k\",\"l\",\"m\",\"n\""
#define MANY_INTS "20,19,18,17,16,15,14,13,12,11,10,-3,8,7"
    static const struct given cases[] = {
        {"{\"c\":\"red\"}", MATCH("c", "\"any\":[\"blue\",\"red\"]"), true},
        {"{\"c\":\"red\"}", MATCH("c", "\"any\":[\"blue\",\"green\"]"), false},
        {"{\"c\":\"red\"}", MATCH("c", "\"any\":[]"), false},
        {"{\"c\":[]}", MATCH("c", "\"any\":[\"red\"]"), false},
        {"{}", MATCH("c", "\"any\":[\"red\"]"), false},
        {"{\"c\":[\"x\",\"red\"]}", MATCH("c", "\"any\":[\"red\",\"red\"]"), true},
        {"{\"n\":5}", MATCH("n", "\"any\":[4,5]"), true},
        {"{\"n\":5.0}", MATCH("n", "\"any\":[4,5]"), false},
        {"{\"n\":\"5\"}", MATCH("n", "\"any\":[4,5]"), false},
        {"{\"n\":5}", MATCH("n", "\"any\":[\"5\"]"), false},
        {"{\"n\":true}", MATCH("n", "\"any\":[1]"), false},
        {"{\"n\":[1,2]}", MATCH("n", "\"any\":[2,3]"), true},
        {"{\"c\":\"n\"}", MATCH("c", "\"any\":[" MANY "]"), true},
        {"{\"c\":\"a\"}", MATCH("c", "\"any\":[" MANY "]"), true},
        {"{\"c\":\"o\"}", MATCH("c", "\"any\":[" MANY "]"), false},
        {"{\"c\":\"\"}", MATCH("c", "\"any\":[" MANY "]"), false},
        {"{\"c\":\"aa\"}", MATCH("c", "\"any\":[" MANY "]"), false},
        {"{\"c\":7}", MATCH("c", "\"any\":[" MANY "]"), false},
        {"{\"n\":-3}", MATCH("n", "\"any\":[" MANY_INTS "]"), true},
        {"{\"n\":20}", MATCH("n", "\"any\":[" MANY_INTS "]"), true},
        {"{\"n\":9}", MATCH("n", "\"any\":[" MANY_INTS "]"), false},
        {"{\"n\":[9,13]}", MATCH("n", "\"any\":[" MANY_INTS "]"), true},
        {"{\"n\":13.0}", MATCH("n", "\"any\":[" MANY_INTS "]"), false},
        {"{\"n\":\"a\"}", MATCH("n", "\"any\":[" MANY_INTS "]"), false},
        {"{\"n\":true}", MATCH("n", "\"any\":[" MANY_INTS "]"), false},
        {"{\"n\":false}", MATCH("n", "\"except\":[" MANY "]"), true},
        /* except: some value that is not in the set; a missing field has none */
        {"{\"c\":\"red\"}", MATCH("c", "\"except\":[\"red\"]"), false},
        {"{\"c\":\"blue\"}", MATCH("c", "\"except\":[\"red\"]"), true},
        {"{}", MATCH("c", "\"except\":[\"red\"]"), false},
        {"{\"c\":null}", MATCH("c", "\"except\":[\"red\"]"), false},
        {"{\"c\":[]}", MATCH("c", "\"except\":[\"red\"]"), false},
        {"{\"c\":[null]}", MATCH("c", "\"except\":[\"red\"]"), false},
        {"{\"c\":[\"red\"]}", MATCH("c", "\"except\":[\"red\"]"), false},
        {"{\"c\":[\"red\",\"blue\"]}", MATCH("c", "\"except\":[\"red\"]"), true},
        {"{\"c\":[\"red\",null]}", MATCH("c", "\"except\":[\"red\"]"), false},
        {"{\"c\":5}", MATCH("c", "\"except\":[\"red\"]"), true},
        {"{\"c\":true}", MATCH("c", "\"except\":[\"red\"]"), true},
        {"{\"c\":{}}", MATCH("c", "\"except\":[\"red\"]"), true},
        {"{\"c\":[[\"red\"]]}", MATCH("c", "\"except\":[\"red\"]"), true},
        {"{\"n\":5}", MATCH("n", "\"except\":[5]"), false},
        {"{\"n\":5.0}", MATCH("n", "\"except\":[5]"), true},
        {"{\"n\":18446744073709551615}", MATCH("n", "\"except\":[-1]"), true},
        {"{\"n\":\"5\"}", MATCH("n", "\"except\":[5]"), true},
        {"{\"n\":5}", MATCH("n", "\"except\":[]"), true},
        {"{\"n\":null}", MATCH("n", "\"except\":[]"), false},
        {"{\"c\":\"a\"}", MATCH("c", "\"except\":[" MANY "]"), false},
        {"{\"c\":\"z\"}", MATCH("c", "\"except\":[" MANY "]"), true},
        {"{\"n\":13}", MATCH("n", "\"except\":[" MANY_INTS "]"), false},
        {"{\"n\":9}", MATCH("n", "\"except\":[" MANY_INTS "]"), true},
    };
    RUN(cases);
}

static void match_text(void **state)
{
    static const struct given cases[] = {
        {"{\"t\":\"the red fox\"}", MATCH("t", "\"text\":\"red\""), true},
        {"{\"t\":\"the red fox\"}", MATCH("t", "\"text\":\"e r\""),
         true}, /* a substring, not words */
        {"{\"t\":\"the red fox\"}", MATCH("t", "\"text\":\"Red\""), false},
        {"{\"t\":\"the red fox\"}", MATCH("t", "\"text\":\"fox red\""), false},
        {"{\"t\":\"the red fox\"}", MATCH("t", "\"text\":\"\""), true},
        {"{\"t\":\"\"}", MATCH("t", "\"text\":\"\""), true},
        {"{\"t\":\"\"}", MATCH("t", "\"text\":\"a\""), false},
        {"{\"t\":5}", MATCH("t", "\"text\":\"\""), false},
        {"{}", MATCH("t", "\"text\":\"\""), false},
        {"{\"t\":[\"a\",\"b red\"]}", MATCH("t", "\"text\":\"red\""), true},
        {"{\"t\":[]}", MATCH("t", "\"text\":\"\""), false},
        {"{\"t\":\"the red fox\"}", MATCH("t", "\"phrase\":\"red fox\""), true},
        {"{\"t\":\"the red fox\"}", MATCH("t", "\"phrase\":\"fox red\""), false},
        {"{\"t\":\"the red fox\"}", MATCH("t", "\"text_any\":\"blue red\""), true},
        {"{\"t\":\"the red fox\"}", MATCH("t", "\"text_any\":\"blue green\""), false},
        {"{\"t\":\"the red fox\"}", MATCH("t", "\"text_any\":\"\""), false},
        {"{\"t\":\"the red fox\"}", MATCH("t", "\"text_any\":\"  \""), false},
        {"{\"t\":\"the red fox\"}", MATCH("t", "\"text_any\":\"\\tox \\n\""), true},
        {"{\"t\":\"the red fox\"}", MATCH("t", "\"text_any\":\"zzz\\u00a0fox\""), true},
        {"{\"t\":\"the red fox\"}", MATCH("t", "\"text_any\":\"zzz\\u2003fox\\u3000yyy\""), true},
        {"{\"t\":\"a\\u200bb\"}", MATCH("t", "\"text_any\":\"x\\u200bb\""), false}, /* no blank */
        {"{\"t\":[1,\"red\"]}", MATCH("t", "\"text_any\":\"red\""), true},
        {"{\"t\":\"the red fox\"}", MATCH("t", "\"prefix\":\"the\""), true},
        {"{\"t\":\"the red fox\"}", MATCH("t", "\"prefix\":\"red\""), false},
        {"{\"t\":\"the red fox\"}", MATCH("t", "\"prefix\":\"\""), true},
        {"{\"t\":\"the\"}", MATCH("t", "\"prefix\":\"the red\""), false},
        {"{\"t\":\"The\"}", MATCH("t", "\"prefix\":\"the\""), false},
        /* what follows in the row's bytes is not the string's */
        {"{\"t\":\"the\",\"u\":1}", MATCH("t", "\"prefix\":\"the\\u0001u\""), false},
        {"{\"t\":[\"x\",\"theme\"]}", MATCH("t", "\"prefix\":\"the\""), true},
        {"{\"t\":7}", MATCH("t", "\"prefix\":\"\""), false},
    };
    RUN(cases);
}

#define RANGE(key, r) ONE("{\"key\":\"" key "\",\"range\":{" r "}}")

static void ranges(void **state)
{
    static const struct given cases[] = {
        {"{\"p\":5}", RANGE("p", "\"gt\":4"), true},
        {"{\"p\":5}", RANGE("p", "\"gt\":5"), false},
        {"{\"p\":5}", RANGE("p", "\"gte\":5"), true},
        {"{\"p\":5}", RANGE("p", "\"gte\":5.5"), false},
        {"{\"p\":5}", RANGE("p", "\"lt\":5"), false},
        {"{\"p\":5}", RANGE("p", "\"lt\":5.1"), true},
        {"{\"p\":5}", RANGE("p", "\"lte\":5"), true},
        {"{\"p\":5}", RANGE("p", "\"lte\":4"), false},
        {"{\"p\":5}", RANGE("p", "\"gt\":1,\"lt\":9"), true},
        {"{\"p\":5}", RANGE("p", "\"gt\":6,\"lt\":9"), false},
        {"{\"p\":5}", RANGE("p", "\"gte\":5,\"lte\":5"), true},
        {"{\"p\":5}", RANGE("p", "\"gt\":1,\"gte\":6"), false},
        {"{\"p\":5}", RANGE("p", "\"lt\":9,\"lte\":4"), false},
        {"{\"p\":5}", RANGE("p", ""), true},
        {"{\"p\":5}", RANGE("p", "\"gt\":null,\"lt\":6"), true},
        {"{\"p\":\"5\"}", RANGE("p", ""), false},
        {"{\"p\":true}", RANGE("p", ""), false},
        {"{\"p\":null}", RANGE("p", ""), false},
        {"{}", RANGE("p", ""), false},
        {"{\"p\":[]}", RANGE("p", ""), false},
        {"{\"p\":499.9}", RANGE("p", "\"gte\":499.9,\"lte\":499.9"), true},
        {"{\"p\":-0.5}", RANGE("p", "\"gt\":-1,\"lt\":0"), true},
        {"{\"p\":[1,20]}", RANGE("p", "\"gt\":5,\"lt\":10"), false}, /* one element, both bounds */
        {"{\"p\":[1,7,20]}", RANGE("p", "\"gt\":5,\"lt\":10"), true},
        {"{\"p\":[[7]]}", RANGE("p", "\"gt\":5"), false},
        {"{\"p\":[\"x\",7]}", RANGE("p", "\"gt\":5"), true},
        {"{\"p\":18446744073709551615}", RANGE("p", "\"gt\":1e19"), true},
        {"{\"p\":9007199254740993}", RANGE("p", "\"lte\":9007199254740992"), true}, /* as doubles */
        {"{\"p\":1e300}", RANGE("p", "\"gt\":1e299"), true},
        {"{\"p\":0}", RANGE("p", "\"gte\":0"), true},
        /* dates */
        {"{\"d\":\"2020-02-15T00:00:00Z\"}", RANGE("d", "\"gt\":\"2020-02-14T00:00:00Z\""), true},
        {"{\"d\":\"2020-02-15T00:00:00Z\"}", RANGE("d", "\"gt\":\"2020-02-15T00:00:00Z\""), false},
        {"{\"d\":\"2020-02-15T00:00:00Z\"}", RANGE("d", "\"gte\":\"2020-02-15\""), true},
        {"{\"d\":\"2020-02-15T00:00:00Z\"}", RANGE("d", "\"lt\":\"2020-02-15T01:00:00+02:00\""),
         false},
        {"{\"d\":\"2020-02-15T00:00:00Z\"}", RANGE("d", "\"lt\":\"2020-02-15T01:00:00-02:00\""),
         true},
        {"{\"d\":\"2020-02-15\"}", RANGE("d", "\"lte\":\"2020-02-15 00:00\""), true},
        {"{\"d\":\"2020-02-15T00:00:00.000001Z\"}", RANGE("d", "\"gt\":\"2020-02-15\""), true},
        {"{\"d\":\"soon\"}", RANGE("d", "\"lt\":\"2030-01-01\""), false},
        {"{\"d\":1581724800}", RANGE("d", "\"lt\":\"2030-01-01\""), false},
        {"{\"d\":\"2020-02-15\"}", RANGE("d", "\"gt\":0"), false},
        {"{\"d\":[\"2010-01-01\",\"2020-02-15\"]}", RANGE("d", "\"gt\":\"2015-01-01\",\"lt\":null"),
         true},
        {"{\"d\":[\"2010-01-01\",\"2020-02-15\"]}",
         RANGE("d", "\"gt\":\"2011-01-01\",\"lt\":\"2015-01-01\""), false},
        {"{}", RANGE("d", "\"lt\":\"2030-01-01\""), false},
    };
    RUN(cases);
}

#define COUNT(key, r) ONE("{\"key\":\"" key "\",\"values_count\":{" r "}}")

static void counts(void **state)
{
    static const struct given cases[] = {
        {"{\"v\":[1,2,3]}", COUNT("v", "\"gt\":2"), true},
        {"{\"v\":[1,2,3]}", COUNT("v", "\"gt\":3"), false},
        {"{\"v\":[1,2,3]}", COUNT("v", "\"gte\":3,\"lte\":3"), true},
        {"{\"v\":[1,2,3]}", COUNT("v", "\"lt\":3"), false},
        {"{\"v\":[1,2,3]}", COUNT("v", "\"lt\":18446744073709551615"), true},
        {"{\"v\":[1,2,3]}", COUNT("v", "\"gt\":18446744073709551615"), false},
        {"{\"v\":[]}", COUNT("v", "\"lt\":1"), true},
        {"{\"v\":[null,null]}", COUNT("v", "\"gte\":2"), true},
        {"{\"v\":null}", COUNT("v", "\"lte\":0"), true},
        {"{}", COUNT("v", "\"lt\":1"), true}, /* a missing field has no values */
        {"{}", COUNT("v", "\"gt\":0"), false},
        {"{}", COUNT("v", "\"gte\":0"), true},
        {"{}", COUNT("v", ""), true},
        {"{\"v\":5}", COUNT("v", "\"gte\":1,\"lte\":1"), true},
        {"{\"v\":\"abc\"}", COUNT("v", "\"gte\":2"), false},
        {"{\"v\":{\"a\":1,\"b\":2}}", COUNT("v", "\"gte\":2"), false}, /* an object is one value */
        {"{\"v\":false}", COUNT("v", "\"gt\":0"), true},
        {"{\"a\":[{\"v\":[1]},{\"v\":[1,2,3]}]}", COUNT("a[].v", "\"gte\":3"), true},
        {"{\"a\":[{\"v\":[1]},{\"v\":[1,2]}]}", COUNT("a[].v", "\"gte\":3"), false},
        {"{\"a\":[{},{}]}", COUNT("a[].v", "\"lt\":1"), true},
        {"{\"a\":[{},{\"v\":[1]}]}", COUNT("a[].v", "\"lt\":1"), false},
        {"{\"a\":[{},{}]}", COUNT("a", "\"gte\":2"), true},
        {"{\"a\":[[1,2],[3]]}", COUNT("a[]", "\"gte\":2"), true},
    };
    RUN(cases);
}

#define EMPTY(key)      ONE("{\"is_empty\":{\"key\":\"" key "\"}}")
#define IS_NULL(key)    ONE("{\"is_null\":{\"key\":\"" key "\"}}")
#define FLAG(key, what) ONE("{\"key\":\"" key "\"," what "}")

static void emptiness(void **state)
{
    static const struct given cases[] = {
        {"{}", EMPTY("x"), true},
        {"{\"x\":null}", EMPTY("x"), true},
        {"{\"x\":[]}", EMPTY("x"), true},
        {"{\"x\":[null]}", EMPTY("x"), false},
        {"{\"x\":[[]]}", EMPTY("x"), false},
        {"{\"x\":{}}", EMPTY("x"), false},
        {"{\"x\":\"\"}", EMPTY("x"), false},
        {"{\"x\":0}", EMPTY("x"), false},
        {"{\"x\":false}", EMPTY("x"), false},
        {"{\"a\":{\"x\":[]}}", EMPTY("a.x"), true},
        {"{\"a\":5}", EMPTY("a.x"), true},
        {"{\"a\":[{\"x\":null},{\"x\":[]},{}]}", EMPTY("a[].x"), true},
        {"{\"a\":[{\"x\":null},{\"x\":1}]}", EMPTY("a[].x"), false}, /* all must be empty */
        {"{\"a\":[]}", EMPTY("a[]"), true},
        {"{\"a\":[null,null]}", EMPTY("a[]"), true},
        {"{\"a\":[null,1]}", EMPTY("a[]"), false},
        {"{\"a\":[]}", EMPTY("a[0]"), true},
        {"{}", IS_NULL("x"), false},
        {"{\"x\":null}", IS_NULL("x"), true},
        {"{\"x\":[]}", IS_NULL("x"), false},
        {"{\"x\":[null]}", IS_NULL("x"), false}, /* the value, not its elements */
        {"{\"x\":[null]}", IS_NULL("x[]"), true},
        {"{\"x\":[1,null]}", IS_NULL("x[]"), true},
        {"{\"x\":[1,2]}", IS_NULL("x[]"), false},
        {"{\"x\":0}", IS_NULL("x"), false},
        {"{\"a\":[{\"b\":null},{\"b\":1}]}", IS_NULL("a[].b"), true},
        {"{\"a\":[{\"b\":1},{\"b\":2}]}", IS_NULL("a[].b"), false},
        /* as booleans of a field condition */
        {"{}", FLAG("x", "\"is_empty\":true"), true},
        {"{}", FLAG("x", "\"is_empty\":false"), false},
        {"{\"x\":null}", FLAG("x", "\"is_empty\":true"), true},
        {"{\"x\":null}", FLAG("x", "\"is_empty\":false"), false},
        {"{\"x\":[]}", FLAG("x", "\"is_empty\":true"), true},
        {"{\"x\":[null]}", FLAG("x", "\"is_empty\":true"), false},
        {"{\"x\":[null]}", FLAG("x", "\"is_empty\":false"), true},
        {"{\"x\":1}", FLAG("x", "\"is_empty\":false"), true},
        {"{\"a\":[{\"x\":null},{\"x\":1}]}", FLAG("a[].x", "\"is_empty\":true"), true}, /* any */
        {"{\"a\":[{\"x\":null},{\"x\":1}]}", FLAG("a[].x", "\"is_empty\":false"), true},
        {"{}", FLAG("x", "\"is_null\":true"), false},
        {"{}", FLAG("x", "\"is_null\":false"), true}, /* missing is not null */
        {"{\"x\":null}", FLAG("x", "\"is_null\":true"), true},
        {"{\"x\":null}", FLAG("x", "\"is_null\":false"), false},
        {"{\"x\":[null]}", FLAG("x", "\"is_null\":true"), true}, /* a null inside counts here */
        {"{\"x\":[1,null]}", FLAG("x", "\"is_null\":false"), false},
        {"{\"x\":[1]}", FLAG("x", "\"is_null\":true"), false},
        {"{\"x\":[]}", FLAG("x", "\"is_null\":false"), true},
        {"{\"x\":1}", FLAG("x", "\"is_null\":false,\"match\":null"), true},
    };
    RUN(cases);
}

static void paths(void **state)
{
    static const struct given cases[] = {
        {"{\"a\":{\"b\":\"x\"}}", MATCH("a.b", "\"value\":\"x\""), true},
        {"{\"a.b\":\"x\"}", MATCH("a.b", "\"value\":\"x\""), false},
        {"{\"a.b\":\"x\"}", MATCH("\\\"a.b\\\"", "\"value\":\"x\""), true},
        {"{\"a b\":{\"c\":\"x\"}}", MATCH("\\\"a b\\\".c", "\"value\":\"x\""), true},
        {"{\"a\":[{\"b\":\"x\"},{\"b\":\"y\"}]}", MATCH("a[].b", "\"value\":\"y\""), true},
        {"{\"a\":[{\"b\":\"x\"},{\"b\":\"y\"}]}", MATCH("a.b", "\"value\":\"y\""), false},
        {"{\"a\":[{\"b\":\"x\"},{\"b\":\"y\"}]}", MATCH("a[1].b", "\"value\":\"y\""), true},
        {"{\"a\":[{\"b\":\"x\"},{\"b\":\"y\"}]}", MATCH("a[0].b", "\"value\":\"y\""), false},
        {"{\"a\":[{\"b\":[\"x\",\"y\"]}]}", MATCH("a[].b", "\"value\":\"y\""), true},
        {"{\"a\":[{\"b\":[\"x\",\"y\"]}]}", MATCH("a[].b[]", "\"value\":\"y\""), true},
        {"{\"a\":[{\"b\":[\"x\",\"y\"]}]}", MATCH("a[].b[0]", "\"value\":\"y\""), false},
        {"{\"a\":[\"x\",\"y\"]}", MATCH("a[]", "\"value\":\"y\""), true},
        {"{\"a\":[[\"x\"],[\"y\"]]}", MATCH("a[]", "\"value\":\"y\""), true},
        {"{\"a\":\"y\"}", MATCH("a[]", "\"value\":\"y\""), false},
        {"{\"a\":{\"b\":{\"c\":[{\"d\":5}]}}}", MATCH("a.b.c[].d", "\"value\":5"), true},
        {"{\"a\":[{\"b\":1},{\"b\":20}]}", RANGE("a[].b", "\"gt\":10"), true},
        {"{\"\":5}", MATCH("\\\"\\\"", "\"value\":5"), true},
        {"{\"\xd0\xb3\xd0\xbe\xd0\xb4\":5}", MATCH("\xd0\xb3\xd0\xbe\xd0\xb4", "\"value\":5"),
         true},
    };
    RUN(cases);
}

#define A1 "{\"key\":\"a\",\"match\":{\"value\":1}}"
#define B2 "{\"key\":\"b\",\"match\":{\"value\":2}}"
#define C3 "{\"key\":\"c\",\"match\":{\"value\":3}}"

static void clauses(void **state)
{
    static const struct given cases[] = {
        {"{\"a\":1}", "null", true},
        {"{\"a\":1}", "{}", true},
        {"{\"a\":1}", "{\"must\":null,\"should\":null,\"must_not\":null,\"min_should\":null}",
         true},
        {"{\"a\":1}", "{\"must\":[]}", true},
        {"{\"a\":1}", "{\"must_not\":[]}", true},
        {"{\"a\":1}", "{\"should\":[]}", true},
        {"{\"a\":1}", "{\"must\":" A1 "}", true},
        {"{\"a\":1}", "{\"must\":[" A1 "]}", true},
        {"{\"a\":1}", "{\"must\":[" A1 "," B2 "]}", false},
        {"{\"a\":1,\"b\":2}", "{\"must\":[" A1 "," B2 "]}", true},
        {"{\"a\":1}", "{\"must_not\":" A1 "}", false},
        {"{\"b\":1}", "{\"must_not\":" A1 "}", true},
        {"{\"a\":1}", "{\"must_not\":[" B2 "," A1 "]}", false},
        {"{\"a\":1}", "{\"should\":" A1 "}", true},
        {"{\"a\":1}", "{\"should\":[" B2 "," A1 "]}", true},
        {"{\"c\":1}", "{\"should\":[" B2 "," A1 "]}", false},
        {"{\"a\":1}", "{\"must\":" A1 ",\"should\":[" B2 "," C3 "]}", false},
        {"{\"a\":1,\"c\":3}", "{\"must\":" A1 ",\"should\":[" B2 "," C3 "]}", true},
        {"{\"a\":1,\"c\":3}", "{\"must\":" A1 ",\"should\":[" B2 "," C3 "],\"must_not\":" C3 "}",
         false},
        {"{\"a\":1}", "{\"must\":" A1 ",\"should\":[]}", true},
        {"{\"a\":1,\"b\":2}",
         "{\"min_should\":{\"conditions\":[" A1 "," B2 "," C3 "],\"min_count\":2}}", true},
        {"{\"a\":1,\"b\":2}",
         "{\"min_should\":{\"conditions\":[" A1 "," B2 "," C3 "],\"min_count\":3}}", false},
        {"{\"b\":2,\"c\":3}",
         "{\"min_should\":{\"conditions\":[" A1 "," B2 "," C3 "],\"min_count\":2}}", true},
        {"{\"c\":3}", "{\"min_should\":{\"conditions\":[" A1 "," B2 "," C3 "],\"min_count\":1}}",
         true},
        {"{\"d\":3}", "{\"min_should\":{\"conditions\":[" A1 "," B2 "," C3 "],\"min_count\":1}}",
         false},
        {"{\"a\":1,\"b\":2,\"c\":3}",
         "{\"min_should\":{\"conditions\":[" A1 "," B2 "," C3 "],\"min_count\":4}}", false},
        {"{}", "{\"min_should\":{\"conditions\":[],\"min_count\":1}}", false},
        {"{\"a\":1}",
         "{\"min_should\":{\"conditions\":[" A1 "],\"min_count\":18446744073709551615}}", false},
        /* filters as conditions */
        {"{\"a\":1}", "{\"must\":{\"must\":" A1 "}}", true},
        {"{\"a\":1}", "{\"must\":[{\"should\":[" B2 "," A1 "]}]}", true},
        {"{\"a\":1}", "{\"must_not\":[{\"must\":[" A1 "," B2 "]}]}", true},
        {"{\"a\":1,\"b\":2}", "{\"must_not\":[{\"must\":[" A1 "," B2 "]}]}", false},
        {"{\"a\":1}", "{\"must_not\":[{\"must_not\":[" A1 "]}]}", true},
        {"{\"a\":1}", "{\"should\":[{\"must\":[" B2 "]},{\"must_not\":" C3 ",\"must\":" A1 "}]}",
         true},
        {"{\"a\":1}", "{\"must\":{}}", true},
        {"{\"a\":1}", "{\"must\":[{}]}", true},
        {"{\"a\":1}", "{\"must_not\":[{}]}", false},
        {"{\"a\":1}", "{\"must\":[{\"must\":null}]}", true},
        {"{\"a\":1}",
         "{\"must\":[{\"min_should\":{\"conditions\":[" A1 "," B2 "],\"min_count\":1}}]}", true},
    };
    RUN(cases);
}

#define NESTED(key, filter) ONE("{\"nested\":{\"key\":\"" key "\",\"filter\":" filter "}}")
#define FOOD                "{\"key\":\"food\",\"match\":{\"value\":\"meat\"}}"
#define LIKES               "{\"key\":\"likes\",\"match\":{\"value\":true}}"

static void nested(void **state)
{
    static const char dino[] = "{\"diet\":[{\"food\":\"leaves\",\"likes\":false},"
                               "{\"food\":\"meat\",\"likes\":true}]}";
    static const char other[] = "{\"diet\":[{\"food\":\"leaves\",\"likes\":true},"
                                "{\"food\":\"meat\",\"likes\":false}]}";
    static const struct given cases[] = {
        {dino, NESTED("diet", "{\"must\":[" FOOD "," LIKES "]}"), true},
        {other, NESTED("diet", "{\"must\":[" FOOD "," LIKES "]}"),
         false}, /* one and the same element */
        {other,
         "{\"must\":[{\"key\":\"diet[].food\",\"match\":{\"value\":\"meat\"}},"
         "{\"key\":\"diet[].likes\",\"match\":{\"value\":true}}]}",
         true},
        {dino, NESTED("diet[]", "{\"must\":[" FOOD "," LIKES "]}"), true},
        {dino, NESTED("diet", "{\"must_not\":" FOOD "}"), true}, /* the other element */
        {"{\"diet\":[{\"food\":\"meat\"}]}", NESTED("diet", "{\"must_not\":" FOOD "}"), false},
        {dino, "{\"must_not\":{\"nested\":{\"key\":\"diet\",\"filter\":{\"must\":" FOOD "}}}}",
         false},
        {dino, NESTED("diet", "{\"should\":[" FOOD "]}"), true},
        {dino, NESTED("diet", "{}"), true},
        {"{\"diet\":[]}", NESTED("diet", "{}"), false},
        {"{}", NESTED("diet", "{}"), false},
        {"{}", NESTED("diet", "{\"must_not\":" FOOD "}"), false},
        {"{\"diet\":[1,\"x\",null,[{}]]}", NESTED("diet", "{}"), false}, /* only objects */
        {"{\"diet\":[1,{}]}", NESTED("diet", "{}"), true},
        {"{\"diet\":{\"food\":\"meat\"}}", NESTED("diet", "{\"must\":" FOOD "}"),
         false}, /* no array */
        {"{\"a\":{\"diet\":[{\"food\":\"meat\"}]}}", NESTED("a.diet", "{\"must\":" FOOD "}"), true},
        {"{\"a\":[{\"diet\":[{\"food\":\"meat\"}]},{}]}", NESTED("a[].diet", "{\"must\":" FOOD "}"),
         true},
        {"{\"a\":[{\"b\":[{\"c\":1,\"d\":2},{\"c\":3}]}]}",
         NESTED(
             "a",
             "{\"must\":{\"nested\":{\"key\":\"b\",\"filter\":{\"must\":[{\"key\":\"c\",\"match\":"
             "{\"value\":1}},{\"key\":\"d\",\"match\":{\"value\":2}}]}}}}"),
         true},
        {"{\"a\":[{\"b\":[{\"c\":3,\"d\":2},{\"c\":1}]}]}",
         NESTED(
             "a",
             "{\"must\":{\"nested\":{\"key\":\"b\",\"filter\":{\"must\":[{\"key\":\"c\",\"match\":"
             "{\"value\":1}},{\"key\":\"d\",\"match\":{\"value\":2}}]}}}}"),
         false},
        {"{\"a\":[{\"x\":1},{\"y\":[]}]}", NESTED("a", "{\"must\":{\"is_empty\":{\"key\":\"x\"}}}"),
         true},
        {"{\"a\":[{\"x\":1},{\"x\":2}]}", NESTED("a", "{\"must\":{\"is_empty\":{\"key\":\"x\"}}}"),
         false},
        {"{\"a\":[{\"x\":null}]}", NESTED("a", "{\"must\":{\"is_null\":{\"key\":\"x\"}}}"), true},
        {"{\"a\":[{\"x\":[1,2]}]}",
         NESTED("a", "{\"must\":{\"key\":\"x\",\"values_count\":{\"gte\":2}}}"), true},
        {"{\"a\":[{\"x\":[5,2]}]}",
         NESTED("a", "{\"must\":{\"key\":\"x[0]\",\"match\":{\"value\":5}}}"), true},
        /* ids and vectors belong to the point, not to its elements */
        {"{\"a\":[{}]}", ONE("{\"has_id\":[5]}"), true},
        {"{\"a\":[{}]}", NESTED("a", "{\"must\":{\"has_id\":[5]}}"), false},
        {"{\"a\":[{}]}", NESTED("a", "{\"must_not\":{\"has_id\":[5]}}"), true},
        {"{\"a\":[{}]}", ONE("{\"has_vector\":\"image\"}"), true},
        {"{\"a\":[{}]}", NESTED("a", "{\"must\":{\"has_vector\":\"image\"}}"), false},
        {"{\"a\":[{}]}", ONE("{\"slice\":{\"total\":1,\"index\":0}}"), true},
        {"{\"a\":[{}]}", NESTED("a", "{\"must\":{\"slice\":{\"total\":1,\"index\":0}}}"), false},
        {"{\"a\":[{}]}", NESTED("a", "{\"must\":{\"must\":{\"has_id\":[5]}}}"), false},
        {"{\"a\":[{\"x\":1}]}",
         NESTED("a", "{\"min_should\":{\"conditions\":[{\"key\":\"x\",\"match\":{\"value\":1}},"
                     "{\"has_id\":[5]}],\"min_count\":2}}"),
         false},
    };
    RUN(cases);
}

#define POINT(lon, lat) "{\"lon\":" lon ",\"lat\":" lat "}"
#define RADIUS(center, m)                                                                          \
    ONE("{\"key\":\"g\",\"geo_radius\":{\"center\":" center ",\"radius\":" m "}}")
#define BOX(tl, br)                                                                                \
    ONE("{\"key\":\"g\",\"geo_bounding_box\":{\"top_left\":" tl ",\"bottom_right\":" br "}}")
#define LINE(points) "{\"points\":[" points "]}"
#define POLYGON(ext) ONE("{\"key\":\"g\",\"geo_polygon\":{\"exterior\":" LINE(ext) "}}")
#define HOLED(ext, holes)                                                                          \
    ONE("{\"key\":\"g\",\"geo_polygon\":{\"exterior\":" LINE(ext) ",\"interiors\":[" holes "]}}")
#define AT(lon, lat) "{\"g\":" POINT(lon, lat) "}"
#define SQUARE                                                                                     \
    POINT("0", "0")                                                                                \
    "," POINT("10", "0") "," POINT("10", "10") "," POINT("0", "10") "," POINT("0", "0")
#define HOLE                                                                                       \
    LINE(POINT("4", "4") "," POINT("4", "6") "," POINT("6", "6") "," POINT("6", "4") "," POINT(    \
        "4", "4"))
#define SLANT POINT("0", "0") "," POINT("0.3", "0.3") "," POINT("0", "0.9") "," POINT("0", "0")
#define ARROW                                                                                      \
    POINT("0", "0")                                                                                \
    "," POINT("10", "0") "," POINT("5", "3") "," POINT("10", "10") "," POINT("0", "10") "," POINT( \
        "0", "0")

static void geo(void **state)
{
    static const char berlin[] = "{\"g\":{\"lon\":13.404954,\"lat\":52.520008}}";
    static const char two[] =
        "{\"g\":[{\"lon\":37.62,\"lat\":55.75},{\"lon\":13.4136,\"lat\":52.5219}]}";
    static const struct given cases[] = {
        {berlin, RADIUS(POINT("13.413637", "52.521976"), "2000"), true},
        {berlin, RADIUS(POINT("13.413637", "52.521976"), "600"), false},
        {berlin, RADIUS(POINT("20.423637", "52.511"), "2000"), false},
        {berlin, RADIUS(POINT("13.404954", "52.520008"), "0"), false}, /* strictly less */
        {berlin, RADIUS(POINT("13.404954", "52.520008"), "0.001"), true},
        {berlin, RADIUS(POINT("13.404954", "52.520008"), "-1"), false},
        {two, RADIUS(POINT("13.413637", "52.521976"), "2000"), true},
        {two, RADIUS(POINT("0", "0"), "1000000"), false},
        /* Sofia to Plovdiv: 132,433.1 m on the mean sphere */
        {AT("24.742168", "42.136097"), RADIUS(POINT("23.319941", "42.698334"), "132433"), false},
        {AT("24.742168", "42.136097"), RADIUS(POINT("23.319941", "42.698334"), "132434"), true},
        /* over the date line and to the other side of the world */
        {AT("179.9", "0"), RADIUS(POINT("-179.9", "0"), "22300"), true},
        {AT("179.9", "0"), RADIUS(POINT("-179.9", "0"), "22200"), false},
        {AT("180", "0"), RADIUS(POINT("0", "0"), "20015200"), true},
        {AT("0", "90"), RADIUS(POINT("77", "89.99"), "1200"), true},
        {"{\"g\":{\"lon\":13,\"lat\":52}}", RADIUS(POINT("13", "52"), "1"),
         true}, /* integers too */
        {"{\"g\":{\"lon\":\"13\",\"lat\":52}}", RADIUS(POINT("13", "52"), "1"), false},
        {"{\"g\":{\"lat\":52}}", RADIUS(POINT("13", "52"), "1"), false},
        {"{\"g\":{\"lon\":13}}", RADIUS(POINT("13", "52"), "1"), false},
        {"{\"g\":[13,52]}", RADIUS(POINT("13", "52"), "1"), false},
        {"{\"g\":null}", RADIUS(POINT("13", "52"), "1"), false},
        {"{}", RADIUS(POINT("13", "52"), "1"), false},
        {"{\"g\":\"x\"}", RADIUS(POINT("13", "52"), "1"), false},
        {AT("5", "5"), BOX(POINT("0", "10"), POINT("10", "0")), true},
        {AT("0", "5"), BOX(POINT("0", "10"), POINT("10", "0")), false}, /* edges are outside */
        {AT("5", "10"), BOX(POINT("0", "10"), POINT("10", "0")), false},
        {AT("10", "5"), BOX(POINT("0", "10"), POINT("10", "0")), false},
        {AT("5", "0"), BOX(POINT("0", "10"), POINT("10", "0")), false},
        {AT("11", "5"), BOX(POINT("0", "10"), POINT("10", "0")), false},
        {AT("5", "11"), BOX(POINT("0", "10"), POINT("10", "0")), false},
        {AT("5", "5"), BOX(POINT("0", "0"), POINT("10", "10")), false}, /* upside down */
        {AT("179", "0"), BOX(POINT("170", "10"), POINT("-170", "-10")), true},
        {AT("-179", "0"), BOX(POINT("170", "10"), POINT("-170", "-10")), true},
        {AT("0", "0"), BOX(POINT("170", "10"), POINT("-170", "-10")), false},
        {AT("-170", "0"), BOX(POINT("170", "10"), POINT("-170", "-10")), false},
        {AT("179", "20"), BOX(POINT("170", "10"), POINT("-170", "-10")), false},
        {"{\"g\":[{\"lon\":50,\"lat\":5},{\"lon\":5,\"lat\":5}]}",
         BOX(POINT("0", "10"), POINT("10", "0")), true},
        {"{\"g\":{\"lat\":5}}", BOX(POINT("0", "10"), POINT("10", "0")), false},
        {AT("5", "5"), POLYGON(SQUARE), true},
        {AT("15", "5"), POLYGON(SQUARE), false},
        {AT("-5", "5"), POLYGON(SQUARE), false},
        {AT("5", "-5"), POLYGON(SQUARE), false},
        {AT("0", "5"), POLYGON(SQUARE), false}, /* the edge */
        {AT("5", "0"), POLYGON(SQUARE), false},
        {AT("5", "10"), POLYGON(SQUARE), false},
        {AT("0", "0"), POLYGON(SQUARE), false},  /* a corner */
        {AT("-5", "0"), POLYGON(SQUARE), false}, /* on an edge's line */
        {AT("15", "10"), POLYGON(SQUARE), false},
        {AT("0.1", "0.1"), POLYGON(SLANT), false},
        {AT("0.1", "0.10000000000000002"), POLYGON(SLANT), true},
        {AT("0.10000000000000002", "0.1"), POLYGON(SLANT), false},
        {AT("7", "3"), POLYGON(ARROW), false}, /* in the notch */
        {AT("4", "3"), POLYGON(ARROW), true},
        {AT("9", "9.5"), POLYGON(ARROW), true},
        {AT("5", "5"), HOLED(SQUARE, HOLE), false},
        {AT("4", "5"), HOLED(SQUARE, HOLE), false}, /* the hole's edge is not inside */
        {AT("3", "5"), HOLED(SQUARE, HOLE), true},
        {AT("7", "5"), HOLED(SQUARE, HOLE), true},
        {AT("15", "5"), HOLED(SQUARE, HOLE), false},
        {AT("5", "5"), HOLED(SQUARE, ""), true},
        {"{\"g\":[{\"lon\":15,\"lat\":5},{\"lon\":3,\"lat\":5}]}", HOLED(SQUARE, HOLE), true},
        {"{\"g\":5}", POLYGON(SQUARE), false},
    };
    RUN(cases);
}

#define UUID "550e8400-e29b-41d4-a716-446655440000"

static void ids(void **state)
{
    struct fixture *f = *state;
    struct qv__id uuid;
    assert_true(qv__id_parse_uuid(QV__STR(UUID), &uuid));
    struct qv__id i64 = {.kind = QV__ID_I64, .i = 5};
    struct qv__id str = {.kind = QV__ID_STR, .len = 1, .s = "5"};
    static const char *const forms[] = {
        ONE("{\"has_id\":[\"" UUID "\"]}"),
        ONE("{\"has_id\":[\"550E8400-E29B-41D4-A716-446655440000\"]}"),
        ONE("{\"has_id\":[1,\"550e8400e29b41d4a716446655440000\"]}"),
        ONE("{\"has_id\":[\"urn:uuid:" UUID "\",\"00000000-0000-0000-0000-000000000000\"]}"),
        ONE("{\"has_id\":[\"{" UUID "}\",18446744073709551615]}"),
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(forms); i++) {
        assert_true(match(f, "{}", forms[i], uuid));
        assert_false(match(f, "{}", forms[i], qv__id_u64(5)));
    }
    static const char list[] = ONE("{\"has_id\":[9,7,5,3,5,18446744073709551615,0]}");
    assert_true(match(f, "{}", list, qv__id_u64(5)));
    assert_true(match(f, "{}", list, qv__id_u64(0)));
    assert_true(match(f, "{}", list, qv__id_u64(UINT64_MAX)));
    assert_false(match(f, "{}", list, qv__id_u64(4)));
    assert_false(match(f, "{}", list, qv__id_u64(10)));
    assert_false(match(f, "{}", list, uuid));
    assert_false(match(f, "{}", list, i64));
    assert_false(match(f, "{}", list, str));
    assert_false(match(f, "{}", ONE("{\"has_id\":[]}"), qv__id_u64(5)));
    assert_true(match(f, "{}", "{\"must_not\":{\"has_id\":[]}}", qv__id_u64(5)));

    /* No id, no vectors: conditions on them match nothing. */
    struct qv__filter_row bare = {.payload = row(f, "{}")};
    assert_false(qv__filter_match(filter_of(f, list), &bare));
    assert_false(qv__filter_match(filter_of(f, ONE("{\"has_vector\":\"\"}")), &bare));
    assert_false(
        qv__filter_match(filter_of(f, ONE("{\"slice\":{\"total\":1,\"index\":0}}")), &bare));
    struct qv__filter_row no_bytes = {.id = &uuid, .payload = {NULL, 0}};
    assert_true(qv__filter_match(filter_of(f, EMPTY("x")), &no_bytes));
    assert_false(qv__filter_match(filter_of(f, RANGE("x", "")), &no_bytes));

    assert_true(match(f, "{}", ONE("{\"has_vector\":\"image\"}"), qv__id_u64(5)));
    assert_false(match(f, "{}", ONE("{\"has_vector\":\"\"}"), qv__id_u64(5)));
    assert_false(match(f, "{}", ONE("{\"has_vector\":\"imag\"}"), qv__id_u64(5)));
}

static void slices(void **state)
{
    struct fixture *f = *state;
    /* Fixed for ever: the first three are the peer's, all agree with OpenSSL's SIPHASH. */
    struct qv__id zero = qv__id_u64(0);
    struct qv__id answer = qv__id_u64(42);
    struct qv__id uuid;
    struct qv__id str = {.kind = QV__ID_STR, .len = 3, .s = "abc"};
    assert_true(qv__id_parse_uuid(QV__STR(UUID), &uuid));
    assert_true(qv__id_slice_hash(&zero) == UINT64_C(0xe849e8bb6ffe2567));
    assert_true(qv__id_slice_hash(&answer) == UINT64_C(0x0fc2553f07619dd3));
    assert_true(qv__id_slice_hash(&uuid) == UINT64_C(0xf5d0ca21ba34d504));
    assert_true(qv__id_slice_hash(&str) == UINT64_C(0x3fc884964770eede));
    /* Slices are disjoint and cover all ids. */
    for (unsigned total = 1; total < 8; total++) {
        unsigned sizes[8] = {0};
        for (uint64_t u = 0; u < 200; u++) {
            unsigned hits = 0;
            for (unsigned index = 0; index < total; index++) {
                char text[80];
                snprintf(text, sizeof text, ONE("{\"slice\":{\"total\":%u,\"index\":%u}}"), total,
                         index);
                if (match(f, "{}", text, qv__id_u64(u))) {
                    hits++;
                    sizes[index]++;
                }
            }
            assert_int_equal(hits, 1);
        }
        for (unsigned index = 0; index < total; index++) {
            assert_true(sizes[index] > 200 / total / 2);
        }
    }
}

/* Truth values in large sets, which no JSON gives. */
static void many_bools(void **state)
{
    struct fixture *f = *state;
    struct qv__match_value values[22] = {{.kind = QV__MATCH_INT}};
    struct qv__cond c = {.kind = QV__COND_MATCH_ANY, .path = path("b")};
    struct qv__filter filter = {.must = {&c, 1}};
    struct qv__filter_row yes = {.payload = row(f, "{\"b\":true}")};
    struct qv__filter_row no = {.payload = row(f, "{\"b\":false}")};
    for (int i = 0; i < 20; i++) {
        values[i].i = i;
    }
    values[20] = (struct qv__match_value){.kind = QV__MATCH_BOOL, .b = false};
    values[21] = (struct qv__match_value){.kind = QV__MATCH_BOOL, .b = true};
    c.match.values = values;
    for (size_t n = 20; n <= 22; n++) {
        c.match.n = n;
        assert_int_equal(qv__filter_match(&filter, &no), n > 20);
        assert_int_equal(qv__filter_match(&filter, &yes), n > 21);
    }
}

static void what_is_needed(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *filter;
        bool payload;
        size_t ids; /* SIZE_MAX: no set */
    } cases[] = {
        {"null", false, SIZE_MAX},
        {"{}", false, SIZE_MAX},
        {"{\"must\":[]}", false, SIZE_MAX},
        {ONE("{\"has_id\":[3,1,2,1]}"), false, 3},
        {ONE("{\"has_id\":[]}"), false, 0},
        {ONE("{\"has_vector\":\"\"}"), false, SIZE_MAX},
        {ONE("{\"slice\":{\"total\":2,\"index\":0}}"), false, SIZE_MAX},
        {"{\"should\":[{\"has_id\":[1]}]}", false, SIZE_MAX},
        {"{\"must_not\":[{\"has_id\":[1]}]}", false, SIZE_MAX},
        {"{\"must\":[" A1 ",{\"has_id\":[1,2]},{\"has_id\":[2]}]}", true, 1},
        {"{\"must\":[{\"must\":[{\"has_id\":[1]}]}]}", false, SIZE_MAX},
        {"{\"must\":[{\"must\":[" A1 "]}]}", true, SIZE_MAX},
        {"{\"should\":" A1 "}", true, SIZE_MAX},
        {"{\"must_not\":" A1 "}", true, SIZE_MAX},
        {"{\"min_should\":{\"conditions\":[" A1 "],\"min_count\":1}}", true, SIZE_MAX},
        {"{\"min_should\":{\"conditions\":[{\"has_id\":[1]}],\"min_count\":1}}", false, SIZE_MAX},
        {NESTED("a", "{}"), true, SIZE_MAX},
        {EMPTY("a"), true, SIZE_MAX},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        const struct qv__filter *filter = filter_of(f, cases[i].filter);
        assert_int_equal(qv__filter_needs_payload(filter), cases[i].payload);
        const struct qv__cond *set = qv__filter_id_set(filter);
        assert_int_equal(set ? set->has_id.n : SIZE_MAX, cases[i].ids);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(match_value), TEST(match_sets), TEST(match_text), TEST(ranges),         TEST(counts),
        TEST(emptiness),   TEST(paths),      TEST(clauses),    TEST(nested),         TEST(geo),
        TEST(ids),         TEST(slices),     TEST(many_bools), TEST(what_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
