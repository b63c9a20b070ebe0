/* fuzz_filter.c: JSON text -> filter -> match on a few rows, and bounds by indexes over them.
 *
 * Finds: crashes and leaks in the parser and the evaluator, a filter that answers differently when
 * it is negated, one that changes its mind when memory fails once while it is parsed, and bounds of
 * places and words that do not hold. */
#include "payload/filter_bounds.h"

#include "bitmap/bitset.h"

static const char *const row_texts[] = {
    "{}",
    "{\"a\":5,\"b\":\"red fox\",\"c\":[1,2.5,null,\"x\",true],\"d\":{\"a\":[{\"b\":1},{\"b\":2}]}}",
    ("{\"a\":[{\"a\":1,\"b\":[]},{\"a\":null},7,[[8]]],\"g\":{\"lon\":13.4,\"lat\":52.5},"
     "\"t\":\"2020-02-15T00:00:00Z\",\"n\":18446744073709551615}"),
    "{\"\":{\"a.b\":0.5},\"g\":[{\"lon\":179.9,\"lat\":-1},{\"lon\":0,\"lat\":\"x\"}],\"b\":\"\"}",
};
#define N_ROWS QV_ARRAY_LEN(row_texts)

static bool has_vector(const struct qv__filter_row *row, struct qv__str name)
{
    return row->payload.n % 2 == 0 && name.n == 0;
}

/* True if the text was read at all. */
static bool parse(struct qv__arena *arena, const char *text, size_t n,
                  const struct qv__filter **out, qv_status *st)
{
    struct qv_err err;
    qv__json v;
    *out = NULL;
    if (qv__json_parse(arena, text, n, NULL, &v, &err) != QV_OK) {
        return false;
    }
    *st = qv__filter_parse(arena, v, out, &err);
    QV_ASSERT(*st == QV_OK || (err.code == *st && err.message[0]));
    return true;
}

static void match_rows(struct qv__mem *mem, const struct qv__filter *f)
{
    struct qv__cond as_cond = {.kind = QV__COND_FILTER};
    struct qv__filter negated = {.must_not = {&as_cond, 1}};
    as_cond.filter = f;
    for (size_t i = 0; i < N_ROWS; i++) {
        struct qv__arena arena;
        struct qv__buf b;
        qv__json v;
        qv__arena_init(&arena, mem);
        qv__buf_init(&b, mem);
        QV_ASSERT(qv__json_parse(&arena, row_texts[i], strlen(row_texts[i]), NULL, &v, NULL) ==
                  QV_OK);
        QV_ASSERT(qv__payload_from_json(&b, v, NULL) == QV_OK);
        struct qv__id id = qv__id_u64(i);
        struct qv__filter_row row = {
            .id = &id,
            .payload = qv__buf_bytes(&b),
            .has_vector = has_vector,
        };
        bool yes = qv__filter_match(f, &row);
        QV_ASSERT(!f || qv__filter_match(&negated, &row) == !yes);
        /* What evaluation is said not to read must not matter. */
        if (!qv__filter_needs_payload(f)) {
            struct qv__filter_row bare = row;
            bare.payload = (struct qv__bytes){NULL, 0};
            bare.has_vector = NULL;
            row.has_vector = NULL;
            QV_ASSERT(qv__filter_match(f, &bare) == qv__filter_match(f, &row));
        }
        qv__buf_free(&b);
        qv__arena_free(&arena);
    }
    (void)qv__filter_id_set(f);
}

/* --- bounds --- */

struct rows {
    struct qv__buf bytes[N_ROWS];
};

static struct qv__bytes row_at(void *ctx, uint32_t i)
{
    return qv__buf_bytes(&((struct rows *)ctx)->bytes[i]);
}

/* An index of places on "g" and one of words on "b": what they say holds for every row. */
static void check_bounds(struct qv__mem *mem, const struct qv__filter *f)
{
    static const struct {
        const char *key;
        enum qv__field_type type;
    } indexes[2] = {{"g", QV__FIELD_GEO}, {"b", QV__FIELD_TEXT}};
    struct qv__text_field text = {.tokenizer = {.kind = QV__TOKENIZE_WORD, .lowercase = true}};
    struct qv__text_fields texts = {&text, 1};
    struct rows rows;
    struct qv__arena arena;
    struct qv__path path[2];
    struct qv__buf bytes[2];
    struct qv__field_block block[2];
    struct qv__field_at at[2];
    qv__arena_init(&arena, mem);
    for (size_t i = 0; i < N_ROWS; i++) {
        qv__json v;
        qv__buf_init(&rows.bytes[i], mem);
        QV_ASSERT(qv__json_parse(&arena, row_texts[i], strlen(row_texts[i]), NULL, &v, NULL) ==
                  QV_OK);
        QV_ASSERT(qv__payload_from_json(&rows.bytes[i], v, NULL) == QV_OK);
    }
    struct qv__field_source src = {
        .row = row_at, .ctx = &rows, .n_rows = N_ROWS, .tokenizer = &text.tokenizer};
    for (size_t i = 0; i < 2; i++) {
        qv__buf_init(&bytes[i], mem);
        QV_ASSERT(qv__path_parse(qv__str_z(indexes[i].key), &path[i], NULL) == QV_OK);
        QV_ASSERT(qv__field_build(indexes[i].type, &path[i], &src, mem, &bytes[i], NULL) == QV_OK);
        QV_ASSERT(qv__field_block_open(qv__buf_bytes(&bytes[i]), indexes[i].type, N_ROWS, true,
                                       &block[i]));
        at[i] = (struct qv__field_at){&path[i], &block[i], block[i].type == QV__FIELD_TEXT};
    }
    block[1].tokenizer = &text.tokenizer;
    text.path = path[1];
    struct qv__filter_walk *walk = qv__filter_walk_create(f, mem);
    QV_ASSERT(walk != NULL);
    struct qv__filter_block b = {.fields = at, .n_fields = 2, .n_rows = N_ROWS};
    struct qv__filter_bounds got = qv__filter_walk_block(walk, &b);
    for (uint32_t i = 0; i < N_ROWS; i++) {
        struct qv__id id = qv__id_u64(i);
        struct qv__filter_row row = {.id = &id,
                                     .payload = qv__buf_bytes(&rows.bytes[i]),
                                     .has_vector = has_vector,
                                     .texts = &texts};
        bool yes = qv__filter_match(f, &row);
        QV_ASSERT((yes || !qv__bit_test(got.lo, i)) && (!yes || qv__bit_test(got.up, i)));
    }
    qv__free(walk);
    for (size_t i = 0; i < 2; i++) {
        qv__buf_free(&bytes[i]);
    }
    for (size_t i = 0; i < N_ROWS; i++) {
        qv__buf_free(&rows.bytes[i]);
    }
    qv__arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qv__mem *mem = qv__mem_root("fuzz", (size_t)1 << 30);
    struct qv__arena arena;
    const struct qv__filter *f;
    qv_status st = QV_OK;
    if (!mem) {
        return 0;
    }
    qv__arena_init(&arena, mem);
    if (parse(&arena, (const char *)data, size, &f, &st)) {
        if (st == QV_OK) {
            match_rows(mem, f);
            if (f) {
                check_bounds(mem, f);
            }
        }
        /* Again, with one allocation refused somewhere. */
        const struct qv__filter *again;
        qv_status st_again = QV_OK;
        qv__mem_fail_at(mem, 1 + size % 7, true);
        bool read = parse(&arena, (const char *)data, size, &again, &st_again);
        qv__mem_fail_at(mem, 0, false);
        QV_ASSERT(!read || st_again == st || st_again == QV_ENOMEM);
    }
    qv__arena_free(&arena);
    QV_ASSERT(qv__mem_used(mem) == 0);
    qv__mem_close(mem);
    return 0;
}
