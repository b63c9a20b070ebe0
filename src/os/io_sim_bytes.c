/* io_sim_bytes.c: the bytes of a simulated file, and changes of them.
 *
 * A table of 4 KiB pages in which NULL stands for zeros: a log that is preallocated to many
 * megabytes costs only its table, and copying a file system at a crash touches what was written.
 * Shrinking clears pages but keeps them, so that a page reserved for a later, unsynced write is
 * still there when a sync replays "write, truncate, write" on the durable bytes. */
#include "os/io_sim_impl.h"

bool qv__sim_bytes_reserve(struct qv__sim_bytes *b, struct qv__mem *mem, uint64_t off, size_t n)
{
    if (n == 0) {
        return true;
    }
    QV_ASSERT(off + n <= QV__SIM_FILE_MAX);
    size_t first = (size_t)(off / QV__SIM_PAGE), last = (size_t)((off + n - 1) / QV__SIM_PAGE);
    if (last >= b->n_pages) {
        size_t n_pages = QV_MAX(last + 1, b->n_pages * 2);
        uint8_t **pages = (uint8_t **)qv__realloc(mem, b->pages, n_pages * sizeof *pages);
        if (!pages) {
            return false;
        }
        memset(pages + b->n_pages, 0, (n_pages - b->n_pages) * sizeof *pages);
        b->pages = pages;
        b->n_pages = n_pages;
    }
    for (size_t i = first; i <= last; i++) {
        if (!b->pages[i]) {
            b->pages[i] = (uint8_t *)qv__zalloc(mem, QV__SIM_PAGE);
            if (!b->pages[i]) {
                return false;
            }
        }
    }
    return true;
}

/* Bytes of [off, off + n) that lie in the page of `off`. */
static size_t in_page(uint64_t off, uint64_t n)
{
    return (size_t)QV_MIN(n, QV__SIM_PAGE - off % QV__SIM_PAGE);
}

void qv__sim_bytes_put(struct qv__sim_bytes *b, uint64_t off, const uint8_t *src, size_t n)
{
    while (n > 0) {
        size_t m = in_page(off, n);
        memcpy(b->pages[off / QV__SIM_PAGE] + off % QV__SIM_PAGE, src, m);
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
            memcpy(dst, b->pages[page] + off % QV__SIM_PAGE, m);
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
        uint8_t *page = b->pages[off / QV__SIM_PAGE];
        if (page) {
            memset(page + off % QV__SIM_PAGE, 0, m);
        }
        off += m;
    }
    b->size = size;
}

bool qv__sim_bytes_copy(struct qv__sim_bytes *to, const struct qv__sim_bytes *from,
                        struct qv__mem *mem)
{
    *to = (struct qv__sim_bytes){0};
    for (size_t i = 0; i < from->n_pages; i++) {
        if (!from->pages[i]) {
            continue;
        }
        if (!qv__sim_bytes_reserve(to, mem, (uint64_t)i * QV__SIM_PAGE, QV__SIM_PAGE)) {
            qv__sim_bytes_free(to);
            return false;
        }
        memcpy(to->pages[i], from->pages[i], QV__SIM_PAGE);
    }
    to->size = from->size;
    return true;
}

void qv__sim_bytes_free(struct qv__sim_bytes *b)
{
    for (size_t i = 0; i < b->n_pages; i++) {
        qv__free(b->pages[i]);
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
