/* job.c: the list of background work under way, and of what ended last. */
#include "engine/job.h"

#include <stdarg.h>
#include <stdio.h>

void qv__jobs_init(struct qv__jobs *r)
{
    qv__mutex_init(&r->lock, QV__RANK_JOBS);
}

void qv__jobs_free(struct qv__jobs *r)
{
    QV_DEBUG_ASSERT(!r->running);
    qv__mutex_destroy(&r->lock);
}

const char *qv__job_kind_name(enum qv__job_kind kind)
{
    static const char *const names[QV__JOB_KINDS] = {
        [QV__JOB_INDEX] = "index",           [QV__JOB_SEAL] = "seal",
        [QV__JOB_MERGE] = "merge",           [QV__JOB_VACUUM] = "vacuum",
        [QV__JOB_REINDEX] = "reindex",       [QV__JOB_PURGE] = "purge",
        [QV__JOB_CHECKPOINT] = "checkpoint", [QV__JOB_SNAPSHOT] = "snapshot",
        [QV__JOB_RECOVER] = "recover",
    };
    return names[kind];
}

/* What the work calls every so often. */
static void report(void *ctx, uint64_t done, uint64_t total)
{
    struct qv__job *j = ctx;
    atomic_store_explicit(&j->total, total, memory_order_relaxed);
    atomic_store_explicit(&j->done, QV_MIN(done, total), memory_order_relaxed);
    if (j->asked && qv__qctx_check(j->asked) != QV_OK) {
        atomic_store(&j->cancel, true);
    }
}

void qv__job_open(struct qv__job *j, struct qv__db *db, const struct qv__shard *s,
                  enum qv__job_kind kind, uint64_t total, const struct qv__qctx *asked,
                  const char *reason, ...)
{
    struct qv__jobs *r = &db->registry;
    va_list args;
    memset(j, 0, sizeof *j);
    j->db = db;
    j->info.kind = kind;
    j->info.shard = s ? s->number : 0;
    j->info.collection_id = s ? s->collection->id : 0;
    if (s) {
        snprintf(j->info.collection, sizeof j->info.collection, "%s", s->collection->name);
    }
    va_start(args, reason);
    vsnprintf(j->info.reason, sizeof j->info.reason, reason, args);
    va_end(args);
    j->info.started_ms = (int64_t)qv__wall_ms(db->clock);
    j->started_ns = qv__mono_ns(db->clock);
    j->asked = asked;
    j->work = (struct qv__work){.cancel = &j->cancel, .progress = report, .ctx = j};
    atomic_init(&j->total, total);
    qv__mutex_lock(&r->lock);
    j->info.id = ++r->last_id;
    j->next = r->running;
    if (r->running) {
        r->running->prev = j;
    }
    r->running = j;
    /* Whoever ends everything has set its flag before it walks the list. */
    if (atomic_load(&db->closing) || (s && atomic_load(&s->collection->dropped))) {
        atomic_store(&j->cancel, true);
    }
    qv__mutex_unlock(&r->lock);
}

void qv__job_of(struct qv__job *j, uint64_t collection_id, struct qv__str name)
{
    qv__mutex_lock(&j->db->registry.lock);
    j->info.collection_id = collection_id;
    snprintf(j->info.collection, sizeof j->info.collection, "%.*s", (int)name.n, name.p);
    j->outlives_collection = true;
    qv__mutex_unlock(&j->db->registry.lock);
}

void qv__job_segments(struct qv__job *j, struct qv__segment *const *segments, size_t n)
{
    struct qv__job_info *i = &j->info;
    qv__mutex_lock(&j->db->registry.lock);
    for (i->n_segments = 0; i->n_segments < QV_MIN(n, (size_t)QV__JOB_SEGMENTS); i->n_segments++) {
        const struct qv__segment *s = segments[i->n_segments];
        i->segments[i->n_segments].id = qv__segment_id_number(s);
        i->segments[i->n_segments].rows = qv__segment_rows(s) - qv__segment_dead(s);
    }
    qv__mutex_unlock(&j->db->registry.lock);
}

/* Under the registry's lock. */
static void describe(const struct qv__job *cj, struct qv__job_info *out)
{
    struct qv__job *j = (struct qv__job *)(uintptr_t)cj;
    *out = j->info;
    out->done = atomic_load(&j->done);
    out->total = atomic_load(&j->total);
    out->elapsed_ms = (qv__mono_ns(j->db->clock) - j->started_ns) / 1000000u;
    out->cancelled = atomic_load(&j->cancel);
    out->eta_ms = UINT64_MAX;
    if (out->done && out->total >= out->done) {
        out->eta_ms = (uint64_t)((double)out->elapsed_ms * (double)(out->total - out->done) /
                                 (double)out->done);
    }
}

void qv__job_close(struct qv__job *j, qv_status st)
{
    struct qv__jobs *r = &j->db->registry;
    qv__mutex_lock(&r->lock);
    if (j->prev) {
        j->prev->next = j->next;
    } else {
        r->running = j->next;
    }
    if (j->next) {
        j->next->prev = j->prev;
    }
    struct qv__job_info *ended = &r->ended[r->n_ended++ % QV__JOBS_ENDED];
    describe(j, ended);
    ended->status = st;
    ended->eta_ms = 0;
    ended->has_ended = true;
    if (st == QV_OK) {
        ended->done = ended->total;
    }
    r->count[j->info.kind]++;
    r->failed[j->info.kind] += st != QV_OK && st != QV_ECANCELLED;
    qv__mutex_unlock(&r->lock);
}

void qv__jobs_cancel(struct qv__db *db, uint64_t collection_id)
{
    qv__mutex_lock(&db->registry.lock);
    for (struct qv__job *j = db->registry.running; j; j = j->next) {
        if (!collection_id || (j->info.collection_id == collection_id && !j->outlives_collection)) {
            atomic_store(&j->cancel, true);
        }
    }
    qv__mutex_unlock(&db->registry.lock);
}

qv_status qv__db_cancel_job(struct qv__db *db, const struct qv__collection *c, uint64_t id,
                            struct qv_err *err)
{
    qv_status st =
        qv__fail(err, QV_ENOTFOUND, "there is no background job %" PRIu64 " under way", id);
    qv__mutex_lock(&db->registry.lock);
    for (struct qv__job *j = db->registry.running; j; j = j->next) {
        if (j->info.id != id || (c && j->info.collection_id != c->id)) {
            continue;
        }
        if (j->info.kind == QV__JOB_CHECKPOINT) {
            st = qv__fail(err, QV_EINVAL, "a checkpoint cannot be cancelled");
        } else {
            atomic_store(&j->by_hand, true);
            atomic_store(&j->cancel, true);
            st = QV_OK;
        }
    }
    qv__mutex_unlock(&db->registry.lock);
    return st;
}

static bool wanted(const struct qv__job_info *i, uint64_t collection_id)
{
    return !collection_id || i->collection_id == collection_id;
}

size_t qv__db_jobs(struct qv__db *db, const struct qv__collection *c, bool ended,
                   struct qv__job_info *out, size_t max)
{
    struct qv__jobs *r = &db->registry;
    uint64_t id = c ? c->id : 0;
    size_t n = 0;
    qv__mutex_lock(&r->lock);
    for (struct qv__job *j = r->running; !ended && j && n < max; j = j->next) {
        if (wanted(&j->info, id)) {
            describe(j, &out[n++]);
        }
    }
    uint64_t kept = QV_MIN(r->n_ended, (uint64_t)QV__JOBS_ENDED);
    for (uint64_t k = 1; ended && k <= kept && n < max; k++) { /* the last one first */
        const struct qv__job_info *i = &r->ended[(r->n_ended - k) % QV__JOBS_ENDED];
        if (wanted(i, id)) {
            out[n++] = *i;
        }
    }
    qv__mutex_unlock(&r->lock);
    return n;
}

void qv__db_job_totals(struct qv__db *db, struct qv__job_totals *out)
{
    struct qv__jobs *r = &db->registry;
    memset(out, 0, sizeof *out);
    qv__mutex_lock(&r->lock);
    for (struct qv__job *j = r->running; j; j = j->next) {
        out->running[j->info.kind]++;
    }
    memcpy(out->ended, r->count, sizeof out->ended);
    memcpy(out->failed, r->failed, sizeof out->failed);
    qv__mutex_unlock(&r->lock);
}
