/* maintain_merge.c: which sealed segments become one, and the switch to it.
 *
 * A merge drops only rows deleted at or below both the flushed LSN (a later record in the log may
 * need the old row at replay) and the read horizon (a reader may still see it).
 *
 * The file is written without any lock but `merging`, while writes, and flushes too, go on. So
 * before the switch, with `maintenance` held, what was deleted meanwhile is carried over, and if
 * the flushed LSN has moved a tombstone file of the merged segment is written for it: a manifest
 * pairs a segment only with tombstones up to its shard's flushed LSN. */
#include "base/plant.h"
#include "engine/job.h"
#include "engine/maintain.h"

#include "engine/quarantine.h"

/* Of 100 rows, dead ones that are worth a rewrite while the disk is short of room. */
#define SHORT_PERCENT 5u

/* Size class: one per factor of the fan-in, from a seal's rows divided by it twice: the little that
 * a checkpoint seals is not merged into what is full every time. */
static unsigned size_class(const struct qv__segment_policy *p, uint64_t rows)
{
    unsigned k = 0;
    uint64_t least = p->seal_rows / ((uint64_t)p->merge_fanin * p->merge_fanin);
    for (uint64_t at = QV_MAX(least, (uint64_t)64); rows >= at && k < 40; at *= p->merge_fanin) {
        k++;
    }
    return k;
}

/* True if `dead` of `rows` are worth a rewrite. */
static bool over_vacuum(const struct qv__segment_policy *p, uint32_t rows, uint32_t dead)
{
    return (rows && dead == rows) ||
           (rows >= p->vacuum_rows && (uint64_t)dead * 100 > (uint64_t)rows * p->vacuum_percent);
}

/* What a rewrite without what can be dropped will take on the disk, about. */
static uint64_t bytes_left(const struct qv__segment *seg, uint64_t drop)
{
    uint32_t rows = qv__segment_rows(seg), dead = qv__segment_dead_at(seg, drop);
    return rows ? (uint64_t)((double)qv__segment_bytes(seg) * (rows - QV_MIN(dead, rows)) / rows)
                : 0;
}

/* True if the rewrite is for the sake of room: a twentieth of it comes back at least. */
static bool frees(struct qv__segment *const *sources, size_t n, uint64_t drop)
{
    uint64_t rows = 0, dead = 0;
    for (size_t i = 0; i < n; i++) {
        rows += qv__segment_rows(sources[i]);
        dead += qv__segment_dead_at(sources[i], drop);
    }
    return dead * 20 >= rows;
}

/* A sealed segment that is not what the schema asks for, or has too many rows that can be dropped.
 */
static bool wants_rebuild(const struct qv__schema *schema, const struct qv__segment_policy *p,
                          const struct qv__segment *seg, uint64_t drop)
{
    return qv__segment_outdated(seg, schema, NULL) ||
           over_vacuum(p, qv__segment_rows(seg), qv__segment_dead_at(seg, drop));
}

/* A rewrite leaves out dropped columns: not before the last reader that may want them has gone. */
static bool columns_wanted(struct qv__shard *s)
{
    struct qv__collection *c = s->collection;
    return qv__read_horizon(c->db->commit) < atomic_load(&c->columns_lsn);
}

/* On a short disk fewer dead rows are worth a rewrite. */
static struct qv__segment_policy policy_of(const struct qv__schema *schema, bool is_short)
{
    struct qv__segment_policy p = schema->policy;
    if (is_short) {
        p.vacuum_percent = QV_MIN(p.vacuum_percent, SHORT_PERCENT);
    }
    return p;
}

/* Choose segments to merge; on a short disk only those that give room back: with `max` > 0 all
 * sealed ones if they are more than max (or one of them wants a rebuild); else the largest group of
 * one size class that reaches the fan-in, or one segment that wants a rebuild. */
static size_t choose(const struct qv__view *v, const struct qv__schema *schema, uint32_t max,
                     uint64_t drop, bool is_short, struct qv__segment **out)
{
    const struct qv__segment_policy short_policy = policy_of(schema, is_short), *p = &short_policy;
    size_t n = 0, rebuild = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        if (qv__segment_sealed(v->segments[i])) {
            out[n++] = v->segments[i];
            rebuild += wants_rebuild(schema, p, v->segments[i], drop);
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
    for (unsigned k = 0; max == 0 && !is_short && k <= 41; k++) {
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
    struct qv__segment *least = NULL;
    for (size_t i = 0; rebuild && i < n; i++) {
        if (wants_rebuild(schema, p, out[i], drop) &&
            (!least || bytes_left(out[i], drop) < bytes_left(least, drop))) {
            least = out[i]; /* what takes the least room makes room for the others */
        }
    }
    out[0] = least;
    return least ? 1 : 0;
}

/* Bring the merged segment, which nobody sees yet, up to the shard's flushed LSN. Under
 * maintenance. */
static qv_status catch_up(struct qv__shard *s, struct qv__segment *const *sources,
                          uint32_t *const *remaps, size_t n, struct qv__segment *merged,
                          struct qv_err *err)
{
    struct qv__tombstone_file tombs;
    uint64_t gen = atomic_fetch_add(&s->collection->db->next_file_id, 1);
    qv__mutex_lock(&s->write);
    qv_status st = qv__segment_carry(sources, remaps, n, merged, err);
    qv__mutex_unlock(&s->write);
    if (st == QV_OK) {
        st = qv__segment_write_tombstones(merged, atomic_load(&s->flushed_lsn), gen, &tombs, err);
    }
    if (st == QV_OK && tombs.gen) {
        (void)qv__segment_install_tombstones(merged, &tombs);
    }
    return st;
}

/* Under maintenance. `flushed` is what the merged file's own tombstones go up to. */
static qv_status merge_switch(struct qv__shard *s, struct qv__segment *const *sources,
                              uint32_t *const *remaps, size_t n, struct qv__segment *merged,
                              uint64_t flushed, struct qv_err *err)
{
    if (merged && atomic_load(&s->flushed_lsn) != flushed) {
        QV_TRY(catch_up(s, sources, remaps, n, merged, err));
    }
    struct qv__segment **to = qv__calloc(s->collection->mem, n, sizeof(struct qv__segment *));
    if (!to) {
        return qv__fail(err, QV_ENOMEM, "no memory for a view");
    }
    to[0] = merged; /* NULL when nothing is left; the others are left out */
    qv__mutex_lock(&s->write);
    qv_status st = qv__quarantine_check(s->collection, err);
    if (st == QV_OK && merged) {
        st = qv__segment_carry(sources, remaps, n, merged, err);
    }
    if (st == QV_OK) {
        st = qv__maintain_switch(s, sources, to, n, err);
    }
    qv__mutex_unlock(&s->write);
    qv__free(to);
    return st;
}

/* Rows deleted at or below this can go: flushed, and no reader is older. */
static uint64_t drop_lsn(struct qv__shard *s)
{
    if (QV_PLANT(ignore_flushed_at_merge)) {
        return qv__read_horizon(s->collection->db->commit);
    }
    return QV_MIN(atomic_load(&s->flushed_lsn), qv__read_horizon(s->collection->db->commit));
}

static void job_open(struct qv__job *job, struct qv__shard *s, const struct qv__schema *schema,
                     struct qv__segment *const *sources, size_t n, uint64_t drop,
                     const struct qv__qctx *asked)
{
    uint64_t rows = 0, dead = 0;
    for (size_t i = 0; i < n; i++) {
        rows += qv__segment_rows(sources[i]);
        dead += qv__segment_dead_at(sources[i], drop);
    }
    char outdated[QV__WHY_BYTES];
    const char *why = asked ? "asked for: " : "";
    uint64_t units = (rows - dead) * QV_MAX(schema->n_vectors, 1u);
    if (n == 1 && qv__segment_outdated(sources[0], schema, outdated)) {
        qv__job_open(job, s->collection->db, s, QV__JOB_REINDEX, units, asked, "%s%s", why,
                     outdated);
    } else if (n > 1) {
        qv__job_open(job, s->collection->db, s, QV__JOB_MERGE, units, asked,
                     "%s%zu segments, %" PRIu64 " rows, %" PRIu64 " of them deleted", why, n, rows,
                     dead);
    } else {
        qv__job_open(job, s->collection->db, s, QV__JOB_VACUUM, units, asked,
                     "%s%" PRIu64 " of %" PRIu64 " rows are deleted", why, dead, rows);
    }
}

/* A segment that is rewritten for other indexes keeps the graphs that still fit, if it keeps its
 * rows. */
static bool keeps_rows(struct qv__segment_policy policy, struct qv__segment *const *sources,
                       size_t n, uint64_t drop)
{
    return n == 1 && !over_vacuum(&policy, qv__segment_rows(sources[0]),
                                  qv__segment_dead_at(sources[0], drop));
}

qv_status qv__maintain_merge(struct qv__shard *s, uint32_t max, const struct qv__qctx *asked,
                             bool *did, struct qv_err *err)
{
    struct qv__collection *c = s->collection;
    struct qv__schema *schema = qv__collection_schema(c);
    struct qv__view *v = qv__shard_view(s);
    struct qv__segment *merged = NULL;
    struct qv__job job;
    size_t n = 0;
    struct qv__segment **sources = qv__calloc(c->mem, v->n + 1u, sizeof(struct qv__segment *));
    uint32_t **remaps = qv__calloc(c->mem, v->n + 1u, sizeof(uint32_t *));
    qv_status st = sources && remaps ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory to merge");
    *did = false;
    QV_GOTO(st);
    uint64_t drop = drop_lsn(s);
    bool is_short = atomic_load(&c->db->space.is_short);
    n = columns_wanted(s) ? 0 : choose(v, schema, max, drop, is_short, sources);
    if (n == 0) {
        goto out;
    }
    uint64_t id = atomic_fetch_add(&c->db->next_file_id, 1);
    uint64_t flushed = atomic_load(&s->flushed_lsn);
    drop = QV_PLANT(ignore_flushed_at_merge) ? drop : QV_MIN(drop, flushed);
    uint64_t left = 0;
    for (size_t i = 0; i < n; i++) {
        left += bytes_left(sources[i], drop);
    }
    QV_GOTO(qv__space_for(c->db, left, frees(sources, n, drop), err));
    job_open(&job, s, schema, sources, n, drop, asked);
    drop = keeps_rows(policy_of(schema, is_short), sources, n, drop) ? QV__DROP_NOTHING : drop;
    qv__job_segments(&job, sources, n);
    st = qv__segment_merge(&c->env, schema, sources, n, id, drop, flushed, &job.work, remaps,
                           &merged, err);
    qv__maintain_pause(s, &job);
    qv__job_close(&job, st);
    st = qv__collection_settle_reads(c, st, err);
    if (st != QV_OK) {
        if (merged) {
            qv__segment_doom(merged); /* made of rows that could not be read */
        }
        goto out;
    }
    qv__mutex_lock(&s->maintenance);
    st = merge_switch(s, sources, remaps, n, merged, flushed, err);
    qv__mutex_unlock(&s->maintenance);
    if (st != QV_OK) {
        if (merged) {
            qv__segment_doom(merged); /* named by no manifest */
        }
        goto out;
    }
    *did = true;
    st = qv__checkpoint_commit(c->db, err);
    qv__checkpoint_outgoing(c, st, sources, n);
    QV_GOTO(st);
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

/* A quarter of a seal at least, so that a few points written over and over do not make a file each
 * time. */
static bool growing_is_worn(const struct qv__segment_policy *p, uint32_t rows, uint32_t dead)
{
    return rows >= p->vacuum_rows &&
           (dead == rows || (rows >= p->seal_rows / 4 && dead > rows / 2));
}

/* Deletions can be dropped only once they are flushed, and a shard that is only deleted from never
 * fills a segment: then its dead rows ask for the flush. What a reader still holds back, a flush
 * does not set free. Other indexes are made of files, too. */
bool qv__maintain_reclaim_due(struct qv__shard *s, const struct qv__view *v)
{
    struct qv__schema *schema = qv__collection_schema(s->collection);
    const struct qv__segment_policy policy = policy_of(
                                        schema, atomic_load(&s->collection->db->space.is_short)),
                                    *p = &policy;
    uint64_t drop = drop_lsn(s), horizon = qv__read_horizon(s->collection->db->commit);
    bool due = false;
    for (uint32_t i = 0; i < v->n && !due; i++) {
        const struct qv__segment *seg = v->segments[i];
        uint32_t rows = qv__segment_rows(seg), dead = qv__segment_dead(seg);
        if (!qv__segment_sealed(seg)) {
            due = growing_is_worn(p, rows, dead) || qv__segment_outdated(seg, schema, NULL);
        } else if (over_vacuum(p, rows, dead)) {
            due = over_vacuum(p, rows, qv__segment_dead_at(seg, horizon)) &&
                  !over_vacuum(p, rows, qv__segment_dead_at(seg, drop));
        }
    }
    qv__schema_release(schema);
    return due;
}

qv_status qv__maintain_merge_to(struct qv__shard *s, uint32_t max_segments, struct qv_err *err)
{
    bool did = true;
    qv_status st = QV_OK;
    while (did && st == QV_OK) {
        st = qv__maintain_merge(s, QV_MAX(max_segments, 1u), NULL, &did, err);
    }
    return st;
}

bool qv__maintain_merge_due(struct qv__shard *s, const struct qv__view *v)
{
    struct qv__collection *c = s->collection;
    struct qv__segment *few[64], **list = few;
    if (columns_wanted(s)) {
        return false;
    }
    if (v->n > QV_ARRAY_LEN(few)) {
        return true;
    }
    struct qv__schema *schema = qv__collection_schema(c);
    bool due = choose(v, schema, 0, drop_lsn(s), atomic_load(&c->db->space.is_short), list) > 0;
    qv__schema_release(schema);
    return due;
}
