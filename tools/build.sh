#!/bin/bash
# Configure a preset of CMakePresets.json and build it, with two jobs per gigabyte at most.
#
#   tools/build.sh PRESET [TARGET...]
#
# A build folder that belongs to another place (a clone that was moved or copied) or was made with
# another generator is begun anew, so that no second try is needed.
set -eu

cd "$(dirname "$0")/.."
preset=$1
shift
folder=build/$preset
cache=$folder/CMakeCache.txt

if [ -f "$cache" ]; then
    source=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$cache")
    generator=$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' "$cache")
    if [ "$source" != "$PWD" ] || [ "$generator" != Ninja ]; then
        echo "$folder was made for $source with $generator; beginning anew"
        rm -rf "$folder"
    fi
fi

jobs=$(nproc)
memory_gb=$(awk '/MemTotal/ { print int($2 / 1048576) }' /proc/meminfo 2>/dev/null || echo 2)
if [ "$jobs" -gt $((memory_gb * 2)) ]; then
    jobs=$((memory_gb * 2))
fi
if [ "$jobs" -lt 1 ]; then
    jobs=1
fi

cmake --preset "$preset"
# Quietly: what remains in a log is what went wrong.
if [ $# -gt 0 ]; then
    cmake --build "$folder" --parallel "$jobs" --target "$@" -- --quiet
else
    cmake --build "$folder" --parallel "$jobs" -- --quiet
fi
