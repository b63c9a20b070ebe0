/* test_text.c: percent-decoding and UTF-8 of what clients send. */
#include "api_fixture.h"

#include "api/text.h"

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *z;
        size_t n;
        bool ok;
    } cases[] = {
        {"", 0, true},
        {"plain", 5, true},
        {"a\0b", 3, true},
        {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9, true},
        {"\xEF\xBF\xBF\xF4\x8F\xBF\xBF", 7, true},
        {"\xC3", 1, false},             /* cut */
        {"\xE2\x82", 2, false},         /* cut */
        {"\xC0\xAF", 2, false},         /* overlong slash */
        {"\xE0\x80\xAF", 3, false},     /* overlong */
        {"\xF0\x80\x80\xAF", 4, false}, /* overlong */
        {"\xED\xA0\x80", 3, false},     /* surrogate */
        {"\xF4\x90\x80\x80", 4, false}, /* beyond U+10FFFF */
        {"\xFF", 1, false},
        {"\x80", 1, false},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        bool ok = qv__text_is_utf8((struct qv__str){cases[i].z, cases[i].n});
        if (ok != cases[i].ok) {
            fail_msg("case %zu", i);
        }
    }
}

static void test_repair(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv__buf b;
    qv__buf_init(&b, mem);
    qv__text_repair(&b, QV__STR("ab\xE2\x82"));
    qv__buf_putc(&b, 0);
    assert_string_equal((char *)b.p, "ab\xEF\xBF\xBD\xEF\xBF\xBD");
    qv__buf_reset(&b);
    for (int c = 1; c < 256; c++) {
        for (int d = 1; d < 256; d++) {
            char in[3] = {(char)c, (char)d, 'x'};
            qv__buf_reset(&b);
            qv__text_repair(&b, (struct qv__str){in, 3});
            assert_true(qv__text_is_utf8((struct qv__str){(char *)b.p, b.n}));
            assert_int_equal(b.p[b.n - 1], 'x');
        }
    }
    qv__buf_free(&b);
    qv__mem_close(mem);
}

static void test_unescape(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv__arena a;
    struct qv__str out;
    struct qv_err err;
    qv__arena_init(&a, mem);
    static const struct {
        const char *in;
        bool is_query;
        const char *out;
        size_t n;
    } good[] = {
        {"", false, "", 0},
        {"plain", false, "plain", 5},
        {"a%20b", false, "a b", 3},
        {"a+b", false, "a+b", 3},
        {"a+b%2B", true, "a b+", 4},
        {"%2e%2E%2f", false, "../", 3},
        {"%C3%A9", false, "\xC3\xA9", 2},
        {"%00x", false, "\0x", 2},
        {"%25zz", false, "%zz", 3},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(good); i++) {
        assert_int_equal(qv__text_unescape(&a, qv__str_z(good[i].in), good[i].is_query, &out, &err),
                         QV_OK);
        assert_int_equal(out.n, good[i].n);
        assert_memory_equal(out.p, good[i].out, good[i].n);
    }
    static const char *const bad[] = {"%", "%2", "%zz", "a%2", "a%g0", "%0g", "%ff", "%C3", "\xC3"};
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        assert_int_equal(qv__text_unescape(&a, qv__str_z(bad[i]), false, &out, &err), QV_EINVAL);
    }
    qv__arena_free(&a);
    qv__mem_fail_at(mem, 1, false);
    assert_int_equal(qv__text_unescape(&a, QV__STR("%41"), false, &out, &err), QV_ENOMEM);
    assert_int_equal(qv__text_unescape(&a, QV__STR("A"), false, &out, &err), QV_OK);
    qv__arena_free(&a);
    qv__mem_close(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_repair),
        cmocka_unit_test(test_unescape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
