/* build.c: sparse vectors -> posting lists, in two passes over the vectors.
 *
 * The first counts the postings of each term in a hash table; then the terms are sorted and each
 * gets its place; the second pass puts every posting there. Vectors come by rising ordinal, so the
 * lists need no sorting. */
#include <stdlib.h>

#include "base/map.h"
#include "postings/postings.h"

struct slot {
    uint32_t term, count;
    uint64_t at; /* where its next posting goes */
};
struct posting {
    uint32_t ord;
    float weight;
};

struct build {
    struct qv__mem *mem;
    struct slot *table; /* open addressing; count 0 = free */
    uint32_t cap, n;    /* cap is a power of two */
    struct posting *postings;
    uint64_t n_postings;
    const _Atomic bool *cancel;
};

static qv_status no_memory(struct qv_err *err)
{
    return qv__fail(err, QV_ENOMEM, "no memory for an inverted index");
}

static struct slot *slot_of(struct slot *table, uint32_t cap, uint32_t term)
{
    uint32_t i = (uint32_t)qv__hash_u64(term) & (cap - 1);
    while (table[i].count && table[i].term != term) {
        i = (i + 1) & (cap - 1);
    }
    return &table[i];
}

static qv_status grow(struct build *b, struct qv_err *err)
{
    if ((uint64_t)b->n * 4 < (uint64_t)b->cap * 3) {
        return QV_OK;
    }
    uint32_t cap = b->cap ? b->cap * 2 : 1024;
    struct slot *table = cap > b->cap ? qv__calloc(b->mem, cap, sizeof *table) : NULL;
    if (!table) {
        return no_memory(err);
    }
    for (uint32_t i = 0; i < b->cap; i++) {
        if (b->table[i].count) {
            *slot_of(table, cap, b->table[i].term) = b->table[i];
        }
    }
    qv__free(b->table);
    b->table = table;
    b->cap = cap;
    return QV_OK;
}

static bool cancelled(const struct build *b, uint32_t i)
{
    return b->cancel && i % 1024 == 0 && atomic_load_explicit(b->cancel, memory_order_relaxed);
}

static qv_status count(struct build *b, const void *const *vectors, uint32_t n, struct qv_err *err)
{
    QV_TRY(grow(b, err));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t nnz = qv__varvec_count(vectors[i]);
        const uint32_t *index = qv__sparse_indices(vectors[i]);
        if (cancelled(b, i)) {
            return qv__fail(err, QV_ECANCELLED, "inverted index: cancelled");
        }
        for (uint32_t k = 0; k < nnz; k++) {
            struct slot *s = slot_of(b->table, b->cap, index[k]);
            if (s->count++ == 0) {
                s->term = index[k];
                b->n++;
                QV_TRY(grow(b, err));
            }
        }
        b->n_postings += nnz;
    }
    return QV_OK;
}

static int by_term(const void *a, const void *b)
{
    const struct slot *x = *(struct slot *const *)a, *y = *(struct slot *const *)b;
    return x->term < y->term ? -1 : x->term > y->term;
}

static void place(struct build *b, const void *const *vectors, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t nnz = qv__varvec_count(vectors[i]);
        const uint32_t *index = qv__sparse_indices(vectors[i]);
        const float *value = qv__sparse_values(vectors[i]);
        for (uint32_t k = 0; k < nnz; k++) {
            struct slot *s = slot_of(b->table, b->cap, index[k]);
            b->postings[s->at++] = (struct posting){i, value[k]};
        }
    }
}

/* --- writing --- */

static uint32_t bits_of(uint32_t v)
{
    return v ? 32u - (uint32_t)__builtin_clz(v) : 0;
}

/* Differences less one, so that neighbours take no bits at all. */
static void put_block(const struct posting *p, uint32_t n, struct qv__buf *blocks,
                      struct qv__buf *data)
{
    uint32_t all = 0;
    struct qv__posting_block b = {.first = p[0].ord,
                                  .last = p[n - 1].ord,
                                  .max = p[0].weight,
                                  .min = p[0].weight,
                                  .at = (uint32_t)(data->n / 4)};
    for (uint32_t i = 1; i < n; i++) {
        all |= p[i].ord - p[i - 1].ord - 1;
        b.max = QV_MAX(b.max, p[i].weight);
        b.min = QV_MIN(b.min, p[i].weight);
    }
    b.bits = bits_of(all);
    qv__buf_put(blocks, &b, sizeof b);
    uint64_t pending = 0;
    uint32_t n_pending = 0;
    for (uint32_t i = 1; i < n && b.bits; i++) {
        pending |= (uint64_t)(p[i].ord - p[i - 1].ord - 1) << n_pending;
        n_pending += b.bits;
        if (n_pending >= 32) {
            qv__buf_u32(data, (uint32_t)pending);
            pending >>= 32;
            n_pending -= 32;
        }
    }
    if (n_pending) {
        qv__buf_u32(data, (uint32_t)pending);
    }
    for (uint32_t i = 0; i < n; i++) {
        qv__buf_put(data, &p[i].weight, sizeof p[i].weight);
    }
}

/* Head and lists into `out`, the rest beside it. */
static qv_status write_lists(struct build *b, struct slot **terms, uint32_t n_ords,
                             struct qv__buf *out, struct qv__buf *blocks, struct qv__buf *data,
                             struct qv_err *err)
{
    uint32_t n_blocks = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        n_blocks += (terms[i]->count + QV__POSTINGS_BLOCK - 1) / QV__POSTINGS_BLOCK;
    }
    qv__buf_u32(out, 1); /* version */
    qv__buf_u32(out, n_ords);
    qv__buf_u32(out, b->n);
    qv__buf_u32(out, n_blocks);
    n_blocks = 0;
    for (uint32_t i = 0; i < b->n; i++) {
        struct qv__posting_list l = {
            .term = terms[i]->term, .first_block = n_blocks, .n = terms[i]->count};
        const struct posting *p = b->postings + (terms[i]->at - l.n);
        qv__buf_put(out, &l, sizeof l);
        for (uint32_t k = 0; k < l.n; k += QV__POSTINGS_BLOCK, n_blocks++) {
            if (data->n / 4 > UINT32_MAX - 2 * QV__POSTINGS_BLOCK) {
                return qv__fail(err, QV_ETOOBIG, "an inverted index of over 16 GiB is too large");
            }
            put_block(p + k, QV_MIN(l.n - k, QV__POSTINGS_BLOCK), blocks, data);
        }
    }
    return QV_OK;
}

static qv_status join(struct build *b, struct slot **terms, uint32_t n_ords, struct qv__buf *out,
                       struct qv_err *err)
{
    struct qv__buf blocks, data;
    qv__buf_init(&blocks, b->mem);
    qv__buf_init(&data, b->mem);
    qv_status st = write_lists(b, terms, n_ords, out, &blocks, &data, err);
    qv__buf_put(out, blocks.p, blocks.n);
    qv__buf_put(out, data.p, data.n);
    if (st == QV_OK && (out->failed || blocks.failed || data.failed)) {
        st = no_memory(err);
    }
    qv__buf_free(&blocks);
    qv__buf_free(&data);
    return st;
}

qv_status qv__postings_build(struct qv__mem *mem, const void *const *vectors, uint32_t n,
                             const _Atomic bool *cancel, struct qv__buf *out, struct qv_err *err)
{
    struct build b = {.mem = mem, .cancel = cancel};
    struct slot **terms = NULL;
    qv_status st = count(&b, vectors, n, err);
    QV_GOTO(st);
    terms = qv__calloc(mem, (size_t)b.n + 1, sizeof(struct slot *));
    b.postings = qv__calloc(mem, (size_t)b.n_postings + 1, sizeof *b.postings);
    if (!terms || !b.postings) {
        QV_GOTO(no_memory(err));
    }
    uint32_t found = 0;
    for (uint32_t i = 0; i < b.cap; i++) {
        if (b.table[i].count) {
            terms[found++] = &b.table[i];
        }
    }
    qsort(terms, b.n, sizeof *terms, by_term);
    uint64_t at = 0;
    for (uint32_t i = 0; i < b.n; i++) {
        terms[i]->at = at;
        at += terms[i]->count;
    }
    place(&b, vectors, n);
    QV_GOTO(join(&b, terms, n, out, err));
out:
    qv__free(b.postings);
    qv__free(terms);
    qv__free(b.table);
    return st;
}
