/* watch.c: the thread that accepts, notices hang-ups, and closes what is too slow.
 *
 * Why not leave these to libmicrohttpd. Its listener, in a pool of threads, may abort the process
 * when it is quiesced while a thread looks at it; its connections, while suspended, are not watched
 * at all, so a request whose client has gone would run to its end; and its only timeout counts from
 * the last byte, so one byte a minute holds a connection for ever.
 *
 * One epoll set holds the listener, an event to be woken by, and every connection, the latter for
 * hang-ups only (edge-triggered, so nothing is looked at twice). A client that shuts down its
 * sending side counts as gone: a client that waits for an answer has no reason to. Every sweep_ms
 * all connections are looked at. Times allowed: the head of the first request header_timeout_s; of
 * a later one idle_timeout_s more; a body header_timeout_s plus its bytes at QV__RATE_BYTES a
 * second; a response QV__SEND_GRACE_S plus the same. Silence altogether is timed by the library
 * (idle_timeout_s). To close is to shut the socket down: its HTTP thread does the rest. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/server_impl.h"

#define EVENTS        64
#define ACCEPT_MAX    64 /* at a time, so that nothing else waits long */
#define LISTENER      UINT64_MAX
#define WAKE          (UINT64_MAX - 1)
#define NS_PER_S      UINT64_C(1000000000)
#define SLOT_OF(u)    ((uint32_t)(u))
#define GENERATION(u) ((uint32_t)((u) >> 32))

struct watch {
    struct qv__server *server;
    bool listening;
    bool paused; /* out of descriptors: the listener rests until the next sweep */
    uint64_t sweep_at_ns;
};

static bool listener_events(struct watch *w, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.u64 = LISTENER};
    return epoll_ctl(w->server->epoll_fd, EPOLL_CTL_MOD, w->server->listen_fd, &e) == 0;
}

static void stop_listening(struct watch *w)
{
    if (w->listening) {
        close(w->server->listen_fd);
        w->server->listen_fd = -1;
        w->listening = false;
    }
}

static void accept_some(struct watch *w)
{
    struct qv__server *s = w->server;
    for (int i = 0; i < ACCEPT_MAX; i++) {
        struct sockaddr_storage sa;
        socklen_t n = sizeof sa;
        int fd = accept4(s->listen_fd, (struct sockaddr *)&sa, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            bool out_of_something =
                errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
            if (out_of_something && !w->paused) {
                qv__log_line(s->o.logger, QV__LEVEL_WARN, "server",
                             "connections cannot be accepted for now: errno %d", errno);
                w->paused = listener_events(w, 0);
            }
            return;
        }
        if (atomic_load(&s->registry.n_open) >= s->o.config.max_connections) {
            qv__count(&s->turned_away, 1);
            qv__refuse_raw(s, fd, QV__REFUSE_BUSY);
            close(fd);
            continue;
        }
        /* The library owns the socket now, also when it says no. */
        if (MHD_add_connection(s->daemon, fd, (struct sockaddr *)&sa, n) != MHD_YES) {
            qv__count(&s->turned_away, 1);
        }
    }
}

/* ---- timeouts ---- */

struct sweep {
    struct qv__server *server;
    uint64_t now_ns;
};

/* Seconds the phase may last; 0 = as long as it likes. */
static uint64_t allowed_s(const struct qv__server_config *config, uint32_t phase, uint64_t bytes)
{
    switch ((enum qv__phase)phase) {
    case QV__PHASE_OPEN:
    case QV__PHASE_HEAD:
        return config->header_timeout_s;
    case QV__PHASE_IDLE:
        return (uint64_t)config->idle_timeout_s + config->header_timeout_s;
    case QV__PHASE_BODY:
        return config->header_timeout_s + bytes / QV__RATE_BYTES;
    case QV__PHASE_SEND:
        return QV__SEND_GRACE_S + bytes / QV__RATE_BYTES;
    case QV__PHASE_RUN:
        break;
    }
    return 0;
}

static void sweep_one(void *arg, struct qv__conn *c)
{
    struct sweep *sweep = arg;
    uint32_t phase = atomic_load_explicit(&c->phase, memory_order_acquire);
    uint64_t since = atomic_load_explicit(&c->since_ns, memory_order_relaxed);
    uint64_t bytes = atomic_load_explicit(&c->bytes, memory_order_relaxed);
    uint64_t allowed = allowed_s(&sweep->server->o.config, phase, bytes) * NS_PER_S;
    if (phase < QV__PHASE_RUN && atomic_load(&c->gone)) {
        (void)shutdown(c->fd, SHUT_RDWR);
        return;
    }
    if (allowed && sweep->now_ns > since && sweep->now_ns - since > allowed) {
        if (phase != QV__PHASE_IDLE) {
            qv__count(&sweep->server->timeouts, 1);
        }
        (void)shutdown(c->fd, SHUT_RDWR);
    }
}

static void sweep(struct watch *w, uint64_t now_ns)
{
    struct sweep sweep = {w->server, now_ns};
    qv__registry_each(&w->server->registry, sweep_one, &sweep);
    if (w->paused && w->listening) {
        w->paused = !listener_events(w, EPOLLIN);
    }
}

/* ---- the thread ---- */

static void handle(struct watch *w, const struct epoll_event *e)
{
    struct qv__server *s = w->server;
    uint64_t word;
    if (e->data.u64 == LISTENER) {
        if (w->listening) {
            accept_some(w);
        }
    } else if (e->data.u64 == WAKE) {
        (void)!read(s->wake_fd, &word, sizeof word);
    } else if (e->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        qv__registry_gone(s, SLOT_OF(e->data.u64), GENERATION(e->data.u64));
    }
}

static bool add(struct qv__server *s, int fd, uint64_t word)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = word};
    return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0;
}

qv_status qv__watch_init(struct qv__server *s, struct qv_err *err)
{
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->epoll_fd < 0 || s->wake_fd < 0 || !add(s, s->wake_fd, WAKE) ||
        !add(s, s->listen_fd, LISTENER)) {
        return qv__fail_os(err, QV_EIO, errno, "epoll");
    }
    return QV_OK;
}

void qv__watch_main(void *server)
{
    struct qv__server *s = server;
    struct watch w = {.server = s, .listening = true};
    struct epoll_event events[EVENTS];
    int sweep_ms = (int)s->o.sweep_ms;
    /* The real clock decides when to sweep, the server's how long things took. */
    const struct qv__clock *real = qv__clock_system();
    uint64_t period_ns = (uint64_t)s->o.sweep_ms * 1000000;
    w.sweep_at_ns = qv__mono_ns(real) + period_ns;
    while (!atomic_load(&s->closing)) {
        int n = epoll_wait(s->epoll_fd, events, EVENTS, sweep_ms);
        if (atomic_load(&s->draining)) {
            stop_listening(&w);
        }
        for (int i = 0; i < n; i++) {
            handle(&w, &events[i]);
        }
        if (qv__mono_ns(real) >= w.sweep_at_ns) {
            sweep(&w, qv__mono_ns(s->o.clock));
            w.sweep_at_ns = qv__mono_ns(real) + period_ns;
        }
    }
    stop_listening(&w);
}
