/* plant.c: which bug is planted; in builds with QV_PLANTED_BUGS only. */
#include "base/plant.h"

#include <stdlib.h>
#include <string.h>

bool qv__planted(const char *name)
{
    const char *chosen = getenv("QUIVER_PLANT");
    return chosen && strcmp(chosen, name) == 0;
}
