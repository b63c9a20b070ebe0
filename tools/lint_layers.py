#!/usr/bin/env python3
"""lint_layers.py: a folder of src/ includes only itself and the folders below it.

The table is the one of ARCHITECTURE.md. Includes are written from src/ ("store/log.h") or, for what
is public, from include/ ("quiver/quiver.h" or with angle brackets). A unit test may include all that
lies below its folder, however far (a simulated disk, say); an integration test and an example only what
is public.
"""

import os
import re

import house

PUBLIC = {"quiver/quiver.h", "quiver/status.h", "quiver/version.h"}

# folder: (folders it may include, single headers beside them)
MAY = {
    "base": ([], {"quiver/status.h"}),
    "os": (["base"], set()),
    "simd": (["base"], set()),
    "bitmap": (["base"], set()),
    "postings": (["base"], set()),
    "quant": (["base", "simd"], set()),
    "index": (["base", "simd", "bitmap", "postings", "quant"], set()),
    "text": (["base"], set()),
    "payload": (["base", "bitmap", "text"], set()),
    "store": (["base", "os"], set()),
    "engine": (["base", "os", "simd", "bitmap", "postings", "quant", "index", "text", "payload", "store"], set()),
    "api": (["base", "payload", "engine"], PUBLIC),
    "server": (["base", "os", "api"], PUBLIC | {"engine/db.h"}),
    "cli": (["base", "os", "payload", "engine", "api", "server"], PUBLIC),
}

# Third-party headers behind one folder each.
ONLY_IN = {
    "yajl/": "base",
    "xxhash.h": "base",
    "nettle/": "base",
    "utf8proc.h": "text",
    "microhttpd.h": "server",
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">\n]+)[">]', re.MULTILINE)


def below(folder):
    """The folder and all that it may reach."""
    found = {folder}
    for name in MAY[folder][0]:
        found |= below(name)
    return found


def includes(root, path):
    text = house.read(root, path)
    for m in INCLUDE.finditer(text):
        yield house.line_of(text, m.start()), m.group(1), m.group(2)


def check_ours(report, path, line, name, folder, may, single):
    """A quoted include of a file of src/<folder> or of its tests."""
    if name in single:
        return
    first = name.split("/")[0] if "/" in name else None
    if first == "quiver":
        report.fail(path, line, f'{folder} may not include "{name}"')
    elif first not in MAY:
        report.fail(path, line, f'"{name}": write includes from src/, as in "{folder}/{name}"')
    elif first != folder and first not in may:
        report.fail(path, line, f'{folder} may not include "{name}" (it may: {", ".join(may) or "nothing"})')


def check_source(report, root, path):
    folder = path.split("/")[1]
    if folder not in MAY:
        report.fail(path, 1, f"src/{folder} is not in the table of tools/lint_layers.py")
        return
    for line, quote, name in includes(root, path):
        if quote == '"' or name.startswith("quiver/"):
            check_ours(report, path, line, name, folder, *MAY[folder])
            if not os.path.exists(os.path.join(root, "src", name)) and name not in PUBLIC:
                report.fail(path, line, f'"{name}" is not in src/')
        else:
            for start, home in ONLY_IN.items():
                if name.startswith(start) and folder != home:
                    report.fail(path, line, f"<{name}> belongs behind src/{home}")


def check_unit_test(report, root, path):
    folder = path.split("/")[2]
    here = os.path.dirname(path)
    for line, quote, name in includes(root, path):
        beside = os.path.exists(os.path.join(root, here, name))
        shared = os.path.exists(os.path.join(root, "tests/lib", name))
        if quote == '"' and folder in MAY and not beside and not shared and name not in PUBLIC:
            check_ours(report, path, line, name, folder, sorted(below(folder)), set())


def check_public_only(report, root, path):
    here = os.path.dirname(path)
    for line, quote, name in includes(root, path):
        beside = os.path.exists(os.path.join(root, here, name))
        shared = os.path.exists(os.path.join(root, "tests/lib", name))
        if quote == '"' and not beside and not shared and name not in PUBLIC:
            report.fail(path, line, f'"{name}" is not public')


def main():
    import sys
    root = house.root_of(sys.argv)
    report = house.Report()
    for path in house.tree_files(root):
        if not path.endswith((".c", ".h")):
            continue
        if path.startswith("src/"):
            check = check_source
        elif path.startswith("tests/unit/"):
            check = check_unit_test
        elif path.startswith(("tests/integration/", "examples/")):
            check = check_public_only
        else:
            continue
        report.look()
        check(report, root, path)
    report.close("layers")


main()
