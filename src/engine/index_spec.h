/* index_spec.h: what the engine makes of the definitions of payload indexes.
 *
 * What it is: type, path and settings of each index, read once when a schema is made. What it is
 * not: the definition itself, which is kept and shown as it was given. Threads: any (immutable). */
#ifndef QV_ENGINE_INDEX_SPEC_H
#define QV_ENGINE_INDEX_SPEC_H

#include "payload/field.h"

struct qv__index_spec {
    bool is_built; /* else recorded only: of a type, or with settings, that this version has not */
    enum qv__field_type type;
    bool has_order; /* points can be ordered by it */
    bool is_tenant; /* rows of one value belong together */
    struct qv__path path;
    struct qv__tokenizer tokenizer; /* TEXT */
};

struct qv__payload_index_def;
struct qv__schema;

/* Errors: QV_ENOMEM. `scratch` is for the time of the call; its memory stays in it. What the spec
 * points to but the definition lies in `keep`. */
qv_status qv__index_spec_read(const struct qv__payload_index_def *def, struct qv__arena *scratch,
                              struct qv__arena *keep, struct qv__index_spec *out,
                              struct qv_err *err) QV_MUST_USE;
/* The specs of a schema's indexes, and its text fields, in its own memory. */
qv_status qv__index_specs_fill(struct qv__schema *s, struct qv_err *err) QV_MUST_USE;
/* Would both hold the same? */
bool qv__index_spec_same(const struct qv__index_spec *a, const struct qv__index_spec *b);

#endif
