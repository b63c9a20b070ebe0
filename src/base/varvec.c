/* varvec.c: comparing sparse vectors one by one. */
#include "base/varvec.h"

float qv__sparse_dot(const void *a, const void *b, bool *overlap)
{
    uint32_t na = qv__varvec_count(a), nb = qv__varvec_count(b), i = 0, j = 0;
    const uint32_t *ia = qv__sparse_indices(a), *ib = qv__sparse_indices(b);
    const float *va = qv__sparse_values(a), *vb = qv__sparse_values(b);
    float sum = 0.0f;
    *overlap = false;
    while (i < na && j < nb) {
        uint32_t x = ia[i], y = ib[j];
        if (x == y) {
            sum += va[i] * vb[j];
            *overlap = true;
        }
        i += x <= y;
        j += y <= x;
    }
    return sum;
}
