/* corruption.h: an image of a database, damage to it, and the verdict on what comes of it.
 *
 * What it is: a database with one of everything (tests/lib/content.h) on the simulated file system,
 * left as kill -9 leaves it; the state that each prefix of its log gives; copies of the image to
 * damage; and the one rule all tests of this folder apply: after damage an open must either say so,
 * naming the file, or give exactly the state that was.
 * What it is not: aware of formats, but for where the records of the log lie.
 *
 * Threads: one. */
#ifndef CORRUPTION_H
#define CORRUPTION_H

#include "content.h"
#include "os/io_sim.h"
#include "store/manifest.h"

#define NAMES_MAX 8u
#define FILES_MAX 256u
#define STEPS_MAX 256u

/* What a database says of itself. */
struct state {
    uint64_t names; /* of collections and aliases */
    unsigned n;
    struct {
        char name[32];
        uint64_t hash;
        bool quarantined;
        char why[504];
    } c[NAMES_MAX];
};

struct image_file {
    char name[96];
    uint64_t bytes;
};

/* One record of the log, or the mark behind the last (lsn = the next one). */
struct place {
    uint64_t lsn;
    char file[96];
    uint64_t off, end;
};

struct image {
    struct qv__mem *mem;
    struct qv__io *io;       /* pristine */
    struct qv__io *early[3]; /* earlier states of the same directory */
    uint64_t log_file_bytes;
    struct state state;
    struct image_file files[FILES_MAX];
    unsigned n_files;
    struct qv__arena arena;
    struct qv__manifest manifest;
    /* States by LSN, from the last flushed record on. */
    struct {
        uint64_t lsn;
        struct state state;
    } steps[STEPS_MAX];
    unsigned n_steps;
    struct place places[STEPS_MAX + 1];
    unsigned n_places;
};

/* n points per collection; log files of that size. Fails the test on any error. */
void image_make(struct image *im, unsigned n, uint64_t log_file_bytes);
void image_free(struct image *im);
/* A copy to damage. */
struct qv__io *image_copy(const struct image *im);
bool image_is_live(const struct image *im, const char *name);

/* Damaged bytes [from, to) of one file; all of it: 0, UINT64_MAX. */
struct damage {
    const char *file;
    uint64_t from, to;
};

enum verdict {
    DETECTED, /* refused or quarantined, and the file is named */
    HARMLESS, /* exactly the state that was */
    CUT, /* a tail of the log that nothing is left to vouch for (LOG.md, "What cannot be told") */
    WRONG
};
struct counts {
    uint64_t n[4];
};

/* Open the damaged copy, read everything, judge. `why` tells what is wrong. With `write` the
 * database is then closed with a checkpoint and opened again: the verdict must hold. */
enum verdict judge(const struct image *im, struct qv__io *io, const struct damage *d, size_t n,
                   bool write, char why[600]);

/* Numbers from the environment. */
uint64_t number_of(const char *name, uint64_t fallback);
/* True when this build is slow on purpose (sanitizers). */
bool is_sanitized(void);

#endif
