/* filter.h: the filter tree: parsed from JSON or built by a caller, checked, evaluated exactly.
 *
 * What it is: must / should / must_not / min_should clauses over conditions on payload paths, ids and
 * vectors. The JSON form is the primary dialect's; unknown keys in it are refused by name.
 * What it is not: a plan. Cardinalities and index use are the planner's; this file answers only
 * "does this row match".
 * Threads: a parsed filter is immutable; evaluation is pure. Lifetime: everything hangs in the arena. */
#ifndef QV_PAYLOAD_FILTER_H
#define QV_PAYLOAD_FILTER_H

#include "base/id.h"
#include "base/qctx.h"
#include "payload/value.h"

enum qv__cond_kind {
    QV__COND_MATCH_ANY,     /* value equals one of the set (match.value is a set of one) */
    QV__COND_MATCH_EXCEPT,  /* some value at the path is not in the set */
    QV__COND_RANGE,         /* numbers: lt, lte, gt, gte */
    QV__COND_DATETIME_RANGE,/* RFC 3339 strings compared as instants (microseconds since the epoch) */
    QV__COND_MATCH_TEXT,    /* full text on an unindexed field: substring test, as the primary peer does without an index */
    QV__COND_VALUES_COUNT,
    QV__COND_IS_EMPTY,      /* missing, null or [] */
    QV__COND_IS_NULL,
    QV__COND_HAS_ID,
    QV__COND_HAS_VECTOR,
    QV__COND_NESTED,        /* some element of the array at the path matches the sub-filter */
    QV__COND_FILTER,        /* a sub-filter */
    QV__COND_GEO_BOX,
    QV__COND_GEO_RADIUS,
    QV__COND_GEO_POLYGON
};

/* A scalar to match: kinds as in JSON; integers match integers only, bools bools, strings strings. */
struct qv__match_value {
    enum { QV__MATCH_INT, QV__MATCH_BOOL, QV__MATCH_STR } kind;
    union {
        int64_t i;
        bool b;
        struct qv__str s;
    };
};

struct qv__geo_point {
    double lon, lat;
};
struct qv__geo_ring {
    const struct qv__geo_point *points;
    size_t n;
};

struct qv__filter;

struct qv__cond {
    enum qv__cond_kind kind;
    struct qv__str key;         /* the path's text, for messages and plans */
    struct qv__path path;       /* conditions on payload */
    union {
        struct {                /* MATCH_ANY, MATCH_EXCEPT: sorted by (kind, value) for binary search */
            const struct qv__match_value *values;
            size_t n;
        } match;
        struct {                /* RANGE */
            double lt, lte, gt, gte;
            bool has_lt, has_lte, has_gt, has_gte;
        } range;
        struct {                /* DATETIME_RANGE, VALUES_COUNT */
            int64_t lt, lte, gt, gte;
            bool has_lt, has_lte, has_gt, has_gte;
        } irange;
        struct qv__str text;    /* MATCH_TEXT */
        struct {                /* HAS_ID: sorted */
            const struct qv__id *ids;
            size_t n;
        } has_id;
        struct qv__str vector;  /* HAS_VECTOR: name, "" = the default one */
        const struct qv__filter *filter; /* NESTED, FILTER */
        struct {
            struct qv__geo_point top_left, bottom_right;
        } box;
        struct {
            struct qv__geo_point center;
            double radius_m;
        } radius;
        struct {
            struct qv__geo_ring exterior;
            const struct qv__geo_ring *interiors;
            size_t n_interiors;
        } polygon;
    };
};

struct qv__clause {
    const struct qv__cond *conds;
    size_t n;
};

/* Matches when all of must, none of must_not, at least one of should (when should is present and not empty), and at least
 * min_count of min_should (when has_min_should) match. An empty filter matches everything. */
struct qv__filter {
    struct qv__clause must, should, must_not, min_should;
    uint64_t min_count;
    bool has_min_should;
};

#define QV__FILTER_DEPTH_MAX 20u
#define QV__FILTER_CONDS_MAX 65536u /* nodes in one request */
#define QV__FILTER_VALUES_MAX 1000000u

/* JSON null or an object. *out NULL for null. Accepts a clause as object or array. Errors: QV_EINVAL
 * naming the path in the document ("filter.must[0].range.gt: …"), QV_ETOOBIG. Kinds that need what
 * is not built yet (match.phrase, match.prefix, slice) give QV_EUNSUPPORTED and say so. */
qv_status qv__filter_parse(struct qv__arena *arena, qv__json v, const struct qv__filter **out,
                           struct qv_err *err) QV_MUST_USE;

/* What a row offers to evaluation. */
struct qv__filter_row {
    const struct qv__id *id;
    struct qv__bytes payload;
    /* True if the point holds that vector; never called when no HAS_VECTOR occurs. */
    bool (*has_vector)(const struct qv__filter_row *row, struct qv__str name);
    const void *has_vector_ctx;
};
/* filter NULL matches all. */
bool qv__filter_match(const struct qv__filter *f, const struct qv__filter_row *row);
/* True if evaluation reads the payload at all (else ids and vectors suffice). */
bool qv__filter_needs_payload(const struct qv__filter *f);
/* If the filter can only match a listed set of ids (a must has_id at the root): that set, else NULL. */
const struct qv__cond *qv__filter_id_set(const struct qv__filter *f);

/* RFC 3339 and its shorter forms (date, date time with space, no zone = UTC) -> microseconds since the epoch. */
bool qv__datetime_parse(struct qv__str text, int64_t *us);

#endif
