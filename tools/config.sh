#!/bin/sh
# SPDX-License-Identifier: MIT
# Finds what luamil is built with and prints it as make variables (the Makefile includes them). What is missing is
# installed where this runs as root and "install" is the first argument (make test, make demo), or named with the one
# command that installs it.
#
#   tools/config.sh install|look  build|test|core  > build/config.mk        (core: without a Lua)
set -u
mode=$1 want=$2
pkg=${PKG_CONFIG:-pkg-config}

debian_build="build-essential pkg-config libjansson-dev zlib1g-dev libprotobuf-c-dev liblua5.4-dev lua5.4 libedit2"
debian_test="lua5.1 liblua5.1-0-dev lua5.2 liblua5.2-dev lua5.3 liblua5.3-dev luajit libluajit-5.1-dev lua-busted luarocks"
brew_build="pkg-config jansson protobuf-c lua"
brew_test="luajit luarocks"

has() { command -v "$1" >/dev/null 2>&1; }

# The pkg-config name of a Lua's headers: Debian's, Homebrew's, or the plain name where its version fits.
lua_package() {
    for name in "lua$1" "lua-$1" "lua@$1"; do
        "$pkg" --exists "$name" 2>/dev/null && { echo "$name"; return; }
    done
    [ "$("$pkg" --variable=major_version lua 2>/dev/null)" = "$1" ] && echo lua
}

lua_command() {
    for name in "lua$1" "lua-$1" lua; do
        has "$name" && "$name" -v 2>&1 | grep -q "^Lua $1" && { echo "$name"; return; }
    done
}

missing() {
    has "${CC:-cc}" || echo "a C compiler"
    has "$pkg" || { echo "pkg-config"; return; }
    for name in jansson zlib libprotobuf-c; do "$pkg" --exists "$name" || echo "$name"; done
    [ "$want" = core ] && return 0
    [ -n "$(lua_package 5.4)" ] && [ -n "$(lua_command 5.4)" ] || echo "Lua 5.4"
    [ "$want" = test ] || return 0
    has apt-get && for v in 5.1 5.2 5.3; do
        [ -n "$(lua_package $v)" ] && [ -n "$(lua_command $v)" ] || echo "Lua $v"
    done
    has apt-get && { has luajit && "$pkg" --exists luajit || echo "LuaJIT"; }
    has busted || echo "busted"
    has luarocks || echo "luarocks"
}

lacks=$(missing)
if [ -n "$lacks" ]; then
    lacks=$(echo "$lacks" | paste -sd, - | sed 's/,/, /g')
    if has apt-get; then
        packages=$debian_build
        [ "$want" = test ] && packages="$packages $debian_test"
        command="apt-get update && apt-get install -y --no-install-recommends $packages"
    elif has brew; then
        command="brew install $brew_build"
        [ "$want" = test ] && command="$command $brew_test && luarocks install busted"
    else
        command=""
    fi
    if [ "$mode" = install ] && [ -n "$command" ] && { has brew || [ "$(id -u)" = 0 ]; }; then
        echo "missing: $lacks; installing" >&2
        DEBIAN_FRONTEND=noninteractive sh -c "$command" >&2 || exit 1
        [ -z "$(missing)" ] || { echo "still missing: $(missing | paste -sd, -)" >&2; exit 1; }
    else
        echo "missing: $lacks" >&2
        if has apt-get && [ "$(id -u)" != 0 ]; then command="sudo sh -c '$command'"; fi
        [ -z "$command" ] || echo "install with:  $command" >&2
        exit 1
    fi
fi

echo "DEPS_CFLAGS := $("$pkg" --cflags jansson zlib libprotobuf-c)"
echo "DEPS_LIBS := $("$pkg" --libs jansson zlib libprotobuf-c)"
luas=""
for v in 5.4 5.3 5.2 5.1 jit; do
    if [ $v = jit ]; then
        "$pkg" --exists luajit 2>/dev/null && has luajit || continue
        name=luajit command=luajit
    else
        name=$(lua_package $v) command=$(lua_command $v)
        [ -n "$name" ] && [ -n "$command" ] || continue
    fi
    luas="$luas $v"
    echo "LUA_CFLAGS_$v := $("$pkg" --cflags "$name")"
    echo "LUA_LIBS_$v := $("$pkg" --libs "$name")"
    echo "LUA_COMMAND_$v := $command"
done
echo "LUAS := $luas"
