-- SPDX-License-Identifier: MIT
-- mil.probe: what stands between this machine and its Neural Engine, from the driver up to a program that runs: seven levels, each
-- a list of steps {ok, tried, found, seconds}. The first six are the library's (mil.system.probe); the last compiles and runs two
-- programs by each route.
--
--     local levels = probe.run { progress = function(stage, part) end }
--     print(probe.text(levels))

local mil = require "mil"
local system = require "mil.system"
local errors = require "mil.errors"

local probe = {}

-- passed, failed: what a level has found. means, advice: of one that failed; usual: where that is nothing to mend.
-- elsewhere: where there are no frameworks of macOS, what can be had in their place.
probe.levels = {
  { name = "driver", passed = "the Neural Engine's driver is there", failed = "no driver of a Neural Engine is there",
    means = "no Neural Engine, or a virtual machine, which has none; or the driver has another name on this system",
    advice = "on a Mac with Apple silicon that is no virtual machine, send a report (--report FILE); elsewhere use engine cpu, or coreml",
    elsewhere = "not here: the driver is macOS's. Would the engine take a program? `luamil check` says so on any machine" },
  { name = "open", passed = "the driver opens for this process", failed = "the driver does not open for this process",
    usual = true, means = "as it should be: it opens for the daemon alone, which has the entitlement; programs go through the daemon (levels 5 to 7)",
    elsewhere = "not here: there is no driver to open" },
  { name = "selectors", passed = "some of the driver's methods answer", failed = "none of the driver's methods was asked with success",
    usual = true, means = "nothing is missing: no route uses them",
    elsewhere = "not here: there is no driver to ask" },
  { name = "surfaces", passed = "memory for the engine's inputs and outputs can be made, written and read", failed = "such memory can't be used",
    means = "without IOSurfaces neither route can run a program",
    advice = "run luamil in a terminal of a user who is logged in, outside of a sandbox or container; if that is so, send a report (--report FILE)",
    elsewhere = "here in another form: memory that processes share (mil.shared)" },
  { name = "frameworks", passed = "all that the direct route needs is there", failed = "something that the direct route needs is missing",
    means = "this system's private frameworks are not those that luamil knows; what is marked (needed) is gone",
    advice = "send a report (--report FILE): a maintainer has to look where it went; until then use engine coreml",
    elsewhere = "not here: they are macOS's. Programs are lowered and written as their compilers want them all the same (f:lower, f:dialect)" },
  { name = "daemon", passed = "the daemon's port is to be had", failed = "the daemon's port is not to be had",
    means = "this process is in a sandbox that has no way to the daemon, or the daemon is not there",
    advice = "look at level 7 first: where programs run it does not matter; else run luamil in a terminal, outside of a sandbox",
    elsewhere = "not here: the daemon is macOS's" },
  { name = "run", passed = "the Neural Engine runs programs", failed = "no route has run both programs",
    means = "the first step that failed, marked with -, is the cause; its text is the system's own",
    advice = "docs/tutorial/first-dispatch.md says what to look at; send a report (--report FILE)",
    elsewhere = "here on the cpu engine: it ran both programs, and gave what it should" },
}

-- ---- level 7: two programs, small and with a result that is known ----

-- x [64, 64] and w [64, 64] lie side by side in one port; y = x w. No weights.
local function matmul()
  local f = mil.func { opset = "ios18" }
  local packed = f:input("x", "fp16", { 1, 64, 1, 128 })
  local function half(at)
    return packed:slice_by_size { begin = { 0, 0, 0, at }, size = { 1, 64, 1, 64 } }:reshape { shape = { 1, 1, 64, 64 } }
  end
  f:output("y", half(0):matmul(half(64)):reshape { shape = { 1, 64, 1, 64 } })
  return f
end

-- Element (c, s) of a [1, 64, 1, width] tensor is of(c, s).
local function filled(width, of)
  local rows = {}
  for c = 1, 64 do
    local row = {}
    for s = 1, width do row[s] = of(c, s) end
    rows[c] = { row }
  end
  return mil.tensor("fp16", { rows })
end

-- A 1x1 convolution, its weights in a file of their own: each channel is half of the one before it.
local function conv()
  local f = mil.func { opset = "ios18" }
  local rows = {}
  for to = 1, 64 do
    rows[to] = {}
    for from = 1, 64 do rows[to][from] = { { from == (to - 2) % 64 + 1 and 0.5 or 0 } } end
  end
  f:output("y", f:input("x", "fp16", { 1, 64, 1, 64 }):conv { weight = mil.tensor("fp16", rows), pad_type = "valid" })
  return f
end

local programs = {
  { name = "matmul 64 x 64 x 64 of two inputs packed in one port", make = matmul,
    x = function() return filled(128, function(c, s) return s <= 64 and c / 64 or s - 64 == c and 1 or 0 end) end,
    y = function() return filled(64, function(c) return c / 64 end) end },
  { name = "conv 1x1 of 64 channels, weights from memory", make = conv,
    x = function() return filled(64, function(c, s) return c + s / 64 end) end,
    y = function() return filled(64, function(c, s) return ((c - 2) % 64 + 1 + s / 64) / 2 end) end },
}

local function reason_of(err)
  local object = errors.object_of(err)
  return type(object) == "table" and object.message or tostring(err)
end

-- Adds the step, timed; gives what fn gave, or nil where it raised. `found` makes the text of what it gave; it may say that it is no good.
local function step(steps, tried, fn, found)
  local start = system.now()
  local done, result = pcall(fn)
  local row = { tried = tried, seconds = system.now() - start, ok = done }
  if not done and errors.is_interrupt(result) then error(result, 0) end
  if done then
    row.found, row.ok = found(result)
    if row.ok == nil then row.ok = true end
  else
    row.found = reason_of(result)
  end
  steps[#steps + 1] = row
  return row.ok and result or nil
end

local function sentence(text) return (text:gsub("%s*\n%s*", "; "):gsub("[; ]+$", "")) end

-- Compiles, runs and checks one program; true where all went well.
local function try_program(steps, label, program, options)
  local units, timing = require "mil.units", require "mil.timing"
  local f, x, wanted = program.make(), program.x(), program.y()
  local model = step(steps, ("%s: %s: compile, load"):format(label, program.name), function() return f:compile(options) end,
    function(made) return sentence(made:describe()) end)
  if not model then return false end
  local out = step(steps, label .. ": first run", function() return model:run { x = x }.y end, function(y)
    local d = y:distance(wanted)
    if d.largest <= 0.01 then return ("%d of %d elements as they should be"):format(y:numel(), y:numel()) end
    return ("wrong: [%s] is %.6g and should be %.6g, %d of %d elements are off"):format(table.concat(d.at, ", "), d.is, d.should, d.unequal, y:numel()), false
  end)
  local times = out and step(steps, label .. ": 20 runs more", function()
    return timing.of(model:bind { x = x, y = out }, { runs = 20 })
  end, function(t) return ("median %s, least %s"):format(units.time(t.median), units.time(t.min)) end)
  step(steps, label .. ": unload", function() model:unload() end, function() return "done" end)
  return times ~= nil
end

local function try_both(steps, label, options)
  local all = true
  for _, program in ipairs(programs) do all = try_program(steps, label, program, options) and all end
  return all
end

local routes = { { "ane, route direct", { engine = "ane", route = "direct" } }, { "ane, route e5rt", { engine = "ane", route = "e5rt" } },
  { "coreml, units cpu_and_ane", { engine = "coreml", units = "cpu_and_ane" } } }

-- By each route, then by Core ML, which chooses for itself where it runs; and on the cpu, so that what is expected is known to be right.
local function run_programs(report)
  local steps = { by = {} }
  for i, route in ipairs(routes) do
    report("level 7: " .. route[1], (5 + i) / 10)
    if try_both(steps, route[1], route[2]) then table.insert(steps.by, route[1]) end
  end
  steps.passed = steps.by[1] ~= nil and steps.by[1]:find "^ane" ~= nil
  steps.cpu = try_both(steps, "cpu", { engine = "cpu" })
  return steps
end

-- ---- all levels ----

-- The folder that takes the place of the system's frameworks: what is found there says nothing of a Mac.
local function others()
  local folder = os.getenv "MIL_FRAMEWORKS"
  return folder ~= "" and folder or nil
end

-- Are there frameworks to look at: is this macOS, or does MIL_FRAMEWORKS name others?
function probe.has_frameworks() return system.machine().system == "Darwin" or others() ~= nil end

-- given: progress(stage, part); only = {[7] = true}: these levels alone. Gives a list by level of lists of steps, with name, passed, seconds.
function probe.run(given)
  local report, levels = given.progress or function() end, {}
  for i, about in ipairs(probe.levels) do
    if not given.only or given.only[i] then
      report(("level %d: %s"):format(i, about.name), (i - 1) / 10)
      local start = system.now()
      local steps = i < 7 and system.probe(i) or run_programs(report)
      steps.level, steps.name, steps.seconds = i, about.name, system.now() - start
      levels[#levels + 1] = steps
    end
  end
  return levels
end

-- Has the Neural Engine run the programs? Of levels that were not asked for nothing is known.
function probe.verdict(levels)
  for _, steps in ipairs(levels) do
    if steps.level == 7 then return steps.passed end
  end
  return nil
end

-- ---- as text ----

local function add_level(lines, steps)
  local units, about = require "mil.units", probe.levels[steps.level]
  local head = steps.passed and about.passed or about.failed
  if steps.level == 7 and #steps.by > 0 then head = ("%s: by %s"):format(head, table.concat(steps.by, "; by ")) end
  lines[#lines + 1] = ("%d %-10s %s  (%s)"):format(steps.level, steps.name, head, units.time(steps.seconds))
  for _, row in ipairs(steps) do
    lines[#lines + 1] = ("    %s %s: %s  (%s)"):format(row.ok and "+" or "-", row.tried, row.found, units.time(row.seconds))
  end
  if steps.passed then return end
  lines[#lines + 1] = "    means: " .. about.means
  lines[#lines + 1] = "    do: " .. (about.usual and "nothing" or about.advice)
end

-- Does memory that is shared with other processes hold what is written?
local function shares_memory()
  local done, result = pcall(function()
    local ones = mil.shared("fp16", { 4096 }):fill(1)
    return ones:fd() >= 0 and ones:min() == 1 and ones:max() == 1
  end)
  return done and result, reason_of(result)
end

-- On a system that is not macOS, a line each.
local function add_line(lines, steps)
  local about = probe.levels[steps.level]
  local text = about.elsewhere
  if steps.level == 4 then
    local shares, reason = shares_memory()
    text = shares and text or "not here: " .. reason
  elseif steps.level == 7 then
    local last = steps[#steps]
    text = steps.cpu and text or "the cpu engine failed too: " .. last.tried .. ": " .. last.found
  end
  lines[#lines + 1] = ("%d %-10s %s"):format(steps.level, steps.name, text)
end

-- "luamil 0.1.0, Lua 5.4, macOS 26.2 (25C56), Mac16,1, Apple M4, arm64"
function probe.machine_text()
  local machine = system.machine()
  local parts = { "luamil " .. mil.version, jit and jit.version or _VERSION }
  if machine.version then parts[#parts + 1] = ("macOS %s (%s)"):format(machine.version, machine.build or "?") end
  if not machine.version then parts[#parts + 1] = ("%s %s"):format(machine.system or "?", machine.release or "") end
  for _, key in ipairs { "model", "processor", "architecture" } do parts[#parts + 1] = machine[key] end
  if machine.virtual then parts[#parts + 1] = "a virtual machine" end
  if others() then parts[#parts + 1] = "frameworks of MIL_FRAMEWORKS=" .. others() end
  return table.concat(parts, ", ")
end

function probe.text(levels)
  local lines = { probe.machine_text() }
  local add = probe.has_frameworks() and add_level or add_line
  for _, steps in ipairs(levels) do add(lines, steps) end
  return table.concat(lines, "\n")
end

-- ---- as data ----

-- With words that are nobody's business taken out of every string: home, user, machine, the folder of temporary files.
local function scrubbed(text, words)
  for _, pair in ipairs(words) do text = text:gsub(pair.pattern, pair[2]) end
  return text
end

-- Whole words, as far as their ends are letters and digits: "bo" is not in "bob", "/home/bo" not in "/home/bob", "_www" and "Zoë" anywhere.
local function pattern_of(word)
  local before, behind = word:find "^%w" and "%f[%w]" or "", word:find "%w$" and "%f[%W]" or ""
  return before .. word:gsub("%p", "%%%0") .. behind
end

local function private_words()
  local words = {}
  for _, pair in ipairs(system.private()) do
    local word = pair[1]:match("^[^,]*"):gsub("/+$", "") -- a full name ends where an office would follow
    if #word > 1 then words[#words + 1] = { word, pair[2], pattern = pattern_of(word) } end
  end
  table.sort(words, function(a, b) return #a[1] > #b[1] end)
  return words
end

-- All that was found, without what is private, for mil.json.
function probe.data(levels)
  local json = require "mil.json"
  local words, list, engines = private_words(), json.array {}, {}
  for i, steps in ipairs(levels) do
    local rows = json.array {}
    for k, row in ipairs(steps) do
      rows[k] = { ok = row.ok, tried = scrubbed(row.tried, words), found = scrubbed(row.found, words), seconds = row.seconds }
    end
    list[i] = { level = steps.level, name = steps.name, passed = steps.passed, seconds = steps.seconds, steps = rows,
      means = not steps.passed and probe.levels[steps.level].means or nil }
  end
  for _, name in ipairs(mil.engines()) do engines[name] = scrubbed(mil.engine(name), words) end
  return { luamil = mil.version, lua = jit and jit.version or _VERSION, machine = system.machine(), frameworks = probe.has_frameworks(),
    frameworks_of = others() and scrubbed(others(), words), engines = engines, levels = list, runs = probe.verdict(levels) }
end

-- The text of the programs as the compilers were given it.
function probe.sources()
  local sources = {}
  for i, program in ipairs(programs) do
    local lowered = program.make():lower()
    sources[i] = { name = program.name, text = (lowered:dialect()), long = (lowered:dialect { long = true }) }
  end
  return require("mil.json").array(sources)
end

return probe
