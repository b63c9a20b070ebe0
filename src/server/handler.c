/* handler.c: the callbacks of libmicrohttpd, and the life of one request.
 *
 * The library calls qv__on_target when the request line is there, then qv__on_request: once with
 * the head, once per piece of the body, once when the request is complete and again after each time
 * the connection was suspended and resumed; and at the end qv__on_completed. A response queued on
 * the first of these closes the connection afterwards, so a refusal that may leave it open waits
 * for the end of a request that has no body.
 *
 * Handing over. After `submit` the HTTP thread suspends the connection and the finisher resumes it;
 * `handoff` decides who came last. If `done` came before the suspension (a refused or trivial
 * request, or a short read that ran on this thread), no other thread was needed and the response is
 * queued at once. After `done` of a
 * suspended connection has called MHD_resume_connection, the connection may be gone: only the
 * server, which waits for `unfinished` to reach 0 before it ends, is touched. */
#include "server/server_impl.h"

static struct qv__conn *conn_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

/* The library goes on to split the query into arguments (a record each, from the connection's
 * buffer) and offers no way to prevent it. With more arguments than fit it would spin on the
 * connection until that times out. So its copy of the query is cut to nothing: we have our own. A
 * query behind a NUL byte, where the target ends for us, is not seen: with so many arguments the
 * library closes that connection without an answer. */
static void hide_query(const char *target)
{
    char *mark = strchr((char *)(uintptr_t)target, '?');
    if (mark && mark[1]) {
        mark[1] = 0;
    }
}

void *qv__on_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
    struct qv__conn *c = conn_of(mhd);
    (void)cls;
    if (!target) {
        return c;
    }
    if (c) {
        qv__conn_phase(c, QV__PHASE_HEAD, 0);
        c->raw_target = target;
        c->target_bytes = strlen(target);
        if (c->target_bytes <= QV__TARGET_BYTES_MAX) {
            c->target.p = qv__arena_strndup(&c->request.arena, target, c->target_bytes);
            c->target.n = c->target.p ? c->target_bytes : 0;
        }
    }
    hide_query(target);
    return c;
}

static void on_done(struct qv__request *r)
{
    struct qv__conn *c = r->carrier;
    struct qv__server *s = c->server;
    struct MHD_Connection *mhd = c->mhd;
    uint32_t before = atomic_exchange_explicit(&c->handoff, QV__HANDOFF_DONE, memory_order_acq_rel);
    QV_ASSERT(before != QV__HANDOFF_DONE); /* exactly once */
    if (before == QV__HANDOFF_SUSPENDED) {
        MHD_resume_connection(mhd);
        atomic_fetch_sub(&s->unfinished, 1);
    }
}

/* This thread may run short reads itself: others have threads of their own, or no CPU would be left
 * for a worker. */
static bool may_run_here(const struct qv__server *s)
{
    uint32_t threads = s->o.config.http_threads;
    return threads >= s->n_cpus || atomic_load(&s->registry.n_open) <= threads;
}

static enum MHD_Result run(struct qv__conn *c)
{
    struct qv__server *s = c->server;
    struct qv__request *r = &c->request;
    if (c->to_file) {
        enum qv__refusal no = qv__spool_end(c);
        if (no != QV__ACCEPTED) {
            return qv__refuse(c, no);
        }
    }
    c->body_view = qv__buf_bytes(&c->body);
    r->api = s->o.api;
    r->body = c->body_view.n ? &c->body_view : NULL;
    r->n_body = c->body_view.n ? 1 : 0;
    r->done = on_done;
    r->may_run_here = may_run_here(s);
    r->carrier = c;
    uint64_t timeout_ms = s->o.config.request_timeout_ms;
    r->deadline_ns = timeout_ms ? qv__mono_ns(s->o.clock) + timeout_ms * 1000000 : 0;
    /* First be counted, then look: either a stop sees the count, or this sees the stop. */
    atomic_fetch_add(&s->unfinished, 1);
    if (atomic_load(&s->draining)) {
        atomic_fetch_sub(&s->unfinished, 1);
        return qv__refuse(c, QV__REFUSE_STOPPING);
    }
    qv__conn_phase(c, QV__PHASE_RUN, 0);
    c->stage = QV__STAGE_RUNNING;
    s->o.submit(r);
    if (atomic_load_explicit(&c->handoff, memory_order_acquire) == QV__HANDOFF_DONE) {
        atomic_fetch_sub(&s->unfinished, 1);
        return qv__respond(c);
    }
    if (s->o.expire && r->deadline_ns) {
        qv__watch_by(s, r->deadline_ns + 1);
    }
    MHD_suspend_connection(c->mhd);
    uint32_t expected = QV__HANDOFF_SUBMITTED;
    if (!atomic_compare_exchange_strong(&c->handoff, &expected, QV__HANDOFF_SUSPENDED)) {
        MHD_resume_connection(c->mhd);
        atomic_fetch_sub(&s->unfinished, 1);
    }
    return MHD_YES;
}

static enum qv__refusal keep_body(struct qv__conn *c, const char *data, size_t n)
{
    qv__buf_put(&c->body, data, n);
    return !c->body.failed   ? QV__ACCEPTED
           : c->body.too_big ? QV__REFUSE_BODY_LARGE
                             : QV__REFUSE_MEMORY;
}

/* A piece of the body. The buffer grows by what has arrived, whatever was announced. When it
 * cannot, the library has no way to answer before the whole body is there, so the answer is written
 * past it and the connection closed. */
static enum MHD_Result take_body(struct qv__conn *c, const char *data, size_t *n_data)
{
    if (c->stage == QV__STAGE_READING) {
        c->refusal = c->to_file ? qv__spool_write(c, data, *n_data) : keep_body(c, data, *n_data);
        uint64_t bytes = c->to_file ? c->spool.bytes : c->body.n;
        atomic_store_explicit(&c->bytes, bytes, memory_order_relaxed);
        if (c->refusal != QV__ACCEPTED) {
            c->stage = QV__STAGE_ANSWERED;
            c->http_status = qv__refusal_row(c->refusal)->http_status;
            qv__count(&c->server->refused, 1);
            qv__refuse_raw(c->server, c->fd, c->refusal);
            return MHD_NO;
        }
    }
    *n_data = 0;
    return MHD_YES;
}

static enum MHD_Result on_head(struct qv__conn *c, const char *method, const char *version)
{
    c->refusal = qv__begin(c, method, version);
    if (c->refusal == QV__ACCEPTED) {
        c->stage = QV__STAGE_READING;
        uint64_t most = c->server->o.config.body_bytes_max;
        c->body.limit = c->gate.chunked ? most : QV_MAX(c->gate.content_length, 1u);
        qv__conn_phase(c, QV__PHASE_BODY, 0);
        return MHD_YES;
    }
    c->stage = QV__STAGE_REFUSED;
    if (c->gate.has_body || qv__refusal_row(c->refusal)->closes) {
        return qv__refuse(c, c->refusal);
    }
    return MHD_YES;
}

enum MHD_Result qv__on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *n_data, void **context)
{
    struct qv__conn *c = *context;
    (void)cls;
    (void)url; /* the target as received is in the connection */
    if (!c) {
        *n_data = 0;
        return qv__refuse_bare(mhd, QV__REFUSE_MEMORY);
    }
    if (c->stage == QV__STAGE_FRESH) {
        return on_head(c, method, version);
    }
    if (*n_data) {
        return take_body(c, data, n_data);
    }
    switch (c->stage) {
    case QV__STAGE_REFUSED:
        return qv__refuse(c, c->refusal);
    case QV__STAGE_READING:
        return run(c);
    case QV__STAGE_RUNNING:
        return qv__respond(c);
    case QV__STAGE_FRESH:
    case QV__STAGE_ANSWERED:
        break;
    }
    return MHD_NO;
}

static void log_access(const struct qv__conn *c, enum MHD_RequestTerminationCode code)
{
    const struct qv__server *s = c->server;
    const struct qv__logger *logger = s->o.logger;
    bool failed = c->http_status >= 400 || c->http_status == 0;
    enum qv__level level = failed || s->o.config.access_log ? QV__LEVEL_INFO : QV__LEVEL_DEBUG;
    if (!logger || level < logger->min_level) {
        return;
    }
    const struct qv__request *r = &c->request;
    struct qv__str path = r->path.n ? r->path : c->target;
    uint64_t now = qv__mono_ns(s->o.clock);
    uint64_t us = r->started_ns && now > r->started_ns ? (now - r->started_ns) / 1000 : 0;
    qv__log_line(logger, level, "access", "%.16s %.*s %d %" PRIu64 " B %" PRIu64 " us trace %.*s%s",
                 c->method ? c->method : "-", (int)QV_MIN(path.n, 400u), path.p ? path.p : "-",
                 c->http_status, c->sent_bytes, us, (int)r->trace_id.n,
                 r->trace_id.p ? r->trace_id.p : "",
                 code == MHD_REQUEST_TERMINATED_COMPLETED_OK ? "" : " (not delivered)");
}

void qv__on_completed(void *cls, struct MHD_Connection *mhd, void **context,
                      enum MHD_RequestTerminationCode code)
{
    struct qv__conn *c = *context;
    (void)cls;
    (void)mhd;
    if (!c) {
        return;
    }
    if (c->refusal != QV__ACCEPTED && c->gate.has_body) {
        qv__drain(c->fd); /* closing over unread bytes would reset the answer away */
    }
    log_access(c, code);
    if (c->counted) {
        atomic_fetch_sub(&c->server->in_flight, 1);
    }
    qv__conn_reset(c);
    qv__conn_phase(c, QV__PHASE_IDLE, 0);
    *context = NULL;
}
