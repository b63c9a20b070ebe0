/* import_source.c: files to batches of points.
 *
 * A document is one JSON object a line: the id, "vector" (an array, or an object of arrays by name)
 * and "payload" (an object). Without a member "payload" all other members are the payload, so plain
 * lists of objects can be loaded as they are. A second file gives row i to document i, both counted
 * from 0 without blank lines. Files of vectors alone get ids by counting. */
#include "cli/import.h"

#include <stdio.h>

#define BATCH_BYTES_MAX ((size_t)16 << 20) /* half of what a server takes by default */
#define FLOAT_BYTES     14u                /* of an element as JSON, about */

qv_status qv__import_batch_init(struct qv__import_batch *b, struct qv__mem *mem, uint32_t max,
                                struct qv_err *err)
{
    *b = (struct qv__import_batch){.max = max};
    qv__arena_init(&b->arena, mem);
    b->points = qv__calloc(mem, max, sizeof *b->points);
    b->places = qv__calloc(mem, max, sizeof *b->places);
    if (!b->points || !b->places) {
        qv__import_batch_free(b);
        return qv__fail(err, QV_ENOMEM, "no memory for a batch of %u points", max);
    }
    return QV_OK;
}

void qv__import_batch_free(struct qv__import_batch *b)
{
    qv__free(b->points);
    qv__free(b->places);
    b->points = NULL;
    b->places = NULL;
    if (b->arena.mem) {
        qv__arena_free(&b->arena);
    }
}

static bool is_documents(const char *path)
{
    return !qv__vector_file_named(path);
}

/* Both files must be as long as each other; better to know before anything is stored. */
static qv_status check_lengths(struct qv__import_source *s, struct qv_err *err)
{
    uint64_t lines = 0;
    if (s->lines.size == 0) {
        return QV_OK; /* a pipe: found out at the end */
    }
    QV_TRY(qv__line_file_count(&s->lines, &lines, err));
    if (lines != s->vectors.rows) {
        return qv__fail(err, QV_EINVAL,
                        "%s has %" PRIu64 " documents, but %s has %" PRIu64
                        " rows; row i must belong to document i",
                        s->lines.name, lines, s->vectors.path, s->vectors.rows);
    }
    return QV_OK;
}

qv_status qv__import_source_open(struct qv__import_source *s, struct qv__mem *mem,
                                 const char *const *files, size_t n_files, struct qv_err *err)
{
    s->mem = mem;
    qv__arena_init(&s->scratch, mem);
    const char *documents = is_documents(files[0]) ? files[0] : NULL;
    const char *vectors = documents ? (n_files > 1 ? files[1] : NULL) : files[0];
    if (n_files > 1 && (!documents || is_documents(files[1]))) {
        return qv__fail(err, QV_EINVAL,
                        "of two files the first must hold documents (.jsonl) and the second "
                        "vectors (.npy, .fvecs, .bvecs)");
    }
    if (documents) {
        QV_TRY(qv__line_file_open(&s->lines, mem, documents, err));
        s->has_lines = true;
    }
    if (vectors) {
        QV_TRY(qv__vector_file_open(&s->vectors, mem, vectors, err));
        s->has_vectors = true;
    }
    return documents && vectors ? check_lengths(s, err) : QV_OK;
}

void qv__import_source_close(struct qv__import_source *s)
{
    qv__line_file_close(&s->lines);
    qv__vector_file_close(&s->vectors);
    if (s->mem) {
        qv__arena_free(&s->scratch);
    }
}

double qv__import_source_share(const struct qv__import_source *s)
{
    if (s->has_lines) {
        uint64_t read = s->lines.bytes - (s->lines.buf.n - s->lines.at);
        return s->lines.size ? (double)read / (double)s->lines.size : -1;
    }
    return s->vectors.rows ? (double)s->done / (double)s->vectors.rows : -1;
}

void qv__import_source_place(const struct qv__import_source *s, uint64_t place, char *out, size_t n)
{
    if (s->has_lines) {
        snprintf(out, n, "%s line %" PRIu64, s->lines.name, place);
    } else {
        snprintf(out, n, "%s row %" PRIu64, s->vectors.path, place);
    }
}

static qv_status no_memory(struct qv_err *err)
{
    return qv__fail(err, QV_ENOMEM, "no memory for a batch of points; try a smaller --batch");
}

/* --- one document
 * ---------------------------------------------------------------------------------- */

static qv_status read_id(const struct qv__import_source *s, qv__json doc, struct qv__id *out,
                         struct qv_err *err)
{
    qv__json v = qv__json_get(doc, s->id_field);
    struct qv__str text;
    uint64_t u = 0;
    if (!v && s->numbered) {
        *out = qv__id_u64(s->first_id + s->done);
        return QV_OK;
    }
    if (!v) {
        return qv__fail(err, QV_EINVAL,
                        "there is no member `%s` for the id; name another with --id-field, or "
                        "count the documents with --first-id",
                        s->id_field);
    }
    if (qv__json_u64(v, &u)) {
        *out = qv__id_u64(u);
        return QV_OK;
    }
    if (qv__json_str(v, &text) && qv__id_parse_uuid(text, out)) {
        return QV_OK;
    }
    return qv__fail(err, QV_EINVAL,
                    "`%s` is neither a whole number from 0 to 2^64-1 nor a UUID in quotes",
                    s->id_field);
}

static qv_status read_array(struct qv__import_batch *b, qv__json v, const char *name, size_t name_n,
                            struct qv__named_vector *out, struct qv_err *err)
{
    const char *shown = name_n ? name : "vector";
    int shown_n = (int)(name_n ? QV_MIN(name_n, (size_t)64) : strlen("vector"));
    if (!qv__json_is(v, QV__JSON_ARR) || v->len == 0) {
        return qv__fail(err, QV_EINVAL, "`%.*s` is no array of numbers", shown_n, shown);
    }
    if (v->len > QV__DIM_MAX) {
        return qv__fail(err, QV_EINVAL, "`%.*s` has %u elements; vectors have 1 to %u", shown_n,
                        shown, v->len, QV__DIM_MAX);
    }
    float *values = qv__arena_calloc(&b->arena, v->len, sizeof *values);
    char *kept = qv__arena_strndup(&b->arena, name, name_n);
    if (!values || !kept) {
        return no_memory(err);
    }
    if (!qv__json_floats(v, values)) {
        return qv__fail(err, QV_EINVAL,
                        "`%.*s` has an element that is no number, or too large for 32 bits",
                        shown_n, shown);
    }
    *out = (struct qv__named_vector){.name = {kept, name_n}, .values = values, .dim = v->len};
    b->bytes += (size_t)v->len * FLOAT_BYTES;
    return QV_OK;
}

static qv_status read_vectors(const struct qv__import_source *s, struct qv__import_batch *b,
                              qv__json v, struct qv__point *p, struct qv_err *err)
{
    if (!v || v->kind == QV__JSON_NULL) {
        return QV_OK;
    }
    if (s->has_vectors) {
        return qv__fail(err, QV_EINVAL, "it has a `vector`, and %s gives it another",
                        s->vectors.path);
    }
    bool named = v->kind == QV__JSON_OBJ;
    uint32_t n = named ? v->len : 1;
    if (n > QV__VECTORS_MAX) {
        return qv__fail(err, QV_EINVAL, "`vector` has %u names; a collection has at most %u", n,
                        QV__VECTORS_MAX);
    }
    struct qv__named_vector *list = qv__arena_calloc(&b->arena, n + 1, sizeof *list);
    if (!list) {
        return no_memory(err);
    }
    if (!named) {
        QV_TRY(read_array(b, v, s->vector_name, strlen(s->vector_name), list, err));
    }
    qv__json key = named ? qv__json_first(v) : NULL;
    for (uint32_t i = 0; key && i < n; i++) {
        qv__json value = qv__json_next(key);
        QV_TRY(read_array(b, value, key->s, key->len, &list[i], err));
        key = qv__json_next(value);
    }
    p->vectors = list;
    p->n_vectors = n;
    return QV_OK;
}

/* The document without id and vector, as a document. */
static qv_status other_members(const struct qv__import_source *s, struct qv__arena *scratch,
                               qv__json doc, qv__json *out, struct qv_err *err)
{
    struct qv__buf text;
    struct qv__jw w;
    qv__buf_init(&text, scratch->mem);
    qv__jw_init(&w, &text);
    qv__jw_obj(&w);
    qv__json key = qv__json_first(doc);
    for (uint32_t i = 0; i < doc->len; i++) {
        qv__json value = qv__json_next(key);
        if (!qv__json_str_is(key, s->id_field) && !qv__json_str_is(key, "vector")) {
            qv__jw_key_n(&w, (struct qv__str){key->s, key->len});
            qv__jw_value(&w, value);
        }
        key = qv__json_next(value);
    }
    qv__jw_obj_end(&w);
    qv_status st = qv__buf_status(&text, err);
    if (st == QV_OK) {
        st = qv__json_parse(scratch, (const char *)text.p, text.n, NULL, out, err);
    }
    qv__buf_free(&text);
    return st;
}

static qv_status read_payload(struct qv__import_source *s, struct qv__import_batch *b, qv__json doc,
                              struct qv__point *p, struct qv_err *err)
{
    qv__json payload = qv__json_get(doc, "payload");
    struct qv__buf row;
    if (payload) {
        qv__json key = qv__json_first(doc);
        for (uint32_t i = 0; i < doc->len; i++) {
            if (!qv__json_str_is(key, s->id_field) && !qv__json_str_is(key, "vector") &&
                !qv__json_str_is(key, "payload")) {
                return qv__fail(err, QV_EINVAL,
                                "unexpected member `%.*s`: beside `payload` only `%s` and `vector` "
                                "may stand",
                                (int)QV_MIN(key->len, 64u), key->s, s->id_field);
            }
            key = qv__json_next(qv__json_next(key));
        }
    } else {
        QV_TRY(other_members(s, &s->scratch, doc, &payload, err));
    }
    qv__buf_init(&row, s->mem);
    qv_status st = qv__payload_from_json(&row, payload, err);
    if (st == QV_OK) {
        st = qv__buf_status(&row, err);
    }
    if (st == QV_OK) {
        char *kept = qv__arena_strndup(&b->arena, (const char *)row.p, row.n);
        st = kept ? QV_OK : no_memory(err);
        p->payload = (struct qv__bytes){(const uint8_t *)kept, row.n};
        b->bytes += row.n * 2;
    }
    qv__buf_free(&row);
    return st;
}

static qv_status read_document(struct qv__import_source *s, struct qv__import_batch *b,
                               struct qv__str line, struct qv__point *p, struct qv_err *err)
{
    qv__json doc = NULL;
    qv__arena_reset(&s->scratch);
    qv_status st = qv__json_parse(&s->scratch, line.p, line.n, NULL, &doc, err);
    if (st != QV_OK) {
        /* The parser's "line 1" is a line of this document; only its column helps. */
        if (err && strncmp(err->message, "line 1 ", 7) == 0) {
            memmove(err->message, err->message + 7, strlen(err->message + 7) + 1);
        }
        return st;
    }
    if (!qv__json_is(doc, QV__JSON_OBJ)) {
        return qv__fail(err, QV_EINVAL, "a document must be a JSON object, like {\"id\": 1, …}");
    }
    QV_TRY(read_id(s, doc, &p->id, err));
    QV_TRY(read_vectors(s, b, qv__json_get(doc, "vector"), p, err));
    return read_payload(s, b, doc, p, err);
}

/* --- rows
 * ------------------------------------------------------------------------------------------ */

static qv_status read_row(struct qv__import_source *s, struct qv__import_batch *b,
                          struct qv__point *p, struct qv_err *err)
{
    struct qv__named_vector *v = qv__arena_calloc(&b->arena, 1, sizeof *v);
    float *values = qv__arena_calloc(&b->arena, s->vectors.dim, sizeof *values);
    if (!v || !values) {
        return no_memory(err);
    }
    QV_TRY(qv__vector_file_row(&s->vectors, s->done, values, err));
    *v = (struct qv__named_vector){
        .name = qv__str_z(s->vector_name), .values = values, .dim = s->vectors.dim};
    p->vectors = v;
    p->n_vectors = 1;
    b->bytes += (size_t)v->dim * FLOAT_BYTES;
    return QV_OK;
}

/* One point into p; *found false at the end. */
static qv_status next_point(struct qv__import_source *s, struct qv__import_batch *b,
                            struct qv__point *p, uint64_t *place, bool *found, struct qv_err *err)
{
    memset(p, 0, sizeof *p);
    if (!s->has_lines) {
        *found = s->done < s->vectors.rows;
        *place = s->done;
        p->id = qv__id_u64(s->first_id + s->done);
        return *found ? read_row(s, b, p, err) : QV_OK;
    }
    struct qv__str line;
    QV_TRY(qv__line_file_next(&s->lines, &line, found, err));
    *place = s->lines.line;
    if (!*found) {
        if (s->has_vectors && s->done != s->vectors.rows) {
            return qv__fail(err, QV_EINVAL,
                            "%s ends after %" PRIu64 " documents, but %s has %" PRIu64 " rows",
                            s->lines.name, s->done, s->vectors.path, s->vectors.rows);
        }
        return QV_OK;
    }
    qv_status st = read_document(s, b, line, p, err);
    if (st != QV_OK) {
        char where[512];
        qv__import_source_place(s, *place, where, sizeof where);
        return qv__wrap(err, st, "%.300s", where);
    }
    return s->has_vectors ? read_row(s, b, p, err) : QV_OK;
}

qv_status qv__import_source_next(struct qv__import_source *s, struct qv__import_batch *b,
                                 struct qv_err *err)
{
    bool found = true;
    qv__arena_reset(&b->arena);
    b->n = 0;
    b->bytes = 0;
    while (b->n < b->max && b->bytes < BATCH_BYTES_MAX) {
        QV_TRY(next_point(s, b, &b->points[b->n], &b->places[b->n], &found, err));
        if (!found) {
            break;
        }
        b->n++;
        s->done++;
    }
    return QV_OK;
}
