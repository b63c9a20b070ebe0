# lib.sh: what the scripts of this folder share. Sourced by bash.
#
# shellcheck shell=bash
passed=0
failed=0

# ok NAME COMMAND...: the command succeeds; what it prints is shown only if not.
ok() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1 </dev/null); then
        echo "ok      $name"
        passed=$((passed + 1))
    else
        echo "not ok  $name: $*"
        printf '%s\n' "$output" | tail -n 40
        failed=$((failed + 1))
        return 1
    fi
}

# The last line of every script.
finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}

# A port of 127.0.0.1 that nothing listens on, most likely. Bash alone: a connection is refused.
free_port() {
    local port
    for _ in $(seq 1 100); do
        port=$((20000 + RANDOM % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    return 1
}
