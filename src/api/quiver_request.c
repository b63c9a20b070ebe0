/* quiver_request.c: one request of the REST interface without a socket: a carrier of its own.
 *
 * The request lives on the caller's stack and the caller sleeps until a worker has called `done`,
 * which touches nothing after it has given the lock back. The body's buffer becomes the caller's as
 * it is. */
#include "api/handle.h"

#define SOURCE_BLOCK ((size_t)1 << 20)
#define LOOK_NS      UINT64_C(20000000)

struct waiter {
    struct qv__mutex lock;
    struct qv__condvar cond;
    bool is_done; /* guarded by: lock */
};

static void wake(struct qv__request *r)
{
    struct waiter *w = r->carrier;
    qv__mutex_lock(&w->lock);
    w->is_done = true;
    qv__cond_signal(&w->cond);
    qv__mutex_unlock(&w->lock);
}

static bool parse_method(const char *text, enum qv__method *out)
{
    static const char *const names[] = {
        [QV__GET] = "GET",     [QV__POST] = "POST",     [QV__PUT] = "PUT",
        [QV__PATCH] = "PATCH", [QV__DELETE] = "DELETE", [QV__HEAD] = "HEAD"};
    for (size_t i = 0; i < QV_ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum qv__method)i;
            return true;
        }
    }
    return false;
}

/* With a deadline it is looked at while the request waits for a worker, too. */
static void submit_and_wait(struct qv__request *r)
{
    struct qv__api *api = r->api;
    struct waiter w = {.is_done = false};
    qv__mutex_init(&w.lock, QV__RANK_LEAF);
    qv__cond_init(&w.cond);
    r->carrier = &w;
    r->done = wake;
    qv__api_submit(r);
    qv__mutex_lock(&w.lock);
    while (!w.is_done) {
        if (!r->deadline_ns) {
            qv__cond_wait(&w.cond, &w.lock);
            continue;
        }
        (void)qv__cond_timedwait(&w.cond, &w.lock, LOOK_NS);
        qv__mutex_unlock(&w.lock);
        (void)qv__api_expire(api);
        qv__mutex_lock(&w.lock);
    }
    qv__mutex_unlock(&w.lock);
    qv__cond_destroy(&w.cond);
    qv__mutex_destroy(&w.lock);
}

/* A body that is made while it is sent, all of it: as much as the memory budget allows. */
static qv_status read_source(struct qv__request *r, struct qv_err *err)
{
    struct qv__source *s = r->response.source;
    struct qv__buf *b = &r->response.body;
    qv_status st = QV_OK;
    if (!s) {
        return QV_OK;
    }
    for (uint64_t at = 0; st == QV_OK && at < s->bytes;) {
        size_t n = (size_t)QV_MIN(s->bytes - at, (uint64_t)SOURCE_BLOCK), got = 0;
        uint8_t *p = qv__buf_reserve(b, n);
        st =
            p ? s->read(s, at, p, n, &got, err)
              : qv__fail(err, QV_ENOMEM, "no memory for a response of %" PRIu64 " bytes", s->bytes);
        b->n += got;
        at += got;
    }
    s->close(s);
    if (st != QV_OK) {
        qv__buf_free(b);
    }
    return st;
}

/* The body with a NUL behind it; an empty one as well. */
static qv_status take_response(struct qv__request *r, struct qv_response *out, struct qv_err *err)
{
    struct qv__buf *b = &r->response.body;
    qv__buf_putc(b, '\0');
    if (b->failed) {
        qv__buf_free(b);
        return qv__fail(err, QV_ENOMEM, "no memory for a response");
    }
    out->status = r->response.http_status;
    out->body = (char *)b->p;
    out->length = b->n - 1;
    out->content_type = r->response.content_type ? r->response.content_type : "application/json";
    return QV_OK;
}

/* What no handler saw was refused by the router, which says why by status alone. */
static qv_status refused(int http_status, struct qv_err *err)
{
    qv_status st = http_status == qv_status_http(QV_ENOMEM)      ? QV_ENOMEM
                   : http_status == qv_status_http(QV_ENOTFOUND) ? QV_ENOTFOUND
                   : http_status == qv_status_http(QV_ETOOBIG)   ? QV_ETOOBIG
                   : http_status < 500                           ? QV_EINVAL
                                                                 : QV_EINTERNAL;
    return qv__fail(err, st, "the request was refused with status %d: %s", http_status,
                    qv_status_text(st));
}

qv_status qv__handle_request(qv_db *db, enum qv__method method, struct qv__str path,
                             struct qv__bytes body, struct qv_err *err)
{
    struct qv__request r;
    struct qv_err reason = {.code = QV_OK};
    struct qv__mem *mem = qv__db_mem(db->db);
    memset(&r, 0, sizeof r);
    r.api = db->api;
    r.method = method;
    r.path = path;
    r.query = QV__STR("");
    r.body = &body;
    r.n_body = body.n ? 1 : 0;
    r.started_ns = qv__mono_ns(qv__db_clock(db->db));
    r.reason = &reason;
    qv__arena_init(&r.arena, mem);
    qv__buf_init(&r.response.body, mem);
    submit_and_wait(&r);
    qv_status st = QV_OK;
    if (r.response.http_status >= 300) {
        st = reason.code != QV_OK ? reason.code : refused(r.response.http_status, &reason);
    }
    if (st != QV_OK && err) {
        *err = reason;
    }
    qv__buf_free(&r.response.body);
    qv__arena_free(&r.arena);
    return st;
}

qv_status qv_request(qv_db *db, const char *method, const char *path, const void *body,
                     size_t length, struct qv_response *response, struct qv_err *err)
{
    struct qv__request r;
    if (!db || !method || !path || !response || (length && !body)) {
        return qv__handle_missing(err, !db         ? "db"
                                       : !method   ? "method"
                                       : !path     ? "path"
                                       : !response ? "response"
                                                   : "body");
    }
    memset(response, 0, sizeof *response);
    memset(&r, 0, sizeof r);
    if (!parse_method(method, &r.method)) {
        return qv__fail(err, QV_EINVAL,
                        "method: \"%.16s\" is none of GET, PUT, POST, PATCH, DELETE, HEAD", method);
    }
    if (path[0] != '/') {
        return qv__fail(err, QV_EINVAL, "path: must begin with /");
    }
    const char *mark = strchr(path, '?');
    struct qv__bytes chunk = {body, length};
    struct qv__mem *mem = qv__db_mem(db->db);
    r.api = db->api;
    r.path = (struct qv__str){path, mark ? (size_t)(mark - path) : strlen(path)};
    r.query = mark ? qv__str_z(mark + 1) : QV__STR("");
    r.body = &chunk;
    r.n_body = length ? 1 : 0;
    r.started_ns = qv__mono_ns(qv__db_clock(db->db));
    qv__arena_init(&r.arena, mem);
    qv__buf_init(&r.response.body, mem);
    submit_and_wait(&r);
    qv_status st = read_source(&r, err);
    if (st == QV_OK) {
        st = take_response(&r, response, err);
    }
    qv__arena_free(&r.arena);
    return st;
}

void qv_response_free(struct qv_response *response)
{
    if (response) {
        qv__free(response->body);
        memset(response, 0, sizeof *response);
    }
}
