/* filter_parse_geo.c: the three geographic conditions. */
#include <float.h>
#include <math.h>

#include "payload/filter_parse.h"

#define RING_POINTS_MIN 4u

static qv_status number(struct qv__fp *fp, const struct qv__fp_at *at, const char *key, qv__json v,
                        double *out)
{
    struct qv__fp_at here = {.up = at, .key = key};
    return qv__json_f64(v, out) ? QV_OK : qv__fp_expected(fp, &here, "a number", v);
}

static qv_status point(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                       struct qv__geo_point *out)
{
    static const char *const names[] = {"lon", "lat"};
    qv__json slots[2];
    if (!v) {
        return qv__fp_expected(fp, at, "a point with \"lon\" and \"lat\"", v);
    }
    QV_TRY(qv__fp_members(fp, at, v, names, 2, slots));
    QV_TRY(number(fp, at, "lon", slots[0], &out->lon));
    QV_TRY(number(fp, at, "lat", slots[1], &out->lat));
    if (!(out->lon >= -180 && out->lon <= 180 && out->lat >= -90 && out->lat <= 90)) {
        return qv__fp_fail(fp, at, QV_EINVAL,
                           "Wrong format of GeoPoint payload: expected `lat` = %.17g within "
                           "[-90;90] and `lon` = %.17g within [-180;180]",
                           out->lat, out->lon);
    }
    return QV_OK;
}

qv_status qv__fp_geo_box(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                         struct qv__cond *cond)
{
    static const char *const names[] = {"top_left", "bottom_right"};
    qv__json slots[2];
    struct qv__fp_at top_left = {.up = at, .key = names[0]};
    struct qv__fp_at bottom_right = {.up = at, .key = names[1]};
    QV_TRY(qv__fp_members(fp, at, v, names, 2, slots));
    QV_TRY(point(fp, &top_left, slots[0], &cond->box.top_left));
    QV_TRY(point(fp, &bottom_right, slots[1], &cond->box.bottom_right));
    cond->kind = QV__COND_GEO_BOX;
    return QV_OK;
}

qv_status qv__fp_geo_radius(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                            struct qv__cond *cond)
{
    static const char *const names[] = {"center", "radius"};
    qv__json slots[2];
    struct qv__fp_at center = {.up = at, .key = names[0]};
    QV_TRY(qv__fp_members(fp, at, v, names, 2, slots));
    QV_TRY(point(fp, &center, slots[0], &cond->radius.center));
    QV_TRY(number(fp, at, names[1], slots[1], &cond->radius.radius_m));
    cond->kind = QV__COND_GEO_RADIUS;
    return QV_OK;
}

static qv_status ring_points(struct qv__fp *fp, const struct qv__fp_at *at, qv__json list,
                             struct qv__geo_ring *out)
{
    if (!qv__json_is(list, QV__JSON_ARR)) {
        return qv__fp_expected(fp, at, "an array of points", list);
    }
    QV_TRY(qv__fp_take_values(fp, at, list->len));
    struct qv__geo_point *points =
        qv__arena_calloc(fp->arena, (size_t)QV_MAX(list->len, 1), sizeof *points);
    if (!points) {
        return qv__fp_no_memory(fp);
    }
    qv__json e = qv__json_first(list);
    for (uint32_t i = 0; i < list->len; i++) {
        struct qv__fp_at here = {.up = at, .index = i};
        QV_TRY(point(fp, &here, e, &points[i]));
        e = qv__json_next(e);
    }
    *out = (struct qv__geo_ring){points, list->len};
    return QV_OK;
}

static qv_status ring(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                      struct qv__geo_ring *out)
{
    static const char *const names[] = {"points"};
    qv__json list;
    struct qv__fp_at here = {.up = at, .key = names[0]};
    if (!v) {
        return qv__fp_expected(fp, at, "a line with \"points\"", v);
    }
    QV_TRY(qv__fp_members(fp, at, v, names, 1, &list));
    QV_TRY(ring_points(fp, &here, list, out));
    if (out->n < RING_POINTS_MIN) {
        return qv__fp_fail(fp, &here, QV_EINVAL,
                           "polygon invalid, the size must be at least 4, got %zu", out->n);
    }
    struct qv__geo_point first = out->points[0];
    struct qv__geo_point last = out->points[out->n - 1];
    if (fabs(first.lat - last.lat) > DBL_EPSILON || fabs(first.lon - last.lon) > DBL_EPSILON) {
        return qv__fp_fail(fp, &here, QV_EINVAL,
                           "polygon invalid, the first and the last points should be the same to "
                           "form a closed line");
    }
    return QV_OK;
}

static qv_status interiors(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                           struct qv__cond *cond)
{
    if (!qv__json_is(v, QV__JSON_ARR)) {
        return qv__fp_expected(fp, at, "an array of lines", v);
    }
    QV_TRY(qv__fp_take_values(fp, at, v->len));
    struct qv__geo_ring *rings = qv__arena_calloc(fp->arena, (size_t)QV_MAX(v->len, 1), sizeof *rings);
    if (!rings) {
        return qv__fp_no_memory(fp);
    }
    qv__json e = qv__json_first(v);
    for (uint32_t i = 0; i < v->len; i++) {
        struct qv__fp_at here = {.up = at, .index = i};
        QV_TRY(ring(fp, &here, e, &rings[i]));
        e = qv__json_next(e);
    }
    cond->polygon.interiors = rings;
    cond->polygon.n_interiors = v->len;
    return QV_OK;
}

qv_status qv__fp_geo_polygon(struct qv__fp *fp, const struct qv__fp_at *at, qv__json v,
                             struct qv__cond *cond)
{
    static const char *const names[] = {"exterior", "interiors"};
    qv__json slots[2];
    struct qv__fp_at exterior = {.up = at, .key = names[0]};
    struct qv__fp_at holes = {.up = at, .key = names[1]};
    QV_TRY(qv__fp_members(fp, at, v, names, 2, slots));
    cond->kind = QV__COND_GEO_POLYGON;
    cond->polygon.interiors = NULL;
    cond->polygon.n_interiors = 0;
    QV_TRY(ring(fp, &exterior, slots[0], &cond->polygon.exterior));
    return qv__fp_given(slots[1]) ? interiors(fp, &holes, slots[1], cond) : QV_OK;
}
