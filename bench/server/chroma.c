/* chroma.c: Chroma's second REST interface. Its beam is a setting of the collection. */
#include <stdlib.h>
#include <string.h>

#include "load.h"

#define BASE "/api/v2/tenants/default_tenant/databases/default_database/collections"

static void *open_conn(const struct target *t)
{
    return net_open(t);
}

static void close_conn(void *conn)
{
    net_close(conn);
}

static void keep_id(struct target *t, const char *answer)
{
    const char *id = strstr(answer, "\"id\":\"");
    if (!id || strlen(id) < 6 + 36) {
        die("chroma: no id in %.300s", answer);
    }
    memcpy(t->id, id + 6, 36);
    t->id[36] = 0;
}

static void create(struct target *t)
{
    struct text b = {0};
    int status;
    free(http_once(t, "DELETE", BASE "/bench", NULL, &status));
    putf(&b,
         "{\"name\":\"bench\",\"get_or_create\":false,\"configuration\":{\"hnsw\":{\"space\":\"%"
         "s\",\"ef_construction\":200,"
         "\"max_neighbors\":16,\"ef_search\":100}}}",
         t->metric);
    char *made = http_once(t, "POST", BASE, &b, NULL);
    keep_id(t, made);
    free(made);
    free(b.p);
}

static void find(struct target *t)
{
    char *found = http_once(t, "GET", BASE "/bench", NULL, NULL), path[256];
    struct text b = {0};
    keep_id(t, found);
    free(found);
    strcpy(path, BASE "/");
    strcat(path, t->id);
    putf(&b, "{\"new_configuration\":{\"hnsw\":{\"ef_search\":%u}}}", t->ef);
    free(http_once(t, "PUT", path, &b, NULL));
    free(b.p);
}

static struct request post(const struct target *t, const char *verb, const struct text *body)
{
    struct text path = {0};
    putf(&path, BASE "/%s/%s", t->id, verb);
    struct request r = http_request(t, "POST", path.p, body);
    free(path.p);
    return r;
}

static void add(void *conn, const struct target *t, size_t first, size_t n)
{
    struct text b = {0};
    putf(&b, "{\"ids\":[");
    for (size_t i = first; i < first + n; i++) {
        putf(&b, "%s\"%zu\"", i > first ? "," : "", i);
    }
    putf(&b, "],\"embeddings\":[");
    for (size_t i = first; i < first + n; i++) {
        putf(&b, "%s", i > first ? "," : "");
        put_vector(&b, t->base.v + i * t->base.dim, t->base.dim);
    }
    putf(&b, "]}");
    struct request r = post(t, "add", &b);
    http_ask(conn, &r, NULL);
    free(r.p);
    free(b.p);
}

/* It indexes what it has not when it is asked: a search returns once that is done. */
static void settle(struct target *t)
{
    struct net *c = net_open(t);
    struct text b = {0};
    putf(&b, "{\"query_embeddings\":[");
    put_vector(&b, t->base.v, t->base.dim);
    putf(&b, "],\"n_results\":1,\"include\":[]}");
    struct request r = post(t, "query", &b);
    http_ask(c, &r, NULL);
    free(r.p);
    free(b.p);
    net_close(c);
}

static struct request make(const struct target *t, const float *query)
{
    struct text b = {0};
    putf(&b, "{\"query_embeddings\":[");
    put_vector(&b, query, t->queries.dim);
    putf(&b, "],\"n_results\":%u,\"include\":[\"distances\"]}", t->k);
    struct request r = post(t, "query", &b);
    free(b.p);
    return r;
}

static size_t ask(void *conn, const struct target *t, const struct request *r, int64_t *ids)
{
    const char *p = strstr(http_ask(conn, r, NULL), "\"ids\":[[");
    size_t n = 0;
    for (p = p ? p + 7 : NULL; p && *p != ']' && n < t->k;) {
        char *end;
        ids[n++] = strtoll(p + 2, &end, 10); /* behind [" or ," */
        p = end + 1;
    }
    return n;
}

const struct protocol chroma_protocol = {"chroma", open_conn, close_conn, create, find,
                                         add,      settle,    make,       ask};
