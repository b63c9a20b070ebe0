/* test_clock_system.c: the clock and the entropy of this machine. */
#include "io_test.h"

static void test_clock(void **state)
{
    (void)state;
    const struct qv__clock *c = qv__clock_system();
    assert_ptr_equal(c, qv__clock_system());
    uint64_t last = qv__mono_ns(c), first = last;
    while (last == first) { /* it moves */
        uint64_t now = qv__mono_ns(c);
        assert_true(now >= last);
        last = now;
    }
    assert_true(qv__wall_ms(c) > 1577836800000u); /* later than 2020 */
}

static void test_entropy(void **state)
{
    (void)state;
    uint8_t a[1000] = {0}, b[1000] = {0}, guard = 0;
    assert_ok(qv__os_entropy(a, sizeof a, ERR));
    assert_ok(qv__os_entropy(b, sizeof b, ERR));
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(a + 900, b + 900, 100); /* all of it was filled */
    unsigned seen[256] = {0};
    for (size_t i = 0; i < sizeof a; i++) {
        seen[a[i]]++;
    }
    for (size_t i = 0; i < 256; i++) {
        assert_true(seen[i] < 50);
    }
    assert_ok(qv__os_entropy(&guard, 0, ERR));
    assert_int_equal(guard, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_entropy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
