/* io_sim_bytes.c: the bytes of a simulated file, and changes of them.
 *
 * A table of 4 KiB pages in which NULL stands for zeros: a log that is preallocated to many
 * megabytes costs only its table. Pages are shared with the file systems that crashes make, and
 * copied by whoever writes first, so that thousands of crashes of one state cost little.
 * Shrinking clears pages but keeps them, so that a page reserved for a later, unsynced write is
 * still there when a sync replays "write, truncate, write" on the durable bytes. */
#include "base/map.h"
#include "os/io_sim_impl.h"

static struct qv__sim_page *page_new(struct qv__mem *mem, const uint8_t *bytes)
{
    struct qv__sim_page *page = (struct qv__sim_page *)qv__alloc(mem, sizeof *page);
    if (page) {
        atomic_init(&page->refs, 1);
        atomic_init(&page->hash, 0);
        if (bytes) {
            memcpy(page->b, bytes, sizeof page->b);
        } else {
            memset(page->b, 0, sizeof page->b);
        }
    }
    return page;
}

static void page_release(struct qv__sim_page *page)
{
    if (page && atomic_fetch_sub(&page->refs, 1) == 1) {
        qv__free(page);
    }
}

/* Exists already and is shared: a copy of its own. */
static bool page_unshare(struct qv__sim_page **at, struct qv__mem *mem)
{
    if (atomic_load(&(*at)->refs) == 1) {
        return true;
    }
    struct qv__sim_page *copy = page_new(mem, (*at)->b);
    if (copy) {
        page_release(*at);
        *at = copy;
    }
    return copy != NULL;
}

/* Room in the table for n pages. */
static bool table_reserve(struct qv__sim_bytes *b, struct qv__mem *mem, size_t n)
{
    if (n <= b->n_pages) {
        return true;
    }
    n = QV_MAX(n, b->n_pages * 2);
    struct qv__sim_page **pages =
        (struct qv__sim_page **)qv__realloc(mem, b->pages, n * sizeof(struct qv__sim_page *));
    if (!pages) {
        return false;
    }
    memset(pages + b->n_pages, 0, (n - b->n_pages) * sizeof(struct qv__sim_page *));
    b->pages = pages;
    b->n_pages = n;
    return true;
}

bool qv__sim_bytes_reserve(struct qv__sim_bytes *b, struct qv__mem *mem, uint64_t off, size_t n)
{
    if (n == 0) {
        return true;
    }
    QV_ASSERT(off + n <= QV__SIM_FILE_MAX);
    size_t first = (size_t)(off / QV__SIM_PAGE), last = (size_t)((off + n - 1) / QV__SIM_PAGE);
    if (!table_reserve(b, mem, last + 1)) {
        return false;
    }
    for (size_t i = first; i <= last; i++) {
        if (b->pages[i] ? !page_unshare(&b->pages[i], mem) : !(b->pages[i] = page_new(mem, NULL))) {
            return false;
        }
    }
    return true;
}

bool qv__sim_bytes_reserve_cut(struct qv__sim_bytes *b, struct qv__mem *mem, uint64_t size)
{
    for (size_t i = (size_t)(size / QV__SIM_PAGE); i < b->n_pages; i++) {
        if (b->pages[i] && !page_unshare(&b->pages[i], mem)) {
            return false;
        }
    }
    return true;
}

/* Bytes of [off, off + n) that lie in the page of `off`. */
static size_t in_page(uint64_t off, uint64_t n)
{
    return (size_t)QV_MIN(n, QV__SIM_PAGE - off % QV__SIM_PAGE);
}

/* The page at `off`, about to be written to. */
static struct qv__sim_page *page_for_writing(struct qv__sim_bytes *b, uint64_t off)
{
    struct qv__sim_page *page = b->pages[off / QV__SIM_PAGE];
    if (page) {
        QV_ASSERT(atomic_load(&page->refs) == 1);
        atomic_store(&page->hash, 0);
    }
    return page;
}

void qv__sim_bytes_put(struct qv__sim_bytes *b, uint64_t off, const uint8_t *src, size_t n)
{
    while (n > 0) {
        size_t m = in_page(off, n);
        memcpy(page_for_writing(b, off)->b + off % QV__SIM_PAGE, src, m);
        off += m;
        src += m;
        n -= m;
        b->size = QV_MAX(b->size, off);
    }
}

void qv__sim_bytes_get(const struct qv__sim_bytes *b, uint64_t off, uint8_t *dst, size_t n)
{
    QV_ASSERT(off <= b->size && n <= b->size - off);
    while (n > 0) {
        size_t m = in_page(off, n), page = (size_t)(off / QV__SIM_PAGE);
        if (page < b->n_pages && b->pages[page]) {
            memcpy(dst, b->pages[page]->b + off % QV__SIM_PAGE, m);
        } else {
            memset(dst, 0, m);
        }
        off += m;
        dst += m;
        n -= m;
    }
}

void qv__sim_bytes_resize(struct qv__sim_bytes *b, uint64_t size)
{
    uint64_t end = QV_MIN(b->size, (uint64_t)b->n_pages * QV__SIM_PAGE);
    for (uint64_t off = size; off < end;) {
        size_t m = in_page(off, end - off);
        struct qv__sim_page *page = page_for_writing(b, off);
        if (page) {
            memset(page->b + off % QV__SIM_PAGE, 0, m);
        }
        off += m;
    }
    b->size = size;
}

/* True if an op of the list will write to page i. */
static bool is_spoken_for(const struct qv__sim_op *ops, size_t i)
{
    uint64_t from = (uint64_t)i * QV__SIM_PAGE, to = from + QV__SIM_PAGE;
    for (const struct qv__sim_op *op = ops; op; op = op->next) {
        if (op->kind == QV__SIM_OP_WRITE ? op->off < to && from < op->off + op->n
                                         : op->kind == QV__SIM_OP_TRUNCATE && op->off < to) {
            return true;
        }
    }
    return false;
}

bool qv__sim_bytes_copy(struct qv__sim_bytes *to, const struct qv__sim_bytes *from,
                        const struct qv__sim_op *ops, struct qv__mem *mem)
{
    *to = (struct qv__sim_bytes){0};
    size_t n = from->n_pages;
    while (n > 0 && !from->pages[n - 1]) {
        n--;
    }
    if (!table_reserve(to, mem, n)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        struct qv__sim_page *page = from->pages[i];
        if (page && is_spoken_for(ops, i)) {
            page = page_new(mem, page->b);
            if (!page) {
                qv__sim_bytes_free(to);
                return false;
            }
        } else if (page) {
            atomic_fetch_add(&page->refs, 1);
        }
        to->pages[i] = page;
    }
    to->size = from->size;
    return true;
}

static uint64_t page_hash(struct qv__sim_page *page)
{
    static const uint8_t zeros[QV__SIM_PAGE];
    uint64_t h = atomic_load(&page->hash);
    if (!h) {
        h = memcmp(page->b, zeros, sizeof zeros) == 0 ? 1 : qv__hash_bytes(page->b, sizeof page->b);
        atomic_store(&page->hash, h);
    }
    return h;
}

uint64_t qv__sim_bytes_hash(const struct qv__sim_bytes *b)
{
    uint64_t h = qv__hash_u64(b->size);
    for (size_t i = 0; i < b->n_pages; i++) {
        uint64_t p = b->pages[i] ? page_hash(b->pages[i]) : 1;
        if (p != 1) {
            h = qv__hash_u64(h ^ qv__hash_u64(p + i));
        }
    }
    return h;
}

void qv__sim_bytes_free(struct qv__sim_bytes *b)
{
    for (size_t i = 0; i < b->n_pages; i++) {
        page_release(b->pages[i]);
    }
    qv__free(b->pages);
    *b = (struct qv__sim_bytes){0};
}

struct qv__sim_op *qv__sim_op_new(struct qv__mem *mem, enum qv__sim_op_kind kind, uint64_t off,
                                  const void *data, size_t n)
{
    size_t bytes;
    struct qv__sim_op *op = NULL;
    if (qv__add_ok(sizeof *op, n, &bytes)) {
        op = (struct qv__sim_op *)qv__alloc(mem, bytes);
    }
    if (op) {
        *op = (struct qv__sim_op){.kind = kind, .off = off, .n = n};
        if (n > 0) {
            memcpy(op->data, data, n);
        }
    }
    return op;
}

void qv__sim_op_apply(const struct qv__sim_op *op, struct qv__sim_bytes *b)
{
    switch (op->kind) {
    case QV__SIM_OP_WRITE:
        qv__sim_bytes_put(b, op->off, op->data, op->n);
        break;
    case QV__SIM_OP_TRUNCATE:
        qv__sim_bytes_resize(b, op->off);
        break;
    case QV__SIM_OP_ALLOCATE:
        if (op->off > b->size) {
            qv__sim_bytes_resize(b, op->off);
        }
        break;
    }
}
