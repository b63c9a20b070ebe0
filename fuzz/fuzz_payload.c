/* fuzz_payload.c: bytes -> check -> use: read, write as JSON, merge, remove, select.
 *
 * Finds: reads outside the row whether the check accepted it or not; an accepted row that does not
 * survive JSON; results of edits that the check would refuse. */
#include "payload/filter.h"

static struct qv__path path_of(const char *text)
{
    struct qv__path p;
    QV_ASSERT(qv__path_parse(qv__str_z(text), &p, NULL) == QV_OK);
    return p;
}

static bool count(void *ctx, const struct qv__value *v)
{
    size_t *n = ctx;
    *n += 1 + (v->tag == QV__TAG_STR ? v->s.n : 0);
    return *n < 100000;
}

/* Reading must be safe on any bytes. */
static void read_any(struct qv__mem *mem, struct qv__bytes row)
{
    static const char *const texts[] = {"a", "a[]", "a.b", "a[].b[]", "a[0]", "\"\""};
    size_t n = 0;
    for (size_t i = 0; i < QV_ARRAY_LEN(texts); i++) {
        struct qv__path p = path_of(texts[i]);
        (void)qv__path_each(row, &p, count, &n);
    }
    struct qv__buf b;
    struct qv__jw w;
    qv__buf_init(&b, mem);
    b.limit = (size_t)1 << 24;
    qv__jw_init(&w, &b);
    qv__payload_to_json(&w, row);
    qv__buf_free(&b);
}

static void check_result(const struct qv__buf *b, qv_status st, bool may_be_too_big)
{
    QV_ASSERT(st == QV_OK || (may_be_too_big && st == QV_ETOOBIG));
    QV_ASSERT(st != QV_OK || qv__payload_valid(qv__buf_bytes(b)));
}

static void edit(struct qv__mem *mem, struct qv__bytes row)
{
    static const char *const texts[] = {"a", "a[]", "a.b", "a[].b", "a[1].c", "b[]", "\"\".a"};
    struct qv__path paths[QV_ARRAY_LEN(texts)];
    struct qv__buf b;
    struct qv__jw w;
    qv__buf_init(&b, mem);
    for (size_t i = 0; i < QV_ARRAY_LEN(texts); i++) {
        paths[i] = path_of(texts[i]);
        qv__buf_reset(&b);
        check_result(&b, qv__payload_merge(&b, row, row, &paths[i], NULL), true);
        for (int include = 0; include < 2; include++) {
            struct qv__payload_selector sel = {include ? QV__SELECT_INCLUDE : QV__SELECT_EXCLUDE,
                                               paths, i + 1};
            qv__buf_reset(&b);
            qv__jw_init(&w, &b);
            qv__payload_select_json(&w, row, &sel, NULL);
            QV_ASSERT(!b.failed);
        }
    }
    qv__buf_reset(&b);
    check_result(&b, qv__payload_merge(&b, row, row, NULL, NULL), false);
    qv__buf_reset(&b);
    check_result(&b, qv__payload_remove(&b, row, paths, QV_ARRAY_LEN(paths), NULL, NULL), false);
    qv__buf_free(&b);
}

/* Row -> JSON -> row -> JSON: the second text is the first. Text that is no UTF-8 is not JSON. */
static void round_trip(struct qv__mem *mem, struct qv__bytes row)
{
    static const struct qv__json_limits limits = {.depth_max = 128};
    struct qv__buf text, again, back;
    struct qv__jw w;
    struct qv__arena arena;
    qv__json v;
    qv__buf_init(&text, mem);
    qv__buf_init(&again, mem);
    qv__buf_init(&back, mem);
    qv__arena_init(&arena, mem);
    qv__jw_init(&w, &text);
    qv__payload_to_json(&w, row);
    if (qv__json_parse(&arena, (const char *)text.p, text.n, &limits, &v, NULL) == QV_OK) {
        QV_ASSERT(qv__payload_from_json(&back, v, NULL) == QV_OK);
        QV_ASSERT(qv__payload_valid(qv__buf_bytes(&back)));
        qv__buf_reset(&text);
        qv__jw_init(&w, &text);
        qv__payload_to_json(&w, qv__buf_bytes(&back));
        qv__arena_reset(&arena);
        QV_ASSERT(qv__json_parse(&arena, (const char *)text.p, text.n, &limits, &v, NULL) == QV_OK);
        qv__buf_reset(&back);
        QV_ASSERT(qv__payload_from_json(&back, v, NULL) == QV_OK);
        qv__jw_init(&w, &again);
        qv__payload_to_json(&w, qv__buf_bytes(&back));
        QV_ASSERT(again.n == text.n && memcmp(again.p, text.p, text.n) == 0);
    }
    qv__arena_free(&arena);
    qv__buf_free(&back);
    qv__buf_free(&again);
    qv__buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qv__mem *mem = qv__mem_root("fuzz", (size_t)1 << 30);
    struct qv__bytes row = {data, size};
    if (!mem) {
        return 0;
    }
    read_any(mem, row);
    if (qv__payload_valid(row)) {
        edit(mem, row);
        round_trip(mem, row);
    }
    QV_ASSERT(qv__mem_used(mem) == 0);
    qv__mem_close(mem);
    return 0;
}
