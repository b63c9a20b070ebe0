/* geo.c: box, circle and polygon tests.
 *
 * Polygons: winding number (D. Sunday, "Inclusion of a Point in a Polygon", 2001) with the peer's
 * rules for edges; polygons are taken in the plane of degrees, so none crosses the date line. On
 * which side of an edge a point lies is decided by the sign of a determinant: in doubles when the
 * result is above its rounding error, else exactly with floating-point expansions (J. R. Shewchuk,
 * "Adaptive Precision Floating-Point Arithmetic and Fast Robust Geometric Predicates", 1997), so
 * that a point on a slanted edge is on it, whatever the compiler contracts or reorders. */
#include "payload/geo.h"

#include <float.h>
#include <math.h>

#include "payload/filter_value.h"
#include "payload/wire.h"

#define RADIANS 0.017453292519943295

bool qv__geo_of(const struct qv__value *v, struct qv__geo_point *out)
{
    struct qv__value lon;
    struct qv__value lat;
    return v->tag == QV__TAG_OBJ && qv__wire_get(v, QV__STR("lon"), &lon) &&
           qv__wire_get(v, QV__STR("lat"), &lat) && qv__value_f64(&lon, &out->lon) &&
           qv__value_f64(&lat, &out->lat);
}

bool qv__geo_in_box(struct qv__geo_point p, struct qv__geo_point top_left,
                    struct qv__geo_point bottom_right)
{
    bool lon = top_left.lon > bottom_right.lon ? p.lon > top_left.lon || p.lon < bottom_right.lon
                                               : top_left.lon < p.lon && p.lon < bottom_right.lon;
    return lon && bottom_right.lat < p.lat && p.lat < top_left.lat;
}

double qv__geo_distance_m(struct qv__geo_point a, struct qv__geo_point b)
{
    double sin_lat = sin((b.lat - a.lat) * RADIANS / 2);
    double sin_lon = sin((b.lon - a.lon) * RADIANS / 2);
    double h = sin_lat * sin_lat + cos(a.lat * RADIANS) * cos(b.lat * RADIANS) * sin_lon * sin_lon;
    return QV__EARTH_RADIUS_M * 2 * asin(sqrt(fmin(h, 1.0)));
}

/* a + b = the result + *low, exactly. */
static double two_sum(double a, double b, double *low)
{
    double sum = a + b;
    double b_part = sum - a;
    *low = (a - (sum - b_part)) + (b - b_part);
    return sum;
}

/* Add x to the expansion e (n components of growing size); returns its new length. */
static unsigned grow(double *e, unsigned n, double x)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < n; i++) {
        double low;
        x = two_sum(x, e[i], &low);
        if (low != 0.0) {
            e[kept++] = low;
        }
    }
    if (x != 0.0 || kept == 0) {
        e[kept++] = x; /* a zero on top would hide the sign of the rest */
    }
    return kept;
}

static unsigned add_product(double *e, unsigned n, double a, double b)
{
    double high = a * b;
    double low = fma(a, b, -high);
    return grow(e, grow(e, n, low), high);
}

/* Sign of (ax - cx)(by - cy) - (ay - cy)(bx - cx), exactly: 16 products' parts in one expansion. */
static int side_exact(struct qv__geo_point a, struct qv__geo_point b, struct qv__geo_point c)
{
    double left[2][2];
    double right[2][2];
    double e[24];
    unsigned n = 0;

    left[0][0] = two_sum(a.lon, -c.lon, &left[0][1]);
    left[1][0] = two_sum(b.lat, -c.lat, &left[1][1]);
    right[0][0] = two_sum(a.lat, -c.lat, &right[0][1]);
    right[1][0] = two_sum(b.lon, -c.lon, &right[1][1]);
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned j = 0; j < 2; j++) {
            n = add_product(e, n, left[0][i], left[1][j]);
            n = add_product(e, n, -right[0][i], right[1][j]);
        }
    }
    /* The last component outweighs the rest together. */
    return (e[n - 1] > 0.0) - (e[n - 1] < 0.0);
}

/* Where c lies seen from a to b: 1 left, -1 right, 0 on the line. */
static int side_of(struct qv__geo_point a, struct qv__geo_point b, struct qv__geo_point c)
{
    double left = (a.lon - c.lon) * (b.lat - c.lat);
    double right = (a.lat - c.lat) * (b.lon - c.lon);
    double det = left - right;
    double bound = (fabs(left) + fabs(right)) * (4 * DBL_EPSILON);
    if (det > bound || -det > bound) {
        return det > 0 ? 1 : -1;
    }
    return side_exact(a, b, c);
}

static bool between(double v, double a, double b)
{
    return a < b ? a <= v && v <= b : b <= v && v <= a;
}

enum where { OUTSIDE, INSIDE, ON_EDGE };

/* One edge: ON_EDGE, or OUTSIDE with the winding number updated. */
static enum where cross_edge(struct qv__geo_point a, struct qv__geo_point b, struct qv__geo_point p,
                             int *winding)
{
    bool up = a.lat <= p.lat && b.lat >= p.lat;
    bool down = a.lat > p.lat && b.lat <= p.lat;
    if (!up && !down) {
        return OUTSIDE;
    }
    int side = side_of(a, b, p);
    if (side == 0) {
        return between(p.lon, a.lon, b.lon) ? ON_EDGE : OUTSIDE;
    }
    if (up && side > 0 && b.lat != p.lat) {
        ++*winding;
    } else if (down && side < 0) {
        --*winding;
    }
    return OUTSIDE;
}

static enum where in_ring(struct qv__geo_point p, struct qv__geo_ring ring)
{
    int winding = 0;
    if (ring.n == 0) {
        return OUTSIDE;
    }
    for (size_t i = 0; i + 1 < ring.n; i++) {
        if (cross_edge(ring.points[i], ring.points[i + 1], p, &winding) == ON_EDGE) {
            return ON_EDGE;
        }
    }
    /* Ends that differ by less than the parser's tolerance are joined. */
    struct qv__geo_point first = ring.points[0];
    struct qv__geo_point last = ring.points[ring.n - 1];
    if ((first.lon != last.lon || first.lat != last.lat) &&
        cross_edge(last, first, p, &winding) == ON_EDGE) {
        return ON_EDGE;
    }
    return winding ? INSIDE : OUTSIDE;
}

bool qv__geo_in_polygon(struct qv__geo_point p, struct qv__geo_ring exterior,
                        const struct qv__geo_ring *interiors, size_t n_interiors)
{
    if (in_ring(p, exterior) != INSIDE) {
        return false;
    }
    for (size_t i = 0; i < n_interiors; i++) {
        if (in_ring(p, interiors[i]) != OUTSIDE) {
            return false;
        }
    }
    return true;
}
