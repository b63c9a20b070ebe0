/* io_sim_crash.c: what is found after the power went.
 *
 * A new file system is built from the root down, breadth first, in the order of names, so that the
 * same state and the same rng give the same result.
 *
 * - KEEP_ALL copies both states: the programs are gone, the page cache is not, and it is still only
 * a cache. A power cut after a kill loses what the killed process had not synced.
 * - DROP_ALL takes the durable bytes and names.
 * - RANDOM replays the unsynced ops of each file and directory onto the durable state, each of them
 *   kept or left out. A write left out may be torn instead: each 512-byte sector of it is kept or
 * not (a sector itself is written whole), and the file may have grown without its bytes. An
 *   allocation may be torn too, since it is a run of writes of zeros.
 *
 * - A plan decides on each of them by itself, which is how a test goes through all that a crash may
 *   leave: the changes are numbered in the order they were made, across files and directories.
 *
 * One in three random crashes loses almost everything unsynced, one almost nothing, one half: with
 * a fair coin for each of forty writes, "only the first is missing" would never be seen.
 *
 * Names are kept on their own: of a rename, the disk may hold the old name, the new, both or
 * neither. Only a directory is never found twice; the name met first has it. What no name reaches
 * is gone, be it synced or not.
 *
 * Locks: the old file system's, throughout; the new one is nobody else's yet. */
#include "base/map.h"
#include "os/io_sim_impl.h"

struct crash {
    struct qv__sim *from, *to;
    enum qv__sim_crash how;
    struct qv__rng *rng;
    uint64_t keep_of_8;               /* chance that an unsynced op is kept */
    const struct qv__sim_fate *fates; /* by unit, else NULL: by chance */
};

static bool is_kept(struct crash *c, size_t unit)
{
    if (c->fates) {
        return c->fates[unit].kind == QV__FATE_KEPT;
    }
    return qv__rng_below(c->rng, 8) < c->keep_of_8;
}

static bool coin(struct crash *c)
{
    return qv__rng_below(c->rng, 2) == 0;
}

/* --- files --- */

/* Whether sector i of n arrives; bit 63 stands for all from there on. */
static bool sector_kept(struct crash *c, size_t unit, uint64_t i)
{
    return c->fates ? (c->fates[unit].sectors >> QV_MIN(i, UINT64_C(63)) & 1) != 0 : coin(c);
}

static void tear_write(struct crash *c, const struct qv__sim_op *op, struct qv__sim_bytes *b)
{
    uint64_t at = op->off, end = op->off + op->n;
    for (uint64_t i = 0; at < end; i++) {
        size_t n = (size_t)QV_MIN(end - at, QV__SIM_SECTOR - at % QV__SIM_SECTOR);
        if (sector_kept(c, op->unit, i)) {
            qv__sim_bytes_put(b, at, op->data + (at - op->off), n);
        }
        at += n;
    }
    if (b->size < end && (c->fates ? c->fates[op->unit].grown : coin(c))) {
        qv__sim_bytes_resize(b, end); /* the size arrived, the last bytes did not */
    }
}

static void tear_allocate(struct crash *c, const struct qv__sim_op *op, struct qv__sim_bytes *b)
{
    if (op->off > b->size) {
        uint64_t n = (op->off - b->size) / QV__SIM_SECTOR;
        uint64_t sectors =
            c->fates ? QV_MIN(c->fates[op->unit].sectors, n) : qv__rng_below(c->rng, n + 1);
        qv__sim_bytes_resize(b, b->size + sectors * QV__SIM_SECTOR);
    }
}

/* One unsynced op meets its fate. */
static bool replay(struct crash *c, const struct qv__sim_op *op, struct qv__sim_bytes *b)
{
    struct qv__mem *mem = c->to->base.mem;
    if (op->kind == QV__SIM_OP_WRITE ? !qv__sim_bytes_reserve(b, mem, op->off, op->n)
                                     : !qv__sim_bytes_reserve_cut(b, mem, op->off)) {
        return false;
    }
    if (is_kept(c, op->unit)) {
        qv__sim_op_apply(op, b);
    } else if (c->fates ? c->fates[op->unit].kind == QV__FATE_TORN : coin(c)) {
        if (op->kind == QV__SIM_OP_WRITE) {
            tear_write(c, op, b);
        } else if (op->kind == QV__SIM_OP_ALLOCATE) {
            tear_allocate(c, op, b);
        } /* a truncation is one change of one inode: all or nothing */
    }
    return true;
}

static bool copy_ops(struct crash *c, const struct qv__sim_inode *old, struct qv__sim_inode *i)
{
    for (const struct qv__sim_op *op = old->ops; op; op = op->next) {
        struct qv__sim_op *copy =
            qv__sim_op_new(c->to->base.mem, op->kind, op->off, op->data, op->n);
        if (!copy) {
            return false;
        }
        copy->seq = op->seq;
        copy->is_doomed = op->is_doomed;
        *i->ops_tail = copy;
        i->ops_tail = &copy->next;
    }
    i->seq = old->seq;
    return true;
}

static bool fill_file(struct crash *c, const struct qv__sim_inode *old, struct qv__sim_inode *i)
{
    struct qv__mem *mem = c->to->base.mem;
    if (c->how == QV__CRASH_KEEP_ALL) {
        return qv__sim_bytes_copy(&i->now, &old->now, NULL, mem) &&
               qv__sim_bytes_copy(&i->durable, &old->durable, old->ops, mem) && copy_ops(c, old, i);
    }
    if (!qv__sim_bytes_copy(&i->durable, &old->durable, old->ops, mem)) {
        return false;
    }
    if (c->how == QV__CRASH_RANDOM) {
        for (const struct qv__sim_op *op = old->ops; op; op = op->next) {
            if (!replay(c, op, &i->durable)) {
                return false;
            }
        }
    }
    return qv__sim_bytes_copy(&i->now, &i->durable, NULL, mem);
}

/* The new self of an inode, made at the first meeting; NULL: out of memory. */
static struct qv__sim_inode *clone_of(struct crash *c, struct qv__sim_inode *old)
{
    if (!old->clone) {
        struct qv__sim_inode *i = qv__sim_inode_new(c->to, old->is_dir);
        if (!i || (!old->is_dir && !fill_file(c, old, i))) {
            return NULL; /* what was made is in the list of `to`, which is closed */
        }
        i->clone = old;
        old->clone = i;
    }
    return old->clone;
}

/* --- directories --- */

/* Append to a table that is filled in order. */
static bool add_entry(struct crash *c, struct qv__sim_names *l, const char *name,
                      struct qv__sim_inode *i)
{
    char *copy = qv__strndup(c->to->base.mem, name, strlen(name));
    if (!copy || !qv__sim_names_reserve(l, c->to->base.mem, 1)) {
        qv__free(copy);
        return false;
    }
    qv__sim_names_insert(l, l->n, copy, i);
    i->refs++;
    return true;
}

static bool add_now(struct crash *c, struct qv__sim_inode *dir, const char *name,
                    struct qv__sim_inode *i)
{
    if (!add_entry(c, &dir->names_now, name, i)) {
        return false;
    }
    i->n_links++;
    i->parent = i->is_dir ? dir : NULL;
    return true;
}

static bool copy_name_ops(struct crash *c, const struct qv__sim_inode *old,
                          struct qv__sim_inode *dir)
{
    struct qv__mem *mem = c->to->base.mem;
    for (const struct qv__sim_name_op *op = old->name_ops; op; op = op->next) {
        struct qv__sim_inode *i = op->entry.inode ? clone_of(c, op->entry.inode) : NULL;
        if (op->entry.inode && !i) {
            return false;
        }
        struct qv__sim_name_op *copy = (struct qv__sim_name_op *)qv__zalloc(mem, sizeof *copy);
        if (!copy) {
            return false;
        }
        *dir->name_ops_tail = copy; /* at once, so that it is freed with the inode */
        dir->name_ops_tail = &copy->next;
        dir->n_name_ops++;
        copy->entry.name = qv__strndup(mem, op->entry.name, strlen(op->entry.name));
        if (!copy->entry.name) {
            return false;
        }
        copy->seq = op->seq;
        copy->entry.inode = i;
        if (i) {
            i->refs++;
        }
    }
    return qv__sim_names_reserve(&dir->names_durable, mem, dir->n_name_ops + 2);
}

static bool copy_dir(struct crash *c, const struct qv__sim_inode *old, struct qv__sim_inode *dir)
{
    for (size_t k = 0; k < old->names_now.n; k++) {
        struct qv__sim_inode *i = clone_of(c, old->names_now.v[k].inode);
        if (!i || !add_now(c, dir, old->names_now.v[k].name, i)) {
            return false;
        }
    }
    for (size_t k = 0; k < old->names_durable.n; k++) {
        struct qv__sim_inode *i = clone_of(c, old->names_durable.v[k].inode);
        if (!i || !add_entry(c, &dir->names_durable, old->names_durable.v[k].name, i)) {
            return false;
        }
    }
    return copy_name_ops(c, old, dir);
}

/* The durable names with the kept changes, names borrowed, inode NULL for what is gone. */
static bool surviving_names(struct crash *c, const struct qv__sim_inode *old,
                            struct qv__sim_names *out)
{
    *out = (struct qv__sim_names){0};
    if (!qv__sim_names_reserve(out, c->to->base.mem, old->names_durable.n + old->n_name_ops + 1)) {
        return false;
    }
    for (size_t k = 0; k < old->names_durable.n; k++) {
        qv__sim_names_insert(out, k, old->names_durable.v[k].name, old->names_durable.v[k].inode);
    }
    if (c->how != QV__CRASH_RANDOM) {
        return true;
    }
    for (const struct qv__sim_name_op *op = old->name_ops; op; op = op->next) {
        if (!is_kept(c, op->unit)) {
            continue;
        }
        bool found;
        size_t at = qv__sim_names_find(out, op->entry.name, strlen(op->entry.name), &found);
        if (found) {
            out->v[at].inode = op->entry.inode;
        } else if (op->entry.inode) {
            qv__sim_names_insert(out, at, op->entry.name, op->entry.inode);
        }
    }
    return true;
}

static bool rebuild_dir(struct crash *c, const struct qv__sim_inode *old, struct qv__sim_inode *dir)
{
    struct qv__sim_names names;
    bool ok = surviving_names(c, old, &names);
    for (size_t k = 0; ok && k < names.n; k++) {
        struct qv__sim_inode *at = names.v[k].inode;
        if (!at || (at->is_dir && at->clone)) {
            continue; /* removed, or a directory found before under another name */
        }
        struct qv__sim_inode *i = clone_of(c, at);
        ok = i && add_now(c, dir, names.v[k].name, i) &&
             add_entry(c, &dir->names_durable, names.v[k].name, i);
    }
    qv__free(names.v);
    return ok;
}

/* The list of the new file system is also the queue: clones are appended as they are met. */
static bool rebuild(struct crash *c)
{
    for (struct qv__sim_inode *i = c->from->first; i; i = i->next) {
        i->clone = NULL;
    }
    c->from->root->clone = c->to->root;
    c->to->root->clone = c->from->root;
    for (struct qv__sim_inode *i = c->to->first; i; i = i->next) {
        if (i->is_dir && !(c->how == QV__CRASH_KEEP_ALL ? copy_dir(c, i->clone, i)
                                                        : rebuild_dir(c, i->clone, i))) {
            return false;
        }
    }
    for (struct qv__sim_inode *i = c->to->first; i; i = i->next) {
        i->clone = NULL;
        if (!i->is_dir) {
            qv__sim_recharge(c->to, i);
        }
    }
    return true;
}

/* --- the changes that a crash decides on --- */

static int by_seq(const void *a, const void *b)
{
    uint64_t x = ((const struct qv__sim_unit *)a)->seq, y = ((const struct qv__sim_unit *)b)->seq;
    return (x > y) - (x < y);
}

static enum qv__sim_unit_kind unit_kind(const struct qv__sim_op *op)
{
    return op->kind == QV__SIM_OP_WRITE      ? QV__UNIT_WRITE
           : op->kind == QV__SIM_OP_TRUNCATE ? QV__UNIT_TRUNCATE
                                             : QV__UNIT_ALLOCATE;
}

static uint64_t sectors_of(const struct qv__sim_op *op)
{
    uint64_t first = op->off / QV__SIM_SECTOR, end = op->off + op->n;
    return op->kind == QV__SIM_OP_WRITE ? (end + QV__SIM_SECTOR - 1) / QV__SIM_SECTOR - first
                                        : op->off / QV__SIM_SECTOR;
}

/* Units of all inodes in `out` (room for `cap`); returns their number. */
static size_t collect(const struct qv__sim *sim, struct qv__sim_unit *out, size_t cap)
{
    size_t n = 0;
    for (const struct qv__sim_inode *i = sim->first; i; i = i->next) {
        for (const struct qv__sim_op *op = i->ops; op; op = op->next, n++) {
            if (n < cap) {
                out[n] = (struct qv__sim_unit){unit_kind(op), op->seq, sectors_of(op)};
            }
        }
        for (const struct qv__sim_name_op *op = i->name_ops; op; op = op->next, n++) {
            if (n < cap) {
                out[n] = (struct qv__sim_unit){
                    op->entry.inode ? QV__UNIT_ADD_NAME : QV__UNIT_DROP_NAME, op->seq, 0};
            }
        }
    }
    if (cap > 0) {
        qsort(out, QV_MIN(n, cap), sizeof *out, by_seq);
    }
    return n;
}

size_t qv__io_sim_units(struct qv__io *io, struct qv__sim_unit *out, size_t cap)
{
    struct qv__sim *sim = qv__sim_of(io);
    qv__mutex_lock(&sim->lock);
    size_t n = collect(sim, out, cap);
    qv__mutex_unlock(&sim->lock);
    return n;
}

/* Number of the unit with that seq; all are there. */
static size_t unit_of(const struct qv__sim_unit *units, size_t n, uint64_t seq)
{
    size_t low = 0;
    while (n > 1) {
        size_t half = n / 2;
        low += units[low + half].seq <= seq ? half : 0;
        n -= half;
    }
    return low;
}

/* Give every change its number. Needs the lock. */
static bool number_units(struct qv__sim *sim)
{
    size_t n = collect(sim, NULL, 0);
    struct qv__sim_unit *units =
        (struct qv__sim_unit *)qv__calloc(sim->base.mem, n + 1, sizeof *units);
    if (!units) {
        return false;
    }
    collect(sim, units, n);
    for (struct qv__sim_inode *i = sim->first; i; i = i->next) {
        for (struct qv__sim_op *op = i->ops; op; op = op->next) {
            op->unit = unit_of(units, n, op->seq);
        }
        for (struct qv__sim_name_op *op = i->name_ops; op; op = op->next) {
            op->unit = unit_of(units, n, op->seq);
        }
    }
    qv__free(units);
    return true;
}

/* --- crashes --- */

static qv_status run(struct crash *c, struct qv__io *io, struct qv__io **out, struct qv_err *err)
{
    struct qv__io *made;
    QV_TRY(qv__io_sim_open(io->mem, &made, err));
    c->from = qv__sim_of(io);
    c->to = qv__sim_of(made);
    qv__mutex_lock(&c->from->lock);
    bool ok = (!c->fates || number_units(c->from)) && rebuild(c);
    c->to->limit_bytes = c->from->limit_bytes;
    c->to->sync_delay_ns = c->from->sync_delay_ns;
    c->to->seq = c->from->seq;
    qv__mutex_unlock(&c->from->lock);
    if (!ok) {
        qv__io_close(made);
        return qv__fail(err, QV_ENOMEM, "simulated crash: no memory");
    }
    *out = made;
    return QV_OK;
}

qv_status qv__io_sim_crash(struct qv__io *io, enum qv__sim_crash how, struct qv__rng *rng,
                           struct qv__io **out, struct qv_err *err)
{
    static const uint64_t moods[] = {1, 4, 7};
    QV_ASSERT(rng || how != QV__CRASH_RANDOM);
    struct crash c = {.how = how, .rng = rng};
    if (how == QV__CRASH_RANDOM) {
        c.keep_of_8 = moods[qv__rng_below(rng, QV_ARRAY_LEN(moods))];
    }
    return run(&c, io, out, err);
}

qv_status qv__io_sim_crash_as(struct qv__io *io, const struct qv__sim_fate *fates,
                              struct qv__io **out, struct qv_err *err)
{
    struct crash c = {.how = QV__CRASH_RANDOM, .fates = fates};
    return run(&c, io, out, err);
}

/* --- comparing disks --- */

static uint64_t dir_hash(const struct qv__sim_inode *dir)
{
    uint64_t h = 1;
    for (size_t k = 0; k < dir->names_now.n; k++) {
        const struct qv__sim_entry *e = &dir->names_now.v[k];
        uint64_t in = e->inode->is_dir ? e->inode->hash : qv__sim_bytes_hash(&e->inode->now);
        h = qv__hash_u64(h ^ qv__hash_bytes(e->name, strlen(e->name)));
        h = qv__hash_u64(h ^ qv__hash_u64(in + e->inode->is_dir));
    }
    return h;
}

uint64_t qv__io_sim_hash(struct qv__io *io)
{
    struct qv__sim *sim = qv__sim_of(io);
    qv__mutex_lock(&sim->lock);
    for (struct qv__sim_inode *i = sim->last; i; i = i->prev) {
        i->hash = 0;
    }
    /* Deepest first: as often as there are levels, which are few. */
    for (uint64_t before = 1; before != sim->root->hash;) {
        before = sim->root->hash;
        for (struct qv__sim_inode *i = sim->last; i; i = i->prev) {
            i->hash = i->is_dir ? dir_hash(i) : 0;
        }
    }
    uint64_t h = sim->root->hash;
    qv__mutex_unlock(&sim->lock);
    return h;
}
