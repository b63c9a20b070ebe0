/* check.h: reads a database of the engine back as the oracle writes it, and asks of it what the
 * oracle's comparison cannot: V5 to V9 of docs/internals/DURABILITY.md.
 *
 * What it is: the one place that knows both the oracle and the engine's interface. What it is not:
 * a harness; whoever calls decides which state is the right one. */
#ifndef CHECK_H
#define CHECK_H

#include "engine/db.h"
#include "oracle.h"

/* The id of point `number`: numbers, UUIDs and strings. `text` holds a string's bytes. */
struct qv__id check_id(uint32_t number, char text[8]);

#define CHECK_WHY 400 /* bytes of a reason */

/* All there is, by listing, scrolling and looking at every point; `versions` [collections][points]
 * gets each point's version. An answer that no oracle could give (an unknown id, a malformed
 * payload, ids out of order) is QV_ECORRUPT, with `why`. */
struct check_found {
    struct oracle_state state;
    uint64_t versions[ORACLE_COLLECTIONS][ORACLE_POINTS];
};
qv_status check_read(struct qv__db *db, struct qv__mem *mem, struct check_found *out,
                     char why[CHECK_WHY]);

/* Where a version is known, the found one must be it. False, with `why`. */
bool check_versions(const struct oracle *o, const struct oracle_state *expected,
                    const struct check_found *found, char why[CHECK_WHY]);

/* V5 to V9 against `expected`. `every`: each point is searched for by its own vector, else some
 * that `seed` chooses. */
bool check_reads(struct qv__db *db, struct qv__mem *mem, const struct oracle_state *expected,
                 bool every, uint64_t seed, char why[CHECK_WHY]);

#endif
