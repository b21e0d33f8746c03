#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs each argument (a command of the shell), whose last line is "...: N passed, N failed", and prints the sum. As many run
# at once as there are cores, or JOBS. What a command says on stderr is shown together, above its line, when it has ended;
# one that ends otherwise counts as a failure.
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM
number=100
for command; do
    number=$((number + 1))
    printf '%s\n' "$command" >"$scratch/$number"
done

# One command, from its file: its line goes to NUMBER.line too.
one='line=$(sh "$1" 2>"$1.errors" | tail -n 1)
case "$line" in
*": "*" passed, "*" failed"*) ;;
*) line="$(cat "$1"): 0 passed, 1 failed (it did not end as tests do)" ;;
esac
printf "%s\n" "$line" >"$1.line"
cat "$1.errors" >&2
printf "%s\n" "$line"'
if [ $# -gt 0 ]; then # xargs of GNU would run once without an argument
    ls "$scratch" | sed "s|^|$scratch/|" | xargs -n 1 -P "$jobs" sh -c "$one" one
fi

passed=0 failed=0
for file in "$scratch"/*.line; do
    [ -f "$file" ] || continue
    read -r line <"$file"
    counts=${line##*: }
    passed=$((passed + ${counts%% passed*}))
    more=${counts##*passed, }
    failed=$((failed + ${more%% failed*}))
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
