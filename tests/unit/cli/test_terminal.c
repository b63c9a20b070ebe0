/* Text for people: safe, wrapped, measured; and the option lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "cli/cli.h"

static void put(struct qv__mem *mem, const char *text, size_t n, const char *expected)
{
    struct qv__buf b;
    qv__buf_init(&b, mem);
    qv__term_put(&b, (struct qv__str){text, n});
    qv__buf_putc(&b, '\0');
    assert_string_equal((const char *)b.p, expected);
    qv__buf_free(&b);
}

static void test_put(void **state)
{
    struct qv__mem *mem = *state;
    put(mem, "a\xc3\xa4\xe4\xb8\xad", 6, "a\xc3\xa4\xe4\xb8\xad");
    put(mem, "\x1b[31mred\x07", 9, "\\x1b[31mred\\x07");
    put(mem, "a\nb\tc\r", 6, "a b c\\x0d");
    put(mem,
        "\xc2\x9b"
        "31m",
        5, "\\x9b31m");                                                 /* CSI in one character */
    put(mem, "x\xe2\x80\xaey", 5, "x\\u202ey");                         /* right to left */
    put(mem, "\xff\xc3(\xed\xa0\x80", 6, "\\xff\\xc3(\\xed\\xa0\\x80"); /* malformed */
    put(mem, "\0", 1, "\\x00");
}

static void test_width(void **state)
{
    (void)state;
    assert_int_equal(qv__term_width(qv__str_z("abc")), 3);
    assert_int_equal(qv__term_width(qv__str_z("\xc3\xa4")), 1);
    assert_int_equal(qv__term_width(qv__str_z("a\xcc\x88")), 1);
    assert_int_equal(qv__term_width(qv__str_z("\xe4\xb8\xad\xe6\x96\x87")), 4);
}

static void wrap(struct qv__mem *mem, const char *text, unsigned indent, unsigned columns,
                 const char *expected)
{
    struct qv__buf b;
    qv__buf_init(&b, mem);
    qv__term_wrap(&b, qv__str_z(text), indent, columns);
    qv__buf_putc(&b, '\0');
    assert_string_equal((const char *)b.p, expected);
    qv__buf_free(&b);
}

static void test_wrap(void **state)
{
    struct qv__mem *mem = *state;
    wrap(mem, "", 4, 40, "");
    wrap(mem, "one two  three four five six", 2, 22, "one two three four\n  five six");
    wrap(mem, "0123456789012345678901234567890", 0, 20, "01234567890123456789\n01234567890");
    wrap(mem, "a 01234567890123456789012345 b", 0, 20, "a\n01234567890123456789\n012345 b");
    /* However narrow, there is room for twenty columns. */
    wrap(mem, "one two three four five", 30, 10,
         "one two three four\n"
         "                              five");
}

static void test_numbers(void **state)
{
    (void)state;
    char b[32];
    assert_string_equal(qv__human_count(0, b), "0");
    assert_string_equal(qv__human_count(999, b), "999");
    assert_string_equal(qv__human_count(1000, b), "1,000");
    assert_string_equal(qv__human_count(UINT64_MAX, b), "18,446,744,073,709,551,615");
    assert_string_equal(qv__human_bytes(0, b), "0 B");
    assert_string_equal(qv__human_bytes(1023, b), "1023 B");
    assert_string_equal(qv__human_bytes(1024, b), "1.0 KiB");
    assert_string_equal(qv__human_bytes(1048575, b), "1.0 MiB");
    assert_string_equal(qv__human_bytes(UINT64_MAX, b), "16.0 EiB");
    assert_string_equal(qv__human_seconds(0.0000123, b), "12 us");
    assert_string_equal(qv__human_seconds(0.25, b), "250.0 ms");
    assert_string_equal(qv__human_seconds(61, b), "1:01 min");
    assert_string_equal(qv__human_seconds(3661, b), "1:01:01 h");
    assert_string_equal(qv__human_seconds(-1, b), "0 us");
}

static void test_nearest(void **state)
{
    (void)state;
    const char *const words[] = {"import", "query", "info", "check"};
    assert_string_equal(qv__options_nearest("improt", words, 4), "import");
    assert_string_equal(qv__options_nearest("qery", words, 4), "query");
    assert_null(qv__options_nearest("nothing", words, 4));
    assert_null(qv__options_nearest("", words, 4));
    assert_null(qv__options_nearest("importimportimportimportimportimportimport", words, 4));
}

static void test_list(void **state)
{
    (void)state;
    uint32_t v[3];
    size_t n;
    struct qv_err err;
    assert_int_equal(qv__options_u32_list("16,32,64", 1, 100, v, 3, &n, &err), QV_OK);
    assert_int_equal(n, 3);
    assert_int_equal(v[2], 64);
    static const char *const bad[] = {
        "",   ",",   "1,",      ",1", "1,,2", "1 ",  " 1",  "-1",
        "+1", "1.5", "1,2,3,4", "0",  "101",  "0x1", "1;2", "99999999999999999999"};
    for (size_t i = 0; i < QV_ARRAY_LEN(bad); i++) {
        if (qv__options_u32_list(bad[i], 1, 100, v, 3, &n, &err) != QV_EINVAL) {
            fail_msg("taken for good: %s", bad[i]);
        }
    }
}

static int setup(void **state)
{
    *state = qv__mem_root("test", 0);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    assert_int_equal(qv__mem_used(*state), 0);
    qv__mem_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_put, setup, teardown),
        cmocka_unit_test(test_width),
        cmocka_unit_test_setup_teardown(test_wrap, setup, teardown),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
