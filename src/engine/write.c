/* write.c: one write request from mutations to acknowledgement.
 *
 * check (no lock) -> write order of the shards concerned -> resolve to effects -> reserve memory ->
 * append one record to the log -> apply stamped with its LSN -> leave the write order -> wait for
 * publication. Up to the append anything may fail and nothing has happened; after it nothing can.
 *
 * A request that changes nothing is not logged, unless it changes nothing because of a write that
 * is not durable yet (the point it would delete was just deleted): then an empty record takes its
 * place in the order, so that its acknowledgement is worth what any other is. */
#include "base/plant.h"
#include "engine/budget.h"
#include "engine/quarantine.h"
#include "engine/stage.h"
#include "engine/vector.h"

/* Of the reserve on the disk, for the records of deletions. */
#define DELETE_BYTES (UINT64_C(1) << 20)

/* A write between the log and its acknowledgement. */
struct waiting {
    struct qv__ack ack;
    struct qv__inflight inflight;
    struct qv__paced paced;
    struct qv__write *write;
    int64_t now_ms;                    /* the request's instant: expiries are resolved with it */
    struct qv__collection *collection; /* retained */
};

static void answer(struct qv__task *task)
{
    struct waiting *w = QV_CONTAINER_OF(task, struct waiting, ack.task);
    struct qv__write *write = w->write;
    struct qv__collection *c = w->collection;
    qv__free(w);
    qv__collection_release(c);
    write->done(write);
}

/* It is published. */
static void acknowledge(struct qv__task *task)
{
    struct waiting *w = QV_CONTAINER_OF(task, struct waiting, ack.task);
    struct qv__write *write = w->write;
    if (w->ack.status != QV_OK) {
        write->result.status = w->ack.status;
        write->result.err = w->ack.err;
    }
    struct qv__collection *c = w->collection;
    qv__maintain_published(c);
    w->ack.task = (struct qv__task){.fn = answer};
    w->paced.task = &w->ack.task;
    if (w->ack.status != QV_OK || !qv__pace_hold(c, &w->paced)) {
        answer(task);
    }
}

struct lock_set {
    bool locked[QV__SHARDS_MAX];
};

/* Which shards a request may touch: those of its ids, or all when a filter selects. */
static void shards_of(const struct qv__collection *c, const struct qv__mutation *m, size_t n,
                      struct lock_set *set)
{
    memset(set, 0, sizeof *set);
    for (size_t i = 0; i < n; i++) {
        if (m[i].by_filter) {
            memset(set->locked, 1, c->n_shards * sizeof set->locked[0]);
            return;
        }
        for (size_t k = 0; k < m[i].n_points; k++) {
            set->locked[qv__shard_of(c->n_shards, &m[i].points[k].id)] = true;
        }
        for (size_t k = 0; k < m[i].n_ids; k++) {
            set->locked[qv__shard_of(c->n_shards, &m[i].ids[k])] = true;
        }
    }
}

static void lock_shards(struct qv__collection *c, const struct lock_set *set)
{
    for (uint32_t s = 0; s < c->n_shards; s++) {
        if (set->locked[s]) {
            qv__mutex_lock(&c->shards[s].write);
        }
    }
}

static void unlock_shards(struct qv__collection *c, const struct lock_set *set)
{
    for (uint32_t s = c->n_shards; s-- > 0;) {
        if (set->locked[s]) {
            qv__mutex_unlock(&c->shards[s].write);
        }
    }
}

/* How long the write may be lost after it was acknowledged; 0 = never. */
static uint64_t window_ns(const struct qv__schema *schema, const struct qv__write *w)
{
    enum qv__durability d = w->durability ? w->durability : schema->durability.mode;
    return d == QV__DURABILITY_RELAXED ? (uint64_t)schema->durability.window_ms * 1000000u : 0;
}

/* Vectors that get new rows: at most. */
static uint64_t vectors_of(const struct qv__schema *schema, const struct qv__effect *e, size_t n)
{
    uint64_t rows = 0;
    for (size_t i = 0; i < n; i++) {
        rows += e[i].kind != QV__EFFECT_DELETE;
    }
    return rows * schema->n_vectors;
}

static qv_status too_big(uint64_t bytes, struct qv_err *err)
{
    return qv__fail(err, QV_ETOOBIG,
                    "the request writes %" PRIu64 " bytes or more, one record of the log takes %zu "
                    "at most: write fewer points at a time",
                    bytes, QV__LOG_BODY_MAX);
}

/* What the effects take at least: seen before memory is taken for them. */
static uint64_t bytes_of(const struct qv__schema *schema, const struct qv__effect *e, size_t n)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        bytes += e[i].payload.n;
        for (uint32_t k = 0; e[i].kind == QV__EFFECT_PUT && k < schema->n_vectors; k++) {
            const void *v = e[i].vectors[k];
            bytes += v ? qv__vector_size(&schema->vectors[k], v) : 0;
        }
    }
    return bytes;
}

/* The record of a request, as large as the log takes: nothing is reserved for one that it would
 * refuse. */
static qv_status encode(struct qv__collection *c, const struct qv__schema *schema,
                        struct qv__effect *const *effects, const size_t *counts, uint32_t parts,
                        struct qv__buf *record, struct qv_err *err)
{
    uint64_t bytes = 0;
    for (uint32_t s = 0; s < c->n_shards; s++) {
        bytes += bytes_of(schema, effects[s], counts[s]);
    }
    if (bytes > QV__LOG_BODY_MAX) {
        return too_big(bytes, err);
    }
    record->limit = QV__LOG_BODY_MAX;
    qv__record_begin(record, c->id, parts);
    for (uint32_t s = 0; s < c->n_shards; s++) {
        if (counts[s]) {
            qv__record_part(record, s, schema, effects[s], counts[s]);
        }
    }
    return record->too_big ? too_big(QV__LOG_BODY_MAX, err) : qv__buf_status(record, err);
}

/* Resolve, reserve, log, apply. Under the write order of the shards concerned; w->ack.lsn: the last
 * write to them. */
static qv_status commit_locked(struct qv__collection *c, struct qv__schema *schema,
                               const struct qv__mutation *m, size_t n, struct qv__arena *arena,
                               struct waiting *w, bool *logged, uint64_t *affected,
                               struct qv_err *err)
{
    struct qv__qctx ctx = {.clock = c->db->clock,
                           .mem = c->mem,
                           .deadline_ns = w->write->deadline_ns,
                           .now_ms = w->now_ms,
                           .cancel = w->write->cancel};
    struct qv__stage stage;
    struct qv__buf record;
    struct qv__effect **effects = NULL;
    size_t *counts = NULL;
    qv__stage_init(&stage, c, schema, arena, &ctx);
    qv__buf_init(&record, c->mem);
    qv_status st = QV_OK;
    if (atomic_load(&c->dropped)) {
        QV_GOTO(qv__fail(err, QV_ENOTFOUND, "Collection `%s` doesn't exist!", c->name));
    }
    QV_GOTO(qv__quarantine_check(c, err));
    for (size_t i = 0; i < n; i++) {
        QV_GOTO(qv__stage_apply(&stage, &m[i], err));
    }
    QV_GOTO(qv__stage_effects(&stage, &effects, &counts, err));
    uint32_t parts = 0;
    for (uint32_t s = 0; s < c->n_shards; s++) {
        parts += counts[s] > 0;
    }
    if (parts == 0 &&
        (w->ack.lsn <= qv__commit_settled(c->db->commit) || QV_PLANT(ack_no_change))) {
        goto out; /* nothing changes: nothing to log */
    }
    QV_GOTO(encode(c, schema, effects, counts, parts, &record, err));
    for (uint32_t s = 0; s < c->n_shards; s++) {
        if (counts[s]) {
            QV_GOTO(qv__shard_reserve(&c->shards[s], schema, effects[s], counts[s], err));
        }
    }
    /* All that the record holds was read; from here on it counts. */
    QV_GOTO(qv__collection_settle_reads(c, QV_OK, err));
    struct qv__bytes body = qv__buf_bytes(&record);
    QV_GOTO(qv__commit_begin(c->db->commit, QV__REC_DATA, &body, 1, window_ns(schema, w->write),
                             &w->inflight, err));
    for (uint32_t s = 0; s < c->n_shards; s++) {
        if (counts[s]) {
            w->paced.vectors += vectors_of(schema, effects[s], counts[s]);
            *affected += qv__shard_apply(&c->shards[s], effects[s], counts[s], w->inflight.lsn);
        }
    }
    /* Vectors of rows that only changed their payload were copied just now. Should a file have
     * failed under that, the collection is quarantined before anybody can see the copy; the record,
     * which does not hold it, is right. */
    (void)!qv__collection_settle_reads(c, QV_OK, NULL);
    *logged = true;
    w->ack.lsn = w->inflight.lsn;
    qv__commit_applied(c->db->commit, &w->inflight);
out:
    if (!*logged &&
        st !=
            QV_EIO) { /* what was found, or not found, may have been a row that could not be read */
        st = qv__collection_settle_reads(c, st, err);
    }
    qv__buf_free(&record);
    qv__stage_free(&stage);
    return st;
}

/* Deletions give room back in the end: they may have what is reserved. */
static bool adds_data(const struct qv__mutation *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (m[i].kind != QV__MUT_DELETE && m[i].kind != QV__MUT_EXPIRE) {
            return true;
        }
    }
    return false;
}

static qv_status check_all(struct qv__collection *c, const struct qv__schema *schema,
                           const struct qv__mutation *m, size_t n, int64_t now_ms,
                           struct qv__arena *arena, struct qv__mutation **out, struct qv_err *err)
{
    struct qv__mutation *checked = qv__arena_calloc(arena, n + 1, sizeof *checked);
    if (!checked) {
        return qv__fail(err, QV_ENOMEM, "no memory for a write");
    }
    for (size_t i = 0; i < n; i++) {
        QV_TRY(qv__stage_check(schema, c->db->simd, now_ms, arena, &m[i], &checked[i], err));
    }
    *out = checked;
    return QV_OK;
}

/* Check by the schema that writes go by, and take the write order with that schema still valid:
 * what was checked by an older one is checked again. *schema is retained. */
static qv_status check_and_lock(struct qv__collection *c, struct qv__schema **schema,
                                const struct qv__mutation *m, size_t n, int64_t now_ms,
                                struct qv__arena *arena, struct qv__mutation **out,
                                struct lock_set *set, struct qv_err *err)
{
    for (;;) {
        QV_TRY(check_all(c, *schema, m, n, now_ms, arena, out, err));
        shards_of(c, *out, n, set);
        lock_shards(c, set);
        struct qv__schema *now = qv__collection_write_schema(c), *old = *schema;
        *schema = now;
        qv__schema_release(old); /* only compared from here on */
        if (now == old) {
            return QV_OK;
        }
        unlock_shards(c, set);
    }
}

/* Check it, commit it in the write order of its shards, and look what became due. */
static qv_status in_order(struct qv__collection *c, struct qv__schema **schema,
                          const struct qv__mutation *m, size_t n, struct qv__arena *arena,
                          struct waiting *w, bool *logged, struct qv_err *err)
{
    struct lock_set set;
    struct qv__mutation *checked = NULL;
    QV_TRY(check_and_lock(c, schema, m, n, w->now_ms, arena, &checked, &set, err));
    for (uint32_t s = 0; s < c->n_shards; s++) {
        w->ack.lsn = set.locked[s] ? QV_MAX(w->ack.lsn, c->shards[s].last_lsn) : w->ack.lsn;
    }
    qv_status st =
        commit_locked(c, *schema, checked, n, arena, w, logged, &w->write->result.n_affected, err);
    if (*logged) {
        for (uint32_t s = 0; s < c->n_shards; s++) {
            if (set.locked[s]) {
                qv__maintain_look(&c->shards[s]);
            }
        }
    }
    unlock_shards(c, &set);
    return st;
}

static void finish(struct qv__write *write, qv_status st)
{
    write->result.status = st;
    write->done(write);
}

/* --- waiting form --- */

struct sync_write {
    struct qv__write write;
    struct qv__event woken;
    struct qv__task *due;      /* set with the event: what acknowledges; NULL: it is done */
    struct qv__ack *followers; /* to be woken first */
    bool is_done;
};

static void sync_done(struct qv__write *write)
{
    struct sync_write *s = write->arg;
    s->is_done = true;
    qv__event_set(&s->woken); /* nothing of s afterwards: its writer may be gone */
}

static void sync_wake(struct qv__ack *ack, struct qv__ack *followers)
{
    struct sync_write *s = QV_CONTAINER_OF(ack, struct waiting, ack)->write->arg;
    s->due = &ack->task;
    s->followers = followers;
    qv__event_set(&s->woken);
}

void qv__collection_write(struct qv__collection *c, const struct qv__mutation *m, size_t n,
                          struct qv__write *write)
{
    struct qv_err *err = &write->result.err;
    memset(&write->result, 0, sizeof write->result);
    if (c->db->read_only) {
        finish(write, qv__fail(err, QV_EREADONLY, "the database is open read-only"));
        return;
    }
    qv_status room = qv__checkpoint_admit(c->db, err);
    bool adds = adds_data(m, n);
    if (room == QV_OK && adds) {
        room = qv__space_admit(c->db, err);
    }
    if (room == QV_OK && adds) {
        room = qv__budget_admit(c->db, err);
    }
    if (room != QV_OK) {
        finish(write, room);
        return;
    }
    qv__commit_admit(c->db->commit);
    struct qv__schema *schema = qv__collection_write_schema(c);
    struct qv__arena arena;
    bool logged = false;
    qv__arena_init(&arena, c->mem);
    struct waiting *w = qv__zalloc(c->mem, sizeof *w);
    int64_t now_ms = (int64_t)qv__wall_ms(c->db->clock);
    qv_status st = w ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory for a write");
    if (st == QV_OK) {
        w->write = write;
        w->now_ms = now_ms;
        st = in_order(c, &schema, m, n, &arena, w, &logged, err);
        if (st == QV_ENOSPC) {
            (void)qv__space_ran_out(c->db);
            if (!adds && qv__space_give(c->db, DELETE_BYTES)) {
                st = in_order(c, &schema, m, n, &arena, w, &logged, err);
            }
        }
    }
    qv__schema_release(schema);
    qv__arena_free(&arena);
    if (!logged) {
        qv__free(w);
        write->result.operation_id = qv__commit_published(c->db->commit);
        finish(write, st);
        return;
    }
    write->result.status = QV_OK;
    write->result.operation_id = w->ack.lsn;
    w->collection = qv__collection_retain(c);
    w->ack.task = (struct qv__task){.fn = acknowledge};
    w->ack.wake = write->is_waited_for ? sync_wake : NULL;
    qv__checkpoint_look(c->db);
    if (!qv__commit_wait(c->db->commit, &w->ack)) {
        acknowledge(&w->ack.task);
    }
}

qv_status qv__collection_write_sync(struct qv__collection *c, const struct qv__mutation *m,
                                    size_t n, struct qv__write_result *out, struct qv_err *err)
{
    return qv__collection_write_sync_as(c, m, n, QV__DURABILITY_DEFAULT, out, err);
}

qv_status qv__collection_write_sync_as(struct qv__collection *c, const struct qv__mutation *m,
                                       size_t n, enum qv__durability durability,
                                       struct qv__write_result *out, struct qv_err *err)
{
    struct sync_write s = {
        .write = {.done = sync_done, .durability = durability, .is_waited_for = true}};
    s.write.arg = &s;
    qv__event_init(&s.woken);
    qv__collection_write(c, m, n, &s.write);
    for (;;) {
        while (qv__pool_threads(c->db->pool) == 0 && !s.is_done && !s.due) {
            qv__db_step(c->db);
        }
        qv__event_wait(&s.woken);
        struct qv__task *due = s.due;
        if (!due) {
            break;
        }
        s.due = NULL;
        qv__commit_woken(s.followers);
        due->fn(due);
    }
    qv__event_destroy(&s.woken);
    if (out) {
        *out = s.write.result;
    }
    if (s.write.result.status != QV_OK && err) {
        *err = s.write.result.err;
    }
    return s.write.result.status;
}
