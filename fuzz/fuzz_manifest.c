/* fuzz_manifest.c: CURRENT and the manifest it names against arbitrary bytes.
 *
 * The input edits a sound pair on the simulated disk: the first byte says whether checksums are
 * repaired afterwards, or the rest is the manifest as it is (CURRENT then describes it); else edits
 * follow: {which file (1), offset (2), length (1), bytes}. What was read must be inside the bytes
 * that were there, must be readable as a whole, and must come back when it is written again. */
#include <stdio.h>

#include "base/buf.h"
#include "base/crc32c.h"
#include "os/io_sim.h"
#include "store/manifest.h"

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "fuzz_manifest: %s does not hold (line %d)\n", #cond, __LINE__);       \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MODE_REPAIR = 1, MODE_RAW = 2 };

#define NAME "manifest-0000000000000005"

static void make_files(struct qv__io *io, struct qv__mem *mem)
{
    struct qv__manifest_segment segments[3] = {{.segment_id = 1, .n_rows = 10, .n_dead = 2},
                                               {.segment_id = 2, .n_rows = 20},
                                               {.segment_id = 3, .n_rows = 30, .max_lsn = 9}};
    struct qv__manifest_shard shards[2] = {{1, 0, 2, 7, segments}, {1, 1, 1, 8, segments + 2}};
    struct qv__manifest m = {.generation = 5,
                             .checkpoint_lsn = 9,
                             .next_file_id = 4,
                             .catalog = {(const uint8_t *)"the catalog", 11},
                             .shards = shards,
                             .n_shards = 2};
    CHECK(qv__manifest_write(io, mem, &m, NULL) == QV_OK);
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

static void edit(struct qv__reader *r, uint8_t *manifest, size_t n, uint8_t *current, size_t m)
{
    while (qv__reader_left(r) >= 4) {
        bool is_manifest = (qv__read_u8(r) & 1) == 0;
        size_t off = qv__read_u16(r), len = qv__read_u8(r);
        len = QV_MIN(len, qv__reader_left(r));
        const uint8_t *p = qv__read_bytes(r, len);
        for (size_t i = 0; i < len && off + i < (is_manifest ? n : m); i++) {
            (is_manifest ? manifest : current)[off + i] = p[i];
        }
    }
}

/* Make the checksums right: in the manifest itself only with `inside`. */
static void repair(uint8_t *manifest, size_t n, bool inside, uint8_t *current)
{
    if (inside && n >= 132) {
        qv__store_u64(manifest + 32, n);
        qv__store_u32(manifest + 124, qv__crc32c(0, manifest, 124));
        qv__store_u32(manifest + n - 4, qv__crc32c(0, manifest, n - 4));
    }
    qv__store_u64(current + 40, n);
    qv__store_u32(current + 48, qv__crc32c(0, manifest, n));
    qv__store_u32(current + 60, qv__crc32c(0, current, 60));
}

/* Look at everything; gives a digest. */
static uint32_t digest(const struct qv__manifest *m)
{
    uint32_t crc = qv__crc32c(0, &m->checkpoint_lsn, sizeof m->checkpoint_lsn);
    crc = qv__crc32c(crc, &m->next_file_id, sizeof m->next_file_id);
    crc = qv__crc32c(crc, m->db_uuid, sizeof m->db_uuid);
    if (m->catalog.n) {
        crc = qv__crc32c(crc, m->catalog.p, m->catalog.n);
    }
    for (uint32_t i = 0; i < m->n_shards; i++) {
        const struct qv__manifest_shard *s = &m->shards[i];
        crc = qv__crc32c(crc, &s->flushed_lsn, sizeof s->flushed_lsn);
        crc = qv__crc32c(crc, s->segments, s->n_segments * sizeof *s->segments);
    }
    return crc;
}

static void use(struct qv__io *io, struct qv__mem *mem)
{
    struct qv__arena arena;
    struct qv__manifest m, again;
    struct qv_err err;
    qv__arena_init(&arena, mem);
    qv_status st = qv__manifest_read(io, &arena, &m, &err);
    CHECK(st == QV_OK || st == QV_ECORRUPT || st == QV_EVERSION || st == QV_ENOTFOUND);
    if (st == QV_OK && m.generation < UINT64_MAX) {
        uint32_t before = digest(&m);
        m.generation++;
        CHECK(qv__manifest_write(io, mem, &m, NULL) == QV_OK);
        CHECK(qv__manifest_read(io, &arena, &again, NULL) == QV_OK);
        CHECK(again.generation == m.generation && digest(&again) == before);
        CHECK(qv__manifest_clean(io, m.generation, NULL) == QV_OK);
    } else if (st != QV_OK) {
        CHECK(memchr(err.message, 0, sizeof err.message));
    }
    qv__arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qv__mem *mem = qv__mem_root("fuzz", 0);
    struct qv__io *io;
    struct qv__reader r = qv__reader_of(data, size);
    size_t n, m;
    CHECK(mem && qv__io_sim_open(mem, &io, NULL) == QV_OK);
    make_files(io, mem);
    uint8_t mode = qv__read_u8(&r);
    uint8_t *manifest = load(io, NAME, mem, &n), *current = load(io, "CURRENT", mem, &m);
    if (mode & MODE_RAW) {
        qv__free(manifest);
        n = qv__reader_left(&r);
        manifest = (uint8_t *)qv__alloc(mem, n);
        CHECK(manifest);
        if (n) {
            memcpy(manifest, r.p, n);
        }
    } else {
        edit(&r, manifest, n, current, m);
    }
    if (mode & (MODE_RAW | MODE_REPAIR)) {
        repair(manifest, n, mode & MODE_REPAIR, current);
    }
    store(io, NAME, manifest, n);
    store(io, "CURRENT", current, m);
    qv__free(manifest);
    qv__free(current);
    use(io, mem);
    qv__io_close(io);
    qv__mem_close(mem);
    return 0;
}
