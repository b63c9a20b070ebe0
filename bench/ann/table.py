#!/usr/bin/env python3
"""table.py: from the JSON lines of compare.sh to a table of medians at equal recall.

Usage: table.py qps|p50 LINES.jsonl
A speed at a recall is interpolated between the two beams around it, in the logarithm of the time per search; a recall that no
beam reached is left out.
"""

import collections
import json
import math
import statistics
import sys

RECALLS = (0.90, 0.95, 0.98, 0.99)


def seconds(line, stat):
    return 1 / line["qps"] if stat == "qps" else line["p50_us"] / 1e6


def curve(lines, stat):
    """[(recall, seconds)] of medians, one per beam, in the order of recall."""
    beams = collections.defaultdict(list)
    for line in lines:
        if "ef" in line:
            beams[line["ef"]].append((line["recall"], seconds(line, stat)))
    return sorted((statistics.median(r for r, _ in b), statistics.median(s for _, s in b)) for b in beams.values())


def at(points, recall):
    for (r0, s0), (r1, s1) in zip(points, points[1:]):
        if r0 <= recall <= r1 and r1 > r0:
            share = (recall - r0) / (r1 - r0)
            return math.exp(math.log(s0) + share * (math.log(s1) - math.log(s0)))
    return None


def build(lines):
    """The build that took place, and the memory of the index."""
    built = [line for line in lines if "build_s" in line]
    done = [line["build_s"] for line in built if not line.get("reused")]
    memory = [line["memory_bytes"] for line in built if line.get("memory_bytes")]
    return statistics.median(done) if done else None, statistics.median(memory) if memory else None


def main():
    stat, path = sys.argv[1:]
    by_engine = collections.defaultdict(list)
    with open(path, encoding="utf-8") as f:
        for text in f:
            line = json.loads(text)
            by_engine[line["engine"]].append(line)
    ours, peer = by_engine["quiver"], by_engine["hnswlib"]
    (our_build, our_memory), (peer_build, peer_memory) = build(ours), build(peer)
    print(f"build {our_build:.1f} s, hnswlib {peer_build:.1f} s: {peer_build / our_build:.2f} times as fast")
    if our_memory and peer_memory:
        print(f"memory {our_memory / 1e6:.0f} MB, hnswlib {peer_memory / 1e6:.0f} MB: {our_memory / peer_memory:.2f} of it")
    print(f"\n| recall@10 | quiver us | hnswlib us | times as fast |  ({stat})\n|---|---|---|---|")
    a, b = curve(ours, stat), curve(peer, stat)
    for recall in RECALLS:
        x, y = at(a, recall), at(b, recall)
        if x and y:
            print(f"| {recall:.2f} | {x * 1e6:.1f} | {y * 1e6:.1f} | {y / x:.2f} |")
    print()


main()
