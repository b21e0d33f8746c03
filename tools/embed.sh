#!/bin/sh
# SPDX-License-Identifier: MIT
# The Lua files named on the command line as C, for lua/host.c: lua/mil/x.lua is mil.x, scripts/x.lua is mil.cmd.x.
set -e
echo '#include <stddef.h>'
echo 'typedef struct luamil_file { const char *name; const unsigned char *text; size_t bytes; } luamil_file;'
i=0
for file; do
    echo "static const unsigned char file_$i[] = {"
    od -An -v -tx1 "$file" | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'
    echo '};'
    i=$((i + 1))
done
echo 'const luamil_file luamil_files[] = {'
i=0
for file; do
    name=$(basename "$file" .lua)
    case "$file" in *scripts/*) name=cmd.$name ;; esac
    echo "{\"mil.$name\", file_$i, sizeof file_$i},"
    i=$((i + 1))
done
echo '{NULL, NULL, 0}};'
