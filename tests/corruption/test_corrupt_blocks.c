/* test_corrupt_blocks.c: blocks of a larger database are zeroed, exchanged, taken from an earlier
 * state, files are cut, lengthened, lost or taken from an earlier state.
 *
 * Each case is drawn from the seed and its own number alone, so that one can be run again. The
 * verdict is the one rule of this folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "corruption.h"

#define BLOCK 4096u

enum kind {
    ZERO,
    SWAP_INSIDE,
    SWAP_ACROSS,
    STALE,
    CUT_FILE,
    LENGTHEN,
    LOSE,
    OLD_FILE,
    NOISE,
    KINDS
};
static const char *const kind_names[KINDS] = {"zeroed block",
                                              "blocks swapped in a file",
                                              "blocks swapped between files",
                                              "stale block",
                                              "file cut short",
                                              "file lengthened",
                                              "file lost",
                                              "stale file",
                                              "noise"};

struct bytes {
    uint8_t *p;
    size_t n;
};

static struct bytes load(struct qv__io *io, const char *name, struct qv__mem *mem)
{
    void *p = NULL;
    struct bytes b = {NULL, 0};
    struct qv_err err;
    if (qv__io_read_file(io, name, 64u << 20, mem, &p, &b.n, &err) == QV_OK) {
        b.p = p;
    }
    return b;
}

static void store(struct qv__io *io, const char *name, const void *p, size_t n, uint64_t off)
{
    struct qv__file *f = NULL;
    struct qv_err err;
    assert_int_equal(qv__io_open(io, name, QV__OPEN_WRITE, &f, &err), QV_OK);
    assert_int_equal(qv__io_pwrite(f, p, n, off, &err), QV_OK);
    qv__io_file_close(f, NULL);
}

static void resize(struct qv__io *io, const char *name, uint64_t n)
{
    struct qv__file *f = NULL;
    struct qv_err err;
    assert_int_equal(qv__io_open(io, name, QV__OPEN_WRITE, &f, &err), QV_OK);
    assert_int_equal(qv__io_truncate(f, n, &err), QV_OK);
    qv__io_file_close(f, NULL);
}

/* A block of the file: where it begins and how long it is. */
static size_t block_of(struct qv__rng *rng, size_t n, uint64_t *off)
{
    uint64_t blocks = (n + BLOCK - 1) / BLOCK;
    *off = blocks ? qv__rng_below(rng, blocks) * BLOCK : 0;
    return (size_t)QV_MIN((uint64_t)BLOCK, n - *off);
}

struct one_case {
    const struct image *im;
    struct qv__io *io;
    struct qv__rng rng;
    struct damage d[2];
    size_t n;
    bool changed;
};

static void hurt(struct one_case *k, const char *file, uint64_t from, uint64_t to)
{
    k->d[k->n++] = (struct damage){.file = file, .from = from, .to = to};
}

static void overwrite(struct one_case *k, const char *file, const struct bytes *was,
                      const uint8_t *p, size_t n, uint64_t off)
{
    k->changed |= memcmp(was->p + off, p, n) != 0;
    store(k->io, file, p, n, off);
    hurt(k, file, off, off + n);
}

static void swap(struct one_case *k, const char *a, const char *b)
{
    struct qv__mem *mem = k->im->mem;
    struct bytes x = load(k->io, a, mem), y = load(k->io, b, mem);
    uint64_t at = 0, other = 0;
    size_t n = block_of(&k->rng, x.n, &at), m = block_of(&k->rng, y.n, &other);
    n = QV_MIN(n, m);
    overwrite(k, a, &x, y.p + other, n, at);
    overwrite(k, b, &y, x.p + at, n, other);
    qv__free(x.p);
    qv__free(y.p);
}

static void from_earlier(struct one_case *k, const char *file, bool whole)
{
    struct qv__io *early = k->im->early[qv__rng_below(&k->rng, QV_ARRAY_LEN(k->im->early))];
    struct bytes now = load(k->io, file, k->im->mem), old = load(early, file, k->im->mem);
    uint64_t off = 0;
    if (old.p && whole) {
        k->changed = old.n != now.n || memcmp(old.p, now.p, now.n) != 0;
        resize(k->io, file, old.n);
        store(k->io, file, old.p, old.n, 0);
        hurt(k, file, 0, UINT64_MAX);
    } else if (old.p) {
        size_t n = block_of(&k->rng, QV_MIN(now.n, old.n), &off);
        overwrite(k, file, &now, old.p + off, n, off);
    }
    qv__free(now.p);
    qv__free(old.p);
}

static void damage_file(struct one_case *k, enum kind kind, const struct image_file *f)
{
    struct bytes was = load(k->io, f->name, k->im->mem);
    uint8_t block[BLOCK] = {0};
    uint64_t off = 0, n = 0;
    switch (kind) {
    case NOISE:
        for (size_t i = 0; i < BLOCK; i++) {
            block[i] = (uint8_t)qv__rng_u64(&k->rng);
        }
        n = block_of(&k->rng, was.n, &off);
        overwrite(k, f->name, &was, block, (size_t)n, off);
        break;
    case CUT_FILE:
        n = qv__rng_below(&k->rng, f->bytes);
        resize(k->io, f->name, n);
        hurt(k, f->name, n, UINT64_MAX);
        k->changed = true;
        break;
    case LENGTHEN:
        n = 1 + qv__rng_below(&k->rng, 2 * BLOCK);
        resize(k->io, f->name, f->bytes + n);
        hurt(k, f->name, f->bytes, UINT64_MAX);
        k->changed = true;
        break;
    case LOSE:
        assert_int_equal(qv__io_unlink(k->io, f->name, NULL), QV_OK);
        hurt(k, f->name, 0, UINT64_MAX);
        k->changed = true;
        break;
    default:
        n = block_of(&k->rng, was.n, &off);
        overwrite(k, f->name, &was, block, (size_t)n, off);
        break;
    }
    qv__free(was.p);
}

static const struct image_file *pick(struct one_case *k)
{
    for (;;) {
        const struct image_file *f = &k->im->files[qv__rng_below(&k->rng, k->im->n_files)];
        if (f->bytes > 0) {
            return f;
        }
    }
}

/* Returns the verdict, or HARMLESS for what changed no byte. */
static enum verdict run_case(const struct image *im, uint64_t seed, uint64_t number, bool talk,
                             enum kind *kind, char why[600])
{
    struct one_case k = {.im = im, .io = image_copy(im)};
    qv__rng_seed(&k.rng, seed * 1000003u + number);
    *kind = (enum kind)qv__rng_below(&k.rng, KINDS);
    const struct image_file *f = pick(&k), *g = pick(&k);
    if (*kind == SWAP_INSIDE || *kind == SWAP_ACROSS) {
        swap(&k, f->name, *kind == SWAP_INSIDE ? f->name : g->name);
    } else if (*kind == STALE || *kind == OLD_FILE) {
        from_earlier(&k, f->name, *kind == OLD_FILE);
    } else {
        damage_file(&k, *kind, f);
    }
    for (size_t i = 0; talk && i < k.n; i++) {
        print_message("%s: %s, bytes %llu to %lld\n", kind_names[*kind], k.d[i].file,
                      (unsigned long long)k.d[i].from, (long long)k.d[i].to);
    }
    enum verdict v = k.changed ? judge(im, k.io, k.d, k.n, number % 8 == 0, why) : HARMLESS;
    qv__io_close(k.io);
    return v;
}

static void random_damage(void **state)
{
    (void)state;
    struct image *im = calloc(1, sizeof *im);
    uint64_t seed = number_of("QVT_SEED", 1), only = number_of("QVT_CASE", UINT64_MAX);
    uint64_t cases = number_of("QVT_CASES", is_sanitized() ? 250 : 1000);
    uint64_t counts[KINDS][4] = {{0}};
    image_make(im, (unsigned)number_of("QVT_POINTS", 400), number_of("QVT_LOG_BYTES", 64 << 10));
    for (uint64_t i = only == UINT64_MAX ? 0 : only; i < cases || i == only; i++) {
        char why[600] = "";
        enum kind kind;
        enum verdict v = run_case(im, seed, i, only != UINT64_MAX, &kind, why);
        counts[kind][v]++;
        if (v == WRONG) {
            fail_msg("case %llu, %s: %s\n  again: QVT_SEED=%llu QVT_CASE=%llu test_corrupt_blocks",
                     (unsigned long long)i, kind_names[kind], why, (unsigned long long)seed,
                     (unsigned long long)i);
        }
        if (only != UINT64_MAX) {
            break;
        }
    }
    print_message("seed %llu, %u files\n%-30s detected harmless cut\n", (unsigned long long)seed,
                  im->n_files, "");
    for (unsigned k = 0; k < KINDS; k++) {
        print_message("%-30s %8llu %8llu %3llu\n", kind_names[k],
                      (unsigned long long)counts[k][DETECTED],
                      (unsigned long long)counts[k][HARMLESS], (unsigned long long)counts[k][CUT]);
    }
    image_free(im);
    free(im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_damage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
