/* maintain.c: background work of a shard: index fresh rows, seal what is full, merge what is many.
 *
 * Indexing runs beside sealing and merging; those two exclude each other per shard through
 * shard->maintenance, so the flushed LSN moves only where we look at it.
 *
 * Seal: the active segment is frozen by starting another one (write order). F, the LSN up to which
 * every record is in frozen or sealed segments, is made durable before any file that depends on it
 * is named. Then segment and tombstone files are written without any lock; then, at one instant of
 * the write order, deletions that came meanwhile are carried over, the view is switched, the
 * tombstone files are installed and the flushed LSN moves to F; then the manifest is committed.
 * Merge: drops only rows deleted at or below both the flushed LSN (a later record in the log may
 * need the old row at replay) and the read horizon (a reader may still see it). */
#include "engine/collection.h"

/* After a failed task (no memory, no space) the next one waits this long. */
#define RETRY_NS        (UINT64_C(1000) * 1000 * 1000)
/* Finish a graph at a flush without build when no more than this is missing. */
#define INDEX_TAIL_ROWS 4096u

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

static bool stopping(const struct qv__collection *c)
{
    return atomic_load(&c->db->closing) || atomic_load(&c->dropped);
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

/* --- indexing --- */

static qv_status index_segment(struct qv__shard *s, struct qv__segment *seg, bool *did,
                               struct qv_err *err)
{
    struct qv__collection *c = s->collection;
    struct qv__reader_ticket ticket;
    struct qv__visible vis;
    if (qv__segment_sealed(seg) || qv__segment_unindexed(seg) == 0) {
        return QV_OK;
    }
    /* Only published rows: the others may never come to be. */
    qv__read_begin(c->db->commit, &ticket);
    qv_status st = qv__segment_visible(seg, ticket.lsn, c->mem, &vis, err);
    qv__read_end(c->db->commit, &ticket);
    if (st == QV_OK) {
        uint32_t before = qv__segment_unindexed(seg);
        st = qv__segment_index(seg, vis.n_rows, &c->db->closing, err);
        *did |= qv__segment_unindexed(seg) < before;
        qv__visible_free(&vis);
    }
    return st;
}

static void index_task(struct qv__task *task)
{
    struct shard_task *t = QV_CONTAINER_OF(task, struct shard_task, task);
    struct qv__shard *s = t->shard;
    struct qv_err err;
    bool did = true;
    qv_status st = QV_OK;
    while (did && st == QV_OK && !stopping(s->collection)) {
        did = false;
        struct qv__view *v = qv__shard_view(s);
        for (uint32_t i = 0; i < v->n && st == QV_OK; i++) {
            st = index_segment(s, v->segments[i], &did, &err);
        }
        qv__view_release(v);
    }
    if (st != QV_OK) {
        complain(s, "indexing", st, &err);
    }
    atomic_store(&s->index_due, false);
    struct qv__collection *c = s->collection;
    qv__free(t);
    qv__job_end(c);
}

/* --- sealing
 * ------------------------------------------------------------------------------------------------
 */

/* A copy of the current list of segments with every `from[i]` replaced by to[i] (NULL = left out).
 * Under write. */
static qv_status switch_view(struct qv__shard *s, struct qv__segment *const *from,
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

struct flush {
    struct qv__view *view;                 /* as planned, retained */
    struct qv__segment **frozen, **sealed; /* growing ones and their sealed forms */
    size_t n;
    struct qv__tombstone_file *tombs; /* per segment of view */
    uint64_t *old_gens;
    uint64_t flushed; /* F */
};

/* Freeze the active segment if asked, list what is frozen, fix F. */
static qv_status flush_plan(struct qv__shard *s, bool all, struct flush *f, struct qv_err *err)
{
    struct qv__collection *c = s->collection;
    struct qv__schema *schema = qv__collection_schema(c);
    qv_status st = QV_OK;
    qv__mutex_lock(&s->write);
    if (all && qv__segment_rows(s->active) > 0) {
        st = qv__shard_roll(s, schema, schema->policy.seal_rows, err);
    }
    f->flushed = qv__segment_rows(s->active) ? qv__segment_min_lsn(s->active) - 1 : s->last_lsn;
    f->view = qv__shard_view(s);
    qv__mutex_unlock(&s->write);
    qv__schema_release(schema);
    size_t n = f->view->n + 1u;
    f->frozen = qv__calloc(c->mem, n, sizeof(struct qv__segment *));
    f->sealed = qv__calloc(c->mem, n, sizeof(struct qv__segment *));
    f->tombs = qv__calloc(c->mem, n, sizeof *f->tombs);
    f->old_gens = qv__calloc(c->mem, n, sizeof *f->old_gens);
    if (st == QV_OK && (!f->frozen || !f->sealed || !f->tombs || !f->old_gens)) {
        st = qv__fail(err, QV_ENOMEM, "no memory to seal");
    }
    for (uint32_t i = 0; st == QV_OK && i + 1 < f->view->n; i++) { /* the last one is active */
        if (!qv__segment_sealed(f->view->segments[i])) {
            f->frozen[f->n++] = f->view->segments[i];
        }
    }
    return st;
}

static void flush_free(struct flush *f)
{
    for (size_t i = 0; f->sealed && i < f->n; i++) {
        qv__segment_release(f->sealed[i]);
    }
    qv__free(f->frozen);
    qv__free(f->sealed);
    qv__free(f->tombs);
    qv__free(f->old_gens);
    qv__view_release(f->view);
}

/* Write the files: sealed forms of what is frozen, tombstones of what was sealed before. */
static qv_status flush_write(struct qv__shard *s, struct flush *f, bool build, struct qv_err *err)
{
    struct qv__collection *c = s->collection;
    const _Atomic bool *cancel = build ? &c->db->closing : NULL;
    for (size_t i = 0; i < f->n; i++) {
        uint32_t owed = qv__segment_unindexed(f->frozen[i]);
        if (!build && owed && owed <= INDEX_TAIL_ROWS) {
            QV_TRY(qv__segment_index(f->frozen[i], qv__segment_rows(f->frozen[i]), cancel, err));
        }
        uint64_t id = atomic_fetch_add(&c->db->next_file_id, 1);
        QV_TRY(qv__segment_seal(&c->env, f->frozen[i], id, f->flushed, build, cancel, &f->sealed[i],
                                err));
    }
    for (uint32_t i = 0; i < f->view->n; i++) {
        if (qv__segment_sealed(f->view->segments[i])) {
            uint64_t gen = atomic_fetch_add(&c->db->next_file_id, 1);
            QV_TRY(qv__segment_write_tombstones(f->view->segments[i], f->flushed, gen, &f->tombs[i],
                                                err));
        }
    }
    return QV_OK;
}

/* Switch to the sealed ones, install tombstones and move the flushed LSN, at one instant of the
 * write order. */
static qv_status flush_switch(struct qv__shard *s, struct flush *f, struct qv_err *err)
{
    qv_status st = QV_OK;
    qv__mutex_lock(&s->write);
    for (size_t i = 0; st == QV_OK && i < f->n; i++) {
        st = qv__segment_carry(&f->frozen[i], NULL, 1, f->sealed[i], err);
    }
    if (st == QV_OK && f->n) {
        st = switch_view(s, f->frozen, f->sealed, f->n, err);
    }
    for (uint32_t i = 0; st == QV_OK && i < f->view->n; i++) {
        if (f->tombs[i].gen) {
            f->old_gens[i] = qv__segment_install_tombstones(f->view->segments[i], &f->tombs[i]);
        }
    }
    if (st == QV_OK && f->flushed > atomic_load(&s->flushed_lsn)) {
        atomic_store(&s->flushed_lsn, f->flushed);
    }
    qv__mutex_unlock(&s->write);
    return st;
}

static void remove_old_tombstones(struct qv__shard *s, const struct flush *f)
{
    struct qv__blobs *blobs = s->collection->db->blobs;
    for (uint32_t i = 0; i < f->view->n; i++) {
        if (f->old_gens[i]) {
            char name[64];
            struct qv_err ignored; /* a file that stays is removed at the next open */
            qv__tombstones_blob_name(qv__segment_id_number(f->view->segments[i]), f->old_gens[i],
                                     name);
            (void)!blobs->ops->remove(blobs, name, &ignored);
        }
    }
}

qv_status qv__maintain_flush(struct qv__shard *s, bool all, bool build, struct qv_err *err)
{
    struct qv__db *db = s->collection->db;
    struct flush f = {0};
    qv_status st = flush_plan(s, all, &f, err);
    QV_GOTO(st);
    if (f.n == 0 && f.flushed <= atomic_load(&s->flushed_lsn)) {
        goto out;
    }
    QV_GOTO(qv__commit_sync(db->commit, f.flushed, err));
    st = flush_write(s, &f, build, err);
    if (st == QV_OK) {
        st = flush_switch(s, &f, err);
    }
    if (st != QV_OK) {
        for (size_t i = 0; i < f.n && f.sealed[i]; i++) {
            qv__segment_doom(f.sealed[i]); /* named by no manifest */
        }
        goto out;
    }
    QV_GOTO(qv__checkpoint_commit(db, err));
    remove_old_tombstones(s, &f);
out:
    flush_free(&f);
    return st;
}

/* --- merging
 * -------------------------------------------------------------------------------------------------
 */

/* Size class: 0 below 4/fanin of a seal, then one per factor of fanin. */
static unsigned size_class(const struct qv__segment_policy *p, uint64_t rows)
{
    unsigned k = 0;
    for (uint64_t at = p->seal_rows; rows >= at && k < 40; at *= p->merge_fanin) {
        k++;
    }
    return k;
}

/* A sealed segment that lacks a graph it is due for, or of whose rows more than a quarter can be
 * dropped. */
static bool wants_rebuild(const struct qv__segment *seg, uint64_t drop)
{
    uint32_t rows = qv__segment_rows(seg);
    return qv__segment_unindexed(seg) > 0 ||
           (rows >= 64 && qv__segment_dead_at(seg, drop) > rows / 4);
}

/* Choose segments to merge: with `max` > 0 all sealed ones if they are more than max (or one of
 * them wants a rebuild); else the largest group of one size class that reaches the fan-in, or one
 * segment that wants a rebuild. */
static size_t choose(const struct qv__view *v, const struct qv__schema *schema, uint32_t max,
                     uint64_t drop, struct qv__segment **out)
{
    const struct qv__segment_policy *p = &schema->policy;
    size_t n = 0, rebuild = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        if (qv__segment_sealed(v->segments[i])) {
            out[n++] = v->segments[i];
            rebuild += wants_rebuild(v->segments[i], drop);
        }
    }
    if (max > 0) {
        if (n > max) {
            /* The smallest go together; the largest max - 1 stay as they are. */
            for (size_t keep = 0; keep + 1 < max; keep++) {
                size_t big = 0;
                for (size_t i = 1; i < n; i++) {
                    big = qv__segment_rows(out[i]) > qv__segment_rows(out[big]) ? i : big;
                }
                memmove(&out[big], &out[big + 1], (n - big - 1) * sizeof(struct qv__segment *));
                n--;
            }
            return n;
        }
    }
    for (unsigned k = 0; max == 0 && k <= 41; k++) {
        size_t m = 0;
        for (size_t i = 0; i < n; i++) {
            m += size_class(p, qv__segment_rows(out[i])) == k;
        }
        if (m >= p->merge_fanin) {
            size_t at = 0;
            for (size_t i = 0; i < n; i++) {
                if (size_class(p, qv__segment_rows(out[i])) == k) {
                    out[at++] = out[i];
                }
            }
            return at;
        }
    }
    for (size_t i = 0; rebuild && i < n; i++) {
        if (wants_rebuild(out[i], drop)) {
            out[0] = out[i];
            return 1;
        }
    }
    return 0;
}

static qv_status merge_switch(struct qv__shard *s, struct qv__segment *const *sources,
                              uint32_t *const *remaps, size_t n, struct qv__segment *merged,
                              struct qv_err *err)
{
    struct qv__segment **to = qv__calloc(s->collection->mem, n, sizeof(struct qv__segment *));
    if (!to) {
        return qv__fail(err, QV_ENOMEM, "no memory for a view");
    }
    to[0] = merged; /* NULL when nothing is left; the others are left out */
    qv_status st = QV_OK;
    qv__mutex_lock(&s->write);
    if (merged) {
        st = qv__segment_carry(sources, remaps, n, merged, err);
    }
    if (st == QV_OK) {
        st = switch_view(s, sources, to, n, err);
    }
    qv__mutex_unlock(&s->write);
    qv__free(to);
    return st;
}

/* Rows deleted at or below this can go: flushed, and no reader is older. */
static uint64_t drop_lsn(struct qv__shard *s)
{
    return QV_MIN(atomic_load(&s->flushed_lsn), qv__read_horizon(s->collection->db->commit));
}

/* Merge the chosen segments. *did false when there was nothing to do. Under maintenance. */
static qv_status merge_once(struct qv__shard *s, uint32_t max, bool *did, struct qv_err *err)
{
    struct qv__collection *c = s->collection;
    struct qv__schema *schema = qv__collection_schema(c);
    struct qv__view *v = qv__shard_view(s);
    struct qv__segment *merged = NULL;
    size_t n = 0;
    struct qv__segment **sources = qv__calloc(c->mem, v->n + 1u, sizeof(struct qv__segment *));
    uint32_t **remaps = qv__calloc(c->mem, v->n + 1u, sizeof(uint32_t *));
    qv_status st = sources && remaps ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory to merge");
    *did = false;
    QV_GOTO(st);
    uint64_t drop = drop_lsn(s);
    n = choose(v, schema, max, drop, sources);
    if (n == 0) {
        goto out;
    }
    uint64_t id = atomic_fetch_add(&c->db->next_file_id, 1);
    uint64_t flushed = atomic_load(&s->flushed_lsn);
    QV_GOTO(qv__segment_merge(&c->env, schema, sources, n, id, QV_MIN(drop, flushed), flushed,
                              &c->db->closing, remaps, &merged, err));
    st = merge_switch(s, sources, remaps, n, merged, err);
    if (st != QV_OK) {
        if (merged) {
            qv__segment_doom(merged); /* named by no manifest */
        }
        goto out;
    }
    *did = true;
    QV_GOTO(qv__checkpoint_commit(c->db, err));
    for (size_t i = 0; i < n; i++) {
        qv__segment_doom(sources[i]);
    }
    qv__log_line(c->db->logger, QV__LEVEL_INFO, "maintain",
                 "merged %zu segments of `%s` shard %" PRIu32 " into %" PRIu32 " rows", n, c->name,
                 s->number, merged ? qv__segment_rows(merged) : 0u);
out:
    for (size_t i = 0; remaps && i < n; i++) {
        qv__free(remaps[i]);
    }
    qv__free(remaps);
    qv__free(sources);
    qv__segment_release(merged);
    qv__view_release(v);
    qv__schema_release(schema);
    return st;
}

qv_status qv__maintain_merge_to(struct qv__shard *s, uint32_t max_segments, struct qv_err *err)
{
    bool did = true;
    qv_status st = QV_OK;
    while (did && st == QV_OK) {
        st = merge_once(s, QV_MAX(max_segments, 1u), &did, err);
    }
    return st;
}

/* --- what is due
 * ------------------------------------------------------------------------------------------------
 */

static bool has_frozen(const struct qv__view *v)
{
    uint32_t growing = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        growing += !qv__segment_sealed(v->segments[i]);
    }
    return growing > 1;
}

static bool merge_due(struct qv__shard *s, const struct qv__view *v)
{
    struct qv__collection *c = s->collection;
    struct qv__segment *few[64], **list = few;
    if (v->n > QV_ARRAY_LEN(few)) {
        return true;
    }
    struct qv__schema *schema = qv__collection_schema(c);
    bool due = choose(v, schema, 0, drop_lsn(s), list) > 0;
    qv__schema_release(schema);
    return due;
}

static void maintain_task(struct qv__task *task)
{
    struct shard_task *t = QV_CONTAINER_OF(task, struct shard_task, task);
    struct qv__shard *s = t->shard;
    struct qv_err err;
    qv_status st = QV_OK;
    bool more = true;
    qv__mutex_lock(&s->maintenance);
    while (more && st == QV_OK && !stopping(s->collection)) {
        struct qv__view *v = qv__shard_view(s);
        bool frozen = has_frozen(v);
        qv__view_release(v);
        if (frozen) {
            st = qv__maintain_flush(s, false, true, &err);
        } else {
            st = merge_once(s, 0, &more, &err);
        }
    }
    qv__mutex_unlock(&s->maintenance);
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
    if (atomic_load(&db->recovering) || db->read_only || stopping(s->collection)) {
        return;
    }
    struct qv__view *v = qv__shard_view(s);
    uint64_t horizon = qv__read_horizon(db->commit), flushed = atomic_load(&s->flushed_lsn);
    bool index = false;
    for (uint32_t i = 0; i < v->n; i++) {
        qv__segment_drain(v->segments[i], horizon, flushed);
        index |= !qv__segment_sealed(v->segments[i]) && qv__segment_unindexed(v->segments[i]) > 0;
    }
    if (index) {
        queue(s, index_task, &s->index_due);
    }
    if (!atomic_load(&s->job_due) && (has_frozen(v) || merge_due(s, v))) {
        queue(s, maintain_task, &s->job_due);
    }
    qv__view_release(v);
}

void qv__maintain_published(struct qv__collection *c)
{
    for (uint32_t i = 0; i < c->n_shards && !atomic_load(&c->db->recovering) && !stopping(c); i++) {
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

/* --- on demand
 * -----------------------------------------------------------------------------------------------------
 */

qv_status qv__collection_optimize(struct qv__collection *c, uint32_t max_segments,
                                  struct qv_err *err)
{
    if (c->db->read_only) {
        return qv__fail(err, QV_EREADONLY, "the database is open read-only");
    }
    qv__job_begin(c);
    qv_status st = QV_OK;
    for (uint32_t i = 0; st == QV_OK && i < c->n_shards; i++) {
        struct qv__shard *s = &c->shards[i];
        qv__mutex_lock(&s->maintenance);
        st = qv__maintain_flush(s, true, false, err);
        if (st == QV_OK) {
            st = qv__maintain_merge_to(s, max_segments, err);
        }
        qv__mutex_unlock(&s->maintenance);
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
