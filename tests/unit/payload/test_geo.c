/* test_geo.c: geometry where rounding would show: points a last bit away from an edge, points on
 * the line of an edge, rings whose ends differ by less than the parser sees, antipodes. */
#include "payload_test.h"

#include <math.h>

#include "payload/geo.h"

static bool inside(double lon, double lat, const struct qv__geo_point *points, size_t n)
{
    return qv__geo_in_polygon((struct qv__geo_point){lon, lat}, (struct qv__geo_ring){points, n},
                              NULL, 0);
}

/* Above a diagonal: inside exactly when lat > lon, and the diagonal itself is not. A determinant in
 * doubles gets many of these points wrong. */
static void near_a_diagonal(void **state)
{
    (void)state;
    static const double starts[] = {0, -12, -0.1, -179.9};
    static const double ends[] = {24, 80.7, 1, 89.9};
    for (size_t i = 0; i < 16; i++) {
        double from = starts[i % 4];
        double to = ends[i / 4];
        const struct qv__geo_point up[] = {{from, from}, {to, to}, {from, to}, {from, from}};
        const struct qv__geo_point down[] = {{from, from}, {from, to}, {to, to}, {from, from}};
        for (int x = -60; x < 60; x++) {
            for (int y = -60; y < 60; y++) {
                double lon = 0.5 + x * 0x1p-53;
                double lat = 0.5 + y * 0x1p-53;
                assert_int_equal(inside(lon, lat, up, 4), lat > lon);
                assert_int_equal(inside(lon, lat, down, 4), lat > lon);
            }
        }
    }
}

static void on_the_line_of_an_edge(void **state)
{
    (void)state;
    static const struct qv__geo_point l[] = {{0, 0},  {10, 0}, {10, 5}, {5, 5},
                                             {5, 10}, {0, 10}, {0, 0}};
    assert_true(inside(2, 5, l, 7)); /* inside, on the line of the edge from 10 to 5 */
    assert_false(inside(7, 5, l, 7));
    assert_false(inside(5, 5, l, 7));
    assert_false(inside(11, 5, l, 7));
    assert_false(inside(-1, 5, l, 7));
    assert_true(inside(5, 2, l, 7)); /* on the line of the edge from 5 to 10 */
    assert_false(inside(5, 7, l, 7));
    assert_false(inside(5, 11, l, 7));
}

static void ends_that_nearly_meet(void **state)
{
    (void)state;
    static const struct qv__geo_point ring[] = {{0, 0}, {10, 0}, {10, 10}, {0, 10}, {0, 2e-16}};
    assert_false(inside(-5, 1e-16, ring, 5)); /* through the gap */
    assert_true(inside(5, 1e-16, ring, 5));
    assert_false(inside(0, 1e-16, ring, 5)); /* on the edge that closes it */
    assert_true(inside(5, 5, ring, 5));
    assert_false(inside(5, 5, ring, 0));
}

static void winding(void **state)
{
    (void)state;
    /* A star drawn in one stroke winds twice round its middle: inside, as in the peer. */
    static const struct qv__geo_point star[] = {{0, 10}, {6, -8},  {-9, 3},
                                                {9, 3},  {-6, -8}, {0, 10}};
    assert_true(inside(0, 0, star, 6));
    assert_true(inside(0, 8, star, 6));
    assert_false(inside(5, 5, star, 6));
    assert_false(inside(0, -7, star, 6));
}

static void antipodes(void **state)
{
    (void)state;
    struct qv__rng rng;
    qv__rng_seed(&rng, seed_of(4));
    for (int i = 0; i < 200000; i++) {
        struct qv__geo_point a = {qv__rng_f64(&rng) * 360 - 180, qv__rng_f64(&rng) * 180 - 90};
        struct qv__geo_point b = {a.lon > 0 ? a.lon - 180 : a.lon + 180, -a.lat};
        double d = qv__geo_distance_m(a, b);
        assert_true(fabs(d - 20015114.4) < 0.5);
        assert_true(qv__geo_distance_m(a, a) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_a_diagonal),
        cmocka_unit_test(on_the_line_of_an_edge),
        cmocka_unit_test(ends_that_nearly_meet),
        cmocka_unit_test(winding),
        cmocka_unit_test(antipodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
