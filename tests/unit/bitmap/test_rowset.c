/* Compressed blocks of rows against dense words: every form, every operation, hostile bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "bitmap/bitset.h"
#include "bitmap/rowset.h"

struct fixture {
    struct qv__mem *mem;
    struct qv__rng rng;
    uint64_t words[QV__BLOCK_WORDS];
    uint16_t rows[QV__BLOCK_ROWS];
};

static int setup(void **state)
{
    static struct fixture f;
    f.mem = qv__mem_root("test", 0);
    qv__rng_seed(&f.rng, 7);
    *state = &f;
    return f.mem ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int leaked = qv__mem_used(f->mem) != 0;
    qv__mem_close(f->mem);
    return leaked ? -1 : 0;
}

enum shape { EMPTY, FEW, SPARSE, HALF, DENSE, RUNS, FULL, SHAPES };

static void fill(struct fixture *f, enum shape shape, uint32_t n_rows)
{
    memset(f->words, 0, sizeof f->words);
    for (uint32_t i = 0; i < n_rows; i++) {
        uint64_t r = qv__rng_below(&f->rng, 10000);
        bool on = shape == FEW      ? r < 3
                  : shape == SPARSE ? r < 100
                  : shape == HALF   ? r < 5000
                  : shape == DENSE  ? r < 9900
                  : shape == RUNS   ? (i / 200) % 3 == 1
                                    : shape == FULL;
        if (on) {
            qv__bit_set(f->words, i);
        }
    }
}

static uint32_t list(struct fixture *f)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < QV__BLOCK_ROWS; i++) {
        if (qv__bit_test(f->words, i)) {
            f->rows[n++] = (uint16_t)i;
        }
    }
    return n;
}

static const uint32_t sizes[] = {1, 63, 64, 65, 1000, 4096, 65535, 65536};

static void keeps_every_set(void **state)
{
    struct fixture *f = *state;
    for (size_t z = 0; z < QV_ARRAY_LEN(sizes); z++) {
        for (int shape = 0; shape < SHAPES; shape++) {
            struct qv__buf a, b;
            uint64_t got[QV__BLOCK_WORDS] = {0};
            fill(f, (enum shape)shape, sizes[z]);
            uint32_t n = list(f);
            qv__buf_init(&a, f->mem);
            qv__buf_init(&b, f->mem);
            qv__rowset_put_words(&a, f->words, QV__BLOCK_WORDS);
            qv__rowset_put(&b, f->rows, n);
            assert_int_equal(qv__buf_status(&a, NULL), QV_OK);
            struct qv__bytes set = qv__buf_bytes(&a), other = qv__buf_bytes(&b);
            assert_int_equal(qv__rowset_count(set), n);
            assert_int_equal(qv__rowset_count(other), n);
            assert_true(n > 0 || set.n == 0);
            assert_true(set.n <= 8 + 8 * qv__bitset_words(sizes[z]));
            assert_true(qv__rowset_valid(set, sizes[z]) && qv__rowset_valid(other, sizes[z]));
            if (n) {
                uint32_t last = f->rows[n - 1];
                assert_false(qv__rowset_valid(set, last) || qv__rowset_valid(other, last));
            }
            qv__rowset_or(set, got);
            assert_memory_equal(got, f->words, sizeof got);
            qv__rowset_andnot(other, got);
            assert_int_equal(qv__bits_count(got, QV__BLOCK_ROWS), 0);
            qv__buf_free(&a);
            qv__buf_free(&b);
        }
    }
}

/* Onto what is there already, against plain words. */
static void adds_and_takes_away(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 400; i++) {
        struct qv__buf b;
        uint64_t got[QV__BLOCK_WORDS], want[QV__BLOCK_WORDS];
        fill(f, (enum shape)qv__rng_below(&f->rng, SHAPES), 1u << qv__rng_below(&f->rng, 17));
        memcpy(got, f->words, sizeof got);
        fill(f, (enum shape)qv__rng_below(&f->rng, SHAPES), 1u << qv__rng_below(&f->rng, 17));
        qv__buf_init(&b, f->mem);
        qv__rowset_put_words(&b, f->words, QV__BLOCK_WORDS);
        bool on = i % 2;
        uint32_t common = 0;
        for (uint32_t w = 0; w < QV__BLOCK_WORDS; w++) {
            common += (uint32_t)__builtin_popcountll(got[w] & f->words[w]);
        }
        assert_int_equal(qv__rowset_count_in(qv__buf_bytes(&b), got), common);
        for (uint32_t w = 0; w < QV__BLOCK_WORDS; w++) {
            want[w] = on ? got[w] | f->words[w] : got[w] & ~f->words[w];
        }
        if (on) {
            qv__rowset_or(qv__buf_bytes(&b), got);
        } else {
            qv__rowset_andnot(qv__buf_bytes(&b), got);
        }
        assert_memory_equal(got, want, sizeof got);
        qv__buf_free(&b);
    }
}

/* Every byte and every length changed: refused, or a set within its rows; read safely either way.
 */
static void takes_hostile_bytes(void **state)
{
    struct fixture *f = *state;
    for (int shape = FEW; shape < SHAPES; shape++) {
        struct qv__buf b;
        fill(f, (enum shape)shape, 3000);
        qv__buf_init(&b, f->mem);
        qv__rowset_put_words(&b, f->words, QV__BLOCK_WORDS);
        for (size_t i = 0; i < b.n * 3; i++) {
            uint64_t words[QV__BLOCK_WORDS] = {0};
            size_t n = i < b.n ? i : b.n;
            uint8_t *copy = qv__alloc(f->mem, n + 1); /* its end is the allocation's, nearly */
            memcpy(copy, b.p, n);
            if (n) {
                copy[i % n] ^= (uint8_t)(1u << qv__rng_below(&f->rng, 8));
            }
            struct qv__bytes set = {copy, n};
            bool valid = qv__rowset_valid(set, 3000);
            qv__rowset_or(set, words);
            if (valid) {
                assert_int_equal(qv__bits_count(words, 3000), qv__rowset_count(set));
                assert_int_equal(qv__bits_count(words, QV__BLOCK_ROWS), qv__rowset_count(set));
            }
            assert_true(qv__rowset_count(set) <= QV__BLOCK_ROWS);
            qv__rowset_andnot(set, words);
            assert_int_equal(qv__bits_count(words, QV__BLOCK_ROWS), 0);
            qv__free(copy);
        }
        qv__buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keeps_every_set, setup, teardown),
        cmocka_unit_test_setup_teardown(adds_and_takes_away, setup, teardown),
        cmocka_unit_test_setup_teardown(takes_hostile_bytes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
