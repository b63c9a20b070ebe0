/* graph_scan.c: every allowed node compared by its code.
 *
 * Codes are a fraction of the vectors' bytes, and bytes are what a scan of scattered rows costs.
 * The nearest by code are measured by their vectors afterwards (graph_search.c), more of them than
 * are wanted where the codes turn out to be coarse.
 *
 * Set bits are gathered into blocks, and a block's codes are asked for while the one before it is
 * compared. */
#include "index/graph_filter.h"
#include "index/graph_sketch.h"

#include "bitmap/bitset.h"
#include "simd/prefetch.h"

enum {
    KEPT_LEAST = 256,
    KEPT_SHARE = 48, /* one in so many: what a sketch shows among the nearest grows with all */
};

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

/* Rows of `bytes` each are asked for: codes, or sketches where there is `k`. */
static void fill(const struct qv__rows *codes, const struct qv__graph_sketches *k, uint32_t bytes,
                 struct reading *r, struct block *b)
{
    uint64_t word = r->word;
    uint32_t at = r->at, n_filled = 0;
    while (n_filled < QV__GRAPH_BLOCK) {
        if (word == 0) {
            at = (uint32_t)qv__bits_skip(r->words, (size_t)at + 1, r->n_words);
            if (at >= r->n_words) {
                break;
            }
            word = r->words[at];
        }
        for (; word && n_filled < QV__GRAPH_BLOCK; word &= word - 1) {
            uint32_t node = at * 64 + (uint32_t)__builtin_ctzll(word);
            if (node >= r->n) {
                word = 0;
                at = r->n_words;
                break;
            }
            qv__prefetch_span(k ? qv__graph_sketch_at(k, node) : qv__rows_at(codes, node), bytes);
            b->nodes[n_filled++] = node;
        }
    }
    b->n = n_filled;
    r->word = word;
    r->at = at;
}

static const struct qv__rows *codes_of(const struct qv__graph *g, const struct qv__graph_target *to)
{
    return to->is_narrow ? &g->narrow.codes : &g->codes;
}

static void compare(const struct qv__rows *rows, struct qv__graph_scratch *s,
                    const struct qv__graph_target *to, const struct block *b)
{
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
    const struct qv__rows *codes = codes_of(g, to);
    fill(codes, NULL, to->codes->code_bytes, &r, &blocks[0]);
    while (blocks[now].n) {
        fill(codes, NULL, to->codes->code_bytes, &r, &blocks[now ^ 1]);
        compare(codes, s, to, &blocks[now]);
        *distances += blocks[now].n;
        now ^= 1;
        if (++since % 3 == 0) { /* under 256 distances */
            QV_TRY(qv__qctx_check(ctx));
        }
    }
    return QV_OK;
}

/* --- by sketches --- */

uint32_t qv__sketches_kept(uint32_t n_allowed, uint32_t pool)
{
    uint32_t most = QV_MAX((uint32_t)KEPT_LEAST, n_allowed / KEPT_SHARE);
    return QV_MAX(most, QV_MIN(pool, UINT32_MAX / 4) * 4);
}

/* The `keep` nearest of what was met so far, and what came since the last look: s->cand. */
struct kept {
    uint32_t keep;
    uint64_t bound; /* nothing from here on is among them */
};

static void split(struct qv__graph_scratch *s, struct kept *x)
{
    if (s->n_cand <= x->keep) {
        return;
    }
    qv__keys_split(s->cand, s->n_cand, x->keep);
    s->n_cand = x->keep;
    x->bound = 0;
    for (uint32_t i = 0; i < x->keep; i++) {
        x->bound = QV_MAX(x->bound, s->cand[i]);
    }
}

static void look(struct qv__graph_scratch *s, const struct qv__graph_target *to,
                 const struct qv__graph_sketches *k, const struct block *b, struct kept *x)
{
    const uint8_t *rows[QV__GRAPH_BLOCK];
    float dists[QV__GRAPH_BLOCK];
    for (uint32_t i = 0; i < b->n; i++) {
        rows[i] = qv__graph_sketch_at(k, b->nodes[i]);
    }
    qv__quant_sketch_gather(to->codes, rows, b->n, dists);
    for (uint32_t i = 0; i < b->n; i++) { /* nearly all are too far, which is no branch */
        uint64_t key = qv__key(dists[i], b->nodes[i]);
        s->cand[s->n_cand] = key;
        s->n_cand += key < x->bound;
    }
    if (s->n_cand >= 2 * x->keep) {
        split(s, x);
    }
}

static qv_status measure_kept(const struct qv__rows *codes, struct qv__graph_scratch *s,
                              const struct qv__graph_target *to, const struct qv__qctx *ctx)
{
    struct block blocks[2];
    uint32_t at = 0, now = 0, since = 0;
    blocks[0].n = 0;
    do {
        struct block *next = &blocks[now ^ 1];
        next->n = 0;
        for (; at < s->n_cand && next->n < QV__GRAPH_BLOCK / 2; at++) {
            uint32_t node = qv__key_node(s->cand[at]);
            qv__prefetch_span(qv__rows_at(codes, node), to->codes->code_bytes);
            next->nodes[next->n++] = node;
        }
        compare(codes, s, to, &blocks[now]);
        now ^= 1;
        if (++since % 4 == 0) { /* under 256 distances */
            QV_TRY(qv__qctx_check(ctx));
        }
    } while (blocks[now].n);
    return QV_OK;
}

qv_status qv__scan_sketches(struct qv__graph *g, struct qv__graph_scratch *s,
                            const struct qv__graph_target *to, const struct qv__graph_sketches *k,
                            const uint64_t *allow, uint32_t n, uint32_t keep, uint32_t pool,
                            struct qv__qctx *ctx, uint64_t *distances)
{
    struct block blocks[2];
    struct reading r = {.words = allow, .n_words = (uint32_t)qv__bitset_words(n), .n = n};
    struct kept x = {.keep = keep, .bound = UINT64_MAX};
    uint64_t looked = 0;
    r.word = r.n_words ? allow[0] : 0;
    if (!qv__scratch_begin(g, s, n, pool, 0, pool <= QV__BEAM_LINEAR_MAX) ||
        !qv__scratch_room(g, s, 2 * keep + QV__GRAPH_BLOCK + 1)) {
        return QV_ENOMEM;
    }
    uint32_t now = 0, since = 0;
    fill(NULL, k, k->stride_bytes, &r, &blocks[0]);
    while (blocks[now].n) {
        fill(NULL, k, k->stride_bytes, &r, &blocks[now ^ 1]);
        look(s, to, k, &blocks[now], &x);
        looked += blocks[now].n;
        now ^= 1;
        if (++since % 3 == 0) {
            QV_TRY(qv__qctx_check(ctx));
        }
    }
    split(s, &x);
    QV_TRY(measure_kept(codes_of(g, to), s, to, ctx));
    *distances += looked / 2 + s->n_cand;
    s->n_cand = 0;
    return QV_OK;
}
