/* fuzz_record.c: a data record of the log from foreign bytes: decode, then encode what came out and
 * decode that again. A refused record must leave nothing behind. */
#include "engine/collection.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qv__mem *mem = qv__mem_root("fuzz", (size_t)64 << 20);
    struct qv__vector_def defs[2] = {{.name = QV__STR(""), .metric = QV__COSINE, .dim = 3},
                                     {.name = QV__STR("b"), .metric = QV__L1, .dim = 2}};
    struct qv__schema from = {.vectors = defs, .n_vectors = 2, .shard_number = 2}, *schema = NULL;
    struct qv__arena arena;
    struct qv__record_part *parts = NULL, *again = NULL;
    size_t n = 0, n_again = 0;
    uint64_t id = 0;
    qv__arena_init(&arena, mem);
    if (qv__schema_create(mem, &from, &schema, NULL) == QV_OK &&
        qv__record_collection((struct qv__bytes){data, size}, &id, NULL) == QV_OK &&
        qv__record_decode((struct qv__bytes){data, size}, 9, schema, &arena, &parts, &n, NULL) ==
            QV_OK) {
        struct qv__buf out;
        qv__buf_init(&out, mem);
        qv__record_begin(&out, id, (uint32_t)n);
        for (size_t i = 0; i < n; i++) {
            qv__record_part(&out, parts[i].shard, schema, parts[i].effects, parts[i].n);
        }
        if (!out.failed) {
            qv_status st =
                qv__record_decode(qv__buf_bytes(&out), 9, schema, &arena, &again, &n_again, NULL);
            QV_ASSERT((st == QV_OK && n_again == n) || st == QV_ENOMEM);
        }
        qv__buf_free(&out);
    }
    qv__arena_free(&arena);
    qv__schema_release(schema);
    qv__mem_close(mem);
    return 0;
}
