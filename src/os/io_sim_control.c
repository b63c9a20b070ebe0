/* io_sim_control.c: what a test turns and reads on a simulated file system.
 *
 * Faults, delay, space, call counters, damage and the list of all files. Each takes the lock of the
 * model for as long as it works on it; the callback of qv__io_sim_list runs without it. */
#include "base/buf.h"
#include "os/io_names.h"
#include "os/io_sim_impl.h"

void qv__io_sim_fault(struct qv__io *io, struct qv__sim_fault fault)
{
    struct qv__sim *sim = qv__sim_of(io);
    QV_ASSERT((unsigned)fault.call <= QV__SIM_META);
    qv__mutex_lock(&sim->lock);
    sim->fault = fault;
    sim->fault_seen = 0;
    qv__mutex_unlock(&sim->lock);
}

uint64_t qv__io_sim_calls(struct qv__io *io, enum qv__sim_call call)
{
    struct qv__sim *sim = qv__sim_of(io);
    QV_ASSERT((unsigned)call <= QV__SIM_META);
    qv__mutex_lock(&sim->lock);
    uint64_t n = sim->calls[call];
    qv__mutex_unlock(&sim->lock);
    return n;
}

void qv__io_sim_sync_delay(struct qv__io *io, uint64_t ns)
{
    struct qv__sim *sim = qv__sim_of(io);
    qv__mutex_lock(&sim->lock);
    sim->sync_delay_ns = ns;
    qv__mutex_unlock(&sim->lock);
}

void qv__io_sim_space(struct qv__io *io, uint64_t bytes)
{
    struct qv__sim *sim = qv__sim_of(io);
    qv__mutex_lock(&sim->lock);
    sim->limit_bytes = bytes;
    qv__mutex_unlock(&sim->lock);
}

void qv__io_sim_watch(struct qv__io *io, void (*before_sync)(void *arg), void *arg)
{
    struct qv__sim *sim = qv__sim_of(io);
    qv__mutex_lock(&sim->lock);
    sim->watch = before_sync;
    sim->watch_arg = arg;
    qv__mutex_unlock(&sim->lock);
}

static qv_status flip_in(struct qv__sim_bytes *b, struct qv__mem *mem, uint64_t byte, uint8_t mask)
{
    if (byte >= b->size) {
        return QV_OK; /* not there yet */
    }
    if (!qv__sim_bytes_reserve(b, mem, byte, 1)) {
        return QV_ENOMEM;
    }
    struct qv__sim_page *page = b->pages[byte / QV__SIM_PAGE];
    atomic_store(&page->hash, 0);
    page->b[byte % QV__SIM_PAGE] ^= mask;
    return QV_OK;
}

static qv_status flip(struct qv__sim *sim, const char *name, uint64_t byte, uint8_t mask)
{
    struct qv__sim_place at;
    QV_TRY(qv__sim_resolve(sim, name, &at, NULL));
    struct qv__sim_inode *i = at.inode;
    if (!i) {
        return QV_ENOTFOUND;
    }
    if (i->is_dir || byte >= i->now.size) {
        return QV_EINVAL;
    }
    QV_TRY(flip_in(&i->now, sim->base.mem, byte, mask));
    qv_status st = flip_in(&i->durable, sim->base.mem, byte, mask);
    if (st != QV_OK) {
        return flip_in(&i->now, sim->base.mem, byte, mask) == QV_OK ? st : QV_EINTERNAL;
    }
    for (struct qv__sim_op *op = i->ops; op; op = op->next) {
        if (op->kind == QV__SIM_OP_WRITE && byte >= op->off && byte - op->off < op->n) {
            op->data[byte - op->off] ^= mask;
        }
    }
    return QV_OK;
}

qv_status qv__io_sim_flip(struct qv__io *io, const char *name, uint64_t byte, unsigned bit)
{
    struct qv__sim *sim = qv__sim_of(io);
    if (bit > 7) {
        return QV_EINVAL;
    }
    qv__mutex_lock(&sim->lock);
    qv_status st = flip(sim, name, byte, (uint8_t)(1u << bit));
    qv__mutex_unlock(&sim->lock);
    return st;
}

/* Add what lies in the directory `path` to the one list or the other. */
static qv_status gather_dir(struct qv__sim *sim, const char *path, struct qv__io_names *dirs,
                            struct qv__io_names *files, struct qv_err *err)
{
    struct qv__sim_place at;
    struct qv__buf name;
    QV_TRY(qv__sim_resolve(sim, path, &at, err));
    qv__buf_init(&name, sim->base.mem);
    qv_status st = QV_OK;
    for (size_t k = 0; st == QV_OK && k < at.inode->names_now.n; k++) {
        const struct qv__sim_entry *e = &at.inode->names_now.v[k];
        qv__buf_reset(&name);
        if (*path) {
            qv__buf_putz(&name, path);
            qv__buf_putc(&name, '/');
        }
        qv__buf_putz(&name, e->name);
        st = qv__buf_status(&name, err);
        if (st == QV_OK) {
            struct qv__io_names *to = e->inode->is_dir ? dirs : files;
            st = qv__io_names_add(to, (const char *)name.p, name.n, e->inode->is_dir,
                                  e->inode->now.size, err);
        }
    }
    qv__buf_free(&name);
    return st;
}

qv_status qv__io_sim_list(struct qv__io *io, void (*cb)(void *arg, const char *name, uint64_t size),
                          void *arg, struct qv_err *err)
{
    struct qv__sim *sim = qv__sim_of(io);
    struct qv__io_names dirs, files;
    qv__io_names_init(&dirs, io->mem);
    qv__io_names_init(&files, io->mem);
    qv__mutex_lock(&sim->lock);
    qv_status st = qv__io_names_add(&dirs, "", 0, true, 0, err);
    for (size_t k = 0; st == QV_OK && k < dirs.n; k++) { /* the list grows meanwhile */
        st = gather_dir(sim, dirs.v[k].name, &dirs, &files, err);
    }
    qv__mutex_unlock(&sim->lock);
    for (size_t k = 0; st == QV_OK && k < files.n; k++) {
        cb(arg, files.v[k].name, files.v[k].size);
    }
    qv__io_names_free(&dirs);
    qv__io_names_free(&files);
    return st;
}
