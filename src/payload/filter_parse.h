/* filter_parse.h: what the files that parse filters share; inside this folder only.
 *
 * What it is: the state of one parse, the place in the document for messages, and the reading of
 * objects with known members. What it is not: an interface; filter.h is. */
#ifndef QV_PAYLOAD_FILTER_PARSE_H
#define QV_PAYLOAD_FILTER_PARSE_H

#include "payload/filter.h"

/* One parse. */
struct qv__fp {
    struct qv__arena *arena;
    struct qv_err *err;
    uint32_t conds;  /* so far, against QV__FILTER_CONDS_MAX */
    uint32_t values; /* so far, against QV__FILTER_VALUES_MAX */
};

/* A place in the document: a chain on the stack, from the innermost outwards. */
struct qv__fp_at {
    const struct qv__fp_at *up;
    const char *key; /* NULL: an index */
    size_t index;
};

/* User text for a message: quoted, cut to what a message bears. */
struct qv__fp_quote {
    char z[84];
};
struct qv__fp_quote qv__fp_quote(struct qv__str s);

/* "place: message" into the error; returns `code`. */
qv_status qv__fp_fail(struct qv__fp *fp, const struct qv__fp_at *at, qv_status code,
                      const char *fmt, ...) QV_PRINTF(4, 5);
/* "place: expected WHAT, not a number". v NULL reads as "missing". */
qv_status qv__fp_expected(struct qv__fp *fp, const struct qv__fp_at *at, const char *what,
                          qv__json v);
qv_status qv__fp_no_memory(struct qv__fp *fp);

/* Sort an object's members into slots by name; slots[i] is NULL when names[i] is absent. A name
 * that is not in the list is refused. */
qv_status qv__fp_members(struct qv__fp *fp, const struct qv__fp_at *at, qv__json obj,
                         const char *const *names, size_t n, qv__json *slots) QV_MUST_USE;
/* Count n values (of a list) against the limit, before memory is taken for them. */
qv_status qv__fp_take_values(struct qv__fp *fp, const struct qv__fp_at *at, size_t n) QV_MUST_USE;
/* A string, copied into the arena. */
qv_status qv__fp_text(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                      struct qv__str *out) QV_MUST_USE;
/* A path, copied and parsed: cond->key and cond->path. */
qv_status qv__fp_path(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                      struct qv__cond *cond) QV_MUST_USE;
/* Sort n elements and drop repeats; returns how many stay, or SIZE_MAX when memory is out. */
size_t qv__fp_sort_unique(struct qv__fp *fp, void *base, size_t n, size_t size,
                          int (*cmp)(const void *a, const void *b));

static inline bool qv__fp_given(qv__json v)
{
    return v && v->kind != QV__JSON_NULL;
}

/* The kinds of a field condition: `v` is the member's value, `at` its place. */
qv_status qv__fp_match(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                       struct qv__cond *cond) QV_MUST_USE;
qv_status qv__fp_range(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                       struct qv__cond *cond) QV_MUST_USE;
qv_status qv__fp_values_count(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                              struct qv__cond *cond) QV_MUST_USE;
/* filter_parse_geo.c */
qv_status qv__fp_geo_box(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                         struct qv__cond *cond) QV_MUST_USE;
qv_status qv__fp_geo_radius(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                            struct qv__cond *cond) QV_MUST_USE;
qv_status qv__fp_geo_polygon(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                             struct qv__cond *cond) QV_MUST_USE;

/* A condition as a filter of its own, where a formula has one. */
qv_status qv__fp_condition(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                           const struct qv__filter **out) QV_MUST_USE;

/* Order of match values: by kind, then by value. */
int qv__match_value_cmp(const void *a, const void *b);

#endif
