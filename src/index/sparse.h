/* sparse.h: the best inner products of a sparse query with a run of sparse vectors.
 *
 * What it is: a search over posting lists, window by window of ordinals. In each window the lists
 * whose blocks could not together lift a new vector into the best k (their block maxima tell) are
 * not read for new candidates, and those left add to candidates only (MaxScore: Turtle and Flood,
 * "Query evaluation: strategies and optimizations", 1995; block maxima: Ding and Suel, "Faster
 * top-k document retrieval using block-max indexes", 2011). Weights and query values may be
 * negative. What it is not: exact to the last bit: sums are formed in any order; who needs them in
 * the order of qv__sparse_dot computes the few that were found again.
 *
 * A vector that shares no index with the query is no result. Threads: any. */
#ifndef QV_INDEX_SPARSE_H
#define QV_INDEX_SPARSE_H

#include "base/qctx.h"
#include "base/topk.h"
#include "postings/postings.h"

/* Offer the best of the run to `top` as (-score, first + ordinal). allow: words over first +
 * ordinal; NULL = all. QV_ENOMEM, or what the context's check says. */
qv_status qv__sparse_search(const struct qv__postings *p, uint32_t first, const void *query,
                            const uint64_t *allow, struct qv__qctx *ctx, struct qv__topk *top,
                            struct qv_err *err) QV_MUST_USE;
/* The same by comparing each of vectors[0..n). */
qv_status qv__sparse_scan(const void *const *vectors, uint32_t n, uint32_t first, const void *query,
                          const uint64_t *allow, struct qv__qctx *ctx, struct qv__topk *top,
                          struct qv_err *err) QV_MUST_USE;
/* Postings that a search would read at most. */
uint64_t qv__sparse_cost(const struct qv__postings *p, const void *query);
/* Add to df[i] how many allowed ordinals have terms[i]. */
void qv__sparse_frequencies(const struct qv__postings *p, uint32_t first, const uint32_t *terms,
                            uint32_t n, const uint64_t *allow, uint64_t *df);

#endif
