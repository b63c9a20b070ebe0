/* path_set.h: many paths against one place in a row; inside this folder only.
 *
 * What it is: where a walk over a row stands, and what a list of paths says about that place.
 * What it is not: for evaluation; filters follow one path each. */
#ifndef QV_PAYLOAD_PATH_SET_H
#define QV_PAYLOAD_PATH_SET_H

#include "payload/wire.h"

/* Where a walk stands: keys, and indexes of array elements. Deeper than a path can be, nothing has
 * to be known. */
struct qv__place {
    uint32_t n;
    struct qv__path_step step[QV__PATH_STEPS_MAX];
};

enum qv__step_match {
    QV__MATCH_ELEMENTS, /* `[]` and `[n]` name elements (edits) */
    QV__MATCH_ALL_ONLY  /* only `[]` does (selection, as in the peer) */
};

/* What it takes to compare a path with a place. */
#define QV__PATH_UNITS 16u

/* How many leading steps of the path the place follows: at most the shorter of both. */
static inline uint32_t qv__place_common(const struct qv__place *at, const struct qv__path *path,
                                        enum qv__step_match how)
{
    uint32_t n = QV_MIN(at->n, path->n);
    for (uint32_t i = 0; i < n; i++) {
        const struct qv__path_step *a = &at->step[i];
        const struct qv__path_step *p = &path->step[i];
        bool same;
        if (a->kind == QV__STEP_KEY) {
            same = p->kind == QV__STEP_KEY && qv__str_eq(a->key, p->key);
        } else {
            same = p->kind == QV__STEP_ALL ||
                   (how == QV__MATCH_ELEMENTS && p->kind == QV__STEP_INDEX && p->index == a->index);
        }
        if (!same) {
            return i;
        }
    }
    return n;
}

#endif
