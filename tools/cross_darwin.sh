#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds library, module and command for macOS on another system, with zig's C compiler (ziglang of PyPI, in a virtual
# environment under BUILD), and looks at what came out: what each is linked with, and what it leaves to the process that
# loads it. `make cross-darwin` calls it. Nothing of it has run on a Mac.
#
#   tools/cross_darwin.sh BUILD [arm64|x86_64 ...]     in the environment: PYTHON, and OPT, what to optimise by (-O2)
#
# The last line is the sum, as a test's. Where pip or the wheels can't be had, a line says so, and nothing has passed or failed.
#
# The core's dependencies are left to Homebrew: the linker is given stubs (.tbd) with the names of its dylibs and of the
# functions that this system's libraries have, and the headers are this system's, which are the same for every system.
set -eu
unset MAKEFLAGS MAKELEVEL # of the make that calls this, whose jobs are not for the ones below
build=$1
shift
targets=${*:-arm64 x86_64}
python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$build"
build=$(cd "$build" && pwd)
zig_version=0.17.1 macholib_version=1.16.4

venv=$build/zig
get_zig() {
    "$python" -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check "ziglang==$zig_version" "macholib==$macholib_version"
}
if ! "$venv/bin/python" -c 'import ziglang, macholib' 2>/dev/null && ! get_zig; then
    echo "cross-darwin: skipped, since ziglang $zig_version can't be had here (python3 with venv, and PyPI)"
    echo "0 passed, 0 failed"
    exit 0
fi
zig=$("$venv/bin/python" -c 'import ziglang; print(ziglang.__path__[0])')/zig

# The headers of the dependencies, apart from those of this system's C library.
include=$build/include
mkdir -p "$include/protobuf-c"
where() { pkg-config --variable=includedir "$1"; }
cp "$(where jansson)"/jansson.h "$include"
cp "$(find "$(where jansson)" -name jansson_config.h | head -n 1)" "$include"
cp "$(where zlib)"/zlib.h "$(where zlib)"/zconf.h "$include"
cp "$(where libprotobuf-c)"/protobuf-c/protobuf-c.h "$include/protobuf-c"
cp "$(pkg-config --cflags-only-I lua5.4 | sed 's/^-I//; s/ .*//')"/*.h "$include"
echo '#define DEB_HOST_MULTIARCH "darwin"' > "$include/lua5.4-deb-multiarch.h" # Debian's luaconf.h asks for it

# stub NAME DYLIB FILE: a library whose functions are those that FILE, of this system, has.
stub() {
    names=$(nm -D --defined-only "$3" | awk '$2 ~ /[TDBR]/ { sub(/@.*/, "", $3); printf "%s_%s", n++ ? ", " : "", $3 }')
    cat > "$build/lib$1.tbd" <<END
--- !tapi-tbd
tbd-version: 4
targets: [ arm64-macos, x86_64-macos ]
install-name: '$2'
exports:
  - targets: [ arm64-macos, x86_64-macos ]
    symbols: [ $names ]
...
END
}

library() { # the file of this system's shared library
    for dir in $(cc -print-search-dirs | sed -n 's/^libraries: =//p' | tr : ' '); do
        [ -e "$dir/lib$1.so" ] && { echo "$dir/lib$1.so"; return; }
    done
    echo "cross-darwin: lib$1.so is missing" >&2
    exit 1
}
stub jansson /opt/homebrew/opt/jansson/lib/libjansson.4.dylib "$(library jansson)"
stub protobuf-c /opt/homebrew/opt/protobuf-c/lib/libprotobuf-c.1.dylib "$(library protobuf-c)"
stub z /usr/lib/libz.1.dylib "$(library z)"
stub lua /opt/homebrew/opt/lua/lib/liblua.5.4.dylib "$(library lua5.4)"

# zig's compiler knows no -bundle: its module is a dylib, which Lua loads just as well.
build_for() {
    arch=$1 out=$build/$1
    [ "$arch" = arm64 ] && arch=aarch64
    mkdir -p "$out"
    printf '#!/bin/sh\nexec "%s" cc -target %s-macos.12.0 "$@"\n' "$zig" "$arch" > "$out/cc"
    printf '#!/bin/sh\nexec "%s" ar "$@"\n' "$zig" > "$out/ar"
    chmod +x "$out/cc" "$out/ar"
    make -s -C "$here" BUILD="$out" SYSTEM=Darwin CC="$out/cc" AR="$out/ar" OPT="${OPT:--O2}" WARN="-Wall -Wextra -Werror" LUAS=5.4 \
        DEPS_CFLAGS="-I$include" LUA_CFLAGS_5.4= DEPS_LIBS="-L$build -ljansson -lprotobuf-c -lz" \
        MODULE="-dynamiclib -undefined dynamic_lookup" LUA_LIBS_5.4="-L$build -llua" lib lua program &&
        "$venv/bin/python" "$here/tools/cross_darwin.py" "$1" "$out"
}

passed=0 failed=0
for target in $targets; do
    if (build_for "$target"); then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
