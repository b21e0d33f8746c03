#!/bin/sh
# SPDX-License-Identifier: MIT
# What is installed works: make install with the examples compiled by pkg-config; the rock for two Luas, in a tree of its own.
#   tests/install_test.sh       from the tree's top, after make; last line "...: N passed, N failed"
set -u
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0

check() { # check NAME WANTED COMMAND...: its output must have WANTED in it
    name=$1 wanted=$2
    shift 2
    if out=$("$@" 2>&1) && case "$out" in *"$wanted"*) true ;; *) false ;; esac; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED %s: wanted "%s", got\n%s\n' "$name" "$wanted" "$(echo "$out" | tail -n 20)" >&2
    fi
}

usr=$dir/usr
PKG_CONFIG_PATH=$usr/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export PKG_CONFIG_PATH
cc=${CC:-cc}

check "make install" "" make -s install PREFIX="$usr"
check "libmil.pc" "-lmil" pkg-config --libs libmil
check "embed_c, shared" "y = 14.5 0" sh -c "
    $cc examples/embed_c.c \$(pkg-config --cflags --libs libmil) -Wl,-rpath,$usr/lib -o $dir/c && $dir/c"
check "embed_c, static" "y = 14.5 0" sh -c "
    $cc examples/embed_c.c \$(pkg-config --cflags libmil) $usr/lib/libmil.a \$(pkg-config --libs --static jansson zlib libprotobuf-c) -lm -lpthread \
        -o $dir/s && $dir/s"
if command -v c++ > /dev/null; then
    printf '#include <mil.h>\nint main() { mil_compile_options o = MIL_COMPILE_DEFAULTS; return o.threads - 1; }\n' > "$dir/cxx.cpp"
    check "mil.h in C++" "" sh -c "c++ -Wall -Wextra -Werror -pedantic -std=c++11 $dir/cxx.cpp \$(pkg-config --cflags --libs libmil) -Wl,-rpath,$usr/lib -o $dir/x && $dir/x"
fi
check "run_package, shared" "out: fp32, 18 elements from " sh -c "
    $cc examples/run_package.c \$(pkg-config --cflags --libs libmil) -Wl,-rpath,$usr/lib -o $dir/p &&
        $dir/p tests/vectors/packages/conv.mlpackage && $dir/p tests/vectors/packages/stateful.mlpackage && $dir/p tests/vectors/packages/classifier.mlpackage"
lua=$(for name in lua5.4 lua-5.4 lua; do pkg-config --exists $name && echo $name && break; done)
check "embed_lua" "1.0	4.0	9.0" sh -c "
    $cc examples/embed_lua.c \$(pkg-config --cflags --libs luamil $lua) -Wl,-rpath,$usr/lib -o $dir/l && $dir/l"
check "the installed program" "luamil" "$usr/bin/luamil" --version
check "the installed program runs scripts" "[0.0, 2.0]" sh -c "
    echo 'local mil = require \"mil\"
    local f = mil.func()
    f:output(\"y\", f:input(\"x\", \"fp32\", {2}):relu())
    local y = f:compile{engine=\"cpu\"}:run{x = mil.tensor(\"fp32\", {-1, 2})}.y
    print((\"[%.1f, %.1f]\"):format(y[1], y[2]))' > $dir/script.lua && cd $dir && $usr/bin/luamil script.lua"
check "no symbol but mil_ is exported" "ok" sh -c "
    nm -D --defined-only $usr/lib/libmil.so.0 | awk '\$2 != \"A\" && \$3 !~ /^(mil_[a-z]|_init|_fini|__bss|_edata|_end)/ { print; bad = 1 } END { if (!bad) print \"ok\" }'"

# Another Lua's module by the next install is that Lua's, and so is the archive; what is uninstalled is gone.
if pkg-config --exists luajit; then
    check "make install, LuaJIT" "" make -s install PREFIX="$dir/jit" LUA_INSTALL=jit
    check "make install again" "" make -s install PREFIX="$usr"
    check "embed_lua, after another Lua's install" "1.0	4.0	9.0" sh -c "
        $cc examples/embed_lua.c \$(pkg-config --cflags --libs luamil $lua) -Wl,-rpath,$usr/lib -o $dir/l && $dir/l"
    check "embed_lua, LuaJIT" "1	4	9" sh -c "PKG_CONFIG_PATH=$dir/jit/lib/pkgconfig; export PKG_CONFIG_PATH
        $cc examples/embed_lua.c \$(pkg-config --cflags --libs luamil luajit) -Wl,-rpath,$dir/jit/lib -o $dir/j && $dir/j"
    check "make uninstall" "0" sh -c "make -s uninstall PREFIX='$dir/jit' LUA_INSTALL=jit && find '$dir/jit' -not -type d | wc -l"
fi

if command -v luarocks > /dev/null; then
    mkdir "$dir/source" # luarocks leaves its objects beside the sources
    tar cf - --exclude=./build --exclude=./.git . | tar xf - -C "$dir/source"
    for v in 5.4 5.1; do
        command -v lua$v > /dev/null || continue
        check "luarocks make, Lua $v" "is now installed" sh -c "
            cd $dir/source && luarocks --lua-version $v --tree $dir/rock$v make --no-doc luamil-scm-1.rockspec"
        check "the rock's command, Lua $v" "luamil" "$dir/rock$v/bin/luamil" --version
        check "the rock's module, Lua $v" "[0.0, 2.0]" sh -c "cd $dir && $dir/rock$v/bin/luamil script.lua"
    done
fi

echo "tests/install_test.sh: $passed passed, $failed failed"
[ $failed = 0 ]
