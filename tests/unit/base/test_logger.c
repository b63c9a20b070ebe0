/* test_logger.c: log lines: levels, one line each, cuts between characters. */
#include "base_test.h"

#include "base/logger.h"

struct lines {
    int n;
    enum qv__level level;
    char component[32], message[2048];
};

static void keep(void *ctx, enum qv__level level, const char *component, const char *message)
{
    struct lines *l = ctx;
    l->n++;
    l->level = level;
    (void)snprintf(l->component, sizeof l->component, "%s", component);
    (void)snprintf(l->message, sizeof l->message, "%s", message);
}

static void lines_reach_the_sink(void **state)
{
    (void)state;
    struct lines l = {.n = 0};
    struct qv__logger logger = {keep, &l, QV__LEVEL_INFO};
    qv__log_line(&logger, QV__LEVEL_WARN, "store", "lag %d of %s", 7, "x");
    assert_int_equal(l.n, 1);
    assert_int_equal(l.level, QV__LEVEL_WARN);
    assert_string_equal(l.component, "store");
    assert_string_equal(l.message, "lag 7 of x");
    qv__log_line(&logger, QV__LEVEL_DEBUG, "store", "quiet");
    assert_int_equal(l.n, 1);
    qv__log_line(&logger, QV__LEVEL_INFO, "store", "%s", "");
    assert_int_equal(l.n, 2);
    assert_string_equal(l.message, "");
    qv__log_line(NULL, QV__LEVEL_ERROR, "store", "dropped");
    logger.sink = NULL;
    qv__log_line(&logger, QV__LEVEL_ERROR, "store", "dropped");
    assert_int_equal(l.n, 2);
}

static void messages_are_one_line(void **state)
{
    (void)state;
    struct lines l = {.n = 0};
    struct qv__logger logger = {keep, &l, QV__LEVEL_DEBUG};
    qv__log_line(&logger, QV__LEVEL_INFO, "api",
                 "a\nb\r\tc\x1b[31m\x7f"
                 "d\xc3\xa9");
    assert_string_equal(l.message, "a b  c [31m d\xc3\xa9");
}

static void long_messages_are_cut_between_characters(void **state)
{
    (void)state;
    struct lines l = {.n = 0};
    struct qv__logger logger = {keep, &l, QV__LEVEL_DEBUG};
    static const char *characters[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t c = 0; c < 4; c++) {
        size_t width = strlen(characters[c]);
        for (size_t shift = 0; shift < 4; shift++) {
            char text[2048];
            size_t n = 0;
            while (n < shift) {
                text[n++] = '-';
            }
            while (n + width < sizeof text - 1) {
                memcpy(text + n, characters[c], width);
                n += width;
            }
            text[n] = 0;
            qv__log_line(&logger, QV__LEVEL_INFO, "x", "%s", text);
            size_t length = strlen(l.message);
            assert_true(length <= 1023 && length > 1023 - width);
            assert_int_equal((length - shift) % width, 0);
            assert_memory_equal(l.message, text, length);
        }
    }
    /* Bytes that are no UTF-8 are cut anywhere, and nothing is read before the start. */
    char junk[2048];
    memset(junk, 0x80, sizeof junk);
    junk[sizeof junk - 1] = 0;
    qv__log_line(&logger, QV__LEVEL_INFO, "x", "%s", junk);
    assert_true(strlen(l.message) >= 1020);
}

static void levels_have_names(void **state)
{
    (void)state;
    assert_string_equal(qv__level_name(QV__LEVEL_DEBUG), "debug");
    assert_string_equal(qv__level_name(QV__LEVEL_INFO), "info");
    assert_string_equal(qv__level_name(QV__LEVEL_WARN), "warn");
    assert_string_equal(qv__level_name(QV__LEVEL_ERROR), "error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_reach_the_sink),
        cmocka_unit_test(messages_are_one_line),
        cmocka_unit_test(long_messages_are_cut_between_characters),
        cmocka_unit_test(levels_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
