/* nearness.c: an order of vectors in which those that are near each other lie side by side.
 *
 * A tree of cells: a cell is divided into the parts that k-means finds in a sample of it, each part
 * likewise, until one is about what a page holds codes of. The parts of a cell stand in the order
 * in which a walk from one to the nearest of those left meets them. Distances are squared Euclidean
 * ones whatever the metric, so that no long vector draws all others to itself. Bits have no means:
 * parts are what is nearest, by Hamming distance, to some of the cell's own. A large cell is
 * divided by all threads, small ones each by one. */
#include "index/nearness.h"

#include "base/elements.h"
#include "base/rng.h"
#include "index/common.h"

enum {
    PARTS = 16,
    CELL = 32,       /* no larger ones are divided */
    DEPTH_MAX = 16,  /* or nothing is gained any more: duplicates */
    ROUNDS = 5,      /* of k-means, */
    SAMPLE = 1024,   /* ... over so many at most */
    ALONE = 1 << 14, /* a cell of no more is one thread's, with all its parts */
    GRAIN = 1024,    /* vectors of a large cell that a thread looks at, at a time */
};

struct cell {
    uint32_t first, n, depth;
};

/* Of one thread. */
struct tools {
    float *row;          /* a vector that was widened */
    float *means, *sums; /* PARTS of each; NULL for bits */
    uint32_t counts[PARTS];
    const void *heads[PARTS]; /* what the parts of the cell at hand are nearest to */
};

struct order {
    const struct qv__index_env *env;
    const struct qv__vectors *kind;
    qv__dist_gather_fn gather;
    const void *const *rows;
    uint64_t seed;
    uint32_t *items, *moved; /* moved: room for as many */
    uint8_t *parts;          /* of each item, by place */
    struct cell *small;      /* each to be divided by one thread */
    uint32_t n_small, cap_small;
    struct tools *tools; /* by thread; the first one's heads are those of a large cell */
    unsigned n_threads;
    _Atomic bool is_cancelled;
};

static bool must_stop(struct order *o)
{
    if (qv__env_cancelled(o->env)) {
        atomic_store_explicit(&o->is_cancelled, true, memory_order_relaxed);
    }
    return atomic_load_explicit(&o->is_cancelled, memory_order_relaxed);
}

static const void *row_of(const struct order *o, struct tools *t, uint32_t place)
{
    const void *row = o->rows[o->items[place]];
    if (!t->row) {
        return row;
    }
    if (o->kind->datatype == QV__F16) {
        qv__narrow_of(o->env->simd)->widen_f16(row, o->kind->dim, t->row);
    } else {
        qv__elements_to_floats(o->kind->datatype, row, o->kind->dim, t->row);
    }
    return t->row;
}

static uint32_t nearest(const struct order *o, const void *row, const void *const *heads)
{
    float dists[PARTS];
    uint32_t best = 0;
    o->gather(row, heads, PARTS, o->kind->dim, dists);
    for (uint32_t k = 1; k < PARTS; k++) {
        best = dists[k] < dists[best] ? k : best;
    }
    return best;
}

/* --- the heads of a cell --- */

/* One of each of as many stretches of the cell; they lie where the means will, if there are any. */
static void draw_heads(struct order *o, struct tools *t, struct cell c)
{
    uint64_t stream = o->seed ^ qv__mix64((uint64_t)c.first << 32 | c.n);
    for (uint32_t k = 0; k < PARTS; k++) {
        uint32_t begin = (uint32_t)((uint64_t)c.n * k / PARTS);
        uint32_t end = (uint32_t)((uint64_t)c.n * (k + 1) / PARTS);
        stream = qv__mix64(stream + k + 1);
        t->heads[k] = row_of(o, t, c.first + begin + (uint32_t)(stream % (end - begin)));
        if (t->means) {
            float *mean = t->means + (size_t)k * o->kind->dim;
            memcpy(mean, t->heads[k], o->kind->dim * sizeof *mean);
            t->heads[k] = mean;
        }
    }
}

/* From the heads to the means of what is nearest to each. */
static void improve_heads(struct order *o, struct tools *t, struct cell c)
{
    size_t dim = o->kind->dim;
    uint32_t n = QV_MIN(c.n, (uint32_t)SAMPLE);
    memset(t->sums, 0, PARTS * dim * sizeof *t->sums);
    memset(t->counts, 0, sizeof t->counts);
    for (uint32_t i = 0; i < n; i++) {
        const float *row = row_of(o, t, c.first + (uint32_t)((uint64_t)c.n * i / n));
        uint32_t k = nearest(o, row, t->heads);
        float *sum = t->sums + k * dim;
        t->counts[k]++;
        for (size_t j = 0; j < dim; j++) {
            sum[j] += row[j];
        }
    }
    for (uint32_t k = 0; k < PARTS; k++) { /* one that is nearest to none stays */
        float by = t->counts[k] ? 1.0f / (float)t->counts[k] : 0.0f;
        for (size_t j = 0; by > 0.0f && j < dim; j++) {
            t->means[k * dim + j] = t->sums[k * dim + j] * by;
        }
    }
}

/* From each to the nearest of those left. */
static void chain_heads(struct order *o, struct tools *t)
{
    for (uint32_t k = 0; k + 2 < PARTS; k++) {
        float dists[PARTS];
        uint32_t best = 0, n = PARTS - k - 1;
        o->gather(t->heads[k], t->heads + k + 1, n, o->kind->dim, dists);
        for (uint32_t i = 1; i < n; i++) {
            best = dists[i] < dists[best] ? i : best;
        }
        const void *swap = t->heads[k + 1];
        t->heads[k + 1] = t->heads[k + 1 + best];
        t->heads[k + 1 + best] = swap;
    }
}

static void find_heads(struct order *o, struct tools *t, struct cell c)
{
    draw_heads(o, t, c);
    for (int round = 0; t->means && round < ROUNDS; round++) {
        improve_heads(o, t, c);
    }
    chain_heads(o, t);
}

/* --- division --- */

/* Bring the parts together, each in the order it had; `ends` are where each ends. */
static void gather_parts(struct order *o, struct cell c, uint32_t ends[PARTS])
{
    uint32_t at[PARTS] = {0}, sum = c.first;
    for (uint32_t i = c.first; i < c.first + c.n; i++) {
        at[o->parts[i]]++;
    }
    for (uint32_t k = 0; k < PARTS; k++) {
        uint32_t n = at[k];
        at[k] = sum;
        sum += n;
        ends[k] = sum;
    }
    for (uint32_t i = c.first; i < c.first + c.n; i++) {
        o->moved[at[o->parts[i]]++] = o->items[i];
    }
    memcpy(o->items + c.first, o->moved + c.first, c.n * sizeof *o->items);
}

/* Part k of a divided cell; false if it is not to be divided in turn. */
static bool part_of(struct cell c, const uint32_t ends[PARTS], uint32_t k, struct cell *part)
{
    uint32_t first = k ? ends[k - 1] : c.first;
    *part = (struct cell){first, ends[k] - first, c.depth + 1};
    return part->n > CELL && part->n < c.n && part->depth < DEPTH_MAX;
}

/* By one thread alone, and its parts likewise. */
static void divide_small(struct order *o, struct tools *t, struct cell c)
{
    uint32_t ends[PARTS];
    struct cell part;
    if (must_stop(o)) {
        return;
    }
    find_heads(o, t, c);
    for (uint32_t i = c.first; i < c.first + c.n; i++) {
        o->parts[i] = (uint8_t)nearest(o, row_of(o, t, i), t->heads);
    }
    gather_parts(o, c, ends);
    for (uint32_t k = 0; k < PARTS; k++) {
        if (part_of(c, ends, k, &part)) {
            divide_small(o, t, part);
        }
    }
}

static void small_task(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct order *o = ctx;
    for (size_t i = begin; i < end; i++) {
        divide_small(o, &o->tools[worker], o->small[i]);
    }
}

struct large {
    struct order *o;
    struct cell cell;
};

static void large_task(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct large *l = ctx;
    struct order *o = l->o;
    if (must_stop(o)) {
        return;
    }
    for (size_t i = l->cell.first + begin; i < l->cell.first + end; i++) {
        o->parts[i] =
            (uint8_t)nearest(o, row_of(o, &o->tools[worker], (uint32_t)i), o->tools[0].heads);
    }
}

static bool small_add(struct order *o, struct cell c)
{
    if (o->n_small == o->cap_small) {
        uint32_t cap = QV_MAX(o->cap_small * 2, 256U);
        struct cell *grown = qv__realloc(o->env->mem, o->small, cap * sizeof *grown);
        if (!grown) {
            return false;
        }
        o->small = grown;
        o->cap_small = cap;
    }
    o->small[o->n_small++] = c;
    return true;
}

/* By all threads, down to the parts that are small. False when memory is out. */
static bool divide_large(struct order *o, struct cell c)
{
    uint32_t ends[PARTS];
    struct cell part;
    struct large l = {o, c};
    if (must_stop(o)) {
        return true;
    }
    find_heads(o, &o->tools[0], c);
    qv__parallel_for(o->env->pool, o->n_threads, c.n, GRAIN, large_task, &l);
    if (must_stop(o)) { /* some parts are not known */
        return true;
    }
    gather_parts(o, c, ends);
    for (uint32_t k = 0; k < PARTS; k++) {
        if (part_of(c, ends, k, &part) &&
            (part.n <= ALONE ? !small_add(o, part) : !divide_large(o, part))) {
            return false;
        }
    }
    return true;
}

/* --- the whole --- */

static bool order_open(struct order *o, uint32_t n)
{
    struct qv__mem *mem = o->env->mem;
    size_t dim = o->kind->dim;
    bool has_means = o->kind->datatype != QV__BIT, is_ok;
    o->moved = qv__calloc(mem, (size_t)n + 1, sizeof *o->moved);
    o->parts = qv__calloc(mem, (size_t)n + 1, sizeof *o->parts);
    o->tools = qv__calloc(mem, o->n_threads, sizeof *o->tools);
    is_ok = o->moved && o->parts && o->tools;
    for (unsigned i = 0; is_ok && has_means && i < o->n_threads; i++) {
        struct tools *t = &o->tools[i];
        t->means = qv__calloc(mem, PARTS * dim, sizeof *t->means);
        t->sums = qv__calloc(mem, PARTS * dim, sizeof *t->sums);
        t->row = o->kind->datatype == QV__F32 ? NULL : qv__calloc(mem, dim, sizeof *t->row);
        is_ok = t->means && t->sums && (t->row || o->kind->datatype == QV__F32);
    }
    return is_ok;
}

static void order_close(struct order *o)
{
    for (unsigned i = 0; o->tools && i < o->n_threads; i++) {
        qv__free(o->tools[i].means);
        qv__free(o->tools[i].sums);
        qv__free(o->tools[i].row);
    }
    qv__free(o->tools);
    qv__free(o->moved);
    qv__free(o->parts);
    qv__free(o->small);
}

qv_status qv__nearness_order(const struct qv__index_env *env, const struct qv__vectors *kind,
                             const void *const *rows, uint64_t seed, uint32_t *items, uint32_t n,
                             struct qv_err *err)
{
    bool is_bits = kind->datatype == QV__BIT;
    struct order o = {.env = env,
                      .kind = kind,
                      .gather = qv__kernels_of(env->simd, is_bits ? QV__BIT : QV__F32,
                                               is_bits ? QV__HAMMING : QV__L2)
                                    .gather,
                      .rows = rows,
                      .seed = seed,
                      .items = items,
                      .n_threads = qv__env_threads(env)};
    struct cell all = {.n = n};
    if (n <= CELL) {
        return QV_OK;
    }
    bool is_ok = order_open(&o, n) && (n <= ALONE ? small_add(&o, all) : divide_large(&o, all));
    if (is_ok) {
        qv__parallel_for(env->pool, o.n_threads, o.n_small, 1, small_task, &o);
    }
    order_close(&o);
    if (!is_ok) {
        return qv__fail(err, QV_ENOMEM, "no memory to order %" PRIu32 " vectors", n);
    }
    return atomic_load_explicit(&o.is_cancelled, memory_order_relaxed)
               ? qv__fail(err, QV_ECANCELLED, "the ordering of vectors was cancelled")
               : QV_OK;
}
