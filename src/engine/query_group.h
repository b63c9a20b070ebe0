/* query_group.h: results in groups by a payload value, and matrices of distances within a sample.
 *
 * What it is: two more shapes in which a query tree, or a sample, is answered. What it is not:
 * other kinds of query. All pointers of requests are borrowed for the call; release answers with
 * qv__result_free of their `points`. */
#ifndef QV_ENGINE_QUERY_GROUP_H
#define QV_ENGINE_QUERY_GROUP_H

#include "engine/query.h"

struct qv__collection;

/* A point belongs to the group of each value at `path` (of an array: of each element): strings and
 * integers. A point with a value of another type there belongs to none. */
struct qv__group_by {
    struct qv__str key; /* the path's text */
    struct qv__path path;
    uint64_t size;   /* points of a group at most, >= 1 */
    uint64_t groups; /* groups at most, >= 1; size * groups <= QV__LIMIT_MAX */
};

struct qv__group {
    struct qv__value value; /* I64, U64 or STR, in the result's memory */
    size_t first, n;        /* of the result's points, best first */
};
struct qv__group_set {
    struct qv__result_set points; /* one after another by group; a point of two groups twice */
    struct qv__group *groups;     /* in the order of their best points */
    size_t n;
};

/* The best groups of a query, whose own limit and offset do not count. Limits of prefetch stages
 * are taken times the size of a group, and more where that does not fill the groups. */
qv_status qv__collection_query_groups(struct qv__collection *c, const struct qv__query *q,
                                      const struct qv__group_by *by, const struct qv__fetch *f,
                                      struct qv__qctx *ctx, struct qv__group_set *out,
                                      struct qv_err *err) QV_MUST_USE;

#define QV__MATRIX_SAMPLE_MAX 10000u
struct qv__matrix_request {
    struct qv__str using_vector;
    const struct qv__filter *filter;
    uint64_t sample; /* points drawn, 2..QV__MATRIX_SAMPLE_MAX */
    uint64_t limit;  /* nearest ones of each, >= 1; sample * limit <= QV__LIMIT_MAX */
};
struct qv__matrix_hit {
    uint32_t row, col; /* of the sample */
    float score;
};
struct qv__matrix {
    struct qv__result_set points; /* the sample in id order; empty when fewer than two were there */
    struct qv__matrix_hit *hits;  /* by row, nearest first; in the result's memory */
    size_t n;
};
qv_status qv__collection_matrix(struct qv__collection *c, const struct qv__matrix_request *m,
                                struct qv__qctx *ctx, struct qv__matrix *out,
                                struct qv_err *err) QV_MUST_USE;

#endif
