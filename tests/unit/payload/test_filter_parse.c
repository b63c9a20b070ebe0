/* test_filter_parse.c: what is refused and with which words, the limits, and memory running out. */
#include "payload_test.h"

static qv_status parse(struct fixture *f, const char *text, struct qv_err *err)
{
    const struct qv__filter *filter = (const void *)f;
    qv_status st = qv__filter_parse(&f->arena, json(f, text), &filter, err);
    if (st != QV_OK) {
        assert_ptr_equal(filter, (const void *)f); /* untouched */
    }
    return st;
}

#define COND(c)  "{\"must\":[" c "]}"
#define KEYED(c) COND("{\"key\":\"a\"," c "}")
#define KNOWN                                                                                      \
    "key, match, range, geo_bounding_box, geo_radius, geo_polygon, values_count, is_empty, "       \
    "is_null, "                                                                                    \
    "has_id, has_vector, slice, nested, must, should, must_not, min_should"
#define P(lon, lat) "{\"lon\":" #lon ",\"lat\":" #lat "}"

static void messages(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *filter;
        qv_status status;
        const char *message;
    } cases[] = {
        /* filters and clauses */
        {"5", QV_EINVAL, "filter: expected an object, not an integer"},
        {"[]", QV_EINVAL, "filter: expected an object, not an array"},
        {"{\"musst\":[]}", QV_EINVAL,
         "filter: unknown key \"musst\"; expected one of must, should, must_not, min_should"},
        {"{\"must\":\"x\"}", QV_EINVAL,
         "filter.must: expected a condition or an array of conditions, not a string"},
        {"{\"should\":true}", QV_EINVAL,
         "filter.should: expected a condition or an array of conditions, not a boolean"},
        {"{\"must_not\":[5]}", QV_EINVAL,
         "filter.must_not[0]: expected a condition (an object), not an integer"},
        {"{\"must\":[{},null]}", QV_EINVAL,
         "filter.must[1]: expected a condition (an object), not null"},
        {"{\"min_should\":[]}", QV_EINVAL, "filter.min_should: expected an object, not an array"},
        {"{\"min_should\":{\"min_count\":1}}", QV_EINVAL,
         "filter.min_should.conditions: missing; expected an array of conditions"},
        {"{\"min_should\":{\"conditions\":{},\"min_count\":1}}", QV_EINVAL,
         "filter.min_should.conditions: expected an array of conditions, not an object"},
        {"{\"min_should\":{\"conditions\":[]}}", QV_EINVAL,
         "filter.min_should.min_count: missing; expected an integer above 0"},
        {"{\"min_should\":{\"conditions\":[],\"min_count\":1.5}}", QV_EINVAL,
         "filter.min_should.min_count: expected an integer above 0, not a number"},
        {"{\"min_should\":{\"conditions\":[],\"min_count\":-1}}", QV_EINVAL,
         "filter.min_should.min_count: expected an integer above 0, not an integer"},
        {"{\"min_should\":{\"conditions\":[],\"min_count\":0}}", QV_EVALIDATION,
         "filter.min_should.min_count: min_count must be greater than 0"},
        {"{\"min_should\":{\"conditions\":[],\"min_count\":1,\"x\":2}}", QV_EINVAL,
         "filter.min_should: unknown key \"x\"; expected one of conditions, min_count"},
        /* conditions */
        {COND("{\"kay\":\"a\"}"), QV_EINVAL,
         "filter.must[0]: unknown key \"kay\"; expected one of " KNOWN},
        {COND("{\"match\":{\"value\":1}}"), QV_EINVAL, "filter.must[0]: \"match\" needs a \"key\""},
        {COND("{\"range\":null}"), QV_EINVAL, "filter.must[0]: \"range\" needs a \"key\""},
        {COND("{\"key\":\"a\"}"), QV_EVALIDATION,
         "filter.must[0]: At least one field condition must be specified"},
        {COND("{\"key\":\"a\",\"match\":null}"), QV_EVALIDATION,
         "filter.must[0]: At least one field condition must be specified"},
        {"{\"must\":{\"key\":\"a\"}}", QV_EVALIDATION,
         "filter.must: At least one field condition must be specified"},
        {COND("{\"key\":5,\"match\":{\"value\":1}}"), QV_EINVAL,
         "filter.must[0].key: expected a string, not an integer"},
        {COND("{\"key\":null}"), QV_EINVAL, "filter.must[0].key: expected a string, not null"},
        {COND("{\"key\":\"a..b\",\"is_null\":true}"), QV_EINVAL,
         "filter.must[0].key: invalid path at byte 2: expected a key of letters, digits, '_' and "
         "'-'; quote others in \"a..b\""},
        {COND("{\"key\":\"\",\"is_null\":true}"), QV_EINVAL,
         "filter.must[0].key: invalid path at byte 0: a key is missing in \"\""},
        {KEYED("\"match\":{\"value\":1},\"range\":{\"gt\":1}"), QV_EINVAL,
         "filter.must[0]: \"match\" and \"range\" in one condition; give each a condition of its "
         "own"},
        {KEYED("\"is_null\":true,\"is_empty\":false"), QV_EINVAL,
         "filter.must[0]: \"is_empty\" and \"is_null\" in one condition; give each a condition of "
         "its "
         "own"},
        {KEYED("\"has_id\":[1]"), QV_EINVAL,
         "filter.must[0]: \"has_id\" cannot be given together with \"key\""},
        {KEYED("\"must\":[]"), QV_EINVAL,
         "filter.must[0]: \"must\" cannot be given together with \"key\""},
        {COND("{\"has_id\":[1],\"must\":[]}"), QV_EINVAL,
         "filter.must[0]: \"has_id\" and \"must\" in one condition; give each a condition of its "
         "own"},
        {COND("{\"has_id\":[1],\"has_vector\":\"\"}"), QV_EINVAL,
         "filter.must[0]: \"has_id\" and \"has_vector\" in one condition; give each a condition of "
         "its "
         "own"},
        {KEYED("\"is_empty\":{\"key\":\"a\"}"), QV_EINVAL,
         "filter.must[0].is_empty: expected a boolean, not an object"},
        {KEYED("\"is_null\":1"), QV_EINVAL,
         "filter.must[0].is_null: expected a boolean, not an integer"},
        {COND("{\"is_empty\":true}"), QV_EINVAL,
         "filter.must[0].is_empty: expected an object, not a boolean"},
        {COND("{\"is_empty\":null}"), QV_EINVAL,
         "filter.must[0].is_empty: expected an object, not null"},
        {COND("{\"is_empty\":{}}"), QV_EINVAL,
         "filter.must[0].is_empty.key: missing; expected a string"},
        {COND("{\"is_null\":{\"key\":\"a\",\"x\":1}}"), QV_EINVAL,
         "filter.must[0].is_null: unknown key \"x\"; expected one of key"},
        {COND("{\"is_null\":{\"key\":\"a[\"}}"), QV_EINVAL,
         "filter.must[0].is_null.key: invalid path at byte 2: expected an index or ']' in \"a[\""},
        /* match */
        {KEYED("\"match\":5"), QV_EINVAL,
         "filter.must[0].match: expected an object, not an integer"},
        {KEYED("\"match\":{}"), QV_EINVAL,
         "filter.must[0].match: expected one of \"value\", \"any\", \"except\", \"text\", "
         "\"text_any\", "
         "\"phrase\", \"prefix\""},
        {KEYED("\"match\":{\"value\":null}"), QV_EINVAL,
         "filter.must[0].match: expected one of \"value\", \"any\", \"except\", \"text\", "
         "\"text_any\", "
         "\"phrase\", \"prefix\""},
        {KEYED("\"match\":{\"valeu\":1}"), QV_EINVAL,
         "filter.must[0].match: unknown key \"valeu\"; expected one of value, any, except, text, "
         "text_any, phrase, prefix"},
        {KEYED("\"match\":{\"value\":1,\"any\":[1]}"), QV_EINVAL,
         "filter.must[0].match: \"value\" and \"any\" cannot be given together"},
        {KEYED("\"match\":{\"value\":1.5}"), QV_EINVAL,
         "filter.must[0].match.value: expected a string, an integer or a boolean, not a number"},
        {KEYED("\"match\":{\"value\":[1]}"), QV_EINVAL,
         "filter.must[0].match.value: expected a string, an integer or a boolean, not an array"},
        {KEYED("\"match\":{\"value\":9223372036854775808}"), QV_EINVAL,
         "filter.must[0].match.value: integer 9223372036854775808 is above the range of i64"},
        {KEYED("\"match\":{\"any\":\"x\"}"), QV_EINVAL,
         "filter.must[0].match.any: expected an array of strings or of integers, not a string"},
        {KEYED("\"match\":{\"any\":[\"x\",5]}"), QV_EINVAL,
         "filter.must[0].match.any[1]: strings and integers cannot be mixed in one list"},
        {KEYED("\"match\":{\"except\":[5,6,\"x\"]}"), QV_EINVAL,
         "filter.must[0].match.except[2]: strings and integers cannot be mixed in one list"},
        {KEYED("\"match\":{\"any\":[true]}"), QV_EINVAL,
         "filter.must[0].match.any[0]: expected a string or an integer of i64, not a boolean"},
        {KEYED("\"match\":{\"any\":[1,2.5]}"), QV_EINVAL,
         "filter.must[0].match.any[1]: expected a string or an integer of i64, not a number"},
        {KEYED("\"match\":{\"any\":[18446744073709551615]}"), QV_EINVAL,
         "filter.must[0].match.any[0]: expected a string or an integer of i64, not an integer"},
        {KEYED("\"match\":{\"any\":[null]}"), QV_EINVAL,
         "filter.must[0].match.any[0]: expected a string or an integer of i64, not null"},
        {KEYED("\"match\":{\"text\":5}"), QV_EINVAL,
         "filter.must[0].match.text: expected a string, not an integer"},
        {KEYED("\"match\":{\"text_any\":[\"x\"]}"), QV_EINVAL,
         "filter.must[0].match.text_any: expected a string, not an array"},
        {KEYED("\"match\":{\"phrase\":{}}"), QV_EINVAL,
         "filter.must[0].match.phrase: expected a string, not an object"},
        {KEYED("\"match\":{\"prefix\":true}"), QV_EINVAL,
         "filter.must[0].match.prefix: expected a string, not a boolean"},
        /* range, values_count */
        {KEYED("\"range\":[1,2]"), QV_EINVAL,
         "filter.must[0].range: expected an object, not an array"},
        {KEYED("\"range\":{\"from\":1}"), QV_EINVAL,
         "filter.must[0].range: unknown key \"from\"; expected one of lt, lte, gt, gte"},
        {KEYED("\"range\":{\"gt\":true}"), QV_EINVAL,
         "filter.must[0].range.gt: expected a number or a date string, not a boolean"},
        {KEYED("\"range\":{\"gt\":\"2020-01-01\",\"lt\":5}"), QV_EINVAL,
         "filter.must[0].range.lt: expected a date string like the other bounds, not an integer"},
        {KEYED("\"range\":{\"gt\":\"soon\"}"), QV_EINVAL,
         "filter.must[0].range.gt: \"soon\" does not match accepted datetime format (RFC3339). "
         "Example: 2014-01-01T00:00:00Z"},
        {KEYED("\"values_count\":5"), QV_EINVAL,
         "filter.must[0].values_count: expected an object, not an integer"},
        {KEYED("\"values_count\":{\"eq\":5}"), QV_EINVAL,
         "filter.must[0].values_count: unknown key \"eq\"; expected one of lt, lte, gt, gte"},
        {KEYED("\"values_count\":{\"gt\":-1}"), QV_EINVAL,
         "filter.must[0].values_count.gt: a count cannot be negative"},
        {KEYED("\"values_count\":{\"gte\":1.0}"), QV_EINVAL,
         "filter.must[0].values_count.gte: expected a count (a non-negative integer), not a "
         "number"},
        /* geo */
        {KEYED("\"geo_radius\":{\"center\":" P(0, 0) "}"), QV_EINVAL,
         "filter.must[0].geo_radius.radius: missing; expected a number"},
        {KEYED("\"geo_radius\":{\"radius\":5}"), QV_EINVAL,
         "filter.must[0].geo_radius.center: missing; expected a point with \"lon\" and \"lat\""},
        {KEYED("\"geo_radius\":{\"center\":[0,0],\"radius\":5}"), QV_EINVAL,
         "filter.must[0].geo_radius.center: expected an object, not an array"},
        {KEYED("\"geo_radius\":{\"center\":{\"lon\":0},\"radius\":5}"), QV_EINVAL,
         "filter.must[0].geo_radius.center.lat: missing; expected a number"},
        {KEYED("\"geo_radius\":{\"center\":{\"lon\":\"0\",\"lat\":1},\"radius\":5}"), QV_EINVAL,
         "filter.must[0].geo_radius.center.lon: expected a number, not a string"},
        {KEYED("\"geo_radius\":{\"center\":{\"lon\":0,\"lat\":1,\"alt\":2},\"radius\":5}"),
         QV_EINVAL,
         "filter.must[0].geo_radius.center: unknown key \"alt\"; expected one of lon, lat"},
        {KEYED("\"geo_radius\":{\"center\":" P(181, 0) ",\"radius\":5}"), QV_EINVAL,
         "filter.must[0].geo_radius.center: Wrong format of GeoPoint payload: expected `lat` = 0 "
         "within "
         "[-90;90] and `lon` = 181 within [-180;180]"},
        {KEYED("\"geo_radius\":{\"center\":" P(0, -90.5) ",\"radius\":5}"), QV_EINVAL,
         "filter.must[0].geo_radius.center: Wrong format of GeoPoint payload: expected `lat` = "
         "-90.5 "
         "within [-90;90] and `lon` = 0 within [-180;180]"},
        {KEYED("\"geo_radius\":{\"center\":" P(0, 0) ",\"radius\":\"5\"}"), QV_EINVAL,
         "filter.must[0].geo_radius.radius: expected a number, not a string"},
        {KEYED("\"geo_bounding_box\":{\"top_left\":" P(0, 0) "}"), QV_EINVAL,
         "filter.must[0].geo_bounding_box.bottom_right: missing; expected a point with \"lon\" and "
         "\"lat\""},
        {KEYED("\"geo_bounding_box\":{\"top_right\":" P(0, 0) "}"), QV_EINVAL,
         "filter.must[0].geo_bounding_box: unknown key \"top_right\"; expected one of top_left, "
         "bottom_right"},
        {KEYED("\"geo_polygon\":{}"), QV_EINVAL,
         "filter.must[0].geo_polygon.exterior: missing; expected a line with \"points\""},
        {KEYED("\"geo_polygon\":{\"exterior\":{}}"), QV_EINVAL,
         "filter.must[0].geo_polygon.exterior.points: missing; expected an array of points"},
        {KEYED("\"geo_polygon\":{\"exterior\":{\"points\":[" P(0, 0) "," P(1, 1) "," P(0, 0) "]}}"),
         QV_EINVAL,
         "filter.must[0].geo_polygon.exterior.points: polygon invalid, the size must be at least "
         "4, got "
         "3"},
        {KEYED("\"geo_polygon\":{\"exterior\":{\"points\":[" P(0, 0) "," P(1, 0) "," P(1, 1) "," P(
             0, 1) "]}}"),
         QV_EINVAL,
         "filter.must[0].geo_polygon.exterior.points: polygon invalid, the first and the last "
         "points "
         "should be the same to form a closed line"},
        {KEYED(
             "\"geo_polygon\":{\"exterior\":{\"points\":[" P(0, 0) "," P(1, 0) ",7," P(0, 1) "]}}"),
         QV_EINVAL,
         "filter.must[0].geo_polygon.exterior.points[2]: expected an object, not an integer"},
        {KEYED("\"geo_polygon\":{\"exterior\":{\"points\":[" P(0, 0) "," P(1, 0) "," P(1, 1) "," P(
             0, 0) "]},\"interiors\":{}}"),
         QV_EINVAL,
         "filter.must[0].geo_polygon.interiors: expected an array of lines, not an object"},
        {KEYED("\"geo_polygon\":{\"exterior\":{\"points\":[" P(0, 0) "," P(1, 0) "," P(1, 1) "," P(
             0, 0) "]},\"interiors\":[{\"points\":[]}]}"),
         QV_EINVAL,
         "filter.must[0].geo_polygon.interiors[0].points: polygon invalid, the size must be at "
         "least 4, "
         "got 0"},
        /* ids, vectors, slices, nested */
        {COND("{\"has_id\":5}"), QV_EINVAL,
         "filter.must[0].has_id: expected an array of point IDs, not an integer"},
        {COND("{\"has_id\":[1,-1]}"), QV_EINVAL,
         "filter.must[0].has_id[1]: value -1 is not a valid point ID, valid values are either an "
         "unsigned integer or a UUID"},
        {COND("{\"has_id\":[\"5\"]}"), QV_EINVAL,
         "filter.must[0].has_id[0]: value \"5\" is not a valid point ID, valid values are either "
         "an "
         "unsigned integer or a UUID"},
        {COND("{\"has_id\":[1.0]}"), QV_EINVAL,
         "filter.must[0].has_id[0]: expected a point ID: an unsigned integer or a UUID, not a "
         "number"},
        {COND("{\"has_vector\":5}"), QV_EINVAL,
         "filter.must[0].has_vector: expected a string, not an integer"},
        {COND("{\"has_vector\":null}"), QV_EINVAL,
         "filter.must[0].has_vector: expected a string, not null"},
        {COND("{\"slice\":{\"total\":4,\"index\":4}}"), QV_EVALIDATION,
         "filter.must[0].slice: Slice index must be less than the total number of slices"},
        {COND("{\"slice\":{\"total\":0,\"index\":0}}"), QV_EINVAL,
         "filter.must[0].slice: total must be greater than 0"},
        {COND("{\"slice\":{\"total\":4294967296,\"index\":0}}"), QV_EINVAL,
         "filter.must[0].slice.total: expected an integer from 0 to 4294967295, not an integer"},
        {COND("{\"slice\":{\"total\":4}}"), QV_EINVAL,
         "filter.must[0].slice.index: missing; expected an integer from 0 to 4294967295"},
        {COND("{\"slice\":{\"total\":4,\"index\":1,\"seed\":1}}"), QV_EINVAL,
         "filter.must[0].slice: unknown key \"seed\"; expected one of total, index"},
        {COND("{\"nested\":{\"filter\":{}}}"), QV_EINVAL,
         "filter.must[0].nested.key: missing; expected a string"},
        {COND("{\"nested\":{\"key\":\"a\"}}"), QV_EINVAL,
         "filter.must[0].nested.filter: missing; expected an object"},
        {COND("{\"nested\":{\"key\":\"a\",\"filter\":null}}"), QV_EINVAL,
         "filter.must[0].nested.filter: expected an object, not null"},
        {COND("{\"nested\":{\"key\":\"a\",\"filter\":{\"must\":[{},{\"key\":\"b\",\"range\":{"
              "\"gt\":[]}}]}}}"),
         QV_EINVAL,
         "filter.must[0].nested.filter.must[1].range.gt: expected a number or a date string, not "
         "an "
         "array"},
        {COND("{\"nested\":{\"key\":\"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p\",\"filter\":{}}}"),
         QV_EINVAL, "filter.must[0].nested.key: more than 15 steps"},
        {"{\"should\":[{\"must\":{\"must_not\":[{\"q\":1}]}}]}", QV_EINVAL,
         "filter.should[0].must.must_not[0]: unknown key \"q\"; expected one of " KNOWN},
        /* what users write is shown, but not without end */
        {"{\"0123456789012345678901234567890123456789012345678901234567890123456789\":1}",
         QV_EINVAL,
         "filter: unknown key "
         "\"0123456789012345678901234567890123456789012345678901234567890123…\"; "
         "expected one of must, should, must_not, min_should"},
        {"{\"0123456789012345678901234567890123456789012345678901234567890\xe2\x82\xac\xe2\x82\xac"
         "\":1}",
         QV_EINVAL,
         "filter: unknown key "
         "\"0123456789012345678901234567890123456789012345678901234567890\xe2\x82\xac…"
         "\"; expected one of must, should, must_not, min_should"},
        {"{\"01234567890123456789012345678901234567890123456789012345678901\xe2\x82\xac\xe2\x82\xac"
         "\":1}",
         QV_EINVAL,
         "filter: unknown key \"01234567890123456789012345678901234567890123456789012345678901…\"; "
         "expected one of must, should, must_not, min_should"},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        struct qv_err err = {.code = QV_OK};
        qv_status st = parse(f, cases[i].filter, &err);
        if (st != cases[i].status || strcmp(err.message, cases[i].message) != 0) {
            fail_msg("%s\ngot  %d %s\nwant %d %s", cases[i].filter, st, err.message,
                     cases[i].status, cases[i].message);
        }
        assert_int_equal(err.code, st);
        assert_int_equal(parse(f, cases[i].filter, NULL), st);
    }
}

/* A filter inside `depth` filters. */
static const char *deep(struct fixture *f, unsigned depth, bool nested)
{
    struct qv__buf b;
    qv__buf_init(&b, f->mem);
    for (unsigned i = 1; i < depth; i++) {
        qv__buf_putz(&b, nested ? "{\"should\":[{\"nested\":{\"key\":\"abc\",\"filter\":"
                                : "{\"must\":");
    }
    qv__buf_putz(&b, "{}");
    for (unsigned i = 1; i < depth; i++) {
        qv__buf_putz(&b, nested ? "}}]}" : "}");
    }
    return (const char *)keep(f, &b).p;
}

static void depth_limit(void **state)
{
    struct fixture *f = *state;
    struct qv_err err;
    assert_int_equal(parse(f, deep(f, 20, false), &err), QV_OK);
    assert_int_equal(parse(f, deep(f, 20, true), &err), QV_OK);
    assert_int_equal(parse(f, deep(f, 21, false), &err), QV_ETOOBIG);
    assert_non_null(strstr(err.message, "must.must: filters nested deeper than 20"));
    assert_int_equal(parse(f, deep(f, 21, true), &err), QV_ETOOBIG);
    /* A place too long for a message loses its middle, not its ends. */
    static const char head[] = "filter.should[0].nested.filter.should[0].nested.filter.";
    static const char tail[] =
        "nested.filter.should[0].nested.filter: filters nested deeper than 20";
    assert_memory_equal(err.message, head, sizeof head - 1);
    assert_non_null(strstr(err.message, "..."));
    assert_string_equal(err.message + strlen(err.message) - strlen(tail), tail);
    assert_int_equal(parse(f, deep(f, 60, false), &err), QV_ETOOBIG);
}

static struct qv__bytes repeat(struct fixture *f, const char *before, const char *item, size_t n,
                               const char *after)
{
    struct qv__buf b;
    qv__buf_init(&b, f->mem);
    qv__buf_putz(&b, before);
    for (size_t i = 0; i < n; i++) {
        qv__buf_putz(&b, i ? "," : "");
        qv__buf_putz(&b, item);
    }
    qv__buf_putz(&b, after);
    assert_false(b.failed);
    return keep(f, &b);
}

static void count_limits(void **state)
{
    struct fixture *f = *state;
    const struct qv__filter *filter;
    struct qv_err err;
    static const struct {
        const char *before, *item, *after;
        size_t max;
        const char *message;
    } cases[] = {
        {"{\"must\":[", "{}", "]}", QV__FILTER_CONDS_MAX,
         "filter.must: more than 65536 conditions in one filter"},
        {"{\"must\":[{},{}],\"should\":[", "{}", "]}", QV__FILTER_CONDS_MAX - 2,
         "filter.should: more than 65536 conditions in one filter"},
        {"{\"must\":{\"has_id\":[", "7", "]}}", QV__FILTER_VALUES_MAX,
         "filter.must.has_id: more than 1000000 values in one filter"},
        {"{\"must\":[{\"has_id\":[1,2]},{\"key\":\"a\",\"match\":{\"any\":[", "5", "]}}]}",
         QV__FILTER_VALUES_MAX - 2,
         "filter.must[1].match.any: more than 1000000 values in one filter"},
        {"{\"must\":[{\"key\":\"a\",\"match\":{\"text\":\"", "x", "\"}}]}", QV__FILTER_WORDS_MAX,
         "filter.must[0].match.text: 1025 words, more than 1024"},
        {"{\"must\":[{\"key\":\"a\",\"match\":{\"text_any\":\"", "\xc3\xa9 \xc3\xa9", "\"}}]}",
         QV__FILTER_WORDS_MAX / 2, "filter.must[0].match.text_any: 1026 words, more than 1024"},
        {"{\"must\":[{\"key\":\"a\",\"match\":{\"phrase\":\"",
         "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
         "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
         "\"}}]}", QV__FILTER_TEXT_MAX / 128,
         "filter.must[0].match.phrase: 65663 bytes, more than 65536"},
    };
    for (size_t i = 0; i < QV_ARRAY_LEN(cases); i++) {
        for (size_t over = 0; over < 2; over++) {
            struct qv__bytes z =
                repeat(f, cases[i].before, cases[i].item, cases[i].max + over, cases[i].after);
            qv__json v = json_n(f, (const char *)z.p, z.n);
            qv_status st = qv__filter_parse(&f->arena, v, &filter, &err);
            assert_int_equal(st, over ? QV_ETOOBIG : QV_OK);
            if (over) {
                assert_string_equal(err.message, cases[i].message);
            }
            qv__arena_free(&f->arena);
        }
    }
}

static void sorted_sets(void **state)
{
    struct fixture *f = *state;
    struct qv__rng rng;
    const struct qv__filter *filter;
    struct qv_err err;
    qv__rng_seed(&rng, seed_of(3));
    for (unsigned round = 0; round < 300; round++) {
        struct qv__buf b;
        size_t n = qv__rng_below(&rng, round < 200 ? 12 : 700);
        uint64_t range = 1 + qv__rng_below(&rng, 1000);
        bool strings = round % 3 == 0;
        bool have[1001] = {false};
        size_t distinct = 0;
        qv__buf_init(&b, f->mem);
        qv__buf_putz(&b, round % 2 ? "{\"must\":{\"has_id\":["
                                   : "{\"must\":{\"key\":\"a\",\"match\":{\"any\":[");
        for (size_t i = 0; i < n; i++) {
            uint64_t u = qv__rng_below(&rng, range);
            distinct += !have[u];
            have[u] = true;
            qv__buf_putz(&b, i ? "," : "");
            if (round % 2) {
                qv__buf_printf(&b, strings ? "\"00000000-0000-0000-0000-%012x\"" : "%u",
                               (unsigned)u);
            } else {
                qv__buf_printf(&b, strings ? "\"%u\"" : "%u", (unsigned)u);
            }
        }
        qv__buf_putz(&b, round % 2 ? "]}}" : "]}}}");
        qv__json v = json_n(f, (const char *)b.p, b.n);
        qv__buf_free(&b);
        assert_int_equal(qv__filter_parse(&f->arena, v, &filter, &err), QV_OK);
        const struct qv__cond *c = filter->must.conds;
        if (round % 2) {
            assert_int_equal(c->has_id.n, distinct);
            for (size_t i = 1; i < distinct; i++) {
                assert_true(qv__id_cmp(&c->has_id.ids[i - 1], &c->has_id.ids[i]) < 0);
            }
        } else {
            assert_int_equal(c->match.n, distinct);
            for (size_t i = 1; i < distinct; i++) {
                const struct qv__match_value *x = &c->match.values[i - 1];
                const struct qv__match_value *y = &c->match.values[i];
                assert_true(strings ? qv__str_cmp(x->s, y->s) < 0 : x->i < y->i);
            }
        }
        qv__arena_reset(&f->arena);
    }
}

static const char everything[] =
    "{\"must\":[{\"key\":\"a.b[].c\",\"match\":{\"any\":[\"z\",\"a\",\"m\"]}},"
    "{\"key\":\"n\",\"match\":{\"except\":[3,1,2]}},{\"key\":\"n\",\"match\":{\"value\":\"x\"}},"
    "{\"key\":\"t\",\"match\":{\"text\":\"some text\"}},{\"key\":\"n\",\"range\":{\"gt\":1}},"
    "{\"key\":\"d\",\"range\":{\"gt\":\"2020-01-01\"}},{\"key\":\"n\",\"values_count\":{\"gt\":1}}]"
    ","
    "\"should\":[{\"is_empty\":{\"key\":\"e\"}},{\"is_null\":{\"key\":\"e\"}},{\"has_id\":[3,2,1]},"
    "{\"has_vector\":\"v\"},{\"slice\":{\"total\":2,\"index\":1}},{\"key\":\"e\",\"is_null\":false}"
    "],"
    "\"must_not\":{\"nested\":{\"key\":\"q\",\"filter\":{\"must\":{\"key\":\"g\",\"geo_radius\":"
    "{\"center\":{\"lon\":1,\"lat\":2},\"radius\":5}}}}},"
    "\"min_should\":{\"conditions\":[{\"key\":\"g\",\"geo_bounding_box\":{\"top_left\":{\"lon\":0,"
    "\"lat\":1},\"bottom_right\":{\"lon\":1,\"lat\":0}}},{\"key\":\"g\",\"geo_polygon\":{"
    "\"exterior\":"
    "{\"points\":[{\"lon\":0,\"lat\":0},{\"lon\":1,\"lat\":0},{\"lon\":1,\"lat\":1},{\"lon\":0,"
    "\"lat\":0}]},"
    "\"interiors\":[{\"points\":[{\"lon\":0,\"lat\":0},{\"lon\":1,\"lat\":0},{\"lon\":1,\"lat\":1},"
    "{\"lon\":0,\"lat\":0}]}]}}],\"min_count\":2}}";

static void tree(void **state)
{
    struct fixture *f = *state;
    struct qv__arena own;
    const struct qv__filter *filter;
    struct qv_err err;
    qv__arena_init(&own, f->mem);
    assert_int_equal(qv__filter_parse(&own, json(f, everything), &filter, &err), QV_OK);
    qv__arena_free(&f->arena); /* the document goes; the filter stays */
    static const enum qv__cond_kind kinds[] = {
        QV__COND_MATCH_ANY,  QV__COND_MATCH_EXCEPT,   QV__COND_MATCH_ANY,    QV__COND_MATCH_TEXT,
        QV__COND_RANGE,      QV__COND_DATETIME_RANGE, QV__COND_VALUES_COUNT, QV__COND_IS_EMPTY,
        QV__COND_IS_NULL,    QV__COND_HAS_ID,         QV__COND_HAS_VECTOR,   QV__COND_SLICE,
        QV__COND_FIELD_NULL,
    };
    assert_int_equal(filter->must.n, 7);
    assert_int_equal(filter->should.n, 6);
    for (size_t i = 0; i < 13; i++) {
        const struct qv__cond *c = i < 7 ? &filter->must.conds[i] : &filter->should.conds[i - 7];
        assert_int_equal(c->kind, kinds[i]);
    }
    const struct qv__cond *c = filter->must.conds;
    assert_true(qv__str_eq(c->key, QV__STR("a.b[].c")));
    assert_int_equal(c->path.n, 4);
    assert_true(qv__str_eq(c->path.step[3].key, QV__STR("c")));
    assert_int_equal(c->match.n, 3);
    assert_true(qv__str_eq(c->match.values[1].s, QV__STR("m")));
    assert_true(c[3].text.n == 9 && memcmp(c[3].text.p, "some text", 9) == 0);
    assert_true(c[5].irange.has_gt && !c[5].irange.has_lt && c[5].irange.gt == 1577836800000000);
    c = filter->must_not.conds;
    assert_int_equal(filter->must_not.n, 1);
    assert_int_equal(c->kind, QV__COND_NESTED);
    assert_true(qv__str_eq(c->key, QV__STR("q")));
    assert_true(c->path.n == 2 && c->path.step[1].kind == QV__STEP_ALL);
    assert_true(c->filter->must.conds->radius.radius_m == 5);
    assert_true(filter->has_min_should && filter->min_count == 2 && filter->min_should.n == 2);
    assert_int_equal(filter->min_should.conds[1].polygon.n_interiors, 1);
    qv__arena_free(&own);
}

static void out_of_memory(void **state)
{
    struct fixture *f = *state;
    /* Long enough to need several chunks. */
    struct qv__buf b;
    qv__buf_init(&b, f->mem);
    qv__buf_printf(&b, "{\"must\":[%s", everything);
    for (int i = 0; i < 200; i++) {
        qv__buf_printf(&b, ",{\"has_id\":[%d,9,8,7]}", i);
    }
    qv__buf_putz(&b, "]}");
    qv__json v = json_n(f, (const char *)b.p, b.n);
    qv__buf_free(&b);
    size_t before = qv__mem_used(f->mem);
    unsigned failures = 0;
    for (int sticky = 0; sticky < 2; sticky++) {
        bool done = false;
        for (uint64_t n = 1; !done; n++) {
            struct qv__arena own;
            const struct qv__filter *filter = NULL;
            struct qv_err err = {.code = QV_OK};
            qv__arena_init(&own, f->mem);
            qv__mem_fail_at(f->mem, n, sticky);
            qv_status st = qv__filter_parse(&own, v, &filter, &err);
            qv__mem_fail_at(f->mem, 0, false);
            done = st == QV_OK;
            if (!done) {
                failures++;
                assert_int_equal(st, QV_ENOMEM);
                assert_string_equal(err.message, "filter: no memory to hold it");
                assert_null(filter);
            }
            qv__arena_free(&own);
            assert_int_equal(qv__mem_used(f->mem), before);
        }
    }
    assert_true(failures > 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(messages),    TEST(depth_limit), TEST(count_limits),
        TEST(sorted_sets), TEST(tree),        TEST(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
