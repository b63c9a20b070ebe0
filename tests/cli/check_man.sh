#!/usr/bin/env bash
# check_man.sh: the manual page lists exactly the commands and options of --help.
#
# Usage: check_man.sh QUIVER quiver.1
# In the page every command is a subsection (.Ss NAME) with one ".It Fl -option Ar ARG" per option.
set -euo pipefail
quiver=$1 page=$2
export LC_ALL=C

# "import --collection NAME" per option
of_page() {
    awk '/^\.Ss / { name = substr($0, 5) }
         /^\.Sh / { name = "" }
         name != "" && /^\.It Fl -/ {
             line = $0
             sub(/^\.It Fl -/, "--", line)
             sub(/ Ar /, " ", line)
             print name " " line
         }' "$page"
}
commands() {
    "$quiver" --help | awk '/^commands:/ { on = 1; next } /^$/ { on = 0 } on' |
        sed -E 's/^  (bench [a-z]+|[a-z]+) .*/\1/'
}
of_help() {
    commands | while read -r name; do
        # Two columns: the option up to two blanks, then its help.
        # shellcheck disable=SC2086
        "$quiver" $name --help | sed -n -E 's/^  (--[^ ]+( [^ ]+)?)(  .*)?$/\1/p' |
            sed "s/^/$name /"
    done
}

status=0
if ! diff <(sed -n 's/^\.Ss //p' "$page" | sort) <(commands | sort); then
    echo "check_man.sh: the page (<) and the command (>) differ in their commands" >&2
    status=1
fi
if ! diff <(awk '/^\.Sh / { on = /SYNOPSIS/ } on && /^\.Cm / { print substr($0, 5) }' "$page" | sort) \
    <(commands | sort); then
    echo "check_man.sh: the page's synopsis (<) and the command (>) differ in their commands" >&2
    status=1
fi
if ! diff <(of_page | sort) <(of_help | sort); then
    echo "check_man.sh: the page (<) and --help (>) differ in their options" >&2
    status=1
fi
if [ "$(of_help | wc -l)" -lt 50 ]; then
    echo "check_man.sh: too few options found; has the form of --help changed?" >&2
    status=1
fi
if command -v mandoc >/dev/null; then
    mandoc -Tlint -W warning "$page" || status=1
fi
exit $status
