/* leftovers.c: see leftovers.h. */
#include "engine/leftovers.h"

#include <stdatomic.h>

void qv__leftovers_init(struct qv__leftovers *l, struct qv__mem *mem)
{
    qv__mutex_init(&l->lock, QV__RANK_JOBS);
    qv__buf_init(&l->names, mem);
    atomic_init(&l->count, 0);
}

void qv__leftovers_free(struct qv__leftovers *l)
{
    qv__buf_free(&l->names);
    qv__mutex_destroy(&l->lock);
}

void qv__leftovers_add(struct qv__leftovers *l, const char *name)
{
    char entry[QV__LEFTOVER_NAME] = {0};
    size_t n = strnlen(name, sizeof entry - 1);
    memcpy(entry, name, n);
    qv__mutex_lock(&l->lock);
    qv__buf_put(&l->names, entry, sizeof entry);
    if (l->names.failed) {
        l->names.failed = false; /* those before it are whole */
    } else {
        atomic_fetch_add(&l->count, 1);
    }
    qv__mutex_unlock(&l->lock);
}

qv_status qv__leftovers_remove(struct qv__leftovers *l, struct qv__blobs *blobs, const char *name,
                               struct qv_err *err)
{
    qv_status st = blobs->ops->remove(blobs, name, err);
    if (st != QV_OK && l) {
        qv__leftovers_add(l, name);
    }
    return st;
}

void qv__leftovers_retry(struct qv__leftovers *l, struct qv__blobs *blobs)
{
    struct qv_err ignored;
    qv__mutex_lock(&l->lock);
    struct qv__buf names = l->names;
    qv__buf_init(&l->names, names.mem);
    atomic_store(&l->count, 0);
    qv__mutex_unlock(&l->lock);
    for (size_t at = 0; at < names.n; at += QV__LEFTOVER_NAME) {
        (void)!qv__leftovers_remove(l, blobs, (const char *)names.p + at, &ignored);
    }
    qv__buf_free(&names);
}

bool qv__leftovers_any(struct qv__leftovers *l)
{
    return atomic_load(&l->count) > 0;
}
