/* plant.h: bugs planted on purpose, to see whether the tests find them.
 *
 * What it is: a condition that is true when a build was configured with QV_PLANTED_BUGS and the
 * variable QUIVER_PLANT names this bug. tests/planted lists all of them with the harness that must
 * find each, and holds both to it.
 * What it is not: in any other build. There QV_PLANT is the constant false, and nothing of a bug is
 * compiled. Such a build is refused as a release and is not installed. */
#ifndef QV_BASE_PLANT_H
#define QV_BASE_PLANT_H

#include <stdbool.h>

#ifdef QV_PLANTED_BUGS
bool qv__planted(const char *name);
#define QV_PLANT(name) qv__planted(#name)
#else
#define QV_PLANT(name) false
#endif

#endif
