/* crc32c.h: CRC-32C (Castagnoli), the checksum of every stored byte.
 * Uses the SSE4.2 or ARMv8 instruction where the CPU has it, a table otherwise; equal results. */
#ifndef QV_BASE_CRC32C_H
#define QV_BASE_CRC32C_H

#include "base/base.h"

/* Continue from `crc` (0 to start). Threads: any. */
uint32_t qv__crc32c(uint32_t crc, const void *p, size_t n);
/* The table version, for tests. */
uint32_t qv__crc32c_portable(uint32_t crc, const void *p, size_t n);

#endif
