/* tenants.c: a query of one tenant among many in a collection, against the same rows in a
 * collection of their own.
 *
 * Rows come tenant after tenant and round after round, so that a tenant's lie far apart as they are
 * written. Three collections: `placed` has an index with is_tenant, `plain` one without, `alone`
 * holds one tenant. Each query asks for another tenant's nearest; times are processor time of the
 * thread, medians. README.md has the columns. */
#include "../durability/bench.h"

#include <time.h>

#include "engine/query.h"

#define BATCH_ROWS 1000u

struct bench {
    struct qv__db *db;
    uint32_t n_tenants, each, dim, n_queries;
    bool has_graph;
    struct qv__rng rng;
};

static uint64_t thread_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static struct qv__collection *make(struct bench *b, const char *name, bool is_tenant,
                                   uint32_t n_tenants)
{
    struct qv__vector_def def = {
        .name = QV__STR(""), .metric = QV__L2, .dim = b->dim, .no_graph = !b->has_graph};
    struct qv__payload_index_def index = {
        QV__STR("tenant"), QV__STR("keyword"),
        is_tenant ? QV__STR("{\"type\":\"keyword\",\"is_tenant\":true}") : QV__STR("")};
    struct qv__schema s = {.vectors = &def, .n_vectors = 1, .shard_number = 1};
    struct qv__collection *c = NULL;
    struct qv__arena a;
    static float v[BATCH_ROWS * 1024];
    static struct qv__named_vector named[BATCH_ROWS];
    static struct qv__point points[BATCH_ROWS];
    s.indexes = &index;
    s.n_indexes = 1;
    s.policy = (struct qv__segment_policy){.index_at_seal_only = true, .tail_bytes = UINT64_MAX};
    s.durability.window_ms = QV__WINDOW_MS_MAX;
    BENCH_OK(qv__db_create_collection(b->db, qv__str_z(name), &s, err));
    BENCH_OK(qv__db_collection(b->db, qv__str_z(name), &c, err));
    qv__arena_init(&a, qv__db_mem(b->db));
    for (uint64_t at = 0, all = (uint64_t)n_tenants * b->each; at < all; at += BATCH_ROWS) {
        uint32_t n = (uint32_t)QV_MIN(all - at, (uint64_t)BATCH_ROWS);
        bench_fill(v, (size_t)n * b->dim, &b->rng);
        for (uint32_t i = 0; i < n; i++) {
            char z[64];
            qv__json json = NULL;
            struct qv__buf row;
            int len = snprintf(z, sizeof z, "{\"tenant\":\"tenant-%06u\",\"n\":%u}",
                               (unsigned)((at + i) % n_tenants), (unsigned)((at + i) / n_tenants));
            BENCH_OK(qv__json_parse(&a, z, (size_t)len, NULL, &json, err));
            qv__buf_init(&row, qv__db_mem(b->db));
            BENCH_OK(qv__payload_from_json(&row, json, err));
            uint8_t *copy = qv__arena_alloc(&a, row.n);
            memcpy(copy, row.p, row.n);
            named[i] = (struct qv__named_vector){
                .name = QV__STR(""), .values = v + (size_t)i * b->dim, .dim = b->dim};
            points[i] = (struct qv__point){.id = qv__id_u64(at + i),
                                           .vectors = &named[i],
                                           .n_vectors = 1,
                                           .payload = {copy, row.n}};
            qv__buf_free(&row);
        }
        struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = points, .n_points = n};
        struct qv__write_result r;
        BENCH_OK(qv__collection_write_sync(c, &m, 1, &r, err));
        qv__arena_reset(&a);
    }
    qv__arena_free(&a);
    BENCH_OK(qv__collection_optimize(c, 1, err));
    BENCH_OK(qv__collection_settle(c, 0, err));
    return c;
}

/* Every query another tenant, spread over all; `filtered` false: no filter. */
static void ask(struct bench *b, struct qv__collection *c, const char *name, uint32_t n_tenants,
                bool filtered)
{
    uint64_t *ns = calloc(b->n_queries, sizeof *ns);
    float v[1024];
    struct qv__arena a;
    struct qv__collection_info info;
    uint64_t looked = 0, compared = 0;
    qv__arena_init(&a, qv__db_mem(b->db));
    for (uint32_t i = 0; i < b->n_queries; i++) {
        char z[120];
        const struct qv__filter *f = NULL;
        qv__json json = NULL;
        struct qv__result_set rs;
        struct qv__qctx ctx = {.clock = qv__clock_system(), .mem = qv__db_mem(b->db)};
        uint32_t t = (uint32_t)((uint64_t)i * UINT64_C(2654435761) % n_tenants);
        (void)snprintf(z, sizeof z,
                       "{\"must\":[{\"key\":\"tenant\",\"match\":{\"value\":\"tenant-%06u\"}}]}",
                       t);
        bench_fill(v, b->dim, &b->rng);
        BENCH_OK(qv__json_parse(&a, z, strlen(z), NULL, &json, err));
        BENCH_OK(qv__filter_parse(&a, json, &f, err));
        struct qv__query q = {.kind = QV__QUERY_NEAREST,
                              .using_vector = QV__STR(""),
                              .target = {.values = v, .dim = b->dim},
                              .filter = filtered ? f : NULL,
                              .limit = 10};
        uint64_t from = thread_ns();
        BENCH_OK(qv__collection_query(c, &q, NULL, &ctx, &rs, err));
        ns[i] = thread_ns() - from;
        looked += ctx.stats.rows_filtered;
        compared += ctx.stats.distances;
        if (rs.n != QV_MIN(b->each, 10u)) {
            (void)printf("query %u: %zu results\n", i, rs.n);
        }
        qv__result_free(&rs);
        qv__arena_reset(&a);
    }
    qv__arena_free(&a);
    BENCH_OK(qv__collection_info(c, &info, err));
    double p99 = bench_percentile_us(ns, b->n_queries, 0.99);
    (void)printf("%-8s %-9s %9.1f %9.1f %9.1f %9.1f %11.1f %11.1f\n", name,
                 filtered ? "tenant" : "no filter", bench_percentile_us(ns, b->n_queries, 0.5), p99,
                 (double)compared / b->n_queries, (double)looked / b->n_queries,
                 (double)info.memory_bytes / (double)info.n_points,
                 (double)info.disk_bytes / (double)info.n_points);
    (void)fflush(stdout);
    free(ns);
}

int main(int argc, char **argv)
{
    struct bench b = {.n_tenants = (uint32_t)bench_number(argc, argv, "tenants", 100000),
                      .each = (uint32_t)bench_number(argc, argv, "each", 10),
                      .dim = (uint32_t)bench_number(argc, argv, "dim", 64),
                      .n_queries = (uint32_t)bench_number(argc, argv, "queries", 2000),
                      .has_graph = bench_number(argc, argv, "graph", 0) != 0};
    const char *dir = bench_text(argc, argv, "dir", NULL);
    if (!dir || b.dim > 1024 || b.dim == 0) {
        (void)fprintf(stderr, "usage: bench_tenants --dir EMPTIED [--tenants 100000] [--each 10] "
                              "[--dim 64] [--queries 2000] [--graph 1]\n");
        return 2;
    }
    bench_clear(dir);
    qv__rng_seed(&b.rng, 7);
    struct qv__db_options o = {.path = dir, .seed = 7};
    BENCH_OK(qv__db_open(&o, &b.db, err));
    struct qv__collection *alone = make(&b, "alone", true, 1),
                          *placed = make(&b, "placed", true, b.n_tenants),
                          *plain = make(&b, "plain", false, b.n_tenants);
    (void)printf("%-8s %-9s %9s %9s %9s %9s %11s %11s\n", "", "", "us", "p99", "compared", "looked",
                 "mem/point", "disk/point");
    for (int round = 0; round < 2; round++) { /* the first one reads what nobody read before */
        ask(&b, alone, "alone", 1, false);
        ask(&b, alone, "alone", 1, true);
        ask(&b, placed, "placed", b.n_tenants, true);
        ask(&b, plain, "plain", b.n_tenants, true);
    }
    qv__collection_release(alone);
    qv__collection_release(placed);
    qv__collection_release(plain);
    BENCH_OK(qv__db_close(b.db, err));
    return 0;
}
