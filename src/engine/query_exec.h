/* query_exec.h: what the files that plan and execute queries share; inside this folder only.
 *
 * What it is: one query under way over one read view, its plan (stages with everything resolved:
 * columns, vectors, filters, how many are wanted), and the ranked lists that stages hand each
 * other. What it is not: seen by dialects; they see query.h.
 *
 * A point is named by its key, which segment of the view's flat list and which row: within one view
 * an id has one visible row, so keys are as good as ids and cheaper. All memory is the result's
 * arena. Threads: one query is one thread's. */
#ifndef QV_ENGINE_QUERY_EXEC_H
#define QV_ENGINE_QUERY_EXEC_H

#include "engine/read.h"
#include "engine/segment_cache.h"
#include "engine/segment_tenants.h"
#include "engine/vector.h"

#define QV__KEY(segment, row) (((uint64_t)(segment) << 32) | (row))
#define QV__KEY_SEGMENT(key)  ((size_t)((key) >> 32))
#define QV__KEY_ROW(key)      ((uint32_t)(key))

struct qv__ranked {
    uint64_t key;
    float score;
};
/* Best first, no key twice (but in the list of a root that orders by each value). */
struct qv__ranking {
    struct qv__ranked *items;
    size_t n;
    const int64_t *order_keys; /* ORDER_BY: the values, as of payload/field.h; else NULL */
};

struct qv__run {
    struct qv__collection *c;
    struct qv__qctx *ctx;
    struct qv__result_set *rs;
    const struct qv__segment **segments; /* of all shards */
    size_t n_segments;
    uint64_t rows;          /* of all segments: no list is longer */
    struct qv__id *exclude; /* examples of the whole tree that live here, sorted */
    size_t n_exclude;
};

/* One stage, ready to run. */
struct qv__stage {
    const struct qv__query *q;
    uint64_t take; /* how many are handed on: limit, at the root and offset */
    /* kinds that compare vectors */
    uint32_t column;
    const struct qv__vector_def *def;
    const void *target;    /* in the column's datatype, as are the examples */
    const void **positive; /* [q->n_positive] */
    const void **negative;
    float *weights;         /* FEEDBACK: of each positive */
    struct qv__order order; /* ORDER_BY, with the type of the index */
    /* leaves: what is taken from the collection; NULL = everything */
    const struct qv__filter *filter;
    /* the filter but for the exclusion of examples: a walk may rather drop these from its hits */
    const struct qv__filter *own_filter;
    struct qv__stage *prefetch;
    size_t n_prefetch;
};

/* --- query_plan.c --- */

/* Open a view into `rs` and list its segments. On an error *rs may be freed. */
qv_status qv__run_open(struct qv__run *r, struct qv_err *err) QV_MUST_USE;
/* Check the tree and resolve it. Errors name the field: QV_EVALIDATION for limits, QV_EINVAL,
 * QV_ENOTFOUND for examples, QV_EUNSUPPORTED for kinds that are not executed. */
qv_status qv__plan(struct qv__run *r, const struct qv__query *q, struct qv__stage **out,
                   struct qv_err *err) QV_MUST_USE;
/* The column that the stage's query names: `column` and `def`. */
qv_status qv__stage_column(struct qv__run *r, struct qv__stage *s, struct qv_err *err) QV_MUST_USE;
/* What can be said without a view. */
qv_status qv__query_check(const struct qv__query *q, struct qv_err *err) QV_MUST_USE;

/* --- query_explain.c --- */

/* Tell the plan of a stage and of those before it, and run nothing. */
qv_status qv__explain(struct qv__run *r, const struct qv__stage *s, struct qv_err *err) QV_MUST_USE;

/* --- query_filter.c --- */

/* Both, merged clause by clause as the primary peer does: `must` and `must_not` of both hold, and
 * one `should` of either suffices. Either may be NULL. */
qv_status qv__filter_merge(struct qv__arena *arena, const struct qv__filter *a,
                           const struct qv__filter *b, const struct qv__filter **out,
                           struct qv_err *err) QV_MUST_USE;
/* Points of the tree that are examples and live in the collection searched. */
qv_status qv__exclusions(struct qv__run *r, const struct qv__query *q,
                         struct qv_err *err) QV_MUST_USE;
/* `own` and none of the excluded ids. */
qv_status qv__filter_exclude(struct qv__run *r, const struct qv__filter *own,
                             const struct qv__filter **out, struct qv_err *err) QV_MUST_USE;

/* --- query_input.c --- */

/* Vectors of a stage: given ones checked, those of stored points looked up (copied), all in the
 * datatype of the stage's column and normalised where it is. */
qv_status qv__stage_inputs(struct qv__run *r, struct qv__stage *s, struct qv_err *err) QV_MUST_USE;

/* --- query_idf.c --- */

/* Multiply each value of a stored sparse vector by how rare its index is among the vectors of the
 * stage's column: ln((N - n + 0.5) / (n + 0.5) + 1) for n of the corpus' N points (Robertson and
 * Zaragoza, "The probabilistic relevance framework: BM25 and beyond", 2009). QV_EINVAL if it is too
 * long for finite scores then. */
qv_status qv__run_idf(struct qv__run *r, const struct qv__stage *s, void *sparse,
                      struct qv_err *err) QV_MUST_USE;

/* --- query_stage.c --- */

/* Run a stage and those before it. */
qv_status qv__stage_run(struct qv__run *r, const struct qv__stage *s, struct qv__ranking *out,
                        struct qv_err *err) QV_MUST_USE;
/* Points of all lists in the order they are first met; scores are those of the first list. */
qv_status qv__rankings_union(struct qv__run *r, const struct qv__ranking *lists, size_t n,
                             struct qv__ranking *out, struct qv_err *err) QV_MUST_USE;
struct qv__id qv__run_id(const struct qv__run *r, uint64_t key); /* STR borrowed */
/* The stage's vector of a point, or NULL. */
const void *qv__run_vector(const struct qv__run *r, const struct qv__stage *s, uint64_t key);
/* A list of room for n. */
qv_status qv__ranking_alloc(struct qv__run *r, uint64_t n, struct qv__ranking *out,
                            struct qv_err *err) QV_MUST_USE;
/* Sort: larger (or smaller) scores first, equal ones by id. */
void qv__ranking_sort(const struct qv__run *r, struct qv__ranking *list, bool larger_is_better);

/* Sort: larger scores first, equal ones as they stand. */
qv_status qv__ranking_by_score(struct qv__run *r, struct qv__ranking *list,
                               struct qv_err *err) QV_MUST_USE;

/* Rows of a segment that the run's view sees and a filter (NULL = none) lets pass. */
struct qv__matching {
    struct qv__visible visible;
    struct qv__bitset match;
    struct qv__kept_rows *kept; /* a set that has them all; NULL = none is kept */
    const uint64_t *words;      /* NULL = all rows below n_rows */
    uint32_t n_rows;
    uint64_t count;
};
qv_status qv__run_matching(struct qv__run *r, size_t segment, const struct qv__filter *filter,
                           struct qv__matching *out, struct qv_err *err) QV_MUST_USE;
void qv__matching_free(struct qv__matching *m);
void qv__run_tell_segment(const struct qv__run *r, size_t segment, const struct qv__visible *v);
static inline bool qv__matching_has(const struct qv__matching *m, uint32_t row)
{
    return !m->words || qv__bit_test_atomic(m->words, row);
}

/* --- query_leaf.c: kinds over the whole collection --- */

/* True if a search of this segment is one of the few rows of the tenants that its filter names. */
bool qv__run_tenant(const struct qv__run *r, const struct qv__stage *s, size_t segment,
                    struct qv__tenant_rows *rows);

qv_status qv__leaf_nearest(struct qv__run *r, const struct qv__stage *s, uint64_t want,
                           struct qv__ranking *out, struct qv_err *err) QV_MUST_USE;
qv_status qv__leaf_ids(struct qv__run *r, const struct qv__stage *s, struct qv__ranking *out,
                       struct qv_err *err) QV_MUST_USE;

/* --- query_score.c: kinds that compare with several vectors, and any kind over candidates --- */

/* The best of the whole collection: every matching row is compared. */
qv_status qv__leaf_scored(struct qv__run *r, const struct qv__stage *s, struct qv__ranking *out,
                          struct qv_err *err) QV_MUST_USE;
/* The best `want` of the candidates; those without the vector are dropped. */
qv_status qv__rescore(struct qv__run *r, const struct qv__stage *s,
                      const struct qv__ranking *candidates, uint64_t want, struct qv__ranking *out,
                      struct qv_err *err) QV_MUST_USE;

/* --- query_mmr.c, query_sample.c, query_formula.c --- */

qv_status qv__mmr(struct qv__run *r, const struct qv__stage *s,
                  const struct qv__ranking *candidates, struct qv__ranking *out,
                  struct qv_err *err) QV_MUST_USE;
qv_status qv__leaf_sample(struct qv__run *r, const struct qv__stage *s, struct qv__ranking *out,
                          struct qv_err *err) QV_MUST_USE;
/* The list itself becomes the sample of it. */
void qv__sample(struct qv__run *r, const struct qv__stage *s, struct qv__ranking *list);
qv_status qv__rescore_formula(struct qv__run *r, const struct qv__stage *s,
                              struct qv__ranking *lists, struct qv__ranking *out,
                              struct qv_err *err) QV_MUST_USE;

/* --- query_order.c --- */

/* The index to order by. QV_EINVAL when there is none. */
qv_status qv__order_plan(struct qv__run *r, struct qv__stage *s, struct qv_err *err) QV_MUST_USE;
qv_status qv__leaf_order(struct qv__run *r, const struct qv__stage *s, struct qv__ranking *out,
                         struct qv_err *err) QV_MUST_USE;
/* The candidates in order; those without a value are dropped. */
qv_status qv__order_over(struct qv__run *r, const struct qv__stage *s,
                         const struct qv__ranking *candidates, struct qv__ranking *out,
                         struct qv_err *err) QV_MUST_USE;

/* --- query_fusion.c --- */

qv_status qv__fuse(struct qv__run *r, const struct qv__stage *s, struct qv__ranking *lists,
                   struct qv__ranking *out, struct qv_err *err) QV_MUST_USE;

#endif
