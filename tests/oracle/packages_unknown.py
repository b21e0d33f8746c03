# SPDX-License-Identifier: MIT
"""A field that no version of the format has, in each kind of message of each package of tests/vectors, one at a time: what
luamil loads and saves must have it still. python tests/oracle/packages_unknown.py; prints what was lost, then the counts."""
import glob
import os
import shutil
import subprocess
import sys
import tempfile

import coremltools as ct

here = os.path.dirname(os.path.abspath(__file__))
root = os.path.join(here, "../..")
MODEL = "Data/com.apple.CoreML/model.mlmodel"
FIELD = bytes([0xFA, 0x7F, 6]) + b"UNKNOW"  # field 2047, length-delimited

RESAVE = """
local mil = require "mil"
for _, path in ipairs(arg) do
  local ok, why = pcall(function() mil.load(path):save(path) end)
  if not ok then print(path .. ": " .. tostring(why)) end
end
"""


def walk(message, path=""):
    """Each message inside of it, with the names of the fields that lead there."""
    yield path, message
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        if field.message_type.GetOptions().map_entry:
            value = [value[key] for key in value]
        for each in [value] if hasattr(value, "ListFields") else value:
            if hasattr(each, "ListFields"):
                yield from walk(each, path + "/" + field.name)


def parse(data):
    model = ct.proto.Model_pb2.Model()
    model.ParseFromString(data)
    return model


def cases(to):
    for package in sorted(glob.glob(os.path.join(root, "tests/vectors/packages/*.mlpackage"))):
        data = open(os.path.join(package, MODEL), "rb").read()
        seen = set()
        for number, (path, _) in enumerate(walk(parse(data))):
            if path in seen:
                continue
            seen.add(path)
            model = parse(data)
            list(walk(model))[number][1].MergeFromString(FIELD)
            made = os.path.join(to, "%d-%s" % (number, os.path.basename(package)))
            shutil.copytree(package, made)
            with open(os.path.join(made, MODEL), "wb") as file:
                file.write(model.SerializeToString())
            yield made, path


with tempfile.TemporaryDirectory() as dir:
    all_cases = list(cases(dir))
    script = os.path.join(dir, "resave.lua")
    with open(script, "w") as file:
        file.write(RESAVE)
    subprocess.run([os.environ.get("LUAMIL", "build/luamil"), script] + [made for made, _ in all_cases], check=True, cwd=root)
    lost = [case for case in all_cases if FIELD[3:] not in open(os.path.join(case[0], MODEL), "rb").read()]
    for made, path in lost:
        print("%s: lost what was in %s" % (os.path.basename(made), path or "/"))
    print("%d kept, %d lost" % (len(all_cases) - len(lost), len(lost)))
    sys.exit(bool(lost))
