/* buf.c: the growable byte buffer and the bounded reader.
 *
 * Capacity doubles, so appending is linear; a limit is checked on the bytes used, before memory is
 * asked for. The first failure is kept (`failed`, and `too_big` when the limit was the reason), and
 * the bytes written before it stay. A reader that fails jumps to its end: everything after gives 0.
 */
#include "base/buf.h"

#include <stdio.h>

#define CAP_MIN    ((size_t)64)
#define VARINT_MAX 10 /* bytes of a 64-bit LEB128 number */

void qv__buf_init(struct qv__buf *b, struct qv__mem *mem)
{
    memset(b, 0, sizeof *b);
    b->mem = mem;
}

void qv__buf_free(struct qv__buf *b)
{
    qv__free(b->p);
    b->p = NULL;
    b->n = b->cap = 0;
    b->failed = b->too_big = false;
}

/* Room for n more bytes, plus `slack` that is never committed (and so not under the limit). */
static bool make_room(struct qv__buf *b, size_t n, size_t slack)
{
    if (QV_UNLIKELY(b->failed)) {
        return false;
    }
    size_t need;
    if (!qv__add_ok(b->n, n, &need) || (b->limit && need > b->limit)) {
        b->failed = b->too_big = true;
        return false;
    }
    if (!qv__add_ok(need, slack, &need) || need > PTRDIFF_MAX / 2) {
        b->failed = true;
        return false;
    }
    if (QV_LIKELY(need <= b->cap)) {
        return true;
    }
    size_t cap = QV_MAX(b->cap * 2, CAP_MIN);
    if (b->limit && cap > b->limit) {
        cap = b->limit;
    }
    cap = QV_MAX(cap, need);
    uint8_t *p = qv__realloc(b->mem, b->p, cap);
    if (!p && cap > need) {
        /* Near the budget's end doubling may be too much where the bytes themselves still fit. */
        cap = need;
        p = qv__realloc(b->mem, b->p, cap);
    }
    if (!p) {
        b->failed = true;
        return false;
    }
    b->p = p;
    b->cap = cap;
    return true;
}

uint8_t *qv__buf_reserve(struct qv__buf *b, size_t n)
{
    /* One byte at least, so that an empty buffer still has a place to point to. */
    return make_room(b, n, n ? 0 : 1) ? b->p + b->n : NULL;
}

void qv__buf_put(struct qv__buf *b, const void *data, size_t n)
{
    if (n && make_room(b, n, 0)) {
        memcpy(b->p + b->n, data, n);
        b->n += n;
    }
}

void qv__buf_putz(struct qv__buf *b, const char *z)
{
    qv__buf_put(b, z, strlen(z));
}

void qv__buf_putc(struct qv__buf *b, char c)
{
    qv__buf_u8(b, (uint8_t)c);
}

void qv__buf_vprintf(struct qv__buf *b, const char *fmt, va_list ap)
{
    if (b->failed) {
        return;
    }
    va_list again;
    va_copy(again, ap);
    size_t room = b->cap - b->n;
    /* With no room yet a byte on the stack stands in, as vsnprintf is given a place in any case. */
    char none;
    int n = vsnprintf(room ? (char *)b->p + b->n : &none, room ? room : 1, fmt, ap);
    if (n < 0) {
        b->failed = true;
    } else if ((size_t)n < room && (!b->limit || b->n + (size_t)n <= b->limit)) {
        b->n += (size_t)n;
    } else if (make_room(b, (size_t)n, 1)) {
        (void)vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

void qv__buf_printf(struct qv__buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    qv__buf_vprintf(b, fmt, ap);
    va_end(ap);
}

void qv__buf_u8(struct qv__buf *b, uint8_t v)
{
    if (make_room(b, 1, 0)) {
        b->p[b->n++] = v;
    }
}

void qv__buf_u16(struct qv__buf *b, uint16_t v)
{
    qv__buf_put(b, &v, sizeof v);
}

void qv__buf_u32(struct qv__buf *b, uint32_t v)
{
    qv__buf_put(b, &v, sizeof v);
}

void qv__buf_u64(struct qv__buf *b, uint64_t v)
{
    qv__buf_put(b, &v, sizeof v);
}

void qv__buf_f64(struct qv__buf *b, double v)
{
    qv__buf_put(b, &v, sizeof v);
}

void qv__buf_varint(struct qv__buf *b, uint64_t v)
{
    uint8_t bytes[VARINT_MAX];
    size_t n = 0;
    while (v >= 0x80) {
        bytes[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    bytes[n++] = (uint8_t)v;
    qv__buf_put(b, bytes, n);
}

void qv__buf_str(struct qv__buf *b, struct qv__str s)
{
    size_t start = b->n;
    qv__buf_varint(b, s.n);
    qv__buf_put(b, s.p, s.n);
    if (b->failed) {
        b->n = QV_MIN(b->n, start); /* no length without its bytes */
    }
}

void qv__buf_pad(struct qv__buf *b, size_t align)
{
    QV_DEBUG_ASSERT(align && (align & (align - 1)) == 0);
    size_t n = (align - (b->n & (align - 1))) & (align - 1);
    if (n && make_room(b, n, 0)) {
        memset(b->p + b->n, 0, n);
        b->n += n;
    }
}

qv_status qv__buf_status(const struct qv__buf *b, struct qv_err *err)
{
    if (!b->failed) {
        return QV_OK;
    }
    if (b->too_big) {
        return qv__fail(err, QV_ETOOBIG, "buffer: output is over its limit of %zu bytes",
                        b->limit ? b->limit : SIZE_MAX);
    }
    return qv__fail(err, QV_ENOMEM, "buffer: no memory to grow beyond %zu bytes", b->cap);
}

/* ---- reader ---- */

static const uint8_t *take(struct qv__reader *r, size_t n)
{
    if (QV_UNLIKELY(r->failed || n > qv__reader_left(r))) {
        r->failed = true;
        r->p = r->end;
        return NULL;
    }
    const uint8_t *p = r->p;
    if (n) {
        r->p += n;
    }
    return p ? p : (const uint8_t *)"";
}

uint8_t qv__read_u8(struct qv__reader *r)
{
    const uint8_t *p = take(r, 1);
    return p ? *p : 0;
}

uint16_t qv__read_u16(struct qv__reader *r)
{
    const uint8_t *p = take(r, 2);
    return p ? qv__load_u16(p) : 0;
}

uint32_t qv__read_u32(struct qv__reader *r)
{
    const uint8_t *p = take(r, 4);
    return p ? qv__load_u32(p) : 0;
}

uint64_t qv__read_u64(struct qv__reader *r)
{
    const uint8_t *p = take(r, 8);
    return p ? qv__load_u64(p) : 0;
}

double qv__read_f64(struct qv__reader *r)
{
    uint64_t bits = qv__read_u64(r);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

uint64_t qv__read_varint(struct qv__reader *r)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < VARINT_MAX; i++) {
        const uint8_t *p = take(r, 1);
        if (!p) {
            return 0;
        }
        uint64_t low = *p & 0x7f;
        if (*p & 0x80) {
            v |= low << (7 * i);
            continue;
        }
        /* One number has one form: no bits beyond 64, no leading zero bytes. */
        if ((i == VARINT_MAX - 1 && low > 1) || (i > 0 && low == 0)) {
            break;
        }
        return v | low << (7 * i);
    }
    r->failed = true;
    r->p = r->end;
    return 0;
}

const uint8_t *qv__read_bytes(struct qv__reader *r, size_t n)
{
    return take(r, n);
}

struct qv__str qv__read_str(struct qv__reader *r)
{
    uint64_t n = qv__read_varint(r);
    const uint8_t *p = n <= SIZE_MAX ? take(r, (size_t)n) : NULL;
    if (!p) {
        r->failed = true;
        return (struct qv__str){"", 0};
    }
    return (struct qv__str){(const char *)p, (size_t)n};
}
