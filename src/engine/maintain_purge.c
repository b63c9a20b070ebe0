/* maintain_purge.c: deleting what has expired.
 *
 * Readers hide an expired point by themselves and to the millisecond; this gives back its space. A
 * purge gathers ids of expired rows, without any lock, and writes them as one mutation, which looks
 * again under the write order: a point that was refreshed meanwhile stays. What is logged are
 * deletions by id, so replay reads no clock.
 *
 * Nothing polls: each shard knows its earliest expiry, and when it is idle (maintain_idle.c),
 * the alarm the earliest of all, and its thread sleeps until then. It is started when it is first
 * set. */
#include "engine/job.h"
#include "engine/maintain.h"

#define BATCH     1024u /* deletions per record: the write order is held that long */
/* Purges of a shard are at least this far apart, so that a stream of expiries costs a few records.
 */
#define PAUSE_MS  1000
/* The wall clock may be set while the alarm sleeps; look this often while anything is to expire. */
#define SLEEP_MS  60000
/* After a purge that somebody cancelled. */
#define CANCEL_MS 60000

/* --- when --- */

void qv__alarm_init(struct qv__alarm *a)
{
    qv__mutex_init(&a->lock, QV__RANK_JOBS);
    qv__cond_init(&a->changed);
    atomic_init(&a->due_ms, INT64_MAX);
}

void qv__alarm_stop(struct qv__alarm *a)
{
    qv__mutex_lock(&a->lock);
    bool join = a->is_started && !a->is_stopping;
    a->is_stopping = true;
    qv__cond_broadcast(&a->changed);
    qv__mutex_unlock(&a->lock);
    if (join) {
        qv__thread_join(&a->thread);
    }
}

static void alarm_main(void *arg)
{
    struct qv__db *db = arg;
    struct qv__alarm *a = &db->alarm;
    qv__mutex_lock(&a->lock);
    while (!a->is_stopping) {
        int64_t due = atomic_load(&a->due_ms), now = (int64_t)qv__wall_ms(db->clock);
        if (due == INT64_MAX) {
            qv__cond_wait(&a->changed, &a->lock);
        } else if (due > now) {
            uint64_t ms = (uint64_t)QV_MIN(due - now, (int64_t)SLEEP_MS);
            qv__cond_timedwait(&a->changed, &a->lock, ms * 1000u * 1000u);
        } else {
            qv__mutex_unlock(&a->lock);
            qv__purge_look(db);
            qv__mutex_lock(&a->lock);
        }
    }
    qv__mutex_unlock(&a->lock);
}

void qv__alarm_set(struct qv__db *db, int64_t due_ms)
{
    struct qv__alarm *a = &db->alarm;
    struct qv_err err;
    if (due_ms >= atomic_load(&a->due_ms)) {
        return;
    }
    qv__mutex_lock(&a->lock);
    if (due_ms < atomic_load(&a->due_ms)) {
        atomic_store(&a->due_ms, due_ms);
        qv__cond_signal(&a->changed);
    }
    bool start = !a->is_started && !a->is_stopping && qv__pool_threads(db->pool) > 0;
    if (start && qv__thread_start(&a->thread, "qv-alarm", alarm_main, db, &err) == QV_OK) {
        a->is_started = true;
    } else if (start) {
        qv__log_line(
            db->logger, QV__LEVEL_WARN, "maintain",
            "expired points are hidden but not purged, and idle collections are not merged: %s",
            err.message);
    }
    qv__mutex_unlock(&a->lock);
}

void qv__purge_note(struct qv__shard *s, int64_t expires_ms)
{
    int64_t have = atomic_load(&s->expiry_ms);
    while (expires_ms < have) {
        if (atomic_compare_exchange_weak(&s->expiry_ms, &have, expires_ms)) {
            break;
        }
    }
    struct qv__db *db = s->collection->db;
    if (expires_ms != INT64_MAX && !atomic_load(&db->recovering) && !db->read_only) {
        qv__alarm_set(db, expires_ms);
    }
}

void qv__purge_open(struct qv__shard *s)
{
    struct qv__view *v = qv__shard_view(s);
    int64_t first = INT64_MAX;
    for (uint32_t i = 0; i < v->n; i++) {
        first = QV_MIN(first, qv__segment_next_expiry(v->segments[i]));
    }
    qv__view_release(v);
    qv__purge_note(s, first);
}

/* --- the purge of one shard --- */

struct purge {
    struct qv__task task;
    struct qv__write write;
    struct qv__shard *shard;
    struct qv__job job;
    uint64_t n_deleted;
};

/* `next_ms`: when to come again; INT64_MAX = when something new expires. */
static void purge_end(struct purge *p, qv_status st, int64_t next_ms)
{
    struct qv__shard *s = p->shard;
    struct qv__collection *c = s->collection;
    if (p->n_deleted) {
        qv__log_line(c->db->logger, QV__LEVEL_DEBUG, "maintain",
                     "purged %" PRIu64 " expired points of `%s` shard %" PRIu32, p->n_deleted,
                     c->name, s->number);
    }
    qv__job_close(&p->job, st);
    atomic_store(&s->purge_due, false);
    qv__purge_note(s, next_ms);
    qv__free(p);
    qv__job_end(c);
}

static void purge_written(struct qv__write *w)
{
    struct purge *p = w->arg;
    struct qv__collection *c = p->shard->collection;
    qv_status st = w->result.status;
    if (st == QV_OK) {
        p->n_deleted += w->result.n_affected;
        atomic_store(&p->job.done, p->n_deleted);
        qv__pool_submit(c->db->pool, QV__LANE_BACKGROUND, &p->task);
        return;
    }
    /* Those two last until the next open. */
    bool over = qv__maintain_stopping(c) || st == QV_EREADONLY || st == QV_EQUARANTINED;
    if (!qv__maintain_stopping(c)) {
        qv__log_line(c->db->logger, QV__LEVEL_ERROR, "maintain",
                     "purging expired points of `%s` shard %" PRIu32 " failed: %s", c->name,
                     p->shard->number, w->result.err.message);
    }
    purge_end(p, st, over ? INT64_MAX : (int64_t)qv__wall_ms(c->db->clock) + PAUSE_MS);
}

/* Ids of expired points of the shard, at most BATCH; they live as long as `v`. */
static size_t gather_ids(const struct qv__view *v, int64_t now_ms, struct qv__id *ids,
                         int64_t *next_ms)
{
    uint32_t rows[BATCH];
    size_t n = 0;
    *next_ms = INT64_MAX;
    for (uint32_t i = 0; i < v->n && n < BATCH; i++) {
        int64_t next = INT64_MAX;
        size_t got = qv__segment_expired(v->segments[i], now_ms, rows, BATCH - n, &next);
        for (size_t k = 0; k < got; k++) {
            ids[n++] = qv__segment_row_id(v->segments[i], rows[k]);
        }
        *next_ms = QV_MIN(*next_ms, next);
    }
    return n;
}

static void purge_task(struct qv__task *task)
{
    struct purge *p = QV_CONTAINER_OF(task, struct purge, task);
    struct qv__collection *c = p->shard->collection;
    int64_t now = (int64_t)qv__wall_ms(c->db->clock), next = INT64_MAX;
    if (qv__maintain_stopping(c) || atomic_load(&p->job.cancel)) {
        bool by_hand = atomic_load(&p->job.by_hand);
        purge_end(p, QV_ECANCELLED, by_hand ? now + CANCEL_MS : INT64_MAX);
        return;
    }
    struct qv__id *ids = qv__calloc(c->mem, BATCH, sizeof *ids);
    if (!ids) {
        purge_end(p, QV_ENOMEM, now + PAUSE_MS);
        return;
    }
    /* The end of the write may end the job, and with it the last reference but ours. */
    qv__collection_retain(c);
    struct qv__view *v = qv__shard_view(p->shard);
    size_t n = gather_ids(v, now, ids, &next);
    if (n) {
        struct qv__mutation m = {.kind = QV__MUT_EXPIRE, .ids = ids, .n_ids = n, .expires_ms = now};
        p->write = (struct qv__write){.done = purge_written, .arg = p};
        qv__collection_write(c, &m, 1, &p->write); /* p may be gone */
    } else {
        purge_end(p, QV_OK, next == INT64_MAX ? next : QV_MAX(next, now + PAUSE_MS));
    }
    qv__free(ids);
    qv__view_release(v);
    qv__collection_release(c);
}

/* Queue the shard's purge if it is due; else *next_ms learns when it will be. */
static bool look_at_shard(struct qv__shard *s, int64_t now_ms, int64_t *next_ms)
{
    struct qv__collection *c = s->collection;
    int64_t due = atomic_load(&s->expiry_ms);
    if (due > now_ms) {
        *next_ms = QV_MIN(*next_ms, due);
        return false;
    }
    if (atomic_exchange(&s->purge_due, true)) {
        *next_ms =
            QV_MIN(*next_ms, now_ms + PAUSE_MS); /* running: what it misses is looked at then */
        return false;
    }
    struct purge *p = qv__zalloc(c->mem, sizeof *p);
    if (!p) {
        atomic_store(&s->purge_due, false);
        *next_ms = QV_MIN(*next_ms, now_ms + PAUSE_MS);
        return false;
    }
    /* Before the gathering: whoever comes in from now on notes it again. */
    atomic_store(&s->expiry_ms, INT64_MAX);
    p->task = (struct qv__task){.fn = purge_task};
    p->shard = s;
    qv__job_begin(c);
    qv__job_open(&p->job, c->db, s, QV__JOB_PURGE, 0, NULL, "points have expired");
    qv__pool_submit(c->db->pool, QV__LANE_BACKGROUND, &p->task);
    return true;
}

bool qv__purge_look(struct qv__db *db)
{
    struct qv__collection **all = NULL;
    uint32_t n = 0;
    int64_t now = (int64_t)qv__wall_ms(db->clock), next = INT64_MAX;
    bool queued = false;
    if (atomic_load(&db->alarm.due_ms) > now || atomic_load(&db->closing)) {
        return false;
    }
    /* Cleared first: a note that comes while we look sets it again. */
    atomic_store(&db->alarm.due_ms, INT64_MAX);
    if (qv__catalog_all(db, &all, &n, NULL) != QV_OK) {
        qv__alarm_set(db, now + PAUSE_MS);
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < all[i]->n_shards; k++) {
            if (!qv__maintain_stopping(all[i])) {
                queued |= look_at_shard(&all[i]->shards[k], now, &next);
                queued |= qv__idle_look(&all[i]->shards[k], now, &next);
            }
        }
    }
    qv__catalog_all_free(all, n);
    if (next != INT64_MAX) {
        qv__alarm_set(db, next);
    }
    return queued;
}
