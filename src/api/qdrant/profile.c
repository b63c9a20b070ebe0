/* profile.c: what a read did, told beside its result when the body says "profile": true; what a
 * query would do, instead of a result, when it says "explain": true.
 *
 * An extension: the engine tells every step of its plan (base/qctx.h) with what it expected and
 * what came of it; the time of a step is that since the step before. Steps beyond a limit are
 * counted only, so that a request cannot make an answer of any size. */
#include "api/qdrant/qdrant.h"

#include <stdio.h>

#define STEPS_MAX 1000u

struct step {
    const char *stage; /* a literal of the engine's */
    char detail[64];
    double estimated, actual;
    uint64_t ns;
};

struct qv__qd_profile {
    struct qv__plan_sink sink;
    const struct qv__clock *clock;
    uint64_t last_ns;
    uint64_t n; /* steps, those beyond the limit included */
    struct step steps[STEPS_MAX];
};

static void event(struct qv__plan_sink *sink, const char *stage, const char *detail,
                  double estimate, double actual)
{
    struct qv__qd_profile *p = QV_CONTAINER_OF(sink, struct qv__qd_profile, sink);
    uint64_t now = qv__mono_ns(p->clock), before = p->last_ns;
    p->last_ns = now;
    if (p->n++ >= STEPS_MAX) {
        return;
    }
    struct step *s = &p->steps[p->n - 1];
    *s = (struct step){.stage = stage, .estimated = estimate, .actual = actual, .ns = now - before};
    (void)snprintf(s->detail, sizeof s->detail, "%s", detail);
}

/* Requests that have a plan: a query, or a batch of them. */
static bool has_plan(const struct qv__call *c)
{
    static const char *const roots[] = {"/points/query", "/points/search", "/points/recommend",
                                        "/points/discover"};
    const char *points = strstr(c->route->pattern, "/points/");
    for (size_t i = 0; points && i < QV_ARRAY_LEN(roots); i++) {
        size_t n = strlen(roots[i]);
        if (strncmp(points, roots[i], n) == 0) {
            return points[n] == 0 || strcmp(points + n, "/batch") == 0;
        }
    }
    return false;
}

qv_status qv__qd_profile_begin(struct qv__call *c)
{
    bool given = false, wanted = false, explain = false;
    QV_TRY(qv__qd_bool(c, c->body, "profile", &given, &wanted));
    QV_TRY(qv__qd_bool(c, c->body, "explain", &given, &explain));
    if (explain && !has_plan(c)) {
        return qv__qd_fail(
            c, QV__QD_INVALID,
            "explain: only queries, searches, recommendations and discoveries have a "
            "plan");
    }
    if (explain && wanted) {
        return qv__qd_fail(c, QV__QD_INVALID,
                           "explain: not together with profile, which runs the request");
    }
    if (!wanted && !explain) {
        return QV_OK;
    }
    c->ctx.plan_only = explain;
    struct qv__qd_profile *p = qv__arena_alloc(c->arena, sizeof *p);
    if (!p) {
        return qv__qd_no_memory(c);
    }
    p->sink.event = event;
    p->clock = c->ctx.clock;
    p->last_ns = qv__mono_ns(c->ctx.clock);
    p->n = 0;
    c->profile = p;
    c->ctx.plan = &p->sink;
    return QV_OK;
}

static void write_step(struct qv__jw *w, const struct step *s, bool is_plan)
{
    qv__jw_obj(w);
    qv__jw_key(w, "stage");
    qv__jw_str(w, s->stage);
    qv__jw_key(w, "detail");
    qv__jw_str(w, s->detail);
    qv__jw_key(w, "estimated");
    qv__jw_f64(w, s->estimated);
    if (!is_plan) {
        qv__jw_key(w, "actual");
        qv__jw_f64(w, s->actual);
        qv__jw_key(w, "us");
        qv__jw_f64(w, (double)s->ns / 1e3);
    }
    qv__jw_obj_end(w);
}

static void write_stats(struct qv__jw *w, const struct qv__qstats *s)
{
    qv__qd_key_u64(w, "segments", s->segments);
    qv__qd_key_u64(w, "rows_looked_at", s->rows_filtered);
    qv__qd_key_u64(w, "rows_matched", s->rows_matched);
    qv__qd_key_u64(w, "distances", s->distances);
    qv__qd_key_u64(w, "hops", s->hops);
    qv__qd_key_u64(w, "reranked", s->reranked);
}

void qv__qd_profile_write(struct qv__call *c)
{
    const struct qv__qd_profile *p = c->profile;
    struct qv__jw *w = &c->w;
    if (!p) {
        return;
    }
    qv__jw_key(w, c->ctx.plan_only ? "explain" : "profile");
    qv__jw_obj(w);
    if (!c->ctx.plan_only) {
        write_stats(w, &c->ctx.stats);
    }
    qv__qd_key_u64(w, "steps_total", p->n);
    qv__jw_key(w, "steps");
    qv__jw_arr(w);
    for (uint64_t i = 0; i < QV_MIN(p->n, (uint64_t)STEPS_MAX); i++) {
        write_step(w, &p->steps[i], c->ctx.plan_only);
    }
    qv__jw_arr_end(w);
    qv__jw_obj_end(w);
}
