/* maintain_optimize.c: sealing and merging as far as it goes, for somebody who asked.
 *
 * One at a time per shard, beside the merges that come by themselves: `merging` is held for hours
 * where a segment is large. So who waits with a deadline tries for it again and again, and what was
 * asked for without waiting is one task a collection: another that is asked for meanwhile is that
 * task's next round, and takes no second thread. */
#include "engine/maintain.h"
#include "engine/quarantine.h"

#define TRY_AGAIN_NS 2000000u

static qv_status lock_merging(struct qv__shard *s, const struct qv__qctx *ctx)
{
    if (!ctx) {
        qv__mutex_lock(&s->merging);
        return QV_OK;
    }
    while (!qv__mutex_trylock(&s->merging)) {
        QV_TRY(qv__qctx_check(ctx));
        qv__nap_ns(TRY_AGAIN_NS);
    }
    return QV_OK;
}

qv_status qv__maintain_optimize(struct qv__shard *s, uint32_t max_segments,
                                const struct qv__qctx *ctx, struct qv_err *err)
{
    QV_TRY(lock_merging(s, ctx));
    qv__mutex_lock(&s->maintenance);
    qv_status st = qv__maintain_flush(s, true, NULL, err);
    qv__mutex_unlock(&s->maintenance);
    bool did = true;
    while (did && st == QV_OK) {
        st = ctx ? qv__qctx_check(ctx) : QV_OK;
        if (st == QV_OK) {
            st = qv__maintain_merge(s, QV_MAX(max_segments, 1u), ctx, &did, err);
        }
    }
    qv__mutex_unlock(&s->merging);
    struct qv__view *v = qv__shard_view(s);
    qv__maintain_look_at_fields(s, v);
    qv__view_release(v);
    return st;
}

qv_status qv__collection_optimize_until(struct qv__collection *c, uint32_t max_segments,
                                        const struct qv__qctx *ctx, struct qv_err *err)
{
    if (c->db->read_only) {
        return qv__fail(err, QV_EREADONLY, "the database is open read-only");
    }
    qv__job_begin(c);
    qv_status st = qv__quarantine_check(c, err);
    for (uint32_t i = 0; st == QV_OK && i < c->n_shards; i++) {
        st = qv__maintain_optimize(&c->shards[i], max_segments, ctx, err);
    }
    qv__job_end(c);
    qv_status early = ctx ? qv__qctx_check(ctx) : QV_OK;
    if (early != QV_OK && (st == QV_ECANCELLED || st == early)) {
        return qv__fail(err, early, "optimizing was ended early; what is done by now stays: %s",
                        qv_status_text(early));
    }
    return st;
}

qv_status qv__collection_optimize(struct qv__collection *c, uint32_t max_segments,
                                  struct qv_err *err)
{
    return qv__collection_optimize_until(c, max_segments, NULL, err);
}

/* --- later --- */

struct optimize_task {
    struct qv__task task;
    struct qv__collection *collection;
};

/* True if a round is due and the caller, nobody else, is to do it. */
static bool takes_over(struct qv__collection *c)
{
    return atomic_load(&c->optimize_to) && !atomic_exchange(&c->optimizes, true);
}

static void optimize_task(struct qv__task *task)
{
    struct optimize_task *t = QV_CONTAINER_OF(task, struct optimize_task, task);
    struct qv__collection *c = t->collection;
    struct qv_err err;
    do {
        uint32_t max_segments = atomic_exchange(&c->optimize_to, 0);
        if (max_segments && !qv__maintain_stopping(c) &&
            qv__collection_optimize(c, max_segments, &err) != QV_OK) {
            qv__log_line(c->db->logger, QV__LEVEL_ERROR, "maintain", "optimizing `%s` failed: %s",
                         c->name, err.message);
        }
        atomic_store(&c->optimizes, false);
    } while (takes_over(c));
    qv__free(t);
    qv__job_end(c);
}

/* The strictest of what was asked for since the last round began. */
static void ask_for(struct qv__collection *c, uint32_t max_segments)
{
    uint32_t have = atomic_load(&c->optimize_to), want;
    do {
        want = have ? QV_MIN(have, max_segments) : max_segments;
    } while (!atomic_compare_exchange_weak(&c->optimize_to, &have, want));
}

qv_status qv__collection_optimize_later(struct qv__collection *c, uint32_t max_segments,
                                        struct qv_err *err)
{
    if (c->db->read_only) {
        return qv__fail(err, QV_EREADONLY, "the database is open read-only");
    }
    QV_TRY(qv__quarantine_check(c, err));
    struct optimize_task *t = qv__alloc(c->mem, sizeof *t);
    if (!t) {
        return qv__fail(err, QV_ENOMEM, "no memory to optimize");
    }
    ask_for(c, QV_MAX(max_segments, 1u));
    if (!takes_over(c)) {
        qv__free(t);
        return QV_OK;
    }
    *t = (struct optimize_task){.task = {.fn = optimize_task}, .collection = c};
    qv__job_begin(c);
    qv__pool_submit(c->db->pool, QV__LANE_BACKGROUND, &t->task);
    return QV_OK;
}
