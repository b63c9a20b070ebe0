/* value_write.h: writing payload values into a buffer; inside this folder only.
 *
 * What it is: scalars, keys, copies of encoded values, and containers whose length and count are
 * put in front once they are known. A container's head is reserved as its usual two bytes; a longer
 * head moves the contents up, which costs a copy of bigger containers and nothing for small ones.
 * Errors: the buffer's sticky failure; qv__vw_end also answers false when 4 GiB are passed. */
#ifndef QV_PAYLOAD_VALUE_WRITE_H
#define QV_PAYLOAD_VALUE_WRITE_H

#include "payload/wire.h"

void qv__vw_i64(struct qv__buf *b, int64_t v);
void qv__vw_u64(struct qv__buf *b, uint64_t v); /* I64 when it fits */
void qv__vw_f64(struct qv__buf *b, double v);
void qv__vw_bool(struct qv__buf *b, bool v);
void qv__vw_null(struct qv__buf *b);
void qv__vw_str(struct qv__buf *b, struct qv__str s);
/* Open a container; the result goes to qv__vw_end with the number of members written in between. */
size_t qv__vw_begin(struct qv__buf *b, enum qv__tag tag);
bool qv__vw_end(struct qv__buf *b, size_t mark, uint32_t count) QV_MUST_USE;

#endif
