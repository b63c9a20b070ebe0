/* read.h: what the reading files of this folder share: making results, finding a row in a read
 * view. Not visible outside engine/. */
#ifndef QV_ENGINE_READ_H
#define QV_ENGINE_READ_H

#include "engine/collection.h"

/* Zero *out, open a read view and its arena. On an error *out may be freed as it is. */
qv_status qv__result_open(struct qv__collection *c, struct qv__qctx *ctx,
                          struct qv__result_set *out, struct qv_err *err) QV_MUST_USE;
qv_status qv__result_reserve(struct qv__result_set *rs, size_t n, struct qv_err *err) QV_MUST_USE;
/* Append one row to the reserved results. */
qv_status qv__result_add(struct qv__result_set *rs, const struct qv__segment *seg, uint32_t row,
                         float score, const struct qv__fetch *f, struct qv_err *err) QV_MUST_USE;
qv_status qv__fetch_check(const struct qv__schema *s, const struct qv__fetch *f,
                          struct qv_err *err) QV_MUST_USE;
/* The visible row of an id. */
bool qv__read_find(const struct qv__read_view *v, const struct qv__id *id,
                   const struct qv__segment **seg, uint32_t *row);

#endif
