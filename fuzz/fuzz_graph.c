/* fuzz_graph.c: the saved form of a graph against arbitrary bytes.
 *
 * The input edits the parts of a sound graph over fixed vectors: {part (1), offset (2), length (1),
 * bytes}, or cuts one short: {part + 128, length (2), 0}. Its length chooses the vectors' datatype
 * and their codes (kinds below). Opening may refuse; a graph that opened must be safe to walk: hits
 * are ordinals that exist, each once, nearest first. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/elements.h"
#include "index/index.h"

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "fuzz_graph: %s does not hold (line %d)\n", #cond, __LINE__);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N       60u
#define DIM_MAX 256u
#define PARTS   QV__INDEX_PARTS_MAX

static const struct {
    uint32_t dim, codes;
    uint8_t datatype, metric;
} kinds[] = {
    {4, QV__INDEX_CODES_AUTO, QV__F32, QV__L2},
    {64, QV__INDEX_CODES_INT8, QV__F32, QV__DOT},
    {64, QV__INDEX_CODES_INT8, QV__F16, QV__COSINE},
    {64, QV__INDEX_CODES_BITS2, QV__U8, QV__COSINE},
    {5, QV__INDEX_CODES_AUTO, QV__I8, QV__L1},
    {20, QV__INDEX_CODES_AUTO, QV__BIT, QV__HAMMING},
    {DIM_MAX, QV__INDEX_CODES_AUTO, QV__F16, QV__DOT}, /* with narrow codes */
};

struct saved {
    struct qv__index_sink sink;
    struct qv__mem *mem;
    uint8_t *part[PARTS];
    size_t n[PARTS];
};

static qv_status take(struct qv__index_sink *sink, uint32_t part, const void *bytes, size_t n,
                      struct qv_err *err)
{
    struct saved *s = QV_CONTAINER_OF(sink, struct saved, sink);
    (void)err;
    CHECK(part < PARTS);
    s->part[part] = qv__alloc(s->mem, n + 1);
    CHECK(s->part[part]);
    memcpy(s->part[part], bytes, n);
    s->n[part] = n;
    return QV_OK;
}

static void edit(struct qv__reader *r, struct saved *s)
{
    while (qv__reader_left(r) >= 4) {
        uint8_t what = qv__read_u8(r);
        unsigned part = (what & 127u) % PARTS;
        size_t off = qv__read_u16(r), n = qv__read_u8(r);
        if (what & 128u) {
            s->n[part] = QV_MIN(s->n[part], off);
            continue;
        }
        n = QV_MIN(n, qv__reader_left(r));
        const uint8_t *p = qv__read_bytes(r, n);
        for (size_t i = 0; i < n && off + i < s->n[part]; i++) {
            s->part[part][off + i] = p[i];
        }
    }
}

static void walk(const struct qv__index *x, struct qv__mem *mem, const struct qv__vectors *v)
{
    for (uint32_t q = 0; q < N; q += 7) {
        struct qv__qctx ctx = {.mem = mem};
        struct qv__index_hit hits[10];
        uint32_t n = 0;
        struct qv__index_query query = {.vector = qv__vectors_at(v, q), .k = 10, .ef = 16, .n = N};
        struct qv_err err;
        CHECK(x->ops->search(x, &query, &ctx, hits, &n, &err) == QV_OK);
        CHECK(n <= 10);
        for (uint32_t i = 0; i < n; i++) {
            CHECK(hits[i].ord < N);
            CHECK(i == 0 || hits[i - 1].dist <= hits[i].dist);
            for (uint32_t j = 0; j < i; j++) {
                CHECK(hits[j].ord != hits[i].ord);
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qv__mem *mem = qv__mem_root("fuzz", 0);
    struct saved s = {.sink = {.part = take}, .mem = mem};
    size_t kind = size % QV_ARRAY_LEN(kinds);
    uint32_t dim = kinds[kind].dim;
    static _Alignas(8) uint8_t bytes[N * DIM_MAX * sizeof(float)];
    const uint8_t *chunk = bytes;
    struct qv__vectors v = {.chunks = &chunk,
                            .chunk_shift = 31,
                            .stride_bytes = qv__vector_bytes(kinds[kind].datatype, dim),
                            .dim = dim,
                            .datatype = kinds[kind].datatype,
                            .metric = kinds[kind].metric};
    for (uint32_t i = 0; i < N; i++) {
        float row[DIM_MAX];
        for (uint32_t d = 0; d < dim; d++) {
            uint32_t k = i * dim + d;
            uint32_t value = (k * 7919u + k * k * 31u) % 257u;
            row[d] = (float)(v.datatype == QV__BIT ? value % 2 : value % 100);
        }
        qv__elements_of_floats(v.datatype, row, dim, bytes + (size_t)i * v.stride_bytes);
    }
    const struct qv__index_ops *ops = qv__index_ops_of(QV__INDEX_GRAPH);
    struct qv__index_params params = {
        .kind = QV__INDEX_GRAPH, .m = 3, .ef_construct = 8, .codes = kinds[kind].codes, .seed = 5};
    struct qv__index_env env = {.mem = mem, .simd = qv__simd_best(NULL), .threads = 1};
    struct qv__index *x = NULL;
    struct qv_err err = {.code = QV_OK};
    CHECK(ops->build(&params, &env, &v, N, &x, &err) == QV_OK);
    CHECK(ops->save && x->ops->save(x, &s.sink, &err) == QV_OK);
    ops->free(x);
    x = NULL;
    struct qv__reader r = qv__reader_of(data, size);
    edit(&r, &s);
    struct qv__index_parts parts = {{{NULL, 0}}};
    for (unsigned i = 0; i < PARTS; i++) {
        parts.part[i] = (struct qv__bytes){s.part[i], s.part[i] ? s.n[i] : 0};
    }
    qv_status st = ops->open(&params, &env, &v, N, &parts, &x, &err);
    CHECK(st == QV_OK || st == QV_ECORRUPT || st == QV_EVERSION);
    if (st == QV_OK) {
        walk(x, mem, &v);
        st = x->ops->validate(x, &err); /* may still find an ordinal that is not reached */
        CHECK(st == QV_OK || st == QV_ECORRUPT);
        ops->free(x);
    }
    for (unsigned i = 0; i < PARTS; i++) {
        qv__free(s.part[i]);
    }
    qv__mem_close(mem);
    return 0;
}
