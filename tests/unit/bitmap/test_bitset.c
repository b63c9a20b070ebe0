/* Dense row sets against a model of one byte per row. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "bitmap/bitset.h"

#define SEED 20240612u

static const size_t sizes[] = {0,   1,   2,   31,  63,  64,   65,   100,  127,
                               128, 129, 191, 192, 193, 1000, 1024, 4097, 10000};

struct fixture {
    struct qv__mem *mem;
    struct qv__rng rng;
};

static int setup(void **state)
{
    static struct fixture f;
    f.mem = qv__mem_root("test", 0);
    if (f.mem == NULL) {
        return -1;
    }
    qv__rng_seed(&f.rng, SEED);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int leaked = qv__mem_used(f->mem) != 0;
    qv__mem_close(f->mem);
    return leaked ? -1 : 0;
}

/* A set and what it should hold. */
struct both {
    struct qv__bitset set;
    unsigned char *model;
};

static void both_open(struct both *b, struct fixture *f, size_t n)
{
    assert_int_equal(qv__bitset_init(&b->set, f->mem, n), QV_OK);
    assert_int_equal(b->set.n_bits, n);
    assert_non_null(b->set.words);
    b->model = qv__zalloc(f->mem, n);
    assert_non_null(b->model);
}

static void both_close(struct both *b)
{
    qv__bitset_free(&b->set);
    assert_null(b->set.words);
    assert_int_equal(b->set.n_bits, 0);
    qv__free(b->model);
}

static void both_random(struct both *b, struct fixture *f, uint64_t one_in)
{
    for (size_t i = 0; i < b->set.n_bits; i++) {
        b->model[i] = qv__rng_below(&f->rng, one_in) == 0;
        if (b->model[i]) {
            qv__bit_set(b->set.words, i);
        } else {
            qv__bit_clear(b->set.words, i);
        }
    }
}

/* Membership, count, order of the members, and nothing past the end. */
static void both_check(const struct both *b)
{
    size_t n = b->set.n_bits, count = 0, next = n;
    for (size_t i = n; i-- > 0;) {
        assert_int_equal(qv__bit_test(b->set.words, i), b->model[i]);
        assert_int_equal(qv__bit_test_atomic(b->set.words, i), b->model[i]);
        count += b->model[i];
        next = b->model[i] ? i : next;
        assert_int_equal(qv__bitset_next(&b->set, i), next);
    }
    assert_int_equal(qv__bitset_next(&b->set, n), n);
    assert_int_equal(qv__bitset_next(&b->set, n + 1), n);
    assert_int_equal(qv__bitset_next(&b->set, SIZE_MAX), n);
    assert_int_equal(qv__bitset_count(&b->set), count);
    assert_int_equal(qv__bits_count(b->set.words, n), count);
    for (size_t i = n; i < qv__bitset_words(n) * 64; i++) {
        assert_false(qv__bit_test(b->set.words, i));
    }
}

static void starts_empty(void **state)
{
    for (size_t z = 0; z < QV_ARRAY_LEN(sizes); z++) {
        struct both b;
        both_open(&b, *state, sizes[z]);
        both_check(&b);
        both_close(&b);
    }
    qv__bitset_free(NULL);
    struct qv__bitset none = {NULL, 0};
    qv__bitset_free(&none);
}

static void fills_every_range(void **state)
{
    struct both b;
    both_open(&b, *state, 200);
    for (size_t begin = 0; begin <= 200; begin++) {
        for (size_t end = begin; end <= 200; end++) {
            memset(b.set.words, 0, qv__bitset_words(200) * sizeof(uint64_t));
            qv__bitset_fill(&b.set, begin, end);
            assert_int_equal(qv__bitset_count(&b.set), end - begin);
            assert_int_equal(qv__bitset_next(&b.set, 0), end > begin ? begin : 200);
            assert_true(end == begin || qv__bit_test(b.set.words, end - 1));
            assert_false(qv__bit_test(b.set.words, end)); /* 200 is within the last word */
        }
    }
    both_close(&b);
}

static void fill_keeps_what_is_set(void **state)
{
    struct fixture *f = *state;
    struct both b;
    both_open(&b, f, 1000);
    both_random(&b, f, 3);
    qv__bitset_fill(&b.set, 130, 140);
    memset(b.model + 130, 1, 10);
    both_check(&b);
    qv__bitset_fill(&b.set, 60, 700);
    memset(b.model + 60, 1, 640);
    both_check(&b);
    qv__bitset_fill(&b.set, 1000, 1000);
    both_check(&b);
    both_close(&b);
}

/* Random operations on pairs of sets of every size. */
static void follows_the_model(void **state)
{
    struct fixture *f = *state;
    for (size_t z = 0; z < QV_ARRAY_LEN(sizes); z++) {
        size_t n = sizes[z];
        struct both a, b;
        both_open(&a, f, n);
        both_open(&b, f, n);
        for (unsigned round = 0; round < 40; round++) {
            both_random(&b, f, 1 + qv__rng_below(&f->rng, 5));
            size_t begin = qv__rng_below(&f->rng, n + 1);
            size_t end = begin + qv__rng_below(&f->rng, n - begin + 1);
            uint64_t op = qv__rng_below(&f->rng, 7);
            size_t bit = n > 0 ? qv__rng_below(&f->rng, n) : 0;
            for (size_t i = 0; i < n; i++) {
                unsigned char *m = a.model + i;
                *m = op == 0   ? (*m & b.model[i])
                     : op == 1 ? (*m | b.model[i])
                     : op == 2 ? (*m && !b.model[i])
                     : op == 3 ? !*m
                     : op == 4 ? (*m || (i >= begin && i < end))
                     : op == 5 ? (*m || i == bit)
                               : (*m && i != bit);
            }
            switch (op) {
            case 0:
                qv__bitset_and(&a.set, &b.set);
                break;
            case 1:
                qv__bitset_or(&a.set, &b.set);
                break;
            case 2:
                qv__bitset_andnot(&a.set, &b.set);
                break;
            case 3:
                qv__bitset_not(&a.set);
                break;
            case 4:
                qv__bitset_fill(&a.set, begin, end);
                break;
            case 5:
                if (n > 0) {
                    qv__bit_set_atomic(a.set.words, bit);
                }
                break;
            default:
                if (n > 0) {
                    qv__bit_clear_atomic(a.set.words, bit);
                }
            }
            both_check(&a);
            both_check(&b); /* the source is left alone */
        }
        both_close(&a);
        both_close(&b);
    }
}

/* Counting words that are somebody else's: bits past n_bits do not count. */
static void counts_only_its_bits(void **state)
{
    (void)state;
    uint64_t words[3] = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
    for (size_t n = 0; n <= 192; n++) {
        assert_int_equal(qv__bits_count(words, n), n);
    }
    words[1] = UINT64_C(0x8000000000000001);
    assert_int_equal(qv__bits_count(words, 128), 66);
    assert_int_equal(qv__bits_count(words, 127), 65);
    assert_int_equal(qv__bits_count(words, 64), 64);
    assert_int_equal(qv__bits_count(NULL, 0), 0);
}

static void refuses_without_memory(void **state)
{
    struct fixture *f = *state;
    uint64_t n;
    for (n = 1; n < 100; n++) {
        struct qv__bitset s = {(uint64_t *)&n, 7};
        qv__mem_fail_at(f->mem, n, false);
        qv_status st = qv__bitset_init(&s, f->mem, 1000);
        qv__mem_fail_at(f->mem, 0, false);
        if (st == QV_OK) {
            assert_int_equal(qv__bitset_count(&s), 0);
            qv__bitset_free(&s);
            break;
        }
        assert_int_equal(st, QV_ENOMEM);
        assert_null(s.words);
        assert_int_equal(s.n_bits, 0);
        assert_int_equal(qv__mem_used(f->mem), 0);
        qv__bitset_free(&s);
    }
    assert_true(n > 1 && n < 100);
    assert_int_equal(qv__mem_used(f->mem), 0);
}

static void refuses_absurd_sizes(void **state)
{
    struct fixture *f = *state;
    static const size_t absurd[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 62, SIZE_MAX - 63,
                                    SIZE_MAX / 2};
    struct qv__mem *small = qv__mem_child(f->mem, "small", 4096);
    assert_non_null(small);
    for (size_t i = 0; i < QV_ARRAY_LEN(absurd); i++) {
        struct qv__bitset s;
        assert_int_equal(qv__bitset_init(&s, small, absurd[i]), QV_ENOMEM);
        assert_null(s.words);
    }
    struct qv__bitset s;
    assert_int_equal(qv__bitset_init(&s, small, 8 * 4096), QV_ENOMEM); /* over its budget */
    assert_int_equal(qv__bitset_init(&s, small, 4 * 4096), QV_OK);
    qv__bitset_free(&s);
    qv__mem_close(small);
}

enum { THREADS = 4, SHARED_BITS = 4096 };

struct writer {
    pthread_t thread;
    pthread_barrier_t *start;
    uint64_t *words;
    size_t first;
};

/* Neighbouring bits belong to different threads: a lost update shows. */
static void *write_every_fourth(void *arg)
{
    struct writer *w = arg;
    pthread_barrier_wait(w->start);
    for (unsigned round = 0; round < 400; round++) {
        bool on = round % 2 == 0;
        for (size_t i = w->first; i < SHARED_BITS; i += THREADS) {
            if (on) {
                qv__bit_set_atomic(w->words, i);
            } else {
                qv__bit_clear_atomic(w->words, i);
            }
        }
        for (size_t i = w->first; i < SHARED_BITS; i += THREADS) {
            if (qv__bit_test_atomic(w->words, i) != on) {
                return w; /* lost */
            }
        }
    }
    for (size_t i = w->first; i < SHARED_BITS; i += THREADS) {
        if (i % 3 != 0) {
            qv__bit_set_atomic(w->words, i);
        }
    }
    return NULL;
}

static void atomic_writers_lose_nothing(void **state)
{
    struct fixture *f = *state;
    struct qv__bitset s;
    struct writer writers[THREADS];
    pthread_barrier_t start;
    assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
    assert_int_equal(qv__bitset_init(&s, f->mem, SHARED_BITS), QV_OK);
    for (size_t t = 0; t < THREADS; t++) {
        writers[t] = (struct writer){.start = &start, .words = s.words, .first = t};
        assert_int_equal(pthread_create(&writers[t].thread, NULL, write_every_fourth, &writers[t]),
                         0);
    }
    for (size_t t = 0; t < THREADS; t++) {
        void *lost;
        assert_int_equal(pthread_join(writers[t].thread, &lost), 0);
        assert_null(lost);
    }
    pthread_barrier_destroy(&start);
    for (size_t i = 0; i < SHARED_BITS; i++) {
        assert_int_equal(qv__bit_test(s.words, i), i % 3 != 0);
    }
    qv__bitset_free(&s);
}

/* From every place, over runs of zeros of every length. */
static void test_skip(void **state)
{
    (void)state;
    enum { WORDS = 70 };
    uint64_t words[WORDS];
    for (size_t n = 0; n <= WORDS; n++) {
        for (size_t one = 0; one <= n; one++) { /* n: there is none */
            memset(words, 0, sizeof words);
            if (one < WORDS) {
                words[one] = UINT64_C(1) << one % 64;
            }
            for (size_t at = 0; at <= n; at++) {
                assert_int_equal(qv__bits_skip(words, at, n), at <= one ? one : n);
            }
        }
    }
}

int main(void)
{
    print_message("seed %u\n", SEED);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(starts_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(fills_every_range, setup, teardown),
        cmocka_unit_test_setup_teardown(fill_keeps_what_is_set, setup, teardown),
        cmocka_unit_test_setup_teardown(follows_the_model, setup, teardown),
        cmocka_unit_test(test_skip),
        cmocka_unit_test(counts_only_its_bits),
        cmocka_unit_test_setup_teardown(refuses_without_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_absurd_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(atomic_writers_lose_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
