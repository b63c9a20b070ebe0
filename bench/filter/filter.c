/* filter.c: filtered search over selectivity and correlation, under every plan.
 *
 * Reads a set that make_sets.py made and keeps a database of it, so that the graph is built once.
 * For every kind of filter and share of rows that pass, and every plan (the planner's own choice,
 * and each forced), the narrowest beam of a ladder that reaches the recall wanted is found, and a
 * query with it is timed. README.md has the columns. */
#include "set.h"

#include <math.h>
#include <time.h>

#include "engine/query.h"
#include "index/index.h"
#include "payload/field.h"

#define BATCH_ROWS 1000u

static const double shares[] = {100, 50, 10, 5, 1, 0.1, 0.01};
static const char *const kind_names[] = {"uncorrelated", "near", "far", "far4"};
enum { KINDS = 4 };
static const uint32_t beams[] = {10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024};
enum { PLANS = QV__STRATEGIES }; /* the planner's choice, and each forced */

struct bench {
    struct bench_set set;
    struct qv__db *db;
    struct qv__collection *c;
    struct qv__arena arena;
    const struct qv__filter **filters; /* of the point under way, per query */
    double wanted;
    int rounds;      /* of timed passes */
    int warm;        /* passes before them, under a filter */
    uint32_t all_ef; /* the beam of a search without a filter; 0 = not known yet */
    const struct qv__filter **no_filters;
    uint32_t plans; /* bit per plan that is tried */
    FILE *csv;
};

/* --- data --- */

static void payload(struct bench *b, uint32_t row, struct qv__buf *out)
{
    char z[128];
    qv__json v = NULL;
    uint32_t mixed = row * UINT32_C(2654435761) >> 8;
    int n = snprintf(z, sizeof z, "{\"u\":%d,\"r\":%d,\"k\":\"k%u\",\"b\":%s}", b->set.u[row],
                     b->set.r[row], mixed % 10, mixed / 10 % 3 ? "true" : "false");
    BENCH_OK(qv__json_parse(&b->arena, z, (size_t)n, NULL, &v, err));
    BENCH_OK(qv__payload_from_json(out, v, err));
}

static void load(struct bench *b)
{
    static struct qv__named_vector named[BATCH_ROWS];
    static struct qv__point points[BATCH_ROWS];
    static struct qv__buf bufs[BATCH_ROWS];
    uint32_t dim = b->set.dim;
    for (uint32_t at = 0; at < b->set.n; at += BATCH_ROWS) {
        uint32_t n = QV_MIN(b->set.n - at, BATCH_ROWS);
        for (uint32_t i = 0; i < n; i++) {
            qv__buf_init(&bufs[i], b->arena.mem);
            payload(b, at + i, &bufs[i]);
            named[i] = (struct qv__named_vector){
                .name = QV__STR(""), .values = b->set.base + (size_t)(at + i) * dim, .dim = dim};
            points[i] = (struct qv__point){.id = qv__id_u64(at + i),
                                           .vectors = &named[i],
                                           .n_vectors = 1,
                                           .payload = {bufs[i].p, bufs[i].n}};
        }
        struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = points, .n_points = n};
        struct qv__write_result r;
        BENCH_OK(qv__collection_write_sync(b->c, &m, 1, &r, err));
        for (uint32_t i = 0; i < n; i++) {
            qv__buf_free(&bufs[i]);
        }
        qv__arena_reset(&b->arena);
    }
    BENCH_OK(qv__collection_optimize(b->c, 1, err));
    BENCH_OK(qv__collection_settle(b->c, 0, err));
}

enum { INDEXES = 4 };

static struct qv__payload_index_def index_def(size_t i)
{
    const struct qv__payload_index_def defs[INDEXES] = {{QV__STR("u"), QV__STR("integer"), {"", 0}},
                                                        {QV__STR("r"), QV__STR("integer"), {"", 0}},
                                                        {QV__STR("k"), QV__STR("keyword"), {"", 0}},
                                                        {QV__STR("b"), QV__STR("bool"), {"", 0}}};
    return defs[i];
}

static void create(struct bench *b)
{
    struct qv__vector_def def = {
        .name = QV__STR(""), .metric = b->set.is_cosine ? QV__COSINE : QV__L2, .dim = b->set.dim};
    struct qv__schema s = {.vectors = &def, .n_vectors = 1, .shard_number = 1};
    s.policy = (struct qv__segment_policy){.index_at_seal_only = true, .tail_bytes = UINT64_MAX};
    s.durability.window_ms = QV__WINDOW_MS_MAX;
    BENCH_OK(qv__db_create_collection(b->db, QV__STR("bench"), &s, err));
    BENCH_OK(qv__db_collection(b->db, QV__STR("bench"), &b->c, err));
    for (size_t i = 0; i < INDEXES; i++) {
        struct qv__payload_index_def index = index_def(i);
        uint64_t lsn;
        BENCH_OK(qv__db_put_payload_index(b->db, QV__STR("bench"), &index, &lsn, err));
    }
    double cpu = bench_cpu_s();
    load(b);
    (void)printf("loaded in %.1f cpu s\n", bench_cpu_s() - cpu);
}

static void open_db(struct bench *b, const char *dir)
{
    struct qv__db_options o = {.path = dir, .seed = 7};
    struct qv_err absent;
    BENCH_OK(qv__db_open(&o, &b->db, err));
    qv__arena_init(&b->arena, qv__db_mem(b->db));
    if (qv__db_collection(b->db, QV__STR("bench"), &b->c, &absent) != QV_OK) {
        create(b);
    }
    struct qv__collection_info info;
    BENCH_OK(qv__collection_info(b->c, &info, err));
    (void)printf("%u rows of %u elements in %u segments, %u queries\n", b->set.n, b->set.dim,
                 info.n_segments, b->set.n_queries);
    for (size_t i = 0; i < INDEXES; i++) {
        struct qv__payload_index_def index = index_def(i);
        struct qv__field_info f;
        BENCH_OK(qv__collection_field(b->c, &index, &f, err));
        (void)printf("index of %s (%s): %.2f bytes a row\n", index.key.p, index.type.p,
                     (double)(f.memory_bytes + f.file_bytes) / (double)QV_MAX(f.indexed_rows, 1u));
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
    if (strcmp(stage, "graph") == 0) { /* the fresh segment, which is empty, tells of its own */
        (void)snprintf(t->plan, sizeof t->plan, "%s", detail);
    }
}

/* The filter of a query, as make_sets.py has it. */
static const struct qv__filter *filter_of(struct bench *b, int kind, double share, uint32_t query)
{
    char z[200];
    const struct qv__filter *f = NULL;
    qv__json v = NULL;
    uint32_t n = b->set.n, width = (uint32_t)QV_MAX(lrint(n * share / 100), 1L);
    if (width >= n) {
        return NULL;
    }
    uint32_t centre = ((uint32_t)b->set.place[query] + (kind >= 2 ? n / 2 : 0)) % n;
    if (kind == 3) { /* one of four, which other queries have, too */
        centre = (centre + n / 8) / (n / 4) * (n / 4) % n;
    }
    uint32_t first = kind == 0 ? 0 : (centre + n - width / 2) % n, last = first + width;
    const char *key = kind == 0 ? "u" : "r";
    if (last <= n) {
        (void)snprintf(z, sizeof z,
                       "{\"must\":[{\"key\":\"%s\",\"range\":{\"gte\":%u,\"lt\":%u}}]}", key, first,
                       last);
    } else {
        (void)snprintf(z, sizeof z,
                       "{\"should\":[{\"key\":\"%s\",\"range\":{\"gte\":%u}},"
                       "{\"key\":\"%s\",\"range\":{\"lt\":%u}}]}",
                       key, first, key, last - n);
    }
    BENCH_OK(qv__json_parse(&b->arena, z, strlen(z), NULL, &v, err));
    BENCH_OK(qv__filter_parse(&b->arena, v, &f, err));
    return f;
}

static size_t ask(struct bench *b, uint32_t i, uint32_t ef, uint32_t plan, struct qv__qctx *ctx,
                  uint64_t *ids)
{
    struct qv__query q = {
        .kind = QV__QUERY_NEAREST,
        .using_vector = QV__STR(""),
        .target = {.values = b->set.queries + (size_t)i * b->set.dim, .dim = b->set.dim},
        .filter = b->filters[i],
        .params = {.ef = ef, .strategy = plan},
        .limit = BENCH_K};
    struct qv__result_set rs;
    BENCH_OK(qv__collection_query(b->c, &q, NULL, ctx, &rs, err));
    size_t n = rs.n;
    for (size_t k = 0; k < n; k++) {
        ids[k] = rs.points[k].id.u;
    }
    qv__result_free(&rs);
    return n;
}

struct pass {
    double recall, us, distances, hops, rows;
    char plan[64];
};

static struct pass run_pass(struct bench *b, const int32_t *truth, uint32_t ef, uint32_t plan,
                            bool told_plan)
{
    struct told told = {.sink = {.event = tell}, .plan = ""};
    struct pass p = {0};
    uint64_t found = 0, wanted = 0;
    struct qv__qctx ctx = {.clock = qv__clock_system(), .mem = qv__db_mem(b->db)};
    ctx.plan = told_plan ? &told.sink : NULL;
    uint64_t t0 = bench_thread_ns();
    for (uint32_t i = 0; i < b->set.n_queries; i++) {
        uint64_t got[BENCH_K];
        size_t have = ask(b, i, ef, plan, &ctx, got);
        const int32_t *want = truth + (size_t)i * BENCH_K;
        size_t n = 0;
        for (; n < BENCH_K && want[n] >= 0; n++) {
            for (size_t k = 0; k < have; k++) {
                found += (uint64_t)want[n] == got[k];
            }
        }
        wanted += n;
        if (have != n) {
            (void)printf("query %u: %zu results of %zu\n", i, have, n);
        }
    }
    double n = b->set.n_queries;
    p.us = (double)(bench_thread_ns() - t0) / 1e3 / n;
    p.recall = wanted ? (double)found / (double)wanted : 1.0;
    p.distances = (double)ctx.stats.distances / n;
    p.hops = (double)ctx.stats.hops / n;
    p.rows = (double)ctx.stats.rows_filtered / n;
    (void)snprintf(p.plan, sizeof p.plan, "%s", told.plan);
    return p;
}

/* The narrowest beam of the ladder that reaches the recall wanted; 0: none does. */
static uint32_t beam_for(struct bench *b, const int32_t *truth, uint32_t plan, struct pass *out)
{
    for (size_t i = 0; i < QV_ARRAY_LEN(beams); i++) {
        *out = run_pass(b, truth, beams[i], plan, true);
        if (out->recall >= b->wanted) {
            return beams[i];
        }
        if (out->us > 20000) {
            break;
        }
    }
    return 0;
}

/* Not worth asking: it takes tens of milliseconds a query. */
static bool is_hopeless(uint32_t plan, double share)
{
    return (plan == QV__STRATEGY_POSTFILTER && share < 1) ||
           (plan == QV__STRATEGY_FILTERED && share < 0.1);
}

/* The least of two passes in a row, as the peers are timed: other plans, a scan of everything among
 * them, have run in between. */
static double timed(struct bench *b, const int32_t *truth, uint32_t ef, uint32_t plan)
{
    double first = run_pass(b, truth, ef, plan, false).us;
    return QV_MIN(first, run_pass(b, truth, ef, plan, false).us);
}

static void point(struct bench *b, int kind, double share, double *regret)
{
    double us[PLANS], best = INFINITY, all = INFINITY;
    struct pass at[PLANS] = {{0}};
    uint32_t ef[PLANS] = {0};
    const int32_t *truth = bench_truth(&b->set, kind_names[kind], share);
    for (uint32_t i = 0; i < b->set.n_queries; i++) {
        b->filters[i] = filter_of(b, kind, share, i);
    }
    /* What searches under a filter that comes again make once is there before they are timed. */
    for (int i = 0; share < 100 && i < b->warm; i++) {
        (void)run_pass(b, truth, 100, 0, false);
    }
    struct pass wide = run_pass(b, truth, 100, 0, true);
    for (uint32_t plan = 0; plan < PLANS; plan++) {
        us[plan] = INFINITY;
        if (!plan || (share < 100 && b->plans >> plan & 1 && !is_hopeless(plan, share))) {
            ef[plan] = beam_for(b, truth, plan, &at[plan]);
        }
    }
    for (int round = 0; round < b->rounds; round++) { /* in turn: others use the machine too */
        if (b->all_ef) {
            const struct qv__filter **filters = b->filters;
            b->filters = b->no_filters;
            all = QV_MIN(all, timed(b, truth, b->all_ef, 0));
            b->filters = filters;
        }
        for (uint32_t i = 0; i < PLANS; i++) {
            /* Each goes before and behind each other one: what the same rows left in the cache
             * would favour the second. */
            uint32_t plan = round % 2 ? PLANS - 1 - i : i;
            if (ef[plan]) {
                us[plan] = QV_MIN(us[plan], timed(b, truth, ef[plan], plan));
            }
        }
    }
    for (uint32_t plan = 1; plan < PLANS; plan++) {
        best = QV_MIN(best, us[plan]);
    }
    *regret = share >= 100 ? 0 : QV_MAX(us[0] / best - 1, 0);
    (void)printf("%-12s %7g %6.3f %5u %6.3f %8.1f %9.0f %5.2f |", kind_names[kind], share,
                 wide.recall, ef[0], at[0].recall, us[0], 1e6 / us[0],
                 b->all_ef ? all / us[0] : 1.0);
    if (!b->all_ef) {
        b->all_ef = ef[0];
    }
    for (uint32_t plan = 1; plan < PLANS; plan++) {
        (void)printf(" %8.1f@%-4u", us[plan], ef[plan]);
    }
    (void)printf("| %5.2f %7.0f %6.0f  %s\n", *regret, at[0].distances, at[0].hops, at[0].plan);
    (void)fflush(stdout);
    if (b->csv) {
        (void)fprintf(b->csv, "%s,%g,quiver,%u,%.4f,%.1f,\"%s\",%.3f,%.1f,%.1f,%.1f,%.1f,%.3f\n",
                      kind_names[kind], share, ef[0], at[0].recall, 1e6 / us[0], at[0].plan,
                      *regret, us[1], us[2], us[3], us[4],
                      b->all_ef && share < 100 ? all / us[0] : 1.0);
    }
    qv__arena_reset(&b->arena);
    free((void *)(uintptr_t)truth);
}

static void conjunction(struct bench *b)
{
    char text[300];
    enum { TIMES = 20 };
    const struct qv__filter *f = NULL;
    qv__json v = NULL;
    uint64_t n = 0, looked = 0;
    double best = INFINITY;
    for (int i = 0; i < TIMES; i++) { /* another filter each time: nothing comes from the cache */
        uint32_t from = b->set.n / 5 + (uint32_t)i, to = b->set.n / 10 * 7 + (uint32_t)i;
        (void)snprintf(text, sizeof text,
                       "{\"must\":[{\"key\":\"u\",\"range\":{\"gte\":%u,\"lt\":%u}},"
                       "{\"key\":\"k\",\"match\":{\"any\":[\"k1\",\"k4\",\"k7\"]}},"
                       "{\"key\":\"b\",\"match\":{\"value\":true}}]}",
                       from, to);
        BENCH_OK(qv__json_parse(&b->arena, text, strlen(text), NULL, &v, err));
        BENCH_OK(qv__filter_parse(&b->arena, v, &f, err));
        struct qv__qctx ctx = {.clock = qv__clock_system(), .mem = qv__db_mem(b->db)};
        uint64_t t0 = bench_thread_ns();
        BENCH_OK(qv__collection_count(b->c, f, &ctx, &n, err));
        best = QV_MIN(best, (double)(bench_thread_ns() - t0) / 1e3);
        looked = ctx.stats.rows_filtered;
    }
    (void)printf("three conditions: %.0f us, %.3f us per 1,000 rows; %llu match, %llu rows looked "
                 "at\n",
                 best, best * 1e3 / b->set.n, (unsigned long long)n, (unsigned long long)looked);
    qv__arena_reset(&b->arena);
}

int main(int argc, char **argv)
{
    struct bench b = {.wanted = atof(bench_text(argc, argv, "recall", "0.95")),
                      .rounds = (int)bench_number(argc, argv, "rounds", 5),
                      .warm = (int)bench_number(argc, argv, "warm", 100),
                      .plans = (uint32_t)bench_number(argc, argv, "plans", UINT32_MAX)};
    const char *dir = bench_text(argc, argv, "dir", NULL);
    const char *set = bench_text(argc, argv, "set", NULL);
    const char *csv = bench_text(argc, argv, "csv", NULL);
    const char *only = bench_text(argc, argv, "kind", NULL);
    double share = atof(bench_text(argc, argv, "share", "0")); /* beside 100; 0 = all */
    if (!dir || !set) {
        (void)fprintf(stderr,
                      "usage: bench_filter --set DIR --dir DATABASE [--recall 0.95] [--rounds "
                      "5] [--csv FILE] [--kind uncorrelated|near|far|far4] [--share PERCENT]\n");
        return 2;
    }
    bench_set_open(&b.set, set);
    b.set.n_queries = (uint32_t)bench_number(argc, argv, "queries", b.set.n_queries);
    open_db(&b, dir);
    if (bench_number(argc, argv, "load-only", 0)) {
        goto out;
    }
    b.filters = calloc(b.set.n_queries, sizeof *b.filters);
    b.no_filters = calloc(b.set.n_queries, sizeof *b.no_filters);
    b.csv = csv ? fopen(csv, "w") : NULL;
    if (b.csv) {
        (void)fprintf(
            b.csv,
            "kind,share,engine,ef,recall,qps,plan,regret,scan_us,walk_us,post_us,packed_us,rel\n");
    }
    conjunction(&b);
    (void)printf("%-12s %7s %6s %5s %6s %8s %9s %5s | %s | %5s %7s %6s  %s\n", "filter", "pass %",
                 "r@100", "ef", "recall", "us", "qps", "rel",
                 "scan us@ef    filtered     postfilter   packed       ", "regr", "dists", "hops",
                 "plan");
    double regrets[KINDS * QV_ARRAY_LEN(shares)];
    size_t n = 0;
    for (int kind = 0; kind < KINDS; kind++) {
        for (size_t i = 0; i < QV_ARRAY_LEN(shares); i++) {
            if ((kind && i == 0) || (only && i && strcmp(only, kind_names[kind]) != 0) ||
                (share > 0 && i && fabs(shares[i] - share) > 1e-9)) {
                continue;
            }
            point(&b, kind, shares[i], &regrets[n]);
            n += shares[i] < 100;
        }
    }
    double p50 = bench_median(regrets, n);
    (void)printf("regret: p50 %.2f, max %.2f\n", p50, n ? regrets[n - 1] : 0);
    if (b.csv) {
        (void)fclose(b.csv);
    }
    free(b.filters);
    free(b.no_filters);
out:
    qv__arena_free(&b.arena);
    qv__collection_release(b.c);
    BENCH_OK(qv__db_close(b.db, err));
    bench_set_free(&b.set);
    return 0;
}
