/* progress.h: how far a long command has come, on standard error.
 *
 * What it is: a bar with rate and remaining time that is redrawn on a terminal; elsewhere (a log, a
 * pipe) a plain line every few seconds. Threads: one at a time. */
#ifndef QV_CLI_PROGRESS_H
#define QV_CLI_PROGRESS_H

#include "cli/cli.h"

struct qv__progress {
    struct qv__cli *cli;
    const char *label; /* "loading" */
    const char *unit;  /* "points" */
    bool quiet;
    uint64_t start_ns, drawn_ns;
    uint64_t count; /* units done */
    double share;   /* 0..1; below 0 = unknown */
    bool drawn;     /* a bar stands on the line */
};

void qv__progress_start(struct qv__progress *p, struct qv__cli *cli, const char *label,
                        const char *unit, bool quiet);
/* Cheap: draws only when it is time to. share below 0: not known. */
void qv__progress_at(struct qv__progress *p, uint64_t count, double share);
/* Take the bar away, so that messages can be printed. Safe when there is none. */
void qv__progress_clear(struct qv__progress *p);
double qv__progress_seconds(const struct qv__progress *p);

#endif
