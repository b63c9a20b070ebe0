#!/usr/bin/env python3
"""count_tests.py: how many tests passed, over all runners that ctest started.

    tools/count_tests.py JUNIT.XML        (ctest --output-junit)

A cmocka program counts its cases; a program with a line "N passed, N failed[, N skipped]" what that
says; anything else counts as one. A failure that no count explains (a crash, a sanitizer's report, a
time-out) is one more. Prints the end of what each failed test printed, then the counts alone on the
last line: "N N N" (passed, failed, skipped).
"""

import re
import sys
import xml.etree.ElementTree

TAIL_LINES = 40

CMOCKA = re.compile(r"^\[  (PASSED |FAILED |SKIPPED) \] (\d+) test\(s\)", re.MULTILINE)
OWN = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$", re.MULTILINE)


def count(status, message, output):
    """(passed, failed, skipped) of one test."""
    if status == "notrun":
        return (0, 0, 1) if message.startswith("SKIP_") else (0, 1, 0)
    passed = failed = skipped = 0
    cases = CMOCKA.findall(output)
    own = OWN.findall(output)
    for kind, n in cases:
        passed += int(n) if kind.startswith("PASSED") else 0
        failed += int(n) if kind.startswith("FAILED") else 0
        skipped += int(n) if kind.startswith("SKIPPED") else 0
    if own and not cases:
        passed, failed, skipped = (int(n or 0) for n in own[-1])
    if status == "run":
        if not cases and not own:
            passed = 1
    elif failed == 0:
        failed = 1
    return passed, failed, skipped


def main():
    total = [0, 0, 0]
    for case in xml.etree.ElementTree.parse(sys.argv[1]).getroot().iter("testcase"):
        skip = case.find("skipped")
        message = skip.get("message", "") if skip is not None else ""
        output = case.findtext("system-out") or ""
        counts = count(case.get("status"), message, output)
        total = [a + b for a, b in zip(total, counts)]
        if counts[1]:
            lines = output.rstrip().split("\n")
            print(f"--- {case.get('name')} failed after {float(case.get('time', 0)):.1f} s"
                  + (f" (its last {TAIL_LINES} lines)" if len(lines) > TAIL_LINES else ""))
            print("\n".join(lines[-TAIL_LINES:]))
        elif counts[2]:
            print(f"--- {case.get('name')}: {counts[2]} skipped "
                  f"({output.strip().splitlines()[-1] if output.strip() else message})")
    print(*total)


main()
