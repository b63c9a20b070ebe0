/* quarantine.c: entering quarantine, saying so, and keeping what the manifest said.
 *
 * The flag is raised once and never lowered; the text is written under the collection's lock.
 * Whoever changes a shard looks at the flag under its write order, so that after the flag was
 * raised there nothing more is sealed, merged or logged. */
#include "engine/quarantine.h"

#include <stdio.h>

bool qv__quarantine_is_damage(qv_status st)
{
    return st == QV_ECORRUPT || st == QV_EVERSION || st == QV_EIO || st == QV_ENOTFOUND;
}

void qv__quarantine_enter(struct qv__collection *c, const struct qv_err *why, uint64_t rows)
{
    struct qv__quarantine *q = &c->quarantine;
    qv__mutex_lock(&c->lock);
    if (q->n_damages == 0) {
        snprintf(q->first, sizeof q->first, "%.255s", why->message);
    }
    q->n_damages++;
    q->rows += rows;
    qv__mutex_unlock(&c->lock);
    bool again = atomic_exchange(&c->quarantined, true);
    qv__log_line(c->db->logger, QV__LEVEL_ERROR, "quarantine", "collection `%s` %s: %s", c->name,
                 again ? "has more damage" : "is quarantined", why->message);
}

qv_status qv__quarantine_check(struct qv__collection *c, struct qv_err *err)
{
    if (!atomic_load(&c->quarantined)) {
        return QV_OK;
    }
    qv__mutex_lock(&c->lock);
    struct qv__quarantine q = c->quarantine;
    qv__mutex_unlock(&c->lock);
    char rows[80] = "", more[64] = "";
    if (q.rows) {
        snprintf(rows, sizeof rows, "; up to %" PRIu64 " points are concerned", q.rows);
    }
    if (q.n_damages > 1) {
        snprintf(more, sizeof more, ", and %" PRIu32 " more damages", q.n_damages - 1);
    }
    return qv__fail(
        err, QV_EQUARANTINED,
        "Collection `%.64s` is quarantined: %.250s%s%s. `quiver check` names every damaged "
        "file; restore it from a backup and restart, or delete the collection",
        c->name, q.first, more, rows);
}

qv_status qv__quarantine_hold(struct qv__shard *s, const struct qv__manifest_shard *m,
                              struct qv_err *err)
{
    s->held = qv__calloc(s->collection->mem, m->n_segments + 1u, sizeof *s->held);
    if (!s->held) {
        return qv__fail(err, QV_ENOMEM, "no memory to keep a damaged shard");
    }
    if (m->n_segments) {
        memcpy(s->held, m->segments, m->n_segments * sizeof *s->held);
    }
    s->n_held = m->n_segments;
    return QV_OK;
}

void qv__quarantine_remove_held(struct qv__shard *s)
{
    struct qv__blobs *blobs = s->collection->db->blobs;
    struct qv__leftovers *l = &s->collection->db->leftovers;
    struct qv_err
        ignored; /* named by no manifest any more: removed at the next open at the latest */
    char name[64];
    for (uint32_t i = 0; i < s->n_held; i++) {
        qv__segment_blob_name(s->held[i].segment_id, name);
        (void)!qv__leftovers_remove(l, blobs, name, &ignored);
        if (s->held[i].tombstone_gen) {
            qv__tombstones_blob_name(s->held[i].segment_id, s->held[i].tombstone_gen, name);
            (void)!qv__leftovers_remove(l, blobs, name, &ignored);
        }
    }
}
