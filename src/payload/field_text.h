/* field_text.h: words of a block of a field index; inside this folder only. */
#ifndef QV_PAYLOAD_FIELD_TEXT_H
#define QV_PAYLOAD_FIELD_TEXT_H

#include "base/arena.h"
#include "base/map.h"
#include "payload/field_impl.h"

/* The words of a block while it is built. NULL without memory; free is NULL-safe. */
struct qv__words;
struct qv__words *qv__words_create(const struct qv__tokenizer *t, struct qv__mem *mem);
void qv__words_free(struct qv__words *w);
/* Words of one more string of a row; rows come rising. TOO_MANY: not all of them are held. */
enum qv__words_added { QV__WORDS_ADDED, QV__WORDS_TOO_MANY, QV__WORDS_NO_MEMORY };
enum qv__words_added qv__words_add(struct qv__words *w, uint32_t row, struct qv__str text);
/* As of qv__terms_write. */
void qv__words_write(struct qv__words *w, size_t origin, struct qv__field_head *h,
                     struct qv__buf *out);

/* Rows that meet a condition on text (lo), and those that may (up). False: it is none, and nothing
 * was done. */
bool qv__words_match(const struct qv__field_block *b, const struct qv__cond *c, uint64_t *lo,
                     uint64_t *up, struct qv__steps *steps);

#endif
