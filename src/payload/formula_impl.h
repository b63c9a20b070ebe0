/* formula_impl.h: the nodes of a formula; shared by formula_parse.c and formula_eval.c only. */
#ifndef QV_PAYLOAD_FORMULA_IMPL_H
#define QV_PAYLOAD_FORMULA_IMPL_H

#include "payload/formula.h"

enum qv__expr_kind {
    QV__EXPR_CONSTANT, /* value */
    QV__EXPR_SCORE,    /* of stage `score`; missing: value, 0 unless a default says otherwise */
    QV__EXPR_PAYLOAD,  /* a number at `path` */
    QV__EXPR_CONDITION,
    QV__EXPR_GEO_DISTANCE, /* metres from `origin` to the point at `path` */
    QV__EXPR_DATETIME_KEY, /* seconds since the epoch of the instant at `path` */
    QV__EXPR_SUM,
    QV__EXPR_MULT,
    QV__EXPR_DIV, /* has_value: of a division by zero */
    QV__EXPR_NEG,
    QV__EXPR_ABS,
    QV__EXPR_SQRT,
    QV__EXPR_POW,
    QV__EXPR_EXP,
    QV__EXPR_LN,
    QV__EXPR_LOG10,
    QV__EXPR_LIN_DECAY, /* of args[0], from args[1] (0 without it) on; value: its lambda */
    QV__EXPR_EXP_DECAY,
    QV__EXPR_GAUSS_DECAY
};

struct qv__expr {
    enum qv__expr_kind kind;
    bool has_value;
    double value;
    const struct qv__expr *args;
    uint32_t n_args;
    uint32_t score;
    struct qv__str key; /* of path, for messages */
    const struct qv__path *path;
    qv__json fallback; /* the default of `path`; NULL = none */
    struct qv__geo_point origin;
    const struct qv__filter *condition;
};

/* Longitude and latitude from JSON or payload are the same kind of thing. */
static inline bool qv__geo_valid(struct qv__geo_point p)
{
    return p.lon >= -180 && p.lon <= 180 && p.lat >= -90 && p.lat <= 90;
}

#endif
