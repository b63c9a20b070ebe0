/* maintain_fields.c: payload indexes follow the schema and the rows.
 *
 * Creating an index is its catalog record; this brings the segments after it: a set for each
 * segment as the schema asks, then the blocks that its rows suffice for. Filters are exact at any
 * moment, so nothing needs to wait for it; who wants to may. An index that is dropped goes with the
 * last reader of the old set. */
#include "engine/job.h"
#include "engine/maintain.h"
#include "engine/segment_fields.h"

bool qv__maintain_fields_due(struct qv__shard *s, const struct qv__view *v)
{
    struct qv__schema *schema = qv__collection_schema(s->collection);
    bool due = false;
    for (uint32_t i = 0; i < v->n && !due; i++) {
        due = qv__fields_due(v->segments[i], schema);
    }
    qv__schema_release(schema);
    return due;
}

static qv_status build(struct qv__shard *s, struct qv__segment *seg, struct qv_err *err)
{
    struct qv__job job;
    uint64_t rows = qv__fields_owed(seg);
    qv__job_open(&job, s->collection->db, s, QV__JOB_INDEX, rows, NULL,
                 "%" PRIu64 " rows without a payload index", rows);
    qv__job_segments(&job, &seg, 1);
    qv_status st = qv__fields_build(seg, &job.work, err);
    qv__maintain_pause(s, &job);
    qv__job_close(&job, st);
    return qv__collection_settle_reads(s->collection, st, err);
}

static qv_status bring_up(struct qv__shard *s, struct qv__segment *seg, struct qv__schema *schema,
                          bool *did, struct qv_err *err)
{
    if (!qv__fields_due(seg, schema)) {
        return QV_OK;
    }
    *did = true;
    QV_TRY(qv__fields_sync(seg, schema, true, err));
    return qv__fields_owed(seg) ? build(s, seg, err) : QV_OK;
}

qv_status qv__maintain_fields(struct qv__shard *s, struct qv_err *err)
{
    bool did = true;
    qv_status st = QV_OK;
    while (did && st == QV_OK && !qv__maintain_stopping(s->collection)) {
        struct qv__schema *schema = qv__collection_schema(s->collection);
        struct qv__view *v = qv__shard_view(s);
        did = false;
        for (uint32_t i = 0; i < v->n && st == QV_OK && !qv__maintain_stopping(s->collection);
             i++) {
            st = bring_up(s, v->segments[i], schema, &did, err);
        }
        qv__view_release(v);
        qv__schema_release(schema);
    }
    return st;
}

/* False while some segment lacks a block that it could have. */
static bool all_served(struct qv__collection *c)
{
    bool due = false;
    for (uint32_t i = 0; i < c->n_shards && !due; i++) {
        struct qv__view *v = qv__shard_view(&c->shards[i]);
        due = qv__maintain_fields_due(&c->shards[i], v);
        qv__view_release(v);
    }
    return !due;
}

static bool gave_up(const struct qv__collection *c)
{
    bool failed = c->db->read_only || qv__maintain_stopping(c);
    for (uint32_t i = 0; i < c->n_shards; i++) {
        /* it was tried, and is not again before that */
        failed |= atomic_load(&c->shards[i].retry_ns) > qv__mono_ns(c->db->clock);
    }
    return failed;
}

bool qv__collection_fields_wait(struct qv__collection *c, const struct qv__qctx *ctx, bool *served)
{
    *served = all_served(c);
    if (*served || qv__qctx_check(ctx) != QV_OK || gave_up(c)) {
        return false;
    }
    if (qv__pool_threads(c->db->pool) == 0) {
        return qv__db_step(c->db);
    }
    qv__nap_ns(1000u * 1000u); /* others build */
    return true;
}

void qv__collection_build_fields(struct qv__collection *c)
{
    qv__maintain_call(c);
}

bool qv__collection_wait_fields(struct qv__collection *c, const struct qv__qctx *ctx)
{
    bool served = false;
    qv__maintain_call(c);
    while (qv__collection_fields_wait(c, ctx, &served)) {
    }
    return served;
}
