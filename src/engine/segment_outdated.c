/* segment_outdated.c: whether a segment is what the schema of now asks for.
 *
 * Only what a rewrite changes is a difference: one that stayed after it would be rewritten for
 * ever. A column that the schema has and the segment lacks is none: its rows are older. */
#include <stdio.h>

#include "engine/segment_impl.h"

static int name_len(const struct qv__vector_def *d)
{
    return (int)QV_MIN(d->name.n, (size_t)24);
}

static bool is_in(const struct qv__schema *schema, const struct qv__vector_def *d, uint32_t *at)
{
    for (*at = 0; *at < schema->n_vectors; (*at)++) {
        if (qv__vector_same(&schema->vectors[*at], d)) {
            return true;
        }
    }
    return false;
}

static bool column_outdated(const struct qv__segment *s, uint32_t own,
                            const struct qv__schema *schema, char why[QV__WHY_BYTES])
{
    struct qv__column *c = &s->columns[own];
    const struct qv__vector_def *d = &s->schema->vectors[own];
    uint32_t n = atomic_load(&c->n), at = 0;
    char what[64] = "";
    if (!c->def || n == 0) {
        return false;
    }
    if (!is_in(schema, d, &at)) {
        (void)snprintf(why, QV__WHY_BYTES, "vector `%.*s` was dropped", name_len(d), d->name.p);
        return true;
    }
    const struct qv__index_params *want = &schema->vectors[at].index;
    struct qv__index *x = atomic_load(&c->index);
    bool differs = x ? x->ops->differs(x, want, what)
                     : s->sealed && want->kind == QV__INDEX_GRAPH && n >= schema->policy.index_rows;
    if (differs) {
        (void)snprintf(why, QV__WHY_BYTES, "vector `%.*s`: %s", name_len(d), d->name.p,
                       x ? what : "no graph yet");
    }
    return differs;
}

bool qv__segment_outdated(const struct qv__segment *s, const struct qv__schema *schema,
                          char why[QV__WHY_BYTES])
{
    char own[QV__WHY_BYTES];
    bool differs = false;
    why = why ? why : own;
    for (uint32_t i = 0; !differs && i < s->n_columns; i++) {
        differs = column_outdated(s, i, schema, why);
    }
    if (!differs && s->n_foreign) {
        (void)snprintf(why, QV__WHY_BYTES, "a vector was dropped");
    }
    if (!differs && !s->n_foreign && atomic_load(&s->fields_unsaved)) {
        differs = true;
        (void)snprintf(why, QV__WHY_BYTES, "payload indexes that are in memory only");
    }
    struct qv__str key;
    if (!differs && !s->n_foreign && qv__tenants_differ(s, schema, &key)) {
        differs = true;
        (void)snprintf(why, QV__WHY_BYTES, "rows by tenant `%.*s`", (int)QV_MIN(key.n, (size_t)40),
                       key.p);
    }
    return differs || s->n_foreign;
}
