/* pgvector.c: PostgreSQL with pgvector, over libpq, with prepared statements and binary values.
 * Variants: vector, halfvec. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

static bool halves(const struct target *t)
{
    return !strcmp(t->variant, "halfvec");
}

static void check(PGconn *c, PGresult *r)
{
    ExecStatusType s = PQresultStatus(r);
    if (s != PGRES_COMMAND_OK && s != PGRES_TUPLES_OK && s != PGRES_COPY_IN) {
        die("pgvector: %s", PQerrorMessage(c));
    }
    PQclear(r);
}

static void run(PGconn *c, const char *sql)
{
    check(c, PQexec(c, sql));
}

static void *open_bare(const struct target *t)
{
    char info[512];
    snprintf(info, sizeof info, "host=%s port=%d %s", t->host, t->port, t->user ? t->user : "");
    PGconn *c = PQconnectdb(info);
    if (PQstatus(c) != CONNECTION_OK) {
        die("pgvector: %s", PQerrorMessage(c));
    }
    return c;
}

static void *open_conn(const struct target *t)
{
    PGconn *c = open_bare(t);
    const char *order = !strcmp(t->metric, "ip") ? "<#>" : !strcmp(t->metric, "l2") ? "<->" : "<=>";
    char sql[256];
    if (t->ef) { /* to search, not to load */
        run(c, "load 'vector'");
        snprintf(sql, sizeof sql, "set hnsw.ef_search = %u", t->ef);
        run(c, sql);
        snprintf(sql, sizeof sql, "select id from bench order by v %s $1%s limit %u", order,
                 halves(t) ? "::vector::halfvec" : "::vector", t->k);
        check(c, PQprepare(c, "q", sql, 0, NULL));
    }
    return c;
}

static void close_conn(void *conn)
{
    PQfinish(conn);
}

static void create(struct target *t)
{
    PGconn *c = open_bare(t);
    char sql[256];
    run(c, "set client_min_messages = warning");
    run(c, "create extension if not exists vector");
    run(c, "drop table if exists bench");
    snprintf(sql, sizeof sql, "create table bench (id int not null, v %s(%zu) not null)",
             halves(t) ? "halfvec" : "vector", t->base.dim);
    run(c, sql);
    run(c, "alter table bench alter column v set storage plain");
    PQfinish(c);
}

static void find(struct target *t)
{
    (void)t;
}

static void add(void *conn, const struct target *t, size_t first, size_t n)
{
    struct text b = {0};
    run(conn, "copy bench from stdin");
    for (size_t i = first; i < first + n; i++) {
        putf(&b, "%zu\t", i);
        put_vector(&b, t->base.v + i * t->base.dim, t->base.dim);
        putf(&b, "\n");
    }
    if (PQputCopyData(conn, b.p, (int)b.n) != 1 || PQputCopyEnd(conn, NULL) != 1) {
        die("pgvector: %s", PQerrorMessage(conn));
    }
    for (PGresult *r; (r = PQgetResult(conn));) {
        check(conn, r);
    }
    free(b.p);
}

static void settle(struct target *t)
{
    PGconn *c = open_bare(t);
    char sql[256];
    const char *ops = !strcmp(t->metric, "ip") ? "ip" : !strcmp(t->metric, "l2") ? "l2" : "cosine";
    run(c, "set maintenance_work_mem = '4GB'");
    run(c, "set max_parallel_maintenance_workers = 1");
    snprintf(sql, sizeof sql,
             "create index bench_v_idx on bench using hnsw (v %s_%s_ops) with (m = 16, "
             "ef_construction = 200)",
             halves(t) ? "halfvec" : "vector", ops);
    run(c, sql);
    run(c, "vacuum analyze bench");
    PQfinish(c);
}

static void put16(struct text *b, uint16_t x)
{
    x = __builtin_bswap16(x);
    put(b, &x, 2);
}

/* The binary form of a vector: its dimension, nothing, big-endian floats. */
static struct request make(const struct target *t, const float *query)
{
    struct text b = {0};
    put16(&b, (uint16_t)t->queries.dim);
    put16(&b, 0);
    for (size_t i = 0; i < t->queries.dim; i++) {
        uint32_t u;
        memcpy(&u, &query[i], 4);
        u = __builtin_bswap32(u);
        put(&b, &u, 4);
    }
    return (struct request){b.p, b.n};
}

static size_t ask(void *conn, const struct target *t, const struct request *r, int64_t *ids)
{
    const char *value = r->p;
    int length = (int)r->n, binary = 1;
    PGresult *a = PQexecPrepared(conn, "q", 1, &value, &length, &binary, 1);
    if (PQresultStatus(a) != PGRES_TUPLES_OK) {
        die("pgvector: %s", PQerrorMessage(conn));
    }
    size_t n = (size_t)PQntuples(a);
    n = n < t->k ? n : t->k;
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, PQgetvalue(a, (int)i, 0), 4);
        ids[i] = __builtin_bswap32(u);
    }
    PQclear(a);
    return n;
}

const struct protocol pgvector_protocol = {"pgvector", open_conn, close_conn, create, find,
                                           add,        settle,    make,       ask};
