/* dump.h: what the files of a data directory say, item by item, damaged ones as far as they go.
 *
 * What it is: a reader of CURRENT, manifests, catalog, log records and segment heads that hands
 * each out as one JSON object, for `quiver dump`. It opens nothing as a database, needs no lock,
 * repairs and writes nothing; a file that cannot be read is an item too, and the next one follows.
 * What it is not: a check (check.c) or an export: nothing here says that a value is right.
 *
 * Threads: one per call. */
#ifndef QV_ENGINE_DUMP_H
#define QV_ENGINE_DUMP_H

#include "base/buf.h"
#include "os/io.h"

struct qv__dump_options {
    bool log, manifest, segments; /* none of them: all */
    uint64_t segment_id;          /* this one only; 0 = all */
    uint64_t from_lsn;            /* records from here on */
    uint64_t limit;               /* at most so many records; 0 = all */
};

/* `item` gets one JSON object at a time, borrowed for the call; its member "item" says what it is.
 * Errors: QV_ENOMEM, QV_EIO of a directory, QV_ENOTFOUND when the segment asked for is not there.
 */
qv_status qv__db_dump(struct qv__io *io, struct qv__mem *mem, const struct qv__dump_options *o,
                      void (*item)(void *arg, struct qv__str json), void *arg,
                      struct qv_err *err) QV_MUST_USE;

#endif
