/* blob.h: immutable objects by name: seam between segments and where their bytes live.
 *
 * What it is: put-if-absent, map, head, list, remove. The local implementation is one directory of
 * files; an object store stands behind the same table later, with local disk as its verified cache.
 * What it is not: mutable. A name is written once; its bytes never change.
 * Threads: any. */
#ifndef QV_STORE_BLOB_H
#define QV_STORE_BLOB_H

#include "os/io.h"

struct qv__blobs;
struct qv__blobs_ops {
    /* Publish a finished, synced file of the staging area under `name`: QV_EEXISTS if present. Durable on return. */
    qv_status (*adopt)(struct qv__blobs *, const char *staged, const char *name, struct qv_err *);
    qv_status (*map)(struct qv__blobs *, const char *name, struct qv__map_view *out, struct qv_err *);
    void (*unmap)(struct qv__blobs *, struct qv__map_view *);
    qv_status (*head)(struct qv__blobs *, const char *name, uint64_t *size, struct qv_err *); /* QV_ENOTFOUND */
    qv_status (*list)(struct qv__blobs *, void (*cb)(void *, const char *name), void *arg, struct qv_err *);
    qv_status (*remove)(struct qv__blobs *, const char *name, struct qv_err *); /* absent is QV_OK */
    /* Give the bytes of a blob a second name, `path` of the staging io: a hard link, or a copy where there are none.
     * The bytes are durable; the name is so once its directory was synced. QV_EEXISTS, QV_ENOTFOUND. */
    qv_status (*lend)(struct qv__blobs *, const char *name, const char *path, struct qv_err *);
    void (*close)(struct qv__blobs *);
};
/* First member of every implementation's object. */
struct qv__blobs {
    const struct qv__blobs_ops *ops;
    struct qv__io *staging_io;  /* where new files are written before adopt */
    const char *staging_dir;
};

/* Files of directory `dir`; staged files live in `staging_dir` of the same io. Both must exist. */
qv_status qv__blobs_local_open(struct qv__io *io, const char *dir, const char *staging_dir,
                               struct qv__mem *mem, struct qv__blobs **out, struct qv_err *err) QV_MUST_USE;

#endif
