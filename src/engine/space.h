/* space.h: room on the disk: who may still take some, and a reserve for what must go on.
 *
 * What it is: the answer to three questions. A write that adds data: is there room for it, and for
 * what it will cost when it is flushed? Deletes, flushes and merges that give room back: may they
 * have the reserve? A merge that only tidies up: is there room to spare? And the watch that notices
 * that room came back.
 * What it is not: a quota. Other programs may take the room at any time; a call that fails for lack
 * of space is always possible, and ends up here too.
 *
 * The disk is *short* when it has less than what flushing the growing segments would write and a
 * margin. Then writes that add data are refused (QV_ENOSPC), and a thread looks every quarter of a
 * second: it asks for the checkpoint that turns log into segments, for the merges that drop dead
 * rows, and for the reserve to be whole again; then writes are taken again. An idle database, and
 * one with room, has no such thread running.
 *
 * The reserve is a file that holds room and no data, in tmp/: a start, which empties tmp/, has that
 * room too. Deletes are given it in small parts, maintenance is given all of it.
 *
 * Threads: any. Locks: its own (rank SPACE); files are touched under it. */
#ifndef QV_ENGINE_SPACE_H
#define QV_ENGINE_SPACE_H

#include "base/counters.h"
#include "base/thread.h"
#include "os/io.h"

struct qv__db;

struct qv__space {
    struct qv__mutex lock;
    struct qv__condvar changed;
    struct qv__thread thread;
    struct qv__file *file;       /* the reserve; guarded by: lock; NULL = given back */
    uint64_t wanted;             /* bytes the reserve should have; immutable after open */
    bool is_open, is_stopping;   /* guarded by: lock */
    _Atomic bool has_thread;     /* written under lock */
    _Atomic uint64_t reserve;    /* bytes of it now */
    _Atomic uint64_t growing;    /* what flushing all growing segments would write, about */
    _Atomic uint64_t free_bytes; /* of the disk, when last looked at */
    _Atomic uint64_t look_ns;    /* look again at this time (monotonic) … */
    _Atomic uint64_t look_bytes; /* … or when this much grows */
    _Atomic bool is_short;
    struct qv__counter refused; /* writes */
};

void qv__space_init(struct qv__space *s);
/* Make the reserve. After recovery; not of a read-only database. Never fails: without room for it
 * the database is short. */
void qv__space_open(struct qv__db *db);
/* End the watch, give the reserve back. Twice is fine, and without open too. */
void qv__space_close(struct qv__db *db);

/* A write that adds data may go on. QV_ENOSPC: how much there is and how much it takes. Before any
 * lock is taken. */
qv_status qv__space_admit(struct qv__db *db, struct qv_err *err) QV_MUST_USE;
/* Would one go on? As qv__space_admit, but nothing is refused and counted. */
qv_status qv__space_ready(struct qv__db *db, struct qv_err *err) QV_MUST_USE;
/* Something failed with QV_ENOSPC; true if that is news. */
bool qv__space_ran_out(struct qv__db *db);
/* Give back so much of the reserve; true if there was any: whatever failed may be tried again. */
bool qv__space_give(struct qv__db *db, uint64_t bytes);
/* Maintenance is about to write so many bytes. frees: more room comes back than is taken, so that
 * the reserve may be used. QV_ENOSPC: not now. */
qv_status qv__space_for(struct qv__db *db, uint64_t bytes, bool frees,
                        struct qv_err *err) QV_MUST_USE;
/* Room that the log may take ahead of need; ctx is the database. */
uint64_t qv__space_log_room(void *ctx);
/* One look of the watch; false if there is nothing to watch. For a database that is stepped. */
bool qv__space_look(struct qv__db *db);

#endif
