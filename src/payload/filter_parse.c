/* filter_parse.c: JSON to the filter tree: filters, clauses and the kinds of condition.
 *
 * Recursion follows the nesting of filters only, and that is limited to QV__FILTER_DEPTH_MAX before
 * it descends. Strictness: every object's members are known by name and any other is refused, so a
 * misspelt clause cannot silently widen a result; null counts as absent where the peer takes it so.
 * A condition is of exactly one kind: several in one object, which the peer answers differently
 * with and without an index, are refused. Everything is copied into the arena; conditions and
 * values are counted against their limits before memory is taken for them. */
#include "payload/filter_parse.h"

static qv_status parse_filter(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                              unsigned depth, const struct qv__filter **out);

/* ---- conditions with a key ---- */

enum member {
    KEY,
    /* what a key can be asked */
    MATCH,
    RANGE,
    GEO_BOX,
    GEO_RADIUS,
    GEO_POLYGON,
    VALUES_COUNT,
    /* with a key: a boolean; without: an object with the key */
    IS_EMPTY,
    IS_NULL,
    /* without a key */
    HAS_ID,
    HAS_VECTOR,
    SLICE,
    NESTED,
    /* a filter as a condition */
    MUST,
    SHOULD,
    MUST_NOT,
    MIN_SHOULD,
    MEMBERS
};
static const char *const member_names[MEMBERS] = {
    "key",          "match",    "range",   "geo_bounding_box", "geo_radius", "geo_polygon",
    "values_count", "is_empty", "is_null", "has_id",           "has_vector", "slice",
    "nested",       "must",     "should",  "must_not",         "min_should",
};

static qv_status parse_flag(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                            enum qv__cond_kind kind, struct qv__cond *cond)
{
    cond->kind = kind;
    return qv__json_bool(v, &cond->flag) ? QV_OK : qv__fp_expected(fp, at, "a boolean", v);
}

static qv_status parse_field_kind(struct qv__fp *fp, const struct qv__fp_at *at, enum member which,
                                  qv__json v, struct qv__cond *cond)
{
    switch (which) {
    case MATCH:
        return qv__fp_match(fp, at, v, cond);
    case RANGE:
        return qv__fp_range(fp, at, v, cond);
    case GEO_BOX:
        return qv__fp_geo_box(fp, at, v, cond);
    case GEO_RADIUS:
        return qv__fp_geo_radius(fp, at, v, cond);
    case GEO_POLYGON:
        return qv__fp_geo_polygon(fp, at, v, cond);
    case VALUES_COUNT:
        return qv__fp_values_count(fp, at, v, cond);
    case IS_EMPTY:
        return parse_flag(fp, at, v, QV__COND_FIELD_EMPTY, cond);
    default:
        return parse_flag(fp, at, v, QV__COND_FIELD_NULL, cond);
    }
}

static qv_status parse_field(struct qv__fp *fp, const struct qv__fp_at *at, qv__json *slots,
                             struct qv__cond *cond)
{
    enum member which = MEMBERS;
    struct qv__fp_at key = {.up = at, .key = member_names[KEY]};

    QV_TRY(qv__fp_path(fp, &key, slots[KEY], cond));
    for (unsigned i = MATCH; i < MEMBERS; i++) {
        if (!qv__fp_given(slots[i])) {
            continue;
        }
        if (i > IS_NULL) {
            return qv__fp_fail(fp, at, QV_EINVAL, "\"%s\" cannot be given together with \"key\"",
                               member_names[i]);
        }
        if (which != MEMBERS) {
            return qv__fp_fail(
                fp, at, QV_EINVAL,
                "\"%s\" and \"%s\" in one condition; give each a condition of its own",
                member_names[which], member_names[i]);
        }
        which = (enum member)i;
    }
    if (which == MEMBERS) {
        return qv__fp_fail(fp, at, QV_EVALIDATION,
                           "At least one field condition must be specified");
    }
    struct qv__fp_at here = {.up = at, .key = member_names[which]};
    return parse_field_kind(fp, &here, which, slots[which], cond);
}

/* ---- conditions without a key ---- */

/* {"key": path} */
static qv_status parse_key_object(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                                  enum qv__cond_kind kind, struct qv__cond *cond)
{
    qv__json slot;
    struct qv__fp_at key = {.up = at, .key = member_names[KEY]};
    QV_TRY(qv__fp_members(fp, at, v, member_names, 1, &slot));
    cond->kind = kind;
    return qv__fp_path(fp, &key, slot, cond);
}

static int compare_ids(const void *a, const void *b)
{
    return qv__id_cmp(a, b);
}

static qv_status parse_id(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                          struct qv__id *out)
{
    static const char valid[] = "valid values are either an unsigned integer or a UUID";
    struct qv__str text;
    uint64_t u;
    if (qv__json_u64(v, &u)) {
        *out = qv__id_u64(u);
        return QV_OK;
    }
    if (!qv__json_str(v, &text)) {
        return v->kind == QV__JSON_I64
                   ? qv__fp_fail(fp, at, QV_EINVAL, "value %" PRId64 " is not a valid point ID, %s",
                                 v->i, valid)
                   : qv__fp_expected(fp, at, "a point ID: an unsigned integer or a UUID", v);
    }
    if (!qv__id_parse_uuid(text, out)) {
        return qv__fp_fail(fp, at, QV_EINVAL, "value %s is not a valid point ID, %s",
                           qv__fp_quote(text).z, valid);
    }
    return QV_OK;
}

static qv_status parse_has_id(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                              struct qv__cond *cond)
{
    if (!qv__json_is(v, QV__JSON_ARR)) {
        return qv__fp_expected(fp, at, "an array of point IDs", v);
    }
    QV_TRY(qv__fp_take_values(fp, at, v->len));
    struct qv__id *ids = qv__arena_calloc(fp->arena, (size_t)QV_MAX(v->len, 1), sizeof *ids);
    if (!ids) {
        return qv__fp_no_memory(fp);
    }
    qv__json e = qv__json_first(v);
    for (uint32_t i = 0; i < v->len; i++) {
        struct qv__fp_at here = {.up = at, .index = i};
        QV_TRY(parse_id(fp, &here, e, &ids[i]));
        e = qv__json_next(e);
    }
    cond->kind = QV__COND_HAS_ID;
    cond->has_id.ids = ids;
    cond->has_id.n = qv__fp_sort_unique(fp, ids, v->len, sizeof *ids, compare_ids);
    return cond->has_id.n == SIZE_MAX ? qv__fp_no_memory(fp) : QV_OK;
}

static qv_status parse_u32(struct qv__fp *fp, const struct qv__fp_at *at, const char *key,
                           qv__json v, uint32_t *out)
{
    struct qv__fp_at here = {.up = at, .key = key};
    uint64_t u;
    if (!qv__json_u64(v, &u) || u > UINT32_MAX) {
        return qv__fp_expected(fp, &here, "an integer from 0 to 4294967295", v);
    }
    *out = (uint32_t)u;
    return QV_OK;
}

static qv_status parse_slice(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                             struct qv__cond *cond)
{
    static const char *const names[] = {"total", "index"};
    qv__json slots[2];
    QV_TRY(qv__fp_members(fp, at, v, names, 2, slots));
    QV_TRY(parse_u32(fp, at, names[0], slots[0], &cond->slice.total));
    QV_TRY(parse_u32(fp, at, names[1], slots[1], &cond->slice.index));
    cond->kind = QV__COND_SLICE;
    if (cond->slice.total == 0) {
        return qv__fp_fail(fp, at, QV_EINVAL, "total must be greater than 0");
    }
    if (cond->slice.index >= cond->slice.total) {
        return qv__fp_fail(fp, at, QV_EVALIDATION,
                           "Slice index must be less than the total number of slices");
    }
    return QV_OK;
}

static qv_status parse_nested(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                              unsigned depth, struct qv__cond *cond)
{
    static const char *const names[] = {"key", "filter"};
    qv__json slots[2];
    struct qv__fp_at key = {.up = at, .key = names[0]};
    struct qv__fp_at filter = {.up = at, .key = names[1]};
    QV_TRY(qv__fp_members(fp, at, v, names, 2, slots));
    QV_TRY(qv__fp_path(fp, &key, slots[0], cond));
    /* The condition is about elements: "a" means "a[]". */
    if (cond->path.step[cond->path.n - 1].kind != QV__STEP_ALL) {
        if (cond->path.n == QV__PATH_STEPS_MAX) {
            return qv__fp_fail(fp, &key, QV_EINVAL, "more than %u steps", QV__PATH_STEPS_MAX - 1);
        }
        cond->path.step[cond->path.n++].kind = QV__STEP_ALL;
    }
    cond->kind = QV__COND_NESTED;
    return parse_filter(fp, &filter, slots[1], depth + 1, &cond->filter);
}

static qv_status parse_special(struct qv__fp *fp, const struct qv__fp_at *at, enum member which,
                               qv__json v, unsigned depth, struct qv__cond *cond)
{
    struct qv__fp_at here = {.up = at, .key = member_names[which]};
    switch (which) {
    case IS_EMPTY:
        return parse_key_object(fp, &here, v, QV__COND_IS_EMPTY, cond);
    case IS_NULL:
        return parse_key_object(fp, &here, v, QV__COND_IS_NULL, cond);
    case HAS_ID:
        return parse_has_id(fp, &here, v, cond);
    case HAS_VECTOR:
        cond->kind = QV__COND_HAS_VECTOR;
        return qv__fp_text(fp, &here, v, &cond->vector);
    case SLICE:
        return parse_slice(fp, &here, v, cond);
    default:
        return parse_nested(fp, &here, v, depth, cond);
    }
}

static qv_status parse_cond(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                            unsigned depth, struct qv__cond *cond)
{
    qv__json slots[MEMBERS];
    enum member which = MEMBERS;

    if (!qv__json_is(v, QV__JSON_OBJ)) {
        return qv__fp_expected(fp, at, "a condition (an object)", v);
    }
    QV_TRY(qv__fp_members(fp, at, v, member_names, MEMBERS, slots));
    if (slots[KEY]) {
        return parse_field(fp, at, slots, cond);
    }
    for (unsigned i = MATCH; i < MEMBERS; i++) {
        if (!slots[i] || (i >= MUST && which >= MUST && which != MEMBERS)) {
            continue;
        }
        if (i < IS_EMPTY) {
            return qv__fp_fail(fp, at, QV_EINVAL, "\"%s\" needs a \"key\"", member_names[i]);
        }
        if (which != MEMBERS) {
            return qv__fp_fail(
                fp, at, QV_EINVAL,
                "\"%s\" and \"%s\" in one condition; give each a condition of its own",
                member_names[which], member_names[i]);
        }
        which = (enum member)i;
    }
    if (which < MUST) {
        return parse_special(fp, at, which, slots[which], depth, cond);
    }
    cond->kind = QV__COND_FILTER;
    return parse_filter(fp, at, v, depth + 1, &cond->filter);
}

/* ---- clauses and filters ---- */

static qv_status parse_clause(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                              unsigned depth, struct qv__clause *out)
{
    bool single = qv__json_is(v, QV__JSON_OBJ);
    if (!single && !qv__json_is(v, QV__JSON_ARR)) {
        return qv__fp_expected(fp, at, "a condition or an array of conditions", v);
    }
    size_t n = single ? 1 : v->len;
    if (n > QV__FILTER_CONDS_MAX - fp->conds) {
        return qv__fp_fail(fp, at, QV_ETOOBIG, "more than %u conditions in one filter",
                           QV__FILTER_CONDS_MAX);
    }
    fp->conds += (uint32_t)n;
    struct qv__cond *conds = qv__arena_calloc(fp->arena, (size_t)QV_MAX(n, 1), sizeof *conds);
    if (!conds) {
        return qv__fp_no_memory(fp);
    }
    if (single) {
        QV_TRY(parse_cond(fp, at, v, depth, conds));
    } else {
        qv__json e = qv__json_first(v);
        for (size_t i = 0; i < n; i++) {
            struct qv__fp_at here = {.up = at, .index = i};
            QV_TRY(parse_cond(fp, &here, e, depth, &conds[i]));
            e = qv__json_next(e);
        }
    }
    *out = (struct qv__clause){conds, n};
    return QV_OK;
}

static qv_status parse_min_should(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                                  unsigned depth, struct qv__filter *f)
{
    static const char *const names[] = {"conditions", "min_count"};
    qv__json slots[2];
    struct qv__fp_at conditions = {.up = at, .key = names[0]};
    struct qv__fp_at count = {.up = at, .key = names[1]};
    QV_TRY(qv__fp_members(fp, at, v, names, 2, slots));
    if (!qv__json_is(slots[0], QV__JSON_ARR)) {
        return qv__fp_expected(fp, &conditions, "an array of conditions", slots[0]);
    }
    QV_TRY(parse_clause(fp, &conditions, slots[0], depth, &f->min_should));
    if (!qv__json_u64(slots[1], &f->min_count)) {
        return qv__fp_expected(fp, &count, "an integer above 0", slots[1]);
    }
    if (f->min_count == 0) {
        return qv__fp_fail(fp, &count, QV_EVALIDATION, "min_count must be greater than 0");
    }
    f->has_min_should = true;
    return QV_OK;
}

static qv_status parse_filter(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                              unsigned depth, const struct qv__filter **out)
{
    static const char *const names[] = {"must", "should", "must_not", "min_should"};
    qv__json slots[QV_ARRAY_LEN(names)];
    if (depth > QV__FILTER_DEPTH_MAX) {
        return qv__fp_fail(fp, at, QV_ETOOBIG, "filters nested deeper than %u",
                           QV__FILTER_DEPTH_MAX);
    }
    QV_TRY(qv__fp_members(fp, at, v, names, QV_ARRAY_LEN(names), slots));
    struct qv__filter *f = qv__arena_zalloc(fp->arena, sizeof *f);
    if (!f) {
        return qv__fp_no_memory(fp);
    }
    struct qv__clause *const clauses[] = {&f->must, &f->should, &f->must_not};
    for (size_t i = 0; i < QV_ARRAY_LEN(clauses); i++) {
        struct qv__fp_at here = {.up = at, .key = names[i]};
        if (qv__fp_given(slots[i])) {
            QV_TRY(parse_clause(fp, &here, slots[i], depth, clauses[i]));
        }
    }
    struct qv__fp_at min_should = {.up = at, .key = names[3]};
    if (qv__fp_given(slots[3])) {
        QV_TRY(parse_min_should(fp, &min_should, slots[3], depth, f));
    }
    *out = f;
    return QV_OK;
}

qv_status qv__fp_condition(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                           const struct qv__filter **out)
{
    struct qv__filter *f = qv__arena_zalloc(fp->arena, sizeof *f);
    struct qv__cond *cond = qv__arena_zalloc(fp->arena, sizeof *cond);
    if (!f || !cond) {
        return qv__fp_no_memory(fp);
    }
    if (++fp->conds > QV__FILTER_CONDS_MAX) {
        return qv__fp_fail(fp, at, QV_ETOOBIG, "more than %u conditions", QV__FILTER_CONDS_MAX);
    }
    QV_TRY(parse_cond(fp, at, v, 1, cond));
    f->must = (struct qv__clause){cond, 1};
    *out = f;
    return QV_OK;
}

qv_status qv__filter_parse(struct qv__arena *arena, qv__json v, const struct qv__filter **out,
                           struct qv_err *err)
{
    struct qv__fp fp = {.arena = arena, .err = err};
    struct qv__fp_at root = {.key = "filter"};
    const struct qv__filter *f = NULL;
    if (qv__fp_given(v)) {
        QV_TRY(parse_filter(&fp, &root, v, 1, &f));
    }
    *out = f;
    return QV_OK;
}
