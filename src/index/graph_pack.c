/* graph_pack.c: packed sets, made out of a graph's codes.
 *
 * Decoding, rotating and encoding a row takes about 600 ns at 128 dimensions. So no search makes
 * more than STEP_FLOATS floats' worth, some milliseconds; others go on without meanwhile, and the
 * next one continues. Vectors are not read: what a code stands for is near enough. */
#include "index/graph_pack.h"

#include <math.h>
#include <stdlib.h>

#include "bitmap/bitset.h"

#define SEED UINT64_C(0x7061636b)

enum {
    N_LEAST = 1024,        /* in a set: fewer are scanned as fast */
    STEP_FLOATS = 1 << 20, /* that one search turns into codes */
    NS_A_FLOAT = 5,        /* that takes, */
    STEP_ROWS = 1 << 20,   /* that one search looks at, to try what was made */
    ASKED_LEAST = 8,       /* nodes that a pack is tried with, twice; more while */
    ASKED_ROWS = 2 << 20,  /* no more rows are looked at for all of them */
};
/* What a search of a pack takes: always, for a cell, and for a byte of the blocks that it reads,
 * which are VISITED of all as a rule. */
#define NS_ALWAYS 12e3
#define NS_A_CELL 15.0
#define NS_A_BYTE 0.04
#define VISITED   0.35

static const struct qv__quant *codes_of(const struct qv__graph *g, const struct qv__rows **rows)
{
    *rows = g->narrow.quant ? &g->narrow.codes : &g->codes;
    return g->narrow.quant ? g->narrow.quant : g->quant;
}

static bool serves(const struct qv__graph *g)
{
    const struct qv__rows *rows;
    const struct qv__quant *z = codes_of(g, &rows);
    return g->is_view && !g->index.params.on_disk && z && qv__around_decodes(z) &&
           qv__around_fits(g->index.vectors.dim);
}

double qv__graph_pack_cost(const struct qv__graph *g, uint32_t n)
{
    double a_row = 8 + (double)((g->index.vectors.dim + 63) / 64 * 8);
    return NS_ALWAYS + n * (NS_A_CELL / QV__PACK_CELL + VISITED * NS_A_BYTE * a_row);
}

/* With the fourth root of the beam: it is some cells more, and more to measure. */
static double of_beam(uint32_t ef)
{
    return sqrt(sqrt((double)QV_MAX(ef, 1U) / QV__PACK_BEAM));
}

double qv__pack_ns(const struct qv__index_pack *p, uint32_t ef)
{
    return (double)atomic_load_explicit(&p->ns, memory_order_relaxed) * of_beam(ef);
}

void qv__pack_took(struct qv__index_pack *p, uint32_t ef, uint64_t ns)
{
    double old = (double)atomic_load_explicit(&p->ns, memory_order_relaxed);
    double now = old + ((double)ns / of_beam(ef) - old) / 8;
    atomic_store_explicit(&p->ns, (uint64_t)QV_MAX(now, 1.0), memory_order_relaxed);
}

/* The quantizer of all packs. NULL: no memory. */
static const struct qv__quant *quant_of(struct qv__graph *g)
{
    struct qv__quant *z = atomic_load_explicit(&g->pack_quant, memory_order_acquire), *made;
    const struct qv__rows *rows;
    struct qv_err err; /* memory is all that can lack */
    if (z || qv__around_like(codes_of(g, &rows), g->index.params.seed ^ SEED, g->index.mem, &made,
                             &err) != QV_OK) {
        return z;
    }
    if (!atomic_compare_exchange_strong_explicit(&g->pack_quant, &z, made, memory_order_acq_rel,
                                                 memory_order_acquire)) {
        qv__quant_free(made); /* another search was first */
        return z;
    }
    return made;
}

struct qv__around_query *qv__pack_query(struct qv__graph *g, struct qv__graph_scratch *s)
{
    struct qv_err err; /* memory is all that can lack */
    const struct qv__quant *z = s->packed ? NULL : quant_of(g);
    if (z && qv__around_query_new(z, g->index.mem, &s->packed, &err) != QV_OK) {
        return NULL;
    }
    return s->packed;
}

/* --- making --- */

static void pack_free(struct qv__index_pack *p)
{
    if (p) {
        qv__free(p->blocks);
        qv__free(p->centres);
        qv__free(p->radius2);
        qv__free(p->ords);
        qv__free(p);
    }
}

/* Bytes of a pack of n ordinals. */
static uint64_t bytes_of(const struct qv__graph *g, uint64_t n)
{
    const struct qv__rows *rows;
    uint64_t elements = QV_ALIGN_UP((uint64_t)g->index.vectors.dim, (uint64_t)QV__CODE_BLOCK_DIMS);
    uint64_t cells = (n + QV__PACK_CELL - 1) / QV__PACK_CELL;
    return sizeof(struct qv__index_pack) + 4 * n +
           cells *
               (QV__PACK_CELL * (elements / 8 + 8) + 4 + qv__graph_code_packed(codes_of(g, &rows)));
}

static struct qv__index_pack *pack_begin(struct qv__graph *g, const struct qv__index_query *q)
{
    uint32_t n_allowed = (uint32_t)qv__bits_count(q->set, q->n);
    const struct qv__rows *rows;
    struct qv__mem *mem = g->index.mem;
    const struct qv__quant *z = quant_of(g);
    struct qv__index_pack *p = z && n_allowed > 0 ? qv__zalloc(mem, sizeof *p) : NULL;
    if (!p) {
        return NULL;
    }
    p->n = n_allowed;
    p->n_cells = (n_allowed + QV__PACK_CELL - 1) / QV__PACK_CELL;
    p->n_bytes = bytes_of(g, n_allowed);
    p->n_asked =
        2 * QV_MIN(QV_MAX(ASKED_ROWS / n_allowed, (uint32_t)ASKED_LEAST), (uint32_t)QV__PACK_ASKED);
    p->block_bytes = qv__around_bytes(z);
    p->centre_stride = qv__graph_code_packed(codes_of(g, &rows));
    p->blocks = qv__alloc_aligned(mem, QV__GRAPH_ALIGN,
                                  (size_t)p->n_cells * QV__PACK_BLOCKS * p->block_bytes);
    p->centres = qv__alloc_aligned(mem, QV__GRAPH_ALIGN, (size_t)p->n_cells * p->centre_stride);
    p->radius2 = qv__calloc(mem, p->n_cells, sizeof *p->radius2);
    p->ords = qv__calloc(mem, n_allowed, sizeof *p->ords);
    if (!p->blocks || !p->centres || !p->radius2 || !p->ords) {
        pack_free(p);
        return NULL;
    }
    uint32_t n = 0;
    for (size_t w = 0; w < qv__bitset_words(q->n); w++) {
        for (uint64_t word = q->set[w]; word && n < n_allowed; word &= word - 1) {
            p->ords[n++] = (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(word);
        }
    }
    return p;
}

/* A pack under way. */
struct making {
    const struct qv__quant *codes_quant, *quant;
    const struct qv__rows *codes;
    struct qv__index_pack *p;
    struct qv__quant_encoder *encoder;
    float *rows; /* of a cell, then the centre, then the mean */
    uint8_t *ints;
    size_t n_elements;
};

/* The centre, as its code has it. Returns the mean of what is left of a row, squared. */
static float centre_make(struct making *m, uint32_t cell, uint32_t n_rows, float *centre)
{
    size_t n = m->n_elements;
    uint8_t *code = m->p->centres + (size_t)cell * m->p->centre_stride;
    memset(centre, 0, n * sizeof *centre);
    for (uint32_t i = 0; i < n_rows; i++) {
        for (size_t k = 0; k < n; k++) {
            centre[k] += m->rows[i * n + k];
        }
    }
    for (size_t k = 0; k < n; k++) {
        centre[k] /= (float)n_rows;
    }
    qv__around_recode(m->encoder, centre, code);
    qv__around_decode(m->codes_quant, code, m->ints, centre);
    float sum = 0.0f;
    for (uint32_t i = 0; i < n_rows; i++) {
        float norm2 = 0.0f;
        for (size_t k = 0; k < n; k++) {
            float off = m->rows[i * n + k] - centre[k];
            norm2 += off * off;
        }
        sum += norm2;
    }
    return sum / (float)n_rows;
}

static void cell_make(struct making *m, uint32_t cell)
{
    struct qv__index_pack *p = m->p;
    size_t n = m->n_elements;
    uint32_t from = cell * QV__PACK_CELL, n_rows = QV_MIN(p->n - from, (uint32_t)QV__PACK_CELL);
    float *centre = m->rows + QV__PACK_CELL * n, *mean = centre + n;
    for (uint32_t i = 0; i < n_rows; i++) {
        qv__around_decode(m->codes_quant, qv__rows_at(m->codes, p->ords[from + i]), m->ints,
                          m->rows + i * n);
    }
    float radius2 = centre_make(m, cell, n_rows, centre);
    p->radius2[cell] = radius2 == radius2 ? radius2 : 0.0f; /* overflow only */
    qv__around_rotate(m->quant, centre);
    for (uint32_t i = 0; i < n_rows; i++) {
        qv__around_rotate(m->quant, m->rows + i * n);
    }
    for (uint32_t b = 0; b < QV__PACK_BLOCKS; b++) {
        const float *near[QV__LOOKUP_CODES];
        for (uint32_t i = 0; i < QV__LOOKUP_CODES; i++) {
            uint32_t row = b * QV__LOOKUP_CODES + i;
            near[i] = row < n_rows ? m->rows + row * n : NULL;
        }
        qv__around_encode(m->quant, mean, centre, near,
                          p->blocks + (size_t)(cell * QV__PACK_BLOCKS + b) * p->block_bytes);
    }
}

/* The next few cells. False: no memory. */
static bool make_some(struct qv__graph *g, struct qv__index_pack *p, struct qv__mem *mem)
{
    struct making m = {.p = p, .quant = quant_of(g)};
    struct qv_err err; /* memory is all that can lack */
    m.codes_quant = codes_of(g, &m.codes);
    m.n_elements = m.quant ? qv__around_elements(m.quant) : 0;
    m.rows = qv__calloc(mem, (QV__PACK_CELL + 2) * m.n_elements, sizeof *m.rows);
    m.ints = qv__alloc(mem, m.n_elements + 1);
    bool is_ok = m.quant && m.rows && m.ints &&
                 qv__quant_encoder_new(m.codes_quant, mem, &m.encoder, &err) == QV_OK;
    if (is_ok) {
        uint32_t n = QV_MAX((uint32_t)(STEP_FLOATS / (QV__PACK_CELL * m.n_elements)), 1U);
        qv__around_mean(m.quant, m.rows + (QV__PACK_CELL + 1) * m.n_elements);
        for (; n > 0 && p->n_made < p->n_cells; n--) {
            cell_make(&m, p->n_made++);
        }
    }
    qv__quant_encoder_free(m.encoder);
    qv__free(m.ints);
    qv__free(m.rows);
    return is_ok;
}

/* --- where what is near lies in its cells --- */

struct trying {
    struct qv__graph *g;
    struct qv__graph_scratch *s;
    struct qv__index_pack *p;
    struct qv__around_query *q;
    bool is_l2;
};

/* The nearest by estimates, to the beam, with their places in the pack. */
static void nearest_places(const struct trying *t, const struct qv__graph_target *to)
{
    const struct qv__index_pack *p = t->p;
    float own = 0, dists[QV__LOOKUP_CODES];
    t->s->n_best = 0;
    for (uint32_t at = 0; at < p->n; at += QV__LOOKUP_CODES) {
        if (at % QV__PACK_CELL == 0) {
            own = qv__quant_dist(to->codes, qv__pack_centre(p, at / QV__PACK_CELL));
        }
        uint64_t bound = qv__beam_bound(t->s);
        float most = bound == UINT64_MAX ? __builtin_inff() : qv__key_dist(bound);
        const uint8_t *block = qv__pack_block(p, at / QV__LOOKUP_CODES);
        uint32_t n = QV_MIN(p->n - at, (uint32_t)QV__LOOKUP_CODES);
        uint32_t near = qv__around_near(t->q, block, block + p->block_bytes, own, most, dists);
        for (uint32_t k = 0; near && k < n; k++) {
            uint64_t key = qv__key(dists[k], at + k);
            if (near >> k & 1 && key < qv__beam_bound(t->s)) {
                qv__beam_offer(t->s, key);
            }
        }
    }
}

static void try_with(const struct trying *t, uint32_t node, struct qv__pack_reach *r)
{
    struct qv__index_pack *p = t->p;
    const void *vector = qv__graph_vector(t->g, node);
    struct qv__graph_target to = qv__target_set(t->g, t->s, vector, true);
    qv__around_query_set(t->q, t->g->index.vectors.datatype, vector);
    nearest_places(t, &to);
    float nearest = __builtin_inff();
    for (uint32_t i = 0; i < t->s->n_best; i++) {
        uint32_t cell = qv__key_node(t->s->best[i]) / QV__PACK_CELL;
        float own = qv__quant_dist(to.codes, qv__pack_centre(p, cell));
        struct qv__pack_spread of = qv__pack_spread(p, cell, t->is_l2, own, to.codes->norm);
        float off = of.mean - qv__key_dist(t->s->best[t->s->n_best - 1]);
        float reach = of.deviation > 0.0f ? off / of.deviation : 0.0f;
        r->of[r->n++] = reach > 0.0f ? reach : 0.0f;
    }
    for (uint32_t cell = 0; cell < p->n_cells; cell++) {
        float own = qv__quant_dist(to.codes, qv__pack_centre(p, cell));
        float is = qv__pack_nearness(qv__pack_spread(p, cell, t->is_l2, own, to.codes->norm));
        nearest = is < nearest ? is : nearest;
    }
    r->nearest_of[p->n_tried / 2] = nearest;
}

static int larger_first(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* With nodes from anywhere, and with nodes of the pack, in turn: filters have to do with queries,
 * or not. As many of them as look at STEP_ROWS. False: no memory. */
static bool try_some(struct qv__graph *g, struct qv__index_pack *p)
{
    struct trying t = {
        .g = g, .s = qv__scratch_take(g), .p = p, .is_l2 = g->index.vectors.metric == QV__L2};
    uint32_t n = qv__index_count(&g->index);
    t.q = t.s ? qv__pack_query(g, t.s) : NULL;
    bool is_ok = t.q && qv__scratch_begin(g, t.s, n, QV__PACK_NEAR, 0, true);
    for (uint64_t looked = 0; is_ok && looked < STEP_ROWS && p->n_tried < p->n_asked;
         looked += p->n) {
        uint32_t own = p->n_tried % 2;
        uint32_t part = (uint32_t)((uint64_t)p->n_tried * (own ? p->n : n) / p->n_asked);
        try_with(&t, own ? p->ords[part] : part, &p->reach[own]);
        p->n_tried++;
    }
    qv__scratch_give(g, t.s);
    return is_ok;
}

static void sum_up(struct qv__index_pack *p)
{
    uint32_t n = p->n_asked / 2;
    for (uint32_t own = 0; own < 2; own++) {
        struct qv__pack_reach *r = &p->reach[own];
        qsort(r->nearest_of, n, sizeof r->nearest_of[0], larger_first);
        qsort(r->of, r->n, sizeof r->of[0], larger_first);
        r->nearest = r->nearest_of[n / 2];
    }
}

/* --- when --- */

/* As much as one search does. */
static void proceed(struct qv__graph *g, const struct qv__index_query *q, struct qv__qctx *ctx)
{
    struct qv__index_packed *x = q->packed;
    struct qv__index_pack *p = x->making;
    if (!p && !q->set) { /* another search has it */
        return;
    }
    if (!p) {
        p = x->making = pack_begin(g, q);
        atomic_store_explicit(&x->has_begun, true, memory_order_relaxed);
    }
    bool is_made = p && p->n_made == p->n_cells;
    bool is_ok = p && (is_made ? try_some(g, p) : make_some(g, p, ctx->mem));
    if (is_ok && (p->n_made < p->n_cells || p->n_tried < p->n_asked)) {
        return;
    }
    x->making = NULL;
    if (is_ok) {
        sum_up(p);
        atomic_store_explicit(&p->ns, (uint64_t)qv__graph_pack_cost(g, p->n), memory_order_relaxed);
        atomic_store_explicit(&x->pack, p, memory_order_release);
        return;
    }
    pack_free(p); /* again once it would have paid as much again */
    atomic_store_explicit(&x->has_begun, false, memory_order_relaxed);
    atomic_store_explicit(&x->n_missed_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&x->n_wanted, 0, memory_order_relaxed);
    atomic_store_explicit(&x->is_granted, false, memory_order_relaxed);
}

qv_status qv__graph_pack(struct qv__graph *g, const struct qv__index_query *q, uint32_t n_allowed,
                         struct qv__qctx *ctx, struct qv__index_pack **out)
{
    struct qv__index_packed *x = q->packed;
    *out = NULL;
    if (!x || q->no_codes || q->plan_only || !serves(g) || n_allowed < N_LEAST) {
        return QV_OK;
    }
    *out = atomic_load_explicit(&x->pack, memory_order_acquire);
    if (*out || !atomic_load_explicit(&x->is_granted, memory_order_acquire) ||
        atomic_load_explicit(&x->is_making, memory_order_relaxed)) {
        return QV_OK;
    }
    if (!q->set && !atomic_load_explicit(&x->has_begun, memory_order_relaxed)) {
        return QV_OK;
    }
    if (ctx->is_attempt) {
        return QV_ETIMEOUT;
    }
    if (!atomic_exchange_explicit(&x->is_making, true, memory_order_acquire)) {
        *out = atomic_load_explicit(&x->pack, memory_order_acquire);
        if (!*out) {
            proceed(g, q, ctx);
            *out = atomic_load_explicit(&x->pack, memory_order_acquire);
        }
        atomic_store_explicit(&x->is_making, false, memory_order_release);
    }
    return QV_OK;
}

void qv__graph_pack_missed(const struct qv__graph *g, struct qv__index_packed *packed,
                           uint32_t n_allowed, uint64_t ns)
{
    double saved = (double)ns - qv__graph_pack_cost(g, n_allowed);
    if (saved <= 0 || !serves(g) || n_allowed < N_LEAST) {
        return;
    }
    uint64_t missed =
        atomic_fetch_add_explicit(&packed->n_missed_ns, (uint64_t)saved, memory_order_relaxed);
    if (missed > (uint64_t)n_allowed * g->index.vectors.dim * NS_A_FLOAT) {
        atomic_store_explicit(&packed->n_wanted, bytes_of(g, n_allowed), memory_order_relaxed);
    }
}

uint64_t qv__index_packed_bytes(const struct qv__index_packed *p)
{
    const struct qv__index_pack *pack = atomic_load_explicit(
        &((struct qv__index_packed *)(uintptr_t)p)->pack, memory_order_acquire);
    return pack ? pack->n_bytes : 0;
}

void qv__index_packed_clear(struct qv__index_packed *p)
{
    pack_free(p->making);
    pack_free(atomic_load_explicit(&p->pack, memory_order_relaxed));
    p->making = NULL;
    atomic_store_explicit(&p->pack, NULL, memory_order_relaxed);
}
