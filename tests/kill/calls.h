/* calls.h: the system calls by which a database changes its files, counted and interfered with.
 *
 * What it is: wrappers that the linker puts before the C library's functions (--wrap), so that the
 * real POSIX backend runs unchanged: each call that writes, syncs, makes, renames, links, removes
 * or resizes is counted, and at the n-th of those chosen the process is killed, or the call fails.
 * What it is not: aware of who calls, or thread-safe: for processes of one thread. */
#ifndef CALLS_H
#define CALLS_H

#include <stdbool.h>
#include <stdint.h>

enum calls_kind {
    CALLS_WRITE = 1,    /* pwrite */
    CALLS_ZERO = 2,     /* pwritev: the zeros of a new log file */
    CALLS_SYNC = 4,     /* fsync */
    CALLS_DATASYNC = 8, /* fdatasync */
    CALLS_CREATE = 16,  /* open with O_CREAT */
    CALLS_RENAME = 32,
    CALLS_LINK = 64,
    CALLS_UNLINK = 128, /* and rmdir */
    CALLS_MKDIR = 256,
    CALLS_TRUNCATE = 512,
    CALLS_ALLOCATE = 1024, /* fallocate */
    CALLS_KINDS = 11
};
#define CALLS_ANY 0x7FFu
#define CALLS_SPACE                                                                                \
    (CALLS_WRITE | CALLS_ZERO | CALLS_CREATE | CALLS_RENAME | CALLS_LINK | CALLS_MKDIR |           \
     CALLS_ALLOCATE)

enum calls_deed {
    CALLS_COUNT = 0,
    CALLS_KILL, /* die before the call */
    CALLS_TEAR, /* die after half of it: of a write half the bytes; of other calls, all */
    CALLS_FAIL  /* the call fails with `error` */
};

struct calls_plan {
    enum calls_deed deed;
    unsigned kinds;   /* of which calls the n-th is meant */
    uint64_t at;      /* 1 = the first */
    uint64_t lasting; /* FAIL: so many calls of these kinds fail; 0 = one */
    int error;
};

/* Begin to count from 0 under this plan. */
void calls_arm(const struct calls_plan *plan);
/* Calls of the chosen kinds so far. */
uint64_t calls_seen(void);
/* Calls that failed because of the plan. */
uint64_t calls_failed(void);
/* Count of one kind, and its name. */
uint64_t calls_of(unsigned index);
const char *calls_name(unsigned index);

#endif
