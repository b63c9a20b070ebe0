/* pace.h: writers wait for the graph when too many fresh rows have none.
 *
 * What it is: back-pressure on acknowledgements. Every search scans the rows that are due for a
 * graph and not in one; while those of a collection take more than policy.tail_bytes, a write that
 * adds rows is acknowledged only when the graph has taken in twice as many vectors as it wrote, and
 * as all before it in the line did, or when the tail has room for it again: so the tail shrinks
 * while writes go on, whoever clients are. What it is not: a place to block, or a promise: the
 * write is durable and visible already, and its acknowledgement waits only while a graph is being
 * worked on, and to its next step at the latest once QV__PACE_NS_MAX has passed. */
#ifndef QV_ENGINE_PACE_H
#define QV_ENGINE_PACE_H

#include "base/pool.h"
#include "base/thread.h"

struct qv__collection;
struct qv__shard;

#define QV__PACE_NS_MAX (UINT64_C(10) * 1000 * 1000 * 1000)

/* One acknowledgement held back. Embedded in the caller's object. */
struct qv__paced {
    struct qv__task *task; /* submitted when its time has come */
    uint64_t vectors;      /* that the write added; 0 = never held back */
    uint64_t due;          /* at this many vectors taken in; guarded by: pace */
    uint64_t since_ns;
    struct qv__paced *next; /* guarded by: pace */
};

/* The line of a shard. */
struct qv__pace {
    struct qv__mutex lock;
    struct qv__paced *first, *last; /* `due` rises; guarded by: lock */
    uint64_t taken;                 /* vectors that went into graphs; guarded by: lock */
    uint64_t last_due;              /* guarded by: lock */
    bool is_running;                /* somebody will call progress or end; guarded by: lock */
};

void qv__pace_init(struct qv__pace *p);
void qv__pace_destroy(struct qv__pace *p);

/* Bytes of fresh vectors without a graph, which a search scans. Takes views; no lock held. */
uint64_t qv__pace_tail_bytes(struct qv__collection *c);
/* True if the acknowledgement is held back: p->task is submitted later. False: go on. */
bool qv__pace_hold(struct qv__collection *c, struct qv__paced *p);
/* Indexing of a shard begins (or is queued and certain to be stepped), got on by n vectors, ended
 * in whatever way: then nobody waits any more. No lock held but the segment's `indexing`. */
void qv__pace_begin(struct qv__shard *s);
void qv__pace_progress(struct qv__shard *s, uint64_t n);
void qv__pace_end(struct qv__shard *s);

#endif
