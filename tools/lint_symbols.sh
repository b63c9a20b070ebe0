#!/bin/bash
# What the libraries show the linker: in the static one every global begins with qv_, since it shares
# the user's link; the shared one exports exactly what include/quiver declares with QV_API.
#
#   tools/lint_symbols.sh LIBQUIVER.A LIBQUIVER.SO [INCLUDE_DIR]
#
# Exit: 0 so, 1 not so, 2 wrong use. The last line is "symbols: N passed, N failed".
set -u
export LC_ALL=C

if [ $# -lt 2 ]; then
    echo "usage: $0 LIBQUIVER.A LIBQUIVER.SO [INCLUDE_DIR]" >&2
    exit 2
fi
archive=$1
shared=$2
include=${3:-$(cd "$(dirname "$0")/.." && pwd)/include/quiver}
for file in "$archive" "$shared"; do
    if [ ! -r "$file" ]; then
        echo "$file: cannot read"
        echo "symbols: 0 passed, 1 failed"
        exit 1
    fi
done
failed=0

defined=$(nm -g --defined-only "$archive" | awk 'NF == 3 { print $3 }' | sort -u)
foreign=$(grep -v '^qv_' <<<"$defined")
if [ -z "$defined" ] || [ -n "$foreign" ]; then
    echo "$archive: globals that do not begin with qv_: ${foreign:-(no globals at all)}"
    failed=$((failed + 1))
fi

declared=$(cat "$include"/*.h | grep -v '^ *#' | tr '\n' ' ' | grep -o 'QV_API[^;(]*(' |
    sed 's/ *($//; s/.*[ *]//' | sort -u)
exported=$(nm -D --defined-only "$shared" | awk 'NF == 3 { print $3 }' | sort -u)
wrong=$(diff <(echo "$declared") <(echo "$exported") |
    sed -n 's/^< \(.*\)/  \1 is declared with QV_API and not exported/p
            s/^> \(.*\)/  \1 is exported and not declared with QV_API/p')
if [ -n "$wrong" ]; then
    echo "$shared:"
    echo "$wrong"
    failed=$((failed + 1))
fi

echo "$(wc -l <<<"$defined") globals, $(wc -l <<<"$exported") exported"
echo "symbols: $((2 - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
