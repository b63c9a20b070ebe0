/* watch.c: the thread that accepts, notices hang-ups, and closes what is too slow.
 *
 * Why not leave these to libmicrohttpd. Its listener, in a pool of threads, may abort the process
 * when it is quiesced while a thread looks at it; its connections, while suspended, are not watched
 * at all, so a request whose client has gone would run to its end; and its only timeout counts from
 * the last byte, so one byte a minute holds a connection for ever.
 *
 * One epoll set holds the listener, an event to be woken by, and every connection, the latter for
 * hang-ups only (edge-triggered, so nothing is looked at twice). A client that shuts down its
 * sending side counts as gone: a client that waits for an answer has no reason to. Times allowed:
 * the head of the first request header_timeout_s; of a later one idle_timeout_s more; a body
 * header_timeout_s plus its bytes at QV__RATE_BYTES a second; a response QV__SEND_GRACE_S plus the
 * same. Silence altogether is timed by the library (idle_timeout_s). To close is to shut the socket
 * down: its HTTP thread does the rest.
 *
 * Nothing polls. A sweep looks at all connections and finds when the first of them will be late;
 * the thread sleeps until then (server.sweep_at_ns), for ever without connections. A phase that
 * begins and may be late sooner moves that instant forward and wakes the thread
 * (qv__watch_by); since phases last seconds, a busy server sweeps every few seconds. A sweep first
 * forgets the instant, then looks: what begins while it looks is either seen or sets it anew. What
 * waits for a worker is looked at by the same sweep: a request is answered when its time is up, and
 * dropped when its client is gone, whatever the workers are at. */
#include <errno.h>
#include <limits.h>
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
#define NS_PER_MS     UINT64_C(1000000)
#define STALL_NS      (10 * NS_PER_S)
#define EXCUSE_NS     (2 * NS_PER_S)
#define AGAIN_NS      NS_PER_S /* until what could not be done, or not be seen, is looked at again */
#define SLOT_OF(u)    ((uint32_t)(u))
#define GENERATION(u) ((uint32_t)((u) >> 32))

struct watch {
    struct qv__server *server;
    bool listening;
    bool paused;  /* out of descriptors: the listener rests until the next sweep */
    bool excused; /* the next sweep comes after a stall, a while later than it was due */
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
                qv__watch_by(s, qv__mono_ns(s->o.clock) + AGAIN_NS);
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
        atomic_fetch_add(&s->handed_over, 1);
        if (MHD_add_connection(s->daemon, fd, (struct sockaddr *)&sa, n) != MHD_YES) {
            atomic_fetch_sub(&s->handed_over, 1);
            qv__count(&s->turned_away, 1);
        }
    }
}

/* ---- timeouts ---- */

/* True if the next sweep was to come later. */
static bool sooner(struct qv__server *s, uint64_t at_ns)
{
    uint64_t have = atomic_load(&s->sweep_at_ns);
    while (at_ns < have) {
        if (atomic_compare_exchange_weak(&s->sweep_at_ns, &have, at_ns)) {
            return true;
        }
    }
    return false;
}

void qv__watch_by(struct qv__server *s, uint64_t at_ns)
{
    if (s->o.sweep_ms) {
        uint64_t period_ns = (uint64_t)s->o.sweep_ms * NS_PER_MS;
        at_ns = QV_MIN(at_ns, qv__mono_ns(s->o.clock) + period_ns);
    }
    if (sooner(s, at_ns)) {
        qv__watch_wake(s);
    }
}

struct sweep {
    struct qv__server *server;
    uint64_t now_ns;
    uint64_t next_ns; /* when the first of those that stay will be late; UINT64_MAX = never */
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

uint64_t qv__watch_late_ns(const struct qv__conn *c)
{
    /* Phase first: it is written last, so a mixture is at worst a phase with a later beginning. */
    uint32_t phase = atomic_load(&c->phase);
    uint64_t since = atomic_load_explicit(&c->since_ns, memory_order_relaxed);
    uint64_t bytes = atomic_load_explicit(&c->bytes, memory_order_relaxed);
    uint64_t allowed = allowed_s(&c->server->o.config, phase, bytes);
    if (phase < QV__PHASE_RUN && atomic_load(&c->gone)) {
        return 0;
    }
    return allowed ? since + allowed * NS_PER_S : UINT64_MAX;
}

static void sweep_one(void *arg, struct qv__conn *c)
{
    struct sweep *sweep = arg;
    uint64_t late_ns = qv__watch_late_ns(c);
    if (late_ns >= sweep->now_ns) {
        sweep->next_ns = QV_MIN(sweep->next_ns, late_ns + 1);
        if (sweep->server->o.sweep_ms) {
            uint64_t period_ns = (uint64_t)sweep->server->o.sweep_ms * NS_PER_MS;
            sweep->next_ns = QV_MIN(sweep->next_ns, sweep->now_ns + period_ns);
        }
        return;
    }
    if (late_ns && atomic_load(&c->phase) != QV__PHASE_IDLE && !c->is_late) {
        c->is_late = true; /* it may be told more than once */
        qv__count(&sweep->server->timeouts, 1);
    }
    (void)shutdown(c->fd, SHUT_RDWR);
    /* Its thread has a second to close it; then it is told again. */
    sweep->next_ns = QV_MIN(sweep->next_ns, sweep->now_ns + AGAIN_NS);
}

static void sweep(struct watch *w, uint64_t now_ns)
{
    struct qv__server *s = w->server;
    struct sweep sweep = {s, now_ns, UINT64_MAX};
    atomic_store(&s->sweep_at_ns, UINT64_MAX);
    qv__registry_each(&s->registry, sweep_one, &sweep);
    if (s->o.expire) {
        uint64_t due_ns = s->o.expire(s->o.api);
        sweep.next_ns = QV_MIN(sweep.next_ns, due_ns == UINT64_MAX ? due_ns : due_ns + 1);
    }
    if (w->paused && w->listening) {
        w->paused = !listener_events(w, EPOLLIN);
    }
    if (w->paused) {
        sweep.next_ns = QV_MIN(sweep.next_ns, now_ns + AGAIN_NS);
    }
    (void)sooner(s, sweep.next_ns);
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
        qv__watch_by(s, qv__mono_ns(s->o.clock) + AGAIN_NS);
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

/* How long to sleep, for epoll: -1 = until something happens. */
static int sleep_ms(struct qv__server *s)
{
    uint64_t at = atomic_load(&s->sweep_at_ns), now = qv__mono_ns(s->o.clock);
    if (at == UINT64_MAX) {
        return -1;
    }
    uint64_t ms = at > now ? (at - now + NS_PER_MS - 1) / NS_PER_MS : 0;
    return (int)QV_MIN(ms, (uint64_t)INT_MAX);
}

void qv__watch_main(void *server)
{
    struct qv__server *s = server;
    struct watch w = {.server = s, .listening = true};
    struct epoll_event events[EVENTS];
    while (!atomic_load(&s->closing)) {
        int n = epoll_wait(s->epoll_fd, events, EVENTS, sleep_ms(s));
        if (atomic_load(&s->draining)) {
            stop_listening(&w);
        }
        for (int i = 0; i < n; i++) {
            handle(&w, &events[i]);
        }
        uint64_t now = qv__mono_ns(s->o.clock), at = atomic_load(&s->sweep_at_ns);
        if (now >= at && now - at > STALL_NS && !w.excused && !s->o.sweep_ms) {
            w.excused = true; /* the process was stopped: who is late may not be to blame */
            atomic_store(&s->sweep_at_ns, now + EXCUSE_NS);
        } else if (now >= at) {
            w.excused = false;
            sweep(&w, now);
        }
    }
    stop_listening(&w);
}
