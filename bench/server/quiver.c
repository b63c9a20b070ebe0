/* quiver.c: Qdrant's REST dialect, as Quiver and Qdrant speak it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

#define COLLECTION "/collections/bench"

static void *open_conn(const struct target *t)
{
    return net_open(t);
}

static void close_conn(void *conn)
{
    net_close(conn);
}

static void create(struct target *t)
{
    const char *distance = !strcmp(t->metric, "l2")       ? "Euclid"
                           : !strcmp(t->metric, "cosine") ? "Cosine"
                                                          : "Dot";
    struct text b = {0};
    int status;
    free(http_once(t, "DELETE", COLLECTION, NULL, &status));
    putf(&b,
         "{\"vectors\":{\"size\":%zu,\"distance\":\"%s\"},\"hnsw_config\":{\"m\":16,\"ef_"
         "construct\":200}}",
         t->base.dim, distance);
    free(http_once(t, "PUT", COLLECTION, &b, NULL));
    free(b.p);
}

static void find(struct target *t)
{
    (void)t;
}

static void add(void *conn, const struct target *t, size_t first, size_t n)
{
    struct text b = {0};
    putf(&b, "{\"points\":[");
    for (size_t i = first; i < first + n; i++) {
        putf(&b, "%s{\"id\":%zu,\"vector\":", i > first ? "," : "", i);
        put_vector(&b, t->base.v + i * t->base.dim, t->base.dim);
        putf(&b, "}");
    }
    putf(&b, "]}");
    struct request r = http_request(t, "PUT", COLLECTION "/points?wait=true", &b);
    http_ask(conn, &r, NULL);
    free(r.p);
    free(b.p);
}

/* Indexed: the collection is green, and nothing waits to be. */
static void settle(struct target *t)
{
    for (int same = 0; same < 5; usleep(100000)) {
        char *info = http_once(t, "GET", COLLECTION, NULL, NULL);
        const char *indexed = strstr(info, "\"indexed_vectors_count\":");
        size_t n = indexed ? strtoul(indexed + 24, NULL, 10) : 0;
        same = n >= t->base.n && strstr(info, "\"status\":\"green\"") ? same + 1 : 0;
        free(info);
    }
}

static struct request make(const struct target *t, const float *query)
{
    struct text b = {0};
    putf(&b, "{\"query\":");
    put_vector(&b, query, t->queries.dim);
    putf(&b, ",\"limit\":%u,\"params\":{\"hnsw_ef\":%u}}", t->k, t->ef);
    struct request r = http_request(t, "POST", COLLECTION "/points/query", &b);
    free(b.p);
    return r;
}

static size_t ask(void *conn, const struct target *t, const struct request *r, int64_t *ids)
{
    size_t n = 0;
    for (const char *p = http_ask(conn, r, NULL); n < t->k && (p = strstr(p, "\"id\":"));) {
        ids[n++] = strtoll(p + 5, NULL, 10);
        p += 5;
    }
    return n;
}

const struct protocol quiver_protocol = {"quiver", open_conn, close_conn, create, find,
                                         add,      settle,    make,       ask};
