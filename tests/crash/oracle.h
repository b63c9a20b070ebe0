/* oracle.h: what was sent to a database and what it acknowledged, and whether what is found there
 * can be so.
 *
 * What it is: a plain model of collections of points, kept as one state per request: state k is
 * what the first k requests make. Requests go through one log, so whatever a crash takes away is a
 * suffix: what is found must equal one state between the newest acknowledged and the newest sent.
 * That one comparison holds V1 to V4 of docs/internals/DURABILITY.md; oracle_check.c asks for the
 * others. What it is not: clever, or fast for more than some hundred points. It shares no code with
 * the engine's own evaluation: distances, filters and merges are written out here.
 *
 * Points are made from a number: its id (of all kinds), a vector of ORACLE_DIM floats and a payload
 * {"n": .., "tag": ".."}. A state keeps of each point what the request that wrote it last gave it.
 *
 * Used by the crash explorer and the fault loops; any other harness may: apply a request with
 * oracle_*(), send it, then tell its fate with oracle_acked or oracle_refused. */
#ifndef ORACLE_H
#define ORACLE_H

#include <stdbool.h>
#include <stdint.h>

#define ORACLE_DIM         4
#define ORACLE_POINTS      96 /* numbers of points of a collection */
#define ORACLE_COLLECTIONS 3
#define ORACLE_ALIASES     2
#define ORACLE_TAGS        4
#define ORACLE_NAME        16

struct oracle_point {
    bool exists;
    int32_t n;        /* payload.n */
    int32_t tag;      /* payload.tag is "t<tag>"; -1 = missing */
    uint32_t request; /* that wrote it last */
    float v[ORACLE_DIM];
    bool has_x; /* a second vector, `x`, of x_dim elements; the others are 0 */
    float x[ORACLE_DIM];
};

struct oracle_collection {
    char name[ORACLE_NAME]; /* "" = none */
    uint32_t shards;
    uint32_t n_indexes; /* payload indexes, by number */
    uint32_t x_dim;     /* of the vectors `x`; 0 = the collection has none now */
    uint32_t m;         /* links asked of the graphs */
    struct oracle_point p[ORACLE_POINTS];
};

struct oracle_alias {
    char name[ORACLE_NAME]; /* "" = none */
    char collection[ORACLE_NAME];
};

struct oracle_state {
    uint32_t n_snapshots; /* that are listed */
    uint32_t n_doubtful;  /* further ones that may be: their deletion failed */
    struct oracle_collection c[ORACLE_COLLECTIONS];
    struct oracle_alias a[ORACLE_ALIASES];
};

struct oracle {
    struct oracle_state **states; /* [n_sent + 1]; state 0 is empty */
    uint64_t *versions;           /* [n_sent + 1]: the request's LSN, 0 = not known */
    uint32_t n_sent, cap;
    uint32_t acked; /* requests whose effects must be there, all of the first so many */
};

void oracle_init(struct oracle *o);
void oracle_free(struct oracle *o);

/* Begin a request: a copy of the newest state, to be changed; it counts as sent from here on. */
struct oracle_state *oracle_send(struct oracle *o);
/* The newest state; what a reader sees when nothing is under way. */
struct oracle_state *oracle_newest(const struct oracle *o);
/* Request `number` (1 = the first) is acknowledged, and all before it are durable with it.
 * version 0 = not known. */
void oracle_acked(struct oracle *o, uint32_t number, uint64_t version);
/* The newest request was refused: nothing of it happened or will. */
void oracle_refused(struct oracle *o);
/* A restart found state `number`: the requests after it never happened. */
void oracle_found(struct oracle *o, uint32_t number);

/* The collection of that name, or a free place to make one when `name` is ""; NULL: none. */
struct oracle_collection *oracle_collection(struct oracle_state *s, const char *name);

/* --- what requests do to a state --- */

/* All that point `number` gets when it is written by `request`: a function of both. */
void oracle_put(struct oracle_collection *c, uint32_t number, uint32_t request);
void oracle_delete(struct oracle_collection *c, uint32_t number, uint32_t request);
/* Delete where from <= n < to; set n where tag is `tag`. Returns points hit. */
uint32_t oracle_delete_where(struct oracle_collection *c, int32_t from, int32_t to,
                             uint32_t request);
/* The column `x` is dropped (0), or added; whatever points had of it is gone. */
void oracle_set_x(struct oracle_collection *c, uint32_t dim);
uint32_t oracle_set_n_where(struct oracle_collection *c, int32_t tag, int32_t n, uint32_t request);

/* --- comparison --- */

/* Of content; requests and versions aside. NULL when equal, else what differs, in `text`. */
const char *oracle_difference(const struct oracle_state *a, const struct oracle_state *b,
                              char *text, unsigned n);
/* The state between acked and sent that equals `found`; -1: none, and `text` says how `found`
 * differs from the newest acknowledged state. */
int64_t oracle_match(const struct oracle *o, const struct oracle_state *found, char *text,
                     unsigned n);
/* Squared Euclidean distance. */
double oracle_distance(const float *a, const float *b);

#endif
