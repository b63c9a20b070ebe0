/* test_row_cache.c: what the cache of vectors copies and when, what it gives up, what it never
 * does: hand out a row of another ordinal, take more memory than it may, or fail where memory
 * does. */
#include <pthread.h>
#include <stdatomic.h>

#include "index/row_cache.h"
#include "index_fixture.h"

enum { N = 6000, WORDS = 25, ROW = WORDS * 4, LIMIT = N / QV__ROW_CACHE_SHARE };

/* Row o is o, o + 1, ... */
static uint32_t *rows_make(void)
{
    uint32_t *rows = malloc((size_t)N * ROW);
    assert_non_null(rows);
    for (uint32_t o = 0; o < N; o++) {
        for (uint32_t i = 0; i < WORDS; i++) {
            rows[o * WORDS + i] = o + i;
        }
    }
    return rows;
}

/* True if the row was there; it must be the right one. */
static bool read_row(struct qv__row_cache *c, const uint32_t *rows, uint32_t ord)
{
    uint32_t slot;
    const void *row = qv__row_cache_pin(c, ord, &slot);
    if (!row) {
        assert_int_equal(slot, QV__ROW_CACHE_NONE);
        qv__row_cache_offer(c, ord, rows + (size_t)ord * WORDS);
        return false;
    }
    assert_memory_equal(row, rows + (size_t)ord * WORDS, ROW);
    qv__row_cache_unpin(c, slot);
    return true;
}

static void test_second_time(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    uint32_t *rows = rows_make();
    struct qv__row_cache *c = qv__row_cache_new(mem, N, ROW);
    assert_non_null(c);
    for (uint32_t o = 0; o < LIMIT; o++) {
        assert_false(read_row(c, rows, o));
        assert_false(read_row(c, rows, o));
        assert_true(read_row(c, rows, o));
    }
    assert_int_equal(qv__row_cache_count(c), LIMIT);
    qv__row_cache_free(c);
    free(rows);
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

/* A full one holds no more, keeps what is hit again and again, and takes what is new in the end. */
static void test_full(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    uint32_t *rows = rows_make(), kept = 0, fresh = 0;
    struct qv__row_cache *c = qv__row_cache_new(mem, N, ROW);
    assert_non_null(c);
    for (uint32_t o = 0; o < LIMIT; o++) {
        read_row(c, rows, o);
        read_row(c, rows, o);
    }
    size_t bytes = qv__row_cache_bytes(c);
    assert_true(bytes <= (size_t)LIMIT * (ROW + 16) + (size_t)N * 8 + (512 << 10));
    for (uint32_t round = 0; round < 60; round++) {
        for (uint32_t o = 0; o < LIMIT / 4; o++) {
            read_row(c, rows, o);
        }
        for (uint32_t o = LIMIT; o < LIMIT + LIMIT / 4; o++) {
            read_row(c, rows, o);
        }
    }
    for (uint32_t o = 0; o < LIMIT / 4; o++) {
        kept += read_row(c, rows, o);
        fresh += read_row(c, rows, LIMIT + o);
    }
    assert_true(kept >= LIMIT / 4 * 9 / 10);
    assert_true(fresh >= LIMIT / 4 / 2);
    assert_int_equal(qv__row_cache_count(c), LIMIT);
    assert_int_equal(qv__row_cache_bytes(c), bytes);
    qv__row_cache_free(c);
    free(rows);
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

/* A pinned row stays whatever is asked for meanwhile. */
static void test_pinned(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    uint32_t *rows = rows_make(), slot;
    struct qv__row_cache *c = qv__row_cache_new(mem, N, ROW);
    assert_non_null(c);
    read_row(c, rows, 7);
    read_row(c, rows, 7);
    const void *row = qv__row_cache_pin(c, 7, &slot);
    assert_non_null(row);
    for (uint32_t round = 0; round < 100; round++) {
        for (uint32_t o = 8; o < N; o++) {
            read_row(c, rows, o);
        }
    }
    assert_memory_equal(row, rows + 7 * WORDS, ROW);
    qv__row_cache_unpin(c, slot);
    qv__row_cache_free(c);
    free(rows);
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

/* Without memory it is not there, or stays as small as it is; under a budget it leaves room. */
static void test_memory(void **state)
{
    (void)state;
    struct qv__mem *mem = qv__mem_root("test", 0);
    uint32_t *rows = rows_make();
    for (uint64_t nth = 1; nth < 12; nth++) {
        qv__mem_fail_at(mem, nth, true);
        struct qv__row_cache *c = qv__row_cache_new(mem, N, ROW);
        for (uint32_t round = 0; c && round < 3; round++) {
            for (uint32_t o = 0; o < N; o++) {
                read_row(c, rows, o);
            }
        }
        qv__mem_fail_at(mem, 0, false);
        qv__row_cache_free(c);
        check_no_leak(mem, 0);
    }
    struct qv__mem *poor = qv__mem_child(mem, "poor", (size_t)LIMIT * ROW * 2);
    struct qv__row_cache *c = qv__row_cache_new(poor, N, ROW);
    for (uint32_t round = 0; c && round < 3; round++) {
        for (uint32_t o = 0; o < N; o++) {
            assert_false(read_row(c, rows, o));
        }
    }
    qv__row_cache_free(c);
    free(rows);
    qv__mem_close(poor);
    qv__mem_close(mem);
}

struct reader {
    struct qv__row_cache *c;
    const uint32_t *rows;
    uint64_t seed, n_hits;
};

static void *read_many(void *arg)
{
    struct reader *r = arg;
    struct qv__rng rng;
    qv__rng_seed(&rng, r->seed);
    for (uint32_t i = 0; i < SCALED(400000); i++) {
        /* Two thirds from what fits, the rest from everywhere. */
        uint64_t below = qv__rng_below(&rng, 3) ? LIMIT : N;
        r->n_hits += read_row(r->c, r->rows, (uint32_t)qv__rng_below(&rng, below));
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    struct qv__mem *mem = qv__mem_root("test", 0);
    uint32_t *rows = rows_make();
    struct qv__row_cache *c = qv__row_cache_new(mem, N, ROW);
    struct reader readers[THREADS];
    pthread_t threads[THREADS];
    assert_non_null(c);
    for (uint32_t i = 0; i < THREADS; i++) {
        readers[i] = (struct reader){.c = c, .rows = rows, .seed = i};
        assert_int_equal(pthread_create(&threads[i], NULL, read_many, &readers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    /* How much they hit depends on who waits for a processor while he copies; afterwards, what is
     * asked for often enough is there. */
    bool is_there = false;
    for (uint32_t i = 0; i < 10000 && !is_there; i++) {
        is_there = read_row(c, rows, N - 1);
    }
    assert_true(is_there);
    qv__row_cache_free(c);
    free(rows);
    check_no_leak(mem, 0);
    qv__mem_close(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_second_time), cmocka_unit_test(test_full),
        cmocka_unit_test(test_pinned),      cmocka_unit_test(test_memory),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
