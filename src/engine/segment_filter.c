/* segment_filter.c: which rows of a segment match a filter.
 *
 * Field indexes are asked first, block by block: they say which rows certainly match and which
 * possibly do, and only the difference is looked at row by row. Without an index that is every row.
 */
#include "engine/segment_impl.h"

struct row_context {
    const struct qv__segment *s;
    const struct qv__schema *schema;
    uint32_t row;
};

static bool has_vector(const struct qv__filter_row *r, struct qv__str name)
{
    const struct row_context *x = r->has_vector_ctx;
    int c = qv__schema_vector(x->schema, name);
    return c >= 0 && qv__segment_row_vector(x->s, x->schema, (uint32_t)c, x->row) != NULL;
}

/* A row is found, and its payload read from wherever it lies. */
#define ROW_UNITS 64u

bool qv__segment_row_match(const struct qv__segment *s, const struct qv__schema *schema,
                           uint32_t row, const struct qv__filter *f, struct qv__steps *steps)
{
    struct row_context x = {.s = s, .schema = schema, .row = row};
    struct qv__id id = qv__segment_row_id(s, row);
    struct qv__filter_row r = {.id = &id,
                               .payload = qv__segment_row_payload(s, row),
                               .has_vector = has_vector,
                               .has_vector_ctx = &x,
                               .texts = schema->texts.n ? &schema->texts : NULL,
                               .steps = steps};
    return qv__steps_on(steps, ROW_UNITS) && qv__filter_match(f, &r) &&
           (!steps || steps->status == QV_OK);
}

static bool in_words(const struct qv__visible *v, uint32_t row)
{
    return row < v->n_rows && (!v->words || qv__bit_test_atomic(v->words, row));
}

static qv_status steps_status(const struct qv__steps *w, struct qv_err *err)
{
    return w->status == QV_OK ? QV_OK
                              : qv__fail(err, w->status, "filter: %s", qv_status_text(w->status));
}

/* The rows of a listed set of ids: a look-up each instead of a pass over all rows. */
static qv_status match_ids(const struct qv__segment *s, const struct qv__schema *schema,
                           const struct qv__visible *v, const struct qv__cond *set,
                           const struct qv__filter *f, struct qv__qctx *ctx, struct qv__bitset *out,
                           uint64_t *count, struct qv_err *err)
{
    struct qv__steps steps = {.q = ctx};
    for (size_t i = 0; i < set->has_id.n && qv__steps_on(&steps, ROW_UNITS); i++) {
        uint32_t row = 0;
        if (!qv__segment_find(s, &set->has_id.ids[i], v->lsn, &row) || !in_words(v, row)) {
            continue;
        }
        ctx->stats.rows_filtered++;
        if (!qv__bit_test(out->words, row) && qv__segment_row_match(s, schema, row, f, &steps)) {
            qv__bit_set(out->words, row);
            (*count)++;
        }
    }
    return steps_status(&steps, err);
}

/* --- bounds by the indexes --- */

/* Sets of rows for conditions on ids, made once per filter and segment. */
#define ID_SETS_MAX 8u

struct asked {
    const struct qv__segment *s;
    const struct qv__schema *schema;
    const struct qv__visible *v;
    struct qv__qctx *ctx;
    struct qv__steps steps;
    uint32_t first, n_rows; /* of the block asked about */
    struct {
        const struct qv__cond *cond;
        struct qv__bitset rows;
    } ids[ID_SETS_MAX];
    size_t n_ids;
};

/* The rows of a listed set of ids, over the whole segment; NULL: not worth it, or no memory. */
static const struct qv__bitset *id_rows(struct asked *a, const struct qv__cond *c)
{
    for (size_t i = 0; i < a->n_ids; i++) {
        if (a->ids[i].cond == c) {
            return &a->ids[i].rows;
        }
    }
    /* A look-up costs several times what a look at a row does. */
    if (a->n_ids == ID_SETS_MAX || c->has_id.n > a->v->count / 4 ||
        qv__bitset_init(&a->ids[a->n_ids].rows, a->ctx->mem, a->v->n_rows) != QV_OK) {
        return NULL;
    }
    struct qv__bitset *rows = &a->ids[a->n_ids].rows;
    for (size_t i = 0; i < c->has_id.n && qv__steps_on(&a->steps, ROW_UNITS); i++) {
        uint32_t row = 0;
        if (qv__segment_find(a->s, &c->has_id.ids[i], a->v->lsn, &row) && row < a->v->n_rows) {
            qv__bit_set(rows->words, row);
        }
    }
    a->ids[a->n_ids++].cond = c;
    return rows;
}

static bool known(void *ctx, const struct qv__cond *c, uint64_t *words)
{
    struct asked *a = ctx;
    const struct qv__bitset *rows;
    int column;
    switch (c->kind) {
    case QV__COND_HAS_ID:
        rows = id_rows(a, c);
        if (rows) {
            memcpy(words, rows->words + a->first / 64, qv__bitset_words(a->n_rows) * sizeof *words);
        }
        return rows != NULL;
    case QV__COND_HAS_VECTOR:
        column = qv__schema_vector(a->schema, c->vector);
        (void)qv__steps_on(&a->steps, a->n_rows);
        for (uint32_t i = 0; column >= 0 && i < a->n_rows; i++) {
            if (qv__segment_row_vector(a->s, a->schema, (uint32_t)column, a->first + i)) {
                qv__bit_set(words, i);
            }
        }
        return true;
    default:
        return false;
    }
}

/* Bits of `to` from row `first` on become `from`, of those that are visible. */
static void put_visible(const struct asked *a, const uint64_t *from, struct qv__bitset *to)
{
    for (size_t w = 0; w < qv__bitset_words(a->n_rows); w++) {
        size_t at = a->first / 64 + w;
        uint64_t seen =
            a->v->words ? __atomic_load_n(&a->v->words[at], __ATOMIC_RELAXED) : UINT64_MAX;
        to->words[at] = from[w] & seen;
    }
}

/* What a condition on text means is said by the reader's schema, and while indexes change a segment
 * may have those of another one. */
static bool asked_for(const struct qv__schema *schema, const struct qv__field_set *set,
                      const struct qv__field *f)
{
    for (uint32_t i = 0; set->schema != schema && i < schema->n_indexes; i++) {
        if (qv__index_spec_same(&schema->specs[i], &f->spec)) {
            return true;
        }
    }
    return set->schema == schema;
}

static qv_status bounds(struct asked *a, const struct qv__field_set *set,
                        const struct qv__filter *f, struct qv__bitset *lo, struct qv__bitset *up,
                        struct qv_err *err)
{
    struct qv__field_at at[QV__PAYLOAD_INDEXES_MAX];
    struct qv__filter_block b = {
        .fields = at, .n_fields = set->n, .known = known, .ctx = a, .steps = &a->steps};
    struct qv__filter_walk *walk = qv__filter_walk_create(f, a->ctx->mem);
    uint32_t rows = qv__fields_block_rows(a->s);
    if (!walk) {
        return qv__fail(err, QV_ENOMEM, "no memory to filter");
    }
    qv_status st = QV_OK;
    for (a->first = 0; a->first < a->v->n_rows && st == QV_OK; a->first += rows) {
        a->n_rows = b.n_rows = QV_MIN(rows, a->v->n_rows - a->first);
        for (uint32_t i = 0; i < set->n; i++) {
            const struct qv__field *x = set->fields[i];
            uint32_t block = a->first / rows;
            bool built = block < atomic_load_explicit(&x->n, memory_order_acquire);
            built = built && asked_for(a->schema, set, x);
            at[i] = (struct qv__field_at){&x->spec.path, built ? &x->blocks[block] : NULL,
                                          x->spec.type == QV__FIELD_TEXT};
        }
        struct qv__filter_bounds got = qv__filter_walk_block(walk, &b);
        put_visible(a, got.lo, lo);
        put_visible(a, got.up, up);
        st = a->steps.status == QV_OK ? qv__qctx_check(a->ctx) : a->steps.status;
    }
    qv__free(walk);
    return st == QV_OK ? QV_OK : qv__fail(err, st, "filter: %s", qv_status_text(st));
}

qv_status qv__segment_bounds(const struct qv__segment *s, const struct qv__schema *schema,
                             const struct qv__visible *v, const struct qv__filter *f,
                             struct qv__qctx *ctx, struct qv__bitset *lo, struct qv__bitset *up,
                             bool *served, struct qv_err *err)
{
    struct asked a = {.s = s, .schema = schema, .v = v, .ctx = ctx, .steps = {.q = ctx}};
    struct qv__field_set *set = f ? qv__segment_fields(s) : NULL;
    bool built = false;
    qv_status st = QV_OK;
    *lo = *up = (struct qv__bitset){0};
    for (uint32_t i = 0; set && i < set->n; i++) {
        built |= atomic_load(&set->fields[i]->n) > 0;
    }
    *served = built;
    if (built) {
        st = qv__bitset_init(lo, ctx->mem, v->n_rows);
        st = st == QV_OK ? qv__bitset_init(up, ctx->mem, v->n_rows) : st;
        st = st == QV_OK
                 ? bounds(&a, set, f, lo, up, err)
                 : qv__fail(err, QV_ENOMEM, "no memory for a row set of %" PRIu32, v->n_rows);
    }
    for (size_t i = 0; i < a.n_ids; i++) {
        qv__bitset_free(&a.ids[i].rows);
    }
    if (st != QV_OK) {
        qv__bitset_free(lo);
        qv__bitset_free(up);
    }
    qv__field_set_release(set);
    return st;
}

/* --- exactly --- */

/* Look at the rows of `up` that are not in `out` yet. up NULL: at all that are visible. */
static qv_status match_rows(const struct qv__segment *s, const struct qv__schema *schema,
                            const struct qv__visible *v, const struct qv__bitset *up,
                            const struct qv__filter *f, struct qv__qctx *ctx,
                            struct qv__bitset *out, struct qv_err *err)
{
    struct qv__steps steps = {.q = ctx};
    uint32_t looked = 0;
    for (size_t w = 0; steps.status == QV_OK && w < qv__bitset_words(v->n_rows); w++) {
        uint64_t word = up         ? up->words[w] & ~out->words[w]
                        : v->words ? __atomic_load_n(&v->words[w], __ATOMIC_RELAXED)
                                   : UINT64_MAX;
        for (; word; word &= word - 1) {
            uint32_t row = (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(word);
            if (row >= v->n_rows) {
                break;
            }
            looked++;
            if (qv__segment_row_match(s, schema, row, f, &steps)) {
                qv__bit_set(out->words, row);
            }
        }
    }
    ctx->stats.rows_filtered += looked;
    return steps_status(&steps, err);
}

qv_status qv__segment_match(const struct qv__segment *s, const struct qv__schema *schema,
                            const struct qv__visible *v, const struct qv__filter *f,
                            struct qv__qctx *ctx, struct qv__bitset *out, uint64_t *count,
                            struct qv_err *err)
{
    struct qv__bitset up = {0};
    bool served = false;
    qv_status st = QV_OK;
    const struct qv__cond *set = qv__filter_id_set(f);
    bool few_ids = set && set->has_id.n < v->count;
    uint64_t looked = ctx->stats.rows_filtered, expected = few_ids ? set->has_id.n : v->count;
    *count = 0;
    *out = (struct qv__bitset){0};
    if (!few_ids) {
        QV_TRY(qv__segment_bounds(s, schema, v, f, ctx, out, &up, &served, err));
    }
    if (!served && qv__bitset_init(out, ctx->mem, v->n_rows) != QV_OK) {
        return qv__fail(err, QV_ENOMEM, "no memory for a row set of %" PRIu32, v->n_rows);
    }
    if (few_ids) {
        st = match_ids(s, schema, v, set, f, ctx, out, count, err);
    } else {
        expected = served && ctx->plan ? qv__bitset_count(&up) : expected;
        st = match_rows(s, schema, v, served ? &up : NULL, f, ctx, out, err);
        *count = qv__bitset_count(out);
    }
    qv__bitset_free(&up);
    if (st != QV_OK) {
        qv__bitset_free(out);
        return st;
    }
    looked = ctx->stats.rows_filtered - looked;
    ctx->stats.rows_matched += *count;
    qv__qctx_tell(ctx, "filter",
                  few_ids   ? "rows of ids"
                  : !served ? "row by row"
                  : looked  ? "indexes, then row by row"
                            : "indexes",
                  (double)expected, (double)*count);
    return QV_OK;
}
