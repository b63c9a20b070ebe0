/* listen.c: the socket a server listens on.
 *
 * Resolves the host, binds the first of its addresses that can be bound, and says whether that is a
 * loopback address, which decides whether serving without a key is allowed. An IPv6 socket serves
 * IPv4 too when it is bound to the unspecified address. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/server_impl.h"

#define BACKLOG 1024

static bool is_loopback(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof in);
        return ntohl(in.sin_addr.s_addr) >> 24 == 127;
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof in6);
        return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) && in6.sin6_addr.s6_addr[12] == 127);
    }
    return false;
}

static qv_status bind_one(const struct addrinfo *a, int *fd, struct qv_err *err)
{
    int on = 1, off = 0;
    int s = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0) {
        return qv__fail_os(err, QV_EIO, errno, "socket");
    }
    /* Not fatal: only a restart within minutes, or IPv4 on an IPv6 socket, would miss them. */
    (void)setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->ai_family == AF_INET6) {
        (void)setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    }
    if (bind(s, a->ai_addr, a->ai_addrlen) != 0 || listen(s, BACKLOG) != 0) {
        int e = errno;
        close(s);
        return qv__fail_os(err,
                           e == EADDRINUSE                           ? QV_ELOCKED
                           : e == EADDRNOTAVAIL || e == EAFNOSUPPORT ? QV_EINVAL
                                                                     : QV_EIO,
                           e, "bind");
    }
    *fd = s;
    return QV_OK;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    memset(&sa, 0, sizeof sa);
    if (getsockname(fd, (struct sockaddr *)&sa, &n) != 0) {
        return 0;
    }
    uint16_t port; /* the same place in both families */
    _Static_assert(offsetof(struct sockaddr_in, sin_port) ==
                       offsetof(struct sockaddr_in6, sin6_port),
                   "ports lie alike");
    memcpy(&port, (char *)&sa + offsetof(struct sockaddr_in, sin_port), sizeof port);
    return ntohs(port);
}

qv_status qv__listen(const char *host, uint16_t port, int *fd, uint16_t *bound_port, bool *loopback,
                     struct qv_err *err)
{
    char service[8];
    (void)snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int e = getaddrinfo(host, service, &hints, &list);
    if (e != 0) {
        return qv__fail(err, QV_EINVAL, "listen: `%.100s` has no address: %s", host,
                        gai_strerror(e));
    }
    struct qv_err why = {0};
    qv_status st = QV_EINVAL;
    for (const struct addrinfo *a = list; a && st != QV_OK; a = a->ai_next) {
        if (a->ai_family == AF_INET || a->ai_family == AF_INET6) {
            st = bind_one(a, fd, &why);
            *loopback = is_loopback(a->ai_addr);
        }
    }
    freeaddrinfo(list);
    if (st != QV_OK) {
        return qv__fail(err, st, "listen: %.100s port %u: %.200s", host, port, why.message);
    }
    *bound_port = port_of(*fd);
    return QV_OK;
}
