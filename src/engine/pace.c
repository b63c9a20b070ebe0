/* pace.c: writers wait for the graph when too many fresh rows have none; see pace.h.
 *
 * Each shard has a line of acknowledgements in the order they came. A place in it is a number of
 * vectors: twice what was written since the line was empty. Indexing counts what it takes in and
 * lets the front of the line go; when the collection's tail is within its bound, and when indexing
 * ends, all go. A write waits only where indexing runs: it, or its end, comes by for certain. */
#include "engine/pace.h"

#include "engine/collection.h"

void qv__pace_init(struct qv__pace *p)
{
    qv__mutex_init(&p->lock, QV__RANK_LEAF);
}

void qv__pace_destroy(struct qv__pace *p)
{
    QV_ASSERT(!p->first);
    qv__mutex_destroy(&p->lock);
}

static uint64_t shard_tail_bytes(struct qv__shard *s)
{
    uint64_t bytes = 0;
    struct qv__view *v = qv__shard_view(s);
    for (uint32_t i = 0; i < v->n; i++) {
        bytes += qv__segment_tail_bytes(v->segments[i]);
    }
    qv__view_release(v);
    return bytes;
}

uint64_t qv__pace_tail_bytes(struct qv__collection *c)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < c->n_shards; i++) {
        bytes += shard_tail_bytes(&c->shards[i]);
    }
    return bytes;
}

static uint64_t bound_of(struct qv__collection *c)
{
    struct qv__schema *schema = qv__collection_schema(c);
    uint64_t bound = schema->policy.tail_bytes;
    qv__schema_release(schema);
    return bound;
}

bool qv__pace_hold(struct qv__collection *c, struct qv__paced *p)
{
    struct qv__db *db = c->db; /* once it is in the line, p may be let go, and c with it */
    struct qv__shard *worst = NULL;
    uint64_t total = 0, most = 0;
    for (uint32_t i = 0; p->vectors && i < c->n_shards; i++) {
        uint64_t bytes = shard_tail_bytes(&c->shards[i]);
        total += bytes;
        if (bytes > most) {
            most = bytes;
            worst = &c->shards[i];
        }
    }
    if (!worst || total <= bound_of(c)) {
        return false;
    }
    p->next = NULL;
    p->since_ns = qv__mono_ns(db->clock);
    struct qv__pace *line = &worst->pace;
    qv__mutex_lock(&line->lock);
    bool held = line->is_running;
    if (held) {
        line->last_due = QV_MAX(line->last_due, line->taken) + 2 * p->vectors;
        p->due = line->last_due;
        if (line->last) {
            line->last->next = p;
        } else {
            line->first = p;
        }
        line->last = p;
    }
    qv__mutex_unlock(&line->lock);
    if (held) {
        qv__count(&db->paced, 1);
    }
    return held;
}

/* Submit the front of the line: what is due by now, as many more as have `room` vectors together
 * and one at least when there is room at all, or everybody at the end. */
static void let_go(struct qv__shard *s, uint64_t n_taken, uint64_t room, bool ends)
{
    struct qv__pace *line = &s->pace;
    uint64_t now = qv__mono_ns(s->collection->db->clock);
    struct qv__paced *gone = NULL, **end = &gone;
    qv__mutex_lock(&line->lock);
    line->taken += n_taken;
    while (line->first && (ends || room || line->first->due <= line->taken ||
                           now - line->first->since_ns >= QV__PACE_NS_MAX)) {
        room -= QV_MIN(room, line->first->vectors);
        *end = line->first;
        end = &line->first->next;
        line->first = *end;
    }
    *end = NULL;
    if (!line->first) {
        line->last = NULL;
        line->last_due = line->taken;
    }
    line->is_running = line->is_running && !ends;
    qv__mutex_unlock(&line->lock);
    while (gone) {
        struct qv__paced *p = gone;
        gone = p->next; /* afterwards it may be gone itself */
        qv__pool_submit(s->collection->db->pool, QV__LANE_WRITE, p->task);
    }
}

/* Vectors that the tail may grow by: so many writes go on at a time. All at once would put a
 * request of every connection into it. */
static uint64_t room_of(struct qv__collection *c)
{
    struct qv__schema *schema = qv__collection_schema(c);
    uint64_t bound = schema->policy.tail_bytes, tail = qv__pace_tail_bytes(c), stride = 1;
    for (uint32_t i = 0; i < schema->n_vectors; i++) {
        const struct qv__vector_def *d = &schema->vectors[i];
        stride = QV_MAX(stride, (uint64_t)qv__vector_bytes(d->datatype, d->dim));
    }
    qv__schema_release(schema);
    return tail > bound ? 0 : QV_MAX((bound - tail) / stride, (uint64_t)1);
}

static bool somebody_waits(struct qv__pace *line)
{
    qv__mutex_lock(&line->lock);
    bool waits = line->first != NULL;
    qv__mutex_unlock(&line->lock);
    return waits;
}

void qv__pace_begin(struct qv__shard *s)
{
    qv__mutex_lock(&s->pace.lock);
    s->pace.is_running = true;
    qv__mutex_unlock(&s->pace.lock);
}

void qv__pace_progress(struct qv__shard *s, uint64_t n)
{
    let_go(s, n, somebody_waits(&s->pace) ? room_of(s->collection) : 0, false);
}

void qv__pace_end(struct qv__shard *s)
{
    let_go(s, 0, 0, true);
}
