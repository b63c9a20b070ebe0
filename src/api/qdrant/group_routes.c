/* group_routes.c: queries answered in groups by a payload value, universal and legacy, each group
 * with the point of another collection that its value names when that is asked for. */
#include "api/issues.h"
#include "api/qdrant/qdrant.h"
#include "engine/query_group.h"

#include <stdio.h>

struct lookup {
    struct qv__collection *from; /* NULL = none; retained */
    struct qv__fetch fetch;
};

typedef qv_status (*parse_fn)(struct qv__call *c, qv__json obj, struct qv__qd_query *out);

/* --- the request
 * ---------------------------------------------------------------------------------------- */

static qv_status parse_group_by(struct qv__call *c, qv__json obj, bool legacy, uint64_t limit,
                                struct qv__group_by *out)
{
    qv__json key = qv__json_get(obj, "group_by");
    bool given;
    out->groups = limit;
    out->size = 3;
    QV_TRY(qv__qd_path(c, key, "group_by", &out->path));
    (void)qv__json_str(key, &out->key);
    QV_TRY(qv__qd_u64(c, obj, "group_size", &given, &out->size));
    if (legacy && !given) {
        return qv__qd_expected(c, "group_size", "an unsigned integer", NULL);
    }
    return qv__qd_range(c, "group_size", out->size, 1, out->size ? QV__LIMIT_MAX / out->groups : 0);
}

/* with_lookup: a collection's name, or an object with it. */
static qv_status parse_lookup(struct qv__call *c, qv__json obj, struct lookup *out)
{
    qv__json v = qv__json_get(obj, "with_lookup");
    struct qv__str name;
    bool given = true;
    if (!qv__qd_given(v)) {
        return QV_OK;
    }
    if (!qv__json_is(v, QV__JSON_OBJ) && !qv__json_str(v, &name)) {
        return qv__qd_expected(c, "with_lookup", "a collection's name or an object", v);
    }
    if (qv__json_is(v, QV__JSON_OBJ)) {
        QV_TRY(qv__qd_str(c, v, "collection", &given, &name));
    }
    if (!given) {
        return qv__qd_expected(c, "with_lookup.collection", "a string", NULL);
    }
    QV_TRY(qv__qd_fetch(c, v, true, &out->fetch));
    return qv__qd_lookup_open(c, name, &out->from);
}

/* --- the answer
 * ----------------------------------------------------------------------------------------- */

/* The point whose id is the group's value; nothing when it can be none. */
static qv_status write_lookup(struct qv__call *c, const struct lookup *l, const struct qv__value *v)
{
    struct qv__result_set rs = {0};
    struct qv__id id;
    qv_status st = QV_OK;
    if (v->tag == QV__TAG_STR ? !qv__id_parse_uuid(v->s, &id) : v->tag == QV__TAG_I64 && v->i < 0) {
        return QV_OK;
    }
    if (v->tag != QV__TAG_STR) {
        id = qv__id_u64(v->u);
    }
    QV_TRY(qv__qd_get(c, l->from, &id, 1, &l->fetch, &rs));
    if (rs.n) {
        qv__jw_key(&c->w, "lookup");
        st = qv__qd_point_write(c, &rs, 0, &l->fetch, QV__QD_RECORD);
    }
    qv__result_free(&rs);
    return st;
}

static qv_status write_groups(struct qv__call *c, const struct qv__group_set *set,
                              const struct qv__fetch *f, const struct lookup *lookup)
{
    qv__jw_obj(&c->w);
    qv__jw_key(&c->w, "groups");
    qv__jw_arr(&c->w);
    for (size_t i = 0; i < set->n; i++) {
        const struct qv__group *g = &set->groups[i];
        qv__jw_obj(&c->w);
        qv__jw_key(&c->w, "hits");
        qv__jw_arr(&c->w);
        for (size_t k = 0; k < g->n; k++) {
            QV_TRY(qv__qd_point_write(c, &set->points, g->first + k, f, QV__QD_SCORED));
        }
        qv__jw_arr_end(&c->w);
        qv__jw_key(&c->w, "id");
        qv__value_to_json(&c->w, &g->value);
        if (lookup->from) {
            QV_TRY(write_lookup(c, lookup, &g->value));
        }
        qv__jw_obj_end(&c->w);
    }
    qv__jw_arr_end(&c->w);
    qv__jw_obj_end(&c->w);
    return QV_OK;
}

static qv_status groups(struct qv__call *c, parse_fn parse, const char *place, bool legacy)
{
    struct qv__qd_query q;
    struct qv__group_by by = {.size = 0};
    struct qv__group_set set = {.n = 0};
    struct lookup lookup = {.from = NULL};
    (void)snprintf(c->place, sizeof c->place, "%s", place);
    QV_TRY(parse(c, c->body, &q));
    q.query.offset = 0;
    QV_TRY(parse_group_by(c, c->body, legacy, q.query.limit, &by));
    QV_TRY(qv__qd_strict_groups(c, &q.query, &by));
    QV_TRY(qv__qd_check_examples(c, &q.query));
    qv_status st = QV_OK;
    uint64_t begun = qv__mono_ns(qv__db_clock(c->db));
    QV_GOTO(parse_lookup(c, c->body, &lookup));
    QV_GOTO(qv__collection_query_groups(c->collection, &q.query, &by, &q.fetch, &c->ctx, &set,
                                        &c->err));
    qv__issues_query(c->request->api, c->collection, &q.query,
                     qv__mono_ns(qv__db_clock(c->db)) - begun);
    st = write_groups(c, &set, &q.fetch, &lookup);
    qv__result_free(&set.points);
out:
    qv__collection_release(lookup.from);
    return st;
}

qv_status qv__qd_points_query_groups(struct qv__call *c)
{
    return groups(c, qv__qd_query, "internal.", false);
}

qv_status qv__qd_points_search_groups(struct qv__call *c)
{
    return groups(c, qv__qd_search, "search_group_request.", true);
}

qv_status qv__qd_points_recommend_groups(struct qv__call *c)
{
    return groups(c, qv__qd_recommend, "recommend_group_request.", true);
}
