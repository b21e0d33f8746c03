-- SPDX-License-Identifier: MIT
-- The luamil command: scripts as lua runs them, subcommands, exit statuses; through pipes, and in a pseudo-terminal
-- (build/pty). As bin/luamil under the Lua that runs the specs; where that is the program's Lua, as the program too.
local build = os.getenv "MIL_TEST_BUILD" or "build"
local lua = os.getenv "MIL_TEST_LUA" or "lua"

local folder = os.tmpname()
os.remove(folder)
os.execute("mkdir -p " .. folder .. "/empty")

local function path_of(name) return folder .. "/" .. name end

local function write(name, text)
  local file = assert(io.open(path_of(name), "w"))
  file:write(text)
  file:close()
  return path_of(name)
end

local function read(path)
  local file = io.open(path)
  local text = file and file:read "*a" or ""
  if file then file:close() end
  return text
end

local setting = ("HOME=%s XDG_CONFIG_HOME=%s/config XDG_STATE_HOME=%s/state "):format(folder, folder, folder)

-- Runs a command line of the shell; gives its exit status, stdout, stderr.
local function shell(line)
  local script = ("( %s ) > %s 2> %s; echo $?"):format(line, path_of "out", path_of "err")
  local pipe = io.popen(script)
  local status = tonumber(pipe:read "*a")
  pipe:close()
  return status, read(path_of "out"), read(path_of "err")
end

local commands = { setting .. lua .. " bin/luamil" }
if lua == "lua5.4" and io.open(build .. "/luamil") then commands[2] = setting .. build .. "/luamil" end

local program = [[
program(1.3)
{
  func main<ios18>(tensor<fp32, [2, 3]> x) {
    tensor<fp32, [2, 3]> y = relu(x = x)[name = string("y")];
  } -> (y);
}
]]

-- What may take 100 ms takes longer where others want the processors too (by the load of each), and with sanitizers.
local function in_time()
  local slower = build:find "asan" and 30 or 1
  local load, processors = tonumber(read("/proc/loadavg"):match "^%S+"), 0
  for _ in read("/proc/cpuinfo"):gmatch "processor%s*:" do processors = processors + 1 end
  return ("within %.0f"):format(100 * slower * math.max(1, (load or 0) / math.max(1, processors)))
end

for _, luamil in ipairs(commands) do
  local function run(arguments) return shell(luamil .. " " .. arguments) end

  local function piped(text, arguments) return shell(("%s %s < %s"):format(luamil, arguments or "", write("stdin", text))) end

  describe(luamil:match "%S+$", function()
    describe("runs scripts as lua does", function()
      it("with their arguments", function()
        local script = write("args.lua", "print(arg[0], arg[1], arg[2], arg[-1] ~= nil, ...)")
        local status, out = run(script .. " a 'b c'")
        assert.are.equal(script .. "\ta\tb c\ttrue\ta\tb c\n", out)
        assert.are.equal(0, status)
      end)
      it("from standard input", function()
        assert.are.same({ 0, "3\ta\n", "" }, { piped("print(1 + 2, ...)", "- a") })
      end)
      it("with -e, -l and -v", function()
        assert.are.equal("5\n", select(2, run "-e 'print(5)'"))
        assert.are.equal("nil\n", select(2, run [[-l mil.pretty -e 'print(pretty)']]))
        assert.truthy(select(2, run "-v"):find "^luamil %d")
        assert.truthy(select(2, run "--version"):find "^luamil %d")
      end)
      it("and exits with 1 and a traceback where they fail", function()
        local status, out, err = run(write("bad.lua", "local function f() error 'no' end\nf()"))
        assert.are.equal(1, status)
        assert.are.equal("", out)
        assert.truthy(err:find "^luamil: .*bad%.lua:1: no\nstack traceback")
        assert.truthy(err:find "in main chunk\n$", "only the script's own frames")
      end)
      it("and says so where they are no Lua", function()
        local status, _, err = run(write("worse.lua", "x = ="))
        assert.are.equal(1, status)
        assert.truthy(err:find "worse%.lua:1: unexpected symbol")
      end)
      it("with the exit status that they choose", function()
        assert.are.equal(7, (run(write("seven.lua", "os.exit(7)"))))
      end)
      it("but never a model", function()
        local status, _, err = run(write("m.mil", program))
        assert.are.equal(2, status)
        assert.truthy(err:find "m.mil is a model, not a script: luamil run")
      end)
    end)

    describe("has subcommands", function()
      it("listed by help, each with --help", function()
        local status, out = run "help"
        assert.are.equal(0, status)
        for _, name in ipairs(require("mil.command").subcommands) do
          assert.truthy(out:find("\n  " .. name .. " +%S"))
          for _, line in ipairs { name .. " --help", "help " .. name } do
            local ok, text = run(line)
            assert.are.equal(0, ok)
            assert.truthy(text:find("usage: luamil " .. name, 1, true))
          end
        end
      end)
      it("and refuses what it does not know", function()
        local rows = { { "prnt", "did you mean print" }, { "run --inputt x", "unknown option %-%-inputt; did you mean %-%-input" },
          { "run", "takes one model" }, { "run m --repeat x", "takes a number" }, { "run m --repeat", "takes a value" },
          { "graph --const x", "unknown option %-%-const; did you mean %-%-no%-consts%?" },
          { "graph --no-pla x", "did you mean %-%-plan%?" }, { "--no", "unknown option" } }
        for _, row in ipairs(rows) do
          local status, out, err = run(row[1])
          assert.are.same({ row[1], 2, "" }, { row[1], status, out })
          assert.truthy(err:find(row[2]), row[1] .. ": " .. err)
        end
      end)
      if io.open "/dev/full" then
        it("that say when standard output can't be written", function()
          local model = write("m.mil", program)
          local rows = { { "print", 1 }, { "inspect", 1 }, { "graph", 1 }, { "run --random", 1 }, { "run --random --repeat 1 --json", 1 },
            { "diff " .. write("n.mil", (program:gsub("relu", "exp"))), 2 } }
          rows[#rows + 1] = { "ops relu", 1, "" }
          rows[#rows + 1] = { "-v", 1, "" }
          for _, row in ipairs(rows) do
            local status, _, err = run(("%s %s > /dev/full"):format(row[1], row[3] or model))
            assert.are.same({ row[1], row[2] }, { row[1], status })
            assert.truthy(err:find "No space left on device" or err:find "not all of it could be written", err)
          end
        end)
      end
      it("print", function()
        local model = write("m.mil", program)
        local status, out = run("print " .. model)
        assert.are.equal(0, status)
        assert.truthy(out:find "relu%(x = x%)")
        local again = write("again.mil", out)
        assert.are.equal(out, select(2, run("print " .. again)))
        local failed, _, err = run "print nowhere.mil"
        assert.are.equal(1, failed)
        assert.truthy(err:find "^luamil: print: .*nowhere.mil")
        local bad = write("bad.mil", "program(1.3)\n{\n  func main<ios18>(tensor<fp32, [2]> x {\n")
        assert.are.same({ 1, "", ("luamil: print: %s:3:40: expected \")\" after the inputs, found \"{\"\n%s\n%s^\n"):format(bad,
          "  func main<ios18>(tensor<fp32, [2]> x {", (" "):rep(39)) }, { run("print " .. bad) })
      end)
      it("ops", function()
        local status, out = run "ops"
        assert.are.equal(0, status)
        assert.truthy(out:find "softmax")
        assert.truthy(select(2, run "ops softmax"):find "softmax { x, %[axis%] }")
        assert.truthy(select(2, run "ops while_loop"):find("while_loop(loop_vars, decide, body, [options])", 1, true))
        assert.truthy(select(2, run "ops scatter_gather"):find "^scatter_gather\n    gather ")
        local failed, _, err = run "ops sofmax"
        assert.are.equal(1, failed)
        assert.truthy(err:find "softmax")
      end)
      it("run", function()
        local mil = require "mil"
        local model = write("m.mil", program)
        mil.tensor("fp32", { { -1, 2, -3 }, { 4, -5, 6 } }):save(path_of "x.npy")
        local status, out, err = run(("run %s --input x=%s --output-dir %s"):format(model, path_of "x.npy", path_of "out_dir"))
        assert.are.same({ 0, "", "" }, { status, out, err })
        assert.are.same({ { 0, 2, 0 }, { 4, 0, 6 } }, mil.load_tensor(path_of "out_dir/y.npy"):table())
        assert.truthy(select(2, run("run " .. model .. " --random")):find "y : .*fp32")
        if not mil.available "ane" then
          local fell, _, told = run("run " .. model .. " --random --engine ane --fallback")
          assert.are.equal(0, fell)
          assert.truthy(told:find("part 1: cpu, .*: engine ane can't be used here: "), told)
          assert.are.equal("", select(3, run("run " .. model .. " --random --engine ane --fallback --quiet")))
        end
        local ok, json = run("run " .. model .. " --random 3 --repeat 4 --json")
        assert.are.equal(0, ok)
        local number = "%-?[%d.e+-]+"
        assert.truthy(json:find(('^{"median_ms": %s, "min_ms": %s, "compile_ms": %s, "peak_bytes": %%d+}\n$'):format(number, number, number)))
        -- what had more memory before it became this program has nothing to do with it
        local large = write("large.lua", ("local all = ('x'):rep(3e8) os.execute [=[exec %s run %s --random --repeat 1 --json]=]")
          :format(luamil:gsub("^.*state ", ""), model))
        local peak = tonumber(select(2, shell(lua .. " " .. large)):match '"peak_bytes": (%d+)')
        assert.truthy(peak < (build:find "asan" and 3e9 or 2.5e8), tostring(peak))
        local failed, _, why = run("run " .. model)
        assert.are.equal(1, failed)
        assert.truthy(why:find "no %-%-input for x")
        local x = path_of "x.npy"
        for arguments, wanted in pairs {
          ["--input z=" .. x] = "luamil: run: no input z; the model takes x\n",
          ["--input x=" .. x .. " --output-dir " .. x .. "/out"] = "luamil: run: cannot make " .. x .. "/out: Not a directory\n",
        } do
          assert.are.same({ 1, "", wanted }, { run("run " .. model .. " " .. arguments) })
        end
        mil.tensor("fp32", { 1 }):save(x)
        assert.are.same({ 1, "", "luamil: run: input x is fp32[2, 3], but was given fp32[1]\n" }, { run("run " .. model .. " --input x=" .. x) })
      end)
    end)

    describe("stopped by Ctrl-C", function()
      -- Runs a subcommand in the background, interrupts it alone once the condition holds, until it has ended.
      local function interrupted(arguments, condition)
        return shell(([[
PATH=%s:$PATH TMPDIR=%s %s %s & pid=$!
i=0; until %s || [ $i -gt 200 ]; do sleep 0.05; i=$((i + 1)); done
while kill -INT $pid 2>/dev/null; do sleep 0.2; done
wait $pid
]]):format(path_of "slow", path_of "tmp", luamil, arguments, condition))
      end
      it("exits with 130 where a model runs", function()
        local model = write("m.mil", program)
        for _, line in ipairs { "run " .. model .. " --random --repeat 100000000", "compare " .. model .. " --random --repeat 100000000",
          "bench " .. model .. " --engine cpu --seconds 100" } do
          local status, _, err = interrupted(line, "sleep 1")
          assert.are.same({ line, 130 }, { line, status })
          assert.truthy(err:find "^luamil: interrupted[^\n]*\n$", err)
        end
      end)
      it("names the loop that did not end, of a model and of a script", function()
        local text = [[
program(1.0)
{
    func main<ios18>(tensor<bool, [1]> x) {
            tensor<bool, [1]> y = while_loop(loop_vars = (x)) (tensor<bool, [1]> a) {
                    bool go = squeeze(x = a);
            } -> (go), (tensor<bool, [1]> b) {
                    tensor<bool, [1]> same = logical_and(x = b, y = b);
            } -> (same);
    } -> (y);
}
]]
        local model = write("endless.mil", text)
        local script = write("endless.lua", ('require "mil".load(%q):compile { engine = "cpu" }:run { x = { true } }\n'):format(model))
        require("mil").tensor("bool", { 1 }):save(path_of "true.npy")
        for _, line in ipairs { ("run %s --input x=%s"):format(model, path_of "true.npy"), script } do
          local status, _, err = interrupted(line, "sleep 1")
          assert.are.equal(130, status)
          assert.truthy(err:find("^luamil: interrupted in while_loop y %(made at .*endless.mil:4%)\n"), err)
        end
      end)
      it("takes dot with it, and leaves no files", function()
        os.execute("mkdir -p " .. path_of "slow " .. path_of "tmp")
        write("slow/dot", "#!/bin/sh\necho $$ > " .. path_of "dot.pid" .. "\nexec sleep 60\n")
        os.execute("chmod +x " .. path_of "slow/dot")
        os.remove(path_of "dot.pid")
        local line = ("graph %s -o %s"):format(write("m.mil", program), path_of "g.svg")
        local status, _, err = interrupted(line, "[ -s " .. path_of "dot.pid" .. " ]")
        assert.are.same({ 130, "luamil: interrupted\n" }, { status, err })
        assert.are_not.equal(0, (shell("kill -0 $(cat " .. path_of "dot.pid" .. ")")))
        assert.are.equal("", select(2, shell("ls " .. path_of "tmp")))
        assert.are.equal("", select(2, shell("ls " .. folder .. " | grep g.svg")))
      end)
    end)

    describe("is a REPL", function()
      it("through a pipe, without prompts", function()
        assert.are.same({ 0, "2\n6\n", "" }, { piped("1 + 1\nfor i = 1, 1 do\n  x = 6\nend\nx\n") })
      end)
      it("that goes on after errors, and says so at its end", function()
        local status, out = piped("error 'a'\n7\n")
        assert.are.equal(1, status)
        assert.truthy(out:find "stdin:1: a\n.*\n?7\n$")
      end)
      it("with an rc file", function()
        os.execute("mkdir -p " .. path_of "config/luamil")
        write("config/luamil/rc.lua", "from_rc = 42\n")
        local _, out = piped "from_rc\n"
        os.remove(path_of "config/luamil/rc.lua")
        assert.are.equal("42\n", out)
      end)
      it("that loads files, again when they change, and saves its chunks", function()
        local file = write("part.lua", "function part() return 1 end\n")
        local text = (":load %s\npart()\nos.execute [[sleep 0.02; echo \"function part() return 22 end\" > %s]];\npart()\n:save %s\n")
          :format(file, file, path_of "saved.lua")
        local _, out = piped(text)
        assert.are.equal("1\nloaded " .. file .. " again\n22\nsaved 3 chunks to " .. path_of "saved.lua" .. "\n", out)
        assert.are.equal("_ = part()\nprint(_)\n", read(path_of "saved.lua"):match "^[^\n]*\n[^\n]*\n")
      end)
      it("whose saved chunks load again as they were", function()
        local file = path_of "session.lua"
        local chunks = 'f = mil.func()\nx = f:input("x", "fp32", {2})\n1 + 1\n_ * 2\n5;\nx:relu()\ny = _ + 1 -- more\n'
        local _, out = piped(chunks .. ":save " .. file .. "\n")
        local relu = "relu_0 : fp32[2] = relu(x = x)\n"
        assert.truthy(out:find("2\n4\n" .. relu, 1, true))
        local status, again = piped(":load " .. file .. "\n_.name\ny\n")
        assert.are.equal("2\n4\n" .. relu .. '"relu_0"\ny : fp32[2] = add(x = relu_0, y = 1)\n', again)
        assert.are.equal(0, status)
        local _, piped_again = piped(read(file))
        assert.truthy(piped_again:find("2\n4\n" .. relu, 1, true))
      end)

      local function type_in(script, term)
        return shell(("LANG=C.UTF-8 TERM=%s %s/pty %s env %s"):format(term or "xterm", build, write("script", (script:gsub("within 100", in_time()))),
          luamil))
      end
      -- tries: a script that has `within` may lose against whatever else the machine is doing
      local function terminal(script, term, tries)
        local status, _, err
        for _ = 1, tries or 1 do
          status, _, err = type_in(script, term)
          if status == 0 then break end
        end
        assert.are.same({ 0, "" }, { status, err })
      end
      it("in a terminal: chunks over several lines, completion, history", function()
        terminal [[
expect ?op, ?value or :help for help
expect mil> 
send 1 + 1\n
expect \n2\nmil> 
send for i = 1, 2 do\nprint("line " .. i)\nend\n
expect line 1
expect line 2
expect mil> 
send \e[A
expect print("line " .. i)
send \n
expect line 2
expect mil> 
send mil.load_t\t("nowhere.npy")\n
expect nowhere.npy
expect mil> 
send #"h\xc3\xa9"\n
expect \n3\nmil> 
send for i = 1, 2 do\nend\e[A\x05 print("top " .. i)\n
expect top 2
expect mil> 
send given up\x03
expect ^C
expect mil> 
send \x04
status 0
]]
        local saved = read(path_of "state/luamil/history")
        assert.truthy(saved:find('for i = 1, 2 do\\nprint("line " .. i)\\nend\n', 1, true))
        assert.falsy(saved:find "given up")
        terminal "expect mil> \nsend \\e[A\nexpect print(\"top \" .. i)\nsend \\n\nexpect top 2\nexpect mil> \nsend :quit\\n\nstatus 0\n"
      end)
      it("where Ctrl-C stops what runs", function()
        terminal([[
expect mil> 
send while true do end\n
sleep 150
send \x03
within 100 interrupted
expect mil> 
send coroutine.wrap(function() while true do end end)()\n
sleep 150
send \x03
within 100 interrupted
expect mil> 
send while true do pcall(function() while true do end end) end\n
sleep 150
send \x03
within 100 interrupted
expect mil> 
send :time while true do end\n
sleep 150
send \x03
within 100 interrupted
never interrupted
expect mil> 
send 1 + 2\n\x03
sleep 50
send \x03\x03
send 6 * 7\n
expect 42
send :quit\n
status 0
]], "xterm", 3)
      end)
      it("and stops a model that runs", function()
        terminal([[
expect mil> 
send f = mil.func()\n
expect mil> 
send x = f:input("x", "fp32", {2048, 2048})\n
expect mil> 
send y = x for i = 1, 40 do y = y:matmul(x) end\n
expect mil> 
send y = f:output("y", y)\n
expect mil> 
send m = f:compile { threads = 1 }\n
expect mil> 
send m:run { x = mil.ones("fp32", {2048, 2048}) }\n
sleep 300
send \x03
within 100 interrupted
expect mil> 
send 6 * 7\n
expect 42
send :quit\n
status 0
]], "xterm", 3)
      end)
      it("with plain lines where the terminal is dumb", function()
        terminal("expect mil> \nsend 1 + 1\\n\nexpect \\n2\nexpect mil> \nsend for i = 3, 3 do\\n\nexpect ...> \n"
          .. "send print(i * 9) end\\n\nexpect 27\nsend \\x04\nstatus 0\n", "dumb")
      end)
    end)
  end)
end
