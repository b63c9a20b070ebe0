/* io_names.h: the names of one directory, gathered first and told afterwards.
 *
 * What it is: a helper of both backends. Names are collected while the directory is open (or the
 * simulated one is locked) and handed out when it no longer is, so that a callback may call the io.
 * Threads: one at a time per object. */
#ifndef QV_OS_IO_NAMES_H
#define QV_OS_IO_NAMES_H

#include "base/arena.h"

struct qv__io_name {
    const char *name;
    uint64_t size;
    bool is_dir;
};
struct qv__io_names {
    struct qv__arena arena; /* the text of the names */
    struct qv__io_name *v;
    size_t n, cap;
};

void qv__io_names_init(struct qv__io_names *l, struct qv__mem *mem);
void qv__io_names_free(struct qv__io_names *l);
/* Append a copy of a name. Errors: QV_ENOMEM; what was gathered stays. */
qv_status qv__io_names_add(struct qv__io_names *l, const char *name, size_t n, bool is_dir,
                           uint64_t size, struct qv_err *err) QV_MUST_USE;
/* Order by bytes. */
void qv__io_names_sort(struct qv__io_names *l);

#endif
