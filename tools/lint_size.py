#!/usr/bin/env python3
"""lint_size.py: files of at most 900 lines, functions of at most 100, both mostly much less.

A function is counted from the line of its opening brace to that of its closing one; a table in it
("= {...}" over several lines) counts as one line. Functions above 70 lines are named but do not fail.
"""

import re
import sys

import house

FILE_LINES_MAX = 900
FUNCTION_LINES_MAX = 100
FUNCTION_LINES_AIM = 70

DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
NAME = re.compile(r"(\w+)\s*\(")


def functions(text):
    """(name, line of the brace, lines) of every function body."""
    text = house.strip_c(text)
    text = DIRECTIVE.sub(lambda m: "\n" * m.group(0).count("\n"), text)
    line = 1
    head = 0      # where the current top-level declaration begins
    start = None  # (name, line) of the function we are in
    opened = []   # per open brace: the line if it opens a table, else None
    tables = 0    # lines of tables in this function
    for i, c in enumerate(text):
        if c == "\n":
            line += 1
        elif c == "{":
            before = text[head:i].rstrip()
            if not opened and before.endswith(")"):
                m = NAME.search(text, head, i)
                start, tables = (m.group(1) if m else "?", line), 0
            outer = all(o is None for o in opened)
            opened.append(line if before.endswith("=") and outer else None)
        elif c == "}":
            if opened:
                table = opened.pop()
                tables += line - table if table else 0
            if text[i - 1] == "\n":  # the end of a top-level thing, whatever directives hid
                opened = []
            if not opened:
                head = i + 1
                if start:
                    yield start[0], start[1], line - start[1] + 1 - tables
                start = None
        elif c == ";" and not opened:
            head = i + 1


def main():
    root = house.root_of(sys.argv)
    report = house.Report()
    folders = ("src/", "include/", "tests/", "fuzz/", "bench/", "examples/", "tools/")
    for path in house.tree_files(root):
        if not path.startswith(folders) or not path.endswith((".c", ".h", ".py", ".sh", ".mjs")):
            continue
        report.look()
        text = house.read(root, path)
        lines = text.count("\n")
        if lines > FILE_LINES_MAX:
            report.fail(path, lines, f"{lines} lines; at most {FILE_LINES_MAX}")
        if not path.endswith((".c", ".h")):
            continue
        for name, line, n in functions(text):
            if n > FUNCTION_LINES_MAX:
                report.fail(path, line, f"{name}() has {n} lines; at most {FUNCTION_LINES_MAX}")
            elif n > FUNCTION_LINES_AIM:
                report.note(path, line, f"{name}() has {n} lines; the aim is {FUNCTION_LINES_AIM}")
    report.close("size")


main()
