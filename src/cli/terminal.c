/* terminal.c: text for people.
 *
 * Widths come from two short tables instead of wcwidth, which depends on the locale's tables and
 * would make the output of a script depend on its environment. */
#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_DEFAULT 80u
#define COLUMNS_MAX     400u

void qv__term_init(struct qv__term *t, FILE *f)
{
    *t = (struct qv__term){.f = f, .columns = COLUMNS_DEFAULT};
    int fd = fileno(f);
    t->tty = fd >= 0 && isatty(fd);
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    t->color = t->tty && !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
    struct winsize size;
    if (t->tty && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) {
        t->columns = QV_MIN((unsigned)size.ws_col, COLUMNS_MAX);
    }
}

const char *qv__term_style(const struct qv__term *t, enum qv__style s)
{
    static const char *const sequence[] = {
        [QV__PLAIN] = "\x1b[0m", [QV__BOLD] = "\x1b[1m",   [QV__DIM] = "\x1b[2m",
        [QV__RED] = "\x1b[31m",  [QV__GREEN] = "\x1b[32m", [QV__YELLOW] = "\x1b[33m",
    };
    return t->color ? sequence[s] : "";
}

/* One well-formed character at p; bytes used, 0 if it is malformed. */
static size_t decode(const char *p, size_t n, uint32_t *out)
{
    const uint8_t *b = (const uint8_t *)p;
    size_t len = b[0] < 0x80                   ? 1
                 : b[0] >= 0xc2 && b[0] < 0xe0 ? 2
                 : b[0] >= 0xe0 && b[0] < 0xf0 ? 3
                 : b[0] >= 0xf0 && b[0] < 0xf5 ? 4
                                               : 0;
    if (len == 0 || len > n) {
        return 0;
    }
    static const uint8_t mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t c = b[0] & mask[len];
    for (size_t i = 1; i < len; i++) {
        if ((b[i] & 0xc0) != 0x80) {
            return 0;
        }
        c = c << 6 | (b[i] & 0x3fu);
    }
    if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) {
        return 0;
    }
    *out = c;
    return len;
}

struct range {
    uint32_t first, last;
};

static bool in_ranges(uint32_t c, const struct range *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (c >= r[i].first && c <= r[i].last) {
            return true;
        }
    }
    return false;
}

/* Controls, and the marks that turn the writing direction: text must not rearrange the line. */
static bool is_unsafe(uint32_t c)
{
    static const struct range ranges[] = {
        {0x00, 0x1f}, {0x7f, 0x9f}, {0x2028, 0x202e}, {0x2066, 0x2069}, {0xfff9, 0xfffb}};
    return in_ranges(c, ranges, QV_ARRAY_LEN(ranges));
}

static unsigned width_of(uint32_t c)
{
    static const struct range none[] = {{0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd},
                                        {0x0610, 0x061a}, {0x064b, 0x065f}, {0x200b, 0x200f},
                                        {0x20d0, 0x20f0}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};
    static const struct range two[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},  {0x3041, 0x33ff},
                                       {0x3400, 0x4dbf},   {0x4e00, 0x9fff},  {0xa000, 0xa4cf},
                                       {0xac00, 0xd7a3},   {0xf900, 0xfaff},  {0xfe30, 0xfe4f},
                                       {0xff00, 0xff60},   {0xffe0, 0xffe6},  {0x1f300, 0x1f64f},
                                       {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
    if (c < 0x300) {
        return 1;
    }
    if (in_ranges(c, none, QV_ARRAY_LEN(none))) {
        return 0;
    }
    return in_ranges(c, two, QV_ARRAY_LEN(two)) ? 2 : 1;
}

void qv__term_put(struct qv__buf *out, struct qv__str text)
{
    for (size_t i = 0; i < text.n;) {
        uint32_t c = 0;
        size_t used = decode(text.p + i, text.n - i, &c);
        if (used == 0) {
            qv__buf_printf(out, "\\x%02x", (unsigned)(uint8_t)text.p[i]);
            used = 1;
        } else if (c == '\n' || c == '\t') {
            qv__buf_putc(out, ' ');
        } else if (is_unsafe(c)) {
            qv__buf_printf(out, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
        } else {
            qv__buf_put(out, text.p + i, used);
        }
        i += used;
    }
}

size_t qv__term_width(struct qv__str text)
{
    size_t columns = 0;
    for (size_t i = 0; i < text.n;) {
        uint32_t c = 0;
        size_t used = decode(text.p + i, text.n - i, &c);
        columns += used ? width_of(c) : 1;
        i += used ? used : 1;
    }
    return columns;
}

static void line_break(struct qv__buf *out, unsigned indent)
{
    qv__buf_putc(out, '\n');
    for (unsigned i = 0; i < indent; i++) {
        qv__buf_putc(out, ' ');
    }
}

/* A word longer than a line is cut where the line ends. */
static size_t put_long_word(struct qv__buf *out, struct qv__str word, unsigned indent, size_t room)
{
    size_t at = 0;
    for (size_t i = 0; i < word.n;) {
        uint32_t c = 0;
        size_t used = decode(word.p + i, word.n - i, &c);
        used = used ? used : 1;
        unsigned w = width_of(c);
        if (at + w > room) {
            line_break(out, indent);
            at = 0;
        }
        qv__buf_put(out, word.p + i, used);
        at += w;
        i += used;
    }
    return at;
}

void qv__term_wrap(struct qv__buf *out, struct qv__str text, unsigned indent, unsigned columns)
{
    struct qv__buf safe;
    qv__buf_init(&safe, out->mem);
    qv__term_put(&safe, text);
    size_t room = columns > indent + 20 ? columns - indent : 20, at = 0;
    const char *p = (const char *)safe.p, *end = p + safe.n;
    if (safe.n == 0) {
        end = p;
    }
    while (p < end) {
        const char *word = p;
        while (p < end && *p != ' ') {
            p++;
        }
        struct qv__str w = {word, (size_t)(p - word)};
        size_t width = qv__term_width(w);
        if (at > 0 && at + 1 + width > room) {
            line_break(out, indent);
            at = 0;
        } else if (at > 0) {
            qv__buf_putc(out, ' ');
            at++;
        }
        if (width > room) {
            at = put_long_word(out, w, indent, room);
        } else {
            qv__buf_put(out, w.p, w.n);
            at += width;
        }
        while (p < end && *p == ' ') {
            p++;
        }
    }
    out->failed |= safe.failed;
    qv__buf_free(&safe);
}

const char *qv__human_count(uint64_t n, char out[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            out[at++] = ',';
        }
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

const char *qv__human_bytes(uint64_t n, char out[32])
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double v = (double)n;
    size_t u = 0;
    while (v >= 1023.95 && u + 1 < QV_ARRAY_LEN(unit)) {
        v /= 1024;
        u++;
    }
    snprintf(out, 32, u == 0 ? "%.0f %s" : "%.1f %s", v, unit[u]);
    return out;
}

const char *qv__human_seconds(double s, char out[32])
{
    if (!(s >= 0)) {
        s = 0;
    }
    if (s < 0.001) {
        snprintf(out, 32, "%.0f us", s * 1e6);
    } else if (s < 1) {
        snprintf(out, 32, "%.1f ms", s * 1e3);
    } else if (s < 60) {
        snprintf(out, 32, "%.1f s", s);
    } else if (s < 3600) {
        snprintf(out, 32, "%u:%02u min", (unsigned)(s / 60), (unsigned)s % 60);
    } else {
        s = s < 3.6e7 ? s : 3.6e7;
        snprintf(out, 32, "%u:%02u:%02u h", (unsigned)(s / 3600), (unsigned)(s / 60) % 60,
                 (unsigned)s % 60);
    }
    return out;
}
