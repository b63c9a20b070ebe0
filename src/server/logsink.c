/* logsink.c: see logsink.h.
 *
 * A message holds at most 1,023 bytes and, made JSON, at most six times that, so a line is built in
 * a block on the stack and cut if a component's name is absurd. Bytes of a message that are no
 * UTF-8 (a client's path) become U+FFFD in JSON. Who cannot be written to loses the line: logging
 * never fails and never waits for more than the descriptor does. */
#include "server/logsink.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 8192

struct line {
    char text[LINE_BYTES];
    size_t n;
};

/* Leaves room for what ends a line. */
static void put(struct line *l, const char *p, size_t n)
{
    if (n <= sizeof l->text - 8 - l->n) {
        memcpy(l->text + l->n, p, n);
        l->n += n;
    }
}

static void put_z(struct line *l, const char *z)
{
    put(l, z, strlen(z));
}

static void put_time(struct line *l, uint64_t wall_ms)
{
    char text[64];
    struct tm tm;
    time_t s = (time_t)(wall_ms / 1000);
    if (!gmtime_r(&s, &tm)) {
        memset(&tm, 0, sizeof tm);
    }
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(text + n, sizeof text - n, ".%03uZ", (unsigned)(wall_ms % 1000));
    put_z(l, text);
}

/* Bytes of the UTF-8 sequence at p (at most n), or 0 if there is none. */
static size_t utf8_sequence(const uint8_t *p, size_t n)
{
    size_t want = p[0] < 0x80 ? 1 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (want > n || (p[0] >= 0x80 && p[0] < 0xc2) || p[0] > 0xf4) {
        return 0;
    }
    for (size_t i = 1; i < want; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xed && p[1] > 0x9f;
    bool beyond = p[0] == 0xf4 && p[1] > 0x8f;
    return overlong || surrogate || beyond ? 0 : want;
}

static void put_json(struct line *l, const char *z)
{
    const uint8_t *p = (const uint8_t *)z;
    put(l, "\"", 1);
    for (size_t left = strlen(z); left;) {
        size_t n = utf8_sequence(p, left);
        char escaped[8];
        if (n == 0) {
            put_z(l, "\xef\xbf\xbd");
            n = 1;
        } else if (p[0] == '"' || p[0] == '\\') {
            (void)snprintf(escaped, sizeof escaped, "\\%c", p[0]);
            put_z(l, escaped);
        } else if (p[0] < 0x20) {
            (void)snprintf(escaped, sizeof escaped, "\\u%04x", p[0]);
            put_z(l, escaped);
        } else {
            put(l, (const char *)p, n);
        }
        p += n;
        left -= n;
    }
    put(l, "\"", 1);
}

static void write_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return;
        }
        p += done;
        n -= (size_t)done;
    }
}

static void sink(void *ctx, enum qv__level level, const char *component, const char *message)
{
    struct qv__logsink *s = ctx;
    struct line l;
    l.n = 0;
    uint64_t now = qv__wall_ms(s->clock);
    if (s->format == QV__LOG_JSON) {
        put_z(&l, "{\"time\":\"");
        put_time(&l, now);
        put_z(&l, "\",\"level\":\"");
        put_z(&l, qv__level_name(level));
        put_z(&l, "\",\"component\":");
        put_json(&l, component);
        put_z(&l, ",\"message\":");
        put_json(&l, message);
        memcpy(l.text + l.n, "}\n", 2); /* put keeps room */
        l.n += 2;
    } else {
        put_time(&l, now);
        put(&l, " ", 1);
        put_z(&l, qv__level_name(level));
        put(&l, " ", 1);
        put_z(&l, component);
        put_z(&l, ": ");
        put_z(&l, message);
        memcpy(l.text + l.n, "\n", 1);
        l.n += 1;
    }
    write_all(s->fd, l.text, l.n);
}

struct qv__logger qv__logsink_logger(struct qv__logsink *s, enum qv__level min_level)
{
    return (struct qv__logger){.sink = sink, .ctx = s, .min_level = min_level};
}
