/* fuzz_segfile.c: segment files, their id maps and tombstones against arbitrary bytes.
 *
 * The input edits a sound segment file and a sound tombstone file on the simulated disk: the first
 * byte says whether checksums are repaired afterwards, or the rest is the segment file as it is;
 * else edits follow: {what (1), offset (2), length (1), bytes}. Opening may refuse; what it hands
 * out must lie inside the file, and an id map that opened must find every id that it holds. */
#include <stdio.h>

#include "os/io_sim.h"
#include "store/idmap.h"
#include "store/manifest.h"
#include "store/segfile_format.h"

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "fuzz_segfile: %s does not hold (line %d)\n", #cond, __LINE__);        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MODE_REPAIR = 1, MODE_RAW = 2, MODE_U64 = 4, MODE_VERIFY = 8 };
enum { EDIT_SEG = 0, EDIT_TOMB = 1, EDIT_CUT_SEG = 2, EDIT_CUT_TOMB = 3 };

#define ROWS 12u

static struct qv__id mixed_id(void *ctx, uint32_t row)
{
    static const char *const words[] = {"arrow", "bow", "quiver"};
    const bool *is_u64 = (const bool *)ctx;
    if (*is_u64 || row % 4 == 0) {
        return qv__id_u64(row * 7919u % 5);
    }
    struct qv__id id = {.kind = (uint8_t)(row % 4)};
    if (id.kind == QV__ID_STR) {
        id.s = words[row % 3];
        id.len = (uint8_t)strlen(id.s);
    } else {
        memset(id.uuid, (int)row, sizeof id.uuid);
    }
    return id;
}

/* Sound files: segment 1 and its tombstones of generation 1, in the root directory. */
static void make_files(struct qv__blobs *blobs, struct qv__mem *mem, bool is_u64)
{
    static const uint64_t words[1] = {0x5a5};
    struct qv__segw *w;
    uint64_t bytes;
    char name[64];
    uint8_t body[200];
    memset(body, 7, sizeof body);
    qv__segment_blob_name(1, name);
    CHECK(qv__segw_create(blobs, mem, 1, &w, NULL) == QV_OK);
    CHECK(qv__segw_put(w, QV__SEC_META, 0, body, 100, NULL) == QV_OK);
    CHECK(qv__idmap_write(w, mem, ROWS, mixed_id, &is_u64, NULL) == QV_OK);
    CHECK(qv__segw_put(w, QV__SEC_VEC_DATA, 3, body, sizeof body, NULL) == QV_OK);
    CHECK(qv__segw_finish(w, name, &bytes, NULL) == QV_OK);
    CHECK(qv__tombstones_write(blobs, mem, 1, 1, words, ROWS, NULL) == QV_OK);
}

static uint8_t *load(struct qv__io *io, const char *name, struct qv__mem *mem, size_t *n)
{
    void *p;
    CHECK(qv__io_read_file(io, name, 1 << 20, mem, &p, n, NULL) == QV_OK);
    return (uint8_t *)p;
}

static void store(struct qv__io *io, const char *name, const uint8_t *p, size_t n)
{
    struct qv__file *f;
    CHECK(qv__io_open(io, name, QV__OPEN_CREATE | QV__OPEN_TRUNC, &f, NULL) == QV_OK);
    CHECK(qv__io_pwrite(f, p, n, 0, NULL) == QV_OK);
    CHECK(qv__io_file_close(f, NULL) == QV_OK);
}

static void repair_segment(uint8_t *p, size_t n)
{
    if (n < QV__SEG_HEAD_BYTES) {
        return;
    }
    uint64_t table = qv__load_u64(p + 48), blocks = qv__load_u64(p + 56);
    qv__store_u64(p + 40, n);
    if (table >= QV__SEG_DATA_OFF && table <= n && (n - table) / 4 >= blocks) {
        for (uint64_t i = 0; i < blocks; i++) {
            uint64_t from = QV__SEG_DATA_OFF + i * QV__SEG_BLOCK_BYTES;
            if (from >= table) {
                break;
            }
            uint64_t to = QV_MIN(from + QV__SEG_BLOCK_BYTES, table);
            uint32_t crc = qv__crc32c(qv__seg_crc_seed(1, i), p + from, (size_t)(to - from));
            qv__store_u32(p + table + i * 4, crc);
        }
        qv__store_u32(p + 72,
                      qv__crc32c(qv__seg_crc_seed(1, UINT64_MAX), p + table, (size_t)blocks * 4));
    }
    qv__store_u32(p + QV__SEG_HEAD_BYTES - 4, qv__crc32c(0, p, QV__SEG_HEAD_BYTES - 4));
}

static void repair_tombstones(uint8_t *p, size_t n)
{
    if (n >= 64) {
        qv__store_u32(p + 56, qv__crc32c(0, p + 64, n - 64));
        qv__store_u32(p + 60, qv__crc32c(0, p, 60));
    }
}

static void edit(struct qv__reader *r, uint8_t *seg, size_t *seg_n, uint8_t *tomb, size_t *tomb_n)
{
    while (qv__reader_left(r) >= 4) {
        uint8_t what = qv__read_u8(r) & 3;
        size_t off = qv__read_u16(r), n = qv__read_u8(r);
        bool is_seg = what == EDIT_SEG || what == EDIT_CUT_SEG;
        size_t *total = is_seg ? seg_n : tomb_n;
        if (what >= EDIT_CUT_SEG) {
            *total = QV_MIN(*total, off);
            continue;
        }
        n = QV_MIN(n, qv__reader_left(r));
        const uint8_t *p = qv__read_bytes(r, n);
        for (size_t i = 0; i < n && off + i < *total; i++) {
            (is_seg ? seg : tomb)[off + i] = p[i];
        }
    }
}

static void use_idmap(const struct qv__segfile *f, uint32_t n, struct qv__mem *mem)
{
    struct qv__idmap m;
    qv_status st = qv__idmap_open(f, n, mem, &m, NULL);
    CHECK(st == QV_OK || st == QV_ECORRUPT);
    for (uint32_t row = 0; st == QV_OK && row < n; row++) {
        uint32_t found = 0;
        struct qv__id id = qv__idmap_get(&m, row);
        CHECK(qv__idmap_find(&m, &id, &found) && found >= row);
        CHECK(qv__idmap_lower_bound(&m, &id) < n);
    }
}

static void use_segment(struct qv__blobs *blobs, const char *name, struct qv__mem *mem, bool verify)
{
    struct qv__segfile *f;
    struct qv_err err;
    qv_status st = qv__segfile_open(blobs, name, mem, 1, 0, verify, &f, &err);
    CHECK(st == QV_OK || st == QV_ECORRUPT || st == QV_EVERSION);
    if (st != QV_OK) {
        CHECK(memchr(err.message, 0, sizeof err.message));
        return;
    }
    uint32_t sum = 0;
    for (unsigned kind = 0; kind < 64; kind++) {
        for (unsigned column = 0; column < 4; column++) {
            struct qv__bytes b = qv__segfile_section(f, (uint16_t)kind, (uint16_t)column);
            for (size_t i = 0; i < b.n; i++) {
                sum += b.p[i];
            }
            qv__segfile_advise(f, b, QV__ADVISE_RANDOM);
        }
    }
    for (uint32_t n = 0; n <= ROWS + 1; n++) {
        use_idmap(f, n, mem);
    }
    use_idmap(f, sum | 1, mem);
    CHECK(!verify || qv__segfile_verify(f, NULL) == QV_OK);
    qv__segfile_close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qv__mem *mem = qv__mem_root("fuzz", 0);
    struct qv__io *io;
    struct qv__blobs *blobs;
    struct qv__reader r = qv__reader_of(data, size);
    char seg_name[64], tomb_name[64];
    uint64_t words[1] = {0};
    size_t seg_n, tomb_n;
    CHECK(mem && qv__io_sim_open(mem, &io, NULL) == QV_OK);
    CHECK(qv__io_mkdir(io, "tmp", NULL) == QV_OK);
    CHECK(qv__blobs_local_open(io, "", "tmp", mem, &blobs, NULL) == QV_OK);
    uint8_t mode = qv__read_u8(&r);
    make_files(blobs, mem, mode & MODE_U64);
    qv__segment_blob_name(1, seg_name);
    qv__tombstones_blob_name(1, 1, tomb_name);
    if (mode & MODE_RAW) {
        store(io, seg_name, r.p, qv__reader_left(&r));
    } else {
        uint8_t *seg = load(io, seg_name, mem, &seg_n), *tomb = load(io, tomb_name, mem, &tomb_n);
        edit(&r, seg, &seg_n, tomb, &tomb_n);
        if (mode & MODE_REPAIR) {
            repair_segment(seg, seg_n);
            repair_tombstones(tomb, tomb_n);
        }
        store(io, seg_name, seg, seg_n);
        store(io, tomb_name, tomb, tomb_n);
        qv__free(seg);
        qv__free(tomb);
    }
    use_segment(blobs, seg_name, mem, mode & MODE_VERIFY);
    qv_status st = qv__tombstones_read(blobs, 1, 1, words, ROWS, NULL);
    CHECK(st == QV_OK || st == QV_ECORRUPT || st == QV_EVERSION);
    CHECK(words[0] >> ROWS == 0);
    blobs->ops->close(blobs);
    qv__io_close(io);
    qv__mem_close(mem);
    return 0;
}
