/* formula_parse.c: JSON to the nodes of a formula.
 *
 * An object is the expression whose name it has as a member, and a filter condition when it has
 * none. Nodes are counted before memory is taken for them. */
#include "payload/filter_parse.h"
#include "payload/formula_impl.h"

#include <math.h>

struct parse {
    struct qv__fp fp; /* arena, error, and what conditions are counted against */
    qv__json defaults;
    double *score_defaults; /* [QV__FORMULA_NODES_MAX], by stage; NULL = none */
    uint32_t nodes, n_scores;
};

static qv_status parse_expr(struct parse *p, const struct qv__fp_at *at, qv__json v,
                            struct qv__expr *out);

static qv_status take(struct parse *p, const struct qv__fp_at *at, size_t n, struct qv__expr **out)
{
    if (n > QV__FORMULA_NODES_MAX - p->nodes) {
        return qv__fp_fail(&p->fp, at, QV_ETOOBIG, "more than %u expressions in one formula",
                           QV__FORMULA_NODES_MAX);
    }
    p->nodes += (uint32_t)n;
    *out = qv__arena_calloc(p->fp.arena, n + 1, sizeof **out);
    return *out ? QV_OK : qv__fp_no_memory(&p->fp);
}

/* --- variables
 * ------------------------------------------------------------------------------------------ */

struct variable {
    bool is_score;
    uint32_t score;
    struct qv__path path;
};

/* "$score", "$score[2]", or a payload path. */
static qv_status parse_variable(struct parse *p, const struct qv__fp_at *at, struct qv__str text,
                                struct variable *out)
{
    struct qv_err why = {.code = QV_OK};
    bool reserved = text.n && text.p[0] == '$';
    struct qv__str path = {text.p + reserved, text.n - reserved};
    bool ok = qv__path_parse(path, &out->path, &why) == QV_OK;
    const struct qv__path_step *step = out->path.step;
    out->is_score = reserved;
    out->score = ok && out->path.n == 2 ? step[1].index : 0;
    if (ok && reserved) {
        ok = qv__str_eq(step[0].key, QV__STR("score")) &&
             (out->path.n == 1 || (out->path.n == 2 && step[1].kind == QV__STEP_INDEX));
    }
    return ok ? QV_OK
              : qv__fp_fail(&p->fp, at, QV_EVALIDATION,
                            "failed to parse variable ID %.*s: Invalid %s variable: %.*s",
                            (int)QV_MIN(text.n, (size_t)64), text.p,
                            reserved ? "reserved" : "payload", (int)QV_MIN(text.n, (size_t)64),
                            text.p);
}

/* A payload variable with its default. */
static qv_status set_path(struct parse *p, const struct qv__fp_at *at, qv__json v,
                          enum qv__expr_kind kind, struct qv__expr *out)
{
    struct variable var;
    out->kind = kind;
    if (!qv__json_str(v, &out->key)) {
        return qv__fp_expected(&p->fp, at, "a payload path (a string)", v);
    }
    QV_TRY(parse_variable(p, at, out->key, &var));
    if (var.is_score) {
        return qv__fp_fail(&p->fp, at, QV_EVALIDATION, "%.*s: expected a payload path",
                           (int)QV_MIN(out->key.n, (size_t)64), out->key.p);
    }
    struct qv__path *path = qv__arena_alloc(p->fp.arena, sizeof *path);
    if (!path) {
        return qv__fp_no_memory(&p->fp);
    }
    *path = var.path;
    out->path = path;
    out->fallback = qv__json_get_n(p->defaults, out->key.p, out->key.n);
    return QV_OK;
}

/* Defaults of scores by stage, read once: "$score" is "$score[0]". What is no number counts as
 * none, and every name must be one of a variable. */
static qv_status parse_defaults(struct parse *p, qv__json defaults)
{
    struct qv__fp_at at = {.key = "defaults"};
    if (!qv__json_is(defaults, QV__JSON_OBJ)) {
        return qv__fp_expected(&p->fp, &at, "an object", defaults);
    }
    if (defaults->len > QV__FORMULA_DEFAULTS_MAX) {
        return qv__fp_fail(&p->fp, &at, QV_ETOOBIG,
                           "%" PRIu32 " defaults, at most %u in one formula", defaults->len,
                           QV__FORMULA_DEFAULTS_MAX);
    }
    p->defaults = defaults;
    qv__json key = qv__json_first(defaults);
    for (uint32_t i = 0; i < defaults->len; i++, key = qv__json_next(key + 1)) {
        struct variable var;
        struct qv__str text = {key->s, key->len};
        QV_TRY(parse_variable(p, &at, text, &var));
        if (!var.is_score || var.score >= QV__FORMULA_NODES_MAX) {
            continue; /* the latter cannot be asked for */
        }
        if (!p->score_defaults) {
            p->score_defaults =
                qv__arena_calloc(p->fp.arena, QV__FORMULA_NODES_MAX, sizeof *p->score_defaults);
            if (!p->score_defaults) {
                return qv__fp_no_memory(&p->fp);
            }
        }
        (void)qv__json_f64(key + 1, &p->score_defaults[var.score]);
    }
    return QV_OK;
}

static qv_status parse_name(struct parse *p, const struct qv__fp_at *at, qv__json v,
                            struct qv__expr *out)
{
    struct variable var;
    struct qv__str text = {v->s, v->len};
    QV_TRY(parse_variable(p, at, text, &var));
    if (!var.is_score) {
        return set_path(p, at, v, QV__EXPR_PAYLOAD, out);
    }
    if (var.score >= QV__FORMULA_NODES_MAX) {
        return qv__fp_fail(&p->fp, at, QV_EVALIDATION, "%.*s: there is no such prefetch",
                           (int)QV_MIN(text.n, (size_t)64), text.p);
    }
    out->kind = QV__EXPR_SCORE;
    out->score = var.score;
    p->n_scores = QV_MAX(p->n_scores, var.score + 1);
    out->value = p->score_defaults ? p->score_defaults[var.score] : 0;
    return QV_OK;
}

/* --- operations: v is the value of the member that names them
 * -------------------------------------------- */

static qv_status parse_list(struct parse *p, const struct qv__fp_at *at, qv__json v,
                            struct qv__expr *out)
{
    struct qv__expr *args = NULL;
    if (!qv__json_is(v, QV__JSON_ARR)) {
        return qv__fp_expected(&p->fp, at, "an array of expressions", v);
    }
    QV_TRY(take(p, at, v->len, &args));
    qv__json e = qv__json_first(v);
    for (uint32_t i = 0; i < v->len; i++, e = qv__json_next(e)) {
        struct qv__fp_at here = {.up = at, .index = i};
        QV_TRY(parse_expr(p, &here, e, &args[i]));
    }
    out->args = args;
    out->n_args = v->len;
    return QV_OK;
}

static qv_status parse_one(struct parse *p, const struct qv__fp_at *at, qv__json v,
                           struct qv__expr *out)
{
    struct qv__expr *args = NULL;
    QV_TRY(take(p, at, 1, &args));
    out->args = args;
    out->n_args = 1;
    return parse_expr(p, at, v, args);
}

static qv_status parse_member(struct parse *p, const struct qv__fp_at *at, qv__json obj,
                              const char *name, struct qv__expr *out)
{
    struct qv__fp_at here = {.up = at, .key = name};
    return parse_expr(p, &here, qv__json_get(obj, name), out);
}

/* A number as the peer holds it. */
static qv_status number(struct parse *p, const struct qv__fp_at *at, qv__json obj, const char *name,
                        bool *given, double *out)
{
    qv__json v = qv__json_get(obj, name);
    struct qv__fp_at here = {.up = at, .key = name};
    double d = 0;
    *given = qv__fp_given(v);
    if (*given && (!qv__json_f64(v, &d) || !isfinite((float)d))) {
        return qv__fp_expected(&p->fp, &here, "a number that a 32-bit float can hold", v);
    }
    if (*given) {
        *out = (double)(float)d;
    }
    return QV_OK;
}

static qv_status object(struct parse *p, const struct qv__fp_at *at, qv__json v)
{
    return qv__json_is(v, QV__JSON_OBJ) ? QV_OK : qv__fp_expected(&p->fp, at, "an object", v);
}

static qv_status parse_two(struct parse *p, const struct qv__fp_at *at, qv__json v,
                           const char *first, const char *second, struct qv__expr *out)
{
    struct qv__expr *args = NULL;
    QV_TRY(object(p, at, v));
    QV_TRY(take(p, at, 2, &args));
    QV_TRY(parse_member(p, at, v, first, &args[0]));
    out->args = args;
    out->n_args = 2;
    return parse_member(p, at, v, second, &args[1]);
}

static qv_status parse_div(struct parse *p, const struct qv__fp_at *at, qv__json v,
                           struct qv__expr *out)
{
    QV_TRY(parse_two(p, at, v, "left", "right", out));
    return number(p, at, v, "by_zero_default", &out->has_value, &out->value);
}

static qv_status parse_pow(struct parse *p, const struct qv__fp_at *at, qv__json v,
                           struct qv__expr *out)
{
    return parse_two(p, at, v, "base", "exponent", out);
}

static qv_status parse_geo(struct parse *p, const struct qv__fp_at *at, qv__json v,
                           struct qv__expr *out)
{
    qv__json origin = qv__json_get(v, "origin");
    struct qv__fp_at place = {.up = at, .key = "origin"}, to = {.up = at, .key = "to"};
    QV_TRY(object(p, at, v));
    if (!qv__json_f64(qv__json_get(origin, "lon"), &out->origin.lon) ||
        !qv__json_f64(qv__json_get(origin, "lat"), &out->origin.lat) ||
        !qv__geo_valid(out->origin)) {
        return qv__fp_expected(&p->fp, &place, "a point with \"lon\" and \"lat\" on the globe",
                               origin);
    }
    return set_path(p, &to, qv__json_get(v, "to"), QV__EXPR_GEO_DISTANCE, out);
}

/* Only the kind is to change: an instant is a constant. */
static qv_status parse_datetime(struct parse *p, const struct qv__fp_at *at, qv__json v,
                                struct qv__expr *out)
{
    struct qv__str text;
    int64_t us;
    if (!qv__json_str(v, &text)) {
        return qv__fp_expected(&p->fp, at, "a date-time (a string)", v);
    }
    if (!qv__datetime_parse(text, &us)) {
        return qv__fp_fail(&p->fp, at, QV_EVALIDATION, "failed to parse date-time %.*s",
                           (int)QV_MIN(text.n, (size_t)64), text.p);
    }
    out->kind = QV__EXPR_CONSTANT;
    out->value = (double)us / 1e6;
    return QV_OK;
}

static qv_status parse_datetime_key(struct parse *p, const struct qv__fp_at *at, qv__json v,
                                    struct qv__expr *out)
{
    return set_path(p, at, v, QV__EXPR_DATETIME_KEY, out);
}

/* midpoint: what the function is at a distance of `scale`. */
static qv_status decay_lambda(struct parse *p, const struct qv__fp_at *at, double midpoint,
                              double scale, struct qv__expr *out)
{
    bool linear = out->kind == QV__EXPR_LIN_DECAY;
    if (linear ? !(midpoint >= 0 && midpoint <= 1) : !(midpoint > 0 && midpoint < 1)) {
        return qv__fp_fail(&p->fp, at, QV_EVALIDATION,
                           linear ? "Linear decay midpoint should be in the range [0.0, 1.0], got "
                                    "%g."
                                  : "Decay midpoint should be in the range (0.0, 1.0), got %g.",
                           midpoint);
    }
    if (!(scale > 0)) {
        return qv__fp_fail(&p->fp, at, QV_EVALIDATION,
                           "Decay scale should be non-zero positive, got %g.", scale);
    }
    out->value = linear                            ? (1.0 - midpoint) / scale
                 : out->kind == QV__EXPR_EXP_DECAY ? log(midpoint) / scale
                                                   : log(midpoint) / (scale * scale);
    return QV_OK;
}

static qv_status parse_decay(struct parse *p, const struct qv__fp_at *at, qv__json v,
                             struct qv__expr *out)
{
    double midpoint = 0.5, scale = 1.0;
    bool given;
    struct qv__expr *args = NULL;
    QV_TRY(object(p, at, v));
    QV_TRY(number(p, at, v, "midpoint", &given, &midpoint));
    QV_TRY(number(p, at, v, "scale", &given, &scale));
    QV_TRY(decay_lambda(p, at, midpoint, scale, out));
    QV_TRY(take(p, at, 2, &args));
    QV_TRY(parse_member(p, at, v, "x", &args[0]));
    out->args = args;
    out->n_args = 1;
    if (qv__fp_given(qv__json_get(v, "target"))) {
        out->n_args = 2;
        return parse_member(p, at, v, "target", &args[1]);
    }
    return QV_OK;
}

/* --- expressions
 * ---------------------------------------------------------------------------------------- */

static const struct operation {
    const char *name;
    enum qv__expr_kind kind;
    qv_status (*parse)(struct parse *p, const struct qv__fp_at *at, qv__json v,
                       struct qv__expr *out);
} operations[] = {
    {"sum", QV__EXPR_SUM, parse_list},
    {"mult", QV__EXPR_MULT, parse_list},
    {"div", QV__EXPR_DIV, parse_div},
    {"neg", QV__EXPR_NEG, parse_one},
    {"abs", QV__EXPR_ABS, parse_one},
    {"sqrt", QV__EXPR_SQRT, parse_one},
    {"pow", QV__EXPR_POW, parse_pow},
    {"exp", QV__EXPR_EXP, parse_one},
    {"ln", QV__EXPR_LN, parse_one},
    {"log10", QV__EXPR_LOG10, parse_one},
    {"geo_distance", QV__EXPR_GEO_DISTANCE, parse_geo},
    {"datetime", QV__EXPR_CONSTANT, parse_datetime},
    {"datetime_key", QV__EXPR_DATETIME_KEY, parse_datetime_key},
    {"lin_decay", QV__EXPR_LIN_DECAY, parse_decay},
    {"exp_decay", QV__EXPR_EXP_DECAY, parse_decay},
    {"gauss_decay", QV__EXPR_GAUSS_DECAY, parse_decay},
};

static qv_status parse_object(struct parse *p, const struct qv__fp_at *at, qv__json v,
                              struct qv__expr *out)
{
    for (size_t i = 0; i < QV_ARRAY_LEN(operations); i++) {
        qv__json arg = qv__json_get(v, operations[i].name);
        if (arg) {
            struct qv__fp_at here = {.up = at, .key = operations[i].name};
            out->kind = operations[i].kind;
            return operations[i].parse(p, &here, arg, out);
        }
    }
    out->kind = QV__EXPR_CONDITION;
    return qv__fp_condition(&p->fp, at, v, &out->condition);
}

static qv_status parse_expr(struct parse *p, const struct qv__fp_at *at, qv__json v,
                            struct qv__expr *out)
{
    double d = 0;
    if (qv__json_is(v, QV__JSON_STR)) {
        return parse_name(p, at, v, out);
    }
    if (qv__json_is(v, QV__JSON_OBJ)) {
        return parse_object(p, at, v, out);
    }
    if (!qv__json_f64(v, &d) || !isfinite((float)d)) {
        return qv__fp_expected(&p->fp, at, "an expression (a number, a variable or an object)", v);
    }
    out->kind = QV__EXPR_CONSTANT;
    out->value = (double)(float)d;
    return QV_OK;
}

qv_status qv__formula_parse(struct qv__arena *arena, qv__json formula, qv__json defaults,
                            const struct qv__formula **out, struct qv_err *err)
{
    struct parse p = {.fp = {.arena = arena, .err = err}};
    struct qv__fp_at at = {.key = "formula"};
    struct qv__expr *root = NULL;
    struct qv__formula *f = qv__arena_zalloc(arena, sizeof *f);
    if (!f) {
        return qv__fp_no_memory(&p.fp);
    }
    if (qv__fp_given(defaults)) {
        QV_TRY(parse_defaults(&p, defaults));
    }
    QV_TRY(take(&p, &at, 1, &root));
    QV_TRY(parse_expr(&p, &at, formula, root));
    f->root = root;
    f->n_scores = p.n_scores;
    *out = f;
    return QV_OK;
}
