/* maintain_idle.c: a shard that nobody writes to becomes what searches like best.
 *
 * A load leaves what it wrote last in a growing segment, and sealed segments of any size beside it:
 * each has a graph of its own, and a search of two costs 1.6 times a search of one. While points
 * come in that is as it must be, for a merge would be out of date when it is done. Once no write
 * has come for a while, what grows is sealed and all is merged into one segment, if what lies
 * outside of the largest one is worth it: then all that is written is written anew at most some
 * eight times, however the pauses fall. What is larger than a merge in the background should be is
 * left to whoever optimizes. */
#include "engine/job.h"
#include "engine/maintain.h"

enum {
    ROWS_LEAST = 4096,   /* outside of the largest segment; fewer cost searches little */
    ROWS_SHARE = 8,      /* ... and one in so many of its rows */
    ROWS_MOST = 2000000, /* of the shard */
    AGAIN_MS = 1000,     /* while other merges run */
};

struct idle_task {
    struct qv__task task;
    struct qv__shard *shard;
};

static bool is_worth_it(const struct qv__view *v)
{
    uint64_t largest = 0, all = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        const struct qv__segment *seg = v->segments[i];
        uint64_t rows = qv__segment_rows(seg);
        all += rows;
        largest = qv__segment_sealed(seg) ? QV_MAX(largest, rows) : largest;
    }
    uint64_t outside = all - largest;
    return outside >= ROWS_LEAST && outside * ROWS_SHARE >= largest && all <= ROWS_MOST;
}

void qv__idle_note(struct qv__shard *s)
{
    struct qv__db *db = s->collection->db;
    if (db->options.idle_ms) {
        int64_t due = (int64_t)(qv__wall_ms(db->clock) + db->options.idle_ms);
        atomic_store(&s->idle_ms, due);
        qv__alarm_set(db, due);
    }
}

/* While others merge; unless a write notes a later time just now. */
static void come_again(struct qv__shard *s)
{
    struct qv__db *db = s->collection->db;
    int64_t due = (int64_t)qv__wall_ms(db->clock) + AGAIN_MS, none = INT64_MAX;
    if (atomic_compare_exchange_strong(&s->idle_ms, &none, due)) {
        qv__alarm_set(db, due);
    }
}

static void idle_task(struct qv__task *task)
{
    struct idle_task *t = QV_CONTAINER_OF(task, struct idle_task, task);
    struct qv__shard *s = t->shard;
    struct qv__collection *c = s->collection;
    struct qv_err err;
    /* A write that came while the task waited for its worker noted a later time. */
    if (qv__maintain_stopping(c) || atomic_load(&s->idle_ms) != INT64_MAX) {
        goto out;
    }
    if (!qv__merge_enter(c->db)) {
        come_again(s);
        goto out;
    }
    qv_status st = qv__maintain_optimize(s, 1, NULL, &err);
    qv__merge_leave(c->db);
    if (st != QV_OK && st != QV_ECANCELLED) {
        qv__log_line(c->db->logger, QV__LEVEL_ERROR, "maintain",
                     "merging `%s` shard %" PRIu32 " while idle failed: %s", c->name, s->number,
                     err.message);
    }
out:
    qv__free(t);
    qv__job_end(c);
}

/* How long the shard rests, as after a merge that somebody cancelled or that failed. */
static int64_t rest_ms(struct qv__shard *s)
{
    uint64_t until_ns = atomic_load(&s->retry_ns);
    uint64_t now_ns = until_ns ? qv__mono_ns(s->collection->db->clock) : 0;
    return until_ns > now_ns ? (int64_t)((until_ns - now_ns) / (1000u * 1000u)) + 1 : 0;
}

bool qv__idle_look(struct qv__shard *s, int64_t now_ms, int64_t *next_ms)
{
    struct qv__collection *c = s->collection;
    int64_t due = atomic_load(&s->idle_ms), rest = due <= now_ms ? rest_ms(s) : 0;
    if (rest > 0) {
        *next_ms = QV_MIN(*next_ms, now_ms + rest);
        return false;
    }
    /* A write that comes now notes a later time; then that one counts. */
    if (due > now_ms || !atomic_compare_exchange_strong(&s->idle_ms, &due, INT64_MAX)) {
        *next_ms = QV_MIN(*next_ms, due);
        return false;
    }
    struct qv__view *v = qv__shard_view(s);
    bool is_worth = is_worth_it(v) && !atomic_load(&c->db->space.is_short);
    qv__view_release(v);
    struct idle_task *t = is_worth ? qv__alloc(c->mem, sizeof *t) : NULL;
    if (!t) {
        return false; /* without memory the next write notes it again */
    }
    *t = (struct idle_task){.task = {.fn = idle_task}, .shard = s};
    qv__job_begin(c);
    qv__pool_submit(c->db->pool, QV__LANE_BACKGROUND, &t->task);
    return true;
}
