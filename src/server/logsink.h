/* logsink.h: log lines to a descriptor, for a server's standard error.
 *
 * What it is: the sink behind a qv__logger: one line per call, as text
 * ("2026-01-31T12:00:00.000Z info server: message") or as a JSON object with the keys time, level,
 * component and message, written by one system call, so that lines of several threads never mix.
 * What it is not: rotation, files or buffering. Threads: any. Memory: the stack. */
#ifndef QV_SERVER_LOGSINK_H
#define QV_SERVER_LOGSINK_H

#include "base/clock.h"
#include "server/config.h"

struct qv__logsink {
    int fd;
    enum qv__log_format format;
    const struct qv__clock *clock;
};

/* A logger that writes to `sink`, which is borrowed as long as the logger is used. */
struct qv__logger qv__logsink_logger(struct qv__logsink *sink, enum qv__level min_level);

#endif
