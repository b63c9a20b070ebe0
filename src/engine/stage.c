/* stage.c: the state of the touched points while one request is resolved. */
#include "engine/stage.h"
#include "base/plant.h"
#include "engine/vector.h"

#include <stdio.h>

void qv__stage_init(struct qv__stage *st, struct qv__collection *c, struct qv__schema *schema,
                    struct qv__arena *arena, struct qv__qctx *ctx)
{
    memset(st, 0, sizeof *st);
    st->collection = c;
    st->schema = schema;
    st->arena = arena;
    st->ctx = ctx;
    st->steps.q = ctx;
    st->now_ms = ctx->now_ms;
    qv__map_init(&st->map, c->mem);
}

void qv__stage_free(struct qv__stage *st)
{
    qv__map_free(&st->map);
    qv__free(st->points);
    st->points = NULL;
}

static bool staged_eq(uint64_t value, const void *key, void *ctx)
{
    const struct qv__stage *st = ctx;
    return qv__id_eq(&st->points[value]->id, key);
}

static struct qv__staged *find(const struct qv__stage *st, const struct qv__id *id)
{
    uint64_t *at = qv__map_find(&st->map, qv__id_hash(id), staged_eq, id, (void *)(uintptr_t)st);
    return at ? st->points[*at] : NULL;
}

/* The staged state of an id, loaded on first use. */
static qv_status load(struct qv__stage *st, const struct qv__id *id, struct qv__staged **out,
                      struct qv_err *err)
{
    struct qv__staged *p = find(st, id);
    if (p) {
        *out = p;
        return QV_OK;
    }
    struct qv__collection *c = st->collection;
    uint32_t n_vectors = st->schema->n_vectors;
    if (st->n == st->cap) {
        size_t cap = st->cap ? st->cap * 2 : 64;
        struct qv__staged **grown =
            qv__realloc(c->mem, st->points, cap * sizeof(struct qv__staged *));
        if (!grown) {
            return qv__fail(err, QV_ENOMEM, "no memory to resolve a write");
        }
        st->points = grown;
        st->cap = cap;
    }
    p = qv__arena_zalloc(st->arena, sizeof *p);
    const void **vectors = qv__arena_calloc(st->arena, QV_MAX(n_vectors, 1u), sizeof *vectors);
    if (!p || !vectors || qv__map_reserve(&st->map, 1) != QV_OK) {
        return qv__fail(err, QV_ENOMEM, "no memory to resolve a write");
    }
    p->id = *id;
    p->vectors = vectors;
    p->expires_ms = INT64_MAX;
    p->shard = qv__shard_of(c->n_shards, id);
    struct qv__segment *seg = NULL;
    uint32_t row = 0;
    if (qv__shard_find(&c->shards[p->shard], id, &seg, &row)) {
        p->existed = true;
        p->payload = qv__segment_row_payload(seg, row);
        p->expires_ms = qv__segment_row_expires(seg, row);
        p->exists = p->expires_ms > st->now_ms;
        p->version = p->exists ? qv__segment_row_version(seg, row) : 0;
        for (uint32_t i = 0; i < n_vectors; i++) {
            vectors[i] = qv__segment_row_vector(seg, st->schema, i, row);
        }
    }
    QV_TRY(qv__map_add(&st->map, qv__id_hash(id), st->n));
    st->points[st->n++] = p;
    *out = p;
    return QV_OK;
}

/* --- filters over staged points --- */

struct staged_row {
    struct qv__filter_row row;
    const struct qv__stage *stage;
    const struct qv__staged *point;
};

static bool staged_has_vector(const struct qv__filter_row *row, struct qv__str name)
{
    const struct staged_row *r = row->has_vector_ctx;
    int c = qv__schema_vector(r->stage->schema, name);
    return c >= 0 && r->point->vectors[c] != NULL;
}

static qv_status staged_match(struct qv__stage *st, const struct qv__staged *p,
                              const struct qv__filter *f, bool *out, struct qv_err *err)
{
    struct staged_row r = {
        .row = {.id = &p->id, .payload = p->payload, .has_vector = staged_has_vector},
        .stage = st,
        .point = p};
    r.row.has_vector_ctx = &r;
    r.row.texts = st->schema->texts.n ? &st->schema->texts : NULL;
    r.row.steps = &st->steps;
    *out = qv__filter_match(f, &r.row);
    qv_status status = st->steps.status;
    return status == QV_OK ? QV_OK : qv__fail(err, status, "write: %s", qv_status_text(status));
}

/* --- selection --- */

/* Points to edit, each once: what counts up must not do so for every time that an id is named. */
struct selection {
    struct qv__staged **points;
    size_t n, cap;
};

static qv_status select_add(struct qv__stage *st, struct selection *sel, struct qv__staged *p,
                            struct qv_err *err)
{
    if (p->selection == st->selections) {
        return QV_OK;
    }
    p->selection = st->selections;
    if (sel->n == sel->cap) {
        size_t cap = sel->cap ? sel->cap * 2 : 64;
        struct qv__staged **grown =
            qv__realloc(st->collection->mem, sel->points, cap * sizeof(struct qv__staged *));
        if (!grown) {
            return qv__fail(err, QV_ENOMEM, "no memory to select points");
        }
        sel->points = grown;
        sel->cap = cap;
    }
    sel->points[sel->n++] = p;
    return QV_OK;
}

/* Rows of one segment that match and that no earlier mutation of this request has touched. */
static qv_status select_segment(struct qv__stage *st, struct qv__segment *seg,
                                const struct qv__filter *f, struct selection *sel, size_t n_before,
                                struct qv_err *err)
{
    struct qv__visible vis;
    struct qv__bitset match = {0};
    uint64_t count = 0;
    QV_TRY(qv__segment_visible(seg, QV__LSN_MAX, st->now_ms, st->collection->mem, &vis, err));
    qv_status status = qv__segment_match(seg, st->schema, &vis, f, st->ctx, &match, &count, err);
    size_t done = 0;
    for (size_t row = 0;
         status == QV_OK && count && (row = qv__bitset_next(&match, row)) < match.n_bits; row++) {
        if ((++done & 1023) == 0 && (status = qv__qctx_check(st->ctx)) != QV_OK) {
            status = qv__fail(err, status, "write: %s", qv_status_text(status));
            break;
        }
        struct qv__id id = qv__segment_row_id(seg, (uint32_t)row);
        uint64_t *at = qv__map_find(&st->map, qv__id_hash(&id), staged_eq, &id, st);
        if (at && *at < n_before && st->points[*at]->touched) {
            continue;
        }
        struct qv__staged *p = NULL;
        status = load(st, &id, &p, err);
        if (status == QV_OK) {
            status = select_add(st, sel, p, err);
        }
    }
    qv__bitset_free(&match);
    qv__visible_free(&vis);
    return status;
}

static qv_status select_filter(struct qv__stage *st, const struct qv__filter *f,
                               struct selection *sel, struct qv_err *err)
{
    size_t n_before = st->n;
    for (size_t i = 0; i < n_before; i++) {
        bool matches = st->points[i]->touched && st->points[i]->exists;
        if (matches) {
            QV_TRY(staged_match(st, st->points[i], f, &matches, err));
        }
        if (matches) {
            QV_TRY(select_add(st, sel, st->points[i], err));
        }
    }
    for (uint32_t s = 0; s < st->collection->n_shards; s++) {
        const struct qv__view *v = st->collection->shards[s].view; /* the write order is held */
        for (uint32_t i = 0; i < v->n; i++) {
            QV_TRY(select_segment(st, v->segments[i], f, sel, n_before, err));
        }
    }
    return QV_OK;
}

static qv_status expect(const struct qv__staged *p, const struct qv__expected *expected,
                        struct qv_err *err)
{
    char text[64], is[48];
    if (!expected->given || expected->version == p->version) {
        return QV_OK;
    }
    qv__id_text(&p->id, text, sizeof text);
    if (p->version) {
        snprintf(is, sizeof is, "has version %" PRIu64, p->version);
    } else {
        snprintf(is, sizeof is, "does not exist");
    }
    return qv__fail(err, QV_ECONFLICT, "point %s %s, expected version %" PRIu64 "%s", text, is,
                    expected->version, expected->version ? "" : " (no such point)");
}

static qv_status select_ids(struct qv__stage *st, const struct qv__mutation *m, bool must_exist,
                            struct selection *sel, struct qv_err *err)
{
    char text[64];
    for (size_t i = 0; i < m->n_ids; i++) {
        struct qv__staged *p = NULL;
        QV_TRY(load(st, &m->ids[i], &p, err));
        QV_TRY(expect(p, &m->expected, err));
        if (p->exists) {
            QV_TRY(select_add(st, sel, p, err));
        } else if (must_exist) {
            return qv__fail(err, QV_ENOTFOUND, "No point with id %s found",
                            qv__id_text(&m->ids[i], text, sizeof text));
        }
    }
    return QV_OK;
}

static qv_status too_big(struct qv_err *err)
{
    return qv__fail(err, QV_ETOOBIG,
                    "the request writes more than %" PRIu64 " bytes: select fewer points",
                    QV__REQUEST_BYTES_MAX);
}

/* Count bytes that the request's record will hold; every so often look at the clock. */
static qv_status spend(struct qv__stage *st, uint64_t bytes, size_t done, struct qv_err *err)
{
    uint64_t before = st->bytes;
    st->bytes += bytes;
    if (st->bytes > QV__REQUEST_BYTES_MAX) {
        return too_big(err);
    }
    bool look = done % 256 == 255 || before >> 20 != st->bytes >> 20;
    qv_status status = look ? qv__qctx_check(st->ctx) : QV_OK;
    return status == QV_OK ? QV_OK : qv__fail(err, status, "write: %s", qv_status_text(status));
}

static uint64_t vectors_bytes(const struct qv__stage *st, const struct qv__staged *p)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < st->schema->n_vectors; i++) {
        n += p->vectors[i] ? qv__vector_size(&st->schema->vectors[i], p->vectors[i]) : 0;
    }
    return n;
}

/* What a point that was given some vectors writes besides them. */
static uint64_t kept_bytes(const struct qv__stage *st, const struct qv__staged *p,
                           const struct qv__point *given)
{
    uint64_t n = p->payload.n + vectors_bytes(st, p);
    for (uint32_t k = 0; k < given->n_vectors; k++) {
        int c = qv__schema_vector(st->schema, given->vectors[k].name);
        n -= qv__vector_size(&st->schema->vectors[c], given->vectors[k].stored);
    }
    return n;
}

/* --- mutations --- */

static void set_vectors(struct qv__stage *st, struct qv__staged *p, const struct qv__point *from)
{
    for (uint32_t k = 0; k < from->n_vectors; k++) {
        int c = qv__schema_vector(st->schema, from->vectors[k].name);
        p->vectors[c] = from->vectors[k].stored;
    }
    p->vectors_changed = p->touched = true;
}

static qv_status upsert(struct qv__stage *st, const struct qv__mutation *m, struct qv_err *err)
{
    for (size_t i = 0; i < m->n_points; i++) {
        const struct qv__point *from = &m->points[i];
        struct qv__staged *p = NULL;
        QV_TRY(load(st, &from->id, &p, err));
        QV_TRY(expect(p, from->expected.given ? &from->expected : &m->expected, err));
        bool skip = (m->mode == QV__UPDATE_INSERT_ONLY && p->exists) ||
                    (m->mode == QV__UPDATE_UPDATE_ONLY && !p->exists);
        bool matches = true;
        if (!skip && m->condition && p->exists) {
            QV_TRY(staged_match(st, p, m->condition, &matches, err));
        }
        if (skip || !matches) {
            continue;
        }
        memset(p->vectors, 0, QV_MAX(st->schema->n_vectors, 1u) * sizeof *p->vectors);
        set_vectors(st, p, from);
        p->payload = from->payload;
        p->expires_ms = from->expires_ms;
        p->exists = true;
        QV_TRY(spend(st, from->payload.n, i, err));
    }
    return QV_OK;
}

static qv_status update_vectors(struct qv__stage *st, const struct qv__mutation *m,
                                struct qv_err *err)
{
    char text[64];
    for (size_t i = 0; i < m->n_points; i++) {
        const struct qv__point *from = &m->points[i];
        struct qv__staged *p = NULL;
        QV_TRY(load(st, &from->id, &p, err));
        QV_TRY(expect(p, from->expected.given ? &from->expected : &m->expected, err));
        if (!p->exists) {
            return qv__fail(err, QV_ENOTFOUND, "No point with id %s found",
                            qv__id_text(&from->id, text, sizeof text));
        }
        bool matches = true;
        if (m->condition) {
            QV_TRY(staged_match(st, p, m->condition, &matches, err));
        }
        if (!matches) {
            continue;
        }
        set_vectors(st, p, from);
        if (QV_PLANT(lose_payload)) {
            p->payload = (struct qv__bytes){NULL, 0};
        }
        QV_TRY(spend(st, kept_bytes(st, p, from), i, err));
    }
    return QV_OK;
}

static qv_status edit_payload(struct qv__stage *st, const struct qv__mutation *m,
                              struct qv__staged *p, struct qv_err *err)
{
    static const uint8_t empty[3] = {QV__TAG_OBJ, 1, 0};
    p->touched = true;
    if (m->expires_ms && m->expires_ms != p->expires_ms) {
        p->expires_ms = m->expires_ms;
        p->vectors_changed = true;
    }
    if (m->kind == QV__MUT_CLEAR_PAYLOAD ||
        (m->kind == QV__MUT_OVERWRITE_PAYLOAD && m->payload.n == 0)) {
        p->payload = (struct qv__bytes){empty, sizeof empty};
        return QV_OK;
    }
    if (m->kind == QV__MUT_OVERWRITE_PAYLOAD) {
        p->payload = m->payload;
        return QV_OK;
    }
    struct qv__buf out;
    qv__buf_init(&out, st->collection->mem);
    out.limit = (size_t)(QV__REQUEST_BYTES_MAX - st->bytes) + 1; /* spend() says what is too much */
    qv_status status =
        m->kind == QV__MUT_SET_PAYLOAD ? qv__payload_merge(&out, p->payload, m->payload, m->at, err)
        : m->kind == QV__MUT_MODIFY_PAYLOAD
            ? qv__payload_modify(&out, p->payload, m->ops, m->n_ops, &st->steps, err)
            : qv__payload_remove(&out, p->payload, m->paths, m->n_paths, &st->steps, err);
    if (status == QV_ETOOBIG && out.too_big) {
        status = too_big(err);
    }
    if (status == QV_EINVAL && err) {
        char text[64];
        qv__wrap(err, status, "point %s", qv__id_text(&p->id, text, sizeof text));
    }
    if (status == QV_OK) {
        uint8_t *copy = qv__arena_alloc(st->arena, out.n);
        if (copy) {
            memcpy(copy, out.p, out.n);
            p->payload = (struct qv__bytes){copy, out.n};
        } else {
            status = qv__fail(err, QV_ENOMEM, "no memory to change a payload");
        }
    }
    qv__buf_free(&out);
    return status;
}

/* Delete what expired by `m->expires_ms` and was not written since: the deletions of a purge. Ids
 * that no longer qualify are left alone. */
static qv_status expire(struct qv__stage *st, const struct qv__mutation *m, struct qv_err *err)
{
    for (size_t i = 0; i < m->n_ids; i++) {
        struct qv__staged *p = NULL;
        QV_TRY(load(st, &m->ids[i], &p, err));
        if (p->existed && !p->touched && p->expires_ms <= m->expires_ms) {
            p->exists = false;
            p->touched = true;
        }
    }
    return QV_OK;
}

/* What the record holds of a point because of an edit: its payload, and all of its vectors where
 * the edit makes it one that is written anew. */
static uint64_t edited_bytes(const struct qv__stage *st, const struct qv__staged *p, bool was_put)
{
    return p->exists ? p->payload.n + (p->vectors_changed && !was_put ? vectors_bytes(st, p) : 0)
                     : 0;
}

static qv_status edit_selected(struct qv__stage *st, const struct qv__mutation *m,
                               struct selection *sel, struct qv_err *err)
{
    for (size_t i = 0; i < sel->n; i++) {
        struct qv__staged *p = sel->points[i];
        if (m->by_filter) {
            QV_TRY(expect(p, &m->expected, err));
        }
        bool was_put = p->vectors_changed;
        switch (m->kind) {
        case QV__MUT_DELETE:
            p->exists = false;
            p->touched = true;
            break;
        case QV__MUT_DELETE_VECTORS:
            for (size_t k = 0; k < m->n_vector_names; k++) {
                p->vectors[qv__schema_vector(st->schema, m->vector_names[k])] = NULL;
            }
            p->touched = p->vectors_changed = true;
            break;
        case QV__MUT_SET_PAYLOAD:
        case QV__MUT_OVERWRITE_PAYLOAD:
        case QV__MUT_DELETE_PAYLOAD:
        case QV__MUT_CLEAR_PAYLOAD:
        case QV__MUT_MODIFY_PAYLOAD:
            QV_TRY(edit_payload(st, m, p, err));
            break;
        case QV__MUT_UPSERT:
        case QV__MUT_UPDATE_VECTORS:
        case QV__MUT_EXPIRE:
        default:
            return qv__fail(err, QV_EINTERNAL, "mutation kind %d selects nothing", (int)m->kind);
        }
        QV_TRY(spend(st, edited_bytes(st, p, was_put), i, err));
    }
    return QV_OK;
}

qv_status qv__stage_apply(struct qv__stage *st, const struct qv__mutation *m, struct qv_err *err)
{
    if (m->kind == QV__MUT_UPSERT) {
        return upsert(st, m, err);
    }
    if (m->kind == QV__MUT_UPDATE_VECTORS) {
        return update_vectors(st, m, err);
    }
    if (m->kind == QV__MUT_EXPIRE) {
        return expire(st, m, err);
    }
    struct selection sel = {0};
    st->selections++;
    bool must_exist = m->kind != QV__MUT_DELETE && m->kind != QV__MUT_DELETE_VECTORS;
    qv_status status = m->by_filter ? select_filter(st, m->filter, &sel, err)
                                    : select_ids(st, m, must_exist, &sel, err);
    if (status == QV_OK) {
        status = edit_selected(st, m, &sel, err);
    }
    qv__free(sel.points);
    return status;
}

qv_status qv__stage_effects(struct qv__stage *st, struct qv__effect ***lists, size_t **counts,
                            struct qv_err *err)
{
    uint32_t n_shards = st->collection->n_shards;
    size_t *n = qv__arena_calloc(st->arena, n_shards, sizeof *n);
    struct qv__effect **out = qv__arena_calloc(st->arena, n_shards, sizeof *out);
    if (!n || !out) {
        return qv__fail(err, QV_ENOMEM, "no memory to resolve a write");
    }
    for (size_t i = 0; i < st->n; i++) {
        n[st->points[i]->shard]++;
    }
    for (uint32_t s = 0; s < n_shards; s++) {
        out[s] = qv__arena_calloc(st->arena, n[s] + 1, sizeof **out);
        if (!out[s]) {
            return qv__fail(err, QV_ENOMEM, "no memory to resolve a write");
        }
        n[s] = 0;
    }
    for (size_t i = 0; i < st->n; i++) {
        const struct qv__staged *p = st->points[i];
        if (!p->touched || (!p->exists && !p->existed)) {
            continue;
        }
        struct qv__effect *e = &out[p->shard][n[p->shard]++];
        e->id = p->id;
        e->expires_ms = p->expires_ms;
        e->kind = !p->exists                            ? QV__EFFECT_DELETE
                  : (!p->existed || p->vectors_changed) ? QV__EFFECT_PUT
                                                        : QV__EFFECT_PAYLOAD;
        if (p->exists) {
            e->vectors = p->vectors;
            e->payload = p->payload;
        }
    }
    *lists = out;
    *counts = n;
    return QV_OK;
}
