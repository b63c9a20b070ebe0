/* record.c: the bytes of a data record: effects of one request, final and self-describing.
 *
 * Layout (docs/internals/LOG.md): u64 collection id, varint parts; per part: varint shard, varint
 * effects; per effect: u8 kind, id; PUT adds: u8 flags, i64 expiry when flagged, varint vectors,
 * per vector: name, u8 kind, u8 datatype, varint byte length, bytes; PUT and PAYLOAD end with the
 * payload row. Vectors go by name, because columns may come and go between writing and replay. */
#include "engine/collection.h"
#include "engine/vector.h"

enum { FLAG_EXPIRES = 1 };

void qv__record_begin(struct qv__buf *b, uint64_t collection_id, uint32_t n_parts)
{
    qv__buf_u64(b, collection_id);
    qv__buf_varint(b, n_parts);
}

static void put_vectors(struct qv__buf *b, const struct qv__schema *schema,
                        const struct qv__effect *e)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < schema->n_vectors; i++) {
        n += e->vectors[i] != NULL;
    }
    qv__buf_varint(b, n);
    for (uint32_t i = 0; i < schema->n_vectors; i++) {
        if (e->vectors[i]) {
            const struct qv__vector_def *d = &schema->vectors[i];
            size_t bytes = qv__stored_bytes(d->kind, d->datatype, d->dim, e->vectors[i]);
            qv__buf_str(b, d->name);
            qv__buf_u8(b, d->kind);
            qv__buf_u8(b, d->datatype);
            qv__buf_varint(b, bytes);
            qv__buf_put(b, e->vectors[i], bytes);
        }
    }
}

void qv__record_part(struct qv__buf *b, uint32_t shard, const struct qv__schema *schema,
                     const struct qv__effect *e, size_t n)
{
    qv__buf_varint(b, shard);
    qv__buf_varint(b, n);
    for (size_t i = 0; i < n; i++, e++) {
        qv__buf_u8(b, (uint8_t)e->kind);
        qv__id_write(b, &e->id);
        if (e->kind == QV__EFFECT_PUT) {
            bool expires = e->expires_ms != INT64_MAX;
            qv__buf_u8(b, expires ? FLAG_EXPIRES : 0);
            if (expires) {
                qv__buf_u64(b, (uint64_t)e->expires_ms);
            }
            put_vectors(b, schema, e);
        }
        if (e->kind != QV__EFFECT_DELETE) {
            qv__buf_str(b, (struct qv__str){(const char *)e->payload.p, e->payload.n});
        }
    }
}

qv_status qv__record_collection(struct qv__bytes body, uint64_t *collection_id, struct qv_err *err)
{
    struct qv__reader r = qv__reader_of(body.p, body.n);
    *collection_id = qv__read_u64(&r);
    return r.failed ? qv__fail(err, QV_ECORRUPT, "log: a data record is too short") : QV_OK;
}

/* Vectors are copied: bytes in a record have no alignment. */
static qv_status read_vectors(struct qv__reader *r, uint64_t lsn, const struct qv__schema *schema,
                              struct qv__arena *arena, struct qv__effect *e, struct qv_err *err)
{
    const void **columns = qv__arena_calloc(arena, QV_MAX(schema->n_vectors, 1u), sizeof *columns);
    if (!columns) {
        return qv__fail(err, QV_ENOMEM, "no memory to replay a record");
    }
    uint64_t n = qv__read_varint(r);
    for (uint64_t i = 0; i < n && !r->failed; i++) {
        struct qv__str name = qv__read_str(r);
        uint8_t kind = qv__read_u8(r), datatype = qv__read_u8(r);
        uint64_t bytes = qv__read_varint(r);
        const uint8_t *p =
            r->failed || bytes > qv__reader_left(r) ? NULL : qv__read_bytes(r, (size_t)bytes);
        if (!p) {
            return qv__fail(err, QV_ECORRUPT, "log: a vector reaches past its record");
        }
        int c = qv__schema_vector(schema, name);
        if (c < 0 || lsn < schema->vectors[c].born_lsn) {
            continue; /* of a column that was dropped since */
        }
        const struct qv__vector_def *d = &schema->vectors[c];
        void *copy = qv__arena_alloc(arena, (size_t)bytes);
        if (!copy) {
            return qv__fail(err, QV_ENOMEM, "no memory to replay a record");
        }
        memcpy(copy, p, (size_t)bytes);
        if (kind != d->kind || datatype != d->datatype ||
            !qv__vector_sized(d, copy, (size_t)bytes)) {
            return qv__fail(err, QV_ECORRUPT,
                            "log: vector `%.*s` does not fit the collection's schema", (int)name.n,
                            name.p);
        }
        if (d->datatype == QV__BIT && !qv__vector_finite(d, copy)) {
            return qv__fail(err, QV_ECORRUPT, "log: vector `%.*s` has bits behind its last element",
                            (int)name.n, name.p);
        }
        columns[c] = copy;
    }
    e->vectors = columns;
    return QV_OK;
}

static qv_status read_effect(struct qv__reader *r, uint64_t lsn, const struct qv__schema *schema,
                             struct qv__arena *arena, struct qv__effect *e, struct qv_err *err)
{
    uint8_t kind = qv__read_u8(r);
    if (kind < QV__EFFECT_PUT || kind > QV__EFFECT_DELETE || !qv__id_read(r, &e->id)) {
        return qv__fail(err, QV_ECORRUPT, "log: malformed effect");
    }
    e->kind = (enum qv__effect_kind)kind;
    e->expires_ms = INT64_MAX;
    if (e->kind == QV__EFFECT_PUT) {
        uint8_t flags = qv__read_u8(r);
        if (flags & ~FLAG_EXPIRES) {
            return qv__fail(err, QV_EVERSION, "log: an effect uses features of a newer version");
        }
        if (flags & FLAG_EXPIRES) {
            e->expires_ms = (int64_t)qv__read_u64(r);
        }
        QV_TRY(read_vectors(r, lsn, schema, arena, e, err));
    }
    if (e->kind != QV__EFFECT_DELETE) {
        struct qv__str s = qv__read_str(r);
        e->payload = (struct qv__bytes){(const uint8_t *)s.p, s.n};
        if (r->failed || !qv__payload_valid(e->payload)) {
            return qv__fail(err, QV_ECORRUPT, "log: malformed payload in an effect");
        }
    }
    return r->failed ? qv__fail(err, QV_ECORRUPT, "log: a data record is too short") : QV_OK;
}

qv_status qv__record_decode(struct qv__bytes body, uint64_t lsn, const struct qv__schema *schema,
                            struct qv__arena *arena, struct qv__record_part **parts,
                            size_t *n_parts, struct qv_err *err)
{
    struct qv__reader r = qv__reader_of(body.p, body.n);
    qv__read_u64(&r);
    uint64_t n = qv__read_varint(&r);
    /* Each part and each effect takes at least two bytes: counts are bounded by what is left. */
    if (r.failed || n > qv__reader_left(&r)) {
        return qv__fail(err, QV_ECORRUPT, "log: a data record is malformed");
    }
    struct qv__record_part *out = qv__arena_calloc(arena, (size_t)n + 1, sizeof *out);
    if (!out) {
        return qv__fail(err, QV_ENOMEM, "no memory to replay a record");
    }
    for (uint64_t i = 0; i < n; i++) {
        uint64_t shard = qv__read_varint(&r), effects = qv__read_varint(&r);
        if (r.failed || shard >= schema->shard_number || effects > qv__reader_left(&r)) {
            return qv__fail(err, QV_ECORRUPT, "log: a data record is malformed");
        }
        out[i].shard = (uint32_t)shard;
        out[i].n = (size_t)effects;
        out[i].effects = qv__arena_calloc(arena, (size_t)effects + 1, sizeof *out[i].effects);
        if (!out[i].effects) {
            return qv__fail(err, QV_ENOMEM, "no memory to replay a record");
        }
        for (uint64_t k = 0; k < effects; k++) {
            QV_TRY(read_effect(&r, lsn, schema, arena, &out[i].effects[k], err));
        }
    }
    if (qv__reader_left(&r) != 0) {
        return qv__fail(err, QV_ECORRUPT, "log: a data record has %zu surplus bytes",
                        qv__reader_left(&r));
    }
    *parts = out;
    *n_parts = (size_t)n;
    return QV_OK;
}
