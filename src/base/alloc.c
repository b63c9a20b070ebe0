/* alloc.c: the account tree and the only callers of malloc.
 *
 * How it works. A block is one malloc: a 16-byte header (account, bytes charged), then the caller's
 * bytes up to the very end, so that a sanitizer sees an overrun. An aligned block carries 16 more
 * bytes with the address malloc gave, and a mark in the account word.
 *
 * Charging goes from the account to the root. Each level is one compare-and-swap that refuses to
 * pass the level's limit, so `used` is never above `limit`, not even for a moment; when a level
 * refuses, the levels below are given back. A charge that fails upstairs can therefore make a
 * concurrent one fail downstairs for a moment: a refusal near the limit, never an excess.
 *
 * Locks: only the shape of the tree (children, siblings) is under the tree's mutex, rank MEM;
 * counting and allocating take no lock. Failure injection is a counter in the root, shared by the
 * whole tree, of all requests: blocks, accounts and charges. */
#include "base/alloc.h"

#include <malloc.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/poison.h"
#include "base/thread.h"

#define NAME_BYTES        48
#define HUGE_PAGE_BYTES   ((size_t)2 << 20)
#define HUGE_BLOCK_MIN    ((size_t)4 << 20)
/* Of the slack before a block aligned to more than a page only about one page is ever touched. */
#define PAGE_BYTES        ((size_t)4096)
/* No single request may pass this: keeps all sums of sizes far from overflow. */
#define REQUEST_MAX       ((size_t)PTRDIFF_MAX / 4)
/* For qv__mem_tune_process. */
#define MALLOC_MAP_BYTES  (128 << 10)
#define MALLOC_TRIM_BYTES (1 << 20)

struct tree {
    struct qv__mutex lock; /* guards parent/child/sibling links */
    _Atomic uint64_t tries;
    _Atomic uint64_t fail_at; /* value of `tries` that fails; 0 = none */
    _Atomic bool fail_sticky;
};

struct qv__mem {
    struct tree *tree;                   /* immutable after open */
    struct qv__mem *parent;              /* immutable while open; NULL for the root */
    struct qv__mem *child, *next, *prev; /* guarded by: tree->lock */
    _Atomic size_t used, peak;
    size_t limit_bytes; /* immutable after open; 0 = none */
    char name[NAME_BYTES];
};

struct root {
    struct qv__mem mem; /* first: a root is its account */
    struct tree tree;
};

struct header {
    uintptr_t account; /* struct qv__mem *; bit 0 = aligned block, see struct origin */
    size_t charged;
};
_Static_assert(sizeof(struct header) == 16, "blocks stay 16-byte aligned");

/* Lies before the header of an aligned block. */
struct origin {
    void *base;
    size_t reserved;
};
_Static_assert(sizeof(struct origin) == 16, "blocks stay 16-byte aligned");

#define ALIGNED_MARK ((uintptr_t)1)

static struct header *header_of(void *p)
{
    return (struct header *)p - 1;
}

static struct qv__mem *account_of(const struct header *h)
{
    return (struct qv__mem *)(h->account & ~ALIGNED_MARK);
}

/* ---- accounts ---- */

static bool level_charge(struct qv__mem *m, size_t n)
{
    size_t limit = m->limit_bytes ? m->limit_bytes : (size_t)PTRDIFF_MAX;
    size_t used = atomic_load_explicit(&m->used, memory_order_relaxed);
    do {
        if (n > limit || used > limit - n) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&m->used, &used, used + n, memory_order_relaxed,
                                                    memory_order_relaxed));
    size_t now = used + n;
    size_t peak = atomic_load_explicit(&m->peak, memory_order_relaxed);
    while (now > peak && !atomic_compare_exchange_weak_explicit(
                             &m->peak, &peak, now, memory_order_relaxed, memory_order_relaxed)) {
    }
    return true;
}

static void level_uncharge(struct qv__mem *m, size_t n)
{
    size_t before = atomic_fetch_sub_explicit(&m->used, n, memory_order_relaxed);
    QV_DEBUG_ASSERT(before >= n);
    (void)before;
}

/* All levels from `m` up to, not including, `end`. */
static void path_uncharge(struct qv__mem *m, const struct qv__mem *end, size_t n)
{
    for (; m != end; m = m->parent) {
        level_uncharge(m, n);
    }
}

static bool path_charge(struct qv__mem *m, size_t n)
{
    if (n > REQUEST_MAX) {
        return false;
    }
    for (struct qv__mem *level = m; level; level = level->parent) {
        if (!level_charge(level, n)) {
            path_uncharge(m, level, n);
            return false;
        }
    }
    return true;
}

/* Count one request; false if failure injection wants it refused. */
static bool request_allowed(struct qv__mem *m)
{
    struct tree *t = m->tree;
    uint64_t try = atomic_fetch_add_explicit(&t->tries, 1, memory_order_relaxed) + 1;
    uint64_t at = atomic_load_explicit(&t->fail_at, memory_order_relaxed);
    if (QV_LIKELY(at == 0)) {
        return true;
    }
    return try < at || (try > at && !atomic_load_explicit(&t->fail_sticky, memory_order_relaxed));
}

static void account_init(struct qv__mem *m, struct tree *tree, struct qv__mem *parent,
                         const char *name, size_t limit_bytes)
{
    memset(m, 0, sizeof *m);
    m->tree = tree;
    m->parent = parent;
    m->limit_bytes = limit_bytes;
    atomic_init(&m->used, 0);
    atomic_init(&m->peak, 0);
    size_t n = strnlen(name, NAME_BYTES - 1);
    memcpy(m->name, name, n);
    m->name[n] = 0;
}

struct qv__mem *qv__mem_root(const char *name, size_t limit_bytes)
{
    struct root *r = malloc(sizeof *r);
    if (!r) {
        return NULL;
    }
    account_init(&r->mem, &r->tree, NULL, name, limit_bytes);
    qv__mutex_init(&r->tree.lock, QV__RANK_MEM);
    atomic_init(&r->tree.tries, 0);
    atomic_init(&r->tree.fail_at, 0);
    atomic_init(&r->tree.fail_sticky, false);
    return &r->mem;
}

struct qv__mem *qv__mem_child(struct qv__mem *parent, const char *name, size_t limit_bytes)
{
    struct qv__mem *m = qv__alloc(parent, sizeof *m);
    if (!m) {
        return NULL;
    }
    account_init(m, parent->tree, parent, name, limit_bytes);
    qv__mutex_lock(&m->tree->lock);
    m->next = parent->child;
    if (m->next) {
        m->next->prev = m;
    }
    parent->child = m;
    qv__mutex_unlock(&m->tree->lock);
    return m;
}

static void unlink_account(struct qv__mem *m)
{
    qv__mutex_lock(&m->tree->lock);
    if (m->prev) {
        m->prev->next = m->next;
    } else {
        m->parent->child = m->next;
    }
    if (m->next) {
        m->next->prev = m->prev;
    }
    m->next = m->prev = NULL;
    qv__mutex_unlock(&m->tree->lock);
}

void qv__mem_close(struct qv__mem *m)
{
    if (!m) {
        return;
    }
    struct qv__mem *parent = m->parent;
    size_t left = atomic_load_explicit(&m->used, memory_order_acquire);
    QV_DEBUG_ASSERT(!m->child);
    QV_DEBUG_ASSERT(left == 0);
    if (parent) {
        unlink_account(m);
    }
    if (left == 0 && !m->child) {
        if (parent) {
            qv__free(m);
        } else {
            qv__mutex_destroy(&m->tree->lock);
            free(m);
        }
        return;
    }
    /* Something of ours still points here. The budget above is given back, and the account itself
     * is left behind on purpose: a late qv__free must find it. */
    if (parent) {
        path_uncharge(parent, NULL, left + header_of(m)->charged);
        m->parent = NULL;
    }
}

void qv__mem_tune_process(void)
{
#ifdef __GLIBC__
    /* Unset, glibc raises the threshold to the largest block ever freed (up to 32 MiB): then blocks
     * of megabytes come from heaps whose holes are never given back. */
    (void)mallopt(M_MMAP_THRESHOLD, MALLOC_MAP_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, MALLOC_TRIM_BYTES);
#endif
}

void qv__mem_trim(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}

const char *qv__mem_name(const struct qv__mem *m)
{
    return m->name;
}

static size_t read_size(const _Atomic size_t *v)
{
    /* C17's atomic_load wants a pointer to non-const (DR 459). */
    return atomic_load_explicit((_Atomic size_t *)(uintptr_t)v, memory_order_relaxed);
}

size_t qv__mem_used(const struct qv__mem *m)
{
    return read_size(&m->used);
}

size_t qv__mem_peak(const struct qv__mem *m)
{
    return read_size(&m->peak);
}

size_t qv__mem_limit(const struct qv__mem *m)
{
    return m->limit_bytes;
}

size_t qv__mem_room(const struct qv__mem *m)
{
    size_t room = SIZE_MAX;
    for (; m; m = m->parent) {
        if (m->limit_bytes) {
            size_t used = read_size(&m->used);
            room = QV_MIN(room, m->limit_bytes - QV_MIN(used, m->limit_bytes));
        }
    }
    return room;
}

struct qv__mem *qv__mem_parent(struct qv__mem *m)
{
    return m->parent;
}

void qv__mem_walk(struct qv__mem *m, void (*cb)(struct qv__mem *, unsigned depth, void *),
                  void *arg)
{
    qv__mutex_lock(&m->tree->lock);
    struct qv__mem *at = m;
    unsigned depth = 0;
    while (at) {
        cb(at, depth, arg);
        if (at->child) {
            at = at->child;
            depth++;
            continue;
        }
        while (at != m && !at->next) {
            at = at->parent;
            depth--;
        }
        at = at == m ? NULL : at->next;
    }
    qv__mutex_unlock(&m->tree->lock);
}

qv_status qv__mem_charge(struct qv__mem *m, size_t n)
{
    return request_allowed(m) && path_charge(m, n) ? QV_OK : QV_ENOMEM;
}

void qv__mem_uncharge(struct qv__mem *m, size_t n)
{
    path_uncharge(m, NULL, n);
}

void qv__mem_fail_at(struct qv__mem *m, uint64_t n, bool sticky)
{
    struct tree *t = m->tree;
    uint64_t now = atomic_load_explicit(&t->tries, memory_order_relaxed);
    atomic_store_explicit(&t->fail_sticky, sticky, memory_order_relaxed);
    atomic_store_explicit(&t->fail_at, n ? now + n : 0, memory_order_relaxed);
}

uint64_t qv__mem_allocations(const struct qv__mem *m)
{
    return atomic_load_explicit(&m->tree->tries, memory_order_relaxed);
}

/* ---- blocks ---- */

static void *block_new(struct qv__mem *m, size_t n, bool zeroed)
{
    if (!request_allowed(m) || n > REQUEST_MAX) {
        return NULL;
    }
    size_t total = n + sizeof(struct header);
    if (!path_charge(m, total)) {
        return NULL;
    }
    /* calloc, not memset: fresh pages of a big block come zeroed and stay untouched. */
    struct header *h = zeroed ? calloc(1, total) : malloc(total);
    if (!h) {
        path_uncharge(m, NULL, total);
        return NULL;
    }
    h->account = (uintptr_t)m;
    h->charged = total;
    return h + 1;
}

void *qv__alloc(struct qv__mem *m, size_t n)
{
    return block_new(m, n, false);
}

void *qv__zalloc(struct qv__mem *m, size_t n)
{
    return block_new(m, n, true);
}

void *qv__calloc(struct qv__mem *m, size_t count, size_t size)
{
    size_t n;
    return qv__mul_ok(count, size, &n) ? block_new(m, n, true) : NULL;
}

void *qv__realloc(struct qv__mem *m, void *p, size_t n)
{
    if (!p) {
        return qv__alloc(m, n);
    }
    struct header *h = header_of(p);
    QV_ASSERT(!(h->account & ALIGNED_MARK));
    struct qv__mem *owner = account_of(h);
    QV_DEBUG_ASSERT(owner == m);
    if (!request_allowed(owner) || n > REQUEST_MAX) {
        return NULL;
    }
    size_t old_total = h->charged;
    size_t total = n + sizeof *h;
    size_t more = total > old_total ? total - old_total : 0;
    if (more && !path_charge(owner, more)) {
        return NULL;
    }
    struct header *moved = realloc(h, total);
    if (!moved) {
        path_uncharge(owner, NULL, more);
        return NULL;
    }
    moved->charged = total;
    if (total < old_total) {
        path_uncharge(owner, NULL, old_total - total);
    }
    return moved + 1;
}

void *qv__alloc_aligned(struct qv__mem *m, size_t align, size_t n)
{
    QV_ASSERT(align && (align & (align - 1)) == 0 && align <= HUGE_PAGE_BYTES);
    if (!request_allowed(m) || n > REQUEST_MAX) {
        return NULL;
    }
    align = QV_MAX(align, (size_t)16);
    size_t before = sizeof(struct origin) + sizeof(struct header);
    size_t reserved = n + before + align - 16; /* malloc itself aligns to 16 */
    size_t charged = n + before + QV_MIN(align, PAGE_BYTES) - 16;
    if (!path_charge(m, charged)) {
        return NULL;
    }
    char *base = malloc(reserved);
    if (!base) {
        path_uncharge(m, NULL, charged);
        return NULL;
    }
    uintptr_t first = (uintptr_t)base + before;
    char *p = base + before + (QV_ALIGN_UP(first, align) - first);
    struct header *h = header_of(p);
    struct origin *o = (struct origin *)(void *)h - 1;
    o->base = base;
    o->reserved = reserved;
    h->account = (uintptr_t)m | ALIGNED_MARK;
    h->charged = charged;
    if (align == HUGE_PAGE_BYTES && n >= HUGE_BLOCK_MIN) {
        /* Advice only: small pages work too. Whole huge pages of the block, nothing beyond. */
        (void)madvise(p, n & ~(HUGE_PAGE_BYTES - 1), MADV_HUGEPAGE);
    }
    QV__POISON(p + n, (size_t)(base + reserved - (p + n)));
    return p;
}

char *qv__strndup(struct qv__mem *m, const char *s, size_t n)
{
    if (n >= REQUEST_MAX) {
        return NULL;
    }
    char *copy = qv__alloc(m, n + 1);
    if (!copy) {
        return NULL;
    }
    if (n) {
        memcpy(copy, s, n);
    }
    copy[n] = 0;
    return copy;
}

void qv__free(void *p)
{
    if (!p) {
        return;
    }
    struct header *h = header_of(p);
    struct qv__mem *m = account_of(h);
    size_t charged = h->charged;
    void *base = h;
    if (h->account & ALIGNED_MARK) {
        struct origin *o = (struct origin *)(void *)h - 1;
        base = o->base;
        QV__UNPOISON(base, o->reserved);
    }
    free(base);
    path_uncharge(m, NULL, charged);
}
