/* test_rate.c: a bucket of tokens: bursts, filling, waiting, other sizes. */
#include <math.h>

#include "base/rate.h"
#include "base_test.h"

#define SECOND UINT64_C(1000000000)

static void test_bucket(void **state)
{
    struct qv__rate r;
    double left = -1, wait_s = -1;
    (void)state;
    qv__rate_init(&r);
    /* Full at first: 60 a minute pass at once, the next one waits for a second. */
    for (unsigned i = 0; i < 6; i++) {
        assert_true(qv__rate_take(&r, 60, 10, SECOND, &left, &wait_s));
    }
    assert_true(left == 0);
    assert_false(qv__rate_take(&r, 60, 1, SECOND, &left, &wait_s));
    assert_true(fabs(wait_s - 1) < 1e-9 && left == 0);
    assert_false(qv__rate_take(&r, 60, 3, 2 * SECOND, &left, &wait_s));
    assert_true(fabs(wait_s - 2) < 1e-9 && fabs(left - 1) < 1e-9);
    assert_true(qv__rate_take(&r, 60, 1, 2 * SECOND, &left, &wait_s));
    /* It never holds more than a minute's, and never enough for more than that. */
    assert_true(qv__rate_take(&r, 60, 60, 1000 * SECOND, &left, &wait_s));
    assert_false(qv__rate_take(&r, 60, 1, 1000 * SECOND, &left, &wait_s));
    assert_false(qv__rate_take(&r, 60, 61, 5000 * SECOND, &left, &wait_s));
    assert_true(isinf(wait_s));
    /* Time that runs backwards fills nothing and takes nothing. */
    assert_true(qv__rate_take(&r, 60, 60, 5000 * SECOND, &left, &wait_s));
    assert_false(qv__rate_take(&r, 60, 1, SECOND, &left, &wait_s));
    /* Another size, or a reset, starts full. */
    assert_true(qv__rate_take(&r, 2, 2, 5000 * SECOND, &left, &wait_s));
    assert_false(qv__rate_take(&r, 2, 1, 5000 * SECOND, &left, &wait_s));
    qv__rate_reset(&r);
    assert_true(qv__rate_take(&r, 2, 2, 5000 * SECOND, &left, &wait_s));
    qv__rate_destroy(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bucket)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
