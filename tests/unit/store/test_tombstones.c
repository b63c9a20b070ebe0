/* test_tombstones.c: tombstone files: round trip, binding to segment and generation, damage,
 * failures. */
#include "blob_test.h"
#include "store/manifest.h"

#define WORDS 40

static void fill(uint64_t *w, uint64_t seed)
{
    struct qv__rng r;
    qv__rng_seed(&r, seed);
    for (unsigned i = 0; i < WORDS; i++) {
        w[i] = qv__rng_u64(&r);
    }
}

static void round_trip(void **state)
{
    (void)state;
    static const uint32_t rows[] = {0, 1, 63, 64, 65, 127, 128, 1000, WORDS * 64};
    struct env e;
    uint64_t in[WORDS], out[WORDS + 1];
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    for (size_t i = 0; i < QV_ARRAY_LEN(rows); i++) {
        size_t n = (rows[i] + 63) / 64;
        fill(in, i);
        assert_ok(qv__tombstones_write(b, e.mem, 7, i + 1, in, rows[i], ERR));
        b = crash_blobs(&e, b, QV__CRASH_DROP_ALL, NULL);
        memset(out, 0xee, sizeof out);
        assert_ok(qv__tombstones_read(b, 7, i + 1, out, rows[i], ERR));
        for (size_t k = 0; k < n; k++) { /* bits past the last row are not kept */
            uint64_t mask =
                k + 1 == n && rows[i] % 64 ? (UINT64_C(1) << rows[i] % 64) - 1 : UINT64_MAX;
            assert_int_equal(out[k], in[k] & mask);
        }
        assert_int_equal(out[n], UINT64_C(0xeeeeeeeeeeeeeeee));
        assert_status(qv__tombstones_write(b, e.mem, 7, i + 1, in, rows[i], ERR), QV_EEXISTS);
        assert_status(qv__tombstones_read(b, 7, i + 1, out, rows[i] + 64, ERR), QV_ECORRUPT);
    }
    assert_status(qv__tombstones_read(b, 7, 99, out, 64, ERR), QV_ENOTFOUND);
    assert_status(qv__tombstones_read(b, 8, 1, out, 64, ERR), QV_ENOTFOUND);
    assert_int_equal(dir_look(e.io, "tmp").n, 0);
    char name[64];
    qv__tombstones_blob_name(UINT64_MAX, UINT64_MAX, name);
    assert_string_equal(name, "tomb-ffffffffffffffff-ffffffffffffffff");
    qv__segment_blob_name(10, name);
    assert_string_equal(name, "seg-000000000000000a");
    b->ops->close(b);
    env_close(&e);
}

static void damage(void **state)
{
    (void)state;
    struct env e;
    uint64_t in[WORDS], out[WORDS], size;
    char name[64], path[80];
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    fill(in, 1);
    assert_ok(qv__tombstones_write(b, e.mem, 7, 1, in, 1000, ERR));
    qv__tombstones_blob_name(7, 1, name);
    snprintf(path, sizeof path, "blobs/%s", name);
    assert_ok(b->ops->head(b, name, &size, ERR));
    for (uint64_t byte = 0; byte < size; byte++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            assert_ok(qv__io_sim_flip(e.io, path, byte, bit));
            assert_status(qv__tombstones_read(b, 7, 1, out, 1000, ERR), QV_ECORRUPT);
            assert_says(name);
            assert_ok(qv__io_sim_flip(e.io, path, byte, bit));
        }
    }
    /* Another segment's file under this name. */
    assert_ok(qv__tombstones_write(b, e.mem, 8, 1, in, 1000, ERR));
    assert_ok(b->ops->remove(b, name, ERR));
    char other[64], from[80];
    qv__tombstones_blob_name(8, 1, other);
    snprintf(from, sizeof from, "blobs/%s", other);
    assert_ok(qv__io_rename(e.io, from, path, ERR));
    assert_status(qv__tombstones_read(b, 7, 1, out, 1000, ERR), QV_ECORRUPT);
    /* Another generation's, too. */
    assert_ok(qv__tombstones_write(b, e.mem, 7, 2, in, 1000, ERR));
    qv__tombstones_blob_name(7, 2, other);
    snprintf(from, sizeof from, "blobs/%s", other);
    assert_ok(qv__io_rename(e.io, from, path, ERR));
    assert_status(qv__tombstones_read(b, 7, 1, out, 1000, ERR), QV_ECORRUPT);
    /* Every length but the right one. */
    struct qv__file *f;
    for (uint64_t n = 0; n < size; n++) {
        assert_ok(qv__io_open(e.io, path, QV__OPEN_WRITE, &f, ERR));
        assert_ok(qv__io_truncate(f, n, ERR));
        assert_ok(qv__io_file_close(f, ERR));
        assert_status(qv__tombstones_read(b, 7, 1, out, 1000, ERR), QV_ECORRUPT);
    }
    b->ops->close(b);
    env_close(&e);
}

static void failures(void **state)
{
    (void)state;
    uint64_t in[WORDS], out[WORDS], size;
    char name[64];
    fill(in, 3);
    qv__tombstones_blob_name(7, 1, name);
    for (unsigned how = 0; how < 4; how++) {
        bool done = false;
        for (uint64_t at = 1; !done; at++) {
            struct env e;
            env_open(&e);
            make_dirs(&e);
            struct qv__blobs *b = open_blobs(&e);
            uint64_t before = qv__io_sim_calls(e.io, QV__SIM_ANY);
            qv__io_sim_fault(e.io, (struct qv__sim_fault){.at = at,
                                                          .sticky = how & 1,
                                                          .partial = how & 2,
                                                          .status = how & 2 ? QV_ENOSPC : QV_EIO});
            qv_status st = qv__tombstones_write(b, e.mem, 7, 1, in, 1000, ERR);
            done = qv__io_sim_calls(e.io, QV__SIM_ANY) - before < at;
            no_fault(e.io);
            b = crash_blobs(&e, b, QV__CRASH_DROP_ALL, NULL);
            if (st == QV_OK || b->ops->head(b, name, &size, ERR) == QV_OK) {
                assert_ok(qv__tombstones_read(b, 7, 1, out, 1000, ERR));
            }
            b->ops->close(b);
            env_close(&e);
        }
    }
    struct env e;
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    qv__mem_fail_at(e.mem, 1, true);
    assert_status(qv__tombstones_write(b, e.mem, 7, 1, in, 1000, ERR), QV_ENOMEM);
    qv__mem_fail_at(e.mem, 0, false);
    assert_int_equal(dir_look(e.io, "tmp").n, 0);
    b->ops->close(b);
    env_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(damage),
        cmocka_unit_test(failures),
    };
    return cmocka_run_group_tests_name("tombstones", tests, NULL, NULL);
}
