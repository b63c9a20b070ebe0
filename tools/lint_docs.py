#!/usr/bin/env python3
"""lint_docs.py: every folder of src/ has a README, links lead somewhere, and no file names a
developer's own folders.

Links are those of Markdown files to other files of the tree, with or without a #heading; a heading
must exist as well. Folder names in backquotes are not links.
"""

import os
import re
import sys

import house

LINK = re.compile(r"!?\[(?:[^\]\\]|\\.)*\]\(\s*<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)")
FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
HEADING = re.compile(r"^#{1,6}[ \t]+(.*?)[ \t#]*$", re.MULTILINE)

# Written apart, so that this file does not find itself.
MACHINE = re.compile(r"/work" r"/|/tmp" r"/b-|/home" r"/[a-z]|/root" r"/")


def blank(m):
    return "\n" * m.group(0).count("\n")


def anchors(text):
    """The names a heading can be linked by (as GitHub makes them)."""
    found = set()
    for heading in HEADING.findall(FENCE.sub(blank, text)):
        name = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", name).replace(" ", "-")
        n, base = 1, name
        while name in found:
            name = f"{base}-{n}"
            n += 1
        found.add(name)
    return found


def check_links(report, root, path, text):
    plain = CODE.sub(blank, FENCE.sub(blank, text))
    for m in LINK.finditer(plain):
        target = m.group(1)
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        line = house.line_of(plain, m.start())
        name, _, anchor = target.partition("#")
        full = os.path.normpath(os.path.join(root, os.path.dirname(path), name)) if name else \
            os.path.join(root, path)
        if not os.path.exists(full):
            report.fail(path, line, f"link to {target}: there is no such file")
        elif anchor and full.endswith(".md"):
            with open(full, encoding="utf-8") as f:
                if anchor not in anchors(f.read()):
                    report.fail(path, line, f"link to {target}: there is no such heading")


def main():
    root = house.root_of(sys.argv)
    report = house.Report()
    files = house.tree_files(root)
    for folder in sorted({"/".join(f.split("/")[:2]) for f in files
                          if f.startswith("src/") and f.count("/") >= 2}):
        report.look()
        if f"{folder}/README.md" not in files:
            report.fail(folder, 1, "has no README.md")
    for path in files:
        if path.startswith(("examples/sample/", "fuzz/corpus/")) and not path.endswith(".md"):
            continue
        if not house.is_text(root, path):
            continue
        report.look()
        text = house.read(root, path)
        for i, line in enumerate(text.split("\n"), 1):
            if MACHINE.search(line):
                report.fail(path, i, f"names a folder of one machine: {line.strip()[:80]}")
        if path.endswith(".md"):
            check_links(report, root, path, text)
    report.close("docs")


main()
