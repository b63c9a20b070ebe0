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

/* Going through all that a crash may leave. A unit is one change that no sync has covered, of bytes
 * or of one name (a rename is two: the new name, then the old one); units are numbered from 0 in
 * the order they were made, across files and directories. */
enum qv__sim_unit_kind {
    QV__UNIT_WRITE,
    QV__UNIT_TRUNCATE,
    QV__UNIT_ALLOCATE,
    QV__UNIT_ADD_NAME,
    QV__UNIT_DROP_NAME
};
struct qv__sim_unit {
    enum qv__sim_unit_kind kind;
    uint64_t seq;     /* rises with the number; kept by a crash that keeps all */
    uint64_t sectors; /* WRITE: 512-byte sectors touched; ALLOCATE: of the new size */
};
enum qv__sim_fate_kind { QV__FATE_KEPT = 0, QV__FATE_DROPPED, QV__FATE_TORN };
struct qv__sim_fate {
    enum qv__sim_fate_kind kind;
    /* TORN. WRITE: bit i = sector i arrives, bit 63 for all from there on; ALLOCATE: the number of
     * new sectors that the file grew by. Other kinds: dropped. */
    uint64_t sectors;
    bool grown; /* TORN WRITE: the file has its new size, whatever of the bytes arrived */
};
/* Fill `out` with the first `cap` units; returns how many there are. */
size_t qv__io_sim_units(struct qv__io *io, struct qv__sim_unit *out, size_t cap);
/* As qv__io_sim_crash, with a fate for each unit. */
qv_status qv__io_sim_crash_as(struct qv__io *io, const struct qv__sim_fate *fates,
                              struct qv__io **out, struct qv_err *err) QV_MUST_USE;
/* Call back at the beginning of every sync and sync_dir, before it does anything (NULL = stop): all
 * that a crash since the last one could leave can be seen then. The callback may crash and list the
 * io, but not change it. */
void qv__io_sim_watch(struct qv__io *io, void (*before_sync)(void *arg), void *arg);
/* Of names and bytes as programs see them: equal for equal disks. */
uint64_t qv__io_sim_hash(struct qv__io *io);

/* Damage a stored byte: flip bit 0..7 of it in the current, the synced and the unsynced bytes
 * alike. Errors: QV_ENOTFOUND, QV_EINVAL (past the end, or a directory), QV_ENOMEM. */
qv_status qv__io_sim_flip(struct qv__io *io, const char *name, uint64_t byte,
                          unsigned bit) QV_MUST_USE;
/* All files with their sizes, directory by directory, each sorted by bytes; cb may call the io.
 * Errors: QV_ENOMEM before the first call of cb. */
qv_status qv__io_sim_list(struct qv__io *io, void (*cb)(void *arg, const char *name, uint64_t size),
                          void *arg, struct qv_err *err) QV_MUST_USE;

#endif
