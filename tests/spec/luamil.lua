-- SPDX-License-Identifier: MIT
-- For specs of subcommands: the luamil command in a shell, and a folder of their own for its files.
--
--     local luamil = dofile "tests/spec/luamil.lua"
--     local status, out, err = luamil("run " .. luamil.path "m.mil" .. " --random")

local lua = os.getenv "MIL_TEST_LUA" or "lua"

local folder = os.tmpname()
os.remove(folder)
os.execute("mkdir -p " .. folder)

local luamil = { folder = folder }

function luamil.path(name) return folder .. "/" .. name end

function luamil.read(name)
  local file = assert(io.open(luamil.path(name), "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

function luamil.write(name, text)
  local file = assert(io.open(luamil.path(name), "wb"))
  file:write(text)
  file:close()
  return luamil.path(name)
end

-- A line of the shell: its exit status, what it wrote on stdout, on stderr.
function luamil.shell(line)
  local pipe = io.popen(("( %s ) > %s 2> %s; echo $?"):format(line, luamil.path "out", luamil.path "err"))
  local status = tonumber(pipe:read "*a")
  pipe:close()
  return status, luamil.read "out", luamil.read "err"
end

function luamil.remove() os.execute("rm -r " .. folder) end

return setmetatable(luamil, { __call = function(_, arguments) return luamil.shell(lua .. " bin/luamil " .. arguments) end })
