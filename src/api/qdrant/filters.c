/* filters.c: filters of a request, and the principal's forced one.
 *
 * A principal may be bound to the points that match a filter of its own. It is ANDed to every
 * selection by filter; a selection by ids becomes a filter of those ids and the forced one; a
 * lookup by ids is filtered here, row by row, after the engine has found them. So no request of
 * such a principal reads or changes another's point, whatever it names. */
#include "api/qdrant/qdrant.h"

/* must: all of the given ones. */
static qv_status conjunction(struct qv__call *c, const struct qv__cond *conds, size_t n,
                             const struct qv__filter **out)
{
    struct qv__filter *f = qv__arena_zalloc(c->arena, sizeof *f);
    struct qv__cond *copy = qv__arena_calloc(c->arena, n, sizeof *copy);
    if (!f || !copy) {
        return qv__qd_no_memory(c);
    }
    memcpy(copy, conds, n * sizeof *copy);
    f->must = (struct qv__clause){copy, n};
    *out = f;
    return QV_OK;
}

qv_status qv__qd_filter(struct qv__call *c, qv__json v, const struct qv__filter **out)
{
    const struct qv__filter *forced = c->request->principal.forced_filter;
    const struct qv__filter *own = NULL;
    qv_status st = qv__filter_parse(c->arena, v, &own, &c->err);
    if (st == QV_EINVAL) {
        c->kind = QV__QD_FORMAT;
    }
    QV_TRY(st);
    if (!forced) {
        *out = own;
        return QV_OK;
    }
    /* One more condition of `must`: filters of a query's stages are merged clause by clause, and
     * there a `should` of the forced one would become one choice among others. */
    size_t n = own ? own->must.n : 0;
    struct qv__filter *f = qv__arena_zalloc(c->arena, sizeof *f);
    struct qv__cond *must = qv__arena_calloc(c->arena, n + 1, sizeof *must);
    if (!f || !must) {
        return qv__qd_no_memory(c);
    }
    if (own) {
        *f = *own;
    }
    if (n) {
        memcpy(must + 1, own->must.conds, n * sizeof *must);
    }
    must[0] = (struct qv__cond){.kind = QV__COND_FILTER, .filter = forced};
    f->must = (struct qv__clause){must, n + 1};
    *out = f;
    return QV_OK;
}

qv_status qv__qd_ids_filter(struct qv__call *c, struct qv__id *ids, size_t n,
                            const struct qv__filter **out)
{
    struct qv__cond both[2] = {{.kind = QV__COND_HAS_ID}, {.kind = QV__COND_FILTER}};
    both[0].has_id.ids = ids;
    both[0].has_id.n = qv__qd_ids_sort(ids, n);
    both[1].filter = c->request->principal.forced_filter;
    return conjunction(c, both, both[1].filter ? 2 : 1, out);
}

struct row {
    struct qv__filter_row row;
    const struct qv__schema *schema;
    const struct qv__result_point *point;
};

static bool row_has_vector(const struct qv__filter_row *row, struct qv__str name)
{
    const struct row *r = row->has_vector_ctx;
    int at = qv__schema_vector(r->schema, name);
    return at >= 0 && r->point->vectors && r->point->vectors[at];
}

static bool visible(const struct qv__filter *forced, const struct qv__result_set *rs,
                    const struct qv__result_point *p, struct qv__steps *steps)
{
    struct row r = {.row = {.id = &p->id, .payload = p->payload, .has_vector = row_has_vector},
                    .schema = rs->schema,
                    .point = p};
    r.row.has_vector_ctx = &r;
    r.row.steps = steps;
    r.row.texts = rs->schema->texts.n ? &rs->schema->texts : NULL;
    return qv__filter_match(forced, &r.row);
}

qv_status qv__qd_get(struct qv__call *c, struct qv__collection *from, const struct qv__id *ids,
                     size_t n, const struct qv__fetch *f, struct qv__result_set *out)
{
    const struct qv__filter *forced = c->request->principal.forced_filter;
    struct qv__fetch whole = *f;
    if (forced) {
        /* The filter may look at anything; the writer selects by the caller's own fetch. */
        whole.payload.kind = QV__SELECT_ALL;
        whole.vectors = QV__VECTORS_ALL;
    }
    QV_TRY(qv__collection_get(from, ids, n, &whole, &c->ctx, out, &c->err));
    if (forced) {
        struct qv__steps steps = {.q = &c->ctx};
        size_t kept = 0;
        for (size_t i = 0; i < out->n; i++) {
            if (visible(forced, out, &out->points[i], &steps)) {
                out->points[kept++] = out->points[i];
            }
        }
        out->n = kept;
        if (steps.status != QV_OK) {
            qv__result_free(out);
            return qv__fail(&c->err, steps.status, "%s", qv_status_text(steps.status));
        }
    }
    return QV_OK;
}
