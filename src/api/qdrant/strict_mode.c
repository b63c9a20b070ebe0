/* strict_mode.c: a collection's strict_mode_config as limits, and the calls that are held against
 * them.
 *
 * The configuration is read once per request, and only where it is switched on: it is looked for in
 * the kept text first. */
#include "api/qdrant/qdrant.h"
#include "api/strict.h"
#include "base/rate.h"

#include <stdio.h>

static const struct {
    const char *name;
    enum qv__strict_knob knob;
} numbers[] = {
    {"max_query_limit", QV__STRICT_QUERY_LIMIT},
    {"max_timeout", QV__STRICT_TIMEOUT},
    {"search_max_hnsw_ef", QV__STRICT_EF},
    {"search_max_oversampling", QV__STRICT_OVERSAMPLING},
    {"upsert_max_batchsize", QV__STRICT_UPSERT_BATCH},
    {"search_max_batchsize", QV__STRICT_SEARCH_BATCH},
    {"filter_max_conditions", QV__STRICT_CONDITIONS},
    {"condition_max_size", QV__STRICT_CONDITION},
    {"max_points_count", QV__STRICT_POINTS},
    {"max_collection_vector_size_bytes", QV__STRICT_VECTOR_BYTES},
    {"max_collection_payload_size_bytes", QV__STRICT_PAYLOAD_BYTES},
    {"max_payload_index_count", QV__STRICT_INDEXES},
    {"read_rate_limit", QV__STRICT_READ_RATE},
    {"write_rate_limit", QV__STRICT_WRITE_RATE},
    {"max_resident_memory_percent", QV__STRICT_MEMORY},
};

/* Limits of single vectors, by name. */
static const struct {
    const char *name, *member;
    uint8_t kind;
} lists[] = {
    {"multivector_config", "max_vectors", QV__VEC_MULTI},
    {"sparse_config", "max_length", QV__VEC_SPARSE},
};

/* --- checking what is given --- */

qv_status qv__qd_strict_check(struct qv__call *c, qv__json v)
{
    for (size_t i = 0; i < QV_ARRAY_LEN(lists); i++) {
        qv__json list = qv__json_get(v, lists[i].name), key = qv__json_first(list);
        for (uint32_t k = 0; qv__json_is(list, QV__JSON_OBJ) && k < list->len;
             k++, key = qv__json_next(key + 1)) {
            char place[QV__VECTOR_NAME_MAX + 64];
            const struct qv__qd_setting max = {
                .name = lists[i].member, .type = QV__QD_UINT, .min = 1};
            const struct qv__qd_group one = {lists[i].name, &max, 1};
            (void)snprintf(place, sizeof place, "strict_mode_config.%s.%.*s.", lists[i].name,
                           (int)QV_MIN(key->len, QV__VECTOR_NAME_MAX), key->s);
            QV_TRY(qv__qd_group_check(c, &one, place, key + 1));
        }
    }
    return QV_OK;
}

/* --- reading what is kept --- */

static qv_status read_vectors(struct qv__call *c, qv__json strict, struct qv__strict *out)
{
    size_t n = 0;
    for (size_t i = 0; i < QV_ARRAY_LEN(lists); i++) {
        qv__json list = qv__json_get(strict, lists[i].name);
        n += qv__json_is(list, QV__JSON_OBJ) ? list->len : 0;
    }
    struct qv__strict_vector *vectors = qv__arena_calloc(c->arena, n + 1, sizeof *vectors);
    if (!vectors) {
        return qv__qd_no_memory(c);
    }
    for (size_t i = 0; i < QV_ARRAY_LEN(lists); i++) {
        qv__json list = qv__json_get(strict, lists[i].name), key = qv__json_first(list);
        for (uint32_t k = 0; qv__json_is(list, QV__JSON_OBJ) && k < list->len;
             k++, key = qv__json_next(key + 1)) {
            struct qv__strict_vector *x = &vectors[out->n_vectors];
            *x = (struct qv__strict_vector){.name = {key->s, key->len}, .kind = lists[i].kind};
            out->n_vectors += qv__json_u64(qv__json_get(key + 1, lists[i].member), &x->max);
        }
    }
    out->vectors = vectors;
    return QV_OK;
}

/* A setting of graphs: the vector's own, else that of all. */
static uint64_t graph_setting(qv__json own, qv__json kept, const char *name, uint64_t fallback)
{
    if (!qv__json_u64(qv__json_get(qv__json_get(own, "hnsw_config"), name), &fallback)) {
        (void)qv__json_u64(qv__json_get(qv__json_get(kept, "hnsw_config"), name), &fallback);
    }
    return fallback;
}

static qv_status read_graphs(struct qv__call *c, const struct qv__schema *s, qv__json kept,
                             struct qv__strict *out)
{
    struct qv__strict_graph *graphs =
        qv__arena_calloc(c->arena, (size_t)s->n_vectors + 1, sizeof *graphs);
    if (!graphs) {
        return qv__qd_no_memory(c);
    }
    for (uint32_t i = 0; i < s->n_vectors; i++) {
        struct qv__str name = s->vectors[i].name;
        qv__json own = qv__json_get_n(qv__json_get(kept, "vectors"), name.p, name.n);
        graphs[i].of_all = graph_setting(own, kept, "m", 16) > 0;
        graphs[i].of_tenants = graph_setting(own, kept, "payload_m", 0) > 0;
    }
    out->graphs = graphs;
    return QV_OK;
}

static bool forbidden(qv__json strict, const char *name)
{
    bool allowed = true;
    (void)qv__json_bool(qv__json_get(strict, name), &allowed);
    return !allowed;
}

static qv_status read_limits(struct qv__call *c, const struct qv__schema *s, bool *enabled,
                      struct qv__strict *out)
{
    qv__json kept = NULL;
    QV_TRY(qv__qd_config_read(c, s, &kept));
    qv__json strict = qv__json_get(kept, "strict_mode_config");
    *enabled = false;
    (void)qv__json_bool(qv__json_get(strict, "enabled"), enabled);
    if (!*enabled) {
        return QV_OK;
    }
    for (size_t i = 0; i < QV__STRICT_KNOBS; i++) {
        out->limit[i] = -1;
    }
    for (size_t i = 0; i < QV_ARRAY_LEN(numbers); i++) {
        (void)qv__json_f64(qv__json_get(strict, numbers[i].name), &out->limit[numbers[i].knob]);
    }
    out->no_exact = forbidden(strict, "search_allow_exact");
    out->indexed_reads = forbidden(strict, "unindexed_filtering_retrieve");
    out->indexed_updates = forbidden(strict, "unindexed_filtering_update");
    QV_TRY(read_vectors(c, strict, out));
    return read_graphs(c, s, kept, out);
}

/* The members are kept in the order of their table, "enabled" first. Metadata that reads the same
 * costs a parse, no more. */
static bool may_be_on(struct qv__str text)
{
    static const char on[] = "\"strict_mode_config\":{\"enabled\":true";
    return text.n && memmem(text.p, text.n, on, sizeof on - 1) != NULL;
}

qv_status qv__qd_strict_begin(struct qv__call *c)
{
    struct qv__schema *s = qv__collection_schema(c->collection);
    bool enabled = false;
    if (!may_be_on(s->config_json)) {
        qv__schema_release(s);
        return QV_OK;
    }
    struct qv__strict *limits = qv__arena_zalloc(c->arena, sizeof *limits);
    struct qv__strict_call *call = qv__arena_zalloc(c->arena, sizeof *call);
    qv_status st = limits && call ? read_limits(c, s, &enabled, limits) : qv__qd_no_memory(c);
    if (st != QV_OK || !enabled) {
        qv__schema_release(s);
        return st;
    }
    *call = (struct qv__strict_call){.strict = limits,
                                     .collection = c->collection,
                                     .schema = s,
                                     .arena = c->arena,
                                     .ctx = &c->ctx,
                                     .is_paid = c->request->is_second,
                                     .err = &c->err};
    c->strict = call;
    c->strict_schema = s;
    return c->query.timeout_s ? qv__qd_strict(c, qv__strict_limit(call, QV__STRICT_TIMEOUT,
                                                                  (double)c->query.timeout_s))
                              : QV_OK;
}

void qv__qd_strict_end(struct qv__call *c)
{
    qv__schema_release(c->strict_schema);
    c->strict_schema = NULL;
}

qv_status qv__qd_strict(struct qv__call *c, qv_status st)
{
    if (st == QV_EINVAL) {
        c->kind = QV__QD_BAD_REQUEST;
    }
    return st;
}

/* --- calls --- */

qv_status qv__qd_strict_queries(struct qv__call *c, const struct qv__qd_query *list, size_t n)
{
    if (!c->strict) {
        return QV_OK;
    }
    QV_TRY(qv__qd_strict(c, qv__strict_limit(c->strict, QV__STRICT_SEARCH_BATCH, (double)n)));
    for (size_t i = 0; i < n; i++) {
        const struct qv__query *q = &list[i].query;
        QV_TRY(qv__qd_strict(c, qv__strict_query(c->strict, q, (double)q->limit, NULL)));
    }
    return qv__strict_read_rate(c->strict);
}

qv_status qv__qd_strict_groups(struct qv__call *c, const struct qv__query *q,
                               const struct qv__group_by *by)
{
    if (!c->strict) {
        return QV_OK;
    }
    double points = (double)by->groups * (double)by->size;
    QV_TRY(qv__qd_strict(c, qv__strict_query(c->strict, q, points, by)));
    return qv__strict_read_rate(c->strict);
}

qv_status qv__qd_strict_filtered(struct qv__call *c, const struct qv__filter *f, uint64_t limit,
                                 bool exact)
{
    if (!c->strict) {
        return QV_OK;
    }
    QV_TRY(qv__qd_strict(c, qv__strict_limit(c->strict, QV__STRICT_QUERY_LIMIT, (double)limit)));
    QV_TRY(qv__qd_strict(c, qv__strict_filter(c->strict, f)));
    if (exact) {
        QV_TRY(qv__qd_strict(c, qv__strict_exact(c->strict)));
    }
    return qv__strict_read_rate(c->strict);
}

qv_status qv__qd_strict_ids(struct qv__call *c, size_t n)
{
    if (!c->strict) {
        return QV_OK;
    }
    c->strict->cost += (double)n;
    return qv__strict_read_rate(c->strict);
}

qv_status qv__qd_strict_mutations(struct qv__call *c)
{
    return c->strict ? qv__qd_strict(c, qv__strict_write(c->strict, c->mutations, c->n_mutations))
                     : QV_OK;
}

qv_status qv__qd_strict_index(struct qv__call *c, struct qv__str key)
{
    return c->strict ? qv__qd_strict(c, qv__strict_index(c->strict, key)) : QV_OK;
}

void qv__qd_strict_refill(struct qv__call *c)
{
    for (unsigned i = 0; i < QV__RATES; i++) {
        qv__rate_reset(qv__collection_rate(c->collection, (enum qv__rate_kind)i));
    }
}
