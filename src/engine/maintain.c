/* maintain.c: background work of a shard: what is due, and the tasks that do it.
 *
 * Indexing (maintain_index.c), sealing (maintain_seal.c) and merging (maintain_merge.c) run beside
 * each other. Whatever takes long is done without shard->maintenance, so that a checkpoint, and
 * with it the trimming of the log, never waits for a graph; a flush and the switch to what was
 * merged exclude each other through it, so the flushed LSN moves only where we look at it. */
#include "engine/maintain.h"

#include "engine/quarantine.h"

/* After a failed task (no memory, no space) the next one waits this long. */
#define RETRY_NS (UINT64_C(1000) * 1000 * 1000)

struct shard_task {
    struct qv__task task;
    struct qv__shard *shard;
};

void qv__job_begin(struct qv__collection *c)
{
    atomic_fetch_add(&c->jobs, 1);
    atomic_fetch_add(&c->db->jobs, 1);
    qv__collection_retain(c);
}

void qv__job_end(struct qv__collection *c)
{
    struct qv__db *db = c->db;
    atomic_fetch_sub(&c->jobs, 1);
    qv__collection_release(c);
    atomic_fetch_sub(&db->jobs, 1);
}

bool qv__maintain_stopping(const struct qv__collection *c)
{
    return atomic_load(&c->db->closing) || atomic_load(&c->dropped) || atomic_load(&c->quarantined);
}

static void complain(struct qv__shard *s, const char *what, qv_status st, const struct qv_err *err)
{
    if (st != QV_ECANCELLED) {
        atomic_store(&s->retry_ns, qv__mono_ns(s->collection->db->clock) + RETRY_NS);
        qv__log_line(s->collection->db->logger, QV__LEVEL_ERROR, "maintain",
                     "%s of `%s` shard %" PRIu32 " failed: %s", what, s->collection->name,
                     s->number, err->message);
    }
}

qv_status qv__maintain_switch(struct qv__shard *s, struct qv__segment *const *from,
                              struct qv__segment *const *to, size_t n, struct qv_err *err)
{
    struct qv__mem *mem = s->collection->mem;
    const struct qv__view *old = s->view;
    struct qv__segment **list = qv__calloc(mem, old->n + 1u, sizeof(struct qv__segment *));
    if (!list) {
        return qv__fail(err, QV_ENOMEM, "no memory for a view");
    }
    uint32_t k = 0;
    for (uint32_t i = 0; i < old->n; i++) {
        struct qv__segment *seg = old->segments[i];
        for (size_t j = 0; j < n; j++) {
            if (from[j] == seg) {
                seg = to[j];
                break;
            }
        }
        if (seg) {
            list[k++] = seg;
        }
    }
    struct qv__view *v = NULL;
    qv_status st = qv__view_create(mem, list, k, &v, err);
    qv__free(list);
    if (st == QV_OK) {
        qv__shard_swap(s, v);
    }
    return st;
}

/* --- tasks --- */

static void index_task(struct qv__task *task)
{
    struct shard_task *t = QV_CONTAINER_OF(task, struct shard_task, task);
    struct qv__shard *s = t->shard;
    struct qv_err err;
    qv_status st = qv__maintain_index(s, &err);
    if (st != QV_OK) {
        complain(s, "indexing", st, &err);
    }
    atomic_store(&s->index_due, false);
    struct qv__collection *c = s->collection;
    qv__free(t);
    qv__job_end(c);
}

static void maintain_task(struct qv__task *task)
{
    struct shard_task *t = QV_CONTAINER_OF(task, struct shard_task, task);
    struct qv__shard *s = t->shard;
    struct qv_err err;
    qv_status st = QV_OK;
    bool more = true;
    qv__mutex_lock(&s->merging);
    while (more && st == QV_OK && !qv__maintain_stopping(s->collection)) {
        struct qv__view *v = qv__shard_view(s);
        bool frozen = qv__maintain_seal_due(v);
        qv__view_release(v);
        if (frozen) {
            /* Graphs first: while they are built a checkpoint may flush the shard. */
            st = qv__maintain_index(s, &err);
            if (st == QV_OK && !qv__maintain_stopping(s->collection)) {
                qv__mutex_lock(&s->maintenance);
                st = qv__maintain_flush(s, false, false, &err);
                qv__mutex_unlock(&s->maintenance);
            }
        } else {
            st = qv__maintain_merge(s, 0, &more, &err);
        }
    }
    qv__mutex_unlock(&s->merging);
    if (st != QV_OK) {
        complain(s, "sealing or merging", st, &err);
    }
    atomic_store(&s->job_due, false);
    struct qv__collection *c = s->collection;
    qv__free(t);
    qv__job_end(c);
}

static void queue(struct qv__shard *s, void (*fn)(struct qv__task *), _Atomic bool *due)
{
    struct qv__collection *c = s->collection;
    uint64_t retry_ns = atomic_load(&s->retry_ns);
    if ((retry_ns && qv__mono_ns(c->db->clock) < retry_ns) || atomic_exchange(due, true)) {
        return;
    }
    struct shard_task *t = qv__alloc(c->mem, sizeof *t);
    if (!t) {
        atomic_store(due, false); /* the next write looks again */
        return;
    }
    t->task.fn = fn;
    t->shard = s;
    qv__job_begin(c);
    qv__pool_submit(c->db->pool, QV__LANE_BACKGROUND, &t->task);
}

void qv__maintain_look(struct qv__shard *s)
{
    struct qv__db *db = s->collection->db;
    if (atomic_load(&db->recovering) || db->read_only || qv__maintain_stopping(s->collection)) {
        return;
    }
    struct qv__view *v = qv__shard_view(s);
    uint64_t horizon = qv__read_horizon(db->commit), flushed = atomic_load(&s->flushed_lsn);
    for (uint32_t i = 0; i < v->n; i++) {
        qv__segment_drain(v->segments[i], horizon, flushed);
    }
    if (qv__maintain_index_due(v)) {
        queue(s, index_task, &s->index_due);
    }
    if (!atomic_load(&s->job_due) && (qv__maintain_seal_due(v) || qv__maintain_merge_due(s, v))) {
        queue(s, maintain_task, &s->job_due);
    }
    qv__view_release(v);
}

void qv__maintain_published(struct qv__collection *c)
{
    for (uint32_t i = 0;
         i < c->n_shards && !atomic_load(&c->db->recovering) && !qv__maintain_stopping(c); i++) {
        struct qv__shard *s = &c->shards[i];
        if (atomic_load(&s->index_due)) {
            continue;
        }
        struct qv__view *v = qv__shard_view(s);
        struct qv__segment *last = v->n ? v->segments[v->n - 1] : NULL;
        if (last && !qv__segment_sealed(last) && qv__segment_unindexed(last) > 0) {
            queue(s, index_task, &s->index_due);
        }
        qv__view_release(v);
    }
}

/* --- on demand --- */

qv_status qv__collection_optimize(struct qv__collection *c, uint32_t max_segments,
                                  struct qv_err *err)
{
    if (c->db->read_only) {
        return qv__fail(err, QV_EREADONLY, "the database is open read-only");
    }
    qv__job_begin(c);
    qv_status st = qv__quarantine_check(c, err);
    for (uint32_t i = 0; st == QV_OK && i < c->n_shards; i++) {
        struct qv__shard *s = &c->shards[i];
        qv__mutex_lock(&s->merging);
        qv__mutex_lock(&s->maintenance);
        st = qv__maintain_flush(s, true, false, err);
        qv__mutex_unlock(&s->maintenance);
        if (st == QV_OK) {
            st = qv__maintain_merge_to(s, max_segments, err);
        }
        qv__mutex_unlock(&s->merging);
    }
    qv__job_end(c);
    return st;
}

qv_status qv__collection_settle(struct qv__collection *c, uint64_t timeout_ms, struct qv_err *err)
{
    const struct qv__clock *clock = c->db->clock;
    uint64_t until = timeout_ms ? qv__mono_ns(clock) + timeout_ms * 1000000u : 0;
    struct qv__mutex lock;
    struct qv__condvar cond;
    qv_status st = QV_OK;
    qv__mutex_init(&lock, QV__RANK_LEAF);
    qv__cond_init(&cond);
    for (uint32_t i = 0; i < c->n_shards; i++) {
        qv__mutex_lock(&c->shards[i].write);
        qv__maintain_look(&c->shards[i]);
        qv__mutex_unlock(&c->shards[i].write);
    }
    while (atomic_load(&c->jobs) > 0) {
        if (until && qv__mono_ns(clock) > until) {
            st = qv__fail(err, QV_ETIMEOUT, "collection `%s` has not settled in %" PRIu64 " ms",
                          c->name, timeout_ms);
            break;
        }
        if (qv__pool_threads(c->db->pool) == 0) {
            if (!qv__db_step(c->db)) {
                break;
            }
        } else {
            qv__mutex_lock(&lock);
            qv__cond_timedwait(&cond, &lock, 2u * 1000u * 1000u);
            qv__mutex_unlock(&lock);
        }
    }
    qv__cond_destroy(&cond);
    qv__mutex_destroy(&lock);
    return st;
}
