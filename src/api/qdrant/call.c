/* call.c: one request from its worker to its answer: rights, path, body, parameters, then the
 * handler.
 *
 * The order of checks is the peer's: who asks, the path, the body, the query string, and only then
 * whether the collection exists. A handler's result goes straight into the response's buffer behind
 * an opened envelope; an error empties the buffer and writes the other one. */
#include "api/qdrant/qdrant.h"

static qv_status rights(struct qv__call *c)
{
    const struct qv__principal *p = &c->request->principal;
    if ((c->route->flags & QV__QD_WRITES) && p->read_only) {
        return qv__fail(&c->err, QV_EFORBIDDEN, "these credentials allow reading only");
    }
    if ((c->route->flags & QV__QD_ADMIN) && p->forced_filter) {
        return qv__fail(&c->err, QV_EFORBIDDEN, "these credentials allow access to points only");
    }
    return QV_OK;
}

/* One piece of text: the only chunk itself, or a copy of all. */
static qv_status join_body(struct qv__call *c, struct qv__bytes *out)
{
    const struct qv__request *r = c->request;
    size_t n = 0;
    size_t last = 0;
    for (size_t i = 0; i < r->n_body; i++) {
        n += r->body[i].n; /* the sum was bounded when the request was submitted */
        last = r->body[i].n ? i : last;
    }
    *out = (struct qv__bytes){NULL, 0};
    if (n == 0) {
        return QV_OK;
    }
    if (r->body[last].n == n) {
        *out = r->body[last];
        return QV_OK;
    }
    uint8_t *all = qv__arena_alloc(c->arena, n);
    if (!all) {
        return qv__qd_no_memory(c);
    }
    *out = (struct qv__bytes){all, n};
    for (size_t i = 0; i < r->n_body; i++) {
        if (r->body[i].n) {
            memcpy(all, r->body[i].p, r->body[i].n);
            all += r->body[i].n;
        }
    }
    return QV_OK;
}

static qv_status parse_body(struct qv__call *c)
{
    struct qv__bytes text;
    QV_TRY(join_body(c, &text));
    if (text.n == 0) {
        return c->route->flags & QV__QD_BODY
                   ? qv__qd_fail(c, QV__QD_FORMAT, "EOF while parsing a value at line 1 column 0")
                   : QV_OK;
    }
    struct qv__json_limits limits = {.depth_max = QV__QD_DEPTH_MAX};
    qv_status st =
        qv__json_parse(c->arena, (const char *)text.p, text.n, &limits, &c->body, &c->err);
    if (st == QV_EINVAL || st == QV_ETOOBIG) {
        c->kind = QV__QD_FORMAT;
        c->err.code = QV_EINVAL; /* keeps the reason, which names the limit */
        return QV_EINVAL;
    }
    QV_TRY(st);
    if (!qv__json_is(c->body, QV__JSON_OBJ)) {
        return qv__qd_fail(c, QV__QD_FORMAT, "expected an object, not %s",
                           qv__qd_kind_name(c->body));
    }
    return QV_OK;
}

static void set_deadline(struct qv__call *c)
{
    uint64_t deadline = qv__api_deadline(c->request, c->query.timeout_s);
    c->deadline_ns = deadline;
    c->ctx.is_attempt = qv__api_is_attempt(c->request);
    if (c->ctx.is_attempt) {
        uint64_t end = c->request->attempt_end_ns;
        deadline = deadline ? QV_MIN(deadline, end) : end;
    }
    c->ctx.deadline_ns = deadline;
}

/* Let go of all but the request. */
static void end(struct qv__call *c)
{
    qv__qd_strict_end(c);
    qv__collection_release(c->collection);
    qv__buf_free(&c->scratch);
}

/* True if it took too long for the carrier's thread, not for the client. */
static bool is_broken_off(const struct qv__call *c, qv_status st)
{
    return st == QV_ETIMEOUT && qv__api_is_attempt(c->request) &&
           (!c->deadline_ns || qv__mono_ns(c->ctx.clock) <= c->deadline_ns);
}

static qv_status prepare(struct qv__call *c)
{
    uint32_t flags = c->route->flags;
    QV_TRY(rights(c));
    if (flags & QV__QD_COLLECTION) {
        QV_TRY(qv__qd_collection_name(c, c->params[0]));
    }
    if (flags & (QV__QD_BODY | QV__QD_BODY_OPTIONAL)) {
        QV_TRY(parse_body(c));
    }
    if ((flags & QV__QD_READ) && (flags & QV__QD_BODY)) {
        QV_TRY(qv__qd_profile_begin(c));
    }
    QV_TRY(qv__qd_params(c));
    set_deadline(c);
    if (flags & QV__QD_PIN) {
        QV_TRY(qv__db_collection(c->db, c->params[0], &c->collection, &c->err));
    }
    if ((flags & QV__QD_PIN) && (flags & (QV__QD_READ | QV__QD_UPDATE))) {
        QV_TRY(qv__qd_strict_begin(c));
    }
    return QV_OK;
}

void qv__qd_respond(struct qv__call *c, qv_status st)
{
    struct qv__request *r = c->request;
    if (is_broken_off(c, st)) {
        end(c);
        qv__api_begin_anew(r);
        return;
    }
    if (st == QV_OK && !c->raw) {
        qv__qd_ok_end(c);
    }
    if (st == QV_OK) {
        st = qv__buf_status(&r->response.body, &c->err);
        c->kind = QV__QD_BY_STATUS;
    }
    if (st != QV_OK) {
        qv__qd_error(c, st);
    }
    end(c);
    qv__api_finish(r);
}

static void rest_task(struct qv__task *task)
{
    struct qv__request *r = QV_CONTAINER_OF(task, struct qv__request, task);
    struct qv__call *c = r->dialect_state;
    qv_status st = qv__qctx_check(&c->ctx);
    if (st == QV_OK) {
        st = c->rest(c);
    } else {
        (void)qv__fail(&c->err, st, "%s", st == QV_ETIMEOUT ? QV__API_LATE : QV__API_GONE);
    }
    qv__qd_respond(c, st);
}

void qv__qd_run(struct qv__request *r, const struct qv__route *route, const struct qv__str *params)
{
    struct qv__call *c = qv__arena_zalloc(&r->arena, sizeof *c);
    if (!c) {
        qv__qd_refuse(r, qv_status_http(QV_ENOMEM), "Service unavailable: no memory for a request");
        qv__api_finish(r);
        return;
    }
    r->dialect_state = c;
    c->request = r;
    c->route = route;
    c->params = params;
    c->db = qv__api_db(r->api);
    c->arena = &r->arena;
    c->ctx.clock = qv__db_clock(c->db);
    c->ctx.cancel = &r->cancelled;
    c->ctx.mem = r->arena.mem;
    c->steps.q = &c->ctx;
    qv__buf_init(&c->scratch, r->arena.mem);
    qv_status st = prepare(c);
    if (st == QV_OK && !(route->flags & QV__QD_MUTATES)) {
        qv__qd_ok_begin(c);
    }
    if (st == QV_OK) {
        st = route->run(c);
    }
    if (st == QV_OK && (route->flags & QV__QD_MUTATES)) {
        qv__qd_write_start(c);
        return;
    }
    if (st == QV_OK && c->rest) {
        qv__api_queue(r, QV__LANE_JOB, rest_task);
        return;
    }
    if (st == QV_OK && c->waits) {
        qv__qd_index_wait(c);
        return;
    }
    qv__qd_respond(c, st);
}
