#!/bin/sh
# Are the prefetches of the batch kernels really in the object code?
#
# gcc 12 keeps only the first __builtin_prefetch of a loop of them, silently. This reads the
# disassembly: every function *_gather and *_many must hold at least TOTAL prefetches (for each of
# four rows: the lines of a block, one in the loop over the rest, the last one), and of these at
# least four inside a loop within a loop (blocks within groups of rows).
#
#   tools/check_prefetch.sh [-n TOTAL] [-x PREFIX] OBJECT...
#
# The objects are those of src/simd/dist_<isa>.c, codes_<isa>.c and narrow_<isa>.c, except the scalar
# ones. TOTAL is 12 if not given; dist_avx2 should have 16 and dist_avx512 24. Functions whose names
# begin with PREFIX are passed over (cosines of bytes, which prefetch on the way to their lengths).
#
# Exit: 0 all there, 1 missing, 2 wrong use, 77 no disassembler (skipped).
set -u

rows_per_group=4
total=12
if [ "${1-}" = -n ] && [ $# -ge 2 ]; then
    total=$2
    shift 2
fi
skip=
if [ "${1-}" = -x ] && [ $# -ge 2 ]; then
    skip=$2
    shift 2
fi
case "$total" in
'' | *[!0-9]*) set -- ;;
esac
if [ $# -eq 0 ]; then
    echo "usage: $0 [-n TOTAL] [-x PREFIX] OBJECT..." >&2
    exit 2
fi

disassembler_for() {
    case "$(LC_ALL=C od -An -tu2 -j18 -N2 "$1" | tr -d ' ')" in
    62) native=x86_64 cross=x86_64-linux-gnu-objdump ;;
    183) native=aarch64 cross=aarch64-linux-gnu-objdump ;;
    *) native=unknown cross=objdump ;;
    esac
    if [ "$(uname -m)" = "$native" ] && command -v objdump >/dev/null; then
        echo objdump
    elif command -v "$cross" >/dev/null; then
        echo "$cross"
    fi
}

failed=0
for object in "$@"; do
    if [ ! -r "$object" ]; then
        echo "$0: $object: cannot read" >&2
        exit 2
    fi
    objdump=$(disassembler_for "$object")
    if [ -z "$objdump" ]; then
        echo "SKIPPED: no objdump for $object"
        exit 77
    fi
    # A loop is the span of a backward jump; loops are told apart by where they begin.
    LC_ALL=C "$objdump" -d --no-show-raw-insn "$object" | awk -v need="$rows_per_group" \
        -v total="$total" -v skip="$skip" -v object="$object" '
        function hex(s,    i, v) {
            v = 0
            for (i = 1; i <= length(s); i++) {
                v = v * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1
            }
            return v
        }
        function finish(    i, t, depth, deep) {
            if (name == "") {
                return
            }
            checked++
            deep = 0
            for (i = 0; i < n_prefetches; i++) {
                depth = 0
                for (t in loop_end) {
                    depth += prefetch[i] >= t + 0 && prefetch[i] <= loop_end[t]
                }
                deep += depth >= 2
            }
            printf "%s: %s: %d prefetches, %d in the inner loop\n", object, name, n_prefetches, deep
            if (n_prefetches < total || deep < need) {
                printf "%s: %s: expected at least %d, and %d in the inner loop\n", object, name,
                    total, need
                bad++
            }
        }
        /^[0-9a-f]+ <.*>:$/ {
            finish()
            name = $2
            gsub(/[<>:]/, "", name)
            if (name !~ /_(gather|many)(_[a-z0-9]+)?($|\.)/ || name ~ /\.cold/ ||
                (skip != "" && index(name, skip) == 1)) {
                name = ""
            }
            begin = hex($1)
            n_prefetches = 0
            split("", loop_end)
            next
        }
        name != "" && /^ *[0-9a-f]+:/ {
            at = $1
            sub(/:$/, "", at)
            at = hex(at)
            if ($2 ~ /^(prefetch|prfm)/) {
                prefetch[n_prefetches++] = at
            } else if ($2 ~ /^(j|b|cb|tb)/) {
                for (i = NF; i > 2 && $i !~ /^</; i--) {
                }
                target = $(i - 1)
                if (i > 2 && target ~ /^[0-9a-f]+$/) {
                    target = hex(target)
                    if (target >= begin && target <= at && at > loop_end[target] + 0) {
                        loop_end[target] = at
                    }
                }
            }
        }
        END {
            finish()
            if (checked == 0) {
                printf "%s: no function *_gather or *_many\n", object
                bad++
            }
            exit bad > 0
        }' || failed=1
done
exit $failed
