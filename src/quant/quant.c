/* quant.c: settings, training, the layout of a code, and what else all kinds share. */
#include "quant/impl.h"

#include <float.h>

#include "base/rng.h"
#include "simd/narrow.h"

enum { SAMPLE_MAX = 16384 }; /* rows of a mean: its error is then 1/128 of the spread */
#define FITS_OFF 0.1         /* of the spread, squared: 5 % of what codes err by */

static const char *kind_name(uint32_t kind)
{
    switch (kind) {
    case QV__QUANT_SCALAR:
        return "scalar";
    case QV__QUANT_RABITQ:
        return "rabitq";
    case QV__QUANT_BINARY:
        return "binary";
    default:
        return NULL;
    }
}

qv_status qv__quant_params_check(const struct qv__quant_params *p, struct qv_err *err)
{
    const char *kind = kind_name(p->kind);
    if (kind == NULL) {
        return qv__fail(err, QV_EVALIDATION,
                        "quantizer kind: %u is none of 1 (scalar), 2 (rabitq), 3 (binary)",
                        p->kind);
    }
    bool bits_ok = p->kind == QV__QUANT_SCALAR   ? p->bits == 4 || p->bits == 8
                   : p->kind == QV__QUANT_RABITQ ? p->bits >= 1 && p->bits <= 8
                                                 : p->bits == 1;
    if (!bits_ok) {
        return qv__fail(err, QV_EVALIDATION, "quantizer bits: %u; %s takes %s", p->bits, kind,
                        p->kind == QV__QUANT_SCALAR   ? "4 or 8"
                        : p->kind == QV__QUANT_RABITQ ? "1 to 8"
                                                      : "1");
    }
    if (p->rest_bits != 0 && (p->rest_bits != 4 || p->bits != 4 || p->kind == QV__QUANT_BINARY)) {
        return qv__fail(err, QV_EVALIDATION,
                        "quantizer rest_bits: %u; 0, or 4 beside 4 bits of scalar or rabitq",
                        p->rest_bits);
    }
    return QV_OK;
}

static qv_status check_column(uint32_t dim, uint8_t metric, struct qv_err *err)
{
    if (dim < 1 || dim > QV__DIM_MAX) {
        return qv__fail(err, QV_EVALIDATION, "quantizer dim: %u is not in 1..%u", dim, QV__DIM_MAX);
    }
    if (metric != QV__COSINE && metric != QV__DOT && metric != QV__L2) {
        return qv__fail(err, QV_EUNSUPPORTED,
                        "quantizer metric: %u has no codes; cosine, dot and Euclid have", metric);
    }
    return QV_OK;
}

/* Planes of 8, 4, 2 and 1 bits, the widest first, holding the highest bits; then the factors. */
static void lay_out(struct qv__quant *z)
{
    size_t at = 0;
    unsigned left = z->params.bits;
    for (int w = QV__W8; w >= QV__W1; w--) {
        unsigned width = 1u << w;
        if (width > left) {
            continue;
        }
        left -= width;
        z->planes[z->n_planes++] = (struct qv__plane){(uint8_t)w, (uint8_t)left, (uint32_t)at};
        at += qv__code_plane_bytes((enum qv__code_width)w, z->dims);
    }
    if (z->params.kind == QV__QUANT_BINARY) {
        z->code_bytes = (uint32_t)at;
        return;
    }
    if (z->is_tucked) {
        z->code_bytes = (uint32_t)at;
        return;
    }
    z->code_bytes = (uint32_t)at + QV__FACTOR_BYTES;
    if (z->params.rest_bits > 0) {
        z->rest = (struct qv__plane){QV__W4, 0, 0};
        z->rest_bytes = (uint32_t)qv__code_plane_bytes(QV__W4, z->dims) + QV__FACTOR_BYTES;
    }
}

static size_t lines(size_t n_bytes)
{
    return QV_ALIGN_UP(n_bytes, (size_t)QV__CACHE_LINE_BYTES) / QV__CACHE_LINE_BYTES;
}

bool qv__quant_tucks(const struct qv__quant_params *p, uint32_t dim)
{
    return p->kind == QV__QUANT_SCALAR && p->bits == 8 && dim >= QV__TUCKED &&
           lines(dim) < lines((size_t)dim + QV__FACTOR_BYTES);
}

qv_status qv__quant_create(const struct qv__quant_params *p, bool is_tucked, uint32_t dim,
                           uint8_t metric, struct qv__mem *mem, const struct qv__simd *simd,
                           struct qv__quant **out, struct qv_err *err)
{
    QV_TRY(qv__quant_params_check(p, err));
    QV_TRY(check_column(dim, metric, err));
    struct qv__quant *z = qv__zalloc(mem, sizeof *z);
    if (z == NULL) {
        return qv__fail(err, QV_ENOMEM, "no memory for a quantizer");
    }
    z->mem = mem;
    z->simd = simd;
    z->kernels = qv__codes_best(simd);
    z->params = *p;
    z->dim = dim;
    z->metric = metric;
    z->is_tucked = is_tucked;
    bool rotates = p->kind == QV__QUANT_RABITQ;
    z->dims = rotates || p->bits < 8 ? (uint32_t)qv__quant_padded(z) : dim;
    lay_out(z);
    z->mean = qv__calloc(mem, dim, sizeof *z->mean);
    z->signs = rotates ? qv__calloc(mem, qv__rotation_floats(z->dims), sizeof *z->signs) : NULL;
    if (z->mean == NULL || (rotates && z->signs == NULL)) {
        qv__quant_free(z);
        return qv__fail(err, QV_ENOMEM, "no memory for a quantizer of %u dimensions", dim);
    }
    if (rotates) {
        qv__rotation_make(z->signs, z->dims, p->seed);
    }
    *out = z;
    return QV_OK;
}

const float *qv__quant_widened(const struct qv__simd *simd, uint8_t datatype, uint8_t metric,
                               const void *elements, uint32_t dim, float *out)
{
    if (datatype == QV__F32) {
        return elements;
    }
    if (datatype == QV__F16) {
        qv__narrow_of(simd)->widen_f16(elements, dim, out);
    } else {
        qv__elements_to_floats(datatype, elements, dim, out);
    }
    if (metric == QV__COSINE && !qv__normalises(metric, datatype)) {
        qv__simd_normalize(simd, out, dim);
    }
    return out;
}

/* Add up one row from each of n_sample equal parts of [0, n), so that rows in any order are spread
 * over. */
static void sample_add(const struct qv__vectors *rows, uint32_t n, uint32_t n_sample, uint64_t seed,
                       const struct qv__simd *simd, float *row, double *sum, double *square)
{
    struct qv__rng rng;
    qv__rng_seed(&rng, seed);
    for (uint32_t i = 0; i < n_sample; i++) {
        uint64_t from = (uint64_t)n * i / n_sample, to = (uint64_t)n * (i + 1) / n_sample;
        uint32_t ord = (uint32_t)(from + qv__rng_below(&rng, to - from));
        const float *v = qv__quant_widened(simd, rows->datatype, rows->metric,
                                           qv__vectors_at(rows, ord), rows->dim, row);
        for (uint32_t d = 0; d < rows->dim; d++) {
            double x = (double)qv__load_float(v + d);
            sum[d] += x;
            *square += x * x;
        }
    }
}

static qv_status learn_mean(struct qv__quant *z, const struct qv__vectors *rows, uint32_t n,
                            struct qv_err *err)
{
    double *sum = qv__calloc(z->mem, z->dim, sizeof *sum), square = 0;
    float *row = qv__calloc(z->mem, z->dim, sizeof *row);
    if (sum == NULL || row == NULL) {
        qv__free(sum);
        qv__free(row);
        return qv__fail(err, QV_ENOMEM, "no memory to train a quantizer");
    }
    uint32_t n_sample = QV_MIN(n, (uint32_t)SAMPLE_MAX);
    sample_add(rows, n, n_sample, z->params.seed, z->simd, row, sum, &square);
    for (uint32_t d = 0; d < z->dim && n_sample > 0; d++) {
        z->mean[d] = (float)(sum[d] / n_sample);
    }
    qv__free(sum);
    qv__free(row);
    return QV_OK;
}

/* Codes err in proportion to the length of what is left when the mean is off, whose square is the
 * spread around the right mean and the distance of the two means. */
bool qv__quant_fits(const struct qv__quant *z, const struct qv__vectors *rows, uint32_t n,
                    struct qv__mem *mem)
{
    double *sum = qv__calloc(mem, z->dim, sizeof *sum), spread = 0, off = 0;
    float *row = qv__calloc(mem, z->dim, sizeof *row);
    uint32_t n_sample = QV_MIN(n, (uint32_t)SAMPLE_MAX);
    if (sum == NULL || row == NULL || n_sample == 0) {
        qv__free(sum);
        qv__free(row);
        return false;
    }
    sample_add(rows, n, n_sample, z->params.seed, z->simd, row, sum, &spread);
    qv__free(row);
    spread /= n_sample;
    for (uint32_t d = 0; d < z->dim; d++) {
        double mean = sum[d] / n_sample, by = mean - (double)z->mean[d];
        spread -= mean * mean;
        off += by * by;
    }
    qv__free(sum);
    return off <= FITS_OFF * QV_MAX(spread, 0.0);
}

qv_status qv__quant_train(const struct qv__quant_params *p, const struct qv__vectors *rows,
                          uint32_t n, struct qv__mem *mem, const struct qv__simd *simd,
                          struct qv__quant **out, struct qv_err *err)
{
    if (rows->datatype > QV__I8) {
        return qv__fail(err, QV_EUNSUPPORTED, "quantizer datatype: %s vectors have no codes",
                        qv__datatype_name(rows->datatype));
    }
    struct qv__quant *z;
    QV_TRY(qv__quant_create(p, qv__quant_tucks(p, rows->dim), rows->dim, rows->metric, mem, simd,
                            &z, err));
    qv_status st = learn_mean(z, rows, n, err);
    if (st != QV_OK) {
        qv__quant_free(z);
        return st;
    }
    *out = z;
    return QV_OK;
}

void qv__quant_free(struct qv__quant *z)
{
    if (z != NULL) {
        qv__free(z->mean);
        qv__free(z->signs);
        qv__free(z);
    }
}

size_t qv__quant_code_bytes(const struct qv__quant *z)
{
    return z->code_bytes;
}

size_t qv__quant_rest_bytes(const struct qv__quant *z)
{
    return z->rest_bytes;
}

void qv__quant_describe(const struct qv__quant *z, struct qv__quant_info *info)
{
    size_t n_signs = z->signs != NULL ? qv__rotation_floats(z->dims) : 0;
    bool has_bound = z->params.kind != QV__QUANT_BINARY && !z->is_tucked;
    *info = (struct qv__quant_info){
        .kind = kind_name(z->params.kind),
        .bits = z->params.bits,
        .rest_bits = z->params.rest_bits,
        .code_bytes = z->code_bytes,
        .rest_bytes = z->rest_bytes,
        .has_bound = has_bound,
        .confidence = !has_bound                           ? 0.0f
                      : z->params.kind == QV__QUANT_RABITQ ? QV__RABITQ_CONFIDENCE
                                                           : 1.0f,
        .memory_bytes = sizeof *z + z->dim * sizeof *z->mean + n_signs * sizeof *z->signs,
    };
}

void qv__quant_center(const struct qv__quant *z, const float *vector, float *out)
{
    size_t padded = qv__quant_padded(z);
    for (size_t d = 0; d < z->dim; d++) {
        out[d] = qv__load_float(vector + d) - z->mean[d];
    }
    memset(out + z->dim, 0, (padded - z->dim) * sizeof *out);
    if (z->signs != NULL) {
        qv__rotation_apply(z->signs, out, z->dims);
    }
}

/* Squared L2 is |q'|^2 + |v'|^2 - 2 q'.v' of the centred vectors; the negated inner product is
 * (|q'|^2 - |q|^2) / 2 + (|v'|^2 - |v|^2) / 2 - q'.v'. So both are a part of the query, a part of
 * the vector, and a weight times q'.v', the only thing a code estimates. */
double qv__quant_add(const struct qv__quant *z, const float *vector, double centred_norm2)
{
    if (z->metric == QV__L2) {
        return centred_norm2;
    }
    double norm2 = 0.0;
    for (size_t d = 0; d < z->dim; d++) {
        double x = (double)qv__load_float(vector + d);
        norm2 += x * x;
    }
    return 0.5 * (centred_norm2 - norm2);
}

void qv__quant_gather_ords(const struct qv__quant_query *q, const uint8_t *base,
                           size_t stride_bytes, const uint32_t *ords, size_t n, float *dists,
                           float *bounds)
{
    const uint8_t *at[QV__BATCH];
    for (size_t i = 0; i < n; i += QV__BATCH) {
        size_t m = QV_MIN(n - i, (size_t)QV__BATCH);
        for (size_t k = 0; k < m; k++) {
            at[k] = base + ords[i + k] * stride_bytes;
        }
        q->gather(q, at, m, dists + i, bounds != NULL ? bounds + i : NULL);
    }
}
