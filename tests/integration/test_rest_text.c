/* test_rest_text.c: what conditions on text mean with an index of text and without; every
 * tokenizer; random texts against words split here, whatever is indexed by then. */
#include "test_rest.h"

#define WAIT  "?wait=true"
#define COUNT "/collections/c/points/count"

static void made(struct rest *t)
{
    good(t, "PUT", "/collections/c", "{\"vectors\":{\"size\":1,\"distance\":\"Dot\"}}", "true");
}

static void upsert(struct rest *t, int id, const char *payload)
{
    char body[512];
    snprintf(body, sizeof body, "{\"points\":[{\"id\":%d,\"vector\":[1],\"payload\":%s}]}", id,
             payload);
    has(t, "PUT", "/collections/c/points" WAIT, body, 200, "completed");
}

static void index_text(struct rest *t, const char *key, const char *settings)
{
    char body[256];
    snprintf(body, sizeof body, "{\"field_name\":\"%s\",\"field_schema\":{\"type\":\"text\"%s%s}}",
             key, *settings ? "," : "", settings);
    has(t, "PUT", "/collections/c/index" WAIT, body, 200, "completed");
}

static void count_at(struct rest *t, const char *key, const char *how, const char *text, int want,
                     int line)
{
    char body[512];
    snprintf(body, sizeof body,
             "{\"filter\":{\"must\":[{\"key\":\"%s\",\"match\":{\"%s\":\"%s\"}}]}}", key, how,
             text);
    char number[32];
    snprintf(number, sizeof number, "{\"count\":%d}", want);
    good_at(t, "POST", COUNT, body, number, line);
}
#define count(t, key, how, text, want) count_at(t, key, how, text, want, __LINE__)

static void some(struct rest *t)
{
    made(t);
    upsert(t, 1, "{\"s\":\"the quick brown Fox jumps over the lazy dog\"}");
    upsert(t, 2, "{\"s\":\"a quick brown cat, foxy\"}");
    upsert(t, 3, "{\"s\":[\"brown fox\",\"very quick\"]}");
    upsert(t, 4, "{\"s\":\"Über-Größe, ΟΔΟΣ\"}");
    upsert(t, 5, "{\"s\":7}");
    upsert(t, 6, "{\"list\":[{\"s\":\"red fox\",\"n\":1},{\"s\":\"blue cat\",\"n\":2}]}");
}

static void test_meaning(void **state)
{
    struct rest *t = *state;
    some(t);
    /* parts of strings */
    count(t, "s", "text", "ox", 3);
    count(t, "s", "text", "quick fox", 0);
    count(t, "s", "text_any", "cat dog", 2);
    count(t, "s", "phrase", "rown ca", 1);
    index_text(t, "s", "");
    /* words */
    count(t, "s", "text", "ox", 0);
    count(t, "s", "text", "FOX", 2);
    count(t, "s", "text", "quick fox", 1); /* of one string of the array, not of several */
    count(t, "s", "text", "brown fox", 2);
    count(t, "s", "text", "über größe", 1);
    count(t, "s", "text", "οδος", 1);
    count(t, "s", "text", "fox bird", 0);
    count(t, "s", "text_any", "cat dog", 2);
    count(t, "s", "text_any", "bird fo", 0);
    count(t, "s", "phrase", "quick brown", 2);
    count(t, "s", "phrase", "brown quick", 0);
    count(t, "s", "phrase", "fox very", 0);
    count(t, "s", "text", "", 0);
    count(t, "s", "text_any", " ., ", 0);
    count(t, "s", "phrase", "", 0);
    /* other conditions are as they were */
    count(t, "s", "prefix", "a qu", 1);
    count(t, "s", "value", "brown fox", 1);
    /* a path through objects, from outside and from inside */
    count(t, "list[].s", "text", "ox", 1);
    index_text(t, "list[].s", "\"lowercase\":false");
    count(t, "list[].s", "text", "ox", 0);
    count(t, "list[].s", "text", "fox", 1);
    count(t, "list[].s", "text", "Fox", 0);
    good(t, "POST", COUNT,
         "{\"filter\":{\"must\":{\"nested\":{\"key\":\"list\",\"filter\":{\"must\":[{\"key\":\"s\","
         "\"match\":{\"text\":\"cat\"}},{\"key\":\"n\",\"match\":{\"value\":2}}]}}}}}",
         "{\"count\":1}");
    good(t, "POST", COUNT,
         "{\"filter\":{\"must\":{\"nested\":{\"key\":\"list\",\"filter\":{\"must\":[{\"key\":\"s\","
         "\"match\":{\"text\":\"at\"}}]}}}}}",
         "{\"count\":0}");
    /* writes that select by it */
    has(t, "POST", "/collections/c/points/delete" WAIT,
        "{\"filter\":{\"must\":[{\"key\":\"s\",\"match\":{\"text\":\"foxy\"}}]}}", 200,
        "completed");
    count(t, "s", "text", "cat", 0);
    rest_reopen(t);
    count(t, "s", "text", "ox", 0);
    count(t, "s", "text", "fox brown", 2);
    /* without the index as before */
    has(t, "DELETE", "/collections/c/index/s" WAIT, NULL, 200, "completed");
    count(t, "s", "text", "ox", 2);
    count(t, "s", "text", "fox brown", 0);
}

/* Keys that are one path have one index. */
static void test_one_index_a_path(void **state)
{
    struct rest *t = *state;
    some(t);
    has(t, "PUT", "/collections/c/index" WAIT,
        "{\"field_name\":\"s\",\"field_schema\":\"keyword\"}", 200, "completed");
    count(t, "s", "text", "ox", 3);
    index_text(t, "\\\"s\\\"", "");
    count(t, "s", "text", "ox", 0);
    count(t, "s", "text", "fox", 2);
    has(t, "GET", "/collections/c", NULL, 200, "\"payload_schema\":{\"\\\"s\\\"\":{");
    has(t, "PUT", "/collections/c/index" WAIT,
        "{\"field_name\":\"s\",\"field_schema\":\"keyword\"}", 200, "completed");
    has(t, "GET", "/collections/c", NULL, 200, "\"payload_schema\":{\"s\":{");
    count(t, "s", "text", "ox", 3);
    has(t, "DELETE", "/collections/c/index/%22s%22" WAIT, NULL, 200, "completed");
    has(t, "GET", "/collections/c", NULL, 200, "\"payload_schema\":{}");
}

static void test_tokenizers(void **state)
{
    struct rest *t = *state;
    some(t);
    index_text(t, "s", "\"tokenizer\":\"whitespace\",\"lowercase\":true");
    count(t, "s", "text", "cat", 0);
    count(t, "s", "text", "cat,", 1);
    count(t, "s", "text", "fox dog", 1);
    index_text(t, "s", "\"tokenizer\":\"prefix\",\"min_token_len\":2,\"max_token_len\":4");
    count(t, "s", "text", "qu bro", 2);
    count(t, "s", "text", "q", 0);
    count(t, "s", "text", "jumping", 1); /* by its first four */
    count(t, "s", "text", "umps", 0);
    index_text(t, "s", "\"tokenizer\":\"word\",\"min_token_len\":4,\"max_token_len\":5");
    count(t, "s", "text", "fox", 0);
    count(t, "s", "text", "fox quick", 3); /* what is no word is not asked */
}

/* Words left out of the index and of what is asked. */
static void test_stopwords(void **state)
{
    struct rest *t = *state;
    made(t);
    upsert(t, 1, "{\"s\":\"The robot of the star\"}");
    upsert(t, 2, "{\"s\":\"of the ship\"}");
    upsert(t, 3, "{\"s\":\"A lazy dog, LAZY as it is\"}");
    index_text(t, "s", "\"stopwords\":\"english\"");
    count(t, "s", "text_any", "robot of the star", 1);
    count(t, "s", "text", "the robot is a star", 1);
    count(t, "s", "text", "of the", 0); /* nothing is asked */
    count(t, "s", "phrase", "robot star", 1);
    count(t, "s", "text", "LAZY", 1);
    /* One's own, as they are where case counts. */
    index_text(t, "s", "\"lowercase\":false,\"stopwords\":{\"custom\":[\"the\",\"The\",\"LAZY\"]}");
    count(t, "s", "text", "lazy", 1);
    count(t, "s", "text", "The", 0);
    count(t, "s", "text", "LAZY", 0);
    count(t, "s", "text_any", "LAZY of", 2);
    /* ... and in lower case where it does not; both together. */
    index_text(t, "s",
               "\"stopwords\":{\"languages\":[\"english\"],\"custom\":[\"ROBOT\",\"ship\"]}");
    count(t, "s", "text_any", "robot ship of", 0);
    count(t, "s", "text", "robot star", 1);
    has(t, "GET", "/collections/c", NULL, 200,
        "\"stopwords\":{\"languages\":[\"english\"],\"custom\":[\"ROBOT\",\"ship\"]}");
    has(t, "POST", "/collections/c/optimize", "{}", 200, "completed");
    rest_reopen(t);
    count(t, "s", "text_any", "robot ship of", 0);
    count(t, "s", "text", "robot star", 1);
    bad(t, "PUT", "/collections/c/index" WAIT,
        "{\"field_name\":\"s\",\"field_schema\":{\"type\":\"text\",\"stopwords\":{\"custom\":[1]}}"
        "}",
        400,
        "Format error in JSON body: field_schema.stopwords.custom: expected strings of at most 512 "
        "bytes");
    bad(t, "PUT", "/collections/c/index" WAIT,
        "{\"field_name\":\"s\",\"field_schema\":{\"type\":\"text\",\"stopwords\":7}}", 400,
        "Format error in JSON body: field_schema.stopwords: expected the name of a language, not "
        "an "
        "integer");
}

static void test_refused(void **state)
{
    struct rest *t = *state;
    made(t);
    static const char *const settings[][2] = {
        {"\"tokenizer\":\"multilingual\"", "field_schema.tokenizer: `multilingual`"},
        {"\"stemmer\":{\"type\":\"snowball\",\"language\":\"english\"}", "field_schema.stemmer"},
        {"\"stopwords\":\"klingon\"", "field_schema.stopwords: the language `klingon`"},
        {"\"ascii_folding\":true", "field_schema.ascii_folding"}};
    for (size_t i = 0; i < 4; i++) {
        char body[256], want[128];
        snprintf(body, sizeof body,
                 "{\"field_name\":\"s\",\"field_schema\":{\"type\":\"text\",%s}}", settings[i][0]);
        snprintf(want, sizeof want, "Not supported: %s: not supported by this version",
                 settings[i][1]);
        bad(t, "PUT", "/collections/c/index" WAIT, body, 501, want);
    }
    bad(t, "PUT", "/collections/c/index" WAIT,
        "{\"field_name\":\"s\",\"field_schema\":{\"type\":\"text\",\"min_token_len\":5,\"max_token_"
        "len\":4}}",
        422,
        "Validation error in JSON body: [field_schema.min_token_len: value 5 invalid, must not be "
        "above max_token_len, which is 4]");
}

/* --- at random --- */

enum { POINTS = 600, WORDS = 9, VOCABULARY = 12 };

static char texts[POINTS][128];
static const char *const vocabulary[VOCABULARY] = {"red",  "Red",  "fox",   "foxes", "a", "blue",
                                                   "bluE", "seas", "sea.x", "x",     "7", "of"};

static unsigned roll(unsigned *seed, unsigned n)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % n;
}

/* Lower words of a text, split at blanks and dots. */
static int split(const char *text, char out[][16])
{
    int n = 0, at = 0;
    for (const char *p = text;; p++) {
        if (*p && *p != ' ' && *p != '.') {
            out[n][at++] = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
        } else if (at) {
            out[n++][at] = 0;
            at = 0;
        }
        if (!*p) {
            return n;
        }
    }
}

static bool contains(char (*text)[16], int n, const char *word)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(text[i], word) == 0) {
            return true;
        }
    }
    return false;
}

static bool meets(const char *text, const char *how, const char *query)
{
    char t[32][16], q[32][16];
    int n = split(text, t), m = split(query, q), had = 0;
    if (strcmp(how, "phrase") == 0) {
        for (int i = 0; m && i + m <= n; i++) {
            int k = 0;
            while (k < m && strcmp(t[i + k], q[k]) == 0) {
                k++;
            }
            if (k == m) {
                return true;
            }
        }
        return false;
    }
    for (int i = 0; i < m; i++) {
        had += contains(t, n, q[i]);
    }
    return strcmp(how, "text") == 0 ? m && had == m : had > 0;
}

static void sentence(unsigned *seed, unsigned most, char *out)
{
    unsigned n = roll(seed, most + 1);
    *out = 0;
    for (unsigned i = 0; i < n; i++) {
        sprintf(out + strlen(out), "%s%s", i ? " " : "", vocabulary[roll(seed, VOCABULARY)]);
    }
}

static void test_random(void **state)
{
    static const char *const hows[] = {"text", "text_any", "phrase"};
    struct rest *t = *state;
    static char body[128 << 10];
    unsigned seed = 5;
    made(t);
    index_text(t, "s", "");
    for (int first = 0; first < POINTS; first += 100) {
        int n = sprintf(body, "{\"points\":[");
        for (int i = first; i < first + 100; i++) {
            sentence(&seed, WORDS, texts[i]);
            n += sprintf(body + n, "%s{\"id\":%d,\"vector\":[1],\"payload\":{\"s\":\"%s\"}}",
                         i > first ? "," : "", i, texts[i]);
        }
        sprintf(body + n, "]}");
        has(t, "PUT", "/collections/c/points" WAIT, body, 200, "completed");
    }
    for (int round = 0; round < 200; round++) {
        char query[128];
        const char *how = hows[round % 3];
        int want = 0;
        sentence(&seed, 3, query);
        for (int i = 0; i < POINTS; i++) {
            want += meets(texts[i], how, query);
        }
        count(t, "s", how, query, want);
        if (round == 100) {
            rest_reopen(t);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_meaning, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_one_index_a_path, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_tokenizers, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_stopwords, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_refused, rest_setup, rest_teardown),
        cmocka_unit_test_setup_teardown(test_random, rest_setup, rest_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
