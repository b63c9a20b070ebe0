/* server.c: a server's life: create, start, stop, free.
 *
 * Stopping, in order: (1) `draining` is set and the watcher closes the listener; requests that
 * begin from here on are answered 503 and their connections closed. (2) Requests in flight may
 * finish for the grace period. (3) Those that still run are cancelled. (4) Each submitted request's
 * `done` is waited for without a limit, because the handler may still write to it, and because
 * libmicrohttpd aborts when it is stopped with suspended connections. (5) The library closes all
 * connections and ends its threads; then the watcher ends. The waits poll: a finisher's last access
 * to the server is the decrement that is waited for, so that the server may be freed right after.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "server/server_impl.h"

#define POLL_MS           5u
#define POLL_NS           (POLL_MS * 1000000u)
#define COMPLAIN_MS       10000u
#define BEGIN_MS          1000u
#define DESCRIPTORS_SPARE 256u /* for the database's files and the process itself */
#define HTTP_THREADS_MAX  16u  /* by default */

qv_status qv__server_create(const struct qv__server_options *o, struct qv__server **out,
                            struct qv_err *err)
{
    QV_TRY(qv__server_config_check(&o->config, err));
    struct qv__mem *mem = qv__mem_child(o->mem, "server", 0);
    struct qv__server *s = mem ? qv__zalloc(mem, sizeof *s) : NULL;
    if (!s || qv__registry_init(&s->registry, mem,
                                o->config.max_connections + QV__CONNECTIONS_SPARE) != QV_OK) {
        qv__free(s);
        qv__mem_close(mem);
        return qv__fail(err, QV_ENOMEM, "no memory for a server of %" PRIu32 " connections",
                        o->config.max_connections);
    }
    s->o = *o;
    s->mem = mem;
    s->n_cpus = qv__cpu_count();
    s->listen_fd = s->epoll_fd = s->wake_fd = -1;
    s->check_layout = strncmp(MHD_get_version(), "0.9.7", 5) == 0;
    atomic_init(&s->sweep_at_ns, UINT64_MAX);
    (void)snprintf(s->body_large, sizeof s->body_large,
                   "{\"status\":{\"error\":\"Payload error: the body is larger than this server "
                   "allows: body_max is %" PRIu64 " bytes, upload_max (snapshots) %" PRIu64
                   "\"},\"time\":0.0}",
                   o->config.body_bytes_max, o->config.upload_bytes_max);
    if (s->o.config.http_threads == 0) {
        s->o.config.http_threads = QV_MIN(s->n_cpus, HTTP_THREADS_MAX);
    }
    *out = s;
    return QV_OK;
}

/* Messages of the library are about clients, so they are for debugging only. */
static void log_library(void *cls, const char *fmt, va_list ap) QV_PRINTF(2, 0);
static void log_library(void *cls, const char *fmt, va_list ap)
{
    const struct qv__logger *logger = cls;
    char text[512];
    if (!logger || logger->min_level > QV__LEVEL_DEBUG) {
        return;
    }
    int n = vsnprintf(text, sizeof text, fmt, ap);
    size_t used = n < 0 ? 0 : QV_MIN((size_t)n, sizeof text - 1);
    while (used && text[used - 1] == '\n') {
        used--;
    }
    qv__log_line(logger, QV__LEVEL_DEBUG, "http", "%.*s", (int)used, text);
}

static size_t keep_escapes(void *cls, struct MHD_Connection *mhd, char *s)
{
    (void)cls;
    (void)mhd;
    return strlen(s);
}

/* Signals belong to the process's own threads; the library's inherit a mask without any but faults,
 * which guard maps (os/map_guard.h), and that they wake promptly. */
static struct MHD_Daemon *start_daemon(struct qv__server *s)
{
    const struct qv__server_config *config = &s->o.config;
    sigset_t before;
    qv__thread_block_signals(&before);
    qv__thread_slices(QV__SLICES_SHORTEST);
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
                     MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem pool[] = {
        {MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)config->http_threads, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    if (config->http_threads < 2) {
        pool[0].option = MHD_OPTION_END; /* one thread is no pool */
    }
    struct MHD_Daemon *d = MHD_start_daemon(
        flags, 0, NULL, NULL, qv__on_request, s, /* the logger comes first: others may log */
        MHD_OPTION_EXTERNAL_LOGGER, log_library, (void *)(uintptr_t)s->o.logger,
        MHD_OPTION_URI_LOG_CALLBACK, qv__on_target, s, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes,
        NULL, MHD_OPTION_NOTIFY_COMPLETED, qv__on_completed, s, MHD_OPTION_NOTIFY_CONNECTION,
        qv__conn_notify, s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, QV__POOL_BYTES,
        MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)(config->max_connections + QV__CONNECTIONS_SPARE + config->http_threads),
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)config->max_connections_per_address,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)config->idle_timeout_s,
        MHD_OPTION_STRICT_FOR_CLIENT, 1,
#if MHD_VERSION >= 0x00097701
        MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1,
#endif
        MHD_OPTION_ARRAY, pool, MHD_OPTION_END);
    qv__thread_slices(QV__SLICES_DEFAULT);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return d;
}

/* As many descriptors as the connections may need, as far as the system allows. */
static void raise_descriptors(struct qv__server *s)
{
    struct rlimit limit;
    rlim_t need = (rlim_t)s->o.config.max_connections + DESCRIPTORS_SPARE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= need) {
        return;
    }
    struct rlimit more = {QV_MIN(need, limit.rlim_max), limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &more) != 0 || more.rlim_cur < need) {
        /* The database's files come first: fewer connections, and the rest is answered 503. */
        rlim_t have = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : more.rlim_cur;
        rlim_t spare = QV_MIN((rlim_t)DESCRIPTORS_SPARE, have / 2);
        qv__log_line(s->o.logger, QV__LEVEL_WARN, "server",
                     "the system allows %llu open files: %llu connections are served, not %" PRIu32,
                     (unsigned long long)have, (unsigned long long)(have - spare),
                     s->o.config.max_connections);
        s->o.config.max_connections = (uint32_t)QV_MAX(have - spare, (rlim_t)1);
    }
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static qv_status start_threads(struct qv__server *s, struct qv_err *err)
{
    QV_TRY(qv__watch_init(s, err));
    s->daemon = start_daemon(s);
    if (!s->daemon) {
        return qv__fail(err, QV_EBUSY, "the HTTP threads cannot be started");
    }
    return qv__thread_start(&s->watcher, "qv-accept", qv__watch_main, s, err);
}

qv_status qv__server_start(struct qv__server *s, struct qv_err *err)
{
    const struct qv__server_config *config = &s->o.config;
    bool loopback = false;
    uint16_t port;
    if (s->running || s->port) {
        return qv__fail(err, QV_EINVAL, "the server was started before");
    }
    raise_descriptors(s);
    QV_TRY(
        qv__listen(config->listen_host, config->listen_port, &s->listen_fd, &port, &loopback, err));
    bool has_key = config->api_key[0] || config->read_only_api_key[0];
    qv_status st = QV_OK;
    if (!loopback && !has_key && !config->allow_open) {
        st = qv__fail(err, QV_EFORBIDDEN,
                      "listen: %.100s can be reached from elsewhere: set api_key, or allow_open if "
                      "anybody may read and write",
                      config->listen_host);
    } else {
        st = start_threads(s, err);
    }
    if (st != QV_OK) {
        if (s->daemon) {
            MHD_stop_daemon(s->daemon);
            s->daemon = NULL;
        }
        close_fd(&s->listen_fd);
        close_fd(&s->epoll_fd);
        close_fd(&s->wake_fd);
        return st;
    }
    s->port = port;
    s->running = true;
    if (!loopback && !has_key) {
        qv__log_line(s->o.logger, QV__LEVEL_WARN, "server",
                     "serving %.100s without any key: anybody may read and write",
                     config->listen_host);
    }
    qv__log_line(s->o.logger, QV__LEVEL_INFO, "server", "listening on %.100s port %u",
                 config->listen_host, port);
    return QV_OK;
}

uint16_t qv__server_port(const struct qv__server *s)
{
    return s->port;
}

void qv__watch_wake(struct qv__server *s)
{
    uint64_t one = 1;
    (void)!write(s->wake_fd, &one, sizeof one);
}

static void cancel_one(void *arg, struct qv__conn *c)
{
    (void)arg;
    atomic_store(&c->request.cancelled, true);
}

void qv__server_stop(struct qv__server *s, uint32_t grace_ms)
{
    if (!s->running) {
        return;
    }
    atomic_store(&s->draining, true);
    qv__watch_wake(s);
    uint32_t waited_ms = 0;
    while (atomic_load(&s->in_flight) && waited_ms < grace_ms) {
        qv__nap_ns(POLL_NS);
        waited_ms += POLL_MS;
    }
    if (atomic_load(&s->unfinished)) {
        qv__registry_each(&s->registry, cancel_one, NULL);
        qv__watch_by(s, qv__mono_ns(s->o.clock)); /* what has not begun */
    }
    for (waited_ms = 0; atomic_load(&s->unfinished); waited_ms += POLL_MS) {
        if (waited_ms % COMPLAIN_MS == 0) {
            qv__log_line(s->o.logger, QV__LEVEL_WARN, "server",
                         "stopping: %" PRIu32 " cancelled requests have not ended yet",
                         atomic_load(&s->unfinished));
        }
        qv__nap_ns(POLL_NS);
    }
    /* The watcher first: it gives sockets to the library. It closes the listener when it ends. */
    atomic_store(&s->closing, true);
    qv__watch_wake(s);
    qv__thread_join(&s->watcher);
    /* A thread of the library that ends frees the connections it has not begun without the lock
     * they were given to it under. One it had no memory for never begins, hence the limit. */
    for (waited_ms = 0; atomic_load(&s->handed_over) && waited_ms < BEGIN_MS;
         waited_ms += POLL_MS) {
        qv__nap_ns(POLL_NS);
    }
    MHD_stop_daemon(s->daemon);
    s->daemon = NULL;
    close_fd(&s->epoll_fd);
    close_fd(&s->wake_fd);
    s->running = false;
    qv__log_line(s->o.logger, QV__LEVEL_INFO, "server", "stopped");
}

void qv__server_free(struct qv__server *s)
{
    if (!s) {
        return;
    }
    qv__server_stop(s, 0);
    struct qv__mem *mem = s->mem;
    qv__registry_fini(&s->registry);
    qv__free(s);
    qv__mem_close(mem);
}

void qv__server_stats(const struct qv__server *s, struct qv__server_stats *out)
{
    *out = (struct qv__server_stats){
        .connections = atomic_load(&s->registry.n_open),
        .connections_total = qv__counted(&s->accepted),
        .connections_refused = qv__counted(&s->turned_away),
        .requests_in_flight = atomic_load(&s->in_flight),
        .requests_total = qv__counted(&s->requests),
        .requests_refused = qv__counted(&s->refused),
        .disconnects = qv__counted(&s->disconnects),
        .timeouts = qv__counted(&s->timeouts),
    };
}
