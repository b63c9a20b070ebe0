/* io_sim.h: an in-memory file system that loses what a real one may lose.
 *
 * What it is: files hold synced bytes and a list of unsynced writes; directories hold synced and
 * unsynced entries. A crash keeps the synced state plus a chosen part of the rest. Faults: the n-th
 * call fails (once or for ever), sync takes time, space is limited. It is harsher than most disks:
 * the two halves of a rename are lost or kept on their own, a synced file without a synced name is
 * gone, and what a failed sync was to save is not saved by a later one that succeeds.
 * What it is not: fast for gigabytes, or a POSIX emulation beyond io.h. A mapping is a copy.
 * Threads: any, as io.h says; the functions below too. */
#ifndef QV_OS_IO_SIM_H
#define QV_OS_IO_SIM_H

#include "base/rng.h"
#include "os/io.h"

enum qv__sim_call {
    QV__SIM_ANY = 0,
    QV__SIM_OPEN,  /* open, lock */
    QV__SIM_READ,  /* pread, map, size, list, free_space */
    QV__SIM_WRITE, /* pwrite */
    QV__SIM_SYNC,  /* sync */
    QV__SIM_META /* rename, link, unlink, mkdir, rmdir, sync_dir, truncate, allocate, and the close
                    of a file that is open for writing */
};

struct qv__sim_fault {
    enum qv__sim_call call;
    uint64_t at;      /* the at-th matching call from now fails; 1 = the next; 0 = off */
    bool sticky;      /* all later matching calls fail too */
    qv_status status; /* QV_EIO, QV_ENOSPC, …; QV_OK means QV_EIO */
    bool partial;     /* WRITE: half of the bytes are written before the error */
};

qv_status qv__io_sim_open(struct qv__mem *mem, struct qv__io **out, struct qv_err *err) QV_MUST_USE;
/* Set the one fault (replaces the last one). A call that fails changes nothing, but for `partial`.
 * A sync that fails dooms the unsynced bytes of its file: no later sync makes them durable. */
void qv__io_sim_fault(struct qv__io *io, struct qv__sim_fault fault);
/* Calls of one kind made so far (to enumerate fault points). */
uint64_t qv__io_sim_calls(struct qv__io *io, enum qv__sim_call call);
/* Every sync of a file sleeps this long (real time), as a slow disk does. Other calls go on
 * meanwhile; what they write after the sync began is not part of it. */
void qv__io_sim_sync_delay(struct qv__io *io, uint64_t ns);
/* Total bytes of all files may not pass this; 0 = unlimited. A write that does not fit stores what
 * does and fails with QV_ENOSPC; bytes inside a file can always be overwritten. */
void qv__io_sim_space(struct qv__io *io, uint64_t bytes);

enum qv__sim_crash {
    QV__CRASH_KEEP_ALL, /* kill -9: the page cache survives, and is as unsynced as it was */
    QV__CRASH_DROP_ALL, /* power cut: only synced bytes and synced names survive */
    QV__CRASH_RANDOM    /* each unsynced write is kept, dropped or torn at 512 bytes, each unsynced
                           name kept or dropped, by rng */
};
/* A new file system holding what would be found after a crash now; the old one is untouched, its
 * open files, locks and mappings stay valid. Space limit and sync delay are properties of the disk
 * and are taken over; faults and counters are not. The same state and the same rng give the same
 * result. rng: needed for QV__CRASH_RANDOM only, else NULL. *out: owned, closed with qv__io_close.
 */
qv_status qv__io_sim_crash(struct qv__io *io, enum qv__sim_crash how, struct qv__rng *rng,
                           struct qv__io **out, struct qv_err *err) QV_MUST_USE;

/* Damage a stored byte: flip bit 0..7 of it in the current, the synced and the unsynced bytes
 * alike. Errors: QV_ENOTFOUND, QV_EINVAL (past the end, or a directory), QV_ENOMEM. */
qv_status qv__io_sim_flip(struct qv__io *io, const char *name, uint64_t byte,
                          unsigned bit) QV_MUST_USE;
/* All files with their sizes, directory by directory, each sorted by bytes; cb may call the io.
 * Errors: QV_ENOMEM before the first call of cb. */
qv_status qv__io_sim_list(struct qv__io *io, void (*cb)(void *arg, const char *name, uint64_t size),
                          void *arg, struct qv_err *err) QV_MUST_USE;

#endif
