#!/usr/bin/env python3
"""lint_headers.py: every header compiles alone; the public ones also as C++17.

    tools/lint_headers.py [ROOT] [--cc CC] [--cxx CXX] [--include DIR]...

DIR holds what the build makes (quiver/version.h). A header that is a body to be included with macros
set, and so cannot stand alone, is named in NOT_ALONE.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import house

NOT_ALONE = {
    "src/simd/dist_body.h": "the kernels' common body, compiled once per instruction set",
    "src/simd/narrow_body.h": "the same for half floats and bytes, once per element type",
    "src/simd/narrow_list.h": "the table of these",
    "src/simd/codes_body.h": "the same for codes",
    "src/simd/codes_neon_body.h": "the same for codes, for both kinds of ARM processors",
    "src/simd/bits_body.h": "the same for bit vectors",
}

WARN = "-Wall -Wextra -Wpedantic -Wshadow -Wundef -Wstrict-prototypes -Wno-unused -Werror".split()


def compile_one(command, root, path):
    # The declaration keeps a header of nothing but macros from being an empty translation unit.
    source = f'#include "{path.split("/", 1)[1]}"\nextern int qv__lint;\n'
    done = subprocess.run(command + ["-"], cwd=root, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, input=source.encode())
    return done.returncode, done.stdout.decode("utf-8", "replace")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("root", nargs="?")
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--cxx", default="c++")
    parser.add_argument("--include", action="append", default=[])
    args = parser.parse_args()
    root = os.path.abspath(args.root) if args.root else house.root_of([])

    dirs = ["-Iinclude"] + [f"-I{d}" for d in args.include]
    inside = shlex.split(args.cc) + ["-std=gnu17", "-fsyntax-only", "-D_GNU_SOURCE", "-DQV_BUILDING",
                                     "-Isrc"] + dirs + WARN + ["-x", "c"]
    public = [shlex.split(args.cc) + ["-std=c17", "-fsyntax-only"] + dirs + WARN + ["-x", "c"]]
    if shutil.which(shlex.split(args.cxx)[0]):
        # A struct and a function of one name are C's habit (stat), not a shadow.
        plus = [w for w in WARN if w not in ("-Wstrict-prototypes", "-Wshadow")]
        public.append(shlex.split(args.cxx) + ["-std=c++17", "-fsyntax-only"] + dirs + plus +
                      ["-x", "c++"])
    else:
        print(f"note: no {args.cxx}: the public headers are not tried as C++")

    jobs = []
    for path in house.tree_files(root):
        if path.endswith(".h") and path not in NOT_ALONE:
            if path.startswith("src/"):
                jobs.append((inside, path))
            elif path.startswith("include/"):
                jobs += [(c, path) for c in public]

    report = house.Report()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda j: compile_one(j[0], root, j[1]), jobs)
        for (command, path), (status, output) in zip(jobs, results):
            report.look()
            if status != 0:
                print(output.rstrip())
                report.fail(path, 1, f"does not compile alone ({command[0]} {command[1]})")
    report.close("headers")


main()
