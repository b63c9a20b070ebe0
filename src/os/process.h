/* process.h: what the kernel says of this process.
 *
 * What it is: figures for whoever watches it. What it is not: accounts of memory (base/alloc.h).
 * Threads: any. What the kernel does not tell is 0. */
#ifndef QV_OS_PROCESS_H
#define QV_OS_PROCESS_H

#include "base/base.h"

struct qv__process {
    uint64_t threads;
    uint64_t maps, maps_max; /* mappings of memory; the limit of the system for one process */
    uint64_t fds, fds_max;   /* open descriptors; the process's limit */
    uint64_t minor_faults, major_faults; /* since its start, of ended children too */
    uint64_t resident_bytes, virtual_bytes;
};
void qv__process_read(struct qv__process *out);

#endif
