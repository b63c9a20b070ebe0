/* golden.h: opening a directory of this machine for the golden tests. */
#ifndef GOLDEN_H
#define GOLDEN_H

#include "content.h"
#include "os/io.h"

#define GOLDEN_POINTS 24u

static inline struct qv__db_options golden_options(struct qv__io *io)
{
    return (struct qv__db_options){.io = io, .threads = -1, .seed = 7, .log_file_bytes = 16u << 10};
}

#endif
