/* npy.c: the header of NumPy's .npy format (versions 1, 2 and 3).
 *
 * Six bytes of magic, two of version, the header's length (16 bits in version 1, else 32), then the
 * text of a Python dictionary with exactly the keys descr, fortran_order and shape, in any order.
 * It is read by a scanner of that small language; nothing is evaluated. Numbers are bounded before
 * they are multiplied. */
#include "base/buf.h"
#include "base/vec.h"
#include "cli/vector_file.h"

struct scan {
    const char *p, *end;
};

static void skip_blanks(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t')) {
        s->p++;
    }
}

static bool take(struct scan *s, char c)
{
    skip_blanks(s);
    if (s->p < s->end && *s->p == c) {
        s->p++;
        return true;
    }
    return false;
}

static bool take_word(struct scan *s, const char *word)
{
    size_t n = strlen(word);
    skip_blanks(s);
    if ((size_t)(s->end - s->p) >= n && memcmp(s->p, word, n) == 0) {
        s->p += n;
        return true;
    }
    return false;
}

static bool take_string(struct scan *s, struct qv__str *out)
{
    skip_blanks(s);
    if (s->p == s->end || (*s->p != '\'' && *s->p != '"')) {
        return false;
    }
    char quote = *s->p++;
    const char *from = s->p;
    while (s->p < s->end && *s->p != quote && *s->p != '\\' && *s->p != '\n') {
        s->p++;
    }
    *out = (struct qv__str){from, (size_t)(s->p - from)};
    return s->p < s->end && *s->p++ == quote;
}

static bool take_number(struct scan *s, uint64_t *out)
{
    skip_blanks(s);
    uint64_t v = 0;
    const char *from = s->p;
    for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++) {
        if (v > (UINT64_MAX >> 8)) { /* far above any file */
            return false;
        }
        v = v * 10 + (uint64_t)(*s->p - '0');
    }
    *out = v;
    if (s->p > from) {
        (void)take(s, 'L'); /* written by Python 2 */
    }
    return s->p > from;
}

static qv_status descr(struct scan *s, struct qv__npy *out, struct qv_err *err)
{
    static const struct {
        const char *text;
        enum qv__elem elem;
    } types[] = {{"<f4", QV__ELEM_F32}, {"<f2", QV__ELEM_F16}, {"<f8", QV__ELEM_F64},
                 {"|i1", QV__ELEM_I8},  {"<i1", QV__ELEM_I8},  {"|u1", QV__ELEM_U8},
                 {"<u1", QV__ELEM_U8},  {"<i4", QV__ELEM_I32}, {"<i8", QV__ELEM_I64}};
    struct qv__str t;
    skip_blanks(s);
    if (s->p < s->end && *s->p == '[') {
        return qv__fail(err, QV_EUNSUPPORTED,
                        "a structured array; save one plain column of vectors instead");
    }
    if (!take_string(s, &t)) {
        return qv__fail(err, QV_EINVAL, "malformed header: descr is no string");
    }
    for (size_t i = 0; i < QV_ARRAY_LEN(types); i++) {
        if (qv__str_eq(t, qv__str_z(types[i].text))) {
            out->elem = types[i].elem;
            return QV_OK;
        }
    }
    return qv__fail(err, QV_EUNSUPPORTED,
                    "elements of type `%.*s` cannot be read; save with numpy's astype('<f4')",
                    (int)QV_MIN(t.n, 32u), t.p);
}

static qv_status shape(struct scan *s, struct qv__npy *out, struct qv_err *err)
{
    uint64_t size[2] = {0, 0};
    unsigned n = 0;
    bool comma = true;
    if (!take(s, '(')) {
        return qv__fail(err, QV_EINVAL, "malformed header: shape is no tuple");
    }
    while (!take(s, ')')) {
        uint64_t v;
        if (!comma || !take_number(s, &v)) {
            return qv__fail(err, QV_EINVAL, "malformed header: shape is no tuple of numbers");
        }
        if (n < 2) {
            size[n] = v;
        }
        n++;
        comma = take(s, ',');
    }
    if (n != 2) {
        return qv__fail(err, QV_EUNSUPPORTED,
                        "the array has %u dimension%s; vectors need two: (rows, elements)", n,
                        n == 1 ? "" : "s");
    }
    out->rows = size[0];
    out->columns = size[1];
    return QV_OK;
}

static qv_status dictionary(struct scan *s, struct qv__npy *out, struct qv_err *err)
{
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    unsigned seen = 0;
    bool comma = true;
    if (!take(s, '{')) {
        return qv__fail(err, QV_EINVAL, "malformed header: no dictionary");
    }
    while (!take(s, '}')) {
        struct qv__str key;
        if (!comma || !take_string(s, &key) || !take(s, ':')) {
            return qv__fail(err, QV_EINVAL, "malformed header: `'key': value` expected");
        }
        unsigned bit = 0;
        if (qv__str_eq(key, QV__STR("descr"))) {
            bit = DESCR;
            QV_TRY(descr(s, out, err));
        } else if (qv__str_eq(key, QV__STR("shape"))) {
            bit = SHAPE;
            QV_TRY(shape(s, out, err));
        } else if (qv__str_eq(key, QV__STR("fortran_order"))) {
            bit = ORDER;
            if (take_word(s, "True")) {
                return qv__fail(err, QV_EUNSUPPORTED,
                                "the array is in Fortran order; save numpy.ascontiguousarray(a)");
            }
            if (!take_word(s, "False")) {
                return qv__fail(err, QV_EINVAL, "malformed header: fortran_order is no boolean");
            }
        }
        if (bit == 0 || (seen & bit)) {
            return qv__fail(err, QV_EINVAL, "malformed header: unexpected key `%.*s`",
                            (int)QV_MIN(key.n, 32u), key.p);
        }
        seen |= bit;
        comma = take(s, ',');
    }
    skip_blanks(s);
    if (seen != (DESCR | ORDER | SHAPE) || s->p != s->end) {
        return qv__fail(err, QV_EINVAL, "malformed header: descr, fortran_order and shape wanted");
    }
    return QV_OK;
}

qv_status qv__npy_parse(const uint8_t *p, size_t n, struct qv__npy *out, struct qv_err *err)
{
    if (n < 10 || memcmp(p, "\x93NUMPY", 6) != 0) {
        return qv__fail(err, QV_EINVAL, "not a .npy file (its first bytes are others)");
    }
    if (p[6] < 1 || p[6] > 3 || p[7] != 0) {
        return qv__fail(err, QV_EUNSUPPORTED, ".npy version %u.%u; 1.0, 2.0 and 3.0 can be read",
                        p[6], p[7]);
    }
    size_t prefix = p[6] == 1 ? 10 : 12;
    if (n < prefix) {
        return qv__fail(err, QV_EINVAL, "the file ends inside its header");
    }
    size_t length = p[6] == 1 ? qv__load_u16(p + 8) : qv__load_u32(p + 8);
    if (length > QV__NPY_HEAD_MAX - prefix) {
        return qv__fail(err, QV_EINVAL, "malformed header: %zu bytes long", length);
    }
    if (length > n - prefix) {
        return qv__fail(err, QV_EINVAL, "the file ends inside its header");
    }
    struct qv__npy npy = {.data_at = prefix + length};
    struct scan s = {(const char *)p + prefix, (const char *)p + prefix + length};
    QV_TRY(dictionary(&s, &npy, err));
    if (npy.columns == 0 || npy.columns > QV__DIM_MAX) {
        return qv__fail(err, QV_EINVAL, "rows of %" PRIu64 " elements; vectors have 1 to %u",
                        npy.columns, QV__DIM_MAX);
    }
    *out = npy;
    return QV_OK;
}
