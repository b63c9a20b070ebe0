/* test_filter_random.c: random filters on random payloads, against an evaluator that shares nothing
 * with the code under test: it walks the JSON documents of both, in the plainest way that says what
 * each condition means. */
#include "filter_gen.h"

#include <math.h>
#include <time.h>

#define ROUNDS   40000
#define POINT_ID 5u

/* ---- the plain evaluator ---- */

#define REACHED_MAX 512u
struct reached {
    size_t n;
    qv__json v[REACHED_MAX];
};

static void follow(qv__json v, const char *p, struct reached *out)
{
    if (!v) {
        return;
    }
    if (*p == '\0') {
        assert_true(out->n < REACHED_MAX);
        out->v[out->n++] = v;
    } else if (*p == '[' && p[1] == ']') {
        for (size_t i = 0; v->kind == QV__JSON_ARR && i < v->len; i++) {
            follow(qv__json_at(v, i), p + 2, out);
        }
    } else if (*p == '[') {
        follow(v->kind == QV__JSON_ARR ? qv__json_at(v, (size_t)(p[1] - '0')) : NULL, p + 3, out);
    } else {
        p += *p == '.';
        follow(v->kind == QV__JSON_OBJ ? qv__json_get_n(v, p, 1) : NULL, p + 1, out);
    }
}

static struct reached *reach(struct fixture *f, qv__json doc, qv__json key)
{
    char z[64];
    struct reached *r = qv__arena_alloc(&f->arena, sizeof *r);
    snprintf(z, sizeof z, "%.*s", (int)key->len, key->s);
    r->n = 0;
    follow(doc, z, r);
    return r;
}

static bool same(qv__json a, qv__json b)
{
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case QV__JSON_BOOL:
        return a->b == b->b;
    case QV__JSON_I64:
        return a->i == b->i;
    case QV__JSON_STR:
        return a->len == b->len && memcmp(a->s, b->s, a->len) == 0;
    default:
        return false;
    }
}

static bool listed(qv__json list, qv__json v)
{
    for (size_t i = 0; i < list->len; i++) {
        if (same(qv__json_at(list, i), v)) {
            return true;
        }
    }
    return false;
}

static bool model_match(qv__json m, qv__json v)
{
    char have[64];
    char want[64];
    qv__json c;
    if ((c = qv__json_get(m, "value"))) {
        return same(c, v);
    }
    if ((c = qv__json_get(m, "any"))) {
        return listed(c, v);
    }
    if ((c = qv__json_get(m, "except"))) {
        return v->kind != QV__JSON_NULL && !listed(c, v);
    }
    c = qv__json_first(m) + 1;
    if (v->kind != QV__JSON_STR) {
        return false;
    }
    snprintf(have, sizeof have, "%.*s", (int)v->len, v->s);
    snprintf(want, sizeof want, "%.*s", (int)c->len, c->s);
    if (qv__json_get(m, "prefix")) {
        return strncmp(have, want, strlen(want)) == 0;
    }
    if (qv__json_get(m, "text_any")) {
        for (char *w = strtok(want, " "); w; w = strtok(NULL, " ")) {
            if (strstr(have, w)) {
                return true;
            }
        }
        return false;
    }
    return strstr(have, want) != NULL;
}

static bool bounded(qv__json r, double v)
{
    double b;
    return (!qv__json_f64(qv__json_get(r, "lt"), &b) || v < b) &&
           (!qv__json_f64(qv__json_get(r, "lte"), &b) || v <= b) &&
           (!qv__json_f64(qv__json_get(r, "gt"), &b) || v > b) &&
           (!qv__json_f64(qv__json_get(r, "gte"), &b) || v >= b);
}

/* Seconds of one of `dates`, or -1e18. */
static double seconds_of(qv__json v)
{
    struct tm tm = {0};
    char z[64];
    if (!qv__json_is(v, QV__JSON_STR)) {
        return -1e18;
    }
    snprintf(z, sizeof z, "%.*s", (int)v->len, v->s);
    const char *end = strptime(z, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return end && !*end ? (double)timegm(&tm) : -1e18;
}

static bool date_bounded(qv__json r, qv__json v)
{
    static const char *const ops[] = {"lt", "lte", "gt", "gte"};
    double t = seconds_of(v);
    if (t < -1e17) {
        return false;
    }
    for (unsigned i = 0; i < 4; i++) {
        qv__json bound = qv__json_get(r, ops[i]);
        double b = seconds_of(bound);
        bool ok = i == 0 ? t < b : i == 1 ? t <= b : i == 2 ? t > b : t >= b;
        if (bound && !ok) {
            return false;
        }
    }
    return true;
}

static bool coordinates(qv__json v, double *lon, double *lat)
{
    return qv__json_f64(qv__json_get(v, "lon"), lon) && qv__json_f64(qv__json_get(v, "lat"), lat);
}

static bool model_geo(qv__json c, qv__json v)
{
    double x, y, x1, y1, x2, y2, r;
    qv__json g;
    if (!coordinates(v, &x, &y)) {
        return false;
    }
    if ((g = qv__json_get(c, "geo_radius"))) {
        /* The law of cosines; the radii are no distances between whole degrees. */
        assert_true(coordinates(qv__json_get(g, "center"), &x1, &y1));
        assert_true(qv__json_f64(qv__json_get(g, "radius"), &r));
        double d = M_PI / 180;
        double cosine = sin(y * d) * sin(y1 * d) + cos(y * d) * cos(y1 * d) * cos((x - x1) * d);
        return 6371008.8 * acos(fmin(1, cosine)) < r;
    }
    if ((g = qv__json_get(c, "geo_bounding_box"))) {
        assert_true(coordinates(qv__json_get(g, "top_left"), &x1, &y2));
        assert_true(coordinates(qv__json_get(g, "bottom_right"), &x2, &y1));
        bool in = x1 > x2 ? x > x1 || x < x2 : x > x1 && x < x2;
        return in && y > y1 && y < y2;
    }
    g = qv__json_get(qv__json_get(qv__json_get(c, "geo_polygon"), "exterior"), "points");
    assert_true(coordinates(qv__json_at(g, 0), &x1, &y1) &&
                coordinates(qv__json_at(g, 2), &x2, &y2));
    return x > x1 && x < x2 && y > y1 && y < y2;
}

static bool model_element(qv__json c, qv__json v)
{
    qv__json r = qv__json_get(c, "range");
    if (qv__json_get(c, "match")) {
        return model_match(qv__json_get(c, "match"), v);
    }
    if (r && r->len && qv__json_first(r)[1].kind == QV__JSON_STR) {
        return date_bounded(r, v);
    }
    if (r) {
        double d;
        return qv__json_f64(v, &d) && bounded(r, d);
    }
    return model_geo(c, v);
}

static bool empty(qv__json v)
{
    return v->kind == QV__JSON_NULL || (v->kind == QV__JSON_ARR && v->len == 0);
}

static bool model_value(qv__json c, qv__json v)
{
    qv__json count = qv__json_get(c, "values_count");
    bool flag;
    if (count) {
        return bounded(count, v->kind == QV__JSON_NULL ? 0 : v->kind == QV__JSON_ARR ? v->len : 1);
    }
    if (qv__json_bool(qv__json_get(c, "is_empty"), &flag)) {
        return empty(v) == flag;
    }
    if (qv__json_bool(qv__json_get(c, "is_null"), &flag)) {
        bool null = v->kind == QV__JSON_NULL;
        for (size_t i = 0; v->kind == QV__JSON_ARR && i < v->len; i++) {
            null |= qv__json_at(v, i)->kind == QV__JSON_NULL;
        }
        return null == flag;
    }
    if (v->kind != QV__JSON_ARR) {
        return model_element(c, v);
    }
    for (size_t i = 0; i < v->len; i++) {
        if (model_element(c, qv__json_at(v, i))) {
            return true;
        }
    }
    return false;
}

static bool model_filter(struct fixture *f, qv__json filter, qv__json doc, bool nested);

static bool model_field(struct fixture *f, qv__json c, qv__json doc)
{
    struct reached *r = reach(f, doc, qv__json_get(c, "key"));
    bool flag;
    for (size_t i = 0; i < r->n; i++) {
        if (model_value(c, r->v[i])) {
            return true;
        }
    }
    if (r->n) {
        return false;
    }
    if (qv__json_get(c, "values_count")) {
        return bounded(qv__json_get(c, "values_count"), 0);
    }
    if (qv__json_bool(qv__json_get(c, "is_empty"), &flag)) {
        return flag;
    }
    return qv__json_bool(qv__json_get(c, "is_null"), &flag) && !flag;
}

static bool model_cond(struct fixture *f, qv__json c, qv__json doc, bool nested)
{
    qv__json x;
    if (qv__json_get(c, "key")) {
        return model_field(f, c, doc);
    }
    if ((x = qv__json_get(c, "is_empty"))) {
        struct reached *r = reach(f, doc, qv__json_get(x, "key"));
        bool all = true;
        for (size_t i = 0; i < r->n; i++) {
            all = all && empty(r->v[i]);
        }
        return all;
    }
    if ((x = qv__json_get(c, "is_null"))) {
        struct reached *r = reach(f, doc, qv__json_get(x, "key"));
        bool any = false;
        for (size_t i = 0; i < r->n; i++) {
            any = any || r->v[i]->kind == QV__JSON_NULL;
        }
        return any;
    }
    if ((x = qv__json_get(c, "has_id"))) {
        return !nested && (qv__json_at(x, 0)->i == POINT_ID || qv__json_at(x, 1)->i == POINT_ID);
    }
    if ((x = qv__json_get(c, "has_vector"))) {
        return !nested && qv__json_str_is(x, "image");
    }
    if ((x = qv__json_get(c, "nested"))) {
        struct reached *r = reach(f, doc, qv__json_get(x, "key"));
        qv__json key = qv__json_get(x, "key");
        bool elements = key->len > 2 && memcmp(key->s + key->len - 2, "[]", 2) == 0;
        for (size_t i = 0; i < r->n; i++) {
            qv__json v = r->v[i];
            size_t n = elements ? 1 : v->kind == QV__JSON_ARR ? v->len : 0;
            for (size_t j = 0; j < n; j++) {
                qv__json e = elements ? v : qv__json_at(v, j);
                if (e->kind == QV__JSON_OBJ &&
                    model_filter(f, qv__json_get(x, "filter"), e, true)) {
                    return true;
                }
            }
        }
        return false;
    }
    return model_filter(f, c, doc, nested);
}

static size_t model_count(struct fixture *f, qv__json list, qv__json doc, bool nested, size_t *n)
{
    size_t hits = 0;
    *n = !list ? 0 : list->kind == QV__JSON_OBJ ? 1 : list->len;
    for (size_t i = 0; i < *n; i++) {
        hits +=
            model_cond(f, list->kind == QV__JSON_OBJ ? list : qv__json_at(list, i), doc, nested);
    }
    return hits;
}

static bool model_filter(struct fixture *f, qv__json filter, qv__json doc, bool nested)
{
    size_t n;
    qv__json min = qv__json_get(filter, "min_should");
    if (model_count(f, qv__json_get(filter, "must"), doc, nested, &n) != n) {
        return false;
    }
    if (model_count(f, qv__json_get(filter, "should"), doc, nested, &n) == 0 && n) {
        return false;
    }
    if (model_count(f, qv__json_get(filter, "must_not"), doc, nested, &n) != 0) {
        return false;
    }
    return !min || model_count(f, qv__json_get(min, "conditions"), doc, nested, &n) >=
                       (size_t)qv__json_get(min, "min_count")->i;
}

/* ---- */

static bool has_vector(const struct qv__filter_row *r, struct qv__str name)
{
    (void)r;
    return qv__str_eq(name, QV__STR("image"));
}

static void random_filters(void **state)
{
    struct fixture *f = *state;
    struct gen g;
    struct qv__id id = qv__id_u64(POINT_ID);
    size_t matched = 0;
    size_t tried = 0;
    qv__rng_seed(&g.rng, seed_of(11));
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct qv_err err = {.code = QV_OK};
        const struct qv__filter *filter;
        qv__json text_filter = generate(f, &g, round % 4 ? put_single : put_root);
        if (qv__filter_parse(&f->arena, text_filter, &filter, &err) != QV_OK) {
            fail_msg("%s: %s", show(f, text_filter), err.message);
        }
        for (unsigned i = 0; i < 3; i++) {
            qv__json doc = generate(f, &g, put_payload);
            struct qv__filter_row r = {
                .id = &id, .payload = row_of(f, doc), .has_vector = has_vector};
            bool want = model_filter(f, text_filter, doc, false);
            if (qv__filter_match(filter, &r) != want) {
                fail_msg("round %u: %s\non %s\nshould be %s", round, show(f, text_filter),
                         show(f, doc), want ? "true" : "false");
            }
            matched += want;
            tried++;
        }
        qv__arena_reset(&f->arena);
    }
    printf("%zu of %zu matched\n", matched, tried);
    assert_true(matched > tried / 5 && matched < tried * 4 / 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(random_filters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
