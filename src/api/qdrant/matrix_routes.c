/* matrix_routes.c: distances within a random sample, as pairs or as offsets into the sample. */
#include "api/qdrant/qdrant.h"
#include "engine/query_group.h"

#include <stdio.h>

static qv_status parse(struct qv__call *c, struct qv__matrix_request *out)
{
    bool given;
    *out = (struct qv__matrix_request){.using_vector = QV__STR(""), .sample = 10, .limit = 3};
    QV_TRY(qv__qd_no_shard_key(c, c->body));
    QV_TRY(qv__qd_filter(c, qv__json_get(c->body, "filter"), &out->filter));
    QV_TRY(qv__qd_str(c, c->body, "using", &given, &out->using_vector));
    QV_TRY(qv__qd_u64(c, c->body, "sample", &given, &out->sample));
    QV_TRY(qv__qd_range(c, "sample", out->sample, 2, out->sample < 2 ? 0 : QV__MATRIX_SAMPLE_MAX));
    QV_TRY(qv__qd_u64(c, c->body, "limit", &given, &out->limit));
    return qv__qd_range(c, "limit", out->limit, 1, out->limit ? QV__LIMIT_MAX / out->sample : 0);
}

static void show_pairs(struct qv__jw *w, const struct qv__matrix *m)
{
    qv__jw_obj(w);
    qv__jw_key(w, "pairs");
    qv__jw_arr(w);
    for (size_t i = 0; i < m->n; i++) {
        qv__jw_obj(w);
        qv__jw_key(w, "a");
        qv__qd_id_write(w, &m->points.points[m->hits[i].row].id);
        qv__jw_key(w, "b");
        qv__qd_id_write(w, &m->points.points[m->hits[i].col].id);
        qv__jw_key(w, "score");
        qv__qd_score_write(w, m->hits[i].score);
        qv__jw_obj_end(w);
    }
    qv__jw_arr_end(w);
    qv__jw_obj_end(w);
}

static void show_offsets(struct qv__jw *w, const struct qv__matrix *m)
{
    qv__jw_obj(w);
    qv__jw_key(w, "offsets_row");
    qv__jw_arr(w);
    for (size_t i = 0; i < m->n; i++) {
        qv__jw_u64(w, m->hits[i].row);
    }
    qv__jw_arr_end(w);
    qv__jw_key(w, "offsets_col");
    qv__jw_arr(w);
    for (size_t i = 0; i < m->n; i++) {
        qv__jw_u64(w, m->hits[i].col);
    }
    qv__jw_arr_end(w);
    qv__jw_key(w, "scores");
    qv__jw_arr(w);
    for (size_t i = 0; i < m->n; i++) {
        qv__qd_score_write(w, m->hits[i].score);
    }
    qv__jw_arr_end(w);
    qv__jw_key(w, "ids");
    qv__jw_arr(w);
    for (size_t i = 0; i < m->points.n; i++) {
        qv__qd_id_write(w, &m->points.points[i].id);
    }
    qv__jw_arr_end(w);
    qv__jw_obj_end(w);
}

static qv_status matrix(struct qv__call *c,
                        void (*show)(struct qv__jw *, const struct qv__matrix *))
{
    struct qv__matrix_request request;
    struct qv__matrix m = {.n = 0};
    (void)snprintf(c->place, sizeof c->place, "search_request.");
    QV_TRY(parse(c, &request));
    QV_TRY(qv__qd_strict_filtered(c, request.filter, request.limit * request.sample, false));
    QV_TRY(qv__collection_matrix(c->collection, &request, &c->ctx, &m, &c->err));
    show(&c->w, &m);
    qv__result_free(&m.points);
    return QV_OK;
}

qv_status qv__qd_points_matrix_pairs(struct qv__call *c)
{
    return matrix(c, show_pairs);
}

qv_status qv__qd_points_matrix_offsets(struct qv__call *c)
{
    return matrix(c, show_offsets);
}
