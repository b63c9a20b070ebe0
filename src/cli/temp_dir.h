/* temp_dir.h: a directory for one run, removed with all it holds at the end.
 * Threads: one at a time, save that remove may be called from another thread on the way out. */
#ifndef QV_CLI_TEMP_DIR_H
#define QV_CLI_TEMP_DIR_H

#include "os/io.h"

struct qv__temp_dir {
    char path[1024];
    struct qv__io *io; /* of its parent */
    char name[32];     /* "" = none was made */
};

/* Makes PREFIX-0123456789abcdef under $TMPDIR, else /tmp. */
qv_status qv__temp_dir_make(struct qv__temp_dir *t, struct qv__mem *mem, const char *prefix,
                            struct qv_err *err) QV_MUST_USE;
/* Safe on a zeroed one, and twice. What cannot be removed stays. */
void qv__temp_dir_remove(struct qv__temp_dir *t);

#endif
