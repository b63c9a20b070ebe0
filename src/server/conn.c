/* conn.c: connections and the registry of them.
 *
 * A connection object is made when libmicrohttpd takes a socket over and freed just before it
 * closes that socket, both on the connection's HTTP thread; so whoever finds it in the registry,
 * under the lock, may use its descriptor. Slots carry a generation, so that an event of the kernel
 * for a connection that has gone meanwhile finds nothing. The library's own memory for a connection
 * is charged to the server's account here. When memory is out the connection has no object and
 * every request on it is answered 503. */
#include <errno.h>
#include <sys/epoll.h>

#include "server/server_impl.h"

qv_status qv__registry_init(struct qv__registry *r, struct qv__mem *mem, uint32_t capacity)
{
    memset(r, 0, sizeof *r);
    qv__mutex_init(&r->lock, QV__RANK_LEAF);
    r->slots = qv__calloc(mem, capacity, sizeof(struct qv__conn *));
    r->free_slots = qv__calloc(mem, capacity, sizeof *r->free_slots);
    if (!r->slots || !r->free_slots) {
        qv__registry_fini(r);
        return QV_ENOMEM;
    }
    r->capacity = r->n_free = capacity;
    for (uint32_t i = 0; i < capacity; i++) {
        r->free_slots[i] = capacity - 1 - i;
    }
    return QV_OK;
}

void qv__registry_fini(struct qv__registry *r)
{
    qv__free(r->slots);
    qv__free(r->free_slots);
    qv__mutex_destroy(&r->lock);
}

static bool registry_add(struct qv__registry *r, struct qv__conn *c)
{
    qv__mutex_lock(&r->lock);
    bool room = r->n_free > 0;
    if (room) {
        c->slot = r->free_slots[--r->n_free];
        c->generation = r->generation++;
        r->slots[c->slot] = c;
        atomic_fetch_add(&r->n_open, 1);
    }
    qv__mutex_unlock(&r->lock);
    return room;
}

static void registry_remove(struct qv__registry *r, struct qv__conn *c)
{
    qv__mutex_lock(&r->lock);
    r->slots[c->slot] = NULL;
    r->free_slots[r->n_free++] = c->slot;
    atomic_fetch_sub(&r->n_open, 1);
    qv__mutex_unlock(&r->lock);
}

void qv__registry_each(struct qv__registry *r, void (*cb)(void *arg, struct qv__conn *c), void *arg)
{
    qv__mutex_lock(&r->lock);
    for (uint32_t i = 0; i < r->capacity; i++) {
        if (r->slots[i]) {
            cb(arg, r->slots[i]);
        }
    }
    qv__mutex_unlock(&r->lock);
}

void qv__registry_gone(struct qv__server *s, uint32_t slot, uint32_t generation)
{
    struct qv__registry *r = &s->registry;
    qv__mutex_lock(&r->lock);
    struct qv__conn *c = slot < r->capacity ? r->slots[slot] : NULL;
    if (c && c->generation == generation && !atomic_exchange(&c->gone, true)) {
        /* Nothing else will be served on it, so the flag is never taken back. */
        atomic_store(&c->request.cancelled, true);
        if (atomic_load(&c->phase) == QV__PHASE_RUN) {
            qv__count(&s->disconnects, 1);
        }
    }
    qv__mutex_unlock(&r->lock);
}

void qv__conn_phase(struct qv__conn *c, enum qv__phase phase, uint64_t bytes)
{
    atomic_store_explicit(&c->since_ns, qv__mono_ns(c->server->o.clock), memory_order_relaxed);
    atomic_store_explicit(&c->bytes, bytes, memory_order_relaxed);
    atomic_store(&c->phase, (uint32_t)phase); /* before the watcher's instant is read */
    uint64_t late_ns = qv__watch_late_ns(c);
    if (late_ns != UINT64_MAX) {
        qv__watch_by(c->server, late_ns + 1);
    }
}

static struct qv__conn *conn_create(struct qv__server *s, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (!info || qv__mem_charge(s->mem, QV__POOL_BYTES + QV__CONN_BYTES) != QV_OK) {
        return NULL;
    }
    struct qv__conn *c = qv__zalloc(s->mem, sizeof *c);
    if (c) {
        c->server = s;
        c->mhd = mhd;
        c->fd = info->connect_fd;
        qv__arena_init(&c->request.arena, s->mem);
        qv__buf_init(&c->request.response.body, s->mem);
        qv__buf_init(&c->body, s->mem);
        qv__conn_reset(c);
        qv__conn_phase(c, QV__PHASE_OPEN, 0);
        if (registry_add(&s->registry, c)) {
            qv__conn_phase(c, QV__PHASE_OPEN, 0); /* again: a sweep can see it from here on */
            return c;
        }
    }
    qv__free(c);
    qv__mem_uncharge(s->mem, QV__POOL_BYTES + QV__CONN_BYTES);
    return NULL;
}

/* Ask to be told when the client hangs up, once. A refusal of the kernel (no memory) only means
 * that its request will not be cancelled. */
static void watch_hangup(struct qv__conn *c)
{
    struct epoll_event e = {.events = EPOLLRDHUP | EPOLLET,
                            .data.u64 = (uint64_t)c->generation << 32 | c->slot};
    if (epoll_ctl(c->server->epoll_fd, EPOLL_CTL_ADD, c->fd, &e) != 0) {
        qv__log_line(c->server->o.logger, QV__LEVEL_WARN, "server",
                     "a connection cannot be watched: errno %d", errno);
    }
}

static void conn_destroy(struct qv__conn *c)
{
    struct qv__server *s = c->server;
    (void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
    registry_remove(&s->registry, c);
    if (c->counted) { /* closed by the library without its usual notice */
        atomic_fetch_sub(&s->in_flight, 1);
    }
    qv__spool_discard(c);
    qv__arena_free(&c->request.arena);
    qv__buf_free(&c->request.response.body);
    qv__buf_free(&c->body);
    qv__free(c);
    qv__mem_uncharge(s->mem, QV__POOL_BYTES + QV__CONN_BYTES);
}

void qv__conn_notify(void *cls, struct MHD_Connection *mhd, void **context,
                     enum MHD_ConnectionNotificationCode code)
{
    struct qv__server *s = cls;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        qv__count(&s->accepted, 1);
        atomic_fetch_sub(&s->handed_over, 1);
        struct qv__conn *c = conn_create(s, mhd);
        *context = c;
        if (c) {
            watch_hangup(c);
        }
    } else if (*context) {
        conn_destroy(*context);
        *context = NULL;
    }
}

/* Small buffers stay for the next request of the connection, large ones do not. */
static void buf_reuse(struct qv__buf *b)
{
    if (b->cap > QV__KEEP_BYTES) {
        qv__buf_free(b);
    }
    qv__buf_reset(b);
    b->limit = 0;
}

void qv__conn_reset(struct qv__conn *c)
{
    struct qv__request *r = &c->request;
    qv__spool_discard(c);
    c->to_file = false;
    c->stage = QV__STAGE_FRESH;
    c->refusal = QV__ACCEPTED;
    c->counted = c->echo_trace = false;
    c->raw_target = NULL;
    c->target = c->origin = c->preflight_headers = (struct qv__str){NULL, 0};
    c->target_bytes = 0;
    memset(&c->gate, 0, sizeof c->gate);
    c->method = NULL;
    c->body_view = (struct qv__bytes){NULL, 0};
    c->http_status = 0;
    c->sent_bytes = 0;
    atomic_store_explicit(&c->handoff, QV__HANDOFF_SUBMITTED, memory_order_relaxed);
    if (r->arena.used_bytes > QV__KEEP_BYTES) {
        qv__arena_free(&r->arena);
    } else {
        qv__arena_reset(&r->arena);
    }
    buf_reuse(&c->body);
    buf_reuse(&r->response.body);
    struct qv__buf response_body = r->response.body;
    memset(&r->response, 0, sizeof r->response);
    r->response.body = response_body;
    r->headers = NULL;
    r->n_headers = 0;
    r->body = NULL;
    r->n_body = 0;
    r->path = r->query = r->trace_id = r->idempotency_key = (struct qv__str){NULL, 0};
    r->principal = (struct qv__principal){.subject = QV__STR("")};
    r->deadline_ns = r->started_ns = 0;
    r->handler_state = NULL;
}
