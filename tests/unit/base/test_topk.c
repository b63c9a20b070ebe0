/* test_topk.c: the k best against a full sort, ties, bounds. */
#include "base_test.h"

#include <math.h>

#include "base/rng.h"
#include "base/topk.h"

enum { STREAM = 1000 };

static int by_rank(const void *a, const void *b)
{
    const struct qv__hit *x = a, *y = b;
    return qv__hit_less(*x, *y) ? -1 : qv__hit_less(*y, *x);
}

static void keeps_the_best_of_any_order(void **state)
{
    (void)state;
    static struct qv__hit all[STREAM], heap[STREAM + 5];
    static const size_t ks[] = {0, 1, 2, 3, 10, 100, STREAM - 1, STREAM, STREAM + 5};
    struct qv__rng rng;
    for (uint64_t seed = 0; seed < 20; seed++) {
        qv__rng_seed(&rng, seed);
        for (size_t i = 0; i < STREAM; i++) {
            /* Few distances, so that ties are common; some negative, some infinite. */
            uint64_t d = qv__rng_below(&rng, 50);
            float dist = d == 49 ? INFINITY : d == 48 ? -INFINITY : (float)d - 10.0f;
            all[i] = (struct qv__hit){dist, qv__rng_below(&rng, 400)};
        }
        for (size_t k = 0; k < QV_ARRAY_LEN(ks); k++) {
            struct qv__topk t;
            qv__topk_init(&t, heap, ks[k]);
            for (size_t i = 0; i < STREAM; i++) {
                float bound = qv__topk_bound(&t);
                bool is_kept = qv__topk_push(&t, all[i].dist, all[i].key);
                assert_false(is_kept && all[i].dist > bound);
                assert_false(!is_kept && all[i].dist < bound);
            }
            static struct qv__hit sorted[STREAM];
            memcpy(sorted, all, sizeof all);
            qsort(sorted, STREAM, sizeof sorted[0], by_rank);
            size_t n = qv__topk_sort(&t);
            assert_int_equal(n, QV_MIN(ks[k], (size_t)STREAM));
            for (size_t i = 0; i < n; i++) {
                assert_true(heap[i].dist == sorted[i].dist);
                assert_true(heap[i].key == sorted[i].key);
            }
        }
    }
}

static void the_bound_follows_the_worst_kept(void **state)
{
    (void)state;
    struct qv__hit heap[2];
    struct qv__topk t;
    qv__topk_init(&t, heap, 2);
    assert_true(qv__topk_bound(&t) == INFINITY);
    assert_true(qv__topk_push(&t, 5, 1));
    assert_true(qv__topk_bound(&t) == INFINITY);
    assert_true(qv__topk_push(&t, 3, 2));
    assert_true(qv__topk_bound(&t) == 5);
    assert_false(qv__topk_push(&t, 5, 9)); /* a tie with a larger key */
    assert_true(qv__topk_push(&t, 5, 0));  /* a tie with a smaller one */
    assert_true(qv__topk_push(&t, 4, 7));
    assert_true(qv__topk_bound(&t) == 4);
    qv__topk_init(&t, NULL, 0);
    assert_true(qv__topk_bound(&t) == -INFINITY);
    assert_false(qv__topk_push(&t, -INFINITY, 0));
    assert_int_equal(qv__topk_sort(&t), 0);
}

static void push_nan(void *arg)
{
    struct qv__hit heap[2];
    struct qv__topk t;
    qv__topk_init(&t, heap, 2);
    *(bool *)arg = qv__topk_push(&t, NAN, 1);
}

static void a_nan_is_refused(void **state)
{
    (void)state;
    bool is_kept = true;
#ifdef NDEBUG
    push_nan(&is_kept);
    assert_false(is_kept);
#else
    assert_true(aborts(push_nan, &is_kept));
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_best_of_any_order),
        cmocka_unit_test(the_bound_follows_the_worst_kept),
        cmocka_unit_test(a_nan_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
