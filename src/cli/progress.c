/* progress.c: the bar. The rate is that of the whole run, since that is what the end depends on. */
#include "cli/progress.h"

#include "os/io.h"

#define DRAW_NS  (UINT64_C(100) * 1000 * 1000)  /* on a terminal */
#define PRINT_NS (UINT64_C(5000) * 1000 * 1000) /* elsewhere */
#define BAR      24

void qv__progress_start(struct qv__progress *p, struct qv__cli *cli, const char *label,
                        const char *unit, bool quiet)
{
    uint64_t now = qv__mono_ns(qv__clock_system());
    *p = (struct qv__progress){.cli = cli,
                               .label = label,
                               .unit = unit,
                               .quiet = quiet,
                               .start_ns = now,
                               .drawn_ns = now,
                               .share = -1};
}

double qv__progress_seconds(const struct qv__progress *p)
{
    return (double)(qv__mono_ns(qv__clock_system()) - p->start_ns) / 1e9;
}

static void put_bar(struct qv__buf *b, double share)
{
    int full = (int)(share * BAR);
    qv__buf_putc(b, '[');
    for (int i = 0; i < BAR; i++) {
        qv__buf_putc(b, i < full ? '=' : i == full ? '>' : ' ');
    }
    qv__buf_printf(b, "] %3.0f %%  ", share * 100);
}

static void draw(struct qv__progress *p, bool tty)
{
    struct qv__buf b;
    char number[32], rate[32], left[32];
    double seconds = qv__progress_seconds(p);
    qv__buf_init(&b, p->cli->mem);
    qv__buf_printf(&b, "%s  ", p->label);
    bool known = p->share >= 0 && p->share <= 1;
    if (known && tty) {
        put_bar(&b, p->share);
    } else if (known) {
        qv__buf_printf(&b, "%.0f %%  ", p->share * 100);
    }
    if (p->count > 0 && seconds > 0) {
        qv__buf_printf(&b, "%s %s  %s/s", qv__human_count(p->count, number), p->unit,
                       qv__human_count((uint64_t)((double)p->count / seconds), rate));
    } else {
        qv__buf_printf(&b, "%s", qv__human_seconds(seconds, number));
    }
    if (known && p->share > 0.01) {
        qv__buf_printf(&b, "  %s left",
                       qv__human_seconds(seconds * (1 - p->share) / p->share, left));
    }
    if (!b.failed) {
        size_t n = tty ? QV_MIN(b.n, (size_t)p->cli->err.columns - 1) : b.n;
        fprintf(p->cli->err.f, tty ? "\r%.*s\x1b[K" : "%.*s\n", (int)n, (const char *)b.p);
        fflush(p->cli->err.f);
        p->drawn = tty;
    }
    qv__buf_free(&b);
}

void qv__progress_at(struct qv__progress *p, uint64_t count, double share)
{
    p->count = count;
    p->share = share;
    if (p->quiet) {
        return;
    }
    bool tty = p->cli->err.color; /* a terminal that can erase a line */
    uint64_t now = qv__mono_ns(qv__clock_system());
    if (now - p->drawn_ns >= (tty ? DRAW_NS : PRINT_NS)) {
        p->drawn_ns = now;
        draw(p, tty);
    }
}

void qv__progress_clear(struct qv__progress *p)
{
    if (p->drawn) {
        fprintf(p->cli->err.f, "\r\x1b[K");
        fflush(p->cli->err.f);
        p->drawn = false;
    }
}
