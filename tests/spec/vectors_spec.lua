-- SPDX-License-Identifier: MIT
-- The vectors are small: what others computed is kept in the tree, and everybody who clones it carries it.
local most = 6 * 2 ^ 20 -- bytes

describe("tests/vectors", function()
  it("stay below 6 MiB together", function()
    local pipe = assert(io.popen "find tests/vectors -type f -exec cat {} + | wc -c")
    local sum = tonumber(pipe:read "*a")
    pipe:close()
    assert.is_true(sum > 2 ^ 20 and sum < most, sum)
  end)
end)
