/* read.c: opening posting lists, proving that they can be followed, unpacking blocks. */
#include "base/map.h"
#include "postings/postings.h"

static qv_status damaged(struct qv_err *err, const char *what)
{
    return qv__fail(err, QV_ECORRUPT, "inverted index: %s", what);
}

const struct qv__posting_list *qv__postings_find(const struct qv__postings *p, uint32_t term)
{
    uint32_t lo = 0, hi = p->n_terms;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (p->lists[mid].term < term) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < p->n_terms && p->lists[lo].term == term ? &p->lists[lo] : NULL;
}

/* Words of 32 bits that the differences of a block of n take. */
static uint32_t packed_words(uint32_t n, uint32_t bits)
{
    return (uint32_t)(((uint64_t)(n - 1) * bits + 31) / 32);
}

const float *qv__postings_weights(const struct qv__postings *p, const struct qv__posting_list *l,
                                  uint32_t i)
{
    const struct qv__posting_block *b = &p->blocks[l->first_block + i];
    return (const float *)(const void *)(p->data + (size_t)b->at * 4) +
           packed_words(qv__posting_block_n(l, i), b->bits);
}

void qv__postings_unpack(const struct qv__postings *p, const struct qv__posting_list *l, uint32_t i,
                         uint32_t ords[QV__POSTINGS_BLOCK])
{
    const struct qv__posting_block *b = &p->blocks[l->first_block + i];
    const uint8_t *at = p->data + (size_t)b->at * 4;
    uint32_t n = qv__posting_block_n(l, i), ord = b->first, bits = b->bits;
    uint64_t mask = (UINT64_C(1) << bits) - 1;
    ords[0] = ord;
    for (uint32_t k = 1, bit = 0; k < n; k++, bit += bits) {
        /* Eight bytes can be read at each difference: the weights that follow are more. */
        ord += 1 + (uint32_t)((qv__load_u64(at + bit / 32 * 4) >> (bit % 32)) & mask);
        ords[k] = ord;
    }
}

/* Every posting of one list. */
static bool list_valid(const struct qv__postings *p, const struct qv__posting_list *l)
{
    uint32_t ords[QV__POSTINGS_BLOCK], before = 0;
    for (uint32_t i = 0; i < qv__posting_blocks(l); i++) {
        const struct qv__posting_block *b = &p->blocks[l->first_block + i];
        uint32_t n = qv__posting_block_n(l, i);
        const float *w = qv__postings_weights(p, l, i);
        qv__postings_unpack(p, l, i, ords);
        for (uint32_t k = 0; k < n; k++) {
            bool first = i == 0 && k == 0;
            if (ords[k] >= p->n_ords || (!first && ords[k] <= before) || !isfinite(w[k]) ||
                w[k] > b->max || w[k] < b->min) {
                return false;
            }
            before = ords[k];
        }
        if (ords[n - 1] != b->last) {
            return false;
        }
    }
    return true;
}

/* What is needed before a block may be unpacked: lists use up all blocks, which use up all data. */
static qv_status frame_check(const struct qv__postings *p, size_t data_bytes, struct qv_err *err)
{
    uint64_t block = 0, word = 0;
    for (uint32_t i = 0; i < p->n_terms; i++) {
        const struct qv__posting_list *l = &p->lists[i];
        if (l->n == 0 || l->n > p->n_ords || l->first_block != block || l->reserved ||
            (i && l->term <= p->lists[i - 1].term)) {
            return damaged(err, "a list is malformed");
        }
        if (qv__posting_blocks(l) > p->n_blocks - block) {
            return damaged(err, "a list reaches past the blocks");
        }
        for (uint32_t k = 0; k < qv__posting_blocks(l); k++) {
            const struct qv__posting_block *b = &p->blocks[block++];
            uint32_t n = qv__posting_block_n(l, k);
            if (b->at != word || b->bits > 32 || b->first >= p->n_ords || b->last >= p->n_ords ||
                b->last < b->first || !isfinite(b->max) || !isfinite(b->min)) {
                return damaged(err, "a block is malformed");
            }
            word += packed_words(n, b->bits) + n;
        }
    }
    if (block != p->n_blocks || word * 4 != data_bytes) {
        return damaged(err, "blocks or data are left over");
    }
    return QV_OK;
}

qv_status qv__postings_open(struct qv__bytes bytes, uint32_t n_ords, bool deep,
                            struct qv__postings *out, struct qv_err *err)
{
    enum { HEAD = 16 };
    if (bytes.n < HEAD) {
        return damaged(err, "it is too short");
    }
    if (qv__load_u32(bytes.p) != 1) {
        return qv__fail(err, QV_EVERSION, "inverted index: version %" PRIu32 " is not known",
                        qv__load_u32(bytes.p));
    }
    struct qv__postings p = {.n_ords = n_ords,
                             .n_terms = qv__load_u32(bytes.p + 8),
                             .n_blocks = qv__load_u32(bytes.p + 12)};
    uint64_t lists = (uint64_t)p.n_terms * sizeof(struct qv__posting_list),
             blocks = (uint64_t)p.n_blocks * sizeof(struct qv__posting_block);
    if (qv__load_u32(bytes.p + 4) != n_ords || lists + blocks > bytes.n - HEAD) {
        return damaged(err, "it does not have the vectors, lists or blocks it should");
    }
    p.lists = (const struct qv__posting_list *)(const void *)(bytes.p + HEAD);
    p.blocks = (const struct qv__posting_block *)(const void *)(bytes.p + HEAD + lists);
    p.data = bytes.p + HEAD + lists + blocks;
    size_t data_bytes = bytes.n - HEAD - (size_t)(lists + blocks);
    if (deep) {
        QV_TRY(frame_check(&p, data_bytes, err));
    }
    for (uint32_t i = 0; i < p.n_terms; i++) {
        if (deep && !list_valid(&p, &p.lists[i])) {
            return damaged(err, "a posting is malformed");
        }
        p.n_postings += p.lists[i].n;
    }
    *out = p;
    return QV_OK;
}

/* --- digest --- */

static uint64_t digest_one(uint32_t term, uint32_t ord, float weight)
{
    uint32_t w;
    memcpy(&w, &weight, sizeof w);
    return qv__hash_u64(qv__hash_u64((uint64_t)term << 32 | ord) + w);
}

uint64_t qv__postings_digest(const struct qv__postings *p)
{
    uint64_t sum = 0;
    uint32_t ords[QV__POSTINGS_BLOCK];
    for (uint32_t i = 0; i < p->n_terms; i++) {
        const struct qv__posting_list *l = &p->lists[i];
        for (uint32_t b = 0; b < qv__posting_blocks(l); b++) {
            const float *w = qv__postings_weights(p, l, b);
            qv__postings_unpack(p, l, b, ords);
            for (uint32_t k = 0; k < qv__posting_block_n(l, b); k++) {
                sum += digest_one(l->term, ords[k], w[k]);
            }
        }
    }
    return sum;
}

uint64_t qv__postings_digest_of(const void *const *vectors, uint32_t n, uint32_t first)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t nnz = qv__varvec_count(vectors[i]);
        for (uint32_t k = 0; k < nnz; k++) {
            sum += digest_one(qv__sparse_indices(vectors[i])[k], first + i,
                              qv__sparse_values(vectors[i])[k]);
        }
    }
    return sum;
}
