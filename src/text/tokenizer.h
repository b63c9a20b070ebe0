/* tokenizer.h: text to words.
 *
 * What it is: the tokenizers of text indexes, as an iterator that takes no memory: split at white
 * space, or at what is neither letter, mark nor digit; beginnings of words; lower case. Characters
 * are Unicode's, by the tables of utf8proc. What it is not: stemming, or splitting
 * where a script writes none between words.
 *
 * A word is of at most QV__TOKEN_MAX bytes: a longer one is no word, of documents or of queries.
 * Bytes that are not UTF-8 separate. Threads: any (an iterator is one thread's). */
#ifndef QV_TEXT_TOKENIZER_H
#define QV_TEXT_TOKENIZER_H

#include "base/qctx.h"
#include "text/stopwords.h"

#define QV__TOKEN_MAX 512u

struct qv__tokenizer {
    enum {
        QV__TOKENIZE_WORD = 1, /* stored in signatures: never renumbered */
        QV__TOKENIZE_WHITESPACE,
        QV__TOKENIZE_PREFIX /* documents: of each word the beginnings of min_len to max_len
                               characters; queries: the first max_len characters */
    } kind;
    bool lowercase;
    uint32_t min_len, max_len; /* characters; words outside are left out; max_len 0 = any */
    /* Words left out, compared in lower case where there is no other; NULL = none; borrowed. */
    const struct qv__stopwords *stop;
};
/* Indexes of equal signatures hold equal words: the settings, and the version of Unicode. */
uint64_t qv__tokenizer_signature(const struct qv__tokenizer *t);

/* A word as tokens of it are: in lower case if asked for; QV__TOKEN_MAX bytes at most. In the
 * arena; false: no memory. */
bool qv__token_fold(struct qv__arena *arena, struct qv__str word, bool lowercase,
                    struct qv__str *out);

enum qv__text_side { QV__TEXT_DOCUMENT, QV__TEXT_QUERY };

/* May be copied, to come back to where it is. */
struct qv__tokens {
    const struct qv__tokenizer *t;
    const char *p, *end;
    enum qv__text_side side;
    uint32_t chars, next; /* PREFIX: characters of the word, and of its next beginning; 0 = none */
    uint32_t n, at;       /* bytes of the word, and of its last beginning */
    char word[QV__TOKEN_MAX];
};
/* `text` is borrowed for as long as the iterator is used. */
void qv__tokens_init(struct qv__tokens *x, const struct qv__tokenizer *t, enum qv__text_side side,
                     struct qv__str text);
/* The next word, valid until the next call; false at the end. */
bool qv__tokens_next(struct qv__tokens *x, struct qv__str *out);

/* Does the text have all words of the query, one of them, or all of them one after the other? A
 * query without words is met by no text. That takes the words of the one times those of the other,
 * as `steps` allow; NULL: as it may. */
bool qv__text_has_all(const struct qv__tokenizer *t, struct qv__str text, struct qv__str query,
                      struct qv__steps *steps);
bool qv__text_has_any(const struct qv__tokenizer *t, struct qv__str text, struct qv__str query,
                      struct qv__steps *steps);
bool qv__text_has_phrase(const struct qv__tokenizer *t, struct qv__str text, struct qv__str query,
                         struct qv__steps *steps);

#endif
