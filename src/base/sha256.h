/* sha256.h: SHA-256, for what leaves this machine and comes back: the files of a snapshot.
 *
 * What it is: three calls over nettle, which uses the CPU's instructions where there are some.
 * What it is not: for stored blocks, whose damage is an accident (crc32c.h), or for secrets.
 * Threads: one at a time per object. Memory: none. */
#ifndef QV_BASE_SHA256_H
#define QV_BASE_SHA256_H

#include <nettle/sha2.h>

#include "base/base.h"

#define QV__SHA256_BYTES 32u
#define QV__SHA256_HEX   64u /* digits, without the NUL */

struct qv__sha256 {
    struct sha256_ctx ctx;
};

void qv__sha256_init(struct qv__sha256 *s);
void qv__sha256_add(struct qv__sha256 *s, const void *p, size_t n);
/* The digest of all that was added. The object begins anew. */
void qv__sha256_end(struct qv__sha256 *s, uint8_t out[QV__SHA256_BYTES]);

void qv__sha256_hex(const uint8_t digest[QV__SHA256_BYTES], char out[QV__SHA256_HEX + 1]);
/* 64 hex digits of either case; false otherwise. */
bool qv__sha256_parse(struct qv__str hex, uint8_t out[QV__SHA256_BYTES]);

#endif
