/* maintain_index.c: fresh rows enter the graphs of growing segments.
 *
 * Runs beside sealing and merging: a segment's own lock lets one indexer in at a time, and a
 * segment that is sealed meanwhile is finished by the seal. */
#include "engine/job.h"
#include "engine/maintain.h"

/* A job's work that lets writers go on as it gets on. */
struct pacing {
    struct qv__shard *shard;
    const struct qv__work *inner;
    uint64_t done;
};

static void progress(void *ctx, uint64_t done, uint64_t total)
{
    struct pacing *p = ctx;
    p->inner->progress(p->inner->ctx, done, total);
    qv__pace_progress(p->shard, done - p->done);
    p->done = done;
}

static qv_status index_segment(struct qv__shard *s, struct qv__segment *seg, bool *did,
                               struct qv_err *err)
{
    struct qv__collection *c = s->collection;
    struct qv__reader_ticket ticket;
    struct qv__visible vis;
    if (qv__segment_sealed(seg) || qv__segment_unindexed(seg) == 0) {
        return QV_OK;
    }
    /* Only published rows: the others may never come to be. */
    qv__read_begin(c->db->commit, &ticket);
    qv_status st = qv__segment_visible(seg, ticket.lsn, QV__ALWAYS, c->mem, &vis, err);
    qv__read_end(c->db->commit, &ticket);
    if (st == QV_OK) {
        struct qv__job job;
        uint32_t before = qv__segment_unindexed(seg);
        qv__job_open(&job, c->db, s, QV__JOB_INDEX, before, NULL,
                     "%" PRIu32 " fresh vectors without a graph", before);
        qv__job_segments(&job, &seg, 1);
        struct pacing pacing = {.shard = s, .inner = &job.work};
        struct qv__work work = {.cancel = job.work.cancel, .progress = progress, .ctx = &pacing};
        st = qv__segment_index(seg, vis.n_rows, &work, err);
        qv__maintain_pause(s, &job);
        qv__job_close(&job, st);
        /* Not fewer left than before: writers may have added as many meanwhile. */
        *did |= pacing.done > 0;
        qv__visible_free(&vis);
    }
    return st;
}

bool qv__maintain_index_due(const struct qv__view *v)
{
    for (uint32_t i = 0; i < v->n; i++) {
        if (!qv__segment_sealed(v->segments[i]) && qv__segment_unindexed(v->segments[i]) > 0) {
            return true;
        }
    }
    return false;
}

qv_status qv__maintain_index_frozen(struct qv__shard *s, struct qv_err *err)
{
    qv_status st = QV_OK;
    bool did = false;
    struct qv__view *v = qv__shard_view(s);
    for (uint32_t i = 0; i + 1 < v->n && st == QV_OK && !qv__maintain_stopping(s->collection);
         i++) {
        st = index_segment(s, v->segments[i], &did, err);
    }
    qv__view_release(v);
    return st;
}

qv_status qv__maintain_index(struct qv__shard *s, struct qv_err *err)
{
    bool did = true;
    qv_status st = QV_OK;
    while (did && st == QV_OK && !qv__maintain_stopping(s->collection)) {
        did = false;
        struct qv__view *v = qv__shard_view(s);
        for (uint32_t i = 0; i < v->n && st == QV_OK; i++) {
            st = index_segment(s, v->segments[i], &did, err);
        }
        qv__view_release(v);
    }
    return st;
}
