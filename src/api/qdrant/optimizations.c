/* optimizations.c: background work in the peer's shape, and ending a piece of it.
 *
 * The peer names a piece by the uuid of the segment it makes; here it is the job's number in that
 * form. What the peer does not have stands beside: collection-wide kinds of work (index, seal,
 * merge, vacuum, reindex, purge, checkpoint, snapshot, recover), the reason, the shard, the time
 * left. */
#include "api/qdrant/qdrant.h"

#include <stdio.h>

#define LISTED_MAX 64u

struct listing {
    bool queued, completed, idle;
    uint64_t completed_limit;
};

static void write_uuid(struct qv__jw *w, const char *key, uint64_t n)
{
    char text[40];
    (void)snprintf(text, sizeof text, "00000000-0000-4000-8000-%012" PRIx64,
                   n & UINT64_C(0xFFFFFFFFFFFF));
    qv__jw_key(w, key);
    qv__jw_str(w, text);
}

static void write_segment(struct qv__jw *w, uint64_t id, uint64_t points)
{
    qv__jw_obj(w);
    write_uuid(w, "uuid", id);
    qv__qd_key_u64(w, "points_count", points);
    qv__jw_obj_end(w);
}

static void write_status(struct qv__jw *w, const struct qv__job_info *j)
{
    qv__jw_key(w, "status");
    if (!j->has_ended || j->status == QV_OK) {
        qv__jw_str(w, j->has_ended ? "done" : "optimizing");
        return;
    }
    qv__jw_obj(w);
    qv__jw_key(w, j->status == QV_ECANCELLED ? "cancelled" : "error");
    qv__jw_str(w, qv_status_text(j->status));
    qv__jw_obj_end(w);
}

static void write_progress(struct qv__jw *w, const struct qv__job_info *j)
{
    char text[QV__DATETIME_TEXT_MAX];
    qv__jw_key(w, "progress");
    qv__jw_obj(w);
    qv__jw_key(w, "name");
    qv__jw_str(w, qv__job_kind_name(j->kind));
    qv__jw_key(w, "started_at");
    qv__jw_str(w, qv__datetime_text(j->started_ms, text));
    if (j->has_ended) {
        qv__jw_key(w, "finished_at");
        qv__jw_str(w, qv__datetime_text(j->started_ms + (int64_t)j->elapsed_ms, text));
        qv__jw_key(w, "duration_sec");
        qv__jw_f64(w, (double)j->elapsed_ms / 1000);
    }
    qv__qd_key_u64(w, "done", j->done);
    if (j->total) {
        qv__qd_key_u64(w, "total", j->total);
    }
    qv__jw_obj_end(w);
}

static void write_job(struct qv__jw *w, const struct qv__job_info *j)
{
    qv__jw_obj(w);
    write_uuid(w, "uuid", j->id);
    qv__jw_key(w, "optimizer");
    qv__jw_str(w, qv__job_kind_name(j->kind));
    write_status(w, j);
    qv__jw_key(w, "segments");
    qv__jw_arr(w);
    for (uint32_t i = 0; i < j->n_segments; i++) {
        write_segment(w, j->segments[i].id, j->segments[i].rows);
    }
    qv__jw_arr_end(w);
    write_progress(w, j);
    qv__qd_key_u64(w, "id", j->id);
    qv__jw_key(w, "reason");
    qv__jw_str(w, j->reason);
    qv__qd_key_u64(w, "shard", j->shard);
    if (!j->has_ended) {
        qv__jw_key(w, "cancelled");
        qv__jw_bool(w, j->cancelled);
        qv__jw_key(w, "eta_sec");
        if (j->eta_ms == UINT64_MAX) {
            qv__jw_null(w);
        } else {
            qv__jw_f64(w, (double)j->eta_ms / 1000);
        }
    }
    qv__jw_obj_end(w);
}

/* --- what waits, what rests --- */

struct census {
    const struct qv__job_info *running;
    size_t n_running;
    uint64_t queued_segments, queued_points, idle;
    struct qv__jw *w; /* set: write the idle ones, or the queued ones */
    bool queued;
};

static bool is_running(const struct census *x, const struct qv__segment_info *s)
{
    for (size_t i = 0; i < x->n_running; i++) {
        for (uint32_t k = 0; k < x->running[i].n_segments; k++) {
            if (x->running[i].segments[k].id == s->id) {
                return true;
            }
        }
    }
    return false;
}

static void count_segment(void *arg, const struct qv__segment_info *s)
{
    struct census *x = arg;
    uint64_t points = s->rows > s->dead ? s->rows - s->dead : 0;
    if (is_running(x, s)) {
        return;
    }
    bool queued = s->unindexed > 0 || s->is_outdated;
    if (x->w && queued == x->queued) {
        write_segment(x->w, s->id, points);
    }
    if (queued) {
        x->queued_segments++;
        x->queued_points += points;
    } else {
        x->idle++;
    }
}

/* An array of the segments that wait (or rest), under `key`. */
static qv_status write_segments(struct qv__call *c, struct census *x, bool queued)
{
    struct census again = {
        .running = x->running, .n_running = x->n_running, .w = &c->w, .queued = queued};
    qv__jw_arr(&c->w);
    QV_TRY(qv__collection_segments(c->collection, count_segment, &again, &c->err));
    qv__jw_arr_end(&c->w);
    return QV_OK;
}

static qv_status write_more(struct qv__call *c, const struct listing *l, struct census *x,
                            struct qv__job_info *jobs)
{
    struct qv__jw *w = &c->w;
    if (l->queued) {
        qv__jw_key(w, "queued");
        qv__jw_arr(w);
        if (x->queued_segments) {
            qv__jw_obj(w);
            qv__jw_key(w, "optimizer");
            qv__jw_str(w, qv__job_kind_name(QV__JOB_INDEX));
            qv__jw_key(w, "segments");
            QV_TRY(write_segments(c, x, true));
            qv__jw_obj_end(w);
        }
        qv__jw_arr_end(w);
    }
    if (l->idle) {
        qv__jw_key(w, "idle_segments");
        QV_TRY(write_segments(c, x, false));
    }
    if (l->completed) {
        size_t n = qv__db_jobs(c->db, c->collection, true, jobs,
                               (size_t)QV_MIN(l->completed_limit, (uint64_t)LISTED_MAX));
        qv__jw_key(w, "completed");
        qv__jw_arr(w);
        for (size_t i = 0; i < n; i++) {
            write_job(w, &jobs[i]);
        }
        qv__jw_arr_end(w);
    }
    return QV_OK;
}

static qv_status parse_listing(struct qv__call *c, struct listing *out)
{
    struct qv__str with = {NULL, 0}, limit;
    bool given;
    *out = (struct listing){.completed_limit = 16};
    QV_TRY(qv__qd_param(c, "with", &given, &with));
    while (given && with.n) {
        const char *comma = memchr(with.p, ',', with.n);
        struct qv__str one = {with.p, comma ? (size_t)(comma - with.p) : with.n};
        struct qv__str whole = one;
        while (one.n && one.p[0] == ' ') {
            one = (struct qv__str){one.p + 1, one.n - 1};
        }
        while (one.n && one.p[one.n - 1] == ' ') {
            one.n--;
        }
        if (qv__str_eq(one, QV__STR("queued"))) {
            out->queued = true;
        } else if (qv__str_eq(one, QV__STR("completed"))) {
            out->completed = true;
        } else if (qv__str_eq(one, QV__STR("idle_segments"))) {
            out->idle = true;
        } else {
            return qv__qd_fail(c, QV__QD_QUERY_FORMAT,
                               "with: unknown variant `%.*s`, expected one of `queued`, "
                               "`completed`, `idle_segments`",
                               (int)QV_MIN(one.n, (size_t)64), one.p);
        }
        with.p += whole.n + (comma != NULL);
        with.n -= whole.n + (comma != NULL);
    }
    QV_TRY(qv__qd_param(c, "completed_limit", &given, &limit));
    struct qv__json_node v;
    if (given && (limit.n == 0 || qv__json_number(limit.p, limit.p + limit.n, &v) != limit.n ||
                  !qv__json_u64(&v, &out->completed_limit))) {
        return qv__qd_fail(c, QV__QD_QUERY_FORMAT, "completed_limit: expected an unsigned integer");
    }
    return QV_OK;
}

qv_status qv__qd_optimizations(struct qv__call *c)
{
    struct listing l;
    struct qv__job_info *jobs = qv__arena_calloc(c->arena, 2 * LISTED_MAX, sizeof *jobs);
    struct qv__collection_info info;
    struct qv__jw *w = &c->w;
    QV_TRY(parse_listing(c, &l));
    if (!jobs) {
        return qv__qd_no_memory(c);
    }
    struct census x = {.running = jobs,
                       .n_running = qv__db_jobs(c->db, c->collection, false, jobs, LISTED_MAX)};
    QV_TRY(qv__collection_segments(c->collection, count_segment, &x, &c->err));
    QV_TRY(qv__collection_info(c->collection, &info, &c->err));
    uint64_t n_upkeep = 0; /* the counter knows no snapshots */
    for (size_t i = 0; i < x.n_running; i++) {
        n_upkeep += jobs[i].kind < QV__JOB_SNAPSHOT;
    }
    uint64_t waiting = info.jobs_running > n_upkeep ? info.jobs_running - n_upkeep : 0;
    qv__jw_obj(w);
    qv__jw_key(w, "summary");
    qv__jw_obj(w);
    qv__qd_key_u64(w, "queued_optimizations", waiting);
    qv__qd_key_u64(w, "queued_segments", x.queued_segments);
    qv__qd_key_u64(w, "queued_points", x.queued_points);
    qv__qd_key_u64(w, "idle_segments", x.idle);
    qv__jw_obj_end(w);
    qv__jw_key(w, "running");
    qv__jw_arr(w);
    for (size_t i = 0; i < x.n_running; i++) {
        write_job(w, &jobs[i]);
    }
    qv__jw_arr_end(w);
    QV_TRY(write_more(c, &l, &x, jobs + LISTED_MAX));
    qv__jw_obj_end(w);
    return QV_OK;
}

qv_status qv__qd_optimization_cancel(struct qv__call *c)
{
    struct qv__str text = c->params[1];
    struct qv__json_node v;
    uint64_t id = 0;
    if (qv__json_number(text.p, text.p + text.n, &v) != text.n || !qv__json_u64(&v, &id)) {
        return qv__qd_fail(c, QV__QD_BAD_REQUEST, "the number of a job is needed, not `%.*s`",
                           (int)QV_MIN(text.n, (size_t)64), text.p);
    }
    QV_TRY(qv__db_cancel_job(c->db, c->collection, id, &c->err));
    qv__jw_bool(&c->w, true);
    return QV_OK;
}
