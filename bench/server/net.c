/* net.c: one TCP connection, and as much of HTTP/1.1 as the servers answer. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

struct net *net_open(const struct target *t)
{
    struct net *c = need(sizeof *c);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)t->port)};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || inet_pton(AF_INET, t->host, &to.sin_addr) != 1 ||
        connect(c->fd, (struct sockaddr *)&to, sizeof to)) {
        die("no connection to %s:%d: %s", t->host, t->port, strerror(errno));
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->room = 1 << 18;
    c->p = need(c->room);
    return c;
}

void net_close(struct net *c)
{
    close(c->fd);
    free(c->p);
    free(c);
}

void net_send(struct net *c, const char *p, size_t n)
{
    while (n) {
        ssize_t w = send(c->fd, p, n, MSG_NOSIGNAL);
        if (w <= 0) {
            die("cannot send: %s", strerror(errno));
        }
        p += w;
        n -= (size_t)w;
    }
}

/* At least n bytes lie from c->at on. */
static void fill(struct net *c, size_t n)
{
    if (c->at && c->n - c->at < n) {
        memmove(c->p, c->p + c->at, c->n - c->at);
        c->n -= c->at;
        c->at = 0;
    }
    if (n > c->room) {
        c->room = 2 * n;
        c->p = realloc(c->p, c->room);
        if (!c->p) {
            die("no memory for %zu bytes", c->room);
        }
    }
    while (c->n - c->at < n) {
        ssize_t r = recv(c->fd, c->p + c->n, c->room - c->n, 0);
        if (r <= 0) {
            die("the server closed the connection");
        }
        c->n += (size_t)r;
    }
}

int net_byte(struct net *c)
{
    fill(c, 1);
    return (unsigned char)c->p[c->at++];
}

const char *net_take(struct net *c, size_t n)
{
    fill(c, n);
    const char *p = c->p + c->at;
    c->at += n;
    return p;
}

struct request http_request(const struct target *t, const char *method, const char *path,
                            const struct text *body)
{
    struct text b = {0};
    putf(&b, "%s %s HTTP/1.1\r\nHost: %s:%d\r\n", method, path, t->host, t->port);
    if (body) {
        putf(&b, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body->n);
        put(&b, body->p, body->n);
    } else {
        putf(&b, "\r\n");
    }
    return (struct request){b.p, b.n};
}

const char *http_ask(struct net *c, const struct request *r, int *status)
{
    net_send(c, r->p, r->n);
    size_t length = 0, line = 0;
    int code = 0;
    char head[512];
    for (;;) { /* lines of the head */
        int x = net_byte(c);
        if (x != '\n') {
            if (line < sizeof head - 1 && x != '\r') {
                head[line++] = (char)x;
            }
            continue;
        }
        head[line] = 0;
        if (line == 0) {
            break;
        }
        if (!strncmp(head, "HTTP/1.1 ", 9)) {
            code = atoi(head + 9);
        } else if (!strncasecmp(head, "content-length:", 15)) {
            length = strtoul(head + 15, NULL, 10);
        } else if (!strncasecmp(head, "transfer-encoding:", 18)) {
            die("an answer in chunks is not read");
        }
        line = 0;
    }
    fill(c, length);
    char *body = c->p + c->at;
    if (c->at + length == c->room) { /* a place for the zero */
        die("an answer of %zu bytes is too long", length);
    }
    body[length] = 0; /* the server has sent nothing behind it: requests go one by one */
    c->at += length;
    if (status) {
        *status = code;
    } else if (code >= 400) {
        die("status %d: %.300s", code, body);
    }
    return body;
}

char *http_once(const struct target *t, const char *method, const char *path,
                const struct text *body, int *status)
{
    struct net *c = net_open(t);
    struct request r = http_request(t, method, path, body);
    char *copy = strdup(http_ask(c, &r, status));
    free(r.p);
    net_close(c);
    return copy;
}
