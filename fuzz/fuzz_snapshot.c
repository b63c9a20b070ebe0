/* fuzz_snapshot.c: containers of snapshots against arbitrary bytes.
 *
 * The input edits a sound container: the first byte says whether checksums are repaired afterwards
 * (so that damage reaches what lies behind them), whether the rest is the container as it is, and
 * whether it is of a database; else edits follow: {offset (3), length (1), bytes}. Recovering may
 * refuse, and then the collection is the old one; a database that was restored must open. */
#include <stdio.h>

#include "engine/snapshot_impl.h"
#include "os/io_sim.h"
#include "store/segfile_format.h"

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "fuzz_snapshot: %s does not hold (line %d)\n", #cond, __LINE__);       \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MODE_REPAIR = 1, MODE_RAW = 2, MODE_DATABASE = 4, MODE_REPAIR_FILES = 8 };

#define DIM    2
#define POINTS 24u

static void fill(struct qv__db *db)
{
    struct qv__vector_def def = {.name = QV__STR(""), .metric = QV__L2, .dim = DIM};
    struct qv__schema s = {.vectors = &def, .n_vectors = 1, .shard_number = 2};
    struct qv__collection *c = NULL;
    struct qv__point points[POINTS];
    struct qv__named_vector vectors[POINTS];
    float values[POINTS][DIM];
    struct qv__id gone[2] = {qv__id_u64(3), qv__id_u64(4)};
    s.policy = (struct qv__segment_policy){.seal_rows = 16, .index_rows = 8, .merge_fanin = 2};
    CHECK(qv__db_create_collection(db, QV__STR("c"), &s, NULL) == QV_OK);
    CHECK(qv__db_collection(db, QV__STR("c"), &c, NULL) == QV_OK);
    for (uint32_t i = 0; i < POINTS; i++) {
        values[i][0] = (float)i;
        values[i][1] = (float)(i * i % 7);
        vectors[i] =
            (struct qv__named_vector){.name = QV__STR(""), .values = values[i], .dim = DIM};
        points[i] = (struct qv__point){.id = qv__id_u64(i), .vectors = &vectors[i], .n_vectors = 1};
    }
    struct qv__mutation m[2] = {{.kind = QV__MUT_UPSERT, .points = points, .n_points = POINTS},
                                {.kind = QV__MUT_DELETE, .ids = gone, .n_ids = 2}};
    CHECK(qv__collection_write_sync(c, m, 1, NULL, NULL) == QV_OK);
    CHECK(qv__collection_optimize(c, 1, NULL) == QV_OK);
    CHECK(qv__collection_write_sync(c, &m[1], 1, NULL, NULL) == QV_OK);
    qv__collection_release(c);
}

static uint64_t count(struct qv__db *db)
{
    struct qv__collection *c = NULL;
    struct qv__qctx ctx = {.clock = qv__db_clock(db), .mem = qv__db_mem(db)};
    uint64_t n = 0;
    CHECK(qv__db_collection(db, QV__STR("c"), &c, NULL) == QV_OK);
    CHECK(qv__collection_count(c, NULL, &ctx, &n, NULL) == QV_OK);
    qv__collection_release(c);
    return n;
}

static uint8_t *container(struct qv__db *db, struct qv__mem *mem, bool whole, size_t *n)
{
    struct qv__snapshot_info info;
    struct qv__snapshot_stream *s = NULL;
    CHECK(qv__db_snapshot_create(db, whole ? QV__STR("") : QV__STR("c"), &info, NULL) == QV_OK);
    CHECK(qv__snapshot_stream_open(db, info.id, &s, NULL) == QV_OK);
    uint8_t *p = qv__alloc(mem, (size_t)info.bytes);
    CHECK(p);
    for (size_t at = 0, got; at < info.bytes; at += got) {
        CHECK(qv__snapshot_stream_read(s, at, p + at, (size_t)info.bytes - at, &got, NULL) ==
              QV_OK);
    }
    qv__snapshot_stream_close(s);
    *n = (size_t)info.bytes;
    return p;
}

/* Make the files pass their own checksums again. */
static void repair_segment(uint8_t *p, size_t n, uint64_t id)
{
    struct qv__seg_shape shape;
    if (n < QV__SEG_HEAD_BYTES) {
        return;
    }
    qv__store_u32(p + QV__SEG_HEAD_BYTES - 4, qv__crc32c(0, p, QV__SEG_HEAD_BYTES - 4));
    if (qv__seg_head_read(p, QV__SEG_HEAD_BYTES, n, id, n, "x", &shape, NULL) != QV_OK) {
        return;
    }
    for (uint64_t k = 0; k < shape.n_blocks; k++) {
        uint64_t from = QV__SEG_DATA_OFF + k * QV__SEG_BLOCK_BYTES;
        uint64_t to = QV_MIN(from + QV__SEG_BLOCK_BYTES, shape.table_off);
        qv__store_u32(p + shape.table_off + k * 4,
                      qv__crc32c(qv__seg_crc_seed(id, k), p + from, (size_t)(to - from)));
    }
    qv__store_u32(p + 72, qv__crc32c(qv__seg_crc_seed(id, UINT64_MAX), p + shape.table_off,
                                     (size_t)shape.n_blocks * 4));
    qv__store_u32(p + QV__SEG_HEAD_BYTES - 4, qv__crc32c(0, p, QV__SEG_HEAD_BYTES - 4));
}

static void repair_file(const struct qv__snap_file *f, uint8_t *p)
{
    size_t n = (size_t)f->bytes;
    if (f->kind == QV__SNAP_SEGMENT) {
        repair_segment(p, n, f->id);
    } else if (f->kind == QV__SNAP_TOMBSTONES && n >= 64) {
        qv__store_u32(p + 56, qv__crc32c(0, p + 64, n - 64));
        qv__store_u32(p + 60, qv__crc32c(0, p, 60));
    } else if (f->kind == QV__SNAP_MANIFEST && n >= 132) {
        qv__store_u32(p + 124, qv__crc32c(0, p, 124));
        qv__store_u32(p + n - 4, qv__crc32c(0, p, n - 4));
    }
}

/* Head, table and sums of the container, as far as its sizes still make sense. */
static void repair(uint8_t *p, size_t n, bool files, struct qv__mem *mem)
{
    struct qv__snap s;
    struct qv__arena arena;
    struct qv__buf table;
    if (n < QV__SNAP_HEAD_BYTES) {
        return;
    }
    qv__store_u32(p + QV__SNAP_HEAD_BYTES - 4, qv__crc32c(0, p, QV__SNAP_HEAD_BYTES - 4));
    if (qv__snap_head_decode(p, QV__SNAP_HEAD_BYTES, "x", &s, NULL) != QV_OK ||
        s.total_bytes != n) {
        return;
    }
    qv__store_u32(p + n - 4, qv__crc32c(0, p + s.table_at, n - (size_t)s.table_at - 4));
    qv__arena_init(&arena, mem);
    qv__buf_init(&table, mem);
    if (qv__snap_table_decode(&s, p + s.table_at, n - (size_t)s.table_at, "x", &arena, NULL) ==
        QV_OK) {
        for (uint32_t i = 0; i < s.n_files; i++) {
            struct qv__snap_file *f = &s.files[i];
            struct qv__sha256 sum;
            if (files) {
                repair_file(f, p + f->at);
            }
            qv__sha256_init(&sum);
            qv__sha256_add(&sum, p + f->at, (size_t)f->bytes);
            qv__sha256_end(&sum, f->sha256);
            for (uint64_t k = 0; k < qv__snap_blocks(f->bytes); k++) {
                uint64_t at = k * QV__SNAP_BLOCK_BYTES;
                size_t m = (size_t)QV_MIN((uint64_t)QV__SNAP_BLOCK_BYTES, f->bytes - at);
                s.blocks[f->first_block + k] = qv__snap_block_crc(i, k, p + f->at + at, m);
            }
        }
        qv__snap_table_encode(&s, &table);
        CHECK(table.n == n - s.table_at);
        memcpy(p + s.table_at, table.p, table.n);
    }
    qv__buf_free(&table);
    qv__arena_free(&arena);
}

static void store(struct qv__io *io, const char *name, const uint8_t *p, size_t n)
{
    struct qv__file *f;
    CHECK(qv__io_open(io, name, QV__OPEN_CREATE | QV__OPEN_TRUNC, &f, NULL) == QV_OK);
    CHECK(n == 0 || qv__io_pwrite(f, p, n, 0, NULL) == QV_OK);
    CHECK(qv__io_file_close(f, NULL) == QV_OK);
}

static void recover(struct qv__db *db, size_t n)
{
    struct qv__snapshot_from from = {.file = "container", .bytes = n};
    struct qv_err err;
    uint64_t before = count(db);
    qv_status st = qv__db_snapshot_recover(db, QV__STR("c"), &from, &err);
    CHECK(st == QV_OK || memchr(err.message, 0, sizeof err.message));
    CHECK(st == QV_OK || count(db) == before);
    (void)count(db);
    while (qv__db_step(db)) {
    }
}

static void restore(struct qv__io *io, struct qv__mem *mem)
{
    struct qv__io *to;
    struct qv__db *db = NULL;
    CHECK(qv__io_sim_open(mem, &to, NULL) == QV_OK);
    struct qv__restore_options o = {.from = io, .path = "container", .to = to, .mem = mem};
    qv_status st = qv__db_restore(&o, NULL, NULL);
    struct qv__db_options d = {.io = to, .threads = -1, .seed = 1};
    CHECK(qv__db_open(&d, &db, NULL) == QV_OK); /* whole, or empty again */
    struct qv__db_info info;
    qv__db_info(db, &info);
    CHECK(st == QV_OK || info.n_collections == 0);
    CHECK(qv__db_close(db, NULL) == QV_OK);
    qv__io_close(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qv__mem *mem = qv__mem_root("fuzz", 0);
    struct qv__io *io;
    struct qv__db *db = NULL;
    struct qv__reader r = qv__reader_of(data, size);
    size_t n;
    CHECK(mem && qv__io_sim_open(mem, &io, NULL) == QV_OK);
    struct qv__db_options o = {.io = io, .threads = -1, .seed = 1};
    CHECK(qv__db_open(&o, &db, NULL) == QV_OK);
    fill(db);
    uint8_t mode = qv__read_u8(&r);
    uint8_t *p = container(db, mem, mode & MODE_DATABASE, &n);
    if (mode & MODE_RAW) {
        n = qv__reader_left(&r);
        store(io, "container", r.p, n);
    } else {
        while (qv__reader_left(&r) >= 4) {
            size_t at = qv__read_u16(&r);
            at |= (size_t)qv__read_u8(&r) << 16;
            size_t len = qv__read_u8(&r);
            len = QV_MIN(len, qv__reader_left(&r));
            const uint8_t *bytes = qv__read_bytes(&r, len);
            for (size_t i = 0; i < len && at + i < n; i++) {
                p[at + i] = bytes[i];
            }
        }
        if (mode & MODE_REPAIR) {
            repair(p, n, mode & MODE_REPAIR_FILES, mem);
        }
        store(io, "container", p, n);
    }
    recover(db, n);
    restore(io, mem);
    qv__free(p);
    CHECK(qv__db_close(db, NULL) == QV_OK);
    qv__io_close(io);
    qv__mem_close(mem);
    return 0;
}
