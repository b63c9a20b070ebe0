/* arena.h: bump allocation for things that die together (a request, a parsed document).
 *
 * What it is: chunks taken from an account and given back all at once.
 * What it is not: thread-safe, or able to free a single block. */
#ifndef QV_BASE_ARENA_H
#define QV_BASE_ARENA_H

#include "base/alloc.h"

struct qv__arena_chunk;
struct qv__arena {
    struct qv__mem *mem;
    struct qv__arena_chunk *head;
    uint8_t *cur, *end;
    size_t used_bytes;  /* handed out so far */
    size_t limit_bytes; /* 0 = only the account's limit */
};

void qv__arena_init(struct qv__arena *a, struct qv__mem *mem);
/* Free all chunks; the arena can be used again. */
void qv__arena_free(struct qv__arena *a);
/* Keep one chunk and forget everything handed out. */
void qv__arena_reset(struct qv__arena *a);
/* 16-byte aligned, uninitialised; NULL when memory is out. */
void *qv__arena_alloc(struct qv__arena *a, size_t n);
void *qv__arena_zalloc(struct qv__arena *a, size_t n);
void *qv__arena_calloc(struct qv__arena *a, size_t count, size_t size);
/* Copy n bytes and add a NUL. */
char *qv__arena_strndup(struct qv__arena *a, const char *s, size_t n);

#endif
