/* points_read.c: points by id, in id order, and counts. */
#include "api/qdrant/qdrant.h"

qv_status qv__qd_point_get(struct qv__call *c)
{
    struct qv__id id;
    struct qv__result_set rs = {0};
    struct qv__fetch f = {.payload = {.kind = QV__SELECT_ALL}, .vectors = QV__VECTORS_ALL};
    char text[64];
    QV_TRY(qv__qd_id_text(c, c->params[1], &id));
    QV_TRY(qv__qd_strict_ids(c, 1));
    QV_TRY(qv__qd_get(c, c->collection, &id, 1, &f, &rs));
    if (rs.n) {
        qv_status st = qv__qd_point_write(c, &rs, 0, &f, QV__QD_RECORD);
        qv__result_free(&rs);
        return st;
    }
    qv__result_free(&rs);
    return qv__fail(&c->err, QV_ENOTFOUND, "Point with id %s does not exists!",
                    qv__id_text(&id, text, sizeof text));
}

qv_status qv__qd_points_get(struct qv__call *c)
{
    struct qv__result_set rs = {0};
    struct qv__fetch f;
    struct qv__id *ids = NULL;
    size_t n = 0;
    QV_TRY(qv__qd_no_shard_key(c, c->body));
    QV_TRY(qv__qd_fetch(c, c->body, true, &f));
    QV_TRY(qv__qd_ids(c, qv__json_get(c->body, "ids"), "ids", &ids, &n));
    QV_TRY(qv__qd_strict_ids(c, n));
    QV_TRY(qv__qd_get(c, c->collection, ids, n, &f, &rs));
    qv_status st = qv__qd_points_write(c, &rs, &f, QV__QD_RECORD);
    qv__result_free(&rs);
    return st;
}

/* A page in the order of a field. There is no offset to go on from: paging is by start_from. */
static qv_status scroll_ordered(struct qv__call *c, qv__json order_by, uint64_t limit,
                                const struct qv__filter *filter, const struct qv__fetch *f,
                                struct qv__result_set *rs)
{
    struct qv__query q = {.kind = QV__QUERY_ORDER_BY, .limit = limit, .filter = filter};
    QV_TRY(qv__qd_order_by(c, order_by, "order_by", &q.order_by));
    if (qv__qd_given(qv__json_get(c->body, "offset"))) {
        return qv__fail(&c->err, QV_EINVAL,
                        "Cannot use an `offset` when using `order_by`. The alternative for paging "
                        "is to use `order_by.start_from` and a filter to exclude the IDs that "
                        "you've already seen for the `order_by.start_from` value");
    }
    return qv__collection_query(c->collection, &q, f, &c->ctx, rs, &c->err);
}

qv_status qv__qd_points_scroll(struct qv__call *c)
{
    struct qv__result_set rs = {0};
    struct qv__fetch f;
    const struct qv__filter *filter = NULL;
    struct qv__id from;
    uint64_t limit = 10;
    bool given;
    qv__json offset = qv__json_get(c->body, "offset");
    qv__json order_by = qv__json_get(c->body, "order_by");
    QV_TRY(qv__qd_no_shard_key(c, c->body));
    QV_TRY(qv__qd_u64(c, c->body, "limit", &given, &limit));
    QV_TRY(qv__qd_page(c, "scroll_request.limit", &limit));
    QV_TRY(qv__qd_fetch(c, c->body, true, &f));
    QV_TRY(qv__qd_filter(c, qv__json_get(c->body, "filter"), &filter));
    if (qv__qd_given(offset)) {
        QV_TRY(qv__qd_id(c, offset, "offset", &from));
    }
    QV_TRY(qv__qd_strict_filtered(c, filter, limit, false));
    if (qv__qd_given(order_by)) {
        QV_TRY(scroll_ordered(c, order_by, limit, filter, &f, &rs));
    } else {
        QV_TRY(qv__collection_scroll(c->collection, qv__qd_given(offset) ? &from : NULL, limit,
                                     filter, &f, &c->ctx, &rs, &c->err));
    }
    qv__jw_obj(&c->w);
    qv__jw_key(&c->w, "points");
    qv_status st = qv__qd_points_write(c, &rs, &f, QV__QD_RECORD);
    qv__jw_key(&c->w, "next_page_offset");
    if (rs.has_next) {
        qv__qd_id_write(&c->w, &rs.next_offset);
    } else {
        qv__jw_null(&c->w);
    }
    qv__jw_obj_end(&c->w);
    qv__result_free(&rs);
    return st;
}

/* Not exact: the middle of the bounds that the indexes give, and the bounds themselves. */
static qv_status count_about(struct qv__call *c, const struct qv__filter *filter)
{
    uint64_t low = 0, high = 0;
    QV_TRY(qv__collection_count_bounds(c->collection, filter, &c->ctx, &low, &high, &c->err));
    qv__jw_obj(&c->w);
    qv__jw_key(&c->w, "count");
    qv__jw_u64(&c->w, low + (high - low + 1) / 2);
    qv__qd_key_u64(&c->w, "at_least", low);
    qv__qd_key_u64(&c->w, "at_most", high);
    qv__jw_obj_end(&c->w);
    return QV_OK;
}

qv_status qv__qd_points_count(struct qv__call *c)
{
    const struct qv__filter *filter = NULL;
    uint64_t n = 0;
    bool given, exact = true;
    QV_TRY(qv__qd_no_shard_key(c, c->body));
    QV_TRY(qv__qd_bool(c, c->body, "exact", &given, &exact));
    QV_TRY(qv__qd_filter(c, qv__json_get(c->body, "filter"), &filter));
    QV_TRY(qv__qd_strict_filtered(c, filter, 0, exact));
    if (!exact) {
        return count_about(c, filter);
    }
    QV_TRY(qv__collection_count(c->collection, filter, &c->ctx, &n, &c->err));
    qv__jw_obj(&c->w);
    qv__jw_key(&c->w, "count");
    qv__jw_u64(&c->w, n);
    qv__jw_obj_end(&c->w);
    return QV_OK;
}

static void write_facet(struct qv__jw *w, const struct qv__facet *f)
{
    qv__jw_obj(w);
    qv__jw_key(w, "value");
    switch (f->value.kind) {
    case QV__MATCH_STR:
        qv__jw_str_n(w, f->value.s);
        break;
    case QV__MATCH_INT:
        qv__jw_i64(w, f->value.i);
        break;
    case QV__MATCH_BOOL:
    default:
        qv__jw_bool(w, f->value.b);
        break;
    }
    qv__qd_key_u64(w, "count", f->count);
    qv__jw_obj_end(w);
}

/* The peer wants an index on the key; here one is only faster. Counts are exact, `exact` or not. */
qv_status qv__qd_points_facet(struct qv__call *c)
{
    const struct qv__filter *filter = NULL;
    struct qv__facet_result r = {.n = 0};
    struct qv__path path;
    qv__json key = NULL;
    uint64_t limit = 10;
    bool given, exact = false;
    QV_TRY(qv__qd_no_shard_key(c, c->body));
    QV_TRY(qv__qd_need(c, c->body, "key", QV__JSON_STR, &key));
    QV_TRY(qv__qd_path(c, key, "key", &path));
    QV_TRY(qv__qd_u64(c, c->body, "limit", &given, &limit));
    QV_TRY(qv__qd_range(c, "limit", limit, 1, limit ? QV__LIMIT_MAX : 0));
    QV_TRY(qv__qd_bool(c, c->body, "exact", &given, &exact));
    QV_TRY(qv__qd_filter(c, qv__json_get(c->body, "filter"), &filter));
    QV_TRY(qv__qd_strict_filtered(c, filter, limit, exact));
    qv_status st = qv__collection_facet(c->collection, &path, filter, limit, &c->ctx, &r, &c->err);
    if (st == QV_OK) {
        qv__jw_obj(&c->w);
        qv__jw_key(&c->w, "hits");
        qv__jw_arr(&c->w);
        for (size_t i = 0; i < r.n; i++) {
            write_facet(&c->w, &r.facets[i]);
        }
        qv__jw_arr_end(&c->w);
        qv__jw_obj_end(&c->w);
    }
    qv__arena_free(&r.arena);
    return st;
}
