/* fuzz_catalog.c: the catalog against arbitrary bytes, in a manifest and in records of the log.
 *
 * The first byte says where the rest goes: the catalog of a manifest, or one record behind a
 * database that has two collections and an alias. The checksums around it hold. A start and the
 * offline check must agree on whether it is sound; what was read must come back when it is written
 * and read again. */
#include <stdio.h>

#include "engine/catalog.h"
#include "os/io_sim.h"

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "fuzz_catalog: %s does not hold (line %d)\n", #cond, __LINE__);        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MODE_RECORD = 1 };

static struct qv__db *start(struct qv__io *io)
{
    struct qv__db *db = NULL;
    struct qv__db_options o = {.io = io, .threads = -1, .seed = 1, .log_file_bytes = 64u << 10};
    qv_status st = qv__db_open(&o, &db, NULL);
    CHECK(st == QV_OK ? db != NULL : db == NULL);
    return db;
}

static void fill(struct qv__db *db)
{
    const struct qv__str names[] = {QV__STR("a"), QV__STR("b")};
    struct qv__vector_def defs[2] = {
        {.name = QV__STR(""), .metric = QV__COSINE, .dim = 3},
        {.name = QV__STR("v"), .metric = QV__L2, .dim = 2, .datatype = QV__F16}};
    struct qv__alias_action alias = {
        .kind = QV__ALIAS_CREATE, .alias = QV__STR("first"), .collection = names[0]};
    for (uint32_t i = 0; i < 2; i++) {
        struct qv__schema s = {.vectors = defs, .n_vectors = i + 1, .shard_number = i + 1};
        CHECK(qv__db_create_collection(db, names[i], &s, NULL) == QV_OK);
    }
    CHECK(qv__db_update_aliases(db, &alias, 1, NULL) == QV_OK);
}

/* A manifest with this catalog, above the one there is. */
static void put_manifest(struct qv__io *io, struct qv__mem *mem, const uint8_t *p, size_t n)
{
    struct qv__arena arena;
    struct qv__manifest m;
    qv__arena_init(&arena, mem);
    CHECK(qv__manifest_read(io, &arena, &m, NULL) == QV_OK);
    m.generation++;
    m.catalog = (struct qv__bytes){p, n};
    m.n_shards = 0;
    CHECK(qv__manifest_write(io, mem, &m, NULL) == QV_OK);
    qv__arena_free(&arena);
}

/* A record with this body; what a kill leaves then. */
static struct qv__io *put_record(struct qv__io *io, const uint8_t *p, size_t n)
{
    struct qv__db *db = start(io);
    struct qv__io *after = NULL;
    struct qv__bytes body = {p, n};
    uint64_t lsn = 0, durable = 0;
    CHECK(qv__log_append(db->log, QV__REC_CATALOG, &body, 1, &lsn, NULL) == QV_OK);
    CHECK(qv__log_flush(db->log, &durable, NULL) == QV_OK);
    CHECK(qv__io_sim_crash(io, QV__CRASH_KEEP_ALL, NULL, &after, NULL) == QV_OK);
    (void)!qv__db_close(db, NULL);
    qv__io_close(io);
    return after;
}

static void written(struct qv__db *db, struct qv__mem *mem, struct qv__buf *out)
{
    qv__buf_init(out, mem);
    qv__catalog_write(db, NULL, out);
    CHECK(!out->failed);
}

static void use(struct qv__io *io, struct qv__mem *mem)
{
    struct qv__buf before, after;
    qv_status checked = qv__db_check(io, mem, NULL, NULL, NULL);
    CHECK(checked == QV_OK || checked == QV_ECORRUPT);
    struct qv__db *db = start(io);
    CHECK((db != NULL) == (checked == QV_OK));
    if (!db) {
        return;
    }
    written(db, mem, &before);
    CHECK(qv__db_close(db, NULL) == QV_OK); /* writes a manifest of its own */
    CHECK(qv__db_check(io, mem, NULL, NULL, NULL) == QV_OK);
    CHECK((db = start(io)) != NULL);
    written(db, mem, &after);
    CHECK(before.n == after.n && memcmp(before.p, after.p, before.n) == 0);
    qv__buf_free(&before);
    qv__buf_free(&after);
    CHECK(qv__db_close(db, NULL) == QV_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qv__mem *mem = qv__mem_root("fuzz", 0);
    struct qv__io *io;
    uint8_t mode = size ? data[0] : 0;
    const uint8_t *p = size ? data + 1 : (const uint8_t *)"";
    size_t n = size ? size - 1 : 0;
    CHECK(mem && qv__io_sim_open(mem, &io, NULL) == QV_OK);
    struct qv__db *db = start(io);
    CHECK(db);
    fill(db);
    CHECK(qv__db_close(db, NULL) == QV_OK);
    if (mode & MODE_RECORD) {
        io = put_record(io, p, n);
    } else {
        put_manifest(io, mem, p, n);
    }
    use(io, mem);
    qv__io_close(io);
    qv__mem_close(mem);
    return 0;
}
