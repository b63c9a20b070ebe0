"""house.py: what the lint scripts of this folder share: the files of the tree, and C without its words.

Standard library only. Every script takes the root of the tree as its first argument (default: the
folder above this one), prints one line per finding as FILE:LINE: TEXT, and closes with
"N passed, N failed", where N counts what it looked at; it exits with 1 if anything failed.
"""

import os
import re
import subprocess
import sys


def root_of(argv):
    """The root of the tree: the first argument, or the folder above this file's."""
    if len(argv) > 1 and not argv[1].startswith("-"):
        return os.path.abspath(argv[1])
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def tree_files(root):
    """Paths of all files that belong to the tree, relative to it, sorted.

    Those that git tracks or would track; without git (a released archive, or a checkout of another
    user, which git refuses to read), all but what a build makes."""
    try:
        out = subprocess.run(
            ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        files = [f for f in out.decode("utf-8", "surrogateescape").split("\0") if f]
    except (OSError, subprocess.CalledProcessError):
        files = []
        made = re.compile(r"^(\.git|build.*|node_modules|__pycache__|\.venv|quiver-data|data)$")
        for folder, folders, names in os.walk(root):
            folders[:] = [f for f in folders if not made.match(f)]
            files += [os.path.relpath(os.path.join(folder, n), root) for n in names]
    return sorted(f for f in set(files) if os.path.isfile(os.path.join(root, f)))


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return f.read()


def is_text(root, path):
    """No NUL and valid UTF-8 in the first 64 KiB."""
    with open(os.path.join(root, path), "rb") as f:
        head = f.read(1 << 16)
    if b"\0" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as e:
        return e.start >= len(head) - 3  # cut in the middle of a character
    return True


_TOKEN = re.compile(
    r"""//(?:[^\\\n]|\\\n|\\)*          # comment to the end of the line
      | /\*.*?\*/                       # comment
      | "(?:[^"\\\n]|\\.|\\\n)*"        # string
      | '(?:[^'\\\n]|\\.)*'             # character
    """, re.VERBOSE | re.DOTALL)


def strip_c(text):
    """C source without comments and without the contents of strings; lines keep their numbers."""
    def blank(m):
        s = m.group(0)
        if s[0] == '"':
            return '""' + "\n" * s.count("\n")
        if s[0] == "'":
            return "' '"
        return " " + "\n" * s.count("\n")
    return _TOKEN.sub(blank, text)


def line_of(text, at):
    return text.count("\n", 0, at) + 1


class Report:
    """Counts what was looked at and prints what is wrong."""

    def __init__(self):
        self.looked = 0
        self.bad = set()

    def look(self):
        self.looked += 1

    def fail(self, path, line, text):
        print(f"{path}:{line}: {text}")
        self.bad.add(path)

    def note(self, path, line, text):
        print(f"{path}:{line}: note: {text}")

    def close(self, what):
        print(f"{what}: {self.looked - len(self.bad)} passed, {len(self.bad)} failed")
        sys.exit(1 if self.bad else 0)
