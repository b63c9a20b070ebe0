/* id.h: the id of a point: an unsigned or signed integer, a UUID, or a string; totally ordered.
 *
 * What it is: the value, its order, hash, text and stored forms. Kinds order as u64 < i64 < UUID <
 * string; the same number in two kinds is two ids (each dialect accepts its own kinds).
 * What it is not: a row number; those are internal and change with compaction. */
#ifndef QV_BASE_ID_H
#define QV_BASE_ID_H

#include "base/arena.h"
#include "base/buf.h"

enum qv__id_kind { QV__ID_U64 = 0, QV__ID_I64 = 1, QV__ID_UUID = 2, QV__ID_STR = 3 };
#define QV__ID_STR_MAX 255u

struct qv__id {
    uint8_t kind; /* enum qv__id_kind */
    uint8_t len;  /* STR: bytes, 1..255 */
    union {
        uint64_t u;
        int64_t i;
        uint8_t uuid[16];
        const char *s; /* borrowed */
    };
};

static inline struct qv__id qv__id_u64(uint64_t u)
{
    struct qv__id id = {.kind = QV__ID_U64, .u = u};
    return id;
}
int qv__id_cmp(const struct qv__id *a, const struct qv__id *b);
bool qv__id_eq(const struct qv__id *a, const struct qv__id *b);
uint64_t qv__id_hash(const struct qv__id *id);
/* Any textual form of a UUID: hyphenated, 32 hex digits, "urn:uuid:" and braces. */
bool qv__id_parse_uuid(struct qv__str text, struct qv__id *out);
/* Lower-case hyphenated; 37 bytes with the NUL. */
void qv__id_uuid_text(const struct qv__id *id, char out[37]);
/* Text for messages: 5, -5, uuid, "string"; cut to n. */
const char *qv__id_text(const struct qv__id *id, char *out, size_t n);

/* Stored form: kind byte, then 8 / 8 / 16 / 1 + len bytes. */
void qv__id_write(struct qv__buf *b, const struct qv__id *id);
/* A STR points into the reader's bytes. False (and r->failed) on malformed bytes. */
bool qv__id_read(struct qv__reader *r, struct qv__id *out);
/* Copy a borrowed string into the arena; no-op for other kinds. */
qv_status qv__id_own(struct qv__arena *a, struct qv__id *id) QV_MUST_USE;

#endif
