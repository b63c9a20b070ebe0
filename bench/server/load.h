/* load.h: a load generator for servers of vector search over their own protocols, and what its
 * parts share.
 *
 * It is one program for all servers, so that none is measured through a slower client than another:
 * requests are made before the clock runs, sent over connections that stay open, and answers are
 * read for ids only. It is a benchmark: whatever goes wrong ends it with a message. It is not
 * `quiver bench http`, which loads a Quiver server with reads and writes at the same time. */
#ifndef BENCH_SERVER_LOAD_H
#define BENCH_SERVER_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { K_MAX = 1000, BATCH = 256 };

struct vectors {
    size_t n, dim;
    float *v; /* n x dim */
};

/* What is loaded and asked: the same for all connections. */
struct target {
    const char *host;
    int port;
    const char *user;    /* of pgvector: "user=postgres dbname=bench"; else unused */
    const char *metric;  /* ip | l2 | cosine */
    const char *variant; /* of the protocol; "" for its first */
    struct vectors base, queries;
    unsigned k, ef;
    char id[64]; /* the collection's own id, where a server gives one */
};

struct request {
    char *p;
    size_t n;
};

/* A server's protocol. A connection is made by `open` and used by one thread. */
struct protocol {
    const char *name;
    void *(*open)(const struct target *t);
    void (*close)(void *conn);
    /* make an empty collection; drop what was there */
    void (*create)(struct target *t);
    /* the collection is there: learn of it what asking needs; sets the beam where that is a setting
     * of the collection */
    void (*find)(struct target *t);
    /* add points first .. first + n; returns once they are durable, as far as the server makes them
     * so */
    void (*add)(void *conn, const struct target *t, size_t first, size_t n);
    /* returns once everything is in the index */
    void (*settle)(struct target *t);
    struct request (*make)(const struct target *t, const float *query);
    /* send, wait; ids[k] gets the ids found; returns how many */
    size_t (*ask)(void *conn, const struct target *t, const struct request *r, int64_t *ids);
};

extern const struct protocol quiver_protocol, chroma_protocol, redis_protocol;
#ifdef HAVE_LIBPQ
extern const struct protocol pgvector_protocol;
#endif

/* util.c */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t now_ns(void);
void *need(size_t bytes); /* zeroed */
/* A buffer that grows. */
struct text {
    char *p;
    size_t n, room;
};
void put(struct text *b, const void *p, size_t n);
void putf(struct text *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void put_vector(struct text *b, const float *v, size_t dim); /* as a JSON array */
struct vectors read_fvecs(const char *path);
int32_t *read_ivecs(const char *path, size_t *rows, size_t *columns);

/* net.c: one TCP connection, and HTTP/1.1 over it */
struct net {
    int fd;
    char *p; /* received */
    size_t at, n, room;
};
struct net *net_open(const struct target *t);
void net_close(struct net *c);
void net_send(struct net *c, const char *p, size_t n);
int net_byte(struct net *c);
const char *net_take(struct net *c, size_t n); /* n bytes, valid until the next call */
struct request http_request(const struct target *t, const char *method, const char *path,
                            const struct text *body);
/* The body of the answer, ended by a zero; valid until the next call. Dies on a status of 400 or
 * more, unless status is given. */
const char *http_ask(struct net *c, const struct request *r, int *status);
/* One request over a connection of its own; the caller frees the body. */
char *http_once(const struct target *t, const char *method, const char *path,
                const struct text *body, int *status);

/* measure.c */
struct load {
    const struct protocol *protocol;
    struct target *target;
    const int32_t *truth; /* NULL: recall is not told */
    size_t truth_k;
    unsigned connections;
    double seconds, rate; /* rate 0: closed loop, as fast as answers come */
};
void measure_search(const struct load *l);
void measure_ingest(const struct load *l);

#endif
