/* test_churn.c: recall, reach, disk and memory of a collection whose points are all replaced ten
 * times over, against a collection of the same points that were only ever inserted.
 *
 * A turnover is half updates, half deletions with as many new points. Three distributions of who is
 * hit: anyone (uniform), the oldest (fifo), and one region of space after the other (hot).
 * Background work is stepped until nothing is due, twenty times a turnover. In the end recall@10 at
 * the same beam may be 0.01 lower than that of the fresh collection (0.02 with few points, which
 * are few queries too), disk and memory 1.3 times as much, and no point of a graph out of reach.
 *
 * Long: QVT_CHURN_POINTS=100000 build/release/tests/test_churn
 * Again: QVT_CHURN_SEED=N QVT_CHURN_POINTS=N QVT_CHURN_ONLY=uniform|fifo|hot, as the output says.
 */
#include "base/rng.h"
#include "engine/segment_impl.h"
#include "engine_fixture.h"

enum { DIM = 24, BATCH = 64, TURNOVERS = 10, K = 10, CLUSTERS = 50 };

enum hit { UNIFORM, FIFO, HOT };
static const char *const hit_names[] = {"uniform", "fifo", "hot"};

struct churn {
    struct fix f;
    struct qv__collection *c;
    enum hit hit;
    uint32_t n, at; /* points; fifo: the oldest; hot: where the region begins */
    uint64_t next_id, seed;
    struct qv__rng rng;
    float *centres;
    uint64_t *ids; /* by slot; neighbouring slots are of one cluster */
    float *values;
};

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void draw(struct churn *t, uint32_t slot, float *out)
{
    const float *centre = t->centres + (uint64_t)slot * CLUSTERS / t->n * DIM;
    for (uint32_t k = 0; k < DIM; k++) {
        out[k] = centre[k] + 0.5f * qv__rng_gauss(&t->rng);
    }
}

static struct qv__collection *make(struct churn *t, const char *name, uint32_t seal_rows)
{
    struct fix *f = &t->f;
    struct qv__vector_def def = {.name = QV__STR(""),
                                 .metric = QV__L2,
                                 .dim = DIM,
                                 .index = {.kind = QV__INDEX_GRAPH, .m = 12, .ef_construct = 64}};
    struct qv__schema schema = fix_schema(&def, 1, 1);
    schema.policy = (struct qv__segment_policy){.seal_rows = seal_rows, .index_rows = 64};
    OK(qv__db_create_collection(f->db, qv__str_z(name), &schema, &f->err));
    return fix_collection(f, name);
}

static void settle(struct churn *t)
{
    while (qv__db_step(t->f.db)) {
    }
}

/* Store slots[0..n) as they are now. */
static void put(struct churn *t, struct qv__collection *c, const uint32_t *slots, size_t n)
{
    struct qv__point p[BATCH];
    struct qv__named_vector nv[BATCH];
    for (size_t i = 0; i < n; i++) {
        nv[i] = (struct qv__named_vector){
            .name = QV__STR(""), .values = t->values + (size_t)slots[i] * DIM, .dim = DIM};
        p[i] = (struct qv__point){
            .id = qv__id_u64(t->ids[slots[i]]), .vectors = &nv[i], .n_vectors = 1};
    }
    fix_write(&t->f, c, &(struct qv__mutation){.kind = QV__MUT_UPSERT, .points = p, .n_points = n},
              1);
}

static void put_all(struct churn *t, struct qv__collection *c)
{
    uint32_t slots[BATCH];
    for (uint32_t slot = 0; slot < t->n;) {
        size_t n = 0;
        for (; n < BATCH && slot < t->n; slot++) {
            slots[n++] = slot;
        }
        put(t, c, slots, n);
    }
    settle(t);
}

static uint32_t victim(struct churn *t)
{
    switch (t->hit) {
    case UNIFORM:
        return (uint32_t)qv__rng_below(&t->rng, t->n);
    case FIFO:
        return t->at++ % t->n;
    case HOT:
    default: /* a twentieth of the points, which moves on when it was hit about once over */
        t->at += qv__rng_below(&t->rng, t->n / 20) == 0 ? t->n / 20 : 0;
        return (uint32_t)((t->at + qv__rng_below(&t->rng, t->n / 20)) % t->n);
    }
}

/* One batch: half of the victims get a new vector, the others go and new points come. */
static void turn(struct churn *t)
{
    struct qv__id gone[BATCH];
    uint32_t slots[BATCH];
    size_t n_gone = 0, n = 0;
    while (n < BATCH) {
        uint32_t slot = victim(t);
        bool is_twice = false;
        for (size_t i = 0; i < n; i++) {
            is_twice |= slots[i] == slot;
        }
        if (is_twice) {
            continue;
        }
        slots[n] = slot;
        draw(t, slot, t->values + (size_t)slot * DIM);
        if (n++ % 2) {
            gone[n_gone++] = qv__id_u64(t->ids[slot]);
            t->ids[slot] = t->next_id++;
        }
    }
    fix_write(&t->f, t->c,
              &(struct qv__mutation){.kind = QV__MUT_DELETE, .ids = gone, .n_ids = n_gone}, 1);
    put(t, t->c, slots, n);
}

static double distance2(const float *a, const float *b)
{
    double sum = 0;
    for (uint32_t k = 0; k < DIM; k++) {
        sum += ((double)a[k] - (double)b[k]) * ((double)a[k] - (double)b[k]);
    }
    return sum;
}

static double kth_of(const struct churn *t, const float *q)
{
    double best[K];
    uint32_t n = 0;
    for (uint32_t slot = 0; slot < t->n; slot++) {
        double d = distance2(q, t->values + (size_t)slot * DIM);
        uint32_t at = n < K ? n++ : K;
        for (; at > 0 && best[at - 1] > d; at--) {
            if (at < K) {
                best[at] = best[at - 1];
            }
        }
        if (at < K) {
            best[at] = d;
        }
    }
    return best[K - 1];
}

struct state {
    double recall;
    uint64_t disk, memory;
};

static struct state look(struct churn *t, struct qv__collection *c, const float *queries,
                         const double *kth, uint32_t n_queries)
{
    struct fix *f = &t->f;
    struct qv__collection_info info;
    uint64_t n_good = 0;
    for (uint32_t i = 0; i < n_queries; i++) {
        struct qv__qctx ctx = fix_ctx(f);
        struct qv__query query = {.kind = QV__QUERY_NEAREST,
                                  .target = {.values = queries + (size_t)i * DIM, .dim = DIM},
                                  .limit = K,
                                  .params = {.ef = t->n >= 50000 ? 24 : K}};
        struct qv__result_set rs;
        OK(qv__collection_query(c, &query, NULL, &ctx, &rs, &f->err));
        assert_int_equal(rs.n, K);
        for (size_t j = 0; j < rs.n; j++) {
            n_good += (double)rs.points[j].score <= sqrt(kth[i]) * (1 + 1e-5);
        }
        qv__result_free(&rs);
    }
    OK(qv__collection_info(c, &info, &f->err));
    assert_int_equal(info.n_points, t->n);
    /* Every graph is whole: no point out of reach. */
    struct qv__view *v = qv__shard_view(&c->shards[0]);
    for (uint32_t i = 0; i < v->n; i++) {
        struct qv__index *x = atomic_load(&v->segments[i]->columns[0].index);
        if (x) {
            OK(x->ops->validate(x, &f->err));
        }
    }
    qv__view_release(v);
    return (struct state){.recall = (double)n_good / (double)(K * n_queries),
                          .disk = info.disk_bytes,
                          .memory = info.memory_bytes};
}

static void compare(const struct churn *t, bool is_sealed, struct state got, struct state want)
{
    const char *when = is_sealed ? "one segment" : "settled";
    double less = t->n >= 50000 ? 0.01 : 0.02;
    bool is_ok = got.recall >= want.recall - less && (double)got.disk <= 1.3 * (double)want.disk &&
                 (!is_sealed || (double)got.memory <= 1.3 * (double)want.memory);
    print_message("%s, %s: recall %.4f, fresh %.4f; disk %.2fx, memory %.2fx\n", hit_names[t->hit],
                  when, got.recall, want.recall, (double)got.disk / (double)want.disk,
                  (double)got.memory / (double)want.memory);
    if (!is_ok) {
        fail_msg("worse than fresh; again: QVT_CHURN_SEED=%llu QVT_CHURN_POINTS=%u "
                 "QVT_CHURN_ONLY=%s test_churn",
                 (unsigned long long)t->seed, t->n, hit_names[t->hit]);
    }
}

static void churn(enum hit hit)
{
    const char *only = getenv("QVT_CHURN_ONLY");
    if (only && strcmp(only, hit_names[hit]) != 0) {
        return;
    }
    struct churn tt = {.hit = hit, .seed = setting("QVT_CHURN_SEED", 1)}, *t = &tt;
    t->n = (uint32_t)QV_MAX(setting("QVT_CHURN_POINTS", 2000), 1000);
    uint32_t n_queries = t->n >= 50000 ? 1000 : 300;
    struct fix *f = &t->f;
    fix_open(f, -1);
    print_message("QVT_CHURN_SEED=%llu QVT_CHURN_POINTS=%u\n", (unsigned long long)t->seed, t->n);
    qv__rng_seed(&t->rng, t->seed);
    t->centres = qv__calloc(f->mem, (size_t)CLUSTERS * DIM, sizeof *t->centres);
    t->ids = qv__calloc(f->mem, t->n, sizeof *t->ids);
    t->values = qv__calloc(f->mem, (size_t)t->n * DIM, sizeof *t->values);
    float *queries = qv__calloc(f->mem, (size_t)n_queries * DIM, sizeof *queries);
    double *kth = qv__calloc(f->mem, n_queries, sizeof *kth);
    assert_true(t->centres && t->ids && t->values && queries && kth);
    for (uint32_t i = 0; i < CLUSTERS * DIM; i++) {
        t->centres[i] = qv__rng_gauss(&t->rng);
    }
    for (uint32_t slot = 0; slot < t->n; slot++) {
        t->ids[slot] = t->next_id++;
        draw(t, slot, t->values + (size_t)slot * DIM);
    }
    t->c = make(t, "churned", t->n / 4);
    put_all(t, t->c);
    uint32_t n_batches = TURNOVERS * t->n / BATCH;
    for (uint32_t i = 0; i < n_batches; i++) {
        turn(t);
        if (i % (n_batches / (20 * TURNOVERS) + 1) == 0) {
            settle(t);
        }
    }
    settle(t);
    for (uint32_t i = 0; i < n_queries; i++) {
        draw(t, (uint32_t)qv__rng_below(&t->rng, t->n), queries + (size_t)i * DIM);
        kth[i] = kth_of(t, queries + (size_t)i * DIM);
    }
    struct qv__collection *fresh = make(t, "fresh", 4 * t->n);
    put_all(t, fresh);
    OK(qv__collection_optimize(fresh, 1, &f->err));
    struct state want = look(t, fresh, queries, kth, n_queries);
    compare(t, false, look(t, t->c, queries, kth, n_queries), want);
    OK(qv__collection_optimize(t->c, 1, &f->err));
    compare(t, true, look(t, t->c, queries, kth, n_queries), want);
    qv__collection_release(fresh);
    qv__collection_release(t->c);
    qv__free(t->centres);
    qv__free(t->ids);
    qv__free(t->values);
    qv__free(queries);
    qv__free(kth);
    fix_close(f);
}

static void test_uniform(void **state)
{
    (void)state;
    churn(UNIFORM);
}
static void test_fifo(void **state)
{
    (void)state;
    churn(FIFO);
}
static void test_hot(void **state)
{
    (void)state;
    churn(HOT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_uniform), cmocka_unit_test(test_fifo),
                                       cmocka_unit_test(test_hot)};
    return cmocka_run_group_tests_name("churn", tests, NULL, NULL);
}
