/* field_facet.c: which values rows hold, by an index and of a row. */
#include "payload/field_impl.h"
#include "payload/wire.h"

bool qv__field_facets(const struct qv__field_block *b, const uint64_t *words, uint64_t *rest,
                      qv__facet_cb cb, void *ctx)
{
    uint64_t known[QV__BLOCK_WORDS];
    if (!qv__field_has_facets(b->type)) {
        return false;
    }
    memset(rest, 0, sizeof known);
    qv__rowset_or(b->part[QV__SET_OTHER], rest);
    qv__rowset_or(b->part[QV__SET_LOOSE], rest);
    for (uint32_t w = 0; w < QV__BLOCK_WORDS; w++) {
        rest[w] &= words[w];
        known[w] = words[w] & ~rest[w];
    }
    if (qv__field_is_terms(b->type)) {
        qv__terms_facets(b, known, cb, ctx);
    } else {
        qv__numbers_facets(b, known, cb, ctx);
    }
    return true;
}

struct visit {
    qv__facet_cb cb;
    void *ctx;
};

static void element(const struct visit *visit, const struct qv__value *e)
{
    struct qv__match_value v;
    switch (e->tag) {
    case QV__TAG_STR:
        v = (struct qv__match_value){.kind = QV__MATCH_STR, .s = e->s};
        break;
    case QV__TAG_I64:
        v = (struct qv__match_value){.kind = QV__MATCH_INT, .i = e->i};
        break;
    case QV__TAG_FALSE:
    case QV__TAG_TRUE:
        v = (struct qv__match_value){.kind = QV__MATCH_BOOL, .b = e->tag == QV__TAG_TRUE};
        break;
    case QV__TAG_NULL:
    case QV__TAG_U64:
    case QV__TAG_F64:
    case QV__TAG_ARR:
    case QV__TAG_OBJ:
    default:
        return;
    }
    visit->cb(visit->ctx, &v, 1);
}

static bool value(void *ctx, const struct qv__value *v)
{
    struct qv__value_iter it;
    struct qv__value e;
    if (v->tag != QV__TAG_ARR) {
        element(ctx, v);
        return true;
    }
    qv__value_iter_init(&it, v);
    while (qv__value_iter_next(&it, NULL, &e)) {
        element(ctx, &e);
    }
    return true;
}

void qv__row_facets(struct qv__bytes row, const struct qv__path *path, qv__facet_cb cb, void *ctx)
{
    struct visit visit = {cb, ctx};
    (void)qv__path_each(row, path, value, &visit);
}
