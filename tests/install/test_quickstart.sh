#!/bin/bash
# ./quickstart: answers from an empty folder, keeps the data, leaves or stops the server as promised.
#
# Works on a data directory and a port of its own. The last line is "N passed, N failed".
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root" || exit 1
# shellcheck source=tests/install/lib.sh
. tests/install/lib.sh

work=$(mktemp -d) || exit 1
QUIVER_DATA=$work/data
PORT=$(free_port)
export QUIVER_DATA PORT
unset QUIVER_API_KEY
url=http://127.0.0.1:$PORT
server=''
clean() {
    [ -z "$server" ] || kill "$server" 2>/dev/null
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 1' INT TERM

# said TEXT: the last run printed it. lacks TEXT: it did not.
said() { grep -qF -e "$1" "$work/out" || { cat "$work/out"; return 1; }; }
lacks() { ! said "$1"; }
quick() { ./quickstart "$@" >"$work/out" 2>&1 </dev/null || { cat "$work/out"; return 1; }; }
refused() { ! ./quickstart "$@" >"$work/out" 2>&1 </dev/null || { cat "$work/out"; return 1; }; }
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; }
silent() { ! listens; }
gone() {
    local i
    for ((i = 0; i < 300; i++)); do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    return 1
}

ok "--once from nothing" quick --once || finish
ok "--once: a plain search" said 'cobbler'
ok "--once: a filtered search" said '"pos"'
ok "--once: more like this" said 'More like'
ok "--once: scores" said 'score 0.'
ok "--once: the server is stopped" silent

ok "again" quick
ok "again: the data were kept" said 'is loaded: 12000 points'
ok "again: nothing is loaded twice" lacks 'Loading the sample'
ok "again: says what to try next" said 'Next:'
ok "again: the server goes on" listens
server=$(sed -n 's/.*(process \([0-9]*\), log.*/\1/p' "$work/out")
ok "again: says which process it is" kill -0 "${server:-0}"
ok "the server holds the sample" build/release/quiver info --url "$url" --collection words

ok "a third time, beside it" quick --once
ok "a third time: finds it" said "Serving already: $url (process $server)"
ok "a third time: leaves it" kill -0 "$server"
mine=$PORT
PORT=$(free_port)
ok "another port for the same data is refused" refused --once
ok "... and says where they are" said "PORT=$mine ./quickstart"
PORT=$mine
QUIVER_DATA=$work/other
ok "other data on the same port are refused" refused --once
ok "... and say how to choose" said 'Choose another port'
QUIVER_DATA=$work/data
kill "$server"
ok "the server stops when asked" gone "$server"
server=''
ok "PORT must be one" env PORT=70000 bash -c '! ./quickstart --once'
finish
