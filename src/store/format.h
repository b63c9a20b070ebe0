/* format.h: the head that every file format of this folder begins with.
 *
 * What it is: one layout for the first 32 bytes and the last 4 bytes of a file's head, so that any
 * build can tell whether it may read a file of any other build.
 *
 *     0   8  magic
 *     8   2  major: a reader of another major refuses
 *    10   2  minor: additions that older readers may ignore
 *    12   4  head bytes
 *    16   8  incompat feature bits: an unknown one refuses reading
 *    24   8  ro_compat feature bits: an unknown one refuses writing
 *    ...     the format's own fields
 *    head bytes - 4   4  CRC-32C of all bytes before
 *
 * What it is not: aware of what follows. Threads: any. */
#ifndef QV_STORE_FORMAT_H
#define QV_STORE_FORMAT_H

#include "base/buf.h"

#define QV__FORMAT_PREFIX_BYTES 32u
/* No version of a format has a longer head. */
#define QV__FORMAT_HEAD_MAX     ((size_t)64 * 1024)

struct qv__format {
    const char *magic; /* 8 bytes */
    const char *noun;  /* "log file", for messages */
    uint16_t major, minor;
    uint32_t head_bytes;
    uint64_t incompat, ro_compat; /* bits this build knows */
};

/* Zero the head and fill its prefix; the format's fields come next, then qv__format_seal. */
void qv__format_begin(const struct qv__format *f, uint8_t *head);
void qv__format_seal(const struct qv__format *f, uint8_t *head);

/* Validate the head at the start of `n` bytes: length, magic, CRC, major, feature bits. `name` (the
 * file) begins each message. Errors: QV_ECORRUPT; QV_EVERSION for a sound head of a newer format.
 */
qv_status qv__format_check(const struct qv__format *f, const uint8_t *bytes, size_t n,
                           bool will_write, const char *name, struct qv_err *err) QV_MUST_USE;

#endif
