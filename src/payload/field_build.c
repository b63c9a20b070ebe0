/* field_build.c: rows -> a block of a field index.
 *
 * Each row is walked once: what its path leads to is noted in the sets, elements of the type become
 * entries. A row with too many, or too long ones, is noted as loose, which costs a look at it when
 * somebody asks. Strings stay where they are until the block is written. */
#include "payload/field_text.h"
#include "payload/filter_value.h"
#include "payload/geo.h"
#include "payload/geo_cell.h"
#include "payload/wire.h"

#include <stdlib.h>

/* Values and text of one block, far from what its offsets bear; rows beyond are loose. */
#define ENTRIES_MAX (1u << 20)
#define TEXT_MAX    ((size_t)64 << 20)

struct build {
    enum qv__field_type type;
    struct qv__mem *mem;
    struct qv__field_entry *entries;
    struct qv__words *words; /* TEXT */
    size_t n, cap, text;
    bool no_memory;
    uint64_t sets[QV__FIELD_SETS][QV__BLOCK_WORDS];
    /* the row being walked */
    uint32_t row, values, elements, typed;
    bool plain; /* the last value was neither null nor an array */
};

bool qv__field_type_parse(struct qv__str name, enum qv__field_type *out)
{
    static const struct {
        const char *name;
        enum qv__field_type type;
    } all[] = {{"keyword", QV__FIELD_KEYWORD},   {"integer", QV__FIELD_INTEGER},
               {"float", QV__FIELD_FLOAT},       {"bool", QV__FIELD_BOOL},
               {"datetime", QV__FIELD_DATETIME}, {"uuid", QV__FIELD_UUID},
               {"geo", QV__FIELD_GEO},           {"text", QV__FIELD_TEXT}};
    for (size_t i = 0; i < QV_ARRAY_LEN(all); i++) {
        if (qv__str_eq(name, qv__str_z(all[i].name))) {
            *out = all[i].type;
            return true;
        }
    }
    return false;
}

static void note(struct build *b, enum qv__field_part set)
{
    qv__bit_set(b->sets[set], b->row);
}

/* --- one element --- */

/* A place outside the grid is of the type, and not held. */
static bool entry_of_place(const struct qv__value *v, struct qv__field_entry *e)
{
    struct qv__geo_point p;
    uint64_t cell = 0;
    if (!qv__geo_of(v, &p)) {
        return false;
    }
    e->n = qv__cell_of(p, &cell) ? 0 : UINT32_MAX;
    e->key = qv__field_key_of_cell(cell);
    return true;
}

bool qv__field_entry_of(enum qv__field_type type, const struct qv__value *v,
                        struct qv__field_entry *e)
{
    double number = 0;
    switch (type) {
    case QV__FIELD_INTEGER:
        e->key = v->i;
        return v->tag == QV__TAG_I64;
    case QV__FIELD_BOOL:
        e->p = v->tag == QV__TAG_TRUE ? "\1" : "";
        e->n = 1;
        return v->tag == QV__TAG_TRUE || v->tag == QV__TAG_FALSE;
    case QV__FIELD_FLOAT:
        if (!qv__value_f64(v, &number)) {
            return false;
        }
        e->key = qv__field_key_of(number);
        return true;
    case QV__FIELD_GEO:
        return entry_of_place(v, e);
    case QV__FIELD_DATETIME:
        return v->tag == QV__TAG_STR && qv__datetime_parse(v->s, &e->key);
    case QV__FIELD_KEYWORD:
    case QV__FIELD_UUID:
    case QV__FIELD_TEXT:
    default:
        e->p = v->s.p;
        e->n = (uint32_t)QV_MIN(v->s.n, (size_t)UINT32_MAX);
        return v->tag == QV__TAG_STR;
    }
}

static void push(struct build *b, const struct qv__field_entry *e)
{
    bool fits = e->n <= QV__FIELD_TERM_MAX && b->typed <= QV__FIELD_ROW_VALUES_MAX &&
                b->n < ENTRIES_MAX && b->text + e->n <= TEXT_MAX;
    if (!fits) {
        note(b, QV__SET_LOOSE);
        return;
    }
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 1024;
        struct qv__field_entry *more = qv__realloc(b->mem, b->entries, cap * sizeof *more);
        if (!more) {
            b->no_memory = true;
            return;
        }
        b->entries = more;
        b->cap = cap;
    }
    b->text += e->n;
    b->entries[b->n++] = *e;
}

static void add_words(struct build *b, struct qv__str text)
{
    switch (qv__words_add(b->words, b->row, text)) {
    case QV__WORDS_TOO_MANY:
        note(b, QV__SET_LOOSE);
        break;
    case QV__WORDS_NO_MEMORY:
        b->no_memory = true;
        break;
    case QV__WORDS_ADDED:
    default:
        break;
    }
}

static void element(struct build *b, const struct qv__value *v)
{
    struct qv__field_entry e = {.row = (uint16_t)b->row};
    if (v->tag == QV__TAG_NULL) {
        return;
    }
    b->elements++;
    if (!qv__field_entry_of(b->type, v, &e)) {
        note(b, QV__SET_OTHER);
        return;
    }
    b->typed++;
    note(b, QV__SET_TYPED);
    if (b->words) {
        add_words(b, v->s);
    } else {
        push(b, &e);
    }
}

/* --- one row --- */

static bool value(void *ctx, const struct qv__value *v)
{
    struct build *b = ctx;
    bool array = v->tag == QV__TAG_ARR, null = v->tag == QV__TAG_NULL;
    bool empty = null || (array && v->count == 0), holds_null = null;
    b->values++;
    b->plain = !array && !null;
    note(b, QV__SET_REACHED);
    note(b, empty ? QV__SET_EMPTY : QV__SET_FILLED);
    if (null) {
        note(b, QV__SET_NULL);
    }
    if (array) {
        struct qv__value_iter it;
        struct qv__value e;
        qv__value_iter_init(&it, v);
        while (qv__value_iter_next(&it, NULL, &e)) {
            holds_null |= e.tag == QV__TAG_NULL;
            element(b, &e);
        }
    } else {
        element(b, v);
    }
    note(b, holds_null ? QV__SET_HOLDS_NULL : QV__SET_LACKS_NULL);
    return !b->no_memory;
}

static void add_row(struct build *b, uint32_t row, struct qv__bytes payload,
                    const struct qv__path *path)
{
    size_t first = b->n;
    b->row = row;
    b->values = b->elements = b->typed = 0;
    (void)qv__path_each(payload, path, value, b);
    if (b->values == 1 && b->plain) {
        note(b, QV__SET_SCALAR);
    }
    if (b->elements > 1) {
        note(b, QV__SET_MULTI);
    }
    for (size_t i = first; b->typed > 1 && i < b->n; i++) {
        b->entries[i].several = true;
    }
}

void qv__field_part_end(struct qv__field_head *h, enum qv__field_part part, size_t origin,
                        const struct qv__buf *out)
{
    h->end[part] = (uint32_t)(out->n - origin);
}

static void put_block(struct build *b, struct qv__field_head *h, struct qv__buf *out)
{
    size_t at = out->n, origin = at + sizeof *h;
    qv__buf_put(out, h, sizeof *h);
    for (uint32_t i = 0; i < QV__FIELD_SETS; i++) {
        qv__rowset_put_words(out, b->sets[i], QV__BLOCK_WORDS);
        qv__field_part_end(h, (enum qv__field_part)i, origin, out);
    }
    if (b->words) {
        qv__words_write(b->words, origin, h, out);
    } else if (qv__field_is_terms(b->type)) {
        qv__terms_write(b->entries, b->n, origin, h, out);
    } else {
        qv__numbers_write(b->entries, b->n, origin, h, out);
    }
    if (!out->failed) {
        memcpy(out->p + at, h, sizeof *h);
    }
}

qv_status qv__field_build(enum qv__field_type type, const struct qv__path *path,
                          const struct qv__field_source *src, struct qv__mem *mem,
                          struct qv__buf *out, struct qv_err *err)
{
    QV_ASSERT(src->n_rows >= 1 && src->n_rows <= QV__BLOCK_ROWS);
    struct qv__field_head h = {.n_rows = src->n_rows, .type = (uint32_t)type};
    struct build *b = qv__zalloc(mem, sizeof *b);
    const size_t before = out->n;
    qv_status st = b ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory to index a field");
    QV_GOTO(st);
    b->type = type;
    b->mem = mem;
    if (type == QV__FIELD_TEXT) {
        QV_ASSERT(src->tokenizer != NULL);
        b->words = qv__words_create(src->tokenizer, mem);
        b->no_memory = !b->words;
    }
    for (uint32_t i = 0; i < src->n_rows && !b->no_memory; i++) {
        if ((i & 1023) == 0 && src->cancel && atomic_load(src->cancel)) {
            QV_GOTO(qv__fail(err, QV_ECANCELLED, "indexing a field: cancelled"));
        }
        add_row(b, i, src->row(src->ctx, i), path);
    }
    if (b->no_memory) {
        QV_GOTO(qv__fail(err, QV_ENOMEM, "no memory to index a field"));
    }
    put_block(b, &h, out);
    QV_GOTO(qv__buf_status(out, err));
    QV_ASSERT(h.end[QV__FIELD_PARTS - 1] == out->n - before - sizeof h);
out:
    if (b) {
        qv__words_free(b->words);
        qv__free(b->entries);
    }
    qv__free(b);
    if (st != QV_OK) {
        out->n = QV_MIN(out->n, before);
    }
    return st;
}
