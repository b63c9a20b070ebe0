/* query_routes.c: queries, single and in batches, universal and legacy, executed and written out.
 */
#include "api/issues.h"
#include "api/qdrant/qdrant.h"

#include <stdio.h>

typedef qv_status (*parse_fn)(struct qv__call *c, qv__json obj, struct qv__qd_query *out);

/* --- examples by id
 * ---------------------------------------------------------------------------------------- */

qv_status qv__qd_lookup_open(struct qv__call *c, struct qv__str name, struct qv__collection **out)
{
    qv_status st = qv__db_collection(c->db, name, out, &c->err);
    if (st == QV_ENOTFOUND) {
        (void)qv__fail(&c->err, st, "Collection %.*s not found", (int)QV_MIN(name.n, (size_t)255),
                       name.p);
    }
    return st;
}

/* Examples must exist where they are looked up, and be such as the principal may see. */
static qv_status inputs_visible(struct qv__call *c, struct qv__collection *from,
                                const struct qv__vector_input *in, size_t n)
{
    struct qv__fetch none = {.payload = {.kind = QV__SELECT_NONE}};
    char text[64];
    for (size_t i = 0; i < n; i++) {
        struct qv__result_set rs = {0};
        if (!in[i].by_id) {
            continue;
        }
        QV_TRY(qv__qd_get(c, from, &in[i].id, 1, &none, &rs));
        bool found = rs.n > 0;
        qv__result_free(&rs);
        if (!found) {
            return qv__fail(&c->err, QV_ENOTFOUND, "No point with id %s found",
                            qv__id_text(&in[i].id, text, sizeof text));
        }
    }
    return QV_OK;
}

/* Where examples are looked up there is the vector that is to be taken of them. */
static qv_status lookup_vector(struct qv__call *c, struct qv__collection *from,
                               const struct qv__query *q)
{
    struct qv__str name = q->lookup_vector.p ? q->lookup_vector : q->using_vector;
    struct qv__schema *s = qv__collection_schema(from);
    int at = qv__schema_vector(s, name);
    qv__schema_release(s);
    return at >= 0 ? QV_OK
                   : qv__fail(&c->err, QV_EINVAL, "Not existing vector name error: %.*s",
                              (int)QV_MIN(name.n, (size_t)64), name.p);
}

/* Depth is bounded by the JSON's. */
static qv_status check_stage(struct qv__call *c, const struct qv__query *q)
{
    struct qv__collection *lookup = NULL;
    qv_status st = QV_OK;
    if (q->lookup_collection.n) {
        QV_TRY(qv__qd_lookup_open(c, q->lookup_collection,
                                  &lookup)); /* the peer's text when there is none */
    }
    if (lookup || c->request->principal.forced_filter) {
        struct qv__collection *from = lookup ? lookup : c->collection;
        st = inputs_visible(c, from, &q->target, 1);
        if (st == QV_OK) {
            st = inputs_visible(c, from, q->positive, q->n_positive);
        }
        if (st == QV_OK) {
            st = inputs_visible(c, from, q->negative, q->n_negative);
        }
    }
    if (lookup && st == QV_OK) {
        st = lookup_vector(c, lookup, q);
    }
    qv__collection_release(lookup);
    for (size_t i = 0; st == QV_OK && i < q->n_prefetch; i++) {
        st = check_stage(c, &q->prefetch[i]);
    }
    return st;
}

/* Fusion takes its scores from lists, not from vectors. The peer says so after its look at the
 * examples. */
static qv_status no_using(struct qv__call *c, const struct qv__query *q)
{
    bool fuses = q->kind == QV__QUERY_RRF || q->kind == QV__QUERY_DBSF;
    if (fuses && q->using_vector.n) {
        return qv__qd_fail(c, QV__QD_BAD_REQUEST,
                           "Fusion queries cannot be combined with the 'using' field.");
    }
    for (size_t i = 0; i < q->n_prefetch; i++) {
        QV_TRY(no_using(c, &q->prefetch[i]));
    }
    return QV_OK;
}

qv_status qv__qd_check_examples(struct qv__call *c, const struct qv__query *q)
{
    QV_TRY(check_stage(c, q));
    return no_using(c, q);
}

/* --- execution
 * ------------------------------------------------------------------------------------------------
 */

static qv_status execute(struct qv__call *c, const struct qv__qd_query *q, bool legacy)
{
    struct qv__result_set rs = {0};
    QV_TRY(qv__qd_check_examples(c, &q->query));
    uint64_t begun = qv__mono_ns(qv__db_clock(c->db));
    QV_TRY(qv__collection_query(c->collection, &q->query, &q->fetch, &c->ctx, &rs, &c->err));
    qv__issues_query(c->request->api, c->collection, &q->query,
                     qv__mono_ns(qv__db_clock(c->db)) - begun);
    if (!legacy) {
        qv__jw_obj(&c->w);
        qv__jw_key(&c->w, "points");
    }
    qv_status st = qv__qd_points_write(c, &rs, &q->fetch, QV__QD_SCORED);
    if (!legacy) {
        qv__jw_obj_end(&c->w);
    }
    qv__result_free(&rs);
    return st;
}

static qv_status one(struct qv__call *c, parse_fn parse, const char *place, bool legacy)
{
    struct qv__qd_query q;
    (void)snprintf(c->place, sizeof c->place, "%s", place);
    QV_TRY(parse(c, c->body, &q));
    QV_TRY(qv__qd_strict_queries(c, &q, 1));
    return execute(c, &q, legacy);
}

/* All are parsed before the first runs: a batch with a mistake costs no search. */
static qv_status batch(struct qv__call *c, parse_fn parse, const char *place, bool legacy)
{
    qv__json list = NULL;
    QV_TRY(qv__qd_need(c, c->body, "searches", QV__JSON_ARR, &list));
    if (list->len > QV__QD_BATCH_MAX) {
        return qv__qd_fail(c, QV__QD_INVALID, "searches: %u searches invalid, must be at most %u",
                           list->len, QV__QD_BATCH_MAX);
    }
    struct qv__qd_query *queries =
        qv__arena_calloc(c->arena, (size_t)list->len + 1, sizeof *queries);
    if (!queries) {
        return qv__qd_no_memory(c);
    }
    qv__json v = qv__json_first(list);
    for (uint32_t i = 0; i < list->len; i++, v = qv__json_next(v)) {
        (void)snprintf(c->place, sizeof c->place, "searches[%u].%s", i, place);
        if (!qv__json_is(v, QV__JSON_OBJ)) {
            return qv__qd_fail(c, QV__QD_FORMAT, "searches[%u]: expected an object, not %s", i,
                               qv__qd_kind_name(v));
        }
        QV_TRY(parse(c, v, &queries[i]));
    }
    QV_TRY(qv__qd_strict_queries(c, queries, list->len));
    qv__jw_arr(&c->w);
    for (uint32_t i = 0; i < list->len; i++) {
        QV_TRY(execute(c, &queries[i], legacy));
    }
    qv__jw_arr_end(&c->w);
    return QV_OK;
}

qv_status qv__qd_points_query(struct qv__call *c)
{
    return one(c, qv__qd_query, "internal.", false);
}

qv_status qv__qd_points_query_batch(struct qv__call *c)
{
    return batch(c, qv__qd_query, "internal.", false);
}

qv_status qv__qd_points_search(struct qv__call *c)
{
    return one(c, qv__qd_search, "search_request.", true);
}

qv_status qv__qd_points_search_batch(struct qv__call *c)
{
    return batch(c, qv__qd_search, "search_request.", true);
}

qv_status qv__qd_points_recommend(struct qv__call *c)
{
    return one(c, qv__qd_recommend, "recommend_request.", true);
}

qv_status qv__qd_points_recommend_batch(struct qv__call *c)
{
    return batch(c, qv__qd_recommend, "recommend_request.", true);
}

qv_status qv__qd_points_discover(struct qv__call *c)
{
    return one(c, qv__qd_discover, "discover_request.", true);
}

qv_status qv__qd_points_discover_batch(struct qv__call *c)
{
    return batch(c, qv__qd_discover, "discover_request.", true);
}
