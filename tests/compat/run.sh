#!/bin/bash
# Qdrant's own suites against `quiver serve`, as they are.
#
#   tests/compat/run.sh SUITE CHECKOUT QUIVER [ARGUMENT...]
#
# SUITE is js (packages/js-client-rest of qdrant-js), congruence (qdrant-client), openapi or shell (qdrant);
# CHECKOUT is a copy of that repository, which nothing here fetches. What each needs installed is in
# docs/compatibility.md. The suites are fixed to 127.0.0.1:6333 and want an empty server, so both run in a
# network of their own (unshare), on a new data directory. PYTHON names the interpreter with the packages.
# ARGUMENTs go to pytest, or name the shell tests. The exit status is the suite's.
set -u
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}

if [ $# -lt 3 ]; then
    sed -n 's/^# \{0,1\}//; 2,12p' "$0" >&2
    exit 2
fi
suite=$1 checkout=$(readlink -f "$2") quiver=$(readlink -f "$3")
shift 3
if [ -z "${QUIVER_COMPAT_INSIDE:-}" ]; then
    QUIVER_COMPAT_INSIDE=1 exec unshare --map-root-user --net "$here/run.sh" "$suite" "$checkout" "$quiver" "$@"
fi

# The loopback device of the new network is down: SIOCSIFFLAGS with IFF_UP | IFF_RUNNING.
python3 - <<'PY' || exit 1
import fcntl, socket, struct
with socket.socket() as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))
PY

data=$(mktemp -d) || exit 1
"$quiver" serve --data "$data/db" --listen 127.0.0.1:6333 >"$data/log" 2>&1 </dev/null &
server=$!
stop() {
    kill "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    rm -rf "$data"
}
trap stop EXIT
for _ in $(seq 1 300); do
    (exec 3<>/dev/tcp/127.0.0.1/6333) 2>/dev/null && break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
done
if ! (exec 3<>/dev/tcp/127.0.0.1/6333) 2>/dev/null; then
    echo "the server did not start:" >&2
    tail -n 20 "$data/log" >&2
    exit 1
fi

case $suite in
js) cd "$checkout/packages/js-client-rest" && npx vitest run --config vitest.integration.config.ts ;;
congruence)
    cd "$checkout" || exit 1
    PYTHONPATH=$here "$python" -m pytest -p rest_only -q -rfE --tb=short "${@:-tests/congruence_tests}"
    ;;
openapi)
    cd "$checkout" || exit 1
    OPENAPI_FILE=docs/redoc/master/openapi.json QDRANT_HOST=http://127.0.0.1:6333 \
        "$python" -m pytest -q -rfE --tb=short "${@:-tests/openapi}"
    ;;
shell)
    cd "$checkout" || exit 1
    failed=0
    for name in "${@:-basic_api_test}"; do
        if QDRANT_HOST=127.0.0.1:6333 bash "tests/$name.sh" >"$data/out" 2>&1; then
            echo "ok      $name"
        else
            echo "not ok  $name"
            tail -n 20 "$data/out"
            failed=1
        fi
    done
    [ "$failed" -eq 0 ]
    ;;
*)
    echo "$0: there is no suite $suite" >&2
    exit 2
    ;;
esac
