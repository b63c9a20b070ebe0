/* query_filter.c: filters of a plan: those of stages merged downwards, and the examples left out.
 *
 * Filters are immutable and shared; a merge makes new clause arrays in the result's arena over the
 * same conditions. */
#include "engine/query_exec.h"

static qv_status concat(struct qv__arena *arena, const struct qv__clause *a,
                        const struct qv__clause *b, struct qv__clause *out, struct qv_err *err)
{
    if (a->n == 0 || b->n == 0) {
        *out = a->n ? *a : *b;
        return QV_OK;
    }
    struct qv__cond *conds = qv__arena_calloc(arena, a->n + b->n, sizeof *conds);
    if (!conds) {
        return qv__fail(err, QV_ENOMEM, "no memory for a filter");
    }
    memcpy(conds, a->conds, a->n * sizeof *conds);
    memcpy(conds + a->n, b->conds, b->n * sizeof *conds);
    *out = (struct qv__clause){conds, a->n + b->n};
    return QV_OK;
}

qv_status qv__filter_merge(struct qv__arena *arena, const struct qv__filter *a,
                           const struct qv__filter *b, const struct qv__filter **out,
                           struct qv_err *err)
{
    if (!a || !b) {
        *out = a ? a : b;
        return QV_OK;
    }
    struct qv__filter *f = qv__arena_zalloc(arena, sizeof *f);
    if (!f) {
        return qv__fail(err, QV_ENOMEM, "no memory for a filter");
    }
    QV_TRY(concat(arena, &a->must, &b->must, &f->must, err));
    QV_TRY(concat(arena, &a->should, &b->should, &f->should, err));
    QV_TRY(concat(arena, &a->must_not, &b->must_not, &f->must_not, err));
    QV_TRY(concat(arena, &a->min_should, &b->min_should, &f->min_should, err));
    f->has_min_should = a->has_min_should || b->has_min_should;
    f->min_count =
        QV_MAX(a->has_min_should ? a->min_count : 0, b->has_min_should ? b->min_count : 0);
    *out = f;
    return QV_OK;
}

/* --- examples
 * ------------------------------------------------------------------------------------------ */

static bool looks_up_here(const struct qv__run *r, const struct qv__query *q)
{
    struct qv__str own = qv__str_z(r->c->name);
    return q->lookup_collection.n == 0 || qv__str_eq(q->lookup_collection, own);
}

static size_t add_ids(struct qv__id *out, const struct qv__vector_input *in, size_t n_in)
{
    size_t n = 0;
    for (size_t i = 0; i < n_in; i++) {
        if (in[i].by_id) {
            if (out) {
                out[n] = in[i].id;
            }
            n++;
        }
    }
    return n;
}

/* Examples of a tree into `out` (NULL = only count). Depth is bounded by the check. */
static size_t collect(const struct qv__run *r, const struct qv__query *q, struct qv__id *out)
{
    size_t n = 0;
    if (looks_up_here(r, q)) {
        n += add_ids(out, &q->target, 1);
        n += add_ids(out ? out + n : NULL, q->positive, q->n_positive);
        n += add_ids(out ? out + n : NULL, q->negative, q->n_negative);
    }
    for (size_t i = 0; i < q->n_prefetch; i++) {
        n += collect(r, &q->prefetch[i], out ? out + n : NULL);
    }
    return n;
}

static int id_order(const void *a, const void *b)
{
    return qv__id_cmp(a, b);
}

qv_status qv__exclusions(struct qv__run *r, const struct qv__query *q, struct qv_err *err)
{
    r->n_exclude = collect(r, q, NULL);
    if (r->n_exclude == 0) {
        return QV_OK;
    }
    r->exclude = qv__arena_calloc(&r->rs->arena, r->n_exclude, sizeof *r->exclude);
    if (!r->exclude) {
        return qv__fail(err, QV_ENOMEM, "no memory for a query");
    }
    (void)collect(r, q, r->exclude);
    qsort(r->exclude, r->n_exclude, sizeof *r->exclude, id_order);
    return QV_OK;
}

qv_status qv__filter_exclude(struct qv__run *r, const struct qv__filter *own,
                             const struct qv__filter **out, struct qv_err *err)
{
    *out = own;
    if (r->n_exclude == 0) {
        return QV_OK;
    }
    struct qv__arena *a = &r->rs->arena;
    struct qv__cond *cond = qv__arena_calloc(a, 1, sizeof *cond);
    struct qv__filter *f = qv__arena_zalloc(a, sizeof *f);
    if (!cond || !f) {
        return qv__fail(err, QV_ENOMEM, "no memory for a filter");
    }
    cond->kind = QV__COND_HAS_ID;
    cond->has_id.ids = r->exclude;
    cond->has_id.n = r->n_exclude;
    f->must_not = (struct qv__clause){.conds = cond, .n = 1};
    return qv__filter_merge(a, own, f, out, err);
}
