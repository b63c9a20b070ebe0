/* value.c: reading payload values in place, and the check that makes foreign bytes safe to read.
 *
 * Reading decodes one head at a time and never looks inside a container. The check walks the whole
 * structure once with a stack of open containers of fixed size (no recursion, no memory), and
 * accepts exactly what the writers of this folder produce: minimal varints, lengths that fit
 * together, u64 only above the range of i64, finite numbers, and the limits of value.h. Equal keys
 * in one object are not looked for: readers take the first. */
#include <math.h>

#include "payload/wire.h"

const uint8_t *qv__wire_varint_long(const uint8_t *p, const uint8_t *end, uint32_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        if (p >= end) {
            return NULL;
        }
        uint8_t byte = *p++;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            if (v > UINT32_MAX || (byte == 0 && shift)) {
                return NULL;
            }
            *out = (uint32_t)v;
            return p;
        }
    }
    return NULL;
}

bool qv__value_read(const uint8_t *p, const uint8_t *end, struct qv__value *out)
{
    return p && qv__wire_read(p, end, out);
}

void qv__value_iter_init(struct qv__value_iter *it, const struct qv__value *container)
{
    bool object = container->tag == QV__TAG_OBJ;
    if (!object && container->tag != QV__TAG_ARR) {
        *it = (struct qv__value_iter){0};
        return;
    }
    *it = (struct qv__value_iter){
        .p = container->body.p,
        .end = container->end,
        .left = container->count,
        .object = object,
    };
}

bool qv__value_iter_next(struct qv__value_iter *it, struct qv__str *key, struct qv__value *out)
{
    if (it->left == 0) {
        return false;
    }
    const uint8_t *p = it->p;
    if (it->object) {
        struct qv__str name;
        p = qv__wire_key(p, it->end, &name);
        if (p && key) {
            *key = name;
        }
    }
    if (!p || !qv__wire_read(p, it->end, out)) {
        it->left = 0;
        return false;
    }
    it->left--;
    it->p = out->end;
    return true;
}

static bool scalar_ok(const struct qv__value *v)
{
    if (v->tag == QV__TAG_U64) {
        return v->u > (uint64_t)INT64_MAX;
    }
    return v->tag != QV__TAG_F64 || isfinite(v->f);
}

/* An open container during the check. */
struct open_container {
    const uint8_t *end;
    uint32_t left;
    bool object;
};

static bool is_container(const struct qv__value *v)
{
    return v->tag == QV__TAG_OBJ || v->tag == QV__TAG_ARR;
}

bool qv__payload_valid(struct qv__bytes row)
{
    struct open_container open[QV__VALUE_DEPTH_MAX];
    unsigned depth = 0;
    struct qv__value v;

    if (row.n == 0 || !qv__wire_read(row.p, row.p + row.n, &v) || v.tag != QV__TAG_OBJ ||
        v.end != row.p + row.n) {
        return false;
    }
    const uint8_t *p = NULL;
    for (;;) {
        /* v was just read: open it, or step over it. */
        if (is_container(&v)) {
            bool object = v.tag == QV__TAG_OBJ;
            if (depth == QV__VALUE_DEPTH_MAX || (object && v.count > QV__MEMBERS_MAX)) {
                return false;
            }
            open[depth++] = (struct open_container){v.end, v.count, object};
            p = v.body.p;
        } else {
            if (!scalar_ok(&v)) {
                return false;
            }
            p = v.end;
        }
        /* Close what is complete; its contents must end where its length says. */
        while (open[depth - 1].left == 0) {
            if (p != open[depth - 1].end) {
                return false;
            }
            if (--depth == 0) {
                return true;
            }
        }
        struct open_container *in = &open[depth - 1];
        in->left--;
        if (in->object) {
            struct qv__str key;
            p = qv__wire_key(p, in->end, &key);
            if (!p || key.n > QV__KEY_MAX) {
                return false;
            }
        }
        if (!qv__wire_read(p, in->end, &v)) {
            return false;
        }
    }
}
