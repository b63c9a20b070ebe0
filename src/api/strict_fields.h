/* strict_fields.h: strict mode's rules about fields and their indexes; for strict.c. */
#ifndef QV_API_STRICT_FIELDS_H
#define QV_API_STRICT_FIELDS_H

#include "api/strict.h"
#include "payload/filter_shape.h"

/* All fields that the filter, or the formula, looks at have an index that serves how they are
 * looked at. The other one is NULL. */
qv_status qv__strict_fields(struct qv__strict_call *s, const struct qv__filter *f,
                            const struct qv__formula *formula) QV_MUST_USE;
/* The field that groups are made by has an index that serves values. */
qv_status qv__strict_grouping(struct qv__strict_call *s, const struct qv__path *path) QV_MUST_USE;
/* Some condition is on a field whose index tells tenants apart. */
bool qv__strict_has_tenant(const struct qv__strict_call *s, const struct qv__filter *f);

#endif
