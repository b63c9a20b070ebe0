#!/usr/bin/env python3
"""lint_banned.py: functions nobody calls here, and functions only some files call.

Looks at src/ and include/ without comments and strings. Members (x->write(...)) and names that only
end in a listed word (qv__buf_printf) do not count. Notes to oneself are looked for in every text file.
"""

import re
import sys

import house

# Wrong everywhere: no bounds, no errors, hidden state or unbounded stack.
NEVER = """strcpy stpcpy strcat sprintf vsprintf gets strtok atoi atol atoll atof rand srand random
    srandom drand48 localtime gmtime asctime ctime mktime alloca strdupa strndupa tmpnam tempnam
    mktemp setjmp longjmp system popen setenv putenv""".split()

MEMORY = """malloc calloc realloc reallocarray free strdup strndup aligned_alloc posix_memalign
    asprintf vasprintf getline""".split()
FILES = """open openat creat fopen fdopen freopen read pread readv write pwrite writev fsync
    fdatasync sync_file_range syncfs mmap munmap msync madvise rename renameat unlink unlinkat link
    linkat symlink mkdir mkdirat rmdir opendir readdir ftruncate truncate fallocate posix_fallocate
    flock lockf""".split()
CLOCKS = """time clock gettimeofday clock_gettime nanosleep usleep sleep getrandom getentropy""".split()
PRINTING = """printf fprintf vprintf vfprintf puts fputs putchar perror dprintf abort exit
    _exit""".split()
PREFETCHES = """__builtin_prefetch _mm_prefetch __pld __pldx""".split()

# (functions, why, who may): a folder ends in "/".
ONLY = [
    (MEMORY, "memory comes from base/alloc.h", ["src/base/alloc.c"]),
    (FILES, "files are the business of src/os", ["src/os/"]),
    (CLOCKS, "time and entropy come from base/clock.h and src/os", ["src/os/"]),
    (PRINTING, "a library does not print or end the process", []),
    (PREFETCHES, "gcc 12 drops all but the first of a loop: simd/prefetch.h", ["src/simd/prefetch.h"]),
]

# The exceptions, each with its reason: (file or folder, functions, why).
EXEMPT = [
    ("src/base/alloc.c", "madvise", "advice about memory, not about a file"),
    ("src/base/base.c", "fprintf abort", "a failed assertion ends the process"),
    ("src/base/map.c", "__builtin_prefetch", "one, not in a loop, and base is below simd"),
    ("src/base/thread.c", "clock_gettime", "the deadline of a timed wait"),
    ("src/server/logsink.c", "write", "the log goes to standard error"),
    ("src/server/server.c", "write nanosleep", "waking the listener; waiting for requests at the end"),
    ("src/server/watch.c", "read", "the listener's wake-up"),
    ("src/cli/", "printf fprintf vprintf vfprintf puts fputs putchar", "a command talks"),
]

# Written apart, so that this file does not find itself.
NOTES = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")

# Not preceded by a member access or a name, followed by an argument list that is no declarator.
CALL = re.compile(r"(?<![\w.])(?<!->)(\w+)[ \t]*\(")


def rules_for(path):
    """function -> reason, for one file."""
    rules = {name: "banned" for name in NEVER}
    for names, why, homes in ONLY:
        if not any(path == h or (h.endswith("/") and path.startswith(h)) for h in homes):
            rules.update((name, why) for name in names)
    for where, names, _why in EXEMPT:
        if path == where or (where.endswith("/") and path.startswith(where)):
            for name in names.split():
                rules.pop(name, None)
    return rules


def check_calls(report, root, path):
    text = house.strip_c(house.read(root, path))
    rules = rules_for(path)
    for m in CALL.finditer(text):
        if m.group(1) in rules:
            report.fail(path, house.line_of(text, m.start()), f"{m.group(1)}(): {rules[m.group(1)]}")


def check_notes(report, root, path):
    for i, line in enumerate(house.read(root, path).split("\n"), 1):
        m = NOTES.search(line)
        if m:
            report.fail(path, i, f"{m.group(0)}: do it, or leave it out")


def main():
    root = house.root_of(sys.argv)
    report = house.Report()
    for path in house.tree_files(root):
        code = path.startswith(("src/", "include/")) and path.endswith((".c", ".h"))
        ours = not path.startswith(("examples/sample/", "fuzz/corpus/", "tests/corpus/"))
        text = ours and house.is_text(root, path)
        if code or text:
            report.look()
        if code:
            check_calls(report, root, path)
        if text:
            check_notes(report, root, path)
    report.close("banned")


main()
