/* value_write.c: scalars and containers of the payload encoding into a buffer. */
#include "payload/value_write.h"

#define HEAD_USUAL 2u /* a length and a count below 128 */
#define VARINT_MAX 5u

void qv__vw_null(struct qv__buf *b)
{
    qv__buf_u8(b, QV__TAG_NULL);
}

void qv__vw_bool(struct qv__buf *b, bool v)
{
    qv__buf_u8(b, v ? QV__TAG_TRUE : QV__TAG_FALSE);
}

void qv__vw_i64(struct qv__buf *b, int64_t v)
{
    qv__buf_u8(b, QV__TAG_I64);
    qv__buf_u64(b, (uint64_t)v);
}

void qv__vw_u64(struct qv__buf *b, uint64_t v)
{
    qv__buf_u8(b, v > (uint64_t)INT64_MAX ? QV__TAG_U64 : QV__TAG_I64);
    qv__buf_u64(b, v);
}

void qv__vw_f64(struct qv__buf *b, double v)
{
    qv__buf_u8(b, QV__TAG_F64);
    qv__buf_f64(b, v);
}

void qv__vw_str(struct qv__buf *b, struct qv__str s)
{
    qv__buf_u8(b, QV__TAG_STR);
    qv__buf_str(b, s);
}

size_t qv__vw_begin(struct qv__buf *b, enum qv__tag tag)
{
    qv__buf_u8(b, (uint8_t)tag);
    qv__buf_u16(b, 0);
    return b->n - QV_MIN(b->n, (size_t)HEAD_USUAL);
}

static size_t put_varint(uint8_t *p, uint32_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}

bool qv__vw_end(struct qv__buf *b, size_t mark, uint32_t count)
{
    if (b->failed) {
        return true; /* the buffer says so itself */
    }
    size_t body = b->n - mark - HEAD_USUAL;
    uint8_t count_bytes[VARINT_MAX];
    uint8_t head[2 * VARINT_MAX];
    size_t n_count = put_varint(count_bytes, count);
    if (body > UINT32_MAX - n_count) {
        return false;
    }
    size_t n_head = put_varint(head, (uint32_t)(body + n_count));
    memcpy(head + n_head, count_bytes, n_count);
    n_head += n_count;
    if (n_head > HEAD_USUAL) {
        size_t more = n_head - HEAD_USUAL;
        if (!qv__buf_reserve(b, more)) {
            return true;
        }
        memmove(b->p + mark + n_head, b->p + mark + HEAD_USUAL, body);
        b->n += more;
    }
    memcpy(b->p + mark, head, n_head);
    return true;
}
