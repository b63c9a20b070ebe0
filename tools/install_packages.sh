#!/bin/bash
# Install the Debian packages of the named sets that are missing; says nothing when none is.
#
#   tools/install_packages.sh [-n] SET...      -n: only print what is missing
#
# Sets and packages: tools/packages.txt. Nothing is ever removed or replaced by another version of
# itself. Exit: 0 all there, 1 not installed (with the reason and the remedy), 2 wrong use.
set -u

here=$(cd "$(dirname "$0")" && pwd)
list=$here/packages.txt
dry=
if [ "${1-}" = -n ]; then
    dry=1
    shift
fi
if [ $# -eq 0 ]; then
    echo "usage: $0 [-n] SET..." >&2
    exit 2
fi

installed() {
    command -v dpkg-query >/dev/null &&
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# needed PACKAGE PROOF...
needed() {
    local proof
    if installed "$1"; then
        return 1
    fi
    shift
    [ $# -gt 0 ] || return 0
    for proof in "$@"; do
        case $proof in
        pc:*) pkg-config --exists "${proof#pc:}" 2>/dev/null || return 0 ;;
        *) command -v "$proof" >/dev/null || return 0 ;;
        esac
    done
    return 1
}

# clang 14's run-time libraries serve clang 14 only; another clang brings its own.
suits() {
    case $1 in
    libclang-rt-14-dev)
        ! command -v clang >/dev/null || clang --version | grep -q 'version 14\.'
        ;;
    python3-venv)
        ! python3 -c 'import ensurepip, venv' 2>/dev/null
        ;;
    esac
}

missing=()
for set in "$@"; do
    known=
    while read -r in package proofs; do
        [ "$in" = "$set" ] || continue
        known=1
        # shellcheck disable=SC2086
        if needed "$package" $proofs && suits "$package"; then
            missing+=("$package")
        fi
    done < <(grep -v '^#' "$list")
    if [ -z "$known" ]; then
        echo "$0: $list has no set '$set'" >&2
        exit 2
    fi
done

if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi
if [ -n "$dry" ]; then
    printf '%s\n' "${missing[@]}"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "These packages are missing, and there is no apt-get here: ${missing[*]}"
    echo "Install what they hold with this system's package manager; the names are Debian 12's."
    exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "These packages are missing, and neither are you root nor is there sudo: ${missing[*]}"
        echo "Run as root:  apt-get install --no-install-recommends ${missing[*]}"
        exit 1
    fi
    as_root=(sudo)
fi

echo "Installing ${missing[*]}"
# apt waits for another apt (a new machine often updates itself); --no-remove keeps what is there.
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 apt-get -qq \
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 "$@" </dev/null
}
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
if ! apt update >"$log" 2>&1; then
    tail -n 5 "$log"
    echo "apt-get update failed; trying with the lists that are here."
fi
if ! apt install --yes --no-install-recommends --no-remove "${missing[@]}" >"$log" 2>&1; then
    tail -n 20 "$log"
    echo "apt-get could not install: ${missing[*]}"
    echo "Is the network there, and does /etc/apt/sources.list name Debian 12's archive? Then, as root:"
    echo "    apt-get update && apt-get install --no-install-recommends ${missing[*]}"
    exit 1
fi
