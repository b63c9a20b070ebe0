/* staged.h: one file of the staging area, from creation to adoption.
 *
 * What it is: the few lines that every writer of a blob shares: a name in the staging directory, a
 * file that is removed when its writer gives up, sync and close before adoption.
 * What it is not: buffered. Threads: one at a time per object. */
#ifndef QV_STORE_STAGED_H
#define QV_STORE_STAGED_H

#include "store/blob.h"

struct qv__staged {
    struct qv__blobs *blobs; /* borrowed */
    struct qv__file *file;   /* NULL once closed */
    char name[QV__IO_NAME_MAX + 1];
};

/* Create `leaf` in the staging directory; what an earlier crash left there is replaced. */
qv_status qv__staged_create(struct qv__blobs *blobs, const char *leaf, struct qv__staged *out,
                            struct qv_err *err) QV_MUST_USE;
/* Sync, close and adopt as `name`. The staged file is gone afterwards, on failure too. */
qv_status qv__staged_adopt(struct qv__staged *s, const char *name, struct qv_err *err) QV_MUST_USE;
/* Close and remove. No-op on a zeroed one. */
void qv__staged_abort(struct qv__staged *s);

#endif
