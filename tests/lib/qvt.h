/* qvt.h: what integration tests share: a database in a fresh directory, with the segment policy
 * that the environment asks for, so that the whole suite can be run with tiny segments and several
 * shards: QVT_SHARDS=3 QVT_SEAL_ROWS=64 QVT_MERGE_FANIN=2 */
#ifndef QVT_H
#define QVT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quiver/quiver.h"

static inline uint32_t qvt_number(const char *name)
{
    const char *text = getenv(name);
    return text ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

static inline struct qv_options qvt_options(void)
{
    struct qv_options o = QV_OPTIONS_INIT;
    o.shards = qvt_number("QVT_SHARDS");
    o.seal_rows = qvt_number("QVT_SEAL_ROWS");
    o.merge_fanin = qvt_number("QVT_MERGE_FANIN");
    return o;
}

/* A fresh directory under TMPDIR; `path` has room for 256 bytes. */
static inline void qvt_temp_dir(char *path)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(path, 256, "%s/quiver-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(path)) {
        perror(path);
        exit(1);
    }
}

static inline void qvt_remove_dir(const char *path)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    if (system(command) != 0) {
        fprintf(stderr, "cannot remove %s\n", path);
    }
}

#endif
