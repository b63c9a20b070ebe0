#!/bin/bash
# Other people's clients drive `quiver serve`: Qdrant's official ones for JavaScript and Python.
#
#   tests/clients/run.sh QUIVER
#
# They are installed into build/clients; where npm or PyPI does not answer (and nothing was installed
# before), that client is SKIPPED. The last line is "N passed, N failed, N skipped".
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/tests/clients
work=$root/build/clients
# shellcheck source=tests/install/lib.sh
. "$root/tests/install/lib.sh"
skipped=0

if [ $# -ne 1 ]; then
    echo "usage: $0 QUIVER" >&2
    exit 2
fi
quiver=$(readlink -f "$1")
mkdir -p "$work"
work=$(cd "$work" && pwd)

skip() {
    echo "SKIPPED: $*"
    skipped=$((skipped + 1))
}

# --- installing: 0 done, 1 failed, 77 out of reach ----------------------------------------------------

install_js() {
    command -v node >/dev/null && command -v npm >/dev/null || return 77
    if cmp -s "$here/package-lock.json" "$work/js/installed"; then
        return 0
    fi
    rm -rf "$work/js"
    mkdir -p "$work/js"
    cp "$here/package.json" "$here/package-lock.json" "$work/js/"
    # Its TypeScript is a matter of development only.
    if (cd "$work/js" && timeout 180 npm ci --legacy-peer-deps --ignore-scripts --no-audit --no-fund \
        --fetch-retries=1 --fetch-timeout=15000) >"$work/npm.log" 2>&1; then
        cp "$here/package-lock.json" "$work/js/installed"
        return 0
    fi
    if timeout 20 npm ping --fetch-retries=0 --fetch-timeout=5000 >/dev/null 2>&1; then
        tail -n 20 "$work/npm.log"
        return 1
    fi
    return 77
}

install_py() {
    python3 -c 'import venv, ensurepip' 2>/dev/null || return 77
    if cmp -s "$here/requirements.txt" "$work/py/installed" && "$work/py/bin/python" -c 'import qdrant_client' 2>/dev/null; then
        return 0
    fi
    rm -rf "$work/py"
    python3 -m venv "$work/py" >"$work/pip.log" 2>&1 || return 1
    pip() {
        PIP_DEFAULT_TIMEOUT='' timeout "$1" "$work/py/bin/pip" --disable-pip-version-check --no-input \
            --timeout 10 --retries 1 "${@:2}"
    }
    if pip 300 install --quiet --only-binary :all: --requirement "$here/requirements.txt" >>"$work/pip.log" 2>&1; then
        cp "$here/requirements.txt" "$work/py/installed"
        return 0
    fi
    if pip 30 download --quiet --no-deps --dest "$work/probe" pip >/dev/null 2>&1; then
        tail -n 20 "$work/pip.log"
        return 1
    fi
    return 77
}

# --- the server ---------------------------------------------------------------------------------------

server=
data=$(mktemp -d) || exit 1
stop() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null
        wait "$server" 2>/dev/null
    fi
    rm -rf "$data"
}
trap stop EXIT
trap 'exit 1' INT TERM

start() {
    port=$(free_port)
    "$quiver" serve --data "$data/db" --listen "127.0.0.1:$port" >"$data/log" 2>&1 </dev/null &
    server=$!
    for _ in $(seq 1 100); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            return 0
        fi
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    echo "not ok  the server did not start:"
    tail -n 20 "$data/log"
    return 1
}

# drive NAME COMMAND...: a client whose last line is "N passed, N failed"
drive() {
    local output
    output=$("${@:2}" 2>&1 </dev/null)
    local status=$? last=${output##*$'\n'}
    printf '%s\n' "$output"
    if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
    else
        echo "not ok  the $1 client ended with status $status"
        failed=$((failed + 1))
    fi
}

# client NAME REGISTRY COMMAND...
client() {
    local status
    "install_$1"
    status=$?
    case $status in
    0)
        if [ -n "$server" ] || start; then
            drive "$1" "${@:3}" "http://127.0.0.1:$port"
        else
            failed=$((failed + 1))
        fi
        ;;
    77) skip "the $1 client: $2 does not answer, and it was not installed before" ;;
    *)
        echo "not ok  the $1 client could not be installed"
        failed=$((failed + 1))
        ;;
    esac
}

# A module finds its packages in the folder of its own file.
js() {
    cp "$here/client_js.mjs" "$work/js/" && timeout 120 node "$work/js/client_js.mjs" "$@"
}
client js npm js
client py PyPI timeout 120 "$work/py/bin/python" "$here/client_py.py"
client py PyPI timeout 120 "$work/py/bin/python" "$here/diff_py.py" --rounds 3
if [ -n "$server" ]; then
    ok "the server still runs" kill -0 "$server"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
