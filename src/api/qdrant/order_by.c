/* order_by.c: by which field, in which direction and from which value points are ordered. */
#include "api/qdrant/qdrant.h"

#include <stdio.h>

static qv_status parse_direction(struct qv__call *c, qv__json v, const char *place,
                                 struct qv__order *out)
{
    struct qv__str text = {"", 0};
    if (!qv__qd_given(v)) {
        return QV_OK;
    }
    bool known = qv__json_str(v, &text);
    out->descending = qv__str_eq(text, QV__STR("desc"));
    if (!known || (!out->descending && !qv__str_eq(text, QV__STR("asc")))) {
        return qv__qd_fail(c, QV__QD_FORMAT,
                           "%s%s.direction: unknown variant `%.*s`, expected `asc` or `desc`",
                           c->place, place, (int)QV_MIN(text.n, (size_t)64), text.p);
    }
    return QV_OK;
}

/* A number, or a date; dates are microseconds. */
static qv_status parse_start(struct qv__call *c, qv__json v, const char *place,
                             struct qv__order *out)
{
    struct qv__str text;
    if (!qv__qd_given(v)) {
        return QV_OK;
    }
    if (qv__json_is(v, QV__JSON_I64)) {
        out->start = QV__START_INT;
        out->start_int = v->i;
        return QV_OK;
    }
    if (qv__json_f64(v, &out->start_float)) {
        out->start = QV__START_FLOAT;
        return QV_OK;
    }
    out->start = QV__START_INT;
    if (!qv__json_str(v, &text) || !qv__datetime_parse(text, &out->start_int)) {
        return qv__qd_fail(
            c, QV__QD_FORMAT, "%s%s.start_from: expected a number or a date (RFC 3339), not %s",
            c->place, place, qv__json_is(v, QV__JSON_STR) ? "another string" : qv__qd_kind_name(v));
    }
    return QV_OK;
}

qv_status qv__qd_order_by(struct qv__call *c, qv__json v, const char *place,
                          const struct qv__order_by **out)
{
    struct qv__order_by *by = qv__arena_zalloc(c->arena, sizeof *by);
    bool object = qv__json_is(v, QV__JSON_OBJ);
    qv__json key = object ? qv__json_get(v, "key") : v;
    char field[64];
    if (!by) {
        return qv__qd_no_memory(c);
    }
    if (!qv__json_str(key, &by->key)) {
        return qv__qd_fail(c, QV__QD_FORMAT,
                           "%s%s: Expected a string, or an object with a key, direction and/or "
                           "start_from",
                           c->place, place);
    }
    (void)snprintf(field, sizeof field, "%s%s", place, object ? ".key" : "");
    QV_TRY(qv__qd_path(c, key, field, &by->path));
    if (object) {
        QV_TRY(parse_direction(c, qv__json_get(v, "direction"), place, &by->order));
        QV_TRY(parse_start(c, qv__json_get(v, "start_from"), place, &by->order));
    }
    *out = by;
    return QV_OK;
}
