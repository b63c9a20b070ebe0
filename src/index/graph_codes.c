/* graph_codes.c: the plane of codes that walks compare instead of vectors.
 *
 * A walk is bound by the bytes it fetches: some hundred vectors from anywhere in memory. A code of
 * one byte an element is a quarter of them, and its products are integers, sixty-four to an
 * instruction. What a code loses is small against what separates neighbours, and a search measures
 * the best of what a walk found by the vectors, so codes cost recall only where they change the way
 * of a walk.
 *
 * Each code has the scale of its own vector (quant/quant.h), so one quantizer serves vectors that
 * come long after it was trained; the mean it takes off only makes the numbers smaller. Codes start
 * on a cache line where they are longer than one, else at a power of two that divides it.
 *
 * Half floats and bytes are widened when they are encoded and when they are searched for. Bytes are
 * what an 8-bit code would be, so walks compare them as they are, unless fewer bits are asked for.
 *
 * Narrow codes. From some length on a walk takes as long as the lines of its codes take to arrive.
 * A complete graph whose codes are that long gets a second plane of 4 bits an element for its
 * searches: half the lines, and half the memory that has to be fast. The links stay those that were
 * chosen by 8 bits, and the codes of 8 bits stay with them for a later merge, read by nobody else.
 */
#include "index/graph_walk.h"

enum {
    ENCODE_GRAIN = 256,
    SAVED_AT_LEAST = 2, /* a code must be so many times shorter than its vector */
    CHUNK_BYTES = 256 << 10,
    PACK_ALIGN = 16,
    NARROW_DIM = 256, /* narrow codes from here on: below, they save less than three lines */
};

static const struct {
    const char *name;
    uint32_t kind, bits; /* of the quantizer; 0 = none */
} kinds[QV__INDEX_CODES_KINDS] = {
    [QV__INDEX_CODES_NONE] = {"vectors", 0, 0},
    [QV__INDEX_CODES_INT8] = {"int8", QV__QUANT_SCALAR, 8},
    [QV__INDEX_CODES_BITS1] = {"1-bit", QV__QUANT_RABITQ, 1},
    [QV__INDEX_CODES_BITS2] = {"2-bit", QV__QUANT_RABITQ, 2},
    [QV__INDEX_CODES_BITS4] = {"4-bit", QV__QUANT_RABITQ, 4},
};

enum qv__index_codes qv__graph_codes_wanted(const struct qv__index_params *params,
                                            const struct qv__vectors *v)
{
    size_t code_bytes = QV_ALIGN_UP((size_t)v->dim, QV__GRAPH_ALIGN);
    bool is_bytes = v->datatype == QV__U8 || v->datatype == QV__I8;
    if (v->datatype > QV__I8 || v->metric == QV__L1 || v->metric == QV__HAMMING) {
        return QV__INDEX_CODES_NONE;
    }
    if (params->codes != QV__INDEX_CODES_AUTO) {
        bool has_them = is_bytes && params->codes == QV__INDEX_CODES_INT8;
        return has_them ? QV__INDEX_CODES_NONE : (enum qv__index_codes)params->codes;
    }
    bool saves = qv__vector_bytes(v->datatype, v->dim) >= SAVED_AT_LEAST * code_bytes ||
                 (v->datatype == QV__F16 && v->dim >= NARROW_DIM);
    return saves ? QV__INDEX_CODES_INT8 : QV__INDEX_CODES_NONE;
}

enum qv__index_codes qv__graph_codes_of(const struct qv__quant *z)
{
    static const char *const names[] = {
        [QV__QUANT_SCALAR] = "scalar", [QV__QUANT_RABITQ] = "rabitq"};
    struct qv__quant_info info;
    qv__quant_describe(z, &info);
    for (unsigned i = QV__INDEX_CODES_INT8; i < QV__INDEX_CODES_KINDS; i++) {
        if (strcmp(info.kind, names[kinds[i].kind]) == 0 && info.bits == kinds[i].bits &&
            info.rest_bits == 0) {
            return (enum qv__index_codes)i;
        }
    }
    return QV__INDEX_CODES_AUTO;
}

enum qv__index_codes qv__graph_codes_have(const struct qv__graph *g)
{
    return g->quant ? qv__graph_codes_of(g->quant) : QV__INDEX_CODES_NONE;
}

const char *qv__graph_codes_name(enum qv__index_codes codes)
{
    return kinds[codes].name;
}

uint32_t qv__graph_code_stride(const struct qv__quant *z)
{
    uint32_t n = (uint32_t)qv__quant_code_bytes(z), stride = 16;
    if (n > QV__GRAPH_ALIGN) {
        return (uint32_t)QV_ALIGN_UP((size_t)n, QV__GRAPH_ALIGN);
    }
    while (stride < n) {
        stride *= 2;
    }
    return stride;
}

/* A code that ends a little past a line takes as many lines wherever it starts on a 16th byte. */
uint32_t qv__graph_code_packed(const struct qv__quant *z)
{
    size_t n = qv__quant_code_bytes(z), packed = QV_ALIGN_UP(n, (size_t)PACK_ALIGN);
    size_t last = QV__GRAPH_ALIGN - PACK_ALIGN; /* where in a line the worst one starts */
    bool is_free = n > QV__GRAPH_ALIGN && QV_ALIGN_UP(last + n, (size_t)QV__GRAPH_ALIGN) ==
                                              QV_ALIGN_UP(n, (size_t)QV__GRAPH_ALIGN);
    return is_free ? (uint32_t)packed : qv__graph_code_stride(z);
}

void qv__graph_codes_set(struct qv__graph *g, struct qv__quant *z)
{
    /* The bytes of a code against those of a vector, and the share of a walk that is bookkeeping.
     */
    double bytes = (double)qv__quant_code_bytes(z) / (double)g->index.vectors.stride_bytes;
    g->walk_cost = QV__WALK_COST * QV_MIN(bytes + 0.25, 1.0);
    g->quant = z;
}

qv_status qv__graph_codes_make(struct qv__graph *g, uint32_t n, bool is_block, struct qv_err *err)
{
    enum qv__index_codes codes = qv__graph_codes_wanted(&g->index.params, &g->index.vectors);
    if (codes == QV__INDEX_CODES_NONE) {
        return QV_OK;
    }
    struct qv__quant_params p = {
        .kind = kinds[codes].kind, .bits = kinds[codes].bits, .seed = g->index.params.seed};
    struct qv__quant *z;
    QV_TRY(qv__quant_train(&p, &g->index.vectors, n, g->index.mem, g->index.simd, &z, err));
    uint32_t stride = qv__graph_code_stride(z);
    bool is_ok;
    if (is_block) {
        g->code_block = qv__rows_block(g, &g->codes, n, stride);
        is_ok = g->code_block != NULL;
    } else {
        uint32_t shift = 0;
        while ((stride << (shift + 1)) <= CHUNK_BYTES && UINT32_C(1) << shift < g->n_max) {
            shift++;
        }
        is_ok = g->codes.chunks || qv__rows_init(g, &g->codes, (g->n_max >> shift) + 1, shift,
                                                 UINT32_C(1) << shift, stride);
    }
    if (!is_ok) {
        qv__quant_free(z);
        return qv__fail(err, QV_ENOMEM, "graph: no memory for the codes of %" PRIu32 " vectors", n);
    }
    qv__graph_codes_set(g, z);
    return QV_OK;
}

/* A quantizer of one's own with the same codes. */
static qv_status quant_copy(const struct qv__graph *from, struct qv__graph *g,
                            struct qv__quant **out, struct qv_err *err)
{
    struct qv__buf b;
    qv__buf_init(&b, g->index.mem);
    qv_status st = qv__quant_save(from->quant, &b, err);
    if (st == QV_OK) {
        st = qv__quant_open((struct qv__bytes){b.p, b.n}, g->index.vectors.dim,
                            g->index.vectors.metric, g->index.mem, g->index.simd, out, err);
    }
    qv__buf_free(&b);
    return st;
}

struct encoding {
    const struct qv__graph *like; /* codes that are there already: NULL = none */
    const uint32_t *ords;         /* ... and whose they are; UINT32_MAX = nobody's */
    struct qv__graph *g;
    const struct qv__quant *z;
    const struct qv__rows *codes; /* of that quantizer */
    const struct qv__index_env *env;
    uint32_t from;
    struct qv__quant_encoder **encoders; /* one per worker, made by the one that calls */
    _Atomic bool is_cancelled;
};

static void encode_task(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct encoding *e = ctx;
    struct qv__graph *g = e->g;
    if (e->env->cancel && atomic_load_explicit(e->env->cancel, memory_order_relaxed)) {
        atomic_store_explicit(&e->is_cancelled, true, memory_order_relaxed);
        return;
    }
    for (size_t i = begin; i < end; i++) {
        uint32_t ord = e->from + (uint32_t)i;
        uint8_t *code = qv__rows_at(e->codes, ord);
        size_t n = qv__quant_code_bytes(e->z);
        if (e->like && e->ords[ord] != UINT32_MAX) {
            memcpy(code, qv__graph_code(e->like, e->ords[ord]), n);
        } else {
            qv__quant_encode_run(e->encoders[worker], &g->index.vectors, ord, ord + 1, code, 0,
                                 NULL, 0);
        }
        memset(code + n, 0, e->codes->stride_bytes - n); /* saved as they are */
    }
}

static qv_status encode(struct encoding *e, uint32_t to, struct qv_err *err)
{
    struct qv__graph *g = e->g;
    const struct qv__index_env *env = e->env;
    uint32_t n = to - e->from;
    unsigned threads = n > ENCODE_GRAIN ? qv__env_threads(env) : 1;
    e->encoders = qv__calloc(g->index.mem, threads, sizeof *e->encoders);
    qv_status st = e->encoders ? QV_OK : qv__fail(err, QV_ENOMEM, "graph: no memory to encode");
    for (unsigned i = 0; st == QV_OK && i < threads; i++) {
        st = qv__quant_encoder_new(e->z, g->index.mem, &e->encoders[i], err);
    }
    if (st == QV_OK) {
        qv__parallel_for(env->pool, threads, n, ENCODE_GRAIN, encode_task, e);
        if (atomic_load_explicit(&e->is_cancelled, memory_order_relaxed)) {
            st = qv__fail(err, QV_ECANCELLED, "graph: encoding cancelled");
        }
    }
    for (unsigned i = 0; e->encoders && i < threads; i++) {
        qv__quant_encoder_free(e->encoders[i]);
    }
    qv__free(e->encoders);
    return st;
}

qv_status qv__graph_encode(struct qv__graph *g, const struct qv__index_env *env, uint32_t from,
                           uint32_t to, struct qv_err *err)
{
    if (!g->quant || from >= to) {
        return QV_OK;
    }
    if (!qv__rows_reach(g, &g->codes, to - 1)) {
        return qv__fail(err, QV_ENOMEM, "graph: no memory for %" PRIu32 " codes", to - from);
    }
    struct encoding e = {.g = g, .z = g->quant, .codes = &g->codes, .env = env, .from = from};
    return encode(&e, to, err);
}

qv_status qv__graph_codes_from(struct qv__graph *g, const struct qv__index_env *env,
                               const struct qv__graph *like, const uint32_t *ords,
                               struct qv_err *err)
{
    struct qv__quant *z;
    QV_TRY(quant_copy(like, g, &z, err));
    g->code_block = qv__rows_block(g, &g->codes, g->n_max, qv__graph_code_stride(z));
    if (!g->code_block) {
        qv__quant_free(z);
        return qv__fail(err, QV_ENOMEM, "graph: no memory for the codes of %" PRIu32 " vectors",
                        g->n_max);
    }
    qv__graph_codes_set(g, z);
    struct encoding e = {
        .g = g, .z = z, .codes = &g->codes, .env = env, .like = like, .ords = ords};
    return encode(&e, g->n_max, err);
}

void qv__graph_narrow_set(struct qv__graph *g, const struct qv__graph_narrow *w)
{
    double bytes = (double)qv__quant_code_bytes(w->quant) / (double)g->index.vectors.stride_bytes;
    g->walk_cost = QV__WALK_COST * QV_MIN(bytes + 0.25, 1.0);
    qv__scratch_drop(g); /* they have queries of the other codes */
    g->narrow = *w;
}

void qv__graph_narrow_free(struct qv__graph *g, struct qv__graph_narrow *w)
{
    size_t rows = w->codes.n_chunk_rows;
    qv__graph_mem_free(g, w->block, QV__GRAPH_PART_HEADER_BYTES + rows * w->codes.stride_bytes);
    w->codes.n_chunks = 0; /* the one chunk is the block's, or borrowed */
    qv__rows_free(g, &w->codes);
    qv__quant_free(w->quant);
    *w = (struct qv__graph_narrow){0};
}

bool qv__graph_narrow_make(struct qv__graph *g, const struct qv__index_env *env, uint32_t n,
                           struct qv__graph_narrow *out)
{
    *out = (struct qv__graph_narrow){0};
    if (!g->quant || n == 0 || g->index.params.codes != QV__INDEX_CODES_AUTO ||
        g->index.vectors.dim < NARROW_DIM) {
        return false;
    }
    struct qv__quant_params p = {.kind = QV__QUANT_SCALAR, .bits = 4, .seed = g->index.params.seed};
    struct qv_err err; /* memory is all that can lack */
    if (qv__quant_train(&p, &g->index.vectors, n, g->index.mem, g->index.simd, &out->quant, &err) !=
        QV_OK) {
        return false;
    }
    out->block = qv__rows_block(g, &out->codes, n, qv__graph_code_stride(out->quant));
    struct encoding e = {.g = g, .z = out->quant, .codes = &out->codes, .env = env};
    if (!out->block || encode(&e, n, &err) != QV_OK) {
        qv__graph_narrow_free(g, out);
        return false;
    }
    return true;
}
