-- SPDX-License-Identifier: MIT
-- Programs of others, kept beside this tree (../shared/corpus, where it is there): each is loaded, printed and verified, or
-- gets an error that names what it lacks; and what a bundle and a package of one model say is the same program.
local mil = require "mil"

local corpus = "../shared/corpus/"

-- Which ones can't be read, and what is said of them. Whoever makes one readable finds its row here.
local lacking = {
  ["mil/m6-e5-linear-act.mil"] = "tensor_buffer is a type of E5 dumps, and not of MIL programs",
}

local function list(folder)
  local found = {}
  local pipe = io.popen("ls " .. corpus .. folder .. " 2>/dev/null")
  for name in pipe:lines() do found[#found + 1] = folder .. "/" .. name end
  pipe:close()
  return found
end

local bundles, packages, texts = list "bundles", list "packages", list "mil"

-- Without the header, where the compiler says its own version.
local function comparable(text) return (text:gsub("^program.-\n{", "{")) end

describe("the corpus", function()
  if #bundles == 0 then return pending "is not here" end

  for _, group in ipairs { bundles, packages, texts } do
    for _, name in ipairs(group) do
      it("has " .. name, function()
        local ok, p = pcall(mil.load, corpus .. name)
        if lacking[name] then
          assert.is_false(ok)
          assert.truthy(tostring(p):find(lacking[name], 1, true), tostring(p))
          return
        end
        assert(ok, p)
        p:verify()
        local text = tostring(p)
        local again = mil.parse(text, { unchecked = true })
        assert.is_true(text == tostring(again), "its text is read back as another program")
      end)
    end
  end

  for _, name in ipairs(bundles) do
    local stem = name:match "bundles/(.*)%.mlmodelc$"
    local package = "packages/" .. stem .. ".mlpackage"
    local has_package = false
    for _, other in ipairs(packages) do has_package = has_package or other == package end
    if has_package then
      it("has one program as " .. stem .. "'s bundle and package", function()
        local bundle, source = mil.load(corpus .. name), mil.load(corpus .. package)
        local a, b = comparable(tostring(bundle)), comparable(tostring(source))
        if a == b then return end
        local at = 1
        while a:sub(at, at) == b:sub(at, at) do at = at + 1 end
        error(("they part:\n%s\n%s"):format(a:sub(math.max(at - 200, 1), at + 200), b:sub(math.max(at - 200, 1), at + 200)))
      end)

      it("has the metadata of " .. stem .. " in both", function()
        local bundle, source = mil.load(corpus .. name):metadata(), mil.load(corpus .. package):metadata()
        if next(bundle) == nil then return end -- its coremldata.bin is not stored
        assert.same(source, bundle)
      end)
    end
  end
end)
