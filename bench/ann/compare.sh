#!/usr/bin/env bash
# compare.sh: quiver and hnswlib on the same vectors, same M and ef_construction, one search thread, one run.
#
# Usage: bench/ann/compare.sh [DIR]      DIR holds base.fvecs, queries.fvecs, truth.ivecs; by default a
#        seeded clustered set of 100,000 x 128 is made in build/bench/clustered.
# Environment: METRIC=l2|ip|cosine (l2), M=16, EF_CONSTRUCT=128, EF=16,32,64,128,256, ROUNDS=3
# Prints the JSON lines of both, in turn, ROUNDS times.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=build/bench
mkdir -p "$out"
[ -x build/release/quiver ] || { echo "compare.sh: build first: cmake --preset release && cmake --build --preset release" >&2; exit 1; }
if ! [ -f /usr/include/hnswlib/hnswlib.h ]; then
    echo "compare.sh: the peer is missing: apt-get install libhnswlib-dev" >&2
    exit 1
fi
g++ -O3 -march=native -DNDEBUG -std=c++17 -pthread bench/ann/peer_hnswlib.cpp -o "$out/peer_hnswlib"
dir=${1:-$out/clustered}
if ! [ -f "$dir/truth.ivecs" ]; then
    mkdir -p "$dir"
    cc -O3 -march=native -ffast-math bench/ann/make_clustered.c -o "$out/make_clustered" -lm
    "$out/make_clustered" "$dir" 100000 1000 128 1000 0.5 42
fi
metric=${METRIC:-l2} m=${M:-16} efc=${EF_CONSTRUCT:-128} ef=${EF:-16,32,64,128,256}
for _ in $(seq "${ROUNDS:-3}"); do
    build/release/quiver bench ann --base "$dir/base.fvecs" --queries "$dir/queries.fvecs" --truth "$dir/truth.ivecs" \
        --metric "$metric" --k 10 --m "$m" --ef-construct "$efc" --ef "$ef" --threads 1 --json
    "$out/peer_hnswlib" "$dir/base.fvecs" "$dir/queries.fvecs" "$dir/truth.ivecs" "$metric" 10 "$m" "$efc" 2 "$ef"
done
