/* test_nearness.c: orders in which near vectors lie side by side: nothing lost, the same for any
 * number of threads, near for every datatype, and its ends. */
#include "index/nearness.h"
#include "typed_fixture.h"

enum { N = 20000, DIM = 24, CENTRES = 200 };

static const void **addresses(struct typed *t)
{
    const void **rows = calloc((size_t)t->n + 1, sizeof *rows);
    assert_non_null(rows);
    for (uint32_t i = 0; i < t->n; i++) {
        rows[i] = qv__vectors_at(typed_run(t), i);
    }
    return rows;
}

static uint32_t *identity(uint32_t n)
{
    uint32_t *items = calloc((size_t)n + 1, sizeof *items);
    assert_non_null(items);
    for (uint32_t i = 0; i < n; i++) {
        items[i] = i;
    }
    return items;
}

static void check_permutation(const uint32_t *items, uint32_t n)
{
    uint8_t *met = calloc((size_t)n + 1, 1);
    assert_non_null(met);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(items[i] < n && !met[items[i]]);
        met[items[i]] = 1;
    }
    free(met);
}

static double exact(const struct typed *t, uint32_t a, uint32_t b)
{
    double sum = 0;
    for (uint32_t k = 0; k < t->dim; k++) {
        double d = (double)(typed_row(t, a)[k] - typed_row(t, b)[k]);
        sum += d * d;
    }
    return sum;
}

/* Mean squared distance of neighbours in the order, over that of any two. */
static double roughness(const struct typed *t, const uint32_t *items)
{
    double beside = 0, apart = 0;
    for (uint32_t i = 0; i + 1 < t->n; i++) {
        beside += exact(t, items[i], items[i + 1]);
        apart += exact(t, i, (uint32_t)((i * UINT64_C(7919) + 13) % t->n));
    }
    return beside / apart;
}

static qv_status order(struct typed *t, struct qv__pool *pool, struct qv__mem *mem,
                       const _Atomic bool *cancel, uint32_t *items, struct qv_err *err)
{
    struct qv__index_env env = env_make(mem, pool, 0);
    env.cancel = cancel;
    const void **rows = addresses(t);
    qv_status st = qv__nearness_order(&env, typed_run(t), rows, 5, items, t->n, err);
    free(rows);
    return st;
}

static void test_near_ones_are_side_by_side(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv__pool *pool = NULL;
    struct qv_err err;
    check_ok(qv__pool_create(mem, 3, &pool, &err));
    for (uint8_t datatype = QV__F32; datatype <= QV__BIT; datatype++) {
        enum qv__metric metric = datatype == QV__BIT ? QV__HAMMING : QV__DOT;
        struct typed t = typed_clustered(N, DIM, datatype, metric, CENTRES, false, 9);
        uint32_t *alone = identity(N), *shared = identity(N);
        check_ok(order(&t, NULL, mem, NULL, alone, &err));
        check_ok(order(&t, pool, mem, NULL, shared, &err));
        check_permutation(alone, N);
        assert_memory_equal(alone, shared, N * sizeof *alone);
        double rough = roughness(&t, alone);
        print_message("datatype %d: %.3f\n", datatype, rough);
        assert_true(rough < (datatype == QV__BIT ? 0.5 : 0.35));
        free(alone);
        free(shared);
        typed_free(&t);
    }
    qv__pool_close(pool);
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

static void test_few_and_alike(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    static const uint32_t sizes[] = {0, 1, 2, 31, 32, 33, 64, 500, 17000};
    for (size_t i = 0; i < QV_ARRAY_LEN(sizes); i++) {
        for (int alike = 0; alike < 2; alike++) {
            struct typed t = typed_clustered(sizes[i], 3, QV__F32, QV__L2, 1, true, 4);
            for (uint32_t k = 0; alike && k < sizes[i]; k++) {
                typed_put(&t, k, (float[3]){1, 2, 3});
            }
            uint32_t *items = identity(sizes[i]);
            check_ok(order(&t, NULL, mem, NULL, items, &err));
            check_permutation(items, sizes[i]);
            free(items);
            typed_free(&t);
        }
    }
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

/* Some of the vectors only, in the numbers given. */
static void test_some_of_them(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct typed t = typed_clustered(1000, 8, QV__F32, QV__L2, 20, false, 4);
    struct qv__index_env env = env_make(mem, NULL, 0);
    const void **rows = addresses(&t);
    uint32_t items[300], sum = 0;
    for (uint32_t i = 0; i < 300; i++) {
        items[i] = 3 * i;
        rows[3 * i + 1] = NULL; /* nobody asks for these */
    }
    check_ok(qv__nearness_order(&env, typed_run(&t), rows, 5, items, 300, &err));
    for (uint32_t i = 0; i < 300; i++) {
        assert_true(items[i] % 3 == 0 && items[i] < 900);
        sum += items[i];
    }
    assert_int_equal(sum, 3 * 299 * 300 / 2);
    free(rows);
    typed_free(&t);
    qv__mem_close(mem);
}

static void test_cancelled_and_without_memory(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    struct qv_err err;
    struct typed t = typed_clustered(N, 8, QV__F32, QV__L2, 20, false, 4);
    uint32_t *items = identity(N);
    _Atomic bool cancel = true;
    assert_int_equal(order(&t, NULL, mem, &cancel, items, &err), QV_ECANCELLED);
    check_permutation(items, N);
    check_no_leak(mem, 0);
    for (size_t limit = 1; limit < 200000; limit *= 2) {
        struct qv__mem *small = qv__mem_child(mem, "small", limit);
        qv_status st = order(&t, NULL, small, NULL, items, &err);
        assert_true(st == QV_ENOMEM || st == QV_OK);
        check_permutation(items, N);
        check_no_leak(small, 0);
        qv__mem_close(small);
    }
    free(items);
    typed_free(&t);
    qv__mem_close(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_near_ones_are_side_by_side),
        cmocka_unit_test(test_few_and_alike),
        cmocka_unit_test(test_some_of_them),
        cmocka_unit_test(test_cancelled_and_without_memory),
    };
    return cmocka_run_group_tests_name("nearness", tests, NULL, NULL);
}
