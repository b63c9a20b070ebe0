/* around.c: one-bit codes of what lies around a vector, side by side (formulas: quant.h).
 *
 * A block is QV__LOOKUP_CODES numbers to add, as many to multiply with, and the signs, four
 * elements of all codes at a time as `lookup` of simd/codes.h has them. A query's four elements
 * have sixteen sums of plus or minus each of them: rounded to integers that fit six bits, they are
 * the tables. Rounding errs by a twentieth of what a sign instead of an element does. */
#include "quant/impl.h"

#include <float.h>

enum {
    CODES = QV__LOOKUP_CODES,
    GROUP = 4, /* elements of a number */
    ADD_AT = 0,
    SCALE_AT = CODES * 4,
    SIGNS_AT = 2 * CODES * 4,
    TABLE_MIDDLE = QV__LOOKUP_MAX / 2, /* of a table's entries: sums of zero */
    ROUNDING = 2,                      /* by which four rounded numbers may be larger */
    LANES = 8,
};

size_t qv__around_elements(const struct qv__quant *z)
{
    return qv__quant_padded(z);
}

size_t qv__around_bytes(const struct qv__quant *z)
{
    return SIGNS_AT + qv__quant_padded(z) / GROUP * 16;
}

void qv__around_center(const struct qv__quant *z, uint8_t datatype, const void *elements,
                       float *row, float *out)
{
    qv__quant_center(z, qv__quant_widened(z->simd, datatype, z->metric, elements, z->dim, row),
                     out);
}

void qv__around_mean(const struct qv__quant *z, float *out)
{
    size_t n = qv__quant_padded(z);
    memcpy(out, z->mean, z->dim * sizeof *out);
    memset(out + z->dim, 0, (n - z->dim) * sizeof *out);
    qv__rotation_apply(z->signs, out, z->dims);
}

qv_status qv__around_like(const struct qv__quant *like, uint64_t seed, struct qv__mem *mem,
                          struct qv__quant **out, struct qv_err *err)
{
    struct qv__quant_params p = {.kind = QV__QUANT_RABITQ, .bits = 1, .seed = seed};
    QV_TRY(qv__quant_create(&p, false, like->dim, like->metric, mem, like->simd, out, err));
    memcpy((*out)->mean, like->mean, like->dim * sizeof *like->mean);
    return QV_OK;
}

bool qv__around_decodes(const struct qv__quant *like)
{
    return like->params.kind == QV__QUANT_SCALAR && like->n_planes == 1 && like->rest_bytes == 0;
}

void qv__around_decode(const struct qv__quant *like, const uint8_t *code, uint8_t *ints, float *out)
{
    const struct qv__plane *p = &like->planes[0];
    size_t n = qv__quant_padded(like);
    float middle = qv__quant_middle(like->params.bits), scale = qv__code_factors(like, code).scale;
    memset(ints, 0, n);
    qv__plane_unpack((enum qv__code_width)p->width, p->shift, code + p->offset, like->dims, ints);
    for (size_t i = 0; i < like->dim; i++) {
        out[i] = ((float)ints[i] - middle) * scale;
    }
    for (size_t i = 0; like->is_tucked && i < QV__TUCKED; i++) {
        out[i] = ((float)(ints[i] & 0xfeu) + 0.5f - middle) * scale;
    }
    memset(out + like->dim, 0, (n - like->dim) * sizeof *out);
}

void qv__around_recode(struct qv__quant_encoder *e, float *v, uint8_t *code)
{
    for (size_t i = 0; i < e->z->dim; i++) {
        v[i] += e->z->mean[i];
    }
    qv__quant_encode(e, v, code, NULL);
}

void qv__around_rotate(const struct qv__quant *z, float *v)
{
    qv__rotation_apply(z->signs, v, z->dims);
}

/* Of a difference r and its signs b. */
struct products {
    float norm2, length1, by_signs, by_whole; /* |r|^2, b.r, b.centre, r.(centre + mean) */
};

static struct products products_of(const float *mean, const float *centre, const float *near,
                                   size_t n)
{
    float norm2[LANES] = {0}, length1[LANES] = {0}, signs[LANES] = {0}, whole[LANES] = {0};
    for (size_t i = 0; i < n; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            float c = centre[i + k], r = near[i + k] - c;
            norm2[k] += r * r;
            length1[k] += __builtin_fabsf(r);
            signs[k] += r >= 0.0f ? c : -c;
            whole[k] += r * (c + mean[i + k]);
        }
    }
    struct products p = {0};
    for (size_t k = 0; k < LANES; k++) {
        p.norm2 += norm2[k];
        p.length1 += length1[k];
        p.by_signs += signs[k];
        p.by_whole += whole[k];
    }
    return p;
}

static void signs_store(const float *centre, const float *near, size_t n, unsigned code,
                        uint8_t *is_positive, uint8_t *signs)
{
    unsigned shift = code < 16 ? 0 : 4;
    for (size_t i = 0; i < n; i++) {
        is_positive[i] = near[i] - centre[i] >= 0.0f;
    }
    for (size_t g = 0; g < n / GROUP; g++) {
        const uint8_t *p = is_positive + g * GROUP;
        unsigned bits = (unsigned)(p[0] | p[1] << 1 | p[2] << 2 | p[3] << 3);
        signs[16 * g + code % 16] |= (uint8_t)(bits << shift);
    }
}

static void store(uint8_t *block, size_t at, unsigned code, float v)
{
    memcpy(block + at + 4 * code, &v, sizeof v);
}

void qv__around_encode(const struct qv__quant *z, const float *rotated_mean, const float *centre,
                       const float *const near[QV__LOOKUP_CODES], uint8_t *block)
{
    size_t n = qv__quant_padded(z);
    uint8_t is_positive[GROUP * QV__LOOKUP_GROUPS_MAX];
    memset(block, 0, qv__around_bytes(z));
    for (unsigned code = 0; code < CODES; code++) {
        if (!near[code]) {
            store(block, ADD_AT, code, __builtin_inff());
            continue;
        }
        struct products p = products_of(rotated_mean, centre, near[code], n);
        float scale = p.length1 > 0.0f ? p.norm2 / p.length1 : 0.0f;
        float add = z->metric == QV__L2 ? p.norm2 + 2.0f * scale * p.by_signs
                                        : scale * p.by_signs - p.by_whole;
        store(block, ADD_AT, code, add == add ? add : __builtin_inff()); /* overflow only */
        scale *= qv__quant_weight(z);
        store(block, SCALE_AT, code, scale <= FLT_MAX ? scale : FLT_MAX);
        signs_store(centre, near[code], n, code, is_positive, block + SIGNS_AT);
    }
}

qv_status qv__around_query_new(const struct qv__quant *z, struct qv__mem *mem,
                               struct qv__around_query **out, struct qv_err *err)
{
    size_t padded = qv__quant_padded(z);
    struct qv__around_query *q = qv__zalloc(mem, sizeof *q);
    if (q) {
        q->z = z;
        q->tables = qv__alloc_aligned(mem, QV__CACHE_LINE_BYTES, padded / GROUP * 16);
        q->work = qv__calloc(mem, padded, sizeof *q->work);
        q->row = qv__calloc(mem, padded, sizeof *q->row);
    }
    if (!q || !q->tables || !q->work || !q->row) {
        qv__around_query_free(q);
        return qv__fail(err, QV_ENOMEM, "no memory for a query of %u dimensions", z->dim);
    }
    *out = q;
    return QV_OK;
}

void qv__around_query_free(struct qv__around_query *q)
{
    if (q) {
        qv__free(q->tables);
        qv__free(q->work);
        qv__free(q->row);
        qv__free(q);
    }
}

/* The largest sum of four neighbouring magnitudes. */
static float largest_group(const float *v, size_t n)
{
    float max = 0.0f;
    for (size_t i = 0; i < n; i += GROUP) {
        float sum = __builtin_fabsf(v[i]) + __builtin_fabsf(v[i + 1]) + __builtin_fabsf(v[i + 2]) +
                    __builtin_fabsf(v[i + 3]);
        max = sum > max ? sum : max;
    }
    return max;
}

static inline uint64_t rounded(float v, float per_step)
{
    float x = v * per_step;
    return (uint64_t)(int64_t)(int32_t)(x + (x < 0.0f ? -0.5f : 0.5f));
}

/* Eight entries in a word. Modulo 2^64 the word is the sum of its parts, negative ones too, and in
 * the end every byte is from 0 to QV__LOOKUP_MAX. */
static void table_fill(uint8_t *table, const float *v, float per_step)
{
    const uint64_t each = UINT64_C(0x0101010101010101);
    uint64_t r0 = rounded(v[0], per_step), r1 = rounded(v[1], per_step);
    uint64_t r2 = rounded(v[2], per_step), r3 = rounded(v[3], per_step);
    uint64_t low = each * (TABLE_MIDDLE - r0 - r1 - r2 - r3);
    low += 2 * r0 * UINT64_C(0x0100010001000100) + 2 * r1 * UINT64_C(0x0101000001010000) +
           2 * r2 * UINT64_C(0x0101010100000000);
    qv__store_u64(table, low);
    qv__store_u64(table + 8, low + 2 * r3 * each);
}

void qv__around_query_set(struct qv__around_query *q, uint8_t datatype, const void *elements)
{
    size_t n = qv__quant_padded(q->z);
    qv__around_center(q->z, datatype, elements, q->row, q->work);
    float step = largest_group(q->work, n) / (float)(TABLE_MIDDLE - ROUNDING);
    float per_step = 1.0f / step;
    q->middle = (int32_t)(TABLE_MIDDLE * (n / GROUP));
    q->step = step;
    if (!(per_step > 0.0f && per_step <= FLT_MAX)) { /* zero, or too small for its inverse */
        q->step = 0.0f;
        memset(q->tables, TABLE_MIDDLE, n / GROUP * 16);
        return;
    }
    for (size_t i = 0; i < n; i += GROUP) {
        table_fill(q->tables + i / GROUP * 16, q->work + i, per_step);
    }
}

void qv__around_estimate(const struct qv__around_query *q, const uint8_t *block,
                         const uint8_t *next, float more[QV__LOOKUP_CODES])
{
    uint16_t sums[CODES];
    float add[CODES], scale[CODES], step = q->step;
    int32_t middle = q->middle;
    memcpy(add, block + ADD_AT, sizeof add);
    memcpy(scale, block + SCALE_AT, sizeof scale);
    q->z->kernels->lookup(q->tables, block + SIGNS_AT, qv__quant_padded(q->z) / GROUP, next, sums);
    for (size_t i = 0; i < CODES; i++) {
        more[i] = add[i] - scale[i] * (step * (float)((int32_t)sums[i] - middle));
    }
}

uint32_t qv__around_near(const struct qv__around_query *q, const uint8_t *block,
                         const uint8_t *next, float from, float most, float dists[QV__LOOKUP_CODES])
{
    const struct qv__codes *kernels = q->z->kernels;
    uint16_t sums[CODES];
    struct qv__code_worth w = {.step = q->step, .middle = q->middle, .from = from, .most = most};
    kernels->lookup(q->tables, block + SIGNS_AT, qv__quant_padded(q->z) / GROUP, next, sums);
    return kernels->near(&w, sums, (const float *)(const void *)(block + ADD_AT),
                         (const float *)(const void *)(block + SCALE_AT), dists);
}
