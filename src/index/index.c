/* index.c: what all indexes share: the table of kinds, the checks of their input, and the exact
 * scan.
 *
 * The scan keeps the k best in a heap whose root is the distance to beat. Without `allow` it
 * streams whole runs of a chunk through the one-to-many kernel; with it, set bits are collected
 * into blocks of addresses for the gathering kernel, word by word, so a sparse set costs n/64 loads
 * plus one distance per member. Up to SCAN_STACK_K hits live on the stack; more are allocated from
 * the query's account. Nothing is shared, so any number of scans run together. */
#include "index/index.h"

#include "base/topk.h"
#include "bitmap/bitset.h"
#include "index/common.h"
#include "index/graph.h"

enum {
    SCAN_BLOCK = 256,   /* distances between two looks at the deadline (qctx.h's limit) */
    CHECK_WORDS = 4096, /* words of a set, likewise */
    SCAN_STACK_K = 128,
};

const struct qv__index_ops *qv__index_ops_of(uint32_t kind)
{
    switch (kind) {
    case QV__INDEX_FLAT:
        return &qv__flat_ops;
    case QV__INDEX_GRAPH:
        return &qv__graph_ops;
    default:
        return NULL;
    }
}

qv_status qv__index_params_check(const struct qv__index_params *p, struct qv_err *err)
{
    if (!qv__index_ops_of(p->kind)) {
        return qv__fail(err, QV_EVALIDATION, "index kind: %" PRIu32 " is not known", p->kind);
    }
    if (p->kind != QV__INDEX_GRAPH) {
        return QV_OK;
    }
    if (p->packing >= QV__INDEX_PACKINGS) {
        return qv__fail(err, QV_EVERSION, "packing: kind %" PRIu32 " is not known", p->packing);
    }
    if (p->codes >= QV__INDEX_CODES_KINDS) {
        return qv__fail(err, QV_EVERSION, "codes: kind %" PRIu32 " is not known", p->codes);
    }
    if (p->m < QV__GRAPH_M_MIN || p->m > QV__GRAPH_M_MAX) {
        return qv__fail(err, QV_EVALIDATION, "m: %" PRIu32 " is outside %d..%d", p->m,
                        QV__GRAPH_M_MIN, QV__GRAPH_M_MAX);
    }
    if (p->ef_construct < QV__GRAPH_EF_MIN || p->ef_construct > QV__GRAPH_EF_MAX) {
        return qv__fail(err, QV_EVALIDATION, "ef_construct: %" PRIu32 " is outside %d..%d",
                        p->ef_construct, QV__GRAPH_EF_MIN, QV__GRAPH_EF_MAX);
    }
    return QV_OK;
}

qv_status qv__index_vectors_check(const struct qv__vectors *v, struct qv_err *err)
{
    if (v->datatype > QV__BIT) {
        return qv__fail(err, QV_EUNSUPPORTED, "datatype: number %u is not known", v->datatype);
    }
    if (!qv__metric_serves(v->metric, v->datatype)) {
        return qv__fail(err, QV_EUNSUPPORTED, "metric: number %u does not serve %s vectors",
                        v->metric, qv__datatype_name(v->datatype));
    }
    if (v->dim < 1 || v->dim > QV__DIM_MAX) {
        return qv__fail(err, QV_EINVAL, "dim: %" PRIu32 " is outside 1..%u", v->dim, QV__DIM_MAX);
    }
    if (v->stride_bytes < qv__vector_bytes(v->datatype, v->dim) ||
        v->stride_bytes % qv__datatype_align(v->datatype) != 0 || v->chunk_shift > 31) {
        return qv__fail(err, QV_EINVAL, "vectors: bad stride %" PRIu32 " or chunk shift %" PRIu32,
                        v->stride_bytes, v->chunk_shift);
    }
    return QV_OK;
}

float qv__distance(const struct qv__simd *simd, const struct qv__vectors *v, const void *query,
                   uint32_t ord)
{
    struct qv__kernels k = qv__kernels_of(simd, v->datatype, v->metric);
    return qv__kernels_dist(k.is_similarity, k.one(query, qv__vectors_at(v, ord), v->dim));
}

void qv__distances(const struct qv__simd *simd, const struct qv__vectors *v, const void *query,
                   const void *const *rows, size_t n, float *out)
{
    struct qv__kernels k = qv__kernels_of(simd, v->datatype, v->metric);
    k.gather(query, rows, n, v->dim, out);
    for (size_t i = 0; i < n; i++) {
        out[i] = qv__kernels_dist(k.is_similarity, out[i]);
    }
}

/* One scan under way. */
struct scan {
    struct qv__kernels kernels;
    const struct qv__vectors *v;
    const void *query;
    struct qv__qctx *ctx;
    struct qv__topk best;
    const void *rows[SCAN_BLOCK];
    uint32_t ords[SCAN_BLOCK];
    float raw[SCAN_BLOCK];
};

static void scan_offer(struct scan *s, size_t i, uint32_t ord)
{
    float dist = qv__kernels_dist(s->kernels.is_similarity, s->raw[i]);
    /* Equal distances go to the heap too: the smaller ordinal wins there. */
    if (dist <= qv__topk_bound(&s->best)) {
        qv__topk_push(&s->best, dist, ord);
    }
}

/* All of [from, n), a chunk's rows at a time. */
static qv_status scan_all(struct scan *s, uint32_t from, uint32_t n)
{
    uint32_t mask = (UINT32_C(1) << s->v->chunk_shift) - 1;
    for (uint32_t at = from; at < n;) {
        QV_TRY(qv__qctx_check(s->ctx));
        uint32_t in_chunk = mask - (at & mask) + 1;
        uint32_t run = QV_MIN(QV_MIN(n - at, in_chunk), (uint32_t)SCAN_BLOCK);
        s->kernels.many(s->query, qv__vectors_at(s->v, at), s->v->stride_bytes, run, s->v->dim,
                        s->raw);
        for (uint32_t i = 0; i < run; i++) {
            scan_offer(s, i, at + i);
        }
        s->ctx->stats.distances += run;
        at += run;
    }
    return QV_OK;
}

static qv_status scan_flush(struct scan *s, size_t n)
{
    s->kernels.gather(s->query, s->rows, n, s->v->dim, s->raw);
    for (size_t i = 0; i < n; i++) {
        scan_offer(s, i, s->ords[i]);
    }
    s->ctx->stats.distances += n;
    return qv__qctx_check(s->ctx);
}

/* The set bits of [from, n). */
static qv_status scan_allowed(struct scan *s, const uint64_t *allow, uint32_t from, uint32_t n)
{
    size_t fill = 0, n_words = qv__bitset_words(n), check_at = CHECK_WORDS;
    QV_TRY(qv__qctx_check(s->ctx));
    for (size_t w = qv__bits_skip(allow, from / 64, n_words); w < n_words;
         w = qv__bits_skip(allow, w + 1, n_words)) {
        uint64_t word = allow[w];
        if (w == from / 64) {
            word &= UINT64_MAX << (from % 64);
        }
        if (w == n_words - 1 && n % 64) {
            word &= UINT64_MAX >> (64 - n % 64);
        }
        for (; word; word &= word - 1) {
            uint32_t ord = (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(word);
            s->ords[fill] = ord;
            s->rows[fill] = qv__vectors_at(s->v, ord);
            if (++fill == SCAN_BLOCK) {
                fill = 0;
                QV_TRY(scan_flush(s, SCAN_BLOCK));
            }
        }
        if (w >= check_at) { /* words with few rows take time too */
            check_at = w + CHECK_WORDS;
            QV_TRY(qv__qctx_check(s->ctx));
        }
    }
    return fill ? scan_flush(s, fill) : QV_OK;
}

qv_status qv__scan(const struct qv__simd *simd, const struct qv__vectors *v, uint32_t from,
                   const struct qv__index_query *q, struct qv__qctx *ctx,
                   struct qv__index_hit *hits, uint32_t *n_hits, struct qv_err *err)
{
    *n_hits = 0;
    uint32_t k = from < q->n ? QV_MIN(q->k, q->n - from) : 0;
    if (k == 0) {
        return QV_OK;
    }
    struct qv__hit on_stack[SCAN_STACK_K];
    struct qv__hit *storage = on_stack;
    if (k > SCAN_STACK_K && !(storage = qv__alloc(ctx->mem, (size_t)k * sizeof *storage))) {
        return qv__fail(err, QV_ENOMEM, "scan: no memory for %" PRIu32 " hits", k);
    }
    struct scan s;
    s.kernels = qv__kernels_of(simd, v->datatype, v->metric);
    s.v = v;
    s.query = q->vector;
    s.ctx = ctx;
    qv__topk_init(&s.best, storage, k);
    qv_status st = q->allow ? scan_allowed(&s, q->allow, from, q->n) : scan_all(&s, from, q->n);
    if (st == QV_OK) {
        *n_hits = (uint32_t)qv__topk_sort(&s.best);
        for (uint32_t i = 0; i < *n_hits; i++) {
            hits[i] = (struct qv__index_hit){(uint32_t)storage[i].key, storage[i].dist, 0.0f};
        }
    } else {
        st = qv__fail(err, st, "exact scan of %" PRIu32 " vectors: %s", q->n - from,
                      qv_status_text(st));
    }
    if (storage != on_stack) {
        qv__free(storage);
    }
    return st;
}
