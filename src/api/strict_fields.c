#include "api/strict_fields.h"

#include <stdio.h>
#include <string.h>

/* The types of payload index, in the order in which messages list them. */
static const struct {
    uint32_t uses;
    const char *name;
} types[] = {
    {QV__USE_BOOL, "bool"},
    {QV__USE_DATETIME, "datetime"},
    {QV__USE_FLOAT_RANGE, "float"},
    {QV__USE_GEO, "geo"},
    {QV__USE_INT_MATCH | QV__USE_INT_RANGE, "integer"},
    {QV__USE_KEYWORD, "keyword"},
    {QV__USE_PREFIX, "keyword (with prefix: true)"},
    {QV__USE_TEXT, "text"},
    {QV__USE_PHRASE, "text (with phrase_matching: true)"},
    {QV__USE_UUID, "uuid"},
};

/* --- what an index serves --- */

/* An option of an index that was given as an object. */
static bool option(struct qv__arena *arena, const struct qv__payload_index_def *x, const char *name,
                   bool fallback)
{
    struct qv__json_limits limits = {.depth_max = 32};
    qv__json v = NULL;
    if (x->params_json.n &&
        qv__json_parse(arena, x->params_json.p, x->params_json.n, &limits, &v, NULL) == QV_OK) {
        (void)qv__json_bool(qv__json_get(v, name), &fallback);
    }
    return fallback;
}

uint32_t qv__strict_served(struct qv__arena *arena, const struct qv__payload_index_def *x)
{
    uint32_t uses = 0;
    for (size_t i = 0; i < QV_ARRAY_LEN(types); i++) {
        uses |= qv__str_eq(x->type, qv__str_z(types[i].name)) ? types[i].uses : 0;
    }
    if (uses & QV__USE_INT_MATCH) {
        uses &= option(arena, x, "lookup", true) ? ~0u : ~(uint32_t)QV__USE_INT_MATCH;
        uses &= option(arena, x, "range", true) ? ~0u : ~(uint32_t)QV__USE_INT_RANGE;
    }
    uses |=
        uses & QV__USE_KEYWORD && option(arena, x, "prefix", false) ? (uint32_t)QV__USE_PREFIX : 0u;
    uses |= uses & QV__USE_TEXT && option(arena, x, "phrase_matching", false)
                ? (uint32_t)QV__USE_PHRASE
                : 0u;
    return uses;
}

const struct qv__payload_index_def *qv__strict_index_on(const struct qv__schema *schema,
                                                        const struct qv__path *path, uint32_t *at)
{
    for (uint32_t i = 0; i < schema->n_indexes; i++) {
        if (qv__path_eq(&schema->specs[i].path, path)) {
            *at = i;
            return &schema->indexes[i];
        }
    }
    return NULL;
}

/* --- texts --- */

void qv__strict_path_text(const struct qv__path *path, char *out, size_t n)
{
    size_t at = 0;
    out[0] = 0;
    for (uint32_t i = 0; i < path->n && at < n; i++) {
        const struct qv__path_step *step = &path->step[i];
        int k = step->kind == QV__STEP_ALL ? snprintf(out + at, n - at, "[]")
                : step->kind == QV__STEP_INDEX
                    ? snprintf(out + at, n - at, "[%u]", step->index)
                    : snprintf(out + at, n - at, "%s%.*s", i ? "." : "",
                               (int)QV_MIN(step->key.n, (size_t)128), step->key.p);
        at += (size_t)QV_MAX(k, 0);
    }
}

static void type_names(uint32_t uses, char *out, size_t n)
{
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < QV_ARRAY_LEN(types) && at < n; i++) {
        if (types[i].uses & uses) {
            at += (size_t)snprintf(out + at, n - at, "%s%s", at ? ", " : "", types[i].name);
        }
    }
}

/* --- checks --- */

struct search {
    struct qv__strict_call *s;
    struct qv__path path; /* the first that is not served */
    uint32_t uses;
    bool found;
};

static bool visit(void *arg, const struct qv__path *path, uint32_t uses)
{
    struct search *x = arg;
    uint32_t at;
    const struct qv__payload_index_def *index = qv__strict_index_on(x->s->schema, path, &at);
    if (index && (qv__strict_served(x->s->arena, index) & uses)) {
        return true;
    }
    x->path = *path;
    x->uses = uses;
    x->found = true;
    return false;
}

qv_status qv__strict_fields(struct qv__strict_call *s, const struct qv__filter *f,
                            const struct qv__formula *formula)
{
    struct search x = {.s = s};
    char path[160], names[160];
    if (!(formula ? qv__formula_fields(formula, visit, &x) : qv__filter_fields(f, visit, &x)) &&
        x.found) {
        qv__strict_path_text(&x.path, path, sizeof path);
        type_names(x.uses, names, sizeof names);
        return qv__fail(s->err, QV_EINVAL,
                        "Index required but not found for \"%s\" of one of the following types: "
                        "[%s]. Help: Create an index for this key or use a different %s.",
                        path, names, formula ? "formula expression" : "filter");
    }
    return QV_OK;
}

qv_status qv__strict_grouping(struct qv__strict_call *s, const struct qv__path *path)
{
    const uint32_t values = QV__USE_KEYWORD | QV__USE_INT_MATCH | QV__USE_UUID | QV__USE_BOOL;
    char text[160];
    uint32_t at;
    const struct qv__payload_index_def *x = qv__strict_index_on(s->schema, path, &at);
    qv__strict_path_text(path, text, sizeof text);
    if (!x) {
        return qv__fail(s->err, QV_EINVAL,
                        "Index required but not found for \"%s\". Help: Create an index supporting "
                        "`match` for this key.",
                        text);
    }
    if (!(qv__strict_served(s->arena, x) & values)) {
        return qv__fail(s->err, QV_EINVAL,
                        "Index of type \"%c%.*s\" found for \"%s\". Help: Create an index "
                        "supporting `match` for this key.",
                        x->type.p[0] - 'a' + 'A', (int)x->type.n - 1, x->type.p + 1, text);
    }
    return QV_OK;
}

static bool visit_tenant(void *arg, const struct qv__path *path, uint32_t uses)
{
    const struct qv__strict_call *s = arg;
    uint32_t at;
    (void)uses;
    return !(qv__strict_index_on(s->schema, path, &at) && s->schema->specs[at].is_tenant);
}

bool qv__strict_has_tenant(const struct qv__strict_call *s, const struct qv__filter *f)
{
    return !qv__filter_fields(f, visit_tenant, (void *)(uintptr_t)s);
}
