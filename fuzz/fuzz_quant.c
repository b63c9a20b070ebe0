/* fuzz_quant.c: saved quantizers and codes of arbitrary bytes.
 *
 * Input: {mode (1), dim (1), metric (1)}, then the bytes of a quantizer; with MODE_REPAIR their
 * checksum is put right first. What opens must encode, and give a number for every code, be it its
 * own or what was left of the input. */
#include <stdio.h>

#include "base/crc32c.h"
#include "quant/quant.h"

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "fuzz_quant: %s does not hold (line %d)\n", #cond, __LINE__);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MODE_REPAIR = 1, DIM_MAX = 256, CODES = 6, CODE_BYTES_MAX = 512 };

static void ask(struct qv__quant_query *q, const uint8_t *codes, size_t stride, const uint8_t *rest)
{
    float dists[CODES], bounds[CODES], bound;
    q->run(q, codes, stride, CODES, dists, bounds);
    for (size_t i = 0; i < CODES; i++) {
        CHECK(dists[i] == dists[i] && bounds[i] == bounds[i]);
    }
    float refined = q->refine(q, codes, rest, &bound);
    CHECK(refined == refined && bound == bound);
}

static void use(struct qv__quant *z, struct qv__mem *mem, const uint8_t *data, size_t size)
{
    static uint8_t codes[CODES * CODE_BYTES_MAX], rest[CODE_BYTES_MAX];
    float vector[DIM_MAX];
    struct qv__quant_encoder *e;
    struct qv__quant_query *q;
    size_t stride = qv__quant_code_bytes(z);
    CHECK(stride <= CODE_BYTES_MAX && qv__quant_rest_bytes(z) <= CODE_BYTES_MAX);
    CHECK(qv__quant_encoder_new(z, mem, &e, NULL) == QV_OK);
    CHECK(qv__quant_query_new(z, mem, &q, NULL) == QV_OK);
    for (size_t i = 0; i < DIM_MAX; i++) {
        vector[i] = (float)(int8_t)(size > 0 ? data[i % size] : 0);
    }
    qv__quant_encode(e, vector, codes, rest);
    qv__quant_query_set(q, vector);
    for (size_t i = 1; i < CODES; i++) {
        memcpy(codes + i * stride, codes, stride);
    }
    ask(q, codes, stride, rest);
    qv__quant_query_set_code(q, codes);
    ask(q, codes, stride, rest);
    for (size_t i = 0; i < sizeof codes && size > 0; i++) {
        codes[i] = data[(i * 7 + 3) % size];
    }
    memcpy(rest, codes, sizeof rest);
    ask(q, codes, stride, rest);
    qv__quant_query_set_code(q, codes + stride);
    ask(q, codes, stride, rest);
    qv__quant_encoder_free(e);
    qv__quant_query_free(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t copy[4096];
    if (size < 3 || size - 3 > sizeof copy) {
        return 0;
    }
    struct qv__mem *mem = qv__mem_root("fuzz", 0);
    struct qv__quant *z;
    struct qv_err err;
    size_t n = size - 3;
    CHECK(mem != NULL);
    memcpy(copy, data + 3, n);
    if ((data[0] & MODE_REPAIR) && n >= 4) {
        qv__store_u32(copy + n - 4, qv__crc32c(0, copy, n - 4));
    }
    qv_status st = qv__quant_open((struct qv__bytes){copy, n}, data[1] + 1u, data[2], mem,
                                  qv__simd_best(NULL), &z, &err);
    CHECK(st == QV_OK || st == QV_ECORRUPT || st == QV_EVERSION || st == QV_EUNSUPPORTED);
    if (st == QV_OK) {
        use(z, mem, data, size);
        qv__quant_free(z);
    }
    qv__mem_close(mem);
    return 0;
}
