/* flat.c: the exact index: no structure, a scan of every allowed vector (index.c).
 *
 * It is the oracle other indexes are measured against and the best choice for small segments. Its
 * only state is how many ordinals may be read. Saved as one part of 16 bytes:
 *   0 u32 magic "QVF1"   4 u32 version (1)   8 u32 n   12 u32 zero
 * Insert publishes the count with release; search loads it with acquire, so the caller's vectors
 * are visible before their ordinals are. */
#include <stdio.h>

#include "index/common.h"

#define FLAT_MAGIC   UINT32_C(0x31465651) /* "QVF1" */
#define FLAT_VERSION 1u

enum { FLAT_PART = 0, FLAT_PART_BYTES = 16 };

struct flat {
    struct qv__index index;
    uint32_t n_max;
};

static qv_status flat_make(const struct qv__index_params *params, const struct qv__index_env *env,
                           const struct qv__vectors *vectors, uint32_t n, uint32_t n_max,
                           struct qv__index **out, struct qv_err *err)
{
    QV_TRY(qv__index_params_check(params, err));
    QV_TRY(qv__index_vectors_check(vectors, err));
    struct flat *f = qv__zalloc(env->mem, sizeof *f);
    if (!f) {
        return qv__fail(err, QV_ENOMEM, "flat index: out of memory");
    }
    f->index.ops = &qv__flat_ops;
    f->index.mem = env->mem;
    f->index.simd = env->simd;
    f->index.vectors = *vectors;
    f->index.params = *params;
    atomic_init(&f->index.n_indexed, n);
    f->n_max = n_max;
    *out = &f->index;
    return QV_OK;
}

static qv_status flat_create(const struct qv__index_params *params, const struct qv__index_env *env,
                             const struct qv__vectors *vectors, uint32_t n_max,
                             struct qv__index **out, struct qv_err *err)
{
    return flat_make(params, env, vectors, 0, n_max, out, err);
}

static qv_status flat_build(const struct qv__index_params *params, const struct qv__index_env *env,
                            const struct qv__vectors *vectors, uint32_t n, struct qv__index **out,
                            struct qv_err *err)
{
    QV_TRY(flat_make(params, env, vectors, n, n, out, err));
    if (env->progress) {
        env->progress(env->progress_ctx, n, n);
    }
    return QV_OK;
}

static qv_status flat_insert(struct qv__index *x, const struct qv__index_env *env, uint32_t n,
                             struct qv_err *err)
{
    struct flat *f = (struct flat *)x;
    if (n > f->n_max) {
        return qv__fail(err, QV_EINVAL, "flat index: %" PRIu32 " ordinals do not fit in %" PRIu32,
                        n, f->n_max);
    }
    if (n > qv__index_count(x)) {
        atomic_store_explicit(&x->n_indexed, n, memory_order_release);
    }
    if (env->progress) {
        env->progress(env->progress_ctx, n, n);
    }
    return QV_OK;
}

static qv_status flat_merge(const struct qv__index_params *params, const struct qv__index_env *env,
                            const struct qv__vectors *vectors, uint32_t n,
                            struct qv__index *const *sources, const uint32_t *const *remaps,
                            size_t n_sources, struct qv__index **out, struct qv_err *err)
{
    (void)sources;
    (void)remaps;
    (void)n_sources;
    return flat_build(params, env, vectors, n, out, err);
}

static qv_status flat_search(const struct qv__index *x, const struct qv__index_query *q,
                             struct qv__qctx *ctx, struct qv__index_hit *hits, uint32_t *n_hits,
                             struct qv_err *err)
{
    struct qv__index_query now = *q;
    now.n = QV_MIN(q->n, qv__index_count(x));
    return qv__scan(x->simd, &x->vectors, 0, &now, ctx, hits, n_hits, err);
}

static qv_status flat_save(const struct qv__index *x, struct qv__index_sink *sink,
                           struct qv_err *err)
{
    uint8_t part[FLAT_PART_BYTES] = {0};
    qv__store_u32(part, FLAT_MAGIC);
    qv__store_u32(part + 4, FLAT_VERSION);
    qv__store_u32(part + 8, qv__index_count(x));
    return sink->part(sink, FLAT_PART, part, sizeof part, err);
}

static qv_status flat_open(const struct qv__index_params *params, const struct qv__index_env *env,
                           const struct qv__vectors *vectors, uint32_t n,
                           const struct qv__index_parts *parts, struct qv__index **out,
                           struct qv_err *err)
{
    const struct qv__bytes part = parts->part[FLAT_PART];
    if (part.n != FLAT_PART_BYTES) {
        return qv__fail(err, QV_ECORRUPT, "flat index: not a saved flat index");
    }
    struct qv__reader r = qv__reader_of(part.p, part.n);
    uint32_t magic = qv__read_u32(&r);
    uint32_t version = qv__read_u32(&r);
    uint32_t n_saved = qv__read_u32(&r);
    uint32_t zero = qv__read_u32(&r);
    if (magic != FLAT_MAGIC || zero != 0) {
        return qv__fail(err, QV_ECORRUPT, "flat index: not a saved flat index");
    }
    if (version != FLAT_VERSION) {
        return qv__fail(err, QV_EVERSION, "flat index: format %" PRIu32 " is newer than %u",
                        version, FLAT_VERSION);
    }
    if (n_saved != n) {
        return qv__fail(err, QV_ECORRUPT,
                        "flat index: saved for %" PRIu32 " vectors, found %" PRIu32, n_saved, n);
    }
    return flat_make(params, env, vectors, n, n, out, err);
}

static qv_status flat_validate(const struct qv__index *x, struct qv_err *err)
{
    const struct flat *f = (const struct flat *)x;
    if (qv__index_count(x) > f->n_max) {
        return qv__fail(err, QV_ECORRUPT, "flat index: more ordinals than it may hold");
    }
    return QV_OK;
}

static bool flat_differs(const struct qv__index *x, const struct qv__index_params *params,
                         char why[64])
{
    (void)x;
    if (why && params->kind != QV__INDEX_FLAT) {
        (void)snprintf(why, 64, "flat -> graph");
    }
    return params->kind != QV__INDEX_FLAT;
}

static void flat_describe(const struct qv__index *x, struct qv__index_info *info)
{
    *info = (struct qv__index_info){.kind = "flat",
                                    .n = qv__index_count(x),
                                    .memory_bytes = sizeof(struct flat),
                                    .codes = "vectors",
                                    .code_bytes =
                                        qv__vector_bytes(x->vectors.datatype, x->vectors.dim)};
}

static void flat_free(struct qv__index *x)
{
    qv__free(x);
}

const struct qv__index_ops qv__flat_ops = {
    .name = "flat",
    .create = flat_create,
    .build = flat_build,
    .insert = flat_insert,
    .merge = flat_merge,
    .search = flat_search,
    .save = flat_save,
    .open = flat_open,
    .validate = flat_validate,
    .describe = flat_describe,
    .differs = flat_differs,
    .free = flat_free,
};
