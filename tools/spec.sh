#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the specs on one Lua; what busted says is shown, its sum comes last as "<lua>: N passed, N failed".
#   tools/spec.sh BUILD V LUA [busted's arguments]       from the tree's top, after make
build=$1 v=$2 lua=$3
shift 3
[ $# -gt 0 ] || set -- tests/spec
busted=$(command -v busted) || { echo "$lua: 0 passed, 1 failed (busted is missing)"; exit 1; }
case $(head -n 1 "$busted") in *lua*) ;; *) busted=$(sed -n "s/.*'\([^']*bin\/busted\)'.*/\1/p" "$busted" | head -n 1) ;; esac
# build/share has the Lua modules, build/lua<V>/mil.so the C module; the environment tells specs what they run in.
LUA_PATH="$build/share/?.lua;tests/spec/?.lua;${LUA_PATH:-;}" LUA_CPATH="$build/lua$v/?.so;${LUA_CPATH:-;}"
export LUA_PATH LUA_CPATH
unset LUA_PATH_5_2 LUA_PATH_5_3 LUA_PATH_5_4 LUA_CPATH_5_2 LUA_CPATH_5_3 LUA_CPATH_5_4 LUA_INIT
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export MIL_TEST_LUA="$lua" MIL_TEST_BUILD="$build" MIL_TEST_SCRATCH="$scratch"
out=$("$lua" "$busted" -o plainTerminal --helper=tests/spec/scratch.lua --pattern=_spec "$@" 2>&1)
echo "$out" | grep -v '^[+]*$' >&2
line=$(echo "$out" | grep -E '^[0-9]+ success' | tail -n 1)
[ -n "$line" ] || { echo "$lua: 0 passed, 1 failed (busted did not end)"; exit 1; }
set -- $line
echo "$lua: $1 passed, $(($4 + $7)) failed"
[ $(($4 + $7)) = 0 ]
