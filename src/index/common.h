/* common.h: what the files of this folder share: the kinds' tables, and the kernels of a metric.
 *
 * What it is: the only place of this layer that knows which kernel serves a metric and which
 * metrics are similarities. What it is not: for other folders; those see index.h. Threads: any. */
#ifndef QV_INDEX_COMMON_H
#define QV_INDEX_COMMON_H

#include "index/index.h"
#include "simd/codes.h"
#include "simd/narrow.h"

extern const struct qv__index_ops qv__flat_ops;
extern const struct qv__index_ops qv__graph_ops;

struct qv__kernels {
    qv__dist_fn one;
    qv__dist_many_fn many;
    qv__dist_gather_fn gather;
    bool is_similarity; /* larger raw values are nearer */
};

/* The same for the narrow datatypes. */
static inline struct qv__kernels qv__kernels_narrow(const struct qv__simd *simd, uint8_t datatype,
                                                    uint8_t metric)
{
    if (datatype == QV__BIT) {
        const struct qv__dist *bits = &qv__codes_best(simd)->bits;
        return (struct qv__kernels){bits->one, bits->many, bits->gather, false};
    }
    enum qv__narrow_type type = datatype == QV__F16  ? QV__NARROW_F16
                                : datatype == QV__U8 ? QV__NARROW_U8
                                                     : QV__NARROW_I8;
    enum qv__narrow_op op = metric == QV__L2   ? QV__NARROW_L2
                            : metric == QV__L1 ? QV__NARROW_L1
                                               : QV__NARROW_IP;
    if (metric == QV__COSINE && !qv__normalises(metric, datatype)) {
        op = QV__NARROW_COS;
    }
    const struct qv__dist *d = &qv__narrow_of(simd)->dist[type][op];
    return (struct qv__kernels){d->one, d->many, d->gather, metric != QV__L2 && metric != QV__L1};
}

/* Datatype and metric are some that qv__index_vectors_check let pass. */
static inline struct qv__kernels qv__kernels_of(const struct qv__simd *simd, uint8_t datatype,
                                                uint8_t metric)
{
    if (datatype != QV__F32) {
        return qv__kernels_narrow(simd, datatype, metric);
    }
    switch (metric) {
    case QV__L2:
        return (struct qv__kernels){simd->l2, simd->l2_many, simd->l2_gather, false};
    case QV__L1:
        return (struct qv__kernels){simd->l1, simd->l1_many, simd->l1_gather, false};
    case QV__COSINE:
    case QV__DOT:
    default:
        return (struct qv__kernels){simd->ip, simd->ip_many, simd->ip_gather, true};
    }
}

/* Subtracting from +0 rather than negating leaves no -0, so equal distances have equal bits. A NaN
 * (damaged vectors only: the engine stores finite ones) becomes the worst distance, so that every
 * order in this layer stays total. */
static inline float qv__kernels_dist(bool is_similarity, float raw)
{
    float d = is_similarity ? 0.0f - raw : raw;
    return d == d ? d : __builtin_inff();
}

enum { QV__INDEX_THREADS_MAX = 256 };

/* Threads that a build or an insert may use, at least 1. */
static inline unsigned qv__env_threads(const struct qv__index_env *env)
{
    unsigned n = env->threads || !env->pool ? env->threads : qv__pool_threads(env->pool) + 1;
    return env->pool ? QV_MAX(QV_MIN(n, (unsigned)QV__INDEX_THREADS_MAX), 1u) : 1;
}

/* True once the caller of the build or insert wants to stop. */
static inline bool qv__env_cancelled(const struct qv__index_env *env)
{
    return env->cancel && atomic_load_explicit(env->cancel, memory_order_relaxed);
}

/* QV_EUNSUPPORTED naming the datatype or metric that no index of this layer serves yet; QV_EINVAL
 * for a run that cannot be one. */
qv_status qv__index_vectors_check(const struct qv__vectors *v, struct qv_err *err) QV_MUST_USE;

#endif
