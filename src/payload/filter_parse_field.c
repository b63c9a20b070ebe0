/* filter_parse_field.c: match, range and values_count of a field condition. */
#include "payload/filter_parse.h"

int qv__match_value_cmp(const void *a, const void *b)
{
    const struct qv__match_value *x = a;
    const struct qv__match_value *y = b;
    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    switch (x->kind) {
    case QV__MATCH_INT:
        return (x->i > y->i) - (x->i < y->i);
    case QV__MATCH_BOOL:
        return (int)x->b - (int)y->b;
    case QV__MATCH_STR:
    default:
        return qv__str_cmp(x->s, y->s);
    }
}

/* ---- match ---- */

static qv_status match_value(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                             struct qv__cond *cond)
{
    struct qv__match_value *value = qv__arena_alloc(fp->arena, sizeof *value);
    if (!value) {
        return qv__fp_no_memory(fp);
    }
    switch ((enum qv__json_kind)v->kind) {
    case QV__JSON_STR:
        value->kind = QV__MATCH_STR;
        QV_TRY(qv__fp_text(fp, at, v, &value->s));
        break;
    case QV__JSON_I64:
        value->kind = QV__MATCH_INT;
        value->i = v->i;
        break;
    case QV__JSON_BOOL:
        value->kind = QV__MATCH_BOOL;
        value->b = v->b;
        break;
    case QV__JSON_U64:
        return qv__fp_fail(fp, at, QV_EINVAL, "integer %" PRIu64 " is above the range of i64",
                           v->u);
    case QV__JSON_NULL:
    case QV__JSON_F64:
    case QV__JSON_ARR:
    case QV__JSON_OBJ:
    default:
        return qv__fp_expected(fp, at, "a string, an integer or a boolean", v);
    }
    cond->kind = QV__COND_MATCH_ANY;
    cond->match.values = value;
    cond->match.n = 1;
    return QV_OK;
}

static qv_status list_element(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                              qv__json first, struct qv__match_value *out)
{
    if (v->kind != QV__JSON_STR && v->kind != QV__JSON_I64) {
        return qv__fp_expected(fp, at, "a string or an integer of i64", v);
    }
    if (v->kind != first->kind) {
        return qv__fp_fail(fp, at, QV_EINVAL, "strings and integers cannot be mixed in one list");
    }
    if (v->kind == QV__JSON_I64) {
        *out = (struct qv__match_value){.kind = QV__MATCH_INT, .i = v->i};
        return QV_OK;
    }
    out->kind = QV__MATCH_STR;
    return qv__fp_text(fp, at, v, &out->s);
}

static qv_status match_list(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                            struct qv__cond *cond)
{
    if (!qv__json_is(v, QV__JSON_ARR)) {
        return qv__fp_expected(fp, at, "an array of strings or of integers", v);
    }
    QV_TRY(qv__fp_take_values(fp, at, v->len));
    struct qv__match_value *values =
        qv__arena_calloc(fp->arena, (size_t)QV_MAX(v->len, 1), sizeof *values);
    if (!values) {
        return qv__fp_no_memory(fp);
    }
    qv__json first = qv__json_first(v);
    qv__json e = first;
    for (uint32_t i = 0; i < v->len; i++) {
        struct qv__fp_at here = {.up = at, .index = i};
        QV_TRY(list_element(fp, &here, e, first, &values[i]));
        e = qv__json_next(e);
    }
    cond->match.values = values;
    cond->match.n = qv__fp_sort_unique(fp, values, v->len, sizeof *values, qv__match_value_cmp);
    return cond->match.n == SIZE_MAX ? qv__fp_no_memory(fp) : QV_OK;
}

/* Each word is looked up in each block of an index, and looked for in each row without one. Runs of
 * letters and digits are counted, whatever a tokenizer makes of them; where it finds more, in a
 * script without spaces, bytes bound them. */
static qv_status match_words(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                             struct qv__cond *cond)
{
    uint32_t n = 0;
    bool in_word = false;
    QV_TRY(qv__fp_text(fp, at, v, &cond->text));
    if (cond->text.n > QV__FILTER_TEXT_MAX) {
        return qv__fp_fail(fp, at, QV_ETOOBIG, "%zu bytes, more than %u", cond->text.n,
                           QV__FILTER_TEXT_MAX);
    }
    for (size_t i = 0; i < cond->text.n; i++) {
        unsigned char c = (unsigned char)cond->text.p[i];
        bool is_in =
            c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        n += is_in && !in_word;
        in_word = is_in;
    }
    return n <= QV__FILTER_WORDS_MAX
               ? QV_OK
               : qv__fp_fail(fp, at, QV_ETOOBIG, "%" PRIu32 " words, more than %u", n,
                             QV__FILTER_WORDS_MAX);
}

qv_status qv__fp_match(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                       struct qv__cond *cond)
{
    enum { VALUE, ANY, EXCEPT, TEXT, TEXT_ANY, PHRASE, PREFIX, N };
    static const char *const names[N] = {"value",    "any",    "except", "text",
                                         "text_any", "phrase", "prefix"};
    static const enum qv__cond_kind kinds[N] = {
        QV__COND_MATCH_ANY,      QV__COND_MATCH_ANY,    QV__COND_MATCH_EXCEPT, QV__COND_MATCH_TEXT,
        QV__COND_MATCH_TEXT_ANY, QV__COND_MATCH_PHRASE, QV__COND_MATCH_PREFIX,
    };
    qv__json slots[N];
    size_t which = N;

    QV_TRY(qv__fp_members(fp, at, v, names, N, slots));
    for (size_t i = 0; i < N; i++) {
        if (!qv__fp_given(slots[i])) {
            continue;
        }
        if (which != N) {
            return qv__fp_fail(fp, at, QV_EINVAL, "\"%s\" and \"%s\" cannot be given together",
                               names[which], names[i]);
        }
        which = i;
    }
    if (which == N) {
        return qv__fp_fail(
            fp, at, QV_EINVAL,
            "expected one of \"value\", \"any\", \"except\", \"text\", \"text_any\", \"phrase\", "
            "\"prefix\"");
    }
    struct qv__fp_at here = {.up = at, .key = names[which]};
    cond->kind = kinds[which];
    switch (which) {
    case VALUE:
        return match_value(fp, &here, slots[which], cond);
    case ANY:
    case EXCEPT:
        return match_list(fp, &here, slots[which], cond);
    case TEXT:
    case TEXT_ANY:
    case PHRASE:
        return match_words(fp, &here, slots[which], cond);
    default:
        return qv__fp_text(fp, &here, slots[which], &cond->text);
    }
}

/* ---- range, values_count ---- */

enum bound { LT, LTE, GT, GTE, BOUNDS };
static const char *const bound_names[BOUNDS] = {"lt", "lte", "gt", "gte"};

static qv_status number_range(struct qv__fp *fp, const struct qv__fp_at *at, qv__json *slots,
                              struct qv__cond *cond)
{
    double value[BOUNDS] = {0};
    for (size_t i = 0; i < BOUNDS; i++) {
        struct qv__fp_at here = {.up = at, .key = bound_names[i]};
        if (qv__fp_given(slots[i]) && !qv__json_f64(slots[i], &value[i])) {
            return qv__fp_expected(fp, &here, "a number or a date string", slots[i]);
        }
    }
    cond->kind = QV__COND_RANGE;
    cond->range.lt = value[LT];
    cond->range.lte = value[LTE];
    cond->range.gt = value[GT];
    cond->range.gte = value[GTE];
    cond->range.has_lt = qv__fp_given(slots[LT]);
    cond->range.has_lte = qv__fp_given(slots[LTE]);
    cond->range.has_gt = qv__fp_given(slots[GT]);
    cond->range.has_gte = qv__fp_given(slots[GTE]);
    return QV_OK;
}

static void set_irange(struct qv__cond *cond, enum qv__cond_kind kind, const int64_t *value,
                       qv__json *slots)
{
    cond->kind = kind;
    cond->irange.lt = value[LT];
    cond->irange.lte = value[LTE];
    cond->irange.gt = value[GT];
    cond->irange.gte = value[GTE];
    cond->irange.has_lt = qv__fp_given(slots[LT]);
    cond->irange.has_lte = qv__fp_given(slots[LTE]);
    cond->irange.has_gt = qv__fp_given(slots[GT]);
    cond->irange.has_gte = qv__fp_given(slots[GTE]);
}

static qv_status datetime_range(struct qv__fp *fp, const struct qv__fp_at *at, qv__json *slots,
                                struct qv__cond *cond)
{
    int64_t value[BOUNDS] = {0};
    for (size_t i = 0; i < BOUNDS; i++) {
        struct qv__fp_at here = {.up = at, .key = bound_names[i]};
        struct qv__str text;
        if (!qv__fp_given(slots[i])) {
            continue;
        }
        if (!qv__json_str(slots[i], &text)) {
            return qv__fp_expected(fp, &here, "a date string like the other bounds", slots[i]);
        }
        if (!qv__datetime_parse(text, &value[i])) {
            return qv__fp_fail(fp, &here, QV_EINVAL,
                               "%s does not match accepted datetime format (RFC3339). Example: "
                               "2014-01-01T00:00:00Z",
                               qv__fp_quote(text).z);
        }
    }
    set_irange(cond, QV__COND_DATETIME_RANGE, value, slots);
    return QV_OK;
}

qv_status qv__fp_range(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                       struct qv__cond *cond)
{
    qv__json slots[BOUNDS];
    QV_TRY(qv__fp_members(fp, at, v, bound_names, BOUNDS, slots));
    /* One string makes it a range of dates. */
    for (size_t i = 0; i < BOUNDS; i++) {
        if (qv__json_is(slots[i], QV__JSON_STR)) {
            return datetime_range(fp, at, slots, cond);
        }
    }
    return number_range(fp, at, slots, cond);
}

qv_status qv__fp_values_count(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                              struct qv__cond *cond)
{
    qv__json slots[BOUNDS];
    int64_t value[BOUNDS] = {0};
    QV_TRY(qv__fp_members(fp, at, v, bound_names, BOUNDS, slots));
    for (size_t i = 0; i < BOUNDS; i++) {
        struct qv__fp_at here = {.up = at, .key = bound_names[i]};
        uint64_t u;
        if (!qv__fp_given(slots[i])) {
            continue;
        }
        if (!qv__json_u64(slots[i], &u)) {
            return qv__json_is(slots[i], QV__JSON_I64)
                       ? qv__fp_fail(fp, &here, QV_EINVAL, "a count cannot be negative")
                       : qv__fp_expected(fp, &here, "a count (a non-negative integer)", slots[i]);
        }
        /* No row counts that far, so the cut changes no answer. */
        value[i] = u > (uint64_t)INT64_MAX ? INT64_MAX : (int64_t)u;
    }
    set_irange(cond, QV__COND_VALUES_COUNT, value, slots);
    return QV_OK;
}
