/* geo_cell.c: the grid, and bounds of the three shapes over its squares.
 *
 * Squares are taken a little larger than they are, and distances a little nearer and farther, by
 * far more than rounding can be off, so that "inside" and "outside" hold for the exact tests of
 * geo.c. */
#include "payload/geo_cell.h"

#include <math.h>

#include "payload/geo.h"

#define RADIANS 0.017453292519943295
#define MARGIN  1e-9 /* degrees: a tenth of a millimetre */
#define SLACK   1e-9 /* of distances, relative */

struct rect {
    double west, east, south, north;
};

/* --- the grid --- */

static uint64_t spread(uint64_t v)
{
    v = (v | v << 16) & UINT64_C(0x0000ffff0000ffff);
    v = (v | v << 8) & UINT64_C(0x00ff00ff00ff00ff);
    v = (v | v << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    v = (v | v << 2) & UINT64_C(0x3333333333333333);
    return (v | v << 1) & UINT64_C(0x5555555555555555);
}

static uint64_t gather(uint64_t v)
{
    v &= UINT64_C(0x5555555555555555);
    v = (v | v >> 1) & UINT64_C(0x3333333333333333);
    v = (v | v >> 2) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    v = (v | v >> 4) & UINT64_C(0x00ff00ff00ff00ff);
    v = (v | v >> 8) & UINT64_C(0x0000ffff0000ffff);
    return (v | v >> 16) & UINT32_MAX;
}

/* The last column and row include their outer edge. */
static uint64_t step_of(double v, double low, double span)
{
    double at = (v - low) / span * 4294967296.0;
    return at >= 4294967295.0 ? UINT32_MAX : at > 0 ? (uint64_t)at : 0;
}

bool qv__cell_of(struct qv__geo_point p, uint64_t *cell)
{
    if (!(p.lon >= -180 && p.lon <= 180 && p.lat >= -90 && p.lat <= 90)) {
        return false;
    }
    *cell = spread(step_of(p.lon, -180, 360)) | spread(step_of(p.lat, -90, 180)) << 1;
    return true;
}

static struct rect rect_of(uint64_t cell, uint32_t level)
{
    double x = (double)gather(cell), y = (double)gather(cell >> 1);
    double size = ldexp(1, (int)(QV__CELL_LEVELS - level));
    double lon = 360.0 / 4294967296.0, lat = 180.0 / 4294967296.0;
    return (struct rect){.west = x * lon - 180 - MARGIN,
                         .east = (x + size) * lon - 180 + MARGIN,
                         .south = y * lat - 90 - MARGIN,
                         .north = (y + size) * lat - 90 + MARGIN};
}

/* --- a box --- */

static enum qv__cell_where in_box(const struct qv__cond *c, const struct rect *r)
{
    double left = c->box.top_left.lon, right = c->box.bottom_right.lon;
    double top = c->box.top_left.lat, bottom = c->box.bottom_right.lat;
    bool crosses = left > right; /* the date line */
    bool lon_out =
        crosses ? r->east <= left && r->west >= right : r->east <= left || r->west >= right;
    bool lon_in = crosses ? r->west > left || r->east < right : r->west > left && r->east < right;
    if (lon_out || r->north <= bottom || r->south >= top) {
        return QV__CELL_OUTSIDE;
    }
    return lon_in && r->south > bottom && r->north < top ? QV__CELL_INSIDE : QV__CELL_UNKNOWN;
}

/* --- a circle --- */

static double sin2_half(double degrees)
{
    double s = sin(degrees * RADIANS / 2);
    return s * s;
}

/* Between two longitudes, 0 to 180. */
static double apart(double a, double b)
{
    double d = fmod(fabs(a - b), 360);
    return d > 180 ? 360 - d : d;
}

/* The haversine of a distance is that of the latitudes' difference, and that of the longitudes' by
 * the cosines of both; each part is bounded by itself. */
static enum qv__cell_where in_circle(const struct qv__cell_shape *s, const struct rect *r)
{
    struct qv__geo_point c = s->cond->radius.center;
    double to_west = apart(c.lon, r->west), to_east = apart(c.lon, r->east);
    double opposite = c.lon > 0 ? c.lon - 180 : c.lon + 180;
    bool has_lon = r->west <= c.lon && c.lon <= r->east;
    bool has_opposite = r->west <= opposite && opposite <= r->east;
    double lon_near = has_lon ? 0 : fmax(0, fmin(to_west, to_east) - 4 * MARGIN);
    double lon_far = has_opposite ? 180 : fmin(180, fmax(to_west, to_east) + 4 * MARGIN);
    double lat_near = fmax(0, fmax(r->south - c.lat, c.lat - r->north));
    double lat_far = fmin(180, fmax(fabs(r->south - c.lat), fabs(r->north - c.lat)));
    double cos_south = fmax(0, cos(r->south * RADIANS)),
           cos_north = fmax(0, cos(r->north * RADIANS));
    double cos_high = r->south <= 0 && r->north >= 0 ? 1 : fmax(cos_south, cos_north);
    double near =
        sin2_half(lat_near) + s->cos_lat * fmin(cos_south, cos_north) * sin2_half(lon_near);
    double far = sin2_half(lat_far) + s->cos_lat * cos_high * sin2_half(lon_far);
    if (near * (1 - SLACK) > s->radius_h) {
        return QV__CELL_OUTSIDE;
    }
    return far * (1 + SLACK) < s->radius_h ? QV__CELL_INSIDE : QV__CELL_UNKNOWN;
}

/* --- a polygon --- */

/* Might the edge touch the square? */
static bool touches(struct qv__geo_point a, struct qv__geo_point b, const struct rect *r)
{
    if (fmax(a.lon, b.lon) < r->west || fmin(a.lon, b.lon) > r->east ||
        fmax(a.lat, b.lat) < r->south || fmin(a.lat, b.lat) > r->north) {
        return false;
    }
    double dx = b.lon - a.lon, dy = b.lat - a.lat, low = INFINITY, high = -INFINITY;
    for (unsigned i = 0; i < 4; i++) {
        double x = i & 1 ? r->east : r->west, y = i & 2 ? r->north : r->south;
        double side = dx * (y - a.lat) - dy * (x - a.lon);
        low = fmin(low, side);
        high = fmax(high, side);
    }
    return low <= 1e-10 &&
           high >= -1e-10; /* the products are below 1e5, and off by 1e-11 at most */
}

static bool ring_touches(struct qv__geo_ring ring, const struct rect *r)
{
    for (size_t i = 0; i + 1 < ring.n; i++) {
        if (touches(ring.points[i], ring.points[i + 1], r)) {
            return true;
        }
    }
    return ring.n > 0 && touches(ring.points[ring.n - 1], ring.points[0], r);
}

/* Where no edge comes near, all of the square is as its middle is. */
static enum qv__cell_where in_polygon(const struct qv__cond *c, const struct rect *r)
{
    bool edge = ring_touches(c->polygon.exterior, r);
    for (size_t i = 0; !edge && i < c->polygon.n_interiors; i++) {
        edge = ring_touches(c->polygon.interiors[i], r);
    }
    if (edge) {
        return QV__CELL_UNKNOWN;
    }
    struct qv__geo_point middle = {(r->west + r->east) / 2, (r->south + r->north) / 2};
    return qv__geo_in_polygon(middle, c->polygon.exterior, c->polygon.interiors,
                              c->polygon.n_interiors)
               ? QV__CELL_INSIDE
               : QV__CELL_OUTSIDE;
}

/* --- any --- */

struct qv__cell_shape qv__cell_shape_of(const struct qv__cond *c)
{
    struct qv__cell_shape s = {.cond = c};
    if (c->kind == QV__COND_GEO_RADIUS) {
        double angle = fmin(c->radius.radius_m / (2 * QV__EARTH_RADIUS_M), 90 * RADIANS);
        s.radius_h = angle > 0 ? sin(angle) * sin(angle) : -1; /* no place is nearer than 0 */
        s.cos_lat = fmax(0, cos(c->radius.center.lat * RADIANS));
    }
    return s;
}

enum qv__cell_where qv__cell_where(const struct qv__cell_shape *s, uint64_t cell, uint32_t level)
{
    struct rect r = rect_of(cell, level);
    switch (s->cond->kind) {
    case QV__COND_GEO_BOX:
        return in_box(s->cond, &r);
    case QV__COND_GEO_RADIUS:
        return in_circle(s, &r);
    default:
        return in_polygon(s->cond, &r);
    }
}
