/* geo_cell.h: places as cells of a grid, and where a cell lies to the shape of a condition; inside
 * this folder only.
 *
 * What it is: longitude and latitude in 32 bits each, interleaved (a Z-order curve, G. M. Morton,
 * 1966), so that all places of a square of the grid follow each other in a sorted list. A cell of
 * the finest level is 9 mm wide. What it is not: exact; a cell at a shape's edge says that it does
 * not know. Threads: any (pure functions). */
#ifndef QV_PAYLOAD_GEO_CELL_H
#define QV_PAYLOAD_GEO_CELL_H

#include "payload/filter.h"

#define QV__CELL_LEVELS 32u

/* The cell of a place; false outside of [-180, 180] and [-90, 90]. */
bool qv__cell_of(struct qv__geo_point p, uint64_t *cell);

enum qv__cell_where { QV__CELL_OUTSIDE, QV__CELL_INSIDE, QV__CELL_UNKNOWN };

/* A geographic condition, with what is computed once. */
struct qv__cell_shape {
    const struct qv__cond *cond;
    double radius_h, cos_lat; /* GEO_RADIUS: the haversine of the radius */
};
struct qv__cell_shape qv__cell_shape_of(const struct qv__cond *c);
/* Of every place in the square of this level that begins at `cell`; said only when it is certain,
 * whatever the rounding of the test on places themselves. */
enum qv__cell_where qv__cell_where(const struct qv__cell_shape *s, uint64_t cell, uint32_t level);

#endif
