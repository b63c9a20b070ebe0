/* file.c: the saved form of a quantizer (docs/internals/QUANT.md).
 *
 *   0  u8[4]  "QVQZ"      16 u32  metric
 *   4  u32    version     20 u32  dim
 *   8  u32    kind        24 u64  seed: the rotation is made from it
 *  12  u16    bits        32 f32[dim] mean
 *  14  u16    rest_bits   and then u32 CRC-32C of all before */
#include "quant/impl.h"

#include "base/crc32c.h"

enum { VERSION = 1, VERSION_TUCKED = 2, HEAD_BYTES = 32, CRC_BYTES = 4 };
static const char magic[4] = {'Q', 'V', 'Q', 'Z'};

qv_status qv__quant_save(const struct qv__quant *z, struct qv__buf *b, struct qv_err *err)
{
    size_t from = b->n;
    qv__buf_put(b, magic, sizeof magic);
    qv__buf_u32(b, z->is_tucked ? VERSION_TUCKED : VERSION);
    qv__buf_u32(b, z->params.kind);
    qv__buf_u16(b, (uint16_t)z->params.bits);
    qv__buf_u16(b, (uint16_t)z->params.rest_bits);
    qv__buf_u32(b, z->metric);
    qv__buf_u32(b, z->dim);
    qv__buf_u64(b, z->params.seed);
    qv__buf_put(b, z->mean, z->dim * sizeof *z->mean);
    if (!b->failed) {
        qv__buf_u32(b, qv__crc32c(0, b->p + from, b->n - from));
    }
    return qv__buf_status(b, err);
}

/* Everything but the mean. */
static qv_status read_head(struct qv__reader *r, struct qv__quant_params *p, bool *is_tucked,
                           uint32_t dim, uint8_t metric, struct qv_err *err)
{
    const uint8_t *m = qv__read_bytes(r, sizeof magic);
    if (m == NULL || memcmp(m, magic, sizeof magic) != 0) {
        return qv__fail(err, QV_ECORRUPT, "quantizer: no magic number");
    }
    uint32_t version = qv__read_u32(r);
    *is_tucked = version == VERSION_TUCKED;
    if (!r->failed && version != VERSION && !*is_tucked) {
        return qv__fail(err, QV_EVERSION, "quantizer: version %u; this program knows %u and %u",
                        version, (unsigned)VERSION, (unsigned)VERSION_TUCKED);
    }
    p->kind = qv__read_u32(r);
    p->bits = qv__read_u16(r);
    p->rest_bits = qv__read_u16(r);
    uint32_t its_metric = qv__read_u32(r), its_dim = qv__read_u32(r);
    p->seed = qv__read_u64(r);
    if (r->failed) {
        return qv__fail(err, QV_ECORRUPT, "quantizer: cut off");
    }
    if (its_metric != metric || its_dim != dim) {
        return qv__fail(err, QV_ECORRUPT,
                        "quantizer: dim %u, metric %u; its vectors have dim %u, metric %u", its_dim,
                        its_metric, dim, metric);
    }
    if (qv__quant_params_check(p, err) != QV_OK) {
        return qv__wrap(err, QV_ECORRUPT, "quantizer");
    }
    if (*is_tucked && !qv__quant_tucks(p, dim)) {
        return qv__fail(err, QV_ECORRUPT,
                        "quantizer: version %u with kind %u of %u bits and %u dimensions",
                        (unsigned)VERSION_TUCKED, p->kind, p->bits, dim);
    }
    return QV_OK;
}

qv_status qv__quant_open(struct qv__bytes bytes, uint32_t dim, uint8_t metric, struct qv__mem *mem,
                         const struct qv__simd *simd, struct qv__quant **out, struct qv_err *err)
{
    struct qv__reader r = qv__reader_of(bytes.p, bytes.n);
    struct qv__quant_params p = {0};
    bool is_tucked = false;
    QV_TRY(read_head(&r, &p, &is_tucked, dim, metric, err));
    size_t mean_bytes = (size_t)dim * sizeof(float);
    if (bytes.n != HEAD_BYTES + mean_bytes + CRC_BYTES) {
        return qv__fail(err, QV_ECORRUPT, "quantizer: %zu bytes, not the %zu of %u dimensions",
                        bytes.n, HEAD_BYTES + mean_bytes + CRC_BYTES, dim);
    }
    const uint8_t *mean = qv__read_bytes(&r, mean_bytes);
    if (qv__read_u32(&r) != qv__crc32c(0, bytes.p, HEAD_BYTES + mean_bytes)) {
        return qv__fail(err, QV_ECORRUPT, "quantizer: checksum differs");
    }
    struct qv__quant *z;
    QV_TRY(qv__quant_create(&p, is_tucked, dim, metric, mem, simd, &z, err));
    memcpy(z->mean, mean, mean_bytes);
    if (!qv__simd_finite(z->mean, dim)) { /* the mean of vectors that passed passes too */
        qv__quant_free(z);
        return qv__fail(err, QV_ECORRUPT, "quantizer: the mean is no vector of finite length");
    }
    *out = z;
    return QV_OK;
}
