/* test_io_agree.c: the simulation is held against the real thing: random calls over a few names go
 * to both, and every status, every listing and every byte must be the same. */
#include "io_test.h"

#define SEED  20240611u
#define SEEDS 6u

static const char *pick(struct qv__rng *rng)
{
    static const char *names[] = {"a",   "b",   "d",   "e",     "d/a",  "d/b",
                                  "e/a", "d/e", "e/d", "d/e/a", "e/d/a"};
    return names[qv__rng_below(rng, QV_ARRAY_LEN(names))];
}

static qv_status random_call(struct qv__io *io, uint64_t what, const char *x, const char *y,
                             uint64_t v, struct listing *l)
{
    struct qv__file *f = NULL;
    qv_status st;
    switch (what) {
    case 0:
        return qv__io_mkdir(io, x, NULL);
    case 1:
        return qv__io_rmdir(io, x, NULL);
    case 2:
        return qv__io_unlink(io, x, NULL);
    case 3:
        return qv__io_link(io, x, y, NULL);
    case 4:
    case 5:
        return qv__io_rename(io, x, y, NULL);
    case 6:
        return qv__io_list(io, x, listing_add, l, NULL);
    case 7:
        return qv__io_sync_dir(io, x, NULL);
    case 8: {
        static const int flags[] = {QV__OPEN_WRITE, QV__OPEN_CREATE | QV__OPEN_EXCL,
                                    QV__OPEN_WRITE | QV__OPEN_TRUNC};
        st = qv__io_open(io, x, flags[v % 3], &f, NULL);
        break;
    }
    default:
        st = qv__io_open(io, x, v % 2 ? QV__OPEN_CREATE : QV__OPEN_CREATE | QV__OPEN_TRUNC, &f,
                         NULL);
        if (st == QV_OK) {
            st = qv__io_pwrite(f, &v, sizeof v, v % 20, NULL);
        }
    }
    qv__io_file_close(f, NULL);
    return st;
}

static void compare_trees(struct qv__io *p, struct qv__io *s)
{
    static const char *dirs[] = {"", "d", "e", "d/e", "e/d"};
    for (size_t i = 0; i < QV_ARRAY_LEN(dirs); i++) {
        struct listing a = {{0}}, b = {{0}};
        qv_status st = qv__io_list(p, dirs[i], listing_add, &a, NULL);
        assert_status(qv__io_list(s, dirs[i], listing_add, &b, NULL), st);
        assert_string_equal(a.text, b.text);
    }
}

static void compare_file(struct qv__io *p, struct qv__io *s, const char *name)
{
    void *a = NULL, *b = NULL;
    size_t na = 0, nb = 0;
    qv_status st = qv__io_read_file(p, name, 1000, p->mem, &a, &na, NULL);
    assert_status(qv__io_read_file(s, name, 1000, s->mem, &b, &nb, NULL), st);
    assert_int_equal(na, nb);
    if (st == QV_OK) {
        assert_memory_equal(a, b, na);
    }
    qv__free(a);
    qv__free(b);
}

static void test_backends_agree(void **state)
{
    (void)state;
    unsigned n_ok[11] = {0}, n_failed[11] = {0};
    for (uint64_t seed = SEED; seed < SEED + SEEDS; seed++) {
        struct env p, s;
        struct qv__rng rng;
        env_open(&p, seed % 2 ? ON_POSIX : ON_POSIX_WALK);
        env_open(&s, ON_SIM);
        qv__rng_seed(&rng, seed);
        for (int step = 0; step < 1500; step++) {
            uint64_t what = qv__rng_below(&rng, 11), v = qv__rng_u64(&rng);
            const char *x = pick(&rng), *y = pick(&rng);
            struct listing a = {{0}}, b = {{0}};
            qv_status want = random_call(p.io, what, x, y, v, &a);
            qv_status got = random_call(s.io, what, x, y, v, &b);
            if (got != want) {
                fail_msg("seed %" PRIu64 " step %d call %" PRIu64 " %s %s: posix %s, sim %s", seed,
                         step, what, x, y, qv_status_name(want), qv_status_name(got));
            }
            assert_string_equal(a.text, b.text);
            (want == QV_OK ? n_ok : n_failed)[what]++;
            compare_file(p.io, s.io, x);
            if (step % 20 == 0) {
                compare_trees(p.io, s.io);
            }
        }
        env_close(&p);
        env_close(&s);
    }
    for (size_t i = 0; i < QV_ARRAY_LEN(n_ok); i++) { /* every call was seen to work and to fail */
        assert_true(n_ok[i] > 10 && n_failed[i] > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backends_agree),
    };
    printf("seeds from %u, %u of them\n", SEED, SEEDS);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
