/* test_counters.c: counters and the histogram: relative error, quantiles, threads. */
#include "base_test.h"

#include "base/counters.h"
#include "base/rng.h"
#include "base/thread.h"

static struct qv__hist h;

static int clear(void **state)
{
    (void)state;
    memset(&h, 0, sizeof h);
    return 0;
}

static void an_empty_histogram_is_zero(void **state)
{
    (void)state;
    assert_int_equal(qv__hist_quantile(&h, 0.5), 0);
    assert_int_equal(qv__hist_count(&h), 0);
    assert_int_equal(qv__hist_sum(&h), 0);
    assert_int_equal(qv__hist_max(&h), 0);
}

/* Every edge of every power of two, each alone: the answer is never below the value, and never more
 * than a sixteenth above it. */
static void error_is_at_most_a_sixteenth(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        for (uint64_t sixteenth = 0; sixteenth < 16; sixteenth++) {
            uint64_t low = (1ull << bit) + (bit >= 4 ? sixteenth << (bit - 4) : 0);
            for (uint64_t v = low - 1; v != low + 2; v++) {
                memset(&h, 0, sizeof h);
                qv__hist_add(&h, v);
                uint64_t got = qv__hist_quantile(&h, 0.5);
                assert_true(got >= v);
                assert_true(got - v <= v / 16);
                assert_true(qv__hist_max(&h) == v && qv__hist_sum(&h) == v);
            }
        }
    }
    memset(&h, 0, sizeof h);
    qv__hist_add(&h, UINT64_MAX);
    assert_true(qv__hist_quantile(&h, 1) == UINT64_MAX);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void quantiles_match_sorted_values(void **state)
{
    (void)state;
    enum { N = 5000 };
    static uint64_t values[N];
    struct qv__rng rng;
    qv__rng_seed(&rng, 21);
    uint64_t sum = 0;
    for (size_t i = 0; i < N; i++) {
        values[i] = qv__rng_u64(&rng) >> (10 + qv__rng_below(&rng, 50));
        sum += values[i];
        qv__hist_add(&h, values[i]);
    }
    qsort(values, N, sizeof values[0], by_value);
    for (int permille = 0; permille <= 1000; permille++) {
        double q = permille / 1000.0;
        size_t rank = (size_t)(q * N);
        rank = (double)rank < q * N ? rank + 1 : rank;
        uint64_t exact = values[rank ? rank - 1 : 0];
        uint64_t got = qv__hist_quantile(&h, q);
        assert_true(got >= exact && got - exact <= exact / 16);
    }
    assert_int_equal(qv__hist_count(&h), N);
    assert_true(qv__hist_sum(&h) == sum);
    assert_true(qv__hist_max(&h) == values[N - 1]);
    assert_true(qv__hist_quantile(&h, -1) == qv__hist_quantile(&h, 0));
    assert_true(qv__hist_quantile(&h, 2) == qv__hist_quantile(&h, 1));
    assert_true(qv__hist_quantile(&h, __builtin_nan("")) == qv__hist_quantile(&h, 0));
}

static struct qv__counter counter;

static void add_many(void *arg)
{
    uint64_t base = *(uint64_t *)arg;
    for (uint64_t i = 0; i < 20000; i++) {
        qv__count(&counter, 2);
        qv__hist_add(&h, base + i % 100);
    }
}

static void threads_lose_no_count(void **state)
{
    (void)state;
    struct qv__thread t[3];
    uint64_t bases[] = {0, 1000, 100000};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(qv__thread_start(&t[i], "count", add_many, &bases[i], NULL), QV_OK);
    }
    for (int i = 0; i < 100; i++) {
        assert_true(qv__hist_quantile(&h, 0.99) <= 107000); /* readable while it is written */
    }
    for (size_t i = 0; i < 3; i++) {
        qv__thread_join(&t[i]);
    }
    assert_int_equal(qv__counted(&counter), 120000);
    assert_int_equal(qv__hist_count(&h), 60000);
    assert_int_equal(qv__hist_max(&h), 100099);
    assert_int_equal(qv__hist_sum(&h), 3ull * 200 * 4950 + 20000ull * (1000 + 100000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_histogram_is_zero, clear),
        cmocka_unit_test_setup(error_is_at_most_a_sixteenth, clear),
        cmocka_unit_test_setup(quantiles_match_sorted_values, clear),
        cmocka_unit_test_setup(threads_lose_no_count, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
