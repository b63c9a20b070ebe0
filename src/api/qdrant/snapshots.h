/* snapshots.h: what the files of the snapshot routes share.
 *
 * What it is: jobs, which run on a worker while the client waits or after it was answered, and the
 * form of an upload.
 * What it is not: the making of snapshots; see engine/snapshot.h. */
#ifndef QV_API_QDRANT_SNAPSHOTS_H
#define QV_API_QDRANT_SNAPSHOTS_H

#include "api/qdrant/qdrant.h"
#include "engine/snapshot.h"

/* One piece of work, with everything it needs: the request may be gone when it runs. */
struct qv__qd_job {
    enum { QV__QD_CREATE, QV__QD_DELETE, QV__QD_RECOVER } kind;
    char collection[QV__COLLECTION_NAME_MAX + 1]; /* "" = the whole database */
    uint64_t id;                                  /* DELETE, RECOVER */
    char file[64];                                /* RECOVER with id 0: removed afterwards */
    uint64_t offset, bytes;
    bool has_sha256;
    uint8_t sha256[QV__SHA256_BYTES];
};

/* Do it while the client waits (here if it is short, or this is where jobs run; else as the call's
 * rest) and write the result, or, with wait=false, answer 202 and do it on a worker. Takes over the
 * job's file. */
qv_status qv__qd_job_run(struct qv__call *c, const struct qv__qd_job *job) QV_MUST_USE;
/* {name, creation_time, size, checksum} */
void qv__qd_snapshot_write(struct qv__jw *w, const struct qv__snapshot_info *info);
/* The collection of the path, and, on a route of a shard, whether the shard is all of it. */
qv_status qv__qd_snapshot_collection(struct qv__call *c, bool must_exist,
                                     struct qv__str *out) QV_MUST_USE;

/* Where the bytes of field `name` lie in a form of `bytes` bytes in a file. */
qv_status qv__qd_multipart_field(struct qv__call *c, const char *file, uint64_t bytes,
                                 const char *name, uint64_t *offset, uint64_t *n) QV_MUST_USE;

#endif
