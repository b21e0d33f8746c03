#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs each argument (a command of the shell), whose last line is "...: N passed, N failed", and prints the sum. What a
# command says on stderr is shown; one that ends otherwise counts as a failure.
passed=0 failed=0
for command; do
    line=$(sh -c "$command" | tail -n 1)
    case "$line" in
    *": "*" passed, "*" failed"*) ;;
    *) line="$command: 0 passed, 1 failed (it did not end as tests do)" ;;
    esac
    echo "$line"
    counts=${line##*: }
    passed=$((passed + ${counts%% passed*}))
    more=${counts##*passed, }
    failed=$((failed + ${more%% failed*}))
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
