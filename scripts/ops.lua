-- SPDX-License-Identifier: MIT
-- luamil ops: the op reference in the terminal.

local command = {
  name = "ops",
  arguments = "[NAME...]",
  summary = "the op reference: all ops by family, or these ops or families",
  options = {
    { "--opset", "OPSET", "as the ops are in ios15, ios16, ios17 or ios18 (the default)" },
    { "--search", "WORDS", "ops whose name or help has all the words" },
  },
}

function command.main(given, names)
  local mil, help, system = require "mil", require "mil.help", require "mil.system"
  local width = math.min(system.width() or 80, 110)
  if given.search then
    print(help.search(given.search, true))
    return 0
  end
  if #names == 0 then
    print(help.ops(width))
    return 0
  end
  for i, name in ipairs(names) do
    local op = help.find(name, given.opset)
    local family = not op and help.ops(width, name)
    if not op and not family then
      local near = mil.nearest(name)
      error(("no op %s%s%s"):format(name, given.opset and " in " .. given.opset or "",
        near and near ~= name and "; did you mean " .. near .. "?" or ""), 0)
    end
    print((i > 1 and "\n" or "") .. (family or help.op(op, width)))
  end
  return 0
end

return command
