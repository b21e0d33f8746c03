-- SPDX-License-Identifier: MIT
-- Writes luamil-scm-1.rockspec: its lists are the sources and Lua files that are there.
--   lua tools/rockspec.lua             from the tree's top
-- As a module (with the argument "rockspec"), gives the text alone: a spec compares it with the file.

local function files(pattern)
  local list, pipe = {}, assert(io.popen("ls " .. pattern))
  for path in pipe:lines() do list[#list + 1] = path end
  pipe:close()
  return list
end

local function sources()
  local list = {}
  for _, path in ipairs(files "core/*/*.c core/engine/*/*.c lua/*.c") do
    if path ~= "lua/host.c" then list[#list + 1] = ('        "%s",'):format(path) end
  end
  return table.concat(list, "\n")
end

local function modules()
  local list = {}
  for _, path in ipairs(files "lua/mil/*.lua scripts/*.lua") do
    local name = path:match "^lua/mil/(.*)%.lua$"
    name = name and "mil." .. name or "mil.cmd." .. path:match "^scripts/(.*)%.lua$"
    if name ~= "mil.meta" then list[#list + 1] = ('    ["%s"] = "%s",'):format(name, path) end -- meta: for editors only
  end
  return table.concat(list, "\n")
end

local text = ([[
-- Written by tools/rockspec.lua; a spec says whether it is current.
rockspec_format = "3.0"
package = "luamil"
version = "scm-1"
source = { url = "git+file://." }
description = {
  summary = "Core ML's MIL programs written in Lua, compiled and run",
  detailed = "A builder, reader, printer and fast cpu engine for programs in MIL, the Model Intermediate Language of Core ML.",
  license = "MIT",
}
dependencies = { "lua >= 5.1, < 5.5" }
external_dependencies = {
  JANSSON = { header = "jansson.h", library = "jansson" },
  PROTOBUF_C = { header = "protobuf-c/protobuf-c.h", library = "protobuf-c" },
  ZLIB = { header = "zlib.h", library = "z" },
}
build = {
  type = "builtin",
  modules = {
    mil = {
      sources = {
@SOURCES@
      },
      incdirs = { "core/include", "core", "lua", "$(JANSSON_INCDIR)", "$(PROTOBUF_C_INCDIR)", "$(ZLIB_INCDIR)" },
      libdirs = { "$(JANSSON_LIBDIR)", "$(PROTOBUF_C_LIBDIR)", "$(ZLIB_LIBDIR)" },
      libraries = { "jansson", "protobuf-c", "z", "m", "pthread", "dl" },
      defines = { "_GNU_SOURCE" },
    },
@MODULES@
  },
  install = { bin = { luamil = "bin/luamil" } },
}
]]):gsub("@(%w+)@", { SOURCES = sources(), MODULES = modules() })

if ... == "rockspec" then return text end
local file = assert(io.open("luamil-scm-1.rockspec", "w"))
file:write(text)
file:close()
