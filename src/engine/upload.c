/* upload.c: files of clients that wait to be recovered from: in tmp/, under names of ours. */
#include <stdio.h>

#include "engine/snapshot_impl.h"

qv_status qv__upload_store(struct qv__db *db, const struct qv__bytes *pieces, size_t n,
                           char name[64], uint64_t *bytes, struct qv_err *err)
{
    struct qv__file *f = NULL;
    QV_TRY(qv__catalog_writable(db, err));
    snprintf(name, 64, QV__DIR_TMP "/upload-%016" PRIx64, atomic_fetch_add(&db->next_file_id, 1));
    QV_TRY(qv__io_open(db->io, name, QV__OPEN_CREATE | QV__OPEN_EXCL, &f, err));
    qv_status st = QV_OK;
    *bytes = 0;
    for (size_t i = 0; st == QV_OK && i < n; i++) {
        if (pieces[i].n) {
            st = qv__io_pwrite(f, pieces[i].p, pieces[i].n, *bytes, err);
            *bytes += pieces[i].n;
        }
    }
    qv_status closed = qv__io_file_close(f, st == QV_OK ? err : NULL);
    st = st == QV_OK ? closed : st;
    if (st != QV_OK) {
        qv__upload_remove(db, name);
    }
    return st;
}

qv_status qv__upload_read(struct qv__db *db, const char *name, uint64_t at, void *buf, size_t n,
                          struct qv_err *err)
{
    struct qv__file *f = NULL;
    QV_TRY(qv__io_open(db->io, name, QV__OPEN_READ, &f, err));
    qv_status st = qv__io_pread(f, buf, n, at, err);
    qv__io_file_close(f, NULL); /* nothing was written */
    return st;
}

void qv__upload_remove(struct qv__db *db, const char *name)
{
    struct qv_err err;
    if (qv__io_unlink(db->io, name, &err) != QV_OK) {
        qv__log_line(db->logger, QV__LEVEL_WARN, "snapshot", "%s stays until the next open: %s",
                     name, err.message);
    }
}
