/* io_sim_tree.c: inodes, directories and their names.
 *
 * A directory holds two sorted tables of names, now and durable, and the list of changes that
 * sync_dir has not covered yet. An inode lives as long as anything refers to it: an entry of either
 * table, an unsynced change, an open file. Directories can refer to each other in circles through
 * their durable tables (move a into b, sync b, and so on); those go when the io is closed, which
 * frees all inodes by their list. */
#include "os/io_sim_impl.h"

/* --- inodes --- */

struct qv__sim_inode *qv__sim_inode_new(struct qv__sim *sim, bool is_dir)
{
    struct qv__sim_inode *i = (struct qv__sim_inode *)qv__zalloc(sim->base.mem, sizeof *i);
    if (!i) {
        return NULL;
    }
    i->is_dir = is_dir;
    i->ops_tail = &i->ops;
    i->name_ops_tail = &i->name_ops;
    i->prev = sim->last;
    *(sim->last ? &sim->last->next : &sim->first) = i;
    sim->last = i;
    return i;
}

static void names_free(struct qv__sim_names *l)
{
    for (size_t i = 0; i < l->n; i++) {
        qv__free(l->v[i].name);
    }
    qv__free(l->v);
    *l = (struct qv__sim_names){0};
}

void qv__sim_inode_free(struct qv__sim *sim, struct qv__sim_inode *i)
{
    while (i->ops) {
        struct qv__sim_op *op = i->ops;
        i->ops = op->next;
        qv__free(op);
    }
    while (i->name_ops) {
        struct qv__sim_name_op *op = i->name_ops;
        i->name_ops = op->next;
        qv__free(op->entry.name);
        qv__free(op);
    }
    qv__sim_bytes_free(&i->now);
    qv__sim_bytes_free(&i->durable);
    names_free(&i->names_now);
    names_free(&i->names_durable);
    *(i->prev ? &i->prev->next : &sim->first) = i->next;
    *(i->next ? &i->next->prev : &sim->last) = i->prev;
    qv__free(i);
}

void qv__sim_recharge(struct qv__sim *sim, struct qv__sim_inode *i)
{
    uint64_t want = i->n_links + i->n_open > 0 ? i->now.size : 0;
    sim->used_bytes = sim->used_bytes - i->charged_bytes + want;
    i->charged_bytes = want;
}

/* Drop one reference; push the inode to the dead when it was the last. */
static void release(struct qv__sim_inode *i, struct qv__sim_inode **dead)
{
    if (!i) {
        return;
    }
    QV_ASSERT(i->refs > 0);
    if (--i->refs == 0) {
        i->clone = *dead;
        *dead = i;
    }
}

void qv__sim_unref(struct qv__sim *sim, struct qv__sim_inode *inode)
{
    struct qv__sim_inode *dead = NULL;
    release(inode, &dead);
    while (dead) { /* a list, not recursion: a tree may be deep */
        struct qv__sim_inode *i = dead;
        dead = i->clone;
        for (size_t k = 0; k < i->names_now.n; k++) {
            release(i->names_now.v[k].inode, &dead);
        }
        for (size_t k = 0; k < i->names_durable.n; k++) {
            release(i->names_durable.v[k].inode, &dead);
        }
        for (struct qv__sim_name_op *op = i->name_ops; op; op = op->next) {
            release(op->entry.inode, &dead);
        }
        qv__sim_inode_free(sim, i);
    }
}

/* --- tables of names --- */

size_t qv__sim_names_find(const struct qv__sim_names *l, const char *name, size_t n, bool *found)
{
    size_t low = 0, high = l->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = qv__str_cmp(qv__str_z(l->v[mid].name), (struct qv__str){name, n});
        if (c == 0) {
            *found = true;
            return mid;
        }
        if (c < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *found = false;
    return low;
}

bool qv__sim_names_reserve(struct qv__sim_names *l, struct qv__mem *mem, size_t n_more)
{
    if (l->cap - l->n >= n_more) {
        return true;
    }
    size_t cap = QV_MAX(l->n + n_more, l->cap * 2), bytes;
    void *v = qv__mul_ok(cap, sizeof *l->v, &bytes) ? qv__realloc(mem, l->v, bytes) : NULL;
    if (!v) {
        return false;
    }
    l->v = (struct qv__sim_entry *)v;
    l->cap = cap;
    return true;
}

void qv__sim_names_insert(struct qv__sim_names *l, size_t at, char *name,
                          struct qv__sim_inode *inode)
{
    QV_ASSERT(l->n < l->cap && at <= l->n);
    memmove(l->v + at + 1, l->v + at, (l->n - at) * sizeof *l->v);
    l->v[at] = (struct qv__sim_entry){name, inode};
    l->n++;
}

static void names_remove(struct qv__sim_names *l, size_t at)
{
    qv__free(l->v[at].name);
    l->n--;
    memmove(l->v + at, l->v + at + 1, (l->n - at) * sizeof *l->v);
}

/* --- changes of a name --- */

bool qv__sim_change_prepare(struct qv__sim *sim, struct qv__sim_inode *dir, const char *name,
                            struct qv__sim_inode *inode, struct qv__sim_change *out)
{
    struct qv__mem *mem = sim->base.mem;
    size_t n = strlen(name);
    struct qv__sim_change c = {.dir = dir};
    c.op = (struct qv__sim_name_op *)qv__zalloc(mem, sizeof *c.op);
    if (!c.op) {
        return false;
    }
    c.op->entry = (struct qv__sim_entry){qv__strndup(mem, name, n), inode};
    c.name = qv__strndup(mem, name, n);
    /* Two more than there are: a rename prepares two changes of one directory. */
    if (!c.op->entry.name || !c.name || !qv__sim_names_reserve(&dir->names_now, mem, 2) ||
        !qv__sim_names_reserve(&dir->names_durable, mem, dir->n_name_ops + 2)) {
        qv__sim_change_abort(&c);
        return false;
    }
    *out = c;
    return true;
}

void qv__sim_change_abort(struct qv__sim_change *c)
{
    if (c->op) {
        qv__free(c->op->entry.name);
    }
    qv__free(c->op);
    qv__free(c->name);
    *c = (struct qv__sim_change){0};
}

/* An entry of a `now` table goes away. */
static void unlink_inode(struct qv__sim *sim, struct qv__sim_inode *i)
{
    i->n_links--;
    qv__sim_recharge(sim, i);
    qv__sim_unref(sim, i);
}

void qv__sim_change_commit(struct qv__sim *sim, struct qv__sim_change *c)
{
    struct qv__sim_inode *dir = c->dir, *to = c->op->entry.inode, *old = NULL;
    bool found;
    size_t at = qv__sim_names_find(&dir->names_now, c->name, strlen(c->name), &found);
    if (to) {
        to->refs += 2; /* the entry and the unsynced change */
        to->n_links++;
        to->parent = to->is_dir ? dir : NULL;
        qv__sim_recharge(sim, to);
    }
    if (found) {
        old = dir->names_now.v[at].inode;
    }
    if (to && found) {
        dir->names_now.v[at].inode = to;
    } else if (to) {
        qv__sim_names_insert(&dir->names_now, at, c->name, to);
        c->name = NULL;
    } else {
        QV_ASSERT(found);
        names_remove(&dir->names_now, at);
    }
    c->op->seq = ++sim->seq;
    *dir->name_ops_tail = c->op;
    dir->name_ops_tail = &c->op->next;
    dir->n_name_ops++;
    c->op = NULL;
    if (old) {
        unlink_inode(sim, old);
    }
    qv__sim_change_abort(c); /* frees what was not used */
}

void qv__sim_names_sync(struct qv__sim *sim, struct qv__sim_inode *dir)
{
    struct qv__sim_name_op *op = dir->name_ops;
    dir->name_ops = NULL;
    dir->name_ops_tail = &dir->name_ops;
    dir->n_name_ops = 0;
    while (op) {
        struct qv__sim_name_op *next = op->next;
        struct qv__sim_inode *old = NULL;
        bool found;
        size_t at =
            qv__sim_names_find(&dir->names_durable, op->entry.name, strlen(op->entry.name), &found);
        if (found) {
            old = dir->names_durable.v[at].inode;
        }
        if (op->entry.inode && found) { /* the op's reference becomes the entry's */
            dir->names_durable.v[at].inode = op->entry.inode;
        } else if (op->entry.inode) {
            qv__sim_names_insert(&dir->names_durable, at, op->entry.name, op->entry.inode);
            op->entry.name = NULL;
        } else if (found) {
            names_remove(&dir->names_durable, at);
        }
        if (old) {
            qv__sim_unref(sim, old);
        }
        qv__free(op->entry.name);
        qv__free(op);
        op = next;
    }
}

/* --- names to inodes --- */

qv_status qv__sim_resolve(struct qv__sim *sim, const char *name, struct qv__sim_place *out,
                          struct qv_err *err)
{
    struct qv__sim_place at = {NULL, name, sim->root};
    const char *part = name;
    while (*part) {
        size_t n = strcspn(part, "/");
        if (!at.inode) {
            return qv__fail(err, QV_ENOTFOUND, "%s: a directory on the way does not exist", name);
        }
        if (!at.inode->is_dir) {
            return qv__fail(err, QV_EIO, "%s: a part on the way is not a directory", name);
        }
        bool found;
        size_t i = qv__sim_names_find(&at.inode->names_now, part, n, &found);
        at = (struct qv__sim_place){at.inode, part, found ? at.inode->names_now.v[i].inode : NULL};
        part += n + (part[n] == '/');
    }
    *out = at;
    return QV_OK;
}

static qv_status no_memory(const char *verb, const char *name, struct qv_err *err)
{
    return qv__fail(err, QV_ENOMEM, "%s %s: no memory", verb, name);
}

static qv_status missing(const char *verb, const char *name, struct qv_err *err)
{
    return qv__fail(err, QV_ENOTFOUND, "%s %s: no such file or directory", verb, name);
}

/* rename's rules for what lies at the target. */
static qv_status check_target(const struct qv__sim_place *a, const struct qv__sim_place *b,
                              const char *to, struct qv_err *err)
{
    for (const struct qv__sim_inode *d = b->parent; d; d = d->parent) {
        if (d == a->inode) {
            return qv__fail(err, QV_EIO, "rename: %s lies inside of what is renamed", to);
        }
    }
    if (!b->inode) {
        return QV_OK;
    }
    for (const struct qv__sim_inode *d = a->parent; d; d = d->parent) {
        if (d == b->inode) { /* Linux looks at this before the kinds */
            return qv__fail(err, QV_EEXISTS, "rename: the directory %s is not empty", to);
        }
    }
    if (a->inode->is_dir != b->inode->is_dir) {
        return qv__fail(err, QV_EIO, "rename: %s is %s directory", to,
                        b->inode->is_dir ? "a" : "not a");
    }
    if (b->inode->names_now.n > 0) {
        return qv__fail(err, QV_EEXISTS, "rename: the directory %s is not empty", to);
    }
    return QV_OK;
}

qv_status qv__sim_rename(struct qv__sim *sim, const char *from, const char *to, struct qv_err *err)
{
    struct qv__sim_place a, b;
    QV_TRY(qv__sim_resolve(sim, from, &a, err));
    QV_TRY(qv__sim_resolve(sim, to, &b, err));
    if (!a.inode) {
        return missing("rename", from, err);
    }
    if (a.inode == b.inode) {
        return QV_OK; /* as POSIX says, two links of one file stay both */
    }
    QV_TRY(check_target(&a, &b, to, err));
    struct qv__sim_change add = {0}, drop = {0};
    if (!qv__sim_change_prepare(sim, b.parent, b.leaf, a.inode, &add) ||
        !qv__sim_change_prepare(sim, a.parent, a.leaf, NULL, &drop)) {
        qv__sim_change_abort(&add);
        return no_memory("rename", from, err);
    }
    qv__sim_change_commit(sim, &add); /* first, so that the inode is never without a link */
    qv__sim_change_commit(sim, &drop);
    return QV_OK;
}

qv_status qv__sim_link(struct qv__sim *sim, const char *from, const char *to, struct qv_err *err)
{
    struct qv__sim_place a, b;
    struct qv__sim_change add;
    QV_TRY(qv__sim_resolve(sim, from, &a, err));
    QV_TRY(qv__sim_resolve(sim, to, &b, err));
    if (!a.inode) {
        return missing("link", from, err);
    }
    if (b.inode) {
        return qv__fail(err, QV_EEXISTS, "link %s to %s: the target exists", from, to);
    }
    if (a.inode->is_dir) {
        return qv__fail(err, QV_EIO, "link %s: is a directory", from);
    }
    if (!qv__sim_change_prepare(sim, b.parent, b.leaf, a.inode, &add)) {
        return no_memory("link", to, err);
    }
    qv__sim_change_commit(sim, &add);
    return QV_OK;
}

/* Remove the entry at `at`. */
static qv_status remove_entry(struct qv__sim *sim, const struct qv__sim_place *at, const char *verb,
                              const char *name, struct qv_err *err)
{
    struct qv__sim_change drop;
    if (!qv__sim_change_prepare(sim, at->parent, at->leaf, NULL, &drop)) {
        return no_memory(verb, name, err);
    }
    qv__sim_change_commit(sim, &drop);
    return QV_OK;
}

qv_status qv__sim_unlink(struct qv__sim *sim, const char *name, struct qv_err *err)
{
    struct qv__sim_place at;
    QV_TRY(qv__sim_resolve(sim, name, &at, err));
    if (!at.inode) {
        return missing("unlink", name, err);
    }
    if (at.inode->is_dir) {
        return qv__fail(err, QV_EIO, "unlink %s: is a directory", name);
    }
    return remove_entry(sim, &at, "unlink", name, err);
}

qv_status qv__sim_rmdir(struct qv__sim *sim, const char *name, struct qv_err *err)
{
    struct qv__sim_place at;
    QV_TRY(qv__sim_resolve(sim, name, &at, err));
    if (!at.inode) {
        return missing("rmdir", name, err);
    }
    if (!at.inode->is_dir) {
        return qv__fail(err, QV_EIO, "rmdir %s: is not a directory", name);
    }
    if (at.inode->names_now.n > 0) {
        return qv__fail(err, QV_EEXISTS, "rmdir %s: the directory is not empty", name);
    }
    return remove_entry(sim, &at, "rmdir", name, err);
}

qv_status qv__sim_mkdir(struct qv__sim *sim, const char *name, struct qv_err *err)
{
    struct qv__sim_place at;
    struct qv__sim_change add;
    QV_TRY(qv__sim_resolve(sim, name, &at, err));
    if (at.inode) {
        return qv__fail(err, QV_EEXISTS, "mkdir %s: exists", name);
    }
    struct qv__sim_inode *dir = qv__sim_inode_new(sim, true);
    if (!dir || !qv__sim_change_prepare(sim, at.parent, at.leaf, dir, &add)) {
        if (dir) {
            qv__sim_inode_free(sim, dir);
        }
        return no_memory("mkdir", name, err);
    }
    qv__sim_change_commit(sim, &add);
    return QV_OK;
}
