/* test_store_posix.c: the whole folder once on real files: what the simulation might be too kind
 * about. */
#include <ftw.h>
#include <unistd.h>

#include "log_test.h"
#include "store/idmap.h"
#include "store/manifest.h"

static char root[64];

static int remove_one(const char *path, const struct stat *sb, int kind, struct FTW *ftw)
{
    (void)sb, (void)kind, (void)ftw;
    return remove(path);
}

static void open_real(struct env *e)
{
    snprintf(root, sizeof root, "/tmp/qv-store-XXXXXX");
    assert_non_null(mkdtemp(root));
    e->mem = qv__mem_root("test", 0);
    e->disk = qv__mem_root("disk", 0);
    assert_ok(qv__io_posix_open(e->disk, root, false, &e->io, ERR));
}

static void close_real(struct env *e)
{
    env_close(e);
    assert_int_equal(nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void log_on_files(void **state)
{
    (void)state;
    struct env e;
    static struct ledger book;
    open_real(&e);
    struct qv__log *log = log_open(&e, &book, 1);
    for (unsigned round = 0; round < 12; round++) {
        append_many(&book, log, 15, 700);
        assert_ok(ledger_flush(&book, log));
        assert_ok(qv__log_trim(log, book.durable - 10, ERR));
        if (round % 3 == 2) {
            assert_ok(qv__log_close(log, ERR));
            log = log_open(&e, &book, book.durable - 9);
        }
    }
    assert_ok(ledger_append(&book, log, 60000, 0));
    assert_ok(qv__log_close(log, ERR));
    book.durable = book.appended;
    log = log_open(&e, &book, 0);
    assert_ok(qv__log_close(log, ERR));
    close_real(&e);
}

static struct qv__id row_id(void *ctx, uint32_t row)
{
    (void)ctx;
    return qv__id_u64(1000 - row);
}

static void the_rest_on_files(void **state)
{
    (void)state;
    struct env e;
    struct qv__datadir d, other;
    struct qv__blobs *b;
    struct qv__segw *w;
    struct qv__segfile *f;
    struct qv__idmap map;
    struct qv__arena arena;
    struct qv__manifest m = {.generation = 0}, got;
    uint64_t bytes, dead[2] = {5, 1};
    char name[64];
    open_real(&e);
    assert_ok(qv__datadir_open(e.io, &d, ERR));
    assert_status(qv__datadir_open(e.io, &other, ERR), QV_ELOCKED);
    assert_ok(qv__blobs_local_open(e.io, QV__DIR_BLOBS, QV__DIR_TMP, e.mem, &b, ERR));

    qv__segment_blob_name(1, name);
    static uint8_t vectors[3 << 20];
    for (size_t i = 0; i < sizeof vectors; i++) {
        vectors[i] = (uint8_t)(i * 7 + i / 251);
    }
    assert_ok(qv__segw_create(b, e.mem, 1, &w, ERR));
    assert_ok(qv__idmap_write(w, e.mem, 100, row_id, NULL, ERR));
    assert_ok(qv__segw_put(w, QV__SEC_VEC_DATA, 0, vectors, sizeof vectors, ERR));
    assert_ok(qv__segw_finish(w, name, &bytes, ERR));
    assert_int_equal(dir_look(e.io, QV__DIR_TMP).n, 0);
    assert_ok(qv__segfile_open(b, name, e.mem, 1, bytes, true, &f, ERR));
    struct qv__bytes section = qv__segfile_section(f, QV__SEC_VEC_DATA, 0);
    assert_int_equal((uintptr_t)section.p % 4096, 0);
    assert_memory_equal(section.p, vectors, sizeof vectors);
    qv__segfile_advise(f, section, QV__ADVISE_DONTNEED);
    assert_ok(qv__idmap_open(f, 100, e.mem, &map, ERR));
    assert_int_equal(map.order[0], 99);
    qv__segfile_close(f);

    assert_ok(qv__tombstones_write(b, e.mem, 1, 1, dead, 100, ERR));
    assert_ok(qv__tombstones_read(b, 1, 1, dead, 100, ERR));
    assert_int_equal(dead[0], 5);

    qv__arena_init(&arena, e.mem);
    assert_status(qv__manifest_read(e.io, &arena, &got, ERR), QV_ENOTFOUND);
    struct qv__manifest_segment s = {
        .segment_id = 1, .file_bytes = bytes, .n_rows = 100, .n_dead = 3};
    struct qv__manifest_shard shard = {.n_segments = 1, .segments = &s};
    m.shards = &shard;
    m.n_shards = 1;
    for (m.generation = 1; m.generation < 5; m.generation++) {
        assert_ok(qv__manifest_write(e.io, e.mem, &m, ERR));
        assert_ok(qv__manifest_read(e.io, &arena, &got, ERR));
        assert_int_equal(got.generation, m.generation);
        assert_memory_equal(got.shards[0].segments, &s, sizeof s);
    }
    assert_ok(qv__manifest_clean(e.io, 4, ERR));
    assert_int_equal(dir_look(e.io, "").n, 8); /* CURRENT, LOCK, two manifests, three directories */
    qv__arena_free(&arena);
    b->ops->close(b);
    qv__datadir_close(&d);
    close_real(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_on_files),
        cmocka_unit_test(the_rest_on_files),
    };
    return cmocka_run_group_tests_name("store on real files", tests, NULL, NULL);
}
