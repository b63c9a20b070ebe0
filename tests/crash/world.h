/* world.h: a database on a simulated disk together with the oracle of what it was asked to do.
 *
 * What it is: short forms of requests that change both, and what a workload is made of: restarts,
 * background steps, checkpoints. The database runs stepped (no threads), its clock stands, so that
 * a run is a function of workload and seed. A harness sits on the disk (syncs, faults) and on
 * `pause`. What it is not: tolerant by default. A request that fails ends the process, unless the
 * harness set `may_fail`; then what failed cleanly is taken back from the oracle, and what failed
 * with the log stays as sent. */
#ifndef WORLD_H
#define WORLD_H

#include "check.h"
#include "os/io_sim.h"

#define WORLD_PENDING   8
#define WORLD_SNAPSHOTS 3

struct world;

/* A request that waits for its acknowledgement. */
struct world_write {
    struct qv__write write;
    struct world *world;
    uint32_t number;
    bool is_open; /* in use */
    bool is_vain; /* sent to a log that had failed: it cannot have happened */
};

/* A snapshot of one collection and what it must give back. */
struct world_snapshot {
    uint64_t id;      /* 0 = none */
    bool is_doubtful; /* a deletion failed: it may be there or not */
    struct oracle_collection saved;
};

struct world {
    const char *workload;
    uint64_t seed;
    struct qv__rng rng;
    struct qv__mem *mem_disk, *mem; /* of the simulated disk; above the database's */
    struct qv__mem *mem_test;
    struct qv__clock clock;
    uint64_t now_ns;
    struct qv__db_options options;
    struct qv__io *io;
    struct qv__db *db;
    struct oracle oracle;
    struct world_write pending[WORLD_PENDING];
    struct world_snapshot snapshots[WORLD_SNAPSHOTS];
    uint64_t failures; /* requests that failed */

    /* of the harness */
    bool may_fail;
    void (*pause)(struct world *w);        /* after each step, no lock held */
    void (*disk_changed)(struct world *w); /* w->io is another one */
    /* Of an open that failed: may change the disk and call world_open. */
    void (*failed)(struct world *w, const char *what, qv_status st, const struct qv_err *err);
    void *harness;
    const char *again; /* the command that shows a failure once more; NULL = unknown */
};

/* An open, empty database. */
void world_begin(struct world *w, const char *workload, uint64_t seed);
void world_end(struct world *w);
/* Say why on standard error and end with 1. */
_Noreturn void world_die(const struct world *w, const char *fmt, ...) QV_PRINTF(2, 3);

/* Open w->io. */
void world_open(struct world *w);
/* The log failed (or nothing is open): nothing more is taken until a restart. */
bool world_is_lost(const struct world *w);
/* Close without a last checkpoint, as a kill would. */
void world_abandon(struct qv__db *db);

/* --- steps --- */

void world_create(struct world *w, const char *collection, uint32_t shards);
void world_drop(struct world *w, const char *collection);
void world_alias(struct world *w, const char *alias, const char *collection);
void world_index(struct world *w, const char *collection); /* a payload index */
/* A second vector `x` of so many elements comes, in the place of one that was there; 0: it goes. */
void world_set_x(struct world *w, const char *collection, uint32_t dim);
/* Other graphs: so many links a node. */
void world_set_m(struct world *w, const char *collection, uint32_t m);

/* One request: `n` points, from number `from` on. */
void world_upsert(struct world *w, const char *collection, uint32_t from, uint32_t n);
void world_delete(struct world *w, const char *collection, uint32_t from, uint32_t n);
void world_delete_where(struct world *w, const char *collection, int32_t from, int32_t to);
void world_set_where(struct world *w, const char *collection, int32_t tag, int32_t n);
/* An upsert that is sent and not waited for; relaxed: acknowledged before it is synced. */
void world_send(struct world *w, const char *collection, uint32_t from, uint32_t n, bool relaxed);
/* Run `n` steps of the background (group commits, tasks), or all there are. */
void world_step(struct world *w, unsigned n);
void world_drain(struct world *w);
void world_checkpoint(struct world *w);
void world_optimize(struct world *w, const char *collection);
/* Snapshot number `at` of a collection; give it back as collection `name`; remove it. */
void world_snapshot(struct world *w, unsigned at, const char *collection);
void world_restore(struct world *w, unsigned at, const char *name);
void world_forget(struct world *w, unsigned at);
/* Delete those again whose deletion failed; what is there is certain then. */
void world_forget_doubtful(struct world *w);
/* All reads against the oracle. */
void world_read(struct world *w);
/* Close cleanly and open again. */
void world_reopen(struct world *w);
/* End as after a kill or a power cut, and open what is left. */
void world_crash(struct world *w, enum qv__sim_crash how);

/* --- for steps in other files --- */

void world_pause(struct world *w);
/* A step failed: tell the harness, or end. */
void world_failed(struct world *w, const char *what, qv_status st, const struct qv_err *err);
/* The newest request, which no log record's acknowledgement answers, was answered. was_lost: the
 * log had failed before it was sent. */
void world_answered(struct world *w, const char *what, bool was_lost, qv_status st,
                    const struct qv_err *err);

/* --- workloads.c --- */

struct workload {
    const char *name;
    const char *what;
    void (*run)(struct world *w);
};
extern const struct workload workloads[];
extern const unsigned n_workloads;
const struct workload *workload_find(const char *name);

#endif
