/* graph_file.c: the saved form of a graph, and opening it.
 *
 * Parts, laid out in docs/internals/GRAPH.md: META (parameters and counts), BASE (64-byte header,
 * then the base records exactly as in memory), UPPER (header, then the records of layer 1, 2, ...)
 * and, where walks are over codes, CODES (header, then the codes as in memory) and QUANT (the
 * quantizer), NARROW and NARROW_QUANT (the same of narrow codes), and TUNED (recall as measured).
 * All integers are little endian. A built graph's base and codes are handed to the sink as they
 * are; a growing one's chunks and all upper layers are copied together first.
 *
 * Opening believes nothing: sizes are computed from the counts in 64 bits and compared with the
 * parts, then graph_check.c reads every link. A code may hold anything: it gives a wrong distance,
 * which is no more than a wrong turn of a walk. Checksums are the store's. An opened graph refuses
 * inserts by having no room.
 *
 * What every hop reads, base and codes, is copied into memory of its own when it is large: pages of
 * a file are of 4 KiB, and a walk over them spends much of its time on address translation. There
 * codes lie closer together than in the file, where that takes no more lines. Without
 * memory for that, and for what is small, an opened graph borrows the parts. Save and insert
 * exclude each other. */
#include "index/graph_entry.h"
#include "index/graph_fused.h"

#define META_MAGIC   UINT32_C(0x4d475651) /* "QVGM" */
#define BASE_MAGIC   UINT32_C(0x42475651) /* "QVGB" */
#define UPPER_MAGIC  UINT32_C(0x55475651) /* "QVGU" */
#define CODES_MAGIC  UINT32_C(0x43475651) /* "QVGC" */
#define TUNED_MAGIC  UINT32_C(0x54475651) /* "QVGT" */
#define NARROW_MAGIC UINT32_C(0x4e475651) /* "QVGN" */

enum {
    VERSION = 1,          /* of every part but META, and of META without features */
    VERSION_FEATURES = 2, /* of META with features */
    META_BYTES = 64,
    HEADER_BYTES = QV__GRAPH_PART_HEADER_BYTES,
    FEATURE_CODES = 1,   /* there are parts CODES and QUANT */
    FEATURE_TUNED = 2,   /* there is a part TUNED */
    FEATURE_NARROW = 4,  /* with codes: there are parts NARROW and NARROW_QUANT */
    FEATURE_WIDENED = 8, /* with codes: of vectors that are not of f32 */
    FEATURES = FEATURE_CODES | FEATURE_TUNED | FEATURE_NARROW | FEATURE_WIDENED,
    NARROW_BITS = 4,
    TUNED_HEADER = 16,
    TUNED_POINT = 8,
    COPY_AT_LEAST = 4 << 20,
};

/* ---- save ---- */

static void header_fill(uint8_t *header, uint32_t magic, uint32_t n_rows, uint32_t stride_bytes)
{
    memset(header, 0, HEADER_BYTES);
    qv__store_u32(header, magic);
    qv__store_u32(header + 4, VERSION);
    qv__store_u32(header + 8, n_rows);
    qv__store_u32(header + 12, stride_bytes);
}

static uint32_t upper_layers(const struct qv__graph *g)
{
    uint32_t n_layers = qv__graph_layers(g);
    return n_layers ? n_layers - 1 : 0;
}

/* What a file gets that the graph itself need not have. */
struct extra {
    const struct qv__graph_narrow *narrow;
    const struct qv__graph *tuned; /* whose points are saved */
};

static qv_status save_meta(const struct qv__graph *g, const struct extra *extra, uint32_t n,
                           struct qv__index_sink *sink, struct qv_err *err)
{
    uint8_t meta[META_BYTES + 4 * (QV__GRAPH_LAYERS_MAX - 1)] = {0};
    const struct qv__index *x = &g->index;
    uint32_t n_upper = upper_layers(g);
    qv__store_u32(meta, META_MAGIC);
    uint32_t features = n && g->quant ? FEATURE_CODES : 0;
    features |= extra->tuned->n_tuned ? FEATURE_TUNED : 0;
    features |= n && extra->narrow->quant ? FEATURE_NARROW : 0;
    features |= features & FEATURE_CODES && x->vectors.datatype != QV__F32 ? FEATURE_WIDENED : 0;
    qv__store_u32(meta + 4, features ? VERSION_FEATURES : VERSION);
    qv__store_u32(meta + 8, n);
    qv__store_u32(meta + 12, x->vectors.dim);
    meta[16] = x->vectors.datatype;
    meta[17] = x->vectors.metric;
    qv__store_u32(meta + 20, g->m);
    qv__store_u32(meta + 24, x->params.ef_construct);
    qv__store_u32(meta + 28, n ? g->root : 0);
    qv__store_u64(meta + 32, x->params.seed);
    qv__store_u64(meta + 40, atomic_load_explicit(&((struct qv__graph *)(uintptr_t)g)->n_links,
                                                  memory_order_relaxed));
    qv__store_u32(meta + 48, n_upper);
    qv__store_u32(meta + 52, features);
    for (uint32_t i = 0; i < n_upper; i++) {
        qv__store_u32(meta + META_BYTES + 4 * i, g->upper[i].n);
    }
    return sink->part(sink, QV__GRAPH_PART_META, meta, META_BYTES + 4 * n_upper, err);
}

/* Copy rows [0, n) chunk by chunk; if they are packed closer than `stride_bytes`, one by one. */
static uint8_t *rows_copy(uint8_t *to, const struct qv__rows *r, uint32_t n, uint32_t stride_bytes)
{
    uint32_t n_bytes = QV_MIN(r->stride_bytes, stride_bytes);
    for (uint32_t i = 0; r->stride_bytes != stride_bytes && i < n; i++, to += stride_bytes) {
        memcpy(to, qv__rows_at(r, i), n_bytes);
        memset(to + n_bytes, 0, stride_bytes - n_bytes);
    }
    if (r->stride_bytes != stride_bytes) {
        return to;
    }
    for (uint32_t i = 0; i < n;) {
        uint32_t run = QV_MIN(n - i, r->n_chunk_rows);
        memcpy(to, qv__rows_at(r, i), (size_t)run * r->stride_bytes);
        to += (size_t)run * r->stride_bytes;
        i += run;
    }
    return to;
}

/* A plane of n rows, stride_bytes apart when saved: its block as it is, or a copy. */
static qv_status save_plane(const struct qv__graph *g, uint32_t part, uint32_t magic,
                            uint8_t *block, const struct qv__rows *rows, uint32_t n,
                            uint32_t stride_bytes, struct qv__index_sink *sink, struct qv_err *err)
{
    size_t n_bytes = HEADER_BYTES + (size_t)n * stride_bytes;
    if (block && rows->stride_bytes == stride_bytes) {
        header_fill(block, magic, n, stride_bytes);
        return sink->part(sink, part, block, n_bytes, err);
    }
    uint8_t *copy = qv__alloc(g->index.mem, n_bytes);
    if (!copy) {
        return qv__fail(err, QV_ENOMEM, "graph: no memory to save %zu bytes of nodes", n_bytes);
    }
    header_fill(copy, magic, n, stride_bytes);
    rows_copy(copy + HEADER_BYTES, rows, n, stride_bytes);
    qv_status st = sink->part(sink, part, copy, n_bytes, err);
    qv__free(copy);
    return st;
}

static qv_status save_quant(const struct qv__graph *g, const struct qv__quant *z, uint32_t part,
                            struct qv__index_sink *sink, struct qv_err *err)
{
    struct qv__buf b;
    qv__buf_init(&b, g->index.mem);
    qv_status st = qv__quant_save(z, &b, err);
    if (st == QV_OK) {
        st = sink->part(sink, part, b.p, b.n, err);
    }
    qv__buf_free(&b);
    return st;
}

static qv_status save_upper(const struct qv__graph *g, struct qv__index_sink *sink,
                            struct qv_err *err)
{
    uint32_t n_upper = upper_layers(g);
    uint32_t stride = qv__graph_upper_stride(g->m);
    uint64_t n_rows = 0;
    for (uint32_t i = 0; i < n_upper; i++) {
        n_rows += g->upper[i].n;
    }
    size_t n_bytes = HEADER_BYTES + (size_t)n_rows * stride;
    uint8_t *copy = n_rows <= UINT32_MAX ? qv__alloc(g->index.mem, n_bytes) : NULL;
    if (!copy) {
        return qv__fail(err, QV_ENOMEM, "graph: no memory to save %zu bytes of links", n_bytes);
    }
    header_fill(copy, UPPER_MAGIC, (uint32_t)n_rows, stride);
    uint8_t *to = copy + HEADER_BYTES;
    for (uint32_t i = 0; i < n_upper; i++) {
        to = rows_copy(to, &g->upper[i].rows, g->upper[i].n, stride);
    }
    qv_status st = sink->part(sink, QV__GRAPH_PART_UPPER, copy, n_bytes, err);
    qv__free(copy);
    return st;
}

static qv_status save_tuned(const struct qv__graph *g, struct qv__index_sink *sink,
                            struct qv_err *err)
{
    uint8_t part[TUNED_HEADER + TUNED_POINT * QV__GRAPH_TUNED_MAX] = {0};
    uint32_t n = 0, ef;
    for (float recall; n < QV__GRAPH_TUNED_MAX && qv__graph_tuned_at(g, n, &ef, &recall); n++) {
        uint8_t *at = part + TUNED_HEADER + TUNED_POINT * n;
        qv__store_u32(at, ef);
        memcpy(at + 4, &recall, sizeof recall);
    }
    qv__store_u32(part, TUNED_MAGIC);
    qv__store_u32(part + 4, VERSION);
    qv__store_u32(part + 8, n);
    return sink->part(sink, QV__GRAPH_PART_TUNED, part, TUNED_HEADER + (size_t)TUNED_POINT * n,
                      err);
}

static qv_status save_parts(const struct qv__graph *g, const struct extra *extra, uint32_t n,
                            struct qv__index_sink *sink, struct qv_err *err)
{
    const struct qv__graph_narrow *narrow = extra->narrow;
    QV_TRY(save_meta(g, extra, n, sink, err));
    QV_TRY(save_plane(g, QV__GRAPH_PART_BASE, BASE_MAGIC, g->base_block, &g->base, n,
                      g->base.stride_bytes, sink, err));
    QV_TRY(save_upper(g, sink, err));
    if (extra->tuned->n_tuned) {
        QV_TRY(save_tuned(extra->tuned, sink, err));
    }
    if (n == 0 || !g->quant) {
        return QV_OK;
    }
    QV_TRY(save_plane(g, QV__GRAPH_PART_CODES, CODES_MAGIC, g->code_block, &g->codes, n,
                      qv__graph_code_stride(g->quant), sink, err));
    QV_TRY(save_quant(g, g->quant, QV__GRAPH_PART_QUANT, sink, err));
    if (!narrow->quant) {
        return QV_OK;
    }
    QV_TRY(save_plane(g, QV__GRAPH_PART_NARROW, NARROW_MAGIC, narrow->block, &narrow->codes, n,
                      qv__graph_code_stride(narrow->quant), sink, err));
    return save_quant(g, narrow->quant, QV__GRAPH_PART_NARROW_QUANT, sink, err);
}

/* What has grown is complete once it is saved, and gets its narrow codes in the file, with what
 * recall walks over them reach. */
qv_status qv__graph_save(const struct qv__index *x, struct qv__index_sink *sink, struct qv_err *err)
{
    /* Saving changes the count of memory only. */
    struct qv__graph *g = (struct qv__graph *)(uintptr_t)x;
    uint32_t n = qv__index_count(x);
    struct qv__index_env env = {.mem = x->mem, .simd = x->simd};
    struct qv__graph_narrow made = {0};
    bool is_made = !g->is_view && !g->narrow.quant && qv__graph_narrow_make(g, &env, n, &made);
    struct qv__graph *measured = is_made ? qv__graph_tune_narrow(g, &env, n, &made) : NULL;
    struct extra extra = {.narrow = is_made ? &made : &g->narrow,
                          .tuned = measured && measured->n_tuned ? measured : g};
    qv_status st = save_parts(g, &extra, n, sink, err);
    qv__graph_tune_narrow_free(measured);
    qv__graph_narrow_free(g, &made);
    return st;
}

/* ---- open ---- */

struct meta {
    uint32_t n, dim, m, ef_construct, root, n_upper;
    uint8_t datatype, metric;
    bool has_codes, has_narrow, is_tuned;
    uint64_t seed, n_links;
    uint32_t n_slots[QV__GRAPH_LAYERS_MAX - 1];
};

static qv_status damaged(struct qv_err *err, const char *what)
{
    return qv__fail(err, QV_ECORRUPT, "saved graph: %s", what);
}

static qv_status meta_read(struct qv__bytes part, struct meta *m, struct qv_err *err)
{
    if (part.n < META_BYTES || qv__load_u32(part.p) != META_MAGIC) {
        return damaged(err, "no meta part");
    }
    uint32_t version = qv__load_u32(part.p + 4), features = qv__load_u32(part.p + 52);
    if (version != VERSION && version != VERSION_FEATURES) {
        return qv__fail(err, QV_EVERSION, "saved graph: format %" PRIu32 ", known are %d and %d",
                        version, VERSION, VERSION_FEATURES);
    }
    if (version == VERSION_FEATURES && features & ~(uint32_t)FEATURES) {
        return qv__fail(err, QV_EVERSION, "saved graph: unknown features 0x%" PRIx32, features);
    }
    m->has_codes = version == VERSION_FEATURES && features & FEATURE_CODES;
    m->is_tuned = version == VERSION_FEATURES && features & FEATURE_TUNED;
    m->has_narrow = version == VERSION_FEATURES && features & FEATURE_NARROW;
    if (m->has_narrow && !m->has_codes) {
        return damaged(err, "narrow codes without codes");
    }
    m->n = qv__load_u32(part.p + 8);
    m->dim = qv__load_u32(part.p + 12);
    m->datatype = part.p[16];
    m->metric = part.p[17];
    m->m = qv__load_u32(part.p + 20);
    m->ef_construct = qv__load_u32(part.p + 24);
    m->root = qv__load_u32(part.p + 28);
    m->seed = qv__load_u64(part.p + 32);
    m->n_links = qv__load_u64(part.p + 40);
    m->n_upper = qv__load_u32(part.p + 48);
    bool is_widened = version == VERSION_FEATURES && features & FEATURE_WIDENED;
    if (is_widened != (m->has_codes && m->datatype != QV__F32)) {
        return damaged(err, "codes of another datatype than its vectors");
    }
    if (part.p[18] || part.p[19] || (version == VERSION && features) || qv__load_u64(part.p + 56)) {
        return damaged(err, "reserved bytes are set");
    }
    if (m->n_upper >= QV__GRAPH_LAYERS_MAX || part.n != META_BYTES + 4 * (size_t)m->n_upper ||
        (m->n == 0 && m->n_upper != 0)) {
        return damaged(err, "impossible number of layers");
    }
    for (uint32_t i = 0; i < m->n_upper; i++) {
        m->n_slots[i] = qv__load_u32(part.p + META_BYTES + 4 * i);
        if (m->n_slots[i] == 0 || m->n_slots[i] > m->n) {
            return damaged(err, "impossible size of a layer");
        }
    }
    return QV_OK;
}

/* A header of `magic` followed by exactly n_rows rows, aligned for its words. */
static qv_status part_check(struct qv__bytes part, uint32_t magic, uint64_t n_rows,
                            uint32_t stride_bytes, struct qv_err *err)
{
    if ((uintptr_t)part.p % alignof(uint32_t) != 0) {
        return qv__fail(err, QV_EINVAL, "saved graph: a part is not aligned to 4 bytes");
    }
    if (part.n < HEADER_BYTES || qv__load_u32(part.p) != magic ||
        qv__load_u32(part.p + 4) != VERSION || qv__load_u32(part.p + 8) != n_rows ||
        qv__load_u32(part.p + 12) != stride_bytes ||
        part.n - HEADER_BYTES != n_rows * stride_bytes) {
        return damaged(err, "a part's header or size does not fit");
    }
    for (size_t i = 16; i < HEADER_BYTES; i++) {
        if (part.p[i]) {
            return damaged(err, "reserved bytes are set");
        }
    }
    return QV_OK;
}

/* One borrowed chunk of n rows. */
static bool rows_borrow(struct qv__graph *g, struct qv__rows *r, const uint8_t *bytes, uint32_t n,
                        uint32_t stride_bytes)
{
    if (!qv__rows_init(g, r, 1, 31, n, stride_bytes)) {
        return false;
    }
    r->chunks[0] = (uint8_t *)(uintptr_t)bytes; /* never written: a view has no room to insert */
    r->n_chunks = 1;
    return true;
}

/* A large borrowed plane moves into a block of its own, its rows stride_bytes apart, if there is
 * memory. NULL = it stays. */
static uint8_t *plane_copy(struct qv__graph *g, struct qv__rows *r, struct qv__bytes part,
                           uint32_t n, uint32_t stride_bytes)
{
    bool copies = part.n >= COPY_AT_LEAST && !g->index.params.on_disk;
    uint8_t *block = copies ? qv__rows_block(g, r, n, stride_bytes) : NULL;
    if (!block) {
        return NULL;
    }
    uint32_t stride = r->stride_bytes;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(block + HEADER_BYTES + (size_t)i * stride_bytes,
               part.p + HEADER_BYTES + (size_t)i * stride, QV_MIN(stride, stride_bytes));
    }
    r->stride_bytes = stride_bytes;
    g->mapped_bytes -= part.n;
    return block;
}

static qv_status tuned_open(struct qv__graph *g, struct qv__bytes part, struct qv_err *err)
{
    uint32_t n = part.n >= TUNED_HEADER ? qv__load_u32(part.p + 8) : 0, last_ef = 0;
    if (n == 0 || n > QV__GRAPH_TUNED_MAX || part.n != TUNED_HEADER + (size_t)TUNED_POINT * n ||
        qv__load_u32(part.p) != TUNED_MAGIC || qv__load_u32(part.p + 4) != VERSION ||
        qv__load_u32(part.p + 12) != 0) {
        return damaged(err, "the part of measured recall does not fit");
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *at = part.p + TUNED_HEADER + (size_t)TUNED_POINT * i;
        uint32_t ef = qv__load_u32(at);
        float recall;
        memcpy(&recall, at + 4, sizeof recall);
        if (ef <= last_ef || ef > QV__GRAPH_EF_MAX || !(recall >= 0.0f && recall <= 1.0f)) {
            return damaged(err, "a measured recall is impossible");
        }
        qv__graph_tuned_set(g, i, ef, recall);
        last_ef = ef;
    }
    g->n_tuned = g->n_max; /* so many there are */
    g->mapped_bytes += part.n;
    return QV_OK;
}

/* A quantizer and the plane of its codes, borrowed. */
static qv_status plane_open(struct qv__graph *g, const struct meta *m, struct qv__bytes codes,
                            struct qv__bytes quant, uint32_t magic, bool is_narrow,
                            struct qv__rows *rows, struct qv__quant **out, struct qv_err *err)
{
    struct qv__quant *z;
    struct qv__quant_info info;
    QV_TRY(qv__quant_open(quant, m->dim, m->metric, g->index.mem, g->index.simd, &z, err));
    qv__quant_describe(z, &info);
    uint32_t stride = qv__graph_code_stride(z);
    qv_status st = QV_OK;
    bool fits = is_narrow ? strcmp(info.kind, "scalar") == 0 && info.bits == NARROW_BITS &&
                                info.rest_bits == 0
                          : qv__graph_codes_of(z) != QV__INDEX_CODES_AUTO;
    if (!fits) {
        st = qv__fail(err, QV_ECORRUPT,
                      "saved graph: a quantizer of kind %s with %" PRIu32 " bits is not one of a "
                      "graph's%s",
                      info.kind, info.bits, is_narrow ? " narrow codes" : "");
    } else {
        st = part_check(codes, magic, m->n, stride, err);
    }
    if (st == QV_OK && !rows_borrow(g, rows, codes.p + HEADER_BYTES, m->n, stride)) {
        st = qv__fail(err, QV_ENOMEM, "saved graph: out of memory");
    }
    if (st != QV_OK) {
        qv__quant_free(z);
        return st;
    }
    g->mapped_bytes += codes.n + quant.n;
    *out = z;
    return QV_OK;
}

static qv_status codes_open(struct qv__graph *g, const struct meta *m,
                            const struct qv__index_parts *parts, struct qv_err *err)
{
    struct qv__bytes codes = parts->part[QV__GRAPH_PART_CODES];
    struct qv__quant *z;
    QV_TRY(plane_open(g, m, codes, parts->part[QV__GRAPH_PART_QUANT], CODES_MAGIC, false, &g->codes,
                      &z, err));
    qv__graph_codes_set(g, z);
    if (!m->has_narrow) {
        g->code_block = plane_copy(g, &g->codes, codes, m->n, qv__graph_code_packed(z));
        return QV_OK;
    }
    struct qv__graph_narrow narrow = {0};
    codes = parts->part[QV__GRAPH_PART_NARROW];
    QV_TRY(plane_open(g, m, codes, parts->part[QV__GRAPH_PART_NARROW_QUANT], NARROW_MAGIC, true,
                      &narrow.codes, &z, err));
    narrow.quant = z;
    narrow.block = plane_copy(g, &narrow.codes, codes, m->n, qv__graph_code_packed(z));
    qv__graph_narrow_set(g, &narrow);
    return QV_OK;
}

static qv_status view_fill(struct qv__graph *g, const struct meta *m,
                           const struct qv__index_parts *parts, struct qv_err *err)
{
    const struct qv__bytes *base = &parts->part[QV__GRAPH_PART_BASE];
    const struct qv__bytes *upper = &parts->part[QV__GRAPH_PART_UPPER];
    uint32_t stride = qv__graph_upper_stride(m->m);
    uint64_t n_rows = 0;
    for (uint32_t i = 0; i < m->n_upper; i++) {
        n_rows += m->n_slots[i];
    }
    QV_TRY(part_check(*base, BASE_MAGIC, m->n, qv__graph_base_stride(m->m), err));
    QV_TRY(part_check(*upper, UPPER_MAGIC, n_rows, stride, err));
    bool is_ok =
        rows_borrow(g, &g->base, base->p + HEADER_BYTES, m->n, qv__graph_base_stride(m->m));
    const uint8_t *at = upper->p + HEADER_BYTES;
    for (uint32_t i = 0; is_ok && i < m->n_upper; i++) {
        is_ok = rows_borrow(g, &g->upper[i].rows, at, m->n_slots[i], stride);
        g->upper[i].n = m->n_slots[i];
        at += (size_t)m->n_slots[i] * stride;
    }
    if (!is_ok) {
        return qv__fail(err, QV_ENOMEM, "saved graph: out of memory");
    }
    g->root = m->root;
    g->mapped_bytes = parts->part[QV__GRAPH_PART_META].n + base->n + upper->n;
    atomic_store_explicit(&g->n_layers, m->n ? m->n_upper + 1 : 0, memory_order_release);
    uint64_t n_links;
    QV_TRY(qv__graph_check_links(g, m->n, &n_links, err));
    if (n_links != m->n_links) {
        return damaged(err, "the number of links does not fit");
    }
    atomic_store_explicit(&g->n_links, n_links, memory_order_relaxed);
    g->base_block = plane_copy(g, &g->base, *base, m->n, g->base.stride_bytes);
    if (m->is_tuned) {
        QV_TRY(tuned_open(g, parts->part[QV__GRAPH_PART_TUNED], err));
    }
    return m->has_codes ? codes_open(g, m, parts, err) : QV_OK;
}

qv_status qv__graph_open(const struct qv__index_params *params, const struct qv__index_env *env,
                         const struct qv__vectors *vectors, uint32_t n,
                         const struct qv__index_parts *parts, struct qv__index **out,
                         struct qv_err *err)
{
    struct meta m = {0};
    QV_TRY(meta_read(parts->part[QV__GRAPH_PART_META], &m, err));
    if (m.n != n || m.dim != vectors->dim || m.datatype != vectors->datatype ||
        m.metric != vectors->metric) {
        return qv__fail(err, QV_ECORRUPT,
                        "saved graph: made for %" PRIu32 " vectors of %" PRIu32
                        " dimensions or another type or metric; found %" PRIu32 " of %" PRIu32,
                        m.n, m.dim, n, vectors->dim);
    }
    /* The file's own parameters count: a collection's may have changed since. */
    struct qv__index_params saved = {
        .kind = QV__INDEX_GRAPH, .m = m.m, .ef_construct = m.ef_construct, .seed = m.seed};
    saved.on_disk = params->on_disk;
    saved.packing = params->packing;
    if (qv__index_params_check(&saved, NULL) != QV_OK) {
        return damaged(err, "parameters outside their limits");
    }
    struct qv__graph *g;
    QV_TRY(qv__graph_alloc(&saved, env, vectors, n, &g, err));
    g->is_view = true;
    qv_status st = view_fill(g, &m, parts, err);
    if (st != QV_OK) {
        qv__graph_free(&g->index);
        return st;
    }
    qv__entry_measure(g, env);
    qv__fused_make(g, env);
    atomic_store_explicit(&g->index.n_indexed, n, memory_order_release);
    *out = &g->index;
    return QV_OK;
}
