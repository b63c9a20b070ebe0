/* postings.h: an inverted index: for each term the ordinals that have it, with their weights.
 *
 * What it is: compressed posting lists in blocks of 128, each block with the largest and smallest
 * weight in it, so that a search can tell what a block may add to a score without reading it. Made
 * once from a run of sparse vectors (base/varvec.h), then immutable; one string of bytes that can
 * be kept in memory or in a file. Format: docs/internals/POSTINGS.md. What it is not: a search
 * (index/sparse.h), and aware of what a term or an ordinal stands for.
 *
 * Threads: an opened one any. */
#ifndef QV_POSTINGS_POSTINGS_H
#define QV_POSTINGS_POSTINGS_H

#include <stdatomic.h>

#include "base/varvec.h"

#define QV__POSTINGS_BLOCK 128u

/* One list: its blocks follow each other from first_block on, all full but the last. */
struct qv__posting_list {
    uint32_t term;
    uint32_t first_block;
    uint32_t n;
    uint32_t reserved; /* 0 */
};
struct qv__posting_block {
    uint32_t first, last; /* ordinals */
    float max, min;       /* weights */
    uint32_t at;          /* in the data, in units of 4 bytes: differences of ordinals, weights */
    uint32_t bits;        /* of one packed difference, 0..32 */
};
_Static_assert(sizeof(struct qv__posting_list) == 16, "stored");
_Static_assert(sizeof(struct qv__posting_block) == 24, "stored");

/* An opened one. All pointers are borrowed from the bytes. */
struct qv__postings {
    uint32_t n_ords, n_terms, n_blocks;
    uint64_t n_postings;
    const struct qv__posting_list *lists; /* by rising term */
    const struct qv__posting_block *blocks;
    const uint8_t *data;
};

/* Invert vectors[0..n), the stored form of sparse vectors. `out`, empty, is the
 * caller's to free whatever is returned. QV_ENOMEM, QV_ETOOBIG, QV_ECANCELLED soon after *cancel
 * (may be NULL) is set. */
qv_status qv__postings_build(struct qv__mem *mem, const void *const *vectors, uint32_t n,
                             const _Atomic bool *cancel, struct qv__buf *out,
                             struct qv_err *err) QV_MUST_USE;

/* Over bytes that may be hostile; everything a search relies on is proved, which with `deep` means
 * that every posting is looked at. Without, they were made by this process. They are aligned to
 * 4. QV_ECORRUPT says what is wrong. */
qv_status qv__postings_open(struct qv__bytes bytes, uint32_t n_ords, bool deep,
                            struct qv__postings *out, struct qv_err *err) QV_MUST_USE;
/* A number that depends on all postings and on nothing else; that of vectors first, first + 1, ...:
 * those of several parts add up. */
uint64_t qv__postings_digest(const struct qv__postings *p);
uint64_t qv__postings_digest_of(const void *const *vectors, uint32_t n, uint32_t first);

/* The list of a term, or NULL. */
const struct qv__posting_list *qv__postings_find(const struct qv__postings *p, uint32_t term);
static inline uint32_t qv__posting_blocks(const struct qv__posting_list *l)
{
    return (l->n + QV__POSTINGS_BLOCK - 1) / QV__POSTINGS_BLOCK;
}
/* Postings of block `i` of the list (counted from 0). */
static inline uint32_t qv__posting_block_n(const struct qv__posting_list *l, uint32_t i)
{
    return QV_MIN(l->n - i * QV__POSTINGS_BLOCK, QV__POSTINGS_BLOCK);
}
/* Unpack its ordinals. Weights lie in place. */
void qv__postings_unpack(const struct qv__postings *p, const struct qv__posting_list *l, uint32_t i,
                         uint32_t ords[QV__POSTINGS_BLOCK]);
const float *qv__postings_weights(const struct qv__postings *p, const struct qv__posting_list *l,
                                  uint32_t i);

#endif
