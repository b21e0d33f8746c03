-- SPDX-License-Identifier: MIT
-- busted's helper: what specs put under os.tmpname() is in a folder that tools/spec.sh removes.
local folder, n = os.getenv "MIL_TEST_SCRATCH", 0

if folder then
  function os.tmpname() -- luacheck: ignore
    n = n + 1
    local path = ("%s/%d"):format(folder, n)
    local file = io.open(path, "w") -- it is there, as one of the system's would be
    if file then file:close() end
    return path
  end
end
