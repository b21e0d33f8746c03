-- SPDX-License-Identifier: MIT
-- mil.timing: how long something takes. All figures of the command and of bench/ come from here.
--
--     local times = timing.of(step, { seconds = 0.5 })         -- or { runs = 100 }
--     print(times.median, times.min, times.p95, times.runs)    -- seconds of one call

local system = require "mil.system"

local timing = {}

-- The element that stands at `part` (0 to 1) of a sorted list, between two of them where it falls between.
local function at(sorted, part)
  local place = 1 + part * (#sorted - 1)
  local below = math.floor(place)
  local low, high = sorted[below], sorted[below + 1] or sorted[below]
  return low + (place - below) * (high - low)
end

-- Of a list of numbers, which is sorted by it: {runs, min, median, p95}.
function timing.summary(times)
  table.sort(times)
  return { runs = #times, min = times[1], median = at(times, 0.5), p95 = at(times, 0.95) }
end

function timing.median(numbers) return timing.summary(numbers).median end

-- Calls `run` again and again: `runs` times, or for `seconds` (at least 3 calls, 0.2 unless given), after `warm` calls that don't count (none).
--   calls   of one measurement, for what is too short for the clock; 1 unless given
--   clock   gives seconds; unless given the system's, which other work on the machine disturbs; os.clock is the process's own
--   each    called after each measurement, with the part of the whole that is done
-- What the last call gave comes second.
function timing.of(run, given)
  local clock, calls, seconds = given.clock or system.now, given.calls or 1, given.seconds or 0.2
  local times, result = {}, nil
  for _ = 1, given.warm or 0 do run() end
  local start = clock()
  repeat
    local from = clock()
    for _ = 1, calls do result = run() end
    local to = clock()
    times[#times + 1] = (to - from) / calls
    if given.each then given.each(given.runs and #times / given.runs or math.min(1, (to - start) / seconds)) end
    local is_done
    if given.runs then is_done = #times >= given.runs else is_done = #times >= 3 and to - start >= seconds end
  until is_done
  return timing.summary(times), result
end

return timing
