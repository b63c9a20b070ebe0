/* maintain.h: what the maintain*.c files share: the steps of background work on one shard.
 *
 * What it is: one function per step (index, seal, merge), each leaving the shard whole, so that a
 * task, a request to optimize and a test that steps can all drive them. What it is not: visible
 * outside engine/; what others call stands in collection.h. */
#ifndef QV_ENGINE_MAINTAIN_H
#define QV_ENGINE_MAINTAIN_H

#include "engine/collection.h"

/* True once work on the collection should end early: it is dropped, or the database closes. */
bool qv__maintain_stopping(const struct qv__collection *c);

/* One of the merges that may run at once; false: so many do. */
bool qv__merge_enter(struct qv__db *db);
/* Leave, and call one that waits. */
void qv__merge_leave(struct qv__db *db);
/* Seal what grows, then merge into at most max_segments, for whoever asked (NULL = nobody). */
qv_status qv__maintain_optimize(struct qv__shard *s, uint32_t max_segments,
                                const struct qv__qctx *asked, struct qv_err *err) QV_MUST_USE;

/* After a job was cancelled by hand: let the shard start nothing for a while. */
void qv__maintain_pause(struct qv__shard *s, const struct qv__job *j);

/* Replace the shard's list of segments by a copy with every `from[i]` replaced by to[i] (NULL =
 * left out). Under write. */
qv_status qv__maintain_switch(struct qv__shard *s, struct qv__segment *const *from,
                              struct qv__segment *const *to, size_t n,
                              struct qv_err *err) QV_MUST_USE;

/* --- maintain_index.c --- */

/* True if a growing segment of the view has published rows that are due for a graph. */
bool qv__maintain_index_due(const struct qv__view *v);
/* Bring the graphs of those up to date that take no more rows: an end in sight under any load. */
qv_status qv__maintain_index_frozen(struct qv__shard *s, struct qv_err *err) QV_MUST_USE;
/* Bring the graphs of growing segments up to the published rows, until nothing is owed. */
qv_status qv__maintain_index(struct qv__shard *s, struct qv_err *err) QV_MUST_USE;

/* --- maintain_fields.c --- */

/* Have them made, dropped or brought up, if that is due (maintain.c). */
void qv__maintain_look_at_fields(struct qv__shard *s, const struct qv__view *v);
/* True if payload indexes are to be made, dropped, or brought up to the rows there are. */
bool qv__maintain_fields_due(struct qv__shard *s, const struct qv__view *v);
/* Do it for all segments, until nothing is left. One at a time per shard. */
qv_status qv__maintain_fields(struct qv__shard *s, struct qv_err *err) QV_MUST_USE;

/* A task that indexed the shard has found nothing more: let writers go, and queue another if rows
 * were published since it looked. */
void qv__maintain_index_end(struct qv__shard *s);

/* --- maintain_seal.c --- */

/* True if the view holds a growing segment that takes no more rows. */
bool qv__maintain_seal_due(const struct qv__view *v);

/* --- maintain_merge.c --- */

/* True if a flush would let dead rows be dropped, or what grows be indexed as is asked now. */
bool qv__maintain_reclaim_due(struct qv__shard *s, const struct qv__view *v);
bool qv__maintain_merge_due(struct qv__shard *s, const struct qv__view *v);
/* Merge one group. max 0: by the policy; else towards at most max sealed segments, for whoever
 * asked (NULL = nobody waits). *did false when there was nothing to do. Under merging. */
qv_status qv__maintain_merge(struct qv__shard *s, uint32_t max, const struct qv__qctx *asked,
                             bool *did, struct qv_err *err) QV_MUST_USE;

#endif
