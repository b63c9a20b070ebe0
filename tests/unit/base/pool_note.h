/* pool_note.h: tasks that write down in which order they ran. */
#ifndef QV_TEST_POOL_NOTE_H
#define QV_TEST_POOL_NOTE_H

#include <string.h>

#include "base/pool.h"

struct noted {
    struct qv__task task;
    char mark;
    char *out;
};

static inline void note(struct qv__task *task)
{
    struct noted *n = QV_CONTAINER_OF(task, struct noted, task);
    size_t len = strlen(n->out);
    n->out[len] = n->mark;
    n->out[len + 1] = 0;
}

#endif
