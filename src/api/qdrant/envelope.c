/* envelope.c: the frame around every answer, and how an error is told.
 *
 * {"result": ..., "status": "ok", "time": s} or {"status": {"error": "..."}, "time": s}. The HTTP
 * status is that of the code's table entry, save where the dialect has a kind of its own. Error
 * texts may quote a client's bytes and are cut at a fixed length, so they are made UTF-8 again
 * before they become JSON. */
#include "api/qdrant/qdrant.h"

#include <stdarg.h>
#include <stdio.h>

#include "api/strict.h"
#include "api/text.h"

#define TYPE_JSON "application/json"

static void write_time(struct qv__call *c)
{
    uint64_t now = qv__mono_ns(c->ctx.clock);
    uint64_t ns = now > c->request->started_ns ? now - c->request->started_ns : 0;
    qv__jw_key(&c->w, "time");
    qv__jw_f64(&c->w, (double)ns / 1e9);
}

void qv__qd_ok_begin(struct qv__call *c)
{
    c->request->response.http_status = 200;
    c->request->response.content_type = TYPE_JSON;
    qv__jw_init(&c->w, &c->request->response.body);
    qv__jw_obj(&c->w);
    qv__jw_key(&c->w, "result");
}

void qv__qd_ok_end(struct qv__call *c)
{
    qv__jw_key(&c->w, "status");
    qv__jw_str(&c->w, "ok");
    write_time(c);
    qv__qd_profile_write(c);
    qv__jw_obj_end(&c->w);
}

void qv__qd_raw(struct qv__call *c, const char *content_type)
{
    c->raw = true;
    c->request->response.content_type = content_type;
    qv__buf_reset(&c->request->response.body);
    qv__jw_init(&c->w, &c->request->response.body);
}

void qv__qd_accepted(struct qv__call *c)
{
    qv__qd_raw(c, TYPE_JSON);
    c->request->response.http_status = 202;
    qv__jw_obj(&c->w);
    qv__jw_key(&c->w, "status");
    qv__jw_str(&c->w, "accepted");
    write_time(c);
    qv__jw_obj_end(&c->w);
}

static const char *prefix_of(qv_status st)
{
    switch (st) {
    case QV_EINVAL:
    case QV_EEXISTS:
    case QV_ETOOBIG:
    case QV_ECONFLICT:
        return "Wrong input: ";
    case QV_EVALIDATION:
        return "Validation error in JSON body: [";
    case QV_ENOTFOUND:
        return "Not found: ";
    case QV_EFORBIDDEN:
        return "Forbidden: ";
    case QV_EUNSUPPORTED:
        return "Not supported: ";
    case QV_ETIMEOUT:
        return "Timeout: ";
    case QV_ECANCELLED:
        return "Operation cancelled: ";
    case QV_ERATE:
        return "Rate limiting exceeded: ";
    case QV_ENOSPC:
        return "Insufficient storage: ";
    case QV_ENOMEM:
    case QV_EBUSY:
    case QV_ECLOSED:
    case QV_EREADONLY:
        return "Service unavailable: ";
    default:
        return "Service internal error: ";
    }
}

static const struct {
    int http_status; /* 0 = by the code */
    const char *prefix, *suffix;
} kinds[] = {
    [QV__QD_FORMAT] = {400, "Format error in JSON body: ", ""},
    [QV__QD_INVALID] = {422, "Validation error in JSON body: [", "]"},
    [QV__QD_QUERY_FORMAT] = {400, "Deserialize error in query parameters: ", ""},
    [QV__QD_QUERY_INVALID] = {422, "Validation error in query parameters: [", "]"},
    [QV__QD_PATH_INVALID] = {422, "Validation error in path parameters: [", "]"},
    [QV__QD_BAD_REQUEST] = {400, "Bad request: ", ""},
    [QV__QD_STANDALONE] = {405, "", ""},
    [QV__QD_CHECKSUM] = {400, "Checksum mismatch: ", ""},
};

/* Seconds; "" where there is no use in trying again. */
static struct qv__str retry_after(struct qv__call *c, qv_status st)
{
    char text[24];
    if (st != QV_ERATE || !c->strict) {
        return QV__STR("1");
    }
    int n = c->strict->retry_after_s > 0
                ? snprintf(text, sizeof text, "%.0f", c->strict->retry_after_s)
                : 0;
    const char *copy = n > 0 ? qv__arena_strndup(c->arena, text, (size_t)n) : NULL;
    return copy ? (struct qv__str){copy, (size_t)n} : QV__STR("");
}

void qv__qd_error(struct qv__call *c, qv_status st)
{
    struct qv__response *response = &c->request->response;
    const char *message =
        c->err.code == st && c->err.message[0] ? c->err.message : qv_status_text(st);
    bool by_status = c->kind == QV__QD_BY_STATUS;
    int http_status = by_status ? qv_status_http(st) : kinds[c->kind].http_status;
    struct qv__buf text;
    qv__buf_init(&text, c->arena->mem);
    qv__buf_putz(&text, by_status ? prefix_of(st) : kinds[c->kind].prefix);
    qv__text_repair(&text, qv__str_z(message));
    qv__buf_putz(&text, by_status ? (st == QV_EVALIDATION ? "]" : "") : kinds[c->kind].suffix);
    response->http_status = http_status;
    response->content_type = TYPE_JSON;
    if (c->request->reason) {
        (void)qv__fail(c->request->reason, st, "%s", message);
    }
    if ((http_status == 429 || http_status == 503 || http_status == 507) &&
        response->n_extra < QV_ARRAY_LEN(response->extra)) {
        struct qv__str seconds = retry_after(c, st);
        if (seconds.n) {
            response->extra[response->n_extra++] =
                (struct qv__header){QV__STR("retry-after"), seconds};
        }
    }
    qv__buf_reset(&response->body);
    qv__jw_init(&c->w, &response->body);
    qv__jw_obj(&c->w);
    qv__jw_key(&c->w, "status");
    qv__jw_obj(&c->w);
    qv__jw_key(&c->w, "error");
    if (text.failed) {
        qv__jw_str(&c->w, qv_status_text(st));
    } else {
        qv__jw_str_n(&c->w, (struct qv__str){(const char *)text.p, text.n});
    }
    qv__jw_obj_end(&c->w);
    write_time(c);
    qv__jw_obj_end(&c->w);
    qv__buf_free(&text);
    if (response->body.failed) {
        /* Not even room for the reason: the status alone must do. */
        qv__buf_reset(&response->body);
    }
}

void qv__qd_refuse(struct qv__request *r, int http_status, const char *text)
{
    struct qv__call c = {.request = r, .db = qv__api_db(r->api), .arena = &r->arena};
    struct qv__jw *w = &c.w;
    c.ctx.clock = qv__db_clock(c.db);
    r->response.http_status = http_status;
    r->response.content_type = TYPE_JSON;
    qv__buf_reset(&r->response.body);
    qv__jw_init(w, &r->response.body);
    qv__jw_obj(w);
    qv__jw_key(w, "status");
    qv__jw_obj(w);
    qv__jw_key(w, "error");
    qv__jw_str(w, text);
    qv__jw_obj_end(w);
    write_time(&c);
    qv__jw_obj_end(w);
    if (r->response.body.failed) {
        qv__buf_reset(&r->response.body);
    }
}

qv_status qv__qd_fail(struct qv__call *c, enum qv__qd_kind kind, const char *fmt, ...)
{
    bool is_invalid =
        kind == QV__QD_INVALID || kind == QV__QD_QUERY_INVALID || kind == QV__QD_PATH_INVALID;
    qv_status st = is_invalid ? QV_EVALIDATION : QV_EINVAL;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(c->err.message, sizeof c->err.message, fmt, ap);
    va_end(ap);
    c->err.code = st;
    c->err.os_errno = 0;
    c->kind = kind;
    return st;
}

qv_status qv__qd_no_memory(struct qv__call *c)
{
    c->kind = QV__QD_BY_STATUS;
    return qv__fail(&c->err, QV_ENOMEM, "no memory for a request");
}
