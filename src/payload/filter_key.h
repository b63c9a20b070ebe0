/* filter_key.h: a filter as bytes, so that equal filters are found again.
 *
 * What it is: one unambiguous writing of a filter tree. Two filters with the same bytes match the
 * same rows. What it is not: a form to read back, or to store; and not canonical: the same clauses
 * in another order are other bytes. */
#ifndef QV_PAYLOAD_FILTER_KEY_H
#define QV_PAYLOAD_FILTER_KEY_H

#include "payload/filter.h"

#define QV__FILTER_KEY_MAX 4096u /* longer ones are not worth keeping */

/* Append the bytes of `f`. False, with anything in `out`: too long, no memory, or what matches
 * depends on more than the row: on the reader's instant (ids) or schema (vectors, words of texts).
 */
bool qv__filter_key(const struct qv__filter *f, struct qv__buf *out);

#endif
