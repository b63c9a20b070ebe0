/* test_map.c: the hash index against a model, its shape, reserve and failed growth; the hashes. */
#include "base_test.h"

#include "base/map.h"
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

static bool is_same(uint64_t value, const void *key, void *ctx)
{
    (void)ctx;
    return value == *(const uint64_t *)key;
}

/* The invariants of robin-hood hashing, slot by slot. */
static void check_shape(const struct qv__map *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_slots; i++) {
        if (!m->slots[i].place) {
            continue;
        }
        n++;
        size_t mask = m->n_slots - 1;
        size_t d = (i - (size_t)m->slots[i].place) & mask;
        if (d > 0) {
            size_t before = (i - 1) & mask;
            assert_true(m->slots[before].place != 0); /* no hole on the way */
            assert_true(((before - (size_t)m->slots[before].place) & mask) + 1 >= d);
        }
    }
    assert_int_equal(n, m->n);
    assert_true(m->n <= m->n_slots - m->n_slots / 8);
}

enum { KEYS = 2000 };

/* Against an array of flags; `collisions` squeezes all hashes into few homes. */
static void against_model(uint64_t seed, uint64_t collisions)
{
    print_message("seed %d, %d homes\n", (int)seed, (int)collisions);
    static bool has[KEYS];
    memset(has, 0, sizeof has);
    size_t n = 0;
    struct qv__rng rng;
    qv__rng_seed(&rng, seed);
    struct qv__map m;
    qv__map_init(&m, root);
    for (int step = 0; step < 30000; step++) {
        uint64_t k = qv__rng_below(&rng, KEYS);
        uint64_t hash = collisions ? k % collisions : qv__hash_u64(k); /* 0 is a legal hash here */
        uint64_t *v = qv__map_find(&m, hash, is_same, &k, NULL);
        assert_int_equal(v != NULL, has[k]);
        if (v) {
            assert_true(*v == k);
        }
        bool want_insert =
            (step / 8000) % 2 == 0 ? qv__rng_below(&rng, 4) != 0 : qv__rng_below(&rng, 4) == 0;
        if (want_insert && !has[k]) {
            assert_int_equal(qv__map_add(&m, hash, k), QV_OK);
            has[k] = true;
            n++;
        } else if (!want_insert) {
            uint64_t old = 12345678;
            assert_int_equal(qv__map_remove(&m, hash, is_same, &k, NULL, &old), has[k]);
            assert_true(old == (has[k] ? k : 12345678));
            n -= has[k];
            has[k] = false;
        }
        assert_int_equal(m.n, n);
        if (step % 500 == 0) {
            check_shape(&m);
        }
    }
    static bool seen[KEYS];
    memset(seen, 0, sizeof seen);
    size_t at = 0;
    uint64_t v;
    while (qv__map_next(&m, &at, &v)) {
        assert_true(v < KEYS && has[v] && !seen[v]);
        seen[v] = true;
    }
    assert_memory_equal(seen, has, sizeof has);
    assert_false(qv__map_next(&m, &at, &v));
    qv__map_free(&m);
}

static void random_operations_follow_a_model(void **state)
{
    (void)state;
    against_model(1, 0);
    against_model(2, 64);
    against_model(3, 1024);
}

static void an_empty_map_answers(void **state)
{
    (void)state;
    struct qv__map m;
    qv__map_init(&m, root);
    uint64_t k = 1, v;
    size_t at = 0;
    assert_null(qv__map_find(&m, 1, is_same, &k, NULL));
    assert_false(qv__map_remove(&m, 1, is_same, &k, NULL, NULL));
    assert_false(qv__map_next(&m, &at, &v));
    assert_int_equal(qv__map_reserve(&m, 0), QV_OK);
    assert_int_equal(qv__mem_used(root), 0);
    assert_int_equal(qv__map_add(&m, 1, 1), QV_OK);
    assert_true(qv__map_remove(&m, 1, is_same, &k, NULL, NULL));
    assert_null(qv__map_find(&m, 1, is_same, &k, NULL));
    qv__map_free(&m);
    qv__map_free(&m);
}

static void a_value_can_be_changed_in_place(void **state)
{
    (void)state;
    struct qv__map m;
    qv__map_init(&m, root);
    uint64_t k = 5;
    assert_int_equal(qv__map_add(&m, qv__hash_u64(9), 5), QV_OK);
    *qv__map_find(&m, qv__hash_u64(9), is_same, &k, NULL) = 6;
    k = 6;
    assert_non_null(qv__map_find(&m, qv__hash_u64(9), is_same, &k, NULL));
    qv__map_free(&m);
}

static void reserved_insertions_cannot_fail(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 6, 7, 8, 14, 15, 100, 1000, 7168, 7169};
    for (size_t i = 0; i < QV_ARRAY_LEN(counts); i++) {
        struct qv__map m;
        qv__map_init(&m, root);
        for (uint64_t k = 0; k < 5; k++) {
            assert_int_equal(qv__map_add(&m, qv__hash_u64(k + 1000000), k), QV_OK);
        }
        assert_int_equal(qv__map_reserve(&m, counts[i]), QV_OK);
        uint64_t tries = qv__mem_allocations(root);
        qv__mem_fail_at(root, 1, true);
        for (uint64_t k = 0; k < counts[i]; k++) {
            assert_int_equal(qv__map_add(&m, qv__hash_u64(k), k), QV_OK);
        }
        qv__mem_fail_at(root, 0, false);
        assert_int_equal(qv__mem_allocations(root), tries);
        check_shape(&m);
        qv__map_free(&m);
    }
}

static void failed_growth_changes_nothing(void **state)
{
    (void)state;
    struct qv__map m;
    qv__map_init(&m, root);
    size_t failures = 0;
    for (uint64_t k = 0; k < 500; k++) {
        qv__mem_fail_at(root, 1, false);
        qv_status st = qv__map_add(&m, qv__hash_u64(k), k);
        qv__mem_fail_at(root, 0, false);
        if (st != QV_OK) {
            failures++;
            assert_int_equal(st, QV_ENOMEM);
            assert_int_equal(m.n, k);
            assert_null(qv__map_find(&m, qv__hash_u64(k), is_same, &k, NULL));
            assert_int_equal(qv__map_add(&m, qv__hash_u64(k), k), QV_OK);
        }
        for (uint64_t j = 0; j <= k; j += 7) {
            assert_non_null(qv__map_find(&m, qv__hash_u64(j), is_same, &j, NULL));
        }
    }
    assert_int_equal(failures, 8); /* 0, 8, 16 … 1,024 slots */
    assert_int_equal(qv__map_reserve(&m, SIZE_MAX), QV_ENOMEM);
    assert_int_equal(qv__map_reserve(&m, SIZE_MAX / 16), QV_ENOMEM);
    assert_int_equal(qv__map_reserve(&m, SIZE_MAX / 64), QV_ENOMEM);
    assert_int_equal(m.n, 500);
    qv__map_free(&m);
}

static void hashes_are_fixed_spread_and_never_zero(void **state)
{
    (void)state;
    assert_true(qv__hash_bytes("abc", 3) == qv__hash_bytes("abc", 3));
    assert_true(qv__hash_bytes("abc", 3) != qv__hash_bytes("abd", 3));
    assert_true(qv__hash_bytes("abc", 3) != qv__hash_bytes("ab", 2));
    assert_true(qv__hash_bytes(NULL, 0) == qv__hash_bytes("", 0));
    assert_true(qv__hash_bytes(NULL, 0) != 0);
    /* mix64 maps exactly this value to 0. */
    assert_true(qv__mix64(0x61c8864680b583ebull) == 0);
    assert_true(qv__hash_u64(0x61c8864680b583ebull) != 0);
    /* Neighbours fall into different low bits: 4,096 keys over 256 homes, none far from 16. */
    unsigned homes[256] = {0};
    for (uint64_t k = 0; k < 4096; k++) {
        homes[qv__hash_u64(k) & 255]++;
    }
    for (size_t i = 0; i < 256; i++) {
        assert_in_range(homes[i], 1, 40);
    }
}

static bool never(uint64_t value, const void *key, void *ctx)
{
    (void)value;
    (void)key;
    (void)ctx;
    return false;
}

/* Hashes that agree in half of their bits, as ids can be chosen that their hashes do. */
static void chosen_hashes_do_not_gather(void **state)
{
    (void)state;
    enum { N = 20000, FAR = 200 };
    for (int which = 0; which < 2; which++) {
        struct qv__map m;
        qv__map_init(&m, root);
        for (uint64_t i = 1; i <= N; i++) {
            uint64_t hash = which ? i << 32 | 12345 : i | UINT64_C(12345) << 32;
            assert_null(qv__map_find(&m, hash, never, NULL, NULL));
            assert_int_equal(qv__map_add(&m, hash, i), QV_OK);
        }
        for (size_t at = 0; at < m.n_slots; at++) {
            uint64_t from_home = (at - m.slots[at].place) & (m.n_slots - 1);
            assert_true(!m.slots[at].place || from_home < FAR);
        }
        qv__map_free(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_operations_follow_a_model, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_map_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(a_value_can_be_changed_in_place, setup, teardown),
        cmocka_unit_test_setup_teardown(reserved_insertions_cannot_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_growth_changes_nothing, setup, teardown),
        cmocka_unit_test(hashes_are_fixed_spread_and_never_zero),
        cmocka_unit_test_setup_teardown(chosen_hashes_do_not_gather, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
