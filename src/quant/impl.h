/* impl.h: what the files of this folder share: the quantizer, the layout of a code, the planes.
 *
 * What it is: for this folder only. What it is not: an interface; that is quant.h.
 *
 * A code of scalar and rabitq is planes of packed integers c (a width of 8, 4, 2 or 1 bits each,
 * widest first: 7 bits are planes of 4, 2 and 1) and then 12 bytes of factors. The element stands
 * for (c - middle) * step; the step is absorbed by the factors. A rest is one more plane and the
 * factors of code and rest together.
 *
 * A tucked code of 8 bits keeps two factors, scale and add, in the lowest bits of its first 64
 * integers, and the other two not at all: it ends with its elements, where 12 bytes more would take
 * one more cache line. Those integers count as halfway between the two that they may have been. */
#ifndef QV_QUANT_IMPL_H
#define QV_QUANT_IMPL_H

#include "quant/quant.h"

enum {
    QV__FACTOR_BYTES = 12,
    QV__TUCKED = 64, /* integers of a tucked code whose lowest bits are not theirs */
    QV__PLANES_MAX = 4,
    QV__BATCH = 32, /* codes whose integer products are taken before they become distances */
};

/* Bounds of rabitq: |error| is about normal, with a deviation of 1 / sqrt(dims - 1) of the product
 * of both lengths. Three deviations hold 99.7 % of a normal distribution; 99 % is what we promise,
 * as the sets and the rotations are finite. */
#define QV__RABITQ_DEVIATIONS 3.0f
#define QV__RABITQ_CONFIDENCE 0.99f

/* What follows the planes of a code: f32 scale, f32 add, and two f16-sized heads of f32 (the upper
 * half of the bits, rounded up): error and norm. */
struct qv__factors {
    float scale; /* (c - middle) * scale: the reconstruction whose products are unbiased */
    float add;   /* the metric's share of this vector in every distance */
    float error; /* at least the length of reconstruction - vector */
    float norm;  /* at least the length of the reconstruction */
};

struct qv__plane {
    uint8_t width;   /* enum qv__code_width */
    uint8_t shift;   /* of its integers within c */
    uint32_t offset; /* in the code, or in the rest */
};

struct qv__quant {
    struct qv__mem *mem;
    const struct qv__simd *simd;
    const struct qv__codes *kernels;
    struct qv__quant_params params;
    uint32_t dim;
    uint32_t
        dims; /* of a code: dim, or rounded up to a multiple of 64 where the rotation fills it */
    uint8_t metric;
    uint8_t n_planes;
    bool is_tucked;
    struct qv__plane planes[QV__PLANES_MAX];
    struct qv__plane rest; /* with rest_bits: its only plane */
    uint32_t code_bytes, rest_bytes;
    float *mean;  /* owned: dim elements */
    float *signs; /* owned: of the rotation; NULL = there is none */
};

struct qv__quant_encoder {
    const struct qv__quant *z;
    float *work;   /* owned: the centred vector, padded */
    float *row;    /* owned: a row that was widened */
    uint8_t *ints; /* owned: its integers, padded */
};

static inline float qv__load_float(const void *p)
{
    float v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Elements are centred and rotated in a block of whole 64s. */
static inline size_t qv__quant_padded(const struct qv__quant *z)
{
    return QV_ALIGN_UP((size_t)z->dim, (size_t)QV__CODE_BLOCK_DIMS);
}

/* The middle of the integers 0 .. 2^bits - 1. */
static inline float qv__quant_middle(uint32_t bits)
{
    return ((float)(1u << bits) - 1.0f) * 0.5f;
}

/* What one inner product counts in a distance. */
static inline float qv__quant_weight(const struct qv__quant *z)
{
    return z->metric == QV__L2 ? 2.0f : 1.0f;
}

/* quant.c */

/* Do these settings have tucked codes? Only where that takes a line less. */
bool qv__quant_tucks(const struct qv__quant_params *p, uint32_t dim);
/* An empty quantizer of these settings, with its layout and rotation, mean zero. */
qv_status qv__quant_create(const struct qv__quant_params *p, bool is_tucked, uint32_t dim,
                           uint8_t metric, struct qv__mem *mem, const struct qv__simd *simd,
                           struct qv__quant **out, struct qv_err *err) QV_MUST_USE;
/* out[0 .. padded) = vector - mean and zeros, rotated where the kind rotates. */
void qv__quant_center(const struct qv__quant *z, const float *vector, float *out);
/* The floats that elements of a datatype stand for among a metric's: `elements` itself if they are
 * floats, else out[0 .. dim), normalised where the metric wants it and what is stored is not. */
const float *qv__quant_widened(const struct qv__simd *simd, uint8_t datatype, uint8_t metric,
                               const void *elements, uint32_t dim, float *out);
/* The share of a vector in its distances, from |v - mean|^2. */
double qv__quant_add(const struct qv__quant *z, const float *vector, double centred_norm2);

/* plane.c */

/* Pack bits [shift, shift + width) of dims integers; reads dims rounded up to 64 when w < 8. */
void qv__plane_pack(enum qv__code_width w, unsigned shift, const uint8_t *ints, size_t dims,
                    uint8_t *out);
/* ints[i] |= element << shift. */
void qv__plane_unpack(enum qv__code_width w, unsigned shift, const uint8_t *plane, size_t dims,
                      uint8_t *ints);

/* rotate.c */

enum { QV__ROTATION_ROUNDS = 4 };
size_t qv__rotation_floats(uint32_t dims); /* of signs; dims a multiple of 64 */
void qv__rotation_make(float *signs, uint32_t dims, uint64_t seed);
/* Lengths and angles are kept, up to rounding. */
void qv__rotation_apply(const float *signs, float *v, uint32_t dims);

/* encode.c */

void qv__factors_store(uint8_t *p, const struct qv__factors *f);
struct qv__factors qv__factors_load(const uint8_t *p);
/* Of a code, wherever they are; the error of a tucked one is not known: infinite. */
struct qv__factors qv__code_factors(const struct qv__quant *z, const uint8_t *code);
/* Of the bits that a tucked code has for its first integers' lowest. */
static inline float qv__tucked_scale(uint64_t bits)
{
    uint32_t half = (uint32_t)bits;
    return qv__load_float(&half);
}
static inline float qv__tucked_add(uint64_t bits)
{
    uint32_t half = (uint32_t)(bits >> 32);
    return qv__load_float(&half);
}

/* query.c, binary.c: the calls of a query. */
void qv__query_calls(struct qv__quant_query *q);
void qv__binary_calls(struct qv__quant_query *q);
/* Of a centred vector. */
void qv__binary_encode(const struct qv__quant *z, const float *centred, uint8_t *code);
void qv__binary_query_set(struct qv__quant_query *q, const float *centred);
void qv__binary_query_set_code(struct qv__quant_query *q, const uint8_t *code);

#endif
