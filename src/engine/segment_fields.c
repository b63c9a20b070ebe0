/* segment_fields.c: the field indexes of a segment: making the set that a schema asks for, and
 * building blocks while rows come and searches go on. */
#include "engine/segment_impl.h"

#include "bitmap/bitset.h"

/* A block of a growing segment: few enough rows that those beyond the last one are looked at
 * quickly, enough that there are not many blocks. */
#define GROWING_ROWS_MIN 4096u
#define GROWING_PARTS    16u

uint32_t qv__fields_block_rows(const struct qv__segment *s)
{
    if (s->sealed) {
        return QV__BLOCK_ROWS;
    }
    uint32_t rows = QV_MAX(s->capacity / GROWING_PARTS, GROWING_ROWS_MIN);
    return QV_MIN(rows & ~UINT32_C(63), QV__BLOCK_ROWS);
}

/* --- one index --- */

static void field_release(struct qv__field *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; f->owned && i < f->n_max; i++) {
        qv__free(f->owned[i]);
    }
    qv__free(f->owned);
    qv__free(f->blocks);
    qv__free(f->stop);
    qv__free(f->key);
    qv__free(f);
}

static qv_status field_create(const struct qv__segment *s, const struct qv__payload_index_def *def,
                              const struct qv__index_spec *spec, struct qv__field **out,
                              struct qv_err *err)
{
    struct qv__mem *mem = s->mem;
    struct qv__field *f = qv__zalloc(mem, sizeof *f);
    uint32_t rows = qv__fields_block_rows(s);
    qv_status st = QV_OK;
    if (f) {
        atomic_init(&f->refs, 1);
        f->mem = mem;
        f->spec = *spec;
        f->n_max = (s->capacity + rows - 1) / rows;
        f->stop = spec->tokenizer.stop ? qv__stopwords_copy(mem, spec->tokenizer.stop) : NULL;
        f->spec.tokenizer.stop = f->stop; /* lives as long as the index, as the key's text does */
        f->key = qv__strndup(mem, def->key.p, def->key.n);
        f->key_n = def->key.n;
        f->blocks = qv__calloc(mem, f->n_max, sizeof *f->blocks);
        f->owned = qv__calloc(mem, f->n_max, sizeof(uint8_t *));
    }
    if (!f || !f->key || !f->blocks || !f->owned || (spec->tokenizer.stop && !f->stop)) {
        st = qv__fail(err, QV_ENOMEM, "no memory for a payload index");
    } else {
        /* keys of the path lie in its text: this one lives as long as the index */
        st = qv__path_parse((struct qv__str){f->key, f->key_n}, &f->spec.path, err);
    }
    if (st != QV_OK) {
        field_release(f);
        return st;
    }
    *out = f;
    return QV_OK;
}

/* --- the set --- */

struct qv__field_set *qv__segment_fields(const struct qv__segment *cs)
{
    struct qv__segment *s = (struct qv__segment *)(uintptr_t)cs;
    qv__mutex_lock(&s->lock);
    struct qv__field_set *set = s->fields;
    if (set) {
        atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    }
    qv__mutex_unlock(&s->lock);
    return set;
}

void qv__field_set_release(struct qv__field_set *set)
{
    if (!set || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; i < set->n; i++) {
        field_release(set->fields[i]);
    }
    qv__schema_release(set->schema);
    qv__free(set);
}

static struct qv__field *find(const struct qv__field_set *set, struct qv__str key,
                              const struct qv__index_spec *spec)
{
    for (uint32_t i = 0; set && i < set->n; i++) {
        struct qv__field *f = set->fields[i];
        if (qv__str_eq(key, (struct qv__str){f->key, f->key_n}) &&
            qv__index_spec_same(&f->spec, spec)) {
            return f;
        }
    }
    return NULL;
}

/* Rows from which on some index can build its next block. */
static uint32_t next_rows(const struct qv__segment *s, const struct qv__field_set *set)
{
    uint32_t next = UINT32_MAX, rows = qv__fields_block_rows(s);
    for (uint32_t i = 0; set && i < set->n; i++) {
        uint32_t n = atomic_load(&set->fields[i]->n);
        if (s->sealed) {
            next = n < set->fields[i]->n_max ? 0 : next;
        } else if (n < s->capacity / rows) {
            next = QV_MIN(next, (n + 1) * rows);
        }
    }
    return next;
}

/* Complete, and built in memory: a rewrite puts it into the file. */
static bool unsaved(const struct qv__segment *s, const struct qv__field_set *set)
{
    bool any = false;
    for (uint32_t i = 0; s->sealed && set && i < set->n; i++) {
        const struct qv__field *f = set->fields[i];
        if (atomic_load(&f->n) < f->n_max) {
            return false;
        }
        any |= f->n_max > 0 && f->owned[0] != NULL;
    }
    return any;
}

static void install(struct qv__segment *s, struct qv__field_set *set)
{
    qv__mutex_lock(&s->lock);
    struct qv__field_set *old = s->fields;
    s->fields = set;
    qv__mutex_unlock(&s->lock);
    atomic_store(&s->fields_of, set->schema); /* alive while the set is: no other is there */
    atomic_store(&s->fields_next, next_rows(s, set));
    atomic_store(&s->fields_unsaved, unsaved(s, set));
    qv__field_set_release(old);
}

/* An index of the new set: the one there is, or a new one with what the file has of it. */
static qv_status add_field(struct qv__segment *s, const struct qv__field_set *old, bool verify,
                           const struct qv__payload_index_def *def,
                           const struct qv__index_spec *spec, struct qv__field_set *set,
                           struct qv_err *err)
{
    if (!spec->is_built) {
        return QV_OK;
    }
    struct qv__field *f = find(old, def->key, spec);
    if (f) {
        atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    } else {
        QV_TRY(field_create(s, def, spec, &f, err));
    }
    set->fields[set->n++] = f;
    if (s->sealed && atomic_load(&f->n) == 0) {
        struct qv__bytes section = qv__segfile_section(s->file, QV__SEC_FIELDS, 0);
        qv_status st = qv__fields_read(section, s->capacity, verify, f, err);
        if (st != QV_OK) {
            char name[64];
            qv__segment_blob_name(s->id, name);
            return qv__wrap(err, st, "%s", name);
        }
    }
    return QV_OK;
}

qv_status qv__fields_sync(struct qv__segment *s, struct qv__schema *schema, bool verify,
                          struct qv_err *err)
{
    struct qv__field_set *old = qv__segment_fields(s);
    size_t room = sizeof *old + schema->n_indexes * sizeof(struct qv__field *);
    struct qv__field_set *set = qv__zalloc(s->mem, room);
    qv_status st = set ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory for payload indexes");
    if (set) {
        atomic_init(&set->refs, 1);
        set->schema = qv__schema_retain(schema);
    }
    for (uint32_t i = 0; st == QV_OK && i < schema->n_indexes; i++) {
        st = add_field(s, old, verify, &schema->indexes[i], &schema->specs[i], set, err);
    }
    if (st == QV_OK) {
        install(s, set);
    } else {
        qv__field_set_release(set);
    }
    qv__field_set_release(old);
    return st;
}

/* --- what is due --- */

bool qv__fields_block_due(const struct qv__segment *s)
{
    return qv__segment_rows(s) >= atomic_load_explicit(&s->fields_next, memory_order_relaxed);
}

bool qv__fields_due(const struct qv__segment *s, const struct qv__schema *schema)
{
    if (qv__fields_block_due(s)) {
        return true;
    }
    if (atomic_load(&s->fields_of) == schema) {
        return false;
    }
    /* Another schema, which may ask for the same: a sync finds out once, where to compare would be
     * done at every write. */
    struct qv__field_set *set = qv__segment_fields(s);
    bool due = schema->n_indexes > 0 || (set && set->n > 0);
    qv__field_set_release(set);
    return due;
}

/* Blocks that an index can have by now. */
static uint32_t blocks_ready(const struct qv__segment *s, const struct qv__field *f)
{
    return s->sealed ? f->n_max : qv__segment_rows(s) / qv__fields_block_rows(s);
}

static uint32_t rows_of_block(const struct qv__segment *s, uint32_t block)
{
    uint32_t rows = qv__fields_block_rows(s);
    return QV_MIN(rows, s->capacity - block * rows);
}

uint64_t qv__fields_owed(const struct qv__segment *s)
{
    struct qv__field_set *set = qv__segment_fields(s);
    uint64_t rows = 0;
    for (uint32_t i = 0; set && i < set->n; i++) {
        uint32_t ready = blocks_ready(s, set->fields[i]);
        for (uint32_t b = atomic_load(&set->fields[i]->n); b < ready; b++) {
            rows += rows_of_block(s, b);
        }
    }
    qv__field_set_release(set);
    return rows;
}

void qv__fields_describe(const struct qv__segment *s, struct qv__str key,
                         const struct qv__index_spec *spec, struct qv__field_info *out)
{
    struct qv__field_set *set = qv__segment_fields(s);
    const struct qv__field *f = spec->is_built ? find(set, key, spec) : NULL;
    uint32_t n = f ? atomic_load_explicit(&f->n, memory_order_acquire) : 0;
    for (uint32_t i = 0; i < n; i++) {
        out->indexed_rows += f->blocks[i].n_rows;
    }
    out->rows += qv__segment_rows(s);
    out->memory_bytes += n ? atomic_load(&f->memory) : 0;
    out->file_bytes += n ? f->mapped : 0;
    qv__field_set_release(set);
}

/* --- building --- */

struct source {
    const struct qv__segment *s;
    uint32_t first;
};

static struct qv__bytes row_of(void *ctx, uint32_t i)
{
    const struct source *src = ctx;
    return qv__segment_row_payload(src->s, src->first + i);
}

/* The next block of an index, published when it is complete. */
static qv_status build_block(struct qv__segment *s, struct qv__field *f,
                             const struct qv__work *work, struct qv_err *err)
{
    uint32_t at = atomic_load(&f->n), rows = rows_of_block(s, at);
    struct source src = {s, at * qv__fields_block_rows(s)};
    struct qv__field_source from = {.row = row_of,
                                    .ctx = &src,
                                    .n_rows = rows,
                                    .cancel = qv__work_cancel(work),
                                    .tokenizer = &f->spec.tokenizer};
    struct qv__buf b;
    qv__buf_init(&b, s->mem);
    qv_status st = qv__field_build(f->spec.type, &f->spec.path, &from, s->mem, &b, err);
    uint8_t *fit =
        st == QV_OK ? qv__realloc(s->mem, b.p, b.n) : NULL; /* buffers grow by doubling */
    if (st == QV_OK && !fit) {
        st = qv__fail(err, QV_ENOMEM, "no memory for a payload index");
    }
    if (st != QV_OK) {
        qv__buf_free(&b);
        return st;
    }
    bool open = qv__field_block_open((struct qv__bytes){fit, b.n}, f->spec.type, rows, false,
                                     &f->blocks[at]);
    QV_ASSERT(open); /* just built */
    f->blocks[at].tokenizer = &f->spec.tokenizer;
    f->owned[at] = fit;
    atomic_fetch_add(&f->memory, b.n);
    atomic_store_explicit(&f->n, at + 1, memory_order_release);
    return QV_OK;
}

qv_status qv__fields_build(struct qv__segment *s, const struct qv__work *work, struct qv_err *err)
{
    struct qv__field_set *set = qv__segment_fields(s);
    struct qv__part part = {.work = work, .total = qv__fields_owed(s)};
    qv_status st = QV_OK;
    for (uint32_t i = 0; set && i < set->n && st == QV_OK; i++) {
        struct qv__field *f = set->fields[i];
        for (uint32_t ready = blocks_ready(s, f); atomic_load(&f->n) < ready && st == QV_OK;) {
            uint32_t rows = rows_of_block(s, atomic_load(&f->n));
            st = build_block(s, f, work, err);
            part.before += rows;
            qv__part_progress(&part, 0, 0);
        }
    }
    atomic_store(&s->fields_next, next_rows(s, set));
    atomic_store(&s->fields_unsaved, unsaved(s, set));
    qv__field_set_release(set);
    return st;
}
