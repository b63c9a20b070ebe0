/* narrow_tables.h: what narrow.c and the narrow_*.c files share: the tables themselves.
 *
 * What it is: one table per instruction set this build has.
 * What it is not: safe to call without asking the processor first. */
#ifndef QV_SIMD_NARROW_TABLES_H
#define QV_SIMD_NARROW_TABLES_H

#include "simd/narrow.h"
#include "simd/tables.h"

extern const struct qv__narrow qv__narrow_scalar;
#if defined(__x86_64__)
extern const struct qv__narrow qv__narrow_avx2;
extern const struct qv__narrow qv__narrow_avx512;
#endif
#if defined(__aarch64__)
extern const struct qv__narrow qv__narrow_neon;
#endif

#endif
