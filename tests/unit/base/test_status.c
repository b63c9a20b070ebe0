/* test_status.c: the table of status codes: every lookup answers its row. */
#include "base_test.h"

struct row {
    qv_status code;
    int value;
    const char *name, *text;
    int http, grpc;
    bool is_retryable;
};

#define ROW(name, value, text, http, grpc, retryable)                                              \
    {QV_##name, value, "QV_" #name, text, http, grpc, retryable},
static const struct row rows[] = {QV_STATUS_TABLE(ROW)};

static void every_code_answers_its_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < QV_ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        assert_int_equal(r->code, r->value);
        assert_string_equal(qv_status_name(r->code), r->name);
        assert_string_equal(qv_status_text(r->code), r->text);
        assert_int_equal(qv_status_http(r->code), r->http);
        assert_int_equal(qv_status_grpc(r->code), r->grpc);
        assert_int_equal(qv_status_retryable(r->code), r->is_retryable);
    }
}

static void values_are_dense_and_pinned(void **state)
{
    (void)state;
    for (size_t i = 0; i < QV_ARRAY_LEN(rows); i++) {
        assert_int_equal(rows[i].value, (int)i);
    }
    assert_int_equal(QV_OK, 0);
    assert_int_equal(QV_ENOTFOUND, 3);
    assert_int_equal(QV_ENOMEM, 13);
    assert_int_equal(QV_ECORRUPT, 16);
    assert_int_equal(QV_ECONFLICT, 22);
    assert_int_equal(qv_status_http(QV_ENOTFOUND), 404);
    assert_int_equal(qv_status_grpc(QV_ENOTFOUND), 5);
    assert_true(qv_status_retryable(QV_EBUSY));
    assert_false(qv_status_retryable(QV_EINVAL));
}

static void unknown_codes_are_internal_errors(void **state)
{
    (void)state;
    const int unknown[] = {-1, (int)QV_ARRAY_LEN(rows), 255, 1 << 30};
    for (size_t i = 0; i < QV_ARRAY_LEN(unknown); i++) {
        qv_status code;
        memcpy(&code, &unknown[i], sizeof code);
        assert_string_equal(qv_status_text(code), "unknown status");
        assert_string_equal(qv_status_name(code), "QV_UNKNOWN");
        assert_int_equal(qv_status_http(code), 500);
        assert_int_equal(qv_status_grpc(code), 13);
        assert_false(qv_status_retryable(code));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_answers_its_row),
        cmocka_unit_test(values_are_dense_and_pinned),
        cmocka_unit_test(unknown_codes_are_internal_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
