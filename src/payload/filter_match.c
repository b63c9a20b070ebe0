/* filter_match.c: does a row match.
 *
 * Evaluation reads the row in place: no memory, no copies, each path followed by skipping.
 * Recursion follows the filter tree only (its depth was limited by the parser). A path without `[]`
 * leads to at most one value and is followed in a plain loop; with `[]` the values are visited
 * through qv__path_each_in until one decides.
 *
 * Rules that hold for all kinds, as in the primary peer without an index: a value that is an array
 * is asked element by element (one level), any one suffices; a path that leads nowhere matches
 * nothing, save where a kind says otherwise (is_empty, values_count as 0, the boolean forms). */
#include "payload/filter_parse.h"
#include "payload/filter_value.h"
#include "payload/geo.h"
#include "payload/wire.h"
#include "text/utf8.h"

#define LINEAR_MAX 8u /* sets up to this size are searched from end to end */

/* What conditions are asked of: a row, or an object inside one. */
struct scope {
    const struct qv__filter_row *row;
    struct qv__value object;
    bool nested;
    const struct qv__path *prefix; /* of the object, where the row has text fields */
    bool too_deep;                 /* the object's path is longer than any of an index */
};

static bool match_filter(const struct qv__filter *f, const struct scope *sc);

/* ---- one value ---- */

static bool in_strings(const struct qv__match_value *set, size_t n, struct qv__str s)
{
    if (n <= LINEAR_MAX) {
        for (size_t i = 0; i < n; i++) {
            if (set[i].kind == QV__MATCH_STR && qv__str_eq(set[i].s, s)) {
                return true;
            }
        }
        return false;
    }
    struct qv__match_value key = {.kind = QV__MATCH_STR, .s = s};
    return bsearch(&key, set, n, sizeof *set, qv__match_value_cmp) != NULL;
}

static bool in_ints(const struct qv__match_value *set, size_t n, int64_t v)
{
    if (n <= LINEAR_MAX) {
        for (size_t i = 0; i < n; i++) {
            if (set[i].kind == QV__MATCH_INT && set[i].i == v) {
                return true;
            }
        }
        return false;
    }
    struct qv__match_value key = {.kind = QV__MATCH_INT, .i = v};
    return bsearch(&key, set, n, sizeof *set, qv__match_value_cmp) != NULL;
}

static bool in_bools(const struct qv__match_value *set, size_t n, bool v)
{
    if (n <= LINEAR_MAX) {
        for (size_t i = 0; i < n; i++) {
            if (set[i].kind == QV__MATCH_BOOL && set[i].b == v) {
                return true;
            }
        }
        return false;
    }
    struct qv__match_value key = {.kind = QV__MATCH_BOOL, .b = v};
    return bsearch(&key, set, n, sizeof *set, qv__match_value_cmp) != NULL;
}

static bool in_set(const struct qv__cond *c, const struct qv__value *v)
{
    const struct qv__match_value *set = c->match.values;
    size_t n = c->match.n;
    switch (v->tag) {
    case QV__TAG_STR:
        return in_strings(set, n, v->s);
    case QV__TAG_I64:
        return in_ints(set, n, v->i);
    case QV__TAG_FALSE:
    case QV__TAG_TRUE:
        return in_bools(set, n, v->tag == QV__TAG_TRUE);
    case QV__TAG_NULL:
    case QV__TAG_U64:
    case QV__TAG_F64:
    case QV__TAG_ARR:
    case QV__TAG_OBJ:
    default:
        return false;
    }
}

static bool in_range(const struct qv__cond *c, double v)
{
    return qv__range_above(c, v) && qv__range_below(c, v);
}

static bool contains(struct qv__str text, struct qv__str part)
{
    return part.n == 0 || (part.n <= text.n && memmem(text.p, text.n, part.p, part.n) != NULL);
}

/* Any blank-separated word of `words`. */
static bool contains_any(struct qv__str text, struct qv__str words, struct qv__steps *steps)
{
    const char *p = words.p;
    const char *end = words.n ? p + words.n : p;
    if (!qv__steps_on(steps, words.n)) {
        return false;
    }
    while (p < end) {
        size_t blank = qv__utf8_space(p, end);
        if (blank) {
            p += blank;
            continue;
        }
        const char *from = p;
        while (p < end && !qv__utf8_space(p, end)) {
            p++;
        }
        if (contains(text, (struct qv__str){from, (size_t)(p - from)})) {
            return true;
        }
        if (!qv__steps_on(steps, text.n)) {
            return false;
        }
    }
    return false;
}

bool qv__match_text(const struct qv__cond *c, struct qv__str s, struct qv__steps *steps)
{
    switch (c->kind) {
    case QV__COND_MATCH_TEXT_ANY:
        return contains_any(s, c->text, steps);
    case QV__COND_MATCH_PREFIX:
        return c->text.n <= s.n && (c->text.n == 0 || memcmp(s.p, c->text.p, c->text.n) == 0);
    default:
        return contains(s, c->text);
    }
}

static bool match_words(const struct qv__cond *c, const struct qv__tokenizer *t, struct qv__str s,
                        struct qv__steps *steps)
{
    switch (c->kind) {
    case QV__COND_MATCH_TEXT_ANY:
        return qv__text_has_any(t, s, c->text, steps);
    case QV__COND_MATCH_PHRASE:
        return qv__text_has_phrase(t, s, c->text, steps);
    default:
        return qv__text_has_all(t, s, c->text, steps);
    }
}

/* How the field of a condition on text is taken apart; NULL: it is not. */
static const struct qv__tokenizer *tokenizer_of(const struct qv__cond *c, const struct scope *sc)
{
    const struct qv__text_fields *texts = sc->row->texts;
    struct qv__path path;
    if (QV_LIKELY(!texts) || sc->too_deep ||
        (c->kind != QV__COND_MATCH_TEXT && c->kind != QV__COND_MATCH_TEXT_ANY &&
         c->kind != QV__COND_MATCH_PHRASE) ||
        !qv__path_join(sc->prefix, &c->path, &path)) {
        return NULL;
    }
    for (size_t i = 0; i < texts->n; i++) {
        if (qv__path_eq(&texts->list[i].path, &path)) {
            return &texts->list[i].tokenizer;
        }
    }
    return NULL;
}

uint64_t qv__polygon_units(const struct qv__cond *c)
{
    uint64_t n = c->polygon.exterior.n;
    for (size_t i = 0; i < c->polygon.n_interiors; i++) {
        n += c->polygon.interiors[i].n;
    }
    return n * 8;
}

static bool match_geo(const struct qv__cond *c, const struct qv__value *v, struct qv__steps *steps)
{
    struct qv__geo_point p;
    if (!qv__geo_of(v, &p) ||
        (c->kind == QV__COND_GEO_POLYGON && steps && !qv__steps_on(steps, qv__polygon_units(c)))) {
        return false;
    }
    switch (c->kind) {
    case QV__COND_GEO_BOX:
        return qv__geo_in_box(p, c->box.top_left, c->box.bottom_right);
    case QV__COND_GEO_RADIUS:
        return qv__geo_distance_m(c->radius.center, p) < c->radius.radius_m;
    default:
        return qv__geo_in_polygon(p, c->polygon.exterior, c->polygon.interiors,
                                  c->polygon.n_interiors);
    }
}

/* One element: arrays were taken apart before. */
static bool match_element(const struct qv__cond *c, const struct qv__tokenizer *t,
                          const struct qv__value *v, struct qv__steps *steps)
{
    double f;
    int64_t us;
    switch (c->kind) {
    case QV__COND_MATCH_ANY:
        return in_set(c, v);
    case QV__COND_MATCH_EXCEPT:
        return v->tag != QV__TAG_NULL && !in_set(c, v);
    case QV__COND_RANGE:
        return qv__value_f64(v, &f) && in_range(c, f);
    case QV__COND_DATETIME_RANGE:
        return v->tag == QV__TAG_STR && qv__datetime_parse(v->s, &us) && qv__in_irange(c, us);
    case QV__COND_MATCH_TEXT:
    case QV__COND_MATCH_TEXT_ANY:
    case QV__COND_MATCH_PHRASE:
    case QV__COND_MATCH_PREFIX:
        return v->tag == QV__TAG_STR &&
               (t ? match_words(c, t, v->s, steps) : qv__match_text(c, v->s, steps));
    case QV__COND_GEO_BOX:
    case QV__COND_GEO_RADIUS:
    case QV__COND_GEO_POLYGON:
        return match_geo(c, v, steps);
    default:
        return false;
    }
}

static bool any_element(const struct qv__cond *c, const struct qv__value *v, const struct scope *sc)
{
    const struct qv__tokenizer *t = tokenizer_of(c, sc);
    struct qv__steps *steps = sc->row->steps;
    if (QV_LIKELY(v->tag != QV__TAG_ARR)) {
        return match_element(c, t, v, steps);
    }
    struct qv__value_iter it;
    struct qv__value e;
    qv__value_iter_init(&it, v);
    while (qv__value_iter_next(&it, NULL, &e)) {
        if (match_element(c, t, &e, steps)) {
            return true;
        }
    }
    return false;
}

static bool is_empty(const struct qv__value *v)
{
    return v->tag == QV__TAG_NULL || (v->tag == QV__TAG_ARR && v->count == 0);
}

/* null, or an array with a null in it */
static bool holds_null(const struct qv__value *v)
{
    if (v->tag != QV__TAG_ARR) {
        return v->tag == QV__TAG_NULL;
    }
    struct qv__value_iter it;
    struct qv__value e;
    qv__value_iter_init(&it, v);
    while (qv__value_iter_next(&it, NULL, &e)) {
        if (e.tag == QV__TAG_NULL) {
            return true;
        }
    }
    return false;
}

static int64_t values_in(const struct qv__value *v)
{
    return v->tag == QV__TAG_NULL ? 0 : v->tag == QV__TAG_ARR ? (int64_t)v->count : 1;
}

/* One value that the path reaches. For IS_EMPTY the question is turned round: is it non-empty? */
static bool match_value(const struct qv__cond *c, const struct qv__value *v, const struct scope *sc)
{
    switch (c->kind) {
    case QV__COND_VALUES_COUNT:
        return qv__in_irange(c, values_in(v));
    case QV__COND_IS_EMPTY:
        return !is_empty(v);
    case QV__COND_IS_NULL:
        return v->tag == QV__TAG_NULL;
    case QV__COND_FIELD_EMPTY:
        return is_empty(v) == c->flag;
    case QV__COND_FIELD_NULL:
        return holds_null(v) == c->flag;
    case QV__COND_NESTED: {
        if (v->tag != QV__TAG_OBJ) {
            return false;
        }
        struct scope inner = {.row = sc->row, .object = *v, .nested = true};
        struct qv__path prefix;
        if (sc->row->texts) {
            inner.too_deep = sc->too_deep || !qv__path_join(sc->prefix, &c->path, &prefix);
            inner.prefix = &prefix;
        }
        return match_filter(c->filter, &inner);
    }
    default:
        return any_element(c, v, sc);
    }
}

/* ---- all values of a path ---- */

struct visit {
    const struct qv__cond *cond;
    const struct scope *scope;
    bool found;
};

static bool visit_value(void *ctx, const struct qv__value *v)
{
    struct visit *visit = ctx;
    visit->found = match_value(visit->cond, v, visit->scope);
    return !visit->found;
}

/* Does any value the path reaches match; *reached says whether there was one. */
static bool any_value(const struct qv__cond *c, const struct scope *sc, bool *reached)
{
    struct qv__value v = sc->object;
    const struct qv__path *path = &c->path;
    for (uint32_t i = 0; i < path->n; i++) {
        const struct qv__path_step *step = &path->step[i];
        struct qv__value inner;
        bool ok;
        if (step->kind == QV__STEP_KEY) {
            ok = v.tag == QV__TAG_OBJ && qv__wire_get(&v, step->key, &inner);
        } else if (step->kind == QV__STEP_INDEX) {
            ok = v.tag == QV__TAG_ARR && qv__wire_at(&v, step->index, &inner);
        } else {
            struct visit visit = {c, sc, false};
            *reached = qv__path_each_in(&sc->object, path, visit_value, &visit) > 0;
            return visit.found;
        }
        if (!ok) {
            *reached = false;
            return false;
        }
        v = inner;
    }
    *reached = true;
    return match_value(c, &v, sc);
}

static bool match_path(const struct qv__cond *c, const struct scope *sc)
{
    bool reached;
    bool found = any_value(c, sc, &reached);
    switch (c->kind) {
    case QV__COND_IS_EMPTY:
        return !found;
    case QV__COND_VALUES_COUNT:
        return reached ? found : qv__in_irange(c, 0);
    case QV__COND_FIELD_EMPTY:
        return reached ? found : c->flag;
    case QV__COND_FIELD_NULL:
        return reached ? found : !c->flag;
    default:
        return found;
    }
}

/* ---- conditions and clauses ---- */

static bool has_id(const struct qv__cond *c, const struct qv__id *id)
{
    size_t low = 0;
    size_t high = c->has_id.n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = qv__id_cmp(&c->has_id.ids[mid], id);
        if (order == 0) {
            return true;
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return false;
}

/* Of a condition, and of what it looks through to find its value. */
#define COND_UNITS     32u
#define BYTES_PER_UNIT 4u

static bool match_cond(const struct qv__cond *c, const struct scope *sc)
{
    const struct qv__filter_row *row = sc->row;
    if (!qv__steps_on(row->steps, COND_UNITS + sc->object.body.n / BYTES_PER_UNIT)) {
        return false;
    }
    switch (c->kind) {
    case QV__COND_FILTER:
        return match_filter(c->filter, sc);
    case QV__COND_HAS_ID:
        return !sc->nested && row->id && has_id(c, row->id);
    case QV__COND_SLICE:
        return !sc->nested && row->id &&
               qv__id_slice_hash(row->id) % c->slice.total == c->slice.index;
    case QV__COND_HAS_VECTOR:
        return !sc->nested && row->has_vector && row->has_vector(row, c->vector);
    default:
        return match_path(c, sc);
    }
}

static bool match_filter(const struct qv__filter *f, const struct scope *sc)
{
    for (size_t i = 0; i < f->must.n; i++) {
        if (!match_cond(&f->must.conds[i], sc)) {
            return false;
        }
    }
    for (size_t i = 0; i < f->must_not.n; i++) {
        if (match_cond(&f->must_not.conds[i], sc)) {
            return false;
        }
    }
    if (f->should.n) {
        size_t i = 0;
        while (i < f->should.n && !match_cond(&f->should.conds[i], sc)) {
            i++;
        }
        if (i == f->should.n) {
            return false;
        }
    }
    if (f->has_min_should) {
        uint64_t missing = f->min_count;
        for (size_t i = 0; missing; i++) {
            if (f->min_should.n - i < missing) {
                return false; /* not enough left */
            }
            missing -= match_cond(&f->min_should.conds[i], sc);
        }
    }
    return true;
}

bool qv__filter_match(const struct qv__filter *f, const struct qv__filter_row *row)
{
    if (!f) {
        return true;
    }
    struct scope sc = {.row = row, .object = qv__wire_root(row->payload)};
    return match_filter(f, &sc);
}

/* ---- what the tree asks for ---- */

static bool clause_needs_payload(struct qv__clause clause)
{
    for (size_t i = 0; i < clause.n; i++) {
        const struct qv__cond *c = &clause.conds[i];
        switch (c->kind) {
        case QV__COND_HAS_ID:
        case QV__COND_SLICE:
        case QV__COND_HAS_VECTOR:
            break;
        case QV__COND_FILTER:
            if (qv__filter_needs_payload(c->filter)) {
                return true;
            }
            break;
        default:
            return true;
        }
    }
    return false;
}

bool qv__filter_needs_payload(const struct qv__filter *f)
{
    return f && (clause_needs_payload(f->must) || clause_needs_payload(f->should) ||
                 clause_needs_payload(f->must_not) || clause_needs_payload(f->min_should));
}

const struct qv__cond *qv__filter_id_set(const struct qv__filter *f)
{
    const struct qv__cond *best = NULL;
    for (size_t i = 0; f && i < f->must.n; i++) {
        const struct qv__cond *c = &f->must.conds[i];
        if (c->kind == QV__COND_HAS_ID && (!best || c->has_id.n < best->has_id.n)) {
            best = c;
        }
    }
    return best;
}
