/* encode.c: from a vector to a code: the step, the integers, the factors.
 *
 * The step. With T bits an element is one of 2^T equally spaced values around zero. Any direction
 * is as good as its angle to the vector is small, since the factors restore its length; so the
 * step is searched that makes the cosine largest, from the one that clips nothing downwards (Gao et
 * al. 2025 enumerate all steps; a search over some dozen loses less than the last digit of recall
 * and costs a fraction).
 *
 * The factors. For a centred vector y and its integers v (around zero), scale = |y|^2 / v.y makes
 * scale * v - y orthogonal to y, so a query's component along y is measured exactly, and the
 * product is unbiased under a random rotation (Gao and Long 2024). */
#include "quant/impl.h"

#include <float.h>

enum {
    LANES = 8, /* sums a compiler may keep in vector registers */
    STEPS_MAX = 40,
    STEPS_WORSE = 3, /* in a row: the maximum has been passed */
};
#define STEP_RATIO  0.94f

/* How much the refined direction counts against that of the code alone. The step that suits four
 * bits best clips the largest elements, which no rest can mend; from here on up recall did not
 * change. */
#define REST_WEIGHT 64.0f

/* The integers at one step, against the vector. */
struct fit {
    float dot, norm2; /* v.y, |v|^2 */
};

static inline float clamped(float x, float max)
{
    x = x > 0.0f ? x : 0.0f;
    return x < max ? x : max;
}

/* Of the integers' upper bits, after dropping `drop` of `bits`. */
static struct fit fit_at(const float *y, size_t n, float per_step, unsigned bits, unsigned drop)
{
    float dot[LANES] = {0}, norm2[LANES] = {0};
    float half = (float)(1u << (bits - 1)), top = (float)(1u << bits) - 0.5f;
    float middle = qv__quant_middle(bits - drop);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            int c = (int)clamped(y[i + k] * per_step + half, top) >> drop;
            float v = (float)c - middle;
            dot[k] += v * y[i + k];
            norm2[k] += v * v;
        }
    }
    for (; i < n; i++) {
        int c = (int)clamped(y[i] * per_step + half, top) >> drop;
        float v = (float)c - middle;
        dot[0] += v * y[i];
        norm2[0] += v * v;
    }
    struct fit f = {0};
    for (size_t k = 0; k < LANES; k++) {
        f.dot += dot[k];
        f.norm2 += norm2[k];
    }
    return f;
}

static float cosine2(struct fit f, float y_norm2)
{
    return f.norm2 > 0.0f ? f.dot / f.norm2 * (f.dot / y_norm2) : 0.0f;
}

/* Steps per unit, for a vector of length one (so that no square leaves the floats). */
static float best_per_step(const struct qv__quant_params *p, const float *y, size_t n, float y_max)
{
    unsigned bits = p->bits + p->rest_bits;
    float half = (float)(1u << (bits - 1));
    float range = y_max, best_range = y_max, best = -1e30f;
    for (unsigned step = 0, worse = 0; step < STEPS_MAX && worse < STEPS_WORSE; step++) {
        float score = cosine2(fit_at(y, n, half / range, bits, p->rest_bits), 1.0f);
        if (p->rest_bits > 0) {
            score += REST_WEIGHT * cosine2(fit_at(y, n, half / range, bits, 0), 1.0f);
        }
        worse++;
        if (score > best) {
            best = score;
            best_range = range;
            worse = 0;
        }
        range *= STEP_RATIO;
    }
    return half / best_range;
}

static void store_head(uint8_t *p, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    qv__store_u16(p, (uint16_t)((bits >> 16) + ((bits & 0xffffu) != 0)));
}

static float load_head(const uint8_t *p)
{
    uint32_t bits = (uint32_t)qv__load_u16(p) << 16;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

void qv__factors_store(uint8_t *p, const struct qv__factors *f)
{
    memcpy(p, &f->scale, sizeof f->scale);
    memcpy(p + 4, &f->add, sizeof f->add);
    store_head(p + 8, f->error);
    store_head(p + 10, f->norm);
}

struct qv__factors qv__factors_load(const uint8_t *p)
{
    return (struct qv__factors){qv__load_float(p), qv__load_float(p + 4), load_head(p + 8),
                                load_head(p + 10)};
}

static void tuck(uint8_t *code, const struct qv__factors *f)
{
    uint32_t scale, add;
    memcpy(&scale, &f->scale, sizeof scale);
    memcpy(&add, &f->add, sizeof add);
    uint64_t bits = (uint64_t)add << 32 | scale;
    for (unsigned i = 0; i < QV__TUCKED; i++) {
        code[i] = (uint8_t)((code[i] & 0xfeu) | (bits >> i & 1u));
    }
}

struct qv__factors qv__code_factors(const struct qv__quant *z, const uint8_t *code)
{
    if (!z->is_tucked) {
        return qv__factors_load(code + z->code_bytes - QV__FACTOR_BYTES);
    }
    uint64_t bits;
    z->kernels->low_bits(&code, 1, &bits);
    return (struct qv__factors){.scale = qv__tucked_scale(bits),
                                .add = qv__tucked_add(bits),
                                .error = __builtin_inff(),
                                .norm = __builtin_inff()};
}

static float as_float(double v)
{
    return v > (double)FLT_MAX ? FLT_MAX : v < -(double)FLT_MAX ? -FLT_MAX : (float)v;
}

/* Of the upper bits of `ints`, for a direction y of a vector `norm` long. The first n_halved are
 * halfway between two. */
static struct qv__factors factors_of(const float *y, const uint8_t *ints, size_t n, size_t n_halved,
                                     unsigned bits, unsigned drop, double norm, double add)
{
    double dot = 0.0, v_norm2 = 0.0, y_norm2 = 0.0;
    double middle = (double)qv__quant_middle(bits - drop);
    for (size_t i = 0; i < n; i++) {
        double c = i < n_halved ? (double)(ints[i] & 0xfeu) + 0.5 : (double)(ints[i] >> drop);
        double v = c - middle, x = (double)y[i];
        dot += v * x;
        v_norm2 += v * v;
        y_norm2 += x * x;
    }
    struct qv__factors f = {.add = as_float(add)};
    if (dot > 0.0) { /* else a zero vector: every element has the sign of its integer */
        double scale = y_norm2 / dot;
        double error2 = QV_MAX(scale * scale * v_norm2 - y_norm2, 0.0);
        f.scale = as_float(scale * norm);
        f.norm = as_float(scale * __builtin_sqrt(v_norm2) * norm);
        f.error = as_float(__builtin_sqrt(error2) * norm);
    }
    return f;
}

/* y to length one; returns its length and its largest magnitude afterwards. */
static double to_unit(float *y, size_t n, float *y_max)
{
    double norm2 = 0.0;
    for (size_t i = 0; i < n; i++) {
        norm2 += (double)y[i] * (double)y[i];
    }
    double norm = __builtin_sqrt(norm2), by = norm2 > 0.0 ? 1.0 / norm : 0.0;
    float max = 0.0f;
    for (size_t i = 0; i < n; i++) {
        y[i] = (float)((double)y[i] * by);
        float a = __builtin_fabsf(y[i]);
        max = a > max ? a : max;
    }
    *y_max = max;
    return norm;
}

qv_status qv__quant_encoder_new(const struct qv__quant *z, struct qv__mem *mem,
                                struct qv__quant_encoder **out, struct qv_err *err)
{
    size_t padded = qv__quant_padded(z);
    struct qv__quant_encoder *e = qv__zalloc(mem, sizeof *e);
    if (e != NULL) {
        e->z = z;
        e->work = qv__calloc(mem, padded, sizeof *e->work);
        e->row = qv__calloc(mem, padded, sizeof *e->row);
        e->ints = qv__calloc(mem, padded, sizeof *e->ints);
    }
    if (e == NULL || e->work == NULL || e->row == NULL || e->ints == NULL) {
        qv__quant_encoder_free(e);
        return qv__fail(err, QV_ENOMEM, "no memory to encode %u dimensions", z->dim);
    }
    *out = e;
    return QV_OK;
}

void qv__quant_encoder_free(struct qv__quant_encoder *e)
{
    if (e != NULL) {
        qv__free(e->work);
        qv__free(e->row);
        qv__free(e->ints);
        qv__free(e);
    }
}

void qv__quant_encode(struct qv__quant_encoder *e, const float *vector, uint8_t *code,
                      uint8_t *rest)
{
    const struct qv__quant *z = e->z;
    const struct qv__quant_params *p = &z->params;
    unsigned bits = p->bits + p->rest_bits;
    float *y = e->work, y_max;
    qv__quant_center(z, vector, y);
    size_t n = z->signs != NULL ? z->dims : z->dim;
    if (p->kind == QV__QUANT_BINARY) {
        qv__binary_encode(z, y, code);
        return;
    }
    double norm = to_unit(y, n, &y_max);
    float per_step = bits > 1 && y_max > 0.0f ? best_per_step(p, y, n, y_max) : 0.0f;
    float half = (float)(1u << (bits - 1)), top = (float)(1u << bits) - 0.5f;
    for (size_t i = 0; i < n; i++) {
        e->ints[i] = bits == 1 ? y[i] >= 0.0f : (uint8_t)clamped(y[i] * per_step + half, top);
    }
    double add = qv__quant_add(z, vector, norm * norm);
    for (unsigned i = 0; i < z->n_planes; i++) {
        const struct qv__plane *at = &z->planes[i];
        qv__plane_pack((enum qv__code_width)at->width, at->shift + p->rest_bits, e->ints, z->dims,
                       code + at->offset);
    }
    size_t n_halved = z->is_tucked ? QV__TUCKED : 0;
    struct qv__factors f = factors_of(y, e->ints, n, n_halved, bits, p->rest_bits, norm, add);
    if (z->is_tucked) {
        tuck(code, &f);
    } else {
        qv__factors_store(code + z->code_bytes - QV__FACTOR_BYTES, &f);
    }
    if (p->rest_bits > 0) {
        qv__plane_pack(QV__W4, 0, e->ints, z->dims, rest);
        f = factors_of(y, e->ints, n, 0, bits, 0, norm, add);
        qv__factors_store(rest + z->rest_bytes - QV__FACTOR_BYTES, &f);
    }
}

void qv__quant_encode_run(struct qv__quant_encoder *e, const struct qv__vectors *rows,
                          uint32_t from, uint32_t to, uint8_t *codes, size_t code_stride,
                          uint8_t *rests, size_t rest_stride)
{
    for (uint32_t i = from; i < to; i++) {
        size_t at = i - from;
        const float *row = qv__quant_widened(e->z->simd, rows->datatype, rows->metric,
                                             qv__vectors_at(rows, i), e->z->dim, e->row);
        qv__quant_encode(e, row, codes + at * code_stride,
                         rests != NULL ? rests + at * rest_stride : NULL);
    }
}
