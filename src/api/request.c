/* request.c: from a carrier's request to a dialect's handler on a worker, and back.
 *
 * Submitting routes the request (no lock, no parsing of the body), refuses at once what no handler
 * could answer, and queues the rest on the lane of its route: reads, writes, or jobs for
 * calls that take as long as the data is large. What is cancelled or overdue while it waits is
 * answered by whoever looks first: qv__api_expire, or the worker, so a backlog costs little. The
 * dialect finishes the request; qv__api_finish counts it and calls the carrier's `done`, after
 * which nothing here touches the request. Memory: the request's arena. Locks: none.
 *
 * Attempts. Handing a request to a worker and back wakes two threads, which takes as long as many
 * a search. So where the carrier's thread may, it runs short reads itself, with a deadline of a
 * millisecond; what meets that deadline, or something that is made once for all searches, is broken
 * off and begun anew by a worker. After a read that took longer the next ones are not tried: where
 * one waits for the disk, or scans, others do. */
#include "api/api.h"
#include "api/issues.h"

#include <stdio.h>

#define BODY_BYTES_MAX  ((size_t)32 << 20)
#define QUERY_BYTES_MAX ((size_t)64 << 10)
#define TRIED_BYTES_MAX ((size_t)64 << 10) /* the body of a read that is tried */
#define NO_ATTEMPTS     64u                /* after one that took too long */

/* What submitting leaves for the worker; in the request's arena. */
struct running {
    const struct qv__route *route;
    struct qv__str params[QV__ROUTE_PARAMS_MAX];
};

qv_status qv__api_create(struct qv__db *db, const struct qv__api_options *o, struct qv__api **out,
                         struct qv_err *err)
{
    struct qv__mem *mem = qv__mem_child(qv__db_mem(db), "api", 0);
    struct qv__api *api = mem ? qv__zalloc(mem, sizeof *api) : NULL;
    const struct qv__dialect *dialect = &qv__qdrant_dialect;
    struct qv__api_counts *counts =
        api ? qv__calloc(mem, dialect->n_routes + 1, sizeof *counts) : NULL;
    if (!counts) {
        qv__free(api);
        qv__mem_close(mem);
        return qv__fail(err, QV_ENOMEM, "no memory for the request interface");
    }
    api->db = db;
    api->mem = mem;
    api->dialect = dialect;
    api->counts = counts;
    api->options.body_bytes_max = o && o->body_bytes_max ? o->body_bytes_max : BODY_BYTES_MAX;
    api->options.slow_query_ns = o && o->slow_query_ns ? o->slow_query_ns : QV__SLOW_QUERY_NS;
    qv__mutex_init(&api->patch, QV__RANK_API);
    qv__api_named_init(api);
    qv__issues_init(api);
    api->started_ms = qv__wall_ms(qv__db_clock(db));
    *out = api;
    return QV_OK;
}

void qv__api_free(struct qv__api *api)
{
    if (!api) {
        return;
    }
    for (size_t r = 0; r <= api->dialect->n_routes; r++) {
        for (unsigned i = 0; i < QV__API_CELLS; i++) {
            qv__free(atomic_load_explicit(&api->counts[r].cell[i], memory_order_relaxed));
        }
    }
    struct qv__mem *mem = api->mem;
    qv__mutex_destroy(&api->patch);
    qv__api_named_free(api);
    qv__issues_free(api);
    qv__free(api->counts);
    qv__free(api);
    qv__mem_close(mem);
}

struct qv__db *qv__api_db(struct qv__api *api)
{
    return api->db;
}

struct qv__mutex *qv__api_patch_lock(struct qv__api *api)
{
    return &api->patch;
}

uint64_t qv__api_started_ms(const struct qv__api *api)
{
    return api->started_ms;
}

void qv__api_finish(struct qv__request *r)
{
    const struct running *run = r->handler_state;
    uint64_t now = qv__mono_ns(qv__db_clock(r->api->db));
    uint64_t ns = now > r->started_ns ? now - r->started_ns : 0;
    qv__api_count(r->api, run ? run->route : NULL, r->response.http_status, ns);
    if (run && run->route &&
        !strncmp(run->route->pattern, QV__API_BY_COLLECTION, strlen(QV__API_BY_COLLECTION))) {
        qv__api_count_named(r->api, run->params[0], run->route, r->response.http_status, ns);
    }
    r->done(r);
}

static void refuse(struct qv__request *r, int http_status, const char *text)
{
    r->api->dialect->refuse(r, http_status, text);
    qv__api_finish(r);
}

static void run_task(struct qv__task *task)
{
    struct qv__request *r = QV_CONTAINER_OF(task, struct qv__request, task);
    const struct running *run = r->handler_state;
    if (atomic_load_explicit(&r->cancelled, memory_order_relaxed)) {
        refuse(r, qv_status_http(QV_ECANCELLED), "Operation cancelled: " QV__API_GONE);
        return;
    }
    if (r->deadline_ns && qv__mono_ns(qv__db_clock(r->api->db)) > r->deadline_ns) {
        refuse(r, qv_status_http(QV_ETIMEOUT), "Timeout: " QV__API_LATE);
        return;
    }
    r->api->dialect->run(r, run->route, run->params);
}

static void refuse_method(struct qv__request *r, unsigned allowed)
{
    static const char *const texts[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    char list[64] = "";
    size_t n = 0;
    for (unsigned m = 0; m < QV_ARRAY_LEN(texts); m++) {
        if (allowed & (1u << m)) {
            n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", texts[m]);
        }
    }
    char *kept = qv__arena_strndup(&r->arena, list, n);
    if (kept && r->response.n_extra < QV_ARRAY_LEN(r->response.extra)) {
        r->response.extra[r->response.n_extra++] = (struct qv__header){QV__STR("allow"), {kept, n}};
    }
    char text[128];
    (void)snprintf(text, sizeof text, "Method not allowed: %s; this path takes %s",
                   qv__method_name(r->method), list);
    refuse(r, 405, text);
}

static bool body_fits(const struct qv__request *r)
{
    size_t left = r->api->options.body_bytes_max;
    for (size_t i = 0; i < r->n_body; i++) {
        if (r->body[i].n > left) {
            return false;
        }
        left -= r->body[i].n;
    }
    return true;
}

bool qv__api_takes_file(struct qv__api *api, enum qv__method method, struct qv__str path,
                        struct qv__arena *arena)
{
    struct qv__route_match match;
    struct qv_err err;
    return qv__route_find(api->dialect->routes, api->dialect->n_routes, method, path, arena, &match,
                          &err) == QV__ROUTED &&
           api->dialect->takes_file(match.route);
}

qv_status qv__api_room_for(struct qv__api *api, uint64_t bytes, struct qv_err *err)
{
    return qv__db_room_for(api->db, bytes, err);
}

static bool may_be_tried(struct qv__api *api, const struct qv__route *route,
                         const struct qv__request *r)
{
    if (!r->may_run_here || !api->dialect->may_be_tried(route) || r->n_body > 1 ||
        (r->n_body && r->body[0].n > TRIED_BYTES_MAX) ||
        qv__pool_threads(qv__db_pool(api->db)) == 0) {
        return false;
    }
    uint32_t left = atomic_load_explicit(&api->no_attempts, memory_order_relaxed);
    if (left) { /* that one of two at a time is lost does not matter */
        atomic_store_explicit(&api->no_attempts, left - 1, memory_order_relaxed);
    }
    return left == 0;
}

static void attempt(struct qv__request *r)
{
    struct qv__api *api = r->api;
    struct qv__pool *pool = qv__db_pool(api->db);
    const struct qv__clock *clock = qv__db_clock(api->db);
    bool entered = qv__pool_enter(pool);
    uint64_t end_ns = qv__mono_ns(clock) + QV__ATTEMPT_NS;
    r->attempt_end_ns = end_ns;
    run_task(&r->task); /* after this the request may be gone */
    qv__pool_leave(pool, entered);
    if (qv__mono_ns(clock) > end_ns) {
        atomic_store_explicit(&api->no_attempts, NO_ATTEMPTS, memory_order_relaxed);
    }
}

void qv__api_begin_anew(struct qv__request *r)
{
    const struct running *run = r->handler_state;
    QV_ASSERT(r->attempt_end_ns && !r->response.source);
    r->attempt_end_ns = 0;
    r->is_second = true;
    r->response.http_status = 0;
    r->response.content_type = NULL;
    r->response.n_extra = 0;
    qv__buf_reset(&r->response.body);
    qv__api_queue(r, run->route->lane, run_task);
}

void qv__api_queue(struct qv__request *r, enum qv__lane lane, void (*fn)(struct qv__task *task))
{
    r->task =
        (struct qv__task){.fn = fn, .deadline_ns = r->deadline_ns, .cancelled = &r->cancelled};
    qv__pool_submit(qv__db_pool(r->api->db), lane, &r->task);
}

uint64_t qv__api_expire(struct qv__api *api)
{
    return qv__pool_expire(qv__db_pool(api->db), qv__mono_ns(qv__db_clock(api->db)));
}

uint64_t qv__api_deadline(const struct qv__request *r, uint64_t allowed_s)
{
    const uint64_t second = 1000000000u, year_s = 366u * 24u * 3600u;
    if (!allowed_s) {
        return r->deadline_ns;
    }
    uint64_t own = qv__mono_ns(qv__db_clock(r->api->db)) + QV_MIN(allowed_s, year_s) * second;
    return r->deadline_ns ? QV_MIN(r->deadline_ns, own) : own;
}

void qv__api_submit(struct qv__request *r)
{
    struct qv__api *api = r->api;
    struct qv__route_match match;
    struct qv_err err = {.code = QV_OK};
    char text[640];
    r->handler_state = NULL;
    r->attempt_end_ns = 0;
    r->is_second = false;
    switch (qv__route_find(api->dialect->routes, api->dialect->n_routes, r->method, r->path,
                           &r->arena, &match, &err)) {
    case QV__ROUTED:
        break;
    case QV__ROUTE_METHOD:
        refuse_method(r, match.allowed);
        return;
    case QV__ROUTE_MALFORMED:
        (void)snprintf(text, sizeof text, "Deserialize error in path parameters: %s", err.message);
        refuse(r, 400, text);
        return;
    case QV__ROUTE_NO_MEMORY:
        refuse(r, qv_status_http(QV_ENOMEM), "Service unavailable: no memory for a request");
        return;
    case QV__ROUTE_UNKNOWN:
    default:
        refuse(r, 404, "Not found: there is nothing at this path");
        return;
    }
    struct running *run = qv__arena_alloc(&r->arena, sizeof *run);
    if (!run) {
        refuse(r, qv_status_http(QV_ENOMEM), "Service unavailable: no memory for a request");
        return;
    }
    run->route = match.route;
    memcpy(run->params, match.params, sizeof run->params);
    r->handler_state = run;
    if (!body_fits(r)) {
        (void)snprintf(text, sizeof text, "Payload too large: a request body may have %zu bytes",
                       api->options.body_bytes_max);
        refuse(r, 413, text);
        return;
    }
    if (r->query.n > QUERY_BYTES_MAX) {
        refuse(r, 414, "Deserialize error in query parameters: the query string is too long");
        return;
    }
    r->deadline_ns = qv__api_deadline(r, api->dialect->timeout_s(match.route, r->query));
    if (may_be_tried(api, match.route, r)) {
        attempt(r);
        return;
    }
    qv__api_queue(r, match.route->lane, run_task);
}
