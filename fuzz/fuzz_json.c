/* fuzz_json.c: the JSON parser and writer against arbitrary bytes.
 *
 * Every text is parsed, walked by all ways of access, written and parsed again; the two documents
 * must be the same node for node. The first byte also picks tight limits and a failing allocation
 * for a second parse, which may fail in any way but must not leak or crash. */
#include "base/json.h"

#include <stdio.h>

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "fuzz_json: %s does not hold (line %d)\n", #cond, __LINE__);           \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Visit the element or member behind every container's head, and read every scalar as everything.
 */
static void walk(qv__json doc)
{
    uint32_t total = doc->skip;
    for (uint32_t i = 0; i < total; i++) {
        qv__json v = doc + i;
        CHECK(v->kind <= QV__JSON_OBJ && v->skip >= 1 && v->skip <= total - i);
        bool b;
        double f;
        int64_t s;
        uint64_t u;
        struct qv__str text;
        int kinds = qv__json_bool(v, &b) + qv__json_str(v, &text) + qv__json_is_number(v);
        CHECK(kinds <= 1);
        CHECK(qv__json_f64(v, &f) == qv__json_is_number(v));
        if (qv__json_i64(v, &s) && qv__json_u64(v, &u)) {
            CHECK((uint64_t)s == u);
        }
        qv__json e = qv__json_first(v);
        CHECK((e != NULL) == (v->kind >= QV__JSON_ARR && v->len > 0));
        for (uint32_t n = 0; n < v->len && v->kind == QV__JSON_ARR; n++) {
            CHECK(n > 64 || qv__json_at(v, n) == e); /* at() may be linear: only the first few */
            e = qv__json_next(e);
        }
        for (uint32_t n = 0; n < v->len && v->kind == QV__JSON_OBJ; n++) {
            CHECK(qv__json_str(e, &text));
            CHECK(n > 64 || qv__json_get_n(v, text.p, text.n) != NULL);
            e = qv__json_next(e + 1);
        }
        CHECK(e == NULL || e == v + v->skip);
    }
}

static void compare(qv__json a, qv__json b)
{
    CHECK(a->skip == b->skip);
    for (uint32_t i = 0; i < a->skip; i++) {
        CHECK(a[i].kind == b[i].kind && a[i].len == b[i].len && a[i].skip == b[i].skip);
        if (a[i].kind == QV__JSON_STR) {
            CHECK(memcmp(a[i].s, b[i].s, a[i].len) == 0);
        } else {
            CHECK(a[i].u == b[i].u);
        }
    }
}

static void parse_under_stress(const char *text, size_t n, uint8_t how)
{
    struct qv__mem *mem = qv__mem_root("stress", 0);
    struct qv__arena arena;
    struct qv_err err;
    struct qv__json_limits limits = {.depth_max = 1U + (how & 3U),
                                     .nodes_max = 1U + (how >> 2 & 15U),
                                     .string_max = 1U + (how >> 4)};
    qv__json doc = NULL;
    CHECK(mem);
    qv__arena_init(&arena, mem);
    qv__mem_fail_at(mem, how & 3U, false);
    if (qv__json_parse(&arena, text, n, &limits, &doc, &err) == QV_OK) {
        walk(doc);
    } else {
        CHECK(doc == NULL && memchr(err.message, 0, sizeof err.message));
    }
    qv__arena_free(&arena);
    CHECK(qv__mem_room(mem) == SIZE_MAX);
    qv__mem_close(mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qv__mem *mem = qv__mem_root("fuzz", 0);
    struct qv__arena arena;
    struct qv__buf buf;
    struct qv__jw w;
    struct qv_err err;
    qv__json doc = NULL, again = NULL;
    const char *text = (const char *)data;
    CHECK(mem);
    qv__arena_init(&arena, mem);
    qv__buf_init(&buf, mem);
    if (qv__json_parse(&arena, text, size, NULL, &doc, &err) == QV_OK) {
        walk(doc);
        qv__jw_init(&w, &buf);
        qv__jw_value(&w, doc);
        CHECK(!buf.failed && w.depth == 0);
        CHECK(qv__json_parse(&arena, (const char *)buf.p, buf.n, NULL, &again, &err) == QV_OK);
        compare(doc, again);
    } else {
        CHECK(doc == NULL && err.code != QV_EINTERNAL && err.code != QV_ENOMEM);
    }
    qv__buf_free(&buf);
    qv__arena_free(&arena);
    qv__mem_close(mem);
    if (size > 0) {
        parse_under_stress(text + 1, size - 1, data[0]);
        parse_under_stress(text, size, data[0]);
    }
    return 0;
}
