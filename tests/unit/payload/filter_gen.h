/* filter_gen.h: random payloads and random filters over the same few keys and words, as JSON. */
#ifndef QV_TEST_FILTER_GEN_H
#define QV_TEST_FILTER_GEN_H

#include "payload_test.h"

struct gen {
    struct qv__rng rng;
    struct qv__buf b;
};

QV_UNUSED static uint64_t below(struct gen *g, uint64_t n)
{
    return qv__rng_below(&g->rng, n);
}

QV_UNUSED static void text(struct gen *g, const char *z)
{
    qv__buf_putz(&g->b, z);
}

static const char *const vocabulary[] = {"red", "blue", "red fox", "", "fox blue", "Red", "re"};
static const char *const dates[] = {"2020-01-01T00:00:00Z", "2021-06-15T12:30:00Z",
                                    "1969-12-31T23:59:59Z", "2020-01-01T00:00:01Z"};

QV_UNUSED static void put_scalar(struct gen *g)
{
    switch (below(g, 12)) {
    case 0:
        text(g, "null");
        break;
    case 1:
        text(g, below(g, 2) ? "true" : "false");
        break;
    case 2:
        qv__buf_printf(&g->b, "%u.0", (unsigned)below(g, 4));
        break;
    case 3:
        qv__buf_printf(&g->b, "%u.5", (unsigned)below(g, 4));
        break;
    case 4:
        text(g, "18446744073709551615");
        break;
    case 5:
    case 6:
        qv__buf_printf(&g->b, "\"%s\"", vocabulary[below(g, QV_ARRAY_LEN(vocabulary))]);
        break;
    case 7:
        qv__buf_printf(&g->b, "\"%s\"", dates[below(g, QV_ARRAY_LEN(dates))]);
        break;
    case 8:
        qv__buf_printf(&g->b, "{\"lon\":%d,\"lat\":%d}", (int)below(g, 41) - 20,
                       (int)below(g, 41) - 20);
        break;
    default:
        qv__buf_printf(&g->b, "%d", (int)below(g, 6) - 1);
        break;
    }
}

QV_UNUSED static void put_value(struct gen *g, unsigned depth)
{
    uint64_t kind = below(g, 10);
    if (kind < 3 && depth < 5) {
        uint64_t n = below(g, 4);
        text(g, "[");
        for (uint64_t i = 0; i < n; i++) {
            text(g, i ? "," : "");
            put_value(g, depth + 1);
        }
        text(g, "]");
    } else if (kind < 6 && depth < 5) {
        bool first = true;
        text(g, "{");
        for (char c = 'a'; c <= 'c'; c++) {
            if (below(g, 3)) {
                qv__buf_printf(&g->b, "%s\"%c\":", first ? "" : ",", c);
                put_value(g, depth + 1);
                first = false;
            }
        }
        text(g, "}");
    } else {
        put_scalar(g);
    }
}

QV_UNUSED static void put_payload(struct gen *g)
{
    text(g, "{");
    for (char c = 'a'; c <= 'c'; c++) {
        qv__buf_printf(&g->b, "%s\"%c\":", c == 'a' ? "" : ",", c);
        put_value(g, 0);
    }
    text(g, "}");
}

QV_UNUSED static void put_key(struct gen *g)
{
    uint64_t n = below(g, 3);
    qv__buf_printf(&g->b, "\"key\":\"%c", (int)('a' + below(g, 4)));
    for (uint64_t i = 0; i < n; i++) {
        switch (below(g, 4)) {
        case 0:
            qv__buf_printf(&g->b, "[%u]", (unsigned)below(g, 3));
            break;
        case 1:
            text(g, "[]");
            break;
        default:
            qv__buf_printf(&g->b, ".%c", (int)('a' + below(g, 3)));
            break;
        }
    }
    text(g, "\"");
}

QV_UNUSED static void put_match(struct gen *g)
{
    static const char *const texts[] = {"text", "phrase", "prefix", "text_any"};
    uint64_t kind = below(g, 6);
    text(g, "\"match\":{");
    if (kind < 2) {
        text(g, "\"value\":");
        if (below(g, 3) == 0) {
            text(g, below(g, 2) ? "true" : "false");
        } else if (below(g, 2)) {
            qv__buf_printf(&g->b, "%d", (int)below(g, 6) - 1);
        } else {
            qv__buf_printf(&g->b, "\"%s\"", vocabulary[below(g, QV_ARRAY_LEN(vocabulary))]);
        }
    } else if (kind < 4) {
        bool strings = below(g, 2);
        uint64_t n = below(g, 8) ? below(g, 4) : 12;
        text(g, kind == 2 ? "\"any\":[" : "\"except\":[");
        for (uint64_t i = 0; i < n; i++) {
            text(g, i ? "," : "");
            if (!strings) {
                qv__buf_printf(&g->b, "%d", (int)below(g, n < 5 ? 6 : 30) - 1);
            } else if (n < 5) {
                qv__buf_printf(&g->b, "\"%s\"", vocabulary[below(g, QV_ARRAY_LEN(vocabulary))]);
            } else {
                qv__buf_printf(&g->b, "\"%s%u\"", vocabulary[below(g, QV_ARRAY_LEN(vocabulary))],
                               (unsigned)i / 3);
            }
        }
        text(g, "]");
    } else {
        qv__buf_printf(&g->b, "\"%s\":\"%s\"", texts[below(g, 4)],
                       vocabulary[below(g, QV_ARRAY_LEN(vocabulary))]);
    }
    text(g, "}");
}

QV_UNUSED static void put_bounds(struct gen *g, const char *name, bool date)
{
    static const char *const ops[] = {"lt", "lte", "gt", "gte"};
    bool first = true;
    qv__buf_printf(&g->b, "\"%s\":{", name);
    for (unsigned i = 0; i < 4; i++) {
        if (below(g, 3) == 0 || (date && first && i == 3)) {
            qv__buf_printf(&g->b, "%s\"%s\":", first ? "" : ",", ops[i]);
            if (date) {
                qv__buf_printf(&g->b, "\"%s\"", dates[below(g, QV_ARRAY_LEN(dates))]);
            } else {
                qv__buf_printf(&g->b, "%u", (unsigned)below(g, 4));
            }
            first = false;
        }
    }
    text(g, "}");
}

QV_UNUSED static void put_geo(struct gen *g)
{
    int x = (int)below(g, 41) - 20;
    int y = (int)below(g, 41) - 20;
    int x2 = x + 1 + (int)below(g, 20);
    int y2 = y + 1 + (int)below(g, 20);
    switch (below(g, 3)) {
    case 0:
        qv__buf_printf(&g->b, "\"geo_radius\":{\"center\":{\"lon\":%d,\"lat\":%d},\"radius\":%u.5}",
                       x, y, (unsigned)below(g, 3000000));
        break;
    case 1:
        qv__buf_printf(&g->b,
                       "\"geo_bounding_box\":{\"top_left\":{\"lon\":%d,\"lat\":%d},"
                       "\"bottom_right\":{\"lon\":%d,\"lat\":%d}}",
                       x, y2, below(g, 4) ? x2 : x - 5, y);
        break;
    default:
        qv__buf_printf(
            &g->b,
            "\"geo_polygon\":{\"exterior\":{\"points\":[{\"lon\":%d,\"lat\":%d},{\"lon\":%d,"
            "\"lat\":%d},{\"lon\":%d,\"lat\":%d},{\"lon\":%d,\"lat\":%d},{\"lon\":%d,\"lat\":"
            "%d}]}}",
            x, y, x2, y, x2, y2, x, y2, x, y);
        break;
    }
}

QV_UNUSED static void put_filter(struct gen *g, unsigned depth);

QV_UNUSED static void put_cond(struct gen *g, unsigned depth)
{
    uint64_t kind = below(g, depth < 3 ? 15 : 11);
    text(g, "{");
    if (kind < 7) {
        put_key(g);
        text(g, ",");
    }
    switch (kind) {
    case 0:
    case 1:
        put_match(g);
        break;
    case 2:
        put_bounds(g, "range", false);
        break;
    case 3:
        put_bounds(g, "range", true);
        break;
    case 4:
        put_bounds(g, "values_count", false);
        break;
    case 5:
        put_geo(g);
        break;
    case 6:
        qv__buf_printf(&g->b, "\"%s\":%s", below(g, 2) ? "is_null" : "is_empty",
                       below(g, 2) ? "true" : "false");
        break;
    case 7:
    case 8:
        text(g, kind == 7 ? "\"is_empty\":{" : "\"is_null\":{");
        put_key(g);
        text(g, "}");
        break;
    case 9:
        qv__buf_printf(&g->b, "\"has_id\":[%u,%u]", (unsigned)below(g, 8), (unsigned)below(g, 8));
        break;
    case 10:
        text(g, below(g, 2) ? "\"has_vector\":\"image\"" : "\"has_vector\":\"text\"");
        break;
    case 11:
    case 12:
        text(g, "\"nested\":{");
        put_key(g);
        text(g, ",\"filter\":");
        put_filter(g, depth + 1);
        text(g, "}");
        break;
    default:
        text(g, "\"must\":");
        put_filter(g, depth + 1);
        break;
    }
    text(g, "}");
}

QV_UNUSED static void put_list(struct gen *g, const char *name, unsigned depth)
{
    uint64_t n = below(g, 4);
    qv__buf_printf(&g->b, "\"%s\":", name);
    if (n == 1 && below(g, 2)) {
        put_cond(g, depth);
        return;
    }
    text(g, "[");
    for (uint64_t i = 0; i < n; i++) {
        text(g, i ? "," : "");
        put_cond(g, depth);
    }
    text(g, "]");
}

QV_UNUSED static void put_filter(struct gen *g, unsigned depth)
{
    static const char *const names[] = {"must", "should", "must_not"};
    bool first = true;
    text(g, "{");
    for (unsigned i = 0; i < 3; i++) {
        if (below(g, 3) == 0) {
            text(g, first ? "" : ",");
            put_list(g, names[i], depth);
            first = false;
        }
    }
    if (below(g, 6) == 0) {
        text(g, first ? "" : ",");
        text(g, "\"min_should\":{\"conditions\":[");
        uint64_t n = below(g, 4);
        for (uint64_t i = 0; i < n; i++) {
            text(g, i ? "," : "");
            put_cond(g, depth);
        }
        qv__buf_printf(&g->b, "],\"min_count\":%u}", 1 + (unsigned)below(g, 3));
    }
    text(g, "}");
}

QV_UNUSED static qv__json generate(struct fixture *f, struct gen *g, void (*put)(struct gen *g))
{
    qv__buf_init(&g->b, f->mem);
    put(g);
    qv__json v = json_n(f, (const char *)g->b.p, g->b.n);
    qv__buf_free(&g->b);
    return v;
}

QV_UNUSED static void put_root(struct gen *g)
{
    put_filter(g, 0);
}

/* A filter of one condition, where the conditions' own answers show. */
QV_UNUSED static void put_single(struct gen *g)
{
    text(g, "{\"must\":");
    put_cond(g, 2);
    text(g, "}");
}

static const char *show(struct fixture *f, qv__json v)
{
    struct qv__buf b;
    struct qv__jw w;
    qv__buf_init(&b, f->mem);
    qv__jw_init(&w, &b);
    qv__jw_value(&w, v);
    return (const char *)keep(f, &b).p;
}

#endif
