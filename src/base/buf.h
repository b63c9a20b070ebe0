/* buf.h: a growable byte buffer with a sticky error, and a bounded reader.
 *
 * What it is: the one way to build output (JSON, records, files) and to take apart foreign bytes.
 * Writers need not check every append: a failure sets `failed`, later appends do nothing, and the
 * caller asks once at the end. Readers never pass the end: a short read sets `failed` and gives 0.
 * All numbers are little endian. Threads: one at a time per object. */
#ifndef QV_BASE_BUF_H
#define QV_BASE_BUF_H

#include <stdarg.h>

#include "base/alloc.h"

struct qv__buf {
    struct qv__mem *mem;
    uint8_t *p;
    size_t n; /* bytes used */
    size_t cap;
    size_t limit; /* largest n allowed; 0 = none */
    bool failed;  /* memory or limit refused an append; contents are incomplete */
    bool too_big; /* it was the limit */
};

void qv__buf_init(struct qv__buf *b, struct qv__mem *mem);
void qv__buf_free(struct qv__buf *b);
static inline void qv__buf_reset(struct qv__buf *b)
{
    b->n = 0;
    b->failed = false;
    b->too_big = false;
}
/* Make room for n more bytes; returns the place to write to, or NULL (and failed). Commit by n. */
uint8_t *qv__buf_reserve(struct qv__buf *b, size_t n);
void qv__buf_put(struct qv__buf *b, const void *data, size_t n);
void qv__buf_putz(struct qv__buf *b, const char *z);
void qv__buf_putc(struct qv__buf *b, char c);
void qv__buf_printf(struct qv__buf *b, const char *fmt, ...) QV_PRINTF(2, 3);
void qv__buf_vprintf(struct qv__buf *b, const char *fmt, va_list ap) QV_PRINTF(2, 0);
void qv__buf_u8(struct qv__buf *b, uint8_t v);
void qv__buf_u16(struct qv__buf *b, uint16_t v);
void qv__buf_u32(struct qv__buf *b, uint32_t v);
void qv__buf_u64(struct qv__buf *b, uint64_t v);
void qv__buf_f64(struct qv__buf *b, double v);
void qv__buf_varint(struct qv__buf *b, uint64_t v); /* LEB128 */
/* varint length, then the bytes */
void qv__buf_str(struct qv__buf *b, struct qv__str s);
/* Zero bytes up to a multiple of `align`. */
void qv__buf_pad(struct qv__buf *b, size_t align);
static inline struct qv__bytes qv__buf_bytes(const struct qv__buf *b)
{
    return (struct qv__bytes){b->p, b->n};
}
/* QV_OK, or QV_ENOMEM / QV_ETOOBIG when an append failed. */
qv_status qv__buf_status(const struct qv__buf *b, struct qv_err *err);

static inline void qv__store_u16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void qv__store_u32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void qv__store_u64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline uint16_t qv__load_u16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint32_t qv__load_u32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint64_t qv__load_u64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "formats are little endian; add swaps here");

struct qv__reader {
    const uint8_t *p, *end;
    bool failed;
};

static inline struct qv__reader qv__reader_of(const void *p, size_t n)
{
    /* NULL with n = 0 is an empty input; adding 0 to NULL is undefined in C. */
    const uint8_t *b = (const uint8_t *)p;
    return (struct qv__reader){b, n ? b + n : b, false};
}
static inline size_t qv__reader_left(const struct qv__reader *r)
{
    return (size_t)(r->end - r->p);
}
uint8_t qv__read_u8(struct qv__reader *r);
uint16_t qv__read_u16(struct qv__reader *r);
uint32_t qv__read_u32(struct qv__reader *r);
uint64_t qv__read_u64(struct qv__reader *r);
double qv__read_f64(struct qv__reader *r);
uint64_t qv__read_varint(struct qv__reader *r);
/* n bytes in place, or NULL (and failed). */
const uint8_t *qv__read_bytes(struct qv__reader *r, size_t n);
struct qv__str qv__read_str(struct qv__reader *r);

#endif
