#include "text/stopwords.h"

#include <stdlib.h>

#include "base/alloc.h"

/* Articles, pronouns, prepositions, conjunctions, auxiliaries; and what is left of contractions
 * where text is split at apostrophes. Sorted. */
static const char *const english[] = {
    "a",          "about",   "above",     "after",   "again",    "against",    "all",     "also",
    "am",         "an",      "and",       "any",     "are",      "aren",       "as",      "at",
    "be",         "because", "been",      "before",  "being",    "below",      "between", "both",
    "but",        "by",      "can",       "cannot",  "could",    "couldn",     "d",       "did",
    "didn",       "do",      "does",      "doesn",   "doing",    "don",        "down",    "during",
    "each",       "either",  "few",       "for",     "from",     "further",    "had",     "hadn",
    "has",        "hasn",    "have",      "haven",   "having",   "he",         "her",     "here",
    "hers",       "herself", "him",       "himself", "his",      "how",        "i",       "if",
    "in",         "into",    "is",        "isn",     "it",       "its",        "itself",  "just",
    "ll",         "m",       "me",        "might",   "more",     "most",       "must",    "mustn",
    "my",         "myself",  "needn",     "neither", "no",       "nor",        "not",     "now",
    "of",         "off",     "on",        "once",    "only",     "onto",       "or",      "other",
    "our",        "ours",    "ourselves", "out",     "over",     "own",        "re",      "s",
    "same",       "shall",   "she",       "should",  "shouldn",  "since",      "so",      "some",
    "such",       "t",       "than",      "that",    "the",      "their",      "theirs",  "them",
    "themselves", "then",    "there",     "these",   "they",     "this",       "those",   "though",
    "through",    "thus",    "to",        "too",     "under",    "until",      "up",      "upon",
    "us",         "ve",      "very",      "was",     "wasn",     "we",         "were",    "weren",
    "what",       "when",    "where",     "whether", "which",    "while",      "who",     "whom",
    "whose",      "why",     "will",      "with",    "within",   "without",    "won",     "would",
    "wouldn",     "you",     "your",      "yours",   "yourself", "yourselves",
};

uint32_t qv__stopwords_language(struct qv__str name)
{
    return qv__str_eq(name, QV__STR("english")) ? QV__STOP_ENGLISH : 0;
}

static bool in_list(const char *const *list, size_t n, struct qv__str word)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = qv__str_cmp(qv__str_z(list[mid]), word);
        if (c == 0) {
            return true;
        }
        low = c < 0 ? mid + 1 : low;
        high = c < 0 ? high : mid;
    }
    return false;
}

static int by_text(const void *a, const void *b)
{
    return qv__str_cmp(*(const struct qv__str *)a, *(const struct qv__str *)b);
}

bool qv__stopwords_has(const struct qv__stopwords *s, struct qv__str word)
{
    return ((s->languages & QV__STOP_ENGLISH) && in_list(english, QV_ARRAY_LEN(english), word)) ||
           (s->n && bsearch(&word, s->words, s->n, sizeof word, by_text));
}

struct qv__stopwords *qv__stopwords_copy(struct qv__mem *mem, const struct qv__stopwords *s)
{
    size_t bytes = sizeof *s + s->n * sizeof *s->words;
    for (uint32_t i = 0; i < s->n; i++) {
        bytes += s->words[i].n;
    }
    struct qv__stopwords *copy = qv__alloc(mem, bytes);
    if (!copy) {
        return NULL;
    }
    struct qv__str *words = (struct qv__str *)(void *)(copy + 1);
    char *text = (char *)(words + s->n);
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->words[i].n) {
            memcpy(text, s->words[i].p, s->words[i].n);
        }
        words[i] = (struct qv__str){text, s->words[i].n};
        text += s->words[i].n;
    }
    *copy = (struct qv__stopwords){.languages = s->languages, .words = words, .n = s->n};
    return copy;
}

void qv__stopwords_sort(struct qv__str *words, uint32_t *n)
{
    uint32_t kept = 0;
    if (*n) {
        qsort(words, *n, sizeof *words, by_text);
    }
    for (uint32_t i = 0; i < *n; i++) {
        if (kept == 0 || !qv__str_eq(words[kept - 1], words[i])) {
            words[kept++] = words[i];
        }
    }
    *n = kept;
}
