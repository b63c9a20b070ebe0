/* quiver_read.c: the typed C interface: searches, points by id, results.
 *
 * A result is a copy in one arena: ids, vectors and payload text. It pins no segment, so a caller
 * may keep it as long as the database is open. */
#include "api/handle.h"
#include "api/text.h"

struct qv_result {
    struct qv__arena arena;
    struct qv__buf text; /* payloads, each with its NUL */
    struct qv_hit *hits;
    size_t n;
    struct qv_id next;
    bool has_next;
};

/* --- results
 * -------------------------------------------------------------------------------------------- */

size_t qv_result_count(const qv_result *result)
{
    return result ? result->n : 0;
}

const struct qv_hit *qv_result_hit(const qv_result *result, size_t i)
{
    return result && i < result->n ? &result->hits[i] : NULL;
}

const struct qv_id *qv_result_next(const qv_result *result)
{
    return result && result->has_next ? &result->next : NULL;
}

void qv_result_free(qv_result *result)
{
    if (result) {
        qv__arena_free(&result->arena);
        qv__buf_free(&result->text);
        qv__free(result);
    }
}

static qv_status copy_id(struct qv_result *r, const struct qv__id *from, struct qv_id *to,
                         struct qv_err *err)
{
    struct qv__id own = *from;
    if (qv__id_own(&r->arena, &own) != QV_OK) {
        return qv__fail(err, QV_ENOMEM, "no memory for a result");
    }
    qv__handle_id_out(&own, to);
    return QV_OK;
}

/* Numbers that were widened go back without a loss. */
static qv_status stored_elements(struct qv_result *r, const struct qv__vector_def *def,
                                 const float *values, const void **out, struct qv_err *err)
{
    *out = values;
    if (def->datatype == QV__F32) {
        return QV_OK;
    }
    void *elements = qv__arena_alloc(&r->arena, qv__vector_bytes(def->datatype, def->dim));
    if (!elements) {
        return qv__fail(err, QV_ENOMEM, "no memory for a result");
    }
    qv__elements_of_floats(def->datatype, values, def->dim, elements);
    *out = elements;
    return QV_OK;
}

static qv_status copy_vectors(struct qv_result *r, const struct qv__schema *s,
                              const struct qv__result_point *p, const char *const *names,
                              struct qv_hit *hit, struct qv_err *err)
{
    struct qv_vector *list = qv__arena_calloc(&r->arena, s->n_vectors + 1u, sizeof *list);
    if (!list) {
        return qv__fail(err, QV_ENOMEM, "no memory for a result");
    }
    hit->vectors = list;
    for (uint32_t i = 0; p->vectors && i < s->n_vectors; i++) {
        if (!p->vectors[i] || s->vectors[i].kind != QV__VEC_DENSE) {
            continue; /* struct qv_vector has no place for the others */
        }
        size_t n = (size_t)s->vectors[i].dim * sizeof(float);
        float *values = qv__arena_alloc(&r->arena, n);
        if (!values) {
            return qv__fail(err, QV_ENOMEM, "no memory for a result");
        }
        memcpy(values, p->vectors[i], n);
        const void *elements = NULL;
        QV_TRY(stored_elements(r, &s->vectors[i], values, &elements, err));
        list[hit->n_vectors++] =
            (struct qv_vector){.name = names[i],
                               .values = values,
                               .size = s->vectors[i].dim,
                               .datatype = (enum qv_datatype)s->vectors[i].datatype,
                               .elements = elements};
    }
    return QV_OK;
}

static qv_status copy_names(struct qv_result *r, const struct qv__schema *s, const char ***out,
                            struct qv_err *err)
{
    const char **names = qv__arena_calloc(&r->arena, s->n_vectors + 1u, sizeof(const char *));
    bool ok = names != NULL;
    for (uint32_t i = 0; ok && i < s->n_vectors; i++) {
        names[i] = qv__arena_strndup(&r->arena, s->vectors[i].name.p, s->vectors[i].name.n);
        ok = names[i] != NULL;
    }
    *out = names;
    return ok ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory for a result");
}

/* Text first, pointers when the buffer has stopped moving. */
static qv_status copy_payloads(struct qv_result *r, const struct qv__result_set *rs,
                               struct qv_err *err)
{
    size_t *at = qv__arena_calloc(&r->arena, rs->n + 1, sizeof *at);
    if (!at) {
        return qv__fail(err, QV_ENOMEM, "no memory for a result");
    }
    for (size_t i = 0; i < rs->n; i++) {
        struct qv__jw w;
        at[i] = r->text.n;
        qv__jw_init(&w, &r->text);
        if (rs->points[i].payload.n) {
            qv__payload_to_json(&w, rs->points[i].payload);
        } else {
            qv__buf_putz(&r->text, "{}");
        }
        qv__buf_putc(&r->text, '\0');
    }
    QV_TRY(qv__buf_status(&r->text, err));
    for (size_t i = 0; i < rs->n; i++) {
        r->hits[i].payload = (const char *)r->text.p + at[i];
    }
    return QV_OK;
}

static void copy_order(const struct qv__order_value *o, struct qv_hit *hit)
{
    if (o->kind == QV__ORDER_INT) {
        hit->order_kind = QV_ORDER_INTEGER;
        hit->order_integer = o->i;
    } else if (o->kind == QV__ORDER_FLOAT) {
        hit->order_kind = QV_ORDER_NUMBER;
        hit->order_number = o->f;
    }
}

static qv_status fill(struct qv_result *r, const struct qv__result_set *rs,
                      const struct qv__fetch *f, struct qv_err *err)
{
    const char **names = NULL;
    r->hits = qv__arena_calloc(&r->arena, rs->n + 1, sizeof *r->hits);
    if (!r->hits) {
        return qv__fail(err, QV_ENOMEM, "no memory for %zu results", rs->n);
    }
    QV_TRY(copy_names(r, rs->schema, &names, err));
    for (size_t i = 0; i < rs->n; i++) {
        const struct qv__result_point *p = &rs->points[i];
        QV_TRY(copy_id(r, &p->id, &r->hits[i].id, err));
        r->hits[i].version = p->version;
        r->hits[i].expires_at_ms = p->expires_ms;
        r->hits[i].score = p->score + 0.0f; /* never -0 */
        copy_order(&p->order, &r->hits[i]);
        if (f->vectors != QV__VECTORS_NONE) {
            QV_TRY(copy_vectors(r, rs->schema, p, names, &r->hits[i], err));
        }
    }
    r->n = rs->n;
    r->has_next = rs->has_next;
    if (rs->has_next) {
        QV_TRY(copy_id(r, &rs->next_offset, &r->next, err));
    }
    return f->payload.kind == QV__SELECT_NONE ? QV_OK : copy_payloads(r, rs, err);
}

/* The result set is freed whatever happens. */
static qv_status to_result(qv_db *db, struct qv__result_set *rs, const struct qv__fetch *f,
                           qv_result **out, struct qv_err *err)
{
    struct qv__mem *mem = qv__db_mem(db->db);
    struct qv_result *r = qv__zalloc(mem, sizeof *r);
    qv_status st = QV_OK;
    if (r) {
        qv__arena_init(&r->arena, mem);
        qv__buf_init(&r->text, mem);
        st = fill(r, rs, f, err);
    } else {
        st = qv__fail(err, QV_ENOMEM, "no memory for a result");
    }
    qv__result_free(rs);
    if (st != QV_OK) {
        qv_result_free(r);
        return st;
    }
    *out = r;
    return QV_OK;
}

static void fetch_of(bool with_payload, bool with_vectors, struct qv__fetch *f)
{
    memset(f, 0, sizeof *f);
    f->payload.kind = with_payload ? QV__SELECT_ALL : QV__SELECT_NONE;
    f->vectors = with_vectors ? QV__VECTORS_ALL : QV__VECTORS_NONE;
}

/* --- calls
 * ---------------------------------------------------------------------------------------------- */

static qv_status check_search(const struct qv_search *q, struct qv_err *err)
{
    if (!q->vector && !q->elements) {
        return qv__handle_missing(err, "query.vector");
    }
    if (q->size < 1 || q->size > QV__DIM_MAX) {
        return qv__fail(err, QV_EINVAL, "query.size: %" PRIu32 " is not from 1 to %u", q->size,
                        QV__DIM_MAX);
    }
    if (q->limit < 1 || q->limit > QV__LIMIT_MAX) {
        return qv__fail(err, QV_EVALIDATION, "query.limit: %" PRIu64 " is not from 1 to %u",
                        q->limit, QV__LIMIT_MAX);
    }
    if (q->offset > QV__LIMIT_MAX - q->limit) {
        return qv__fail(err, QV_EVALIDATION,
                        "query.offset: %" PRIu64 " with limit %" PRIu64 " is more than %u",
                        q->offset, q->limit, QV__LIMIT_MAX);
    }
    return QV_OK;
}

static uint64_t deadline_after(const struct qv__clock *clock, uint64_t timeout_ms)
{
    const uint64_t year_ms = UINT64_C(366) * 24 * 3600 * 1000;
    return timeout_ms ? qv__mono_ns(clock) + QV_MIN(timeout_ms, year_ms) * 1000000u : 0;
}

qv_status qv_search(qv_db *db, const char *collection, const struct qv_search *query,
                    qv_result **result, struct qv_err *err)
{
    struct qv__collection *c = NULL;
    struct qv__result_set rs = {0};
    struct qv__fetch f;
    if (!query || !result) {
        return qv__handle_missing(err, query ? "result" : "query");
    }
    QV_TRY(check_search(query, err));
    QV_TRY(qv__handle_collection(db, collection, &c, err));
    struct qv__arena arena;
    qv__arena_init(&arena, qv__db_mem(db->db));
    fetch_of(query->with_payload, query->with_vectors, &f);
    struct qv__query q = {
        .kind = QV__QUERY_NEAREST,
        .using_vector = query->using_vector ? qv__str_z(query->using_vector) : QV__STR(""),
        .target = {.dim = query->size},
        .params = {.ef = query->ef, .exact = query->exact},
        .limit = query->limit,
        .offset = query->offset,
    };
    struct qv__qctx ctx = {.clock = qv__db_clock(db->db), .mem = arena.mem};
    ctx.deadline_ns = deadline_after(ctx.clock, query->timeout_ms);
    qv_status st = qv__handle_filter(&arena, query->filter_json, &q.filter, err);
    if (st == QV_OK) {
        st = qv__handle_elements(&arena, "query.", query->vector, query->datatype, query->elements,
                                 query->size, &q.target.values, &q.target.is_packed, err);
    }
    if (st == QV_OK) {
        st = qv__collection_query(c, &q, &f, &ctx, &rs, err);
    }
    if (st == QV_OK) {
        st = to_result(db, &rs, &f, result, err);
    }
    qv__arena_free(&arena);
    qv__collection_release(c);
    return st;
}

qv_status qv_get(qv_db *db, const char *collection, const struct qv_id *ids, size_t n,
                 bool with_payload, bool with_vectors, qv_result **result, struct qv_err *err)
{
    struct qv__collection *c = NULL;
    struct qv__result_set rs = {0};
    struct qv__fetch f;
    struct qv__id *converted = NULL;
    if (!result || (n && !ids)) {
        return qv__handle_missing(err, result ? "ids" : "result");
    }
    QV_TRY(qv__handle_collection(db, collection, &c, err));
    struct qv__arena arena;
    qv__arena_init(&arena, qv__db_mem(db->db));
    fetch_of(with_payload, with_vectors, &f);
    struct qv__qctx ctx = {.clock = qv__db_clock(db->db), .mem = arena.mem};
    qv_status st = qv__handle_ids(&arena, ids, n, &converted, err);
    if (st == QV_OK) {
        st = qv__collection_get(c, converted, n, &f, &ctx, &rs, err);
    }
    if (st == QV_OK) {
        st = to_result(db, &rs, &f, result, err);
    }
    qv__arena_free(&arena);
    qv__collection_release(c);
    return st;
}

/* --- pages
 * ---------------------------------------------------------------------------------------------- */

static qv_status order_of(const struct qv_scroll *page, struct qv__order_by *by, struct qv_err *err)
{
    struct qv_err why = {.code = QV_OK};
    by->key = qv__str_z(page->order_by);
    if (!qv__text_is_utf8(by->key)) { /* messages repeat it */
        return qv__fail(err, QV_EINVAL, "page.order_by: not UTF-8");
    }
    if (qv__path_parse(by->key, &by->path, &why) != QV_OK) {
        return qv__fail(err, QV_EINVAL, "page.order_by: %s", why.message);
    }
    by->order.descending = page->descending;
    switch (page->start_kind) {
    case QV_ORDER_NONE:
        return QV_OK;
    case QV_ORDER_INTEGER:
        by->order.start = QV__START_INT;
        by->order.start_int = page->start_integer;
        return QV_OK;
    case QV_ORDER_NUMBER:
        by->order.start = QV__START_FLOAT;
        by->order.start_float = page->start_number;
        return page->start_number == page->start_number
                   ? QV_OK
                   : qv__fail(err, QV_EINVAL, "page.start_number: is not a number");
    default:
        return qv__fail(err, QV_EINVAL, "page.start_kind: %d is not known", (int)page->start_kind);
    }
}

static qv_status check_scroll(const struct qv_scroll *page, struct qv_err *err)
{
    if (page->limit < 1 || page->limit > QV__LIMIT_MAX) {
        return qv__fail(err, QV_EVALIDATION, "page.limit: %" PRIu64 " is not from 1 to %u",
                        page->limit, QV__LIMIT_MAX);
    }
    if (page->order_by && page->from) {
        return qv__fail(err, QV_EINVAL,
                        "page.from: is of the order of ids; with order_by give the start's value");
    }
    if (!page->order_by && (page->descending || page->start_kind != QV_ORDER_NONE)) {
        return qv__fail(err, QV_EINVAL, "page.%s: is of order_by, which is not given",
                        page->descending ? "descending" : "start_kind");
    }
    return QV_OK;
}

qv_status qv_scroll(qv_db *db, const char *collection, const struct qv_scroll *page,
                    qv_result **result, struct qv_err *err)
{
    struct qv__collection *c = NULL;
    struct qv__result_set rs = {0};
    struct qv__fetch f;
    struct qv__id from = {0};
    struct qv__order_by by = {0};
    const struct qv__filter *filter = NULL;
    if (!page || !result) {
        return qv__handle_missing(err, page ? "result" : "page");
    }
    QV_TRY(check_scroll(page, err));
    if (page->from) {
        QV_TRY(qv__handle_id(page->from, "page.from", 0, &from, err));
    }
    if (page->order_by) {
        QV_TRY(order_of(page, &by, err));
    }
    QV_TRY(qv__handle_collection(db, collection, &c, err));
    struct qv__arena arena;
    qv__arena_init(&arena, qv__db_mem(db->db));
    fetch_of(page->with_payload, page->with_vectors, &f);
    struct qv__qctx ctx = {.clock = qv__db_clock(db->db), .mem = arena.mem};
    ctx.deadline_ns = deadline_after(ctx.clock, page->timeout_ms);
    qv_status st = qv__handle_filter(&arena, page->filter_json, &filter, err);
    if (st == QV_OK && page->order_by) {
        struct qv__query q = {
            .kind = QV__QUERY_ORDER_BY, .order_by = &by, .filter = filter, .limit = page->limit};
        st = qv__collection_query(c, &q, &f, &ctx, &rs, err);
    } else if (st == QV_OK) {
        st = qv__collection_scroll(c, page->from ? &from : NULL, page->limit, filter, &f, &ctx, &rs,
                                   err);
    }
    if (st == QV_OK) {
        st = to_result(db, &rs, &f, result, err);
    }
    qv__arena_free(&arena);
    qv__collection_release(c);
    return st;
}
