/* qctx.h: the context of one query, passed to every search, filter and scan.
 *
 * What it is: what a query may spend (deadline, cancellation, memory), what it did spend
 * (counters), what it aims for (recall), its seed, and where its plan is told. What it is not:
 * shared; one query or one stage of it owns one. Parallel stages use their own and are added up.
 * Threads: one at a time per object; `cancel` may be set from anywhere. */
#ifndef QV_BASE_QCTX_H
#define QV_BASE_QCTX_H

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/clock.h"

struct qv__qstats {
    uint64_t distances;     /* vectors compared */
    uint64_t hops;          /* graph nodes expanded */
    uint64_t rows_filtered; /* rows a filter was evaluated on */
    uint64_t rows_matched;
    uint64_t reranked;
    uint64_t segments;
};

/* Receives what the planner chose, step by step: what was expected and what came of it, in the
 * stage's own unit. `stage` is a literal, `detail` is the caller's for the call. */
struct qv__plan_sink {
    void (*event)(struct qv__plan_sink *s, const char *stage, const char *detail, double estimate,
                  double actual);
};

struct qv__qctx {
    const struct qv__clock *clock;
    uint64_t deadline_ns;       /* monotonic; 0 = none */
    int64_t now_ms;             /* wall time of the whole request; 0 = fixed at its first read */
    bool is_attempt;            /* may end with QV_ETIMEOUT before a chore that takes longer */
    const _Atomic bool *cancel; /* NULL = cannot be cancelled */
    struct qv__mem *mem;        /* account of this query */
    struct qv__qstats stats;
    struct qv__plan_sink *plan; /* NULL = nobody listens */
    bool plan_only;             /* a query tells its plan and finds nothing */
    float recall_target;        /* 0 = use ef as given */
    uint64_t seed;
};

static inline void qv__qctx_tell(const struct qv__qctx *q, const char *stage, const char *detail,
                                 double estimate, double actual)
{
    if (q->plan) {
        q->plan->event(q->plan, stage, detail, estimate, actual);
    }
}

/* QV_OK, QV_ETIMEOUT or QV_ECANCELLED. Loops call it at least every 256 distances or 1,024 rows. */
static inline qv_status qv__qctx_check(const struct qv__qctx *q)
{
    if (q->cancel && atomic_load_explicit(q->cancel, memory_order_relaxed)) {
        return QV_ECANCELLED;
    }
    if (q->deadline_ns && qv__mono_ns(q->clock) > q->deadline_ns) {
        return QV_ETIMEOUT;
    }
    return QV_OK;
}

/* Work in steps that may cost anything, as rows under a filter do: units of about a byte looked at
 * are counted, and after every so many of them the clock is looked at. Once `status` is not QV_OK
 * what was found means nothing, and no step is left. */
#define QV__STEPS_UNITS 65536u
struct qv__steps {
    const struct qv__qctx *q;
    uint64_t taken; /* units since the last look */
    qv_status status;
};
/* False: end here. `s` NULL: there is no end to them. */
static inline bool qv__steps_on(struct qv__steps *s, uint64_t units)
{
    if (!s) {
        return true;
    }
    s->taken += units;
    if (QV_LIKELY(s->taken < QV__STEPS_UNITS)) {
        return true;
    }
    s->status = s->status == QV_OK ? qv__qctx_check(s->q) : s->status;
    s->taken = s->status == QV_OK ? 0 : QV__STEPS_UNITS;
    return s->status == QV_OK;
}

#endif
