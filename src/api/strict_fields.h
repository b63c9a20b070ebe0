/* strict_fields.h: strict mode's rules about fields and their indexes; for strict.c. */
#ifndef QV_API_STRICT_FIELDS_H
#define QV_API_STRICT_FIELDS_H

#include "api/strict.h"
#include "payload/filter_shape.h"

/* The index on a path, and its place in the schema; NULL = none. */
const struct qv__payload_index_def *qv__strict_index_on(const struct qv__schema *schema,
                                                        const struct qv__path *path, uint32_t *at);
/* In which ways (enum qv__field_use) an index serves. Memory of the arena, and less is served
 * without. */
uint32_t qv__strict_served(struct qv__arena *arena, const struct qv__payload_index_def *x);
/* As much of the path as there is room for. */
void qv__strict_path_text(const struct qv__path *path, char *out, size_t n);

/* All fields that the filter, or the formula, looks at have an index that serves how they are
 * looked at. The other one is NULL. */
qv_status qv__strict_fields(struct qv__strict_call *s, const struct qv__filter *f,
                            const struct qv__formula *formula) QV_MUST_USE;
/* The field that groups are made by has an index that serves values. */
qv_status qv__strict_grouping(struct qv__strict_call *s, const struct qv__path *path) QV_MUST_USE;
/* Some condition is on a field whose index tells tenants apart. */
bool qv__strict_has_tenant(const struct qv__strict_call *s, const struct qv__filter *f);

#endif
