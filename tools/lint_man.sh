#!/bin/bash
# The manual pages are well formed (mandoc -Tlint, without matters of style).
#
#   tools/lint_man.sh PAGE...
#
# Exit: 0 all are, 1 some are not, 77 no mandoc (skipped). Last line: "man: N passed, N failed".
set -u
if ! command -v mandoc >/dev/null; then
    echo "SKIPPED: mandoc is not installed"
    exit 77
fi
failed=0
for page in "$@"; do
    # A page may refer to one of ours that this machine has not installed.
    if ! mandoc -Tlint -W warning "$page"; then
        failed=$((failed + 1))
    fi
done
echo "man: $(($# - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
