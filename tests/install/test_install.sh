#!/bin/bash
# The build installs, and programs build and run against what was installed.
#
#   tests/install/test_install.sh BUILD_FOLDER WORK_FOLDER
#
# WORK_FOLDER is emptied. The last line is "N passed, N failed".
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/install/lib.sh
. "$root/tests/install/lib.sh"

if [ $# -ne 2 ]; then
    echo "usage: $0 BUILD_FOLDER WORK_FOLDER" >&2
    exit 2
fi
build=$(cd "$1" && pwd) || exit 2
rm -rf "$2"
mkdir -p "$2"
work=$(cd "$2" && pwd)
prefix=$work/prefix
example=$root/examples/embedded.c

ok "installs under a prefix" cmake --install "$build" --prefix "$prefix" || finish
ok "installs under DESTDIR" env DESTDIR="$work/staged" cmake --install "$build"

lib=$(dirname "$(find "$prefix" -name libquiver.a)")
has() {
    [ -e "$1" ] || {
        echo "$1 was not installed"
        return 1
    }
}
for file in bin/quiver include/quiver/quiver.h include/quiver/status.h include/quiver/version.h \
    share/man/man1/quiver.1 share/doc/quiver/LICENSE; do
    ok "has $file" has "$prefix/$file"
done
for file in libquiver.a libquiver.so pkgconfig/quiver.pc cmake/quiver/quiver-config.cmake; do
    ok "has lib/$file" has "$lib/$file"
done
ok "the installed command runs" "$prefix/bin/quiver" version

# The folder may be moved: everything is found relative to itself.
moved=$work/moved
mv "$prefix" "$moved"
lib=$moved${lib#"$prefix"}
export PKG_CONFIG_PATH=$lib/pkgconfig

run() {
    rm -rf "$work/data"
    mkdir -p "$work/data"
    (cd "$work/data" && "$@")
}
needs_shared() {
    ldd "$1" | grep -q 'libquiver\.so.*moved'
}
needs_no_shared() {
    ! ldd "$1" | grep -q libquiver
}
warn="-Wall -Wextra -Wpedantic -Werror"

# shellcheck disable=SC2046,SC2086
{
    ok "pkg-config, shared: compiles" cc -std=c17 $warn $(pkg-config --cflags quiver) "$example" \
        -o "$work/pc_shared" $(pkg-config --libs quiver) -Wl,-rpath,"$lib" &&
        ok "pkg-config, shared: runs" run "$work/pc_shared" &&
        ok "pkg-config, shared: is" needs_shared "$work/pc_shared"
    # With both forms in one folder the linker takes the shared one unless told otherwise.
    ok "pkg-config, static: compiles" cc -std=c17 $warn $(pkg-config --cflags quiver) "$example" \
        -o "$work/pc_static" $(pkg-config --static --libs quiver | sed 's/-lquiver/-l:libquiver.a/') &&
        ok "pkg-config, static: runs" run "$work/pc_static" &&
        ok "pkg-config, static: is" needs_no_shared "$work/pc_static"
    ok "C++11: compiles" c++ -std=c++11 $warn -c $(pkg-config --cflags quiver) \
        "$root/tests/install/consumer.cpp" -o "$work/cpp11.o"
    ok "C++17: compiles" c++ -std=c++17 $warn $(pkg-config --cflags quiver) \
        "$root/tests/install/consumer.cpp" -o "$work/cpp" $(pkg-config --libs quiver) -Wl,-rpath,"$lib" &&
        ok "C++17: runs" run "$work/cpp"
}

for kind in shared static; do
    ok "CMake, $kind: configures" cmake -S "$root/tests/install" -B "$work/cmake_$kind" -G Ninja \
        -DCMAKE_PREFIX_PATH="$moved" -DKIND=$kind -DSOURCE="$example" &&
        ok "CMake, $kind: compiles" cmake --build "$work/cmake_$kind" &&
        ok "CMake, $kind: runs" run "$work/cmake_$kind/consumer"
done
finish
