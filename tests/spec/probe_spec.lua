-- SPDX-License-Identifier: MIT
-- luamil probe: without frameworks; on the stand-in for them, with all there, things missing and calls failing; its report.
local json = require "mil.json"
local luamil = dofile "tests/spec/luamil.lua"

local lua = os.getenv "MIL_TEST_LUA" or "lua"
local working = io.popen "pwd"
local top = working:read "*l"
working:close()
local build = os.getenv "MIL_TEST_BUILD" or "build"
local standin = (build:find "^/" and build or top .. "/" .. build) .. "/standin"

-- With an environment: "A=b C=d".
local function probe(environment, arguments)
  return luamil.shell(("%s %s bin/luamil probe %s"):format(environment, lua, arguments or ""))
end

describe("luamil probe", function()
  teardown(luamil.remove)

  if not io.open "/System/Library/Frameworks" then
    it("says in a line each what can and can't be had elsewhere", function()
      local status, out, err = probe "env -u MIL_FRAMEWORKS"
      assert.same({ 1, "" }, { status, err })
      local lines = {}
      for line in out:gmatch "[^\n]+" do lines[#lines + 1] = line end
      assert.equal(8, #lines)
      assert.truthy(lines[1]:find "^luamil %d")
      for i = 1, 7 do assert.truthy(lines[i + 1]:find("^" .. i .. " %l+ +%l+ ?h?e?r?e?"), lines[i + 1]) end
      assert.truthy(lines[5]:find("here in another form: memory that processes share", 1, true))
      assert.truthy(lines[8]:find("here on the cpu engine: it ran both programs", 1, true))
    end)

    it("has it as JSON too", function()
      local status, out = probe("env -u MIL_FRAMEWORKS", "--json --level 1,5")
      local data = json.decode(out)
      assert.same({ 0, 2, false, false }, { status, #data.levels, data.levels[1].passed, data.frameworks })
      assert.truthy(data.levels[2].steps[1].found:find("is part of macOS", 1, true))
      assert.is_nil(data.runs)
    end)
  end

  it("refuses what it can't take", function()
    for arguments, message in pairs {
      ["x"] = "takes no arguments, but was given x", ["--level 8"] = "--level takes numbers from 1 to 7, but was given 8",
      ["--level a"] = "but was given a", ["--level ,"] = "--level takes the number of a level", ["--report"] = "--report takes a value",
    } do
      local status, out, err = luamil("probe " .. arguments)
      assert.same({ 2, "" }, { status, out })
      assert.truthy(err:find(message, 1, true), err)
    end
    local path = luamil.path "no/such" -- said before anything is probed
    assert.same({ 1, "", ("luamil: probe: cannot write %s: No such file or directory\n"):format(path) }, { luamil("probe --level 2 --report " .. path) })
  end)

  local built = io.open(standin .. "/IOKit.so")
  if not built then return end
  built:close()
  local there = "MIL_FRAMEWORKS=" .. standin

  it("goes from the driver to programs that run", function()
    local status, out, err = probe(there)
    assert.same({ 0, "" }, { status, err })
    assert.truthy(out:match "^[^\n]+":find("frameworks of MIL_FRAMEWORKS=" .. standin, 1, true))
    for _, text in ipairs {
      "1 driver     the Neural Engine's driver is there  (", "    + H11ANEIn: entry 0x100000321, H11ANE  (",
      "2 open       the driver does not open for this process  (", "0xe00002e2 (not permitted): 0 to 10", "    do: nothing\n",
      "4 surfaces   memory for", "    + IOSurfaceLock to read, the same sought: 4096 of 4096 are 1  (", "    + AppleNeuralEngine: ",
      "    + com.apple.appleneuralengine: found  (", "7 run        the Neural Engine runs programs: by ane, route direct; by ane, route e5rt",
      "    + ane, route direct: first run: 4096 of 4096 elements as they should be  (", "route e5rt: 20 runs more: median ",
    } do assert.truthy(out:find(text, 1, true), text .. "\n" .. out) end
  end)

  it("says what a level that fails means, and what to do", function()
    local status, out = probe(there .. " STANDIN='guard=1 has_ane=0' STANDIN_FAIL=bootstrap_look_up", "--level 1,2,3,6")
    assert.equal(0, status) -- whether programs run was not asked
    for _, text in ipairs {
      "1 driver     no driver of a Neural Engine is there", "    means: no Neural Engine, or a virtual machine", "    do: on a Mac with",
      "    - the driver's service: not there (level 1)", "    - com.apple.appleneuralengine: bootstrap_look_up gives 1102 (no such service)",
    } do assert.truthy(out:find(text, 1, true), text .. "\n" .. out) end
  end)

  it("names what is missing", function()
    local status, out = probe(there .. " STANDIN_HIDE_CLASS=_ANERequest", "--level 5 --level 7")
    assert.equal(0, status) -- the other route does without
    assert.truthy(out:find("    - AppleNeuralEngine: ", 1, true))
    assert.truthy(out:find("class _ANERequest (needed)", 1, true))
    assert.truthy(out:find("    means: this system's private frameworks are not those", 1, true))
    assert.truthy(out:find("runs programs: by ane, route e5rt", 1, true))
  end)

  it("is not let off by the stand-in where the call that was to fail never came", function()
    local status, _, err = probe(there .. " STANDIN_FAIL=evaluate", "--level 7")
    assert.same({ 9, 'stand-in: STANDIN_FAIL: there was no call "evaluate"\n' }, { status, err })
  end)

  it("finds the step that fails, with the system's words", function()
    for call, text in pairs {
      ["_ANEInMemoryModel loadWithQoS:options:error:"] = "    - ane, route direct: matmul 64 x 64 x 64 of two inputs packed in one port: compile, load: ",
      ["_ANEInMemoryModel evaluateWithQoS:options:request:error:"] = "    - ane, route direct: first run: run: the Neural Engine failed",
    } do
      os.execute(("mkdir -p %s && ln -sf %s/*.so %s && rm -f %s/Espresso.so"):format(luamil.path "some", standin, luamil.path "some", luamil.path "some"))
      local status, out, err = probe(("MIL_FRAMEWORKS=%s STANDIN_FAIL='%s'"):format(luamil.path "some", call), "--level 7")
      assert.same({ 1, "" }, { status, err })
      for _, each in ipairs { text, "7 run        no route has run both programs", "route e5rt: matmul", "Espresso can't be opened",
        "    means: the first step that failed, marked with -, is the cause", "    + cpu: first run: 4096 of 4096 elements" } do
        assert.truthy(out:find(each, 1, true), each .. "\n" .. out)
      end
    end
  end)

  it("writes a report that has all, and nothing private", function()
    local home = luamil.path "anna"
    os.execute(("mkdir -p %s/frameworks && ln -sf %s/*.so %s/frameworks/ && rm -f %s/frameworks/Espresso.so"):format(home, standin, home, home))
    local path = luamil.path "report.json"
    local status, out = probe(("HOME=%s USER=h15g LOGNAME=h15g MIL_FRAMEWORKS=%s/frameworks"):format(home, home), "--report " .. path)
    assert.equal(0, status)
    assert.truthy(out:find("\nthe report is in " .. path, 1, true), out)
    local text = luamil.read "report.json"
    assert.is_nil(text:find("anna", 1, true))
    assert.is_nil(text:find("h15g", 1, true)) -- which took the place of a user's name
    local report = json.decode(text)
    assert.same({ 7, true, "driver", "run" }, { #report.levels, report.runs, report.levels[1].name, report.levels[7].name })
    assert.equal("~/frameworks", report.frameworks_of)
    assert.truthy(text:find("~/frameworks/Espresso.so", 1, true))
    assert.truthy(report.sources[1].text:find("func main", 1, true) and report.sources[2].long:find("program(1.0)", 1, true))
    assert.truthy(report.engines.ane:find("<user>", 1, true), report.engines.ane)
    local name = io.popen "uname -n"
    local host = name:read "*l"
    name:close()
    if #host > 1 then assert.is_nil(text:find("%f[%w]" .. host:gsub("%p", "%%%0") .. "%f[%W]")) end
    for user, folder in pairs { _zo = "_zo", ["Zo\195\171"] = "Zo\195\171", bo = "bo" } do -- names that end in no letter of ASCII, and a short one
      local place = luamil.path(folder)
      os.execute(("mkdir -p %s && ln -sf %s/*.so %s/ && rm -f %s/Espresso.so"):format(place, standin, place, place))
      local _, all = probe(("HOME=/home/%s USER=%s LOGNAME=x MIL_FRAMEWORKS=%s"):format(user, user, place), "--level 5 --report -")
      assert.is_nil(all:find("/" .. user, 1, true), all)
      assert.truthy(all:find("/<user>/Espresso.so", 1, true), all)
    end
    local _, printed = probe(there, "--level 4 --report -")
    assert.equal("surfaces", json.decode(printed).levels[1].name)
  end)
end)

-- ---- the tutorial ----

describe("docs/tutorial/first-dispatch.md", function()
  local standin_is_built = io.open(standin .. "/IOKit.so")
  if not standin_is_built then return end
  standin_is_built:close()
  teardown(luamil.remove)

  it("has commands that run, on the stand-in", function()
    local file = assert(io.open "docs/tutorial/first-dispatch.md")
    local text = file:read "*a"
    file:close()
    local n, script = 0, text:match "```lua\n(.-)```"
    os.execute("mkdir -p " .. luamil.folder)
    luamil.write("first.lua", script)
    for command in text:gmatch "\n    (build/luamil [^\n]+)" do
      if not command:find "published" then -- minutes, where there is no Neural Engine
        n = n + 1
        local line = command:gsub("^build/luamil", ("MIL_FRAMEWORKS=%s %s bin/luamil"):format(standin, lua))
        line = line:gsub('%f[%w]first%.', luamil.path "first."):gsub("report%.json", luamil.path "report.json")
        local status, out, err = luamil.shell(line)
        assert.same({ command, 0, "" }, { command, status, err .. (status ~= 0 and out or "") })
        assert.truthy(#out > 0 or command:find "save")
      end
    end
    assert.truthy(n >= 10)
  end)
end)
