#!/bin/sh
# Build the NEON kernels for 64-bit ARM and run their cases under an emulator.
#
# The cases are those of the unit tests (tests/unit/simd/*_cases.h), without their framework, which
# a cross-compiling machine need not have for the other processor.
#
#   tools/check_neon.sh      NEON_CC, NEON_QEMU and NEON_SYSROOT may name others than Debian's
#
# Exit: 0 all passed, 1 some failed or did not build, 77 no cross compiler or emulator (skipped).
# The last line is "N passed, N failed", or begins with SKIPPED.
set -u

cc=${NEON_CC:-aarch64-linux-gnu-gcc}
qemu=${NEON_QEMU:-qemu-aarch64}
sysroot=${NEON_SYSROOT:-/usr/aarch64-linux-gnu}
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1

for tool in "$cc" "$qemu"; do
    if ! command -v "$tool" >/dev/null 2>&1; then
        echo "SKIPPED: $tool is not installed"
        exit 77
    fi
done

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

fail() {
    echo "$*"
    echo "0 passed, 1 failed"
    exit 1
}

set -- -std=gnu17 -O2 -g -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wshadow -Wconversion \
    -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wcast-qual -Werror \
    -I"$root/src" -I"$root/include"
for source in src/simd/simd.c src/simd/dist_scalar.c src/simd/dist_neon.c src/simd/codes.c \
    src/simd/codes_scalar.c src/simd/codes_neon.c src/simd/codes_neondot.c \
    src/simd/narrow.c src/simd/narrow_scalar.c src/simd/narrow_neon.c src/base/base.c \
    src/base/elements.c \
    src/base/status.c src/base/rng.c; do
    case "$source" in
    *_neondot.c) more=-march=armv8.2-a+dotprod ;;
    *) more= ;;
    esac
    "$cc" "$@" $more -c "$root/$source" -o "$work/$(basename "$source" .c).o" ||
        fail "$source did not compile"
done
"$cc" "$@" -Wno-missing-prototypes -Wno-conversion -Wno-sign-conversion -Wno-pedantic \
    -Wno-cast-qual -static "$root/tests/unit/simd/neon_main.c" "$work"/*.o -lm \
    -o "$work/neon_main" || fail "the cases did not compile"

"$root/tools/check_prefetch.sh" "$work/dist_neon.o" "$work/codes_neon.o" "$work/codes_neondot.o" &&
    "$root/tools/check_prefetch.sh" -n 8 -x cos_ "$work/narrow_neon.o"
case $? in
0 | 77) ;; # a missing disassembler is not this script's business
*) fail "prefetches are missing from the object code" ;;
esac

"$qemu" -L "$sysroot" "$work/neon_main"
status=$?
if [ $status -ge 126 ]; then
    fail "the emulator stopped with status $status"
fi
exit $status
