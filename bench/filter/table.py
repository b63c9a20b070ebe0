#!/usr/bin/env python3
"""Tables and curves of bench_filter and peers.py: table.py OUT.md NAME=FILE.csv[,FILE.csv...]...

Writes the tables into OUT.md, behind what stands before its first one, and beside it filter-NAME.svg: queries a second at recall@10 of 0.95 by the share that passes."""
import csv
import os
import sys
from math import log10

COLOURS = ("#0b6", "#36c", "#c60", "#909", "#666")
KINDS = ("uncorrelated", "near", "far", "far4")


def read(files):
    rows, notes = [], []
    for name in files.split(","):
        with open(name, encoding="ascii") as f:
            lines = f.read().splitlines()
        notes += [line[2:] for line in lines if line.startswith("#")]
        rows += csv.DictReader(line for line in lines if not line.startswith("#"))
    return rows, notes


def svg(path, rows, engines):
    width, height, left, top = 300, 200, 60, 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {len(KINDS) * width + 150} {height + 80}" '
           'font-family="sans-serif" font-size="11">']
    shares = sorted({float(r["share"]) for r in rows})
    lo, hi = log10(shares[0]), log10(shares[-1])
    most = max(log10(float(r["qps"])) for r in rows if float(r["qps"]) > 0)
    for k, kind in enumerate(KINDS):
        x0 = left + k * (width + 20)
        out.append(f'<text x="{x0}" y="18">{kind}: queries/s by % passing</text>')
        out.append(f'<rect x="{x0}" y="{top}" width="{width - 20}" height="{height}" fill="none" stroke="#999"/>')
        for d in range(0, int(most) + 1):
            y = top + height - height * d / most
            out.append(f'<text x="{x0 - 4}" y="{y + 4:.0f}" text-anchor="end">{10**d:g}</text>')
        for s in shares:
            x = x0 + (width - 20) * (log10(s) - lo) / (hi - lo)
            out.append(f'<text x="{x:.0f}" y="{top + height + 14}" text-anchor="middle">{s:g}</text>')
        for e, engine in enumerate(engines):
            points = sorted((float(r["share"]), float(r["qps"])) for r in rows
                            if r["engine"] == engine and float(r["recall"]) >= 0.95 and float(r["qps"]) > 0
                            and (r["kind"] == kind or float(r["share"]) == 100))
            at = " ".join(f"{x0 + (width - 20) * (log10(s) - lo) / (hi - lo):.1f},"
                          f"{top + height - height * log10(q) / most:.1f}" for s, q in points)
            out.append(f'<polyline points="{at}" fill="none" stroke="{COLOURS[e % 5]}" stroke-width="2"/>')
    for e, engine in enumerate(engines):
        out.append(f'<text x="{left + e * 110}" y="{top + height + 36}" fill="{COLOURS[e % 5]}">{engine}</text>')
    out.append("</svg>")
    with open(path, "w", encoding="ascii") as f:
        f.write("\n".join(out) + "\n")


def intro(out):
    """What stands before the first heading of a table stays."""
    if not os.path.exists(out):
        return ""
    with open(out, encoding="utf-8") as f:
        return f.read().split("\n## ")[0].rstrip("\n") + "\n\n"


def us(text):
    return "-" if text == "inf" else text


def main():
    out, sets = sys.argv[1], [a.split("=", 1) for a in sys.argv[2:]]
    head = intro(out)
    with open(out, "w", encoding="utf-8") as f:
        f.write(head)
        for name, files in sets:
            rows, notes = read(files)
            engines = list(dict.fromkeys(r["engine"] for r in rows))
            svg(os.path.join(os.path.dirname(out), f"filter-{name}.svg"), rows, engines)
            peers = [e for e in engines if e != "quiver"]
            f.write(f"## {name}\n\n| filter | pass % | ef | recall@10 | q/s | of unfiltered | scan us | filtered us | "
                    "post-filter us | packed us | regret | plan of the last query |" + "".join(f" {p} q/s |" for p in peers)
                    + "\n|" + "---|" * (12 + len(peers)) + "\n")
            for r in (r for r in rows if r["engine"] == "quiver"):
                cells = []
                for p in peers:
                    of = [x for x in rows if x["engine"] == p and x["kind"] == r["kind"] and x["share"] == r["share"]]
                    cells.append("-" if not of else f"{float(of[0]['qps']):.0f}" if float(of[0]["recall"]) >= 0.95
                                 else f"{float(of[0]['qps']):.0f} at {float(of[0]['recall']):.2f}")
                f.write(f"| {r['kind']} | {r['share']} | {r['ef']} | {float(r['recall']):.3f} | {float(r['qps']):.0f} | "
                        f"{float(r['rel']):.2f} | {us(r['scan_us'])} | {us(r['walk_us'])} | {us(r['post_us'])} | {us(r.get('packed_us', 'inf'))} | "
                        f"{float(r['regret']):.2f} | {r['plan']} |" + "".join(f" {c} |" for c in cells) + "\n")
            f.write(f"\n![filter-{name}](filter-{name}.svg)\n\n")
            for n in notes:
                f.write(f"- {n}\n")
            f.write("\n" if notes else "")


if __name__ == "__main__":
    main()
