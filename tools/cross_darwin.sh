#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds library, module and command for macOS on another system, with zig's C compiler (ziglang of PyPI, in a virtual
# environment under BUILD), and looks at what came out: what each is linked with, and what it leaves to the process that
# loads it. `make cross-darwin` calls it. Nothing of it has run on a Mac.
#
#   tools/cross_darwin.sh BUILD [arm64|x86_64 ...]
#
# The core's dependencies are left to Homebrew: the linker is given stubs (.tbd) with the names of its dylibs and of the
# functions that this system's libraries have, and the headers are this system's, which are the same for every system.
set -eu
build=$1
shift
targets=${*:-arm64 x86_64}
python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$build"
build=$(cd "$build" && pwd)
zig_version=0.17.1 macholib_version=1.16.4

venv=$build/zig
if ! "$venv/bin/python" -c 'import ziglang, macholib' 2>/dev/null; then
    "$python" -m venv "$venv"
    "$venv/bin/pip" install -q "ziglang==$zig_version" "macholib==$macholib_version"
fi

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
for target in $targets; do
    arch=$target
    [ "$arch" = arm64 ] && arch=aarch64
    out=$build/$target
    mkdir -p "$out"
    printf '#!/bin/sh\nexec "%s" -m ziglang cc -target %s-macos.12.0 "$@"\n' "$venv/bin/python" "$arch" > "$out/cc"
    printf '#!/bin/sh\nexec "%s" -m ziglang ar "$@"\n' "$venv/bin/python" > "$out/ar"
    chmod +x "$out/cc" "$out/ar"
    make -s -C "$here" BUILD="$out" SYSTEM=Darwin CC="$out/cc" AR="$out/ar" OPT=-O2 WARN="-Wall -Wextra -Werror" LUAS=5.4 \
        DEPS_CFLAGS="-I$include" LUA_CFLAGS_5.4= DEPS_LIBS="-L$build -ljansson -lprotobuf-c -lz" \
        MODULE="-dynamiclib -undefined dynamic_lookup" LUA_LIBS_5.4="-L$build -llua" lib lua program
    "$venv/bin/python" "$here/tools/cross_darwin.py" "$target" "$out"
done
