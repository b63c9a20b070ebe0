/* terminal.h: text for people: what the terminal can do, safe text, wrapping, human numbers.
 *
 * What it is: the only place that knows of columns and colours. Text that came from a file or a
 * server passes qv__term_put, so that it cannot send commands to the terminal.
 * What it is not: a full-screen library. Threads: one at a time per object. */
#ifndef QV_CLI_TERMINAL_H
#define QV_CLI_TERMINAL_H

#include <stdio.h>

#include "base/buf.h"

struct qv__term {
    FILE *f;
    bool tty;
    bool color; /* a terminal, and neither NO_COLOR nor TERM=dumb is set */
    unsigned columns;
};

void qv__term_init(struct qv__term *t, FILE *f);

enum qv__style { QV__PLAIN = 0, QV__BOLD, QV__DIM, QV__RED, QV__GREEN, QV__YELLOW };
/* The sequence that switches a style on (QV__PLAIN: all off); "" without colour. */
const char *qv__term_style(const struct qv__term *t, enum qv__style s);

/* Append text with control characters and malformed UTF-8 replaced by visible escapes. Line feeds
 * and tabs become spaces. */
void qv__term_put(struct qv__buf *out, struct qv__str text);
/* Columns that well-formed, printable text takes. */
size_t qv__term_width(struct qv__str text);
/* Append text wrapped at blanks: the cursor stands at column `indent`, further lines begin there.
 * No line feed at the end. The text is made safe as by qv__term_put. */
void qv__term_wrap(struct qv__buf *out, struct qv__str text, unsigned indent, unsigned columns);

/* "12,000", "1.4 MiB", "3.2 s" or "1:07:12"; return `out`. */
const char *qv__human_count(uint64_t n, char out[32]);
const char *qv__human_bytes(uint64_t n, char out[32]);
const char *qv__human_seconds(double s, char out[32]);

#endif
