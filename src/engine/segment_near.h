/* segment_near.h: rows of a new file in an order in which near vectors lie side by side.
 *
 * What it is: where no tenants order the rows, the first column that has, or is to have, a graph
 * does: walks of that graph then read what lies together (docs/internals/INDEX.md, "Order of
 * rows"). What it is not: a condition of any answer, or part of any format: rows in any order are
 * right.
 *
 * Threads: the caller's, and those of the pool. */
#ifndef QV_ENGINE_SEGMENT_NEAR_H
#define QV_ENGINE_SEGMENT_NEAR_H

#include "engine/segment_impl.h"

/* Put rows of the sources in that order; those without such a vector come last. *moved: they were
 * in another one. Fewer than policy.index_rows stay as they are, and those of a single source with
 * a graph, which has their order already. Where memory is short, too. Errors:
 * QV_ECANCELLED. */
qv_status qv__near_order(const struct qv__segment_env *env, const struct qv__schema *schema,
                         struct qv__segment *const *sources, size_t n_sources,
                         const struct qv__work *work, struct qv__row_ref *rows, uint32_t n_rows,
                         bool *moved, struct qv_err *err) QV_MUST_USE;

#endif
