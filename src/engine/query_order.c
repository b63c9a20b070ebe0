/* query_order.c: points by the values of an indexed field.
 *
 * Blocks of an index hold their values sorted, so each list is walked from its best end until what
 * it has cannot be among the best any more; rows that no block covers are read. A bounded heap over
 * all lists of all segments keeps the best, so what is walked beyond them is little, unless a
 * filter lets few rows of a list pass. */
#include "engine/query_exec.h"
#include "engine/segment_fields.h"

struct ordered {
    int64_t key;
    uint64_t row; /* as of QV__KEY */
};

struct collect {
    struct qv__run *r;
    const struct qv__stage *s;
    struct ordered *heap; /* the worst of the best on top */
    size_t n, cap;
    size_t segment;
    uint32_t first; /* row of what is asked now */
    bool no_memory;
};

/* --- the heap
 * ----------------------------------------------------------------------------------------- */

/* Equal values in id order, whichever the direction. */
static int order_of(const struct collect *c, const struct ordered *x, const struct ordered *y)
{
    if (x->key != y->key) {
        return (x->key < y->key) != c->s->order.descending ? -1 : 1;
    }
    if (x->row == y->row) {
        return 0;
    }
    struct qv__id ix = qv__run_id(c->r, x->row), iy = qv__run_id(c->r, y->row);
    return qv__id_cmp(&ix, &iy);
}

static int sort_order(const void *a, const void *b, void *arg)
{
    return order_of(arg, a, b);
}

static void sift_down(struct collect *c, size_t i)
{
    struct ordered x = c->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= c->n) {
            break;
        }
        if (child + 1 < c->n && order_of(c, &c->heap[child + 1], &c->heap[child]) > 0) {
            child++;
        }
        if (order_of(c, &c->heap[child], &x) <= 0) {
            break;
        }
        c->heap[i] = c->heap[child];
        i = child;
    }
    c->heap[i] = x;
}

static void sift_up(struct collect *c, size_t i)
{
    struct ordered x = c->heap[i];
    for (size_t parent; i && order_of(c, &c->heap[parent = (i - 1) / 2], &x) < 0; i = parent) {
        c->heap[i] = c->heap[parent];
    }
    c->heap[i] = x;
}

/* The list grows with what is found: rows do not bound how many values there are. */
static bool grow(struct collect *c)
{
    size_t cap = (size_t)QV_MIN(c->s->take, (uint64_t)c->cap * 2 + 64);
    struct ordered *more = qv__arena_calloc(&c->r->rs->arena, cap + 1, sizeof *more);
    if (!more) {
        c->no_memory = true;
        return false;
    }
    if (c->n) {
        memcpy(more, c->heap, c->n * sizeof *more);
    }
    c->heap = more;
    c->cap = cap;
    return true;
}

/* An equal value of a row that is worse by id does not end its list: others may be better. */
static bool offer(void *ctx, int64_t key, uint32_t row)
{
    struct collect *c = ctx;
    struct ordered x = {key, QV__KEY(c->segment, c->first + row)};
    if (c->n < c->s->take) {
        if (c->n == c->cap && !grow(c)) {
            return false;
        }
        c->heap[c->n++] = x;
        sift_up(c, c->n - 1);
        return true;
    }
    if (key != c->heap[0].key && (key < c->heap[0].key) == c->s->order.descending) {
        return false;
    }
    if (order_of(c, &x, &c->heap[0]) < 0) {
        c->heap[0] = x;
        sift_down(c, 0);
    }
    return true;
}

static qv_status answer(struct collect *c, struct qv__ranking *out, struct qv_err *err)
{
    QV_TRY(qv__ranking_alloc(c->r, c->n, out, err));
    int64_t *keys = qv__arena_calloc(&c->r->rs->arena, c->n + 1, sizeof *keys);
    if (!keys || c->no_memory) {
        return qv__fail(err, QV_ENOMEM, "no memory for %zu results", c->n);
    }
    if (c->n) {
        qsort_r(c->heap, c->n, sizeof *c->heap, sort_order, c);
    }
    for (; out->n < c->n; out->n++) {
        keys[out->n] = c->heap[out->n].key;
        out->items[out->n] = (struct qv__ranked){.key = c->heap[out->n].row, .score = 1.0f};
    }
    out->order_keys = keys;
    return QV_OK;
}

/* --- rows
 * --------------------------------------------------------------------------------------------- */

/* Read rows [first, first + n) that are in words (relative to first). */
static qv_status ask_rows(struct collect *c, uint32_t n, const uint64_t *words, struct qv_err *err)
{
    const struct qv__segment *seg = c->r->segments[c->segment];
    struct qv__steps steps = {.q = c->r->ctx};
    uint32_t first = c->first, asked = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!qv__bit_test(words, i)) {
            continue;
        }
        c->first = first + i;
        qv__row_order(qv__segment_row_payload(seg, c->first), &c->s->q->order_by->path,
                      &c->s->order, offer, c, &steps);
        asked++;
        if (steps.status != QV_OK) {
            return qv__fail(err, steps.status, "order_by: %s", qv_status_text(steps.status));
        }
    }
    c->r->ctx->stats.rows_filtered += asked;
    c->first = first;
    return QV_OK;
}

static const struct qv__field *field_of(const struct qv__field_set *set, const struct collect *c)
{
    for (uint32_t i = 0; set && i < set->n; i++) {
        if (set->fields[i]->spec.type == c->s->order.type &&
            qv__path_eq(&set->fields[i]->spec.path, &c->s->q->order_by->path)) {
            return set->fields[i];
        }
    }
    return NULL;
}

/* The rows to take of [first, first + n). */
static void take_words(const struct qv__matching *m, uint32_t first, uint32_t n, uint64_t *words)
{
    struct qv__bitset all = {words, QV__BLOCK_ROWS};
    memset(words, 0, QV__BLOCK_WORDS * sizeof *words);
    qv__bitset_fill(&all, 0, n);
    for (size_t w = 0; m->words && w < qv__bitset_words(n); w++) {
        words[w] &= __atomic_load_n(&m->words[first / 64 + w], __ATOMIC_RELAXED);
    }
}

static qv_status order_segment(struct collect *c, const struct qv__field *f,
                               const struct qv__matching *m, struct qv_err *err)
{
    uint64_t words[QV__BLOCK_WORDS], rest[QV__BLOCK_WORDS];
    uint32_t rows = qv__fields_block_rows(c->r->segments[c->segment]);
    uint32_t built = f ? atomic_load_explicit(&f->n, memory_order_acquire) : 0;
    for (uint32_t block = 0; (uint64_t)block * rows < m->n_rows; block++) {
        qv_status st = qv__qctx_check(c->r->ctx);
        if (st != QV_OK) {
            return qv__fail(err, st, "order_by: %s", qv_status_text(st));
        }
        c->first = block * rows;
        uint32_t n = QV_MIN(rows, m->n_rows - c->first);
        take_words(m, c->first, n, words);
        if (block < built) {
            qv__field_order(&f->blocks[block], &c->s->order, words, rest, offer, c);
        }
        QV_TRY(ask_rows(c, n, block < built ? rest : words, err));
    }
    return QV_OK;
}

qv_status qv__leaf_order(struct qv__run *r, const struct qv__stage *s, struct qv__ranking *out,
                         struct qv_err *err)
{
    struct collect c = {.r = r, .s = s};
    for (c.segment = 0; c.segment < r->n_segments; c.segment++) {
        struct qv__matching m;
        struct qv__field_set *set = qv__segment_fields(r->segments[c.segment]);
        qv_status st = qv__run_matching(r, c.segment, s->filter, &m, err);
        if (st == QV_OK) {
            st = order_segment(&c, field_of(set, &c), &m, err);
            qv__matching_free(&m);
        }
        qv__field_set_release(set);
        QV_TRY(st);
    }
    return answer(&c, out, err);
}

qv_status qv__order_over(struct qv__run *r, const struct qv__stage *s,
                         const struct qv__ranking *candidates, struct qv__ranking *out,
                         struct qv_err *err)
{
    struct collect c = {.r = r, .s = s};
    struct qv__steps steps = {.q = r->ctx};
    for (size_t i = 0; i < candidates->n; i++) {
        uint64_t key = candidates->items[i].key;
        c.segment = QV__KEY_SEGMENT(key);
        c.first = QV__KEY_ROW(key);
        qv__row_order(qv__segment_row_payload(r->segments[c.segment], c.first),
                      &s->q->order_by->path, &s->order, offer, &c, &steps);
        if (steps.status != QV_OK) {
            return qv__fail(err, steps.status, "order_by: %s", qv_status_text(steps.status));
        }
    }
    return answer(&c, out, err);
}

/* --- the plan
 * ----------------------------------------------------------------------------------------- */

qv_status qv__order_plan(struct qv__run *r, struct qv__stage *s, struct qv_err *err)
{
    const struct qv__order_by *by = s->q->order_by;
    if (!by) {
        return qv__fail(err, QV_EINVAL, "query.order_by: no field is named");
    }
    for (uint32_t i = 0; i < r->rs->schema->n_indexes; i++) {
        const struct qv__index_spec *spec = &r->rs->schema->specs[i];
        if (spec->has_order && qv__path_eq(&spec->path, &by->path)) {
            s->order = by->order;
            s->order.type = spec->type;
            s->order.each_value = false;
            return QV_OK;
        }
    }
    return qv__fail(err, QV_EINVAL,
                    "No range index for `order_by` key: `%.*s`. Please create one to use "
                    "`order_by`. An index of type integer, float or datetime has one",
                    (int)QV_MIN(by->key.n, (size_t)64), by->key.p);
}
