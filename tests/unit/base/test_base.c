/* test_base.c: error filling, borrowed strings, checked arithmetic, assertions. */
#include "base_test.h"

#include <errno.h>

static void fail_fills_code_and_message(void **state)
{
    (void)state;
    struct qv_err err = {.os_errno = 7};
    assert_int_equal(qv__fail(&err, QV_EINVAL, "limit: %d is over %d", 7, 5), QV_EINVAL);
    assert_int_equal(err.code, QV_EINVAL);
    assert_int_equal(err.os_errno, 0);
    assert_string_equal(err.message, "limit: 7 is over 5");
    assert_int_equal(qv__fail(NULL, QV_EBUSY, "ignored %d", 1), QV_EBUSY);
}

static void long_messages_are_cut_not_overrun(void **state)
{
    (void)state;
    struct {
        struct qv_err err;
        uint8_t guard[16];
    } s;
    memset(&s, 0x5a, sizeof s);
    char *text = test_malloc(5000);
    memset(text, 'x', 4999);
    text[4999] = 0;
    qv__fail(&s.err, QV_EIO, "%s", text);
    assert_int_equal(strlen(s.err.message), sizeof s.err.message - 1);
    qv__wrap(&s.err, QV_EIO, "%s", text);
    assert_int_equal(strlen(s.err.message), sizeof s.err.message - 1);
    qv__fail_os(&s.err, QV_EIO, EACCES, "%s", text);
    assert_int_equal(strlen(s.err.message), sizeof s.err.message - 1);
    for (size_t i = 0; i < sizeof s.guard; i++) {
        assert_int_equal(s.guard[i], 0x5a);
    }
    test_free(text);
}

static void a_message_may_quote_itself(void **state)
{
    (void)state;
    struct qv_err err = {0};
    qv__fail(&err, QV_EINVAL, "inner");
    qv__fail(&err, QV_ECORRUPT, "outer (%s)", err.message);
    assert_string_equal(err.message, "outer (inner)");
}

static void os_errors_carry_errno_and_map_space(void **state)
{
    (void)state;
    struct qv_err err = {0};
    assert_int_equal(qv__fail_os(&err, QV_EIO, EACCES, "open '%s'", "f"), QV_EIO);
    assert_int_equal(err.os_errno, EACCES);
    assert_string_equal(err.message, "open 'f': Permission denied");
    static const struct {
        int os_errno;
        qv_status code;
    } cases[] = {{ENOSPC, QV_ENOSPC}, {EDQUOT, QV_ENOSPC}, {EFBIG, QV_ENOSPC},
                 {ENOMEM, QV_ENOMEM}, {EIO, QV_EIO},       {EROFS, QV_EIO}};
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        assert_int_equal(qv__fail_os(&err, QV_EIO, cases[i].os_errno, "x"), cases[i].code);
        assert_int_equal(err.code, cases[i].code);
        assert_int_equal(qv__fail_os(NULL, QV_EIO, cases[i].os_errno, "x"), cases[i].code);
    }
}

static void wrap_puts_the_outer_step_first(void **state)
{
    (void)state;
    struct qv_err err = {0};
    qv_status st = qv__fail_os(&err, QV_EIO, EACCES, "read");
    assert_int_equal(qv__wrap(&err, st, "segment %d", 4), QV_EIO);
    assert_string_equal(err.message, "segment 4: read: Permission denied");
    assert_int_equal(err.os_errno, EACCES);
    struct qv_err empty = {0};
    assert_int_equal(qv__wrap(&empty, QV_ENOMEM, "load"), QV_ENOMEM);
    assert_int_equal(empty.code, QV_ENOMEM);
    assert_string_equal(empty.message, "load: out of memory budget");
    assert_int_equal(qv__wrap(NULL, QV_ENOMEM, "load"), QV_ENOMEM);
}

static void strings_compare_by_bytes_then_length(void **state)
{
    (void)state;
    assert_true(qv__str_eq(QV__STR("ab"), qv__str_z("ab")));
    assert_false(qv__str_eq(QV__STR("ab"), QV__STR("abc")));
    assert_true(qv__str_eq((struct qv__str){NULL, 0}, QV__STR("")));
    assert_true(qv__str_cmp(QV__STR("ab"), QV__STR("abc")) < 0);
    assert_true(qv__str_cmp(QV__STR("b"), QV__STR("abc")) > 0);
    assert_true(qv__str_cmp(QV__STR("\xff"), QV__STR("a")) > 0);
    assert_int_equal(qv__str_cmp(QV__STR("a"), QV__STR("a")), 0);
    assert_int_equal(qv__str_cmp((struct qv__str){NULL, 0}, (struct qv__str){NULL, 0}), 0);
    assert_int_equal(qv__str_z(NULL).n, 0);
}

static void sums_and_products_report_overflow(void **state)
{
    (void)state;
    size_t v;
    assert_true(qv__mul_ok(SIZE_MAX / 3, 3, &v));
    assert_false(qv__mul_ok(SIZE_MAX / 3 + 1, 3, &v));
    assert_true(qv__add_ok(SIZE_MAX - 1, 1, &v));
    assert_true(v == SIZE_MAX);
    assert_false(qv__add_ok(SIZE_MAX, 1, &v));
    assert_int_equal(QV_ALIGN_UP(0, 16), 0);
    assert_int_equal(QV_ALIGN_UP(1, 16), 16);
    assert_int_equal(QV_ALIGN_UP(16, 16), 16);
}

static void assert_false_condition(void *arg)
{
    QV_ASSERT(*(int *)arg == 1);
}

static void a_failed_assertion_aborts(void **state)
{
    (void)state;
    int one = 1, two = 2;
    assert_false(aborts(assert_false_condition, &one));
    assert_true(aborts(assert_false_condition, &two));
}

static void minimum_and_maximum_ask_once(void **state)
{
    (void)state;
    uint32_t n = 4, asked = 0;
    assert_int_equal(QV_MIN(++asked, 5), 1);
    assert_int_equal(QV_MIN(5u, ++asked), 2);
    assert_int_equal(QV_MAX(++asked, n), 4);
    assert_int_equal(asked, 3);
    assert_int_equal(QV_MIN(QV_MAX(++asked, n), QV_MIN(n++, 9)), 4);
    assert_int_equal(asked, 4);
    assert_int_equal(n, 5);
    assert_true(QV_MAX(0.5, 1) == 1.0);
    assert_true(QV_MIN((uint64_t)1 << 40, 7u) == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minimum_and_maximum_ask_once),
        cmocka_unit_test(fail_fills_code_and_message),
        cmocka_unit_test(long_messages_are_cut_not_overrun),
        cmocka_unit_test(a_message_may_quote_itself),
        cmocka_unit_test(os_errors_carry_errno_and_map_space),
        cmocka_unit_test(wrap_puts_the_outer_step_first),
        cmocka_unit_test(strings_compare_by_bytes_then_length),
        cmocka_unit_test(sums_and_products_report_overflow),
        cmocka_unit_test(a_failed_assertion_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
