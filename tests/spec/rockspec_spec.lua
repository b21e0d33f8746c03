-- SPDX-License-Identifier: MIT
-- The rockspec lists the sources and Lua files that are there.
describe("the rockspec", function()
  it("is current; if not, run: lua tools/rockspec.lua", function()
    local file = assert(io.open "luamil-scm-1.rockspec")
    local text = file:read "*a"
    file:close()
    assert.equal(assert(loadfile "tools/rockspec.lua")("rockspec"), text)
  end)
end)
