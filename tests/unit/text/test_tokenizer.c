/* Words of texts by every tokenizer, and what a text is said to have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rng.h"
#include "text/tokenizer.h"

static const struct qv__tokenizer word = {.kind = QV__TOKENIZE_WORD, .lowercase = true};
static const struct qv__tokenizer cased = {.kind = QV__TOKENIZE_WORD};
static const struct qv__tokenizer blank = {.kind = QV__TOKENIZE_WHITESPACE, .lowercase = true};
static const struct qv__tokenizer prefix = {
    .kind = QV__TOKENIZE_PREFIX, .lowercase = true, .min_len = 1, .max_len = 4};

static void words_at(const struct qv__tokenizer *t, enum qv__text_side side, const char *text,
                     const char *want, int line)
{
    struct qv__tokens x;
    struct qv__str w;
    char got[1024] = "";
    size_t n = 0;
    qv__tokens_init(&x, t, side, qv__str_z(text));
    while (qv__tokens_next(&x, &w)) {
        n += (size_t)snprintf(got + n, sizeof got - n, "%s%.*s", n ? "|" : "", (int)w.n, w.p);
    }
    if (strcmp(got, want) != 0) {
        fail_msg("line %d: %s\nwanted %s", line, got, want);
    }
}
#define words(t, text, want)   words_at(t, QV__TEXT_DOCUMENT, text, want, __LINE__)
#define queried(t, text, want) words_at(t, QV__TEXT_QUERY, text, want, __LINE__)

static void splits(void **state)
{
    (void)state;
    words(&word, "hello, world! Привет, МИР!", "hello|world|привет|мир");
    words(&cased, "Hello, МИР!", "Hello|МИР");
    words(&blank, "  hello,\tWORLD!\u00a0Привет,\u3000мир! ", "hello,|world!|привет,|мир!");
    words(&word, "you'll be in town-7a", "you|ll|be|in|town|7a");
    words(&word, "", "");
    words(&word, " \n.,", "");
    words(&blank, " \n", "");
    words(&word, "हिन्दी भाषा", "हिन्दी|भाषा"); /* marks and viramas are within words */
    words(&word, "e\u0301te\u0301 \u2167 \u00bd x\u00b2", "e\u0301te\u0301|\u2177|\u00bd|x\u00b2");
    words(&word, "ΟΔΟΣ οδος ΟΔΟΣ.", "οδοσ|οδοσ|οδοσ");
    words(&word, "ÄÖÜ straße", "äöü|straße");
    words(&word, "今天是星期一 ok", "今天是星期一|ok");
    words(&word,
          "a\xff"
          "b\xc3(c \xe2\x82",
          "a|b|c"); /* not UTF-8: separates */
}

static void stopwords(void **state)
{
    static const struct qv__str own[] = {{"lazy", 4}, {"of", 2}, {"robot", 5}};
    static const struct qv__stopwords english = {.languages = QV__STOP_ENGLISH};
    static const struct qv__stopwords both = {.languages = QV__STOP_ENGLISH, .words = own, .n = 3};
    static const struct qv__stopwords custom = {.words = own, .n = 3};
    struct qv__tokenizer t = word;
    (void)state;
    uint64_t plain = qv__tokenizer_signature(&t);
    t.stop = &english;
    assert_true(qv__tokenizer_signature(&t) != plain);
    words(&t, "The robot OF the star", "robot|star");
    words(&t, "a about couldn cannot, don't it's I'll me myself then; yours yourselves", "");
    t.stop = &custom;
    words(&t, "The robot OF the star", "the|the|star");
    uint64_t list = qv__tokenizer_signature(&t);
    t.stop = &both;
    words(&t, "The robot OF the star", "star");
    assert_true(qv__tokenizer_signature(&t) != list);
    struct qv__str some[] = {{"b", 1}, {"a", 1}, {"b", 1}};
    uint32_t n = 3;
    qv__stopwords_sort(some, &n);
    assert_true(n == 2 && some[0].p[0] == 'a' && some[1].p[0] == 'b');
    assert_int_equal(qv__stopwords_language(QV__STR("english")), QV__STOP_ENGLISH);
    assert_int_equal(qv__stopwords_language(QV__STR("latin")), 0);
}

static void lengths(void **state)
{
    struct qv__tokenizer t = {.kind = QV__TOKENIZE_WORD, .min_len = 2, .max_len = 3};
    (void)state;
    words(&t, "a bc def ghij ñü", "bc|def|ñü");
    words(&prefix, "hello, мир!", "h|he|hel|hell|м|ми|мир");
    queried(&prefix, "Hello, мир! h", "hell|мир|h");
    struct qv__tokenizer p = {.kind = QV__TOKENIZE_PREFIX, .min_len = 3, .lowercase = true};
    words(&p, "hello ab", "hel|hell|hello");
    queried(&p, "hello he", "hello");
    p.max_len = 2;
    words(&p, "hello", "");
    p = (struct qv__tokenizer){.kind = QV__TOKENIZE_PREFIX};
    words(&p, "abc", "a|ab|abc");
    queried(&p, "abc", "abc");
}

static void long_words(void **state)
{
    static char text[4096];
    struct qv__tokens x;
    struct qv__str w;
    (void)state;
    memset(text, 'x', sizeof text);
    text[0] = 'a';
    text[1] = text[2 + QV__TOKEN_MAX] = text[4 + 2 * QV__TOKEN_MAX] = ' ';
    text[4095] = 'z';
    text[4094] = ' ';
    qv__tokens_init(&x, &word, QV__TEXT_DOCUMENT, (struct qv__str){text, sizeof text});
    assert_true(qv__tokens_next(&x, &w) && w.n == 1);
    assert_true(qv__tokens_next(&x, &w) && w.n == QV__TOKEN_MAX);
    assert_true(qv__tokens_next(&x, &w) && w.n == 1); /* one byte too many, and many: no words */
    assert_int_equal(w.p[0], 'z');
    assert_false(qv__tokens_next(&x, &w));
    assert_false(qv__tokens_next(&x, &w));
}

static void questions(void **state)
{
    const struct qv__str text = QV__STR("The quick brown fox: very, very quick!");
    (void)state;
    assert_true(qv__text_has_all(&word, text, QV__STR("QUICK fox"), NULL));
    assert_false(qv__text_has_all(&word, text, QV__STR("quick dog"), NULL));
    assert_false(qv__text_has_all(&word, text, QV__STR("qui"), NULL));
    assert_true(qv__text_has_all(&prefix, text, QV__STR("qui"), NULL));
    assert_false(qv__text_has_all(&prefix, text, QV__STR("uick"), NULL));
    assert_false(qv__text_has_all(&cased, text, QV__STR("the"), NULL));
    assert_true(qv__text_has_any(&word, text, QV__STR("dog fox"), NULL));
    assert_false(qv__text_has_any(&word, text, QV__STR("dog fo"), NULL));
    assert_true(qv__text_has_phrase(&word, text, QV__STR("quick brown fox"), NULL));
    assert_true(qv__text_has_phrase(&word, text, QV__STR("very Very QUICK"), NULL));
    assert_false(qv__text_has_phrase(&word, text, QV__STR("brown quick"), NULL));
    assert_false(qv__text_has_phrase(&word, text, QV__STR("very quick brown"), NULL));
    /* nothing asked is nothing met */
    assert_false(qv__text_has_all(&word, text, QV__STR(" ,"), NULL));
    assert_false(qv__text_has_any(&word, text, QV__STR(""), NULL));
    assert_false(qv__text_has_phrase(&word, text, QV__STR(""), NULL));
    assert_false(qv__text_has_all(&word, QV__STR(""), QV__STR("a"), NULL));
}

static void signatures(void **state)
{
    struct qv__tokenizer t = word;
    (void)state;
    assert_true(qv__tokenizer_signature(&t) == qv__tokenizer_signature(&word));
    t.min_len = 1;
    assert_true(qv__tokenizer_signature(&t) != qv__tokenizer_signature(&word));
    assert_true(qv__tokenizer_signature(&cased) != qv__tokenizer_signature(&word));
    assert_true(qv__tokenizer_signature(&blank) != qv__tokenizer_signature(&word));
}

/* Any bytes: words within limits, the end is reached. */
static void any_bytes(void **state)
{
    static const struct qv__tokenizer *const all[] = {&word, &cased, &blank, &prefix};
    struct qv__rng rng;
    (void)state;
    qv__rng_seed(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        char text[64];
        size_t n = qv__rng_below(&rng, sizeof text);
        for (size_t k = 0; k < n; k++) {
            text[k] = (char)(qv__rng_below(&rng, 3) ? 0xc0 | qv__rng_below(&rng, 64)
                                                    : qv__rng_below(&rng, 256));
        }
        struct qv__tokens x;
        struct qv__str w;
        size_t met = 0;
        qv__tokens_init(&x, all[i % 4], i % 3 ? QV__TEXT_QUERY : QV__TEXT_DOCUMENT,
                        (struct qv__str){text, n});
        while (qv__tokens_next(&x, &w)) {
            assert_true(w.n > 0 && w.n <= QV__TOKEN_MAX);
            met++;
        }
        assert_true(met <= 4 * n);
    }
}

/* However often a query repeats its words, and whatever they are folded to. */
static void test_repeated_words(void **state)
{
    static const struct qv__tokenizer t = {.kind = QV__TOKENIZE_WORD, .lowercase = true};
    char query[40000];
    size_t n = 0;
    (void)state;
    for (int i = 0; i < 1500; i++) { /* more than are remembered */
        n += (size_t)snprintf(query + n, sizeof query - n, "w%d W%d same, SAME ", i, i / 2);
    }
    struct qv__str q = {query, n}, text = {query, n};
    assert_true(qv__text_has_all(&t, text, q, NULL));
    assert_true(qv__text_has_any(&t, QV__STR("w1499"), q, NULL));
    assert_true(qv__text_has_any(&t, QV__STR("x SAME"), q, NULL));
    assert_false(qv__text_has_any(&t, QV__STR("w1500 sam"), q, NULL));
    assert_false(qv__text_has_all(&t, (struct qv__str){query, n - 30}, q, NULL));
}

/* Steps end in the middle of a text. */
static void test_steps(void **state)
{
    static const struct qv__tokenizer t = {.kind = QV__TOKENIZE_WORD};
    enum { LONG = 1 << 18 };
    _Atomic bool cancel = true;
    struct qv__qctx ctx = {.cancel = &cancel};
    (void)state;
    char *p = malloc(LONG);
    for (size_t i = 0; i < LONG; i++) {
        p[i] = i % 2 ? ' ' : 'a';
    }
    p[LONG - 2] = 'b';
    struct qv__str text = {p, LONG}, b = QV__STR("b"), ab = QV__STR("a a b");
    for (int how = 0; how < 3; how++) {
        for (int ends = 0; ends < 2; ends++) {
            struct qv__steps steps = {.q = &ctx};
            cancel = ends;
            bool found = how == 0   ? qv__text_has_all(&t, text, b, &steps)
                         : how == 1 ? qv__text_has_any(&t, text, b, &steps)
                                    : qv__text_has_phrase(&t, text, ab, &steps);
            assert_int_equal(found, !ends);
            assert_int_equal(steps.status, ends ? QV_ECANCELLED : QV_OK);
            cancel = false; /* once is for good */
            assert_int_equal(qv__steps_on(&steps, 1), !ends);
        }
    }
    free(p);
}

/* What lies between the words of a question is looked at again and again: it takes steps, too. */
static void test_steps_of_gaps(void **state)
{
    static const struct qv__tokenizer t = {.kind = QV__TOKENIZE_WORD};
    enum { GAP = 30000, WORDS = 1000 };
    _Atomic bool cancel = true;
    struct qv__qctx ctx = {.cancel = &cancel};
    struct qv__steps steps = {.q = &ctx};
    static char text[2 * WORDS], phrase[GAP + 2], words[GAP + 2 * WORDS];
    (void)state;
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = i % 2 ? ' ' : 'a';
    }
    memset(phrase, ' ', sizeof phrase);
    phrase[0] = 'a';
    phrase[sizeof phrase - 1] = 'b';
    struct qv__str all = {text, sizeof text};
    assert_false(qv__text_has_phrase(&t, all, (struct qv__str){phrase, sizeof phrase}, &steps));
    assert_int_equal(steps.status, QV_ECANCELLED);
    memset(words, ' ', GAP);
    memcpy(words + GAP, text, sizeof text);
    steps = (struct qv__steps){.q = &ctx};
    (void)qv__text_has_all(&t, QV__STR("a"), (struct qv__str){words, sizeof words}, &steps);
    assert_int_equal(steps.status, QV_ECANCELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits),     cmocka_unit_test(stopwords),
        cmocka_unit_test(lengths),    cmocka_unit_test(long_words),
        cmocka_unit_test(questions),  cmocka_unit_test(signatures),
        cmocka_unit_test(any_bytes),  cmocka_unit_test(test_repeated_words),
        cmocka_unit_test(test_steps), cmocka_unit_test(test_steps_of_gaps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
