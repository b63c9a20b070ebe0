/* filter_key.c: a filter as bytes. Every variable part has its length in front, every choice a
 * number, so that no two trees share their bytes. */
#include "payload/filter_key.h"

static void put_text(struct qv__buf *b, struct qv__str s)
{
    qv__buf_u32(b, (uint32_t)s.n);
    qv__buf_put(b, s.p, s.n);
}

static void put_f64(struct qv__buf *b, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    qv__buf_u64(b, bits);
}

static void put_path(struct qv__buf *b, const struct qv__path *path)
{
    qv__buf_u32(b, path->n);
    for (uint32_t i = 0; i < path->n; i++) {
        const struct qv__path_step *s = &path->step[i];
        qv__buf_u32(b, (uint32_t)s->kind);
        if (s->kind == QV__STEP_KEY) {
            put_text(b, s->key);
        } else if (s->kind == QV__STEP_INDEX) {
            qv__buf_u32(b, s->index);
        }
    }
}

static bool put_values(struct qv__buf *b, const struct qv__cond *c)
{
    if (c->match.n > QV__FILTER_KEY_MAX / 8) {
        return false;
    }
    qv__buf_u32(b, (uint32_t)c->match.n);
    for (size_t i = 0; i < c->match.n; i++) {
        const struct qv__match_value *v = &c->match.values[i];
        qv__buf_u32(b, (uint32_t)v->kind);
        if (v->kind == QV__MATCH_STR) {
            put_text(b, v->s);
        } else {
            qv__buf_u64(b, v->kind == QV__MATCH_INT ? (uint64_t)v->i : (uint64_t)v->b);
        }
    }
    return true;
}

static void put_ends(struct qv__buf *b, bool lt, bool lte, bool gt, bool gte)
{
    qv__buf_u32(b, (uint32_t)lt | (uint32_t)lte << 1 | (uint32_t)gt << 2 | (uint32_t)gte << 3);
}

static void put_range(struct qv__buf *b, const struct qv__cond *c)
{
    put_ends(b, c->range.has_lt, c->range.has_lte, c->range.has_gt, c->range.has_gte);
    put_f64(b, c->range.has_lt ? c->range.lt : 0);
    put_f64(b, c->range.has_lte ? c->range.lte : 0);
    put_f64(b, c->range.has_gt ? c->range.gt : 0);
    put_f64(b, c->range.has_gte ? c->range.gte : 0);
}

static void put_irange(struct qv__buf *b, const struct qv__cond *c)
{
    put_ends(b, c->irange.has_lt, c->irange.has_lte, c->irange.has_gt, c->irange.has_gte);
    qv__buf_u64(b, c->irange.has_lt ? (uint64_t)c->irange.lt : 0);
    qv__buf_u64(b, c->irange.has_lte ? (uint64_t)c->irange.lte : 0);
    qv__buf_u64(b, c->irange.has_gt ? (uint64_t)c->irange.gt : 0);
    qv__buf_u64(b, c->irange.has_gte ? (uint64_t)c->irange.gte : 0);
}

static void put_point(struct qv__buf *b, struct qv__geo_point p)
{
    put_f64(b, p.lon);
    put_f64(b, p.lat);
}

static bool put_ring(struct qv__buf *b, const struct qv__geo_ring *r)
{
    if (r->n > QV__FILTER_KEY_MAX / 16) {
        return false;
    }
    qv__buf_u32(b, (uint32_t)r->n);
    for (size_t i = 0; i < r->n; i++) {
        put_point(b, r->points[i]);
    }
    return true;
}

static bool put_polygon(struct qv__buf *b, const struct qv__cond *c)
{
    bool is_ok =
        put_ring(b, &c->polygon.exterior) && c->polygon.n_interiors <= QV__FILTER_KEY_MAX / 16;
    qv__buf_u32(b, (uint32_t)c->polygon.n_interiors);
    for (size_t i = 0; is_ok && i < c->polygon.n_interiors; i++) {
        is_ok = put_ring(b, &c->polygon.interiors[i]);
    }
    return is_ok;
}

static bool put_cond(struct qv__buf *b, const struct qv__cond *c)
{
    qv__buf_u32(b, (uint32_t)c->kind);
    switch (c->kind) {
    case QV__COND_SLICE:
        qv__buf_u32(b, c->slice.total);
        qv__buf_u32(b, c->slice.index);
        return true;
    case QV__COND_FILTER:
        return qv__filter_key(c->filter, b);
    case QV__COND_HAS_ID:     /* the rows of ids are those of one reader's instant */
    case QV__COND_HAS_VECTOR: /* the reader's schema says which there are, */
    case QV__COND_MATCH_TEXT: /* and how words are cut */
    case QV__COND_MATCH_TEXT_ANY:
    case QV__COND_MATCH_PHRASE:
        return false;
    default:
        break;
    }
    put_path(b, &c->path);
    switch (c->kind) {
    case QV__COND_MATCH_ANY:
    case QV__COND_MATCH_EXCEPT:
        return put_values(b, c);
    case QV__COND_RANGE:
        put_range(b, c);
        return true;
    case QV__COND_DATETIME_RANGE:
    case QV__COND_VALUES_COUNT:
        put_irange(b, c);
        return true;
    case QV__COND_MATCH_PREFIX:
        put_text(b, c->text);
        return true;
    case QV__COND_IS_EMPTY:
    case QV__COND_IS_NULL:
        return true;
    case QV__COND_FIELD_EMPTY:
    case QV__COND_FIELD_NULL:
        qv__buf_u32(b, c->flag);
        return true;
    case QV__COND_NESTED:
        return qv__filter_key(c->filter, b);
    case QV__COND_GEO_BOX:
        put_point(b, c->box.top_left);
        put_point(b, c->box.bottom_right);
        return true;
    case QV__COND_GEO_RADIUS:
        put_point(b, c->radius.center);
        put_f64(b, c->radius.radius_m);
        return true;
    case QV__COND_GEO_POLYGON:
        return put_polygon(b, c);
    case QV__COND_HAS_ID:
    case QV__COND_HAS_VECTOR:
    case QV__COND_MATCH_TEXT:
    case QV__COND_MATCH_TEXT_ANY:
    case QV__COND_MATCH_PHRASE:
    case QV__COND_SLICE:
    case QV__COND_FILTER:
    default:
        return false;
    }
}

static bool put_clause(struct qv__buf *b, struct qv__clause clause)
{
    qv__buf_u32(b, (uint32_t)QV_MIN(clause.n, (size_t)UINT32_MAX));
    for (size_t i = 0; i < clause.n; i++) {
        if (!put_cond(b, &clause.conds[i]) || b->failed || b->n > QV__FILTER_KEY_MAX) {
            return false;
        }
    }
    return true;
}

bool qv__filter_key(const struct qv__filter *f, struct qv__buf *out)
{
    qv__buf_u32(out, f->has_min_should);
    qv__buf_u64(out, f->has_min_should ? f->min_count : 0);
    return put_clause(out, f->must) && put_clause(out, f->should) && put_clause(out, f->must_not) &&
           put_clause(out, f->min_should) && !out->failed && out->n <= QV__FILTER_KEY_MAX;
}
