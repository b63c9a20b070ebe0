/* test_answer_ends.c: the time of a request holds while its answer is written, too. The clock goes
 * on by ten milliseconds whenever it is looked at, and else stands. */
#include "api_fixture.h"

enum { POINTS = 50, PATHS = 20000 };

static uint64_t mono_ns(void *ctx)
{
    uint64_t *now = ctx;
    return *now += 10000000;
}

static uint64_t wall_ms(void *ctx)
{
    (void)ctx;
    return UINT64_C(1700000000000);
}

static void open_with_points(struct fix *f, const struct qv__clock *clock)
{
    char text[POINTS * 128];
    size_t n = (size_t)sprintf(text, "{\"points\":[");
    memset(f, 0, sizeof *f);
    f->mem = qv__mem_root("test", 0);
    OK(qv__io_sim_open(f->mem, &f->io, &f->err));
    f->options = (struct qv__db_options){
        .io = f->io, .clock = clock, .threads = -1, .seed = 7, .log_file_bytes = 1 << 20};
    OK(qv__db_open(&f->options, &f->db, &f->err));
    OK(qv__api_create(f->db, NULL, &f->api, &f->err));
    for (int i = 1; i <= POINTS; i++) {
        n += (size_t)sprintf(text + n,
                             "%s{\"id\":%d,\"vector\":[1,%d],\"payload\":{\"g\":%d,\"k1\":1,"
                             "\"o\":{\"x\":1,\"y\":2}}}",
                             i > 1 ? "," : "", i, i, i);
    }
    sprintf(text + n, "]}");
    ANSWER(QV__PUT, "/collections/c", "{\"vectors\":{\"size\":2,\"distance\":\"Dot\"}}", 200,
           "true");
    ANSWER(QV__PUT, "/collections/c/points?wait=true", text, 200, "completed");
}

/* The request with a list of so many names, of which points have one. */
static char *with_payload(const char *rest, const char *before, const char *after, int n)
{
    char *body = malloc((size_t)n * 10 + 256);
    size_t at = (size_t)sprintf(body, "{%s,\"with_payload\":%s[\"k1\"", rest, before);
    for (int i = 2; i <= n; i++) {
        at += (size_t)sprintf(body + at, ",\"k%d\"", i);
    }
    sprintf(body + at, "]%s}", after);
    return body;
}

static void test_payload(void **state)
{
    static const struct {
        const char *path, *rest;
    } reads[] = {
        {"/collections/c/points/scroll?timeout=1", "\"limit\":50"},
        {"/collections/c/points/query?timeout=1", "\"query\":[1,1],\"limit\":50"},
        {"/collections/c/points/search?timeout=1", "\"vector\":[1,1],\"limit\":50"},
        {"/collections/c/points/query/groups?timeout=1",
         "\"query\":[1,1],\"limit\":50,\"group_by\":\"g\",\"group_size\":1"},
        {"/collections/c/points?timeout=1",
         "\"ids\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,"
         "30]"},
    };
    uint64_t now = 0;
    const struct qv__clock clock = {mono_ns, wall_ms, &now};
    struct fix *f = malloc(sizeof *f);
    (void)state;
    open_with_points(f, &clock);
    for (size_t i = 0; i < QV_ARRAY_LEN(reads); i++) {
        for (int kind = 0; kind < 2; kind++) {
            const char *before = kind ? "{\"exclude\":" : "", *after = kind ? "}" : "";
            char *few = with_payload(reads[i].rest, before, after, 2);
            char *many = with_payload(reads[i].rest, before, after, PATHS);
            ANSWER(QV__POST, reads[i].path, few, 200, kind ? "\"y\":2" : "{\"k1\":1}");
            ANSWER(QV__POST, reads[i].path, many, 408, "Timeout: answer: deadline exceeded");
            free(few);
            free(many);
        }
    }
    fix_close(f);
    free(f);
}

/* A name counts once, and what there is not is told whatever comes before it. */
static void test_names(void **state)
{
    enum { NAMES = 10000 };
    struct fix *f = malloc(sizeof *f);
    (void)state;
    fix_open(f);
    fix_points(f);
    char *body = malloc(NAMES * 5 + 256);
    size_t n = (size_t)sprintf(body, "{\"ids\":[2],\"with_vector\":[\"\"");
    for (int i = 0; i < NAMES; i++) {
        n += (size_t)sprintf(body + n, ",\"\"");
    }
    strcpy(body + n, "]}");
    ANSWER(QV__POST, "/collections/c/points", body, 200, "\"vector\":[0");
    for (int i = 0; i < 40; i++) {
        n += (size_t)sprintf(body + n, ",\"v%d\"", i);
    }
    strcpy(body + n, "]}");
    ANSWER(QV__POST, "/collections/c/points", body, 400, "Not existing vector name error: v0");
    strcpy(body + n, ",1]}");
    ANSWER(QV__POST, "/collections/c/points", body, 400, "an array of strings");
    free(body);
    fix_close(f);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_payload),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
