/* stage.h: resolving the mutations of one request to effects.
 *
 * What it is: the points a request touches, in the state they have after the mutations so far. Each
 * is loaded once from the newest applied row, changed in memory, and becomes at most one effect, so
 * that the log holds results and never predicates. What it is not: visible to anyone; it lives for
 * one request, under the shards' write order. */
#ifndef QV_ENGINE_STAGE_H
#define QV_ENGINE_STAGE_H

#include "engine/collection.h"

/* What the edits of one request may write, which is rarely in the request itself: payloads as they
 * become, and vectors that are only written again. It all becomes one record of the log. */
#define QV__REQUEST_BYTES_MAX ((uint64_t)256 << 20)

struct qv__staged {
    struct qv__id id;
    uint32_t shard;
    bool existed;         /* a row of it is there, perhaps an expired one */
    bool exists;          /* as the mutations so far left it */
    bool touched;         /* by a mutation, not just looked at */
    bool vectors_changed; /* or the expiry: it takes a whole PUT */
    uint64_t selection;   /* the last one it was put into */
    uint64_t version;     /* before this request; 0 = there was no such point */
    const void **vectors; /* [n_vectors], NULL = absent; borrowed from a segment or the arena */
    struct qv__bytes payload;
    int64_t expires_ms;
};

struct qv__stage {
    struct qv__collection *collection;
    struct qv__schema *schema;
    struct qv__arena *arena;
    struct qv__qctx *ctx;
    struct qv__steps steps;     /* of conditions on staged points, and of edits */
    int64_t now_ms;             /* of the request: what expired by then is absent */
    uint64_t bytes;             /* written by edits so far: QV__REQUEST_BYTES_MAX at most */
    uint64_t selections;        /* made so far */
    struct qv__map map;         /* id -> staged */
    struct qv__staged **points; /* in order of first touch */
    size_t n, cap;
};

void qv__stage_init(struct qv__stage *st, struct qv__collection *c, struct qv__schema *schema,
                    struct qv__arena *arena, struct qv__qctx *ctx);
void qv__stage_free(struct qv__stage *st);

/* Check one mutation against the schema and normalise its vectors, before any lock: `out` is a copy
 * with vectors in the arena and the collection's default expiry filled in. Errors name the point's
 * position, the vector, the value and the limit.
 */
qv_status qv__stage_check(const struct qv__schema *schema, const struct qv__simd *simd,
                          int64_t now_ms, struct qv__arena *arena, const struct qv__mutation *m,
                          struct qv__mutation *out, struct qv_err *err) QV_MUST_USE;
/* Apply one checked mutation to the stage. Under the write order of every shard it may touch. */
qv_status qv__stage_apply(struct qv__stage *st, const struct qv__mutation *m,
                          struct qv_err *err) QV_MUST_USE;
/* Effects per shard: lists[shard], counts[shard]; made in the arena. */
qv_status qv__stage_effects(struct qv__stage *st, struct qv__effect ***lists, size_t **counts,
                            struct qv_err *err) QV_MUST_USE;

#endif
