/* crc32c.c: CRC-32C by instruction where the CPU has one, by table otherwise.
 *
 * Hardware: the instruction takes 8 bytes, with a latency of three cycles and one result per cycle,
 * so three neighbouring stretches are run side by side and joined: a checksum is moved behind the
 * zero bytes of the next stretch by four table look-ups (Gopal et al., Intel 2011, with tables in
 * place of the carry-less multiplication; as in Adler's crc32c.c). Two lengths of stretch serve
 * large blocks and records. Portable: slicing by eight (Kounavis and Berry 2005). The choice is
 * made per call from what the C library already knows about the CPU; nothing is stored. */
#include "base/crc32c.h"

#include "base/buf.h"
#include "base/crc32c_tables.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#define HAVE_HARDWARE   1
#define HARDWARE_TARGET __attribute__((target("sse4.2")))
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#define HAVE_HARDWARE 1
#if defined(__clang__)
/* Older clangs declare the intrinsics only when the whole file is built for them. */
#define ARM_CRC8        __builtin_arm_crc32cd
#define ARM_CRC1        __builtin_arm_crc32cb
#define HARDWARE_TARGET __attribute__((target("crc")))
#else
#include <arm_acle.h>
#define ARM_CRC8        __crc32cd
#define ARM_CRC1        __crc32cb
#define HARDWARE_TARGET __attribute__((target("+crc")))
#endif
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#endif

uint32_t qv__crc32c_portable(uint32_t crc, const void *p, size_t n)
{
    const uint8_t *at = p;
    crc = ~crc;
    for (; n >= 8; n -= 8, at += 8) {
        uint64_t v = qv__load_u64(at) ^ crc;
        crc = crc_slice[7][v & 255] ^ crc_slice[6][(v >> 8) & 255] ^ crc_slice[5][(v >> 16) & 255] ^
              crc_slice[4][(v >> 24) & 255] ^ crc_slice[3][(v >> 32) & 255] ^
              crc_slice[2][(v >> 40) & 255] ^ crc_slice[1][(v >> 48) & 255] ^ crc_slice[0][v >> 56];
    }
    for (; n > 0; n--, at++) {
        crc = (crc >> 8) ^ crc_slice[0][(crc ^ *at) & 255];
    }
    return ~crc;
}

#ifdef HAVE_HARDWARE

#if defined(__x86_64__)
static bool has_hardware(void)
{
    return __builtin_cpu_supports("sse4.2") != 0;
}

HARDWARE_TARGET static inline uint64_t step8(uint64_t crc, uint64_t v)
{
    return _mm_crc32_u64(crc, v);
}

HARDWARE_TARGET static inline uint64_t step1(uint64_t crc, uint8_t v)
{
    return _mm_crc32_u8((uint32_t)crc, v);
}
#else
static bool has_hardware(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}

HARDWARE_TARGET static inline uint64_t step8(uint64_t crc, uint64_t v)
{
    return ARM_CRC8((uint32_t)crc, v);
}

HARDWARE_TARGET static inline uint64_t step1(uint64_t crc, uint8_t v)
{
    return ARM_CRC1((uint32_t)crc, v);
}
#endif

static inline uint64_t move_behind(const uint32_t zeros[4][256], uint64_t crc)
{
    return zeros[0][crc & 255] ^ zeros[1][(crc >> 8) & 255] ^ zeros[2][(crc >> 16) & 255] ^
           zeros[3][(crc >> 24) & 255];
}

/* Three stretches of `length` bytes (a multiple of 8) that lie one behind the other. */
HARDWARE_TARGET static inline uint64_t three(uint64_t crc, const uint8_t *p, size_t length,
                                             const uint32_t zeros[4][256])
{
    uint64_t b = 0, c = 0;
    for (size_t i = 0; i < length; i += 8) {
        crc = step8(crc, qv__load_u64(p + i));
        b = step8(b, qv__load_u64(p + length + i));
        c = step8(c, qv__load_u64(p + 2 * length + i));
    }
    crc = move_behind(zeros, crc) ^ b;
    return move_behind(zeros, crc) ^ c;
}

HARDWARE_TARGET static uint32_t crc_hardware(uint32_t start, const uint8_t *p, size_t n)
{
    uint64_t crc = ~start;
    for (; n >= 3 * CRC_LONG_BYTES; n -= 3 * CRC_LONG_BYTES, p += 3 * CRC_LONG_BYTES) {
        crc = three(crc, p, CRC_LONG_BYTES, crc_long);
    }
    for (; n >= 3 * CRC_SHORT_BYTES; n -= 3 * CRC_SHORT_BYTES, p += 3 * CRC_SHORT_BYTES) {
        crc = three(crc, p, CRC_SHORT_BYTES, crc_short);
    }
    for (; n >= 8; n -= 8, p += 8) {
        crc = step8(crc, qv__load_u64(p));
    }
    for (; n > 0; n--, p++) {
        crc = step1(crc, *p);
    }
    return ~(uint32_t)crc;
}

#endif

uint32_t qv__crc32c(uint32_t crc, const void *p, size_t n)
{
#ifdef HAVE_HARDWARE
    if (QV_LIKELY(has_hardware())) {
        return crc_hardware(crc, p, n);
    }
#endif
    return qv__crc32c_portable(crc, p, n);
}
