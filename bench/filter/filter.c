/* filter.c: filtered search over selectivity and correlation, with and without payload indexes.
 *
 * Vectors in clusters; a payload field that knows nothing of them (`u`), and one that is the number
 * of the cluster (`c`), so that a filter can pass rows near the query, or far from it. Every line
 * is one kind of filter at one share of rows that pass: recall@10 against an exact search with the
 * same filter, processor time per query, what the planner chose. Processor time of one thread,
 * since machines are shared; QPS of an idle core is its inverse. */
#include "../durability/bench.h"

#include "engine/db.h"
#include "engine/query.h"

#define K          10u
#define CLUSTERS   1000u
#define RANKS      1000000u
#define DIM_MAX    1024u
#define QUERY_MAX  1000u
#define BATCH_ROWS 1000u

enum kind { NONE, UNRELATED, NEAR, FAR, KINDS };
static const char *const kind_names[] = {"none", "unrelated", "near", "far"};
static const double shares[] = {0.5, 0.1, 0.05, 0.01, 0.001, 0.0001};

struct bench {
    struct qv__db *db;
    struct qv__collection *c;
    struct qv__rng rng;
    struct qv__arena arena;
    uint32_t rows, dim, queries;
    float *centers, *query;
    uint32_t query_cluster[QUERY_MAX];
};

/* --- data --- */

static float normal(struct qv__rng *r)
{
    float sum = 0; /* of uniform ones: near enough */
    for (int i = 0; i < 4; i++) {
        sum += (float)qv__rng_below(r, 1u << 20) / (float)(1u << 20) - 0.5f;
    }
    return sum;
}

static uint32_t draw(struct bench *b, float *v)
{
    uint32_t c = (uint32_t)qv__rng_below(&b->rng, CLUSTERS);
    for (uint32_t k = 0; k < b->dim; k++) {
        v[k] = b->centers[(size_t)c * b->dim + k] + normal(&b->rng);
    }
    return c;
}

static struct qv__bytes payload(struct bench *b, uint32_t cluster)
{
    char z[128];
    qv__json v = NULL;
    struct qv__buf buf;
    uint32_t u = (uint32_t)qv__rng_below(&b->rng, RANKS);
    int n = snprintf(z, sizeof z, "{\"title\":\"row %u\",\"u\":%u,\"c\":%u,\"k\":\"k%u\",\"b\":%s}",
                     u, u, cluster, u % 10, u % 3 ? "true" : "false");
    BENCH_OK(qv__json_parse(&b->arena, z, (size_t)n, NULL, &v, err));
    qv__buf_init(&buf, b->arena.mem);
    BENCH_OK(qv__payload_from_json(&buf, v, err));
    uint8_t *copy = qv__arena_alloc(&b->arena, buf.n);
    memcpy(copy, buf.p, buf.n);
    struct qv__bytes out = {copy, buf.n};
    qv__buf_free(&buf);
    return out;
}

static void load(struct bench *b)
{
    static float vectors[BATCH_ROWS * DIM_MAX];
    static struct qv__named_vector named[BATCH_ROWS];
    static struct qv__point points[BATCH_ROWS];
    for (uint32_t at = 0; at < b->rows; at += BATCH_ROWS) {
        uint32_t n = QV_MIN(b->rows - at, BATCH_ROWS);
        for (uint32_t i = 0; i < n; i++) {
            float *v = vectors + (size_t)i * b->dim;
            uint32_t c = draw(b, v);
            named[i] = (struct qv__named_vector){.name = QV__STR(""), .values = v, .dim = b->dim};
            points[i] = (struct qv__point){.id = qv__id_u64(at + i),
                                           .vectors = &named[i],
                                           .n_vectors = 1,
                                           .payload = payload(b, c)};
        }
        struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = points, .n_points = n};
        struct qv__write_result r;
        BENCH_OK(qv__collection_write_sync(b->c, &m, 1, &r, err));
        qv__arena_reset(&b->arena);
    }
    BENCH_OK(qv__collection_optimize(b->c, 1, err));
    BENCH_OK(qv__collection_settle(b->c, 0, err));
}

static void make_indexes(struct bench *b)
{
    const struct qv__payload_index_def defs[] = {{QV__STR("u"), QV__STR("integer"), {"", 0}},
                                                 {QV__STR("c"), QV__STR("integer"), {"", 0}},
                                                 {QV__STR("k"), QV__STR("keyword"), {"", 0}},
                                                 {QV__STR("b"), QV__STR("bool"), {"", 0}}};
    double cpu = bench_cpu_s();
    for (size_t i = 0; i < QV_ARRAY_LEN(defs); i++) {
        uint64_t lsn;
        BENCH_OK(qv__db_put_payload_index(b->db, QV__STR("bench"), &defs[i], &lsn, err));
    }
    BENCH_OK(qv__collection_settle(b->c, 0, err));
    (void)printf("\nindexes of u, c, k, b: %.2f cpu s\n", bench_cpu_s() - cpu);
    for (size_t i = 0; i < QV_ARRAY_LEN(defs); i++) {
        struct qv__field_info info;
        BENCH_OK(qv__collection_field(b->c, &defs[i], &info, err));
        (void)printf("  %s %-8s %6.2f bytes a row\n", defs[i].key.p, defs[i].type.p,
                     (double)(info.memory_bytes + info.file_bytes) / (double)info.indexed_rows);
    }
}

/* --- asking --- */

struct told {
    struct qv__plan_sink sink;
    char plan[64];
};

static void tell(struct qv__plan_sink *s, const char *stage, const char *detail, double estimate,
                 double actual)
{
    struct told *t = QV_CONTAINER_OF(s, struct told, sink);
    (void)estimate;
    (void)actual;
    if (strcmp(stage, "graph") != 0) {
        return; /* the fresh segment, which is empty, tells of its own steps */
    }
    (void)snprintf(t->plan, sizeof t->plan, "%s", detail);
}

static const struct qv__filter *filter_of(struct bench *b, enum kind kind, double share,
                                          uint32_t cluster)
{
    char z[200] = "null";
    const struct qv__filter *f = NULL;
    qv__json v = NULL;
    uint32_t n = (uint32_t)(share * CLUSTERS);
    uint32_t from = (cluster + (kind == FAR ? CLUSTERS / 2 : 0)) % CLUSTERS;
    if (kind == UNRELATED) {
        (void)snprintf(z, sizeof z, "{\"must\":[{\"key\":\"u\",\"range\":{\"lt\":%.0f}}]}",
                       share * RANKS);
    } else if (kind != NONE) { /* below one cluster: a part of it */
        uint32_t upto = from + QV_MAX(n, 1u);
        double rest = n ? 1.0 : share * CLUSTERS;
        (void)snprintf(z, sizeof z,
                       "{\"must\":[{\"key\":\"u\",\"range\":{\"lt\":%.0f}}],\"should\":["
                       "{\"key\":\"c\",\"range\":{\"gte\":%u,\"lt\":%u}},"
                       "{\"key\":\"c\",\"range\":{\"lt\":%d}}]}",
                       rest * RANKS, from, upto, upto > CLUSTERS ? (int)(upto - CLUSTERS) : 0);
    }
    BENCH_OK(qv__json_parse(&b->arena, z, strlen(z), NULL, &v, err));
    BENCH_OK(qv__filter_parse(&b->arena, v, &f, err));
    return f;
}

static size_t ask(struct bench *b, uint32_t i, const struct qv__filter *f, bool exact,
                  struct qv__qctx *ctx, uint64_t *ids)
{
    struct qv__query q = {.kind = QV__QUERY_NEAREST,
                          .using_vector = QV__STR(""),
                          .target = {.values = b->query + (size_t)i * b->dim, .dim = b->dim},
                          .filter = f,
                          .params = {.ef = 100, .exact = exact},
                          .limit = K};
    struct qv__result_set rs;
    BENCH_OK(qv__collection_query(b->c, &q, NULL, ctx, &rs, err));
    size_t n = rs.n;
    for (size_t k = 0; k < n; k++) {
        ids[k] = rs.points[k].id.u;
    }
    qv__result_free(&rs);
    return n;
}

static void line(struct bench *b, enum kind kind, double share)
{
    struct told told = {.sink = {.event = tell}, .plan = ""};
    double found = 0, wanted = 0, cpu = 0, cpu_exact = 0, rows = 0, distances = 0;
    for (uint32_t i = 0; i < b->queries; i++) {
        uint64_t truth[K], got[K];
        struct qv__qctx ctx = {.clock = qv__clock_system(), .mem = qv__db_mem(b->db)};
        const struct qv__filter *f = filter_of(b, kind, share, b->query_cluster[i]);
        double t0 = bench_cpu_s();
        size_t want = ask(b, i, f, true, &ctx, truth);
        double t1 = bench_cpu_s();
        ctx.stats = (struct qv__qstats){0};
        ctx.plan = &told.sink;
        size_t have = ask(b, i, f, false, &ctx, got);
        cpu += bench_cpu_s() - t1;
        cpu_exact += t1 - t0;
        rows += (double)ctx.stats.rows_filtered;
        distances += (double)ctx.stats.distances;
        for (size_t k = 0; k < have; k++) {
            for (size_t j = 0; j < want; j++) {
                found += truth[j] == got[k];
            }
        }
        wanted += (double)want;
        if (have != want) {
            (void)printf("query %u: %zu results of %zu\n", i, have, want);
        }
        qv__arena_reset(&b->arena);
    }
    double n = b->queries;
    (void)printf("%-10s %8.2f %8.3f %10.1f %10.1f %9.0f %10.0f  %s\n", kind_names[kind],
                 share * 100, wanted > 0 ? found / wanted : 1.0, cpu / n * 1e6, cpu_exact / n * 1e6,
                 rows / n, distances / n, told.plan);
}

static void conjunction(struct bench *b)
{
    static const char text[] =
        "{\"must\":[{\"key\":\"u\",\"range\":{\"gte\":200000,\"lt\":700000}},"
        "{\"key\":\"k\",\"match\":{\"any\":[\"k1\",\"k4\",\"k7\"]}},"
        "{\"key\":\"b\",\"match\":{\"value\":true}}]}";
    enum { TIMES = 20 };
    const struct qv__filter *f = NULL;
    qv__json v = NULL;
    uint64_t n = 0, looked = 0;
    BENCH_OK(qv__json_parse(&b->arena, text, strlen(text), NULL, &v, err));
    BENCH_OK(qv__filter_parse(&b->arena, v, &f, err));
    double cpu = bench_cpu_s();
    for (int i = 0; i < TIMES; i++) {
        struct qv__qctx ctx = {.clock = qv__clock_system(), .mem = qv__db_mem(b->db)};
        BENCH_OK(qv__collection_count(b->c, f, &ctx, &n, err));
        looked = ctx.stats.rows_filtered;
    }
    cpu = (bench_cpu_s() - cpu) / TIMES;
    (void)printf(
        "three conditions: %.0f us, %.3f us per 1,000 rows; %llu match, %llu rows looked at\n",
        cpu * 1e6, cpu * 1e9 / b->rows, (unsigned long long)n, (unsigned long long)looked);
    qv__arena_reset(&b->arena);
}

static void table(struct bench *b)
{
    (void)printf("%-10s %8s %8s %10s %10s %9s %10s  %s\n", "filter", "pass %", "recall", "cpu us",
                 "scan us", "rows", "distances", "plan of the last query");
    line(b, NONE, 1.0);
    for (int kind = UNRELATED; kind < KINDS; kind++) {
        for (size_t i = 0; i < QV_ARRAY_LEN(shares); i++) {
            line(b, (enum kind)kind, shares[i]);
        }
    }
    conjunction(b);
}

int main(int argc, char **argv)
{
    struct bench b = {.rows = (uint32_t)bench_number(argc, argv, "rows", 100000),
                      .dim = (uint32_t)bench_number(argc, argv, "dim", 64),
                      .queries = (uint32_t)bench_number(argc, argv, "queries", 100)};
    const char *dir = bench_text(argc, argv, "dir", NULL);
    if (!dir || b.dim == 0 || b.dim > DIM_MAX || b.queries == 0 || b.queries > QUERY_MAX) {
        (void)fprintf(stderr,
                      "usage: bench_filter --dir DIR [--rows N] [--dim 1..%u]"
                      " [--queries 1..%u]\n",
                      DIM_MAX, QUERY_MAX);
        return 2;
    }
    bench_clear(dir);
    struct qv__db_options o = {.path = dir, .seed = 7};
    BENCH_OK(qv__db_open(&o, &b.db, err));
    b.c = bench_collection(b.db, b.dim, true, 0);
    qv__rng_seed(&b.rng, 1);
    qv__arena_init(&b.arena, qv__db_mem(b.db));
    b.centers = calloc((size_t)CLUSTERS * b.dim, sizeof *b.centers);
    b.query = calloc((size_t)b.queries * b.dim, sizeof *b.query);
    if (!b.centers || !b.query) {
        return 1;
    }
    for (size_t i = 0; i < (size_t)CLUSTERS * b.dim; i++) {
        b.centers[i] = normal(&b.rng);
    }
    for (uint32_t i = 0; i < b.queries; i++) {
        b.query_cluster[i] = draw(&b, b.query + (size_t)i * b.dim);
    }
    double cpu = bench_cpu_s();
    load(&b);
    (void)printf("%u rows of %u elements, %u queries, ef 100; loaded in %.1f cpu s\n\n", b.rows,
                 b.dim, b.queries, bench_cpu_s() - cpu);
    (void)printf("without payload indexes\n");
    table(&b);
    make_indexes(&b);
    (void)printf("\nwith payload indexes\n");
    table(&b);
    qv__arena_free(&b.arena);
    qv__collection_release(b.c);
    BENCH_OK(qv__db_close(b.db, err));
    free(b.centers);
    free(b.query);
    return 0;
}
