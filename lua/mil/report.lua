-- SPDX-License-Identifier: MIT
-- mil.report: the metatable of what f:check gives: its text, like a compiler's warnings.
--
--     ffn.lua:12: error: conv: the kernel is too wide: weight fp16[64, 64, 1, 17] [conv_width]
--         fails: ANEForge (M1, M5), ane-guide; ane-bridge-rs (M5): from 16 on
--         instead: split it into taps, or space_to_depth first
--         source: e5rt 4.2, 5; direct 7.2
--
-- What a rule says again of other operations is a line each, without what it says of all.

local report = { __name = "mil.report" }

local function several(n, what) return ("%d %s%s"):format(n, what, n == 1 and "" or "s") end

local function place(row)
  if row.where then return row.where .. ": " end
  return row.value and row.op and row.value .. ": " or ""
end

local function add_details(lines, row)
  for _, pair in ipairs { { "fails", row.fails }, { "runs", row.runs }, { "instead", row.advice }, { "source", row.source } } do
    if pair[2] then lines[#lines + 1] = ("    %s: %s"):format(pair[1], pair[2]) end
  end
end

function report.__tostring(self)
  local lines, told = {}, {}
  for _, row in ipairs(self) do
    lines[#lines + 1] = ("%s%s: %s [%s]"):format(place(row), row.severity, row.message, row.rule)
    if not told[row.rule] then add_details(lines, row) end
    told[row.rule] = true
  end
  local sums = several(self.errors, "error") .. ", " .. several(self.warnings, "warning") .. ", " .. several(self.notes, "note")
  if self.remarks > 0 then sums = sums .. ", " .. several(self.remarks, "remark") end
  if #self == 0 then
    sums = "nothing is known against it"
  end
  lines[#lines + 1] = ("%s by the route %s: %s"):format(self.engine, self.route, sums)
  return table.concat(lines, "\n")
end

return report
