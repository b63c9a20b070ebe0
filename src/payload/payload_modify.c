/* payload_modify.c: append to and remove from arrays, count up numbers.
 *
 * As in payload_merge.c the new row is written front to back and what the path does not touch is
 * copied as bytes; recursion follows the path, never the data. Unlike there nothing of another type
 * is replaced on the way: a counter that turns out to be a text is a mistake to be told. */
#include <math.h>

#include "payload/value_write.h"

struct modify {
    struct qv__buf *out;
    const struct qv__payload_op *op;
    struct qv_err *err;
};

static int text_len(const struct qv__payload_op *op)
{
    return (int)QV_MIN(op->text.n, (size_t)64);
}

static const char *tag_name(enum qv__tag tag)
{
    static const char *const names[] = {
        [QV__TAG_NULL] = "null",    [QV__TAG_FALSE] = "a boolean", [QV__TAG_TRUE] = "a boolean",
        [QV__TAG_I64] = "a number", [QV__TAG_U64] = "a number",    [QV__TAG_F64] = "a number",
        [QV__TAG_STR] = "a string", [QV__TAG_ARR] = "an array",    [QV__TAG_OBJ] = "an object",
    };
    return names[tag];
}

static qv_status wrong_type(struct modify *m, const char *what, const struct qv__value *found)
{
    return qv__fail(m->err, QV_EINVAL, "payload key `%.*s`: expected %s, found %s", text_len(m->op),
                    m->op->text.p, what, tag_name(found->tag));
}

static bool is_number(const struct qv__value *v)
{
    return v->tag == QV__TAG_I64 || v->tag == QV__TAG_U64 || v->tag == QV__TAG_F64;
}

static struct qv__value decode(struct qv__bytes b)
{
    struct qv__value v = {.tag = QV__TAG_NULL};
    if (!qv__value_read(b.p, b.p + b.n, &v)) {
        v = (struct qv__value){.tag = QV__TAG_NULL};
    }
    return v;
}

qv_status qv__payload_op_check(const struct qv__payload_op *op, struct qv_err *err)
{
    struct qv__value v = decode(op->value);
    for (uint32_t i = 0; i < op->path.n; i++) {
        if (op->path.step[i].kind == QV__STEP_ALL) {
            return qv__fail(err, QV_EINVAL, "payload key `%.*s`: must lead to one value, not to []",
                            text_len(op), op->text.p);
        }
    }
    if (op->kind == QV__OP_INCREMENT && (!is_number(&v) || v.tag == QV__TAG_U64)) {
        return qv__fail(err, QV_EINVAL,
                        "payload key `%.*s`: an increment must be a number that fits 64 bits",
                        text_len(op), op->text.p);
    }
    return QV_OK;
}

/* --- what happens at the end of the path --- */

static qv_status end_array(struct modify *m, size_t mark, uint32_t count)
{
    return qv__vw_end(m->out, mark, count)
               ? QV_OK
               : qv__fail(m->err, QV_ETOOBIG, "payload: larger than 4 GiB");
}

static bool same_bytes(const uint8_t *start, const struct qv__value *v, struct qv__bytes other)
{
    size_t n = (size_t)(v->end - start);
    return n == other.n && memcmp(start, other.p, n) == 0;
}

/* Append and remove. */
static qv_status edit_array(struct modify *m, const struct qv__value *old)
{
    bool append = m->op->kind == QV__OP_APPEND;
    struct qv__value_iter it = {0};
    struct qv__value v;
    uint32_t count = 0;
    if (old && old->tag != QV__TAG_ARR) {
        return wrong_type(m, "an array", old);
    }
    if (old) {
        qv__value_iter_init(&it, old);
    }
    size_t mark = qv__vw_begin(m->out, QV__TAG_ARR);
    for (const uint8_t *start = it.p; qv__value_iter_next(&it, NULL, &v); start = it.p) {
        if (append || !same_bytes(start, &v, m->op->value)) {
            qv__buf_put(m->out, start, (size_t)(v.end - start));
            count++;
        }
    }
    if (append) {
        qv__buf_put(m->out, m->op->value.p, m->op->value.n);
        count++;
    }
    return end_array(m, mark, count);
}

static double as_double(const struct qv__value *v)
{
    return v->tag == QV__TAG_F64 ? v->f : v->tag == QV__TAG_U64 ? (double)v->u : (double)v->i;
}

static qv_status count_up(struct modify *m, const struct qv__value *old)
{
    struct qv__value zero = {.tag = QV__TAG_I64}, by = decode(m->op->value);
    const struct qv__value *from = old ? old : &zero;
    if (!is_number(from)) {
        return wrong_type(m, "a number", from);
    }
    if (from->tag == QV__TAG_F64 || by.tag == QV__TAG_F64) {
        double sum = as_double(from) + as_double(&by);
        if (!isfinite(sum)) {
            return qv__fail(m->err, QV_EINVAL, "payload key `%.*s`: the sum is not a finite number",
                            text_len(m->op), m->op->text.p);
        }
        qv__vw_f64(m->out, sum);
        return QV_OK;
    }
    int64_t sum;
    if (from->tag == QV__TAG_U64 || __builtin_add_overflow(from->i, by.i, &sum)) {
        return qv__fail(m->err, QV_EINVAL,
                        "payload key `%.*s`: the sum does not fit 64 bits with a sign",
                        text_len(m->op), m->op->text.p);
    }
    qv__vw_i64(m->out, sum);
    return QV_OK;
}

/* --- the way there --- */

static qv_status modify_at(struct modify *m, uint32_t step, const struct qv__value *old,
                           uint32_t depth);

static qv_status below_key(struct modify *m, uint32_t step, const struct qv__value *old,
                           uint32_t depth)
{
    struct qv__str name = m->op->path.step[step].key, key;
    struct qv__value_iter it = {0};
    struct qv__value v;
    uint32_t count = 0;
    bool met = false;
    if (old && old->tag != QV__TAG_OBJ) {
        return wrong_type(m, "an object on the way", old);
    }
    if (old) {
        qv__value_iter_init(&it, old);
    }
    size_t mark = qv__vw_begin(m->out, QV__TAG_OBJ);
    for (; qv__value_iter_next(&it, &key, &v); count++) {
        const uint8_t *start = (const uint8_t *)key.p + key.n;
        qv__buf_str(m->out, key);
        if (!met && qv__str_eq(key, name)) {
            met = true;
            QV_TRY(modify_at(m, step + 1, &v, depth + 1));
        } else {
            qv__buf_put(m->out, start, (size_t)(v.end - start));
        }
    }
    if (!met) {
        count++;
        qv__buf_str(m->out, name);
        QV_TRY(modify_at(m, step + 1, NULL, depth + 1));
    }
    if (count > QV__MEMBERS_MAX) {
        return qv__fail(m->err, QV_ETOOBIG, "payload: an object would have more than %u members",
                        QV__MEMBERS_MAX);
    }
    return end_array(m, mark, count);
}

static qv_status below_index(struct modify *m, uint32_t step, const struct qv__value *old,
                             uint32_t depth)
{
    uint32_t wanted = m->op->path.step[step].index, i = 0;
    struct qv__value_iter it = {0};
    struct qv__value v;
    if (!old || old->tag != QV__TAG_ARR || old->count <= wanted) {
        return qv__fail(m->err, QV_EINVAL, "payload key `%.*s`: there is no element %" PRIu32,
                        text_len(m->op), m->op->text.p, wanted);
    }
    qv__value_iter_init(&it, old);
    size_t mark = qv__vw_begin(m->out, QV__TAG_ARR);
    for (const uint8_t *start = it.p; qv__value_iter_next(&it, NULL, &v); start = it.p, i++) {
        if (i == wanted) {
            QV_TRY(modify_at(m, step + 1, &v, depth + 1));
        } else {
            qv__buf_put(m->out, start, (size_t)(v.end - start));
        }
    }
    return end_array(m, mark, i);
}

/* Write what becomes of `old` (NULL = there is nothing) from this step on. */
static qv_status modify_at(struct modify *m, uint32_t step, const struct qv__value *old,
                           uint32_t depth)
{
    if (m->out->failed) {
        return qv__buf_status(m->out, m->err);
    }
    old = old && old->tag == QV__TAG_NULL ? NULL : old;
    if (step == m->op->path.n) {
        return m->op->kind == QV__OP_INCREMENT ? count_up(m, old) : edit_array(m, old);
    }
    if (depth >= QV__VALUE_DEPTH_MAX) {
        return qv__fail(m->err, QV_ETOOBIG, "payload: would be nested deeper than %u levels",
                        QV__VALUE_DEPTH_MAX);
    }
    return m->op->path.step[step].kind == QV__STEP_KEY ? below_key(m, step, old, depth)
                                                       : below_index(m, step, old, depth);
}

static qv_status modify_one(struct qv__buf *out, struct qv__bytes row,
                            const struct qv__payload_op *op, struct qv_err *err)
{
    struct modify m = {.out = out, .op = op, .err = err};
    struct qv__value root = qv__wire_root(row);
    size_t start = out->n;
    QV_TRY(qv__payload_op_check(op, err));
    QV_TRY(modify_at(&m, 0, &root, 0));
    QV_TRY(qv__buf_status(out, err));
    /* An appended value may nest too deep at its new place. */
    if (!qv__payload_valid((struct qv__bytes){out->p + start, out->n - start})) {
        return qv__fail(err, QV_ETOOBIG, "payload: would be nested deeper than %u levels",
                        QV__VALUE_DEPTH_MAX);
    }
    return QV_OK;
}

/* Of an operation, besides the row that it writes anew. */
#define OP_UNITS 64u

qv_status qv__payload_modify(struct qv__buf *out, struct qv__bytes row,
                             const struct qv__payload_op *ops, size_t n_ops,
                             struct qv__steps *steps, struct qv_err *err)
{
    struct qv__buf turn[2]; /* each operation reads what the one before wrote */
    size_t start = out->n;
    qv_status st = QV_OK;
    qv__buf_init(&turn[0], out->mem);
    qv__buf_init(&turn[1], out->mem);
    turn[0].limit = turn[1].limit = out->limit;
    for (size_t i = 0; st == QV_OK && i < n_ops; i++) {
        struct qv__buf *to = i + 1 == n_ops ? out : &turn[i & 1];
        if (!qv__steps_on(steps, OP_UNITS + row.n)) {
            st = qv__fail(err, steps->status, "payload: %s", qv_status_text(steps->status));
            break;
        }
        if (to != out) {
            qv__buf_reset(to);
        }
        st = modify_one(to, row, &ops[i], err);
        out->too_big = out->too_big || to->too_big;
        row = qv__buf_bytes(to);
    }
    if (n_ops == 0) {
        qv__buf_put(out, row.p, row.n);
        st = qv__buf_status(out, err);
    }
    if (st != QV_OK) {
        out->n = QV_MIN(out->n, start);
    }
    qv__buf_free(&turn[0]);
    qv__buf_free(&turn[1]);
    return st;
}
