/* graph_beam.c: many keys into a sorted beam at once.
 *
 * One by one, a key costs a binary search whose steps wait for each other, a move of all that is
 * behind it, and branches that nobody can foretell: together a third of a walk's work. So the keys
 * of a block are put in order by counting, looked up side by side, and the beam is moved apart from
 * its end, none of it twice. The beam holds afterwards what it would have held. */
#include "index/graph_walk.h"

enum {
    RANK_MAX = 24
}; /* so many are sorted by comparing all with all, without a branch on a key */

static void sort_by_rank(const uint64_t *keys, uint32_t n, uint64_t *out)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t key = keys[i];
        uint32_t rank = 0;
        for (uint32_t k = 0; k < i; k++) {
            rank += keys[k] <= key; /* of equal ones the first comes first */
        }
        for (uint32_t k = i + 1; k < n; k++) {
            rank += keys[k] < key;
        }
        out[rank] = key;
    }
}

/* at[i]: how many of best[0..n_best) are below keys[i]; n_best >= 1. */
static void find_places(const uint64_t *best, uint32_t n_best, const uint64_t *keys, uint32_t n,
                        uint32_t *at)
{
    memset(at, 0, n * sizeof *at);
    for (uint32_t left = n_best, half; left > 1; left -= half) {
        half = left / 2;
        for (uint32_t i = 0; i < n; i++) {
            at[i] += half & -(uint32_t)(best[at[i] + half - 1] < keys[i]);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        at[i] += best[at[i]] < keys[i];
    }
}

/* keys[0..n) move up by `by` >= 1, from the end: a run of four never covers what is below it. */
static inline void move_up(uint64_t *keys, uint32_t n, uint32_t by)
{
    while (n >= 4) {
        uint64_t four[4];
        n -= 4;
        memcpy(four, keys + n, sizeof four);
        memcpy(keys + n + by, four, sizeof four);
    }
    while (n > 0) {
        n--;
        keys[n + by] = keys[n];
    }
}

void qv__beam_offer_block(struct qv__graph_scratch *s, uint64_t *keys, uint32_t n)
{
    uint64_t sorted[QV__GRAPH_BLOCK], *best = s->best;
    uint32_t at[QV__GRAPH_BLOCK], end = s->n_best;
    if (n == 0) {
        return;
    }
    if (n <= RANK_MAX) {
        sort_by_rank(keys, n, sorted);
        keys = sorted;
    } else {
        qv__keys_sort(keys, n);
    }
    if (end == 0) {
        memset(at, 0, n * sizeof *at);
    } else {
        find_places(best, end, keys, n, at);
    }
    for (uint32_t i = n; i-- > 0;) {
        move_up(best + at[i], end - at[i], i + 1);
        best[at[i] + i] = keys[i];
        end = at[i];
    }
    s->next_open = QV_MIN(s->next_open, at[0]);
    s->n_best += n;
}
