-- SPDX-License-Identifier: MIT
-- luamil compile: a MIL text as it is, compiled by the Neural Engine's compiler, in this process.

local options = require "mil.options"

local command = {
  name = "compile",
  arguments = "TEXT",
  summary = "a MIL text, as it is, through the Neural Engine's compiler",
  description = [[
TEXT is MIL text (.mil) in the form that the compiler takes; what it calls @model_path is its folder. It is compiled, loaded, told about,
and let go. The system keeps what it made of it, so another process loads the same text without compiling; one that has compiled as much
as a process may runs this command for that.
Status: 0 compiled, 1 refused, 2 not understood.]],
  options = {
    { "--route", "NAME", "direct or e5rt; unless given, the one that there is" },
    { "--function", "NAME", "of several; unless given, main" },
    { "--qos", "NUMBER", "quality of service", number = true },
  },
}

local function read(path)
  local file = io.open(path, "rb")
  local bytes = file and file:read "*a"
  if file then file:close() end
  return bytes or error(("can't read %s"):format(path), 0)
end

local function weights_of(text, folder)
  local files = {}
  for name in text:gmatch '"(@model_path/[^"\n]+)"' do
    files[name] = files[name] or read(folder .. name:sub(#"@model_path" + 1))
  end
  return files
end

function command.main(given, arguments)
  if #arguments ~= 1 then options.usage("takes one text, but was given %d", #arguments) end
  local text = read(arguments[1])
  local files = weights_of(text, arguments[1]:match "^(.*)/[^/]*$" or ".")
  local model = require("mil").compile_text(text, files, { engine = "ane", route = given.route, qos = given.qos, entry = given["function"] })
  print(model:describe())
  return 0
end

return command
