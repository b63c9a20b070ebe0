/* view.c: immutable lists of segments and the pinning of all shards at one LSN.
 *
 * A reader registers its LSN before it takes views. A view taken later may already hold merged
 * segments, but a merge drops only rows deleted at or below the read horizon of its start, which no
 * reader's LSN is below; so whatever the order, a reader finds every row its LSN may see. */
#include "engine/quarantine.h"

qv_status qv__view_create(struct qv__mem *mem, struct qv__segment *const *segments, uint32_t n,
                          struct qv__view **out, struct qv_err *err)
{
    struct qv__view *v = qv__alloc(mem, sizeof *v + n * sizeof v->segments[0]);
    if (!v) {
        return qv__fail(err, QV_ENOMEM, "no memory for a view of %" PRIu32 " segments", n);
    }
    atomic_init(&v->refs, 1);
    v->mem = mem;
    v->n = n;
    for (uint32_t i = 0; i < n; i++) {
        v->segments[i] = qv__segment_retain(segments[i]);
    }
    *out = v;
    return QV_OK;
}

struct qv__view *qv__view_retain(struct qv__view *v)
{
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    return v;
}

void qv__view_release(struct qv__view *v)
{
    if (!v || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; i < v->n; i++) {
        qv__segment_release(v->segments[i]);
    }
    qv__free(v);
}

struct qv__view *qv__shard_view(struct qv__shard *s)
{
    qv__mutex_lock(&s->view_lock);
    struct qv__view *v = qv__view_retain(s->view);
    qv__mutex_unlock(&s->view_lock);
    return v;
}

void qv__shard_swap(struct qv__shard *s, struct qv__view *v)
{
    qv__mutex_lock(&s->view_lock);
    struct qv__view *old = s->view;
    s->view = v;
    qv__mutex_unlock(&s->view_lock);
    /* May close files: outside the lock that readers take. */
    qv__view_release(old);
}

qv_status qv__read_view_open(struct qv__collection *c, struct qv__qctx *ctx,
                             struct qv__read_view **out, struct qv_err *err)
{
    QV_TRY(qv__quarantine_check(c, err));
    return qv__read_view_pin(c, ctx, out, err);
}

/* A column leaves the segments only after the schema without it is the readers': as long as that
 * has not changed meanwhile, the lists have all columns of the schema. */
static void pin(struct qv__read_view *v)
{
    struct qv__collection *c = v->collection;
    bool is_torn = true;
    while (is_torn) {
        v->schema = qv__collection_schema(c);
        qv__read_begin(c->db->commit, &v->ticket);
        for (uint32_t i = 0; i < v->n; i++) {
            v->views[i] = qv__shard_view(&c->shards[i]);
        }
        is_torn = !qv__collection_reads(c, v->schema);
        for (uint32_t i = 0; is_torn && i < v->n; i++) {
            qv__view_release(v->views[i]);
        }
        if (is_torn) {
            qv__read_end(c->db->commit, &v->ticket);
            qv__schema_release(v->schema);
        }
    }
}

qv_status qv__read_view_pin(struct qv__collection *c, struct qv__qctx *ctx,
                            struct qv__read_view **out, struct qv_err *err)
{
    struct qv__read_view *v =
        qv__zalloc(c->mem_query, sizeof *v + c->n_shards * sizeof v->views[0]);
    if (!v) {
        return qv__fail(err, QV_ENOMEM, "no memory for a read view");
    }
    v->collection = qv__collection_retain(c);
    v->n = c->n_shards;
    v->now_ms = ctx && ctx->now_ms ? ctx->now_ms : (int64_t)qv__wall_ms(c->db->clock);
    if (ctx) {
        ctx->now_ms = v->now_ms;
    }
    pin(v);
    *out = v;
    return QV_OK;
}

/* --- mapped files that failed --- */

static bool is_sound(const struct qv__view *v, struct qv__segment **bad)
{
    for (uint32_t i = 0; i < v->n; i++) {
        if (!qv__segment_sound(v->segments[i])) {
            *bad = v->segments[i];
            return false;
        }
    }
    return true;
}

static qv_status fault(struct qv__collection *c, struct qv__segment *bad, struct qv_err *err)
{
    struct qv_err why;
    bool first = false;
    qv_status st = qv__segment_fault(bad, &first, &why);
    if (first) {
        qv__quarantine_enter(c, &why, qv__segment_rows(bad));
    } else {
        QV_TRY(qv__quarantine_check(c, err)); /* known by now */
    }
    if (err) {
        *err = why;
    }
    return st;
}

qv_status qv__read_view_settle(const struct qv__read_view *v, qv_status st, struct qv_err *err)
{
    struct qv__segment *bad = NULL;
    for (uint32_t i = 0; v && i < v->n; i++) {
        if (!is_sound(v->views[i], &bad)) {
            return fault(v->collection, bad, err);
        }
    }
    return st;
}

qv_status qv__collection_settle_reads(struct qv__collection *c, qv_status st, struct qv_err *err)
{
    struct qv__segment *bad = NULL;
    for (uint32_t i = 0; i < c->n_shards; i++) {
        struct qv__view *v = qv__shard_view(&c->shards[i]);
        qv_status found = is_sound(v, &bad) ? st : fault(c, bad, err);
        qv__view_release(v);
        if (bad) {
            return found;
        }
    }
    return st;
}

void qv__read_view_close(struct qv__read_view *v)
{
    if (!v) {
        return;
    }
    struct qv__collection *c = v->collection;
    bool held = v->ticket.lsn < atomic_load(&c->columns_lsn);
    qv__read_end(c->db->commit, &v->ticket);
    for (uint32_t i = 0; i < v->n; i++) {
        qv__view_release(v->views[i]);
    }
    qv__schema_release(v->schema);
    qv__free(v);
    if (held) {
        qv__maintain_call(c); /* dropped columns may leave the segments now */
    }
    qv__collection_release(c);
}
