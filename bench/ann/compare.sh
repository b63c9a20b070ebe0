#!/usr/bin/env bash
# compare.sh: Quiver and other libraries on the same vectors in one run: recall against speed, memory, builds.
#
# Usage: bench/ann/compare.sh [SET...]
#   SET is a directory with base, queries and truth (.fvecs and .ivecs, or .npy), or the name of a seeded set that is made in
#   $WORK: clustered128 (100,000 x 128, the default), clustered128-1m, clustered768 (200,000 x 768), and, shaped as embeddings
#   are, layered128-200k, layered128-1m, layered768-60k and layered768 (200,000).
# Environment:
#   METRIC=l2|ip|cosine   default: a file `metric` in the directory, else l2 for made sets, ip for directories
#   PEERS="NAME..."       default: hnswlib glass glass-sq4 faiss-flat faiss-sq8 usearch-bf16 usearch-f16 usearch-i8 svs
#                         vsag-sq8 vsag-sq4 symphonyqg rabitq-hnsw zvec zvec-int8 scann; one that cannot be had is named with what was tried.
#                         Beside them quiver-fused: Quiver with fused records
#   EF=10,16,24,…         beams
#   ROUNDS=3, MS=1000     rounds of all libraries in turn; least time of a measurement (Quiver: whole seconds)
#   STAT=us|cpu_us        wall time, or CPU time of the searching thread: the latter where the machine is shared
#   OUT=DIR, NAME=ann     default docs/benchmarks: ann.md, ann.csv, and SVG curves per set
#   MACHINE=              a sentence about it, for the head of the tables
#   WORK=DIR              default build/bench: peers, converted sets, indexes. What is there is not made again
#   BUILD_THREADS=2, QUIVER=build/release/quiver, GLASS=checkout of hhy3/pyglass (else cloned), BUILD_ONLY=1 (no rounds),
#   BUILT_ONLY=1 (measure what earlier runs built; an index that is not there is named)
# One thread searches, k is 10. Peers are compiled with clang++ and -march=native, or are packages of PyPI.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(realpath -m "${WORK:-build/bench}") out=${OUT:-docs/benchmarks}
quiver=$(realpath "${QUIVER:-build/release/quiver}")
[ -x "$quiver" ] || { echo "compare.sh: build first: cmake --preset release && cmake --build --preset release" >&2; exit 1; }
threads=${BUILD_THREADS:-2} ms=${MS:-1000} rounds=${ROUNDS:-3}
ef=${EF:-10,16,24,32,48,64,96,128,192,256,384,512}
peers=${PEERS:-hnswlib glass glass-sq4 faiss-flat faiss-sq8 usearch-bf16 usearch-f16 usearch-i8 svs vsag-sq8 vsag-sq4 symphonyqg rabitq-hnsw zvec zvec-int8 scann}
mkdir -p "$work" "$out"
missing=$work/missing.txt
: >"$missing"
cxx=$(command -v clang++-19 || command -v clang++ || command -v g++)
python=$work/venv/bin/python

# lack NAME TRIED: a peer that cannot be had.
lack() { echo "$1: $2" >>"$missing"; echo "compare.sh: without $1; tried: $2" >&2; }

need_package() { # MODULE PACKAGE
    [ -x "$python" ] || python3 -m venv "$work/venv"
    "$python" -c "import $1" 2>/dev/null || "$work/venv/bin/pip" -q install --only-binary :all: numpy "$2" >>"$work/pip.log" 2>&1
}

compile() { # NAME FLAGS...
    local name=$1 source
    shift
    source=bench/ann/peers/$name.cpp
    [ "$work/$name" -nt "$source" ] || "$cxx" -O3 -march=native -DNDEBUG -w -Ibench/ann/peers "$@" "$source" -o "$work/$name" 2>"$work/$name.log"
}

get_hnswlib() {
    if ! [ -f "$work/hnswlib-0.8.0/hnswlib/hnswlib.h" ]; then
        [ -x "$python" ] || python3 -m venv "$work/venv"
        { "$work/venv/bin/pip" -q install pybind11 numpy setuptools wheel &&
            "$work/venv/bin/pip" -q download --no-deps --no-binary :all: --no-build-isolation hnswlib==0.8.0 -d "$work" &&
            tar -C "$work" -xzf "$work/hnswlib-0.8.0.tar.gz"; } >>"$work/pip.log" 2>&1 || return 1
    fi
    compile hnswlib -std=c++17 -pthread -I"$work/hnswlib-0.8.0"
}

get_glass() {
    local from=${GLASS:-$work/pyglass}
    [ -d "$from/glass" ] || git clone -q --depth 1 https://github.com/hhy3/pyglass "$from" 2>>"$work/pip.log" || return 1
    compile glass -std=c++20 -ffast-math -fopenmp -I"$from" -I"$from/third_party/helpa" -Wno-c++11-narrowing -fdelayed-template-parsing ||
        { cxx=g++ && compile glass -std=c++20 -ffast-math -fopenmp -I"$from" -I"$from/third_party/helpa"; }
}

# Make a peer ready; false, and a line in $missing, if it cannot be had.
ready() {
    case $1 in
    quiver-fused) ;;
    hnswlib) get_hnswlib || { lack hnswlib "pip download hnswlib==0.8.0, $cxx (see $work/*.log)"; return 1; } ;;
    glass*) get_glass || { lack "$1" "git clone https://github.com/hhy3/pyglass, $cxx with libomp (see $work/*.log)"; return 1; } ;;
    faiss*) need_package faiss faiss-cpu || { lack "$1" "pip install faiss-cpu"; return 1; } ;;
    usearch*) need_package usearch usearch || { lack "$1" "pip install usearch"; return 1; } ;;
    svs*) need_package svs scalable-vs || { lack "$1" "pip install scalable-vs"; return 1; } ;;
    vsag*) need_package pyvsag pyvsag || { lack "$1" "pip install pyvsag"; return 1; } ;;
    zvec*) need_package zvec zvec || { lack "$1" "pip install zvec"; return 1; } ;;
    scann) need_package scann scann || { lack "$1" "pip install scann"; return 1; } ;;
    symphonyqg | rabitq*)
        { need_package rabitqlib rabitqlib && need_package faiss faiss-cpu; } || { lack "$1" "pip install rabitqlib faiss-cpu"; return 1; }
        ;;
    *) echo "compare.sh: no peer is called $1" >&2; exit 2 ;;
    esac
}

make_set() { # NAME METRIC MAKER ARGS...
    local dir=$work/sets/$1 metric=$2 maker=$3
    if ! [ -f "$dir/truth.ivecs" ]; then
        shift 3
        mkdir -p "$dir"
        cc -O3 -march=native -ffast-math "bench/ann/$maker.c" -o "$work/$maker" -lm
        "$work/$maker" "$dir" "$@"
        echo "$metric" >"$dir/metric"
    fi
    echo "$dir"
}

set_dir() {
    case $1 in
    clustered128) make_set "$1" l2 make_clustered 100000 1000 128 1000 0.5 42 ;;
    clustered128-1m) make_set "$1" l2 make_clustered 1000000 500 128 10000 0.5 42 ;;
    clustered768) make_set "$1" l2 make_clustered 200000 500 768 2000 0.5 42 ;;
    layered128-200k) make_set "$1" l2 make_layered 200000 992 128 4096 20 42 bytes ;;
    layered128-1m) make_set "$1" l2 make_layered 1000000 992 128 4096 20 42 bytes ;;
    layered768-60k) make_set "$1" ip make_layered 60000 992 768 4096 40 42 unit ;;
    layered768) make_set "$1" ip make_layered 200000 992 768 4096 40 42 unit ;;
    *)
        [ -d "$1" ] || { echo "compare.sh: $1: no such set" >&2; exit 1; }
        local dir=$1 name
        if [ -f "$1/base.npy" ] && ! [ -f "$1/base.fvecs" ]; then # the peers read .fvecs
            dir=$work/sets/$(basename "$1")
            mkdir -p "$dir"
            for name in base queries truth; do
                [ -f "$dir/$name.done" ] || { python3 bench/ann/npy_to_vecs.py "$1/$name.npy" "$dir/$name" && touch "$dir/$name.done"; }
            done
        fi
        realpath "$dir"
        ;;
    esac
}

run_quiver() { # DIR METRIC CACHE EF quiver|quiver-fused: built at the first call
    local reuse=--reuse packing=compact
    [ "$5" = quiver ] || packing=fused
    [ -f "$3/$5.built" ] || { rm -rf "${3:?}/$5" && reuse=; }
    "$quiver" bench ann --base "$1/base.fvecs" --queries "$1/queries.fvecs" --truth "$1/truth.ivecs" --metric "$2" --k 10 --m 16 \
        --ef-construct 200 --ef "$4" --threads 1 --build-threads "$threads" --data "$3/$5" --packing $packing --seconds $(((ms + 999) / 1000)) $reuse --json \
        >"$3/$5.lines"
    [ -n "$reuse" ] || { head -1 "$3/$5.lines" >"$3/$5.built"; }
    cat "$3/$5.built" && tail -n +2 "$3/$5.lines"
}

run_peer() { # NAME DIR METRIC CACHE EF
    case $1 in
    quiver-fused) run_quiver "$2" "$3" "$4" "$5" quiver-fused ;;
    hnswlib) "$work/hnswlib" "$2" "$3" "$4" "$threads" "$ms" "$5" ;;
    glass) "$work/glass" "$2" "$3" "$4" "$threads" "$ms" "$5" SQ8U:FP16 ;;
    glass-sq4) "$work/glass" "$2" "$3" "$4" "$threads" "$ms" "$5" SQ4U:FP16 ;;
    *) "$python" bench/ann/peers/python.py "$1" "$2" "$3" "$4" "$threads" "$ms" "$5" ;;
    esac
}

usable=
for p in $peers; do
    if ready "$p"; then usable="$usable $p"; fi
done
all=()
for name in "${@:-clustered128}"; do
    dir=$(set_dir "$name")
    metric=${METRIC:-$(cat "$dir/metric" 2>/dev/null || echo ip)}
    cache=$work/index/$(basename "$dir") lines=$work/$(basename "$dir").jsonl
    mkdir -p "$cache"
    : >"$lines"
    if [ -n "${BUILT_ONLY:-}" ]; then
        for p in quiver $usable; do
            [ -f "$cache/$p.ran" ] || lack "$p" "on $(basename "$dir"): not built in this run"
        done
    fi
    for round in $(seq "${BUILT_ONLY:-0}" "$rounds"); do # round 0 builds what is not there, and is no measurement
        [ "$round" = 0 ] || [ -z "${BUILD_ONLY:-}" ] || break
        beams=$ef to=$lines
        [ "$round" != 0 ] || beams=16 to=/dev/null
        for p in quiver $usable; do
            if [ "$round" = 0 ] && [ -f "$cache/$p.ran" ]; then continue; fi
            [ "$round" = 0 ] || [ -f "$cache/$p.ran" ] || continue
            if [ "$p" = quiver ]; then run_quiver "$dir" "$metric" "$cache" "$beams" quiver >>"$to"; else
                run_peer "$p" "$dir" "$metric" "$cache" "$beams" >>"$to" 2>"$cache/$p.log"
            fi && touch "$cache/$p.ran" || lack "$p" "on $(basename "$dir"): $(tail -1 "$cache/$p.log" 2>/dev/null)"
        done
    done
    all+=("$lines")
done
[ -n "${BUILD_ONLY:-}" ] || python3 bench/ann/table.py "${STAT:-us}" "$out" "$missing" "${all[@]}"
