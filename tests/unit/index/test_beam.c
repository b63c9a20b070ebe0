/* test_beam.c: blocks of keys offered to a sorted beam, held against one key after the other. */
#include "index_fixture.h"

#include "index/graph_walk.h"

enum { WIDTH_MAX = 96, ROUNDS = 40 };

static qv__keys_merge_fn merge;

struct beam {
    struct qv__graph_scratch s;
    uint64_t keys[WIDTH_MAX + QV__GRAPH_BLOCK];
};

static void beam_begin(struct beam *b, uint32_t width)
{
    *b = (struct beam){.s = {.is_linear = true, .ef = width, .merge = merge}};
    b->s.best = b->keys;
}

/* As a walk does: what is below the bound, then what is too much goes. */
static void offer_block(struct beam *b, const uint64_t *keys, uint32_t n)
{
    uint64_t good[QV__GRAPH_BLOCK], bound = qv__beam_bound(&b->s);
    uint32_t n_good = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (keys[i] < bound) {
            good[n_good++] = keys[i];
        }
    }
    qv__beam_offer_block(&b->s, good, n_good);
    b->s.n_best = QV_MIN(b->s.n_best, b->s.ef);
}

static void offer_singly(struct beam *b, const uint64_t *keys, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (keys[i] < qv__beam_bound(&b->s)) {
            qv__beam_offer_linear(&b->s, keys[i]);
        }
    }
}

/* Mark the first open ones as expanded. */
static void expand(struct beam *b, uint32_t n)
{
    while (n-- > 0 && b->s.next_open < b->s.n_best) {
        b->s.best[b->s.next_open] |= 1;
        while (++b->s.next_open < b->s.n_best && b->s.best[b->s.next_open] & 1) {
        }
    }
}

static void test_as_one_by_one(void **state)
{
    (void)state;
    struct qv__rng r;
    qv__rng_seed(&r, 3);
    for (uint32_t width = 1; width <= WIDTH_MAX; width++) {
        struct beam one, all;
        beam_begin(&one, width);
        beam_begin(&all, width);
        uint32_t node = 0;
        for (uint32_t round = 0; round < ROUNDS; round++) {
            uint64_t keys[QV__GRAPH_BLOCK];
            uint32_t n = (uint32_t)qv__rng_below(&r, QV__GRAPH_BLOCK + 1);
            for (uint32_t i = 0; i < n; i++) { /* few distances: many are equal */
                keys[i] = qv__key((float)qv__rng_below(&r, 40), ++node);
            }
            offer_singly(&one, keys, n);
            offer_block(&all, keys, n);
            assert_int_equal(all.s.n_best, one.s.n_best);
            assert_memory_equal(all.keys, one.keys, one.s.n_best * sizeof *one.keys);
            assert_int_equal(all.s.next_open, one.s.next_open);
            uint32_t n_expanded = (uint32_t)qv__rng_below(&r, 4);
            expand(&one, n_expanded);
            expand(&all, n_expanded);
        }
    }
}

/* Walks over fused records may meet a node twice, at the same distance too. */
static void test_equal_keys(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= QV__GRAPH_BLOCK; n++) {
        struct beam b;
        uint64_t keys[QV__GRAPH_BLOCK];
        beam_begin(&b, WIDTH_MAX);
        for (int round = 0; round < 2; round++) {
            for (uint32_t i = 0; i < n; i++) {
                keys[i] = qv__key((float)(i / 2), i / 2);
            }
            offer_block(&b, keys, n);
        }
        assert_int_equal(b.s.n_best, QV_MIN(2 * n, (uint32_t)WIDTH_MAX));
        for (uint32_t i = 0; i < b.s.n_best; i++) {
            assert_true(b.keys[i] == qv__key((float)(i / 4), i / 4));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_one_by_one),
        cmocka_unit_test(test_equal_keys),
    };
    int failed = 0;
    for (int isa = 0; isa < QV__ISAS; isa++) {
        const struct qv__simd *simd = qv__simd_table((enum qv__isa)isa);
        if (simd) {
            merge = qv__keys_merge_of(simd);
            failed += cmocka_run_group_tests_name(simd->name, tests, NULL, NULL);
        }
    }
    return failed;
}
