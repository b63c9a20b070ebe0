/* staged.c: files on their way to become blobs.
 *
 * A staged file has no durable name: what a crash leaves of it is removed at the next open. Its
 * bytes are durable before it is adopted. No locks, no memory. */
#include "store/staged.h"
#include "base/plant.h"

#include <stdio.h>

qv_status qv__staged_create(struct qv__blobs *blobs, const char *leaf, struct qv__staged *out,
                            struct qv_err *err)
{
    struct qv__staged s = {.blobs = blobs};
    const char *dir = blobs->staging_dir;
    int n = snprintf(s.name, sizeof s.name, "%s%s%s", dir, *dir ? "/" : "", leaf);
    if (n < 0 || (size_t)n >= sizeof s.name) {
        return qv__fail(err, QV_EINVAL, "staging area: the name of %s is too long", leaf);
    }
    QV_TRY(qv__io_open(blobs->staging_io, s.name, QV__OPEN_CREATE | QV__OPEN_TRUNC, &s.file, err));
    *out = s;
    return QV_OK;
}

void qv__staged_abort(struct qv__staged *s)
{
    if (!s->blobs) {
        return;
    }
    qv__io_file_close(s->file, NULL);
    qv_status ignored = qv__io_unlink(s->blobs->staging_io, s->name, NULL);
    (void)ignored; /* what stays is removed at the next open */
    *s = (struct qv__staged){0};
}

qv_status qv__staged_adopt(struct qv__staged *s, const char *name, struct qv_err *err)
{
    qv_status st = QV_PLANT(name_before_sync) ? QV_OK : qv__io_sync(s->file, false, err);
    qv_status closed = qv__io_file_close(s->file, st == QV_OK ? err : NULL);
    s->file = NULL;
    st = st == QV_OK ? closed : st;
    if (st == QV_OK) {
        st = s->blobs->ops->adopt(s->blobs, s->name, name, err);
    }
    if (st != QV_OK) {
        qv__staged_abort(s);
    }
    *s = (struct qv__staged){0};
    return st;
}
