/* test_filter_steps.c: a walk over a block by its indexes looks at the clock while it goes on,
 * however few rows there are and whatever each condition costs, and ends with its time. */
#include "payload_test.h"

#include "payload/filter_bounds.h"

enum { ROWS = 2048, WORDS = 500, CORNERS = 2000, CONDS = 2000 };

struct rows {
    struct qv__bytes payload[ROWS];
};

static struct qv__bytes row_at(void *ctx, uint32_t i)
{
    return ((struct rows *)ctx)->payload[i];
}

/* Of each row a long string and a place, no two of them the same. */
static void make_rows(struct fixture *f, struct rows *rows)
{
    char text[700];
    for (int i = 0; i < ROWS; i++) {
        int n = snprintf(text, sizeof text, "{\"p\":{\"lon\":%d.5,\"lat\":%d.5},\"k\":\"%d", i % 64,
                         i / 64, i);
        memset(text + n, 'a' + i % 3, 400);
        strcpy(text + n + 400, "\"}");
        rows->payload[i] = row(f, text);
    }
}

/* How often the clock is looked at in a walk; with a deadline it ends at the first look behind it,
 * and looks no more. */
static uint64_t looks_of(struct fixture *f, const struct qv__filter_block *block,
                         const struct qv__filter *filter, uint64_t deadline)
{
    uint64_t looks = 0;
    struct qv__clock clock = {.mono_ns = looks_ns, .ctx = &looks};
    struct qv__qctx ctx = {.clock = &clock, .deadline_ns = deadline};
    struct qv__steps steps = {.q = &ctx};
    struct qv__filter_block b = *block;
    b.steps = &steps;
    struct qv__filter_walk *w = qv__filter_walk_create(filter, f->mem);
    assert_non_null(w);
    (void)qv__filter_walk_block(w, &b);
    qv__free(w);
    assert_int_equal(steps.status, looks > deadline ? QV_ETIMEOUT : QV_OK);
    return looks;
}

static void expect(struct fixture *f, const struct qv__filter_block *b, const char *text,
                   uint64_t least)
{
    const struct qv__filter *filter;
    struct qv_err err;
    assert_int_equal(qv__filter_parse(&f->arena, json(f, text), &filter, &err), QV_OK);
    uint64_t all = looks_of(f, b, filter, UINT64_MAX - 1);
    if (all < least) {
        fail_msg("%llu looks, not %llu: %.60s", (unsigned long long)all, (unsigned long long)least,
                 text);
    }
    for (uint64_t deadline = 1; deadline < all; deadline += 1 + all / 8) {
        assert_int_equal(looks_of(f, b, filter, deadline), deadline + 1);
    }
}

/* A ring with as many corners, as a saw over the whole world. */
static const char *saw(struct qv__buf *b)
{
    qv__buf_putz(b, "{\"must\":[{\"key\":\"p\",\"geo_polygon\":{\"exterior\":{\"points\":[");
    for (int i = 0; i < CORNERS; i++) {
        qv__buf_printf(b, "{\"lon\":%.3f,\"lat\":%d},", i * 60.0 / CORNERS, i % 2 ? 60 : 0);
    }
    qv__buf_putz(b, "{\"lon\":0,\"lat\":0}]}}}]}");
    qv__buf_putc(b, '\0');
    return (const char *)b->p;
}

static const char *words(struct qv__buf *b, const char *kind)
{
    qv__buf_printf(b, "{\"must\":[{\"key\":\"k\",\"match\":{\"%s\":\"", kind);
    for (int i = 0; i < WORDS; i++) {
        qv__buf_printf(b, "z%d ", i);
    }
    qv__buf_putz(b, "\"}}]}");
    qv__buf_putc(b, '\0');
    return (const char *)b->p;
}

static const char *many(struct qv__buf *b, const char *before, const char *cond)
{
    qv__buf_printf(b, "{%s[", before);
    for (int i = 0; i < CONDS; i++) {
        qv__buf_printf(b, "%s%s", i ? "," : "", cond);
    }
    qv__buf_putz(b, strchr(before, '{') ? "]}}" : "]}");
    qv__buf_putc(b, '\0');
    return (const char *)b->p;
}

static bool known(void *ctx, const struct qv__cond *c, uint64_t *words_out)
{
    (void)ctx;
    (void)c;
    (void)words_out;
    return true;
}

static void test_walk(void **state)
{
    static const struct qv__tokenizer tokenizer = {.kind = QV__TOKENIZE_WORD};
    static const enum qv__field_type types[] = {QV__FIELD_KEYWORD, QV__FIELD_GEO, QV__FIELD_TEXT};
    static const char *const keys[] = {"k", "p", "k"};
    struct fixture *f = *state;
    struct rows rows;
    struct qv__buf bytes[3], text;
    struct qv__path paths[3];
    struct qv__field_block blocks[3];
    struct qv__field_at at[3];
    make_rows(f, &rows);
    for (size_t i = 0; i < QV_ARRAY_LEN(types); i++) {
        struct qv__field_source src = {
            .row = row_at, .ctx = &rows, .n_rows = ROWS, .tokenizer = &tokenizer};
        paths[i] = path(keys[i]);
        qv__buf_init(&bytes[i], f->mem);
        assert_int_equal(qv__field_build(types[i], &paths[i], &src, f->mem, &bytes[i], NULL),
                         QV_OK);
        assert_true(
            qv__field_block_open(qv__buf_bytes(&bytes[i]), types[i], ROWS, true, &blocks[i]));
        blocks[i].tokenizer = &tokenizer;
        at[i] = (struct qv__field_at){&paths[i], &blocks[i], types[i] == QV__FIELD_TEXT};
    }
    struct qv__filter_block two = {.fields = at, .n_fields = 2, .n_rows = ROWS, .known = known};
    struct qv__filter_block word = {.fields = at + 2, .n_fields = 1, .n_rows = ROWS};
    qv__buf_init(&text, f->mem);
    /* Each term, of more than 400 bytes, is searched for each word; each place is asked of each
     * corner. Units are counted of 65,536. */
    expect(f, &two, words(&text, "text_any"), ROWS * WORDS / 200);
    qv__buf_reset(&text);
    expect(f, &two, words(&text, "text"), ROWS / 200);
    qv__buf_reset(&text);
    expect(f, &two, saw(&text), ROWS * CORNERS / 16384);
    qv__buf_reset(&text);
    expect(f, &word, words(&text, "text_any"), WORDS / 16);
    qv__buf_reset(&text);
    expect(f, &word, words(&text, "phrase"), WORDS / 16);
    qv__buf_reset(&text);
    expect(f, &two, many(&text, "\"must\":", "{\"has_vector\":\"\"}"), 1);
    qv__buf_reset(&text);
    expect(f, &two, many(&text, "\"should\":", "{\"has_vector\":\"\"}"), CONDS / 128);
    qv__buf_reset(&text);
    expect(f, &two,
           many(&text, "\"min_should\":{\"min_count\":8,\"conditions\":", "{\"has_vector\":\"\"}"),
           CONDS / 8);
    qv__buf_free(&text);
    for (size_t i = 0; i < QV_ARRAY_LEN(types); i++) {
        qv__buf_free(&bytes[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_walk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
