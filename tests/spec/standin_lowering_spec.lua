-- SPDX-License-Identifier: MIT
-- Every rewrite of lowering, and the Neural Engine's idioms of graphs/, by engine ane on the stand-in for Apple's frameworks: it refuses
-- and gets wrong what the sources say, also what one of them says and others contradict, and computes the rest by plain evaluation.
local luamil = dofile "tests/spec/luamil.lua"
local folder = (os.getenv "MIL_TEST_BUILD" or "build") .. "/standin"

describe("programs lowered for the Neural Engine, on the stand-in,", function()
  teardown(luamil.remove)
  local built = io.open(folder .. "/libobjc.A.so")
  if not built then return end
  built:close()

  -- Believed by name: of the direct route's sources H, E and F refuse softmax of some lengths, reduce_mean and tile; ANEForge and its
  -- guide refuse many ops by e5rt. A process may compile about a hundred programs.
  for _, case in ipairs { { "direct", "HEF" }, { "e5rt", "AG" } } do
    for part = 0, 1 do
      it(("part %d, compute by %s what they did before"):format(part + 1, case[1]), function()
        local line = "MIL_FRAMEWORKS=%s MIL_CACHE=%s STANDIN_BELIEVE=%s %s tests/spec/lowering_on_standin.lua %s %d %d"
        local status, out, err = luamil.shell(line:format(folder, luamil.path "cache", case[2], os.getenv "MIL_TEST_LUA" or "lua", case[1], part * 70 + 1, part * 70 + 70))
        assert.equal("", err)
        assert.truthy(out:find "^%d+ ran\n$", out)
        assert.equal(0, status)
      end)
    end
  end
end)
