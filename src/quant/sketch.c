/* sketch.c: of a code only the sign of each element, for a first look at many.
 *
 * With v the integers of a code around zero, its sketch is the direction sgn(v), of the first 256
 * elements, and the factor that makes products with it unbiased along v: |v|^2 / sum |v_i|, as of
 * any code of one bit (QUANT.md, "The product"). It is made of the code alone, eight elements at a
 * time: in a byte whose highest bit is the sign, the other bits, inverted where the sign is
 * negative, are |v_i| but for a half.
 */
#include "quant/impl.h"

#include <float.h>

#define LOW_BITS   UINT64_C(0x0101010101010101)
#define EVEN_BYTES UINT64_C(0x00ff00ff00ff00ff)
/* Gathers the lowest bits of eight bytes into the highest byte, the first one lowest. */
#define GATHER     UINT64_C(0x0102040810204080)

enum {
    SKETCH_FACTORS = 8,
    BLOCK = QV__CODE_BLOCK_DIMS,
    BLOCK_WORDS = BLOCK / 8,
    /* Of longer codes the first elements stand for all: more would read more lines, and of 9,800
     * text embeddings the nearest ten are among 256 either way. */
    BLOCKS_MAX = 4,
    DIM_LEAST = 32, /* fewer signs order too little; of more, a sample tells (graph_sketch.c) */
};

static bool has_sketch(const struct qv__quant *z)
{
    return z->dim >= DIM_LEAST && z->n_planes == 1 &&
           (z->planes[0].width == QV__W8 || z->planes[0].width == QV__W4);
}

static size_t blocks_of(const struct qv__quant *z)
{
    return QV_MIN(qv__quant_padded(z) / BLOCK, (size_t)BLOCKS_MAX);
}

size_t qv__quant_sketch_bytes(const struct qv__quant *z)
{
    return has_sketch(z) ? blocks_of(z) * (BLOCK / 8) + SKETCH_FACTORS : 0;
}

/* Elements [64 b, 64 b + 64) as bytes with the sign on top. */
static void block_load(const struct qv__quant *z, const uint8_t *plane, size_t b,
                       uint64_t w[BLOCK_WORDS])
{
    uint8_t bytes[BLOCK] = {0};
    if (z->planes[0].width == QV__W8) {
        memcpy(bytes, plane + b * BLOCK, QV_MIN(z->dims - b * BLOCK, (size_t)BLOCK));
    } else {
        size_t first = b & ~(size_t)1; /* blocks come in pairs, but for an odd last one */
        bool is_pair = (first + 2) * BLOCK <= qv__quant_padded(z);
        size_t run = is_pair ? BLOCK : BLOCK / 2;
        const uint8_t *at = plane + first * (BLOCK / 2);
        for (size_t j = 0; j < run; j++) {
            if (is_pair) {
                bytes[j] = (uint8_t)(b & 1 ? at[j] & 0xf0 : at[j] << 4);
            } else {
                bytes[j] = (uint8_t)(at[j] << 4);
                bytes[run + j] = at[j] & 0xf0;
            }
        }
    }
    for (size_t i = 0; i < BLOCK_WORDS; i++) {
        w[i] = qv__load_u64(bytes + 8 * i);
    }
}

/* |v|, of the integers v around zero; a tucked code does not tell it. */
static float length_of(const struct qv__quant *z, const uint8_t *code, const struct qv__factors *f)
{
    if (!z->is_tucked) {
        return f->scale > 0.0f ? f->norm / f->scale : 0.0f;
    }
    float square = 0.0f;
    for (uint32_t i = 0; i < z->dim; i++) {
        float v = (float)code[i] - 127.5f;
        square += v * v;
    }
    return f->scale > 0.0f ? __builtin_sqrtf(square) : 0.0f;
}

void qv__quant_sketch(const struct qv__quant *z, const uint8_t *code, uint8_t *out)
{
    bool is_w8 = z->planes[0].width == QV__W8;
    uint64_t below = LOW_BITS * (is_w8 ? 0x7f : 0x70), sum = 0;
    size_t n_blocks = blocks_of(z);
    size_t n_all = QV_MIN(z->signs ? z->dims : z->dim, (uint32_t)(n_blocks * BLOCK));
    for (size_t b = 0; b < n_blocks; b++) {
        uint64_t w[BLOCK_WORDS], signs = 0, sums = 0;
        size_t n = n_all > b * BLOCK ? n_all - b * BLOCK : 0;
        block_load(z, code + z->planes[0].offset, b, w);
        for (size_t i = 0; i < BLOCK_WORDS; i++) {
            uint64_t sign = w[i] >> 7 & LOW_BITS, size = (w[i] ^ (sign ^ LOW_BITS) * 0xff) & below;
            signs |= (sign * GATHER >> 56) << 8 * i;
            if (8 * i >= n) {
                continue;
            }
            size &= n - 8 * i < 8 ? (UINT64_C(1) << 8 * (n - 8 * i)) - 1 : UINT64_MAX;
            sums += (size & EVEN_BYTES) + (size >> 8 & EVEN_BYTES);
        }
        sum += (sums & 0xffff) + (sums >> 16 & 0xffff) + (sums >> 32 & 0xffff) + (sums >> 48);
        qv__store_u64(out + 8 * b, signs);
    }
    /* A half each, and of four bits the bytes are sixteen times as large. */
    float size = is_w8 ? (float)sum + 0.5f * (float)n_all : (float)sum / 16 + 0.5f * (float)n_all;
    struct qv__factors f = qv__code_factors(z, code);
    float length = length_of(z, code, &f);
    float scale = f.scale * (length * (length / size));
    scale = scale <= FLT_MAX ? scale : 0.0f;
    memcpy(out + 8 * n_blocks, &scale, sizeof scale);
    memcpy(out + 8 * n_blocks + 4, &f.add, sizeof f.add);
}

void qv__quant_sketch_gather(const struct qv__quant_query *q, const uint8_t *const *sketches,
                             size_t n, float *dists)
{
    const struct qv__quant *z = q->z;
    struct qv__code_query ints = q->ints;
    int32_t products[QV__BATCH];
    size_t tail = blocks_of(z) * (BLOCK / 8);
    int32_t sum = 0;
    ints.dims = blocks_of(z) * BLOCK;
    for (size_t i = 0; i < ints.dims; i++) {
        sum += ints.q[i];
    }
    ints.fetch_bytes = tail + SKETCH_FACTORS;
    for (size_t from = 0; from < n; from += QV__BATCH) {
        size_t m = QV_MIN(n - from, (size_t)QV__BATCH);
        z->kernels->gather[QV__W1](&ints, sketches + from, 0, m, products);
        for (size_t i = 0; i < m; i++) {
            const uint8_t *factors = sketches[from + i] + tail;
            float in_signs = (float)(2 * products[i] - sum);
            float dist = q->constant + qv__load_float(factors + 4) -
                         qv__load_float(factors) * (q->per_int * in_signs);
            dists[from + i] = dist == dist ? dist : __builtin_inff(); /* overflowing factors only */
        }
    }
}
