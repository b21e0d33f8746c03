# SPDX-License-Identifier: MIT
"""What the files that tools/cross_darwin.sh built for macOS are linked with, and what they leave undefined.

    cross_darwin.py ARCH DIR

Fails where one is of another architecture, links with more than libSystem and the core's own dependencies, where the module
doesn't leave Lua's functions to the process that loads it, or where the library shows a symbol that is no part of mil.h."""

import re
import sys
from pathlib import Path

from macholib.MachO import MachO
from macholib.SymbolTable import SymbolTable
from macholib.mach_o import CPU_TYPE_NAMES

DEPENDENCIES = {"libSystem.B.dylib", "libjansson.4.dylib", "libprotobuf-c.1.dylib", "libz.1.dylib"}
N_EXT, N_TYPE, N_UNDF, N_PEXT = 0x01, 0x0E, 0x00, 0x10


def symbols_of(path):
    """(defined and visible, undefined) names."""
    table = SymbolTable(MachO(str(path)))
    defined, undefined = set(), set()
    for entry, name in table.nlists:
        if entry.n_type & 0xE0 or not entry.n_type & N_EXT:
            continue  # of the debugger, or local
        name = name.decode()
        (undefined if entry.n_type & N_TYPE == N_UNDF else defined).add(name)
    return defined, undefined


def look(path, arch, dependencies):
    header = MachO(str(path)).headers[0]
    faults = []
    is_of = CPU_TYPE_NAMES[header.header.cputype]
    if {"arm64": "ARM64", "x86_64": "x86_64"}[arch] != is_of:
        faults.append(f"is for {is_of}")
    linked = {Path(name).name for _, _, name in header.walkRelocatables()} - {path.name}
    if linked - dependencies:
        faults.append(f"is linked with {', '.join(sorted(linked - dependencies))}")
    print(f"{path.name} ({is_of}): linked with {', '.join(sorted(linked))}")
    return faults


def main():
    arch, build = sys.argv[1], Path(sys.argv[2])
    library, module, program = build / "libmil.0.dylib", build / "lua5.4" / "mil.so", build / "luamil"
    faults = {path.name: look(path, arch, DEPENDENCIES | ({"liblua.5.4.dylib"} if path == program else set()))
              for path in (library, module, program)}
    defined, undefined = symbols_of(library)
    foreign = sorted(name for name in defined if not re.match(r"_mil_[a-z]|___dso_handle$|__mh_", name))  # two of the linker's
    if foreign:
        faults[library.name].append(f"shows {', '.join(foreign[:8])}")
    if any(name.startswith("_lua") for name in undefined):
        faults[library.name].append("wants Lua")
    defined, undefined = symbols_of(module)
    if "_luaopen_mil" not in defined:
        faults[module.name].append("has no luaopen_mil")
    if any(re.match(r"_luaL?_", name) for name in defined) or "_lua_pcallk" not in undefined:
        faults[module.name].append("has a Lua of its own")
    for name, each in faults.items():
        for fault in each:
            print(f"cross-darwin: {name} {fault}", file=sys.stderr)
    sys.exit(any(faults.values()))


main()
