/* server_test.h: what the tests of a running server share: a server over a fake handler, and a
 * client of bare sockets.
 *
 * What it is: a fixture. Requests reach `submit` below, which answers by path: on the spot, from a
 * worker, or when the test says so. The clock is the system's plus what the test adds. Teardown
 * checks that no byte is left charged. Every wait of the client ends after WAIT_MS with a failure.
 */
#ifndef QV_TESTS_SERVER_TEST_H
#define QV_TESTS_SERVER_TEST_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/io_sim.h"
#include "server/server.h"

#define WAIT_MS 20000

static struct qv_err err;

#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        qv_status st_ = (expr);                                                                    \
        if (st_ != QV_OK) {                                                                        \
            fail_msg("%s: %s: %s", #expr, qv_status_name(st_), err.message);                       \
        }                                                                                          \
    } while (0)

static inline void nap_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* ---- the server's side ---- */

struct env {
    struct qv__mem *mem;
    size_t used_bytes; /* before anything was made */
    struct qv__pool *pool;
    struct qv__server *server;
    struct qv__io *io;
    struct qv__clock clock;
    struct qv__logger logger;
    _Atomic uint64_t clock_ahead_ns;
    _Atomic uint64_t submitted, finished, saw_cancel;
    pthread_mutex_t lock;
    struct qv__request *held[512]; /* guarded by: lock */
    size_t n_held;
    char log[1 << 16]; /* guarded by: lock */
    size_t n_log;
};

static inline uint64_t env_mono(void *ctx)
{
    struct env *e = ctx;
    return qv__mono_ns(qv__clock_system()) + atomic_load(&e->clock_ahead_ns);
}
static inline uint64_t env_wall(void *ctx)
{
    (void)ctx;
    return 1700000000123;
}

static inline void env_log(void *ctx, enum qv__level level, const char *component,
                           const char *message)
{
    struct env *e = ctx;
    char line[2048];
    int n = snprintf(line, sizeof line, "%s %s: %s\n", qv__level_name(level), component, message);
    pthread_mutex_lock(&e->lock);
    if (e->n_log + (size_t)n < sizeof e->log) {
        memcpy(e->log + e->n_log, line, (size_t)n + 1);
        e->n_log += (size_t)n;
    }
    pthread_mutex_unlock(&e->lock);
}

static inline bool env_logged(struct env *e, const char *text)
{
    pthread_mutex_lock(&e->lock);
    bool found = strstr(e->log, text) != NULL;
    pthread_mutex_unlock(&e->lock);
    return found;
}

static inline bool path_is(const struct qv__request *r, const char *prefix)
{
    return r->path.n >= strlen(prefix) && memcmp(r->path.p, prefix, strlen(prefix)) == 0;
}

static inline unsigned long path_number(const struct qv__request *r)
{
    char z[64] = "";
    for (size_t i = r->path.n; i > 0; i--) {
        if (r->path.p[i - 1] == '/') {
            snprintf(z, sizeof z, "%.*s", (int)(r->path.n - i), r->path.p + i);
            break;
        }
    }
    return strtoul(z, NULL, 10);
}

/* Everything that reached the handler, as text, then the body's bytes. */
static inline void echo(struct qv__request *r)
{
    struct qv__buf *b = &r->response.body;
    qv__buf_printf(b, "method=%d\npath=%.*s\nquery=%.*s\n", (int)r->method, (int)r->path.n,
                   r->path.p, (int)r->query.n, r->query.p ? r->query.p : "");
    qv__buf_printf(b, "subject=%.*s\nread_only=%d\n", (int)r->principal.subject.n,
                   r->principal.subject.p, r->principal.read_only);
    qv__buf_printf(b, "trace=%.*s\nkey=%.*s\n", (int)r->trace_id.n, r->trace_id.p,
                   (int)r->idempotency_key.n, r->idempotency_key.p ? r->idempotency_key.p : "");
    qv__buf_printf(b, "deadline=%d\n", r->deadline_ns > r->started_ns);
    for (size_t i = 0; i < r->n_headers; i++) {
        qv__buf_printf(b, "header %.*s=%.*s\n", (int)r->headers[i].name.n, r->headers[i].name.p,
                       (int)r->headers[i].value.n, r->headers[i].value.p);
    }
    qv__buf_putz(b, "body=");
    for (size_t i = 0; i < r->n_body; i++) {
        qv__buf_put(b, r->body[i].p, r->body[i].n);
    }
}

/* A response of 300,000 bytes that are made while they are sent; 0: of none; 8: ends early; 9: fails
 * at once. */
struct test_source {
    struct qv__source source;
    unsigned long which;
};
static _Atomic int sources_open;

static inline qv_status read_test_source(struct qv__source *s, uint64_t at, void *buf, size_t n,
                                         size_t *got, struct qv_err *why)
{
    struct test_source *t = QV_CONTAINER_OF(s, struct test_source, source);
    if (t->which == 9) {
        return qv__fail(why, QV_EIO, "secret place");
    }
    n = QV_MIN(n, (size_t)10007);
    for (size_t i = 0; i < n; i++) {
        ((uint8_t *)buf)[i] = (uint8_t)((at + i) * 7 + (at + i) / 300);
    }
    *got = t->which == 8 && at > 100000 ? 0 : (size_t)QV_MIN((uint64_t)n, s->bytes - at);
    return QV_OK;
}

static inline void close_test_source(struct qv__source *s)
{
    atomic_fetch_sub(&sources_open, 1);
    free(QV_CONTAINER_OF(s, struct test_source, source));
}

static inline struct qv__source *test_source(unsigned long which)
{
    struct test_source *t = calloc(1, sizeof *t);
    atomic_fetch_add(&sources_open, 1);
    t->source = (struct qv__source){.bytes = which ? 300000 : 0,
                                    .read = read_test_source,
                                    .close = close_test_source};
    t->which = which;
    return &t->source;
}

static inline void answer(struct qv__request *r)
{
    struct qv__response *to = &r->response;
    to->http_status = 200;
    to->content_type = "text/plain";
    if (path_is(r, "/status/")) {
        to->http_status = (int)path_number(r);
        if (to->http_status >= 200 && to->http_status != 204 && to->http_status != 304) {
            qv__buf_printf(&to->body, "status %d", to->http_status);
        }
    } else if (path_is(r, "/big/")) {
        size_t n = path_number(r);
        uint8_t *p = qv__buf_reserve(&to->body, n);
        for (size_t i = 0; p && i < n; i++) {
            p[i] = (uint8_t)(i * 31 + i / 251);
        }
        to->body.n += p ? n : 0;
    } else if (path_is(r, "/broken")) {
        to->body.failed = true;
    } else if (path_is(r, "/extra")) {
        to->extra[0] = (struct qv__header){QV__STR("retry-after"), QV__STR("7")};
        to->extra[1] = (struct qv__header){QV__STR("x-other"), QV__STR("a b")};
        to->n_extra = 2;
        if (path_is(r, "/extra-bad")) {
            to->extra[1].value = QV__STR("a\r\nset-cookie: b");
        } else if (path_is(r, "/extra-many")) {
            to->n_extra = 5;
        }
    } else if (path_is(r, "/file/")) {
        to->source = test_source(path_number(r));
    } else {
        echo(r);
    }
}

static inline void finish(struct env *e, struct qv__request *r)
{
    atomic_fetch_add(&e->finished, 1);
    r->done(r);
}

static inline void work(struct qv__task *task)
{
    struct qv__request *r = QV_CONTAINER_OF(task, struct qv__request, task);
    struct env *e = (struct env *)(void *)r->api;
    if (path_is(r, "/cancel")) {
        for (int i = 0; i < WAIT_MS && !atomic_load(&r->cancelled); i++) {
            nap_ms(1);
        }
        if (atomic_load(&r->cancelled)) {
            atomic_fetch_add(&e->saw_cancel, 1);
        }
        r->response.http_status = 499;
    } else {
        answer(r);
    }
    finish(e, r);
}

static inline void submit(struct qv__request *r)
{
    struct env *e = (struct env *)(void *)r->api;
    atomic_fetch_add(&e->submitted, 1);
    if (path_is(r, "/hold")) {
        pthread_mutex_lock(&e->lock);
        QV_ASSERT(e->n_held < QV_ARRAY_LEN(e->held));
        e->held[e->n_held++] = r;
        pthread_mutex_unlock(&e->lock);
    } else if (path_is(r, "/now")) {
        sigset_t blocked; /* here requests may run: a fault in a map has its handler */
        pthread_sigmask(SIG_BLOCK, NULL, &blocked);
        QV_ASSERT(!sigismember(&blocked, SIGBUS) && sigismember(&blocked, SIGTERM));
        answer(r);
        finish(e, r);
    } else {
        r->task.fn = work;
        qv__pool_submit(e->pool, QV__LANE_READ, &r->task);
    }
}

static inline size_t held(struct env *e)
{
    pthread_mutex_lock(&e->lock);
    size_t n = e->n_held;
    pthread_mutex_unlock(&e->lock);
    return n;
}

static inline void wait_held(struct env *e, size_t n)
{
    for (int i = 0; i < WAIT_MS && held(e) < n; i++) {
        nap_ms(1);
    }
    assert_int_equal(held(e), n);
}

/* Finish all held requests from this thread. */
static inline void release_all(struct env *e)
{
    for (;;) {
        pthread_mutex_lock(&e->lock);
        struct qv__request *r = e->n_held ? e->held[--e->n_held] : NULL;
        pthread_mutex_unlock(&e->lock);
        if (!r) {
            return;
        }
        if (atomic_load(&r->cancelled)) {
            atomic_fetch_add(&e->saw_cancel, 1);
        }
        answer(r);
        finish(e, r);
    }
}

static inline void env_init(struct env *e, struct qv__server_options *o)
{
    memset(e, 0, sizeof *e);
    memset(o, 0, sizeof *o);
    pthread_mutex_init(&e->lock, NULL);
    e->mem = qv__mem_root("test", 0);
    assert_non_null(e->mem);
    e->used_bytes = qv__mem_used(e->mem);
    assert_ok(qv__pool_create(e->mem, 3, &e->pool, &err));
    e->clock = (struct qv__clock){env_mono, env_wall, e};
    e->logger = (struct qv__logger){env_log, e, QV__LEVEL_INFO};
    qv__server_config_init(&o->config);
    o->config.listen_port = 0;
    o->config.http_threads = 3;
    o->config.access_log = true;
    o->api = (struct qv__api *)(void *)e;
    o->submit = submit;
    o->mem = e->mem;
    o->clock = &e->clock;
    o->logger = &e->logger;
    o->seed = 42;
    o->sweep_ms = 20;
}

static inline void env_start(struct env *e, const struct qv__server_options *o)
{
    assert_ok(qv__server_create(o, &e->server, &err));
    assert_int_equal(qv__server_port(e->server), 0);
    assert_ok(qv__server_start(e->server, &err));
    assert_int_not_equal(qv__server_port(e->server), 0);
}

static inline void env_fini(struct env *e)
{
    qv__server_free(e->server);
    qv__pool_close(e->pool);
    qv__io_close(e->io);
    assert_int_equal(atomic_load(&e->submitted), atomic_load(&e->finished));
    assert_int_equal(qv__mem_used(e->mem), e->used_bytes);
    qv__mem_close(e->mem);
    pthread_mutex_destroy(&e->lock);
}

static inline struct qv__server_stats env_stats(struct env *e)
{
    struct qv__server_stats s;
    qv__server_stats(e->server, &s);
    return s;
}

/* ---- the client's side ---- */

struct client {
    int fd;
    char *p; /* received, not yet taken */
    size_t n, cap;
};

struct reply {
    int status;
    char head[20000]; /* status line and headers */
    char *body;       /* NUL added */
    size_t n;
};

static inline int try_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

static inline struct client client_open(struct env *e)
{
    struct client c = {try_connect(qv__server_port(e->server)), NULL, 0, 0};
    assert_true(c.fd >= 0);
    return c;
}

static inline void client_close(struct client *c)
{
    if (c->fd >= 0) {
        close(c->fd);
    }
    free(c->p);
    *c = (struct client){-1, NULL, 0, 0};
}

/* False when the server has closed. */
static inline bool send_n(struct client *c, const void *p, size_t n)
{
    const char *at = p;
    while (n) {
        ssize_t done = send(c->fd, at, n, MSG_NOSIGNAL);
        if (done <= 0) {
            return false;
        }
        at += done;
        n -= (size_t)done;
    }
    return true;
}
static inline bool send_z(struct client *c, const char *z)
{
    return send_n(c, z, strlen(z));
}

/* More bytes: 1; closed: 0; nothing within ms: -1. */
static inline int receive(struct client *c, int ms)
{
    struct pollfd p = {c->fd, POLLIN, 0};
    int ready = poll(&p, 1, ms);
    if (ready <= 0) {
        return -1;
    }
    if (c->cap - c->n < 65536) {
        c->cap = c->cap * 2 + 131072;
        c->p = realloc(c->p, c->cap);
        assert_non_null(c->p);
    }
    ssize_t got = recv(c->fd, c->p + c->n, c->cap - c->n - 1, 0);
    if (got <= 0) {
        return 0;
    }
    c->n += (size_t)got;
    c->p[c->n] = 0;
    return 1;
}

static inline void take(struct client *c, size_t n)
{
    memmove(c->p, c->p + n, c->n - n + 1);
    c->n -= n;
}

/* Value of a header of a reply, copied; NULL if it is not there. Names in lower case. */
static inline const char *reply_header(const struct reply *r, const char *name, char out[512])
{
    for (const char *line = strchr(r->head, '\n'); line && line[1]; line = strchr(line + 1, '\n')) {
        size_t n = strlen(name);
        if (strncasecmp(line + 1, name, n) == 0 && line[1 + n] == ':') {
            snprintf(out, 512, "%.*s", (int)strcspn(line + 3 + n, "\r\n"), line + 3 + n);
            return out;
        }
    }
    return NULL;
}

static inline void reply_free(struct reply *r)
{
    free(r->body);
    r->body = NULL;
}

/* One whole reply; false when the connection was closed before. 100 Continue is skipped. */
static inline bool read_reply(struct client *c, struct reply *r, bool head_only)
{
    char *end;
    memset(r, 0, sizeof *r);
    for (;;) {
        while (!c->n || !(end = strstr(c->p, "\r\n\r\n"))) {
            int got = receive(c, WAIT_MS);
            assert_true(got >= 0);
            if (got == 0) {
                return false;
            }
        }
        size_t head_n = (size_t)(end - c->p) + 4;
        assert_true(head_n < sizeof r->head);
        memcpy(r->head, c->p, head_n);
        r->head[head_n] = 0;
        take(c, head_n);
        assert_int_equal(sscanf(r->head, "HTTP/1.%*d %d", &r->status), 1);
        if (r->status != 100) {
            break;
        }
    }
    char value[512];
    const char *length = reply_header(r, "content-length", value);
    size_t n = length && !head_only ? strtoul(length, NULL, 10) : 0;
    while (c->n < n) {
        int got = receive(c, WAIT_MS);
        assert_true(got >= 0);
        if (got == 0) {
            return false;
        }
    }
    r->body = malloc(n + 1);
    assert_non_null(r->body);
    if (n) {
        memcpy(r->body, c->p, n);
        take(c, n);
    }
    r->body[n] = 0;
    r->n = n;
    return true;
}

/* The server closes, within WAIT_MS, without sending more. */
static inline bool reads_eof(struct client *c)
{
    int got = c->n ? 1 : receive(c, WAIT_MS);
    return got == 0;
}

/* Send on a connection of its own; the status, 0 = closed without a reply. */
static inline int ask_once(struct env *e, const void *bytes, size_t n, struct reply *r,
                           bool *closed)
{
    struct client c = client_open(e);
    send_n(&c, bytes, n);
    bool head = n > 5 && memcmp(bytes, "HEAD ", 5) == 0;
    int status = read_reply(&c, r, head) ? r->status : 0;
    if (closed) {
        /* A server that keeps the connection answers another request on it. */
        struct reply again;
        bool sent = status && send_z(&c, "GET /now/again HTTP/1.1\r\nhost: a\r\n\r\n");
        *closed = !sent || !read_reply(&c, &again, false);
        if (!*closed) {
            reply_free(&again);
        }
    }
    client_close(&c);
    return status;
}

static inline int ask(struct env *e, const char *request, struct reply *r)
{
    return ask_once(e, request, strlen(request), r, NULL);
}

#endif
