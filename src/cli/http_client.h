/* http_client.h: a small HTTP/1.1 client over one kept-alive connection.
 *
 * What it is: what the command needs to talk to a server: http:// only, one request at a time, a
 * body of known length out, a body of known length or in chunks back. Strict about answers: what
 * RFC 9112 does not allow is an error, not a guess. What it is not: a general client: no TLS,
 * proxies, redirects, cookies or compression.
 *
 * Sizes and times are bounded: head 64 KiB, body body_max, each wait timeout_ms.
 * Threads: one at a time per object; several objects may run in several threads. */
#ifndef QV_CLI_HTTP_CLIENT_H
#define QV_CLI_HTTP_CLIENT_H

#include "base/arena.h"
#include "base/buf.h"

#define QV__HTTP_HOST_MAX 255u
#define QV__HTTP_PATH_MAX 255u

struct qv__url {
    char host[QV__HTTP_HOST_MAX + 1];   /* without the brackets of IPv6 */
    char prefix[QV__HTTP_PATH_MAX + 1]; /* "" or "/x": put before every path */
    uint16_t port;
    bool ipv6;
};
/* http://HOST[:PORT][/PREFIX]; the port is 80 without one. Errors: QV_EINVAL with the reason;
 * QV_EUNSUPPORTED for https. */
qv_status qv__url_parse(const char *text, struct qv__url *out, struct qv_err *err) QV_MUST_USE;
/* True if the host is localhost, 127.x.y.z or ::1. */
bool qv__url_is_loopback(const struct qv__url *u);
/* Append text as one segment of a path, percent-encoded. */
void qv__url_put_segment(struct qv__buf *out, struct qv__str text);

struct qv__http_options {
    uint64_t timeout_ms; /* of each wait for the peer; 0 = 60 s */
    size_t body_max;     /* 0 = 1 GiB */
    const char *api_key; /* copied; NULL or "" = none */
};

struct qv__http_answer {
    int status;
    bool close;          /* the connection ends after this answer */
    struct qv__buf body; /* init before the first use; replaced by each answer */
};

struct qv__http;
/* Does not connect yet. Errors: QV_EINVAL (URL, key), QV_ENOMEM. Release with qv__http_close. */
qv_status qv__http_open(struct qv__mem *mem, const char *url, const struct qv__http_options *o,
                        struct qv__http **out, struct qv_err *err) QV_MUST_USE;
void qv__http_close(struct qv__http *h); /* NULL-safe */
/* Send one request and read its answer. `path` starts with '/'. All our requests may be repeated
 * without harm, so one that met a connection which the server had closed meanwhile is sent again,
 * once, on a new one. Errors: QV_EBUSY (cannot connect), QV_EIO (connection lost, malformed
 * answer), QV_ETIMEOUT, QV_ETOOBIG, QV_ENOMEM; the connection is then closed and the next call
 * makes a new one. */
qv_status qv__http_do(struct qv__http *h, const char *method, const char *path, const void *body,
                      size_t n, struct qv__http_answer *a, struct qv_err *err) QV_MUST_USE;

/* A body that is read while it is sent. */
struct qv__http_upload {
    const char *type; /* content type */
    uint64_t bytes;
    /* Up to max bytes, at least one; called until `bytes` have come. */
    qv_status (*read)(void *ctx, void *to, size_t max, size_t *got, struct qv_err *err);
    void *ctx;
};
/* qv__http_do with such a body; on a new connection, since it cannot be sent again. */
qv_status qv__http_send(struct qv__http *h, const char *method, const char *path,
                        const struct qv__http_upload *up, struct qv__http_answer *a,
                        struct qv_err *err) QV_MUST_USE;
/* GET with an answer of any length: the body of a 200 goes to `sink` piece by piece (`of` bytes in
 * all; 0 = not told), any other to the answer. */
qv_status qv__http_fetch(struct qv__http *h, const char *path,
                         qv_status (*sink)(void *ctx, const void *p, size_t n, uint64_t of,
                                           struct qv_err *err),
                         void *ctx, struct qv__http_answer *a, struct qv_err *err) QV_MUST_USE;

/* --- http_answer.c: reading an answer, apart from sockets so that tests can feed it --------------
 */

struct qv__http_source {
    /* Up to n bytes; *got 0 at the end of the stream. */
    qv_status (*read)(struct qv__http_source *s, void *to, size_t n, size_t *got,
                      struct qv_err *err);
    uint8_t block[16384];
    size_t at, n; /* unread bytes of the block */
    bool began;   /* at least one byte of the answer came */
    /* Where the body of a 200 goes instead of the answer, `of` 0 where the head does not tell its
     * length; NULL = nowhere else. */
    qv_status (*sink)(void *ctx, const void *p, size_t n, uint64_t of, struct qv_err *err);
    void *sink_ctx;
};
/* Read one answer to a request that was no HEAD. `mem` for the head. */
qv_status qv__http_read_answer(struct qv__http_source *s, size_t body_max,
                               struct qv__http_answer *a, struct qv_err *err) QV_MUST_USE;

#endif
