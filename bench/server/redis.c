/* redis.c: vector sets of Redis 8 over RESP2. Variants: q8 (8 bits, its default), noquant, bin. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

static void *open_conn(const struct target *t)
{
    return net_open(t);
}

static void close_conn(void *conn)
{
    net_close(conn);
}

static void argument(struct text *b, const void *p, size_t n)
{
    putf(b, "$%zu\r\n", n);
    put(b, p, n);
    put(b, "\r\n", 2);
}

static void word(struct text *b, const char *s)
{
    argument(b, s, strlen(s));
}

static void number(struct text *b, size_t n)
{
    char s[32];
    snprintf(s, sizeof s, "%zu", n);
    word(b, s);
}

static void take_line(struct net *c, char *out, size_t room)
{
    size_t n = 0;
    for (int x; (x = net_byte(c)) != '\r';) {
        if (n + 1 < room) {
            out[n++] = (char)x;
        }
    }
    net_byte(c);
    out[n] = 0;
}

/* One reply; of an array the numbers in it, up to k. */
static size_t reply(struct net *c, int64_t *ids, size_t k)
{
    char head[256];
    take_line(c, head, sizeof head);
    long n = atol(head + 1);
    size_t found = 0;
    switch (head[0]) {
    case '-':
        die("redis: %s", head);
    case '*':
        for (long i = 0; i < n; i++) {
            int64_t id;
            if (reply(c, &id, 1) && found < k) {
                ids[found++] = id;
            }
        }
        return found;
    case '$':
        if (n < 0) {
            return 0;
        }
        const char *p = net_take(c, (size_t)n + 2);
        if (k) {
            ids[0] = strtoll(p, NULL, 10); /* ends at \r */
        }
        return 1;
    default:
        return 0;
    }
}

static void create(struct target *t)
{
    struct net *c = net_open(t);
    struct text b = {0};
    putf(&b, "*2\r\n");
    word(&b, "DEL");
    word(&b, "v");
    net_send(c, b.p, b.n);
    reply(c, NULL, 0);
    free(b.p);
    net_close(c);
}

static void find(struct target *t)
{
    (void)t;
}

static void add(void *conn, const struct target *t, size_t first, size_t n)
{
    const char *how = !strcmp(t->variant, "noquant") ? "NOQUANT"
                      : !strcmp(t->variant, "bin")   ? "BIN"
                                                     : "Q8";
    struct text b = {0};
    for (size_t i = first; i < first + n; i++) { /* all are sent, then all answers read */
        putf(&b, "*10\r\n");
        word(&b, "VADD");
        word(&b, "v");
        word(&b, "FP32");
        argument(&b, t->base.v + i * t->base.dim, t->base.dim * sizeof(float));
        number(&b, i);
        word(&b, how);
        word(&b, "EF");
        number(&b, 200);
        word(&b, "M");
        number(&b, 16);
    }
    net_send(conn, b.p, b.n);
    for (size_t i = 0; i < n; i++) {
        reply(conn, NULL, 0);
    }
    free(b.p);
}

static void settle(struct target *t)
{
    (void)t; /* VADD has answered: it is in the graph */
}

static struct request make(const struct target *t, const float *query)
{
    struct text b = {0};
    putf(&b, "*8\r\n");
    word(&b, "VSIM");
    word(&b, "v");
    word(&b, "FP32");
    argument(&b, query, t->queries.dim * sizeof(float));
    word(&b, "COUNT");
    number(&b, t->k);
    word(&b, "EF");
    number(&b, t->ef);
    return (struct request){b.p, b.n};
}

static size_t ask(void *conn, const struct target *t, const struct request *r, int64_t *ids)
{
    net_send(conn, r->p, r->n);
    return reply(conn, ids, t->k);
}

const struct protocol redis_protocol = {"redis", open_conn, close_conn, create, find,
                                        add,     settle,    make,       ask};
