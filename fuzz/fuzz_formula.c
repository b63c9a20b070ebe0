/* fuzz_formula.c: JSON text -> formula -> its value on a few rows.
 *
 * The text is {"formula": ..., "defaults": ...}. Finds: crashes and leaks in the parser and the
 * evaluator, results that are not finite, errors without a message, and a formula that is another
 * one when it is parsed again. */
#include "payload/formula.h"

#include <math.h>

static const char *const row_texts[] = {
    "{}",
    "{\"a\":5,\"b\":-2.5,\"c\":[1],\"d\":[1,2],\"e\":null,\"f\":\"x\",\"n\":18446744073709551615}",
    "{\"a\":0,\"g\":{\"lon\":13.4,\"lat\":52.5},\"t\":\"2020-02-15T00:00:00Z\",\"b\":1e308}",
};

static bool matches(const struct qv__formula_row *row, const struct qv__filter *f)
{
    struct qv__id id = qv__id_u64(1);
    (void)row;
    return qv__filter_match(f, &(struct qv__filter_row){.id = &id, .payload = row->payload});
}

static bool parse(struct qv__arena *arena, const char *text, size_t n,
                  const struct qv__formula **out)
{
    struct qv_err err = {.code = QV_OK};
    qv__json v;
    if (qv__json_parse(arena, text, n, NULL, &v, &err) != QV_OK) {
        return false;
    }
    qv_status st = qv__formula_parse(arena, qv__json_get(v, "formula"), qv__json_get(v, "defaults"),
                                     out, &err);
    QV_ASSERT(st == QV_OK || (err.code == st && err.message[0]));
    return st == QV_OK;
}

static void eval(struct qv__mem *mem, const struct qv__formula *f, const struct qv__formula *again)
{
    float scores[QV__FORMULA_NODES_MAX];
    QV_ASSERT(f->n_scores == again->n_scores && f->n_scores <= QV__FORMULA_NODES_MAX);
    for (uint32_t i = 0; i < f->n_scores; i++) {
        scores[i] = i % 3 == 2 ? NAN : (float)i - 0.5f;
    }
    for (size_t i = 0; i < QV_ARRAY_LEN(row_texts); i++) {
        struct qv__arena arena;
        struct qv__buf b;
        qv__json v;
        float value[2] = {0, 0};
        struct qv_err err = {.code = QV_OK};
        qv__arena_init(&arena, mem);
        qv__buf_init(&b, mem);
        QV_ASSERT(qv__json_parse(&arena, row_texts[i], strlen(row_texts[i]), NULL, &v, NULL) ==
                  QV_OK);
        QV_ASSERT(qv__payload_from_json(&b, v, NULL) == QV_OK);
        struct qv__formula_row row = {.payload = qv__buf_bytes(&b),
                                      .scores = scores,
                                      .n_scores = f->n_scores - f->n_scores / 4,
                                      .matches = matches};
        qv_status st = qv__formula_eval(f, &row, &value[0], &err);
        QV_ASSERT(st == qv__formula_eval(again, &row, &value[1], NULL));
        QV_ASSERT(st == QV_OK ? isfinite(value[0]) && value[0] == value[1]
                              : st == QV_EINVAL && err.message[0]);
        qv__buf_free(&b);
        qv__arena_free(&arena);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qv__mem *mem = qv__mem_root("fuzz", (size_t)64 << 20);
    struct qv__arena arena;
    const struct qv__formula *f = NULL, *again = NULL;
    qv__arena_init(&arena, mem);
    if (parse(&arena, (const char *)data, size, &f)) {
        QV_ASSERT(parse(&arena, (const char *)data, size, &again));
        eval(mem, f, again);
    }
    qv__arena_free(&arena);
    qv__mem_close(mem);
    return 0;
}
