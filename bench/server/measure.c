/* measure.c: searches in a closed or an open loop, and ingest; one line of JSON each. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "load.h"

enum { CONNECTIONS_MAX = 256, WARMUP_NS = 500000000 };

struct run {
    const struct load *load;
    struct request *requests; /* one per query */
    uint64_t start, end;      /* measured: what is due or sent between them */
    _Atomic size_t next;      /* of requests, or of points */
};

struct worker {
    struct run *run;
    void *conn;
    uint32_t *took_us;
    size_t n, room;
    size_t hits, wanted;
    uint64_t last; /* when its last answer came */
    pthread_t thread;
};

static void sleep_until(uint64_t t)
{
    struct timespec at = {(time_t)(t / 1000000000u), (long)(t % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL)) {
    }
}

static void keep(struct worker *w, uint64_t ns)
{
    if (w->n == w->room) {
        w->room = w->room ? 2 * w->room : 4096;
        w->took_us = realloc(w->took_us, w->room * sizeof *w->took_us);
        if (!w->took_us) {
            die("no memory for latencies");
        }
    }
    w->took_us[w->n++] = (uint32_t)(ns / 1000);
}

static void count_hits(struct worker *w, size_t query, const int64_t *ids, size_t n)
{
    const struct load *l = w->run->load;
    const int32_t *truth = l->truth + query * l->truth_k;
    for (size_t j = 0; j < l->target->k; j++) {
        for (size_t i = 0; i < n; i++) {
            if (ids[i] == truth[j]) {
                w->hits++;
                break;
            }
        }
    }
    w->wanted += l->target->k;
}

static void *search(void *p)
{
    struct worker *w = p;
    struct run *r = w->run;
    const struct load *l = r->load;
    int64_t ids[K_MAX];
    for (;;) {
        size_t i = atomic_fetch_add(&r->next, 1), query = i % l->target->queries.n;
        uint64_t due = now_ns();
        if (l->rate > 0) { /* what is late counts from when it was due, so that a stall is charged
                              to all that waited */
            due = r->start - WARMUP_NS + (uint64_t)((double)i / l->rate * 1e9);
            if (due < r->end) {
                sleep_until(due);
            }
        }
        if (due >= r->end) {
            return NULL;
        }
        size_t n = l->protocol->ask(w->conn, l->target, &r->requests[query], ids);
        if (due >= r->start) {
            w->last = now_ns();
            keep(w, w->last - due);
            if (l->truth) {
                count_hits(w, query, ids, n);
            }
        }
    }
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void start_all(struct worker *w, const struct load *l, struct run *r, void *(*work)(void *))
{
    for (unsigned i = 0; i < l->connections; i++) {
        w[i] = (struct worker){.run = r, .conn = l->protocol->open(l->target)};
    }
    r->start = now_ns() + WARMUP_NS;
    r->end = r->start + (uint64_t)(l->seconds * 1e9);
    for (unsigned i = 0; i < l->connections; i++) {
        if (pthread_create(&w[i].thread, NULL, work, &w[i])) {
            die("no thread for connection %u", i);
        }
    }
    for (unsigned i = 0; i < l->connections; i++) {
        pthread_join(w[i].thread, NULL);
        l->protocol->close(w[i].conn);
    }
}

void measure_search(const struct load *l)
{
    struct run r = {.load = l};
    struct worker w[CONNECTIONS_MAX];
    if (l->connections < 1 || l->connections > CONNECTIONS_MAX) {
        die("connections: %u is not from 1 to %d", l->connections, CONNECTIONS_MAX);
    }
    l->protocol->find(l->target);
    r.requests = need(l->target->queries.n * sizeof *r.requests);
    for (size_t i = 0; i < l->target->queries.n; i++) {
        r.requests[i] =
            l->protocol->make(l->target, l->target->queries.v + i * l->target->queries.dim);
    }
    start_all(w, l, &r, search);
    struct worker all = {0};
    for (unsigned i = 0; i < l->connections; i++) {
        all.took_us = realloc(all.took_us, (all.n + w[i].n) * sizeof *all.took_us + 1);
        if (!all.took_us) {
            die("no memory for latencies");
        }
        memcpy(all.took_us + all.n, w[i].took_us, w[i].n * sizeof *all.took_us);
        all.n += w[i].n;
        all.hits += w[i].hits;
        all.wanted += w[i].wanted;
        all.last = w[i].last > all.last ? w[i].last : all.last;
        free(w[i].took_us);
    }
    if (!all.n) {
        die("no answer within %.1f s", l->seconds);
    }
    qsort(all.took_us, all.n, sizeof *all.took_us, by_size);
    printf("{\"protocol\":\"%s\",\"variant\":\"%s\",\"k\":%u,\"ef\":%u,\"connections\":%u,\"rate\":"
           "%.1f,\"requests\":%zu,\"qps\":%.1f,"
           "\"p50_us\":%u,\"p95_us\":%u,\"p99_us\":%u",
           l->protocol->name, l->target->variant, l->target->k, l->target->ef, l->connections,
           l->rate, all.n, (double)all.n / ((double)(all.last - r.start) / 1e9),
           all.took_us[all.n / 2], all.took_us[all.n * 95 / 100], all.took_us[all.n * 99 / 100]);
    if (l->truth) {
        printf(",\"recall\":%.4f", (double)all.hits / (double)all.wanted);
    }
    printf("}\n");
    fflush(stdout);
    free(all.took_us);
    for (size_t i = 0; i < l->target->queries.n; i++) {
        free(r.requests[i].p);
    }
    free(r.requests);
}

static void *ingest(void *p)
{
    struct worker *w = p;
    const struct load *l = w->run->load;
    for (;;) {
        size_t first = atomic_fetch_add(&w->run->next, BATCH), all = l->target->base.n;
        if (first >= all) {
            return NULL;
        }
        l->protocol->add(w->conn, l->target, first, first + BATCH <= all ? BATCH : all - first);
    }
}

void measure_ingest(const struct load *l)
{
    struct run r = {.load = l};
    struct worker w[CONNECTIONS_MAX];
    if (l->connections < 1 || l->connections > CONNECTIONS_MAX) {
        die("connections: %u is not from 1 to %d", l->connections, CONNECTIONS_MAX);
    }
    l->protocol->create(l->target);
    uint64_t begin = now_ns();
    start_all(w, l, &r, ingest);
    uint64_t durable = now_ns();
    l->protocol->settle(l->target);
    uint64_t indexed = now_ns();
    double n = (double)l->target->base.n;
    printf("{\"protocol\":\"%s\",\"variant\":\"%s\",\"points\":%.0f,\"connections\":%u,\"durable_"
           "s\":%.2f,\"durable_points_per_s\":%.0f,"
           "\"indexed_s\":%.2f,\"indexed_points_per_s\":%.0f}\n",
           l->protocol->name, l->target->variant, n, l->connections,
           (double)(durable - begin) / 1e9, n / ((double)(durable - begin) / 1e9),
           (double)(indexed - begin) / 1e9, n / ((double)(indexed - begin) / 1e9));
    fflush(stdout);
}
