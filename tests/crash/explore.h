/* explore.h: all that a power cut may leave of a workload's disk, and whether a database opens on
 * it that the oracle can explain.
 *
 * What it is: the engine of crash_explore (explore_main.c). At the beginning of every sync the disk
 * is put aside with the two numbers of the oracle; then each way to lose a part of what is unsynced
 * is made into a disk, recovered and judged, each disk once. A part of the recoveries is explored
 * in the same way while it runs. What it is not: a sampler of time. The order of states is a
 * function of workload, seed and budget, so that a number finds one again. */
#ifndef EXPLORE_H
#define EXPLORE_H

#include "world.h"

struct explore_options {
    const char *program; /* for the command that replays */
    uint64_t budget;     /* disks made per sync, as long as they are not counted through before */
    uint64_t inner;      /* disks made per sync of a recovery that is explored */
    uint64_t inner_of;   /* one recovery of so many is explored */
    uint64_t only;       /* judge this state alone; 0 = all */
    double until;        /* CPU seconds after which no new sync is begun; 0 = none */
};

struct explore_totals {
    uint64_t syncs;        /* at which something was unsynced */
    uint64_t disks;        /* made */
    uint64_t states;       /* different ones, recovered and judged */
    uint64_t inner_states; /* of them: reached while recovering */
    uint64_t units_max;    /* unsynced changes at one sync */
};

/* Run a workload and explore it. A violation prints what is wrong and how to see it again, and ends
 * the process with 1. */
void explore(const struct workload *what, uint64_t seed, const struct explore_options *o,
             struct explore_totals *totals);

#endif
