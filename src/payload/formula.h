/* formula.h: arithmetic over the scores and the payload of a point, for rescoring.
 *
 * What it is: an expression tree, parsed from the primary dialect's JSON and evaluated per point:
 * constants, scores of prefetch stages, payload values with defaults, filter conditions as 0 or 1,
 * distances on the globe, instants, arithmetic, and functions that decay with a distance from a
 * target. What it is not: a query; whoever evaluates it brings scores and rows.
 *
 * Arithmetic is that of doubles; only the result is a float. What is not a finite number where
 * somebody divides, takes a root, a power or a logarithm is an error, and so is a payload value of
 * another type than asked for. Threads: a parsed formula is immutable; evaluation is pure. */
#ifndef QV_PAYLOAD_FORMULA_H
#define QV_PAYLOAD_FORMULA_H

#include "payload/filter.h"

#define QV__FORMULA_NODES_MAX    4096u
#define QV__FORMULA_DEFAULTS_MAX 4096u

struct qv__expr;
struct qv__formula {
    const struct qv__expr *root;
    uint32_t n_scores; /* prefetch stages it reads: those below this number */
};

/* Both borrowed for the formula's life, which is the arena's; `defaults` may be NULL: an object by
 * variable. Recursion is bounded by the nesting of the JSON. Errors, naming the place:
 * QV_EINVAL for what has not the form of an expression; QV_EVALIDATION for well-formed nonsense (a
 * variable that cannot be, a decay's parameters); QV_ETOOBIG; QV_ENOMEM. */
qv_status qv__formula_parse(struct qv__arena *arena, qv__json formula, qv__json defaults,
                            const struct qv__formula **out, struct qv_err *err) QV_MUST_USE;

/* What a point offers to evaluation. */
struct qv__formula_row {
    struct qv__bytes payload;
    const float *scores; /* by prefetch stage; NaN = not found there */
    uint32_t n_scores;   /* of `scores`: no stage beyond found it */
    bool (*matches)(const struct qv__formula_row *row, const struct qv__filter *f);
    /* Whether an index holds the values of the path: null is none of them then. NULL: never. */
    bool (*indexed)(const struct qv__formula_row *row, struct qv__str key);
    const void *ctx; /* of both */
    struct qv__steps *steps; /* what evaluation may take; NULL = as much as it takes */
};
/* QV_EINVAL: not a finite number, or a value that is missing or of another type. The steps' status
 * where these have ended; it may be another error too, which then means nothing. */
qv_status qv__formula_eval(const struct qv__formula *f, const struct qv__formula_row *row,
                           float *out, struct qv_err *err) QV_MUST_USE;

#endif
