/* rowset.h: compressed sets of rows, read in place: what payload indexes hold.
 *
 * What it is: a set of rows out of one block of at most 65,536, as bytes in the smallest of three
 * forms (docs/internals/INDEXES.md): rising rows, runs, or bits. A larger run of rows is cut into
 * blocks by whoever indexes it. Sets are added to, or taken from, one dense block of words.
 * What it is not: changed once written; a dense set that walks read (bitset.h).
 *
 * Foreign bytes pass qv__rowset_valid once. The readers are safe on any bytes all the same (a
 * mapped file may fail later): they never leave the bytes given nor the block. Threads: any (pure
 * functions on what is given). */
#ifndef QV_BITMAP_ROWSET_H
#define QV_BITMAP_ROWSET_H

#include "base/buf.h"

#define QV__BLOCK_ROWS  65536u
#define QV__BLOCK_WORDS (QV__BLOCK_ROWS / 64)

/* Append the set of these rows, rising and below QV__BLOCK_ROWS; of none: no bytes. */
void qv__rowset_put(struct qv__buf *b, const uint16_t *rows, uint32_t n);
/* The same of words [0, n_words) of a dense block. */
void qv__rowset_put_words(struct qv__buf *b, const uint64_t *words, uint32_t n_words);

/* Exactly one set, all of it below n_rows. */
bool qv__rowset_valid(struct qv__bytes set, uint32_t n_rows);
uint32_t qv__rowset_count(struct qv__bytes set);
/* Of them those that are in words[QV__BLOCK_WORDS] too. */
uint32_t qv__rowset_count_in(struct qv__bytes set, const uint64_t *words);
/* words[QV__BLOCK_WORDS] |= set, and words &= ~set. */
void qv__rowset_or(struct qv__bytes set, uint64_t *words);
void qv__rowset_andnot(struct qv__bytes set, uint64_t *words);

#endif
