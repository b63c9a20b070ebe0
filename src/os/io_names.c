/* io_names.c: a growable list of names over an arena; see io_names.h. */
#include "os/io_names.h"

void qv__io_names_init(struct qv__io_names *l, struct qv__mem *mem)
{
    *l = (struct qv__io_names){0};
    qv__arena_init(&l->arena, mem);
}

void qv__io_names_free(struct qv__io_names *l)
{
    qv__free(l->v);
    l->v = NULL;
    l->n = l->cap = 0;
    qv__arena_free(&l->arena);
}

qv_status qv__io_names_add(struct qv__io_names *l, const char *name, size_t n, bool is_dir,
                           uint64_t size, struct qv_err *err)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 16, bytes;
        void *v =
            qv__mul_ok(cap, sizeof *l->v, &bytes) ? qv__realloc(l->arena.mem, l->v, bytes) : NULL;
        if (!v) {
            return qv__fail(err, QV_ENOMEM, "list: no memory for %zu names", cap);
        }
        l->v = (struct qv__io_name *)v;
        l->cap = cap;
    }
    char *copy = qv__arena_strndup(&l->arena, name, n);
    if (!copy) {
        return qv__fail(err, QV_ENOMEM, "list: no memory for a name");
    }
    l->v[l->n++] = (struct qv__io_name){copy, size, is_dir};
    return QV_OK;
}

static int by_bytes(const void *a, const void *b)
{
    const struct qv__io_name *x = (const struct qv__io_name *)a;
    const struct qv__io_name *y = (const struct qv__io_name *)b;
    return strcmp(x->name, y->name); /* compares as unsigned bytes */
}

void qv__io_names_sort(struct qv__io_names *l)
{
    if (l->n > 1) {
        qsort(l->v, l->n, sizeof *l->v, by_bytes);
    }
}
