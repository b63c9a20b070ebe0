/* world_snapshot.c: snapshots of a world's collections. To the oracle making one is a request that
 * adds to the list, and giving one back a request that replaces a collection: whole or not at all,
 * as all. */
#include <stdio.h>

#include "engine/snapshot.h"
#include "world.h"

void world_snapshot(struct world *w, unsigned at, const char *collection)
{
    struct world_snapshot *s = &w->snapshots[at];
    struct qv__snapshot_info info;
    struct qv_err err;
    const struct oracle_collection *c = oracle_collection(oracle_newest(&w->oracle), collection);
    if (world_is_lost(w) || !c || s->id) {
        return;
    }
    s->saved = *c;
    struct oracle_state *state = oracle_send(&w->oracle);
    qv_status st = qv__db_snapshot_create(w->db, qv__str_z(collection), &info, &err);
    if (st == QV_OK) {
        s->id = info.id;
        state->n_snapshots++;
        world_answered(w, "snapshot", false, st, &err);
        return;
    }
    /* When its name could not be made durable, nor be taken back, it is there, whole. */
    state->n_doubtful++;
    world_failed(w, "snapshot", st, &err);
    world_pause(w);
}

void world_restore(struct world *w, unsigned at, const char *name)
{
    const struct world_snapshot *s = &w->snapshots[at];
    struct qv__snapshot_from from = {.id = s->id};
    struct qv_err err;
    if (world_is_lost(w) || !s->id || s->is_doubtful) {
        return;
    }
    struct oracle_state *state = oracle_newest(&w->oracle);
    if (!oracle_collection(state, name) && !oracle_collection(state, "")) {
        return;
    }
    state = oracle_send(&w->oracle);
    struct oracle_collection *c = oracle_collection(state, name);
    c = c ? c : oracle_collection(state, "");
    *c = s->saved;
    snprintf(c->name, sizeof c->name, "%s", name);
    for (uint32_t p = 0; p < ORACLE_POINTS; p++) {
        c->p[p].request = w->oracle.n_sent; /* its versions are nobody's promise */
    }
    qv_status st = qv__db_snapshot_recover(w->db, qv__str_z(name), &from, &err);
    world_answered(w, "restore", false, st, &err);
}

void world_forget(struct world *w, unsigned at)
{
    struct world_snapshot *s = &w->snapshots[at];
    struct qv_err err;
    if (world_is_lost(w) || !s->id) {
        return;
    }
    struct oracle_state *state = oracle_send(&w->oracle);
    state->n_doubtful -= s->is_doubtful;
    state->n_snapshots -= !s->is_doubtful;
    qv_status st = qv__db_snapshot_delete(w->db, s->id, &err);
    if (st == QV_OK || (st == QV_ENOTFOUND && s->is_doubtful)) {
        s->id = 0;
        s->is_doubtful = false;
        st = QV_OK;
    } else { /* it may be there or not, now and after a crash; it can be deleted again */
        s->is_doubtful = true;
        state->n_doubtful++;
        world_failed(w, "forget", st, &err);
        world_pause(w);
        return;
    }
    world_answered(w, "forget", false, st, &err);
}

void world_forget_doubtful(struct world *w)
{
    for (unsigned i = 0; i < WORLD_SNAPSHOTS; i++) {
        if (w->snapshots[i].is_doubtful) {
            world_forget(w, i);
        }
    }
}
