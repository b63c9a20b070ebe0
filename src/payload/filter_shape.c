#include "payload/filter_shape.h"

#include "payload/formula_impl.h"

/* In the order in which they are told. */
#define CLAUSES(f)                                                                                 \
    {                                                                                              \
        (f)->must, (f)->must_not, (f)->should, (f)->min_should                                     \
    }

static bool has_filter(const struct qv__cond *c)
{
    return c->kind == QV__COND_FILTER || c->kind == QV__COND_NESTED;
}

size_t qv__filter_conditions(const struct qv__filter *f)
{
    size_t n = 0;
    if (!f) {
        return 0;
    }
    const struct qv__clause clauses[] = CLAUSES(f);
    for (size_t k = 0; k < QV_ARRAY_LEN(clauses); k++) {
        for (size_t i = 0; i < clauses[k].n; i++) {
            const struct qv__cond *c = &clauses[k].conds[i];
            n += has_filter(c) ? qv__filter_conditions(c->filter) : 1;
        }
    }
    return n;
}

static size_t length_of(const struct qv__cond *c)
{
    switch (c->kind) {
    case QV__COND_MATCH_ANY:
    case QV__COND_MATCH_EXCEPT:
        return c->match.n > 1 ? c->match.n : 0;
    case QV__COND_HAS_ID:
        return c->has_id.n;
    case QV__COND_FILTER:
    case QV__COND_NESTED:
        return qv__filter_longest(c->filter);
    default:
        return 0;
    }
}

size_t qv__filter_longest(const struct qv__filter *f)
{
    size_t longest = 0;
    if (!f) {
        return 0;
    }
    const struct qv__clause clauses[] = CLAUSES(f);
    for (size_t k = 0; k < QV_ARRAY_LEN(clauses); k++) {
        for (size_t i = 0; i < clauses[k].n; i++) {
            size_t n = length_of(&clauses[k].conds[i]);
            longest = QV_MAX(longest, n);
        }
    }
    return longest;
}

static uint32_t uses_of_values(const struct qv__cond *c)
{
    uint32_t uses = 0;
    bool strings = c->match.n > 0, uuids = c->match.n > 0;
    for (size_t i = 0; i < c->match.n; i++) {
        const struct qv__match_value *v = &c->match.values[i];
        struct qv__id id;
        bool is_string = v->kind == QV__MATCH_STR;
        uses |= v->kind == QV__MATCH_INT ? QV__USE_INT_MATCH : 0u;
        uses |= v->kind == QV__MATCH_BOOL ? QV__USE_BOOL : 0u;
        strings = strings && is_string;
        uuids = uuids && is_string && qv__id_parse_uuid(v->s, &id);
    }
    return uses | (strings ? QV__USE_KEYWORD : 0u) | (uuids ? QV__USE_UUID : 0u);
}

static uint32_t uses_of(const struct qv__cond *c)
{
    switch (c->kind) {
    case QV__COND_MATCH_ANY:
    case QV__COND_MATCH_EXCEPT:
        return uses_of_values(c);
    case QV__COND_RANGE:
        return QV__USE_FLOAT_RANGE | QV__USE_INT_RANGE;
    case QV__COND_DATETIME_RANGE:
        return QV__USE_DATETIME;
    case QV__COND_MATCH_TEXT:
    case QV__COND_MATCH_TEXT_ANY:
        return QV__USE_TEXT;
    case QV__COND_MATCH_PHRASE:
        return QV__USE_PHRASE;
    case QV__COND_MATCH_PREFIX:
        return QV__USE_PREFIX;
    case QV__COND_GEO_BOX:
    case QV__COND_GEO_RADIUS:
    case QV__COND_GEO_POLYGON:
        return QV__USE_GEO;
    case QV__COND_VALUES_COUNT:
    case QV__COND_IS_EMPTY:
    case QV__COND_IS_NULL:
    case QV__COND_FIELD_EMPTY:
    case QV__COND_FIELD_NULL:
        return QV__USE_ANY;
    case QV__COND_HAS_ID:
    case QV__COND_HAS_VECTOR:
    case QV__COND_SLICE:
    case QV__COND_NESTED:
    case QV__COND_FILTER:
    default:
        return 0;
    }
}

static bool visit_filter(const struct qv__filter *f, const struct qv__path *prefix,
                         qv__field_visit visit, void *arg);

static bool visit_cond(const struct qv__cond *c, const struct qv__path *prefix,
                       qv__field_visit visit, void *arg)
{
    struct qv__path whole;
    uint32_t uses = uses_of(c);
    if (c->kind == QV__COND_FILTER) {
        return visit_filter(c->filter, prefix, visit, arg);
    }
    /* A path of too many steps leads nowhere: there is nothing to look at. */
    if ((!uses && c->kind != QV__COND_NESTED) || !qv__path_join(prefix, &c->path, &whole)) {
        return true;
    }
    return c->kind == QV__COND_NESTED ? visit_filter(c->filter, &whole, visit, arg)
                                      : visit(arg, &whole, uses);
}

static bool visit_filter(const struct qv__filter *f, const struct qv__path *prefix,
                         qv__field_visit visit, void *arg)
{
    const struct qv__clause clauses[] = CLAUSES(f);
    for (size_t k = 0; k < QV_ARRAY_LEN(clauses); k++) {
        for (size_t i = 0; i < clauses[k].n; i++) {
            if (!visit_cond(&clauses[k].conds[i], prefix, visit, arg)) {
                return false;
            }
        }
    }
    return true;
}

bool qv__filter_fields(const struct qv__filter *f, qv__field_visit visit, void *arg)
{
    return !f || visit_filter(f, NULL, visit, arg);
}

static bool visit_expr(const struct qv__expr *e, qv__field_visit visit, void *arg)
{
    uint32_t uses = e->kind == QV__EXPR_PAYLOAD
                        ? QV__USE_INT_MATCH | QV__USE_INT_RANGE | QV__USE_FLOAT_RANGE
                    : e->kind == QV__EXPR_GEO_DISTANCE ? QV__USE_GEO
                    : e->kind == QV__EXPR_DATETIME_KEY ? QV__USE_DATETIME
                                                       : 0u;
    if (uses && e->path && !visit(arg, e->path, uses)) {
        return false;
    }
    if (e->kind == QV__EXPR_CONDITION && !qv__filter_fields(e->condition, visit, arg)) {
        return false;
    }
    for (uint32_t i = 0; i < e->n_args; i++) {
        if (!visit_expr(&e->args[i], visit, arg)) {
            return false;
        }
    }
    return true;
}

bool qv__formula_fields(const struct qv__formula *f, qv__field_visit visit, void *arg)
{
    return !f || visit_expr(f->root, visit, arg);
}
