/* test_json.c: the JSON parser, access to its nodes, the writer, and both together. */
#include "base_test.h"

#include <float.h>
#include <locale.h>
#include <math.h>

#include "base/json.h"
#include "base/rng.h"

#define SEED 20240607U

/* clang-format off */
/* A text that may hold NUL bytes. */
struct text { const char *p; size_t n; };
#define T(literal) {literal, sizeof(literal) - 1}

/* --- what is JSON and what is not --- */

static const struct text accepted[] = {
    T("[]"), T("{}"), T(" [ ] "), T("\t\r\n{\t\r\n}\t\r\n"), T("null"), T("true"), T("false"),
    T("0"), T("-0"), T("1"), T("-1"), T("10"), T("1234567890"), T("0.5"), T("-0.5"), T("1e1"),
    T("1E1"), T("1e+1"), T("1e-1"), T("1.5e10"), T("0e0"), T("0E+0"), T("0e-0"), T("0.0"),
    T("0.0000000000000000000000000000001"), T("1e-400"), T("0e999999999999"), T("123e65"),
    T("1.7976931348623157e308"), T("5e-324"), T("123456789012345678901234567890"),
    T("-9223372036854775808"), T("18446744073709551615"), T("100000000000000000000.0e-20"),
    T("\"\""), T("\"a\""), T("\" \""), T("\"\x7f\""), T("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
    T("\"\\u0000\""), T("\"\\u0041\""), T("\"\\uABCD\\uabcd\""), T("\"\\uD7FF\\uE000\""),
    T("\"\\ud83d\\ude00\""), T("\"\\uDBFF\\uDFFF\""), T("\"\\uFFFF\""), T("\"\\\\u12\""),
    T("\"\\\\ud800\""), T("\"\xc2\x80\""), T("\"\xdf\xbf\""), T("\"\xe0\xa0\x80\""),
    T("\"\xed\x9f\xbf\""), T("\"\xee\x80\x80\""), T("\"\xef\xbf\xbf\""), T("\"\xef\xbb\xbf\""),
    T("\"\xf0\x90\x80\x80\""), T("\"\xf4\x8f\xbf\xbf\""), T("\"\xe2\x80\xa8\xe2\x80\xa9\""),
    T("\"[1,2\""), T("\"{]}\""), T("\"/*x*/ //\""), T("\"a\\\"[1,2]\\\"\""), T("[\"\\\\\",[1]]"),
    T("[1]"), T("[1,2]"), T("[ 1 , 2 ]"), T("[\n1\n,\n2\n]"), T("[-1,-0.5,1e5]"), T("[[]]"),
    T("[[],[]]"), T("[[1],[2,3]]"), T("[[[[[[1]]]]]]"), T("[1,[2],3]"), T("[1,\"a\",null]"),
    T("[1,true]"), T("[1,{}]"), T("[\"a\",1]"), T("[1.5,2.5,\"x\"]"), T("[{},{}]"), T("[null]"),
    T("{\"a\":1}"), T("{ \"a\" : 1 }"), T("{\"a\":1,\"b\":2}"), T("{\"a\":[1,2,3]}"),
    T("{\"a\":{\"b\":{}}}"), T("{\"\":0}"), T("{\"a\":1,\"a\":2}"), T("{\"\\u0061\":1}"),
    T("{\"[1\":[1]}"), T("{\"a\":[1,2],\"b\":[3,4]}"), T("{\"\xc3\xa9\":\"\xe2\x82\xac\"}"),
};

static const struct text refused[] = {
    T(""), T(" "), T("\n"), T("\0"), T("\xef\xbb\xbf"), T("\xef\xbb\xbf{}"), T("\xff\xfe[\0]\0"),
    T("nul"), T("nulll"), T("Null"), T("TRUE"), T("tru"), T("truee"), T("fals"), T("true1"),
    T("undefined"), T("NaN"), T("-NaN"), T("nan"), T("Infinity"), T("-Infinity"), T("inf"), T("+1"),
    T("-"), T("--1"), T("-a"), T("+"), T("."), T(".5"), T("-.5"), T("1."), T("1.e1"), T("-1."),
    T("0."), T("1e"), T("1e+"), T("1e-"), T("1E"), T("1.5e"), T("e5"), T("1e5.5"), T("01"),
    T("-01"), T("00"), T("-00"), T("01.5"), T("0x10"), T("0b1"), T("1_000"), T("1,000"), T("1 000"),
    T("1f"), T("1L"), T("1e400"), T("-1e400"), T("1e99999999999999999999"), T("1\0"), T("\0001"),
    T("1\v"), T("\v1"), T("\f1"), T("[1\f]"),
    T("[                                             \v                                        ]"),
    T("[1                                     \f                                                ]"),
    T("\xc2\xa0[]"), T("[\xc2\xa0]"), T("\xe2\x80\xa8[]"), T("'a'"), T("['a']"), T("{'a':1}"),
    T("a"), T("{a:1}"), T("\""), T("\"a"), T("\"a\\\""), T("\"a\\"), T("\"\\u"), T("\"\\u0"),
    T("\"\\u000\""), T("\"\\u00g0\""), T("\"\\U0041\""), T("\"\\x41\""), T("\"\\a\""), T("\"\\'\""),
    T("\"\\0\""), T("\"\\\n\""), T("\"\\ \""), T("\"\\\xc3\xa9\""), T("\"\\ud800\""),
    T("\"\\udc00\""), T("\"\\ud800a\""), T("\"\\ud800\\n\""), T("\"\\ud800\\u0041\""),
    T("\"\\ud800\\ud800\""), T("\"\\ud800\\u\""), T("\"\\udc00\\ud800\""), T("\"\\udc00\\udc00\""),
    T("\"\\ud800\\ue000\""), T("\"\\ud83d\\\\ude00\""), T("{\"\\ud800\":1}"), T("\"\n\""),
    T("\"\t\""), T("\"\0\""), T("\"a\0b\""), T("\"\x1f\""), T("\"\x80\""), T("\"\xbf\""),
    T("\"\xc0\x80\""), T("\"\xc0\xaf\""), T("\"\xc1\xbf\""), T("\"\xc3\""), T("\"\xc3"),
    T("\"\xc3(\""), T("\"\xe0\x80\xaf\""), T("\"\xe0\x9f\xbf\""), T("\"\xe2\x82\""),
    T("\"\xe2\x82"), T("\"\xe2(\xa1\""), T("\"\xed\xa0\x80\""), T("\"\xed\xbf\xbf\""),
    T("\"\xf0\x80\x80\x80\""), T("\"\xf0\x8f\xbf\xbf\""), T("\"\xf0\x9f\x98\""),
    T("\"\xf4\x90\x80\x80\""), T("\"\xf5\x80\x80\x80\""), T("\"\xf8\x88\x80\x80\x80\""),
    T("\"\xfe\""), T("\"\xff\""), T("{\"\xff\":1}"), T("["), T("]"), T("[1"), T("[1,"), T("[1,2"),
    T("[,"), T("[,1]"), T("[1,]"), T("[1,,2]"), T("[1 2]"), T("[1;2]"), T("[1:2]"), T("[\"a\",]"),
    T("[\"a\" \"b\"]"), T("[1}"), T("[}"), T("[]]"), T("[1]]"), T("[[1]"), T("[1,[2]"), T("[1,2.]"),
    T("[1,02]"), T("[1,-]"), T("[-]"), T("[1,+2]"), T("[1,2e]"), T("[1,1e400]"), T("[1,NaN]"),
    T("[1,nul]"), T("[1,\"]"), T("[1,\"\xff\"]"), T("[1,2]x"), T("[1,2]\0"), T("{"), T("}"),
    T("{]"), T("{\"a\"}"), T("{\"a\":}"), T("{\"a\":1"), T("{\"a\":1,"), T("{\"a\":1,}"), T("{,}"),
    T("{\"a\" 1}"), T("{\"a\"::1}"), T("{\"a\":1 \"b\":2}"), T("{\"a\":1,,\"b\":2}"),
    T("{\"a\":1;\"b\":2}"), T("{1:1}"), T("{null:1}"), T("{[]:1}"), T("{\"a\",1}"), T("{\"a\"=1}"),
    T("{:1}"), T("{\"a\":1}}"), T("{\"a\":[1,2}"), T("{\"a\":1 2}"), T("{\"a\":\"b\"c}"),
    T("[] []"), T("{} {}"), T("1 2"), T("null null"), T("\"a\" \"b\""), T("[]#"), T("[] /**/"),
    T("//x\n1"), T("/* x */1"), T("[1/*x*/,2]"), T("#x\n1"), T("[1,2,...]"), T("<a>"), T("\xe5"),
    T("[\xe5]"), T("[*]"), T("{*}"), T("\\"), T("[\\]"), T("[\"\\\\\\\"]"), T("(1)"), T("`1`"),
    T("@"), T("[1,@]"),
};

static const struct { const char *text; int line, column; const char *reason; } messages[] = {
    {"\xef\xbb\xbf{}", 1, 1, "expected value, found a byte order mark"},
    {"{\"a\":\n  [1,2,\n  3}", 3, 4, "expected ',' or ']', found '}'"},
    {"[\"\\u12\"]", 1, 3, "four hexadecimal digits must follow \\u"},
    {"{\"a\":1 \"b\"", 1, 8, "expected ',' or '}', found a string"},
    {"[\"a\" \"b\"]", 1, 6, "expected ',' or ']', found a string"},
    {"[\"\\ud800\"]", 1, 3, "lone surrogate \\ud800 in a string"},
    {"{\"a\": 1, \"bcd\":}", 1, 16, "expected value, found '}'"},
    {"{\"a\":1}\n x", 2, 2, "expected end of text, found 'x'"},
    {"[\x01]", 1, 2, "expected value or ']', found byte 0x01"},
    {"[1, // x\n2]", 1, 5, "expected value, found a comment"},
    {"[1,2", 1, 5, "expected ',' or ']', found end of text"},
    {"[\"\n\"]", 1, 3, "control character 0x0a in a string"},
    {"[\"\xc3\xa9\",}", 1, 6, "expected value, found '}'"},
    {"[nul]", 1, 2, "expected value or ']', found 'nul'"},
    {"[1,}, \"\xff\"", 1, 4, "expected value, found '}'"},
    {"{1:2}", 1, 2, "expected string or '}', found '1'"},
    {"{\"a\":1,}", 1, 8, "expected string, found '}'"}, {"[1,]", 1, 4, "expected value, found ']'"},
    {"[\"a\xff\"]", 1, 4, "invalid UTF-8 in a string"}, {"[1,1e999]", 1, 4, "number out of range"},
    {"[1 2]", 1, 4, "expected ',' or ']', found '2'"}, {"[01]", 1, 3, "number with a leading zero"},
    {"[\"\\x\"]", 1, 3, "invalid escape in a string"},
    {"[1,\v2]", 1, 4, "byte 0x0b is not white space"},
    {"[,", 1, 2, "expected value or ']', found ','"},
    {"[/", 1, 2, "expected value or ']', found '/'"},
    {"", 1, 1, "expected value, found end of text"}, {"{\"a\" 1}", 1, 6, "expected ':', found '1'"},
    {"{\"x\":-1e999}", 1, 6, "number out of range"}, {"[1,1.]", 1, 4, "expected value, found '1.'"},
    {"[\"a\", \"b]", 1, 7, "string is not closed"},
};

enum { I = QV__JSON_I64, U = QV__JSON_U64, F = QV__JSON_F64 };
static const struct { const char *text; unsigned kind; uint64_t bits; } integers[] = {
    {"0", I, 0}, {"7", I, 7}, {"-7", I, (uint64_t)-7}, {"9007199254740993", I, 9007199254740993ULL},
    {"9223372036854775807", I, INT64_MAX}, {"-9223372036854775808", I, (uint64_t)INT64_MIN},
    {"9223372036854775808", U, 1ULL << 63}, {"10000000000000000000", U, 10000000000000000000ULL},
    {"18446744073709551615", U, UINT64_MAX}, {"18446744073709551616", F, 0x43f0000000000000ULL},
    {"19999999999999999999", F, 0x43f158e460913d00ULL},
    {"29999999999999999999", F, 0x43fa055690d9db80ULL},
    {"-9223372036854775809", F, 0xc3e0000000000000ULL},
    {"-18446744073709551616", F, 0xc3f0000000000000ULL},
    {"1.2345678901234567890123e-200", F, 0x166e3d71f622be95ULL},
    {"100000000000000000000000", F, 0x44b52d02c7e14af6ULL}, {"-0", F, 1ULL << 63},
    {"-0.0", F, 1ULL << 63}, {"-0e5", F, 1ULL << 63}, {"-1e-999", F, 1ULL << 63},
    {"1.0", F, 0x3ff0000000000000ULL}, {"1e0", F, 0x3ff0000000000000ULL},
};

static const struct { double v; const char *f64, *f32; } numbers[] = {
    {0.0, "0.0", "0.0"}, {-0.0, "-0.0", "-0.0"}, {1, "1.0", "1.0"}, {-1, "-1.0", "-1.0"},
    {0.1F, "0.10000000149011612", "0.1"}, {0.3F, "0.30000001192092896", "0.3"},
    {100, "100.0", "100.0"}, {1234.5, "1234.5", "1234.5"}, {0.001, "0.001", "0.001"},
    {0.00001, "0.00001", "0.00001"}, {0.000001, "1e-6", "0.000001"}, {1e-7, "1e-7", "1e-7"},
    {-1.5e-9, "-1.5e-9", "-1.5e-9"}, {1e12, "1000000000000.0", "1000000000000.0"},
    {1e15, "1000000000000000.0", "1e15"}, {1e16, "1e16", "1e16"}, {1e21, "1e21", "1e21"},
    {1.5e300, "1.5e300", NULL}, {5e-324, "5e-324", NULL}, {DBL_MAX, "1.7976931348623157e308", NULL},
    {2.2250738585072014e-308, "2.2250738585072014e-308", NULL},
    {16777216, "16777216.0", "16777216.0"}, {0.30000000000000004, "0.30000000000000004", "0.3"},
    {9007199254740993.0, "9007199254740992.0", NULL}, {1.0 / 3, "0.3333333333333333", "0.33333334"},
    {FLT_MAX, "3.4028234663852886e38", "3.4028235e38"},
    {FLT_MIN, "1.1754943508222875e-38", "1.1754944e-38"},
    {1.401298464324817e-45, "1.401298464324817e-45", "1e-45"}, {(double)NAN, "null", "null"},
    {-(double)INFINITY, "null", "null"},
};
/* clang-format on */

/* One parse with its own account, so that a leak shows when it closes. */
struct doc {
    struct qv__mem *mem;
    struct qv__arena arena;
    size_t empty;
    qv__json v;
    qv_status st;
    struct qv_err err;
};

static void doc_open_limits(struct doc *d, const void *p, size_t n,
                            const struct qv__json_limits *limits)
{
    memset(d, 0, sizeof *d);
    d->mem = qv__mem_root("json", 0);
    d->empty = qv__mem_used(d->mem);
    qv__arena_init(&d->arena, d->mem);
    /* A copy of exactly n bytes: sanitizers see a read beyond its end. */
    char *copy = malloc(n ? n : 1);
    memcpy(copy, p, n);
    d->st = qv__json_parse(&d->arena, copy, n, limits, &d->v, &d->err);
    memset(copy, '#', n); /* the document must not point into the text */
    free(copy);
    assert_true((d->st == QV_OK) == (d->v != NULL));
    assert_true(d->st == QV_OK || (d->err.code == d->st && d->err.message[0]));
}

static void doc_open(struct doc *d, const char *z)
{
    doc_open_limits(d, z, strlen(z), NULL);
}

static void doc_close(struct doc *d)
{
    qv__arena_free(&d->arena);
    assert_int_equal(qv__mem_used(d->mem), d->empty);
    qv__mem_close(d->mem);
}

static qv_status parse_status(const char *p, size_t n)
{
    struct doc d;
    doc_open_limits(&d, p, n, NULL);
    doc_close(&d);
    return d.st;
}

/* --- grammar and messages --- */

static void accepts_json_and_nothing_else(QV_UNUSED void **state)
{
    for (size_t i = 0; i < QV_ARRAY_LEN(accepted); i++) {
        if (parse_status(accepted[i].p, accepted[i].n) != QV_OK) {
            fail_msg("refused: %s", accepted[i].p);
        }
    }
    for (size_t i = 0; i < QV_ARRAY_LEN(refused); i++) {
        if (parse_status(refused[i].p, refused[i].n) != QV_EINVAL) {
            fail_msg("not refused: %s", refused[i].p);
        }
        /* Nor does it become JSON behind an array of numbers. */
        char text[128] = "{\"k\":[1,2.5],\"x\":[";
        size_t n = strlen(text);
        memcpy(text + n, refused[i].p, refused[i].n);
        assert_int_equal(parse_status(text, n + refused[i].n), QV_EINVAL);
    }
}

static void refuses_every_proper_prefix(QV_UNUSED void **state)
{
    static const char text[] =
        "{\"a\":[1,-2.5e3,\"x\\n\\ud83d\\ude00\xc3\xa9\",[0.25,1E5],{\"b\":null,\"c\":[]}],"
        "\"d\":true,\"e\":[[1],[2]]}";
    for (size_t n = 0; n < sizeof text - 1; n++) {
        assert_int_equal(parse_status(text, n), QV_EINVAL);
    }
    assert_int_equal(parse_status(text, sizeof text - 1), QV_OK);
}

static void errors_name_the_place(QV_UNUSED void **state)
{
    struct doc d;
    char want[200];
    for (size_t i = 0; i < QV_ARRAY_LEN(messages); i++) {
        snprintf(want, sizeof want, "line %d column %d: %s", messages[i].line, messages[i].column,
                 messages[i].reason);
        doc_open(&d, messages[i].text);
        assert_int_equal(d.st, QV_EINVAL);
        assert_string_equal(d.err.message, want);
        doc_close(&d);
    }
    /* Without a place for the detail the code is still right. */
    qv__json v = NULL;
    doc_open(&d, "1");
    assert_int_equal(qv__json_parse(&d.arena, "[", 1, NULL, &v, NULL), QV_EINVAL);
    assert_int_equal(qv__json_parse(&d.arena, NULL, 0, NULL, &v, NULL), QV_EINVAL);
    assert_null(v);
    doc_close(&d);
}

/* --- limits --- */

static qv_status limited(const char *text, size_t n, uint32_t depth, uint32_t nodes,
                         uint32_t string, const char *want)
{
    struct doc d;
    struct qv__json_limits limits = {depth, nodes, string};
    doc_open_limits(&d, text, n, &limits);
    assert_string_equal(d.err.message, want ? want : d.err.message);
    doc_close(&d);
    return d.st;
}

static size_t nest(char *out, size_t depth, const char *open, const char *close)
{
    size_t n = 0;
    for (size_t i = 0; i <= depth * 2; i++) {
        n += (size_t)sprintf(out + n, "%s", i < depth ? open : i == depth ? "1" : close);
    }
    return n;
}

static void depth_is_limited(QV_UNUSED void **state)
{
    char text[2048];
    for (size_t depth = 1; depth <= 140; depth++) {
        size_t n = nest(text, depth, "{\"a\":", "}");
        assert_int_equal(limited(text, n, 0, 0, 0, NULL), depth <= 64 ? QV_OK : QV_ETOOBIG);
        n = nest(text, depth, "[", "]");
        assert_int_equal(limited(text, n, 0, 0, 0, NULL), depth <= 64 ? QV_OK : QV_ETOOBIG);
        assert_int_equal(limited(text, n, 7, 0, 0, NULL), depth <= 7 ? QV_OK : QV_ETOOBIG);
        /* However much is asked for, 128 is the end. */
        assert_int_equal(limited(text, n, 1U << 30, 0, 0, NULL), depth <= 128 ? QV_OK : QV_ETOOBIG);
    }
    enum { MANY = 100000 };
    char *deep = malloc(MANY * 5);
    memset(deep, '[', MANY);
    limited(deep, MANY, 0, 0, 0, "line 1 column 65: nested deeper than 64");
    for (size_t i = 0; i < MANY; i++) {
        memcpy(deep + i * 5, "{\"a\":", 5);
    }
    limited(deep, (size_t)MANY * 5, 0, 0, 0, "line 1 column 321: nested deeper than 64");
    free(deep);
}

static void nodes_are_limited(QV_UNUSED void **state)
{
    static const char *const texts[] = {/* by the number of their nodes, from 1 */
                                        "[]",
                                        "[1]",
                                        "[\"a\",\"\\n\"]",
                                        "[[],[],[]]",
                                        "[true,false,null,1.5]",
                                        "{\"a\":[1,2,\",[:\"]}",
                                        "{\"a\":[1,2],\"b\":{}}"};
    for (uint32_t i = 0; i < QV_ARRAY_LEN(texts); i++) {
        for (uint32_t max = 1; max < 10; max++) {
            assert_int_equal(limited(texts[i], strlen(texts[i]), 0, max, 0, NULL),
                             max <= i ? QV_ETOOBIG : QV_OK);
        }
    }
    limited("[1,22,333]", 10, 0, 3, 0, "line 1 column 7: more values than 3");
    limited("[1,\"a\",333]", 11, 0, 3, 0, "line 1 column 10: more values than 3");
}

static void strings_are_limited(QV_UNUSED void **state)
{
    assert_int_equal(limited("\"12345\"", 7, 0, 0, 5, NULL), QV_OK);
    limited("\"123456\"", 8, 0, 0, 5, "line 1 column 1: string longer than 5 bytes");
    assert_int_equal(limited("{\"123456\":1}", 12, 0, 0, 5, NULL), QV_ETOOBIG);
    /* It is the bytes after unescaping that count: 1 + 2 + 3 + 4 of them here. */
    static const char escaped[] = "[\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"]";
    assert_int_equal(limited(escaped, sizeof escaped - 1, 0, 0, 10, NULL), QV_OK);
    assert_int_equal(limited(escaped, sizeof escaped - 1, 0, 0, 9, NULL), QV_ETOOBIG);
    /* A text above 1 GiB is refused before a byte of it is read. */
    struct doc d;
    qv__json v = NULL;
    doc_open(&d, "1");
    assert_int_equal(qv__json_parse(&d.arena, "1", ((size_t)1 << 30) + 1, NULL, &v, &d.err),
                     QV_ETOOBIG);
    doc_close(&d);
}

static void long_numbers(QV_UNUSED void **state)
{
    /* In front, behind; inside of both every length around the limit and around yajl's buffer. */
    static const char *const frames[][2] = {{"", ""},         {" ", " "},       {"[", "]"},
                                            {"[ ", " ]"},     {"[1,", "]"},     {"[1,", ",\"a\"]"},
                                            {"{\"a\":", "}"}, {"[\"x\",", "]"}, {"[", ",\"x\"]"}};
    static const size_t lengths[] = {1, 3, 300, 1023, 1024, 1025, 2047, 2048, 2049, 5000, 20000};
    char *text = malloc(20100);
    for (size_t f = 0; f < QV_ARRAY_LEN(frames); f++) {
        for (size_t i = 0; i < QV_ARRAY_LEN(lengths) * 2; i++) {
            size_t n = (size_t)sprintf(text, "%s", frames[f][0]), len = lengths[i / 2];
            memset(text + n, '7', len);
            if (i % 2 && len > 1) {
                memcpy(text + n, "0.", 2);
            }
            /* 7 repeated passes the largest double at 309 digits; 0.7 repeated never does. */
            qv_status want = len > 1024 ? QV_ETOOBIG : len > 308 && i % 2 == 0 ? QV_EINVAL : QV_OK;
            n += len;
            qv_status cut = parse_status(text, n); /* the text ends with the number */
            assert_int_equal(cut, f < 2 || want == QV_ETOOBIG ? want : QV_EINVAL);
            n += (size_t)sprintf(text + n, "%s", frames[f][1]);
            assert_int_equal(parse_status(text, n), want);
        }
    }
    free(text);
}

/* --- values --- */

static void integers_keep_all_bits(QV_UNUSED void **state)
{
    for (size_t i = 0; i < QV_ARRAY_LEN(integers); i++) {
        char text[128];
        struct doc d;
        struct qv__json_node v;
        const char *p = integers[i].text;
        /* By yajl, in an array of numbers, behind one, and without a document. */
        snprintf(text, sizeof text, "[\"\",%s,[%s],%s]", p, p, p);
        doc_open(&d, text);
        qv__json seen[] = {qv__json_at(d.v, 1), qv__json_at(qv__json_at(d.v, 2), 0),
                           qv__json_at(d.v, 3), &v};
        assert_int_equal(qv__json_number(p, p + strlen(p), &v), strlen(p));
        for (size_t k = 0; k < QV_ARRAY_LEN(seen); k++) {
            assert_int_equal(seen[k]->kind, integers[i].kind);
            assert_true(seen[k]->u == integers[i].bits && seen[k]->skip == 1 && !seen[k]->len);
        }
        doc_close(&d);
    }
}

static void number_without_a_document(QV_UNUSED void **state)
{
    static const char *const none[] = {"", "-", "+1", ".5", "1.x", "1e+", "-01", " 1", "-1e309"};
    struct qv__json_node v = {.kind = QV__JSON_BOOL};
    for (size_t i = 0; i < QV_ARRAY_LEN(none); i++) {
        assert_int_equal(qv__json_number(none[i], none[i] + strlen(none[i]), &v), 0);
        assert_int_equal(v.kind, QV__JSON_BOOL); /* untouched */
    }
    const char *p = "12.5e1,3";
    assert_true(qv__json_number(p, p + 8, &v) == 6 && v.f == 125.0);
    assert_true(qv__json_number(p, p + 4, &v) == 4 && v.f == 12.5);
    assert_true(qv__json_number(p, p + 3, &v) == 0); /* "12." */
    assert_true(qv__json_number(p, p + 2, &v) == 2 && v.i == 12);
}

/* The C library is the oracle. */
static void check_read(const char *text)
{
    double want = strtod(text, NULL);
    struct qv__json_node v;
    size_t n = strlen(text), used = qv__json_number(text, text + n, &v);
    if (isinf(want) ? used != 0 : used != n || memcmp(&v.f, &want, sizeof want) != 0) {
        fail_msg("%s", text);
    }
}

static void doubles_are_read_exactly(QV_UNUSED void **state)
{
    struct qv__rng r;
    print_message("seed %u\n", SEED);
    qv__rng_seed(&r, SEED);
    for (int i = 0; i < 200000; i++) {
        char text[1100] = "-";
        size_t n = qv__rng_below(&r, 2), digits = 1 + qv__rng_below(&r, i % 100 ? 24 : 700);
        size_t point = qv__rng_below(&r, digits);
        for (size_t k = 0; k < digits; k++) {
            int d = (int)qv__rng_below(&r, 9);
            text[n++] = (char)('0' + (k ? d : point ? d + 1 : 0));
            if (k == point && k + 1 < digits) {
                text[n++] = '.';
            }
        }
        int range = i % 4 ? 60 : 700;
        sprintf(text + n, "e%d", (int)qv__rng_below(&r, (uint64_t)range) - range / 2);
        check_read(text);
    }
    /* Halfway between two doubles, exactly: ties go to even; a digit more and they are none. */
    for (int i = 0; i < 20000; i++) {
        uint64_t m = (qv__rng_u64(&r) >> 10) | 1ULL << 53 | 1; /* 54 bits, odd */
        char text[400];
        long double v = ldexpl((long double)m, -(int)qv__rng_below(&r, 40));
        int n = snprintf(text, sizeof text, "%.80Lf", v);
        check_read(text);
        text[n - 1] = '1';
        check_read(text);
    }
}

static void strings_are_unescaped(QV_UNUSED void **state)
{
    static const struct text want[] = {
        T("\"\\/\b\f\n\r\t"),
        T("a\0b"),
        T("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
        T(""),
        T("plain"),
        T("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf4\x8f\xbf\xbf")};
    struct doc d;
    doc_open(&d, "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"a\\u0000b\",\"\\u00e9\\u20AC\\ud83d\\uDE00\","
                 "\"\",\"plain\",\"\\u007f\\u0080\\u07ff\\u0800\\uffff\\udbff\\udfff\"]");
    for (size_t i = 0; i < QV_ARRAY_LEN(want); i++) {
        struct qv__str s = {0};
        assert_true(qv__json_str(qv__json_at(d.v, i), &s));
        assert_true(qv__str_eq(s, (struct qv__str){want[i].p, want[i].n}));
    }
    doc_close(&d);
}

/* Unescaped strings go through a buffer whose size we promise to yajl: every length around its
 * steps, as value and key, alone and one after the other. */
static void escapes_of_every_length(QV_UNUSED void **state)
{
    static const size_t lengths[] = {4,    5,    100,  2046, 2047,  2048,  2049,  4095,
                                     4096, 4097, 8191, 8192, 65535, 65536, 65537, 300000};
    static const char *const escapes[] = {"\\n", "\\u00e9", "\\u20ac", "\\ud83d\\ude00"};
    static char fill[300001], text[700000];
    memset(fill, 'x', sizeof fill - 1);
    for (size_t i = 0; i < QV_ARRAY_LEN(lengths) * QV_ARRAY_LEN(escapes); i++) {
        size_t len = lengths[i / 4], decoded = i % 4 + 1;
        const char *e = escapes[i % 4];
        int rest = (int)(len - decoded);
        struct doc d;
        sprintf(text, "{\"%s%.*s\":[1,\"%.*s%s\"]}", e, rest, fill, rest, fill, e);
        doc_open(&d, text);
        assert_int_equal(d.st, QV_OK);
        qv__json key = qv__json_first(d.v), value = qv__json_at(key + 1, 1);
        assert_true(key->len == len && value->len == len);
        assert_memory_equal(key->s, value->s + rest, decoded);
        assert_memory_equal(key->s + decoded, value->s, (size_t)rest);
        doc_close(&d);
        /* What looks like an array in a long string is none. */
        int n = sprintf(text, "[\"%s\\\"[1%.*s[2%s\"]", e, rest, fill, e);
        assert_int_equal(parse_status(text, (size_t)n), QV_OK);
    }
}

static void access_to_members_and_elements(QV_UNUSED void **state)
{
    struct doc d;
    struct qv__str s;
    bool b = false;
    int64_t i = 0;
    uint64_t u = 0;
    double f = 0;
    doc_open(
        &d, "{\"a\":1,\"b\":[10,[20,21],{\"x\":30},40],\"a\":\"two\",\"t\":true,\"n\":null,\"big\":"
            "18446744073709551615,\"neg\":-3,\"d\":1.0,\"aa\":5,\"\":6,\"e\":[],\"o\":{}}");
    assert_int_equal(d.v->len, 12);
    qv__json two = qv__json_get(d.v, "a"); /* the last of equal keys */
    assert_true(qv__json_str_is(two, "two") && !qv__json_str_is(two, "tw"));
    assert_false(qv__json_str_is(two, NULL) || qv__json_str_is(NULL, "two"));
    assert_true(qv__json_u64(qv__json_get_n(d.v, "aaa", 2), &u) && u == 5);
    assert_true(qv__json_u64(qv__json_get(d.v, ""), &u) && u == 6);
    assert_true(!qv__json_get(d.v, "x") && !qv__json_get(d.v, "aaa")); /* x is deeper */
    assert_true(!qv__json_get(d.v, NULL) && !qv__json_get(NULL, "a") && !qv__json_get(two, "a"));

    qv__json list = qv__json_get(d.v, "b"), e = qv__json_first(list);
    assert_true(qv__json_i64(qv__json_at(list, 0), &i) && i == 10);
    assert_true(qv__json_i64(qv__json_at(qv__json_at(list, 1), 1), &i) && i == 21);
    assert_true(qv__json_i64(qv__json_get(qv__json_at(list, 2), "x"), &i) && i == 30);
    assert_true(qv__json_i64(qv__json_at(list, 3), &i) && i == 40);
    assert_true(!qv__json_at(list, 4) && !qv__json_at(d.v, 0) && !qv__json_at(NULL, 0));
    for (size_t k = 0; k < list->len; k++, e = qv__json_next(e)) {
        assert_ptr_equal(e, qv__json_at(list, k));
    }
    assert_ptr_equal(e, qv__json_next(list));
    assert_true(!qv__json_first(qv__json_get(d.v, "e")) && !qv__json_first(qv__json_get(d.v, "o")));
    assert_true(!qv__json_first(two) && !qv__json_first(NULL));

    qv__json yes = qv__json_get(d.v, "t"), null = qv__json_get(d.v, "n");
    assert_true(qv__json_bool(yes, &b) && b && !qv__json_f64(yes, &f));
    assert_true(qv__json_is(null, QV__JSON_NULL) && !qv__json_bool(null, &b));
    qv__json big = qv__json_get(d.v, "big"), neg = qv__json_get(d.v, "neg");
    assert_true(qv__json_u64(big, &u) && u == UINT64_MAX && !qv__json_i64(big, &i));
    assert_true(qv__json_f64(big, &f) && f == 18446744073709551616.0);
    assert_true(qv__json_i64(neg, &i) && i == -3 && !qv__json_u64(neg, &u));
    assert_true(qv__json_f64(neg, &f) && f == -3.0 && !qv__json_str(neg, &s));
    qv__json real = qv__json_get(d.v, "d"); /* 1.0 is no integer */
    assert_true(qv__json_f64(real, &f) && !qv__json_u64(real, &u) && !qv__json_i64(real, &i));
    assert_false(qv__json_f64(NULL, &f) || qv__json_u64(NULL, &u) || qv__json_i64(NULL, &i));
    assert_false(qv__json_str(NULL, &s) || qv__json_bool(NULL, &b) || qv__json_is(NULL, 0));
    doc_close(&d);
}

static void arrays_of_floats(QV_UNUSED void **state)
{
    float out[8];
    struct doc d;
    static const float want[] = {1, -2.5F, 300, 18446744073709551615.0F, 0.1F, 0};
    doc_open(&d, "[[1,-2.5,3e2,18446744073709551615,0.1,1e-60],[]]");
    assert_true(qv__json_floats(qv__json_at(d.v, 0), out));
    assert_memory_equal(out, want, sizeof want);
    assert_true(qv__json_floats(qv__json_at(d.v, 1), out));
    doc_close(&d);
    doc_open(&d, "[[1,null],[\"1\"],[true],[[]],[{}],[1,[2]],{},1,[1e39],[-3.5e38]]");
    for (size_t i = 0; i < d.v->len; i++) {
        assert_false(qv__json_floats(qv__json_at(d.v, i), out));
    }
    doc_close(&d);
    assert_false(qv__json_floats(NULL, out));
}

/* --- writer --- */

/* Collects the writer's text; written() gives it as a C string and starts anew. */
struct sink {
    struct qv__mem *mem;
    struct qv__buf b;
    struct qv__jw w;
};

static void sink_open(struct sink *s)
{
    s->mem = qv__mem_root("sink", 0);
    qv__buf_init(&s->b, s->mem);
    qv__jw_init(&s->w, &s->b);
}

static const char *written(struct sink *s)
{
    qv__buf_putc(&s->b, '\0');
    assert_false(s->b.failed);
    qv__buf_reset(&s->b);
    qv__jw_init(&s->w, &s->b);
    return (const char *)s->b.p;
}

static void sink_close(struct sink *s)
{
    qv__buf_free(&s->b);
    qv__mem_close(s->mem);
}

static void writes_structure(QV_UNUSED void **state)
{
    struct sink s;
    struct qv__jw *w = &s.w;
    sink_open(&s);
    qv__jw_obj(w);
    qv__jw_key(w, "a");
    qv__jw_arr(w);
    qv__jw_i64(w, INT64_MIN);
    qv__jw_u64(w, UINT64_MAX);
    qv__jw_bool(w, true);
    qv__jw_bool(w, false);
    qv__jw_value(w, NULL);
    qv__jw_arr(w);
    qv__jw_arr_end(w);
    qv__jw_obj(w);
    qv__jw_obj_end(w);
    qv__jw_arr_end(w);
    qv__jw_key_n(w, QV__STR("b\"\n"));
    qv__jw_str(w, "x");
    qv__jw_key(w, "c");
    qv__jw_raw(w, "[1]", 3);
    qv__jw_key(w, "d");
    qv__jw_floats(w, (const float[]){1, -0.5F, NAN, INFINITY, 1e-7F}, 5);
    qv__jw_obj_end(w);
    assert_string_equal(written(&s),
                        "{\"a\":[-9223372036854775808,18446744073709551615,true,false,null,[],{}],"
                        "\"b\\\"\\n\":\"x\",\"c\":[1],\"d\":[1.0,-0.5,null,null,1e-7]}");
    sink_close(&s);
}

static void writes_escapes(QV_UNUSED void **state)
{
    struct sink s;
    char bytes[40], want[80];
    sink_open(&s);
    qv__jw_str_n(&s.w, QV__STR("\b\t\n\f\r\0\1\x0b\x1f/\x7f\xc3\xa9\xf0\x9f\x98\x80 \"\\"));
    assert_string_equal(written(&s),
                        "\"\\b\\t\\n\\f\\r\\u0000\\u0001\\u000b\\u001f/\x7f\xc3\xa9\xf0"
                        "\x9f\x98\x80 \\\"\\\\\"");
    /* The scan goes by words of 8: an escape at every place of strings of every length. */
    for (size_t n = 0; n < sizeof bytes; n++) {
        for (size_t at = 0; at < n; at++) {
            memset(bytes, 'x', n);
            bytes[at] = '"';
            snprintf(want, sizeof want, "\"%.*s\\%.*s\"", (int)at, bytes, (int)(n - at),
                     bytes + at);
            qv__jw_str_n(&s.w, (struct qv__str){bytes, n});
            assert_string_equal(written(&s), want);
        }
    }
    qv__jw_str_n(&s.w, (struct qv__str){NULL, 0});
    assert_string_equal(written(&s), "\"\"");
    sink_close(&s);
}

static void writes_numbers(QV_UNUSED void **state)
{
    struct sink s;
    sink_open(&s);
    for (size_t i = 0; i < QV_ARRAY_LEN(numbers); i++) {
        qv__jw_f64(&s.w, numbers[i].v);
        assert_string_equal(written(&s), numbers[i].f64);
        if (numbers[i].f32) {
            qv__jw_f32(&s.w, (float)numbers[i].v);
            assert_string_equal(written(&s), numbers[i].f32);
        }
    }
    sink_close(&s);
}

/* Significant digits of a number's text. */
static int digits_of(const char *p)
{
    int n = 0, zeros = 0;
    for (; *p && *p != 'e'; p++) {
        if (*p >= '0' && *p <= '9' && (n || *p != '0')) {
            n++;
            zeros = *p == '0' ? zeros + 1 : 0;
        }
    }
    return n - zeros;
}

/* v, written, reads back equal (as a float also by way of a double) and nothing shorter does. */
static void check_written(struct sink *s, double v, bool is_float)
{
    struct qv__json_node back;
    char text[64];
    int precision = 0;
    v = !isfinite(v) ? 1 : is_float ? (double)(float)v : v;
    is_float ? qv__jw_f32(&s->w, (float)v) : qv__jw_f64(&s->w, v);
    const char *p = written(s);
    assert_int_equal(qv__json_number(p, p + strlen(p), &back), strlen(p));
    assert_int_equal(back.kind, QV__JSON_F64);
    back.f = is_float ? (double)(float)back.f : back.f;
    assert_memory_equal(&back.f, &v, sizeof v);
    do {
        snprintf(text, sizeof text, "%.*e", precision, v);
    } while ((is_float ? (double)strtof(text, NULL) : strtod(text, NULL)) != v && ++precision < 17);
    assert_true(digits_of(p) <= precision + 1);
    if (digits_of(p) == precision + 1) { /* and nothing of that length is nearer */
        assert_true(fabsl(strtold(p, NULL) - v) <= fabsl(strtold(text, NULL) - v) * 1.01L);
    }
}

static void floats_survive_the_round_trip(QV_UNUSED void **state)
{
    struct sink s;
    struct qv__rng r;
    print_message("seed %u\n", SEED);
    qv__rng_seed(&r, SEED);
    sink_open(&s);
    for (int i = 0; i < 60000; i++) {
        uint64_t bits = qv__rng_u64(&r);
        double d = qv__rng_f64(&r) * (double)(1 << i % 30) - 0.5, any;
        float f;
        memcpy(&any, &bits, sizeof any);
        memcpy(&f, &bits, sizeof f);
        check_written(&s, d, i % 2);
        check_written(&s, ldexp(d, (int)(bits % 160) - 100), false);
        check_written(&s, any, false);
        check_written(&s, (double)qv__rng_gauss(&r), true);
        check_written(&s, (double)f, true);
    }
    for (int e = -1074; e < 1024; e++) { /* powers of two have an uneven interval */
        double d = ldexp(1, e);
        bool is_float = e > -149 && e < 128;
        check_written(&s, d, false);
        check_written(&s, nextafter(d, 1), false);
        check_written(&s, is_float ? d : 1, true);
        check_written(&s, is_float ? (double)nextafterf((float)d, 1) : 1, true);
        check_written(&s, e > -308 && e < 308 ? pow(10, e) : 1, false);
    }
    sink_close(&s);
}

/* Where other locales are installed, numbers must not change with them. */
static void no_locale_shows(void **state)
{
    static const char *const locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "C.UTF-8"};
    for (size_t i = 0; i < QV_ARRAY_LEN(locales); i++) {
        if (setlocale(LC_ALL, locales[i])) {
            writes_numbers(state);
            integers_keep_all_bits(state);
        }
    }
    setlocale(LC_ALL, "C");
}

/* --- both together --- */

static void assert_same(qv__json a, qv__json b)
{
    assert_int_equal(a->skip, b->skip);
    for (uint32_t i = 0; i < a->skip; i++) {
        assert_true(a[i].kind == b[i].kind && a[i].len == b[i].len && a[i].skip == b[i].skip);
        if (a[i].kind == QV__JSON_STR) {
            assert_memory_equal(a[i].s, b[i].s, a[i].len);
        } else {
            assert_true(a[i].u == b[i].u);
        }
    }
}

/* Documents made of the texts that are accepted, every other one with one byte damaged: most of
 * those are refused, and the others are documents like any. */
static void documents_survive_the_round_trip(QV_UNUSED void **state)
{
    struct qv__rng r;
    size_t sound = 0;
    print_message("seed %u\n", SEED);
    qv__rng_seed(&r, SEED);
    for (int i = 0; i < 8000; i++) {
        static const char bytes[] = "[]{},:\"\\0129.eE+-tn u\n\x00\x0b\xc3\xa9\xff";
        struct sink s;
        struct doc d, d2;
        char text[1000] = "[[0,1.5";
        size_t n = 7;
        for (size_t k = qv__rng_below(&r, 12); k > 0; k--) {
            const struct text *t = &accepted[qv__rng_below(&r, QV_ARRAY_LEN(accepted))];
            n += (size_t)sprintf(text + n, "%s", k % 4 ? "," : k % 8 ? "],{\"k\":[1]},[" : "],[");
            memcpy(text + n, t->p, t->n);
            n += t->n;
        }
        n += (size_t)sprintf(text + n, "]]");
        if (i % 2) {
            text[qv__rng_below(&r, n)] = bytes[qv__rng_below(&r, sizeof bytes - 1)];
        }
        doc_open_limits(&d, text, n, NULL);
        assert_true(d.st == QV_OK || (i % 2 && d.st == QV_EINVAL));
        if (d.st == QV_OK) {
            sound += (size_t)i % 2;
            sink_open(&s);
            qv__jw_value(&s.w, d.v);
            doc_open_limits(&d2, s.b.p, s.b.n, NULL);
            assert_int_equal(d2.st, QV_OK);
            assert_same(d.v, d2.v);
            doc_close(&d2);
            sink_close(&s);
        }
        doc_close(&d);
    }
    assert_true(sound > 100);
}

static void big_vectors(QV_UNUSED void **state)
{
    enum { DIM = 768, ROWS = 40 };
    static float want[ROWS][DIM], got[DIM];
    struct qv__rng r;
    struct sink s;
    struct doc d;
    qv__rng_seed(&r, SEED);
    sink_open(&s);
    qv__jw_arr(&s.w);
    for (int i = 0; i < ROWS * DIM; i++) {
        want[i / DIM][i % DIM] = qv__rng_gauss(&r);
    }
    for (int i = 0; i < ROWS; i++) {
        qv__jw_floats(&s.w, want[i], DIM);
    }
    qv__jw_arr_end(&s.w);
    doc_open_limits(&d, s.b.p, s.b.n, NULL);
    assert_int_equal(d.v->skip, 1 + ROWS * (DIM + 1));
    for (size_t i = 0; i < ROWS; i++) {
        assert_true(qv__json_floats(qv__json_at(d.v, i), got));
        assert_memory_equal(got, want[i], sizeof got);
    }
    doc_close(&d);
    sink_close(&s);
}

static void writer_fails_in_the_buffer(QV_UNUSED void **state)
{
    struct sink s;
    struct doc d;
    char text[600];
    struct qv__json_limits limits = {.depth_max = 128};
    size_t n = nest(text, 128, "[", "]");
    doc_open_limits(&d, text, n, &limits);
    sink_open(&s);
    qv__jw_value(&s.w, d.v); /* just fits */
    assert_memory_equal(written(&s), text, n);
    qv__jw_arr(&s.w);
    qv__jw_value(&s.w, d.v); /* one too deep */
    assert_int_equal(qv__buf_status(&s.b, NULL), QV_ETOOBIG);
    doc_close(&d);
    /* A limit of the buffer is exact: it fails only when the 15 bytes do not fit. */
    for (s.b.limit = 1; s.b.limit < 20; s.b.limit++) {
        qv__buf_reset(&s.b);
        qv__jw_init(&s.w, &s.b);
        qv__jw_floats(&s.w, (const float[]){0.5F, 0.25F, -1}, 3);
        assert_int_equal(qv__buf_status(&s.b, NULL), s.b.limit < 15 ? QV_ETOOBIG : QV_OK);
    }
    sink_close(&s);
}

static void every_allocation_may_fail(QV_UNUSED void **state)
{
    static char text[20000];
    size_t n = (size_t)sprintf(text, "{\"a\":[1,2,3],\"s\":\"\\n");
    memset(text + n, 'x', 9000); /* wants the second block for yajl, and chunks of its own */
    n += 9000;
    n += (size_t)sprintf(text + n, "\",\"v\":[0");
    for (int i = 0; i < 500; i++) {
        n += (size_t)sprintf(text + n, ",%d.5", i);
    }
    n += (size_t)sprintf(text + n, "]}");
    qv_status st;
    struct qv_err err;
    struct qv__arena arena;
    for (int sticky = 0; sticky < 3; sticky++) {
        uint64_t at = 0;
        do {
            /* In the third round it is a budget that refuses, ever later. */
            struct qv__mem *mem = qv__mem_root("json", sticky == 2 ? 4000 + 2000 * at : 0);
            size_t used = qv__mem_used(mem);
            qv__json v = NULL;
            qv__arena_init(&arena, mem);
            qv__mem_fail_at(mem, sticky < 2 ? at + 1 : 0, sticky == 1);
            st = qv__json_parse(&arena, text, n, NULL, &v, &err);
            assert_true(st == QV_OK ? v != NULL : st == QV_ENOMEM && v == NULL);
            qv__arena_free(&arena);
            assert_int_equal(qv__mem_used(mem), used);
            qv__mem_close(mem);
            at++;
        } while (st != QV_OK && at < 50);
        assert_int_equal(st, QV_OK);
        assert_true(at >= 4); /* nodes, text, yajl's block; then none */
    }
}

/* clang-format off */
static const struct CMUnitTest tests[] = {
    cmocka_unit_test(accepts_json_and_nothing_else), cmocka_unit_test(refuses_every_proper_prefix),
    cmocka_unit_test(errors_name_the_place), cmocka_unit_test(depth_is_limited),
    cmocka_unit_test(nodes_are_limited), cmocka_unit_test(strings_are_limited),
    cmocka_unit_test(long_numbers), cmocka_unit_test(integers_keep_all_bits),
    cmocka_unit_test(number_without_a_document), cmocka_unit_test(doubles_are_read_exactly),
    cmocka_unit_test(strings_are_unescaped), cmocka_unit_test(escapes_of_every_length),
    cmocka_unit_test(access_to_members_and_elements), cmocka_unit_test(arrays_of_floats),
    cmocka_unit_test(big_vectors), cmocka_unit_test(writes_structure),
    cmocka_unit_test(writes_escapes), cmocka_unit_test(writes_numbers),
    cmocka_unit_test(floats_survive_the_round_trip), cmocka_unit_test(no_locale_shows),
    cmocka_unit_test(documents_survive_the_round_trip),
    cmocka_unit_test(writer_fails_in_the_buffer), cmocka_unit_test(every_allocation_may_fail),
};
/* clang-format on */

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
