/* quant.h: the one interface of all quantizers: short codes that stand for vectors, and distances
 * to them.
 *
 * What it is: a quantizer is trained once on a sample and then never changes; it turns vectors into
 * codes of a fixed size, and a query, prepared once, gives approximate distances to any number of
 * codes. Distances are those of index.h: smaller is nearer, comparable with exact ones.
 * What it is not: a store. Codes live where the caller puts them: at any stride and alignment,
 * among links, in files. Vectors for an exact rerank are the caller's too.
 *
 * The kinds (docs/internals/QUANT.md has the formulas and what they measured):
 *   scalar  8 or 4 bits an element, uniform steps of each vector's own size around the sample's
 * mean rabitq  1 to 8 bits after a random rotation, with an error bound (Gao and Long 2024, 2025)
 *   binary  the sign of each element, Hamming distances; needs a rerank
 * Scalar and rabitq with 4 bits can be split: a code of 4 bits for traversal, and a *rest* of 4
 * more, kept elsewhere and read only to refine what a traversal found.
 *
 * Threads: a quantizer is read by any number of threads; encoders and queries are one thread's
 * each. */
#ifndef QV_QUANT_QUANT_H
#define QV_QUANT_QUANT_H

#include "base/buf.h"
#include "base/elements.h"
#include "simd/codes.h"
#include "simd/prefetch.h"
#include "simd/simd.h"

/* Values are stored in files: never renumbered. */
enum qv__quant_kind { QV__QUANT_SCALAR = 1, QV__QUANT_RABITQ = 2, QV__QUANT_BINARY = 3 };

struct qv__quant_params {
    uint32_t kind;      /* enum qv__quant_kind */
    uint32_t bits;      /* of a code, per element: scalar 4 or 8, rabitq 1..8, binary 1 */
    uint32_t rest_bits; /* of the rest, per element: 4 with bits 4, else 0 */
    uint64_t seed;      /* the sample, the rotation */
};

struct qv__quant_info {
    const char *kind;    /* "scalar", "rabitq", "binary" */
    uint32_t bits;       /* of a code, per element */
    uint32_t rest_bits;  /* of the rest, per element */
    uint32_t code_bytes; /* of a code, its factors included */
    uint32_t rest_bytes; /* of a rest; 0 = there is none */
    bool has_bound;      /* distances come with a bound of their error */
    float confidence;    /* ... that holds with at least this probability; 1 = always */
    size_t memory_bytes; /* of the quantizer itself */
};

struct qv__quant;

/* QV_EVALIDATION naming field, value and limit. */
qv_status qv__quant_params_check(const struct qv__quant_params *p, struct qv_err *err) QV_MUST_USE;

/* A quantizer for vectors like `rows`, trained on a sample of ordinals [0, n); n may be 0 (then the
 * mean is taken to be zero). Takes dim, metric and datatype from `rows`, which it does not keep:
 * any but bits. Cosine rows are normalised; bytes, which are not stored so, are each time they are
 * read. Equal inputs and seeds give equal quantizers.
 * Errors: QV_EVALIDATION, QV_ENOMEM; QV_EUNSUPPORTED for a metric no code serves (L1, Hamming), and
 * for bits: fall back to the vectors. Owner: caller, with qv__quant_free. `simd` is borrowed for
 * its life. */
qv_status qv__quant_train(const struct qv__quant_params *p, const struct qv__vectors *rows,
                          uint32_t n, struct qv__mem *mem, const struct qv__simd *simd,
                          struct qv__quant **out, struct qv_err *err) QV_MUST_USE;

/* True if the quantizer serves ordinals [0, n) of `rows` about as well as one trained on them: its
 * mean is so near to theirs that codes lose no more than a twentieth. Dim, datatype and metric are
 * as they were. False too when memory is out. */
bool qv__quant_fits(const struct qv__quant *z, const struct qv__vectors *rows, uint32_t n,
                    struct qv__mem *mem);
/* The quantizer's own bytes (not its codes). Errors: QV_ENOMEM (b->failed). */
qv_status qv__quant_save(const struct qv__quant *z, struct qv__buf *b,
                         struct qv_err *err) QV_MUST_USE;
/* From saved bytes, which may be hostile and are copied. `dim` and `metric` are what the caller
 * expects. Errors: QV_ECORRUPT, QV_EVERSION, QV_ENOMEM. Owner: caller. */
qv_status qv__quant_open(struct qv__bytes bytes, uint32_t dim, uint8_t metric, struct qv__mem *mem,
                         const struct qv__simd *simd, struct qv__quant **out,
                         struct qv_err *err) QV_MUST_USE;
void qv__quant_free(struct qv__quant *z); /* NULL-safe; queries and encoders first */

void qv__quant_describe(const struct qv__quant *z, struct qv__quant_info *info);
size_t qv__quant_code_bytes(const struct qv__quant *z);
size_t qv__quant_rest_bytes(const struct qv__quant *z);

/* --- encoding -------------------------------------------------------------------------------- */

struct qv__quant_encoder;

/* Scratch memory for encoding. Errors: QV_ENOMEM. Owner: caller. */
qv_status qv__quant_encoder_new(const struct qv__quant *z, struct qv__mem *mem,
                                struct qv__quant_encoder **out, struct qv_err *err) QV_MUST_USE;
void qv__quant_encoder_free(struct qv__quant_encoder *e); /* NULL-safe */

/* Write code_bytes to `code`, and rest_bytes to `rest` (unused, may be NULL, when those are 0).
 * `vector` has dim finite elements. The same vector always gives the same code. */
void qv__quant_encode(struct qv__quant_encoder *e, const float *vector, uint8_t *code,
                      uint8_t *rest);
/* Ordinals [from, to) of `rows`, of any datatype but bits: code i - from at codes + (i - from) *
 * stride. `rests` as above. */
void qv__quant_encode_run(struct qv__quant_encoder *e, const struct qv__vectors *rows,
                          uint32_t from, uint32_t to, uint8_t *codes, size_t code_stride,
                          uint8_t *rests, size_t rest_stride);

/* --- distances ------------------------------------------------------------------------------- */

/* A prepared query. The calls are chosen when it is made; everything after `code_bytes` is private
 * to this folder. `bounds` may be NULL; else |dist - exact| <= bound with the quantizer's
 * confidence (infinity when the kind has no bounds). */
struct qv__quant_query {
    /* Of n codes by address. Each next one is prefetched, the first are not. */
    void (*gather)(const struct qv__quant_query *q, const uint8_t *const *codes, size_t n,
                   float *dists, float *bounds);
    /* Of n codes, stride_bytes apart. */
    void (*run)(const struct qv__quant_query *q, const uint8_t *codes, size_t stride_bytes,
                size_t n, float *dists, float *bounds);
    /* Of one code with its rest; of the code alone when there are no rests. */
    float (*refine)(const struct qv__quant_query *q, const uint8_t *code, const uint8_t *rest,
                    float *bound);
    uint32_t code_bytes;

    const struct qv__quant *z;
    struct qv__code_query ints; /* the query in signed bytes */
    int8_t *bytes;              /* owned: what ints.q points to */
    float *work, *row;          /* owned; the latter a query that was widened */
    float constant;             /* of every distance */
    float per_int, per_code; /* times a code's scale: per unit of its integer product, and once */
    float norm, error;       /* of the centred query, and of what its bytes lost */
};

/* Scratch for queries, to be prepared by one of the calls below before use. Errors: QV_ENOMEM.
 * Owner: caller. */
qv_status qv__quant_query_new(const struct qv__quant *z, struct qv__mem *mem,
                              struct qv__quant_query **out, struct qv_err *err) QV_MUST_USE;
void qv__quant_query_free(struct qv__quant_query *q); /* NULL-safe */

/* Prepare for a vector of dim finite elements (normalised for cosine), not kept; or for the vector
 * that a code stands for (distances between codes, as a graph's build needs). Again and again. */
void qv__quant_query_set(struct qv__quant_query *q, const float *vector);
/* For dim elements of that datatype, which are widened as rows are. */
void qv__quant_query_set_elements(struct qv__quant_query *q, uint8_t datatype,
                                  const void *elements);
void qv__quant_query_set_code(struct qv__quant_query *q, const uint8_t *code);

static inline float qv__quant_dist(const struct qv__quant_query *q, const uint8_t *code)
{
    float dist;
    q->gather(q, &code, 1, &dist, NULL);
    return dist;
}

/* Of the codes at base + ords[i] * stride_bytes. */
void qv__quant_gather_ords(const struct qv__quant_query *q, const uint8_t *base,
                           size_t stride_bytes, const uint32_t *ords, size_t n, float *dists,
                           float *bounds);

/* --- sketches --------------------------------------------------------------------------------- */

/* Of a code the sign of each element and two factors, made of it alone: a first look at many codes
 * reads an eighth of their bytes, or a quarter, and what it finds nearest is measured by the codes.
 * Bytes of one; 0: codes of this kind have none, being short or of several planes. */
size_t qv__quant_sketch_bytes(const struct qv__quant *z);
/* `out` is aligned to 8 bytes. */
void qv__quant_sketch(const struct qv__quant *z, const uint8_t *code, uint8_t *out);
/* As q->gather, by sketches; distances without a bound. */
void qv__quant_sketch_gather(const struct qv__quant_query *q, const uint8_t *const *sketches,
                             size_t n, float *dists);
/* --- around a vector -------------------------------------------------------------------------- */

/* What lies around a vector: blocks of QV__LOOKUP_CODES codes of one bit an element, each of the
 * difference of a near vector to it, side by side, so that one pass estimates the distances to all
 * of them from the distance to the vector itself (Gou et al., SymphonyQG, SIGMOD 2025). The
 * quantizer is a `rabitq` one of 1 bit: its mean and its rotation are all that is used of it.
 *
 * With c the centred and rotated vector, r the difference to a near one, b the signs of r and
 * s = |r|^2 / b.r, the query's (q - c).r is about s (q.b - c.b), and only q.b depends on the query:
 *   squared L2     d(c) + |r|^2 + 2 s c.b - 2 s q.b
 *   negated q·v    d(c) + s c.b - (c + mean).r - s q.b
 * Better than a code of the vector on its own, for r is short and q near to c where it matters. */

/* True if there can be blocks of vectors of so many elements. */
static inline bool qv__around_fits(uint32_t dim)
{
    return QV_ALIGN_UP((size_t)dim, (size_t)QV__CODE_BLOCK_DIMS) <=
           (size_t)4 * QV__LOOKUP_GROUPS_MAX;
}
/* Of one block: a multiple of 64. */
size_t qv__around_bytes(const struct qv__quant *z);
/* Elements of a vector as the calls below take them: dim, up to a multiple of 64. */
size_t qv__around_elements(const struct qv__quant *z);
/* The centred and rotated form of dim elements of a datatype; `row` has room for as many floats. */
void qv__around_center(const struct qv__quant *z, uint8_t datatype, const void *elements,
                       float *row, float *out);
/* One block around `centre`: near[i] is a centred and rotated vector, or NULL, whose estimate will
 * be infinite. */
void qv__around_encode(const struct qv__quant *z, const float *rotated_mean, const float *centre,
                       const float *const near[QV__LOOKUP_CODES], uint8_t *block);
/* The mean, rotated, as qv__around_encode wants it. */
void qv__around_mean(const struct qv__quant *z, float *out);

/* Blocks of what codes stand for, where the vectors are not to be read: a quantizer for blocks with
 * the mean of `like`, whose codes must be such that qv__around_decodes. Errors: QV_ENOMEM. Owner:
 * caller. */
qv_status qv__around_like(const struct qv__quant *like, uint64_t seed, struct qv__mem *mem,
                          struct qv__quant **out, struct qv_err *err) QV_MUST_USE;
/* Scalar codes without rests. */
bool qv__around_decodes(const struct qv__quant *like);
/* out[0 .. qv__around_elements): what a code of `like` stands for less the mean, not rotated.
 * `ints` has room for as many bytes. */
void qv__around_decode(const struct qv__quant *like, const uint8_t *code, uint8_t *ints,
                       float *out);
/* The code of a vector given less the mean, which is added to `v` for that. */
void qv__around_recode(struct qv__quant_encoder *e, float *v, uint8_t *code);
/* Rotate in place what qv__around_decode gave. */
void qv__around_rotate(const struct qv__quant *z, float *v);

struct qv__around_query {
    const struct qv__quant *z;
    uint8_t *tables;   /* owned */
    float *work, *row; /* owned */
    float step;        /* of a unit of the tables, */
    int32_t middle;    /* ... whose sums are so much too large */
};

/* Scratch, to be set before use. Errors: QV_ENOMEM. Owner: caller. */
qv_status qv__around_query_new(const struct qv__quant *z, struct qv__mem *mem,
                               struct qv__around_query **out, struct qv_err *err) QV_MUST_USE;
void qv__around_query_free(struct qv__around_query *q); /* NULL-safe */
void qv__around_query_set(struct qv__around_query *q, uint8_t datatype, const void *elements);
/* more[i]: by how much near vector i of a block is farther than the vector it is around. Meanwhile
 * what lies at `next` is asked for, about a block and half a block more; NULL = nothing is. */
void qv__around_estimate(const struct qv__around_query *q, const uint8_t *block,
                         const uint8_t *next, float more[QV__LOOKUP_CODES]);
/* As that, added to `from`; which of dists are at most `most`, a bit each. */
uint32_t qv__around_near(const struct qv__around_query *q, const uint8_t *block,
                         const uint8_t *next, float from, float most,
                         float dists[QV__LOOKUP_CODES]);

/* Ask for the lines of a code that will be wanted soon. */
static inline void qv__quant_fetch(const struct qv__quant_query *q, const uint8_t *code)
{
    qv__prefetch_span(code, q->code_bytes);
}

#endif
