/* The index of places against the tests on places themselves: boxes, circles and polygons at the
 * date line, at the poles, empty and degenerate ones, over places that lie on their edges. */
#include "payload_test.h"

#include "bitmap/bitset.h"
#include "payload/field.h"
#include "payload/geo_cell.h"

#include <math.h>

enum { ROWS = 5000, SHAPES = 400 };

struct rows {
    struct qv__bytes payload[ROWS];
};

static struct qv__bytes row_at(void *ctx, uint32_t i)
{
    return ((struct rows *)ctx)->payload[i];
}

static double pick(struct qv__rng *rng, double low, double high)
{
    return low + (high - low) * ((double)qv__rng_below(rng, 1u << 30) / (double)(1u << 30));
}

/* Over the whole world, at its edges, on a coarse grid, crowded in one town. */
static struct qv__geo_point place(struct qv__rng *rng)
{
    static const double lons[] = {-180, 180, 0, 179.999999, -179.9999999, 13.4, 90},
                        lats[] = {-90, 90, 0, 89.9999999, -89.99, 52.5, 45};
    struct qv__geo_point p = {pick(rng, -180, 180), pick(rng, -90, 90)};
    switch (qv__rng_below(rng, 5)) {
    case 0:
        p.lon = lons[qv__rng_below(rng, QV_ARRAY_LEN(lons))];
        return p;
    case 1:
        p.lat = lats[qv__rng_below(rng, QV_ARRAY_LEN(lats))];
        return p;
    case 2:
        return (struct qv__geo_point){(double)qv__rng_below(rng, 37) * 10 - 180,
                                      (double)qv__rng_below(rng, 19) * 10 - 90};
    case 3:
        return (struct qv__geo_point){13.4 + pick(rng, -0.001, 0.001),
                                      52.5 + pick(rng, -0.001, 0.001)};
    default:
        return p;
    }
}

static size_t put_place(struct qv__rng *rng, char *out, size_t n)
{
    struct qv__geo_point p = place(rng);
    if (qv__rng_below(rng, 40) == 0) {
        p.lon *= 3; /* no such place, and numbers all the same */
    }
    return (size_t)snprintf(out, n, "{\"lon\":%.17g,\"lat\":%.17g}", p.lon, p.lat);
}

static void make_rows(struct fixture *f, struct qv__rng *rng, struct rows *rows)
{
    for (int i = 0; i < ROWS; i++) {
        char z[512];
        size_t n = (size_t)snprintf(z, sizeof z, "{\"v\":");
        if (i % 10 == 9) {
            n += (size_t)snprintf(z + n, sizeof z - n, "[");
            n += put_place(rng, z + n, sizeof z - n);
            n += (size_t)snprintf(z + n, sizeof z - n, ",\"nowhere\",");
            n += put_place(rng, z + n, sizeof z - n);
            n += (size_t)snprintf(z + n, sizeof z - n, "]}");
        } else {
            n += put_place(rng, z + n, sizeof z - n);
            n += (size_t)snprintf(z + n, sizeof z - n, "}");
        }
        rows->payload[i] = row_of(f, json(f, z));
    }
}

/* Some corner is a place of the rows' kinds, so edges meet places. */
static void shape(struct qv__rng *rng, struct qv__geo_point *points, struct qv__cond *c)
{
    static const double radii[] = {0,   -5,  0.001, 1,        50,       1000,
                                   1e5, 3e6, 1.9e7, 20015086, 20015115, 1e9};
    memset(c, 0, sizeof *c);
    struct qv__geo_point a = place(rng), b = place(rng);
    switch (qv__rng_below(rng, 3)) {
    case 0:
        c->kind = QV__COND_GEO_BOX;
        c->box.top_left = (struct qv__geo_point){a.lon, fmax(a.lat, b.lat)};
        c->box.bottom_right = (struct qv__geo_point){b.lon, fmin(a.lat, b.lat)};
        return;
    case 1:
        c->kind = QV__COND_GEO_RADIUS;
        c->radius.center = a;
        c->radius.radius_m = radii[qv__rng_below(rng, QV_ARRAY_LEN(radii))];
        return;
    default:
        break;
    }
    size_t n = 3 + (size_t)qv__rng_below(rng, 5);
    for (size_t i = 0; i < n; i++) { /* crossing itself, as often as not */
        points[i] = place(rng);
    }
    points[n] = points[0];
    c->kind = QV__COND_GEO_POLYGON;
    c->polygon.exterior = (struct qv__geo_ring){points, n + 1};
    if (qv__rng_below(rng, 2)) {
        static struct qv__geo_ring hole;
        struct qv__geo_point *h = points + 16;
        for (size_t i = 0; i < 4; i++) {
            h[i] = qv__rng_below(rng, 4) ? place(rng) : points[0];
        }
        h[4] = h[0];
        hole = (struct qv__geo_ring){h, 5};
        c->polygon.interiors = &hole;
        c->polygon.n_interiors = 1;
    }
}

static void agrees(void **state)
{
    struct fixture *f = *state;
    struct qv__rng rng;
    struct qv__geo_point points[32];
    struct qv__path path;
    struct qv__field_block b;
    struct qv__buf bytes;
    struct qv_err err;
    size_t open = 0, met = 0;
    qv__rng_seed(&rng, 11);
    struct rows *rows = qv__arena_alloc(&f->arena, sizeof *rows);
    make_rows(f, &rng, rows);
    struct qv__field_source src = {.row = row_at, .ctx = rows, .n_rows = ROWS};
    assert_int_equal(qv__path_parse(QV__STR("v"), &path, NULL), QV_OK);
    qv__buf_init(&bytes, f->mem);
    assert_int_equal(qv__field_build(QV__FIELD_GEO, &path, &src, f->mem, &bytes, &err), QV_OK);
    assert_true(qv__field_block_open(qv__buf_bytes(&bytes), QV__FIELD_GEO, ROWS, true, &b));
    for (int i = 0; i < SHAPES; i++) {
        uint64_t lo[QV__BLOCK_WORDS], up[QV__BLOCK_WORDS];
        struct qv__cond c;
        shape(&rng, points, &c);
        c.key = QV__STR("v");
        c.path = path;
        struct qv__filter filter = {.must = {&c, 1}};
        qv__field_bounds(&b, &c, lo, up, NULL);
        for (uint32_t row = 0; row < ROWS; row++) {
            struct qv__filter_row r = {.payload = rows->payload[row]};
            bool want = qv__filter_match(&filter, &r);
            bool in = qv__bit_test(lo, row), may = qv__bit_test(up, row);
            if ((in && !want) || (want && !may) || (in && !may)) {
                fail_msg("shape %d of kind %d, row %u: %d, bounds %d %d", i, (int)c.kind, row, want,
                         in, may);
            }
            open += in != may;
            met += want;
        }
    }
    printf("%zu rows inside, %zu stay open\n", met, open);
    assert_true(met > ROWS * 20);
    assert_true(open < met / 5); /* places outside the world, and those that lie on edges */
    qv__buf_free(&bytes);
}

/* A crowd in one town and a circle in it: only its edge is uncertain. */
static void cells_are_fine(void **state)
{
    struct qv__rng rng;
    (void)state;
    qv__rng_seed(&rng, 4);
    struct qv__cond c = {.kind = QV__COND_GEO_RADIUS, .radius = {{13.4, 52.5}, 30}};
    struct qv__cell_shape s = qv__cell_shape_of(&c);
    int unknown = 0;
    for (int i = 0; i < 100000; i++) {
        struct qv__geo_point p = {13.4 + pick(&rng, -0.001, 0.001),
                                  52.5 + pick(&rng, -0.001, 0.001)};
        uint64_t cell;
        assert_true(qv__cell_of(p, &cell));
        unknown += qv__cell_where(&s, cell, QV__CELL_LEVELS) == QV__CELL_UNKNOWN;
    }
    assert_true(unknown < 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(agrees), TEST(cells_are_fine)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
