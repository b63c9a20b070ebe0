#!/usr/bin/env python3
"""test_lint.py: the lint finds what it is for, and nothing in a tree that is in order.

Each case adds one file to a small good tree and names the script that must object and a word of its
objection; with None it must not object. The scripts are run as ./check runs them.
"""

import os
import subprocess
import sys
import tempfile

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools")

GOOD = {
    "include/quiver/status.h": "#ifndef S_H\n#define S_H\nint qv_x(void);\n#endif\n",
    "src/base/README.md": "# base\nSee [the store](../store/README.md#rules).\n",
    "src/base/a.h": '#ifndef A_H\n#define A_H\n#include "quiver/status.h"\n#endif\n',
    "src/store/README.md": "# store\n## Rules\n",
    "src/store/b.c": '#include "base/a.h"\n#include <stdio.h>\n/* strcpy(a, b) */\n'
                     'static const char *s = "fopen(x)";\n',
}

LONG = "int f(void)\n{\n" + "    g();\n" * 99 + "}\n"
TABLE = "int f(void)\n{\n    static const int t[] = {\n" + "        1,\n" * 200 + "    };\n}\n"
MARK = "TO" + "DO"
HOME = "/ho" + "me/a"

CASES = [
    ("lint_layers.py", "src/base/x.c", '#include "store/b.h"\n', "base may not include"),
    ("lint_layers.py", "src/base/x.c", '#  include <quiver/quiver.h>\n', "base may not include"),
    ("lint_layers.py", "src/store/x.c", '#include "b.h"\n', "from src/"),
    ("lint_layers.py", "src/store/x.c", '#include "base/gone.h"\n', "not in src/"),
    ("lint_layers.py", "src/store/x.c", "#include <yajl/yajl_parse.h>\n", "belongs behind"),
    ("lint_layers.py", "src/new/x.c", "int x;\n", "not in the table"),
    ("lint_layers.py", "src/server/x.h", '#include "engine/segment.h"\n', "server may not include"),
    ("lint_layers.py", "tests/unit/base/test_x.c", '#include "store/b.h"\n', "base may not include"),
    ("lint_layers.py", "tests/integration/test_x.c", '#include "base/a.h"\n', "not public"),
    ("lint_layers.py", "src/store/x.c", '#include "base/a.h"\n#include "store/x.h"\n', "not in src/"),
    ("lint_banned.py", "src/store/x.c", "void f(char *a) { strcpy(a, a); }\n", "strcpy"),
    ("lint_banned.py", "src/store/x.c", "void *f(void) { return malloc (3); }\n", "alloc.h"),
    ("lint_banned.py", "src/store/x.c", "void f(int d) { (void)write(d, 0, 0); }\n", "src/os"),
    ("lint_banned.py", "src/store/x.c", 'void f(void) { printf("x"); }\n', "print"),
    ("lint_banned.py", "src/store/x.c", "long f(void) { return time(0); }\n", "clock"),
    ("lint_banned.py", "src/store/x.c", "void f(struct s *s) { s->write(s); s->o.read(1); }\n", None),
    ("lint_banned.py", "src/store/x.c", 'void f(char *b) { snprintf(b, 1, "x"); my_free(b); }\n', None),
    ("lint_banned.py", "src/os/x.c", "void f(int d) { (void)fsync(d); }\n", None),
    ("lint_banned.py", "src/cli/x.c", 'void f(void) { printf("x"); }\n', None),
    ("lint_banned.py", "docs/x.md", f"{MARK}: later\n", MARK),
    ("lint_size.py", "src/store/x.c", LONG, "101 lines"),
    ("lint_size.py", "src/store/x.c", LONG.replace("    g();\n", "", 1), None),
    ("lint_size.py", "src/store/x.c", TABLE, None),
    ("lint_size.py", "src/store/x.c", "int x;\n" * 901, "901 lines"),
    ("lint_size.py", "tests/unit/base/test_x.c", LONG.replace("int f(void)", "int f(int a,\n      int b)"),
     "f() has 101"),
    ("lint_headers.py", "src/store/x.h", "size_t f(void);\n", "alone"),
    ("lint_headers.py", "include/quiver/x.h", "static inline int *f(void *p) { return p; }\n", "c++17"),
    ("lint_headers.py", "src/store/x.h", "static inline int *f(void *p) { return p; }\n", None),
    ("lint_headers.py", "src/store/x.h", "#define X 1\n", None),
    ("lint_docs.py", "src/os/x.c", "int x;\n", "README"),
    ("lint_docs.py", "docs/x.md", "[a](gone.md)\n", "no such file"),
    ("lint_docs.py", "docs/x.md", "[a](../src/store/README.md#gone)\n", "no such heading"),
    ("lint_docs.py", "docs/x.md", "```\n[a](gone.md)\n```\n`[a](gone.md)` [b](https://x.y/z)\n", None),
    ("lint_docs.py", "docs/x.md", f"see {HOME}\n", "one machine"),
]


def write(root, files):
    for path, text in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as f:
            f.write(text)


def run(script, root):
    done = subprocess.run([sys.executable, os.path.join(TOOLS, script), root],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout.decode()


def main():
    passed = failed = 0

    def result(ok, what, output):
        nonlocal passed, failed
        if ok:
            passed += 1
        else:
            failed += 1
            print(f"not ok: {what}\n{output}")

    for script in sorted({c[0] for c in CASES}):
        with tempfile.TemporaryDirectory() as root:
            write(root, GOOD)
            status, output = run(script, root)
            result(status == 0, f"{script} on a good tree", output)
    for script, path, text, expected in CASES:
        with tempfile.TemporaryDirectory() as root:
            write(root, GOOD)
            write(root, {path: text})
            status, output = run(script, root)
            if expected is None:
                result(status == 0, f"{script} objects to {text!r}", output)
            else:
                result(status == 1 and expected in output and path.split("/x")[0] in output,
                       f"{script} does not say {expected!r} of {text[:60]!r}", output)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
