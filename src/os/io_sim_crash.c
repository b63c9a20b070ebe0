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
 * One in three random crashes loses almost everything unsynced, one almost nothing, one half: with
 * a fair coin for each of forty writes, "only the first is missing" would never be seen.
 *
 * Names are kept on their own: of a rename, the disk may hold the old name, the new, both or
 * neither. Only a directory is never found twice; the name met first has it. What no name reaches
 * is gone, be it synced or not.
 *
 * Locks: the old file system's, throughout; the new one is nobody else's yet. */
#include "os/io_sim_impl.h"

struct crash {
    struct qv__sim *from, *to;
    enum qv__sim_crash how;
    struct qv__rng *rng;
    uint64_t keep_of_8; /* chance that an unsynced op is kept */
};

static bool is_kept(struct crash *c)
{
    return qv__rng_below(c->rng, 8) < c->keep_of_8;
}

static bool coin(struct crash *c)
{
    return qv__rng_below(c->rng, 2) == 0;
}

/* --- files --- */

static void tear_write(struct crash *c, const struct qv__sim_op *op, struct qv__sim_bytes *b)
{
    uint64_t at = op->off, end = op->off + op->n;
    while (at < end) {
        size_t n = (size_t)QV_MIN(end - at, QV__SIM_SECTOR - at % QV__SIM_SECTOR);
        if (coin(c)) {
            qv__sim_bytes_put(b, at, op->data + (at - op->off), n);
        }
        at += n;
    }
    if (b->size < end && coin(c)) {
        qv__sim_bytes_resize(b, end); /* the size arrived, the last bytes did not */
    }
}

static void tear_allocate(struct crash *c, const struct qv__sim_op *op, struct qv__sim_bytes *b)
{
    if (op->off > b->size) {
        uint64_t sectors = qv__rng_below(c->rng, (op->off - b->size) / QV__SIM_SECTOR + 1);
        qv__sim_bytes_resize(b, b->size + sectors * QV__SIM_SECTOR);
    }
}

/* One unsynced op meets its fate. */
static bool replay(struct crash *c, const struct qv__sim_op *op, struct qv__sim_bytes *b)
{
    if (op->kind == QV__SIM_OP_WRITE &&
        !qv__sim_bytes_reserve(b, c->to->base.mem, op->off, op->n)) {
        return false;
    }
    if (is_kept(c)) {
        qv__sim_op_apply(op, b);
    } else if (coin(c)) {
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
        return qv__sim_bytes_copy(&i->now, &old->now, mem) &&
               qv__sim_bytes_copy(&i->durable, &old->durable, mem) && copy_ops(c, old, i);
    }
    if (!qv__sim_bytes_copy(&i->durable, &old->durable, mem)) {
        return false;
    }
    if (c->how == QV__CRASH_RANDOM) {
        for (const struct qv__sim_op *op = old->ops; op; op = op->next) {
            if (!replay(c, op, &i->durable)) {
                return false;
            }
        }
    }
    return qv__sim_bytes_copy(&i->now, &i->durable, mem);
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
        if (!is_kept(c)) {
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

qv_status qv__io_sim_crash(struct qv__io *io, enum qv__sim_crash how, struct qv__rng *rng,
                           struct qv__io **out, struct qv_err *err)
{
    static const uint64_t moods[] = {1, 4, 7};
    struct qv__io *made;
    QV_ASSERT(rng || how != QV__CRASH_RANDOM);
    QV_TRY(qv__io_sim_open(io->mem, &made, err));
    struct crash c = {.from = qv__sim_of(io), .to = qv__sim_of(made), .how = how, .rng = rng};
    if (how == QV__CRASH_RANDOM) {
        c.keep_of_8 = moods[qv__rng_below(rng, QV_ARRAY_LEN(moods))];
    }
    qv__mutex_lock(&c.from->lock);
    bool ok = rebuild(&c);
    c.to->limit_bytes = c.from->limit_bytes;
    c.to->sync_delay_ns = c.from->sync_delay_ns;
    qv__mutex_unlock(&c.from->lock);
    if (!ok) {
        qv__io_close(made);
        return qv__fail(err, QV_ENOMEM, "simulated crash: no memory");
    }
    *out = made;
    return QV_OK;
}
