/* test_alloc.c: accounts, budgets, block layout, failure injection, and the same from several
 * threads. */
#include "base_test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/alloc.h"
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

static bool is_aligned(const void *p, size_t to)
{
    return ((uintptr_t)p & (to - 1)) == 0;
}

static void blocks_are_aligned_writable_and_counted(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 15, 16, 17, 100, 4096, 1 << 20};
    for (size_t i = 0; i < QV_ARRAY_LEN(sizes); i++) {
        uint8_t *p = qv__alloc(root, sizes[i]);
        assert_non_null(p);
        assert_true(is_aligned(p, 16));
        memset(p, 0xab, sizes[i]);
        assert_true(qv__mem_used(root) >= sizes[i]);
        assert_true(qv__mem_used(root) <= sizes[i] + 32);
        qv__free(p);
        assert_int_equal(qv__mem_used(root), 0);
    }
    assert_true(qv__mem_peak(root) >= 1 << 20);
    qv__free(NULL);
}

static void zeroed_blocks_are_zero(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        uint8_t *p = qv__zalloc(root, 1000), *q = qv__calloc(root, 10, 100);
        for (size_t i = 0; i < 1000; i++) {
            assert_int_equal(p[i] | q[i], 0);
        }
        memset(p, 0xff, 1000);
        memset(q, 0xff, 1000);
        qv__free(p);
        qv__free(q);
    }
}

static void absurd_sizes_are_refused(void **state)
{
    (void)state;
    assert_null(qv__calloc(root, SIZE_MAX / 2, 3));
    assert_null(qv__calloc(root, SIZE_MAX, SIZE_MAX));
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 8, SIZE_MAX - 32, (size_t)PTRDIFF_MAX};
    for (size_t i = 0; i < QV_ARRAY_LEN(sizes); i++) {
        assert_null(qv__alloc(root, sizes[i]));
        assert_null(qv__zalloc(root, sizes[i]));
        assert_null(qv__alloc_aligned(root, 4096, sizes[i]));
        assert_null(qv__realloc(root, NULL, sizes[i]));
        assert_null(qv__strndup(root, "", sizes[i]));
        assert_int_equal(qv__mem_charge(root, sizes[i]), QV_ENOMEM);
    }
    assert_int_equal(qv__mem_used(root), 0);
}

static void realloc_keeps_contents_and_counts(void **state)
{
    (void)state;
    uint8_t *p = qv__realloc(root, NULL, 10);
    memcpy(p, "0123456789", 10);
    size_t small = qv__mem_used(root);
    p = qv__realloc(root, p, 100000);
    assert_memory_equal(p, "0123456789", 10);
    assert_int_equal(qv__mem_used(root), small + 99990);
    p = qv__realloc(root, p, 5);
    assert_memory_equal(p, "01234", 5);
    assert_int_equal(qv__mem_used(root), small - 5);
    p = qv__realloc(root, p, 0);
    assert_non_null(p);
    qv__free(p);
}

static void a_refused_realloc_leaves_the_block(void **state)
{
    (void)state;
    struct qv__mem *m = qv__mem_child(root, "limited", 1000);
    uint8_t *p = qv__alloc(m, 500);
    memset(p, 0x42, 500);
    size_t used = qv__mem_used(m), root_used = qv__mem_used(root);
    assert_null(qv__realloc(m, p, 2000));
    assert_int_equal(qv__mem_used(m), used);
    assert_int_equal(qv__mem_used(root), root_used);
    qv__mem_fail_at(root, 1, true);
    assert_null(qv__realloc(m, p, 600));
    assert_null(qv__realloc(m, p, 10));
    qv__mem_fail_at(root, 0, false);
    assert_int_equal(qv__mem_used(m), used);
    for (size_t i = 0; i < 500; i++) {
        assert_int_equal(p[i], 0x42);
    }
    qv__free(p);
    qv__mem_close(m);
}

static void aligned_blocks_of_every_alignment(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 31, 64, 1000, 4096, 100000};
    for (size_t align = 1; align <= (size_t)2 << 20; align *= 2) {
        for (size_t i = 0; i < QV_ARRAY_LEN(sizes); i++) {
            uint8_t *p = qv__alloc_aligned(root, align, sizes[i]);
            assert_non_null(p);
            assert_true(is_aligned(p, align) && is_aligned(p, 16));
            memset(p, 0x77, sizes[i]);
            assert_true(qv__mem_used(root) >= sizes[i]);
            assert_true(qv__mem_used(root) <= sizes[i] + 4096 + 64);
            qv__free(p);
            assert_int_equal(qv__mem_used(root), 0);
        }
    }
    size_t big = ((size_t)4 << 20) + 12345; /* the size that is advised to use huge pages */
    uint8_t *p = qv__alloc_aligned(root, (size_t)2 << 20, big);
    assert_true(is_aligned(p, (size_t)2 << 20));
    memset(p, 1, big);
    qv__free(p);
}

static void strndup_ends_with_nul(void **state)
{
    (void)state;
    char *s = qv__strndup(root, "abcdef", 3);
    assert_string_equal(s, "abc");
    char *empty = qv__strndup(root, NULL, 0);
    assert_string_equal(empty, "");
    qv__free(s);
    qv__free(empty);
}

static void accounts_have_names_parents_and_limits(void **state)
{
    (void)state;
    static const char long_name[] = "a name of more than forty-seven bytes, which is to be cut";
    struct qv__mem *m = qv__mem_child(root, long_name, 12345);
    assert_int_equal(strlen(qv__mem_name(m)), 47);
    assert_memory_equal(qv__mem_name(m), long_name, 47);
    assert_int_equal(qv__mem_limit(m), 12345);
    assert_int_equal(qv__mem_room(m), 12345);
    assert_ptr_equal(qv__mem_parent(m), root);
    assert_null(qv__mem_parent(root));
    assert_true(qv__mem_room(root) == SIZE_MAX);
    qv__mem_close(m);
    qv__mem_close(NULL);
}

static void a_limit_anywhere_on_the_path_refuses_and_rolls_back(void **state)
{
    (void)state;
    struct qv__mem *a = qv__mem_child(root, "a", 10000);
    struct qv__mem *b = qv__mem_child(a, "b", 0);
    struct qv__mem *c = qv__mem_child(b, "c", 100000);
    size_t before[] = {qv__mem_used(root), qv__mem_used(a), qv__mem_used(b)};
    assert_null(qv__alloc(c, 10000));
    assert_null(qv__alloc_aligned(c, 64, 10000));
    assert_int_equal(qv__mem_charge(c, 10000), QV_ENOMEM);
    assert_int_equal(qv__mem_used(root), before[0]);
    assert_int_equal(qv__mem_used(a), before[1]);
    assert_int_equal(qv__mem_used(b), before[2]);
    assert_int_equal(qv__mem_used(c), 0);
    /* To the last byte. */
    size_t room = qv__mem_room(c);
    assert_int_equal(room, 10000 - before[1]);
    assert_int_equal(qv__mem_charge(c, room), QV_OK);
    assert_int_equal(qv__mem_room(c), 0);
    assert_int_equal(qv__mem_used(a), 10000);
    assert_int_equal(qv__mem_charge(c, 1), QV_ENOMEM);
    qv__mem_uncharge(c, room);
    assert_int_equal(qv__mem_peak(a), 10000);
    assert_true(qv__mem_peak(root) >= 10000);
    qv__mem_close(c);
    qv__mem_close(b);
    qv__mem_close(a);
}

struct seen {
    char text[256];
    size_t n;
};

static void see(struct qv__mem *m, unsigned depth, void *arg)
{
    struct seen *s = arg;
    s->n +=
        (size_t)snprintf(s->text + s->n, sizeof s->text - s->n, "%u%s ", depth, qv__mem_name(m));
}

static void walk_visits_parents_first(void **state)
{
    (void)state;
    struct qv__mem *a = qv__mem_child(root, "a", 0);
    struct qv__mem *b = qv__mem_child(root, "b", 0);
    struct qv__mem *a1 = qv__mem_child(a, "a1", 0);
    struct qv__mem *a2 = qv__mem_child(a, "a2", 0);
    struct qv__mem *a11 = qv__mem_child(a1, "a11", 0);
    struct seen s = {.n = 0};
    qv__mem_walk(root, see, &s);
    assert_string_equal(s.text, "0root 1b 1a 2a2 2a1 3a11 ");
    s.n = 0;
    qv__mem_walk(a1, see, &s);
    assert_string_equal(s.text, "0a1 1a11 ");
    s.n = 0;
    qv__mem_walk(b, see, &s);
    assert_string_equal(s.text, "0b ");
    qv__mem_close(b);
    qv__mem_close(a2);
    s.n = 0;
    qv__mem_walk(root, see, &s);
    assert_string_equal(s.text, "0root 1a 2a1 3a11 ");
    qv__mem_close(a11);
    qv__mem_close(a1);
    qv__mem_close(a);
}

static void injection_hits_the_nth_request_of_the_tree(void **state)
{
    (void)state;
    struct qv__mem *m = qv__mem_child(root, "m", 0);
    uint64_t before = qv__mem_allocations(root);
    qv__mem_fail_at(m, 3, false);
    void *p1 = qv__alloc(m, 1), *p2 = qv__alloc(root, 1);
    assert_non_null(p1);
    assert_non_null(p2);
    assert_null(qv__alloc(m, 1));
    void *p4 = qv__alloc(m, 1);
    assert_non_null(p4);
    assert_int_equal(qv__mem_allocations(m) - before, 4);
    qv__mem_fail_at(root, 2, true);
    void *p5 = qv__alloc(m, 1);
    assert_non_null(p5);
    assert_null(qv__zalloc(m, 1));
    assert_null(qv__calloc(root, 1, 1));
    assert_null(qv__alloc_aligned(m, 64, 1));
    assert_null(qv__strndup(m, "a", 1));
    assert_null(qv__mem_child(m, "x", 0));
    assert_int_equal(qv__mem_charge(m, 1), QV_ENOMEM);
    qv__mem_fail_at(m, 0, false);
    void *p6 = qv__alloc(m, 1);
    assert_non_null(p6);
    void *all[] = {p1, p2, p4, p5, p6};
    for (size_t i = 0; i < QV_ARRAY_LEN(all); i++) {
        qv__free(all[i]);
    }
    assert_int_equal(qv__mem_used(m), 0);
    qv__mem_close(m);
}

#define THREADS 4
#define ROUNDS  3000

struct worker {
    pthread_t thread;
    struct qv__mem *mem; /* has a limit that is often hit */
    uint64_t seed;
    size_t limit;
    bool is_over;
    size_t refused;
};

/* Random blocks come and go; children open and close; another thread's counters are read. */
static void *hammer(void *arg)
{
    struct worker *w = arg;
    struct qv__rng rng;
    qv__rng_seed(&rng, w->seed);
    uint8_t *held[16] = {0};
    for (int i = 0; i < ROUNDS; i++) {
        size_t at = (size_t)qv__rng_below(&rng, 16);
        size_t n = (size_t)qv__rng_below(&rng, 3000);
        qv__free(held[at]);
        held[at] = qv__rng_below(&rng, 4) ? qv__alloc(w->mem, n) : qv__alloc_aligned(w->mem, 64, n);
        w->refused += !held[at];
        if (held[at]) {
            memset(held[at], (int)at, n);
        }
        w->is_over |= qv__mem_used(w->mem) > w->limit;
        if (i % 64 == 0) {
            struct qv__mem *child = qv__mem_child(w->mem, "child", 500);
            if (child) {
                void *p = qv__zalloc(child, 100);
                qv__free(p);
                qv__mem_close(child);
            }
            struct seen s = {.n = 0};
            qv__mem_walk(qv__mem_parent(w->mem), see, &s);
        }
    }
    for (size_t i = 0; i < 16; i++) {
        qv__free(held[i]);
    }
    return NULL;
}

static void threads_never_pass_a_limit_and_nothing_is_lost(void **state)
{
    (void)state;
    size_t limit = 16000; /* one thread alone would hold about 24,000 */
    struct qv__mem *shared = qv__mem_child(root, "shared", limit);
    struct worker w[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        w[i] = (struct worker){.mem = shared, .seed = 1000 + i, .limit = limit};
        print_message("seed %d\n", (int)w[i].seed);
        assert_int_equal(pthread_create(&w[i].thread, NULL, hammer, &w[i]), 0);
    }
    size_t refused = 0;
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(w[i].thread, NULL);
        assert_false(w[i].is_over);
        refused += w[i].refused;
    }
    assert_true(refused > 0); /* else the limit was never tried */
    assert_int_equal(qv__mem_used(shared), 0);
    assert_true(qv__mem_peak(shared) <= limit);
    qv__mem_close(shared);
}

#ifdef QV__ASAN
static void touch(void *p)
{
    *(volatile uint8_t *)p = 1;
}

/* True if the sanitizer ends a process that touches the byte. */
static bool is_guarded(void *p)
{
    return aborts_or_exits(touch, p);
}
#endif

static void overruns_are_seen(void **state)
{
    (void)state;
#ifdef QV__ASAN
    static const size_t aligns[] = {16, 64, 4096, (size_t)2 << 20};
    for (size_t n = 1; n < 40; n += 13) {
        uint8_t *p = qv__alloc(root, n);
        assert_false(is_guarded(p + n - 1));
        assert_true(is_guarded(p + n));
        p = qv__realloc(root, p, n + 5);
        assert_false(is_guarded(p + n + 4));
        assert_true(is_guarded(p + n + 5));
        qv__free(p);
        assert_true(is_guarded(p));
        for (size_t i = 0; i < QV_ARRAY_LEN(aligns); i++) {
            p = qv__alloc_aligned(root, aligns[i], n);
            assert_false(is_guarded(p + n - 1));
            assert_true(is_guarded(p + n));
            qv__free(p);
            assert_true(is_guarded(p));
        }
    }
#else
    skip();
#endif
}

static void close_with_a_block_left(void *arg)
{
    struct qv__mem *m = qv__mem_child(arg, "leaky", 0);
    void *p = qv__alloc(m, 10);
    (void)p;
    qv__mem_close(m);
}

static void a_leak_shows_at_close(void **state)
{
    (void)state;
#ifdef NDEBUG
    struct qv__mem *m = qv__mem_child(root, "leaky", 0);
    void *p = qv__alloc(m, 1000);
    qv__mem_close(m); /* the account outlives its close for the block's sake */
    assert_int_equal(qv__mem_used(root), 0);
    qv__free(p);
    assert_int_equal(qv__mem_used(root), 0);
    (void)close_with_a_block_left;
#else
    assert_true(aborts(close_with_a_block_left, root));
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(blocks_are_aligned_writable_and_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(zeroed_blocks_are_zero, setup, teardown),
        cmocka_unit_test_setup_teardown(absurd_sizes_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(realloc_keeps_contents_and_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_realloc_leaves_the_block, setup, teardown),
        cmocka_unit_test_setup_teardown(aligned_blocks_of_every_alignment, setup, teardown),
        cmocka_unit_test_setup_teardown(strndup_ends_with_nul, setup, teardown),
        cmocka_unit_test_setup_teardown(accounts_have_names_parents_and_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(a_limit_anywhere_on_the_path_refuses_and_rolls_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(walk_visits_parents_first, setup, teardown),
        cmocka_unit_test_setup_teardown(injection_hits_the_nth_request_of_the_tree, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(threads_never_pass_a_limit_and_nothing_is_lost, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(overruns_are_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(a_leak_shows_at_close, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
