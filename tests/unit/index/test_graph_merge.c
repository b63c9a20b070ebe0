/* test_graph_merge.c: one graph out of several, and out of one that lost nodes: as good as a build,
 * whatever is dropped; the same for any number of threads; failures that leave nothing behind. */
#include "index_fixture.h"

#include "base/pool.h"
#include "index/graph_link.h"

enum { M = 8, EF = 48, PARTS_MAX = 5 };

/* Recall of a merge below that of a build, at most. */
#define TOLERANCE 0.01

/* Rows of `all` in parts of n[i] each, with a graph per part; those that are left make up `left`.
 */
struct parts {
    struct data all, left;
    uint32_t n_parts;
    struct qv__index *graphs[PARTS_MAX];
    struct data runs[PARTS_MAX];
    uint32_t *remaps[PARTS_MAX];
};

static const struct qv__index_params *params_of(uint32_t ef_construct)
{
    static struct qv__index_params p;
    p = (struct qv__index_params){.kind = QV__INDEX_GRAPH,
                                  .codes = fixture_codes,
                                  .m = M,
                                  .ef_construct = ef_construct,
                                  .seed = 3};
    return &p;
}

static struct qv__index *build(struct qv__mem *mem, const struct data *d)
{
    struct qv_err err;
    struct qv__index_env env = env_make(mem, NULL, 1);
    struct qv__index *x = NULL;
    check_ok(qv__index_ops_of(QV__INDEX_GRAPH)->build(params_of(EF), &env, &d->v, d->n, &x, &err));
    return x;
}

/* `keeps` tells whether a row is left. */
static struct parts parts_make(struct qv__mem *mem, struct data all, const uint32_t *n,
                               uint32_t n_parts, bool (*keeps)(const struct data *, uint32_t))
{
    struct parts p = {.all = all, .n_parts = n_parts};
    uint32_t first = 0, n_left = 0;
    p.left = data_make(all.n, all.dim, (enum qv__metric)all.v.metric, 31);
    for (uint32_t i = 0; i < n_parts; i++) {
        p.runs[i] = data_make(n[i], all.dim, (enum qv__metric)all.v.metric, 31);
        p.remaps[i] = malloc((n[i] + 1) * sizeof *p.remaps[i]);
        assert_non_null(p.remaps[i]);
        for (uint32_t j = 0; j < n[i]; j++, first++) {
            memcpy(data_row(&p.runs[i], j), data_row(&all, first), all.dim * sizeof(float));
            p.remaps[i][j] = UINT32_MAX;
            if (keeps(&all, first)) {
                memcpy(data_row(&p.left, n_left), data_row(&all, first), all.dim * sizeof(float));
                p.remaps[i][j] = n_left++;
            }
        }
        p.graphs[i] = build(mem, &p.runs[i]);
    }
    p.left.n = n_left;
    return p;
}

static void parts_free(struct parts *p)
{
    for (uint32_t i = 0; i < p->n_parts; i++) {
        p->graphs[i]->ops->free(p->graphs[i]);
        data_free(&p->runs[i]);
        free(p->remaps[i]);
    }
    data_free(&p->left);
    data_free(&p->all);
}

static qv_status merge(struct parts *p, const struct qv__index_env *env, struct qv__index **out,
                       struct qv_err *err)
{
    return qv__index_ops_of(QV__INDEX_GRAPH)
        ->merge(params_of(EF), env, &p->left.v, p->left.n, p->graphs,
                (const uint32_t *const *)p->remaps, p->n_parts, out, err);
}

static bool keeps_all(const struct data *d, uint32_t i)
{
    (void)d, (void)i;
    return true;
}
static bool drops_20(const struct data *d, uint32_t i)
{
    (void)d;
    return qv__mix64(i) % 100 >= 20;
}
static bool drops_38(const struct data *d, uint32_t i)
{
    (void)d;
    return qv__mix64(i) % 100 >= 38;
}
static bool drops_95(const struct data *d, uint32_t i)
{
    (void)d;
    return qv__mix64(i) % 100 >= 95;
}
static bool drops_a_side(const struct data *d, uint32_t i) /* whole neighbourhoods at once */
{
    return data_row(d, i)[0] > -0.6f;
}
static bool keeps_last(const struct data *d, uint32_t i)
{
    return i + 1 == d->n;
}

static struct data clustered(uint32_t n, uint64_t seed)
{
    struct data d = data_make(n, 16, QV__L2, 31);
    fill_clustered(&d, 40, 0.4f, 1, seed, NULL);
    return d;
}

struct recall_case {
    const char *name;
    uint32_t n[PARTS_MAX], n_parts;
    bool (*keeps)(const struct data *, uint32_t);
    double tolerance;
};

/* Mean recall of the merged over beams, less that of the built. */
static double recall_gained(const struct recall_case *c, uint64_t seed, struct qv__mem *mem)
{
    struct data queries = clustered(300, 9);
    struct qv__index_env env = env_make(mem, NULL, 1);
    struct qv_err err;
    uint64_t before = qv__mem_used(mem);
    uint32_t n[PARTS_MAX];
    double gained = 0;
    for (uint32_t j = 0; j < c->n_parts; j++) {
        n[j] = SCALED(c->n[j]);
    }
    struct parts p = parts_make(mem, clustered(SCALED(6000), seed), n, c->n_parts, c->keeps);
    struct qv__index *merged = NULL, *built = build(mem, &p.left);
    check_ok(merge(&p, &env, &merged, &err));
    check_ok(merged->ops->validate(merged, &err));
    assert_int_equal(qv__index_count(merged), p.left.n);
    for (uint32_t ef = 10; ef <= 40; ef *= 2) {
        gained += recall_of(merged, &p.left, &queries, 10, ef, NULL, mem) / 3;
        gained -= recall_of(built, &p.left, &queries, 10, ef, NULL, mem) / 3;
    }
    struct qv__index_info a, b;
    merged->ops->describe(merged, &a);
    built->ops->describe(built, &b);
    assert_true(a.memory_bytes <= b.memory_bytes + b.memory_bytes / 20);
    merged->ops->free(merged);
    built->ops->free(built);
    parts_free(&p);
    check_no_leak(mem, before);
    data_free(&queries);
    return gained;
}

/* At the same beams a merge finds what a build finds. A query whose walk ends in a wrong cluster
 * finds nothing, in the one graph or in the other, so a single pair of graphs says little: means
 * over beams and over data sets are compared. */
static void test_recall(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    static const struct recall_case cases[] = {
        {"equal parts", {1500, 1500, 1500, 1500}, 4, keeps_all, TOLERANCE},
        {"one large", {5400, 300, 300}, 3, keeps_all, TOLERANCE},
        {"a fifth dropped", {6000}, 1, drops_20, TOLERANCE},
        {"38 % dropped", {6000}, 1, drops_38, TOLERANCE},
        /* Searches for what is gone begin where few links are left. */
        {"a side dropped", {6000}, 1, drops_a_side, 2 * TOLERANCE},
        {"parts with a fifth dropped", {3000, 3000}, 2, drops_20, TOLERANCE},
        {"nearly all dropped", {6000}, 1, drops_95, TOLERANCE},
    };
    static const uint64_t seeds[] = {2, 102, 202};
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        /* What is built anew is the same graph. */
        bool is_built = cases[i].keeps == drops_38 || cases[i].keeps == drops_95;
        size_t n_seeds = is_built ? 1 : QV_ARRAY_LEN(seeds);
        double gained = 0;
        for (size_t j = 0; j < n_seeds; j++) {
            gained += recall_gained(&cases[i], seeds[j], mem) / (double)n_seeds;
        }
        print_message("%s: %+.4f\n", cases[i].name, gained);
        if (gained < -cases[i].tolerance) {
            fail_msg("%s: %.4f below a build, at most %.4f", cases[i].name, -gained,
                     cases[i].tolerance);
        }
    }
    qv__mem_close(mem);
}

/* Ten times over, a tenth goes and as much comes: recall stays what a build has. */
static void test_turnover(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct qv__index_env env = env_make(mem, NULL, 1);
    struct data d = clustered(SCALED(3000), 2), queries = clustered(200, 9);
    struct qv__index *x = build(mem, &d);
    uint32_t *remap = malloc(d.n * sizeof *remap);
    assert_non_null(remap);
    for (uint64_t round = 0; round < 10; round++) {
        struct data next = data_make(d.n, d.dim, QV__L2, 31), fresh = clustered(d.n, 100 + round);
        uint32_t n = 0;
        for (uint32_t i = 0; i < d.n; i++) {
            bool is_left = qv__mix64(i + (round << 32)) % 10 != 0;
            remap[i] = is_left ? n : UINT32_MAX;
            if (is_left) {
                memcpy(data_row(&next, n++), data_row(&d, i), d.dim * sizeof(float));
            }
        }
        for (; n < d.n; n++) { /* in no graph yet */
            memcpy(data_row(&next, n), data_row(&fresh, n), d.dim * sizeof(float));
        }
        struct qv__index *merged = NULL;
        const uint32_t *remaps[] = {remap};
        check_ok(x->ops->merge(params_of(EF), &env, &next.v, n, &x, remaps, 1, &merged, &err));
        check_ok(merged->ops->validate(merged, &err));
        x->ops->free(x);
        x = merged;
        data_free(&d);
        data_free(&fresh);
        d = next;
    }
    struct qv__index *built = build(mem, &d);
    double of_merged = recall_of(x, &d, &queries, 10, 16, NULL, mem);
    double of_built = recall_of(built, &d, &queries, 10, 16, NULL, mem);
    if (of_merged < of_built - TOLERANCE) {
        print_error("%.4f, built %.4f\n", of_merged, of_built);
        fail();
    }
    x->ops->free(x);
    built->ops->free(built);
    free(remap);
    data_free(&d);
    data_free(&queries);
    qv__mem_close(mem);
}

static void check_deterministic(bool (*keeps)(const struct data *, uint32_t))
{
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    static const uint32_t n[] = {2000, 1000, 500};
    struct parts p = parts_make(mem, clustered(3500, 2), n, 3, keeps);
    struct saved first;
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct qv__pool *pool = NULL;
        if (threads > 1) {
            check_ok(qv__pool_create(mem, threads - 1, &pool, &err));
        }
        struct qv__index_env env = env_make(mem, pool, threads);
        struct qv__index *x = NULL;
        struct saved s;
        check_ok(merge(&p, &env, &x, &err));
        saved_take(&s, x);
        if (threads == 1) {
            first = s;
        } else {
            assert_true(saved_equal(&first, &s));
            saved_free(&s);
        }
        x->ops->free(x);
        qv__pool_close(pool);
    }
    saved_free(&first);
    parts_free(&p);
    qv__mem_close(mem);
}

static void test_deterministic(void **state)
{
    (void)state;
    check_deterministic(drops_20);
    check_deterministic(keeps_all);
}

/* What a merge must not stumble over: sources that are missing, opened, grown, of other settings or
 * all alike, and a root that goes. */
static void test_sources(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct qv__index_env env = env_make(mem, NULL, 1);
    static const uint32_t n[] = {1200, 800};
    const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_GRAPH);
    struct parts p = parts_make(mem, clustered(2000, 2), n, 2, drops_20);
    struct qv__index *grown = NULL, *opened = NULL, *x = NULL;
    struct qv__index *const had[] = {p.graphs[0], p.graphs[1]};
    check_ok(ops->create(params_of(EF), &env, &p.runs[0].v, 5000, &grown, &err));
    check_ok(ops->insert(grown, &env, 700, &err)); /* of 1,200 */
    struct saved s;
    saved_take(&s, had[1]);
    struct qv__index_parts bytes = saved_parts(&s);
    check_ok(ops->open(params_of(EF), &env, &p.runs[1].v, 800, &bytes, &opened, &err));
    struct qv__index *const choices[][2] = {{NULL, NULL},    {NULL, had[1]}, {grown, NULL},
                                            {grown, opened}, {had[0], NULL}, {had[0], opened}};
    for (size_t i = 0; i < QV_ARRAY_LEN(choices); i++) {
        p.graphs[0] = choices[i][0];
        p.graphs[1] = choices[i][1];
        check_ok(merge(&p, &env, &x, &err));
        check_ok(x->ops->validate(x, &err));
        assert_true(recall_of(x, &p.left, &p.left, 1, 40, NULL, mem) >= 0.98);
        ops->free(x);
    }
    p.graphs[0] = had[0];
    p.graphs[1] = had[1];
    /* Settings that ask for more than the sources have. */
    struct qv__index_params wide = *params_of(EF);
    wide.m = 2 * M;
    check_ok(ops->merge(&wide, &env, &p.left.v, p.left.n, p.graphs,
                        (const uint32_t *const *)p.remaps, 2, &x, &err));
    struct qv__index_info info;
    ops->describe(x, &info);
    assert_true(info.degree_avg > M);
    ops->free(x);
    ops->free(grown);
    ops->free(opened);
    saved_free(&s);
    parts_free(&p);
    qv__mem_close(mem);
}

/* Beams of builds at both ends: more neighbours to start from than a beam holds, and so many that
 * the beam is a heap. */
static void test_beams(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct qv__index_env env = env_make(mem, NULL, 1);
    const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_GRAPH);
    static const struct {
        uint32_t m, ef_construct;
    } ends[] = {{40, 4}, {40, 40}, {8, 900}};
    static const uint32_t n[] = {800, 700};
    for (size_t i = 0; i < QV_ARRAY_LEN(ends); i++) {
        struct parts p = parts_make(mem, clustered(1500, 2), n, 2, keeps_all);
        struct qv__index_params params = *params_of(ends[i].ef_construct);
        params.m = ends[i].m;
        for (int j = 0; j < 2; j++) {
            ops->free(p.graphs[j]);
            check_ok(ops->build(&params, &env, &p.runs[j].v, n[j], &p.graphs[j], &err));
        }
        struct qv__index *x = NULL;
        check_ok(ops->merge(&params, &env, &p.left.v, p.left.n, p.graphs,
                            (const uint32_t *const *)p.remaps, 2, &x, &err));
        check_ok(x->ops->validate(x, &err));
        double recall = recall_of(x, &p.left, &p.left, 10, 60, NULL, mem);
        assert_true(recall >= (ends[i].ef_construct > 4 ? 0.97 : 0.5));
        ops->free(x);
        parts_free(&p);
    }
    qv__mem_close(mem);
}

static void test_edges(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct qv__index_env env = env_make(mem, NULL, 1);
    static const uint32_t sizes[][2] = {{1, 1}, {2, 1}, {300, 1}, {1, 300}, {200, 200}};
    bool (*const keeps[])(const struct data *, uint32_t) = {keeps_all, drops_38, drops_95,
                                                            keeps_last};
    for (size_t i = 0; i < QV_ARRAY_LEN(sizes) * QV_ARRAY_LEN(keeps) * 2; i++) {
        const uint32_t *n = sizes[i / 2 % QV_ARRAY_LEN(sizes)];
        struct data d = data_make(n[0] + n[1], i % 2 ? 1 : 3, QV__L2, 31); /* all equal, or not */
        if (i % 2) {
            fill_uniform(&d, 3);
        }
        struct parts p = parts_make(mem, d, n, 2, keeps[i / 2 / QV_ARRAY_LEN(sizes)]);
        struct qv__index *x = NULL;
        check_ok(merge(&p, &env, &x, &err));
        check_ok(x->ops->validate(x, &err));
        assert_int_equal(qv__index_count(x), p.left.n);
        if (p.left.n) {
            (void)recall_of(x, &p.left, &p.left, 3, 10, NULL, mem);
        }
        x->ops->free(x);
        parts_free(&p);
    }
    qv__mem_close(mem);
}

struct stopper {
    _Atomic bool cancel;
    uint64_t stop_at;
};

static void stop_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct stopper *s = ctx;
    assert_true(done <= total);
    s->cancel = done >= s->stop_at;
}

static void check_cancelled(bool (*keeps)(const struct data *, uint32_t))
{
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    static const uint32_t n[] = {1200, 800};
    struct parts p = parts_make(mem, clustered(2000, 2), n, 2, keeps);
    uint64_t before = qv__mem_used(mem);
    static const uint64_t stops[] = {0, 1, 1200, 1500};
    for (size_t i = 0; i < QV_ARRAY_LEN(stops); i++) {
        struct stopper s = {.cancel = stops[i] == 0, .stop_at = stops[i]};
        struct qv__index_env env = env_make(mem, NULL, 1);
        env.cancel = &s.cancel;
        env.progress = stop_progress;
        env.progress_ctx = &s;
        struct qv__index *x = NULL;
        assert_int_equal(merge(&p, &env, &x, &err), QV_ECANCELLED);
        assert_null(x);
        check_no_leak(mem, before);
    }
    parts_free(&p);
    qv__mem_close(mem);
}

static void test_cancelled(void **state)
{
    (void)state;
    check_cancelled(drops_20);
    check_cancelled(keeps_all);
}

/* The n-th allocation fails, for every n. */
static void check_without_memory(bool (*keeps)(const struct data *, uint32_t))
{
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    static const uint32_t n[] = {250, 150};
    struct parts p = parts_make(mem, clustered(400, 2), n, 2, keeps);
    struct qv__index_env env = env_make(mem, NULL, 1);
    uint64_t before = qv__mem_used(mem);
    bool untouched = false;
    for (uint64_t nth = 1; !untouched; nth++) {
        struct qv__index *x = NULL;
        qv__mem_fail_at(mem, nth, false);
        qv_status st = merge(&p, &env, &x, &err);
        qv__mem_fail_at(mem, 0, false);
        untouched = st == QV_OK && nth > 20;
        if (st == QV_OK) { /* also where a failure only costs speed */
            check_ok(x->ops->validate(x, &err));
            x->ops->free(x);
        } else {
            assert_int_equal(st, QV_ENOMEM);
            assert_null(x);
        }
        check_no_leak(mem, before);
    }
    parts_free(&p);
    qv__mem_close(mem);
}

static void test_without_memory(void **state)
{
    (void)state;
    check_without_memory(drops_20);
    check_without_memory(keeps_all);
}

/* Neighbours of no use: islands that nothing of the other side is near, and nodes whose links were
 * all lost, which are joined from the root. */
static void test_islands(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct qv__index_env env = env_make(mem, NULL, 1);
    static const uint32_t n[] = {900, 600};
    struct data all = clustered(1500, 4);
    for (uint32_t i = n[0]; i < all.n; i++) {
        data_row(&all, i)[i % 2] += 50;
    }
    struct parts p = parts_make(mem, all, n, 2, keeps_all);
    struct qv__graph *g = (struct qv__graph *)(void *)p.graphs[1];
    for (uint32_t ord = 0; ord < n[1]; ord += 7) {
        memset(qv__graph_base_links(g, ord), 0xff, g->cap_base * sizeof(uint32_t));
    }
    struct qv__index *x = NULL;
    check_ok(merge(&p, &env, &x, &err));
    check_ok(x->ops->validate(x, &err));
    assert_true(recall_of(x, &p.left, &p.left, 1, 80, NULL, mem) >= 0.95);
    x->ops->free(x);
    parts_free(&p);
    qv__mem_close(mem);
}

/* The tree of a graph whose links lead nowhere, as a file can be made: it takes a few passes, not
 * one or two for each node, and ends when it is told to. */
static void test_tree_without_links(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    _Atomic bool cancel = false;
    struct qv__index_env env = env_make(mem, NULL, 1);
    env.cancel = &cancel;
    const uint32_t n = 2000;
    struct data d = clustered(n, 6);
    struct qv__index *x = NULL;
    check_ok(qv__index_ops_of(QV__INDEX_GRAPH)->create(params_of(EF), &env, &d.v, n, &x, &err));
    check_ok(x->ops->insert(x, &env, n, &err));
    struct qv__graph *g = (struct qv__graph *)(void *)x;
    uint32_t *nodes = calloc(n, sizeof *nodes), *queue = calloc(n, sizeof *queue);
    for (uint32_t ord = 0; ord < n; ord++) {
        nodes[ord] = ord;
        memset(qv__graph_base_links(g, ord), 0xff, g->cap_base * sizeof(uint32_t));
        *qv__graph_tree_at(g, ord) = (struct qv__graph_tree){.parent = QV__GRAPH_EMPTY};
    }
    qv__graph_tree_at(g, g->root)->parent = g->root;
    struct qv__graph_batch batch;
    check_ok(qv__batch_open(&batch, g, &env, n, &err));
    cancel = true;
    assert_int_equal(qv__batch_span(&batch, nodes, n, queue, &err), QV_ECANCELLED);
    cancel = false;
    check_ok(qv__batch_span(&batch, nodes, n, queue, &err));
    qv__batch_close(&batch);
    check_ok(x->ops->validate(x, &err));
    x->ops->free(x);
    free(nodes);
    free(queue);
    data_free(&d);
    qv__mem_close(mem);
}

/* A mapped file that fails under a merge reads as zeros from some place on. What comes out is
 * thrown away by whoever mapped it; until then nothing may be read or written that is not the
 * graph's. */
static void test_zeroed_source(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    for (uint32_t round = 0; round < 6; round++) {
        struct qv_err err;
        struct qv__index_env env = env_make(mem, NULL, 1);
        struct parts p = parts_make(mem, clustered(1500, 5), (uint32_t[]){1000, 500}, 2,
                                    round % 2 ? drops_20 : keeps_all);
        for (uint32_t i = 0; i < p.n_parts; i++) {
            struct qv__graph *g = (struct qv__graph *)(void *)p.graphs[i];
            for (uint32_t ord = p.runs[i].n * (round / 2) / 3; ord < p.runs[i].n; ord++) {
                memset(qv__graph_base_links(g, ord), 0, g->cap_base * sizeof(uint32_t));
            }
            for (uint32_t slot = 0; qv__graph_layers(g) > 1 && slot < g->upper[0].n; slot++) {
                struct qv__graph_upper *u = qv__graph_upper_at(g, 1, slot);
                memset(u, 0, sizeof *u);
                memset(u->links, 0, g->m * sizeof u->links[0]);
            }
        }
        struct qv__index *x = NULL;
        if (merge(&p, &env, &x, &err) == QV_OK) {
            x->ops->free(x);
        }
        parts_free(&p);
    }
    assert_int_equal(qv__mem_used(mem), 0);
    qv__mem_close(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recall),
        cmocka_unit_test(test_turnover),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_deterministic),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_beams),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_islands),
        cmocka_unit_test(test_zeroed_source),
        cmocka_unit_test(test_tree_without_links),
    };
    return run_with_and_without_codes("graph_merge", tests, QV_ARRAY_LEN(tests));
}
