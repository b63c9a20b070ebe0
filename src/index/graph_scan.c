/* graph_scan.c: every allowed node compared by its code.
 *
 * Codes are a fraction of the vectors' bytes, and bytes are what a scan of scattered rows costs.
 * The nearest by code are measured by their vectors afterwards (graph_search.c), more of them than
 * are wanted where the codes turn out to be coarse.
 *
 * Set bits are gathered into blocks, and a block's codes are asked for while the one before it is
 * compared. */
#include "index/graph_filter.h"

#include "bitmap/bitset.h"
#include "simd/prefetch.h"

struct block {
    uint32_t n;
    uint32_t nodes[QV__GRAPH_BLOCK];
};

/* Where the gathering of set bits is. */
struct reading {
    const uint64_t *words;
    uint32_t at, n_words, n;
    uint64_t word;
};

static void fill(const struct qv__graph *g, const struct qv__graph_target *to, struct reading *r,
                 struct block *b)
{
    const struct qv__rows *rows = to->is_narrow ? &g->narrow.codes : &g->codes;
    b->n = 0;
    for (;;) {
        while (r->word == 0) {
            if (++r->at >= r->n_words) {
                return;
            }
            r->word = r->words[r->at];
        }
        for (; r->word && b->n < QV__GRAPH_BLOCK; r->word &= r->word - 1) {
            uint32_t node = r->at * 64 + (uint32_t)__builtin_ctzll(r->word);
            if (node >= r->n) {
                r->word = 0;
                r->at = r->n_words;
                return;
            }
            qv__prefetch_span(qv__rows_at(rows, node), to->codes->code_bytes);
            b->nodes[b->n++] = node;
        }
        if (b->n == QV__GRAPH_BLOCK) {
            return;
        }
    }
}

static void compare(const struct qv__graph *g, struct qv__graph_scratch *s,
                    const struct qv__graph_target *to, const struct block *b)
{
    const struct qv__rows *rows = to->is_narrow ? &g->narrow.codes : &g->codes;
    const uint8_t *codes[QV__GRAPH_BLOCK];
    float dists[QV__GRAPH_BLOCK];
    for (uint32_t i = 0; i < b->n; i++) {
        codes[i] = qv__rows_at(rows, b->nodes[i]);
    }
    to->codes->gather(to->codes, codes, b->n, dists, NULL);
    for (uint32_t i = 0; i < b->n; i++) {
        uint64_t key = qv__key(dists[i], b->nodes[i]);
        if (key < qv__beam_bound(s)) {
            qv__beam_offer(s, key);
        }
    }
}

qv_status qv__scan_codes(struct qv__graph *g, struct qv__graph_scratch *s,
                         const struct qv__graph_target *to, const uint64_t *allow, uint32_t n,
                         uint32_t pool, struct qv__qctx *ctx, uint64_t *distances)
{
    struct block blocks[2];
    struct reading r = {.words = allow, .n_words = (uint32_t)qv__bitset_words(n), .n = n};
    r.word = r.n_words ? allow[0] : 0;
    if (!qv__scratch_begin(g, s, n, pool, 0, pool <= QV__BEAM_LINEAR_MAX)) {
        return QV_ENOMEM;
    }
    uint32_t now = 0, since = 0;
    fill(g, to, &r, &blocks[0]);
    while (blocks[now].n) {
        fill(g, to, &r, &blocks[now ^ 1]);
        compare(g, s, to, &blocks[now]);
        *distances += blocks[now].n;
        now ^= 1;
        if (++since % 3 == 0) { /* under 256 distances */
            QV_TRY(qv__qctx_check(ctx));
        }
    }
    return QV_OK;
}
