/* write_extras.c: members of write bodies that the peer does not have: when a point expires, which
 * version it must have.
 *
 * Both are optional and named so that no member of the peer's is meant by them. What is relative to
 * the clock becomes an instant here, once, and is logged as such. */
#include "api/qdrant/qdrant.h"

#define YEAR_9999_MS INT64_C(253402300799999)

/* One instant for all points of a request. */
static int64_t now_of(struct qv__call *c)
{
    if (c->ctx.now_ms == 0) {
        c->ctx.now_ms = (int64_t)qv__wall_ms(c->ctx.clock);
    }
    return c->ctx.now_ms;
}

static qv_status instant(struct qv__call *c, qv__json v, int64_t *out)
{
    static const char field[] = "expires_at";
    static const char form[] = "an RFC 3339 date-time, Unix milliseconds, or \"never\"";
    struct qv__str text;
    int64_t us;
    uint64_t ms = 0;
    if (qv__json_str(v, &text)) {
        if (qv__str_eq(text, QV__STR("never"))) {
            *out = INT64_MAX;
            return QV_OK;
        }
        if (!qv__datetime_parse(text, &us)) {
            return qv__qd_fail(c, QV__QD_FORMAT, "%s%s: expected %s, not `%.*s`", c->place, field,
                               form, (int)QV_MIN(text.n, (size_t)64), text.p);
        }
        /* Before 1970 is as good as 1970; never beyond what can be written back. */
        us = QV_MIN(QV_MAX(us, INT64_C(1000)), YEAR_9999_MS * 1000);
        *out = us / 1000;
        return QV_OK;
    }
    if (!qv__json_u64(v, &ms)) {
        return qv__qd_expected(c, field, form, v);
    }
    QV_TRY(qv__qd_range(c, field, ms, 1, (uint64_t)YEAR_9999_MS));
    *out = (int64_t)ms;
    return QV_OK;
}

qv_status qv__qd_expiry(struct qv__call *c, qv__json obj, int64_t *out)
{
    qv__json at = qv__json_get(obj, "expires_at");
    double ttl = 0;
    bool given;
    *out = 0;
    QV_TRY(qv__qd_f64(c, obj, "ttl", &given, &ttl));
    if (given && qv__qd_given(at)) {
        return qv__qd_fail(c, QV__QD_INVALID, "%sttl: not together with expires_at", c->place);
    }
    if (qv__qd_given(at)) {
        return instant(c, at, out);
    }
    if (given) {
        if (!(ttl > 0 && ttl <= (double)(QV__TTL_MS_MAX / 1000))) {
            return qv__qd_fail(c, QV__QD_INVALID,
                               "%sttl: value %g invalid, must be seconds above 0 and at most %u",
                               c->place, ttl, (unsigned)(QV__TTL_MS_MAX / 1000));
        }
        *out = now_of(c) + QV_MAX((int64_t)(ttl * 1000), INT64_C(1));
    }
    return QV_OK;
}

qv_status qv__qd_if_version(struct qv__call *c, qv__json obj, struct qv__expected *out)
{
    return qv__qd_u64(c, obj, "if_version", &out->given, &out->version);
}
