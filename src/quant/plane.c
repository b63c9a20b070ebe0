/* plane.c: packing and unpacking of integers, as written down in simd/codes.h. */
#include "quant/impl.h"

/* Where a part of `run` * (8 / bits) elements begins, and how long its runs are. */
static size_t part_run(size_t parts, size_t i, size_t dims)
{
    return i + parts * QV__CODE_BLOCK_DIMS <= dims ? QV__CODE_BLOCK_DIMS
                                                   : QV__CODE_BLOCK_DIMS / parts;
}

void qv__plane_pack(enum qv__code_width w, unsigned shift, const uint8_t *ints, size_t dims,
                    uint8_t *out)
{
    if (w == QV__W8) {
        memcpy(out, ints, dims);
        return;
    }
    size_t bits = (size_t)1 << w, parts = 8 / bits, padded = QV_ALIGN_UP(dims, 64);
    unsigned mask = (1u << bits) - 1u;
    memset(out, 0, qv__code_plane_bytes(w, dims));
    if (w == QV__W1) {
        for (size_t i = 0; i < padded; i++) {
            out[i / 8] |= (uint8_t)(((unsigned)ints[i] >> shift & 1u) << i % 8);
        }
        return;
    }
    for (size_t i = 0; i < padded;) {
        size_t run = part_run(parts, i, padded);
        for (size_t k = 0; k < parts; k++, i += run) {
            for (size_t j = 0; j < run; j++) {
                out[j] |= (uint8_t)(((unsigned)ints[i + j] >> shift & mask) << k * bits);
            }
        }
        out += run;
    }
}

void qv__plane_unpack(enum qv__code_width w, unsigned shift, const uint8_t *plane, size_t dims,
                      uint8_t *ints)
{
    if (w == QV__W8) {
        for (size_t i = 0; i < dims; i++) {
            ints[i] |= plane[i];
        }
        return;
    }
    size_t bits = (size_t)1 << w, parts = 8 / bits, padded = QV_ALIGN_UP(dims, 64);
    unsigned mask = (1u << bits) - 1u;
    if (w == QV__W1) {
        for (size_t i = 0; i < padded; i++) {
            ints[i] |= (uint8_t)(((unsigned)plane[i / 8] >> i % 8 & 1u) << shift);
        }
        return;
    }
    for (size_t i = 0; i < padded;) {
        size_t run = part_run(parts, i, padded);
        for (size_t k = 0; k < parts; k++, i += run) {
            for (size_t j = 0; j < run; j++) {
                ints[i + j] |= (uint8_t)(((unsigned)plane[j] >> k * bits & mask) << shift);
            }
        }
        plane += run;
    }
}
