/* filter_value.h: conditions on one bare value, shared by evaluation on rows and on indexes; inside
 * this folder only. */
#ifndef QV_PAYLOAD_FILTER_VALUE_H
#define QV_PAYLOAD_FILTER_VALUE_H

#include "payload/filter.h"

/* The lower and the upper bounds alone: each holds for one end of a sorted list. */
static inline bool qv__range_above(const struct qv__cond *c, double v)
{
    return (!c->range.has_gt || v > c->range.gt) && (!c->range.has_gte || v >= c->range.gte);
}
static inline bool qv__range_below(const struct qv__cond *c, double v)
{
    return (!c->range.has_lt || v < c->range.lt) && (!c->range.has_lte || v <= c->range.lte);
}
static inline bool qv__irange_above(const struct qv__cond *c, int64_t v)
{
    return (!c->irange.has_gt || v > c->irange.gt) && (!c->irange.has_gte || v >= c->irange.gte);
}
static inline bool qv__irange_below(const struct qv__cond *c, int64_t v)
{
    return (!c->irange.has_lt || v < c->irange.lt) && (!c->irange.has_lte || v <= c->irange.lte);
}
static inline bool qv__in_irange(const struct qv__cond *c, int64_t v)
{
    return qv__irange_above(c, v) && qv__irange_below(c, v);
}

/* Any number, as a double. */
static inline bool qv__value_f64(const struct qv__value *v, double *out)
{
    switch (v->tag) {
    case QV__TAG_I64:
        *out = (double)v->i;
        return true;
    case QV__TAG_U64:
        *out = (double)v->u;
        return true;
    case QV__TAG_F64:
        *out = v->f;
        return true;
    default:
        return false;
    }
}

/* MATCH_TEXT, MATCH_TEXT_ANY, MATCH_PHRASE, MATCH_PREFIX. Where steps end, false. */
bool qv__match_text(const struct qv__cond *c, struct qv__str s, struct qv__steps *steps);
/* What one place costs that is asked of the polygon. */
uint64_t qv__polygon_units(const struct qv__cond *c);

#endif
