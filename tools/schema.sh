#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes core/package/schema.pb-c.{h,c} of schema.proto, with protobuf-c's compiler (Debian: protobuf-c-compiler).
#   tools/schema.sh [DIR]      from the tree's top; DIR: where the two files go
set -eu
to=${1:-core/package}
protoc-c --proto_path=core/package --c_out="$to" schema.proto
# As in base.h, what is declared after the system's headers is hidden from the linker.
sed -i 's|^PROTOBUF_C__BEGIN_DECLS|#pragma GCC visibility push(hidden)\n&|; s|^PROTOBUF_C__END_DECLS|&\n#pragma GCC visibility pop|' \
    "$to/schema.pb-c.h"
