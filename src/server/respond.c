/* respond.c: responses, of handlers and of the carrier itself.
 *
 * A body is sent from the request's own buffer, which lives until the library has said that the
 * request is complete. A source is read piece by piece on the HTTP thread as the client takes it.
 * The library's copies of headers and its buffer for a file are the only memory not charged piece
 * by piece; the latter is charged as a whole. */
#include <stdio.h>
#include <sys/socket.h>

#include "server/server_impl.h"

#define SOURCE_BLOCK_BYTES ((size_t)64 << 10)
#define HEADER_SMALL       256u
#define ALLOWED_METHODS    "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

/* ---- headers ---- */

bool qv__origin_allowed(const char *list, struct qv__str origin, bool *any)
{
    *any = false;
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ",");
        struct qv__str item = {p, n};
        while (item.n && item.p[0] == ' ') {
            item.p++;
            item.n--;
        }
        while (item.n && item.p[item.n - 1] == ' ') {
            item.n--;
        }
        if (qv__str_eq(item, QV__STR("*"))) {
            *any = true;
            return true;
        }
        if (item.n && qv__str_eq(item, origin)) {
            return true;
        }
        p += n + (p[n] == ',');
    }
    return false;
}

static void add_header(struct MHD_Response *m, struct qv__arena *arena, const char *name,
                       struct qv__str value)
{
    char *z = value.n ? qv__arena_strndup(arena, value.p, value.n) : NULL;
    if (z) {
        (void)MHD_add_response_header(m, name, z);
    }
}

static void add_cors(struct MHD_Response *m, struct qv__conn *c)
{
    const char *list = c->server->o.config.cors;
    bool any = false;
    if (!list[0]) {
        return;
    }
    bool allowed = qv__origin_allowed(list, c->origin, &any) && c->origin.n;
    if (!any) {
        (void)MHD_add_response_header(m, "vary", "origin");
    }
    if (!allowed) {
        return;
    }
    if (any) {
        (void)MHD_add_response_header(m, "access-control-allow-origin", "*");
    } else {
        add_header(m, &c->request.arena, "access-control-allow-origin", c->origin);
    }
    if (c->refusal == QV__REFUSE_PREFLIGHT) {
        (void)MHD_add_response_header(m, "access-control-allow-methods", ALLOWED_METHODS);
        (void)MHD_add_response_header(m, "access-control-max-age", "600");
        add_header(m, &c->request.arena, "access-control-allow-headers", c->preflight_headers);
    }
}

static void add_common(struct MHD_Response *m, struct qv__conn *c)
{
    add_cors(m, c);
    if (c->echo_trace) {
        add_header(m, &c->request.arena, "x-request-id", c->request.trace_id);
    }
    if (atomic_load_explicit(&c->server->draining, memory_order_relaxed)) {
        (void)MHD_add_response_header(m, "connection", "close");
    }
}

/* Queue and let go of it. */
static enum MHD_Result queue(struct qv__conn *c, int http_status, struct MHD_Response *m,
                             uint64_t bytes)
{
    c->stage = QV__STAGE_ANSWERED;
    c->http_status = http_status;
    c->sent_bytes = c->gate.is_head ? 0 : bytes;
    qv__conn_phase(c, QV__PHASE_SEND, c->sent_bytes);
    enum MHD_Result done = MHD_queue_response(c->mhd, (unsigned)http_status, m);
    MHD_destroy_response(m);
    return done;
}

/* ---- the carrier's own answers ---- */

/* s NULL: the table's. */
static const char *body_of(const struct qv__server *s, enum qv__refusal id)
{
    return s && id == QV__REFUSE_BODY_LARGE ? s->body_large : qv__refusal_row(id)->body;
}

static struct MHD_Response *refusal_response(const struct qv__server *s, enum qv__refusal id)
{
    const struct qv__refusal_row *row = qv__refusal_row(id);
    const char *body = body_of(s, id);
    /* The library takes a plain pointer and, with this mode, never writes through it. */
    struct MHD_Response *m = MHD_create_response_from_buffer(strlen(body), (void *)(uintptr_t)body,
                                                             MHD_RESPMEM_PERSISTENT);
    if (!m) {
        return NULL;
    }
    if (row->body[0]) {
        (void)MHD_add_response_header(m, "content-type", "application/json");
    }
    if (row->closes) {
        (void)MHD_add_response_header(m, "connection", "close");
    }
    if (row->http_status == 503 || row->http_status == 507) {
        (void)MHD_add_response_header(m, "retry-after", QV__RETRY_AFTER);
    }
    if (row->http_status == 401) {
        (void)MHD_add_response_header(m, "www-authenticate", "Bearer");
    }
    if (id == QV__REFUSE_METHOD || id == QV__REFUSE_OPTIONS) {
        (void)MHD_add_response_header(m, "allow", ALLOWED_METHODS);
    }
    return m;
}

enum MHD_Result qv__refuse(struct qv__conn *c, enum qv__refusal id)
{
    const struct qv__refusal_row *row = qv__refusal_row(id);
    c->refusal = id;
    if (id != QV__REFUSE_OPTIONS && id != QV__REFUSE_PREFLIGHT) {
        qv__count(&c->server->refused, 1);
    }
    struct MHD_Response *m = refusal_response(c->server, id);
    if (!m) {
        return MHD_NO;
    }
    add_common(m, c);
    return queue(c, row->http_status, m, strlen(body_of(c->server, id)));
}

enum MHD_Result qv__refuse_bare(struct MHD_Connection *mhd, enum qv__refusal id)
{
    struct MHD_Response *m = refusal_response(NULL, id);
    if (!m) {
        return MHD_NO;
    }
    enum MHD_Result done = MHD_queue_response(mhd, (unsigned)qv__refusal_row(id)->http_status, m);
    MHD_destroy_response(m);
    return done;
}

void qv__drain(int fd)
{
    char nowhere[4096];
    size_t total = 0;
    ssize_t n;
    while (total < QV__DRAIN_BYTES_MAX &&
           (n = recv(fd, nowhere, sizeof nowhere, MSG_DONTWAIT)) > 0) {
        total += (size_t)n;
    }
}

void qv__refuse_raw(const struct qv__server *s, int fd, enum qv__refusal id)
{
    const char *body = body_of(s, id);
    const struct qv__refusal_row *row = qv__refusal_row(id);
    char text[768];
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n"
                     "%sconnection: close\r\n\r\n%s",
                     row->http_status,
                     row->http_status == 413 ? "Payload Too Large" : "Unavailable", strlen(body),
                     row->http_status == 503 ? "retry-after: " QV__RETRY_AFTER "\r\n" : "", body);
    QV_ASSERT(n > 0 && (size_t)n < sizeof text);
    /* The socket's buffer is empty or the answer is lost: nothing waits here. */
    (void)!send(fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(fd, SHUT_WR);
    qv__drain(fd);
}

/* ---- responses of handlers ---- */

/* A handler's source while it is sent. */
struct sending {
    struct qv__server *server;
    struct qv__source *source;
};

static ssize_t read_source(void *cls, uint64_t at, char *out, size_t n_max)
{
    struct sending *s = cls;
    struct qv_err err = {.message = "it ends early"};
    size_t got = 0;
    if (s->source->read(s->source, at, out, n_max, &got, &err) != QV_OK || got == 0) {
        qv__log_line(s->server->o.logger, QV__LEVEL_ERROR, "server",
                     "a response being sent cannot be read: %s", err.message);
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    return (ssize_t)got;
}

static void close_source(void *cls)
{
    struct sending *s = cls;
    struct qv__server *server = s->server;
    s->source->close(s->source);
    qv__free(s);
    qv__mem_uncharge(server->mem, SOURCE_BLOCK_BYTES);
}

/* The source is closed with the response, or here. */
static struct MHD_Response *source_response(struct qv__conn *c, struct qv__source *source)
{
    struct qv__server *server = c->server;
    if (qv__mem_charge(server->mem, SOURCE_BLOCK_BYTES) != QV_OK) {
        source->close(source);
        return NULL;
    }
    struct sending *s = qv__zalloc(server->mem, sizeof *s);
    if (!s) {
        source->close(source);
        qv__mem_uncharge(server->mem, SOURCE_BLOCK_BYTES);
        return NULL;
    }
    *s = (struct sending){server, source};
    struct MHD_Response *m = MHD_create_response_from_callback(source->bytes, SOURCE_BLOCK_BYTES,
                                                               read_source, s, close_source);
    if (!m) {
        close_source(s);
    }
    return m;
}

/* NUL-terminated for the library, which copies it: in `small` when it fits, so that a response
 * without long headers needs no memory of ours. */
static const char *header_z(struct qv__arena *arena, char small[HEADER_SMALL], struct qv__str s)
{
    if (s.n >= HEADER_SMALL) {
        return qv__arena_strndup(arena, s.p, s.n);
    }
    memcpy(small, s.p, s.n);
    small[s.n] = 0;
    return small;
}

/* QV_EINVAL: the handler broke a rule. */
static qv_status add_extra(struct MHD_Response *m, struct qv__conn *c)
{
    struct qv__response *from = &c->request.response;
    struct qv__arena *arena = &c->request.arena;
    if (from->n_extra > QV_ARRAY_LEN(from->extra)) {
        return QV_EINVAL;
    }
    for (unsigned i = 0; i < from->n_extra; i++) {
        char small[2][HEADER_SMALL];
        const char *name = header_z(arena, small[0], from->extra[i].name);
        const char *value = header_z(arena, small[1], from->extra[i].value);
        if (!name || !value) {
            return QV_ENOMEM;
        }
        if (MHD_add_response_header(m, name, value) != MHD_YES) {
            return QV_EINVAL;
        }
    }
    return QV_OK;
}

enum MHD_Result qv__respond(struct qv__conn *c)
{
    struct qv__response *from = &c->request.response;
    struct qv__source *source = from->source;
    from->source = NULL; /* closed by what follows */
    if (from->http_status == qv_status_http(QV_ECANCELLED) && atomic_load(&c->server->draining)) {
        if (source) {
            source->close(source);
        }
        return qv__refuse(c, QV__REFUSE_STOPPING); /* nobody went but we */
    }
    if (from->http_status < 200 || from->http_status > 599 || (from->body.failed && !source)) {
        if (source) {
            source->close(source);
        }
        return qv__refuse(c, from->body.failed ? QV__REFUSE_MEMORY : QV__REFUSE_RESPONSE);
    }
    uint64_t bytes = source ? source->bytes : from->body.n;
    struct MHD_Response *m = source ? source_response(c, source)
                                    : MHD_create_response_from_buffer(from->body.n, from->body.p,
                                                                      MHD_RESPMEM_PERSISTENT);
    if (!m) {
        return qv__refuse(c, QV__REFUSE_MEMORY);
    }
    qv_status st = add_extra(m, c);
    if (st != QV_OK) {
        MHD_destroy_response(m);
        return qv__refuse(c, st == QV_ENOMEM ? QV__REFUSE_MEMORY : QV__REFUSE_RESPONSE);
    }
    if (from->content_type) {
        (void)MHD_add_response_header(m, "content-type", from->content_type);
    }
    add_common(m, c);
    return queue(c, from->http_status, m, bytes);
}
