/* geo.h: is a point inside a box, a circle, a polygon; inside this folder only.
 *
 * What it is: the three tests on longitudes and latitudes in degrees, edges excluded, as in the
 * primary peer. What it is not: an index, or geometry on an ellipsoid. Threads: any (pure). */
#ifndef QV_PAYLOAD_GEO_H
#define QV_PAYLOAD_GEO_H

#include "payload/filter.h"

#define QV__EARTH_RADIUS_M 6371008.8 /* mean radius R1 of GRS 80 */

/* The place that a value is: an object with numbers `lon` and `lat`. */
bool qv__geo_of(const struct qv__value *v, struct qv__geo_point *out);

/* A box whose left edge lies east of its right edge crosses the date line. */
bool qv__geo_in_box(struct qv__geo_point p, struct qv__geo_point top_left,
                    struct qv__geo_point bottom_right);
/* Great-circle distance in metres on a sphere of the Earth's mean radius (haversine). */
double qv__geo_distance_m(struct qv__geo_point a, struct qv__geo_point b);
/* Inside the exterior ring, and neither inside nor on the edge of a hole. */
bool qv__geo_in_polygon(struct qv__geo_point p, struct qv__geo_ring exterior,
                        const struct qv__geo_ring *interiors, size_t n_interiors);

#endif
