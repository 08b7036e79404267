--- The VMM's log lines: parsed, and told apart from the serial console's bytes.
-- A line of Firecracker's is `time [id:thread:LEVEL:file:line] message`, level and origin only where the logger shows them,
-- the id only where there is one. It comes from a process that may be anybody's by now: nothing in it is trusted, and no
-- line makes this raise.
-- @module firecracker.logs

local find <const>, match <const>, sub <const> = string.find, string.match, string.sub

local logs = {}

local LINE <const> = "^(%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d+) %[([^%]]*)%] ?(.*)$"
local LEVELS <const> = { ERROR = "error", WARN = "warn", INFO = "info", DEBUG = "debug", TRACE = "trace" }
local ATOMIC <const> = 4096   -- bytes of a line that a full FIFO takes whole or not at all
local REMEMBERED <const> = 256

-- What stands in the brackets repeats itself from line to line.
local known, count = {}, 0

local function read_origin (where)
  local parts = {}
  for part in (where .. ":"):gmatch "([^:]*):" do
    parts[#parts + 1] = part
  end
  local origin, at = {}, 1
  if #parts > 1 and not LEVELS[parts[2]] then   -- releases before 1.5 leave an absent id out
    origin.id, at = parts[1], 2
  end
  origin.thread = parts[at]
  if LEVELS[parts[at + 1]] then
    origin.level, at = LEVELS[parts[at + 1]], at + 1
  end
  origin.file, origin.line = parts[at + 1], math.tointeger(tonumber(parts[at + 2]))
  local crate, rest = (origin.file or ""):match "^src/([%w_-]+)/src/([%w_/-]+)%.rs$"
  if crate then
    origin.module = (crate .. "::" .. rest:gsub("/", "::")):gsub("::mod$", ""):gsub("::lib$", ""):gsub("-", "_")
  end
  return origin
end

local function origin_of (where)
  local origin = known[where]
  if not origin then
    if count >= REMEMBERED then
      known, count = {}, 0
    end
    origin, count = read_origin(where), count + 1
    known[where] = origin
  end
  return origin
end

-- Time, origin and message of a line. What a line has before its seconds it has in common with the lines around it, and
-- often its origin: one that looks as the one before costs half of what the pattern does.
local minute, bracket, bracket_origin
local function take_apart (text)
  if minute and sub(text, 1, 17) == minute and find(text, "^%d%d%.%d%d%d%d%d%d%d%d%d %[", 18) then
    local from, to = find(text, bracket, 32, true)
    if from ~= 32 then
      to = select(2, find(text, "] ", 32, true))
      if to then
        bracket = sub(text, 32, to)
        bracket_origin = origin_of(sub(bracket, 1, -3))
      end
    end
    if to then
      return sub(text, 1, 29), bracket_origin, sub(text, to + 1)
    end
  end
  local time, where, message = match(text, LINE)
  if not time then
    return nil
  end
  local origin = origin_of(where)
  if #time == 29 then
    minute, bracket, bracket_origin = sub(time, 1, 17), where .. "] ", origin
  end
  return time, origin, message
end

--- Parse a line.
-- @tparam string text without its newline
-- @tparam[opt] table before record of the line before: one without a time of its own continues it (a panic has several)
-- @treturn table `message`, and what the line shows of: `time` (text, the VMM's local time), `id`, `thread`, `level` ("error",
-- "warn", "info", "debug", "trace"), `file`, `line`, `module` ("vmm::builder"); `continued`: of the line before
function logs.parse (text, before)
  local time, origin, message = take_apart(text)
  if not time then
    if not before then
      return { message = text }
    end
    return { time = before.time, id = before.id, thread = before.thread, level = before.level, file = before.file,
             line = before.line, module = before.module, message = text, continued = true }
  end
  return { time = time, id = origin.id, thread = origin.thread, level = origin.level, file = origin.file, line = origin.line,
           module = origin.module, message = message }
end

-- Where a second line begins in one, of which a FIFO that was full took only the beginning.
local function glued (text)
  return #text > ATOMIC and text:find("%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%d%d%d%d%d%d%d %[", 2) or nil
end

--- Make a function that parses line after line.
-- @treturn function of a line; gives its record, and behind it a second where the line is two
function logs.reader ()
  local before
  return function (text)
    local at = glued(text)
    if not at then
      before = logs.parse(text, before)
      return before
    end
    local first = logs.parse(text:sub(1, at - 1), before)
    before = logs.parse(text:sub(at), first)
    return first, before
  end
end

-- A console that carries both ---------------------------------------------------------------------------------------

local BEGIN <const> = "%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%d%d%d%d%d%d%d %["
local SHAPE <const> = "dddd-dd-ddTdd:dd:dd.ddddddddd ["
local LONGEST <const> = 65536   -- a log line that has not ended by then is none

-- How many bytes at the end may be the beginning of a log line's time.
local function beginning (text)
  for n = math.min(#SHAPE - 1, #text), 1, -1 do
    local from, fits = #text - n, true
    for i = 1, n do
      local want, byte = SHAPE:sub(i, i), text:sub(from + i, from + i)
      if want == "d" and not byte:find "^%d" or want ~= "d" and byte ~= want then
        fits = false
        break
      end
    end
    if fits then
      return n
    end
  end
  return 0
end

--- Tell log lines from the guest's bytes where one stream carries both, as the VMM's standard output does without a logger.
-- A log line may stand in the middle of a guest's line. The first digits of a year are given to the console at once: a
-- guest's prompt may end in them.
-- @tparam table sinks `console` (function of bytes), `log` (function of a line and its record); either may be absent
-- @treturn function of bytes as they come; without any it gives away what it holds back
function logs.split (sinks)
  local console, log, read = sinks.console or function () end, sinks.log or function () end, logs.reader()
  local text, given = "", 0   -- bytes not settled yet; how many of them the console has already
  local function to_console (n)
    if n > given then
      console(text:sub(given + 1, n))
    end
    text, given = text:sub(n + 1), math.max(0, given - n)
  end
  return function (bytes)
    text = text .. (bytes or "")
    local at = text:find(BEGIN)
    while at do
      to_console(at - 1)
      local newline = text:find("\n", 1, true)
      if not newline and bytes and #text < LONGEST then
        return
      end
      local line = text:sub(1, (newline or 0) - 1):gsub("[\r\n]+$", "")
      text, given = newline and text:sub(newline + 1) or "", 0
      log(line, (read(line)))
      at = text:find(BEGIN)
    end
    local n = bytes and beginning(text) or 0
    to_console(#text - n)
    if n > given and n < 5 then
      console(text:sub(given + 1))
      given = n
    end
  end
end

return logs
