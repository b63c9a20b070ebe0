/* test_graph_entry.c: how many nodes an opened graph is entered at: some where vectors lie in
 * clusters, which finds more of them, one elsewhere; and what that leaves as it was. */
#include "base/pool.h"
#include "index_fixture.h"

#include "index/graph_entry.h"

enum { N = 20000, DIM = 64, QUERIES = 300, K = 10, CLUSTERS = 1000 };
#define INNER 0.5f
#define NOISE 0.05f

/* Clusters of clusters: rows around CLUSTERS centres, which lie around a tenth as many. */
static void fill_layered(struct data *d, uint64_t seed)
{
    struct data outer = data_make(CLUSTERS / 10, DIM, QV__L2, 31),
                inner = data_make(CLUSTERS, DIM, QV__L2, 31);
    fill_clustered(&outer, CLUSTERS / 10, 0, 5, 6, NULL);
    fill_clustered(&inner, CLUSTERS, 0, 7, 8, NULL);
    struct qv__rng r;
    qv__rng_seed(&r, seed);
    for (uint32_t i = 0; i < d->n; i++) {
        uint32_t c = (uint32_t)qv__rng_below(&r, CLUSTERS);
        for (uint32_t j = 0; j < DIM; j++) {
            data_row(d, i)[j] = data_row(&outer, c / 10)[j] + INNER * data_row(&inner, c)[j] +
                                NOISE * qv__rng_gauss(&r);
        }
    }
    data_free(&outer);
    data_free(&inner);
}

static struct qv__index *open_saved(const struct data *d, uint32_t packing, struct saved *saved,
                                    struct qv__mem *mem)
{
    struct qv_err err;
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .m = 8, .ef_construct = 100, .packing = packing, .seed = 3};
    struct qv__index_env env = env_make(mem, NULL, 1);
    struct qv__index_parts parts = saved_parts(saved);
    struct qv__index *x = NULL;
    check_ok(qv__index_ops_of(QV__INDEX_GRAPH)->open(&params, &env, &d->v, d->n, &parts, &x, &err));
    return x;
}

static void build_saved(const struct data *d, struct saved *saved, struct qv__mem *mem)
{
    struct qv_err err;
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .m = 8, .ef_construct = 100, .seed = 3};
    struct qv__pool *pool = NULL;
    check_ok(qv__pool_create(mem, 2, &pool, &err));
    struct qv__index_env env = env_make(mem, pool, 2);
    struct qv__index *x = NULL;
    check_ok(qv__index_ops_of(QV__INDEX_GRAPH)->build(&params, &env, &d->v, d->n, &x, &err));
    saved_take(saved, x);
    x->ops->free(x);
    qv__pool_close(pool);
}

static void test_clusters(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct data d = data_make(N, DIM, QV__L2, 31), queries = data_make(QUERIES, DIM, QV__L2, 31);
    fill_layered(&d, 2);
    fill_layered(&queries, 3);
    struct saved saved;
    build_saved(&d, &saved, mem);
    for (uint32_t packing = 0; packing < QV__INDEX_PACKINGS; packing++) {
        struct qv__index *x = open_saved(&d, packing, &saved, mem);
        struct qv__graph *g = qv__graph_of(x);
        assert_int_equal(g->entry_beam, QV__ENTRY_BEAM);
        double some = recall_of(x, &d, &queries, K, 12, NULL, mem);
        g->entry_beam = 1;
        double one = recall_of(x, &d, &queries, K, 12, NULL, mem);
        assert_true(some > one + 0.01);
        x->ops->free(x);
    }
    saved_free(&saved);
    data_free(&queries);
    data_free(&d);
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

static void test_elsewhere(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct data d = data_make(N, 16, QV__L2, 31);
    fill_uniform(&d, 42);
    struct saved saved;
    build_saved(&d, &saved, mem);
    struct qv__index *x = open_saved(&d, 0, &saved, mem);
    assert_int_equal(qv__graph_of(x)->entry_beam, 1);
    x->ops->free(x);
    saved_free(&saved);
    data_free(&d);
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clusters),
        cmocka_unit_test(test_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
