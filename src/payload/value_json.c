/* value_json.c: JSON nodes to payload values and back.
 *
 * Both directions keep a stack of open containers of fixed size instead of recursing. JSON objects
 * may repeat a key; a payload object may not: the first place and the last value count, as in the
 * peers. Repeats are looked for by comparing pairs in small objects and through a hash index in
 * larger ones; only an object that has some costs a table of its members, charged to the buffer's
 * account until the object is closed. */
#include "base/map.h"
#include "payload/value_write.h"

#define PAIRWISE_MAX 32u /* members up to which comparing every pair is cheaper than hashing */

struct member {
    qv__json key, value;
};

/* An open JSON container. */
struct source {
    qv__json next;          /* next element or key; unused when members is set */
    struct member *members; /* owned; only for an object that repeats a key */
    size_t mark;
    uint32_t count, done;
    bool object;
};

struct converter {
    struct qv__buf *out;
    struct qv_err *err;
    struct source open[QV__VALUE_DEPTH_MAX];
    unsigned depth;
};

static struct qv__str key_text(qv__json key)
{
    return (struct qv__str){key->s, key->len};
}

static bool same_member(uint64_t value, const void *key, void *ctx)
{
    const struct member *members = ctx;
    const struct qv__str *name = key;
    return qv__str_eq(key_text(members[value].key), *name);
}

/* Is any key of the object there twice? */
static bool repeats_pairwise(qv__json obj)
{
    struct qv__str seen[PAIRWISE_MAX];
    qv__json key = qv__json_first(obj);
    for (uint32_t i = 0; i < obj->len; i++) {
        seen[i] = key_text(key);
        for (uint32_t j = 0; j < i; j++) {
            if (qv__str_eq(seen[j], seen[i])) {
                return true;
            }
        }
        key = qv__json_next(key + 1);
    }
    return false;
}

/* Fill `members` with the object's distinct keys; *n gets their number. */
static qv_status collect_distinct(struct qv__mem *mem, qv__json obj, struct member *members,
                                  uint32_t *n)
{
    struct qv__map map;
    qv__map_init(&map, mem);
    qv_status st = qv__map_reserve(&map, obj->len);
    uint32_t count = 0;
    qv__json key = qv__json_first(obj);
    for (uint32_t i = 0; st == QV_OK && i < obj->len; i++) {
        struct qv__str name = key_text(key);
        uint64_t hash = qv__hash_bytes(name.p, name.n);
        const uint64_t *at = qv__map_find(&map, hash, same_member, &name, members);
        if (at) {
            members[*at].value = key + 1;
        } else {
            members[count] = (struct member){key, key + 1};
            st = qv__map_add(&map, hash, count++);
        }
        key = qv__json_next(key + 1);
    }
    qv__map_free(&map);
    *n = count;
    return st;
}

static qv_status open_object(struct converter *c, qv__json v, struct source *s)
{
    if (v->len > QV__MEMBERS_MAX) {
        return qv__fail(c->err, QV_ETOOBIG, "payload: an object has %u members, the limit is %u",
                        (unsigned)v->len, QV__MEMBERS_MAX);
    }
    if (v->len < 2 || (v->len <= PAIRWISE_MAX && !repeats_pairwise(v))) {
        return QV_OK;
    }
    struct member *members = qv__calloc(c->out->mem, v->len, sizeof *members);
    if (!members) {
        return qv__fail(c->err, QV_ENOMEM, "payload: no memory for an object of %u members",
                        (unsigned)v->len);
    }
    uint32_t n;
    if (collect_distinct(c->out->mem, v, members, &n) != QV_OK) {
        qv__free(members);
        return qv__fail(c->err, QV_ENOMEM, "payload: no memory for an object of %u members",
                        (unsigned)v->len);
    }
    if (n == v->len) {
        qv__free(members);
        return QV_OK;
    }
    s->members = members;
    s->count = n;
    return QV_OK;
}

static qv_status open_container(struct converter *c, qv__json v)
{
    if (c->depth == QV__VALUE_DEPTH_MAX) {
        return qv__fail(c->err, QV_ETOOBIG, "payload: nested deeper than %u levels",
                        QV__VALUE_DEPTH_MAX);
    }
    struct source s = {
        .next = qv__json_first(v),
        .count = v->len,
        .object = v->kind == QV__JSON_OBJ,
    };
    if (s.object) {
        QV_TRY(open_object(c, v, &s));
    }
    s.mark = qv__vw_begin(c->out, s.object ? QV__TAG_OBJ : QV__TAG_ARR);
    c->open[c->depth++] = s;
    return QV_OK;
}

static qv_status put(struct converter *c, qv__json v)
{
    switch ((enum qv__json_kind)v->kind) {
    case QV__JSON_NULL:
        qv__vw_null(c->out);
        return QV_OK;
    case QV__JSON_BOOL:
        qv__vw_bool(c->out, v->b);
        return QV_OK;
    case QV__JSON_I64:
        qv__vw_i64(c->out, v->i);
        return QV_OK;
    case QV__JSON_U64:
        qv__vw_u64(c->out, v->u);
        return QV_OK;
    case QV__JSON_F64:
        qv__vw_f64(c->out, v->f);
        return QV_OK;
    case QV__JSON_STR:
        qv__vw_str(c->out, (struct qv__str){v->s, v->len});
        return QV_OK;
    case QV__JSON_ARR:
    case QV__JSON_OBJ:
        return open_container(c, v);
    default:
        return qv__fail(c->err, QV_EINTERNAL, "payload: unknown JSON kind %u", (unsigned)v->kind);
    }
}

static qv_status put_key(struct converter *c, qv__json key)
{
    if (key->len > QV__KEY_MAX) {
        return qv__fail(c->err, QV_ETOOBIG, "payload: a key has %u bytes, the limit is %u",
                        (unsigned)key->len, QV__KEY_MAX);
    }
    qv__buf_str(c->out, key_text(key));
    return QV_OK;
}

/* The next element or member of the innermost container. */
static qv_status put_next(struct converter *c)
{
    struct source *s = &c->open[c->depth - 1];
    qv__json v;
    if (s->members) {
        QV_TRY(put_key(c, s->members[s->done].key));
        v = s->members[s->done].value;
    } else {
        v = s->next;
        if (s->object) {
            QV_TRY(put_key(c, v));
            v++;
        }
        s->next = qv__json_next(v);
    }
    s->done++;
    return put(c, v);
}

static qv_status close_container(struct converter *c)
{
    struct source *s = &c->open[--c->depth];
    qv__free(s->members);
    if (!qv__vw_end(c->out, s->mark, s->count)) {
        return qv__fail(c->err, QV_ETOOBIG, "payload: larger than 4 GiB");
    }
    return QV_OK;
}

qv_status qv__value_from_json(struct qv__buf *out, qv__json v, struct qv_err *err)
{
    struct converter c;
    c.out = out;
    c.err = err;
    c.depth = 0;
    size_t start = out->n;

    if (!v) {
        return qv__fail(err, QV_EINVAL, "payload: no value");
    }
    qv_status st = put(&c, v);
    while (st == QV_OK && c.depth) {
        struct source *s = &c.open[c.depth - 1];
        st = s->done < s->count ? put_next(&c) : close_container(&c);
        if (out->failed) {
            st = qv__buf_status(out, err);
        }
    }
    if (st == QV_OK) {
        st = qv__buf_status(out, err);
    }
    if (st != QV_OK) {
        while (c.depth) {
            qv__free(c.open[--c.depth].members);
        }
        out->n = QV_MIN(out->n, start);
    }
    return st;
}

qv_status qv__payload_from_json(struct qv__buf *out, qv__json v, struct qv_err *err)
{
    static const char *const names[] = {
        [QV__JSON_NULL] = "null",    [QV__JSON_BOOL] = "a boolean", [QV__JSON_I64] = "a number",
        [QV__JSON_U64] = "a number", [QV__JSON_F64] = "a number",   [QV__JSON_STR] = "a string",
        [QV__JSON_ARR] = "an array", [QV__JSON_OBJ] = "an object",
    };
    if (!v || v->kind == QV__JSON_NULL) {
        static const uint8_t empty[] = {QV__TAG_OBJ, 1, 0};
        qv__buf_put(out, empty, sizeof empty);
        return qv__buf_status(out, err);
    }
    if (v->kind != QV__JSON_OBJ) {
        return qv__fail(err, QV_EINVAL, "payload: expected an object or null, not %s",
                        v->kind < QV_ARRAY_LEN(names) ? names[v->kind] : "this");
    }
    return qv__value_from_json(out, v, err);
}

static void write_scalar(struct qv__jw *w, const struct qv__value *v)
{
    switch (v->tag) {
    case QV__TAG_FALSE:
    case QV__TAG_TRUE:
        qv__jw_bool(w, v->tag == QV__TAG_TRUE);
        break;
    case QV__TAG_I64:
        qv__jw_i64(w, v->i);
        break;
    case QV__TAG_U64:
        qv__jw_u64(w, v->u);
        break;
    case QV__TAG_F64:
        qv__jw_f64(w, v->f);
        break;
    case QV__TAG_STR:
        qv__jw_str_n(w, v->s);
        break;
    case QV__TAG_NULL:
    case QV__TAG_ARR:
    case QV__TAG_OBJ:
    default:
        qv__jw_null(w);
        break;
    }
}

void qv__value_to_json(struct qv__jw *w, const struct qv__value *value)
{
    struct qv__value_iter open[QV__VALUE_DEPTH_MAX];
    unsigned depth = 0;
    struct qv__value v = *value;

    for (;;) {
        if ((v.tag == QV__TAG_OBJ || v.tag == QV__TAG_ARR) && depth < QV__VALUE_DEPTH_MAX) {
            qv__value_iter_init(&open[depth++], &v);
            if (v.tag == QV__TAG_OBJ) {
                qv__jw_obj(w);
            } else {
                qv__jw_arr(w);
            }
        } else {
            write_scalar(w, &v);
        }
        struct qv__str key;
        while (depth && !qv__value_iter_next(&open[depth - 1], &key, &v)) {
            if (open[--depth].object) {
                qv__jw_obj_end(w);
            } else {
                qv__jw_arr_end(w);
            }
        }
        if (depth == 0) {
            return;
        }
        if (open[depth - 1].object) {
            qv__jw_key_n(w, key);
        }
    }
}

void qv__payload_to_json(struct qv__jw *w, struct qv__bytes row)
{
    struct qv__value root = qv__wire_root(row);
    qv__value_to_json(w, &root);
}
