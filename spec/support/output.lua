-- A busted output handler: one line a failure with all that is needed to find it, each skip with its reason, the
-- slowest five. A failure outside a test (a file, a before_each) counts as one too.
--   SPEC_RESULTS  a file that gets "running", "passed", "failed" or "skipped", the name, and the seconds it took, with
--                 tabs between, line by line, and "end": a run that dies still says where; without it the counts are
--                 printed at the end
--   SPEC_STRICT   a skipped spec that needs the machine (#kvm, #root, #linux) counts as failed

local results = os.getenv "SPEC_RESULTS"
local strict = (os.getenv "SPEC_STRICT" or "") ~= ""
local SLOWEST = 5

local function needs_machine (name)
  return name:find "#kvm" or name:find "#root" or name:find "#linux"
end

local function one_line (message)
  return (tostring(message or "no message"):gsub("^%s+", ""):gsub("%s+$", ""):gsub("%s*\n%s*", " | "))
end

return function (options)
  local busted = require "busted"
  local counts = { passed = 0, failed = 0, skipped = 0 }
  local times, reasons, told = {}, {}, {}
  local file = results and assert(io.open(results, "w"))
  if file then file:setvbuf "line" end

  local function name_of (element)
    local names = {}
    while element and element.descriptor ~= "suite" and element.descriptor ~= "file" do
      table.insert(names, 1, element.name or element.descriptor)
      element = busted.parent(element)
    end
    return one_line(table.concat(names, " "))
  end

  local function note (status, name, seconds)
    if counts[status] then counts[status] = counts[status] + 1 end
    if file then file:write(status, "\t", name, seconds and ("\t%.3f"):format(seconds) or "", "\n") end
  end

  local function say (word, element, name, message)
    local at = element.trace and element.trace.short_src
    at = at and ("%s:%d"):format(at, element.trace.currentline) or element.name or element.descriptor
    io.write(word, " ", at, ": ", name ~= "" and name .. ": " or "", one_line(message), "\n")
    io.flush()
  end

  local function skip (element, reason)
    local name = name_of(element)
    if strict and needs_machine(name) then
      note("failed", name)
      say("FAIL", element, name, "may not be skipped here: " .. one_line(reason or "no reason given"))
    else
      note("skipped", name)
      say("skip", element, name, reason or "no reason given")
    end
  end

  local function start (element)
    note("running", name_of(element))
    return nil, true
  end

  local function finish (element, _, status)
    times[#times + 1] = { element.duration or 0, name_of(element) }
    if status == "success" then
      note("passed", name_of(element), element.duration)
    elseif status == "pending" then
      skip(element, reasons[element])
    else
      note("failed", name_of(element))
      if not told[element] then say("FAIL", element, name_of(element), "failed without a message") end
    end
    return nil, true
  end

  local function pending (element, _, reason)
    reasons[element] = tostring(reason):gsub("^[^\n]-:%d+: ", "")    -- where it stands is said anyway
    return nil, true
  end

  local function failure (element, parent, message, trace)
    if parent and parent.randomseed then message = ("%s (--seed=%d)"):format(message, parent.randomseed) end
    if options.verbose and trace and trace.traceback then message = message .. trace.traceback end
    say("FAIL", element, name_of(element), message)
    told[element] = true
    if element.descriptor ~= "it" then note("failed", name_of(element)) end
    return nil, true
  end

  local function suite_end ()
    table.sort(times, function (a, b) return a[1] > b[1] end)
    for i = 1, math.min(SLOWEST, #times) do
      io.write(("slow %.3f s  %s\n"):format(times[i][1], times[i][2]))
    end
    if file then
      file:write("end\tthe end\n")
    else
      io.write(("%d passed, %d failed, %d skipped\n"):format(counts.passed, counts.failed, counts.skipped))
    end
    io.flush()
    return nil, true
  end

  return {
    subscribe = function ()
      busted.subscribe({ "test", "start" }, start)
      busted.subscribe({ "test", "end" }, finish)
      busted.subscribe({ "pending" }, pending)
      busted.subscribe({ "failure" }, failure)
      busted.subscribe({ "error" }, failure)
      busted.subscribe({ "suite", "end" }, suite_end)
    end,
  }
end
