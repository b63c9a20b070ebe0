/* test_corrupt_bits.c: every bit of a small database, flipped one at a time.
 *
 * Each flip is judged first by the layer that owns the file: segments and tombstones by opening the
 * segment, CURRENT and the manifest by reading the manifest, log files by recovering and replaying
 * the log. What a layer gets wrong, and a sample of all, is judged by opening the database and
 * reading everything out. See README.md for the numbers that can be set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "corruption.h"
#include "engine/collection.h"
#include "store/log.h"

struct bits {
    struct image im;
    struct qv__io *io;       /* flipped and flipped back */
    struct qv__io *log_io;   /* the log alone */
    struct qv__blobs *blobs; /* of io */
    struct qv__db *db;       /* an open copy, for the schemas */
    struct qv__io *schema_io;
    uint64_t log_hash; /* of the whole log, from the first record that is needed */
    uint64_t log_from;
    uint64_t seed, stride, full;
    struct counts layer, whole;
};

/* --- what each layer says --- */

static enum verdict said(qv_status st, const struct qv_err *err, const char *file, bool same)
{
    if (st == QV_OK) {
        return same ? HARMLESS : WRONG;
    }
    bool is_named = strstr(err->message, file) != NULL;
    return (st == QV_ECORRUPT || st == QV_EVERSION) && is_named ? DETECTED : WRONG;
}

/* The manifest's entry and schema of the segment that a blob belongs to. */
static struct qv__schema *schema_of(struct bits *b, const char *blob,
                                    const struct qv__manifest_segment **entry)
{
    const struct qv__manifest *m = &b->im.manifest;
    for (uint32_t i = 0; i < m->n_shards; i++) {
        for (uint32_t k = 0; k < m->shards[i].n_segments; k++) {
            char seg[64], tomb[64];
            *entry = &m->shards[i].segments[k];
            qv__segment_blob_name((*entry)->segment_id, seg);
            qv__tombstones_blob_name((*entry)->segment_id, (*entry)->tombstone_gen, tomb);
            if (strcmp(blob, seg) == 0 || strcmp(blob, tomb) == 0) {
                struct qv__collection *c = qv__catalog_by_id(b->db, m->shards[i].collection_id);
                struct qv__schema *s = qv__collection_schema(c);
                qv__collection_release(c);
                return s;
            }
        }
    }
    return NULL;
}

static enum verdict by_segment(struct bits *b, const char *blob)
{
    const struct qv__manifest_segment *entry = NULL;
    struct qv__schema *schema = schema_of(b, blob, &entry);
    struct qv_err err = {.code = QV_OK};
    struct qv__segment *s = NULL;
    if (!schema) {
        return HARMLESS; /* named by no manifest: never read */
    }
    struct qv__segment_env env = {.mem = b->im.mem, .simd = qv__simd_best(NULL), .blobs = b->blobs};
    qv_status st = qv__segment_open(&env, schema, entry, &s, &err);
    qv__segment_release(s);
    qv__schema_release(schema);
    return said(st, &err, blob, true);
}

static enum verdict by_manifest(struct bits *b, const char *file)
{
    struct qv__arena a;
    struct qv__manifest m;
    struct qv_err err = {.code = QV_OK};
    if (!image_is_live(&b->im, file)) {
        return HARMLESS; /* the one before the live one: never read */
    }
    qv__arena_init(&a, b->im.mem);
    qv_status st = qv__manifest_read(b->io, &a, &m, &err);
    bool is_same = st == QV_OK && m.generation == b->im.manifest.generation &&
                   m.checkpoint_lsn == b->im.manifest.checkpoint_lsn &&
                   m.catalog.n == b->im.manifest.catalog.n &&
                   memcmp(m.catalog.p, b->im.manifest.catalog.p, m.catalog.n) == 0;
    /* A flip in CURRENT shows there or as a manifest that is not the one it names. */
    bool is_current = strcmp(file, "CURRENT") == 0;
    enum verdict v =
        said(st, &err, is_current && strstr(err.message, "manifest-") ? "" : file, is_same);
    qv__arena_free(&a);
    return v;
}

static qv_status hash_record(void *arg, const struct qv__log_record *rec, struct qv_err *err)
{
    uint64_t *h = arg;
    (void)err;
    *h = (*h ^ rec->lsn) * UINT64_C(0x100000001b3);
    *h = (*h ^ rec->type) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < rec->body.n; i++) {
        *h = (*h ^ rec->body.p[i]) * UINT64_C(0x100000001b3);
    }
    return QV_OK;
}

static qv_status replay(struct bits *b, struct qv__io *io, uint64_t *hash, struct qv_err *err)
{
    struct qv__log *log = NULL;
    struct qv__log_local_options o = {.first_file_bytes = b->im.log_file_bytes,
                                      .file_bytes_max = b->im.log_file_bytes,
                                      .next_lsn = b->im.manifest.checkpoint_lsn + 1};
    struct qv_err ignored;
    *hash = UINT64_C(0xcbf29ce484222325);
    QV_TRY(qv__log_local_open(io, "log", b->im.mem, &o, &log, err));
    qv_status st = qv__log_replay(log, b->log_from, hash_record, hash, err);
    (void)!qv__log_close(log, &ignored);
    return st;
}

static enum verdict by_log(struct bits *b, const char *file, uint64_t byte, unsigned bit)
{
    struct qv__io *copy = NULL;
    struct qv_err err = {.code = QV_OK};
    uint64_t hash = 0;
    assert_int_equal(qv__io_sim_crash(b->log_io, QV__CRASH_KEEP_ALL, NULL, &copy, &err), QV_OK);
    assert_int_equal(qv__io_sim_flip(copy, file, byte, bit), QV_OK);
    qv_status st = replay(b, copy, &hash, &err);
    qv__io_close(copy);
    return said(st, &err, file + 4, hash == b->log_hash);
}

static enum verdict by_layer(struct bits *b, const char *file, uint64_t byte, unsigned bit)
{
    if (strncmp(file, "log/", 4) == 0) {
        return by_log(b, file, byte, bit);
    }
    assert_int_equal(qv__io_sim_flip(b->io, file, byte, bit), QV_OK);
    enum verdict v =
        strncmp(file, "blobs/", 6) == 0 ? by_segment(b, file + 6) : by_manifest(b, file);
    assert_int_equal(qv__io_sim_flip(b->io, file, byte, bit), QV_OK);
    return v;
}

static enum verdict by_opening(struct bits *b, const char *file, uint64_t byte, unsigned bit,
                               bool write, char why[600])
{
    struct qv__io *copy = image_copy(&b->im);
    struct damage d = {.file = file, .from = byte, .to = byte + 1};
    assert_int_equal(qv__io_sim_flip(copy, file, byte, bit), QV_OK);
    enum verdict v = judge(&b->im, copy, &d, 1, write, why);
    qv__io_close(copy);
    return v;
}

/* --- the run --- */

static void bits_open(struct bits *b)
{
    struct qv_err err = {.code = QV_OK};
    struct image *im = &b->im;
    image_make(im, (unsigned)number_of("QVT_POINTS", 24), number_of("QVT_LOG_BYTES", 8192));
    b->io = image_copy(im);
    b->log_io = image_copy(im);
    for (unsigned i = 0; i < im->n_files; i++) { /* small, so that a copy is quick */
        if (strncmp(im->files[i].name, "log/", 4) != 0) {
            assert_int_equal(qv__io_unlink(b->log_io, im->files[i].name, &err), QV_OK);
        }
    }
    assert_int_equal(qv__blobs_local_open(b->io, "blobs", "tmp", im->mem, &b->blobs, &err), QV_OK);
    b->schema_io = image_copy(im);
    struct qv__db_options o = {.io = b->schema_io,
                               .threads = -1,
                               .seed = 7,
                               .log_file_bytes = im->log_file_bytes,
                               .read_only = true};
    assert_int_equal(qv__db_open(&o, &b->db, &err), QV_OK);
    b->log_from = im->manifest.checkpoint_lsn;
    for (uint32_t i = 0; i < im->manifest.n_shards; i++) {
        b->log_from = QV_MIN(b->log_from, im->manifest.shards[i].flushed_lsn);
    }
    b->log_from++;
    struct qv__io *copy = NULL;
    assert_int_equal(qv__io_sim_crash(b->log_io, QV__CRASH_KEEP_ALL, NULL, &copy, &err), QV_OK);
    assert_int_equal(replay(b, copy, &b->log_hash, &err), QV_OK);
    qv__io_close(copy);
    b->seed = number_of("QVT_SEED", 1);
    b->stride = number_of("QVT_STRIDE", is_sanitized() ? 61 : 1);
    b->full = number_of("QVT_FULL", is_sanitized() ? 31 : 197);
}

static void bits_close(struct bits *b)
{
    qv__db_close(b->db, NULL);
    b->blobs->ops->close(b->blobs);
    qv__io_close(b->schema_io);
    qv__io_close(b->log_io);
    qv__io_close(b->io);
    image_free(&b->im);
}

static void complain(const struct bits *b, const char *file, uint64_t byte, unsigned bit,
                     const char *what)
{
    fail_msg("%s, byte %llu, bit %u: %s\n  again: QVT_SEED=%llu QVT_FILE=%s QVT_BYTE=%llu "
             "QVT_BIT=%u test_corrupt_bits",
             file, (unsigned long long)byte, bit, what, (unsigned long long)b->seed, file,
             (unsigned long long)byte, bit);
}

static void one_bit(struct bits *b, const char *file, uint64_t byte, unsigned bit, bool full,
                    bool write)
{
    char why[600] = "";
    enum verdict v = by_layer(b, file, byte, bit);
    b->layer.n[v]++;
    if (!full && v != WRONG) {
        return;
    }
    enum verdict w = by_opening(b, file, byte, bit, write, why);
    b->whole.n[w]++;
    if (w == WRONG || w == CUT) { /* the mark at the tail vouches for every record */
        complain(b, file, byte, bit, w == CUT ? "records were cut off in silence" : why);
    }
    if ((v == DETECTED) != (w == DETECTED)) {
        complain(b, file, byte, bit, "the layer and the database disagree");
    }
}

static void every_bit(void **state)
{
    (void)state;
    struct bits *b = calloc(1, sizeof *b);
    bits_open(b);
    struct qv__rng rng;
    qv__rng_seed(&rng, b->seed);
    uint64_t bytes = 0, at = qv__rng_below(&rng, b->stride), n = 0, opened = 0;
    for (unsigned i = 0; i < b->im.n_files; i++) {
        const struct image_file *f = &b->im.files[i];
        bytes += f->bytes;
        for (; at < f->bytes * 8; at += b->stride) {
            bool full = n++ % b->full == b->seed % b->full;
            one_bit(b, f->name, at / 8, (unsigned)(at % 8), full, full && opened % 4 == 0);
            opened += full;
        }
        at -= f->bytes * 8;
    }
    print_message(
        "seed %llu: %u files, %llu bytes; %llu bits flipped: %llu detected, %llu "
        "harmless by their layer; %llu opened and read out: %llu detected, %llu harmless\n",
        (unsigned long long)b->seed, b->im.n_files, (unsigned long long)bytes,
        (unsigned long long)n, (unsigned long long)b->layer.n[DETECTED],
        (unsigned long long)b->layer.n[HARMLESS],
        (unsigned long long)(b->whole.n[DETECTED] + b->whole.n[HARMLESS]),
        (unsigned long long)b->whole.n[DETECTED], (unsigned long long)b->whole.n[HARMLESS]);
    assert_true(b->whole.n[DETECTED] > 0 && b->whole.n[HARMLESS] > 0);
    bits_close(b);
    free(b);
}

static void the_bit_of_the_environment(void **state)
{
    (void)state;
    const char *file = getenv("QVT_FILE");
    struct bits *b = calloc(1, sizeof *b);
    bits_open(b);
    one_bit(b, file, number_of("QVT_BYTE", 0), (unsigned)number_of("QVT_BIT", 0), true, true);
    print_message("detected: %llu, harmless: %llu\n", (unsigned long long)b->whole.n[DETECTED],
                  (unsigned long long)b->whole.n[HARMLESS]);
    bits_close(b);
    free(b);
}

int main(void)
{
    const struct CMUnitTest all[] = {cmocka_unit_test(every_bit)};
    const struct CMUnitTest one[] = {cmocka_unit_test(the_bit_of_the_environment)};
    if (getenv("QVT_FILE")) {
        return cmocka_run_group_tests(one, NULL, NULL);
    }
    return cmocka_run_group_tests(all, NULL, NULL);
}
