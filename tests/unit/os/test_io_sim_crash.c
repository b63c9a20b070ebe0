/* test_io_sim_crash.c: what a crash of the simulated file system may leave, and what it must. */
#include "io_test.h"

#define SEED  7001u
#define SEEDS 400u

static int setup(void **state)
{
    static struct env e;
    env_open(&e, ON_SIM);
    *state = &e;
    return 0;
}
static int teardown(void **state)
{
    env_close(*state);
    return 0;
}
static struct qv__io *io_of_state(void **state)
{
    return ((struct env *)*state)->io;
}

static struct qv__io *crash(struct qv__io *io, enum qv__sim_crash how)
{
    struct qv__io *out = NULL;
    assert_ok(qv__io_sim_crash(io, how, NULL, &out, ERR));
    return out;
}

static struct qv__io *random_crash(struct qv__io *io, uint64_t seed)
{
    struct qv__io *out = NULL;
    struct qv__rng rng;
    qv__rng_seed(&rng, seed);
    assert_ok(qv__io_sim_crash(io, QV__CRASH_RANDOM, &rng, &out, ERR));
    return out;
}

/* What a power cut leaves of one file; NULL text: no file. */
static void assert_left(struct qv__io *io, const char *name, const char *text)
{
    struct qv__io *after = crash(io, QV__CRASH_DROP_ALL);
    if (!holds(after, name, text)) {
        fail_msg("%s does not hold %s after a power cut", name, text ? text : "nothing");
    }
    qv__io_close(after);
}

/* A file that is wholly durable. */
static void put_durable(struct qv__io *io, const char *name, const char *text)
{
    put(io, name, text);
    sync_file(io, name);
    assert_ok(qv__io_sync_dir(io, "", ERR));
}

/* --- power cut --- */

static void test_bytes_need_sync(void **state)
{
    struct qv__io *io = io_of_state(state);
    put(io, "f", "hello");
    assert_left(io, "f", NULL); /* neither */
    sync_file(io, "f");
    assert_left(io, "f", NULL); /* bytes without a name */
    assert_ok(qv__io_sync_dir(io, "", ERR));
    assert_left(io, "f", "hello");

    struct qv__file *f = open_file(io, "f", QV__OPEN_WRITE);
    assert_ok(qv__io_pwrite(f, "J", 1, 0, ERR));
    assert_left(io, "f", "hello");
    assert_ok(qv__io_sync(f, true, ERR));
    assert_left(io, "f", "Jello");
    assert_ok(qv__io_truncate(f, 2, ERR));
    assert_left(io, "f", "Jello");
    assert_ok(qv__io_pwrite(f, "ab", 2, 4, ERR)); /* shorter, then longer with a gap */
    assert_left(io, "f", "Jello");
    assert_ok(qv__io_sync(f, false, ERR));
    struct qv__io *after = crash(io, QV__CRASH_DROP_ALL);
    struct qv__file *g = open_file(after, "f", QV__OPEN_READ);
    char buf[6];
    assert_ok(qv__io_pread(g, buf, 6, 0, ERR));
    assert_memory_equal(buf, "Je\0\0ab", 6);
    close_file(g);
    qv__io_close(after);
    assert_ok(qv__io_truncate(f, 0, ERR));
    assert_ok(qv__io_pwrite(f, "xyz", 3, 0, ERR));
    assert_ok(qv__io_allocate(f, 3, ERR));
    assert_ok(qv__io_sync(f, true, ERR)); /* cut and written again over reserved pages */
    assert_left(io, "f", "xyz");
    close_file(f);

    put(io, "e", ""); /* a name without bytes */
    put(io, "e", "text");
    assert_ok(qv__io_sync_dir(io, "", ERR));
    assert_left(io, "e", "");
}

static void test_names_need_sync_dir(void **state)
{
    struct qv__io *io = io_of_state(state);
    put_durable(io, "a", "A");
    put_durable(io, "b", "B");
    assert_ok(qv__io_rename(io, "a", "b", ERR));
    assert_left(io, "a", "A");
    assert_left(io, "b", "B");
    assert_ok(qv__io_sync_dir(io, "", ERR));
    assert_left(io, "a", NULL);
    assert_left(io, "b", "A");

    assert_ok(qv__io_unlink(io, "b", ERR));
    assert_left(io, "b", "A"); /* comes back */
    assert_status(qv__io_link(io, "b", "c", ERR), QV_ENOTFOUND);
    assert_ok(qv__io_sync_dir(io, "", ERR));
    assert_left(io, "b", NULL);

    put_durable(io, "x", "X");
    assert_ok(qv__io_link(io, "x", "y", ERR));
    assert_left(io, "y", NULL);
    assert_ok(qv__io_sync_dir(io, "", ERR));
    struct qv__io *after = crash(io, QV__CRASH_DROP_ALL);
    put(after, "x", "changed");
    assert_true(holds(after, "y", "changed")); /* still one file */
    qv__io_close(after);
}

static void test_each_directory_syncs_its_own(void **state)
{
    struct qv__io *io = io_of_state(state);
    assert_ok(qv__io_mkdir(io, "d", ERR));
    put(io, "d/f", "F");
    sync_file(io, "d/f");
    assert_ok(qv__io_sync_dir(io, "d", ERR));
    assert_left(io, "d/f", NULL); /* the name of d itself is missing */
    assert_ok(qv__io_sync_dir(io, "", ERR));
    assert_left(io, "d/f", "F");

    assert_ok(qv__io_mkdir(io, "e", ERR));
    assert_ok(qv__io_sync_dir(io, "", ERR));
    assert_ok(qv__io_rename(io, "d/f", "e/f", ERR));
    assert_left(io, "d/f", "F");
    assert_left(io, "e/f", NULL);
    assert_ok(qv__io_sync_dir(io, "e", ERR)); /* both names for a while */
    assert_left(io, "d/f", "F");
    assert_left(io, "e/f", "F");
    assert_ok(qv__io_sync_dir(io, "d", ERR));
    assert_left(io, "d/f", NULL);
    assert_left(io, "e/f", "F");

    assert_ok(qv__io_rmdir(io, "d", ERR));
    struct qv__io *after = crash(io, QV__CRASH_DROP_ALL);
    assert_listing(after, "", "d/ e/ ");
    qv__io_close(after);
    assert_ok(qv__io_sync_dir(io, "", ERR));
    after = crash(io, QV__CRASH_DROP_ALL);
    assert_listing(after, "", "e/ ");
    qv__io_close(after);

    /* The wrong order of the two syncs of a rename across directories loses the file. */
    assert_ok(qv__io_rename(io, "e/f", "top", ERR));
    assert_ok(qv__io_sync_dir(io, "e", ERR));
    assert_left(io, "e/f", NULL);
    assert_left(io, "top", NULL);
}

static void test_renamed_directory(void **state)
{
    struct qv__io *io = io_of_state(state);
    assert_ok(qv__io_mkdir(io, "d", ERR));
    put(io, "d/f", "F");
    sync_file(io, "d/f");
    assert_ok(qv__io_sync_dir(io, "d", ERR));
    assert_ok(qv__io_sync_dir(io, "", ERR));
    assert_ok(qv__io_rename(io, "d", "e", ERR));
    assert_left(io, "d/f", "F");
    struct qv__io *after = crash(io, QV__CRASH_DROP_ALL);
    assert_listing(after, "", "d/ ");
    assert_ok(qv__io_rename(after, "d", "x", ERR)); /* and goes on from there */
    assert_true(holds(after, "x/f", "F"));
    assert_ok(qv__io_mkdir(after, "x/y", ERR));
    assert_status(qv__io_rename(after, "x", "x/y/z", ERR), QV_EIO);
    qv__io_close(after);
    assert_ok(qv__io_sync_dir(io, "", ERR));
    assert_left(io, "e/f", "F");
    assert_ok(qv__io_mkdir(io, "e/y", ERR));
    after = crash(io, QV__CRASH_KEEP_ALL);
    assert_status(qv__io_rename(after, "e", "e/y/z", ERR), QV_EIO);
    qv__io_close(after);
    assert_left(io, "d/f", NULL);
}

/* Directories that refer to each other in a circle through what was synced when. */
static void test_circle(void **state)
{
    struct qv__io *io = io_of_state(state);
    assert_ok(qv__io_mkdir(io, "x", ERR));
    assert_ok(qv__io_mkdir(io, "x/y", ERR));
    put(io, "x/y/f", "F");
    sync_file(io, "x/y/f");
    assert_ok(qv__io_sync_dir(io, "x/y", ERR));
    assert_ok(qv__io_sync_dir(io, "x", ERR));
    assert_ok(qv__io_sync_dir(io, "", ERR));
    assert_ok(qv__io_rename(io, "x/y", "y", ERR));
    assert_ok(qv__io_rename(io, "x", "y/x", ERR));
    assert_ok(qv__io_sync_dir(io, "y", ERR)); /* durable: root has x, x has y, y has x */
    for (uint64_t seed = SEED; seed < SEED + 50; seed++) {
        struct qv__io *after = random_crash(io, seed);
        bool a = holds(after, "x/y/f", "F"), b = holds(after, "y/f", "F");
        assert_true(!a || !b); /* one directory, one place */
        qv__io_close(after);
    }
    assert_left(io, "x/y/f", "F");
    struct qv__io *after = crash(io, QV__CRASH_DROP_ALL);
    assert_listing(after, "x/y", "f ");
    qv__io_close(after);
    after = crash(io, QV__CRASH_KEEP_ALL);
    assert_true(holds(after, "y/f", "F"));
    assert_listing(after, "y", "f x/ ");
    assert_ok(qv__io_unlink(after, "y/f", ERR));
    assert_ok(qv__io_rmdir(after, "y/x", ERR));
    assert_ok(qv__io_rmdir(after, "y", ERR));
    assert_ok(qv__io_sync_dir(after, "", ERR)); /* the circle is all that is left of them */
    assert_listing(after, "", "");
    qv__io_close(after);
}

/* --- kill -9 --- */

static void test_kill_keeps_all_but_is_no_sync(void **state)
{
    struct qv__io *io = io_of_state(state);
    put_durable(io, "f", "old");
    put_durable(io, "gone", "G");
    struct qv__file *f = open_file(io, "f", QV__OPEN_WRITE);
    assert_ok(qv__io_lock(f, ERR));
    assert_ok(qv__io_pwrite(f, "NEW", 3, 0, ERR));
    put(io, "g", "G");
    assert_ok(qv__io_rename(io, "gone", "here", ERR));
    assert_ok(qv__io_mkdir(io, "d", ERR));
    put(io, "d/x", "X");
    put(io, "nameless", "N");
    struct qv__file *n = open_file(io, "nameless", QV__OPEN_READ);
    assert_ok(qv__io_unlink(io, "nameless", ERR));

    struct qv__io *killed = crash(io, QV__CRASH_KEEP_ALL);
    assert_listing(killed, "", "d/ f g here ");
    assert_true(holds(killed, "f", "NEW"));
    assert_true(holds(killed, "g", "G"));
    assert_true(holds(killed, "here", "G"));
    assert_true(holds(killed, "d/x", "X"));
    struct qv__file *again = open_file(killed, "f", QV__OPEN_WRITE);
    assert_ok(qv__io_lock(again, ERR)); /* locks died with their holder */

    struct qv__io *cut = crash(killed, QV__CRASH_DROP_ALL); /* then the power goes */
    assert_listing(cut, "", "f gone ");
    assert_true(holds(cut, "f", "old"));
    qv__io_close(cut);
    assert_ok(qv__io_sync(again, true, ERR)); /* who reads it after a kill must sync it first */
    assert_ok(qv__io_sync_dir(killed, "", ERR));
    assert_left(killed, "f", "NEW");
    assert_left(killed, "here", "G");
    assert_left(killed, "gone", NULL);
    assert_left(killed, "g", "");
    close_file(again);
    qv__io_close(killed);

    char c; /* and the old one lives on */
    assert_ok(qv__io_pread(n, &c, 1, 0, ERR));
    assert_true(holds(io, "f", "NEW"));
    assert_left(io, "f", "old");
    struct qv__file *second = open_file(io, "f", QV__OPEN_READ);
    assert_status(qv__io_lock(second, ERR), QV_ELOCKED);
    close_file(second);
    close_file(n);
    close_file(f);
}

static void test_doomed_bytes_after_a_kill(void **state)
{
    struct qv__io *io = io_of_state(state);
    put_durable(io, "f", "old");
    struct qv__file *f = open_file(io, "f", QV__OPEN_WRITE);
    assert_ok(qv__io_pwrite(f, "N", 1, 0, ERR));
    qv__io_sim_fault(io, (struct qv__sim_fault){QV__SIM_SYNC, 1, false, QV_EIO, false});
    assert_status(qv__io_sync(f, true, ERR), QV_EIO);
    struct qv__io *killed = crash(io, QV__CRASH_KEEP_ALL);
    sync_file(killed, "f"); /* saves nothing: the kernel gave those bytes up */
    assert_true(holds(killed, "f", "Nld"));
    assert_left(killed, "f", "old");
    qv__io_close(killed);
    close_file(f);
}

/* --- anything may happen --- */

static bool all_bytes(const uint8_t *p, size_t n, int c)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != (uint8_t)c) {
            return false;
        }
    }
    return true;
}

/* Two unsynced writes over each other, not aligned: every sector-sized piece is whole, and over the
 * seeds every outcome is seen: none, one, the other, both, torn. */
static void test_random_writes_are_torn_at_sectors(void **state)
{
    enum { SIZE = 4096, FROM = 100, TO = 3000 };
    struct qv__io *io = io_of_state(state);
    static uint8_t bytes[SIZE];
    struct qv__file *f = open_file(io, "f", QV__OPEN_CREATE);
    memset(bytes, 'o', SIZE);
    assert_ok(qv__io_pwrite(f, bytes, SIZE, 0, ERR));
    assert_ok(qv__io_sync(f, false, ERR));
    assert_ok(qv__io_sync_dir(io, "", ERR));
    memset(bytes, 'a', SIZE);
    assert_ok(qv__io_pwrite(f, bytes, TO - FROM, FROM, ERR));
    memset(bytes, 'b', SIZE);
    assert_ok(qv__io_pwrite(f, bytes, 600, 1000, ERR));
    unsigned none = 0, only_a = 0, only_b = 0, both = 0, torn = 0;
    for (uint64_t seed = SEED; seed < SEED + SEEDS; seed++) {
        struct qv__io *after = random_crash(io, seed);
        struct qv__file *g = open_file(after, "f", QV__OPEN_READ);
        assert_ok(qv__io_pread(g, bytes, SIZE, 0, ERR));
        close_file(g);
        qv__io_close(after);
        assert_true(all_bytes(bytes, FROM, 'o') && all_bytes(bytes + TO, SIZE - TO, 'o'));
        size_t n_a = 0, n_o = 0, n_b = 0;
        static const size_t cuts[] = {FROM, 512, 1000, 1024, 1536, 1600, 2048, 2560, TO};
        for (size_t i = 0; i + 1 < QV_ARRAY_LEN(cuts); i++) {
            const uint8_t *p = bytes + cuts[i];
            size_t n = cuts[i + 1] - cuts[i];
            assert_true(all_bytes(p, n, p[0]));
            n_a += p[0] == 'a' ? n : 0;
            n_b += p[0] == 'b' ? n : 0;
            n_o += p[0] == 'o' ? n : 0;
        }
        assert_int_equal(n_a + n_b + n_o, TO - FROM);
        none += n_o == TO - FROM;
        only_a += n_a == TO - FROM;
        only_b += n_b == 600 && n_a == 0;
        both += n_b == 600 && n_o == 0;
        torn += n_o != 0 && n_a != 0;
    }
    close_file(f);
    assert_true(none > 5 && only_a > 5 && only_b > 5 && both > 5 && torn > 20);
}

/* A small write inside one sector is whole or absent; an append may leave the size without bytes.
 */
static void test_random_append(void **state)
{
    struct qv__io *io = io_of_state(state);
    put_durable(io, "small", "aaaa");
    put_durable(io, "log", "");
    struct qv__file *f = open_file(io, "small", QV__OPEN_WRITE);
    assert_ok(qv__io_pwrite(f, "bbb", 3, 1, ERR));
    close_file(f);
    static uint8_t bytes[2000];
    memset(bytes, 'x', sizeof bytes);
    f = open_file(io, "log", QV__OPEN_WRITE);
    assert_ok(qv__io_pwrite(f, bytes, sizeof bytes, 0, ERR));
    close_file(f);
    unsigned empty = 0, whole = 0, size_only = 0, shorter = 0, small_new = 0;
    for (uint64_t seed = SEED; seed < SEED + SEEDS; seed++) {
        struct qv__io *after = random_crash(io, seed);
        void *p = NULL;
        size_t n = 0;
        assert_true(holds(after, "small", "aaaa") || holds(after, "small", "abbb"));
        small_new += holds(after, "small", "abbb");
        assert_ok(qv__io_read_file(after, "log", sizeof bytes, io->mem, &p, &n, ERR));
        for (size_t i = 0; i < n; i++) {
            assert_true(((uint8_t *)p)[i] == 'x' || ((uint8_t *)p)[i] == 0);
        }
        assert_true(n % 512 == 0 || n == sizeof bytes);
        empty += n == 0;
        whole += n == sizeof bytes && all_bytes(p, n, 'x');
        size_only += n == sizeof bytes && ((uint8_t *)p)[n - 1] == 0;
        shorter += n > 0 && n < sizeof bytes;
        qv__free(p);
        qv__io_close(after);
    }
    assert_true(empty > 5 && whole > 5 && size_only > 2 && shorter > 2 && small_new > 20);
}

static void test_random_sizes(void **state)
{
    struct qv__io *io = io_of_state(state);
    put_durable(io, "cut", "0123456789");
    put_durable(io, "grown", "");
    struct qv__file *f = open_file(io, "cut", QV__OPEN_WRITE);
    assert_ok(qv__io_truncate(f, 4, ERR));
    close_file(f);
    f = open_file(io, "grown", QV__OPEN_WRITE);
    assert_ok(qv__io_allocate(f, 10000, ERR));
    close_file(f);
    unsigned cut = 0, none = 0, part = 0, all = 0;
    for (uint64_t seed = SEED; seed < SEED + SEEDS; seed++) {
        struct qv__io *after = random_crash(io, seed);
        assert_true(holds(after, "cut", "0123456789") || holds(after, "cut", "0123"));
        cut += holds(after, "cut", "0123");
        uint64_t size = 0;
        f = open_file(after, "grown", QV__OPEN_READ);
        assert_ok(qv__io_size(f, &size, ERR));
        close_file(f);
        assert_true(size <= 10000);
        none += size == 0;
        part += size > 0 && size < 10000;
        all += size == 10000;
        qv__io_close(after);
    }
    assert_true(cut > 20 && cut < SEEDS - 20 && none > 20 && part > 20 && all > 20);
}

/* An allocation never cuts, also where the truncation before it was lost. */
static void test_random_cut_and_allocate(void **state)
{
    struct qv__io *io = io_of_state(state);
    put_durable(io, "f", "0123456789");
    struct qv__file *f = open_file(io, "f", QV__OPEN_WRITE);
    assert_ok(qv__io_truncate(f, 0, ERR));
    assert_ok(qv__io_allocate(f, 4, ERR));
    close_file(f);
    unsigned old = 0, empty = 0, zeros = 0;
    for (uint64_t seed = SEED; seed < SEED + SEEDS; seed++) {
        struct qv__io *after = random_crash(io, seed);
        void *p = NULL;
        size_t n = 0;
        assert_ok(qv__io_read_file(after, "f", 100, io->mem, &p, &n, ERR));
        old += n == 10 && memcmp(p, "0123456789", 10) == 0;
        empty += n == 0;
        zeros += n == 4 && all_bytes(p, 4, 0);
        qv__free(p);
        qv__io_close(after);
    }
    assert_int_equal(old + empty + zeros, SEEDS);
    assert_true(old > 20 && empty > 20 && zeros > 20);
}

/* The two halves of a rename, and names that changed twice. */
static void test_random_names(void **state)
{
    struct qv__io *io = io_of_state(state);
    put_durable(io, "a", "A");
    put_durable(io, "v", "1");
    put(io, "v2", "2");
    sync_file(io, "v2");
    put(io, "v3", "3");
    sync_file(io, "v3");
    assert_ok(qv__io_rename(io, "a", "b", ERR));
    assert_ok(qv__io_rename(io, "v2", "v", ERR));
    assert_ok(qv__io_rename(io, "v3", "v", ERR));
    unsigned ab[4] = {0}, v[4] = {0};
    for (uint64_t seed = SEED; seed < SEED + SEEDS; seed++) {
        struct qv__io *after = random_crash(io, seed);
        ab[(exists(after, "a") ? 1 : 0) + (exists(after, "b") ? 2 : 0)]++;
        assert_true(holds(after, "b", "A") || holds(after, "b", NULL));
        int which = holds(after, "v", "1") ? 1 : holds(after, "v", "2") ? 2 : 3;
        assert_true(which < 3 || holds(after, "v", "3")); /* never without one of them */
        v[which]++;
        qv__io_close(after);
    }
    for (int i = 0; i < 4; i++) {
        assert_true(ab[i] > 5);
        assert_true(i == 0 || v[i] > 5);
    }
}

/* A whole write_file that was not acknowledged, crashed at every call: old or new, never a mix; and
 * one that was acknowledged stays. */
static void test_write_file_is_atomic(void **state)
{
    struct qv__io *io = io_of_state(state);
    static char old[3000], new[2500];
    memset(old, 'o', sizeof old - 1);
    memset(new, 'n', sizeof new - 1);
    unsigned n_old = 0, n_new = 0;
    for (uint64_t at = 1; at <= 7; at++) {
        assert_ok(qv__io_write_file(io, "f", old, sizeof old - 1, ERR));
        qv__io_sim_fault(io, (struct qv__sim_fault){QV__SIM_ANY, at, true, QV_EIO, true});
        qv_status st = qv__io_write_file(io, "f", new, sizeof new - 1, ERR);
        qv__io_sim_fault(io, (struct qv__sim_fault){0});
        assert_true((st == QV_OK) == (at == 7));
        for (uint64_t seed = SEED; seed < SEED + SEEDS; seed++) {
            struct qv__io *after = random_crash(io, seed);
            bool is_new = holds(after, "f", new);
            assert_true(is_new || (st != QV_OK && holds(after, "f", old)));
            assert_ok(qv__io_write_file(after, "f", "next", 4, ERR)); /* whatever else was left */
            assert_true(holds(after, "f", "next"));
            (is_new ? &n_new : &n_old)[0]++;
            qv__io_close(after);
        }
    }
    assert_true(n_old > SEEDS && n_new > SEEDS);
}

static void add_state(void *arg, const char *name, uint64_t size)
{
    struct listing *l = arg;
    size_t n = strlen(l->text);
    snprintf(l->text + n, sizeof l->text - n, "%s=%" PRIu64 " ", name, size);
}

static void test_same_seed_same_result(void **state)
{
    struct qv__io *io = io_of_state(state);
    struct qv__rng rng;
    char name[16], text[2000];
    qv__rng_seed(&rng, SEED);
    memset(text, 'x', sizeof text);
    for (int i = 0; i < 30; i++) {
        snprintf(name, sizeof name, "f%d", (i * 7) % 30);
        text[qv__rng_below(&rng, sizeof text)] = 0;
        put(io, name, text);
        memset(text, 'x', sizeof text);
        if (i % 3 == 0) {
            sync_file(io, name);
        }
        if (i == 15) {
            assert_ok(qv__io_sync_dir(io, "", ERR));
        }
    }
    unsigned distinct = 0;
    struct listing last = {{0}};
    for (uint64_t seed = SEED; seed < SEED + 20; seed++) {
        struct qv__io *a = random_crash(io, seed), *b = random_crash(io, seed);
        struct listing x = {{0}}, y = {{0}};
        assert_ok(qv__io_sim_list(a, add_state, &x, ERR));
        assert_ok(qv__io_sim_list(b, add_state, &y, ERR));
        assert_string_equal(x.text, y.text);
        distinct += strcmp(x.text, last.text) != 0;
        last = x;
        qv__io_close(a);
        qv__io_close(b);
    }
    assert_int_equal(distinct, 20);
}

/* --- against models of their own --- */

/* One file: the durable bytes are those at the last sync, whatever was done since. */
static void test_model_of_bytes(void **state)
{
    enum { MAX = 9000 };
    static uint8_t now[MAX], durable[MAX], buf[MAX];
    struct qv__io *io = io_of_state(state);
    struct qv__rng rng;
    size_t n_now = 0, n_durable = 0;
    qv__rng_seed(&rng, SEED);
    struct qv__file *f = open_file(io, "f", QV__OPEN_CREATE);
    assert_ok(qv__io_sync_dir(io, "", ERR));
    for (int step = 0; step < 3000; step++) {
        size_t off = qv__rng_below(&rng, MAX), n = qv__rng_below(&rng, QV_MIN(MAX - off, 3000u));
        uint64_t what = qv__rng_below(&rng, 10);
        if (what < 4) {
            memset(buf, (int)qv__rng_below(&rng, 256), n);
            assert_ok(qv__io_pwrite(f, buf, n, off, ERR));
            memcpy(now + off, buf, n);
            n_now = n ? QV_MAX(n_now, off + n) : n_now;
        } else if (what < 6) {
            assert_ok(what == 4 ? qv__io_truncate(f, off, ERR) : qv__io_allocate(f, off, ERR));
            if (off < n_now && what == 4) {
                memset(now + off, 0, n_now - off);
            }
            n_now = what == 4 ? off : QV_MAX(n_now, off);
        } else if (what < 7) {
            assert_ok(qv__io_sync(f, true, ERR));
            memcpy(durable, now, MAX);
            n_durable = n_now;
        } else {
            bool kill = what == 7;
            struct qv__io *after = crash(io, kill ? QV__CRASH_KEEP_ALL : QV__CRASH_DROP_ALL);
            if (what == 9) { /* a kill, then a power cut */
                struct qv__io *killed = crash(io, QV__CRASH_KEEP_ALL);
                qv__io_close(after);
                after = crash(killed, QV__CRASH_DROP_ALL);
                qv__io_close(killed);
            }
            struct qv__file *g = open_file(after, "f", QV__OPEN_READ);
            uint64_t size = 0;
            assert_ok(qv__io_size(g, &size, ERR));
            assert_int_equal(size, kill ? n_now : n_durable);
            assert_ok(qv__io_pread(g, buf, (size_t)size, 0, ERR));
            assert_memory_equal(buf, kill ? now : durable, (size_t)size);
            close_file(g);
            qv__io_close(after);
        }
    }
    close_file(f);
}

/* Names of one directory: the durable ones are those at the last sync_dir. */
static void test_model_of_names(void **state)
{
    enum { N = 6 };
    struct qv__io *io = io_of_state(state);
    struct qv__rng rng;
    int now[N] = {0}, durable[N] = {0}, next = 1; /* which file a name holds; 0 = none */
    qv__rng_seed(&rng, SEED);
    for (int step = 0; step < 3000; step++) {
        size_t a = qv__rng_below(&rng, N), b = qv__rng_below(&rng, N);
        char x[2] = {(char)('a' + a), 0}, y[2] = {(char)('a' + b), 0}, text[16];
        switch (qv__rng_below(&rng, 7)) {
        case 0:
        case 1:
            if (!now[a]) {
                now[a] = next++;
                snprintf(text, sizeof text, "%d", now[a]);
                put(io, x, text);
                sync_file(io, x);
            }
            break;
        case 2:
            assert_status(qv__io_unlink(io, x, ERR), now[a] ? QV_OK : QV_ENOTFOUND);
            now[a] = 0;
            break;
        case 3:
            assert_status(qv__io_rename(io, x, y, ERR), now[a] ? QV_OK : QV_ENOTFOUND);
            if (now[a] && now[a] != now[b]) {
                now[b] = now[a];
                now[a] = 0;
            }
            break;
        case 4:
            if (now[a] && !now[b]) {
                assert_ok(qv__io_link(io, x, y, ERR));
                now[b] = now[a];
            }
            break;
        case 5:
            if (step % 3 == 0) {
                assert_ok(qv__io_sync_dir(io, "", ERR));
                memcpy(durable, now, sizeof now);
            }
            break;
        default: {
            bool kill = step % 2;
            struct qv__io *after = crash(io, kill ? QV__CRASH_KEEP_ALL : QV__CRASH_DROP_ALL);
            for (int twice = 0; twice < 2; twice++) {
                const int *want = kill && !twice ? now : durable;
                for (size_t i = 0; i < N; i++) {
                    char z[2] = {(char)('a' + i), 0};
                    snprintf(text, sizeof text, "%d", want[i]);
                    assert_true(holds(after, z, want[i] ? text : NULL));
                }
                struct qv__io *again = crash(after, QV__CRASH_DROP_ALL); /* then a cut */
                qv__io_close(after);
                after = again;
            }
            qv__io_close(after);
        }
        }
    }
}

/* --- memory runs out --- */

static void test_crash_out_of_memory(void **state)
{
    struct qv__io *io = io_of_state(state);
    static const enum qv__sim_crash hows[] = {QV__CRASH_KEEP_ALL, QV__CRASH_DROP_ALL,
                                              QV__CRASH_RANDOM};
    put_durable(io, "f", "F");
    assert_ok(qv__io_mkdir(io, "d", ERR));
    assert_ok(qv__io_sync_dir(io, "", ERR));
    put(io, "d/x", "X");
    put(io, "f", "changed");
    assert_ok(qv__io_unlink(io, "f", ERR));
    put(io, "f", "again");
    size_t used = qv__mem_used(io->mem);
    for (size_t i = 0; i < QV_ARRAY_LEN(hows); i++) {
        qv_status st = QV_ENOMEM;
        uint64_t at = 1;
        for (; st != QV_OK; at++) {
            struct qv__io *after = NULL;
            struct qv__rng rng;
            qv__rng_seed(&rng, SEED);
            qv__mem_fail_at(io->mem, at, at % 2);
            st = qv__io_sim_crash(io, hows[i], &rng, &after, ERR);
            qv__mem_fail_at(io->mem, 0, false);
            assert_true(st == QV_OK || (st == QV_ENOMEM && !after));
            qv__io_close(after);
            assert_int_equal(qv__mem_used(io->mem), used);
            assert_true(holds(io, "f", "again") && holds(io, "d/x", "X"));
        }
        assert_true(at > 8);
    }
    assert_left(io, "f", "F");
}

/* --- crashes by plan --- */

static struct qv__io *planned(struct qv__io *io, const struct qv__sim_fate *fates)
{
    struct qv__io *out = NULL;
    assert_ok(qv__io_sim_crash_as(io, fates, &out, ERR));
    return out;
}

static void test_units_and_their_fates(void **state)
{
    struct qv__io *io = io_of_state(state);
    struct qv__sim_unit u[8];
    put_durable(io, "f", "old");
    assert_int_equal(qv__io_sim_units(io, u, 8), 0);
    struct qv__file *f = open_file(io, "f", QV__OPEN_WRITE);
    char bytes[1200];
    memset(bytes, 'x', sizeof bytes);
    assert_ok(qv__io_pwrite(f, bytes, sizeof bytes, 0, ERR)); /* three sectors */
    put(io, "g", "G");                                        /* a name, then a write */
    assert_ok(qv__io_rename(io, "g", "h", ERR));              /* a name more, a name less */
    assert_ok(qv__io_truncate(f, 700, ERR));
    close_file(f);
    static const enum qv__sim_unit_kind kinds[] = {QV__UNIT_WRITE,     QV__UNIT_ADD_NAME,
                                                   QV__UNIT_WRITE,     QV__UNIT_ADD_NAME,
                                                   QV__UNIT_DROP_NAME, QV__UNIT_TRUNCATE};
    assert_int_equal(qv__io_sim_units(io, u, 8), QV_ARRAY_LEN(kinds));
    for (size_t i = 0; i < QV_ARRAY_LEN(kinds); i++) {
        assert_int_equal(u[i].kind, kinds[i]);
        assert_true(i == 0 || u[i].seq > u[i - 1].seq);
    }
    assert_int_equal(u[0].sectors, 3);
    assert_int_equal(qv__io_sim_units(io, NULL, 0), QV_ARRAY_LEN(kinds));

    struct qv__sim_fate fates[QV_ARRAY_LEN(kinds)] = {{QV__FATE_KEPT, 0, false}};
    struct qv__io *after = planned(io, fates); /* all kept: as programs see it */
    assert_true(qv__io_sim_hash(after) == qv__io_sim_hash(io));
    assert_int_equal(qv__io_sim_units(after, NULL, 0), 0);
    qv__io_close(after);

    fates[0] = (struct qv__sim_fate){QV__FATE_TORN, 2, false}; /* the middle sector alone */
    fates[4].kind = fates[5].kind = QV__FATE_DROPPED;
    after = planned(io, fates);
    assert_true(holds(after, "g", "G") && holds(after, "h", "G"));
    f = open_file(after, "f", QV__OPEN_READ);
    uint64_t size = 0;
    assert_ok(qv__io_size(f, &size, ERR));
    assert_int_equal(size, 1024);
    assert_ok(qv__io_pread(f, bytes, 1024, 0, ERR));
    assert_memory_equal(bytes, "old\0", 4);
    assert_int_equal(bytes[511], 0);
    assert_int_equal(bytes[512], 'x');
    close_file(f);
    qv__io_close(after);

    fates[0].grown = true;
    fates[1].kind = fates[3].kind = QV__FATE_DROPPED;
    after = planned(io, fates);
    assert_true(holds(after, "g", NULL) && holds(after, "h", NULL));
    f = open_file(after, "f", QV__OPEN_READ);
    assert_ok(qv__io_size(f, &size, ERR));
    assert_int_equal(size, 1200);
    close_file(f);
    qv__io_close(after);
}

static void test_disks_are_compared_by_content(void **state)
{
    struct qv__io *io = io_of_state(state);
    uint64_t empty = qv__io_sim_hash(io);
    put(io, "f", "F");
    uint64_t with_f = qv__io_sim_hash(io);
    assert_true(with_f != empty);
    put(io, "f", "E");
    assert_true(qv__io_sim_hash(io) != with_f);
    put(io, "f", "F");
    assert_true(qv__io_sim_hash(io) == with_f);
    assert_ok(qv__io_mkdir(io, "d", ERR));
    uint64_t with_d = qv__io_sim_hash(io);
    assert_true(with_d != with_f);
    assert_ok(qv__io_rename(io, "f", "d/f", ERR));
    assert_true(qv__io_sim_hash(io) != with_d);
    assert_ok(qv__io_rename(io, "d/f", "f", ERR));
    assert_true(qv__io_sim_hash(io) == with_d);
    struct qv__io *after = crash(io, QV__CRASH_KEEP_ALL);
    assert_true(qv__io_sim_hash(after) == with_d);
    assert_ok(qv__io_sim_flip(after, "f", 0, 3)); /* the page was shared: this one alone changes */
    assert_true(qv__io_sim_hash(after) != with_d);
    assert_true(qv__io_sim_hash(io) == with_d && holds(io, "f", "F"));
    qv__io_close(after);
}

struct watcher {
    struct qv__io *io;
    size_t calls, units;
};

static void count_units(void *arg)
{
    struct watcher *w = arg;
    w->calls++;
    w->units = qv__io_sim_units(w->io, NULL, 0);
}

static void test_syncs_are_announced(void **state)
{
    struct qv__io *io = io_of_state(state);
    struct watcher w = {.io = io};
    qv__io_sim_watch(io, count_units, &w);
    put(io, "f", "F");
    assert_int_equal(w.calls, 0);
    sync_file(io, "f");
    assert_int_equal(w.calls, 1);
    assert_int_equal(w.units, 2); /* before anything was done: the name and the write */
    assert_ok(qv__io_sync_dir(io, "", ERR));
    assert_int_equal(w.calls, 2);
    assert_int_equal(w.units, 1);
    qv__io_sim_watch(io, NULL, NULL);
    sync_file(io, "f");
    assert_int_equal(w.calls, 2);
}

#define ON_SIM_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_SIM_TEST(test_bytes_need_sync),
        ON_SIM_TEST(test_names_need_sync_dir),
        ON_SIM_TEST(test_each_directory_syncs_its_own),
        ON_SIM_TEST(test_renamed_directory),
        ON_SIM_TEST(test_circle),
        ON_SIM_TEST(test_kill_keeps_all_but_is_no_sync),
        ON_SIM_TEST(test_doomed_bytes_after_a_kill),
        ON_SIM_TEST(test_random_writes_are_torn_at_sectors),
        ON_SIM_TEST(test_random_append),
        ON_SIM_TEST(test_random_sizes),
        ON_SIM_TEST(test_random_cut_and_allocate),
        ON_SIM_TEST(test_random_names),
        ON_SIM_TEST(test_write_file_is_atomic),
        ON_SIM_TEST(test_same_seed_same_result),
        ON_SIM_TEST(test_model_of_bytes),
        ON_SIM_TEST(test_model_of_names),
        ON_SIM_TEST(test_crash_out_of_memory),
        ON_SIM_TEST(test_units_and_their_fates),
        ON_SIM_TEST(test_disks_are_compared_by_content),
        ON_SIM_TEST(test_syncs_are_announced),
    };
    printf("seeds from %u, %u of them\n", SEED, SEEDS);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
