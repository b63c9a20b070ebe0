/* test_arena.c: bump allocation: no overlap, reuse, limits, refused memory. */
#include "base_test.h"

#include "base/arena.h"
#include "base/poison.h"
#include "base/rng.h"

static struct qv__mem *root;

static int setup(void **state)
{
    (void)state;
    root = qv__mem_root("root", 0);
    return root ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    size_t used = qv__mem_used(root);
    qv__mem_close(root);
    return used == 0 ? 0 : -1;
}

struct block {
    uint8_t *p;
    size_t n;
    uint8_t fill;
};

static void blocks_do_not_overlap(void **state)
{
    (void)state;
    enum { BLOCKS = 3000 };
    static struct block blocks[BLOCKS];
    struct qv__rng rng;
    qv__rng_seed(&rng, 7);
    struct qv__arena a;
    qv__arena_init(&a, root);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < BLOCKS; i++) {
            size_t n = (size_t)qv__rng_below(&rng, i % 100 == 0 ? 100000 : 200);
            blocks[i] = (struct block){qv__arena_alloc(&a, n), n, (uint8_t)qv__rng_u64(&rng)};
            assert_non_null(blocks[i].p);
            assert_int_equal((uintptr_t)blocks[i].p % 16, 0);
            memset(blocks[i].p, blocks[i].fill, n);
        }
        for (size_t i = 0; i < BLOCKS; i++) {
            for (size_t k = 0; k < blocks[i].n; k++) {
                assert_int_equal(blocks[i].p[k], blocks[i].fill);
            }
        }
        qv__arena_reset(&a);
        assert_int_equal(a.used_bytes, 0);
    }
    qv__arena_free(&a);
}

static void reset_keeps_one_chunk_and_no_giant(void **state)
{
    (void)state;
    struct qv__arena a;
    qv__arena_init(&a, root);
    assert_non_null(qv__arena_alloc(&a, 100));
    assert_non_null(qv__arena_alloc(&a, 8 << 20));
    assert_true(qv__mem_used(root) > 8 << 20);
    qv__arena_reset(&a);
    size_t kept = qv__mem_used(root);
    assert_true(kept > 0 && kept <= (1 << 20) + 64);
    uint64_t tries = qv__mem_allocations(root);
    assert_non_null(qv__arena_alloc(&a, 100));
    assert_int_equal(qv__mem_allocations(root), tries);
    qv__arena_free(&a);
    assert_int_equal(qv__mem_used(root), 0);
    /* Usable after free, and reset of an empty one is fine. */
    qv__arena_reset(&a);
    assert_non_null(qv__arena_alloc(&a, 0));
    qv__arena_free(&a);
    qv__arena_free(&a);
    /* Only a giant: nothing worth keeping. */
    assert_non_null(qv__arena_alloc(&a, 8 << 20));
    qv__arena_reset(&a);
    assert_int_equal(qv__mem_used(root), 0);
    assert_non_null(qv__arena_alloc(&a, 10));
    qv__arena_free(&a);
}

static void chunks_grow_so_requests_for_memory_are_few(void **state)
{
    (void)state;
    struct qv__arena a;
    qv__arena_init(&a, root);
    uint64_t before = qv__mem_allocations(root);
    for (int i = 0; i < 100000; i++) {
        assert_non_null(qv__arena_alloc(&a, 48));
    }
    assert_true(qv__mem_allocations(root) - before < 32);
    qv__arena_free(&a);
}

static void zeroed_blocks_are_zero_after_reuse(void **state)
{
    (void)state;
    struct qv__arena a;
    qv__arena_init(&a, root);
    for (int round = 0; round < 3; round++) {
        uint8_t *p = qv__arena_zalloc(&a, 500), *q = qv__arena_calloc(&a, 50, 10);
        for (size_t i = 0; i < 500; i++) {
            assert_int_equal(p[i] | q[i], 0);
        }
        memset(p, 0xff, 500);
        memset(q, 0xff, 500);
        qv__arena_reset(&a);
    }
    qv__arena_free(&a);
}

static void limits_and_absurd_sizes_are_refused(void **state)
{
    (void)state;
    struct qv__arena a;
    qv__arena_init(&a, root);
    a.limit_bytes = 1000;
    assert_non_null(qv__arena_alloc(&a, 600));
    assert_null(qv__arena_alloc(&a, 600));
    assert_non_null(qv__arena_alloc(&a, 300));
    assert_true(a.used_bytes <= 1000);
    assert_null(qv__arena_alloc(&a, 1001));
    qv__arena_reset(&a);
    assert_non_null(qv__arena_alloc(&a, 900));
    a.limit_bytes = 0;
    size_t used = a.used_bytes;
    assert_null(qv__arena_alloc(&a, SIZE_MAX));
    assert_null(qv__arena_alloc(&a, SIZE_MAX - 15));
    assert_null(qv__arena_calloc(&a, SIZE_MAX / 2, 3));
    assert_null(qv__arena_strndup(&a, "", SIZE_MAX));
    assert_int_equal(a.used_bytes, used);
    char *s = qv__arena_strndup(&a, "hello", 4);
    assert_string_equal(s, "hell");
    assert_string_equal(qv__arena_strndup(&a, NULL, 0), "");
    qv__arena_free(&a);
}

static void refused_memory_leaves_the_arena_usable(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct qv__arena a;
        qv__arena_init(&a, root);
        qv__mem_fail_at(root, n, false);
        bool has_failed = false;
        for (int i = 0; i < 400; i++) {
            size_t used = a.used_bytes;
            size_t size = i % 50 == 49 ? 70000 : 100;
            uint8_t *p = qv__arena_alloc(&a, size);
            if (!p) {
                has_failed = true;
                assert_int_equal(a.used_bytes, used);
                p = qv__arena_alloc(&a, size);
            }
            assert_non_null(p);
            memset(p, 1, size);
        }
        qv__mem_fail_at(root, 0, false);
        qv__arena_free(&a);
        assert_int_equal(qv__mem_used(root), 0);
        if (!has_failed) {
            assert_true(n > 8);
            break;
        }
    }
}

#ifdef QV__ASAN
static void touch(void *p)
{
    *(volatile uint8_t *)p = 1;
}
#endif

static void overruns_inside_a_chunk_are_seen(void **state)
{
    (void)state;
#ifdef QV__ASAN
    struct qv__arena a;
    qv__arena_init(&a, root);
    uint8_t *p = qv__arena_alloc(&a, 21), *q = qv__arena_alloc(&a, 32);
    uint8_t *big = qv__arena_alloc(&a, 100000);
    assert_false(aborts_or_exits(touch, p + 20));
    assert_true(aborts_or_exits(touch, p + 21));
    assert_false(aborts_or_exits(touch, q + 31));
    assert_true(aborts_or_exits(touch, q + 32));
    assert_false(aborts_or_exits(touch, big + 99999));
    assert_true(aborts_or_exits(touch, big + 100000));
    qv__arena_reset(&a);
    assert_true(aborts_or_exits(touch, p));
    qv__arena_free(&a);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(blocks_do_not_overlap, setup, teardown),
        cmocka_unit_test_setup_teardown(reset_keeps_one_chunk_and_no_giant, setup, teardown),
        cmocka_unit_test_setup_teardown(chunks_grow_so_requests_for_memory_are_few, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(zeroed_blocks_are_zero_after_reuse, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_and_absurd_sizes_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(overruns_inside_a_chunk_are_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(refused_memory_leaves_the_arena_usable, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
