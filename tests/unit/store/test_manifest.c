/* test_manifest.c: manifests: round trip, the switch under failures and crashes, damage, clearing.
 */
#include "base/buf.h"
#include "base/crc32c.h"
#include "store/manifest.h"
#include "store_test.h"

#define SHARDS 3u

static struct qv__manifest_segment segments[16];
static struct qv__manifest_shard shards[SHARDS];
static uint8_t catalog[5000];

/* The contents of generation g. */
static struct qv__manifest make(uint64_t g)
{
    struct qv__manifest m = {
        .generation = g,
        .checkpoint_lsn = g * 100,
        .next_file_id = 1000 + g,
        .epoch = g / 2,
        .catalog = {catalog, (size_t)(g * 137 % sizeof catalog)},
        .shards = shards,
        .n_shards = (uint32_t)(g % (SHARDS + 1)),
    };
    memset(m.db_uuid, (int)(0xa0 + g), sizeof m.db_uuid);
    memset(catalog, (int)g, sizeof catalog);
    unsigned used = 0;
    for (uint32_t i = 0; i < SHARDS; i++) {
        uint32_t n = (uint32_t)((g + i) % 4);
        shards[i] = (struct qv__manifest_shard){g + i, i, n, g * 10 + i, &segments[used]};
        for (uint32_t j = 0; j < n; j++) {
            used++;
            segments[used - 1] = (struct qv__manifest_segment){.segment_id = g * 50 + used,
                                                               .file_bytes = (g + 1) << 33,
                                                               .n_rows = 100 + j,
                                                               .n_dead = j,
                                                               .tombstone_gen = g - j % 2,
                                                               .min_lsn = g,
                                                               .max_lsn = g + 9};
        }
    }
    return m;
}

static void assert_same(const struct qv__manifest *a, uint64_t g)
{
    struct qv__manifest b = make(g);
    assert_int_equal(a->generation, b.generation);
    assert_int_equal(a->checkpoint_lsn, b.checkpoint_lsn);
    assert_int_equal(a->next_file_id, b.next_file_id);
    assert_int_equal(a->epoch, b.epoch);
    assert_memory_equal(a->db_uuid, b.db_uuid, 16);
    assert_int_equal(a->catalog.n, b.catalog.n);
    if (b.catalog.n) {
        assert_memory_equal(a->catalog.p, b.catalog.p, b.catalog.n);
    }
    assert_int_equal(a->n_shards, b.n_shards);
    for (uint32_t i = 0; i < b.n_shards; i++) {
        const struct qv__manifest_shard *x = &a->shards[i], *y = &b.shards[i];
        assert_int_equal(x->collection_id, y->collection_id);
        assert_int_equal(x->shard, y->shard);
        assert_int_equal(x->flushed_lsn, y->flushed_lsn);
        assert_int_equal(x->n_segments, y->n_segments);
        for (uint32_t j = 0; j < y->n_segments; j++) {
            assert_memory_equal(&x->segments[j], &y->segments[j], sizeof y->segments[j]);
        }
    }
}

static qv_status write_generation(struct env *e, uint64_t g)
{
    struct qv__manifest m = make(g);
    return qv__manifest_write(e->io, e->mem, &m, ERR);
}

/* Read the live one; 0 when there is none. */
static uint64_t live(struct env *e)
{
    struct qv__arena a;
    struct qv__manifest m;
    qv__arena_init(&a, e->mem);
    qv_status st = qv__manifest_read(e->io, &a, &m, ERR);
    uint64_t g = 0;
    if (st != QV_ENOTFOUND) {
        assert_ok(st);
        g = m.generation;
        assert_same(&m, g);
    }
    qv__arena_free(&a);
    return g;
}

static qv_status read_status(struct env *e)
{
    struct qv__arena a;
    struct qv__manifest m;
    qv__arena_init(&a, e->mem);
    qv_status st = qv__manifest_read(e->io, &a, &m, ERR);
    qv__arena_free(&a);
    return st;
}

static void round_trip(void **state)
{
    (void)state;
    struct env e;
    env_open(&e);
    assert_int_equal(live(&e), 0);
    for (uint64_t g = 1; g < 40; g += 1 + g % 3) {
        assert_ok(write_generation(&e, g));
        assert_int_equal(live(&e), g);
        env_crash(&e, QV__CRASH_DROP_ALL, NULL);
        assert_int_equal(live(&e), g);
        assert_status(write_generation(&e, g), QV_EINVAL); /* generations rise */
        assert_status(write_generation(&e, g - 1), QV_EINVAL);
        assert_int_equal(live(&e), g);
    }
    env_close(&e);
}

static void clearing_away(void **state)
{
    (void)state;
    struct env e;
    env_open(&e);
    for (uint64_t g = 1; g <= 100; g++) {
        assert_ok(write_generation(&e, g));
    }
    write_whole(e.io, "manifest-0000000000000fff", "left by a failed write", 22);
    write_whole(e.io, "manifest-x", "a stranger", 10);
    write_whole(e.io, "manifest-00000000000000001", "a stranger", 10);
    assert_int_equal(dir_look(e.io, "").n, 104);
    assert_ok(qv__manifest_clean(e.io, 100, ERR));
    assert_int_equal(dir_look(e.io, "").n, 5); /* CURRENT, 99, 100, two strangers */
    assert_int_equal(live(&e), 100);
    struct qv__file *f;
    assert_ok(qv__io_open(e.io, "manifest-0000000000000063", QV__OPEN_READ, &f, ERR));
    assert_ok(qv__io_file_close(f, ERR));
    assert_ok(qv__manifest_clean(e.io, 100, ERR));
    assert_int_equal(dir_look(e.io, "").n, 5);
    env_close(&e);
}

/* Every call of a write fails: the old generation stays live, in this process and after a crash. */
static void every_io_failure(void **state)
{
    (void)state;
    unsigned tried = 0;
    for (unsigned first = 0; first < 2;
         first++) { /* onto an empty directory, and onto another one */
        for (unsigned how = 0; how < 4; how++) {
            bool done = false;
            for (uint64_t at = 1; !done; at++) {
                struct env e;
                struct qv__rng rng;
                env_open(&e);
                uint64_t old = first ? 0 : 4;
                if (old) {
                    assert_ok(write_generation(&e, old));
                }
                uint64_t before = qv__io_sim_calls(e.io, QV__SIM_ANY);
                qv__io_sim_fault(
                    e.io, (struct qv__sim_fault){
                              .at = at, .sticky = how & 1, .partial = how & 2, .status = QV_EIO});
                qv_status st = write_generation(&e, 5);
                done = qv__io_sim_calls(e.io, QV__SIM_ANY) - before < at;
                no_fault(e.io);
                uint64_t now = live(&e);
                if (st == QV_OK) {
                    assert_int_equal(now, 5);
                } else if (st != QV_EREADONLY) {
                    assert_int_equal(now, old);
                } else {
                    assert_true(how & 1); /* only a disk that keeps failing leaves it open */
                }
                qv__rng_seed(&rng, at);
                env_crash(&e, at % 2 ? QV__CRASH_RANDOM : QV__CRASH_DROP_ALL, &rng);
                uint64_t after = live(&e);
                assert_true(after == 5 || after == old); /* never neither */
                if (st == QV_OK) {
                    assert_int_equal(after, 5);
                } else if (st != QV_EREADONLY) {
                    assert_int_equal(after, old);
                }
                assert_ok(write_generation(&e, 6)); /* and it goes on */
                assert_int_equal(live(&e), 6);
                env_close(&e);
                tried++;
            }
        }
    }
    print_message("%u runs with a failing call\n", tried);
}

/* The machine goes down at every call of a write, in many ways. */
static void crash_at_every_call(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 2; first++) {
        bool done = false;
        for (uint64_t at = 1; !done; at++) {
            for (uint64_t seed = 0; seed < 40; seed++) {
                struct env e;
                struct qv__rng rng;
                env_open(&e);
                uint64_t old = first ? 0 : 4;
                if (old) {
                    assert_ok(write_generation(&e, old));
                }
                uint64_t before = qv__io_sim_calls(e.io, QV__SIM_ANY);
                /* From that call on nothing happens any more. */
                qv__io_sim_fault(
                    e.io, (struct qv__sim_fault){.at = at, .sticky = true, .partial = seed % 2});
                qv_status st = write_generation(&e, 5);
                done = qv__io_sim_calls(e.io, QV__SIM_ANY) - before < at;
                no_fault(e.io);
                qv__rng_seed(&rng, seed + 1000 * at);
                env_crash(&e, seed == 0 ? QV__CRASH_KEEP_ALL : QV__CRASH_RANDOM, &rng);
                uint64_t after = live(&e);
                assert_true(after == 5 || after == old);
                assert_true(st != QV_OK || after == 5);
                assert_ok(write_generation(&e, 5 + (after == 5)));
                assert_ok(qv__manifest_clean(e.io, live(&e), ERR));
                env_crash(&e, QV__CRASH_DROP_ALL, NULL);
                assert_int_equal(live(&e), 5 + (after == 5));
                env_close(&e);
            }
        }
    }
}

static void damage_is_never_passed_over(void **state)
{
    (void)state;
    struct env e;
    env_open(&e);
    assert_ok(write_generation(&e, 2));
    assert_ok(write_generation(&e, 3)); /* 2 is there and sound: it must not be fallen back to */
    static const char *const names[] = {"CURRENT", "manifest-0000000000000003"};
    for (size_t i = 0; i < 2; i++) {
        struct qv__file *f;
        uint64_t size;
        assert_ok(qv__io_open(e.io, names[i], QV__OPEN_READ, &f, ERR));
        assert_ok(qv__io_size(f, &size, ERR));
        assert_ok(qv__io_file_close(f, ERR));
        for (uint64_t byte = 0; byte < size; byte++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                assert_ok(qv__io_sim_flip(e.io, names[i], byte, bit));
                assert_status(read_status(&e), QV_ECORRUPT);
                assert_says(names[i]);
                if (i == 0) {
                    assert_status(write_generation(&e, 9), QV_ECORRUPT);
                }
                assert_ok(qv__io_sim_flip(e.io, names[i], byte, bit));
            }
        }
        for (uint64_t n = 0; n < size; n += 1 + n / 50) {
            struct qv__io *was = e.io;
            assert_ok(qv__io_sim_crash(was, QV__CRASH_KEEP_ALL, NULL, &e.io, ERR));
            assert_ok(qv__io_open(e.io, names[i], QV__OPEN_WRITE, &f, ERR));
            assert_ok(qv__io_truncate(f, n, ERR));
            assert_ok(qv__io_file_close(f, ERR));
            assert_status(read_status(&e), QV_ECORRUPT);
            qv__io_close(e.io);
            e.io = was;
        }
    }
    assert_int_equal(live(&e), 3);
    assert_ok(qv__io_unlink(e.io, names[1], ERR));
    assert_status(read_status(&e), QV_ECORRUPT);
    assert_says(names[1]);
    assert_ok(qv__io_unlink(e.io, names[0], ERR));
    assert_status(read_status(&e), QV_ECORRUPT); /* CURRENT is lost, a manifest is not */
    assert_says("CURRENT");
    assert_ok(qv__io_unlink(e.io, "manifest-0000000000000002", ERR));
    assert_status(read_status(&e), QV_ENOTFOUND);
    env_close(&e);
}

/* Numbers inside that do not fit together, behind right checksums. */
static void wrong_numbers(void **state)
{
    (void)state;
    static const struct {
        size_t off;
        uint32_t value;
    } cases[] = {{32, 1},
                 {40, 9},
                 {88, 7},
                 {88, UINT32_MAX},
                 {96, 0},
                 {96, UINT32_MAX},
                 {100, 2},
                 {100, UINT32_MAX},
                 {128 + 12, 99},
                 {128 + 12, 0},
                 {128 + 96 + 20, 101}};
    struct env e;
    env_open(&e);
    assert_ok(write_generation(&e, 3));
    void *p;
    size_t n, size;
    const char *name = "manifest-0000000000000003";
    assert_ok(qv__io_read_file(e.io, name, 1 << 20, e.disk, &p, &n, ERR));
    uint8_t *bytes = p, current[64];
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        uint8_t *copy = qv__alloc(e.disk, n);
        memcpy(copy, bytes, n);
        qv__store_u32(copy + cases[i].off, cases[i].value);
        qv__store_u32(copy + 124, qv__crc32c(0, copy, 124));
        qv__store_u32(copy + n - 4, qv__crc32c(0, copy, n - 4));
        write_whole(e.io, name, copy, n);
        void *c;
        assert_ok(qv__io_read_file(e.io, "CURRENT", 64, e.disk, &c, &size, ERR));
        memcpy(current, c, 64);
        qv__free(c);
        qv__store_u32(current + 48, qv__crc32c(0, copy, n));
        qv__store_u32(current + 60, qv__crc32c(0, current, 60));
        write_whole(e.io, "CURRENT", current, 64);
        assert_status(read_status(&e), QV_ECORRUPT);
        assert_says(name);
        qv__free(copy);
    }
    qv__free(p);
    env_close(&e);
}

static void every_memory_failure(void **state)
{
    (void)state;
    struct env e;
    env_open(&e);
    assert_ok(write_generation(&e, 2));
    for (unsigned sticky = 0; sticky < 2; sticky++) {
        qv_status st;
        uint64_t at = 0, g = 3 + sticky;
        do {
            uint64_t old = g - 1;
            at++;
            qv__mem_fail_at(e.mem, at, sticky);
            st = write_generation(&e, g);
            qv__mem_fail_at(e.mem, 0, false);
            assert_true(st == QV_OK || st == QV_ENOMEM);
            assert_int_equal(live(&e), st == QV_OK ? g : old);
        } while (st != QV_OK);
        assert_true(at > 1);
        at = 0;
        do {
            at++;
            qv__mem_fail_at(e.mem, at, sticky);
            st = read_status(&e);
            qv__mem_fail_at(e.mem, 0, false);
            assert_true(st == QV_OK || st == QV_ENOMEM);
        } while (st != QV_OK);
        assert_true(at > 1);
    }
    env_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(clearing_away),
        cmocka_unit_test(every_io_failure),
        cmocka_unit_test(crash_at_every_call),
        cmocka_unit_test(damage_is_never_passed_over),
        cmocka_unit_test(wrong_numbers),
        cmocka_unit_test(every_memory_failure),
    };
    return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
