/* format.c: writing and checking the common head of stored files.
 *
 * The CRC is looked at before the version: only a head that is what its writer wrote may say that a
 * newer build is needed; anything else is damage. That works for heads of other majors too, since
 * the place of the CRC follows from the head's own length. No state, no locks, no memory. */
#include "store/format.h"

#include "base/crc32c.h"

#define CRC_BYTES 4u

void qv__format_begin(const struct qv__format *f, uint8_t *head)
{
    memset(head, 0, f->head_bytes);
    memcpy(head, f->magic, 8);
    qv__store_u16(head + 8, f->major);
    qv__store_u16(head + 10, f->minor);
    qv__store_u32(head + 12, f->head_bytes);
    qv__store_u64(head + 16, f->incompat);
    qv__store_u64(head + 24, f->ro_compat);
}

void qv__format_seal(const struct qv__format *f, uint8_t *head)
{
    size_t n = f->head_bytes - CRC_BYTES;
    qv__store_u32(head + n, qv__crc32c(0, head, n));
}

/* True if the CRC at the end of a head of this length holds. */
static bool is_sound(const uint8_t *bytes, size_t n, size_t head_bytes)
{
    if (head_bytes < QV__FORMAT_PREFIX_BYTES + CRC_BYTES || head_bytes > n ||
        head_bytes > QV__FORMAT_HEAD_MAX) {
        return false;
    }
    size_t at = head_bytes - CRC_BYTES;
    return qv__load_u32(bytes + at) == qv__crc32c(0, bytes, at);
}

qv_status qv__format_check(const struct qv__format *f, const uint8_t *bytes, size_t n,
                           bool will_write, const char *name, struct qv_err *err)
{
    if (n < QV__FORMAT_PREFIX_BYTES) {
        return qv__fail(err, QV_ECORRUPT, "%s: %zu bytes are too few for a %s", name, n, f->noun);
    }
    if (memcmp(bytes, f->magic, 8) != 0) {
        return qv__fail(err, QV_ECORRUPT, "%s: offset 0: not a %s, or its head is damaged", name,
                        f->noun);
    }
    uint16_t major = qv__load_u16(bytes + 8);
    size_t head_bytes = qv__load_u32(bytes + 12);
    if (!is_sound(bytes, n, head_bytes)) {
        return qv__fail(err, QV_ECORRUPT, "%s: offset 0: checksum of the head does not match",
                        name);
    }
    if (major != f->major) {
        return qv__fail(err, QV_EVERSION, "%s: %s of format %u, this build reads format %u", name,
                        f->noun, (unsigned)major, (unsigned)f->major);
    }
    uint64_t incompat = qv__load_u64(bytes + 16) & ~f->incompat;
    uint64_t ro_compat = qv__load_u64(bytes + 24) & ~f->ro_compat;
    if (incompat || (will_write && ro_compat)) {
        return qv__fail(err, QV_EVERSION, "%s: needs features %#" PRIx64 " of a newer build", name,
                        incompat ? incompat : ro_compat);
    }
    if (head_bytes != f->head_bytes) {
        return qv__fail(err, QV_ECORRUPT, "%s: offset 12: head of %zu bytes, %u expected", name,
                        head_bytes, (unsigned)f->head_bytes);
    }
    return QV_OK;
}
