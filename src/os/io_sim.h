/* io_sim.h: an in-memory file system that loses what a real one may lose.
 *
 * What it is: files hold synced bytes and a list of unsynced writes; directories hold synced and
 * unsynced entries. A crash keeps the synced state plus a chosen part of the rest. Faults: the n-th
 * call fails (once or for ever), sync takes time, space is limited.
 * What it is not: fast for gigabytes, or a POSIX emulation beyond io.h. */
#ifndef QV_OS_IO_SIM_H
#define QV_OS_IO_SIM_H

#include "base/rng.h"
#include "os/io.h"

enum qv__sim_call { QV__SIM_ANY = 0, QV__SIM_OPEN, QV__SIM_READ, QV__SIM_WRITE, QV__SIM_SYNC, QV__SIM_META /* rename, link, unlink, mkdir, sync_dir, truncate, allocate */ };

struct qv__sim_fault {
    enum qv__sim_call call;
    uint64_t at;      /* the at-th matching call from now fails; 1 = the next; 0 = off */
    bool sticky;      /* all later matching calls fail too */
    qv_status status; /* QV_EIO, QV_ENOSPC, … */
    bool partial;     /* WRITE: half of the bytes are written before the error */
};

qv_status qv__io_sim_open(struct qv__mem *mem, struct qv__io **out, struct qv_err *err) QV_MUST_USE;
void qv__io_sim_fault(struct qv__io *io, struct qv__sim_fault fault);
/* Calls of one kind made so far (to enumerate fault points). */
uint64_t qv__io_sim_calls(struct qv__io *io, enum qv__sim_call call);
/* Every sync of a file sleeps this long (real time), as a slow disk does. */
void qv__io_sim_sync_delay(struct qv__io *io, uint64_t ns);
/* Total bytes of all files may not pass this; 0 = unlimited. */
void qv__io_sim_space(struct qv__io *io, uint64_t bytes);

enum qv__sim_crash {
    QV__CRASH_KEEP_ALL,   /* kill -9: the page cache survives */
    QV__CRASH_DROP_ALL,   /* power cut: only synced bytes and synced names survive */
    QV__CRASH_RANDOM      /* each unsynced write is kept, dropped or torn at 512 bytes, each unsynced name kept or dropped, by rng */
};
/* A new file system holding what would be found after a crash now; the old one is untouched, its
 * open files, locks and mappings stay valid. */
qv_status qv__io_sim_crash(struct qv__io *io, enum qv__sim_crash how, struct qv__rng *rng,
                           struct qv__io **out, struct qv_err *err) QV_MUST_USE;

#endif
