#!/usr/bin/env python3
"""table.py: from the JSON lines of compare.sh to tables at equal recall, CSV, and SVG curves.

Usage: table.py us|cpu_us OUT_DIR MISSING.txt SET.jsonl...
Environment: NAME=ann, MACHINE= a sentence about it
Writes OUT_DIR/NAME.md, NAME.csv and, per set, NAME-SET.svg (recall against searches per second) and NAME-SET-memory.svg (the same
per GB of memory). Every point is the median over the rounds. A speed at a recall is interpolated between the two beams around it, in
the logarithm of the time per search; a recall that no beam reached is left out.
"""

import collections
import csv
import html
import json
import math
import os
import statistics
import sys

RECALLS = (0.90, 0.95, 0.98, 0.99)
COLORS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf", "#ff7f0e")


class Engine:
    def __init__(self):
        self.info, self.beams = {}, collections.defaultdict(list)

    def curve(self):
        """[(recall, microseconds, ef)]: medians, in the order of recall."""
        return sorted((statistics.median(r for r, _ in b), statistics.median(t for _, t in b), ef) for ef, b in self.beams.items())

    def at(self, recall):
        points = [(r, t) for r, t, _ in self.curve()]
        for (r0, t0), (r1, t1) in zip(points, points[1:]):
            if r0 <= recall <= r1 and r1 > r0:
                share = (recall - r0) / (r1 - r0)
                return math.exp(math.log(t0) + share * (math.log(t1) - math.log(t0)))
        return None

    def gigabytes(self):
        return self.info.get("memory_bytes", 0) / 1e9


def read(path, stat):
    engines = collections.defaultdict(Engine)
    with open(path, encoding="utf-8") as f:
        for text in f:
            if not text.startswith("{"):
                continue  # some libraries print, too
            line = json.loads(text)
            e = engines[line["engine"]]
            if "ef" not in line:
                e.info = line
                continue
            time = line.get(stat) or 1e6 / line["qps"]
            e.beams[line["ef"]].append((line["recall"], time))
    return engines


def cell(x, form):
    return form.format(x) if x else ""


def table(name, engines, stat):
    ours, peer = engines.get("quiver"), next((e for n, e in engines.items() if n.startswith("hnswlib")), None)
    info = next(iter(engines.values())).info
    rows = [f"## {name}: {info.get('points', 0):,} x {info.get('dim', 0)}\n"]
    heads = [f"{r:.2f}: us" for r in RECALLS] + [f"x hnswlib at {r:.2f}" for r in RECALLS[1:]]
    rows += ["| | " + " | ".join(heads) + " | memory, MB | build, s (CPU s) |", "|---" * (len(heads) + 3) + "|"]
    for n in sorted(engines, key=lambda n: (n != "quiver", engines[n].at(0.95) or 1e9)):
        e = engines[n]
        times = [e.at(r) for r in RECALLS]
        ratios = [peer.at(r) / t if peer and t and peer.at(r) else None for r, t in zip(RECALLS[1:], times[1:])]
        built = cell(e.info.get("build_s"), "{:.0f}") + cell(e.info.get("build_cpu_s"), " ({:.0f})")
        cells = [cell(t, "{:.1f}") for t in times] + [cell(x, "{:.2f}") for x in ratios] + [cell(e.gigabytes() * 1e3, "{:.0f}"), built]
        rows.append(f"| {n} | " + " | ".join(cells) + " |")
    if ours:
        for r in (0.95, 0.99):
            others = [(e.at(r), n) for n, e in engines.items() if not n.startswith("quiver") and e.at(r)]
            if others and ours.at(r):
                best, n = min(others)
                rows.append(f"\nAt {r:.2f} the best other is {n}: Quiver is {best / ours.at(r):.2f} times as fast.")
    return "\n".join(rows) + "\n"


def svg(path, title, unit, series):
    """series: [(name, [(recall, y)])]; recall on a scale that spreads the last per cent, y logarithmic."""
    series = [(n, [(r, y) for r, y in points if 0.7 <= r < 0.9999 and y > 0]) for n, points in series]
    series = [(n, p) for n, p in series if p]
    if not series:
        return
    w, h, left, top, right, bottom = 900, 520, 80, 40, 290, 50
    low = min(y for _, p in series for _, y in p)
    high = max(y for _, p in series for _, y in p)
    x_of = lambda r: left + (w - left - right) * math.log((1 - 0.7) / (1 - r)) / math.log((1 - 0.7) / (1 - 0.999))
    y_of = lambda y: h - bottom - (h - top - bottom) * math.log(y / low) / max(math.log(high / low), 1e-9)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" font-family="sans-serif" font-size="12">',
           f'<rect width="{w}" height="{h}" fill="white"/><text x="{left}" y="22" font-size="15">{html.escape(title)}</text>']  # fmt: skip
    for r in (0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999):
        out.append(f'<line x1="{x_of(r):.1f}" y1="{top}" x2="{x_of(r):.1f}" y2="{h - bottom}" stroke="#ddd"/>'
                   f'<text x="{x_of(r):.1f}" y="{h - bottom + 18}" text-anchor="middle">{r:g}</text>')  # fmt: skip
    step = 10 ** math.floor(math.log10(low))
    while step < high * 1.01:
        for m in (1, 2, 5):
            if low <= step * m <= high:
                out.append(f'<line x1="{left}" y1="{y_of(step * m):.1f}" x2="{w - right}" y2="{y_of(step * m):.1f}" stroke="#ddd"/>'
                           f'<text x="{left - 6}" y="{y_of(step * m) + 4:.1f}" text-anchor="end">{step * m:,.0f}</text>')  # fmt: skip
        step *= 10
    for i, (n, points) in enumerate(series):
        color, dash = COLORS[i % len(COLORS)], ' stroke-dasharray="5 3"' if i >= len(COLORS) else ""
        line = " ".join(f"{x_of(min(r, 0.999)):.1f},{y_of(y):.1f}" for r, y in points)
        width = 3 if n.startswith("quiver") else 1.5
        out.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="{width}"{dash}/>'
                   f'<line x1="{w - right + 12}" y1="{top + 20 * i + 6}" x2="{w - right + 36}" y2="{top + 20 * i + 6}" stroke="{color}" '
                   f'stroke-width="{width}"{dash}/><text x="{w - right + 42}" y="{top + 20 * i + 10}">{html.escape(n)}</text>')  # fmt: skip
    out.append(f'<text x="{(left + w - right) / 2}" y="{h - 10}" text-anchor="middle">recall@10</text>'
               f'<text x="18" y="{(top + h - bottom) / 2}" text-anchor="middle" transform="rotate(-90 18 {(top + h - bottom) / 2})">{unit}</text></svg>')  # fmt: skip
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(out) + "\n")


def main():
    stat, folder, missing, *paths = sys.argv[1:]
    base, machine = os.environ.get("NAME", "ann"), os.environ.get("MACHINE", "")
    names = {"us": "wall time", "cpu_us": "CPU time of the searching thread"}
    parts = ["# Search: Quiver and others\n", f"Microseconds a search ({names[stat]}, one thread, k 10) at equal recall@10; medians of interleaved "
             f"rounds. Made by `bench/ann/compare.sh`.{' ' + machine if machine else ''}\n"]  # fmt: skip
    with open(os.path.join(folder, f"{base}.csv"), "w", newline="", encoding="utf-8") as f:
        rows = csv.writer(f)
        rows.writerow(["set", "points", "dim", "engine", "ef", "recall", stat, "memory_bytes", "build_s", "build_cpu_s"])
        for path in paths:
            name, engines = os.path.basename(path).removesuffix(".jsonl"), read(path, stat)
            if not engines:
                continue
            parts.append(table(name, engines, stat))
            order = sorted(engines, key=lambda n: (n != "quiver", n))
            curves = {n: engines[n].curve() for n in order}
            svg(os.path.join(folder, f"{base}-{name}.svg"), f"{name}: searches per second, one thread", "searches per second",
                [(n, [(r, 1e6 / t) for r, t, _ in c]) for n, c in curves.items()])  # fmt: skip
            svg(os.path.join(folder, f"{base}-{name}-memory.svg"), f"{name}: searches per second and GB", "searches per second and GB",
                [(n, [(r, 1e6 / t / engines[n].gigabytes()) for r, t, _ in c]) for n, c in curves.items() if engines[n].gigabytes()])  # fmt: skip
            parts.append(f"![{name}]({base}-{name}.svg)\n![{name}, per GB]({base}-{name}-memory.svg)\n")
            for n in order:
                e = engines[n]
                for recall, time, ef in curves[n]:
                    rows.writerow([name, e.info.get("points"), e.info.get("dim"), n, ef, f"{recall:.5f}", f"{time:.2f}",
                                   e.info.get("memory_bytes"), e.info.get("build_s"), e.info.get("build_cpu_s")])  # fmt: skip
    with open(missing, encoding="utf-8") as f:
        lacking = f.read().splitlines()
    if lacking:
        parts.append("Not measured, with what was tried:\n\n" + "\n".join(f"- {line}" for line in lacking) + "\n")
    text = "\n".join(parts)
    with open(os.path.join(folder, f"{base}.md"), "w", encoding="utf-8") as f:
        f.write(text)
    print(text)


main()
