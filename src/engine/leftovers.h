/* leftovers.h: names of blobs that nobody needs and that are still there.
 *
 * What it is: a list of files whose removal failed, or has to wait because the manifest that let go
 * of them could not be written. They are tried again after the next manifest. What it is not:
 * durable; a start finds by itself what its manifest does not name.
 * Threads: any. Locks: its own (rank JOBS); no file is touched under it. */
#ifndef QV_ENGINE_LEFTOVERS_H
#define QV_ENGINE_LEFTOVERS_H

#include "base/buf.h"
#include "base/logger.h"
#include "base/thread.h"
#include "store/blob.h"

#define QV__LEFTOVER_NAME 64u /* bytes of a name in the list, its NUL included */

struct qv__leftovers {
    struct qv__mutex lock;
    struct qv__buf names;   /* QV__LEFTOVER_NAME each; guarded by: lock */
    _Atomic uint32_t count; /* names in it */
};

void qv__leftovers_init(struct qv__leftovers *l, struct qv__mem *mem);
void qv__leftovers_free(struct qv__leftovers *l);
/* Remove a blob that no manifest names; when that fails, remember it. l: NULL = nobody does. */
qv_status qv__leftovers_remove(struct qv__leftovers *l, struct qv__blobs *blobs, const char *name,
                               struct qv_err *err);
/* Remember a blob. One that the live manifest may name: under the lock of manifest commits. Without
 * memory it stays until the next start. */
void qv__leftovers_add(struct qv__leftovers *l, const char *name);
/* After a manifest: try all of them again. Under the lock of manifest commits. */
void qv__leftovers_retry(struct qv__leftovers *l, struct qv__blobs *blobs);
bool qv__leftovers_any(struct qv__leftovers *l);

#endif
