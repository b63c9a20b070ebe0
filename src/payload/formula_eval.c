/* formula_eval.c: the value of a formula for one point. Recursion is bounded by the nesting that
 * the parser met. Sums and products stop nowhere but at a factor of 0, as in the primary peer. */
#include "payload/formula_impl.h"
#include "payload/geo.h"

#include <math.h>
#include <stdio.h>

/* --- values of the payload
 * ------------------------------------------------------------------------------ */

/* The one value a path leads to, or how many there are. */
struct found {
    struct qv__value value;
    uint32_t n;
    bool skip_null; /* an index holds none, and the peer reads the values of indexed fields there */
};

static bool add_one(struct found *f, const struct qv__value *v)
{
    if (v->tag != QV__TAG_NULL || !f->skip_null) {
        f->value = *v;
        f->n++;
    }
    return f->n < 2;
}

static bool add_value(void *ctx, const struct qv__value *v)
{
    struct found *f = ctx;
    if (v->tag != QV__TAG_ARR) {
        return add_one(f, v);
    }
    struct qv__value_iter it;
    struct qv__value e;
    qv__value_iter_init(&it, v);
    while (f->n < 2 && qv__value_iter_next(&it, NULL, &e)) {
        (void)add_one(f, &e);
    }
    return f->n < 2;
}

static qv_status wrong_value(const struct qv__expr *x, const char *type, const char *why,
                             struct qv_err *err)
{
    return qv__fail(err, QV_EINVAL,
                    "Expected %s value for %.*s in the payload and/or in the formula defaults. "
                    "Error: %s",
                    type, (int)QV_MIN(x->key.n, (size_t)64), x->key.p, why);
}

static bool value_number(const struct qv__value *v, double *out)
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

/* A member of an object, in either form. */
static bool member_number(const struct qv__value *obj, const char *name, double *out)
{
    struct qv__value_iter it;
    struct qv__value v;
    struct qv__str key;
    if (obj->tag != QV__TAG_OBJ) {
        return false;
    }
    qv__value_iter_init(&it, obj);
    while (qv__value_iter_next(&it, &key, &v)) {
        if (qv__str_eq(key, qv__str_z(name))) {
            return value_number(&v, out);
        }
    }
    return false;
}

/* What a path's value is taken as, from the payload or from the default. */
struct typed {
    const char *type, *wrong;
    bool (*of_value)(const struct qv__value *v, double *out, struct qv__geo_point *point);
    bool (*of_json)(qv__json v, double *out, struct qv__geo_point *point);
};

static bool number_of_value(const struct qv__value *v, double *out, struct qv__geo_point *point)
{
    (void)point;
    return value_number(v, out);
}
static bool number_of_json(qv__json v, double *out, struct qv__geo_point *point)
{
    (void)point;
    return qv__json_f64(v, out);
}
static bool point_of_value(const struct qv__value *v, double *out, struct qv__geo_point *point)
{
    (void)out;
    return member_number(v, "lon", &point->lon) && member_number(v, "lat", &point->lat) &&
           qv__geo_valid(*point);
}
static bool point_of_json(qv__json v, double *out, struct qv__geo_point *point)
{
    (void)out;
    return qv__json_f64(qv__json_get(v, "lon"), &point->lon) &&
           qv__json_f64(qv__json_get(v, "lat"), &point->lat) && qv__geo_valid(*point);
}
static bool instant_of_text(struct qv__str text, double *out)
{
    int64_t us;
    bool ok = qv__datetime_parse(text, &us);
    if (ok) {
        *out = (double)us / 1e6;
    }
    return ok;
}
static bool instant_of_value(const struct qv__value *v, double *out, struct qv__geo_point *point)
{
    (void)point;
    return v->tag == QV__TAG_STR && instant_of_text(v->s, out);
}
static bool instant_of_json(qv__json v, double *out, struct qv__geo_point *point)
{
    struct qv__str text;
    (void)point;
    return qv__json_str(v, &text) && instant_of_text(text, out);
}

static const struct typed as_number = {"number", "Value is not a number", number_of_value,
                                       number_of_json};
static const struct typed as_point = {"geo point", "Value is not a geo point", point_of_value,
                                      point_of_json};
static const struct typed as_instant = {"datetime", "Value is not a datetime", instant_of_value,
                                        instant_of_json};

/* Of a look-up, and of what it looks through. */
#define LOOKUP_UNITS 32u

static qv_status payload_value(const struct qv__expr *x, const struct qv__formula_row *row,
                               const struct typed *type, double *out, struct qv__geo_point *point,
                               struct qv_err *err)
{
    if (!qv__steps_on(row->steps, LOOKUP_UNITS + row->payload.n)) {
        return qv__fail(err, row->steps->status, "%s", qv_status_text(row->steps->status));
    }
    struct found f = {.skip_null = row->indexed && row->indexed(row, x->key)};
    (void)qv__path_each(row->payload, x->path, add_value, &f);
    if (f.n == 0 && !x->fallback) {
        return wrong_value(x, type->type, "No value found in a payload nor defaults", err);
    }
    bool ok = f.n == 0 ? type->of_json(x->fallback, out, point)
                       : f.n == 1 && type->of_value(&f.value, out, point);
    return ok ? QV_OK : wrong_value(x, type->type, type->wrong, err);
}

/* --- arithmetic
 * ----------------------------------------------------------------------------------------- */

static qv_status eval(const struct qv__expr *x, const struct qv__formula_row *row, double *out,
                      struct qv_err *err);

static const char *number_text(double d, char text[32])
{
    if (isnan(d)) {
        return "NaN";
    }
    (void)snprintf(text, 32, "%.15g", d);
    return text;
}

/* The result, when it is a number; the text before and between its operands else. */
static qv_status checked(double result, const char *before, double a, const char *between, double b,
                         const char *after, double *out, struct qv_err *err)
{
    char ta[32], tb[32], tr[32];
    *out = result;
    if (isfinite(result)) {
        return QV_OK;
    }
    return qv__fail(err, QV_EINVAL, "The expression %s%s%s%s%s = %s produced a non-finite number",
                    before, number_text(a, ta), between, *between ? number_text(b, tb) : "", after,
                    number_text(result, tr));
}

static qv_status eval_list(const struct qv__expr *x, const struct qv__formula_row *row, double *out,
                           struct qv_err *err)
{
    bool product = x->kind == QV__EXPR_MULT;
    double acc = product ? 1.0 : 0.0, v;
    for (uint32_t i = 0; i < x->n_args; i++) {
        QV_TRY(eval(&x->args[i], row, &v, err));
        if (product && v == 0.0) {
            acc = 0.0;
            break;
        }
        acc = product ? acc * v : acc + v;
    }
    *out = acc;
    return QV_OK;
}

static qv_status eval_div(const struct qv__expr *x, const struct qv__formula_row *row, double *out,
                          struct qv_err *err)
{
    double a, b;
    QV_TRY(eval(&x->args[0], row, &a, err));
    *out = 0.0;
    if (a == 0.0) {
        return QV_OK;
    }
    QV_TRY(eval(&x->args[1], row, &b, err));
    if (b == 0.0 && x->has_value) {
        *out = x->value;
        return QV_OK;
    }
    return checked(a / b, "", a, "/", b, "", out, err);
}

static qv_status eval_one(const struct qv__expr *x, const struct qv__formula_row *row, double *out,
                          struct qv_err *err)
{
    double a, b;
    QV_TRY(eval(&x->args[0], row, &a, err));
    switch (x->kind) {
    case QV__EXPR_NEG:
        *out = -a;
        return QV_OK;
    case QV__EXPR_ABS:
        *out = fabs(a);
        return QV_OK;
    case QV__EXPR_SQRT:
        return checked(sqrt(a), "√", a, "", 0, "", out, err);
    case QV__EXPR_EXP:
        return checked(exp(a), "exp(", a, "", 0, ")", out, err);
    case QV__EXPR_LN:
        return checked(log(a), "ln(", a, "", 0, ")", out, err);
    case QV__EXPR_LOG10:
        return checked(log10(a), "log10(", a, "", 0, ")", out, err);
    default:
        QV_TRY(eval(&x->args[1], row, &b, err));
        return checked(pow(a, b), "", a, "^", b, "", out, err);
    }
}

/* 1 at the target; never below 0. */
static qv_status eval_decay(const struct qv__expr *x, const struct qv__formula_row *row,
                            double *out, struct qv_err *err)
{
    double at, target = 0.0;
    QV_TRY(eval(&x->args[0], row, &at, err));
    if (x->n_args > 1) {
        QV_TRY(eval(&x->args[1], row, &target, err));
    }
    double d = fabs(at - target);
    *out = x->kind == QV__EXPR_LIN_DECAY   ? fmax(1.0 - x->value * d, 0.0)
           : x->kind == QV__EXPR_EXP_DECAY ? exp(x->value * d)
                                           : exp(x->value * d * d);
    return QV_OK;
}

static qv_status eval(const struct qv__expr *x, const struct qv__formula_row *row, double *out,
                      struct qv_err *err)
{
    struct qv__geo_point point = {0, 0};
    switch (x->kind) {
    case QV__EXPR_CONSTANT:
        *out = x->value;
        return QV_OK;
    case QV__EXPR_SCORE:
        *out = x->score < row->n_scores && !isnan(row->scores[x->score])
                   ? (double)row->scores[x->score]
                   : x->value;
        return QV_OK;
    case QV__EXPR_PAYLOAD:
        return payload_value(x, row, &as_number, out, &point, err);
    case QV__EXPR_CONDITION:
        *out = row->matches(row, x->condition) ? 1.0 : 0.0;
        return QV_OK;
    case QV__EXPR_GEO_DISTANCE:
        QV_TRY(payload_value(x, row, &as_point, out, &point, err));
        *out = qv__geo_distance_m(x->origin, point);
        return QV_OK;
    case QV__EXPR_DATETIME_KEY:
        return payload_value(x, row, &as_instant, out, &point, err);
    case QV__EXPR_SUM:
    case QV__EXPR_MULT:
        return eval_list(x, row, out, err);
    case QV__EXPR_DIV:
        return eval_div(x, row, out, err);
    case QV__EXPR_LIN_DECAY:
    case QV__EXPR_EXP_DECAY:
    case QV__EXPR_GAUSS_DECAY:
        return eval_decay(x, row, out, err);
    default:
        return eval_one(x, row, out, err);
    }
}

qv_status qv__formula_eval(const struct qv__formula *f, const struct qv__formula_row *row,
                           float *out, struct qv_err *err)
{
    double v = 0;
    char text[32];
    QV_TRY(eval(f->root, row, &v, err));
    *out = (float)v;
    return isfinite(*out) ? QV_OK
                          : qv__fail(err, QV_EINVAL,
                                     "The expression %s as f32 = %s produced a non-finite number",
                                     number_text(v, text),
                                     isnan(*out) ? "NaN"
                                     : *out > 0  ? "inf"
                                                 : "-inf");
}
