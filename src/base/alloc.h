/* alloc.h: accounted, budgeted, failure-injectable memory; the only caller of malloc in the tree.
 *
 * What it is: a tree of accounts (process -> collection -> component). An allocation is charged to
 * one account and to all accounts above it before memory is asked for, so that a budget anywhere on
 * the path refuses it (NULL) instead of the kernel killing the process.
 * What it is not: a fast-path allocator; hot paths use an arena (arena.h) over an account.
 *
 * Every block carries a small header that names its account, so qv__free needs no size.
 * Threads: accounts are safe from any thread. Errors: NULL means over budget, out of memory, or an
 * injected failure; callers answer QV_ENOMEM and leave state unchanged. */
#ifndef QV_BASE_ALLOC_H
#define QV_BASE_ALLOC_H

#include "base/base.h"

struct qv__mem;

/* Create the root of an account tree. limit_bytes 0 = no limit. NULL if malloc fails.
 * Owner: caller, with qv__mem_close. */
struct qv__mem *qv__mem_root(const char *name, size_t limit_bytes);

/* Create a child account. `name` is copied (truncated to 47 bytes). limit_bytes 0 = only the
 * parents' limits. NULL when memory is out. */
struct qv__mem *qv__mem_child(struct qv__mem *parent, const char *name, size_t limit_bytes);

/* Release an account; NULL-safe. Every block charged to it must have been freed and every child
 * closed (asserted in debug builds; in release the remainder is uncharged from the parents). */
void qv__mem_close(struct qv__mem *m);

/* Make malloc give back what is freed: large blocks have pages of their own, heaps are trimmed; a
 * block of megabytes costs its page faults each time. For a program that is ours; a library leaves
 * its host's malloc alone. Before the first thread. */
void qv__mem_tune_process(void);
/* Give pages of freed blocks back to the system: after much was freed at once. Takes milliseconds
 * for a large heap. Threads: any. */
void qv__mem_trim(void);

const char *qv__mem_name(const struct qv__mem *m);
size_t qv__mem_used(const struct qv__mem *m); /* bytes, headers included */
size_t qv__mem_peak(const struct qv__mem *m);
size_t qv__mem_limit(const struct qv__mem *m); /* 0 = none of its own */
/* Bytes that the whole path still allows; SIZE_MAX = unlimited. */
size_t qv__mem_room(const struct qv__mem *m);
struct qv__mem *qv__mem_parent(struct qv__mem *m);

/* Visit `m` (depth 0) and every descendant, parents first, under the tree's lock; cb must not open
 * or close accounts. */
void qv__mem_walk(struct qv__mem *m, void (*cb)(struct qv__mem *, unsigned depth, void *),
                  void *arg);

/* 16-byte aligned blocks. n = 0 gives a valid block. */
void *qv__alloc(struct qv__mem *m, size_t n) __attribute__((malloc));
void *qv__zalloc(struct qv__mem *m, size_t n) __attribute__((malloc));
/* count * size, zeroed; NULL when the product overflows. */
void *qv__calloc(struct qv__mem *m, size_t count, size_t size) __attribute__((malloc));
/* Grow or shrink; on failure the old block stays valid and NULL is returned. p NULL = qv__alloc. */
void *qv__realloc(struct qv__mem *m, void *p, size_t n);
/* Aligned to `align` (a power of two <= 2 MiB); freed with qv__free like all others; cannot be
 * realloc'ed. Blocks of >= 4 MiB with align 2 MiB are advised to use huge pages. */
void *qv__alloc_aligned(struct qv__mem *m, size_t align, size_t n) __attribute__((malloc));
char *qv__strndup(struct qv__mem *m, const char *s, size_t n);
void qv__free(void *p);

/* Charge or uncharge bytes that did not come from here (a library's memory, touched mappings).
 * Returns QV_ENOMEM and charges nothing when a budget on the path refuses. */
qv_status qv__mem_charge(struct qv__mem *m, size_t n) QV_MUST_USE;
void qv__mem_uncharge(struct qv__mem *m, size_t n);

/* Failure injection, for tests, on the whole tree of `m`: the n-th allocation from now (1 = the
 * next) fails; with `sticky` every later one fails too. n = 0 switches it off. New blocks,
 * reallocations, child accounts and qv__mem_charge count as allocations. */
void qv__mem_fail_at(struct qv__mem *m, uint64_t n, bool sticky);
/* Number of allocations tried in this tree since it was made. */
uint64_t qv__mem_allocations(const struct qv__mem *m);

#endif
