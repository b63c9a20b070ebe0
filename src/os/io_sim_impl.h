/* io_sim_impl.h: the model behind io_sim.h, shared by its source files.
 *
 * What it is: inodes, each in two states: as programs see it now, and as the disk would keep it,
 * with the ordered list of what separates the two. What it is not: visible outside io_sim*.c.
 *
 * Rule of memory: everything that may fail to allocate is prepared before anything changes, and a
 * write or a change of a name prepares the durable side too. So sync and sync_dir never need
 * memory, and a refused allocation leaves the model as it was. Threads: all of it is guarded by
 * qv__sim.lock (rank QV__RANK_IO). */
#ifndef QV_OS_IO_SIM_IMPL_H
#define QV_OS_IO_SIM_IMPL_H

#include <stdatomic.h>

#include "base/thread.h"
#include "os/io_sim.h"

#define QV__SIM_PAGE     4096u
#define QV__SIM_SECTOR   512u
/* Keeps the page table of one file below 128 MiB; far above what a test writes. */
#define QV__SIM_FILE_MAX ((uint64_t)1 << 36)

/* --- bytes of a file: a table of pages; NULL is a page of zeros (io_sim_bytes.c) --- */

/* Files of several simulations may share a page; nobody writes to one that is shared. */
struct qv__sim_page {
    _Atomic uint32_t refs;
    _Atomic uint64_t hash; /* of the bytes; 0 = not known */
    uint8_t b[QV__SIM_PAGE];
};

/* Invariant: bytes of pages past `size` are zero. Pages are kept until the end, so that a place
 * that was reserved stays reserved. */
struct qv__sim_bytes {
    struct qv__sim_page **pages;
    size_t n_pages;
    uint64_t size;
};

/* Make the pages of [off, off + n) exist, unshared. Changes no byte. False: out of memory. */
bool qv__sim_bytes_reserve(struct qv__sim_bytes *b, struct qv__mem *mem, uint64_t off, size_t n);
/* Unshare the pages that a cut to `size` clears. False: out of memory. */
bool qv__sim_bytes_reserve_cut(struct qv__sim_bytes *b, struct qv__mem *mem, uint64_t size);
/* Into reserved pages; grows `size`. */
void qv__sim_bytes_put(struct qv__sim_bytes *b, uint64_t off, const uint8_t *src, size_t n);
/* [off, off + n) lies inside `size`. */
void qv__sim_bytes_get(const struct qv__sim_bytes *b, uint64_t off, uint8_t *dst, size_t n);
/* A cut needs a reservation, see above. */
void qv__sim_bytes_resize(struct qv__sim_bytes *b, uint64_t size);
struct qv__sim_op;
/* Share the pages of `from`, but copy those that an op of the list (NULL = none) will write to:
 * what was reserved for it stays so. `to` is empty before; left empty on failure. */
bool qv__sim_bytes_copy(struct qv__sim_bytes *to, const struct qv__sim_bytes *from,
                        const struct qv__sim_op *ops, struct qv__mem *mem);
/* Of size and content; holes and pages of zeros are the same. */
uint64_t qv__sim_bytes_hash(const struct qv__sim_bytes *b);
void qv__sim_bytes_free(struct qv__sim_bytes *b);

enum qv__sim_op_kind { QV__SIM_OP_WRITE, QV__SIM_OP_TRUNCATE, QV__SIM_OP_ALLOCATE };

/* One change of a file's bytes that no sync has covered. */
struct qv__sim_op {
    struct qv__sim_op *next;
    enum qv__sim_op_kind kind;
    bool is_doomed; /* a sync failed on it */
    uint64_t seq;   /* order among all changes of the file system */
    size_t unit;    /* scratch: its number among what a crash decides on */
    uint64_t off;   /* TRUNCATE, ALLOCATE: the new size */
    size_t n;
    uint8_t data[];
};

struct qv__sim_op *qv__sim_op_new(struct qv__mem *mem, enum qv__sim_op_kind kind, uint64_t off,
                                  const void *data, size_t n);
/* Apply to bytes whose pages are reserved. */
void qv__sim_op_apply(const struct qv__sim_op *op, struct qv__sim_bytes *b);

/* --- inodes and names (io_sim_tree.c) --- */

struct qv__sim_inode;

struct qv__sim_entry {
    char *name; /* owned */
    struct qv__sim_inode *inode;
};
/* Sorted by bytes. */
struct qv__sim_names {
    struct qv__sim_entry *v;
    size_t n, cap;
};
/* One change of a directory that no sync_dir has covered; inode NULL = the name was removed. */
struct qv__sim_name_op {
    struct qv__sim_name_op *next;
    uint64_t seq; /* order among all changes of the file system */
    size_t unit;  /* scratch, as an op's */
    struct qv__sim_entry entry;
};

struct qv__sim_inode {
    struct qv__sim_inode *next, *prev; /* all inodes of the file system, oldest first */
    struct qv__sim_inode *clone; /* scratch: its other self during a crash, or the next dead */
    size_t refs;                 /* entries of both kinds, unsynced changes, open files */
    size_t n_links;              /* entries of `now` directories */
    size_t n_open;
    bool is_dir;
    /* a file */
    struct qv__sim_bytes now, durable;
    struct qv__sim_op *ops, **ops_tail;
    uint64_t seq;                   /* of the newest op */
    uint64_t charged_bytes;         /* counted in qv__sim.used_bytes */
    const struct qv__file *lock_of; /* who holds the lock, or NULL */
    /* a directory */
    struct qv__sim_inode *parent; /* NULL: the root; stale once no longer linked */
    struct qv__sim_names names_now, names_durable;
    struct qv__sim_name_op *name_ops, **name_ops_tail;
    size_t n_name_ops;
    uint64_t hash; /* scratch of qv__io_sim_hash */
};

struct qv__sim {
    struct qv__io base;
    struct qv__mutex lock;
    struct qv__sim_inode *first, *last;
    struct qv__sim_inode *root;
    struct qv__sim_fault fault;
    uint64_t fault_seen; /* matching calls since the fault was set */
    uint64_t calls[QV__SIM_META + 1];
    uint64_t seq;             /* of the newest change of bytes or names */
    void (*watch)(void *arg); /* NULL = nobody */
    void *watch_arg;
    uint64_t sync_delay_ns;
    uint64_t limit_bytes; /* 0 = none */
    uint64_t used_bytes;
    size_t n_handles; /* open files and views */
};

/* Asserts that `io` is a simulated one. */
struct qv__sim *qv__sim_of(struct qv__io *io);

/* A new inode at the end of the list, without references; NULL: out of memory. */
struct qv__sim_inode *qv__sim_inode_new(struct qv__sim *sim, bool is_dir);
/* Unlink from the list and free with all it owns, without a look at references. */
void qv__sim_inode_free(struct qv__sim *sim, struct qv__sim_inode *inode);
/* Drop one reference; frees what has none left. */
void qv__sim_unref(struct qv__sim *sim, struct qv__sim_inode *inode);
/* Count the file's size in used_bytes as long as a name or an open file holds it. */
void qv__sim_recharge(struct qv__sim *sim, struct qv__sim_inode *inode);

/* Index of `name`, or where it belongs; *found says which. */
size_t qv__sim_names_find(const struct qv__sim_names *l, const char *name, size_t n, bool *found);
bool qv__sim_names_reserve(struct qv__sim_names *l, struct qv__mem *mem, size_t n_more);
/* Takes over `name`; capacity was reserved. The inode gets no reference here. */
void qv__sim_names_insert(struct qv__sim_names *l, size_t at, char *name,
                          struct qv__sim_inode *inode);

/* A change of one name, prepared so that carrying it out cannot fail. */
struct qv__sim_change {
    struct qv__sim_inode *dir;
    struct qv__sim_name_op *op;
    char *name; /* for names_now when it is new there */
};
bool qv__sim_change_prepare(struct qv__sim *sim, struct qv__sim_inode *dir, const char *name,
                            struct qv__sim_inode *inode, struct qv__sim_change *out);
void qv__sim_change_commit(struct qv__sim *sim, struct qv__sim_change *c);
/* No-op on a zeroed one. */
void qv__sim_change_abort(struct qv__sim_change *c);
/* What sync_dir does. */
void qv__sim_names_sync(struct qv__sim *sim, struct qv__sim_inode *dir);

/* Where a name leads. */
struct qv__sim_place {
    struct qv__sim_inode *parent; /* NULL for the root */
    const char *leaf;             /* borrowed from the name */
    struct qv__sim_inode *inode;  /* NULL: no such entry in `parent` */
};
/* Errors: QV_ENOTFOUND for a missing directory on the way, QV_EIO for a file there. */
qv_status qv__sim_resolve(struct qv__sim *sim, const char *name, struct qv__sim_place *out,
                          struct qv_err *err) QV_MUST_USE;

/* rename, link, unlink, mkdir, rmdir without lock, fault and counter. */
qv_status qv__sim_rename(struct qv__sim *sim, const char *from, const char *to,
                         struct qv_err *err) QV_MUST_USE;
qv_status qv__sim_link(struct qv__sim *sim, const char *from, const char *to,
                       struct qv_err *err) QV_MUST_USE;
qv_status qv__sim_unlink(struct qv__sim *sim, const char *name, struct qv_err *err) QV_MUST_USE;
qv_status qv__sim_mkdir(struct qv__sim *sim, const char *name, struct qv_err *err) QV_MUST_USE;
qv_status qv__sim_rmdir(struct qv__sim *sim, const char *name, struct qv_err *err) QV_MUST_USE;

#endif
