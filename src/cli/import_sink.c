/* import_sink.c: storing batches: typed writes into a directory, JSON to a server.
 *
 * Into a directory up to QV__IMPORT_WRITES writes are in flight: the engine copies a batch into its
 * log buffer before it returns, so the next one is parsed while the disk syncs. To a server one
 * request follows the other over one connection. */
#include "cli/import.h"

#include <stdio.h>

static void write_done(struct qv__write *w)
{
    struct qv__import_write *slot = QV_CONTAINER_OF(w, struct qv__import_write, write);
    struct qv__import_sink *s = slot->sink;
    qv__mutex_lock(&s->lock);
    if (w->result.status == QV_OK) {
        s->stored += slot->n;
    } else if (s->err.code == QV_OK) {
        s->err = w->result.err;
        s->err.code = w->result.status;
    }
    slot->running = false;
    qv__cond_signal(&s->cond);
    qv__mutex_unlock(&s->lock);
}

qv_status qv__import_sink_open(struct qv__import_sink *s, struct qv__target *t,
                               const char *collection, struct qv_err *err)
{
    *s = (struct qv__import_sink){.target = t, .collection = collection};
    qv__mutex_init(&s->lock, QV__RANK_LEAF);
    qv__cond_init(&s->cond);
    qv__buf_init(&s->body, t->cli->mem);
    qv__arena_init(&s->arena, t->cli->mem);
    for (unsigned i = 0; i < QV__IMPORT_WRITES; i++) {
        s->writes[i].sink = s;
    }
    return t->db ? qv__db_collection(t->db, qv__str_z(collection), &s->pinned, err) : QV_OK;
}

/* Wait until the slot is free; the first failure so far. */
static qv_status wait_slot(struct qv__import_sink *s, const struct qv__import_write *slot,
                           struct qv_err *err)
{
    qv__mutex_lock(&s->lock);
    while (slot->running) {
        qv__cond_wait(&s->cond, &s->lock);
    }
    qv_status st = s->err.code;
    if (st != QV_OK && err) {
        *err = s->err;
    }
    qv__mutex_unlock(&s->lock);
    return st;
}

static qv_status put_local(struct qv__import_sink *s, const struct qv__import_batch *b,
                           struct qv_err *err)
{
    struct qv__import_write *slot = &s->writes[s->next];
    QV_TRY(wait_slot(s, slot, err));
    s->next = (s->next + 1) % QV__IMPORT_WRITES;
    struct qv__mutation m = {.kind = QV__MUT_UPSERT, .points = b->points, .n_points = b->n};
    memset(&slot->write, 0, sizeof slot->write);
    slot->write.done = write_done;
    slot->n = b->n;
    slot->running = true; /* nobody else looks at it yet */
    qv__collection_write(s->pinned, &m, 1, &slot->write);
    return QV_OK;
}

static void write_vectors(struct qv__jw *w, const struct qv__point *p)
{
    bool plain = p->n_vectors == 1 && p->vectors[0].name.n == 0;
    if (plain) {
        qv__jw_floats(w, p->vectors[0].values, p->vectors[0].dim);
        return;
    }
    qv__jw_obj(w);
    for (uint32_t i = 0; i < p->n_vectors; i++) {
        qv__jw_key_n(w, p->vectors[i].name);
        qv__jw_floats(w, p->vectors[i].values, p->vectors[i].dim);
    }
    qv__jw_obj_end(w);
}

static void write_point(struct qv__jw *w, const struct qv__point *p)
{
    char uuid[37];
    qv__jw_obj(w);
    qv__jw_key(w, "id");
    if (p->id.kind == QV__ID_U64) {
        qv__jw_u64(w, p->id.u);
    } else {
        qv__id_uuid_text(&p->id, uuid);
        qv__jw_str(w, uuid);
    }
    qv__jw_key(w, "vector");
    write_vectors(w, p);
    if (p->payload.n) {
        qv__jw_key(w, "payload");
        qv__payload_to_json(w, p->payload);
    }
    qv__jw_obj_end(w);
}

static qv_status put_remote(struct qv__import_sink *s, const struct qv__import_batch *b,
                            struct qv_err *err)
{
    struct qv__jw w;
    qv__buf_reset(&s->body);
    qv__arena_reset(&s->arena);
    qv__jw_init(&w, &s->body);
    qv__jw_obj(&w);
    qv__jw_key(&w, "points");
    qv__jw_arr(&w);
    for (uint32_t i = 0; i < b->n; i++) {
        write_point(&w, &b->points[i]);
    }
    qv__jw_arr_end(&w);
    qv__jw_obj_end(&w);
    const char *path = qv__target_path(&s->arena, s->collection, "/points?wait=true");
    QV_TRY(qv__target_call(s->target, QV__PUT, path, &s->body, &s->arena, NULL, err));
    s->stored += b->n;
    return QV_OK;
}

qv_status qv__import_sink_put(struct qv__import_sink *s, const struct qv__import_batch *b,
                              struct qv_err *err)
{
    return s->pinned ? put_local(s, b, err) : put_remote(s, b, err);
}

qv_status qv__import_sink_flush(struct qv__import_sink *s, struct qv_err *err)
{
    qv_status st = QV_OK;
    for (unsigned i = 0; i < QV__IMPORT_WRITES; i++) {
        st = wait_slot(s, &s->writes[i], err);
    }
    return st;
}

uint64_t qv__import_sink_stored(struct qv__import_sink *s)
{
    qv__mutex_lock(&s->lock);
    uint64_t n = s->stored;
    qv__mutex_unlock(&s->lock);
    return n;
}

void qv__import_sink_close(struct qv__import_sink *s)
{
    if (!s->target) {
        return;
    }
    (void)!qv__import_sink_flush(s, NULL);
    qv__collection_release(s->pinned);
    qv__buf_free(&s->body);
    qv__arena_free(&s->arena);
    qv__cond_destroy(&s->cond);
    qv__mutex_destroy(&s->lock);
    s->target = NULL;
}
