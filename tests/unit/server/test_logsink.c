/* test_logsink.c: log lines on a descriptor, as text and as JSON. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "server/logsink.h"

static uint64_t wall(void *ctx)
{
    return *(uint64_t *)ctx;
}

static uint64_t now_ms = UINT64_C(1767225599007); /* 2025-12-31T23:59:59.007Z */
static const struct qv__clock clock_of_test = {.wall_ms = wall, .ctx = &now_ms};

/* What one line becomes. */
static void one(enum qv__log_format format, enum qv__level level, const char *component,
                const char *message, char out[16384])
{
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    struct qv__logsink sink = {fd[1], format, &clock_of_test};
    struct qv__logger logger = qv__logsink_logger(&sink, QV__LEVEL_INFO);
    qv__log_line(&logger, level, component, "%s", message);
    close(fd[1]);
    size_t n = 0;
    ssize_t got;
    while ((got = read(fd[0], out + n, 16383 - n)) > 0) {
        n += (size_t)got;
    }
    out[n] = 0;
    close(fd[0]);
}

static void test_text(void **state)
{
    (void)state;
    char line[16384];
    one(QV__LOG_TEXT, QV__LEVEL_WARN, "server", "hello \"you\"", line);
    assert_string_equal(line, "2025-12-31T23:59:59.007Z warn server: hello \"you\"\n");
    one(QV__LOG_TEXT, QV__LEVEL_DEBUG, "server", "too little", line);
    assert_string_equal(line, "");
    one(QV__LOG_TEXT, QV__LEVEL_INFO, "server", "a\nb\tc", line); /* one call, one line */
    assert_string_equal(line, "2025-12-31T23:59:59.007Z info server: a b c\n");
}

static void test_json(void **state)
{
    (void)state;
    static const struct {
        const char *message, *want;
    } cases[] = {
        {"plain", "plain"},
        {"", ""},
        {"say \"hi\" \\ there", "say \"hi\" \\ there"},
        {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x8e\xaf", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x8e\xaf"},
        {"\xff", "\xef\xbf\xbd"},
        {"a\xc3", "a\xef\xbf\xbd"},
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                 /* overlong */
        {"\xe0\x80\xaf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* overlong */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* surrogate */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xf8x", "\xef\xbf\xbdx"},
        {"\xe2\x82x", "\xef\xbf\xbd\xef\xbf\xbdx"},
    };
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv__arena arena;
    char line[16384];
    qv__arena_init(&arena, mem);
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        struct qv_err err;
        qv__json v;
        struct qv__str s;
        one(QV__LOG_JSON, QV__LEVEL_ERROR, "se\"rver", cases[i].message, line);
        size_t n = strlen(line);
        assert_int_equal(line[n - 1], '\n');
        if (qv__json_parse(&arena, line, n, NULL, &v, &err) != QV_OK) {
            fail_msg("%s: %s", line, err.message);
        }
        assert_int_equal(v->len, 4);
        assert_true(qv__json_str_is(qv__json_get(v, "time"), "2025-12-31T23:59:59.007Z"));
        assert_true(qv__json_str_is(qv__json_get(v, "level"), "error"));
        assert_true(qv__json_str_is(qv__json_get(v, "component"), "se\"rver"));
        assert_true(qv__json_str(qv__json_get(v, "message"), &s));
        assert_true(qv__str_eq(s, qv__str_z(cases[i].want)));
    }
    /* The longest message, each byte of which grows. */
    char message[2000];
    memset(message, '\xff', sizeof message - 1);
    message[sizeof message - 1] = 0;
    struct qv_err err;
    qv__json v;
    one(QV__LOG_JSON, QV__LEVEL_ERROR, "server", message, line);
    assert_int_equal(qv__json_parse(&arena, line, strlen(line), NULL, &v, &err), QV_OK);
    assert_true(strlen(line) > 3000);
    qv__arena_free(&arena);
    qv__mem_close(mem);
}

static void test_time(void **state)
{
    (void)state;
    static const struct {
        uint64_t ms;
        const char *want;
    } cases[] = {{0, "1970-01-01T00:00:00.000Z info"},
                 {UINT64_C(1709164800999), "2024-02-29T00:00:00.999Z info"},
                 {UINT64_C(253402300799999), "9999-12-31T23:59:59.999Z info"}};
    uint64_t before = now_ms;
    char line[16384];
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        now_ms = cases[i].ms;
        one(QV__LOG_TEXT, QV__LEVEL_INFO, "x", "", line);
        assert_memory_equal(line, cases[i].want, strlen(cases[i].want));
    }
    now_ms = before;
}

/* Lines of several threads never mix. */
static struct qv__logger shared;

static void *shout(void *arg)
{
    char text[600];
    memset(text, *(char *)arg, sizeof text);
    text[sizeof text - 1] = 0;
    for (int i = 0; i < 200; i++) {
        qv__log_line(&shared, QV__LEVEL_INFO, "t", "%s", text);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    struct qv__logsink sink = {fd[1], QV__LOG_TEXT, &clock_of_test};
    shared = qv__logsink_logger(&sink, QV__LEVEL_INFO);
    pthread_t t[4];
    char names[] = "abcd";
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, shout, &names[i]), 0);
    }
    FILE *in = fdopen(fd[0], "r");
    char line[2000];
    for (int i = 0; i < 800; i++) {
        assert_non_null(fgets(line, sizeof line, in));
        char *text = strstr(line, "t: ");
        assert_non_null(text);
        char repeated[2] = {text[3], 0};
        assert_int_equal(strspn(text + 3, repeated), 599);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
    }
    close(fd[1]);
    fclose(in);
    /* Nobody listens: nothing happens. */
    sink.fd = -1;
    qv__log_line(&shared, QV__LEVEL_INFO, "t", "lost");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
