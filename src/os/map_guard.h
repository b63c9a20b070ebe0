/* map_guard.h: a mapped file that cannot be read becomes a flag instead of the end of the process.
 *
 * What it is: a list of the mappings of this process that are ours, and a handler for SIGBUS, which
 * the kernel raises where a mapped page is gone (the file was cut short) or cannot be read (the
 * disk failed). A fault in one of ours raises its flag and puts zeros in its place, so that whoever
 * was reading runs on, in bounds, and finds the flag when it is done. Nobody is thrown out of the
 * middle of a function: locks and memory stay in order. Everything else, faults of others and
 * signals that were sent, goes to the handler that was there before.
 * What it is not: a way to notice bytes that changed; those are the business of checksums.
 *
 * The handler is there while mappings are, and only then; this is the one process-wide state of
 * the library. An embedder that sets a handler of its own later must call the one it found.
 * Threads: any. A thread must not block SIGBUS while it reads a mapping. */
#ifndef QV_OS_MAP_GUARD_H
#define QV_OS_MAP_GUARD_H

#include "base/base.h"

#include <stdatomic.h>

/* One mapping, whole pages. Owned by the caller, alive from add to remove. */
struct qv__map_region {
    uint8_t *base;       /* immutable while listed */
    size_t n;            /* immutable while listed */
    _Atomic bool failed; /* raised once, before any byte turns to zero */
    struct qv__map_region *_Atomic next;
};

void qv__map_guard_add(struct qv__map_region *r, void *base, size_t n);
/* Before munmap: from then on the range is nobody's. */
void qv__map_guard_remove(struct qv__map_region *r);

#endif
