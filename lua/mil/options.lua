-- SPDX-License-Identifier: MIT
-- mil.options: the command line of a subcommand, read after its own declaration, which --help prints too.
--
--     local command = {
--       name = "run", summary = "run a model", arguments = "MODEL",
--       options = {
--         { "--input", "NAME=FILE", "what the input NAME is given", many = true },
--         { "--repeat", "N", "run N times", number = true },
--         { "--json", "print times as JSON" },                    -- no value: a switch
--         { "--random", "SEED", "...", optional = true },         -- --random or --random=SEED
--         { "--output", "FILE", "...", short = "-o" },             -- -o FILE too
--       },
--     }
--     local given, arguments = options.read(command, { "m.mil", "--repeat", "3" })   -- given["repeat"] == 3
--
-- A command line that the declaration does not take is raised as a table {usage = message}.

local options = {}

local function usage(...) error({ usage = string.format(...) }, 0) end
options.usage = usage

local function key_of(row) return (row[1]:gsub("^%-+", ""):gsub("%-", "_")) end

-- "--width" for "--widht": the option that begins alike, or else the most alike one. "--const" begins as "--no-consts".
local function nearest(command, name)
  local names, word = { "--help" }, name:gsub("^%-%-no%-", "--")
  for _, row in ipairs(command.options) do
    local its = row[1]:gsub("^%-%-no%-", "--")
    if #word > 2 and (its:sub(1, #word) == word or word:sub(1, #its) == its) then return row[1] end
    names[#names + 1] = row[1]
  end
  return require("mil").nearest(name, names)
end

local function row_of(command, name)
  for _, row in ipairs(command.options) do
    if row[1] == name or row.short == name then return row end
  end
  local near = nearest(command, name)
  usage("unknown option %s%s", name, near and ("; did you mean " .. near .. "?") or "")
end

local function store(given, row, value)
  local key = key_of(row)
  if row.number and value ~= true then
    local number = tonumber(value)
    if not number then usage("%s takes a number, but was given %s", row[1], value) end
    value = number
  end
  if row.many then
    given[key] = given[key] or {}
    table.insert(given[key], value)
  else
    given[key] = value
  end
end

-- given[key], where it is there, is a whole number from 1.
function options.check_count(given, key)
  local n = given[key]
  if n and (n < 1 or n % 1 ~= 0) then usage("--%s takes a whole number from 1, but was given %s", key, n) end
end

function options.read(command, args)
  local given, rest, i = {}, {}, 1
  while i <= #args do
    local arg = args[i]
    local name, value = arg:match "^(%-%-[^=]+)=(.*)$"
    name = name or arg
    if arg == "--" then
      for j = i + 1, #args do rest[#rest + 1] = args[j] end
      break
    elseif arg == "--help" or arg == "-h" then
      given.help = true
    elseif name:sub(1, 1) == "-" and name ~= "-" then
      local row = row_of(command, name)
      local takes = row[3] ~= nil
      if value and not takes then usage("%s takes no value", name) end
      if takes and not value and row.optional then
        local following = args[i + 1]
        if row.number and following and tonumber(following) then value, i = following, i + 1 end
        value = value or true
      elseif takes and not value then
        i = i + 1
        value = args[i]
        if value == nil then usage("%s takes a value: %s", name, row[2]) end
      end
      store(given, row, takes and value or true)
    else
      rest[#rest + 1] = arg
    end
    i = i + 1
  end
  return given, rest
end

function options.help(command)
  local lines = { ("usage: luamil %s [options]"):format(table.concat({ command.name, command.arguments }, " ")), "", command.summary, "" }
  if command.description then
    lines[#lines + 1] = command.description
    lines[#lines + 1] = ""
  end
  local rows, width = {}, #"--help"
  for _, row in ipairs(command.options) do
    local name = (row.short and row.short .. ", " or "") .. row[1]
    local left = row[3] == nil and name or name .. (row.optional and "[=" .. row[2] .. "]" or " " .. row[2])
    rows[#rows + 1] = { left, row[3] or row[2] }
    width = math.max(width, #left)
  end
  rows[#rows + 1] = { "--help", "this text" }
  for _, row in ipairs(rows) do
    lines[#lines + 1] = ("  %-" .. width .. "s  %s"):format(row[1], row[2])
  end
  return table.concat(lines, "\n")
end

return options
