/* stopwords.h: words that say little and are left out of an index of text and of queries of it.
 *
 * What it is: a set of words: those of languages, and a list of one's own. What it is not: a judge
 * of which words these should be, beyond a plain list of a language's particles. Threads: any
 * (immutable). */
#ifndef QV_TEXT_STOPWORDS_H
#define QV_TEXT_STOPWORDS_H

#include "base/arena.h"

#define QV__STOPWORDS_MAX 10000u /* of one's own */

enum { QV__STOP_ENGLISH = 1u << 0 }; /* stored in signatures: never renumbered */

struct qv__stopwords {
    uint32_t languages;
    const struct qv__str *words; /* sorted */
    uint32_t n;
};

/* A language by its name ("english"); 0 = none that is built. */
uint32_t qv__stopwords_language(struct qv__str name);
bool qv__stopwords_has(const struct qv__stopwords *s, struct qv__str word);
/* A set of its own memory, one block to be freed with qv__free; NULL without memory. */
struct qv__stopwords *qv__stopwords_copy(struct qv__mem *mem, const struct qv__stopwords *s);
/* Sort, drop doubles; the words' text is left where it is. */
void qv__stopwords_sort(struct qv__str *words, uint32_t *n);

#endif
