#!/usr/bin/env python3
"""run.py: each bug of README.md is planted, and the harnesses named there must find it.

    run.py [BUG...]

Builds the preset `planted`, runs every harness once without a bug (it must pass) and once with each of
its bugs (it must fail, by itself, within the time it has). Before that: the table and the sources name
the same bugs, and the ordinary library holds none. The last line is "N passed, N failed".
"""

import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, "build", "planted")
FIND_S = 60    # for a harness to find a bug
PASS_S = 300   # to pass without one; the machine may be busy
ROW = re.compile(r"^\| `(\w+)` \| .+ \| (`.+`) \|$", re.MULTILINE)
PLANT = re.compile(r"QV_PLANT\((\w+)\)")
# What a harness says of a violation; without such a word its end has another reason.
FOUND = re.compile(r"\[  FAILED  \]|^\d+ passed, [1-9]\d* failed|^again: |violat|Violation|"
                   r"assertion|Assertion", re.MULTILINE)


def planted_names():
    names = set()
    for folder, _, files in os.walk(os.path.join(ROOT, "src")):
        for name in files:
            if name.endswith((".c", ".h")) and name != "plant.h":
                with open(os.path.join(folder, name), encoding="utf-8") as f:
                    names |= set(PLANT.findall(f.read()))
    return names


def library_is_clean():
    """None when no ordinary library was built; else whether it is free of plants."""
    library = os.path.join(ROOT, "build", "dev", "libquiver.a")
    if not os.path.exists(library):
        return None
    names = subprocess.run(["nm", library], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return b"qv__planted" not in names.stdout


def build(harnesses):
    targets = sorted({h.split()[0] for h in harnesses} - {"kill_loop"})
    if any(h.startswith("kill_loop") for h in harnesses):
        targets.append("quiver_command")
    return subprocess.run([os.path.join(ROOT, "tools", "build.sh"), "planted", *targets],
                          stdin=subprocess.DEVNULL).returncode == 0


def command(harness):
    name, *arguments = harness.split()
    if name == "kill_loop":
        return [sys.executable, os.path.join(ROOT, "tests", "kill", "kill_loop.py"),
                os.path.join(BUILD, "quiver"), *arguments]
    return [os.path.join(BUILD, "tests", name), *arguments]


def run(harness, bug):
    """(as it should be, what to say)"""
    env = {**os.environ, "QUIVER_PLANT": bug or "", "MODEL_TRIES": "0"}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="quiver-planted-") as folder:
        env["TMPDIR"] = folder
        try:
            done = subprocess.run(command(harness), env=env, cwd=folder, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=FIND_S if bug else PASS_S)
            status, output = done.returncode, done.stdout.decode(errors="replace")
        except subprocess.TimeoutExpired as e:
            status, output = "no end", (e.stdout or b"").decode(errors="replace")
    seconds = time.monotonic() - began
    if bug:
        ok = status not in (0, "no end") and FOUND.search(output) is not None
        said = f"{'found by' if ok else 'NOT FOUND by'} {harness}"
    else:
        ok = status == 0
        said = f"{harness} {'passes' if ok else 'FAILS without a bug'}"
    text = f"{'ok ' if ok else 'BAD'} {bug or 'no bug':<24} {said} ({seconds:.1f} s)"
    if not ok:
        text += f": status {status}\n" + "\n".join(output.splitlines()[-25:])
    return ok, text


def main():
    with open(os.path.join(HERE, "README.md"), encoding="utf-8") as f:
        table = {bug: re.findall(r"`([^`]+)`", cell) for bug, cell in ROW.findall(f.read())}
    asked = sys.argv[1:] or sorted(table)
    passed = failed = 0

    def tell(ok, text):
        nonlocal passed, failed
        passed += ok
        failed += not ok
        print(text, flush=True)

    unknown = set(asked) - set(table)
    if unknown:
        sys.exit(f"no such bug in the table: {', '.join(sorted(unknown))}")
    differ = sorted(planted_names() ^ set(table))
    tell(not differ, f"table and sources name the same bugs{': not ' + ', '.join(differ) if differ else ''}")
    clean = library_is_clean()
    if clean is not None:
        tell(clean, "the ordinary library holds no bug of these")
    harnesses = sorted({h for bug in asked for h in table[bug]})
    if not build(harnesses):
        tell(False, "the build failed")
    else:
        jobs = [(h, None) for h in harnesses] + [(h, bug) for bug in asked for h in table[bug]]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for ok, text in pool.map(lambda job: run(*job), jobs):
                tell(ok, text)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
