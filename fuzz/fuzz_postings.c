/* fuzz_postings.c: any bytes as posting lists: refused, or safe to search, count and add up.
 *
 * Input: a byte for the number of vectors (in 16s), two for the query's terms, then the lists. */
#include "index/sparse.h"

enum { HEAD = 4, K = 5 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD) {
        return 0;
    }
    struct qv__mem *mem = qv__mem_root("fuzz", (size_t)64 << 20);
    struct qv__qctx ctx = {.mem = mem};
    struct qv__postings p;
    uint32_t n = 16u * data[0];
    uint8_t *copy = qv__alloc_aligned(mem, 64, size);
    uint32_t query[1 + 2 * 2] = {2, data[1], data[1] + 1u + data[2]};
    const float values[2] = {1.0f, -0.5f};
    uint64_t df[2] = {0, 0};
    memcpy(query + 3, values, sizeof values);
    memcpy(copy, data + HEAD, size - HEAD);
    if (qv__postings_open((struct qv__bytes){copy, size - HEAD}, n, true, &p, NULL) == QV_OK) {
        struct qv__hit heap[K];
        struct qv__topk top;
        qv__topk_init(&top, heap, K);
        QV_ASSERT(qv__sparse_search(&p, 0, query, NULL, &ctx, &top, NULL) == QV_OK);
        qv__sparse_frequencies(&p, 0, query + 1, 2, NULL, df);
        QV_ASSERT(top.n <= df[0] + df[1] && qv__sparse_cost(&p, query) == df[0] + df[1]);
        (void)qv__postings_digest(&p);
    }
    qv__free(copy);
    qv__mem_close(mem);
    return 0;
}
