/* filter_shape.h: what a filter or a formula asks of payload, without asking it of any row.
 *
 * What it is: how many conditions a filter has, how long the longest list in it is, and which
 * fields it and a formula look at, in which way. What it is not: an estimate of what matches.
 * Threads: pure. Recursion is bounded by the depth of filters and formulas. */
#ifndef QV_PAYLOAD_FILTER_SHAPE_H
#define QV_PAYLOAD_FILTER_SHAPE_H

#include "payload/formula.h"

/* Conditions, those of sub-filters in their place. NULL = 0. */
size_t qv__filter_conditions(const struct qv__filter *f);
/* The longest list of values or ids in one condition; a single value counts as none. */
size_t qv__filter_longest(const struct qv__filter *f);

/* In which way a field is looked at; the names of payload indexes that serve it. */
enum qv__field_use {
    QV__USE_BOOL = 1u << 0,
    QV__USE_DATETIME = 1u << 1,
    QV__USE_FLOAT_RANGE = 1u << 2,
    QV__USE_GEO = 1u << 3,
    QV__USE_INT_MATCH = 1u << 4,
    QV__USE_INT_RANGE = 1u << 5,
    QV__USE_KEYWORD = 1u << 6,
    QV__USE_PREFIX = 1u << 7,
    QV__USE_TEXT = 1u << 8,
    QV__USE_PHRASE = 1u << 9,
    QV__USE_UUID = 1u << 10,
    QV__USE_ANY = (1u << 11) - 1
};
/* `path` is the whole one, through nested conditions; `uses`: any one of these serves. False ends
 * the walk. */
typedef bool (*qv__field_visit)(void *arg, const struct qv__path *path, uint32_t uses);
/* Conditions that no index of a type can serve (ids, vectors) and those without values are passed
 * over. False when the visitor ended it. NULL: true. */
bool qv__filter_fields(const struct qv__filter *f, qv__field_visit visit, void *arg);
bool qv__formula_fields(const struct qv__formula *f, qv__field_visit visit, void *arg);

#endif
