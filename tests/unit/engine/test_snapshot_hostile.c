/* test_snapshot_hostile.c: containers that are not what they should be.
 *
 * Every bit of a small container flipped, every length, and fields that lie although all checksums
 * are right. None may be recovered from; the collection stays as it was; nothing stays in the
 * directory. */
#include "base/crc32c.h"
#include "snapshot_test.h"

struct box {
    struct fix fx;
    uint64_t want; /* digest of the live collection */
    uint8_t *p;    /* the container */
    size_t n;
    struct qv__snap snap;
    struct qv__arena arena;
};

/* `codes`: of the vectors, QV__INDEX_CODES_AUTO = as ever. */
static void box_open_with(struct box *b, uint32_t codes)
{
    struct fix *f = &b->fx;
    struct qv__snapshot_info info;
    struct qv__snapshot_stream *s = NULL;
    size_t got = 0;
    fix_open(f, -1);
    struct qv__vector_def def = {
        .name = QV__STR(""), .metric = QV__L2, .dim = DIM, .index.codes = codes};
    struct qv__schema schema = fix_schema(&def, 1, 2);
    schema.policy =
        (struct qv__segment_policy){.seal_rows = 16, .index_rows = 16, .merge_fanin = 2};
    OK(qv__db_create_collection(f->db, QV__STR("c"), &schema, &f->err));
    struct qv__collection *c = fix_collection(f, "c");
    OK(put(f, c, 0, 40, 1));
    OK(qv__collection_optimize(c, 1, &f->err));
    del(f, c, 2, 4);
    OK(qv__db_snapshot_create(f->db, QV__STR("c"), &info, &f->err));
    OK(put(f, c, 0, 5, 2));
    b->want = digest(f, c, NULL);
    qv__collection_release(c);
    OK(qv__snapshot_stream_open(f->db, info.id, &s, &f->err));
    b->n = (size_t)info.bytes;
    b->p = qv__alloc(f->mem, b->n);
    for (size_t at = 0; at < b->n; at += got) {
        OK(qv__snapshot_stream_read(s, at, b->p + at, b->n - at, &got, &f->err));
    }
    qv__snapshot_stream_close(s);
    qv__arena_init(&b->arena, f->mem);
    OK(qv__snap_head_decode(b->p, b->n, "x", &b->snap, &f->err));
    OK(qv__snap_table_decode(&b->snap, b->p + b->snap.table_at, b->n - (size_t)b->snap.table_at,
                             "x", &b->arena, &f->err));
}

static void box_open(struct box *b)
{
    box_open_with(b, QV__INDEX_CODES_AUTO);
}

static void box_close(struct box *b)
{
    qv__free(b->p);
    qv__arena_free(&b->arena);
    fix_close(&b->fx);
}

static void store(struct fix *f, const void *p, size_t n)
{
    struct qv__file *file = NULL;
    OK(qv__io_open(f->io, "box", QV__OPEN_CREATE | QV__OPEN_TRUNC, &file, &f->err));
    OK(n ? qv__io_pwrite(file, p, n, 0, &f->err) : QV_OK);
    OK(qv__io_file_close(file, &f->err));
}

static void count_blob(void *arg, const char *name, uint64_t size)
{
    (void)size;
    *(unsigned *)arg += strncmp(name, "blobs/", 6) == 0;
}

static unsigned n_blobs(struct fix *f)
{
    unsigned n = 0;
    OK(qv__io_sim_list(f->io, count_blob, &n, &f->err));
    return n;
}

/* Refused, and nothing has changed. */
static void refused(struct box *b, const uint8_t *p, size_t n)
{
    struct fix *f = &b->fx;
    struct qv__snapshot_from from = {.file = "box", .bytes = n};
    unsigned blobs = n_blobs(f);
    store(f, p, n);
    qv_status st = qv__db_snapshot_recover(f->db, QV__STR("c"), &from, &f->err);
    if (st != QV_ECORRUPT && st != QV_EVERSION) {
        fail_msg("not refused: %s %s", qv_status_name(st), f->err.message);
    }
    assert_int_equal(n_blobs(f), blobs);
    assert_int_equal(n_leftovers(f), 0);
}

static void test_every_bit(void **state)
{
    (void)state;
    struct box box, *b = &box;
    box_open(b);
    /* All of head, table and manifest; of the rest every 97th byte. */
    for (size_t i = 0; i < b->n; i++) {
        bool whole = i < b->snap.files[1].at || i >= b->snap.table_at;
        if (!whole && i % 97 != 0) {
            continue;
        }
        for (unsigned bit = 0; bit < 8; bit += whole ? 3 : 7) {
            b->p[i] ^= (uint8_t)(1u << bit);
            refused(b, b->p, b->n);
            b->p[i] ^= (uint8_t)(1u << bit);
        }
    }
    assert_int_equal(digest_of(&b->fx, "c", NULL), b->want);
    box_close(b);
}

static void test_every_length(void **state)
{
    (void)state;
    struct box box, *b = &box;
    box_open(b);
    for (size_t n = 0; n < b->n; n += n < 600 || b->n - n < 300 ? 1 : 101) {
        refused(b, b->p, n);
    }
    uint8_t *longer = qv__alloc(b->fx.mem, b->n + 1);
    memcpy(longer, b->p, b->n);
    longer[b->n] = 0;
    refused(b, longer, b->n + 1);
    qv__free(longer);
    box_close(b);
}

/* --- lies with good checksums --- */

static void seal_head(uint8_t *p)
{
    qv__store_u32(p + QV__SNAP_HEAD_BYTES - 4, qv__crc32c(0, p, QV__SNAP_HEAD_BYTES - 4));
}

static void seal_table(struct box *b, uint8_t *p)
{
    size_t at = (size_t)b->snap.table_at, n = b->n - at;
    qv__store_u32(p + b->n - 4, qv__crc32c(0, p + at, n - 4));
}

/* Sums of the manifest's file, after its bytes were changed and sealed by its own rule. */
static void seal_manifest(struct box *b, uint8_t *p)
{
    uint8_t *m = p + b->snap.files[0].at, *entry = p + b->snap.table_at;
    size_t n = (size_t)b->snap.files[0].bytes;
    struct qv__sha256 sum;
    qv__store_u32(m + 124, qv__crc32c(0, m, 124));
    qv__store_u32(m + n - 4, qv__crc32c(0, m, n - 4));
    qv__sha256_init(&sum);
    qv__sha256_add(&sum, m, n);
    qv__sha256_end(&sum, entry + 32);
    qv__store_u32(entry + 64 * (size_t)b->snap.n_files, qv__snap_block_crc(0, 0, m, n));
    seal_table(b, p);
}

static void test_lying_head(void **state)
{
    (void)state;
    struct box box, *b = &box;
    box_open(b);
    static const struct {
        size_t at, width;
        uint64_t values[4];
    } lies[] = {
        {8, 2, {2, 0, 9, UINT16_MAX}},
        {16, 8, {1, UINT64_MAX, 0x100, 2}},
        {32, 8, {0, UINT64_MAX, 1, (uint64_t)1 << 63}},
        {40, 8, {0, UINT64_MAX, 511, 513}},
        {72, 8, {0, UINT64_MAX, (uint64_t)1 << 62, 1}},
        {80, 4, {0, 3, UINT32_MAX, 2}},
        {84, 4, {0, UINT32_MAX, 1 << 20, 1}},
        {88, 4, {0, 1, UINT32_MAX, 65536}},
        {92, 4, {0, 256, UINT32_MAX, 2}},
        {112, 1, {0, 'd', '/', '.'}},
    };
    uint8_t *p = qv__alloc(b->fx.mem, b->n);
    for (size_t i = 0; i < QV_ARRAY_LEN(lies); i++) {
        for (size_t k = 0; k < 4; k++) {
            memcpy(p, b->p, b->n);
            memcpy(p + lies[i].at, &lies[i].values[k], lies[i].width);
            seal_head(p);
            refused(b, p, b->n);
        }
    }
    qv__free(p);
    box_close(b);
}

static void test_lying_table(void **state)
{
    (void)state;
    struct box box, *b = &box;
    box_open(b);
    static const uint64_t values[] = {0, 1, 2, 3, 4, UINT32_MAX, (uint64_t)1 << 62, UINT64_MAX};
    static const size_t fields[] = {0, 2, 4, 8, 16, 24};
    uint8_t *p = qv__alloc(b->fx.mem, b->n);
    for (uint32_t i = 0; i < b->snap.n_files; i++) {
        for (size_t k = 0; k < QV_ARRAY_LEN(fields); k++) {
            for (size_t v = 0; v < QV_ARRAY_LEN(values); v++) {
                memcpy(p, b->p, b->n);
                uint8_t *at = p + b->snap.table_at + (size_t)i * 64 + fields[k];
                size_t width = fields[k] < 4 ? 2 : fields[k] < 8 ? 4 : 8;
                memcpy(at, &values[v], width);
                if (memcmp(p, b->p, b->n) != 0) {
                    seal_table(b, p);
                    refused(b, p, b->n);
                }
            }
        }
    }
    qv__free(p);
    box_close(b);
}

static void test_lying_manifest(void **state)
{
    (void)state;
    struct box box, *b = &box;
    box_open(b);
    static const uint64_t values[] = {0, 1, 7, UINT32_MAX, UINT64_MAX};
    size_t n = (size_t)b->snap.files[0].bytes, catalog_at = 0;
    uint8_t *p = qv__alloc(b->fx.mem, b->n);
    const uint8_t *m = b->p + b->snap.files[0].at;
    catalog_at = n - 4 - (size_t)qv__load_u64(m + 88);
    /* Checkpoint LSN; then every field of shards and segments but LSNs, which may be anything. */
    for (size_t at = 48; at < catalog_at; at += at < 128 ? 80 : 4) {
        for (size_t v = 0; v < QV_ARRAY_LEN(values); v++) {
            memcpy(p, b->p, b->n);
            memcpy(p + b->snap.files[0].at + at, &values[v], 4);
            seal_manifest(b, p);
            size_t in_shards = at - 128, shard_bytes = 2 * 32;
            bool is_free = at >= 128 && in_shards < shard_bytes && in_shards % 32 >= 16;
            if (memcmp(p, b->p, b->n) != 0 && !is_free) {
                refused(b, p, b->n);
            }
        }
    }
    /* The catalog: another name, another id, no JSON. */
    for (size_t at = catalog_at; at < n - 4; at += 3) {
        memcpy(p, b->p, b->n);
        p[b->snap.files[0].at + at] = '\0';
        seal_manifest(b, p);
        refused(b, p, b->n);
    }
    qv__free(p);
    assert_int_equal(digest_of(&b->fx, "c", NULL), b->want);
    box_close(b);
}

/* What a newer version writes is called so, and no damage. */
static void test_newer_catalog(void **state)
{
    (void)state;
    struct box box, *b = &box;
    struct fix *f = &box.fx;
    box_open_with(b, QV__INDEX_CODES_NONE);
    size_t n = (size_t)b->snap.files[0].bytes;
    uint8_t *m = b->p + b->snap.files[0].at;
    char *codes = memmem(m, n, "\"codes\":1", 9);
    assert_non_null(codes);
    codes[8] = '9';
    seal_manifest(b, b->p);
    refused(b, b->p, b->n);
    struct qv__snapshot_from from = {.file = "box", .bytes = b->n};
    assert_int_equal(qv__db_snapshot_recover(f->db, QV__STR("c"), &from, &f->err), QV_EVERSION);
    struct qv__io *to = NULL;
    OK(qv__io_sim_open(f->mem, &to, &f->err));
    struct qv__restore_options o = {.from = f->io, .path = "box", .to = to, .mem = f->mem};
    assert_int_equal(qv__db_restore(&o, NULL, &f->err), QV_EVERSION);
    qv__io_close(to);
    box_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_bit),      cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_lying_head),     cmocka_unit_test(test_lying_table),
        cmocka_unit_test(test_lying_manifest), cmocka_unit_test(test_newer_catalog),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
