/* test_graph_insert.c: the growing graph: recall equals a build's, however the points arrive;
 * readers beside the writer; memory that follows the rows; failures that leave it usable. */
#include "index_fixture.h"

#include "base/pool.h"
#include "base/thread.h"

static const struct qv__index_ops *graph_ops(void)
{
    return qv__index_ops_of(QV__INDEX_GRAPH);
}

static struct qv__index *graph_create(struct qv__mem *mem, const struct data *d, uint32_t m,
                                      uint32_t ef_construct, uint32_t n_max)
{
    struct qv_err err;
    struct qv__index_params params = {.kind = QV__INDEX_GRAPH,
                                      .codes = fixture_codes,
                                      .m = m,
                                      .ef_construct = ef_construct,
                                      .seed = 7};
    struct qv__index_env env = env_make(mem, NULL, 1);
    struct qv__index *x = NULL;
    check_ok(graph_ops()->create(&params, &env, &d->v, n_max, &x, &err));
    return x;
}

static void test_empty_is_small(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(3000, 4, QV__L2, 31);
    fill_uniform(&d, 1);
    static const uint32_t limits[] = {0, 1, 100000, 1000000, 100000000, UINT32_C(1) << 31};
    for (size_t i = 0; i < QV_ARRAY_LEN(limits); i++) {
        struct qv__index *x = graph_create(mem, &d, 16, 100, limits[i]);
        assert_true(qv__mem_used(mem) < 16384);
        struct qv__index_info info;
        x->ops->describe(x, &info);
        assert_true(info.memory_bytes < 16384);
        assert_int_equal(info.n, 0);
        assert_int_equal(info.levels, 0);
        check_ok(x->ops->validate(x, &err));
        assert_true(recall_of(x, &d, &d, 1, 0, NULL, mem) == 1.0); /* nothing, and no error */
        struct qv__index_env env = env_make(mem, NULL, 1);
        check_ok(x->ops->insert(x, &env, 0, &err));
        if (limits[i] < UINT32_MAX / 2) {
            assert_int_equal(x->ops->insert(x, &env, limits[i] + 1, &err), QV_EINVAL);
        }
        x->ops->free(x);
        assert_int_equal(qv__mem_used(mem), 0);
    }
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .codes = fixture_codes, .m = 16, .ef_construct = 100};
    struct qv__index_env env = env_make(mem, NULL, 1);
    struct qv__index *x = NULL;
    assert_int_equal(graph_ops()->create(&params, &env, &d.v, (UINT32_C(1) << 31) + 1, &x, &err),
                     QV_EVALIDATION);
    /* Memory follows the rows: 3,000 of a possible million. */
    x = graph_create(mem, &d, 16, 40, 1000000);
    check_ok(x->ops->insert(x, &env, 3000, &err));
    assert_true(qv__mem_used(mem) < 1500000);
    x->ops->free(x);
    data_free(&d);
    qv__mem_close(mem);
}

static void test_recall_any_step(void **state)
{
    (void)state;
    static const uint32_t steps[] = {1, 37, 1000, 6000};
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv__pool *pool;
    struct qv_err err;
    check_ok(qv__pool_create(mem, 1, &pool, &err));
    struct data d = data_make(6000, 20, QV__L2, 10);
    struct data queries = data_make(100, 20, QV__L2, 31);
    fill_uniform(&d, 1);
    fill_uniform(&queries, 2);
    for (size_t i = 0; i < QV_ARRAY_LEN(steps); i++) {
        struct qv__index *x = graph_create(mem, &d, 12, 80, 50000);
        struct qv__index_env env = env_make(mem, i % 2 ? pool : NULL, 2);
        for (uint32_t n = 0; n < d.n; n += steps[i]) {
            check_ok(x->ops->insert(x, &env, QV_MIN(n + steps[i], d.n), &err));
        }
        check_ok(x->ops->validate(x, &err));
        double recall = recall_of(x, &d, &queries, 10, 100, NULL, mem);
        print_message("steps of %u: recall@10 %.4f\n", steps[i], recall);
        assert_true(recall >= 0.95);
        struct qv__index_info info;
        x->ops->describe(x, &info);
        assert_int_equal(info.n, d.n);
        x->ops->free(x);
    }
    qv__pool_close(pool);
    data_free(&d);
    data_free(&queries);
    qv__mem_close(mem);
}

/* A whole new cluster arrives in one call, far from all that was there: its points must find each
 * other although none was in the graph when they were linked. */
static void test_new_cluster_at_once(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(4000, 16, QV__L2, 31);
    fill_uniform(&d, 1);
    for (uint32_t i = 3000; i < d.n; i++) {
        for (uint32_t j = 0; j < d.dim; j++) {
            data_row(&d, i)[j] += 50;
        }
    }
    struct data queries = data_make(100, 16, QV__L2, 31);
    fill_uniform(&queries, 2);
    for (size_t i = 0; i < (size_t)queries.n * queries.dim; i++) {
        queries.values[i] += 50;
    }
    struct qv__index *x = graph_create(mem, &d, 12, 80, 4000);
    struct qv__index_env env = env_make(mem, NULL, 1);
    check_ok(x->ops->insert(x, &env, 3000, &err));
    static const uint32_t upto[] = {3001, 3020, 3128, 4000};
    for (size_t i = 0; i < QV_ARRAY_LEN(upto); i++) {
        check_ok(x->ops->insert(x, &env, upto[i], &err));
        check_ok(x->ops->validate(x, &err));
        double recall = recall_of(x, &d, &queries, 10, 60, NULL, mem);
        print_message("new cluster of %u: recall@10 %.4f\n", upto[i] - 3000, recall);
        assert_true(recall >= 0.97);
    }
    x->ops->free(x);
    data_free(&d);
    data_free(&queries);
    qv__mem_close(mem);
}

/* Ten thousand equal vectors, one after the other and in bulk. */
static void test_equal_vectors(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(10000, 6, QV__COSINE, 12);
    struct qv__index *x = graph_create(mem, &d, 6, 24, 10000);
    struct qv__index_env env = env_make(mem, NULL, 1);
    for (uint32_t n = 1; n <= 600; n++) {
        check_ok(x->ops->insert(x, &env, n, &err));
    }
    check_ok(x->ops->insert(x, &env, 10000, &err));
    check_ok(x->ops->validate(x, &err));
    struct data queries = data_make(3, 6, QV__COSINE, 31);
    fill_uniform(&queries, 1);
    assert_true(recall_of(x, &d, &queries, 50, 64, NULL, mem) == 1.0);
    x->ops->free(x);
    data_free(&d);
    data_free(&queries);
    qv__mem_close(mem);
}

/* Inserting in the same steps gives the same graph, and saving a growing graph loses nothing. */
static void test_replay_and_save(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(5000, 8, QV__L2, 9);
    struct data queries = data_make(50, 8, QV__L2, 31);
    fill_uniform(&d, 1);
    fill_uniform(&queries, 2);
    struct saved s[2];
    struct qv__index *x = NULL;
    for (int i = 0; i < 2; i++) {
        struct qv__pool *pool = NULL;
        check_ok(qv__pool_create(mem, 2 * (unsigned)i, &pool, &err));
        x = graph_create(mem, &d, 8, 40, 100000);
        struct qv__index_env env = env_make(mem, pool, 3);
        for (uint32_t n = 0; n <= 5000; n += 250) {
            check_ok(x->ops->insert(x, &env, n, &err));
        }
        saved_take(&s[i], x);
        if (i == 0) {
            x->ops->free(x);
        }
        qv__pool_close(pool);
    }
    assert_true(saved_equal(&s[0], &s[1]));
    struct qv__index *y = NULL;
    struct qv__index_parts parts = saved_parts(&s[0]);
    struct qv__index_env env = env_make(mem, NULL, 1);
    check_ok(graph_ops()->open(&x->params, &env, &d.v, 5000, &parts, &y, &err));
    check_ok(y->ops->validate(y, &err));
    for (uint32_t i = 0; i < queries.n; i++) {
        struct qv__index_hit a[10], b[10];
        uint32_t n_a, n_b;
        struct qv__qctx ctx = ctx_make(mem);
        struct qv__index_query q = {.vector = data_row(&queries, i), .k = 10, .ef = 30, .n = 5000};
        check_ok(x->ops->search(x, &q, &ctx, a, &n_a, &err));
        check_ok(y->ops->search(y, &q, &ctx, b, &n_b, &err));
        assert_int_equal(n_a, n_b);
        assert_memory_equal(a, b, n_a * sizeof *a);
    }
    y->ops->free(y);
    x->ops->free(x);
    saved_free(&s[0]);
    saved_free(&s[1]);
    data_free(&d);
    data_free(&queries);
    qv__mem_close(mem);
}

/* A search told n sees ordinals below n only, and still gets all it asked for. */
static void test_older_reader(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(8000, 8, QV__L2, 31);
    fill_uniform(&d, 1);
    struct qv__index *x = graph_create(mem, &d, 8, 40, 8000);
    struct qv__index_env env = env_make(mem, NULL, 1);
    check_ok(x->ops->insert(x, &env, 8000, &err));
    struct qv__index_hit hits[10];
    static const uint32_t counts[] = {0, 1, 2, 11, 500, 5000, 7990, 8000, 9000};
    for (size_t c = 0; c < QV_ARRAY_LEN(counts); c++) {
        for (uint32_t i = 0; i < 20; i++) {
            struct qv__qctx ctx = ctx_make(mem);
            struct qv__index_query q = {
                .vector = data_row(&d, i * 400), .k = 10, .ef = 30, .n = counts[c]};
            uint32_t n_hits;
            check_ok(x->ops->search(x, &q, &ctx, hits, &n_hits, &err));
            assert_int_equal(n_hits, QV_MIN(counts[c], 10));
            check_hits(&d, &q, hits, n_hits);
        }
    }
    x->ops->free(x);
    data_free(&d);
    qv__mem_close(mem);
}

/* ---- readers beside the writer ---- */

struct shared {
    struct qv__mem *mem;
    struct data *d;
    struct qv__index *x;
    _Atomic bool stop;
    _Atomic uint64_t n_searches;
};

static void reader_main(void *arg)
{
    struct shared *s = arg;
    struct qv_err err;
    struct qv__index_hit hits[10];
    uint64_t *allow = allow_make(s->d->n);
    for (uint32_t i = 0; i < s->d->n; i += 2) {
        qv__bit_set(allow, i);
    }
    for (uint32_t round = 0; !s->stop || round < 50; round++) {
        uint32_t n = qv__index_count(s->x);
        struct qv__qctx ctx = ctx_make(s->mem);
        struct qv__index_query q = {.vector = data_row(s->d, round % 50),
                                    .k = 10,
                                    .ef = 24,
                                    .allow = round % 3 == 0 ? allow : NULL,
                                    .allow_count = (n + 1) / 2,
                                    .n = n};
        uint32_t n_hits;
        check_ok(s->x->ops->search(s->x, &q, &ctx, hits, &n_hits, &err));
        uint32_t n_want = QV_MIN(q.allow ? (n + 1) / 2 : n, 10);
        assert_int_equal(n_hits, n_want);
        check_hits(s->d, &q, hits, n_hits);
        s->n_searches++;
        if (round % 16 == 0) {
            struct qv__index_info info;
            s->x->ops->describe(s->x, &info);
        }
    }
    free(allow);
}

static void test_readers_beside_writer(void **state)
{
    (void)state;
    enum { READERS = 3, ROWS = SANITIZED ? 6000 : 20000 };
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv__pool *pool;
    struct qv_err err;
    check_ok(qv__pool_create(mem, 1, &pool, &err));
    struct data d = data_make(ROWS, 12, QV__L2, 8);
    fill_uniform(&d, 1);
    struct shared s = {.mem = mem, .d = &d, .x = graph_create(mem, &d, 6, 32, 1000000)};
    struct qv__thread threads[READERS];
    for (int i = 0; i < READERS; i++) {
        check_ok(qv__thread_start(&threads[i], "reader", reader_main, &s, &err));
    }
    struct qv__index_env env = env_make(mem, pool, 2);
    for (uint32_t n = 0; n < ROWS;) {
        n = QV_MIN(n + 1 + n % 300, ROWS);
        check_ok(s.x->ops->insert(s.x, &env, n, &err));
    }
    s.stop = true;
    for (int i = 0; i < READERS; i++) {
        qv__thread_join(&threads[i]);
    }
    check_ok(s.x->ops->validate(s.x, &err));
    print_message("%llu searches beside %d inserts\n", (unsigned long long)s.n_searches, ROWS);
    s.x->ops->free(s.x);
    qv__pool_close(pool);
    assert_int_equal(qv__mem_used(mem), 0);
    data_free(&d);
    qv__mem_close(mem);
}

/* ---- failures ---- */

static void test_insert_cancelled(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(2000, 8, QV__L2, 31);
    fill_uniform(&d, 1);
    struct qv__index *x = graph_create(mem, &d, 8, 40, 2000);
    _Atomic bool cancel = false;
    struct qv__index_env env = env_make(mem, NULL, 1);
    env.cancel = &cancel;
    check_ok(x->ops->insert(x, &env, 500, &err));
    cancel = true;
    assert_int_equal(x->ops->insert(x, &env, 2000, &err), QV_ECANCELLED);
    assert_int_equal(qv__index_count(x), 500);
    check_ok(x->ops->validate(x, &err));
    cancel = false;
    check_ok(x->ops->insert(x, &env, 2000, &err));
    assert_int_equal(qv__index_count(x), 2000);
    check_ok(x->ops->validate(x, &err));
    assert_true(recall_of(x, &d, &d, 1, 40, NULL, mem) >= 0.99);
    x->ops->free(x);
    data_free(&d);
    qv__mem_close(mem);
}

/* The n-th allocation fails, for every n: what was linked stays, the call can be repeated, and the
 * graph ends up as if nothing had happened. */
static void test_insert_without_memory(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct data d = data_make(1300, 4, QV__L2, 31);
    fill_uniform(&d, 1);
    struct qv__index_env env = env_make(mem, NULL, 1);
    for (int sticky = 0; sticky < 2; sticky++) {
        bool untouched = false;
        for (uint64_t nth = 1; !untouched; nth++) {
            struct qv__index *x = graph_create(mem, &d, 4, 16, 100000);
            qv__mem_fail_at(mem, nth, sticky);
            qv_status st = x->ops->insert(x, &env, d.n, &err);
            untouched = st == QV_OK;
            if (!untouched) {
                assert_int_equal(st, QV_ENOMEM);
            }
            qv__mem_fail_at(mem, 0, false);
            check_ok(x->ops->validate(x, &err));
            uint32_t n = qv__index_count(x);
            assert_true(n < d.n || untouched);
            check_ok(x->ops->insert(x, &env, d.n, &err));
            check_ok(x->ops->validate(x, &err));
            assert_int_equal(qv__index_count(x), d.n);
            if (nth % 10 == 1) {
                assert_true(recall_of(x, &d, &d, 1, 30, NULL, mem) >= 0.97);
            }
            x->ops->free(x);
            assert_int_equal(qv__mem_used(mem), 0);
        }
    }
    data_free(&d);
    qv__mem_close(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_is_small),        cmocka_unit_test(test_recall_any_step),
        cmocka_unit_test(test_new_cluster_at_once),   cmocka_unit_test(test_equal_vectors),
        cmocka_unit_test(test_replay_and_save),       cmocka_unit_test(test_older_reader),
        cmocka_unit_test(test_readers_beside_writer), cmocka_unit_test(test_insert_cancelled),
        cmocka_unit_test(test_insert_without_memory),
    };
    return run_with_and_without_codes("graph_insert", tests, QV_ARRAY_LEN(tests));
}
