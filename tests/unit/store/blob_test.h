/* blob_test.h: a blob store on the simulated disk: directories "blobs" and "tmp", as datadir makes.
 */
#ifndef QV_TESTS_BLOB_TEST_H
#define QV_TESTS_BLOB_TEST_H

#include "store/blob.h"
#include "store_test.h"

static inline void make_dirs(struct env *e)
{
    assert_ok(qv__io_mkdir(e->io, "blobs", ERR));
    assert_ok(qv__io_mkdir(e->io, "tmp", ERR));
    assert_ok(qv__io_sync_dir(e->io, "", ERR));
}

static inline struct qv__blobs *open_blobs(struct env *e)
{
    struct qv__blobs *b;
    assert_ok(qv__blobs_local_open(e->io, "blobs", "tmp", e->mem, &b, ERR));
    return b;
}

/* After a crash the store must be opened over the new disk. */
static inline struct qv__blobs *crash_blobs(struct env *e, struct qv__blobs *b,
                                            enum qv__sim_crash how, struct qv__rng *rng)
{
    b->ops->close(b);
    env_crash(e, how, rng);
    return open_blobs(e);
}

#endif
