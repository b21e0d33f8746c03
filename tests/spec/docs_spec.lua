-- SPDX-License-Identifier: MIT
-- The examples of README.md and docs/ run, and print what the documents say.
--
--   ```lua      runs; the blocks of one document share their globals; local names end with their block
--   ```output   what the block before it printed; a line "..." stands for any number of lines
--   ```lua-error   must raise; the ```output after it is the message
local mil = require "mil"

local documents = { "README.md" }
local list = io.popen "find docs -name '*.md' | sort"
for path in list:lines() do documents[#documents + 1] = path end
list:close()

local function blocks_of(path)
  local blocks, current, number = {}, nil, 0
  for line in io.lines(path) do
    number = number + 1
    local fence = line:match "^```(.*)$"
    if fence and not current then
      current = { kind = fence, line = number + 1 }
    elseif fence then
      current.text = table.concat(current, "\n")
      blocks[#blocks + 1], current = current, nil
    elseif current then
      current[#current + 1] = line
    end
  end
  return blocks
end

-- Does text have the lines of the pattern, where "..." skips some?
local function matches(text, pattern)
  local lines, wanted = {}, {}
  for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = (line:gsub("%s+$", "")) end
  for line in (pattern .. "\n"):gmatch "(.-)\n" do wanted[#wanted + 1] = (line:gsub("%s+$", "")) end
  while lines[#lines] == "" do lines[#lines] = nil end
  if not math.type then -- 5.1, 5.2 and LuaJIT write a whole float as "6", the documents as 5.3 and 5.4 do: "6.0"
    for i, line in ipairs(wanted) do wanted[i] = line:gsub("(%d)%.0%f[^%d]", "%1") end
  end
  local function from(i, k)
    if k > #wanted then return i > #lines end
    if wanted[k] == "..." then
      for j = i, #lines + 1 do
        if from(j, k + 1) then return true end
      end
      return false
    end
    return lines[i] == wanted[k] and from(i + 1, k + 1)
  end
  return from(1, 1)
end

-- Runs a block; gives what it printed, or what it raised.
local function run(block, path, env)
  local printed = {}
  env.print = function(...)
    local parts = {}
    for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
    printed[#printed + 1] = table.concat(parts, "\t")
  end
  local chunk, message
  local name = "@" .. path .. ":" .. block.line
  if setfenv then
    chunk, message = loadstring(block.text, name)
    if chunk then setfenv(chunk, env) end
  else
    chunk, message = load(block.text, name, "t", env)
  end
  assert(chunk, message)
  local ok, raised = pcall(chunk)
  if block.kind == "lua" then
    if not ok then error(path .. ":" .. block.line .. ": " .. tostring(raised), 0) end
    return table.concat(printed, "\n")
  end
  assert(not ok, path .. ":" .. block.line .. ": was to raise an error")
  return (tostring(raised):gsub("^" .. path:gsub("%p", "%%%0") .. ":%d+:%d+: ", ""))
end

describe("documents", function()
  for _, path in ipairs(documents) do
    it(path, function()
      mil.seed(1)
      local env = setmetatable({ mil = mil }, { __index = _G })
      local said
      for _, block in ipairs(blocks_of(path)) do
        if block.kind == "lua" or block.kind == "lua-error" then
          said = run(block, path, env)
        elseif block.kind == "output" and not matches(said, block.text) then
          error(("%s:%d: prints\n%s\nbut the document says\n%s"):format(path, block.line, said, block.text), 0)
        end
      end
    end)
  end

  it("link to what is there", function()
    for _, path in ipairs(documents) do
      local folder = path:match "^(.*/)" or ""
      for line in io.lines(path) do
        for target in line:gmatch "%]%(([^)#]+)[^)]*%)" do
          local file = target:find "^%a+:" or io.open(folder .. target)
          assert(file, path .. " links to " .. target .. ", which is not there")
          if io.type(file) then file:close() end
        end
      end
    end
  end)
end)
