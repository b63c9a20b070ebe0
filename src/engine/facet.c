/* facet.c: counting the values of a field.
 *
 * Per segment the rows that are seen and match are known as a set first; blocks of an index then
 * count their terms against it, and only rows without a block, or with values that the index does
 * not hold, are read. Values of all segments meet in one table. Where the field has an index of
 * UUIDs its texts of one are the same value, told lower-case and hyphenated. */
#include "engine/quarantine.h"
#include "engine/segment_impl.h"

#include "base/id.h"
#include "bitmap/bitset.h"
#include "payload/filter_bounds.h"

struct entry {
    struct qv__match_value value;
    uint64_t count;
    uint64_t last_row; /* number of the row that was counted last, so that it counts once */
};

struct tally {
    const struct qv__path *path;
    struct qv__qctx *ctx;
    struct qv__steps steps;
    struct qv__arena *arena;
    struct qv__map map; /* value -> entry */
    struct entry *entries;
    size_t n, cap;
    uint64_t row; /* of those asked one by one; 0 while an index counts */
    uint64_t rows;
    bool is_uuid;     /* texts of a UUID are one value */
    bool is_distinct; /* no value of a block was another text than the one it is told by */
    bool no_memory;
};

static uint64_t hash_of(const struct qv__match_value *v)
{
    switch (v->kind) {
    case QV__MATCH_STR:
        return qv__hash_bytes(v->s.p, v->s.n);
    case QV__MATCH_INT:
        return qv__hash_u64((uint64_t)v->i ^ UINT64_C(0x9e3779b97f4a7c15));
    case QV__MATCH_BOOL:
    default:
        return qv__hash_u64(v->b);
    }
}

static int value_cmp(const struct qv__match_value *x, const struct qv__match_value *y)
{
    if (x->kind != y->kind) {
        return x->kind < y->kind ? -1 : 1;
    }
    switch (x->kind) {
    case QV__MATCH_STR:
        return qv__str_cmp(x->s, y->s);
    case QV__MATCH_INT:
        return (x->i > y->i) - (x->i < y->i);
    case QV__MATCH_BOOL:
    default:
        return (int)x->b - (int)y->b;
    }
}

static bool same_value(uint64_t at, const void *key, void *ctx)
{
    const struct tally *t = ctx;
    return value_cmp(&t->entries[at].value, key) == 0;
}

static struct entry *new_entry(struct tally *t, const struct qv__match_value *v, uint64_t hash)
{
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        struct entry *more = qv__realloc(t->ctx->mem, t->entries, cap * sizeof *more);
        if (!more) {
            return NULL;
        }
        t->entries = more;
        t->cap = cap;
    }
    struct entry *e = &t->entries[t->n];
    *e = (struct entry){.value = *v};
    if (v->kind == QV__MATCH_STR) { /* what it lies in may be gone before the end */
        e->value.s.p = qv__arena_strndup(t->arena, v->s.n ? v->s.p : "", v->s.n);
        if (!e->value.s.p) {
            return NULL;
        }
    }
    return qv__map_add(&t->map, hash, t->n) == QV_OK ? &t->entries[t->n++] : NULL;
}

/* The text by which a value is told: of a UUID in `text`, else its own. */
static struct qv__match_value told(const struct qv__match_value *v, char text[37])
{
    struct qv__id id;
    if (v->kind != QV__MATCH_STR || !qv__id_parse_uuid(v->s, &id)) {
        return *v;
    }
    qv__id_uuid_text(&id, text);
    return (struct qv__match_value){.kind = QV__MATCH_STR, .s = {text, 36}};
}

static void check_distinct(void *ctx, const struct qv__match_value *v, uint32_t count)
{
    struct tally *t = ctx;
    char text[37];
    struct qv__match_value as = told(v, text);
    (void)count;
    t->is_distinct = t->is_distinct && value_cmp(v, &as) == 0;
}

/* Of a row, besides its bytes, and of a value that is looked up in the table. */
#define ROW_UNITS   64u
#define VALUE_UNITS 64u

static void count_value(void *ctx, const struct qv__match_value *given, uint32_t count)
{
    struct tally *t = ctx;
    char text[37];
    if (!qv__steps_on(&t->steps, VALUE_UNITS)) {
        return;
    }
    struct qv__match_value as = t->is_uuid ? told(given, text) : *given;
    const struct qv__match_value *v = &as;
    uint64_t hash = hash_of(v);
    uint64_t *at = qv__map_find(&t->map, hash, same_value, v, t);
    struct entry *e = at ? &t->entries[*at] : new_entry(t, v, hash);
    if (!e) {
        t->no_memory = true;
        return;
    }
    if (t->row == 0 || e->last_row != t->row) {
        e->count += count;
        e->last_row = t->row;
    }
}

static qv_status no_memory(struct qv_err *err)
{
    return qv__fail(err, QV_ENOMEM, "no memory to count the values of a field");
}

/* --- one segment --- */

/* Ask rows [first, first + n) that are in words (relative to first) one by one. */
static qv_status ask_rows(struct tally *t, const struct qv__segment *seg, uint32_t first,
                          uint32_t n, const uint64_t *words, struct qv_err *err)
{
    for (uint32_t i = 0; i < n && !t->no_memory; i++) {
        if (!qv__bit_test(words, i)) {
            continue;
        }
        struct qv__bytes row = qv__segment_row_payload(seg, first + i);
        if (!qv__steps_on(&t->steps, ROW_UNITS + row.n)) {
            break;
        }
        t->row = ++t->rows;
        qv__row_facets(row, t->path, count_value, t);
        t->row = 0;
        t->ctx->stats.rows_filtered++;
    }
    qv_status st = t->steps.status;
    return t->no_memory  ? no_memory(err)
           : st != QV_OK ? qv__fail(err, st, "facet: %s", qv_status_text(st))
                         : QV_OK;
}

static const struct qv__field *index_of(const struct qv__field_set *set,
                                        const struct qv__path *path)
{
    for (uint32_t i = 0; set && i < set->n; i++) {
        if (qv__field_has_facets(set->fields[i]->spec.type) &&
            qv__path_eq(&set->fields[i]->spec.path, path)) {
            return set->fields[i];
        }
    }
    return NULL;
}

/* Whether a row of the block might be counted twice for one UUID, by two texts of it. */
static bool holds_twins(struct tally *t, const struct qv__field_block *b, const uint64_t *words,
                        uint64_t *rest)
{
    t->is_distinct = true;
    return t->is_uuid && qv__field_facets(b, words, rest, check_distinct, t) && !t->is_distinct;
}

static qv_status count_blocks(struct tally *t, const struct qv__segment *seg,
                              const struct qv__field *f, const uint64_t *match, uint32_t n_rows,
                              struct qv_err *err)
{
    uint32_t rows = qv__fields_block_rows(seg);
    uint32_t built = f ? atomic_load_explicit(&f->n, memory_order_acquire) : 0;
    uint64_t words[QV__BLOCK_WORDS], rest[QV__BLOCK_WORDS];
    for (uint32_t first = 0, block = 0; first < n_rows; first += rows, block++) {
        uint32_t n = QV_MIN(rows, n_rows - first);
        qv_status st = qv__qctx_check(t->ctx);
        if (st != QV_OK) {
            return qv__fail(err, st, "facet: %s", qv_status_text(st));
        }
        memset(words, 0, sizeof words);
        memcpy(words, match + first / 64, qv__bitset_words(n) * sizeof *words);
        bool asked = block < built && !holds_twins(t, &f->blocks[block], words, rest) &&
                     qv__field_facets(&f->blocks[block], words, rest, count_value, t);
        QV_TRY(ask_rows(t, seg, first, n, asked ? rest : words, err));
    }
    return QV_OK;
}

static qv_status count_segment(struct tally *t, const struct qv__read_view *v,
                               const struct qv__segment *seg, const struct qv__filter *filter,
                               struct qv_err *err)
{
    struct qv__visible vis;
    struct qv__bitset match = {0};
    uint64_t count = 0;
    QV_TRY(qv__segment_visible(seg, v->ticket.lsn, v->now_ms, t->ctx->mem, &vis, err));
    struct qv__field_set *set = qv__segment_fields(seg);
    qv_status st = QV_OK;
    if (filter) {
        QV_GOTO(qv__segment_match(seg, v->schema, &vis, filter, t->ctx, &match, &count, err));
    } else if (qv__bitset_init(&match, t->ctx->mem, vis.n_rows) == QV_OK) {
        qv__bitset_fill(&match, 0, vis.n_rows);
        for (size_t w = 0; vis.words && w < qv__bitset_words(vis.n_rows); w++) {
            match.words[w] &= __atomic_load_n(&vis.words[w], __ATOMIC_RELAXED);
        }
    } else {
        QV_GOTO(no_memory(err));
    }
    st = count_blocks(t, seg, index_of(set, t->path), match.words, vis.n_rows, err);
out:
    qv__field_set_release(set);
    qv__bitset_free(&match);
    qv__visible_free(&vis);
    return st;
}

/* --- all --- */

static bool has_uuid_index(const struct qv__schema *schema, const struct qv__path *path)
{
    for (size_t i = 0; i < schema->n_indexes; i++) {
        const struct qv__index_spec *spec = &schema->specs[i];
        if (spec->is_built && spec->type == QV__FIELD_UUID && qv__path_eq(&spec->path, path)) {
            return true;
        }
    }
    return false;
}

static int most_first(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->count != y->count) {
        return x->count > y->count ? -1 : 1;
    }
    return value_cmp(&x->value, &y->value);
}

static qv_status take(struct tally *t, uint64_t limit, struct qv__facet_result *out,
                      struct qv_err *err)
{
    if (t->n) {
        qsort(t->entries, t->n, sizeof *t->entries, most_first);
    }
    size_t n = (size_t)QV_MIN(limit, (uint64_t)t->n);
    out->facets = qv__arena_calloc(&out->arena, n + 1, sizeof *out->facets);
    if (!out->facets) {
        return no_memory(err);
    }
    for (; out->n < n; out->n++) {
        out->facets[out->n] = (struct qv__facet){.value = t->entries[out->n].value,
                                                 .count = t->entries[out->n].count};
    }
    return QV_OK;
}

qv_status qv__collection_facet(struct qv__collection *c, const struct qv__path *path,
                               const struct qv__filter *filter, uint64_t limit,
                               struct qv__qctx *ctx, struct qv__facet_result *out,
                               struct qv_err *err)
{
    struct qv__read_view *v = NULL;
    struct tally t = {.path = path, .ctx = ctx, .steps = {.q = ctx}, .arena = &out->arena};
    memset(out, 0, sizeof *out);
    qv__arena_init(&out->arena, c->mem_query);
    qv__map_init(&t.map, ctx->mem);
    qv_status st = qv__read_view_open(c, ctx, &v, err);
    t.is_uuid = st == QV_OK && has_uuid_index(v->schema, path);
    for (uint32_t s = 0; st == QV_OK && s < v->n; s++) {
        for (uint32_t i = 0; st == QV_OK && i < v->views[s]->n; i++) {
            st = count_segment(&t, v, v->views[s]->segments[i], filter, err);
        }
    }
    st = qv__read_view_settle(v, st, err);
    if (st == QV_OK) {
        st = take(&t, limit, out, err);
    }
    qv__read_view_close(v);
    qv__free(t.entries);
    qv__map_free(&t.map);
    return st;
}
