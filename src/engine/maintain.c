/* maintain.c: background work of a shard: what is due, and the tasks that do it.
 *
 * Indexing (maintain_index.c), sealing (maintain_seal.c) and merging (maintain_merge.c) run beside
 * each other. Whatever takes long is done without shard->maintenance, so that a checkpoint, and
 * with it the trimming of the log, never waits for a graph; a flush and the switch to what was
 * merged exclude each other through it, so the flushed LSN moves only where we look at it. */
#include "engine/maintain.h"
#include "engine/job.h"
#include "engine/segment_fields.h"

#include "engine/quarantine.h"

/* After a failed task (no memory, no space) the next one waits this long. */
#define RETRY_NS       (UINT64_C(1000) * 1000 * 1000)
/* After one that found no space: by the next look of space.c. */
#define RETRY_SPACE_NS (RETRY_NS / 5)
/* After one that somebody cancelled. */
#define PAUSE_NS       (60 * RETRY_NS)

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
        uint64_t wait_ns = st == QV_ENOSPC ? RETRY_SPACE_NS : RETRY_NS;
        atomic_store(&s->retry_ns, qv__mono_ns(s->collection->db->clock) + wait_ns);
        if (st == QV_ENOSPC && !qv__space_ran_out(s->collection->db)) {
            return; /* told when it began */
        }
        qv__log_line(s->collection->db->logger, QV__LEVEL_ERROR, "maintain",
                     "%s of `%s` shard %" PRIu32 " failed: %s", what, s->collection->name,
                     s->number, err->message);
    }
}

void qv__maintain_pause(struct qv__shard *s, const struct qv__job *j)
{
    if (atomic_load(&((struct qv__job *)(uintptr_t)j)->by_hand)) {
        atomic_store(&s->retry_ns, qv__mono_ns(s->collection->db->clock) + PAUSE_NS);
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

static bool queue(struct qv__shard *s, void (*fn)(struct qv__task *), _Atomic bool *due);

static void index_task(struct qv__task *task);

void qv__maintain_index_end(struct qv__shard *s)
{
    atomic_store(&s->index_due, false);
    qv__pace_end(s);
    if (atomic_exchange(&s->index_again, false)) {
        queue(s, index_task, &s->index_due); /* published while this one was ending */
    }
}

static void index_task(struct qv__task *task)
{
    struct shard_task *t = QV_CONTAINER_OF(task, struct shard_task, task);
    struct qv__shard *s = t->shard;
    struct qv_err err;
    qv__pace_begin(s);
    atomic_store(&s->index_again, false);
    qv_status st = qv__maintain_index(s, &err);
    if (st != QV_OK) {
        complain(s, "indexing", st, &err);
    }
    qv__maintain_index_end(s);
    struct qv__collection *c = s->collection;
    qv__free(t);
    qv__job_end(c);
}

static void fields_task(struct qv__task *task)
{
    struct shard_task *t = QV_CONTAINER_OF(task, struct shard_task, task);
    struct qv__shard *s = t->shard;
    struct qv_err err;
    atomic_store(&s->fields_again, false);
    qv_status st = qv__maintain_fields(s, &err);
    if (st != QV_OK) {
        complain(s, "indexing of payload", st, &err);
    }
    atomic_store(&s->fields_due, false);
    if (atomic_exchange(&s->fields_again, false)) {
        queue(s, fields_task, &s->fields_due); /* came while this one was ending */
    }
    struct qv__collection *c = s->collection;
    if (st == QV_OK) {
        qv__maintain_call(c); /* segments with what was built go into files */
    }
    qv__free(t);
    qv__job_end(c);
}

/* Queue the payload indexes of a shard if something is due. */
void qv__maintain_look_at_fields(struct qv__shard *s, const struct qv__view *v)
{
    if (qv__maintain_fields_due(s, v)) {
        atomic_store(&s->fields_again, true); /* before it is asked whether one runs */
        queue(s, fields_task, &s->fields_due);
    }
}

static void maintain_task(struct qv__task *task);

/* --- merges at once --- */

bool qv__merge_enter(struct qv__db *db)
{
    unsigned n = atomic_load(&db->merges);
    while (n < db->options.merges_max) {
        if (atomic_compare_exchange_weak(&db->merges, &n, n + 1)) {
            return true;
        }
    }
    return false;
}

/* False if the shard was not waiting. */
static bool wait_end(struct qv__shard *s)
{
    bool waited = atomic_exchange(&s->merge_waits, false);
    if (waited) {
        atomic_fetch_sub(&s->collection->db->merges_waiting, 1);
    }
    return waited;
}

/* Enter, or wait: whoever leaves calls the shard's task again. */
static bool merge_enter_or_wait(struct qv__shard *s)
{
    struct qv__db *db = s->collection->db;
    if (qv__merge_enter(db)) {
        (void)wait_end(s);
        return true;
    }
    if (!atomic_exchange(&s->merge_waits, true)) {
        atomic_fetch_add(&db->merges_waiting, 1);
    }
    /* The last one may have left before it could see us. */
    if (qv__merge_enter(db)) {
        (void)wait_end(s);
        return true;
    }
    return false;
}

/* A merge that waits is called by whoever leaves; but if that one had no memory for it, nobody
 * comes. */
static bool merge_waits(const struct qv__shard *s)
{
    return atomic_load(&s->merge_waits) && atomic_load(&s->collection->db->merges) > 0;
}

/* If there is room for a merge, call one that waits; each time the search begins at another
 * collection. One that cannot be called now, as it rests or there is no memory for its task, loses
 * its turn to the next. */
static void call_next(struct qv__db *db)
{
    struct qv__collection **all = NULL;
    uint32_t n = 0;
    if (atomic_load(&db->merges_waiting) == 0 ||
        atomic_load(&db->merges) >= db->options.merges_max ||
        qv__catalog_all(db, &all, &n, NULL) != QV_OK) {
        return; /* without memory the next write to a shard finds what is due */
    }
    uint32_t from = n ? atomic_fetch_add(&db->merges_turn, 1) % n : 0;
    bool found = false;
    for (uint32_t i = 0; i < n && !found; i++) {
        struct qv__collection *c = all[(from + i) % n];
        for (uint32_t k = 0; k < c->n_shards && !found; k++) {
            struct qv__shard *s = &c->shards[k];
            found = wait_end(s) && queue(s, maintain_task, &s->job_due);
        }
    }
    qv__catalog_all_free(all, n);
}

void qv__merge_leave(struct qv__db *db)
{
    atomic_fetch_sub(&db->merges, 1);
    call_next(db);
}

/* --- sealing and merging --- */

/* Graphs first: while they are built a checkpoint may flush the shard. */
static qv_status seal(struct qv__shard *s, bool all, struct qv_err *err)
{
    qv_status st = qv__maintain_index_frozen(s, err);
    if (st == QV_OK && !qv__maintain_stopping(s->collection)) {
        qv__mutex_lock(&s->maintenance);
        st = qv__maintain_flush(s, all, NULL, err);
        qv__mutex_unlock(&s->maintenance);
    }
    return st;
}

enum next { NEXT_STEP, NEXT_NOTHING, NEXT_WAIT };

/* One step of what is due. */
static qv_status step(struct qv__shard *s, enum next *next, struct qv_err *err)
{
    atomic_store(&s->job_again, false);
    struct qv__view *v = qv__shard_view(s);
    bool frozen = qv__maintain_seal_due(v), reclaim = qv__maintain_reclaim_due(s, v);
    bool merge = !frozen && !reclaim && qv__maintain_merge_due(s, v);
    qv__view_release(v);
    if (frozen || reclaim) {
        return seal(s, reclaim, err);
    }
    if (!merge) {
        *next = NEXT_NOTHING;
        return QV_OK;
    }
    if (!merge_enter_or_wait(s)) {
        *next = NEXT_WAIT;
        return QV_OK;
    }
    bool did = false;
    qv_status st = qv__maintain_merge(s, 0, NULL, &did, err);
    qv__merge_leave(s->collection->db);
    *next = did ? NEXT_STEP : NEXT_NOTHING;
    return st;
}

static void maintain_task(struct qv__task *task)
{
    struct shard_task *t = QV_CONTAINER_OF(task, struct shard_task, task);
    struct qv__shard *s = t->shard;
    struct qv_err err;
    qv_status st = QV_OK;
    enum next next = NEXT_STEP;
    qv__mutex_lock(&s->merging);
    while (next == NEXT_STEP && st == QV_OK && !qv__maintain_stopping(s->collection)) {
        st = step(s, &next, &err);
    }
    qv__mutex_unlock(&s->merging);
    if (st != QV_OK) {
        complain(s, "sealing or merging", st, &err);
    }
    struct qv__view *v = qv__shard_view(s);
    qv__maintain_look_at_fields(s, v); /* of what was sealed or merged while an index was created */
    qv__view_release(v);
    atomic_store(&s->job_due, false);
    bool was_called = next == NEXT_WAIT && !atomic_load(&s->merge_waits); /* while it was ending */
    if (was_called) {
        was_called = queue(s, maintain_task, &s->job_due);
    } else if (atomic_exchange(&s->job_again, false)) {
        qv__maintain_call(s->collection); /* became due while this one was ending */
    }
    struct qv__collection *c = s->collection;
    if (!was_called) {
        call_next(c->db); /* this one may have been called for a merge, and did none */
    }
    qv__free(t);
    qv__job_end(c);
}

/* True if the task comes, or is there already. */
static bool queue(struct qv__shard *s, void (*fn)(struct qv__task *), _Atomic bool *due)
{
    struct qv__collection *c = s->collection;
    uint64_t retry_ns = atomic_load(&s->retry_ns);
    if (retry_ns && qv__mono_ns(c->db->clock) < retry_ns) {
        return false;
    }
    if (atomic_exchange(due, true)) {
        return true;
    }
    struct shard_task *t = qv__alloc(c->mem, sizeof *t);
    if (!t) {
        atomic_store(due, false); /* the next write looks again */
        return false;
    }
    t->task = (struct qv__task){.fn = fn};
    t->shard = s;
    if (fn == index_task && qv__pool_threads(c->db->pool) == 0) {
        qv__pace_begin(s); /* stepped: what is queued comes for certain */
    }
    qv__job_begin(c);
    qv__pool_submit(c->db->pool, QV__LANE_BACKGROUND, &t->task);
    return true;
}

/* Queue sealing or merging if it is due; a task that runs by now is left to find it, or looks
 * again. */
static void look_at_segments(struct qv__shard *s, const struct qv__view *v)
{
    atomic_store(&s->job_again, true); /* before it is asked whether one runs */
    if (!atomic_load(&s->job_due) && (qv__maintain_seal_due(v) || qv__maintain_reclaim_due(s, v) ||
                                      (!merge_waits(s) && qv__maintain_merge_due(s, v)))) {
        queue(s, maintain_task, &s->job_due);
    }
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
    qv__maintain_look_at_fields(s, v);
    look_at_segments(s, v);
    qv__view_release(v);
    qv__idle_note(s);
}

void qv__maintain_call(struct qv__collection *c)
{
    struct qv__db *db = c->db;
    bool may = !atomic_load(&db->recovering) && !db->read_only && !qv__maintain_stopping(c);
    for (uint32_t i = 0; may && i < c->n_shards; i++) {
        struct qv__shard *s = &c->shards[i];
        struct qv__view *v = qv__shard_view(s);
        qv__maintain_look_at_fields(s, v);
        look_at_segments(s, v);
        qv__view_release(v);
    }
}

void qv__maintain_published(struct qv__collection *c)
{
    for (uint32_t i = 0;
         i < c->n_shards && !atomic_load(&c->db->recovering) && !qv__maintain_stopping(c); i++) {
        struct qv__shard *s = &c->shards[i];
        struct qv__view *v = qv__shard_view(s);
        struct qv__segment *last = v->n ? v->segments[v->n - 1] : NULL;
        if (last && !qv__segment_sealed(last) && qv__segment_unindexed(last) > 0) {
            atomic_store(&s->index_again, true); /* before it is asked whether one runs */
            queue(s, index_task, &s->index_due);
        }
        if (last && qv__fields_block_due(last)) {
            qv__maintain_look_at_fields(s, v);
        }
        /* A look before publication cannot count what this very write deleted. */
        if (qv__maintain_reclaim_due(s, v)) {
            atomic_store(&s->job_again, true);
            queue(s, maintain_task, &s->job_due);
        }
        qv__view_release(v);
    }
}

/* --- until nothing is due --- */

static void look_at_all(struct qv__collection *c)
{
    for (uint32_t i = 0; i < c->n_shards; i++) {
        qv__mutex_lock(&c->shards[i].write);
        qv__maintain_look(&c->shards[i]);
        qv__mutex_unlock(&c->shards[i].write);
    }
}

/* Something runs, or a merge waits for others' to end. */
static bool unsettled(const struct qv__collection *c)
{
    bool waits = false;
    for (uint32_t i = 0; i < c->n_shards && !waits; i++) {
        waits = atomic_load(&c->shards[i].merge_waits);
    }
    return atomic_load(&c->jobs) > 0 || (waits && !qv__maintain_stopping(c));
}

qv_status qv__collection_settle(struct qv__collection *c, uint64_t timeout_ms, struct qv_err *err)
{
    const struct qv__clock *clock = c->db->clock;
    uint64_t until = timeout_ms ? qv__mono_ns(clock) + timeout_ms * 1000000u : 0;
    qv_status st = QV_OK;
    look_at_all(c);
    while (unsettled(c)) {
        if (atomic_load(&c->jobs) == 0) {
            look_at_all(c); /* nobody may have called what waits */
        }
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
            qv__nap_ns(2u * 1000u * 1000u);
        }
    }
    return st;
}
