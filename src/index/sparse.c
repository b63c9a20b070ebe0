/* sparse.c: searching posting lists. */
#include "index/sparse.h"

#include <stdlib.h>

#include "bitmap/bitset.h"

enum { WINDOW = 4096 }; /* ordinals summed up at a time */

/* Sums in another order than the bound's may be larger by rounding. */
#define SLACK 1.00001f

/* One list of the query. A mapped file may fail while it is read, and then says zero where it said
 * something else: so the list is a copy, and ordinals are looked at before they are used. */
struct cursor {
    struct qv__posting_list list;
    float query;
    uint32_t n_blocks, block; /* the first block that may reach into the window */
    float bound;              /* of what it adds to a score in the window; >= 0 */
    uint32_t unpacked;        /* which block `ords` holds; UINT32_MAX = none */
    uint32_t ords[QV__POSTINGS_BLOCK];
};

struct search {
    const struct qv__postings *p;
    uint32_t first;
    const uint64_t *allow;
    struct qv__topk *top;
    struct cursor *cursors;
    struct cursor **active; /* of the window, by rising bound */
    float *below;           /* [i]: the bounds of active[0..i) together */
    uint32_t n, n_active;
    uint32_t begin, end; /* the window */
    float acc[WINDOW];
    uint64_t touched[WINDOW / 64];
    uint32_t found[WINDOW]; /* candidates, as offsets into the window */
    uint32_t n_found;
};

static const struct qv__posting_block *block_at(const struct search *s, const struct cursor *c,
                                                uint32_t i)
{
    return &s->p->blocks[c->list.first_block + i];
}

static const uint32_t *ords_of(const struct search *s, struct cursor *c, uint32_t block)
{
    if (c->unpacked != block) {
        qv__postings_unpack(s->p, &c->list, block, c->ords);
        c->unpacked = block;
    }
    return c->ords;
}

static int by_bound(const void *a, const void *b)
{
    const struct cursor *x = *(struct cursor *const *)a, *y = *(struct cursor *const *)b;
    return x->bound < y->bound ? -1 : x->bound > y->bound;
}

/* Move to the next window that any list reaches into; false at the end. */
static bool next_window(struct search *s)
{
    uint32_t from = UINT32_MAX;
    for (uint32_t i = 0; i < s->n; i++) {
        struct cursor *c = &s->cursors[i];
        while (c->block < c->n_blocks && block_at(s, c, c->block)->last < s->end) {
            c->block++;
        }
        if (c->block < c->n_blocks) {
            from = QV_MIN(from, QV_MAX(block_at(s, c, c->block)->first, s->end));
        }
    }
    if (from == UINT32_MAX) {
        return false;
    }
    s->begin = from / WINDOW * WINDOW;
    s->end = s->begin + QV_MIN((uint32_t)WINDOW, s->p->n_ords - s->begin);
    return true;
}

/* The lists that reach into the window, and what each can add there. */
static void bound_window(struct search *s)
{
    s->n_active = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        struct cursor *c = &s->cursors[i];
        bool reaches = false;
        c->bound = 0.0f;
        for (uint32_t b = c->block; b < c->n_blocks && block_at(s, c, b)->first < s->end; b++) {
            const struct qv__posting_block *k = block_at(s, c, b);
            float w = c->query > 0 ? k->max : k->min;
            c->bound = QV_MAX(c->bound, c->query * w * SLACK);
            reaches = true;
        }
        if (reaches) {
            s->active[s->n_active++] = c;
        }
    }
    qsort(s->active, s->n_active, sizeof(struct cursor *), by_bound);
    s->below[0] = 0.0f;
    for (uint32_t i = 0; i < s->n_active; i++) {
        s->below[i + 1] = s->below[i] + s->active[i]->bound;
    }
}

static void add_all(struct search *s, struct cursor *c)
{
    for (uint32_t b = c->block; b < c->n_blocks && block_at(s, c, b)->first < s->end; b++) {
        const uint32_t *ords = ords_of(s, c, b);
        const float *w = qv__postings_weights(s->p, &c->list, b);
        uint32_t n = qv__posting_block_n(&c->list, b);
        for (uint32_t k = 0; k < n; k++) {
            uint32_t at = ords[k] - s->begin;
            if (at < s->end - s->begin) {
                s->acc[at] += c->query * w[k];
                s->touched[at / 64] |= UINT64_C(1) << (at % 64);
            }
        }
    }
}

/* What the list adds to candidates; they and it are in order. */
static void add_found(struct search *s, struct cursor *c)
{
    uint32_t f = 0, b = c->block;
    while (f < s->n_found && b < c->n_blocks) {
        uint32_t want = s->begin + s->found[f];
        if (block_at(s, c, b)->last < want) {
            b++;
            continue;
        }
        const uint32_t *ords = ords_of(s, c, b);
        const float *w = qv__postings_weights(s->p, &c->list, b);
        uint32_t n = qv__posting_block_n(&c->list, b), k = 0;
        for (; f < s->n_found && (want = s->begin + s->found[f]) <= ords[n - 1]; f++) {
            while (k + 1 < n && ords[k] < want) {
                k++;
            }
            if (ords[k] == want) {
                s->acc[s->found[f]] += c->query * w[k];
            }
        }
        b++;
    }
}

/* Keep the candidates that may still be among the best with so much more. */
static void prune(struct search *s, float more)
{
    float bar = -qv__topk_bound(s->top);
    uint32_t kept = 0;
    for (uint32_t f = 0; f < s->n_found; f++) {
        if (s->acc[s->found[f]] + more >= bar) {
            s->found[kept++] = s->found[f];
        }
    }
    s->n_found = kept;
}

/* Candidates out of what was touched; the words are cleared, the sums of others too. */
static void collect(struct search *s)
{
    s->n_found = 0;
    for (uint32_t word = 0; word < WINDOW / 64; word++) {
        uint64_t bits = s->touched[word];
        s->touched[word] = 0;
        while (bits) {
            uint32_t at = word * 64 + (uint32_t)__builtin_ctzll(bits);
            bits &= bits - 1;
            if (!s->allow || qv__bit_test_atomic(s->allow, s->first + s->begin + at)) {
                s->found[s->n_found++] = at;
            } else {
                s->acc[at] = 0.0f;
            }
        }
    }
}

static void search_window(struct search *s, struct qv__qctx *ctx)
{
    float bar = -qv__topk_bound(s->top);
    uint32_t needless = 0; /* lists that cannot lift a vector over the bar by themselves */
    bound_window(s);
    while (needless < s->n_active && s->below[needless + 1] < bar) {
        needless++;
    }
    if (needless == s->n_active) {
        return;
    }
    for (uint32_t i = needless; i < s->n_active; i++) {
        add_all(s, s->active[i]);
    }
    collect(s);
    ctx->stats.distances += s->n_found;
    uint32_t all[WINDOW / 2], n_all = s->n_found;
    bool fits = n_all <= QV_ARRAY_LEN(all);
    if (fits) {
        memcpy(all, s->found, n_all * sizeof *all);
    }
    for (uint32_t i = needless; i-- > 0;) {
        prune(s, s->below[i + 1]);
        add_found(s, s->active[i]);
    }
    for (uint32_t f = 0; f < s->n_found; f++) {
        uint32_t at = s->found[f];
        qv__topk_push(s->top, 0.0f - s->acc[at], (uint64_t)s->first + s->begin + at);
    }
    if (!fits) {
        memset(s->acc, 0, sizeof s->acc);
    }
    for (uint32_t f = 0; fits && f < n_all; f++) {
        s->acc[all[f]] = 0.0f;
    }
}

static qv_status stopped(struct qv__qctx *ctx, struct qv_err *err)
{
    qv_status st = qv__qctx_check(ctx);
    return st == QV_OK ? QV_OK : qv__fail(err, st, "sparse search: %s", qv_status_text(st));
}

/* At most `max` of them: a file that fails between two looks must not make more of them. */
static uint32_t terms_found(const struct qv__postings *p, const void *query, struct cursor *out,
                            uint32_t max)
{
    uint32_t n = 0, nnz = qv__varvec_count(query);
    for (uint32_t i = 0; i < nnz && n < max; i++) {
        const struct qv__posting_list *l = qv__postings_find(p, qv__sparse_indices(query)[i]);
        if (!l) {
            continue;
        }
        if (out) {
            out[n].list = *l;
            out[n].query = qv__sparse_values(query)[i];
            out[n].n_blocks = qv__posting_blocks(&out[n].list);
            out[n].unpacked = UINT32_MAX;
        }
        n++;
    }
    return n;
}

qv_status qv__sparse_search(const struct qv__postings *p, uint32_t first, const void *query,
                            const uint64_t *allow, struct qv__qctx *ctx, struct qv__topk *top,
                            struct qv_err *err)
{
    qv_status st = QV_OK;
    uint32_t n = terms_found(p, query, NULL, UINT32_MAX);
    if (n == 0 || top->k == 0) {
        return QV_OK;
    }
    struct search *s = qv__zalloc(ctx->mem, sizeof *s);
    if (s) {
        s->cursors = qv__calloc(ctx->mem, n, sizeof *s->cursors);
        s->active = qv__calloc(ctx->mem, n, sizeof(struct cursor *));
        s->below = qv__calloc(ctx->mem, (size_t)n + 1, sizeof *s->below);
    }
    if (!s || !s->cursors || !s->active || !s->below) {
        QV_GOTO(qv__fail(err, QV_ENOMEM, "no memory for a query of %" PRIu32 " terms", n));
    }
    s->p = p;
    s->first = first;
    s->allow = allow;
    s->top = top;
    s->n = terms_found(p, query, s->cursors, n);
    while (next_window(s)) {
        QV_GOTO(stopped(ctx, err));
        search_window(s, ctx);
    }
out:
    if (s) {
        qv__free(s->below);
        qv__free(s->active);
        qv__free(s->cursors);
        qv__free(s);
    }
    return st;
}

qv_status qv__sparse_scan(const void *const *vectors, uint32_t n, uint32_t first, const void *query,
                          const uint64_t *allow, struct qv__qctx *ctx, struct qv__topk *top,
                          struct qv_err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        bool overlap;
        if (i % 256 == 0) {
            QV_TRY(stopped(ctx, err));
        }
        if (!allow || qv__bit_test_atomic(allow, (size_t)first + i)) {
            float score = qv__sparse_dot(query, vectors[i], &overlap);
            ctx->stats.distances++;
            if (overlap) {
                qv__topk_push(top, 0.0f - score, (uint64_t)first + i);
            }
        }
    }
    return QV_OK;
}

uint64_t qv__sparse_cost(const struct qv__postings *p, const void *query)
{
    uint64_t cost = 0;
    for (uint32_t i = 0; i < qv__varvec_count(query); i++) {
        const struct qv__posting_list *l = qv__postings_find(p, qv__sparse_indices(query)[i]);
        cost += l ? l->n : 0;
    }
    return cost;
}

void qv__sparse_frequencies(const struct qv__postings *p, uint32_t first, const uint32_t *terms,
                            uint32_t n, const uint64_t *allow, uint64_t *df)
{
    uint32_t ords[QV__POSTINGS_BLOCK];
    for (uint32_t i = 0; i < n; i++) {
        const struct qv__posting_list *l = qv__postings_find(p, terms[i]);
        if (l && !allow) {
            df[i] += l->n;
            continue;
        }
        struct qv__posting_list list = l ? *l : (struct qv__posting_list){0};
        for (uint32_t b = 0; b < qv__posting_blocks(&list); b++) {
            qv__postings_unpack(p, &list, b, ords);
            for (uint32_t k = 0; k < qv__posting_block_n(&list, b); k++) {
                df[i] += ords[k] < p->n_ords && qv__bit_test_atomic(allow, (size_t)first + ords[k]);
            }
        }
    }
}
