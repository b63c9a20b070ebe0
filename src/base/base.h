/* base.h: the words every other file uses: integer types, attributes, checks, error filling.
 *
 * What it is: macros and the small inline functions that have no home of their own.
 * What it is not: a grab bag; anything with state has its own header in this folder. */
#ifndef QV_BASE_BASE_H
#define QV_BASE_BASE_H

#include <inttypes.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "quiver/status.h"

#define QV_LIKELY(x)                       __builtin_expect(!!(x), 1)
#define QV_UNLIKELY(x)                     __builtin_expect(!!(x), 0)
#define QV_ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))
#define QV_MIN(a, b)                       QV__PICK(a, <, b, QV__PASTE(qv_a, __COUNTER__), QV__PASTE(qv_b, __COUNTER__))
#define QV_MAX(a, b)                       QV__PICK(a, >, b, QV__PASTE(qv_a, __COUNTER__), QV__PASTE(qv_b, __COUNTER__))
#define QV_ALIGN_UP(n, to)                 (((n) + ((to)-1)) & ~((size_t)(to)-1))
#define QV_UNUSED                          __attribute__((unused))
#define QV_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Of QV_MIN and QV_MAX. Each argument is evaluated once: an atomic that is read twice may be on the
 * wrong side of the bound the second time. Names are unique, so that they nest. */
#define QV__PICK(a, op, b, x, y)                                                                   \
    __extension__({                                                                                \
        __typeof__(0 ? (a) : (b)) x = (a), y = (b);                                                \
        x op y ? x : y;                                                                            \
    })
#define QV__PASTE(a, b)  QV__PASTE2(a, b)
#define QV__PASTE2(a, b) a##b

/* Return the status of a failing expression at once. For functions that hold no resources. */
#define QV_TRY(expr)                                                                               \
    do {                                                                                           \
        qv_status qv_try_status_ = (expr);                                                         \
        if (QV_UNLIKELY(qv_try_status_ != QV_OK)) {                                                \
            return qv_try_status_;                                                                 \
        }                                                                                          \
    } while (0)

/* Same, for functions with a cleanup block: sets `st` (a local qv_status) and jumps to `out`. */
#define QV_GOTO(expr)                                                                              \
    do {                                                                                           \
        st = (expr);                                                                               \
        if (QV_UNLIKELY(st != QV_OK)) {                                                            \
            goto out;                                                                              \
        }                                                                                          \
    } while (0)

/* An assertion about our own code, on in every build. Bytes from outside never reach one. */
#define QV_ASSERT(cond)                                                                            \
    do {                                                                                           \
        if (QV_UNLIKELY(!(cond))) {                                                                \
            qv__assert_failed(#cond, __FILE__, __LINE__);                                          \
        }                                                                                          \
    } while (0)

#ifdef NDEBUG
#define QV_DEBUG_ASSERT(cond) ((void)0)
#else
#define QV_DEBUG_ASSERT(cond) QV_ASSERT(cond)
#endif

_Noreturn void qv__assert_failed(const char *cond, const char *file, int line);

/* Borrowed text and borrowed bytes; never NUL-terminated by promise. */
struct qv__str {
    const char *p;
    size_t n;
};
struct qv__bytes {
    const uint8_t *p;
    size_t n;
};

#define QV__STR(literal) ((struct qv__str){(literal), sizeof(literal) - 1})

static inline struct qv__str qv__str_z(const char *z)
{
    return (struct qv__str){z, z ? strlen(z) : 0};
}

static inline bool qv__str_eq(struct qv__str a, struct qv__str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* Order by bytes, then by length. Returns <0, 0, >0. */
static inline int qv__str_cmp(struct qv__str a, struct qv__str b)
{
    size_t n = QV_MIN(a.n, b.n);
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* Fill `err` (may be NULL) with a code and a formatted message; returns `code`, so that a failing
 * function can say `return qv__fail(err, QV_EINVAL, "limit: %zu is over %zu", …)`. */
qv_status qv__fail(struct qv_err *err, qv_status code, const char *fmt, ...) QV_PRINTF(3, 4);

/* Same with an errno, whose text is appended. Maps ENOSPC, EDQUOT and EFBIG to QV_ENOSPC and ENOMEM
 * to QV_ENOMEM whatever `code` says. */
qv_status qv__fail_os(struct qv_err *err, qv_status code, int os_errno, const char *fmt, ...)
    QV_PRINTF(4, 5);

/* Put "prefix: " before the message already in `err` (may be NULL), or before the text of `code`
 * when there is none yet; err's code becomes `code`, which is returned. */
qv_status qv__wrap(struct qv_err *err, qv_status code, const char *fmt, ...) QV_PRINTF(3, 4);

/* Checked arithmetic on sizes: true when the result fits. */
static inline bool qv__mul_ok(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool qv__add_ok(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

#endif
