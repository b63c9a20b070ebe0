/* http_client.c: URL, connection and request of the small HTTP client.
 *
 * A socket is not blocking; every wait is a poll with a limit, so a silent peer is a QV_ETIMEOUT
 * and never a hang. The whole request is gathered in one buffer and goes out in as few packets as
 * may be (TCP_NODELAY: a request is complete when it is written). An answer that the server sends
 * before it has read all of our request (413, 401) is read too. */
#include "cli/http_client.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/io.h"

#define KEY_MAX      255u
#define UPLOAD_BLOCK ((size_t)256 << 10)

struct qv__http {
    struct qv__http_source source; /* first: the reader gets back to us from it */
    struct qv__mem *mem;
    struct qv__url url;
    uint64_t timeout_ms;
    size_t body_max;
    char api_key[KEY_MAX + 1];
    struct qv__buf out;
    int fd;      /* -1 = not connected */
    bool reused; /* the connection has answered before */
};

/* --- URL ----------------------------------------------------------------------------------------
 */

static qv_status bad_url(const char *text, const char *why, struct qv_err *err)
{
    return qv__fail(err, QV_EINVAL, "`%.200s` is no address like http://127.0.0.1:6333: %s", text,
                    why);
}

static qv_status parse_port(const char *text, const char *p, size_t n, uint16_t *out,
                            struct qv_err *err)
{
    uint32_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9' || n > 5) {
            return bad_url(text, "the port is no number up to 65535", err);
        }
        v = v * 10 + (uint32_t)(p[i] - '0');
    }
    if (n == 0 || v == 0 || v > UINT16_MAX) {
        return bad_url(text, "the port is no number from 1 to 65535", err);
    }
    *out = (uint16_t)v;
    return QV_OK;
}

qv_status qv__url_parse(const char *text, struct qv__url *out, struct qv_err *err)
{
    struct qv__url u = {.port = 80};
    if (strncmp(text, "https://", 8) == 0) {
        return qv__fail(err, QV_EUNSUPPORTED,
                        "https is not supported here; use http:// on this machine or in a tunnel");
    }
    if (strncmp(text, "http://", 7) != 0) {
        return bad_url(text, "it must begin with http://", err);
    }
    const char *p = text + 7, *end = p + strlen(p), *slash = strchr(p, '/');
    const char *host_end = slash ? slash : end;
    for (const char *c = p; c < end; c++) {
        if ((uint8_t)*c <= 0x20 || (uint8_t)*c >= 0x7f || strchr("?#@\\\"<>", *c)) {
            return bad_url(text, "it holds a character that does not belong there", err);
        }
    }
    const char *host = p, *colon;
    if (*p == '[') {
        host = p + 1;
        colon = memchr(host, ']', (size_t)(host_end - host));
        if (!colon) {
            return bad_url(text, "the bracket is not closed", err);
        }
        u.ipv6 = true;
        p = colon + 1;
    } else {
        colon = memchr(p, ':', (size_t)(host_end - p));
        colon = colon ? colon : host_end;
        p = colon;
    }
    size_t n = (size_t)(colon - host);
    if (n == 0 || n > QV__HTTP_HOST_MAX) {
        return bad_url(text, "there is no host", err);
    }
    memcpy(u.host, host, n);
    if (p < host_end) {
        if (*p != ':') {
            return bad_url(text, "unexpected text after the host", err);
        }
        QV_TRY(parse_port(text, p + 1, (size_t)(host_end - p - 1), &u.port, err));
    }
    while (slash && end > slash && end[-1] == '/') {
        end--;
    }
    if (slash && end > slash) {
        n = (size_t)(end - slash);
        if (n > QV__HTTP_PATH_MAX) {
            return bad_url(text, "the path is too long", err);
        }
        memcpy(u.prefix, slash, n);
    }
    *out = u;
    return QV_OK;
}

bool qv__url_is_loopback(const struct qv__url *u)
{
    return strcmp(u->host, "localhost") == 0 || strncmp(u->host, "127.", 4) == 0 ||
           strcmp(u->host, "::1") == 0;
}

void qv__url_put_segment(struct qv__buf *out, struct qv__str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                     c == '-' || c == '_' || c == '~' || (c == '.' && text.n > 2);
        if (plain) {
            qv__buf_putc(out, c);
        } else {
            qv__buf_printf(out, "%%%02X", (unsigned)(uint8_t)c);
        }
    }
}

/* --- waiting -------------------------------------------------------------------------------------
 */

/* Wait for events on the socket; *ready gets those that came. */
static qv_status wait_for(struct qv__http *h, short events, short *ready, struct qv_err *err)
{
    const struct qv__clock *clock = qv__clock_system();
    uint64_t end = qv__mono_ns(clock) + h->timeout_ms * 1000000;
    struct pollfd p = {.fd = h->fd, .events = events};
    for (;;) {
        uint64_t now = qv__mono_ns(clock);
        if (now >= end) {
            return qv__fail(err, QV_ETIMEOUT, "the server said nothing for %" PRIu64 " ms",
                            h->timeout_ms);
        }
        uint64_t left = (end - now) / 1000000 + 1;
        int n = poll(&p, 1, left > 60000 ? 60000 : (int)left);
        if (n > 0) {
            *ready = p.revents;
            return QV_OK;
        }
        if (n < 0 && errno != EINTR) {
            return qv__fail_os(err, QV_EIO, errno, "waiting for the server");
        }
    }
}

static void disconnect(struct qv__http *h)
{
    if (h->fd >= 0) {
        close(h->fd);
    }
    h->fd = -1;
    h->reused = false;
    h->source.at = h->source.n = 0;
}

/* Connect to one address. */
static qv_status connect_to(struct qv__http *h, const struct addrinfo *a, struct qv_err *err)
{
    h->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (h->fd < 0) {
        return qv__fail_os(err, QV_EBUSY, errno, "no socket");
    }
    int one = 1, failed = 0;
    socklen_t n = sizeof failed;
    (void)setsockopt(h->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(h->fd, a->ai_addr, a->ai_addrlen) != 0) {
        failed = errno;
        if (failed == EINPROGRESS) {
            short ready = 0;
            QV_TRY(wait_for(h, POLLOUT, &ready, err));
            if (getsockopt(h->fd, SOL_SOCKET, SO_ERROR, &failed, &n) != 0) {
                failed = errno;
            }
        }
        if (failed) {
            return qv__fail_os(err, QV_EBUSY, failed, "cannot connect to %s port %u", h->url.host,
                               h->url.port);
        }
    }
    return QV_OK;
}

static qv_status connect_any(struct qv__http *h, struct qv_err *err)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_family = h->url.ipv6 ? AF_INET6 : AF_UNSPEC,
                             .ai_flags = h->url.ipv6 ? AI_NUMERICHOST : 0};
    struct addrinfo *list = NULL;
    snprintf(port, sizeof port, "%u", h->url.port);
    int rc = getaddrinfo(h->url.host, port, &hints, &list);
    if (rc != 0) {
        return qv__fail(err, QV_EBUSY, "cannot find the host `%s`: %s", h->url.host,
                        gai_strerror(rc));
    }
    qv_status st = qv__fail(err, QV_EBUSY, "the host `%s` has no address", h->url.host);
    for (const struct addrinfo *a = list; a && st != QV_OK; a = a->ai_next) {
        st = connect_to(h, a, err);
        if (st != QV_OK) {
            disconnect(h);
        }
    }
    freeaddrinfo(list);
    return st;
}

/* --- request and answer
 * ---------------------------------------------------------------------------- */

static qv_status read_socket(struct qv__http_source *s, void *to, size_t n, size_t *got,
                             struct qv_err *err)
{
    struct qv__http *h = QV_CONTAINER_OF(s, struct qv__http, source);
    for (;;) {
        ssize_t r = recv(h->fd, to, n, 0);
        if (r >= 0) {
            *got = (size_t)r;
            return QV_OK;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            short ready = 0;
            QV_TRY(wait_for(h, POLLIN, &ready, err));
        } else if (errno != EINTR) {
            return qv__fail_os(err, QV_EIO, errno, "the connection to the server broke");
        }
    }
}

/* Send what is in h->out. *whole false, and no error: the server answered, or went, before the end.
 */
static qv_status send_all(struct qv__http *h, bool *whole, struct qv_err *err)
{
    *whole = false;
    for (size_t done = 0; done < h->out.n;) {
        ssize_t w = send(h->fd, h->out.p + done, h->out.n - done, MSG_NOSIGNAL);
        if (w >= 0) {
            done += (size_t)w;
            continue;
        }
        if (errno == EINTR) {
            continue;
        }
        if (errno == EPIPE || errno == ECONNRESET) {
            return QV_OK; /* reading finds the answer that came before, or the same error */
        }
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            return qv__fail_os(err, QV_EIO, errno, "cannot send to the server");
        }
        short ready = 0;
        QV_TRY(wait_for(h, POLLIN | POLLOUT, &ready, err));
        if (!(ready & POLLOUT)) {
            return QV_OK;
        }
    }
    *whole = true;
    return QV_OK;
}

/* The first line and the headers that every request has. */
static void build_head(struct qv__http *h, const char *method, const char *path)
{
    qv__buf_reset(&h->out);
    qv__buf_printf(&h->out,
                   h->url.ipv6 ? "%s %s%s HTTP/1.1\r\nHost: [%s]:%u\r\n"
                               : "%s %s%s HTTP/1.1\r\nHost: %s:%u\r\n",
                   method, h->url.prefix, path, h->url.host, h->url.port);
    qv__buf_printf(&h->out, "User-Agent: quiver\r\nAccept: application/json\r\n");
    if (h->api_key[0]) {
        qv__buf_printf(&h->out, "api-key: %s\r\n", h->api_key);
    }
}

static qv_status build(struct qv__http *h, const char *method, const char *path, const void *body,
                       size_t n, struct qv_err *err)
{
    build_head(h, method, path);
    if (body) {
        qv__buf_printf(&h->out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", n);
    }
    qv__buf_putz(&h->out, "\r\n");
    qv__buf_put(&h->out, body ? body : "", n);
    return qv__buf_status(&h->out, err);
}

static qv_status once(struct qv__http *h, struct qv__http_answer *a, struct qv_err *err)
{
    if (h->fd < 0) {
        QV_TRY(connect_any(h, err));
    }
    bool whole = false;
    QV_TRY(send_all(h, &whole, err));
    QV_TRY(qv__http_read_answer(&h->source, h->body_max, a, err));
    if (h->source.at != h->source.n) {
        return qv__fail(err, QV_EIO, "the server sent more than one answer");
    }
    a->close |= !whole; /* the rest of the request would be taken for the next one */
    return QV_OK;
}

qv_status qv__http_do(struct qv__http *h, const char *method, const char *path, const void *body,
                      size_t n, struct qv__http_answer *a, struct qv_err *err)
{
    QV_TRY(build(h, method, path, body, n, err));
    bool reused = h->reused;
    h->source.began = false;
    qv_status st = once(h, a, err);
    if (st == QV_EIO && reused && !h->source.began) {
        disconnect(h); /* closed while it was idle: nothing of this request was answered */
        st = once(h, a, err);
    }
    if (st != QV_OK || a->close) {
        disconnect(h);
    } else {
        h->reused = true;
    }
    return st;
}

/* Head and body, piece by piece. *whole as in send_all. */
static qv_status send_upload(struct qv__http *h, const struct qv__http_upload *up, bool *whole,
                             struct qv_err *err)
{
    QV_TRY(send_all(h, whole, err));
    for (uint64_t left = up->bytes; *whole && left > 0;) {
        size_t n = (size_t)QV_MIN(left, (uint64_t)UPLOAD_BLOCK), got = 0;
        qv__buf_reset(&h->out);
        uint8_t *to = qv__buf_reserve(&h->out, n);
        if (!to) {
            return qv__buf_status(&h->out, err);
        }
        QV_TRY(up->read(up->ctx, to, n, &got, err));
        h->out.n = got;
        left -= got;
        QV_TRY(send_all(h, whole, err));
    }
    return QV_OK;
}

static qv_status upload(struct qv__http *h, const struct qv__http_upload *up,
                        struct qv__http_answer *a, struct qv_err *err)
{
    bool whole = false;
    QV_TRY(connect_any(h, err));
    QV_TRY(send_upload(h, up, &whole, err));
    return qv__http_read_answer(&h->source, h->body_max, a, err);
}

qv_status qv__http_send(struct qv__http *h, const char *method, const char *path,
                        const struct qv__http_upload *up, struct qv__http_answer *a,
                        struct qv_err *err)
{
    disconnect(h);
    build_head(h, method, path);
    qv__buf_printf(&h->out, "Content-Type: %s\r\nContent-Length: %" PRIu64 "\r\n\r\n", up->type,
                   up->bytes);
    QV_TRY(qv__buf_status(&h->out, err));
    qv_status st = upload(h, up, a, err);
    disconnect(h);
    return st;
}

qv_status qv__http_fetch(struct qv__http *h, const char *path,
                         qv_status (*sink)(void *ctx, const void *p, size_t n, uint64_t of,
                                           struct qv_err *err),
                         void *ctx, struct qv__http_answer *a, struct qv_err *err)
{
    disconnect(h); /* what has begun to arrive cannot be asked for again */
    h->source.sink = sink;
    h->source.sink_ctx = ctx;
    qv_status st = qv__http_do(h, "GET", path, NULL, 0, a, err);
    h->source.sink = NULL;
    return st;
}

qv_status qv__http_open(struct qv__mem *mem, const char *url, const struct qv__http_options *o,
                        struct qv__http **out, struct qv_err *err)
{
    struct qv__url u;
    QV_TRY(qv__url_parse(url, &u, err));
    const char *key = o->api_key ? o->api_key : "";
    size_t n = strlen(key);
    for (size_t i = 0; i < n; i++) {
        if ((uint8_t)key[i] <= 0x20 || (uint8_t)key[i] >= 0x7f) {
            return qv__fail(err, QV_EINVAL, "the API key holds a blank or a control character");
        }
    }
    if (n > KEY_MAX) {
        return qv__fail(err, QV_EINVAL, "the API key is longer than %u bytes", KEY_MAX);
    }
    struct qv__http *h = qv__zalloc(mem, sizeof *h);
    if (!h) {
        return qv__fail(err, QV_ENOMEM, "no memory for a connection");
    }
    h->mem = mem;
    h->url = u;
    h->timeout_ms = o->timeout_ms ? o->timeout_ms : 60000;
    h->body_max = o->body_max ? o->body_max : (size_t)1 << 30;
    memcpy(h->api_key, key, n);
    qv__buf_init(&h->out, mem);
    h->source.read = read_socket;
    h->fd = -1;
    *out = h;
    return QV_OK;
}

void qv__http_close(struct qv__http *h)
{
    if (!h) {
        return;
    }
    disconnect(h);
    explicit_bzero(h->api_key, sizeof h->api_key);
    if (h->out.p) {
        explicit_bzero(h->out.p, h->out.n); /* it holds the key as well */
    }
    qv__buf_free(&h->out);
    qv__free(h);
}
