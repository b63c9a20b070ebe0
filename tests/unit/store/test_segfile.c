/* test_segfile.c: segment files: sections come back, lie where they should, and every damage is
 * seen. */
#include "base/buf.h"
#include "base/crc32c.h"
#include "blob_test.h"
#include "store/manifest.h"
#include "store/segfile.h"

#define BLOCK   ((size_t)65536)
#define FILE_ID 77u

static uint8_t pattern(unsigned section, size_t i)
{
    return (uint8_t)(qv__mix64(section * 1000003u + i / 8) >> (i % 8 * 8));
}

static uint8_t *make_bytes(struct env *e, unsigned section, size_t n)
{
    uint8_t *p = qv__alloc(e->disk, n);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        p[i] = pattern(section, i);
    }
    return p;
}

static const size_t sizes[] = {
    0,         1,       63,        64,        65, 4096,    1000,
    BLOCK - 1, BLOCK,   BLOCK + 1, 300000,    17, 1 << 20, (1 << 20) + 12345,
    5,         3 << 20, 0,         2 * BLOCK, 64};

/* Write sections of all these sizes, each in pieces of another length. */
static qv_status write_all(struct env *e, struct qv__blobs *b, const char *name, uint64_t *bytes)
{
    struct qv__segw *w;
    QV_TRY(qv__segw_create(b, e->mem, FILE_ID, &w, ERR));
    qv_status st = QV_OK;
    for (unsigned s = 0; st == QV_OK && s < QV_ARRAY_LEN(sizes); s++) {
        uint8_t *p = make_bytes(e, s, sizes[s]);
        size_t step = 1 + (s * 7919) % 100000;
        st = qv__segw_begin(w, (uint16_t)(20 + s % 3), (uint16_t)(s / 3), ERR);
        for (size_t at = 0; st == QV_OK && at < sizes[s]; at += step) {
            st = qv__segw_write(w, p + at, QV_MIN(step, sizes[s] - at), ERR);
        }
        if (st == QV_OK) {
            st = qv__segw_end(w, ERR);
        }
        qv__free(p);
    }
    if (st != QV_OK) {
        qv__segw_abort(w);
        return st;
    }
    return qv__segw_finish(w, name, bytes, ERR);
}

static void check_all(struct env *e, const struct qv__segfile *f)
{
    for (unsigned s = 0; s < QV_ARRAY_LEN(sizes); s++) {
        struct qv__bytes got = qv__segfile_section(f, (uint16_t)(20 + s % 3), (uint16_t)(s / 3));
        uint8_t *want = make_bytes(e, s, sizes[s]);
        assert_non_null(got.p);
        assert_int_equal(got.n, sizes[s]);
        assert_int_equal((uintptr_t)got.p % (sizes[s] >= BLOCK ? 4096 : 64), 0);
        if (got.n) {
            assert_memory_equal(got.p, want, got.n);
        }
        qv__segfile_advise(f, got, QV__ADVISE_WILLNEED);
        qv__free(want);
    }
    struct qv__bytes none = qv__segfile_section(f, 20, 99);
    assert_true(none.p == NULL && none.n == 0);
    qv__segfile_advise(f, none, QV__ADVISE_RANDOM);
}

static void many_sections(void **state)
{
    (void)state;
    struct env e;
    uint64_t bytes = 0, head;
    struct qv__segfile *f;
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    assert_ok(write_all(&e, b, "seg", &bytes));
    assert_int_equal(dir_look(e.io, "tmp").n, 0);
    assert_ok(b->ops->head(b, "seg", &head, ERR));
    assert_int_equal(head, bytes);
    b = crash_blobs(&e, b, QV__CRASH_DROP_ALL, NULL);
    for (unsigned verify = 0; verify < 2; verify++) {
        assert_ok(qv__segfile_open(b, "seg", e.mem, FILE_ID, verify ? bytes : 0, verify, &f, ERR));
        assert_int_equal(qv__segfile_bytes(f), bytes);
        check_all(&e, f);
        assert_ok(qv__segfile_verify(f, ERR));
        qv__segfile_close(f);
    }
    assert_status(qv__segfile_open(b, "seg", e.mem, FILE_ID + 1, 0, false, &f, ERR), QV_ECORRUPT);
    assert_status(qv__segfile_open(b, "seg", e.mem, FILE_ID, bytes + 1, false, &f, ERR),
                  QV_ECORRUPT);
    assert_status(qv__segfile_open(b, "none", e.mem, FILE_ID, 0, false, &f, ERR), QV_ENOTFOUND);
    qv__segfile_close(NULL);
    b->ops->close(b);
    env_close(&e);
}

static void write_small(struct env *e, struct qv__blobs *b, const char *name, uint64_t *bytes)
{
    struct qv__segw *w;
    static uint8_t text[3000];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = pattern(1, i);
    }
    assert_ok(qv__segw_create(b, e->mem, FILE_ID, &w, ERR));
    assert_ok(qv__segw_put(w, QV__SEC_META, 0, "hello", 5, ERR));
    assert_ok(qv__segw_put(w, QV__SEC_VEC_DATA, 0, text, sizeof text, ERR));
    assert_ok(qv__segw_put(w, QV__SEC_VEC_DATA, 1, text, 7, ERR));
    assert_ok(qv__segw_finish(w, name, bytes, ERR));
}

static void every_byte_flip(void **state)
{
    (void)state;
    struct env e;
    uint64_t bytes;
    struct qv__segfile *f;
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    write_small(&e, b, "seg", &bytes);
    unsigned by_section = 0;
    for (uint64_t byte = 0; byte < bytes; byte++) {
        for (unsigned bit = 0; bit < 8; bit += byte < 4096 ? 1 : 3) {
            assert_ok(qv__io_sim_flip(e.io, "blobs/seg", byte, bit));
            assert_status(qv__segfile_open(b, "seg", e.mem, FILE_ID, bytes, true, &f, ERR),
                          QV_ECORRUPT);
            assert_says("seg");
            assert_says(byte >= 4096 ? "offset" : "seg:");
            by_section += strstr(test_err.message, "section 1 of column 0") != NULL;
            assert_ok(qv__io_sim_flip(e.io, "blobs/seg", byte, bit));
        }
    }
    assert_true(by_section > 3000);
    assert_ok(qv__segfile_open(b, "seg", e.mem, FILE_ID, bytes, true, &f, ERR));
    qv__segfile_close(f);
    b->ops->close(b);
    env_close(&e);
}

/* What is not checked at open without verify is checked by verify, and no read goes astray. */
static void damage_without_verify(void **state)
{
    (void)state;
    struct env e;
    uint64_t bytes;
    struct qv__segfile *f;
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    write_small(&e, b, "seg", &bytes);
    assert_ok(qv__io_sim_flip(e.io, "blobs/seg", 4096 + 64 + 100, 0));
    assert_ok(qv__segfile_open(b, "seg", e.mem, FILE_ID, bytes, false, &f, ERR));
    assert_status(qv__segfile_verify(f, ERR), QV_ECORRUPT);
    qv__segfile_close(f);
    b->ops->close(b);
    env_close(&e);
}

static void cut_files(void **state)
{
    (void)state;
    struct env e;
    uint64_t bytes;
    struct qv__segfile *f;
    struct qv__file *file;
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    write_small(&e, b, "seg", &bytes);
    for (uint64_t n = bytes + 1; n-- > 0;) {
        if (n < bytes && n > 4200 && n % 13) {
            continue;
        }
        assert_ok(qv__io_open(e.io, "blobs/seg", QV__OPEN_WRITE, &file, ERR));
        assert_ok(qv__io_truncate(file, n == bytes ? bytes + 1 : n, ERR));
        assert_ok(qv__io_file_close(file, ERR));
        assert_status(qv__segfile_open(b, "seg", e.mem, FILE_ID, 0, false, &f, ERR), QV_ECORRUPT);
    }
    b->ops->close(b);
    env_close(&e);
}

/* A block of another file, or of another place, has a right checksum for the wrong thing. */
static void misdirected_blocks(void **state)
{
    (void)state;
    struct env e;
    struct qv__segw *w;
    struct qv__segfile *f;
    struct qv__file *file;
    uint64_t bytes;
    static uint8_t block[4 * 65536];
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    for (uint64_t id = FILE_ID; id < FILE_ID + 2; id++) {
        char name[64];
        memset(block, (int)id, sizeof block);
        block[0] = 1;
        qv__segment_blob_name(id, name);
        assert_ok(qv__segw_create(b, e.mem, id, &w, ERR));
        assert_ok(qv__segw_put(w, 20, 0, block, sizeof block, ERR));
        assert_ok(qv__segw_finish(w, name, &bytes, ERR));
    }
    assert_ok(qv__io_open(e.io, "blobs/seg-000000000000004d", QV__OPEN_WRITE, &file, ERR));
    memset(block, FILE_ID, sizeof block); /* block 1 of the same bytes as block 2 */
    assert_ok(qv__io_pwrite(file, block, BLOCK, 4096, ERR)); /* block 0 becomes a copy of them */
    assert_ok(qv__segfile_open(b, "seg-000000000000004d", e.mem, FILE_ID, bytes, false, &f, ERR));
    assert_status(qv__segfile_verify(f, ERR), QV_ECORRUPT);
    qv__segfile_close(f);
    /* The whole body of the other file, its table of checksums included. */
    struct qv__map_view v = {0};
    assert_ok(b->ops->map(b, "seg-000000000000004e", &v, ERR));
    assert_ok(qv__io_pwrite(file, v.p + 4096, v.n - 4096, 4096, ERR));
    b->ops->unmap(b, &v);
    assert_status(qv__segfile_open(b, "seg-000000000000004d", e.mem, FILE_ID, bytes, true, &f, ERR),
                  QV_ECORRUPT);
    assert_ok(qv__io_file_close(file, ERR));
    b->ops->close(b);
    env_close(&e);
}

/* The stored checksums are those of {file id, block number, bytes}, as the format says. */
static void checksums_are_bound(void **state)
{
    (void)state;
    struct env e;
    uint64_t bytes, table;
    struct qv__map_view v = {0};
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    assert_ok(write_all(&e, b, "seg", &bytes));
    assert_ok(b->ops->map(b, "seg", &v, ERR));
    table = qv__load_u64(v.p + 48);
    uint64_t n = (bytes - table) / 4;
    assert_int_equal(n, (table - 4096 + BLOCK - 1) / BLOCK);
    assert_true(n > 50);
    for (uint64_t block = 0; block < n; block++) {
        uint64_t bind[2] = {FILE_ID, block}, from = 4096 + block * BLOCK;
        uint32_t crc = qv__crc32c(0, bind, sizeof bind);
        crc = qv__crc32c(crc, v.p + from, QV_MIN(BLOCK, table - from));
        assert_int_equal(qv__load_u32(v.p + table + block * 4), crc);
    }
    b->ops->unmap(b, &v);
    b->ops->close(b);
    env_close(&e);
}

/* A sound head of a newer build is another thing than damage. */
static void newer_formats(void **state)
{
    (void)state;
    struct env e;
    uint64_t bytes;
    struct qv__segfile *f;
    static const struct {
        size_t off;
        qv_status want;
    } bits[] = {{8, QV_EVERSION}, {10, QV_OK}, {16, QV_EVERSION}, {24, QV_OK}};
    for (size_t i = 0; i < QV_ARRAY_LEN(bits); i++) {
        uint8_t head[4096];
        struct qv__file *file;
        env_open(&e);
        make_dirs(&e);
        struct qv__blobs *b = open_blobs(&e);
        write_small(&e, b, "seg", &bytes);
        assert_ok(qv__io_open(e.io, "blobs/seg", QV__OPEN_WRITE, &file, ERR));
        assert_ok(qv__io_pread(file, head, sizeof head, 0, ERR));
        head[bits[i].off] ^= 0x40;
        qv__store_u32(head + 4092, qv__crc32c(0, head, 4092));
        assert_ok(qv__io_pwrite(file, head, sizeof head, 0, ERR));
        assert_ok(qv__io_file_close(file, ERR));
        qv_status st = qv__segfile_open(b, "seg", e.mem, FILE_ID, bytes, true, &f, ERR);
        assert_status(st, bits[i].want);
        qv__segfile_close(st == QV_OK ? f : NULL);
        b->ops->close(b);
        env_close(&e);
    }
}

/* Numbers in the head that lead nowhere, behind a right checksum. */
static void wrong_heads(void **state)
{
    (void)state;
    static const struct {
        size_t off;
        uint64_t value;
        size_t bytes;
    } cases[] = {
        {12, 4000, 4},
        {32, 78, 8},
        {40, 1, 8},
        {48, 4000, 8},
        {48, UINT64_MAX - 63, 8},
        {48, 4096 + 32, 8},
        {56, 0, 8},
        {56, UINT64_MAX, 8},
        {64, 4096, 4},
        {68, 121, 4},
        {68, UINT32_MAX, 4},
        {128 + 8, 64, 8},
        {128 + 8, 4097, 8},
        {128 + 16, 1 << 20, 8},
        {128 + 16, UINT64_MAX, 8},
        {160 + 8, 4096, 8},
        {160 + 8, UINT64_MAX - 63, 8},
        {160, 1, 2},
        {192, 20, 4},
    };
    struct env e;
    uint64_t bytes;
    struct qv__segfile *f;
    void *p;
    size_t n;
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    write_small(&e, b, "seg", &bytes);
    assert_ok(qv__io_read_file(e.io, "blobs/seg", 1 << 20, e.disk, &p, &n, ERR));
    uint8_t *good = p;
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        uint8_t head[4096];
        memcpy(head, good, sizeof head);
        memcpy(head + cases[i].off, &cases[i].value, cases[i].bytes);
        qv__store_u32(head + 4092, qv__crc32c(0, head, 4092));
        struct qv__file *file;
        assert_ok(qv__io_open(e.io, "blobs/seg", QV__OPEN_WRITE, &file, ERR));
        assert_ok(qv__io_pwrite(file, head, sizeof head, 0, ERR));
        assert_ok(qv__io_file_close(file, ERR));
        qv_status st = qv__segfile_open(b, "seg", e.mem, FILE_ID, 0, false, &f, ERR);
        if (st != QV_ECORRUPT) {
            fail_msg("case %zu: %s", i, qv_status_name(st));
        }
    }
    qv__free(p);
    b->ops->close(b);
    env_close(&e);
}

static void misuse(void **state)
{
    (void)state;
    struct env e;
    struct qv__segw *w;
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    assert_ok(qv__segw_create(b, e.mem, FILE_ID, &w, ERR));
    assert_status(qv__segw_write(w, "x", 1, ERR), QV_EINVAL);
    assert_status(qv__segw_end(w, ERR), QV_EINVAL);
    assert_ok(qv__segw_begin(w, 1, 0, ERR));
    assert_status(qv__segw_begin(w, 2, 0, ERR), QV_EINVAL);
    assert_ok(qv__segw_end(w, ERR));
    assert_status(qv__segw_begin(w, 1, 0, ERR), QV_EINVAL); /* twice */
    for (uint16_t i = 1; i < QV__SECTIONS_MAX; i++) {
        assert_ok(qv__segw_put(w, 1, i, &i, sizeof i, ERR));
    }
    assert_status(qv__segw_begin(w, 2, 0, ERR), QV_ETOOBIG);
    uint64_t bytes;
    assert_ok(qv__segw_finish(w, "full", &bytes, ERR));
    struct qv__segfile *f;
    assert_ok(qv__segfile_open(b, "full", e.mem, FILE_ID, bytes, true, &f, ERR));
    for (uint16_t i = 1; i < QV__SECTIONS_MAX; i++) {
        assert_memory_equal(qv__segfile_section(f, 1, i).p, &i, sizeof i);
    }
    qv__segfile_close(f);

    assert_ok(qv__segw_create(b, e.mem, FILE_ID, &w, ERR));
    assert_ok(qv__segw_begin(w, 1, 0, ERR));
    assert_status(qv__segw_finish(w, "open", &bytes, ERR), QV_EINVAL); /* and the writer is gone */
    assert_ok(qv__segw_create(b, e.mem, FILE_ID, &w, ERR));
    qv__segw_abort(w);
    qv__segw_abort(NULL);
    assert_int_equal(dir_look(e.io, "tmp").n, 0);

    assert_ok(qv__segw_create(b, e.mem, FILE_ID, &w, ERR)); /* no section at all */
    assert_ok(qv__segw_finish(w, "empty", &bytes, ERR));
    assert_int_equal(bytes, 4096);
    assert_ok(qv__segfile_open(b, "empty", e.mem, FILE_ID, bytes, true, &f, ERR));
    qv__segfile_close(f);
    assert_ok(qv__segw_create(b, e.mem, FILE_ID, &w, ERR));
    assert_status(qv__segw_finish(w, "empty", &bytes, ERR), QV_EEXISTS);
    assert_int_equal(dir_look(e.io, "tmp").n, 0);
    b->ops->close(b);
    env_close(&e);
}

/* Each call fails, once or for ever: no blob, or a whole one; nothing leaks; OK is durable. */
static void every_io_failure(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 4; how++) {
        bool done = false;
        for (uint64_t at = 1; !done; at++) {
            struct env e;
            struct qv__rng rng;
            struct qv__segfile *f;
            uint64_t bytes = 0, size;
            env_open(&e);
            make_dirs(&e);
            struct qv__blobs *b = open_blobs(&e);
            uint64_t before = qv__io_sim_calls(e.io, QV__SIM_ANY);
            qv__io_sim_fault(e.io, (struct qv__sim_fault){.at = at,
                                                          .sticky = how & 1,
                                                          .partial = how & 2,
                                                          .status = how ? QV_ENOSPC : QV_EIO});
            qv_status st = write_all(&e, b, "seg", &bytes);
            done = qv__io_sim_calls(e.io, QV__SIM_ANY) - before < at;
            no_fault(e.io);
            if (st != QV_OK && !(how & 1)) {
                assert_status(b->ops->head(b, "seg", &size, ERR), QV_ENOTFOUND);
                assert_true(dir_look(e.io, "tmp").n <=
                            1); /* when unlink was the call that failed */
            }
            qv__rng_seed(&rng, at);
            b = crash_blobs(&e, b, at % 2 ? QV__CRASH_DROP_ALL : QV__CRASH_RANDOM, &rng);
            if (st == QV_OK || b->ops->head(b, "seg", &size, ERR) == QV_OK) {
                assert_ok(qv__segfile_open(b, "seg", e.mem, FILE_ID, bytes, true, &f, ERR));
                check_all(&e, f);
                qv__segfile_close(f);
            }
            b->ops->close(b);
            env_close(&e);
        }
    }
}

static void every_memory_failure(void **state)
{
    (void)state;
    struct env e;
    uint64_t bytes, size, at = 0;
    env_open(&e);
    make_dirs(&e);
    struct qv__blobs *b = open_blobs(&e);
    qv_status st;
    do {
        at++;
        qv__mem_fail_at(e.mem, at, at % 2);
        st = write_all(&e, b, "seg", &bytes);
        qv__mem_fail_at(e.mem, 0, false);
        if (st != QV_OK) {
            assert_status(st, QV_ENOMEM);
            assert_status(b->ops->head(b, "seg", &size, ERR), QV_ENOTFOUND);
            assert_int_equal(dir_look(e.io, "tmp").n, 0);
        }
    } while (st != QV_OK);
    assert_true(at > 3);
    struct qv__segfile *f;
    qv__mem_fail_at(e.mem, 1, false);
    assert_status(qv__segfile_open(b, "seg", e.mem, FILE_ID, bytes, true, &f, ERR), QV_ENOMEM);
    qv__mem_fail_at(e.mem, 0, false);
    b->ops->close(b);
    env_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_sections),
        cmocka_unit_test(every_byte_flip),
        cmocka_unit_test(damage_without_verify),
        cmocka_unit_test(cut_files),
        cmocka_unit_test(misdirected_blocks),
        cmocka_unit_test(newer_formats),
        cmocka_unit_test(checksums_are_bound),
        cmocka_unit_test(wrong_heads),
        cmocka_unit_test(misuse),
        cmocka_unit_test(every_io_failure),
        cmocka_unit_test(every_memory_failure),
    };
    return cmocka_run_group_tests_name("segment files", tests, NULL, NULL);
}
