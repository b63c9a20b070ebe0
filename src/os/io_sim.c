/* io_sim.c: the simulated file system as a backend of io.h, with its faults.
 *
 * Each call takes the one lock, counts itself, asks whether the fault strikes, and then works on
 * the model (io_sim_tree.c for names, io_sim_bytes.c for bytes). A change of bytes is carried out
 * on the current bytes and kept as an op; sync replays ops onto the durable bytes; a crash
 * (io_sim_crash.c) starts from the durable ones.
 *
 * A sync with a delay sleeps without the lock, so that writers go on while the disk is busy and a
 * group commit can be seen to work; it covers what was written before it began, as fsync does.
 * After a failed sync its ops are doomed: they may still turn up after a crash, but the next good
 * sync discards them instead of saving them, as a kernel does that marked the pages clean.
 *
 * Locks: qv__sim.lock, never held in a callback or while asleep. Memory: see io_sim_impl.h. */
#include <errno.h>
#include <time.h>

#include "base/buf.h"
#include "os/io_names.h"
#include "os/io_sim_impl.h"

/* What free_space says when there is no limit. */
#define UNLIMITED_BYTES ((uint64_t)1 << 50)

struct sim_file {
    struct qv__file base;
    struct qv__sim_inode *inode; /* one reference */
    char name[];
};

static struct qv__sim_inode *inode_of(struct qv__file *f)
{
    return QV_CONTAINER_OF(f, struct sim_file, base)->inode;
}

static struct qv__sim *enter(struct qv__io *io)
{
    struct qv__sim *sim = qv__sim_of(io);
    qv__mutex_lock(&sim->lock);
    return sim;
}

static qv_status leave(struct qv__sim *sim, qv_status st)
{
    qv__mutex_unlock(&sim->lock);
    return st;
}

/* --- faults --- */

/* Count a call; true when it must fail. */
static bool fault_strikes(struct qv__sim *sim, enum qv__sim_call call)
{
    struct qv__sim_fault *f = &sim->fault;
    sim->calls[QV__SIM_ANY]++;
    sim->calls[call]++;
    if (f->at == 0 || (f->call != QV__SIM_ANY && f->call != call)) {
        return false;
    }
    sim->fault_seen++;
    return f->sticky ? sim->fault_seen >= f->at : sim->fault_seen == f->at;
}

static qv_status injected(const struct qv__sim *sim, const char *verb, const char *name,
                          struct qv_err *err)
{
    qv_status st = sim->fault.status == QV_OK ? QV_EIO : sim->fault.status;
    return qv__fail(err, st, "%s %s: injected fault", verb, name);
}

static qv_status no_memory(const char *verb, const char *name, struct qv_err *err)
{
    return qv__fail(err, QV_ENOMEM, "%s %s: no memory", verb, name);
}

/* Bytes that files may still grow by. */
static uint64_t room(const struct qv__sim *sim)
{
    if (sim->limit_bytes == 0) {
        return UNLIMITED_BYTES;
    }
    return sim->limit_bytes > sim->used_bytes ? sim->limit_bytes - sim->used_bytes : 0;
}

/* --- open and close --- */

static void push_op(struct qv__sim *sim, struct qv__sim_inode *i, struct qv__sim_op *op)
{
    op->seq = i->seq = ++sim->seq;
    *i->ops_tail = op;
    i->ops_tail = &op->next;
}

/* Carry out an op whose pages are reserved, and keep it for the next sync. */
static void do_op(struct qv__sim *sim, struct qv__sim_inode *i, struct qv__sim_op *op)
{
    qv__sim_op_apply(op, &i->now);
    push_op(sim, i, op);
    qv__sim_recharge(sim, i);
}

/* What a cut to `size` clears, in both states. */
static bool reserve_cut(struct qv__sim *sim, struct qv__sim_inode *i, uint64_t size)
{
    return qv__sim_bytes_reserve_cut(&i->now, sim->base.mem, size) &&
           qv__sim_bytes_reserve_cut(&i->durable, sim->base.mem, size);
}

static struct qv__sim_inode *create_file(struct qv__sim *sim, const struct qv__sim_place *at)
{
    struct qv__sim_change add;
    struct qv__sim_inode *i = qv__sim_inode_new(sim, false);
    if (!i) {
        return NULL;
    }
    if (!qv__sim_change_prepare(sim, at->parent, at->leaf, i, &add)) {
        qv__sim_inode_free(sim, i);
        return NULL;
    }
    qv__sim_change_commit(sim, &add);
    return i;
}

/* The inode to open, made or emptied as the flags say. */
static qv_status open_inode(struct qv__sim *sim, const char *name, int flags,
                            struct qv__sim_inode **out, struct qv_err *err)
{
    struct qv__sim_place at;
    QV_TRY(qv__sim_resolve(sim, name, &at, err));
    if (!at.inode && !(flags & QV__OPEN_CREATE)) {
        return qv__fail(err, QV_ENOTFOUND, "open %s: no such file", name);
    }
    if (at.inode && (flags & QV__OPEN_EXCL)) {
        return qv__fail(err, QV_EEXISTS, "open %s: exists", name);
    }
    if (at.inode && at.inode->is_dir) {
        return qv__fail(err, QV_EIO, "open %s: is a directory", name);
    }
    if (!at.inode) {
        *out = create_file(sim, &at);
        return *out ? QV_OK : no_memory("open", name, err);
    }
    if ((flags & QV__OPEN_TRUNC) && at.inode->now.size > 0) {
        struct qv__sim_op *op = qv__sim_op_new(sim->base.mem, QV__SIM_OP_TRUNCATE, 0, NULL, 0);
        if (!op || !reserve_cut(sim, at.inode, 0)) {
            qv__free(op);
            return no_memory("open", name, err);
        }
        do_op(sim, at.inode, op);
    }
    *out = at.inode;
    return QV_OK;
}

static qv_status sim_open(struct qv__io *io, const char *name, int flags, struct qv__file **out,
                          struct qv_err *err)
{
    size_t n = strlen(name) + 1;
    struct sim_file *f = (struct sim_file *)qv__alloc(io->mem, sizeof *f + n);
    if (!f) {
        return no_memory("open", name, err);
    }
    struct qv__sim *sim = enter(io);
    qv_status st = fault_strikes(sim, QV__SIM_OPEN) ? injected(sim, "open", name, err)
                                                    : open_inode(sim, name, flags, &f->inode, err);
    if (st == QV_OK) {
        memcpy(f->name, name, n);
        f->base = (struct qv__file){io, f->name, (flags & QV__OPEN_WRITE) != 0};
        f->inode->refs++;
        f->inode->n_open++;
        sim->n_handles++;
        *out = &f->base;
    } else {
        qv__free(f);
    }
    return leave(sim, st);
}

static qv_status sim_close(struct qv__file *base, struct qv_err *err)
{
    struct qv__sim *sim = enter(base->io);
    struct qv__sim_inode *i = inode_of(base);
    qv_status st = base->writable && fault_strikes(sim, QV__SIM_META)
                       ? injected(sim, "close", base->name, err)
                       : QV_OK;
    if (i->lock_of == base) {
        i->lock_of = NULL;
    }
    i->n_open--;
    qv__sim_recharge(sim, i);
    qv__sim_unref(sim, i);
    sim->n_handles--;
    qv__free(QV_CONTAINER_OF(base, struct sim_file, base));
    return leave(sim, st);
}

static qv_status sim_lock(struct qv__file *base, struct qv_err *err)
{
    struct qv__sim *sim = enter(base->io);
    struct qv__sim_inode *i = inode_of(base);
    if (fault_strikes(sim, QV__SIM_OPEN)) {
        return leave(sim, injected(sim, "lock", base->name, err));
    }
    if (i->lock_of && i->lock_of != base) {
        return leave(sim, qv__fail(err, QV_ELOCKED, "lock %s: another holds it", base->name));
    }
    i->lock_of = base;
    return leave(sim, QV_OK);
}

/* --- bytes --- */

static qv_status past_end(const struct qv__file *f, const char *verb, uint64_t off, size_t n,
                          struct qv_err *err)
{
    return qv__fail(err, QV_EIO, "%s %s: short read: %zu bytes at %" PRIu64 " pass the end", verb,
                    f->name, n, off);
}

static bool is_inside(const struct qv__sim_inode *i, uint64_t off, size_t n)
{
    return off <= i->now.size && n <= i->now.size - off;
}

static qv_status sim_pread(struct qv__file *base, void *buf, size_t n, uint64_t off,
                           struct qv_err *err)
{
    struct qv__sim *sim = enter(base->io);
    struct qv__sim_inode *i = inode_of(base);
    if (fault_strikes(sim, QV__SIM_READ)) {
        return leave(sim, injected(sim, "read", base->name, err));
    }
    if (n == 0) {
        return leave(sim, QV_OK);
    }
    if (!is_inside(i, off, n)) {
        return leave(sim, past_end(base, "read", off, n, err));
    }
    qv__sim_bytes_get(&i->now, off, (uint8_t *)buf, n);
    return leave(sim, QV_OK);
}

/* How many of n bytes at `off` fit on the disk. */
static size_t fitting(const struct qv__sim *sim, const struct qv__sim_inode *i, uint64_t off,
                      size_t n)
{
    uint64_t end = i->now.size + QV_MIN(room(sim), UNLIMITED_BYTES);
    end = QV_MIN(end, QV__SIM_FILE_MAX);
    return off < end ? (size_t)QV_MIN((uint64_t)n, end - off) : 0;
}

static qv_status write_bytes(struct qv__sim *sim, struct qv__file *f, const void *buf, size_t n,
                             uint64_t off, struct qv_err *err)
{
    struct qv__sim_inode *i = inode_of(f);
    struct qv__mem *mem = sim->base.mem;
    size_t fits = fitting(sim, i, off, n);
    if (fits > 0) {
        struct qv__sim_op *op = qv__sim_op_new(mem, QV__SIM_OP_WRITE, off, buf, fits);
        if (!op || !qv__sim_bytes_reserve(&i->now, mem, off, fits) ||
            !qv__sim_bytes_reserve(&i->durable, mem, off, fits)) {
            qv__free(op);
            return no_memory("write", f->name, err);
        }
        do_op(sim, i, op);
    }
    if (fits < n) {
        return qv__fail(err, QV_ENOSPC, "write %s: no space left for %zu of %zu bytes", f->name,
                        n - fits, n);
    }
    return QV_OK;
}

static qv_status sim_pwrite(struct qv__file *base, const void *buf, size_t n, uint64_t off,
                            struct qv_err *err)
{
    struct qv__sim *sim = enter(base->io);
    if (!fault_strikes(sim, QV__SIM_WRITE)) {
        return leave(sim, write_bytes(sim, base, buf, n, off, err));
    }
    if (sim->fault.partial) {
        qv_status ignored = write_bytes(sim, base, buf, n / 2, off, NULL);
        (void)ignored; /* the call fails either way */
    }
    return leave(sim, injected(sim, "write", base->name, err));
}

static qv_status sim_size(struct qv__file *base, uint64_t *out, struct qv_err *err)
{
    struct qv__sim *sim = enter(base->io);
    if (fault_strikes(sim, QV__SIM_READ)) {
        return leave(sim, injected(sim, "stat", base->name, err));
    }
    *out = inode_of(base)->now.size;
    return leave(sim, QV_OK);
}

/* truncate and allocate, which differ in what a crash may leave of them. */
static qv_status set_size(struct qv__file *f, uint64_t size, enum qv__sim_op_kind kind,
                          const char *verb, struct qv_err *err)
{
    struct qv__sim *sim = enter(f->io);
    struct qv__sim_inode *i = inode_of(f);
    if (fault_strikes(sim, QV__SIM_META)) {
        return leave(sim, injected(sim, verb, f->name, err));
    }
    if (size == i->now.size || (kind == QV__SIM_OP_ALLOCATE && size < i->now.size)) {
        return leave(sim, QV_OK);
    }
    if (size > QV__SIM_FILE_MAX || (size > i->now.size && size - i->now.size > room(sim))) {
        return leave(sim, qv__fail(err, QV_ENOSPC, "%s %s: no space left for %" PRIu64 " bytes",
                                   verb, f->name, size));
    }
    struct qv__sim_op *op = qv__sim_op_new(sim->base.mem, kind, size, NULL, 0);
    if (!op || (kind == QV__SIM_OP_TRUNCATE && !reserve_cut(sim, i, size))) {
        qv__free(op);
        return leave(sim, no_memory(verb, f->name, err));
    }
    do_op(sim, i, op);
    return leave(sim, QV_OK);
}

static qv_status sim_truncate(struct qv__file *f, uint64_t size, struct qv_err *err)
{
    return set_size(f, size, QV__SIM_OP_TRUNCATE, "truncate", err);
}

static qv_status sim_allocate(struct qv__file *f, uint64_t size, struct qv_err *err)
{
    return set_size(f, size, QV__SIM_OP_ALLOCATE, "allocate", err);
}

/* Tell the one who watches that a sync is about to begin. */
static void announce_sync(struct qv__io *io)
{
    struct qv__sim *sim = enter(io);
    void (*watch)(void *arg) = sim->watch;
    void *arg = sim->watch_arg;
    (void)leave(sim, QV_OK);
    if (watch) {
        watch(arg);
    }
}

/* Replay the ops up to `seq` onto the durable bytes; no memory needed, see io_sim_impl.h. */
static void make_durable(struct qv__sim_inode *i, uint64_t seq)
{
    while (i->ops && i->ops->seq <= seq) {
        struct qv__sim_op *op = i->ops;
        if (!op->is_doomed) {
            qv__sim_op_apply(op, &i->durable);
        }
        i->ops = op->next;
        qv__free(op);
    }
    if (!i->ops) {
        i->ops_tail = &i->ops;
    }
}

static void sleep_ns(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR) {
    }
}

static qv_status sim_sync(struct qv__file *base, bool data_only, struct qv_err *err)
{
    (void)data_only; /* the one thing fdatasync may leave out, timestamps, is not in the model */
    announce_sync(base->io);
    struct qv__sim *sim = enter(base->io);
    struct qv__sim_inode *i = inode_of(base);
    if (fault_strikes(sim, QV__SIM_SYNC)) {
        for (struct qv__sim_op *op = i->ops; op; op = op->next) {
            op->is_doomed = true;
        }
        return leave(sim, injected(sim, "sync", base->name, err));
    }
    uint64_t seq = i->seq, delay_ns = sim->sync_delay_ns;
    if (delay_ns > 0) {
        qv__mutex_unlock(&sim->lock);
        sleep_ns(delay_ns);
        qv__mutex_lock(&sim->lock);
    }
    make_durable(i, seq);
    return leave(sim, QV_OK);
}

/* --- mappings: a copy, placed in its page as the offset is --- */

static qv_status sim_map(struct qv__file *base, uint64_t off, size_t n, struct qv__map_view *out,
                         struct qv_err *err)
{
    struct qv__sim *sim = enter(base->io);
    struct qv__sim_inode *i = inode_of(base);
    if (fault_strikes(sim, QV__SIM_READ)) {
        return leave(sim, injected(sim, "map", base->name, err));
    }
    if (!is_inside(i, off, n)) {
        return leave(sim, past_end(base, "map", off, n, err));
    }
    size_t skip = (size_t)(off % QV__SIM_PAGE);
    uint8_t *p = (uint8_t *)qv__alloc_aligned(sim->base.mem, QV__SIM_PAGE, skip + n);
    if (!p) {
        return leave(sim, no_memory("map", base->name, err));
    }
    memset(p, 0, skip);
    qv__sim_bytes_get(&i->now, off, p + skip, n);
    *out = (struct qv__map_view){.p = p + skip, .n = n, .impl = p};
    sim->n_handles++;
    return leave(sim, QV_OK);
}

static void sim_unmap(struct qv__io *io, struct qv__map_view *v)
{
    qv__free(v->impl);
    struct qv__sim *sim = enter(io);
    sim->n_handles--;
    (void)leave(sim, QV_OK);
}

static void sim_advise(struct qv__io *io, const struct qv__map_view *v, size_t off, size_t n,
                       enum qv__advice a)
{
    (void)io, (void)v, (void)off, (void)n, (void)a; /* memory needs no advice */
}

/* --- names --- */

static qv_status sim_rename(struct qv__io *io, const char *from, const char *to, struct qv_err *err)
{
    struct qv__sim *sim = enter(io);
    return leave(sim, fault_strikes(sim, QV__SIM_META) ? injected(sim, "rename", from, err)
                                                       : qv__sim_rename(sim, from, to, err));
}

static qv_status sim_link(struct qv__io *io, const char *from, const char *to, struct qv_err *err)
{
    struct qv__sim *sim = enter(io);
    return leave(sim, fault_strikes(sim, QV__SIM_META) ? injected(sim, "link", from, err)
                                                       : qv__sim_link(sim, from, to, err));
}

static qv_status sim_unlink(struct qv__io *io, const char *name, struct qv_err *err)
{
    struct qv__sim *sim = enter(io);
    return leave(sim, fault_strikes(sim, QV__SIM_META) ? injected(sim, "unlink", name, err)
                                                       : qv__sim_unlink(sim, name, err));
}

static qv_status sim_mkdir(struct qv__io *io, const char *name, struct qv_err *err)
{
    struct qv__sim *sim = enter(io);
    return leave(sim, fault_strikes(sim, QV__SIM_META) ? injected(sim, "mkdir", name, err)
                                                       : qv__sim_mkdir(sim, name, err));
}

static qv_status sim_rmdir(struct qv__io *io, const char *name, struct qv_err *err)
{
    struct qv__sim *sim = enter(io);
    return leave(sim, fault_strikes(sim, QV__SIM_META) ? injected(sim, "rmdir", name, err)
                                                       : qv__sim_rmdir(sim, name, err));
}

static qv_status find_dir(struct qv__sim *sim, const char *name, struct qv__sim_inode **out,
                          struct qv_err *err)
{
    struct qv__sim_place at;
    QV_TRY(qv__sim_resolve(sim, name, &at, err));
    if (!at.inode) {
        return qv__fail(err, QV_ENOTFOUND, "%s: no such directory", name);
    }
    if (!at.inode->is_dir) {
        return qv__fail(err, QV_EIO, "%s: is not a directory", name);
    }
    *out = at.inode;
    return QV_OK;
}

static qv_status gather(struct qv__sim *sim, const char *name, struct qv__io_names *names,
                        struct qv_err *err)
{
    struct qv__sim_inode *dir = NULL;
    if (fault_strikes(sim, QV__SIM_READ)) {
        return injected(sim, "list", name, err);
    }
    QV_TRY(find_dir(sim, name, &dir, err));
    for (size_t k = 0; k < dir->names_now.n; k++) {
        const struct qv__sim_entry *e = &dir->names_now.v[k];
        QV_TRY(qv__io_names_add(names, e->name, strlen(e->name), e->inode->is_dir, 0, err));
    }
    return QV_OK;
}

static qv_status sim_list(struct qv__io *io, const char *name,
                          void (*cb)(void *, const char *, bool), void *arg, struct qv_err *err)
{
    struct qv__io_names names; /* gathered in order: the table is sorted */
    qv__io_names_init(&names, io->mem);
    struct qv__sim *sim = enter(io);
    qv_status st = leave(sim, gather(sim, name, &names, err));
    for (size_t k = 0; st == QV_OK && k < names.n; k++) {
        cb(arg, names.v[k].name, names.v[k].is_dir);
    }
    qv__io_names_free(&names);
    return st;
}

static qv_status sim_sync_dir(struct qv__io *io, const char *name, struct qv_err *err)
{
    announce_sync(io);
    struct qv__sim *sim = enter(io);
    struct qv__sim_inode *dir = NULL;
    if (fault_strikes(sim, QV__SIM_META)) {
        return leave(sim, injected(sim, "sync directory", name, err));
    }
    qv_status st = find_dir(sim, name, &dir, err);
    if (st == QV_OK) {
        qv__sim_names_sync(sim, dir);
    }
    return leave(sim, st);
}

static qv_status sim_free_space(struct qv__io *io, uint64_t *bytes, uint64_t *total,
                                struct qv_err *err)
{
    struct qv__sim *sim = enter(io);
    if (fault_strikes(sim, QV__SIM_READ)) {
        return leave(sim, injected(sim, "free space", "", err));
    }
    *bytes = room(sim);
    *total = sim->limit_bytes ? sim->limit_bytes : UINT64_MAX;
    return leave(sim, QV_OK);
}

static void sim_close_io(struct qv__io *io)
{
    struct qv__sim *sim = qv__sim_of(io);
    QV_DEBUG_ASSERT(sim->n_handles == 0);
    while (sim->first) {
        qv__sim_inode_free(sim, sim->first);
    }
    qv__mutex_destroy(&sim->lock);
    qv__free(sim);
}

static const struct qv__io_ops sim_ops = {
    .open = sim_open,
    .close = sim_close,
    .pread = sim_pread,
    .pwrite = sim_pwrite,
    .size = sim_size,
    .truncate = sim_truncate,
    .allocate = sim_allocate,
    .reserve = sim_allocate,
    .sync = sim_sync,
    .map = sim_map,
    .unmap = sim_unmap,
    .advise = sim_advise,
    .rename = sim_rename,
    .link = sim_link,
    .unlink = sim_unlink,
    .mkdir = sim_mkdir,
    .rmdir = sim_rmdir,
    .list = sim_list,
    .sync_dir = sim_sync_dir,
    .lock = sim_lock,
    .free_space = sim_free_space,
    .close_io = sim_close_io,
};

struct qv__sim *qv__sim_of(struct qv__io *io)
{
    QV_ASSERT(io->ops == &sim_ops);
    return QV_CONTAINER_OF(io, struct qv__sim, base);
}

qv_status qv__io_sim_open(struct qv__mem *mem, struct qv__io **out, struct qv_err *err)
{
    struct qv__sim *sim = (struct qv__sim *)qv__zalloc(mem, sizeof *sim);
    if (!sim) {
        return qv__fail(err, QV_ENOMEM, "simulated files: no memory");
    }
    sim->base = (struct qv__io){&sim_ops, mem};
    sim->root = qv__sim_inode_new(sim, true);
    if (!sim->root) {
        qv__free(sim);
        return qv__fail(err, QV_ENOMEM, "simulated files: no memory");
    }
    sim->root->refs = sim->root->n_links = 1;
    qv__mutex_init(&sim->lock, QV__RANK_IO);
    *out = &sim->base;
    return QV_OK;
}
