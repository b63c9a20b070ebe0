/* arena.c: bump allocation in chunks.
 *
 * Chunks start at 4 KiB and double up to 1 MiB; a bigger request gets a chunk of its own, put
 * behind the current one so that the current one's rest is still used. Freeing walks the list once.
 * In AddressSanitizer builds unused bytes are poisoned and blocks are kept apart, so that overruns
 * inside a chunk are seen too. One thread at a time. */
#include "base/arena.h"

#include "base/poison.h"

#define CHUNK_MIN   ((size_t)4 << 10)
#define CHUNK_MAX   ((size_t)1 << 20)
#define REQUEST_MAX ((size_t)PTRDIFF_MAX / 8)

struct qv__arena_chunk {
    struct qv__arena_chunk *next;
    size_t size; /* bytes that follow */
};
_Static_assert(sizeof(struct qv__arena_chunk) == 16, "chunks hand out 16-byte aligned blocks");

static uint8_t *chunk_bytes(struct qv__arena_chunk *c)
{
    return (uint8_t *)(c + 1);
}

static void chunk_free(struct qv__arena_chunk *c)
{
    QV__UNPOISON(chunk_bytes(c), c->size);
    qv__free(c);
}

void qv__arena_init(struct qv__arena *a, struct qv__mem *mem)
{
    memset(a, 0, sizeof *a);
    a->mem = mem;
}

static void use_chunk(struct qv__arena *a, struct qv__arena_chunk *c)
{
    a->head = c;
    a->cur = c ? chunk_bytes(c) : NULL;
    a->end = c ? chunk_bytes(c) + c->size : NULL;
    if (c) {
        QV__POISON(chunk_bytes(c), c->size);
    }
}

void qv__arena_free(struct qv__arena *a)
{
    struct qv__arena_chunk *c = a->head;
    while (c) {
        struct qv__arena_chunk *next = c->next;
        chunk_free(c);
        c = next;
    }
    use_chunk(a, NULL);
    a->used_bytes = 0;
}

void qv__arena_reset(struct qv__arena *a)
{
    /* The biggest ordinary chunk stays; outsized ones would pin memory for the next user. */
    struct qv__arena_chunk *keep = NULL;
    for (struct qv__arena_chunk *c = a->head; c; c = c->next) {
        if (c->size <= CHUNK_MAX && (!keep || c->size > keep->size)) {
            keep = c;
        }
    }
    struct qv__arena_chunk *c = a->head;
    while (c) {
        struct qv__arena_chunk *next = c->next;
        if (c != keep) {
            chunk_free(c);
        }
        c = next;
    }
    if (keep) {
        keep->next = NULL;
    }
    use_chunk(a, keep);
    a->used_bytes = 0;
}

static struct qv__arena_chunk *chunk_new(struct qv__arena *a, size_t size)
{
    struct qv__arena_chunk *c = qv__alloc(a->mem, sizeof *c + size);
    if (c) {
        c->next = NULL;
        c->size = size;
    }
    return c;
}

/* A block of `step` bytes from a chunk of its own. */
static uint8_t *alloc_apart(struct qv__arena *a, size_t step)
{
    struct qv__arena_chunk *c = chunk_new(a, step);
    if (!c) {
        return NULL;
    }
    if (a->head) {
        c->next = a->head->next;
        a->head->next = c;
    } else {
        a->head = c;
    }
    QV__POISON(chunk_bytes(c), c->size);
    return chunk_bytes(c);
}

static uint8_t *alloc_slow(struct qv__arena *a, size_t step)
{
    size_t size = CHUNK_MIN;
    if (a->head) {
        size = QV_MIN(QV_MAX(a->head->size * 2, CHUNK_MIN), CHUNK_MAX);
    }
    if (step > size / 2) {
        return alloc_apart(a, step);
    }
    struct qv__arena_chunk *c = chunk_new(a, size);
    if (!c) {
        return NULL;
    }
    c->next = a->head;
    use_chunk(a, c);
    uint8_t *p = a->cur;
    a->cur += step;
    return p;
}

void *qv__arena_alloc(struct qv__arena *a, size_t n)
{
    if (n > REQUEST_MAX) {
        return NULL;
    }
    size_t rounded = QV_ALIGN_UP(n ? n : 1, 16);
    if (a->limit_bytes && (rounded > a->limit_bytes || a->used_bytes > a->limit_bytes - rounded)) {
        return NULL;
    }
    size_t step = rounded + QV__POISON_GAP;
    uint8_t *p;
    if (QV_LIKELY(step <= (size_t)(a->end - a->cur))) {
        p = a->cur;
        a->cur += step;
    } else {
        p = alloc_slow(a, step);
        if (!p) {
            return NULL;
        }
    }
    a->used_bytes += rounded;
    QV__UNPOISON(p, n);
    return p;
}

void *qv__arena_zalloc(struct qv__arena *a, size_t n)
{
    void *p = qv__arena_alloc(a, n);
    if (p) {
        memset(p, 0, n);
    }
    return p;
}

void *qv__arena_calloc(struct qv__arena *a, size_t count, size_t size)
{
    size_t n;
    return qv__mul_ok(count, size, &n) ? qv__arena_zalloc(a, n) : NULL;
}

char *qv__arena_strndup(struct qv__arena *a, const char *s, size_t n)
{
    if (n >= REQUEST_MAX) {
        return NULL;
    }
    char *copy = qv__arena_alloc(a, n + 1);
    if (!copy) {
        return NULL;
    }
    if (n) {
        memcpy(copy, s, n);
    }
    copy[n] = 0;
    return copy;
}
