#include "api/strict.h"

#include <math.h>
#include <stdio.h>

#include "api/strict_fields.h"
#include "base/rate.h"

/* Indices of a sparse vector that cost as much as a dense one. */
#define SPARSE_UNIT 64u

/* --- numbers --- */

/* What a limit is called where it is a parameter of the request. */
static const char *const names[QV__STRICT_KNOBS] = {
    [QV__STRICT_QUERY_LIMIT] = "limit",
    [QV__STRICT_TIMEOUT] = "timeout",
    [QV__STRICT_EF] = "hnsw_ef",
    [QV__STRICT_OVERSAMPLING] = "oversampling",
    [QV__STRICT_UPSERT_BATCH] = "upsert limit",
    [QV__STRICT_SEARCH_BATCH] = "search batch size",
};

static bool exceeds(const struct qv__strict_call *s, enum qv__strict_knob knob, double value)
{
    double limit = s->strict->limit[knob];
    return limit >= 0 && value > limit;
}

static qv_status above(struct qv__strict_call *s, enum qv__strict_knob knob, const char *name,
                       double value)
{
    double limit = s->strict->limit[knob];
    return qv__fail(s->err, QV_EINVAL,
                    "Limit exceeded %.15g > %.15g for \"%s\". Help: Reduce the \"%s\" parameter to "
                    "or below %.15g.",
                    value, limit, name, name, limit);
}

qv_status qv__strict_limit(struct qv__strict_call *s, enum qv__strict_knob knob, double value)
{
    return exceeds(s, knob, value) ? above(s, knob, names[knob], value) : QV_OK;
}

qv_status qv__strict_exact(struct qv__strict_call *s)
{
    return s->strict->no_exact
               ? qv__fail(s->err, QV_EINVAL, "Exact search disabled!. Help: Set exact=false.")
               : QV_OK;
}

/* --- filters --- */

static qv_status check_filter(struct qv__strict_call *s, const struct qv__filter *f, bool indexed)
{
    if (!f) {
        return QV_OK;
    }
    if (indexed) {
        QV_TRY(qv__strict_fields(s, f, NULL));
    }
    size_t conditions = qv__filter_conditions(f), longest = qv__filter_longest(f);
    if (exceeds(s, QV__STRICT_CONDITIONS, (double)conditions)) {
        return qv__fail(s->err, QV_EINVAL,
                        "Filter condition limit reached (%zu > %.15g). Help: Reduce the amount of "
                        "conditions of your filter.",
                        conditions, s->strict->limit[QV__STRICT_CONDITIONS]);
    }
    if (exceeds(s, QV__STRICT_CONDITION, (double)longest)) {
        return qv__fail(s->err, QV_EINVAL,
                        "Condition size limit reached (%zu > %.15g). Help: Reduce the size of your "
                        "condition.",
                        longest, s->strict->limit[QV__STRICT_CONDITION]);
    }
    return QV_OK;
}

qv_status qv__strict_filter(struct qv__strict_call *s, const struct qv__filter *f)
{
    s->cost += 1 + (double)qv__filter_conditions(f);
    return check_filter(s, f, s->strict->indexed_reads);
}

/* --- queries --- */

static bool by_vectors(const struct qv__query *q)
{
    switch (q->kind) {
    case QV__QUERY_NEAREST:
    case QV__QUERY_RECOMMEND:
    case QV__QUERY_RECOMMEND_BEST:
    case QV__QUERY_RECOMMEND_SUM:
    case QV__QUERY_DISCOVER:
    case QV__QUERY_FEEDBACK:
    case QV__QUERY_CONTEXT:
        return true;
    default:
        return false;
    }
}

/* A vector without a graph is scanned, unless it is for one tenant, which has one of its own. */
static qv_status check_scan(struct qv__strict_call *s, const struct qv__query *q)
{
    int at = qv__schema_vector(s->schema, q->using_vector);
    char where[QV__VECTOR_NAME_MAX + 8] = "";
    if (!s->strict->no_exact || !by_vectors(q) || at < 0 ||
        s->schema->vectors[at].kind == QV__VEC_SPARSE || s->strict->graphs[at].of_all) {
        return QV_OK;
    }
    if (q->using_vector.n) {
        (void)snprintf(where, sizeof where, " on '%.*s'", (int)q->using_vector.n,
                       q->using_vector.p);
    }
    if (!qv__strict_has_tenant(s, q->filter)) {
        return qv__fail(s->err, QV_EINVAL,
                        "Request is forbidden%s because global vector indexing is disabled "
                        "(hnsw_config.m = 0). Help: Use tenant-specific filter, enable global "
                        "vector indexing or enable strict mode `search_allow_exact` option",
                        where);
    }
    if (!s->strict->graphs[at].of_tenants) {
        return qv__fail(s->err, QV_EINVAL,
                        "Request is forbidden%s because vector indexing is disabled (hnsw_config.m "
                        "= 0 and hnsw_config.payload_m = 0). Help: Enable vector indexing, use a "
                        "prefetch query with indexed vectors or enable strict mode "
                        "`search_allow_exact` option",
                        where);
    }
    return QV_OK;
}

static double input_cost(const struct qv__vector_input *in)
{
    return in->by_id                    ? 2 /* looked up, then compared */
           : in->kind == QV__VEC_MULTI  ? (double)in->n_rows
           : in->kind == QV__VEC_SPARSE ? ceil((double)in->dim / SPARSE_UNIT)
                                        : 1;
}

/* Comparisons with one point, and conditions on it; of stages that take points from the collection.
 */
static double stage_cost(const struct qv__query *q, bool *excludes)
{
    double cost = 0;
    if (!by_vectors(q)) {
        return 1;
    }
    bool average = q->kind == QV__QUERY_RECOMMEND;
    if (q->kind == QV__QUERY_NEAREST || q->kind == QV__QUERY_FEEDBACK ||
        q->kind == QV__QUERY_DISCOVER) {
        cost += input_cost(&q->target);
        *excludes = *excludes || q->target.by_id;
    }
    for (size_t side = 0; side < 2; side++) {
        const struct qv__vector_input *list = side ? q->negative : q->positive;
        size_t n = side ? q->n_negative : q->n_positive;
        for (size_t i = 0; i < n; i++) {
            cost += input_cost(&list[i]) - average;
            *excludes = *excludes || list[i].by_id;
        }
    }
    return cost + average;
}

/* Filters of a stage hold in the stages below it too. Returns whether an example is a point, which
 * one more condition leaves out. */
static double tree_cost(const struct qv__query *q, size_t conditions, bool *excludes)
{
    double cost = 0;
    conditions += qv__filter_conditions(q->filter);
    for (size_t i = 0; i < q->n_prefetch; i++) {
        cost += tree_cost(&q->prefetch[i], conditions, excludes);
    }
    return q->n_prefetch ? cost : stage_cost(q, excludes) + (double)conditions;
}

/* The nesting was bounded when the tree was made. */
static qv_status check_stage(struct qv__strict_call *s, const struct qv__query *q, bool is_root,
                             double limit)
{
    for (size_t i = 0; i < q->n_prefetch; i++) {
        QV_TRY(check_stage(s, &q->prefetch[i], false, (double)q->prefetch[i].limit));
    }
    if (!is_root || q->n_prefetch == 0) {
        QV_TRY(check_scan(s, q));
    }
    if (q->formula && s->strict->indexed_reads) {
        QV_TRY(qv__strict_fields(s, NULL, q->formula));
    }
    QV_TRY(qv__strict_limit(s, QV__STRICT_QUERY_LIMIT, limit));
    QV_TRY(check_filter(s, q->filter, s->strict->indexed_reads));
    QV_TRY(qv__strict_limit(s, QV__STRICT_OVERSAMPLING, (double)q->params.oversample));
    QV_TRY(qv__strict_limit(s, QV__STRICT_EF, q->params.ef));
    QV_TRY(check_filter(s, q->params.corpus, s->strict->indexed_reads));
    return q->params.exact ? qv__strict_exact(s) : QV_OK;
}

qv_status qv__strict_query(struct qv__strict_call *s, const struct qv__query *q, double limit,
                           const struct qv__group_by *by)
{
    bool excludes = false;
    s->cost += tree_cost(q, 0, &excludes) + excludes;
    if (by && s->strict->indexed_reads) {
        QV_TRY(qv__strict_grouping(s, &by->path));
    }
    return check_stage(s, q, true, limit);
}

/* --- writes --- */

/* A single-precision number is how the peer tells megabytes. */
static qv_status full(struct qv__strict_call *s, const char *what, double bytes)
{
    return qv__fail(s->err, QV_EINVAL, "Max %s storage size limit of %.8gMB reached!", what,
                    bytes / 1048576.0);
}

static bool reached(const struct qv__strict_call *s, enum qv__strict_knob knob, uint64_t value)
{
    double limit = s->strict->limit[knob];
    return limit >= 0 && (double)value >= limit;
}

/* What is there already; a request is not added to it, as in the peer. */
static qv_status check_size(struct qv__strict_call *s, bool payload_only)
{
    const double *limit = s->strict->limit;
    struct qv__collection_size size;
    if (limit[QV__STRICT_PAYLOAD_BYTES] < 0 &&
        (payload_only || (limit[QV__STRICT_VECTOR_BYTES] < 0 && limit[QV__STRICT_POINTS] < 0))) {
        return QV_OK;
    }
    QV_TRY(qv__collection_size(s->collection, &size, s->err));
    if (!payload_only && reached(s, QV__STRICT_VECTOR_BYTES, size.vector_bytes)) {
        return full(s, "vector", limit[QV__STRICT_VECTOR_BYTES]);
    }
    if (reached(s, QV__STRICT_PAYLOAD_BYTES, size.payload_bytes)) {
        return full(s, "payload", limit[QV__STRICT_PAYLOAD_BYTES]);
    }
    if (!payload_only && reached(s, QV__STRICT_POINTS, size.points)) {
        return qv__fail(s->err, QV_EINVAL, "Max points count limit of %.15g reached!",
                        limit[QV__STRICT_POINTS]);
    }
    return QV_OK;
}

static qv_status check_vector(struct qv__strict_call *s, const struct qv__named_vector *v)
{
    bool multi = v->kind == QV__VEC_MULTI;
    for (size_t i = 0; i < s->strict->n_vectors; i++) {
        const struct qv__strict_vector *x = &s->strict->vectors[i];
        uint32_t n = multi ? v->n_rows : v->dim;
        if (x->kind != v->kind || !qv__str_eq(x->name, v->name) || n <= x->max) {
            continue;
        }
        return qv__fail(s->err, QV_EINVAL,
                        multi ? "Multivector '%.*s' has a limit of %" PRIu64
                                " vectors, but %" PRIu32 " were provided!"
                              : "Sparse vector '%.*s' has a limit of %" PRIu64
                                " indices, but %" PRIu32 " were provided!",
                        (int)QV_MIN(v->name.n, QV__VECTOR_NAME_MAX), v->name.p, x->max, n);
    }
    return QV_OK;
}

static qv_status check_vectors(struct qv__strict_call *s, const struct qv__mutation *m)
{
    for (size_t i = 0; s->strict->n_vectors && i < m->n_points; i++) {
        for (uint32_t k = 0; k < m->points[i].n_vectors; k++) {
            QV_TRY(check_vector(s, &m->points[i].vectors[k]));
        }
    }
    return QV_OK;
}

/* The process's memory, of which its budget is the whole. Without a budget there is no such limit.
 */
static qv_status check_memory(struct qv__strict_call *s)
{
    double limit = s->strict->limit[QV__STRICT_MEMORY];
    struct qv__mem *mem = s->arena->mem;
    uint64_t used = 0, budget = 0;
    for (; limit >= 0 && mem; mem = qv__mem_parent(mem)) {
        budget = qv__mem_limit(mem) ? qv__mem_limit(mem) : budget;
        used = qv__mem_limit(mem) ? qv__mem_used(mem) : used;
    }
    double percent = budget ? floor((double)used * 100 / (double)budget) : 0;
    if (!budget || percent < limit) {
        return QV_OK;
    }
    return qv__fail(s->err, QV_EINVAL,
                    "Resident memory usage is at %.0f%% of total memory, exceeding the configured "
                    "limit of %.15g%%. Help: Reduce memory usage (e.g. delete points or drop "
                    "collections), or raise `max_resident_memory_percent` in the strict mode "
                    "config of this collection.",
                    percent, limit);
}

static qv_status check_mutation(struct qv__strict_call *s, const struct qv__mutation *m)
{
    bool points = m->kind == QV__MUT_UPSERT || m->kind == QV__MUT_UPDATE_VECTORS;
    bool payload = m->kind == QV__MUT_SET_PAYLOAD || m->kind == QV__MUT_OVERWRITE_PAYLOAD ||
                   m->kind == QV__MUT_MODIFY_PAYLOAD;
    if (points && exceeds(s, QV__STRICT_UPSERT_BATCH, (double)m->n_points)) {
        return above(s, QV__STRICT_UPSERT_BATCH,
                     m->kind == QV__MUT_UPSERT ? "upsert limit" : "update limit",
                     (double)m->n_points);
    }
    if (points || payload) {
        QV_TRY(check_size(s, payload));
        QV_TRY(check_memory(s));
    }
    QV_TRY(check_vectors(s, m));
    /* Asked of the points that are named, so no index would serve it. */
    QV_TRY(check_filter(s, m->condition, false));
    return m->by_filter ? check_filter(s, m->filter, s->strict->indexed_updates) : QV_OK;
}

static qv_status take(struct qv__strict_call *s, enum qv__rate_kind kind, double limit, double cost)
{
    double left, wait_s;
    const char *what = kind == QV__RATE_READS ? "Read" : "Write";
    if (limit < 0 || qv__rate_take(qv__collection_rate(s->collection, kind), limit, cost,
                                   qv__mono_ns(s->ctx->clock), &left, &wait_s)) {
        return QV_OK;
    }
    s->retry_after_s = isinf(wait_s) ? 0 : ceil(wait_s);
    if (isinf(wait_s)) {
        return qv__fail(s->err, QV_ERATE,
                        "%s rate limit exceeded, request larger than rate limiter capacity, please "
                        "try to split your request",
                        what);
    }
    return qv__fail(s->err, QV_ERATE,
                    "%s rate limit exceeded: Operation requires %.15g tokens but only %.1f were "
                    "available. Retry after %.0fs",
                    what, cost, floor(left * 10) / 10, s->retry_after_s);
}

/* Points that are touched; of a filter about as many as its indexes say. */
static qv_status write_cost(struct qv__strict_call *s, const struct qv__mutation *m, double *out)
{
    uint64_t low = 0, high = 0;
    double n = m->n_points ? (double)m->n_points : (double)m->n_ids;
    if (m->by_filter && m->n_ids == 0) {
        QV_TRY(qv__collection_count_bounds(s->collection, m->filter, s->ctx, &low, &high, s->err));
        n = (double)(low + (high - low) / 2);
    }
    *out += QV_MAX(n, 1.0);
    return QV_OK;
}

qv_status qv__strict_write(struct qv__strict_call *s, const struct qv__mutation *m, size_t n)
{
    double cost = 0, limit = s->strict->limit[QV__STRICT_WRITE_RATE];
    for (size_t i = 0; i < n; i++) {
        QV_TRY(check_mutation(s, &m[i]));
    }
    for (size_t i = 0; limit >= 0 && i < n; i++) {
        QV_TRY(write_cost(s, &m[i], &cost));
    }
    return take(s, QV__RATE_WRITES, limit, cost);
}

qv_status qv__strict_index(struct qv__strict_call *s, struct qv__str key)
{
    double limit = s->strict->limit[QV__STRICT_INDEXES];
    bool replaced = false;
    for (uint32_t i = 0; i < s->schema->n_indexes; i++) {
        replaced = replaced || qv__path_same(s->schema->indexes[i].key, key);
    }
    if (!replaced && reached(s, QV__STRICT_INDEXES, s->schema->n_indexes)) {
        return qv__fail(s->err, QV_EINVAL,
                        "Collection already has the maximum number of payload indices (%.15g). "
                        "Help: Please delete an existing index before creating a new one.",
                        limit);
    }
    QV_TRY(check_memory(s));
    return take(s, QV__RATE_WRITES, s->strict->limit[QV__STRICT_WRITE_RATE], 1);
}

qv_status qv__strict_read_rate(struct qv__strict_call *s)
{
    return s->is_paid ? QV_OK
                      : take(s, QV__RATE_READS, s->strict->limit[QV__STRICT_READ_RATE], s->cost);
}
