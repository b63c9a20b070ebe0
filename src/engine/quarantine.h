/* quarantine.h: what happens to a collection whose stored data are damaged.
 *
 * What it is: the state a collection enters when one of its files, or a log record of its own, does
 * not stand up to validation at start, or when a mapped file fails under a reader. Every read and
 * write of it is then refused with QV_EQUARANTINED, naming the file and what it held; nothing of it
 * is changed or removed: each manifest goes on naming its files, and its flushed LSN stays where it
 * was, so the log keeps its records. The other collections serve on. It ends with the collection
 * being dropped, or with a start that finds the files whole.
 * What it is not: a repair, or a way to serve what is left: an answer without the damaged part
 * would be a wrong answer that looks like a right one.
 *
 * Threads: any. */
#ifndef QV_ENGINE_QUARANTINE_H
#define QV_ENGINE_QUARANTINE_H

#include "engine/collection.h"

/* True for errors that say "these bytes are not what was written", not "there is no memory". */
bool qv__quarantine_is_damage(qv_status st);
/* Enter quarantine, or note one more damage. `why` names the file; `rows` is what it held, at most
 * (0 = not known). */
void qv__quarantine_enter(struct qv__collection *c, const struct qv_err *why, uint64_t rows);
/* QV_EQUARANTINED with the reason, or QV_OK. */
qv_status qv__quarantine_check(struct qv__collection *c, struct qv_err *err) QV_MUST_USE;
/* At start: keep what the manifest says of this shard, to be written into each later one. */
qv_status qv__quarantine_hold(struct qv__shard *s, const struct qv__manifest_shard *m,
                              struct qv_err *err) QV_MUST_USE;
/* The collection is gone for good: remove the files that were held. */
void qv__quarantine_remove_held(struct qv__shard *s);

#endif
