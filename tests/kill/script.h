/* script.h: requests on a database, drawn from a seed, and a plain model of what they do.
 *
 * What it is: one thread's work, request after request, on a database that is stepped by hand, so
 * that the same seed makes the same calls; the state that must follow each request, held in a flat
 * struct; and the comparison of a whole database with such a state. What it is not: a driver;
 * kill_calls.c decides who runs it and what goes wrong. */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "engine/db.h"

#define SCRIPT_POINTS      40
#define SCRIPT_TAGS        4
#define SCRIPT_COLLECTIONS 3
#define SCRIPT_ALIASES     2
#define SCRIPT_SNAPSHOTS   2
#define SCRIPT_DIM         4
#define SCRIPT_MAIN        "main"

/* Each member is what the last request that touched it left. */
struct script_point {
    bool exists;
    uint32_t vector_by, payload_by; /* requests that wrote them */
    uint32_t x_by;                  /* that wrote the vector x; 0 = the point has none */
    uint32_t n, tag;                /* in the payload */
};
struct script_state {
    bool has_main;
    uint32_t x_dim; /* elements of the vectors x of the main collection; 0 = it has none now */
    struct script_point points[SCRIPT_POINTS];
    bool has_side[SCRIPT_COLLECTIONS];
    unsigned alias_to[SCRIPT_ALIASES]; /* side collection + 1; 0 = none */
    unsigned n_snapshots;              /* of the main collection, oldest first */
    struct script_point snapshots[SCRIPT_SNAPSHOTS][SCRIPT_POINTS];
};

struct script {
    const char *name, *what;
    uint64_t seed;
    uint32_t n_requests, shards, seal_rows;
    uint32_t pad_bytes; /* of each payload */
    uint32_t log_bytes; /* of the largest log file */
    /* How often: */
    unsigned upsert, remove, remove_where, payload, vectors, batch, catalog, snapshot, recover,
        optimize, checkpoint, step, reopen;
    unsigned alter; /* not with recover: the model keeps no schema of a snapshot */
};
extern const struct script scripts[];
extern const unsigned n_scripts;

struct script_run {
    const struct script *script;
    const char *dir;
    struct qv__db *db;
    struct qv_err err;
};

/* Open or close the database at run->dir; stepped, no threads. */
qv_status script_open(struct script_run *run);
qv_status script_close(struct script_run *run);
/* Request `n` (1 = the first): QV_OK = acknowledged. */
qv_status script_do(struct script_run *run, uint32_t n);
/* What it does to the model; false: it must be refused and change nothing. */
bool script_apply(const struct script *script, uint32_t n, struct script_state *state);
enum script_kind {
    SCRIPT_WRITE,  /* goes through the log, or is a switch of the manifest */
    SCRIPT_FILES,  /* snapshots are past both: a failed one is seen, or is not */
    SCRIPT_UPKEEP, /* checkpoint, optimize, background steps: changes nothing that is compared */
    SCRIPT_REOPEN  /* closes the database and opens it */
};
enum script_kind script_kind(const struct script *script, uint32_t n);
/* One write that every healthy database takes; changes nothing that is compared. */
qv_status script_probe(struct script_run *run);
/* NULL when the database holds exactly this state and agrees with itself; else what is wrong. */
const char *script_differs(struct script_run *run, const struct script_state *state, char *text,
                           size_t n);

/* --- what the model's members stand for --- */

const char *script_side_name(unsigned i);
const char *script_alias_name(unsigned i);
/* The vector that a request gives a point. */
void script_vector(uint32_t id, uint32_t request, float out[SCRIPT_DIM]);
/* The payload that request `by` wrote, with n and tag as they are now; NULL: no memory. */
char *script_payload(const struct script *s, struct qv__arena *a, uint32_t by, uint32_t n,
                     uint32_t tag);
/* The filter of a tag. */
qv_status script_tagged(struct qv__arena *a, uint32_t tag, const struct qv__filter **out,
                        struct qv_err *err);

#endif
