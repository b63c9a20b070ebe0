#!/usr/bin/env bash
# compare.sh: quiver and hnswlib on the same vectors, same M and ef_construction, one search thread, in turn.
#
# Usage: bench/ann/compare.sh [SET...]
#   SET is a directory with base, queries and truth (.fvecs and .ivecs, or .npy), or the name of a seeded clustered set that is
#   made in build/bench: clustered128 (100,000 x 128, the default), clustered128-1m, clustered768 (200,000 x 768).
# Environment: METRIC=l2|ip|cosine (default: l2 for made sets, ip for directories), M=16, EF_CONSTRUCT=200,
#   EF=10,16,24,32,48,64,96,128,192,256,384,512, ROUNDS=3, STAT=qps|p50 (p50 where the machine is shared), BUILD_THREADS=2,
#   HNSWLIB=directory that holds hnswlib/hnswlib.h (default: 0.8.0 from PyPI into build/bench, else Debian's libhnswlib-dev)
# Prints, per set, builds, memory, and searches at equal recall: medians over the rounds. The lines of both are kept in
# build/bench/SET.jsonl. Quiver builds once and is opened anew each round; hnswlib builds each round.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$PWD/build/bench
mkdir -p "$out"
quiver=${QUIVER:-build/release/quiver}
[ -x "$quiver" ] || { echo "compare.sh: build first: cmake --preset release && cmake --build --preset release" >&2; exit 1; }

find_hnswlib() {
    [ -n "${HNSWLIB:-}" ] && { echo "$HNSWLIB"; return; }
    local dir=$out/hnswlib-0.8.0
    if ! [ -f "$dir/hnswlib/hnswlib.h" ]; then
        { python3 -m venv "$out/venv" && "$out/venv/bin/pip" -q install pybind11 numpy setuptools wheel &&
            "$out/venv/bin/pip" -q download --no-deps --no-binary :all: --no-build-isolation hnswlib==0.8.0 -d "$out" &&
            tar -C "$out" -xzf "$out/hnswlib-0.8.0.tar.gz"; } >"$out/hnswlib.log" 2>&1 || true
    fi
    if [ -f "$dir/hnswlib/hnswlib.h" ]; then echo "$dir"; elif [ -f /usr/include/hnswlib/hnswlib.h ]; then echo /usr/include; fi
}

make_set() { # NAME N QUERIES DIM CLUSTERS
    local dir=$out/$1
    if ! [ -f "$dir/truth.ivecs" ]; then
        mkdir -p "$dir"
        cc -O3 -march=native -ffast-math bench/ann/make_clustered.c -o "$out/make_clustered" -lm
        "$out/make_clustered" "$dir" "$2" "$3" "$4" "$5" 0.5 42
    fi
    echo "$dir"
}

set_dir() {
    case $1 in
    clustered128) make_set "$1" 100000 1000 128 1000 ;;
    clustered128-1m) make_set "$1" 1000000 500 128 10000 ;;
    clustered768) make_set "$1" 200000 500 768 2000 ;;
    *) echo "$1" ;;
    esac
}

hnswlib=$(find_hnswlib)
[ -n "$hnswlib" ] || { echo "compare.sh: the peer is missing: set HNSWLIB, or apt-get install libhnswlib-dev" >&2; exit 1; }
cxx=$(command -v clang++ || command -v g++)
"$cxx" -O3 -march=native -DNDEBUG -std=c++17 -pthread -I"$hnswlib" bench/ann/peer_hnswlib.cpp -o "$out/peer_hnswlib"
m=${M:-16} efc=${EF_CONSTRUCT:-200} ef=${EF:-10,16,24,32,48,64,96,128,192,256,384,512} threads=${BUILD_THREADS:-2}

for name in "${@:-clustered128}"; do
    case $name in clustered*) metric=${METRIC:-l2} ;; *) metric=${METRIC:-ip} ;; esac
    dir=$(set_dir "$name")
    [ -d "$dir" ] || { echo "compare.sh: $name: no such set" >&2; exit 1; }
    if [ -f "$dir/base.npy" ] && ! [ -f "$dir/base.fvecs" ]; then # the peer reads .fvecs; kept in build/bench
        from=$dir dir=$out/$(basename "$dir")
        mkdir -p "$dir"
        for f in base queries truth; do
            [ -f "$dir/$f.done" ] || { python3 bench/ann/npy_to_vecs.py "$from/$f.npy" "$dir/$f" && touch "$dir/$f.done"; }
        done
    fi
    lines=$out/$(basename "$dir").jsonl data=$(mktemp -d "$out/db.XXXXXX")
    : >"$lines"
    for round in $(seq "${ROUNDS:-3}"); do
        reuse=--reuse
        [ "$round" -gt 1 ] || reuse=
        "$quiver" bench ann --base "$dir/base.fvecs" --queries "$dir/queries.fvecs" --truth "$dir/truth.ivecs" --metric "$metric" \
            --k 10 --m "$m" --ef-construct "$efc" --ef "$ef" --threads 1 --build-threads "$threads" --data "$data" $reuse --json >>"$lines"
        "$out/peer_hnswlib" "$dir/base.fvecs" "$dir/queries.fvecs" "$dir/truth.ivecs" "$metric" 10 "$m" "$efc" "$threads" "$ef" >>"$lines"
    done
    rm -rf "$data"
    echo "## $(basename "$dir"), $metric, M $m, ef_construction $efc"
    python3 bench/ann/table.py "${STAT:-qps}" "$lines"
done
