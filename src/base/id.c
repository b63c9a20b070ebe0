/* id.c: order, hash, text and stored form of point ids.
 *
 * The order is total: by kind first, then numbers by value, UUIDs and strings by bytes; it is the
 * order of scrolling, so it must never change. The textual forms of a UUID are the four that RFC
 * 4122 parsers commonly take: 32 hex digits, hyphenated, hyphenated in braces, "urn:uuid:" +
 * hyphenated. Memory: none is taken; strings are borrowed unless qv__id_own copies them. */
#include "base/id.h"

#include <stdio.h>

#include "base/map.h"

int qv__id_cmp(const struct qv__id *a, const struct qv__id *b)
{
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    switch ((enum qv__id_kind)a->kind) {
    case QV__ID_U64:
        return (a->u > b->u) - (a->u < b->u);
    case QV__ID_I64:
        return (a->i > b->i) - (a->i < b->i);
    case QV__ID_UUID:
        return memcmp(a->uuid, b->uuid, sizeof a->uuid);
    case QV__ID_STR:
    default:
        return qv__str_cmp((struct qv__str){a->s, a->len}, (struct qv__str){b->s, b->len});
    }
}

bool qv__id_eq(const struct qv__id *a, const struct qv__id *b)
{
    return qv__id_cmp(a, b) == 0;
}

uint64_t qv__id_hash(const struct qv__id *id)
{
    switch ((enum qv__id_kind)id->kind) {
    case QV__ID_U64:
        return qv__hash_u64(id->u);
    case QV__ID_I64:
        /* Shifted, so that the usual numbers of both kinds do not share their hashes. */
        return qv__hash_u64(id->u ^ UINT64_C(0x9e3779b97f4a7c15));
    case QV__ID_UUID:
        return qv__hash_bytes(id->uuid, sizeof id->uuid);
    case QV__ID_STR:
    default:
        return qv__hash_bytes(id->s, id->len);
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

static bool is_hyphen_before(unsigned byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

/* 32 digits, or 36 characters with the hyphens in their places. */
static bool parse_uuid_digits(const char *p, bool hyphens, uint8_t out[16])
{
    for (unsigned i = 0; i < 16; i++) {
        if (hyphens && is_hyphen_before(i) && *p++ != '-') {
            return false;
        }
        int hi = hex_digit(p[0]);
        int lo = hex_digit(p[1]);
        if (hi < 0 || lo < 0) {
            return false;
        }
        out[i] = (uint8_t)(hi * 16 + lo);
        p += 2;
    }
    return true;
}

bool qv__id_parse_uuid(struct qv__str text, struct qv__id *out)
{
    static const char urn[] = "urn:uuid:";
    const char *p = text.p;
    bool hyphens = true;
    struct qv__id id = {.kind = QV__ID_UUID};

    switch (text.n) {
    case 32:
        hyphens = false;
        break;
    case 36:
        break;
    case 38:
        if (p[0] != '{' || p[37] != '}') {
            return false;
        }
        p += 1;
        break;
    case 45:
        if (memcmp(p, urn, sizeof urn - 1) != 0) {
            return false;
        }
        p += sizeof urn - 1;
        break;
    default:
        return false;
    }
    if (!parse_uuid_digits(p, hyphens, id.uuid)) {
        return false;
    }
    *out = id;
    return true;
}

void qv__id_uuid_text(const struct qv__id *id, char out[37])
{
    static const char digits[] = "0123456789abcdef";
    char *p = out;
    for (unsigned i = 0; i < 16; i++) {
        if (is_hyphen_before(i)) {
            *p++ = '-';
        }
        *p++ = digits[id->uuid[i] >> 4];
        *p++ = digits[id->uuid[i] & 15];
    }
    *p = '\0';
}

const char *qv__id_text(const struct qv__id *id, char *out, size_t n)
{
    char text[QV__ID_STR_MAX + 3];
    size_t len;

    switch ((enum qv__id_kind)id->kind) {
    case QV__ID_U64:
        len = (size_t)snprintf(text, sizeof text, "%" PRIu64, id->u);
        break;
    case QV__ID_I64:
        len = (size_t)snprintf(text, sizeof text, "%" PRId64, id->i);
        break;
    case QV__ID_UUID:
        qv__id_uuid_text(id, text);
        len = 36;
        break;
    case QV__ID_STR:
    default:
        text[0] = '"';
        memcpy(text + 1, id->s, id->len);
        text[id->len + 1] = '"';
        len = (size_t)id->len + 2;
        break;
    }
    if (n == 0) {
        return out;
    }
    if (len >= n) {
        len = n - 1;
        /* The text goes into JSON: never cut inside a UTF-8 sequence. */
        while (len > 0 && ((unsigned char)text[len] & 0xc0u) == 0x80u) {
            len--;
        }
    }
    memcpy(out, text, len);
    out[len] = '\0';
    return out;
}

void qv__id_write(struct qv__buf *b, const struct qv__id *id)
{
    qv__buf_u8(b, id->kind);
    switch ((enum qv__id_kind)id->kind) {
    case QV__ID_U64:
    case QV__ID_I64:
        qv__buf_u64(b, id->u);
        break;
    case QV__ID_UUID:
        qv__buf_put(b, id->uuid, sizeof id->uuid);
        break;
    case QV__ID_STR:
    default:
        qv__buf_u8(b, id->len);
        qv__buf_put(b, id->s, id->len);
        break;
    }
}

bool qv__id_read(struct qv__reader *r, struct qv__id *out)
{
    struct qv__id id = {.kind = qv__read_u8(r)};
    const uint8_t *p;

    switch (id.kind) {
    case QV__ID_U64:
    case QV__ID_I64:
        id.u = qv__read_u64(r);
        break;
    case QV__ID_UUID:
        p = qv__read_bytes(r, sizeof id.uuid);
        if (p) {
            memcpy(id.uuid, p, sizeof id.uuid);
        }
        break;
    case QV__ID_STR:
        id.len = qv__read_u8(r);
        id.s = (const char *)qv__read_bytes(r, id.len);
        if (id.len == 0) {
            r->failed = true;
        }
        break;
    default:
        r->failed = true;
        break;
    }
    if (r->failed) {
        return false;
    }
    *out = id;
    return true;
}

qv_status qv__id_own(struct qv__arena *a, struct qv__id *id)
{
    if (id->kind != QV__ID_STR) {
        return QV_OK;
    }
    const char *copy = qv__arena_strndup(a, id->s, id->len);
    if (!copy) {
        return QV_ENOMEM;
    }
    id->s = copy;
    return QV_OK;
}
